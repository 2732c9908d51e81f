//! The gate: who is calling, and whether they may call this.

mod admission;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{Extensions, HeaderMap, HeaderName, header::AUTHORIZATION};
use tokio::{sync::watch, time::Instant};
use tonic::Request;

pub(super) use self::admission::Admission;
use super::peer::Peer;
use crate::{
    domain::{
        caller::{Caller, Callers, Grant, KnownCallers},
        error::Error,
        identity_token::Refused,
        ids::CallerName,
        issuer::Issuer,
        limiter::Limiter,
        secret::without_scheme,
        spiffe::Certificate,
        time::{Clock, Timestamp},
    },
    identity::{Identities, KeyMissing, Progress, Unidentified, Vitals},
};

/// The metadata key of a service key.
const KEY: HeaderName = HeaderName::from_static("x-countersign-key");

/// How many failed authentications a peer may have in a second.
const FAILURES_PER_SECOND: u32 = 10;
/// How many requests by secret a caller may make in a second: they could be used to try secrets.
const BY_SECRET_PER_SECOND: u32 = 20;
/// How many lines a second tell of callers that cannot be told from strangers now.
const OUTAGES_PER_SECOND: u32 = 1;

/// The caller of a request, as the guard found it before anything of the message was read.
#[derive(Clone)]
pub(super) struct Authenticated {
    pub(super) caller: Arc<Caller>,
    /// When the call began, from which its deadline counts.
    pub(super) began: Instant,
}

impl Authenticated {
    /// Refuses a caller that may not.
    pub(super) fn may_ask_for_decisions(&self) -> Result<(), Error> {
        self.caller.require_any(&[Grant::Authorize])
    }
}

/// Admits callers.
pub struct Gate {
    admitted: ArcSwap<Admitted>,
    /// Told whenever they are replaced.
    replaced: watch::Sender<()>,
    failures: Limiter<IpAddr>,
    outages: Limiter<()>,
    by_secret: Limiter<CallerName>,
    clock: Clock,
    on_failure: Option<Observer>,
}

/// Who is admitted, and whose word is taken for who they are. Replaced together.
struct Admitted {
    callers: Callers,
    identities: Identities,
}

type Observer = Box<dyn Fn(&Error, Option<&Refused>) + Send + Sync>;

/// Why there is no caller.
pub(super) enum NotYet {
    /// There will be none.
    Refused(Error),
    /// There may be one once keys have been fetched.
    KeyMissing(KeyMissing),
}

/// A caller.
struct Identified {
    caller: Arc<Caller>,
    /// When what it has shown expires, where that is a token.
    expires_at: Option<Timestamp>,
}

/// Why there is none.
enum Unknown {
    Credential(Error),
    Token(Refused),
    KeyMissing(KeyMissing),
}

impl Unknown {
    /// What is answered, and what there is to tell of the token.
    fn told(self) -> (Error, Option<Refused>) {
        let refused = match self {
            Self::Credential(error) => return (error, None),
            Self::Token(refused) => refused,
            Self::KeyMissing(missing) => missing.refused(),
        };
        let error = match refused {
            Refused::KeysMissing(_) => Error::IdentityUnavailable,
            _ => Error::CredentialInvalid,
        };
        (error, Some(refused))
    }
}

impl From<Error> for Unknown {
    fn from(error: Error) -> Self {
        Self::Credential(error)
    }
}

impl Gate {
    /// A gate for these callers, some of whom may show tokens.
    pub fn new(callers: Callers, identities: Identities, clock: Clock) -> Self {
        let admitted = Admitted {
            callers,
            identities,
        };
        Self {
            admitted: ArcSwap::from_pointee(admitted),
            replaced: watch::Sender::new(()),
            failures: Limiter::new(FAILURES_PER_SECOND),
            outages: Limiter::new(OUTAGES_PER_SECOND),
            by_secret: Limiter::new(BY_SECRET_PER_SECOND),
            clock,
            on_failure: None,
        }
    }

