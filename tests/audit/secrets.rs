//! What the lines never say: after a run of every operation no plaintext, no ciphertext, no token
//! and no secret access key stands in the log, in whatever encoding.

use std::collections::BTreeSet;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rekeyfs::kms::api::{Member, OPERATIONS, Operation, Shape};
use rekeyfs::kms::audit::log_path;
use rekeyfs::kms::caller::Caller;
use serde_json::{Value, json};

use crate::accounts::{Answer, OWNER, World, deny, root, text};
use crate::log::{events, only, recorded, recorded_by};
use crate::requests::{Names, PLAIN, PLAINTEXT, ROWS, WITHOUT_KEY, has, with};

/// Collects what is secret among these members.
fn collect(members: &[Member], value: &Value, found: &mut Vec<String>) {
    for member in members {
        let Some(given) = value.get(member.name) else {
            continue;
        };
        if matches!(member.name, "GrantToken" | "GrantTokens") {
            let tokens = given.as_array().cloned();
            let tokens = tokens.unwrap_or_else(|| vec![given.clone()]);
            found.extend(tokens.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        collect_of(member.shape, given, found);
    }
}

fn collect_of(shape: Shape, value: &Value, found: &mut Vec<String>) {
    match (shape, value) {
        (Shape::Blob(..), Value::String(blob)) => found.push(blob.clone()),
        (Shape::Structure(members), value) => collect(members, value, found),
        (Shape::List(item, ..), Value::Array(items)) => {
            for value in items {
                collect_of(*item, value, found);
            }
        }
        _ => {}
    }
}

/// Runs operations, sees that each is recorded as it was answered, and remembers the secrets.
struct Run<'a> {
    world: &'a World,
    secrets: Vec<String>,
}

impl Run<'_> {
    fn ask(&mut self, caller: &Caller, operation: &str, request: Value) -> Answer {
        let known = Operation::find(operation).expect("an operation");
        collect(known.input, &request, &mut self.secrets);
        let ask = || self.world.call(caller, operation, request);
        let (answer, recorded) = recorded_by(self.world, ask);
        let event = only(recorded);
        assert_eq!(event["eventName"], operation);
        let code = match &answer {
            Ok(response) => {
                collect(known.output, response, &mut self.secrets);
                None
            }
            Err(("AccessDeniedException", _)) => Some("AccessDenied"),
            Err((name, _)) => Some(*name),
        };
        assert_eq!(event["errorCode"].as_str(), code, "{event}");
        answer
    }

    fn must(&mut self, operation: &str, request: Value) -> Value {
        self.ask(&root(OWNER), operation, request)
            .unwrap_or_else(|fault| panic!("{operation} failed: {fault:?}"))
    }
}

/// Material, wrapped by openssl under a public key.
fn wrap(world: &World, public_key: &str, material: &str) -> String {
    let public_key = STANDARD.decode(public_key).expect("base64");
    let directory = world.directory();
    std::fs::write(directory.join("wrapping.der"), public_key).expect("write");
    std::fs::write(directory.join("material"), material).expect("write");
    let output = Command::new("openssl")
        .args(["pkeyutl", "-encrypt", "-pubin", "-keyform", "DER"])
        .args(["-inkey", "wrapping.der", "-in", "material"])
        .args(["-out", "wrapped", "-pkeyopt", "rsa_padding_mode:oaep"])
        .args(["-pkeyopt", "rsa_oaep_md:sha256"])
        .args(["-pkeyopt", "rsa_mgf1_md:sha256"])
        .current_dir(directory)
        .output()
        .expect("openssl");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl: {complaint}");
    STANDARD.encode(std::fs::read(directory.join("wrapped")).expect("read"))
}

fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

