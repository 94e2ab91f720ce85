//! Groups in memory: an entry page, the key of its chunks, and whether the page on disk agrees.
//!
//! A group is loaded under its own lock and stays until the file has too many of them. What is in
//! memory is on disk as well, but for what loading itself repaired ([`Group::differs`]).

use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::error::{VolumeError, failed};
use super::file::File;
use super::layout::{GROUP_CHUNKS, chunks};
use super::medium::Medium;
use super::page::{Entry, EntryPage, Page, Previous, Seal};
use crate::primitives::{ContentKey, NONCE, random, random_fill};

/// Groups that one file keeps in memory (5 KiB each) before unused ones go.
const KEPT: usize = 256;

/// A group in memory.
pub(super) struct Group {
    /// Its entry page.
    pub page: EntryPage,
    /// Seals its chunks.
    pub key: GroupKey,
    /// Whether its entry page exists.
    pub present: bool,
    /// Whether the page on disk still has entries beyond the end, or pending ones that have been
    /// settled here: it is written before the file grows over them.
    pub differs: bool,
    /// What a power cut may find of its data pages.
    pub medium: Medium,
}

/// The keys of a group's chunks, one for each live epoch.
pub(super) struct GroupKey {
    epoch: u32,
    current: ContentKey,
    old: Option<(u32, ContentKey)>,
}

/// A group's place in the table; `None` until it is loaded.
pub(super) type Shared = Arc<RwLock<Option<Group>>>;

impl GroupKey {
    /// Whether a seal is of the current epoch.
    pub fn seals(&self, seal: &Seal) -> bool {
        seal.epoch_parity == (self.epoch & 1 == 1)
    }
}

/// The groups of one file.
#[derive(Default)]
pub(super) struct Groups(Mutex<HashMap<u64, Shared>>);

impl Groups {
    /// The place of group `index`.
    pub fn get(&self, index: u64) -> Shared {
        let mut table = self.0.lock();
        if table.len() >= KEPT {
            // Whoever works on a group holds another reference to it.
            table.retain(|_, shared| Arc::strong_count(shared) > 1);
        }
        Arc::clone(table.entry(index).or_default())
    }

    /// Forgets every group from `first` on; nobody uses them (the extent is held for writing).
    pub fn forget_from(&self, first: u64) {
        self.0.lock().retain(|index, _| *index < first);
    }

    /// Forgets one group: it is read again, and judged as after a crash.
    pub fn forget(&self, index: u64) {
        self.0.lock().remove(&index);
    }
}

/// Where an absent group lies: between two present ones.
pub(super) struct Absent {
    /// The last present group before it.
    pub previous: Option<u64>,
    /// The first present group after it.
    pub next: Option<u64>,
}

