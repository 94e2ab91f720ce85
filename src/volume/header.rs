//! Header slots: who wraps an object's data key, and how. FORMAT.md, section 3.
//!
//! Pure: bytes in, values out. A [`Header`] is only made from checked bytes; that its data key is
//! the right one is known after [`Header::verify_commitment`].

use std::collections::BTreeMap;

use serde_cbor::Value;

use super::Id;
use super::error::VolumeError;
use super::layout::Layout;
use super::subkeys::ObjectKey;
use crate::codec::{Malformed, Reader, hex, unhex};
use crate::kms::service::{EncryptionAlgorithm, EncryptionContext, WrappedKey};
use crate::primitives::sha256;

const MAGIC: &[u8; 8] = b"RKFSSLOT";
const VERSION: u16 = 1;
const CBOR_AT: usize = 128;
const HASH: usize = 32;

/// What kind of object a header belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectType {
    /// A regular file.
    File = 1,
    /// A directory.
    Directory = 2,
}

/// A live data-key epoch: its commitment and its wrapped data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Counted from 1; raised by every reseal.
    pub number: u32,
    /// Commits to the data key.
    pub commitment: [u8; 32],
    /// The wrapped data key.
    pub wrapped: WrappedKey,
    /// When it was wrapped: seconds since 1970.
    pub wrapped_at: i64,
    /// When the data key was made, in seconds since 1970; `None`: with the object.
    pub made_at: Option<i64>,
}

/// A valid header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// File or directory.
    pub object_type: ObjectType,
    /// The layout that the slot says.
    pub layout: Layout,
    /// The object's identity.
    pub object: Id,
    /// Raised by every rewrap.
    pub generation: u64,
    /// When the object was made: seconds since 1970.
    pub created: i64,
    /// The live epochs, the lowest first; one, or two during a reseal.
    pub epochs: Vec<Epoch>,
}

impl Header {
    /// The newest epoch: what is sealed now is sealed under it.
    pub fn current(&self) -> &Epoch {
        self.epochs
            .last()
            .expect("internal error: a header has at least one epoch")
    }

    /// The lowest live epoch.
    pub fn lowest_epoch(&self) -> u32 {
        self.epochs.first().map_or(0, |epoch| epoch.number)
    }

    /// The commitment to the data key of epoch `number`.
    pub fn commitment(&self, key: &ObjectKey, number: u32) -> [u8; 32] {
        key.commit().sign(&[
            MAGIC,
            &VERSION.to_le_bytes(),
            &[self.object_type as u8, self.layout.class()],
            &self.object,
            &number.to_le_bytes(),
            &self.lowest_epoch().to_le_bytes(),
        ])
    }

    /// Compares the commitment of a live epoch, in constant time.
    ///
    /// # Errors
    /// [`VolumeError::CommitmentMismatch`].
    pub fn verify_commitment(&self, epoch: &Epoch, key: &ObjectKey) -> Result<(), VolumeError> {
        crate::primitives::equal(&self.commitment(key, epoch.number), &epoch.commitment)
            .map_err(|_| VolumeError::CommitmentMismatch)
    }

