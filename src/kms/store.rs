//! The keystore: the only room with SQL.
//!
//! One SQLite database in WAL mode, used by several processes at once. Every change is one
//! `BEGIN IMMEDIATE` transaction with `synchronous=FULL`, so what it made is durable before
//! anything is wrapped under it. All key material, grant tokens and secret access keys are sealed
//! under the root key.
//!
//! ```text
//!   store          opening, transactions, the cache, the root key, backups
//!     keys         keys with their material, aliases and grants; changes of a key
//!     principals   users, identity policies, access keys, settings
//!     records      what is kept, as types        schema   the tables
//! ```
//!
//! Reads are answered from a cache of unsealed keys, which is dropped whenever the database has
//! changed: by us, or by another process (`PRAGMA data_version`, asked for once per operation by
//! [`Store::refresh`]). One mutex guards connection and cache; nothing else is called with it
//! held but the closure of a change, which must not call the store.

mod keys;
mod principals;
mod records;
mod schema;
mod usage;
mod wal_index;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};

use super::ids::{AliasArn, KeyArn};
use super::rootkey::{self, Kept, RootKeySource};
pub use super::store_error::StoreError;
use crate::primitives::{PassphraseCost, hkdf_sha256};
use crate::secret::{Secret, SecretBytes};
pub use keys::Change;
pub use records::{
    AccessKeyRecord, AliasInserted, AliasRecord, ExpirationModel, GrantConstraints, GrantOperation,
    GrantRecord, KeyFacts, KeyRecord, LastUsage, MaterialFacts, MaterialRecord, MaterialState,
    PrincipalRecord, Rotation, RotationType, UserRecord,
};
use schema::{APPLICATION_ID, VERSION};
use wal_index::WalIndex;

const BUSY: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Cache {
    version: i64,
    /// The header of the WAL index before `version` was asked for.
    header: Option<wal_index::Header>,
    keys: HashMap<KeyArn, Arc<KeyRecord>>,
    aliases: HashMap<AliasArn, KeyArn>,
    materials: HashMap<[u8; 32], KeyArn>,
    grants: HashMap<String, KeyArn>,
    principals: HashMap<String, Arc<PrincipalRecord>>,
    access_keys: HashMap<String, Arc<AccessKeyRecord>>,
    settings: HashMap<String, String>,
}

struct Inner {
    connection: Connection,
    cache: Cache,
}

/// An open keystore.
pub struct Store {
    path: PathBuf,
    sealing_key: Secret<32>,
    root: Secret<32>,
    inner: Mutex<Inner>,
    /// The connection that changes are made on. Locked before `inner`, never after it.
    writer: Mutex<Connection>,
    /// Below the connections, which have to be dropped first.
    index: Option<WalIndex>,
    changes: AtomicU64,
}

impl Store {
    /// Makes a keystore at `path`, which must not exist (an empty file, which an interrupted first
    /// use leaves, counts as none).
    ///
    /// # Errors
    /// [`StoreError::Exists`], and whatever keeps files from being made.
    pub fn create(path: &Path, source: &RootKeySource<'_>) -> Result<Self, StoreError> {
        // Asked before anything is made or locked.
        let passphrase = match source {
            RootKeySource::File => None,
            RootKeySource::Passphrase(ask) => Some(ask()?),
        };
        prepare_file(path)?;
        rootkey::check_private(path)?;
        let mut connection = connect(path)?;
        let fail = |source| sqlite_error(path, source);
        if identify(&connection, path)? != Identity::Empty {
            return Err(StoreError::Exists {
                path: path.to_owned(),
            });
        }
        prepare_connection(&connection, path)?;
        // Two processes may be the first at once: the second waits here and finds the tables.
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(fail)?;
        if identify(&transaction, path)? != Identity::Empty {
            return Err(StoreError::Exists {
                path: path.to_owned(),
            });
        }
        let root = create_tables(&transaction, path, passphrase.as_ref())?;
        transaction.commit().map_err(fail)?;
        Self::with_root(path, connection, root)
    }

