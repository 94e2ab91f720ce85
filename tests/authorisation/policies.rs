//! In the key's own account: the default key policy, delegation, and identity policies.

use serde_json::{Value, json};

use crate::accounts::{
    OWNER, World, allow, deny, identity_policy_denies, is_let_in, key_policy_denies,
    no_identity_policy, no_key_policy, of_ciphertext, policy, root, to,
};
use crate::requests::{NO_GRANT, Names, PLAINTEXT, ROWS, WITHOUT_KEY};

const DEFAULT_POLICY: &str = r#"{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::111122223333:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}"#;

fn encrypt(key: &str) -> Value {
    json!({"KeyId": key, "Plaintext": PLAINTEXT})
}

#[test]
fn the_default_key_policy_is_the_services_and_lets_the_root_user_in() {
    let world = World::start();
    let key = world.key(json!({}));
    let shown = world.must(&root(OWNER), "GetKeyPolicy", json!({"KeyId": key}));
    assert_eq!(
        shown,
        json!({"Policy": DEFAULT_POLICY, "PolicyName": "default"})
    );
    let ciphertext = world.seal(&key, &json!({}));
    let request = json!({"CiphertextBlob": ciphertext});
    let opened = world.must(&root(OWNER), "Decrypt", request);
    assert_eq!(opened["Plaintext"], PLAINTEXT);
}

#[test]
fn a_user_without_policy_is_refused_every_operation_with_the_services_text() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let key = world.key(json!({}));
    let other = world.key(json!({}));
    let ciphertext = world.seal(&key, &json!({}));
    let other_ciphertext = world.seal(&other, &json!({}));
    let principal = root(OWNER).principal;
    let grant = world.grant(&key, &principal, &["DescribeKey"], &json!({}));
    let names = Names {
        key: &key,
        ciphertext: &ciphertext,
        other: &other,
        other_ciphertext: &other_ciphertext,
        grant_id: &grant.id,
        principal: &principal,
        alias: "alias/bobs",
    };
    let alias = format!("arn:aws:kms:us-east-1:{OWNER}:alias/bobs");
    for row in ROWS.iter().chain(WITHOUT_KEY) {
        let expected = match row.action {
            // The source comes first, and is named by the ciphertext alone.
            "ReEncryptTo" => of_ciphertext(&bob, "ReEncryptFrom"),
            // The permission on the alias comes before that on the key.
            "CreateAlias" | "UpdateAlias" | "DeleteAlias" => {
                no_identity_policy(&bob, row.action, &alias)
            }
            // About the account.
            "CreateKey" | "GenerateRandom" | "ListAliases" | "ListKeys" | "ListRetirableGrants" => {
                no_identity_policy(&bob, row.action, "*")
            }
            action => no_identity_policy(&bob, action, &key),
        };
        let answer = world.call(&bob, row.operation, (row.request)(&names));
        assert_eq!(answer, Err(expected), "{}", row.operation);
    }
}

