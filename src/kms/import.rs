//! Imported key material: GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial.
//!
//! The import token holds the private half of the wrapping key, sealed under the root key: nothing
//! is kept in the keystore for an import that may never come. Each key is committed to the
//! material that was imported first: deleted or expired material can only be replaced by itself.

use serde::{Deserialize, Serialize};

use super::Kms;
use super::algorithm;
use super::authorise::Ask;
use super::call::Call;
use super::context::EncryptionContext;
use super::error::{Exception, ExceptionKind};
use super::ids::KeyArn;
use super::keys::{DAY, seconds};
use super::shapes::{
    Blob, DeleteImportedKeyMaterialRequest, DeleteImportedKeyMaterialResponse,
    GetParametersForImportRequest, GetParametersForImportResponse, ImportKeyMaterialRequest,
    ImportKeyMaterialResponse, ImportType,
};
use super::spec::{EncryptionAlgorithm, KeyOrigin, KeySpec, KeyState};
use super::store::{Change, ExpirationModel, KeyRecord, MaterialFacts, MaterialState};
use crate::codec::hex;
use crate::primitives;
use crate::secret::SecretBytes;

const TOKEN_LABEL: &[u8] = b"rekeyfs import token";

/// What an import token holds.
#[derive(Serialize, Deserialize)]
struct Token {
    arn: String,
    algorithm: String,
    spec: KeySpec,
    expires: i64,
    private_key: Blob,
}

/// How the material arrives.
enum Wrapping {
    /// Encrypted with the wrapping key itself.
    Direct(EncryptionAlgorithm),
    /// An AES key, encrypted with the wrapping key, then the material in AES key wrap.
    WithKey(EncryptionAlgorithm),
}

fn wrapping(algorithm: &str, spec: KeySpec) -> Result<Wrapping, Exception> {
    use EncryptionAlgorithm::{RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE};
    let wrapping = match algorithm {
        "RSAES_OAEP_SHA_1" => Wrapping::Direct(RSAES_OAEP_SHA_1),
        "RSAES_OAEP_SHA_256" => Wrapping::Direct(RSAES_OAEP_SHA_256),
        "RSA_AES_KEY_WRAP_SHA_1" => Wrapping::WithKey(RSAES_OAEP_SHA_1),
        "RSA_AES_KEY_WRAP_SHA_256" => Wrapping::WithKey(RSAES_OAEP_SHA_256),
        "SM2PKE" => Wrapping::Direct(SM2PKE),
        // RSAES_PKCS1_V1_5 is no longer supported by the service either.
        _ => return Err(Exception::unsupported(None)),
    };
    let (Wrapping::Direct(used) | Wrapping::WithKey(used)) = &wrapping;
    if !spec.algorithms().contains(used) {
        return Err(Exception::validation(format!(
            "WrappingAlgorithm {algorithm} is not compatible with WrappingKeySpec {}",
            spec.name()
        )));
    }
    Ok(wrapping)
}

fn check_origin(key: &KeyRecord) -> Result<(), Exception> {
    if key.facts.origin == KeyOrigin::EXTERNAL {
        return Ok(());
    }
    Err(Exception::wrong_origin(&key.arn, key.facts.origin.name()))
}

/// A commitment to imported material: the same for the same material of the same key.
fn commitment(arn: &KeyArn, material: &SecretBytes) -> String {
    hex(&primitives::hmac_sha256(
        material.expose(),
        &[b"rekeyfs imported material", arn.as_str().as_bytes()],
    ))
}

fn unwrap(token: &Token, wrapped: &[u8]) -> Result<SecretBytes, Exception> {
    let private_key = SecretBytes::new(token.private_key.0.clone());
    let material = algorithm::load(token.spec, "", &private_key).ok_or_else(Exception::internal)?;
    let none = EncryptionContext::default();
    match wrapping(&token.algorithm, token.spec)? {
        Wrapping::Direct(used) => algorithm::open(&material, used, &none, wrapped),
        Wrapping::WithKey(used) => {
            let size = token.spec.rsa_bits().unwrap_or_default() as usize / 8;
            let (key, rest) = wrapped
                .split_at_checked(size)
                .ok_or_else(Exception::invalid_ciphertext)?;
            let key = algorithm::open(&material, used, &none, key)?;
            primitives::unwrap_key(key.expose(), rest).map_err(|_| Exception::invalid_ciphertext())
        }
    }
}

