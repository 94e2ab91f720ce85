//! Aliases: CreateAlias, UpdateAlias, DeleteAlias, ListAliases.
//!
//! Each change needs two permissions: one on the alias, which only an identity policy can give,
//! and one on the key.

use super::Kms;
use super::authorise::{Ask, authorise, authorise_account, authorise_alias};
use super::call::Call;
use super::error::Exception;
use super::ids::{AliasArn, KeyArn, KeyIdentifier, is_alias_text};
use super::keys::{page_limit, seconds};
use super::shapes::{
    AliasListEntry, AliasRequest, DeleteAliasRequest, ListAliasesRequest, ListAliasesResponse,
    Nothing,
};
use super::store::AliasInserted;

/// Aliases that one key may have.
const ALIASES_PER_KEY: usize = 50;

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
    fn alias_and_key(
        &self,
        call: &mut Call<'_>,
        request: &AliasRequest,
    ) -> Result<(AliasArn, KeyArn), Exception> {
        check_name(&request.alias_name)?;
        if KeyIdentifier::parse(&request.target_key_id)?.is_alias() {
            return Err(Exception::validation(
                "Aliases must refer to keys. Not aliases",
            ));
        }
        let alias = Self::own_alias(call, &request.alias_name);
        authorise_alias(self, call, &alias)?;
        let key = self.resolve(call, call.operation, &request.target_key_id)?;
        call.concerns(&key.arn);
        // Before anything is said of the alias: only who may learns that the key is there.
        let ask = Ask::new(call.operation).named(&request.target_key_id);
        authorise(self, call, &key, &ask)?;
        Ok((alias, key.arn.clone()))
    }

    /// CreateAlias.
    ///
    /// # Errors
    /// `AlreadyExistsException`, `LimitExceededException`, and those of the name and the key.
    pub(super) fn create_alias(
        &self,
        call: &mut Call<'_>,
        request: &AliasRequest,
    ) -> Result<Nothing, Exception> {
        let (alias, arn) = self.alias_and_key(call, request)?;
        let ask = Ask::new(call.operation).named(&request.target_key_id);
        self.change(call, &arn, &ask, |change| {
            match change.add_alias(&alias, ALIASES_PER_KEY)? {
                AliasInserted::Done => Ok(Nothing {}),
                AliasInserted::Taken => Err(Exception::alias_exists(&alias)),
                AliasInserted::TooMany => Err(Exception::alias_limit()),
            }
        })
    }

    /// UpdateAlias: to another key of the same type and usage.
    ///
    /// # Errors
    /// `NotFoundException`, `ValidationException` for a key of another type.
    pub(super) fn update_alias(
        &self,
        call: &mut Call<'_>,
        request: &AliasRequest,
    ) -> Result<Nothing, Exception> {
        let (alias, arn) = self.alias_and_key(call, request)?;
        let from = self
            .store()
            .alias_target(&alias)?
            .ok_or_else(|| Exception::alias_not_found(&alias))?;
        let old = self.find(&from, call.now)?;
        if let Some(old) = &old {
            authorise(self, call, old, &Ask::new(call.operation))?;
        }
        let ask = Ask::new(call.operation).named(&request.target_key_id);
        self.change(call, &arn, &ask, |change| {
            let facts = &change.key.facts;
            if let Some(old) = &old
                && (old.facts.spec.is_symmetric() != facts.spec.is_symmetric()
                    || old.facts.usage != facts.usage)
            {
                return Err(Exception::validation(format!(
                    "Alias {alias} cannot be changed from a {} key for {} to a {} key for {}.",
                    old.facts.spec.name(),
                    old.facts.usage.name(),
                    facts.spec.name(),
                    facts.usage.name()
                )));
            }
            let others = change
                .key
                .aliases
                .iter()
                .filter(|name| *name != alias.name());
            if others.count() >= ALIASES_PER_KEY {
                return Err(Exception::alias_limit());
            }
            if change.take_alias(&alias, &from)? {
                Ok(Nothing {})
            } else {
                Err(Exception::alias_not_found(&alias))
            }
        })
    }

    /// DeleteAlias.
    ///
    /// # Errors
    /// `NotFoundException`.
    pub(super) fn delete_alias(
        &self,
        call: &mut Call<'_>,
        request: &DeleteAliasRequest,
    ) -> Result<Nothing, Exception> {
        check_name(&request.alias_name)?;
        let alias = Self::own_alias(call, &request.alias_name);
        authorise_alias(self, call, &alias)?;
        let not_found = || Exception::alias_not_found(&alias);
        let arn = self.store().alias_target(&alias)?.ok_or_else(not_found)?;
        let ask = Ask::new(call.operation);
        self.change(call, &arn, &ask, |change| {
            if change.remove_alias(&alias)? {
                Ok(Nothing {})
            } else {
                Err(not_found())
            }
        })
    }

    /// ListAliases, of one key or of all.
    ///
    /// # Errors
    /// `InvalidMarkerException`, `NotFoundException`.
    pub(super) fn list_aliases(
        &self,
        call: &mut Call<'_>,
        request: &ListAliasesRequest,
    ) -> Result<ListAliasesResponse, Exception> {
        authorise_account(self, call, &Ask::new(call.operation))?;
        let limit = page_limit(request.limit)?;
        let target = request
            .key_id
            .as_deref()
            .map(|key_id| self.resolve_key_only(call, key_id))
            .transpose()?;
        // Keys of other accounts have no aliases here, whether they exist or not.
        if let Some(key) = &target
            && key.arn.account() != call.caller.account
        {
            return Err(Exception::stranger(&call.caller.principal, call.operation));
        }
        let after = match request.marker.as_deref() {
            None => String::new(),
            Some(marker) => match KeyIdentifier::parse(marker) {
                Ok(KeyIdentifier::AliasArn(arn)) => arn.to_string(),
                _ => return Err(Exception::invalid_marker()),
            },
        };
        let mut found = self.store().list_aliases(
            &call.caller.account,
            &call.caller.region,
            target.as_deref().map(|key| &key.arn),
            &after,
            limit + 1,
        )?;
        let truncated = found.len() > limit;
        found.truncate(limit);
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
                    target_key_id: Some(alias.target.key_id().to_owned()),
                    creation_date: seconds(alias.created),
                    last_updated_date: Some(seconds(alias.updated)),
                })
                .collect(),
            truncated,
        })
    }
}
