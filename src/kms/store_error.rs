//! The faults of a keystore: facts, no advice.

use std::path::{Path, PathBuf};

/// What can be wrong with a keystore.
#[derive(Debug, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "the messages say what each variant and field is"
)]
pub enum StoreError {
    #[error("keystore {path}: does not exist")]
    Missing { path: PathBuf },
    #[error("keystore {path}: exists already")]
    Exists { path: PathBuf },
    #[error("keystore {path}: not a rekeyfs keystore")]
    NotAKeystore { path: PathBuf },
    #[error("keystore {path}: has format version {found}, this program knows {known}")]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error("keystore: damaged: {what}")]
    Damaged { what: &'static str },
    #[error("keystore {path}: locked by another process for more than {seconds} s")]
    Locked { path: PathBuf, seconds: u64 },
    #[error("root key {path}: does not exist")]
    RootKeyMissing { path: PathBuf },
    #[error("root key: {} does not open this keystore", if *passphrase { "the passphrase" } else { "the key file" })]
    RootKeyWrong { passphrase: bool },
    #[error("root key {path}: not a rekeyfs root key file")]
    RootKeyMalformed { path: PathBuf },
    #[error("keystore {path}: is protected by a passphrase, and none was given")]
    PassphraseNeeded { path: PathBuf },
    #[error("{path}: may be read by others (mode {mode:04o}, expected 0600)")]
    LoosePermissions { path: PathBuf, mode: u32 },
    #[error("keystore {path}: {source}")]
    Sqlite {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl StoreError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
