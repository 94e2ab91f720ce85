//! Where log lines go: standard error, or the system log once the mount is in the background.
//!
//! `REKEYFS_LOG` sets the level (error, warn, info, debug, trace); warn by default.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Logger;

static LOGGER: Logger = Logger;
static BACKGROUND: AtomicBool = AtomicBool::new(false);

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates' lines repeat what is said here, fuser's faults aside.
        let target = metadata.target();
        metadata.level() <= log::max_level()
            && (target.starts_with("rekeyfs")
                || (target.starts_with("fuser") && metadata.level() == Level::Error))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = format!(
            "{}: {}",
            record.level().as_str().to_lowercase(),
            record.args()
        );
        if BACKGROUND.load(Ordering::Relaxed) {
            let priority = match record.level() {
                Level::Error => libc::LOG_ERR,
                Level::Warn => libc::LOG_WARNING,
                Level::Info => libc::LOG_INFO,
                Level::Debug | Level::Trace => libc::LOG_DEBUG,
            };
            crate::sys::syslog(priority, &line);
        } else {
            // A closed standard error must not end the thread that logs.
            let _ = writeln!(std::io::stderr(), "rekeyfs: {line}");
        }
    }

    fn flush(&self) {}
}

/// Logs to standard error.
pub fn to_stderr() {
    let level = std::env::var("REKEYFS_LOG")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::Warn);
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level);
    }
}

/// Lets a panic be told where other faults are, by its place alone: its message could hold what was
/// being worked on.
pub fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a thread");
        match panic.location() {
            Some(place) => log::error!("internal error: {name} panicked at {place}"),
            None => log::error!("internal error: {name} panicked"),
        }
    }));
}

/// Logs to the system log from now on.
pub fn to_syslog() {
    BACKGROUND.store(true, Ordering::Relaxed);
}
