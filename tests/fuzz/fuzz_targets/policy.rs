//! Policies: each is refused with a short reason, or judges; always the same way, and as its
//! strongest statement does.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::{Corpus, fuzz_target};
use rekeyfs::kms::policy::{ConditionKeys, Facts, Policy, PolicyKind, Value, Values, Verdict};
use serde_json::Value as Json;

/// Bytes that a reason may have: places and texts of the document are cut.
const LONGEST_REASON: usize = 2048;

const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Requests: action, principal, account, resource.
#[rustfmt::skip]
const REQUESTS: [(&str, &str, &str, &str); 6] = [
    ("kms:Decrypt", "arn:aws:iam::111122223333:user/team/Alice", "111122223333", KEY),
    ("kms:ReEncryptFrom", "arn:aws:sts::111122223333:assumed-role/worker/s1", "111122223333", KEY),
    ("kms:PutKeyPolicy", "arn:aws:iam::111122223333:root", "111122223333", KEY),
    ("kms:GenerateDataKey", "arn:aws:iam::444455556666:user/Alice", "444455556666", KEY),
    ("kms:CreateKey", "arn:aws:sts::111122223333:federated-user/Bob", "111122223333", "*"),
    ("kms:CreateAlias", "arn:aws-cn:iam::111122223333:user/\u{df}", "111122223333",
        "arn:aws:kms:us-west-2:111122223333:alias/finance/1"),
];

/// The condition keys of every request: one of each type, and others by the length of their name.
struct Keys;

impl ConditionKeys for Keys {
    fn value(&self, name: &str) -> Option<Values<'_>> {
        Some(match name {
            "aws:username" => Values::text("Alice"),
            "aws:sourceip" => Values::One(Value::Address(IpAddr::from([203, 0, 113, 7]))),
            "aws:currenttime" => Values::One(Value::Date(1_577_836_801_000)),
            "aws:epochtime" => Values::One(Value::Number(1_577_836_801)),
            "aws:securetransport" => Values::One(Value::Boolean(true)),
            "aws:tagkeys" | "kms:encryptioncontextkeys" => Values::texts(["AppName", "Project"]),
            "kms:resourcealiases" => Values::Many(Vec::new()),
            "kms:encryptioncontext:dir" => Values::text("a".repeat(1024)),
            "kms:encryptioncontext:user" => Values::text("*${aws:username}\u{130}"),
            _ => match name.chars().count() % 5 {
                0 => return None,
                1 => Values::text(name.to_owned()),
                2 => Values::text("203.0.113.0"),
                3 => Values::One(Value::Number(i64::MIN)),
                _ => Values::texts(["true", "2020-01-01T00:00:01Z", KEY]),
            },
        })
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    for kind in [PolicyKind::Key, PolicyKind::Identity] {
        match Policy::parse(text, kind) {
            Ok(policy) => judges(&policy, text, kind),
            Err(fault) => {
                let reason = fault.to_string();
                assert!((1..=LONGEST_REASON).contains(&reason.len()), "{reason}");
                assert_eq!(Policy::parse(text, kind).err(), Some(fault));
            }
        }
    }
    Corpus::Keep
});

fn verdicts(policy: &Policy) -> [Verdict; REQUESTS.len()] {
    REQUESTS.map(|(action, principal, account, resource)| {
        policy.judge(&Facts {
            action,
            principal,
            account,
            resource,
            keys: &Keys,
        })
    })
}

fn judges(policy: &Policy, text: &str, kind: PolicyKind) {
    let whole = verdicts(policy);
    let again = Policy::parse(text, kind).expect("read before");
    assert_eq!(verdicts(&again), whole);
    assert!(policy.principals().all(|arn| arn.starts_with("arn:")));
    if kind == PolicyKind::Identity {
        assert!(!whole.contains(&Verdict::AllowAccount));
        assert_eq!(policy.principals().count(), 0);
    }
    if let Some(strongest) = strongest_statements(text, kind) {
        assert_eq!(strongest, whole);
    }
}

/// The strongest verdicts of policies with one statement each; nothing for a document with numbers
/// that are not written again as they were.
fn strongest_statements(text: &str, kind: PolicyKind) -> Option<[Verdict; REQUESTS.len()]> {
    let mut document: Json = serde_json::from_str(text).expect("every policy is JSON");
    if has_fractions(&document) {
        return None;
    }
    let statements = match document.get_mut("Statement")?.take() {
        Json::Array(statements) => statements,
        single => vec![single],
    };
    let mut strongest = [Verdict::Silent; REQUESTS.len()];
    for statement in statements {
        document["Statement"] = statement;
        let policy = Policy::parse(&document.to_string(), kind).expect("a part of a policy");
        for (most, verdict) in strongest.iter_mut().zip(verdicts(&policy)) {
            *most = verdict.max(*most);
        }
    }
    Some(strongest)
}

fn has_fractions(value: &Json) -> bool {
    match value {
        Json::Number(number) => number.is_f64(),
        Json::Array(items) => items.iter().any(has_fractions),
        Json::Object(members) => members.values().any(has_fractions),
        Json::Null | Json::Bool(_) | Json::String(_) => false,
    }
}
