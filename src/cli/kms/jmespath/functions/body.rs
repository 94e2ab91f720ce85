//! What the functions do.
//!
//! They see their arguments after the check, and do not look again for what their parameters rule
//! out: the defaults in the helpers here are never seen.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::super::error::JmespathError;
use super::super::evaluate::evaluate;
use super::super::python::{self, Num};
use super::{Argument, NUMBER, NUMBER_OR_STRING, Outcome, STRING, STRING_OR_NUMBER, Types, kind};

static NULL: Value = Value::Null;

fn value<'a>(arguments: &'a [Argument<'_>], index: usize) -> &'a Value {
    match arguments.get(index) {
        Some(Argument::Value(value)) => value,
        _ => &NULL,
    }
}

fn text<'a>(arguments: &'a [Argument<'_>], index: usize) -> &'a str {
    value(arguments, index).as_str().unwrap_or_default()
}

fn items<'a>(arguments: &'a [Argument<'_>], index: usize) -> &'a [Value] {
    let items = value(arguments, index).as_array();
    items.map(Vec::as_slice).unwrap_or_default()
}

fn number(value: &Value) -> Num {
    match value {
        Value::Number(number) => Num::of(number),
        _ => Num::Int(0),
    }
}

/// What the expression among the arguments makes of `item`.
fn apply(arguments: &[Argument<'_>], index: usize, item: &Value) -> Outcome {
    match arguments.get(index) {
        Some(Argument::Expression(node)) => evaluate(node, item).map(Cow::into_owned),
        _ => Ok(Value::Null),
    }
}

pub(super) fn abs(arguments: &[Argument<'_>]) -> Outcome {
    Ok(number(value(arguments, 0)).abs().value())
}

pub(super) fn ceil(arguments: &[Argument<'_>]) -> Outcome {
    Ok(number(value(arguments, 0)).rounded(f64::ceil).value())
}

pub(super) fn floor(arguments: &[Argument<'_>]) -> Outcome {
    Ok(number(value(arguments, 0)).rounded(f64::floor).value())
}

fn total(items: &[Value]) -> Num {
    items.iter().map(number).fold(Num::Int(0), Num::plus)
}

pub(super) fn sum(arguments: &[Argument<'_>]) -> Outcome {
    Ok(total(items(arguments, 0)).value())
}

pub(super) fn avg(arguments: &[Argument<'_>]) -> Outcome {
    let items = items(arguments, 0);
    if items.is_empty() {
        return Ok(Value::Null);
    }
    Ok(Value::from(total(items).float() / items.len() as f64))
}

pub(super) fn contains(arguments: &[Argument<'_>]) -> Outcome {
    let wanted = match arguments.get(1) {
        Some(Argument::Value(wanted)) => Some(&**wanted),
        _ => None,
    };
    let found = match (value(arguments, 0), wanted) {
        (Value::String(text), Some(Value::String(part))) => text.contains(part.as_str()),
        (Value::String(_), _) => {
            return Err(JmespathError::NotInString {
                found: wanted.map_or("_Expression", python::type_name),
            });
        }
        // An expression is in no array.
        _ => wanted.is_some_and(|wanted| {
            let mut items = items(arguments, 0).iter();
            items.any(|item| python::equal(item, wanted))
        }),
    };
    Ok(Value::Bool(found))
}

pub(super) fn starts_with(arguments: &[Argument<'_>]) -> Outcome {
    let found = text(arguments, 0).starts_with(text(arguments, 1));
    Ok(Value::Bool(found))
}

pub(super) fn ends_with(arguments: &[Argument<'_>]) -> Outcome {
    let found = text(arguments, 0).ends_with(text(arguments, 1));
    Ok(Value::Bool(found))
}

pub(super) fn join(arguments: &[Argument<'_>]) -> Outcome {
    let parts: Vec<&str> = items(arguments, 1)
        .iter()
        .filter_map(Value::as_str)
        .collect();
    Ok(Value::from(parts.join(text(arguments, 0))))
}

pub(super) fn length(arguments: &[Argument<'_>]) -> Outcome {
    Ok(Value::from(match value(arguments, 0) {
        Value::Object(members) => members.len(),
        Value::Array(items) => items.len(),
        other => other.as_str().unwrap_or_default().chars().count(),
    }))
}

pub(super) fn reverse(arguments: &[Argument<'_>]) -> Outcome {
    Ok(match value(arguments, 0) {
        Value::String(text) => Value::from(text.chars().rev().collect::<String>()),
        _ => items(arguments, 0).iter().rev().cloned().collect(),
    })
}

pub(super) fn keys(arguments: &[Argument<'_>]) -> Outcome {
    let members = value(arguments, 0).as_object();
    let keys = members.into_iter().flat_map(Map::keys);
    Ok(keys.map(String::as_str).collect())
}

pub(super) fn values(arguments: &[Argument<'_>]) -> Outcome {
    let members = value(arguments, 0).as_object();
    let values = members.into_iter().flat_map(Map::values);
    Ok(values.cloned().collect())
}

pub(super) fn map(arguments: &[Argument<'_>]) -> Outcome {
    let items = items(arguments, 1).iter();
    items.map(|item| apply(arguments, 0, item)).collect()
}

pub(super) fn sort(arguments: &[Argument<'_>]) -> Outcome {
    let mut sorted = items(arguments, 0).to_vec();
    sorted.sort_by(ascending);
    Ok(Value::Array(sorted))
}

/// The order of values that have been found to be all numbers or all strings.
fn ascending(left: &Value, right: &Value) -> Ordering {
    python::order("<", left, right).unwrap_or(Ordering::Equal)
}

pub(super) fn sort_by(arguments: &[Argument<'_>]) -> Outcome {
    let items = items(arguments, 0);
    let Some(first) = items.first() else {
        return Ok(Value::Array(Vec::new()));
    };
    // The first key decides what all of them have to be.
    let expected = match apply(arguments, 1, first)? {
        Value::Number(_) => NUMBER,
        Value::String(_) => STRING,
        other => {
            return Err(JmespathError::Type {
                function: "sort_by",
                value: python::text(first),
                expected: STRING_OR_NUMBER,
                received: kind(&other),
            });
        }
    };
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        keyed.push((key("sort_by", expected, arguments, item)?, item));
    }
    keyed.sort_by(|(left, _), (right, _)| ascending(left, right));
    Ok(keyed.into_iter().map(|(_, item)| item.clone()).collect())
}

/// What to order `item` by, which the second argument says.
fn key(
    function: &'static str,
    expected: Types,
    arguments: &[Argument<'_>],
    item: &Value,
) -> Outcome {
    let key = apply(arguments, 1, item)?;
    if expected.contains(&kind(&key)) {
        return Ok(key);
    }
    Err(JmespathError::Type {
        function,
        value: python::text(&key),
        expected,
        received: kind(&key),
    })
}

pub(super) fn max(arguments: &[Argument<'_>]) -> Outcome {
    first_of_order(">", Ordering::Greater, items(arguments, 0), |item| {
        Ok(item.clone())
    })
}

pub(super) fn min(arguments: &[Argument<'_>]) -> Outcome {
    first_of_order("<", Ordering::Less, items(arguments, 0), |item| {
        Ok(item.clone())
    })
}

pub(super) fn max_by(arguments: &[Argument<'_>]) -> Outcome {
    first_of_order(">", Ordering::Greater, items(arguments, 0), |item| {
        key("max_by", NUMBER_OR_STRING, arguments, item)
    })
}

pub(super) fn min_by(arguments: &[Argument<'_>]) -> Outcome {
    first_of_order("<", Ordering::Less, items(arguments, 0), |item| {
        key("min_by", NUMBER_OR_STRING, arguments, item)
    })
}

/// The first item whose key stands in that order to the key of every other one, or is equal to it.
fn first_of_order(
    operator: &'static str,
    order: Ordering,
    items: &[Value],
    key: impl Fn(&Value) -> Outcome,
) -> Outcome {
    let mut best: Option<(Value, &Value)> = None;
    for item in items {
        let key = key(item)?;
        let better = match &best {
            Some((best, _)) => python::order(operator, &key, best)? == order,
            None => true,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or(Value::Null, |(_, item)| item.clone()))
}

pub(super) fn not_null(arguments: &[Argument<'_>]) -> Outcome {
    for argument in arguments {
        let value = argument.plain()?;
        if !value.is_null() {
            return Ok(value.clone());
        }
    }
    Ok(Value::Null)
}

pub(super) fn to_array(arguments: &[Argument<'_>]) -> Outcome {
    match plain(arguments)? {
        Value::Array(items) => Ok(Value::Array(items.clone())),
        other => Ok(Value::Array(vec![other.clone()])),
    }
}

pub(super) fn to_string(arguments: &[Argument<'_>]) -> Outcome {
    Ok(Value::String(match plain(arguments)? {
        Value::String(text) => text.clone(),
        other => python::json(other),
    }))
}

/// The only argument as a value.
fn plain<'a>(arguments: &'a [Argument<'_>]) -> Result<&'a Value, JmespathError> {
    arguments.first().map_or(Ok(&NULL), Argument::plain)
}

pub(super) fn to_number(arguments: &[Argument<'_>]) -> Outcome {
    if let Some(Argument::Expression(_)) = arguments.first() {
        return Err(JmespathError::NoNumber);
    }
    Ok(match value(arguments, 0) {
        Value::Number(number) => Value::Number(number.clone()),
        Value::String(text) => Num::parse(text).map_or(Value::Null, Num::value),
        _ => Value::Null,
    })
}

pub(super) fn type_of(arguments: &[Argument<'_>]) -> Outcome {
    Ok(match arguments.first() {
        Some(Argument::Value(value)) => Value::from(kind(value)),
        _ => Value::Null,
    })
}

pub(super) fn merge(arguments: &[Argument<'_>]) -> Outcome {
    let mut merged = Map::new();
    for argument in arguments {
        let elements = match argument {
            Argument::Value(value) => match &**value {
                Value::Object(members) => {
                    merged.extend(members.clone());
                    continue;
                }
                other => parts(other).ok_or(JmespathError::NotIterable {
                    found: python::type_name(other),
                })?,
            },
            Argument::Expression(_) => {
                return Err(JmespathError::NotIterable {
                    found: "_Expression",
                });
            }
        };
        for (at, element) in elements.iter().enumerate() {
            let (name, member) = pair(at, element)?;
            merged.insert(name, member);
        }
    }
    Ok(Value::Object(merged))
}

/// What iterating over a value in Python gives.
fn parts(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items.clone()),
        Value::String(text) => Some(text.chars().map(|c| Value::from(c.to_string())).collect()),
        Value::Object(members) => Some(members.keys().map(|name| name.as_str().into()).collect()),
        _ => None,
    }
}

/// A member that is given as a name and a value: so Python fills a dictionary from a list.
fn pair(at: usize, element: &Value) -> Result<(String, Value), JmespathError> {
    let parts = parts(element).ok_or(JmespathError::NoPair { at })?;
    let length = parts.len();
    let [name, member] =
        <[Value; 2]>::try_from(parts).map_err(|_| JmespathError::PairLength { at, length })?;
    match name {
        Value::String(name) => Ok((name, member)),
        Value::Array(_) | Value::Object(_) => Err(JmespathError::Unhashable {
            found: python::type_name(&name),
        }),
        other => Ok((python::json(&other), member)),
    }
}
