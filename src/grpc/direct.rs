//! The shortest way to AuthorizationService: past the router, which costs a tenth of a whole call. Authorize goes past the
//! generated server as well, which puts the request into two allocations on its way.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{
    body::Body,
    server::{Grpc, UnaryService},
};
use tower::{Layer, Service};

use super::{
    Api, DECISIONS, MAX_MESSAGE, authorization_service::Deciding, codec::AuthorizeCodec,
    gate::Authenticated, guard::Admitted,
};
use crate::pb::{
    AuthorizeRequest, AuthorizeResponse, authorization_service_server::AuthorizationServiceServer,
};

const AUTHORIZE: &str = "/countersign.v1.AuthorizationService/Authorize";

/// Puts AuthorizationService beside the routes to everything else.
#[derive(Clone)]
pub struct DirectLayer {
    api: Arc<Api>,
    decisions: AuthorizationServiceServer<Api>,
}

impl DirectLayer {
    /// To this API.
    pub fn new(api: &Api) -> Self {
        Self {
            api: Arc::new(api.clone()),
            decisions: api.authorization(),
        }
    }
}

impl<S> Layer<S> for DirectLayer {
    type Service = Direct<S>;

    fn layer(&self, others: S) -> Direct<S> {
        Direct {
            api: Arc::clone(&self.api),
            decisions: self.decisions.clone(),
            others,
        }
    }
}

/// AuthorizationService and the rest.
#[derive(Clone)]
pub struct Direct<S> {
    api: Arc<Api>,
    decisions: AuthorizationServiceServer<Api>,
    others: S,
}

impl<S> Service<Admitted> for Direct<S>
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

    fn call(&mut self, admitted: Admitted) -> Self::Future {
        let Admitted {
            mut request,
            authenticated,
        } = admitted;
        let path = request.uri().path();
        let is_decision = path.starts_with(DECISIONS);
        if let Some(authenticated) = authenticated {
            if path == AUTHORIZE {
                let call = Authorize {
                    api: Arc::clone(&self.api),
                    authenticated,
                };
                return Either::Decision(Box::pin(authorize(call, request)));
            }
            request.extensions_mut().insert(authenticated);
        }
        match is_decision {
            true => Either::Decision(self.decisions.call(request)),
            false => Either::Other(self.others.call(request)),
        }
    }
}

/// One call of Authorize, whose message is yet to be read.
struct Authorize {
    api: Arc<Api>,
    authenticated: Authenticated,
}

impl UnaryService<AuthorizeRequest> for Authorize {
    type Response = AuthorizeResponse;
    type Future = Deciding;

    fn call(&mut self, request: tonic::Request<AuthorizeRequest>) -> Deciding {
        let request = request.into_inner();
        self.api.begin_authorize(&self.authenticated, request)
    }
}

/// As the generated server has it.
async fn authorize(authorize: Authorize, request: Request<Body>) -> Answer {
    let mut grpc = Grpc::new(AuthorizeCodec).max_decoding_message_size(MAX_MESSAGE);
    Ok(grpc.unary(authorize, request).await)
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
