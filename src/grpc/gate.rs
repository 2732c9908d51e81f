//! The gate: who is calling, and whether they may call this.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{Extensions, HeaderMap, HeaderName, header::AUTHORIZATION};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tonic::Request;

use super::peer::Peer;
use crate::domain::{
    caller::{Caller, Callers, Grant, KnownCallers},
    error::Error,
    ids::CallerName,
    limiter::Limiter,
    spiffe::Certificate,
    time::Clock,
};

/// The metadata key of a service key.
const KEY: HeaderName = HeaderName::from_static("x-countersign-key");

/// How many failed authentications a peer may have in a second.
const FAILURES_PER_SECOND: u32 = 10;
/// How many requests by secret a caller may make in a second: they could be used to try secrets.
const BY_SECRET_PER_SECOND: u32 = 20;

/// The longest that a certificate's expiry is waited for before the time is looked at again.
const LONGEST_TIMER: Duration = Duration::from_secs(24 * 60 * 60);

/// The caller of a request, as the guard found it before anything of the message was read.
#[derive(Clone)]
pub(super) struct Authenticated {
    pub(super) caller: Arc<Caller>,
    /// When the call began, from which its deadline counts.
    pub(super) began: Instant,
}

/// When the call with these extensions began, for whoever has to end before its deadline.
pub(super) fn began(extensions: &Extensions) -> Instant {
    let authenticated = extensions.get::<Authenticated>();
    authenticated.map_or_else(Instant::now, |authenticated| authenticated.began)
}

/// The admission to a stream, which may outlive the credential or the grant that it was opened with.
pub struct Admission {
    gate: Arc<Gate>,
    replaced: watch::Receiver<()>,
    headers: HeaderMap,
    peer: Option<Peer>,
    grant: Grant,
}

impl Admission {
    /// Waits until other callers are admitted and this one is no longer among them, or until the certificate that it has
    /// shown expires, and tells why.
    pub async fn end(&mut self) -> Error {
        loop {
            let caller = self.gate.identify(&self.headers, self.peer.as_ref());
            if let Err(error) = caller.and_then(|caller| caller.require_any(&[self.grant])) {
                return error;
            }
            let changed = self.replaced.changed();
            match self.gate.remaining(self.peer.as_ref()) {
                Some(remaining) => drop(timeout(remaining, changed).await),
                // One that has expired is not what this was admitted by.
                None => drop(changed.await),
            }
        }
    }
}

/// Admits callers.
pub struct Gate {
    callers: ArcSwap<Callers>,
    /// Told whenever they are replaced.
    replaced: watch::Sender<()>,
    failures: Limiter<IpAddr>,
    by_secret: Limiter<CallerName>,
    clock: Clock,
    on_failure: Option<Observer>,
}

type Observer = Box<dyn Fn(&Error) + Send + Sync>;

impl Gate {
    /// A gate for these callers.
    pub fn new(callers: Callers, clock: Clock) -> Self {
        Self {
            callers: ArcSwap::from_pointee(callers),
            replaced: watch::Sender::new(()),
            failures: Limiter::new(FAILURES_PER_SECOND),
            by_secret: Limiter::new(BY_SECRET_PER_SECOND),
            clock,
            on_failure: None,
        }
    }

    /// The same gate, which calls back with every failed authentication.
    #[must_use]
    pub fn on_failure(mut self, observer: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Box::new(observer));
        self
    }

    /// Admits these callers from now on, and no others.
    pub fn replace_callers(&self, callers: Callers) {
        self.callers.store(Arc::new(callers));
        self.replaced.send_replace(());
    }

    /// The caller of this request, if it has at least one of these grants.
    pub fn admit<T>(&self, request: &Request<T>, grants: &[Grant]) -> Result<Arc<Caller>, Error> {
        let caller = match request.extensions().get::<Authenticated>() {
            Some(Authenticated { caller, .. }) => Arc::clone(caller),
            None => self.authenticate(request.metadata().as_ref(), request.extensions())?,
        };
        caller.require_any(grants)?;
        Ok(caller)
    }

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

    /// The caller of a request with these headers, whatever it may do. Nothing of its message is needed.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Arc<Caller>, Error> {
        let peer = Peer::of(extensions);
        let error = match self.identify(headers, peer) {
            Ok(caller) => return Ok(caller),
            Err(error) => error,
        };
        if let Some(observer) = &self.on_failure {
            observer(&error);
        }
        let address = peer.and_then(|peer| peer.address);
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.failures.admit(address, self.clock.now())?;
        let certificate = peer.and_then(Peer::certificate);
        tracing::warn!(
            peer = %address,
            reason = error.reason(),
            certificate = certificate.map(|shown| self.tell(shown)),
            "a caller was not authenticated"
        );
        Err(error)
    }

    /// Counts a request by secret against its caller's limit.
    pub fn limit_by_secret(&self, caller: &Caller) -> Result<(), Error> {
        self.by_secret.admit(caller.name.clone(), self.clock.now())
    }

    fn identify(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Arc<Caller>, Error> {
        let callers = self.callers.load();
        let known = match &**callers {
            Callers::Open(caller) => return Ok(Arc::clone(caller)),
            Callers::Known(known) => known,
        };
        let mut keys = headers.get_all(&KEY).iter();
        let (first, second) = (keys.next(), keys.next());
        // What other credentials come in. None of them is accepted: not a personal access token either.
        let other = headers.get(&AUTHORIZATION);
        let certificate = peer.and_then(Peer::certificate);
        // One that names no caller is there for the transport only, and no credential.
        let certified = certificate.and_then(|shown| Some((shown, named(known, shown)?)));
        match (first, second, other, certified) {
            (Some(key), None, None, None) => key
                .to_str()
                .ok()
                .and_then(|key| known.find_by_key(key))
                .ok_or(Error::CredentialInvalid),
            (None, _, None, Some((shown, caller))) => match shown.has_expired(self.clock.now()) {
                false => Ok(Arc::clone(caller)),
                true => Err(Error::CredentialInvalid),
            },
            (None, _, None, None) => match certificate {
                Some(shown) if !shown.is_for_transport_only() => Err(Error::CredentialInvalid),
                _ => Err(Error::CredentialMissing),
            },
            (None, _, Some(_), None) => Err(Error::CredentialInvalid),
            _ => Err(Error::CredentialAmbiguous),
        }
    }

    /// How long the certificate that was shown still counts, if there is one that does.
    fn remaining(&self, peer: Option<&Peer>) -> Option<Duration> {
        let certificate = peer?.certificate()?;
        let now = self.clock.now();
        let millis = certificate.not_after.0.checked_sub(now.0)?.checked_add(1)?;
        let millis = u64::try_from(millis).ok().filter(|&millis| millis > 0)?;
        // No longer than timers can count.
        Some(Duration::from_millis(millis).min(LONGEST_TIMER))
    }

    /// What a certificate says, for the log.
    fn tell(&self, shown: &Certificate) -> String {
        let id = match &shown.id {
            Ok(id) => id,
            Err(why) => return format!("it names no workload: {why}"),
        };
        let callers = self.callers.load();
        match &**callers {
            Callers::Known(known) if known.find_by_workload(id).is_none() => {
                format!("it names `{id}`, which is no caller")
            }
            _ if shown.has_expired(self.clock.now()) => {
                format!("it names `{id}`, and has expired")
            }
            _ => format!("it names `{id}`"),
        }
    }
}

/// The caller that a certificate names, whether or not it still counts.
fn named<'a>(known: &'a KnownCallers, shown: &Certificate) -> Option<&'a Arc<Caller>> {
    known.find_by_workload(shown.id.as_ref().ok()?)
}
