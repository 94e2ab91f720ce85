//! An account with a key of each kind and state, made once, and copies of it.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rekeyfs::kms::Kms;
use rekeyfs::kms::api::Operation;
use rekeyfs::kms::caller::Caller;
use rekeyfs::kms::rootkey::{RootKeySource, key_file};
use rekeyfs::kms::store::Store;
use serde_json::{Value, json};

const REGION: &str = "us-east-1";
const ACCOUNT: &str = "111122223333";
const OTHER_ACCOUNT: &str = "444455556666";
const ALICE: &str = "arn:aws:iam::111122223333:user/Alice";

/// What Alice may: enough to get everywhere, under conditions.
const EVERYDAY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Resource": "*",
     "Action": ["kms:Create*", "kms:Describe*", "kms:Get*", "kms:List*", "kms:*Grant", "kms:Tag*"]},
    {"Effect": "Allow", "Resource": "arn:aws:kms:*:111122223333:key/*",
     "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"],
     "Condition": {"StringLikeIfExists": {"kms:EncryptionContext:user": "${aws:username}*"}}},
    {"Effect": "Deny", "Resource": "*", "Action": "kms:*",
     "Condition": {"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "forbidden"}}}]}"#;

/// Names of things that there are not.
const NO_KEY: &str = "NOKEY";
const NO_ALIAS: &str = "NOALIAS";
const NO_BLOB: &str = "NOBLOB";

/// What strings of a request stand for.
pub type Names = HashMap<String, String>;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The root user of the account that has the keys.
    Root,
    /// A user of that account.
    Alice,
    /// The root user of another account.
    Stranger,
}

impl Who {
    pub fn caller(self) -> Caller {
        match self {
            Self::Root => Caller::root(ACCOUNT, REGION),
            Self::Alice => Caller::new(ALICE, ACCOUNT, REGION),
            Self::Stranger => Caller::root(OTHER_ACCOUNT, REGION),
        }
    }
}

pub struct World {
    /// The account's KMS, for requests that change nothing.
    pub kms: Kms,
    pub names: Names,
    /// The same names; those of keys, aliases and blobs stand for things that there are not.
    pub absent: Names,
    directory: PathBuf,
    /// The keystore as it was made: its database and its root key.
    files: [(PathBuf, Vec<u8>); 2],
}

static WORLD: LazyLock<World> = LazyLock::new(World::make);

impl World {
    pub fn get() -> &'static Self {
        &WORLD
    }

    fn make() -> Self {
        // In memory, if the environment names no other place: each change waits to be durable.
        let parent = std::env::var_os("TMPDIR").unwrap_or_else(|| "/dev/shm".into());
        let directory = Path::new(&parent).join(format!("rekeyfs-fuzz-{}", std::process::id()));
        empty(&directory);
        let names = {
            let another = Kms::new(create(&directory.join("another.db")));
            let foreign = Maker(&another).blob(&Maker(&another).key(json!({})), json!({}));
            let kms = Kms::new(create(&directory.join("keystore.db")));
            populate(&Maker(&kms), foreign)
        };
        // The keystore is closed: all of it is in two files.
        let database = PathBuf::from("keystore.db");
        let files = [key_file(&database), database].map(|name| {
            let bytes = fs::read(directory.join(&name)).expect("a file of the keystore");
            (name, bytes)
        });
        Self {
            kms: open(&directory),
            absent: absent(&names),
            names,
            directory,
            files,
        }
    }

    /// The KMS as it was made, for one input at a time.
    pub fn copy(&self) -> Kms {
        let directory = self.directory.join("copy");
        empty(&directory);
        for (name, bytes) in &self.files {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(directory.join(name))
                .and_then(|mut file| file.write_all(bytes))
                .expect("a copy of the keystore");
        }
        open(&directory)
    }

    /// A text in which what is there cannot be told from what is not.
    pub fn without_names(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (name, there) in &self.names {
            let absent = &self.absent[name];
            if there != absent {
                out = out.replace(there, "*").replace(absent, "*");
            }
        }
        out
    }
}

/// Makes a directory in the place of what an earlier process or input left.
fn empty(directory: &Path) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir(directory).expect("a directory");
}

fn create(database: &Path) -> Store {
    Store::create(database, &RootKeySource::File).expect("a new keystore")
}

fn open(directory: &Path) -> Kms {
    let store = Store::open(&directory.join("keystore.db"), &RootKeySource::File);
    Kms::new(store.expect("a keystore"))
}

/// Makes things by the API.
struct Maker<'a>(&'a Kms);

