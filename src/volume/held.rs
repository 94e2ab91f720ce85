//! Changes of durable pages, which wait until the intent to make them is durable.
//!
//! A write that touches a page which was promised (`medium`) is composed and kept here, in plain
//! pages; whoever reads sees it. [`File::land`] lets what waits down in order: the entry pages
//! with the new and the previous seals (*the intent*), one barrier for all of them, the data, the
//! size. So one barrier serves many writes, and a chunk that is written again and again is sealed
//! once. What is kept is bounded; a crash loses it, as it loses what a kernel has not written yet.
//!
//! While appended bytes wait (their tail chunk was promised) all later ones wait with them: a
//! crash never shows the end of a file without its middle.
//!
//! Invariants: a chunk that is in `waiting` or `flying` is read from here. It goes from `waiting`
//! to `flying` under the lock of [`Held`] alone, and from `flying` to the medium under its
//! group's lock. `flying` is empty unless `landing` is locked.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::contents::{Ends, Part, Written};
use super::error::{VolumeError, failed};
use super::file::File;
use super::group::Group;
use super::layout::{GROUP_CHUNKS, PAGE, chunks, group_of};
use super::page::{Entry, PAGE_BYTES, Page, Seal};

/// Pages of one file that wait before they are let down without waiting for the second: 8 MiB.
const MANY_OF_FILE: usize = 2048;
/// Pages of all files together that wait at most: then a writer lets its own down. 64 MiB.
const MOST_OF_VOLUME: usize = 8 * MANY_OF_FILE;
/// The same, in bytes.
pub const MOST_HELD_BYTES: usize = MOST_OF_VOLUME * PAGE_BYTES;
/// Up to so many entry pages are made durable one by one, which leaves the body alone; more of
/// them with one sync of the whole file.
const FEW_GROUPS: usize = 64;

/// What waits of one file.
#[derive(Default)]
pub(super) struct Held {
    pages: Mutex<Pages>,
    count: AtomicUsize,
    /// One at a time lets pages down; shrinking, growing and punching keep it while they work.
    landing: Mutex<()>,
}

/// A page; aligned it would take twice the memory. Shared by the maps and whoever seals it, who
/// copies it without their lock.
type Bytes = Arc<[u8; PAGE_BYTES]>;
/// A chunk and its plain page.
pub(super) type MovingPage = (u64, Bytes);

#[derive(Default)]
struct Pages {
    waiting: BTreeMap<u64, Bytes>,
    flying: BTreeMap<u64, Bytes>,
    /// The plain length on the medium while appended bytes wait.
    base: Option<u64>,
    /// The length that what waits brings the file to.
    waiting_len: Option<u64>,
    /// Behind the end the medium has what a shrink has left in the last page: the page must be
    /// durable before the file is longer.
    stale: bool,
    /// The file was cut to nothing, and the medium does not know yet.
    anew: bool,
}

impl Pages {
    fn get(&self, index: u64) -> Option<&Bytes> {
        self.waiting.get(&index).or_else(|| self.flying.get(&index))
    }

    /// What keeps writers from the medium: pages, a cut that waits, and an end that waits, also when
    /// its pages are down and the size that says so is not.
    fn count(&self) -> usize {
        let ends = usize::from(self.anew) + usize::from(self.base.is_some());
        self.waiting.len() + self.flying.len() + ends
    }
}

/// The right to let pages down, and the promise that nobody else does.
pub(super) struct Landing<'a>(#[allow(dead_code, reason = "held, not read")] MutexGuard<'a, ()>);

/// A group whose intent is on the medium, and its sealed pages, which are not yet.
struct Intent {
    group: u64,
    /// Runs of neighbouring chunks.
    runs: Vec<Run>,
}

struct Run {
    first: u64,
    seals: Vec<Seal>,
    pages: Vec<Page>,
}

