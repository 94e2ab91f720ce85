//! What an fsync owes beyond the object itself. FORMAT.md, section 5.
//!
//! An object is of no use after a power cut if the header of a directory above it is lost, or the
//! companion of a long name on its path; and a name that a directory's fsync has promised is of
//! none if the object's own header is. A backing filesystem makes names durable in its own order,
//! but not the contents of these small files. Owns the list of what was made since it was durable.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::attributes::Kind;
use super::directory::Directory;
use super::error::{VolumeError, failed};
use super::names::{self, Found, StoredName};
use super::open::Volume;

/// Names of one directory that are synced one by one; more of them with the whole filesystem.
const FEW: usize = 16;
/// Directories that are remembered; beyond them the next fsync syncs the whole filesystem.
const MOST: usize = 4096;

/// What was made and may not be durable, by the inode of the directory's header.
#[derive(Default)]
pub(super) struct NewNames {
    directories: Mutex<HashMap<u64, Names>>,
    /// Quicker than the lock: most syncs find nothing.
    any: AtomicBool,
    /// How often everything was forgotten, for there were more directories than are remembered.
    forgotten: AtomicU64,
    /// How many of these the backing filesystem has been synced after.
    forgiven: AtomicU64,
}

#[derive(Clone, Default)]
struct Names {
    /// The directory's own header is new.
    header: bool,
    /// Its contents are not durable yet, whatever its name is.
    contents: bool,
    /// Stored names that were made, or moved here.
    names: Vec<CString>,
    /// There were more of them.
    many: bool,
    /// How often this was changed.
    changes: u64,
}

impl NewNames {
    fn change(&self, directory: u64, change: impl FnOnce(&mut Names)) {
        let mut all = self.directories.lock();
        if all.len() >= MOST && !all.contains_key(&directory) {
            all.clear();
            self.forgotten.fetch_add(1, Ordering::AcqRel);
        }
        let names = all.entry(directory).or_default();
        names.changes += 1;
        change(names);
        self.any.store(true, Ordering::Release);
    }

    /// A directory was made, with a header of this inode.
    pub fn directory(&self, header: u64) {
        self.change(header, |names| {
            names.header = true;
            names.contents = true;
        });
    }

    /// A name was made in a directory, or an object moved to it.
    pub fn name(&self, directory: &Directory, stored: &CStr) {
        self.change(directory.envelope().inode(), |names| {
            if names.names.len() < FEW {
                names.names.push(stored.to_owned());
            } else {
                names.many = true;
            }
        });
    }

    /// A reseal has given an object another stored name: what is owed to the old one is owed to the
    /// new one, and so is its companion.
    pub fn moved(&self, directory: &Directory, old: &CStr, new: &StoredName) {
        let inode = directory.envelope().inode();
        let owed = self
            .directories
            .lock()
            .get(&inode)
            .is_some_and(|names| names.many || names.names.iter().any(|name| **name == *old));
        if owed || new.companion.is_some() {
            self.name(directory, &new.name);
        }
    }

    /// Whether something was forgotten that may not be durable.
    fn owes_what_is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire) != self.forgiven.load(Ordering::Acquire)
    }

    fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// What is owed to a directory.
    fn of(&self, directory: u64) -> Names {
        let all = self.directories.lock();
        all.get(&directory).cloned().unwrap_or_default()
    }

    /// What was owed is durable; it is forgotten only now, so that nobody who asks meanwhile is
    /// told that nothing is owed. What has come to it since stays, and the rest with it.
    fn settle(&self, directory: u64, done: &Names) {
        let mut all = self.directories.lock();
        if all
            .get(&directory)
            .is_some_and(|names| names.changes == done.changes)
        {
            all.remove(&directory);
        }
        if all.is_empty() && !self.owes_what_is_forgotten() {
            self.any.store(false, Ordering::Release);
        }
    }

    /// What has to be synced of a directory for the sake of one name in it: its header, and whether
    /// the name is new.
    fn owed(&self, directory: u64, stored: &CStr) -> (bool, bool) {
        match self.directories.lock().get(&directory) {
            None => (false, false),
            Some(names) => {
                let is_new = names.many || names.names.iter().any(|name| **name == *stored);
                (names.header, is_new)
            }
        }
    }

    fn header_is_durable(&self, directory: u64) {
        if let Some(names) = self.directories.lock().get_mut(&directory) {
            names.header = false;
            names.contents = false;
        }
    }

    fn owes_contents(&self, directory: u64) -> bool {
        let all = self.directories.lock();
        all.get(&directory).is_some_and(|names| names.contents) || self.owes_what_is_forgotten()
    }

    fn contents_are_durable(&self, directory: u64) {
        if let Some(names) = self.directories.lock().get_mut(&directory) {
            names.contents = false;
        }
    }
}

impl Volume {
    /// Whether an fsync owes nothing to the directories above its object.
    pub fn owes_nothing(&self) -> bool {
        self.made.is_empty()
    }

    /// Makes everything durable if more was made than is remembered.
    fn sync_forgotten(&self) -> Result<(), VolumeError> {
        let forgotten = self.made.forgotten.load(Ordering::Acquire);
        if forgotten == self.made.forgiven.load(Ordering::Acquire) {
            return Ok(());
        }
        self.backing
            .sync_filesystem(self.root_fd())
            .map_err(failed("sync the filesystem"))?;
        // Only now: whoever asks meanwhile waits for a sync of its own.
        self.made.forgiven.fetch_max(forgotten, Ordering::AcqRel);
        Ok(())
    }
}

