//! Removing and renaming. FORMAT.md, section 5.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::attributes::Kind;
use super::directory::{Directory, stored_names};
use super::error::{VolumeError, failed};
use super::names::{self, DIRECTORY_HEADER, Found, StoredName};

impl Directory {
    /// Removes a name of something that is no directory.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn unlink(&self, name: &OsStr) -> Result<(), VolumeError> {
        self.volume().check_writable()?;
        let _names = self.using_names();
        let stored = self.seal(name)?;
        let backing = &self.volume().backing;
        let stat = backing
            .stat_at(self.fd(), &stored.name)
            .map_err(failed("unlink"))?;
        self.volume().note_other_change_of(stat.st_ino);
        let long_target = if Kind::of(stat.st_mode) == Some(Kind::Symlink) && stat.st_nlink == 1 {
            let target = backing.read_link_at(self.fd(), &stored.name);
            target.ok().and_then(|target| names::target_file(&target))
        } else {
            None
        };
        backing
            .unlink_at(self.fd(), &stored.name, false)
            .map_err(failed("unlink"))?;
        if let Some(file) = long_target {
            // What a crash leaves here nobody refers to.
            let targets = self.volume().targets()?;
            let _ = backing.unlink_at(targets.as_fd(), &file, false);
        }
        self.remove_companion(&stored);
        Ok(())
    }

    /// Removes the companion of a long name; after the object has lost the name.
    pub(super) fn remove_companion(&self, stored: &StoredName) {
        if let Some((companion, _)) = &stored.companion {
            let _ = self.volume().backing.unlink_at(self.fd(), companion, false);
        }
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`VolumeError::NotEmpty`], the backing filesystem's.
    pub fn remove_directory(&self, name: &OsStr) -> Result<(), VolumeError> {
        self.volume().check_writable()?;
        let _names = self.using_names();
        let stored = self.seal(name)?;
        self.check_empty(&stored.name)?;
        self.take_away(&stored.name)?;
        self.remove_companion(&stored);
        Ok(())
    }

    /// Refuses a directory that holds anything but what is ours.
    fn check_empty(&self, stored: &CStr) -> Result<(), VolumeError> {
        let object = self.object(stored)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = self
            .volume()
            .with_owner_access(object.as_fd(), Mode::RWXU, || {
                self.volume()
                    .backing
                    .open_at(object.as_fd(), c".", flags, Mode::empty())
            })
            .map_err(failed("open a directory"))?;
        let entries = stored_names(fd.as_fd()).map_err(failed("list"))?;
        let used = entries.iter().any(|entry| {
            matches!(
                names::classify(entry.name.as_bytes()),
                Found::Sealed(_) | Found::Long(_) | Found::Foreign
            )
        });
        if used {
            Err(VolumeError::NotEmpty)
        } else {
            Ok(())
        }
    }

    /// Moves an empty directory out of sight, then deletes it: after a crash it is either there
    /// as it was or gone.
    fn take_away(&self, stored: &CStr) -> Result<(), VolumeError> {
        let temporary = names::temporary();
        self.volume()
            .backing
            .rename_at(
                self.fd(),
                stored,
                self.fd(),
                &temporary,
                RenameFlags::empty(),
            )
            .map_err(failed("rmdir"))?;
        self.discard_directory(&temporary);
        Ok(())
    }

    /// Deletes a directory of ours that nobody can see; what fails is left to `check`.
    pub(super) fn discard_directory(&self, temporary: &CStr) {
        let backing = &self.volume().backing;
        let delete = || -> Result<(), Errno> {
            let object = backing.open_at(self.fd(), temporary, OFlags::PATH, Mode::empty())?;
            let mode = Mode::from_raw_mode(backing.stat(object.as_fd())?.st_mode);
            if !mode.contains(Mode::RWXU) {
                backing.set_mode(object.as_fd(), mode | Mode::RWXU)?;
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let fd = backing.open_at(object.as_fd(), c".", flags, Mode::empty())?;
            self.delete_ours(fd.as_fd())?;
            backing.unlink_at(self.fd(), temporary, true)
        };
        if let Err(errno) = delete() {
            log::debug!("a removed directory could not be deleted: {errno}");
        }
    }

    /// Deletes what a directory of ours can still hold: its header, orphaned companions, and what
    /// crashes left.
    fn delete_ours(&self, dir: BorrowedFd<'_>) -> Result<(), Errno> {
        let backing = &self.volume().backing;
        for entry in stored_names(dir)? {
            if entry.kind == rustix::fs::FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let fd = backing.open_at(dir, &entry.name, flags, Mode::empty())?;
                let _ = backing.unlink_at(fd.as_fd(), DIRECTORY_HEADER, false);
                backing.unlink_at(dir, &entry.name, true)?;
            } else {
                backing.unlink_at(dir, &entry.name, false)?;
            }
        }
        Ok(())
    }

    /// Renames, or exchanges two names.
    ///
    /// # Errors
    /// [`VolumeError::NotEmpty`], the backing filesystem's.
    pub fn rename(
        &self,
        name: &OsStr,
        to: &Self,
        new_name: &OsStr,
        flags: RenameFlags,
    ) -> Result<(), VolumeError> {
        self.volume().check_writable()?;
        let _names = self.using_names();
        let _names_there = to.using_names();
        let (old, new) = (self.seal(name)?, to.seal(new_name)?);
        let backing = &self.volume().backing;
        if flags.contains(RenameFlags::EXCHANGE) {
            self.sync_new_header()?;
            to.sync_new_header()?;
            if self.volume().is_strict() {
                self.sync_companion(&old.name)?;
                to.sync_companion(&new.name)?;
            }
            backing
                .rename_at(self.fd(), &old.name, to.fd(), &new.name, flags)
                .map_err(failed("rename"))?;
            self.volume().made.name(self, &old.name);
            self.volume().made.name(to, &new.name);
            return Ok(());
        }
        let source = backing
            .stat_at(self.fd(), &old.name)
            .map_err(failed("rename"))?;
        self.volume().note_other_change_of(source.st_ino);
        let target = match backing.stat_at(to.fd(), &new.name) {
            Ok(target) => Some(target),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(failed("stat")(errno)),
        };
        // The object may be durable where it is: what its new name stands on must be, too.
        to.write_companion(&new, self.volume().is_strict())?;
        if self.inode() != to.inode() {
            to.sync_new_header()?;
        }
        let over_directory = target.as_ref().is_some_and(|target| {
            Kind::of(target.st_mode) == Some(Kind::Directory)
                && Kind::of(source.st_mode) == Some(Kind::Directory)
                && target.st_ino != source.st_ino
        });
        let long_target = target
            .filter(|target| {
                Kind::of(target.st_mode) == Some(Kind::Symlink) && target.st_nlink == 1
            })
            .and_then(|_| backing.read_link_at(to.fd(), &new.name).ok())
            .and_then(|target| names::target_file(&target));
        let renamed = if over_directory && !flags.contains(RenameFlags::NOREPLACE) {
            self.rename_over_directory(&old.name, to, &new.name)
        } else {
            backing
                .rename_at(self.fd(), &old.name, to.fd(), &new.name, flags)
                .map_err(failed("rename"))
        };
        if let Err(e) = renamed {
            if target.is_none() {
                to.remove_companion(&new);
            }
            return Err(e);
        }
        self.volume().made.name(to, &new.name);
        if let Some(file) = long_target {
            let targets = self.volume().targets()?;
            let _ = backing.unlink_at(targets.as_fd(), &file, false);
        }
        // Renaming one link of a file over another changes nothing: the old name is still there.
        if backing.stat_at(self.fd(), &old.name).err() == Some(Errno::NOENT) {
            self.remove_companion(&old);
        }
        Ok(())
    }

    /// A stored directory is never empty, so the kernel cannot replace it: the two change places,
    /// and the old one is deleted out of sight.
    fn rename_over_directory(&self, old: &CStr, to: &Self, new: &CStr) -> Result<(), VolumeError> {
        to.check_empty(new)?;
        self.volume()
            .backing
            .rename_at(self.fd(), old, to.fd(), new, RenameFlags::EXCHANGE)
            .map_err(failed("rename"))?;
        self.take_away(old)
    }
}
