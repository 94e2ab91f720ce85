//! Connections: accepted, limited in number, bytes and time, and ended in good order.
//!
//! Must not know what a request says.
//!
//! A client can hold a connection for as long as it asks and listens; what it cannot do is keep
//! one without doing either. Each wait has its bound: for a place among the connections (none: the
//! kernel queues), the handshake, the head, the body (in `front`), the taking of the answer, and
//! at the stop all that is left.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::StopSignal;
use super::front::Front;
use super::listener::{Bound, Transport};

/// Bytes that hyper may buffer of a connection, each way.
const BUFFER: usize = 64 * 1024;

/// The pause after an accept that failed: the process may be out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `stop`, and then those that are left for a while.
///
/// # Errors
/// The address cannot be accepted on.
pub(super) async fn serve(
    front: Arc<Front>,
    bound: Bound,
    acceptor: Option<TlsAcceptor>,
    stop: StopSignal,
) -> io::Result<()> {
    // As many as a semaphore counts in one go.
    let most = front.limits.connections.clamp(1, 65_536);
    let places = Arc::new(Semaphore::new(most));
    let (listener, file) = bound.accepting()?;
    let accepting = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(e) => {
                    log::warn!("endpoint: a connection cannot be accepted: {e}");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let connection = Connection {
                front: Arc::clone(&front),
                peer,
                stop: stop.clone(),
            };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                connection.serve(stream, acceptor).await;
                drop(place);
            });
        }
    };
    tokio::select! {
        () = stop.triggered() => {}
        () = accepting => {}
    }
    drop(listener);
    drop(file);
    // All places are free again once every connection has ended.
    let ended = places.acquire_many(most as u32);
    if timeout(front.limits.drain, ended).await.is_err() {
        let left = most - places.available_permits();
        log::warn!("endpoint: {left} connections were cut when it stopped");
    }
    Ok(())
}

struct Connection {
    front: Arc<Front>,
    peer: Option<IpAddr>,
    stop: StopSignal,
}

impl Connection {
    async fn serve(self, stream: Box<dyn Transport>, acceptor: Option<TlsAcceptor>) {
        let limits = &self.front.limits;
        let stream: Box<dyn Transport> = match acceptor {
            None => stream,
            Some(acceptor) => match timeout(limits.handshake, acceptor.accept(stream)).await {
                Ok(Ok(secured)) => Box::new(secured),
                Ok(Err(e)) => return log::debug!("endpoint: TLS handshake: {e}"),
                Err(_) => return log::debug!("endpoint: TLS handshake: too slow"),
            },
        };
        let stream = Impatient {
            stream,
            patience: limits.write,
            stalled: None,
        };
        let service = service_fn(|request| {
            let front = Arc::clone(&self.front);
            let peer = self.peer;
            async move { Ok::<_, Infallible>(front.answer(peer, request).await) }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.head)
                .max_header_size(limits.head_bytes)
                .max_buf_size(BUFFER.max(limits.head_bytes))
                .serve_connection(TokioIo::new(stream), service)
        );
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = self.stop.triggered() => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        };
        if let Err(e) = served {
            log::debug!("endpoint: connection: {e}");
        }
    }
}

/// A stream that fails when its peer takes nothing of what is written for too long.
struct Impatient {
    stream: Box<dyn Transport>,
    patience: Duration,
    /// When the patience ends; there while something waits to be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn wait<T>(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wait(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wait(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(cx);
        self.wait(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wait(cx, progress)
    }
}
