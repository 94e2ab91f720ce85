//! What every command shares: the keystore, its root key, account and Region.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::kms::profile::Profile;
use super::report::{Exit, Fault};
use crate::kms::Kms;
use crate::kms::audit::{AuditLog, log_path};
use crate::kms::caller::{Caller, Source, account_of};
use crate::kms::ids::{is_account, is_region};
use crate::kms::rootkey::RootKeySource;
use crate::kms::store::{Store, StoreError};
use crate::secret::SecretBytes;

/// Where `--help` shows them.
const EVERY: &str = "Options of every command";

/// Options of every command.
#[derive(Args)]
pub struct Settings {
    /// The keystore [default: $REKEYFS_KEYSTORE, or $XDG_DATA_HOME/rekeyfs/keystore.db]
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERY)]
    pub keystore: Option<PathBuf>,
    /// A file whose first line is the keystore's passphrase [default: $REKEYFS_PASSPHRASE_FILE]
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERY)]
    pub passphrase_file: Option<PathBuf>,
    /// Account of bare key IDs, aliases and new keys [default: $AWS_ACCOUNT_ID, or 000000000000]
    #[arg(long, global = true, help_heading = EVERY)]
    pub account: Option<String>,
    /// Region of bare key IDs, aliases and new keys [default: $AWS_DEFAULT_REGION, the profile's, $AWS_REGION, or us-east-1]
    #[arg(long, global = true, help_heading = EVERY)]
    pub region: Option<String>,
    /// The ARN of the principal that calls [default: the account's root user]; in `audit` the one
    /// whose events are shown
    #[arg(long, global = true, value_name = "ARN", help_heading = EVERY)]
    pub principal: Option<String>,
}

/// What of a process's operations goes into the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recording {
    /// Everything but what ordinary opens and creates of a mount need.
    #[default]
    Changes,
    /// Everything.
    Everything,
    /// Nothing.
    Nothing,
}

/// The Region of local commands: the one that the AWS CLI would take, else what only SDKs read.
pub fn local_region(of_the_cli: Option<String>) -> String {
    of_the_cli
        .or_else(|| variable("AWS_REGION"))
        .unwrap_or_else(|| "us-east-1".to_owned())
}

