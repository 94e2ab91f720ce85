//! `rekeyfs rekey`: through the mount by the ioctl, or offline on stored objects.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustix::fs::{Mode, OFlags};

use super::report::{Exit, Fault};
use super::settings::Settings;
use crate::codec::hex;
use crate::kms::caller::{Caller, Object, Source};
use crate::kms::service::{EncryptionAlgorithm, Exception, ReEncryptRequest, parse_context};
use crate::mount::control::{self, Control};
use crate::mount::ioctl::{self, Answer, AskFlags, Field};
use crate::rotate::{Place, Progress, rewrap_tree};
use crate::volume::backing::System;
use crate::volume::{Directory, Kind, OpenOptions, Reseal, RewrapRequest, Volume, VolumeError};

#[derive(Args)]
pub struct Rekey {
    /// Files and directories: in a mounted volume, or stored ones of a volume that is not mounted
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Everything below directories too
    #[arg(short, long)]
    recursive: bool,
    /// The KMS key to move to [default: the key that each object has]
    #[arg(long, value_name = "KEY")]
    destination_key_id: Option<String>,
    /// k=v,.. or JSON [default: none]
    #[arg(long, value_name = "CONTEXT")]
    destination_encryption_context: Option<String>,
    /// Needed for an asymmetric key [default: SYMMETRIC_DEFAULT]
    #[arg(long, value_name = "ALGORITHM")]
    destination_encryption_algorithm: Option<String>,
    /// The key that each object must have now
    #[arg(long, value_name = "KEY")]
    source_key_id: Option<String>,
    /// The context that each object must have now
    #[arg(long, value_name = "CONTEXT")]
    source_encryption_context: Option<String>,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Give each object a new data key and encrypt its contents again under it (reseal), after
    /// what else is asked for
    #[arg(long, value_name = "new")]
    data_key: Option<DataKey>,
    /// Say nothing but faults
    #[arg(short, long)]
    quiet: bool,
}

/// What becomes of data keys.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DataKey {
    /// A new one for each object.
    New,
}

struct Lines {
    quiet: bool,
    verb: &'static str,
}

impl Progress for Lines {
    fn done(&mut self, path: &Path) {
        if !self.quiet {
            println!("{} {}", self.verb, path.display());
        }
    }

    fn failed(&mut self, path: &Path, error: &str) {
        eprintln!("rekeyfs: {}: {error}", path.display());
    }
}

impl Rekey {
    pub fn run(&self, settings: &Settings) -> Result<(), Fault> {
        if self.data_key.is_some() && self.dry_run {
            return Err(Fault::new(
                Exit::Usage,
                "--data-key new cannot be tried by --dry-run",
            ));
        }
        let asks_of_source =
            self.source_key_id.is_some() || self.source_encryption_context.is_some();
        if self.data_key.is_some() && asks_of_source && !self.asks_re_encrypt() {
            return Err(Fault::new(
                Exit::Usage,
                "--source-key-id and --source-encryption-context are for re-encryption, not for a new data key",
            )
            .hint("say what to re-encrypt to: --destination-key-id KEY"));
        }
        if self.destination_key_id.as_deref() == Some("") {
            return Err(Fault::new(Exit::Usage, "--destination-key-id is empty")
                .hint("leave it out to keep the key that each object has"));
        }
        let request = self.request()?;
        let mut offline = Offline {
            settings,
            reseals: self.data_key.is_some(),
            volume: None,
        };
        // The hints and the exit code of the last fault are the program's.
        let mut last = Fault::new(Exit::Failed, "");
        let mut lines = Lines {
            quiet: self.quiet,
            verb: match (self.dry_run, self.data_key) {
                (true, _) => "could rekey",
                (false, None) => "rekeyed",
                (false, Some(DataKey::New)) => "resealed",
            },
        };
        let mut failed = 0;
        for path in &self.paths {
            let tally = rewrap_tree(path, self.recursive, &mut lines, &mut |path| {
                let (place, result) = self.rewrap(path, &request, &mut offline);
                let told = result.map_err(|fault| {
                    let fact = fault.fact.clone();
                    last = fault;
                    fact
                });
                (place, told)
            });
            failed += tally.failed;
        }
        if let Some((_, volume)) = offline.volume {
            volume.close()?;
        }
        if failed > 0 {
            let fact = format!("{failed} objects were not rekeyed");
            return Err(Fault { fact, ..last });
        }
        Ok(())
    }

