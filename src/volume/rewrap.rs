//! Envelopes: an object's header where it is stored, and its rewrap. FORMAT.md, section 3.
//!
//! An [`Envelope`] holds the file with the two slots open and knows the current header. No data key
//! is seen here: [`Envelope::rewrap`] hands the wrapped one to the key service and writes what comes
//! back; a new one is made in `reseal`. Objects that are open and objects that are not share one envelope each, found by
//! inode number, so that two rewraps, or a rewrap and an open, never miss each other.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use rustix::fs::{Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::attributes::{Time, TimeChange, timestamps};
use super::error::{VolumeError, failed};
use super::file::Opened;
use super::header::{self, Chosen, Epoch, Header, ObjectType};
use super::layout::Layout;
use super::open::Volume;
use super::page::Page;
use crate::kms::service::{
    Blob, Caller, ExceptionKind, KeyArn, ReEncryptRequest, ReEncryptResponse, WrappedKey,
};

/// What is asked of a rewrap: ReEncrypt's parameters, and when it may happen.
#[derive(Debug, Clone, Default)]
pub struct RewrapRequest {
    /// ReEncrypt's parameters. Absent source parameters come from the header. An absent
    /// destination key means the current key.
    pub re_encrypt: ReEncryptRequest,
    /// Whether an absent destination context and algorithm stay as they are in the header (the
    /// single attributes), instead of meaning none and the default (ReEncrypt).
    pub keep: bool,
    /// The generation that the header must have; `None`: any.
    pub expected_generation: Option<u64>,
}

/// What a rewrap did.
#[derive(Debug, Clone)]
pub struct Rewrapped {
    /// The header's generation now.
    pub generation: u64,
    /// ReEncrypt's response; `None` for a dry run that would have succeeded.
    pub response: Option<ReEncryptResponse>,
}

/// An object's header where it is stored.
pub struct Envelope {
    volume: Arc<Volume>,
    inode: u64,
    fd: OwnedFd,
    writer: OnceLock<OwnedFd>,
    chosen: RwLock<Chosen>,
    /// One change of the header at a time.
    pub(super) rewrap: Mutex<()>,
    /// Held for reading while an application's write is under way, for writing while an internal
    /// write is, so that the times it puts back are never older than the application's last.
    times: RwLock<()>,
    /// Changes of an application so far, of contents and of the modification time.
    changes: AtomicU64,
    /// Changes of the access time alone.
    accesses: AtomicU64,
    /// A durable write of a header has failed: that may have been the failure of an earlier write of
    /// the contents, which the kernel tells only once.
    pub(super) sync_failed: AtomicBool,
    /// Changes of anything else of the inode: owner, mode, attributes, names. They show in its change
    /// time alone.
    others: AtomicU64,
    /// What the inode's times were before the long internal changes that are under way.
    kept: Mutex<Option<Kept>>,
    /// The open file, shared by all its handles.
    pub(super) opened: Mutex<Opened>,
    /// The plain length of the open file; [`NOT_OPEN`] while nobody has it open.
    len: AtomicU64,
}

/// Times that internal changes must not be seen in.
#[derive(Clone, Copy)]
struct Kept {
    stat: Stat,
    /// Changes, accesses and other changes when they were read.
    seen: (u64, u64, u64),
    /// Internal changes under way.
    count: usize,
}

/// The stored size tells the length.
const NOT_OPEN: u64 = u64::MAX;

impl Envelope {
    /// Reads the header of the object behind `fd`. For a file the page after the slots (group 0's
    /// entry page) comes with it: one system call instead of two.
    ///
    /// # Errors
    /// [`VolumeError::HeaderMalformed`] and the backing filesystem's.
    pub(super) fn read(
        volume: &Volume,
        fd: BorrowedFd<'_>,
        object_type: ObjectType,
    ) -> Result<(Chosen, Page), VolumeError> {
        let slot = volume.layout.slot() as usize;
        let mut slots = vec![0; 2 * slot];
        let mut page = Page::ZERO;
        volume
            .backing
            .read(
                fd,
                &mut [IoSliceMut::new(&mut slots), IoSliceMut::new(&mut page.0)],
                0,
            )
            .map_err(failed("read the header"))?;
        let (a, b) = slots.split_at(slot);
        Ok((header::choose(a, b, volume.layout, object_type)?, page))
    }

