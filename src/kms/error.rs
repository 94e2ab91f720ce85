//! The API's exceptions with the service's own texts.
//!
//! Every text of the KMS stands in this file, one function each. Source: AWS KMS API Reference;
//! where the reference gives no text, recorded answers of the real service.

use super::ids::{AliasArn, KeyArn};
use super::store_error::StoreError;

/// The exceptions of the API, by their shape names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(
    missing_docs,
    reason = "the names are the API's; their meaning is in its reference"
)]
pub enum ExceptionKind {
    AccessDenied,
    AlreadyExists,
    DependencyTimeout,
    Disabled,
    DryRunOperation,
    IncorrectKey,
    InvalidAliasName,
    InvalidArn,
    InvalidCiphertext,
    InvalidGrantToken,
    InvalidKeyUsage,
    InvalidMarker,
    KeyUnavailable,
    KmsInternal,
    KmsInvalidState,
    LimitExceeded,
    NotFound,
    Throttling,
    UnknownOperation,
    UnsupportedOperation,
    Validation,
}

impl ExceptionKind {
    /// Every kind, for tables that must be complete.
    pub const ALL: [Self; 21] = [
        Self::AccessDenied,
        Self::AlreadyExists,
        Self::DependencyTimeout,
        Self::Disabled,
        Self::DryRunOperation,
        Self::IncorrectKey,
        Self::InvalidAliasName,
        Self::InvalidArn,
        Self::InvalidCiphertext,
        Self::InvalidGrantToken,
        Self::InvalidKeyUsage,
        Self::InvalidMarker,
        Self::KeyUnavailable,
        Self::KmsInternal,
        Self::KmsInvalidState,
        Self::LimitExceeded,
        Self::NotFound,
        Self::Throttling,
        Self::UnknownOperation,
        Self::UnsupportedOperation,
        Self::Validation,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::AlreadyExists => "AlreadyExistsException",
            Self::DependencyTimeout => "DependencyTimeoutException",
            Self::Disabled => "DisabledException",
            Self::DryRunOperation => "DryRunOperationException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::InvalidAliasName => "InvalidAliasNameException",
            Self::InvalidArn => "InvalidArnException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidGrantToken => "InvalidGrantTokenException",
            Self::InvalidKeyUsage => "InvalidKeyUsageException",
            Self::InvalidMarker => "InvalidMarkerException",
            Self::KeyUnavailable => "KeyUnavailableException",
            Self::KmsInternal => "KMSInternalException",
            Self::KmsInvalidState => "KMSInvalidStateException",
            Self::LimitExceeded => "LimitExceededException",
            Self::NotFound => "NotFoundException",
            Self::Throttling => "ThrottlingException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::UnsupportedOperation => "UnsupportedOperationException",
            Self::Validation => "ValidationException",
        }
    }
}

/// An exception: its kind, and the message if the service sends one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    kind: ExceptionKind,
    message: Option<String>,
}

impl std::fmt::Display for Exception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.kind.name()),
            None => f.write_str(self.kind.name()),
        }
    }
}

impl std::error::Error for Exception {}

