//! AuthorizationService on the wire.

mod parse;

use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{Api, render};
use crate::{
    domain::{caller::Grant, decide::Decision},
    pb::{
        AuthorizeRequest, AuthorizeResponse, BatchAuthorizeRequest, BatchAuthorizeResponse,
        ListPermissionsRequest, ListPermissionsResponse,
        authorization_service_server::AuthorizationService,
    },
};

#[tonic::async_trait]
impl AuthorizationService for Api {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        self.gate.admit(&request, &[Grant::Authorize])?;
        let explain = request.get_ref().explain;
        let (token, ask, circumstances) = parse::one(request.into_inner())?;
        let verdict = self
            .service
            .authorize(&token, &ask, circumstances.min_revision, explain)
            .await?;
        let decision = verdict.decision;
        let mut response = Response::new(render::verdict(verdict));
        // For whoever counts decisions.
        response.extensions_mut().insert(decision);
        Ok(response)
    }

    async fn batch_authorize(
        &self,
        request: Request<BatchAuthorizeRequest>,
    ) -> Result<Response<BatchAuthorizeResponse>, Status> {
        self.gate.admit(&request, &[Grant::Authorize])?;
        let (token, asks, mode, circumstances) = parse::batch(request.into_inner())?;
        let verdict = self
            .service
            .batch_authorize(&token, &asks, mode, circumstances.min_revision)
            .await?;
        let decisions: Vec<Decision> = verdict.decisions.iter().flatten().copied().collect();
        let mut response = Response::new(render::batch(verdict));
        response.extensions_mut().insert(decisions);
        Ok(response)
    }

    async fn list_permissions(
        &self,
        request: Request<ListPermissionsRequest>,
    ) -> Result<Response<ListPermissionsResponse>, Status> {
        self.gate.admit(&request, &[Grant::Authorize])?;
        let request = request.into_inner();
        let token = Zeroizing::new(request.token);
        let circumstances = parse::context(request.context)?;
        let (on_behalf_of, min_revision) = (circumstances.on_behalf_of, circumstances.min_revision);
        let found = self
            .service
            .list_permissions(&token, &on_behalf_of, min_revision)
            .await?;
        Ok(Response::new(render::permissions(found)))
    }
}
