//! The demo workspace, made through the front door as any client would.

use std::net::SocketAddr;

use tonic::{Code, Status, transport::Channel};
use zeroize::Zeroizing;

use crate::cli::Failure;
use crate::pb::{
    CreateWorkspaceRequest, IssueTokenRequest, ListTokensRequest, PutMemberRequest,
    RevokeTokenRequest, TokenState, directory_service_client::DirectoryServiceClient,
    issue_token_request::Expiry, revoke_token_request::Target,
    token_service_client::TokenServiceClient,
};

/// The demo workspace's id.
pub(super) const WORKSPACE_ID: &str = "demo";
/// Its members, each with a role of the default policy.
const MEMBERS: [(&str, &str); 2] = [("ada", "admin"), ("max", "member")];
/// The name of each member's token.
const TOKEN_NAME: &str = "dev";
const TOKEN_TTL_SECONDS: i64 = 30 * 24 * 60 * 60;

/// What there is to try the service on.
pub(super) struct Demo {
    pub(super) address: SocketAddr,
    pub(super) members: Vec<DemoMember>,
}

/// A member with a live token.
pub(super) struct DemoMember {
    pub(super) member_id: &'static str,
    pub(super) role: &'static str,
    pub(super) token_id: String,
    /// The secret, to be printed once.
    pub(super) token: Zeroizing<String>,
}

/// Makes sure of workspace and members, and gives each member a fresh token.
pub(super) async fn set_up(address: SocketAddr) -> Result<Demo, Failure> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| Failure::new("cannot reach the server", error))?
        .connect()
        .await
        .map_err(|error| Failure::new("cannot reach the server", error))?;
    let told = |attempt: &str, status: Status| Failure::new(attempt, status.message());
    make_workspace(&channel)
        .await
        .map_err(|status| told("cannot make the demo workspace", status))?;
    let mut members = Vec::new();
    for (member_id, role) in MEMBERS {
        let member = make_member(&channel, member_id, role)
            .await
            .map_err(|status| {
                told(
                    &format!("cannot make the demo member `{member_id}`"),
                    status,
                )
            })?;
        members.push(member);
    }
    Ok(Demo { address, members })
}

async fn make_workspace(channel: &Channel) -> Result<(), Status> {
    let request = CreateWorkspaceRequest {
        workspace_id: WORKSPACE_ID.to_owned(),
        name: "Demo".to_owned(),
    };
    let mut directory = DirectoryServiceClient::new(channel.clone());
    match directory.create_workspace(request).await {
        Err(status) if status.code() != Code::AlreadyExists => Err(status),
        _ => Ok(()),
    }
}

async fn make_member(
    channel: &Channel,
    member_id: &'static str,
    role: &'static str,
) -> Result<DemoMember, Status> {
    let request = PutMemberRequest {
        workspace_id: WORKSPACE_ID.to_owned(),
        member_id: member_id.to_owned(),
        role: role.to_owned(),
        ..PutMemberRequest::default()
    };
    DirectoryServiceClient::new(channel.clone())
        .put_member(request)
        .await?;
    let mut tokens = TokenServiceClient::new(channel.clone());
    revoke_earlier(&mut tokens, member_id).await?;
    let request = IssueTokenRequest {
        workspace_id: WORKSPACE_ID.to_owned(),
        member_id: member_id.to_owned(),
        name: TOKEN_NAME.to_owned(),
        expiry: Some(Expiry::Ttl(prost_types::Duration {
            seconds: TOKEN_TTL_SECONDS,
            nanos: 0,
        })),
        ..IssueTokenRequest::default()
    };
    let issued = tokens.issue_token(request).await?.into_inner();
    Ok(DemoMember {
        member_id,
        role,
        token_id: issued.token.map(|token| token.token_id).unwrap_or_default(),
        token: Zeroizing::new(issued.secret),
    })
}

/// Revokes the tokens that an earlier run issued: their secrets were shown once, and the names are taken.
async fn revoke_earlier(
    tokens: &mut TokenServiceClient<Channel>,
    member_id: &str,
) -> Result<(), Status> {
    let mut request = ListTokensRequest {
        workspace_id: WORKSPACE_ID.to_owned(),
        member_id: member_id.to_owned(),
        states: vec![TokenState::Active.into()],
        ..ListTokensRequest::default()
    };
    loop {
        let page = tokens.list_tokens(request.clone()).await?.into_inner();
        for token in page.tokens.into_iter().filter(|t| t.name == TOKEN_NAME) {
            let request = RevokeTokenRequest {
                target: Some(Target::TokenId(token.token_id)),
                reason: "replaced by a later run of `countersign dev`".to_owned(),
                ..RevokeTokenRequest::default()
            };
            tokens.revoke_token(request).await?;
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}
