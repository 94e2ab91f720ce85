//! Requests and responses of the API, member for member and in the order of its model.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::algorithm::{EncryptionAlgorithm, KeySpec};
use super::context::EncryptionContext;

/// Binary data: padded standard base64 in JSON.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Vec<u8>);

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A blob may be a plaintext.
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD
            .decode(text)
            .map(Self)
            .map_err(|_| serde::de::Error::custom("not base64"))
    }
}

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        #[allow(missing_docs, reason = "the members are the API's; its reference says what they are")]
        pub struct $name {
            $(#[serde(default, skip_serializing_if = "is_left_out")] $(#[$attribute])* pub $field: $type,)*
        }
    )*};
}

fn is_left_out<T: MaybeAbsent>(value: &T) -> bool {
    value.is_absent()
}

/// Which members are left out of JSON: absent ones. Booleans and numbers are always there.
trait MaybeAbsent {
    fn is_absent(&self) -> bool;
}

impl<T> MaybeAbsent for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl MaybeAbsent for String {
    fn is_absent(&self) -> bool {
        false
    }
}

impl MaybeAbsent for Blob {
    fn is_absent(&self) -> bool {
        false
    }
}

impl MaybeAbsent for bool {
    fn is_absent(&self) -> bool {
        false
    }
}

impl MaybeAbsent for f64 {
    fn is_absent(&self) -> bool {
        false
    }
}

impl<T> MaybeAbsent for Vec<T> {
    fn is_absent(&self) -> bool {
        false
    }
}

impl MaybeAbsent for KeyMetadata {
    fn is_absent(&self) -> bool {
        false
    }
}