    /// A new data key alone leaves the KMS key as it is.
    fn asks_re_encrypt(&self) -> bool {
        self.data_key.is_none()
            || self.destination_key_id.is_some()
            || self.destination_encryption_context.is_some()
            || self.destination_encryption_algorithm.is_some()
    }

    fn request(&self) -> Result<RewrapRequest, Fault> {
        let context = |text: &Option<String>| -> Result<_, Exception> {
            text.as_deref().map(parse_context).transpose()
        };
        let algorithm = self
            .destination_encryption_algorithm
            .as_deref()
            .map(|name| {
                EncryptionAlgorithm::parse(name).ok_or_else(|| {
                    Fault::new(
                        Exit::Usage,
                        format!("encryption algorithm {name:?}: not known"),
                    )
                })
            })
            .transpose()?;
        Ok(RewrapRequest {
            re_encrypt: ReEncryptRequest {
                source_key_id: self.source_key_id.clone(),
                source_encryption_context: context(&self.source_encryption_context)?,
                destination_key_id: self.destination_key_id.clone().unwrap_or_default(),
                destination_encryption_context: context(&self.destination_encryption_context)?,
                destination_encryption_algorithm: algorithm,
                dry_run: self.dry_run.then_some(true),
                ..ReEncryptRequest::default()
            },
            keep: false,
            expected_generation: None,
        })
    }

    fn rewrap(
        &self,
        path: &Path,
        request: &RewrapRequest,
        offline: &mut Offline<'_>,
    ) -> (Place, Result<(), Fault>) {
        let rewrap = self
            .asks_re_encrypt()
            .then(|| Control::Rewrap(Box::new(request.clone())));
        let reseal = self.data_key.map(|_| Control::Reseal);
        let (mut place, mut result) = (Place::Mounted, Ok(()));
        for control in rewrap.into_iter().chain(reseal) {
            (place, result) = match self.by_ioctl(path, &control) {
                Some(result) => (Place::Mounted, result),
                None => (Place::Stored, offline.apply(path, &control)),
            };
            if result.is_err() {
                break;
            }
        }
        (place, result)
    }

    /// Asks the mount; `None` when the path is in none.
    fn by_ioctl(&self, path: &Path, control: &Control) -> Option<Result<(), Fault>> {
        let reseals = matches!(control, Control::Reseal);
        let fd = match open(path) {
            Ok(fd) => fd,
            Err(errno) => return Some(Err(Fault::new(Exit::Failed, errno.to_string()))),
        };
        let texts = [
            (Field::DestinationKeyId, &self.destination_key_id),
            (
                Field::DestinationEncryptionContext,
                &self.destination_encryption_context,
            ),
            (
                Field::DestinationEncryptionAlgorithm,
                &self.destination_encryption_algorithm,
            ),
            (Field::SourceKeyId, &self.source_key_id),
            (
                Field::SourceEncryptionContext,
                &self.source_encryption_context,
            ),
        ];
        let fields: Vec<_> = texts
            .iter()
            .filter(|_| !reseals)
            .filter_map(|(field, text)| text.as_ref().map(|text| (*field, text.as_bytes())))
            .collect();
        let flags = AskFlags {
            dry_run: self.dry_run,
            new_data_key: reseals,
            ..AskFlags::default()
        };
        let Some(mut bytes) = ioctl::ask(flags, 0, &fields) else {
            let fact = "the parameters need more than 15,832 bytes";
            return Some(Err(Fault::new(Exit::Failed, fact)));
        };
        let result = crate::sys::ioctl_struct(fd.as_fd(), ioctl::REENCRYPT, &mut bytes);
        match result {
            Ok(()) if reseals => Some(await_reseal(&fd)),
            Ok(()) => Some(Ok(())),
            Err(e) if e.raw_os_error() == Some(libc::ENOTTY) => None,
            Err(e) => {
                let answer = Answer::new(bytes);
                let text = |field| {
                    let text = answer.as_ref().and_then(|answer| answer.text(field));
                    text.unwrap_or_default()
                };
                let (exception, message) = (text(Field::Exception), text(Field::Message));
                let exit = if exception.is_empty() {
                    Exit::Failed
                } else {
                    Exit::KeyRefused
                };
                let told = match (exception.is_empty(), message.is_empty()) {
                    (true, true) => e.to_string(),
                    (true, false) => message,
                    (false, true) => exception,
                    (false, false) => format!("{exception}: {message}"),
                };
                Some(Err(Fault::new(exit, told)))
            }
        }
    }
}

