//! The command line: arguments to calls, results to output, errors to messages and exit codes.
//!
//! clap, terminals, hints and exit codes are known here alone.

mod audit;
mod check;
mod iam;
mod info;
mod init;
mod keystore;
pub mod kms;
mod logger;
mod mount;
mod rekey;
mod report;
mod serve;
mod settings;
mod umount;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use settings::Settings;

/// A FUSE filesystem that keeps every file under a data key of its own and re-encrypts it with
/// the semantics of AWS KMS ReEncrypt.
#[derive(Parser)]
#[command(name = "rekeyfs", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 the key service refused, \
    4 the keystore cannot be used, 5 the volume cannot be used. \
    rekeyfs kms exits as the AWS CLI v1 does: 0, 255 error, 2 usage, 130 interrupted.";

#[derive(Subcommand)]
enum Command {
    /// Make a volume in an empty or new directory
    Init(init::Init),
    /// Mount a volume
    Mount(mount::Mount),
    /// Unmount a volume, with everything written back
    Umount(umount::Umount),
    /// The local KMS, with the arguments and output of `aws kms`
    #[command(disable_help_flag = true)]
    Kms {
        /// The operation and its arguments: see `rekeyfs kms help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Re-encrypt files and trees
    Rekey(rekey::Rekey),
    /// Show an object's metadata
    Info(info::Info),
    /// Verify a volume that is not mounted, repair it, or save what can be read of it
    Check(check::Check),
    /// Serve the KMS over HTTP to AWS CLIs and SDKs
    Serve(serve::Serve),
    /// Users, their policies and access keys, with the argument names and the JSON of `aws iam`
    Iam(iam::Iam),
    /// Show the audit log
    Audit(audit::Audit),
    /// Make, protect and back up the keystore
    Keystore(keystore::Keystore),
    /// Print the C header of the ioctl
    Header,
}

/// Runs the program.
pub fn main() -> ExitCode {
    crate::sys::forbid_core_dumps();
    logger::to_stderr();
    logger::tell_of_panics();
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if kms::is_for_kms(&words) {
        // A connection that is lost is a fault to be told of, not a broken pipe to end by.
        let connects = words
            .iter()
            .any(|word| word.to_string_lossy().starts_with("--endp"));
        if !connects {
            crate::sys::default_broken_pipes();
        }
        return kms::run(&words);
    }
    let arguments = Arguments::parse();
    if !matches!(arguments.command, Command::Mount(_) | Command::Serve(_)) {
        // `rekeyfs .. | head` ends quietly. A daemon must not end for a closed pipe or connection.
        crate::sys::default_broken_pipes();
    }
    let settings = &arguments.settings;
    let result = match &arguments.command {
        Command::Init(command) => command.run(settings),
        Command::Mount(command) => command.run(settings),
        Command::Umount(command) => command.run(settings),
        // Taken before clap: its arguments have the AWS CLI's rules.
        Command::Kms { .. } => return kms::run(&words),
        Command::Rekey(command) => command.run(settings),
        Command::Info(command) => command.run(),
        Command::Check(command) => command.run(settings),
        Command::Serve(command) => return exit(command.run(settings)),
        Command::Iam(command) => command.run(settings),
        Command::Audit(command) => command.run(settings),
        Command::Keystore(command) => command.run(settings),
        Command::Header => {
            print!("{}", crate::mount::ioctl::HEADER);
            Ok(())
        }
    };
    exit(result.map(|()| ExitCode::SUCCESS))
}

fn exit(result: Result<ExitCode, report::Fault>) -> ExitCode {
    result.unwrap_or_else(report::Fault::report)
}
