//! AuthorizationService on the wire.

mod parse;

use std::pin::Pin;

use tokio::time::Instant;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{Api, gate::began, render};
use crate::{
    domain::{
        caller::{Caller, Grant},
        error::Error,
    },
    pb::{
        AuthorizeRequest, AuthorizeResponse, BatchAuthorizeRequest, BatchAuthorizeResponse,
        ListPermissionsRequest, ListPermissionsResponse,
        authorization_service_server::AuthorizationService,
    },
    service::{Presentation, Verdict},
};

fn presentation<'a>(
    token: &'a str,
    (caller, began): (&'a Caller, Instant),
    context: &parse::Context,
) -> Presentation<'a> {
    Presentation {
        token,
        caller: &caller.name,
        min_revision: context.min_revision,
        began,
    }
}

/// A decision, made at once or yet to be. Most are made at once, and do not carry along what one that waits needs.
enum Begun<'a> {
    Decided(Verdict),
    Waits(Pin<Box<dyn Future<Output = Result<Verdict, Error>> + Send + 'a>>),
}

impl Api {
    fn begin_authorize(&self, request: Request<AuthorizeRequest>) -> Result<Begun<'_>, Error> {
        let caller = self.gate.admit(&request, &[Grant::Authorize])?;
        let began = began(request.extensions());
        let request = request.into_inner();
        let explain = request.explain;
        let (token, ask, context) = parse::one(request)?;
        let presented = presentation(&token, (&caller, began), &context);
        if let Some(verdict) = self.service.authorize_at_once(&presented, &ask, explain) {
            return Ok(Begun::Decided(verdict));
        }
        Ok(Begun::Waits(Box::pin(async move {
            let presented = presentation(&token, (&caller, began), &context);
            self.service.authorize(&presented, &ask, explain).await
        })))
    }

    fn told(&self, verdict: Verdict) -> Response<AuthorizeResponse> {
        self.tell_decision(verdict.decision);
        Response::new(render::verdict(verdict))
    }
}

#[tonic::async_trait]
impl AuthorizationService for Api {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        match self.begin_authorize(request)? {
            Begun::Decided(verdict) => Ok(self.told(verdict)),
            Begun::Waits(verdict) => Ok(self.told(verdict.await?)),
        }
    }

    async fn batch_authorize(
        &self,
        request: Request<BatchAuthorizeRequest>,
    ) -> Result<Response<BatchAuthorizeResponse>, Status> {
        let caller = self.gate.admit(&request, &[Grant::Authorize])?;
        let began = began(request.extensions());
        let (token, asks, mode, context) = parse::batch(request.into_inner())?;
        let presentation = presentation(&token, (&caller, began), &context);
        let verdict = self
            .service
            .batch_authorize(presentation, &asks, mode)
            .await?;
        for decision in verdict.decisions.iter().flatten() {
            self.tell_decision(*decision);
        }
        Ok(Response::new(render::batch(verdict)))
    }

    async fn list_permissions(
        &self,
        request: Request<ListPermissionsRequest>,
    ) -> Result<Response<ListPermissionsResponse>, Status> {
        let caller = self.gate.admit(&request, &[Grant::Authorize])?;
        let began = began(request.extensions());
        let request = request.into_inner();
        let token = Zeroizing::new(request.token);
        let context = parse::context(request.context)?;
        let presentation = presentation(&token, (&caller, began), &context);
        let found = self
            .service
            .list_permissions(presentation, &context.circumstances)
            .await?;
        Ok(Response::new(render::permissions(found)))
    }
}
