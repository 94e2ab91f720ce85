//! The file of the audit log, and the thread that writes it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Event, VERSION, add_line};

/// Events that may wait to be written.
const QUEUE: usize = 16 * 1024;
/// The size at which a file is rotated, and how many old ones are kept.
const LARGEST: u64 = 64 * 1024 * 1024;
const KEPT: usize = 8;
/// How long the writer lets events gather.
const PAUSE: Duration = Duration::from_millis(5);
/// Bytes that are written at once.
const BATCH: usize = 64 * 1024;

enum Message {
    Event(Box<Event>),
    /// Everything before this is in the file when the answer comes.
    Flush(SyncSender<()>),
}

/// An audit log that is being written.
pub struct AuditLog {
    sender: Option<SyncSender<Message>>,
    dropped: Arc<AtomicU64>,
    worker: Mutex<Option<std::thread::JoinHandle<()>>>,
    path: PathBuf,
}

/// The log of a keystore: beside it, so that it is found with it.
pub fn log_path(keystore: &Path) -> PathBuf {
    let mut name = keystore.as_os_str().to_owned();
    name.push(".audit.jsonl");
    PathBuf::from(name)
}

/// The files of a log, the oldest first; the last one is being written.
pub fn files(path: &Path) -> Vec<PathBuf> {
    (1..=KEPT)
        .rev()
        .map(|number| numbered(path, number))
        .filter(|path| path.exists())
        .chain([path.to_owned()])
        .collect()
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

impl AuditLog {
    /// Appends to the log at `path`, which is made when there is something to write.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        Self::with_size(path, LARGEST)
    }

    /// As [`AuditLog::open`], with files of about `largest` bytes.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn with_size(path: &Path, largest: u64) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            path: path.to_owned(),
            largest,
            file: None,
            dropped: Arc::clone(&dropped),
            torn: false,
            complained: false,
            refusals: Refusals::default(),
            refused: 0,
        };
        let worker = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Self {
            sender: Some(sender),
            dropped,
            worker: Mutex::new(Some(worker)),
            path: path.to_owned(),
        })
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands an event over; never waits.
    pub fn record(&self, event: Event) {
        let Some(sender) = &self.sender else { return };
        match sender.try_send(Message::Event(Box::new(event))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until everything that was recorded is in the file.
    pub fn flush(&self) {
        let (answer, wait) = sync_channel(1);
        if let Some(sender) = &self.sender
            && sender.send(Message::Flush(answer)).is_ok()
        {
            self.hurry();
            let _ = wait.recv();
        }
    }
}

impl AuditLog {
    /// Ends the worker's pause, now or when it comes.
    fn hurry(&self) {
        if let Some(worker) = &*self.worker.lock() {
            worker.thread().unpark();
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        // The worker ends when the last sender is gone, with everything written.
        self.sender = None;
        self.hurry();
        if let Some(worker) = self.worker.lock().take() {
            let _ = worker.join();
        }
    }
}

/// Lines that wait to be written, and the number of events that they tell of.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    events: u64,
}

/// Failures of one principal that are written at once, and per second from then on; what is beyond
/// is only counted: whoever is let in nowhere must not be able to rotate away what others did.
const FAILURES_AT_ONCE: i64 = 2000;
const FAILURES_PER_SECOND: i64 = 20;
/// Principals that are told apart; whoever may call as more of them is not bounded by this.
const MOST_PRINCIPALS: usize = 4096;

/// What each principal has used of its failures: a count that leaks, and the time (milliseconds)
/// up to which it has leaked.
#[derive(Default)]
struct Refusals(std::collections::HashMap<String, (i64, i64)>);

impl Refusals {
    fn are_too_many(&mut self, event: &Event) -> bool {
        let Some(principal) = event.refused_principal() else {
            return false;
        };
        if self.0.len() >= MOST_PRINCIPALS && !self.0.contains_key(principal) {
            self.0.clear();
        }
        let fresh = (0, event.time);
        let (used, since) = self.0.entry(principal.to_owned()).or_insert(fresh);
        // Events of one moment may come out of order: time only goes on.
        let leaked = (event.time - *since).max(0) * FAILURES_PER_SECOND / 1000;
        if leaked > 0 {
            *used = (*used - leaked).max(0);
            *since = event.time;
        }
        if *used >= FAILURES_AT_ONCE {
            return true;
        }
        *used += 1;
        false
    }
}

struct Writer {
    path: PathBuf,
    largest: u64,
    file: Option<File>,
    dropped: Arc<AtomicU64>,
    /// Whether the last write may have left half a line.
    torn: bool,
    complained: bool,
    refusals: Refusals,
    /// Failures that were too many, and are not yet counted as dropped.
    refused: u64,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        let mut batch = Batch::default();
        while let Ok(first) = receiver.recv() {
            // Others follow, most often: woken once, the thread writes them all.
            if matches!(first, Message::Event(_)) {
                std::thread::park_timeout(PAUSE);
            }
            let mut next = Some(first);
            let mut waiting = Vec::new();
            while let Some(message) = next {
                match message {
                    Message::Event(event) => {
                        if self.refusals.are_too_many(&event) {
                            self.refused += 1;
                        } else {
                            event.write(&mut batch.bytes);
                            batch.events += 1;
                        }
                    }
                    Message::Flush(answer) => waiting.push(answer),
                }
                if batch.bytes.len() >= BATCH {
                    self.write(&mut batch);
                }
                next = receiver.try_recv().ok();
            }
            // What is only counted makes no line by itself, or it would be no smaller.
            if batch.events > 0 || !waiting.is_empty() {
                self.count_refused();
            }
            self.write(&mut batch);
            self.write_dropped();
            for answer in waiting {
                let _ = answer.send(());
            }
        }
        self.count_refused();
        self.write_dropped();
    }

    fn count_refused(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        self.dropped.fetch_add(refused, Ordering::Relaxed);
    }

    /// Says how many events were dropped, if any were.
    fn write_dropped(&mut self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped == 0 {
            return;
        }
        let mut batch = Batch {
            bytes: Vec::new(),
            // If this cannot be written either, they are still to be told of.
            events: dropped,
        };
        add_line(&mut batch.bytes, &dropped_line(dropped));
        self.write(&mut batch);
    }

    fn write(&mut self, batch: &mut Batch) {
        if batch.bytes.is_empty() {
            return;
        }
        if self.torn {
            batch.bytes.insert(0, b'\n');
        }
        let (opened, result) = match self.current() {
            Ok(mut file) => (true, file.write_all(&batch.bytes)),
            Err(e) => (false, Err(e)),
        };
        match result {
            Ok(()) => (self.complained, self.torn) = (false, false),
            Err(e) => {
                self.file = None;
                self.torn |= opened;
                self.dropped.fetch_add(batch.events, Ordering::Relaxed);
                if !self.complained {
                    log::error!("audit log {}: {e}", self.path.display());
                }
                self.complained = true;
            }
        }
        batch.bytes.clear();
        batch.events = 0;
    }

    /// The file that is to be written now: another process may have rotated it.
    fn current(&mut self) -> std::io::Result<&File> {
        let mut file = match self.file.take() {
            Some(file) if is_at(&file, &self.path) => file,
            Some(_) | None => open_to_append(&self.path)?,
        };
        if file.metadata()?.len() >= self.largest {
            // Whoever has the lock rotates; until then the file grows.
            let lock = rustix::fs::FlockOperation::NonBlockingLockExclusive;
            if rustix::fs::flock(&file, lock).is_ok() {
                if is_at(&file, &self.path) {
                    rotate(&self.path)?;
                }
                file = open_to_append(&self.path)?;
            }
        }
        Ok(self.file.insert(file))
    }
}

/// Opens the file; half a line that another program left is ended.
fn open_to_append(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::FileExt;
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let mut last = [b'\n'];
    if let Some(at) = file.metadata()?.len().checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

fn rotate(path: &Path) -> std::io::Result<()> {
    for number in (1..KEPT).rev() {
        let from = numbered(path, number);
        if from.exists() {
            std::fs::rename(from, numbered(path, number + 1))?;
        }
    }
    std::fs::rename(path, numbered(path, 1))
}

fn dropped_line(count: u64) -> Value {
    json!({
        "eventVersion": VERSION,
        "eventTime": crate::kms::iso_time(crate::kms::now()),
        "eventSource": "kms.amazonaws.com",
        "eventName": "EventsDropped",
        "eventType": "AwsServiceEvent",
        "additionalEventData": {"count": count},
        "eventID": crate::kms::new_id().to_string(),
    })
}
