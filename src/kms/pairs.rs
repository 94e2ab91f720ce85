//! Data key pairs: GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext.

use std::sync::Arc;

use super::Kms;
use super::algorithm;
use super::authorise::{Ask, authorise};
use super::blob::MadeBy;
use super::call::Call;
use super::context::EncryptionContext;
use super::crypt::{Side, material_hex, refuse_recipient};
use super::error::Exception;
use super::shapes::{
    Blob, GenerateDataKeyPairRequest, GenerateDataKeyPairResponse,
    GenerateDataKeyPairWithoutPlaintextRequest, GenerateDataKeyPairWithoutPlaintextResponse,
};
use super::spec::{DataKeyPairSpec, EncryptionAlgorithm};
use super::store::KeyRecord;
use crate::secret::SecretBytes;

struct Pair {
    key: Arc<KeyRecord>,
    wrapped: Vec<u8>,
    private: SecretBytes,
    public: Vec<u8>,
}

impl Kms {
    fn make_pair(
        &self,
        call: &mut Call<'_>,
        request: &GenerateDataKeyPairRequest,
    ) -> Result<Pair, Exception> {
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
        self.granted_by_tokens(side.grant_tokens.unwrap_or_default())?;
        refuse_recipient(request.recipient.as_ref())?;
        let key = self.resolve(call, side.action, &request.key_id)?;
        call.concerns(&key.arn);
        let ask = Ask::new(side.action)
            .named(&request.key_id)
            .with(side.context, side.algorithm)
            .tokens(side.grant_tokens)
            .fact("kms:datakeypairspec", [request.key_pair_spec.clone()]);
        authorise(self, call, &key, &ask)?;
        super::state::check(side.action, &key)?;
        if key.facts.spec.is_asymmetric() {
            return Err(Exception::pair_from_asymmetric());
        }
        if !key.facts.spec.is_symmetric() {
            let usage = key.facts.usage.name();
            return Err(Exception::usage_not_valid(&key.arn, usage, side.action));
        }
        let spec = DataKeyPairSpec::parse(&request.key_pair_spec)
            .ok_or_else(|| Exception::unsupported(None))?;
        if request.dry_run == Some(true) {
            return Err(Exception::dry_run());
        }
        let (private, public) = algorithm::generate_pair(spec.key_spec())?;
        let wrapped = side.seal(&key, MadeBy::GenerateDataKey, private.expose())?;
        call.describe_material("keyMaterialId", key.current_id());
        Ok(Pair {
            key,
            wrapped,
            private,
            public,
        })
    }

    /// GenerateDataKeyPair; the private key is PKCS#8 DER, the public key SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// As the API reference of GenerateDataKeyPair says.
    pub(super) fn generate_data_key_pair(
        &self,
        call: &mut Call<'_>,
        request: &GenerateDataKeyPairRequest,
    ) -> Result<GenerateDataKeyPairResponse, Exception> {
        let pair = self.make_pair(call, request)?;
        Ok(GenerateDataKeyPairResponse {
            private_key_ciphertext_blob: Blob(pair.wrapped),
            private_key_plaintext: Blob(pair.private.expose().to_vec()),
            public_key: Blob(pair.public),
            key_id: pair.key.arn.to_string(),
            key_pair_spec: request.key_pair_spec.clone(),
            ciphertext_for_recipient: None,
            key_material_id: material_hex(pair.key.current_id()),
        })
    }

    /// GenerateDataKeyPairWithoutPlaintext.
    ///
    /// # Errors
    /// As the API reference of GenerateDataKeyPairWithoutPlaintext says.
    pub(super) fn generate_data_key_pair_without_plaintext(
        &self,
        call: &mut Call<'_>,
        request: &GenerateDataKeyPairWithoutPlaintextRequest,
    ) -> Result<GenerateDataKeyPairWithoutPlaintextResponse, Exception> {
        let pair = self.make_pair(
            call,
            &GenerateDataKeyPairRequest {
                encryption_context: request.encryption_context.clone(),
                key_id: request.key_id.clone(),
                key_pair_spec: request.key_pair_spec.clone(),
                grant_tokens: request.grant_tokens.clone(),
                recipient: None,
                dry_run: request.dry_run,
            },
        )?;
        Ok(GenerateDataKeyPairWithoutPlaintextResponse {
            private_key_ciphertext_blob: Blob(pair.wrapped),
            public_key: Blob(pair.public),
            key_id: pair.key.arn.to_string(),
            key_pair_spec: request.key_pair_spec.clone(),
            key_material_id: material_hex(pair.key.current_id()),
        })
    }
}
