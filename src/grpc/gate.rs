//! The gate: who is calling, and whether they may call this.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use arc_swap::ArcSwap;
use http::{Extensions, HeaderMap, HeaderName, header::AUTHORIZATION};
use tokio::{sync::watch, time::Instant};
use tonic::{Request, transport::server::TcpConnectInfo};

use crate::domain::{
    caller::{Caller, Callers, Grant},
    error::Error,
    ids::CallerName,
    limiter::Limiter,
    time::Clock,
};

/// The metadata key of a service key.
const KEY: HeaderName = HeaderName::from_static("x-countersign-key");

/// How many failed authentications a peer may have in a second.
const FAILURES_PER_SECOND: u32 = 10;
/// How many requests by secret a caller may make in a second: they could be used to try secrets.
const BY_SECRET_PER_SECOND: u32 = 20;

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

/// The admission to a stream, which may outlive the key or the grant that it was opened with.
pub struct Admission {
    gate: Arc<Gate>,
    replaced: watch::Receiver<()>,
    headers: HeaderMap,
    grant: Grant,
}

impl Admission {
    /// Waits until other callers are admitted and this one is no longer among them, and tells why.
    pub async fn end(&mut self) -> Error {
        while self.replaced.changed().await.is_ok() {
            let caller = self.gate.identify(&self.headers);
            if let Err(error) = caller.and_then(|caller| caller.require_any(&[self.grant])) {
                return error;
            }
        }
        Error::CredentialInvalid
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
            grant,
        })
    }

    /// The caller of a request with these headers, whatever it may do. Nothing of its message is needed.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Arc<Caller>, Error> {
        let error = match self.identify(headers) {
            Ok(caller) => return Ok(caller),
            Err(error) => error,
        };
        if let Some(observer) = &self.on_failure {
            observer(&error);
        }
        let peer = extensions
            .get::<TcpConnectInfo>()
            .and_then(TcpConnectInfo::remote_addr)
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |addr| addr.ip());
        self.failures.admit(peer, self.clock.now())?;
        tracing::warn!(peer = %peer, reason = error.reason(), "a caller was not authenticated");
        Err(error)
    }

    /// Counts a request by secret against its caller's limit.
    pub fn limit_by_secret(&self, caller: &Caller) -> Result<(), Error> {
        self.by_secret.admit(caller.name.clone(), self.clock.now())
    }

    fn identify(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Error> {
        let callers = self.callers.load();
        if let Callers::Open(caller) = &**callers {
            return Ok(Arc::clone(caller));
        }
        let mut keys = headers.get_all(&KEY).iter();
        let (first, second) = (keys.next(), keys.next());
        // What other credentials come in. None of them is accepted: not a personal access token either.
        let other = headers.get(&AUTHORIZATION);
        match (first, second, other) {
            (None, _, None) => Err(Error::CredentialMissing),
            (None, _, Some(_)) => Err(Error::CredentialInvalid),
            (Some(key), None, None) => key
                .to_str()
                .ok()
                .and_then(|key| callers.find_by_key(key))
                .ok_or(Error::CredentialInvalid),
            (Some(_), _, _) => Err(Error::CredentialAmbiguous),
        }
    }
}
