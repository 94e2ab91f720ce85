//! What the manual page of ReEncrypt promises and no other test holds: ciphertexts and keys here,
//! who may what in `permissions`, options in `command_line`, timeouts in `waiting`.
//!
//! The README's section "ReEncrypt, sentence by sentence" says which test holds which sentence.

mod support;

#[path = "manual_page/command_line.rs"]
mod command_line;
#[path = "manual_page/permissions.rs"]
mod permissions;
#[path = "manual_page/waiting.rs"]
mod waiting;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rekeyfs::kms::Kms;
use rekeyfs::kms::api::{Operation, Shape};
use rekeyfs::kms::caller::Caller;
use rekeyfs::kms::rootkey::RootKeySource;
use rekeyfs::kms::store::Store;
use serde_json::{Value, json};
use support::{keys, make_key, temporary};

const PLAINTEXT: &[u8] = b"a plaintext of no importance";

/// What an operation answers: a response, or the exception's name and message.
fn ask(kms: &Kms, caller: &Caller, operation: &str, request: Value) -> Result<Value, String> {
    support::call(kms, caller, operation, request).map_err(|e| e.to_string())
}

/// Runs an operation that a test needs to have succeeded.
fn must(kms: &Kms, caller: &Caller, operation: &str, request: Value) -> Value {
    ask(kms, caller, operation, request).unwrap_or_else(|fault| panic!("{operation}: {fault}"))
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().expect(member).to_owned()
}

/// A ciphertext that the owner of a key makes.
fn seal(kms: &Kms, owner: &Caller, key: &str) -> String {
    let request = json!({"KeyId": key, "Plaintext": STANDARD.encode(PLAINTEXT)});
    text(&must(kms, owner, "Encrypt", request), "CiphertextBlob")
}

/// What moves a ciphertext from one key to another.
fn moving(blob: &str, from: &str, to: &str) -> Value {
    json!({"CiphertextBlob": blob, "SourceKeyId": from, "DestinationKeyId": to})
}

#[test]
fn every_ciphertext_of_this_kms_can_be_re_encrypted() {
    let dir = temporary();
    let k = keys(dir.path());
    let other = make_key(&k.kms, &k.caller, "SYMMETRIC_DEFAULT");
    let pair = json!({"KeyPairSpec": "ECC_NIST_P256"});
    let plaintext = json!({"Plaintext": STANDARD.encode(PLAINTEXT)});
    for (operation, member, mut request) in [
        ("Encrypt", "CiphertextBlob", plaintext),
        (
            "GenerateDataKey",
            "CiphertextBlob",
            json!({"KeySpec": "AES_256"}),
        ),
        (
            "GenerateDataKeyWithoutPlaintext",
            "CiphertextBlob",
            json!({"NumberOfBytes": 64}),
        ),
        (
            "GenerateDataKeyPair",
            "PrivateKeyCiphertextBlob",
            pair.clone(),
        ),
        (
            "GenerateDataKeyPairWithoutPlaintext",
            "PrivateKeyCiphertextBlob",
            pair,
        ),
    ] {
        request["KeyId"] = json!(k.key_id);
        request["EncryptionContext"] = json!({"a": "b"});
        let mut blob = text(&must(&k.kms, &k.caller, operation, request), member);
        let open = |blob: &str, context: &str| {
            let request = json!({"CiphertextBlob": blob, "EncryptionContext": {"a": context}});
            text(&must(&k.kms, &k.caller, "Decrypt", request), "Plaintext")
        };
        let inside = open(&blob, "b");
        // To another key and context, and what came of that to the first ones.
        for (key, from, to) in [(&other, "b", "c"), (&k.key_id, "c", "b")] {
            let request = json!({
                "CiphertextBlob": blob,
                "SourceEncryptionContext": {"a": from},
                "DestinationKeyId": key,
                "DestinationEncryptionContext": {"a": to},
            });
            let moved = must(&k.kms, &k.caller, "ReEncrypt", request);
            assert!(
                !moved.to_string().contains(&inside),
                "{operation}: plaintext left the KMS"
            );
            blob = text(&moved, "CiphertextBlob");
            assert_eq!(open(&blob, to), inside, "{operation}");
        }
    }
}

