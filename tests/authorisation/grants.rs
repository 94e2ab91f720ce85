//! Grants: what they allow, their constraints, names, tokens, and how long they take.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rekeyfs::kms::grants::DELAY_SETTING;
use serde_json::{Value, json};

use crate::accounts::{OTHER, OWNER, World, is_let_in, no_identity_policy, root, stranger, text};
use crate::requests::{NO_GRANT, Names, PLAINTEXT, ROWS, has, with};

type Pairs = &'static [(&'static str, &'static str)];

/// Contexts, and whether they meet the constraints EncryptionContextEquals a=1, b=2, and
/// EncryptionContextSubset a=1.
const CONTEXTS: &[(Pairs, bool, bool)] = &[
    (&[], false, false),
    (&[("a", "1")], false, true),
    (&[("a", "1"), ("b", "2")], true, true),
    (&[("b", "2"), ("a", "1")], true, true),
    (&[("a", "1"), ("b", "3")], false, true),
    (&[("a", "1"), ("b", "2"), ("c", "3")], false, true),
    (&[("A", "1"), ("b", "2")], false, false),
    (&[("a", "2"), ("b", "2")], false, false),
    (&[("a", "12"), ("b", "")], false, false),
];

fn context(pairs: Pairs) -> Value {
    pairs.iter().copied().collect()
}

fn encrypt(key: &str) -> Value {
    json!({"KeyId": key, "Plaintext": PLAINTEXT})
}

/// A request for which `permission` on `key` is asked with this context; ReEncrypt's other side
/// is `other`, always with a context that meets no constraint.
fn request(world: &World, permission: &str, key: &str, other: &str, context: &Value) -> Value {
    let neither = json!({"x": "y"});
    match permission {
        "Encrypt" => with(encrypt(key), &json!({"EncryptionContext": context})),
        "Decrypt" => json!({
            "KeyId": key,
            "CiphertextBlob": world.seal(key, context),
            "EncryptionContext": context,
        }),
        "GenerateDataKey" | "GenerateDataKeyWithoutPlaintext" => json!({
            "KeyId": key,
            "KeySpec": "AES_256",
            "EncryptionContext": context,
        }),
        "GenerateDataKeyPair" | "GenerateDataKeyPairWithoutPlaintext" => json!({
            "KeyId": key,
            "KeyPairSpec": "ECC_NIST_P256",
            "EncryptionContext": context,
        }),
        "ReEncryptFrom" => json!({
            "CiphertextBlob": world.seal(key, context),
            "SourceKeyId": key,
            "SourceEncryptionContext": context,
            "DestinationKeyId": other,
            "DestinationEncryptionContext": neither,
        }),
        "ReEncryptTo" => json!({
            "CiphertextBlob": world.seal(other, &neither),
            "SourceKeyId": other,
            "SourceEncryptionContext": neither,
            "DestinationKeyId": key,
            "DestinationEncryptionContext": context,
        }),
        other => panic!("no request for {other}"),
    }
}

fn operation(permission: &str) -> &str {
    match permission {
        "ReEncryptFrom" | "ReEncryptTo" => "ReEncrypt",
        other => other,
    }
}

const PERMISSIONS: [&str; 8] = [
    "Encrypt",
    "Decrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
];

#[test]
fn a_grant_allows_its_operations_to_its_grantee() {
    let world = World::start();
    let [bob, carol] = ["Bob", "Carol"].map(|name| world.user(OWNER, name));
    let other = world.key(json!({}));
    world.grant(
        &other,
        &bob.principal,
        &["ReEncryptFrom", "ReEncryptTo"],
        &json!({}),
    );
    let none = json!({});
    for granted in PERMISSIONS {
        let key = world.key(json!({}));
        world.grant(&key, &bob.principal, &[granted], &none);
        for asked in PERMISSIONS {
            let request = request(&world, asked, &key, &other, &none);
            let answer = world.call(&bob, operation(asked), request.clone());
            let expected = (asked != granted).then(|| no_identity_policy(&bob, asked, &key));
            assert_eq!(answer.err(), expected, "{asked} by a grant of {granted}");
            let answer = world.call(&carol, operation(asked), request);
            assert!(!is_let_in(&answer), "{asked}: {answer:?}");
        }
        // What grants are about, too, needs a permission of its own.
        let answer = world.call(&bob, "DescribeKey", json!({"KeyId": key}));
        assert_eq!(answer, Err(no_identity_policy(&bob, "DescribeKey", &key)));
    }
}