impl Maker<'_> {
    fn call(&self, operation: &str, request: Value) -> Value {
        let operation = Operation::find(operation).expect("in the table");
        self.0
            .call(&Who::Root.caller(), operation, request)
            .unwrap_or_else(|fault| panic!("{}: {fault}", operation.name))
    }

    /// The ARN of a new key.
    fn key(&self, request: Value) -> String {
        text(&self.call("CreateKey", request)["KeyMetadata"], "Arn")
    }

    /// The ARN of a new key, with an operation on it.
    fn key_after(&self, operation: &str) -> String {
        let key = self.key(json!({}));
        self.call(operation, json!({"KeyId": key}));
        key
    }

    /// A new asymmetric key, and a blob under it.
    fn pair(&self, spec: &str, algorithm: &str) -> (String, String) {
        let key = self.key(json!({"KeySpec": spec, "KeyUsage": "ENCRYPT_DECRYPT"}));
        let blob = self.blob(&key, json!({"EncryptionAlgorithm": algorithm}));
        (key, blob)
    }

    /// Encrypts the same plaintext each time.
    fn blob(&self, key: &str, mut request: Value) -> String {
        request["KeyId"] = json!(key);
        request["Plaintext"] = json!("cGxhaW50ZXh0");
        text(&self.call("Encrypt", request), "CiphertextBlob")
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().expect("a text").to_owned()
}

/// Fills an empty account; the names of what is in it. `foreign` is a blob of another keystore.
fn populate(make: &Maker<'_>, foreign: String) -> Names {
    let root = Who::Root.caller();
    make.0
        .create_user(&root, "Alice", None)
        .and_then(|_| make.0.put_user_policy(&root, "Alice", "everyday", EVERYDAY))
        .expect("a user");

    let key = make.key(json!({"Tags": [{"TagKey": "Project", "TagValue": "Alpha"}]}));
    let old = make.blob(&key, json!({}));
    make.call("RotateKeyOnDemand", json!({"KeyId": key}));
    let blob = make.blob(&key, json!({}));
    let bound = make.blob(&key, json!({"EncryptionContext": {"user": "Alice"}}));
    make.call(
        "CreateAlias",
        json!({"AliasName": "alias/key", "TargetKeyId": key}),
    );
    let grant = make.call(
        "CreateGrant",
        json!({
            "KeyId": key, "GranteePrincipal": ALICE, "RetiringPrincipal": ALICE, "Name": "grant",
            "Operations": ["CreateGrant", "Decrypt", "ReEncryptFrom", "ReEncryptTo"],
            "Constraints": {"EncryptionContextSubset": {"user": "Alice"}},
        }),
    );
    let (rsa, rsa_blob) = make.pair("RSA_2048", "RSAES_OAEP_SHA_256");
    let (sm2, sm2_blob) = make.pair("SM2", "SM2PKE");
    let import = make.key(json!({"Origin": "EXTERNAL"}));
    let parameters = make.call(
        "GetParametersForImport",
        json!({
            "KeyId": import, "WrappingAlgorithm": "RSA_AES_KEY_WRAP_SHA_256",
            "WrappingKeySpec": "RSA_2048",
        }),
    );
    let hmac = json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"});
    let ecc = json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"});
    let arn = |resource: &str| format!("arn:aws:kms:{REGION}:{ACCOUNT}:{resource}");
    [
        ("ALICE", ALICE.to_owned()),
        ("ALIAS", arn("alias/key")),
        (NO_ALIAS, arn("alias/nil")),
        ("BLOB", blob),
        ("BOUND", bound),
        ("OLD", old),
        (NO_BLOB, foreign),
        ("RSABLOB", rsa_blob),
        ("SM2BLOB", sm2_blob),
        ("KEY", key),
        ("OTHER", make.key(json!({}))),
        ("DISABLED", make.key_after("DisableKey")),
        ("PENDING", make.key_after("ScheduleKeyDeletion")),
        ("ROTATES", make.key_after("EnableKeyRotation")),
        ("IMPORT", import),
        ("RSA", rsa),
        ("SM2", sm2),
        ("HMAC", make.key(hmac)),
        ("ECC", make.key(ecc)),
        (NO_KEY, arn("key/00000000-0000-4000-8000-000000000000")),
        ("GRANT", text(&grant, "GrantId")),
        ("TOKEN", text(&grant, "GrantToken")),
        ("IMPORTTOKEN", text(&parameters, "ImportToken")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The names of an account in which there is nothing of all that, as far as a stranger may know.
fn absent(names: &Names) -> Names {
    names
        .iter()
        .map(|(name, value)| {
            let value = instead_of(name).map_or(value, |other| &names[other]);
            (name.clone(), value.clone())
        })
        .collect()
}

/// What is named as the thing of that name would be, and is not there.
fn instead_of(name: &str) -> Option<&'static str> {
    match name {
        "ALIAS" => Some(NO_ALIAS),
        "BLOB" | "BOUND" | "OLD" => Some(NO_BLOB),
        "KEY" | "OTHER" | "DISABLED" | "PENDING" | "ROTATES" | "IMPORT" | "RSA" | "SM2"
        | "HMAC" | "ECC" => Some(NO_KEY),
        _ => None,
    }
}
