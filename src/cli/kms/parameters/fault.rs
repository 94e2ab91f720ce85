//! Why there is no request: the lines that AWS CLI 1.31.13 prints, Python's own among them.

use super::json::NotJson;
use super::paramfile::FileFault;
use super::validate::{Finding, OutOfReach};
use crate::cli::kms::python::NotAnInteger;
use crate::kms::shorthand::NotShorthand;

/// Why there is no request; shown as the AWS CLI shows it, behind an empty line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterFault {
    /// The value of an option means nothing.
    #[error("Error parsing parameter '{parameter}': {reason}")]
    Parsing {
        /// The option.
        parameter: String,
        /// Why.
        reason: Reason,
    },
    /// The request is not one of the model.
    #[error("Parameter validation failed:\n{}", lines(.0))]
    Invalid(Vec<Finding>),
    /// A number is expected.
    #[error(transparent)]
    Integer(#[from] NotAnInteger),
    /// A number is expected, and something else is there; its type as Python calls it.
    #[error("int() argument must be a string, a bytes-like object or a real number, not '{0}'")]
    NotNumeric(&'static str),
    /// A number is expected that has an end.
    #[error("cannot convert float {0} to integer")]
    NotFinite(&'static str),
    /// A value of another type is expected.
    #[error("'{found}' object has no attribute '{attribute}'")]
    Attribute {
        /// The type that it has, as Python calls it.
        found: &'static str,
        /// What values of the other type have.
        attribute: &'static str,
    },
    /// A structure or a list is expected in a text that is empty.
    #[error("string index out of range")]
    Empty,
    /// A structure is expected, and a file of bytes was given.
    #[error("'in <string>' requires string as left operand, not int")]
    Bytes,
    /// As before, and the file is empty.
    #[error("a bytes-like object is required, not 'str'")]
    NoBytes,
    /// An argument is not UTF-8.
    #[error(
        "'utf-8' codec can't encode character '\\udc{byte:02x}' in position {at}: surrogates not \
         allowed"
    )]
    NotUtf8 {
        /// The first byte that is not.
        byte: u8,
        /// Characters before it.
        at: usize,
    },
    /// JSON is nested too deeply.
    #[error(transparent)]
    TooDeep(NotJson),
    /// A point in time is too far away.
    #[error("Unable to calculate correct timezone offset for \"{0}\"")]
    OutOfReach(String),
}

/// Why the value of an option means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is no shorthand.
    #[error(transparent)]
    Shorthand(NotShorthand),
    /// It is no JSON.
    #[error("Invalid JSON: {fault}\nJSON received: {received}")]
    Json {
        /// Why.
        fault: NotJson,
        /// What was given.
        received: String,
    },
    /// It is JSON of another kind, or shorthand where JSON stands before it.
    #[error("Invalid JSON:\n{0}")]
    NotJson(String),
    /// It is a file of bytes that is no UTF-8.
    #[error("Invalid JSON: 'utf-8' codec can't decode {place}: {what}\nJSON received: {received}")]
    Undecodable {
        /// Which bytes are not, and where.
        place: String,
        /// What is wrong with them.
        what: &'static str,
        /// What was given.
        received: String,
    },
    /// It names a file that is not loaded.
    #[error(transparent)]
    File(FileFault),
}

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    lines.join("\n")
}

impl From<OutOfReach> for ParameterFault {
    fn from(fault: OutOfReach) -> Self {
        Self::OutOfReach(fault.0)
    }
}

/// A fault of the value of an option.
pub fn parsing(parameter: &str, reason: Reason) -> ParameterFault {
    ParameterFault::Parsing {
        parameter: parameter.to_owned(),
        reason,
    }
}
