//! Reseals of a mounted volume: the thread that works on them, and how far each is.
//!
//! A reseal begins in the request that asks for it, so that what is refused is refused there. The
//! rest is done by one thread, some of it at a time: a request that comes in between waits for one
//! step at most. Holds no lock of its own while it works.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::tree::{Node, Tree};
use crate::kms::service::Caller;
use crate::volume::{Envelope, Id, Kind, Reseal, ResealProgress, Step, VolumeError};

/// Reseals whose end is remembered.
const KEPT: usize = 4096;

/// The reseals of a mount.
#[derive(Default)]
pub(super) struct Resealing {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: HashMap<Id, Job>,
    /// Every object of `jobs`, the oldest first.
    order: VecDeque<Id>,
    queue: VecDeque<Id>,
    stopped: bool,
}

enum Job {
    /// Interrupted in an earlier session, and to be gone on with for whoever has opened it.
    Left {
        node: Arc<Node>,
        caller: Caller,
    },
    Running(Arc<Reseal>),
    Ended {
        progress: ResealProgress,
        fault: Option<String>,
        /// It was the key service that ended it.
        by_key: bool,
    },
}

impl Job {
    fn is_over(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

fn begin(tree: &Tree, node: &Arc<Node>, caller: &Caller) -> Result<Reseal, VolumeError> {
    match node.kind {
        Kind::Directory => Reseal::of_directory(&tree.directory(node)?, caller),
        _ => Reseal::of_file(&tree.envelope(node)?, caller),
    }
}

impl Resealing {
    /// Begins a reseal of a node's object.
    ///
    /// # Errors
    /// [`VolumeError::ResealRuns`], and those of [`Reseal::of_file`].
    pub fn begin(&self, tree: &Tree, node: &Arc<Node>, caller: &Caller) -> Result<(), VolumeError> {
        let object = tree.envelope(node)?.header().object;
        if self.runs(&object) {
            return Err(VolumeError::ResealRuns);
        }
        let reseal = begin(tree, node, caller)?;
        self.add(object, Job::Running(Arc::new(reseal)));
        Ok(())
    }

    /// Goes on with a reseal that an earlier session has left, soon.
    pub fn resume(&self, node: &Arc<Node>, envelope: &Envelope, caller: &Caller) {
        if !envelope.is_resealing() || envelope.volume().is_read_only() {
            return;
        }
        let object = envelope.header().object;
        if self.may_resume(&object) {
            let (node, caller) = (Arc::clone(node), caller.clone());
            self.add(object, Job::Left { node, caller });
        }
    }

    /// A disk that was full is full for the next reader too: then somebody asks again.
    fn may_resume(&self, object: &Id) -> bool {
        let state = self.state.lock();
        match state.jobs.get(object) {
            None => true,
            Some(Job::Ended { by_key, .. }) => *by_key,
            Some(Job::Left { .. } | Job::Running(_)) => false,
        }
    }

    fn runs(&self, object: &Id) -> bool {
        let state = self.state.lock();
        state.jobs.get(object).is_some_and(|job| !job.is_over())
    }

    fn add(&self, object: Id, job: Job) {
        let mut state = self.state.lock();
        if state.jobs.get(&object).is_some_and(|job| !job.is_over()) {
            // Two have asked at once: both work on the same header, and one of them is enough.
            return;
        }
        if state.jobs.insert(object, job).is_none() {
            state.order.push_back(object);
        }
        state.queue.push_back(object);
        if state.order.len() > KEPT
            && let Some(oldest) = state.order.pop_front()
        {
            if state.jobs.get(&oldest).is_some_and(Job::is_over) {
                state.jobs.remove(&oldest);
            } else {
                state.order.push_back(oldest);
            }
        }
        self.changed.notify_all();
    }

    /// What `user.kms.reseal` says of an object.
    pub fn describe(&self, envelope: &Envelope) -> Option<String> {
        let header = envelope.header();
        let text = |state: &str, progress: ResealProgress| {
            let ResealProgress {
                epoch,
                done,
                total,
                lost,
            } = progress;
            format!("state={state} epoch={epoch} done={done} total={total} lost={lost}")
        };
        let state = self.state.lock();
        match state.jobs.get(&header.object) {
            Some(Job::Running(reseal)) => Some(text("running", reseal.progress())),
            Some(Job::Ended {
                progress,
                fault: None,
                ..
            }) => Some(text("done", *progress)),
            Some(Job::Ended {
                progress,
                fault: Some(fault),
                ..
            }) => Some(format!("{} error={fault}", text("stopped", *progress))),
            Some(Job::Left { .. }) | None => envelope
                .is_resealing()
                .then(|| format!("state=stopped epoch={}", header.current().number)),
        }
    }

    /// Ends the thread after the step that it is at.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Waits for something to do; `None` at the end.
    fn next(&self) -> Option<Id> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(object) = state.queue.pop_front() {
                return Some(object);
            }
            self.changed.wait(&mut state);
        }
    }

    fn end(&self, object: Id, progress: ResealProgress, fault: Option<&VolumeError>) {
        if let Some(fault) = fault {
            let object = crate::codec::hex(&object);
            log::warn!("object {object}: its reseal has stopped: {fault}");
        }
        let by_key = matches!(fault, Some(VolumeError::Key(_)));
        let fault = fault.map(ToString::to_string);
        let ended = Job::Ended {
            progress,
            fault,
            by_key,
        };
        let running = self.state.lock().jobs.insert(object, ended);
        // Its file may be closed by this: without the lock.
        drop(running);
    }

    /// Works until it is stopped, a step of each reseal in turn.
    pub fn run(&self, tree: &Tree) {
        while let Some(object) = self.next() {
            let reseal = match self.state.lock().jobs.get(&object) {
                Some(Job::Running(reseal)) => Ok(Arc::clone(reseal)),
                Some(Job::Left { node, caller }) => Err((Arc::clone(node), caller.clone())),
                Some(Job::Ended { .. }) | None => continue,
            };
            let reseal = match reseal {
                Ok(reseal) => reseal,
                Err((node, caller)) => match begin(tree, &node, &caller) {
                    Ok(reseal) => {
                        let reseal = Arc::new(reseal);
                        let job = Job::Running(Arc::clone(&reseal));
                        let left = self.state.lock().jobs.insert(object, job);
                        drop(left);
                        reseal
                    }
                    Err(e) => {
                        self.end(object, ResealProgress::default(), Some(&e));
                        continue;
                    }
                },
            };
            let step = reseal.prepare().and_then(|()| tree.reseal(&reseal));
            match step {
                Ok(Step::More(_)) => self.state.lock().queue.push_back(object),
                Ok(Step::Done) => self.end(object, reseal.progress(), None),
                Err(e) => self.end(object, reseal.progress(), Some(&e)),
            }
        }
        let left = std::mem::take(&mut self.state.lock().jobs);
        drop(left);
    }
}
