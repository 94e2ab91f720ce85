//! Entry pages: the nonces and tags of a group's chunks, and its trailer. FORMAT.md, section 4.
//!
//! Pure. An [`EntryPage`] is only made from bytes whose trailer has verified, or afresh.

use super::Id;
use super::layout::GROUP_CHUNKS;
use crate::codec::{Reader, is_zero};
use crate::primitives::{MacKey, NONCE, TAG, Unverified};

/// Bytes of an entry page.
pub const PAGE_BYTES: usize = 4096;
const ENTRY: usize = 60;
const TRAILER_AT: usize = PAGE_BYTES - TRAILER;
const TRAILER: usize = 256;
const SALT_AT: usize = 116;
const MACED: usize = TRAILER - 32;
/// "No group before this one."
const NONE: u64 = u64::MAX;

/// A page, aligned as the medium wants it.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(4096))]
pub struct Page(pub [u8; PAGE_BYTES]);

impl Page {
    /// A page of zeros.
    pub const ZERO: Self = Self([0; PAGE_BYTES]);
}

/// A nonce and the tag that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Random.
    pub nonce: [u8; NONCE],
    /// Of GCM.
    pub tag: [u8; TAG],
    /// Lowest bit of the data-key epoch.
    pub epoch_parity: bool,
}

/// What a chunk was before a change that may be incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Previous {
    /// A hole.
    Hole,
    /// Sealed with this.
    Sealed(Seal),
}

/// What is known of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// All zeros, nothing stored.
    Hole,
    /// A sealed page; `previous` while a change of it may be incomplete.
    Data {
        /// What the page is sealed with.
        current: Seal,
        /// What was there before the change.
        previous: Option<Previous>,
    },
    /// Could not be opened when the object was resealed; readable again once it is overwritten.
    Lost,
    /// Bytes that no entry has.
    Malformed,
}

impl Entry {
    fn parse(bytes: &[u8]) -> Self {
        if is_zero(bytes) {
            return Self::Hole;
        }
        Self::parse_fields(bytes).unwrap_or(Self::Malformed)
    }

    fn parse_fields(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let mut seal = || -> Option<Seal> {
            Some(Seal {
                nonce: reader.array("nonce").ok()?,
                tag: reader.array("tag").ok()?,
                epoch_parity: false,
            })
        };
        let (mut current, mut previous) = (seal()?, seal()?);
        let state = reader.u32("state").ok()?;
        current.epoch_parity = state & 0x10 != 0;
        previous.epoch_parity = state & 0x20 != 0;
        match state & !0x30 {
            1 => Some(Self::Data {
                current,
                previous: None,
            }),
            // What was before counts only while the change is pending.
            0b1001 => Some(Self::Data {
                current,
                previous: Some(Previous::Hole),
            }),
            0b1101 => Some(Self::Data {
                current,
                previous: Some(Previous::Sealed(previous)),
            }),
            2 => Some(Self::Lost),
            _ => None,
        }
    }

    fn encode(self, out: &mut [u8]) {
        out.fill(0);
        let mut put = |seal: &Seal, at: usize| {
            out[at..at + NONCE].copy_from_slice(&seal.nonce);
            out[at + NONCE..at + NONCE + TAG].copy_from_slice(&seal.tag);
        };
        let state: u32 = match self {
            Self::Hole | Self::Malformed => 0,
            Self::Lost => 2,
            Self::Data { current, previous } => {
                put(&current, 0);
                let mut state = 1 | u32::from(current.epoch_parity) << 4;
                match &previous {
                    None => {}
                    Some(Previous::Hole) => state |= 0b1000,
                    Some(Previous::Sealed(previous)) => {
                        put(previous, NONCE + TAG);
                        state |= 0b1100 | u32::from(previous.epoch_parity) << 5;
                    }
                }
                state
            }
        };
        out[2 * (NONCE + TAG)..].copy_from_slice(&state.to_le_bytes());
    }
}

