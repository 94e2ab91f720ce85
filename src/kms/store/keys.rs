//! Keys with everything that belongs to them: material, aliases and grants.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::super::algorithm::{self, open_record, seal_record};
use super::super::ids::{AliasArn, KeyArn};
use super::super::key_policy;
use super::super::policy::{Policy, PolicyKind};
use super::super::spec::KeyState;
use super::{
    AliasInserted, AliasRecord, GrantRecord, KeyFacts, KeyRecord, MaterialFacts, MaterialRecord,
    MaterialState, Store, StoreError,
};
use crate::secret::SecretBytes;

/// A change of one key, within the transaction that makes it.
///
/// What is checked of `key` here cannot have changed when the change is committed.
pub struct Change<'a> {
    /// The key as it is now. New `facts` are written when the change ends well.
    pub key: KeyRecord,
    store: &'a Store,
    transaction: &'a Transaction<'a>,
    now: i64,
}

fn damaged(what: &'static str) -> StoreError {
    StoreError::Damaged { what }
}

fn key_arn(row: &Row<'_>) -> rusqlite::Result<KeyArn> {
    KeyArn::parse(&row.get::<_, String>(0)?).ok_or(rusqlite::Error::InvalidQuery)
}

fn to_json<T: serde::Serialize>(facts: &T) -> String {
    serde_json::to_string(facts).expect("internal error: facts are always JSON")
}

