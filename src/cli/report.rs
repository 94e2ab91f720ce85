//! Faults as people see them: one line of fact, then hints that can be pasted, and an exit code.
//!
//! The only hints of the program.

use std::process::ExitCode;

use super::kms::profile::ProfileFault;
use crate::endpoint::EndpointError;
use crate::kms::error::{Exception, ExceptionKind};
use crate::kms::iam::IamError;
use crate::kms::store::StoreError;
use crate::mount::MountError;
use crate::volume::VolumeError;

/// The exit codes, beside those of `rekeyfs kms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something failed.
    Failed = 1,
    /// The arguments mean nothing.
    Usage = 2,
    /// The key service said no.
    KeyRefused = 3,
    /// The keystore cannot be used.
    Keystore = 4,
    /// The volume cannot be used.
    Volume = 5,
}

/// A fault with everything that is said about it.
#[derive(Debug)]
pub struct Fault {
    /// What happened.
    pub fact: String,
    /// What can be done.
    pub hints: Vec<String>,
    /// How the program ends.
    pub exit: Exit,
}

impl Fault {
    /// A fault without hints.
    pub fn new(exit: Exit, fact: impl Into<String>) -> Self {
        Self {
            fact: fact.into(),
            hints: Vec::new(),
            exit,
        }
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Has this hint in place of all others.
    pub fn only_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints = vec![hint.into()];
        self
    }

    /// Prints it and gives the exit code.
    pub fn report(self) -> ExitCode {
        self.print();
        ExitCode::from(self.exit as u8)
    }

    /// Prints it.
    pub fn print(&self) {
        eprintln!("rekeyfs: {}", self.fact.replace('\n', " "));
        for hint in &self.hints {
            eprintln!("hint: {hint}");
        }
    }
}

impl From<Exception> for Fault {
    fn from(exception: Exception) -> Self {
        let fault = Self::new(Exit::KeyRefused, exception.to_string());
        let arn = exception
            .message()
            .and_then(|message| {
                message
                    .split_whitespace()
                    .find(|word| word.starts_with("arn:") && word.contains(":key/"))
            })
            .unwrap_or("KEY_ID")
            .to_owned();
        match exception.kind() {
            ExceptionKind::Disabled => fault.hint(format!("rekeyfs kms enable-key --key-id {arn}")),
            ExceptionKind::KmsInvalidState => fault.hint(format!(
                "rekeyfs kms cancel-key-deletion --key-id {arn}; rekeyfs kms enable-key --key-id {arn}"
            )),
            ExceptionKind::NotFound => {
                fault.hint("rekeyfs kms list-aliases; rekeyfs kms list-keys")
            }
            ExceptionKind::InvalidKeyUsage => fault.hint(
                "an asymmetric key needs its algorithm: --destination-encryption-algorithm \
                 RSAES_OAEP_SHA_256, or SM2PKE",
            ),
            ExceptionKind::AccessDenied => fault
                .hint(format!("rekeyfs kms get-key-policy --key-id {arn}"))
                .hint("rekeyfs iam put-user-policy, or rekeyfs kms create-grant, lets a user in"),
            ExceptionKind::AlreadyExists
            | ExceptionKind::Conflict
            | ExceptionKind::ExpiredImportToken
            | ExceptionKind::IncorrectKeyMaterial
            | ExceptionKind::InvalidGrantId
            | ExceptionKind::InvalidImportToken
            | ExceptionKind::MalformedPolicyDocument
            | ExceptionKind::Serialization
            | ExceptionKind::Tag
            | ExceptionKind::DependencyTimeout
            | ExceptionKind::DryRunOperation
            | ExceptionKind::IncorrectKey
            | ExceptionKind::InvalidAliasName
            | ExceptionKind::InvalidArn
            | ExceptionKind::InvalidCiphertext
            | ExceptionKind::InvalidGrantToken
            | ExceptionKind::InvalidMarker
            | ExceptionKind::KeyUnavailable
            | ExceptionKind::KmsInternal
            | ExceptionKind::LimitExceeded
            | ExceptionKind::Throttling
            | ExceptionKind::UnknownOperation
            | ExceptionKind::UnsupportedOperation
            | ExceptionKind::Validation => fault,
        }
    }
}

