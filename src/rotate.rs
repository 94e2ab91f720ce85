//! Bulk rewrap: which objects below a path, and what became of each.
//!
//! Must not know terminals: what happens is told to a [`Progress`]. One rewrap an object; speed,
//! resume and proof for whole trees are a later room of this module.

use std::path::{Path, PathBuf};

/// Hears what becomes of each object.
pub trait Progress {
    /// An object has been rewrapped.
    fn done(&mut self, path: &Path);
    /// An object could not be rewrapped.
    fn failed(&mut self, path: &Path, error: &str);
}

/// How many objects were rewrapped, and how many could not be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rewrapped.
    pub done: u64,
    /// Not rewrapped.
    pub failed: u64,
}

/// Rewraps one object: where it was found, and what became of it.
pub type Rewrap<'a> = dyn FnMut(&Path) -> (Place, Result<(), String>) + 'a;

/// Where an object was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a mounted volume: every name is the user's.
    Mounted,
    /// In a backing directory: names of the volume itself lie between the stored ones.
    Stored,
}

/// Rewraps `root` by `rewrap`, and everything below it if `recursive`: a directory before what is
/// in it, so that what is made meanwhile has the new key already. Symlinks are not followed, and
/// only files and directories have data keys.
pub fn rewrap_tree(
    root: &Path,
    recursive: bool,
    progress: &mut dyn Progress,
    rewrap: &mut Rewrap<'_>,
) -> Tally {
    let mut tally = Tally::default();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let kind = match std::fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            Err(e) => {
                fail(&mut tally, progress, &path, &e.to_string());
                continue;
            }
        };
        if !kind.is_file() && !kind.is_dir() {
            if path == *root {
                let error = "only files and directories have data keys";
                fail(&mut tally, progress, &path, error);
            }
            continue;
        }
        let (place, result) = rewrap(&path);
        let is_counted = result.is_err();
        match result {
            Ok(()) => {
                tally.done += 1;
                progress.done(&path);
            }
            Err(e) => fail(&mut tally, progress, &path, &e),
        }
        if recursive && kind.is_dir() {
            match children(&path, place) {
                Ok(children) => waiting.extend(children),
                // Refused altogether: one object, one failure.
                Err(_) if is_counted => {}
                Err(e) => fail(&mut tally, progress, &path, &e.to_string()),
            }
        }
    }
    tally
}

fn fail(tally: &mut Tally, progress: &mut dyn Progress, path: &Path, error: &str) {
    tally.failed += 1;
    progress.failed(path, error);
}

/// The entries of a directory, in reverse order, without what belongs to the volume itself.
fn children(path: &Path, place: Place) -> std::io::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let internal = place == Place::Stored && name.starts_with(b"rekeyfs.");
        if !internal || name.starts_with(b"rekeyfs.long.") {
            out.push(entry.path());
        }
    }
    out.sort_unstable_by(|left, right| right.cmp(left));
    Ok(out)
}
