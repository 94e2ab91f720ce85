//! Reading and writing of plain bytes. FORMAT.md, sections 4 and 5.
//!
//! A request is split by groups; each part runs under its group's lock. Writers of different
//! groups run in parallel, readers of one group too. What would change durable pages waits in
//! `held`.

use std::io::IoSlice;
use std::sync::atomic::Ordering;

use parking_lot::RwLockWriteGuard;

use super::error::{VolumeError, failed};
use super::file::File;
use super::group::Group;
use super::layout::{GROUP_BYTES, GROUP_CHUNKS, MAX_PLAIN, PAGE, chunk_len, chunks, group_of};
use super::page::{Entry, EntryPage, Page, Previous, Record, Seal, SizeRecord, Tail};
use crate::codec::is_zero;

/// Sealings that one group's key may do: half of what the cipher allows (FORMAT.md, section 4).
const MOST_SEALINGS: u64 = 1 << 31;

/// Plain bytes that have been read.
pub struct Plain {
    pages: Vec<Page>,
    skip: usize,
    len: usize,
}

impl Plain {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.pages)[self.skip..self.skip + self.len]
    }
}

/// The part of a request that lies in one group.
pub(super) struct Part<'a> {
    pub group: u64,
    /// Plain offset of the first byte.
    pub offset: u64,
    pub data: &'a [u8],
}

/// Where a file ends on the medium before a change and after it, in plain bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub before: u64,
    pub after: u64,
}

impl From<(u64, u64)> for Ends {
    fn from((before, after): (u64, u64)) -> Self {
        Self { before, after }
    }
}

impl Part<'_> {
    pub fn end(&self) -> u64 {
        self.offset + self.data.len() as u64
    }

    pub fn first(&self) -> u64 {
        self.offset / PAGE
    }

    pub fn last(&self) -> u64 {
        (self.end() - 1) / PAGE
    }

    /// Puts the bytes into the pages that they go to.
    pub fn lay_over(&self, pages: &mut [Page]) {
        let skip = (self.offset % PAGE) as usize;
        bytemuck::cast_slice_mut::<Page, u8>(pages)[skip..skip + self.data.len()]
            .copy_from_slice(self.data);
    }
}

/// What became of a part of a write.
pub(super) struct Written {
    /// Bytes that were taken.
    pub bytes: usize,
    /// They wait, and the medium knows nothing of them.
    pub waits: bool,
}

impl File {
    /// Reads up to `size` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// [`VolumeError::ChunkUnverified`] and its relatives; never bytes that were not written here.
    pub fn read(&self, offset: u64, size: usize) -> Result<Plain, VolumeError> {
        let len = self.len.read();
        let _writing = self.writing.read();
        let end = offset.saturating_add(size as u64).min(*len);
        if offset >= end {
            return Ok(Plain {
                pages: Vec::new(),
                skip: 0,
                len: 0,
            });
        }
        let (first, last) = (offset / PAGE, (end - 1) / PAGE);
        let mut pages = vec![Page::ZERO; (last - first + 1) as usize];
        let mut index = first;
        while index <= last {
            let group = group_of(index);
            let count = (last + 1).min((group + 1) * GROUP_CHUNKS) - index;
            let at = (index - first) as usize;
            let part = &mut pages[at..at + count as usize];
            self.with_group(group, *len, |state| self.read_pages(state, index, part))?;
            index += count;
        }
        Ok(Plain {
            pages,
            skip: (offset % PAGE) as usize,
            len: (end - offset) as usize,
        })
    }

    /// Runs `f` with group `index` locked for reading, after loading it if need be.
    pub(super) fn with_group<T>(
        &self,
        index: u64,
        len: u64,
        f: impl FnOnce(&Group) -> Result<T, VolumeError>,
    ) -> Result<T, VolumeError> {
        let shared = self.groups.get(index);
        let mut guard = shared.read();
        if guard.is_none() {
            drop(guard);
            let mut slot = shared.write();
            self.load(&mut slot, index, len)?;
            guard = RwLockWriteGuard::downgrade(slot);
        }
        match guard.as_ref() {
            Some(group) => f(group),
            None => Err(VolumeError::GroupUnverified { group: index }),
        }
    }

