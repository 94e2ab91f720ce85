//! `rekeyfs check`: verifies a volume that is not mounted.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use indicatif::{HumanBytes, ProgressBar};
use serde_json::{Value, json};

use super::report::{Exit, Fault};
use super::settings::Settings;
use crate::codec::hex;
use crate::kms::service::KeyService;
use crate::volume::backing::{Backing, System};
use crate::volume::check::{
    CheckOptions, Finding, Look, Progress, Report, Trouble, check, is_lost,
};

#[derive(Args)]
pub struct Check {
    /// The backing directory of a volume that is not mounted
    dir: PathBuf,
    /// Finish what a crash has interrupted; nothing that can be read is thrown away
    #[arg(long)]
    repair: bool,
    /// Copy what still verifies of damaged files into this directory
    #[arg(long, value_name = "OUT")]
    salvage: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Files that are read at once [default: one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// A line on the terminal.
struct Bar(ProgressBar);

impl Progress for Bar {
    fn checked(&self, files: u64, bytes: u64) {
        self.0
            .set_message(format!("{files} files, {}", HumanBytes(bytes)));
        self.0.tick();
    }
}

impl Check {
    pub fn run(&self, settings: &Settings) -> Result<(), Fault> {
        // Directories that wait to be looked at are open.
        crate::sys::raise_open_files();
        let keys: Result<Arc<dyn KeyService>, String> = match settings.open() {
            Ok(kms) => Ok(kms),
            Err(fault) if self.repair => return Err(fault),
            Err(fault) => {
                let fact = fault.fact.clone();
                // It goes on without keys; how to have them is worth knowing meanwhile.
                fault.print();
                Err(fact)
            }
        };
        let threads = self.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        });
        let options = CheckOptions {
            look: Look::Everything,
            repair: self.repair,
            salvage: self.salvage.as_deref(),
            threads,
        };
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        let bar = Bar(bar);
        let system: Arc<dyn Backing> = Arc::new(System);
        let report = check(&system, keys, &self.dir, &options, &bar).map_err(|e| {
            let to_salvage = is_lost(&e) && self.salvage.is_none();
            let fault = Fault::from(e);
            if to_salvage {
                // Not the hint of other commands, to make a volume there: this may be the only copy.
                fault.only_hint(format!(
                    "rekeyfs check {} --salvage OUT",
                    self.dir.display()
                ))
            } else {
                fault
            }
        })?;
        bar.0.finish_and_clear();
        match self.output {
            Output::Text => print(&report),
            Output::Json => println!("{:#}", to_json(&report)),
        }
        self.verdict(&report)
    }

    fn verdict(&self, report: &Report) -> Result<(), Fault> {
        let dir = self.dir.display();
        let damaged = report.count(Trouble::Damaged);
        if damaged > 0 {
            let fault = Fault::new(Exit::Failed, format!("{damaged} objects are damaged"));
            return Err(if self.salvage.is_some() {
                fault
            } else {
                fault.hint(format!("rekeyfs check {dir} --salvage OUT"))
            });
        }
        if let Some(why) = &report.without_keys {
            let fact = format!("no contents and no names were verified: {why}");
            return Err(Fault::new(Exit::Failed, fact));
        }
        let closed = report.count(Trouble::NoKey);
        if closed > 0 {
            let fact = format!("{closed} objects cannot be opened with their keys now");
            return Err(Fault::new(Exit::KeyRefused, fact));
        }
        let interrupted = report.count(Trouble::Interrupted);
        if interrupted > 0 {
            let fact = format!("{interrupted} things that a crash has interrupted");
            return Err(
                Fault::new(Exit::Failed, fact).hint(format!("rekeyfs check {dir} --repair"))
            );
        }
        Ok(())
    }
}

fn print(report: &Report) {
    for finding in &report.findings {
        let repaired = if finding.repaired { " (repaired)" } else { "" };
        // Names may hold what a terminal would obey.
        let path = finding.path.display().to_string();
        let path = path.escape_debug();
        println!(
            "{}: {path}: {}{repaired}",
            finding.trouble.name(),
            finding.fact
        );
        if let Some(salvaged) = &finding.salvaged {
            let to = salvaged.to.display().to_string();
            println!("  saved {} bytes as {}", salvaged.bytes, to.escape_debug());
            for (offset, len) in &salvaged.lost {
                println!("  lost {len} bytes at {offset}");
            }
        }
    }
    println!(
        "{} files, {} directories, {} symlinks, {} others, {} bytes verified",
        report.files, report.directories, report.symlinks, report.others, report.bytes
    );
}

fn to_json(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "Path": finding.path.to_string_lossy(),
            "ObjectId": finding.object.as_ref().map(|id| hex(id)),
            "Kind": finding.trouble.name(),
            "Fact": finding.fact,
            "Repaired": finding.repaired,
            "Salvaged": finding.salvaged.as_ref().map(|salvaged| json!({
                "To": salvaged.to.to_string_lossy(),
                "Bytes": salvaged.bytes,
                "Lost": salvaged.lost.iter().map(|(offset, len)| json!({
                    "Offset": offset,
                    "Length": len,
                })).collect::<Vec<_>>(),
            })),
        })
    };
    json!({
        "Files": report.files,
        "Directories": report.directories,
        "Symlinks": report.symlinks,
        "Others": report.others,
        "BytesVerified": report.bytes,
        "WithoutKeys": report.without_keys,
        "Findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}