impl File {
    /// Loads group `index` into `slot` if it is not there yet.
    pub(super) fn load<'a>(
        &self,
        slot: &'a mut Option<Group>,
        index: u64,
        len: u64,
    ) -> Result<&'a mut Group, VolumeError> {
        if slot.is_none() {
            *slot = Some(self.read_group(index, len)?);
        }
        slot.as_mut()
            .ok_or(VolumeError::GroupUnverified { group: index })
    }

    pub(super) fn read_entry_page(&self, index: u64) -> Result<Option<EntryPage>, VolumeError> {
        let mut result = Ok(None);
        // Another group's page is read without its lock: a write that is under way may show half
        // of itself. A damaged page stays damaged.
        for _ in 0..4 {
            let mut page = Page::ZERO;
            self.volume()
                .backing
                .read(
                    self.envelope.reader(),
                    &mut [IoSliceMut::new(&mut page.0)],
                    self.layout().entry_page(index),
                )
                .map_err(failed("read an entry page"))?;
            result = self.parse_entry_page(&page, index);
            if result.is_ok() {
                break;
            }
            std::thread::yield_now();
        }
        result
    }

    pub(super) fn parse_entry_page(
        &self,
        page: &Page,
        index: u64,
    ) -> Result<Option<EntryPage>, VolumeError> {
        let keys = self.keys();
        // What a page of zeros says of its epoch does not matter.
        let live = keys.of(EntryPage::epoch_of(page)).unwrap_or(&keys.current);
        EntryPage::parse(page, &live.tool, self.object(), index)
            .map_err(|_| VolumeError::GroupUnverified { group: index })
    }

    fn read_group(&self, index: u64, len: u64) -> Result<Group, VolumeError> {
        let page = self.read_entry_page(index)?;
        // Nobody makes a group while the neighbours of an absent one are looked for.
        let _creation = page.is_none().then(|| self.new_group.lock());
        self.make_group(page, index, len)
    }

    /// Takes a verified page, or none, as group `index` of a file of `len` bytes.
    pub(super) fn make_group(
        &self,
        page: Option<EntryPage>,
        index: u64,
        len: u64,
    ) -> Result<Group, VolumeError> {
        let Some(page) = page else {
            let absent = self.absent(index)?;
            let session = self.volume().session;
            let epoch = self.keys().current.number;
            let page = EntryPage::new(epoch, session, absent.previous, random());
            let key = self.group_key(index, &page.salt);
            return Ok(Group {
                page,
                key,
                present: false,
                differs: false,
                medium: Medium::default(),
            });
        };
        // A write that failed after it had made the group, or a crash, may not have told.
        self.raise_last_group(index);
        let key = self.group_key(index, &page.salt);
        let mut group = Group {
            page,
            key,
            present: true,
            differs: false,
            medium: Medium::default(),
        };
        self.clear_beyond(&mut group, index, len);
        // What this session has left pending was changed since the last sync, for all that is known;
        // whichever state is found now, a power cut may find the other.
        let ours = self.promises() && group.page.session == self.volume().session;
        for (chunk, entry) in group.page.entries.iter().enumerate() {
            let previous = matches!(
                entry,
                Entry::Data {
                    previous: Some(_),
                    ..
                }
            );
            if previous && ours {
                group.medium.note_changed(chunk, &self.syncs);
            }
        }
        if self.volume().is_crashed(&group.page, self.object(), index) {
            self.settle_pending(&mut group, index, ours)?;
        }
        Ok(group)
    }

    /// Entries beyond the end are what a crash between ftruncate and the entry page left.
    pub(super) fn clear_beyond(&self, group: &mut Group, index: u64, len: u64) {
        let inside = chunks(len)
            .saturating_sub(index * GROUP_CHUNKS)
            .min(GROUP_CHUNKS) as usize;
        for chunk in inside..GROUP_CHUNKS as usize {
            group.medium.forget(chunk);
            if group.page.entries[chunk] != Entry::Hole || !group.page.is_hole(chunk) {
                group.page.set(chunk, Entry::Hole);
                group.differs = true;
            }
        }
    }

    /// Decides for every pending entry which of its two states the stored page is in. The other one
    /// stays noted in a group of this session: the medium may be in that, for all that is synced.
    fn settle_pending(&self, group: &mut Group, index: u64, ours: bool) -> Result<(), VolumeError> {
        for chunk in 0..GROUP_CHUNKS as usize {
            let Entry::Data {
                current,
                previous: Some(previous),
            } = group.page.entries[chunk]
            else {
                continue;
            };
            let at = index * GROUP_CHUNKS + chunk as u64;
            let stored = self.read_stored(at, 1)?;
            let opens = |seal: &Seal| self.open_page(&group.key, at, seal, &mut stored[0].clone());
            let settled = |current, other| Entry::Data {
                current,
                previous: ours.then_some(other),
            };
            let entry = match previous {
                _ if opens(&current) => settled(current, previous),
                Previous::Hole => Entry::Hole,
                Previous::Sealed(seal) if opens(&seal) => settled(seal, Previous::Sealed(current)),
                // Neither: the chunk stays as it is and reads as EBADMSG.
                Previous::Sealed(_) => settled(current, previous),
            };
            if group.page.entries[chunk] != entry {
                group.page.set(chunk, entry);
                group.differs = true;
            }
        }
        Ok(())
    }

    /// Reads stored data pages; those beyond the end of the stored file are zeros.
    pub(super) fn read_stored(&self, first: u64, count: usize) -> Result<Vec<Page>, VolumeError> {
        let mut pages = vec![Page::ZERO; count];
        self.volume()
            .backing
            .read(
                self.envelope.reader(),
                &mut [IoSliceMut::new(bytemuck::cast_slice_mut(&mut pages))],
                self.layout().data_page(first),
            )
            .map_err(failed("read data"))?;
        Ok(pages)
    }

    fn aad(&self, index: u64, epoch: u32) -> [u8; 28] {
        let mut aad = [0; 28];
        aad[..16].copy_from_slice(self.object());
        aad[16..24].copy_from_slice(&index.to_le_bytes());
        aad[24..].copy_from_slice(&epoch.to_le_bytes());
        aad
    }

    /// Opens a stored page in place; tells whether it verified.
    pub(super) fn open_page(
        &self,
        key: &GroupKey,
        index: u64,
        seal: &Seal,
        page: &mut Page,
    ) -> bool {
        let (epoch, key) = match &key.old {
            _ if key.seals(seal) => (key.epoch, &key.current),
            Some((epoch, key)) => (*epoch, key),
            None => return false,
        };
        let aad = self.aad(index, epoch);
        key.open(seal.nonce, seal.tag, &aad, &mut page.0).is_ok()
    }

    fn group_key(&self, index: u64, salt: &[u8; 16]) -> GroupKey {
        let keys = self.keys();
        GroupKey {
            epoch: keys.current.number,
            current: keys.current.key.group(index, salt),
            old: keys
                .old
                .as_ref()
                .map(|old| (old.number, old.key.group(index, salt))),
        }
    }

    /// Before something is sealed in a group: from now on its page belongs to the current epoch,
    /// whose key has sealed nothing in it yet.
    pub(super) fn raise_epoch(&self, page: &mut EntryPage) {
        let current = self.keys().current.number;
        if page.epoch != current {
            page.epoch = current;
            page.sealings = 0;
        }
    }

    /// The bytes of an entry page.
    pub(super) fn encode_page(&self, page: &EntryPage, index: u64) -> Result<Page, VolumeError> {
        let keys = self.keys();
        let live = keys
            .of(page.epoch)
            .ok_or(VolumeError::GroupUnverified { group: index })?;
        Ok(page.encode(&live.tool, self.object(), index))
    }

    /// Seals plain pages in place, the first of which is chunk `first`.
    pub(super) fn seal_pages(&self, key: &GroupKey, first: u64, pages: &mut [Page]) -> Vec<Seal> {
        let mut nonces = vec![0; NONCE * pages.len()];
        random_fill(&mut nonces);
        let nonces = nonces.chunks_exact(NONCE);
        pages
            .iter_mut()
            .zip(nonces)
            .zip(first..)
            .map(|((page, random), index)| {
                let mut nonce = [0; NONCE];
                nonce.copy_from_slice(random);
                let tag = key
                    .current
                    .seal(nonce, &self.aad(index, key.epoch), &mut page.0);
                Seal {
                    nonce,
                    tag,
                    epoch_parity: key.epoch & 1 == 1,
                }
            })
            .collect()
    }

    /// Finds what is around an absent group, and whether it may be absent.
    pub(super) fn absent(&self, index: u64) -> Result<Absent, VolumeError> {
        if let Some((previous, next)) = self.gaps.lock().iter().find_map(|(previous, next)| {
            (*previous < index && index < *next).then_some((*previous, *next))
        }) {
            return Ok(Absent {
                previous: Some(previous),
                next: Some(next),
            });
        }
        let last = self.last_group();
        if index > last {
            return Ok(Absent {
                previous: Some(last),
                next: None,
            });
        }
        let Some((next, page)) = self.next_present(index + 1, last)? else {
            return Err(VolumeError::GroupMissing { group: index });
        };
        // Its link is what makes the absence legal; the nearest predecessor may be a later one, if
        // a crash came before it was linked.
        let mut previous = page
            .previous_group
            .filter(|previous| *previous < index)
            .ok_or(VolumeError::GroupMissing { group: index })?;
        while let Some((nearer, _)) = self.next_present(previous + 1, index - 1)? {
            previous = nearer;
        }
        self.gaps.lock().push((previous, next));
        Ok(Absent {
            previous: Some(previous),
            next: Some(next),
        })
    }

    /// The first present group from `first` to `last`, found by what is stored.
    pub(super) fn next_present(
        &self,
        first: u64,
        last: u64,
    ) -> Result<Option<(u64, EntryPage)>, VolumeError> {
        let mut candidate = first;
        while candidate <= last {
            // A present group begins with stored data.
            let offset = self.layout().entry_page(candidate);
            let found = self
                .volume()
                .backing
                .seek(self.envelope.reader(), SeekFrom::Data(offset));
            candidate = match found {
                Ok(at) => self.layout().group_at(at).max(candidate),
                Err(Errno::NXIO) => return Ok(None),
                Err(errno) => return Err(failed("seek")(errno)),
            };
            if candidate > last {
                return Ok(None);
            }
            if let Some(page) = self.read_entry_page(candidate)? {
                return Ok(Some((candidate, page)));
            }
            candidate += 1;
        }
        Ok(None)
    }

    /// Writes the entry page of a group, with `durable` so that a power cut does not undo it.
    pub(super) fn store_page(
        &self,
        group: &mut Group,
        index: u64,
        durable: bool,
    ) -> Result<(), VolumeError> {
        group.page.session = self.volume().session;
        let bytes = self.encode_page(&group.page, index)?;
        let (backing, fd) = (&self.volume().backing, self.envelope.writer()?);
        let at = self.layout().entry_page(index);
        let written = if durable {
            backing.write_durable(fd, &bytes.0, at)
        } else {
            let written = backing.write(fd, &mut [IoSlice::new(&bytes.0)], at);
            written.map_err(|(_, errno)| errno)
        };
        if durable && written.is_err_and(|errno| errno != Errno::NOSPC) {
            // It may have been the failure of an earlier write, which is told only once.
            self.syncs.fail();
        }
        written.map_err(failed("write an entry page"))?;
        group.present = true;
        group.differs = false;
        Ok(())
    }
}
