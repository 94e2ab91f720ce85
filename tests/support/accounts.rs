//! A keystore with two accounts: their users, what these may, and the texts of refusals.
//!
//! A test that uses it declares `mod support` and `mod requests` beside it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};

use rekeyfs::kms::Kms;
use rekeyfs::kms::api::Operation;
use rekeyfs::kms::caller::Caller;
use rekeyfs::kms::rootkey::RootKeySource;
use rekeyfs::kms::store::Store;
use serde_json::{Value, json};

use crate::requests::with;
use crate::support::temporary;

/// The account that owns keys.
pub const OWNER: &str = "111122223333";
/// The account that would like to use them.
pub const OTHER: &str = "444455556666";
pub const REGION: &str = "us-east-1";

/// The name of an exception, and its message if it has one.
pub type Fault = (&'static str, Option<String>);
pub type Answer = Result<Value, Fault>;

/// A keystore of its own.
pub struct World {
    pub kms: Kms,
    directory: tempfile::TempDir,
}

/// A grant that was made.
pub struct Grant {
    pub id: String,
    pub token: String,
}

/// An account's root user.
pub fn root(account: &str) -> Caller {
    Caller::root(account, REGION)
}

/// The root user of the account that a key is in.
pub fn owner_of(key: &str) -> Caller {
    root(key.split(':').nth(4).expect("an ARN"))
}

/// A member that is a string.
pub fn text(value: &Value, member: &str) -> String {
    value[member]
        .as_str()
        .unwrap_or_else(|| panic!("no {member} in {value}"))
        .to_owned()
}

/// Runs the operation of that name.
pub fn call(kms: &Kms, caller: &Caller, name: &str, request: Value) -> Answer {
    let operation = Operation::find(name).unwrap_or_else(|| panic!("no operation {name}"));
    kms.call(caller, operation, request)
        .map_err(|e| (e.kind().name(), e.message().map(str::to_owned)))
}

/// Whether an operation was not refused for want of a permission.
pub fn is_let_in(answer: &Answer) -> bool {
    !matches!(answer, Err(("AccessDeniedException", _)))
}

/// A statement of an identity policy that allows actions on everything.
pub fn allow(actions: &str) -> Value {
    json!({"Effect": "Allow", "Action": actions, "Resource": "*"})
}

/// A statement of an identity policy that denies actions on everything.
pub fn deny(actions: &str) -> Value {
    json!({"Effect": "Deny", "Action": actions, "Resource": "*"})
}

/// The statement as one of a key policy.
pub fn to(principal: &str, statement: Value) -> Value {
    with(statement, &json!({"Principal": {"AWS": principal}}))
}

/// The statement under a condition, if there is one.
pub fn when(condition: &Value, statement: Value) -> Value {
    if condition.as_object().is_none_or(serde_json::Map::is_empty) {
        return statement;
    }
    with(statement, &json!({"Condition": condition}))
}

/// The statement of the default key policy: the account's identity policies decide.
pub fn delegation(account: &str) -> Value {
    to(&root(account).principal, allow("kms:*"))
}

/// A policy of these statements.
pub fn policy(statements: &[Value]) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

impl World {
    pub fn start() -> Self {
        Self::make(|kms, _| kms)
    }

    /// `finish` gets the KMS and the path of its keystore.
    pub fn make(finish: impl FnOnce(Kms, &Path) -> Kms) -> Self {
        let directory = temporary();
        let path = directory.path().join("keystore.db");
        let store = Store::create(&path, &RootKeySource::File).expect("a keystore");
        Self {
            kms: finish(Kms::new(store), &path),
            directory,
        }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn keystore(&self) -> PathBuf {
        self.kms.store().path().to_owned()
    }

    pub fn call(&self, caller: &Caller, name: &str, request: Value) -> Answer {
        call(&self.kms, caller, name, request)
    }

    /// Runs an operation that a test needs to have succeeded.
    pub fn must(&self, caller: &Caller, name: &str, request: Value) -> Value {
        self.call(caller, name, request)
            .unwrap_or_else(|fault| panic!("{name} failed: {fault:?}"))
    }

    /// Makes a user.
    pub fn user(&self, account: &str, name: &str) -> Caller {
        let user = self.kms.create_user(&root(account), name, None);
        Caller::new(&user.expect("a user").arn, account, REGION)
    }

    /// Gives a user an identity policy in the place of the one before.
    pub fn let_user(&self, user: &Caller, statements: &[Value]) {
        let name = user.principal.rsplit('/').next().expect("a name");
        self.kms
            .put_user_policy(&root(&user.account), name, "policy", &policy(statements))
            .expect("a policy");
    }

    /// Makes a key of the first account.
    pub fn key(&self, request: Value) -> String {
        self.key_of(&root(OWNER), request)
    }

    pub fn key_of(&self, caller: &Caller, request: Value) -> String {
        text(
            &self.must(caller, "CreateKey", request)["KeyMetadata"],
            "Arn",
        )
    }

    /// Gives a key a policy of the usual delegation and other statements.
    pub fn let_key(&self, key: &str, statements: &[Value]) {
        let owner = owner_of(key);
        let mut all = vec![delegation(&owner.account)];
        all.extend_from_slice(statements);
        let request = json!({"KeyId": key, "Policy": policy(&all)});
        self.must(&owner, "PutKeyPolicy", request);
    }

    /// A ciphertext of a symmetric key, made by its owner.
    pub fn seal(&self, key: &str, context: &Value) -> String {
        let request = json!({
            "KeyId": key,
            "Plaintext": crate::requests::PLAINTEXT,
            "EncryptionContext": context,
        });
        text(
            &self.must(&owner_of(key), "Encrypt", request),
            "CiphertextBlob",
        )
    }

    /// A grant, made by the owner of the key.
    pub fn grant(&self, key: &str, grantee: &str, operations: &[&str], more: &Value) -> Grant {
        let request = json!({
            "KeyId": key,
            "GranteePrincipal": grantee,
            "Operations": operations,
        });
        let made = self.must(&owner_of(key), "CreateGrant", with(request, more));
        Grant {
            id: text(&made, "GrantId"),
            token: text(&made, "GrantToken"),
        }
    }
}

fn denied(caller: &Caller, action: &str, rest: &str) -> Fault {
    let principal = &caller.principal;
    let message = format!("User: {principal} is not authorized to perform: kms:{action} on {rest}");
    ("AccessDeniedException", Some(message))
}

/// In the account of the key, which delegates: no identity policy allows it.
pub fn no_identity_policy(caller: &Caller, action: &str, resource: &str) -> Fault {
    let reason = format!("no identity-based policy allows the kms:{action} action");
    denied(
        caller,
        action,
        &format!("resource: {resource} because {reason}"),
    )
}

/// In the account of the key, which does not delegate.
pub fn no_key_policy(caller: &Caller, action: &str, resource: &str) -> Fault {
    let reason = format!("no resource-based policy allows the kms:{action} action");
    denied(
        caller,
        action,
        &format!("resource: {resource} because {reason}"),
    )
}

/// In the account of the key: an identity policy denies it.
pub fn identity_policy_denies(caller: &Caller, action: &str, resource: &str) -> Fault {
    let reason = "with an explicit deny in an identity-based policy";
    denied(caller, action, &format!("resource: {resource} {reason}"))
}

/// In the account of the key: the key policy denies it.
pub fn key_policy_denies(caller: &Caller, action: &str, resource: &str) -> Fault {
    let reason = "with an explicit deny in a resource-based policy";
    denied(caller, action, &format!("resource: {resource} {reason}"))
}

const NOT_SAID: &str = "because the resource does not exist in this Region, no resource-based \
    policies allow access, or a resource-based policy explicitly denies access";

/// From another account: nothing is said of the key.
pub fn stranger(caller: &Caller, action: &str) -> Fault {
    denied(caller, action, &format!("this resource {NOT_SAID}"))
}

/// The key is named by the ciphertext alone: nothing is said of it.
pub fn of_ciphertext(caller: &Caller, action: &str) -> Fault {
    let resource = "the resource associated with this ciphertext";
    denied(caller, action, &format!("{resource} {NOT_SAID}"))
}
