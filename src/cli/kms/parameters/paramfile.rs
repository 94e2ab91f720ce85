//! Values that name a file: `file://` for text, `fileb://` for bytes.
//!
//! Reads files and the variables in their paths, nothing else. `http://` and `https://`, which the
//! AWS CLI v1 fetches, are refused: a key service that loads what an argument points to is a
//! service for others to reach networks through. `~user` is not looked up.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::cli::kms::python;

/// Bytes that are read; far more than any parameter may have.
const MOST: u64 = 16 * 1024 * 1024;

/// What a file had in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// Text, each line end as `\n`.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Why a file is not loaded; shown as the AWS CLI shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// The system says no.
    #[error("Unable to load paramfile {given}: [Errno {number}] {reason}: {path}")]
    System {
        /// The value that was given.
        given: String,
        /// The system's number.
        number: i32,
        /// The system's text.
        reason: String,
        /// The path, quoted.
        path: String,
    },
    /// It is not UTF-8.
    #[error(
        "Unable to load paramfile ({path}), text contents could not be decoded.  If this is a \
         binary file, please use the fileb:// prefix instead of the file:// prefix."
    )]
    NotText {
        /// The path.
        path: String,
    },
    /// It is longer than any parameter.
    #[error("Unable to load paramfile {given}: longer than {limit} bytes", limit = MOST)]
    TooLong {
        /// The value that was given.
        given: String,
    },
    /// It is elsewhere.
    #[error(
        "Unable to retrieve {given}: values are not fetched from the network; save it to a file \
         and give file://PATH or fileb://PATH"
    )]
    Remote {
        /// The value that was given.
        given: String,
    },
}

/// Loads the file that a value names, if it names one.
///
/// # Errors
/// [`FileFault`].
pub fn load(given: &OsStr) -> Result<Option<Loaded>, FileFault> {
    let bytes = given.as_bytes();
    if let Some(path) = bytes.strip_prefix(b"file://") {
        let path = expand(path, &|name| std::env::var_os(name));
        let text = String::from_utf8(read(given, &path)?).map_err(|_| FileFault::NotText {
            path: python::shown(&path),
        })?;
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        return Ok(Some(Loaded::Text(text)));
    }
    if let Some(path) = bytes.strip_prefix(b"fileb://") {
        let path = expand(path, &|name| std::env::var_os(name));
        return Ok(Some(Loaded::Bytes(read(given, &path)?)));
    }
    if bytes.starts_with(b"http://") || bytes.starts_with(b"https://") {
        return Err(FileFault::Remote {
            given: python::shown(given),
        });
    }
    Ok(None)
}

fn read(given: &OsStr, path: &OsStr) -> Result<Vec<u8>, FileFault> {
    let mut contents = Vec::new();
    // Neither an endless device nor a wrong file may take all memory.
    File::open(path)
        .and_then(|file| file.take(MOST + 1).read_to_end(&mut contents))
        .map_err(|fault| system(given, path, &fault))?;
    if contents.len() as u64 > MOST {
        return Err(FileFault::TooLong {
            given: python::shown(given),
        });
    }
    Ok(contents)
}

fn system(given: &OsStr, path: &OsStr, fault: &io::Error) -> FileFault {
    let number = fault.raw_os_error().unwrap_or_default();
    let text = fault.to_string();
    let reason = text.strip_suffix(&format!(" (os error {number})"));
    FileFault::System {
        given: python::shown(given),
        number,
        reason: reason.unwrap_or(&text).to_owned(),
        path: python::quoted(path),
    }
}