impl Held {
    /// Whether anything waits or is on its way.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Which of `count` chunks from `first` on are here.
    pub fn mask(&self, first: u64, count: usize) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let pages = self.pages.lock();
        (0..count)
            .filter(|at| pages.get(first + *at as u64).is_some())
            .fold(0, |mask, at| mask | 1 << at)
    }

    /// Copies the chunks that are here.
    pub fn copy(&self, first: u64, out: &mut [Page]) {
        if self.is_empty() {
            return;
        }
        let pages = self.pages.lock();
        for (page, index) in out.iter_mut().zip(first..) {
            if let Some(held) = pages.get(index) {
                page.0.copy_from_slice(&held[..]);
            }
        }
    }

    /// The plain length that the medium has, of a file that is `len` bytes long for its readers.
    pub fn base(&self, len: u64) -> u64 {
        if self.is_empty() {
            return len;
        }
        self.pages.lock().base.unwrap_or(len)
    }

    /// Whether the file was cut to nothing, and the medium does not know yet.
    pub fn is_anew(&self) -> bool {
        !self.is_empty() && self.pages.lock().anew
    }

    /// Keeps others from letting pages down.
    pub fn land(&self) -> Landing<'_> {
        Landing(self.landing.lock())
    }

    /// Drops everything: it is to be cut off. Returns how many pages that were.
    fn drop_all(&self, _landing: &Landing<'_>) -> usize {
        let mut pages = self.pages.lock();
        let count = pages.count();
        *pages = Pages::default();
        self.count.store(0, Ordering::Release);
        count
    }
}

impl File {
    /// Forgets everything that waits: it is to be cut off.
    pub(super) fn drop_held(&self, landing: &Landing<'_>) {
        let dropped = self.held.drop_all(landing);
        self.volume()
            .held_pages
            .fetch_sub(dropped, Ordering::Relaxed);
    }

    /// Cuts the file to nothing without telling the medium: that waits like other changes, and
    /// what is written now waits behind it.
    pub(super) fn begin_anew(&self, landing: &Landing<'_>) -> Result<(), VolumeError> {
        self.drop_held(landing);
        self.set_times_now()?;
        let mut pages = self.held.pages.lock();
        pages.anew = true;
        self.held.count.store(pages.count(), Ordering::Release);
        drop(pages);
        self.volume().held_pages.fetch_add(1, Ordering::Relaxed);
        self.volume().flusher.wake(self.envelope());
        Ok(())
    }

    /// Keeps a part of a write to a file that was cut to nothing.
    pub(super) fn hold_anew(&self, part: &Part<'_>, len: u64) -> Result<Written, VolumeError> {
        // What is copied here must not be changed by another write until it is held again.
        let shared = self.groups.get(part.group);
        let _one = shared.write();
        let mut pages = vec![Page::ZERO; (part.last() - part.first() + 1) as usize];
        self.held.copy(part.first(), &mut pages);
        part.lay_over(&mut pages);
        self.hold(None, part, len, &pages, false)
    }

    /// Whether a chunk's page may only be changed after a durable intent.
    pub(super) fn is_promised(&self, group: &Group, chunk: usize) -> bool {
        self.promises()
            && (group.medium.is_changed(chunk)
                || matches!(group.page.entry(chunk), Entry::Data { .. })
                    && !group.medium.is_fresh(chunk))
    }

    /// Whether a part of a write has to wait here.
    pub(super) fn must_wait(&self, group: &Group, part: &Part<'_>) -> bool {
        let in_group = |index: u64| (index % GROUP_CHUNKS) as usize;
        if (part.first()..=part.last()).any(|index| self.is_promised(group, in_group(index))) {
            return true;
        }
        // Whatever the file promises: a reseal may have chunks here, and what they are let down
        // with must not be older than this.
        if self.held.is_empty() {
            return false;
        }
        let pages = self.held.pages.lock();
        pages.base.is_some_and(|base| part.end() > base)
            || (part.first()..=part.last()).any(|index| pages.get(index).is_some())
    }

