//! Open files: the data key's subkeys, the length, and what all handles of a file share.
//!
//! A [`File`] is made at the first open and ends with the last [`Handle`], which settles it
//! (FORMAT.md, section 5). How contents are read and written is in `contents`, how lengths change
//! in `resize`, how a crash is judged here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::Id;
use super::error::{VolumeError, failed};
use super::group::Groups;
use super::held::Held;
use super::layout::{GROUP_CHUNKS, Layout, PAGE, chunks, group_of};
use super::medium::Syncs;
use super::open::Volume;
use super::page::{Entry, EntryPage, Record, SizeRecord};
use super::rewrap::Envelope;
use super::subkeys::{Keys, ObjectKey};
use crate::kms::service::Caller;
use crate::primitives::MacKey;

/// The live keys of a file, with those that authenticate trailers.
pub(super) type FileKeys = Keys<MacKey>;

/// Groups that are looked at one by one before the whole file is.
const NEAR: usize = 1024;

/// What an envelope keeps for the open file.
#[derive(Default)]
pub(super) struct Opened {
    file: Option<Arc<File>>,
    handles: usize,
}

impl Opened {
    pub(super) fn file(&self) -> Option<&File> {
        self.file.as_deref()
    }

    fn is(&self, file: &Arc<File>) -> bool {
        self.file
            .as_ref()
            .is_some_and(|opened| Arc::ptr_eq(opened, file))
    }
}

/// An open file, shared by its handles.
pub struct File {
    pub(super) envelope: Arc<Envelope>,
    object: Id,
    /// Changed while nobody reads or writes: a reseal begins or ends.
    keys: RwLock<Arc<FileKeys>>,
    /// The plain length. For reading: the length stays; for writing: it may change.
    pub(super) len: RwLock<u64>,
    /// Whether the record on disk says dirty; set under group 0's lock.
    pub(super) dirty: AtomicBool,
    /// Whether the medium may still have the clean record of an earlier session, which no other
    /// length goes with.
    pub(super) record_is_old: AtomicBool,
    /// The floor of the dirty record on disk.
    pub(super) floor: AtomicU64,
    last_group: AtomicU64,
    pub(super) groups: Groups,
    /// One absent group at a time becomes present: links stay exact.
    pub(super) new_group: Mutex<()>,
    /// Verified pairs of present groups with nothing between them.
    pub(super) gaps: Mutex<Vec<(u64, u64)>>,
    /// No entry lies behind this plain length; it may be higher than the file is long.
    pub(super) farthest: AtomicU64,
    /// Failed writes that may have put back a chunk under the old key.
    pub(super) faults: AtomicU64,
    /// Changes that wait for their intent.
    pub(super) held: Held,
    pub(super) syncs: Syncs,
    /// Whether anybody may rely on what is on the medium: of a new file from its first sync on.
    promised: AtomicBool,
    /// What waited could not be written: the record on the medium is all that counts.
    abandoned: AtomicBool,
    /// For reading: pages are being read or written; for writing: a sync begins, or the medium is
    /// told that the file was cut to nothing.
    pub(super) writing: RwLock<()>,
}

/// One opening of a file; the last one to go settles it.
pub struct Handle(Arc<File>);

impl std::ops::Deref for Handle {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Handle {
    /// A handle that takes the place of one that goes.
    pub(super) fn in_place(file: &Arc<File>) -> Self {
        Self(Arc::clone(file))
    }

