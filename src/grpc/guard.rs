//! What every call passes through before its handler: who calls, a bound on how many run at once, a deadline, and errors of
//! the transport turned into ours.
//!
//! They are our own because tonic's answers to the same faults carry no details and other codes.

use std::{
    future::ready,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderName, Request, Response};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{
    Api, DECISIONS, MAX_MESSAGE,
    gate::{Authenticated, Gate, NotYet},
    methods::may_change,
};
use crate::{
    domain::{caller::Caller, error::Error},
    identity::KeyMissing,
    service,
};

/// What our own services' paths begin with. The streams of health and reflection, which are not ours, end when they end.
const OURS: &str = "/countersign.v1.";
/// Open to anyone, and answered when all else is busy.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
/// Those that may wait for the replicas: the longest staleness bound longer than others.
const REVOKE_TOKEN: &str = "/countersign.v1.TokenService/RevokeToken";
const REVOKE_TOKENS: &str = "/countersign.v1.TokenService/RevokeTokens";
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long a call waits for the keys that its caller's token is to be verified by.
const LONGEST_FETCH: Duration = Duration::from_secs(2);

/// How many calls run, and for how long.
#[derive(Debug, Clone)]
pub struct CallLimits {
    /// How many decisions run at once. Those that memory can make end at once; of the others a limit of their own counts, so
    /// that they do not keep these away. More are refused rather than kept waiting.
    pub decisions_at_once: usize,
    /// How many other calls run at once.
    pub others_at_once: usize,
    /// How many checks of health run at once, beside those.
    pub health_checks_at_once: usize,
    /// How long a decision may take.
    pub decision_deadline: Duration,
    /// How long any other call may take.
    pub other_deadline: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            decisions_at_once: 16_384,
            others_at_once: 1024,
            health_checks_at_once: 1024,
            decision_deadline: Duration::from_millis(250),
            other_deadline: Duration::from_secs(10),
        }
    }
}

/// How tonic tells in which ways a message may be compressed.
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Adds the guard to a service.
#[derive(Clone)]
pub struct GuardLayer(Arc<Shared>);

/// What all calls share.
struct Shared {
    limits: CallLimits,
    decisions: Arc<Semaphore>,
    others: Arc<Semaphore>,
    health_checks: Arc<Semaphore>,
    gate: Arc<Gate>,
    service: service::Service,
}

impl GuardLayer {
    /// One for all connections of a server.
    pub fn new(limits: CallLimits, api: &Api) -> Self {
        Self(Arc::new(Shared {
            decisions: Arc::new(Semaphore::new(limits.decisions_at_once)),
            others: Arc::new(Semaphore::new(limits.others_at_once)),
            health_checks: Arc::new(Semaphore::new(limits.health_checks_at_once)),
            limits,
            gate: Arc::clone(&api.gate),
            service: api.service.clone(),
        }))
    }
}

impl Shared {
    /// A place for a call of this path, and how long it has. What would be refused for want of a turn is refused here, before
    /// its message is read and its change prepared, so that a flood costs little.
    fn admit(
        &self,
        caller: Option<&Caller>,
        path: &str,
    ) -> Result<(OwnedSemaphorePermit, Duration), Error> {
        let (places, limit, deadline) = self.place_for(path);
        let place = Arc::clone(places).try_acquire_owned();
        let place = place.map_err(|_| Error::Overloaded { limit })?;
        if let Some(caller) = caller
            && !path.starts_with(DECISIONS)
            && may_change(path)
        {
            self.service.admit_change(&caller.name)?;
        }
        Ok((place, deadline))
    }

    /// Among which calls one of this path counts, how many those may be, and how long it has.
    fn place_for(&self, path: &str) -> (&Arc<Semaphore>, usize, Duration) {
        let limits = &self.limits;
        let others = |deadline| (&self.others, limits.others_at_once, deadline);
        match path {
            _ if path.starts_with(DECISIONS) => (
                &self.decisions,
                limits.decisions_at_once,
                limits.decision_deadline,
            ),
            HEALTH_CHECK => (
                &self.health_checks,
                limits.health_checks_at_once,
                limits.other_deadline,
            ),
            REVOKE_TOKEN | REVOKE_TOKENS => others(limits.other_deadline + LONGEST_WAIT),
            _ => others(limits.other_deadline),
        }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            inner,
            shared: Arc::clone(&self.0),
        }
    }
}

/// A service behind the guard.
#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// A request that has passed the guard.
pub struct Admitted {
    pub(super) request: Request<Body>,
    /// Whose it is, where it needs a caller.
    pub(super) authenticated: Option<Authenticated>,
}

