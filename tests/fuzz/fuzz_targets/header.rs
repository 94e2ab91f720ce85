//! Header slots, of files and of directories: whatever parses is written as it reads, and of two
//! slots one is chosen or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rekeyfs::primitives::sha256;
use rekeyfs::volume::header::{Header, ObjectType, choose};

/// Where the CBOR part begins, and the bytes of the hash behind it.
const CBOR: usize = 128;
const HASH: usize = 32;

fuzz_target!(|data: &[u8]| {
    check(data);
    let mut hashed = data.to_vec();
    if hash(&mut hashed) {
        check(&hashed);
    }
});

/// Puts the right hash where the length says that it stands.
fn hash(slot: &mut [u8]) -> bool {
    let Some(len) = slot.get(12..16) else {
        return false;
    };
    let len = u32::from_le_bytes(len.try_into().expect("4 bytes")) as usize;
    let end = CBOR.saturating_add(len);
    if end.saturating_add(HASH) > slot.len() {
        return false;
    }
    let hash = sha256(&[&slot[..end]]);
    slot[end..end + HASH].copy_from_slice(&hash);
    true
}

fn check(slot: &[u8]) {
    let Ok(header) = Header::parse(slot) else {
        return;
    };
    assert!((1..=2).contains(&header.epochs.len()));
    assert!(header.lowest_epoch() <= header.current().number);
    if let Ok(written) = header.encode() {
        assert_eq!(Header::parse(&written).as_ref(), Ok(&header));
    }
    let (a, b) = slot.split_at(slot.len().min(header.layout.slot() as usize));
    for kind in [ObjectType::File, ObjectType::Directory] {
        if let Ok(chosen) = choose(a, b, header.layout, kind) {
            assert_eq!(chosen.header.object_type, kind);
        }
    }
}
