//! A TCP proxy before the database, which stalls, passes or cuts.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are accepted, and nothing more happens.
    Stall,
    /// They reach the database.
    Pass,
    /// They are cut, and new ones are refused service.
    Cut,
}

/// A proxy in this process.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// Before this address, at first in this mode.
    pub(crate) async fn start(upstream: SocketAddr, mode: Mode) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let (mode, modes) = watch::channel(mode);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, upstream, modes.clone()));
            }
        });
        Self { address, mode }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what becomes of connections, those that there are too.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn relay(mut client: TcpStream, upstream: SocketAddr, mut modes: watch::Receiver<Mode>) {
    let decided = modes.wait_for(|mode| *mode != Mode::Stall).await;
    let is_passed = decided.is_ok_and(|mode| *mode == Mode::Pass);
    if !is_passed {
        return;
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = modes.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}
