//! The cryptographic operations: Encrypt, Decrypt, ReEncrypt and the generators.
//!
//! The order of checks is the real service's: a symmetric ciphertext is parsed first, then the
//! source key is resolved and compared with the blob's, authorised, and only then looked at
//! further, so that nobody without kms:ReEncryptFrom learns anything about a ciphertext.

use std::sync::Arc;

use super::Kms;
use super::algorithm::{self, EncryptionAlgorithm};
use super::audit;
use super::authorise::{Caller, Request, authorise};
use super::blob::{self, MadeBy};
use super::context::EncryptionContext;
use super::error::Exception;
use super::shapes::{
    Blob, DecryptRequest, DecryptResponse, DryRunModifier, EncryptRequest, EncryptResponse,
    GenerateDataKeyRequest, GenerateDataKeyResponse, GenerateDataKeyWithoutPlaintextResponse,
    GenerateRandomRequest, GenerateRandomResponse, ReEncryptRequest, ReEncryptResponse,
};
use super::state::{self, Needs};
use super::store::KeyRecord;
use crate::codec::hex;
use crate::primitives::random_fill;
use crate::secret::SecretBytes;

/// One side of an operation: what is asked of which key, before the key is known.
struct Side<'a> {
    action: &'static str,
    identifier: Option<&'a str>,
    algorithm: EncryptionAlgorithm,
    context: &'a EncryptionContext,
    grant_tokens: &'a [String],
}

impl Side<'_> {
    /// Authorisation, state, then whether key, algorithm and context fit.
    fn check(
        &self,
        caller: &Caller,
        key: &KeyRecord,
        same_key: Option<bool>,
    ) -> Result<(), Exception> {
        self.allow(caller, key, same_key)?;
        self.fit(key)
    }

    fn allow(
        &self,
        caller: &Caller,
        key: &KeyRecord,
        same_key: Option<bool>,
    ) -> Result<(), Exception> {
        authorise(
            caller,
            key,
            &Request {
                action: self.action,
                context: Some(self.context),
                algorithm: Some(self.algorithm),
                identifier: self.identifier,
                same_key,
                grant_tokens: self.grant_tokens,
            },
        )?;
        state::check(Needs::Usable, key)
    }

    fn fit(&self, key: &KeyRecord) -> Result<(), Exception> {
        if !key.spec.algorithms().contains(&self.algorithm) {
            return Err(Exception::algorithm_incompatible(
                self.algorithm.name(),
                key.spec.name(),
            ));
        }
        if !key.spec.is_symmetric() && !self.context.is_empty() {
            return Err(Exception::context_on_asymmetric());
        }
        Ok(())
    }

    fn check_size(&self, key: &KeyRecord, plaintext: usize) -> Result<(), Exception> {
        let limit = self.algorithm.plaintext_limit(key.spec);
        if plaintext > limit {
            return Err(Exception::too_large(
                self.algorithm.name(),
                key.spec.name(),
                limit,
            ));
        }
        Ok(())
    }
}

/// The outcome of the source side: the key, and the plaintext unless the ciphertext is ignored.
struct Opened {
    key: Arc<KeyRecord>,
    material_id: Option<[u8; 32]>,
    plaintext: Option<SecretBytes>,
}

/// What Decrypt gives, with the plaintext in a type that is wiped.
pub struct Decrypted {
    /// The key that opened it.
    pub key: Arc<KeyRecord>,
    /// The key material, of a symmetric key.
    pub material_id: Option<[u8; 32]>,
    /// The plaintext.
    pub plaintext: SecretBytes,
}

fn material_hex(id: Option<[u8; 32]>) -> Option<String> {
    id.map(|id| hex(&id))
}

