//! New policies: those that lock everybody out, that are malformed, or huge.

use rekeyfs::kms::caller::Caller;
use serde_json::{Value, json};

use crate::accounts::{
    Answer, Fault, OTHER, OWNER, World, allow, delegation, deny, no_key_policy, policy, root, to,
    when,
};
use crate::requests::PLAINTEXT;

fn lockout() -> Fault {
    (
        "MalformedPolicyDocumentException",
        Some(
            "The new key policy will not allow you to update the key policy in the future."
                .to_owned(),
        ),
    )
}

/// Tries a policy on a new key and on one that is there.
fn try_both(
    world: &World,
    caller: &Caller,
    key: &str,
    document: &str,
    bypass: bool,
) -> [Answer; 2] {
    let mut create = json!({"Policy": document});
    let mut put = json!({"KeyId": key, "Policy": document});
    if bypass {
        create["BypassPolicyLockoutSafetyCheck"] = json!(true);
        put["BypassPolicyLockoutSafetyCheck"] = json!(true);
    }
    [
        world.call(caller, "CreateKey", create),
        world.call(caller, "PutKeyPolicy", put),
    ]
}

#[test]
fn a_policy_that_locks_its_author_out_is_refused_unless_bypassed() {
    let world = World::start();
    let alice = world.user(OWNER, "Alice");
    let owner = root(OWNER);
    let put = || allow("kms:PutKeyPolicy");
    let ours = |statement: Value| to(&owner.principal, statement);
    let hers = |statement: Value| to(&alice.principal, statement);
    let condition = json!({"StringEquals": {"aws:PrincipalArn": alice.principal}});
    #[rustfmt::skip]
    let table = [
        // By whom, and what identity policy Alice has                         locked out
        (&owner, None,               vec![delegation(OWNER)],                          false),
        (&owner, None,               vec![ours(put())],                                false),
        (&owner, None,               vec![to("*", put())],                             false),
        (&owner, None,               vec![ours(allow("kms:Encrypt"))],                 true),
        (&owner, None,               vec![hers(allow("kms:*"))],                       true),
        (&owner, None,               vec![to(&root(OTHER).principal, allow("kms:*"))], true),
        (&owner, None,               vec![delegation(OWNER), ours(deny("kms:Put*"))],  true),
        (&owner, None,               vec![delegation(OWNER), to("*", deny("kms:*"))],  true),
        (&owner, None,               vec![when(&condition, ours(put()))],              true),
        (&alice, Some("kms:*"),      vec![delegation(OWNER)],                          false),
        (&alice, Some("kms:*"),      vec![hers(put())],                                false),
        (&alice, Some("kms:*"),      vec![when(&condition, to("*", put()))],           false),
        (&alice, Some("kms:Create*"), vec![delegation(OWNER)],                         true),
        (&alice, Some("kms:*"),      vec![hers(allow("kms:Encrypt"))],                 true),
    ];
    for (caller, identity, statements, locked_out) in table {
        let key = world.key(json!({}));
        // Alice may put this policy, whatever the new one says.
        world.let_key(&key, &[hers(allow("kms:PutKeyPolicy"))]);
        world.let_user(&alice, &[allow(identity.unwrap_or("kms:ListKeys"))]);
        let document = policy(&statements);
        for answer in try_both(&world, caller, &key, &document, false) {
            let expected = locked_out.then(lockout);
            assert_eq!(answer.err(), expected, "{} {document}", caller.principal);
        }
        let [created, put] = try_both(&world, caller, &key, &document, true);
        assert!(created.is_ok(), "{created:?}");
        if locked_out {
            assert!(put.is_ok(), "{put:?}");
        }
    }
}

#[test]
fn whoever_bypassed_the_check_has_locked_himself_out() {
    let world = World::start();
    let alice = world.user(OWNER, "Alice");
    let key = world.key(json!({}));
    let owner = root(OWNER);
    let document = policy(&[to(&alice.principal, allow("kms:Encrypt"))]);
    let [_, put] = try_both(&world, &owner, &key, &document, true);
    assert!(put.is_ok(), "{put:?}");
    for bypass in [false, true] {
        let request = json!({
            "KeyId": key,
            "Policy": policy(&[delegation(OWNER)]),
            "BypassPolicyLockoutSafetyCheck": bypass,
        });
        assert_eq!(
            world.call(&owner, "PutKeyPolicy", request),
            Err(no_key_policy(&owner, "PutKeyPolicy", &key))
        );
    }
    world.must(
        &alice,
        "Encrypt",
        json!({"KeyId": key, "Plaintext": PLAINTEXT}),
    );
}

