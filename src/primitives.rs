//! Cryptographic primitives, each under the name of its specification.
//!
//! Owns every use of aws-lc-rs, aes-siv and argon2. Must not know what the bytes mean: formats
//! are in `volume/FORMAT.md`, blobs in `kms/blob.rs`.

use aes_siv::siv::Aes256Siv;
use aes_siv::{KeyInit, aead::array::Array};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, digest, hkdf, hmac, rand};

use crate::secret::Secret;

/// The bytes do not authenticate under this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not verify")]
pub struct Unverified;

/// Bytes of a GCM nonce (SP 800-38D, 96 bits).
pub const NONCE: usize = 12;
/// Bytes of a GCM tag, and of a synthetic IV.
pub const TAG: usize = 16;

/// Fills `out` from the operating system's generator.
pub fn random_fill(out: &mut [u8]) {
    rand::fill(out).expect("internal error: the system's random generator failed");
}

/// Returns `N` random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    random_fill(&mut out);
    out
}

/// Returns a random secret.
pub fn random_secret<const N: usize>() -> Secret<N> {
    Secret::fill(|out| random_fill(out))
}

/// SHA-256 (FIPS 180-4) of the concatenated parts.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// A key of HMAC-SHA256 (RFC 2104), set up once.
pub struct MacKey(hmac::Key);

impl MacKey {
    /// Takes the key bytes.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The MAC of the concatenated parts.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }

    /// Compares in constant time.
    ///
    /// # Errors
    /// [`Unverified`] when `mac` is not the MAC of `parts`.
    pub fn verify(&self, parts: &[&[u8]], mac: &[u8]) -> Result<(), Unverified> {
        equal(&self.sign(parts), mac)
    }
}

/// HMAC-SHA256 of the concatenated parts.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    MacKey::new(key).sign(parts)
}

/// Compares in constant time.
///
/// # Errors
/// [`Unverified`] when the bytes differ.
pub fn equal(left: &[u8], right: &[u8]) -> Result<(), Unverified> {
    constant_time::verify_slices_are_equal(left, right).map_err(|_| Unverified)
}

struct OutputLength(usize);

impl hkdf::KeyType for OutputLength {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-SHA256 (RFC 5869) with `salt`, and `info` as the concatenated parts.
pub fn hkdf_sha256<const N: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Secret<N> {
    Secret::fill(|out| {
        hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
            .extract(secret)
            .expand(info, OutputLength(N))
            .and_then(|okm| okm.fill(out))
            .expect("internal error: HKDF output is at most 255 blocks");
    })
}

/// SP 800-108 KDF in counter mode with HMAC-SHA256, one block: 32 bytes.
pub fn kdf_counter(key: &[u8], label: &[u8], context: &[u8]) -> Secret<32> {
    Secret::fill(|out| {
        *out = hmac_sha256(key, &[&[0, 0, 0, 1], label, &[0], context, &[0, 0, 1, 0]]);
    })
}

/// A key of AES-256-GCM (SP 800-38D) for file contents.
pub struct ContentKey(LessSafeKey);

impl ContentKey {
    /// Sets the key schedule up.
    pub fn new(key: &Secret<32>) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM, key.expose())
            .expect("internal error: AES-256-GCM takes 32 bytes");
        Self(LessSafeKey::new(unbound))
    }

    /// Seals in place; the tag is returned. A nonce must never be used twice under one key.
    pub fn seal(&self, nonce: [u8; NONCE], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG] {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), in_out)
            .expect("internal error: a chunk is far below the limit of GCM");
        let mut out = [0; TAG];
        out.copy_from_slice(tag.as_ref());
        out
    }

    /// Opens in place.
    ///
    /// # Errors
    /// [`Unverified`]; `in_out` then holds no plaintext.
    pub fn open(
        &self,
        nonce: [u8; NONCE],
        tag: [u8; TAG],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<(), Unverified> {
        self.0
            .open_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &tag,
                in_out,
            )
            .map(|_| ())
            .map_err(|_| Unverified)
    }
}

/// A key of AES-256-SIV (RFC 5297): deterministic, safe when an input repeats.
pub struct SivKey(Secret<64>);

impl SivKey {
    /// Takes the two halves, MAC key first, as RFC 5297 does.
    pub fn new(key: Secret<64>) -> Self {
        Self(key)
    }

