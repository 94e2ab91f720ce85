//! `rekeyfs umount`

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::report::{Exit, Fault};
use super::settings::Settings;
use crate::mount::{MountError, mounted_at, unmount};
use crate::volume::Volume;
use crate::volume::backing::{Backing, System};
use crate::volume::check::{CheckOptions, Look, Progress, UNSETTLED, check};

#[derive(Args)]
pub struct Umount {
    /// Where the volume is mounted
    mountpoint: PathBuf,
}

/// How long a mount may be busy without a process that uses it.
const BRIEFLY: Duration = Duration::from_secs(2);
/// Files that are named.
const MANY: usize = 20;
/// How long is looked for them: nobody can mount the volume meanwhile.
const SEARCH: Duration = Duration::from_secs(5);
/// How long the daemon may take to write everything back and end.
const PATIENCE: Duration = Duration::from_secs(60);

impl Umount {
    pub fn run(&self, settings: &Settings) -> Result<(), Fault> {
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
        let Some(marker) = open_marker(&entry.source) else {
            // What is below may have been unmounted: there is nobody to ask.
            return Ok(());
        };
        wait_for_daemon(&entry.source, &marker)?;
        let left = Volume::was_left_mounted(&System, &entry.source)?;
        // Somebody may have mounted it again meanwhile.
        if left && !crate::sys::is_locked(marker.as_fd()) {
            return Err(not_written(&entry.source, &path, settings));
        }
        Ok(())
    }
}

/// What was not written back, as far as the volume and its keys tell soon.
fn not_written(dir: &Path, mountpoint: &Path, settings: &Settings) -> Fault {
    let options = CheckOptions {
        look: Look::LastSession,
        repair: false,
        salvage: None,
        threads: 1,
    };
    let system: Arc<dyn Backing> = Arc::new(System);
    // Whoever unmounts, a script or a shutdown, is asked for nothing.
    let until = Until::soon();
    let findings = settings
        .open_unasked()
        .ok()
        .and_then(|keys| check(&system, Ok(keys), dir, &options, &until).ok())
        .map(|report| report.findings)
        .unwrap_or_default();
    let mut files = findings
        .iter()
        .filter(|finding| finding.fact == UNSETTLED)
        .map(|finding| mountpoint.join(finding.path.strip_prefix("/").unwrap_or(&finding.path)));
    let fact = format!("{}: not everything was written back", dir.display());
    let mut fault = Fault::new(Exit::Failed, fact);
    for path in files.by_ref().take(MANY) {
        // Names may hold what a terminal would obey.
        let path = path.display().to_string();
        fault = fault.hint(format!("not written back: {}", path.escape_debug()));
    }
    match files.count() {
        0 => {}
        more => fault = fault.hint(format!("and {more} more")),
    }
    if !until.goes_on() {
        fault = fault.hint(format!(
            "rekeyfs check {} finds more of them",
            dir.display()
        ));
    }
    fault.hint("journalctl -t rekeyfs says why; the next mount recovers the rest")
}

/// When looking for names ends, done or not.
struct Until(Instant);

impl Until {
    fn soon() -> Self {
        Self(Instant::now() + SEARCH)
    }
}

impl Progress for Until {
    fn checked(&self, _files: u64, _bytes: u64) {}

    fn goes_on(&self) -> bool {
        Instant::now() < self.0
    }
}

fn open_marker(dir: &Path) -> Option<std::fs::File> {
    let mut options = std::fs::File::options();
    let marker = options.read(true).write(true);
    marker.open(dir.join("rekeyfs.volume")).ok()
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

/// Waits until the daemon has let go of the volume.
fn wait_for_daemon(dir: &Path, marker: &std::fs::File) -> Result<(), Fault> {
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
