//! Open files and directories, by the numbers that the kernel holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fuser::FileHandle;
use parking_lot::RwLock;

use crate::volume::directory::ListedName;
use crate::volume::{File, Handle, VolumeError};

/// An open file or directory.
pub(super) enum OpenObject {
    File {
        handle: Handle,
        touches_atime: AtomicBool,
    },
    Directory(Arc<RwLock<Vec<ListedName>>>),
    /// Access mode 3: the ioctl only.
    ControlOnly,
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

    pub(super) fn remove(&self, handle: FileHandle) {
        let object = self.table.write().remove(&handle.0);
        // Dropped here, without the lock: closing may settle the file.
        drop(object);
    }

    /// Closes everything.
    pub(super) fn clear(&self) {
        self.table.write().clear();
    }
}

/// A fault that POSIX names.
pub(super) fn posix(operation: &'static str, errno: rustix::io::Errno) -> VolumeError {
    VolumeError::Backing { operation, errno }
}

impl OpenObject {
    pub(super) fn file(&self) -> Result<&File, VolumeError> {
        match self {
            Self::File { handle, .. } => Ok(handle),
            Self::Directory(_) => Err(posix("use a directory", rustix::io::Errno::ISDIR)),
            Self::ControlOnly => Err(posix("use", rustix::io::Errno::BADF)),
        }
    }
}
