//! The ioctl's struct: bytes to a [`Control`] and an [`Outcome`] back. `rekeyfs.h` is its
//! specification.
//!
//! Pure. The struct has the byte order of the machine, as everything that crosses the system-call
//! border.

#![expect(
    clippy::host_endian_bytes,
    reason = "an ioctl struct has the byte order of the machine that it is on"
)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::control::{Control, Failure, Outcome};
use crate::kms::service::{
    Blob, DryRunModifier, EncryptionAlgorithm, Exception, ReEncryptRequest, parse_context,
};
use crate::volume::{RewrapRequest, VolumeError};

/// The C header, for programs to include.
pub const HEADER: &str = include_str!("rekeyfs.h");

/// Bytes of the struct.
pub const SIZE: usize = 16_000;
const FIELDS: usize = 16;
const FIELD_AT: usize = 32;
const AREA_AT: usize = SIZE - AREA;
const AREA: usize = 15_832;
const VERSION: u32 = 1;

const DRY_RUN: u32 = 1;
const NEW_DATA_KEY: u32 = 2;
const QUERY: u32 = 4;
const IGNORE_CIPHERTEXT: u32 = 8;

const OUT: u32 = 0b0111_1110_0000_0000;

/// `_IOWR(0xA7, 0x52, struct rekeyfs_re_encrypt)`.
pub const REENCRYPT: u32 = 3 << 30 | (SIZE as u32) << 16 | 0xA7 << 8 | 0x52;

/// Whether a command is ours but for the size of its struct, and then whether it is too large.
pub fn wrong_size(command: u32) -> Option<bool> {
    let same = command & 0xc000_ffff == REENCRYPT & 0xc000_ffff && command != REENCRYPT;
    same.then_some(command >> 16 & 0x3fff > SIZE as u32)
}

/// A field of the struct, by its place.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "rekeyfs.h says what each field is")]
pub enum Field {
    Name = 0,
    CiphertextBlob = 1,
    SourceKeyId = 2,
    SourceEncryptionContext = 3,
    SourceEncryptionAlgorithm = 4,
    DestinationKeyId = 5,
    DestinationEncryptionContext = 6,
    DestinationEncryptionAlgorithm = 7,
    GrantTokens = 8,
    KeyArn = 9,
    SourceKeyArn = 10,
    KeyAlgorithm = 11,
    SourceKeyAlgorithm = 12,
    Exception = 13,
    Message = 14,
}

/// What an ioctl asks for.
#[derive(Debug)]
pub struct Asked {
    /// The entry of the directory to work on; `None`: the open object itself.
    pub name: Option<OsString>,
    /// The request.
    pub control: Control,
}

/// What the struct cannot mean.
fn malformed(what: &'static str) -> VolumeError {
    VolumeError::Invalid { what }
}

struct Struct<'a>(&'a [u8]);

impl<'a> Struct<'a> {
    fn u32(&self, at: usize) -> u32 {
        self.0[at..at + 4].try_into().map_or(0, u32::from_ne_bytes)
    }

    fn u64(&self, at: usize) -> u64 {
        self.0[at..at + 8].try_into().map_or(0, u64::from_ne_bytes)
    }

    fn field(&self, field: Field) -> Result<Option<&'a [u8]>, VolumeError> {
        if self.u32(24) >> field as u32 & 1 == 0 {
            return Ok(None);
        }
        let at = FIELD_AT + 8 * field as usize;
        let (offset, length) = (self.u32(at) as usize, self.u32(at + 4) as usize);
        let area = &self.0[AREA_AT..];
        offset
            .checked_add(length)
            .and_then(|end| area.get(offset..end))
            .map(Some)
            .ok_or(malformed("a field outside of the area"))
    }

    fn text(&self, field: Field) -> Result<Option<String>, VolumeError> {
        self.field(field)?
            .map(|bytes| {
                let text =
                    std::str::from_utf8(bytes).map_err(|_| malformed("text that is no UTF-8"))?;
                Ok(text.trim_end_matches(['\0', '\n']).to_owned())
            })
            .transpose()
    }

    fn algorithm(&self, field: Field) -> Result<Option<EncryptionAlgorithm>, VolumeError> {
        self.text(field)?
            .map(|name| {
                EncryptionAlgorithm::parse(&name).ok_or(malformed("an encryption algorithm"))
            })
            .transpose()
    }
}

