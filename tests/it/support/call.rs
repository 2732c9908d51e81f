//! A call of any RPC as a value, so that tables of calls can be written, sent and compared.

use std::collections::BTreeSet;

use countersign::{
    domain::{
        caller::Grant,
        secret::{Secret, TokenFormat},
    },
    pb::{
        self, authorization_service_client::AuthorizationServiceClient,
        directory_service_client::DirectoryServiceClient, event_service_client::EventServiceClient,
        token_service_client::TokenServiceClient,
    },
};
use prost::Message;
use tonic::{
    Extensions, Request, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
    transport::Channel,
};

use super::server::key_of;

/// For each RPC its requests as a variant of `Call`, and its answers as one of `Answer`.
macro_rules! rpcs {
    ($($name:ident, $request:ident, $response:ident => $client:ident.$method:ident;)+) => {
        /// A call to make.
        #[derive(Clone)]
        pub(crate) enum Call {
            $($name(pb::$request)),+
        }

        /// What a call was answered.
        #[expect(clippy::large_enum_variant, reason = "there is one at a time")]
        pub(crate) enum Answer {
            $($name(pb::$response)),+
        }

        impl Answer {
            /// How large it is on the wire.
            pub(crate) fn encoded_len(&self) -> usize {
                match self {
                    $(Self::$name(message) => message.encoded_len()),+
                }
            }
        }

        $(impl From<pb::$request> for Call {
            fn from(request: pb::$request) -> Self {
                Self::$name(request)
            }
        })+

        impl Call {
            /// The name of the RPC.
            pub(crate) fn rpc(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name)),+
                }
            }

            /// Makes the call, showing these metadata and nothing else.
            pub(crate) async fn send(
                &self,
                channel: &Channel,
                metadata: &MetadataMap,
            ) -> Result<Answer, Status> {
                match self {
                    $(Self::$name(message) => {
                        let mut client = $client::new(channel.clone());
                        let request = Request::from_parts(
                            metadata.clone(),
                            Extensions::default(),
                            message.clone(),
                        );
                        client.$method(request).await.map(|answer| Answer::$name(answer.into_inner()))
                    })+
                }
            }
        }
    };
}

rpcs! {
    Authorize, AuthorizeRequest, AuthorizeResponse => AuthorizationServiceClient.authorize;
    BatchAuthorize, BatchAuthorizeRequest, BatchAuthorizeResponse => AuthorizationServiceClient.batch_authorize;
    ListPermissions, ListPermissionsRequest, ListPermissionsResponse => AuthorizationServiceClient.list_permissions;
    IssueToken, IssueTokenRequest, IssueTokenResponse => TokenServiceClient.issue_token;
    RotateToken, RotateTokenRequest, RotateTokenResponse => TokenServiceClient.rotate_token;
    RevokeLeakedTokens, RevokeLeakedTokensRequest, RevokeLeakedTokensResponse => TokenServiceClient.revoke_leaked_tokens;
    RevokeToken, RevokeTokenRequest, RevokeTokenResponse => TokenServiceClient.revoke_token;
    RevokeTokens, RevokeTokensRequest, RevokeTokensResponse => TokenServiceClient.revoke_tokens;
    GetToken, GetTokenRequest, GetTokenResponse => TokenServiceClient.get_token;
    ListTokens, ListTokensRequest, ListTokensResponse => TokenServiceClient.list_tokens;
    CreateWorkspace, CreateWorkspaceRequest, CreateWorkspaceResponse => DirectoryServiceClient.create_workspace;
    GetWorkspace, GetWorkspaceRequest, GetWorkspaceResponse => DirectoryServiceClient.get_workspace;
    UpdateWorkspace, UpdateWorkspaceRequest, UpdateWorkspaceResponse => DirectoryServiceClient.update_workspace;
    ListWorkspaces, ListWorkspacesRequest, ListWorkspacesResponse => DirectoryServiceClient.list_workspaces;
    DeleteWorkspace, DeleteWorkspaceRequest, DeleteWorkspaceResponse => DirectoryServiceClient.delete_workspace;
    PutMember, PutMemberRequest, PutMemberResponse => DirectoryServiceClient.put_member;
    GetMember, GetMemberRequest, GetMemberResponse => DirectoryServiceClient.get_member;
    SetMemberRole, SetMemberRoleRequest, SetMemberRoleResponse => DirectoryServiceClient.set_member_role;
    SetMemberState, SetMemberStateRequest, SetMemberStateResponse => DirectoryServiceClient.set_member_state;
    RemoveMember, RemoveMemberRequest, RemoveMemberResponse => DirectoryServiceClient.remove_member;
    ListMembers, ListMembersRequest, ListMembersResponse => DirectoryServiceClient.list_members;
    ListEvents, ListEventsRequest, ListEventsResponse => EventServiceClient.list_events;
}

/// The names of all the RPCs with one answer that the API describes.
pub(crate) fn rpcs() -> BTreeSet<String> {
    let files = prost_types::FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET);
    let files = files.expect("the descriptors are whole").file;
    let ours = files
        .iter()
        .filter(|file| file.package() == "countersign.v1");
    let services = ours.flat_map(|file| &file.service);
    let methods = services.flat_map(|service| &service.method);
    let unary = methods.filter(|method| !method.server_streaming());
    unary.map(|method| method.name().to_owned()).collect()
}

/// The metadata in which the caller of this name shows its key.
pub(crate) fn as_caller(name: &str) -> MetadataMap {
    credentials(&[("x-countersign-key", &key_of(name))])
}

/// These metadata, in this order, repeated keys included.
pub(crate) fn credentials(pairs: &[(&'static str, &str)]) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for (key, value) in pairs {
        let value = AsciiMetadataValue::try_from(value.as_bytes()).expect("a header value");
        metadata.append(*key, value);
    }
    metadata
}

/// A token that is well formed and was never issued.
pub(crate) fn unknown_secret() -> String {
    let secret = Secret::random().expect("random bytes");
    TokenFormat::default().print(&secret).expose().to_owned()
}

/// The grant that the configuration calls by this name.
pub(crate) fn grant(name: &str) -> Grant {
    Grant::parse(name).unwrap_or_else(|| panic!("{name} is no grant"))
}
