//! A TCP proxy before the database, which stalls, passes, delays or cuts.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

const CHUNK: usize = 8 * 1024;

/// What becomes of connections, those that there are too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are accepted, and nothing more happens.
    Stall,
    /// They reach the database.
    Pass,
    /// They do, and all that is sent arrives so much later.
    Delay(Duration),
    /// The same of some connections only: which, the number says.
    Uneven(Duration, u64),
    /// They are cut, and new ones are refused service.
    Cut,
    /// Those that there are, up to this number, are heard and answered no more. New ones reach the database.
    Silent(u64),
    /// They are cut when so many bytes more went one way.
    CutAfter(usize),
}

/// A proxy in this process.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    connections: Arc<AtomicU64>,
    unheard: Arc<AtomicU64>,
}

impl Proxy {
    /// Before this address, at first in this mode.
    pub(crate) async fn start(upstream: SocketAddr, mode: Mode) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let (mode, modes) = watch::channel(mode);
        let connections = Arc::new(AtomicU64::new(0));
        let unheard = Arc::new(AtomicU64::new(0));
        let counted = (Arc::clone(&connections), Arc::clone(&unheard));
        tokio::spawn(async move {
            let (connections, unheard) = counted;
            while let Ok((client, _)) = listener.accept().await {
                let number = connections.fetch_add(1, Ordering::SeqCst) + 1;
                let modes = modes.clone();
                let connection = Connection {
                    number,
                    modes,
                    unheard: Arc::clone(&unheard),
                };
                tokio::spawn(relay(client, upstream, connection));
            }
        });
        Self {
            address,
            mode,
            connections,
            unheard,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what becomes of connections.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Makes all that there are silent.
    pub(crate) fn silence(&self) {
        self.set(Mode::Silent(self.connections.load(Ordering::SeqCst)));
    }

    /// How often something was sent on a silent one.
    pub(crate) fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::SeqCst)
    }

    /// The same where they are in this mode now. False: they are not.
    pub(crate) fn set_if(&self, now: Mode, mode: Mode) -> bool {
        self.mode.send_if_modified(|current| {
            let is_so = *current == now;
            if is_so {
                *current = mode;
            }
            is_so
        })
    }
}

/// One that was accepted.
#[derive(Clone)]
struct Connection {
    number: u64,
    modes: watch::Receiver<Mode>,
    unheard: Arc<AtomicU64>,
}

async fn relay(mut client: TcpStream, upstream: SocketAddr, connection: Connection) {
    let mut modes = connection.modes.clone();
    let decided = modes.wait_for(|mode| *mode != Mode::Stall).await;
    let is_served = decided.is_ok_and(|mode| *mode != Mode::Cut);
    if !is_served {
        return;
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return;
    };
    // The database's client waits for small answers: none must wait to be sent together with the next.
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // Whichever end goes first, nothing more is asked or answered.
    tokio::select! {
        () = pump(from_client, to_server, connection.clone()) => {}
        () = pump(from_server, to_client, connection.clone()) => {}
        _ = modes.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

/// Passes on one way, until it is cut or an end is gone.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    connection: Connection,
) {
    let Connection {
        number,
        mut modes,
        unheard,
    } = connection;
    let mut chunk = [0; CHUNK];
    // How many bytes went since it was said that there is an end to them.
    let mut counted = 0;
    loop {
        let Ok(mut length @ 1..) = from.read(&mut chunk).await else {
            return;
        };
        let mode = modes.wait_for(|mode| *mode != Mode::Stall).await;
        let Ok(mode) = mode.map(|mode| *mode) else {
            return;
        };
        counted = match mode {
            Mode::CutAfter(_) => counted + length,
            _ => 0,
        };
        let mut is_last = false;
        match mode {
            Mode::Silent(last) if number <= last => {
                unheard.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            }
            Mode::Delay(delay) => sleep(delay).await,
            Mode::Uneven(delay, which) if is_slow(number, which) => sleep(delay).await,
            Mode::CutAfter(limit) if counted > limit => {
                length = length.saturating_sub(counted - limit);
                is_last = true;
            }
            _ => {}
        }
        if to.write_all(&chunk[..length]).await.is_err() || is_last {
            return;
        }
    }
}

/// Half of the connections are, and another half for each `which`.
fn is_slow(connection: u64, which: u64) -> bool {
    let mixed = (connection ^ which).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 63 == 1
}
