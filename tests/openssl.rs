//! RSA and SM2 ciphertexts are the standard's: openssl's are accepted by ReEncrypt, and openssl
//! opens ours.

mod support;

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rekeyfs::kms::algorithm::{generate, load, seal};
use rekeyfs::kms::blob::MadeBy;
use rekeyfs::kms::context::EncryptionContext;
use rekeyfs::kms::spec::{EncryptionAlgorithm, KeySpec};
use serde_json::{Value, json};
use support::{call, keys, make_key, temporary};

fn bytes(response: &Value, member: &str) -> Vec<u8> {
    let text = response[member].as_str().expect(member);
    STANDARD.decode(text).expect("base64")
}

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .output()
        .expect("openssl");
    assert!(
        output.status.success(),
        "{arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn options(algorithm: EncryptionAlgorithm) -> &'static str {
    match algorithm {
        EncryptionAlgorithm::RSAES_OAEP_SHA_1 => {
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 -pkeyopt rsa_mgf1_md:sha1"
        }
        EncryptionAlgorithm::RSAES_OAEP_SHA_256 => {
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256"
        }
        EncryptionAlgorithm::SM2PKE | EncryptionAlgorithm::SYMMETRIC_DEFAULT => "",
    }
}

const SPECS: [KeySpec; 4] = [
    KeySpec::RSA_2048,
    KeySpec::RSA_3072,
    KeySpec::RSA_4096,
    KeySpec::SM2,
];

#[test]
fn ciphertexts_made_by_openssl_are_re_encrypted() {
    let dir = temporary();
    let keys = keys(dir.path());
    for spec in SPECS {
        let key_id = make_key(&keys.kms, &keys.caller, spec.name());
        let answer =
            |operation: &str, request: Value| call(&keys.kms, &keys.caller, operation, request);
        let public = answer("GetPublicKey", json!({"KeyId": key_id})).expect("public key");
        std::fs::write(dir.path().join("pub.der"), bytes(&public, "PublicKey")).expect("write");
        for algorithm in spec.algorithms() {
            for size in [1, 32, algorithm.plaintext_limit(spec)] {
                let plain = vec![0x33; size];
                std::fs::write(dir.path().join("pt"), &plain).expect("write");
                openssl(
                    dir.path(),
                    &format!(
                        "pkeyutl -encrypt -pubin -keyform DER -inkey pub.der -in pt -out ct {}",
                        options(*algorithm)
                    ),
                );
                let ciphertext = std::fs::read(dir.path().join("ct")).expect("read");
                let request = json!({
                    "CiphertextBlob": STANDARD.encode(ciphertext),
                    "SourceKeyId": key_id,
                    "SourceEncryptionAlgorithm": algorithm.name(),
                    "DestinationKeyId": keys.key_id,
                });
                let response = answer("ReEncrypt", request)
                    .unwrap_or_else(|e| panic!("{algorithm:?}, {size} bytes: {e}"));
                assert!(response.get("SourceKeyMaterialId").is_none());
                let request = json!({"CiphertextBlob": response["CiphertextBlob"]});
                let opened = answer("Decrypt", request).expect("decrypt");
                assert_eq!(bytes(&opened, "Plaintext"), plain);
            }
        }
    }
}

#[test]
fn openssl_opens_what_is_sealed_here() {
    use rsa::pkcs8::DecodePrivateKey;
    let dir = temporary();
    for spec in SPECS {
        let kept = generate(spec);
        let private = if spec == KeySpec::SM2 {
            use sm2::pkcs8::EncodePrivateKey;
            let key = sm2::SecretKey::from_slice(kept.expose()).expect("a scalar");
            key.to_pkcs8_der().expect("PKCS#8").as_bytes().to_vec()
        } else {
            rsa::PrivateKey::from_pkcs8_der(kept.expose()).expect("PKCS#8");
            kept.expose().to_vec()
        };
        std::fs::write(dir.path().join("key.der"), private).expect("write");
        let material = load(spec, "1234abcd-12ab-34cd-56ef-1234567890ab", &kept).expect("material");
        for algorithm in spec.algorithms() {
            // DER integers have a leading zero half of the time: several tries see both.
            for round in 0..8_u8 {
                let plain = [round; 32];
                let none = EncryptionContext::default();
                let ciphertext =
                    seal(&material, *algorithm, &none, MadeBy::Encrypt, &plain).expect("seal");
                std::fs::write(dir.path().join("ct"), ciphertext).expect("write");
                openssl(
                    dir.path(),
                    &format!(
                        "pkeyutl -decrypt -keyform DER -inkey key.der -in ct -out pt {}",
                        options(*algorithm)
                    ),
                );
                assert_eq!(
                    std::fs::read(dir.path().join("pt")).expect("read"),
                    plain,
                    "{algorithm:?}"
                );
            }
        }
    }
}
