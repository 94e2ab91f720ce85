//! The fuser glue: decode, call, reply.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType,
    Filesystem, FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};
use parking_lot::RwLock;
use rustix::fs::XattrFlags;

use super::callers::{self, Callers};
use super::control::Outcomes;
use super::convert::{TTL, device_number, file_attr, file_type, time_change, ttl};
use super::handles::{Asker, Handles, OpenFile, OpenObject, posix};
use super::resealing::Resealing;
use super::revocation::Watch;
use super::tree::{Node, ROOT, Tree};
use super::{errno, ioctl};
use crate::kms::service::Caller;
use crate::volume::attributes::TimeChange;
use crate::volume::directory::ListedName;
use crate::volume::{Attributes, File, Handle, Kind, Owner, Volume, VolumeError};

const GENERATION: Generation = Generation(0);
/// Bytes that one copy_file_range copies at most: a request must not become a long job.
const COPY_AT_ONCE: u64 = 4 << 20;

/// How long the kernel keeps what it has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cache {
    /// As long as it likes.
    #[default]
    Keep,
    /// Until the last close.
    Close,
    /// Not at all: every read is asked for.
    None,
}

/// What the mount options say to this layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct MountOptions {
    /// Reading does not change access times.
    pub no_atime: bool,
    /// How long the kernel keeps what it has read.
    pub cache: Cache,
}

/// The filesystem as fuser drives it.
pub struct RekeyFs {
    pub(super) tree: Arc<Tree>,
    pub(super) resealing: Arc<Resealing>,
    handles: Arc<Handles>,
    watch: Arc<Watch>,
    pub(super) outcomes: Outcomes,
    pub(super) callers: Callers,
    options: MountOptions,
}

/// Runs a handler; what it says becomes an errno, and so does a panic.
///
/// A panic would end the thread that serves requests, and with it the mount.
fn answer<T>(operation: &str, f: impl FnOnce() -> Result<T, VolumeError>) -> Result<T, Errno> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let number = errno::of(&error);
            match &error {
                // Its message may quote what was asked.
                VolumeError::Key(exception) => {
                    log::debug!("{operation}: {} (errno {number})", exception.kind().name());
                }
                error => log::debug!("{operation}: {error} (errno {number})"),
            }
            callers::explain(&error);
            if matches!(number, libc::EUCLEAN | libc::EBADMSG | libc::EIO) {
                log::warn!("{operation}: {error}");
            }
            Err(Errno::from_i32(number))
        }
        Err(_) => {
            log::error!("{operation}: internal error: a handler panicked");
            Err(Errno::from_i32(errno::PANIC))
        }
    }
}

macro_rules! reply {
    ($reply:ident, $operation:literal, $body:block, $value:pat => $send:expr) => {
        match answer($operation, || $body) {
            Ok($value) => $send,
            Err(errno) => $reply.error(errno),
        }
    };
}

impl RekeyFs {
    /// Serves `tree` to `callers`.
    pub fn new(tree: Tree, callers: Callers, options: MountOptions) -> Self {
        Self {
            tree: Arc::new(tree),
            callers,
            resealing: Arc::default(),
            handles: Arc::default(),
            watch: Arc::default(),
            outcomes: Outcomes::default(),
            options,
        }
    }

    /// What a watcher of this filesystem shares with it.
    pub(super) fn watched(&self) -> (Arc<Handles>, Arc<Watch>) {
        (Arc::clone(&self.handles), Arc::clone(&self.watch))
    }

    /// What the thread that reseals shares with it.
    pub(super) fn resealed(&self) -> (Arc<Tree>, Arc<Resealing>) {
        (Arc::clone(&self.tree), Arc::clone(&self.resealing))
    }

    /// How the kernel may cache a file that is opened.
    fn open_flags(&self, writes: bool) -> FopenFlags {
        let noflush = if writes {
            FopenFlags::empty()
        } else {
            FopenFlags::FOPEN_NOFLUSH
        };
        noflush
            | match self.options.cache {
                Cache::Keep | Cache::Close => FopenFlags::FOPEN_KEEP_CACHE,
                Cache::None => FopenFlags::FOPEN_DIRECT_IO,
            }
    }

