//! Mounting and unmounting.
//!
//! The mount is made here and handed to fuser as an open descriptor: fuser 0.18 passes a name with
//! a comma on as another option, and its own unmounting may take somebody else's mount away.

use std::ffi::CString;
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use fuser::{Config, Session, SessionACL};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::callers::Callers;
use super::filesystem::{Cache, MountOptions, RekeyFs};
use super::resealing::Resealing;
use super::revocation::Watcher;
use super::tree::Tree;
use crate::volume::{Volume, VolumeError};

/// What keeps a volume from being mounted or unmounted.
#[derive(Debug, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "the messages say what each variant and field is"
)]
pub enum MountError {
    #[error("{path}: {source}")]
    Mountpoint {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: is not a directory")]
    NotADirectory { path: PathBuf },
    #[error("{path}: is in use as a mountpoint")]
    InUse { path: PathBuf },
    #[error("{path}: is not mounted")]
    NotMounted { path: PathBuf },
    #[error("{path}: is busy")]
    Busy { path: PathBuf },
    #[error("/dev/fuse: {source}")]
    Device { source: std::io::Error },
    #[error("fusermount3: not found")]
    NoHelper,
    #[error("fusermount3: {message}")]
    Helper { message: String },
    #[error("mount {path}: {errno}")]
    System { path: PathBuf, errno: Errno },
    #[error("no memory: a mount needs {} MiB beside what it is started with", .needed >> 20)]
    NoMemory { needed: usize },
    #[error("FUSE session: {0}")]
    Session(std::io::Error),
    #[error("{0}")]
    Volume(#[from] VolumeError),
}

/// Flags and options of a mount.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Everybody may use it, not only who mounted.
    pub allow_other: bool,
    /// Nothing is written.
    pub read_only: bool,
    /// Access times do not change.
    pub no_atime: bool,
    /// Set-id bits count.
    pub suid: bool,
    /// Devices count.
    pub dev: bool,
    /// Nothing is executed.
    pub no_exec: bool,
    /// Everything is written at once.
    pub sync: bool,
    /// The principal that everybody is.
    pub principal: Option<String>,
    /// Every open is recorded, so that paths are composed for all of them.
    pub record_everything: bool,
    /// Open files keep their access until they are closed.
    pub soft_revocation: bool,
    /// How long the kernel keeps what it has read.
    pub cache: Cache,
}

/// A mount that answers.
pub struct Mounted {
    session: Session<RekeyFs>,
    volume: Arc<Volume>,
    watcher: Watcher,
    tree: Arc<Tree>,
    resealing: Arc<Resealing>,
}

/// Threads that serve requests: a slow key service or disk must not stop the others.
const THREADS: usize = 4;
/// What fuser takes for the requests of one thread, and what its stack takes.
const THREAD_MEMORY: usize = (16 << 20) + (2 << 20);
/// Open directories, at most; each takes two descriptors.
const DIRECTORIES: u64 = 2048;

/// Mounts an open volume.
///
/// # Errors
/// [`MountError`]; nothing is mounted then.
pub fn mount(
    volume: Arc<Volume>,
    mountpoint: &Path,
    options: &Options,
) -> Result<Mounted, MountError> {
    has_memory()?;
    let descriptors = crate::sys::raise_open_files();
    let most_directories = DIRECTORIES.min(descriptors / 8).max(16) as usize;
    let uid = rustix::process::getuid().as_raw();
    let tree = Tree::new(Arc::clone(&volume), most_directories)?;
    let callers = Callers::new(
        volume.own_caller(),
        options.principal.as_deref(),
        uid,
        options.record_everything,
    );
    let filesystem = RekeyFs::new(
        tree,
        callers,
        MountOptions {
            no_atime: options.no_atime || options.read_only,
            cache: options.cache,
        },
    );
    let (handles, watch) = filesystem.watched();
    let (tree, resealing) = filesystem.resealed();
    let mut source = std::ffi::OsString::from(SOURCE);
    source.push(volume.path());
    let device = if rustix::process::geteuid().is_root() {
        mount_directly(mountpoint, &source, options)?
    } else {
        mount_by_helper(mountpoint, &source, options)?
    };
    let mut config = Config::default();
    config.n_threads = Some(THREADS);
    let acl = if options.allow_other {
        SessionACL::All
    } else {
        SessionACL::Owner
    };
    let session = Session::from_fd(filesystem, device, acl, config).map_err(|e| {
        let _ = unmount(mountpoint, true);
        MountError::Session(e)
    })?;
    raise_readahead(mountpoint);
    let watcher = Watcher {
        watch,
        handles,
        keys: Arc::clone(volume.keys()),
        notifier: session.notifier(),
        hard: !options.soft_revocation,
        shares_nothing: options.cache == Cache::None,
    };
    Ok(Mounted {
        session,
        volume,
        watcher,
        tree,
        resealing,
    })
}

/// Whether a limit leaves the memory that the threads and what waits to be written take: a daemon
/// that gets none later ends, which is the time to say it to nobody.
fn has_memory() -> Result<(), MountError> {
    let needed = THREADS * THREAD_MEMORY + crate::volume::MOST_HELD_BYTES;
    let mut buffer: Vec<u8> = Vec::new();
    let reserved = buffer.try_reserve_exact(needed);
    // Else the compiler may leave the reservation out: nothing is done with it.
    std::hint::black_box(&buffer);
    reserved.map_err(|_| MountError::NoMemory { needed })
}

impl Mounted {
    /// Serves until the volume is unmounted, then settles and closes it.
    ///
    /// Returns what could not be settled.
    ///
    /// # Errors
    /// The session's and the volume's.
    pub fn serve(self) -> Result<Vec<VolumeError>, MountError> {
        let watch = Arc::clone(&self.watcher.watch);
        let watcher = std::thread::Builder::new()
            .name("rekeyfs-watcher".to_owned())
            .spawn(move || self.watcher.run())
            .map_err(MountError::Session)?;
        let (tree, resealing) = (self.tree, Arc::clone(&self.resealing));
        let resealer = std::thread::Builder::new()
            .name("rekeyfs-resealer".to_owned())
            .spawn(move || resealing.run(&tree));
        let served = self.session.run();
        self.resealing.stop();
        match resealer.map(std::thread::JoinHandle::join) {
            Ok(Ok(())) => {}
            Ok(Err(_)) => log::error!("internal error: the thread that reseals panicked"),
            Err(e) => log::error!("there was no thread for reseals: {e}"),
        }
        watch.stop();
        if watcher.join().is_err() {
            log::error!("internal error: the thread that watches keys panicked");
        }
        let unsettled = self.volume.close()?;
        match served {
            Ok(()) => Ok(unsettled),
            // What an aborted connection answers: the mount is gone.
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(unsettled),
            Err(e) => Err(MountError::Session(e)),
        }
    }
}

fn c_path(path: &Path) -> Result<CString, MountError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| MountError::System {
        path: path.to_owned(),
        errno: Errno::INVAL,
    })
}

