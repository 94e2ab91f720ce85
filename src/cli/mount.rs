//! `rekeyfs mount`

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use clap::Args;

use super::report::{Exit, Fault};
use super::settings::{Recording, Settings};
use crate::kms::caller::account_of;
use crate::mount::{Cache, MountEntry, MountError, Options, mount, mounted_at, unmount};
use crate::volume::backing::System;
use crate::volume::{Crash, OpenOptions, Volume};

#[derive(Args)]
pub struct Mount {
    /// The backing directory of a volume
    dir: PathBuf,
    /// Where to mount it
    mountpoint: PathBuf,
    /// ro, rw, allow_other, default_permissions, noatime, atime, relatime, suid, nosuid, dev,
    /// nodev, exec, noexec, sync, async, principal=ARN, audit=changes|all|off,
    /// crash=strict|fast, revoke=hard|soft, cache=keep|close|none
    #[arg(short, value_name = "OPTIONS", value_delimiter = ',')]
    options: Vec<String>,
    /// Stay in front
    #[arg(short)]
    foreground: bool,
    /// Say on standard output when the mount answers
    #[arg(long, hide = true)]
    notify: bool,
}

/// What is said when the mount answers.
const READY: &str = "ready";

/// What `-o` says.
#[derive(Default)]
struct Asked {
    options: Options,
    recording: Recording,
    crash: Crash,
}

fn parse_options(list: &[String]) -> Result<Asked, Fault> {
    let mut asked = Asked::default();
    let out = &mut asked.options;
    for option in list
        .iter()
        .flat_map(|list| list.split(','))
        .filter(|option| !option.is_empty())
    {
        match option {
            "ro" => out.read_only = true,
            "rw" => out.read_only = false,
            "allow_other" => out.allow_other = true,
            "noatime" => out.no_atime = true,
            "atime" | "relatime" => out.no_atime = false,
            "suid" => out.suid = true,
            "nosuid" => out.suid = false,
            "dev" => out.dev = true,
            "nodev" => out.dev = false,
            "exec" => out.no_exec = false,
            "noexec" => out.no_exec = true,
            "sync" => out.sync = true,
            "async" => out.sync = false,
            "crash=strict" => asked.crash = Crash::Strict,
            "crash=fast" => asked.crash = Crash::Fast,
            "audit=changes" => asked.recording = Recording::Changes,
            "audit=all" => asked.recording = Recording::Everything,
            "audit=off" => asked.recording = Recording::Nothing,
            _ if option.starts_with("principal=") => {
                let arn = option.strip_prefix("principal=").unwrap_or_default();
                if account_of(arn).is_none() {
                    let fact = format!("mount option {option}: not a principal's ARN");
                    return Err(Fault::new(Exit::Usage, fact)
                        .hint("-o principal=arn:aws:iam::ACCOUNT:user/NAME"));
                }
                out.principal = Some(arn.to_owned());
            }
            "revoke=hard" => out.soft_revocation = false,
            "revoke=soft" => out.soft_revocation = true,
            "cache=keep" => out.cache = Cache::Keep,
            "cache=close" => out.cache = Cache::Close,
            "cache=none" => out.cache = Cache::None,
            // The kernel always judges by the modes; these are what this version does.
            "default_permissions" | "spin=off" => {}
            // From /etc/fstab.
            "defaults" | "auto" | "noauto" | "user" | "users" | "nofail" | "_netdev" => {}
            _ => {
                let known = ["spin=", "shared"];
                let fact = if known.iter().any(|known| option.starts_with(known)) {
                    format!("mount option {option}: not available in this version")
                } else {
                    format!("mount option {option}: not known")
                };
                return Err(Fault::new(Exit::Usage, fact).hint("rekeyfs mount --help lists them"));
            }
        }
    }
    out.record_everything = asked.recording == Recording::Everything;
    Ok(asked)
}

impl Mount {
    pub fn run(&self, settings: &Settings) -> Result<(), Fault> {
        let asked = parse_options(&self.options)?;
        let options = &asked.options;
        // A mount acts for each caller; as one for all of them only if it is said here.
        if let Some(arn) = &settings.principal {
            let fact = "--principal: a mount acts for each of its callers";
            return Err(Fault::new(Exit::Usage, fact).hint(format!("-o principal={arn}")));
        }
        if !self.foreground {
            return self.run_in_background(settings);
        }
        crate::sys::drop_capabilities()
            .map_err(|e| Fault::new(Exit::Failed, format!("give up privileges: {e}")))?;
        if !crate::sys::lock_memory() {
            log::debug!("keys are not locked in memory: a limit (ulimit -l) is in the way");
        }
        let mountpoint = prepare(&self.mountpoint)?;
        let dir = self
            .dir
            .canonicalize()
            .map_err(|source| MountError::Mountpoint {
                path: self.dir.clone(),
                source,
            });
        let dir = dir.map_err(|e| Fault::new(Exit::Volume, e.to_string()))?;
        let kms = settings.open_recording(asked.recording)?;
        let open = OpenOptions {
            read_only: options.read_only,
            offline: false,
            crash: asked.crash,
            background: true,
        };
        let volume = Volume::open(Arc::new(System), kms, &dir, open)?;
        // Modes come with each request, the umask applied by the kernel.
        rustix::process::umask(rustix::fs::Mode::empty());
        let mounted = match mount(Arc::clone(&volume), &mountpoint, options) {
            Ok(mounted) => mounted,
            Err(e) => {
                volume.close()?;
                return Err(e.into());
            }
        };
        unmount_on_signals(&mountpoint)?;
        if self.notify {
            go_to_background();
        }
        let unsettled = mounted.serve()?;
        if unsettled.is_empty() {
            return Ok(());
        }
        for error in &unsettled {
            log::error!("not written back: {error}");
        }
        Err(Fault::new(
            Exit::Failed,
            format!("{} files were not written back", unsettled.len()),
        ))
    }

