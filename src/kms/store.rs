//! The keystore: the only file with SQL.
//!
//! One SQLite database in WAL mode, used by several processes at once. Every change is one
//! `BEGIN IMMEDIATE` transaction with `synchronous=FULL`, so what it made is durable before
//! anything is wrapped under it. All key material is sealed under the root key.
//!
//! Reads are answered from a cache of unsealed keys, which is dropped whenever the database has
//! changed: by us, or by another process (`PRAGMA data_version`). One mutex guards connection and
//! cache; nothing else is called with it held.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::algorithm::{self, KeySpec, Material, open_record, seal_record};
use super::ids::{AliasArn, KeyArn};
use super::rootkey::{self, Kept, RootKeySource};
use super::state::KeyState;
pub use super::store_error::StoreError;
use crate::primitives::{PassphraseCost, hkdf_sha256};
use crate::secret::{Secret, SecretBytes};

/// A KMS key with its material unsealed.
pub struct KeyRecord {
    /// The key's ARN.
    pub arn: KeyArn,
    /// Its spec.
    pub spec: KeySpec,
    /// Its state.
    pub state: KeyState,
    /// Its description.
    pub description: String,
    /// When it was made: milliseconds since 1970.
    pub created: i64,
    /// When it will be deleted, while that is pending: milliseconds since 1970.
    pub deletion: Option<i64>,
    /// All generations of its material, the current one last.
    pub materials: Vec<Material>,
}

impl KeyRecord {
    /// The current key material.
    pub fn current(&self) -> &Material {
        self.materials
            .last()
            .expect("internal error: a key is loaded with at least one material")
    }

    /// The id of the current material of a symmetric key.
    pub fn current_id(&self) -> Option<[u8; 32]> {
        match self.current() {
            Material::Symmetric { id, .. } => Some(*id),
            Material::Rsa(_) | Material::Sm2(_) => None,
        }
    }

    /// The material with the id that stands in a blob.
    pub fn material(&self, wanted: &[u8; 32]) -> Option<&Material> {
        self.materials
            .iter()
            .find(|material| matches!(material, Material::Symmetric { id, .. } if id == wanted))
    }
}

/// An alias as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasRecord {
    /// The alias ARN.
    pub arn: AliasArn,
    /// The key it names.
    pub target: KeyArn,
    /// When it was made and changed last: milliseconds since 1970.
    pub created: i64,
    /// See `created`.
    pub updated: i64,
}

/// What became of a new alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasInserted {
    /// It is there.
    Done,
    /// The name was there before.
    Taken,
    /// The key has as many as it may have.
    TooMany,
    /// The key is gone.
    NoKey,
}