#[test]
fn an_identity_policy_allows_what_it_says_through_the_delegation() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let key = world.key(json!({}));
    let other = world.key(json!({}));
    let request = json!({"AliasName": "alias/key", "TargetKeyId": key});
    world.must(&root(OWNER), "CreateAlias", request);
    let ciphertext = world.seal(&key, &json!({}));
    let on = |resource: &str| json!({"Effect": "Allow", "Action": "kms:*", "Resource": resource});
    let not = |element: &str, value: &str| {
        let mut statement = json!({"Effect": "Allow", element: value});
        let rest = if element == "NotAction" {
            ("Resource", "*")
        } else {
            ("Action", "kms:*")
        };
        statement[rest.0] = json!(rest.1);
        statement
    };
    let both = "arn:aws:kms:us-east-1:111122223333:key/*";
    #[rustfmt::skip]
    let table = [
        // Statements                                                         Encrypt Decrypt
        (vec![allow("kms:Encrypt")],                                          true,   false),
        (vec![allow("KMS:encrypt")],                                          true,   false),
        (vec![allow("kms:*")],                                                true,   true),
        (vec![allow("*")],                                                    true,   true),
        (vec![allow("kms:*crypt")],                                           true,   true),
        (vec![allow("kms:?ecrypt")],                                          false,  true),
        (vec![allow("kms:Encrypt"), allow("kms:Decrypt")],                    true,   true),
        (vec![not("NotAction", "kms:Encrypt")],                               false,  true),
        (vec![allow("kms:ReEncrypt*"), allow("kms:Generate*")],               false,  false),
        (vec![allow("s3:*")],                                                 false,  false),
        (vec![allow("kms:*"), deny("kms:Decrypt")],                           true,   false),
        (vec![deny("kms:*"), allow("kms:*")],                                 false,  false),
        // A resource is a key, named by its ARN.
        (vec![on(&key)],                                                      true,   true),
        (vec![on(both)],                                                      true,   true),
        (vec![on(&both.replace("us-east-1", "*"))],                           true,   true),
        (vec![on(&both.replace("us-east-1", "eu-west-1"))],                   false,  false),
        (vec![on(&other)],                                                    false,  false),
        (vec![on("arn:aws:kms:us-east-1:111122223333:alias/key")],            false,  false),
        (vec![not("NotResource", &key)],                                      false,  false),
        (vec![not("NotResource", &other)],                                    true,   true),
    ];
    for (statements, may_encrypt, may_decrypt) in table {
        world.let_user(&bob, &statements);
        for (name, request, may) in [
            ("Encrypt", encrypt(&key), may_encrypt),
            (
                "Decrypt",
                json!({"KeyId": key, "CiphertextBlob": ciphertext}),
                may_decrypt,
            ),
        ] {
            let answer = world.call(&bob, name, request);
            assert_eq!(answer.is_ok(), may, "{name} by {statements:?}: {answer:?}");
            assert_eq!(is_let_in(&answer), may, "{answer:?}");
        }
    }
}

#[test]
fn a_user_whom_the_key_policy_names_needs_no_identity_policy() {
    let world = World::start();
    let [alice, bob] = ["Alice", "Bob"].map(|name| world.user(OWNER, name));
    let key = world.key(json!({}));
    world.let_key(&key, &[to(&alice.principal, allow("kms:Encrypt"))]);
    world.must(&alice, "Encrypt", encrypt(&key));
    assert_eq!(
        world.call(&bob, "Encrypt", encrypt(&key)),
        Err(no_identity_policy(&bob, "Encrypt", &key))
    );
    assert_eq!(
        world.call(&alice, "DescribeKey", json!({"KeyId": key})),
        Err(no_identity_policy(&alice, "DescribeKey", &key))
    );
}

#[test]
fn without_delegation_identity_policies_allow_nothing_and_still_deny() {
    let world = World::start();
    let [alice, bob] = ["Alice", "Bob"].map(|name| world.user(OWNER, name));
    let statements = [to(&alice.principal, allow("kms:*"))];
    let key = world.key(json!({
        "Policy": policy(&statements),
        "BypassPolicyLockoutSafetyCheck": true,
    }));
    // Not even the root user has access of its own.
    world.let_user(&bob, &[allow("kms:*")]);
    for nobody in [&bob, &root(OWNER)] {
        assert_eq!(
            world.call(nobody, "Encrypt", encrypt(&key)),
            Err(no_key_policy(nobody, "Encrypt", &key))
        );
    }
    let sealed = world.must(&alice, "Encrypt", encrypt(&key));
    let decrypt = json!({"KeyId": key, "CiphertextBlob": sealed["CiphertextBlob"]});
    world.must(&alice, "Decrypt", decrypt.clone());
    world.let_user(&alice, &[deny("kms:Decrypt")]);
    assert_eq!(
        world.call(&alice, "Decrypt", decrypt),
        Err(identity_policy_denies(&alice, "Decrypt", &key))
    );
    world.must(&alice, "Encrypt", encrypt(&key));
}