/// An environment variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Settings {
    /// The path of the keystore.
    ///
    /// # Errors
    /// When no home directory is known.
    pub fn keystore_path(&self) -> Result<PathBuf, Fault> {
        if let Some(path) = self
            .keystore
            .clone()
            .or_else(|| variable("REKEYFS_KEYSTORE").map(PathBuf::from))
        {
            return Ok(std::path::absolute(&path).unwrap_or(path));
        }
        let data = variable("XDG_DATA_HOME").map(PathBuf::from).or_else(|| {
            variable("HOME").map(|home| PathBuf::from(home).join(".local").join("share"))
        });
        data.map(|data| data.join("rekeyfs").join("keystore.db"))
            .ok_or_else(|| {
                Fault::new(
                    Exit::Keystore,
                    "no keystore: neither HOME nor XDG_DATA_HOME is set",
                )
                .hint("rekeyfs --keystore FILE ..")
            })
    }

    /// The file that the passphrase comes from, if one is named.
    pub fn passphrase_source(&self) -> Option<PathBuf> {
        self.passphrase_file
            .clone()
            .or_else(|| variable("REKEYFS_PASSPHRASE_FILE").map(PathBuf::from))
    }

    /// Asks for the passphrase: from its file, else from the terminal.
    ///
    /// # Errors
    /// [`StoreError::PassphraseNeeded`] without either.
    pub fn passphrase(&self, prompt: &str) -> Result<SecretBytes, StoreError> {
        if let Some(path) = self.passphrase_source() {
            return first_line(&path);
        }
        Self::prompt(prompt).map_err(|_| StoreError::PassphraseNeeded {
            path: self.keystore.clone().unwrap_or_else(|| "keystore".into()),
        })
    }

    /// Asks at the terminal.
    fn prompt(prompt: &str) -> std::io::Result<SecretBytes> {
        rpassword::prompt_password(prompt).map(|text| SecretBytes::new(text.into_bytes()))
    }

    /// Asks for a new passphrase, twice at a terminal: a typing error would lock everything up.
    ///
    /// # Errors
    /// An empty passphrase, two different ones, or nobody to ask.
    pub fn new_passphrase(&self, file: Option<&Path>) -> Result<SecretBytes, Fault> {
        let fault = |fact: &str| Fault::new(Exit::Usage, format!("new passphrase: {fact}"));
        let new = match file {
            Some(path) => first_line(path)?,
            None => {
                let ask = |prompt| Self::prompt(prompt).map_err(|e| fault(&e.to_string()));
                let new = ask("New passphrase: ")?;
                if new.expose() != ask("Once more: ")?.expose() {
                    return Err(fault("the two are not the same"));
                }
                new
            }
        };
        if new.is_empty() {
            return Err(fault("is empty"));
        }
        Ok(new)
    }

    /// Opens the keystore.
    ///
    /// # Errors
    /// The store's.
    pub fn open(&self) -> Result<Arc<Kms>, Fault> {
        self.open_recording(Recording::default())
    }

    /// Opens the keystore, if nobody has to be asked for its passphrase.
    ///
    /// # Errors
    /// The store's; that a passphrase is needed.
    pub fn open_unasked(&self) -> Result<Arc<Kms>, Fault> {
        let path = self.keystore_path()?;
        let file = self.passphrase_source();
        let read = || match &file {
            Some(file) => first_line(file),
            None => Err(StoreError::PassphraseNeeded { path: path.clone() }),
        };
        let store = Store::open(&path, &RootKeySource::Passphrase(&read))?;
        Ok(recorded(store, Recording::default()))
    }

    /// Opens the keystore, with another choice of what is recorded.
    ///
    /// # Errors
    /// The store's.
    pub fn open_recording(&self, recording: Recording) -> Result<Arc<Kms>, Fault> {
        let path = self.keystore_path()?;
        Ok(recorded(self.open_store(&path)?, recording))
    }

    /// Opens the keystore, or makes one with a root key file.
    ///
    /// # Errors
    /// The store's.
    pub fn open_or_create(&self) -> Result<Arc<Kms>, Fault> {
        let path = self.keystore_path()?;
        match self.open_store(&path) {
            Err(StoreError::Missing { .. }) => {}
            result => return Ok(recorded(result?, Recording::default())),
        }
        let store = match Store::create(&path, &RootKeySource::File) {
            // Another process was faster.
            Err(StoreError::Exists { .. }) => self.open_store(&path),
            result => result,
        };
        Ok(recorded(store?, Recording::default()))
    }

    fn open_store(&self, path: &Path) -> Result<Store, StoreError> {
        let ask = || self.passphrase("Passphrase of the keystore: ");
        Store::open(path, &RootKeySource::Passphrase(&ask))
    }

    /// The caller of local commands: `--principal`, else the account's root.
    ///
    /// # Errors
    /// For an account or Region that cannot be one.
    pub fn caller(&self) -> Result<Caller, Fault> {
        let principal = self
            .principal
            .as_deref()
            .map(|arn| {
                account_of(arn)
                    .map(|account| (arn, account))
                    .ok_or_else(|| {
                        Fault::new(
                            Exit::Usage,
                            format!("principal {arn:?}: not a principal's ARN"),
                        )
                        .hint("--principal arn:aws:iam::ACCOUNT:user/NAME")
                    })
            })
            .transpose()?;
        let account = self
            .account
            .clone()
            .or_else(|| principal.map(|(_, account)| account.to_owned()))
            .or_else(|| variable("AWS_ACCOUNT_ID"))
            .unwrap_or_else(|| "000000000000".to_owned());
        let region = match &self.region {
            Some(region) => region.clone(),
            None => local_region(Profile::read(None)?.region(None)),
        };
        if !is_account(&account) {
            return Err(Fault::new(
                Exit::Usage,
                format!("account {account:?}: not 12 digits"),
            ));
        }
        if !is_region(&region) {
            return Err(Fault::new(
                Exit::Usage,
                format!("Region {region:?}: not a Region's name"),
            ));
        }
        let caller = match principal {
            Some((arn, account)) => Caller::new(arn, account, &region),
            None => Caller::root(&account, &region),
        };
        Ok(caller.from_source(Source {
            user_agent: concat!("rekeyfs/", env!("CARGO_PKG_VERSION")).to_owned(),
            ..Source::default()
        }))
    }
}

/// The KMS over a store, with its audit log. A log that cannot be written stops nobody.
fn recorded(store: Store, recording: Recording) -> Arc<Kms> {
    let path = log_path(store.path());
    let kms = Kms::new(store);
    if recording == Recording::Nothing {
        return Arc::new(kms);
    }
    Arc::new(match AuditLog::open(&path) {
        Ok(log) => kms.with_audit(log, recording == Recording::Everything),
        Err(e) => {
            log::error!("audit log {}: {e}", path.display());
            kms
        }
    })
}

/// The first line of a file.
fn first_line(path: &Path) -> Result<SecretBytes, StoreError> {
    let bytes = SecretBytes::new(std::fs::read(path).map_err(|source| StoreError::Io {
        path: path.to_owned(),
        source,
    })?);
    let line = bytes.expose().split(|byte| *byte == b'\n').next();
    Ok(SecretBytes::new(line.unwrap_or_default().to_vec()))
}
