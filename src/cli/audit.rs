//! `rekeyfs audit`: shows the audit log, filtered, and follows it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use clap::{Args, ValueEnum};
use rustix::fs::inotify;
use serde_json::Value;

use super::report::{Exit, Fault};
use super::settings::Settings;
use crate::kms::audit::{files, log_path};

#[derive(Args)]
pub struct Audit {
    /// Only events about a key: its ARN, its ID, or the identifier that was used
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only an operation's, such as ReEncrypt
    #[arg(long, value_name = "OPERATION")]
    event: Option<String>,
    /// Only failures, or only those with one exception
    #[arg(long, value_name = "EXCEPTION", num_args = 0..=1, default_missing_value = "")]
    error: Option<String>,
    /// Go on with what is recorded from now on
    #[arg(short, long)]
    follow: bool,
    /// JSON lines as they are recorded, or a table
    #[arg(long, value_enum, default_value = "json")]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Json,
    Table,
}

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn keys(event: &Value) -> impl Iterator<Item = &str> {
    let resources = event["resources"].as_array();
    resources
        .into_iter()
        .flatten()
        .map(|resource| text(resource, "/ARN"))
}

impl Audit {
    pub fn run(&self, settings: &Settings) -> Result<(), Fault> {
        let path = log_path(&settings.keystore_path()?);
        let wanted = Wanted {
            options: self,
            principal: settings.principal.as_deref(),
        };
        wanted.run(&path)
    }
}

/// What is to be shown.
struct Wanted<'a> {
    options: &'a Audit,
    /// `--principal`: its ARN, a user's name, or `root`.
    principal: Option<&'a str>,
}

impl Wanted<'_> {
    fn run(&self, path: &Path) -> Result<(), Fault> {
        let failed = |e: std::io::Error| {
            Fault::new(Exit::Failed, format!("audit log {}: {e}", path.display()))
        };
        if self.options.output == Form::Table {
            self.line(&["TIME", "EVENT", "PRINCIPAL", "ERROR", "KEYS"])
                .map_err(failed)?;
        }
        self.show_files(path).map_err(failed)
    }

    /// Shows the files of the log, and what comes if that is wanted. The current one is opened
    /// first: it is read under whatever name a rotation gives it meanwhile.
    fn show_files(&self, path: &Path) -> std::io::Result<()> {
        let watch = self.options.follow.then(|| watch(path)).transpose()?;
        let mut current = open(path)?;
        for old in files(path) {
            let is_current = current.as_ref().is_some_and(|file| is_at(file, &old));
            if !is_current && let Some(file) = open(&old)? {
                self.show_lines(&mut BufReader::new(file))?;
            }
        }
        let mut reader = current.take().map(BufReader::new);
        if let Some(reader) = &mut reader {
            self.show_lines(reader)?;
        }
        match watch {
            Some(watch) => self.follow(path, &watch, reader),
            None => Ok(()),
        }
    }

    /// Shows the lines that are there; the beginning of one that is being written stays unread.
    fn show_lines(&self, reader: &mut BufReader<File>) -> std::io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                return reader.seek_relative(-(read as i64));
            }
            self.show(&line)?;
        }
    }

    fn show(&self, line: &[u8]) -> std::io::Result<()> {
        // Lines of another program, or cut by a full disk, are none of ours.
        let Ok(event) = serde_json::from_slice::<Value>(line) else {
            return Ok(());
        };
        if !self.wants(&event) {
            return Ok(());
        }
        match self.options.output {
            Form::Json => {
                let mut out = std::io::stdout().lock();
                out.write_all(line)?;
                out.flush()
            }
            Form::Table => self.line(&[
                text(&event, "/eventTime"),
                text(&event, "/eventName"),
                text(&event, "/userIdentity/arn"),
                text(&event, "/errorCode"),
                &keys(&event).collect::<Vec<_>>().join(" "),
            ]),
        }
    }

    fn line(&self, [time, event, principal, error, keys]: &[&str; 5]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let line = format!("{time:20} {event:35} {principal:45} {error:28} {keys}");
        writeln!(out, "{}", line.trim_end())?;
        out.flush()
    }

    fn wants(&self, event: &Value) -> bool {
        let named = |wanted: &str, found: &str| {
            found == wanted || found.rsplit(['/', ':']).next() == Some(wanted)
        };
        let identifiers = [
            "/keyId",
            "/sourceKeyId",
            "/destinationKeyId",
            "/targetKeyId",
        ];
        let key = self.options.key.as_deref().is_none_or(|wanted| {
            keys(event).any(|arn| named(wanted, arn))
                || identifiers.iter().any(|pointer| {
                    let given = text(event, &format!("/requestParameters{pointer}"));
                    given == wanted
                })
        });
        let principal = self
            .principal
            .is_none_or(|wanted| named(wanted, text(event, "/userIdentity/arn")));
        let name = self
            .options
            .event
            .as_ref()
            .is_none_or(|wanted| text(event, "/eventName").eq_ignore_ascii_case(wanted));
        let error = match self.options.error.as_deref() {
            None => true,
            Some("") => event.get("errorCode").is_some(),
            // The log has CloudTrail's AccessDenied where messages say AccessDeniedException.
            Some(wanted) => {
                let stem =
                    |name: &str| name.to_lowercase().trim_end_matches("exception").to_owned();
                stem(text(event, "/errorCode")) == stem(wanted)
            }
        };
        key && principal && name && error
    }

    /// Shows what comes, across rotations, until it is interrupted.
    fn follow(
        &self,
        path: &Path,
        watch: &OwnedFd,
        mut current: Option<BufReader<File>>,
    ) -> std::io::Result<()> {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(watch, &mut buffer);
        loop {
            events.next()?;
            if let Some(reader) = &mut current {
                let rotated = !is_at(reader.get_ref(), path);
                // Read after that was found: nothing is written to a file that was rotated.
                self.show_lines(reader)?;
                if rotated {
                    current = None;
                }
            }
            if current.is_none()
                && let Some(file) = open(path)?
            {
                self.show_lines(current.insert(BufReader::new(file)))?;
            }
        }
    }
}

/// A file that may not be there: nothing has been recorded yet, or it was rotated away.
fn open(path: &Path) -> std::io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Watches the directory of the log: the file may not be there yet, and is another one after a
/// rotation.
fn watch(path: &Path) -> std::io::Result<OwnedFd> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    let flags = inotify::WatchFlags::MODIFY
        | inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::MOVED_FROM;
    inotify::add_watch(&watch, directory, flags)?;
    Ok(watch)
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
