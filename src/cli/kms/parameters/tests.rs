use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::*;
use crate::cli::kms::arguments::{Asked, parse};

/// Command lines and what AWS CLI 1.31.13 makes of them.
const TRANSCRIPT: &str = include_str!("transcript.txt");

const FILES: [(&str, &[u8]); 12] = [
    ("text", b"7"),
    ("empty", b""),
    ("bin", b"\xff\x00"),
    ("crlf", b"a\r\nb\rc\n"),
    ("list.json", br#"["t1","t2"]"#),
    ("tags.json", br#"[{"TagKey":"a","TagValue":"b"}]"#),
    ("tags.txt", b"TagKey=a,TagValue=b"),
    ("tag.json", br#"{"TagKey":"a"}"#),
    ("in.json", br#"{"KeyId":"k"}"#),
    ("bom.json", b"\xef\xbb\xbf{\"KeyId\":\"k\"}"),
    ("bad.json", b"{\"KeyId\":\"\xff\"}"),
    ("cut.json", b"{\"KeyId\":\"\xe2\x82"),
];

fn files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("accepted");
    for (name, contents) in FILES {
        std::fs::write(dir.path().join(name), contents).expect("accepted");
    }
    std::fs::write(dir.path().join("mid.json"), b"{\"KeyId\":\"\xe2\x82x\"}").expect("accepted");
    dir
}

/// Words between blanks; one in single quotes may have blanks in it.
fn words(line: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').expect("accepted"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(OsString::from(word));
        rest = behind.trim_start();
    }
    words
}

fn invocation(words: &[OsString]) -> Invocation {
    match parse(words, |_| Ok(())) {
        Ok(Asked::Call(invocation)) => *invocation,
        Ok(_) => panic!("{words:?}: no call"),
        Err(fault) => panic!("{words:?}: {}", fault.text),
    }
}

fn request(words: &[OsString]) -> Result<Value, ParameterFault> {
    let invocation = invocation(words);
    let mut parameters = Parameters::read(&invocation)?;
    if invocation.paginates {
        parameters.take_paging()?;
    }
    parameters.into_request(invocation.operation)
}

fn check(line: &str, expected: &str, dir: &Path) {
    let dir = dir.display().to_string();
    let (line, expected) = (line.replace('@', &dir), expected.replace('@', &dir));
    match request(&words(&line)) {
        Ok(request) => assert_eq!(request.to_string(), expected, "{line}"),
        Err(fault) => assert_eq!(fault.to_string(), expected, "{line}"),
    }
}

#[test]
fn requests_and_faults_are_those_of_the_aws_cli() {
    let dir = files();
    let mut checked = 0;
    let (mut line, mut expected) = ("", Vec::new());
    let mut texts = TRANSCRIPT.lines();
    loop {
        let text = texts.next();
        match text {
            Some(text) if !text.starts_with(['>', '#']) => expected.push(text),
            _ => {
                if !line.is_empty() {
                    check(line, &expected.join("\n"), dir.path());
                    checked += 1;
                }
                expected.clear();
                line = text.and_then(|text| text.strip_prefix("> ")).unwrap_or("");
            }
        }
        if text.is_none() {
            break;
        }
    }
    assert!(checked > 120, "{checked}");
}

#[test]
fn numbers_of_any_size_are_sent() {
    let nines = "9".repeat(4300);
    for (number, expected) in [
        ("9223372036854775807", "9223372036854775807"),
        ("18446744073709551615", "18446744073709551615"),
        ("99999999999999999999", "1e+20"),
        (nines.as_str(), "1.7976931348623157e+308"),
    ] {
        let line = format!("kms generate-random --number-of-bytes {number}");
        let request = request(&words(&line)).expect("accepted");
        assert_eq!(
            request.to_string(),
            format!("{{\"NumberOfBytes\":{expected}}}")
        );
    }
}

#[test]
fn arguments_that_are_not_utf_8_are_refused() {
    for option in ["--plaintext", "--key-id"] {
        let mut words = words("kms encrypt --key-id k --plaintext p");
        words.push(option.into());
        words.push(OsStr::from_bytes(b"a\xc3\xbc\xff\xfe").to_owned());
        assert_eq!(
            request(&words).expect_err("refused").to_string(),
            "'utf-8' codec can't encode character '\\udcff' in position 2: surrogates not allowed"
        );
    }
}

#[test]
fn nothing_is_no_json() {
    let fault = request(&words("kms describe-key --cli-input-json ''")).expect_err("refused");
    assert_eq!(
        fault.to_string(),
        "Error parsing parameter 'cli-input-json': Invalid JSON: Expecting value: line 1 column 1 \
         (char 0)\nJSON received: "
    );
}

#[test]
fn nothing_is_fetched_from_the_network() {
    let fault =
        request(&words("kms describe-key --key-id http://127.0.0.1:1/x")).expect_err("refused");
    assert!(fault.to_string().starts_with(
        "Error parsing parameter '--key-id': Unable to retrieve http://127.0.0.1:1/x: "
    ));
}

#[test]
fn options_about_pages_are_taken_out() {
    for (line, token, most) in [
        ("kms list-keys", None, None),
        (
            "kms list-keys --max-items 3 --starting-token t",
            Some("t"),
            Some(3),
        ),
        (
            "kms list-keys --max-items -99999999999999999999",
            None,
            Some(i64::MIN),
        ),
        (
            "kms list-keys --max-items 99999999999999999999",
            None,
            Some(i64::MAX),
        ),
        ("kms list-keys --starting-token=", Some(""), None),
        (
            r#"kms list-keys --cli-input-json {"PaginationConfig":{"MaxItems":true,"StartingToken":null}}"#,
            None,
            Some(1),
        ),
        (
            r#"kms list-keys --cli-input-json {"PaginationConfig":{"MaxItems":2}} --max-items 1"#,
            None,
            Some(1),
        ),
    ] {
        let mut parameters = Parameters::read(&invocation(&words(line))).expect("accepted");
        let paging = parameters.take_paging().expect("accepted");
        assert_eq!(paging.starting_token.as_deref(), token, "{line}");
        assert_eq!(paging.max_items, most, "{line}");
    }
}

#[test]
fn a_starting_token_says_where_to_begin() {
    for (marker, expected) in [
        (Some("n"), r#"{"Marker":"n","Limit":5}"#),
        (
            Some(""),
            "Parameter validation failed:\nInvalid length for parameter Marker, value: 0, valid min length: 1",
        ),
        (None, r#"{"Limit":5}"#),
    ] {
        let line = r#"kms list-keys --page-size 5 --cli-input-json {"Marker":"m"}"#;
        let invocation = invocation(&words(line));
        let mut parameters = Parameters::read(&invocation).expect("accepted");
        parameters.take_paging().expect("accepted");
        parameters.resume_at(marker);
        match parameters.into_request(invocation.operation) {
            Ok(request) => assert_eq!(request.to_string(), expected),
            Err(fault) => assert_eq!(fault.to_string(), expected),
        }
    }
}
