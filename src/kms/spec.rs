//! The vocabulary of keys: specs, usages, origins, states and algorithms, and what fits what.
//!
//! Owns names and tables, no key and no cipher. Source: AWS KMS API Reference (CreateKey) and
//! Developer Guide ("Key spec reference").

use serde::{Deserialize, Serialize};

/// An enumeration of the API: its variants are spelled as on the wire.
macro_rules! api_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[allow(non_camel_case_types, missing_docs, reason = "the names are the API's")]
        pub enum $name { $($variant),* }

        impl $name {
            /// Every value, in the order of the model.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// Every name, in the order of the model.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($variant)),*];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }

            /// Reads the name on the wire.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }

        impl crate::kms::shape::Described for $name {
            const SHAPE: crate::kms::shape::Shape = crate::kms::shape::Shape::Choice(Self::NAMES);
        }
    };
}
pub(super) use api_enum;

api_enum! {
    /// The key specs that this KMS makes.
    KeySpec {
        RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521,
        ECC_SECG_P256K1, SYMMETRIC_DEFAULT, HMAC_224, HMAC_256, HMAC_384, HMAC_512, SM2,
        ECC_NIST_EDWARDS25519,
    }
}

api_enum! {
    /// What a key is for.
    KeyUsage { SIGN_VERIFY, ENCRYPT_DECRYPT, GENERATE_VERIFY_MAC, KEY_AGREEMENT }
}

api_enum! {
    /// Where key material comes from.
    KeyOrigin { AWS_KMS, EXTERNAL }
}

api_enum! {
    /// The states that keys of this KMS can be in. (Creating, Updating and
    /// PendingReplicaDeletion belong to multi-Region keys, Unavailable to custom key stores.)
    KeyState { Enabled, Disabled, PendingDeletion, PendingImport }
}

api_enum! {
    /// The encryption algorithms of the API.
    EncryptionAlgorithm { SYMMETRIC_DEFAULT, RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE }
}

/// The API's default, also where an algorithm must be given for an asymmetric key.
impl Default for EncryptionAlgorithm {
    fn default() -> Self {
        Self::SYMMETRIC_DEFAULT
    }
}

api_enum! {
    /// The key pairs that GenerateDataKeyPair makes.
    DataKeyPairSpec {
        RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521,
        ECC_SECG_P256K1, SM2, ECC_NIST_EDWARDS25519,
    }
}

impl KeySpec {
    /// Whether keys of this spec are symmetric encryption keys.
    pub fn is_symmetric(self) -> bool {
        self == Self::SYMMETRIC_DEFAULT
    }

    /// Whether keys of this spec have a public key.
    pub fn is_asymmetric(self) -> bool {
        match self {
            Self::SYMMETRIC_DEFAULT
            | Self::HMAC_224
            | Self::HMAC_256
            | Self::HMAC_384
            | Self::HMAC_512 => false,
            Self::RSA_2048
            | Self::RSA_3072
            | Self::RSA_4096
            | Self::ECC_NIST_P256
            | Self::ECC_NIST_P384
            | Self::ECC_NIST_P521
            | Self::ECC_SECG_P256K1
            | Self::SM2
            | Self::ECC_NIST_EDWARDS25519 => true,
        }
    }

