//! The generated API, `countersign.v1`: messages, client and server. Its documentation is in `proto/`.

#![expect(
    clippy::allow_attributes,
    clippy::large_enum_variant,
    clippy::too_many_lines,
    reason = "generated code"
)]

use std::fmt;

tonic::include_proto!("countersign.v1");

/// Every file of the API with what it imports, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/countersign.binpb"));

/// Prints the name of a message that holds a secret and nothing of it.
macro_rules! opaque_debug {
    ($($message:ty => $name:literal),+ $(,)?) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).finish_non_exhaustive()
            }
        }
    )+};
}

opaque_debug! {
    AuthorizeRequest => "AuthorizeRequest",
    BatchAuthorizeRequest => "BatchAuthorizeRequest",
    GetTokenRequest => "GetTokenRequest",
    get_token_request::Target => "Target",
    IssueTokenResponse => "IssueTokenResponse",
    ListPermissionsRequest => "ListPermissionsRequest",
    RevokeLeakedTokensRequest => "RevokeLeakedTokensRequest",
    RevokeTokenRequest => "RevokeTokenRequest",
    revoke_token_request::Target => "Target",
    RotateTokenResponse => "RotateTokenResponse",
}