/// Reads the struct.
///
/// # Errors
/// [`VolumeError::Invalid`] for a wrong version, unknown flags or fields, and offsets outside of
/// the area; the context's `ValidationException`.
pub fn parse(bytes: &[u8]) -> Result<Asked, VolumeError> {
    if bytes.len() != SIZE {
        return Err(malformed("the size of the struct"));
    }
    let given = Struct(bytes);
    if given.u32(0) != VERSION {
        return Err(malformed("the version of the struct"));
    }
    let flags = given.u32(4);
    if flags & !(DRY_RUN | NEW_DATA_KEY | QUERY | IGNORE_CIPHERTEXT) != 0 {
        return Err(malformed("flags"));
    }
    if given.u32(24) & !0x1ff != 0 || given.u32(28) != 0 {
        return Err(malformed("fields that are not for asking"));
    }
    let context = |field| -> Result<_, VolumeError> {
        Ok(given
            .text(field)?
            .map(|text| parse_context(&text))
            .transpose()?)
    };
    let name = given
        .field(Field::Name)?
        .filter(|name| !name.is_empty())
        .map(|name| OsString::from_vec(name.to_vec()));
    if flags & QUERY != 0 {
        return Ok(Asked {
            name,
            control: Control::Query,
        });
    }
    if flags & NEW_DATA_KEY != 0 {
        // What would be left out silently is refused.
        if flags != NEW_DATA_KEY || given.u32(24) & !(1 << Field::Name as u32) != 0 {
            return Err(malformed("what is asked together with a new data key"));
        }
        return Ok(Asked {
            name,
            control: Control::Reseal,
        });
    }
    for field in [Field::DestinationKeyId, Field::SourceKeyId] {
        // Absent is not empty: an empty identifier must not mean the current key.
        if given.field(field)?.is_some_and(<[u8]>::is_empty) {
            return Err(Exception::validation("a key identifier must not be empty").into());
        }
    }
    let grant_tokens = given.text(Field::GrantTokens)?.map(|text| {
        let tokens = text.split('\0').filter(|token| !token.is_empty());
        tokens.map(str::to_owned).collect()
    });
    let re_encrypt = ReEncryptRequest {
        ciphertext_blob: given
            .field(Field::CiphertextBlob)?
            .map(|bytes| Blob(bytes.to_vec())),
        source_encryption_context: context(Field::SourceEncryptionContext)?,
        source_key_id: given.text(Field::SourceKeyId)?,
        destination_key_id: given.text(Field::DestinationKeyId)?.unwrap_or_default(),
        destination_encryption_context: context(Field::DestinationEncryptionContext)?,
        source_encryption_algorithm: given.algorithm(Field::SourceEncryptionAlgorithm)?,
        destination_encryption_algorithm: given.algorithm(Field::DestinationEncryptionAlgorithm)?,
        grant_tokens,
        dry_run: (flags & DRY_RUN != 0).then_some(true),
        dry_run_modifiers: (flags & IGNORE_CIPHERTEXT != 0)
            .then(|| vec![DryRunModifier::IGNORE_CIPHERTEXT]),
    };
    let expected = given.u64(8);
    Ok(Asked {
        name,
        control: Control::Rewrap(Box::new(RewrapRequest {
            re_encrypt,
            keep: false,
            expected_generation: (expected != 0).then_some(expected),
        })),
    })
}

/// Composes the struct that goes back.
pub fn answer(outcome: &Result<Outcome, Failure>, generation: u64) -> Vec<u8> {
    let mut out = Writer::new();
    out.put_u64(16, generation);
    match outcome {
        Ok(outcome) => {
            out.put(Field::KeyArn, &outcome.key_arn);
            out.put(Field::KeyAlgorithm, outcome.algorithm.name());
            if let Some(response) = &outcome.response {
                out.put(Field::SourceKeyArn, &response.source_key_id);
                if let Some(algorithm) = response.source_encryption_algorithm {
                    out.put(Field::SourceKeyAlgorithm, algorithm.name());
                }
            }
            if outcome.dry_run {
                let dry_run = Exception::dry_run();
                out.put_exception(&dry_run);
            }
        }
        Err(Failure {
            error: VolumeError::Key(exception),
            ..
        }) => out.put_exception(exception),
        Err(failure) => out.put(Field::Message, &failure.error.to_string()),
    }
    out.0
}

struct Writer(Vec<u8>, usize);

impl Writer {
    fn new() -> Self {
        let mut out = Self(vec![0; SIZE], 0);
        out.0[..4].copy_from_slice(&VERSION.to_ne_bytes());
        out
    }

    fn put_u64(&mut self, at: usize, number: u64) {
        self.0[at..at + 8].copy_from_slice(&number.to_ne_bytes());
    }

    fn put_exception(&mut self, exception: &Exception) {
        self.put(Field::Exception, exception.kind().name());
        self.put(Field::Message, exception.message().unwrap_or_default());
    }

    /// Texts are cut to what is left: the longest is a message.
    fn put(&mut self, field: Field, text: &str) {
        debug_assert!(OUT >> field as u32 & 1 == 1 && (field as usize) < FIELDS);
        let length = floor_char_boundary(text, text.len().min(AREA - self.1));
        let start = AREA_AT + self.1;
        self.0[start..start + length].copy_from_slice(&text.as_bytes()[..length]);
        let at = FIELD_AT + 8 * field as usize;
        self.0[at..at + 4].copy_from_slice(&(self.1 as u32).to_ne_bytes());
        self.0[at + 4..at + 8].copy_from_slice(&(length as u32).to_ne_bytes());
        let present = Struct(&self.0).u32(24) | 1 << field as u32;
        self.0[24..28].copy_from_slice(&present.to_ne_bytes());
        self.1 += length;
    }
}

