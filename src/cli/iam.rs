//! `rekeyfs iam`: users, their identity policies and access keys, with the argument names and the
//! JSON of `aws iam`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::report::{Exit, Fault};
use super::settings::Settings;
use crate::kms::Kms;
use crate::kms::caller::Caller;
use crate::kms::iam::IamError;
use crate::kms::store::{AccessKeyRecord, UserRecord};

#[derive(Args)]
pub struct Iam {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct User {
    /// The user's name
    #[arg(long)]
    user_name: String,
}

#[derive(Args)]
struct UserOrRoot {
    /// The user's name [default: the account's root user]
    #[arg(long)]
    user_name: Option<String>,
}

#[derive(Args)]
struct UserPolicy {
    #[command(flatten)]
    user: User,
    /// The policy's name
    #[arg(long)]
    policy_name: String,
}

#[derive(Subcommand)]
enum Command {
    /// Make a user, who may nothing until a policy or a grant lets him
    CreateUser {
        #[command(flatten)]
        user: User,
        /// The uid of this machine that acts as this user through a mount
        #[arg(long)]
        uid: Option<u32>,
    },
    /// Show a user
    GetUser(User),
    /// List users
    ListUsers,
    /// Remove a user without policies and access keys
    DeleteUser(User),
    /// Set an identity policy of a user
    PutUserPolicy {
        #[command(flatten)]
        policy: UserPolicy,
        /// The policy: JSON, or file://PATH
        #[arg(long)]
        policy_document: String,
    },
    /// Show an identity policy of a user
    GetUserPolicy(UserPolicy),
    /// List the identity policies of a user
    ListUserPolicies(User),
    /// Remove an identity policy of a user
    DeleteUserPolicy(UserPolicy),
    /// Make an access key for `rekeyfs serve`; its secret is shown this once
    CreateAccessKey(UserOrRoot),
    /// List access keys
    ListAccessKeys(UserOrRoot),
    /// Remove an access key
    DeleteAccessKey {
        #[command(flatten)]
        user: UserOrRoot,
        /// The key's id
        #[arg(long)]
        access_key_id: String,
    },
}

fn user(user: &UserRecord) -> Value {
    let mut out = Map::new();
    out.insert("Path".to_owned(), "/".into());
    out.insert("UserName".to_owned(), user.name.as_str().into());
    out.insert("UserId".to_owned(), user.id.as_str().into());
    out.insert("Arn".to_owned(), user.arn.as_str().into());
    out.insert(
        "CreateDate".to_owned(),
        crate::kms::iso_time(user.created).into(),
    );
    if let Some(uid) = user.uid {
        out.insert("Uid".to_owned(), uid.into());
    }
    Value::Object(out)
}

fn access_key(key: &AccessKeyRecord, secret: bool) -> Value {
    let mut out = Map::new();
    let name = key.principal.rsplit(['/', ':']).next().unwrap_or_default();
    out.insert("UserName".to_owned(), name.into());
    out.insert("AccessKeyId".to_owned(), key.id.as_str().into());
    let status = if key.active { "Active" } else { "Inactive" };
    out.insert("Status".to_owned(), status.into());
    if secret {
        // Shown once, to whoever may read the keystore: there is no other way to get it.
        let text = String::from_utf8_lossy(key.secret.expose()).into_owned();
        out.insert("SecretAccessKey".to_owned(), text.into());
    }
    out.insert(
        "CreateDate".to_owned(),
        crate::kms::iso_time(key.created).into(),
    );
    Value::Object(out)
}

/// A policy document: itself, or what is in the file that it names.
fn document(given: &str) -> Result<String, Fault> {
    match given.strip_prefix("file://") {
        None => Ok(given.to_owned()),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|e| Fault::new(Exit::Usage, format!("policy document {path}: {e}"))),
    }
}

impl Iam {
    pub fn run(&self, settings: &Settings) -> Result<(), Fault> {
        let caller = settings.caller()?;
        let kms = settings.open_or_create()?;
        let value = self.call(&kms, &caller)??;
        if value != Value::Null {
            print!("{}", super::kms::output::json(&value).text);
        }
        Ok(())
    }

    fn call(&self, kms: &Kms, caller: &Caller) -> Result<Result<Value, IamError>, Fault> {
        let nothing = |()| Value::Null;
        Ok(match &self.command {
            Command::CreateUser { user: named, uid } => kms
                .create_user(caller, &named.user_name, *uid)
                .map(|made| json!({"User": user(&made)})),
            Command::GetUser(named) => kms
                .get_user(caller, &named.user_name)
                .map(|found| json!({"User": user(&found)})),
            Command::ListUsers => kms.list_users(caller).map(|users| {
                let users: Vec<_> = users.iter().map(user).collect();
                json!({"Users": users})
            }),
            Command::DeleteUser(named) => kms.delete_user(caller, &named.user_name).map(nothing),
            Command::PutUserPolicy {
                policy,
                policy_document,
            } => {
                let text = document(policy_document)?;
                let (name, policy) = (&policy.user.user_name, &policy.policy_name);
                kms.put_user_policy(caller, name, policy, &text)
                    .map(nothing)
            }
            Command::GetUserPolicy(policy) => kms
                .user_policies(caller, &policy.user.user_name)
                .and_then(|all| {
                    let found = all
                        .into_iter()
                        .find(|(name, _)| *name == policy.policy_name);
                    let (name, text) = found.ok_or_else(|| IamError::NoSuchPolicy {
                        name: policy.policy_name.clone(),
                    })?;
                    let document: Value =
                        serde_json::from_str(&text).unwrap_or(Value::String(text));
                    Ok(json!({
                        "UserName": policy.user.user_name,
                        "PolicyName": name,
                        "PolicyDocument": document,
                    }))
                }),
            Command::ListUserPolicies(named) => {
                kms.user_policies(caller, &named.user_name).map(|all| {
                    let names: Vec<_> = all.into_iter().map(|(name, _)| name).collect();
                    json!({"PolicyNames": names})
                })
            }
            Command::DeleteUserPolicy(policy) => kms
                .delete_user_policy(caller, &policy.user.user_name, &policy.policy_name)
                .map(nothing),
            Command::CreateAccessKey(named) => kms
                .create_access_key(caller, named.user_name.as_deref())
                .map(|key| json!({"AccessKey": access_key(&key, true)})),
            Command::ListAccessKeys(named) => kms
                .list_access_keys(caller, named.user_name.as_deref())
                .map(|keys| {
                    let keys: Vec<_> = keys.iter().map(|key| access_key(key, false)).collect();
                    json!({"AccessKeyMetadata": keys})
                }),
            Command::DeleteAccessKey {
                user,
                access_key_id,
            } => kms
                .delete_access_key(caller, user.user_name.as_deref(), access_key_id)
                .map(nothing),
        })
    }
}
