//! What the lines say.

use rekeyfs::kms::caller::Source;
use serde_json::{Value, json};

use crate::accounts::{OTHER, OWNER, REGION, World, allow, root, text, to};
use crate::log::{events, only, recorded, recorded_by};
use crate::requests::{NO_KEY, Names, PLAINTEXT, ROWS, has, with};

const REQUEST_ID: &str = "03769fd4-acf9-4b33-adf3-2ab8ca73aadf";
const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";

fn id(arn: &str) -> &str {
    arn.rsplit('/').next().expect("an ID")
}

/// Takes out what nobody can foresee, once it has the right form.
fn normal(mut event: Value) -> Value {
    let time = event["eventTime"].take();
    let form: String = time
        .as_str()
        .expect("a time")
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(form, "0000-00-00T00:00:00Z");
    for member in ["eventID", "requestID"] {
        let given = event[member].as_str().unwrap_or_default();
        assert!(uuid::Uuid::try_parse(given).is_ok(), "{member}: {given}");
    }
    event["eventID"].take();
    event
}

#[test]
fn a_re_encrypt_has_cloudtrails_form_member_for_member() {
    let world = recorded(false);
    let alice = world.user(OWNER, "Alice");
    world.let_user(&alice, &[allow("kms:ReEncrypt*")]);
    let [source, target] = [(); 2].map(|()| world.key(json!({})));
    let from = json!({"Project": "Alpha", "Department": "Engineering"});
    let request = json!({
        "CiphertextBlob": world.seal(&source, &from),
        "SourceEncryptionContext": from,
        "DestinationKeyId": id(&target),
        "DestinationEncryptionContext": {"Level": "3A"},
    });
    let caller = alice.clone().from_source(Source {
        address: Some([192, 0, 2, 0].into()),
        user_agent: "AWS Internal".to_owned(),
        access_key: Some(ACCESS_KEY.to_owned()),
        secure: true,
        request_id: Some(REQUEST_ID.to_owned()),
        object: None,
    });
    let (moved, recorded) = recorded_by(&world, || world.must(&caller, "ReEncrypt", request));
    let event = only(recorded);
    let user = world.kms.get_user(&root(OWNER), "Alice").expect("there");
    let expected = json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": user.id,
            "arn": "arn:aws:iam::111122223333:user/Alice",
            "accountId": OWNER,
            "accessKeyId": ACCESS_KEY,
            "userName": "Alice",
        },
        "eventTime": null,
        "eventSource": "kms.amazonaws.com",
        "eventName": "ReEncrypt",
        "awsRegion": REGION,
        "sourceIPAddress": "192.0.2.0",
        "userAgent": "AWS Internal",
        "requestParameters": {
            "sourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "sourceEncryptionContext": {"Project": "Alpha", "Department": "Engineering"},
            "destinationKeyId": id(&target),
            "destinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "destinationEncryptionContext": {"Level": "3A"},
        },
        "responseElements": null,
        "additionalEventData": {
            "destinationKeyMaterialId": moved["DestinationKeyMaterialId"],
            "sourceKeyMaterialId": moved["SourceKeyMaterialId"],
        },
        "requestID": REQUEST_ID,
        "eventID": null,
        "readOnly": true,
        "resources": [
            {"accountId": OWNER, "type": "AWS::KMS::Key", "ARN": source},
            {"accountId": OWNER, "type": "AWS::KMS::Key", "ARN": target},
        ],
        "eventType": "AwsApiCall",
        // Of newer events than the Developer Guide's example.
        "managementEvent": true,
        "recipientAccountId": OWNER,
        "eventCategory": "Management",
    });
    let order = |event: &Value| -> Vec<String> {
        let members = event.as_object().expect("members");
        members.keys().cloned().collect()
    };
    assert_eq!(order(&event), order(&expected));
    assert_eq!(normal(event), expected);
}

#[test]
fn keys_are_named_as_the_caller_named_them() {
    let world = recorded(false);
    let key = world.key(json!({}));
    let request = json!({"AliasName": "alias/key", "TargetKeyId": key});
    world.must(&root(OWNER), "CreateAlias", request);
    let ciphertext = world.seal(&key, &json!({}));
    for name in [key.as_str(), id(&key), "alias/key"] {
        let request = json!({"KeyId": name, "CiphertextBlob": ciphertext});
        let (_, recorded) = recorded_by(&world, || world.must(&root(OWNER), "Decrypt", request));
        let event = only(recorded);
        assert_eq!(event["requestParameters"]["keyId"], json!(name));
        assert_eq!(event["resources"][0]["ARN"], json!(key));
        let request = json!({
            "SourceKeyId": name,
            "CiphertextBlob": ciphertext,
            "DestinationKeyId": name,
        });
        let (_, recorded) = recorded_by(&world, || world.must(&root(OWNER), "ReEncrypt", request));
        let event = only(recorded);
        assert_eq!(event["requestParameters"]["sourceKeyId"], json!(name));
        assert_eq!(event["requestParameters"]["destinationKeyId"], json!(name));
    }
}