    /// The usages that a key of this spec can have.
    pub fn usages(self) -> &'static [KeyUsage] {
        use KeyUsage::{ENCRYPT_DECRYPT, GENERATE_VERIFY_MAC, KEY_AGREEMENT, SIGN_VERIFY};
        match self {
            Self::SYMMETRIC_DEFAULT => &[ENCRYPT_DECRYPT],
            Self::RSA_2048 | Self::RSA_3072 | Self::RSA_4096 => &[ENCRYPT_DECRYPT, SIGN_VERIFY],
            Self::ECC_NIST_P256 | Self::ECC_NIST_P384 | Self::ECC_NIST_P521 => {
                &[SIGN_VERIFY, KEY_AGREEMENT]
            }
            Self::ECC_SECG_P256K1 | Self::ECC_NIST_EDWARDS25519 => &[SIGN_VERIFY],
            Self::SM2 => &[ENCRYPT_DECRYPT, SIGN_VERIFY, KEY_AGREEMENT],
            Self::HMAC_224 | Self::HMAC_256 | Self::HMAC_384 | Self::HMAC_512 => {
                &[GENERATE_VERIFY_MAC]
            }
        }
    }

    /// The encryption algorithms that keys of this spec support, in the API's order.
    pub fn algorithms(self) -> &'static [EncryptionAlgorithm] {
        match self {
            Self::SYMMETRIC_DEFAULT => &[EncryptionAlgorithm::SYMMETRIC_DEFAULT],
            Self::RSA_2048 | Self::RSA_3072 | Self::RSA_4096 => &[
                EncryptionAlgorithm::RSAES_OAEP_SHA_1,
                EncryptionAlgorithm::RSAES_OAEP_SHA_256,
            ],
            Self::SM2 => &[EncryptionAlgorithm::SM2PKE],
            Self::ECC_NIST_P256
            | Self::ECC_NIST_P384
            | Self::ECC_NIST_P521
            | Self::ECC_SECG_P256K1
            | Self::ECC_NIST_EDWARDS25519
            | Self::HMAC_224
            | Self::HMAC_256
            | Self::HMAC_384
            | Self::HMAC_512 => &[],
        }
    }

    /// The signing algorithms that DescribeKey lists for keys of this spec.
    pub fn signing_algorithms(self) -> &'static [&'static str] {
        match self {
            Self::RSA_2048 | Self::RSA_3072 | Self::RSA_4096 => &[
                "RSASSA_PKCS1_V1_5_SHA_256",
                "RSASSA_PKCS1_V1_5_SHA_384",
                "RSASSA_PKCS1_V1_5_SHA_512",
                "RSASSA_PSS_SHA_256",
                "RSASSA_PSS_SHA_384",
                "RSASSA_PSS_SHA_512",
            ],
            Self::ECC_NIST_P256 | Self::ECC_SECG_P256K1 => &["ECDSA_SHA_256"],
            Self::ECC_NIST_P384 => &["ECDSA_SHA_384"],
            Self::ECC_NIST_P521 => &["ECDSA_SHA_512"],
            Self::ECC_NIST_EDWARDS25519 => &["ED25519_PH_SHA_512", "ED25519_SHA_512"],
            Self::SM2 => &["SM2DSA"],
            Self::SYMMETRIC_DEFAULT
            | Self::HMAC_224
            | Self::HMAC_256
            | Self::HMAC_384
            | Self::HMAC_512 => &[],
        }
    }

    /// The MAC algorithm that DescribeKey lists, and the bytes of its key material.
    pub fn mac(self) -> Option<(&'static str, usize)> {
        match self {
            Self::HMAC_224 => Some(("HMAC_SHA_224", 28)),
            Self::HMAC_256 => Some(("HMAC_SHA_256", 32)),
            Self::HMAC_384 => Some(("HMAC_SHA_384", 48)),
            Self::HMAC_512 => Some(("HMAC_SHA_512", 64)),
            Self::SYMMETRIC_DEFAULT
            | Self::RSA_2048
            | Self::RSA_3072
            | Self::RSA_4096
            | Self::ECC_NIST_P256
            | Self::ECC_NIST_P384
            | Self::ECC_NIST_P521
            | Self::ECC_SECG_P256K1
            | Self::SM2
            | Self::ECC_NIST_EDWARDS25519 => None,
        }
    }

    /// The modulus of an RSA spec in bits.
    pub(super) fn rsa_bits(self) -> Option<u32> {
        match self {
            Self::RSA_2048 => Some(2048),
            Self::RSA_3072 => Some(3072),
            Self::RSA_4096 => Some(4096),
            Self::SYMMETRIC_DEFAULT
            | Self::ECC_NIST_P256
            | Self::ECC_NIST_P384
            | Self::ECC_NIST_P521
            | Self::ECC_SECG_P256K1
            | Self::SM2
            | Self::ECC_NIST_EDWARDS25519
            | Self::HMAC_224
            | Self::HMAC_256
            | Self::HMAC_384
            | Self::HMAC_512 => None,
        }
    }
}

impl DataKeyPairSpec {
    /// The key spec whose keys have pairs of this kind.
    pub fn key_spec(self) -> KeySpec {
        match self {
            Self::RSA_2048 => KeySpec::RSA_2048,
            Self::RSA_3072 => KeySpec::RSA_3072,
            Self::RSA_4096 => KeySpec::RSA_4096,
            Self::ECC_NIST_P256 => KeySpec::ECC_NIST_P256,
            Self::ECC_NIST_P384 => KeySpec::ECC_NIST_P384,
            Self::ECC_NIST_P521 => KeySpec::ECC_NIST_P521,
            Self::ECC_SECG_P256K1 => KeySpec::ECC_SECG_P256K1,
            Self::SM2 => KeySpec::SM2,
            Self::ECC_NIST_EDWARDS25519 => KeySpec::ECC_NIST_EDWARDS25519,
        }
    }
}

impl EncryptionAlgorithm {
    /// Whether the algorithm is the symmetric one.
    pub fn is_symmetric(self) -> bool {
        self == Self::SYMMETRIC_DEFAULT
    }

    /// The most plaintext that the algorithm takes under a key of `spec`; RFC 8017: k − 2h − 2.
    pub fn plaintext_limit(self, spec: KeySpec) -> usize {
        let k = spec.rsa_bits().unwrap_or(0) as usize / 8;
        match self {
            Self::SYMMETRIC_DEFAULT => 4096,
            Self::RSAES_OAEP_SHA_1 => k.saturating_sub(2 * 20 + 2),
            Self::RSAES_OAEP_SHA_256 => k.saturating_sub(2 * 32 + 2),
            Self::SM2PKE => 1024,
        }
    }
}