#[test]
fn a_policy_is_kept_as_it_was_given() {
    let world = World::start();
    let key = world.key(json!({}));
    let document = format!(" {}\n", policy(&[delegation(OWNER)]));
    let request = json!({"KeyId": key, "PolicyName": "default", "Policy": document});
    world.must(&root(OWNER), "PutKeyPolicy", request);
    let shown = world.must(&root(OWNER), "GetKeyPolicy", json!({"KeyId": key}));
    assert_eq!(shown["Policy"], document);
    let listed = world.must(&root(OWNER), "ListKeyPolicies", json!({"KeyId": key}));
    assert_eq!(listed["PolicyNames"], json!(["default"]));
}

#[test]
fn a_statement_without_action_or_resource_is_accepted_and_has_no_effect() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let everything = to(&bob.principal, allow("kms:*"));
    for missing in ["Action", "Resource"] {
        let mut statement = everything.clone();
        statement.as_object_mut().expect("members").remove(missing);
        let document = policy(&[delegation(OWNER), statement]);
        let key = world.key(json!({"Policy": document}));
        let answer = world.call(&bob, "DescribeKey", json!({"KeyId": key}));
        assert!(answer.is_err(), "without {missing}");
        let request = json!({"KeyId": key, "Policy": document});
        world.must(&root(OWNER), "PutKeyPolicy", request);
    }
}

const INVALID_PRINCIPALS: &str = "Policy contains a statement with one or more invalid principals.";