#[test]
fn failures_are_recorded_with_their_code_and_message() {
    let world = recorded(false);
    let bob = world.user(OWNER, "Bob");
    let owner = root(OWNER);
    let [key, other, disabled] = [(); 3].map(|()| world.key(json!({})));
    world.must(&owner, "DisableKey", json!({"KeyId": disabled}));
    let ciphertext = world.seal(&key, &json!({"a": "b"}));
    let decrypt = |more: Value| with(json!({"CiphertextBlob": ciphertext}), &more);
    let encrypt = |key: &str| json!({"KeyId": key, "Plaintext": PLAINTEXT});
    let token = json!({"GrantTokens": ["bad"]});
    #[rustfmt::skip]
    let table = [
        (&owner, "Decrypt",     decrypt(json!({"KeyId": other})),      "IncorrectKeyException"),
        (&owner, "Decrypt",     decrypt(json!({})),                    "InvalidCiphertextException"),
        (&owner, "Encrypt",     encrypt(NO_KEY),                       "NotFoundException"),
        (&owner, "DescribeKey", json!({"KeyId": "alias/none"}),        "NotFoundException"),
        (&owner, "Encrypt",     encrypt(&disabled),                    "DisabledException"),
        (&owner, "EnableKey",   json!({"KeyId": "alias/none"}),        "InvalidArnException"),
        (&owner, "GetPublicKey", json!({"KeyId": key}),                "UnsupportedOperationException"),
        (&owner, "Encrypt",     with(encrypt(&key), &token),           "InvalidGrantTokenException"),
        (&owner, "Encrypt",     json!({"KeyId": key, "Plaintext": ""}), "ValidationException"),
        (&owner, "Encrypt",     json!({"Bogus": 1}),                   "SerializationException"),
        (&owner, "CancelKeyDeletion", json!({"KeyId": key}),           "KMSInvalidStateException"),
        // CloudTrail's name of this one is not the API's.
        (&bob,   "Encrypt",     encrypt(&key),                         "AccessDenied"),
        (&bob,   "CreateKey",   json!({}),                             "AccessDenied"),
        (&bob,   "Decrypt",     decrypt(json!({})),                    "AccessDenied"),
    ];
    for (caller, operation, request, code) in table {
        let (answer, recorded) = recorded_by(&world, || world.call(caller, operation, request));
        let (name, message) = answer.expect_err("refused");
        let event = normal(only(recorded));
        assert_eq!(event["eventName"], operation);
        assert_eq!(event["errorCode"], code, "{operation}: {name}");
        assert_eq!(
            name.strip_suffix("Exception"),
            Some(code.trim_end_matches("Exception"))
        );
        assert_eq!(event["errorMessage"].as_str().map(str::to_owned), message);
        assert_eq!(event.get("errorMessage").is_some(), message.is_some());
        assert!(event["responseElements"].is_null());
        assert_eq!(event["userIdentity"]["arn"], json!(caller.principal));
        assert_eq!(event["recipientAccountId"], OWNER);
        let found = event.get("resources").is_some();
        assert!(!(found && code == "NotFoundException"), "{event}");
    }
}

