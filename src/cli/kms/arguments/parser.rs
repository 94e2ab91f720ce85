//! One pass over arguments with the rules of Python's `argparse` (3.11), of which the AWS CLI v1
//! makes three: for the options of every command, for the name of the operation, and for the
//! operation's own options.
//!
//! Pure. A parser knows options, all of them long, and at most one positional argument; what it
//! does not know it leaves for the next pass, in the order of the command line.
//!
//! Words are told apart before any is taken: after `--` all are values; an option is a name, a
//! name with `=value`, or the beginning of one name; what begins with `-` otherwise is an option
//! that is not known, unless it is a number, has a blank in it or is nothing but `-`. An option
//! that takes a value takes the next word only if that is a value.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::cli::kms::python;

/// How many values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// None: it is a switch.
    Nothing,
    /// Exactly one.
    One,
    /// One or none.
    AtMostOne,
    /// All values that follow.
    Any,
}

/// An option that a pass knows.
pub struct Flag<T> {
    /// Its name, dashes included.
    pub name: String,
    /// How many values it takes.
    pub takes: Takes,
    /// Whether the beginning of its name will do.
    pub abbreviates: bool,
    /// Whether it must be given.
    pub required: bool,
    /// What it means to the caller.
    pub means: T,
}

/// The one positional argument of a pass.
#[derive(Clone, Copy)]
pub enum Positional {
    /// It must be there; its name in messages.
    Required(&'static str),
    /// It may be there.
    Optional,
}

/// What a pass found, in the order of the command line.
pub enum Found<'a, T> {
    /// An option, with its values.
    Option(&'a Flag<T>, Vec<&'a OsStr>),
    /// The positional argument.
    Positional(&'a OsStr),
}

enum Word<'a> {
    Value,
    /// The first `--`.
    Separator,
    /// An option: its place in the table if it is known, and what follows `=`.
    Option(Option<usize>, Option<&'a OsStr>),
}

struct Pass<'a, T, A> {
    flags: &'a [Flag<T>],
    words: Vec<Word<'a>>,
    arguments: &'a [OsString],
    positional: Positional,
    is_taken: bool,
    seen: Vec<bool>,
    rest: Vec<OsString>,
    act: A,
}

/// Makes one pass: tells `act` what it finds and gives back what it does not know.
///
/// # Errors
/// The message behind `rekeyfs: error: ` for arguments that do not fit, and whatever `act` answers.
pub fn parse<'a, T, E: From<String>>(
    flags: &'a [Flag<T>],
    positional: Positional,
    arguments: &'a [OsString],
    act: impl FnMut(Found<'a, T>) -> Result<(), E>,
) -> Result<Vec<OsString>, E> {
    let mut words = Vec::with_capacity(arguments.len());
    let mut is_separated = false;
    for argument in arguments {
        words.push(if is_separated {
            Word::Value
        } else {
            classify(flags, argument)?
        });
        is_separated |= argument == "--";
    }
    let pass = Pass {
        flags,
        words,
        arguments,
        positional,
        is_taken: false,
        seen: vec![false; flags.len()],
        rest: Vec::new(),
        act,
    };
    pass.run()
}

/// The first positional argument among the options of `flags`, where nothing else is checked.
pub fn first_positional<'a, T>(
    flags: &[Flag<T>],
    arguments: &'a [OsString],
) -> Option<&'a OsString> {
    let mut words = arguments.iter();
    while let Some(argument) = words.next() {
        match classify(flags, argument) {
            Ok(Word::Value) => return Some(argument),
            Ok(Word::Option(Some(index), None))
                if flags
                    .get(index)
                    .is_some_and(|flag| flag.takes == Takes::One) =>
            {
                let mut ahead = words.clone();
                if let Some(word) = ahead.next()
                    && matches!(classify(flags, word), Ok(Word::Value))
                {
                    words = ahead;
                }
            }
            Ok(Word::Separator | Word::Option(..)) | Err(_) => {}
        }
    }
    None
}