#[test]
fn malformed_policies_are_refused() {
    let world = World::start();
    let key = world.key(json!({}));
    let with = |statement: Value| policy(&[delegation(OWNER), statement]);
    let owner = root(OWNER).principal;
    let changed = |member: &str, value: Value| {
        let mut statement = to(&owner, allow("kms:*"));
        statement[member] = value;
        with(statement)
    };
    let condition = |value: Value| changed("Condition", value);
    let deep = format!(
        "{{\"Statement\": {}{}}}",
        "[".repeat(9000),
        "]".repeat(9000)
    );
    let table = [
        "nonsense".to_owned(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        deep,
        policy(&[]),
        json!({"Version": "2012-10-17"}).to_string(),
        json!({"Version": "2020-01-01", "Statement": [delegation(OWNER)]}).to_string(),
        json!({"Statement": [delegation(OWNER)], "Bogus": 1}).to_string(),
        format!("{}x", policy(&[delegation(OWNER)])),
        with(json!([])),
        with(allow("kms:*")),
        changed("Effect", json!("Maybe")),
        changed("Effect", json!("allow")),
        changed("Bogus", json!(1)),
        changed("Action", json!("Encrypt")),
        changed("Action", json!([])),
        changed("Action", json!(7)),
        changed("NotAction", json!("kms:Encrypt")),
        changed("Resource", json!([])),
        changed("Principal", json!({})),
        changed("Principal", json!("Alice")),
        changed("Principal", json!({"Bogus": "*"})),
        condition(json!({"Bogus": {"kms:CallerAccount": OWNER}})),
        condition(json!({"StringEquals": {"bogus": OWNER}})),
        condition(json!({"StringEquals": {"kms:CallerAccount": {}}})),
        condition(json!({"Bool": {"kms:ReEncryptOnSameKey": "perhaps"}})),
        condition(json!({"NumericEquals": {"kms:RotationPeriodInDays": "many"}})),
        condition(json!({"DateLessThan": {"aws:CurrentTime": "tomorrow"}})),
        condition(json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/99"}})),
    ];
    for document in &table {
        // Bypassing is about who may change the policy later, not about sense.
        for bypass in [false, true] {
            for answer in try_both(&world, &root(OWNER), &key, document, bypass) {
                let name = answer.err().map(|fault| fault.0);
                assert_eq!(name, Some("MalformedPolicyDocumentException"), "{document}");
            }
        }
    }
    for principal in [
        "Alice",
        "arn:aws:iam::1:root",
        "arn:aws:iam::111122223333:group/Admins",
        "arn:aws:iam::111122223333:user/*",
        "arn:aws:kms:us-east-1:111122223333:key/x",
        // A user of the key's account who is not there.
        "arn:aws:iam::111122223333:user/Zoe",
    ] {
        let document = changed("Principal", json!({"AWS": principal}));
        for answer in try_both(&world, &root(OWNER), &key, &document, false) {
            let fault = (
                "MalformedPolicyDocumentException",
                Some(INVALID_PRINCIPALS.to_owned()),
            );
            assert_eq!(answer, Err(fault), "{principal}");
        }
    }
    let shown = world.must(&root(OWNER), "GetKeyPolicy", json!({"KeyId": key}));
    let kept = shown["Policy"].as_str().expect("a policy");
    assert!(kept.contains("Enable IAM User Permissions"), "{kept}");
}

#[test]
fn a_policy_of_any_size_is_answered() {
    let world = World::start();
    let key = world.key(json!({}));
    let usual = policy(&[delegation(OWNER)]);
    // White space counts: what is left is spaces.
    let sized = |size: usize| format!("{usual}{}", " ".repeat(size - usual.len()));
    for (document, expected) in [
        (sized(32 * 1024), None),
        (sized(32 * 1024 + 1), Some("LimitExceededException")),
        (sized(131_072), Some("LimitExceededException")),
        (sized(131_073), Some("ValidationException")),
        ("x".repeat(1 << 20), Some("ValidationException")),
        (String::new(), Some("ValidationException")),
        (format!("{usual}\u{2028}"), Some("ValidationException")),
    ] {
        for answer in try_both(&world, &root(OWNER), &key, &document, false) {
            let name = answer.err().map(|fault| fault.0);
            assert_eq!(name, expected, "{} bytes", document.len());
        }
    }
}

#[test]
fn policies_full_of_wildcards_are_judged() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let key = world.key(json!({}));
    let condition = json!({
        "StringLike": {"kms:EncryptionContext:a": format!("{}b", "*a".repeat(400))}
    });
    let denied = when(&condition, deny(&format!("kms:{}", "*".repeat(1000))));
    let statements = vec![to(&bob.principal, denied); 10];
    world.let_key(&key, &statements);
    world.let_user(&bob, &[allow(&format!("kms:E{}t", "*".repeat(3000)))]);
    for (context, may) in [("a".repeat(4000), true), ("a".repeat(4000) + "b", false)] {
        let request = json!({
            "KeyId": key,
            "Plaintext": PLAINTEXT,
            "EncryptionContext": {"a": context},
        });
        let answer = world.call(&bob, "Encrypt", request);
        assert_eq!(answer.is_ok(), may, "{answer:?}");
    }
}

#[test]
fn malformed_and_huge_identity_policies_are_refused() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let put = |document: &str| {
        let answer = world
            .kms
            .put_user_policy(&root(OWNER), "Bob", "policy", document);
        answer.err().map(|error| error.name())
    };
    let malformed = Some("MalformedPolicyDocument");
    let long = |length: usize| {
        let empty = policy(&[allow("")]).len();
        policy(&[allow(&format!("kms:{}", "a".repeat(length - empty - 4)))])
    };
    for (document, expected) in [
        (policy(&[allow("kms:Encrypt")]), None),
        (long(6144), None),
        (long(6144) + &" ".repeat(10_000), None),
        (long(6145), Some("LimitExceeded")),
        ("nonsense".to_owned(), malformed),
        ("{}".to_owned(), malformed),
        (policy(&[]), malformed),
        (policy(&[to(&bob.principal, allow("kms:*"))]), malformed),
        (
            policy(&[json!({"Effect": "Allow", "Action": "kms:*"})]),
            malformed,
        ),
        (
            policy(&[json!({"Effect": "Allow", "Resource": "*"})]),
            malformed,
        ),
        (
            format!("{}{}", "[".repeat(3000), "]".repeat(3000)),
            malformed,
        ),
    ] {
        assert_eq!(put(&document), expected, "{} bytes", document.len());
    }
}
