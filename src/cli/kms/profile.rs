//! The AWS CLI's configuration: profiles, Region, output and credentials from its files and
//! variables, in its order of precedence.
//!
//! Source: AWS CLI User Guide, "Configuration and credential file settings".

use std::path::PathBuf;

use ini::Ini;

use super::remote::Credentials;
use crate::secret::SecretBytes;

/// What keeps a configuration from being used: what the AWS CLI prints.
#[derive(Debug, thiserror::Error)]
pub enum ProfileFault {
    /// A profile was asked for that is in neither file.
    #[error("The config profile ({name}) could not be found")]
    NotFound {
        /// Its name.
        name: String,
    },
    /// A file that is no configuration.
    #[error("Unable to parse config file: {path}")]
    Unparsable {
        /// The file.
        path: PathBuf,
    },
    /// A key without its secret.
    #[error("Partial credentials found in {source_name}, missing: {missing}")]
    Partial {
        /// Where they were found.
        source_name: &'static str,
        /// What is not there.
        missing: &'static str,
    },
}

/// The configuration that is in force.
pub struct Profile {
    name: Option<String>,
    config: Ini,
    credentials: Ini,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn file(name: &str, default: &str) -> Option<PathBuf> {
    let path = variable(name).unwrap_or_else(|| format!("~/.aws/{default}"));
    match path.strip_prefix("~/") {
        Some(rest) => Some(PathBuf::from(variable("HOME")?).join(rest)),
        None => Some(path.into()),
    }
}

fn load(path: Option<PathBuf>) -> Result<Ini, ProfileFault> {
    let Some(path) = path else {
        return Ok(Ini::new());
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            Ini::load_from_str_noescape(&text).map_err(|_| ProfileFault::Unparsable { path })
        }
        // A file that is not there says nothing.
        Err(_) => Ok(Ini::new()),
    }
}

impl Profile {
    /// Reads the files. `asked` is `--profile`.
    ///
    /// # Errors
    /// [`ProfileFault`]: a profile that was asked for must be there.
    pub fn read(asked: Option<&str>) -> Result<Self, ProfileFault> {
        let name = asked
            .map(str::to_owned)
            .or_else(|| variable("AWS_DEFAULT_PROFILE"))
            .or_else(|| variable("AWS_PROFILE"));
        let profile = Self {
            config: load(file("AWS_CONFIG_FILE", "config"))?,
            credentials: load(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?,
            name,
        };
        if let Some(name) = &profile.name
            && name != "default"
            && profile.config_section().is_none()
            && profile.credentials.section(Some(name.as_str())).is_none()
        {
            return Err(ProfileFault::NotFound { name: name.clone() });
        }
        Ok(profile)
    }

    fn section_name(&self) -> &str {
        self.name.as_deref().unwrap_or("default")
    }

    fn config_section(&self) -> Option<&ini::Properties> {
        let name = self.section_name();
        self.config
            .section(Some(format!("profile {name}")))
            .or_else(|| match name {
                "default" => self.config.section(Some("default")),
                _ => None,
            })
    }

    /// A setting of the profile.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.config_section()
            .and_then(|section| section.get(name))
            .filter(|value| !value.is_empty())
    }

    /// The Region, in the AWS CLI's order; `asked` is `--region`.
    pub fn region(&self, asked: Option<&str>) -> Option<String> {
        asked
            .map(str::to_owned)
            // Set to nothing it counts too, and no Region is called that.
            .or_else(|| std::env::var("AWS_DEFAULT_REGION").ok())
            .or_else(|| self.setting("region").map(str::to_owned))
    }

    /// Whether dates are written as text (`cli_timestamp_format = iso8601`).
    pub fn iso_timestamps(&self) -> bool {
        self.setting("cli_timestamp_format") == Some("iso8601")
    }

    /// The output format that is configured.
    pub fn output(&self) -> Option<String> {
        variable("AWS_DEFAULT_OUTPUT").or_else(|| self.setting("output").map(str::to_owned))
    }

    /// The certificates that are configured.
    pub fn ca_bundle(&self) -> Option<PathBuf> {
        variable("AWS_CA_BUNDLE")
            .or_else(|| self.setting("ca_bundle").map(str::to_owned))
            .map(PathBuf::from)
    }

    /// The credentials: variables, unless a profile was asked for; then the credentials file, then
    /// the configuration file.
    ///
    /// # Errors
    /// [`ProfileFault::Partial`].
    pub fn credentials(&self, asked: Option<&str>) -> Result<Option<Credentials>, ProfileFault> {
        if asked.is_none()
            && let Some(access_key) = variable("AWS_ACCESS_KEY_ID")
        {
            let secret = variable("AWS_SECRET_ACCESS_KEY").ok_or(ProfileFault::Partial {
                source_name: "env",
                missing: "AWS_SECRET_ACCESS_KEY",
            })?;
            return Ok(Some(Credentials {
                access_key,
                secret: SecretBytes::new(secret.into_bytes()),
                session_token: variable("AWS_SESSION_TOKEN"),
            }));
        }
        let sections = [
            self.credentials.section(Some(self.section_name())),
            self.config_section(),
        ];
        for section in sections.into_iter().flatten() {
            let Some(access_key) = section.get("aws_access_key_id") else {
                continue;
            };
            let secret = section
                .get("aws_secret_access_key")
                .ok_or(ProfileFault::Partial {
                    source_name: "shared-credentials-file",
                    missing: "aws_secret_access_key",
                })?;
            return Ok(Some(Credentials {
                access_key: access_key.to_owned(),
                secret: SecretBytes::new(secret.as_bytes().to_vec()),
                session_token: section.get("aws_session_token").map(str::to_owned),
            }));
        }
        Ok(None)
    }
}
