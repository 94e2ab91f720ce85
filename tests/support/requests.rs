//! A least valid request for every operation of the API.
//!
//! Knows no key and no caller: what a request names is given to it.

#![allow(dead_code, reason = "each test uses a part of it")]

use rekeyfs::kms::api::Operation;
use serde_json::{Value, json};

/// A plaintext in base64; and as it is.
pub const PLAINTEXT: &str = "VGhpcyBwbGFpbnRleHQgaXMgYSBzZWNyZXQu";
pub const PLAIN: &str = "This plaintext is a secret.";
/// A policy that lets everybody do everything.
pub const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}]}"#;
/// The ID of a key, and of a grant, that nobody has.
pub const NO_KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
pub const NO_GRANT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// What stands for an import token and for wrapped material; neither means anything.
const NOTHING: &str = "bm90aGluZyB0aGF0IGFueWJvZHkgY2FuIG9wZW4=";

/// What requests name.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The key that the request is about.
    pub key: &'a str,
    /// A ciphertext that comes with that key.
    pub ciphertext: &'a str,
    /// A key for the other side of ReEncrypt, and a ciphertext of it.
    pub other: &'a str,
    pub other_ciphertext: &'a str,
    /// A grant on the key.
    pub grant_id: &'a str,
    /// The ARN of a principal.
    pub principal: &'a str,
    /// An alias of the caller's account.
    pub alias: &'a str,
}

/// An operation, and one request of it.
pub struct Row {
    pub operation: &'static str,
    /// The permission on the key that it needs: ReEncrypt has a row for each of its two.
    pub action: &'static str,
    pub request: fn(&Names<'_>) -> Value,
}

impl Row {
    pub fn operation(&self) -> &'static Operation {
        let found = Operation::find(self.operation);
        found.unwrap_or_else(|| panic!("no operation {}", self.operation))
    }
}

const fn row(operation: &'static str, request: fn(&Names<'_>) -> Value) -> Row {
    Row {
        operation,
        action: operation,
        request,
    }
}

fn key_id(names: &Names<'_>) -> Value {
    json!({"KeyId": names.key})
}

fn data_key(names: &Names<'_>) -> Value {
    json!({"KeyId": names.key, "KeySpec": "AES_256"})
}

fn data_key_pair(names: &Names<'_>) -> Value {
    json!({"KeyId": names.key, "KeyPairSpec": "ECC_NIST_P256"})
}

fn grant(names: &Names<'_>) -> Value {
    json!({"KeyId": names.key, "GrantId": names.grant_id})
}

fn alias(names: &Names<'_>) -> Value {
    json!({"AliasName": names.alias, "TargetKeyId": names.key})
}

/// Operations that name a key.
pub const ROWS: &[Row] = &[
    row("CancelKeyDeletion", key_id),
    row("CreateAlias", alias),
    row("CreateGrant", |names| {
        json!({
            "KeyId": names.key,
            "GranteePrincipal": names.principal,
            "Operations": ["DescribeKey"],
        })
    }),
    row(
        "Decrypt",
        |names| json!({"KeyId": names.key, "CiphertextBlob": names.ciphertext}),
    ),
    row("DeleteImportedKeyMaterial", key_id),
    row("DescribeKey", key_id),
    row("DisableKey", key_id),
    row("DisableKeyRotation", key_id),
    row("EnableKey", key_id),
    row("EnableKeyRotation", key_id),
    row(
        "Encrypt",
        |names| json!({"KeyId": names.key, "Plaintext": PLAINTEXT}),
    ),
    row("GenerateDataKey", data_key),
    row("GenerateDataKeyPair", data_key_pair),
    row("GenerateDataKeyPairWithoutPlaintext", data_key_pair),
    row("GenerateDataKeyWithoutPlaintext", data_key),
    row("GetKeyLastUsage", key_id),
    row("GetKeyPolicy", key_id),
    row("GetKeyRotationStatus", key_id),
    row("GetParametersForImport", |names| {
        json!({
            "KeyId": names.key,
            "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
            "WrappingKeySpec": "RSA_2048",
        })
    }),
    row("GetPublicKey", key_id),
    row("ImportKeyMaterial", |names| {
        json!({
            "KeyId": names.key,
            "ImportToken": NOTHING,
            "EncryptedKeyMaterial": NOTHING,
            "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        })
    }),
    row("ListAliases", key_id),
    row("ListGrants", key_id),
    row("ListKeyPolicies", key_id),
    row("ListKeyRotations", key_id),
    row("ListResourceTags", key_id),
    row(
        "PutKeyPolicy",
        |names| json!({"KeyId": names.key, "Policy": POLICY}),
    ),
    Row {
        operation: "ReEncrypt",
        action: "ReEncryptFrom",
        request: |names| {
            json!({
                "SourceKeyId": names.key,
                "CiphertextBlob": names.ciphertext,
                "DestinationKeyId": names.other,
            })
        },
    },
    Row {
        operation: "ReEncrypt",
        action: "ReEncryptTo",
        request: |names| {
            json!({
                "CiphertextBlob": names.other_ciphertext,
                "DestinationKeyId": names.key,
            })
        },
    },
    row("RetireGrant", grant),
    row("RevokeGrant", grant),
    row("RotateKeyOnDemand", key_id),
    row(
        "ScheduleKeyDeletion",
        |names| json!({"KeyId": names.key, "PendingWindowInDays": 7}),
    ),
    row(
        "TagResource",
        |names| json!({"KeyId": names.key, "Tags": [{"TagKey": "Team", "TagValue": "blue"}]}),
    ),
    row(
        "UntagResource",
        |names| json!({"KeyId": names.key, "TagKeys": ["Team"]}),
    ),
    row("UpdateAlias", alias),
    row(
        "UpdateKeyDescription",
        |names| json!({"KeyId": names.key, "Description": "described"}),
    ),
];

/// Operations that name none.
pub const WITHOUT_KEY: &[Row] = &[
    row("CreateKey", |_| json!({})),
    row("DeleteAlias", |names| json!({"AliasName": names.alias})),
    row("GenerateRandom", |_| json!({"NumberOfBytes": 32})),
    row("ListKeys", |_| json!({})),
    row(
        "ListRetirableGrants",
        |names| json!({"RetiringPrincipal": names.principal}),
    ),
];

/// The request with other values for some of its members; one that becomes null is left out.
pub fn with(mut request: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().expect("members") {
        request[name] = value.clone();
    }
    request
}

/// Whether requests of an operation have a member.
pub fn has(operation: &Operation, member: &str) -> bool {
    operation.input.iter().any(|known| known.name == member)
}

/// Whether requests of an operation name a key.
pub fn names_a_key(operation: &Operation) -> bool {
    [
        "KeyId",
        "SourceKeyId",
        "DestinationKeyId",
        "TargetKeyId",
        "GrantId",
    ]
    .iter()
    .any(|member| has(operation, member))
}
