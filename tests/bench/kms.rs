//! `scripts/bench kms`: ReEncrypt in process, and over HTTP beside moto's server.
//!
//! It is always the same call: 32 bytes under a symmetric key and an encryption context of two
//! pairs go to another symmetric key, with both key ids given. The rounds of what is compared take
//! turns, so that a slow moment of the machine hits all of it, and medians are printed.
//!
//! The part over HTTP runs as the command of `rekeyfs serve -- COMMAND`, which hands it the
//! endpoint, an access key and a Region.

mod load;

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rekeyfs::kms::Kms;
use rekeyfs::kms::api::Operation;
use rekeyfs::kms::audit::AuditLog;
use rekeyfs::kms::caller::Caller;
use rekeyfs::kms::json::parse;
use rekeyfs::kms::rootkey::RootKeySource;
use rekeyfs::kms::service::{KeyService, ReEncryptRequest, parse_re_encrypt};
use rekeyfs::kms::store::Store;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::support;
use load::{CONNECTIONS, Server, Signer};

const ROUNDS: usize = 5;
const ROUND_IN_PROCESS: Duration = Duration::from_millis(500);
const ROUND_OVER_HTTP: Duration = Duration::from_secs(2);

/// Measures in process, then has `rekeyfs serve` start [`over_http`]. `moto`: address and port of
/// moto's server.
pub fn measure(dir: &Path, moto: &str) {
    println!("{}\n", machine());
    in_process(dir);
    println!();
    let status = Command::new(env!("CARGO_BIN_EXE_rekeyfs"))
        .arg("--keystore")
        .arg(dir.join("endpoint.db"))
        .args(["serve", "--"])
        .arg(std::env::current_exe().expect("this program"))
        .arg("kms-over-http")
        .arg(dir)
        .arg(moto)
        .status()
        .expect("rekeyfs");
    assert!(status.success(), "rekeyfs serve: {status}");
}

/// What the figures depend on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown CPU", |rest| {
            rest.trim_start_matches(|letter: char| letter == ':' || letter.is_whitespace())
        });
    format!("{cores} cores, {model}")
}

/// Makes two keys and a ciphertext by `call`; the request that moves it from one to the other.
fn prepare(mut call: impl FnMut(&str, Value) -> Value) -> Value {
    let context = json!({"department": "payroll", "purpose": "benchmark"});
    let mut key = || call("CreateKey", json!({}))["KeyMetadata"]["KeyId"].clone();
    let (source, destination) = (key(), key());
    let plaintext = Value::from(STANDARD.encode([7_u8; 32]));
    let sealed = call(
        "Encrypt",
        json!({"KeyId": source, "Plaintext": plaintext, "EncryptionContext": context}),
    );
    let request = json!({
        "CiphertextBlob": sealed["CiphertextBlob"],
        "SourceEncryptionContext": context,
        "SourceKeyId": source,
        "DestinationKeyId": destination,
        "DestinationEncryptionContext": context,
    });
    let moved = call("ReEncrypt", request.clone());
    let opened = call(
        "Decrypt",
        json!({
            "CiphertextBlob": moved["CiphertextBlob"],
            "EncryptionContext": context,
            "KeyId": destination,
        }),
    );
    assert_eq!(
        opened["Plaintext"], plaintext,
        "ReEncrypt keeps the plaintext"
    );
    request
}

/// What was done in a round.
pub struct Round {
    done: u64,
    seconds: f64,
    /// CPU time of this process, in seconds.
    cpu: f64,
}

impl Round {
    fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    fn rate_per_core(&self) -> f64 {
        self.done as f64 / self.cpu
    }

    fn cpu_micros(&self) -> f64 {
        self.cpu * 1e6 / self.done as f64
    }
}

