//! The symmetric ciphertext blob: AWS's outer layout, byte for byte.
//!
//! ```text
//!  0  01 02        format version            37  01
//!  2  02 | 03      Encrypt | GenerateDataKey 38  16  nonce N of the key derivation
//!  3  00 78                                  54   4  length L of the rest, big-endian
//!  5  32           key material id           58   L  DER: PKCS#7 EncryptedData, AES-256-GCM
//! ```
//!
//! The content is framing (11) || plaintext, sealed by AES-256-GCM with a 12-byte IV and a
//! 16-byte tag. What AWS puts into its 11 bytes is not public; here they are the version 1, two
//! zeros and the length of the plaintext (u64, big-endian). The AAD is the header of 58 bytes
//! followed by the canonical context. Owns layout only: keys and ciphers are in `algorithm`.

use crate::codec::Reader;

/// Bytes before the DER part.
pub const HEADER: usize = 58;
/// Bytes of framing inside the sealed content.
pub const FRAMING: usize = 11;
const TAG: usize = 16;
const IV: usize = 12;

/// `id-encryptedData`, with tag and length.
const OID_ENCRYPTED_DATA: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 6];
/// `id-data`.
const OID_DATA: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
/// `aes256-GCM`.
const OID_AES_256_GCM: [u8; 11] = [6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 0x2e];

/// What a blob was made by: byte 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeBy {
    /// Encrypt and ReEncrypt (base64 begins with `AQICAH`).
    Encrypt = 2,
    /// GenerateDataKey and its relatives (`AQIDAH`).
    GenerateDataKey = 3,
}

/// The parts of a blob.
#[derive(Debug, PartialEq, Eq)]
pub struct SymmetricBlob<'a> {
    /// The first 58 bytes, which are authenticated.
    pub header: &'a [u8],
    /// The key material that sealed it.
    pub material_id: [u8; 32],
    /// The nonce of the key derivation.
    pub nonce: [u8; 16],
    /// The IV of GCM.
    pub iv: [u8; IV],
    /// Ciphertext and tag.
    pub content: &'a [u8],
}

fn der_length(out: &mut Vec<u8>, length: usize) {
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend_from_slice(&[0x81, length as u8]),
        _ => out.extend_from_slice(&[0x82, (length >> 8) as u8, length as u8]),
    }
}

/// The DER part for a content of `content` bytes, without the content itself, which comes last.
fn der_prefix(iv: &[u8; IV], content: usize) -> Vec<u8> {
    // Lengths from the inside out: each layer's counts the content, which is not there yet.
    let sealed = 1 + length_size(content) + content;
    let info = OID_DATA.len() + ALGORITHM + sealed;
    let data = 3 + 1 + length_size(info) + info;
    let tagged = 1 + length_size(data) + data;
    let whole = OID_ENCRYPTED_DATA.len() + 1 + length_size(tagged) + tagged;
    let mut out = Vec::with_capacity(SMALLEST_PREFIX + 16 + content);
    for (tag, length, head) in [
        (0x30, whole, &OID_ENCRYPTED_DATA[..]),
        (0xa0, tagged, &[]),
        (0x30, data, &[2, 1, 0]),
        (0x30, info, &OID_DATA),
        // AlgorithmIdentifier: aes256-GCM with its IV and a tag of 16 bytes.
        (0x30, ALGORITHM - 2, &OID_AES_256_GCM),
        (0x30, IV + 5, &[4, IV as u8]),
    ] {
        out.push(tag);
        der_length(&mut out, length);
        out.extend_from_slice(head);
    }
    out.extend_from_slice(iv);
    out.extend_from_slice(&[2, 1, TAG as u8]);
    out.push(0x80);
    der_length(&mut out, content);
    out
}

/// Bytes of the AlgorithmIdentifier: its own head, the OID, and the parameters.
const ALGORITHM: usize = 2 + OID_AES_256_GCM.len() + 2 + 2 + IV + 3;

/// Composes the header of a blob for `plaintext` bytes; the caller seals and calls [`finish`].
pub fn header(
    made_by: MadeBy,
    material_id: &[u8; 32],
    nonce: &[u8; 16],
    plaintext: usize,
) -> [u8; HEADER] {
    let content = plaintext + FRAMING + TAG;
    let rest = prefix_length(content) + content;
    let mut out = [0; HEADER];
    out[..5].copy_from_slice(&[1, 2, made_by as u8, 0, 0x78]);
    out[5..37].copy_from_slice(material_id);
    out[37] = 1;
    out[38..54].copy_from_slice(nonce);
    out[54..58].copy_from_slice(&(rest as u32).to_be_bytes());
    out
}

/// The framing that precedes the plaintext.
pub fn framing(plaintext: usize) -> [u8; FRAMING] {
    let mut out = [0; FRAMING];
    out[0] = 1;
    out[3..].copy_from_slice(&(plaintext as u64).to_be_bytes());
    out
}