impl From<EndpointError> for Fault {
    fn from(error: EndpointError) -> Self {
        let fault = Self::new(Exit::Failed, error.to_string());
        match error {
            EndpointError::InUse { .. } => {
                fault.hint("rekeyfs serve --listen 127.0.0.1:0 takes any free port")
            }
            EndpointError::NotLoopback { .. } => {
                fault.hint("rekeyfs iam create-access-key, and --auth sigv4")
            }
            EndpointError::NoCertificate { .. }
            | EndpointError::NoKey { .. }
            | EndpointError::Unusable { .. } => fault.hint("--tls-self-signed FILE makes one"),
            EndpointError::Listen { .. }
            | EndpointError::NotASocket { .. }
            | EndpointError::NotAnAccount { .. }
            | EndpointError::NotARegion { .. }
            | EndpointError::Unreadable { .. }
            | EndpointError::Unmade { .. }
            | EndpointError::Tls { .. }
            | EndpointError::Unwritable { .. }
            | EndpointError::Start { .. } => fault,
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let fault = Self::new(Exit::Keystore, error.to_string());
        match error {
            StoreError::Missing { path } => fault
                .hint(format!(
                    "rekeyfs --keystore {} keystore create",
                    path.display()
                ))
                .hint("rekeyfs --keystore FILE .., or REKEYFS_KEYSTORE=FILE, names another one"),
            StoreError::RootKeyMissing { path } => fault.hint(format!(
                "restore {} from where it was kept: without it no key can be used",
                path.display()
            )),
            StoreError::PassphraseNeeded { .. } => fault.hint(
                "rekeyfs --passphrase-file FILE .., or REKEYFS_PASSPHRASE_FILE=FILE, or a terminal",
            ),
            StoreError::LoosePermissions { path, .. } => {
                fault.hint(format!("chmod 600 {}", path.display()))
            }
            StoreError::Newer { .. } => fault.hint("use the newer rekeyfs that made it"),
            StoreError::RootKeyWrong { passphrase: false } => fault.hint(
                "the .key file beside the keystore belongs to another keystore: restore its own",
            ),
            StoreError::Io { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                fault.hint(
                    "rekeyfs serve, as its owner; then rekeyfs kms OPERATION --endpoint-url \
                     http://127.0.0.1:7070",
                )
            }
            StoreError::Exists { .. }
            | StoreError::NotAKeystore { .. }
            | StoreError::Damaged { .. }
            | StoreError::Locked { .. }
            | StoreError::RootKeyWrong { passphrase: true }
            | StoreError::RootKeyMalformed { .. }
            | StoreError::Sqlite { .. }
            | StoreError::Io { .. } => fault,
        }
    }
}

impl From<ProfileFault> for Fault {
    fn from(fault: ProfileFault) -> Self {
        Self::new(Exit::Usage, fault.to_string())
            .hint("AWS_PROFILE, ~/.aws/config and ~/.aws/credentials; --region does without them")
    }
}

impl From<IamError> for Fault {
    fn from(error: IamError) -> Self {
        let fact = format!("{}: {error}", error.name());
        let fault = Self::new(Exit::Failed, fact);
        match error {
            IamError::Store(error) => error.into(),
            IamError::NoSuchUser { .. } => fault.hint("rekeyfs iam list-users"),
            IamError::NoSuchPolicy { .. } => {
                fault.hint("rekeyfs iam list-user-policies --user-name NAME")
            }
            IamError::NoSuchAccessKey { .. } => {
                fault.hint("rekeyfs iam list-access-keys --user-name NAME")
            }
            IamError::UserExists { .. }
            | IamError::UidTaken { .. }
            | IamError::InvalidName { .. }
            | IamError::MalformedPolicy { .. }
            | IamError::LimitExceeded { .. }
            | IamError::DeleteConflict { .. } => fault,
        }
    }
}

impl From<VolumeError> for Fault {
    fn from(error: VolumeError) -> Self {
        if let VolumeError::Key(exception) = error {
            return exception.into();
        }
        let fault = Self::new(Exit::Volume, error.to_string());
        match error {
            VolumeError::NotAVolume { path } => {
                fault.hint(format!("rekeyfs init {}", path.display()))
            }
            VolumeError::VolumeBusy { .. } => {
                fault.hint("unmount it first: findmnt -t fuse.rekeyfs; rekeyfs umount MNT")
            }
            VolumeError::VolumeExists { .. } => fault.hint("rekeyfs mount DIR MNT"),
            VolumeError::HeaderTooLarge { .. } => fault.hint(
                "a volume made with a larger --header-size (8192, 16384, 32768) has room for it",
            ),
            _ => fault,
        }
    }
}

impl From<MountError> for Fault {
    fn from(error: MountError) -> Self {
        let fact = error.to_string();
        let fault = Self::new(Exit::Failed, fact.clone());
        match error {
            MountError::Volume(error) => error.into(),
            MountError::NoMemory { .. } => fault.hint("ulimit -v unlimited"),
            MountError::NoHelper => fault.hint("apt-get install fuse3"),
            MountError::Device { .. } => fault.hint("modprobe fuse"),
            MountError::InUse { path } => fault.hint(format!("rekeyfs umount {}", path.display())),
            MountError::Mountpoint { path, .. } => fault.hint(format!("mkdir {}", path.display())),
            MountError::Helper { .. } if fact.contains("user_allow_other") => {
                fault.hint("echo user_allow_other | sudo tee -a /etc/fuse.conf")
            }
            MountError::NotADirectory { .. }
            | MountError::NotMounted { .. }
            | MountError::Busy { .. }
            | MountError::Helper { .. }
            | MountError::System { .. }
            | MountError::Session(_) => fault,
        }
    }
}
