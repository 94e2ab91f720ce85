//! The endpoint: the KMS over HTTP, for the AWS command lines and SDKs that people already have.
//!
//! Owns the bytes on the wire and nothing of the semantics: a request is read within limits, its
//! signature is checked, what it asks for is [`Kms::call`]ed, and the answer is written down. Must
//! not know files, FUSE or terminals. tokio, hyper and rustls live here alone; everything else of
//! this program is synchronous.
//!
//! ```text
//!   bytes ──► connection ──► front ──► Kms::call
//!              ├─ listener     ├─ sigv4   who asks: settled before anything else is answered
//!              └─ tls          ├─ json    what is asked: bounded, and no member twice
//!                              └─ wire    answers and errors; the only table of HTTP statuses
//! ```
//!
//! hyper is used without a framework above it: one path and one method need no router, and every
//! limit that protects the process is a limit of a connection, which a framework would hide.
//!
//! What cannot be read as HTTP at all is answered by hyper, with a status and no body (400, 414,
//! 431). Every other answer has a request id, and an error of the service's own form.
//!
//! A stranger learns nothing: without a signature that holds, the answer does not depend on the
//! operation, nor on whether a key exists. Only sizes and times are judged earlier.
//!
//! Requests and answers pass through buffers of hyper that are not wiped; this program writes no
//! core dumps.

mod connection;
mod front;
mod listener;
pub mod sigv4;
mod tls;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::kms::Kms;
use crate::kms::ids::{is_account, is_region};
use front::Front;
use listener::Bound;

/// Threads that serve connections; the symmetric operations run on them too.
const WORKERS: usize = 2;

/// Threads for what takes longer: RSA and SM2, key generation, writes to the keystore. The calls
/// that wait for one of them are no more than there are connections, and end with them.
const BLOCKING: usize = 4;

/// How an endpoint listens, and to whom.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub listen: Listen,
    /// How callers prove who they are.
    pub auth: Auth,
    /// With which certificate; `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// What a client may take of the process.
    pub limits: Limits,
}

/// Where an endpoint listens.
#[derive(Debug, Clone)]
pub enum Listen {
    /// A TCP address; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A Unix socket, which only its owner may connect to (mode 0600).
    Unix(PathBuf),
}

/// How callers prove who they are.
#[derive(Debug, Clone)]
pub enum Auth {
    /// By Signature Version 4, with an access key of the keystore.
    SigV4,
    /// Not at all: every caller is the root user of `account`. For tests that are thrown away.
    ///
    /// Taken on loopback and Unix sockets only. A request that a browser sends for a page (it has
    /// an `Origin`) is refused: any page could otherwise reach the keys of who looks at it.
    None {
        /// The account's number.
        account: String,
        /// The Region of requests that name none.
        region: String,
    },
}

/// The certificate of an endpoint.
#[derive(Debug, Clone)]
pub enum Tls {
    /// A certificate, its chain below it, and its private key; both PEM.
    Given {
        /// The file of the certificate and its chain.
        certificate: PathBuf,
        /// The file of the private key.
        key: PathBuf,
    },
    /// A certificate that is made on every start for localhost, the loopback addresses and the
    /// address that is listened on. Its private key never leaves memory.
    SelfSigned {
        /// The file that the certificate is written to, for clients' `--ca-bundle`.
        bundle: PathBuf,
    },
}

/// What a client may take of the process.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// Bytes of a request line and its headers, and of a chunked body's trailers.
    pub head_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time from the accept, or from the last answer, to the end of a request's headers: for slow
    /// clients and for idle connections alike.
    pub head: Duration,
    /// Time for a request's body.
    pub body: Duration,
    /// Time in which a client must take something of an answer.
    pub write: Duration,
    /// Time for the requests that are under way when the endpoint is stopped.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head_bytes: 16 * 1024,
            body_bytes: 1024 * 1024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(20),
            body: Duration::from_secs(20),
            write: Duration::from_secs(20),
            drain: Duration::from_secs(10),
        }
    }
}

/// Why an endpoint cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "the messages say what each variant and field is"
)]
pub enum EndpointError {
    #[error("{address}: in use")]
    InUse { address: String },
    #[error("{address}: cannot listen: {source}")]
    Listen { address: String, source: io::Error },
    #[error("{path}: is there, and is not a socket")]
    NotASocket { path: PathBuf },
    #[error("{address}: not a loopback address, and requests need no signature")]
    NotLoopback { address: SocketAddr },
    #[error("not an account: {text}")]
    NotAnAccount { text: String },
    #[error("not a Region: {text}")]
    NotARegion { text: String },
    #[error("{path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}: holds no certificate in PEM")]
    NoCertificate { path: PathBuf },
    #[error("{path}: holds no private key in PEM")]
    NoKey { path: PathBuf },
    #[error("certificate {certificate} with key {key}: {source}")]
    Unusable {
        certificate: PathBuf,
        key: PathBuf,
        source: tokio_rustls::rustls::Error,
    },
    #[error("cannot make a certificate: {source}")]
    Unmade { source: rcgen::Error },
    #[error("TLS: {source}")]
    Tls { source: tokio_rustls::rustls::Error },
    #[error("{path}: cannot be written: {source}")]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("cannot start: {source}")]
    Start { source: io::Error },
}

