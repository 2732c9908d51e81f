//! Connections: accepted up to a limit, over TLS if so configured, each with what is known of its other end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::{Limits, certificate, handshake::Handshakes};
use crate::{config::Tls, grpc::Peer};

/// How long to wait after the system refused a connection, for want of file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The TLS of new connections, which a reload replaces.
pub(super) type SharedTls = Arc<ArcSwapOption<Tls>>;

/// The connections of a listener, ready to be served. No new ones once the watch says that the server has drained.
pub(super) fn accept(
    listener: TcpListener,
    (tls, handshakes): (SharedTls, Handshakes),
    limits: &Limits,
    mut has_drained: watch::Receiver<bool>,
) -> mpsc::Receiver<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(16);
    let most = limits.connections;
    let times = Times {
        silence: limits.handshake,
        life: limits.connection_age + limits.connection_grace,
    };
    let places = Arc::new(Semaphore::new(most));
    let handshakes = Arc::new(handshakes);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = has_drained.wait_for(|drained| *drained) => return,
                () = ready.closed() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = %error, "a connection was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!(peer = %peer, limit = most, "a connection too many was cut off");
                continue;
            };
            let ready = ready.clone();
            let (tls, handshakes) = (tls.load_full(), Arc::clone(&handshakes));
            // A task each, so that a slow handshake holds up nobody else.
            tokio::spawn(async move {
                let tls = tls.as_deref().map(|tls| (tls, &*handshakes));
                if let Some(connection) = open(stream, peer, tls, times, place).await {
                    // Fails when the server has stopped, and then the connection is not wanted.
                    ready.send(Ok(connection)).await.ok();
                }
            });
        }
    });
    connections
}

async fn open(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<(&Tls, &Handshakes)>,
    times: Times,
    place: OwnedSemaphorePermit,
) -> Option<Connection> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(peer = %peer, error = %error, "small packets are delayed on a connection");
    }
    let mut certificate = None;
    let stream = match tls {
        None => Stream::Plain(stream),
        Some((tls, handshakes)) => {
            let stream = handshakes.accept(tls, stream, peer).await?;
            let shown = stream.get_ref().1.peer_certificates();
            let own = shown.and_then(|chain| chain.first());
            certificate = own.map(|own| Arc::new(certificate::read(own)));
            Stream::Tls(Box::new(stream))
        }
    };
    let peer = Peer {
        address: Some(peer.ip()),
        certificate,
    };
    Some(Connection {
        stream,
        peer,
        end: Box::pin(sleep(times.silence)),
        life_after_first_word: Some(times.life),
        has_waited: false,
        _place: place,
    })
}

/// How long things may take in a connection.
#[derive(Clone, Copy)]
struct Times {
    /// The client until it says its first word.
    silence: Duration,
    /// All that comes after.
    life: Duration,
}

/// One connection, which gives its place back when it ends.
pub(super) struct Connection {
    stream: Stream,
    peer: Peer,
    /// When it is cut, whatever goes on in it. Reading finds out, which a server does all the time.
    end: Pin<Box<Sleep>>,
    /// How long it has once it has said a word, until it has.
    life_after_first_word: Option<Duration>,
    /// What there is to write has waited for what else is about to be, until all of it is written.
    has_waited: bool,
    _place: OwnedSemaphorePermit,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Passes a call on to whichever stream it is.
macro_rules! either {
    ($connection:expr, $stream:ident => $call:expr) => {
        match &mut $connection.get_mut().stream {
            Stream::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
        }
    };
}

impl Connection {
    /// Whether others come first that can be answered now, so that their answers are written together with these: to write
    /// takes longer than to decide. Whoever is woken by a task runs next, before all that wait already; whoever wakes itself
    /// runs after them.
    fn lets_others_answer(&mut self, context: &Context<'_>) -> bool {
        let waits = !std::mem::replace(&mut self.has_waited, true);
        if waits {
            context.waker().wake_by_ref();
        }
        waits
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        if connection.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let read = match &mut connection.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        };
        if buffer.filled().len() > before
            && let Some(life) = connection.life_after_first_word.take()
        {
            connection.end.as_mut().reset(Instant::now() + life);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.lets_others_answer(context) {
            return Poll::Pending;
        }
        either!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.has_waited = false;
        either!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(context))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.lets_others_answer(context) {
            return Poll::Pending;
        }
        either!(self, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::Ipv4Addr};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Writes, and says how often it had to be asked.
    async fn write(connection: &mut Connection, bytes: &[u8]) -> io::Result<usize> {
        let mut asked = 0;
        let written = poll_fn(|context| {
            asked += 1;
            Pin::new(&mut *connection).poll_write(context, bytes)
        });
        written.await.map(|_| asked)
    }

    #[tokio::test]
    async fn what_is_written_waits_once_for_what_else_there_is_until_all_is_flushed()
    -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let client = TcpStream::connect(listener.local_addr()?);
        let (mut client, accepted) = (client.await?, listener.accept().await?);
        let times = Times {
            silence: Duration::MAX,
            life: Duration::MAX,
        };
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let connection = open(accepted.0, accepted.1, None, times, place).await;
        let mut connection = connection.ok_or(io::ErrorKind::NotConnected)?;
        assert_eq!(write(&mut connection, b"a").await?, 2);
        assert_eq!(write(&mut connection, b"b").await?, 1);
        connection.flush().await?;
        assert_eq!(write(&mut connection, b"c").await?, 2);
        drop(connection);
        let mut written = String::new();
        client.read_to_string(&mut written).await?;
        assert_eq!(written, "abc");
        Ok(())
    }
}
