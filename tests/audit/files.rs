//! The log's files: rotation, several writers, and a place that cannot be written.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rekeyfs::kms::Kms;
use rekeyfs::kms::audit::{AuditLog, files, log_path};
use rekeyfs::kms::rootkey::RootKeySource;
use rekeyfs::kms::store::Store;
use serde_json::{Value, json};

use crate::accounts::{OWNER, World, call, root};
use crate::log::{lines, marked, recorded};

/// A KMS of its own over the keystore, as another process has it.
fn another(world: &World, log: AuditLog) -> Kms {
    let store = Store::open(&world.keystore(), &RootKeySource::File).expect("open");
    Kms::new(store).with_audit(log, false)
}

/// Has something recorded under this mark.
fn record(kms: &Kms, mark: &str) {
    let caller = marked(&root(OWNER), mark);
    let request = json!({"NumberOfBytes": 8});
    call(kms, &caller, "GenerateRandom", request).expect("random bytes");
}

fn flush(kms: &Kms) {
    kms.audit().expect("a log").flush();
}

#[test]
fn a_log_is_its_owners_alone_and_is_made_when_there_is_something_to_write() {
    let world = recorded(false);
    let path = log_path(&world.keystore());
    flush(&world.kms);
    assert!(!path.exists());
    record(&world.kms, "first");
    flush(&world.kms);
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(files(&path), [path]);
}

#[test]
fn what_was_recorded_is_written_when_the_program_ends() {
    let world = World::start();
    let path = world.directory().join("log");
    let kms = another(&world, AuditLog::open(&path).expect("a log"));
    for number in 0..500 {
        record(&kms, &number.to_string());
    }
    drop(kms);
    assert_eq!(lines(&path).len(), 500);
}

#[test]
fn two_writers_rotate_one_log_and_every_line_stays_whole() {
    const LARGEST: u64 = 16 * 1024;
    const EVENTS: usize = 60;
    let world = World::start();
    let path = world.directory().join("log");
    let writers = [(); 2].map(|()| {
        let log = AuditLog::with_size(&path, LARGEST).expect("a log");
        another(&world, log)
    });
    std::thread::scope(|scope| {
        for (number, kms) in writers.iter().enumerate() {
            scope.spawn(move || {
                for event in 0..EVENTS {
                    record(kms, &format!("{number}/{event}"));
                    if event % 5 == 0 {
                        flush(kms);
                    }
                }
                flush(kms);
            });
        }
    });
    let files = files(&path);
    assert!(files.len() > 2, "it was rotated: {files:?}");
    let mut marks = BTreeMap::new();
    for file in &files {
        let size = std::fs::metadata(file).expect("there").len();
        assert!(
            *file == path || size >= LARGEST,
            "{} is not full",
            file.display()
        );
        for event in lines(file) {
            assert_eq!(event["eventName"], "GenerateRandom");
            let mark = event["userAgent"].as_str().expect("a mark").to_owned();
            *marks.entry(mark).or_insert(0) += 1;
        }
    }
    for writer in 0..2 {
        for event in 0..EVENTS {
            let mark = format!("{writer}/{event}");
            assert_eq!(marks.remove(&mark), Some(1), "{mark}");
        }
    }
    assert!(marks.is_empty(), "{marks:?}");
}

#[test]
fn old_files_are_numbered_and_the_oldest_goes() {
    let world = World::start();
    let path = world.directory().join("log");
    let log = AuditLog::with_size(&path, 1).expect("a log");
    let kms = another(&world, log);
    for event in 0..20 {
        record(&kms, &event.to_string());
        flush(&kms);
    }
    let marks: Vec<_> = files(&path)
        .iter()
        .flat_map(|file| lines(file))
        .map(|event| event["userAgent"].clone())
        .collect();
    // One in each file: the eight old ones that are kept, and the one that is written.
    let expected: Vec<Value> = (11..20).map(|event| json!(event.to_string())).collect();
    assert_eq!(marks, expected);
}

/// A way to make a log impossible to write, and to make it possible again.
struct Trouble {
    what: &'static str,
    start: fn(&Path),
    end: fn(&Path),
}

fn parent(log: &Path) -> &Path {
    log.parent().expect("a directory")
}

