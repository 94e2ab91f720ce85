//! What a power cut may find of a group's data pages. FORMAT.md, section 5.
//!
//! Pure bookkeeping. A page that was promised (fsynced, or there when the file was opened) may be
//! changed only after the intent to do so is durable, and changed again only after the first
//! change is. A page that was not may be written at once.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Id;

/// The syncs of one open file, counted when they begin and when they are done.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    begun: AtomicU64,
    done: AtomicU64,
    failed: AtomicBool,
}

impl Syncs {
    /// Begins a sync: nobody writes pages without an intent meanwhile.
    pub fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The sync that was begun as number `number` has succeeded.
    pub fn succeed(&self, number: u64) {
        self.done.fetch_max(number, Ordering::AcqRel);
    }

    /// A sync has failed: the kernel may have dropped what it could not write, and a later success
    /// would say nothing about it.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Whether one has failed.
    pub fn have_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// Objects of which something is known that spares them a sync; as many as are remembered. Of one
/// that is forgotten the worst is assumed.
#[derive(Debug, Default)]
pub(super) struct KnownObjects(Mutex<(HashSet<Id>, VecDeque<Id>)>);

impl KnownObjects {
    const MOST: usize = 1 << 16;

    /// It is so of an object.
    pub fn insert(&self, object: Id) {
        let mut guard = self.0.lock();
        let (known, order) = &mut *guard;
        if !known.insert(object) {
            return;
        }
        order.push_back(object);
        if order.len() > Self::MOST
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
    }

    /// It is not so any more.
    pub fn remove(&self, object: &Id) {
        self.0.lock().0.remove(object);
    }

    /// Whether it is so of an object.
    pub fn contains(&self, object: &Id) -> bool {
        self.0.lock().0.contains(object)
    }
}

/// What is known of the chunks of one group, as bits. All zero: everything is durable.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Medium {
    /// Appended since the last sync began: nothing in the page was ever promised.
    fresh: u64,
    /// Changed since the last sync that is done: the medium may have either state, so that the
    /// entry must keep both.
    changed: u64,
    /// The syncs that had begun when the newest bit was set.
    stamp: u64,
}

impl Medium {
    /// Drops what syncs have settled since.
    pub fn refresh(&mut self, syncs: &Syncs) {
        if self.stamp < syncs.begun.load(Ordering::Acquire) {
            self.fresh = 0;
        }
        if self.stamp < syncs.done.load(Ordering::Acquire) {
            self.changed = 0;
        }
    }

    fn stamp(&mut self, syncs: &Syncs) {
        self.refresh(syncs);
        self.stamp = syncs.begun.load(Ordering::Acquire);
    }

    /// Whether nothing in the page of a chunk was ever promised.
    pub fn is_fresh(&self, chunk: usize) -> bool {
        self.fresh >> chunk & 1 == 1
    }

    /// Whether the medium may have the state before the last change.
    pub fn is_changed(&self, chunk: usize) -> bool {
        self.changed >> chunk & 1 == 1
    }

    /// A page was written behind the end.
    pub fn note_fresh(&mut self, chunk: usize, syncs: &Syncs) {
        self.stamp(syncs);
        self.fresh |= 1 << chunk;
        self.changed &= !(1 << chunk);
    }

    /// A page, or what its entry says, was changed.
    pub fn note_changed(&mut self, chunk: usize, syncs: &Syncs) {
        self.stamp(syncs);
        self.changed |= 1 << chunk;
        self.fresh &= !(1 << chunk);
    }

    /// What the chunk is now is durable, or nothing of it is left.
    pub fn forget(&mut self, chunk: usize) {
        self.changed &= !(1 << chunk);
        self.fresh &= !(1 << chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_page_is_promised_from_the_moment_that_a_sync_begins() {
        let (syncs, mut medium) = (Syncs::default(), Medium::default());
        medium.note_fresh(3, &syncs);
        assert!(medium.is_fresh(3) && !medium.is_fresh(4));
        let number = syncs.begin();
        medium.refresh(&syncs);
        assert!(!medium.is_fresh(3));
        syncs.succeed(number);
    }

    #[test]
    fn a_changed_page_is_settled_by_a_sync_that_began_after_the_change_and_is_done() {
        let (syncs, mut medium) = (Syncs::default(), Medium::default());
        let early = syncs.begin();
        medium.note_changed(0, &syncs);
        syncs.succeed(early);
        medium.refresh(&syncs);
        assert!(medium.is_changed(0), "the sync began before the change");
        let late = syncs.begin();
        medium.refresh(&syncs);
        assert!(medium.is_changed(0), "not done yet");
        syncs.succeed(late);
        medium.refresh(&syncs);
        assert!(!medium.is_changed(0));
    }

    #[test]
    fn an_older_change_is_not_forgotten_when_a_newer_one_comes() {
        let (syncs, mut medium) = (Syncs::default(), Medium::default());
        medium.note_changed(0, &syncs);
        let number = syncs.begin();
        medium.note_changed(1, &syncs);
        syncs.succeed(number);
        medium.refresh(&syncs);
        assert!(
            medium.is_changed(0) && medium.is_changed(1),
            "kept longer than needed, never shorter"
        );
    }
}
