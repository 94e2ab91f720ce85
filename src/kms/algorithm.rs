//! Key specs and encryption algorithms: sealing and opening with key material.
//!
//! Owns the use of aes-gcm, rsa and sm2. Pure but for random numbers: bytes and keys in, bytes
//! out. Sources: AWS KMS Developer Guide "Key spec reference"; RFC 8017 7.1 (OAEP, one hash for
//! label and MGF1, empty label); GM/T 0003.4 and GM/T 0009 (SM2, DER of C1 C3 C2).

use aes_gcm::aead::array::Array;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::Sha256;

use super::blob::{self, MadeBy};
use super::context::EncryptionContext;
use super::error::Exception;
use crate::primitives::{self, hmac_sha256, kdf_counter, random};
use crate::secret::{Secret, SecretBytes};

/// The key specs that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(non_camel_case_types, missing_docs, reason = "the names are the API's")]
pub enum KeySpec {
    SYMMETRIC_DEFAULT,
    RSA_2048,
    RSA_3072,
    RSA_4096,
    SM2,
}

/// The encryption algorithms of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(non_camel_case_types, missing_docs, reason = "the names are the API's")]
pub enum EncryptionAlgorithm {
    SYMMETRIC_DEFAULT,
    RSAES_OAEP_SHA_1,
    RSAES_OAEP_SHA_256,
    SM2PKE,
}

impl KeySpec {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::SYMMETRIC_DEFAULT => "SYMMETRIC_DEFAULT",
            Self::RSA_2048 => "RSA_2048",
            Self::RSA_3072 => "RSA_3072",
            Self::RSA_4096 => "RSA_4096",
            Self::SM2 => "SM2",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::SYMMETRIC_DEFAULT,
            Self::RSA_2048,
            Self::RSA_3072,
            Self::RSA_4096,
            Self::SM2,
        ]
        .into_iter()
        .find(|spec| spec.name() == name)
    }

    /// Whether keys of this spec are symmetric.
    pub fn is_symmetric(self) -> bool {
        self == Self::SYMMETRIC_DEFAULT
    }

    /// The algorithms that keys of this spec support, in the API's order.
    pub fn algorithms(self) -> &'static [EncryptionAlgorithm] {
        match self {
            Self::SYMMETRIC_DEFAULT => &[EncryptionAlgorithm::SYMMETRIC_DEFAULT],
            Self::RSA_2048 | Self::RSA_3072 | Self::RSA_4096 => &[
                EncryptionAlgorithm::RSAES_OAEP_SHA_1,
                EncryptionAlgorithm::RSAES_OAEP_SHA_256,
            ],
            Self::SM2 => &[EncryptionAlgorithm::SM2PKE],
        }
    }

    fn rsa_bits(self) -> Option<u32> {
        match self {
            Self::RSA_2048 => Some(2048),
            Self::RSA_3072 => Some(3072),
            Self::RSA_4096 => Some(4096),
            Self::SYMMETRIC_DEFAULT | Self::SM2 => None,
        }
    }
}

impl EncryptionAlgorithm {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::SYMMETRIC_DEFAULT => "SYMMETRIC_DEFAULT",
            Self::RSAES_OAEP_SHA_1 => "RSAES_OAEP_SHA_1",
            Self::RSAES_OAEP_SHA_256 => "RSAES_OAEP_SHA_256",
            Self::SM2PKE => "SM2PKE",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::SYMMETRIC_DEFAULT,
            Self::RSAES_OAEP_SHA_1,
            Self::RSAES_OAEP_SHA_256,
            Self::SM2PKE,
        ]
        .into_iter()
        .find(|algorithm| algorithm.name() == name)
    }

    /// Whether the algorithm is the symmetric one.
    pub fn is_symmetric(self) -> bool {
        self == Self::SYMMETRIC_DEFAULT
    }

    /// The most plaintext that the algorithm takes under a key of `spec`; RFC 8017: k − 2h − 2.
    pub fn plaintext_limit(self, spec: KeySpec) -> usize {
        let k = spec.rsa_bits().unwrap_or(0) as usize / 8;
        match self {
            Self::SYMMETRIC_DEFAULT => 4096,
            Self::RSAES_OAEP_SHA_1 => k - 2 * 20 - 2,
            Self::RSAES_OAEP_SHA_256 => k - 2 * 32 - 2,
            Self::SM2PKE => 1024,
        }
    }
}

