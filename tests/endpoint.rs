//! The endpoint on its sockets: bytes in, bytes out. Good requests, strangers, bad input, and the
//! end.

mod support;

#[path = "endpoint/ends.rs"]
mod ends;
#[path = "endpoint/harness.rs"]
mod harness;
#[path = "endpoint/limits.rs"]
mod limits;
#[path = "endpoint/signed.rs"]
mod signed;

use std::collections::HashSet;

use harness::{Running, head, post, unsigned};
use rekeyfs::endpoint::Limits;
use serde_json::json;

#[test]
fn a_call_is_answered_as_the_service_answers_it() {
    let running = Running::start(unsigned(), Limits::default());
    let request = json!({"KeyId": running.keys.key_id}).to_string();
    let answer = running.ask(&post("DescribeKey", &request)).expect("answer");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["KeyMetadata"]["Arn"], running.keys.key_id);
    assert!(answer.text().starts_with("{\"KeyMetadata\":{"), "compact");
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-amz-json-1.1")
    );
    assert_eq!(
        answer.header("cache-control"),
        Some("no-cache, no-store, must-revalidate, private")
    );
    let id = answer.header("x-amzn-requestid").expect("a request id");
    assert_eq!(id.len(), 36);

    let answer = running.ask(&post("EnableKey", &request)).expect("answer");
    assert_eq!((answer.status, answer.text()), (200, ""));
}

#[test]
fn exceptions_have_the_forms_of_the_service() {
    let running = Running::start(unsigned(), Limits::default());
    let of = |target: &str, body: &str| running.ask(&post(target, body)).expect("answer");
    let answer = of("Decrypt", "{\"CiphertextBlob\":\"AAAA\"}");
    assert_eq!(
        (answer.status, answer.text()),
        (400, "{\"__type\":\"InvalidCiphertextException\"}")
    );
    let answer = of("DescribeKey", "{\"KeyId\":\"nonsense\"}");
    assert_eq!(
        (answer.status, answer.text()),
        (
            400,
            "{\"__type\":\"NotFoundException\",\"message\":\"Invalid keyId 'nonsense'\"}"
        )
    );
    assert!(answer.header("x-amzn-requestid").is_some());
    for (target, body, exception) in [
        ("Nonsense", "{}", "UnknownOperationException"),
        ("GenerateRandom", "", "SerializationException"),
        ("GenerateRandom", "{", "SerializationException"),
        ("GenerateRandom", "\u{0}", "SerializationException"),
        (
            "GenerateRandom",
            "{\"NumberOfBytes\":1,\"NumberOfBytes\":2}",
            "SerializationException",
        ),
        (
            "Encrypt",
            "{\"EncryptionContext\":{\"a\":\"b\",\"a\":\"c\"}}",
            "SerializationException",
        ),
    ] {
        let answer = of(target, body);
        assert_eq!(answer.status, 400);
        assert_eq!(answer.exception(), exception, "{target} {body}");
        assert!(answer.header("x-amzn-requestid").is_some());
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = of("GenerateRandom", &deep);
    assert_eq!(answer.exception(), "SerializationException");
}

#[test]
fn only_a_post_to_the_root_is_an_operation() {
    let running = Running::start(unsigned(), Limits::default());
    for line in ["GET / ", "PUT / ", "OPTIONS / ", "POST /x ", "POST /?a=b "] {
        let request = String::from_utf8(post("ListKeys", "{}")).expect("text");
        let request = request.replacen("POST / ", line, 1);
        let answer = running.ask(request.as_bytes()).expect("answer");
        assert_eq!(answer.status, 404, "{line}");
        assert_eq!(answer.exception(), "UnknownOperationException", "{line}");
    }
}

#[test]
fn slow_operations_are_answered_too() {
    let running = Running::start(unsigned(), Limits::default());
    let request = json!({"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"});
    let answer = running
        .ask(&post("CreateKey", &request.to_string()))
        .expect("answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let key = answer.json()["KeyMetadata"]["KeyId"].clone();
    let request = json!({
        "KeyId": key, "Plaintext": "aGk=", "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"
    });
    let answer = running
        .ask(&post("Encrypt", &request.to_string()))
        .expect("answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn the_region_of_an_unverified_scope_is_the_callers() {
    let running = Running::start(unsigned(), Limits::default());
    let body = json!({"KeyId": running.keys.key_id}).to_string();
    let more = format!(
        "Authorization: AWS4-HMAC-SHA256 Credential=any/20260102/eu-west-1/kms/aws4_request\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    let answer = running
        .ask((head("DescribeKey", &more) + &body).as_bytes())
        .expect("answer");
    assert!(answer.text().contains("Invalid arn us-east-1"));
}

#[test]
fn a_page_in_a_browser_reaches_no_key() {
    let running = Running::start(unsigned(), Limits::default());
    let more = "Origin: http://attacker.example\r\nContent-Length: 2\r\n";
    let answer = running
        .ask((head("ListKeys", more) + "{}").as_bytes())
        .expect("answer");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.exception(), "AccessDeniedException");
    assert!(answer.json()["Message"].is_string());
    assert!(answer.header("access-control-allow-origin").is_none());
}

#[test]
fn one_connection_serves_many_requests() {
    let running = Running::start(unsigned(), Limits::default());
    let mut wire = running.connect();
    let mut ids = HashSet::new();
    for body in ["{\"NumberOfBytes\":1}", "{", "{\"NumberOfBytes\":1}"] {
        wire.send(&post("GenerateRandom", body));
        let answer = wire.answer().expect("answer");
        assert!(ids.insert(answer.header("x-amzn-requestid").expect("an id").to_owned()));
    }
    // Pipelined: answered in order.
    let both = [
        post("GenerateRandom", "{\"NumberOfBytes\":1}"),
        post("Nonsense", "{}"),
        post("GenerateRandom", "{\"NumberOfBytes\":1}"),
    ];
    wire.send(&both.concat());
    let statuses = [200, 400, 200].map(|_| wire.answer().expect("answer").status);
    assert_eq!(statuses, [200, 400, 200]);
}

#[test]
fn many_connections_are_served_at_once() {
    let running = Running::start(unsigned(), Limits::default());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut wire = running.connect();
                for _ in 0..50 {
                    wire.send(&post("GenerateRandom", "{\"NumberOfBytes\":16}"));
                    assert_eq!(wire.answer().expect("answer").status, 200);
                }
            });
        }
    });
}

#[test]
fn http_1_0_is_answered_once() {
    let running = Running::start(unsigned(), Limits::default());
    let request = String::from_utf8(post("ListKeys", "{}")).expect("text");
    let request = request.replacen("HTTP/1.1", "HTTP/1.0", 1);
    let mut wire = running.connect();
    wire.send(request.as_bytes());
    assert_eq!(wire.answer().expect("answer").status, 200);
    assert!(wire.answer().is_none());
}
