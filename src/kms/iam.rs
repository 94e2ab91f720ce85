//! Principals: users, their identity policies and access keys, and who a uid of this machine is.
//!
//! The operations have the names and members of AWS IAM's, as far as they serve: there are no
//! groups, roles, paths or boundaries here. They are for the keystore's owner alone and are not
//! offered over HTTP.

use serde_json::{Map, Value};

use super::Kms;
use super::audit::Event;
use super::caller::{Caller, root_arn};
use super::ids::partition;
use super::policy::{Policy, PolicyKind};
use super::store::{AccessKeyRecord, StoreError, UserRecord};
use crate::secret::SecretBytes;

/// Access keys that one principal may have.
const ACCESS_KEYS: usize = 2;
/// What an identity policy may be long, in characters that are not white space.
const LARGEST_POLICY: usize = 2048 * 3;

/// Why an operation on principals failed: the names are AWS IAM's.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each variant is")]
pub enum IamError {
    #[error("The user with name {name} cannot be found.")]
    NoSuchUser { name: String },
    #[error("User with name {name} already exists.")]
    UserExists { name: String },
    #[error("The uid {uid} acts as the user {name} already.")]
    UidTaken { uid: u32, name: String },
    #[error("The user policy with name {name} cannot be found.")]
    NoSuchPolicy { name: String },
    #[error("The Access Key with id {id} cannot be found.")]
    NoSuchAccessKey { id: String },
    #[error(
        "The specified value for {member} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
    )]
    InvalidName { member: &'static str },
    #[error("{fact}")]
    MalformedPolicy { fact: String },
    #[error("Cannot exceed quota for {what}: {most}")]
    LimitExceeded { what: &'static str, most: usize },
    #[error("Cannot delete entity, must delete {what} first.")]
    DeleteConflict { what: &'static str },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IamError {
    /// The name of the exception that AWS IAM would answer with.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoSuchUser { .. } | Self::NoSuchPolicy { .. } | Self::NoSuchAccessKey { .. } => {
                "NoSuchEntity"
            }
            Self::UserExists { .. } | Self::UidTaken { .. } => "EntityAlreadyExists",
            Self::InvalidName { .. } => "ValidationError",
            Self::MalformedPolicy { .. } => "MalformedPolicyDocument",
            Self::LimitExceeded { .. } => "LimitExceeded",
            Self::DeleteConflict { .. } => "DeleteConflict",
            Self::Store(_) => "ServiceFailure",
        }
    }
}

fn check_name(member: &'static str, name: &str, most: usize) -> Result<(), IamError> {
    let fine = !name.is_empty()
        && name.len() <= most
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte));
    if fine {
        Ok(())
    } else {
        Err(IamError::InvalidName { member })
    }
}

/// A unique id as AWS makes them: a prefix, and 17 or 16 letters and digits of base 32.
fn unique_id(prefix: &str, letters: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let random = crate::primitives::random::<32>();
    let mut out = prefix.to_owned();
    out.extend(
        random
            .iter()
            .take(letters)
            .map(|byte| char::from(ALPHABET[usize::from(byte % 32)])),
    );
    out
}

impl Kms {
    fn iam_record<T>(
        &self,
        caller: &Caller,
        operation: &'static str,
        members: &[(&str, &str)],
        result: &Result<T, IamError>,
    ) {
        let Some(audit) = self.audit() else { return };
        let parameters: Map<String, Value> = members
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
            .collect();
        let error = result
            .as_ref()
            .err()
            .map(|e| (e.name().to_owned(), e.to_string()));
        audit.record(Event::of_iam(operation, caller, parameters, error));
    }

    /// CreateUser; `uid` is the user of this machine that acts as the new one through a mount.
    ///
    /// # Errors
    /// [`IamError::UserExists`], [`IamError::UidTaken`], [`IamError::InvalidName`].
    pub fn create_user(
        &self,
        caller: &Caller,
        name: &str,
        uid: Option<u32>,
    ) -> Result<UserRecord, IamError> {
        let result = (|| {
            self.store().refresh()?;
            check_name("userName", name, 64)?;
            // Such names are those of uids that have no other.
            if let Some(number) = name.strip_prefix("uid-")
                && uid.is_none_or(|uid| uid.to_string() != number)
            {
                return Err(IamError::InvalidName { member: "userName" });
            }
            // The root user is there already, and uid 0 always acts as it.
            if name == "root" {
                let name = name.to_owned();
                return Err(IamError::UserExists { name });
            }
            if uid == Some(0) {
                let name = "root".to_owned();
                return Err(IamError::UidTaken { uid: 0, name });
            }
            let user = UserRecord {
                arn: user_arn(&caller.account, &caller.region, name),
                account: caller.account.clone(),
                name: name.to_owned(),
                id: unique_id("AIDA", 17),
                uid,
                created: super::now(),
            };
            if self.store().insert_user(&user)? {
                return Ok(user);
            }
            let taken = uid
                .map(|uid| self.store().user_of_uid(&caller.account, uid))
                .transpose()?
                .flatten();
            Err(match (taken, uid) {
                (Some(other), Some(uid)) if other.name != name => IamError::UidTaken {
                    uid,
                    name: other.name,
                },
                _ => IamError::UserExists {
                    name: name.to_owned(),
                },
            })
        })();
        self.iam_record(caller, "CreateUser", &[("userName", name)], &result);
        result
    }