fn classify<'a, T>(flags: &[Flag<T>], argument: &'a OsStr) -> Result<Word<'a>, String> {
    let bytes = argument.as_bytes();
    if bytes.first() != Some(&b'-') {
        return Ok(Word::Value);
    }
    if bytes == b"--" {
        return Ok(Word::Separator);
    }
    let named = |name: &[u8]| flags.iter().position(|flag| flag.name.as_bytes() == name);
    if let Some(index) = named(bytes) {
        return Ok(Word::Option(Some(index), None));
    }
    if bytes.len() == 1 {
        return Ok(Word::Value);
    }
    let mut parts = bytes.splitn(2, |byte| *byte == b'=');
    let name = parts.next().unwrap_or_default();
    let explicit = parts.next().map(OsStr::from_bytes);
    if explicit.is_some()
        && let Some(index) = named(name)
    {
        return Ok(Word::Option(Some(index), explicit));
    }
    if bytes.starts_with(b"--") {
        let mut begin = flags
            .iter()
            .enumerate()
            .filter(|(_, flag)| flag.abbreviates && flag.name.as_bytes().starts_with(name));
        if let Some((index, flag)) = begin.next() {
            let others: Vec<&str> = begin.map(|(_, flag)| flag.name.as_str()).collect();
            if others.is_empty() {
                return Ok(Word::Option(Some(index), explicit));
            }
            return Err(format!(
                "ambiguous option: {} could match {}, {}",
                python::shown(argument),
                flag.name,
                others.join(", ")
            ));
        }
    }
    if is_negative_number(bytes) || bytes.contains(&b' ') {
        return Ok(Word::Value);
    }
    Ok(Word::Option(None, None))
}

/// `-7`, `-7.5` or `-.5`.
fn is_negative_number(bytes: &[u8]) -> bool {
    let are_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let Some((b'-', number)) = bytes.split_first() else {
        return false;
    };
    let mut parts = number.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().unwrap_or_default();
    match parts.next() {
        None => !whole.is_empty() && are_digits(whole),
        Some(fraction) => are_digits(whole) && !fraction.is_empty() && are_digits(fraction),
    }
}