#[test]
fn no_secret_stands_in_the_log_after_a_run_of_every_operation() {
    const MATERIAL: &str = "32 bytes of very secret material";
    let world = recorded(true);
    let bob = world.user(OWNER, "Bob");
    world.let_user(&bob, &[deny("kms:*")]);
    let access_key = world.kms.create_access_key(&root(OWNER), Some("Bob"));
    let access_key = access_key.expect("an access key");
    let secret = String::from_utf8(access_key.secret.expose().to_vec()).expect("text");
    let mut run = Run {
        world: &world,
        secrets: vec![PLAIN.to_owned(), MATERIAL.to_owned(), secret],
    };
    let key = world.key(json!({}));
    let ciphertext = world.seal(&key, &json!({}));
    let principal = root(OWNER).principal;
    // As its owner and as somebody who may not, with a token and without.
    for caller in [root(OWNER), bob.clone()] {
        let grant = world.grant(&key, &principal, &["Encrypt"], &json!({}));
        let names = Names {
            key: &key,
            ciphertext: &ciphertext,
            other: &key,
            other_ciphertext: &ciphertext,
            grant_id: &grant.id,
            principal: &principal,
            alias: "alias/key",
        };
        let token = json!({"GrantTokens": [grant.token]});
        for row in ROWS.iter().chain(WITHOUT_KEY) {
            let request = (row.request)(&names);
            if has(row.operation(), "GrantTokens") {
                let request = with(request.clone(), &token);
                let _ = run.ask(&caller, row.operation, request);
            }
            let _ = run.ask(&caller, row.operation, request);
            // No row makes the key unusable for the next.
            for undo in ["CancelKeyDeletion", "EnableKey"] {
                let _ = world.call(&root(OWNER), undo, json!({"KeyId": key}));
            }
        }
    }
    // Those that the rows do not see succeed.
    let rsa = run.must(
        "CreateKey",
        json!({"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}),
    );
    let rsa = text(&rsa["KeyMetadata"], "Arn");
    run.must("GetPublicKey", json!({"KeyId": rsa}));
    let request = json!({
        "KeyId": rsa,
        "Plaintext": PLAINTEXT,
        "EncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    });
    let sealed = run.must("Encrypt", request);
    run.must(
        "ReEncrypt",
        json!({
            "CiphertextBlob": sealed["CiphertextBlob"],
            "SourceKeyId": rsa,
            "SourceEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
            "DestinationKeyId": key,
        }),
    );
    let external = run.must("CreateKey", json!({"Origin": "EXTERNAL"}));
    let external = text(&external["KeyMetadata"], "Arn");
    let request = json!({
        "KeyId": external,
        "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
        "WrappingKeySpec": "RSA_2048",
    });
    let parameters = run.must("GetParametersForImport", request);
    let wrapped = wrap(&world, &text(&parameters, "PublicKey"), MATERIAL);
    let request = json!({
        "KeyId": external,
        "ImportToken": parameters["ImportToken"],
        "EncryptedKeyMaterial": wrapped,
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    });
    run.must("ImportKeyMaterial", request);
    let sealed = run.must(
        "Encrypt",
        json!({"KeyId": external, "Plaintext": PLAINTEXT}),
    );
    run.must(
        "Decrypt",
        json!({"CiphertextBlob": sealed["CiphertextBlob"]}),
    );
    run.must("DeleteImportedKeyMaterial", json!({"KeyId": external}));
    let grant = world.grant(&key, &principal, &["Encrypt"], &json!({}));
    run.must("RevokeGrant", json!({"KeyId": key, "GrantId": grant.id}));
    run.must("ScheduleKeyDeletion", json!({"KeyId": rsa}));
    run.must("CancelKeyDeletion", json!({"KeyId": rsa}));

    let recorded = events(&world);
    for operation in OPERATIONS {
        let of_it = recorded
            .iter()
            .filter(|event| event["eventName"] == operation.name);
        let successes = of_it.filter(|event| event.get("errorCode").is_none());
        assert!(successes.count() > 0, "no success of {}", operation.name);
    }
    let log = std::fs::read(log_path(&world.keystore())).expect("a log");
    let secrets: BTreeSet<String> = run.secrets.into_iter().collect();
    assert!(secrets.len() > 30, "{}", secrets.len());
    for secret in secrets {
        assert!(secret.len() > 15, "{secret}: too short to be looked for");
        assert!(!contains(&log, secret.as_bytes()), "{secret} is in the log");
        let Ok(bytes) = STANDARD.decode(&secret) else {
            continue;
        };
        assert!(!contains(&log, &bytes), "{secret} is in the log, decoded");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!contains(&log, hex.as_bytes()), "{secret} is in the log");
    }
}

#[test]
fn what_is_refused_before_it_is_read_does_not_get_into_the_log() {
    let world = recorded(true);
    let key = world.key(json!({}));
    // What is no base64, of the wrong type, or in a member that is not known.
    for request in [
        json!({"KeyId": key, "Plaintext": PLAIN}),
        json!({"KeyId": key, "Plaintext": {"a": PLAIN}}),
        json!({"KeyId": key, "Plaintext": PLAINTEXT, "Secret": PLAIN}),
        json!({"KeyId": key, "Plaintext": [PLAINTEXT]}),
    ] {
        let ask = || world.call(&root(OWNER), "Encrypt", request);
        let (answer, recorded) = recorded_by(&world, ask);
        assert!(answer.is_err());
        let line = only(recorded).to_string();
        assert!(!line.contains(PLAIN) && !line.contains(PLAINTEXT), "{line}");
    }
}

#[test]
fn a_line_of_a_huge_request_is_small() {
    let world = recorded(true);
    let key = world.key(json!({}));
    let pairs: serde_json::Map<_, _> = (0..2000)
        .map(|number| (format!("key {number}"), json!("v".repeat(100))))
        .collect();
    let request = json!({"KeyId": key, "Plaintext": PLAINTEXT, "EncryptionContext": pairs});
    let ask = || world.call(&root(OWNER), "Encrypt", request);
    let (answer, recorded) = recorded_by(&world, ask);
    assert!(answer.is_ok());
    let event = only(recorded);
    // Which key was asked for stays, what is large goes.
    assert_eq!(event["requestParameters"]["keyId"], *key);
    assert_eq!(event["requestParameters"]["encryptionContext"], "omitted");
    let line = event.to_string();
    assert!(line.len() < 32 * 1024, "{} bytes", line.len());
}
