//! Requests of CreateGrant that ask for what no grant can be.

use serde_json::{Value, json};

use crate::accounts::{OWNER, World, allow, no_identity_policy, root};
use crate::requests::with;

#[test]
fn grants_that_do_not_fit_are_refused() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let key = world.key(json!({}));
    let rsa = world.key(json!({"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}));
    let mac = world.key(json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}));
    let request = json!({
        "KeyId": key,
        "GranteePrincipal": bob.principal,
        "Operations": ["DescribeKey"],
    });
    let on = |key: &str, operation: &str| json!({"KeyId": key, "Operations": [operation]});
    let subset = |value: Value| json!({"Constraints": {"EncryptionContextSubset": value}});
    let pairs = |count: usize, length: usize| -> Value {
        let pair = |number: usize| (format!("key {number}"), "v".repeat(length));
        (0..count).map(pair).collect()
    };
    let symmetric_only = "EncryptionContext is supported only when creating a grant for a \
        symmetric encryption KMS key.";
    let on_rsa = with(subset(json!({"a": "b"})), &json!({"KeyId": rsa}));
    let principal = |member: &str, arn: &str| json!({member: arn});
    let zoe = "arn:aws:iam::111122223333:user/Zoe";
    let no_zoe = format!("ARN does not refer to a valid principal: {zoe}");
    let both = json!({"Constraints": {
        "EncryptionContextEquals": {"a": "b"},
        "EncryptionContextSubset": {"a": "b"},
    }});
    #[rustfmt::skip]
    let table = [
        (json!({}),                               None),
        (on(&key, "Encrypt"),                     None),
        (on(&key, "GenerateDataKeyPair"),         None),
        (on(&key, "Sign"),                        Some(("ValidationException", None))),
        (on(&key, "GenerateMac"),                 Some(("ValidationException", None))),
        (on(&key, "GetPublicKey"),                Some(("ValidationException", None))),
        (on(&key, "DeriveSharedSecret"),          Some(("ValidationException", None))),
        (on(&key, "ReEncrypt"),                   Some(("ValidationException", None))),
        (on(&rsa, "GetPublicKey"),                None),
        (on(&rsa, "ReEncryptTo"),                 None),
        (on(&rsa, "GenerateDataKey"),             Some(("ValidationException", None))),
        (on(&mac, "GenerateMac"),                 None),
        (on(&mac, "Encrypt"),                     Some(("ValidationException", None))),
        (json!({"Operations": []}),               Some(("ValidationException", None))),
        (json!({"Operations": null}),             Some(("ValidationException", None))),
        (subset(pairs(8, 384)),                   None),
        (subset(pairs(9, 1)),                     Some(("ValidationException", None))),
        (subset(pairs(1, 385)),                   Some(("ValidationException", None))),
        (both,                                    Some(("ValidationException", None))),
        (on_rsa,                                  Some(("ValidationException", Some(symmetric_only)))),
        (principal("GranteePrincipal", zoe),      Some(("InvalidArnException", Some(no_zoe.as_str())))),
        (principal("RetiringPrincipal", zoe),     Some(("InvalidArnException", Some(no_zoe.as_str())))),
        (principal("GranteePrincipal", "Zoe"),    Some(("InvalidArnException", Some("ARN is not valid: Zoe")))),
        (principal("RetiringPrincipal", "Zoe"),   Some(("InvalidArnException", Some("ARN is not valid: Zoe")))),
        // Whom other accounts have is their affair.
        (principal("GranteePrincipal", "arn:aws:iam::444455556666:user/Zoe"), None),
        (json!({"GranteePrincipal": null}),       Some(("ValidationException", None))),
        (json!({"Name": "a name"}),               Some(("ValidationException", None))),
        (json!({"KeyId": "alias/key"}),           Some(("InvalidArnException", Some("Key Aliases are not supported for this operation.")))),
    ];
    for (changes, expected) in table {
        let answer = world.call(&root(OWNER), "CreateGrant", with(request.clone(), &changes));
        let fault = answer.err();
        let name = fault.as_ref().map(|fault| fault.0);
        assert_eq!(name, expected.map(|fault| fault.0), "{changes}: {fault:?}");
        if let Some((_, Some(message))) = expected {
            let said = fault.and_then(|fault| fault.1);
            assert_eq!(said.as_deref(), Some(message), "{changes}");
        }
    }
    // Who may not make grants is told nothing of all this.
    let answer = world.call(
        &bob,
        "CreateGrant",
        with(request.clone(), &on(&key, "Sign")),
    );
    assert_eq!(answer, Err(no_identity_policy(&bob, "CreateGrant", &key)));
    world.let_user(&bob, &[allow("kms:CreateGrant")]);
    world.must(&bob, "CreateGrant", request.clone());
    let dry = with(request, &json!({"DryRun": true, "Name": "dry"}));
    let count = || {
        let listed = world.must(&root(OWNER), "ListGrants", json!({"KeyId": key}));
        listed["Grants"].as_array().map(Vec::len)
    };
    let before = count();
    let answer = world.call(&bob, "CreateGrant", dry);
    assert_eq!(
        answer.err().map(|fault| fault.0),
        Some("DryRunOperationException")
    );
    assert_eq!(count(), before);
}
