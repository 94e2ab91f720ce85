//! What several tests need: a keystore, a volume, and a backing store that fails.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::ffi::{CStr, OsStr};
use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rekeyfs::kms::Kms;
use rekeyfs::kms::api::Operation;
use rekeyfs::kms::caller::Caller;
use rekeyfs::kms::rootkey::RootKeySource;
use rekeyfs::kms::service::ReEncryptRequest;
use rekeyfs::kms::store::Store;
use rekeyfs::volume::backing::{Backing, System};
use rekeyfs::volume::{
    Directory, File, Handle, InitOptions, OpenOptions, Owner, RewrapRequest, Volume, VolumeError,
};
use rustix::fs::{FallocateFlags, Mode, OFlags, RenameFlags, Timestamps};
use rustix::io::Errno;

/// The owner of everything that tests make.
pub const OWNER: Owner = Owner {
    uid: 0,
    gid: 0,
    mode: 0o644,
    umask: 0,
};

/// A keystore with one symmetric key.
pub struct Keys {
    pub kms: Arc<Kms>,
    pub caller: Caller,
    pub key_id: String,
}

/// A directory in memory, so that a test does not wait for a disk.
pub fn temporary() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("rekeyfs-test-")
        .tempdir_in("/dev/shm")
        .expect("a directory in memory")
}

pub fn keys(dir: &Path) -> Keys {
    let store = Store::create(&dir.join("keystore.db"), &RootKeySource::File).expect("keystore");
    let kms = Arc::new(Kms::new(store));
    let caller = Caller::root("000000000000", "us-east-1");
    let key_id = make_key(&kms, &caller, "SYMMETRIC_DEFAULT");
    Keys {
        kms,
        caller,
        key_id,
    }
}

/// Runs the operation of that name.
pub fn call(
    kms: &Kms,
    caller: &Caller,
    operation: &str,
    request: serde_json::Value,
) -> Result<serde_json::Value, rekeyfs::kms::error::Exception> {
    let operation = Operation::find(operation).expect("in the table");
    kms.call(caller, operation, request)
}

pub fn make_key(kms: &Kms, caller: &Caller, spec: &str) -> String {
    let request = serde_json::json!({"KeySpec": spec, "KeyUsage": "ENCRYPT_DECRYPT"});
    let made = call(kms, caller, "CreateKey", request).expect("a key");
    let arn = made["KeyMetadata"]["Arn"].as_str();
    arn.expect("an ARN").to_owned()
}

impl Keys {
    pub fn init(&self, path: &Path) {
        let options = InitOptions {
            key_id: self.key_id.clone(),
            algorithm: rekeyfs::kms::service::EncryptionAlgorithm::SYMMETRIC_DEFAULT,
            context: None,
            slot_class: 0,
        };
        Volume::init(&System, &*self.kms, &self.caller, path, &options).expect("init");
    }

    pub fn open(&self, path: &Path) -> Arc<Volume> {
        self.open_on(Arc::new(System), path).expect("open")
    }

    pub fn open_on(
        &self,
        backing: Arc<dyn Backing>,
        path: &Path,
    ) -> Result<Arc<Volume>, VolumeError> {
        let kms: Arc<Kms> = Arc::clone(&self.kms);
        Volume::open(backing, kms, path, OpenOptions::default())
    }

    pub fn create(&self, directory: &Directory, name: &str) -> Result<Handle, VolumeError> {
        directory
            .create_file(&self.caller, OsStr::new(name), OWNER)
            .map(|(_, handle, _)| handle)
    }

    pub fn open_file(&self, directory: &Directory, name: &str) -> Result<Handle, VolumeError> {
        let stored = directory.seal(OsStr::new(name))?.name;
        let object = directory.object(&stored)?;
        let envelope = directory.volume().envelope_of(&object)?;
        File::open(&envelope, &self.caller, false)
    }

    pub fn names(&self, directory: &Directory) -> Vec<String> {
        let mut names: Vec<_> = directory
            .list(&self.caller)
            .expect("list")
            .into_iter()
            .map(|entry| String::from_utf8(entry.name).expect("UTF-8"))
            .collect();
        names.sort();
        names
    }
}