/// Key material, unsealed and ready for use.
pub enum Material {
    /// 32 bytes; the id is public and stands in every blob.
    Symmetric {
        /// The key material id.
        id: [u8; 32],
        /// The hardware-backed key's stand-in.
        key: Secret<32>,
    },
    /// An RSA private key.
    Rsa(Box<rsa::PrivateKey>),
    /// An SM2 private key.
    Sm2(Box<sm2::SecretKey>),
}

/// The id of symmetric key material: a commitment to it and to the key it belongs to, so that no
/// blob can be opened by two different materials.
pub fn material_id(key_id: &str, key: &Secret<32>) -> [u8; 32] {
    hmac_sha256(
        key.expose(),
        &[b"rekeyfs key material id", key_id.as_bytes()],
    )
}

/// Makes fresh key material; the bytes to keep: 32 raw, PKCS#8 DER (RSA) or a scalar (SM2).
pub fn generate(spec: KeySpec) -> SecretBytes {
    match spec {
        KeySpec::SYMMETRIC_DEFAULT => SecretBytes::new(random::<32>().to_vec()),
        KeySpec::RSA_2048 | KeySpec::RSA_3072 | KeySpec::RSA_4096 => spec
            .rsa_bits()
            .and_then(primitives::generate_rsa)
            .expect("internal error: every RSA spec has a size"),
        KeySpec::SM2 => {
            use sm2::elliptic_curve::Generate;
            SecretBytes::new(sm2::SecretKey::generate().to_bytes().to_vec())
        }
    }
}

/// Reads kept bytes back; `None` when they are not material of `spec`.
pub fn load(spec: KeySpec, key_id: &str, kept: &SecretBytes) -> Option<Material> {
    match spec {
        KeySpec::SYMMETRIC_DEFAULT => {
            let key = Secret::from_slice(kept.expose())?;
            Some(Material::Symmetric {
                id: material_id(key_id, &key),
                key,
            })
        }
        KeySpec::RSA_2048 | KeySpec::RSA_3072 | KeySpec::RSA_4096 => {
            let key = rsa::PrivateKey::from_pkcs8_der(kept.expose()).ok()?;
            Some(Material::Rsa(Box::new(key)))
        }
        KeySpec::SM2 => {
            let key = sm2::SecretKey::from_slice(kept.expose()).ok()?;
            Some(Material::Sm2(Box::new(key)))
        }
    }
}

/// The public key as SubjectPublicKeyInfo DER; `None` for symmetric material.
pub fn public_key(material: &Material) -> Option<Vec<u8>> {
    match material {
        Material::Symmetric { .. } => None,
        Material::Rsa(key) => Some(key.to_public_key().to_public_key_der().ok()?.into_vec()),
        Material::Sm2(key) => Some(key.public_key().to_public_key_der().ok()?.into_vec()),
    }
}

/// Seals `plaintext`; limits and combinations have been checked.
///
/// # Errors
/// `KMSInternalException` when material and algorithm do not belong together.
pub fn seal(
    material: &Material,
    algorithm: EncryptionAlgorithm,
    context: &EncryptionContext,
    made_by: MadeBy,
    plaintext: &[u8],
) -> Result<Vec<u8>, Exception> {
    match (material, algorithm) {
        (Material::Symmetric { id, key }, EncryptionAlgorithm::SYMMETRIC_DEFAULT) => {
            Ok(seal_symmetric(id, key, context, made_by, plaintext))
        }
        (Material::Rsa(key), EncryptionAlgorithm::RSAES_OAEP_SHA_1) => key
            .to_public_key()
            .oaep_encrypt::<Sha1>(plaintext)
            .map_err(|_| Exception::internal()),
        (Material::Rsa(key), EncryptionAlgorithm::RSAES_OAEP_SHA_256) => key
            .to_public_key()
            .oaep_encrypt::<Sha256>(plaintext)
            .map_err(|_| Exception::internal()),
        (Material::Sm2(key), EncryptionAlgorithm::SM2PKE) => {
            use sm2::elliptic_curve::common::getrandom::SysRng;
            sm2::pke::EncryptingKey::new_with_mode(key.public_key(), sm2::pke::Mode::C1C3C2)
                .encrypt_der(&mut SysRng, plaintext)
                .map_err(|_| Exception::internal())
        }
        (Material::Symmetric { .. } | Material::Rsa(_) | Material::Sm2(_), _) => {
            Err(Exception::internal())
        }
    }
}