    fn user(&self, caller: &Caller, name: &str) -> Result<UserRecord, IamError> {
        self.store().refresh()?;
        self.store()
            .user(&caller.account, name)?
            .ok_or_else(|| IamError::NoSuchUser {
                name: name.to_owned(),
            })
    }

    /// GetUser.
    ///
    /// # Errors
    /// [`IamError::NoSuchUser`].
    pub fn get_user(&self, caller: &Caller, name: &str) -> Result<UserRecord, IamError> {
        self.user(caller, name)
    }

    /// ListUsers.
    ///
    /// # Errors
    /// The keystore's own.
    pub fn list_users(&self, caller: &Caller) -> Result<Vec<UserRecord>, IamError> {
        Ok(self.store().list_users(&caller.account)?)
    }

    /// DeleteUser, who must have neither policies nor access keys left.
    ///
    /// # Errors
    /// [`IamError::NoSuchUser`], [`IamError::DeleteConflict`].
    pub fn delete_user(&self, caller: &Caller, name: &str) -> Result<(), IamError> {
        let result = (|| {
            let user = self.user(caller, name)?;
            if !self.store().user_policies(&user.arn)?.is_empty() {
                return Err(IamError::DeleteConflict { what: "policies" });
            }
            if !self.store().access_keys_of(&user.arn)?.is_empty() {
                return Err(IamError::DeleteConflict {
                    what: "access keys",
                });
            }
            self.store().delete_user(&user.arn, super::now())?;
            Ok(())
        })();
        self.iam_record(caller, "DeleteUser", &[("userName", name)], &result);
        result
    }

    /// PutUserPolicy.
    ///
    /// # Errors
    /// [`IamError::MalformedPolicy`], [`IamError::NoSuchUser`].
    pub fn put_user_policy(
        &self,
        caller: &Caller,
        name: &str,
        policy_name: &str,
        document: &str,
    ) -> Result<(), IamError> {
        let result = (|| {
            let user = self.user(caller, name)?;
            check_name("policyName", policy_name, 128)?;
            let length = document.chars().filter(|c| !c.is_whitespace()).count();
            if length > LARGEST_POLICY {
                return Err(IamError::LimitExceeded {
                    what: "PolicySize",
                    most: LARGEST_POLICY,
                });
            }
            Policy::parse(document, PolicyKind::Identity).map_err(|e| {
                IamError::MalformedPolicy {
                    fact: e.to_string(),
                }
            })?;
            self.store()
                .put_user_policy(&user.arn, policy_name, document, super::now())?;
            Ok(())
        })();
        let members = [
            ("userName", name),
            ("policyName", policy_name),
            ("policyDocument", document),
        ];
        self.iam_record(caller, "PutUserPolicy", &members, &result);
        result
    }

