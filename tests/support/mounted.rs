//! A mounted volume, by the real binary. Needs root and /dev/fuse.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub const BINARY: &str = env!("CARGO_BIN_EXE_rekeyfs");

/// A mounted volume with a keystore of its own; unmounted when it goes.
pub struct Mount {
    pub dir: tempfile::TempDir,
}

impl Mount {
    pub fn new() -> Self {
        let mount = Self {
            dir: crate::support::temporary(),
        };
        std::fs::create_dir(mount.dir.path().join("mnt")).expect("mkdir");
        mount.sh("rekeyfs init $VOL >/dev/null; rekeyfs mount $VOL $MNT");
        mount
    }

    pub fn mnt(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    pub fn command(&self, script: &str) -> Output {
        let dir = self.dir.path();
        let bin = Path::new(BINARY).parent().expect("a directory");
        let path = format!(
            "{}:{}",
            bin.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        // A hanging mount must end as a failed test; the long forms take what they need.
        let long = [
            "REKEYFS_KILLS",
            "REKEYFS_FSX",
            "REKEYFS_OPERATIONS",
            "REKEYFS_ROUNDS",
        ];
        let long = long.iter().any(|name| std::env::var_os(name).is_some());
        Command::new("timeout")
            .args([
                "-s",
                "KILL",
                if long { "3700" } else { "240" },
                "bash",
                "-euo",
                "pipefail",
                "-c",
                script,
            ])
            .env("PATH", path)
            .env("T", dir)
            .env("VOL", dir.join("vol"))
            .env("MNT", dir.join("mnt"))
            .env("SRC", env!("CARGO_MANIFEST_DIR"))
            .env("REKEYFS_KEYSTORE", dir.join("keystore.db"))
            .current_dir(dir)
            .output()
            .expect("bash")
    }

    /// Runs a script that must succeed, and returns what it prints.
    pub fn sh(&self, script: &str) -> String {
        let output = self.command(script);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{script}\n{}\n{stdout}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        stdout
    }

    /// Runs a script that must fail, and returns its exit code and what it says.
    pub fn fails(&self, script: &str) -> (i32, String) {
        let output = self.command(script);
        assert!(!output.status.success(), "{script} succeeded");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        (output.status.code().unwrap_or(-1), said)
    }

    pub fn remount(&self) {
        self.sh("rekeyfs umount $MNT; rekeyfs mount $VOL $MNT");
    }

    /// A new key under an alias.
    pub fn key(&self, spec: &str, alias: &str) -> String {
        self.sh(&format!(
            "id=$(rekeyfs kms create-key --key-spec {spec} --key-usage ENCRYPT_DECRYPT | sed -n 's/.*\"KeyId\": \"\\(.*\\)\".*/\\1/p')
             rekeyfs kms create-alias --alias-name {alias} --target-key-id $id; printf %s $id"
        ))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let mnt = self.mnt();
        let _ = Command::new("umount").arg("-l").arg(&mnt).output();
    }
}
