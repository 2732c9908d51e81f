//! A session that makes every call, well and badly, and keeps what it heard: answers, errors with all that is in them, and
//! how its own messages print themselves.

mod bad;

use std::{collections::BTreeSet, fmt::Debug};

use countersign::pb::{
    self, BatchAuthorizeRequest, CreateWorkspaceRequest, DeleteWorkspaceRequest, GetMemberRequest,
    GetTokenRequest, GetWorkspaceRequest, ListEventsRequest, ListMembersRequest,
    ListPermissionsRequest, ListTokensRequest, ListWorkspacesRequest, MemberState,
    PutMemberRequest, RemoveMemberRequest, RevokeLeakedTokensRequest, RevokeTokenRequest,
    RevokeTokensRequest, RotateTokenRequest, SetMemberRoleRequest, SetMemberStateRequest,
    UpdateWorkspaceRequest, get_token_request, resource::Owner, revoke_token_request,
};
use tonic::{Request, Response, Status, metadata::KeyAndValueRef};

use super::search;
use crate::support::{
    call::rpcs,
    client::{Client, authorize_request, issue_request, revoke_request, rotate_request},
    process::Process,
    server::{BOOKINGS, PLATFORM, key_of},
};

/// What was heard, and the secrets that must not be in it.
#[derive(Default)]
pub(super) struct Session {
    pub(super) heard: Vec<u8>,
    /// Tokens: issued ones, and one that never was.
    pub(super) secrets: Vec<String>,
    /// Keys that were shown and are nobody's.
    pub(super) keys: Vec<String>,
    succeeded: BTreeSet<&'static str>,
    failed: BTreeSet<&'static str>,
}

fn by_secret(secret: &str) -> GetTokenRequest {
    GetTokenRequest {
        target: Some(get_token_request::Target::Secret(secret.to_owned())),
        ..Default::default()
    }
}

fn revoke_by_secret(secret: &str) -> RevokeTokenRequest {
    RevokeTokenRequest {
        target: Some(revoke_token_request::Target::Secret(secret.to_owned())),
        reason: "found in a log".to_owned(),
        ..Default::default()
    }
}

impl Session {
    pub(super) async fn run(&mut self, process: &Process) {
        let platform = process.client_with_key(Some(&key_of(PLATFORM)));
        platform.create_workspace("acme").await;
        platform.put_member("acme", "max", "member").await;
        for name in ["first", "second"] {
            let issued = platform.issue("acme", "max", name, None).await;
            self.secrets.push(issued.secret);
        }
        self.secrets.push(search::example());
        let (live, unknown) = (self.secrets[0].clone(), self.secrets[2].clone());
        self.keys
            .push(format!("csn_key_{}", &unknown[unknown.len() - 43..]));

        self.every_call(&platform, "w1", &self.secrets[1].clone(), None)
            .await;
        let bookings = process.client_with_key(Some(&key_of(BOOKINGS)));
        self.every_call(&bookings, "w2", &live, None).await;
        let stranger = process.client_with_key(Some(&self.keys[0]));
        self.every_call(&stranger, "w3", &live, None).await;
        let nobody = process.client_with_key(None);
        self.every_call(&nobody, "w4", &live, Some(&format!("Bearer {live}")))
            .await;
        self.every_call(&platform, "w5", &live, Some(&live)).await;

        self.bad_tokens(&platform, &live, &unknown).await;
        self.secrets_in_the_wrong_place(&platform, &live).await;
        self.not_grpc(process, &live);
        self.undecodable(process, &live).await;
    }

    /// Each call was made with success and without.
    pub(super) fn require_every_rpc(&self) {
        let rpcs = rpcs();
        let methods: BTreeSet<&str> = rpcs.iter().map(String::as_str).collect();
        assert_eq!(self.succeeded, methods);
        assert_eq!(self.failed, methods);
    }