    /// The bytes of a slot: S of them, the rest zero.
    ///
    /// # Errors
    /// [`VolumeError::HeaderTooLarge`] when they do not fit.
    pub fn encode(&self) -> Result<Vec<u8>, VolumeError> {
        let cbor = serde_cbor::to_vec(&self.to_cbor())
            .expect("internal error: a tree of plain values is always CBOR");
        let slot = self.layout.slot() as usize;
        let needed = CBOR_AT + cbor.len() + HASH;
        if needed > slot {
            return Err(VolumeError::HeaderTooLarge { needed, slot });
        }
        let mut out = Vec::with_capacity(slot);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[self.object_type as u8, self.layout.class()]);
        out.extend_from_slice(&(cbor.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.object);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.created.to_le_bytes());
        out.extend_from_slice(&self.lowest_epoch().to_le_bytes());
        out.extend_from_slice(&(self.epochs.len() as u32).to_le_bytes());
        for epoch in &self.epochs {
            out.extend_from_slice(&epoch.number.to_le_bytes());
            out.extend_from_slice(&epoch.commitment);
        }
        out.resize(CBOR_AT, 0);
        out.extend_from_slice(&cbor);
        let hash = sha256(&[&out]);
        out.extend_from_slice(&hash);
        out.resize(slot, 0);
        Ok(out)
    }

    fn to_cbor(&self) -> Value {
        let wraps = self.epochs.iter().map(|epoch| {
            let wrapped = &epoch.wrapped;
            let mut map = BTreeMap::from([
                (Value::Integer(0), Value::Integer(epoch.number.into())),
                (Value::Integer(1), Value::Text(wrapped.key_arn.clone())),
                (
                    Value::Integer(2),
                    Value::Text(wrapped.algorithm.name().to_owned()),
                ),
                (Value::Integer(4), Value::Bytes(wrapped.blob.clone())),
                (
                    Value::Integer(5),
                    Value::Map(
                        wrapped
                            .context
                            .pairs()
                            .iter()
                            .map(|(key, value)| {
                                (Value::Text(key.clone()), Value::Text(value.clone()))
                            })
                            .collect(),
                    ),
                ),
                (Value::Integer(6), Value::Integer(epoch.wrapped_at.into())),
            ]);
            if let Some(made_at) = epoch.made_at {
                map.insert(Value::Integer(7), Value::Integer(made_at.into()));
            }
            if let Some(id) = wrapped.material_id.as_deref().and_then(unhex::<32>) {
                map.insert(Value::Integer(3), Value::Bytes(id.to_vec()));
            }
            Value::Map(map)
        });
        Value::Array(wraps.collect())
    }

    /// Reads one slot.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with it.
    pub fn parse(slot: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(slot);
        reader.magic(MAGIC, "header slot")?;
        if reader.u16("version")? != VERSION {
            return Err(reader.malformed("version", "unknown"));
        }
        let object_type = match reader.u8("type")? {
            1 => ObjectType::File,
            2 => ObjectType::Directory,
            _ => return Err(reader.malformed("type", "unknown")),
        };
        let layout = Layout::new(reader.u8("slot class")?)
            .ok_or_else(|| reader.malformed("slot class", "unknown"))?;
        let cbor_len = reader.u32("CBOR length")? as usize;
        let object = reader.array("object id")?;
        let generation = reader.u64("generation")?;
        let created = reader.u64("created")?.cast_signed();
        let lowest = reader.u32("lowest live epoch")?;
        let count = reader.u32("number of epochs")?;
        if !(1..=2).contains(&count) {
            return Err(reader.malformed("number of epochs", "neither 1 nor 2"));
        }
        let mut commitments = Vec::new();
        for _ in 0..count {
            commitments.push((reader.u32("epoch")?, reader.array::<32>("commitment")?));
        }
        reader.zeros(36 * (2 - count as usize), "unused epoch")?;
        let cbor = reader.take(cbor_len, "CBOR")?;
        let hashed = reader.position();
        let hash = reader.array::<HASH>("hash")?;
        if sha256(&[&slot[..hashed]]) != hash {
            return Err(reader.malformed("hash", "does not match"));
        }
        let wraps =
            parse_cbor(cbor).ok_or_else(|| reader.malformed("CBOR", "not a list of wraps"))?;
        let numbers_match = wraps.len() == commitments.len()
            && commitments
                .iter()
                .zip(&wraps)
                .all(|((number, _), wrap)| *number == wrap.0)
            && commitments
                .first()
                .is_some_and(|(number, _)| *number == lowest)
            && commitments.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !numbers_match {
            return Err(reader.malformed("epochs", "do not agree"));
        }
        let epochs = commitments
            .into_iter()
            .zip(wraps)
            .map(
                |((number, commitment), (_, wrapped, wrapped_at, made_at))| Epoch {
                    number,
                    commitment,
                    wrapped,
                    wrapped_at,
                    made_at,
                },
            )
            .collect();
        Ok(Self {
            object_type,
            layout,
            object,
            generation,
            created,
            epochs,
        })
    }
}

