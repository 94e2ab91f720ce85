//! Bad input and bad manners: each has its bound, and harms no one else.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rekeyfs::endpoint::Limits;
use serde_json::json;

use super::harness::{Running, head, post, unsigned};

#[test]
fn chunked_bodies_are_read() {
    let running = Running::start(unsigned(), Limits::default());
    let head = head("GenerateRandom", "Transfer-Encoding: chunked\r\n");
    for (chunks, status) in [
        ("14\r\n{\"NumberOfBytes\":16}\r\n0\r\n\r\n", 200),
        (
            "1\r\n{\r\n13;x=y\r\n\"NumberOfBytes\":16}\r\n0\r\nX-Trailer: 1\r\n\r\n",
            200,
        ),
        ("zz\r\n{}\r\n0\r\n\r\n", 400),
        ("-1\r\n{}\r\n0\r\n\r\n", 400),
        ("ffffffffffffffffff\r\n{}\r\n0\r\n\r\n", 400),
    ] {
        let answer = running.ask((head.clone() + chunks).as_bytes());
        assert_eq!(answer.expect("answer").status, status, "{chunks}");
    }
}

#[test]
fn a_body_has_one_length() {
    let running = Running::start(unsigned(), Limits::default());
    let two = head("ListKeys", "Content-Length: 2\r\nContent-Length: 3\r\n") + "{} ";
    assert_eq!(running.ask(two.as_bytes()).expect("answer").status, 400);
    // The chunks count; what would be left over for the other reading is not read.
    let both = head(
        "ListKeys",
        "Content-Length: 12\r\nTransfer-Encoding: chunked\r\n",
    ) + "2\r\n{}\r\n0\r\n\r\n";
    let mut wire = running.connect();
    wire.send(both.as_bytes());
    wire.send(&post("ListKeys", "{}"));
    assert_eq!(wire.answer().expect("answer").status, 200);
    assert!(wire.answer().is_none());
}

#[test]
fn bodies_are_bounded() {
    let limits = Limits {
        body_bytes: 1000,
        ..Limits::default()
    };
    let running = Running::start(unsigned(), limits);
    let padded = |length: usize| format!("{{\"NumberOfBytes\":1{}}}", " ".repeat(length - 19));
    let answer = running.ask(&post("GenerateRandom", &padded(1000)));
    assert_eq!(answer.expect("answer").status, 200);

    let too_large = |bytes: &[u8]| {
        let mut wire = running.connect();
        wire.send(bytes);
        let answer = wire.answer().expect("answer");
        assert_eq!(answer.status, 413);
        assert_eq!(answer.exception(), "RequestEntityTooLargeException");
        assert!(answer.header("x-amzn-requestid").is_some());
        assert!(wire.answer().is_none(), "the connection ends");
    };
    too_large(&post("GenerateRandom", &padded(1001)));
    too_large(&post("GenerateRandom", &padded(8000)));
    // Not read at all.
    too_large(head("GenerateRandom", "Content-Length: 100000000000\r\n").as_bytes());
    let chunks = format!("1388\r\n{}\r\n0\r\n\r\n", "x".repeat(5000));
    let chunked = head("GenerateRandom", "Transfer-Encoding: chunked\r\n") + &chunks;
    too_large(chunked.as_bytes());
}

#[test]
fn heads_are_bounded() {
    let running = Running::start(unsigned(), Limits::default());
    let long = format!("X-Long: {}\r\n", "x".repeat(20_000));
    let many: String = (0..300).map(|i| format!("X-{i}: 1\r\n")).collect();
    for more in [long, many] {
        let request = head("ListKeys", &more);
        assert_eq!(running.ask(request.as_bytes()).expect("answer").status, 431);
    }
    // Endless, and without a line's end.
    let mut wire = running.connect();
    wire.send(b"POST / HTTP/1.1\r\nX: ");
    wire.send(&vec![b'x'; 1 << 20]);
    assert!(wire.answer().is_none_or(|answer| answer.status == 431));
    assert!(running.is_alive());
}

#[test]
fn garbage_is_refused_and_harms_no_one() {
    let running = Running::start(unsigned(), Limits::default());
    for bytes in [
        &b"\r\n\r\n\r\n\r\nx\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST\r\n\r\n",
        b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"CONNECT localhost:1 HTTP/1.1\r\n\r\n",
        b"POST http://[ HTTP/1.1\r\n\r\n",
        &[0; 100],
    ] {
        let mut wire = running.connect();
        wire.send(bytes);
        let _ = wire.0.get_ref().shutdown(Shutdown::Write);
        if let Some(answer) = wire.answer() {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
    }
    assert!(running.is_alive());
}

#[test]
fn a_request_that_is_cut_is_not_carried_out() {
    let running = Running::start(unsigned(), Limits::default());
    let request = json!({"KeyId": running.keys.key_id}).to_string();
    let whole = post("DisableKey", &request);
    for length in [1, 30, whole.len() / 2, whole.len() - 1] {
        let mut wire = running.connect();
        wire.send(&whole[..length]);
        let _ = wire.0.get_ref().shutdown(Shutdown::Write);
        assert!(wire.answer().is_none_or(|answer| answer.status == 400));
    }
    let answer = running.ask(&post("DescribeKey", &request)).expect("answer");
    assert_eq!(answer.json()["KeyMetadata"]["Enabled"], true);
}

#[test]
fn slow_clients_are_let_go() {
    let limits = Limits {
        head: Duration::from_millis(300),
        body: Duration::from_millis(300),
        ..Limits::default()
    };
    let running = Running::start(unsigned(), limits);
    let start = Instant::now();
    // Nothing, half a head, and nothing more after an answer.
    assert!(running.ask(b"").is_none());
    assert!(running.ask(b"POST / HTTP/1.1\r\nHost: a\r\n").is_none());
    let mut wire = running.connect();
    wire.send(&post("ListKeys", "{}"));
    assert_eq!(wire.answer().expect("answer").status, 200);
    assert!(wire.answer().is_none());
    // Half a body.
    let mut wire = running.connect();
    wire.send((head("ListKeys", "Content-Length: 2\r\n") + "{").as_bytes());
    let answer = wire.answer().expect("answer");
    assert_eq!(answer.status, 408);
    assert_eq!(answer.exception(), "RequestTimeoutException");
    assert!(wire.answer().is_none());
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_client_that_takes_no_answer_is_let_go() {
    let limits = Limits {
        write: Duration::from_millis(300),
        ..Limits::default()
    };
    let running = Running::start(unsigned(), limits);
    let mut stream = running.tcp();
    let requests = post("Nonsense", "{}").repeat(100);
    // Answers fill the buffers of both sides; then the endpoint gives up, and so does the write.
    let error = (0..10_000)
        .find_map(|_| stream.write_all(&requests).err())
        .expect("let go");
    let kind = error.kind();
    assert!(
        matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
        "{error}"
    );
    assert!(running.is_alive());
}

#[test]
fn connections_are_bounded_in_number() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let running = Running::start(unsigned(), limits);
    let mut first = running.connect();
    first.send(&post("ListKeys", "{}"));
    assert_eq!(first.answer().expect("answer").status, 200);
    let mut second = running.connect();
    second.send(&post("ListKeys", "{}"));
    let stream = second.0.get_ref();
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("set");
    let mut byte = [0];
    let waiting = stream.peek(&mut byte).expect_err("not accepted yet");
    assert_eq!(waiting.kind(), ErrorKind::WouldBlock);
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    drop(first);
    assert_eq!(second.answer().expect("answer").status, 200);
}
