//! Who calls, and from where.

use std::net::IpAddr;
use std::sync::Arc;

use super::ids::partition;

/// The principal on whose behalf an operation runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The principal's ARN.
    pub principal: String,
    /// The account in which bare key IDs and alias names are looked up: the principal's.
    pub account: String,
    /// The Region in which the call is made.
    pub region: String,
    /// Where the call comes from.
    pub source: Arc<Source>,
}

/// Where a call comes from: for conditions and the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// The address of a caller over the network.
    pub address: Option<IpAddr>,
    /// The program that called, by its own word.
    pub user_agent: String,
    /// The access key that signed the call.
    pub access_key: Option<String>,
    /// Whether the call came over TLS.
    pub secure: bool,
    /// The id of the request, if the caller was told one.
    pub request_id: Option<String>,
    /// The stored object that the call is about.
    pub object: Option<Object>,
}

/// A stored object of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Object {
    /// Its id; absent if the call is about what is being made in it.
    pub id: Option<String>,
    /// Its path below the backing directory, of sealed names, when that is known.
    pub path: Option<String>,
}

/// The ARN of an account's root user.
pub fn root_arn(account: &str, region: &str) -> String {
    format!("arn:{}:iam::{account}:root", partition(region))
}

impl Caller {
    /// The principal with this ARN, which is one of `account`.
    pub fn new(principal: &str, account: &str, region: &str) -> Self {
        Self {
            principal: principal.to_owned(),
            account: account.to_owned(),
            region: region.to_owned(),
            source: Arc::default(),
        }
    }

    /// The account's root user in `region`.
    pub fn root(account: &str, region: &str) -> Self {
        Self::new(&root_arn(account, region), account, region)
    }

    /// Whether the caller is its account's root user, who may whatever key policies let the
    /// account do.
    pub fn is_root(&self) -> bool {
        self.principal.ends_with(":root") && self.principal == root_arn(&self.account, &self.region)
    }

    /// The same caller with another source.
    pub fn from_source(mut self, source: Source) -> Self {
        self.source = Arc::new(source);
        self
    }
}

/// The account of a principal's ARN, `arn:PARTITION:iam::ACCOUNT:..`; `None` when it is not one.
pub fn account_of(principal: &str) -> Option<&str> {
    let mut fields = principal.splitn(6, ':');
    let (prefix, partition, service) = (fields.next()?, fields.next()?, fields.next()?);
    let (region, account, resource) = (fields.next()?, fields.next()?, fields.next()?);
    let known = prefix == "arn"
        && partition.starts_with("aws")
        && matches!(service, "iam" | "sts")
        && region.is_empty()
        && super::ids::is_account(account)
        && !resource.is_empty();
    known.then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_a_principal_is_in_its_arn() {
        assert_eq!(
            account_of("arn:aws:iam::111122223333:user/team/Alice"),
            Some("111122223333")
        );
        for text in [
            "",
            "Alice",
            "arn:aws:iam::1:root",
            "arn:aws:kms::111122223333:x",
        ] {
            assert_eq!(account_of(text), None, "{text}");
        }
        assert!(Caller::root("111122223333", "cn-north-1").is_root());
        assert!(!Caller::new("arn:aws:iam::111122223333:user/root", "111122223333", "x").is_root());
    }
}