/// The last boundary between characters at or before `at`.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// Composes the struct that asks; for programs in this language.
pub fn ask(
    flags: AskFlags,
    expected_generation: u64,
    fields: &[(Field, &[u8])],
) -> Option<Vec<u8>> {
    let mut out = Writer::new();
    let bits = [
        (flags.dry_run, DRY_RUN),
        (flags.new_data_key, NEW_DATA_KEY),
        (flags.query, QUERY),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(0, |bits, (_, bit)| bits | bit);
    out.0[4..8].copy_from_slice(&bits.to_ne_bytes());
    out.put_u64(8, expected_generation);
    let mut present = 0_u32;
    for (field, bytes) in fields {
        if bytes.len() > AREA - out.1 {
            return None;
        }
        let start = AREA_AT + out.1;
        out.0[start..start + bytes.len()].copy_from_slice(bytes);
        let at = FIELD_AT + 8 * *field as usize;
        out.0[at..at + 4].copy_from_slice(&(out.1 as u32).to_ne_bytes());
        out.0[at + 4..at + 8].copy_from_slice(&(bytes.len() as u32).to_ne_bytes());
        present |= 1 << *field as u32;
        out.1 += bytes.len();
    }
    out.0[24..28].copy_from_slice(&present.to_ne_bytes());
    Some(out.0)
}

/// The flags of [`ask`].
#[derive(Debug, Clone, Copy, Default)]
pub struct AskFlags {
    /// Checks everything, changes nothing.
    pub dry_run: bool,
    /// Reseal.
    pub new_data_key: bool,
    /// Asks for key, algorithm and generation only.
    pub query: bool,
}

/// A struct that came back.
pub struct Answer(Vec<u8>);

impl Answer {
    /// Takes the bytes over; `None` when they are not the struct.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() == SIZE).then_some(Self(bytes))
    }

    /// The header's generation.
    pub fn generation(&self) -> u64 {
        Struct(&self.0).u64(16)
    }

    /// A text that came back.
    pub fn text(&self, field: Field) -> Option<String> {
        Struct(&self.0).text(field).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_struct_reads_back_what_was_asked() {
        let fields = [
            (Field::DestinationKeyId, &b"alias/new"[..]),
            (Field::DestinationEncryptionContext, b"a=b"),
            (Field::SourceEncryptionContext, b""),
            (Field::Name, b"entry"),
        ];
        let flags = AskFlags {
            dry_run: true,
            ..AskFlags::default()
        };
        let asked = parse(&ask(flags, 7, &fields).expect("fits")).expect("well formed");
        assert_eq!(asked.name, Some("entry".into()));
        let Control::Rewrap(request) = asked.control else {
            panic!("a rewrap")
        };
        assert_eq!(request.expected_generation, Some(7));
        assert_eq!(request.re_encrypt.destination_key_id, "alias/new");
        // Absent is not empty: an empty source context is given, and must match exactly.
        assert_eq!(
            request
                .re_encrypt
                .source_encryption_context
                .map(|c| c.is_empty()),
            Some(true)
        );
        assert_eq!(request.re_encrypt.source_key_id, None);
    }

    #[test]
    fn wrong_sizes_versions_flags_and_offsets_are_refused() {
        let good = ask(AskFlags::default(), 0, &[(Field::DestinationKeyId, b"k")]).expect("fits");
        assert!(parse(&good).is_ok());
        assert!(parse(&good[..SIZE - 1]).is_err());
        for (at, value) in [(0, 2_u32), (4, 0x10), (24, 1 << 9), (28, 1), (24, u32::MAX)] {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            assert!(parse(&bad).is_err(), "{value:#x} at {at}");
        }
        for (offset, length) in [
            (AREA as u32, 1_u32),
            (u32::MAX, u32::MAX),
            (0, AREA as u32 + 1),
        ] {
            let mut bad = good.clone();
            let at = FIELD_AT + 8 * Field::DestinationKeyId as usize;
            bad[at..at + 4].copy_from_slice(&offset.to_ne_bytes());
            bad[at + 4..at + 8].copy_from_slice(&length.to_ne_bytes());
            assert!(parse(&bad).is_err(), "{length} at {offset}");
        }
    }

    #[test]
    fn random_bytes_do_not_panic() {
        for seed in 0..2000_u64 {
            let mut bytes = vec![0; SIZE];
            crate::primitives::random_fill(&mut bytes[..200]);
            bytes[..4].copy_from_slice(&1_u32.to_ne_bytes());
            bytes[4..8].copy_from_slice(&((seed % 16) as u32).to_ne_bytes());
            bytes[26..32].fill(0);
            let _ = parse(&bytes);
        }
    }
}
