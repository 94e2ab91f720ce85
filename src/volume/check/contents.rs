//! Files: every chunk and attribute, what a crash has left in them, and what can be saved.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::super::error::{VolumeError, failed};
use super::super::file::File;
use super::super::header::ObjectType;
use super::super::layout::{GROUP_BYTES, PAGE};
use super::super::reseal::Reseal;
use super::super::rewrap::Envelope;
use super::super::xattrs::AttributeKey;
use super::walk::Job;
use super::{Finding, Look, Salvaged, State, Trouble, UNSETTLED, trouble_of};

/// What is said of an object with two data keys.
pub(super) const INTERRUPTED_RESEAL: &str = "a reseal has not come to its end";

impl State<'_> {
    /// Reads a file and everything that belongs to it.
    pub(super) fn check_file(&self, job: &Job) {
        if !self.progress.goes_on() {
            return;
        }
        let mut finding = None;
        let mut bytes = 0;
        match self.read_file(job) {
            Ok((read, lost)) => {
                bytes = read;
                if let Some((offset, _)) = lost.first() {
                    let fact = format!(
                        "{} bytes do not verify, the first at {offset}",
                        lost.iter().map(|(_, len)| len).sum::<u64>()
                    );
                    finding = Some((Trouble::Damaged, fact));
                }
            }
            Err(e) => finding = Some((trouble_of(&e), e.to_string())),
        }
        if let Some(why) = &job.unreachable {
            // Nothing is wrong with what is in it, and nothing else will ever get at that.
            finding = Some(match finding {
                Some((trouble, fact)) => (trouble, format!("{why}; {fact}")),
                None => (Trouble::Damaged, why.clone()),
            });
        }
        if let Some((trouble, mut fact)) = finding {
            let envelope = self.volume.envelope_of(&job.object).ok();
            let salvaged = match (&envelope, self.options.salvage) {
                (Some(envelope), Some(out)) if trouble == Trouble::Damaged => self
                    .salvage(envelope, out, &job.path)
                    .inspect_err(|e| fact = format!("{fact}; nothing was saved: {e}"))
                    .ok(),
                _ => None,
            };
            self.push(Finding {
                path: job.path.clone(),
                object: envelope.map(|envelope| envelope.header().object),
                trouble,
                fact,
                repaired: false,
                salvaged,
            });
        }
        let mut report = self.report.lock();
        report.files += 1;
        report.bytes += bytes;
        let (files, bytes) = (report.files, report.bytes);
        drop(report);
        self.progress.checked(files, bytes);
    }

    /// The plain bytes that verify, and the ranges that do not.
    fn read_file(&self, job: &Job) -> Result<(u64, Vec<(u64, u64)>), VolumeError> {
        let fd = self.volume.reopen(&job.object)?;
        let (chosen, _) =
            Envelope::read(self.volume, std::os::fd::AsFd::as_fd(&fd), ObjectType::File)?;
        let envelope = self.volume.envelope_of(&job.object)?;
        if chosen.other_is_stale {
            // Opening it has wiped the slot, if that may be.
            self.interrupted(
                &job.path,
                "a rewrap left the old wrap of its data key",
                || Ok(()),
            );
        }
        let own = self.volume.own_caller();
        if envelope.is_resealing() {
            self.interrupted(&job.path, INTERRUPTED_RESEAL, || {
                Reseal::of_file(&envelope, own)?.run().map(|_| ())
            });
        }
        let file = File::open(&envelope, own, false)?;
        if self.options.look == Look::LastSession {
            if file.is_left_by(self.volume.session) {
                self.interrupted(&job.path, UNSETTLED, || Ok(()));
            }
            return Ok((0, Vec::new()));
        }
        let (bytes, lost) = verify(&file, |_, _| Ok(()))?;
        self.check_attributes(&job.object, &*file)?;
        // Without the volume file nothing tells which sessions have ended.
        if file.is_unsettled() && self.lost.is_none() {
            self.interrupted(&job.path, UNSETTLED, || file.renew());
        }
        if self.options.repair && self.volume.sizes_may_change() {
            // Whatever the record says, entry pages may be of a session that crashed.
            file.renew()?;
        }
        Ok((bytes, lost))
    }

    /// Opens every sealed attribute.
    pub(super) fn check_attributes(
        &self,
        object: &OwnedFd,
        key: &impl AttributeKey,
    ) -> Result<(), VolumeError> {
        if !self.volume.has_sealed_xattrs(object)? {
            return Ok(());
        }
        // The name is inside of the sealed value: opening one opens both.
        self.volume.sealed_xattr_names(object, key).map(|_| ())
    }

    /// Copies what verifies of a damaged file below `out`.
    fn salvage(
        &self,
        envelope: &Arc<Envelope>,
        out: &Path,
        path: &Path,
    ) -> Result<Salvaged, VolumeError> {
        let file = File::without_judgement(envelope, self.volume.own_caller())?;
        let to = below(out, path);
        let fault = |e: std::io::Error| VolumeError::Path {
            path: to.clone(),
            errno: rustix::io::Errno::from_io_error(&e).unwrap_or(rustix::io::Errno::IO),
        };
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(fault)?;
        }
        let copy = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&to)
            .map_err(fault)?;
        let (bytes, lost) = verify(&file, |offset, bytes| {
            copy.write_all_at(bytes, offset).map_err(fault)
        })?;
        copy.set_len(file.len()).map_err(fault)?;
        Ok(Salvaged { to, bytes, lost })
    }
}

/// A path of the volume below a directory; a name cannot lead out of it.
fn below(out: &Path, path: &Path) -> PathBuf {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    out.join(parts.collect::<PathBuf>())
}

/// Reads everything; `sink` gets what verifies, with its offset.
fn verify(
    file: &File,
    mut sink: impl FnMut(u64, &[u8]) -> Result<(), VolumeError>,
) -> Result<(u64, Vec<(u64, u64)>), VolumeError> {
    let (len, mut offset, mut good) = (file.len(), 0, 0);
    let mut lost: Vec<(u64, u64)> = Vec::new();
    let mut lose = |offset: u64, count: u64| match lost.last_mut() {
        Some((first, len)) if *first + *len == offset => *len += count,
        _ => lost.push((offset, count)),
    };
    while offset < len {
        // Absent groups are holes: nothing is stored of them.
        let Some(data) = file.seek(offset, false).unwrap_or(Some(offset)) else {
            good += len - offset;
            break;
        };
        good += data - offset;
        offset = data;
        let count = (GROUP_BYTES - offset % GROUP_BYTES).min(len - offset);
        match file.read(offset, count as usize) {
            Ok(plain) => {
                sink(offset, plain.as_bytes())?;
                good += count;
            }
            Err(VolumeError::Backing {
                operation: "read data" | "read an entry page",
                errno,
            }) if errno != rustix::io::Errno::IO => return Err(failed("read data")(errno)),
            // Chunk by chunk: a damaged one does not cost its neighbours.
            Err(_) => {
                for at in (offset..offset + count).step_by(PAGE as usize) {
                    let part = PAGE.min(offset + count - at);
                    match file.read(at, part as usize) {
                        Ok(plain) => {
                            sink(at, plain.as_bytes())?;
                            good += part;
                        }
                        Err(_) => lose(at, part),
                    }
                }
            }
        }
        offset += count;
    }
    Ok((good, lost))
}
