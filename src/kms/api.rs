//! The API table: every operation, its members and their constraints; JSON to typed request and
//! back.
//!
//! Everything that speaks the API by name (the command line, later the endpoint) reads this
//! table. Source: AWS KMS API Reference, one page per operation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Kms;
use super::authorise::Caller;
use super::error::Exception;

/// The type of a member, with the constraints of the model.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Binary data; length in bytes.
    Blob(usize, usize),
    /// Text; length in characters.
    Text(usize, usize),
    /// One of a set of names.
    Choice(&'static [&'static str]),
    /// Pairs of strings.
    Map,
    /// A list of texts: the most items, then the length of each.
    Texts(usize, usize, usize),
    /// A list of names of a set.
    Choices(&'static [&'static str]),
    /// True or false.
    Boolean,
    /// A whole number within bounds.
    Integer(i64, i64),
}

/// A member of a request.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its name, as in JSON.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
}

/// An operation of the API.
pub struct Operation {
    /// Its name, as in `TrentService.NAME`.
    pub name: &'static str,
    /// One sentence for help texts.
    pub about: &'static str,
    /// Its request's members, in the order of the model.
    pub members: &'static [Member],
    call: fn(&Kms, &Caller, Value) -> Result<Value, Exception>,
}

const fn optional(name: &'static str, kind: Kind) -> Member {
    Member {
        name,
        kind,
        required: false,
    }
}

const fn required(name: &'static str, kind: Kind) -> Member {
    Member {
        name,
        kind,
        required: true,
    }
}

const KEY_ID: Kind = Kind::Text(1, 2048);
const ALIAS: Kind = Kind::Text(1, 256);
const CIPHERTEXT: Kind = Kind::Blob(1, 6144);
const TOKENS: Kind = Kind::Texts(10, 1, 8192);
const LIMIT: Kind = Kind::Integer(1, 1000);
const MARKER: Kind = Kind::Text(1, 1024);
const ALGORITHM: Kind = Kind::Choice(&[
    "SYMMETRIC_DEFAULT",
    "RSAES_OAEP_SHA_1",
    "RSAES_OAEP_SHA_256",
    "SM2PKE",
]);
const DATA_KEY_SPEC: Kind = Kind::Choice(&["AES_256", "AES_128"]);
const MODIFIERS: Kind = Kind::Choices(&["IGNORE_CIPHERTEXT"]);
const KEY_SPEC: Kind = Kind::Choice(&[
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "SYMMETRIC_DEFAULT",
    "HMAC_224",
    "HMAC_256",
    "HMAC_384",
    "HMAC_512",
    "SM2",
    "ML_DSA_44",
    "ML_DSA_65",
    "ML_DSA_87",
    "ECC_NIST_EDWARDS25519",
]);
const KEY_USAGE: Kind = Kind::Choice(&[
    "SIGN_VERIFY",
    "ENCRYPT_DECRYPT",
    "GENERATE_VERIFY_MAC",
    "KEY_AGREEMENT",
]);
const ORIGIN: Kind = Kind::Choice(&["AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"]);
const KEY_ONLY: &[Member] = &[required("KeyId", KEY_ID)];
const DATA_KEY: &[Member] = &[
    required("KeyId", KEY_ID),
    optional("EncryptionContext", Kind::Map),
    optional("NumberOfBytes", Kind::Integer(1, 1024)),
    optional("KeySpec", DATA_KEY_SPEC),
    optional("GrantTokens", TOKENS),
    optional("DryRun", Kind::Boolean),
];

macro_rules! operations {
    ($($name:literal, $about:literal, $method:ident, $members:expr;)*) => {
        /// Every operation, in alphabetical order.
        pub const OPERATIONS: &[Operation] = &[$(Operation {
            name: $name,
            about: $about,
            members: $members,
            call: |kms, caller, request| typed(request, |request| kms.$method(caller, &request)),
        }),*];
    };
}

