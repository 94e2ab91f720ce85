//! Every operation answers in every key state what the table of key states says.
//!
//! The table is that of the AWS KMS Developer Guide, "Key states of AWS KMS keys"; the comments at
//! the cells give the numbers of its footnotes. Two kinds of cells follow recorded answers of the
//! real service instead: GetPublicKey answers for a disabled key (the page says footnote 1), and
//! a key that is pending deletion is always an invalid state (the page allows footnote 2). Rows
//! that the page does not have stand at the end of the table, with what they were taken from.

mod support;

#[path = "support/by_name.rs"]
mod by_name;

use by_name::{ACCOUNT, Fault, STATES, Service, text};
use rekeyfs::kms::api::OPERATIONS;
use serde_json::{Value, json};

/// What an operation answers in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// It succeeds.
    Yes,
    /// Footnote 1: the key is disabled.
    Disabled,
    /// Footnote 3: the key is pending deletion.
    Deletion,
    /// Footnote 4: the key is not pending deletion.
    NotDeletion,
    /// Footnote 5: the key is pending import.
    Import,
    /// Footnotes 6, 7 and 9 for keys of the wrong origin.
    Origin,
    /// Footnote 7 for keys that are no symmetric encryption keys: without a message.
    Unsupported,
    /// Footnotes 1 and 7 both apply, and no source says which comes first.
    DisabledOrOrigin,
    /// Footnotes 3 and 7, or 3 and 9.
    DeletionOrOrigin,
    /// Footnotes 1 and 7.
    DisabledOrUnsupported,
    /// Footnotes 3 and 7.
    DeletionOrUnsupported,
    /// Such a key is never in that state.
    Never,
}

/// The key on which an operation is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    /// Symmetric, of origin AWS_KMS; of origin EXTERNAL for PendingImport.
    Usual,
    /// Symmetric, of origin AWS_KMS.
    Made,
    /// Symmetric, of origin EXTERNAL, its material imported.
    Imported,
    /// RSA_2048; of origin EXTERNAL for PendingImport.
    Pair,
    /// HMAC_256.
    Mac,
}

