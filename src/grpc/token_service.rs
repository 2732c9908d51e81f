//! TokenService on the wire.

mod leak;
mod rotate;

use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{
    Api,
    fields::{Fields, duration, only_true, timestamp},
    page, render,
};
use crate::{
    domain::{
        address::{Cidr, MAX_CIDRS},
        caller::{Caller, Grant},
        error::{Error, Problem, ProblemReason},
        ids::WorkspaceId,
        name::{Name, parse_reason},
        scope::MAX_SCOPES,
        token::{Limits, Origin, TokenState},
        token_policy::Expiry,
    },
    pb::{
        self, GetTokenRequest, GetTokenResponse, IssueTokenRequest, IssueTokenResponse,
        ListTokensRequest, ListTokensResponse, RevokeLeakedTokensRequest,
        RevokeLeakedTokensResponse, RevokeTokenRequest, RevokeTokenResponse, RevokeTokensRequest,
        RevokeTokensResponse, RotateTokenRequest, RotateTokenResponse,
        get_token_request::Target as GetTarget, issue_token_request::Expiry as ExpiryForm,
        revoke_token_request::Target as RevokeTarget, token_service_server::TokenService,
    },
    service::{
        IssueRequest, ListRequest, RevokeAllRequest, RevokeRequest, Service, TokenTarget,
        cursor_after,
    },
};

/// Whoever may do anything with tokens may have one revoked whose secret it holds.
const MAY_REVOKE_BY_SECRET: [Grant; 4] = [
    Grant::TokensRevoke,
    Grant::TokensIssue,
    Grant::TokensRead,
    Grant::Authorize,
];