    /// The same gate, which calls back with every failed authentication, and why a token that was shown is no good.
    #[must_use]
    pub fn on_failure(
        mut self,
        observer: impl Fn(&Error, Option<&Refused>) + Send + Sync + 'static,
    ) -> Self {
        self.on_failure = Some(Box::new(observer));
        self
    }

    /// Admits these callers from now on, and no others.
    pub fn replace_callers(&self, callers: Callers, issuers: &[Issuer]) {
        let identities = self.admitted.load().identities.replaced(issuers);
        let admitted = Admitted {
            callers,
            identities,
        };
        self.admitted.store(Arc::new(admitted));
        self.replaced.send_replace(());
    }

    /// Waits until the keys of each issuer have been fetched, or not for so long.
    pub async fn warm_up(&self, patience: Duration) {
        // Not held while waiting: it may be replaced.
        let admitted = self.admitted.load_full();
        admitted.identities.warm_up(patience).await;
    }

    /// How the issuers of tokens are.
    pub fn issuers(&self) -> Vitals {
        self.admitted.load().identities.vitals()
    }

    /// The caller of this request, if it has at least one of these grants.
    pub fn admit<T>(&self, request: &Request<T>, grants: &[Grant]) -> Result<Arc<Caller>, Error> {
        let caller = match request.extensions().get::<Authenticated>() {
            Some(Authenticated { caller, .. }) => Arc::clone(caller),
            None => self.authenticate_now(request.metadata().as_ref(), request.extensions())?,
        };
        caller.require_any(grants)?;
        Ok(caller)
    }

    /// The same for a decision, and when its call began. There are so many of these that what the guard found is taken, not
    /// shared: whoever counts who has it is on another processor as often as not.
    pub(super) fn admit_decision<T>(
        &self,
        request: &mut Request<T>,
    ) -> Result<Authenticated, Error> {
        let authenticated = match request.extensions_mut().remove() {
            Some(authenticated) => authenticated,
            None => Authenticated {
                caller: self.authenticate_now(request.metadata().as_ref(), request.extensions())?,
                began: Instant::now(),
            },
        };
        authenticated.may_ask_for_decisions()?;
        Ok(authenticated)
    }

