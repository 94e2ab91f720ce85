//! What stat shows of a plain object, and how mode, owner and times change.
//!
//! No header is read and no key is needed: the plain size follows from the stored one.

use std::collections::{HashMap, VecDeque};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use parking_lot::Mutex;
use rustix::fs::{FileType, Mode, Stat, Timespec, Timestamps};

use super::error::{VolumeError, failed};
use super::names;
use super::open::Volume;

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are POSIX's")]
pub enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

impl Kind {
    /// The kind that a mode says; `None` for what POSIX does not know.
    pub fn of(mode: u32) -> Option<Self> {
        Some(match FileType::from_raw_mode(mode) {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Unknown => return None,
        })
    }
}

/// A time: seconds since 1970 and nanoseconds.
pub type Time = (i64, u32);

/// What stat shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are POSIX's")]
pub struct Attributes {
    pub inode: u64,
    pub kind: Kind,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    pub device: u64,
    /// Plain bytes.
    pub size: u64,
    /// Stored blocks of 512 bytes.
    pub blocks: u64,
    pub accessed: Time,
    pub modified: Time,
    pub changed: Time,
}

/// A change of one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeChange {
    /// Leave it.
    Keep,
    /// To now.
    Now,
    /// To this.
    To(Time),
}

impl TimeChange {
    fn timespec(self) -> Timespec {
        match self {
            Self::Keep => Timespec {
                tv_sec: 0,
                tv_nsec: rustix::fs::UTIME_OMIT,
            },
            Self::Now => Timespec {
                tv_sec: 0,
                tv_nsec: rustix::fs::UTIME_NOW,
            },
            Self::To((seconds, nanoseconds)) => Timespec {
                tv_sec: seconds,
                tv_nsec: nanoseconds.into(),
            },
        }
    }
}

/// Times as the system call takes them.
pub(super) fn timestamps(accessed: TimeChange, modified: TimeChange) -> Timestamps {
    Timestamps {
        last_access: accessed.timespec(),
        last_modification: modified.timespec(),
    }
}

/// The change times that applications see of objects whose stored inode has been changed since by
/// this program alone: a settled record, a header, data that was written late.
///
/// The kernel sets a change time to now whatever is changed, and nobody can put it back; programs
/// (git, tar, backups) take that for a change of their file. As many as are remembered.
#[derive(Debug, Default)]
pub(super) struct ChangeTimes(Mutex<(HashMap<u64, Shown>, VecDeque<u64>)>);

#[derive(Debug, Clone, Copy)]
struct Shown {
    /// What the stored inode says since the internal change.
    stored: Time,
    /// What it said before.
    shown: Time,
}

impl ChangeTimes {
    const MOST: usize = 1 << 16;

    /// The change time to show for a stored one.
    pub fn shown(&self, inode: u64, stored: Time) -> Time {
        match self.0.lock().0.get(&inode) {
            Some(known) if known.stored == stored => known.shown,
            _ => stored,
        }
    }

    /// An internal change has set the stored time from `before` to `after`.
    pub fn keep(&self, inode: u64, before: Time, after: Time) {
        let shown = self.shown(inode, before);
        let mut guard = self.0.lock();
        let (known, order) = &mut *guard;
        let kept = Shown {
            stored: after,
            shown,
        };
        if known.insert(inode, kept).is_none() {
            order.push_back(inode);
            if order.len() > Self::MOST
                && let Some(oldest) = order.pop_front()
            {
                known.remove(&oldest);
            }
        }
    }

    /// An application changes the object.
    pub fn forget(&self, inode: u64) {
        if let Some(known) = self.0.lock().0.get_mut(&inode) {
            // It keeps its place in the order.
            known.shown = known.stored;
        }
    }
}

