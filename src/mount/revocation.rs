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

use std::collections::HashMap;
use std::sync::Arc;
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
            for number in dropped {
                // Somebody may have opened it again: then its pages are in use.
                if !self.handles.has(number) {
                    self.invalidate(number);
                }
            }
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
        let mut numbers: Vec<u64> = refused.iter().map(|file| file.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            // Pages are shared: they stay while somebody else may read them.
            let in_use = self.handles.all().iter().any(|object| {
                matches!(&**object, OpenObject::File(file) if file.number == number && file.is_open())
            });
            if !in_use {
                self.invalidate(number);
            }
        }
        for file in refused {
            if let Err(e) = file.take_back() {
                let object = crate::codec::hex(&file.envelope.header().object);
                log::error!("object {object}: changes could not be written and are lost: {e}");
            }
        }
    }

    /// Lets the kernel write back and drop what it has of a file.
    fn invalidate(&self, number: u64) {
        let notifier = self.notifier.clone();
        let (done, finished) = std::sync::mpsc::channel();
        // In a thread of its own: a program that stops answering must not stop this one.
        let spawned = std::thread::Builder::new()
            .name("rekeyfs-drop".to_owned())
            .spawn(move || {
                let result = notifier.inval_inode(INodeNo(number), 0, 0);
                let _ = done.send(result);
            });
        match spawned.map(|_| finished.recv_timeout(DRAIN)) {
            Ok(Ok(Ok(()))) => {}
            // The kernel knows no such inode any more.
            Ok(Ok(Err(e))) if e.kind() == std::io::ErrorKind::NotFound => {}
            Ok(Ok(Err(e))) => log::warn!("inode {number}: cached pages could not be dropped: {e}"),
            Ok(Err(_)) => log::error!("inode {number}: write-back took longer than {DRAIN:?}"),
            Err(e) => log::error!("inode {number}: cached pages are not dropped: {e}"),
        }
    }
}
