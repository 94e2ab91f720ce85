//! A tree applied to a document.
//!
//! Knows no function by name, and no syntax. Its recursion follows the tree alone, whose depth the
//! parser bounds.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::error::JmespathError;
use super::functions::{self, Argument};
use super::lexer::Comparison;
use super::parser::{Kind, Node};
use super::python;

/// A result; borrowed where it is a part of the document or of the expression.
type Evaluated<'v> = Result<Cow<'v, Value>, JmespathError>;

/// Applies the expression to `value`.
pub(super) fn evaluate<'v>(node: &'v Node, value: &'v Value) -> Evaluated<'v> {
    let made = match &node.kind {
        Kind::Current => return Ok(Cow::Borrowed(value)),
        Kind::Literal(literal) => return Ok(Cow::Borrowed(literal)),
        Kind::Field(name) => return Ok(part(value.get(name.as_str()))),
        Kind::Index(index) => return Ok(part(item(value, *index))),
        Kind::Chain(nodes) | Kind::Indexed(nodes) => return chain(nodes, value),
        Kind::First(wanted, nodes) => return first(*wanted, nodes, value),
        Kind::Slice(parts) => slice(value, *parts)?,
        Kind::Not(node) => Value::Bool(!is_true(&*evaluate(node, value)?)),
        Kind::Compare(comparison, nodes) => {
            let [left, right] = &**nodes;
            let left = evaluate(left, value)?;
            compare(*comparison, &left, &*evaluate(right, value)?)?
        }
        Kind::List(nodes) => list(nodes, value)?,
        Kind::Hash(members) => hash(members, value)?,
        Kind::Flatten(node) => flatten(&*evaluate(node, value)?),
        Kind::Projection(nodes) => {
            let [left, right] = &**nodes;
            match evaluate(left, value)?.as_array() {
                Some(items) => project(items.iter(), None, right)?,
                None => Value::Null,
            }
        }
        Kind::Values(nodes) => {
            let [left, right] = &**nodes;
            match evaluate(left, value)?.as_object() {
                Some(members) => project(members.values(), None, right)?,
                None => Value::Null,
            }
        }
        Kind::Filter(nodes) => {
            let [left, condition, right] = &**nodes;
            match evaluate(left, value)?.as_array() {
                Some(items) => project(items.iter(), Some(condition), right)?,
                None => Value::Null,
            }
        }
        Kind::Call(name, nodes) => call(name, nodes, value)?,
        Kind::Reference(_) => return Err(JmespathError::Reference),
    };
    if weight(&made) > LARGEST.get() {
        return Err(JmespathError::TooLarge);
    }
    Ok(Cow::Owned(made))
}

thread_local! {
    /// What a result of the search that this thread makes may weigh.
    static LARGEST: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Bounds the results of a search by what the document weighs: a short expression could double its
/// result with each step.
pub(super) fn bound_by(document: &Value) {
    LARGEST.set(weight(document).saturating_mul(16).saturating_add(1 << 20));
}

/// The bytes of a value, about.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 16,
        Value::String(text) => 16 + text.len(),
        Value::Array(items) => items.iter().fold(16, |sum, item| sum + weight(item)),
        Value::Object(members) => members
            .iter()
            .fold(16, |sum, (name, member)| sum + name.len() + weight(member)),
    }
}

/// A part of a value, or `null` where there is none.
fn part(found: Option<&Value>) -> Cow<'_, Value> {
    found.map_or(Cow::Owned(Value::Null), Cow::Borrowed)
}

/// The element at `index`, from the end if that is negative.
fn item(value: &Value, index: i64) -> Option<&Value> {
    let items = value.as_array()?;
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 {
        items.get(items.len().checked_sub(distance)?)
    } else {
        items.get(distance)
    }
}

