//! Directories: their key, the names in them, and finding what a name means.
//!
//! A [`Directory`] is opened with the volume's own caller: names are looked up with the key that
//! the mount holds, and POSIX permissions govern them. Listing and creating ask the key service
//! for the caller who does it.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{RwLock, RwLockReadGuard};
use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{Attributes, Kind, TimeChange, timestamps};
use super::error::{VolumeError, failed};
use super::header::ObjectType;
use super::names::{self, DIRECTORY_HEADER, Found, StoredName};
use super::open::Volume;
use super::rewrap::Envelope;
use super::subkeys::{Keys, ObjectKey};
use crate::kms::service::Caller;
use crate::primitives::SivKey;

/// An open directory.
pub struct Directory {
    volume: Arc<Volume>,
    fd: OwnedFd,
    envelope: Arc<Envelope>,
    keys: RwLock<Arc<Keys<SivKey>>>,
    /// For reading: names are sealed and used; for writing: a reseal moves some of them, or the
    /// keys change.
    moving: RwLock<()>,
    /// The stored directory's inode.
    inode: u64,
    foreign_logged: AtomicBool,
}

/// A name as the backing directory lists it.
pub(super) struct StoredEntry {
    pub name: CString,
    pub kind: FileType,
    pub inode: u64,
}

/// A listed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedName {
    /// The plain name.
    pub name: Vec<u8>,
    /// The stored name.
    pub stored: CString,
    /// The stored inode.
    pub inode: u64,
    /// The kind, if the backing filesystem tells it with the name.
    pub kind: Option<Kind>,
}

/// A name that a reseal has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The stored inode.
    pub inode: u64,
    /// The stored name under the old data key.
    pub old: CString,
    /// The stored name under the new one.
    pub new: CString,
}

/// Lists a backing directory, without `.` and `..`.
pub(super) fn stored_names(fd: BorrowedFd<'_>) -> Result<Vec<StoredEntry>, Errno> {
    let mut out = Vec::new();
    // A descriptor of its own: its offset is nobody else's.
    for entry in Dir::read_from(fd)? {
        let entry = entry?;
        if entry.file_name() == c"." || entry.file_name() == c".." {
            continue;
        }
        out.push(StoredEntry {
            name: entry.file_name().to_owned(),
            kind: entry.file_type(),
            inode: entry.ino(),
        });
    }
    Ok(out)
}

impl Directory {
    /// Opens the directory with a stored name.
    ///
    /// # Errors
    /// The key service's, for the volume's own caller; [`VolumeError::HeaderMalformed`],
    /// [`VolumeError::CommitmentMismatch`].
    pub fn open(&self, stored: &CStr) -> Result<Arc<Self>, VolumeError> {
        let object = self.object(stored)?;
        Self::open_object(&self.volume, &object)
    }

    /// Opens a directory that is open with O_PATH.
    ///
    /// # Errors
    /// As [`Directory::open`].
    pub fn open_object(volume: &Arc<Volume>, object: &OwnedFd) -> Result<Arc<Self>, VolumeError> {
        let bits = Mode::RUSR | Mode::XUSR;
        let fd = volume
            .with_owner_access(object.as_fd(), bits, || {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                volume
                    .backing
                    .open_at(object.as_fd(), c".", flags, Mode::empty())
            })
            .map_err(failed("open a directory"))?;
        Self::open_fd(volume, fd)
    }

