//! One caller's connection: the four generated clients, with its service key in the metadata of every call, and short
//! ways to make the calls that most tests make on their way elsewhere.

use std::time::{Duration, Instant};

use countersign::pb::{
    AuthorizeRequest, AuthorizeResponse, CreateWorkspaceRequest, DeleteWorkspaceRequest,
    DenyReason, Event, GetTokenRequest, IssueTokenRequest, IssueTokenResponse, ListEventsRequest,
    Member, MemberState, Outcome, PutMemberRequest, RemoveMemberRequest, Resource,
    RevokeTokenRequest, RotateTokenRequest, SetMemberRoleRequest, SetMemberStateRequest, Token,
    TokenPolicy, UpdateWorkspaceRequest, Workspace, WorkspaceState,
    authorization_service_client::AuthorizationServiceClient,
    directory_service_client::DirectoryServiceClient, event_service_client::EventServiceClient,
    get_token_request::Target as GetTarget, issue_token_request::Expiry, resource::Owner,
    revoke_token_request::Target, token_service_client::TokenServiceClient,
};
use tonic::{
    Code, Request, Response, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt;

/// How long to ask for what cannot be done now.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where a service key goes.
const KEY_HEADER: &str = "x-countersign-key";

/// Adds the key, if there is one.
#[derive(Clone)]
pub(crate) struct WithKey(Option<AsciiMetadataValue>);

impl Interceptor for WithKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert(KEY_HEADER, key.clone());
        }
        Ok(request)
    }
}

/// The channel of the generated clients.
pub(crate) type KeyedChannel = InterceptedService<Channel, WithKey>;

/// The generated clients of one caller. Clones share the connection.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) tokens: TokenServiceClient<KeyedChannel>,
    pub(crate) authorization: AuthorizationServiceClient<KeyedChannel>,
    pub(crate) directory: DirectoryServiceClient<KeyedChannel>,
    pub(crate) events: EventServiceClient<KeyedChannel>,
}

impl Client {
    /// The clients over this channel, showing this key.
    pub(crate) fn new(channel: &Channel, key: Option<&str>) -> Self {
        let key = WithKey(key.map(|key| key.parse().expect("a key is ASCII")));
        let keyed = || InterceptedService::new(channel.clone(), key.clone());
        Self {
            tokens: TokenServiceClient::new(keyed()),
            authorization: AuthorizationServiceClient::new(keyed()),
            directory: DirectoryServiceClient::new(keyed()),
            events: EventServiceClient::new(keyed()),
        }
    }

    /// Creates a workspace, named as its id.
    pub(crate) async fn create_workspace(&self, workspace_id: &str) -> Workspace {
        let request = CreateWorkspaceRequest {
            workspace_id: workspace_id.to_owned(),
            name: workspace_id.to_owned(),
        };
        let response = self.directory.clone().create_workspace(request).await;
        let response = response.expect("the workspace is created").into_inner();
        response.workspace.expect("the answer carries it")
    }

