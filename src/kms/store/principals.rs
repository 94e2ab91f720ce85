//! Users, their identity policies and access keys, and the settings of the keystore.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::algorithm::{open_record, seal_record};
use super::super::policy::{Policy, PolicyKind};
use super::{AccessKeyRecord, PrincipalRecord, Store, StoreError, UserRecord};
use crate::secret::SecretBytes;

/// Principals that are remembered.
const MOST_PRINCIPALS: usize = 4096;

const USER: &str = "SELECT arn, account, name, id, uid, created FROM users";

fn user(row: &Row<'_>) -> rusqlite::Result<UserRecord> {
    Ok(UserRecord {
        arn: row.get(0)?,
        account: row.get(1)?,
        name: row.get(2)?,
        id: row.get(3)?,
        uid: row.get(4)?,
        created: row.get(5)?,
    })
}

impl Store {
    /// What is known of the principal with this ARN: nothing, for a stranger.
    ///
    /// # Errors
    /// The database's own.
    pub fn principal(&self, arn: &str) -> Result<Arc<PrincipalRecord>, StoreError> {
        let mut inner = self.inner.lock();
        if let Some(principal) = inner.cache.principals.get(arn) {
            return Ok(Arc::clone(principal));
        }
        let principal = Arc::new(self.load_principal(&inner.connection, arn)?);
        // Names that are made up must not fill the memory.
        if inner.cache.principals.len() >= MOST_PRINCIPALS {
            inner.cache.principals.clear();
        }
        inner
            .cache
            .principals
            .insert(arn.to_owned(), Arc::clone(&principal));
        Ok(principal)
    }

    fn load_principal(
        &self,
        connection: &Connection,
        arn: &str,
    ) -> Result<PrincipalRecord, StoreError> {
        let found = connection
            .query_row(&format!("{USER} WHERE arn = ?1"), [arn], user)
            .optional()
            .map_err(|e| self.fail(e))?;
        let mut principal = PrincipalRecord {
            user: found,
            ..PrincipalRecord::default()
        };
        for (name, document) in self.policies_of(connection, arn)? {
            let policy = Policy::parse(&document, PolicyKind::Identity).map_err(|_| {
                StoreError::Damaged {
                    what: "an identity policy",
                }
            })?;
            principal.policies.insert(name, Arc::new(policy));
        }
        Ok(principal)
    }

    fn policies_of(
        &self,
        connection: &Connection,
        arn: &str,
    ) -> Result<Vec<(String, String)>, StoreError> {
        connection
            .prepare_cached("SELECT name, document FROM user_policies WHERE arn = ?1 ORDER BY name")
            .and_then(|mut statement| {
                statement
                    .query_map([arn], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .map_err(|e| self.fail(e))
    }

    /// The identity policies of a user, as they were given, by name.
    ///
    /// # Errors
    /// The database's own.
    pub fn user_policies(&self, arn: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.policies_of(&self.inner.lock().connection, arn)
    }

    /// The users of an account, by name.
    ///
    /// # Errors
    /// The database's own.
    pub fn list_users(&self, account: &str) -> Result<Vec<UserRecord>, StoreError> {
        self.inner
            .lock()
            .connection
            .prepare_cached(&format!("{USER} WHERE account = ?1 ORDER BY name"))
            .and_then(|mut statement| statement.query_map([account], user)?.collect())
            .map_err(|e| self.fail(e))
    }

    /// The user of an account with this name.
    ///
    /// # Errors
    /// The database's own.
    pub fn user(&self, account: &str, name: &str) -> Result<Option<UserRecord>, StoreError> {
        self.inner
            .lock()
            .connection
            .query_row(
                &format!("{USER} WHERE account = ?1 AND name = ?2"),
                [account, name],
                user,
            )
            .optional()
            .map_err(|e| self.fail(e))
    }

    /// The user of an account that a uid of this machine acts as.
    ///
    /// # Errors
    /// The database's own.
    pub fn user_of_uid(&self, account: &str, uid: u32) -> Result<Option<UserRecord>, StoreError> {
        self.inner
            .lock()
            .connection
            .prepare_cached(&format!("{USER} WHERE account = ?1 AND uid = ?2"))
            .and_then(|mut statement| statement.query_row(params![account, uid], user).optional())
            .map_err(|e| self.fail(e))
    }

    /// Adds a user; `false` when the name or the uid is taken.
    ///
    /// # Errors
    /// The database's own.
    pub fn insert_user(&self, user: &UserRecord) -> Result<bool, StoreError> {
        self.write(user.created, |transaction| {
            transaction
                .execute(
                    "INSERT OR IGNORE INTO users VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        user.arn,
                        user.account,
                        user.name,
                        user.id,
                        user.uid,
                        user.created
                    ],
                )
                .map(|inserted| inserted == 1)
                .map_err(|e| self.fail(e))
        })
    }

    /// Removes a user with policies and access keys; `false` when there is none.
    ///
    /// # Errors
    /// The database's own.
    pub fn delete_user(&self, arn: &str, now: i64) -> Result<bool, StoreError> {
        self.write(now, |transaction| {
            let run = |sql: &str| transaction.execute(sql, [arn]).map_err(|e| self.fail(e));
            run("DELETE FROM access_keys WHERE principal = ?1")?;
            Ok(run("DELETE FROM users WHERE arn = ?1")? == 1)
        })
    }

    /// Sets an identity policy of a user.
    ///
    /// # Errors
    /// The database's own.
    pub fn put_user_policy(
        &self,
        arn: &str,
        name: &str,
        document: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        self.write(now, |transaction| {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO user_policies VALUES (?1, ?2, ?3)",
                    [arn, name, document],
                )
                .map(|_| ())
                .map_err(|e| self.fail(e))
        })
    }

    /// Removes an identity policy of a user; `false` when there is none of that name.
    ///
    /// # Errors
    /// The database's own.
    pub fn delete_user_policy(&self, arn: &str, name: &str, now: i64) -> Result<bool, StoreError> {
        self.write(now, |transaction| {
            transaction
                .execute(
                    "DELETE FROM user_policies WHERE arn = ?1 AND name = ?2",
                    [arn, name],
                )
                .map(|deleted| deleted == 1)
                .map_err(|e| self.fail(e))
        })
    }

    /// Adds an access key.
    ///
    /// # Errors
    /// The database's own.
    pub fn insert_access_key(&self, key: &AccessKeyRecord) -> Result<(), StoreError> {
        let sealed = seal_record(&self.sealing_key, key.id.as_bytes(), key.secret.expose());
        self.write(key.created, |transaction| {
            transaction
                .execute(
                    "INSERT INTO access_keys VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        key.id,
                        key.principal,
                        key.account,
                        key.active,
                        key.created,
                        sealed
                    ],
                )
                .map(|_| ())
                .map_err(|e| self.fail(e))
        })
    }