    /// The envelope of the object behind `fd`, shared with everybody who has it already.
    ///
    /// # Errors
    /// As [`Envelope::read`].
    pub(super) fn of(
        volume: &Arc<Volume>,
        fd: OwnedFd,
        stat: &Stat,
        object_type: ObjectType,
    ) -> Result<Arc<Self>, VolumeError> {
        let mut table = volume.envelopes.lock();
        if let Some(envelope) = table.get(&stat.st_ino).and_then(std::sync::Weak::upgrade) {
            drop(table);
            let found = envelope.chosen.read().header.object_type;
            if found != object_type {
                // A link to the same header where another kind of object is to be.
                return Err(VolumeError::WrongType {
                    expected: object_type as u8,
                    found: found as u8,
                });
            }
            return Ok(envelope);
        }
        let (chosen, _) = Self::read(volume, fd.as_fd(), object_type)?;
        let envelope = Arc::new(Self::new(volume, fd, stat.st_ino, chosen));
        table.insert(stat.st_ino, Arc::downgrade(&envelope));
        drop(table);
        envelope.wipe_stale();
        Ok(envelope)
    }

    fn new(volume: &Arc<Volume>, fd: OwnedFd, inode: u64, chosen: Chosen) -> Self {
        Self {
            volume: Arc::clone(volume),
            inode,
            fd,
            writer: OnceLock::new(),
            chosen: RwLock::new(chosen),
            rewrap: Mutex::new(()),
            times: RwLock::new(()),
            changes: AtomicU64::new(0),
            accesses: AtomicU64::new(0),
            others: AtomicU64::new(0),
            sync_failed: AtomicBool::new(false),
            kept: Mutex::new(None),
            opened: Mutex::new(Opened::default()),
            len: AtomicU64::new(NOT_OPEN),
        }
    }

    /// The envelope of an object that has just been made.
    pub(super) fn fresh(
        volume: &Arc<Volume>,
        fd: OwnedFd,
        inode: u64,
        header: Header,
    ) -> Arc<Self> {
        let chosen = Chosen {
            header,
            slot: header::Slot::A,
            other_is_stale: false,
        };
        let envelope = Arc::new(Self::new(volume, fd, inode, chosen));
        volume
            .envelopes
            .lock()
            .insert(inode, Arc::downgrade(&envelope));
        envelope
    }

    /// The volume.
    pub fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    /// The stored inode number, of a directory that of its `rekeyfs.dir`.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The current header.
    pub fn header(&self) -> Header {
        self.chosen.read().header.clone()
    }

    /// The current wrapped data key.
    pub fn wrapped(&self) -> WrappedKey {
        self.chosen.read().header.current().wrapped.clone()
    }

    /// The stored file, for reading.
    pub(crate) fn reader(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The stored file, for writing. It was opened for both if that was allowed; else it is
    /// opened again now: the daemon may have been given the right since, or may give it to itself
    /// as the owner (a 0444 file can be rewrapped and settled).
    pub(super) fn writer(&self) -> Result<BorrowedFd<'_>, VolumeError> {
        if self.volume.read_only {
            return Err(VolumeError::ReadOnly);
        }
        if let Some(fd) = self.writer.get() {
            return Ok(fd.as_fd());
        }
        let flags = rustix::fs::fcntl_getfl(&self.fd).map_err(failed("fcntl"))?;
        if flags.contains(OFlags::RDWR) {
            return Ok(self.fd.as_fd());
        }
        let fd = self
            .volume
            .with_owner_access(self.fd.as_fd(), Mode::RUSR | Mode::WUSR, || {
                self.volume.backing.reopen(self.fd.as_fd(), OFlags::RDWR)
            })
            .map_err(failed("open for writing"))?;
        Ok(self.writer.get_or_init(|| fd).as_fd())
    }