fn mount_directly(
    mountpoint: &Path,
    source: &std::ffi::OsStr,
    options: &Options,
) -> Result<OwnedFd, MountError> {
    let device = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .map_err(|source| MountError::Device { source })?;
    let mut data = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions",
        device.as_raw_fd(),
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    if options.allow_other {
        data.push_str(",allow_other");
    }
    let mut flags = MountFlags::empty();
    for (set, flag) in [
        (!options.suid, MountFlags::NOSUID),
        (!options.dev, MountFlags::NODEV),
        (options.no_exec, MountFlags::NOEXEC),
        (options.read_only, MountFlags::RDONLY),
        (options.no_atime, MountFlags::NOATIME),
        (options.sync, MountFlags::SYNCHRONOUS),
    ] {
        if set {
            flags |= flag;
        }
    }
    let data = CString::new(data).map_err(|_| MountError::System {
        path: mountpoint.to_owned(),
        errno: Errno::INVAL,
    })?;
    let (source, target) = (c_path(Path::new(source))?, c_path(mountpoint)?);
    rustix::mount::mount(
        &source,
        &target,
        c"fuse.rekeyfs",
        flags,
        Some(data.as_c_str()),
    )
    .map_err(|errno| MountError::System {
        path: mountpoint.to_owned(),
        errno,
    })?;
    Ok(device.into())
}

/// Mounts through the set-id helper, which hands the descriptor over a socket.
fn mount_by_helper(
    mountpoint: &Path,
    source: &std::ffi::OsStr,
    options: &Options,
) -> Result<OwnedFd, MountError> {
    let session = |e: std::io::Error| MountError::Session(e);
    let (ours, theirs) = UnixStream::pair().map_err(session)?;
    // The helper inherits its end.
    rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty())
        .map_err(|e| session(e.into()))?;
    // A comma would end the option; a name that is no text is shown with replacements.
    let name = source
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace(',', "\\,");
    let mut list = format!("fsname={name},subtype=rekeyfs,default_permissions");
    for (set, option) in [
        (options.allow_other, ",allow_other"),
        (options.read_only, ",ro"),
        (options.no_atime, ",noatime"),
        (options.no_exec, ",noexec"),
        (options.sync, ",sync"),
    ] {
        if set {
            list.push_str(option);
        }
    }
    let mut helper = Command::new("fusermount3")
        .arg("-o")
        .arg(list)
        .arg("--")
        .arg(mountpoint)
        .env("_FUSE_COMMFD", theirs.as_raw_fd().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => MountError::NoHelper,
            _ => session(e),
        })?;
    drop(theirs);
    let device = receive_descriptor(&ours);
    let mut message = String::new();
    if let Some(mut stderr) = helper.stderr.take() {
        let _ = stderr.read_to_string(&mut message);
    }
    let _ = helper.wait();
    device.ok_or_else(|| MountError::Helper {
        message: message
            .trim()
            .lines()
            .last()
            .unwrap_or("failed")
            .trim_start_matches("fusermount3: ")
            .to_owned(),
    })
}