/// Makes the two ends of a stop: whoever holds the first stops the server that runs with the
/// second.
pub fn stop_signal() -> (Stopper, StopSignal) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(Arc::new(sender)), StopSignal(receiver))
}

/// Stops a running [`Server`], from any thread.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<watch::Sender<bool>>);

impl Stopper {
    /// Stops the server. Asking twice, or before the server runs, is the same as asking once.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Tells a running [`Server`] to stop.
#[derive(Debug, Clone)]
pub struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// Returns once the server is to stop. That all stoppers are gone is no reason to.
    async fn triggered(&self) {
        let mut receiver = self.0.clone();
        let stopped = receiver.wait_for(|stopped| *stopped).await.is_ok();
        if !stopped {
            std::future::pending::<()>().await;
        }
    }
}

/// An endpoint that is bound to its address and not yet served.
pub struct Server {
    front: Arc<Front>,
    bound: Bound,
    acceptor: Option<TlsAcceptor>,
    address: String,
}

impl Server {
    /// Takes the address, reads or makes the certificate. Clients can connect from now on; they
    /// are answered once the server runs.
    ///
    /// # Errors
    /// [`EndpointError`]: the address is in use or is not loopback without signatures, a file of
    /// the certificate cannot be read, used or written.
    pub fn bind(kms: Arc<Kms>, config: Config) -> Result<Self, EndpointError> {
        let Config {
            listen,
            auth,
            tls,
            limits,
        } = config;
        check(&auth, &listen)?;
        // Before the certificate: a second server that cannot have the address must not replace
        // the bundle of the first.
        let bound = Bound::to(&listen)?;
        let acceptor = tls
            .as_ref()
            .map(|tls| tls::acceptor(tls, bound.ip()))
            .transpose()?;
        let secure = acceptor.is_some();
        let address = bound.url(secure);
        Ok(Self {
            front: Arc::new(Front {
                kms,
                auth,
                limits,
                secure,
                slow: Arc::new(tokio::sync::Semaphore::new(BLOCKING)),
            }),
            bound,
            acceptor,
            address,
        })
    }

    /// The URL for clients on this machine, or the path of the Unix socket.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Serves until `stop`, then lets the requests under way end, for no longer than
    /// [`Limits::drain`].
    ///
    /// # Errors
    /// [`EndpointError::Start`] when there are no threads or descriptors to serve with.
    pub fn run(self, stop: StopSignal) -> Result<(), EndpointError> {
        let start = |source| EndpointError::Start { source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING)
            .thread_name("endpoint")
            .enable_all()
            .build()
            .map_err(start)?;
        let served = runtime.block_on(connection::serve(
            self.front,
            self.bound,
            self.acceptor,
            stop,
        ));
        // A call that still runs cannot be interrupted: it is not waited for.
        runtime.shutdown_timeout(Duration::from_secs(1));
        served.map_err(start)
    }
}

/// Checks what `auth` asks of `listen`.
fn check(auth: &Auth, listen: &Listen) -> Result<(), EndpointError> {
    let Auth::None { account, region } = auth else {
        return Ok(());
    };
    if !is_account(account) {
        return Err(EndpointError::NotAnAccount {
            text: account.clone(),
        });
    }
    if !is_region(region) {
        return Err(EndpointError::NotARegion {
            text: region.clone(),
        });
    }
    match listen {
        Listen::Tcp(address) if !address.ip().to_canonical().is_loopback() => {
            Err(EndpointError::NotLoopback { address: *address })
        }
        Listen::Tcp(_) | Listen::Unix(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(account: &str, region: &str) -> Auth {
        Auth::None {
            account: account.to_owned(),
            region: region.to_owned(),
        }
    }

    #[test]
    fn unsigned_requests_are_taken_on_loopback_and_unix_sockets_only() {
        let auth = none("000000000000", "us-east-1");
        for (address, taken) in [
            ("127.0.0.1:0", true),
            ("127.8.9.1:80", true),
            ("[::1]:0", true),
            ("[::ffff:127.0.0.1]:0", true),
            ("0.0.0.0:0", false),
            ("[::]:0", false),
            ("10.0.0.1:0", false),
            ("[::ffff:10.0.0.1]:0", false),
        ] {
            let listen = Listen::Tcp(address.parse().expect("an address"));
            assert_eq!(check(&auth, &listen).is_ok(), taken, "{address}");
            assert!(check(&Auth::SigV4, &listen).is_ok(), "{address}");
        }
        assert!(check(&auth, &Listen::Unix("/run/x".into())).is_ok());
    }

    #[test]
    fn the_account_and_region_of_unsigned_requests_must_have_their_forms() {
        let listen = Listen::Unix("/run/x".into());
        for (account, region) in [
            ("", "us-east-1"),
            ("12345678901x", "us-east-1"),
            ("000000000000", ""),
            ("000000000000", "US East"),
        ] {
            let refused = check(&none(account, region), &listen);
            assert!(refused.is_err(), "{account} {region}");
        }
    }

    #[test]
    fn a_stop_that_was_asked_for_before_is_seen() {
        let (stopper, stop) = stop_signal();
        stopper.clone().stop();
        stopper.stop();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(stop.triggered());
    }
}
