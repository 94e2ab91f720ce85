//! Every command of the README runs, in its order, as a newcomer would paste it.

mod support;

use std::path::Path;
use std::process::Command;

/// The blocks marked `sh`.
fn blocks() -> Vec<String> {
    let readme = include_str!("../README.md");
    readme
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_runs() {
    let dir = support::temporary();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let test_script = std::fs::read_to_string(root.join("scripts/test")).expect("scripts/test");
    let mut script =
        String::from("set -euo pipefail\ntrap 'umount -l ~/private 2>/dev/null || true' EXIT\n");
    for line in blocks().iter().flat_map(|block| block.lines()) {
        if let Some(called) = line.strip_prefix("scripts/") {
            // What takes longer is run by scripts/test itself.
            assert!(
                called == "test" || test_script.contains(line),
                "scripts/test does not run {line}"
            );
        } else if line == "cargo build --release" {
            // Built already: this test is a part of that build.
            assert!(Path::new(env!("CARGO_BIN_EXE_rekeyfs")).exists());
        } else {
            script.push_str(line);
            script.push('\n');
        }
    }
    let bin = Path::new(env!("CARGO_BIN_EXE_rekeyfs"))
        .parent()
        .expect("a directory");
    let path = format!(
        "{}:{}",
        bin.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new("timeout")
        .args(["-s", "KILL", "200", "bash", "-c", &script])
        .env("HOME", dir.path())
        .env("PATH", path)
        .env_remove("REKEYFS_KEYSTORE")
        .env_remove("XDG_DATA_HOME")
        .current_dir(root)
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(said.contains("Key has been revoked"), "{said}");
}

#[test]
fn the_tables_name_what_the_program_knows() {
    let readme = include_str!("../README.md");
    for operation in rekeyfs::kms::api::OPERATIONS {
        assert!(readme.contains(operation.name), "{}", operation.name);
    }
    for name in [
        "key_id",
        "encryption_context",
        "encryption_algorithm",
        "re_encrypt",
        "ciphertext_blob",
        "data_key",
        "error",
    ] {
        assert!(readme.contains(&format!("`user.kms.{name}`")), "{name}");
    }
}
