//! How long `rekeyfs kms` waits for an endpoint that is slow to answer, or to accept.
//!
//! An attempt that is given up is made again, so that the servers here are slow at first only.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{ChildStderr, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::command_line::Home;

const UNSIGNED: &str = "kms list-keys --region us-east-1 --no-sign-request --debug --endpoint-url";

/// Reads a request of ListKeys to its end, and answers it.
fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    while !request.ends_with(b"{}") {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&part[..read]),
        }
    }
    // A client that has gone meanwhile is what some of the tests are about.
    let _ = stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: 2\r\n\
          Connection: close\r\n\r\n{}",
    );
}

/// Runs a client, which must not panic, against a server that lets `ignored` connections wait for
/// ever and answers those after them, each after `pause`. Also returns how many there were.
fn slowly<T>(ignored: usize, pause: Duration, client: impl FnOnce(&str) -> T) -> (T, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut waiting = Vec::new();
            let mut answered = 0;
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let stream = stream.expect("accepted");
                if waiting.len() < ignored {
                    waiting.push(stream);
                } else {
                    std::thread::sleep(pause);
                    answer(stream);
                    answered += 1;
                }
            }
            waiting.len() + answered
        });
        let result = client(&format!("http://{address}"));
        over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(address));
        (result, server.join().expect("no panic"))
    })
}

#[test]
fn an_answer_is_waited_for_as_long_as_was_said_and_for_ever_if_that_is_0() {
    let home = Home::new();
    let run = |url: &str, seconds: u32| {
        let line = format!("{UNSIGNED} {url} --cli-read-timeout {seconds}");
        home.command(&line).output()
    };
    let log = |output: std::io::Result<Output>| {
        let output = output.expect("rekeyfs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    // The first attempt is given up after a second, the second one is answered.
    let start = Instant::now();
    let (output, connections) = slowly(1, Duration::ZERO, |url| run(url, 1));
    assert!(start.elapsed() >= Duration::from_secs(1));
    let said = log(output);
    assert!(said.contains("Read timeout on endpoint URL"), "{said}");
    assert_eq!(connections, 2);
    let (output, connections) = slowly(0, Duration::from_millis(1500), |url| run(url, 0));
    let said = log(output);
    assert!(!said.contains("timeout"), "{said}");
    assert_eq!(connections, 1);
}

/// What a client logs, line by line.
type Log = Lines<BufReader<ChildStderr>>;

/// Runs a client with `--cli-connect-timeout` against a server that accepts no connection until
/// `hold`, which reads the client's log, returns. Returns what that found, the client's end, and the
/// rest of its log.
fn behind_a_full_queue<T: Send>(
    seconds: u32,
    hold: impl FnOnce(&mut Log) -> T + Send,
) -> (T, ExitStatus, String) {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    // With one connection that nobody accepts the queue is full: the kernel answers no other.
    rustix::net::listen(&listener, 0).expect("a queue of one");
    let first = TcpStream::connect(address).expect("the first one");
    let line = format!("{UNSIGNED} http://{address} --cli-connect-timeout {seconds}");
    let mut client = home
        .command(&line)
        .stderr(Stdio::piped())
        .spawn()
        .expect("rekeyfs");
    let mut log = BufReader::new(client.stderr.take().expect("piped")).lines();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let found = hold(&mut log);
            drop(first);
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                answer(stream.expect("accepted"));
            }
            (found, log.map_while(Result::ok).collect::<String>())
        });
        let status = client.wait().expect("rekeyfs");
        over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect_timeout(&address, Duration::from_secs(5)));
        let (found, rest) = server.join().expect("no panic");
        (found, status, rest)
    })
}

#[test]
fn a_connection_is_waited_for_as_long_as_was_said_and_for_ever_if_that_is_0() {
    // The first attempt is given up; a later one finds the queue open.
    let timeout = "Connect timeout on endpoint URL";
    let (has_given_up, status, _) = behind_a_full_queue(1, |log| {
        let mut lines = log.map_while(Result::ok);
        lines.any(|line| line.contains(timeout))
    });
    assert!(has_given_up);
    assert!(status.success(), "{status}");
    let (begun, status, rest) = behind_a_full_queue(0, |log| {
        let begun = log.next();
        std::thread::sleep(Duration::from_millis(1500));
        begun
    });
    assert!(matches!(begun, Some(Ok(line)) if line.contains("POST")));
    assert!(status.success(), "{status}");
    assert!(!rest.contains("timeout"), "{rest}");
}
