//! The values of one option as a value of the model: files, shorthand, JSON, numbers.
//!
//! Python's own view shows through where that CLI lets it: the items of a text are its characters,
//! those of a file of bytes are numbers.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::fault::{ParameterFault, Reason, parsing};
use super::json::{self, NotJson};
use super::paramfile::{self, Loaded};
use super::value::{Dict, Parsed};
use crate::cli::kms::arguments::Given;
use crate::cli::kms::python::{self, NotAnInteger};
use crate::kms::shape::Shape;
use crate::kms::shorthand;

/// Items that a list given as a text without brackets is cut into, one per character: more than
/// any list may have.
const MOST_LETTERS: usize = 100_000;

/// An argument as text.
fn utf8(argument: &OsStr) -> Result<String, ParameterFault> {
    let bytes = argument.as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(fault) => {
            let (valid, rest) = bytes.split_at(fault.valid_up_to());
            Err(ParameterFault::NotUtf8 {
                byte: rest.first().copied().unwrap_or_default(),
                at: String::from_utf8_lossy(valid).chars().count(),
            })
        }
    }
}

/// The file that a value names, or the value.
///
/// # Errors
/// [`ParameterFault`] for a file that is not loaded, and for a value that is not UTF-8.
pub fn load(option: &str, given: &OsStr) -> Result<Loaded, ParameterFault> {
    let loaded = paramfile::load(given).map_err(|fault| parsing(option, Reason::File(fault)))?;
    match loaded {
        Some(loaded) => Ok(loaded),
        None => utf8(given).map(Loaded::Text),
    }
}

/// The values of an option, of which a single one may have been a file.
enum Held {
    Text(String),
    Bytes(Vec<u8>),
    Texts(Vec<String>),
}

impl Held {
    fn of(option: &str, given: &Given) -> Result<Self, ParameterFault> {
        let values = match given {
            Given::Switch(_) => return Ok(Self::Texts(Vec::new())),
            Given::One(value) => {
                return Ok(match load(option, value)? {
                    Loaded::Text(text) => Self::Text(text),
                    Loaded::Bytes(bytes) => Self::Bytes(bytes),
                });
            }
            Given::Many(values) => values,
        };
        if let [only] = values.as_slice() {
            let loaded = paramfile::load(only);
            match loaded.map_err(|fault| parsing(option, Reason::File(fault)))? {
                Some(Loaded::Text(text)) => return Ok(Self::Text(text)),
                Some(Loaded::Bytes(bytes)) => return Ok(Self::Bytes(bytes)),
                None => {}
            }
        }
        let texts: Result<Vec<_>, ParameterFault> =
            values.iter().map(|value| utf8(value)).collect();
        texts.map(Self::Texts)
    }

    /// Whether it begins as JSON does; of several values, whether the first one does.
    fn looks_like_json(&self) -> bool {
        let first = match self {
            Self::Text(text) => Some(text),
            Self::Texts(texts) => texts.first(),
            Self::Bytes(_) => None,
        };
        first.is_some_and(|text| {
            text.trim_start_matches(python::is_space)
                .starts_with(['[', '{'])
        })
    }
}

/// Gives the values of an option their type.
///
/// # Errors
/// [`ParameterFault`].
pub fn unpack(option: &str, shape: &Shape, given: &Given) -> Result<Parsed, ParameterFault> {
    if let Given::Switch(is_on) = given {
        return Ok(Parsed::Boolean(*is_on));
    }
    let held = Held::of(option, given)?;
    let is_nested = match shape {
        Shape::List(item, ..) => is_complex(item),
        other => is_complex(other),
    };
    if is_nested && !held.looks_like_json() {
        return from_shorthand(option, shape, &held);
    }
    match (shape, held) {
        (_, Held::Text(text)) => item(option, shape, text),
        (Shape::List(item_shape, ..), Held::Texts(texts)) => match texts.as_slice() {
            [only] if only.trim_start_matches(python::is_space).starts_with('[') => {
                from_json(option, only, Dict::Ordered)
            }
            _ => {
                let items: Result<Vec<_>, ParameterFault> = texts
                    .into_iter()
                    .map(|text| item(option, item_shape, text))
                    .collect();
                items.map(Parsed::List)
            }
        },
        // The items of bytes are numbers to Python.
        (Shape::List(..), Held::Bytes(bytes)) => Ok(Parsed::List(
            bytes
                .into_iter()
                .map(|byte| Parsed::Integer(byte.to_string()))
                .collect(),
        )),
        (Shape::Integer(..), Held::Bytes(bytes)) => number(&Parsed::Bytes(bytes)),
        (Shape::Integer(..), Held::Texts(_)) => Err(ParameterFault::NotNumeric("list")),
        (_, Held::Bytes(bytes)) => Ok(Parsed::Bytes(bytes)),
        (_, Held::Texts(texts)) => Ok(Parsed::List(texts.into_iter().map(Parsed::Text).collect())),
    }
}

fn is_complex(shape: &Shape) -> bool {
    matches!(shape, Shape::Structure(_) | Shape::Map | Shape::List(..))
}

