//! `rekeyfs umount`

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::report::{Exit, Fault};
use crate::mount::{MountError, mounted_at, unmount};
use crate::volume::Volume;
use crate::volume::backing::System;

#[derive(Args)]
pub struct Umount {
    /// Where the volume is mounted
    mountpoint: PathBuf,
}

/// How long a mount may be busy without a process that uses it.
const BRIEFLY: Duration = Duration::from_secs(2);
/// How long the daemon may take to write everything back and end.
const PATIENCE: Duration = Duration::from_secs(60);

impl Umount {
    pub fn run(&self) -> Result<(), Fault> {
        let path = resolve(&self.mountpoint);
        let Some(entry) = mounted_at(&path).filter(|entry| entry.ours) else {
            return Err(MountError::NotMounted { path }.into());
        };
        if let Ok(root) = std::fs::File::open(&path) {
            let _ = rustix::fs::syncfs(root.as_fd());
        }
        let start = Instant::now();
        loop {
            match unmount(&path, false) {
                Ok(()) => break,
                // A file that has just been closed, or a process that has just ended: soon it is not.
                Err(MountError::Busy { path })
                    if start.elapsed() < BRIEFLY && users_of(&path).is_empty() =>
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(MountError::Busy { path }) => return Err(busy(&path)),
                Err(e) => return Err(e.into()),
            }
        }
        // A read-only mount has nothing to write back, and shares its lock.
        if entry.read_only {
            return Ok(());
        }
        wait_for_daemon(&entry.source)
    }
}

/// The path as the mount table has it. Nothing is asked of what is mounted there: a dead mount
/// cannot be resolved.
pub fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (
        absolute.parent().map(Path::canonicalize),
        absolute.file_name(),
    ) {
        (Some(Ok(parent)), Some(name)) => {
            let path = parent.join(name);
            // The last component may be a symlink to the mountpoint.
            match std::fs::read_link(&path) {
                Ok(target) => resolve(&parent.join(target)),
                Err(_) => path,
            }
        }
        _ => absolute,
    }
}

/// Waits until the daemon has let go of the volume, and asks the volume whether everything has
/// been written back.
fn wait_for_daemon(dir: &Path) -> Result<(), Fault> {
    let Ok(marker) = std::fs::File::options()
        .read(true)
        .write(true)
        .open(dir.join("rekeyfs.volume"))
    else {
        return Ok(());
    };
    let start = Instant::now();
    while crate::sys::is_locked(marker.as_fd()) {
        if start.elapsed() > PATIENCE {
            return Err(Fault::new(
                Exit::Failed,
                format!(
                    "{}: the daemon still writes after {} s",
                    dir.display(),
                    PATIENCE.as_secs()
                ),
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if Volume::was_left_mounted(&System, dir)? && !crate::sys::is_locked(marker.as_fd()) {
        return Err(Fault::new(
            Exit::Failed,
            format!("{}: not everything was written back", dir.display()),
        )
        .hint("journalctl -t rekeyfs names what was not; the next mount recovers the rest"));
    }
    Ok(())
}

fn busy(path: &Path) -> Fault {
    let mut fault = Fault::new(Exit::Failed, format!("{}: is busy", path.display()));
    for (pid, name, what) in users_of(path).into_iter().take(10) {
        fault = fault.hint(format!(
            "used by process {pid} ({name}): {}",
            what.display()
        ));
    }
    fault
}

/// The processes that have something below a path open.
fn users_of(path: &Path) -> Vec<(u32, String, PathBuf)> {
    let mut out = Vec::new();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return out;
    };
    for process in processes.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let dir = process.path();
        let mut links = vec![dir.join("cwd"), dir.join("root")];
        if let Ok(open) = std::fs::read_dir(dir.join("fd")) {
            links.extend(open.flatten().map(|entry| entry.path()));
        }
        let used = links
            .iter()
            .filter_map(|link| std::fs::read_link(link).ok())
            .find(|target| target.starts_with(path));
        if let Some(target) = used {
            let name = std::fs::read_to_string(dir.join("comm")).unwrap_or_default();
            out.push((pid, name.trim().to_owned(), target));
        }
    }
    out
}
