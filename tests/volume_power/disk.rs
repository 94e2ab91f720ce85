//! A disk that keeps what was written apart from what is durable.
//!
//! The calls go to a real directory in memory, which is what a kernel's page cache shows. For one
//! stored file the pages, sizes and syncs are recorded too; [`Disk::cuts`] then makes every state
//! that a power cut at any moment could leave: each page, and the size, at any version that it had
//! since the last sync.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use parking_lot::Mutex;
use rekeyfs::volume::backing::{Backing, System};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// What the medium writes as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    Pages,
    /// A page may have some sectors of one version and some of another.
    Sectors,
}

type Page = Box<[u8; PAGE]>;

/// What happens to the recorded file.
enum Event {
    Write(u64, Page),
    Durable(u64, Page),
    Punched(u64),
    CutOff(u64),
    Size(u64),
    Truncated(u64),
    Sync,
    /// A mark of the test's: how far its own operations were.
    Step(usize),
}

/// The recorder; `inode` is the stored file's.
pub struct Disk {
    inode: u64,
    first: Vec<u8>,
    events: Mutex<Vec<Event>>,
}

/// What a page may hold on the medium.
#[derive(Clone, Copy)]
enum Content<'a> {
    /// What it held when the recording began.
    First,
    /// This, or nothing.
    Is(Option<&'a Page>),
}

impl<'a> Content<'a> {
    fn of(page: Option<&'a Page>) -> Self {
        Self::Is(page)
    }
}

/// One content that a page had since the last sync.
struct Version<'a> {
    content: Content<'a>,
    /// The last truncation before it that cut the page off.
    after: usize,
}

/// A state of the medium, and how far the test's operations were then.
pub struct Cut {
    pub image: Vec<u8>,
    /// The first of the test's steps that may be there, and the last that was begun.
    pub step: usize,
}

impl Disk {
    /// Records what happens to `inode`, of which `first` is durable.
    pub fn new(inode: u64, first: Vec<u8>) -> Self {
        Self {
            inode,
            first,
            events: Mutex::default(),
        }
    }

    pub fn step(&self, number: usize) {
        self.events.lock().push(Event::Step(number));
    }

    fn is_ours(&self, fd: BorrowedFd<'_>) -> bool {
        rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_ino == self.inode)
    }

    fn pages(offset: u64, bytes: &[u8], event: impl Fn(u64, Page) -> Event) -> Vec<Event> {
        let first = offset / PAGE as u64;
        assert!(
            offset.is_multiple_of(PAGE as u64),
            "an unaligned write at {offset}"
        );
        bytes
            .chunks(PAGE)
            .zip(first..)
            .map(|(part, index)| {
                let mut page = Box::new([0; PAGE]);
                page[..part.len()].copy_from_slice(part);
                event(index, page)
            })
            .collect()
    }

    fn size(&self, fd: BorrowedFd<'_>) -> u64 {
        rustix::fs::fstat(fd).map_or(0, |stat| stat.st_size.unsigned_abs())
    }

    fn record_write(
        &self,
        fd: BorrowedFd<'_>,
        offset: u64,
        bytes: &[u8],
        event: impl Fn(u64, Page) -> Event,
    ) {
        if self.is_ours(fd) {
            let mut events = self.events.lock();
            events.extend(Self::pages(offset, bytes, event));
            events.push(Event::Size(self.size(fd)));
        }
    }

    /// Calls `check` with states of the medium: at most `most` of each moment, all of them if there
    /// are no more. Of torn pages there are always more.
    pub fn cuts(
        &self,
        whole: Whole,
        most: usize,
        mut random: impl FnMut() -> u64,
        mut check: impl FnMut(&Cut),
    ) {
        let events = self.events.lock();
        let mut pages: BTreeMap<u64, Vec<Version<'_>>> = BTreeMap::new();
        let mut durable: BTreeMap<u64, Option<&Page>> = BTreeMap::new();
        let mut sizes = vec![(self.first.len() as u64, 0)];
        let (mut truncations, mut step) = (0, 0);
        for event in std::iter::once(None).chain(events.iter().map(Some)) {
            let mut add = |index: &u64, page, truncation: Option<usize>| {
                let versions = pages.entry(*index).or_insert_with(|| {
                    let first = durable
                        .get(index)
                        .map_or(Content::First, |page| Content::of(*page));
                    vec![Version {
                        content: first,
                        after: 0,
                    }]
                });
                let after = truncation.unwrap_or_else(|| versions.last().map_or(0, |v| v.after));
                versions.push(Version {
                    content: Content::of(page),
                    after,
                });
            };
            let mut changed = false;
            match event {
                None => changed = true,
                Some(Event::Step(number)) => step = *number,
                // The size comes with it.
                Some(Event::Write(index, page)) => add(index, Some(page), None),
                Some(Event::Punched(index)) => add(index, None, None),
                Some(Event::CutOff(index)) => add(index, None, Some(truncations + 1)),
                Some(Event::Durable(index, page)) => {
                    pages.remove(index);
                    durable.insert(*index, Some(page));
                }
                Some(Event::Truncated(size)) => {
                    truncations += 1;
                    sizes.push((*size, truncations));
                    changed = true;
                }
                Some(Event::Size(size)) => {
                    sizes.push((*size, truncations));
                    changed = true;
                }
                Some(Event::Sync) => {
                    for (index, versions) in std::mem::take(&mut pages) {
                        if let Some(Content::Is(page)) = versions.last().map(|last| last.content) {
                            durable.insert(index, page);
                        }
                    }
                    sizes = sizes
                        .last()
                        .map(|(size, _)| (*size, 0))
                        .into_iter()
                        .collect();
                    truncations = 0;
                    changed = true;
                }
            }
            if !changed {
                continue;
            }
            sizes.dedup();
            let total = pages
                .values()
                .map(Vec::len)
                .try_fold(sizes.len(), usize::checked_mul)
                .unwrap_or(usize::MAX);
            let total = match whole {
                Whole::Sectors if !pages.is_empty() => usize::MAX,
                _ => total,
            };
            for number in 0..total.min(most) {
                let mut pick = number;
                let mut choose = |n: usize| {
                    if total > most {
                        return (random() % n as u64) as usize;
                    }
                    let chosen = pick % n;
                    pick /= n;
                    chosen
                };
                let mut image = self.first.clone();
                for (index, page) in &durable {
                    put(&mut image, *index, *page);
                }
                let (size, truncation) = sizes[choose(sizes.len())];
                for (index, versions) in &pages {
                    // A filesystem's journal keeps cuts and sizes in order: what was cut off is
                    // gone, and what came after a cut that is not there is not there either.
                    let last_cut = versions
                        .iter()
                        .map(|v| v.after)
                        .filter(|a| *a <= truncation);
                    let last_cut = last_cut.max().unwrap_or(0);
                    let possible: Vec<_> =
                        versions.iter().filter(|v| v.after == last_cut).collect();
                    let mut chosen = || possible[choose(versions.len()) % possible.len()].content;
                    match whole {
                        Whole::Pages => {
                            if let Content::Is(page) = chosen() {
                                put(&mut image, *index, page);
                            }
                        }
                        Whole::Sectors => {
                            for sector in 0..PAGE / SECTOR {
                                if let Content::Is(page) = chosen() {
                                    put_sector(&mut image, *index, sector, page);
                                }
                            }
                        }
                    }
                }
                image.resize(size as usize, 0);
                check(&Cut { image, step });
            }
        }
    }
}

