//! An endpoint on a socket of its own, and a client that writes and reads bytes.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rekeyfs::endpoint::{
    Auth, Config, EndpointError, Limits, Listen, Server, Stopper, Tls, stop_signal,
};
use serde_json::Value;

use crate::support::{Keys, keys, temporary};

pub const ACCOUNT: &str = "000000000000";
pub const REGION: &str = "us-east-1";

pub fn unsigned() -> Auth {
    Auth::None {
        account: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
    }
}

pub fn loopback() -> Listen {
    Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// An endpoint that runs until it is dropped.
pub struct Running {
    pub keys: Keys,
    pub address: String,
    pub stopper: Stopper,
    thread: Option<JoinHandle<Result<(), EndpointError>>>,
    _directory: tempfile::TempDir,
}

impl Running {
    pub fn start(auth: Auth, limits: Limits) -> Self {
        Self::with(auth, limits, loopback(), None)
    }

    pub fn with(auth: Auth, limits: Limits, listen: Listen, tls: Option<Tls>) -> Self {
        let directory = temporary();
        let keys = keys(directory.path());
        let config = Config {
            listen,
            auth,
            tls,
            limits,
        };
        let server = Server::bind(Arc::clone(&keys.kms), config).expect("bound");
        let address = server.address();
        let (stopper, stop) = stop_signal();
        let thread = std::thread::spawn(move || server.run(stop));
        Self {
            keys,
            address,
            stopper,
            thread: Some(thread),
            _directory: directory,
        }
    }

    /// The address and port.
    pub fn socket(&self) -> &str {
        self.address.rsplit("//").next().expect("a URL")
    }

    pub fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.socket()).expect("connect");
        // No test waits for ever.
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("set");
        stream.set_write_timeout(patience).expect("set");
        stream
    }

    pub fn connect(&self) -> Wire<TcpStream> {
        Wire(BufReader::new(self.tcp()))
    }

    /// What one connection with these bytes is answered.
    pub fn ask(&self, bytes: &[u8]) -> Option<Answer> {
        let mut wire = self.connect();
        wire.send(bytes);
        wire.answer()
    }

    pub fn is_alive(&self) -> bool {
        self.ask(&post("GenerateRandom", "{\"NumberOfBytes\":1}"))
            .is_some()
    }

    /// Stops the endpoint; how long that took.
    pub fn stop(&mut self) -> Duration {
        let start = Instant::now();
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic").expect("served");
        }
        start.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A connection.
pub struct Wire<S: Read + Write>(pub BufReader<S>);

impl<S: Read + Write> Wire<S> {
    /// Sends bytes; an endpoint that no longer wants them is seen in what it answers.
    pub fn send(&mut self, bytes: &[u8]) {
        let stream = self.0.get_mut();
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    }

    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(e) if e.kind() == ErrorKind::WouldBlock => panic!("no answer in time"),
            Err(_) => None,
        }
    }

    /// The next answer; `None` when the connection ends without one.
    pub fn answer(&mut self) -> Option<Answer> {
        let status = self.line()?;
        let status = status.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a number"));
        answer.body = vec![0; length];
        self.0.read_exact(&mut answer.body).ok()?;
        Some(answer)
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn exception(&self) -> String {
        self.json()["__type"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

pub fn head(target: &str, more: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\n\
         X-Amz-Target: TrentService.{target}\r\n{more}\r\n"
    )
}

pub fn post(target: &str, body: &str) -> Vec<u8> {
    let length = format!("Content-Length: {}\r\n", body.len());
    (head(target, &length) + body).into_bytes()
}
