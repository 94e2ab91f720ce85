//! A stored file at rest, changed at will: what can be read of it is what was written, or nothing.
//!
//! An input is a list of changes of the golden volume's file `chunks`: a kind, an offset, and what
//! it needs. Nothing is authenticated anew: whoever changes a file at rest has no key.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use rekeyfs::kms::Kms;
use rekeyfs::kms::rootkey::RootKeySource;
use rekeyfs::kms::store::Store;
use rekeyfs::volume::backing::System;
use rekeyfs::volume::{Directory, File, OpenOptions, Volume};

const PAGE: usize = 4096;

struct World {
    volume: Arc<Volume>,
    root: Arc<Directory>,
    path: PathBuf,
    stored: Vec<u8>,
    plain: Vec<u8>,
}

impl World {
    fn read(&self) -> Result<Vec<Result<Vec<u8>, ()>>, ()> {
        let name = self.root.seal(OsStr::new("chunks")).expect("a name").name;
        let object = self.root.object(&name).map_err(|_| ())?;
        let envelope = self.volume.envelope_of(&object).map_err(|_| ())?;
        let file = File::open(&envelope, self.volume.own_caller(), false).map_err(|_| ())?;
        let chunks = file.len().div_ceil(PAGE as u64);
        let read = |index: u64| file.read(index * PAGE as u64, PAGE);
        Ok((0..chunks)
            .map(|index| {
                read(index)
                    .map(|plain| plain.as_bytes().to_vec())
                    .map_err(|_| ())
            })
            .collect())
    }
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/volume-1");
        let dir = std::env::temp_dir().join(format!("stored-file-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("mkdir");
        let path = dir.join("volume");
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([&from.join("clean"), &path])
            .status();
        assert!(copied.expect("cp").success());
        for name in ["keystore.db", "keystore.db.key"] {
            std::fs::copy(from.join(name), dir.join(name)).expect("copy");
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(dir.join(name), private).expect("chmod");
        }
        let store = Store::open(&dir.join("keystore.db"), &RootKeySource::File);
        let kms = Arc::new(Kms::new(store.expect("the keystore")));
        let options = OpenOptions {
            read_only: true,
            ..OpenOptions::default()
        };
        let volume = Volume::open(Arc::new(System), kms, &path, options).expect("the volume");
        let root = volume.root().expect("root");
        let name = root.seal(OsStr::new("chunks")).expect("a name").name;
        let path = path.join(name.to_str().expect("ASCII"));
        let stored = std::fs::read(&path).expect("read");
        let mut world = World {
            volume,
            root,
            path,
            stored,
            plain: Vec::new(),
        };
        let chunks = world.read().expect("the file opens");
        world.plain = chunks.into_iter().flatten().flatten().collect();
        assert_eq!(world.plain.len(), 3 * PAGE + 100);
        world
    })
}

fn change(stored: &mut Vec<u8>, mut data: &[u8]) {
    while let Some((head, rest)) = data.split_first_chunk::<4>() {
        data = rest;
        let at = usize::from(u16::from_le_bytes([head[1], head[2]]));
        match head[0] % 5 {
            0 => {
                if let Some(byte) = stored.get_mut(at) {
                    *byte ^= head[3];
                }
            }
            1 => stored.truncate(at),
            2 => stored.resize(at.max(stored.len()), head[3]),
            // A page to another place.
            3 => {
                let (from, to) = (at % 8 * PAGE, usize::from(head[3]) % 8 * PAGE);
                if from.max(to) + PAGE <= stored.len() {
                    stored.copy_within(from..from + PAGE, to);
                }
            }
            // Bytes of the input.
            _ => {
                let len = usize::from(head[3]).min(data.len());
                if at + len <= stored.len() {
                    stored[at..at + len].copy_from_slice(&data[..len]);
                }
                data = &data[len..];
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let world = world();
    let mut stored = world.stored.clone();
    change(&mut stored, data);
    std::fs::write(&world.path, &stored).expect("write");
    let Ok(chunks) = world.read() else {
        assert!(stored != world.stored);
        return;
    };
    let expected: Vec<&[u8]> = world.plain.chunks(PAGE).collect();
    assert_eq!(chunks.len(), expected.len(), "a wrong length");
    for (found, expected) in chunks.iter().zip(expected) {
        if let Ok(found) = found {
            assert!(found == expected, "wrong plaintext");
        }
    }
});