    fn ttl(&self, attr: &FileAttr) -> Duration {
        ttl(attr, self.volume().sizes_may_change())
    }

    fn send_entry(&self, reply: ReplyEntry, attributes: &Attributes) {
        let attr = file_attr(attributes.inode, attributes);
        reply.entry_with_ttls(&self.ttl(&attr), &TTL, &attr, GENERATION);
    }

    pub(super) fn volume(&self) -> &Arc<Volume> {
        self.tree.volume()
    }

    pub(super) fn node(&self, number: INodeNo) -> Result<Arc<Node>, VolumeError> {
        self.tree.node(number.0)
    }

    fn attr(&self, node: &Arc<Node>) -> Result<FileAttr, VolumeError> {
        Ok(file_attr(node.number, &self.tree.attributes(node)?))
    }

    fn owner(request: &Request, mode: u32, umask: u32) -> Owner {
        Owner {
            uid: request.uid(),
            gid: request.gid(),
            mode: mode & 0o7777,
            umask,
        }
    }

    /// Runs what needs the key of `node`, or of a directory for something in it: what the key
    /// service refuses is what `user.kms.error` says to the caller.
    pub(super) fn noting<T>(
        &self,
        request: &Request,
        node: &Arc<Node>,
        f: impl FnOnce() -> Result<T, VolumeError>,
    ) -> Result<T, VolumeError> {
        let result = f();
        if let Err(VolumeError::Key(exception)) = &result
            && let Ok(envelope) = self.tree.envelope(node)
        {
            let object = envelope.header().object;
            self.outcomes
                .record_refusal(object, request.uid(), exception);
        }
        result
    }

    /// Opens the file of a node for a caller, or joins those who have it open.
    fn open_file(
        &self,
        node: &Arc<Node>,
        caller: &Caller,
        truncate: bool,
    ) -> Result<Handle, VolumeError> {
        File::open(&self.tree.envelope(node)?, caller, truncate)
    }

    /// An open file of the node: that of a handle, or one opened for this request.
    pub(super) fn with_file<T>(
        &self,
        node: &Arc<Node>,
        handle: Option<FileHandle>,
        caller: &Caller,
        f: impl FnOnce(&File) -> Result<T, VolumeError>,
    ) -> Result<T, VolumeError> {
        if let Some(handle) = handle
            && let Ok(object) = self.handles.find(handle)
            && let Ok(file) = object.file()
        {
            return f(&file);
        }
        f(&*self.open_file(node, caller, false)?)
    }