#[tonic::async_trait]
impl TokenService for Api {
    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let caller = self.gate.admit(&request, &[Grant::TokensIssue])?;
        let issue = parse_issue(&self.service, &caller, &request.into_inner())?;
        let issued = self.service.issue_token(issue).await?;
        Ok(Response::new(render::issued(&issued)))
    }

    async fn rotate_token(
        &self,
        request: Request<RotateTokenRequest>,
    ) -> Result<Response<RotateTokenResponse>, Status> {
        let caller = self.gate.admit(&request, &[Grant::TokensIssue])?;
        let rotate = rotate::parse(&self.service, &caller, request.get_ref())?;
        let rotated = self.service.rotate_token(rotate).await?;
        Ok(Response::new(render::rotated(&rotated)))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let by_id = matches!(request.get_ref().target, Some(RevokeTarget::TokenId(_)));
        let grants: &[Grant] = match by_id {
            true => &[Grant::TokensRevoke],
            false => &MAY_REVOKE_BY_SECRET,
        };
        let caller = self.gate.admit(&request, grants)?;
        if !by_id {
            self.gate.limit_by_secret(&caller)?;
        }
        let revoke = parse_revoke(&self.service, &caller, request.into_inner())?;
        let revoked = self.service.revoke_token(revoke).await?;
        let record = revoked.record;
        let record = record.filter(|_| by_id || caller.has(Grant::TokensRead));
        Ok(Response::new(RevokeTokenResponse {
            token: record.as_ref().map(render::token),
            revision: revoked.revision.to_string(),
            replayed: revoked.is_replayed,
        }))
    }

    async fn revoke_leaked_tokens(
        &self,
        request: Request<RevokeLeakedTokensRequest>,
    ) -> Result<Response<RevokeLeakedTokensResponse>, Status> {
        let caller = self.gate.admit(&request, &MAY_REVOKE_BY_SECRET)?;
        self.gate.limit_by_secret(&caller)?;
        let report = leak::parse(&self.service, &caller, request.into_inner())?;
        let revision = self.service.revoke_leaked_tokens(report).await?;
        Ok(Response::new(RevokeLeakedTokensResponse {
            revision: revision.to_string(),
        }))
    }

    async fn revoke_tokens(
        &self,
        request: Request<RevokeTokensRequest>,
    ) -> Result<Response<RevokeTokensResponse>, Status> {
        let caller = self.gate.admit(&request, &[Grant::TokensRevoke])?;
        let revoke = parse_revoke_all(&caller, request.get_ref())?;
        let revision = self.service.revoke_tokens(revoke).await?;
        Ok(Response::new(RevokeTokensResponse {
            revision: revision.to_string(),
        }))
    }

    async fn get_token(
        &self,
        request: Request<GetTokenRequest>,
    ) -> Result<Response<GetTokenResponse>, Status> {
        let by_id = matches!(request.get_ref().target, Some(GetTarget::TokenId(_)));
        let grants: &[Grant] = match by_id {
            true => &[Grant::TokensRead],
            false => &[Grant::TokensRead, Grant::TokensRevoke],
        };
        let caller = self.gate.admit(&request, grants)?;
        if !by_id {
            self.gate.limit_by_secret(&caller)?;
        }
        let (origin, target) = parse_get(&self.service, &caller, request.into_inner())?;
        let record = self.service.get_token(&origin, &target).await?;
        let record = record.filter(|_| caller.has(Grant::TokensRead));
        Ok(Response::new(GetTokenResponse {
            token: record.as_ref().map(render::token),
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        let caller = self.gate.admit(&request, &[Grant::TokensRead])?;
        let list = parse_list(&caller, request.into_inner())?;
        let found = self.service.list_tokens(list).await?;
        let (tokens, next_page_token) =
            page::render(&self.service, found, cursor_after, render::token);
        Ok(Response::new(ListTokensResponse {
            tokens,
            next_page_token,
        }))
    }
}

fn parse_issue(
    service: &Service,
    caller: &Caller,
    request: &IssueTokenRequest,
) -> Result<IssueRequest, Error> {
    let mut fields = Fields::default();
    let member = fields.member(&request.workspace_id, &request.member_id);
    let name = fields.read("name", Name::parse(&request.name));
    let expiry = read_expiry(&mut fields, service, request.expiry.as_ref());
    let limits = limits(&mut fields, service, request);
    let origin = fields.origin_of_member(caller, request.actor.as_ref());
    let request_id = fields.read("request_id", service.request_id(&request.request_id));
    match (member, name, expiry, limits, origin, request_id) {
        (Some(member), Some(name), Some(expiry), Some(limits), Some(origin), Some(request_id)) => {
            Ok(IssueRequest {
                origin,
                member,
                name,
                expiry,
                limits,
                request_id,
            })
        }
        _ => Err(fields.into_error()),
    }
}

fn limits(fields: &mut Fields, service: &Service, request: &IssueTokenRequest) -> Option<Limits> {
    let parse = |text: &str| service.parse_scope(text);
    let scopes = fields.list("scopes", &request.scopes, MAX_SCOPES, parse);
    let cidrs = &request.allowed_cidrs;
    let allowed_cidrs = fields.list("allowed_cidrs", cidrs, MAX_CIDRS, Cidr::parse);
    Some(Limits {
        scopes: scopes?,
        allowed_cidrs: allowed_cidrs?,
    })
}

fn read_expiry(
    fields: &mut Fields,
    service: &Service,
    expiry: Option<&ExpiryForm>,
) -> Option<Expiry> {
    let expiry = match expiry {
        None => Expiry::Default,
        Some(ExpiryForm::ExpiresAt(at)) => Expiry::At(fields.read("expires_at", timestamp(at))?),
        Some(ExpiryForm::Ttl(ttl)) => Expiry::After(fields.read("ttl", duration(ttl))?),
        Some(ExpiryForm::Never(flag)) => {
            fields.read("never", only_true(*flag))?;
            Expiry::Never
        }
    };
    fields.read_late(expiry.field(), expiry, expiry.check(service.now()))
}

fn parse_revoke(
    service: &Service,
    caller: &Caller,
    request: RevokeTokenRequest,
) -> Result<RevokeRequest, Error> {
    let mut fields = Fields::default();
    let target = match request.target {
        None => fields.read("target", Err(Problem::required())),
        Some(RevokeTarget::TokenId(id)) => fields.read("token_id", service.target_by_id(&id)),
        Some(RevokeTarget::Secret(secret)) => Some(target_by_secret(service, secret)),
    };
    let reason = fields.read("reason", parse_reason(&request.reason));
    let origin = match target {
        Some(TokenTarget::Secret(_)) => fields.origin(caller, request.actor.as_ref()),
        _ => fields.origin_of_member(caller, request.actor.as_ref()),
    };
    let request_id = fields.read("request_id", service.request_id(&request.request_id));
    match (origin, target, reason, request_id) {
        (Some(origin), Some(target), Some(reason), Some(request_id)) => Ok(RevokeRequest {
            origin,
            target,
            reason,
            wait_for_replicas: request.wait_for_replicas,
            request_id,
        }),
        _ => Err(fields.into_error()),
    }
}

fn parse_revoke_all(
    caller: &Caller,
    request: &RevokeTokensRequest,
) -> Result<RevokeAllRequest, Error> {
    let mut fields = Fields::default();
    let workspace_id = fields.read("workspace_id", WorkspaceId::parse(&request.workspace_id));
    let member_id = fields.optional_member(&request.member_id);
    let reason = fields.read("reason", parse_reason(&request.reason));
    let origin = fields.origin_of_member(caller, request.actor.as_ref());
    match (origin, workspace_id, member_id, reason) {
        (Some(origin), Some(workspace_id), Some(member_id), Some(reason)) => Ok(RevokeAllRequest {
            origin,
            workspace_id,
            member_id,
            reason,
            wait_for_replicas: request.wait_for_replicas,
        }),
        _ => Err(fields.into_error()),
    }
}

fn parse_get(
    service: &Service,
    caller: &Caller,
    request: GetTokenRequest,
) -> Result<(Origin, TokenTarget), Error> {
    let mut fields = Fields::default();
    let target = match request.target {
        None => fields.read("target", Err(Problem::required())),
        Some(GetTarget::TokenId(id)) => fields.read("token_id", service.target_by_id(&id)),
        Some(GetTarget::Secret(secret)) => Some(target_by_secret(service, secret)),
    };
    let origin = match target {
        Some(TokenTarget::Secret(_)) => fields.origin(caller, request.actor.as_ref()),
        _ => fields.origin_of_member(caller, request.actor.as_ref()),
    };
    origin.zip(target).ok_or_else(|| fields.into_error())
}

fn target_by_secret(service: &Service, secret: String) -> TokenTarget {
    service.target_by_secret(&Zeroizing::new(secret))
}

fn parse_list(caller: &Caller, request: ListTokensRequest) -> Result<ListRequest, Error> {
    let mut fields = Fields::default();
    let workspace_id = fields.read("workspace_id", WorkspaceId::parse(&request.workspace_id));
    let member_id = fields.optional_member(&request.member_id);
    let states = request
        .states
        .iter()
        .map(|&state| token_state(state))
        .collect();
    let states = fields.read("states", states);
    let expires_before = fields.optional_instant("expires_before", request.expires_before);
    let unused_since = fields.optional_instant("unused_since", request.unused_since);
    let origin = fields.origin_of_member(caller, request.actor.as_ref());
    let page = fields.page(request.page_size, request.page_token);
    let instants = expires_before.zip(unused_since);
    match (origin, workspace_id, member_id, states, instants, page) {
        (
            Some(origin),
            Some(workspace_id),
            Some(member_id),
            Some(states),
            Some((expires_before, unused_since)),
            Some(page),
        ) => Ok(ListRequest {
            origin,
            workspace_id,
            member_id,
            states,
            expires_before,
            unused_since,
            page,
        }),
        _ => Err(fields.into_error()),
    }
}

fn token_state(state: i32) -> Result<TokenState, Problem> {
    match pb::TokenState::try_from(state) {
        Ok(pb::TokenState::Active) => Ok(TokenState::Active),
        Ok(pb::TokenState::Expired) => Ok(TokenState::Expired),
        Ok(pb::TokenState::Revoked) => Ok(TokenState::Revoked),
        Ok(pb::TokenState::Unspecified) | Err(_) => Err(Problem::new(
            ProblemReason::Malformed,
            "must be ACTIVE, EXPIRED or REVOKED",
        )),
    }
}
