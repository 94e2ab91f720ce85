//! Reseal: another data key for an object, while it is in use. FORMAT.md, section 5.
//!
//! A [`Reseal`] begins with a header that has both data keys. From then on everything is sealed
//! under the new one, and [`Reseal::step`] moves what is still under the old one, some of it at a
//! time: chunks by the same intents, barriers and data writes as an application's changes
//! (`held`), names by renaming them. What is moved says so itself, so a reseal that was
//! interrupted at any point goes on with what it finds. At the end the header loses the old key.
//!
//! Lock order: as in `volume`; the header's `rewrap` is taken while nothing else is held.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::directory::{Directory, Moved};
use super::error::{VolumeError, failed};
use super::file::{File, Handle};
use super::header::Epoch;
use super::layout::{GROUP_CHUNKS, chunks};
use super::page::Entry;
use super::rewrap::{Envelope, caller_for};
use super::subkeys::{Live, ObjectKey};
use crate::kms::service::Caller;

/// Groups that are moved by one barrier: 4 MiB of contents.
const GROUPS_AT_ONCE: usize = 16;
/// Names that are moved while a directory is kept from its users.
const NAMES_AT_ONCE: usize = 64;

/// A reseal that is under way.
pub struct Reseal {
    caller: Caller,
    work: Work,
    done: AtomicU64,
    total: AtomicU64,
    lost: AtomicU64,
}

enum Work {
    File {
        handle: Handle,
        walk: Mutex<Walk>,
    },
    Directory {
        directory: Arc<Directory>,
        /// Stored names that may have to be moved; `None`: they have to be listed.
        waiting: Mutex<Option<Vec<CString>>>,
    },
}

/// Where the walk through a file is.
struct Walk {
    /// The next group that may have to be moved.
    next: Option<u64>,
    /// Writes that had failed when it began: one that fails may put back a chunk under the old key.
    faults: u64,
}

/// How far a reseal is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResealProgress {
    /// The data-key epoch that is made.
    pub epoch: u32,
    /// Groups of 256 KiB of a file, names of a directory: moved, or nothing to move.
    pub done: u64,
    /// All of them.
    pub total: u64,
    /// Chunks and attributes that do not verify: they have no place under the new key.
    pub lost: u64,
}

/// What a step has done.
pub enum Step {
    /// Some more, and these names.
    More(Vec<Moved>),
    /// All: the old data key is gone.
    Done,
}

impl Reseal {
    /// Begins the reseal of a file, or goes on with one that was interrupted.
    ///
    /// # Errors
    /// [`VolumeError::ReadOnly`]; the key service's: the caller needs kms:Decrypt and
    /// kms:GenerateDataKey (kms:Encrypt of an asymmetric key); [`VolumeError::HeaderTooLarge`] when
    /// two wrapped keys do not fit; the backing filesystem's. The old header is in force then.
    pub fn of_file(envelope: &Arc<Envelope>, caller: &Caller) -> Result<Self, VolumeError> {
        let handle = File::open(envelope, caller, false)?;
        handle.begin_reseal(caller)?;
        let groups = handle.last_group() + 1;
        let walk = Mutex::new(Walk::new(&handle));
        Ok(Self::new(caller, groups, Work::File { handle, walk }))
    }

    /// Begins the reseal of a directory, or goes on with one that was interrupted.
    ///
    /// # Errors
    /// As [`Reseal::of_file`].
    pub fn of_directory(directory: &Arc<Directory>, caller: &Caller) -> Result<Self, VolumeError> {
        directory.envelope().authorise(caller)?;
        directory.begin_reseal(caller)?;
        let directory = Arc::clone(directory);
        let waiting = Mutex::new(None);
        Ok(Self::new(caller, 0, Work::Directory { directory, waiting }))
    }

    fn new(caller: &Caller, total: u64, work: Work) -> Self {
        Self {
            caller: caller.clone(),
            work,
            done: AtomicU64::new(0),
            total: AtomicU64::new(total),
            lost: AtomicU64::new(0),
        }
    }

    /// The object's header where it is stored.
    pub fn envelope(&self) -> &Arc<Envelope> {
        match &self.work {
            Work::File { handle, .. } => handle.envelope(),
            Work::Directory { directory, .. } => directory.envelope(),
        }
    }

