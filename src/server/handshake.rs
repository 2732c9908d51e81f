//! TLS handshakes: each bounded in time, and those that fail counted and, as far as the log should bear it, told.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, CertificateError},
    server::TlsStream,
};

use super::Limits;
use crate::{
    config::Tls,
    domain::{limiter::Limiter, time::Clock},
    telemetry::{HandshakeFailure, Telemetry},
};

/// How many failures of a peer are logged in a second. All are counted.
const LINES_PER_SECOND: u32 = 20;

/// How handshakes are made, and told of.
pub(super) struct Handshakes {
    limit: Duration,
    lines: Limiter<IpAddr>,
    clock: Clock,
    telemetry: Telemetry,
}

impl Handshakes {
    /// None may take longer than these limits say.
    pub(super) fn new(limits: &Limits, clock: Clock, telemetry: &Telemetry) -> Self {
        Self {
            limit: limits.handshake,
            lines: Limiter::new(LINES_PER_SECOND),
            clock,
            telemetry: telemetry.clone(),
        }
    }

    /// Makes one, or tells why it failed.
    pub(super) async fn accept(
        &self,
        Tls { config, .. }: &Tls,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<TlsStream<TcpStream>> {
        let handshake = TlsAcceptor::from(Arc::clone(config)).accept(stream);
        let (failure, error) = match timeout(self.limit, handshake).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => (kind(&error), error.to_string()),
            Err(_) => (
                HandshakeFailure::TooSlow,
                format!("it took longer than {:?}", self.limit),
            ),
        };
        self.telemetry.count_handshake_failure(failure);
        if self.lines.admit(peer.ip(), self.clock.now()).is_ok() {
            tracing::warn!(
                peer = %peer,
                reason = failure.as_str(),
                error = %error,
                "a TLS handshake failed"
            );
        }
        None
    }
}

fn kind(error: &io::Error) -> HandshakeFailure {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::NoCertificatesPresented) => HandshakeFailure::CertificateMissing,
        Some(rustls::Error::InvalidCertificate(invalid)) => match invalid {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                HandshakeFailure::AuthorityUnknown
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                HandshakeFailure::CertificateExpired
            }
            _ => HandshakeFailure::CertificateInvalid,
        },
        _ => HandshakeFailure::Other,
    }
}
