//! AuthorizationService on the wire.

mod parse;

use tokio::time::Instant;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{Api, guard::began, render};
use crate::{
    domain::caller::{Caller, Grant},
    pb::{
        AuthorizeRequest, AuthorizeResponse, BatchAuthorizeRequest, BatchAuthorizeResponse,
        ListPermissionsRequest, ListPermissionsResponse,
        authorization_service_server::AuthorizationService,
    },
    service::Presentation,
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

#[tonic::async_trait]
impl AuthorizationService for Api {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        let caller = self.gate.admit(&request, &[Grant::Authorize])?;
        let began = began(request.extensions());
        let explain = request.get_ref().explain;
        let (token, ask, context) = parse::one(request.into_inner())?;
        let presentation = presentation(&token, (&caller, began), &context);
        let verdict = self.service.authorize(presentation, &ask, explain).await?;
        self.tell_decision(verdict.decision);
        Ok(Response::new(render::verdict(verdict)))
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
