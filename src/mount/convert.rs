//! Between fuser's types and the volume's: attributes, kinds, times, device numbers.
//!
//! Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};

use crate::volume::attributes::TimeChange;
use crate::volume::{Attributes, Kind};

/// How long the kernel may keep what it has been told: every change goes through this mount.
pub(super) const TTL: Duration = Duration::from_secs(3600);

/// How long the kernel may keep attributes.
///
/// Set-id bits go when a file is written, and the kernel does not ask again by itself. After a
/// crash the size that a file has before it is opened may not be its last word (`sizes_may_change`):
/// an append must not go by it.
pub(super) fn ttl(attr: &FileAttr, sizes_may_change: bool) -> Duration {
    let set_id = attr.perm & 0o6000 != 0;
    if attr.kind == FileType::RegularFile && (set_id || sizes_may_change) {
        Duration::ZERO
    } else {
        TTL
    }
}

fn system_time((seconds, nanoseconds): (i64, u32)) -> SystemTime {
    let fraction = Duration::from_nanos(nanoseconds.into());
    if seconds >= 0 {
        UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()) + fraction
    } else {
        UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()) + fraction
    }
}

pub(super) fn file_attr(number: u64, attributes: &Attributes) -> FileAttr {
    FileAttr {
        ino: INodeNo(number),
        size: attributes.size,
        blocks: attributes.blocks,
        atime: system_time(attributes.accessed),
        mtime: system_time(attributes.modified),
        ctime: system_time(attributes.changed),
        crtime: UNIX_EPOCH,
        kind: file_type(attributes.kind),
        perm: attributes.mode as u16,
        nlink: attributes.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: attributes.device as u32,
        blksize: 4096,
        flags: 0,
    }
}

pub(super) fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
        Kind::CharDevice => FileType::CharDevice,
        Kind::BlockDevice => FileType::BlockDevice,
    }
}

pub(super) fn time_change(time: Option<TimeOrNow>) -> TimeChange {
    match time {
        None => TimeChange::Keep,
        Some(TimeOrNow::Now) => TimeChange::Now,
        Some(TimeOrNow::SpecificTime(time)) => match time.duration_since(UNIX_EPOCH) {
            Ok(since) => TimeChange::To((since.as_secs().cast_signed(), since.subsec_nanos())),
            // fuser 0.18 makes -s seconds and n nanoseconds, which is n after -s, into the moment n
            // before it: what it subtracted is taken apart again.
            Err(before) => {
                let apart = before.duration();
                TimeChange::To((-apart.as_secs().cast_signed(), apart.subsec_nanos()))
            }
        },
    }
}

/// The kernel's device numbers as the system call takes them.
pub(super) fn device_number(rdev: u32) -> u64 {
    let (major, minor) = (
        (rdev & 0xfff00) >> 8,
        (rdev & 0xff) | ((rdev >> 12) & 0xfff00),
    );
    rustix::fs::makedev(major, minor)
}
