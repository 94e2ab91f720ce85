//! The one trait through which volumes reach keys, and the types it speaks.
//!
//! A volume knows a wrapped data key, never key material; a mount knows callers, never policies.
//! Another KMS can stand behind the trait. Everything outside of `kms` and `cli` imports this
//! module and no other of `kms`.

pub use super::caller::{Caller, Object, Source, account_of};
pub use super::context::EncryptionContext;
pub use super::error::{Exception, ExceptionKind};
pub use super::ids::{KeyArn, KeyIdentifier};
pub use super::shapes::{Blob, DryRunModifier, ReEncryptRequest, ReEncryptResponse};
pub use super::spec::EncryptionAlgorithm;

use super::Kms;
use super::api::Operation;
use super::shapes::{DataKeySpec, DecryptRequest, EncryptRequest, GenerateDataKeyRequest};
use crate::secret::Secret;

/// Reads an encryption context as people write it: JSON, or shorthand.
///
/// # Errors
/// `ValidationException`, with the place of the fault.
pub fn parse_context(text: &str) -> Result<EncryptionContext, Exception> {
    let value = json_or_shorthand(text)?;
    serde_json::from_value(value)
        .map_err(|e| Exception::validation(format!("not an encryption context: {e}")))
}

fn json_or_shorthand(text: &str) -> Result<serde_json::Value, Exception> {
    if text.trim_start().starts_with(['{', '[']) {
        return super::json::parse(text.as_bytes())
            .map_err(|e| Exception::validation(format!("Invalid JSON: {e}")));
    }
    if text.trim().is_empty() {
        return Ok(serde_json::Value::Object(serde_json::Map::new()));
    }
    super::shorthand::parse(text)
        .map_err(|e| Exception::validation(format!("neither JSON nor shorthand: {e}")))
}

/// Reads ReEncrypt's parameters as people write them: JSON or shorthand, blobs in base64. Checks
/// every constraint of the model.
///
/// # Errors
/// `ValidationException`.
pub fn parse_re_encrypt(text: &str) -> Result<ReEncryptRequest, Exception> {
    let operation = Operation::find("ReEncrypt").ok_or_else(Exception::internal)?;
    let mut value = operation.coerce(json_or_shorthand(text)?);
    operation.validate(&value)?;
    if let serde_json::Value::Object(members) = &mut value {
        members.retain(|_, member| !member.is_null());
    }
    serde_json::from_value(value)
        .map_err(|e| Exception::validation(format!("not parameters of ReEncrypt: {e}")))
}

/// A data key as a header keeps it: all that Decrypt and ReEncrypt need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The ARN of the KMS key that wraps it.
    pub key_arn: String,
    /// The algorithm that wrapped it.
    pub algorithm: EncryptionAlgorithm,
    /// The id of the key material, in hexadecimal; absent for asymmetric keys.
    pub material_id: Option<String>,
    /// The ciphertext blob.
    pub blob: Vec<u8>,
    /// The encryption context that it is bound to.
    pub context: EncryptionContext,
}

/// What a volume asks of a KMS.
pub trait KeyService: Send + Sync {
    /// Makes a data key under `key_id`: kms:GenerateDataKey, or kms:Encrypt of 32 random bytes
    /// when `algorithm` is asymmetric.
    ///
    /// # Errors
    /// The operation's.
    fn new_data_key(
        &self,
        caller: &Caller,
        key_id: &str,
        algorithm: EncryptionAlgorithm,
        context: &EncryptionContext,
    ) -> Result<(Secret<32>, WrappedKey), Exception>;

    /// Unwraps a data key: kms:Decrypt, always with the key ARN of the header.
    ///
    /// # Errors
    /// The operation's; `InvalidCiphertextException` also for a plaintext that is not 32 bytes.
    fn decrypt(&self, caller: &Caller, wrapped: &WrappedKey) -> Result<Secret<32>, Exception>;

    /// Moves a wrapped data key to another key, algorithm or context: kms:ReEncrypt.
    ///
    /// # Errors
    /// The operation's; `DryRunOperationException` when a dry run would have succeeded.
    fn re_encrypt(
        &self,
        caller: &Caller,
        request: &ReEncryptRequest,
    ) -> Result<ReEncryptResponse, Exception>;

    /// Whether `caller` may Decrypt with the header's key now; nothing is decrypted.
    ///
    /// # Errors
    /// What Decrypt would answer.
    fn authorise_decrypt(&self, caller: &Caller, wrapped: &WrappedKey) -> Result<(), Exception>;

    /// The principal that a uid of this machine is in the account and Region of `own`.
    ///
    /// # Errors
    /// The key service cannot be reached.
    fn caller_of_uid(&self, own: &Caller, uid: u32) -> Result<Caller, Exception>;

