//! The admission to a stream, which may outlive the credential or the grant that it was opened with.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use tokio::{sync::watch, time::timeout};
use tonic::Request;

use super::Gate;
use crate::{
    domain::{caller::Grant, error::Error, time::Timestamp},
    grpc::peer::Peer,
};

/// The longest that an expiry is waited for before the time is looked at again.
const LONGEST_TIMER: Duration = Duration::from_secs(24 * 60 * 60);

/// The admission to a stream.
pub struct Admission {
    gate: Arc<Gate>,
    replaced: watch::Receiver<()>,
    headers: HeaderMap,
    peer: Option<Peer>,
    grant: Grant,
}

impl Admission {
    /// Waits until other callers are admitted and this one is no longer among them, or until the certificate or the token
    /// that it has shown expires, and tells why.
    pub async fn end(&mut self) -> Error {
        loop {
            let identified = self.gate.identify(&self.headers, self.peer.as_ref());
            let expires_at = match identified {
                Ok(identified) => match identified.caller.require_any(&[self.grant]) {
                    Ok(()) => identified.expires_at,
                    Err(error) => return error,
                },
                Err(unknown) => return unknown.told().0,
            };
            let remaining = self.remaining(expires_at);
            let changed = self.replaced.changed();
            match remaining {
                Some(remaining) => drop(timeout(remaining, changed).await),
                // One that has expired is not what this was admitted by.
                None => drop(changed.await),
            }
        }
    }

    /// How long what was shown still counts, if there is anything of which that can be told.
    fn remaining(&self, token_expires_at: Option<Timestamp>) -> Option<Duration> {
        let certificate = self.peer.as_ref().and_then(Peer::certificate);
        let last = match (token_expires_at, certificate) {
            // It counts until just before, a certificate until just after.
            (Some(expires_at), _) => expires_at.0.checked_sub(1)?,
            (None, Some(certificate)) => certificate.not_after.0,
            (None, None) => return None,
        };
        let now = self.gate.clock.now();
        let millis = last.checked_sub(now.0)?.checked_add(1)?;
        let millis = u64::try_from(millis).ok().filter(|&millis| millis > 0)?;
        // No longer than timers can count.
        Some(Duration::from_millis(millis).min(LONGEST_TIMER))
    }
}

impl Gate {
    /// Admits the caller of this request to a stream, for as long as it may go on.
    pub fn admit_to_stream<T>(
        self: &Arc<Self>,
        request: &Request<T>,
        grant: Grant,
    ) -> Result<Admission, Error> {
        // From before the callers are asked: none that come in between are missed.
        let replaced = self.replaced.subscribe();
        self.admit(request, &[grant])?;
        Ok(Admission {
            gate: Arc::clone(self),
            replaced,
            headers: request.metadata().as_ref().clone(),
            peer: Peer::of(request.extensions()).cloned(),
            grant,
        })
    }
}