    pub(super) fn open_fd(volume: &Arc<Volume>, fd: OwnedFd) -> Result<Arc<Self>, VolumeError> {
        let envelope = Self::open_envelope(volume, fd.as_fd())?;
        let inode = volume
            .backing
            .stat(fd.as_fd())
            .map_err(failed("stat"))?
            .st_ino;
        // One for each directory: a reseal changes what everybody works with. Somebody may have put
        // another header, or the same one, into another directory.
        let known = |open: &HashMap<u64, Weak<Self>>| open.get(&inode).and_then(Weak::upgrade);
        // Whatever is found is dropped without the lock, which its own dropping takes.
        let found = known(&volume.directories.lock());
        if let Some(known) = found
            && Arc::ptr_eq(&known.envelope, &envelope)
        {
            return Ok(known);
        }
        let keys = Keys::open(
            &envelope.header(),
            &*volume.keys,
            volume.own_caller(),
            ObjectKey::names,
        )?;
        let _other;
        let mut open = volume.directories.lock();
        match known(&open) {
            Some(known) if Arc::ptr_eq(&known.envelope, &envelope) => return Ok(known),
            found => _other = found,
        }
        let directory = Arc::new(Self {
            volume: Arc::clone(volume),
            fd,
            envelope,
            keys: RwLock::new(Arc::new(keys)),
            moving: RwLock::new(()),
            inode,
            foreign_logged: AtomicBool::new(false),
        });
        open.insert(inode, Arc::downgrade(&directory));
        Ok(directory)
    }

    /// The envelope of a directory; no key is needed.
    pub(super) fn open_envelope(
        volume: &Arc<Volume>,
        fd: BorrowedFd<'_>,
    ) -> Result<Arc<Envelope>, VolumeError> {
        let open = |access| {
            volume.with_owner_access(fd, Mode::RUSR | Mode::XUSR, || {
                let flags = access | OFlags::NONBLOCK;
                volume
                    .backing
                    .open_at(fd, DIRECTORY_HEADER, flags, Mode::empty())
            })
        };
        let access = if volume.read_only {
            OFlags::RDONLY
        } else {
            OFlags::RDWR
        };
        let header = match open(access) {
            Err(Errno::ACCESS | Errno::ROFS | Errno::PERM) => open(OFlags::RDONLY),
            result => result,
        }
        .map_err(failed("open rekeyfs.dir"))?;
        let stat = volume
            .backing
            .stat(header.as_fd())
            .map_err(failed("stat"))?;
        // A FIFO or device in its place would answer reads in its own way.
        if Kind::of(stat.st_mode) != Some(Kind::File) {
            return Err(VolumeError::WrongType {
                expected: ObjectType::Directory as u8,
                found: 0,
            });
        }
        Envelope::of(volume, header, &stat, ObjectType::Directory)
    }

