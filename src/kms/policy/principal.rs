//! Who is named by `Principal` and `NotPrincipal`, and whether that is the caller.
//!
//! A caller is several principals at once: its account, the role of its session, and itself.
//! Source: IAM User Guide, "AWS JSON policy elements: Principal" and "NotPrincipal".

use super::super::ids::is_account;
use super::document::Effect;

/// Who calls, taken apart once for all statements.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    arn: &'a str,
    partition: &'a str,
    account: &'a str,
    /// Of a session: the name of its role, without the path.
    role: Option<&'a str>,
    identities: &'static [Identity],
}

/// One of the principals that a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    Account,
    Role,
    Itself,
}

/// How a statement's principals reach a caller, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    Nobody,
    /// Through the account, which may let its principals do what the statement allows.
    Account,
    Caller,
}

/// The principals of a statement.
#[derive(Debug, Clone)]
pub(super) enum Principals {
    /// Those that the policy hangs on.
    Attached,
    /// `Principal`.
    Only(Vec<Principal>),
    /// `NotPrincipal`.
    AllBut(Vec<Principal>),
}

/// A principal as a policy names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Principal {
    /// `*`.
    Everybody,
    /// An account and all that is in it.
    Account {
        /// The ARN of its root user.
        arn: String,
        /// `None` when the policy has the number only.
        partition: Option<String>,
        account: String,
    },
    /// A role; sessions do not have its path.
    Role {
        arn: String,
        partition: String,
        account: String,
        name: String,
    },
    /// A user, a session of a role or a federated user.
    One { arn: String },
    /// A service, an identity provider or a canonical user: none of them calls this KMS.
    Foreign,
}

impl<'a> Caller<'a> {
    /// The caller with the ARN `arn`, who belongs to `account`.
    pub(super) fn new(arn: &'a str, account: &'a str) -> Self {
        let mut fields = arn.splitn(6, ':');
        let partition = fields.nth(1).unwrap_or_default();
        let service = fields.next().unwrap_or_default();
        let resource = fields.nth(2).unwrap_or_default();
        let session = resource
            .strip_prefix("assumed-role/")
            .filter(|_| service == "sts");
        let role = session.and_then(|names| names.split('/').next());
        let identities: &[Identity] = if service == "iam" && resource == "root" {
            &[Identity::Account]
        } else if role.is_some() {
            &[Identity::Account, Identity::Role, Identity::Itself]
        } else {
            &[Identity::Account, Identity::Itself]
        };
        Self {
            arn,
            partition,
            account,
            role,
            identities,
        }
    }

    /// How a statement that names one of the caller's identities reaches the caller.
    fn reach_of(&self, identity: Identity) -> Reach {
        let is_root_user = self.identities.len() == 1;
        if identity == Identity::Account && !is_root_user {
            Reach::Account
        } else {
            Reach::Caller
        }
    }
}

impl Principals {
    /// How a statement with these principals and `effect` reaches `caller`.
    pub(super) fn reach(&self, caller: &Caller<'_>, effect: Effect) -> Reach {
        match self {
            Self::Attached => Reach::Caller,
            Self::Only(list) => caller
                .identities
                .iter()
                .filter(|identity| names(list, caller, **identity))
                .map(|identity| caller.reach_of(*identity))
                .max()
                .unwrap_or(Reach::Nobody),
            Self::AllBut(list) => {
                let mut identities = caller.identities.iter();
                let named = |identity: &Identity| names(list, caller, *identity);
                let passed_over = match effect {
                    Effect::Deny => identities.all(named),
                    Effect::Allow => identities.any(named),
                };
                if passed_over {
                    Reach::Nobody
                } else {
                    Reach::Caller
                }
            }
        }
    }

    /// The ARNs of the AWS principals among them.
    pub(super) fn arns(&self) -> impl Iterator<Item = &str> {
        let list: &[Principal] = match self {
            Self::Attached => &[],
            Self::Only(list) | Self::AllBut(list) => list,
        };
        list.iter().filter_map(Principal::arn)
    }
}

fn names(list: &[Principal], caller: &Caller<'_>, identity: Identity) -> bool {
    list.iter()
        .any(|principal| principal.names(caller, identity))
}