#[test]
fn a_deny_wins_over_every_allow_and_over_grants() {
    let world = World::start();
    let [alice, bob, carol] = ["Alice", "Bob", "Carol"].map(|name| world.user(OWNER, name));
    let key = world.key(json!({}));
    // Each is let in another way.
    world.let_user(&alice, &[allow("kms:*")]);
    world.grant(&key, &bob.principal, &["Encrypt"], &json!({}));
    let by_name = to(&carol.principal, allow("kms:*"));
    world.let_key(&key, std::slice::from_ref(&by_name));
    let owner = root(OWNER);
    for user in [&alice, &bob, &carol, &owner] {
        world.must(user, "Encrypt", encrypt(&key));
    }
    for (denied, everybody) in [
        (to("*", deny("kms:Encrypt")), true),
        (to("*", deny("kms:E*")), true),
        (
            json!({
                "Effect": "Deny",
                "NotPrincipal": {"AWS": owner.principal},
                "Action": "kms:Encrypt",
                "Resource": "*",
            }),
            false,
        ),
    ] {
        world.let_key(&key, &[by_name.clone(), denied]);
        for user in [&alice, &bob, &carol] {
            assert_eq!(
                world.call(user, "Encrypt", encrypt(&key)),
                Err(key_policy_denies(user, "Encrypt", &key))
            );
        }
        let answer = world.call(&owner, "Encrypt", encrypt(&key));
        assert_eq!(answer.is_err(), everybody, "{answer:?}");
    }
    // An identity policy denies too, whatever lets the user in.
    world.let_key(&key, std::slice::from_ref(&by_name));
    for user in [&alice, &bob, &carol] {
        world.let_user(user, &[allow("kms:*"), deny("kms:Encrypt")]);
        assert_eq!(
            world.call(user, "Encrypt", encrypt(&key)),
            Err(identity_policy_denies(user, "Encrypt", &key))
        );
    }
}

#[test]
fn an_operator_with_re_encrypt_alone_re_encrypts_and_neither_encrypts_nor_decrypts() {
    let world = World::start();
    let operator = world.user(OWNER, "Operator");
    world.let_user(&operator, &[allow("kms:ReEncrypt*")]);
    let key = world.key(json!({}));
    let other = world.key(json!({}));
    let ciphertext = world.seal(&key, &json!({"a": "b"}));
    let request = json!({
        "CiphertextBlob": ciphertext,
        "SourceEncryptionContext": {"a": "b"},
        "DestinationKeyId": other,
    });
    let moved = world.must(&operator, "ReEncrypt", request);
    assert_eq!(
        (&moved["SourceKeyId"], &moved["KeyId"]),
        (&json!(key), &json!(other))
    );
    let request = json!({"CiphertextBlob": moved["CiphertextBlob"]});
    let opened = world.must(&root(OWNER), "Decrypt", request);
    assert_eq!(opened["Plaintext"], PLAINTEXT);

    let names = Names {
        key: &key,
        ciphertext: &ciphertext,
        other: &other,
        other_ciphertext: &ciphertext,
        grant_id: NO_GRANT,
        principal: &operator.principal,
        alias: "alias/operators",
    };
    for row in ROWS.iter().filter(|row| row.operation != "ReEncrypt") {
        let answer = world.call(&operator, row.operation, (row.request)(&names));
        // That a grant of its own account is not there is no secret.
        let unknown = matches!(&answer, Err(("NotFoundException", _)));
        assert_eq!(is_let_in(&answer), unknown, "{}: {answer:?}", row.operation);
        assert_eq!(unknown, row.operation == "RetireGrant", "{answer:?}");
    }
}

#[test]
fn re_encrypt_needs_a_permission_on_each_side() {
    let world = World::start();
    let operator = world.user(OWNER, "Operator");
    let source = world.key(json!({}));
    let target = world.key(json!({}));
    let ciphertext = world.seal(&source, &json!({}));
    let request = json!({
        "CiphertextBlob": ciphertext,
        "SourceKeyId": source,
        "DestinationKeyId": target,
    });
    let from =
        |key: &str| json!({"Effect": "Allow", "Action": "kms:ReEncryptFrom", "Resource": key});
    let into = |key: &str| json!({"Effect": "Allow", "Action": "kms:ReEncryptTo", "Resource": key});
    let no_source = no_identity_policy(&operator, "ReEncryptFrom", &source);
    let no_target = no_identity_policy(&operator, "ReEncryptTo", &target);
    for (statements, expected) in [
        (vec![from(&source), into(&target)], None),
        (vec![from(&source)], Some(&no_target)),
        (vec![into(&target)], Some(&no_source)),
        (vec![from(&target), into(&source)], Some(&no_source)),
        (vec![from(&source), into(&source)], Some(&no_target)),
        // Other permissions are none of ReEncrypt's, and there is none of its name.
        (
            vec![allow("kms:Encrypt"), allow("kms:Decrypt")],
            Some(&no_source),
        ),
        (vec![allow("kms:ReEncrypt")], Some(&no_source)),
    ] {
        world.let_user(&operator, &statements);
        let answer = world.call(&operator, "ReEncrypt", request.clone());
        assert_eq!(answer.err().as_ref(), expected, "{statements:?}");
    }
}