    fn cipher(&self) -> Aes256Siv {
        Aes256Siv::new(&Array::from(*self.0.expose()))
    }

    /// Seals: 16 bytes of synthetic IV, then as many bytes as `plaintext` has.
    pub fn seal(&self, headers: &[&[u8]], plaintext: &[u8]) -> Vec<u8> {
        self.cipher()
            .encrypt(headers, plaintext)
            .expect("internal error: at most 126 headers")
    }

    /// Opens what [`SivKey::seal`] made with the same headers.
    ///
    /// # Errors
    /// [`Unverified`].
    pub fn open(&self, headers: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, Unverified> {
        self.cipher()
            .decrypt(headers, sealed)
            .map_err(|_| Unverified)
    }
}

/// The cost of [`passphrase_key`], stored beside the salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassphraseCost {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl PassphraseCost {
    /// RFC 9106's second recommendation: 64 MiB, 3 passes, 4 lanes.
    pub const DEFAULT: Self = Self {
        memory: 64 * 1024,
        passes: 3,
        lanes: 4,
    };

    /// Refuses costs that a damaged or hostile file could use to exhaust the machine.
    fn is_sane(self) -> bool {
        (8..=4 * 1024 * 1024).contains(&self.memory)
            && (1..=64).contains(&self.passes)
            && (1..=64).contains(&self.lanes)
    }
}

/// Argon2id (RFC 9106), version 0x13.
///
/// # Errors
/// [`Unverified`] when the cost is outside of what the algorithm or this machine should bear.
pub fn passphrase_key(
    passphrase: &[u8],
    salt: &[u8],
    cost: PassphraseCost,
) -> Result<Secret<32>, Unverified> {
    use argon2::{Algorithm, Argon2, Params, Version};
    if !cost.is_sane() {
        return Err(Unverified);
    }
    let params =
        Params::new(cost.memory, cost.passes, cost.lanes, Some(32)).map_err(|_| Unverified)?;
    let mut failed = false;
    let key = Secret::fill(|out| {
        failed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, salt, out)
            .is_err();
    });
    if failed { Err(Unverified) } else { Ok(key) }
}

/// Makes an RSA key pair of 2048, 3072 or 4096 bits; PKCS#8 DER.
pub fn generate_rsa(bits: u32) -> Option<crate::secret::SecretBytes> {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        _ => return None,
    };
    let pair = KeyPair::generate(size).expect("internal error: RSA key generation failed");
    let der: Pkcs8V1Der<'_> = pair
        .as_der()
        .expect("internal error: PKCS#8 of a fresh key");
    Some(crate::secret::SecretBytes::new(der.as_ref().to_vec()))
}

/// An id that is made nowhere else: random for the process, counted within it. Not a secret.
///
/// The bytes of a version 4 UUID but for its marks.
pub fn unique_id() -> [u8; 16] {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static BASE: LazyLock<[u8; 16]> = LazyLock::new(random);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut id = *BASE;
    let count = COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    for (byte, count) in id[8..].iter_mut().rev().zip(count) {
        *byte = byte.wrapping_add(count);
    }
    id
}

/// The elliptic curves of key pairs that are made for signing and key agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// SECG secp256k1.
    P256K1,
    /// Edwards25519.
    Ed25519,
}

impl Curve {
    fn ecdsa(self) -> Option<&'static aws_lc_rs::signature::EcdsaSigningAlgorithm> {
        use aws_lc_rs::signature as s;
        match self {
            Self::P256 => Some(&s::ECDSA_P256_SHA256_ASN1_SIGNING),
            Self::P384 => Some(&s::ECDSA_P384_SHA384_ASN1_SIGNING),
            Self::P521 => Some(&s::ECDSA_P521_SHA512_ASN1_SIGNING),
            Self::P256K1 => Some(&s::ECDSA_P256K1_SHA256_ASN1_SIGNING),
            Self::Ed25519 => None,
        }
    }
}

/// Makes a key pair on `curve`; PKCS#8 version 1 DER.
pub fn generate_pair(curve: Curve) -> Option<crate::secret::SecretBytes> {
    use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
    let document = match curve.ecdsa() {
        Some(algorithm) => EcdsaKeyPair::generate(algorithm).ok()?.to_pkcs8v1().ok()?,
        None => Ed25519KeyPair::generate().ok()?.to_pkcs8v1().ok()?,
    };
    Some(crate::secret::SecretBytes::new(document.as_ref().to_vec()))
}