/// Opens for the ioctl: access mode 3 needs no kms:Decrypt, but directories and files that the
/// caller may not write to do not take it.
pub fn open(path: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let control = OFlags::from_bits_retain(libc::O_ACCMODE.cast_unsigned());
    rustix::fs::open(path, flags | control, Mode::empty())
        .or_else(|_| rustix::fs::open(path, flags | OFlags::RDONLY, Mode::empty()))
}

/// Waits until the mount has done a reseal.
fn await_reseal(fd: &OwnedFd) -> Result<(), Fault> {
    loop {
        let mut value = [0; 4096];
        let read = rustix::fs::fgetxattr(fd, "user.kms.reseal", &mut value)
            .map_err(|errno| Fault::new(Exit::Failed, errno.to_string()))?;
        let text = String::from_utf8_lossy(&value[..read]).into_owned();
        match text.split([' ', '=']).nth(1) {
            Some("done") => return Ok(()),
            Some("running") => std::thread::sleep(std::time::Duration::from_millis(20)),
            _ => {
                let fact = text.split_once("error=").map_or(&*text, |(_, error)| error);
                let hint = "ask again to go on with it";
                return Err(Fault::new(Exit::Failed, fact.to_owned()).hint(hint));
            }
        }
    }
}

/// Work on stored objects of a volume that is not mounted.
struct Offline<'a> {
    settings: &'a Settings,
    /// Contents are changed, not only headers.
    reseals: bool,
    volume: Option<(PathBuf, Arc<Volume>)>,
}

impl Offline<'_> {
    fn apply(&mut self, path: &Path, control: &Control) -> Result<(), Fault> {
        let failed = |e: std::io::Error| Fault::new(Exit::Failed, e.to_string());
        let path = path.canonicalize().map_err(failed)?;
        let volume = self.volume_of(&path)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let object = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        let envelope = volume.envelope_of(&object)?;
        let owner = rustix::fs::fstat(&object)
            .map_err(|e| failed(e.into()))?
            .st_uid;
        let uid = rustix::process::geteuid().as_raw();
        let is_owner = uid == 0 || uid == owner;
        let own = volume.own_caller();
        let asked = self.settings.caller()?;
        let caller = match self.settings.principal {
            Some(_) => Caller::new(&asked.principal, &asked.account, &own.region),
            None => own.clone(),
        };
        // Where the object is in the tree is sealed.
        let about = Object {
            id: Some(hex(&envelope.header().object)),
            path: None,
        };
        let caller = caller.from_source(Source {
            object: Some(about),
            ..(*asked.source).clone()
        });
        let told = |errno| VolumeError::Path {
            path: path.clone(),
            errno,
        };
        let reseal = || -> Result<(), VolumeError> {
            let reseal = match Kind::of(rustix::fs::fstat(&object).map_err(told)?.st_mode) {
                Some(Kind::Directory) => {
                    Reseal::of_directory(&Directory::open_object(&volume, &object)?, &caller)?
                }
                _ => Reseal::of_file(&envelope, &caller)?,
            };
            reseal.run().map(|_| ())
        };
        match control::apply(&envelope, &caller, is_owner, control, reseal) {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.error.into()),
        }
    }

    fn volume_of(&mut self, path: &Path) -> Result<Arc<Volume>, Fault> {
        let root = path
            .ancestors()
            .find(|dir| dir.join("rekeyfs.volume").is_file())
            .ok_or_else(|| {
                let fact = "neither in a mounted volume nor in a backing directory";
                Fault::new(Exit::Failed, fact)
            })?;
        if let Some((known, volume)) = &self.volume
            && known == root
        {
            return Ok(Arc::clone(volume));
        }
        let kms = self.settings.open()?;
        let options = OpenOptions {
            // What a crash leaves of contents is recognised by the session that wrote it.
            offline: !self.reseals,
            ..OpenOptions::default()
        };
        let volume = Volume::open(Arc::new(System), kms, root, options)?;
        let before = self.volume.replace((root.to_owned(), Arc::clone(&volume)));
        if let Some((_, before)) = before {
            before.close()?;
        }
        Ok(volume)
    }
}
