//! Stored names and targets: whatever stands in a backing directory is told apart, and what was
//! sealed opens.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use rekeyfs::primitives::SivKey;
use rekeyfs::secret::Secret;
use rekeyfs::volume::names::{
    self, Found, NAME_MAX, StoredTarget, TARGET_MAX, classify, open_name, seal_name, seal_target,
};

fuzz_target!(|data: &[u8]| {
    let key = SivKey::new(Secret::from_slice(&[5; 64]).expect("64 bytes"));
    stored(&key, data);
    name(&key, data);
    target(&key, data);
});

/// What somebody has put into a backing directory.
fn stored(key: &SivKey, bytes: &[u8]) {
    match classify(bytes) {
        Found::Sealed(sealed) => assert!(open_name(key, &sealed).is_err(), "nobody has sealed it"),
        Found::Long(companion) => assert!(names::is_companion(&companion)),
        Found::Internal | Found::Temporary | Found::Foreign => {}
    }
    assert!(open_name(key, bytes).is_err());
    if let Ok(sealed) = names::decode_target(bytes) {
        assert!(names::open_target(key, &sealed).is_err());
    }
    assert!(names::open_target(key, bytes).is_err());
    if let Some(file) = names::target_file(bytes) {
        assert_eq!(file.as_bytes().len(), 22);
        assert!(!file.as_bytes().contains(&b'/'));
    }
    let _ = names::target_len(bytes.len() as u64, || Some(bytes.to_vec()));
}

fn name(key: &SivKey, name: &[u8]) {
    let Ok(stored) = seal_name(key, OsStr::from_bytes(name)) else {
        let no_name = name.is_empty() || name == b"." || name == b"..";
        assert!(no_name || name.len() > NAME_MAX || name.contains(&b'/'));
        return;
    };
    assert!(stored.name.as_bytes().len() <= NAME_MAX);
    let sealed = match (classify(stored.name.as_bytes()), stored.companion) {
        (Found::Sealed(sealed), None) => sealed,
        (Found::Long(companion), Some((expected, sealed))) => {
            assert_eq!(companion, expected);
            sealed
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(open_name(key, &sealed).expect("sealed just now"), name);
}

fn target(key: &SivKey, target: &[u8]) {
    let Ok(stored) = seal_target(key, target) else {
        assert!(target.len() > TARGET_MAX);
        return;
    };
    let sealed = match stored {
        StoredTarget::Short(stored) => {
            let stored = stored.as_bytes();
            assert_eq!(
                names::target_len(stored.len() as u64, || None),
                target.len() as u64
            );
            names::decode_target(stored).expect("base64")
        }
        StoredTarget::Long {
            reference,
            file,
            sealed,
        } => {
            let reference = reference.as_bytes();
            assert_eq!(names::target_file(reference), Some(file));
            let len = names::target_len(reference.len() as u64, || Some(reference.to_vec()));
            assert_eq!(len, target.len() as u64);
            sealed
        }
    };
    assert_eq!(
        names::open_target(key, &sealed).expect("sealed just now"),
        target
    );
}
