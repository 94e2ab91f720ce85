//! Imports follow the arrows of the picture in `src/lib.rs`, and foreign crates stay in their rooms.

use std::path::{Path, PathBuf};

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("list").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

/// The code of a file without its tests and comments, and its path below `src`.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("read");
            let code: String = text
                .split("#[cfg(test)]")
                .next()
                .unwrap_or_default()
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .flat_map(|line| [line, "\n"])
                .collect();
            let name = path
                .strip_prefix(&root)
                .expect("below src")
                .to_string_lossy()
                .into_owned();
            (name, code)
        })
        .collect()
}

fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or(file)
}

#[test]
fn imports_follow_the_arrows() {
    for (file, code) in files() {
        let forbidden: &[&str] = match room(&file) {
            "codec" | "secret" | "primitives" | "sys" => &[
                "crate::endpoint",
                "crate::kms",
                "crate::volume",
                "crate::mount",
                "crate::rotate",
                "crate::cli",
            ],
            "kms" => &[
                "crate::endpoint",
                "crate::volume",
                "crate::mount",
                "crate::rotate",
                "crate::cli",
            ],
            "endpoint" => &[
                "crate::volume",
                "crate::mount",
                "crate::rotate",
                "crate::cli",
            ],
            "volume" => &[
                "crate::endpoint",
                "crate::mount",
                "crate::rotate",
                "crate::cli",
            ],
            "mount" => &["crate::endpoint", "crate::rotate", "crate::cli"],
            "rotate" => &["crate::endpoint", "crate::mount", "crate::cli"],
            _ => &[],
        };
        for import in forbidden {
            assert!(!code.contains(import), "{file} imports {import}");
        }
        if matches!(room(&file), "volume" | "mount" | "rotate") {
            let others =
                code.matches("crate::kms::").count() - code.matches("crate::kms::service").count();
            assert_eq!(others, 0, "{file} reaches into kms past kms::service");
        }
    }
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    let rooms: &[(&str, &[&str])] = &[
        (
            "fuser::",
            &[
                "mount/callers.rs",
                "mount/convert.rs",
                "mount/filesystem.rs",
                "mount/handles.rs",
                "mount/requests.rs",
                "mount/revocation.rs",
                "mount/session.rs",
            ],
        ),
        (
            "rusqlite::",
            &[
                "kms/store.rs",
                "kms/store/keys.rs",
                "kms/store/principals.rs",
                "kms/store/schema.rs",
                "kms/store/usage.rs",
                "kms/store_error.rs",
            ],
        ),
        ("ureq::", &["cli/kms/remote.rs"]),
        ("ini::", &["cli/kms/profile.rs"]),
        // rustls has a module of the same name.
        (
            "aws_lc_rs::",
            &["cli/kms/remote.rs", "endpoint/tls.rs", "primitives.rs"],
        ),
        ("aes_siv::", &["primitives.rs"]),
        ("indicatif::", &["cli/check.rs"]),
        ("argon2::", &["primitives.rs"]),
        ("aes_gcm::", &["kms/algorithm.rs"]),
        ("rsa::", &["kms/algorithm.rs", "primitives.rs"]),
        ("sm2::", &["kms/algorithm.rs"]),
        ("serde_cbor::", &["volume/header.rs"]),
        ("unsafe ", &["sys.rs"]),
    ];
    for (file, code) in files() {
        for (name, allowed) in rooms {
            let found = code.contains(name) && !(*name == "unsafe " && file == "lib.rs");
            assert!(
                !found || allowed.contains(&file.as_str()),
                "{file} uses {name}"
            );
        }
        let uses_clap = code.contains("clap::");
        assert!(!uses_clap || room(&file) == "cli", "{file} uses clap");
        for name in [
            "tokio::",
            "tokio_rustls::",
            "hyper::",
            "hyper_util::",
            "http_body_util::",
            "rcgen::",
        ] {
            let used = code.contains(name);
            assert!(!used || room(&file) == "endpoint", "{file} uses {name}");
        }
    }
}

#[test]
fn the_errno_table_has_no_catch_all() {
    let (_, code) = files()
        .into_iter()
        .find(|(file, _)| file == "mount/errno.rs")
        .expect("there");
    assert!(
        !code
            .lines()
            .any(|line| line.trim_start().starts_with("_ =>"))
    );
}
