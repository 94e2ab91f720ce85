//! The API table: every operation with its request and response; JSON to typed request and back.
//!
//! Everything that speaks the API by name (the command line, the endpoint) reads this table.
//! Source: AWS KMS API Reference, one page per operation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Kms;
use super::call::Call;
use super::caller::Caller;
use super::error::Exception;
pub use super::shape::{Described, Member, Shape};
use super::shapes as s;

/// How a listing is paged: all have `Marker`, `NextMarker`, `Truncated` and `Limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The member that holds the items.
    pub result: &'static str,
}

/// An operation of the API.
pub struct Operation {
    /// Its name, as in `TrentService.NAME`.
    pub name: &'static str,
    /// One sentence for help texts.
    pub about: &'static str,
    /// Its request's members, in the order of the model.
    pub input: &'static [Member],
    /// Its response's members, in the order of the model; none for operations without output.
    pub output: &'static [Member],
    /// How it is paged, if it is a listing.
    pub page: Option<Page>,
    call: fn(&Kms, &mut Call<'_>, Value) -> Result<Value, Exception>,
}

const fn members(shape: Shape) -> &'static [Member] {
    match shape {
        Shape::Structure(members) => members,
        Shape::Text(..)
        | Shape::Blob(..)
        | Shape::Integer(..)
        | Shape::Boolean
        | Shape::Timestamp
        | Shape::Choice(_)
        | Shape::Map
        | Shape::List(..) => &[],
    }
}

macro_rules! operations {
    ($($name:literal $method:ident($request:ident) -> $response:ident $([$result:literal])?, $about:literal;)*) => {
        /// Every operation, in alphabetical order.
        pub const OPERATIONS: &[Operation] = &[$(Operation {
            name: $name,
            about: $about,
            input: members(<s::$request as Described>::SHAPE),
            output: members(<s::$response as Described>::SHAPE),
            page: operations!(@page $($result)?),
            call: |kms, call, request| {
                typed(request, |request: s::$request| -> Result<s::$response, Exception> {
                    kms.$method(call, &request)
                })
            },
        }),*];
    };
    (@page) => { None };
    (@page $result:literal) => { Some(Page { result: $result }) };
}

