//! Every released format of the keystore stays readable: what an older program made is opened,
//! turned into today's format, and nothing of it is lost.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rekeyfs::kms::Kms;
use rekeyfs::kms::caller::Caller;
use rekeyfs::kms::rootkey::RootKeySource;
use rekeyfs::kms::store::Store;
use serde_json::{Value, json};
use support::temporary;

/// Copies a keystore of `tests/vectors` to where it may be changed.
fn copy(version: &str, to: &Path) -> std::path::PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    for name in ["keystore.db", "keystore.db.key"] {
        let target = to.join(name);
        std::fs::copy(from.join(version).join(name), &target).expect("copy");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&target, private).expect("chmod");
    }
    to.join("keystore.db")
}

struct Opened {
    kms: Kms,
    caller: Caller,
}

impl Opened {
    fn open(path: &Path) -> Self {
        Self {
            kms: Kms::new(Store::open(path, &RootKeySource::File).expect("open")),
            caller: Caller::root("000000000000", "us-east-1"),
        }
    }

    fn call(&self, operation: &str, request: Value) -> Value {
        support::call(&self.kms, &self.caller, operation, request)
            .unwrap_or_else(|e| panic!("{operation}: {e}"))
    }
}

/// What version 0.1.0 of the program left: a symmetric key that was rotated twice, an RSA key, a
/// disabled key and one that is pending deletion, and a ciphertext of each of the first two.
#[test]
fn a_keystore_of_version_1_is_taken_over_with_everything_in_it() {
    let dir = temporary();
    let path = copy("keystore-1", dir.path());
    // Twice: the second opening finds it turned already.
    for _ in 0..2 {
        let keystore = Opened::open(&path);
        for (blob, key, algorithm, context) in [
            (
                include_str!("vectors/keystore-1/first.b64"),
                "alias/rotated",
                "SYMMETRIC_DEFAULT",
                json!({"a": "b"}),
            ),
            (
                include_str!("vectors/keystore-1/rsa.b64"),
                "alias/rsa",
                "RSAES_OAEP_SHA_256",
                json!({}),
            ),
        ] {
            let opened = keystore.call(
                "Decrypt",
                json!({
                    "CiphertextBlob": blob.trim(),
                    "KeyId": key,
                    "EncryptionAlgorithm": algorithm,
                    "EncryptionContext": context,
                }),
            );
            // "first generation"
            assert_eq!(opened["Plaintext"], "Zmlyc3QgZ2VuZXJhdGlvbg==", "{key}");
        }
        let describe = |alias: &str| {
            keystore.call("DescribeKey", json!({"KeyId": alias}))["KeyMetadata"].clone()
        };
        for (alias, state) in [
            ("alias/rotated", "Enabled"),
            ("alias/rsa", "Enabled"),
            ("alias/disabled", "Disabled"),
            ("alias/deleted", "PendingDeletion"),
        ] {
            assert_eq!(describe(alias)["KeyState"], state, "{alias}");
        }
        let rotated = describe("alias/rotated");
        assert_eq!(rotated["Description"], "symmetric, rotated twice");
        let rotations = keystore.call(
            "ListKeyRotations",
            json!({"KeyId": rotated["KeyId"], "IncludeKeyMaterial": "ALL_KEY_MATERIAL"}),
        );
        let rotations = rotations["Rotations"].as_array().expect("a list");
        let states: Vec<_> = rotations
            .iter()
            .map(|rotation| rotation["KeyMaterialState"].as_str().expect("a state"))
            .collect();
        assert_eq!(states, ["NON_CURRENT", "NON_CURRENT", "CURRENT"]);
        assert!(rotations[0].get("RotationDate").is_none());
        assert_eq!(rotations[2]["RotationType"], "ON_DEMAND");
        assert_eq!(
            rotations[2]["KeyMaterialId"],
            rotated["CurrentKeyMaterialId"]
        );
        // Nobody had a policy: everybody has the default one now.
        let policy = keystore.call("GetKeyPolicy", json!({"KeyId": rotated["KeyId"]}));
        let policy = policy["Policy"].as_str().expect("a policy");
        assert!(policy.contains("arn:aws:iam::000000000000:root"));
    }
    let keystore = Opened::open(&path);
    let made = keystore.call("CreateKey", json!({}));
    assert_eq!(made["KeyMetadata"]["KeyState"], "Enabled");
}