    /// POSIX: a change of owner takes set-id bits away; set-gid without group execute is a mark of
    /// mandatory locking and stays.
    fn clear_set_id(
        &self,
        node: &Arc<Node>,
        object: &std::os::fd::OwnedFd,
    ) -> Result<(), VolumeError> {
        if node.kind != Kind::File {
            return Ok(());
        }
        let mode = self.volume().attributes_of(object)?.mode;
        let mut cleared = mode & !0o4000;
        if mode & 0o010 != 0 {
            cleared &= !0o2000;
        }
        if cleared != mode {
            self.volume().set_mode(object, cleared)?;
        }
        match self
            .volume()
            .remove_plain_xattr(object, OsStr::new("security.capability"))
        {
            Err(VolumeError::NoAttribute | VolumeError::Backing { .. }) | Ok(()) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// The same for changes that the kernel says nothing about, by anybody who may not keep the bits.
    fn clear_set_id_for(&self, request: &Request, number: INodeNo) -> Result<(), VolumeError> {
        if request.uid() == 0 {
            return Ok(());
        }
        let node = self.node(number)?;
        self.clear_set_id(&node, &self.tree.object(&node)?)
    }

    fn set_times(
        &self,
        node: &Arc<Node>,
        accessed: TimeChange,
        modified: TimeChange,
    ) -> Result<(), VolumeError> {
        // A known file's times are set through it: an internal write must not put old ones back.
        if node.kind == Kind::File
            && let Some(envelope) = self.volume().known_envelope(node.number)
        {
            return match envelope.with_open_file(|file| file.set_times(accessed, modified)) {
                Some(done) => done,
                None => envelope.set_times_of_closed(accessed, modified),
            };
        }
        if node.number == ROOT {
            return self
                .tree
                .directory(node)?
                .set_times(c".", accessed, modified);
        }
        self.tree.with_name(node, |directory, stored| {
            directory.set_times(stored, accessed, modified)
        })
    }

    /// The access time of a file that is read: as `relatime` does it, once for each opening.
    fn touch_atime(&self, file: &File, first: &AtomicBool) {
        if self.options.no_atime || !first.swap(false, Ordering::Relaxed) {
            return;
        }
        let Ok(found) = file.attributes() else {
            return;
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs().cast_signed());
        let day_old = now - found.accessed.0 > 24 * 60 * 60;
        if found.accessed <= found.modified || found.accessed <= found.changed || day_old {
            let _ = file.set_times(TimeChange::Now, TimeChange::Keep);
        }
    }

    fn list(&self, node: &Arc<Node>, caller: &Caller) -> Result<Vec<ListedName>, VolumeError> {
        self.tree.directory(node)?.list(caller)
    }

    fn copy(
        &self,
        source: &File,
        from: u64,
        target: &File,
        to: u64,
        len: u64,
    ) -> Result<u32, VolumeError> {
        let mut done = 0;
        let len = len.min(COPY_AT_ONCE);
        while done < len {
            let want = (len - done).min(1 << 20) as usize;
            let bytes = source.read(from + done, want)?;
            if bytes.as_bytes().is_empty() {
                break;
            }
            match target.write(to + done, bytes.as_bytes()) {
                Ok(written) => done += written as u64,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
            if bytes.as_bytes().len() < want {
                break;
            }
        }
        Ok(done as u32)
    }

    fn allocate(&self, file: &File, offset: u64, len: u64, mode: i32) -> Result<(), VolumeError> {
        let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 => file.allocate(offset, len, !keep_size),
            libc::FALLOC_FL_PUNCH_HOLE if keep_size => file.punch(offset, len),
            libc::FALLOC_FL_ZERO_RANGE => file.zero_range(offset, len, !keep_size),
            _ => Err(VolumeError::NotSupported {
                what: "this mode of fallocate",
            }),
        }
    }
}

fn send_xattr(reply: ReplyXattr, size: u32, result: Result<Vec<u8>, Errno>) {
    match result {
        Err(errno) => reply.error(errno),
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
    }
}

impl Filesystem for RekeyFs {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Without KILLPRIV_V2 every write asks for security.capability first.
        for flags in [
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_ASYNC_DIO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_HAS_IOCTL_DIR,
            // The kernel judges by ACLs and leaves the umask to the directory's default one.
            InitFlags::FUSE_POSIX_ACL,
            InitFlags::FUSE_DONT_MASK,
            // Shared mappings of files that are not cached.
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        ] {
            if let Err(unknown) = config.add_capabilities(flags) {
                log::debug!("the kernel does not offer {unknown:?}");
            }
        }
        let _ = config.set_max_background(64);
        let _ = config.set_time_granularity(Duration::from_nanos(1));
        Ok(())
    }

    fn destroy(&mut self) {
        self.handles.clear();
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        reply!(reply, "lookup", { self.tree.lookup(&self.node(parent)?, name) },
            found => self.send_entry(reply, &found));
    }

    fn forget(&self, _request: &Request, number: INodeNo, count: u64) {
        let _ = answer("forget", || {
            self.tree.forget(number.0, count);
            Ok(())
        });
    }

    fn getattr(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        reply!(reply, "getattr", { self.attr(&self.node(number)?) },
            attr => reply.attr(&self.ttl(&attr), &attr));
    }

    fn setattr(
        &self,
        request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply!(reply, "setattr", {
            let node = self.node(number)?;
            let caller = self.caller_about(request, &node)?;
            if let Some(size) = size {
                self.noting(request, &node, || {
                    self.with_file(&node, handle, &caller, |file| file.set_len(size))
                })?;
                if request.uid() != 0 {
                    self.clear_set_id(&node, &self.tree.object(&node)?)?;
                }
            }
            if uid.is_some() || gid.is_some() {
                let object = self.tree.object(&node)?;
                self.volume().set_owner(&object, uid, gid)?;
                self.clear_set_id(&node, &object)?;
            }
            if let Some(mode) = mode {
                self.volume().set_mode(self.tree.object(&node)?, mode)?;
            }
            if atime.is_some() || mtime.is_some() {
                self.set_times(&node, time_change(atime), time_change(mtime))?;
            }
            self.attr(&node)
        }, attr => reply.attr(&self.ttl(&attr), &attr));
    }

    fn readlink(&self, request: &Request, number: INodeNo, reply: ReplyData) {
        reply!(reply, "readlink", {
            let root = self.tree.directory(&self.tree.node(ROOT)?)?;
            let node = self.node(number)?;
            root.envelope()
                .authorise(&self.caller_about(request, &node)?)?;
            self.volume().read_link_of(&self.tree.object(&self.node(number)?)?)
        }, target => reply.data(&target));
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        reply!(reply, "mknod", {
            let parent = self.node(parent)?;
            let directory = self.tree.directory(&parent)?;
            let caller = self.caller_in(request, &parent)?;
            let owner = Self::owner(request, mode, umask);
            let kind = rustix::fs::FileType::from_raw_mode(mode);
            let (stored, attributes) = if Kind::of(mode) == Some(Kind::File) {
                let make = || directory.create_file(&caller, name, owner);
                let (stored, _, attributes) = self.noting(request, &parent, make)?;
                (stored, attributes)
            } else {
                let device = device_number(rdev);
                let make = || directory.create_node(&caller, name, kind, device, owner);
                self.noting(request, &parent, make)?
            };
            self.tree.remember_made(&parent, name, stored, &attributes);
            Ok(attributes)
        }, made => self.send_entry(reply, &made));
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        reply!(reply, "mkdir", {
            let parent = self.node(parent)?;
            let owner = Self::owner(request, mode, umask);
            let caller = self.caller_in(request, &parent)?;
            let directory = self.tree.directory(&parent)?;
            let make = || directory.create_directory(&caller, name, owner);
            let (stored, attributes) = self.noting(request, &parent, make)?;
            self.tree.remember_made(&parent, name, stored, &attributes);
            Ok(attributes)
        }, made => self.send_entry(reply, &made));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply!(reply, "unlink", {
            let parent = self.node(parent)?;
            self.tree.remove(&parent, name, |directory| directory.unlink(name))
        }, () => reply.ok());
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply!(reply, "rmdir", {
            let parent = self.node(parent)?;
            self.tree.remove(&parent, name, |directory| directory.remove_directory(name))
        }, () => reply.ok());
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        reply!(reply, "symlink", {
            let parent = self.node(parent)?;
            let owner = Self::owner(request, 0o777, 0);
            let caller = self.caller_in(request, &parent)?;
            let directory = self.tree.directory(&parent)?;
            let target = target.as_os_str().as_bytes();
            let make = || directory.create_symlink(&caller, name, target, owner);
            let (stored, attributes) = self.noting(request, &parent, make)?;
            self.tree.remember_made(&parent, name, stored, &attributes);
            Ok(attributes)
        }, made => self.send_entry(reply, &made));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply!(reply, "rename", {
            let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
            let known = rustix::fs::RenameFlags::NOREPLACE | rustix::fs::RenameFlags::EXCHANGE;
            if !known.contains(flags) {
                return Err(VolumeError::Invalid { what: "rename flags" });
            }
            let (parent, new_parent) = (self.node(parent)?, self.node(new_parent)?);
            self.tree.rename(&parent, name, &new_parent, new_name, flags)
        }, () => reply.ok());
    }

    fn link(
        &self,
        _request: &Request,
        number: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        reply!(reply, "link", {
            let parent = self.node(new_parent)?;
            let object = self.tree.object(&self.node(number)?)?;
            if self.volume().is_strict() {
                // What is durable under another name must not come to depend on what is not.
                self.tree.sync_way_to(&parent)?;
            }
            let (stored, attributes) = self.tree.directory(&parent)?.link(&object, new_name)?;
            self.tree.remember_made(&parent, new_name, stored, &attributes);
            Ok(attributes)
        }, made => self.send_entry(reply, &made));
    }

    fn open(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        reply!(reply, "open", {
            let node = self.node(number)?;
            if flags.0 & libc::O_ACCMODE == libc::O_ACCMODE {
                self.tree.envelope(&node)?;
                return Ok((OpenObject::ControlOnly, FopenFlags::FOPEN_KEEP_CACHE));
            }
            let writes = flags.0 & libc::O_ACCMODE != libc::O_RDONLY;
            if writes && self.volume().is_read_only() {
                return Err(VolumeError::ReadOnly);
            }
            let truncate = flags.0 & libc::O_TRUNC != 0;
            // The kernel asks whether the program runs before it opens for writing, but only
            // after an open for reading that truncates: too late, the text would be gone.
            if truncate && !writes && self.handles.is_executed(node.number) {
                return Err(posix("truncate", rustix::io::Errno::TXTBSY));
            }
            let caller = self.caller_about(request, &node)?;
            let open = || self.open_or_start_over(&node, &caller, truncate);
            let handle = self.noting(request, &node, open)?;
            if truncate && request.uid() != 0 {
                self.clear_set_id(&node, &self.tree.object(&node)?)?;
            }
            self.resealing.resume(&node, handle.envelope(), &caller);
            let object = OpenFile::new(node.number, handle, caller, flags.0);
            Ok((OpenObject::File(object), self.open_flags(writes)))
        }, (object, flags) => reply.opened(self.handles.insert(object), flags));
    }

    fn read(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        reply!(reply, "read", {
            let object = self.handles.find(handle)?;
            let opened = object.open_file()?;
            let file = opened.get(Asker::Application)?;
            let plain = file.read(offset, size as usize)?;
            self.touch_atime(&file, &opened.touches_atime);
            Ok(plain)
        }, plain => reply.data(plain.as_bytes()));
    }

    fn write(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply!(reply, "write", {
            let object = self.handles.find(handle)?;
            if write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) {
                let node = self.node(number)?;
                self.clear_set_id(&node, &self.tree.object(&node)?)?;
            }
            let file = object.open_file()?;
            if write_flags.contains(WriteFlags::FUSE_WRITE_CACHE) {
                // The kernel takes a short answer for a whole one: no fsync would report the rest.
                file.get(Asker::WriteBack)?.write_all(offset, data)?;
                Ok(data.len())
            } else {
                file.get(Asker::Application)?.write(offset, data)
            }
        }, written => reply.written(written as u32));
    }

