//! Across accounts: both sides must allow, and not for every operation.

use rekeyfs::kms::caller::Caller;
use serde_json::{Value, json};

use crate::accounts::{
    Answer, OTHER, OWNER, World, allow, delegation, deny, no_identity_policy, policy, root,
    stranger, to,
};
use crate::requests::{Names, PLAINTEXT, ROWS};

fn encrypt(key: &str) -> Value {
    json!({"KeyId": key, "Plaintext": PLAINTEXT})
}

#[test]
fn both_accounts_must_allow() {
    let world = World::start();
    let eve = world.user(OTHER, "Eve");
    let (theirs, key) = (root(OTHER), world.key(json!({})));
    let elsewhere = world.key(json!({}));
    let on = |resource: &str| json!({"Effect": "Allow", "Action": "kms:*", "Resource": resource});
    let account = || to(OTHER, allow("kms:Encrypt"));
    let root_user = || to(&theirs.principal, allow("kms:Encrypt"));
    let user = || to(&eve.principal, allow("kms:Encrypt"));
    let everybody = || to("*", allow("kms:Encrypt"));
    #[rustfmt::skip]
    let table = [
        // The key policy says                        The user's says                       user   root user
        (vec![],                                      vec![allow("kms:*")],                 false, false),
        (vec![account()],                             vec![],                               false, true),
        (vec![account()],                             vec![allow("kms:*")],                 true,  true),
        (vec![root_user()],                           vec![allow("kms:Encrypt")],           true,  true),
        (vec![root_user()],                           vec![on(&key)],                       true,  true),
        (vec![root_user()],                           vec![on(&elsewhere)],                 false, true),
        (vec![root_user()],                           vec![allow("kms:Decrypt")],           false, true),
        (vec![root_user()],                           vec![allow("kms:*"), deny("kms:E*")], false, true),
        (vec![user()],                                vec![],                               false, false),
        (vec![user()],                                vec![on(&key)],                       true,  false),
        (vec![everybody()],                           vec![],                               false, true),
        (vec![everybody()],                           vec![allow("kms:*")],                 true,  true),
        (vec![to(OTHER, allow("kms:Decrypt"))],       vec![allow("kms:*")],                 false, false),
        (vec![account(), to(OTHER, deny("kms:*"))],   vec![allow("kms:*")],                 false, false),
        (vec![account(), to(&eve.principal, deny("kms:*"))], vec![allow("kms:*")],          false, true),
    ];
    for (by_key, by_identity, user_may, root_may) in table {
        world.let_key(&key, &by_key);
        // No statement at all is no policy: one about something else says as little.
        let mut statements = by_identity.clone();
        statements.push(allow("kms:ListKeys"));
        world.let_user(&eve, &statements);
        for (caller, may) in [(&eve, user_may), (&theirs, root_may)] {
            let answer = world.call(caller, "Encrypt", encrypt(&key));
            let expected = (!may).then(|| stranger(caller, "Encrypt"));
            assert_eq!(answer.err(), expected, "{by_key:?} {by_identity:?}");
        }
    }
}

#[test]
fn a_grant_to_another_account_needs_that_accounts_leave_as_well() {
    let world = World::start();
    let eve = world.user(OTHER, "Eve");
    let mallory = world.user(OTHER, "Mallory");
    let key = world.key(json!({}));
    world.grant(&key, &eve.principal, &["Encrypt"], &json!({}));
    let refused = |caller: &Caller, action: &str, answer: Answer| {
        assert_eq!(answer, Err(stranger(caller, action)));
    };
    refused(&eve, "Encrypt", world.call(&eve, "Encrypt", encrypt(&key)));
    for user in [&eve, &mallory] {
        world.let_user(user, &[allow("kms:*")]);
    }
    world.must(&eve, "Encrypt", encrypt(&key));
    let request = json!({"KeyId": key, "KeySpec": "AES_256"});
    let answer = world.call(&eve, "GenerateDataKey", request);
    refused(&eve, "GenerateDataKey", answer);
    refused(
        &mallory,
        "Encrypt",
        world.call(&mallory, "Encrypt", encrypt(&key)),
    );

    // A grant to the account itself is its root user's, and theirs whom identity policies let.
    world.grant(&key, &root(OTHER).principal, &["Encrypt"], &json!({}));
    world.must(&mallory, "Encrypt", encrypt(&key));
    world.must(&root(OTHER), "Encrypt", encrypt(&key));
    world.let_user(&mallory, &[allow("kms:ListKeys")]);
    refused(
        &mallory,
        "Encrypt",
        world.call(&mallory, "Encrypt", encrypt(&key)),
    );
}

/// Operations that can be used on keys of other accounts: AWS KMS Developer Guide, "Allowing
/// users in other accounts to use a KMS key".
const ACROSS_ACCOUNTS: &[&str] = &[
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GetKeyRotationStatus",
    "GetPublicKey",
    "ListGrants",
    "ReEncrypt",
    "RetireGrant",
    "RevokeGrant",
];