operations! {
    "CancelKeyDeletion", "Cancel the deletion of a KMS key", cancel_key_deletion, KEY_ONLY;
    "CreateAlias", "Create a friendly name for a KMS key", create_alias, &[
        required("AliasName", ALIAS),
        required("TargetKeyId", KEY_ID),
    ];
    "CreateKey", "Create a KMS key", create_key, &[
        optional("Description", Kind::Text(0, 8192)),
        optional("KeyUsage", KEY_USAGE),
        optional("CustomerMasterKeySpec", KEY_SPEC),
        optional("KeySpec", KEY_SPEC),
        optional("Origin", ORIGIN),
        optional("MultiRegion", Kind::Boolean),
    ];
    "Decrypt", "Decrypt a ciphertext", decrypt, &[
        optional("CiphertextBlob", CIPHERTEXT),
        optional("EncryptionContext", Kind::Map),
        optional("GrantTokens", TOKENS),
        optional("KeyId", KEY_ID),
        optional("EncryptionAlgorithm", ALGORITHM),
        optional("DryRun", Kind::Boolean),
        optional("DryRunModifiers", MODIFIERS),
    ];
    "DeleteAlias", "Delete an alias", delete_alias, &[required("AliasName", ALIAS)];
    "DescribeKey", "Show what is known of a KMS key", describe_key, &[
        required("KeyId", KEY_ID),
        optional("GrantTokens", TOKENS),
    ];
    "DisableKey", "Keep a KMS key from being used", disable_key, KEY_ONLY;
    "EnableKey", "Let a KMS key be used again", enable_key, KEY_ONLY;
    "Encrypt", "Encrypt up to 4,096 bytes", encrypt, &[
        required("KeyId", KEY_ID),
        required("Plaintext", Kind::Blob(1, 4096)),
        optional("EncryptionContext", Kind::Map),
        optional("GrantTokens", TOKENS),
        optional("EncryptionAlgorithm", ALGORITHM),
        optional("DryRun", Kind::Boolean),
    ];
    "GenerateDataKey", "Make a data key, plain and wrapped", generate_data_key, DATA_KEY;
    "GenerateDataKeyWithoutPlaintext", "Make a data key, wrapped only",
        generate_data_key_without_plaintext, DATA_KEY;
    "GenerateRandom", "Make random bytes", generate_random, &[
        optional("NumberOfBytes", Kind::Integer(1, 1024)),
    ];
    "GetPublicKey", "Show the public key of an asymmetric KMS key", get_public_key, &[
        required("KeyId", KEY_ID),
        optional("GrantTokens", TOKENS),
    ];
    "ListAliases", "List aliases", list_aliases, &[
        optional("KeyId", KEY_ID),
        optional("Limit", LIMIT),
        optional("Marker", MARKER),
    ];
    "ListKeys", "List KMS keys", list_keys, &[
        optional("Limit", LIMIT),
        optional("Marker", MARKER),
    ];
    "ReEncrypt", "Decrypt and encrypt again entirely within the KMS", re_encrypt, &[
        optional("CiphertextBlob", CIPHERTEXT),
        optional("SourceEncryptionContext", Kind::Map),
        optional("SourceKeyId", KEY_ID),
        required("DestinationKeyId", KEY_ID),
        optional("DestinationEncryptionContext", Kind::Map),
        optional("SourceEncryptionAlgorithm", ALGORITHM),
        optional("DestinationEncryptionAlgorithm", ALGORITHM),
        optional("GrantTokens", TOKENS),
        optional("DryRun", Kind::Boolean),
        optional("DryRunModifiers", MODIFIERS),
    ];
    "RotateKeyOnDemand", "Give a symmetric KMS key new material", rotate_key_on_demand, KEY_ONLY;
    "ScheduleKeyDeletion", "Delete a KMS key after a waiting period", schedule_key_deletion, &[
        required("KeyId", KEY_ID),
        optional("PendingWindowInDays", Kind::Integer(1, 365)),
    ];
    "UpdateAlias", "Point an alias at another KMS key", update_alias, &[
        required("AliasName", ALIAS),
        required("TargetKeyId", KEY_ID),
    ];
}