/// What is known of a file's length, in the trailer of group 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// The file is exactly this long.
    Clean {
        /// In plain bytes.
        len: u64,
    },
    /// The file may have any length from `floor` on.
    Dirty {
        /// No crash can go below this.
        floor: u64,
        /// What was aimed at when the record was set.
        target: u64,
    },
}

/// The size record with what it is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeRecord {
    /// The length.
    pub record: Record,
    /// The last present group when the record was set.
    pub last_group: u64,
    /// The session that set it.
    pub session: u64,
    /// Lowest live data-key epoch.
    pub lowest_epoch: u32,
}

/// A partly filled last chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Index in the group.
    pub chunk: u32,
    /// Bytes in it: 1..4095.
    pub len: u32,
}

/// A verified entry page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPage {
    /// The chunks' entries.
    pub entries: [Entry; GROUP_CHUNKS as usize],
    /// Data-key epoch that new entries are sealed under.
    pub epoch: u32,
    /// Session that wrote the page last.
    pub session: u64,
    /// Bit k: chunk k is a hole or beyond the end.
    pub holes: u64,
    /// The last present group before this one.
    pub previous_group: Option<u64>,
    /// Sealings done under the group's key.
    pub sealings: u64,
    /// A partly filled last chunk, if it is in this group.
    pub tail: Option<Tail>,
    /// Of group 0 only.
    pub record: Option<SizeRecord>,
    /// Random: a group that comes to be again after a shrink has another key, so that `sealings`
    /// counts everything that was ever sealed under this one.
    pub salt: [u8; 16],
}

impl EntryPage {
    /// The page of a new group: 64 holes.
    pub fn new(epoch: u32, session: u64, previous_group: Option<u64>, salt: [u8; 16]) -> Self {
        Self {
            entries: [Entry::Hole; GROUP_CHUNKS as usize],
            epoch,
            session,
            holes: u64::MAX,
            previous_group,
            sealings: 0,
            tail: None,
            record: None,
            salt,
        }
    }

    /// Whether chunk `index` of the group is a hole.
    pub fn is_hole(&self, index: usize) -> bool {
        self.holes >> index & 1 == 1
    }

    /// What the entry and the map say together; a contradiction is [`Entry::Malformed`].
    pub fn entry(&self, index: usize) -> Entry {
        match (self.entries[index], self.is_hole(index)) {
            (Entry::Hole, true) => Entry::Hole,
            (Entry::Hole, false) | (Entry::Data { .. } | Entry::Lost, true) => Entry::Malformed,
            (entry, _) => entry,
        }
    }

    /// Sets chunk `index` of the group.
    pub fn set(&mut self, index: usize, entry: Entry) {
        self.entries[index] = entry;
        if entry == Entry::Hole {
            self.holes |= 1 << index;
        } else {
            self.holes &= !(1 << index);
        }
    }

