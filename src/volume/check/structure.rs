//! What can be said of a volume without its keys: headers, names of ours, sizes.

use std::ffi::OsStr;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use super::super::backing::Backing;
use super::super::directory::stored_names;
use super::super::error::VolumeError;
use super::super::header::{ObjectType, choose};
use super::super::layout::{Layout, PAGE};
use super::super::marker::MarkerFile;
use super::super::names::{self, Found};
use super::super::open::open_root;
use super::{Finding, Report, Trouble};

/// Looks at what is there; `why` there are no keys.
pub(super) fn check(
    backing: &dyn Backing,
    path: &Path,
    why: String,
) -> Result<Report, VolumeError> {
    let root = open_root(backing, path)?;
    // Nobody changes it meanwhile.
    let (_lock, marker) = MarkerFile::open(backing, &root, path, true)?;
    let mut looker = Looker {
        backing,
        layout: marker.layout,
        report: Report {
            without_keys: Some(why),
            ..Report::default()
        },
    };
    let mut places = vec![(root, PathBuf::from("/"))];
    while let Some((fd, path)) = places.pop() {
        looker.look(&fd, &path, &mut places);
    }
    let mut report = looker.report;
    report.findings.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(report)
}

struct Looker<'a> {
    backing: &'a dyn Backing,
    layout: Layout,
    report: Report,
}

impl Looker<'_> {
    fn look(&mut self, fd: &OwnedFd, path: &Path, places: &mut Vec<(OwnedFd, PathBuf)>) {
        self.report.directories += 1;
        self.header(
            fd.as_fd(),
            names::DIRECTORY_HEADER,
            path,
            ObjectType::Directory,
        );
        let entries = match stored_names(fd.as_fd()) {
            Ok(entries) => entries,
            Err(errno) => {
                let fact = format!("cannot be listed: {errno}");
                self.found(path, Trouble::Damaged, &fact);
                return;
            }
        };
        for entry in entries {
            let inner = path.join(OsStr::from_bytes(entry.name.to_bytes()));
            match names::classify(entry.name.as_bytes()) {
                Found::Internal => continue,
                Found::Temporary => {
                    let fact = "left by something that was being made or taken away";
                    self.found(&inner, Trouble::Interrupted, fact);
                    continue;
                }
                Found::Foreign => {
                    self.found(&inner, Trouble::Foreign, "not the volume's");
                    continue;
                }
                Found::Long(companion) => {
                    if self.backing.stat_at(fd.as_fd(), &companion).is_err() {
                        self.found(&inner, Trouble::Damaged, "its long name is lost");
                    }
                }
                Found::Sealed(_) => {}
            }
            match entry.kind {
                FileType::RegularFile => {
                    self.report.files += 1;
                    self.header(fd.as_fd(), &entry.name, &inner, ObjectType::File);
                }
                FileType::Directory => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                    let opened =
                        self.backing
                            .open_at(fd.as_fd(), &entry.name, flags, Mode::empty());
                    match opened {
                        Ok(opened) => places.push((opened, inner)),
                        Err(e) => self.found(&inner, Trouble::Damaged, &e.to_string()),
                    }
                }
                FileType::Symlink => self.report.symlinks += 1,
                _ => self.report.others += 1,
            }
        }
    }

    fn header(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &std::ffi::CStr,
        path: &Path,
        kind: ObjectType,
    ) {
        let slot = self.layout.slot() as usize;
        let mut slots = vec![0; 2 * slot];
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let read = self
            .backing
            .open_at(dir, name, flags, Mode::empty())
            .and_then(|fd| {
                let read = self
                    .backing
                    .read(fd.as_fd(), &mut [IoSliceMut::new(&mut slots)], 0)?;
                Ok((read, self.backing.stat(fd.as_fd())?.st_size.unsigned_abs()))
            });
        let (a, b) = slots.split_at(slot);
        let fact = match read {
            Err(errno) => format!("its header cannot be read: {errno}"),
            Ok((_, size)) => match choose(a, b, self.layout, kind) {
                Err(e) => e.to_string(),
                Ok(chosen) if chosen.other_is_stale => {
                    let fact = "a rewrap left the old wrap of its data key";
                    self.found(path, Trouble::Interrupted, fact);
                    return;
                }
                Ok(_) if kind == ObjectType::File && size < self.layout.body() + PAGE => {
                    format!("{size} stored bytes are less than an empty file has")
                }
                Ok(_) => return,
            },
        };
        self.found(path, Trouble::Damaged, &fact);
    }

    fn found(&mut self, path: &Path, trouble: Trouble, fact: &str) {
        self.report.findings.push(Finding {
            path: path.to_owned(),
            object: None,
            trouble,
            fact: fact.to_owned(),
            repaired: false,
            salvaged: None,
        });
    }
}
