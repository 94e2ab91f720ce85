//! The KMS as those see it who speak its API: operations by name, JSON in and out, and exceptions
//! by name and message.
//!
//! Knows no type of the API. A test that uses it declares `mod support` beside it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::process::Command;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rekeyfs::kms::Kms;
use rekeyfs::kms::api::Operation;
use rekeyfs::kms::caller::Caller;
use serde_json::{Value, json};

use crate::support::{keys, temporary};

/// The account of everything here.
pub const ACCOUNT: &str = "111122223333";
/// The Region of everything here.
pub const REGION: &str = "us-east-1";
/// The key states, in the order of the tables.
pub static STATES: [&str; 4] = ["Enabled", "Disabled", "PendingDeletion", "PendingImport"];
/// The material of every imported key: an import of it again is an import of the same material.
const MATERIAL: [u8; 32] = [0x42; 32];

/// The name of an exception, and its message if it has one.
pub type Fault = (&'static str, Option<String>);

/// A KMS of its own, and the root user of an account.
pub struct Service {
    kms: Arc<Kms>,
    caller: Caller,
    directory: tempfile::TempDir,
}

/// A member that is a string.
pub fn text(value: &Value, member: &str) -> String {
    value[member]
        .as_str()
        .unwrap_or_else(|| panic!("no {member} in {value}"))
        .to_owned()
}

impl Service {
    /// Makes an empty account.
    pub fn start() -> Self {
        let directory = temporary();
        let made = keys(directory.path());
        Self {
            kms: Arc::clone(&made.kms),
            caller: Caller::root(ACCOUNT, REGION),
            directory,
        }
    }

    /// Runs an operation.
    pub fn run(&self, operation: &'static Operation, request: Value) -> Result<Value, Fault> {
        self.kms
            .call(&self.caller, operation, request)
            .map_err(|e| (e.kind().name(), e.message().map(str::to_owned)))
    }

    /// Runs the operation of that name.
    pub fn call(&self, name: &str, request: Value) -> Result<Value, Fault> {
        let operation = Operation::find(name).unwrap_or_else(|| panic!("no operation {name}"));
        self.run(operation, request)
    }

    /// Runs an operation that a test needs to have succeeded.
    pub fn must(&self, name: &str, request: Value) -> Value {
        self.call(name, request)
            .unwrap_or_else(|fault| panic!("{name} failed: {fault:?}"))
    }

    /// Makes a key; its ARN.
    pub fn create(&self, request: Value) -> String {
        text(&self.must("CreateKey", request)["KeyMetadata"], "Arn")
    }

    /// What DescribeKey says of a key.
    pub fn metadata(&self, arn: &str) -> Value {
        self.must("DescribeKey", json!({"KeyId": arn}))["KeyMetadata"].clone()
    }

    /// Puts an enabled key into a state; into PendingImport, by deleting its imported material.
    pub fn put(&self, arn: &str, state: &str) {
        let (operation, request) = match state {
            "Enabled" => return,
            "Disabled" => ("DisableKey", json!({"KeyId": arn})),
            "PendingDeletion" => (
                "ScheduleKeyDeletion",
                json!({"KeyId": arn, "PendingWindowInDays": 7}),
            ),
            "PendingImport" => ("DeleteImportedKeyMaterial", json!({"KeyId": arn})),
            other => panic!("no way into the state {other}"),
        };
        self.must(operation, request);
    }

    /// The import token for a symmetric key of origin EXTERNAL, and the material that goes with
    /// it, wrapped by openssl.
    pub fn wrapped_material(&self, arn: &str) -> (String, String) {
        let parameters = self.must(
            "GetParametersForImport",
            json!({
                "KeyId": arn,
                "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
                "WrappingKeySpec": "RSA_2048",
            }),
        );
        let directory = self.directory.path();
        let public = STANDARD
            .decode(text(&parameters, "PublicKey"))
            .expect("base64");
        std::fs::write(directory.join("wrapping.der"), public).expect("write");
        std::fs::write(directory.join("material"), MATERIAL).expect("write");
        let output = Command::new("openssl")
            .args(["pkeyutl", "-encrypt", "-pubin", "-keyform", "DER"])
            .args(["-inkey", "wrapping.der", "-in", "material"])
            .args(["-out", "wrapped", "-pkeyopt", "rsa_padding_mode:oaep"])
            .args(["-pkeyopt", "rsa_oaep_md:sha256"])
            .args(["-pkeyopt", "rsa_mgf1_md:sha256"])
            .current_dir(directory)
            .output()
            .expect("openssl");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl: {complaint}");
        let wrapped = std::fs::read(directory.join("wrapped")).expect("read");
        (text(&parameters, "ImportToken"), STANDARD.encode(wrapped))
    }

    /// Gives a symmetric key of origin EXTERNAL its material.
    pub fn import_material(&self, arn: &str) {
        let (token, wrapped) = self.wrapped_material(arn);
        self.must(
            "ImportKeyMaterial",
            json!({
                "KeyId": arn,
                "ImportToken": token,
                "EncryptedKeyMaterial": wrapped,
                "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
            }),
        );
    }
}
