//! `rekeyfs audit`: filters, forms, and following.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rekeyfs::kms::audit::{AuditLog, files, log_path};
use rekeyfs::kms::caller::Caller;
use serde_json::{Value, json};

use crate::accounts::{Answer, OWNER, World, allow, root};
use crate::log::{marked, recorded};
use crate::requests::PLAINTEXT;

/// How long a line may take to come before it is believed that it never does.
const PATIENCE: Duration = Duration::from_secs(60);

fn rekeyfs(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekeyfs"));
    command
        .env_clear()
        .arg("--keystore")
        .arg(world.keystore())
        .arg("audit")
        .args(arguments);
    command
}

fn run(world: &World, arguments: &[&str]) -> Output {
    let output = rekeyfs(world, arguments).output().expect("rekeyfs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    output
}

fn stdout(world: &World, arguments: &[&str]) -> String {
    String::from_utf8(run(world, arguments).stdout).expect("text")
}

/// The marks of the events that are shown.
fn marks(world: &World, arguments: &[&str]) -> Vec<String> {
    stdout(world, arguments)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .map(|event: Value| event["userAgent"].as_str().expect("a mark").to_owned())
        .collect()
}

/// Some events, marked with numbers from 1, and nothing else in the log.
struct Recorded {
    world: World,
    alice: Caller,
    bob: Caller,
    key: String,
    other: String,
}

fn scenario() -> Recorded {
    let world = recorded(false);
    let alice = world.user(OWNER, "Alice");
    let bob = world.user(OWNER, "Bob");
    world.let_user(&alice, &[allow("kms:*")]);
    let key = world.key(json!({}));
    let other = world.key(json!({}));
    let request = json!({"AliasName": "alias/one", "TargetKeyId": key});
    world.must(&root(OWNER), "CreateAlias", request);
    let ciphertext = world.seal(&key, &json!({"a": "b"}));
    world.kms.audit().expect("a log").flush();
    std::fs::remove_file(log_path(&world.keystore())).expect("removed");

    let encrypt = |key: &str| json!({"KeyId": key, "Plaintext": PLAINTEXT});
    let mut number = 0;
    let mut ask = |caller: &Caller, operation: &str, request: Value| -> Answer {
        number += 1;
        world.call(&marked(caller, &number.to_string()), operation, request)
    };
    let owner = root(OWNER);
    let moved = json!({
        "CiphertextBlob": ciphertext,
        "SourceEncryptionContext": {"a": "b"},
        "DestinationKeyId": other,
    });
    let answers = [
        ask(&alice, "Encrypt", encrypt(&key)),
        ask(&alice, "Encrypt", encrypt("alias/one")),
        ask(&bob, "Encrypt", encrypt(&other)),
        ask(&owner, "ReEncrypt", moved),
        ask(&owner, "Decrypt", json!({"CiphertextBlob": ciphertext})),
        ask(&owner, "GenerateRandom", json!({"NumberOfBytes": 8})),
    ];
    let succeeded: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(succeeded, [true, true, false, true, false, true]);
    world.kms.audit().expect("a log").flush();
    Recorded {
        world,
        alice,
        bob,
        key,
        other,
    }
}

#[test]
fn events_are_filtered_by_key_principal_event_and_error() {
    let recorded = scenario();
    let (alice, owner) = (&recorded.alice.principal, root(OWNER).principal);
    let key = recorded.key.as_str();
    let id = key.rsplit('/').next().expect("an ID");
    let table: &[(&[&str], &str)] = &[
        (&[], "1 2 3 4 5 6"),
        (&["--key", key], "1 2 4 5"),
        (&["--key", id], "1 2 4 5"),
        (&["--key", &recorded.other], "3 4"),
        // By the name that was used.
        (&["--key", "alias/one"], "2"),
        (&["--key", "alias/none"], ""),
        (&["--event", "ReEncrypt"], "4"),
        (&["--event", "encrypt"], "1 2 3"),
        (&["--event", "Nonsense"], ""),
        (&["--error"], "3 5"),
        (&["--error", "AccessDenied"], "3"),
        (&["--error", "InvalidCiphertextException"], "5"),
        (&["--error", "DisabledException"], ""),
        (&["--principal", alice], "1 2"),
        (&["--principal", "Bob"], "3"),
        (&["--principal", &owner], "4 5 6"),
        (&["--principal", "Nobody"], ""),
        (&["--principal", &owner, "--event", "Decrypt"], "5"),
        (&["--key", key, "--error"], "5"),
        (
            &["--key", key, "--event", "Encrypt", "--principal", "Alice"],
            "1 2",
        ),
    ];
    for (arguments, expected) in table {
        let found = marks(&recorded.world, arguments).join(" ");
        assert_eq!(found, *expected, "{arguments:?}");
    }
    // Shown as they are recorded.
    let log = std::fs::read_to_string(log_path(&recorded.world.keystore())).expect("a log");
    assert_eq!(stdout(&recorded.world, &[]), log);
}

#[test]
fn a_table_has_a_line_for_each_event() {
    let recorded = scenario();
    let shown = stdout(&recorded.world, &["--output", "table"]);
    let lines: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 7, "{shown}");
    assert_eq!(lines[0], ["TIME", "EVENT", "PRINCIPAL", "ERROR", "KEYS"]);
    let (bob, alice) = (&recorded.bob.principal, &recorded.alice.principal);
    assert_eq!(lines[1][1..], ["Encrypt", alice, &recorded.key]);
    assert_eq!(
        lines[3][1..],
        ["Encrypt", bob, "AccessDenied", &recorded.other]
    );
    let owner = root(OWNER).principal;
    assert_eq!(
        lines[4][1..],
        ["ReEncrypt", &owner, &recorded.key, &recorded.other]
    );
    assert_eq!(lines[6][1..], ["GenerateRandom", &owner]);

    let shown = stdout(&recorded.world, &["--output", "table", "--error"]);
    assert_eq!(shown.lines().count(), 3, "{shown}");
}