fn receive_descriptor(socket: &UnixStream) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    loop {
        let received = rustix::net::recvmsg(
            socket.as_fd(),
            &mut [IoSliceMut::new(&mut byte)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        );
        match received {
            Err(Errno::INTR) => {}
            Err(_) => return None,
            Ok(_) => break,
        }
    }
    ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}

/// Sequential reads in requests of 1 MiB instead of 128 KiB; only root may say so. Nothing is asked
/// of the mount here: nobody serves it yet.
fn raise_readahead(mountpoint: &Path) {
    if let Some(entry) = mounted_at(mountpoint) {
        let _ = std::fs::write(
            format!("/sys/class/bdi/{}/read_ahead_kb", entry.device),
            "1024",
        );
    }
}

/// A line of the mount table.
pub struct MountEntry {
    /// Whether it is a rekeyfs mount.
    pub ours: bool,
    /// The backing directory of a rekeyfs mount.
    pub source: PathBuf,
    /// The device, as major:minor.
    pub device: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// What is mounted at a path, the topmost.
pub fn mounted_at(path: &Path) -> Option<MountEntry> {
    // Names in the table may be in any encoding; one that is not must not hide the others.
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    let parse = |line: &[u8]| -> Option<MountEntry> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let dash = fields.iter().position(|field| *field == b"-")?;
        let (kind, source) = (fields.get(dash + 1)?, unescape(fields.get(dash + 2)?));
        let prefix = source.strip_prefix(SOURCE.as_bytes()).unwrap_or(&source);
        (unescape(fields.get(4)?) == path.as_os_str().as_bytes()).then(|| MountEntry {
            ours: *kind == b"fuse.rekeyfs",
            source: PathBuf::from(std::ffi::OsStr::from_bytes(prefix)),
            device: String::from_utf8_lossy(fields[2]).into_owned(),
            read_only: fields[5]
                .split(|byte| *byte == b',')
                .any(|option| option == b"ro"),
        })
    };
    table
        .split(|byte| *byte == b'\n')
        .filter_map(parse)
        .next_back()
}

/// What stands before the backing directory in the mount table.
const SOURCE: &str = "rekeyfs:";

/// The mount table writes blanks and backslashes as octal numbers.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let number = text
            .get(at + 1..at + 4)
            .filter(|_| text[at] == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(number.unwrap_or(text[at]));
        at += if number.is_some() { 4 } else { 1 };
    }
    out
}

/// Unmounts: at once, or (`lazy`) as soon as nobody uses it any more.
///
/// # Errors
/// [`MountError::Busy`], [`MountError::NotMounted`], [`MountError::NoHelper`].
pub fn unmount(mountpoint: &Path, lazy: bool) -> Result<(), MountError> {
    let path = || mountpoint.to_owned();
    let flags = if lazy {
        UnmountFlags::DETACH
    } else {
        UnmountFlags::empty()
    };
    match rustix::mount::unmount(mountpoint, flags) {
        Ok(()) => return Ok(()),
        Err(Errno::PERM) => {}
        Err(Errno::BUSY) => return Err(MountError::Busy { path: path() }),
        Err(Errno::INVAL | Errno::NOENT) => return Err(MountError::NotMounted { path: path() }),
        Err(errno) => {
            return Err(MountError::System {
                path: path(),
                errno,
            });
        }
    }
    let output = Command::new("fusermount3")
        .args(if lazy {
            &["-u", "-z", "--"][..]
        } else {
            &["-u", "--"][..]
        })
        .arg(mountpoint)
        .stdin(Stdio::null())
        .output()
        .map_err(|_| MountError::NoHelper)?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if message.contains("busy") {
        return Err(MountError::Busy { path: path() });
    }
    if message.contains("not found in") || message.contains("Invalid argument") {
        return Err(MountError::NotMounted { path: path() });
    }
    Err(MountError::Helper { message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_mount_table_are_unescaped() {
        assert_eq!(unescape(br"/mnt/a\040b\134c"), br"/mnt/a b\c");
        assert_eq!(unescape(br"\04"), br"\04");
        assert_eq!(unescape(b"\xff"), b"\xff");
    }
}