    /// Drops what cannot be written and closes the file; not while others have it open, who may
    /// still sync it.
    ///
    /// What the medium has is judged by what it says, as after a crash: no record is written.
    pub(super) fn give_up(&self, error: &VolumeError) {
        let mut opened = self.envelope.opened.lock();
        if opened.handles > 1 {
            return;
        }
        let object = &self.object;
        log::error!(
            "object {}: changes of a file that was closed are lost: {error}",
            crate::codec::hex(object)
        );
        self.syncs.fail();
        self.abandoned.store(true, Ordering::Release);
        self.volume().distrust(object, 0);
        let landing = self.held.land();
        self.drop_held(&landing);
        // Under the lock: nobody may join a file that has lost what it was told.
        opened.handles = 0;
        opened.file = None;
        self.envelope.publish_len(None);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut opened = self.0.envelope.opened.lock();
        if !opened.is(&self.0) {
            // Given up.
            return;
        }
        if opened.handles == 1 && !self.0.held.is_empty() {
            // The volume's thread keeps it open until what waits is down: a close does not wait for
            // a disk.
            if self.0.volume().flusher.keep(&self.0) {
                return;
            }
        }
        opened.handles -= 1;
        if opened.handles > 0 {
            return;
        }
        // Under the lock: the next open must not read the record before it is settled.
        if let Err(e) = self.0.settle() {
            log::warn!(
                "object {}: could not be settled and stays open to recovery: {e}",
                crate::codec::hex(&self.0.object)
            );
            let landing = self.0.held.land();
            self.0.drop_held(&landing);
        }
        opened.file = None;
        self.0.envelope.publish_len(None);
    }
}

impl File {
    /// Opens the file of `envelope` for `caller`, or joins those who have it open.
    ///
    /// With `truncate` the contents are dropped, whatever state they are in.
    ///
    /// # Errors
    /// The key service's; [`VolumeError::CommitmentMismatch`]; [`VolumeError::LengthMismatch`] and
    /// [`VolumeError::GroupUnverified`] when the contents are not what was written.
    pub fn open(
        envelope: &Arc<Envelope>,
        caller: &Caller,
        truncate: bool,
    ) -> Result<Handle, VolumeError> {
        let mut opened = envelope.opened.lock();
        let handle = match &opened.file {
            Some(file) => {
                envelope.authorise(caller)?;
                let file = Arc::clone(file);
                opened.handles += 1;
                Handle(file)
            }
            None => {
                let file = Arc::new(Self::load_file(envelope, caller, truncate)?);
                opened.file = Some(Arc::clone(&file));
                opened.handles = 1;
                Handle(file)
            }
        };
        drop(opened);
        if truncate {
            handle.set_len(0)?;
        }
        Ok(handle)
    }

    /// The file of an object that has just been made, with its first handle.
    pub(super) fn created(
        envelope: &Arc<Envelope>,
        key: ObjectKey,
        page: &EntryPage,
    ) -> Result<Handle, VolumeError> {
        let mut opened = envelope.opened.lock();
        let number = envelope.header().current().number;
        let keys = Keys::fresh(number, key, ObjectKey::trailer);
        let file = Self::new(envelope, keys);
        file.dirty.store(true, Ordering::Relaxed);
        file.promised.store(false, Ordering::Relaxed);
        if envelope.volume().is_strict() {
            envelope.volume().unpromised.insert(file.object);
        }
        let group = file.make_group(Some(page.clone()), 0, 0)?;
        envelope.publish_len(Some(0));
        *file.groups.get(0).write() = Some(group);
        let file = Arc::new(file);
        opened.file = Some(Arc::clone(&file));
        opened.handles = 1;
        Ok(Handle(file))
    }

    /// Another handle of the open file of an envelope, if somebody has it open: for what was allowed
    /// already.
    pub fn join(envelope: &Envelope) -> Option<Handle> {
        let mut opened = envelope.opened.lock();
        let file = Arc::clone(opened.file.as_ref()?);
        opened.handles += 1;
        Some(Handle(file))
    }

    fn new(envelope: &Arc<Envelope>, keys: FileKeys) -> Self {
        let object = *keys.current.key.object();
        Self {
            envelope: Arc::clone(envelope),
            object,
            keys: RwLock::new(Arc::new(keys)),
            len: RwLock::new(0),
            dirty: AtomicBool::new(false),
            record_is_old: AtomicBool::new(false),
            floor: AtomicU64::new(0),
            last_group: AtomicU64::new(0),
            groups: Groups::default(),
            new_group: Mutex::new(()),
            gaps: Mutex::new(Vec::new()),
            farthest: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            held: Held::default(),
            syncs: Syncs::default(),
            promised: AtomicBool::new(!envelope.volume().unpromised.contains(&object)),
            abandoned: AtomicBool::new(false),
            writing: RwLock::new(()),
        }
    }

    /// The file of an envelope as long as its stored size says, whatever its record does: for what
    /// can still be read of a damaged one. Nothing may be written to it.
    ///
    /// # Errors
    /// The key service's; [`VolumeError::CommitmentMismatch`].
    pub(super) fn without_judgement(
        envelope: &Arc<Envelope>,
        caller: &Caller,
    ) -> Result<Self, VolumeError> {
        let file = Self::new(envelope, Self::open_keys(envelope, caller)?);
        let found = file.layout().plain_len(file.stored_size()?);
        *file.len.write() = found;
        file.farthest.store(found, Ordering::Release);
        // A group that is absent is a hole only if a later one says so.
        file.set_last_group(u64::MAX);
        Ok(file)
    }

