//! Grants that are made by whom a grant lets make them: never more than one parent allows.

use rekeyfs::kms::caller::Caller;
use rekeyfs::kms::grants::DELAY_SETTING;
use serde_json::{Value, json};

use crate::accounts::{Answer, OWNER, World, allow, no_identity_policy, text};
use crate::requests::{PLAINTEXT, with};

/// Bob has grants and passes them on to Carol; neither has any policy.
struct Chain {
    world: World,
    bob: Caller,
    carol: Caller,
    dave: Caller,
}

impl Chain {
    fn make() -> Self {
        let world = World::start();
        let [bob, carol, dave] = ["Bob", "Carol", "Dave"].map(|name| world.user(OWNER, name));
        Self {
            world,
            bob,
            carol,
            dave,
        }
    }

    /// A grant to Bob under these constraints; its token.
    fn parent(&self, key: &str, operations: &[&str], constraints: &Value) -> String {
        let more = json!({"Constraints": constraints});
        let principal = &self.bob.principal;
        self.world.grant(key, principal, operations, &more).token
    }

    /// Whoever makes the grant, to whom, and what is different in the request.
    fn pass_on(
        &self,
        from: &Caller,
        grantee: &Caller,
        key: &str,
        operations: &[&str],
        changes: &Value,
    ) -> Answer {
        let request = json!({
            "KeyId": key,
            "GranteePrincipal": grantee.principal,
            "Operations": operations,
        });
        self.world.call(from, "CreateGrant", with(request, changes))
    }

    /// Bob passes on to Carol; no answer is a success.
    fn child(&self, key: &str, operations: &[&str], changes: &Value) -> Answer {
        self.pass_on(&self.bob, &self.carol, key, operations, changes)
    }

    fn encrypt(&self, caller: &Caller, key: &str, more: &Value) -> Answer {
        let request = json!({"KeyId": key, "Plaintext": PLAINTEXT});
        self.world.call(caller, "Encrypt", with(request, more))
    }
}

#[test]
fn only_operations_of_the_parent_can_be_passed_on() {
    let chain = Chain::make();
    let none = json!({});
    let table: [(&[&str], bool); 8] = [
        (&["Encrypt"], true),
        (&["Decrypt", "Encrypt"], true),
        (&["CreateGrant"], true),
        (&["CreateGrant", "Encrypt", "Decrypt"], true),
        (&["GenerateDataKey"], false),
        (&["Encrypt", "GenerateDataKey"], false),
        (&["DescribeKey"], false),
        (&["RetireGrant"], false),
    ];
    for (operations, may) in table {
        let key = chain.world.key(json!({}));
        chain.parent(&key, &["CreateGrant", "Encrypt", "Decrypt"], &none);
        let answer = chain.child(&key, operations, &none);
        let expected = (!may).then(|| no_identity_policy(&chain.bob, "CreateGrant", &key));
        assert_eq!(answer.err(), expected, "{operations:?}");
        // And what was passed on is all that Carol has.
        let answer = chain.encrypt(&chain.carol, &key, &none);
        let passed_on = may && operations.contains(&"Encrypt");
        assert_eq!(answer.is_ok(), passed_on, "{operations:?}: {answer:?}");
    }
}

#[test]
fn constraints_are_passed_on_at_least_as_strict() {
    let chain = Chain::make();
    let none = || json!(null);
    let exact = |pairs: Value| json!({"EncryptionContextEquals": pairs});
    let part = |pairs: Value| json!({"EncryptionContextSubset": pairs});
    let a = || json!({"a": "1"});
    let b = || json!({"b": "2"});
    let both = || json!({"a": "1", "b": "2"});
    #[rustfmt::skip]
    let table = [
        // Parent         child           may
        (none(),          none(),         true),
        (none(),          exact(a()),     true),
        (none(),          part(a()),      true),
        (exact(a()),      exact(a()),     true),
        (exact(a()),      none(),         false),
        (exact(a()),      part(a()),      false),
        (exact(a()),      exact(b()),     false),
        (exact(a()),      exact(both()),  false),
        (exact(both()),   exact(a()),     false),
        (exact(both()),   exact(both()),  true),
        (part(a()),       part(a()),      true),
        (part(a()),       part(both()),   true),
        (part(a()),       exact(a()),     true),
        (part(a()),       exact(both()),  true),
        (part(a()),       none(),         false),
        (part(a()),       part(b()),      false),
        (part(a()),       exact(b()),     false),
        (part(a()),       exact(json!({"a": "2"})), false),
        (part(both()),    part(a()),      false),
        (part(both()),    exact(a()),     false),
    ];
    for (parent, child, may) in table {
        let key = chain.world.key(json!({}));
        chain.parent(&key, &["CreateGrant", "Encrypt"], &parent);
        let answer = chain.child(&key, &["Encrypt"], &json!({"Constraints": child}));
        let expected = (!may).then(|| no_identity_policy(&chain.bob, "CreateGrant", &key));
        assert_eq!(answer.err(), expected, "{child} of {parent}");
    }
}