    /// Opens the keystore at `path`.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::RootKeyWrong`] and the other faults of a keystore.
    pub fn open(path: &Path, source: &RootKeySource<'_>) -> Result<Self, StoreError> {
        // Not opened to find out: closing it again would end the locks of SQLite in this process.
        use rustix::fs::Access;
        match rustix::fs::access(path, Access::READ_OK) {
            Ok(()) => {}
            Err(rustix::io::Errno::NOENT) => {
                return Err(StoreError::Missing {
                    path: path.to_owned(),
                });
            }
            Err(e) => return Err(StoreError::io(path, e.into())),
        }
        rootkey::check_private(path)?;
        let connection = connect(path)?;
        match identify(&connection, path)? {
            Identity::Empty => {
                return Err(StoreError::Missing {
                    path: path.to_owned(),
                });
            }
            Identity::Foreign => {
                return Err(StoreError::NotAKeystore {
                    path: path.to_owned(),
                });
            }
            Identity::Version(VERSION | 1) => {}
            Identity::Version(found) => {
                return Err(StoreError::Newer {
                    path: path.to_owned(),
                    found,
                    known: VERSION,
                });
            }
        }
        let mut connection = connection;
        prepare_connection(&connection, path)?;
        let root = read_root_key(&connection, path, source)?;
        remove_stale_key_file(&connection, path, &root);
        upgrade(&mut connection, path)?;
        Self::with_root(path, connection, root)
    }

    fn with_root(
        path: &Path,
        connection: Connection,
        root: Secret<32>,
    ) -> Result<Self, StoreError> {
        let cache = Cache {
            version: data_version(&connection).map_err(|e| sqlite_error(path, e))?,
            ..Cache::default()
        };
        let writer = connect(path)?;
        prepare_connection(&writer, path)?;
        Ok(Self {
            index: WalIndex::of(path),
            path: path.to_owned(),
            sealing_key: hkdf_sha256(&[], root.expose(), &[b"rekeyfs key material"]),
            root,
            writer: Mutex::new(writer),
            inner: Mutex::new(Inner { connection, cache }),
            changes: AtomicU64::new(1),
        })
    }

    /// The path of the database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was done last with a key, as far as it was noted.
    ///
    /// # Errors
    /// The database's own.
    pub fn last_usage(&self, arn: &KeyArn) -> Result<Option<LastUsage>, StoreError> {
        usage::read(&self.path, arn).map_err(|e| self.fail(e))
    }

    /// Notes what was done last with some keys.
    ///
    /// # Errors
    /// The database's own.
    pub fn set_last_usages(&self, usages: &[(KeyArn, LastUsage)]) -> Result<(), StoreError> {
        usage::write(&self.path, usages).map_err(|e| self.fail(e))
    }

    /// Cuts the database's log, in which deleted secrets would stay (sealed) until it wraps. What
    /// others are reading keeps it whole for this time.
    pub fn forget_deleted(&self) {
        forget_deleted(&self.writer.lock());
    }

    fn fail(&self, source: rusqlite::Error) -> StoreError {
        sqlite_error(&self.path, source)
    }

    /// A number that is never the same before and after a change of the keystore, by anybody.
    ///
    /// # Errors
    /// The database's own.
    pub fn change_counter(&self) -> Result<u64, StoreError> {
        self.refresh()?;
        Ok(self.changes.load(Ordering::Acquire))
    }

