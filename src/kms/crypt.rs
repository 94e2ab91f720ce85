//! The cryptographic operations: Encrypt, Decrypt and ReEncrypt.
//!
//! The order of checks is the real service's: a symmetric ciphertext is parsed first, then the
//! source key is resolved and compared with the blob's, authorised, and only then looked at
//! further, so that nobody without kms:ReEncryptFrom learns anything about a ciphertext.

use std::sync::Arc;

use serde_json::Value;

use super::Kms;
use super::algorithm;
use super::authorise::{Ask, authorise};
use super::blob::{self, MadeBy};
use super::call::Call;
use super::context::EncryptionContext;
use super::error::Exception;
use super::ids::KeyArn;
use super::shapes::{
    Blob, DecryptRequest, DecryptResponse, DryRunModifier, EncryptRequest, EncryptResponse,
    ReEncryptRequest, ReEncryptResponse, RecipientInfo,
};
use super::spec::{EncryptionAlgorithm, KeyUsage};
use super::state;
use super::store::KeyRecord;
use crate::codec::hex;
use crate::secret::SecretBytes;

/// One side of an operation: what is asked of which key, before the key is known.
pub(super) struct Side<'a> {
    pub(super) action: &'static str,
    pub(super) identifier: Option<&'a str>,
    pub(super) algorithm: EncryptionAlgorithm,
    pub(super) context: &'a EncryptionContext,
    pub(super) grant_tokens: Option<&'a [String]>,
}