impl Volume {
    /// The attributes that a stored `stat` means; `target` reads a symlink's stored target.
    ///
    /// # Errors
    /// `EXDEV` for an object of another filesystem.
    pub(super) fn attributes(
        &self,
        stat: &Stat,
        target: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Result<Attributes, VolumeError> {
        if stat.st_dev != self.device() {
            return Err(failed("stat")(rustix::io::Errno::XDEV));
        }
        let kind = Kind::of(stat.st_mode).ok_or(VolumeError::Invalid {
            what: "a file type",
        })?;
        let envelope = (kind == Kind::File)
            .then(|| self.known_envelope(stat.st_ino))
            .flatten();
        // What was found may be the middle of an internal change that has ended since, and the
        // kernel keeps what it is told: what is known of the file is asked for before and after.
        let known = || {
            let envelope = envelope.as_ref()?;
            Some((envelope.kept_times(), envelope.open_len()))
        };
        let before = known().unwrap_or_default();
        let again = match &envelope {
            Some(envelope) => self.backing.stat(envelope.reader()).ok(),
            None => None,
        };
        let stat = again.as_ref().unwrap_or(stat);
        let after = known().unwrap_or_default();
        let (kept, len) = (after.0.or(before.0), after.1.or(before.1));
        let stored = stat.st_size.unsigned_abs();
        let modified = kept.map_or((stat.st_mtime, stat.st_mtime_nsec as u32), |kept| kept.0);
        let changed = kept
            .and_then(|kept| kept.1)
            .unwrap_or((stat.st_ctime, stat.st_ctime_nsec as u32));
        let size = match kind {
            Kind::File => len.unwrap_or_else(|| self.layout.plain_len(stored)),
            Kind::Symlink => names::target_len(stored, target),
            Kind::Directory => stored,
            Kind::Fifo | Kind::Socket | Kind::CharDevice | Kind::BlockDevice => 0,
        };
        Ok(Attributes {
            inode: stat.st_ino,
            kind,
            mode: stat.st_mode & 0o7777,
            links: stat.st_nlink as u32,
            uid: stat.st_uid,
            gid: stat.st_gid,
            device: stat.st_rdev,
            size,
            blocks: stat.st_blocks.unsigned_abs(),
            accessed: (stat.st_atime, stat.st_atime_nsec as u32),
            modified,
            changed: self.change_times.shown(stat.st_ino, changed),
        })
    }

    /// The attributes of an open object (also one opened with O_PATH).
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn attributes_of(&self, fd: impl AsFd) -> Result<Attributes, VolumeError> {
        let stat = self.backing.stat(fd.as_fd()).map_err(failed("stat"))?;
        self.attributes(&stat, || self.backing.read_link_at(fd.as_fd(), c"").ok())
    }

    /// The attributes of the object with a stored name.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub(super) fn attributes_at(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Attributes, VolumeError> {
        let stat = self.backing.stat_at(dir, name).map_err(failed("stat"))?;
        self.attributes(&stat, || self.backing.read_link_at(dir, name).ok())
    }

    /// Before an application changes something of an inode that shows in its change time alone.
    pub(super) fn note_other_change(&self, fd: BorrowedFd<'_>) {
        if let Ok(stat) = self.backing.stat(fd) {
            self.note_other_change_of(stat.st_ino);
        }
    }

    /// As [`Volume::note_other_change`], of the inode with this number.
    pub(super) fn note_other_change_of(&self, inode: u64) {
        self.change_times.forget(inode);
        if let Some(envelope) = self.known_envelope(inode) {
            envelope.note_other_change();
        }
    }

    /// Sets the permission bits of an object opened with O_PATH.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn set_mode(&self, fd: impl AsFd, mode: u32) -> Result<(), VolumeError> {
        self.check_writable()?;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        self.note_other_change(fd.as_fd());
        self.changing_mode(|| self.backing.set_mode(fd.as_fd(), mode))
            .map_err(failed("chmod"))
    }

    /// Sets owner and group of an object opened with O_PATH.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn set_owner(
        &self,
        fd: impl AsFd,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), VolumeError> {
        self.check_writable()?;
        self.note_other_change(fd.as_fd());
        self.backing
            .set_owner(fd.as_fd(), uid, gid)
            .map_err(failed("chown"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_ours_is_not_shown_and_one_of_an_application_is() {
        let times = ChangeTimes::default();
        let (first, second, third) = ((1, 0), (2, 0), (3, 0));
        times.keep(7, first, second);
        assert_eq!(times.shown(7, second), first);
        // A second internal change, then somebody else's.
        times.keep(7, second, third);
        assert_eq!(times.shown(7, third), first);
        assert_eq!(times.shown(7, (4, 0)), (4, 0));
        assert_eq!(times.shown(8, third), third);
        times.forget(7);
        assert_eq!(times.shown(7, third), third);
    }
}
