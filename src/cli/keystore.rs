//! `rekeyfs keystore`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::report::{Exit, Fault};
use super::settings::Settings;
use crate::kms::rootkey::{RootKeySource, key_file};
use crate::kms::store::{Store, StoreError};
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
                let ask = || settings.passphrase("New passphrase: ");
                Store::create(&path, &RootKeySource::Passphrase(&ask))?;
                println!("keystore {}", path.display());
            }
            Command::ChangePassphrase {
                new_passphrase_file,
            } => {
                let kms = settings.open()?;
                let new = match new_passphrase_file {
                    Some(path) => read_first_line(path)?,
                    None => rpassword::prompt_password("New passphrase: ")
                        .map(|text| SecretBytes::new(text.into_bytes()))
                        .map_err(|e| Fault::new(Exit::Keystore, format!("new passphrase: {e}")))?,
                };
                if new.is_empty() {
                    return Err(Fault::new(Exit::Usage, "the new passphrase is empty"));
                }
                kms.store().set_passphrase(&new, crate::kms::now())?;
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

fn read_first_line(path: &PathBuf) -> Result<SecretBytes, StoreError> {
    let bytes = SecretBytes::new(std::fs::read(path).map_err(|source| StoreError::Io {
        path: path.clone(),
        source,
    })?);
    let line = bytes
        .expose()
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    Ok(SecretBytes::new(line.to_vec()))
}