#[test]
fn ciphertexts_of_other_libraries_are_invalid() {
    let dir = temporary();
    let k = keys(dir.path());
    let request = json!({"KeyId": k.key_id, "KeySpec": "AES_256"});
    let made = must(&k.kms, &k.caller, "GenerateDataKey", request);
    let data_key = STANDARD
        .decode(text(&made, "CiphertextBlob"))
        .expect("base64");
    // AES-GCM as it comes out of any library: IV, ciphertext and tag, and nothing that names a key.
    let bare = &data_key[data_key.len() - 60..];
    // Messages of the AWS Encryption SDK have the data key inside, behind their own header.
    let message = |head: &[u8]| [head, &[0; 16], &b"aws-kms"[..], &data_key[..], bare].concat();
    let json = format!(
        "{{\"x-amz-key-v2\":\"{}\",\"x-amz-cek-alg\":\"AES/GCM/NoPadding\"}}",
        STANDARD.encode(&data_key)
    );
    for (what, bytes) in [
        (
            "AWS Encryption SDK, version 1",
            message(&[0x01, 0x80, 0x03, 0x78]),
        ),
        (
            "AWS Encryption SDK, version 2",
            message(&[0x02, 0x05, 0x78]),
        ),
        ("an object of S3 client-side encryption", bare.to_vec()),
        ("the instructions of such an object", json.into_bytes()),
        ("the PKCS #7 part alone", data_key[58..].to_vec()),
        ("age", b"age-encryption.org/v1\n-> X25519 ".to_vec()),
        ("OpenSSL", b"Salted__0123456789abcdef".to_vec()),
    ] {
        let blob = STANDARD.encode(bytes);
        let unnamed = json!({"CiphertextBlob": blob, "DestinationKeyId": k.key_id});
        for request in [unnamed, moving(&blob, &k.key_id, &k.key_id)] {
            let answer = ask(&k.kms, &k.caller, "ReEncrypt", request);
            assert_eq!(
                answer,
                Err("InvalidCiphertextException".to_owned()),
                "{what}"
            );
        }
    }
}

#[test]
fn a_ciphertext_finds_its_key_when_nobody_remembers_which_it_was() {
    let dir = temporary();
    let k = keys(dir.path());
    let alias = json!({"AliasName": "alias/forgotten", "TargetKeyId": k.key_id});
    must(&k.kms, &k.caller, "CreateAlias", alias);
    let blob = seal(&k.kms, &k.caller, "alias/forgotten");
    let alias = json!({"AliasName": "alias/forgotten"});
    must(&k.kms, &k.caller, "DeleteAlias", alias);
    let describe = |kms: &Kms| {
        let request = json!({"KeyId": k.key_id});
        let described = must(kms, &k.caller, "DescribeKey", request);
        text(&described["KeyMetadata"], "CurrentKeyMaterialId")
    };
    let first = describe(&k.kms);
    // As often as a key can be rotated on demand.
    for _ in 0..25 {
        let request = json!({"KeyId": k.key_id});
        must(&k.kms, &k.caller, "RotateKeyOnDemand", request);
    }
    let path = dir.path().join("keystore.db");
    let later = Kms::new(Store::open(&path, &RootKeySource::File).expect("open"));
    let request = json!({"CiphertextBlob": blob, "DestinationKeyId": k.key_id});
    let moved = must(&later, &k.caller, "ReEncrypt", request);
    assert_eq!(text(&moved, "SourceKeyId"), k.key_id);
    assert_eq!(text(&moved, "SourceKeyMaterialId"), first);
    assert_eq!(text(&moved, "DestinationKeyMaterialId"), describe(&later));
    assert_ne!(describe(&later), first);
}

