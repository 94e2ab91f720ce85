//! The last use of each key, in a database of its own beside the keystore.
//!
//! It is written at every other use of a key: in the keystore itself each write would wait for the
//! disk and make every process read its keys again. Losing it loses no key.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::super::ids::KeyArn;
use super::LastUsage;

/// What a write waits for others; a use that cannot be noted is forgotten.
const BUSY: Duration = Duration::from_millis(200);

fn path(keystore: &Path) -> PathBuf {
    let mut name = keystore.as_os_str().to_owned();
    name.push(".usage");
    PathBuf::from(name)
}

fn open(keystore: &Path) -> rusqlite::Result<Connection> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = path(keystore);
    // SQLite would make it readable for others; a file that cannot be made fails below. One that is
    // there is not opened: closing it would end SQLite's locks on it in this process.
    let _ = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch(
        "PRAGMA synchronous=OFF;
         CREATE TABLE IF NOT EXISTS last_usage (
             arn TEXT PRIMARY KEY, at INTEGER NOT NULL, facts TEXT NOT NULL
         ) WITHOUT ROWID;",
    )?;
    Ok(connection)
}

/// The last use of a key that was noted.
pub(super) fn read(keystore: &Path, arn: &KeyArn) -> rusqlite::Result<Option<LastUsage>> {
    let read = try_read(keystore, arn);
    match read {
        Err(e) if is_damaged(&e) => {
            forget(keystore);
            Ok(None)
        }
        read => read,
    }
}

/// Notes uses, where no later one is noted already.
pub(super) fn write(keystore: &Path, usages: &[(KeyArn, LastUsage)]) -> rusqlite::Result<()> {
    match try_write(keystore, usages) {
        Err(e) if is_damaged(&e) => {
            forget(keystore);
            try_write(keystore, usages)
        }
        written => written,
    }
}

/// A power cut may leave anything behind, as nothing here waits for the disk.
fn is_damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    )
}

fn forget(keystore: &Path) {
    let path = path(keystore);
    log::warn!("{}: damaged, begun again", path.display());
    let _ = std::fs::remove_file(path);
}

fn try_read(keystore: &Path, arn: &KeyArn) -> rusqlite::Result<Option<LastUsage>> {
    let facts: Option<String> = open(keystore)?
        .query_row(
            "SELECT facts FROM last_usage WHERE arn = ?1",
            [arn.as_str()],
            |row| row.get(0),
        )
        .optional()?;
    Ok(facts.and_then(|facts| serde_json::from_str(&facts).ok()))
}

fn try_write(keystore: &Path, usages: &[(KeyArn, LastUsage)]) -> rusqlite::Result<()> {
    let mut connection = open(keystore)?;
    let transaction = connection.transaction()?;
    for (arn, usage) in usages {
        let facts = serde_json::to_string(usage).expect("internal error: facts are always JSON");
        transaction.execute(
            "INSERT INTO last_usage VALUES (?1, ?2, ?3)
             ON CONFLICT (arn) DO UPDATE SET at = excluded.at, facts = excluded.facts
             WHERE excluded.at >= at",
            params![arn.as_str(), usage.at, facts],
        )?;
    }
    transaction.commit()
}