    fn flush(
        &self,
        _request: &Request,
        _number: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        // Nothing is held back here. The kernel has written its dirty pages before it asks, and
        // stops asking after this answer.
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        reply!(reply, "release", {
            let removed = self.handles.remove(handle);
            if self.options.cache == Cache::Close
                && let Some(OpenObject::File(file)) = removed.as_deref()
            {
                self.watch.drop_pages(file.number);
            }
            Ok(())
        }, () => reply.ok());
    }

    fn fsync(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply!(reply, "fsync", {
            let asker = Asker::WriteBack;
            self.handles.find(handle)?.open_file()?.get(asker)?.sync(datasync)?;
            self.tree.sync_way_to(&self.node(number)?)
        }, () => reply.ok());
    }

    fn opendir(&self, request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply!(reply, "opendir", {
            let node = self.node(number)?;
            let directory = self.tree.directory(&node)?;
            let caller = self.caller_about(request, &node)?;
            self.noting(request, &node, || directory.envelope().authorise(&caller))?;
            self.resealing.resume(&node, directory.envelope(), &caller);
            Ok(OpenObject::Directory(Arc::default()))
        }, object => reply.opened(self.handles.insert(object), FopenFlags::empty()));
    }

    fn readdir(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        reply!(reply, "readdir", {
            let node = self.node(number)?;
            let names = self.listing(request, &node, handle, offset)?;
            let names = names.read();
            for (at, dots) in [".", ".."].into_iter().enumerate().skip(offset as usize) {
                if reply.add(number, at as u64 + 1, FileType::Directory, dots) {
                    return Ok(());
                }
            }
            let skip = offset.saturating_sub(2) as usize;
            for (at, entry) in names.iter().enumerate().skip(skip) {
                let kind = file_type(entry.kind.unwrap_or(Kind::File));
                let name = OsStr::from_bytes(&entry.name);
                if reply.add(INodeNo(entry.inode), at as u64 + 3, kind, name) {
                    break;
                }
            }
            Ok(())
        }, () => reply.ok());
    }