    /// Keeps the composed pages of a part, in a file of `len` bytes. The group is locked.
    ///
    /// `None` for the group: the file was cut to nothing, there is none.
    pub(super) fn hold(
        &self,
        group: Option<&Group>,
        part: &Part<'_>,
        len: u64,
        composed: &[Page],
        stale: bool,
    ) -> Result<Written, VolumeError> {
        if let Some(group) = group {
            self.reserve(group, part)?;
        }
        if part.end() > len && !len.is_multiple_of(PAGE) && self.held.base(len) == len {
            // The rest behind the last page, which says the length, may still hold what a shrink
            // has left: the beginning of the next group's entry page, say. Until what waits is down
            // the medium has zeros up to the end of that page, and a tail note that tells better.
            // Nobody lets bytes down behind the end now: these are the first that wait there.
            self.truncate_stored(chunks(len) * PAGE)?;
        }
        let composed: Vec<MovingPage> = (part.first()..)
            .zip(composed.iter().map(|page| Arc::new(page.0)))
            .collect();
        let mut pages = self.held.pages.lock();
        let was_empty = pages.waiting.is_empty();
        let before = pages.count();
        self.farthest.fetch_max(part.end(), Ordering::AcqRel);
        if part.end() > len {
            pages.base.get_or_insert(len);
            pages.waiting_len = Some(part.end());
        }
        // Also of a write that ends before the end: the file may become longer before what it has
        // made clean is durable.
        pages.stale |= stale;
        let replaced: Vec<_> = composed
            .into_iter()
            .map(|(index, page)| pages.waiting.insert(index, page))
            .collect();
        let count = pages.count();
        self.held.count.store(count, Ordering::Release);
        drop(pages);
        // Freed without the lock.
        drop(replaced);
        let volume = self.volume();
        volume
            .held_pages
            .fetch_add(count - before, Ordering::Relaxed);
        if was_empty {
            volume.flusher.wake(self.envelope());
        }
        Ok(Written {
            bytes: part.data.len(),
            waits: true,
        })
    }

    /// Keeps chunks as they are, to be sealed under the new data key; what waits already stays. The
    /// group is locked.
    pub(super) fn hold_for_reseal(&self, moving: Vec<MovingPage>) {
        let mut pages = self.held.pages.lock();
        let before = pages.count();
        for (index, page) in moving {
            // What is on its way is newer than what was read.
            if pages.get(index).is_none() {
                pages.waiting.insert(index, page);
            }
        }
        let count = pages.count();
        self.held.count.store(count, Ordering::Release);
        drop(pages);
        self.volume()
            .held_pages
            .fetch_add(count - before, Ordering::Relaxed);
    }

    /// Reserves the space that a part needs on the medium: the writer is told that there is none,
    /// not somebody who syncs later.
    fn reserve(&self, group: &Group, part: &Part<'_>) -> Result<(), VolumeError> {
        let hole = |index: u64| group.page.is_hole((index % GROUP_CHUNKS) as usize);
        if !(part.first()..=part.last()).any(hole) {
            return Ok(());
        }
        let layout = self.layout();
        let from = if group.present {
            layout.data_page(part.first())
        } else {
            layout.entry_page(part.group)
        };
        let to = layout.data_page(part.last()) + PAGE;
        let writer = self.envelope.writer()?;
        let backing = &self.volume().backing;
        match backing.allocate(writer, FallocateFlags::KEEP_SIZE, from, to - from) {
            // A filesystem that cannot reserve: then it is the sync that fails.
            Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => Err(failed("allocate")(errno)),
        }
    }

    /// Lets down what waits of this file, if too much waits of all of them.
    pub(super) fn make_room(&self) -> Result<(), VolumeError> {
        let of_file = self.held.count.load(Ordering::Relaxed);
        let of_volume = self.volume().held_pages.load(Ordering::Relaxed);
        let nobody_else = of_file > MANY_OF_FILE && !self.volume().flusher.is_running();
        if of_file > 0 && of_volume > MOST_OF_VOLUME || nobody_else {
            return self.land();
        }
        Ok(())
    }

