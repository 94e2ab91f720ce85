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

/// The names of all Rust tests below a directory.
fn tests_below(directory: &Path, names: &mut std::collections::HashSet<String>) {
    for entry in std::fs::read_dir(directory).expect("list").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("read");
            let found = text.split("#[test]").skip(1).filter_map(|behind| {
                let (_, name) = behind.split_once("fn ")?;
                name.split_once('(').map(|(name, _)| name.to_owned())
            });
            names.extend(found);
        }
    }
}

#[test]
fn every_sentence_of_the_manual_page_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = std::collections::HashSet::new();
    tests_below(&root.join("src"), &mut tests);
    tests_below(&root.join("tests"), &mut tests);
    let section = include_str!("../README.md")
        .split("\n## ")
        .find(|section| section.starts_with("ReEncrypt, sentence by sentence\n"))
        .expect("the section");
    let rows = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.ends_with("| held by |"));
    let mut sentences = 0;
    for row in rows {
        sentences += 1;
        let cells = row.trim_end_matches(" |");
        let (_, held_by) = cells.rsplit_once(" | ").expect("two cells");
        let names: Vec<_> = held_by.split('`').skip(1).step_by(2).collect();
        // What this program has no place for says so in brackets.
        assert!(!names.is_empty() || held_by.starts_with('('), "{row}");
        for name in names {
            match name.split_once(": ") {
                Some((file, check)) if file.starts_with("tests/clients/") => {
                    let text = std::fs::read_to_string(root.join(file)).expect(file);
                    assert!(text.contains(check), "{file} does not check {check}");
                }
                _ => assert!(tests.contains(name), "there is no test {name}"),
            }
        }
    }
    assert!(sentences > 90, "{sentences}");
}