shapes! {
    /// CreateKey.
    CreateKeyRequest {
        description: Option<String>,
        key_usage: Option<String>,
        customer_master_key_spec: Option<String>,
        key_spec: Option<String>,
        origin: Option<String>,
        multi_region: Option<bool>,
    }
    /// The description of a key.
    KeyMetadata {
        #[serde(rename = "AWSAccountId")]
        account_id: String,
        key_id: String,
        arn: String,
        creation_date: f64,
        enabled: bool,
        description: String,
        key_usage: String,
        key_state: String,
        deletion_date: Option<f64>,
        origin: String,
        key_manager: String,
        customer_master_key_spec: String,
        key_spec: String,
        encryption_algorithms: Vec<EncryptionAlgorithm>,
        multi_region: bool,
        current_key_material_id: Option<String>,
    }
    /// CreateKey and DescribeKey.
    KeyMetadataResponse { key_metadata: KeyMetadata }
    /// DescribeKey.
    DescribeKeyRequest { key_id: String, grant_tokens: Option<Vec<String>> }
    /// Operations that name a key and nothing else.
    KeyIdRequest { key_id: String }
    /// RotateKeyOnDemand, CancelKeyDeletion.
    KeyIdResponse { key_id: String }
    /// Operations without output.
    Nothing {}
    /// ListKeys.
    ListKeysRequest { limit: Option<i64>, marker: Option<String> }
    /// ListKeys.
    ListKeysResponse { keys: Vec<KeyListEntry>, next_marker: Option<String>, truncated: bool }
    /// An entry of ListKeys.
    KeyListEntry { key_id: String, key_arn: String }
    /// ScheduleKeyDeletion.
    ScheduleKeyDeletionRequest { key_id: String, pending_window_in_days: Option<i64> }
    /// ScheduleKeyDeletion.
    ScheduleKeyDeletionResponse {
        key_id: String,
        deletion_date: f64,
        key_state: String,
        pending_window_in_days: Option<i64>,
    }
    /// GetPublicKey.
    GetPublicKeyRequest { key_id: String, grant_tokens: Option<Vec<String>> }
    /// GetPublicKey.
    GetPublicKeyResponse {
        key_id: String,
        public_key: Blob,
        customer_master_key_spec: String,
        key_spec: String,
        key_usage: String,
        encryption_algorithms: Vec<EncryptionAlgorithm>,
    }
    /// CreateAlias, UpdateAlias.
    AliasRequest { alias_name: String, target_key_id: String }
    /// DeleteAlias.
    DeleteAliasRequest { alias_name: String }
    /// ListAliases.
    ListAliasesRequest { key_id: Option<String>, limit: Option<i64>, marker: Option<String> }
    /// ListAliases.
    ListAliasesResponse {
        aliases: Vec<AliasListEntry>,
        next_marker: Option<String>,
        truncated: bool,
    }
    /// An entry of ListAliases.
    AliasListEntry {
        alias_name: String,
        alias_arn: String,
        target_key_id: String,
        creation_date: f64,
        last_updated_date: f64,
    }
    /// Encrypt.
    EncryptRequest {
        key_id: String,
        plaintext: Blob,
        encryption_context: Option<EncryptionContext>,
        grant_tokens: Option<Vec<String>>,
        encryption_algorithm: Option<EncryptionAlgorithm>,
        dry_run: Option<bool>,
    }
    /// Encrypt.
    EncryptResponse {
        ciphertext_blob: Blob,
        key_id: String,
        encryption_algorithm: Option<EncryptionAlgorithm>,
    }
    /// Decrypt.
    DecryptRequest {
        ciphertext_blob: Option<Blob>,
        encryption_context: Option<EncryptionContext>,
        grant_tokens: Option<Vec<String>>,
        key_id: Option<String>,
        encryption_algorithm: Option<EncryptionAlgorithm>,
        dry_run: Option<bool>,
        dry_run_modifiers: Option<Vec<DryRunModifier>>,
    }
    /// Decrypt.
    DecryptResponse {
        key_id: String,
        plaintext: Blob,
        encryption_algorithm: Option<EncryptionAlgorithm>,
        key_material_id: Option<String>,
    }
    /// ReEncrypt.
    ReEncryptRequest {
        ciphertext_blob: Option<Blob>,
        source_encryption_context: Option<EncryptionContext>,
        source_key_id: Option<String>,
        destination_key_id: String,
        destination_encryption_context: Option<EncryptionContext>,
        source_encryption_algorithm: Option<EncryptionAlgorithm>,
        destination_encryption_algorithm: Option<EncryptionAlgorithm>,
        grant_tokens: Option<Vec<String>>,
        dry_run: Option<bool>,
        dry_run_modifiers: Option<Vec<DryRunModifier>>,
    }
    /// ReEncrypt.
    ReEncryptResponse {
        ciphertext_blob: Blob,
        source_key_id: String,
        key_id: String,
        source_encryption_algorithm: Option<EncryptionAlgorithm>,
        destination_encryption_algorithm: Option<EncryptionAlgorithm>,
        source_key_material_id: Option<String>,
        destination_key_material_id: Option<String>,
    }
    /// GenerateDataKey.
    GenerateDataKeyRequest {
        key_id: String,
        encryption_context: Option<EncryptionContext>,
        number_of_bytes: Option<i64>,
        key_spec: Option<String>,
        grant_tokens: Option<Vec<String>>,
        dry_run: Option<bool>,
    }
    /// GenerateDataKey.
    GenerateDataKeyResponse {
        ciphertext_blob: Blob,
        plaintext: Blob,
        key_id: String,
        key_material_id: Option<String>,
    }
    /// GenerateDataKeyWithoutPlaintext.
    GenerateDataKeyWithoutPlaintextResponse {
        ciphertext_blob: Blob,
        key_id: String,
        key_material_id: Option<String>,
    }
    /// GenerateRandom.
    GenerateRandomRequest { number_of_bytes: Option<i64> }
    /// GenerateRandom.
    GenerateRandomResponse { plaintext: Blob }
}

/// What a dry run leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DryRunModifier {
    /// Only authorisation is validated, not the ciphertext.
    IgnoreCiphertext,
}

/// The spec that CreateKey makes when none is given.
pub const DEFAULT_SPEC: KeySpec = KeySpec::SYMMETRIC_DEFAULT;
