//! The keys and ciphertexts that the matrix is about, and what a re-encrypted ciphertext must be.

use std::collections::BTreeSet;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::by_name::{Fault, STATES, Service, text};
use crate::rules::{
    Case, Key, Named, Sealed, context_json, incorrect_key, invalid_ciphertext, key_id_missing,
};
use crate::tables::{BOUND, KINDS, Kind, Pairs, SHA_1, SHA_256, SYMMETRIC, UNBOUND};

/// How much plaintext the matrix moves where size is not the question.
const USUAL_SIZE: usize = 32;

/// A key of the source's side, with ciphertexts that were made before it came into its state.
pub struct SourceKey {
    pub kind: &'static Kind,
    pub key: Rc<Key>,
    sealed: Vec<(Pairs, Rc<Sealed>)>,
}

impl SourceKey {
    /// The ciphertext with that context; an asymmetric key has one only, and that without.
    pub fn sealed_with(&self, context: Pairs) -> &Rc<Sealed> {
        let bound = self.sealed.iter().find(|(with, _)| *with == context);
        let (_, sealed) = bound.unwrap_or(&self.sealed[0]);
        sealed
    }
}

/// A key of the destination's side.
pub struct DestinationKey {
    pub kind: &'static Kind,
    pub key: Rc<Key>,
}

/// A KMS with keys of every kind in every state, once for each side.
pub struct World {
    pub service: Service,
    pub sources: Vec<SourceKey>,
    pub destinations: Vec<DestinationKey>,
    /// Keys that ReEncrypt cannot use: one for signatures, one for MACs.
    pub others: Vec<Rc<Key>>,
}

fn plaintext(size: usize) -> String {
    STANDARD.encode(vec![0x5a; size])
}

fn alias(arn: &str) -> String {
    format!("alias/of/{}", arn.rsplit('/').next().unwrap_or_default())
}

fn material(service: &Service, arn: &str) -> Option<String> {
    let metadata = service.metadata(arn);
    let current = metadata["CurrentKeyMaterialId"].as_str();
    current.map(str::to_owned)
}

/// Makes a key with an alias.
fn create(service: &Service, spec: &str, usage: &str, external: bool) -> String {
    let mut request = json!({"KeySpec": spec, "KeyUsage": usage});
    if external {
        request["Origin"] = json!("EXTERNAL");
    }
    let arn = service.create(request);
    let request = json!({"AliasName": alias(&arn), "TargetKeyId": arn});
    service.must("CreateAlias", request);
    arn
}

fn rotate(service: &Service, arn: &str) {
    let before = material(service, arn);
    service.must("RotateKeyOnDemand", json!({"KeyId": arn}));
    assert_ne!(material(service, arn), before, "the rotation was not done");
}

/// What is known of a key once it is in its state.
fn known(
    service: &Service,
    arn: String,
    spec: &'static str,
    usage: &'static str,
    state: &'static str,
) -> Rc<Key> {
    assert_eq!(service.metadata(&arn)["KeyState"], state, "{spec}");
    let material = material(service, &arn);
    Rc::new(Key {
        alias: alias(&arn),
        arn,
        spec,
        usage,
        state,
        material,
    })
}

fn seal(service: &Service, arn: &str, algorithm: &str, context: Pairs, size: usize) -> String {
    let mut request = json!({
        "KeyId": arn,
        "Plaintext": plaintext(size),
        "EncryptionAlgorithm": algorithm,
    });
    if !context.is_empty() {
        request["EncryptionContext"] = context_json(context);
    }
    text(&service.must("Encrypt", request), "CiphertextBlob")
}

/// The states of a kind: only symmetric keys come without material here, and such a key cannot
/// be rotated.
fn states(kind: &Kind) -> &'static [&'static str] {
    let imported = kind.algorithm == SYMMETRIC && !kind.rotated;
    if imported { &STATES } else { &STATES[..3] }
}

impl World {
    pub fn build() -> Self {
        let service = Service::start();
        let mut sources = Vec::new();
        let mut destinations = Vec::new();
        for kind in &KINDS {
            for state in states(kind) {
                sources.push(Self::source(&service, kind, state));
                destinations.push(Self::destination(&service, kind, state));
            }
        }
        let others = [
            ("RSA_2048", "SIGN_VERIFY"),
            ("HMAC_256", "GENERATE_VERIFY_MAC"),
        ];
        let others = others.map(|(spec, usage)| {
            let arn = create(&service, spec, usage, false);
            known(&service, arn, spec, usage, "Enabled")
        });
        Self {
            service,
            sources,
            destinations,
            others: others.into(),
        }
    }