#[test]
fn some_operations_cannot_be_used_across_accounts_whatever_policies_say() {
    let world = World::start();
    let eve = world.user(OTHER, "Eve");
    world.let_user(&eve, &[allow("kms:*")]);
    let everything = policy(&[delegation(OWNER), to(OTHER, allow("kms:*"))]);
    for caller in [&eve, &root(OTHER)] {
        let other = world.key_of(&root(OTHER), json!({}));
        let other_ciphertext = world.seal(&other, &json!({}));
        for row in ROWS {
            let key = world.key(json!({"Policy": everything}));
            let ciphertext = world.seal(&key, &json!({}));
            let retiring = json!({"RetiringPrincipal": caller.principal});
            let grantee = root(OWNER).principal;
            let grant = world.grant(&key, &grantee, &["DescribeKey"], &retiring);
            let names = Names {
                key: &key,
                ciphertext: &ciphertext,
                other: &other,
                other_ciphertext: &other_ciphertext,
                grant_id: &grant.id,
                principal: &caller.principal,
                alias: "alias/theirs",
            };
            let answer = world.call(caller, row.operation, (row.request)(&names));
            let place = format!("{} by {}", row.operation, caller.principal);
            if !ACROSS_ACCOUNTS.contains(&row.operation) {
                assert_eq!(answer, Err(stranger(caller, row.action)), "{place}");
            } else if row.operation == "GetPublicKey" {
                // A symmetric key has none: only who was let in is told so.
                let expected = Err(("UnsupportedOperationException", None));
                assert_eq!(answer, expected, "{place}");
            } else {
                assert!(answer.is_ok(), "{place}: {answer:?}");
            }
        }
    }
}

#[test]
fn keys_of_another_account_are_named_by_the_arns_of_key_and_alias() {
    let world = World::start();
    let eve = world.user(OTHER, "Eve");
    world.let_user(&eve, &[allow("kms:*")]);
    let key = world.key(json!({}));
    world.let_key(&key, &[to(OTHER, allow("kms:Encrypt"))]);
    let request = json!({"AliasName": "alias/shared", "TargetKeyId": key});
    world.must(&root(OWNER), "CreateAlias", request);
    let alias = format!("arn:aws:kms:us-east-1:{OWNER}:alias/shared");
    for name in [&key, &alias] {
        let sealed = world.must(&eve, "Encrypt", encrypt(name));
        assert_eq!(sealed["KeyId"], json!(key));
    }
    // Without an account they are Eve's own.
    let id = key.rsplit('/').next().expect("an ID");
    for (name, message) in [
        (
            id,
            format!("Key 'arn:aws:kms:us-east-1:{OTHER}:key/{id}' does not exist"),
        ),
        (
            "alias/shared",
            format!("Alias arn:aws:kms:us-east-1:{OTHER}:alias/shared is not found."),
        ),
    ] {
        let expected = ("NotFoundException", Some(message));
        assert_eq!(world.call(&eve, "Encrypt", encrypt(name)), Err(expected));
    }
    let elsewhere = key.replace("us-east-1", "eu-west-1");
    let expected = (
        "NotFoundException",
        Some("Invalid arn eu-west-1".to_owned()),
    );
    assert_eq!(
        world.call(&eve, "Encrypt", encrypt(&elsewhere)),
        Err(expected)
    );
}

#[test]
fn re_encrypt_moves_a_ciphertext_from_one_account_to_the_other() {
    let world = World::start();
    let eve = world.user(OTHER, "Eve");
    world.let_user(&eve, &[allow("kms:ReEncrypt*")]);
    let key = world.key(json!({}));
    let own = world.key_of(&root(OTHER), json!({}));
    let ciphertext = world.seal(&key, &json!({}));
    let request = json!({"CiphertextBlob": ciphertext, "DestinationKeyId": own});
    let named = json!({
        "CiphertextBlob": ciphertext,
        "SourceKeyId": key,
        "DestinationKeyId": own,
    });

    world.let_key(&key, &[to(OTHER, allow("kms:ReEncryptTo"))]);
    let answer = world.call(&eve, "ReEncrypt", named.clone());
    assert_eq!(answer, Err(stranger(&eve, "ReEncryptFrom")));

    world.let_key(&key, &[to(OTHER, allow("kms:ReEncryptFrom"))]);
    for request in [&request, &named] {
        let moved = world.must(&eve, "ReEncrypt", request.clone());
        let keys = (&moved["SourceKeyId"], &moved["KeyId"]);
        assert_eq!(keys, (&json!(key), &json!(own)));
        // Back again needs kms:ReEncryptTo over there.
        let back = json!({"CiphertextBlob": moved["CiphertextBlob"], "DestinationKeyId": key});
        let answer = world.call(&eve, "ReEncrypt", back);
        assert_eq!(answer, Err(stranger(&eve, "ReEncryptTo")));
    }
    world.let_user(&eve, &[allow("kms:ReEncryptFrom")]);
    assert_eq!(
        world.call(&eve, "ReEncrypt", named),
        Err(no_identity_policy(&eve, "ReEncryptTo", &own))
    );
}