    /// Whether `caller` may Decrypt now; nothing is decrypted.
    ///
    /// # Errors
    /// The key service's.
    pub fn authorise(&self, caller: &Caller) -> Result<(), VolumeError> {
        let wrapped = self.wrapped();
        self.volume.keys.authorise_decrypt(caller, &wrapped)?;
        Ok(())
    }

    /// Runs an application's change of contents or times.
    pub(super) fn changing<T>(&self, change: impl FnOnce() -> T) -> T {
        let _guard = self.times.read();
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.volume.change_times.forget(self.inode);
        change()
    }

    /// Something of the inode but its contents and its modification time is being changed.
    pub(super) fn note_other_change(&self) {
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs a long internal change, without keeping applications from changing the object too, and
    /// puts the inode's times back if none of them has.
    pub(super) fn keeping_times<T>(
        &self,
        change: impl FnOnce() -> Result<T, VolumeError>,
    ) -> Result<T, VolumeError> {
        {
            // No application is in the middle of a change.
            let _guard = self.times.write();
            let before = self.times_before()?;
            self.keep(before);
        }
        let result = change();
        let _guard = self.times.write();
        let kept = *self.kept.lock();
        if let Some(before) = kept
            && before.seen.0 == self.changes.load(Ordering::Relaxed)
        {
            self.put_times_back(&before);
        }
        self.keep_no_longer();
        result
    }

    /// An internal change has ended, and the times are put back.
    fn keep_no_longer(&self) {
        let mut kept = self.kept.lock();
        *kept = kept.and_then(|kept| {
            let count = kept.count.checked_sub(1)?;
            (count > 0).then_some(Kept { count, ..kept })
        });
    }

    /// Keeps what the times are from being seen as an internal change makes them.
    fn keep(&self, before: Kept) {
        let mut kept = self.kept.lock();
        let count = kept.map_or(0, |kept| kept.count) + 1;
        *kept = Some(Kept { count, ..before });
    }

    /// The times as applications have left them: internal changes may be under way.
    fn times_before(&self) -> Result<Kept, VolumeError> {
        let seen = (
            self.changes.load(Ordering::Relaxed),
            self.accesses.load(Ordering::Relaxed),
            self.others.load(Ordering::Relaxed),
        );
        if let Some(kept) = *self.kept.lock()
            && kept.seen == seen
        {
            return Ok(kept);
        }
        let mut stat = self
            .volume
            .backing
            .stat(self.reader())
            .map_err(failed("stat"))?;
        if let Some(kept) = *self.kept.lock()
            && kept.seen.0 == seen.0
        {
            // Only times that say less are other ones.
            (stat.st_mtime, stat.st_mtime_nsec) = (kept.stat.st_mtime, kept.stat.st_mtime_nsec);
            if kept.seen.2 == seen.2 {
                (stat.st_ctime, stat.st_ctime_nsec) = (kept.stat.st_ctime, kept.stat.st_ctime_nsec);
            }
        }
        Ok(Kept {
            stat,
            seen,
            count: 0,
        })
    }

    /// Times of modification and change to show while internal changes are under way; of the change
    /// none if something else of the inode has changed since.
    pub(super) fn kept_times(&self) -> Option<(Time, Option<Time>)> {
        let kept = (*self.kept.lock())?;
        let time = |seconds, nanoseconds: u64| (seconds, nanoseconds as u32);
        let stat = &kept.stat;
        (kept.seen.0 == self.changes.load(Ordering::Relaxed)).then(|| {
            (
                time(stat.st_mtime, stat.st_mtime_nsec),
                (kept.seen.2 == self.others.load(Ordering::Relaxed))
                    .then(|| time(stat.st_ctime, stat.st_ctime_nsec)),
            )
        })
    }

    /// Runs an internal change and puts the inode's times back.
    pub(super) fn preserving_times<T>(
        &self,
        change: impl FnOnce() -> Result<T, VolumeError>,
    ) -> Result<T, VolumeError> {
        let _guard = self.times.write();
        let before = self.times_before()?;
        self.keep(before);
        let result = change();
        self.put_times_back(&before);
        self.keep_no_longer();
        result
    }

    fn put_times_back(&self, kept: &Kept) {
        let before = &kept.stat;
        let accessed = self.accesses.load(Ordering::Relaxed) != kept.seen.1;
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: before.st_atime,
                tv_nsec: if accessed {
                    rustix::fs::UTIME_OMIT
                } else {
                    before.st_atime_nsec as _
                },
            },
            last_modification: Timespec {
                tv_sec: before.st_mtime,
                tv_nsec: before.st_mtime_nsec as _,
            },
        };
        self.volume
            .backing
            .set_times_of(self.reader(), &times)
            // The change is made or not, whatever becomes of the times.
            .unwrap_or_else(|errno| log::warn!("times could not be put back: {errno}"));
        if self.others.load(Ordering::Relaxed) != kept.seen.2 {
            // Its change time is somebody's own.
            return;
        }
        if let Ok(after) = self.volume.backing.stat(self.reader()) {
            let changed = |stat: &Stat| (stat.st_ctime, stat.st_ctime_nsec as u32);
            let times = &self.volume.change_times;
            times.keep(self.inode, changed(before), changed(&after));
        }
    }

    /// Sets times as an application asks, of a file that nobody has open: a rewrap may be under way.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn set_times_of_closed(
        &self,
        accessed: TimeChange,
        modified: TimeChange,
    ) -> Result<(), VolumeError> {
        self.set_times(&timestamps(accessed, modified), || ())
    }

    /// Sets times as an application asks.
    ///
    /// `quiet` keeps internal changes of the contents away meanwhile.
    pub(super) fn set_times<G>(
        &self,
        times: &Timestamps,
        quiet: impl FnOnce() -> G,
    ) -> Result<(), VolumeError> {
        let _guard = self.times.write();
        let _quiet = quiet();
        let counter = if times.last_modification.tv_nsec == rustix::fs::UTIME_OMIT {
            &self.accesses
        } else {
            &self.changes
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.volume
            .backing
            .set_times_of(self.reader(), times)
            .map_err(failed("set times"))
    }

    /// Finishes a rewrap that a crash interrupted: the old wrap must not stay. What cannot be done
    /// now (read-only, no right) is tried at the next rewrap.
    fn wipe_stale(&self) {
        if !self.chosen.read().other_is_stale || self.volume.read_only {
            return;
        }
        let _rewrap = self.rewrap.lock();
        let slot = self.chosen.read().slot;
        let wiped = self.preserving_times(|| {
            let fd = self.writer()?;
            // The current slot must be durable before the other one goes: the crash may have come
            // before its sync.
            self.volume
                .backing
                .sync(fd, true)
                .map_err(failed("sync the header"))?;
            self.wipe(fd, slot.other())
        });
        match wiped {
            Ok(()) => self.chosen.write().other_is_stale = false,
            Err(e) => log::warn!("an old header slot could not be wiped: {e}"),
        }
    }

    fn wipe(&self, fd: BorrowedFd<'_>, slot: header::Slot) -> Result<(), VolumeError> {
        let layout: Layout = self.volume.layout;
        let zeros = vec![0; layout.slot() as usize];
        self.write_durable(fd, &zeros, slot.offset(layout))
            .map_err(failed("wipe the old header"))
    }

    fn write_durable(&self, fd: BorrowedFd<'_>, bytes: &[u8], at: u64) -> Result<(), Errno> {
        let written = self.volume.backing.write_durable(fd, bytes, at);
        if written.is_err_and(|errno| errno != Errno::NOSPC) {
            self.sync_failed.store(true, Ordering::Release);
        }
        written
    }

    /// Moves the data key to another KMS key, algorithm or context. The body is not touched.
    ///
    /// # Errors
    /// [`VolumeError::StaleGeneration`], [`VolumeError::StaleCiphertext`], the key service's,
    /// [`VolumeError::HeaderTooLarge`], the backing filesystem's. After any of them the old header
    /// is in force, but for a failure to wipe it: then the new one is, and the old wrap goes with
    /// the next open or rewrap.
    pub fn rewrap(
        &self,
        caller: &Caller,
        request: &RewrapRequest,
    ) -> Result<Rewrapped, VolumeError> {
        if self.volume.read_only {
            return Err(VolumeError::ReadOnly);
        }
        let _rewrap = self.rewrap.lock();
        let mut new = self.header();
        let generation = new.generation;
        if let Some(expected) = request.expected_generation
            && expected != generation
        {
            return Err(VolumeError::StaleGeneration {
                expected,
                found: generation,
            });
        }
        let wrapped = new.current().wrapped.clone();
        let asked = complete(request, &wrapped)?;
        let caller = caller_for(caller, &wrapped);
        let response = match self.volume.keys.re_encrypt(&caller, &asked) {
            Ok(response) => response,
            Err(e) if e.kind() == ExceptionKind::DryRunOperation => {
                return Ok(Rewrapped {
                    generation,
                    response: None,
                });
            }
            Err(e) => return Err(e.into()),
        };
        if let Some(epoch) = new.epochs.last_mut() {
            *epoch = moved(epoch, &asked, &response);
        }
        // While a reseal runs the old data key moves too: it is asked for in the same way.
        if let [old, _] = &mut new.epochs[..] {
            let mut asked = asked;
            asked.ciphertext_blob = Some(Blob(old.wrapped.blob.clone()));
            let response = self.volume.keys.re_encrypt(&caller, &asked)?;
            *old = moved(old, &asked, &response);
        }
        self.replace_header(new)?;
        Ok(Rewrapped {
            generation: generation + 1,
            response: Some(response),
        })
    }

    /// Makes `new`, with the next generation, the header: the other slot is written, then the old
    /// one is wiped. `rewrap` is locked.
    pub(super) fn replace_header(&self, mut new: Header) -> Result<(), VolumeError> {
        new.generation += 1;
        let bytes = new.encode()?;
        let old_slot = self.chosen.read().slot;
        let new_slot = old_slot.other();
        self.preserving_times(|| {
            let fd = self.writer()?;
            // Until this returns the old slot counts, afterwards the new one does.
            if let Err(errno) = self.write_durable(fd, &bytes, new_slot.offset(self.volume.layout))
            {
                // What was written of it must not be found valid later: the caller is told that
                // nothing has changed. If even this fails, both slots open the object.
                let _ = self.wipe(fd, new_slot);
                return Err(failed("write the header")(errno));
            }
            *self.chosen.write() = Chosen {
                header: new,
                slot: new_slot,
                other_is_stale: true,
            };
            self.wipe(fd, old_slot)
        })?;
        self.chosen.write().other_is_stale = false;
        Ok(())
    }

    /// Tells everybody who asks for attributes how long the open file is: between two system calls
    /// of a write the stored size says something else.
    pub(super) fn publish_len(&self, len: Option<u64>) {
        self.len.store(len.unwrap_or(NOT_OPEN), Ordering::Release);
    }

    /// The length of the open file.
    pub(super) fn open_len(&self) -> Option<u64> {
        Some(self.len.load(Ordering::Acquire)).filter(|len| *len != NOT_OPEN)
    }

    /// Runs `f` with the open file, if there is one.
    pub fn with_open_file<T>(&self, f: impl FnOnce(&super::File) -> T) -> Option<T> {
        let opened = self.opened.lock();
        opened.file().map(f)
    }

    /// Runs `f` with the open file, if there is one, and without a lock.
    pub(super) fn with_joined_file<T>(&self, f: impl FnOnce(&super::File) -> T) -> Option<T> {
        let handle = super::File::join(self)?;
        Some(f(&handle))
    }

    /// Settles the open file of this envelope, if there is one.
    pub(super) fn settle_open_file(&self) -> Result<(), VolumeError> {
        self.with_open_file(super::File::settle).unwrap_or(Ok(()))
    }

    /// Makes the header durable.
    pub(super) fn sync(&self, data_only: bool) -> Result<(), VolumeError> {
        self.volume
            .backing
            .sync(self.reader(), data_only)
            .map_err(failed("sync"))
    }
}

