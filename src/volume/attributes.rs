//! What stat shows of a plain object, and how mode, owner and times change.
//!
//! No header is read and no key is needed: the plain size follows from the stored one.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

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
        let stored = stat.st_size.unsigned_abs();
        let size = match kind {
            Kind::File => self
                .open_len(stat.st_ino)
                .unwrap_or_else(|| self.layout.plain_len(stored)),
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
            modified: (stat.st_mtime, stat.st_mtime_nsec as u32),
            changed: (stat.st_ctime, stat.st_ctime_nsec as u32),
        })
    }

    fn open_len(&self, inode: u64) -> Option<u64> {
        self.known_envelope(inode)
            .and_then(|envelope| envelope.open_len())
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

    /// Sets the permission bits of an object opened with O_PATH.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn set_mode(&self, fd: impl AsFd, mode: u32) -> Result<(), VolumeError> {
        self.check_writable()?;
        let mode = Mode::from_raw_mode(mode & 0o7777);
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
        self.backing
            .set_owner(fd.as_fd(), uid, gid)
            .map_err(failed("chown"))
    }
}