impl<'a, T, E: From<String>, A: FnMut(Found<'a, T>) -> Result<(), E>> Pass<'a, T, A> {
    fn run(mut self) -> Result<Vec<OsString>, E> {
        let mut at = 0;
        while let Some(option) = self.next_option(at) {
            if at != option {
                let end = self.take_positional(at)?;
                if end > at {
                    at = end;
                    continue;
                }
                self.leave(at, option);
                at = option;
            }
            at = self.take_option(at)?;
        }
        let end = self.take_positional(at)?;
        self.leave(end, self.arguments.len());
        self.check_required()?;
        Ok(self.rest)
    }

    fn next_option(&self, from: usize) -> Option<usize> {
        self.words
            .iter()
            .enumerate()
            .skip(from)
            .find(|(_, word)| matches!(word, Word::Option(..)))
            .map(|(at, _)| at)
    }

    fn leave(&mut self, from: usize, to: usize) {
        let length = to.saturating_sub(from);
        let left = self.arguments.iter().skip(from).take(length);
        self.rest.extend(left.cloned());
    }

    fn is_value(&self, at: usize) -> bool {
        matches!(self.words.get(at), Some(Word::Value))
    }

    fn is_separator(&self, at: usize) -> bool {
        matches!(self.words.get(at), Some(Word::Separator))
    }

    /// Takes the positional argument, and a `--` before or behind it, if it stands at `from`;
    /// gives the place behind it.
    fn take_positional(&mut self, from: usize) -> Result<usize, E> {
        if self.is_taken {
            return Ok(from);
        }
        let at = from + usize::from(self.is_separator(from));
        let is_there = self.is_value(at);
        if !is_there && matches!(self.positional, Positional::Required(_)) {
            return Ok(from);
        }
        // One that may be missing counts as found from here on, even if nothing was there.
        self.is_taken = true;
        let mut end = at;
        if is_there {
            end += 1;
            end += usize::from(self.is_separator(end));
            if let Some(value) = self.arguments.get(at) {
                (self.act)(Found::Positional(value))?;
            }
        }
        Ok(end)
    }

    /// Takes the option at `at` with its values; gives the place behind them.
    fn take_option(&mut self, at: usize) -> Result<usize, E> {
        let Some(Word::Option(Some(index), explicit)) = self.words.get(at) else {
            self.leave(at, at + 1);
            return Ok(at + 1);
        };
        let (index, explicit) = (*index, *explicit);
        let Some(flag) = self.flags.get(index) else {
            return Ok(at + 1);
        };
        let mut end = at + 1;
        let values = match explicit {
            Some(value) if flag.takes == Takes::Nothing => {
                let value = python::quoted(value);
                let message = format!("ignored explicit argument {value}");
                return Err(fault(&flag.name, &message).into());
            }
            // argparse takes a `--` out of every list of values, even out of this one.
            Some(value) if value == "--" => Vec::new(),
            Some(value) => vec![value],
            None => {
                let most = match flag.takes {
                    Takes::Nothing => 0,
                    Takes::One | Takes::AtMostOne => 1,
                    Takes::Any => usize::MAX,
                };
                while self.is_value(end) && end - (at + 1) < most {
                    end += 1;
                }
                if flag.takes == Takes::One && end == at + 1 {
                    return Err(fault(&flag.name, "expected one argument").into());
                }
                let values = self.arguments.iter().take(end).skip(at + 1);
                values.map(OsString::as_os_str).collect()
            }
        };
        if let Some(seen) = self.seen.get_mut(index) {
            *seen = true;
        }
        (self.act)(Found::Option(flag, values))?;
        Ok(end)
    }

    fn check_required(&self) -> Result<(), E> {
        let mut missing: Vec<&str> = self
            .flags
            .iter()
            .zip(&self.seen)
            .filter(|(flag, seen)| flag.required && !**seen)
            .map(|(flag, _)| flag.name.as_str())
            .collect();
        if let Positional::Required(name) = self.positional
            && !self.is_taken
        {
            missing.push(name);
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the following arguments are required: {}",
            missing.join(", ")
        )
        .into())
    }
}

