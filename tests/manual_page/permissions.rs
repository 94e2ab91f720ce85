//! Accounts, key policies and grants: who may re-encrypt from a key and to a key.

use rekeyfs::kms::Kms;
use rekeyfs::kms::caller::Caller;
use rekeyfs::kms::grants::DELAY_SETTING;
use serde_json::{Value, json};

use crate::support::{keys, make_key, temporary};
use crate::{ask, moving, must, seal, text};

/// Replaces a key's policy: its account may everything, and `principal` may `actions`.
fn allow(kms: &Kms, owner: &Caller, key: &str, principal: &str, actions: &[&str]) {
    let statement = |principal: &str, actions: &[&str]| {
        json!({
            "Effect": "Allow",
            "Principal": {"AWS": principal},
            "Action": actions,
            "Resource": "*",
        })
    };
    let statements = [
        statement(&owner.principal, &["kms:*"]),
        statement(principal, actions),
    ];
    let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let request = json!({"KeyId": key, "PolicyName": "default", "Policy": policy});
    must(kms, owner, "PutKeyPolicy", request);
}

/// A user of the account of `owner`, whom nothing lets in yet.
fn user(kms: &Kms, owner: &Caller, name: &str) -> Caller {
    let made = kms.create_user(owner, name, None).expect("a user");
    Caller::new(&made.arn, &owner.account, &owner.region)
}

/// The refusal of a user whom neither the key's policy nor one of his own lets in.
fn denied(caller: &Caller, action: &str, key: &str) -> String {
    let principal = &caller.principal;
    format!(
        "AccessDeniedException: User: {principal} is not authorized to perform: kms:{action} on \
         resource: {key} because no identity-based policy allows the kms:{action} action"
    )
}

/// The refusal of a caller from another account.
fn stranger(caller: &Caller, action: &str) -> String {
    let principal = &caller.principal;
    format!(
        "AccessDeniedException: User: {principal} is not authorized to perform: kms:{action} on \
         this resource because the resource does not exist in this Region, no resource-based \
         policies allow access, or a resource-based policy explicitly denies access"
    )
}

#[test]
fn keys_of_other_accounts_are_used_on_either_side_once_both_accounts_allow_it() {
    let dir = temporary();
    let k = keys(dir.path());
    let owners = ["111122223333", "444455556666"].map(|account| Caller::root(account, "us-east-1"));
    let theirs: Vec<_> = owners
        .iter()
        .map(|owner| make_key(&k.kms, owner, "SYMMETRIC_DEFAULT"))
        .collect();
    let mut sources = vec![(k.key_id.clone(), seal(&k.kms, &k.caller, &k.key_id))];
    for (owner, key) in owners.iter().zip(&theirs) {
        sources.push((key.clone(), seal(&k.kms, owner, key)));
    }
    let run = |caller: &Caller, source: usize, to: &str| {
        let (from, blob) = &sources[source];
        ask(&k.kms, caller, "ReEncrypt", moving(blob, from, to))
    };
    // The other accounts have not allowed it.
    let refused = |answer: Result<Value, String>| answer.expect_err("refused");
    let root = &k.caller;
    assert_eq!(
        refused(run(root, 1, &k.key_id)),
        stranger(root, "ReEncryptFrom")
    );
    assert_eq!(
        refused(run(root, 0, &theirs[0])),
        stranger(root, "ReEncryptTo")
    );
    for (owner, key) in owners.iter().zip(&theirs) {
        allow(&k.kms, owner, key, &root.principal, &["kms:ReEncrypt*"]);
    }
    // The caller's account has not allowed its user.
    let operator = user(&k.kms, root, "operator");
    assert_eq!(
        refused(run(&operator, 1, &theirs[1])),
        stranger(&operator, "ReEncryptFrom")
    );
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "kms:ReEncrypt*", "Resource": "*"},
    });
    k.kms
        .put_user_policy(root, "operator", "move", &policy.to_string())
        .expect("a policy");
    // Neither side, one side, both sides elsewhere, in one other account and in two.
    for caller in [root, &operator] {
        for (source, (from, blob)) in sources.iter().enumerate() {
            for (to, _) in &sources {
                let moved = run(caller, source, to).expect("allowed");
                assert_eq!(text(&moved, "SourceKeyId"), *from);
                assert_eq!(text(&moved, "KeyId"), *to);
                let unnamed = json!({"CiphertextBlob": blob, "DestinationKeyId": to});
                let moved = must(&k.kms, caller, "ReEncrypt", unnamed);
                assert_eq!(text(&moved, "SourceKeyId"), *from);
            }
        }
    }
}