/// The stored path of a name in a directory.
pub fn stored_path(root: &Path, directory: &Directory, name: &str) -> PathBuf {
    let stored = directory.seal(OsStr::new(name)).expect("a name").name;
    root.join(stored.to_str().expect("ASCII"))
}

/// Copies files, directories and symlinks. In this process: a child would inherit the lock of a volume that
/// another test has open.
pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("mkdir");
    for entry in std::fs::read_dir(from).expect("list").flatten() {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("type");
        if kind.is_dir() {
            copy_tree(&entry.path(), &target);
        } else if kind.is_symlink() {
            let link = std::fs::read_link(entry.path()).expect("readlink");
            std::os::unix::fs::symlink(link, &target).expect("symlink");
        } else {
            std::fs::copy(entry.path(), &target).expect("copy");
        }
    }
}

/// A copy of a golden volume of `tests/vectors` and of its keystore.
pub fn golden(version: &str, name: &str) -> (tempfile::TempDir, Keys) {
    use std::os::unix::fs::PermissionsExt;
    let dir = temporary();
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(version);
    copy_tree(&from.join(name), &dir.path().join("volume"));
    for name in ["keystore.db", "keystore.db.key"] {
        let target = dir.path().join(name);
        std::fs::copy(from.join(name), &target).expect("copy");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&target, private).expect("chmod");
    }
    let store = Store::open(&dir.path().join("keystore.db"), &RootKeySource::File);
    let keys = Keys {
        kms: Arc::new(Kms::new(store.expect("the keystore"))),
        caller: Caller::root("000000000000", "us-east-1"),
        key_id: "alias/rekeyfs".to_owned(),
    };
    (dir, keys)
}

/// What setfattr of `user.kms.key_id` asks for.
pub fn rewrap_to(key: &str) -> RewrapRequest {
    RewrapRequest {
        re_encrypt: ReEncryptRequest {
            destination_key_id: key.to_owned(),
            ..ReEncryptRequest::default()
        },
        keep: true,
        expected_generation: None,
    }
}

/// Everything in a file.
pub fn read_all(file: &File) -> Result<Vec<u8>, VolumeError> {
    let mut out = Vec::new();
    while (out.len() as u64) < file.len() {
        let part = file.read(out.len() as u64, 1 << 20)?;
        out.extend_from_slice(part.as_bytes());
    }
    Ok(out)
}

/// What happens at the n-th changing call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// As kill -9 before the call.
    StopBefore,
    /// As kill -9 in the call: a write of several pages ends after the first half of them.
    StopInside,
    /// The call fails, once.
    Fail(Errno),
    /// The call and all later ones that need space fail.
    FailFrom(Errno),
}

/// A backing store that counts its changing calls and lets one of them fail.
pub struct Faulty {
    calls: AtomicU64,
    at: u64,
    fate: Fate,
    armed: AtomicBool,
    stopped: AtomicBool,
}

impl Faulty {
    pub fn new(at: u64, fate: Fate) -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicU64::new(0),
            at,
            fate,
            armed: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        })
    }

    /// Starts counting.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Lets every further call through.
    pub fn disarm(&self) {
        self.armed.store(false, Ordering::SeqCst);
    }

    /// Ends the world as kill -9 does: nothing changes any more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Whether the n-th call came.
    pub fn hit(&self) -> bool {
        self.calls.load(Ordering::SeqCst) >= self.at
    }

    /// Decides about a changing call: `Ok(true)` do it, `Ok(false)` do half of it and stop.
    fn decide(&self) -> Result<bool, Errno> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Errno::IO);
        }
        if !self.armed.load(Ordering::SeqCst) {
            return Ok(true);
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        match self.fate {
            Fate::FailFrom(errno) if call >= self.at => Err(errno),
            _ if call != self.at => Ok(true),
            Fate::Fail(errno) => Err(errno),
            Fate::FailFrom(_) => Ok(true),
            Fate::StopBefore => {
                self.stop();
                Err(Errno::IO)
            }
            Fate::StopInside => {
                self.stop();
                Ok(false)
            }
        }
    }

    fn all_or_nothing<T>(&self, call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        if self.decide()? {
            call()
        } else {
            Err(Errno::IO)
        }
    }
}