operations! {
    "CancelKeyDeletion" cancel_key_deletion(KeyIdRequest) -> KeyIdResponse,
        "Cancel the deletion of a KMS key";
    "CreateAlias" create_alias(AliasRequest) -> Nothing, "Create a friendly name for a KMS key";
    "CreateGrant" create_grant(CreateGrantRequest) -> CreateGrantResponse,
        "Let a principal use a KMS key";
    "CreateKey" create_key(CreateKeyRequest) -> KeyMetadataResponse, "Create a KMS key";
    "Decrypt" decrypt(DecryptRequest) -> DecryptResponse, "Decrypt a ciphertext";
    "DeleteAlias" delete_alias(DeleteAliasRequest) -> Nothing, "Delete an alias";
    "DeleteImportedKeyMaterial" delete_imported_key_material(DeleteImportedKeyMaterialRequest)
        -> DeleteImportedKeyMaterialResponse, "Delete key material that was imported";
    "DescribeKey" describe_key(KeyIdAndTokensRequest) -> KeyMetadataResponse,
        "Show what is known of a KMS key";
    "DisableKey" disable_key(KeyIdRequest) -> Nothing, "Keep a KMS key from being used";
    "DisableKeyRotation" disable_key_rotation(KeyIdRequest) -> Nothing,
        "Stop rotating a KMS key automatically";
    "EnableKey" enable_key(KeyIdRequest) -> Nothing, "Let a KMS key be used again";
    "EnableKeyRotation" enable_key_rotation(EnableKeyRotationRequest) -> Nothing,
        "Rotate a KMS key automatically";
    "Encrypt" encrypt(EncryptRequest) -> EncryptResponse, "Encrypt up to 4,096 bytes";
    "GenerateDataKey" generate_data_key(GenerateDataKeyRequest) -> GenerateDataKeyResponse,
        "Make a data key, plain and wrapped";
    "GenerateDataKeyPair" generate_data_key_pair(GenerateDataKeyPairRequest)
        -> GenerateDataKeyPairResponse, "Make a key pair, the private key plain and wrapped";
    "GenerateDataKeyPairWithoutPlaintext"
        generate_data_key_pair_without_plaintext(GenerateDataKeyPairWithoutPlaintextRequest)
        -> GenerateDataKeyPairWithoutPlaintextResponse,
        "Make a key pair, the private key wrapped only";
    "GenerateDataKeyWithoutPlaintext"
        generate_data_key_without_plaintext(GenerateDataKeyWithoutPlaintextRequest)
        -> GenerateDataKeyWithoutPlaintextResponse, "Make a data key, wrapped only";
    "GenerateRandom" generate_random(GenerateRandomRequest) -> GenerateRandomResponse,
        "Make random bytes";
    "GetKeyLastUsage" get_key_last_usage(KeyIdRequest) -> GetKeyLastUsageResponse,
        "Show when a KMS key was used last";
    "GetKeyPolicy" get_key_policy(GetKeyPolicyRequest) -> GetKeyPolicyResponse,
        "Show the policy of a KMS key";
    "GetKeyRotationStatus" get_key_rotation_status(KeyIdRequest) -> GetKeyRotationStatusResponse,
        "Show whether a KMS key rotates automatically";
    "GetParametersForImport" get_parameters_for_import(GetParametersForImportRequest)
        -> GetParametersForImportResponse, "Get what is needed to import key material";
    "GetPublicKey" get_public_key(KeyIdAndTokensRequest) -> GetPublicKeyResponse,
        "Show the public key of an asymmetric KMS key";
    "ImportKeyMaterial" import_key_material(ImportKeyMaterialRequest) -> ImportKeyMaterialResponse,
        "Import key material";
    "ListAliases" list_aliases(ListAliasesRequest) -> ListAliasesResponse ["Aliases"],
        "List aliases";
    "ListGrants" list_grants(ListGrantsRequest) -> ListGrantsResponse ["Grants"],
        "List the grants of a KMS key";
    "ListKeyPolicies" list_key_policies(ListOfKeyRequest) -> ListKeyPoliciesResponse
        ["PolicyNames"], "List the names of the policies of a KMS key";
    "ListKeyRotations" list_key_rotations(ListKeyRotationsRequest) -> ListKeyRotationsResponse
        ["Rotations"], "List the rotations of a KMS key";
    "ListKeys" list_keys(ListKeysRequest) -> ListKeysResponse ["Keys"], "List KMS keys";
    "ListResourceTags" list_resource_tags(ListOfKeyRequest) -> ListResourceTagsResponse ["Tags"],
        "List the tags of a KMS key";
    "ListRetirableGrants" list_retirable_grants(ListRetirableGrantsRequest) -> ListGrantsResponse
        ["Grants"], "List the grants that a principal may retire";
    "PutKeyPolicy" put_key_policy(PutKeyPolicyRequest) -> Nothing, "Set the policy of a KMS key";
    "ReEncrypt" re_encrypt(ReEncryptRequest) -> ReEncryptResponse,
        "Decrypt and encrypt again entirely within the KMS";
    "RetireGrant" retire_grant(RetireGrantRequest) -> Nothing,
        "End a grant, as one of those it concerns";
    "RevokeGrant" revoke_grant(RevokeGrantRequest) -> Nothing,
        "End a grant, as an administrator of its key";
    "RotateKeyOnDemand" rotate_key_on_demand(KeyIdRequest) -> KeyIdResponse,
        "Give a symmetric KMS key new material";
    "ScheduleKeyDeletion" schedule_key_deletion(ScheduleKeyDeletionRequest)
        -> ScheduleKeyDeletionResponse, "Delete a KMS key after a waiting period";
    "TagResource" tag_resource(TagResourceRequest) -> Nothing, "Add or change tags of a KMS key";
    "UntagResource" untag_resource(UntagResourceRequest) -> Nothing, "Remove tags of a KMS key";
    "UpdateAlias" update_alias(AliasRequest) -> Nothing, "Point an alias at another KMS key";
    "UpdateKeyDescription" update_key_description(UpdateKeyDescriptionRequest) -> Nothing,
        "Change the description of a KMS key";
}

