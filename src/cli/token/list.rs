//! `countersign token list`.

use clap::{Args, ValueEnum};
use prost_types::Timestamp;

use super::{ActingFor, at_a_glance, parse_instant, state};
use crate::{
    cli::{
        Failure,
        output::{Printing, Table, instant},
        paging::{Paging, more},
        remote::Caller,
    },
    pb::{
        ListTokensRequest, ListTokensResponse, TokenState, token_service_client::TokenServiceClient,
    },
};

/// List the tokens of a workspace or of one member, newest first
///
/// Of scopes and networks the first is told and how many more there are: `token get` tells all.
///
/// Needs a service key with the grant `tokens.read`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// The workspace
    #[arg(long, value_name = "WORKSPACE_ID")]
    workspace: String,

    /// Only this member's tokens
    #[arg(long, value_name = "MEMBER_ID")]
    member: Option<String>,

    /// Only tokens in this state; may be given more than once, or with commas between
    #[arg(long, value_enum, value_delimiter = ',')]
    state: Vec<State>,

    /// Only tokens that were not used at this time (RFC 3339) or after, such as `2027-01-31T00:00:00Z`; those that were never used count
    /// from when they were issued
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    unused_since: Option<Timestamp>,

    /// Only tokens that end by themselves before this time (RFC 3339), by their own expiry or by the workspace's token policy
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    expires_before: Option<Timestamp>,

    #[command(flatten)]
    paging: Paging,

    #[command(flatten)]
    acting_for: ActingFor,

    #[command(flatten)]
    caller: Caller,

    #[command(flatten)]
    printing: Printing,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Active,
    Expired,
    Revoked,
}

impl From<State> for TokenState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Expired => Self::Expired,
            State::Revoked => Self::Revoked,
        }
    }
}

impl List {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.caller.connect().await?;
        let request = ListTokensRequest {
            workspace_id: self.workspace,
            member_id: self.member.unwrap_or_default(),
            states: self
                .state
                .into_iter()
                .map(|state| TokenState::from(state).into())
                .collect(),
            expires_before: self.expires_before,
            unused_since: self.unused_since,
            actor: self.acting_for.actor,
            page_size: self.paging.page_size(),
            page_token: String::new(),
        };
        let mut client = TokenServiceClient::new(session.channel());
        let ask = async |page_token| {
            let request = ListTokensRequest {
                page_token,
                ..request.clone()
            };
            let page = session.answer(client.list_tokens(session.request(request)).await)?;
            Ok((page.tokens, page.next_page_token))
        };
        let (tokens, next_page_token) = self.paging.gather(ask).await?;
        let list = ListTokensResponse {
            tokens,
            next_page_token,
        };
        self.printing.answer(&list, |list, paint| {
            let headings = [
                "TOKEN",
                "MEMBER",
                "NAME",
                "HINT",
                "STATE",
                "CREATED",
                "EXPIRES",
                "LAST USED",
                "SCOPES",
                "NETWORKS",
            ];
            let mut table = Table::new(&headings);
            for token in &list.tokens {
                table.row([
                    token.token_id.as_str().into(),
                    token.member_id.as_str().into(),
                    token.name.as_str().into(),
                    token.hint.as_str().into(),
                    state(token),
                    instant(token.created_at.as_ref(), "-").into(),
                    instant(token.expires_at.as_ref(), "never").into(),
                    instant(token.last_used_at.as_ref(), "never").into(),
                    at_a_glance(&token.scopes, "all").into(),
                    at_a_glance(&token.allowed_cidrs, "any").into(),
                ]);
            }
            table.text(paint) + &more(&list.next_page_token)
        })
    }
}
