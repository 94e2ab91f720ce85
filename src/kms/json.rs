//! JSON of a request: bounded in depth, and without a member that stands twice.
//!
//! Two members of one name are two requests in one: who signs, logs or filters may have read the
//! other one. serde_json keeps the last of them, so reading is done here. Depth is bounded by
//! serde_json (128), and size by whoever takes the bytes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads one JSON value and nothing after it.
///
/// # Errors
/// What is wrong and where: not JSON, too deep, or a member that stands twice.
pub fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(bytes).map(|Strict(value)| value)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading).map(Self)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom("a member stands twice"));
            }
            let Strict(value) = members.next_value()?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_read_as_serde_json_reads_them() {
        for text in [
            "null",
            "[true, false, null]",
            "{\"b\": 1, \"a\": [-1, 18446744073709551615, 1.5, \"\\u00e4\\ud83d\\ude00\"]}",
            " {\"a\": {\"a\": {}}} ",
        ] {
            let expected: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(parse(text.as_bytes()).expect("JSON"), expected, "{text}");
        }
        let ordered = parse(b"{\"b\":1,\"a\":2}").expect("JSON");
        assert_eq!(ordered.to_string(), "{\"b\":1,\"a\":2}");
        assert_eq!(ordered, json!({"b": 1, "a": 2}));
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_at_every_depth() {
        for text in [
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"b\":2,\"a\":null}",
            "{\"a\":1,\"\\u0061\":2}",
            "[{\"x\":{\"a\":1,\"a\":2}}]",
        ] {
            let error = parse(text.as_bytes()).expect_err(text).to_string();
            assert!(error.starts_with("a member stands twice"), "{error}");
        }
    }

    #[test]
    fn what_is_not_one_json_value_is_refused() {
        for bytes in [
            &b""[..],
            b"{",
            b"{}{}",
            b"{\"a\":}",
            b"{a:1}",
            b"\xff",
            b"\"\xff\"",
            b"\"\\ud800\"",
            b"1e999",
            b"nul",
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| {
                let inner = if open == "[" { "" } else { "0" };
                format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
            };
            assert!(parse(nested(100).as_bytes()).is_ok());
            assert!(parse(nested(200).as_bytes()).is_err());
            assert!(parse(open.repeat(500_000).as_bytes()).is_err());
        }
    }
}
