//! What `rekeyfs kms` prints: a response as the AWS CLI v1 (1.31.13) writes it for `--output`.
//!
//! Pure: a value in, the bytes of standard output out. Knows neither the API, nor JMESPath (the
//! value may be what `--query` made of a response), nor terminals (their width is an argument).
//! Members are taken in the order of the value, which is the order of the API table.
//!
//! Where that CLI fails half way (text) or before its first byte (table), so do we: [`Printed`]
//! carries the message, which belongs on standard error between a blank line and a line end, and
//! the exit code is then 255. Non-ASCII text is printed as it is, in JSON too.
//!
//! # Colour
//! Only tables have it: always for `--color on`, for `auto` when standard output is a terminal.
//! On a terminal a coloured run then ends with one more `ESC [0m`, even if it printed nothing, and
//! each of the three writes of an error message (line end, message, line end) is followed by one.
//!
//! # Pages
//! An operation with a page is asked until its last page, unless `--no-paginate`, `--marker` or
//! `--limit` is given; then the one response is printed whole, `NextMarker` and `Truncated`
//! included. [`pages`] has the rules of tokens. Otherwise:
//!
//! | | json, table | text |
//! |---|---|---|
//! | printed | once, behind the last page ([`pages::merge`]) | page by page, as they come |
//! | members | the list of all pages, then `NextToken` if there is one | the list alone |
//! | list missing | no member; json of `{}` prints nothing | `None`, once per page |
//! | list empty | `[]`; the table has a title only | nothing |
//! | other members | dropped | dropped |
//! | `--query` | once, on the merged result | on each page, and on the token's page |
//! | `--max-items` reached | `"NextToken": ".."` as the last member | a page of its own ([`pages::token_page`]) |
//! | a page fails | nothing is printed but the error | pages before it stay printed |

mod columns;
mod json;
pub mod pages;
mod table;
mod text;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use json::json;
pub use table::table;
pub use text::text;

/// Nesting that is printed; a value cannot use up the stack.
const DEPTH: usize = 256;

/// The formats of `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Indented JSON.
    Json,
    /// Tabs and line ends, for scripts.
    Text,
    /// Boxes, for people.
    Table,
}

impl Output {
    /// Reads the argument of `--output`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            "table" => Some(Self::Table),
            _ => None,
        }
    }
}

/// Why a value cannot be printed (on); the messages are those that the AWS CLI lets through from
/// Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unprintable {
    /// The value is nested more deeply than any response.
    #[error("maximum recursion depth exceeded")]
    Depth,
    /// A structure was expected in a list of structures.
    #[error("'{kind}' object has no attribute '{attribute}'")]
    NoAttribute {
        /// What was found, as Python calls it.
        kind: &'static str,
        /// What structures have.
        attribute: &'static str,
    },
    /// A scalar without members stands among the structures of a table.
    #[error("'{0}' object is not iterable")]
    NotIterable(&'static str),
    /// A string stands among the structures of a table.
    #[error("string indices must be integers, not 'str'")]
    StringIndex,
    /// A list stands among the structures of a table; its first item is of this kind.
    #[error("list indices must be integers or slices, not {0}")]
    ListIndex(&'static str),
    /// A table's header is longer than the rows before it.
    #[error("list index out of range")]
    OutOfRange,
    /// A table's row is longer or shorter than the first one.
    #[error("Row should have {expected} elements, instead it has {found}")]
    Row {
        /// Cells of the first row.
        expected: usize,
        /// Cells of this row.
        found: usize,
    },
}

/// What one formatter prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// For standard output, line ends included; may be empty.
    pub text: String,
    /// What stopped it, for standard error.
    pub failure: Option<Unprintable>,
}

impl Printed {
    /// Runs `write` if its recursion over `value` is bounded.
    fn of(value: &Value, write: impl FnOnce(&mut String) -> Result<(), Unprintable>) -> Self {
        let mut text = String::new();
        let result = if is_within(value, DEPTH) {
            write(&mut text)
        } else {
            Err(Unprintable::Depth)
        };
        Self {
            text,
            failure: result.err(),
        }
    }
}

fn is_within(value: &Value, depth: usize) -> bool {
    let Some(below) = depth.checked_sub(1) else {
        return false;
    };
    match value {
        Value::Array(items) => items.iter().all(|item| is_within(item, below)),
        Value::Object(members) => members.values().all(|member| is_within(member, below)),
        _ => true,
    }
}
