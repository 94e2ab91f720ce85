//! The table of verdicts, and properties of the whole.

use std::collections::HashMap;
use std::net::IpAddr;

use super::value::lowered;
use super::*;

const ALICE: &str = "arn:aws:iam::111122223333:user/Alice";
const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// The condition keys of a request in the table; names in lower case.
#[derive(Default)]
struct Table(HashMap<String, Values<'static>>);

impl ConditionKeys for Table {
    fn value(&self, name: &str) -> Option<Values<'_>> {
        self.0.get(name).cloned()
    }
}

/// A block of the table.
struct Block<'a> {
    title: &'a str,
    kind: PolicyKind,
    policy: String,
    action: &'a str,
    principal: &'a str,
    resource: &'a str,
    keys: Table,
    expected: Verdict,
}

fn value(text: &str) -> Values<'static> {
    if let Some(seconds) = text.strip_prefix("date ") {
        let seconds: i64 = seconds.parse().expect("seconds");
        return Values::One(Value::Date(seconds * 1000));
    }
    if let Some(address) = text.strip_prefix("address ") {
        let address: IpAddr = address.trim_matches('"').parse().expect("an address");
        return Values::One(Value::Address(address));
    }
    let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
    match json {
        serde_json::Value::String(text) => Values::text(text),
        serde_json::Value::Bool(value) => Values::One(Value::Boolean(value)),
        serde_json::Value::Number(number) => {
            Values::One(Value::Number(number.as_i64().expect("a whole number")))
        }
        serde_json::Value::Array(items) => {
            let text = |item: &serde_json::Value| item.as_str().expect("a text").to_owned();
            Values::texts(items.iter().map(text))
        }
        other => panic!("{other}"),
    }
}

fn verdict(text: &str) -> Verdict {
    match text {
        "Silent" => Verdict::Silent,
        "AllowAccount" => Verdict::AllowAccount,
        "Allow" => Verdict::Allow,
        "Deny" => Verdict::Deny,
        other => panic!("{other}"),
    }
}

fn block(text: &str) -> Option<Block<'_>> {
    let mut lines = text.lines().filter(|line| !line.starts_with("##"));
    let title = lines.next()?.strip_prefix("# ").expect("a title");
    let kind = match lines.next() {
        Some("key") => PolicyKind::Key,
        Some("identity") => PolicyKind::Identity,
        other => panic!("{title}: {other:?}"),
    };
    let mut block = Block {
        title,
        kind,
        policy: String::new(),
        action: "",
        principal: ALICE,
        resource: KEY,
        keys: Table::default(),
        expected: Verdict::Silent,
    };
    for line in lines {
        if let Some(action) = line.strip_prefix("action ") {
            block.action = action;
        } else if block.action.is_empty() {
            block.policy.push_str(line);
        } else if let Some(principal) = line.strip_prefix("principal ") {
            block.principal = principal;
        } else if let Some(resource) = line.strip_prefix("resource ") {
            block.resource = resource;
        } else if let Some(expected) = line.strip_prefix("=> ") {
            block.expected = verdict(expected);
            return Some(block);
        } else {
            let (name, text) = line.split_once(" = ").expect("NAME = VALUE");
            block.keys.0.insert(lowered(name), value(text));
        }
    }
    panic!("{title}: no verdict");
}

fn judge(block: &Block<'_>) -> Result<Verdict, MalformedPolicy> {
    let account = block.principal.split(':').nth(4).expect("an ARN");
    Ok(Policy::parse(&block.policy, block.kind)?.judge(&Facts {
        action: block.action,
        principal: block.principal,
        account,
        resource: block.resource,
        keys: &block.keys,
    }))
}