    /// The volume.
    pub fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    /// The directory's header where it is stored.
    pub fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }

    /// The stored directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The stored directory's inode number.
    pub(super) fn inode(&self) -> u64 {
        self.inode
    }

    /// The live keys.
    pub(super) fn keys(&self) -> Arc<Keys<SivKey>> {
        Arc::clone(&self.keys.read())
    }

    /// The live keys, which stay in force while they are held.
    pub(super) fn keys_in_use(&self) -> RwLockReadGuard<'_, Arc<Keys<SivKey>>> {
        self.keys.read()
    }

    /// Keeps a reseal from moving names.
    pub fn using_names(&self) -> RwLockReadGuard<'_, ()> {
        // Somebody may use names of two directories, or of the same one twice.
        self.moving.read_recursive()
    }

    /// Seals a plain name; while a reseal runs under the key that the name stands under now.
    ///
    /// # Errors
    /// [`VolumeError::NameTooLong`], [`VolumeError::Invalid`].
    pub fn seal(&self, name: &OsStr) -> Result<StoredName, VolumeError> {
        let keys = self.keys();
        let new = names::seal_name(&keys.current.tool, name)?;
        if let Some(old) = &keys.old {
            let old = names::seal_name(&old.tool, name)?;
            let is_there = |stored: &StoredName| {
                match self.volume.backing.stat_at(self.fd(), &stored.name) {
                    Ok(_) => Ok(true),
                    Err(Errno::NOENT) => Ok(false),
                    // Not known is not absent: a second object would get the name.
                    Err(errno) => Err(failed("stat")(errno)),
                }
            };
            if !is_there(&new)? && is_there(&old)? {
                return Ok(old);
            }
        }
        Ok(new)
    }

    /// Seals under the newest key of the header from now on.
    pub(super) fn take_keys(&self) -> Result<(), VolumeError> {
        let newest = || self.envelope.header().current().number;
        while self.keys().current.number != newest() {
            let volume = &self.volume;
            let (header, own) = (self.envelope.header(), volume.own_caller());
            let keys = Keys::open(&header, &*volume.keys, own, ObjectKey::names)?;
            // Nobody is about to use a name that was sealed under the old one alone.
            let _moving = self.moving.write();
            if keys.current.number == newest() {
                *self.keys.write() = Arc::new(keys);
            }
        }
        Ok(())
    }

    /// Nothing is under the old key any more.
    pub(super) fn drop_old_key(&self) {
        let keys = self.keys().without_old();
        *self.keys.write() = Arc::new(keys);
    }

    /// The stored names that are under the old key.
    pub(super) fn names_to_move(&self) -> Result<Vec<CString>, VolumeError> {
        let keys = self.keys();
        let Some(old) = &keys.old else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in stored_names(self.fd()).map_err(failed("list"))? {
            match self.open_under(&old.tool, &entry.name) {
                Ok(_) => names.push(entry.name),
                // Of the new key, nobody's, or a long name that has lost its companion.
                Err(
                    VolumeError::NameUnverified
                    | VolumeError::Backing {
                        errno: Errno::NOENT,
                        ..
                    },
                ) => {}
                // What cannot be read now is not what is not there.
                Err(e) => return Err(e),
            }
        }
        Ok(names)
    }

    /// Whether no name is under the old key any more; none comes to be from then on.
    pub(super) fn is_moved(&self) -> Result<bool, VolumeError> {
        let _moving = self.moving.write();
        Ok(self.names_to_move()?.is_empty())
    }

    /// Makes the companions that long names need under the new key, and makes them durable: a
    /// name must not be moved before.
    pub(super) fn prepare_names(&self, stored: &[CString]) -> Result<(), VolumeError> {
        use std::os::unix::ffi::OsStrExt;
        let keys = self.keys();
        let Some(old) = &keys.old else {
            return Ok(());
        };
        for name in stored {
            if !matches!(names::classify(name.to_bytes()), Found::Long(_)) {
                continue;
            }
            match self.open_under(&old.tool, name) {
                Ok(name) => {
                    let new = names::seal_name(&keys.current.tool, OsStr::from_bytes(&name))?;
                    self.write_companion(&new, true)?;
                }
                // Removed or renamed since it was listed.
                Err(VolumeError::Backing {
                    errno: Errno::NOENT,
                    ..
                }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Gives up to `most` of the last names of `waiting`, which are of the old key, those of the
    /// new one; one that fails stays with all before it. The directory's times stay.
    pub(super) fn move_names(
        &self,
        waiting: &mut Vec<CString>,
        most: usize,
    ) -> (Vec<Moved>, Result<(), VolumeError>) {
        let _moving = self.moving.write();
        let keys = self.keys();
        let Some(old) = &keys.old else {
            waiting.clear();
            return (Vec::new(), Ok(()));
        };
        let backing = &self.volume.backing;
        let before = match backing.stat(self.fd()) {
            Ok(before) => before,
            Err(errno) => return (Vec::new(), Err(failed("stat")(errno))),
        };
        let mut moved = Vec::with_capacity(most);
        let mut result = Ok(());
        for _ in 0..most.min(waiting.len()) {
            let name = waiting.last().map(CString::as_c_str).unwrap_or_default();
            match self.move_name(&old.tool, &keys.current.tool, name) {
                Ok(done) => moved.extend(done),
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
            waiting.pop();
        }
        let seconds = |seconds, nanoseconds: u64| TimeChange::To((seconds, nanoseconds as u32));
        let times = timestamps(
            seconds(before.st_atime, before.st_atime_nsec),
            seconds(before.st_mtime, before.st_mtime_nsec),
        );
        backing
            .set_times_of(self.fd(), &times)
            // The names are moved or not, whatever becomes of the times.
            .unwrap_or_else(|errno| log::warn!("times could not be put back: {errno}"));
        (moved, result)
    }

    fn move_name(
        &self,
        old: &SivKey,
        new: &SivKey,
        stored: &CStr,
    ) -> Result<Option<Moved>, VolumeError> {
        use std::os::unix::ffi::OsStrExt;
        let backing = &self.volume.backing;
        let before = match backing.stat_at(self.fd(), stored) {
            Ok(stat) => stat,
            // Removed, or moved, since it was listed.
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("stat")(errno)),
        };
        let name = self.open_under(old, stored)?;
        let old = names::seal_name(old, OsStr::from_bytes(&name))?;
        let new = names::seal_name(new, OsStr::from_bytes(&name))?;
        // Prepared, unless it was not in the list, or somebody has removed it since.
        if let Some((companion, _)) = &new.companion
            && backing.stat_at(self.fd(), companion).is_err()
        {
            self.write_companion(&new, true)?;
        }
        // An object under both keys was put there behind our back: the reseal stops, and whoever
        // moves one of them away lets it go on.
        self.rename_new(stored, &new.name)
            .map_err(failed("move a name to the new data key"))?;
        self.remove_companion(&old);
        self.volume.made.moved(self, stored, &new);
        if let Ok(after) = backing.stat_at(self.fd(), &new.name) {
            let changed = |stat: &rustix::fs::Stat| (stat.st_ctime, stat.st_ctime_nsec as u32);
            let times = &self.volume.change_times;
            times.keep(before.st_ino, changed(&before), changed(&after));
        }
        Ok(Some(Moved {
            inode: before.st_ino,
            old: stored.to_owned(),
            new: new.name,
        }))
    }

    /// Finds what `name` means: its stored name and its attributes.
    ///
    /// # Errors
    /// `ENOENT` from the backing filesystem, [`VolumeError::NameTooLong`].
    pub fn lookup(&self, name: &OsStr) -> Result<(CString, Attributes), VolumeError> {
        let stored = self.seal(name)?.name;
        let attributes = self.attributes(&stored)?;
        Ok((stored, attributes))
    }

    /// The attributes of the object with a stored name.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn attributes(&self, stored: &CStr) -> Result<Attributes, VolumeError> {
        self.volume.attributes_at(self.fd(), stored)
    }

    /// Opens the object with a stored name with O_PATH: for what needs no contents.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn object(&self, stored: &CStr) -> Result<OwnedFd, VolumeError> {
        self.volume
            .backing
            .open_at(self.fd(), stored, OFlags::PATH, Mode::empty())
            .map_err(failed("open"))
    }

    /// Sets the times of the object with a stored name, which nobody has open.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn set_times(
        &self,
        stored: &CStr,
        accessed: TimeChange,
        modified: TimeChange,
    ) -> Result<(), VolumeError> {
        self.volume.check_writable()?;
        self.volume
            .backing
            .set_times(self.fd(), stored, &timestamps(accessed, modified))
            .map_err(failed("set times"))
    }

    /// Lists the plain names, without `.` and `..`, for `caller`.
    ///
    /// # Errors
    /// The key service's; the backing filesystem's.
    pub fn list(&self, caller: &Caller) -> Result<Vec<ListedName>, VolumeError> {
        self.envelope.authorise(caller)?;
        // A name that moves while they are listed could be missed.
        let _names = self.using_names();
        let entries = stored_names(self.fd()).map_err(failed("list"))?;
        let mut out = Vec::with_capacity(entries.len());
        for entry in entries {
            if matches!(
                names::classify(entry.name.as_bytes()),
                Found::Internal | Found::Temporary
            ) {
                continue;
            }
            match self.plain_name(&entry.name) {
                Ok(name) => out.push(ListedName {
                    name,
                    stored: entry.name,
                    inode: entry.inode,
                    kind: Kind::of(entry.kind.as_raw_mode()),
                }),
                Err(_) => self.log_foreign(&entry.name),
            }
        }
        Ok(out)
    }

    /// The plain name of a stored one.
    ///
    /// # Errors
    /// [`VolumeError::NameUnverified`] for what is not a name of this directory.
    pub fn plain_name(&self, stored: &CStr) -> Result<Vec<u8>, VolumeError> {
        let keys = self.keys();
        let opened = self.open_under(&keys.current.tool, stored);
        match (&keys.old, opened) {
            (Some(old), Err(VolumeError::NameUnverified)) => self.open_under(&old.tool, stored),
            (_, opened) => opened,
        }
    }

    fn open_under(&self, key: &SivKey, stored: &CStr) -> Result<Vec<u8>, VolumeError> {
        match names::classify(stored.to_bytes()) {
            Found::Sealed(sealed) => names::open_name(key, &sealed),
            Found::Long(companion) => self.open_long(key, stored, &companion),
            Found::Internal | Found::Temporary | Found::Foreign => Err(VolumeError::NameUnverified),
        }
    }

    fn open_long(
        &self,
        key: &SivKey,
        stored: &CStr,
        companion: &CStr,
    ) -> Result<Vec<u8>, VolumeError> {
        use std::os::unix::ffi::OsStrExt;
        let sealed = self.read_small(self.fd(), companion, 16 + names::NAME_MAX)?;
        let name = names::open_name(key, &sealed)?;
        // The name must be the one that the stored name was made of.
        let expected = names::seal_name(key, OsStr::from_bytes(&name))?;
        if expected.name.as_c_str() != stored {
            return Err(VolumeError::NameUnverified);
        }
        Ok(name)
    }

    /// Reads a small file of ours; what is longer than `most` is not ours.
    pub(super) fn read_small(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        most: usize,
    ) -> Result<Vec<u8>, VolumeError> {
        let backing = &self.volume.backing;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let fd = backing
            .open_at(dir, name, flags, Mode::empty())
            .map_err(failed("open"))?;
        let mut bytes = vec![0; most + 1];
        let read = backing
            .read(fd.as_fd(), &mut [std::io::IoSliceMut::new(&mut bytes)], 0)
            .map_err(failed("read"))?;
        bytes.truncate(read);
        if read > most {
            return Err(VolumeError::NameUnverified);
        }
        Ok(bytes)
    }

    fn log_foreign(&self, stored: &CStr) {
        if !self.foreign_logged.swap(true, Ordering::Relaxed) {
            log::warn!(
                "a backing directory holds names that are not the volume's, such as {stored:?}: hidden"
            );
        }
    }

    /// Reads and opens a symlink's target, for `caller`.
    ///
    /// # Errors
    /// The key service's (of the volume's root directory, whose key seals targets),
    /// [`VolumeError::NameUnverified`].
    pub fn read_link(&self, stored: &CStr) -> Result<Vec<u8>, VolumeError> {
        let target = self
            .volume
            .backing
            .read_link_at(self.fd(), stored)
            .map_err(failed("readlink"))?;
        self.volume.open_target(&target)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let mut open = self.volume.directories.lock();
        // Somebody may have opened it again meanwhile.
        if open
            .get(&self.inode)
            .is_some_and(|weak| weak.strong_count() == 0)
        {
            open.remove(&self.inode);
        }
    }
}

