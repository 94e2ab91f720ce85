//! The stop, and the other ends that an endpoint may listen on: a Unix socket, TLS.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rekeyfs::endpoint::{Config, EndpointError, Limits, Listen, Server, Tls};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::harness::{Running, Wire, head, loopback, post, unsigned};
use crate::support::{keys, temporary};

#[test]
fn idle_connections_do_not_hold_up_the_stop() {
    let mut running = Running::start(unsigned(), Limits::default());
    let mut used = running.connect();
    used.send(&post("ListKeys", "{}"));
    assert_eq!(used.answer().expect("answer").status, 200);
    let mut unused = running.connect();
    assert!(running.stop() < Duration::from_secs(5));
    assert!(used.answer().is_none());
    assert!(unused.answer().is_none());
    assert!(TcpStream::connect(running.socket()).is_err());
}

/// A request whose head has arrived for certain, and whose body has not.
fn under_way(running: &Running) -> Wire<TcpStream> {
    let mut wire = running.connect();
    let more = "Content-Length: 2\r\nExpect: 100-continue\r\n";
    wire.send(head("ListKeys", more).as_bytes());
    assert_eq!(wire.line().as_deref(), Some("HTTP/1.1 100 Continue"));
    assert_eq!(wire.line().as_deref(), Some(""));
    wire
}

#[test]
fn a_request_under_way_is_answered_before_the_stop() {
    let mut running = Running::start(unsigned(), Limits::default());
    let mut wire = under_way(&running);
    running.stopper.stop();
    // No one else is let in any more, once the listener is gone.
    let start = Instant::now();
    while TcpStream::connect(running.socket()).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(5));
        std::thread::yield_now();
    }
    wire.send(b"{}");
    assert_eq!(wire.answer().expect("answer").status, 200);
    assert!(wire.answer().is_none());
    running.stop();
}

#[test]
fn a_request_that_does_not_end_is_cut_by_the_stop() {
    let limits = Limits {
        drain: Duration::from_millis(200),
        ..Limits::default()
    };
    let mut running = Running::start(unsigned(), limits);
    let mut wire = under_way(&running);
    assert!(running.stop() < Duration::from_secs(5));
    assert!(wire.answer().is_none());
}

#[test]
fn a_unix_socket_serves_its_owner() {
    let directory = temporary();
    let path = directory.path().join("endpoint.sock");
    let listen = Listen::Unix(path.clone());
    let mut running = Running::with(unsigned(), Limits::default(), listen.clone(), None);
    assert_eq!(running.address, path.display().to_string());
    let metadata = std::fs::symlink_metadata(&path).expect("there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    let mut wire = Wire(BufReader::new(UnixStream::connect(&path).expect("connect")));
    wire.send(&post("ListKeys", "{}"));
    assert_eq!(wire.answer().expect("answer").status, 200);

    let config = Config {
        listen,
        auth: unsigned(),
        tls: None,
        limits: Limits::default(),
    };
    let second = Server::bind(Arc::clone(&running.keys.kms), config).err();
    assert!(matches!(second, Some(EndpointError::InUse { .. })));
    running.stop();
    assert!(!path.exists());
}

#[test]
fn without_signatures_only_loopback_is_listened_on() {
    let directory = temporary();
    let keys = keys(directory.path());
    let config = Config {
        listen: Listen::Tcp(SocketAddr::from(([0, 0, 0, 0], 0))),
        auth: unsigned(),
        tls: None,
        limits: Limits::default(),
    };
    let refused = Server::bind(Arc::clone(&keys.kms), config).err();
    assert!(matches!(refused, Some(EndpointError::NotLoopback { .. })));
}

fn trusting(bundle: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(bundle).expect("a bundle") {
        roots.add(certificate.expect("PEM")).expect("a certificate");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[test]
fn tls_is_trusted_by_the_bundle_that_is_written_out() {
    let directory = temporary();
    let bundle = directory.path().join("bundle.pem");
    let tls = Tls::SelfSigned {
        bundle: bundle.clone(),
    };
    let limits = Limits {
        handshake: Duration::from_millis(500),
        ..Limits::default()
    };
    let running = Running::with(unsigned(), limits, loopback(), Some(tls));
    assert!(running.address.starts_with("https://127.0.0.1:"));
    for name in ["localhost", "127.0.0.1"] {
        let name = ServerName::try_from(name).expect("a name");
        let client = ClientConnection::new(trusting(&bundle), name).expect("a client");
        let stream = StreamOwned::new(client, running.tcp());
        let mut wire = Wire(BufReader::new(stream));
        for _ in 0..2 {
            wire.send(&post("ListKeys", "{}"));
            assert_eq!(wire.answer().expect("answer").status, 200);
        }
    }
    let other = ServerName::try_from("example.com").expect("a name");
    let client = ClientConnection::new(trusting(&bundle), other).expect("a client");
    let mut stream = StreamOwned::new(client, running.tcp());
    assert!(
        stream
            .write_all(b"x")
            .and_then(|()| stream.flush())
            .is_err()
    );

    // Without TLS, and without a word.
    let mut plain = running.tcp();
    plain.write_all(&post("ListKeys", "{}")).expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    let mut silent = running.tcp();
    assert_eq!(silent.read(&mut [0]).ok(), Some(0));
}
