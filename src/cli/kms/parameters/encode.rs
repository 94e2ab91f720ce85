//! A request that has been checked, as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::timestamp::{Moment, moment};
use super::value::Parsed;
use crate::kms::shape::{Member, Shape};

/// The type of members that a structure does not have; there are none in a request.
const UNKNOWN: Shape = Shape::Text(0, usize::MAX);

/// Writes the members of a structure, in the order in which they were given.
pub fn members(members: &[Member], given: Vec<(String, Parsed)>) -> Value {
    let mut out = Map::new();
    for (name, value) in given {
        let shape = members
            .iter()
            .find(|member| member.name == name)
            .map_or(&UNKNOWN, |member| &member.shape);
        let value = encode(shape, value);
        out.insert(name, value);
    }
    Value::Object(out)
}

/// Writes a value that has been checked.
fn encode(shape: &Shape, value: Parsed) -> Value {
    match (shape, value) {
        (Shape::Blob(..), Parsed::Text(text)) => Value::String(STANDARD.encode(text)),
        (_, Parsed::Bytes(bytes)) => Value::String(STANDARD.encode(bytes)),
        (Shape::Timestamp, value) => match moment(&value) {
            Moment::Seconds(seconds) => Value::from(seconds),
            Moment::None | Moment::OutOfReach => Value::Null,
        },
        (Shape::Structure(members), Parsed::Map(given, _)) => self::members(members, given),
        (Shape::List(item, ..), Parsed::List(items)) => {
            Value::Array(items.into_iter().map(|value| encode(item, value)).collect())
        }
        (_, Parsed::Null) => Value::Null,
        (_, Parsed::Boolean(truth)) => Value::Bool(truth),
        (_, Parsed::Integer(digits)) => encode_integer(&digits),
        (_, Parsed::Float(number)) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        (_, Parsed::Text(text)) => Value::String(text),
        (_, Parsed::List(items)) => Value::Array(
            items
                .into_iter()
                .map(|value| encode(shape, value))
                .collect(),
        ),
        (_, Parsed::Map(given, _)) => self::members(&[], given),
    }
}

/// What no integer of Rust holds becomes a float, as it does in JSON that is received.
fn encode_integer(digits: &str) -> Value {
    if let Ok(number) = digits.parse::<i64>() {
        return Value::from(number);
    }
    if let Ok(number) = digits.parse::<u64>() {
        return Value::from(number);
    }
    let number = digits.parse().unwrap_or(f64::MAX);
    Number::from_f64(number.clamp(f64::MIN, f64::MAX)).map_or(Value::Null, Value::Number)
}
