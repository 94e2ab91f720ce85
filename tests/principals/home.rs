//! A home directory, and the program that runs in it.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::temporary;

/// What the AWS CLI v1 exits with after an error.
const ERROR: i32 = 255;

/// A home directory with a keystore and nothing else.
pub struct Home {
    directory: tempfile::TempDir,
}

/// A member that is a string.
pub fn text(value: &Value, member: &str) -> String {
    let member = value[member].as_str().map(str::to_owned);
    member.unwrap_or_else(|| panic!("not in {value}"))
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Home {
    pub fn make() -> Self {
        Self {
            directory: temporary(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_rekeyfs"))
            .env_clear()
            .env("HOME", self.directory.path())
            .env("REKEYFS_KEYSTORE", self.path("keystore.db"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.path("credentials"))
            .args(arguments)
            .output()
            .expect("rekeyfs")
    }

    /// What a command that succeeds prints: JSON, or nothing.
    pub fn answer(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let said = stderr(&output);
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert_eq!(said, "", "{arguments:?}");
        if output.stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The line of a command that fails as the AWS CLI does.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(ERROR), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        said
    }

    pub fn key(&self) -> String {
        text(&self.answer(&["kms", "create-key"])["KeyMetadata"], "Arn")
    }

    pub fn create_user(&self, name: &str) {
        self.answer(&["iam", "create-user", "--user-name", name]);
    }

    pub fn put_policy(&self, name: &str, document: &str) {
        let arguments = ["--user-name", name, "--policy-name", "policy"];
        let put = [&["iam", "put-user-policy"][..], &arguments[..]].concat();
        self.answer(&[&put[..], &["--policy-document", document]].concat());
    }

    /// A new access key: its id and its secret.
    pub fn access_key(&self, name: &str) -> (String, String) {
        let made = self.answer(&["iam", "create-access-key", "--user-name", name]);
        let key = &made["AccessKey"];
        (text(key, "AccessKeyId"), text(key, "SecretAccessKey"))
    }

    /// Writes a profile of this name, the only one.
    pub fn write_profile(&self, name: &str, id: &str, secret: &str) {
        let lines =
            format!("[{name}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        std::fs::write(self.path("credentials"), lines).expect("write");
    }

    /// Every file of the keystore, in one piece.
    pub fn files(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.directory.path()).expect("list") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                all.extend(std::fs::read(path).expect("read"));
            }
        }
        all
    }
}