/// Opens a ciphertext.
///
/// # Errors
/// `InvalidCiphertextException`, without a reason.
pub fn open(
    material: &Material,
    algorithm: EncryptionAlgorithm,
    context: &EncryptionContext,
    ciphertext: &[u8],
) -> Result<SecretBytes, Exception> {
    let opened = match (material, algorithm) {
        (Material::Symmetric { id, key }, EncryptionAlgorithm::SYMMETRIC_DEFAULT) => {
            open_symmetric(id, key, context, ciphertext)
        }
        (Material::Rsa(key), EncryptionAlgorithm::RSAES_OAEP_SHA_1) => {
            key.oaep_decrypt::<Sha1>(ciphertext).ok()
        }
        (Material::Rsa(key), EncryptionAlgorithm::RSAES_OAEP_SHA_256) => {
            key.oaep_decrypt::<Sha256>(ciphertext).ok()
        }
        (Material::Sm2(key), EncryptionAlgorithm::SM2PKE) => {
            sm2::pke::DecryptingKey::new_with_mode(key.to_nonzero_scalar(), sm2::pke::Mode::C1C3C2)
                .decrypt_der(ciphertext)
                .ok()
        }
        (Material::Symmetric { .. } | Material::Rsa(_) | Material::Sm2(_), _) => None,
    };
    opened
        .map(SecretBytes::new)
        .ok_or_else(Exception::invalid_ciphertext)
}

const BLOB_KEY_LABEL: &[u8] = b"rekeyfs SYMMETRIC_DEFAULT";

fn seal_symmetric(
    id: &[u8; 32],
    key: &Secret<32>,
    context: &EncryptionContext,
    made_by: MadeBy,
    plaintext: &[u8],
) -> Vec<u8> {
    let (nonce, iv) = (random::<16>(), random::<12>());
    let header = blob::header(made_by, id, &nonce, plaintext.len());
    let derived = kdf_counter(key.expose(), BLOB_KEY_LABEL, &nonce);
    let aad = [&header[..], &context.canonical()].concat();
    let mut content = Vec::with_capacity(blob::FRAMING + plaintext.len() + 16);
    content.extend_from_slice(&blob::framing(plaintext.len()));
    content.extend_from_slice(plaintext);
    Aes256Gcm::new(&Array::from(*derived.expose()))
        .encrypt_in_place(&Array::from(iv), &aad, &mut content)
        .expect("internal error: a blob is far below the limit of GCM");
    blob::finish(&header, &iv, &content)
}

fn open_symmetric(
    id: &[u8; 32],
    key: &Secret<32>,
    context: &EncryptionContext,
    ciphertext: &[u8],
) -> Option<Vec<u8>> {
    let parsed = blob::parse(ciphertext)?;
    if parsed.material_id != *id {
        return None;
    }
    let derived = kdf_counter(key.expose(), BLOB_KEY_LABEL, &parsed.nonce);
    let aad = [parsed.header, &context.canonical()].concat();
    let mut content = parsed.content.to_vec();
    Aes256Gcm::new(&Array::from(*derived.expose()))
        .decrypt_in_place(&Array::from(parsed.iv), &aad, &mut content)
        .ok()?;
    blob::unframe(&content)?;
    content.drain(..blob::FRAMING);
    Some(content)
}

/// Seals the keystore's own secrets: AES-256-GCM, nonce || ciphertext || tag.
pub(super) fn seal_record(root: &Secret<32>, label: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let nonce = random::<12>();
    let mut sealed = plaintext.to_vec();
    Aes256Gcm::new(&Array::from(*root.expose()))
        .encrypt_in_place(&Array::from(nonce), label, &mut sealed)
        .expect("internal error: a record is far below the limit of GCM");
    [&nonce[..], &sealed].concat()
}