#[test]
fn one_parent_has_to_allow_it_all() {
    let chain = Chain::make();
    let (bob, carol) = (&chain.bob, &chain.carol);
    let key = chain.world.key(json!({}));
    let none = json!({});
    let subset = json!({"EncryptionContextSubset": {"a": "1"}});
    chain.parent(&key, &["CreateGrant", "Encrypt"], &none);
    chain.parent(&key, &["CreateGrant", "Decrypt"], &none);
    chain.parent(&key, &["CreateGrant", "GenerateDataKey"], &subset);
    // This one is no parent.
    chain.parent(&key, &["GenerateDataKey", "DescribeKey"], &none);
    let constrained = json!({"Constraints": subset});
    let table: [(&[&str], &Value, bool); 7] = [
        (&["Encrypt"], &none, true),
        (&["Decrypt"], &none, true),
        (&["GenerateDataKey"], &constrained, true),
        (&["Encrypt", "Decrypt"], &none, false),
        (&["Encrypt", "GenerateDataKey"], &constrained, false),
        (&["GenerateDataKey"], &none, false),
        (&["DescribeKey"], &none, false),
    ];
    for (operations, changes, may) in table {
        let answer = chain.child(&key, operations, changes);
        let expected = (!may).then(|| no_identity_policy(bob, "CreateGrant", &key));
        assert_eq!(answer.err(), expected, "{operations:?} {changes}");
    }
    // Whom a policy lets make grants is bound by no parent.
    chain.world.let_user(bob, &[allow("kms:CreateGrant")]);
    let answer = chain.child(&key, &["DescribeKey"], &none);
    assert!(answer.is_ok(), "{answer:?}");
    let request = json!({"KeyId": key});
    chain.world.must(carol, "DescribeKey", request);
}

#[test]
fn what_was_passed_on_can_be_passed_on_and_not_widened() {
    let chain = Chain::make();
    let (carol, dave) = (&chain.carol, &chain.dave);
    let key = chain.world.key(json!({}));
    let none = json!({});
    chain.parent(&key, &["CreateGrant", "Encrypt", "Decrypt"], &none);
    let answer = chain.pass_on(carol, dave, &key, &["Encrypt"], &none);
    assert_eq!(answer, Err(no_identity_policy(carol, "CreateGrant", &key)));
    let answer = chain.child(&key, &["CreateGrant", "Encrypt"], &none);
    assert!(answer.is_ok(), "{answer:?}");
    let answer = chain.pass_on(carol, dave, &key, &["Encrypt"], &none);
    assert!(answer.is_ok(), "{answer:?}");
    let answer = chain.pass_on(carol, dave, &key, &["Decrypt"], &none);
    assert_eq!(answer, Err(no_identity_policy(carol, "CreateGrant", &key)));
    let answer = chain.encrypt(dave, &key, &none);
    assert!(answer.is_ok(), "{answer:?}");
}

#[test]
fn a_parent_takes_its_time_and_its_token_as_every_grant() {
    let chain = Chain::make();
    let (bob, carol) = (&chain.bob, &chain.carol);
    let key = chain.world.key(json!({}));
    let none = json!({});
    let set = |milliseconds: &str| {
        let store = chain.world.kms.store();
        store
            .set_setting(DELAY_SETTING, milliseconds, 0)
            .expect("set");
    };
    set("3600000");
    let encrypting = chain.parent(&key, &["CreateGrant", "Encrypt"], &none);
    let decrypting = chain.parent(&key, &["CreateGrant", "Decrypt"], &none);
    let refused = Some(no_identity_policy(bob, "CreateGrant", &key));
    let ask = |operation: &str, tokens: &[&String]| {
        let tokens = json!({"GrantTokens": tokens});
        chain.child(&key, &[operation], &tokens)
    };
    assert_eq!(ask("Encrypt", &[]).err(), refused);
    // The token of the one makes no parent of the other.
    assert_eq!(ask("Encrypt", &[&decrypting]).err(), refused);
    assert_eq!(ask("Decrypt", &[&encrypting]).err(), refused);
    let child = ask("Encrypt", &[&encrypting]).expect("a grant");
    let answer = ask("Decrypt", &[&encrypting, &decrypting]);
    assert!(answer.is_ok(), "{answer:?}");
    // The child is a new grant itself; its parent's token is not its own.
    let denied = Err(no_identity_policy(carol, "Encrypt", &key));
    let encrypt = |token: &str| {
        let token = json!({"GrantTokens": [token]});
        chain.encrypt(carol, &key, &token)
    };
    assert_eq!(chain.encrypt(carol, &key, &none), denied);
    assert_eq!(encrypt(&encrypting), denied);
    assert!(encrypt(&text(&child, "GrantToken")).is_ok());
    set("0");
    assert!(ask("Encrypt", &[]).is_ok());
    assert!(chain.encrypt(carol, &key, &none).is_ok());
}