    /// Drops the cache if anybody changed the database. Every operation begins with it, and then
    /// reads a state that is at least as new.
    ///
    /// # Errors
    /// The database's own.
    pub fn refresh(&self) -> Result<(), StoreError> {
        let inner = &mut *self.inner.lock();
        let seen = self.index.as_ref().and_then(WalIndex::header);
        if seen.is_some() && seen == inner.cache.header {
            return Ok(());
        }
        let version = data_version(&inner.connection).map_err(|e| self.fail(e))?;
        if version == inner.cache.version {
            inner.cache.header = seen;
        } else {
            inner.cache = Cache {
                version,
                header: seen,
                ..Cache::default()
            };
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Runs `change` as one transaction.
    fn write<T, E: From<StoreError>>(
        &self,
        now: i64,
        change: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // On a connection of its own: readers do not wait while this one waits for other writers,
        // or for the disk.
        let mut writer = self.writer.lock();
        let transaction = writer
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(|e| self.fail(e))?;
        // Keys whose waiting period is over go, with their material and aliases.
        let deleted = transaction
            .execute("DELETE FROM keys WHERE deletion <= ?1", [now])
            .map_err(|e| self.fail(e))?;
        let result = change(&transaction)?;
        transaction.commit().map_err(|e| self.fail(e))?;
        if deleted > 0 {
            forget_deleted(&writer);
        }
        drop(writer);
        // Whoever reads after this returned finds the change, without asking the database first.
        let mut inner = self.inner.lock();
        inner.cache = Cache {
            version: inner.cache.version,
            ..Cache::default()
        };
        drop(inner);
        self.changes.fetch_add(1, Ordering::AcqRel);
        Ok(result)
    }

    /// Seals the root key under a passphrase from now on, and removes the key file if there is one.
    ///
    /// # Errors
    /// The database's and the file's own.
    pub fn set_passphrase(&self, passphrase: &SecretBytes, now: i64) -> Result<(), StoreError> {
        let kept = rootkey::seal_under_passphrase(&self.root, passphrase)?;
        self.write(now, |transaction| {
            transaction
                .execute("DELETE FROM root_key", [])
                .map_err(|e| self.fail(e))?;
            insert_root_key(transaction, &self.root, &kept).map_err(|e| self.fail(e))
        })?;
        // The old way in must not stay in the log.
        self.forget_deleted();
        // Only now: until the commit the file was the only way in.
        let key_file = rootkey::key_file(&self.path);
        match std::fs::remove_file(&key_file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result
                .and_then(|()| rootkey::sync_parent(&key_file))
                .map_err(|e| StoreError::io(&key_file, e)),
        }
    }

    /// Writes a consistent copy of the database to `target`, which must not exist.
    ///
    /// The root key file is not copied: who keeps both in one place keeps the keys in clear.
    ///
    /// # Errors
    /// [`StoreError::Exists`], the database's own.
    pub fn backup(&self, target: &Path) -> Result<(), StoreError> {
        if target.exists() {
            return Err(StoreError::Exists {
                path: target.to_owned(),
            });
        }
        // SQLite takes names as text.
        let text = target.to_str().ok_or_else(|| {
            let reason = std::io::Error::other("the name is not UTF-8");
            StoreError::io(target, reason)
        })?;
        prepare_file(target)?;
        self.inner
            .lock()
            .connection
            .execute("VACUUM INTO ?1", [text])
            .map_err(|e| {
                let _ = std::fs::remove_file(target);
                sqlite_error(target, e)
            })?;
        std::fs::File::open(target)
            .and_then(|file| file.sync_all())
            .and_then(|()| rootkey::sync_parent(target))
            .map_err(|e| StoreError::io(target, e))
    }
}

/// What a database file is.
#[derive(PartialEq, Eq)]
enum Identity {
    /// Nothing yet.
    Empty,
    /// Somebody else's.
    Foreign,
    /// A keystore of this format version.
    Version(i64),
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(|e| sqlite_error(path, e))?;
    connection
        .busy_timeout(BUSY)
        .map_err(|e| sqlite_error(path, e))?;
    Ok(connection)
}

/// Tells what a database is, without changing it.
fn identify(connection: &Connection, path: &Path) -> Result<Identity, StoreError> {
    let number = |sql: &str| -> Result<i64, StoreError> {
        connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(|e| sqlite_error(path, e))
    };
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(match (application, version, tables) {
        (0, 0, 0) => Identity::Empty,
        (APPLICATION_ID, version, _) => Identity::Version(version),
        _ => Identity::Foreign,
    })
}

/// Sets the connection up. Changing to WAL does not wait for others by itself.
fn prepare_connection(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let fail = |source| sqlite_error(path, source);
    connection
        .execute_batch("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;")
        .map_err(fail)?;
    let start = std::time::Instant::now();
    loop {
        let mode: Result<String, _> =
            connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0));
        match mode.map_err(fail) {
            Ok(_) => return Ok(()),
            Err(StoreError::Locked { .. }) if start.elapsed() < BUSY => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(e) => return Err(e),
        }
    }
}

/// A change of the root key's keeping that was cut short leaves the file that is no longer needed.
fn remove_stale_key_file(connection: &Connection, path: &Path, root: &Secret<32>) {
    let kind = connection.query_row("SELECT kind FROM root_key", [], |row| {
        row.get::<_, String>(0)
    });
    let stale = kind.is_ok_and(|kind| kind == "passphrase")
        && rootkey::read_file(path)
            .is_ok_and(|kept| crate::primitives::equal(kept.expose(), root.expose()).is_ok());
    if stale {
        let file = rootkey::key_file(path);
        if let Err(e) = std::fs::remove_file(&file) {
            log::warn!("{}: a root key that is not needed: {e}", file.display());
        }
    }
}

fn forget_deleted(connection: &Connection) {
    // Not waited for: whoever reads now is not to be held up.
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    let cut = connection
        .busy_timeout(Duration::ZERO)
        .and_then(|()| connection.query_row(checkpoint, [], |row| row.get::<_, i64>(0)));
    match cut {
        Ok(0) => {}
        Ok(_) => log::warn!("the keystore's log could not be cut now: others are reading it"),
        Err(e) => log::warn!("the keystore's log could not be cut: {e}"),
    }
    if let Err(e) = connection.busy_timeout(BUSY) {
        log::warn!("the keystore's connection: {e}");
    }
}