/// Opens what [`seal_record`] made with the same label.
pub(super) fn open_record(root: &Secret<32>, label: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
    let (nonce, sealed) = sealed.split_first_chunk::<12>()?;
    let mut opened = sealed.to_vec();
    Aes256Gcm::new(&Array::from(*root.expose()))
        .decrypt_in_place(&Array::from(*nonce), label, &mut opened)
        .ok()?;
    Some(SecretBytes::new(opened))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn material(spec: KeySpec) -> Material {
        load(
            spec,
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            &generate(spec),
        )
        .expect("fresh")
    }

    fn all() -> Vec<(KeySpec, EncryptionAlgorithm)> {
        [KeySpec::SYMMETRIC_DEFAULT, KeySpec::RSA_2048, KeySpec::SM2]
            .into_iter()
            .flat_map(|spec| {
                spec.algorithms()
                    .iter()
                    .map(move |algorithm| (spec, *algorithm))
            })
            .collect()
    }

    #[test]
    fn every_algorithm_opens_what_it_sealed_up_to_its_limit() {
        for (spec, algorithm) in all() {
            let key = material(spec);
            let none = EncryptionContext::default();
            for size in [1, 32, algorithm.plaintext_limit(spec)] {
                let plain = vec![0x5a; size];
                let sealed = seal(&key, algorithm, &none, MadeBy::Encrypt, &plain).expect("seal");
                let opened = open(&key, algorithm, &none, &sealed).expect("open");
                assert_eq!(opened.expose(), plain, "{algorithm:?} {size}");
            }
        }
    }

    #[test]
    fn limits_are_those_of_the_reference() {
        use EncryptionAlgorithm::{RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256};
        assert_eq!(RSAES_OAEP_SHA_1.plaintext_limit(KeySpec::RSA_2048), 214);
        assert_eq!(RSAES_OAEP_SHA_256.plaintext_limit(KeySpec::RSA_2048), 190);
        assert_eq!(RSAES_OAEP_SHA_1.plaintext_limit(KeySpec::RSA_3072), 342);
        assert_eq!(RSAES_OAEP_SHA_256.plaintext_limit(KeySpec::RSA_4096), 446);
    }

    #[test]
    fn any_flip_cut_or_other_context_is_an_invalid_ciphertext() {
        let context = EncryptionContext::from([("a", "bc")]);
        for (spec, algorithm) in all() {
            let key = material(spec);
            let used = if algorithm.is_symmetric() {
                context.clone()
            } else {
                EncryptionContext::default()
            };
            let sealed =
                seal(&key, algorithm, &used, MadeBy::GenerateDataKey, &[7; 32]).expect("seal");
            // An RSA private operation takes a while: a stride samples every region of the blob.
            let stride = if spec == KeySpec::RSA_2048 { 37 } else { 1 };
            for at in (0..sealed.len()).step_by(stride) {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1;
                let result = open(&key, algorithm, &used, &flipped);
                assert!(
                    result.is_err_and(|e| e == Exception::invalid_ciphertext()),
                    "{algorithm:?} byte {at}"
                );
                assert!(open(&key, algorithm, &used, &sealed[..at]).is_err());
            }
            if algorithm.is_symmetric() {
                let other = EncryptionContext::from([("ab", "c")]);
                assert!(open(&key, algorithm, &other, &sealed).is_err());
            }
        }
    }

    #[test]
    fn blobs_look_like_the_real_ones() {
        use base64::Engine;
        let key = material(KeySpec::SYMMETRIC_DEFAULT);
        let none = EncryptionContext::default();
        for (made_by, prefix) in [
            (MadeBy::Encrypt, "AQICAH"),
            (MadeBy::GenerateDataKey, "AQIDAH"),
        ] {
            let sealed = seal(
                &key,
                EncryptionAlgorithm::SYMMETRIC_DEFAULT,
                &none,
                made_by,
                &[1; 32],
            )
            .expect("seal");
            assert!(
                base64::engine::general_purpose::STANDARD
                    .encode(&sealed)
                    .starts_with(prefix)
            );
            assert_eq!(sealed.len(), 184);
        }
    }

    #[test]
    fn public_keys_have_the_standard_encoding() {
        assert_eq!(
            public_key(&material(KeySpec::SM2)).map(|der| der.len()),
            Some(91)
        );
        assert_eq!(
            public_key(&material(KeySpec::RSA_2048)).map(|der| der.len()),
            Some(294)
        );
        assert!(public_key(&material(KeySpec::SYMMETRIC_DEFAULT)).is_none());
    }
}