impl Operation {
    /// Finds an operation by its name.
    pub fn find(name: &str) -> Option<&'static Self> {
        OPERATIONS.iter().find(|operation| operation.name == name)
    }

    /// Runs the operation on a JSON request.
    ///
    /// # Errors
    /// `ValidationException` for a request that breaks a constraint of the model, else the
    /// operation's own.
    pub fn run(&self, kms: &Kms, caller: &Caller, request: Value) -> Result<Value, Exception> {
        self.validate(&request)?;
        (self.call)(kms, caller, request)
    }

    /// Gives the strings of shorthand the types of their members: `true`, `7`, a lone list item.
    pub fn coerce(&self, mut request: Value) -> Value {
        if let Value::Object(members) = &mut request {
            for (name, value) in members.iter_mut() {
                let kind = self.members.iter().find(|member| member.name == name);
                if let (Some(member), Value::String(text)) = (kind, &*value) {
                    *value = match member.kind {
                        Kind::Boolean => text
                            .parse()
                            .map_or_else(|_| Value::String(text.clone()), Value::Bool),
                        Kind::Integer(..) => text
                            .parse::<i64>()
                            .map_or_else(|_| Value::String(text.clone()), Value::from),
                        Kind::Texts(..) | Kind::Choices(_) => {
                            Value::Array(vec![Value::String(text.clone())])
                        }
                        Kind::Blob(..) | Kind::Text(..) | Kind::Choice(_) | Kind::Map => continue,
                    };
                }
            }
        }
        request
    }

    /// Checks every constraint of the model and reports all that are broken at once.
    ///
    /// # Errors
    /// `ValidationException`.
    pub fn validate(&self, request: &Value) -> Result<(), Exception> {
        let Value::Object(given) = request else {
            return Err(Exception::validation("The request must be a JSON object"));
        };
        let mut faults: Vec<_> = given
            .keys()
            .filter(|name| {
                !self
                    .members
                    .iter()
                    .any(|member| member.name == name.as_str())
            })
            .map(|name| format!("Unknown member '{name}'"))
            .collect();
        for member in self.members {
            match given.get(member.name) {
                None | Some(Value::Null) if member.required => faults.push(format!(
                    "Value null at '{}' failed to satisfy constraint: Member must not be null",
                    lower_camel(member.name)
                )),
                None | Some(Value::Null) => {}
                Some(value) => check(&lower_camel(member.name), member.kind, value, &mut faults),
            }
        }
        if faults.is_empty() {
            return Ok(());
        }
        let plural = if faults.len() == 1 { "" } else { "s" };
        Err(Exception::validation(format!(
            "{} validation error{plural} detected: {}",
            faults.len(),
            faults.join("; ")
        )))
    }
}

fn typed<Q: DeserializeOwned, R: Serialize>(
    request: Value,
    call: impl FnOnce(Q) -> Result<R, Exception>,
) -> Result<Value, Exception> {
    // Null is absent, as in the service.
    let request = match request {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .collect(),
        ),
        other => other,
    };
    let request = serde_json::from_value(request)
        .map_err(|e| Exception::validation(format!("The request is malformed: {e}")))?;
    let response = call(request)?;
    Ok(serde_json::to_value(response).expect("internal error: a response is always JSON"))
}

fn lower_camel(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_ascii_lowercase().to_string() + chars.as_str()
    })
}