impl Kms {
    /// The key of the source side, by the identifier and by what the blob says.
    fn source_key(
        &self,
        caller: &Caller,
        side: &Side<'_>,
        ciphertext: Option<&[u8]>,
    ) -> Result<(Arc<KeyRecord>, Option<[u8; 32]>), Exception> {
        let parsed = match ciphertext {
            Some(bytes) if side.algorithm.is_symmetric() => {
                let parsed = blob::parse(bytes).ok_or_else(Exception::invalid_ciphertext)?;
                Some(parsed.material_id)
            }
            Some(_) | None => None,
        };
        let named = side
            .identifier
            .map(|identifier| self.resolve(caller, identifier))
            .transpose()?;
        let from_blob = parsed
            .map(|id| self.store().key_of_material(&id))
            .transpose()?
            .flatten();
        let key = match (named, parsed, from_blob) {
            (Some(named), None, _) => named,
            (Some(named), Some(_), Some(arn)) if arn == named.arn => named,
            // The blob's key is another one, or nobody's: the named key cannot open it.
            (Some(_), Some(_), _) => return Err(Exception::incorrect_key()),
            (None, Some(_), Some(arn)) if arn.region() == caller.region => self
                .store()
                .key(&arn, super::now())?
                .ok_or_else(|| Exception::ciphertext_key_unknown(&caller.principal, side.action))?,
            (None, Some(_), _) => {
                return Err(Exception::ciphertext_key_unknown(
                    &caller.principal,
                    side.action,
                ));
            }
            (None, None, _) => return Err(Exception::key_id_null()),
        };
        Ok((key, parsed))
    }

    fn open_source(
        &self,
        caller: &Caller,
        side: &Side<'_>,
        ciphertext: Option<&[u8]>,
        same_key: impl FnOnce(&KeyRecord) -> Option<bool>,
    ) -> Result<Opened, Exception> {
        let (key, parsed) = self.source_key(caller, side, ciphertext)?;
        side.check(caller, &key, same_key(&key))?;
        let plaintext = match ciphertext {
            None => None,
            Some(bytes) => {
                let material = match &parsed {
                    Some(id) => key.material(id).ok_or_else(Exception::invalid_ciphertext)?,
                    None => key.current(),
                };
                Some(algorithm::open(
                    material,
                    side.algorithm,
                    side.context,
                    bytes,
                )?)
            }
        };
        Ok(Opened {
            material_id: parsed.or_else(|| key.current_id()),
            key,
            plaintext,
        })
    }

    /// Encrypt.
    ///
    /// # Errors
    /// As the API reference of Encrypt says.
    pub fn encrypt(
        &self,
        caller: &Caller,
        request: &EncryptRequest,
    ) -> Result<EncryptResponse, Exception> {
        let plaintext = request.plaintext.0.as_slice();
        let (key, algorithm, ciphertext) = self.seal_for(
            caller,
            "Encrypt",
            &request.key_id,
            request.encryption_algorithm,
            request.encryption_context.as_ref(),
            request.grant_tokens.as_deref(),
            MadeBy::Encrypt,
            request.dry_run,
            plaintext,
        )?;
        Ok(EncryptResponse {
            ciphertext_blob: Blob(ciphertext),
            key_id: key.arn.to_string(),
            encryption_algorithm: Some(algorithm),
        })
    }

