//! Signed requests, and what strangers are answered.

use std::collections::HashSet;

use rekeyfs::endpoint::sigv4::{HeaderMap, Signable};
use rekeyfs::endpoint::{Auth, Limits};
use serde_json::json;

use super::harness::{ACCOUNT, REGION, Running, post};

/// Now, as signatures have it.
fn timestamp(seconds_from_now: i64) -> String {
    let now = time::OffsetDateTime::now_utc().unix_timestamp() + seconds_from_now;
    let at = time::OffsetDateTime::from_unix_timestamp(now).expect("a time");
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// A signed request.
struct Signed<'a> {
    id: &'a str,
    secret: &'a [u8],
    region: &'a str,
    timestamp: String,
}

impl Signed<'_> {
    fn post(&self, target: &str, body: &str) -> Vec<u8> {
        let target = format!("TrentService.{target}");
        let listed = "content-type;host;x-amz-date;x-amz-target";
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/x-amz-json-1.1"),
            ("host", "localhost"),
            ("x-amz-date", self.timestamp.as_str()),
            ("x-amz-target", target.as_str()),
        ] {
            headers.insert(name, value.parse().expect("a value"));
        }
        let signature = Signable {
            method: "POST",
            headers: &headers,
            signed_headers: listed,
            body: body.as_bytes(),
            timestamp: &self.timestamp,
            region: self.region,
        }
        .signature(self.secret)
        .expect("all headers are there");
        let day = &self.timestamp[..8];
        format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\n\
             X-Amz-Target: {target}\r\nX-Amz-Date: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={}/{day}/{}/kms/aws4_request, \
             SignedHeaders={listed}, Signature={signature}\r\nContent-Length: {}\r\n\r\n{body}",
            self.timestamp,
            self.id,
            self.region,
            body.len(),
        )
        .into_bytes()
    }
}

#[test]
fn a_signed_request_acts_as_the_principal_of_its_access_key_in_the_region_of_its_scope() {
    let running = Running::start(Auth::SigV4, Limits::default());
    let caller = &running.keys.caller;
    let key = running
        .keys
        .kms
        .create_access_key(caller, None)
        .expect("an access key");
    let signed = |region, off| Signed {
        id: &key.id,
        secret: key.secret.expose(),
        region,
        timestamp: timestamp(off),
    };
    let body = json!({"KeyId": running.keys.key_id}).to_string();
    let here = signed(REGION, 0).post("DescribeKey", &body);
    let answer = running.ask(&here).expect("answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["KeyMetadata"]["AWSAccountId"], ACCOUNT);

    let elsewhere = signed("eu-west-1", 0).post("DescribeKey", &body);
    let answer = running.ask(&elsewhere).expect("answer");
    assert!(answer.text().contains("Invalid arn us-east-1"));

    let late = signed(REGION, -400).post("DescribeKey", &body);
    let answer = running.ask(&late).expect("answer");
    assert_eq!(answer.exception(), "InvalidSignatureException");
    assert!(answer.text().contains("Signature expired: "));

    // The same signature is good for no other operation.
    let other = String::from_utf8(here).expect("text");
    let other = other.replace("TrentService.DescribeKey", "TrentService.DisableKey");
    let answer = running.ask(other.as_bytes()).expect("answer");
    assert_eq!(answer.exception(), "InvalidSignatureException");

    running
        .keys
        .kms
        .delete_access_key(caller, None, &key.id)
        .expect("deleted");
    let after = signed(REGION, 0).post("DescribeKey", &body);
    let answer = running.ask(&after).expect("answer");
    assert_eq!(answer.exception(), "UnrecognizedClientException");
}

#[test]
fn a_stranger_learns_nothing() {
    let running = Running::start(Auth::SigV4, Limits::default());
    let key = running
        .keys
        .kms
        .create_access_key(&running.keys.caller, None)
        .expect("an access key");
    let there = json!({"KeyId": running.keys.key_id}).to_string();
    let not_there = json!({"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab"}).to_string();
    let requests = [
        ("DescribeKey", there.as_str()),
        ("DescribeKey", not_there.as_str()),
        ("Nonsense", "{}"),
        ("DescribeKey", "{"),
        ("DescribeKey", ""),
    ];
    for (target, body) in requests {
        let answer = running.ask(&post(target, body)).expect("answer");
        assert_eq!(
            (answer.status, answer.text()),
            (
                400,
                "{\"__type\":\"MissingAuthenticationTokenException\",\"message\":\"Missing \
                 Authentication Token\"}"
            )
        );
    }
    let get = running.ask(b"GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        get.expect("answer").exception(),
        "MissingAuthenticationTokenException"
    );
    for (id, exception) in [
        (key.id.as_str(), "InvalidSignatureException"),
        ("AKIDOTHER", "UnrecognizedClientException"),
    ] {
        let stranger = Signed {
            id,
            secret: b"guessed",
            region: REGION,
            timestamp: timestamp(0),
        };
        let answers: HashSet<_> = requests
            .iter()
            .map(|(target, body)| {
                let answer = running.ask(&stranger.post(target, body)).expect("answer");
                assert_eq!(answer.exception(), exception);
                (answer.status, answer.body)
            })
            .collect();
        assert_eq!(answers.len(), 1, "all answers are alike");
    }
}
