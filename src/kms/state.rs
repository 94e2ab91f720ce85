//! Key states and what each operation needs of them.
//!
//! Source: AWS KMS Developer Guide, "Key states of AWS KMS keys", the table of that page.

use super::error::Exception;
use super::store::KeyRecord;

/// The states that keys of this KMS can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum KeyState {
    Enabled,
    Disabled,
    PendingDeletion,
}

impl KeyState {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion => "PendingDeletion",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Enabled, Self::Disabled, Self::PendingDeletion]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// What an operation needs of the state of the key it works on: a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Encrypt, Decrypt, ReEncrypt, GenerateDataKey.., RotateKeyOnDemand.
    Usable,
    /// DescribeKey, aliases' deletion and listing.
    Anything,
    /// GetPublicKey (the real service answers for disabled keys), CreateAlias, UpdateAlias,
    /// EnableKey, DisableKey, ScheduleKeyDeletion.
    NotPendingDeletion,
    /// CancelKeyDeletion.
    PendingDeletion,
}

/// Checks `key` against the table.
///
/// # Errors
/// `DisabledException` or `KMSInvalidStateException`, with the key's ARN.
pub fn check(needs: Needs, key: &KeyRecord) -> Result<(), Exception> {
    match (needs, key.state) {
        (Needs::Usable, KeyState::Disabled) => Err(Exception::disabled(&key.arn)),
        (Needs::Usable | Needs::NotPendingDeletion, KeyState::PendingDeletion) => {
            Err(Exception::pending_deletion(&key.arn))
        }
        (Needs::PendingDeletion, KeyState::Enabled | KeyState::Disabled) => {
            Err(Exception::not_pending_deletion(&key.arn))
        }
        (Needs::Usable, KeyState::Enabled)
        | (Needs::NotPendingDeletion, KeyState::Enabled | KeyState::Disabled)
        | (Needs::PendingDeletion, KeyState::PendingDeletion)
        | (Needs::Anything, _) => Ok(()),
    }
}