#[test]
fn dry_runs_are_recorded_as_what_they_are() {
    let world = recorded(false);
    let key = world.key(json!({}));
    let owner = root(OWNER);
    let ciphertext = world.seal(&key, &json!({}));
    let grant = world.grant(&key, &owner.principal, &["Encrypt"], &json!({}));
    let names = Names {
        key: &key,
        ciphertext: &ciphertext,
        other: &key,
        other_ciphertext: &ciphertext,
        grant_id: &grant.id,
        principal: &owner.principal,
        alias: "alias/owners",
    };
    for row in ROWS.iter().filter(|row| has(row.operation(), "DryRun")) {
        let request = with((row.request)(&names), &json!({"DryRun": true}));
        let run = || world.call(&owner, row.operation, request);
        let (answer, recorded) = recorded_by(&world, run);
        let (name, message) = answer.expect_err("a dry run");
        assert_eq!(name, "DryRunOperationException", "{}", row.operation);
        let event = only(recorded);
        assert_eq!(event["eventName"], row.operation);
        assert_eq!(event["errorCode"], name);
        assert_eq!(event["errorMessage"], json!(message));
        assert_eq!(event["requestParameters"]["dryRun"], true, "{event}");
    }
    let request = json!({
        "SourceKeyId": key,
        "DestinationKeyId": key,
        "DryRun": true,
        "DryRunModifiers": ["IGNORE_CIPHERTEXT"],
    });
    let (_, recorded) = recorded_by(&world, || world.call(&owner, "ReEncrypt", request));
    let event = only(recorded);
    let modifiers = &event["requestParameters"]["dryRunModifiers"];
    assert_eq!(*modifiers, json!(["IGNORE_CIPHERTEXT"]));
}

#[test]
fn a_call_across_accounts_is_recorded_in_both() {
    let world = recorded(false);
    let eve = world.user(OTHER, "Eve");
    world.let_user(&eve, &[allow("kms:*")]);
    let key = world.key(json!({}));
    world.let_key(&key, &[to(OTHER, allow("kms:*"))]);
    let own = world.key_of(&root(OTHER), json!({}));
    let request = json!({
        "CiphertextBlob": world.seal(&key, &json!({})),
        "DestinationKeyId": own,
    });
    let (_, recorded) = recorded_by(&world, || world.must(&eve, "ReEncrypt", request));
    let [callers, owners] = recorded.as_slice() else {
        panic!("two events, not {recorded:?}");
    };
    assert_eq!(callers["recipientAccountId"], OTHER);
    assert_eq!(owners["recipientAccountId"], OWNER);
    assert_ne!(callers["eventID"], owners["eventID"]);
    let shared = text(callers, "sharedEventID");
    assert!(uuid::Uuid::try_parse(&shared).is_ok());
    let resources = json!([
        {"accountId": OWNER, "type": "AWS::KMS::Key", "ARN": key},
        {"accountId": OTHER, "type": "AWS::KMS::Key", "ARN": own},
    ]);
    assert_eq!(callers["resources"], resources);
    // Apart from the account and the id they are one.
    let rest = |event: &Value| {
        let ids = json!({"recipientAccountId": null, "eventID": null});
        with(event.clone(), &ids)
    };
    assert_eq!(rest(callers), rest(owners));

    let request = json!({"KeyId": own, "Plaintext": PLAINTEXT});
    let (_, recorded) = recorded_by(&world, || world.must(&eve, "Encrypt", request));
    assert_eq!(only(recorded).get("sharedEventID"), None);
}

#[test]
fn contexts_stand_in_clear() {
    let world = recorded(false);
    let key = world.key(json!({}));
    let owner = root(OWNER);
    let context = json!({"Classification": "for everybody to read", "Ä": "ö\n\""});
    let ciphertext = world.seal(&key, &context);
    for (operation, request) in [
        ("Encrypt", json!({"KeyId": key, "Plaintext": PLAINTEXT})),
        ("Decrypt", json!({"CiphertextBlob": ciphertext})),
        (
            "GenerateDataKey",
            json!({"KeyId": key, "KeySpec": "AES_256"}),
        ),
        (
            "GenerateDataKeyPair",
            json!({"KeyId": key, "KeyPairSpec": "ECC_NIST_P256"}),
        ),
    ] {
        let request = with(request, &json!({"EncryptionContext": context}));
        let (_, recorded) = recorded_by(&world, || world.must(&owner, operation, request));
        let event = only(recorded);
        let shown = &event["requestParameters"]["encryptionContext"];
        assert_eq!(*shown, context, "{operation}");
    }
    let request = json!({
        "KeyId": key,
        "GranteePrincipal": owner.principal,
        "Operations": ["Decrypt"],
        "Constraints": {"EncryptionContextSubset": context},
    });
    let (_, recorded) = recorded_by(&world, || world.must(&owner, "CreateGrant", request));
    let event = only(recorded);
    let constraints = &event["requestParameters"]["constraints"];
    assert_eq!(constraints["encryptionContextSubset"], context);
    assert_eq!(event["requestParameters"]["operations"], json!(["Decrypt"]));
}