    /// PendingImport: the material was imported, used, and deleted again.
    fn source(service: &Service, kind: &'static Kind, state: &'static str) -> SourceKey {
        let external = state == "PendingImport";
        let arn = create(service, kind.spec, "ENCRYPT_DECRYPT", external);
        if external {
            service.import_material(&arn);
        }
        let material = material(service, &arn);
        assert_eq!(material.is_some(), kind.algorithm == SYMMETRIC);
        let contexts: &[Pairs] = if kind.algorithm == SYMMETRIC {
            &[UNBOUND, BOUND]
        } else {
            &[UNBOUND]
        };
        let blobs: Vec<_> = contexts
            .iter()
            .map(|&context| {
                let blob = seal(service, &arn, kind.algorithm, context, USUAL_SIZE);
                (context, blob)
            })
            .collect();
        if kind.rotated {
            rotate(service, &arn);
        }
        service.put(&arn, state);
        let key = known(service, arn, kind.spec, "ENCRYPT_DECRYPT", state);
        let sealed = blobs.into_iter().map(|(context, blob)| {
            let sealed = Sealed {
                blob,
                key: Rc::clone(&key),
                algorithm: kind.algorithm,
                plaintext: plaintext(USUAL_SIZE),
                size: USUAL_SIZE,
                material: material.clone(),
            };
            (context, Rc::new(sealed))
        });
        SourceKey {
            kind,
            sealed: sealed.collect(),
            key,
        }
    }

    /// PendingImport: material was never imported.
    fn destination(service: &Service, kind: &'static Kind, state: &'static str) -> DestinationKey {
        let external = state == "PendingImport";
        let arn = create(service, kind.spec, "ENCRYPT_DECRYPT", external);
        if kind.rotated {
            rotate(service, &arn);
        }
        if !external {
            service.put(&arn, state);
        }
        let key = known(service, arn, kind.spec, "ENCRYPT_DECRYPT", state);
        DestinationKey { kind, key }
    }

    pub fn source_key(&self, kind: &Kind, state: &str) -> &SourceKey {
        self.sources
            .iter()
            .find(|made| made.kind.name == kind.name && made.key.state == state)
            .expect("such a source")
    }

    pub fn destination_key(&self, kind: &Kind, state: &str) -> &DestinationKey {
        self.destinations
            .iter()
            .find(|made| made.kind.name == kind.name && made.key.state == state)
            .expect("such a destination")
    }