    /// GetUserPolicy and ListUserPolicies: documents by name.
    ///
    /// # Errors
    /// [`IamError::NoSuchUser`].
    pub fn user_policies(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Vec<(String, String)>, IamError> {
        let user = self.user(caller, name)?;
        Ok(self.store().user_policies(&user.arn)?)
    }

    /// DeleteUserPolicy.
    ///
    /// # Errors
    /// [`IamError::NoSuchUser`], [`IamError::NoSuchPolicy`].
    pub fn delete_user_policy(
        &self,
        caller: &Caller,
        name: &str,
        policy_name: &str,
    ) -> Result<(), IamError> {
        let result = (|| {
            let user = self.user(caller, name)?;
            if self
                .store()
                .delete_user_policy(&user.arn, policy_name, super::now())?
            {
                return Ok(());
            }
            Err(IamError::NoSuchPolicy {
                name: policy_name.to_owned(),
            })
        })();
        let members = [("userName", name), ("policyName", policy_name)];
        self.iam_record(caller, "DeleteUserPolicy", &members, &result);
        result
    }

    /// The ARN of a user, or of the account's root user when no name is given.
    fn principal_named(&self, caller: &Caller, name: Option<&str>) -> Result<String, IamError> {
        match name {
            Some(name) => Ok(self.user(caller, name)?.arn),
            None => Ok(root_arn(&caller.account, &caller.region)),
        }
    }

    /// CreateAccessKey, of a user or of the account's root user. The secret is shown this once.
    ///
    /// # Errors
    /// [`IamError::NoSuchUser`], [`IamError::LimitExceeded`].
    pub fn create_access_key(
        &self,
        caller: &Caller,
        name: Option<&str>,
    ) -> Result<AccessKeyRecord, IamError> {
        let result = (|| {
            let principal = self.principal_named(caller, name)?;
            if self.store().access_keys_of(&principal)?.len() >= ACCESS_KEYS {
                return Err(IamError::LimitExceeded {
                    what: "AccessKeysPerUser",
                    most: ACCESS_KEYS,
                });
            }
            let key = fresh_access_key(&principal, &caller.account);
            self.store().insert_access_key(&key)?;
            Ok(key)
        })();
        let members = name.map(|name| ("userName", name));
        self.iam_record(caller, "CreateAccessKey", members.as_slice(), &result);
        result
    }

    /// ListAccessKeys.
    ///
    /// # Errors
    /// [`IamError::NoSuchUser`].
    pub fn list_access_keys(
        &self,
        caller: &Caller,
        name: Option<&str>,
    ) -> Result<Vec<AccessKeyRecord>, IamError> {
        let principal = self.principal_named(caller, name)?;
        Ok(self.store().access_keys_of(&principal)?)
    }

    /// DeleteAccessKey.
    ///
    /// # Errors
    /// [`IamError::NoSuchUser`], [`IamError::NoSuchAccessKey`].
    pub fn delete_access_key(
        &self,
        caller: &Caller,
        name: Option<&str>,
        id: &str,
    ) -> Result<(), IamError> {
        let result = (|| {
            let principal = self.principal_named(caller, name)?;
            if self
                .store()
                .delete_access_key(&principal, id, super::now())?
            {
                return Ok(());
            }
            Err(IamError::NoSuchAccessKey { id: id.to_owned() })
        })();
        self.iam_record(caller, "DeleteAccessKey", &[("accessKeyId", id)], &result);
        result
    }

    /// The access key with this id, for whoever checks a signature.
    ///
    /// # Errors
    /// The keystore's own.
    pub fn access_key(
        &self,
        id: &str,
    ) -> Result<Option<std::sync::Arc<AccessKeyRecord>>, super::error::Exception> {
        if let Some(lent) = self.lent.lock().get(id) {
            return Ok(Some(std::sync::Arc::clone(lent)));
        }
        self.store().refresh()?;
        Ok(self.store().access_key(id)?)
    }

    /// Makes an access key that only this process knows, and that ends with it.
    pub fn lend_access_key(&self, caller: &Caller) -> std::sync::Arc<AccessKeyRecord> {
        let key = std::sync::Arc::new(fresh_access_key(&caller.principal, &caller.account));
        let lent = std::sync::Arc::clone(&key);
        self.lent.lock().insert(key.id.clone(), lent);
        key
    }

    /// The principal that a uid of this machine is in an account: the user it is mapped to, else
    /// the user of its own name, else one named after its number.
    ///
    /// # Errors
    /// The keystore's own.
    pub fn principal_of_uid(
        &self,
        account: &str,
        region: &str,
        uid: u32,
    ) -> Result<String, super::error::Exception> {
        self.store().refresh()?;
        if let Some(user) = self.store().user_of_uid(account, uid)? {
            return Ok(user.arn);
        }
        // A name that is another uid's here is not its own, whatever it is called elsewhere.
        let own =
            crate::sys::user_name(uid).filter(|name| check_name("userName", name, 64).is_ok());
        if let Some(name) = own {
            let known = self.store().user(account, &name)?;
            if known.is_none_or(|user| user.uid.is_none()) {
                return Ok(user_arn(account, region, &name));
            }
        }
        Ok(user_arn(account, region, &format!("uid-{uid}")))
    }

    /// Whether a name is that of a user of this machine, who is a principal without being made one.
    pub(super) fn is_local_user(&self, name: &str) -> bool {
        crate::sys::user_exists(name)
    }
}

fn user_arn(account: &str, region: &str, name: &str) -> String {
    format!("arn:{}:iam::{account}:user/{name}", partition(region))
}

fn fresh_access_key(principal: &str, account: &str) -> AccessKeyRecord {
    use base64::Engine;
    let random = SecretBytes::new(crate::primitives::random::<30>().to_vec());
    let encoded = base64::engine::general_purpose::STANDARD.encode(random.expose());
    AccessKeyRecord {
        id: unique_id("AKIA", 16),
        principal: principal.to_owned(),
        account: account.to_owned(),
        active: true,
        created: super::now(),
        secret: SecretBytes::new(encoded.into_bytes()),
    }
}
