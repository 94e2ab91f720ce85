//! What is left of a volume whose own file or root directory is lost.
//!
//! Every object carries a header of its own, and that the slot size of the volume: one that is
//! whole is enough to open all the others with. Must not know what salvage does with them.

use std::ffi::CStr;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};

use super::backing::Backing;
use super::directory::stored_names;
use super::header::{Header, ObjectType, choose};
use super::layout::Layout;
use super::names::{self, DIRECTORY_HEADER, Found};

/// Slot classes that there are. FORMAT.md, section 3.
const CLASSES: u8 = 4;

/// The first header below `root` that is whole; directories before what is in them.
pub(super) fn any_header(backing: &dyn Backing, root: BorrowedFd<'_>) -> Option<Header> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let open =
        |dir: BorrowedFd<'_>, name: &CStr| backing.open_at(dir, name, flags, Mode::empty()).ok();
    let mut places: Vec<OwnedFd> = open(root, c".").into_iter().collect();
    while let Some(place) = places.pop() {
        let at = place.as_fd();
        if let Some(header) = header_of(backing, at, DIRECTORY_HEADER, ObjectType::Directory) {
            return Some(header);
        }
        for entry in stored_names(at).unwrap_or_default() {
            let found = names::classify(entry.name.as_bytes());
            if !matches!(found, Found::Sealed(_) | Found::Long(_)) {
                continue;
            }
            match entry.kind {
                FileType::Directory => places.extend(open(at, &entry.name)),
                FileType::RegularFile => {
                    let header = header_of(backing, at, &entry.name, ObjectType::File);
                    if header.is_some() {
                        return header;
                    }
                }
                _ => {}
            }
        }
    }
    None
}

fn header_of(
    backing: &dyn Backing,
    dir: BorrowedFd<'_>,
    name: &CStr,
    kind: ObjectType,
) -> Option<Header> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let fd = backing.open_at(dir, name, flags, Mode::empty()).ok()?;
    (0..CLASSES).filter_map(Layout::new).find_map(|layout| {
        let slot = layout.slot() as usize;
        let mut slots = vec![0; 2 * slot];
        backing
            .read(fd.as_fd(), &mut [IoSliceMut::new(&mut slots)], 0)
            .ok()?;
        let (a, b) = slots.split_at(slot);
        Some(choose(a, b, layout, kind).ok()?.header)
    })
}
