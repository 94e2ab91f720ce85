//! What ReEncrypt answers, as an ordered list of rules over a request and what is known of it.
//!
//! Nothing here knows the program under test. Sources: AWS KMS API Reference, "ReEncrypt" (each
//! rule names the member or section that it comes from), and the pages of the tables. Message texts
//! are those of recorded answers of the real service, and so is the order of the rules where one
//! is recorded.

use std::rc::Rc;

use serde_json::{Map, Value, json};

use crate::by_name::Fault;
use crate::tables::{ALGORITHMS, Pairs, SYMMETRIC, SourceContext, UNUSABLE};

/// A key as its owner knows it.
pub struct Key {
    pub arn: String,
    pub alias: String,
    pub spec: &'static str,
    pub usage: &'static str,
    pub state: &'static str,
    /// The id of its current key material, if it is symmetric.
    pub material: Option<String>,
}

impl Key {
    /// The four forms of its name.
    pub fn names(&self) -> [(&'static str, String); 4] {
        let (home, id) = self.arn.rsplit_once(":key/").expect("a key ARN");
        [
            ("key ID", id.to_owned()),
            ("alias name", self.alias.clone()),
            ("key ARN", self.arn.clone()),
            ("alias ARN", format!("{home}:{}", self.alias)),
        ]
    }
}

/// A ciphertext, and all that is known of how it was made.
pub struct Sealed {
    pub blob: String,
    pub key: Rc<Key>,
    pub algorithm: &'static str,
    /// Base64.
    pub plaintext: String,
    pub size: usize,
    /// The id of the key material under which it was made, if that is symmetric.
    pub material: Option<String>,
}

/// What a request says in SourceKeyId or DestinationKeyId.
#[derive(Clone)]
pub enum Named {
    /// Nothing: the member is left out.
    Omitted,
    /// A name of this key.
    Key(String, Rc<Key>),
    /// A name of nothing, and the message of the NotFoundException.
    Nothing(&'static str, &'static str),
}

/// The source's half of a request.
pub struct Source {
    pub label: String,
    pub sealed: Rc<Sealed>,
    pub named: Named,
    pub context: &'static SourceContext,
    pub algorithm: Option<&'static str>,
}

/// The destination's half of a request.
pub struct Destination {
    pub label: String,
    pub named: Named,
    pub context: Option<Pairs>,
    pub algorithm: Option<&'static str>,
}

/// A request and what is known of it.
pub struct Case<'a> {
    pub source: &'a Source,
    pub destination: &'a Destination,
    pub dry_run: bool,
}

pub fn context_json(pairs: &[(&str, &str)]) -> Value {
    let members = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)));
    Value::Object(members.collect())
}

fn insert_name(request: &mut Map<String, Value>, member: &str, named: &Named) {
    let text: &str = match named {
        Named::Omitted => return,
        Named::Key(text, _) => text,
        Named::Nothing(text, _) => text,
    };
    request.insert(member.to_owned(), json!(text));
}

impl Case<'_> {
    /// The request of ReEncrypt.
    pub fn request(&self) -> Value {
        let (source, destination) = (self.source, self.destination);
        let mut request = Map::new();
        let mut put = |member: &str, value: Option<Value>| {
            if let Some(value) = value {
                request.insert(member.to_owned(), value);
            }
        };
        put("CiphertextBlob", Some(json!(source.sealed.blob)));
        put(
            "SourceEncryptionContext",
            source.context.given.map(context_json),
        );
        put(
            "SourceEncryptionAlgorithm",
            source.algorithm.map(Value::from),
        );
        put(
            "DestinationEncryptionContext",
            destination.context.map(context_json),
        );
        put(
            "DestinationEncryptionAlgorithm",
            destination.algorithm.map(Value::from),
        );
        put("DryRun", self.dry_run.then_some(Value::Bool(true)));
        insert_name(&mut request, "SourceKeyId", &source.named);
        insert_name(&mut request, "DestinationKeyId", &destination.named);
        Value::Object(request)
    }

    /// SourceEncryptionAlgorithm, or its default.
    fn source_algorithm(&self) -> &'static str {
        self.source.algorithm.unwrap_or(SYMMETRIC)
    }

    /// DestinationEncryptionAlgorithm, or its default.
    pub fn destination_algorithm(&self) -> &'static str {
        self.destination.algorithm.unwrap_or(SYMMETRIC)
    }

    /// The key that the service decrypts with: the named one, else that of the ciphertext.
    fn source_key(&self) -> &Key {
        match &self.source.named {
            Named::Key(_, key) => key,
            Named::Omitted | Named::Nothing(..) => &self.source.sealed.key,
        }
    }

    fn destination_key(&self) -> Option<&Key> {
        match &self.destination.named {
            Named::Key(_, key) => Some(key),
            Named::Omitted | Named::Nothing(..) => None,
        }
    }
}

