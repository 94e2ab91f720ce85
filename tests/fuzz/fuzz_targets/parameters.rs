//! Command lines: words to a request as the AWS CLI makes it, or to what it prints instead.
//!
//! An input has a word in each line; `kms` is put in front of them.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::{Corpus, fuzz_target};
use rekeyfs::cli::kms::arguments::{self, Asked, Invocation};
use rekeyfs::cli::kms::jmespath;
use rekeyfs::cli::kms::parameters::{ParameterFault, Parameters};
use serde_json::Value;

fuzz_target!(|data: &[u8]| -> Corpus {
    // Files that values name would be read; and no argument has a zero in it.
    let has = |wanted: &[u8]| data.windows(wanted.len()).any(|part| part == wanted);
    if has(b"file://") || has(b"fileb://") || has(b"\0") {
        return Corpus::Reject;
    }
    let mut words = vec![OsString::from("kms")];
    words.extend(
        data.split(|byte| *byte == b'\n')
            .map(|word| OsString::from_vec(word.to_vec())),
    );
    match arguments::parse(&words, check_query) {
        Ok(Asked::Call(invocation)) => call(&invocation),
        Ok(Asked::Version | Asked::Help(_)) => {}
        Err(fault) => assert!(!fault.text.is_empty() && matches!(fault.code, 2 | 255)),
    }
    Corpus::Keep
});

fn check_query(query: &str) -> Result<(), String> {
    jmespath::compile(query)
        .map(|_| ())
        .map_err(|fault| fault.to_string())
}

fn call(invocation: &Invocation) {
    match request(invocation) {
        Ok(request) => {
            let Value::Object(given) = &request else {
                panic!("{request}");
            };
            for name in given.keys() {
                let mut members = invocation.operation.input.iter();
                assert!(members.any(|member| member.name == name), "{name}");
            }
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}

fn request(invocation: &Invocation) -> Result<Value, ParameterFault> {
    let mut parameters = Parameters::read(invocation)?;
    if invocation.paginates {
        parameters.take_paging()?;
    }
    parameters.into_request(invocation.operation)
}
