//! `--output json`: an indent of 4, members in the order of the value, text unescaped where JSON
//! allows it, numbers as Python writes them.

use serde_json::Value;

use super::Printed;
use crate::cli::kms::python::json as python;

const INDENT: &str = "    ";

/// Formats `value` with a line end; an empty object prints nothing.
pub fn json(value: &Value) -> Printed {
    Printed::of(value, |out| {
        // An operation without a response body is silent; `null`, `[]` and `""` are not.
        if !matches!(value, Value::Object(members) if members.is_empty()) {
            write(value, 0, out);
            out.push('\n');
        }
        Ok(())
    })
}

fn write(value: &Value, level: usize, out: &mut String) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            let mut before = '[';
            for item in items {
                out.push(before);
                start_line(level + 1, out);
                write(item, level + 1, out);
                before = ',';
            }
            start_line(level, out);
            out.push(']');
        }
        Value::Object(members) if !members.is_empty() => {
            let mut before = '{';
            for (name, member) in members {
                out.push(before);
                start_line(level + 1, out);
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push_str(": ");
                write(member, level + 1, out);
                before = ',';
            }
            start_line(level, out);
            out.push('}');
        }
        Value::Number(number) => out.push_str(&python::number(number)),
        other => out.push_str(&other.to_string()),
    }
}

fn start_line(level: usize, out: &mut String) {
    out.push('\n');
    out.push_str(&INDENT.repeat(level));
}
