//! AuthorizationService on the wire.

mod parse;

use std::{pin::Pin, sync::Arc};

use tokio::time::Instant;
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

/// A decision, and by what it is found in the log.
type Decided = (Verdict, String);

/// A decision, made at once or yet to be. Most are made at once, and do not carry along what one that waits needs.
enum Begun<'a> {
    Decided(Decided),
    Waits(Pin<Box<dyn Future<Output = Result<Decided, Error>> + Send + 'a>>),
}

impl Api {
    fn begin_authorize(&self, mut request: Request<AuthorizeRequest>) -> Result<Begun<'_>, Error> {
        let Authenticated { caller, began } = self.gate.admit_decision(&mut request)?;
        let request = request.into_inner();
        let explain = request.explain;
        let (token, ask, context) = parse::one(request)?;
        let presented = presentation(&token, (&caller, began), &context);
        if let Some(verdict) = self.service.authorize_at_once(&presented, &ask, explain) {
            let id = self.log_decision(&verdict, &ask, &caller);
            return Ok(Begun::Decided((verdict, id)));
        }
        Ok(Begun::Waits(Box::pin(async move {
            let presented = presentation(&token, (&caller, began), &context);
            let verdict = self.service.authorize(&presented, &ask, explain).await?;
            let id = self.log_decision(&verdict, &ask, &caller);
            Ok((verdict, id))
        })))
    }

    fn told(&self, (verdict, decision_id): Decided) -> Response<AuthorizeResponse> {
        self.tell_decision(verdict.decision);
        Response::new(render::verdict(verdict, decision_id))
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
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        match self.begin_authorize(request)? {
            Begun::Decided(verdict) => Ok(self.told(verdict)),
            Begun::Waits(verdict) => Ok(self.told(verdict.await?)),
        }
    }

    async fn batch_authorize(
        &self,
        mut request: Request<BatchAuthorizeRequest>,
    ) -> Result<Response<BatchAuthorizeResponse>, Status> {
        let Authenticated { caller, began } = self.gate.admit_decision(&mut request)?;
        let (token, asks, mode, context) = parse::batch(request.into_inner())?;
        let presentation = presentation(&token, (&caller, began), &context);
        let verdict = self
            .service
            .batch_authorize(presentation, &asks, mode)
            .await?;
        for decision in verdict.decisions.iter().flatten() {
            self.tell_decision(*decision);
        }
        let decision_id = self.log_batch(&verdict, &asks, &caller);
        Ok(Response::new(render::batch(verdict, decision_id)))
    }

    async fn list_permissions(
        &self,
        mut request: Request<ListPermissionsRequest>,
    ) -> Result<Response<ListPermissionsResponse>, Status> {
        let Authenticated { caller, began } = self.gate.admit_decision(&mut request)?;
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
