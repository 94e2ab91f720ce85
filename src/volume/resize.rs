//! Lengths and holes: truncate, grow, punch, allocate, seek. FORMAT.md, section 5.

use std::ops::Range;
use std::sync::atomic::Ordering;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::contents::Ends;
use super::error::{VolumeError, failed};
use super::file::File;
use super::layout::{GROUP_BYTES, GROUP_CHUNKS, MAX_PLAIN, PAGE, chunk_len, chunks, group_of};
use super::page::{Entry, Record, SizeRecord};

/// Groups whose holes are made durable together.
const PUNCHED_AT_ONCE: usize = 256;

impl File {
    /// Sets the length; new bytes are zeros.
    ///
    /// # Errors
    /// [`VolumeError::FileTooLarge`], the backing filesystem's.
    pub fn set_len(&self, new: u64) -> Result<(), VolumeError> {
        if new > MAX_PLAIN {
            return Err(VolumeError::FileTooLarge { limit: MAX_PLAIN });
        }
        self.envelope.changing(|| {
            let mut len = self.len.write();
            let result = match new.cmp(&len) {
                std::cmp::Ordering::Greater => self.grow(&mut len, new),
                std::cmp::Ordering::Less => self.shrink(&mut len, new),
                // Nothing changes but the times.
                std::cmp::Ordering::Equal if self.held.is_empty() => self.truncate_stored(new),
                std::cmp::Ordering::Equal => self.set_times_now(),
            };
            self.envelope.publish_len(Some(*len));
            result
        })
    }

    pub(super) fn truncate_stored(&self, len: u64) -> Result<(), VolumeError> {
        self.volume()
            .backing
            .truncate(self.envelope.writer()?, self.layout().stored_len(len))
            .map_err(failed("set the size"))
    }

    pub(super) fn shrink(&self, len: &mut u64, new: u64) -> Result<(), VolumeError> {
        let landing = self.held.land();
        if new == 0 && self.must_announce() && self.volume().has_room_for_all_that_waits() {
            self.begin_anew(&landing)?;
            *len = 0;
            return Ok(());
        }
        if new == 0 {
            self.drop_held(&landing);
        } else {
            self.land_with(&landing)?;
        }
        self.cut(*len, new)?;
        *len = new;
        self.tidy(chunks(new).checked_sub(1).map_or(0, group_of), new)
    }

    /// Cuts the stored file, which is `len` bytes long or less, to `new`. Nothing waits; what its
    /// last entry page says of more is left to [`File::tidy`].
    pub(super) fn cut(&self, len: u64, new: u64) -> Result<(), VolumeError> {
        let len = len.min(self.farthest());
        let last_kept = chunks(new).checked_sub(1).map_or(0, group_of);
        // Which group is the last present one can only be told while its successors are there. What
        // a group in memory says of its predecessor is from the time when it was looked for.
        let last_present = if self.with_group(last_kept, len, |group| Ok(group.present))? {
            last_kept
        } else {
            self.absent(last_kept)?.previous.unwrap_or(0)
        };
        self.announce(Ends::from((len, new)))?;
        self.lower_floor(len, new, last_present)?;
        self.truncate_stored(new)?;
        self.farthest.store(new, Ordering::Release);
        self.groups.forget_from(last_kept + 1);
        self.gaps.lock().clear();
        self.set_last_group(self.last_group().min(last_present));
        Ok(())
    }

    /// Writes the entry page of the last group if it says more than the file of `len` bytes has.
    pub(super) fn tidy(&self, index: u64, len: u64) -> Result<(), VolumeError> {
        let shared = self.groups.get(index);
        let mut slot = shared.write();
        let group = self.load(&mut slot, index, len)?;
        if !group.present {
            return Ok(());
        }
        self.clear_beyond(group, index, len);
        let tail = Self::tail_in(index, len);
        if !group.differs && group.page.tail == tail {
            return Ok(());
        }
        let mut page = group.page.clone();
        page.tail = tail;
        self.replace_page(&mut slot, index, page, false)
    }