/// The public key of a key pair in PKCS#8 DER, as SubjectPublicKeyInfo DER.
pub fn public_of_pair(curve: Curve, pkcs8: &[u8]) -> Option<Vec<u8>> {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    let der: PublicKeyX509Der<'_> = match curve.ecdsa() {
        Some(algorithm) => {
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).ok()?;
            pair.public_key().as_der().ok()?
        }
        None => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?;
            pair.public_key().as_der().ok()?
        }
    };
    Some(der.as_ref().to_vec())
}

/// Unwraps a key that was wrapped with AES-256 key wrap with padding (RFC 5649).
///
/// # Errors
/// [`Unverified`] for a wrong key or a changed text.
pub fn unwrap_key(kek: &[u8], wrapped: &[u8]) -> Result<crate::secret::SecretBytes, Unverified> {
    use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
    let mut out = vec![0; wrapped.len()];
    let unwrapped = AesKek::new(&AES_256, kek).and_then(|kek| {
        kek.unwrap_with_padding(wrapped, &mut out)
            .map(|key| key.len())
    });
    // The buffer is wiped in both cases.
    let mut out = crate::secret::SecretBytes::new(out);
    let length = unwrapped.map_err(|_| Unverified)?;
    out.truncate(length);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{hex, unhex};

    #[test]
    fn hkdf_matches_rfc_5869_test_case_1() {
        let ikm = [0x0b; 22];
        let salt: [u8; 13] = std::array::from_fn(|i| i as u8);
        let info: [u8; 10] = std::array::from_fn(|i| 0xf0 + i as u8);
        let okm = hkdf_sha256::<42>(&salt, &ikm, &[&info]);
        assert_eq!(
            hex(okm.expose()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
    }

    #[test]
    fn contents_open_with_the_other_implementation_of_gcm_too() {
        use aes_gcm::aead::{Aead, Payload};
        let key = random_secret::<32>();
        let nonce = random::<NONCE>();
        let mut page = *b"the two libraries agree";
        let tag = ContentKey::new(&key).seal(nonce, b"aad", &mut page);
        let other = aes_gcm::Aes256Gcm::new(&Array::from(*key.expose()));
        let mut sealed = page.to_vec();
        sealed.extend_from_slice(&tag);
        let opened = other
            .decrypt(
                &Array::from(nonce),
                Payload {
                    msg: &sealed,
                    aad: b"aad",
                },
            )
            .expect("the same key, nonce and AAD");
        assert_eq!(opened, b"the two libraries agree");
    }

    #[test]
    fn siv_matches_an_rfc_5297_style_vector_made_with_python_cryptography() {
        // AESSIV(key = 00..3f).encrypt(b"name.txt", [b"name"])
        let key = Secret::<64>::fill(|out| {
            for (index, byte) in out.iter_mut().enumerate() {
                *byte = index as u8;
            }
        });
        let sealed = SivKey::new(key.expose_clone()).seal(&[b"name"], b"name.txt");
        assert_eq!(
            hex(&sealed),
            include_str!("../tests/vectors/siv-name.hex").trim()
        );
        assert_eq!(
            SivKey::new(key).open(&[b"name"], &sealed).as_deref(),
            Ok(&b"name.txt"[..])
        );
    }

    #[test]
    fn a_flipped_bit_never_opens() {
        let key = ContentKey::new(&random_secret());
        let nonce = random();
        let mut page = [7; 64];
        let tag = key.seal(nonce, b"", &mut page);
        page[3] ^= 1;
        assert_eq!(key.open(nonce, tag, b"", &mut page), Err(Unverified));
    }

    #[test]
    fn absurd_passphrase_costs_are_refused() {
        let huge = PassphraseCost {
            memory: u32::MAX,
            passes: 1,
            lanes: 1,
        };
        assert!(passphrase_key(b"x", &[0; 16], huge).is_err());
    }

    #[test]
    fn the_kdf_matches_a_vector_computed_with_python_hmac() {
        let key = unhex::<32>(&"11".repeat(32)).expect("hex");
        let out = kdf_counter(&key, b"label", b"context");
        assert_eq!(
            hex(out.expose()),
            include_str!("../tests/vectors/kdf-counter.hex").trim()
        );
    }
}