impl Volume {
    /// Whether a stored directory is the volume's root.
    pub(super) fn is_root_directory(&self, fd: BorrowedFd<'_>) -> Result<bool, VolumeError> {
        let inode = |fd| self.backing.stat(fd).map(|stat| (stat.st_dev, stat.st_ino));
        let (this, root) = (inode(fd), inode(self.root_fd()));
        Ok(this.map_err(failed("stat"))? == root.map_err(failed("stat"))?)
    }

    /// Opens a stored symlink target.
    pub(super) fn open_target(self: &Arc<Self>, target: &[u8]) -> Result<Vec<u8>, VolumeError> {
        let sealed = match names::target_file(target) {
            None => names::decode_target(target)?,
            Some(file) => {
                let targets = self.targets()?;
                let flags = OFlags::RDONLY | OFlags::NONBLOCK;
                let fd = self
                    .backing
                    .open_at(targets.as_fd(), &file, flags, Mode::empty())
                    .map_err(failed("open"))?;
                let mut bytes = vec![0; names::TARGET_MAX + 33];
                let read = self
                    .backing
                    .read(fd.as_fd(), &mut [std::io::IoSliceMut::new(&mut bytes)], 0)
                    .map_err(failed("read"))?;
                bytes.truncate(read);
                bytes
            }
        };
        names::open_target(&self.symlinks, &sealed)
    }