    /// A further ciphertext, of `size` bytes, under the current material of an enabled key.
    pub fn seal(&self, made: &SourceKey, size: usize) -> Rc<Sealed> {
        let (key, algorithm) = (Rc::clone(&made.key), made.kind.algorithm);
        Rc::new(Sealed {
            blob: seal(&self.service, &key.arn, algorithm, UNBOUND, size),
            material: key.material.clone(),
            key,
            algorithm,
            plaintext: plaintext(size),
            size,
        })
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, expected: &T) -> Result<(), String> {
    if got == expected {
        return Ok(());
    }
    Err(format!("{what}: {got:?}, expected {expected:?}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decrypt(
    blob: &str,
    key: Option<&str>,
    algorithm: &str,
    context: Option<&[(&str, &str)]>,
) -> Value {
    let mut request = Map::new();
    request.insert("CiphertextBlob".to_owned(), json!(blob));
    request.insert("EncryptionAlgorithm".to_owned(), json!(algorithm));
    if let Some(key) = key {
        request.insert("KeyId".to_owned(), json!(key));
    }
    if let Some(pairs) = context {
        request.insert("EncryptionContext".to_owned(), context_json(pairs));
    }
    Value::Object(request)
}

/// The blob's public form: a symmetric one begins as all of the service's do, with the id of the
/// key material in bytes 5 to 36; RSA ciphertexts are as long as the modulus; SM2's are a DER
/// SEQUENCE.
fn check_form(blob: &str, algorithm: &str, material: Option<&str>) -> Result<(), String> {
    let bytes = STANDARD.decode(blob).map_err(|e| e.to_string())?;
    match algorithm {
        SYMMETRIC => {
            let header = bytes.get(..37).map(hex).unwrap_or_default();
            let expected = format!("0102020078{}", material.unwrap_or_default());
            same("the blob's header", &header, &expected)
        }
        SHA_1 | SHA_256 => same("the blob's length", &bytes.len(), &256),
        _ => same("the blob's first byte", &bytes.first(), &Some(&0x30)),
    }
}

fn is_same_context(a: Option<Pairs>, b: Option<Pairs>) -> bool {
    let set = |pairs: Option<Pairs>| pairs.into_iter().flatten().collect::<BTreeSet<_>>();
    set(a) == set(b)
}

/// Checks the response of a success: all its members in the order of the API Reference, and that
/// the ciphertext opens under the destination's key, algorithm and context and nothing else.
pub fn check_success(service: &Service, case: &Case<'_>, response: &Value) -> Result<(), String> {
    let from = &case.source.sealed;
    let Named::Key(_, to) = &case.destination.named else {
        return Err("succeeded without a destination".to_owned());
    };
    let algorithm = case.destination_algorithm();
    let context = case.destination.context;
    let blob = response["CiphertextBlob"].as_str().unwrap_or_default();
    let new_material = to.material.as_deref().filter(|_| algorithm == SYMMETRIC);

    let mut expected = vec![
        ("CiphertextBlob", blob),
        ("SourceKeyId", from.key.arn.as_str()),
        ("KeyId", to.arn.as_str()),
        ("SourceEncryptionAlgorithm", from.algorithm),
        ("DestinationEncryptionAlgorithm", algorithm),
    ];
    let source_material = from.material.as_deref();
    expected.extend(source_material.map(|id| ("SourceKeyMaterialId", id)));
    expected.extend(new_material.map(|id| ("DestinationKeyMaterialId", id)));
    let members = response.as_object().into_iter().flatten();
    let members: Vec<_> = members
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
        .collect();
    same("the response", &members, &expected)?;
    if from.blob == blob {
        return Err("the ciphertext is the old one".to_owned());
    }
    check_form(blob, algorithm, new_material)?;

    let request = decrypt(blob, Some(&to.arn), algorithm, context);
    let mut expected = json!({
        "KeyId": to.arn,
        "Plaintext": from.plaintext,
        "EncryptionAlgorithm": algorithm,
    });
    if let Some(id) = new_material {
        expected["KeyMaterialId"] = json!(id);
    }
    let opened = service.call("Decrypt", request);
    same("opened as the destination", &opened, &Ok(expected))?;

    for (what, request, fault) in refused_openings(case, blob, to) {
        same(what, &service.call("Decrypt", request), &Err(fault))?;
    }
    Ok(())
}

/// Requests of Decrypt that differ from the right one in a single point, and the answers.
fn refused_openings(case: &Case<'_>, blob: &str, to: &Key) -> Vec<(&'static str, Value, Fault)> {
    let from = &case.source.sealed;
    let algorithm = case.destination_algorithm();
    let context = case.destination.context;
    let mut refused = Vec::new();

    let source_context = case.source.context.given;
    let is_same_key = from.key.arn == to.arn;
    let is_the_same = is_same_key
        && from.algorithm == algorithm
        && (algorithm != SYMMETRIC || is_same_context(source_context, context));
    if !is_the_same {
        let both_symmetric = from.algorithm == SYMMETRIC && algorithm == SYMMETRIC;
        refused.push((
            "opened as the source",
            decrypt(blob, Some(&from.key.arn), from.algorithm, source_context),
            if both_symmetric && !is_same_key {
                incorrect_key()
            } else {
                invalid_ciphertext()
            },
        ));
    }
    if algorithm == SYMMETRIC {
        let mut pairs = context.unwrap_or_default().to_vec();
        pairs.push(("more", "1"));
        refused.push((
            "opened with a pair more",
            decrypt(blob, Some(&to.arn), algorithm, Some(&pairs)),
            invalid_ciphertext(),
        ));
    } else {
        refused.push((
            "opened without a key",
            decrypt(blob, None, algorithm, None),
            key_id_missing(),
        ));
    }
    let other_hash = match algorithm {
        SHA_1 => Some(SHA_256),
        SHA_256 => Some(SHA_1),
        _ => None,
    };
    if let Some(other) = other_hash {
        refused.push((
            "opened with the other hash",
            decrypt(blob, Some(&to.arn), other, None),
            invalid_ciphertext(),
        ));
    }
    refused
}
