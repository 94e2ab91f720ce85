//! `rekeyfs serve`: the KMS over HTTP, for the AWS CLIs and SDKs that people already have.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::report::{Exit, Fault};
use super::settings::Settings;
use crate::endpoint::{
    Auth, Config, Limits, Listen, Server, StopSignal, Stopper, Tls, stop_signal,
};
use crate::kms::Kms;
use crate::kms::caller::Caller;

/// Where it listens when nothing else is said.
const ADDRESS: &str = "127.0.0.1:7070";
/// Where it listens for one command: any free port, so that several can run at once.
const ANY_PORT: &str = "127.0.0.1:0";

#[derive(Args)]
pub struct Serve {
    /// HOST:PORT, or unix:PATH [default: 127.0.0.1:7070; for CMD any free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// How callers prove who they are: by access keys, or not at all (loopback only)
    #[arg(long, value_enum, default_value = "sigv4")]
    auth: Proof,
    /// The certificate and its chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Use a self-signed certificate and write it to FILE, for --ca-bundle and AWS_CA_BUNDLE
    #[arg(long, value_name = "FILE", conflicts_with = "tls_cert")]
    tls_self_signed: Option<PathBuf>,
    /// A command that is run with endpoint, Region and credentials in its environment; the
    /// endpoint stops after it
    #[arg(last = true, value_name = "CMD")]
    command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Proof {
    /// AWS Signature Version 4
    Sigv4,
    /// Nothing: everybody is the account's root user
    None,
}

impl Serve {
    pub fn run(&self, settings: &Settings) -> Result<ExitCode, Fault> {
        if !crate::sys::lock_memory() {
            log::debug!("keys are not locked in memory: a limit (ulimit -l) is in the way");
        }
        let caller = settings.caller()?;
        let kms = settings.open_or_create()?;
        let server = Server::bind(Arc::clone(&kms), self.config(&caller)?)?;
        let (stopper, stop) = stop_signal();
        if self.command.is_empty() {
            return self.serve(&kms, &caller, server, stopper, stop);
        }
        self.serve_command(&kms, &caller, server, &stopper, stop)
    }

