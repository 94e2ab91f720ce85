//! The KMS through its API: ReEncrypt's corners, key states, aliases, rotation, and several
//! processes on one keystore.

mod support;

use rekeyfs::kms::Kms;
use rekeyfs::kms::rootkey::RootKeySource;
use rekeyfs::kms::store::Store;
use serde_json::{Value, json};
use support::{Keys, keys, make_key, temporary};

impl Keys {
    fn call(&self, operation: &str, request: Value) -> Result<Value, String> {
        support::call(&self.kms, &self.caller, operation, request).map_err(|e| e.to_string())
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().expect(member).to_owned()
}

#[test]
fn re_encrypt_answers_as_the_real_service() {
    let dir = temporary();
    let k = keys(dir.path());
    let other = make_key(&k.kms, &k.caller, "SYMMETRIC_DEFAULT");
    let rsa = make_key(&k.kms, &k.caller, "RSA_2048");
    let sealed = k
        .call(
            "Encrypt",
            json!({"KeyId": k.key_id, "Plaintext": "aGk=", "EncryptionContext": {"a": "bc"}}),
        )
        .expect("encrypt");
    let blob = text(&sealed, "CiphertextBlob");
    let with = |more: Value| {
        let mut request = json!({"CiphertextBlob": blob, "SourceEncryptionContext": {"a": "bc"}, "DestinationKeyId": other});
        for (name, value) in more.as_object().expect("members") {
            request[name] = value.clone();
        }
        k.call("ReEncrypt", request)
    };
    let response = with(json!({})).expect("re-encrypt");
    let members: Vec<_> = response.as_object().expect("members").keys().collect();
    assert_eq!(
        members,
        [
            "CiphertextBlob",
            "SourceKeyId",
            "KeyId",
            "SourceEncryptionAlgorithm",
            "DestinationEncryptionAlgorithm",
            "SourceKeyMaterialId",
            "DestinationKeyMaterialId"
        ]
    );
    assert_eq!(
        (text(&response, "SourceKeyId"), text(&response, "KeyId")),
        (k.key_id.clone(), other.clone())
    );
    let incorrect = "IncorrectKeyException: The key ID in the request does not identify a CMK that can perform this operation.";
    for (more, expected) in [
        (
            json!({"SourceEncryptionContext": {"ab": "c"}}),
            "InvalidCiphertextException",
        ),
        (
            json!({"SourceEncryptionContext": {}}),
            "InvalidCiphertextException",
        ),
        (json!({"SourceKeyId": other}), incorrect),
        (
            json!({"SourceKeyId": "1234abcd-12ab-34cd-56ef-1234567890ab"}),
            "NotFoundException: Key 'arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab' does not exist",
        ),
        (
            json!({"SourceKeyId": "nonsense"}),
            "NotFoundException: Invalid keyId 'nonsense'",
        ),
        (
            json!({"DestinationKeyId": "alias/none"}),
            "NotFoundException: Alias arn:aws:kms:us-east-1:000000000000:alias/none is not found.",
        ),
        (
            json!({"DestinationKeyId": "arn:aws:kms:eu-west-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"}),
            "NotFoundException: Invalid arn eu-west-1",
        ),
        (
            json!({"DestinationKeyId": rsa}),
            "InvalidKeyUsageException: Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.",
        ),
        (
            json!({"DestinationKeyId": rsa, "DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "DestinationEncryptionContext": {"a": "b"}}),
            "ValidationException: EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.",
        ),
        (
            json!({"SourceEncryptionAlgorithm": "RSAES_OAEP_SHA_1"}),
            "ValidationException: KeyId must not be null",
        ),
        (json!({"SourceKeyId": rsa}), incorrect),
        (
            json!({"CiphertextBlob": "AAAA"}),
            "InvalidCiphertextException",
        ),
        (
            json!({"DryRun": true}),
            "DryRunOperationException: The request would have succeeded, but the DryRun option is set.",
        ),
        (
            json!({"DryRun": true, "CiphertextBlob": "AAAA"}),
            "InvalidCiphertextException",
        ),
    ] {
        assert_eq!(with(more.clone()).expect_err("refused"), expected, "{more}");
    }
    let ignored = json!({"SourceKeyId": k.key_id, "DestinationKeyId": other, "DryRun": true, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]});
    assert!(
        k.call("ReEncrypt", ignored)
            .expect_err("dry")
            .starts_with("DryRunOperation")
    );
    let large = k
        .call(
            "Encrypt",
            json!({"KeyId": k.key_id, "Plaintext": "A".repeat(400)}),
        )
        .expect("encrypt");
    let request = json!({"CiphertextBlob": large["CiphertextBlob"], "DestinationKeyId": rsa, "DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_256"});
    assert_eq!(
        k.call("ReEncrypt", request).expect_err("too large"),
        "ValidationException: Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes."
    );
}

#[test]
fn old_material_keeps_decrypting_and_re_encrypt_moves_to_the_new() {
    let dir = temporary();
    let k = keys(dir.path());
    let sealed = k
        .call("Encrypt", json!({"KeyId": k.key_id, "Plaintext": "aGk="}))
        .expect("encrypt");
    let before = k
        .call(
            "Decrypt",
            json!({"CiphertextBlob": sealed["CiphertextBlob"]}),
        )
        .expect("decrypt");
    k.call("RotateKeyOnDemand", json!({"KeyId": k.key_id}))
        .expect("rotate");
    let after = k
        .call(
            "Decrypt",
            json!({"CiphertextBlob": sealed["CiphertextBlob"]}),
        )
        .expect("decrypt");
    assert_eq!(before, after);
    let moved = k
        .call(
            "ReEncrypt",
            json!({"CiphertextBlob": sealed["CiphertextBlob"], "DestinationKeyId": k.key_id}),
        )
        .expect("re-encrypt");
    assert_eq!(moved["SourceKeyMaterialId"], before["KeyMaterialId"]);
    assert_ne!(moved["DestinationKeyMaterialId"], before["KeyMaterialId"]);
    let described = k
        .call("DescribeKey", json!({"KeyId": k.key_id}))
        .expect("describe");
    assert_eq!(
        described["KeyMetadata"]["CurrentKeyMaterialId"],
        moved["DestinationKeyMaterialId"]
    );
}

#[test]
fn key_states_allow_what_the_table_says() {
    let dir = temporary();
    let k = keys(dir.path());
    let arn = k.key_id.clone();
    let usable = ["Encrypt", "GenerateDataKey", "RotateKeyOnDemand"];
    let request = |operation: &str| match operation {
        "Encrypt" => json!({"KeyId": arn, "Plaintext": "aGk="}),
        "GenerateDataKey" => json!({"KeyId": arn, "KeySpec": "AES_256"}),
        "CreateAlias" => json!({"AliasName": "alias/x", "TargetKeyId": arn}),
        _ => json!({"KeyId": arn}),
    };
    k.call("DisableKey", request("DisableKey"))
        .expect("disable");
    for operation in usable {
        assert_eq!(
            k.call(operation, request(operation)).expect_err(operation),
            format!("DisabledException: {arn} is disabled.")
        );
    }
    assert_eq!(
        k.call("CancelKeyDeletion", request(""))
            .expect_err("not pending"),
        format!("KMSInvalidStateException: {arn} is not pending deletion.")
    );
    k.call("DescribeKey", request("")).expect("describe");
    let scheduled = k
        .call(
            "ScheduleKeyDeletion",
            json!({"KeyId": arn, "PendingWindowInDays": 7}),
        )
        .expect("schedule");
    assert_eq!(
        (
            scheduled["KeyState"].as_str(),
            scheduled["PendingWindowInDays"].as_i64()
        ),
        (Some("PendingDeletion"), Some(7))
    );
    for operation in usable.into_iter().chain([
        "EnableKey",
        "DisableKey",
        "ScheduleKeyDeletion",
        "CreateAlias",
    ]) {
        assert_eq!(
            k.call(operation, request(operation)).expect_err(operation),
            format!("KMSInvalidStateException: {arn} is pending deletion."),
            "{operation}"
        );
    }
    k.call("CancelKeyDeletion", request("")).expect("cancel");
    let described = k.call("DescribeKey", request("")).expect("describe");
    assert_eq!(described["KeyMetadata"]["KeyState"], "Disabled");
    k.call("EnableKey", request("")).expect("enable");
    k.call("Encrypt", request("Encrypt")).expect("encrypt");
}

#[test]
fn aliases_are_made_moved_listed_and_deleted() {
    let dir = temporary();
    let k = keys(dir.path());
    let other = make_key(&k.kms, &k.caller, "SYMMETRIC_DEFAULT");
    let id = |arn: &str| arn.rsplit('/').next().expect("an id").to_owned();
    k.call(
        "CreateAlias",
        json!({"AliasName": "alias/a", "TargetKeyId": id(&k.key_id)}),
    )
    .expect("create");
    assert!(
        k.call(
            "CreateAlias",
            json!({"AliasName": "alias/a", "TargetKeyId": other})
        )
        .expect_err("taken")
        .starts_with("AlreadyExistsException")
    );
    assert!(
        k.call(
            "CreateAlias",
            json!({"AliasName": "a", "TargetKeyId": other})
        )
        .expect_err("prefix")
        .contains("must start with the prefix \"alias/\"")
    );
    assert!(
        k.call(
            "CreateAlias",
            json!({"AliasName": "alias/aws/x", "TargetKeyId": other})
        )
        .expect_err("reserved")
        .starts_with("InvalidAliasName")
    );
    assert!(
        k.call("EnableKey", json!({"KeyId": "alias/a"}))
            .expect_err("no alias")
            .starts_with("InvalidArnException: Key Aliases are not supported")
    );
    k.call(
        "UpdateAlias",
        json!({"AliasName": "alias/a", "TargetKeyId": other}),
    )
    .expect("update");
    let described = k
        .call("DescribeKey", json!({"KeyId": "alias/a"}))
        .expect("describe");
    assert_eq!(described["KeyMetadata"]["Arn"], other.as_str());
    let listed = k
        .call("ListAliases", json!({"KeyId": other}))
        .expect("list");
    assert_eq!(
        listed["Aliases"][0]["AliasArn"],
        "arn:aws:kms:us-east-1:000000000000:alias/a"
    );
    assert_eq!(listed["Truncated"], false);
    let first = k.call("ListKeys", json!({"Limit": 1})).expect("list");
    assert_eq!(first["Truncated"], true);
    let second = k
        .call(
            "ListKeys",
            json!({"Limit": 1, "Marker": first["NextMarker"]}),
        )
        .expect("list");
    assert_ne!(first["Keys"], second["Keys"]);
    k.call("DeleteAlias", json!({"AliasName": "alias/a"}))
        .expect("delete");
    assert!(
        k.call("DeleteAlias", json!({"AliasName": "alias/a"}))
            .expect_err("gone")
            .starts_with("NotFoundException")
    );
}

#[test]
fn two_openings_of_a_keystore_see_each_other_at_once() {
    let dir = temporary();
    let k = keys(dir.path());
    let second =
        Kms::new(Store::open(&dir.path().join("keystore.db"), &RootKeySource::File).expect("open"));
    let describe = |kms: &Kms| {
        support::call(kms, &k.caller, "DescribeKey", json!({"KeyId": k.key_id})).expect("describe")
    };
    let counter = k.kms.store().change_counter().expect("counter");
    assert_eq!(describe(&second)["KeyMetadata"]["Enabled"], true);
    support::call(&second, &k.caller, "DisableKey", json!({"KeyId": k.key_id})).expect("disable");
    assert_eq!(describe(&k.kms)["KeyMetadata"]["Enabled"], false);
    assert_ne!(k.kms.store().change_counter().expect("counter"), counter);
}

#[test]
fn many_first_uses_at_once_make_one_keystore() {
    let dir = temporary();
    let path = dir.path().join("keystore.db");
    let children: Vec<_> = (0..8)
        .map(|_| {
            std::process::Command::new(env!("CARGO_BIN_EXE_rekeyfs"))
                .arg("--keystore")
                .arg(&path)
                .args(["kms", "create-key"])
                .stdout(std::process::Stdio::null())
                .spawn()
                .expect("rekeyfs")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("wait").success());
    }
    let kms = Kms::new(Store::open(&path, &RootKeySource::File).expect("open"));
    let caller = rekeyfs::kms::caller::Caller::root("000000000000", "us-east-1");
    let listed = support::call(&kms, &caller, "ListKeys", json!({})).expect("list");
    assert_eq!(listed["Keys"].as_array().map(Vec::len), Some(8));
}

#[test]
fn garbage_requests_are_refused_without_a_panic() {
    let dir = temporary();
    let k = keys(dir.path());
    for operation in rekeyfs::kms::api::OPERATIONS {
        for request in [
            json!(null),
            json!([]),
            json!({"Bogus": 1}),
            json!({"KeyId": 7}),
            json!({"KeyId": ["a"]}),
            json!({"CiphertextBlob": "!"}),
        ] {
            if let Err(e) = k.kms.call(&k.caller, operation, request) {
                let name = e.kind().name();
                assert!(
                    matches!(name, "ValidationException" | "SerializationException"),
                    "{}: {e}",
                    operation.name
                );
            }
        }
    }
}