    fn load_file(
        envelope: &Arc<Envelope>,
        caller: &Caller,
        truncate: bool,
    ) -> Result<Self, VolumeError> {
        let file = Self::new(envelope, Self::open_keys(envelope, caller)?);
        envelope.sync_failed.store(false, Ordering::Release);
        match file.load_contents() {
            Ok(()) => Ok(file),
            // Its contents are to go: it does not matter what has become of them.
            Err(e) if truncate && !matches!(e, VolumeError::Backing { .. }) => {
                log::warn!("a damaged file is started over: {e}");
                file.start_over()?;
                Ok(file)
            }
            Err(e) => Err(e),
        }
    }

    /// The keys that the header has now.
    pub(super) fn open_keys(envelope: &Envelope, caller: &Caller) -> Result<FileKeys, VolumeError> {
        let keys = &envelope.volume().keys;
        Keys::open(&envelope.header(), &**keys, caller, ObjectKey::trailer)
    }

    fn load_contents(&self) -> Result<(), VolumeError> {
        let page = self
            .read_entry_page(0)?
            .ok_or(VolumeError::GroupMissing { group: 0 })?;
        let keys = self.keys();
        if keys.old.is_some()
            && page.epoch == keys.current.number
            && page.record.map(|record| record.lowest_epoch) == Some(keys.current.number)
        {
            // Everything is under the new key, only the header does not say so yet.
            self.set_keys(keys.without_old());
        }
        self.judge(page)
    }

    /// The volume.
    pub fn volume(&self) -> &Arc<Volume> {
        self.envelope.volume()
    }

    /// The object's header where it is stored.
    pub fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }

    /// The object.
    pub(super) fn object(&self) -> &Id {
        &self.object
    }

    /// The live keys.
    pub(super) fn keys(&self) -> Arc<FileKeys> {
        Arc::clone(&self.keys.read())
    }