/// Puts header, DER and the sealed content (ciphertext and tag) together.
pub fn finish(header: &[u8; HEADER], iv: &[u8; IV], content: &[u8]) -> Vec<u8> {
    let prefix = der_prefix(iv, content.len());
    [&header[..], &prefix, content].concat()
}

/// Takes a blob apart. Only what [`finish`] could have made is accepted: one encoding, no rest.
///
/// Returns `None` for everything else.
pub fn parse(blob: &[u8]) -> Option<SymmetricBlob<'_>> {
    let mut reader = Reader::new(blob);
    let header = reader.take(HEADER, "header").ok()?;
    let made_by_ok = header[2] == 2 || header[2] == 3;
    if header[..2] != [1, 2] || !made_by_ok || header[3..5] != [0, 0x78] || header[37] != 1 {
        return None;
    }
    let length = u32::from_be_bytes(header[54..58].try_into().ok()?) as usize;
    let rest = &blob[HEADER..];
    if rest.len() != length || length > 8192 {
        return None;
    }
    // The number of length bytes depends on the content: try the few sizes it can have.
    let content = (SMALLEST_PREFIX..SMALLEST_PREFIX + 32)
        .filter_map(|prefix| length.checked_sub(prefix))
        .find(|content| *content >= FRAMING + TAG && prefix_length(*content) + content == length)?;
    let prefix = prefix_length(content);
    let iv_at = prefix - iv_distance(content);
    let iv: [u8; IV] = rest.get(iv_at..iv_at + IV)?.try_into().ok()?;
    if rest[..prefix] != der_prefix(&iv, content)[..] {
        return None;
    }
    Some(SymmetricBlob {
        header,
        material_id: header[5..37].try_into().ok()?,
        nonce: header[38..54].try_into().ok()?,
        iv,
        content: &rest[prefix..],
    })
}

/// The DER prefix of an empty content.
const SMALLEST_PREFIX: usize = 67;

/// Bytes of a DER length.
fn length_size(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        0x80..0x100 => 2,
        _ => 3,
    }
}

/// Bytes of [`der_prefix`], without making it.
fn prefix_length(content: usize) -> usize {
    [OID_DATA.len() + 32, 3, 0, OID_ENCRYPTED_DATA.len()]
        .into_iter()
        .fold(1 + length_size(content), |tail, head| {
            1 + length_size(head + tail + content) + head + tail
        })
}

/// Bytes from the start of the IV to the end of the DER prefix.
fn iv_distance(content: usize) -> usize {
    IV + 3 + 1 + length_size(content)
}

/// Checks the framing of an opened content and returns the plaintext's place.
pub fn unframe(opened: &[u8]) -> Option<&[u8]> {
    let (framing_bytes, plaintext) = opened.split_at_checked(FRAMING)?;
    (framing_bytes == framing(plaintext.len())).then_some(plaintext)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{hex, unhex};

    fn sample(plaintext: usize) -> Vec<u8> {
        let header = header(MadeBy::Encrypt, &[0xab; 32], &[0xcd; 16], plaintext);
        finish(&header, &[0xef; 12], &vec![0x55; plaintext + FRAMING + TAG])
    }

    #[test]
    fn sizes_are_those_of_the_real_service() {
        for (plaintext, size) in [
            (1, 153),
            (13, 165),
            (22, 174),
            (27, 179),
            (32, 184),
            (64, 220),
            (128, 285),
            (256, 418),
            (1024, 1186),
            (2374, 2536),
            (4096, 4258),
        ] {
            assert_eq!(sample(plaintext).len(), size, "{plaintext} bytes");
        }
    }

    #[test]
    fn the_layout_matches_its_golden_vector() {
        let expected = include_str!("../../tests/vectors/blob-2.hex").trim();
        assert_eq!(hex(&sample(2)), expected);
    }

    #[test]
    fn every_size_reads_back() {
        for plaintext in 1..=4096 {
            let blob = sample(plaintext);
            let parsed = parse(&blob).expect("made here");
            assert_eq!(parsed.material_id, [0xab; 32]);
            assert_eq!(parsed.nonce, [0xcd; 16]);
            assert_eq!(parsed.iv, [0xef; 12]);
            assert_eq!(parsed.content.len(), plaintext + FRAMING + TAG);
        }
    }

    #[test]
    fn every_cut_and_every_flip_outside_of_values_is_refused() {
        let blob = sample(32);
        for cut in 0..blob.len() {
            assert_eq!(parse(&blob[..cut]), None, "cut at {cut}");
        }
        let mut longer = blob.clone();
        longer.push(0);
        assert_eq!(parse(&longer), None);
        let original = parse(&blob).expect("made here");
        for at in 0..blob.len() {
            let mut flipped = blob.clone();
            flipped[at] ^= 0x80;
            if let Some(parsed) = parse(&flipped) {
                assert_ne!(parsed, original, "flip at {at} goes unseen");
            }
        }
        assert_eq!(parse(&unhex::<8>("0102020078ffffff").expect("hex")), None);
    }
}
