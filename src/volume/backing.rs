//! The system calls on the backing directory, all of them.
//!
//! Every call that reads or changes stored bytes or names goes through [`Backing`], so that a
//! test can stop at the n-th one, let it fail, or let it do half of its work. The provided
//! methods are the real calls. Must not know what the bytes mean.

use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FallocateFlags, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, SeekFrom,
    Stat, Timestamps, Uid, XattrFlags,
};
use rustix::io::{Errno, ReadWriteFlags};

/// The result of a system call.
pub type Result<T> = std::result::Result<T, Errno>;

/// The system calls that a volume makes.
#[allow(missing_docs, reason = "each method is the system call of its name")]
pub trait Backing: Send + Sync {
    /// Opens one name of a directory, never what a link there leads to.
    fn open_at(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Names come from the backing directory, which may be hostile: the kernel holds to its own
        // word that nothing outside is reached, whatever the name has in it.
        let beneath =
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(dir, name, flags, mode, beneath) {
            // Before Linux 5.6, or a sandbox that does not know the call: names are single
            // components, and NOFOLLOW does the rest.
            Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(dir, name, flags, mode),
            opened => opened,
        }
    }

    /// Opens the root directory of a volume, wherever its path leads.
    fn open_root(&self, path: &CStr) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
    }

    /// Opens once more what is open, with other access.
    fn reopen(&self, fd: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd> {
        rustix::fs::open(proc_path(fd), flags | OFlags::CLOEXEC, Mode::empty())
    }

    fn stat_at(&self, dir: BorrowedFd<'_>, name: &CStr) -> Result<Stat> {
        rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn stat(&self, fd: BorrowedFd<'_>) -> Result<Stat> {
        rustix::fs::fstat(fd)
    }

    fn read_link_at(&self, dir: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>> {
        rustix::fs::readlinkat(dir, name, Vec::new()).map(|target| target.into_bytes())
    }

    /// Reads until the buffers are full or the file ends; returns the bytes read.
    fn read(
        &self,
        fd: BorrowedFd<'_>,
        buffers: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> Result<usize> {
        let mut buffers = &mut buffers[..];
        let mut done = 0;
        while !buffers.is_empty() {
            let count = buffers.len().min(MAX_BUFFERS);
            match rustix::io::preadv(fd, &mut buffers[..count], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => {
                    done += n;
                    IoSliceMut::advance_slices(&mut buffers, n);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }

    /// Writes all buffers. A failure comes with the number of bytes that were written before it.
    fn write(
        &self,
        fd: BorrowedFd<'_>,
        buffers: &mut [IoSlice<'_>],
        offset: u64,
    ) -> std::result::Result<(), (usize, Errno)> {
        let mut buffers = &mut buffers[..];
        let mut done = 0;
        while !buffers.is_empty() {
            let count = buffers.len().min(MAX_BUFFERS);
            match rustix::io::pwritev(fd, &buffers[..count], offset + done as u64) {
                Ok(0) => return Err((done, Errno::IO)),
                Ok(n) => {
                    done += n;
                    IoSlice::advance_slices(&mut buffers, n);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err((done, errno)),
            }
        }
        Ok(())
    }

    /// Writes and makes these bytes durable, without flushing the rest of the file.
    fn write_durable(&self, fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let rest = [IoSlice::new(&bytes[done..])];
            let at = offset + done as u64;
            match rustix::io::pwritev2(fd, &rest, at, ReadWriteFlags::DSYNC) {
                Ok(0) => return Err(Errno::IO),
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                // A filesystem without per-write flags: flush the whole file instead.
                Err(Errno::OPNOTSUPP) => {
                    let mut rest = [IoSlice::new(&bytes[done..])];
                    self.write(fd, &mut rest, at).map_err(|(_, errno)| errno)?;
                    return self.sync(fd, true);
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn truncate(&self, fd: BorrowedFd<'_>, len: u64) -> Result<()> {
        rustix::fs::ftruncate(fd, len)
    }

    fn allocate(
        &self,
        fd: BorrowedFd<'_>,
        flags: FallocateFlags,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        rustix::fs::fallocate(fd, flags, offset, len)
    }

    fn seek(&self, fd: BorrowedFd<'_>, to: SeekFrom) -> Result<u64> {
        rustix::fs::seek(fd, to)
    }

    fn sync(&self, fd: BorrowedFd<'_>, data_only: bool) -> Result<()> {
        if data_only {
            rustix::fs::fdatasync(fd)
        } else {
            rustix::fs::fsync(fd)
        }
    }

    fn sync_filesystem(&self, fd: BorrowedFd<'_>) -> Result<()> {
        rustix::fs::syncfs(fd)
    }

    fn make_dir_at(&self, dir: BorrowedFd<'_>, name: &CStr, mode: Mode) -> Result<()> {
        rustix::fs::mkdirat(dir, name, mode)
    }

    fn make_node_at(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        kind: FileType,
        mode: Mode,
        device: u64,
    ) -> Result<()> {
        rustix::fs::mknodat(dir, name, kind, mode, device)
    }

    fn symlink_at(&self, target: &CStr, dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        rustix::fs::symlinkat(target, dir, name)
    }

    /// Gives an open file (also one without a name) a name.
    fn link_at(&self, fd: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        let path = proc_path(fd);
        rustix::fs::linkat(rustix::fs::CWD, &path, dir, name, AtFlags::SYMLINK_FOLLOW)
    }

    fn rename_at(
        &self,
        from: BorrowedFd<'_>,
        name: &CStr,
        to: BorrowedFd<'_>,
        new_name: &CStr,
        flags: RenameFlags,
    ) -> Result<()> {
        if flags.is_empty() {
            return rustix::fs::renameat(from, name, to, new_name);
        }
        rustix::fs::renameat_with(from, name, to, new_name, flags)
    }

    fn unlink_at(&self, dir: BorrowedFd<'_>, name: &CStr, directory: bool) -> Result<()> {
        let flags = if directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        rustix::fs::unlinkat(dir, name, flags)
    }

    fn set_owner(&self, fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH)
    }

    fn set_mode(&self, fd: BorrowedFd<'_>, mode: Mode) -> Result<()> {
        rustix::fs::chmodat(rustix::fs::CWD, proc_path(fd), mode, AtFlags::empty())
    }

    fn set_times(&self, dir: BorrowedFd<'_>, name: &CStr, times: &Timestamps) -> Result<()> {
        rustix::fs::utimensat(dir, name, times, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Sets the times of an open file.
    fn set_times_of(&self, fd: BorrowedFd<'_>, times: &Timestamps) -> Result<()> {
        rustix::fs::futimens(fd, times)
    }

    fn xattr(&self, fd: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>> {
        grown(|buffer| rustix::fs::getxattr(proc_path(fd), name, buffer))
    }

    fn xattr_names(&self, fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
        grown(|buffer| rustix::fs::listxattr(proc_path(fd), buffer))
    }

    fn set_xattr(
        &self,
        fd: BorrowedFd<'_>,
        name: &CStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        rustix::fs::setxattr(proc_path(fd), name, value, flags)
    }

    fn remove_xattr(&self, fd: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        rustix::fs::removexattr(proc_path(fd), name)
    }
}

/// The real system calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Backing for System {}

/// Buffers that one call may take (IOV_MAX).
const MAX_BUFFERS: usize = 1024;

/// A path to an open file: works for O_PATH descriptors and for files without a name.
pub fn proc_path(fd: impl AsFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Calls with a larger buffer until it is large enough.
fn grown(mut call: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 1024];
    loop {
        match call(&mut buffer) {
            Ok(len) => {
                buffer.truncate(len);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 128 * 1024 => buffer.resize(buffer.len() * 8, 0),
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_directory_is_opened() {
        let outside = tempfile::tempdir().expect("tempdir");
        let dir = outside.path().join("volume");
        std::fs::create_dir(&dir).expect("mkdir");
        std::fs::write(outside.path().join("secret"), "secret").expect("write");
        std::fs::write(dir.join("file"), "file").expect("write");
        std::os::unix::fs::symlink("../secret", dir.join("link")).expect("symlink");
        std::os::unix::fs::symlink("/proc/self/root", dir.join("magic")).expect("symlink");
        let root = std::fs::File::open(&dir).expect("open");
        let open = |name: &CStr, flags| System.open_at(root.as_fd(), name, flags, Mode::empty());
        for (name, errno) in [
            (c"..", Errno::XDEV),
            (c"../secret", Errno::XDEV),
            (c"/etc/passwd", Errno::XDEV),
            (c"link", Errno::LOOP),
            (c"magic", Errno::LOOP),
            (c"magic/etc/passwd", Errno::LOOP),
        ] {
            assert_eq!(open(name, OFlags::RDONLY).err(), Some(errno), "{name:?}");
        }
        for name in [c".", c"file"] {
            assert!(open(name, OFlags::RDONLY).is_ok(), "{name:?}");
        }
        // The link itself, not what it leads to.
        let link = open(c"link", OFlags::PATH).expect("open");
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&link).expect("stat").st_mode);
        assert_eq!(kind, FileType::Symlink);
    }
}