type Rule = (&'static str, fn(&Case<'_>) -> Option<Fault>);

/// The faults that a request can have, in the order in which they are found: the first one that
/// applies is the answer.
///
/// Authorisation is not here, since the account's root user may do everything: ReEncryptFrom comes
/// after "other key than the ciphertext's", ReEncryptTo after "destination: not found".
pub const PRECEDENCE: [Rule; 16] = [
    ("source: asymmetric without a key", asymmetric_without_a_key),
    ("source: no symmetric ciphertext", no_symmetric_ciphertext),
    ("source: not found", source_not_found),
    ("source: other key than the ciphertext's", other_key),
    ("source: state", source_state),
    ("source: usage", source_usage),
    ("source: algorithm", source_algorithm),
    ("source: context with asymmetric", source_context),
    ("source: does not open", does_not_open),
    // Documented nowhere: whether an unknown destination is found before the source is opened.
    ("destination: not found", destination_not_found),
    ("destination: state", destination_state),
    ("destination: usage", destination_usage),
    ("destination: algorithm", destination_algorithm),
    ("destination: context with asymmetric", destination_context),
    ("destination: plaintext too large", too_large),
    ("dry run", dry_run),
];

/// The rule that decides, and the fault that it finds; none: success.
pub fn expected(case: &Case<'_>) -> (&'static str, Option<Fault>) {
    PRECEDENCE
        .iter()
        .find_map(|(name, rule)| rule(case).map(|fault| (*name, Some(fault))))
        .unwrap_or((SUCCESS, None))
}

/// The name of what remains when no rule of [`PRECEDENCE`] applies.
pub const SUCCESS: &str = "success";

fn fault(name: &'static str, message: impl Into<String>) -> Option<Fault> {
    Some((name, Some(message.into())))
}

pub fn invalid_ciphertext() -> Fault {
    ("InvalidCiphertextException", None)
}

pub fn incorrect_key() -> Fault {
    let message =
        "The key ID in the request does not identify a CMK that can perform this operation.";
    ("IncorrectKeyException", Some(message.to_owned()))
}

pub fn key_id_missing() -> Fault {
    (
        "ValidationException",
        Some("KeyId must not be null".to_owned()),
    )
}

/// SourceKeyId: needed for asymmetric ciphertexts. The service goes by the algorithm, since the
/// ciphertext does not tell.
fn asymmetric_without_a_key(case: &Case<'_>) -> Option<Fault> {
    let omitted = matches!(case.source.named, Named::Omitted);
    (omitted && case.source_algorithm() != SYMMETRIC).then(key_id_missing)
}

/// SourceEncryptionAlgorithm: by default the ciphertext has to be a symmetric one, which says
/// which key it belongs to.
fn no_symmetric_ciphertext(case: &Case<'_>) -> Option<Fault> {
    (case.source_algorithm() == SYMMETRIC && case.source.sealed.algorithm != SYMMETRIC)
        .then(invalid_ciphertext)
}

fn not_found(named: &Named) -> Option<Fault> {
    match named {
        Named::Nothing(_, message) => fault("NotFoundException", *message),
        Named::Omitted | Named::Key(..) => None,
    }
}

fn source_not_found(case: &Case<'_>) -> Option<Fault> {
    not_found(&case.source.named)
}

/// SourceKeyId: a key that is not the ciphertext's is an incorrect one, whatever its kind, usage
/// and state. Asymmetric ciphertexts do not name their key.
fn other_key(case: &Case<'_>) -> Option<Fault> {
    let other = case.source_key().arn != case.source.sealed.key.arn;
    (other && case.source_algorithm() == SYMMETRIC).then(incorrect_key)
}

