//! The root key: it seals all key material of a keystore.
//!
//! It is 32 random bytes, kept either in a file beside the database (`keystore.db.key`, mode
//! 0600) or in the database itself, sealed under a key that Argon2id makes of a passphrase. The
//! database holds a check value either way, so that a wrong root key is known as such before
//! anything is read or written.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::algorithm::{open_record, seal_record};
use super::store_error::StoreError;
use crate::primitives::{PassphraseCost, passphrase_key, random, random_secret};
use crate::secret::{Secret, SecretBytes};

/// Where the root key of a keystore comes from.
pub enum RootKeySource<'a> {
    /// The file beside the database.
    File,
    /// A passphrase, asked for only when it is needed.
    Passphrase(&'a dyn Fn() -> Result<SecretBytes, StoreError>),
}

/// The root key as the database describes it.
pub(super) enum Kept {
    /// In the file beside the database.
    File,
    /// Sealed under a passphrase.
    Passphrase {
        salt: Vec<u8>,
        cost: PassphraseCost,
        sealed: Vec<u8>,
    },
}

const LABEL: &[u8] = b"rekeyfs root key";
const FIRST_LINE: &str = "rekeyfs root key 1";

/// The path of the key file of the keystore `database`.
pub fn key_file(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".key");
    PathBuf::from(name)
}

/// Refuses a secret file that others may read.
pub(super) fn check_private(path: &Path) -> Result<(), StoreError> {
    let metadata = std::fs::metadata(path).map_err(|e| StoreError::io(path, e))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(StoreError::LoosePermissions {
            path: path.to_owned(),
            mode: metadata.mode() & 0o7777,
        });
    }
    Ok(())
}

/// Makes a new root key in its file; an existing file is used as it is.
///
/// The file is durable when this returns: nothing is ever sealed under a key that a power cut
/// could take away.
pub(super) fn create_file(database: &Path) -> Result<Secret<32>, StoreError> {
    let path = key_file(database);
    if path.exists() {
        return read_file(database);
    }
    let key = random_secret::<32>();
    let encoded = SecretBytes::new(STANDARD.encode(key.expose()).into_bytes());
    let lines = [FIRST_LINE.as_bytes(), b"\n", encoded.expose(), b"\n"];
    let text = SecretBytes::new(lines.concat());
    // Under another name until it is whole: an interrupted first use leaves no half of a key.
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| {
            file.write_all(text.expose())?;
            file.sync_all()
        })
        .and_then(|()| std::fs::hard_link(&unfinished, &path));
    let _ = std::fs::remove_file(&unfinished);
    match written {
        // Another process was faster: its key is the key.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return read_file(database),
        result => result.map_err(|e| StoreError::io(&path, e))?,
    }
    sync_parent(&path).map_err(|e| StoreError::io(&path, e))?;
    Ok(key)
}

/// Reads the root key from its file.
pub(super) fn read_file(database: &Path) -> Result<Secret<32>, StoreError> {
    let path = key_file(database);
    let bytes = std::fs::read(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => StoreError::RootKeyMissing { path: path.clone() },
        _ => StoreError::io(&path, e),
    })?;
    let text = SecretBytes::new(bytes);
    check_private(&path)?;
    let malformed = || StoreError::RootKeyMalformed { path: path.clone() };
    let lines = std::str::from_utf8(text.expose()).map_err(|_| malformed())?;
    let body = lines
        .strip_prefix(FIRST_LINE)
        .and_then(|rest| rest.strip_prefix('\n'))
        .ok_or_else(malformed)?;
    let decoded = STANDARD.decode(body.trim_end()).map_err(|_| malformed())?;
    Secret::from_slice(SecretBytes::new(decoded).expose()).ok_or_else(malformed)
}

/// Seals `root` under a passphrase with a fresh salt.
pub(super) fn seal_under_passphrase(
    root: &Secret<32>,
    passphrase: &SecretBytes,
) -> Result<Kept, StoreError> {
    let (salt, cost) = (random::<16>().to_vec(), PassphraseCost::DEFAULT);
    let key =
        passphrase_key(passphrase.expose(), &salt, cost).map_err(|_| StoreError::Damaged {
            what: "the cost of the passphrase",
        })?;
    let sealed = seal_record(&key, LABEL, root.expose());
    Ok(Kept::Passphrase { salt, cost, sealed })
}

/// Opens a root key that is sealed under a passphrase.
pub(super) fn open_with_passphrase(
    salt: &[u8],
    cost: PassphraseCost,
    sealed: &[u8],
    passphrase: &SecretBytes,
) -> Result<Secret<32>, StoreError> {
    let key = passphrase_key(passphrase.expose(), salt, cost).map_err(|_| StoreError::Damaged {
        what: "the cost of the passphrase",
    })?;
    open_record(&key, LABEL, sealed)
        .and_then(|root| Secret::from_slice(root.expose()))
        .ok_or(StoreError::RootKeyWrong { passphrase: true })
}

/// Makes the directory entry of `path` durable.
pub(super) fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::File::open(parent)?.sync_all()
}
