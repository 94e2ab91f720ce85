//! The end of grants: RetireGrant by those whom a grant concerns, RevokeGrant by those whom
//! policies let.

use rekeyfs::kms::caller::Caller;
use serde_json::{Value, json};

use crate::accounts::{
    Fault, OTHER, OWNER, World, allow, deny, identity_policy_denies, no_identity_policy, root,
    stranger, text, to,
};
use crate::requests::{NO_GRANT, PLAINTEXT, with};

fn encrypt(key: &str) -> Value {
    json!({"KeyId": key, "Plaintext": PLAINTEXT})
}

/// The name of the exception that is the answer.
fn name(answer: Result<Value, Fault>) -> Option<&'static str> {
    answer.err().map(|fault| fault.0)
}

#[test]
fn grants_are_retired_by_those_whom_they_concern() {
    let world = World::start();
    let user = |name: &str| world.user(OWNER, name);
    let [bob, rita, carol, peter] = ["Bob", "Rita", "Carol", "Peter"].map(user);
    let eve = world.user(OTHER, "Eve");
    let (owner, other) = (root(OWNER), root(OTHER));
    world.let_user(&peter, &[allow("kms:RetireGrant")]);
    let key = world.key(json!({}));
    let retiring = |principal: &Caller| json!({"RetiringPrincipal": principal.principal});
    let none = || json!({});
    let may_retire = || json!({"Operations": ["Encrypt", "RetireGrant"]});
    let no = |caller: &Caller| Some(no_identity_policy(caller, "RetireGrant", &key));
    let unknown = |caller: &Caller| Some(stranger(caller, "RetireGrant"));
    #[rustfmt::skip]
    let table = [
        // Who                          the grant           refused
        ("its retiring principal",      &rita,  retiring(&rita),   None),
        ("one of another account",      &eve,   retiring(&eve),    None),
        ("another account itself",      &other, retiring(&other),  None),
        ("its grantee, if granted",     &bob,   may_retire(),      None),
        ("its grantee, if not",         &bob,   none(),            no(&bob)),
        ("the issuing account",         &owner, none(),            None),
        ("whom that account lets",      &peter, none(),            None),
        ("somebody of that account",    &carol, none(),            no(&carol)),
        ("somebody, for another",       &carol, retiring(&rita),   no(&carol)),
        ("a stranger",                  &eve,   none(),            unknown(&eve)),
        ("a stranger, for another",     &eve,   retiring(&other),  unknown(&eve)),
        ("another account",             &other, none(),            unknown(&other)),
    ];
    for (who, caller, more, refused) in table {
        for by_token in [true, false] {
            let grant = world.grant(&key, &bob.principal, &["Encrypt"], &more);
            let named = json!({"KeyId": key, "GrantId": grant.id});
            let request = if by_token {
                json!({"GrantToken": grant.token})
            } else {
                named.clone()
            };
            let dry = with(request.clone(), &json!({"DryRun": true}));
            let dry = world.call(caller, "RetireGrant", dry).err();
            let expected = refused
                .as_ref()
                .map_or("DryRunOperationException", |fault| fault.0);
            assert_eq!(dry.map(|fault| fault.0), Some(expected), "{who}");
            world.must(&bob, "Encrypt", encrypt(&key));

            let answer = world.call(caller, "RetireGrant", request.clone());
            assert_eq!(answer.err(), refused, "{who}, by token: {by_token}");
            let answer = world.call(&bob, "Encrypt", encrypt(&key));
            assert_eq!(answer.is_ok(), refused.is_some(), "{who}: {answer:?}");
            // It is gone, or goes now.
            let answer = world.call(&owner, "RetireGrant", request);
            let gone = if by_token {
                "InvalidGrantTokenException"
            } else {
                "NotFoundException"
            };
            let expected = refused.is_none().then_some(gone);
            assert_eq!(name(answer), expected, "{who}");
        }
    }
}

#[test]
fn whoever_issued_a_grant_on_a_key_of_another_account_retires_it() {
    let world = World::start();
    let eve = world.user(OTHER, "Eve");
    let bob = world.user(OWNER, "Bob");
    world.let_user(&eve, &[allow("kms:CreateGrant")]);
    let key = world.key(json!({}));
    world.let_key(&key, &[to(OTHER, allow("kms:CreateGrant"))]);
    let request = json!({
        "KeyId": key,
        "GranteePrincipal": bob.principal,
        "Operations": ["Encrypt"],
    });
    let made = world.must(&eve, "CreateGrant", request);
    world.must(&bob, "Encrypt", encrypt(&key));
    let listed = world.must(&root(OWNER), "ListGrants", json!({"KeyId": key}));
    assert_eq!(
        listed["Grants"][0]["IssuingAccount"],
        json!(root(OTHER).principal)
    );
    let request = json!({"KeyId": key, "GrantId": made["GrantId"]});
    let answer = world.call(&eve, "RetireGrant", request.clone());
    assert_eq!(answer, Err(stranger(&eve, "RetireGrant")));
    world.must(&root(OTHER), "RetireGrant", request);
    let answer = world.call(&bob, "Encrypt", encrypt(&key));
    assert_eq!(answer, Err(no_identity_policy(&bob, "Encrypt", &key)));
}

