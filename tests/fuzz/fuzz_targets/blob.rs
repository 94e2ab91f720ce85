//! Ciphertext blobs: each has one encoding, and whatever can be composed can be taken apart.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rekeyfs::kms::blob::{self, FRAMING, HEADER, MadeBy, SymmetricBlob};

/// Bytes of the tag behind the ciphertext.
const TAG: usize = 16;
/// Bytes of the largest content: 4,096 of plaintext, framed and sealed.
const LARGEST: usize = 4096 + FRAMING + TAG;

fuzz_target!(|data: &[u8]| {
    has_one_encoding(data);
    if let Some(plaintext) = blob::unframe(data) {
        let framed = [&blob::framing(plaintext.len())[..], plaintext].concat();
        assert_eq!(framed, data);
    }
    if let Some((parts, content)) = data.split_first_chunk() {
        reads_back(parts, content);
    }
});

/// What can be taken apart is put together as it was.
fn has_one_encoding(bytes: &[u8]) {
    let Some(parsed) = blob::parse(bytes) else {
        return;
    };
    let made_by = match parsed.header[2] {
        2 => MadeBy::Encrypt,
        3 => MadeBy::GenerateDataKey,
        other => panic!("made by {other}"),
    };
    let plaintext = parsed.content.len() - FRAMING - TAG;
    let header = blob::header(made_by, &parsed.material_id, &parsed.nonce, plaintext);
    assert_eq!(blob::finish(&header, &parsed.iv, parsed.content), bytes);
}

/// A blob that is composed of the parts is taken apart into them. One byte of it is changed then.
fn reads_back(parts: &[u8; 64], content: &[u8]) {
    if !(FRAMING + TAG..=LARGEST).contains(&content.len()) {
        return;
    }
    let material_id: [u8; 32] = parts[..32].try_into().expect("32 bytes");
    let nonce: [u8; 16] = parts[32..48].try_into().expect("16 bytes");
    let iv: [u8; 12] = parts[48..60].try_into().expect("12 bytes");
    let made_by = match parts[60] % 2 {
        0 => MadeBy::Encrypt,
        _ => MadeBy::GenerateDataKey,
    };
    let plaintext = content.len() - FRAMING - TAG;
    let header: [u8; HEADER] = blob::header(made_by, &material_id, &nonce, plaintext);
    let mut composed = blob::finish(&header, &iv, content);
    let expected = SymmetricBlob {
        header: &header,
        material_id,
        nonce,
        iv,
        content,
    };
    assert_eq!(blob::parse(&composed), Some(expected));

    let place = usize::from(u16::from_le_bytes([parts[61], parts[62]])) % composed.len();
    composed[place] ^= parts[63];
    has_one_encoding(&composed);
}
