//! Entry pages with their trailer and size record: what is not authenticated is refused, what is says
//! the same after it was written again.
//!
//! An input is the group index, eight bytes, and the page.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rekeyfs::primitives::MacKey;
use rekeyfs::volume::page::{Entry, EntryPage, PAGE_BYTES, Page};

const OBJECT: [u8; 16] = [7; 16];
const TRAILER: usize = PAGE_BYTES - 256;
const MAC: usize = PAGE_BYTES - 32;

fuzz_target!(|data: &[u8]| {
    let Some((group, bytes)) = data.split_first_chunk() else {
        return;
    };
    let group = u64::from_le_bytes(*group);
    let key = MacKey::new(&[9; 32]);
    let mut page = Page::ZERO;
    let len = bytes.len().min(PAGE_BYTES);
    page.0[..len].copy_from_slice(&bytes[..len]);
    if let Ok(parsed) = EntryPage::parse(&page, &key, &OBJECT, group) {
        assert!(parsed.is_none(), "nobody has authenticated it");
    }
    // The same, by who has the key.
    page.0[TRAILER..TRAILER + 16].copy_from_slice(&OBJECT);
    page.0[TRAILER + 16..TRAILER + 24].copy_from_slice(&group.to_le_bytes());
    let mac = key.sign(&[&page.0[TRAILER..MAC]]);
    page.0[MAC..].copy_from_slice(&mac);
    let Ok(Some(parsed)) = EntryPage::parse(&page, &key, &OBJECT, group) else {
        return;
    };
    assert_eq!(EntryPage::epoch_of(&page), parsed.epoch);
    assert!(EntryPage::parse(&page, &key, &OBJECT, group ^ 1).is_err());
    let written = parsed.encode(&key, &OBJECT, group);
    let again = EntryPage::parse(&written, &key, &OBJECT, group);
    let again = again.expect("authenticated").expect("not empty");
    for index in 0..64 {
        match parsed.entry(index) {
            // What the map says is a hole is one.
            Entry::Malformed if parsed.is_hole(index) => {}
            entry => assert_eq!(again.entry(index), entry, "chunk {index}"),
        }
    }
    assert_eq!((again.record, again.tail), (parsed.record, parsed.tail));
    assert_eq!(
        (again.holes, again.sealings),
        (parsed.holes, parsed.sealings)
    );
});
