//! Where an endpoint listens: a TCP address, or a Unix socket of its owner.
//!
//! A Unix socket that no one listens on any more is replaced, one that is alive is refused, and
//! the file goes when the endpoint does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{EndpointError, Listen};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 128;

/// A connection, of whatever kind.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// An address that is taken.
pub(super) enum Bound {
    Tcp(std::net::TcpListener, SocketAddr),
    Unix(std::os::unix::net::UnixListener, SocketFile),
}

impl Bound {
    /// Takes an address.
    pub fn to(listen: &Listen) -> Result<Self, EndpointError> {
        match listen {
            Listen::Tcp(address) => bind_tcp(*address),
            Listen::Unix(path) => bind_unix(path),
        }
    }

    /// The IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, address) => Some(address.ip()),
            Self::Unix(..) => None,
        }
    }

    /// The URL for clients on this machine, or the path of the socket.
    pub fn url(&self, secure: bool) -> String {
        let address = match self {
            Self::Tcp(_, address) => *address,
            Self::Unix(_, file) => return file.path.display().to_string(),
        };
        let host = match address.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let scheme = if secure { "https" } else { "http" };
        format!("{scheme}://{}", SocketAddr::new(host, address.port()))
    }

    /// Starts to accept, on the runtime of the caller. What comes beside it is to be dropped when
    /// no more is accepted.
    pub fn accepting(self) -> io::Result<(Accepting, Option<SocketFile>)> {
        Ok(match self {
            Self::Tcp(listener, _) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                (Accepting::Tcp(listener), None)
            }
            Self::Unix(listener, file) => {
                let listener = tokio::net::UnixListener::from_std(listener)?;
                (Accepting::Unix(listener), Some(file))
            }
        })
    }
}

/// An address whose connections are accepted.
pub(super) enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Accepting {
    /// The next connection, and the address of who made it.
    pub async fn accept(&self) -> io::Result<(Box<dyn Transport>, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A connection that is gone already says so when it is read.
                let _ = stream.set_nodelay(true);
                let stream: Box<dyn Transport> = Box::new(stream);
                Ok((stream, Some(peer.ip().to_canonical())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let stream: Box<dyn Transport> = Box::new(stream);
                Ok((stream, None))
            }
        }
    }
}

fn bind_tcp(address: SocketAddr) -> Result<Bound, EndpointError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => EndpointError::InUse {
            address: address.to_string(),
        },
        _ => EndpointError::Listen {
            address: address.to_string(),
            source,
        },
    };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound::Tcp(listener, address))
}

fn bind_unix(path: &Path) -> Result<Bound, EndpointError> {
    let name = || path.display().to_string();
    let failed = |source: io::Error| EndpointError::Listen {
        address: name(),
        source,
    };
    let address = SocketAddrUnix::new(path).map_err(|e| failed(e.into()))?;
    clear(path, &address)?;
    let socket = stream_socket().map_err(failed)?;
    // Before it has a name: there is no moment in which others could connect.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(|e| failed(e.into()))?;
    rustix::net::bind(&socket, &address).map_err(|e| match e {
        Errno::ADDRINUSE => EndpointError::InUse { address: name() },
        e => failed(e.into()),
    })?;
    let file = SocketFile::at(path).map_err(failed)?;
    rustix::net::listen(&socket, BACKLOG).map_err(|e| failed(e.into()))?;
    Ok(Bound::Unix(socket.into(), file))
}

fn stream_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

/// Takes a socket out of the way that no one listens on.
fn clear(path: &Path, address: &SocketAddrUnix) -> Result<(), EndpointError> {
    let name = || path.display().to_string();
    let failed = |source: io::Error| EndpointError::Listen {
        address: name(),
        source,
    };
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
    };
    if !metadata.file_type().is_socket() {
        return Err(EndpointError::NotASocket {
            path: path.to_owned(),
        });
    }
    let probe = stream_socket().map_err(failed)?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(failed),
        // Gone in between.
        Err(Errno::NOENT) => Ok(()),
        // Alive, and perhaps so busy that it accepts no one for the moment.
        Ok(()) | Err(Errno::AGAIN) => Err(EndpointError::InUse { address: name() }),
        Err(e) => Err(failed(e.into())),
    }
}

/// The name of a Unix socket, which is removed with it.
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else's by now, if it is not the same file.
        let same = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode));
        if same && let Err(e) = std::fs::remove_file(&self.path) {
            log::warn!("{}: cannot be removed: {e}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_of_addresses_that_this_machine_can_reach() {
        for (listen, start) in [
            ("127.0.0.1:0", "https://127.0.0.1:"),
            ("[::1]:0", "https://[::1]:"),
            ("0.0.0.0:0", "https://127.0.0.1:"),
        ] {
            let listen = Listen::Tcp(listen.parse().expect("an address"));
            let bound = Bound::to(&listen).expect("a free port");
            let url = bound.url(true);
            assert!(url.starts_with(start), "{url}");
            assert!(!url.ends_with(":0"), "{url}");
            assert_eq!(bound.url(false), url.replacen("https", "http", 1));
        }
    }

    #[test]
    fn an_address_in_use_is_said_to_be() {
        let holding = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = holding.local_addr().expect("an address");
        let error = Bound::to(&Listen::Tcp(address)).err().expect("in use");
        assert!(matches!(error, EndpointError::InUse { .. }), "{error}");
    }

    #[test]
    fn a_unix_socket_is_its_owners_replaces_a_dead_one_and_goes_in_the_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("endpoint.sock");
        let listen = Listen::Unix(path.clone());
        // Dead: its listener is gone, its name is not.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
        assert!(path.exists());

        let bound = Bound::to(&listen).expect("replaced");
        let metadata = std::fs::symlink_metadata(&path).expect("there");
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.mode() & 0o7777, 0o600);
        assert_eq!(bound.url(false), path.display().to_string());
        let error = Bound::to(&listen).err().expect("alive");
        assert!(matches!(error, EndpointError::InUse { .. }), "{error}");
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_name_that_is_somebody_elses_by_now_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("endpoint.sock");
        let bound = Bound::to(&Listen::Unix(path.clone())).expect("bound");
        std::fs::remove_file(&path).expect("remove");
        std::fs::write(&path, "another").expect("write");
        drop(bound);
        assert!(path.exists());
    }

    #[test]
    fn what_is_not_a_socket_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        std::fs::write(&path, "keep").expect("write");
        let error = Bound::to(&Listen::Unix(path.clone()))
            .err()
            .expect("refused");
        assert!(matches!(error, EndpointError::NotASocket { .. }), "{error}");
        assert_eq!(std::fs::read(&path).expect("read"), b"keep");
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_is_an_error() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(200)));
        assert!(Bound::to(&Listen::Unix(path)).is_err());
    }
}