    /// The live keys, which stay in force while they are held.
    pub(super) fn keys_in_use(&self) -> RwLockReadGuard<'_, Arc<FileKeys>> {
        self.keys.read()
    }

    /// Works with other keys from now on. Nobody reads or writes, nothing waits, and what is on the
    /// medium is durable.
    pub(super) fn set_keys(&self, keys: FileKeys) {
        *self.keys.write() = Arc::new(keys);
        self.groups.forget_from(0);
    }

    pub(super) fn layout(&self) -> Layout {
        self.volume().layout
    }

    /// The last present group.
    pub(super) fn last_group(&self) -> u64 {
        self.last_group.load(Ordering::Acquire)
    }

    pub(super) fn raise_last_group(&self, group: u64) {
        self.last_group.fetch_max(group, Ordering::AcqRel);
    }

    pub(super) fn set_last_group(&self, group: u64) {
        self.last_group.store(group, Ordering::Release);
    }

    /// The plain length.
    pub fn len(&self) -> u64 {
        *self.len.read()
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What stat shows of the file.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn attributes(&self) -> Result<super::Attributes, VolumeError> {
        self.volume().attributes_of(self.envelope.reader())
    }

    /// Whether durable pages may only be changed after a durable intent.
    pub(super) fn promises(&self) -> bool {
        self.volume().is_strict() && self.promised.load(Ordering::Acquire)
    }

    /// An upper bound of the plain length that entries may belong to.
    pub(super) fn farthest(&self) -> u64 {
        self.farthest.load(Ordering::Acquire)
    }

    fn stored_size(&self) -> Result<u64, VolumeError> {
        let stat = self
            .volume()
            .backing
            .stat(self.envelope.reader())
            .map_err(failed("stat"))?;
        Ok(stat.st_size.unsigned_abs())
    }

    /// Judges the stored size by the record: FORMAT.md, section 6.
    fn judge(&self, page: EntryPage) -> Result<(), VolumeError> {
        let stored = self.stored_size()?;
        let found = self.layout().plain_len(stored);
        let record = page
            .record
            .ok_or(VolumeError::GroupUnverified { group: 0 })?;
        let volume = self.volume();
        let crashed = volume.crashed(record.session) || volume.is_crashed(&page, &self.object, 0);
        // A record that this session has written and not synced is not the medium's yet.
        // That something is in doubt in this session does not make the record its own.
        let ended = !volume.crashed(record.session);
        let is_old = ended && !volume.announced.contains(&self.object);
        self.record_is_old.store(is_old, Ordering::Relaxed);
        self.set_last_group(record.last_group);
        let mismatch = |recorded| VolumeError::LengthMismatch {
            recorded,
            stored: found,
        };
        if crashed {
            self.find_last_group()?;
        }
        let len = match record.record {
            Record::Clean { len } if !crashed => {
                if found != len || stored != self.layout().stored_len(len) {
                    return Err(mismatch(len));
                }
                len
            }
            Record::Clean { len } if found >= len => len,
            Record::Clean { .. } => self.recover_len(found, 0)?,
            Record::Dirty { floor, .. } => {
                // After a crash the medium may have the cut and not yet the record that tells of it.
                if found < floor && !crashed {
                    return Err(mismatch(floor));
                }
                self.floor.store(floor, Ordering::Relaxed);
                self.dirty.store(true, Ordering::Relaxed);
                self.recover_len(found, floor.min(found))?
            }
        };
        *self.len.write() = len;
        self.farthest.store(len, Ordering::Release);
        self.envelope.publish_len(Some(len));
        self.groups.forget_from(0);
        let group = self.make_group(Some(page), 0, len)?;
        *self.groups.get(0).write() = Some(group);
        let in_doubt = crashed || self.dirty.load(Ordering::Relaxed);
        if in_doubt && !volume.read_only {
            self.put_right(record.record, len)?;
        }
        Ok(())
    }

    /// After a crash, or a failed write: makes the medium say what was found, so that nothing which
    /// is built on it now can be undone by another crash.
    fn put_right(&self, record: Record, len: u64) -> Result<(), VolumeError> {
        let last = chunks(len).checked_sub(1).map_or(0, group_of);
        let expected = self.layout().stored_len(len);
        // A record that knows of more would let the end of a longer file count, whatever the tail
        // that is noted there.
        let stale_record = match record {
            Record::Clean { len: recorded } => recorded != len,
            Record::Dirty { floor, .. } => floor > len,
        };
        let stale_tail = self.with_group(last, len, |group| {
            Ok(group.present && group.page.tail != Self::tail_in(last, len))
        })?;
        let other_size = self.stored_size()? != expected;
        if !stale_tail && !other_size && !stale_record {
            return Ok(());
        }
        self.envelope.preserving_times(|| {
            if stale_record {
                self.lower_floor(len, len, self.last_group())?;
            }
            self.tidy(last, len)?;
            self.truncate_stored(len)
        })?;
        if self.volume().is_strict() {
            self.sync_contents(true)?;
        }
        Ok(())
    }

    /// After a crash the medium may have the record and not yet the group that it calls the last
    /// one.
    fn find_last_group(&self) -> Result<(), VolumeError> {
        let recorded = self.last_group();
        for group in (1..=recorded).rev().take(NEAR) {
            if !matches!(self.read_entry_page(group), Ok(None)) {
                self.set_last_group(group);
                return Ok(());
            }
        }
        self.set_last_group(0);
        // A long way down: what is there is found from the beginning.
        while let Some((group, _)) = self.next_present(self.last_group() + 1, recorded)? {
            self.set_last_group(group);
        }
        Ok(())
    }

    /// The length after a crash: what does not verify at the end is cut, not below `floor`.
    fn recover_len(&self, found: u64, floor: u64) -> Result<u64, VolumeError> {
        let mut len = found;
        // Groups that were added since the record was set are found by what is stored.
        let end = chunks(found).checked_sub(1).map_or(0, group_of);
        while let Ok(Some((group, _))) = self.next_present(self.last_group() + 1, end) {
            self.set_last_group(group);
        }
        while len > floor {
            let last = chunks(len) - 1;
            let shared = self.groups.get(group_of(last));
            let mut slot = shared.write();
            let loaded = self.load(&mut slot, group_of(last), len);
            // What cannot be read now is not what does not verify.
            if let Err(e @ VolumeError::Backing { .. }) = loaded {
                return Err(e);
            }
            let Ok(group) = loaded else {
                drop(slot);
                self.groups.forget(group_of(last));
                len = (group_of(last) * GROUP_CHUNKS * PAGE).max(floor);
                continue;
            };
            let chunk = (last % GROUP_CHUNKS) as usize;
            let verified = match group.page.entry(chunk) {
                Entry::Hole => true,
                Entry::Data { current, .. } => self.open_page(
                    &group.key,
                    last,
                    &current,
                    &mut self.read_stored(last, 1)?[0],
                ),
                Entry::Lost | Entry::Malformed => false,
            };
            if verified {
                if let Some(tail) = group.page.tail
                    && tail.chunk as usize == chunk
                    && len.is_multiple_of(PAGE)
                    && (1..PAGE).contains(&u64::from(tail.len))
                {
                    len = (last * PAGE + u64::from(tail.len)).max(floor);
                }
                break;
            }
            len = (last * PAGE).max(floor);
        }
        self.lower_last_group(chunks(len).checked_sub(1).map_or(0, group_of))?;
        Ok(len)
    }

    /// After a cut: the last present group is at most `end`.
    fn lower_last_group(&self, end: u64) -> Result<(), VolumeError> {
        if self.last_group() <= end {
            return Ok(());
        }
        self.set_last_group(0);
        while let Some((group, _)) = self.next_present(self.last_group() + 1, end)? {
            self.set_last_group(group);
        }
        Ok(())
    }

    /// Makes the contents those of a new, empty file: for O_TRUNC of a damaged one.
    fn start_over(&self) -> Result<(), VolumeError> {
        self.envelope.publish_len(Some(0));
        let fd = self.envelope.writer()?;
        let layout = self.layout();
        let mut page = self.first_page();
        if let Some(record) = &mut page.record {
            // Attributes may still be under the old key.
            record.lowest_epoch = self.keys().lowest();
        }
        self.envelope.changing(|| {
            let backing = &self.volume().backing;
            backing
                .truncate(fd, layout.body())
                .map_err(failed("truncate"))?;
            let bytes = self.encode_page(&page, 0)?;
            backing
                .write(
                    fd,
                    &mut [std::io::IoSlice::new(&bytes.0)],
                    layout.entry_page(0),
                )
                .map_err(|(_, errno)| failed("write an entry page")(errno))
        })?;
        self.dirty.store(true, Ordering::Relaxed);
        let group = self.make_group(Some(page), 0, 0)?;
        *self.groups.get(0).write() = Some(group);
        Ok(())
    }

    fn first_page(&self) -> EntryPage {
        first_page(self.keys().current.number, self.volume().session)
    }

    /// Whether the record is of a session that did not end.
    pub(super) fn is_unsettled(&self) -> bool {
        let record = self.with_group(0, self.len(), |group| Ok(group.page.record));
        let crashed = |record: SizeRecord| self.volume().crashed(record.session);
        self.dirty.load(Ordering::Acquire) || record.ok().flatten().is_some_and(crashed)
    }

    /// Whether a session has begun to write the file and not settled it.
    pub(super) fn is_left_by(&self, session: u64) -> bool {
        let record = self.with_group(0, self.len(), |group| Ok(group.page.record));
        record.ok().flatten().is_some_and(|record| {
            record.session == session && matches!(record.record, Record::Dirty { .. })
        })
    }

    /// Writes what recovery has found: afterwards nothing of a crashed session is left in the file.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub(super) fn renew(&self) -> Result<(), VolumeError> {
        let len = self.len();
        let mut next = Some(0);
        while let Some(index) = next {
            let shared = self.groups.get(index);
            let mut slot = shared.write();
            let loaded = self.load(&mut slot, index, len);
            if let Err(e @ VolumeError::Backing { .. }) = loaded {
                return Err(e);
            }
            // A page that does not verify stays as it is.
            if let Ok(group) = loaded
                && group.present
                && (group.differs || self.volume().crashed(group.page.session))
            {
                self.envelope
                    .preserving_times(|| self.store_page(group, index, false))?;
            }
            drop(slot);
            next = match self.next_present(index + 1, self.last_group()) {
                Ok(found) => found.map(|(group, _)| group),
                Err(VolumeError::GroupUnverified { group }) => Some(group),
                Err(e) => return Err(e),
            };
        }
        self.dirty.store(true, Ordering::Release);
        self.settle()
    }

    /// Says on disk that the file is exactly as long as it is, if it does not say so.
    ///
    /// # Errors
    /// The backing filesystem's; the file then stays open to recovery.
    pub fn settle(&self) -> Result<(), VolumeError> {
        if self.abandoned.load(Ordering::Acquire) {
            return Ok(());
        }
        self.land()?;
        let len = self.len.read();
        if !self.dirty.load(Ordering::Acquire) || self.volume().read_only {
            return Ok(());
        }
        let shared = self.groups.get(0);
        let mut slot = shared.write();
        self.envelope.preserving_times(|| {
            // A failed write may have left a size that no recovery has put right yet.
            let expected = self.layout().stored_len(*len);
            if self.stored_size()? != expected {
                self.volume()
                    .backing
                    .truncate(self.envelope.writer()?, expected)
                    .map_err(failed("set the size"))?;
            }
            let group = self.load(&mut slot, 0, *len)?;
            group.page.record = Some(SizeRecord {
                record: Record::Clean { len: *len },
                last_group: self.last_group(),
                session: self.volume().session,
                lowest_epoch: self.keys().lowest(),
            });
            let stored = self.store_page(group, 0, false);
            if stored.is_err() {
                // Memory must not say clean while the disk says dirty.
                *slot = None;
            }
            stored
        })?;
        self.dirty.store(false, Ordering::Release);
        Ok(())
    }

    /// Sets times as an application asks.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn set_times(
        &self,
        accessed: super::attributes::TimeChange,
        modified: super::attributes::TimeChange,
    ) -> Result<(), VolumeError> {
        let times = super::attributes::timestamps(accessed, modified);
        // What is on its way down must not change them afterwards.
        self.envelope.set_times(&times, || self.held.land())
    }

    /// Makes everything written so far durable: FORMAT.md, section 5.
    ///
    /// # Errors
    /// The backing filesystem's. After one that syncs it does not go away while the file is open:
    /// the kernel tells it once, and may have dropped what it could not write.
    pub fn sync(&self, data_only: bool) -> Result<(), VolumeError> {
        if !self.volume().is_strict() {
            // While a reseal runs changes wait here too.
            self.land()?;
            return self.sync_contents(data_only);
        }
        self.land()?;
        let landing = self.held.land();
        // What has come since.
        self.land_with(&landing)?;
        let number = {
            // Whoever writes without an intent now has not seen that pages are promised.
            let _writing = self.writing.write();
            if !self.promised.swap(true, Ordering::AcqRel) {
                self.volume().unpromised.remove(&self.object);
            }
            self.syncs.begin()
        };
        let dirty = self.dirty.load(Ordering::Acquire);
        self.sync_contents(data_only)?;
        self.syncs.succeed(number);
        if dirty {
            self.note_announced();
        }
        Ok(())
    }

    /// The medium has a record of this session.
    pub(super) fn note_announced(&self) {
        self.record_is_old.store(false, Ordering::Release);
        self.volume().announced.insert(self.object);
    }

    /// Makes what the backing filesystem has durable.
    pub(super) fn sync_contents(&self, data_only: bool) -> Result<(), VolumeError> {
        if self.syncs.have_failed() || self.envelope.sync_failed.load(Ordering::Acquire) {
            return Err(failed("sync")(rustix::io::Errno::IO));
        }
        self.envelope
            .sync(data_only)
            .inspect_err(|_| self.syncs.fail())
    }

    /// Sets the modification time to now: a write was taken that the backing file does not have.
    pub(super) fn set_times_now(&self) -> Result<(), VolumeError> {
        use super::attributes::{TimeChange, timestamps};
        self.volume()
            .backing
            .set_times_of(
                self.envelope.reader(),
                &timestamps(TimeChange::Keep, TimeChange::Now),
            )
            .map_err(failed("set times"))
    }
}

/// The entry page of an empty file: dirty, since it is being written.
pub(super) fn first_page(epoch: u32, session: u64) -> EntryPage {
    let mut page = EntryPage::new(epoch, session, None, crate::primitives::random());
    page.record = Some(SizeRecord {
        record: Record::Dirty {
            floor: 0,
            target: 0,
        },
        last_group: 0,
        session,
        lowest_epoch: epoch,
    });
    page
}
