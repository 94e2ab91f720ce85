//! What the AWS CLI checks of a request before it sends it: missing and unknown members, types,
//! and lower bounds. Upper bounds and names of choices it leaves to the service.
//!
//! Pure. All faults are collected, in the order in which botocore finds them.

use super::timestamp::{Moment, moment};
use super::value::Parsed;
use crate::kms::shape::{Member, Shape};

/// The values of a map.
const ANY_TEXT: Shape = Shape::Text(0, usize::MAX);

/// One fault of a request; shown as botocore shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A member is not there.
    #[error("Missing required parameter in {at}: \"{member}\"")]
    Missing {
        /// The structure.
        at: String,
        /// The member.
        member: &'static str,
    },
    /// There is no such member.
    #[error("Unknown parameter in {at}: \"{member}\", must be one of: {known}")]
    Unknown {
        /// The structure.
        at: String,
        /// The member.
        member: String,
        /// The members that there are.
        known: String,
    },
    /// A value is of another type.
    #[error(
        "Invalid type for parameter {at}, value: {value}, type: <class '{found}'>, valid types: \
         {valid}"
    )]
    Type {
        /// The member.
        at: String,
        /// The value.
        value: String,
        /// Its type, as Python calls it.
        found: &'static str,
        /// The types that it may have.
        valid: &'static str,
    },
    /// A number is too small.
    #[error("Invalid value for parameter {at}, value: {value}, valid min value: {least}")]
    Value {
        /// The member.
        at: String,
        /// The number.
        value: String,
        /// The smallest one that is allowed.
        least: i64,
    },
    /// A text or a list is too short.
    #[error("Invalid length for parameter {at}, value: {length}, valid min length: {least}")]
    Length {
        /// The member.
        at: String,
        /// Its length.
        length: usize,
        /// The least that is allowed.
        least: usize,
    },
}

/// A point in time that botocore cannot reckon with; it then checks nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfReach(pub String);

/// Checks the members of a request.
///
/// # Errors
/// [`OutOfReach`].
pub fn check(members: &[Member], given: &[(String, Parsed)]) -> Result<Vec<Finding>, OutOfReach> {
    let mut check = Check {
        findings: Vec::new(),
    };
    check.members("", members, given)?;
    Ok(check.findings)
}

struct Check {
    findings: Vec<Finding>,
}

impl Check {
    /// The path `at` begins with a dot, or is empty.
    fn members(
        &mut self,
        at: &str,
        members: &[Member],
        given: &[(String, Parsed)],
    ) -> Result<(), OutOfReach> {
        for member in members {
            if member.required && !given.iter().any(|(name, _)| name == member.name) {
                self.findings.push(Finding::Missing {
                    at: shown(at),
                    member: member.name,
                });
            }
        }
        let find = |name: &str| members.iter().find(|member| member.name == name);
        for (name, _) in given {
            if find(name).is_none() {
                let known: Vec<&str> = members.iter().map(|member| member.name).collect();
                self.findings.push(Finding::Unknown {
                    at: shown(at),
                    member: name.clone(),
                    known: known.join(", "),
                });
            }
        }
        for (name, value) in given {
            if let Some(member) = find(name) {
                self.value(&format!("{at}.{name}"), &member.shape, value)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, at: &str, shape: &Shape, value: &Parsed) -> Result<(), OutOfReach> {
        match (shape, value) {
            (Shape::Structure(members), Parsed::Map(given, _)) => {
                self.members(at, members, given)?
            }
            (Shape::Map, Parsed::Map(given, _)) => {
                for (name, value) in given {
                    self.value(&format!("{at}.{name}"), &ANY_TEXT, value)?;
                }
            }
            (Shape::List(item, least, _), Parsed::List(items)) => {
                self.length(at, items.len(), *least);
                for (place, value) in items.iter().enumerate() {
                    self.value(&format!("{at}[{place}]"), item, value)?;
                }
            }
            (Shape::Text(least, _), Parsed::Text(text)) => {
                self.length(at, text.chars().count(), *least);
            }
            (Shape::Integer(least, _), Parsed::Integer(digits)) => {
                if is_below(digits, *least) {
                    self.too_small(at, value, *least);
                }
            }
            // A switch is a number to Python.
            (Shape::Integer(least, _), Parsed::Boolean(truth)) => {
                if i64::from(*truth) < *least {
                    self.too_small(at, value, *least);
                }
            }
            (Shape::Timestamp, _) => match moment(value) {
                Moment::Seconds(_) => {}
                Moment::None => self.wrong_type(at, shape, value),
                Moment::OutOfReach => return Err(OutOfReach(value.shown())),
            },
            (Shape::Choice(_), Parsed::Text(_))
            | (Shape::Blob(..), Parsed::Text(_) | Parsed::Bytes(_))
            | (Shape::Boolean, Parsed::Boolean(_)) => {}
            _ => self.wrong_type(at, shape, value),
        }
        Ok(())
    }

    fn length(&mut self, at: &str, length: usize, least: usize) {
        if length < least {
            self.findings.push(Finding::Length {
                at: shown(at),
                length,
                least,
            });
        }
    }

    fn too_small(&mut self, at: &str, value: &Parsed, least: i64) {
        self.findings.push(Finding::Value {
            at: shown(at),
            value: value.shown(),
            least,
        });
    }

    fn wrong_type(&mut self, at: &str, shape: &Shape, value: &Parsed) {
        self.findings.push(Finding::Type {
            at: shown(at),
            value: value.shown(),
            found: value.type_name(),
            valid: valid_types(shape),
        });
    }
}

/// A path as messages have it.
fn shown(at: &str) -> String {
    match at.strip_prefix('.') {
        Some(path) => path.to_owned(),
        None => "input".to_owned(),
    }
}

fn valid_types(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text(..) | Shape::Choice(_) => "<class 'str'>",
        Shape::Blob(..) => "<class 'bytes'>, <class 'bytearray'>, file-like object",
        Shape::Integer(..) => "<class 'int'>",
        Shape::Boolean => "<class 'bool'>",
        Shape::Timestamp => "<class 'datetime.datetime'>, timestamp-string",
        Shape::Map | Shape::Structure(_) => "<class 'dict'>",
        Shape::List(..) => "<class 'list'>, <class 'tuple'>",
    }
}

/// The number may have any size.
fn is_below(digits: &str, least: i64) -> bool {
    match digits.parse::<i64>() {
        Ok(number) => number < least,
        Err(_) => digits.starts_with('-'),
    }
}
