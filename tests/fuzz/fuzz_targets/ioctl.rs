//! The struct of the ioctl: whatever an application gives is understood or refused, and the answer
//! fits the same struct.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rekeyfs::mount::control::Failure;
use rekeyfs::mount::ioctl::{self, Answer, Field, SIZE};

fuzz_target!(|data: &[u8]| {
    check(data);
    let mut full = data.to_vec();
    full.resize(SIZE, 0);
    check(&full);
});

fn check(bytes: &[u8]) {
    let error = match ioctl::parse(bytes) {
        Ok(asked) => {
            assert_eq!(bytes.len(), SIZE);
            if let Some(name) = asked.name {
                assert!(!name.is_empty());
            }
            return;
        }
        Err(error) => error,
    };
    let answer = ioctl::answer(&Err(Failure { error }), 7);
    assert_eq!(answer.len(), SIZE);
    let answer = Answer::new(answer).expect("an answer");
    assert_eq!(answer.generation(), 7);
    for field in [Field::Exception, Field::Message, Field::KeyArn] {
        let _ = answer.text(field);
    }
    if let Some(answer) = Answer::new(bytes.to_vec()) {
        for field in [Field::Exception, Field::Message, Field::KeyArn] {
            let _ = answer.text(field);
        }
    }
}