    fn readdirplus(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        reply!(reply, "readdirplus", {
            let node = self.node(number)?;
            let directory = self.tree.directory(&node)?;
            let names = self.listing(request, &node, handle, offset)?;
            let names = names.read();
            let own = self.attr(&node)?;
            for (at, dots) in [".", ".."].into_iter().enumerate().skip(offset as usize) {
                if reply.add(number, at as u64 + 1, dots, &TTL, &own, GENERATION) {
                    return Ok(());
                }
            }
            let skip = offset.saturating_sub(2) as usize;
            for (at, entry) in names.iter().enumerate().skip(skip) {
                let name = OsStr::from_bytes(&entry.name);
                // Gone since it was listed: the kernel would not find it either. Under a new
                // stored name if a reseal has moved it.
                let Ok(found) = self.tree.found_listed(&node, &directory, entry) else {
                    continue;
                };
                let attr = file_attr(found.inode, &found);
                let (at, ino) = (at as u64 + 3, INodeNo(found.inode));
                if reply.add(ino, at, name, &self.ttl(&attr), &attr, GENERATION) {
                    self.tree.forget(found.inode, 1);
                    break;
                }
            }
            Ok(())
        }, () => reply.ok());
    }

    fn releasedir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        drop(self.handles.remove(handle));
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply!(reply, "fsyncdir", {
            let node = self.node(number)?;
            self.tree.directory(&node)?.sync(datasync)?;
            self.tree.sync_way_to(&node)
        }, () => reply.ok());
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        reply!(reply, "statfs", { self.volume().statistics() }, found => reply.statfs(
            found.f_blocks,
            found.f_bfree,
            found.f_bavail,
            found.f_files,
            found.f_ffree,
            found.f_bsize as u32,
            255,
            found.f_frsize as u32,
        ));
    }

    fn setxattr(
        &self,
        request: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let flags = XattrFlags::from_bits_truncate(flags.cast_unsigned());
        reply!(reply, "setxattr", { self.set_xattr(request, number, name, value, flags) },
            () => reply.ok());
    }

    fn getxattr(
        &self,
        request: &Request,
        number: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        send_xattr(
            reply,
            size,
            answer("getxattr", || self.xattr(request, number, name)),
        );
    }

    fn listxattr(&self, request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        send_xattr(
            reply,
            size,
            answer("listxattr", || self.xattr_names(request, number)),
        );
    }

    fn removexattr(&self, request: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply!(reply, "removexattr", { self.remove_xattr(request, number, name) },
            () => reply.ok());
    }

    fn access(&self, _request: &Request, _number: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // The kernel judges by the modes (default_permissions is always on) and does not ask.
        reply.ok();
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        reply!(reply, "create", {
            let parent = self.node(parent)?;
            let owner = Self::owner(request, mode, umask);
            let caller = self.caller_in(request, &parent)?;
            let directory = self.tree.directory(&parent)?;
            let make = || directory.create_file(&caller, name, owner);
            let (stored, handle, attributes) = self.noting(request, &parent, make)?;
            self.tree.remember_made(&parent, name, stored, &attributes);
            let object = OpenFile::new(attributes.inode, handle, caller, flags);
            Ok((OpenObject::File(object), attributes))
        }, (object, made) => {
            let handle = self.handles.insert(object);
            let attr = file_attr(made.inode, &made);
            let flags = self.open_flags(true);
            reply.created(&self.ttl(&attr), &attr, GENERATION, handle, flags);
        });
    }

    fn ioctl(
        &self,
        request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        _flags: IoctlFlags,
        command: u32,
        in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        if command != ioctl::REENCRYPT {
            reply.error(match ioctl::wrong_size(command) {
                None => Errno::ENOTTY,
                Some(true) => Errno::E2BIG,
                Some(false) => Errno::EINVAL,
            });
            return;
        }
        reply!(reply, "ioctl", { self.re_encrypt(request, number, in_data) },
            (errno, bytes) => reply.ioctl(-errno, &bytes));
    }

    fn fallocate(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        reply!(reply, "fallocate", {
            let object = self.handles.find(handle)?;
            self.clear_set_id_for(request, number)?;
            self.allocate(&*object.file()?, offset, length, mode)
        }, () => reply.ok());
    }

    fn lseek(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        reply!(reply, "lseek", {
            let object = self.handles.find(handle)?;
            let from = u64::try_from(offset).map_err(|_| VolumeError::Invalid { what: "offset" })?;
            let found = match whence {
                libc::SEEK_DATA => object.file()?.seek(from, false)?,
                libc::SEEK_HOLE => object.file()?.seek(from, true)?,
                _ => return Err(VolumeError::Invalid { what: "whence" }),
            };
            found.ok_or_else(|| posix("seek", rustix::io::Errno::NXIO))
        }, found => reply.offset(found.cast_signed()));
    }

    fn copy_file_range(
        &self,
        request: &Request,
        _number_in: INodeNo,
        handle_in: FileHandle,
        offset_in: u64,
        number_out: INodeNo,
        handle_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply!(reply, "copy_file_range", {
            let (from, to) = (self.handles.find(handle_in)?, self.handles.find(handle_out)?);
            self.clear_set_id_for(request, number_out)?;
            self.copy(&*from.file()?, offset_in, &*to.file()?, offset_out, len)
        }, written => reply.written(written));
    }
}