impl Drop for Envelope {
    fn drop(&mut self) {
        let mut table = self.volume.envelopes.lock();
        // Somebody may have made a new envelope of the same object meanwhile.
        if table
            .get(&self.inode)
            .is_some_and(|weak| weak.strong_count() == 0)
        {
            table.remove(&self.inode);
        }
    }
}

/// An epoch whose data key ReEncrypt has moved.
fn moved(epoch: &Epoch, asked: &ReEncryptRequest, response: &ReEncryptResponse) -> Epoch {
    Epoch {
        number: epoch.number,
        commitment: epoch.commitment,
        wrapped: WrappedKey {
            key_arn: response.key_id.clone(),
            algorithm: asked
                .destination_encryption_algorithm
                .unwrap_or(epoch.wrapped.algorithm),
            material_id: response.destination_key_material_id.clone(),
            blob: response.ciphertext_blob.0.clone(),
            context: asked
                .destination_encryption_context
                .clone()
                .unwrap_or_default(),
        },
        wrapped_at: super::open::unix_now(),
        made_at: epoch.made_at,
    }
}

/// The call is made in the Region of the object's key, about the object.
pub(super) fn caller_for(caller: &Caller, wrapped: &WrappedKey) -> Caller {
    let mut caller = caller.clone();
    if let Some(arn) = KeyArn::parse(&wrapped.key_arn) {
        arn.region().clone_into(&mut caller.region);
    }
    caller
}

