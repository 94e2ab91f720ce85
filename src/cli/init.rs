//! `rekeyfs init`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::report::{Exit, Fault};
use super::settings::Settings;
use crate::codec::hex;
use crate::kms::Kms;
use crate::kms::api::Operation;
use crate::kms::service::{Caller, EncryptionAlgorithm, Exception, ExceptionKind, parse_context};
use crate::volume::backing::System;
use crate::volume::{InitOptions, Volume};

/// The alias of the key that is made when none is named.
const DEFAULT_ALIAS: &str = "alias/rekeyfs";

#[derive(Args)]
pub struct Init {
    /// The backing directory: new or empty
    dir: PathBuf,
    /// The KMS key of the root directory and of what is made below [default: alias/rekeyfs]
    #[arg(long, value_name = "KEY")]
    key_id: Option<String>,
    /// k=v,.. or JSON [default: the volume id]
    #[arg(long, value_name = "CONTEXT")]
    encryption_context: Option<String>,
    /// Needed for an asymmetric key
    #[arg(long, value_name = "ALGORITHM", default_value = "SYMMETRIC_DEFAULT")]
    encryption_algorithm: String,
    /// Bytes of a header slot: 4096, 8192, 16384 or 32768
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    header_size: u32,
}

impl Init {
    pub fn run(&self, settings: &Settings) -> Result<(), Fault> {
        let algorithm =
            EncryptionAlgorithm::parse(&self.encryption_algorithm).ok_or_else(|| {
                Fault::new(
                    Exit::Usage,
                    format!(
                        "encryption algorithm {:?}: not known",
                        self.encryption_algorithm
                    ),
                )
                .hint("SYMMETRIC_DEFAULT, RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256 or SM2PKE")
            })?;
        let slot_class = (0..4)
            .find(|class| 4096 << class == self.header_size)
            .ok_or_else(|| {
                Fault::new(
                    Exit::Usage,
                    format!("header size {}: not possible", self.header_size),
                )
                .hint("--header-size 4096, 8192, 16384 or 32768")
            })?;
        let context = self
            .encryption_context
            .as_deref()
            .map(parse_context)
            .transpose()?;
        let caller = settings.caller()?;
        let kms = settings.open_or_create()?;
        let key_id = match &self.key_id {
            Some(key_id) => key_id.clone(),
            None => default_key(&kms, &caller)?,
        };
        let options = InitOptions {
            key_id,
            algorithm,
            context,
            slot_class,
        };
        let made = Volume::init(&System, &*kms, &caller, &self.dir, &options)?;
        println!("volume {}", hex(&made.id));
        println!("key {}", made.key_arn);
        Ok(())
    }
}

/// Makes the default key, or finds it.
fn default_key(kms: &Kms, caller: &Caller) -> Result<String, Fault> {
    let call = |name: &str, request: Value| {
        let operation = Operation::find(name).ok_or_else(Exception::unknown_operation)?;
        kms.call(caller, operation, request)
    };
    let text = |response: &Value, member: &str| {
        let value = &response["KeyMetadata"][member];
        value.as_str().unwrap_or_default().to_owned()
    };
    let describe = || call("DescribeKey", json!({"KeyId": DEFAULT_ALIAS}));
    match describe() {
        Ok(found) => return Ok(text(&found, "Arn")),
        Err(e) if e.kind() == ExceptionKind::NotFound => {}
        Err(e) => return Err(e.into()),
    }
    let made = call("CreateKey", json!({"Description": "made by rekeyfs init"}))?;
    let alias = json!({"AliasName": DEFAULT_ALIAS, "TargetKeyId": text(&made, "KeyId")});
    match call("CreateAlias", alias) {
        Ok(_) => Ok(text(&made, "Arn")),
        // Another process was faster: its key is the default one.
        Err(e) if e.kind() == ExceptionKind::AlreadyExists => Ok(text(&describe()?, "Arn")),
        Err(e) => Err(e.into()),
    }
}
