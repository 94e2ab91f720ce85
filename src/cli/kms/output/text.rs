//! `--output text`: one line per structure with its scalars in the order of their names, tabs
//! between them; what is nested follows on lines that begin with the member's name in capitals.
//!
//! The structures of one list share their columns: every name that is a scalar in any of them,
//! empty where one lacks it, and Python's notation where one has a list or structure there.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Printed, Unprintable};
use crate::cli::kms::python::json as python;

/// Formats `value`; what it is nested in has no name at the top.
pub fn text(value: &Value) -> Printed {
    Printed::of(value, |out| item(value, None, None, out))
}

/// `name`: of the member that holds the value. `columns`: of the list that it is in.
fn item(
    value: &Value,
    name: Option<&str>,
    columns: Option<&[&str]>,
    out: &mut String,
) -> Result<(), Unprintable> {
    match value {
        Value::Object(members) => structure(members, name, columns, out),
        Value::Array(items) => list(items, name, out),
        scalar => {
            line(&[python::text(scalar)], out);
            Ok(())
        }
    }
}

fn list(items: &[Value], name: Option<&str>, out: &mut String) -> Result<(), Unprintable> {
    if items.iter().any(Value::is_object) {
        let columns = shared_columns(items)?;
        for element in items {
            item(element, name, Some(&columns), out)?;
        }
        return Ok(());
    }
    // Scalars come first, wherever they stand among lists.
    let (scalars, lists): (Vec<&Value>, Vec<&Value>) =
        items.iter().partition(|element| python::is_scalar(element));
    let cells: Vec<String> = scalars.into_iter().map(python::text).collect();
    match name {
        Some(name) => {
            for cell in cells {
                line(&[name.to_uppercase(), cell], out);
            }
        }
        None if cells.is_empty() => {}
        None => line(&cells, out),
    }
    for element in lists {
        item(element, name, None, out)?;
    }
    Ok(())
}

fn structure(
    members: &Map<String, Value>,
    name: Option<&str>,
    columns: Option<&[&str]>,
    out: &mut String,
) -> Result<(), Unprintable> {
    let mut sorted: Vec<(&str, &Value)> = members
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    sorted.sort_by_key(|(key, _)| *key);
    let columns: Vec<&str> = match columns {
        Some(columns) => columns.to_vec(),
        None => sorted
            .iter()
            .filter(|(_, value)| python::is_scalar(value))
            .map(|(key, _)| *key)
            .collect(),
    };
    let mut cells: Vec<String> = columns
        .iter()
        .map(|column| members.get(*column).map(python::text).unwrap_or_default())
        .collect();
    if !cells.is_empty() {
        if let Some(name) = name {
            cells.insert(0, name.to_uppercase());
        }
        line(&cells, out);
    }
    for (key, value) in sorted {
        if !columns.contains(&key) {
            item(value, Some(key), None, out)?;
        }
    }
    Ok(())
}

/// The names of all scalars in a list of structures, sorted.
fn shared_columns(items: &[Value]) -> Result<Vec<&str>, Unprintable> {
    let mut columns = BTreeSet::new();
    for element in items {
        let members = element.as_object().ok_or(Unprintable::NoAttribute {
            kind: python::kind(element),
            attribute: "items",
        })?;
        for (key, value) in members {
            if python::is_scalar(value) {
                columns.insert(key.as_str());
            }
        }
    }
    Ok(columns.into_iter().collect())
}

fn line(cells: &[String], out: &mut String) {
    out.push_str(&cells.join("\t"));
    out.push('\n');
}