impl Backing for Faulty {
    fn open_at(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, Errno> {
        if flags.intersects(OFlags::CREATE) || flags.contains(OFlags::TMPFILE) {
            return self.all_or_nothing(|| System.open_at(dir, name, flags, mode));
        }
        System.open_at(dir, name, flags, mode)
    }

    fn write(
        &self,
        fd: BorrowedFd<'_>,
        buffers: &mut [IoSlice<'_>],
        offset: u64,
    ) -> Result<(), (usize, Errno)> {
        match self.decide() {
            Ok(true) => System.write(fd, buffers, offset),
            Err(errno) => Err((0, errno)),
            Ok(false) => {
                let bytes: Vec<u8> = buffers
                    .iter()
                    .flat_map(|buffer| buffer.iter().copied())
                    .collect();
                let half = bytes.len() / 4096 / 2 * 4096;
                System.write(fd, &mut [IoSlice::new(&bytes[..half])], offset)?;
                Err((half, Errno::IO))
            }
        }
    }

    fn write_durable(&self, fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        if self.decide()? {
            return System.write_durable(fd, bytes, offset);
        }
        // A torn slot: the first half of its sectors. Pages behind the slots are old or new as a
        // whole: FORMAT.md, section 1.
        if offset < 2 * 4096 {
            System.write_durable(fd, &bytes[..bytes.len() / 2], offset)?;
        }
        Err(Errno::IO)
    }

    fn truncate(&self, fd: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
        self.all_or_nothing(|| System.truncate(fd, len))
    }

    fn allocate(
        &self,
        fd: BorrowedFd<'_>,
        flags: FallocateFlags,
        offset: u64,
        len: u64,
    ) -> Result<(), Errno> {
        self.all_or_nothing(|| System.allocate(fd, flags, offset, len))
    }

    fn sync(&self, fd: BorrowedFd<'_>, data_only: bool) -> Result<(), Errno> {
        self.all_or_nothing(|| System.sync(fd, data_only))
    }

    fn sync_filesystem(&self, _fd: BorrowedFd<'_>) -> Result<(), Errno> {
        // The whole filesystem is other tests' too.
        self.all_or_nothing(|| Ok(()))
    }

    fn make_dir_at(&self, dir: BorrowedFd<'_>, name: &CStr, mode: Mode) -> Result<(), Errno> {
        self.all_or_nothing(|| System.make_dir_at(dir, name, mode))
    }

    fn symlink_at(&self, target: &CStr, dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        self.all_or_nothing(|| System.symlink_at(target, dir, name))
    }

    fn link_at(&self, fd: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        self.all_or_nothing(|| System.link_at(fd, dir, name))
    }

    fn rename_at(
        &self,
        from: BorrowedFd<'_>,
        name: &CStr,
        to: BorrowedFd<'_>,
        new_name: &CStr,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        self.all_or_nothing(|| System.rename_at(from, name, to, new_name, flags))
    }

    fn unlink_at(&self, dir: BorrowedFd<'_>, name: &CStr, directory: bool) -> Result<(), Errno> {
        self.all_or_nothing(|| System.unlink_at(dir, name, directory))
    }

    fn set_mode(&self, fd: BorrowedFd<'_>, mode: Mode) -> Result<(), Errno> {
        self.all_or_nothing(|| System.set_mode(fd, mode))
    }

    fn set_owner(
        &self,
        fd: BorrowedFd<'_>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), Errno> {
        self.all_or_nothing(|| System.set_owner(fd, uid, gid))
    }

    fn set_times_of(&self, fd: BorrowedFd<'_>, times: &Timestamps) -> Result<(), Errno> {
        self.all_or_nothing(|| System.set_times_of(fd, times))
    }
}