#[test]
fn constraints_are_about_the_context_of_the_granted_side() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let other = world.key(json!({}));
    world.grant(
        &other,
        &bob.principal,
        &["ReEncryptFrom", "ReEncryptTo"],
        &json!({}),
    );
    let exact = json!({"EncryptionContextEquals": {"a": "1", "b": "2"}});
    let part = json!({"EncryptionContextSubset": {"a": "1"}});
    for permission in PERMISSIONS {
        for (constraints, is_exact) in [(&exact, true), (&part, false)] {
            let key = world.key(json!({}));
            let more = json!({"Constraints": constraints});
            world.grant(&key, &bob.principal, &[permission, "DescribeKey"], &more);
            for (pairs, equal, included) in CONTEXTS {
                let request = request(&world, permission, &key, &other, &context(pairs));
                let answer = world.call(&bob, operation(permission), request);
                let holds = if is_exact { *equal } else { *included };
                let expected = (!holds).then(|| no_identity_policy(&bob, permission, &key));
                assert_eq!(
                    answer.err(),
                    expected,
                    "{permission} {pairs:?} {constraints}"
                );
            }
            // They do not bind operations without a context.
            world.must(&bob, "DescribeKey", json!({"KeyId": key}));
        }
    }
}

#[test]
fn a_grant_is_made_once_under_one_name() {
    let world = World::start();
    let [bob, carol] = ["Bob", "Carol"].map(|name| world.user(OWNER, name));
    let key = world.key(json!({}));
    let more = json!({
        "Name": "nightly",
        "RetiringPrincipal": carol.principal,
        "Constraints": {"EncryptionContextSubset": {"a": "1"}},
    });
    let make = |changes: &Value| {
        let more = with(more.clone(), changes);
        world.grant(&key, &bob.principal, &["Encrypt", "Decrypt"], &more)
    };
    let first = make(&json!({}));
    let again = make(&json!({}));
    assert_eq!(first.id, again.id);
    assert_ne!(first.token, again.token);
    // Both tokens are of that grant.
    for token in [&first.token, &again.token] {
        let request = json!({
            "KeyId": key,
            "Plaintext": PLAINTEXT,
            "EncryptionContext": {"a": "1"},
            "GrantTokens": [token],
        });
        world.must(&bob, "Encrypt", request);
    }
    let mut ids = vec![first.id];
    for changes in [
        json!({"Name": "daily"}),
        json!({"Name": null}),
        json!({"Name": null}),
        json!({"RetiringPrincipal": bob.principal}),
        json!({"RetiringPrincipal": null}),
        json!({"Operations": ["Encrypt"]}),
        json!({"Constraints": {"EncryptionContextEquals": {"a": "1"}}}),
        json!({"Constraints": null}),
        json!({"GranteePrincipal": carol.principal}),
    ] {
        let made = make(&changes);
        assert!(!ids.contains(&made.id), "{changes}");
        ids.push(made.id);
    }
    let listed = world.must(&root(OWNER), "ListGrants", json!({"KeyId": key}));
    let listed = listed["Grants"].as_array().expect("a list");
    let mut listed: Vec<String> = listed.iter().map(|grant| text(grant, "GrantId")).collect();
    listed.sort();
    ids.sort();
    assert_eq!(listed, ids);
}