#[test]
fn a_key_of_another_account_is_named_by_an_arn_alone() {
    let dir = temporary();
    let k = keys(dir.path());
    let owner = Caller::root("111122223333", "us-east-1");
    let theirs = make_key(&k.kms, &owner, "SYMMETRIC_DEFAULT");
    let alias = json!({"AliasName": "alias/theirs", "TargetKeyId": theirs});
    must(&k.kms, &owner, "CreateAlias", alias);
    allow(
        &k.kms,
        &owner,
        &theirs,
        &k.caller.principal,
        &["kms:ReEncrypt*"],
    );
    let blob = seal(&k.kms, &owner, &theirs);
    let (home, id) = theirs.rsplit_once(":key/").expect("a key ARN");
    for name in [&theirs, &format!("{home}:alias/theirs")] {
        let moved = must(&k.kms, &k.caller, "ReEncrypt", moving(&blob, name, name));
        assert_eq!(text(&moved, "SourceKeyId"), theirs);
        assert_eq!(text(&moved, "KeyId"), theirs);
    }
    // Without an account a name means the caller's own.
    let own = "arn:aws:kms:us-east-1:000000000000";
    for (name, expected) in [
        (
            id,
            format!("NotFoundException: Key '{own}:key/{id}' does not exist"),
        ),
        (
            "alias/theirs",
            format!("NotFoundException: Alias {own}:alias/theirs is not found."),
        ),
    ] {
        for request in [moving(&blob, name, &theirs), moving(&blob, &theirs, name)] {
            let answer = ask(&k.kms, &k.caller, "ReEncrypt", request);
            assert_eq!(answer, Err(expected.clone()), "{name}");
        }
    }
}

#[test]
fn a_key_policy_gives_re_encrypt_its_two_permissions_and_no_other_is_needed() {
    let dir = temporary();
    let k = keys(dir.path());
    let (one, two) = (
        k.key_id.clone(),
        make_key(&k.kms, &k.caller, "SYMMETRIC_DEFAULT"),
    );
    let operator = user(&k.kms, &k.caller, "operator");
    let blobs = [&one, &two].map(|key| seal(&k.kms, &k.caller, key));
    let there = || {
        ask(
            &k.kms,
            &operator,
            "ReEncrypt",
            moving(&blobs[0], &one, &two),
        )
    };
    let back = || {
        ask(
            &k.kms,
            &operator,
            "ReEncrypt",
            moving(&blobs[1], &two, &one),
        )
    };
    let give = |key: &str, actions: &[&str]| {
        allow(&k.kms, &k.caller, key, &operator.principal, actions);
    };
    let refused =
        |action: &str, key: &str| -> Result<Value, String> { Err(denied(&operator, action, key)) };
    let from = |key: &str| refused("ReEncryptFrom", key);
    let to = |key: &str| refused("ReEncryptTo", key);
    // The policy that CreateKey writes lets no user in by itself.
    assert_eq!(there(), from(&one));
    // There is no permission of the operation's own name, and each key needs its own one.
    give(&one, &["kms:ReEncrypt", "kms:ReEncryptTo"]);
    give(&two, &["kms:ReEncrypt", "kms:ReEncryptFrom"]);
    assert_eq!(there(), from(&one));
    give(&one, &["kms:ReEncryptFrom"]);
    assert_eq!(there(), to(&two));
    give(&two, &["kms:ReEncryptTo"]);
    assert!(there().is_ok());
    // The operator can use the keys for nothing else, nor the other way round.
    let decrypt = json!({"CiphertextBlob": blobs[0], "KeyId": one});
    assert_eq!(
        ask(&k.kms, &operator, "Decrypt", decrypt),
        refused("Decrypt", &one)
    );
    let encrypt = json!({"KeyId": two, "Plaintext": "aGk="});
    assert_eq!(
        ask(&k.kms, &operator, "Encrypt", encrypt),
        refused("Encrypt", &two)
    );
    assert_eq!(back(), from(&two));
    // One name for both.
    give(&one, &["kms:ReEncrypt*"]);
    give(&two, &["kms:ReEncrypt*"]);
    assert!(there().is_ok());
    assert!(back().is_ok());
    // PutKeyPolicy replaces: what it does not name is gone.
    give(&two, &["kms:DescribeKey"]);
    assert_eq!(there(), to(&two));
    assert_eq!(back(), from(&two));
}

#[test]
fn a_grant_token_makes_a_new_grant_work_before_everybody_knows_of_it() {
    let dir = temporary();
    let k = keys(dir.path());
    let other = make_key(&k.kms, &k.caller, "SYMMETRIC_DEFAULT");
    let operator = user(&k.kms, &k.caller, "operator");
    let delay = |milliseconds: &str| {
        k.kms
            .store()
            .set_setting(DELAY_SETTING, milliseconds, 0)
            .expect("a setting");
    };
    delay("600000");
    let grant = |key: &str, operation: &str| {
        let request = json!({
            "KeyId": key,
            "GranteePrincipal": operator.principal,
            "Operations": [operation],
        });
        text(
            &must(&k.kms, &k.caller, "CreateGrant", request),
            "GrantToken",
        )
    };
    let from = grant(&k.key_id, "ReEncryptFrom");
    let to = grant(&other, "ReEncryptTo");
    let blob = seal(&k.kms, &k.caller, &k.key_id);
    let run = |tokens: &[&str]| {
        let mut request = moving(&blob, &k.key_id, &other);
        request["GrantTokens"] = json!(tokens);
        ask(&k.kms, &operator, "ReEncrypt", request)
    };
    let not_from = denied(&operator, "ReEncryptFrom", &k.key_id);
    let not_to = denied(&operator, "ReEncryptTo", &other);
    assert_eq!(run(&[]).expect_err("refused"), not_from);
    assert_eq!(run(&[&to]).expect_err("refused"), not_from);
    assert_eq!(run(&[&from]).expect_err("refused"), not_to);
    assert!(run(&[&from, &to]).is_ok());
    // Once the grants are known everywhere they need no token.
    delay("0");
    assert!(run(&[]).is_ok());
}
