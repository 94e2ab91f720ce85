//! The command line of `rekeyfs kms`, taken apart as AWS CLI 1.31.13 takes that of `aws kms`.
//!
//! Pure: words in, an [`Invocation`] out; values are kept as they were given. Knows the options,
//! but not what the values of an operation's options mean (`parameters`), nor files, nor the
//! environment.
//!
//! The line is read in three passes, each of which takes what it knows and leaves the rest, in
//! order: the options of every command, wherever they stand; the operation; its own options.
//! Query, endpoint and timeouts are checked between the first and the second.

mod globals;
mod parser;
mod usage;

use std::ffi::{OsStr, OsString};

use super::python;
use crate::kms::api::{OPERATIONS, Operation};
use crate::kms::shape::{Member, Shape};
use parser::{Flag, Found, Positional, Takes};

pub use globals::{Color, Globals, is_for_kms};
pub use usage::UsageFault;

const HELP: &str = "help";
const INPUT_JSON: &str = "--cli-input-json";
const SKELETON: &str = "--generate-cli-skeleton";

/// Members that ask for one page; who gives one gets no other.
const OWN_PAGES: [&str; 2] = ["Marker", "Limit"];

/// A value as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// A switch, on or off.
    Switch(bool),
    /// One value.
    One(OsString),
    /// The values of a list. Also what takes one value and was given `=--`, which argparse drops.
    Many(Vec<OsString>),
}

/// Which sample `--generate-cli-skeleton` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skeleton {
    /// A request.
    Input,
    /// A response.
    Output,
}

/// The options of operations that answer in pages; numbers as Python writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageOptions {
    /// `--starting-token`.
    pub starting_token: Option<OsString>,
    /// `--page-size`.
    pub page_size: Option<String>,
    /// `--max-items`.
    pub max_items: Option<String>,
}