impl Operation {
    /// Finds an operation by its name.
    pub fn find(name: &str) -> Option<&'static Self> {
        OPERATIONS.iter().find(|operation| operation.name == name)
    }

    /// Gives the strings of shorthand the types of their members: `true`, `7`, a lone list item.
    pub fn coerce(&self, mut request: Value) -> Value {
        if let Value::Object(members) = &mut request {
            for (name, value) in members.iter_mut() {
                let member = self.input.iter().find(|member| member.name == name);
                if let (Some(member), Value::String(text)) = (member, &*value) {
                    *value = match member.shape {
                        Shape::Boolean => text
                            .parse()
                            .map_or_else(|_| Value::String(text.clone()), Value::Bool),
                        Shape::Integer(..) => text
                            .parse::<i64>()
                            .map_or_else(|_| Value::String(text.clone()), Value::from),
                        Shape::List(..) => Value::Array(vec![Value::String(text.clone())]),
                        Shape::Blob(..)
                        | Shape::Text(..)
                        | Shape::Choice(_)
                        | Shape::Timestamp
                        | Shape::Structure(_)
                        | Shape::Map => continue,
                    };
                }
            }
        }
        request
    }

    /// Checks every constraint of the model and reports all that are broken at once.
    ///
    /// # Errors
    /// `SerializationException` for a member of another type or an unknown one,
    /// `ValidationException` for those out of bounds.
    pub fn validate(&self, request: &Value) -> Result<(), Exception> {
        let Value::Object(given) = request else {
            return Err(Exception::serialization(
                "The request must be a JSON object",
            ));
        };
        let mut faults = Vec::new();
        check_members("", self.input, given, &mut faults)?;
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

impl Kms {
    /// Runs an operation on a JSON request.
    ///
    /// # Errors
    /// Those of [`Operation::validate`], else the operation's own.
    pub fn call(
        &self,
        caller: &Caller,
        operation: &'static Operation,
        request: Value,
    ) -> Result<Value, Exception> {
        self.perform(caller, operation.name, |call| {
            operation.validate(&request)?;
            if call.is_recorded() {
                call.parameters = recorded(operation.input, &request);
            }
            (operation.call)(self, call, request)
        })
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
        .map_err(|e| Exception::serialization(format!("The request is malformed: {e}")))?;
    let response = call(request)?;
    Ok(serde_json::to_value(response).expect("internal error: a response is always JSON"))
}

/// Items that a list is checked for one by one, where the model sets no bound.
const MOST_ITEMS: usize = 1000;

/// A request as it stands in the record: names in lower camel case, no blobs, no tokens.
fn recorded(members: &[Member], request: &Value) -> Map<String, Value> {
    let Value::Object(given) = request else {
        return Map::new();
    };
    members
        .iter()
        .filter(|member| !matches!(member.shape, Shape::Blob(..)))
        .filter(|member| !matches!(member.name, "GrantTokens" | "GrantToken"))
        .filter_map(|member| {
            let value = given.get(member.name).filter(|value| !value.is_null())?;
            let value = recorded_value(member.shape, value);
            Some((lower_camel(member.name), value))
        })
        .collect()
}

fn recorded_value(shape: Shape, value: &Value) -> Value {
    match (shape, value) {
        (Shape::Structure(members), value) => Value::Object(recorded(members, value)),
        (Shape::List(item, ..), Value::Array(list)) => list
            .iter()
            .map(|value| recorded_value(*item, value))
            .collect(),
        (_, value) => value.clone(),
    }
}

fn lower_camel(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_ascii_lowercase().to_string() + chars.as_str()
    })
}