/// The filesystem is the caller that recorded key, algorithm and context: what the request leaves
/// out about the source comes from the header. What it gives goes through unchanged.
fn complete(
    request: &RewrapRequest,
    wrapped: &WrappedKey,
) -> Result<ReEncryptRequest, VolumeError> {
    let mut asked = request.re_encrypt.clone();
    if let Some(Blob(given)) = &asked.ciphertext_blob
        && *given != wrapped.blob
    {
        return Err(VolumeError::StaleCiphertext);
    }
    asked.ciphertext_blob = Some(Blob(wrapped.blob.clone()));
    asked
        .source_key_id
        .get_or_insert_with(|| wrapped.key_arn.clone());
    asked
        .source_encryption_algorithm
        .get_or_insert(wrapped.algorithm);
    asked
        .source_encryption_context
        .get_or_insert_with(|| wrapped.context.clone());
    if asked.destination_key_id.is_empty() {
        asked.destination_key_id.clone_from(&wrapped.key_arn);
        if request.keep {
            asked
                .destination_encryption_algorithm
                .get_or_insert(wrapped.algorithm);
        }
    }
    if request.keep {
        asked
            .destination_encryption_context
            .get_or_insert_with(|| wrapped.context.clone());
    }
    asked
        .destination_encryption_algorithm
        .get_or_insert(crate::kms::service::EncryptionAlgorithm::SYMMETRIC_DEFAULT);
    Ok(asked)
}