    fn hear<T: Debug>(
        &mut self,
        method: &'static str,
        outcome: Result<Response<T>, Status>,
    ) -> Option<T> {
        let status = match outcome {
            Ok(response) => {
                self.note(format!("{response:?}"));
                self.succeeded.insert(method);
                return Some(response.into_inner());
            }
            Err(status) => status,
        };
        self.failed.insert(method);
        self.note(format!("{status:?} {status} {}", status.message()));
        self.heard.extend(status.details());
        for entry in status.metadata().iter() {
            match entry {
                KeyAndValueRef::Ascii(key, value) => {
                    self.note(key.to_string());
                    self.heard.extend(value.as_bytes());
                }
                KeyAndValueRef::Binary(key, value) => {
                    self.note(key.to_string());
                    self.heard
                        .extend(value.to_bytes().expect("it is base64").iter());
                }
            }
        }
        None
    }

    fn note(&mut self, text: impl Into<String>) {
        self.heard.extend(text.into().into_bytes());
        self.heard.push(b'\n');
    }

    /// A request as it is sent: with this in `authorization`, if anything. How it prints itself is kept.
    fn request<T: Debug>(&mut self, message: T, authorization: Option<&str>) -> Request<T> {
        self.note(format!("{message:?} {message:#?}"));
        let mut request = Request::new(message);
        if let Some(value) = authorization {
            let value = value.parse().expect("it is ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    /// Every call once, on a workspace of its own. The secret is asked about and revoked.
    async fn every_call(
        &mut self,
        client: &Client,
        workspace_id: &str,
        secret: &str,
        authorization: Option<&str>,
    ) {
        let Client {
            mut tokens,
            authorization: mut decisions,
            mut events,
            ..
        } = client.clone();
        self.directory_calls(client, workspace_id, authorization)
            .await;
        let request = issue_request(workspace_id, "max", "deploy", None);
        let request = self.request(request, authorization);
        let done = tokens.issue_token(request).await;
        let issued = self.hear("IssueToken", done);
        if let Some(issued) = &issued {
            self.secrets.push(issued.secret.clone());
        }
        let issued = issued.and_then(|issued| issued.token);
        let token_id = issued.map_or("tok_none".to_owned(), |token| token.token_id);
        for token in [secret, &format!("Bearer {secret}")] {
            let owner = Some(Owner::Bearer(true));
            let request = authorize_request(token, "bookings.read", "", owner);
            let request = self.request(request, authorization);
            let done = decisions.authorize(request).await;
            self.hear("Authorize", done);
            let request = ListPermissionsRequest {
                token: token.to_owned(),
                context: None,
            };
            let request = self.request(request, authorization);
            let done = decisions.list_permissions(request).await;
            self.hear("ListPermissions", done);
            let request = BatchAuthorizeRequest {
                token: token.to_owned(),
                checks: vec![pb::Check {
                    action: "bookings.read".to_owned(),
                    resource: Some(pb::Resource {
                        owner: Some(Owner::Bearer(true)),
                        ..Default::default()
                    }),
                }],
                context: None,
                mode: pb::BatchMode::All.into(),
            };
            let request = self.request(request, authorization);
            let done = decisions.batch_authorize(request).await;
            self.hear("BatchAuthorize", done);
        }
        self.rotations(client, &token_id, authorization).await;
        let by_id = GetTokenRequest {
            target: Some(get_token_request::Target::TokenId(token_id.clone())),
            ..Default::default()
        };
        for request in [by_id, by_secret(secret)] {
            let request = self.request(request, authorization);
            let done = tokens.get_token(request).await;
            self.hear("GetToken", done);
        }
        let request = ListTokensRequest {
            workspace_id: workspace_id.to_owned(),
            ..Default::default()
        };
        let request = self.request(request, authorization);
        let done = tokens.list_tokens(request).await;
        self.hear("ListTokens", done);
        for request in [revoke_request(&token_id), revoke_by_secret(secret)] {
            let request = self.request(request, authorization);
            let done = tokens.revoke_token(request).await;
            self.hear("RevokeToken", done);
        }
        self.reports(client, secret, authorization).await;
        let request = RevokeTokensRequest {
            workspace_id: workspace_id.to_owned(),
            reason: "the end".to_owned(),
            ..Default::default()
        };
        let request = self.request(request, authorization);
        let done = tokens.revoke_tokens(request).await;
        self.hear("RevokeTokens", done);
        let request = self.request(ListEventsRequest::default(), authorization);
        let done = events.list_events(request).await;
        self.hear("ListEvents", done);
        self.removing_calls(client, workspace_id, authorization)
            .await;
    }

    /// A rotation, and the same once more.
    async fn rotations(&mut self, client: &Client, token_id: &str, authorization: Option<&str>) {
        let mut tokens = client.tokens.clone();
        let rotation = RotateTokenRequest {
            overlap: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            request_id: "rotation".to_owned(),
            ..rotate_request(token_id)
        };
        for _ in ["made", "replayed"] {
            let request = self.request(rotation.clone(), authorization);
            let done = tokens.rotate_token(request).await;
            if let Some(rotated) = self.hear("RotateToken", done)
                && !rotated.replayed
            {
                self.secrets.push(rotated.secret);
            }
        }
    }

    /// A report of what was found.
    async fn reports(&mut self, client: &Client, secret: &str, authorization: Option<&str>) {
        let mut tokens = client.tokens.clone();
        let request = RevokeLeakedTokensRequest {
            secrets: vec![
                secret.to_owned(),
                format!("Bearer {secret}"),
                format!("{secret}x"),
            ],
            source: "a paste".to_owned(),
        };
        let request = self.request(request, authorization);
        let done = tokens.revoke_leaked_tokens(request).await;
        self.hear("RevokeLeakedTokens", done);
    }

    async fn directory_calls(
        &mut self,
        client: &Client,
        workspace_id: &str,
        authorization: Option<&str>,
    ) {
        let mut directory = client.directory.clone();
        let id = || workspace_id.to_owned();
        macro_rules! call {
            ($method:ident, $name:literal, $message:expr) => {
                let request = self.request($message, authorization);
                let done = directory.$method(request).await;
                self.hear($name, done);
            };
        }
        let create = CreateWorkspaceRequest {
            workspace_id: id(),
            name: id(),
        };
        call!(create_workspace, "CreateWorkspace", create);
        let get = GetWorkspaceRequest { workspace_id: id() };
        call!(get_workspace, "GetWorkspace", get);
        let update = UpdateWorkspaceRequest {
            workspace_id: id(),
            name: "Another".to_owned(),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["name".to_owned()],
            }),
            ..Default::default()
        };
        call!(update_workspace, "UpdateWorkspace", update);
        call!(
            list_workspaces,
            "ListWorkspaces",
            ListWorkspacesRequest::default()
        );
        let member_id = || "max".to_owned();
        let put = PutMemberRequest {
            workspace_id: id(),
            member_id: member_id(),
            role: "member".to_owned(),
            ..Default::default()
        };
        call!(put_member, "PutMember", put);
        let get = GetMemberRequest {
            workspace_id: id(),
            member_id: member_id(),
        };
        call!(get_member, "GetMember", get);
        let set = SetMemberRoleRequest {
            workspace_id: id(),
            member_id: member_id(),
            role: "admin".to_owned(),
            ..Default::default()
        };
        call!(set_member_role, "SetMemberRole", set);
        let set = SetMemberStateRequest {
            workspace_id: id(),
            member_id: member_id(),
            state: MemberState::Active.into(),
            ..Default::default()
        };
        call!(set_member_state, "SetMemberState", set);
        let list = ListMembersRequest {
            workspace_id: id(),
            ..Default::default()
        };
        call!(list_members, "ListMembers", list);
    }

    async fn removing_calls(
        &mut self,
        client: &Client,
        workspace_id: &str,
        authorization: Option<&str>,
    ) {
        let mut directory = client.directory.clone();
        let remove = RemoveMemberRequest {
            workspace_id: workspace_id.to_owned(),
            member_id: "max".to_owned(),
            ..Default::default()
        };
        let request = self.request(remove, authorization);
        let done = directory.remove_member(request).await;
        self.hear("RemoveMember", done);
        let delete = DeleteWorkspaceRequest {
            workspace_id: workspace_id.to_owned(),
            ..Default::default()
        };
        let request = self.request(delete, authorization);
        let done = directory.delete_workspace(request).await;
        self.hear("DeleteWorkspace", done);
    }
}
