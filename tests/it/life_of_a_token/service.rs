//! The service as one that takes steps: each is sent as the request that it stands for.

use countersign::{
    domain::time::Timestamp,
    pb::{
        AuthorizeRequest, BatchAuthorizeRequest, Check, CreateWorkspaceRequest,
        DeleteWorkspaceRequest, GetMemberRequest, GetTokenRequest, GetWorkspaceRequest,
        ListPermissionsRequest, PutMemberRequest, RemoveMemberRequest, RevokeLeakedTokensRequest,
        RevokeTokenRequest, RevokeTokensRequest, SetMemberRoleRequest, SetMemberStateRequest,
        get_token_request::Target as GetTarget, revoke_token_request::Target as RevokeTarget,
    },
};
use tonic::Status;
use tonic_types::StatusExt;

use super::{
    requests::{context_of, member_id},
    steps::{Answer, Ask, Caller, Key, Step},
};
use crate::support::{
    client::{Client, again_for_now},
    clock::TestClock,
    server::{BOOKINGS, DASHBOARD, PLATFORM, TestServer},
};

/// A service, and what is known of what it told.
pub(super) struct Service {
    clock: TestClock,
    platform: Client,
    dashboard: Client,
    bookings: Client,
    /// Makes the ids of one history other than those of any before.
    pub(super) history: u64,
    /// The id and the secret of each token.
    pub(super) tokens: Vec<(String, String)>,
}

/// Sends a request with one of the generated clients.
macro_rules! ask {
    ($client:expr, $method:ident, $request:expr) => {{
        let (client, request) = ($client.clone(), $request);
        let call = || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.$method(request).await }
        };
        again_for_now(call).await?
    }};
}

impl Service {
    /// What a step comes to.
    pub(super) async fn take(&mut self, step: &Step) -> Answer {
        let taken = match step {
            Step::Time(at) => {
                self.clock.set(Timestamp(*at));
                Ok(Answer::Done)
            }
            Step::Issue(..)
            | Step::Rotate(..)
            | Step::Revoke(..)
            | Step::RevokeAll(..)
            | Step::RevokeLeaked(..)
            | Step::GetToken(..)
            | Step::ListTokens(..) => self.take_of_tokens(step).await,
            Step::Authorize(..) | Step::Batch(..) | Step::Permissions(..) => {
                self.take_decision(step).await
            }
            _ => self.take_of_directory(step).await,
        };
        taken.unwrap_or_else(|status| {
            let details = status.get_error_details();
            let reason = details.error_info().map(|info| info.reason.clone());
            Answer::Refused(status.code(), reason.unwrap_or_default())
        })
    }

    pub(super) fn new(server: &TestServer, history: u64) -> Self {
        Self {
            clock: server.clock().clone(),
            platform: server.client(PLATFORM),
            dashboard: server.client(DASHBOARD),
            bookings: server.client(BOOKINGS),
            history,
            tokens: Vec::new(),
        }
    }

    async fn take_of_tokens(&mut self, step: &Step) -> Result<Answer, Status> {
        let [platform, dashboard] = [&self.platform, &self.dashboard].map(|of| of.tokens.clone());
        let of = |caller: Caller| match caller {
            Caller::Platform => platform.clone(),
            Caller::Dashboard => dashboard.clone(),
        };
        Ok(match step {
            Step::Issue(by, issue, request_id) => {
                let request = self.issue_request(*by, issue, *request_id);
                let answer = ask!(of(by.caller), issue_token, request);
                self.issued(answer)
            }
            Step::Rotate(by, rotate, request_id) => {
                let request = self.rotate_request(*by, rotate, *request_id);
                let answer = ask!(of(by.caller), rotate_token, request);
                self.rotated(answer)
            }
            Step::Revoke(by, target, reason, request_id) => {
                let target = match self.target(*target) {
                    Ok(id) => RevokeTarget::TokenId(id),
                    Err(secret) => RevokeTarget::Secret(secret),
                };
                let request = RevokeTokenRequest {
                    target: Some(target),
                    reason: (*reason).to_owned(),
                    actor: self.actor(*by),
                    request_id: self.request_id(*request_id),
                    wait_for_replicas: false,
                };
                let answer = ask!(of(by.caller), revoke_token, request);
                Answer::Revoked(answer.token.map(|token| self.token(token)), answer.replayed)
            }
            Step::RevokeAll(by, workspace, member, reason) => {
                let request = RevokeTokensRequest {
                    workspace_id: self.workspace_id(*workspace),
                    member_id: member.map_or_else(String::new, member_id),
                    reason: (*reason).to_owned(),
                    actor: self.actor(*by),
                    wait_for_replicas: false,
                };
                ask!(of(by.caller), revoke_tokens, request);
                Answer::Done
            }
            Step::RevokeLeaked(caller, secrets, source) => {
                let request = RevokeLeakedTokensRequest {
                    secrets: secrets.iter().map(|secret| self.secret(*secret)).collect(),
                    source: (*source).to_owned(),
                };
                ask!(of(*caller), revoke_leaked_tokens, request);
                Answer::Done
            }
            Step::GetToken(by, target) => {
                let target = match self.target(*target) {
                    Ok(id) => GetTarget::TokenId(id),
                    Err(secret) => GetTarget::Secret(secret),
                };
                let request = GetTokenRequest {
                    target: Some(target),
                    actor: self.actor(*by),
                };
                let answer = ask!(of(by.caller), get_token, request);
                Answer::Token(answer.token.map(|token| self.token(token)))
            }
            Step::ListTokens(by, list) => {
                let client = of(by.caller);
                let mut request = self.list_request(*by, list);
                let mut tokens = Vec::new();
                loop {
                    let page = ask!(client, list_tokens, request.clone());
                    tokens.extend(page.tokens);
                    request.page_token = page.next_page_token;
                    if request.page_token.is_empty() {
                        break self.listed(tokens);
                    }
                }
            }
            other => panic!("{other:?} is not about tokens"),
        })
    }