    /// A number that changes whenever any answer could have changed.
    ///
    /// # Errors
    /// The key service cannot be reached.
    fn change_counter(&self) -> Result<u64, Exception>;
}

/// Calls are made in the Region of the key; a bare alias is looked up in the caller's account.
fn in_region_of(caller: &Caller, key_id: &str) -> Caller {
    let mut caller = caller.clone();
    match KeyIdentifier::parse(key_id) {
        Ok(KeyIdentifier::Arn(arn)) => arn.region().clone_into(&mut caller.region),
        Ok(KeyIdentifier::AliasArn(arn)) => arn.region().clone_into(&mut caller.region),
        Ok(KeyIdentifier::Id(_) | KeyIdentifier::Alias(_)) | Err(_) => {}
    }
    caller
}

impl Kms {
    /// Runs what an ordinary open or create needs: recorded when it fails, or when all is.
    fn ordinary<T>(
        &self,
        caller: &Caller,
        operation: &'static str,
        body: impl FnOnce(&mut super::call::Call<'_>) -> Result<T, Exception>,
    ) -> Result<T, Exception> {
        let quiet = |result: &Result<T, Exception>| result.is_ok() && !self.audit_ordinary;
        self.perform_unless(caller, operation, quiet, body)
    }
}

impl KeyService for Kms {
    fn new_data_key(
        &self,
        caller: &Caller,
        key_id: &str,
        algorithm: EncryptionAlgorithm,
        context: &EncryptionContext,
    ) -> Result<(Secret<32>, WrappedKey), Exception> {
        let caller = &in_region_of(caller, key_id);
        let (arn, material_id, blob, data_key) = if algorithm.is_symmetric() {
            let request = GenerateDataKeyRequest {
                key_id: key_id.to_owned(),
                encryption_context: Some(context.clone()),
                key_spec: Some(DataKeySpec::AES_256),
                ..GenerateDataKeyRequest::default()
            };
            let made = self.ordinary(caller, "GenerateDataKey", |call| {
                self.generate_data_key_secret(call, &request)
            })?;
            let data_key =
                Secret::from_slice(made.plaintext.expose()).ok_or_else(Exception::internal)?;
            let id = made.key.current_id().map(|id| crate::codec::hex(&id));
            (made.key.arn.to_string(), id, made.ciphertext, data_key)
        } else {
            let data_key = crate::primitives::random_secret::<32>();
            let request = EncryptRequest {
                key_id: key_id.to_owned(),
                plaintext: Blob(data_key.expose().to_vec()),
                encryption_context: Some(context.clone()),
                encryption_algorithm: Some(algorithm),
                ..EncryptRequest::default()
            };
            let response = self.ordinary(caller, "Encrypt", |call| self.encrypt(call, &request))?;
            let blob = response.ciphertext_blob.into_bytes();
            (response.key_id, None, blob, data_key)
        };
        let wrapped = WrappedKey {
            key_arn: arn,
            algorithm,
            material_id,
            blob,
            context: context.clone(),
        };
        Ok((data_key, wrapped))
    }

    fn decrypt(&self, caller: &Caller, wrapped: &WrappedKey) -> Result<Secret<32>, Exception> {
        let request = DecryptRequest {
            ciphertext_blob: Some(Blob(wrapped.blob.clone())),
            encryption_context: Some(wrapped.context.clone()),
            key_id: Some(wrapped.key_arn.clone()),
            encryption_algorithm: Some(wrapped.algorithm),
            ..DecryptRequest::default()
        };
        let caller = in_region_of(caller, &wrapped.key_arn);
        let opened = self.ordinary(&caller, "Decrypt", |call| {
            self.decrypt_secret(call, &request)
        })?;
        Secret::from_slice(opened.plaintext.expose()).ok_or_else(Exception::invalid_ciphertext)
    }

    fn re_encrypt(
        &self,
        caller: &Caller,
        request: &ReEncryptRequest,
    ) -> Result<ReEncryptResponse, Exception> {
        self.perform(caller, "ReEncrypt", |call| {
            Self::re_encrypt(self, call, request)
        })
    }

    fn authorise_decrypt(&self, caller: &Caller, wrapped: &WrappedKey) -> Result<(), Exception> {
        let caller = in_region_of(caller, &wrapped.key_arn);
        self.ordinary(&caller, "Decrypt", |call| {
            self.may_decrypt(call, &wrapped.key_arn, wrapped.algorithm, &wrapped.context)
        })
    }

    fn caller_of_uid(&self, own: &Caller, uid: u32) -> Result<Caller, Exception> {
        let principal = self.principal_of_uid(&own.account, &own.region, uid)?;
        Ok(Caller::new(&principal, &own.account, &own.region))
    }

    fn change_counter(&self) -> Result<u64, Exception> {
        Ok(self.store().change_counter()?)
    }
}