const TROUBLES: &[Trouble] = &[
    Trouble {
        what: "its directory is not there",
        start: |log| std::fs::remove_dir_all(parent(log)).expect("removed"),
        end: |log| std::fs::create_dir(parent(log)).expect("made"),
    },
    Trouble {
        what: "a directory is in its place",
        start: |log| {
            // The file, if something was written before.
            let _ = std::fs::remove_file(log);
            std::fs::create_dir(log).expect("made");
        },
        end: |log| std::fs::remove_dir(log).expect("removed"),
    },
];

/// The sum of the counts of dropped events.
fn dropped(events: &[Value]) -> u64 {
    events
        .iter()
        .filter(|event| event["eventName"] == "EventsDropped")
        .map(|event| event["additionalEventData"]["count"].as_u64())
        .map(|count| count.expect("a count"))
        .sum()
}

/// Drops five events, one by one or `together`, from a log to which something was `written` before
/// or not.
fn drop_five(trouble: &Trouble, written: bool, together: bool) {
    let place = format!(
        "{}, written before: {written}, together: {together}",
        trouble.what
    );
    let world = World::start();
    let directory = world.directory().join("logs");
    std::fs::create_dir(&directory).expect("made");
    let path = directory.join("log");
    let kms = another(&world, AuditLog::open(&path).expect("a log"));
    if written {
        record(&kms, "before");
        flush(&kms);
    }
    (trouble.start)(&path);
    for event in 0..5 {
        record(&kms, &event.to_string());
        if !together {
            flush(&kms);
        }
    }
    flush(&kms);
    (trouble.end)(&path);
    record(&kms, "at last");
    flush(&kms);
    let events = lines(&path);
    let last = events.iter().any(|event| event["userAgent"] == "at last");
    assert!(last, "{place}: {events:?}");
    assert_eq!(dropped(&events), 5, "{place}");
    // It is said once.
    record(&kms, "and on");
    flush(&kms);
    assert_eq!(dropped(&lines(&path)), 5, "{place}");
}

#[test]
fn a_log_that_cannot_be_written_fails_no_operation_and_counts_what_it_dropped() {
    for trouble in TROUBLES {
        for written in [false, true] {
            for together in [false, true] {
                drop_five(trouble, written, together);
            }
        }
    }
}

#[test]
fn who_is_let_in_nowhere_does_not_fill_the_log() {
    const FAILURES: usize = 4000;
    let world = recorded(false);
    let key = world.key(json!({}));
    let stranger = world.user(OWNER, "Stranger");
    let before = crate::log::events(&world).len();
    for number in 0..FAILURES {
        let request = json!({"KeyId": key});
        call(&world.kms, &stranger, "DescribeKey", request).expect_err("denied");
        // Nothing is dropped because the writer is behind.
        if number % 1000 == 0 {
            flush(&world.kms);
        }
    }
    // Others' failures, and what succeeds, are written all the same.
    let missing = json!({"KeyId": crate::requests::NO_KEY});
    call(&world.kms, &root(OWNER), "DescribeKey", missing).expect_err("not there");
    record(&world.kms, "mine");
    let events = crate::log::events(&world).split_off(before);
    let refused = events
        .iter()
        .filter(|event| event["errorCode"] == "AccessDenied")
        .count();
    // A test with thousands of denied calls has them all; a flood has not.
    assert!((2000..FAILURES).contains(&refused), "{refused}");
    assert_eq!(refused as u64 + dropped(&events), FAILURES as u64);
    let has = |member: &str, value: &str| events.iter().any(|event| event[member] == value);
    assert!(has("errorCode", "NotFoundException") && has("userAgent", "mine"));
}

#[test]
fn a_log_goes_on_when_its_file_is_moved_away() {
    let world = recorded(false);
    let path = log_path(&world.keystore());
    record(&world.kms, "first");
    flush(&world.kms);
    let moved = path.with_extension("moved");
    std::fs::rename(&path, &moved).expect("moved");
    record(&world.kms, "second");
    flush(&world.kms);
    let marks = |path: &Path| -> Vec<Value> {
        let marks = lines(path)
            .into_iter()
            .map(|event| event["userAgent"].clone());
        marks.collect()
    };
    assert_eq!(marks(&moved), [json!("first")]);
    assert_eq!(marks(&path), [json!("second")]);
}