/// When the material expires, from the members that say so.
fn valid_to(request: &ImportKeyMaterialRequest, now: i64) -> Result<Option<i64>, Exception> {
    let given = request.valid_to.map(|seconds| (seconds * 1000.0) as i64);
    match (request.expiration_model, given) {
        (Some(ExpirationModel::KEY_MATERIAL_DOES_NOT_EXPIRE), None) => Ok(None),
        (Some(ExpirationModel::KEY_MATERIAL_DOES_NOT_EXPIRE), Some(_)) => {
            Err(Exception::validation(
                "A validTo date must not be set if the ExpirationModel is \
                 KEY_MATERIAL_DOES_NOT_EXPIRE",
            ))
        }
        (Some(ExpirationModel::KEY_MATERIAL_EXPIRES) | None, None) => Err(Exception::validation(
            "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES",
        )),
        (Some(ExpirationModel::KEY_MATERIAL_EXPIRES) | None, Some(at)) => {
            if at <= now || at > now.saturating_add(365 * DAY) {
                return Err(Exception::validation(
                    "The validTo date must be in the future, at most 365 days from now",
                ));
            }
            Ok(Some(at))
        }
    }
}

impl Kms {
    /// GetParametersForImport.
    ///
    /// # Errors
    /// `UnsupportedOperationException` for keys with material of our own.
    pub(super) fn get_parameters_for_import(
        &self,
        call: &mut Call<'_>,
        request: &GetParametersForImportRequest,
    ) -> Result<GetParametersForImportResponse, Exception> {
        let key = self.resolve_key_only(call, &request.key_id)?;
        call.concerns(&key.arn);
        let ask = Ask::new(call.operation)
            .named(&request.key_id)
            .fact(
                "kms:wrappingalgorithm",
                [request.wrapping_algorithm.clone()],
            )
            .fact("kms:wrappingkeyspec", [request.wrapping_key_spec.clone()]);
        super::authorise::authorise(self, call, &key, &ask)?;
        super::state::check(call.operation, &key)?;
        check_origin(&key)?;
        let spec = KeySpec::parse(&request.wrapping_key_spec)
            .ok_or_else(|| Exception::unsupported(None))?;
        wrapping(&request.wrapping_algorithm, spec)?;
        let private_key = algorithm::generate(spec);
        let public_key = algorithm::load(spec, "", &private_key)
            .as_ref()
            .and_then(algorithm::public_key)
            .ok_or_else(Exception::internal)?;
        let token = Token {
            arn: key.arn.to_string(),
            algorithm: request.wrapping_algorithm.clone(),
            spec,
            expires: call.now + DAY,
            private_key: Blob(private_key.expose().to_vec()),
        };
        // Room for all of it: a buffer that grows leaves copies behind.
        let mut text = Vec::with_capacity(8192);
        serde_json::to_writer(&mut text, &token).map_err(|_| Exception::internal())?;
        let text = SecretBytes::new(text);
        Ok(GetParametersForImportResponse {
            key_id: key.arn.to_string(),
            import_token: Blob(self.store().seal_token(TOKEN_LABEL, text.expose())),
            public_key: Blob(public_key),
            parameters_valid_to: seconds(token.expires),
        })
    }

    fn import_token(&self, arn: &KeyArn, sealed: &Blob, now: i64) -> Result<Token, Exception> {
        let token: Token = self
            .store()
            .open_token(TOKEN_LABEL, &sealed.0)
            .and_then(|text| serde_json::from_slice(text.expose()).ok())
            .filter(|token: &Token| token.arn == arn.as_str())
            .ok_or_else(|| Exception::without_message(ExceptionKind::InvalidImportToken))?;
        if token.expires <= now {
            return Err(Exception::without_message(
                ExceptionKind::ExpiredImportToken,
            ));
        }
        Ok(token)
    }