impl Exception {
    fn new(kind: ExceptionKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: Some(message.into()),
        }
    }

    fn silent(kind: ExceptionKind) -> Self {
        Self {
            kind,
            message: None,
        }
    }

    /// The kind.
    pub fn kind(&self) -> ExceptionKind {
        self.kind
    }

    /// The message; some exceptions have none.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    pub(crate) fn invalid_key_id(text: &str) -> Self {
        Self::new(ExceptionKind::NotFound, format!("Invalid keyId '{text}'"))
    }

    pub(crate) fn key_not_found(arn: &KeyArn) -> Self {
        Self::new(
            ExceptionKind::NotFound,
            format!("Key '{arn}' does not exist"),
        )
    }

    pub(crate) fn alias_not_found(arn: &AliasArn) -> Self {
        Self::new(
            ExceptionKind::NotFound,
            format!("Alias {arn} is not found."),
        )
    }

    pub(crate) fn invalid_arn(region: &str) -> Self {
        Self::new(ExceptionKind::NotFound, format!("Invalid arn {region}"))
    }

    pub(crate) fn aliases_not_supported() -> Self {
        Self::new(
            ExceptionKind::InvalidArn,
            "Key Aliases are not supported for this operation.",
        )
    }

    pub(crate) fn disabled(arn: &KeyArn) -> Self {
        Self::new(ExceptionKind::Disabled, format!("{arn} is disabled."))
    }

    pub(crate) fn pending_deletion(arn: &KeyArn) -> Self {
        Self::new(
            ExceptionKind::KmsInvalidState,
            format!("{arn} is pending deletion."),
        )
    }

    pub(crate) fn not_pending_deletion(arn: &KeyArn) -> Self {
        Self::new(
            ExceptionKind::KmsInvalidState,
            format!("{arn} is not pending deletion."),
        )
    }

    pub(crate) fn incorrect_key() -> Self {
        Self::new(
            ExceptionKind::IncorrectKey,
            "The key ID in the request does not identify a CMK that can perform this operation.",
        )
    }

    pub(crate) fn invalid_ciphertext() -> Self {
        Self::silent(ExceptionKind::InvalidCiphertext)
    }

    /// A ciphertext whose key is not known here: never told apart from a refusal.
    pub(crate) fn ciphertext_key_unknown(principal: &str, action: &str) -> Self {
        Self::new(
            ExceptionKind::AccessDenied,
            format!(
                "User: {principal} is not authorized to perform: kms:{action} on the resource \
                 associated with this ciphertext because the resource does not exist in this \
                 Region, no resource-based policies allow access, or a resource-based policy \
                 explicitly denies access"
            ),
        )
    }

    pub(crate) fn algorithm_incompatible(algorithm: &str, spec: &str) -> Self {
        Self::new(
            ExceptionKind::InvalidKeyUsage,
            format!("Algorithm {algorithm} is incompatible with key spec {spec}."),
        )
    }

    pub(crate) fn data_key_from_asymmetric() -> Self {
        Self::new(
            ExceptionKind::InvalidKeyUsage,
            "You cannot generate a data key with an asymmetric CMK",
        )
    }

    pub(crate) fn context_on_asymmetric() -> Self {
        Self::new(
            ExceptionKind::Validation,
            "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.",
        )
    }

    pub(crate) fn too_large(algorithm: &str, spec: &str, limit: usize) -> Self {
        Self::new(
            ExceptionKind::Validation,
            format!(
                "Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {limit} bytes."
            ),
        )
    }

    pub(crate) fn key_id_null() -> Self {
        Self::new(ExceptionKind::Validation, "KeyId must not be null")
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(ExceptionKind::Validation, message)
    }

    pub(crate) fn dry_run() -> Self {
        Self::new(
            ExceptionKind::DryRunOperation,
            "The request would have succeeded, but the DryRun option is set.",
        )
    }

    pub(crate) fn unsupported(message: Option<&str>) -> Self {
        Self {
            kind: ExceptionKind::UnsupportedOperation,
            message: message.map(str::to_owned),
        }
    }

    pub(crate) fn rotation_limit(arn: &KeyArn) -> Self {
        Self::new(
            ExceptionKind::LimitExceeded,
            format!(
                "The on-demand rotations limit has been reached for the given keyId. No more \
                 on-demand rotations can be performed for this key: {arn}"
            ),
        )
    }

    pub(crate) fn alias_prefix() -> Self {
        Self::new(
            ExceptionKind::Validation,
            "Alias must start with the prefix \"alias/\". Please see \
             https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        )
    }

    pub(crate) fn alias_name_invalid() -> Self {
        Self::new(
            ExceptionKind::InvalidAliasName,
            "Alias contains invalid characters for an alias",
        )
    }

    pub(crate) fn alias_reserved() -> Self {
        Self::silent(ExceptionKind::InvalidAliasName)
    }

    pub(crate) fn alias_exists(arn: &AliasArn) -> Self {
        Self::new(
            ExceptionKind::AlreadyExists,
            format!("An alias with the name {arn} already exists"),
        )
    }

    pub(crate) fn alias_limit() -> Self {
        Self::silent(ExceptionKind::LimitExceeded)
    }

    pub(crate) fn invalid_marker() -> Self {
        Self::silent(ExceptionKind::InvalidMarker)
    }

    pub(crate) fn internal() -> Self {
        Self::silent(ExceptionKind::KmsInternal)
    }
}

/// The store's faults as the API shows them. The facts are logged: the API has no room for them.
impl From<StoreError> for Exception {
    fn from(error: StoreError) -> Self {
        log::error!("keystore: {error}");
        match error {
            StoreError::Locked { .. } => Self::silent(ExceptionKind::DependencyTimeout),
            StoreError::Sqlite { .. }
            | StoreError::Missing { .. }
            | StoreError::Exists { .. }
            | StoreError::NotAKeystore { .. }
            | StoreError::Newer { .. }
            | StoreError::Damaged { .. }
            | StoreError::RootKeyMissing { .. }
            | StoreError::RootKeyWrong { .. }
            | StoreError::RootKeyMalformed { .. }
            | StoreError::PassphraseNeeded { .. }
            | StoreError::LoosePermissions { .. }
            | StoreError::Io { .. } => Self::silent(ExceptionKind::KmsInternal),
        }
    }
}
