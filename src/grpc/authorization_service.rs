//! AuthorizationService on the wire.

mod parse;

use std::{
    future::{Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{Api, gate::Authenticated, render};
use crate::{
    domain::{caller::Caller, decide::Ask, error::Error},
    pb::{
        AuthorizeRequest, AuthorizeResponse, BatchAuthorizeRequest, BatchAuthorizeResponse,
        ListPermissionsRequest, ListPermissionsResponse,
        authorization_service_server::AuthorizationService,
    },
    service::{BatchVerdict, Presentation, Verdict},
};

fn presentation<'a>(
    token: &'a str,
    authenticated: &'a Authenticated,
    context: &parse::Context,
) -> Presentation<'a> {
    Presentation {
        token,
        caller: &authenticated.caller.name,
        min_revision: context.min_revision,
        began: authenticated.began,
    }
}

type Answer = Result<Response<AuthorizeResponse>, Status>;

/// A decision, made at once or yet to be. Most are made at once, and do not carry along what one that waits needs.
#[expect(
    clippy::large_enum_variant,
    reason = "it is the large one that nearly all of them are"
)]
pub(super) enum Deciding {
    Decided(Ready<Answer>),
    Waits(Pin<Box<dyn Future<Output = Answer> + Send>>),
}

impl Future for Deciding {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Answer> {
        match &mut *self {
            Self::Decided(answer) => Pin::new(answer).poll(context),
            Self::Waits(answer) => answer.as_mut().poll(context),
        }
    }
}

impl Api {
    /// Decides one thing for this caller, as far as that can be done at once.
    pub(super) fn begin_authorize(
        &self,
        authenticated: &Authenticated,
        request: AuthorizeRequest,
    ) -> Deciding {
        let begun = self.try_begin_authorize(authenticated, request);
        begun.unwrap_or_else(|error| Deciding::Decided(ready(Err(error.into()))))
    }

    fn try_begin_authorize(
        &self,
        authenticated: &Authenticated,
        request: AuthorizeRequest,
    ) -> Result<Deciding, Error> {
        authenticated.may_ask_for_decisions()?;
        let explain = request.explain;
        let (token, ask, context) = parse::one(request)?;
        let presented = presentation(&token, authenticated, &context);
        if let Some(verdict) = self.service.authorize_at_once(&presented, &ask, explain) {
            let answer = self.told(verdict, &ask, &authenticated.caller);
            return Ok(Deciding::Decided(ready(Ok(answer))));
        }
        let (api, authenticated) = (self.clone(), authenticated.clone());
        Ok(Deciding::Waits(Box::pin(async move {
            let presented = presentation(&token, &authenticated, &context);
            let verdict = api.service.authorize(&presented, &ask, explain).await?;
            Ok(api.told(verdict, &ask, &authenticated.caller))
        })))
    }

    fn told(
        &self,
        verdict: Verdict,
        ask: &Ask,
        caller: &Arc<Caller>,
    ) -> Response<AuthorizeResponse> {
        let id = self.log_decision(&verdict, ask, caller);
        self.tell_decision(verdict.decision);
        Response::new(render::verdict(verdict, id))
    }

    /// Answers by what it is found in the log; empty where it is not told there.
    fn log_decision(&self, verdict: &Verdict, ask: &Ask, caller: &Arc<Caller>) -> String {
        let Some(log) = &self.decision_log else {
            return String::new();
        };
        let decided = std::iter::once((ask, verdict.decision));
        log.tell(decided, (caller, verdict.bearer.as_ref(), verdict.revision))
    }

    fn log_batch(&self, verdict: &BatchVerdict, asks: &[Ask], caller: &Arc<Caller>) -> String {
        let Some(log) = &self.decision_log else {
            return String::new();
        };
        let decided = asks.iter().zip(&verdict.decisions);
        let decided = decided.filter_map(|(ask, decision)| Some((ask, (*decision)?)));
        log.tell(decided, (caller, verdict.bearer.as_ref(), verdict.revision))
    }
}

#[tonic::async_trait]
impl AuthorizationService for Api {
    async fn authorize(
        &self,
        mut request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        let authenticated = self.gate.admit_decision(&mut request)?;
        self.begin_authorize(&authenticated, request.into_inner())
            .await
    }

    async fn batch_authorize(
        &self,
        mut request: Request<BatchAuthorizeRequest>,
    ) -> Result<Response<BatchAuthorizeResponse>, Status> {
        let authenticated = self.gate.admit_decision(&mut request)?;
        let (token, asks, mode, context) = parse::batch(request.into_inner())?;
        let presentation = presentation(&token, &authenticated, &context);
        let verdict = self
            .service
            .batch_authorize(presentation, &asks, mode)
            .await?;
        for decision in verdict.decisions.iter().flatten() {
            self.tell_decision(*decision);
        }
        let decision_id = self.log_batch(&verdict, &asks, &authenticated.caller);
        Ok(Response::new(render::batch(verdict, decision_id)))
    }

    async fn list_permissions(
        &self,
        mut request: Request<ListPermissionsRequest>,
    ) -> Result<Response<ListPermissionsResponse>, Status> {
        let authenticated = self.gate.admit_decision(&mut request)?;
        let request = request.into_inner();
        let token = Zeroizing::new(request.token);
        let context = parse::context(request.context)?;
        let presentation = presentation(&token, &authenticated, &context);
        let found = self
            .service
            .list_permissions(presentation, &context.circumstances)
            .await?;
        Ok(Response::new(render::permissions(found)))
    }
}