fn check(at: &str, kind: Kind, value: &Value, faults: &mut Vec<String>) {
    let wrong_type = |expected: &str| format!("Value at '{at}' is not {expected}");
    let mut length = |shown: Option<&str>, found: usize, least: usize, most: usize| {
        let shown = shown.map_or(String::new(), |text| format!(" '{text}'"));
        let mut fault = |bound: String| {
            faults.push(format!(
                "Value{shown} at '{at}' failed to satisfy constraint: Member must have {bound}"
            ));
        };
        if found < least {
            fault(format!("length greater than or equal to {least}"));
        }
        if found > most {
            fault(format!("length less than or equal to {most}"));
        }
    };
    match (kind, value) {
        (Kind::Blob(least, most), Value::String(text)) => match STANDARD.decode(text) {
            Ok(bytes) => length(None, bytes.len(), least, most),
            Err(_) => faults.push(wrong_type("base64")),
        },
        (Kind::Text(least, most), Value::String(text)) => {
            length(Some(text), text.chars().count(), least, most);
        }
        (Kind::Choice(names), Value::String(text)) => {
            if !names.contains(&text.as_str()) {
                faults.push(not_in_set(at, text, names));
            }
        }
        (Kind::Map, Value::Object(pairs)) => {
            if pairs.values().any(|value| !value.is_string()) {
                faults.push(wrong_type("a map of strings"));
            }
        }
        (Kind::Texts(items, least, most), Value::Array(list)) => {
            length(None, list.len(), 0, items);
            for item in list {
                check(
                    &format!("{at}.member"),
                    Kind::Text(least, most),
                    item,
                    faults,
                );
            }
        }
        (Kind::Choices(names), Value::Array(list)) => {
            for item in list {
                check(&format!("{at}.member"), Kind::Choice(names), item, faults);
            }
        }
        (Kind::Boolean, Value::Bool(_)) => {}
        (Kind::Integer(least, most), Value::Number(number)) => {
            let bound = match number.as_i64() {
                None => return faults.push(wrong_type("an integer")),
                Some(found) if found < least => format!("greater than or equal to {least}"),
                Some(found) if found > most => format!("less than or equal to {most}"),
                Some(_) => return,
            };
            faults.push(format!(
                "Value '{number}' at '{at}' failed to satisfy constraint: Member must have value {bound}"
            ));
        }
        (Kind::Blob(..) | Kind::Text(..) | Kind::Choice(_), _) => {
            faults.push(wrong_type("a string"))
        }
        (Kind::Map, _) => faults.push(wrong_type("a map")),
        (Kind::Texts(..) | Kind::Choices(_), _) => faults.push(wrong_type("a list")),
        (Kind::Boolean, _) => faults.push(wrong_type("a boolean")),
        (Kind::Integer(..), _) => faults.push(wrong_type("an integer")),
    }
}

fn not_in_set(at: &str, text: &str, names: &[&str]) -> String {
    format!(
        "Value '{text}' at '{at}' failed to satisfy constraint: Member must satisfy enum value \
         set: [{}]",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_broken_constraint_is_named_at_once() {
        let operation = Operation::find("ReEncrypt").expect("in the table");
        let error = operation
            .validate(&json!({"CiphertextBlob": "", "SourceEncryptionAlgorithm": "ROT13"}))
            .expect_err("three faults");
        assert_eq!(
            error.message(),
            Some(
                "3 validation errors detected: Value at 'ciphertextBlob' failed to satisfy \
                 constraint: Member must have length greater than or equal to 1; Value null at \
                 'destinationKeyId' failed to satisfy constraint: Member must not be null; Value \
                 'ROT13' at 'sourceEncryptionAlgorithm' failed to satisfy constraint: Member must \
                 satisfy enum value set: [SYMMETRIC_DEFAULT, RSAES_OAEP_SHA_1, \
                 RSAES_OAEP_SHA_256, SM2PKE]"
            )
        );
    }

    #[test]
    fn members_of_the_wrong_type_are_refused() {
        for member in OPERATIONS.iter().flat_map(|operation| operation.members) {
            for wrong in [json!({"a": 1}), json!([1]), json!(1.5), json!(-1)] {
                let mut faults = Vec::new();
                check("member", member.kind, &wrong, &mut faults);
                assert!(!faults.is_empty(), "{} takes {wrong}", member.name);
            }
        }
    }
}