#[test]
fn a_grant_is_listed_with_all_that_was_said() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let key = world.key(json!({}));
    let constraints = json!({"EncryptionContextEquals": {"a": "1"}});
    let more = json!({
        "Name": "nightly",
        "RetiringPrincipal": bob.principal,
        "Constraints": constraints,
    });
    let made = world.grant(&key, &bob.principal, &["Decrypt", "Encrypt"], &more);
    assert_eq!(made.id.len(), 64);
    let listed = world.must(&root(OWNER), "ListGrants", json!({"KeyId": key}));
    let [grant] = listed["Grants"].as_array().expect("a list").as_slice() else {
        panic!("one grant, not {listed}");
    };
    let members: Vec<_> = grant.as_object().expect("members").keys().collect();
    let expected = [
        "KeyId",
        "GrantId",
        "Name",
        "CreationDate",
        "GranteePrincipal",
        "RetiringPrincipal",
        "IssuingAccount",
        "Operations",
        "Constraints",
    ];
    assert_eq!(members, expected);
    assert!(grant["CreationDate"].is_number());
    let expected = json!({
        "KeyId": key,
        "GrantId": made.id,
        "Name": "nightly",
        "CreationDate": grant["CreationDate"],
        "GranteePrincipal": bob.principal,
        "RetiringPrincipal": bob.principal,
        "IssuingAccount": root(OWNER).principal,
        "Operations": ["Decrypt", "Encrypt"],
        "Constraints": constraints,
    });
    assert_eq!(*grant, expected);
    for (filter, found) in [
        (json!({"GrantId": made.id}), 1),
        (json!({"GrantId": NO_GRANT}), 0),
        (json!({"GranteePrincipal": bob.principal}), 1),
        (json!({"GranteePrincipal": root(OWNER).principal}), 0),
    ] {
        let request = with(json!({"KeyId": key}), &filter);
        let listed = world.must(&root(OWNER), "ListGrants", request);
        assert_eq!(
            listed["Grants"].as_array().map(Vec::len),
            Some(found),
            "{filter}"
        );
    }
    let retirable = |account: &str| {
        let request = json!({"RetiringPrincipal": bob.principal});
        world.call(&root(account), "ListRetirableGrants", request)
    };
    let listed = retirable(OWNER).expect("a list");
    assert_eq!(listed["Grants"][0], expected);
    let answer = retirable(OTHER);
    assert_eq!(answer, Err(stranger(&root(OTHER), "ListRetirableGrants")));
}

#[test]
fn a_token_that_means_nothing_is_refused_whoever_sends_it() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let key = world.key(json!({}));
    let grant = world.grant(&key, &bob.principal, &["Encrypt"], &json!({}));
    let revoked = world.grant(&key, &bob.principal, &["Encrypt"], &json!({}));
    let request = json!({"KeyId": key, "GrantId": revoked.id});
    world.must(&root(OWNER), "RevokeGrant", request);
    let elsewhere = World::start();
    let foreign = elsewhere.key(json!({}));
    let everybody = root(OWNER).principal;
    let foreign = elsewhere.grant(&foreign, &everybody, &["Encrypt"], &json!({}));
    let sealed = STANDARD.decode(&grant.token).expect("base64");
    let mut flipped = sealed.clone();
    flipped[sealed.len() / 2] ^= 1;
    let bad = [
        "bad".to_owned(),
        "AAAA".to_owned(),
        "\u{e4}".to_owned(),
        STANDARD.encode([0_u8; 200]),
        STANDARD.encode(flipped),
        STANDARD.encode(&sealed[1..]),
        STANDARD.encode(&sealed[..sealed.len() - 1]),
        STANDARD.encode([&sealed[..], &[0_u8][..]].concat()),
        grant.id.clone(),
        revoked.token,
        foreign.token,
    ];
    let ciphertext = world.seal(&key, &json!({}));
    let names = Names {
        key: &key,
        ciphertext: &ciphertext,
        other: &key,
        other_ciphertext: &ciphertext,
        grant_id: &grant.id,
        principal: &bob.principal,
        alias: "alias/bobs",
    };
    let taking: Vec<_> = ROWS
        .iter()
        .filter(|row| has(row.operation(), "GrantTokens"))
        .collect();
    assert_eq!(taking.len(), 11, "operations with grant tokens");
    for row in taking {
        for token in &bad {
            for tokens in [json!([token]), json!([grant.token, token])] {
                let tokens = json!({"GrantTokens": tokens});
                let request = with((row.request)(&names), &tokens);
                for caller in [&bob, &root(OWNER)] {
                    let answer = world.call(caller, row.operation, request.clone());
                    let name = answer.err().map(|fault| fault.0);
                    let expected = Some("InvalidGrantTokenException");
                    assert_eq!(name, expected, "{}", row.operation);
                }
            }
        }
    }
    let request = with(encrypt(&key), &json!({"GrantTokens": [grant.token]}));
    world.must(&bob, "Encrypt", request);
}