    /// Makes the record on disk dirty with a floor of at most `new`, and with the last group that
    /// is present after the shrink: a recovery finds later ones by itself, but cannot know that
    /// one is gone.
    pub(super) fn lower_floor(
        &self,
        len: u64,
        new: u64,
        last_group: u64,
    ) -> Result<(), VolumeError> {
        let dirty = self.dirty.load(Ordering::Acquire);
        let floor_is_low = dirty && self.floor.load(Ordering::Acquire) <= new;
        if floor_is_low && self.last_group() == last_group {
            return Ok(());
        }
        let floor = if floor_is_low {
            self.floor.load(Ordering::Acquire)
        } else {
            new
        };
        let shared = self.groups.get(0);
        let mut slot = shared.write();
        let mut page = self.load(&mut slot, 0, len)?.page.clone();
        page.record = Some(SizeRecord {
            record: Record::Dirty { floor, target: new },
            last_group: last_group.min(self.last_group()),
            session: self.volume().session,
            lowest_epoch: self.keys().lowest(),
        });
        self.replace_page(&mut slot, 0, page, false)
    }

    /// Grows the file by a hole; `len` is held for writing.
    pub(super) fn grow(&self, len: &mut u64, new: u64) -> Result<(), VolumeError> {
        let landing = self.held.land();
        self.land_with(&landing)?;
        let ends = Ends::from((*len, new));
        self.announce(ends)?;
        self.mark_dirty(Some(ends))?;
        // What lies behind the end in the last chunk (a shrink leaves it there, sealed) must not
        // come back to light.
        if let Some(last) = chunks(*len).checked_sub(1)
            && !(*len).is_multiple_of(PAGE)
        {
            let stale = self.zero_behind_end(last, *len)?;
            self.land_with(&landing)?;
            if stale && self.promises() {
                // The page must be durable before the file is longer.
                self.sync_contents(true)?;
            }
        }
        self.farthest.fetch_max(new, Ordering::AcqRel);
        let last_group = chunks(*len).checked_sub(1).map_or(0, group_of);
        let shared = self.groups.get(last_group);
        let mut slot = shared.write();
        let group = self.load(&mut slot, last_group, *len)?;
        if group.present && (group.differs || group.page.tail.is_some()) {
            let mut page = group.page.clone();
            page.tail = Self::tail_in(last_group, new);
            self.replace_page(&mut slot, last_group, page, false)?;
        }
        drop(slot);
        // The rest behind the last page, which says the length, may still hold what a shrink has
        // left: the beginning of the next group's entry page, say. It goes before that is a page
        // again. In between the file is longer by zeros.
        if !(*len).is_multiple_of(PAGE) && chunks(new) > chunks(*len) {
            self.truncate_stored(chunks(*len) * PAGE)?;
        }
        if let Err(e) = self.truncate_stored(new) {
            let _ = self.truncate_stored(*len);
            return Err(e);
        }
        *len = new;
        Ok(())
    }

    /// Tells whether there was something.
    fn zero_behind_end(&self, last: u64, len: u64) -> Result<bool, VolumeError> {
        let valid = chunk_len(last, len);
        let clean = self.with_group(group_of(last), len, |group| {
            let Entry::Data { current, .. } = group.page.entry((last % GROUP_CHUNKS) as usize)
            else {
                return Ok(true);
            };
            let mut page = self.read_stored(last, 1)?;
            let opens = self.open_page(&group.key, last, &current, &mut page[0]);
            // A damaged chunk stays damaged; there is nothing to hide in it.
            Ok(!opens || crate::codec::is_zero(&page[0].0[valid..]))
        })?;
        if clean {
            return Ok(false);
        }
        // Writing the last valid byte again seals the chunk anew, with zeros behind it.
        let at = len - 1;
        let byte = self.read_locked(at, len)?;
        self.write_locked(len, at, &[byte])?;
        Ok(true)
    }

    fn read_locked(&self, at: u64, len: u64) -> Result<u8, VolumeError> {
        let index = at / PAGE;
        self.with_group(group_of(index), len, |group| {
            let mut page = self.read_stored(index, 1)?;
            match group.page.entry((index % GROUP_CHUNKS) as usize) {
                Entry::Data { current, .. }
                    if self.open_page(&group.key, index, &current, &mut page[0]) =>
                {
                    Ok(page[0].0[(at % PAGE) as usize])
                }
                _ => Err(VolumeError::ChunkUnverified { index }),
            }
        })
    }

