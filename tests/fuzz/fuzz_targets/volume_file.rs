//! The volume file: two pages, of which one is chosen or none.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use rekeyfs::primitives::sha256;
use rekeyfs::secret::Secret;
use rekeyfs::volume::marker::Marker;
use rekeyfs::volume::subkeys::VolumeKey;

const PAGE: usize = 4096;
/// Where the body begins, and the bytes of the MAC behind it.
const BODY: usize = 100;
const MAC: usize = 32;

fuzz_target!(|data: &[u8]| {
    let mut pages = data.to_vec();
    check(&pages);
    for page in pages.chunks_mut(PAGE) {
        hash(page);
    }
    check(&pages);
});

/// Puts the right hash where the length says that it stands.
fn hash(page: &mut [u8]) {
    let Some(len) = page.get(12..16) else {
        return;
    };
    let len = u32::from_le_bytes(len.try_into().expect("4 bytes")) as usize;
    let end = BODY.saturating_add(len).saturating_add(MAC);
    if end.saturating_add(32) <= page.len() {
        let hash = sha256(&[&page[..end]]);
        page[end..end + 32].copy_from_slice(&hash);
    }
}

fn check(pages: &[u8]) {
    let (a, b) = pages.split_at(pages.len().min(PAGE));
    let path = Path::new("volume");
    match Marker::choose(a, b, path) {
        Ok(marker) => {
            // Written again it says the same.
            let key = VolumeKey::new(Secret::from_slice(&[3; 32]).expect("32 bytes"));
            let again = Marker::choose(&marker.encode(&key), &[], path).expect("a marker");
            assert_eq!(
                (again.id, again.session, again.epoch, again.mounted),
                (marker.id, marker.session, marker.epoch, marker.mounted)
            );
            assert_eq!(again.crashed, marker.crashed);
        }
        Err(error) => assert!(error.to_string().starts_with("volume: ")),
    }
}
