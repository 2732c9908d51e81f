//! Where a call comes from: what is known of its connection, found out once and not with every call.

use std::{net::IpAddr, sync::Arc};

use http::Extensions;

use crate::domain::spiffe::Certificate;

/// The other end of a connection.
#[derive(Clone)]
pub struct Peer {
    /// Where it is.
    pub address: Option<IpAddr>,
    /// What it has shown, verified, if it has.
    pub certificate: Option<Arc<Certificate>>,
}

impl Peer {
    /// The peer of the call with these extensions, where the transport put it.
    pub(super) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Self>()
    }

    pub(super) fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_deref()
    }
}