impl Side<'_> {
    /// Authorisation, then the key's state, then whether key, algorithm and context fit.
    pub(super) fn check(
        &self,
        kms: &Kms,
        call: &Call<'_>,
        key: &KeyRecord,
        same_key: Option<bool>,
    ) -> Result<(), Exception> {
        self.allow(kms, call, key, same_key)?;
        self.fit(key)
    }

    fn authorise(
        &self,
        kms: &Kms,
        call: &Call<'_>,
        key: &KeyRecord,
        same_key: Option<bool>,
    ) -> Result<(), Exception> {
        let mut ask = Ask::new(self.action)
            .with(self.context, self.algorithm)
            .on_same_key(same_key)
            .tokens(self.grant_tokens);
        if let Some(identifier) = self.identifier {
            ask = ask.named(identifier);
        }
        authorise(kms, call, key, &ask).map(|_| ())
    }

    /// Authorisation, the key's state, and its usage.
    pub(super) fn allow(
        &self,
        kms: &Kms,
        call: &Call<'_>,
        key: &KeyRecord,
        same_key: Option<bool>,
    ) -> Result<(), Exception> {
        self.authorise(kms, call, key, same_key)?;
        state::check(self.action, key)?;
        if key.facts.usage != KeyUsage::ENCRYPT_DECRYPT {
            let usage = key.facts.usage.name();
            return Err(Exception::usage_not_valid(&key.arn, usage, self.action));
        }
        Ok(())
    }

    pub(super) fn fit(&self, key: &KeyRecord) -> Result<(), Exception> {
        let spec = key.facts.spec;
        if !spec.algorithms().contains(&self.algorithm) {
            return Err(Exception::algorithm_incompatible(
                self.algorithm.name(),
                spec.name(),
            ));
        }
        if !spec.is_symmetric() && !self.context.is_empty() {
            return Err(Exception::context_on_asymmetric());
        }
        Ok(())
    }

    fn check_size(&self, key: &KeyRecord, plaintext: usize) -> Result<(), Exception> {
        // Only a ciphertext from outside can hold nothing, and SM2 has no ciphertext of nothing.
        if plaintext == 0 && self.algorithm == EncryptionAlgorithm::SM2PKE {
            return Err(Exception::validation("Plaintext must not be empty"));
        }
        let limit = self.algorithm.plaintext_limit(key.facts.spec);
        if plaintext > limit {
            return Err(Exception::too_large(
                self.algorithm.name(),
                key.facts.spec.name(),
                limit,
            ));
        }
        Ok(())
    }

    /// Seals with the current material of `key`.
    pub(super) fn seal(
        &self,
        key: &KeyRecord,
        made_by: MadeBy,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Exception> {
        let material = key.current().ok_or_else(Exception::internal)?;
        algorithm::seal(material, self.algorithm, self.context, made_by, plaintext)
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

pub(super) fn material_hex(id: Option<[u8; 32]>) -> Option<String> {
    id.map(|id| hex(&id))
}

/// There are no enclaves here whose attestation could be checked.
pub(super) fn refuse_recipient(recipient: Option<&RecipientInfo>) -> Result<(), Exception> {
    match recipient {
        None => Ok(()),
        Some(_) => Err(Exception::unsupported(Some(
            "The Recipient parameter is not supported.",
        ))),
    }
}

impl Call<'_> {
    /// Puts one side of the operation into the record.
    pub(super) fn describe_side(&mut self, prefix: &str, side: &Side<'_>, given: bool) {
        if !self.is_recorded() {
            return;
        }
        let name = |rest: &str| {
            if prefix.is_empty() {
                let mut letters = rest.chars();
                let first = letters.next().map(|c| c.to_ascii_lowercase());
                first.into_iter().chain(letters).collect()
            } else {
                format!("{prefix}{rest}")
            }
        };
        self.parameters.insert(
            name("EncryptionAlgorithm"),
            Value::from(side.algorithm.name()),
        );
        if let Some(identifier) = side.identifier {
            self.parameters
                .insert(name("KeyId"), Value::from(identifier));
        }
        if given {
            let context = side
                .context
                .pairs()
                .iter()
                .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
                .collect();
            self.parameters
                .insert(name("EncryptionContext"), Value::Object(context));
        }
    }

    /// Puts into the record that nothing was to be done.
    pub(super) fn describe_dry_run(
        &mut self,
        dry_run: Option<bool>,
        modifiers: Option<&[DryRunModifier]>,
    ) {
        if let (true, Some(dry_run)) = (self.is_recorded(), dry_run) {
            self.parameters.insert("dryRun".to_owned(), dry_run.into());
        }
        if let (true, Some(modifiers)) = (self.is_recorded(), modifiers) {
            let names: Value = modifiers.iter().map(|modifier| modifier.name()).collect();
            self.parameters.insert("dryRunModifiers".to_owned(), names);
        }
    }

    pub(super) fn describe_material(&mut self, name: &str, id: Option<[u8; 32]>) {
        if let (true, Some(id)) = (self.is_recorded(), id) {
            self.more.insert(name.to_owned(), Value::from(hex(&id)));
        }
    }
}

impl Kms {
    /// The key of the source side, by the identifier and by what the blob says, authorised.
    fn source_key(
        &self,
        call: &mut Call<'_>,
        side: &Side<'_>,
        ciphertext: Option<&[u8]>,
        same_key: impl Fn(&KeyRecord) -> Option<bool>,
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
            .map(|identifier| self.resolve(call, side.action, identifier))
            .transpose()?;
        let from_blob = parsed
            .map(|id| self.store().key_of_material(&id))
            .transpose()?
            .flatten();
        let caller = call.caller;
        let unknown = || Exception::ciphertext_key_unknown(&caller.principal, side.action);
        let key = match (named, parsed, from_blob) {
            (Some(named), None, _) => named,
            (Some(named), Some(_), Some(arn)) if arn == named.arn => named,
            // The blob's key is another one, or nobody's: the named key cannot open it. Whether
            // the named key exists is no business of a caller from another account.
            (Some(named), Some(_), _) => {
                if named.arn.account() != caller.account {
                    side.authorise(self, call, &named, same_key(&named))?;
                }
                call.concerns(&named.arn);
                return Err(Exception::incorrect_key());
            }
            (None, Some(_), Some(arn)) if arn.region() == caller.region => {
                let key = self.find(&arn, call.now)?.ok_or_else(unknown)?;
                // A refusal must look as if there were no such key.
                side.authorise(self, call, &key, same_key(&key))
                    .map_err(|e| if e.is_access_denied() { unknown() } else { e })?;
                key
            }
            (None, Some(_), _) => return Err(unknown()),
            (None, None, _) => return Err(Exception::key_id_null()),
        };
        call.concerns(&key.arn);
        side.check(self, call, &key, same_key(&key))?;
        Ok((key, parsed))
    }

    fn open_source(
        &self,
        call: &mut Call<'_>,
        side: &Side<'_>,
        ciphertext: Option<&[u8]>,
        same_key: impl Fn(&KeyRecord) -> Option<bool>,
    ) -> Result<Opened, Exception> {
        let (key, parsed) = self.source_key(call, side, ciphertext, same_key)?;
        let plaintext = match ciphertext {
            None => None,
            Some(bytes) => {
                let material = match &parsed {
                    Some(id) => key.material(id),
                    None => key.current(),
                };
                let material = material.ok_or_else(Exception::invalid_ciphertext)?;
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
    pub(super) fn encrypt(
        &self,
        call: &mut Call<'_>,
        request: &EncryptRequest,
    ) -> Result<EncryptResponse, Exception> {
        let none = EncryptionContext::default();
        let side = Side {
            action: "Encrypt",
            identifier: Some(&request.key_id),
            algorithm: request.encryption_algorithm.unwrap_or_default(),
            context: request.encryption_context.as_ref().unwrap_or(&none),
            grant_tokens: request.grant_tokens.as_deref(),
        };
        call.describe_side("", &side, request.encryption_context.is_some());
        call.describe_dry_run(request.dry_run, None);
        self.granted_by_tokens(side.grant_tokens.unwrap_or_default())?;
        let key = self.resolve(call, side.action, &request.key_id)?;
        call.concerns(&key.arn);
        side.check(self, call, &key, None)?;
        side.check_size(&key, request.plaintext.0.len())?;
        call.describe_material("keyMaterialId", key.current_id());
        if request.dry_run == Some(true) {
            return Err(Exception::dry_run());
        }
        Ok(EncryptResponse {
            ciphertext_blob: Blob(side.seal(&key, MadeBy::Encrypt, &request.plaintext.0)?),
            key_id: key.arn.to_string(),
            encryption_algorithm: Some(side.algorithm),
        })
    }

    /// Decrypt; the plaintext stays in a type that is wiped.
    ///
    /// # Errors
    /// As the API reference of Decrypt says.
    pub(super) fn decrypt_secret(
        &self,
        call: &mut Call<'_>,
        request: &DecryptRequest,
    ) -> Result<Decrypted, Exception> {
        let none = EncryptionContext::default();
        let side = Side {
            action: "Decrypt",
            identifier: request.key_id.as_deref(),
            algorithm: request.encryption_algorithm.unwrap_or_default(),
            context: request.encryption_context.as_ref().unwrap_or(&none),
            grant_tokens: request.grant_tokens.as_deref(),
        };
        call.describe_side("", &side, request.encryption_context.is_some());
        call.describe_dry_run(request.dry_run, request.dry_run_modifiers.as_deref());
        self.granted_by_tokens(side.grant_tokens.unwrap_or_default())?;
        let ciphertext = ciphertext_of(
            request.ciphertext_blob.as_ref(),
            request.dry_run,
            request.dry_run_modifiers.as_deref(),
        )?;
        refuse_recipient(request.recipient.as_ref())?;
        if side.identifier.is_none() && (!side.algorithm.is_symmetric() || ciphertext.is_none()) {
            return Err(Exception::key_id_null());
        }
        let opened = self.open_source(call, &side, ciphertext, |_| None)?;
        call.describe_material("keyMaterialId", opened.material_id);
        if request.dry_run == Some(true) {
            return Err(Exception::dry_run());
        }
        let plaintext = opened.plaintext.ok_or_else(Exception::internal)?;
        Ok(Decrypted {
            material_id: opened.material_id,
            key: opened.key,
            plaintext,
        })
    }

    /// Decrypt.
    ///
    /// # Errors
    /// As the API reference of Decrypt says.
    pub(super) fn decrypt(
        &self,
        call: &mut Call<'_>,
        request: &DecryptRequest,
    ) -> Result<DecryptResponse, Exception> {
        let opened = self.decrypt_secret(call, request)?;
        Ok(DecryptResponse {
            key_id: opened.key.arn.to_string(),
            plaintext: Blob(opened.plaintext.expose().to_vec()),
            encryption_algorithm: Some(request.encryption_algorithm.unwrap_or_default()),
            ciphertext_for_recipient: None,
            key_material_id: material_hex(opened.material_id),
        })
    }

    /// ReEncrypt: the plaintext exists only inside this function.
    ///
    /// # Errors
    /// As the API reference of ReEncrypt says.
    pub(super) fn re_encrypt(
        &self,
        call: &mut Call<'_>,
        request: &ReEncryptRequest,
    ) -> Result<ReEncryptResponse, Exception> {
        let none = EncryptionContext::default();
        let source = Side {
            action: "ReEncryptFrom",
            identifier: request.source_key_id.as_deref(),
            algorithm: request.source_encryption_algorithm.unwrap_or_default(),
            context: request.source_encryption_context.as_ref().unwrap_or(&none),
            grant_tokens: request.grant_tokens.as_deref(),
        };
        let destination = Side {
            action: "ReEncryptTo",
            identifier: Some(&request.destination_key_id),
            algorithm: request.destination_encryption_algorithm.unwrap_or_default(),
            context: request
                .destination_encryption_context
                .as_ref()
                .unwrap_or(&none),
            grant_tokens: request.grant_tokens.as_deref(),
        };
        call.describe_side(
            "source",
            &source,
            request.source_encryption_context.is_some(),
        );
        call.describe_side(
            "destination",
            &destination,
            request.destination_encryption_context.is_some(),
        );
        call.describe_dry_run(request.dry_run, request.dry_run_modifiers.as_deref());
        self.granted_by_tokens(request.grant_tokens.as_deref().unwrap_or_default())?;
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
        let target = self.resolve(call, destination.action, &request.destination_key_id);
        let target_arn: Option<KeyArn> = target.as_ref().ok().map(|key| key.arn.clone());
        // A destination that is not there is another key than the source: a policy that denies
        // leaving a key must not be got round by naming none.
        let same = |key: &KeyRecord| Some(target_arn.as_ref() == Some(&key.arn));
        let opened = self.open_source(call, &source, ciphertext, same)?;
        let key = target?;
        call.concerns(&key.arn);
        destination.check(self, call, &key, Some(key.arn == opened.key.arn))?;
        if let Some(plaintext) = &opened.plaintext {
            destination.check_size(&key, plaintext.len())?;
        }
        let from = opened.material_id.filter(|_| ciphertext.is_some());
        let to = key.current_id();
        call.describe_material("sourceKeyMaterialId", from);
        call.describe_material("destinationKeyMaterialId", to);
        if request.dry_run == Some(true) {
            return Err(Exception::dry_run());
        }
        let plaintext = opened.plaintext.as_ref().ok_or_else(Exception::internal)?;
        let sealed = destination.seal(&key, MadeBy::Encrypt, plaintext.expose())?;
        Ok(ReEncryptResponse {
            ciphertext_blob: Blob(sealed),
            source_key_id: opened.key.arn.to_string(),
            key_id: key.arn.to_string(),
            source_encryption_algorithm: Some(source.algorithm),
            destination_encryption_algorithm: Some(destination.algorithm),
            source_key_material_id: material_hex(from),
            destination_key_material_id: material_hex(to),
        })
    }

    /// Whether the caller may Decrypt with this key now, without decrypting anything.
    ///
    /// # Errors
    /// What Decrypt would answer before it looks at the ciphertext.
    pub(super) fn may_decrypt(
        &self,
        call: &mut Call<'_>,
        key_id: &str,
        algorithm: EncryptionAlgorithm,
        context: &EncryptionContext,
    ) -> Result<(), Exception> {
        let side = Side {
            action: "Decrypt",
            identifier: Some(key_id),
            algorithm,
            context,
            grant_tokens: None,
        };
        call.uses = false;
        call.describe_side("", &side, true);
        let key = self.resolve(call, side.action, key_id)?;
        call.concerns(&key.arn);
        side.check(self, call, &key, None)
    }
}

/// The ciphertext of a request; `None` when a dry run ignores it.
fn ciphertext_of<'a>(
    blob: Option<&'a Blob>,
    dry_run: Option<bool>,
    modifiers: Option<&[DryRunModifier]>,
) -> Result<Option<&'a [u8]>, Exception> {
    let modifiers = modifiers.unwrap_or_default();
    if !modifiers.is_empty() && dry_run != Some(true) {
        return Err(Exception::validation(
            "DryRunModifiers can only be specified when DryRun is true.",
        ));
    }
    match blob {
        _ if modifiers.contains(&DryRunModifier::IGNORE_CIPHERTEXT) => Ok(None),
        Some(blob) => Ok(Some(&blob.0)),
        None => Err(Exception::validation(
            "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy \
             constraint: Member must not be null",
        )),
    }
}