    /// Everything that Encrypt and GenerateDataKey have in common.
    #[allow(
        clippy::too_many_arguments,
        reason = "the members of two requests, checked in order"
    )]
    fn seal_for(
        &self,
        caller: &Caller,
        operation: &'static str,
        key_id: &str,
        algorithm: Option<EncryptionAlgorithm>,
        context: Option<&EncryptionContext>,
        grant_tokens: Option<&[String]>,
        made_by: MadeBy,
        dry_run: Option<bool>,
        plaintext: &[u8],
    ) -> Result<(Arc<KeyRecord>, EncryptionAlgorithm, Vec<u8>), Exception> {
        let none = EncryptionContext::default();
        let algorithm = algorithm.unwrap_or(EncryptionAlgorithm::SYMMETRIC_DEFAULT);
        let side = Side {
            action: operation,
            identifier: Some(key_id),
            algorithm,
            context: context.unwrap_or(&none),
            grant_tokens: grant_tokens.unwrap_or_default(),
        };
        let key = self.resolve(caller, key_id)?;
        let result = (|| {
            side.allow(caller, &key, None)?;
            if made_by == MadeBy::GenerateDataKey && !key.spec.is_symmetric() {
                return Err(Exception::data_key_from_asymmetric());
            }
            side.fit(&key)?;
            side.check_size(&key, plaintext.len())?;
            if dry_run == Some(true) {
                return Err(Exception::dry_run());
            }
            algorithm::seal(key.current(), algorithm, side.context, made_by, plaintext)
        })();
        audit::record(operation, caller, &[&key.arn], &result);
        Ok((key, algorithm, result?))
    }

    /// Decrypt; the plaintext stays in a type that is wiped.
    ///
    /// # Errors
    /// As the API reference of Decrypt says.
    pub fn decrypt_secret(
        &self,
        caller: &Caller,
        request: &DecryptRequest,
    ) -> Result<Decrypted, Exception> {
        let none = EncryptionContext::default();
        let side = Side {
            action: "Decrypt",
            identifier: request.key_id.as_deref(),
            algorithm: request
                .encryption_algorithm
                .unwrap_or(EncryptionAlgorithm::SYMMETRIC_DEFAULT),
            context: request.encryption_context.as_ref().unwrap_or(&none),
            grant_tokens: request.grant_tokens.as_deref().unwrap_or_default(),
        };
        let result = (|| {
            let ciphertext = ciphertext_of(
                request.ciphertext_blob.as_ref(),
                request.dry_run,
                request.dry_run_modifiers.as_deref(),
            )?;
            if side.identifier.is_none() && (!side.algorithm.is_symmetric() || ciphertext.is_none())
            {
                return Err(Exception::key_id_null());
            }
            let opened = self.open_source(caller, &side, ciphertext, |_| None)?;
            if request.dry_run == Some(true) {
                return Err(Exception::dry_run());
            }
            Ok(opened)
        })();
        let arns: Vec<_> = result.iter().map(|opened| &opened.key.arn).collect();
        audit::record("Decrypt", caller, &arns, &result);
        let opened = result?;
        let plaintext = opened.plaintext.ok_or_else(Exception::internal)?;
        let id = opened
            .material_id
            .filter(|_| opened.key.spec.is_symmetric());
        Ok(Decrypted {
            key: opened.key,
            material_id: id,
            plaintext,
        })
    }

    /// Decrypt.
    ///
    /// # Errors
    /// As the API reference of Decrypt says.
    pub fn decrypt(
        &self,
        caller: &Caller,
        request: &DecryptRequest,
    ) -> Result<DecryptResponse, Exception> {
        let Decrypted {
            key,
            material_id,
            plaintext,
        } = self.decrypt_secret(caller, request)?;
        Ok(DecryptResponse {
            key_id: key.arn.to_string(),
            plaintext: Blob(plaintext.expose().to_vec()),
            encryption_algorithm: Some(
                request
                    .encryption_algorithm
                    .unwrap_or(EncryptionAlgorithm::SYMMETRIC_DEFAULT),
            ),
            key_material_id: material_hex(material_id),
        })
    }

    /// ReEncrypt: the plaintext exists only inside this function.
    ///
    /// # Errors
    /// As the API reference of ReEncrypt says.
    pub fn re_encrypt(
        &self,
        caller: &Caller,
        request: &ReEncryptRequest,
    ) -> Result<ReEncryptResponse, Exception> {
        let none = EncryptionContext::default();
        let default = EncryptionAlgorithm::SYMMETRIC_DEFAULT;
        let grant_tokens = request.grant_tokens.as_deref().unwrap_or_default();
        let source = Side {
            action: "ReEncryptFrom",
            identifier: request.source_key_id.as_deref(),
            algorithm: request.source_encryption_algorithm.unwrap_or(default),
            context: request.source_encryption_context.as_ref().unwrap_or(&none),
            grant_tokens,
        };
        let destination = Side {
            action: "ReEncryptTo",
            identifier: Some(&request.destination_key_id),
            algorithm: request.destination_encryption_algorithm.unwrap_or(default),
            context: request
                .destination_encryption_context
                .as_ref()
                .unwrap_or(&none),
            grant_tokens,
        };
        let result = self.re_encrypt_sides(caller, request, &source, &destination);
        let arns: Vec<_> = result
            .iter()
            .flat_map(|(opened, key, _)| [&opened.key.arn, &key.arn])
            .collect();
        audit::record("ReEncrypt", caller, &arns, &result);
        let (opened, key, ciphertext) = result?;
        Ok(ReEncryptResponse {
            ciphertext_blob: Blob(ciphertext),
            source_key_id: opened.key.arn.to_string(),
            key_id: key.arn.to_string(),
            source_encryption_algorithm: Some(source.algorithm),
            destination_encryption_algorithm: Some(destination.algorithm),
            source_key_material_id: material_hex(
                opened
                    .material_id
                    .filter(|_| opened.key.spec.is_symmetric()),
            ),
            destination_key_material_id: material_hex(key.current_id()),
        })
    }

    fn re_encrypt_sides(
        &self,
        caller: &Caller,
        request: &ReEncryptRequest,
        source: &Side<'_>,
        destination: &Side<'_>,
    ) -> Result<(Opened, Arc<KeyRecord>, Vec<u8>), Exception> {
        let ciphertext = ciphertext_of(
            request.ciphertext_blob.as_ref(),
            request.dry_run,
            request.dry_run_modifiers.as_deref(),
        )?;
        if source.identifier.is_none() && (!source.algorithm.is_symmetric() || ciphertext.is_none())
        {
            return Err(Exception::key_id_null());
        }
        // kms:ReEncryptOnSameKey is a fact about both sides; an unknown destination is reported
        // only after the source has been judged.
        let target = self.resolve(caller, &request.destination_key_id);
        let same = |key: &KeyRecord| target.as_ref().ok().map(|target| target.arn == key.arn);
        let opened = self.open_source(caller, source, ciphertext, same)?;
        let key = target.clone()?;
        destination.check(caller, &key, Some(key.arn == opened.key.arn))?;
        if let Some(plaintext) = &opened.plaintext {
            destination.check_size(&key, plaintext.len())?;
        }
        if request.dry_run == Some(true) {
            return Err(Exception::dry_run());
        }
        let plaintext = opened.plaintext.as_ref().ok_or_else(Exception::internal)?;
        let sealed = algorithm::seal(
            key.current(),
            destination.algorithm,
            destination.context,
            MadeBy::Encrypt,
            plaintext.expose(),
        )?;
        Ok((opened, key, sealed))
    }

    /// GenerateDataKey; the plaintext stays in a type that is wiped.
    ///
    /// # Errors
    /// As the API reference of GenerateDataKey says.
    pub fn generate_data_key_secret(
        &self,
        caller: &Caller,
        operation: &'static str,
        request: &GenerateDataKeyRequest,
    ) -> Result<(Arc<KeyRecord>, Vec<u8>, SecretBytes), Exception> {
        let size = match (request.number_of_bytes, request.key_spec.as_deref()) {
            (None, Some("AES_128")) => 16,
            (None, Some("AES_256")) => 32,
            (Some(count), None) => usize::try_from(count)
                .ok()
                .filter(|count| (1..=1024).contains(count))
                .ok_or_else(|| Exception::validation("NumberOfBytes must be between 1 and 1024"))?,
            _ => {
                return Err(Exception::validation(
                    "Please specify either number of bytes or key spec.",
                ));
            }
        };
        let mut bytes = vec![0; size];
        random_fill(&mut bytes);
        let plaintext = SecretBytes::new(bytes);
        let (key, _, ciphertext) = self.seal_for(
            caller,
            operation,
            &request.key_id,
            None,
            request.encryption_context.as_ref(),
            request.grant_tokens.as_deref(),
            MadeBy::GenerateDataKey,
            request.dry_run,
            plaintext.expose(),
        )?;
        Ok((key, ciphertext, plaintext))
    }

    /// GenerateDataKey.
    ///
    /// # Errors
    /// As the API reference of GenerateDataKey says.
    pub fn generate_data_key(
        &self,
        caller: &Caller,
        request: &GenerateDataKeyRequest,
    ) -> Result<GenerateDataKeyResponse, Exception> {
        let (key, ciphertext, plaintext) =
            self.generate_data_key_secret(caller, "GenerateDataKey", request)?;
        Ok(GenerateDataKeyResponse {
            ciphertext_blob: Blob(ciphertext),
            plaintext: Blob(plaintext.expose().to_vec()),
            key_id: key.arn.to_string(),
            key_material_id: material_hex(key.current_id()),
        })
    }

    /// GenerateDataKeyWithoutPlaintext.
    ///
    /// # Errors
    /// As the API reference of GenerateDataKeyWithoutPlaintext says.
    pub fn generate_data_key_without_plaintext(
        &self,
        caller: &Caller,
        request: &GenerateDataKeyRequest,
    ) -> Result<GenerateDataKeyWithoutPlaintextResponse, Exception> {
        let (key, ciphertext, _) =
            self.generate_data_key_secret(caller, "GenerateDataKeyWithoutPlaintext", request)?;
        Ok(GenerateDataKeyWithoutPlaintextResponse {
            ciphertext_blob: Blob(ciphertext),
            key_id: key.arn.to_string(),
            key_material_id: material_hex(key.current_id()),
        })
    }

    /// GenerateRandom.
    ///
    /// # Errors
    /// `ValidationException` when the number of bytes is missing or out of range.
    pub fn generate_random(
        &self,
        caller: &Caller,
        request: &GenerateRandomRequest,
    ) -> Result<GenerateRandomResponse, Exception> {
        let result = request
            .number_of_bytes
            .ok_or_else(|| Exception::validation("NumberOfBytes is required."))
            .and_then(|count| {
                usize::try_from(count)
                    .ok()
                    .filter(|count| (1..=1024).contains(count))
                    .ok_or_else(|| {
                        Exception::validation("NumberOfBytes must be between 1 and 1024")
                    })
            })
            .map(|count| {
                let mut bytes = vec![0; count];
                random_fill(&mut bytes);
                GenerateRandomResponse {
                    plaintext: Blob(bytes),
                }
            });
        audit::record("GenerateRandom", caller, &[], &result);
        result
    }

    /// Whether `caller` may Decrypt with this key now, without decrypting anything.
    ///
    /// # Errors
    /// What Decrypt would answer before it looks at the ciphertext.
    pub fn may_decrypt(
        &self,
        caller: &Caller,
        key_id: &str,
        algorithm: EncryptionAlgorithm,
        context: &EncryptionContext,
    ) -> Result<(), Exception> {
        let key = self.resolve(caller, key_id)?;
        let side = Side {
            action: "Decrypt",
            identifier: Some(key_id),
            algorithm,
            context,
            grant_tokens: &[],
        };
        side.check(caller, &key, None)
    }
}

/// The ciphertext of a request; `None` when a dry run ignores it.
fn ciphertext_of<'a>(
    blob: Option<&'a Blob>,
    dry_run: Option<bool>,
    modifiers: Option<&[DryRunModifier]>,
) -> Result<Option<&'a [u8]>, Exception> {
    let ignore = modifiers.is_some_and(|list| list.contains(&DryRunModifier::IgnoreCiphertext));
    if ignore && dry_run != Some(true) {
        return Err(Exception::validation(
            "DryRunModifiers can only be specified when DryRun is true.",
        ));
    }
    match blob {
        _ if ignore => Ok(None),
        Some(blob) => Ok(Some(&blob.0)),
        None => Err(Exception::validation(
            "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy \
             constraint: Member must not be null",
        )),
    }
}