/// The operation and how it meets the key; the key; and the answers in the order of [`STATES`].
type Row = (&'static str, On, [Cell; 4]);

use Cell::{
    Deletion, DeletionOrOrigin, DeletionOrUnsupported, Disabled, DisabledOrOrigin,
    DisabledOrUnsupported, Import, Never, NotDeletion, Origin, Unsupported, Yes,
};
use On::{Imported, Mac, Made, Pair, Usual};

#[rustfmt::skip]
const TABLE: &[Row] = &[
    //                                                Enabled       Disabled               PendingDeletion        PendingImport
    // Cryptographic operations: footnotes 1, 3, 5.
    ("Encrypt",                             Usual,    [Yes,         Disabled,              Deletion,              Import]),
    ("Decrypt",                             Usual,    [Yes,         Disabled,              Deletion,              Import]),
    ("ReEncrypt from the key",              Usual,    [Yes,         Disabled,              Deletion,              Import]),
    ("ReEncrypt to the key",                Usual,    [Yes,         Disabled,              Deletion,              Import]),
    ("GenerateDataKey",                     Usual,    [Yes,         Disabled,              Deletion,              Import]),
    ("GenerateDataKeyWithoutPlaintext",     Usual,    [Yes,         Disabled,              Deletion,              Import]),
    ("GenerateDataKeyPair",                 Usual,    [Yes,         Disabled,              Deletion,              Import]),
    ("GenerateDataKeyPairWithoutPlaintext", Usual,    [Yes,         Disabled,              Deletion,              Import]),
    ("GetPublicKey",                        Pair,     [Yes,         Yes,                   Deletion,              Import]),
    // Grants: making one is like using the key, everything else is always possible.
    ("CreateGrant",                         Usual,    [Yes,         Disabled,              Deletion,              Import]),
    ("ListGrants",                          Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    ("RetireGrant",                         Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    ("RevokeGrant",                         Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    // What a key is and who may use it.
    ("DescribeKey",                         Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    ("GetKeyPolicy",                        Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    ("PutKeyPolicy",                        Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    ("ListKeyPolicies",                     Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    ("ListResourceTags",                    Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    ("TagResource",                         Usual,    [Yes,         Yes,                   Deletion,              Yes]),
    ("UntagResource",                       Usual,    [Yes,         Yes,                   Deletion,              Yes]),
    ("UpdateKeyDescription",                Usual,    [Yes,         Yes,                   Deletion,              Yes]),
    // Aliases; footnote 10: only the key that an alias is moved to counts.
    ("CreateAlias",                         Usual,    [Yes,         Yes,                   Deletion,              Yes]),
    ("UpdateAlias to the key",              Usual,    [Yes,         Yes,                   Deletion,              Yes]),
    ("UpdateAlias away from the key",       Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    ("DeleteAlias",                         Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    ("ListAliases",                         Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    // States themselves.
    ("EnableKey",                           Usual,    [Yes,         Yes,                   Deletion,              Import]),
    ("DisableKey",                          Usual,    [Yes,         Yes,                   Deletion,              Import]),
    ("ScheduleKeyDeletion",                 Usual,    [Yes,         Yes,                   Deletion,              Yes]),
    ("CancelKeyDeletion",                   Usual,    [NotDeletion, NotDeletion,           Yes,                   NotDeletion]),
    // Rotation: footnote 6 for PendingImport, footnote 7 for keys that cannot be rotated.
    ("EnableKeyRotation",                   Usual,    [Yes,         Disabled,              Deletion,              Origin]),
    ("EnableKeyRotation",                   Imported, [Origin,      DisabledOrOrigin,      DeletionOrOrigin,      Origin]),
    ("EnableKeyRotation",                   Mac,      [Unsupported, DisabledOrUnsupported, DeletionOrUnsupported, Never]),
    ("DisableKeyRotation",                  Usual,    [Yes,         Disabled,              Deletion,              Origin]),
    ("DisableKeyRotation",                  Imported, [Origin,      DisabledOrOrigin,      DeletionOrOrigin,      Origin]),
    ("DisableKeyRotation",                  Mac,      [Unsupported, DisabledOrUnsupported, DeletionOrUnsupported, Never]),
    ("GetKeyRotationStatus",                Usual,    [Yes,         Yes,                   Yes,                   Origin]),
    ("GetKeyRotationStatus",                Mac,      [Unsupported, Unsupported,           Unsupported,           Never]),
    // Imported material: footnote 9 for keys of origin AWS_KMS, footnote 8 is 3 for imported ones.
    ("GetParametersForImport",              Imported, [Yes,         Yes,                   Deletion,              Yes]),
    ("GetParametersForImport",              Made,     [Origin,      Origin,                DeletionOrOrigin,      Never]),
    ("ImportKeyMaterial",                   Imported, [Yes,         Yes,                   Deletion,              Yes]),
    ("ImportKeyMaterial",                   Made,     [Origin,      Origin,                DeletionOrOrigin,      Never]),
    ("DeleteImportedKeyMaterial",           Imported, [Yes,         Yes,                   Yes,                   Yes]),
    ("DeleteImportedKeyMaterial",           Made,     [Origin,      Origin,                Origin,                Never]),
    // Not on that page. RotateKeyOnDemand: the exceptions of its page in the API Reference, read
    // as those of a cryptographic operation. The other two only report.
    ("RotateKeyOnDemand",                   Usual,    [Yes,         Disabled,              Deletion,              Import]),
    ("ListKeyRotations",                    Usual,    [Yes,         Yes,                   Yes,                   Yes]),
    ("GetKeyLastUsage",                     Usual,    [Yes,         Yes,                   Yes,                   Yes]),
];

/// Operations without a row, and why.
const WITHOUT_ROW: &[(&str, &[&str])] = &[
    (
        "they are about no existing key",
        &[
            "CreateKey",
            "ListKeys",
            "GenerateRandom",
            "ListRetirableGrants",
        ],
    ),
    (
        "multi-Region keys are refused whatever their state",
        &["ReplicateKey", "UpdatePrimaryRegion"],
    ),
    (
        "this KMS does not sign, authenticate or agree on keys",
        &[
            "Sign",
            "Verify",
            "GenerateMac",
            "VerifyMac",
            "DeriveSharedSecret",
        ],
    ),
    (
        "this KMS has no custom key stores",
        &[
            "ConnectCustomKeyStore",
            "CreateCustomKeyStore",
            "DeleteCustomKeyStore",
            "DescribeCustomKeyStores",
            "DisconnectCustomKeyStore",
            "UpdateCustomKeyStore",
        ],
    ),
];

/// Rows whose request needs something that only a key with material can make, so that for
/// PendingImport the material is imported and deleted again; otherwise it was never imported.
const NEEDS_MATERIAL: &[&str] = &[
    "Decrypt",
    "ReEncrypt from the key",
    "RetireGrant",
    "RevokeGrant",
];

fn operation(row: &str) -> &str {
    row.split(' ').next().unwrap_or(row)
}

/// The answers that a cell accepts; none: success.
fn faults(cell: Cell, arn: &str, origin: &str) -> Vec<Fault> {
    let fault = |name: &'static str, fact: &str| (name, Some(format!("{arn} {fact}")));
    let disabled = fault("DisabledException", "is disabled.");
    let deletion = fault("KMSInvalidStateException", "is pending deletion.");
    let wrong_origin = fault(
        "UnsupportedOperationException",
        &format!("origin is {origin} which is not valid for this operation."),
    );
    let unsupported = ("UnsupportedOperationException", None);
    match cell {
        Yes | Never => vec![],
        Disabled => vec![disabled],
        Deletion => vec![deletion],
        NotDeletion => vec![fault(
            "KMSInvalidStateException",
            "is not pending deletion.",
        )],
        Import => vec![fault("KMSInvalidStateException", "is pending import.")],
        Origin => vec![wrong_origin],
        Unsupported => vec![unsupported],
        DisabledOrOrigin => vec![disabled, wrong_origin],
        DeletionOrOrigin => vec![deletion, wrong_origin],
        DisabledOrUnsupported => vec![disabled, unsupported],
        DeletionOrUnsupported => vec![deletion, unsupported],
    }
}

/// The state after a success; `None`: the sources do not say.
fn state_after(operation: &str, before: &'static str) -> Option<&'static str> {
    match (operation, before) {
        ("EnableKey", _) => Some("Enabled"),
        // A cancelled deletion never leaves the key enabled.
        ("DisableKey" | "CancelKeyDeletion", _) => Some("Disabled"),
        ("ScheduleKeyDeletion", _) => Some("PendingDeletion"),
        ("ImportKeyMaterial", "Disabled") => None,
        ("ImportKeyMaterial", _) => Some("Enabled"),
        ("DeleteImportedKeyMaterial", "Enabled" | "Disabled") => Some("PendingImport"),
        _ => Some(before),
    }
}

struct Keys {
    service: Service,
    /// An enabled symmetric key, for the other side of an operation.
    other: String,
}

impl Keys {
    fn create(&self, on: On, external: bool) -> String {
        let mut request = match on {
            Usual | Made | Imported => json!({}),
            Pair => json!({"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}),
            Mac => json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}),
        };
        if external {
            request["Origin"] = json!("EXTERNAL");
        }
        self.service.create(request)
    }

    fn sealed(&self, arn: &str) -> String {
        let request = json!({"KeyId": arn, "Plaintext": "aGk="});
        text(&self.service.must("Encrypt", request), "CiphertextBlob")
    }

    /// An alias that only this key has a use for.
    fn alias(&self, arn: &str, target: Option<&str>) -> String {
        let id = arn.rsplit('/').next().unwrap_or_default();
        let name = format!("alias/{id}");
        if let Some(target) = target {
            let request = json!({"AliasName": name, "TargetKeyId": target});
            self.service.must("CreateAlias", request);
        }
        name
    }

    fn grant(arn: &str) -> Value {
        let root = format!("arn:aws:iam::{ACCOUNT}:root");
        json!({
            "KeyId": arn,
            "GranteePrincipal": root,
            "RetiringPrincipal": root,
            "Operations": ["Decrypt"],
        })
    }

    /// The least valid request of a row; what it refers to is made, while the key can still be
    /// used.
    fn request(&self, row: &str, arn: &str, external: bool) -> Value {
        match row {
            "Encrypt" => json!({"KeyId": arn, "Plaintext": "aGk="}),
            "Decrypt" => json!({"KeyId": arn, "CiphertextBlob": self.sealed(arn)}),
            "ReEncrypt from the key" => json!({
                "SourceKeyId": arn,
                "CiphertextBlob": self.sealed(arn),
                "DestinationKeyId": self.other,
            }),
            "ReEncrypt to the key" => json!({
                "CiphertextBlob": self.sealed(&self.other),
                "DestinationKeyId": arn,
            }),
            "GenerateDataKey" | "GenerateDataKeyWithoutPlaintext" => {
                json!({"KeyId": arn, "KeySpec": "AES_256"})
            }
            "GenerateDataKeyPair" | "GenerateDataKeyPairWithoutPlaintext" => {
                json!({"KeyId": arn, "KeyPairSpec": "ECC_NIST_P256"})
            }
            "CreateGrant" => Self::grant(arn),
            "RetireGrant" | "RevokeGrant" => {
                let granted = self.service.must("CreateGrant", Self::grant(arn));
                json!({"KeyId": arn, "GrantId": text(&granted, "GrantId")})
            }
            "PutKeyPolicy" => {
                let kept = self.service.must("GetKeyPolicy", json!({"KeyId": arn}));
                json!({"KeyId": arn, "PolicyName": "default", "Policy": text(&kept, "Policy")})
            }
            "TagResource" => {
                json!({"KeyId": arn, "Tags": [{"TagKey": "team", "TagValue": "blue"}]})
            }
            "UntagResource" => {
                let tags = json!({"KeyId": arn, "Tags": [{"TagKey": "team", "TagValue": "blue"}]});
                self.service.must("TagResource", tags);
                json!({"KeyId": arn, "TagKeys": ["team"]})
            }
            "UpdateKeyDescription" => json!({"KeyId": arn, "Description": "described"}),
            "CreateAlias" => json!({"AliasName": self.alias(arn, None), "TargetKeyId": arn}),
            "UpdateAlias to the key" => {
                json!({"AliasName": self.alias(arn, Some(&self.other)), "TargetKeyId": arn})
            }
            "UpdateAlias away from the key" => {
                json!({"AliasName": self.alias(arn, Some(arn)), "TargetKeyId": self.other})
            }
            "DeleteAlias" => json!({"AliasName": self.alias(arn, Some(arn))}),
            "ScheduleKeyDeletion" => json!({"KeyId": arn, "PendingWindowInDays": 7}),
            "GetParametersForImport" => json!({
                "KeyId": arn,
                "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
                "WrappingKeySpec": "RSA_2048",
            }),
            "ImportKeyMaterial" => {
                // A key of origin AWS_KMS has no token: it is refused before that matters.
                let (token, wrapped) = if external {
                    self.service.wrapped_material(arn)
                } else {
                    ("AAAA".to_owned(), "AAAA".to_owned())
                };
                json!({
                    "KeyId": arn,
                    "ImportToken": token,
                    "EncryptedKeyMaterial": wrapped,
                    "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
                })
            }
            _ => json!({"KeyId": arn}),
        }
    }

    /// Tries one cell of the table on a key of its own; what is wrong with the answer.
    fn try_cell(&self, (row, on, _): &Row, state: &'static str, cell: Cell) -> Result<(), String> {
        let external = *on == Imported || state == "PendingImport";
        let arn = self.create(*on, external);
        let material = external && (state != "PendingImport" || NEEDS_MATERIAL.contains(row));
        if material {
            self.service.import_material(&arn);
        }
        let request = self.request(row, &arn, external);
        if material || !external {
            self.service.put(&arn, state);
        }
        assert_eq!(
            self.service.metadata(&arn)["KeyState"],
            state,
            "{row}: the key is not ready"
        );

        let answer = self.service.call(operation(row), request);
        let accepted = faults(cell, &arn, if external { "EXTERNAL" } else { "AWS_KMS" });
        let right = match &answer {
            Ok(_) => accepted.is_empty(),
            Err(fault) => accepted.contains(fault),
        };
        let place = format!("{row}, {on:?} key, {state}");
        if !right {
            return Err(format!("{place}: {answer:?}, expected {accepted:?}"));
        }
        let metadata = self.service.metadata(&arn);
        let after = match answer {
            Ok(_) => state_after(operation(row), state),
            Err(_) => Some(state),
        };
        if after.is_some_and(|after| metadata["KeyState"] != after) {
            let now = &metadata["KeyState"];
            return Err(format!(
                "{place}: the state is {now} afterwards, not {after:?}"
            ));
        }
        if metadata["Enabled"] != (metadata["KeyState"] == "Enabled") {
            return Err(format!("{place}: Enabled contradicts KeyState afterwards"));
        }
        Ok(())
    }
}

#[test]
fn every_operation_answers_in_every_key_state_what_the_table_says() {
    let service = Service::start();
    let other = service.create(json!({}));
    let keys = Keys { service, other };
    let (mut tried, mut wrong) = (0, Vec::new());
    for row in TABLE {
        for (state, cell) in STATES.into_iter().zip(row.2) {
            if cell != Never {
                tried += 1;
                wrong.extend(keys.try_cell(row, state, cell).err());
            }
        }
    }
    println!("key states: {} rows, {tried} cells", TABLE.len());
    assert!(
        wrong.is_empty(),
        "{} of {tried} cells are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_operation_has_a_row_or_a_reason_to_have_none() {
    for known in OPERATIONS {
        let rows = TABLE.iter().any(|row| operation(row.0) == known.name);
        let reasons = WITHOUT_ROW
            .iter()
            .any(|(_, names)| names.contains(&known.name));
        assert!(
            rows != reasons,
            "{}: exactly one of the two lists has it",
            known.name
        );
    }
}