    fn config(&self, caller: &Caller) -> Result<Config, Fault> {
        let default = if self.command.is_empty() {
            ADDRESS
        } else {
            ANY_PORT
        };
        let listen = self.listen.as_deref().unwrap_or(default);
        let listen = match listen.strip_prefix("unix:") {
            Some(_) if !self.command.is_empty() => {
                let fact = "--listen unix: with CMD: AWS clients take no URL of a Unix socket";
                return Err(Fault::new(Exit::Usage, fact));
            }
            Some(path) => Listen::Unix(path.into()),
            None => Listen::Tcp(address(listen)?),
        };
        let tls = match (&self.tls_cert, &self.tls_key, &self.tls_self_signed) {
            (Some(certificate), Some(key), _) => Some(Tls::Given {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            (_, _, Some(bundle)) => Some(Tls::SelfSigned {
                bundle: bundle.clone(),
            }),
            _ => None,
        };
        Ok(Config {
            listen,
            auth: match self.auth {
                Proof::Sigv4 => Auth::SigV4,
                Proof::None => Auth::None {
                    account: caller.account.clone(),
                    region: caller.region.clone(),
                },
            },
            tls,
            limits: Limits::default(),
        })
    }

    fn serve(
        &self,
        kms: &Kms,
        caller: &Caller,
        server: Server,
        stopper: Stopper,
        stop: StopSignal,
    ) -> Result<ExitCode, Fault> {
        stop_on_signals(stopper)?;
        println!("listening on {}", server.address());
        std::io::stdout().flush().ok();
        let unusable = self.auth == Proof::Sigv4
            && kms
                .list_access_keys(caller, None)
                .is_ok_and(|keys| keys.is_empty());
        if unusable {
            eprintln!(
                "hint: rekeyfs iam create-access-key makes the credentials that callers need"
            );
        }
        let served = server.run(stop);
        // A call that still runs keeps the KMS, and with it what has been recorded.
        if let Some(audit) = kms.audit() {
            audit.flush();
        }
        served?;
        Ok(ExitCode::SUCCESS)
    }

    fn serve_command(
        &self,
        kms: &Kms,
        caller: &Caller,
        server: Server,
        stopper: &Stopper,
        stop: StopSignal,
    ) -> Result<ExitCode, Fault> {
        let address = server.address();
        let serving = std::thread::spawn(move || server.run(stop));
        let status = self.run_command(kms, caller, &address);
        stopper.stop();
        let served = serving
            .join()
            .map_err(|_| Fault::new(Exit::Failed, "internal error: the endpoint panicked"))?;
        served?;
        Ok(exit_code(status?))
    }

    fn run_command(&self, kms: &Kms, caller: &Caller, address: &str) -> Result<ExitStatus, Fault> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Fault::new(Exit::Usage, "no command"));
        };
        let key = kms.lend_access_key(caller);
        let secret = String::from_utf8_lossy(key.secret.expose()).into_owned();
        let host = address.rsplit_once(':').map_or(address, |(url, _)| url);
        let host = host.rsplit_once('/').map_or(host, |(_, host)| host);
        let host = host.trim_matches(['[', ']']);
        let direct = ["no_proxy", "NO_PROXY"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|list| !list.is_empty()))
            .map_or_else(|| host.to_owned(), |list| format!("{list},{host}"));
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .env("AWS_ENDPOINT_URL_KMS", address)
            .env("AWS_ACCESS_KEY_ID", &key.id)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            // Else a setting of the user's would send plaintexts to AWS, or to a proxy.
            .env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false")
            .env("NO_PROXY", &direct)
            .env("no_proxy", &direct)
            .env("AWS_REGION", &caller.region)
            .env("AWS_DEFAULT_REGION", &caller.region)
            .env("REKEYFS_KEYSTORE", kms.store().path())
            // Credentials of another kind would be sent beside ours, or instead.
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("AWS_SECURITY_TOKEN")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_DEFAULT_PROFILE");
        if let Some(bundle) = &self.tls_self_signed {
            // The command may change its directory.
            let bundle = std::path::absolute(bundle).unwrap_or_else(|_| bundle.clone());
            command.env("AWS_CA_BUNDLE", bundle);
        }
        let failed = |e: &std::io::Error| {
            let fact = format!("{}: {e}", program.to_string_lossy());
            Fault::new(Exit::Failed, fact)
        };
        let mut child = match command.spawn() {
            Ok(child) => child,
            // As shells, env(1) and nice(1) say it.
            Err(e) => {
                failed(&e).print();
                let code = match e.kind() {
                    std::io::ErrorKind::NotFound => 127,
                    _ => 126,
                };
                return Ok(ExitStatus::from_raw(code << 8));
            }
        };
        pass_signals_on(child.id())?;
        child.wait().map_err(|e| failed(&e))
    }
}

fn address(text: &str) -> Result<std::net::SocketAddr, Fault> {
    use std::net::ToSocketAddrs;
    text.to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| {
            Fault::new(Exit::Usage, format!("address {text:?}: not HOST:PORT"))
                .hint("--listen 127.0.0.1:7070, or --listen unix:PATH")
        })
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn signals() -> Result<signal_hook::iterator::Signals, Fault> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])
        .map_err(|e| Fault::new(Exit::Failed, format!("signals: {e}")))
}

fn stop_on_signals(stopper: Stopper) -> Result<(), Fault> {
    let mut signals = signals()?;
    std::thread::spawn(move || {
        // A second signal changes nothing: the stop has a deadline of its own.
        for _ in &mut signals {
            stopper.stop();
        }
    });
    Ok(())
}

/// We end after the command. ^C reaches it by itself; other signals that would end us are its too.
fn pass_signals_on(child: u32) -> Result<(), Fault> {
    use rustix::process::{Pid, Signal, kill_process};
    let mut signals = signals()?;
    let child = i32::try_from(child).ok().and_then(Pid::from_raw);
    std::thread::spawn(move || {
        for signal in &mut signals {
            if signal != signal_hook::consts::SIGINT
                && let Some(child) = child
            {
                // It may have ended meanwhile.
                let _ = kill_process(child, Signal::TERM);
            }
        }
    });
    Ok(())
}