impl Store {
    /// The key with this ARN. A key whose deletion date has passed is gone, and imported material
    /// that has expired is forgotten first.
    ///
    /// # Errors
    /// The database's own, and [`StoreError::Damaged`] for material that does not open.
    pub fn key(&self, arn: &KeyArn, now: i64) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let found = self.cached_key(arn)?;
        let Some(key) = found.filter(|key| key.facts.deletion.is_none_or(|at| at > now)) else {
            return Ok(None);
        };
        let expired = |record: &MaterialRecord| {
            record.material.is_some() && record.facts.valid_to.is_some_and(|at| at <= now)
        };
        if !key.materials.iter().any(expired) {
            return Ok(Some(key));
        }
        self.change(arn, now, |change| {
            let gone: Vec<_> = change
                .key
                .materials
                .iter()
                .filter(|record| expired(record))
                .map(|record| (record.number, record.facts.state))
                .collect();
            for (number, state) in gone {
                // What nothing was ever sealed with is not waited for.
                if state == MaterialState::PENDING_ROTATION {
                    change.remove_material(number)?;
                } else {
                    change.forget_material(number)?;
                }
            }
            Ok::<_, StoreError>(())
        })?;
        self.cached_key(arn)
    }

    fn cached_key(&self, arn: &KeyArn) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let mut inner = self.inner.lock();
        if let Some(key) = inner.cache.keys.get(arn) {
            return Ok(Some(Arc::clone(key)));
        }
        // One transaction: another process must not change the key between its parts.
        let record = {
            let transaction = inner
                .connection
                .unchecked_transaction()
                .map_err(|e| self.fail(e))?;
            self.load_key(&transaction, arn)?
        };
        let Some(record) = record else {
            return Ok(None);
        };
        let record = Arc::new(record);
        inner.cache.keys.insert(arn.clone(), Arc::clone(&record));
        Ok(Some(record))
    }

    fn load_key(
        &self,
        connection: &Connection,
        arn: &KeyArn,
    ) -> Result<Option<KeyRecord>, StoreError> {
        let row: Option<(i64, String)> = connection
            .prepare_cached("SELECT revision, facts FROM keys WHERE arn = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([arn.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(|e| self.fail(e))?;
        let Some((revision, facts)) = row else {
            return Ok(None);
        };
        let facts: KeyFacts =
            serde_json::from_str(&facts).map_err(|_| damaged("the facts of a key"))?;
        let policy = Policy::parse(&key_policy::text(&facts, arn), PolicyKind::Key)
            .map_err(|_| damaged("the policy of a key"))?;
        Ok(Some(KeyRecord {
            materials: self.load_materials(connection, arn, &facts)?,
            grants: self.load_grants(connection, arn)?,
            aliases: self.load_aliases(connection, arn)?,
            arn: arn.clone(),
            revision,
            policy: Arc::new(policy),
            facts,
        }))
    }

    fn load_materials(
        &self,
        connection: &Connection,
        arn: &KeyArn,
        facts: &KeyFacts,
    ) -> Result<Vec<MaterialRecord>, StoreError> {
        type Kept = (i64, Option<Vec<u8>>, String, Option<Vec<u8>>);
        let rows: Vec<Kept> = connection
            .prepare_cached(
                "SELECT number, material_id, facts, sealed FROM materials
                 WHERE arn = ?1 ORDER BY number",
            )
            .and_then(|mut statement| {
                statement
                    .query_map([arn.as_str()], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                    })?
                    .collect()
            })
            .map_err(|e| self.fail(e))?;
        rows.into_iter()
            .map(|(number, id, kept_facts, sealed)| {
                let material = sealed
                    .map(|sealed| {
                        open_record(&self.sealing_key, arn.as_str().as_bytes(), &sealed)
                            .and_then(|kept| algorithm::load(facts.spec, arn.key_id(), &kept))
                            .ok_or(damaged("key material does not open"))
                    })
                    .transpose()?;
                Ok(MaterialRecord {
                    number,
                    id: id.and_then(|id| id.try_into().ok()),
                    facts: serde_json::from_str(&kept_facts)
                        .map_err(|_| damaged("the facts of key material"))?,
                    material,
                })
            })
            .collect()
    }

    fn load_grants(
        &self,
        connection: &Connection,
        arn: &KeyArn,
    ) -> Result<Vec<Arc<GrantRecord>>, StoreError> {
        let rows: Vec<String> = connection
            .prepare_cached("SELECT facts FROM grants WHERE arn = ?1 ORDER BY number")
            .and_then(|mut statement| {
                statement
                    .query_map([arn.as_str()], |row| row.get(0))?
                    .collect()
            })
            .map_err(|e| self.fail(e))?;
        rows.iter()
            .map(|facts| {
                serde_json::from_str(facts)
                    .map(Arc::new)
                    .map_err(|_| damaged("a grant"))
            })
            .collect()
    }

    fn load_aliases(
        &self,
        connection: &Connection,
        arn: &KeyArn,
    ) -> Result<Vec<String>, StoreError> {
        let rows: Vec<String> = connection
            .prepare_cached("SELECT arn FROM aliases WHERE target = ?1 ORDER BY arn")
            .and_then(|mut statement| {
                statement
                    .query_map([arn.as_str()], |row| row.get(0))?
                    .collect()
            })
            .map_err(|e| self.fail(e))?;
        Ok(rows
            .iter()
            .filter_map(|arn| arn.splitn(6, ':').last())
            .map(str::to_owned)
            .collect())
    }

    /// The key that an alias names.
    ///
    /// # Errors
    /// The database's own.
    pub fn alias_target(&self, alias: &AliasArn) -> Result<Option<KeyArn>, StoreError> {
        let mut inner = self.inner.lock();
        if let Some(target) = inner.cache.aliases.get(alias) {
            return Ok(Some(target.clone()));
        }
        let sql = "SELECT target FROM aliases WHERE arn = ?1";
        let target = self.one_key(&inner.connection, sql, alias.as_str())?;
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
        if let Some(arn) = inner.cache.materials.get(id) {
            return Ok(Some(arn.clone()));
        }
        let sql = "SELECT arn FROM materials WHERE material_id = ?1";
        let arn = self.one_key(&inner.connection, sql, &id[..])?;
        if let Some(arn) = &arn {
            inner.cache.materials.insert(*id, arn.clone());
        }
        Ok(arn)
    }

    /// The key that a grant is for.
    ///
    /// # Errors
    /// The database's own.
    pub fn key_of_grant(&self, id: &str) -> Result<Option<KeyArn>, StoreError> {
        let mut inner = self.inner.lock();
        if let Some(arn) = inner.cache.grants.get(id) {
            return Ok(Some(arn.clone()));
        }
        let sql = "SELECT arn FROM grants WHERE id = ?1";
        let arn = self.one_key(&inner.connection, sql, id)?;
        if let Some(arn) = &arn {
            inner.cache.grants.insert(id.to_owned(), arn.clone());
        }
        Ok(arn)
    }

    fn one_key(
        &self,
        connection: &Connection,
        sql: &str,
        parameter: impl rusqlite::ToSql,
    ) -> Result<Option<KeyArn>, StoreError> {
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row([parameter], key_arn).optional())
            .map_err(|e| self.fail(e))
    }

    /// Adds a key, with its first material unless that will be imported.
    ///
    /// # Errors
    /// The database's own.
    pub fn insert_key(
        &self,
        arn: &KeyArn,
        facts: &KeyFacts,
        material: Option<&SecretBytes>,
        now: i64,
    ) -> Result<(), StoreError> {
        self.write(now, |transaction| {
            transaction
                .execute(
                    "INSERT INTO keys VALUES (?1, ?2, ?3, 0, NULL, ?4)",
                    params![arn.as_str(), arn.account(), arn.region(), to_json(facts)],
                )
                .map_err(|e| self.fail(e))?;
            let Some(material) = material else {
                return Ok(());
            };
            let first = MaterialFacts::current();
            self.insert_material(transaction, arn, facts, &first, material, now)
        })
    }

    fn insert_material(
        &self,
        transaction: &Transaction<'_>,
        arn: &KeyArn,
        facts: &KeyFacts,
        kept_facts: &MaterialFacts,
        material: &SecretBytes,
        now: i64,
    ) -> Result<(), StoreError> {
        let loaded = algorithm::load(facts.spec, arn.key_id(), material)
            .ok_or(damaged("fresh key material"))?;
        let id = loaded.id().map(|id| id.to_vec());
        let label = arn.as_str().as_bytes();
        let sealed = seal_record(&self.sealing_key, label, material.expose());
        transaction
            .execute(
                "INSERT INTO materials (arn, material_id, created, facts, sealed)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![arn.as_str(), id, now, to_json(kept_facts), sealed],
            )
            .map_err(|e| self.fail(e))?;
        Ok(())
    }

    /// Changes one key in a transaction of its own: nothing is changed when `body` fails. `None`
    /// when there is no such key (any more).
    ///
    /// # Errors
    /// The database's own, and what `body` answers.
    pub fn change<T, E: From<StoreError>>(
        &self,
        arn: &KeyArn,
        now: i64,
        body: impl FnOnce(&mut Change<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        self.write(now, |transaction| {
            let Some(key) = self.load_key(transaction, arn)? else {
                return Ok(None);
            };
            let mut change = Change {
                key,
                store: self,
                transaction,
                now,
            };
            let before = to_json(&change.key.facts);
            let result = body(&mut change)?;
            let facts = to_json(&change.key.facts);
            if facts != before {
                transaction
                    .execute(
                        "UPDATE keys SET revision = revision + 1, deletion = ?2, facts = ?3
                         WHERE arn = ?1",
                        params![arn.as_str(), change.key.facts.deletion, facts],
                    )
                    .map_err(|e| self.fail(e))?;
            }
            Ok(Some(result))
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
                "SELECT target, arn, created, updated FROM aliases
                 WHERE account = ?1 AND region = ?2 AND arn > ?3 AND (?4 IS NULL OR target = ?4)
                 ORDER BY arn LIMIT ?5",
            )
            .and_then(|mut statement| {
                let target = target.map(KeyArn::as_str);
                statement
                    .query_map(
                        params![account, region, after, target, limit as i64],
                        |row| {
                            let arn: String = row.get(1)?;
                            let name = arn.splitn(6, ':').last().unwrap_or_default();
                            Ok(AliasRecord {
                                arn: AliasArn::new(account, region, name),
                                target: key_arn(row)?,
                                created: row.get(2)?,
                                updated: row.get(3)?,
                            })
                        },
                    )?
                    .collect()
            })
            .map_err(|e| self.fail(e))
    }

    /// The grants that `principal` may retire in a Region, after number `after`; at most `limit`,
    /// each with its number.
    ///
    /// # Errors
    /// The database's own.
    pub fn retirable_grants(
        &self,
        principal: &str,
        region: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(KeyArn, i64, GrantRecord)>, StoreError> {
        let rows: Vec<(KeyArn, i64, String)> = self
            .inner
            .lock()
            .connection
            .prepare_cached(
                "SELECT arn, number, facts FROM grants
                 WHERE retiring = ?1 AND region = ?2 AND number > ?3
                 ORDER BY number LIMIT ?4",
            )
            .and_then(|mut statement| {
                statement
                    .query_map(params![principal, region, after, limit as i64], |row| {
                        Ok((key_arn(row)?, row.get(1)?, row.get(2)?))
                    })?
                    .collect()
            })
            .map_err(|e| self.fail(e))?;
        rows.into_iter()
            .map(|(arn, number, facts)| {
                let grant = serde_json::from_str(&facts).map_err(|_| damaged("a grant"))?;
                Ok((arn, number, grant))
            })
            .collect()
    }
}

impl Change<'_> {
    fn fail(&self, source: rusqlite::Error) -> StoreError {
        self.store.fail(source)
    }

    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<usize, StoreError> {
        self.transaction
            .execute(sql, parameters)
            .map_err(|e| self.fail(e))
    }

    /// The moment of the change: milliseconds since 1970.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Adds material.
    ///
    /// # Errors
    /// The database's own.
    pub fn add_material(
        &mut self,
        facts: &MaterialFacts,
        material: &SecretBytes,
    ) -> Result<(), StoreError> {
        self.store.insert_material(
            self.transaction,
            &self.key.arn,
            &self.key.facts,
            facts,
            material,
            self.now,
        )
    }

    /// Gives material other facts.
    ///
    /// # Errors
    /// The database's own.
    pub fn set_material_facts(
        &mut self,
        number: i64,
        facts: &MaterialFacts,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE materials SET facts = ?2 WHERE number = ?1",
            params![number, to_json(facts)],
        )
        .map(|_| ())
    }

    /// Brings imported material back that was deleted or has expired.
    ///
    /// # Errors
    /// The database's own.
    pub fn restore_material(
        &mut self,
        number: i64,
        facts: &MaterialFacts,
        material: &SecretBytes,
    ) -> Result<(), StoreError> {
        let label = self.key.arn.as_str().as_bytes();
        let sealed = seal_record(&self.store.sealing_key, label, material.expose());
        self.execute(
            "UPDATE materials SET facts = ?2, sealed = ?3 WHERE number = ?1",
            params![number, to_json(facts), sealed],
        )
        .map(|_| ())
    }

    /// Forgets imported material; its id stays, and the key waits for it.
    ///
    /// # Errors
    /// The database's own.
    pub fn forget_material(&mut self, number: i64) -> Result<(), StoreError> {
        self.execute(
            "UPDATE materials SET sealed = NULL WHERE number = ?1",
            [number],
        )?;
        if matches!(self.key.facts.state, KeyState::Enabled | KeyState::Disabled) {
            self.key.facts.state = KeyState::PendingImport;
        }
        Ok(())
    }

    /// Removes material that never became current.
    ///
    /// # Errors
    /// The database's own.
    pub fn remove_material(&mut self, number: i64) -> Result<(), StoreError> {
        self.execute("DELETE FROM materials WHERE number = ?1", [number])
            .map(|_| ())
    }

    /// Adds a grant.
    ///
    /// # Errors
    /// The database's own.
    pub fn add_grant(&mut self, grant: &GrantRecord) -> Result<(), StoreError> {
        let arn = &self.key.arn;
        self.execute(
            "INSERT INTO grants (id, arn, account, region, retiring, facts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                grant.id,
                arn.as_str(),
                arn.account(),
                arn.region(),
                grant.retiring,
                to_json(grant)
            ],
        )
        .map(|_| ())
    }

    /// Removes a grant.
    ///
    /// # Errors
    /// The database's own.
    pub fn remove_grant(&mut self, id: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM grants WHERE id = ?1", [id])
            .map(|_| ())
    }

    /// Adds an alias to the key, which has fewer than `most` of them.
    ///
    /// # Errors
    /// The database's own.
    pub fn add_alias(
        &mut self,
        alias: &AliasArn,
        most: usize,
    ) -> Result<AliasInserted, StoreError> {
        if self.key.aliases.len() >= most {
            return Ok(AliasInserted::TooMany);
        }
        let inserted = self.execute(
            "INSERT OR IGNORE INTO aliases VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
            params![
                alias.as_str(),
                alias.account(),
                alias.region(),
                self.key.arn.as_str(),
                self.now
            ],
        )?;
        Ok(if inserted == 1 {
            AliasInserted::Done
        } else {
            AliasInserted::Taken
        })
    }

    /// Points an alias of the key `from` at this key; `false` when it has none of that name (any
    /// more).
    ///
    /// # Errors
    /// The database's own.
    pub fn take_alias(&mut self, alias: &AliasArn, from: &KeyArn) -> Result<bool, StoreError> {
        self.execute(
            "UPDATE aliases SET target = ?2, updated = ?3 WHERE arn = ?1 AND target = ?4",
            params![
                alias.as_str(),
                self.key.arn.as_str(),
                self.now,
                from.as_str()
            ],
        )
        .map(|changed| changed == 1)
    }

    /// Removes an alias of this key; `false` when it has none of that name.
    ///
    /// # Errors
    /// The database's own.
    pub fn remove_alias(&mut self, alias: &AliasArn) -> Result<bool, StoreError> {
        self.execute(
            "DELETE FROM aliases WHERE arn = ?1 AND target = ?2",
            params![alias.as_str(), self.key.arn.as_str()],
        )
        .map(|changed| changed == 1)
    }
}
