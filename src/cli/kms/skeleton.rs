//! Samples of requests and responses: `--generate-cli-skeleton`.
//!
//! Pure. A sample request is that of AWS CLI 1.31.13 to the letter, except that a choice, which it
//! draws by lot, is always the same: the one for symmetric encryption if there is one, else the
//! first. A sample response is what its manual promises; 1.31.13 itself refuses to print one in
//! which there is a blob, a text that must be longer than its name, or a number that must be above
//! 0. Those that it prints are the same: texts and
//! choices are their own names. So are blobs, in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::kms::api::Operation;
use crate::kms::shape::{Member, Shape};

/// The choices that are of use to most.
const USEFUL: [&str; 2] = ["SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"];

/// What the items of lists are called in responses, by the name of the list: names of types, which
/// our model does not have.
const ITEMS: [(&str, &str); 6] = [
    ("EncryptionAlgorithms", "EncryptionAlgorithmSpec"),
    ("KeyAgreementAlgorithms", "KeyAgreementAlgorithmSpec"),
    ("MacAlgorithms", "MacAlgorithmSpec"),
    ("Operations", "GrantOperation"),
    ("PolicyNames", "PolicyNameType"),
    ("SigningAlgorithms", "SigningAlgorithmSpec"),
];

/// Seconds 0, as samples have it.
const EPOCH: &str = "1970-01-01T00:00:00";

/// Writes a sample request, with a line end; `--query` and `--output` do not apply to it.
pub fn input(operation: &Operation) -> String {
    let sample = structure(operation.input, &request);
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    sample
        .serialize(&mut serializer)
        .expect("internal error: JSON in memory can always be written");
    let text = String::from_utf8_lossy(&text);
    format!("{text}\n")
}

/// Makes a sample response, to be printed as a response is.
pub fn output(operation: &Operation) -> Value {
    structure(operation.output, &response)
}

fn structure(members: &[Member], sample: &dyn Fn(&Shape, &str) -> Value) -> Value {
    let samples: Map<String, Value> = members
        .iter()
        .map(|member| (member.name.to_owned(), sample(&member.shape, member.name)))
        .collect();
    Value::Object(samples)
}

fn request(shape: &Shape, _: &str) -> Value {
    match shape {
        Shape::Text(..) => json!(""),
        Shape::Blob(..) => Value::Null,
        Shape::Choice(names) => {
            let useful = names.iter().find(|name| USEFUL.contains(name));
            json!(useful.or(names.first()))
        }
        Shape::List(item, ..) => json!([request(item, "")]),
        Shape::Structure(members) => structure(members, &request),
        Shape::Integer(..) | Shape::Boolean | Shape::Timestamp | Shape::Map => plain(shape),
    }
}

fn response(shape: &Shape, name: &str) -> Value {
    match shape {
        Shape::Text(..) | Shape::Choice(_) => json!(name),
        Shape::Blob(..) => json!(STANDARD.encode(name)),
        Shape::List(item, ..) => match ITEMS.iter().find(|(list, _)| *list == name) {
            Some((_, item)) => json!([item]),
            None => json!([response(item, name)]),
        },
        Shape::Structure(members) => structure(members, &response),
        Shape::Integer(..) | Shape::Boolean | Shape::Timestamp | Shape::Map => plain(shape),
    }
}

/// What is the same in both.
fn plain(shape: &Shape) -> Value {
    match shape {
        Shape::Integer(..) => json!(0),
        Shape::Boolean => json!(true),
        Shape::Timestamp => json!(EPOCH),
        Shape::Map => json!({"KeyName": ""}),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str) -> &'static Operation {
        Operation::find(name).expect("accepted")
    }

    // Texts and values are those of AWS CLI 1.31.13, choices and newer members aside.

    #[test]
    fn requests_are_those_of_the_aws_cli() {
        for (name, expected) in [
            (
                "ReEncrypt",
                r#"{
    "CiphertextBlob": null,
    "SourceEncryptionContext": {
        "KeyName": ""
    },
    "SourceKeyId": "",
    "DestinationKeyId": "",
    "DestinationEncryptionContext": {
        "KeyName": ""
    },
    "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
    "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
    "GrantTokens": [
        ""
    ],
    "DryRun": true,
    "DryRunModifiers": [
        "IGNORE_CIPHERTEXT"
    ]
}
"#,
            ),
            (
                "DescribeKey",
                r#"{
    "KeyId": "",
    "GrantTokens": [
        ""
    ]
}
"#,
            ),
            (
                "TagResource",
                r#"{
    "KeyId": "",
    "Tags": [
        {
            "TagKey": "",
            "TagValue": ""
        }
    ]
}
"#,
            ),
            (
                "ListKeyPolicies",
                r#"{
    "KeyId": "",
    "Limit": 0,
    "Marker": ""
}
"#,
            ),
        ] {
            assert_eq!(input(find(name)), expected, "{name}");
        }
        let import = input(find("ImportKeyMaterial"));
        assert!(import.contains("\n    \"ValidTo\": \"1970-01-01T00:00:00\",\n"));
        let create = input(find("CreateKey"));
        assert!(create.contains("\n    \"KeySpec\": \"SYMMETRIC_DEFAULT\",\n"));
        assert!(create.contains("\n    \"KeyUsage\": \"ENCRYPT_DECRYPT\",\n"));
    }

    #[test]
    fn responses_name_their_members() {
        let grants = output(find("ListGrants"));
        for (place, expected) in [
            ("/Grants/0/KeyId", json!("KeyId")),
            ("/Grants/0/CreationDate", json!("1970-01-01T00:00:00")),
            ("/Grants/0/Operations", json!(["GrantOperation"])),
            (
                "/Grants/0/Constraints/EncryptionContextSubset",
                json!({"KeyName": ""}),
            ),
            ("/NextMarker", json!("NextMarker")),
            ("/Truncated", json!(true)),
        ] {
            assert_eq!(grants.pointer(place), Some(&expected), "{place}");
        }
        assert_eq!(
            output(find("ListKeyPolicies")),
            json!({
                "PolicyNames": ["PolicyNameType"],
                "NextMarker": "NextMarker",
                "Truncated": true
            })
        );
        assert_eq!(output(find("CreateAlias")), json!({}));
    }

    #[test]
    fn responses_that_the_aws_cli_refuses_to_print_are_given() {
        let sample = output(find("ReEncrypt"));
        for (name, expected) in [
            ("CiphertextBlob", "Q2lwaGVydGV4dEJsb2I="),
            ("SourceKeyId", "SourceKeyId"),
            ("KeyId", "KeyId"),
            ("SourceEncryptionAlgorithm", "SourceEncryptionAlgorithm"),
            (
                "DestinationEncryptionAlgorithm",
                "DestinationEncryptionAlgorithm",
            ),
        ] {
            assert_eq!(sample.get(name), Some(&json!(expected)), "{name}");
        }
        assert_eq!(
            output(find("ScheduleKeyDeletion")).get("PendingWindowInDays"),
            Some(&json!(0))
        );
    }
}