/// A message about one argument.
pub fn fault(name: &str, message: &str) -> String {
    format!("argument {name}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Vec<Flag<()>> {
        [
            ("--one", Takes::One, true, true),
            ("--on", Takes::Nothing, true, false),
            ("--many", Takes::Any, true, false),
            ("--maybe", Takes::AtMostOne, true, false),
            ("--mapped", Takes::One, false, false),
        ]
        .into_iter()
        .map(|(name, takes, abbreviates, required)| Flag {
            name: name.to_owned(),
            takes,
            abbreviates,
            required,
            means: (),
        })
        .collect()
    }

    /// What is found and what is left, or the message.
    fn run(positional: Positional, line: &str) -> Result<(String, String), String> {
        let arguments: Vec<OsString> = line.split('|').map(OsString::from).collect();
        let mut found = Vec::new();
        let flags = flags();
        let rest = parse::<_, String>(&flags, positional, &arguments, |part| {
            found.push(match part {
                Found::Option(flag, values) => {
                    let values: Vec<_> = values.iter().map(|v| v.to_string_lossy()).collect();
                    format!("{}:{}", flag.name, values.join(","))
                }
                Found::Positional(value) => value.to_string_lossy().into_owned(),
            });
            Ok(())
        })?;
        let rest: Vec<_> = rest.iter().map(|word| word.to_string_lossy()).collect();
        Ok((found.join(" "), rest.join("|")))
    }

    // The rows are what Python 3.11's argparse answers for these options.

    #[test]
    fn words_are_told_apart_as_argparse_does() {
        for (line, found, rest) in [
            ("--one|x", "--one:x", ""),
            ("--one=x", "--one:x", ""),
            ("--one=", "--one:", ""),
            ("--one=-x", "--one:-x", ""),
            ("--one=--", "--one:", ""),
            ("--one|-1", "--one:-1", ""),
            ("--one|-.5", "--one:-.5", ""),
            ("--one|-x y", "--one:-x y", ""),
            ("--one|-", "--one:-", ""),
            ("--one|", "--one:", ""),
            ("--one|x|--on|y", "--one:x --on: y", ""),
            ("--one|x|--many|a|b|--on", "--one:x --many:a,b --on:", ""),
            ("--many|--one|x", "--many: --one:x", ""),
            ("--maybe|--one|x", "--maybe: --one:x", ""),
            ("--may|y|--one|x", "--maybe:y --one:x", ""),
            ("--man|y|--one=x", "--many:y --one:x", ""),
            ("--mapped|z|--one|x", "--mapped:z --one:x", ""),
            ("--map|z|--one|x", "z --one:x", "--map"),
            ("y|--one|x", "y --one:x", ""),
            ("--one|x|y|z", "--one:x y", "z"),
            ("--no|y|--one|x|z", "y --one:x", "--no|z"),
            ("--no=1|--one|x|-x", "--one:x", "--no=1|-x"),
            ("--one|x|--", "--one:x", ""),
            ("--one|x|--|y", "--one:x y", ""),
            ("--one|x|--|--on", "--one:x --on", ""),
            ("--one|x|y|--|--on", "--one:x y", "--on"),
            ("--one|x|--|--|y", "--one:x --", "y"),
            ("y|--one|x|z|--|--on", "y --one:x", "z|--|--on"),
        ] {
            let (seen, left) = run(Positional::Optional, line).expect("accepted");
            assert_eq!(seen, found, "{line}");
            assert_eq!(left, rest, "{line}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_argparses_messages() {
        let need = Positional::Required("operation");
        for (positional, line, message) in [
            (
                Positional::Optional,
                "--on",
                "the following arguments are required: --one",
            ),
            (
                need,
                "--on",
                "the following arguments are required: --one, operation",
            ),
            (
                need,
                "--one|x",
                "the following arguments are required: operation",
            ),
            (need, "--one", "argument --one: expected one argument"),
            (need, "--one|--on", "argument --one: expected one argument"),
            (need, "--one|-x", "argument --one: expected one argument"),
            (need, "--one|--|x", "argument --one: expected one argument"),
            (
                need,
                "--on=1",
                "argument --on: ignored explicit argument '1'",
            ),
            (need, "--o", "ambiguous option: --o could match --one, --on"),
            (
                need,
                "--m=1",
                "ambiguous option: --m=1 could match --many, --maybe",
            ),
            (
                need,
                "--one|--=",
                "ambiguous option: --= could match --one, --on, --many, --maybe",
            ),
        ] {
            assert_eq!(run(positional, line), Err(message.to_owned()), "{line}");
        }
    }

    #[test]
    fn the_first_positional_is_found_past_options() {
        for (line, expected) in [
            ("kms|x", Some("kms")),
            ("--one|kms|x", Some("x")),
            ("--one=1|kms", Some("kms")),
            ("--on|kms", Some("kms")),
            ("--one|--on|kms", Some("kms")),
            ("--o|kms", Some("kms")),
            ("--no|kms", Some("kms")),
            ("--|kms", Some("kms")),
            ("--on", None),
        ] {
            let arguments: Vec<OsString> = line.split('|').map(OsString::from).collect();
            let found = first_positional(&flags(), &arguments);
            assert_eq!(found.and_then(|word| word.to_str()), expected, "{line}");
        }
    }
}
