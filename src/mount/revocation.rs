//! Taking access back from files that are open: `-o revoke=hard`.
//!
//! A thread watches the key service's change counter, four times a second, and once a second asks
//! in any case: key material expires without a change. Whoever may not Decrypt any more is let in
//! no further; the kernel then writes back and drops what it has of the file, if nobody else has
//! it open, and the file is closed behind the handle. Files whose pages are to be dropped at their
//! last close (`-o cache=close`) come the same way.
//!
//! Must hold no lock while the kernel invalidates: it writes dirty pages back meanwhile, through
//! the threads that serve requests.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use fuser::{INodeNo, Notifier};
use parking_lot::{Condvar, Mutex};

use super::handles::{Handles, OpenFile, OpenObject};
use crate::kms::service::{ExceptionKind, KeyService};
use crate::volume::VolumeError;

/// How often the key service is looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often everything is asked for without a change.
const ALWAYS: Duration = Duration::from_secs(1);
/// How long the kernel may write back.
const DRAIN: Duration = Duration::from_secs(30);
/// Files that it writes back at once.
const DROPPERS: usize = 8;

/// What the watcher has to do, shared with those who serve requests.
#[derive(Default)]
pub(super) struct Watch {
    state: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Default)]
struct Wanted {
    stopped: bool,
    /// Files whose pages are to be dropped.
    dropped: Vec<u64>,
}

impl Watch {
    /// Drops the kernel's pages of a file, soon.
    pub(super) fn drop_pages(&self, number: u64) {
        self.state.lock().dropped.push(number);
        self.changed.notify_all();
    }

    /// Ends the watcher.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Waits for a tick; `None` at the end.
    fn next(&self) -> Option<Vec<u64>> {
        let mut state = self.state.lock();
        if state.dropped.is_empty() && !state.stopped {
            self.changed.wait_for(&mut state, TICK);
        }
        (!state.stopped).then(|| std::mem::take(&mut state.dropped))
    }
}

/// The watcher of one mount.
pub(super) struct Watcher {
    pub watch: Arc<Watch>,
    pub handles: Arc<Handles>,
    pub keys: Arc<dyn KeyService>,
    pub notifier: Notifier,
    /// Whether access is taken back from what is open.
    pub hard: bool,
    /// `-o cache=none`: the only pages are those of mappings, and they are dropped whoever else has
    /// the file open.
    pub shares_nothing: bool,
}

/// Whether an answer of the key service takes access away: an answer, not a failure to answer.
fn refuses(error: &VolumeError) -> bool {
    let VolumeError::Key(exception) = error else {
        return false;
    };
    matches!(
        exception.kind(),
        ExceptionKind::AccessDenied
            | ExceptionKind::Disabled
            | ExceptionKind::KmsInvalidState
            | ExceptionKind::NotFound
            | ExceptionKind::InvalidKeyUsage
    )
}

impl Watcher {
    /// Watches until it is stopped.
    pub(super) fn run(&self) {
        let mut seen = None;
        let mut asked = Instant::now();
        while let Some(dropped) = self.watch.next() {
            // Somebody may have opened one again: then its pages are in use.
            let unused = dropped
                .into_iter()
                .filter(|number| !self.handles.has(*number));
            self.invalidate(unused.collect());
            if !self.hard {
                continue;
            }
            // A key service that cannot be reached takes nothing away.
            let Ok(counter) = self.keys.change_counter() else {
                continue;
            };
            if seen.replace(counter) != Some(counter) || asked.elapsed() >= ALWAYS {
                asked = Instant::now();
                self.judge();
            }
        }
    }

    /// Asks for every open file, and takes back what is not allowed any more.
    fn judge(&self) {
        let all = self.handles.all();
        let mut verdicts = HashMap::new();
        let mut refused: Vec<&OpenFile> = Vec::new();
        for object in &all {
            let OpenObject::File(file) = &**object else {
                continue;
            };
            if !file.is_open() {
                continue;
            }
            let wrapped = file.envelope.wrapped();
            let question = (
                file.caller.principal.clone(),
                wrapped.key_arn,
                wrapped.algorithm,
                wrapped.context,
            );
            let allowed = *verdicts.entry(question).or_insert_with(|| {
                match file.envelope.authorise(&file.caller) {
                    Err(e) if refuses(&e) => {
                        log::warn!("open files are closed to {}: {e}", file.caller.principal);
                        false
                    }
                    _ => true,
                }
            });
            if !allowed {
                file.refuse();
                refused.push(file);
            }
        }
        if refused.is_empty() {
            return;
        }
        let mut numbers: HashSet<u64> = refused.iter().map(|file| file.number).collect();
        if !self.shares_nothing {
            // Pages are shared: they stay while somebody else may read them.
            for object in &self.handles.all() {
                if let OpenObject::File(file) = &**object
                    && file.is_open()
                {
                    numbers.remove(&file.number);
                }
            }
        }
        self.invalidate(numbers.into_iter().collect());
        for file in refused {
            if let Err(e) = file.take_back() {
                let object = crate::codec::hex(&file.envelope.header().object);
                log::error!("object {object}: changes could not be written and are lost: {e}");
            }
        }
    }

    /// Lets the kernel write back and drop what it has of files, several at once.
    fn invalidate(&self, numbers: Vec<u64>) {
        let count = numbers.len();
        let queue = Arc::new(Mutex::new(numbers));
        let (done, finished) = std::sync::mpsc::channel();
        for _ in 0..DROPPERS.min(count) {
            let (queue, done) = (Arc::clone(&queue), done.clone());
            let notifier = self.notifier.clone();
            // In threads of their own, which nobody joins: a program that stops answering must stop
            // neither this one nor what is to be said of other files.
            let spawned = std::thread::Builder::new()
                .name("rekeyfs-drop".to_owned())
                .spawn(move || {
                    loop {
                        let Some(number) = queue.lock().pop() else {
                            return;
                        };
                        let result = notifier.inval_inode(INodeNo(number), 0, 0);
                        // Nobody may listen any more; the rest is dropped all the same.
                        let _ = done.send((number, result));
                    }
                });
            if let Err(e) = spawned {
                log::error!("a thread to drop cached pages with: {e}");
            }
        }
        drop(done);
        for left in (1..=count).rev() {
            match finished.recv_timeout(DRAIN) {
                Ok((_, Ok(()))) => {}
                // The kernel knows no such inode any more.
                Ok((_, Err(e))) if e.kind() == std::io::ErrorKind::NotFound => {}
                Ok((number, Err(e))) => {
                    log::warn!("inode {number}: cached pages could not be dropped: {e}");
                }
                Err(RecvTimeoutError::Timeout) => {
                    log::error!("nothing of {left} files was written back for {DRAIN:?}");
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    // There was no thread at all.
                    while let Some(number) = queue.lock().pop() {
                        let _ = self.notifier.inval_inode(INodeNo(number), 0, 0);
                    }
                    return;
                }
            }
        }
    }
}
