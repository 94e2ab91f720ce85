//! Key material and encryption algorithms: sealing and opening.
//!
//! Owns the use of aes-gcm, rsa and sm2. Pure but for random numbers: bytes and keys in, bytes
//! out. Sources: AWS KMS Developer Guide "Key spec reference"; RFC 8017 7.1 (OAEP, one hash for
//! label and MGF1, empty label); GM/T 0003.4 and GM/T 0009 (SM2, DER of C1 C3 C2).

use aes_gcm::aead::array::Array;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey};
use sha1::Sha1;
use sha2::Sha256;

use super::blob::{self, MadeBy};
use super::context::EncryptionContext;
use super::error::Exception;
use super::spec::{EncryptionAlgorithm, KeySpec};
use crate::primitives::{self, Curve, hmac_sha256, kdf_counter, random};
use crate::secret::{Secret, SecretBytes};

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
    /// A key pair for signing or key agreement: nothing is done with it here but to show its
    /// public key (SubjectPublicKeyInfo DER).
    Pair(Vec<u8>),
    /// A key for MACs, which are not made here.
    Mac,
}

impl Material {
    /// The id of symmetric material.
    pub fn id(&self) -> Option<&[u8; 32]> {
        match self {
            Self::Symmetric { id, .. } => Some(id),
            Self::Rsa(_) | Self::Sm2(_) | Self::Pair(_) | Self::Mac => None,
        }
    }
}

/// The id of symmetric key material: a commitment to it and to the key it belongs to, so that no
/// blob can be opened by two different materials.
pub fn material_id(key_id: &str, key: &Secret<32>) -> [u8; 32] {
    hmac_sha256(
        key.expose(),
        &[b"rekeyfs key material id", key_id.as_bytes()],
    )
}

/// The curve of an elliptic-curve spec that is not SM2's.
fn curve(spec: KeySpec) -> Option<Curve> {
    match spec {
        KeySpec::ECC_NIST_P256 => Some(Curve::P256),
        KeySpec::ECC_NIST_P384 => Some(Curve::P384),
        KeySpec::ECC_NIST_P521 => Some(Curve::P521),
        KeySpec::ECC_SECG_P256K1 => Some(Curve::P256K1),
        KeySpec::ECC_NIST_EDWARDS25519 => Some(Curve::Ed25519),
        KeySpec::SYMMETRIC_DEFAULT
        | KeySpec::RSA_2048
        | KeySpec::RSA_3072
        | KeySpec::RSA_4096
        | KeySpec::SM2
        | KeySpec::HMAC_224
        | KeySpec::HMAC_256
        | KeySpec::HMAC_384
        | KeySpec::HMAC_512 => None,
    }
}

/// Makes fresh key material; the bytes to keep: raw for symmetric and HMAC keys, a scalar for SM2,
/// PKCS#8 DER for all others.
pub fn generate(spec: KeySpec) -> SecretBytes {
    if let Some(bits) = spec.rsa_bits() {
        return primitives::generate_rsa(bits).expect("internal error: every RSA spec has a size");
    }
    if let Some(curve) = curve(spec) {
        return primitives::generate_pair(curve).expect("internal error: key generation failed");
    }
    if spec == KeySpec::SM2 {
        use sm2::elliptic_curve::Generate;
        return SecretBytes::new(sm2::SecretKey::generate().to_bytes().to_vec());
    }
    let mut bytes = vec![0; spec.mac().map_or(32, |(_, length)| length)];
    primitives::random_fill(&mut bytes);
    SecretBytes::new(bytes)
}

/// Makes a key pair for somebody else: the private key as PKCS#8 DER, and the public key.
///
/// # Errors
/// `KMSInternalException`.
pub fn generate_pair(spec: KeySpec) -> Result<(SecretBytes, Vec<u8>), Exception> {
    let kept = generate(spec);
    let material = load(spec, "", &kept).ok_or_else(Exception::internal)?;
    let public = public_key(&material).ok_or_else(Exception::internal)?;
    let private = match &material {
        Material::Sm2(key) => {
            use sm2::pkcs8::EncodePrivateKey;
            let der = key.to_pkcs8_der().map_err(|_| Exception::internal())?;
            SecretBytes::new(der.as_bytes().to_vec())
        }
        Material::Symmetric { .. } | Material::Rsa(_) | Material::Pair(_) | Material::Mac => kept,
    };
    Ok((private, public))
}

/// Reads material that came from outside: what [`generate`] would have kept, SM2 as PKCS#8.
pub fn import(spec: KeySpec, given: SecretBytes) -> Option<SecretBytes> {
    let kept = if spec == KeySpec::SM2 {
        use sm2::pkcs8::DecodePrivateKey;
        let key = sm2::SecretKey::from_pkcs8_der(given.expose()).ok()?;
        SecretBytes::new(key.to_bytes().to_vec())
    } else {
        given
    };
    load(spec, "", &kept).is_some().then_some(kept)
}

/// Reads kept bytes back; `None` when they are not material of `spec`.
pub fn load(spec: KeySpec, key_id: &str, kept: &SecretBytes) -> Option<Material> {
    if let Some(bits) = spec.rsa_bits() {
        use rsa::traits::PublicKeyParts;
        let key = rsa::PrivateKey::from_pkcs8_der(kept.expose()).ok()?;
        return (key.size() * 8 == bits as usize).then(|| Material::Rsa(Box::new(key)));
    }
    if let Some(curve) = curve(spec) {
        return primitives::public_of_pair(curve, kept.expose()).map(Material::Pair);
    }
    if let Some((_, length)) = spec.mac() {
        return (kept.len() == length).then_some(Material::Mac);
    }
    if spec == KeySpec::SM2 {
        let key = sm2::SecretKey::from_slice(kept.expose()).ok()?;
        return Some(Material::Sm2(Box::new(key)));
    }
    let key = Secret::from_slice(kept.expose())?;
    Some(Material::Symmetric {
        id: material_id(key_id, &key),
        key,
    })
}

/// The public key as SubjectPublicKeyInfo DER; `None` for material that has none.
pub fn public_key(material: &Material) -> Option<Vec<u8>> {
    match material {
        Material::Symmetric { .. } | Material::Mac => None,
        Material::Rsa(key) => Some(key.to_public_key().to_public_key_der().ok()?.into_vec()),
        Material::Sm2(key) => Some(key.public_key().to_public_key_der().ok()?.into_vec()),
        Material::Pair(public) => Some(public.clone()),
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
        (
            Material::Symmetric { .. }
            | Material::Rsa(_)
            | Material::Sm2(_)
            | Material::Pair(_)
            | Material::Mac,
            _,
        ) => Err(Exception::internal()),
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
        (
            Material::Symmetric { .. }
            | Material::Rsa(_)
            | Material::Sm2(_)
            | Material::Pair(_)
            | Material::Mac,
            _,
        ) => None,
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
    let fresh = random::<28>();
    let (mut nonce, mut iv) = ([0; 16], [0; 12]);
    nonce.copy_from_slice(&fresh[..16]);
    iv.copy_from_slice(&fresh[16..]);
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