#[test]
fn a_log_that_is_not_there_is_empty() {
    let world = World::start();
    assert_eq!(stdout(&world, &[]), "");
}

/// A world whose log is rotated every few lines.
fn small() -> World {
    World::make(|kms, keystore| {
        let log = AuditLog::with_size(&log_path(keystore), 2000).expect("a log");
        kms.with_audit(log, false)
    })
}

fn record(world: &World, operation: &str, mark: &str) {
    let caller = marked(&root(OWNER), mark);
    let request = match operation {
        "GenerateRandom" => json!({"NumberOfBytes": 8}),
        _ => json!({}),
    };
    world.must(&caller, operation, request);
    world.kms.audit().expect("a log").flush();
}

#[test]
fn old_files_are_shown_too_in_the_order_of_the_events() {
    let world = small();
    let expected: Vec<String> = (0..15).map(|number| number.to_string()).collect();
    for mark in &expected {
        record(&world, "GenerateRandom", mark);
    }
    assert!(
        files(&log_path(&world.keystore())).len() > 2,
        "it was rotated"
    );
    assert_eq!(marks(&world, &[]), expected);
}

/// A `rekeyfs audit --follow` that runs until this is dropped.
struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut child = rekeyfs(world, arguments)
            .arg("--follow")
            .stdout(Stdio::piped())
            .spawn()
            .expect("rekeyfs");
        let stdout = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        // It ends with the child.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }

    fn mark(&self) -> String {
        let event: Value = serde_json::from_str(&self.line()).expect("JSON");
        event["userAgent"].as_str().expect("a mark").to_owned()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_comes_is_shown_as_it_comes_across_rotations() {
    let world = small();
    record(&world, "GenerateRandom", "before");
    let follower = Follower::start(&world, &["--event", "GenerateRandom"]);
    assert_eq!(follower.mark(), "before");
    for number in 0..30 {
        // Other events come as well, and are not shown.
        record(&world, "ListKeys", "not shown");
        record(&world, "GenerateRandom", &number.to_string());
        assert_eq!(follower.mark(), number.to_string());
    }
    assert!(
        files(&log_path(&world.keystore())).len() > 5,
        "it was rotated"
    );
}

#[test]
fn a_log_that_is_not_there_yet_can_be_followed() {
    let world = small();
    let follower = Follower::start(&world, &["--output", "table"]);
    assert!(follower.line().starts_with("TIME"));
    record(&world, "GenerateRandom", "first");
    let line = follower.line();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[1], "GenerateRandom", "{line}");
}
