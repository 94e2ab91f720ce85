//! The API's exceptions with the service's own texts.
//!
//! Every text of the KMS stands in this file, one function each. Source: AWS KMS API Reference;
//! where the reference gives no text, recorded answers of the real service.

use super::ids::{AliasArn, KeyArn};
use super::store_error::StoreError;

macro_rules! exceptions {
    ($($kind:ident $name:ident)*) => {
        /// The exceptions of the API, by their shape names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(
            missing_docs,
            reason = "the names are the API's; their meaning is in its reference"
        )]
        pub enum ExceptionKind { $($kind),* }

        impl ExceptionKind {
            /// Every kind, for tables that must be complete.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($name)),* }
            }
        }
    };
}

exceptions! {
    AccessDenied AccessDeniedException
    AlreadyExists AlreadyExistsException
    Conflict ConflictException
    DependencyTimeout DependencyTimeoutException
    Disabled DisabledException
    DryRunOperation DryRunOperationException
    ExpiredImportToken ExpiredImportTokenException
    IncorrectKey IncorrectKeyException
    IncorrectKeyMaterial IncorrectKeyMaterialException
    InvalidAliasName InvalidAliasNameException
    InvalidArn InvalidArnException
    InvalidCiphertext InvalidCiphertextException
    InvalidGrantId InvalidGrantIdException
    InvalidGrantToken InvalidGrantTokenException
    InvalidImportToken InvalidImportTokenException
    InvalidKeyUsage InvalidKeyUsageException
    InvalidMarker InvalidMarkerException
    KeyUnavailable KeyUnavailableException
    KmsInternal KMSInternalException
    KmsInvalidState KMSInvalidStateException
    LimitExceeded LimitExceededException
    MalformedPolicyDocument MalformedPolicyDocumentException
    NotFound NotFoundException
    Serialization SerializationException
    Tag TagException
    Throttling ThrottlingException
    UnknownOperation UnknownOperationException
    UnsupportedOperation UnsupportedOperationException
    Validation ValidationException
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

    /// A key of another account that does not exist, or does not let the caller in: one text, so
    /// that a stranger cannot tell which.
    pub(crate) fn stranger(principal: &str, action: &str) -> Self {
        Self::new(
            ExceptionKind::AccessDenied,
            format!(
                "User: {principal} is not authorized to perform: kms:{action} on this resource \
                 because the resource does not exist in this Region, no resource-based policies \
                 allow access, or a resource-based policy explicitly denies access"
            ),
        )
    }

    /// The caller's own account refuses: `reason` is one of the endings of [`Reason`].
    ///
    /// [`Reason`]: super::authorise::Reason
    pub(crate) fn denied(principal: &str, action: &str, resource: &str, reason: &str) -> Self {
        Self::new(
            ExceptionKind::AccessDenied,
            format!(
                "User: {principal} is not authorized to perform: kms:{action} on resource: \
                 {resource} {reason}"
            ),
        )
    }

    pub(crate) fn invalid_grant_token() -> Self {
        Self::silent(ExceptionKind::InvalidGrantToken)
    }

    pub(crate) fn invalid_grant_id() -> Self {
        Self::new(ExceptionKind::InvalidGrantId, "Invalid grant id")
    }

    pub(crate) fn grant_not_found(id: &str) -> Self {
        Self::new(ExceptionKind::NotFound, format!("Grant ID {id} not found"))
    }

    pub(crate) fn not_a_principal(arn: &str) -> Self {
        Self::new(
            ExceptionKind::InvalidArn,
            format!("ARN does not refer to a valid principal: {arn}"),
        )
    }

    pub(crate) fn arn_not_valid(arn: &str) -> Self {
        Self::new(
            ExceptionKind::InvalidArn,
            format!("ARN is not valid: {arn}"),
        )
    }

    pub(crate) fn malformed_policy(fact: impl std::fmt::Display) -> Self {
        Self::new(ExceptionKind::MalformedPolicyDocument, fact.to_string())
    }

    pub(crate) fn policy_lockout() -> Self {
        Self::new(
            ExceptionKind::MalformedPolicyDocument,
            "The new key policy will not allow you to update the key policy in the future.",
        )
    }

    pub(crate) fn usage_not_valid(arn: &KeyArn, usage: &str, action: &str) -> Self {
        Self::new(
            ExceptionKind::InvalidKeyUsage,
            format!("{arn} key usage is {usage} which is not valid for {action}."),
        )
    }

    pub(crate) fn pending_import(arn: &KeyArn) -> Self {
        Self::new(
            ExceptionKind::KmsInvalidState,
            format!("{arn} is pending import."),
        )
    }

    pub(crate) fn wrong_origin(arn: &KeyArn, origin: &str) -> Self {
        Self::new(
            ExceptionKind::UnsupportedOperation,
            format!("{arn} origin is {origin} which is not valid for this operation."),
        )
    }

    pub(crate) fn tag(message: &str) -> Self {
        Self::new(ExceptionKind::Tag, message)
    }

    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new(ExceptionKind::Serialization, message)
    }

    /// An exception that comes without a message.
    pub(crate) fn without_message(kind: ExceptionKind) -> Self {
        Self::silent(kind)
    }

    /// An operation that this KMS does not have.
    pub fn unknown_operation() -> Self {
        Self::silent(ExceptionKind::UnknownOperation)
    }

    /// A request that cannot be read: not JSON, or of another form than the operation's.
    pub fn unreadable(message: impl Into<String>) -> Self {
        Self::serialization(message)
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

    pub(crate) fn pair_from_asymmetric() -> Self {
        Self::new(
            ExceptionKind::InvalidKeyUsage,
            "You cannot generate a data key pair with an asymmetric CMK",
        )
    }

    pub(crate) fn no_material_to_rotate_to(arn: &KeyArn) -> Self {
        Self::new(
            ExceptionKind::KmsInvalidState,
            format!("{arn} has no key material that is pending rotation."),
        )
    }

    pub(crate) fn is_access_denied(&self) -> bool {
        self.kind == ExceptionKind::AccessDenied
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
