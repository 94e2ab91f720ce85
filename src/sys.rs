//! The system calls that no safe wrapper has: the only `unsafe` of this crate.

#![allow(unsafe_code, reason = "each block says why it is sound")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Takes an exclusive open-file-description lock on the whole file; does not wait.
///
/// The lock belongs to the open file, not to the process, and ends with its last descriptor.
///
/// # Errors
/// `EAGAIN` or `EACCES` when somebody else holds a lock.
pub fn lock_exclusive(fd: BorrowedFd<'_>) -> io::Result<()> {
    lock(fd, libc::F_WRLCK)
}

/// Takes a lock that others may share, but not one who wants it alone.
///
/// # Errors
/// As [`lock_exclusive`].
pub fn lock_shared(fd: BorrowedFd<'_>) -> io::Result<()> {
    lock(fd, libc::F_RDLCK)
}

/// Whether somebody else holds a lock on the file; takes none.
pub fn is_locked(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: an all-zero flock is a valid value of this plain C struct.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: fd is open for the length of the call, and lock is written while it lives.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    result == 0 && lock.l_type != libc::F_UNLCK as libc::c_short
}

fn lock(fd: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: an all-zero flock is a valid value of this plain C struct.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: fd is open for the length of the call, and lock outlives it.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The name of a user of this machine.
pub fn user_name(uid: u32) -> Option<String> {
    look_up(|entry, buffer, length, found| {
        // SAFETY: see `look_up`, which owns all four and keeps them for the length of the call.
        unsafe { libc::getpwuid_r(uid, entry, buffer, length, found) }
    })
}

/// Whether this machine has a user of this name.
pub fn user_exists(name: &str) -> bool {
    let Ok(name) = CString::new(name) else {
        return false;
    };
    look_up(|entry, buffer, length, found| {
        // SAFETY: name is NUL-terminated and outlives the call; for the rest see `look_up`.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, length, found) }
    })
    .is_some()
}

/// Looks a user up with one of the reentrant calls and copies the name.
fn look_up(
    call: impl Fn(
        *mut libc::passwd,
        *mut libc::c_char,
        libc::size_t,
        *mut *mut libc::passwd,
    ) -> libc::c_int,
) -> Option<String> {
    const LARGEST: usize = 1 << 20;
    let mut buffer = vec![0; 1024];
    loop {
        // SAFETY: an all-zero passwd is a valid value of this plain C struct.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        let result = call(
            &raw mut entry,
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        );
        if result == libc::ERANGE && buffer.len() < LARGEST {
            buffer.resize(buffer.len() * 4, 0);
            continue;
        }
        if result != 0 || found.is_null() || entry.pw_name.is_null() {
            return None;
        }
        // SAFETY: on success pw_name points to a NUL-terminated string in buffer, which lives.
        let name = unsafe { std::ffi::CStr::from_ptr(entry.pw_name) };
        return name.to_str().ok().map(str::to_owned);
    }
}

/// Sends one line to the system log under the name `rekeyfs`.
pub fn syslog(priority: i32, line: &str) {
    static IDENT: &std::ffi::CStr = c"rekeyfs";
    static OPEN: std::sync::Once = std::sync::Once::new();
    OPEN.call_once(|| {
        // SAFETY: IDENT is static, as openlog keeps the pointer.
        unsafe { libc::openlog(IDENT.as_ptr(), libc::LOG_PID, libc::LOG_DAEMON) };
    });
    let Ok(line) = CString::new(line.replace('\0', "?")) else {
        return;
    };
    // SAFETY: the format takes exactly one string, which is NUL-terminated and outlives the call.
    unsafe { libc::syslog(priority, c"%s".as_ptr(), line.as_ptr()) };
}

/// Lets a write to a closed pipe end the process, as other programs do, instead of failing.
pub fn default_broken_pipes() {
    // SAFETY: sets a standard disposition; no handler of ours is installed for this signal.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Core dumps would hold keys: none are written, and no other process of the user reads this one's
/// memory.
pub fn forbid_core_dumps() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    // The limit alone does not stop a dump that the kernel pipes to a program.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // A limit that cannot be lowered leaves things as the administrator set them.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
}

/// Keeps everything that this process has in memory, keys and contents, from being swapped out,
/// where it may: as root, or without a limit of locked memory. Tells whether it does.
pub fn lock_memory() -> bool {
    use rustix::mm::{MlockAllFlags, mlockall};
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock);
    // Below a limit a later allocation would fail instead of being swappable.
    if limit.current.is_some() && !rustix::process::geteuid().is_root() {
        return false;
    }
    // Only pages that are used: threads reserve more for their stacks.
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).is_ok()
}

/// Gives up, of root's privileges, all that a filesystem does not need; to be called before there
/// is another thread. Without CAP_SYS_RESOURCE quotas and the reserve of a disk hold for what users
/// write, though it is root who writes it.
///
/// # Errors
/// The kernel's.
pub fn drop_capabilities() -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let had = rustix::thread::capabilities(None)?;
    let needed = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::DAC_READ_SEARCH
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::MKNOD
        // security.capability
        | CapabilitySet::SETFCAP
        // mount, umount, trusted.*
        | CapabilitySet::SYS_ADMIN
        // Memory that is locked by `lock_memory`.
        | CapabilitySet::IPC_LOCK;
    set_capabilities(
        None,
        CapabilitySets {
            effective: had.effective & needed,
            permitted: had.permitted & needed,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    set_no_new_privs(true)?;
    Ok(())
}

/// Raises the soft limit of open files to the hard one and returns it.
pub fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    limit.unwrap_or(u64::MAX)
}

/// Calls an ioctl whose argument is a struct of `buffer.len()` bytes, which goes in and comes out.
///
/// Returns the errno of a failure beside the struct: it is filled in either way.
///
/// # Errors
/// The errno.
pub fn ioctl_struct(fd: BorrowedFd<'_>, request: u32, buffer: &mut [u8]) -> io::Result<()> {
    // The size is part of the request code: the kernel copies exactly that many bytes.
    let size = (request >> 16 & 0x3fff) as usize;
    if size != buffer.len() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: fd is open for the length of the call; buffer is writable and has the size that the
    // request code says, which is all that a restricted ioctl reads and writes.
    let result = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            libc::c_ulong::from(request),
            buffer.as_mut_ptr(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
