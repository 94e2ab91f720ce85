//! JSON values as Python 3 writes them: `str` and `repr`, type names, truth.
//!
//! Callers bound the depth of their values before they come here.

use std::ffi::OsStr;

use serde_json::{Number, Value};

use super::float;

/// Says whether `value` is neither a list nor a structure.
pub fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// Says whether Python takes `value` for false.
pub fn is_false(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// Names the type of `value`.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// Writes `value` as `str` does: a string as it is, everything else as [`repr`].
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// Writes `value` as `repr` does.
pub fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => self::number(number),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, member)| format!("{}: {}", quoted(name), repr(member)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    super::quoted(OsStr::new(text))
}

/// Writes an integer, or a float with the fewest digits that give it back.
pub fn number(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => float(value),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1_757_659_131.871, "1757659131.871"),
            (1_757_659_131.0, "1757659131.0"),
            (0.0001, "0.0001"),
            (0.000_099, "9.9e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.25e22, "1.25e+22"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn integers_stay_integers() {
        for value in [
            json!(0),
            json!(-7),
            json!(1_757_659_131),
            json!(u64::MAX),
            json!(i64::MIN),
        ] {
            assert_eq!(text(&value), value.to_string());
        }
    }

    #[test]
    fn nested_values_are_written_as_python_literals() {
        let value = json!({"a": [null, true, false, 1, 1.0], "b": {}, "c": []});
        assert_eq!(
            text(&value),
            "{'a': [None, True, False, 1, 1.0], 'b': {}, 'c': []}"
        );
    }

    #[test]
    fn strings_are_quoted_and_escaped_as_python_does() {
        for (value, expected) in [
            ("", "''"),
            ("it's", "\"it's\""),
            ("\"", "'\"'"),
            ("'\"", "'\\'\"'"),
            ("a\\b\n\r\t", "'a\\\\b\\n\\r\\t'"),
            ("\0\x1f\x7f", "'\\x00\\x1f\\x7f'"),
            ("ä한😀", "'ä한😀'"),
            ("e\u{301}", "'e\u{301}'"),
            ("\u{301}", "'\u{301}'"),
            ("\u{a0}\u{ad}", "'\\xa0\\xad'"),
            ("\u{200b}\u{2028}", "'\\u200b\\u2028'"),
            ("\u{e000}\u{feff}", "'\\ue000\\ufeff'"),
            ("\u{e0001}\u{10ffff}", "'\\U000e0001\\U0010ffff'"),
        ] {
            assert_eq!(quoted(value), expected);
        }
    }

    #[test]
    fn what_is_empty_or_zero_is_false() {
        for value in [
            json!(null),
            json!(false),
            json!(0),
            json!(0.0),
            json!(-0.0),
            json!(""),
            json!([]),
            json!({}),
        ] {
            assert!(is_false(&value), "{value}");
        }
        for value in [
            json!(true),
            json!(1),
            json!(0.1),
            json!(" "),
            json!([null]),
            json!({"a": null}),
        ] {
            assert!(!is_false(&value), "{value}");
        }
    }
}
