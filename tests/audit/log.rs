//! A keystore whose operations are recorded, and what is recorded of them.

use std::path::Path;

use rekeyfs::kms::audit::{AuditLog, log_path};
use rekeyfs::kms::caller::{Caller, Source};
use serde_json::Value;

use crate::accounts::World;

/// A keystore with a log; `ordinary`: the opens and creates of a mount are recorded too.
pub fn recorded(ordinary: bool) -> World {
    World::make(|kms, keystore| {
        let log = AuditLog::open(&log_path(keystore)).expect("a log");
        kms.with_audit(log, ordinary)
    })
}

/// The lines of a file, which may not be there.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line");
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

/// Everything that is recorded so far.
pub fn events(world: &World) -> Vec<Value> {
    world.kms.audit().expect("a log").flush();
    lines(&log_path(&world.keystore()))
}

/// What `body` gives, and what is recorded meanwhile.
pub fn recorded_by<T>(world: &World, body: impl FnOnce() -> T) -> (T, Vec<Value>) {
    let before = events(world).len();
    let result = body();
    let after = events(world).split_off(before);
    (result, after)
}

/// The one event of a list.
pub fn only(events: Vec<Value>) -> Value {
    let [event] =
        <[Value; 1]>::try_from(events).unwrap_or_else(|events| panic!("one event, not {events:?}"));
    event
}

/// The caller, by a name that is found again in the log.
pub fn marked(caller: &Caller, mark: &str) -> Caller {
    caller.clone().from_source(Source {
        user_agent: mark.to_owned(),
        ..Source::default()
    })
}