fn parse_cbor(cbor: &[u8]) -> Option<Vec<Wrap>> {
    let Value::Array(list) = serde_cbor::from_slice(cbor).ok()? else {
        return None;
    };
    list.into_iter().map(parse_wrap).collect()
}

/// Epoch, wrapped key, time of the wrap, time of the data key.
type Wrap = (u32, WrappedKey, i64, Option<i64>);

fn parse_wrap(value: Value) -> Option<Wrap> {
    let Value::Map(mut map) = value else {
        return None;
    };
    let mut take = |key: i128| map.remove(&Value::Integer(key));
    let Value::Integer(epoch) = take(0)? else {
        return None;
    };
    let Value::Text(key_arn) = take(1)? else {
        return None;
    };
    let Value::Text(algorithm) = take(2)? else {
        return None;
    };
    let material_id = match take(3) {
        None => None,
        Some(Value::Bytes(id)) if id.len() == 32 => Some(hex(&id)),
        Some(_) => return None,
    };
    let Value::Bytes(blob) = take(4)? else {
        return None;
    };
    let Value::Map(pairs) = take(5)? else {
        return None;
    };
    let Value::Integer(wrapped_at) = take(6)? else {
        return None;
    };
    let made_at = match take(7) {
        None => None,
        Some(Value::Integer(seconds)) => Some(i64::try_from(seconds).ok()?),
        Some(_) => return None,
    };
    if !map.is_empty() {
        return None;
    }
    let pairs = pairs
        .into_iter()
        .map(|pair| match pair {
            (Value::Text(key), Value::Text(value)) => Some((key, value)),
            _ => None,
        })
        .collect::<Option<BTreeMap<_, _>>>()?;
    let wrapped = WrappedKey {
        key_arn,
        algorithm: EncryptionAlgorithm::parse(&algorithm)?,
        material_id,
        blob,
        context: EncryptionContext::new(pairs),
    };
    Some((
        u32::try_from(epoch).ok()?,
        wrapped,
        i64::try_from(wrapped_at).ok()?,
        made_at,
    ))
}

/// One of the two places of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// At offset 0.
    A,
    /// At offset S.
    B,
}

impl Slot {
    /// Stored offset.
    pub fn offset(self, layout: Layout) -> u64 {
        match self {
            Self::A => 0,
            Self::B => layout.slot(),
        }
    }

    /// The other place.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// The header that two slots hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The header.
    pub header: Header,
    /// Where it stands.
    pub slot: Slot,
    /// Whether the other slot holds an older wrap that has to be wiped.
    pub other_is_stale: bool,
}