/// One text as a value, without shorthand.
fn item(option: &str, shape: &Shape, text: String) -> Result<Parsed, ParameterFault> {
    let first = text.trim_start_matches(python::is_space).chars().next();
    match shape {
        Shape::Structure(_) | Shape::Map => match first {
            None => Err(ParameterFault::Empty),
            Some('{') => from_json(option, &text, Dict::Ordered),
            Some(_) => Err(parsing(option, Reason::NotJson(text))),
        },
        Shape::List(item_shape, ..) => match first {
            None => Err(ParameterFault::Empty),
            Some('[') => from_json(option, &text, Dict::Ordered),
            // The items of a text are its characters to Python.
            Some(_) => {
                let letters = text.chars().take(MOST_LETTERS);
                let items: Result<Vec<_>, ParameterFault> = letters
                    .map(|letter| item(option, item_shape, letter.to_string()))
                    .collect();
                items.map(Parsed::List)
            }
        },
        Shape::Integer(..) => number(&Parsed::Text(text)),
        Shape::Text(..)
        | Shape::Blob(..)
        | Shape::Boolean
        | Shape::Timestamp
        | Shape::Choice(_) => Ok(Parsed::Text(text)),
    }
}

/// Reads JSON that an option has.
///
/// # Errors
/// [`ParameterFault::Parsing`], or [`ParameterFault::TooDeep`].
pub fn from_json(option: &str, text: &str, dict: Dict) -> Result<Parsed, ParameterFault> {
    json::parse(text, dict).map_err(|fault| match fault {
        NotJson::TooDeep(_) => ParameterFault::TooDeep(fault),
        fault => parsing(
            option,
            Reason::Json {
                fault,
                received: text.to_owned(),
            },
        ),
    })
}

fn from_shorthand(option: &str, shape: &Shape, held: &Held) -> Result<Parsed, ParameterFault> {
    let parse = |text: &str| {
        shorthand::parse(text)
            .map(Parsed::from)
            .map_err(|fault| parsing(option, Reason::Shorthand(fault)))
    };
    let parsed = match held {
        Held::Text(text) => parse(text)?,
        Held::Texts(texts) => {
            let items: Result<_, ParameterFault> = texts.iter().map(|text| parse(text)).collect();
            Parsed::List(items?)
        }
        Held::Bytes(bytes) if bytes.is_empty() => return Err(ParameterFault::NoBytes),
        Held::Bytes(_) => return Err(ParameterFault::Bytes),
    };
    coerce(shape, parsed)
}

/// Gives the strings of shorthand the types of the model, where they can have them.
fn coerce(shape: &Shape, value: Parsed) -> Result<Parsed, ParameterFault> {
    match (shape, value) {
        (Shape::Structure(members), Parsed::Map(given, dict)) => {
            let coerced: Result<Vec<_>, ParameterFault> = given
                .into_iter()
                .map(|(name, value)| {
                    let member = members.iter().find(|member| member.name == name);
                    let value = match member {
                        Some(member) => coerce_inner(&member.shape, value)?,
                        None => value,
                    };
                    Ok((name, value))
                })
                .collect();
            coerced.map(|members| Parsed::Map(members, dict))
        }
        (Shape::List(item, ..), Parsed::List(items)) => {
            let coerced: Result<Vec<_>, ParameterFault> = items
                .into_iter()
                .map(|value| coerce_inner(item, value))
                .collect();
            coerced.map(Parsed::List)
        }
        (Shape::Integer(..), value) => number(&value),
        (Shape::Boolean, Parsed::Text(text)) => Ok(match text.to_lowercase().as_str() {
            "true" => Parsed::Boolean(true),
            "false" => Parsed::Boolean(false),
            _ => Parsed::Text(text),
        }),
        (Shape::Boolean, other) => Err(ParameterFault::Attribute {
            found: other.type_name(),
            attribute: "lower",
        }),
        (_, value) => Ok(value),
    }
}

/// A member or an item: here one value stands for a list of one.
fn coerce_inner(shape: &Shape, value: Parsed) -> Result<Parsed, ParameterFault> {
    match (shape, value) {
        (Shape::List(..), Parsed::List(items)) => coerce(shape, Parsed::List(items)),
        (Shape::List(..), value) => Ok(Parsed::List(vec![value])),
        (_, value) => coerce(shape, value),
    }
}

/// A whole number; nothing for `null`.
///
/// # Errors
/// [`ParameterFault`] for what is none.
pub fn integer(value: &Parsed) -> Result<Option<String>, ParameterFault> {
    let text = |text: &str| python::integer(OsStr::new(text));
    Ok(Some(match value {
        Parsed::Null => return Ok(None),
        Parsed::Integer(digits) => digits.clone(),
        Parsed::Boolean(truth) => i64::from(*truth).to_string(),
        Parsed::Text(digits) => text(digits)?,
        Parsed::Bytes(bytes) => {
            python::integer(OsStr::from_bytes(bytes)).map_err(|fault| match fault {
                NotAnInteger::Literal(_) => NotAnInteger::Literal(python::quoted_bytes(bytes)),
                fault @ NotAnInteger::TooLong(_) => fault,
            })?
        }
        Parsed::Float(number) if number.is_nan() => return Err(ParameterFault::NotFinite("NaN")),
        Parsed::Float(number) if number.is_infinite() => {
            return Err(ParameterFault::NotFinite("infinity"));
        }
        Parsed::Float(number) => text(&format!("{:.0}", number.trunc()))?,
        Parsed::List(_) | Parsed::Map(..) => {
            return Err(ParameterFault::NotNumeric(value.type_name()));
        }
    }))
}

fn number(value: &Parsed) -> Result<Parsed, ParameterFault> {
    Ok(integer(value)?.map_or(Parsed::Null, Parsed::Integer))
}