/// Lets every worker repeat its work for `time`, each on a thread of its own. `settle` waits for
/// what goes on behind them: it is not in the time, but in the CPU time.
fn repeat<W: FnMut() + Send>(workers: Vec<W>, time: Duration, settle: impl FnOnce()) -> Round {
    let stop = &AtomicBool::new(false);
    let (cpu, start) = (cpu_seconds(), Instant::now());
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|mut work| {
                scope.spawn(move || {
                    let mut done = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        work();
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a worker that did not panic"))
            .sum::<u64>()
    });
    let seconds = start.elapsed().as_secs_f64();
    settle();
    Round {
        done,
        seconds,
        cpu: cpu_seconds() - cpu,
    }
}

/// CPU time of all threads of this process.
fn cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

/// The values of all rounds, ascending.
fn sorted(rounds: &[Round], value: impl Fn(&Round) -> f64) -> Vec<f64> {
    let mut values: Vec<_> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(rounds: &[Round], value: impl Fn(&Round) -> f64) -> f64 {
    sorted(rounds, value)[rounds.len() / 2]
}

/// A way to call ReEncrypt in process.
#[derive(Clone, Copy)]
enum Way {
    /// `KeyService::re_encrypt`, as a mount does.
    Typed,
    /// `Kms::call`, from text to text.
    Json,
}

/// A KMS in this process.
struct Local {
    kms: Kms,
    caller: Caller,
    typed: ReEncryptRequest,
    operation: &'static Operation,
    text: String,
}

impl Local {
    fn new(dir: &Path, audited: bool) -> Self {
        std::fs::create_dir(dir).expect("a directory");
        let store = Store::create(&dir.join("keystore.db"), &RootKeySource::File);
        let mut kms = Kms::new(store.expect("a keystore"));
        if audited {
            // One file, never rotated: what was recorded can be counted.
            let log = AuditLog::with_size(&dir.join("audit.jsonl"), u64::MAX);
            kms = kms.with_audit(log.expect("a log"), true);
        }
        let caller = Caller::root("000000000000", "us-east-1");
        let text = prepare(|operation, request| {
            support::call(&kms, &caller, operation, request).expect(operation)
        })
        .to_string();
        let local = Self {
            kms,
            caller,
            typed: parse_re_encrypt(&text).expect("a request"),
            operation: Operation::find("ReEncrypt").expect("in the table"),
            text,
        };
        local.take_recorded();
        local
    }

    fn round(&self, way: Way, threads: usize) -> Round {
        let settle = || {
            if let Some(log) = self.kms.audit() {
                log.flush();
            }
        };
        match way {
            Way::Typed => repeat(
                vec![|| self.call_typed(); threads],
                ROUND_IN_PROCESS,
                settle,
            ),
            Way::Json => repeat(vec![|| self.call_json(); threads], ROUND_IN_PROCESS, settle),
        }
    }

    fn call_typed(&self) {
        let answer = KeyService::re_encrypt(&self.kms, &self.caller, &self.typed);
        black_box(answer.expect("re-encrypted"));
    }

    fn call_json(&self) {
        let request = parse(self.text.as_bytes()).expect("JSON");
        let answer = self.kms.call(&self.caller, self.operation, request);
        black_box(answer.expect("re-encrypted").to_string());
    }

    /// Counts the events in the log and empties it; `None` without a log.
    fn take_recorded(&self) -> Option<u64> {
        let log = self.kms.audit()?;
        log.flush();
        let lines = std::fs::read_to_string(log.path()).expect("the log");
        let file = std::fs::OpenOptions::new().write(true).open(log.path());
        file.and_then(|file| file.set_len(0)).expect("emptied");
        let recorded = lines
            .lines()
            .filter(|line| !line.contains("\"EventsDropped\""))
            .count();
        Some(recorded as u64)
    }
}

/// What is measured in process.
struct Variant<'a> {
    local: &'a Local,
    way: Way,
    threads: usize,
    rounds: Vec<Round>,
    recorded: Option<u64>,
}

fn in_process(dir: &Path) {
    let locals = [("plain", false), ("audited", true)]
        .map(|(name, audited)| Local::new(&dir.join(name), audited));
    let mut variants = Vec::new();
    for local in &locals {
        for (way, threads) in [
            (Way::Typed, 1),
            (Way::Typed, 2),
            (Way::Json, 1),
            (Way::Json, 2),
        ] {
            variants.push(Variant {
                local,
                way,
                threads,
                rounds: Vec::new(),
                recorded: None,
            });
        }
    }
    for _ in 0..ROUNDS {
        for variant in &mut variants {
            let round = variant.local.round(variant.way, variant.threads);
            variant.rounds.push(round);
            if let Some(recorded) = variant.local.take_recorded() {
                *variant.recorded.get_or_insert(0) += recorded;
            }
        }
    }
    println!("| ReEncrypt in process | threads | audit log | op/s | op/s and core | recorded |");
    println!("|---|---|---|---|---|---|");
    for variant in &variants {
        let way = match variant.way {
            Way::Typed => "KeyService::re_encrypt",
            Way::Json => "Kms::call, text to text",
        };
        let done: u64 = variant.rounds.iter().map(|round| round.done).sum();
        let (log, recorded) = match variant.recorded {
            None => ("no", String::new()),
            Some(count) => {
                let share = 100.0 * count as f64 / done as f64;
                ("yes", format!("{share:.1} %"))
            }
        };
        println!(
            "| {way} | {} | {log} | {:.0} | {:.0} | {recorded} |",
            variant.threads,
            median(&variant.rounds, Round::rate),
            median(&variant.rounds, Round::rate_per_core),
        );
    }
    println!(
        "Medians of {ROUNDS} rounds of {} ms. Cores are counted by CPU time, that of the audit \
         log's thread included.",
        ROUND_IN_PROCESS.as_millis()
    );
}

/// Measures the endpoint of the environment and moto's server, with one load generator.
pub fn over_http(moto: &str) {
    let signer = Signer::from_environment();
    let url = load::variable("AWS_ENDPOINT_URL_KMS");
    let ours = url.trim_start_matches("http://").trim_end_matches('/');
    let servers =
        [("rekeyfs serve", ours), ("moto's server", moto)].map(|(name, address)| Server {
            name,
            address,
            signer: &signer,
        });
    let requests = servers
        .each_ref()
        .map(|server| prepare(|operation, body| server.call(operation, &body)));
    let mut rounds = [Vec::new(), Vec::new()];
    let mut opened = [0, 0];
    for _ in 0..ROUNDS {
        for (at, server) in servers.iter().enumerate() {
            let (round, connections) = server.load("ReEncrypt", &requests[at], ROUND_OVER_HTTP);
            rounds[at].push(round);
            opened[at] += connections;
        }
    }
    println!(
        "| ReEncrypt over HTTP, {CONNECTIONS} connections | op/s | least | most | connections \
         opened | load generator's CPU, us a request |"
    );
    println!("|---|---|---|---|---|---|");
    for (at, server) in servers.iter().enumerate() {
        let rates = sorted(&rounds[at], Round::rate);
        println!(
            "| {} | {:.0} | {:.0} | {:.0} | {} | {:.1} |",
            server.name,
            rates[ROUNDS / 2],
            rates[0],
            rates[ROUNDS - 1],
            opened[at],
            median(&rounds[at], Round::cpu_micros),
        );
    }
    let [ours, moto] = rounds.map(|rounds| median(&rounds, Round::rate));
    println!("rekeyfs serve / moto's server: {:.1}", ours / moto);
    println!(
        "Medians of {ROUNDS} rounds of {} s, in turns. Every request asks for keep-alive and is \
         signed; moto's server does not check signatures, and closes the connection after each \
         answer.",
        ROUND_OVER_HTTP.as_secs()
    );
}