    /// The directory of long targets.
    pub(super) fn targets(&self) -> Result<OwnedFd, VolumeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        self.backing
            .open_at(self.root_fd(), names::TARGETS, flags, Mode::empty())
            .map_err(failed("open rekeyfs.targets"))
    }

    /// Reads the target of a symlink that is open with O_PATH.
    ///
    /// # Errors
    /// As [`Directory::read_link`].
    pub fn read_link_of(self: &Arc<Self>, object: &OwnedFd) -> Result<Vec<u8>, VolumeError> {
        let target = self
            .backing
            .read_link_at(object.as_fd(), c"")
            .map_err(failed("readlink"))?;
        self.open_target(&target)
    }

    /// The envelope of a regular file or directory that is open with O_PATH; no key is needed.
    ///
    /// # Errors
    /// [`VolumeError::NoDataKey`] for other kinds, [`VolumeError::HeaderMalformed`].
    pub fn envelope_of(self: &Arc<Self>, object: &OwnedFd) -> Result<Arc<Envelope>, VolumeError> {
        let stat = self.backing.stat(object.as_fd()).map_err(failed("stat"))?;
        match Kind::of(stat.st_mode) {
            Some(Kind::Directory) => Directory::open_envelope(self, object.as_fd()),
            Some(Kind::File) => {
                if let Some(known) = self.known_envelope(stat.st_ino) {
                    return Ok(known);
                }
                Envelope::of(self, self.reopen(object)?, &stat, ObjectType::File)
            }
            _ => Err(VolumeError::NoDataKey),
        }
    }

    /// The envelope of an inode, if somebody uses it.
    pub fn known_envelope(&self, inode: u64) -> Option<Arc<Envelope>> {
        self.envelopes
            .lock()
            .get(&inode)
            .and_then(std::sync::Weak::upgrade)
    }

    /// Opens the contents of a regular file that is open with O_PATH.
    pub(super) fn reopen(&self, object: &OwnedFd) -> Result<OwnedFd, VolumeError> {
        let open = |access, bits| {
            self.with_owner_access(object.as_fd(), bits, || {
                let open = |flags| {
                    let flags = flags | OFlags::NONBLOCK;
                    self.backing.reopen(object.as_fd(), flags)
                };
                // Internal reads leave the access time alone, where that is allowed.
                match open(access | OFlags::NOATIME) {
                    Err(Errno::PERM) => open(access),
                    result => result,
                }
            })
        };
        let result = if self.read_only {
            open(OFlags::RDONLY, Mode::empty())
        } else {
            match open(OFlags::RDWR, Mode::empty()) {
                Err(Errno::ACCESS | Errno::ROFS | Errno::PERM | Errno::TXTBSY) => {
                    open(OFlags::RDONLY, Mode::RUSR)
                }
                result => result,
            }
        };
        result.map_err(failed("open"))
    }
}