#[test]
fn what_changes_something_is_not_read_only() {
    let world = recorded(false);
    let owner = root(OWNER);
    let key = world.key(json!({}));
    for (operation, request, read_only) in [
        ("CreateKey", json!({}), false),
        ("DisableKey", json!({"KeyId": key}), false),
        ("EnableKey", json!({"KeyId": key}), false),
        ("RotateKeyOnDemand", json!({"KeyId": key}), false),
        ("DescribeKey", json!({"KeyId": key}), true),
        ("ListKeys", json!({}), true),
        ("GetKeyPolicy", json!({"KeyId": key}), true),
        ("GenerateRandom", json!({"NumberOfBytes": 8}), true),
        (
            "Encrypt",
            json!({"KeyId": key, "Plaintext": PLAINTEXT}),
            true,
        ),
    ] {
        let (_, recorded) = recorded_by(&world, || world.must(&owner, operation, request));
        let event = normal(only(recorded));
        assert_eq!(event["eventName"], operation);
        assert_eq!(event["readOnly"], read_only, "{operation}");
        assert_eq!(event.get("errorCode"), None);
        let identity = json!({
            "type": "Root",
            "principalId": OWNER,
            "arn": owner.principal,
            "accountId": OWNER,
        });
        assert_eq!(event["userIdentity"], identity);
    }
}

/// What is recorded of one change of users: its name, its parameters, and its error.
fn iam(world: &World, change: impl FnOnce() -> Option<&'static str>) -> (String, Value, Value) {
    let (error, recorded) = recorded_by(world, change);
    let mut event = normal(only(recorded));
    assert_eq!(event["eventSource"], "iam.amazonaws.com");
    assert_eq!(event["readOnly"], false);
    assert_eq!(event["recipientAccountId"], OWNER);
    assert_eq!(event["userIdentity"]["arn"], json!(root(OWNER).principal));
    assert_eq!(event["errorCode"].as_str(), error, "{event}");
    let name = text(&event, "eventName");
    (
        name,
        event["requestParameters"].take(),
        event["errorCode"].take(),
    )
}

#[test]
fn changes_of_users_and_their_rights_are_recorded() {
    let world = recorded(false);
    let (kms, owner) = (&world.kms, root(OWNER));
    let user = json!({"userName": "Alice"});
    let policy = "{\"Statement\": {\"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": \"*\"}}";
    let create = || {
        let answer = kms.create_user(&owner, "Alice", None);
        answer.err().map(|error| error.name())
    };
    let name = "CreateUser".to_owned();
    assert_eq!(
        iam(&world, create),
        (name.clone(), user.clone(), json!(null))
    );
    let taken = json!("EntityAlreadyExists");
    assert_eq!(iam(&world, create), (name, user.clone(), taken));

    let put = || {
        let answer = kms.put_user_policy(&owner, "Alice", "all", policy);
        answer.err().map(|error| error.name())
    };
    let named = json!({"userName": "Alice", "policyName": "all"});
    let put_parameters = with(named.clone(), &json!({"policyDocument": policy}));
    assert_eq!(
        iam(&world, put),
        ("PutUserPolicy".to_owned(), put_parameters, json!(null))
    );
    let delete = || {
        let answer = kms.delete_user_policy(&owner, "Alice", "all");
        answer.err().map(|error| error.name())
    };
    let name = "DeleteUserPolicy".to_owned();
    assert_eq!(
        iam(&world, delete),
        (name.clone(), named.clone(), json!(null))
    );
    assert_eq!(iam(&world, delete), (name, named, json!("NoSuchEntity")));

    let mut made = None;
    let key = || match kms.create_access_key(&owner, Some("Alice")) {
        Ok(key) => {
            made = Some(key.id);
            None
        }
        Err(error) => Some(error.name()),
    };
    let name = "CreateAccessKey".to_owned();
    assert_eq!(iam(&world, key), (name, user.clone(), json!(null)));
    let made = made.expect("an access key");
    let delete = || {
        let answer = kms.delete_access_key(&owner, Some("Alice"), &made);
        answer.err().map(|error| error.name())
    };
    let (name, parameters, _) = iam(&world, delete);
    assert_eq!(name, "DeleteAccessKey");
    assert_eq!(text(&parameters, "accessKeyId"), made);
    let delete = || {
        let answer = kms.delete_user(&owner, "Alice");
        answer.err().map(|error| error.name())
    };
    let name = "DeleteUser".to_owned();
    assert_eq!(
        iam(&world, delete),
        (name.clone(), user.clone(), json!(null))
    );
    assert_eq!(iam(&world, delete), (name, user, json!("NoSuchEntity")));
    // Nothing else was recorded.
    assert_eq!(events(&world).len(), 9);
}
