//! JMESPath: every expression is an error or finds a value, the same one each time.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use rekeyfs::cli::kms::jmespath::{Expression, compile};
use serde_json::Value;

/// An answer of ListGrants with all that JSON has.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(
        r#"{"Grants": [
            {"GrantId": "01", "Name": "one", "CreationDate": 1757659132.5, "Operations": ["Decrypt"],
             "Constraints": {"EncryptionContextSubset": {"Department": "IT", "größe": "\"\\\n"}}},
            {"GrantId": "02", "Name": "", "CreationDate": -1, "Operations": ["Encrypt", "Decrypt"],
             "Constraints": null},
            {"GrantId": "10", "Name": "2", "CreationDate": 18446744073709551615, "Operations": [],
             "Constraints": {}}],
           "Lists": [[1, 2, [3, [4]]], [], [0.5, -7, 1e300], ["b", "a", "C", "é", "10", "9"]],
           "NextMarker": "m", "Truncated": true, "": false}"#,
    )
    .expect("JSON")
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    match compile(text) {
        Ok(expression) => {
            for document in [&*DOCUMENT, &Value::Null] {
                search(&expression, document);
            }
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
    Corpus::Keep
});

fn search(expression: &Expression, document: &Value) {
    let found = expression.search(document);
    assert_eq!(found, expression.search(document));
    match found {
        Ok(value) => assert!(!value.to_string().is_empty()),
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}