#[test]
fn an_identity_policy_can_forbid_retiring() {
    let world = World::start();
    let rita = world.user(OWNER, "Rita");
    world.let_user(&rita, &[deny("kms:RetireGrant")]);
    let key = world.key(json!({}));
    let retiring = json!({"RetiringPrincipal": rita.principal});
    let grant = world.grant(
        &key,
        &rita.principal,
        &["Encrypt", "RetireGrant"],
        &retiring,
    );
    let answer = world.call(&rita, "RetireGrant", json!({"GrantToken": grant.token}));
    let expected = identity_policy_denies(&rita, "RetireGrant", &key);
    assert_eq!(answer, Err(expected));
}

#[test]
fn a_grant_to_be_retired_is_named_in_one_way() {
    let world = World::start();
    let key = world.key(json!({}));
    let grant = world.grant(&key, &root(OWNER).principal, &["Encrypt"], &json!({}));
    let id = key.rsplit('/').next().expect("an ID");
    for (request, expected) in [
        (json!({}), "ValidationException"),
        (json!({"KeyId": key}), "ValidationException"),
        (json!({"GrantId": grant.id}), "ValidationException"),
        (
            json!({"GrantToken": grant.token, "KeyId": key}),
            "ValidationException",
        ),
        (
            json!({"GrantToken": grant.token, "KeyId": key, "GrantId": grant.id}),
            "ValidationException",
        ),
        (json!({"GrantToken": "bad"}), "InvalidGrantTokenException"),
        (
            json!({"KeyId": key, "GrantId": "bad"}),
            "InvalidGrantIdException",
        ),
        (
            json!({"KeyId": key, "GrantId": NO_GRANT}),
            "NotFoundException",
        ),
        (
            json!({"KeyId": "alias/x", "GrantId": grant.id}),
            "InvalidArnException",
        ),
    ] {
        let answer = world.call(&root(OWNER), "RetireGrant", request.clone());
        assert_eq!(name(answer), Some(expected), "{request}");
    }
    let request = json!({"KeyId": id, "GrantId": grant.id});
    world.must(&root(OWNER), "RetireGrant", request);
}

#[test]
fn grants_are_revoked_by_those_whom_policies_let() {
    let world = World::start();
    let user = |name: &str| world.user(OWNER, name);
    let [bob, rita, peter] = ["Bob", "Rita", "Peter"].map(user);
    let eve = world.user(OTHER, "Eve");
    let key = world.key(json!({}));
    world.let_user(&peter, &[allow("kms:RevokeGrant")]);
    world.let_user(&eve, &[allow("kms:*")]);
    let owner = root(OWNER);
    let no = |caller: &Caller| Some(no_identity_policy(caller, "RevokeGrant", &key));
    for (caller, refused) in [
        (&owner, None),
        (&peter, None),
        // Those whom a grant concerns retire it.
        (&bob, no(&bob)),
        (&rita, no(&rita)),
        (&eve, Some(stranger(&eve, "RevokeGrant"))),
    ] {
        let retiring = json!({"RetiringPrincipal": rita.principal});
        let operations = ["Encrypt", "RetireGrant"];
        let grant = world.grant(&key, &bob.principal, &operations, &retiring);
        let request = json!({"KeyId": key, "GrantId": grant.id});
        let answer = world.call(caller, "RevokeGrant", request.clone());
        assert_eq!(answer.err(), refused);
        let answer = world.call(&bob, "Encrypt", encrypt(&key));
        assert_eq!(answer.is_ok(), refused.is_some(), "{answer:?}");
        let answer = world.call(&owner, "RevokeGrant", request);
        assert_eq!(
            name(answer),
            refused.is_none().then_some("NotFoundException")
        );
    }
}

#[test]
fn a_dry_run_revokes_nothing_and_what_is_not_there_is_not_found() {
    let world = World::start();
    let bob = world.user(OWNER, "Bob");
    let key = world.key(json!({}));
    let other = world.key(json!({}));
    let grant = world.grant(&key, &bob.principal, &["Encrypt"], &json!({}));
    for (request, expected) in [
        (
            json!({"KeyId": key, "GrantId": grant.id, "DryRun": true}),
            "DryRunOperationException",
        ),
        (
            json!({"KeyId": key, "GrantId": NO_GRANT}),
            "NotFoundException",
        ),
        (
            json!({"KeyId": other, "GrantId": grant.id}),
            "NotFoundException",
        ),
        (
            json!({"KeyId": key, "GrantId": "bad"}),
            "InvalidGrantIdException",
        ),
    ] {
        let answer = world.call(&root(OWNER), "RevokeGrant", request.clone());
        assert_eq!(name(answer), Some(expected), "{request}");
        world.must(&bob, "Encrypt", encrypt(&key));
    }
    let listed = world.must(&root(OWNER), "ListGrants", json!({"KeyId": key}));
    assert_eq!(text(&listed["Grants"][0], "GrantId"), grant.id);
}
