//! Data keys and random bytes: GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom.

use std::sync::Arc;

use serde_json::Value;

use super::Kms;
use super::authorise::{Ask, authorise_account};
use super::blob::MadeBy;
use super::call::Call;
use super::context::EncryptionContext;
use super::crypt::{Side, material_hex, refuse_recipient};
use super::error::Exception;
use super::shapes::{
    Blob, DataKeySpec, GenerateDataKeyRequest, GenerateDataKeyResponse,
    GenerateDataKeyWithoutPlaintextRequest, GenerateDataKeyWithoutPlaintextResponse,
    GenerateRandomRequest, GenerateRandomResponse,
};
use super::spec::EncryptionAlgorithm;
use super::store::KeyRecord;
use crate::primitives::random_fill;
use crate::secret::SecretBytes;

/// What GenerateDataKey gives, with the plaintext in a type that is wiped.
pub struct DataKey {
    /// The key that wraps it.
    pub key: Arc<KeyRecord>,
    /// The wrapped data key.
    pub ciphertext: Vec<u8>,
    /// The data key.
    pub plaintext: SecretBytes,
}

impl Kms {
    /// GenerateDataKey; the plaintext stays in a type that is wiped.
    ///
    /// # Errors
    /// As the API reference of GenerateDataKey says.
    pub(super) fn generate_data_key_secret(
        &self,
        call: &mut Call<'_>,
        request: &GenerateDataKeyRequest,
    ) -> Result<DataKey, Exception> {
        let none = EncryptionContext::default();
        let side = Side {
            action: call.operation,
            identifier: Some(&request.key_id),
            algorithm: EncryptionAlgorithm::SYMMETRIC_DEFAULT,
            context: request.encryption_context.as_ref().unwrap_or(&none),
            grant_tokens: request.grant_tokens.as_deref(),
        };
        call.describe_side("", &side, request.encryption_context.is_some());
        call.parameters.remove("encryptionAlgorithm");
        call.describe_dry_run(request.dry_run, None);
        if let (true, Some(spec)) = (call.is_recorded(), request.key_spec) {
            let spec = Value::from(spec.name());
            call.parameters.insert("keySpec".to_owned(), spec);
        }
        self.granted_by_tokens(side.grant_tokens.unwrap_or_default())?;
        let size = match (request.number_of_bytes, request.key_spec) {
            (None, Some(DataKeySpec::AES_128)) => 16,
            (None, Some(DataKeySpec::AES_256)) => 32,
            (Some(count), None) => random_size(count)?,
            _ => {
                return Err(Exception::validation(
                    "Please specify either number of bytes or key spec.",
                ));
            }
        };
        refuse_recipient(request.recipient.as_ref())?;
        let key = self.resolve(call, side.action, &request.key_id)?;
        call.concerns(&key.arn);
        side.allow(self, call, &key, None)?;
        if !key.facts.spec.is_symmetric() {
            return Err(Exception::data_key_from_asymmetric());
        }
        call.describe_material("keyMaterialId", key.current_id());
        if request.dry_run == Some(true) {
            return Err(Exception::dry_run());
        }
        let plaintext = random_bytes(size);
        let ciphertext = side.seal(&key, MadeBy::GenerateDataKey, plaintext.expose())?;
        Ok(DataKey {
            key,
            ciphertext,
            plaintext,
        })
    }

    /// GenerateDataKey.
    ///
    /// # Errors
    /// As the API reference of GenerateDataKey says.
    pub(super) fn generate_data_key(
        &self,
        call: &mut Call<'_>,
        request: &GenerateDataKeyRequest,
    ) -> Result<GenerateDataKeyResponse, Exception> {
        let made = self.generate_data_key_secret(call, request)?;
        Ok(GenerateDataKeyResponse {
            ciphertext_blob: Blob(made.ciphertext),
            plaintext: Blob(made.plaintext.expose().to_vec()),
            key_id: made.key.arn.to_string(),
            ciphertext_for_recipient: None,
            key_material_id: material_hex(made.key.current_id()),
        })
    }

    /// GenerateDataKeyWithoutPlaintext.
    ///
    /// # Errors
    /// As the API reference of GenerateDataKeyWithoutPlaintext says.
    pub(super) fn generate_data_key_without_plaintext(
        &self,
        call: &mut Call<'_>,
        request: &GenerateDataKeyWithoutPlaintextRequest,
    ) -> Result<GenerateDataKeyWithoutPlaintextResponse, Exception> {
        let made = self.generate_data_key_secret(
            call,
            &GenerateDataKeyRequest {
                key_id: request.key_id.clone(),
                encryption_context: request.encryption_context.clone(),
                number_of_bytes: request.number_of_bytes,
                key_spec: request.key_spec,
                grant_tokens: request.grant_tokens.clone(),
                recipient: None,
                dry_run: request.dry_run,
            },
        )?;
        Ok(GenerateDataKeyWithoutPlaintextResponse {
            ciphertext_blob: Blob(made.ciphertext),
            key_id: made.key.arn.to_string(),
            key_material_id: material_hex(made.key.current_id()),
        })
    }

    /// GenerateRandom.
    ///
    /// # Errors
    /// `ValidationException` when the number of bytes is missing or out of range.
    pub(super) fn generate_random(
        &self,
        call: &mut Call<'_>,
        request: &GenerateRandomRequest,
    ) -> Result<GenerateRandomResponse, Exception> {
        authorise_account(self, call, &Ask::new(call.operation))?;
        refuse_recipient(request.recipient.as_ref())?;
        if request.custom_key_store_id.is_some() {
            return Err(Exception::unsupported(Some(
                "Custom key stores are not supported.",
            )));
        }
        let count = request
            .number_of_bytes
            .ok_or_else(|| Exception::validation("NumberOfBytes is required."))?;
        Ok(GenerateRandomResponse {
            plaintext: Blob(random_bytes(random_size(count)?).expose().to_vec()),
            ciphertext_for_recipient: None,
        })
    }
}

fn random_size(count: i64) -> Result<usize, Exception> {
    usize::try_from(count)
        .ok()
        .filter(|count| (1..=1024).contains(count))
        .ok_or_else(|| Exception::validation("NumberOfBytes must be between 1 and 1024"))
}

fn random_bytes(size: usize) -> SecretBytes {
    let mut bytes = vec![0; size];
    random_fill(&mut bytes);
    SecretBytes::new(bytes)
}