    /// The epoch that a page says it belongs to, before it is verified with that one's key.
    pub fn epoch_of(page: &Page) -> u32 {
        let at = TRAILER_AT + 24;
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&page.0[at..at + 4]);
        u32::from_le_bytes(bytes)
    }

    /// Reads and verifies a page; `None` when it is all zeros: the group is absent.
    ///
    /// # Errors
    /// [`Unverified`] when the trailer is not what this object's group had.
    pub fn parse(
        page: &Page,
        key: &MacKey,
        object: &Id,
        group: u64,
    ) -> Result<Option<Self>, Unverified> {
        if is_zero(&page.0) {
            return Ok(None);
        }
        let trailer = &page.0[TRAILER_AT..];
        key.verify(&[&trailer[..MACED]], &trailer[MACED..])?;
        let mut parsed = Self::parse_trailer(trailer, object, group).ok_or(Unverified)?;
        for (entry, bytes) in parsed.entries.iter_mut().zip(page.0.chunks_exact(ENTRY)) {
            *entry = Entry::parse(bytes);
        }
        Ok(Some(parsed))
    }

    fn parse_trailer(trailer: &[u8], object: &Id, group: u64) -> Option<Self> {
        let mut reader = Reader::new(&trailer[..MACED]);
        if reader.take(16, "object id").ok()? != object || reader.u64("group").ok()? != group {
            return None;
        }
        let epoch = reader.u32("epoch").ok()?;
        reader.zeros(4, "reserved").ok()?;
        let session = reader.u64("session").ok()?;
        let holes = reader.u64("hole map").ok()?;
        let previous = reader.u64("previous group").ok()?;
        let sealings = reader.u64("sealings").ok()?;
        let (chunk, len) = (reader.u32("tail").ok()?, reader.u32("tail length").ok()?);
        let tail = chunk.checked_sub(1).map(|chunk| Tail { chunk, len });
        let state = reader.u8("record").ok()?;
        reader.zeros(7, "reserved").ok()?;
        let (len, target) = (reader.u64("length").ok()?, reader.u64("target").ok()?);
        let (last_group, set_in) = (reader.u64("last group").ok()?, reader.u64("session").ok()?);
        let lowest_epoch = reader.u32("lowest epoch").ok()?;
        let salt = reader.array("salt").ok()?;
        reader.zeros(92, "reserved").ok()?;
        reader.finish("trailer").ok()?;
        let record = match state {
            0 => None,
            1 => Some(Record::Clean { len }),
            2 => Some(Record::Dirty { floor: len, target }),
            _ => return None,
        };
        Some(Self {
            entries: [Entry::Hole; GROUP_CHUNKS as usize],
            epoch,
            session,
            holes,
            previous_group: (previous != NONE).then_some(previous),
            sealings,
            tail,
            record: record.map(|record| SizeRecord {
                record,
                last_group,
                session: set_in,
                lowest_epoch,
            }),
            salt,
        })
    }

    /// The bytes of the page.
    pub fn encode(&self, key: &MacKey, object: &Id, group: u64) -> Page {
        let mut page = Page::ZERO;
        for (entry, bytes) in self.entries.iter().zip(page.0.chunks_exact_mut(ENTRY)) {
            entry.encode(bytes);
        }
        let mut out = Vec::with_capacity(TRAILER);
        out.extend_from_slice(object);
        out.extend_from_slice(&group.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.session.to_le_bytes());
        out.extend_from_slice(&self.holes.to_le_bytes());
        out.extend_from_slice(&self.previous_group.unwrap_or(NONE).to_le_bytes());
        out.extend_from_slice(&self.sealings.to_le_bytes());
        let (chunk, len) = self.tail.map_or((0, 0), |tail| (tail.chunk + 1, tail.len));
        out.extend_from_slice(&chunk.to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        if let Some(record) = &self.record {
            let (state, len, target) = match record.record {
                Record::Clean { len } => (1, len, 0),
                Record::Dirty { floor, target } => (2, floor, target),
            };
            out.extend_from_slice(&[state, 0, 0, 0, 0, 0, 0, 0]);
            for number in [len, target, record.last_group, record.session] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&record.lowest_epoch.to_le_bytes());
        }
        out.resize(SALT_AT, 0);
        out.extend_from_slice(&self.salt);
        out.resize(MACED, 0);
        let mac = key.sign(&[&out]);
        page.0[TRAILER_AT..TRAILER_AT + MACED].copy_from_slice(&out);
        page.0[TRAILER_AT + MACED..].copy_from_slice(&mac);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::hex;

    fn seal(byte: u8) -> Seal {
        Seal {
            nonce: [byte; 12],
            tag: [byte; 16],
            epoch_parity: true,
        }
    }

    fn sample() -> EntryPage {
        let mut page = EntryPage::new(1, 5, None, [6; 16]);
        page.set(
            0,
            Entry::Data {
                current: seal(1),
                previous: None,
            },
        );
        page.set(
            1,
            Entry::Data {
                current: seal(2),
                previous: Some(Previous::Sealed(seal(3))),
            },
        );
        page.set(5, Entry::Lost);
        page.sealings = 3;
        page.tail = Some(Tail { chunk: 1, len: 77 });
        page.record = Some(SizeRecord {
            record: Record::Dirty {
                floor: 4096,
                target: 4173,
            },
            last_group: 0,
            session: 5,
            lowest_epoch: 1,
        });
        page
    }

    #[test]
    fn a_page_matches_its_golden_vector_and_reads_back() {
        let key = MacKey::new(&[4; 32]);
        let bytes = sample().encode(&key, &[7; 16], 0);
        let digest = hex(&crate::primitives::sha256(&[&bytes.0]));
        assert_eq!(
            digest,
            include_str!("../../tests/vectors/entry-page.sha256").trim()
        );
        assert_eq!(
            EntryPage::parse(&bytes, &key, &[7; 16], 0),
            Ok(Some(sample()))
        );
    }

    #[test]
    fn a_filled_hole_remembers_that_it_was_one() {
        let key = MacKey::new(&[4; 32]);
        let mut page = EntryPage::new(1, 5, None, [6; 16]);
        let filled = Entry::Data {
            current: seal(1),
            previous: Some(Previous::Hole),
        };
        page.set(3, filled);
        let bytes = page.encode(&key, &[7; 16], 0);
        assert_eq!(bytes.0[3 * ENTRY + 56..4 * ENTRY], [0b1_1001, 0, 0, 0]);
        let read = EntryPage::parse(&bytes, &key, &[7; 16], 0);
        assert_eq!(
            read.map(|page| page.map(|page| page.entry(3))),
            Ok(Some(filled))
        );
    }

    #[test]
    fn a_page_of_another_object_or_group_does_not_verify() {
        let key = MacKey::new(&[4; 32]);
        let bytes = sample().encode(&key, &[7; 16], 0);
        assert!(EntryPage::parse(&bytes, &key, &[8; 16], 0).is_err());
        assert!(EntryPage::parse(&bytes, &key, &[7; 16], 1).is_err());
        assert!(EntryPage::parse(&bytes, &MacKey::new(&[5; 32]), &[7; 16], 0).is_err());
        assert_eq!(EntryPage::parse(&Page::ZERO, &key, &[7; 16], 0), Ok(None));
    }

    #[test]
    fn every_flip_is_seen_in_the_trailer_or_changes_an_entry() {
        let key = MacKey::new(&[4; 32]);
        let original = sample();
        let bytes = original.encode(&key, &[7; 16], 0);
        for at in 0..PAGE_BYTES {
            let mut flipped = bytes;
            flipped.0[at] ^= 1;
            match EntryPage::parse(&flipped, &key, &[7; 16], 0) {
                Err(Unverified) => assert!(at >= TRAILER_AT, "byte {at}"),
                Ok(parsed) => {
                    let parsed = parsed.expect("not all zeros");
                    let index = at / ENTRY;
                    assert!(at < TRAILER_AT, "byte {at} goes unseen");
                    // A previous pair that is not in use may change without being noticed.
                    let unused =
                        matches!(original.entries[index], Entry::Data { previous: None, .. })
                            && (28..56).contains(&(at % ENTRY));
                    let lost = original.entries[index] == Entry::Lost;
                    assert!(
                        unused || lost || parsed.entry(index) != original.entry(index),
                        "byte {at}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_entry_and_a_map_that_contradict_each_other_are_malformed() {
        let mut page = sample();
        page.entries[0] = Entry::Hole;
        assert_eq!(page.entry(0), Entry::Malformed);
        page.entries[9] = Entry::Data {
            current: seal(1),
            previous: None,
        };
        assert_eq!(page.entry(9), Entry::Malformed);
    }
}
