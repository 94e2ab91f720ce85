//! The shorthand of the AWS CLI v1: `key=value,key2=value2`, lists and nested structures.
//!
//! Pure: text to a JSON value whose scalars are all strings. Grammar and messages are those of
//! AWS CLI 1.31.13, corners included: a key is made of ASCII letters, digits and `-_.#/:` and may
//! be empty, a key that occurs again inside braces replaces the one before, and no bare value goes
//! beyond the Basic Multilingual Plane. Positions count characters. Source: AWS CLI User Guide,
//! "Using shorthand syntax with the AWS CLI"; what it does not say was observed.
//!
//! ```text
//! pairs = pair *("," pair)         pair = key "=" [list / braces / csv]
//! csv   = first *("," second)      list = "[" *(item ",") "]"
//! braces = "{" *(key "=" item ",") "}"
//! item  = list / braces / first    first, second = '..' / ".." / bare, in which "\," is a comma
//! ```

use serde_json::{Map, Value};

/// Why a text is not shorthand; shown as the AWS CLI shows it, with the place marked by a caret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotShorthand {
    /// Something else should have stood there.
    #[error("Expected: '{expected}', received: '{received}' for input:\n{place}")]
    Syntax {
        /// What should have stood there.
        expected: &'static str,
        /// What stands there, or `EOF`.
        received: String,
        /// The text, with a caret below the place.
        place: String,
    },
    /// A key was given before.
    #[error(
        "Second instance of key \"{key}\" encountered for input:\n{place}\n\
         This is often because there is a preceding \",\" instead of a space."
    )]
    Repeated {
        /// The key.
        key: String,
        /// The text, with a caret below the pair.
        place: String,
    },
    /// Lists or structures are nested too deeply.
    #[error("maximum recursion depth exceeded")]
    TooDeep,
}

/// Nesting that is accepted; a text cannot use up the stack.
const DEPTH: usize = 100;

struct Parser {
    text: Vec<char>,
    at: usize,
}

/// A fault and its place. The text that tells it is as long as the input, and many faults are
/// found only to go back and try something else: it is composed for the one that remains.
enum Fault {
    Syntax {
        expected: &'static str,
        received: String,
        at: usize,
    },
    Repeated {
        key: String,
        at: usize,
    },
    TooDeep,
}

/// Reads `key=value,..` into a JSON object of strings, lists and objects.
///
/// # Errors
/// [`NotShorthand`], also for a key that occurs twice outside of braces.
pub fn parse(text: &str) -> Result<Value, NotShorthand> {
    let mut parser = Parser {
        text: text.chars().collect(),
        at: 0,
    };
    let pairs = parser.pairs();
    pairs
        .map(Value::Object)
        .map_err(|fault| parser.explain(fault))
}

/// What Python takes for white space.
fn is_space(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\x1c'..='\x1f')
}

fn is_key(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_.#/:".contains(letter)
}

/// What a bare value may begin with: neither blank nor one of `"',=[{`.
fn begins(letter: char) -> bool {
    matches!(letter, '!' | '#'..='&' | '('..='+' | '-'..='<' | '>'..='Z' | '\\'..='z' | '|'..='\u{ffff}')
}

/// What the first value of a key goes on with: none of `"',]}`.
fn goes_on(letter: char) -> bool {
    is_space(letter)
        || matches!(letter, '!' | '#'..='&' | '('..='+' | '-'..='\\' | '^'..='|' | '~'..='\u{ffff}')
}