    /// The caller of a request with these headers, whatever it may do. Nothing of its message is needed.
    pub(super) fn authenticate(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Arc<Caller>, NotYet> {
        let peer = Peer::of(extensions);
        match self.identify(headers, peer) {
            Ok(identified) => Ok(identified.caller),
            Err(Unknown::KeyMissing(missing)) => Err(NotYet::KeyMissing(missing)),
            Err(unknown) => Err(NotYet::Refused(self.refuse(unknown, peer))),
        }
    }

    /// The same, where nothing can be waited for.
    pub fn authenticate_now(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Arc<Caller>, Error> {
        self.authenticate(headers, extensions)
            .map_err(|not_yet| match not_yet {
                NotYet::Refused(error) => error,
                NotYet::KeyMissing(missing) => {
                    let fetched = missing.fetch().map(|_| missing.unknown_yet());
                    let refused = fetched.unwrap_or_else(|refused| refused);
                    self.refuse(Unknown::Token(refused), Peer::of(extensions))
                }
            })
    }

    /// The same, once the keys have been fetched that were missing, or cannot be before the deadline.
    pub(super) async fn authenticate_later(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
        (missing, deadline): (KeyMissing, Instant),
    ) -> Result<Arc<Caller>, Error> {
        let peer = Peer::of(extensions);
        let mut waiting = match missing.fetch() {
            Ok(waiting) => waiting,
            Err(refused) => return Err(self.refuse(Unknown::Token(refused), peer)),
        };
        let unknown = loop {
            let progress = waiting.next(deadline).await;
            match (self.identify(headers, peer), progress) {
                (Ok(identified), _) => return Ok(identified.caller),
                (Err(Unknown::KeyMissing(missing)), Progress::Early)
                    if missing.fetch_again(&mut waiting) => {}
                (Err(Unknown::KeyMissing(missing)), Progress::TooLate) => {
                    break Unknown::Token(missing.unknown_yet());
                }
                (Err(unknown), _) => break unknown,
            }
        };
        Err(self.refuse(unknown, peer))
    }

    /// Counts a request by secret against its caller's limit.
    pub fn limit_by_secret(&self, caller: &Caller) -> Result<(), Error> {
        self.by_secret.admit(caller.name.clone(), self.clock.now())
    }

    /// Tells of a failure, as far as the log should bear it, and what to answer.
    fn refuse(&self, unknown: Unknown, peer: Option<&Peer>) -> Error {
        let (error, token) = unknown.told();
        if let Some(observer) = &self.on_failure {
            observer(&error, token.as_ref());
        }
        let address = peer.and_then(|peer| peer.address);
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let now = self.clock.now();
        if error == Error::IdentityUnavailable {
            // No fault of the peer's, and so not counted against it.
            if self.outages.admit((), now).is_err() {
                return error;
            }
        } else if let Err(too_many) = self.failures.admit(address, now) {
            return too_many;
        }
        let certificate = peer.and_then(Peer::certificate);
        tracing::warn!(
            peer = %address,
            reason = error.reason(),
            certificate = certificate.map(|shown| self.tell(shown)),
            identity_token = token.map(|refused| refused.to_string()),
            "a caller was not authenticated"
        );
        error
    }

    fn identify(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Identified, Unknown> {
        let admitted = self.admitted.load();
        let known = match &admitted.callers {
            Callers::Open(caller) => return Ok(Identified::by_other(Arc::clone(caller))),
            Callers::Known(known) => known,
        };
        let mut keys = headers.get_all(&KEY).iter();
        let (first, second) = (keys.next(), keys.next());
        let other = headers.get(&AUTHORIZATION);
        let certificate = peer.and_then(Peer::certificate);
        // One that names no caller is there for the transport only, and no credential.
        let certified = certificate.and_then(|shown| Some((shown, named(known, shown)?)));
        let found = match (first, second, other, certified) {
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
            (None, _, Some(_), None) => {
                return by_token(headers, known, &admitted.identities);
            }
            _ => Err(Error::CredentialAmbiguous),
        };
        found.map(Identified::by_other).map_err(Unknown::from)
    }

    /// What a certificate says, for the log.
    fn tell(&self, shown: &Certificate) -> String {
        let id = match &shown.id {
            Ok(id) => id,
            Err(why) => return format!("it names no workload: {why}"),
        };
        let admitted = self.admitted.load();
        match &admitted.callers {
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

impl Identified {
    /// By what does not expire by itself.
    fn by_other(caller: Arc<Caller>) -> Self {
        Self {
            caller,
            expires_at: None,
        }
    }
}

/// The caller whom the only token names.
fn by_token(
    headers: &HeaderMap,
    known: &KnownCallers,
    identities: &Identities,
) -> Result<Identified, Unknown> {
    let mut values = headers.get_all(&AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Error::CredentialAmbiguous.into());
    };
    if identities.is_empty() {
        return Err(Error::CredentialInvalid.into());
    }
    let text = value
        .to_str()
        .map_err(|_| Unknown::Token(Refused::Malformed))?;
    match identities.identify(without_scheme(text), known) {
        Ok(identified) => Ok(Identified {
            caller: identified.caller,
            expires_at: Some(identified.expires_at),
        }),
        Err(Unidentified::Refused(refused)) => Err(Unknown::Token(refused)),
        Err(Unidentified::KeyMissing(missing)) => Err(Unknown::KeyMissing(missing)),
    }
}

/// The caller that a certificate names, whether or not it still counts.
fn named<'a>(known: &'a KnownCallers, shown: &Certificate) -> Option<&'a Arc<Caller>> {
    known.find_by_workload(shown.id.as_ref().ok()?)
}