    /// The access key with this id.
    ///
    /// # Errors
    /// The database's own, and [`StoreError::Damaged`] for a secret that does not open.
    pub fn access_key(&self, id: &str) -> Result<Option<Arc<AccessKeyRecord>>, StoreError> {
        let mut inner = self.inner.lock();
        if let Some(key) = inner.cache.access_keys.get(id) {
            return Ok(Some(Arc::clone(key)));
        }
        let Some(key) = self
            .load_access_keys(&inner.connection, "id = ?1", id)?
            .pop()
        else {
            return Ok(None);
        };
        let key = Arc::new(key);
        inner
            .cache
            .access_keys
            .insert(id.to_owned(), Arc::clone(&key));
        Ok(Some(key))
    }

    /// The access keys of a principal, the oldest first.
    ///
    /// # Errors
    /// As [`Store::access_key`].
    pub fn access_keys_of(&self, principal: &str) -> Result<Vec<AccessKeyRecord>, StoreError> {
        self.load_access_keys(&self.inner.lock().connection, "principal = ?1", principal)
    }

    fn load_access_keys(
        &self,
        connection: &Connection,
        condition: &str,
        parameter: &str,
    ) -> Result<Vec<AccessKeyRecord>, StoreError> {
        type Kept = (String, String, String, bool, i64, Vec<u8>);
        let rows: Vec<Kept> = connection
            .prepare_cached(&format!(
                "SELECT id, principal, account, active, created, sealed FROM access_keys
                 WHERE {condition} ORDER BY created, id"
            ))
            .and_then(|mut statement| {
                statement
                    .query_map([parameter], |row| {
                        Ok((
                            row.get(0)?,
                            row.get(1)?,
                            row.get(2)?,
                            row.get(3)?,
                            row.get(4)?,
                            row.get(5)?,
                        ))
                    })?
                    .collect()
            })
            .map_err(|e| self.fail(e))?;
        rows.into_iter()
            .map(|(id, principal, account, active, created, sealed)| {
                let secret = open_record(&self.sealing_key, id.as_bytes(), &sealed).ok_or(
                    StoreError::Damaged {
                        what: "a secret access key does not open",
                    },
                )?;
                Ok(AccessKeyRecord {
                    id,
                    principal,
                    account,
                    active,
                    created,
                    secret,
                })
            })
            .collect()
    }

    /// Removes an access key of a principal; `false` when it has none with this id.
    ///
    /// # Errors
    /// The database's own.
    pub fn delete_access_key(
        &self,
        principal: &str,
        id: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        self.write(now, |transaction| {
            transaction
                .execute(
                    "DELETE FROM access_keys WHERE id = ?1 AND principal = ?2",
                    [id, principal],
                )
                .map(|deleted| deleted == 1)
                .map_err(|e| self.fail(e))
        })
    }

    /// A setting of the keystore; `None` when it was never set.
    ///
    /// # Errors
    /// The database's own.
    pub fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut inner = self.inner.lock();
        if let Some(value) = inner.cache.settings.get(name) {
            return Ok(Some(value.clone()).filter(|value| !value.is_empty()));
        }
        let value: Option<String> = inner
            .connection
            .prepare_cached("SELECT value FROM settings WHERE name = ?1")
            .and_then(|mut statement| statement.query_row([name], |row| row.get(0)).optional())
            .map_err(|e| self.fail(e))?;
        // Absence is remembered as the empty text, which no setting has.
        inner
            .cache
            .settings
            .insert(name.to_owned(), value.clone().unwrap_or_default());
        Ok(value)
    }

    /// Changes a setting of the keystore.
    ///
    /// # Errors
    /// The database's own.
    pub fn set_setting(&self, name: &str, value: &str, now: i64) -> Result<(), StoreError> {
        self.write(now, |transaction| {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO settings VALUES (?1, ?2)",
                    [name, value],
                )
                .map(|_| ())
                .map_err(|e| self.fail(e))
        })
    }

    /// Seals a short secret text that only this keystore can open again, such as a grant token.
    pub fn seal_token(&self, label: &[u8], text: &[u8]) -> Vec<u8> {
        seal_record(&self.sealing_key, label, text)
    }

    /// Opens what [`Store::seal_token`] made with the same label.
    pub fn open_token(&self, label: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
        open_record(&self.sealing_key, label, sealed)
    }
}