    /// Makes [offset, offset + count) zeros, as holes where whole chunks go; the length stays.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn punch(&self, offset: u64, count: u64) -> Result<(), VolumeError> {
        let end = offset.saturating_add(count);
        self.envelope.changing(|| {
            let mut next = Some(offset);
            while let Some(from) = next {
                next = self.punch_some(from, end)?;
            }
            Ok(())
        })
    }

    /// As [`File::punch`], of so many groups that readers can wait for it; returns where to go on.
    fn punch_some(&self, offset: u64, end: u64) -> Result<Option<u64>, VolumeError> {
        // Nobody writes meanwhile: what waits of a chunk would bring back what is punched.
        let len = self.len.write();
        let landing = self.held.land();
        self.land_with(&landing)?;
        let end = end.min(*len);
        if offset >= end {
            return Ok(None);
        }
        let first_whole = offset.div_ceil(PAGE);
        // The last chunk is whole if nothing readable is left behind the end of the punch.
        let last_whole = if end == *len { chunks(end) } else { end / PAGE };
        let head_end = end.min(first_whole * PAGE);
        if offset < head_end {
            self.write_zeros(*len, offset, head_end)?;
        }
        // Absent groups are holes already, however many there are.
        let end_group = group_of(last_whole.saturating_sub(1)).min(self.last_group());
        let whole = first_whole..last_whole;
        let next = self.punch_groups(group_of(first_whole), end_group, whole)?;
        let tail_start = (last_whole * PAGE).max(head_end);
        if next.is_none() && tail_start < end {
            self.write_zeros(*len, tail_start, end)?;
        }
        self.land_with(&landing)?;
        Ok(next.map(|group| group * GROUP_BYTES))
    }

    /// Makes `chunks` holes, as far as they lie in some of the groups `from..=to`; returns where to
    /// go on.
    fn punch_groups(
        &self,
        from: u64,
        to: u64,
        chunks: Range<u64>,
    ) -> Result<Option<u64>, VolumeError> {
        let mut next = from;
        let mut parts = Vec::new();
        let mut promised = false;
        let mut rest = None;
        while let Some((group, _)) = self.next_present(next, to)? {
            if parts.len() == PUNCHED_AT_ONCE {
                rest = Some(group);
                break;
            }
            let first = chunks.start.max(group * GROUP_CHUNKS);
            let last = chunks.end.min((group + 1) * GROUP_CHUNKS);
            if first < last {
                // Kept in memory: it knows that the medium may not have these holes yet.
                let kept = self.groups.get(group);
                promised |= self.make_holes(group, first, last)?;
                parts.push((group, first, last, kept));
            }
            next = group + 1;
        }
        if promised {
            // Else a power cut could find the pages gone and the entries still there.
            self.sync_contents(true)?;
        }
        for (group, first, last, _kept) in parts {
            self.punch_pages(group, first, last)?;
        }
        Ok(rest)
    }

    /// Writes zeros inside one chunk, unless it is a hole.
    fn write_zeros(&self, len: u64, from: u64, to: u64) -> Result<(), VolumeError> {
        let index = from / PAGE;
        let hole = self.with_group(group_of(index), len, |group| {
            Ok(group.page.entry((index % GROUP_CHUNKS) as usize) == Entry::Hole)
        })?;
        if hole {
            return Ok(());
        }
        self.write_locked(len, from, &vec![0; (to - from) as usize])
    }

    /// Makes the chunks first..last of one group holes for its entries and its map. Tells whether
    /// one of them was promised.
    fn make_holes(&self, index: u64, first: u64, last: u64) -> Result<bool, VolumeError> {
        if index > self.last_group() {
            return Ok(false);
        }
        if index > 0 {
            self.mark_dirty(None)?;
        }
        let shared = self.groups.get(index);
        let mut slot = shared.write();
        let group = self.load(&mut slot, index, self.farthest())?;
        if !group.present {
            return Ok(false);
        }
        group.medium.refresh(&self.syncs);
        let mut page = self.plan(group, index, None, &[]).after;
        let mut promised = false;
        for chunk in first..last {
            let at = (chunk % GROUP_CHUNKS) as usize;
            if self.is_promised(group, at) {
                promised = true;
                // Who fills it again before that is durable waits.
                group.medium.note_changed(at, &self.syncs);
            }
            page.set(at, Entry::Hole);
        }
        if group.page != page {
            self.replace_page(&mut slot, index, page, false)?;
        }
        Ok(promised)
    }

    /// Gives the space of the chunks first..last of one group back, as far as they are holes.
    fn punch_pages(&self, index: u64, first: u64, last: u64) -> Result<(), VolumeError> {
        let shared = self.groups.get(index);
        let mut slot = shared.write();
        let group = self.load(&mut slot, index, self.farthest())?;
        let at = |chunk: u64| (chunk % GROUP_CHUNKS) as usize;
        let mut chunk = first;
        while chunk < last {
            // Somebody may have filled some of them meanwhile.
            let end = (chunk..last)
                .find(|chunk| !group.page.is_hole(at(*chunk)))
                .unwrap_or(last);
            for hole in chunk..end {
                group.medium.forget(at(hole));
            }
            if chunk < end {
                let punched = self.volume().backing.allocate(
                    self.envelope.writer()?,
                    FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                    self.layout().data_page(chunk),
                    (end - chunk) * PAGE,
                );
                match punched {
                    // Without hole punching below, the pages keep their space and are never read
                    // again.
                    Ok(()) | Err(Errno::OPNOTSUPP) => {}
                    Err(errno) => return Err(failed("punch")(errno)),
                }
            }
            chunk = end + 1;
        }
        Ok(())
    }

    /// Makes [offset, offset + count) zeros, and the file longer if `grow` and the range says so.
    ///
    /// # Errors
    /// As [`File::punch`] and [`File::set_len`].
    pub fn zero_range(&self, offset: u64, count: u64, grow: bool) -> Result<(), VolumeError> {
        let end = offset
            .checked_add(count)
            .ok_or(VolumeError::FileTooLarge { limit: MAX_PLAIN })?;
        self.punch(offset, count)?;
        if grow && end > self.len() {
            return self.set_len(end);
        }
        Ok(())
    }

    /// Reserves space for [offset, offset + count), and makes the file longer if `grow`.
    ///
    /// # Errors
    /// `ENOSPC` from the backing filesystem; then nothing has changed.
    pub fn allocate(&self, offset: u64, count: u64, grow: bool) -> Result<(), VolumeError> {
        let end = offset
            .checked_add(count)
            .filter(|end| *end <= MAX_PLAIN && count > 0)
            .ok_or(VolumeError::FileTooLarge { limit: MAX_PLAIN })?;
        let from = self.layout().data_page(offset / PAGE);
        let to = self.layout().data_page((end - 1) / PAGE) + PAGE;
        self.envelope.changing(|| {
            self.volume()
                .backing
                .allocate(
                    self.envelope.writer()?,
                    FallocateFlags::KEEP_SIZE,
                    from,
                    to - from,
                )
                .map_err(failed("allocate"))
        })?;
        if grow && end > self.len() {
            return self.set_len(end);
        }
        Ok(())
    }

    /// The next offset from `offset` on that is data (or hole, if `hole`).
    ///
    /// Returns `None` when there is none (ENXIO); the end of the file counts as a hole.
    ///
    /// # Errors
    /// As reading.
    pub fn seek(&self, offset: u64, hole: bool) -> Result<Option<u64>, VolumeError> {
        self.land()?;
        let len = self.len.read();
        if offset >= *len {
            return Ok(None);
        }
        let total = chunks(*len);
        let mut index = offset / PAGE;
        while index < total {
            let group = group_of(index);
            let end = total.min((group + 1) * GROUP_CHUNKS);
            let found =
                self.with_group(group, *len, |state| {
                    Ok((index..end)
                        .find(|at| state.page.is_hole((at % GROUP_CHUNKS) as usize) == hole))
                })?;
            if let Some(at) = found {
                return Ok(Some((at * PAGE).max(offset)));
            }
            // What the backing file says is a hint where to look next: a hole here is a hole
            // there, if it could be punched.
            index = end;
            if index < total {
                index = self.next_candidate(index, hole)?.min(total);
            }
        }
        Ok(hole.then_some(*len))
    }

    /// The first chunk of the next group that can have what is looked for.
    fn next_candidate(&self, index: u64, hole: bool) -> Result<u64, VolumeError> {
        if group_of(index) > self.last_group() {
            return Ok(if hole { index } else { u64::MAX });
        }
        let offset = self.layout().entry_page(group_of(index));
        let to = if hole {
            SeekFrom::Hole(offset)
        } else {
            SeekFrom::Data(offset)
        };
        match self.volume().backing.seek(self.envelope.reader(), to) {
            Ok(at) => Ok((self.layout().group_at(at) * GROUP_CHUNKS).max(index)),
            Err(Errno::NXIO) => Ok(u64::MAX),
            Err(errno) => Err(failed("seek")(errno)),
        }
    }

    /// Writes inside the file while its length is held already.
    fn write_locked(&self, len: u64, offset: u64, data: &[u8]) -> Result<(), VolumeError> {
        let mut unchanged = len;
        let written = self.write_parts(&mut unchanged, offset, data)?;
        if written < data.len() {
            return Err(failed("write data")(Errno::NOSPC));
        }
        Ok(())
    }
}
