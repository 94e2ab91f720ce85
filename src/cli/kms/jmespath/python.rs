//! JSON values as Python computes with them: equality, order and numbers.
//!
//! The AWS CLI evaluates its queries in Python, and this is where it can be told from the outside.
//! Knows nothing of expressions. Python's integers have no end and its floats have infinities; here
//! an integer beyond 64 bits becomes a float, and what is no JSON number becomes `null`.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::error::JmespathError;
pub(super) use crate::cli::kms::python::is_space;
pub(super) use crate::cli::kms::python::json::{kind as type_name, text};
use crate::cli::kms::python::{json as as_json, without_underscores};

/// `json.dumps(value, separators=(',', ':'))`: ASCII without white space.
pub(super) fn json(value: &Value) -> String {
    let mut out = String::new();
    write_json(&mut out, value);
    out
}

fn write_json(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(false) => out.push_str("false"),
        Value::Bool(true) => out.push_str("true"),
        Value::Number(number) => out.push_str(&as_json::number(number)),
        Value::String(text) => quote_json(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                quote_json(out, name);
                out.push(':');
                write_json(out, member);
            }
            out.push('}');
        }
    }
}

fn quote_json(out: &mut String, text: &str) {
    out.push('"');
    for found in text.chars() {
        match found {
            '"' | '\\' => out.extend(['\\', found]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(found),
            _ => {
                for unit in found.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// `left == right` of Python, where booleans are the numbers 0 and 1.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| equal(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            let has = |name: &str, l: &Value| right.get(name).is_some_and(|r| equal(l, r));
            left.len() == right.len() && left.iter().all(|(name, l)| has(name, l))
        }
        _ => match (Num::with_booleans(left), Num::with_booleans(right)) {
            (Some(left), Some(right)) => left.compare(right).is_eq(),
            _ => left == right,
        },
    }
}

/// `left == right` of JMESPath: a boolean is no number, except within arrays and objects.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    left.is_boolean() == right.is_boolean() && equal(left, right)
}

/// How two numbers or two strings compare.
///
/// # Errors
/// For everything else, with the operator's symbol in the text.
pub(super) fn order(
    operator: &'static str,
    left: &Value,
    right: &Value,
) -> Result<Ordering, JmespathError> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => Ok(Num::of(left).compare(Num::of(right))),
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        _ => Err(JmespathError::Unorderable {
            operator,
            left: type_name(left),
            right: type_name(right),
        }),
    }
}

/// A number; integers are exact.
#[derive(Debug, Clone, Copy)]
pub(super) enum Num {
    Int(i128),
    Float(f64),
}

impl Num {
    pub(super) fn of(number: &Number) -> Self {
        match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Self::Int(int.into()),
            (_, Some(int)) => Self::Int(int.into()),
            _ => Self::Float(number.as_f64().unwrap_or_default()),
        }
    }

    fn with_booleans(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Int(i128::from(*value))),
            Value::Number(number) => Some(Self::of(number)),
            _ => None,
        }
    }

    /// What `int(text)` takes, else what `float(text)` takes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = without_underscores(text.trim_matches(is_space))?;
        let int = text.parse::<i128>().map(Self::Int);
        int.or_else(|_| text.parse::<f64>().map(Self::Float)).ok()
    }

    pub(super) fn value(self) -> Value {
        match self {
            Self::Int(int) => i64::try_from(int)
                .map(Value::from)
                .or_else(|_| u64::try_from(int).map(Value::from))
                .unwrap_or_else(|_| Value::from(int as f64)),
            Self::Float(float) => Value::from(float),
        }
    }

    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => left.cmp(&right),
            (Self::Int(left), Self::Float(right)) => compare_mixed(left, right),
            (Self::Float(left), Self::Int(right)) => compare_mixed(right, left).reverse(),
            (Self::Float(left), Self::Float(right)) => {
                left.partial_cmp(&right).unwrap_or(Ordering::Equal)
            }
        }
    }

    /// As a float, rounded if it must be.
    pub(super) fn float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => Self::Int(left.saturating_add(right)),
            _ => Self::Float(self.float() + other.float()),
        }
    }

    pub(super) fn abs(self) -> Self {
        match self {
            Self::Int(int) => Self::Int(int.abs()),
            Self::Float(float) => Self::Float(float.abs()),
        }
    }

    /// Makes an integer of a float by `round`.
    pub(super) fn rounded(self, round: fn(f64) -> f64) -> Self {
        match self {
            Self::Float(float) if float.abs() < BEYOND => Self::Int(round(float) as i128),
            other => other,
        }
    }
}

/// 2 to the 64: floats from here on are whole numbers, and stay floats.
const BEYOND: f64 = 18_446_744_073_709_551_616.0;

fn compare_mixed(int: i128, float: f64) -> Ordering {
    // `as` stops at the ends of i128, which are far beyond those of every JSON integer.
    let whole = float.trunc() as i128;
    let fraction = float.fract();
    int.cmp(&whole)
        .then_with(|| 0.0_f64.partial_cmp(&fraction).unwrap_or(Ordering::Equal))
}
