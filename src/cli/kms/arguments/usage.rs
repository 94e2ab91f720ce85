//! Faults of the command line as AWS CLI 1.31.13 prints them, but for its name and its note.

use std::ffi::{OsStr, OsString};

use super::parser::fault;
use crate::cli::kms::python;

/// What stands before every message about the usage: the AWS CLI's lines with our name, without
/// its note about its own next version.
const USAGE: &str = "usage: rekeyfs [options] <command> <subcommand> [<subcommand> ...] [parameters]\n\
    To see help text, you can run:\n\
    \n  rekeyfs help\n  rekeyfs <command> help\n  rekeyfs <command> <subcommand> help\n";

/// Names of a choice that stand in one line.
const PER_LINE: usize = 2;

/// Arguments that mean nothing: what is printed, and how the program ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageFault {
    /// All of standard error, line ends included.
    pub text: String,
    /// The exit code: 2 or 255.
    pub code: u8,
}

impl UsageFault {
    /// Arguments that do not fit the options.
    pub fn usage(message: &str) -> Self {
        Self {
            text: format!("{USAGE}rekeyfs: error: {message}\n"),
            code: 2,
        }
    }

    /// Arguments that nothing takes.
    pub fn unknown(arguments: &[OsString]) -> Self {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| python::shown(argument))
            .collect();
        Self {
            text: format!("{USAGE}\nUnknown options: {}\n", arguments.join(", ")),
            code: 255,
        }
    }

    /// A value that its option cannot have.
    pub fn value(message: &str) -> Self {
        Self {
            text: format!("\n{message}\n"),
            code: 255,
        }
    }
}

/// The message about a value that is none of `choices`, with those that are nearly it.
pub fn invalid_choice(name: &str, value: &OsStr, choices: &[&str]) -> String {
    let mut out = fault(name, "Invalid choice, valid choices are:\n");
    for line in choices.chunks(PER_LINE) {
        let line: Vec<String> = line.iter().map(|choice| format!("{choice:<40}")).collect();
        out.push('\n');
        out.push_str(&line.join(" | "));
    }
    let near = value
        .to_str()
        .map(|value| python::close_matches(value, choices))
        .unwrap_or_default();
    if !near.is_empty() {
        let value = python::quoted(value);
        out.push_str(&format!(
            "\n\n\nInvalid choice: {value}, maybe you meant:\n"
        ));
        for choice in near {
            out.push_str(&format!("\n  * {choice}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "usage: rekeyfs [options] <command> <subcommand> [<subcommand> ...] \
        [parameters]\nTo see help text, you can run:\n\n  rekeyfs help\n  rekeyfs <command> help\n  \
        rekeyfs <command> <subcommand> help\n";

    #[test]
    fn faults_have_the_texts_and_codes_of_the_aws_cli() {
        let required = "the following arguments are required: --key-id";
        assert_eq!(
            UsageFault::usage(required),
            UsageFault {
                text: format!("{HEAD}rekeyfs: error: {required}\n"),
                code: 2
            }
        );
        assert_eq!(
            UsageFault::unknown(&["--bogus".into(), "x".into()]),
            UsageFault {
                text: format!("{HEAD}\nUnknown options: --bogus, x\n"),
                code: 255
            }
        );
        let int = "invalid literal for int() with base 10: 'x'";
        assert_eq!(
            UsageFault::value(int),
            UsageFault {
                text: format!("\n{int}\n"),
                code: 255
            }
        );
    }

    #[test]
    fn choices_are_listed_in_two_columns() {
        let formats = ["json", "text", "table"];
        let [json, text, table] = formats;
        let list = format!(
            "argument --output: Invalid choice, valid choices are:\n\n\
             {json:<40} | {text:<40}\n{table:<40}"
        );
        let message = |value: &str| invalid_choice("--output", OsStr::new(value), &formats);
        for value in ["foo", "", "TEXT"] {
            assert_eq!(message(value), list, "{value}");
        }
        assert_eq!(
            message("jso"),
            format!("{list}\n\n\nInvalid choice: 'jso', maybe you meant:\n\n  * json")
        );
    }
}
