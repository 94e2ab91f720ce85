//! The thread that lets held changes down: a second after the first of them came, or when a file
//! with some of them was closed.
//!
//! It holds no lock while it works, and no file open that has nothing waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::file::{File, Handle};
use super::rewrap::Envelope;

/// How long a change may wait.
const LINGER: Duration = Duration::from_secs(1);

/// The thread, if there is one, and what it has to do.
pub(super) struct Flusher {
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Files in which something waits, each once, by the address of its envelope: that is nobody
    /// else's while it is here.
    open: BTreeMap<usize, Weak<Envelope>>,
    /// Files that were closed while something waited.
    closed: Vec<Handle>,
    /// When the oldest of them came.
    since: Option<Instant>,
    /// There is much of it.
    hurry: bool,
    /// Nothing is taken any more.
    stopped: bool,
}

impl Flusher {
    /// A flusher; without `background` it has no thread and keeps nothing.
    pub fn new(background: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = background.then(|| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("rekeyfs-flusher".to_owned())
                .spawn(move || run(&shared))
        });
        let thread = thread.and_then(|spawned| {
            spawned
                .inspect_err(|e| log::warn!("no thread to write back with: {e}"))
                .ok()
        });
        shared.queue.lock().stopped = thread.is_none();
        Self {
            shared,
            thread: Mutex::new(thread),
        }
    }

    /// Something waits in the open file of an envelope.
    pub fn wake(&self, envelope: &Arc<Envelope>) {
        let (address, file) = (Arc::as_ptr(envelope).addr(), Arc::downgrade(envelope));
        self.shared.add(|queue| {
            queue.open.insert(address, file);
        });
    }

    /// Whether there is a thread.
    pub fn is_running(&self) -> bool {
        !self.shared.queue.lock().stopped
    }

    /// Lets down what waits at once.
    pub fn hurry(&self) {
        let mut queue = self.shared.queue.lock();
        queue.hurry = !queue.stopped;
        self.shared.changed.notify_all();
    }

    /// Keeps a file open until nothing waits in it, in place of its last handle. Tells whether it
    /// does: not without a thread.
    pub fn keep(&self, file: &Arc<File>) -> bool {
        self.shared
            .add(|queue| queue.closed.push(Handle::in_place(file)))
    }

    /// Lets everything down and ends the thread.
    pub fn stop(&self) {
        self.shared.queue.lock().stopped = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            log::error!("internal error: the thread that writes back panicked");
        }
    }
}

impl Drop for Flusher {
    /// The last reference to the volume may be the thread's own: it is not waited for.
    fn drop(&mut self) {
        self.shared.queue.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn add(&self, add: impl FnOnce(&mut Queue)) -> bool {
        let mut queue = self.queue.lock();
        if queue.stopped {
            return false;
        }
        add(&mut queue);
        if queue.since.is_none() {
            queue.since = Some(Instant::now());
            self.changed.notify_all();
        }
        true
    }

    /// Waits until there is something to do; `None` at the end.
    fn next(&self) -> Option<(Vec<Weak<Envelope>>, Vec<Handle>)> {
        let mut queue = self.queue.lock();
        loop {
            let due = queue.since.map(|since| since + LINGER);
            let now = Instant::now();
            let waits = !queue.open.is_empty() || !queue.closed.is_empty();
            if queue.stopped || due.is_some_and(|due| due <= now) || queue.hurry && waits {
                if queue.open.is_empty() && queue.closed.is_empty() {
                    return None;
                }
                queue.since = None;
                queue.hurry = false;
                let queue = &mut *queue;
                return Some((
                    std::mem::take(&mut queue.open).into_values().collect(),
                    std::mem::take(&mut queue.closed),
                ));
            }
            match due {
                Some(due) => {
                    self.changed.wait_until(&mut queue, due);
                }
                None => self.changed.wait(&mut queue),
            }
        }
    }
}

fn run(shared: &Shared) {
    while let Some((open, closed)) = shared.next() {
        for envelope in open {
            let Some(envelope) = envelope.upgrade() else {
                continue;
            };
            let landed = envelope.with_joined_file(File::land);
            if let Some(Err(e)) = landed {
                log::warn!("a change could not be written and waits: {e}");
            }
        }
        for handle in closed {
            if let Err(e) = handle.land() {
                handle.give_up(&e);
            }
        }
    }
}
