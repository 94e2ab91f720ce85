//! Names and values of control attributes: each means a request or is refused.
//!
//! An input is the name up to the first NUL, and the value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rekeyfs::mount::control::{Attribute, Control, PREFIX};

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == 0);
    let (name, value) = match end {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    let reserved = name.starts_with(PREFIX.as_bytes());
    let Some(attribute) = Attribute::parse(name) else {
        assert!(!reserved);
        return;
    };
    assert!(reserved);
    let Some(attribute) = attribute else {
        return;
    };
    match Control::from_attribute(attribute, value) {
        Ok(Control::Rewrap(request)) => {
            let request = request.re_encrypt;
            let empty = request.destination_key_id.is_empty();
            assert!(!empty || attribute == Attribute::EncryptionContext);
        }
        Ok(Control::Reseal) => assert_eq!(attribute, Attribute::DataKey),
        Ok(Control::Query) => panic!("no attribute asks"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