fn put(image: &mut Vec<u8>, index: u64, page: Option<&Page>) {
    let at = index as usize * PAGE;
    if image.len() < at + PAGE {
        image.resize(at + PAGE, 0);
    }
    match page {
        Some(page) => image[at..at + PAGE].copy_from_slice(&page[..]),
        None => image[at..at + PAGE].fill(0),
    }
}

fn put_sector(image: &mut Vec<u8>, index: u64, sector: usize, page: Option<&Page>) {
    let (from, to) = (sector * SECTOR, (sector + 1) * SECTOR);
    let at = index as usize * PAGE;
    if image.len() < at + PAGE {
        image.resize(at + PAGE, 0);
    }
    match page {
        Some(page) => image[at + from..at + to].copy_from_slice(&page[from..to]),
        None => image[at + from..at + to].fill(0),
    }
}

impl Backing for Disk {
    fn write(
        &self,
        fd: BorrowedFd<'_>,
        buffers: &mut [IoSlice<'_>],
        offset: u64,
    ) -> Result<(), (usize, Errno)> {
        let bytes: Vec<u8> = buffers
            .iter()
            .flat_map(|buffer| buffer.iter().copied())
            .collect();
        System.write(fd, buffers, offset)?;
        self.record_write(fd, offset, &bytes, Event::Write);
        Ok(())
    }

    fn write_durable(&self, fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        // Before it returns it may be there or not.
        self.record_write(fd, offset, bytes, Event::Write);
        System.write_durable(fd, bytes, offset)?;
        self.record_write(fd, offset, bytes, Event::Durable);
        Ok(())
    }

    fn truncate(&self, fd: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
        let before = self.size(fd);
        System.truncate(fd, len)?;
        if self.is_ours(fd) {
            let mut events = self.events.lock();
            let whole = len.div_ceil(PAGE as u64);
            for index in whole..before.div_ceil(PAGE as u64) {
                events.push(Event::CutOff(index));
            }
            events.push(Event::Truncated(len));
        }
        Ok(())
    }

    fn allocate(
        &self,
        fd: BorrowedFd<'_>,
        flags: FallocateFlags,
        offset: u64,
        len: u64,
    ) -> Result<(), Errno> {
        System.allocate(fd, flags, offset, len)?;
        if self.is_ours(fd) && flags.contains(FallocateFlags::PUNCH_HOLE) {
            let mut events = self.events.lock();
            for index in offset / PAGE as u64..(offset + len) / PAGE as u64 {
                events.push(Event::Punched(index));
            }
            events.push(Event::Size(self.size(fd)));
        }
        Ok(())
    }

    fn sync(&self, fd: BorrowedFd<'_>, data_only: bool) -> Result<(), Errno> {
        System.sync(fd, data_only)?;
        if self.is_ours(fd) {
            self.events.lock().push(Event::Sync);
        }
        Ok(())
    }

    fn sync_filesystem(&self, _fd: BorrowedFd<'_>) -> Result<(), Errno> {
        // The whole filesystem is other tests' too.
        self.events.lock().push(Event::Sync);
        Ok(())
    }
}
