//! How much a server takes on. The defaults are what is served with; tests lower them to reach the edges.

use std::time::Duration;

use crate::grpc::CallLimits;

/// The bounds of connections and of the calls in them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many connections are served at once. A caller needs one; more are cut off, so that memory stays bounded.
    pub connections: usize,
    /// How long a TLS handshake may take, and after it the client until it says its first word.
    pub handshake: Duration,
    /// How many calls one connection may have open at once.
    pub streams: u32,
    /// How large the headers of a call may be together, in bytes.
    pub headers: u32,
    /// How long a connection may be silent before it is asked whether it is still there.
    pub keepalive_interval: Duration,
    /// How long the answer to that may take.
    pub keepalive_timeout: Duration,
    /// After how long a connection is told to go away, so that callers spread over replicas that were added. Each process
    /// adds up to a tenth, so that not all do so at once.
    pub connection_age: Duration,
    /// How long calls in flight then have to end before the connection is cut.
    pub connection_grace: Duration,
    /// After how long it is written which tokens were used: half of the minute within which that is on record, so that there
    /// is time to try again.
    pub use_interval: Duration,
    /// How often tokens are looked for that are about to expire or have expired, give or take a half.
    pub notice_interval: Duration,
    /// How often events are looked for that are too old to be kept, give or take a half.
    pub retention_interval: Duration,
    /// Of the calls, whatever the connection.
    pub calls: CallLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshake: Duration::from_secs(5),
            streams: 256,
            headers: 16 << 10,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            connection_age: Duration::from_secs(10 * 60),
            connection_grace: Duration::from_secs(30),
            use_interval: Duration::from_secs(30),
            notice_interval: Duration::from_secs(30),
            retention_interval: Duration::from_secs(10 * 60),
            calls: CallLimits::default(),
        }
    }
}

impl Limits {
    /// The same, with a tenth of the connection's age at most added to it, differently in each process.
    pub(super) fn with_jitter(mut self) -> Self {
        let mut byte = [0];
        if getrandom::fill(&mut byte).is_ok() {
            self.connection_age += self.connection_age / 10 * u32::from(byte[0]) / 255;
        }
        self
    }
}