    /// ImportKeyMaterial.
    ///
    /// # Errors
    /// `InvalidImportTokenException`, `ExpiredImportTokenException`, `InvalidCiphertextException`
    /// for material that does not unwrap, `IncorrectKeyMaterialException` for other material than
    /// the key's.
    pub(super) fn import_key_material(
        &self,
        call: &mut Call<'_>,
        request: &ImportKeyMaterialRequest,
    ) -> Result<ImportKeyMaterialResponse, Exception> {
        let key = self.resolve_key_only(call, &request.key_id)?;
        let model = request
            .expiration_model
            .unwrap_or(ExpirationModel::KEY_MATERIAL_EXPIRES);
        let ask = Ask::new(call.operation)
            .named(&request.key_id)
            .fact("kms:expirationmodel", [model.name().to_owned()])
            .fact(
                "kms:validto",
                request.valid_to.map(|seconds| (seconds as i64).to_string()),
            );
        let now = call.now;
        let id = self.change(call, &key.arn, &ask, |change| {
            check_origin(&change.key)?;
            let facts = MaterialFacts {
                valid_to: valid_to(request, now)?,
                description: request.key_material_description.clone(),
                ..MaterialFacts::current()
            };
            let token = self.import_token(&change.key.arn, &request.import_token, now)?;
            let given = unwrap(&token, &request.encrypted_key_material.0)?;
            let incorrect = || Exception::without_message(ExceptionKind::IncorrectKeyMaterial);
            let material = algorithm::import(change.key.facts.spec, given).ok_or_else(incorrect)?;
            let id = take(change, request.import_type, facts, &material)?;
            if request.key_material_id.is_some() && request.key_material_id != id {
                return Err(incorrect());
            }
            Ok(id)
        })?;
        Ok(ImportKeyMaterialResponse {
            key_id: key.arn.to_string(),
            key_material_id: id,
        })
    }

    /// DeleteImportedKeyMaterial: the key is pending import afterwards.
    ///
    /// # Errors
    /// `UnsupportedOperationException` for keys with material of our own.
    pub(super) fn delete_imported_key_material(
        &self,
        call: &mut Call<'_>,
        request: &DeleteImportedKeyMaterialRequest,
    ) -> Result<DeleteImportedKeyMaterialResponse, Exception> {
        let (arn, id) = self.manage(call, &request.key_id, |change| {
            check_origin(&change.key)?;
            let found = match &request.key_material_id {
                None => change.key.current_record(),
                Some(wanted) => change
                    .key
                    .materials
                    .iter()
                    .find(|record| record.id.map(|id| hex(&id)).as_ref() == Some(wanted)),
            };
            let Some(record) = found else {
                return match &request.key_material_id {
                    // Deleting what is not there has no effect.
                    None => Ok(None),
                    Some(_) => Err(Exception::without_message(ExceptionKind::NotFound)),
                };
            };
            let (number, id, state) = (record.number, record.id, record.facts.state);
            if state == MaterialState::PENDING_ROTATION {
                change.remove_material(number)?;
            } else {
                change.forget_material(number)?;
            }
            Ok(id.map(|id| hex(&id)))
        })?;
        self.store().forget_deleted();
        Ok(DeleteImportedKeyMaterialResponse {
            key_id: arn.to_string(),
            key_material_id: id,
        })
    }
}

/// Puts imported material where it belongs; gives its id, of a symmetric key.
fn take(
    change: &mut Change<'_>,
    import_type: Option<ImportType>,
    facts: MaterialFacts,
    material: &SecretBytes,
) -> Result<Option<String>, Exception> {
    let spec = change.key.facts.spec;
    let id = algorithm::load(spec, change.key.arn.key_id(), material)
        .as_ref()
        .and_then(|material| material.id().map(|id| hex(id)));
    let facts = MaterialFacts {
        commitment: Some(commitment(&change.key.arn, material)),
        ..facts
    };
    if change.key.materials.is_empty() {
        change.add_material(&facts, material)?;
        if change.key.facts.state == KeyState::PendingImport {
            change.key.facts.state = KeyState::Enabled;
        }
        return Ok(id);
    }
    let known = change
        .key
        .materials
        .iter()
        .find(|record| record.facts.commitment == facts.commitment)
        .map(|record| (record.number, record.facts.clone()));
    if let Some((number, old)) = known {
        let facts = MaterialFacts {
            state: old.state,
            rotated: old.rotated,
            description: facts.description.or(old.description),
            ..facts
        };
        change.restore_material(number, &facts, material)?;
        let complete = change
            .key
            .materials
            .iter()
            .all(|record| record.number == number || record.material.is_some());
        if complete && change.key.facts.state == KeyState::PendingImport {
            change.key.facts.state = KeyState::Enabled;
        }
        return Ok(id);
    }
    let waiting = change
        .key
        .materials
        .iter()
        .any(|record| record.facts.state == MaterialState::PENDING_ROTATION);
    if import_type != Some(ImportType::NEW_KEY_MATERIAL) || !spec.is_symmetric() || waiting {
        return Err(Exception::without_message(
            ExceptionKind::IncorrectKeyMaterial,
        ));
    }
    let facts = MaterialFacts {
        state: MaterialState::PENDING_ROTATION,
        ..facts
    };
    change.add_material(&facts, material)?;
    Ok(id)
}