/// What further values of a key go on with: none of `"',=`.
fn goes_on_further(letter: char) -> bool {
    is_space(letter) || matches!(letter, '!' | '#'..='&' | '('..='+' | '-'..='<' | '>'..='\u{ffff}')
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> Option<char> {
        self.text.get(self.at + by).copied()
    }

    fn part(&self, from: usize, to: usize) -> String {
        let length = to.saturating_sub(from);
        self.text.iter().skip(from).take(length).collect()
    }

    /// The text with a caret below `at`, in the line that it stands in.
    fn place(&self, at: usize) -> String {
        let before = self.text.iter().take(at);
        let column = before.rev().take_while(|letter| **letter != '\n').count();
        let line_end = self
            .text
            .iter()
            .skip(at)
            .position(|letter| *letter == '\n')
            .map_or(self.text.len(), |length| at + length);
        format!(
            "{}\n{}^{}",
            self.part(0, line_end),
            " ".repeat(column),
            self.part(line_end, self.text.len())
        )
    }

    fn syntax(&self, expected: &'static str, received: String) -> Fault {
        Fault::Syntax {
            expected,
            received,
            at: self.at,
        }
    }

    /// A fault as it is told.
    fn explain(&self, fault: Fault) -> NotShorthand {
        match fault {
            Fault::Syntax {
                expected,
                received,
                at,
            } => NotShorthand::Syntax {
                expected,
                received,
                place: self.place(at),
            },
            Fault::Repeated { key, at } => NotShorthand::Repeated {
                key,
                place: self.place(at),
            },
            Fault::TooDeep => NotShorthand::TooDeep,
        }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t'..='\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, wanted: char, name: &'static str) -> Result<(), Fault> {
        match self.peek() {
            Some(found) if found == wanted => {
                self.at += 1;
                Ok(())
            }
            Some(found) => Err(self.syntax(name, found.to_string())),
            None => Err(self.syntax(name, "EOF".to_owned())),
        }
    }

    /// A mark that may have blanks on both sides.
    fn expect_loose(&mut self, wanted: char, name: &'static str) -> Result<(), Fault> {
        self.skip_blanks();
        self.expect(wanted, name)?;
        self.skip_blanks();
        Ok(())
    }

    fn pairs(&mut self) -> Result<Map<String, Value>, Fault> {
        let mut map = Map::new();
        let (key, value) = self.pair()?;
        map.insert(key, value);
        let mut end = self.at;
        while self.at < self.text.len() {
            self.expect_loose(',', ",")?;
            let (key, value) = self.pair()?;
            if map.contains_key(&key) {
                return Err(Fault::Repeated { key, at: end + 1 });
            }
            map.insert(key, value);
            end = self.at;
        }
        Ok(map)
    }

    fn pair(&mut self) -> Result<(String, Value), Fault> {
        let key = self.key();
        self.expect_loose('=', "=")?;
        let value = match self.peek() {
            None => Value::String(String::new()),
            Some('[') => self.list(DEPTH)?,
            Some('{') => self.braces(DEPTH)?,
            Some(_) => self.csv()?,
        };
        Ok((key, value))
    }

    fn key(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(is_key) {
            self.at += 1;
        }
        self.part(start, self.at)
    }

    /// One value, or the list of all that follow up to the next `key=`.
    fn csv(&mut self) -> Result<Value, Fault> {
        let first = self.first()?;
        self.skip_blanks();
        if self.peek() != Some(',') {
            return Ok(Value::String(first));
        }
        self.expect_loose(',', ",")?;
        let mut items = vec![first];
        loop {
            match self.further() {
                Ok((item, is_last)) => {
                    items.push(item);
                    if is_last {
                        break;
                    }
                }
                Err(fault) if self.at >= self.text.len() => return Err(fault),
                // It was the next key: its comma is read again.
                Err(_) => {
                    while self.at > 0 && self.peek() != Some(',') {
                        self.at -= 1;
                    }
                    break;
                }
            }
        }
        if items.len() == 1 {
            return Ok(Value::String(items.remove(0)));
        }
        Ok(Value::Array(items.into_iter().map(Value::String).collect()))
    }

    /// A further value of a list without brackets, and whether the text ends behind it.
    fn further(&mut self) -> Result<(String, bool), Fault> {
        let item = match self.peek() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote)?,
            _ => self
                .bare(goes_on_further)
                .ok_or_else(|| self.syntax("<second>", "<none>".to_owned()))?,
        };
        self.skip_blanks();
        if self.at >= self.text.len() {
            return Ok((item, true));
        }
        self.expect_loose(',', ",")?;
        Ok((item, false))
    }

    fn list(&mut self, depth: usize) -> Result<Value, Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        self.expect_loose('[', "[")?;
        let mut items = Vec::new();
        while self.peek() != Some(']') {
            items.push(self.item(depth)?);
            self.end_item(']')?;
        }
        self.expect(']', "]")?;
        Ok(Value::Array(items))
    }

    fn braces(&mut self, depth: usize) -> Result<Value, Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        self.expect_loose('{', "{")?;
        let mut map = Map::new();
        while self.peek() != Some('}') {
            let key = self.key();
            self.expect_loose('=', "=")?;
            let value = self.item(depth)?;
            self.end_item('}')?;
            map.insert(key, value);
        }
        self.expect('}', "}")?;
        Ok(Value::Object(map))
    }

    fn item(&mut self, depth: usize) -> Result<Value, Fault> {
        match self.peek() {
            Some('[') => self.list(depth),
            Some('{') => self.braces(depth),
            _ => self.first().map(Value::String),
        }
    }

    fn end_item(&mut self, close: char) -> Result<(), Fault> {
        self.skip_blanks();
        if self.peek() != Some(close) {
            self.expect(',', ",")?;
            self.skip_blanks();
        }
        Ok(())
    }

    fn first(&mut self) -> Result<String, Fault> {
        match self.peek() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote),
            _ => Ok(self.bare(goes_on).unwrap_or_default()),
        }
    }

    /// A value without quotes, if one begins here.
    fn bare(&mut self, goes_on: fn(char) -> bool) -> Option<String> {
        let start = self.at;
        let mut belongs: fn(char) -> bool = begins;
        while let Some(letter) = self.peek() {
            if letter == '\\' && self.ahead(1) == Some(',') {
                self.at += 2;
            } else if belongs(letter) {
                self.at += 1;
            } else {
                break;
            }
            belongs = goes_on;
        }
        (self.at > start).then(|| {
            let raw = self.part(start, self.at).replace("\\,", ",");
            raw.trim_end_matches(is_space).to_owned()
        })
    }

    /// A value in quotes, in which a backslash escapes the quote and itself.
    fn quoted(&mut self, quote: char) -> Result<String, Fault> {
        let Some(close) = self.close(quote) else {
            let name = match quote {
                '\'' => "<singled quoted>",
                _ => "<double quoted>",
            };
            return Err(self.syntax(name, "<none>".to_owned()));
        };
        let raw = self.part(self.at + 1, close);
        self.at = close + 1;
        Ok(raw
            .replace(&format!("\\{quote}"), &quote.to_string())
            .replace("\\\\", "\\"))
    }

    /// Where the quotes that open here are closed.
    fn close(&self, quote: char) -> Option<usize> {
        let escapes = |at: usize| {
            self.text.get(at) == Some(&'\\')
                && matches!(self.text.get(at + 1), Some(next) if *next == '\\' || *next == quote)
        };
        let mut at = self.at + 1;
        while let Some(letter) = self.text.get(at) {
            if escapes(at) {
                at += 2;
            } else if *letter == quote {
                return Some(at);
            } else {
                at += 1;
            }
        }
        // Nothing closes them that way. Then the last escape that can be given up is: `'a\'` is
        // the text `a\`. Found from the end, since trying out would take exponential time.
        let (mut after, mut after_next) = (None, None);
        for at in (self.at + 1..self.text.len()).rev() {
            let here = if escapes(at) && after_next.is_some() {
                after_next
            } else if self.text.get(at) == Some(&quote) {
                Some(at)
            } else {
                after
            };
            (after, after_next) = (here, after);
        }
        after
    }
}

#[cfg(test)]
mod tests;
