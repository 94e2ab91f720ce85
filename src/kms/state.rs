//! Key states and what each operation answers in each of them.
//!
//! Source: AWS KMS Developer Guide, "Key states of AWS KMS keys", the table of that page. Two
//! cells follow recorded answers of the real service instead: GetPublicKey answers for a disabled
//! key, and a key that is pending deletion is always reported as an invalid state.

use super::error::Exception;
use super::spec::KeyState;
use super::store::KeyRecord;

/// A cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// The operation goes on; what else it asks of the key is its own affair.
    Yes,
    /// `DisabledException`.
    Disabled,
    /// `KMSInvalidStateException`, pending deletion.
    Deletion,
    /// `KMSInvalidStateException`, not pending deletion.
    NotDeletion,
    /// `KMSInvalidStateException`, pending import.
    Import,
    /// `UnsupportedOperationException` with the key's origin.
    Origin,
}

use Cell::{Deletion, Disabled, Import, NotDeletion, Origin, Yes};

/// A row: the operations, then the cells for Enabled, Disabled, PendingDeletion, PendingImport.
type Row = (&'static [&'static str], [Cell; 4]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    (&["Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey",
       "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair",
       "GenerateDataKeyPairWithoutPlaintext", "CreateGrant", "RotateKeyOnDemand"],
                                                       [Yes, Disabled, Deletion, Import]),
    (&["GetPublicKey"],                                [Yes, Yes, Deletion, Import]),
    (&["DescribeKey", "GetKeyPolicy", "PutKeyPolicy", "ListKeyPolicies", "ListGrants",
       "ListAliases", "ListResourceTags", "ListKeyRotations", "RetireGrant", "RevokeGrant",
       "DeleteAlias", "DeleteImportedKeyMaterial", "GetKeyLastUsage"],
                                                       [Yes, Yes, Yes, Yes]),
    (&["CreateAlias", "UpdateAlias", "TagResource", "UntagResource", "UpdateKeyDescription",
       "ScheduleKeyDeletion", "GetParametersForImport", "ImportKeyMaterial"],
                                                       [Yes, Yes, Deletion, Yes]),
    (&["EnableKey", "DisableKey"],                     [Yes, Yes, Deletion, Import]),
    (&["CancelKeyDeletion"],                           [NotDeletion, NotDeletion, Yes, NotDeletion]),
    (&["EnableKeyRotation", "DisableKeyRotation"],     [Yes, Disabled, Deletion, Origin]),
    (&["GetKeyRotationStatus"],                        [Yes, Yes, Yes, Origin]),
];

/// Checks the state of `key` for `operation`: an operation of the API, ReEncrypt by its two
/// permissions.
///
/// # Errors
/// What the table says, with the key's ARN.
pub fn check(operation: &str, key: &KeyRecord) -> Result<(), Exception> {
    let row = TABLE
        .iter()
        .find(|(operations, _)| operations.contains(&operation));
    debug_assert!(row.is_some(), "{operation} is missing in the table");
    let Some((_, cells)) = row else {
        return Err(Exception::internal());
    };
    let column = match key.facts.state {
        KeyState::Enabled => 0,
        KeyState::Disabled => 1,
        KeyState::PendingDeletion => 2,
        KeyState::PendingImport => 3,
    };
    match cells[column] {
        Yes => Ok(()),
        Disabled => Err(Exception::disabled(&key.arn)),
        Deletion => Err(Exception::pending_deletion(&key.arn)),
        NotDeletion => Err(Exception::not_pending_deletion(&key.arn)),
        Import => Err(Exception::pending_import(&key.arn)),
        Origin => Err(Exception::wrong_origin(&key.arn, key.facts.origin.name())),
    }
}