/// Turns an older format into this one; several processes may try at once.
fn upgrade(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    if identify(connection, path)? != Identity::Version(1) {
        return Ok(());
    }
    let fail = |source| sqlite_error(path, source);
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(fail)?;
    if identify(&transaction, path)? == Identity::Version(1) {
        schema::from_version_1(&transaction).map_err(fail)?;
    }
    transaction.commit().map_err(fail)
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}

/// Makes the file and its directory, private to the user; SQLite's own files copy its mode.
fn prepare_file(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|e| StoreError::io(parent, e))?;
    }
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(|_| ())
        .map_err(|e| StoreError::io(path, e))
}

fn check_value(root: &Secret<32>) -> Secret<32> {
    hkdf_sha256(&[], root.expose(), &[b"rekeyfs root key check"])
}

fn create_tables(
    transaction: &rusqlite::Transaction<'_>,
    path: &Path,
    passphrase: Option<&SecretBytes>,
) -> Result<Secret<32>, StoreError> {
    let fail = |source| sqlite_error(path, source);
    schema::create(transaction).map_err(fail)?;
    let (root, kept) = match passphrase {
        None => (rootkey::create_file(path)?, Kept::File),
        Some(passphrase) => {
            let root = crate::primitives::random_secret();
            let kept = rootkey::seal_under_passphrase(&root, passphrase)?;
            (root, kept)
        }
    };
    insert_root_key(transaction, &root, &kept).map_err(fail)?;
    Ok(root)
}

fn insert_root_key(
    transaction: &rusqlite::Transaction<'_>,
    root: &Secret<32>,
    kept: &Kept,
) -> rusqlite::Result<()> {
    let check = check_value(root);
    match kept {
        Kept::File => transaction.execute(
            "INSERT INTO root_key (one, kind, check_value) VALUES (1, 'file', ?1)",
            params![&check.expose()[..]],
        ),
        Kept::Passphrase { salt, cost, sealed } => transaction.execute(
            "INSERT INTO root_key VALUES (1, 'passphrase', ?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                &check.expose()[..],
                salt,
                cost.memory,
                cost.passes,
                cost.lanes,
                sealed
            ],
        ),
    }
    .map(|_| ())
}

fn read_root_key(
    connection: &Connection,
    path: &Path,
    source: &RootKeySource<'_>,
) -> Result<Secret<32>, StoreError> {
    let damaged = StoreError::Damaged {
        what: "no root key row",
    };
    let (check, kept) = connection
        .query_row(
            "SELECT kind, check_value, salt, memory, passes, lanes, sealed FROM root_key",
            [],
            |row| {
                let check: Vec<u8> = row.get(1)?;
                if row.get::<_, String>(0)? == "file" {
                    return Ok((check, Kept::File));
                }
                let cost = PassphraseCost {
                    memory: row.get(3)?,
                    passes: row.get(4)?,
                    lanes: row.get(5)?,
                };
                let (salt, sealed) = (row.get(2)?, row.get(6)?);
                Ok((check, Kept::Passphrase { salt, cost, sealed }))
            },
        )
        .optional()
        .map_err(|e| sqlite_error(path, e))?
        .ok_or(damaged)?;
    let (root, passphrase) = match (&kept, source) {
        (Kept::File, _) => (rootkey::read_file(path)?, false),
        (Kept::Passphrase { salt, cost, sealed }, RootKeySource::Passphrase(ask)) => {
            let root = rootkey::open_with_passphrase(salt, *cost, sealed, &ask()?)?;
            (root, true)
        }
        (Kept::Passphrase { .. }, RootKeySource::File) => {
            return Err(StoreError::PassphraseNeeded {
                path: path.to_owned(),
            });
        }
    };
    crate::primitives::equal(check_value(&root).expose(), &check)
        .map_err(|_| StoreError::RootKeyWrong { passphrase })?;
    Ok(root)
}

fn sqlite_error(path: &Path, source: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, NotADatabase};
    match source.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => StoreError::Locked {
            path: path.to_owned(),
            seconds: BUSY.as_secs(),
        },
        Some(NotADatabase) => StoreError::NotAKeystore {
            path: path.to_owned(),
        },
        Some(DatabaseCorrupt) => StoreError::Damaged {
            what: "the database image",
        },
        _ => StoreError::Sqlite {
            path: path.to_owned(),
            source,
        },
    }
}