#[test]
fn what_listings_call_a_key_is_what_re_encrypt_takes() {
    let dir = temporary();
    let k = keys(dir.path());
    let alias = json!({"AliasName": "alias/listed", "TargetKeyId": k.key_id});
    must(&k.kms, &k.caller, "CreateAlias", alias);
    let one = json!({"KeyId": k.key_id});
    let listed = must(&k.kms, &k.caller, "ListKeys", json!({}));
    let described = must(&k.kms, &k.caller, "DescribeKey", one.clone());
    let aliases = must(&k.kms, &k.caller, "ListAliases", one);
    let blob = seal(&k.kms, &k.caller, &k.key_id);
    for (from, member) in [
        (&listed["Keys"][0], "KeyId"),
        (&listed["Keys"][0], "KeyArn"),
        (&described["KeyMetadata"], "KeyId"),
        (&described["KeyMetadata"], "Arn"),
        (&aliases["Aliases"][0], "AliasName"),
        (&aliases["Aliases"][0], "AliasArn"),
    ] {
        let name = text(from, member);
        let moved = must(&k.kms, &k.caller, "ReEncrypt", moving(&blob, &name, &name));
        assert_eq!(text(&moved, "SourceKeyId"), k.key_id, "{name}");
        assert_eq!(text(&moved, "KeyId"), k.key_id, "{name}");
    }
}

#[test]
fn a_destination_is_good_when_describe_key_says_encrypt_decrypt() {
    let dir = temporary();
    let k = keys(dir.path());
    let blob = seal(&k.kms, &k.caller, &k.key_id);
    for (spec, usage) in [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ("RSA_2048", "ENCRYPT_DECRYPT"),
        ("RSA_2048", "SIGN_VERIFY"),
        ("SM2", "ENCRYPT_DECRYPT"),
        ("SM2", "SIGN_VERIFY"),
        ("SM2", "KEY_AGREEMENT"),
        ("ECC_NIST_P256", "SIGN_VERIFY"),
        ("HMAC_256", "GENERATE_VERIFY_MAC"),
    ] {
        let request = json!({"KeySpec": spec, "KeyUsage": usage});
        let key = must(&k.kms, &k.caller, "CreateKey", request);
        let arn = text(&key["KeyMetadata"], "Arn");
        let described = must(&k.kms, &k.caller, "DescribeKey", json!({"KeyId": arn}));
        let described = &described["KeyMetadata"];
        assert_eq!(text(described, "KeyUsage"), usage);
        // The algorithms that DescribeKey lists are those that the key can be used with.
        let algorithms = described["EncryptionAlgorithms"].as_array();
        assert_eq!(algorithms.is_some(), usage == "ENCRYPT_DECRYPT", "{spec}");
        let any = vec![json!("RSAES_OAEP_SHA_256")];
        for algorithm in algorithms.unwrap_or(&any) {
            let mut request = moving(&blob, &k.key_id, &arn);
            request["DestinationEncryptionAlgorithm"] = algorithm.clone();
            match ask(&k.kms, &k.caller, "ReEncrypt", request) {
                Ok(moved) => {
                    assert_eq!(usage, "ENCRYPT_DECRYPT");
                    assert_eq!(moved["DestinationEncryptionAlgorithm"], *algorithm);
                }
                Err(fault) => assert_eq!(
                    fault,
                    format!(
                        "InvalidKeyUsageException: {arn} key usage is {usage} which is not valid \
                         for ReEncryptTo."
                    )
                ),
            }
        }
    }
}

#[test]
fn the_parameters_and_algorithms_are_those_of_the_page() {
    let operation = Operation::find("ReEncrypt").expect("an operation");
    let names: Vec<_> = operation.input.iter().map(|member| member.name).collect();
    assert_eq!(
        names,
        [
            "CiphertextBlob",
            "SourceEncryptionContext",
            "SourceKeyId",
            "DestinationKeyId",
            "DestinationEncryptionContext",
            "SourceEncryptionAlgorithm",
            "DestinationEncryptionAlgorithm",
            "GrantTokens",
            "DryRun",
            // Newer than the page.
            "DryRunModifiers",
        ]
    );
    for member in operation.input {
        // A dry run may do without a ciphertext; that is newer than the page, too.
        let required = member.name == "DestinationKeyId";
        assert_eq!(member.required, required, "{}", member.name);
        if member.name.ends_with("EncryptionAlgorithm") {
            let Shape::Choice(names) = member.shape else {
                panic!("{}: {:?}", member.name, member.shape);
            };
            assert_eq!(
                names,
                [
                    "SYMMETRIC_DEFAULT",
                    "RSAES_OAEP_SHA_1",
                    "RSAES_OAEP_SHA_256",
                    "SM2PKE"
                ]
            );
        }
    }
}