#[test]
fn every_request_of_the_table_gets_its_verdict() {
    let table = include_str!("../../../tests/vectors/policies.txt");
    let blocks: Vec<Block<'_>> = table.split("\n\n").filter_map(block).collect();
    assert_eq!(blocks.len(), 252);
    let wrong: Vec<String> = blocks
        .iter()
        .filter(|block| judge(block) != Ok(block.expected))
        .map(|block| format!("{}: {:?}", block.title, judge(block)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_principals_that_are_named_are_listed_with_accounts_as_root_users() {
    let document = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "kms:*", "Resource": "*", "Principal": {
            "AWS": ["111122223333", "*", "arn:aws:iam::111122223333:user/Alice"],
            "Service": "ec2.amazonaws.com", "Federated": ["a", "b"], "CanonicalUser": "79a5"}},
        {"Effect": "Deny", "Action": "kms:*", "Resource": "*", "NotPrincipal": {
            "AWS": "arn:aws-cn:iam::444455556666:root"}},
        {"Effect": "Deny", "Action": "kms:*", "Resource": "*", "Principal": "*"}]}"#;
    let policy = Policy::parse(document, PolicyKind::Key).expect("well-formed");
    assert_eq!(
        policy.principals().collect::<Vec<_>>(),
        [
            "arn:aws:iam::111122223333:root",
            ALICE,
            "arn:aws-cn:iam::444455556666:root"
        ]
    );
    let document = r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    let policy = Policy::parse(document, PolicyKind::Identity).expect("well-formed");
    assert_eq!(policy.principals().count(), 0);
}

/// A request that must not be asked for its keys.
struct Unasked;

impl ConditionKeys for Unasked {
    fn value(&self, name: &str) -> Option<Values<'_>> {
        panic!("asked for {name}");
    }
}

#[test]
fn no_condition_key_is_asked_for_before_the_rest_of_a_statement_matches() {
    let document = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*",
         "Resource": "*"},
        {"Effect": "Deny", "Principal": {"AWS": "111122223333"}, "Action": "kms:Encrypt",
         "Resource": "*", "Condition": {"StringEquals": {"aws:username": "Alice"}}},
        {"Effect": "Deny", "Principal": {"AWS": "444455556666"}, "Action": "kms:*",
         "Resource": "*", "Condition": {"StringEquals": {"aws:username": "Alice"}}},
        {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*",
         "Resource": "*", "Condition": {"StringEquals": {"aws:username": "Alice"}}}]}"#;
    let policy = Policy::parse(document, PolicyKind::Key).expect("well-formed");
    let request = Facts {
        action: "kms:Decrypt",
        principal: ALICE,
        account: "111122223333",
        resource: KEY,
        keys: &Unasked,
    };
    assert_eq!(policy.judge(&request), Verdict::AllowAccount);
}

#[test]
fn a_stronger_verdict_is_greater() {
    let rising = [
        Verdict::Silent,
        Verdict::AllowAccount,
        Verdict::Allow,
        Verdict::Deny,
    ];
    assert!(rising.is_sorted_by(|left, right| left < right));
}

#[test]
fn several_values_without_a_set_operator_match_if_one_does() {
    let holds = |operator: &str| {
        let document = format!(
            r#"{{"Statement": {{"Effect": "Allow", "Action": "kms:*", "Resource": "*",
                "Condition": {{"{operator}": {{"aws:TagKeys": "a"}}}}}}}}"#
        );
        let policy = Policy::parse(&document, PolicyKind::Identity).expect("well-formed");
        let mut keys = Table::default();
        keys.0
            .insert(lowered("aws:TagKeys"), Values::texts(["a", "b"]));
        let request = Facts {
            action: "kms:Decrypt",
            principal: ALICE,
            account: "111122223333",
            resource: KEY,
            keys: &keys,
        };
        policy.judge(&request) == Verdict::Allow
    };
    assert!(holds("StringEquals"));
    assert!(!holds("StringNotEquals"));
}

#[test]
fn for_any_value_with_if_exists_is_true_for_an_absent_key() {
    let document = r#"{"Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "*",
        "Condition": {"ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": "a"}}}}"#;
    let policy = Policy::parse(document, PolicyKind::Identity).expect("well-formed");
    let keys = Table::default();
    let request = Facts {
        action: "kms:Decrypt",
        principal: ALICE,
        account: "111122223333",
        resource: KEY,
        keys: &keys,
    };
    assert_eq!(policy.judge(&request), Verdict::Allow);
}

#[test]
fn a_policy_is_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Policy>();
}