fn check_members(
    at: &str,
    members: &[Member],
    given: &Map<String, Value>,
    faults: &mut Vec<String>,
) -> Result<(), Exception> {
    if let Some(unknown) = given
        .keys()
        .find(|name| !members.iter().any(|member| member.name == name.as_str()))
    {
        return Err(Exception::serialization(format!(
            "Unknown member{}",
            shown(unknown)
        )));
    }
    for member in members {
        let place = format!("{at}{}", lower_camel(member.name));
        match given.get(member.name) {
            None | Some(Value::Null) if member.required => faults.push(format!(
                "Value null at '{place}' failed to satisfy constraint: Member must not be null"
            )),
            None | Some(Value::Null) => {}
            Some(value) => check(&place, member.shape, value, faults)?,
        }
    }
    Ok(())
}

/// Checks one value. A value of another type ends the check: nothing can be said of the rest.
fn check(at: &str, shape: Shape, value: &Value, faults: &mut Vec<String>) -> Result<(), Exception> {
    match (shape, value) {
        (Shape::Blob(least, most), Value::String(text)) => {
            // In a type that is wiped: it may be a plaintext.
            let bytes = STANDARD.decode(text).map(s::Blob).map_err(|_| {
                Exception::serialization(format!("The member at '{at}' is not base64"))
            })?;
            length(at, None, bytes.0.len(), least, most, faults);
        }
        (Shape::Text(least, most), Value::String(text)) => {
            length(at, Some(text), text.chars().count(), least, most, faults);
            pattern(at, text, faults);
        }
        (Shape::Choice(names), Value::String(text)) => {
            if !names.contains(&text.as_str()) {
                faults.push(format!(
                    "Value{} at '{at}' failed to satisfy constraint: Member must satisfy enum \
                     value set: [{}]",
                    shown(text),
                    names.join(", ")
                ));
            }
        }
        (Shape::Map, Value::Object(pairs)) => {
            if let Some(wrong) = pairs.values().find(|value| !value.is_string()) {
                return Err(wrong_type(wrong, "String"));
            }
        }
        (Shape::List(item, least, most), Value::Array(list)) => {
            length(at, None, list.len(), least, most, faults);
            if list.len() > most.min(MOST_ITEMS) {
                return Ok(());
            }
            for (index, value) in list.iter().enumerate() {
                let place = match item {
                    Shape::Structure(_) => format!("{at}.{}.member", index + 1),
                    _ => format!("{at}.member"),
                };
                check(&place, *item, value, faults)?;
            }
        }
        (Shape::Structure(members), Value::Object(given)) => {
            check_members(&format!("{at}."), members, given, faults)?;
        }
        (Shape::Boolean, Value::Bool(_)) | (Shape::Timestamp, Value::Number(_)) => {}
        (Shape::Integer(least, most), Value::Number(number)) => {
            let found = number
                .as_i64()
                .ok_or_else(|| wrong_type(value, "Integer"))?;
            let bound = if found < least {
                format!("greater than or equal to {least}")
            } else if found > most {
                format!("less than or equal to {most}")
            } else {
                return Ok(());
            };
            faults.push(format!(
                "Value '{number}' at '{at}' failed to satisfy constraint: Member must have value \
                 {bound}"
            ));
        }
        (Shape::Blob(..) | Shape::Text(..) | Shape::Choice(_), _) => {
            return Err(wrong_type(value, "String"));
        }
        (Shape::Map, _) => return Err(wrong_type(value, "Map")),
        (Shape::List(..), _) => return Err(wrong_type(value, "List")),
        (Shape::Structure(_), _) => return Err(wrong_type(value, "Structure")),
        (Shape::Boolean, _) => return Err(wrong_type(value, "Boolean")),
        (Shape::Integer(..), _) => return Err(wrong_type(value, "Integer")),
        (Shape::Timestamp, _) => return Err(wrong_type(value, "Timestamp")),
    }
    Ok(())
}