    /// Lets somebody else let down what waits, if there is much of it.
    pub(super) fn hurry_if_many(&self) {
        if self.held.count.load(Ordering::Relaxed) > MANY_OF_FILE {
            self.volume().flusher.hurry();
        }
    }

    /// Lets down everything that waits; the times stay. No lock of the file may be held.
    ///
    /// # Errors
    /// The backing filesystem's: what could not be written waits again.
    pub fn land(&self) -> Result<(), VolumeError> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.envelope.keeping_times(|| {
            let landing = self.held.land();
            self.land_with(&landing)
        })
    }

    /// As [`File::land`], by somebody who keeps others from it.
    pub(super) fn land_with(&self, _landing: &Landing<'_>) -> Result<(), VolumeError> {
        if self.held.is_anew() {
            // It is tried again as long as somebody has the file open.
            self.land_anew()
                .inspect_err(|_| self.volume().flusher.wake(self.envelope()))?;
        }
        let (ends, stale, mut groups) = {
            let mut pages = self.held.pages.lock();
            if pages.count() == 0 {
                self.held.count.store(0, Ordering::Release);
                return Ok(());
            }
            pages.flying = std::mem::take(&mut pages.waiting);
            let mut groups: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            for index in pages.flying.keys() {
                groups.entry(group_of(*index)).or_default().push(*index);
            }
            let target = pages.waiting_len.take();
            let stale = std::mem::take(&mut pages.stale);
            (pages.base.zip(target).map(Ends::from), stale, groups)
        };
        let landed = if stale {
            let len = self.envelope.open_len().unwrap_or(0);
            self.land_tail(ends.map_or(len, |ends| ends.before), &mut groups)
                .and_then(|()| self.land_groups(ends, &groups))
        } else {
            self.land_groups(ends, &groups)
        };
        let mut guard = self.held.pages.lock();
        let pages = &mut *guard;
        let before = pages.count();
        match &landed {
            Ok(()) => {
                // Appended meanwhile, behind what has landed.
                pages.base = pages
                    .waiting_len
                    .and(ends.map(|ends| ends.after).or(pages.base));
            }
            Err(_) => {
                for (index, page) in std::mem::take(&mut pages.flying) {
                    pages.waiting.entry(index).or_insert(page);
                }
                pages.waiting_len = pages.waiting_len.max(ends.map(|ends| ends.after));
                pages.stale |= stale;
                // It is tried again as long as somebody has the file open.
                self.volume().flusher.wake(self.envelope());
            }
        }
        let count = pages.count();
        self.held.count.store(count, Ordering::Release);
        drop(guard);
        // Pages in both maps counted twice.
        self.volume()
            .held_pages
            .fetch_sub(before - count, Ordering::Relaxed);
        landed
    }

    /// Lets the page in which a file of `len` bytes ends on the medium down before all others, and makes it durable: what it
    /// has behind the end must not come to light with a longer file.
    fn land_tail(&self, len: u64, groups: &mut BTreeMap<u64, Vec<u64>>) -> Result<(), VolumeError> {
        let Some(tail) = chunks(len).checked_sub(1) else {
            return Ok(());
        };
        let group = group_of(tail);
        let Some(at) = groups
            .get(&group)
            .and_then(|waiting| waiting.iter().position(|index| *index == tail))
        else {
            // Let down before, and the sync after that has failed.
            return self.sync_contents(true);
        };
        self.land_groups(None, &BTreeMap::from([(group, vec![tail])]))?;
        if let Some(waiting) = groups.get_mut(&group) {
            waiting.remove(at);
        }
        groups.retain(|_, waiting| !waiting.is_empty());
        self.sync_contents(true)
    }

    fn land_groups(
        &self,
        ends: Option<Ends>,
        groups: &BTreeMap<u64, Vec<u64>>,
    ) -> Result<(), VolumeError> {
        if let Some(ends) = ends {
            self.announce(ends)?;
        }
        // What was changed since the last sync must be durable before it changes again.
        for (group, chunks) in groups {
            if self.any_changed(*group, chunks)? {
                self.sync_contents(true)?;
                break;
            }
        }
        let inside = |index: &u64| ends.is_none_or(|ends| *index < chunks(ends.before));
        let barrier = groups.values().flatten().any(inside);
        let mut intents = VecDeque::with_capacity(groups.len());
        let landed = self.land_intents(ends, groups, barrier, &mut intents);
        // What is on the medium of these is judged by what it says, as after a crash.
        for intent in intents {
            let shared = self.groups.get(intent.group);
            self.distrust(&mut shared.write(), intent.group);
        }
        landed
    }

    /// Intents, barrier, data, size. What is left in `intents` after a failure is not on the medium.
    fn land_intents(
        &self,
        ends: Option<Ends>,
        groups: &BTreeMap<u64, Vec<u64>>,
        barrier: bool,
        intents: &mut VecDeque<Intent>,
    ) -> Result<(), VolumeError> {
        let few = groups.len() <= FEW_GROUPS;
        for (group, chunks) in groups {
            intents.push_back(self.intend_group(*group, chunks, ends, barrier && few)?);
        }
        if barrier && !few {
            self.sync_contents(true)?;
        }
        // In ascending order: the file never has an end without its middle.
        while let Some(intent) = intents.front() {
            self.carry_out_intent(intent, ends)?;
            intents.pop_front();
        }
        match ends {
            Some(ends) => {
                self.note_tail(ends.after)?;
                self.truncate_stored(ends.after)
            }
            None => Ok(()),
        }
    }

    /// Lets the entry page say where a file of `len` bytes ends, if it does not: the page in which
    /// it ends may have been let down before all others.
    fn note_tail(&self, len: u64) -> Result<(), VolumeError> {
        let last = chunks(len).checked_sub(1).map_or(0, group_of);
        let shared = self.groups.get(last);
        let mut slot = shared.write();
        let group = self.load(&mut slot, last, self.farthest())?;
        let tail = Self::tail_in(last, len);
        if !group.present || group.page.tail == tail {
            return Ok(());
        }
        let mut page = group.page.clone();
        page.tail = tail;
        self.replace_page(&mut slot, last, page, false)
    }

    /// Tells the medium that the file was cut to nothing.
    fn land_anew(&self) -> Result<(), VolumeError> {
        // Nobody reads or writes while what they see goes from here to the medium.
        let _writing = self.writing.write();
        self.cut(u64::MAX, 0)?;
        let mut pages = self.held.pages.lock();
        pages.anew = false;
        let end = pages.waiting_len.unwrap_or(0);
        self.farthest.fetch_max(end, Ordering::AcqRel);
        self.held.count.store(pages.count(), Ordering::Release);
        drop(pages);
        self.volume().held_pages.fetch_sub(1, Ordering::Relaxed);
        self.tidy(0, 0)
    }

    fn any_changed(&self, group: u64, chunks: &[u64]) -> Result<bool, VolumeError> {
        let shared = self.groups.get(group);
        let mut slot = shared.write();
        let group = self.load(&mut slot, group, self.farthest())?;
        group.medium.refresh(&self.syncs);
        Ok(chunks
            .iter()
            .any(|index| group.medium.is_changed((index % GROUP_CHUNKS) as usize)))
    }

    /// Seals the waiting pages of a group and writes its entry page with both seals of each.
    fn intend_group(
        &self,
        index: u64,
        chunks_of: &[u64],
        ends: Option<Ends>,
        durable: bool,
    ) -> Result<Intent, VolumeError> {
        if index > 0 {
            self.mark_dirty(ends)?;
        }
        let shared = self.groups.get(index);
        let mut slot = shared.write();
        let group = self.load(&mut slot, index, self.farthest())?;
        let flying: Vec<MovingPage> = {
            let pages = self.held.pages.lock();
            let page = |index: &u64| Some((*index, Arc::clone(pages.flying.get(index)?)));
            chunks_of.iter().filter_map(page).collect()
        };
        let mut runs: Vec<Run> = Vec::new();
        for (index, page) in &flying {
            if runs
                .last()
                .is_none_or(|run| run.first + run.pages.len() as u64 != *index)
            {
                runs.push(Run {
                    first: *index,
                    seals: Vec::new(),
                    // Most groups wait as one run: nothing is copied twice.
                    pages: Vec::with_capacity(chunks_of.len()),
                });
            }
            if let Some(run) = runs.last_mut() {
                run.pages.push(Page(**page));
            }
        }
        let mut seals = Vec::with_capacity(chunks_of.len());
        for run in &mut runs {
            run.seals = self.seal_pages(&group.key, run.first, &mut run.pages);
            seals.extend((run.first..).zip(run.seals.iter().copied()));
        }
        for (chunk, _) in &seals {
            // Durable since the barrier before this, if it was changed.
            group.medium.forget((chunk % GROUP_CHUNKS) as usize);
        }
        let linking = self.begin_group(group, index)?;
        let page = self.plan(group, index, ends, &seals).after;
        for (chunk, _) in &seals {
            // From now on whoever writes this entry page keeps both seals in it.
            let chunk_in_group = (chunk % GROUP_CHUNKS) as usize;
            group.medium.note_changed(chunk_in_group, &self.syncs);
        }
        self.replace_page(&mut slot, index, page, durable)?;
        if let Err(e) = self.finish_group(index, linking) {
            // Its seals are on the medium, and their pages will not be.
            self.distrust(&mut slot, index);
            return Err(e);
        }
        Ok(Intent { group: index, runs })
    }

    /// Writes the sealed pages of a group.
    fn carry_out_intent(&self, intent: &Intent, ends: Option<Ends>) -> Result<(), VolumeError> {
        let shared = self.groups.get(intent.group);
        let mut slot = shared.write();
        let group = self.load(&mut slot, intent.group, self.farthest())?;
        let in_group = |index: u64| (index % GROUP_CHUNKS) as usize;
        for run in &intent.runs {
            let intended = run.seals.iter().zip(run.first..).all(|(seal, index)| {
                matches!(group.page.entry(in_group(index)), Entry::Data { current, .. } if current == *seal)
            });
            if !intended {
                // Another write has failed in this group, and it was read again.
                return Err(failed("write data")(Errno::IO));
            }
        }
        for run in &intent.runs {
            self.volume()
                .backing
                .write(
                    self.envelope.writer()?,
                    &mut [IoSlice::new(bytemuck::cast_slice(&run.pages))],
                    self.layout().data_page(run.first),
                )
                .map_err(|(_, errno)| failed("write data")(errno))?;
        }
        // Freed without the lock.
        let mut landed = Vec::with_capacity(GROUP_CHUNKS as usize);
        let mut pages = self.held.pages.lock();
        for run in &intent.runs {
            for index in run.first..run.first + run.pages.len() as u64 {
                if ends.is_some_and(|ends| index >= chunks(ends.before)) {
                    group.medium.note_fresh(in_group(index), &self.syncs);
                } else {
                    group.medium.note_changed(in_group(index), &self.syncs);
                }
                landed.extend(pages.flying.remove(&index));
            }
        }
        let count = pages.count();
        let before = self.held.count.swap(count, Ordering::AcqRel);
        let gone = before.saturating_sub(count);
        drop(pages);
        self.volume().held_pages.fetch_sub(gone, Ordering::Relaxed);
        Ok(())
    }
}
