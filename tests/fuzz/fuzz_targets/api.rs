//! The API as it is reached over HTTP: bytes to JSON to operations, several in a row.
//!
//! An input has a request in each line: who asks (`+` for Alice, `-` for a stranger from another
//! account, nothing for the account's root user), the operation, a blank, JSON. A string stands for
//! the value of that name, if it has one: a name of the [`World`], or `?` and the name of a member
//! of an answer before.
//!
//! Inputs that change nothing are all answered by one keystore, each other one by a copy that it
//! has for itself: what is found once is found again.
#![no_main]

#[path = "api/world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;
use rekeyfs::kms::Kms;
use rekeyfs::kms::api::{OPERATIONS, Operation};
use rekeyfs::kms::error::{Exception, ExceptionKind};
use rekeyfs::kms::json;
use serde_json::Value;

use world::{Names, Who, World};

/// Requests of an input; further ones are left out.
const MOST: usize = 8;

/// The operations that change nothing.
const READING: &[&str] = &[
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateRandom",
    "GetKeyLastUsage",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "GetParametersForImport",
    "GetPublicKey",
    "ListAliases",
    "ListGrants",
    "ListKeyPolicies",
    "ListKeyRotations",
    "ListKeys",
    "ListResourceTags",
    "ListRetirableGrants",
    "ReEncrypt",
];

fuzz_target!(|data: &[u8]| {
    let lines: Vec<Line> = data
        .split(|byte| *byte == b'\n')
        .take(MOST)
        .filter_map(Line::read)
        .collect();
    let world = World::get();
    let changes = |line: &Line| !READING.contains(&line.operation.name);
    let copy = lines.iter().any(changes).then(|| world.copy());
    let kms = copy.as_ref().unwrap_or(&world.kms);
    if let Some(first) = lines.first()
        && first.who == Who::Stranger
    {
        first.tells_nothing(kms, world);
    }
    let mut names = world.names.clone();
    for line in lines {
        line.run(kms, &mut names);
    }
});

struct Line {
    who: Who,
    operation: &'static Operation,
    request: Value,
}

impl Line {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (who, rest) = match bytes.split_first()? {
            (b'+', rest) => (Who::Alice, rest),
            (b'-', rest) => (Who::Stranger, rest),
            _ => (Who::Root, bytes),
        };
        let blank = rest.iter().position(|byte| *byte == b' ')?;
        let (name, body) = rest.split_at(blank);
        Some(Self {
            who,
            operation: operation(name),
            request: strict(body)?,
        })
    }

    fn run(mut self, kms: &Kms, names: &mut Names) {
        fill(&mut self.request, names);
        if is_slow(&self.request) {
            return;
        }
        let operation = self.operation;
        let invalid = operation.validate(&self.request).err();
        let answer = kms.call(&self.who.caller(), operation, self.request);
        if invalid.is_some() {
            assert_eq!(answer.as_ref().err(), invalid.as_ref());
        }
        match answer {
            Ok(answer) => {
                is_of_the_model(operation, &answer);
                remember(&answer, names);
            }
            Err(fault) => is_no_fault_of_ours(operation, &fault),
        }
    }

    /// A stranger gets the same answer whether there is what the request names or not.
    fn tells_nothing(&self, kms: &Kms, world: &World) {
        let (mut there, mut absent) = (self.request.clone(), self.request.clone());
        fill(&mut there, &world.names);
        fill(&mut absent, &world.absent);
        if there == absent || is_slow(&there) {
            return;
        }
        let [there, absent] = [there, absent].map(|request| {
            kms.call(&self.who.caller(), self.operation, request)
                .map(|_| ())
                .map_err(|fault| world.without_names(&fault.to_string()))
        });
        assert_eq!(there, absent, "{}: {}", self.operation.name, self.request);
    }
}

/// The operation of that name; a name that none has stands for one all the same.
fn operation(name: &[u8]) -> &'static Operation {
    let named = std::str::from_utf8(name).ok().and_then(Operation::find);
    named.unwrap_or_else(|| {
        let sum: usize = name.iter().map(|byte| usize::from(*byte)).sum();
        &OPERATIONS[sum % OPERATIONS.len()]
    })
}

/// Reads JSON as the endpoint does: as serde_json would, where it reads it at all.
fn strict(body: &[u8]) -> Option<Value> {
    match json::parse(body) {
        Ok(value) => {
            let lenient: Option<Value> = serde_json::from_slice(body).ok();
            assert_eq!(lenient.as_ref(), Some(&value));
            Some(value)
        }
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            None
        }
    }
}

/// Puts the values of names in. The depth is bounded by that of the JSON that was read.
fn fill(value: &mut Value, names: &Names) {
    match value {
        Value::String(text) => {
            if let Some(named) = names.get(text.as_str()) {
                text.clone_from(named);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, names)),
        Value::Object(members) => members.values_mut().for_each(|member| fill(member, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether an RSA key would be made: all others take no time.
fn is_slow(request: &Value) -> bool {
    request.as_object().is_some_and(|members| {
        members.iter().any(|(name, value)| {
            let spec = value.as_str().unwrap_or_default();
            name.ends_with("Spec") && spec.starts_with("RSA_")
        })
    })
}

fn is_of_the_model(operation: &Operation, answer: &Value) {
    let Value::Object(members) = answer else {
        panic!("{}: {answer}", operation.name);
    };
    for name in members.keys() {
        let mut known = operation.output.iter();
        assert!(
            known.any(|member| member.name == name),
            "{}: {name}",
            operation.name
        );
    }
}

/// No request can make the KMS fail.
fn is_no_fault_of_ours(operation: &Operation, fault: &Exception) {
    let ours = matches!(
        fault.kind(),
        ExceptionKind::KmsInternal | ExceptionKind::DependencyTimeout
    );
    assert!(!ours, "{}: {fault}", operation.name);
}

/// Gives the texts of an answer names, those of its structures too.
fn remember(answer: &Value, names: &mut Names) {
    for (name, value) in answer.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => {
                names.insert(format!("?{name}"), text.clone());
            }
            inner => remember(inner, names),
        }
    }
}