/// Chooses the valid slot with the higher generation.
///
/// # Errors
/// [`VolumeError::HeaderMalformed`] when neither is valid, [`VolumeError::WrongType`].
pub fn choose(
    a: &[u8],
    b: &[u8],
    layout: Layout,
    expected: ObjectType,
) -> Result<Chosen, VolumeError> {
    let check = |bytes: &[u8]| {
        Header::parse(bytes).and_then(|header| {
            if header.layout == layout {
                Ok(header)
            } else {
                Err(Reader::new(bytes).malformed("slot class", "not the volume's"))
            }
        })
    };
    let (header, slot) = match (check(a), check(b)) {
        (Ok(a), Ok(b)) if b.generation > a.generation => (b, Slot::B),
        (Ok(a), _) => (a, Slot::A),
        (Err(_), Ok(b)) => (b, Slot::B),
        (Err(a), Err(b)) => return Err(VolumeError::HeaderMalformed { a, b }),
    };
    if header.object_type != expected {
        return Err(VolumeError::WrongType {
            expected: expected as u8,
            found: header.object_type as u8,
        });
    }
    let other = if slot == Slot::A { b } else { a };
    Ok(Chosen {
        header,
        slot,
        other_is_stale: !crate::codec::is_zero(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn sample(generation: u64) -> Header {
        Header {
            object_type: ObjectType::File,
            layout: Layout::new(0).expect("class"),
            object: [7; 16],
            generation,
            created: 1_700_000_000,
            epochs: vec![Epoch {
                number: 1,
                commitment: [9; 32],
                wrapped: WrappedKey {
                    key_arn: "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab".into(),
                    algorithm: EncryptionAlgorithm::SYMMETRIC_DEFAULT,
                    material_id: Some("ab".repeat(32)),
                    blob: vec![0x5a; 184],
                    context: EncryptionContext::from([("rekeyfs:volume", "v")]),
                },
                wrapped_at: 1_700_000_001,
                made_at: None,
            }],
        }
    }

    #[test]
    fn a_header_matches_its_golden_vector_and_reads_back() {
        let slot = sample(3).encode().expect("fits");
        assert_eq!(slot.len(), 4096);
        let end = slot.iter().rposition(|byte| *byte != 0).expect("not empty") + 1;
        assert_eq!(
            hex(&slot[..end]),
            include_str!("../../tests/vectors/header.hex").trim()
        );
        assert_eq!(Header::parse(&slot), Ok(sample(3)));
    }

    #[test]
    fn every_flip_and_every_cut_is_malformed() {
        let slot = sample(3).encode().expect("fits");
        let end = slot.iter().rposition(|byte| *byte != 0).expect("not empty") + 1;
        for at in 0..end {
            let mut flipped = slot.clone();
            flipped[at] ^= 0x10;
            assert!(Header::parse(&flipped).is_err(), "flip at {at}");
            assert!(Header::parse(&slot[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn garbage_with_a_right_hash_is_malformed_and_does_not_panic() {
        let mut slot = sample(3).encode().expect("fits");
        for byte in 0..=255 {
            slot[CBOR_AT] = byte;
            let end = CBOR_AT + u32::from_le_bytes(slot[12..16].try_into().expect("4")) as usize;
            let hash = sha256(&[&slot[..end]]);
            slot[end..end + HASH].copy_from_slice(&hash);
            let _ = Header::parse(&slot);
        }
    }

    #[test]
    fn the_higher_generation_counts_and_the_other_is_stale() {
        let layout = Layout::new(0).expect("class");
        let (a, b) = (
            sample(3).encode().expect("fits"),
            sample(4).encode().expect("fits"),
        );
        let none = vec![0; 4096];
        let chosen = |a: &[u8], b: &[u8]| {
            choose(a, b, layout, ObjectType::File)
                .map(|c| (c.header.generation, c.slot, c.other_is_stale))
        };
        assert_eq!(chosen(&a, &b).ok(), Some((4, Slot::B, true)));
        assert_eq!(chosen(&b, &a).ok(), Some((4, Slot::A, true)));
        assert_eq!(chosen(&none, &b).ok(), Some((4, Slot::B, false)));
        assert!(matches!(
            chosen(&none, &none),
            Err(VolumeError::HeaderMalformed { .. })
        ));
        assert!(matches!(
            choose(&a, &none, layout, ObjectType::Directory),
            Err(VolumeError::WrongType {
                expected: 2,
                found: 1
            })
        ));
    }

    #[test]
    fn a_header_that_does_not_fit_says_by_how_much() {
        let mut header = sample(1);
        header.epochs[0].wrapped.context =
            EncryptionContext::from([("k", "v".repeat(5000).as_str())]);
        assert!(matches!(
            header.encode(),
            Err(VolumeError::HeaderTooLarge { slot: 4096, .. })
        ));
    }
}