impl Principal {
    /// Reads a principal of the kind `AWS`; `None` when it is not one.
    ///
    /// Groups are none, and a wildcard does not stand for a part of a name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everybody);
        }
        if is_account(text) {
            return Some(Self::Account {
                arn: format!("arn:aws:iam::{text}:root"),
                partition: None,
                account: text.to_owned(),
            });
        }
        let mut fields = text.splitn(6, ':');
        let (prefix, partition, service) = (fields.next()?, fields.next()?, fields.next()?);
        let (region, account, resource) = (fields.next()?, fields.next()?, fields.next()?);
        if prefix != "arn" || !is_partition(partition) || !region.is_empty() || !is_account(account)
        {
            return None;
        }
        let arn = text.to_owned();
        if (service, resource) == ("iam", "root") {
            return Some(Self::Account {
                arn,
                partition: Some(partition.to_owned()),
                account: account.to_owned(),
            });
        }
        let (kind, path) = resource.split_once('/')?;
        let names: Vec<&str> = path.split('/').collect();
        let name = names.last().filter(|name| !name.is_empty())?;
        if !path.chars().all(is_of_a_name) {
            return None;
        }
        match (service, kind) {
            ("iam", "role") => Some(Self::Role {
                partition: partition.to_owned(),
                account: account.to_owned(),
                name: (*name).to_owned(),
                arn,
            }),
            ("iam", "user") => Some(Self::One { arn }),
            ("sts", "federated-user") if names.len() == 1 => Some(Self::One { arn }),
            ("sts", "assumed-role") if names.len() == 2 && !path.starts_with('/') => {
                Some(Self::One { arn })
            }
            _ => None,
        }
    }

    fn arn(&self) -> Option<&str> {
        match self {
            Self::Account { arn, .. } | Self::Role { arn, .. } | Self::One { arn } => Some(arn),
            Self::Everybody | Self::Foreign => None,
        }
    }

    /// Whether this names the given one of the caller's identities.
    fn names(&self, caller: &Caller<'_>, identity: Identity) -> bool {
        match (self, identity) {
            (Self::Everybody, _) => true,
            (
                Self::Account {
                    partition, account, ..
                },
                Identity::Account,
            ) => {
                account == caller.account
                    && partition
                        .as_ref()
                        .is_none_or(|partition| partition == caller.partition)
            }
            (
                Self::Role {
                    partition,
                    account,
                    name,
                    ..
                },
                Identity::Role,
            ) => {
                caller.role == Some(name.as_str())
                    && account == caller.account
                    && partition == caller.partition
            }
            (Self::Role { arn, .. } | Self::One { arn }, Identity::Itself) => arn == caller.arn,
            _ => false,
        }
    }
}