impl RekeyFs {
    /// The names of an open directory; listed anew when reading starts over.
    fn listing(
        &self,
        request: &Request,
        node: &Arc<Node>,
        handle: FileHandle,
        offset: u64,
    ) -> Result<Arc<RwLock<Vec<ListedName>>>, VolumeError> {
        let object = self.handles.find(handle)?;
        let OpenObject::Directory(names) = &*object else {
            return Err(posix("list", rustix::io::Errno::NOTDIR));
        };
        if offset == 0 {
            let caller = self.caller_about(request, node)?;
            *names.write() = self.noting(request, node, || self.list(node, &caller))?;
        }
        Ok(Arc::clone(names))
    }

    /// Opens a file; one whose header is lost is made anew if its contents are to go anyway.
    fn open_or_start_over(
        &self,
        node: &Arc<Node>,
        caller: &Caller,
        truncate: bool,
    ) -> Result<Handle, VolumeError> {
        match self.open_file(node, caller, truncate) {
            Err(VolumeError::HeaderMalformed { .. } | VolumeError::WrongType { .. })
                if truncate && node.kind == Kind::File =>
            {
                let object = self.tree.object(node)?;
                self.tree
                    .with_name(node, |directory, _| directory.start_over(caller, &object))
            }
            result => result,
        }
    }
}