    /// Reads and opens the chunks from `first` on, all of one group.
    fn read_pages(&self, group: &Group, first: u64, out: &mut [Page]) -> Result<(), VolumeError> {
        if self.held.is_anew() {
            out.fill(Page::ZERO);
            self.held.copy(first, out);
            return Ok(());
        }
        let slot = |at: usize| ((first + at as u64) % GROUP_CHUNKS) as usize;
        let held = self.held.mask(first, out.len());
        let is_held = |at: usize| held >> at & 1 == 1;
        if (0..out.len()).all(|at| is_held(at) || group.page.entry(slot(at)) == Entry::Hole) {
            self.held.copy(first, out);
            return Ok(());
        }
        self.volume()
            .backing
            .read(
                self.envelope.reader(),
                &mut [std::io::IoSliceMut::new(bytemuck::cast_slice_mut(out))],
                self.layout().data_page(first),
            )
            .map_err(failed("read data"))?;
        for (at, page) in out.iter_mut().enumerate() {
            if is_held(at) {
                continue;
            }
            let index = first + at as u64;
            match group.page.entry(slot(at)) {
                // What a punched page still holds is nobody's.
                Entry::Hole => page.0.fill(0),
                Entry::Data { current, .. } => {
                    if !self.open_page(&group.key, index, &current, page) {
                        return Err(VolumeError::ChunkUnverified { index });
                    }
                }
                Entry::Lost | Entry::Malformed => {
                    return Err(VolumeError::ChunkUnverified { index });
                }
            }
        }
        self.held.copy(first, out);
        Ok(())
    }