    /// Starts this program again in front of nobody, and waits until it answers.
    fn run_in_background(&self, settings: &Settings) -> Result<(), Fault> {
        let failed = |e: std::io::Error| Fault::new(Exit::Failed, format!("start the mount: {e}"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        if let Some(path) = &settings.keystore {
            command.arg("--keystore").arg(path);
        }
        if let Some(path) = &settings.passphrase_file {
            command.arg("--passphrase-file").arg(path);
        }
        command.arg("mount").arg(&self.dir).arg(&self.mountpoint);
        if !self.options.is_empty() {
            command.arg("-o").arg(self.options.join(","));
        }
        // As the daemon knows it, before it is mounted.
        let mountpoint = self.mountpoint.canonicalize();
        let mountpoint = mountpoint.unwrap_or_else(|_| super::umount::resolve(&self.mountpoint));
        let mut child = command
            .args(["-f", "--notify"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(failed)?;
        }
        if line.trim_end() == READY {
            // Whether it answers can only be asked from here: a daemon that waits for itself could
            // not even be killed.
            let answers = rustix::fs::statfs(&mountpoint).err() != Some(rustix::io::Errno::NOTCONN);
            if answers && mounted_at(&mountpoint).is_some_and(|entry| entry.ours) {
                return Ok(());
            }
            // It is on its way out, or somebody has unmounted it already.
            if child.wait().map_err(failed)?.success() {
                return Ok(());
            }
            let _ = clear_dead(&mountpoint);
            let fact = format!(
                "{}: the mount ended before it answered",
                mountpoint.display()
            );
            return Err(Fault::new(Exit::Failed, fact).hint("rekeyfs mount -f shows why"));
        }
        // It has said why on the standard error that it shares with this process.
        let status = child.wait().map_err(failed)?;
        let _ = clear_dead(&mountpoint);
        // Zero: it was told to end before it answered.
        let code = status.code().filter(|code| *code != 0);
        std::process::exit(code.unwrap_or(Exit::Failed as i32));
    }
}

/// Checks the mountpoint, and clears a dead mount of ours away.
fn prepare(path: &Path) -> Result<PathBuf, Fault> {
    clear_dead(&super::umount::resolve(path))?;
    let found = path
        .canonicalize()
        .map_err(|source| MountError::Mountpoint {
            path: path.to_owned(),
            source,
        })?;
    if !found.is_dir() {
        return Err(MountError::NotADirectory { path: found }.into());
    }
    if mounted_at(&found).is_some_and(|entry| entry.ours) {
        return Err(MountError::InUse { path: found }.into());
    }
    Ok(found)
}

/// Takes a mount of ours away whose daemon has died.
fn clear_dead(mountpoint: &Path) -> Result<(), Fault> {
    if let Some(MountEntry { ours: true, .. }) = mounted_at(mountpoint)
        // What the kernel still remembers of it would answer stat.
        && rustix::fs::statfs(mountpoint).err() == Some(rustix::io::Errno::NOTCONN)
    {
        log::warn!("{}: clearing a dead mount away", mountpoint.display());
        unmount(mountpoint, true)?;
    }
    Ok(())
}

/// SIGTERM, SIGINT and SIGHUP unmount; files that are open keep the daemon until they are closed.
fn unmount_on_signals(mountpoint: &Path) -> Result<(), Fault> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let failed = |e: std::io::Error| Fault::new(Exit::Failed, format!("signals: {e}"));
    let mut signals =
        signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(failed)?;
    let mountpoint = mountpoint.to_owned();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                match unmount(&mountpoint, false) {
                    Err(MountError::Busy { .. }) => {
                        log::warn!(
                            "{}: busy, unmounted as soon as it is not",
                            mountpoint.display()
                        );
                        let _ = unmount(&mountpoint, true);
                    }
                    Err(e) => log::error!("{e}"),
                    Ok(()) => {}
                }
            }
        })
        .map_err(failed)?;
    Ok(())
}

/// Tells the starting process that it is mounted, and lets go of its terminal.
fn go_to_background() {
    // Not the leader of a process group: the shell's session and its signals are left behind.
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{READY}").and_then(|()| stdout.flush());
    super::logger::to_syslog();
    if let Ok(null) = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
    {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_known_or_refused_by_name() {
        let parse = |text: &str| parse_options(&[text.to_owned()]);
        assert!(
            parse("ro,allow_other,default_permissions,noatime").is_ok_and(|asked| asked
                .options
                .read_only
                && asked.options.allow_other
                && asked.options.no_atime)
        );
        assert!(parse("").is_ok_and(|asked| asked.crash == Crash::Strict));
        assert!(parse("crash=fast").is_ok_and(|asked| asked.crash == Crash::Fast));
        let alice = "arn:aws:iam::000000000000:user/Alice";
        let given = format!("audit=all,principal={alice}");
        assert!(parse(&given).is_ok_and(|asked| {
            asked.options.principal.as_deref() == Some(alice)
                && asked.recording == Recording::Everything
        }));
        assert!(parse("principal=Alice").is_err_and(|fault| fault.exit == Exit::Usage));
        assert!(parse("shared").is_err_and(|fault| fault.fact.contains("shared")));
        assert!(parse("bogus").is_err_and(|fault| fault.exit == Exit::Usage));
    }
}