fn is_partition(text: &str) -> bool {
    text.starts_with("aws")
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

fn is_of_a_name(character: char) -> bool {
    character.is_ascii_graphic() && !"*?$\"".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "111122223333";
    const ROOT: &str = "arn:aws:iam::111122223333:root";
    const BOB: &str = "arn:aws:iam::111122223333:user/Bob";
    const ROLE: &str = "arn:aws:iam::111122223333:role/team/Reader";
    const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/Reader/monday";

    fn list(texts: &[&str]) -> Vec<Principal> {
        let parsed = texts.iter().map(|text| Principal::parse(text));
        parsed.collect::<Option<_>>().expect("principals")
    }

    fn only(texts: &[&str], caller: &str) -> Reach {
        Principals::Only(list(texts)).reach(&Caller::new(caller, ACCOUNT), Effect::Allow)
    }

    fn but(texts: &[&str], caller: &str, effect: Effect) -> Reach {
        Principals::AllBut(list(texts)).reach(&Caller::new(caller, ACCOUNT), effect)
    }

    #[test]
    fn an_account_reaches_its_root_user_itself_and_others_through_it() {
        assert_eq!(only(&[ROOT], ROOT), Reach::Caller);
        for named in [ROOT, ACCOUNT] {
            for caller in [BOB, ROLE, SESSION] {
                assert_eq!(only(&[named], caller), Reach::Account, "{named} {caller}");
            }
        }
        assert_eq!(
            only(&["arn:aws-cn:iam::111122223333:root"], BOB),
            Reach::Nobody
        );
        assert_eq!(only(&["444455556666"], BOB), Reach::Nobody);
        assert_eq!(only(&[ROOT, BOB], BOB), Reach::Caller);
    }

    #[test]
    fn a_role_reaches_its_sessions_whatever_its_path() {
        assert_eq!(only(&[ROLE], ROLE), Reach::Caller);
        assert_eq!(only(&[ROLE], SESSION), Reach::Caller);
        assert_eq!(only(&[SESSION], SESSION), Reach::Caller);
        assert_eq!(only(&[SESSION], ROLE), Reach::Nobody);
        let other = "arn:aws:sts::111122223333:assumed-role/Reader2/monday";
        assert_eq!(only(&[ROLE], other), Reach::Nobody);
        assert_eq!(
            only(
                &[SESSION],
                "arn:aws:sts::111122223333:assumed-role/Reader/x"
            ),
            Reach::Nobody
        );
    }

    #[test]
    fn a_deny_spares_only_who_is_named_with_all_identities() {
        for (named, caller, expected) in [
            (&[BOB, ROOT][..], BOB, Reach::Nobody),
            (&[BOB][..], BOB, Reach::Caller),
            (&[ROOT][..], BOB, Reach::Caller),
            (&[ROOT][..], ROOT, Reach::Nobody),
            (&["*"][..], BOB, Reach::Nobody),
            (&[SESSION, ROLE, ACCOUNT][..], SESSION, Reach::Nobody),
            (&[SESSION, ROOT][..], SESSION, Reach::Caller),
            (&[ROLE, ROOT][..], SESSION, Reach::Caller),
        ] {
            assert_eq!(
                but(named, caller, Effect::Deny),
                expected,
                "{named:?} {caller}"
            );
        }
    }

    #[test]
    fn an_allow_passes_over_who_is_named_with_any_identity() {
        for (named, caller, expected) in [
            (&[BOB][..], BOB, Reach::Nobody),
            (&[ROOT][..], BOB, Reach::Nobody),
            (&[ROLE][..], SESSION, Reach::Nobody),
            (&[ROLE][..], BOB, Reach::Caller),
        ] {
            assert_eq!(
                but(named, caller, Effect::Allow),
                expected,
                "{named:?} {caller}"
            );
        }
    }

    #[test]
    fn only_accounts_users_roles_and_sessions_are_principals() {
        for text in [
            "",
            "**",
            "11112222333",
            "1111222233334",
            "11112222333x",
            "Bob",
            "AIDACKCEVSQ6C2EXAMPLE",
            "arn",
            "arn:aws:iam::111122223333",
            "arn:aws:iam::111122223333:",
            "arn:aws:iam::111122223333:group/Developers",
            "arn:aws:iam::111122223333:user",
            "arn:aws:iam::111122223333:user/",
            "arn:aws:iam::111122223333:user/*",
            "arn:aws:iam::111122223333:user/Bo?",
            "arn:aws:iam::111122223333:user/a b",
            "arn:aws:iam::111122223333:user/${aws:username}",
            "arn:aws:iam::*:root",
            "arn:aws:iam::11112222333:root",
            "arn:aws:iam:eu-west-1:111122223333:root",
            "arn:aws:iam::111122223333:roots",
            "arn:gcp:iam::111122223333:root",
            "arn:aws:sts::111122223333:root",
            "arn:aws:sts::111122223333:assumed-role/Reader",
            "arn:aws:sts::111122223333:assumed-role/Reader/",
            "arn:aws:sts::111122223333:assumed-role//s",
            "arn:aws:sts::111122223333:assumed-role/Reader/*",
            "arn:aws:sts::111122223333:assumed-role/a/b/c",
            "arn:aws:sts::111122223333:federated-user/a/b",
            "arn:aws:kms:eu-west-1:111122223333:key/x",
        ] {
            assert_eq!(Principal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_caller_without_a_proper_arn_is_nobody_but_a_member_of_its_account() {
        for caller in ["", ":", "arn", "root", ":::::root"] {
            assert_eq!(only(&[ROOT, BOB, ROLE], caller), Reach::Nobody, "{caller}");
            assert_eq!(only(&[ACCOUNT], caller), Reach::Account, "{caller}");
        }
    }
}
