//! Verifying a volume that nobody has mounted: `rekeyfs check`.
//!
//! Walks the stored tree, files in parallel. With keys it opens every name, target, attribute and
//! chunk; without them it goes as far as headers, names of ours and sizes. It writes only to
//! repair, and repairs only what a crash can leave: an old header slot, a record or entries of a
//! session that did not end, what was being made or taken away. What can be read is never thrown
//! away; what cannot stays where it is.

mod contents;
mod structure;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Id;
use super::backing::Backing;
use super::error::VolumeError;
use super::open::{OpenOptions, Volume};
use crate::kms::service::KeyService;

/// What is found of a file that a session has not ended.
pub const UNSETTLED: &str = "a session ended while it was being written";

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// At everything that is stored.
    Everything,
    /// Of files only at what the last session has left: no contents are read.
    LastSession,
}

/// What a check does, and looks at.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions<'a> {
    /// What is looked at.
    pub look: Look,
    /// Finishes what a crash has interrupted.
    pub repair: bool,
    /// Where what still verifies of damaged files is copied to.
    pub salvage: Option<&'a Path>,
    /// Files that are read at once.
    pub threads: usize,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// Something that was stored cannot be read any more.
    Damaged,
    /// A crash has left it; it costs nothing and can be finished.
    Interrupted,
    /// The key service does not open it now.
    NoKey,
    /// Not the volume's: hidden by a mount.
    Foreign,
}

impl Trouble {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Interrupted => "interrupted",
            Self::NoKey => "no key",
            Self::Foreign => "foreign",
        }
    }
}

/// What was copied out of a damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// Where it is.
    pub to: PathBuf,
    /// Plain bytes that verified.
    pub bytes: u64,
    /// Plain ranges that did not: offset and length. They are holes in the copy.
    pub lost: Vec<(u64, u64)>,
}

/// Something that was found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The plain path where it is known, else stored names.
    pub path: PathBuf,
    /// The object's identity, if its header could be read.
    pub object: Option<Id>,
    /// Of what kind it is.
    pub trouble: Trouble,
    /// What it is.
    pub fact: String,
    /// Whether it was mended.
    pub repaired: bool,
    /// What was copied out.
    pub salvaged: Option<Salvaged>,
}

/// What a check has seen.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Regular files, each once however many names it has.
    pub files: u64,
    /// Directories, the root too.
    pub directories: u64,
    /// Symlinks.
    pub symlinks: u64,
    /// FIFOs, sockets and devices.
    pub others: u64,
    /// Plain bytes that were verified.
    pub bytes: u64,
    /// Why nothing could be opened: names, headers and sizes were all that was looked at.
    pub without_keys: Option<String>,
    /// What was found, in the order of paths.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Findings of a kind that are still there.
    pub fn count(&self, trouble: Trouble) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.trouble == trouble && !finding.repaired)
            .count()
    }
}

/// Hears how far a check is.
pub trait Progress: Sync {
    /// Another file is done.
    fn checked(&self, files: u64, bytes: u64);

    /// Whether to look at more; what was found until then is reported.
    fn goes_on(&self) -> bool {
        true
    }
}

/// Verifies the volume at `path`, with `keys` or without them: then they say why.
///
/// # Errors
/// [`VolumeError::NotAVolume`], [`VolumeError::VolumeBusy`], [`VolumeError::VolumeDamaged`], and
/// the backing filesystem's for the root directory. Without keys a repair is refused.
pub fn check(
    backing: &Arc<dyn Backing>,
    keys: Result<Arc<dyn KeyService>, String>,
    path: &Path,
    options: &CheckOptions<'_>,
    progress: &dyn Progress,
) -> Result<Report, VolumeError> {
    let open = OpenOptions {
        read_only: !options.repair,
        ..OpenOptions::default()
    };
    let mut lost = None;
    let volume = match keys {
        Ok(keys) => match Volume::open(Arc::clone(backing), Arc::clone(&keys), path, open) {
            Ok(volume) => volume,
            // Without keys nothing is known of sessions.
            Err(VolumeError::Key(e)) if !options.repair && options.look == Look::Everything => {
                return structure::check(&**backing, path, e.to_string());
            }
            Err(e) if options.salvage.is_some() && !options.repair && is_lost(&e) => {
                // Every object opens by itself: what cannot be mounted can be saved.
                let Some(volume) = Volume::open_remains(Arc::clone(backing), keys, path)? else {
                    return Err(e);
                };
                lost = Some(e.to_string());
                volume
            }
            Err(e) => return Err(e),
        },
        Err(why) if !options.repair => return structure::check(&**backing, path, why),
        Err(_) => {
            return Err(VolumeError::NotSupported {
                what: "a repair without keys",
            });
        }
    };
    let state = State {
        volume: &volume,
        options,
        progress,
        lost,
        report: Mutex::default(),
    };
    let walked = state.walk();
    let mut report = state.report.into_inner();
    report.findings.sort_by(|a, b| a.path.cmp(&b.path));
    walked?;
    let whole = [Trouble::Damaged, Trouble::NoKey, Trouble::Interrupted]
        .iter()
        .all(|trouble| report.count(*trouble) == 0);
    if options.repair && whole {
        // Every record is of this session now: lengths are judged strictly again.
        volume.forget_crashes();
    }
    match volume.close()?.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(report),
    }
}

/// A check under way.
struct State<'a> {
    volume: &'a Arc<Volume>,
    options: &'a CheckOptions<'a>,
    progress: &'a dyn Progress,
    /// Why the volume cannot be mounted at all.
    lost: Option<String>,
    report: Mutex<Report>,
}

impl State<'_> {
    fn found(&self, path: &Path, trouble: Trouble, fact: &dyn std::fmt::Display) {
        self.push(Finding {
            path: path.to_owned(),
            object: None,
            trouble,
            fact: fact.to_string(),
            repaired: false,
            salvaged: None,
        });
    }

    /// Something that a crash has left; mended by `mend` if that is wanted.
    fn interrupted(&self, path: &Path, fact: &str, mend: impl FnOnce() -> Result<(), VolumeError>) {
        let (fact, repaired) = match self.options.repair.then(mend) {
            None => (fact.to_owned(), false),
            Some(Ok(())) => (fact.to_owned(), true),
            Some(Err(e)) => (format!("{fact}; it could not be mended: {e}"), false),
        };
        self.push(Finding {
            path: path.to_owned(),
            object: None,
            trouble: Trouble::Interrupted,
            fact,
            repaired,
            salvaged: None,
        });
    }

    fn push(&self, finding: Finding) {
        self.report.lock().findings.push(finding);
    }
}

/// Whether a volume that does not open for this reason may still have objects that do.
pub fn is_lost(error: &VolumeError) -> bool {
    !matches!(
        error,
        VolumeError::Key(_)
            | VolumeError::VolumeBusy { .. }
            | VolumeError::UnknownVersion { .. }
            | VolumeError::UnknownFeature { .. }
            | VolumeError::Path { .. }
    )
}

/// What an error says of an object.
fn trouble_of(error: &VolumeError) -> Trouble {
    match error {
        VolumeError::Key(_) => Trouble::NoKey,
        _ => Trouble::Damaged,
    }
}
