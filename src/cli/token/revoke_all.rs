//! `countersign token revoke-all`.

use clap::Args;

use super::ActingFor;
use crate::{
    cli::{
        Failure,
        output::{Printing, printable},
        remote::Caller,
    },
    pb::{RevokeTokensRequest, token_service_client::TokenServiceClient},
};

/// Revoke every token of a member, or of a whole workspace, for good
///
/// It is one change however many tokens there are, and leaves the member or the workspace as it is: new tokens can be issued
/// at once. Needs a service key with the grant `tokens.revoke`.
#[derive(Debug, Args)]
pub(super) struct RevokeAll {
    /// The workspace
    #[arg(long, value_name = "WORKSPACE_ID")]
    workspace: String,

    /// Only this member's tokens; without it, everyone's
    #[arg(long, value_name = "MEMBER_ID")]
    member: Option<String>,

    /// Why, for the record of each token: at most 500 characters
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,

    /// Yes, end these tokens for good
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    acting_for: ActingFor,

    #[command(flatten)]
    caller: Caller,

    #[command(flatten)]
    printing: Printing,
}

impl RevokeAll {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let whose = match &self.member {
            Some(member) => format!("of member `{member}` of workspace `{}`", self.workspace),
            None => format!("of workspace `{}`", self.workspace),
        };
        if !self.yes {
            return Err(Failure::Usage(format!(
                "this ends every token {whose} for good: add --yes to do it"
            )));
        }
        let session = self.caller.connect().await?;
        let request = RevokeTokensRequest {
            workspace_id: self.workspace,
            member_id: self.member.unwrap_or_default(),
            reason: self.reason,
            actor: self.acting_for.actor,
            wait_for_replicas: false,
        };
        let mut client = TokenServiceClient::new(session.channel());
        let revoked = client.revoke_tokens(session.request(request)).await;
        self.printing.answer(&session.answer(revoked)?, |_, _| {
            format!("done: every token {} has ended\n", printable(&whose))
        })
    }
}