const APPLICATION_ID: i64 = 0x524b_4653; // "RKFS"
const VERSION: i64 = 1;
const BUSY: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    CREATE TABLE root_key (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        kind TEXT NOT NULL CHECK (kind IN ('file', 'passphrase')),
        check_value BLOB NOT NULL,
        salt BLOB, memory INTEGER, passes INTEGER, lanes INTEGER, sealed BLOB
    );
    CREATE TABLE keys (
        arn TEXT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL,
        spec TEXT NOT NULL, state TEXT NOT NULL, description TEXT NOT NULL,
        created INTEGER NOT NULL, deletion INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE materials (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        arn TEXT NOT NULL REFERENCES keys(arn) ON DELETE CASCADE,
        material_id BLOB, created INTEGER NOT NULL, sealed BLOB NOT NULL
    );
    CREATE INDEX materials_by_key ON materials(arn, number);
    CREATE INDEX materials_by_id ON materials(material_id);
    CREATE TABLE aliases (
        arn TEXT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL,
        target TEXT NOT NULL REFERENCES keys(arn) ON DELETE CASCADE,
        created INTEGER NOT NULL, updated INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX aliases_by_target ON aliases(target);
";

#[derive(Default)]
struct Cache {
    version: i64,
    keys: HashMap<KeyArn, Arc<KeyRecord>>,
    aliases: HashMap<AliasArn, KeyArn>,
    materials: HashMap<[u8; 32], KeyArn>,
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
        if !path.exists() {
            return Err(StoreError::Missing {
                path: path.to_owned(),
            });
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
            Identity::Version(VERSION) => {}
            Identity::Version(found) => {
                return Err(StoreError::Newer {
                    path: path.to_owned(),
                    found,
                    known: VERSION,
                });
            }
        }
        prepare_connection(&connection, path)?;
        let root = read_root_key(&connection, path, source)?;
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
        Ok(Self {
            path: path.to_owned(),
            sealing_key: hkdf_sha256(&[], root.expose(), &[b"rekeyfs key material"]),
            root,
            inner: Mutex::new(Inner { connection, cache }),
            changes: AtomicU64::new(1),
        })
    }

    /// The path of the database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn fail(&self, source: rusqlite::Error) -> StoreError {
        sqlite_error(&self.path, source)
    }

    /// A number that is never the same before and after a change of the keystore, by anybody.
    ///
    /// # Errors
    /// The database's own.
    pub fn change_counter(&self) -> Result<u64, StoreError> {
        self.refresh(&mut self.inner.lock())?;
        Ok(self.changes.load(Ordering::Acquire))
    }

    /// Drops the cache if anybody changed the database.
    fn refresh(&self, inner: &mut Inner) -> Result<(), StoreError> {
        let version = data_version(&inner.connection).map_err(|e| self.fail(e))?;
        if version != inner.cache.version {
            inner.cache = Cache {
                version,
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
        let mut inner = self.inner.lock();
        let transaction = inner
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(|e| self.fail(e))?;
        // Keys whose waiting period is over go, with their material and aliases.
        transaction
            .execute("DELETE FROM keys WHERE deletion <= ?1", [now])
            .map_err(|e| self.fail(e))?;
        let result = change(&transaction)?;
        transaction.commit().map_err(|e| self.fail(e))?;
        let version = inner.cache.version;
        inner.cache = Cache {
            version,
            ..Cache::default()
        };
        drop(inner);
        self.changes.fetch_add(1, Ordering::AcqRel);
        Ok(result)
    }

    /// The key with this ARN; a key whose deletion date has passed is gone.
    ///
    /// # Errors
    /// The database's own, and [`StoreError::Damaged`] for material that does not open.
    pub fn key(&self, arn: &KeyArn, now: i64) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let mut inner = self.inner.lock();
        self.refresh(&mut inner)?;
        if !inner.cache.keys.contains_key(arn) {
            let Some(record) = self.load_key(&inner.connection, arn)? else {
                return Ok(None);
            };
            inner.cache.keys.insert(arn.clone(), Arc::new(record));
        }
        let record = inner.cache.keys.get(arn).cloned();
        Ok(record.filter(|record| record.deletion.is_none_or(|at| at > now)))
    }

    fn load_key(
        &self,
        connection: &Connection,
        arn: &KeyArn,
    ) -> Result<Option<KeyRecord>, StoreError> {
        let row = connection
            .prepare_cached(
                "SELECT spec, state, description, created, deletion FROM keys WHERE arn = ?1",
            )
            .and_then(|mut statement| {
                statement
                    .query_row([arn.as_str()], |row| {
                        Ok((
                            row.get::<_, String>(0)?,
                            row.get::<_, String>(1)?,
                            row.get(2)?,
                            row.get(3)?,
                            row.get(4)?,
                        ))
                    })
                    .optional()
            })
            .map_err(|e| self.fail(e))?;
        let Some((spec, state, description, created, deletion)) = row else {
            return Ok(None);
        };
        let spec = KeySpec::parse(&spec).ok_or(StoreError::Damaged {
            what: "a key's spec",
        })?;
        let state = KeyState::parse(&state).ok_or(StoreError::Damaged {
            what: "a key's state",
        })?;
        let sealed = connection
            .prepare_cached("SELECT sealed FROM materials WHERE arn = ?1 ORDER BY number")
            .and_then(|mut statement| {
                statement
                    .query_map([arn.as_str()], |row| row.get::<_, Vec<u8>>(0))?
                    .collect::<Result<Vec<_>, _>>()
            })
            .map_err(|e| self.fail(e))?;
        let materials = sealed
            .iter()
            .map(|sealed| {
                open_record(&self.sealing_key, arn.as_str().as_bytes(), sealed)
                    .and_then(|kept| algorithm::load(spec, arn.key_id(), &kept))
                    .ok_or(StoreError::Damaged {
                        what: "key material does not open",
                    })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if materials.is_empty() {
            return Err(StoreError::Damaged {
                what: "a key without material",
            });
        }
        Ok(Some(KeyRecord {
            arn: arn.clone(),
            spec,
            state,
            description,
            created,
            deletion,
            materials,
        }))
    }

    /// The key that an alias names.
    ///
    /// # Errors
    /// The database's own.
    pub fn alias_target(&self, alias: &AliasArn) -> Result<Option<KeyArn>, StoreError> {
        let mut inner = self.inner.lock();
        self.refresh(&mut inner)?;
        if let Some(target) = inner.cache.aliases.get(alias) {
            return Ok(Some(target.clone()));
        }
        let target = inner
            .connection
            .prepare_cached("SELECT target FROM aliases WHERE arn = ?1")
            .and_then(|mut statement| statement.query_row([alias.as_str()], key_arn).optional())
            .map_err(|e| self.fail(e))?;
        if let Some(target) = &target {
            inner.cache.aliases.insert(alias.clone(), target.clone());
        }
        Ok(target)
    }

    /// The key whose material has this id.
    ///
    /// # Errors
    /// The database's own.
    pub fn key_of_material(&self, id: &[u8; 32]) -> Result<Option<KeyArn>, StoreError> {
        let mut inner = self.inner.lock();
        self.refresh(&mut inner)?;
        if let Some(arn) = inner.cache.materials.get(id) {
            return Ok(Some(arn.clone()));
        }
        let arn = inner
            .connection
            .prepare_cached("SELECT arn FROM materials WHERE material_id = ?1")
            .and_then(|mut statement| statement.query_row([&id[..]], key_arn).optional())
            .map_err(|e| self.fail(e))?;
        if let Some(arn) = &arn {
            inner.cache.materials.insert(*id, arn.clone());
        }
        Ok(arn)
    }

    /// Adds a key with its first material.
    ///
    /// # Errors
    /// The database's own.
    pub fn insert_key(
        &self,
        arn: &KeyArn,
        spec: KeySpec,
        description: &str,
        material: &SecretBytes,
        now: i64,
    ) -> Result<(), StoreError> {
        self.write(now, |transaction| {
            transaction
                .execute(
                    "INSERT INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)",
                    params![
                        arn.as_str(),
                        arn.account(),
                        arn.region(),
                        spec.name(),
                        KeyState::Enabled.name(),
                        description,
                        now
                    ],
                )
                .map_err(|e| self.fail(e))?;
            self.insert_material(transaction, arn, spec, material, now)
        })
    }

    /// Adds material to a symmetric key, which becomes the current one, if the key is still in the
    /// state that was seen and has no more material than was seen.
    ///
    /// Returns whether it was: another process may have been faster.
    ///
    /// # Errors
    /// The database's own.
    pub fn rotate(
        &self,
        seen: &KeyRecord,
        material: &SecretBytes,
        now: i64,
    ) -> Result<bool, StoreError> {
        self.write(now, |transaction| {
            let as_seen: bool = transaction
                .query_row(
                    "SELECT count(*) = ?2 AND EXISTS (SELECT 1 FROM keys WHERE arn = ?1 AND state = ?3)
                     FROM materials WHERE arn = ?1",
                    params![seen.arn.as_str(), seen.materials.len() as i64, seen.state.name()],
                    |row| row.get(0),
                )
                .map_err(|e| self.fail(e))?;
            if as_seen {
                self.insert_material(transaction, &seen.arn, seen.spec, material, now)?;
            }
            Ok(as_seen)
        })
    }

    fn insert_material(
        &self,
        transaction: &rusqlite::Transaction<'_>,
        arn: &KeyArn,
        spec: KeySpec,
        material: &SecretBytes,
        now: i64,
    ) -> Result<(), StoreError> {
        let id = match algorithm::load(spec, arn.key_id(), material) {
            Some(Material::Symmetric { id, .. }) => Some(id.to_vec()),
            Some(Material::Rsa(_) | Material::Sm2(_)) => None,
            None => {
                return Err(StoreError::Damaged {
                    what: "fresh key material",
                });
            }
        };
        let sealed = seal_record(
            &self.sealing_key,
            arn.as_str().as_bytes(),
            material.expose(),
        );
        transaction
            .execute(
                "INSERT INTO materials (arn, material_id, created, sealed) VALUES (?1, ?2, ?3, ?4)",
                params![arn.as_str(), id, now, sealed],
            )
            .map_err(|e| self.fail(e))?;
        Ok(())
    }

    /// Sets state and deletion date, if the key is still in the state that was seen.
    ///
    /// Returns whether it was: another process may have been faster.
    ///
    /// # Errors
    /// The database's own.
    pub fn set_state(
        &self,
        seen: &KeyRecord,
        state: KeyState,
        deletion: Option<i64>,
        now: i64,
    ) -> Result<bool, StoreError> {
        self.write(now, |transaction| {
            transaction
                .execute(
                    "UPDATE keys SET state = ?2, deletion = ?3 WHERE arn = ?1 AND state = ?4",
                    params![seen.arn.as_str(), state.name(), deletion, seen.state.name()],
                )
                .map(|changed| changed == 1)
                .map_err(|e| self.fail(e))
        })
    }

    /// The ARNs of the keys of an account in a Region, after `after`, in order; at most `limit`.
    ///
    /// # Errors
    /// The database's own.
    pub fn list_keys(
        &self,
        account: &str,
        region: &str,
        after: &str,
        limit: usize,
        now: i64,
    ) -> Result<Vec<KeyArn>, StoreError> {
        let inner = self.inner.lock();
        inner
            .connection
            .prepare_cached(
                "SELECT arn FROM keys WHERE account = ?1 AND region = ?2 AND arn > ?3
                 AND (deletion IS NULL OR deletion > ?4) ORDER BY arn LIMIT ?5",
            )
            .and_then(|mut statement| {
                statement
                    .query_map(params![account, region, after, now, limit as i64], key_arn)?
                    .collect()
            })
            .map_err(|e| self.fail(e))
    }

    /// The aliases of an account in a Region, after `after`, in order; at most `limit`.
    ///
    /// # Errors
    /// The database's own.
    pub fn list_aliases(
        &self,
        account: &str,
        region: &str,
        target: Option<&KeyArn>,
        after: &str,
        limit: usize,
    ) -> Result<Vec<AliasRecord>, StoreError> {
        let inner = self.inner.lock();
        inner
            .connection
            .prepare_cached(
                "SELECT arn, target, created, updated FROM aliases
                 WHERE account = ?1 AND region = ?2 AND arn > ?3 AND (?4 IS NULL OR target = ?4)
                 ORDER BY arn LIMIT ?5",
            )
            .and_then(|mut statement| {
                let target = target.map(KeyArn::as_str);
                statement
                    .query_map(
                        params![account, region, after, target, limit as i64],
                        |row| {
                            let arn: String = row.get(0)?;
                            let target: String = row.get(1)?;
                            let name = arn.splitn(6, ':').last().unwrap_or_default().to_owned();
                            Ok(AliasRecord {
                                arn: AliasArn::new(account, region, &name),
                                target: KeyArn::parse(&target)
                                    .ok_or(rusqlite::Error::InvalidQuery)?,
                                created: row.get(2)?,
                                updated: row.get(3)?,
                            })
                        },
                    )?
                    .collect()
            })
            .map_err(|e| self.fail(e))
    }

    /// Adds an alias to a key that exists and has fewer than `most` of them.
    ///
    /// # Errors
    /// The database's own.
    pub fn insert_alias(
        &self,
        alias: &AliasArn,
        account: &str,
        region: &str,
        target: &KeyArn,
        most: i64,
        now: i64,
    ) -> Result<AliasInserted, StoreError> {
        self.write(now, |transaction| {
            let number = |sql: &str| -> Result<i64, StoreError> {
                transaction
                    .query_row(sql, [target.as_str()], |row| row.get(0))
                    .map_err(|e| self.fail(e))
            };
            if number("SELECT count(*) FROM keys WHERE arn = ?1")? == 0 {
                return Ok(AliasInserted::NoKey);
            }
            if number("SELECT count(*) FROM aliases WHERE target = ?1")? >= most {
                return Ok(AliasInserted::TooMany);
            }
            let inserted = transaction
                .execute(
                    "INSERT OR IGNORE INTO aliases VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                    params![alias.as_str(), account, region, target.as_str(), now],
                )
                .map_err(|e| self.fail(e))?;
            Ok(if inserted == 1 {
                AliasInserted::Done
            } else {
                AliasInserted::Taken
            })
        })
    }

    /// Points an alias at another key; `false` when there is no such alias.
    ///
    /// # Errors
    /// The database's own.
    pub fn update_alias(
        &self,
        alias: &AliasArn,
        target: &KeyArn,
        now: i64,
    ) -> Result<bool, StoreError> {
        self.write(now, |transaction| {
            transaction
                .execute(
                    "UPDATE aliases SET target = ?2, updated = ?3 WHERE arn = ?1",
                    params![alias.as_str(), target.as_str(), now],
                )
                .map(|changed| changed == 1)
                .map_err(|e| self.fail(e))
        })
    }

    /// Removes an alias; `false` when there is none.
    ///
    /// # Errors
    /// The database's own.
    pub fn delete_alias(&self, alias: &AliasArn, now: i64) -> Result<bool, StoreError> {
        self.write(now, |transaction| {
            transaction
                .execute("DELETE FROM aliases WHERE arn = ?1", [alias.as_str()])
                .map(|changed| changed == 1)
                .map_err(|e| self.fail(e))
        })
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
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let result = self
            .inner
            .lock()
            .connection
            .query_row(checkpoint, [], |_| Ok(()));
        if let Err(e) = result {
            log::warn!("the keystore's log could not be cut: {e}");
        }
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
        prepare_file(target)?;
        let text = target.to_string_lossy().into_owned();
        self.inner
            .lock()
            .connection
            .execute("VACUUM INTO ?1", [&text])
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

fn key_arn(row: &Row<'_>) -> rusqlite::Result<KeyArn> {
    KeyArn::parse(&row.get::<_, String>(0)?).ok_or(rusqlite::Error::InvalidQuery)
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
    transaction.execute_batch(SCHEMA).map_err(fail)?;
    transaction
        .execute_batch(&format!(
            "PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION};"
        ))
        .map_err(fail)?;
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