/// "Key states of AWS KMS keys".
fn unusable(key: &Key) -> Option<Fault> {
    let (_, name, fact) = UNUSABLE.iter().find(|(state, ..)| *state == key.state)?;
    fault(name, format!("{} {fact}", key.arn))
}

fn source_state(case: &Case<'_>) -> Option<Fault> {
    unusable(case.source_key())
}

/// DestinationKeyId: a key for encryption, symmetric or not; the same holds for the source. The
/// messages name the permission of the side, not the operation.
fn wrong_usage(key: &Key, permission: &str) -> Option<Fault> {
    let Key { arn, usage, .. } = key;
    if *usage == "ENCRYPT_DECRYPT" {
        return None;
    }
    let message = format!("{arn} key usage is {usage} which is not valid for {permission}.");
    fault("InvalidKeyUsageException", message)
}

fn source_usage(case: &Case<'_>) -> Option<Fault> {
    wrong_usage(case.source_key(), "ReEncryptFrom")
}

/// The most plaintext that an algorithm takes under a key of that spec; `None`: they do not fit.
pub fn limit(spec: &str, algorithm: &str) -> Option<usize> {
    ALGORITHMS
        .iter()
        .find(|row| row.0 == spec && row.1 == algorithm)
        .map(|row| row.2)
}

fn incompatible(key: &Key, algorithm: &str) -> Option<Fault> {
    let spec = key.spec;
    if limit(spec, algorithm).is_some() {
        return None;
    }
    let message = format!("Algorithm {algorithm} is incompatible with key spec {spec}.");
    fault("InvalidKeyUsageException", message)
}

fn source_algorithm(case: &Case<'_>) -> Option<Fault> {
    incompatible(case.source_key(), case.source_algorithm())
}

/// SourceEncryptionContext, DestinationEncryptionContext: for symmetric keys only. An empty one is
/// none.
fn unsupported_context(key: &Key, pairs: Option<Pairs>) -> Option<Fault> {
    if key.spec == "SYMMETRIC_DEFAULT" || pairs.is_none_or(<[_]>::is_empty) {
        return None;
    }
    let message =
        "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.";
    fault("ValidationException", message)
}

fn source_context(case: &Case<'_>) -> Option<Fault> {
    unsupported_context(case.source_key(), case.source.context.given)
}

/// Description: the key, the algorithm and the context have to be those of the encryption.
fn does_not_open(case: &Case<'_>) -> Option<Fault> {
    let sealed = &case.source.sealed;
    let opens = case.source_key().arn == sealed.key.arn
        && case.source_algorithm() == sealed.algorithm
        && (sealed.algorithm != SYMMETRIC || case.source.context.opens);
    (!opens).then(invalid_ciphertext)
}

fn destination_not_found(case: &Case<'_>) -> Option<Fault> {
    not_found(&case.destination.named)
}

fn destination_state(case: &Case<'_>) -> Option<Fault> {
    unusable(case.destination_key()?)
}

fn destination_usage(case: &Case<'_>) -> Option<Fault> {
    wrong_usage(case.destination_key()?, "ReEncryptTo")
}

/// DestinationEncryptionAlgorithm: needed for asymmetric keys, and has to fit the key.
fn destination_algorithm(case: &Case<'_>) -> Option<Fault> {
    incompatible(case.destination_key()?, case.destination_algorithm())
}

fn destination_context(case: &Case<'_>) -> Option<Fault> {
    unsupported_context(case.destination_key()?, case.destination.context)
}

/// Errors of "Encrypt": asymmetric algorithms take less than a symmetric ciphertext can hold.
fn too_large(case: &Case<'_>) -> Option<Fault> {
    let (spec, algorithm) = (case.destination_key()?.spec, case.destination_algorithm());
    let limit = limit(spec, algorithm)?;
    if case.source.sealed.size <= limit {
        return None;
    }
    let message = format!(
        "Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {limit} bytes."
    );
    fault("ValidationException", message)
}

/// DryRun: everything is checked, nothing is answered.
fn dry_run(case: &Case<'_>) -> Option<Fault> {
    if !case.dry_run {
        return None;
    }
    let message = "The request would have succeeded, but the DryRun option is set.";
    fault("DryRunOperationException", message)
}