/// An operation to call, with everything that was said about it.
pub struct Invocation {
    /// The operation.
    pub operation: &'static Operation,
    /// The options of every command.
    pub globals: Globals,
    /// The members that were given, in the order of the model.
    pub parameters: Vec<(&'static Member, Given)>,
    /// `--cli-input-json`.
    pub input_json: Option<OsString>,
    /// `--generate-cli-skeleton`.
    pub skeleton: Option<Skeleton>,
    /// The options about pages.
    pub page_options: PageOptions,
    /// Whether all pages are to be fetched: the operation has pages, and neither `--no-paginate`
    /// nor its own `--marker` or `--limit` was given.
    pub paginates: bool,
}

/// What a command line asks for.
pub enum Asked {
    /// `--version`.
    Version,
    /// `help`, on an operation or on all of them.
    Help(Option<&'static Operation>),
    /// A call.
    Call(Box<Invocation>),
}

/// `ReEncrypt` to `re-encrypt`.
pub fn kebab(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Reads all arguments of the program, `kms` included. `check_query` gives the reason why a text
/// is no JMESPath expression.
///
/// # Errors
/// [`UsageFault`] for arguments that mean nothing.
pub fn parse(
    arguments: &[OsString],
    check_query: impl FnOnce(&str) -> Result<(), String>,
) -> Result<Asked, UsageFault> {
    let Some((globals, rest)) = globals::read(arguments, check_query)? else {
        return Ok(Asked::Version);
    };
    let (name, rest) = read_operation(&rest)?;
    let operation = OPERATIONS
        .iter()
        .find(|operation| name == kebab(operation.name).as_str());
    match operation {
        Some(operation) => read_call(operation, globals, &rest),
        None => Ok(Asked::Help(None)),
    }
}

/// The second pass: the name of an operation, or `help`, and what is left.
fn read_operation(arguments: &[OsString]) -> Result<(OsString, Vec<OsString>), UsageFault> {
    let names: Vec<String> = OPERATIONS
        .iter()
        .map(|operation| kebab(operation.name))
        .collect();
    let mut choices: Vec<&str> = names.iter().map(String::as_str).collect();
    choices.push(HELP);
    let required = Positional::Required("operation");
    let mut name = OsString::new();
    let no_flags: [Flag<()>; 0] = [];
    let rest = parser::parse(&no_flags, required, arguments, |found| {
        if let Found::Positional(word) = found {
            if !choices.iter().any(|choice| word == *choice) {
                return Err(usage::invalid_choice("operation", word, &choices));
            }
            word.clone_into(&mut name);
        }
        Ok(())
    })
    .map_err(|message: String| UsageFault::usage(&message))?;
    Ok((name, rest))
}

/// An option of an operation.
#[derive(Clone, Copy)]
enum Own {
    /// A member, by its place in the model.
    Member(usize),
    /// A member that is a switch: the option that turns it on, or off.
    Switch(usize, bool),
    InputJson,
    StartingToken,
    PageSize,
    MaxItems,
    Skeleton,
}

/// The options of an operation, in the order in which the AWS CLI makes them.
fn own_flags(operation: &Operation, arguments: &[OsString]) -> Vec<Flag<Own>> {
    let are_waived = waive_required(arguments);
    let flag = |name: String, takes, means, required| Flag {
        name,
        takes,
        abbreviates: true,
        required,
        means,
    };
    let mut flags = Vec::new();
    for (place, member) in operation.input.iter().enumerate() {
        let name = kebab(member.name);
        let takes = match member.shape {
            Shape::Boolean => {
                for (name, is_on) in [(format!("--{name}"), true), (format!("--no-{name}"), false)]
                {
                    flags.push(flag(name, Takes::Nothing, Own::Switch(place, is_on), false));
                }
                continue;
            }
            Shape::List(..) => Takes::Any,
            _ => Takes::One,
        };
        let is_required = member.required && !are_waived;
        flags.push(flag(
            format!("--{name}"),
            takes,
            Own::Member(place),
            is_required,
        ));
    }
    let mut optional =
        |name: &str, takes, means| flags.push(flag(name.to_owned(), takes, means, false));
    optional(INPUT_JSON, Takes::One, Own::InputJson);
    if operation.page.is_some() {
        optional("--starting-token", Takes::One, Own::StartingToken);
        optional("--page-size", Takes::One, Own::PageSize);
        optional("--max-items", Takes::One, Own::MaxItems);
    }
    optional(SKELETON, Takes::AtMostOne, Own::Skeleton);
    flags
}

/// Says whether required options may be missing: for a request from JSON and for a sample of one.
/// The AWS CLI looks for these options as whole words, neither abbreviated nor with `=`.
fn waive_required(arguments: &[OsString]) -> bool {
    let place = |name: &str| arguments.iter().position(|argument| argument == name);
    let is_sample =
        place(SKELETON).is_some_and(|at| arguments.get(at + 1).is_none_or(|next| next != "output"));
    is_sample || place(INPUT_JSON).is_some()
}

/// The third pass: the operation's own options.
fn read_call(
    operation: &'static Operation,
    globals: Globals,
    arguments: &[OsString],
) -> Result<Asked, UsageFault> {
    if let [only] = arguments
        && only == HELP
    {
        return Ok(Asked::Help(Some(operation)));
    }
    let mut members: Vec<Option<Given>> = vec![None; operation.input.len()];
    let mut input_json = None;
    let mut skeleton = None;
    let mut page_options = PageOptions::default();
    let mut word_behind = None;
    let flags = own_flags(operation, arguments);
    let mut rest = parser::parse(&flags, Positional::Optional, arguments, |found| {
        let (flag, values) = match found {
            Found::Option(flag, values) => (flag, values),
            Found::Positional(word) => {
                word_behind = Some(word.to_owned());
                return Ok(());
            }
        };
        let value = values.first().copied();
        match flag.means {
            Own::Member(place) => set(&mut members, place, given(flag.takes, &values)),
            Own::Switch(place, is_on) => set(&mut members, place, Given::Switch(is_on)),
            Own::InputJson => input_json = value.map(OsStr::to_owned),
            Own::StartingToken => page_options.starting_token = value.map(OsStr::to_owned),
            Own::PageSize => page_options.page_size = integer(&flag.name, value)?,
            Own::MaxItems => page_options.max_items = integer(&flag.name, value)?,
            Own::Skeleton => skeleton = Some(sample(value)?),
        }
        Ok(())
    })
    .map_err(|message: String| UsageFault::usage(&message))?;
    // A word that nothing takes is `help`, or comes last among those that nothing takes.
    match word_behind {
        Some(word) if word == HELP => return Ok(Asked::Help(Some(operation))),
        Some(word) if !word.is_empty() => rest.push(word),
        _ => {}
    }
    if !rest.is_empty() {
        return Err(UsageFault::unknown(&rest));
    }
    let parameters: Vec<(&'static Member, Given)> = operation
        .input
        .iter()
        .zip(members)
        .filter_map(|(member, given)| Some((member, given?)))
        .collect();
    let asks_for_one_page = parameters
        .iter()
        .any(|(member, _)| OWN_PAGES.contains(&member.name));
    let has_pages = operation.page.is_some();
    let paginates = has_pages && globals.paginate && !asks_for_one_page;
    if has_pages && !paginates {
        check_no_page_options(&page_options)?;
    }
    Ok(Asked::Call(Box::new(Invocation {
        operation,
        globals,
        parameters,
        input_json,
        skeleton,
        page_options,
        paginates,
    })))
}

/// The last of the same option counts.
fn set(members: &mut [Option<Given>], place: usize, given: Given) {
    if let Some(member) = members.get_mut(place) {
        *member = Some(given);
    }
}

fn given(takes: Takes, values: &[&OsStr]) -> Given {
    match (takes, values) {
        (Takes::One, [value]) => Given::One((*value).to_owned()),
        _ => Given::Many(values.iter().map(|value| (*value).to_owned()).collect()),
    }
}

fn integer(name: &str, value: Option<&OsStr>) -> Result<Option<String>, String> {
    let Some(value) = value else {
        return Ok(None);
    };
    match python::integer(value) {
        Ok(number) => Ok(Some(number)),
        Err(_) => {
            let value = python::quoted(value);
            Err(parser::fault(name, &format!("invalid int value: {value}")))
        }
    }
}

fn sample(value: Option<&OsStr>) -> Result<Skeleton, String> {
    match value.map(|value| (value, value.to_str())) {
        None | Some((_, Some("input"))) => Ok(Skeleton::Input),
        Some((_, Some("output"))) => Ok(Skeleton::Output),
        Some((value, _)) => Err(usage::invalid_choice(SKELETON, value, &["input", "output"])),
    }
}

/// What is empty or 0 passes here, as in the AWS CLI.
fn check_no_page_options(options: &PageOptions) -> Result<(), UsageFault> {
    let is_number = |number: &Option<String>| number.as_ref().is_some_and(|number| number != "0");
    let token = options.starting_token.as_ref();
    let used: Vec<&str> = [
        (
            "--starting-token",
            token.is_some_and(|token| !token.is_empty()),
        ),
        ("--page-size", is_number(&options.page_size)),
        ("--max-items", is_number(&options.max_items)),
    ]
    .into_iter()
    .filter_map(|(name, is_used)| is_used.then_some(name))
    .collect();
    if used.is_empty() {
        return Ok(());
    }
    Err(UsageFault::value(&format!(
        "Error during pagination: Cannot specify --no-paginate along with pagination arguments: {}",
        used.join(", ")
    )))
}

#[cfg(test)]
mod tests;