#[test]
fn a_token_of_another_key_or_grantee_is_good_and_allows_nothing() {
    let world = World::start();
    let [bob, carol] = ["Bob", "Carol"].map(|name| world.user(OWNER, name));
    let key = world.key(json!({}));
    let other = world.key(json!({}));
    let of_other = world.grant(&other, &bob.principal, &["Encrypt"], &json!({}));
    let of_carol = world.grant(&key, &carol.principal, &["Encrypt"], &json!({}));
    for token in [of_other.token, of_carol.token] {
        let request = with(encrypt(&key), &json!({"GrantTokens": [token]}));
        let answer = world.call(&bob, "Encrypt", request.clone());
        assert_eq!(answer, Err(no_identity_policy(&bob, "Encrypt", &key)));
        world.must(&root(OWNER), "Encrypt", request);
    }
}

#[test]
fn a_new_grant_takes_its_time_unless_its_token_is_sent() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let [source, target] = [(); 2].map(|()| world.key(json!({})));
    // Nothing is deleted at the beginning of time.
    let delay = |milliseconds: &str| {
        let store = world.kms.store();
        store
            .set_setting(DELAY_SETTING, milliseconds, 0)
            .expect("set");
    };
    delay("3600000");
    let from = world.grant(&source, &bob.principal, &["ReEncryptFrom"], &json!({}));
    let into = world.grant(&target, &bob.principal, &["ReEncryptTo"], &json!({}));
    // It is there at once for all to see.
    let listed = world.must(&root(OWNER), "ListGrants", json!({"KeyId": source}));
    assert_eq!(listed["Grants"][0]["GrantId"], json!(from.id));
    let request = json!({
        "CiphertextBlob": world.seal(&source, &json!({})),
        "SourceKeyId": source,
        "DestinationKeyId": target,
    });
    let ask = |tokens: &[&String]| {
        let request = with(request.clone(), &json!({"GrantTokens": tokens}));
        world.call(&bob, "ReEncrypt", request).err()
    };
    let no_from = no_identity_policy(&bob, "ReEncryptFrom", &source);
    let no_to = no_identity_policy(&bob, "ReEncryptTo", &target);
    assert_eq!(ask(&[]), Some(no_from.clone()));
    assert_eq!(ask(&[&into.token]), Some(no_from));
    assert_eq!(ask(&[&from.token]), Some(no_to));
    assert_eq!(ask(&[&into.token, &from.token]), None);
    assert_eq!(ask(&[&from.token, &into.token, &from.token]), None);
    // Both grants are older than this by now.
    delay("0");
    assert_eq!(ask(&[]), None);
}

#[test]
fn a_grant_that_is_older_than_the_delay_needs_no_token() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let key = world.key(json!({}));
    let store = world.kms.store();
    store.set_setting(DELAY_SETTING, "20", 0).expect("set");
    world.grant(&key, &bob.principal, &["Encrypt"], &json!({}));
    let start = std::time::Instant::now();
    while world.call(&bob, "Encrypt", encrypt(&key)).is_err() {
        assert!(start.elapsed().as_secs() < 20, "it never takes effect");
    }
}
