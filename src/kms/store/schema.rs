//! The tables of a keystore, and how older ones become these.

use rusqlite::Connection;

/// "RKFS".
pub(super) const APPLICATION_ID: i64 = 0x524b_4653;
/// The version that is written. 1 had the columns of a key one by one, and neither policies nor
/// principals.
pub(super) const VERSION: i64 = 2;

const ROOT_KEY: &str = "
    CREATE TABLE root_key (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        kind TEXT NOT NULL CHECK (kind IN ('file', 'passphrase')),
        check_value BLOB NOT NULL,
        salt BLOB, memory INTEGER, passes INTEGER, lanes INTEGER, sealed BLOB
    );
";

/// Everything but the root key. `facts` are JSON: see `records`.
const TABLES: &str = "
    CREATE TABLE keys (
        arn TEXT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL,
        revision INTEGER NOT NULL, deletion INTEGER, facts TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE materials (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        arn TEXT NOT NULL REFERENCES keys(arn) ON DELETE CASCADE,
        material_id BLOB, created INTEGER NOT NULL, facts TEXT NOT NULL, sealed BLOB
    );
    CREATE INDEX materials_by_key ON materials(arn, number);
    CREATE INDEX materials_by_id ON materials(material_id);
    CREATE TABLE aliases (
        arn TEXT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL,
        target TEXT NOT NULL REFERENCES keys(arn) ON DELETE CASCADE,
        created INTEGER NOT NULL, updated INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX aliases_by_target ON aliases(target);
    CREATE TABLE grants (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        arn TEXT NOT NULL REFERENCES keys(arn) ON DELETE CASCADE,
        account TEXT NOT NULL, region TEXT NOT NULL, retiring TEXT, facts TEXT NOT NULL
    );
    CREATE INDEX grants_by_key ON grants(arn, number);
    CREATE INDEX grants_by_retiring ON grants(retiring, number);
    CREATE TABLE users (
        arn TEXT PRIMARY KEY, account TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL,
        uid INTEGER, created INTEGER NOT NULL,
        UNIQUE (account, name), UNIQUE (account, uid)
    ) WITHOUT ROWID;
    CREATE TABLE user_policies (
        arn TEXT NOT NULL REFERENCES users(arn) ON DELETE CASCADE,
        name TEXT NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (arn, name)
    ) WITHOUT ROWID;
    CREATE TABLE access_keys (
        id TEXT PRIMARY KEY, principal TEXT NOT NULL, account TEXT NOT NULL,
        active INTEGER NOT NULL, created INTEGER NOT NULL, sealed BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

fn stamp(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION};"
    ))
}

/// Makes the tables of an empty database.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(ROOT_KEY)?;
    connection.execute_batch(TABLES)?;
    stamp(connection)
}

/// Turns version 1 into version 2, within the caller's transaction; nothing is lost.
pub(super) fn from_version_1(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "DROP INDEX materials_by_key; DROP INDEX materials_by_id; DROP INDEX aliases_by_target;
         ALTER TABLE aliases RENAME TO aliases_1;
         ALTER TABLE materials RENAME TO materials_1;
         ALTER TABLE keys RENAME TO keys_1;",
    )?;
    connection.execute_batch(TABLES)?;
    connection.execute_batch(
        "INSERT INTO keys SELECT arn, account, region, 0, deletion, json_object(
             'spec', spec, 'usage', 'ENCRYPT_DECRYPT', 'origin', 'AWS_KMS', 'state', state,
             'description', description, 'created', created, 'deletion', deletion,
             'on_demand_rotations',
             (SELECT count(*) - 1 FROM materials_1 WHERE materials_1.arn = keys_1.arn))
         FROM keys_1;
         INSERT INTO materials SELECT number, arn, material_id, created, CASE
             WHEN number = (SELECT max(number) FROM materials_1 AS a WHERE a.arn = m.arn)
              AND number = (SELECT min(number) FROM materials_1 AS a WHERE a.arn = m.arn)
             THEN json_object('state', 'CURRENT')
             WHEN number = (SELECT min(number) FROM materials_1 AS a WHERE a.arn = m.arn)
             THEN json_object('state', 'NON_CURRENT')
             WHEN number = (SELECT max(number) FROM materials_1 AS a WHERE a.arn = m.arn)
             THEN json_object('state', 'CURRENT', 'rotated', json_array(created, 'ON_DEMAND'))
             ELSE json_object('state', 'NON_CURRENT', 'rotated', json_array(created, 'ON_DEMAND'))
             END, sealed
         FROM materials_1 AS m ORDER BY number;
         INSERT INTO aliases SELECT * FROM aliases_1;
         DROP TABLE aliases_1; DROP TABLE materials_1; DROP TABLE keys_1;",
    )?;
    stamp(connection)
}