    /// Suspends or reactivates a workspace.
    pub(crate) async fn set_workspace_state(&self, workspace_id: &str, state: WorkspaceState) {
        let request = UpdateWorkspaceRequest {
            workspace_id: workspace_id.to_owned(),
            state: state.into(),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["state".to_owned()],
            }),
            ..Default::default()
        };
        let response = self.directory.clone().update_workspace(request).await;
        response.expect("the workspace's state changes");
    }

    /// Deletes a workspace.
    pub(crate) async fn delete_workspace(&self, workspace_id: &str) {
        let request = DeleteWorkspaceRequest {
            workspace_id: workspace_id.to_owned(),
            ..Default::default()
        };
        let response = self.directory.clone().delete_workspace(request).await;
        response.expect("the workspace is deleted");
    }

    /// Puts a member.
    pub(crate) async fn put_member(
        &self,
        workspace_id: &str,
        member_id: &str,
        role: &str,
    ) -> Member {
        let request = PutMemberRequest {
            workspace_id: workspace_id.to_owned(),
            member_id: member_id.to_owned(),
            role: role.to_owned(),
            ..Default::default()
        };
        let response = self.directory.clone().put_member(request).await;
        let response = response.expect("the member is put").into_inner();
        response.member.expect("the answer carries it")
    }

    /// Gives a member another role.
    pub(crate) async fn set_member_role(&self, workspace_id: &str, member_id: &str, role: &str) {
        let request = SetMemberRoleRequest {
            workspace_id: workspace_id.to_owned(),
            member_id: member_id.to_owned(),
            role: role.to_owned(),
            ..Default::default()
        };
        let response = self.directory.clone().set_member_role(request).await;
        response.expect("the member's role changes");
    }

    /// Suspends or reactivates a member.
    pub(crate) async fn set_member_state(
        &self,
        workspace_id: &str,
        member_id: &str,
        state: MemberState,
    ) {
        let request = SetMemberStateRequest {
            workspace_id: workspace_id.to_owned(),
            member_id: member_id.to_owned(),
            state: state.into(),
            ..Default::default()
        };
        let response = self.directory.clone().set_member_state(request).await;
        response.expect("the member's state changes");
    }

    /// Removes a member.
    pub(crate) async fn remove_member(&self, workspace_id: &str, member_id: &str) {
        let request = RemoveMemberRequest {
            workspace_id: workspace_id.to_owned(),
            member_id: member_id.to_owned(),
            ..Default::default()
        };
        let response = self.directory.clone().remove_member(request).await;
        response.expect("the member is removed");
    }

    /// Issues a token that never expires, or only after `ttl`.
    pub(crate) async fn issue(
        &self,
        workspace_id: &str,
        member_id: &str,
        name: &str,
        ttl: Option<Duration>,
    ) -> IssueTokenResponse {
        let request = issue_request(workspace_id, member_id, name, ttl);
        let response = self.tokens.clone().issue_token(request).await;
        response.expect("the token is issued").into_inner()
    }

    /// Issues a token that never expires and is limited to these scopes and networks.
    pub(crate) async fn issue_limited(
        &self,
        workspace_id: &str,
        member_id: &str,
        name: &str,
        [scopes, allowed_cidrs]: [&[&str]; 2],
    ) -> IssueTokenResponse {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let request = IssueTokenRequest {
            scopes: texts(scopes),
            allowed_cidrs: texts(allowed_cidrs),
            ..issue_request(workspace_id, member_id, name, None)
        };
        let response = self.tokens.clone().issue_token(request).await;
        response.expect("the token is issued").into_inner()
    }

    /// Revokes a token by its id.
    pub(crate) async fn revoke(&self, token_id: &str) -> Token {
        let request = revoke_request(token_id);
        let response = self.tokens.clone().revoke_token(request).await;
        let response = response.expect("the token is revoked").into_inner();
        response.token.expect("the answer carries it")
    }

    /// Asks for a decision, again while the service says that it cannot decide now, as its callers do: on a busy machine the
    /// database may take longer than a decision waits, or a turn at it come later than one waits for that.
    pub(crate) async fn authorize(
        &self,
        token: &str,
        action: &str,
        workspace_id: &str,
        owner: Option<Owner>,
    ) -> AuthorizeResponse {
        let request = authorize_request(token, action, workspace_id, owner);
        let ask = || {
            let (mut client, request) = (self.authorization.clone(), request.clone());
            async move { client.authorize(request).await }
        };
        again_for_now(ask).await.expect("there is a decision")
    }
}

/// Calls again while it is told that it cannot be done now, and when to ask again.
pub(crate) async fn again_for_now<A, F>(call: impl Fn() -> F) -> Result<A, Status>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Err(status) if is_for_now(&status) && Instant::now() < deadline => {}
            answer => return answer.map(Response::into_inner),
        }
    }
}

