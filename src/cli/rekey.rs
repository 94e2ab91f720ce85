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
use crate::volume::{OpenOptions, RewrapRequest, Volume};

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
    /// `new`: a new data key (reseal)
    #[arg(long, value_name = "new")]
    data_key: Option<String>,
    /// Say nothing but faults
    #[arg(short, long)]
    quiet: bool,
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
        if self.data_key.is_some() {
            return Err(Fault::new(
                Exit::Failed,
                "a new data key (reseal): not available in this version",
            ));
        }
        if self.destination_key_id.as_deref() == Some("") {
            return Err(Fault::new(Exit::Usage, "--destination-key-id is empty")
                .hint("leave it out to keep the key that each object has"));
        }
        let request = self.request()?;
        let mut offline = Offline {
            settings,
            volume: None,
        };
        // The hints and the exit code of the last fault are the program's.
        let mut last = Fault::new(Exit::Failed, "");
        let mut lines = Lines {
            quiet: self.quiet,
            verb: if self.dry_run {
                "could rekey"
            } else {
                "rekeyed"
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
        match self.by_ioctl(path) {
            Some(result) => (Place::Mounted, result),
            None => (Place::Stored, offline.rewrap(path, request)),
        }
    }

    /// Asks the mount; `None` when the path is in none.
    fn by_ioctl(&self, path: &Path) -> Option<Result<(), Fault>> {
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
            .filter_map(|(field, text)| text.as_ref().map(|text| (*field, text.as_bytes())))
            .collect();
        let flags = AskFlags {
            dry_run: self.dry_run,
            ..AskFlags::default()
        };
        let Some(mut bytes) = ioctl::ask(flags, 0, &fields) else {
            let fact = "the parameters need more than 15,832 bytes";
            return Some(Err(Fault::new(Exit::Failed, fact)));
        };
        let result = crate::sys::ioctl_struct(fd.as_fd(), ioctl::REENCRYPT, &mut bytes);
        match result {
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

/// Work on stored objects of a volume that is not mounted.
struct Offline<'a> {
    settings: &'a Settings,
    volume: Option<(PathBuf, Arc<Volume>)>,
}

impl Offline<'_> {
    fn rewrap(&mut self, path: &Path, request: &RewrapRequest) -> Result<(), Fault> {
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
        let control = Control::Rewrap(Box::new(request.clone()));
        let is_owner = uid == 0 || uid == owner;
        let own = volume.own_caller();
        let asked = self.settings.caller()?;
        let caller = match self.settings.principal {
            Some(_) => Caller::new(&asked.principal, &asked.account, &own.region),
            None => own.clone(),
        };
        // Where the object is in the tree is sealed.
        let object = Object {
            id: Some(hex(&envelope.header().object)),
            path: None,
        };
        let caller = caller.from_source(Source {
            object: Some(object),
            ..(*asked.source).clone()
        });
        match control::apply(&envelope, &caller, is_owner, &control) {
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
            offline: true,
            ..OpenOptions::default()
        };
        let volume = Volume::open(Arc::new(System), kms, root, options)?;
        self.volume = Some((root.to_owned(), Arc::clone(&volume)));
        Ok(volume)
    }
}
