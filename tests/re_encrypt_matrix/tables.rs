//! The facts about ReEncrypt, as tables; each stands beside the page that states it:
//!
//! - AWS KMS API Reference, "Encrypt", Plaintext: the most that each algorithm takes;
//! - AWS KMS Developer Guide, "Key spec reference": the algorithms of each key spec;
//! - AWS KMS Developer Guide, "Key identifiers (KeyId)": the forms of a key's name;
//! - AWS KMS Developer Guide, "Encryption context": an exact, case-sensitive match in any order;
//! - AWS KMS Developer Guide, "Key states of AWS KMS keys", the row ReEncrypt.
//!
//! Message texts are those of recorded answers of the real service.

pub const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
pub const SHA_1: &str = "RSAES_OAEP_SHA_1";
pub const SHA_256: &str = "RSAES_OAEP_SHA_256";
pub const SM2PKE: &str = "SM2PKE";

/// What an algorithm member can say: nothing, or any of the algorithms.
pub const GIVEN_ALGORITHMS: [Option<&str>; 5] = [
    None,
    Some(SYMMETRIC),
    Some(SHA_1),
    Some(SHA_256),
    Some(SM2PKE),
];

/// Key spec, an algorithm of it ("Key spec reference"), and the most bytes of plaintext
/// ("Encrypt", Plaintext). What is not here does not fit.
pub const ALGORITHMS: &[(&str, &str, usize)] = &[
    ("SYMMETRIC_DEFAULT", SYMMETRIC, 4096),
    ("RSA_2048", SHA_1, 214),
    ("RSA_2048", SHA_256, 190),
    ("SM2", SM2PKE, 1024),
];

/// A kind of key and how it is used.
pub struct Kind {
    pub name: &'static str,
    pub spec: &'static str,
    /// Whether the key was rotated after the encryption.
    pub rotated: bool,
    pub algorithm: &'static str,
}

const fn kind(
    name: &'static str,
    spec: &'static str,
    rotated: bool,
    algorithm: &'static str,
) -> Kind {
    Kind {
        name,
        spec,
        rotated,
        algorithm,
    }
}

pub static KINDS: [Kind; 5] = [
    kind("symmetric", "SYMMETRIC_DEFAULT", false, SYMMETRIC),
    kind("rotated", "SYMMETRIC_DEFAULT", true, SYMMETRIC),
    kind("RSA SHA-1", "RSA_2048", false, SHA_1),
    kind("RSA SHA-256", "RSA_2048", false, SHA_256),
    kind("SM2", "SM2", false, SM2PKE),
];

/// Pairs of an encryption context.
pub type Pairs = &'static [(&'static str, &'static str)];

pub const UNBOUND: Pairs = &[];
pub const BOUND: Pairs = &[("a", "bc"), ("tenant", "7")];

/// How a symmetric ciphertext was bound, what SourceEncryptionContext says, and whether that
/// opens it ("Encryption context").
pub struct SourceContext {
    pub name: &'static str,
    pub sealed_with: Pairs,
    pub given: Option<Pairs>,
    pub opens: bool,
}

const fn context(
    name: &'static str,
    sealed_with: Pairs,
    given: Option<Pairs>,
    opens: bool,
) -> SourceContext {
    SourceContext {
        name,
        sealed_with,
        given,
        opens,
    }
}

pub static SOURCE_CONTEXTS: [SourceContext; 9] = [
    context("none", UNBOUND, None, true),
    context("empty", UNBOUND, Some(UNBOUND), true),
    context(
        "same",
        BOUND,
        Some(&[("tenant", "7"), ("a", "bc")]), // the order does not matter
        true,
    ),
    context(
        "changed",
        BOUND,
        Some(&[("a", "bc"), ("tenant", "8")]),
        false,
    ),
    context("wrong", BOUND, Some(&[("ab", "c"), ("tenant", "7")]), false),
    context(
        "other case",
        BOUND,
        Some(&[("A", "bc"), ("tenant", "7")]),
        false,
    ),
    context("missing", BOUND, None, false),
    context("emptied", BOUND, Some(UNBOUND), false),
    context("added", UNBOUND, Some(BOUND), false),
];

/// What DestinationEncryptionContext says.
pub const DESTINATION_CONTEXTS: [(&str, Option<Pairs>); 4] = [
    ("none", None),
    ("empty", Some(UNBOUND)),
    ("kept", Some(BOUND)),
    ("changed", Some(&[("a", "bc"), ("tenant", "8")])),
];

/// Names of nothing ("Key identifiers (KeyId)"), and the message of the NotFoundException.
#[rustfmt::skip]
pub const UNKNOWN: [(&str, &str, &str); 6] = [
    ("unknown key ID", "1234abcd-12ab-34cd-56ef-1234567890ab",
     "Key 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab' does not exist"),
    ("unknown key ARN", "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
     "Key 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab' does not exist"),
    ("unknown alias name", "alias/nothing",
     "Alias arn:aws:kms:us-east-1:111122223333:alias/nothing is not found."),
    ("unknown alias ARN", "arn:aws:kms:us-east-1:111122223333:alias/nothing",
     "Alias arn:aws:kms:us-east-1:111122223333:alias/nothing is not found."),
    ("no identifier", "nonsense",
     "Invalid keyId 'nonsense'"),
    ("key ARN of another Region", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
     "Invalid arn eu-west-1"),
];

/// Key states in which ReEncrypt refuses a key on either side ("Key states of AWS KMS keys"); the
/// message begins with the key's ARN.
pub const UNUSABLE: &[(&str, &str, &str)] = &[
    ("Disabled", "DisabledException", "is disabled."),
    (
        "PendingDeletion",
        "KMSInvalidStateException",
        "is pending deletion.",
    ),
    (
        "PendingImport",
        "KMSInvalidStateException",
        "is pending import.",
    ),
];