/// Whether it says that it cannot be done in time: as [`is_for_now`], or that the deadline passed meanwhile.
pub(crate) fn is_too_slow(status: &Status) -> bool {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    is_for_now(status) || reason == Some("DEADLINE_EXCEEDED")
}

/// Whether it says that it cannot be done now, and when to ask again.
fn is_for_now(status: &Status) -> bool {
    let codes = [Code::Unavailable, Code::ResourceExhausted];
    codes.contains(&status.code()) && status.get_error_details().retry_info().is_some()
}

/// The record of a token, by its id.
pub(crate) async fn get(client: &Client, token_id: &str) -> Token {
    let request = GetTokenRequest {
        target: Some(GetTarget::TokenId(token_id.to_owned())),
        actor: None,
    };
    let response = client.tokens.clone().get_token(request).await;
    let response = response.expect("there is such a token").into_inner();
    response.token.expect("the answer carries it")
}

/// Why a token may not do what any good one may; None if it may.
pub(crate) async fn refusal(client: &Client, secret: &str) -> Option<DenyReason> {
    let owner = Some(Owner::Bearer(true));
    let answer = client.authorize(secret, "bookings.read", "", owner).await;
    let decision = answer.decision.expect("a decision");
    (decision.outcome() == Outcome::Deny).then(|| decision.reason())
}

/// Every event, newest first.
pub(crate) async fn events(client: &Client) -> Vec<Event> {
    let request = ListEventsRequest {
        page_size: 500,
        ..Default::default()
    };
    list_events(client, request).await
}

/// Every event that passes, newest first, page by page.
pub(crate) async fn list_events(client: &Client, mut request: ListEventsRequest) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let ask = || {
            let (mut client, request) = (client.events.clone(), request.clone());
            async move { client.list_events(request).await }
        };
        let page = again_for_now(ask).await.expect("a page");
        events.extend(page.events);
        if page.next_page_token.is_empty() {
            return events;
        }
        request.page_token = page.next_page_token;
    }
}

/// To this token policy, as far as these paths of the update mask name it.
pub(crate) fn policy_request(
    workspace_id: &str,
    policy: TokenPolicy,
    paths: &[&str],
) -> UpdateWorkspaceRequest {
    UpdateWorkspaceRequest {
        workspace_id: workspace_id.to_owned(),
        token_policy: Some(policy),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
        }),
        ..Default::default()
    }
}

/// For a token that never expires, or only after `ttl`, with no actor.
pub(crate) fn issue_request(
    workspace_id: &str,
    member_id: &str,
    name: &str,
    ttl: Option<Duration>,
) -> IssueTokenRequest {
    let ttl = ttl.map(|ttl| prost_types::Duration::try_from(ttl).expect("a ttl in range"));
    IssueTokenRequest {
        workspace_id: workspace_id.to_owned(),
        member_id: member_id.to_owned(),
        name: name.to_owned(),
        expiry: Some(ttl.map_or(Expiry::Never(true), Expiry::Ttl)),
        ..Default::default()
    }
}

/// By id, with no actor.
pub(crate) fn revoke_request(token_id: &str) -> RevokeTokenRequest {
    RevokeTokenRequest {
        target: Some(Target::TokenId(token_id.to_owned())),
        reason: "no longer needed".to_owned(),
        ..Default::default()
    }
}

/// To a successor that never expires, with no overlap and no actor.
pub(crate) fn rotate_request(token_id: &str) -> RotateTokenRequest {
    RotateTokenRequest {
        token_id: token_id.to_owned(),
        ..Default::default()
    }
}

/// On nobody's behalf.
pub(crate) fn authorize_request(
    token: &str,
    action: &str,
    workspace_id: &str,
    owner: Option<Owner>,
) -> AuthorizeRequest {
    AuthorizeRequest {
        token: token.to_owned(),
        action: action.to_owned(),
        resource: Some(Resource {
            workspace_id: workspace_id.to_owned(),
            owner,
            ..Default::default()
        }),
        context: None,
        explain: false,
    }
}
