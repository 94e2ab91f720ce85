//! Shorthand: what it means can be written down in one way, with every value in quotes, and means
//! the same then.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use rekeyfs::kms::service::{parse_context, parse_re_encrypt};
use rekeyfs::kms::shorthand::parse;
use serde_json::Value;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    match parse(text) {
        Ok(value) => {
            let Value::Object(members) = &value else {
                panic!("{value}");
            };
            let pairs: Vec<String> = members.iter().map(pair).collect();
            let written = pairs.join(",");
            assert_eq!(parse(&written).as_ref(), Ok(&value), "{written}");
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
    // As it comes through extended attributes; both take JSON, too.
    assert_eq!(parse_context(text), parse_context(text));
    if let Err(fault) = parse_re_encrypt(text) {
        assert!(fault.message().is_some_and(|message| !message.is_empty()));
    }
    Corpus::Keep
});

fn pair((key, value): (&String, &Value)) -> String {
    format!("{key}={}", written(value))
}

/// A value in shorthand. Its depth is bounded by that of the text that it was read from.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'")),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(written).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let pairs: Vec<String> = members.iter().map(pair).collect();
            format!("{{{}}}", pairs.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => panic!("not of shorthand: {value}"),
    }
}