impl Directory {
    /// Makes durable what the object with a stored name needs of this directory to be found.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn sync_way_to(&self, stored: &CStr) -> Result<(), VolumeError> {
        self.volume().sync_forgotten()?;
        let inode = self.envelope().inode();
        let (header, name) = self.volume().made.owed(inode, stored);
        if name {
            self.sync_companion(stored)?;
        }
        if header {
            self.envelope().sync(true)?;
            self.sync_names()?;
            self.volume().made.header_is_durable(inode);
        }
        Ok(())
    }

    /// Makes the names of this directory durable, and the headers of what was made in it or moved
    /// to it since it was synced last.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn sync(&self, data_only: bool) -> Result<(), VolumeError> {
        self.volume().sync_forgotten()?;
        let names = self.sync_made()?;
        self.envelope().sync(data_only)?;
        self.sync_names()?;
        let inode = self.envelope().inode();
        self.volume().made.settle(inode, &names);
        Ok(())
    }

    /// Makes the headers of what was made in this directory durable, and tells what that was.
    fn sync_made(&self) -> Result<Names, VolumeError> {
        let inode = self.envelope().inode();
        let mut done = HashSet::new();
        loop {
            // A reseal gives an object another stored name either before the list is read or after
            // the object is found. It waits for one of them, not for all.
            let moves_nothing = self.using_names();
            let names = self.volume().made.of(inode);
            if names.many {
                drop(moves_nothing);
                return self
                    .volume()
                    .backing
                    .sync_filesystem(self.fd())
                    .map_err(failed("sync the filesystem"))
                    .map(|()| names);
            }
            let Some(name) = names.names.iter().find(|name| !done.contains(*name)) else {
                return Ok(names);
            };
            self.sync_object(name)?;
            done.insert(name.clone());
        }
    }

    /// Makes the contents of a header that was made in this session durable, before something
    /// comes into the directory that is durable elsewhere.
    pub(super) fn sync_new_header(&self) -> Result<(), VolumeError> {
        let inode = self.envelope().inode();
        if self.volume().is_strict() && self.volume().made.owes_contents(inode) {
            self.envelope().sync(true)?;
            self.volume().made.contents_are_durable(inode);
        }
        Ok(())
    }

    fn sync_names(&self) -> Result<(), VolumeError> {
        self.volume()
            .backing
            .sync(self.fd(), false)
            .map_err(failed("sync"))
    }

    pub(super) fn sync_companion(&self, stored: &CStr) -> Result<(), VolumeError> {
        let Found::Long(companion) = names::classify(stored.to_bytes()) else {
            return Ok(());
        };
        self.sync_small(self.fd(), &companion)
    }

    fn sync_small(&self, dir: impl AsFd, name: &CStr) -> Result<(), VolumeError> {
        let backing = &self.volume().backing;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        match backing.open_at(dir.as_fd(), name, flags, Mode::empty()) {
            Ok(fd) => backing.sync(fd.as_fd(), true).map_err(failed("sync")),
            // Removed since.
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("open")(errno)),
        }
    }

    /// Makes the header of an object durable, and what else its name stands on.
    fn sync_object(&self, stored: &CStr) -> Result<(), VolumeError> {
        let object = match self.object(stored) {
            Ok(object) => object,
            // Removed or moved away since.
            Err(VolumeError::Backing {
                errno: Errno::NOENT,
                ..
            }) => return Ok(()),
            Err(e) => return Err(e),
        };
        self.sync_companion(stored)?;
        let volume = self.volume();
        let stat = volume
            .backing
            .stat(object.as_fd())
            .map_err(failed("stat"))?;
        match Kind::of(stat.st_mode) {
            Some(Kind::File) => {
                let fd = volume.reopen(&object)?;
                volume
                    .backing
                    .sync(fd.as_fd(), true)
                    .map_err(failed("sync"))
            }
            Some(Kind::Directory) => {
                let envelope = Self::open_envelope(volume, object.as_fd())?;
                envelope.sync(true)?;
                volume.made.header_is_durable(envelope.inode());
                Ok(())
            }
            Some(Kind::Symlink) => {
                let target = volume
                    .backing
                    .read_link_at(self.fd(), stored)
                    .map_err(failed("readlink"))?;
                match names::target_file(&target) {
                    Some(file) => self.sync_small(volume.targets()?, &file),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_owed_all_the_same() {
        let made = NewNames::default();
        assert!(made.is_empty());
        for header in 0..2 * MOST as u64 {
            made.directory(header);
        }
        assert!(made.directories.lock().len() <= MOST);
        assert!(made.owes_what_is_forgotten() && !made.is_empty());
        // The directories that are remembered are synced: the forgotten ones are not forgiven.
        for header in 0..2 * MOST as u64 {
            made.settle(header, &made.of(header));
        }
        assert!(!made.is_empty());
    }

    #[test]
    fn what_is_owed_stays_owed_until_it_is_durable() {
        let made = NewNames::default();
        made.directory(7);
        let owed = made.of(7);
        assert_eq!(made.owed(7, c"name"), (true, false), "it is being synced");
        made.change(7, |names| names.names.push(c"name".to_owned()));
        made.settle(7, &owed);
        assert_eq!(
            made.owed(7, c"name"),
            (true, true),
            "it came during the sync"
        );
        made.settle(7, &made.of(7));
        assert!(made.is_empty());
    }

    #[test]
    fn a_new_header_is_owed_until_it_is_durable() {
        let made = NewNames::default();
        made.directory(7);
        assert_eq!(made.owed(7, c"name"), (true, false));
        made.header_is_durable(7);
        assert_eq!(made.owed(7, c"name"), (false, false));
        assert_eq!(made.owed(8, c"name"), (false, false));
    }
}
