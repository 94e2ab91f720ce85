//! Open files and directories, by the numbers that the kernel holds.
//!
//! A handle of a file can be taken back (`revocation`): its file is closed behind it, and the data
//! key goes with the last one. The next request opens it again for the same caller, if that is
//! allowed by then.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fuser::FileHandle;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::kms::service::Caller;
use crate::volume::directory::ListedName;
use crate::volume::{Envelope, File, Handle, VolumeError};

/// What the kernel adds to the flags of an open for execve(2) (include/linux/fs.h).
const FMODE_EXEC: i32 = 1 << 5;

/// An open file or directory.
pub(super) enum OpenObject {
    File(OpenFile),
    Directory(Arc<RwLock<Vec<ListedName>>>),
    /// Access mode 3: the ioctl only.
    ControlOnly,
}

/// An opening of a file.
pub(super) struct OpenFile {
    /// The node's number.
    pub number: u64,
    pub envelope: Arc<Envelope>,
    /// Who opened it.
    pub caller: Caller,
    /// Whether the first read still has to set the access time.
    pub touches_atime: AtomicBool,
    /// Whether it was opened to be executed.
    executes: bool,
    state: RwLock<State>,
}

pub(super) struct State {
    /// `None`: taken back.
    handle: Option<Handle>,
    /// Only what the kernel still has to write back is let through.
    refused: bool,
}

/// Who asks for an open file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// An application, now.
    Application,
    /// The kernel, with pages that were changed while that was allowed.
    WriteBack,
}

/// A file that is not closed while this is held.
pub(super) enum Using<'a> {
    /// By its own handle.
    Own(RwLockReadGuard<'a, State>),
    /// By those of others.
    Joined(Handle),
}

impl std::ops::Deref for Using<'_> {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Self::Own(state) => state
                .handle
                .as_deref()
                .expect("internal error: a guard is only made of an open file"),
            Self::Joined(handle) => handle,
        }
    }
}

impl OpenFile {
    pub(super) fn new(number: u64, handle: Handle, caller: Caller, flags: i32) -> Self {
        Self {
            number,
            envelope: Arc::clone(handle.envelope()),
            caller,
            touches_atime: AtomicBool::new(flags & libc::O_NOATIME == 0),
            executes: flags & FMODE_EXEC != 0,
            state: RwLock::new(State {
                handle: Some(handle),
                refused: false,
            }),
        }
    }

    /// The file; opened again if it was taken back and may be used now.
    pub(super) fn get(&self, asker: Asker) -> Result<Using<'_>, VolumeError> {
        loop {
            // Recursive: a copy within one file uses it twice, and a writer between the two would
            // wait for the first and keep the second waiting.
            let state = self.state.read_recursive();
            if state.handle.is_some() && (asker == Asker::WriteBack || !state.refused) {
                return Ok(Using::Own(state));
            }
            drop(state);
            // Pages that were changed while that was allowed are everybody's who has it open.
            if asker == Asker::WriteBack
                && let Some(handle) = File::join(&self.envelope)
            {
                return Ok(Using::Joined(handle));
            }
            let mut state = self.state.write();
            if state.handle.is_none() {
                state.handle = Some(File::open(&self.envelope, &self.caller, false)?);
            } else {
                self.envelope.authorise(&self.caller)?;
            }
            state.refused = false;
        }
    }

    /// Whether it can be taken back.
    pub(super) fn is_open(&self) -> bool {
        let state = self.state.read();
        state.handle.is_some() && !state.refused
    }

    /// Lets only the kernel's write-back through from now on.
    pub(super) fn refuse(&self) {
        self.state.write().refused = true;
    }

    /// Closes the file, if nobody has been let in again meanwhile.
    ///
    /// # Errors
    /// What waited to be written and could not be.
    pub(super) fn take_back(&self) -> Result<(), VolumeError> {
        let mut state = self.state.write();
        if !state.refused {
            return Ok(());
        }
        let Some(handle) = state.handle.take() else {
            return Ok(());
        };
        drop(state);
        // What was written while it was allowed goes down while the key is there.
        handle.land()
    }
}

/// Open objects by number; numbers are never used twice.
#[derive(Default)]
pub(super) struct Handles {
    table: RwLock<HashMap<u64, Arc<OpenObject>>>,
    next: AtomicU64,
}

impl Handles {
    pub(super) fn insert(&self, object: OpenObject) -> FileHandle {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.table.write().insert(number, Arc::new(object));
        FileHandle(number)
    }

    pub(super) fn find(&self, handle: FileHandle) -> Result<Arc<OpenObject>, VolumeError> {
        self.table
            .read()
            .get(&handle.0)
            .cloned()
            .ok_or_else(|| posix("find a handle", rustix::io::Errno::BADF))
    }

    pub(super) fn remove(&self, handle: FileHandle) -> Option<Arc<OpenObject>> {
        self.table.write().remove(&handle.0)
    }

    /// Everything that is open.
    pub(super) fn all(&self) -> Vec<Arc<OpenObject>> {
        self.table.read().values().cloned().collect()
    }

    /// Whether a file of this number is open.
    pub(super) fn has(&self, number: u64) -> bool {
        self.any_file(|file| file.number == number)
    }

    /// Whether a file of this number is a program that runs.
    pub(super) fn is_executed(&self, number: u64) -> bool {
        self.any_file(|file| file.number == number && file.executes)
    }

    fn any_file(&self, wanted: impl Fn(&OpenFile) -> bool) -> bool {
        let table = self.table.read();
        table
            .values()
            .any(|object| matches!(&**object, OpenObject::File(file) if wanted(file)))
    }

    /// Closes everything.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.table.write());
        // Dropped here, without the lock: closing may settle files.
        drop(all);
    }
}

/// A fault that POSIX names.
pub(super) fn posix(operation: &'static str, errno: rustix::io::Errno) -> VolumeError {
    VolumeError::Backing { operation, errno }
}

impl OpenObject {
    pub(super) fn open_file(&self) -> Result<&OpenFile, VolumeError> {
        match self {
            Self::File(file) => Ok(file),
            Self::Directory(_) => Err(posix("use a directory", rustix::io::Errno::ISDIR)),
            Self::ControlOnly => Err(posix("use", rustix::io::Errno::BADF)),
        }
    }

    /// The file, for an application.
    pub(super) fn file(&self) -> Result<Using<'_>, VolumeError> {
        self.open_file()?.get(Asker::Application)
    }
}
