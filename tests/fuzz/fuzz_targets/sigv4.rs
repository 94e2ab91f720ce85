//! Signature Version 4: whatever a request looks like, it is refused with a reason or proven to be
//! its sender's; whatever is signed, holds; and nothing else does.
//!
//! An input is a request: `POST /`, headers, an empty line, the body.
#![no_main]

use http::header::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use rekeyfs::endpoint::sigv4::{Claim, Refusal, Signable, claimed_region};

/// The key that AWS's documentation signs its examples with; the seeds are signed with it, too.
const SECRET: &[u8] = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const KEY_ID: &str = "AKIDEXAMPLE";
const TIMESTAMP: &str = "20260102T030405Z";
const REGION: &str = "us-east-2";
/// [`TIMESTAMP`] in seconds since 1970.
const NOW: i64 = 1_767_323_045;

fuzz_target!(|data: &[u8]| {
    let request = Request::read(data);
    if let Some(region) = claimed_region(&request.headers) {
        assert!(!region.is_empty());
    }
    request.judge();
    request.sign();
});

struct Request<'a> {
    method: String,
    query: Option<String>,
    headers: HeaderMap,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Takes what HTTP could bring; lines that are no headers are left out.
    fn read(data: &'a [u8]) -> Self {
        let end = data.windows(2).position(|two| two == b"\n\n");
        let (head, body) = match end {
            Some(end) => (&data[..end], &data[end + 2..]),
            None => (data, &[][..]),
        };
        let mut lines = head.split(|byte| *byte == b'\n');
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
        let (method, target) = first.split_once(' ').unwrap_or((&*first, "/"));
        let mut headers = HeaderMap::new();
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let name = HeaderName::from_bytes(&line[..colon]);
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
            if let (Ok(name), Ok(value)) = (name, value) {
                // There are more than HTTP's limits would let through long before this fails.
                let _ = headers.try_append(name, value);
            }
        }
        Self {
            method: method.to_owned(),
            query: target.split_once('?').map(|(_, query)| query.to_owned()),
            headers,
            body,
        }
    }

    /// Takes the request for what it says to be.
    fn judge(&self) {
        let verified = Claim::read(&self.headers, self.query.as_deref(), NOW).and_then(|claim| {
            assert!(!claim.key_id().is_empty() && !claim.region().is_empty());
            claim.verify(&self.method, &self.headers, self.body, SECRET)?;
            self.is_nobody_elses(&claim);
            Ok(())
        });
        if let Err(refusal) = verified {
            assert!(refusal.name().ends_with("Exception"));
            assert!(!refusal.to_string().is_empty());
        }
    }

    /// A signature that holds is that of one method, body and secret.
    fn is_nobody_elses(&self, claim: &Claim<'_>) {
        let method = format!("{}X", self.method);
        let body = [self.body, b"\0"].concat();
        for (method, body, secret) in [
            (method.as_str(), self.body, SECRET),
            (self.method.as_str(), &body[..], SECRET),
            (self.method.as_str(), self.body, &SECRET[1..]),
        ] {
            let verified = claim.verify(method, &self.headers, body, secret);
            assert_eq!(verified, Err(Refusal::Mismatch));
        }
    }

    /// Signs the request as it is, over all of its headers, and takes it for its sender's.
    fn sign(mut self) {
        for not_signed in [
            "authorization",
            "x-amz-content-sha256",
            "x-amz-security-token",
        ] {
            self.headers.remove(not_signed);
        }
        for (name, value) in [("host", "localhost"), ("x-amz-date", TIMESTAMP)] {
            self.headers.insert(name, HeaderValue::from_static(value));
        }
        let mut names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let listed = names.join(";");
        let signable = Signable {
            method: &self.method,
            headers: &self.headers,
            signed_headers: &listed,
            body: self.body,
            timestamp: TIMESTAMP,
            region: REGION,
        };
        let signature = signable.signature(SECRET).expect("all headers are there");
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={KEY_ID}/20260102/{REGION}/kms/aws4_request, \
             SignedHeaders={listed}, Signature={signature}"
        );
        let authorization = HeaderValue::from_str(&authorization).expect("a value");
        self.headers.insert("authorization", authorization);
        self.query = None;

        let claim = Claim::read(&self.headers, None, NOW).expect("signed just now");
        assert_eq!((claim.key_id(), claim.region()), (KEY_ID, REGION));
        let verified = claim.verify(&self.method, &self.headers, self.body, SECRET);
        assert_eq!(verified, Ok(()));
        self.is_nobody_elses(&claim);

        if !self.headers.contains_key("x-amz-more") {
            let mut headers = self.headers.clone();
            headers.insert("x-amz-more", HeaderValue::from_static("1"));
            let refusal = Claim::read(&headers, None, NOW).expect_err("a header is not signed");
            assert!(matches!(refusal, Refusal::Unsigned { .. }), "{refusal}");
        }
    }
}
