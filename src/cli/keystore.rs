//! `rekeyfs keystore`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::report::Fault;
use super::settings::Settings;
use crate::kms::grants::DELAY_SETTING;
use crate::kms::rootkey::{RootKeySource, key_file};
use crate::kms::store::Store;
use crate::secret::SecretBytes;

#[derive(Args)]
pub struct Keystore {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a keystore
    Create {
        /// Protect the root key by a passphrase instead of a file
        #[arg(long)]
        passphrase: bool,
    },
    /// Protect the root key by a passphrase, or change it
    ChangePassphrase {
        /// A file whose first line is the new passphrase [default: from the terminal]
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Let new grants be effective without their token only after some seconds, as in AWS KMS
    GrantPropagationDelay {
        /// Seconds; 0 is at once [default: show what it is]
        seconds: Option<u32>,
    },
    /// Write a consistent copy of the database, also while it is in use
    Backup {
        /// The copy: must not exist
        file: PathBuf,
    },
}

impl Keystore {
    pub fn run(&self, settings: &Settings) -> Result<(), Fault> {
        let path = settings.keystore_path()?;
        match &self.command {
            Command::Create { passphrase: false } => {
                Store::create(&path, &RootKeySource::File)?;
                println!("keystore {}", path.display());
                println!("root key {}", key_file(&path).display());
            }
            Command::Create { passphrase: true } => {
                let file = settings.passphrase_source();
                let passphrase = settings.new_passphrase(file.as_deref())?;
                let ask = || Ok(SecretBytes::new(passphrase.expose().to_vec()));
                Store::create(&path, &RootKeySource::Passphrase(&ask))?;
                println!("keystore {}", path.display());
            }
            Command::ChangePassphrase {
                new_passphrase_file,
            } => {
                let kms = settings.open()?;
                let new = settings.new_passphrase(new_passphrase_file.as_deref())?;
                kms.store().set_passphrase(&new, crate::kms::now())?;
            }
            Command::GrantPropagationDelay { seconds: None } => {
                let kms = settings.open()?;
                println!("{}", kms.grant_delay()? / 1000);
            }
            Command::GrantPropagationDelay {
                seconds: Some(seconds),
            } => {
                let kms = settings.open()?;
                let milliseconds = (u64::from(*seconds) * 1000).to_string();
                kms.store()
                    .set_setting(DELAY_SETTING, &milliseconds, crate::kms::now())?;
            }
            Command::Backup { file } => {
                let kms = settings.open()?;
                kms.store().backup(file)?;
                println!("keystore {}", file.display());
                let key = key_file(&path);
                if key.exists() {
                    println!("not copied, keep it elsewhere: {}", key.display());
                }
            }
        }
        Ok(())
    }
}
