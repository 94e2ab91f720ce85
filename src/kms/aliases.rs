//! Aliases: CreateAlias, UpdateAlias, DeleteAlias, ListAliases.

use std::sync::Arc;

use super::Kms;
use super::audit;
use super::authorise::{Caller, Request, authorise};
use super::error::Exception;
use super::ids::{AliasArn, KeyIdentifier, is_alias_text};
use super::keys::{page_limit, seconds};
use super::shapes::{
    AliasListEntry, AliasRequest, DeleteAliasRequest, ListAliasesRequest, ListAliasesResponse,
    Nothing,
};
use super::state::{self, Needs};
use super::store::{AliasInserted, KeyRecord};

/// Aliases that one key may have.
const ALIASES_PER_KEY: i64 = 50;

/// Checks a new alias name; `alias/aws/` belongs to the service.
fn check_name(name: &str) -> Result<(), Exception> {
    if !name.starts_with("alias/") {
        return Err(Exception::alias_prefix());
    }
    if name.len() == "alias/".len() || !is_alias_text(name) {
        return Err(Exception::alias_name_invalid());
    }
    if name.starts_with("alias/aws/") {
        return Err(Exception::alias_reserved());
    }
    Ok(())
}

impl Kms {
    fn alias_target(
        &self,
        caller: &Caller,
        operation: &'static str,
        request: &AliasRequest,
    ) -> Result<(AliasArn, Arc<KeyRecord>), Exception> {
        check_name(&request.alias_name)?;
        if KeyIdentifier::parse(&request.target_key_id)?.is_alias() {
            return Err(Exception::validation(
                "Aliases must refer to keys. Not aliases",
            ));
        }
        let key = self.resolve(caller, &request.target_key_id)?;
        authorise(
            caller,
            &key,
            &Request::plain(operation, &request.target_key_id),
        )?;
        state::check(Needs::NotPendingDeletion, &key)?;
        let alias = AliasArn::new(&caller.account, &caller.region, &request.alias_name);
        Ok((alias, key))
    }

    /// CreateAlias.
    ///
    /// # Errors
    /// `AlreadyExistsException`, `LimitExceededException`, and those of the name and the key.
    pub fn create_alias(
        &self,
        caller: &Caller,
        request: &AliasRequest,
    ) -> Result<Nothing, Exception> {
        let (alias, key) = self.alias_target(caller, "CreateAlias", request)?;
        let result = (|| {
            let (account, region) = (&caller.account, &caller.region);
            let (most, now) = (ALIASES_PER_KEY, super::now());
            match self
                .store()
                .insert_alias(&alias, account, region, &key.arn, most, now)?
            {
                AliasInserted::Done => {}
                AliasInserted::Taken => return Err(Exception::alias_exists(&alias)),
                AliasInserted::TooMany => return Err(Exception::alias_limit()),
                AliasInserted::NoKey => return Err(Exception::key_not_found(&key.arn)),
            }
            Ok(Nothing {})
        })();
        audit::record("CreateAlias", caller, &[&key.arn], &result);
        result
    }

    /// UpdateAlias: to another key of the same type and usage.
    ///
    /// # Errors
    /// `NotFoundException`, `ValidationException` for a key of another type.
    pub fn update_alias(
        &self,
        caller: &Caller,
        request: &AliasRequest,
    ) -> Result<Nothing, Exception> {
        let (alias, key) = self.alias_target(caller, "UpdateAlias", request)?;
        let result = (|| {
            let old = self
                .store()
                .alias_target(&alias)?
                .ok_or_else(|| Exception::alias_not_found(&alias))?;
            if let Some(old) = self.store().key(&old, super::now())? {
                authorise(
                    caller,
                    &old,
                    &Request::plain("UpdateAlias", &request.alias_name),
                )?;
                if old.spec.is_symmetric() != key.spec.is_symmetric() {
                    return Err(Exception::validation(format!(
                        "Alias {alias} cannot be changed from a {} key to a {} key.",
                        old.spec.name(),
                        key.spec.name()
                    )));
                }
            }
            if !self.store().update_alias(&alias, &key.arn, super::now())? {
                return Err(Exception::alias_not_found(&alias));
            }
            Ok(Nothing {})
        })();
        audit::record("UpdateAlias", caller, &[&key.arn], &result);
        result
    }

    /// DeleteAlias.
    ///
    /// # Errors
    /// `NotFoundException`.
    pub fn delete_alias(
        &self,
        caller: &Caller,
        request: &DeleteAliasRequest,
    ) -> Result<Nothing, Exception> {
        check_name(&request.alias_name)?;
        let alias = AliasArn::new(&caller.account, &caller.region, &request.alias_name);
        let result = (|| {
            let target = self
                .store()
                .alias_target(&alias)?
                .ok_or_else(|| Exception::alias_not_found(&alias))?;
            if let Some(key) = self.store().key(&target, super::now())? {
                authorise(
                    caller,
                    &key,
                    &Request::plain("DeleteAlias", &request.alias_name),
                )?;
            }
            if !self.store().delete_alias(&alias, super::now())? {
                return Err(Exception::alias_not_found(&alias));
            }
            Ok(Nothing {})
        })();
        audit::record("DeleteAlias", caller, &[], &result);
        result
    }

    /// ListAliases, of one key or of all.
    ///
    /// # Errors
    /// `InvalidMarkerException`, `NotFoundException`.
    pub fn list_aliases(
        &self,
        caller: &Caller,
        request: &ListAliasesRequest,
    ) -> Result<ListAliasesResponse, Exception> {
        let limit = page_limit(request.limit)?;
        let target = request
            .key_id
            .as_deref()
            .map(|key_id| self.resolve_key_only(caller, key_id))
            .transpose()?;
        let after = match request.marker.as_deref() {
            None => String::new(),
            Some(marker) => match KeyIdentifier::parse(marker) {
                Ok(KeyIdentifier::AliasArn(arn)) => arn.to_string(),
                _ => return Err(Exception::invalid_marker()),
            },
        };
        let mut found = self.store().list_aliases(
            &caller.account,
            &caller.region,
            target.as_deref().map(|key| &key.arn),
            &after,
            limit + 1,
        )?;
        let truncated = found.len() > limit;
        found.truncate(limit);
        audit::record("ListAliases", caller, &[], &Ok(()));
        Ok(ListAliasesResponse {
            next_marker: found
                .last()
                .filter(|_| truncated)
                .map(|alias| alias.arn.to_string()),
            aliases: found
                .iter()
                .map(|alias| AliasListEntry {
                    alias_name: alias.arn.name().to_owned(),
                    alias_arn: alias.arn.to_string(),
                    target_key_id: alias.target.key_id().to_owned(),
                    creation_date: seconds(alias.created),
                    last_updated_date: seconds(alias.updated),
                })
                .collect(),
            truncated,
        })
    }
}
