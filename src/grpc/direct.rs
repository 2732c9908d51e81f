//! The shortest way to AuthorizationService: past the router, which costs a tenth of a whole call.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::{Api, DECISIONS};
use crate::pb::authorization_service_server::AuthorizationServiceServer;

/// Puts AuthorizationService beside the routes to everything else.
#[derive(Clone)]
pub struct DirectLayer {
    decisions: AuthorizationServiceServer<Api>,
}

impl DirectLayer {
    /// To this API.
    pub fn new(api: &Api) -> Self {
        Self {
            decisions: api.authorization(),
        }
    }
}

impl<S> Layer<S> for DirectLayer {
    type Service = Direct<S>;

    fn layer(&self, others: S) -> Direct<S> {
        Direct {
            decisions: self.decisions.clone(),
            others,
        }
    }
}

/// AuthorizationService and the rest.
#[derive(Clone)]
pub struct Direct<S> {
    decisions: AuthorizationServiceServer<Api>,
    others: S,
}

impl<S> Service<Request<Body>> for Direct<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.others.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match request.uri().path().starts_with(DECISIONS) {
            true => Either::Decision(self.decisions.call(request)),
            false => Either::Other(self.others.call(request)),
        }
    }
}

type Answer = Result<Response<Body>, Infallible>;

/// The answer of either.
pub enum Either<F> {
    /// Of AuthorizationService.
    Decision(Pin<Box<dyn Future<Output = Answer> + Send>>),
    /// Of another.
    Other(F),
}

impl<F: Future<Output = Answer> + Unpin> Future for Either<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match &mut *self {
            Self::Decision(call) => call.as_mut().poll(context),
            Self::Other(call) => Pin::new(call).poll(context),
        }
    }
}