type Pending<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S> Guard<S>
where
    S: Service<Admitted, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    /// Goes on as a call of this caller's, or of one that needs none, if there is a place.
    fn call_for(
        &mut self,
        caller: Option<Arc<Caller>>,
        began: Instant,
        request: Request<Body>,
    ) -> Pending<S::Error> {
        let (place, limit) = match self.shared.admit(caller.as_deref(), request.uri().path()) {
            Ok(admitted) => admitted,
            Err(error) => return Box::pin(ready(Ok(answer(error)))),
        };
        let deadline = limit.min(asked_for(request.headers()).unwrap_or(limit));
        let call = self.inner.call(Admitted {
            request,
            authenticated: caller.map(|caller| Authenticated { caller, began }),
        });
        Box::pin(run(call, (began, deadline), place))
    }

    /// Goes on once keys have been fetched, by which the caller may be known. Others do not wait with it.
    fn call_later(&mut self, request: Request<Body>, missing: KeyMissing) -> Pending<S::Error> {
        // What has been found ready stays with the call.
        let other = self.clone();
        let mut ready = std::mem::replace(self, other);
        let (parts, body) = request.into_parts();
        let patience =
            asked_for(&parts.headers).map_or(LONGEST_FETCH, |asked| asked.min(LONGEST_FETCH));
        let deadline = Instant::now() + patience;
        Box::pin(async move {
            let gate = &ready.shared.gate;
            let found =
                gate.authenticate_later(&parts.headers, &parts.extensions, (missing, deadline));
            match found.await {
                Ok(caller) => {
                    let request = Request::from_parts(parts, body);
                    // What it waited for is no part of the time that the call may take.
                    let call = ready.call_for(Some(caller), Instant::now(), request);
                    call.await
                }
                Err(error) => Ok(answer(error)),
            }
        })
    }
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Admitted, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pending<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let is_health_check = path == HEALTH_CHECK;
        if !is_health_check && !path.starts_with(OURS) {
            let call = self.inner.call(Admitted {
                request,
                authenticated: None,
            });
            return Box::pin(async move { call.await.map(translate_unknown) });
        }
        let began = Instant::now();
        if is_health_check {
            return self.call_for(None, began, request);
        }
        // Before it takes a place and before anything of its message is read: a stranger gets neither.
        let gate = &self.shared.gate;
        match gate.authenticate(request.headers(), request.extensions()) {
            Ok(caller) => self.call_for(Some(caller), began, request),
            Err(NotYet::Refused(error)) => Box::pin(ready(Ok(answer(error)))),
            Err(NotYet::KeyMissing(missing)) => self.call_later(request, missing),
        }
    }
}

async fn run<E>(
    call: impl Future<Output = Result<Response<Body>, E>>,
    (began, deadline): (Instant, Duration),
    _place: OwnedSemaphorePermit,
) -> Result<Response<Body>, E> {
    match tokio::time::timeout_at(began + deadline, call).await {
        Ok(answered) => answered.map(translate),
        Err(_) => Ok(answer(Error::DeadlineExceeded { deadline })),
    }
}

fn answer(error: Error) -> Response<Body> {
    Status::from(error).into_http()
}

/// The deadline that the caller sent: up to eight digits and a unit (the gRPC protocol over HTTP/2, `Timeout`).
fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(&TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Turns what tonic answers by itself, before any handler, into errors of ours. No handler answers these codes.
fn translate(response: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    match status.code() {
        // The length of a message is over the limit.
        Code::OutOfRange => answer(Error::MessageTooLarge { limit: MAX_MESSAGE }),
        // It is no message of the method's type. (Faults of ours are `UNAVAILABLE`, never `INTERNAL`.)
        Code::Internal => answer(Error::MessageMalformed),
        _ => translate_unknown(response),
    }
}

/// The same for what nobody here knows, whosever service it would be of.
fn translate_unknown(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    let Some(status) = Status::from_header_map(headers) else {
        return response;
    };
    match (status.code(), headers.get(&ACCEPT_ENCODING)) {
        (Code::Unimplemented, _) if !status.details().is_empty() => response,
        // The message is compressed in a way that is not among these.
        (Code::Unimplemented, Some(accepted)) => {
            let accepted = accepted.clone();
            let mut refused = answer(Error::EncodingNotSupported);
            refused.headers_mut().insert(ACCEPT_ENCODING, accepted);
            refused
        }
        (Code::Unimplemented, None) => answer(Error::MethodUnknown),
        _ => response,
    }
}