fn slice(value: &Value, [start, end, step]: [Option<i64>; 3]) -> Result<Value, JmespathError> {
    let Some(items) = value.as_array() else {
        return Ok(Value::Null);
    };
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(JmespathError::SliceStep);
    }
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    // Where the first element and the end can be; -1 is what comes before the first going down.
    let (lowest, highest) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let bound = |given: i64| {
        let from_start = if given < 0 {
            given.saturating_add(length)
        } else {
            given
        };
        from_start.clamp(lowest, highest)
    };
    let (first, last) = if step > 0 {
        (lowest, highest)
    } else {
        (highest, lowest)
    };
    let mut at = start.map_or(first, bound);
    let end = end.map_or(last, bound);
    let mut out = Vec::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        let found = usize::try_from(at).ok().and_then(|at| items.get(at));
        out.extend(found.cloned());
        at = at.saturating_add(step);
    }
    Ok(Value::Array(out))
}

fn chain<'v>(nodes: &'v [Node], value: &'v Value) -> Evaluated<'v> {
    let mut current = Cow::Borrowed(value);
    for node in nodes {
        current = match current {
            Cow::Borrowed(value) => evaluate(node, value)?,
            Cow::Owned(value) => {
                let next = evaluate(node, &value)?.into_owned();
                Cow::Owned(next)
            }
        };
    }
    Ok(current)
}

fn first<'v>(wanted: bool, nodes: &'v [Node], value: &'v Value) -> Evaluated<'v> {
    let mut found = Cow::Owned(Value::Null);
    for node in nodes {
        found = evaluate(node, value)?;
        if is_true(&found) == wanted {
            break;
        }
    }
    Ok(found)
}

/// What is empty is false; every number is true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Order is known between numbers and between strings. What is neither makes `null`; a number with
/// a string is an error.
fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<Value, JmespathError> {
    let holds: fn(Ordering) -> bool = match comparison {
        Comparison::Equal => return Ok(Value::Bool(python::same(left, right))),
        Comparison::Unequal => return Ok(Value::Bool(!python::same(left, right))),
        Comparison::Less => Ordering::is_lt,
        Comparison::LessOrEqual => Ordering::is_le,
        Comparison::Greater => Ordering::is_gt,
        Comparison::GreaterOrEqual => Ordering::is_ge,
    };
    let has_order = |value: &Value| value.is_number() || value.is_string();
    if !has_order(left) || !has_order(right) {
        return Ok(Value::Null);
    }
    python::order(comparison.symbol(), left, right).map(|ordering| Value::Bool(holds(ordering)))
}

fn list(nodes: &[Node], value: &Value) -> Result<Value, JmespathError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let mut items = Vec::with_capacity(nodes.len());
    for node in nodes {
        items.push(evaluate(node, value)?.into_owned());
    }
    Ok(Value::Array(items))
}

fn hash(members: &[(String, Node)], value: &Value) -> Result<Value, JmespathError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let mut made = Map::with_capacity(members.len());
    for (name, node) in members {
        made.insert(name.clone(), evaluate(node, value)?.into_owned());
    }
    Ok(Value::Object(made))
}

/// The elements, and in place of each that is an array its elements.
fn flatten(value: &Value) -> Value {
    let Some(items) = value.as_array() else {
        return Value::Null;
    };
    let mut flat = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::Array(inner) => flat.extend(inner.iter().cloned()),
            other => flat.push(other.clone()),
        }
    }
    Value::Array(flat)
}

/// What `right` makes of each item that meets the condition, without the `null`s.
fn project<'a>(
    items: impl Iterator<Item = &'a Value>,
    condition: Option<&Node>,
    right: &Node,
) -> Result<Value, JmespathError> {
    let mut out = Vec::new();
    for item in items {
        if let Some(condition) = condition
            && !is_true(&*evaluate(condition, item)?)
        {
            continue;
        }
        let made = evaluate(right, item)?;
        if !made.is_null() {
            out.push(made.into_owned());
        }
    }
    Ok(Value::Array(out))
}

fn call(name: &str, nodes: &[Node], value: &Value) -> Result<Value, JmespathError> {
    let mut arguments = Vec::with_capacity(nodes.len());
    for node in nodes {
        arguments.push(match &node.kind {
            Kind::Reference(inner) => Argument::Expression(inner),
            _ => Argument::Value(evaluate(node, value)?),
        });
    }
    functions::call(name, &arguments)
}
