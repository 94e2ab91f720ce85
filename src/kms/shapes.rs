//! Requests and responses of the API, member for member and in the order of its model.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::context::EncryptionContext;
use super::shape::{Described, Shape, structures};
use super::spec::{EncryptionAlgorithm, api_enum};
use super::store::{ExpirationModel, GrantConstraints, GrantOperation};
use crate::secret::wipe;

/// Binary data: padded standard base64 in JSON. It may be a plaintext: it does not print, and is
/// wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Vec<u8>);

impl Blob {
    /// The bytes, which the caller has to wipe if they are a secret.
    pub fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

// What the service knows by name, also where this KMS has nothing behind it: such names are
// refused as unsupported, not as unknown.
const KEY_SPECS: &[&str] = &[
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
    "ML_KEM_512",
    "ML_KEM_768",
    "ML_KEM_1024",
];
const KEY_PAIR_SPECS: &[&str] = &[
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "SM2",
    "ECC_NIST_EDWARDS25519",
    "ML_KEM_512",
    "ML_KEM_768",
    "ML_KEM_1024",
];
const KEY_USAGES: &[&str] = &[
    "SIGN_VERIFY",
    "ENCRYPT_DECRYPT",
    "GENERATE_VERIFY_MAC",
    "KEY_AGREEMENT",
    "ENCAPSULATE_DECAPSULATE",
];
const KEY_STATES: &[&str] = &[
    "Creating",
    "Enabled",
    "Disabled",
    "PendingDeletion",
    "PendingImport",
    "PendingReplicaDeletion",
    "Unavailable",
    "Updating",
];
const ORIGINS: &[&str] = &["AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"];
const WRAPPING_ALGORITHMS: &[&str] = &[
    "RSAES_PKCS1_V1_5",
    "RSAES_OAEP_SHA_1",
    "RSAES_OAEP_SHA_256",
    "RSA_AES_KEY_WRAP_SHA_1",
    "RSA_AES_KEY_WRAP_SHA_256",
    "SM2PKE",
];
const WRAPPING_KEY_SPECS: &[&str] = &["RSA_2048", "RSA_3072", "RSA_4096", "SM2"];
const RECIPIENT_ALGORITHMS: &[&str] = &["RSAES_OAEP_SHA_256"];
const RESOURCE_OWNERS: &[&str] = &["SELF", "OTHER_ACCOUNTS_VIA_RAM"];
const KEY_MANAGERS: &[&str] = &["AWS", "CUSTOMER"];
const SIGNING_ALGORITHMS: &[&str] = &[
    "RSASSA_PSS_SHA_256",
    "RSASSA_PSS_SHA_384",
    "RSASSA_PSS_SHA_512",
    "RSASSA_PKCS1_V1_5_SHA_256",
    "RSASSA_PKCS1_V1_5_SHA_384",
    "RSASSA_PKCS1_V1_5_SHA_512",
    "ECDSA_SHA_256",
    "ECDSA_SHA_384",
    "ECDSA_SHA_512",
    "SM2DSA",
    "ML_DSA_SHAKE_256",
    "ED25519_SHA_512",
    "ED25519_PH_SHA_512",
];
const KEY_AGREEMENT_ALGORITHMS: &[&str] = &["ECDH"];
const MAC_ALGORITHMS: &[&str] = &[
    "HMAC_SHA_224",
    "HMAC_SHA_256",
    "HMAC_SHA_384",
    "HMAC_SHA_512",
];
const IMPORT_STATES: &[&str] = &["IMPORTED", "PENDING_IMPORT"];
const MATERIAL_STATES: &[&str] = &["NON_CURRENT", "CURRENT", "PENDING_ROTATION"];
const ROTATION_TYPES: &[&str] = &["AUTOMATIC", "ON_DEMAND"];
const LAST_USAGE_OPERATIONS: &[&str] = &[
    "Decrypt",
    "DeriveSharedSecret",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "ReEncrypt",
    "Sign",
    "Verify",
    "VerifyMac",
];

api_enum! {
    /// The data keys that GenerateDataKey knows by name.
    DataKeySpec { AES_256, AES_128 }
}

api_enum! {
    /// What a dry run leaves out: only authorisation is validated, not the ciphertext.
    DryRunModifier { IGNORE_CIPHERTEXT }
}

api_enum! {
    /// Which generations ListKeyRotations lists.
    IncludeKeyMaterial { ALL_KEY_MATERIAL, ROTATIONS_ONLY }
}

api_enum! {
    /// What ImportKeyMaterial brings.
    ImportType { NEW_KEY_MATERIAL, EXISTING_KEY_MATERIAL }
}

/// What operations without output answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Nothing {}

impl Described for Nothing {
    const SHAPE: Shape = Shape::Structure(&[]);
}

structures! {
    /// Operations that name a key and nothing else.
    KeyIdRequest {
        KeyId key_id: String [1..=2048],
    }
    /// Operations that answer with the key and nothing else.
    KeyIdResponse {
        KeyId key_id: String [1..=2048],
    }
    /// CreateAlias, UpdateAlias.
    AliasRequest {
        AliasName alias_name: String [1..=256],
        TargetKeyId target_key_id: String [1..=2048],
    }
    /// A request of CreateGrant.
    CreateGrantRequest {
        KeyId key_id: String [1..=2048],
        GranteePrincipal grantee_principal: Option<String> [1..=256],
        RetiringPrincipal retiring_principal: Option<String> [1..=256],
        Operations operations: Vec<GrantOperation>,
        Constraints constraints: Option<GrantConstraints>,
        GrantTokens grant_tokens: Option<Vec<String>> [0..=10, 1..=8192],
        Name name: Option<String> [1..=256],
        DryRun dry_run: Option<bool>,
        GranteeServicePrincipal grantee_service_principal: Option<String> [1..=128],
        RetiringServicePrincipal retiring_service_principal: Option<String> [1..=128],
    }
    /// A response of CreateGrant.
    CreateGrantResponse {
        GrantToken grant_token: String [1..=8192],
        GrantId grant_id: String [1..=128],
    }
    /// A request of CreateKey.
    CreateKeyRequest {
        Policy policy: Option<String> [1..=131072],
        Description description: Option<String> [0..=8192],
        KeyUsage key_usage: Option<String> as KEY_USAGES,
        CustomerMasterKeySpec customer_master_key_spec: Option<String> as KEY_SPECS,
        KeySpec key_spec: Option<String> as KEY_SPECS,
        Origin origin: Option<String> as ORIGINS,
        CustomKeyStoreId custom_key_store_id: Option<String> [1..=64],
        BypassPolicyLockoutSafetyCheck bypass_policy_lockout_safety_check: Option<bool>,
        Tags tags: Option<Vec<Tag>>,
        MultiRegion multi_region: Option<bool>,
        XksKeyId xks_key_id: Option<String> [1..=128],
    }
    /// CreateKey, DescribeKey.
    KeyMetadataResponse {
        KeyMetadata key_metadata: KeyMetadata,
    }
    /// A request of Decrypt.
    DecryptRequest {
        CiphertextBlob ciphertext_blob: Option<Blob> [1..=6144],
        EncryptionContext encryption_context: Option<EncryptionContext>,
        GrantTokens grant_tokens: Option<Vec<String>> [0..=10, 1..=8192],
        KeyId key_id: Option<String> [1..=2048],
        EncryptionAlgorithm encryption_algorithm: Option<EncryptionAlgorithm>,
        Recipient recipient: Option<RecipientInfo>,
        DryRun dry_run: Option<bool>,
        DryRunModifiers dry_run_modifiers: Option<Vec<DryRunModifier>>,
    }
    /// A response of Decrypt.
    DecryptResponse {
        KeyId key_id: String [1..=2048],
        Plaintext plaintext: Blob [1..=4096],
        EncryptionAlgorithm encryption_algorithm: Option<EncryptionAlgorithm>,
        CiphertextForRecipient ciphertext_for_recipient: Option<Blob> [1..=6144],
        KeyMaterialId key_material_id: Option<String> [64..=64],
    }
    /// A request of DeleteAlias.
    DeleteAliasRequest {
        AliasName alias_name: String [1..=256],
    }
    /// A request of DeleteImportedKeyMaterial.
    DeleteImportedKeyMaterialRequest {
        KeyId key_id: String [1..=2048],
        KeyMaterialId key_material_id: Option<String> [64..=64],
    }
    /// A response of DeleteImportedKeyMaterial.
    DeleteImportedKeyMaterialResponse {
        KeyId key_id: String [1..=2048],
        KeyMaterialId key_material_id: Option<String> [0..=64],
    }
    /// DescribeKey, GetPublicKey.
    KeyIdAndTokensRequest {
        KeyId key_id: String [1..=2048],
        GrantTokens grant_tokens: Option<Vec<String>> [0..=10, 1..=8192],
    }
    /// A request of EnableKeyRotation.
    EnableKeyRotationRequest {
        KeyId key_id: String [1..=2048],
        RotationPeriodInDays rotation_period_in_days: Option<i64> [90..=2560],
    }
    /// A request of Encrypt.
    EncryptRequest {
        KeyId key_id: String [1..=2048],
        Plaintext plaintext: Blob [1..=4096],
        EncryptionContext encryption_context: Option<EncryptionContext>,
        GrantTokens grant_tokens: Option<Vec<String>> [0..=10, 1..=8192],
        EncryptionAlgorithm encryption_algorithm: Option<EncryptionAlgorithm>,
        DryRun dry_run: Option<bool>,
    }
    /// A response of Encrypt.
    EncryptResponse {
        CiphertextBlob ciphertext_blob: Blob [1..=6144],
        KeyId key_id: String [1..=2048],
        EncryptionAlgorithm encryption_algorithm: Option<EncryptionAlgorithm>,
    }
    /// A request of GenerateDataKey.
    GenerateDataKeyRequest {
        KeyId key_id: String [1..=2048],
        EncryptionContext encryption_context: Option<EncryptionContext>,
        NumberOfBytes number_of_bytes: Option<i64> [1..=1024],
        KeySpec key_spec: Option<DataKeySpec>,
        GrantTokens grant_tokens: Option<Vec<String>> [0..=10, 1..=8192],
        Recipient recipient: Option<RecipientInfo>,
        DryRun dry_run: Option<bool>,
    }
    /// A response of GenerateDataKey.
    GenerateDataKeyResponse {
        CiphertextBlob ciphertext_blob: Blob [1..=6144],
        Plaintext plaintext: Blob [1..=4096],
        KeyId key_id: String [1..=2048],
        CiphertextForRecipient ciphertext_for_recipient: Option<Blob> [1..=6144],
        KeyMaterialId key_material_id: Option<String> [64..=64],
    }
    /// A request of GenerateDataKeyPair.
    GenerateDataKeyPairRequest {
        EncryptionContext encryption_context: Option<EncryptionContext>,
        KeyId key_id: String [1..=2048],
        KeyPairSpec key_pair_spec: String as KEY_PAIR_SPECS,
        GrantTokens grant_tokens: Option<Vec<String>> [0..=10, 1..=8192],
        Recipient recipient: Option<RecipientInfo>,
        DryRun dry_run: Option<bool>,
    }
    /// A response of GenerateDataKeyPair.
    GenerateDataKeyPairResponse {
        PrivateKeyCiphertextBlob private_key_ciphertext_blob: Blob [1..=6144],
        PrivateKeyPlaintext private_key_plaintext: Blob [1..=4096],
        PublicKey public_key: Blob [1..=8192],
        KeyId key_id: String [1..=2048],
        KeyPairSpec key_pair_spec: String as KEY_PAIR_SPECS,
        CiphertextForRecipient ciphertext_for_recipient: Option<Blob> [1..=6144],
        KeyMaterialId key_material_id: Option<String> [64..=64],
    }
    /// A request of GenerateDataKeyPairWithoutPlaintext.
    GenerateDataKeyPairWithoutPlaintextRequest {
        EncryptionContext encryption_context: Option<EncryptionContext>,
        KeyId key_id: String [1..=2048],
        KeyPairSpec key_pair_spec: String as KEY_PAIR_SPECS,
        GrantTokens grant_tokens: Option<Vec<String>> [0..=10, 1..=8192],
        DryRun dry_run: Option<bool>,
    }
    /// A response of GenerateDataKeyPairWithoutPlaintext.
    GenerateDataKeyPairWithoutPlaintextResponse {
        PrivateKeyCiphertextBlob private_key_ciphertext_blob: Blob [1..=6144],
        PublicKey public_key: Blob [1..=8192],
        KeyId key_id: String [1..=2048],
        KeyPairSpec key_pair_spec: String as KEY_PAIR_SPECS,
        KeyMaterialId key_material_id: Option<String> [64..=64],
    }
    /// A request of GenerateDataKeyWithoutPlaintext.
    GenerateDataKeyWithoutPlaintextRequest {
        KeyId key_id: String [1..=2048],
        EncryptionContext encryption_context: Option<EncryptionContext>,
        KeySpec key_spec: Option<DataKeySpec>,
        NumberOfBytes number_of_bytes: Option<i64> [1..=1024],
        GrantTokens grant_tokens: Option<Vec<String>> [0..=10, 1..=8192],
        DryRun dry_run: Option<bool>,
    }
    /// A response of GenerateDataKeyWithoutPlaintext.
    GenerateDataKeyWithoutPlaintextResponse {
        CiphertextBlob ciphertext_blob: Blob [1..=6144],
        KeyId key_id: String [1..=2048],
        KeyMaterialId key_material_id: Option<String> [64..=64],
    }
    /// A request of GenerateRandom.
    GenerateRandomRequest {
        NumberOfBytes number_of_bytes: Option<i64> [1..=1024],
        CustomKeyStoreId custom_key_store_id: Option<String> [1..=64],
        Recipient recipient: Option<RecipientInfo>,
    }
    /// A response of GenerateRandom.
    GenerateRandomResponse {
        Plaintext plaintext: Blob [1..=4096],
        CiphertextForRecipient ciphertext_for_recipient: Option<Blob> [1..=6144],
    }
    /// A response of GetKeyLastUsage.
    GetKeyLastUsageResponse {
        KeyId key_id: String [1..=2048],
        KeyLastUsage key_last_usage: Option<KeyLastUsageData>,
        TrackingStartDate tracking_start_date: f64,
        KeyCreationDate key_creation_date: f64,
    }
    /// A request of GetKeyPolicy.
    GetKeyPolicyRequest {
        KeyId key_id: String [1..=2048],
        PolicyName policy_name: Option<String> [1..=128],
    }
    /// A response of GetKeyPolicy.
    GetKeyPolicyResponse {
        Policy policy: String [1..=131072],
        PolicyName policy_name: Option<String> [1..=128],
    }
    /// A response of GetKeyRotationStatus.
    GetKeyRotationStatusResponse {
        KeyRotationEnabled key_rotation_enabled: bool,
        KeyId key_id: String [1..=2048],
        RotationPeriodInDays rotation_period_in_days: Option<i64> [90..=2560],
        NextRotationDate next_rotation_date: Option<f64>,
        OnDemandRotationStartDate on_demand_rotation_start_date: Option<f64>,
    }
    /// A request of GetParametersForImport.
    GetParametersForImportRequest {
        KeyId key_id: String [1..=2048],
        WrappingAlgorithm wrapping_algorithm: String as WRAPPING_ALGORITHMS,
        WrappingKeySpec wrapping_key_spec: String as WRAPPING_KEY_SPECS,
    }
    /// A response of GetParametersForImport.
    GetParametersForImportResponse {
        KeyId key_id: String [1..=2048],
        ImportToken import_token: Blob [1..=6144],
        PublicKey public_key: Blob [1..=4096],
        ParametersValidTo parameters_valid_to: f64,
    }
    /// A response of GetPublicKey.
    GetPublicKeyResponse {
        KeyId key_id: String [1..=2048],
        PublicKey public_key: Blob [1..=8192],
        CustomerMasterKeySpec customer_master_key_spec: String as KEY_SPECS,
        KeySpec key_spec: String as KEY_SPECS,
        KeyUsage key_usage: String as KEY_USAGES,
        EncryptionAlgorithms encryption_algorithms: Option<Vec<EncryptionAlgorithm>>,
        SigningAlgorithms signing_algorithms: Option<Vec<String>> [0..=100] as SIGNING_ALGORITHMS,
        KeyAgreementAlgorithms key_agreement_algorithms: Option<Vec<String>> [0..=100] as KEY_AGREEMENT_ALGORITHMS,
    }
    /// A request of ImportKeyMaterial.
    ImportKeyMaterialRequest {
        KeyId key_id: String [1..=2048],
        ImportToken import_token: Blob [1..=6144],
        EncryptedKeyMaterial encrypted_key_material: Blob [1..=6144],
        ValidTo valid_to: Option<f64>,
        ExpirationModel expiration_model: Option<ExpirationModel>,
        ImportType import_type: Option<ImportType>,
        KeyMaterialDescription key_material_description: Option<String> [0..=256],
        KeyMaterialId key_material_id: Option<String> [64..=64],
    }
    /// A response of ImportKeyMaterial.
    ImportKeyMaterialResponse {
        KeyId key_id: String [1..=2048],
        KeyMaterialId key_material_id: Option<String> [64..=64],
    }
    /// A request of ListAliases.
    ListAliasesRequest {
        KeyId key_id: Option<String> [1..=2048],
        Limit limit: Option<i64> [1..=1000],
        Marker marker: Option<String> [1..=1024],
    }
    /// A response of ListAliases.
    ListAliasesResponse {
        Aliases aliases: Vec<AliasListEntry>,
        NextMarker next_marker: Option<String> [1..=1024],
        Truncated truncated: bool,
    }
    /// A request of ListGrants.
    ListGrantsRequest {
        Limit limit: Option<i64> [1..=1000],
        Marker marker: Option<String> [1..=1024],
        KeyId key_id: String [1..=2048],
        GrantId grant_id: Option<String> [1..=128],
        GranteePrincipal grantee_principal: Option<String> [1..=256],
        GranteeServicePrincipal grantee_service_principal: Option<String> [1..=128],
    }
    /// A response of ListGrants.
    ListGrantsResponse {
        Grants grants: Vec<GrantListEntry>,
        NextMarker next_marker: Option<String> [1..=1024],
        Truncated truncated: bool,
    }
    /// ListKeyPolicies, ListResourceTags.
    ListOfKeyRequest {
        KeyId key_id: String [1..=2048],
        Limit limit: Option<i64> [1..=1000],
        Marker marker: Option<String> [1..=1024],
    }
    /// A response of ListKeyPolicies.
    ListKeyPoliciesResponse {
        PolicyNames policy_names: Vec<String> [0..=9223372036854775807, 1..=128],
        NextMarker next_marker: Option<String> [1..=1024],
        Truncated truncated: bool,
    }
    /// A request of ListKeyRotations.
    ListKeyRotationsRequest {
        KeyId key_id: String [1..=2048],
        IncludeKeyMaterial include_key_material: Option<IncludeKeyMaterial>,
        Limit limit: Option<i64> [1..=1000],
        Marker marker: Option<String> [1..=1024],
    }
    /// A response of ListKeyRotations.
    ListKeyRotationsResponse {
        Rotations rotations: Vec<RotationsListEntry>,
        NextMarker next_marker: Option<String> [1..=1024],
        Truncated truncated: bool,
    }
    /// A request of ListKeys.
    ListKeysRequest {
        Limit limit: Option<i64> [1..=1000],
        Marker marker: Option<String> [1..=1024],
        ResourceOwners resource_owners: Option<Vec<String>> [1..=2] as RESOURCE_OWNERS,
    }
    /// A response of ListKeys.
    ListKeysResponse {
        Keys keys: Vec<KeyListEntry>,
        NextMarker next_marker: Option<String> [1..=1024],
        Truncated truncated: bool,
    }
    /// A response of ListResourceTags.
    ListResourceTagsResponse {
        Tags tags: Vec<Tag>,
        NextMarker next_marker: Option<String> [1..=1024],
        Truncated truncated: bool,
    }
    /// A request of ListRetirableGrants.
    ListRetirableGrantsRequest {
        Limit limit: Option<i64> [1..=1000],
        Marker marker: Option<String> [1..=1024],
        RetiringPrincipal retiring_principal: Option<String> [1..=256],
        RetiringServicePrincipal retiring_service_principal: Option<String> [1..=128],
    }
    /// A request of PutKeyPolicy.
    PutKeyPolicyRequest {
        KeyId key_id: String [1..=2048],
        PolicyName policy_name: Option<String> [1..=128],
        Policy policy: String [1..=131072],
        BypassPolicyLockoutSafetyCheck bypass_policy_lockout_safety_check: Option<bool>,
    }
    /// A request of ReEncrypt.
    ReEncryptRequest {
        CiphertextBlob ciphertext_blob: Option<Blob> [1..=6144],
        SourceEncryptionContext source_encryption_context: Option<EncryptionContext>,
        SourceKeyId source_key_id: Option<String> [1..=2048],
        DestinationKeyId destination_key_id: String [1..=2048],
        DestinationEncryptionContext destination_encryption_context: Option<EncryptionContext>,
        SourceEncryptionAlgorithm source_encryption_algorithm: Option<EncryptionAlgorithm>,
        DestinationEncryptionAlgorithm destination_encryption_algorithm: Option<EncryptionAlgorithm>,
        GrantTokens grant_tokens: Option<Vec<String>> [0..=10, 1..=8192],
        DryRun dry_run: Option<bool>,
        DryRunModifiers dry_run_modifiers: Option<Vec<DryRunModifier>>,
    }
    /// A response of ReEncrypt.
    ReEncryptResponse {
        CiphertextBlob ciphertext_blob: Blob [1..=6144],
        SourceKeyId source_key_id: String [1..=2048],
        KeyId key_id: String [1..=2048],
        SourceEncryptionAlgorithm source_encryption_algorithm: Option<EncryptionAlgorithm>,
        DestinationEncryptionAlgorithm destination_encryption_algorithm: Option<EncryptionAlgorithm>,
        SourceKeyMaterialId source_key_material_id: Option<String> [64..=64],
        DestinationKeyMaterialId destination_key_material_id: Option<String> [64..=64],
    }
    /// A request of RetireGrant.
    RetireGrantRequest {
        GrantToken grant_token: Option<String> [1..=8192],
        KeyId key_id: Option<String> [1..=2048],
        GrantId grant_id: Option<String> [1..=128],
        DryRun dry_run: Option<bool>,
    }
    /// A request of RevokeGrant.
    RevokeGrantRequest {
        KeyId key_id: String [1..=2048],
        GrantId grant_id: String [1..=128],
        DryRun dry_run: Option<bool>,
    }
    /// A request of ScheduleKeyDeletion.
    ScheduleKeyDeletionRequest {
        KeyId key_id: String [1..=2048],
        PendingWindowInDays pending_window_in_days: Option<i64> [1..=365],
    }
    /// A response of ScheduleKeyDeletion.
    ScheduleKeyDeletionResponse {
        KeyId key_id: String [1..=2048],
        DeletionDate deletion_date: f64,
        KeyState key_state: String as KEY_STATES,
        PendingWindowInDays pending_window_in_days: Option<i64> [1..=365],
    }
    /// A request of TagResource.
    TagResourceRequest {
        KeyId key_id: String [1..=2048],
        Tags tags: Vec<Tag>,
    }
    /// A request of UntagResource.
    UntagResourceRequest {
        KeyId key_id: String [1..=2048],
        TagKeys tag_keys: Vec<String> [0..=9223372036854775807, 1..=128],
    }
    /// A request of UpdateKeyDescription.
    UpdateKeyDescriptionRequest {
        KeyId key_id: String [1..=2048],
        Description description: String [0..=8192],
    }
    /// A tag.
    Tag {
        TagKey tag_key: String [1..=128],
        TagValue tag_value: String [0..=256],
    }
    /// The description of a key.
    KeyMetadata {
        #[serde(rename = "AWSAccountId")]
        AWSAccountId account_id: String,
        KeyId key_id: String [1..=2048],
        Arn arn: String [20..=2048],
        CreationDate creation_date: f64,
        Enabled enabled: bool,
        Description description: String [0..=8192],
        KeyUsage key_usage: String as KEY_USAGES,
        KeyState key_state: String as KEY_STATES,
        DeletionDate deletion_date: Option<f64>,
        ValidTo valid_to: Option<f64>,
        Origin origin: String as ORIGINS,
        ExpirationModel expiration_model: Option<ExpirationModel>,
        KeyManager key_manager: String as KEY_MANAGERS,
        CustomerMasterKeySpec customer_master_key_spec: String as KEY_SPECS,
        KeySpec key_spec: String as KEY_SPECS,
        EncryptionAlgorithms encryption_algorithms: Option<Vec<EncryptionAlgorithm>>,
        SigningAlgorithms signing_algorithms: Option<Vec<String>> [0..=100] as SIGNING_ALGORITHMS,
        KeyAgreementAlgorithms key_agreement_algorithms: Option<Vec<String>> [0..=100] as KEY_AGREEMENT_ALGORITHMS,
        MultiRegion multi_region: bool,
        PendingDeletionWindowInDays pending_deletion_window_in_days: Option<i64> [1..=365],
        MacAlgorithms mac_algorithms: Option<Vec<String>> [0..=100] as MAC_ALGORITHMS,
        CurrentKeyMaterialId current_key_material_id: Option<String> [64..=64],
    }
    /// An enclave that a plaintext is for, which this KMS does not have.
    RecipientInfo {
        KeyEncryptionAlgorithm key_encryption_algorithm: Option<String> as RECIPIENT_ALGORITHMS,
        AttestationDocument attestation_document: Option<Blob> [1..=262144],
    }
    /// What was done last with a key.
    KeyLastUsageData {
        Operation operation: String as LAST_USAGE_OPERATIONS,
        Timestamp timestamp: f64,
        CloudTrailEventId cloud_trail_event_id: String,
        KmsRequestId kms_request_id: String,
    }
    /// An entry of a list.
    AliasListEntry {
        AliasName alias_name: String [1..=256],
        AliasArn alias_arn: String [20..=2048],
        TargetKeyId target_key_id: Option<String> [1..=2048],
        CreationDate creation_date: f64,
        LastUpdatedDate last_updated_date: Option<f64>,
    }
    /// An entry of a list.
    GrantListEntry {
        KeyId key_id: String [1..=2048],
        GrantId grant_id: String [1..=128],
        Name name: Option<String> [1..=256],
        CreationDate creation_date: f64,
        GranteePrincipal grantee_principal: Option<String> [1..=256],
        RetiringPrincipal retiring_principal: Option<String> [1..=256],
        IssuingAccount issuing_account: String [1..=256],
        Operations operations: Vec<GrantOperation>,
        Constraints constraints: Option<GrantConstraints>,
        GranteeServicePrincipal grantee_service_principal: Option<String> [1..=128],
        RetiringServicePrincipal retiring_service_principal: Option<String> [1..=128],
    }
    /// An entry of a list.
    RotationsListEntry {
        KeyId key_id: String [1..=2048],
        KeyMaterialId key_material_id: Option<String> [64..=64],
        KeyMaterialDescription key_material_description: Option<String> [0..=256],
        ImportState import_state: Option<String> as IMPORT_STATES,
        KeyMaterialState key_material_state: Option<String> as MATERIAL_STATES,
        ExpirationModel expiration_model: Option<ExpirationModel>,
        ValidTo valid_to: Option<f64>,
        RotationDate rotation_date: Option<f64>,
        RotationType rotation_type: Option<String> as ROTATION_TYPES,
    }
    /// An entry of a list.
    KeyListEntry {
        KeyId key_id: String [1..=2048],
        KeyArn key_arn: String [20..=2048],
    }
}