    /// How far it is.
    pub fn progress(&self) -> ResealProgress {
        ResealProgress {
            epoch: self.envelope().header().current().number,
            done: self.done.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    /// Before a step: asks whether the caller may still Decrypt, and does what nobody has to wait
    /// for.
    ///
    /// # Errors
    /// The key service's, the backing filesystem's.
    pub fn prepare(&self) -> Result<(), VolumeError> {
        self.envelope().authorise(&self.caller)?;
        let Work::Directory { directory, waiting } = &self.work else {
            return Ok(());
        };
        let mut guard = waiting.lock();
        let waiting = match &mut *guard {
            Some(waiting) => waiting,
            None => {
                let listed = directory.names_to_move()?;
                let done = self.done.load(Ordering::Relaxed);
                let total = done + listed.len() as u64;
                self.total.store(total, Ordering::Relaxed);
                guard.insert(listed)
            }
        };
        directory.prepare_names(&waiting[waiting.len().saturating_sub(NAMES_AT_ONCE)..])
    }

    /// Whether the next step gives names other stored names: whoever keeps those keeps others from
    /// using them meanwhile, and takes over the new ones.
    pub fn moves_names(&self) -> bool {
        match &self.work {
            Work::File { .. } => false,
            Work::Directory { waiting, .. } => {
                waiting.lock().as_ref().is_some_and(|w| !w.is_empty())
            }
        }
    }

    /// Moves some more, and ends the reseal when nothing is left.
    ///
    /// # Errors
    /// The backing filesystem's. It can be tried again, now or by another reseal.
    pub fn step(&self) -> Result<Step, VolumeError> {
        match &self.work {
            Work::File { handle, walk } => {
                let mut walk = walk.lock();
                if let Some(from) = walk.next {
                    walk.next = self.move_groups(handle, from)?;
                    return Ok(Step::More(Vec::new()));
                }
                match handle.end_reseal(walk.faults)? {
                    Some(lost) => {
                        self.add_lost(lost);
                        Ok(Step::Done)
                    }
                    None => {
                        *walk = Walk::new(handle);
                        Ok(Step::More(Vec::new()))
                    }
                }
            }
            Work::Directory { directory, waiting } => {
                let mut guard = waiting.lock();
                let Some(waiting) = guard.as_mut() else {
                    return Ok(Step::More(Vec::new()));
                };
                if waiting.is_empty() {
                    let Some(lost) = directory.end_reseal()? else {
                        *guard = None;
                        return Ok(Step::More(Vec::new()));
                    };
                    self.add_lost(lost);
                    return Ok(Step::Done);
                }
                let before = waiting.len();
                let (moved, result) = directory.move_names(waiting, NAMES_AT_ONCE);
                let gone = (before - waiting.len()) as u64;
                self.done.fetch_add(gone, Ordering::Relaxed);
                if gone == 0 {
                    result?;
                }
                // What was moved is moved: a fault is met again by the next step.
                Ok(Step::More(moved))
            }
        }
    }

    /// Moves everything.
    ///
    /// # Errors
    /// As [`Reseal::prepare`] and [`Reseal::step`].
    pub fn run(&self) -> Result<ResealProgress, VolumeError> {
        loop {
            self.prepare()?;
            if let Step::Done = self.step()? {
                return Ok(self.progress());
            }
        }
    }

    fn add_lost(&self, lost: u64) {
        self.lost.fetch_add(lost, Ordering::Relaxed);
    }

    /// Moves some groups from `from` on; returns where to go on.
    fn move_groups(&self, file: &File, from: u64) -> Result<Option<u64>, VolumeError> {
        let mut next = Some(from);
        let (mut lost, mut kept) = (0, Vec::new());
        file.envelope()
            .keeping_times(|| {
                // A punch or a shrink comes before this or after it: what it takes away must not wait
                // here to be let down.
                let len = file.len.read();
                let landing = file.held.land();
                file.land_with(&landing)?;
                for _ in 0..GROUPS_AT_ONCE {
                    let Some(index) = next else {
                        break;
                    };
                    // It keeps what has become LOST in memory until its page is written.
                    kept.push(file.groups.get(index));
                    lost += file.move_group(index, *len)?;
                    self.done.store(index + 1, Ordering::Relaxed);
                    self.total
                        .fetch_max(file.last_group() + 1, Ordering::Relaxed);
                    next = file.next_group(index + 1)?;
                }
                file.land_with(&landing)
            })
            // What waits already is let down by somebody else.
            .inspect_err(|_| file.volume().flusher.wake(file.envelope()))?;
        self.add_lost(lost);
        if next.is_none() {
            // Absent groups at the end count too.
            self.done
                .store(self.total.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        Ok(next)
    }
}

impl Walk {
    fn new(file: &File) -> Self {
        Self {
            next: Some(0),
            faults: file.faults.load(Ordering::Acquire),
        }
    }
}

impl Envelope {
    /// Whether the header has two data keys: a reseal is under way, or was interrupted.
    pub fn is_resealing(&self) -> bool {
        self.header().epochs.len() > 1
    }

    /// Makes a new data key and puts it into the header beside the old one, unless a reseal was
    /// interrupted: then that one goes on.
    fn begin_epoch(&self, caller: &Caller) -> Result<(), VolumeError> {
        let volume = self.volume();
        let _rewrap = self.rewrap.lock();
        let mut new = self.header();
        if new.epochs.len() > 1 {
            return Ok(());
        }
        let wrapped = new.current().wrapped.clone();
        let number = new
            .current()
            .number
            .checked_add(1)
            .ok_or(VolumeError::Invalid {
                what: "a data-key epoch",
            })?;
        let (data_key, wrapped) = volume.keys.new_data_key(
            &caller_for(caller, &wrapped),
            &wrapped.key_arn,
            wrapped.algorithm,
            &wrapped.context,
        )?;
        let key = ObjectKey::new(new.object, data_key);
        let commitment = new.commitment(&key, number);
        new.epochs.push(Epoch {
            number,
            commitment,
            wrapped,
            wrapped_at: super::open::unix_now(),
            made_at: Some(super::open::unix_now()),
        });
        self.replace_header(new)
    }

    /// Takes the old data key out of the header: nothing is sealed under it any more.
    fn end_epoch<T>(&self, current: &Live<T>) -> Result<(), VolumeError> {
        let _rewrap = self.rewrap.lock();
        let mut new = self.header();
        if new.epochs.len() < 2 {
            return Ok(());
        }
        new.verify_commitment(new.current(), &current.key)?;
        new.epochs.remove(0);
        // It covers the lowest live epoch, which is another one now.
        new.epochs[0].commitment = new.commitment(&current.key, current.number);
        self.replace_header(new)
    }
}

impl File {
    fn begin_reseal(&self, caller: &Caller) -> Result<(), VolumeError> {
        self.volume().check_writable()?;
        // Long before anybody has to wait for it.
        self.sync(true)?;
        self.envelope().begin_epoch(caller)?;
        if self.keys().current.number == self.envelope().header().current().number {
            return Ok(());
        }
        let keys = Self::open_keys(self.envelope(), caller)?;
        self.alone(|| {
            self.set_keys(keys);
            Ok(())
        })
    }

    /// Runs `f` while nobody reads or writes, nothing waits, and what was written is durable.
    fn alone<T>(&self, f: impl FnOnce() -> Result<T, VolumeError>) -> Result<T, VolumeError> {
        self.envelope().keeping_times(|| {
            let _len = self.len.write();
            let landing = self.held.land();
            self.land_with(&landing)?;
            let _writing = self.writing.write();
            self.sync_contents(true)?;
            f()
        })
    }

    /// The first present group from `from` on.
    fn next_group(&self, from: u64) -> Result<Option<u64>, VolumeError> {
        match self.next_present(from, self.last_group()) {
            Ok(found) => Ok(found.map(|(group, _)| group)),
            // It is there, and cannot be moved.
            Err(VolumeError::GroupUnverified { group }) => Ok(Some(group)),
            Err(e) => Err(e),
        }
    }

    /// Lets everything of a group that is under the old key wait to be written under the new one.
    /// Returns how many chunks do not verify. `len` is held, and nobody else lets pages down.
    fn move_group(&self, index: u64, len: u64) -> Result<u64, VolumeError> {
        let inside = chunks(len)
            .saturating_sub(index * GROUP_CHUNKS)
            .min(GROUP_CHUNKS);
        let shared = self.groups.get(index);
        let mut slot = shared.write();
        let group = match self.load(&mut slot, index, len) {
            Ok(group) => group,
            Err(e @ VolumeError::Backing { .. }) => return Err(e),
            // Its page stays as it is: what cannot be read has nothing to lose.
            Err(_) => return Ok(inside),
        };
        if !group.present {
            return Ok(0);
        }
        let first = index * GROUP_CHUNKS;
        let mut stored = self.read_stored(first, GROUP_CHUNKS as usize)?;
        let held = self.held.mask(first, GROUP_CHUNKS as usize);
        let mut page = group.page.clone();
        let (mut lost, mut moving) = (0, Vec::new());
        for (at, bytes) in stored.iter_mut().enumerate() {
            if held >> at & 1 == 1 {
                // What waits is sealed under the new key when it is let down.
                continue;
            }
            match page.entry(at) {
                Entry::Data { current, .. } if !group.key.seals(&current) => {
                    if self.open_page(&group.key, first + at as u64, &current, bytes) {
                        moving.push((first + at as u64, Arc::new(bytes.0)));
                    } else {
                        lost += 1;
                        page.set(at, Entry::Lost);
                    }
                }
                Entry::Malformed => lost += 1,
                Entry::Data { .. } | Entry::Hole | Entry::Lost => {}
            }
        }
        if page != group.page {
            group.page = page;
            group.differs = true;
        }
        if moving.is_empty() && held == 0 {
            let mut page = group.page.clone();
            self.raise_epoch(&mut page);
            if page != group.page || group.differs {
                self.replace_page(&mut slot, index, page, false)?;
            }
            return Ok(lost);
        }
        self.hold_for_reseal(moving);
        Ok(lost)
    }

    /// Ends the reseal: everything is under the new key, if no write has failed since there were
    /// `faults` of them. Returns how many attributes do not verify, or `None` if one has.
    fn end_reseal(&self, faults: u64) -> Result<Option<u64>, VolumeError> {
        let lost = self
            .envelope()
            .keeping_times(|| self.volume().move_xattrs(self.envelope().reader(), self))?;
        self.sync(false)?;
        let ended = self.alone(|| {
            let keys = self.keys();
            if keys.old.is_none() {
                return Ok(true);
            }
            if self.faults.load(Ordering::Acquire) != faults {
                return Ok(false);
            }
            // The record is what makes a header that still has the old key harmless: first.
            let shared = self.groups.get(0);
            let mut slot = shared.write();
            let mut page = self.load(&mut slot, 0, self.farthest())?.page.clone();
            self.raise_epoch(&mut page);
            if let Some(record) = &mut page.record {
                record.lowest_epoch = keys.current.number;
            }
            self.replace_page(&mut slot, 0, page, true)?;
            drop(slot);
            self.set_keys(keys.without_old());
            Ok(true)
        })?;
        if !ended {
            return Ok(None);
        }
        self.envelope().end_epoch(&self.keys().current)?;
        Ok(Some(lost))
    }
}

impl Directory {
    fn begin_reseal(&self, caller: &Caller) -> Result<(), VolumeError> {
        self.volume().check_writable()?;
        self.envelope().begin_epoch(caller)?;
        self.take_keys()
    }

    /// Ends the reseal, if every name is under the new key: returns how many attributes do not
    /// verify, or `None` if one is not.
    fn end_reseal(&self) -> Result<Option<u64>, VolumeError> {
        let volume = self.volume();
        if !self.is_moved()? {
            return Ok(None);
        }
        let lost = volume.move_xattrs(self.fd(), self)?;
        let current = Arc::clone(&self.keys().current);
        // Names, companions and attributes are durable before the key that opens them otherwise
        // goes.
        volume
            .backing
            .sync_filesystem(self.fd())
            .map_err(failed("sync the filesystem"))?;
        if volume.is_root_directory(self.fd())? {
            volume.reseal_volume_key(current.number, &current.key)?;
        }
        self.envelope().end_epoch(&current)?;
        self.drop_old_key();
        Ok(Some(lost))
    }
}