/// Puts in the home directory for `~` in front, and variables for `$NAME` and `${NAME}`. What is
/// not set stays as it is.
fn expand(path: &[u8], variable: &dyn Fn(&OsStr) -> Option<OsString>) -> OsString {
    let path = with_home(path, variable);
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_slice();
    while let Some((first, behind)) = rest.split_first() {
        if *first == b'$'
            && let Some((name, behind)) = name(behind)
            && let Some(value) = variable(OsStr::from_bytes(name))
        {
            out.extend_from_slice(value.as_bytes());
            rest = behind;
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    OsString::from_vec(out)
}

fn with_home(path: &[u8], variable: &dyn Fn(&OsStr) -> Option<OsString>) -> Vec<u8> {
    let rest = path.strip_prefix(b"~");
    let (Some(rest), Some(home)) = (rest, variable(OsStr::new("HOME"))) else {
        return path.to_vec();
    };
    if !rest.is_empty() && rest.first() != Some(&b'/') {
        return path.to_vec();
    }
    let mut home = home.into_vec();
    while home.last() == Some(&b'/') {
        home.pop();
    }
    home.extend_from_slice(rest);
    if home.is_empty() {
        home.push(b'/');
    }
    home
}

/// The name of a variable behind `$`, and what is behind the name.
fn name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(braced) = text.strip_prefix(b"{") {
        let end = braced.iter().position(|byte| *byte == b'}')?;
        return Some((braced.get(..end)?, braced.get(end + 1..)?));
    }
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let end = text
        .iter()
        .position(|byte| !is_part(byte))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(prefix: &str, path: &std::path::Path) -> OsString {
        let mut given = OsString::from(prefix);
        given.push(path);
        given
    }

    // Texts are those of AWS CLI 1.31.13.

    #[test]
    fn text_and_bytes_are_loaded() {
        let dir = tempfile::tempdir().expect("accepted");
        let path = dir.path().join("f");
        std::fs::write(&path, b"a\r\nb\rc\n").expect("accepted");
        assert_eq!(
            load(&given("file://", &path)),
            Ok(Some(Loaded::Text("a\nb\nc\n".into())))
        );
        assert_eq!(
            load(&given("fileb://", &path)),
            Ok(Some(Loaded::Bytes(b"a\r\nb\rc\n".to_vec())))
        );
        for text in ["", "x", "file:/x", "FILE://x", "ftp://x", " file://x"] {
            assert_eq!(load(OsStr::new(text)), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_loaded_is_refused_as_the_aws_cli_refuses_it() {
        let dir = tempfile::tempdir().expect("accepted");
        let path = dir.path().join("f");
        std::fs::write(&path, b"\xff\x00").expect("accepted");
        let shown = |given: &OsStr| load(given).expect_err("refused").to_string();
        assert_eq!(
            shown(&given("file://", &path)),
            format!(
                "Unable to load paramfile ({}), text contents could not be decoded.  If this is a \
                 binary file, please use the fileb:// prefix instead of the file:// prefix.",
                path.display()
            )
        );
        assert_eq!(
            shown(OsStr::new("fileb:///nonexistent/it's")),
            "Unable to load paramfile fileb:///nonexistent/it's: [Errno 2] No such file or \
             directory: \"/nonexistent/it's\""
        );
        assert_eq!(
            shown(OsStr::new("fileb://")),
            "Unable to load paramfile fileb://: [Errno 2] No such file or directory: ''"
        );
        assert_eq!(
            shown(OsStr::new("file:///")),
            "Unable to load paramfile file:///: [Errno 21] Is a directory: '/'"
        );
        assert!(shown(OsStr::new("fileb:///dev/zero")).ends_with("longer than 16777216 bytes"));
        for remote in ["http://127.0.0.1/", "https://example.com/x"] {
            assert!(
                shown(OsStr::new(remote)).starts_with(&format!("Unable to retrieve {remote}: "))
            );
        }
    }

    #[test]
    fn home_and_variables_are_put_in() {
        fn variable(name: &OsStr) -> Option<OsString> {
            match name.to_str() {
                Some("HOME") => Some("/home/me/".into()),
                Some("A_1") => Some("v$A_1".into()),
                _ => None,
            }
        }
        for (path, expected) in [
            ("~", "/home/me"),
            ("~/x", "/home/me/x"),
            ("~you/x", "~you/x"),
            ("x~", "x~"),
            ("$A_1/x", "v$A_1/x"),
            ("a${A_1}b", "av$A_1b"),
            ("$NOPE/${HOME}/x", "$NOPE//home/me//x"),
            ("${A_1", "${A_1"),
            ("$", "$"),
            ("$$A_1", "$v$A_1"),
            ("${}x", "${}x"),
        ] {
            let found = expand(path.as_bytes(), &variable);
            assert_eq!(found, OsStr::new(expected), "{path}");
        }
    }
}