    async fn take_decision(&mut self, step: &Step) -> Result<Answer, Status> {
        let client = &self.bookings.authorization;
        Ok(match step {
            Step::Authorize(secret, asked, context) => {
                let request = AuthorizeRequest {
                    token: self.secret(*secret),
                    action: asked.action.to_owned(),
                    resource: Some(self.resource(*asked)),
                    context: context_of(*context),
                    explain: false,
                };
                let answer = ask!(client, authorize, request);
                let principal = answer.principal.map(|principal| *principal);
                self.decided(answer.decision.into_iter().collect(), principal)
            }
            Step::Batch(secret, asks, mode, context) => {
                let check = |asked: &Ask| Check {
                    action: asked.action.to_owned(),
                    resource: Some(self.resource(*asked)),
                };
                let request = BatchAuthorizeRequest {
                    token: self.secret(*secret),
                    checks: asks.iter().map(check).collect(),
                    context: context_of(*context),
                    mode: (*mode).into(),
                };
                let answer = ask!(client, batch_authorize, request);
                self.decided(answer.decisions, answer.principal)
            }
            Step::Permissions(secret, context) => {
                let request = ListPermissionsRequest {
                    token: self.secret(*secret),
                    context: context_of(*context),
                };
                let answer = ask!(client, list_permissions, request);
                self.permitted(answer)
            }
            other => panic!("{other:?} is no decision"),
        })
    }

    async fn take_of_directory(&mut self, step: &Step) -> Result<Answer, Status> {
        let client = &self.platform.directory;
        let ids = |key: &Key| (self.workspace_id(key.workspace), member_id(key.member));
        let etag = String::new();
        let member = match step {
            Step::PutMember(key, role) => {
                let ((workspace_id, member_id), role) = (ids(key), (*role).to_owned());
                let request = PutMemberRequest {
                    workspace_id,
                    member_id,
                    role,
                    etag,
                };
                ask!(client, put_member, request).member
            }
            Step::SetRole(key, role) => {
                let ((workspace_id, member_id), role) = (ids(key), (*role).to_owned());
                let request = SetMemberRoleRequest {
                    workspace_id,
                    member_id,
                    role,
                    etag,
                };
                ask!(client, set_member_role, request).member
            }
            Step::SetState(key, state) => {
                let ((workspace_id, member_id), state) = (ids(key), (*state).into());
                let request = SetMemberStateRequest {
                    workspace_id,
                    member_id,
                    state,
                    etag,
                };
                ask!(client, set_member_state, request).member
            }
            Step::Remove(key) => {
                let (workspace_id, member_id) = ids(key);
                let request = RemoveMemberRequest {
                    workspace_id,
                    member_id,
                    etag,
                };
                ask!(client, remove_member, request).member
            }
            Step::GetMember(key) => {
                let (workspace_id, member_id) = ids(key);
                let request = GetMemberRequest {
                    workspace_id,
                    member_id,
                };
                ask!(client, get_member, request).member
            }
            _ => return self.take_of_workspaces(step).await,
        };
        Ok(self.member(member))
    }

    async fn take_of_workspaces(&self, step: &Step) -> Result<Answer, Status> {
        let client = &self.platform.directory;
        let workspace = match step {
            Step::CreateWorkspace(number, name) => {
                let (workspace_id, name) = (self.workspace_id(*number), name.clone());
                let request = CreateWorkspaceRequest { workspace_id, name };
                ask!(client, create_workspace, request).workspace
            }
            Step::DeleteWorkspace(number) => {
                let (workspace_id, etag) = (self.workspace_id(*number), String::new());
                let request = DeleteWorkspaceRequest { workspace_id, etag };
                ask!(client, delete_workspace, request).workspace
            }
            Step::GetWorkspace(number) => {
                let workspace_id = self.workspace_id(*number);
                let request = GetWorkspaceRequest { workspace_id };
                ask!(client, get_workspace, request).workspace
            }
            Step::UpdateWorkspace(update) => {
                let request = self.update_request(update);
                let answer = ask!(client, update_workspace, request);
                if update.validate_only {
                    return Ok(self.validated(answer));
                }
                answer.workspace
            }
            other => panic!("{other:?} is not about workspaces"),
        };
        Ok(self.workspace(workspace))
    }
}
