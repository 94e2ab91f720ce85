//! A load over HTTP, of one request again and again.
//!
//! It has the cores in common with the server that it loads, so it does next to nothing: the
//! request is signed and written down once a round (a signature holds for five minutes), and of an
//! answer only the status, the length and whether the connection stays are read.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rekeyfs::endpoint::sigv4::{HeaderMap, Signable};
use serde_json::Value;

use super::{Round, repeat};

/// Connections, each with a thread of its own.
pub const CONNECTIONS: usize = 4;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of the largest answer.
const LARGEST: usize = 16 * 1024;
const JSON: &str = "application/x-amz-json-1.1";

/// An environment variable that must be set.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// The access key and the Region that requests are signed with.
pub struct Signer {
    id: String,
    secret: String,
    region: String,
}

impl Signer {
    pub fn from_environment() -> Self {
        Self {
            id: variable("AWS_ACCESS_KEY_ID"),
            secret: variable("AWS_SECRET_ACCESS_KEY"),
            region: std::env::var("AWS_DEFAULT_REGION").unwrap_or_else(|_| variable("AWS_REGION")),
        }
    }

    /// The bytes of a request that is signed now.
    fn request(&self, address: &str, operation: &str, body: &Value) -> Vec<u8> {
        let Self { id, secret, region } = self;
        let body = body.to_string();
        let target = format!("TrentService.{operation}");
        let timestamp = timestamp();
        let listed = "content-type;host;x-amz-date;x-amz-target";
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", JSON),
            ("host", address),
            ("x-amz-date", timestamp.as_str()),
            ("x-amz-target", target.as_str()),
        ] {
            headers.insert(name, value.parse().expect("a header's value"));
        }
        let signature = Signable {
            method: "POST",
            headers: &headers,
            signed_headers: listed,
            body: body.as_bytes(),
            timestamp: &timestamp,
            region,
        }
        .signature(secret.as_bytes())
        .expect("all headers are there");
        let (day, _) = timestamp.split_at(8);
        format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: {JSON}\r\n\
             X-Amz-Date: {timestamp}\r\nX-Amz-Target: {target}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={id}/{day}/{region}/kms/aws4_request, \
             SignedHeaders={listed}, Signature={signature}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// Now, as signatures have it.
fn timestamp() -> String {
    let now = time::OffsetDateTime::now_utc();
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

/// A server that is to be loaded.
pub struct Server<'a> {
    pub name: &'static str,
    /// Address and port.
    pub address: &'a str,
    pub signer: &'a Signer,
}

impl Server<'_> {
    /// Runs an operation once.
    pub fn call(&self, operation: &str, body: &Value) -> Value {
        let request = self.signer.request(self.address, operation, body);
        let mut connection = Connection::to(self.address);
        serde_json::from_slice(connection.must(&request)).expect("JSON")
    }

    /// Repeats an operation on all connections for `time`; beside it, how many connections had to
    /// be opened for that.
    pub fn load(&self, operation: &str, body: &Value, time: Duration) -> (Round, usize) {
        let request = self.signer.request(self.address, operation, body);
        let request = request.as_slice();
        let mut connections: Vec<_> = (0..CONNECTIONS)
            .map(|_| Connection::to(self.address))
            .collect();
        for connection in &mut connections {
            connection.must(request);
        }
        let workers: Vec<_> = connections
            .iter_mut()
            .map(|connection| {
                move || {
                    connection.must(request);
                }
            })
            .collect();
        let round = repeat(workers, time, || ());
        let opened = connections.iter().map(|connection| connection.opened).sum();
        (round, opened)
    }
}

/// A connection that is kept for as long as the server keeps it, and then opened again.
struct Connection<'a> {
    address: &'a str,
    stream: Option<TcpStream>,
    opened: usize,
    buffer: Vec<u8>,
}

impl<'a> Connection<'a> {
    fn to(address: &'a str) -> Self {
        Self {
            address,
            stream: None,
            opened: 0,
            buffer: vec![0; LARGEST],
        }
    }

    fn open(&mut self) -> io::Result<TcpStream> {
        self.opened += 1;
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Sends a request; the status and the body of its answer.
    fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open()?,
        };
        stream.write_all(request)?;
        let mut filled = 0;
        let head = loop {
            let count = stream.read(&mut self.buffer[filled..])?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            filled += count;
            if let Some(head) = Head::read(&self.buffer[..filled])
                && head.end <= filled
            {
                break head;
            }
        };
        // One that the server closes must not be used again: moto's would take what comes for the
        // rest of the request before, and wait for more.
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok((head.status, &self.buffer[head.body..head.end]))
    }

    /// Sends a request that must succeed; the body of its answer.
    fn must(&mut self, request: &[u8]) -> &[u8] {
        let address = self.address;
        match self.exchange(request) {
            Ok((200, body)) => body,
            Ok((status, body)) => panic!("{address}: {status}: {}", String::from_utf8_lossy(body)),
            Err(e) => panic!("{address}: {e}"),
        }
    }
}

/// The head of an answer.
struct Head {
    status: u16,
    /// Where the body begins and ends.
    body: usize,
    end: usize,
    closes: bool,
}

impl Head {
    /// Reads a head; `None` when it is not all there.
    fn read(bytes: &[u8]) -> Option<Self> {
        let length = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let mut lines = std::str::from_utf8(&bytes[..length]).ok()?.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let body = length + 4;
        let mut head = Self {
            status,
            body,
            end: body,
            closes: false,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.end = body + value.parse::<usize>().ok()?;
            } else if name.eq_ignore_ascii_case("connection") {
                head.closes = value.eq_ignore_ascii_case("close");
            }
        }
        Some(head)
    }
}