    /// Writes `data` at `offset` and returns how many bytes are in the file now: all of them, or
    /// those before a fault.
    ///
    /// # Errors
    /// The fault, when nothing was written. Every byte that could be read before still can be.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<usize, VolumeError> {
        if data.is_empty() {
            return Ok(0);
        }
        let end = offset
            .checked_add(data.len() as u64)
            .filter(|end| *end <= MAX_PLAIN)
            .ok_or(VolumeError::FileTooLarge { limit: MAX_PLAIN })?;
        // Before anything is accepted: what cannot be let down must not pile up.
        self.make_room()?;
        let written = self.envelope.changing(|| {
            let len = self.len.read();
            if end <= *len {
                return self.write_parts(&mut len.clone(), offset, data);
            }
            drop(len);
            let mut len = self.len.write();
            let old = *len;
            if offset > old {
                self.grow(&mut len, offset)?;
            }
            let result = self.write_parts(&mut len, offset, data);
            if result.is_err() && *len > old {
                // Nothing was written: the file must not be longer for it.
                let _ = self.shrink(&mut len, old);
            }
            self.envelope.publish_len(Some(*len));
            result
        })?;
        self.hurry_if_many();
        Ok(written)
    }

    /// Writes all of it, or fails: for whoever cannot be told that a part is missing, as the kernel
    /// when it writes the pages of a mapping back.
    ///
    /// # Errors
    /// As [`File::write`], also when a part was written.
    pub fn write_all(&self, offset: u64, data: &[u8]) -> Result<(), VolumeError> {
        let mut done = 0;
        while done < data.len() {
            done += self.write(offset + done as u64, &data[done..])?;
        }
        Ok(())
    }

    pub(super) fn write_parts(
        &self,
        len: &mut u64,
        offset: u64,
        data: &[u8],
    ) -> Result<usize, VolumeError> {
        let _writing = self.writing.read();
        let mut done = 0;
        let mut waits = false;
        while done < data.len() {
            let at = offset + done as u64;
            let group = group_of(at / PAGE);
            let room = ((group + 1) * GROUP_BYTES - at) as usize;
            let part = Part {
                group,
                offset: at,
                data: &data[done..data.len().min(done + room)],
            };
            match self.write_part(*len, &part) {
                Ok(written) => {
                    done += written.bytes;
                    waits |= written.waits;
                    *len = (*len).max(at + written.bytes as u64);
                    if written.bytes < part.data.len() {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        if waits {
            // What an application sees of its write. That is taken already, whatever comes of this.
            if let Err(e) = self.set_times_now() {
                log::warn!("the time of a write is not shown: {e}");
            }
        }
        Ok(done)
    }

    /// Marks the record dirty before the first change after a clean one. Group 0's own writes do
    /// it themselves, with their entry page.
    pub(super) fn mark_dirty(&self, ends: Option<Ends>) -> Result<(), VolumeError> {
        if self.dirty.load(Ordering::Acquire) {
            return Ok(());
        }
        let shared = self.groups.get(0);
        let mut slot = shared.write();
        let group = self.load(&mut slot, 0, self.farthest())?;
        let mut page = group.page.clone();
        self.intend(&mut page, 0, ends);
        self.replace_page(&mut slot, 0, page, false)
    }

    /// Whether the medium has a record that no other length goes with.
    pub(super) fn must_announce(&self) -> bool {
        self.promises() && self.record_is_old.load(Ordering::Acquire)
    }

    /// Before a length changes for the first time in this session: makes the dirty record durable.
    /// Else a power cut could leave the new length with the old record, which refuses it.
    pub(super) fn announce(&self, ends: Ends) -> Result<(), VolumeError> {
        if !self.must_announce() {
            return Ok(());
        }
        let shared = self.groups.get(0);
        let mut slot = shared.write();
        let mut page = self.load(&mut slot, 0, self.farthest())?.page.clone();
        let mut floor = ends.before.min(ends.after);
        if self.dirty.load(Ordering::Acquire) {
            floor = floor.min(self.floor.load(Ordering::Acquire));
        }
        page.record = Some(SizeRecord {
            record: Record::Dirty {
                floor,
                target: ends.after,
            },
            last_group: self.last_group(),
            session: self.volume().session,
            lowest_epoch: self.keys().lowest(),
        });
        self.replace_page(&mut slot, 0, page, true)?;
        self.note_announced();
        Ok(())
    }

    /// Puts the dirty record into group 0's page if the one on disk is clean. `None`: the file
    /// keeps its length.
    pub(super) fn intend(&self, page: &mut EntryPage, group: u64, ends: Option<Ends>) {
        if group == 0 && !self.dirty.load(Ordering::Acquire) {
            // What waits behind the end on the medium is no floor.
            let len = self.envelope.open_len().unwrap_or(0);
            let len = self.held.base(len).min(len);
            let ends = ends.unwrap_or(Ends::from((len, len)));
            page.record = Some(SizeRecord {
                record: Record::Dirty {
                    floor: ends.before.min(ends.after),
                    target: ends.after,
                },
                last_group: self.last_group(),
                session: self.volume().session,
                lowest_epoch: self.keys().lowest(),
            });
        }
    }

    /// Writes `page` as the entry page of a group and takes it over.
    ///
    /// A failure leaves the group unloaded: what is on disk then is read and judged again.
    pub(super) fn replace_page(
        &self,
        slot: &mut Option<Group>,
        index: u64,
        page: EntryPage,
        durable: bool,
    ) -> Result<(), VolumeError> {
        let group = slot
            .as_mut()
            .ok_or(VolumeError::GroupUnverified { group: index })?;
        group.page = page;
        match self.store_page(group, index, durable) {
            Ok(()) => {
                self.note_record(&group.page, index);
                Ok(())
            }
            Err(e) => {
                self.distrust(slot, index);
                Err(e)
            }
        }
    }

    /// Remembers what group 0's page now says on disk.
    fn note_record(&self, page: &EntryPage, index: u64) {
        if index == 0
            && let Some(SizeRecord {
                record: Record::Dirty { floor, .. },
                ..
            }) = page.record
        {
            self.floor.store(floor, Ordering::Release);
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Forgets a group whose page on disk may be old or new, as after a crash.
    pub(super) fn distrust(&self, slot: &mut Option<Group>, index: u64) {
        self.faults.fetch_add(1, Ordering::AcqRel);
        self.volume().distrust(self.object(), index);
        *slot = None;
    }

    /// The plain pages of a part: the old bytes around it, and its own. Tells too whether something
    /// that is not the file's any more lies behind its end, in its last page.
    fn compose(
        &self,
        group: &Group,
        len: u64,
        part: &Part<'_>,
    ) -> Result<(Vec<Page>, bool), VolumeError> {
        let (first, last) = (part.first(), part.last());
        let mut stale = false;
        let mut pages = vec![Page::ZERO; (last - first + 1) as usize];
        let end = len / PAGE;
        let mut end_is_seen = len.is_multiple_of(PAGE) || !(first..=last).contains(&end);
        for index in [first, last] {
            let start = index * PAGE;
            let low = part.offset.max(start) - start;
            let high = part.end().min(start + PAGE) - start;
            let valid = chunk_len(index, len);
            // A chunk whose readable bytes are all replaced is neither read nor verified.
            if low > 0 || high < valid as u64 {
                let at = (index - first) as usize;
                self.read_pages(group, index, &mut pages[at..=at])?;
                stale |= !is_zero(&pages[at].0[valid..]);
                pages[at].0[valid..].fill(0);
                end_is_seen |= index == end;
            }
            if first == last {
                break;
            }
        }
        if !end_is_seen && self.promises() {
            // All that can be read of the chunk in which the file ends is replaced. What lies behind
            // the end on the medium counts nevertheless: the page may be back after a power cut, in
            // a file that is longer by then.
            let mut page = [Page::ZERO];
            let behind = chunk_len(end, len)..;
            stale |=
                self.read_pages(group, end, &mut page).is_err() || !is_zero(&page[0].0[behind]);
        }
        part.lay_over(&mut pages);
        Ok((pages, stale))
    }

    /// Where the tail is, if it is in `group` of a file of `len` bytes.
    pub(super) fn tail_in(group: u64, len: u64) -> Option<Tail> {
        let last = chunks(len).checked_sub(1)?;
        (!len.is_multiple_of(PAGE) && group_of(last) == group).then_some(Tail {
            chunk: (last % GROUP_CHUNKS) as u32,
            len: (len % PAGE) as u32,
        })
    }

    /// Writes the part of a request that lies in one group.
    fn write_part(&self, len: u64, part: &Part<'_>) -> Result<Written, VolumeError> {
        if self.held.is_anew() {
            return self.hold_anew(part, len);
        }
        // A part that does not make the file longer leaves its end alone, wherever the medium has it:
        // what waits behind it may come down at any moment.
        let ends = (part.end() > len).then_some(Ends {
            before: len,
            after: part.end(),
        });
        // A floor may be too low, not too high.
        let floor = self.held.base(len).min(len);
        let announced = ends.map(|ends| Ends {
            before: floor,
            ..ends
        });
        let shared = self.groups.get(part.group);
        if let Some(announced) = announced {
            self.announce(announced)?;
        }
        if part.group > 0 {
            self.mark_dirty(announced)?;
        }
        let mut slot = shared.write();
        let group = self.load(&mut slot, part.group, len)?;
        group.medium.refresh(&self.syncs);
        let (mut pages, stale) = self.compose(group, len, part)?;
        if group.page.sealings + pages.len() as u64 > MOST_SEALINGS {
            return Err(VolumeError::NoncesUsedUp { group: part.group });
        }
        // Also what nobody was promised, if something lies behind the end: the clean page must be
        // durable before the file is longer.
        if self.must_wait(group, part) || stale && self.promises() {
            return self.hold(Some(group), part, len, &pages, stale);
        }
        self.farthest.fetch_max(part.end(), Ordering::AcqRel);
        let linking = self.begin_group(group, part.group)?;
        let seals = self.seal_pages(&group.key, part.first(), &mut pages);
        let seals: Vec<_> = (part.first()..).zip(seals).collect();
        let plan = self.plan(group, part.group, ends, &seals);
        let ends = ends.unwrap_or(Ends::from((len, len)));
        let written = self.carry_out(&mut slot, ends, part, &plan, &pages);
        if written.is_ok() {
            if let Some(group) = slot.as_mut() {
                self.note_written(group, ends, &plan, &seals);
            }
            self.finish_group(part.group, linking)?;
        } else if linking.is_some() {
            let _ = self.finish_group(part.group, linking);
            // What the failure has left is read again: the group may be there or not.
            slot.take();
        }
        Ok(Written {
            bytes: written?,
            waits: false,
        })
    }

    /// Remembers what a power cut may find of chunks that were written without a barrier.
    fn note_written(&self, group: &mut Group, ends: Ends, plan: &Plan, seals: &[(u64, Seal)]) {
        if !self.volume().is_strict() {
            return;
        }
        for (index, _) in seals {
            let at = (index % GROUP_CHUNKS) as usize;
            let fills = *index < chunks(ends.before) && plan.before.entry(at) == Entry::Hole;
            if fills && self.promises() {
                group.medium.note_changed(at, &self.syncs);
            } else {
                group.medium.note_fresh(at, &self.syncs);
            }
        }
    }

    /// Before a group's entry page is written: finds the successor whose link has to name it. That
    /// is of a new group, and of one that a crash has left unlinked.
    pub(super) fn begin_group<'a>(
        &'a self,
        group: &mut Group,
        index: u64,
    ) -> Result<Option<Linking<'a>>, VolumeError> {
        if !group.present {
            let creation = self.new_group.lock();
            let around = self.absent(index)?;
            group.page.previous_group = around.previous;
            return Ok(Some(Linking {
                _creation: Some(creation),
                next: around.next,
            }));
        }
        if self.volume().crashed(group.page.session) && index < self.last_group() {
            let next = self.next_present(index + 1, self.last_group())?;
            return Ok(Some(Linking {
                _creation: None,
                next: next.map(|(next, _)| next),
            }));
        }
        Ok(None)
    }

    /// After a group's entry page was written: links it.
    pub(super) fn finish_group(
        &self,
        index: u64,
        linking: Option<Linking<'_>>,
    ) -> Result<(), VolumeError> {
        match linking {
            Some(linking) => self.link_new_group(index, linking.next),
            None => Ok(()),
        }
    }

    /// What a change does to the entry page of group `index`. `None`: the file keeps its length.
    pub(super) fn plan(
        &self,
        group: &Group,
        index: u64,
        ends: Option<Ends>,
        seals: &[(u64, Seal)],
    ) -> Plan {
        let mut before = group.page.clone();
        for (chunk, entry) in before.entries.iter_mut().enumerate() {
            // A change that is complete needs its previous state no more.
            if let Entry::Data { previous, .. } = entry
                && !group.medium.is_changed(chunk)
            {
                *previous = None;
            }
        }
        if !seals.is_empty() {
            self.raise_epoch(&mut before);
        }
        before.sealings += seals.len() as u64;
        self.intend(&mut before, index, ends);
        let mut after = before.clone();
        if let Some(ends) = ends {
            after.tail = Self::tail_in(index, ends.after);
        }
        for (chunk, seal) in seals {
            let at = (chunk % GROUP_CHUNKS) as usize;
            let inside = ends.is_none_or(|ends| *chunk < chunks(ends.before));
            let previous = match before.entry(at) {
                Entry::Hole if inside => Some(Previous::Hole),
                Entry::Data { current, .. } => Some(Previous::Sealed(current)),
                Entry::Hole | Entry::Lost | Entry::Malformed => None,
            };
            after.set(
                at,
                Entry::Data {
                    current: *seal,
                    previous,
                },
            );
        }
        Plan { before, after }
    }

    /// Writes the entry page, then the data. Returns the plain bytes of the part that are in the
    /// file now.
    fn carry_out(
        &self,
        slot: &mut Option<Group>,
        ends: Ends,
        part: &Part<'_>,
        plan: &Plan,
        pages: &[Page],
    ) -> Result<usize, VolumeError> {
        let fd = self.envelope.writer()?;
        let backing = &self.volume().backing;
        let layout = self.layout();
        let data: &[u8] = bytemuck::cast_slice(pages);
        // Entry page and data touch: one call does both, in this order.
        let result = if part.first().is_multiple_of(GROUP_CHUNKS) {
            let group = slot
                .as_mut()
                .ok_or(VolumeError::GroupUnverified { group: part.group })?;
            group.page = plan.after.clone();
            group.page.session = self.volume().session;
            let entry_page = self.encode_page(&group.page, part.group)?;
            let result = backing.write(
                fd,
                &mut [IoSlice::new(&entry_page.0), IoSlice::new(data)],
                layout.entry_page(part.group),
            );
            let data_result = match result {
                Err((done, errno)) if done < PAGE as usize => {
                    self.distrust(slot, part.group);
                    return Err(failed("write an entry page")(errno));
                }
                Err((done, errno)) => Err((done - PAGE as usize, errno)),
                Ok(()) => Ok(()),
            };
            // The entry page is there, whatever became of the data.
            group.present = true;
            group.differs = false;
            self.note_record(&group.page, part.group);
            data_result
        } else {
            self.replace_page(slot, part.group, plan.after.clone(), false)?;
            let data_at = layout.data_page(part.first());
            backing.write(fd, &mut [IoSlice::new(data)], data_at)
        };
        if let Err((done, errno)) = result {
            return self.fall_back(slot, ends.before, part, plan, done / PAGE as usize, errno);
        }
        self.fit_size(slot, part, ends.before)?;
        Ok(part.data.len())
    }

    /// Gives the stored file the size that says the new length, after pages were appended.
    fn fit_size(
        &self,
        slot: &mut Option<Group>,
        part: &Part<'_>,
        len: u64,
    ) -> Result<(), VolumeError> {
        let end = part.end();
        if end <= len {
            return Ok(());
        }
        // The data pages have brought the file to the end of the last one. The old rest, a hole
        // behind the old last page, is still there when that page is the last one now.
        let same_last = chunks(end) == chunks(len);
        let old_rest_stays = same_last && !len.is_multiple_of(PAGE);
        if end.is_multiple_of(PAGE) && !old_rest_stays {
            return Ok(());
        }
        self.volume()
            .backing
            .truncate(self.envelope.writer()?, self.layout().stored_len(end))
            .map_err(|errno| {
                self.distrust(slot, part.group);
                failed("set the size")(errno)
            })
    }

    /// After a failed data write: keeps the pages that were written, puts the rest back.
    fn fall_back(
        &self,
        slot: &mut Option<Group>,
        len: u64,
        part: &Part<'_>,
        plan: &Plan,
        pages_done: usize,
        errno: rustix::io::Errno,
    ) -> Result<usize, VolumeError> {
        let group_key = slot.as_ref().map(|group| &group.key);
        let puts_back_old = (part.first()..=part.last()).any(|index| {
            let entry = plan.before.entries[(index % GROUP_CHUNKS) as usize];
            matches!(entry, Entry::Data { current, .. } if group_key.is_none_or(|key| !key.seals(&current)))
        });
        if puts_back_old {
            self.faults.fetch_add(1, Ordering::AcqRel);
        }
        let covered = (part.first() + pages_done as u64) * PAGE;
        let end = part.end().min(covered).max(part.offset);
        let new_len = len.max(end);
        let mut page = plan.before.clone();
        for index in part.first()..part.first() + pages_done as u64 {
            let at = (index % GROUP_CHUNKS) as usize;
            page.set(at, plan.after.entries[at]);
        }
        if new_len > len {
            page.tail = Self::tail_in(part.group, new_len);
        }
        let present = slot.as_ref().is_some_and(|group| group.present);
        if present || pages_done > 0 {
            self.replace_page(slot, part.group, page, false)?;
        }
        // A torn last page beyond the end must not count as contents.
        if part.end() > len {
            let size = self.layout().stored_len(new_len);
            let cut = self
                .volume()
                .backing
                .truncate(self.envelope.writer()?, size);
            if let Err(errno) = cut {
                self.distrust(slot, part.group);
                return Err(failed("put the size back")(errno));
            }
        }
        if end > part.offset {
            return Ok((end - part.offset) as usize);
        }
        Err(failed("write data")(errno))
    }

    /// After a group came to be: its successor's link, and what is remembered.
    fn link_new_group(&self, group: u64, next: Option<u64>) -> Result<(), VolumeError> {
        self.gaps
            .lock()
            .retain(|(previous, next)| !(*previous < group && group < *next));
        let Some(next) = next else {
            return self.note_if_present(group);
        };
        let shared = self.groups.get(next);
        let mut slot = shared.write();
        if slot.is_none() {
            let page = self.read_entry_page(next)?;
            let page = page.ok_or(VolumeError::GroupMissing { group: next })?;
            *slot = Some(self.make_group(Some(page), next, self.farthest())?);
        }
        let Some(successor) = slot.as_ref() else {
            return Err(VolumeError::GroupMissing { group: next });
        };
        let mut page = successor.page.clone();
        if page
            .previous_group
            .is_some_and(|previous| previous >= group)
        {
            return Ok(());
        }
        // A link to a group that a failed write has not made would be a lie.
        if self.read_entry_page(group)?.is_none() {
            return Ok(());
        }
        page.previous_group = Some(group);
        self.replace_page(&mut slot, next, page, false)
    }

    fn note_if_present(&self, group: u64) -> Result<(), VolumeError> {
        if self.read_entry_page(group)?.is_some() {
            self.raise_last_group(group);
        }
        Ok(())
    }
}

/// An entry page before a change and after it.
pub(super) struct Plan {
    /// As it is, with the sealings counted.
    pub before: EntryPage,
    /// Written before the data.
    pub after: EntryPage,
}

/// A group that is about to be linked: none is made meanwhile.
pub(super) struct Linking<'a> {
    _creation: Option<parking_lot::MutexGuard<'a, ()>>,
    next: Option<u64>,
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::sync::Arc;

    use super::super::reseal::Reseal;
    use super::super::{InitOptions, OpenOptions, Owner, Volume};
    use super::*;
    use crate::kms::Kms;
    use crate::kms::api::Operation;
    use crate::kms::caller::Caller;
    use crate::kms::rootkey::RootKeySource;
    use crate::kms::service::EncryptionAlgorithm;
    use crate::kms::store::Store;
    use crate::volume::backing::System;

    #[test]
    fn a_group_whose_nonces_are_used_up_is_written_no_further_until_a_reseal() {
        let dir = tempfile::tempdir().expect("tempdir");
        let store = Store::create(&dir.path().join("k"), &RootKeySource::File).expect("keystore");
        let kms = Arc::new(Kms::new(store));
        let caller = Caller::root("000000000000", "us-east-1");
        let create = Operation::find("CreateKey").expect("in the table");
        let made = kms
            .call(&caller, create, serde_json::json!({}))
            .expect("key");
        let path = dir.path().join("volume");
        let options = InitOptions {
            key_id: made["KeyMetadata"]["Arn"].as_str().expect("ARN").to_owned(),
            algorithm: EncryptionAlgorithm::SYMMETRIC_DEFAULT,
            context: None,
            slot_class: 0,
        };
        Volume::init(&System, &*kms, &caller, &path, &options).expect("init");
        let volume = Volume::open(Arc::new(System), kms, &path, OpenOptions::default());
        let root = volume.expect("open").root().expect("root");
        let owner = Owner {
            uid: 0,
            gid: 0,
            mode: 0o600,
            umask: 0,
        };
        let (_, file, _) = root
            .create_file(&caller, OsStr::new("file"), owner)
            .expect("create");
        file.write(0, &[1; 2 * PAGE as usize]).expect("write");
        let used_up = |file: &File| {
            let shared = file.groups.get(0);
            let mut slot = shared.write();
            let mut page = file
                .load(&mut slot, 0, file.len())
                .expect("load")
                .page
                .clone();
            page.sealings = MOST_SEALINGS - 1;
            file.replace_page(&mut slot, 0, page, false).expect("store");
        };
        used_up(&file);
        file.write(0, &[2; PAGE as usize]).expect("the last one");
        let refused = file.write(PAGE, &[3; PAGE as usize]);
        assert!(
            matches!(refused, Err(VolumeError::NoncesUsedUp { group: 0 })),
            "{refused:?}"
        );
        // What is there is read, and other groups are written.
        let read = file.read(0, 2 * PAGE as usize).expect("read");
        assert_eq!(read.as_bytes()[PAGE as usize - 1..=PAGE as usize], [2, 1]);
        file.write(GROUP_BYTES, &[4]).expect("another group");
        // Another data key has all its nonces.
        let reseal = Reseal::of_file(file.envelope(), &caller);
        reseal.and_then(|reseal| reseal.run()).expect("reseal");
        file.write(PAGE, &[3; PAGE as usize]).expect("write");
    }
}
