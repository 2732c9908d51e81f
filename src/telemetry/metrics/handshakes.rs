//! The metric of TLS handshakes that fail.

use prometheus::{Error, IntCounter, Registry};

use super::family::counters;

/// Why a TLS handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The client has shown no certificate, and must.
    CertificateMissing,
    /// It is of another authority.
    AuthorityUnknown,
    /// It is out of date.
    CertificateExpired,
    /// It is wrong in another way: not yet valid, say, or not for clients.
    CertificateInvalid,
    /// It did not come to an end in time.
    TooSlow,
    /// The client refused the server, spoke something else, or went away.
    Other,
}

impl HandshakeFailure {
    /// All of them, in the order in which they are defined.
    const ALL: [Self; 6] = [
        Self::CertificateMissing,
        Self::AuthorityUnknown,
        Self::CertificateExpired,
        Self::CertificateInvalid,
        Self::TooSlow,
        Self::Other,
    ];

    /// The label, and the reason in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CertificateMissing => "CERTIFICATE_MISSING",
            Self::AuthorityUnknown => "AUTHORITY_UNKNOWN",
            Self::CertificateExpired => "CERTIFICATE_EXPIRED",
            Self::CertificateInvalid => "CERTIFICATE_INVALID",
            Self::TooSlow => "TOO_SLOW",
            Self::Other => "OTHER",
        }
    }
}

/// How many failed, by why.
pub(super) struct HandshakeFailures(Vec<IntCounter>);

impl HandshakeFailures {
    pub(super) fn new(registry: &Registry) -> Result<Self, Error> {
        let family = counters(
            registry,
            "countersign_tls_handshake_failures_total",
            "TLS handshakes that failed, by reason.",
            &["reason"],
        )?;
        let children = HandshakeFailure::ALL
            .iter()
            .map(|failure| family.get_metric_with_label_values(&[failure.as_str()]));
        children.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn count(&self, failure: HandshakeFailure) {
        if let Some(counter) = self.0.get(failure as usize) {
            counter.inc();
        }
    }
}
