//! How TLS handshakes fail.

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
    /// All of them.
    pub(super) const ALL: [Self; 6] = [
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