/// Names of members, a pattern, and the letters that it matches.
type Pattern = (&'static [&'static str], &'static str, fn(char) -> bool);

/// The patterns of the model, by the names of members: as texts, and as what they match.
#[rustfmt::skip]
const PATTERNS: &[Pattern] = &[
    (&["name"], "^[a-zA-Z0-9:/_-]+$",
        |c| c.is_ascii_alphanumeric() || ":/_-".contains(c)),
    (&["granteePrincipal", "retiringPrincipal"], r"^[\w+=,.@:/-]+$",
        |c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c)),
    (&["policyName"], r"[\w]+", |c| c.is_ascii_alphanumeric() || c == '_'),
    (&["keyMaterialId"], "^[a-f0-9]+$", |c| matches!(c, 'a'..='f' | '0'..='9')),
    (&["keyMaterialDescription"], r"^[a-zA-Z0-9:/_\s.-]+$",
        |c| c.is_ascii_alphanumeric() || c.is_whitespace() || ":/_.-".contains(c)),
    (&["policy"], r"[\u0009\u000A\u000D\u0020-\u00FF]+",
        |c| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}')),
    (&["marker"], r"[\u0020-\u00FF]*", |c| matches!(c, '\u{20}'..='\u{ff}')),
];

fn pattern(at: &str, text: &str, faults: &mut Vec<String>) {
    let found = PATTERNS.iter().find(|(names, ..)| names.contains(&at));
    if let Some((_, pattern, matches)) = found
        && !text.chars().all(matches)
    {
        faults.push(format!(
            "Value{} at '{at}' failed to satisfy constraint: Member must satisfy regular \
             expression pattern: {pattern}",
            shown(text)
        ));
    }
}

fn length(
    at: &str,
    given: Option<&str>,
    found: usize,
    least: usize,
    most: usize,
    faults: &mut Vec<String>,
) {
    let bound = if found < least {
        format!("greater than or equal to {least}")
    } else if found > most {
        format!("less than or equal to {most}")
    } else {
        return;
    };
    let shown = given.map_or(String::new(), shown);
    faults.push(format!(
        "Value{shown} at '{at}' failed to satisfy constraint: Member must have length {bound}"
    ));
}

/// A value as a message repeats it; what is far too long is not repeated.
fn shown(text: &str) -> String {
    if text.len() > 2048 {
        return String::new();
    }
    format!(" '{text}'")
}

fn wrong_type(found: &Value, expected: &str) -> Exception {
    let found = match found {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => {
            return Exception::serialization("Start of list found where not expected");
        }
        Value::Object(_) => {
            return Exception::serialization("Start of structure or map found where not expected.");
        }
    };
    Exception::serialization(format!("{found} can not be converted to a {expected}"))
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
        for member in OPERATIONS.iter().flat_map(|operation| operation.input) {
            let wrong = match member.shape {
                Shape::Map | Shape::Structure(_) => [json!("x"), json!([1]), json!({"a": 1})],
                Shape::Integer(..) => [json!("x"), json!({}), json!(1.5)],
                Shape::Timestamp => [json!("x"), json!({}), json!(true)],
                Shape::Text(..)
                | Shape::Blob(..)
                | Shape::Boolean
                | Shape::Choice(_)
                | Shape::List(..) => [json!({"a": 1}), json!([1]), json!(1.5)],
            };
            for wrong in wrong {
                let mut faults = Vec::new();
                let error = check("member", member.shape, &wrong, &mut faults)
                    .expect_err(&format!("{} takes {wrong}", member.name));
                assert_eq!(error.kind().name(), "SerializationException");
            }
        }
    }

    #[test]
    fn the_table_is_in_order_and_every_name_is_in_pascal_case() {
        assert!(
            OPERATIONS
                .windows(2)
                .all(|pair| pair[0].name < pair[1].name)
        );
        for operation in OPERATIONS {
            for member in operation.input.iter().chain(operation.output) {
                assert!(member.name.starts_with(|c: char| c.is_ascii_uppercase()));
            }
        }
    }
}
