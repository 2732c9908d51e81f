//! `countersign token`: personal access tokens, for people.

mod get;
mod inspect;
mod issue;
mod list;
mod revoke;
mod revoke_all;
mod revoke_leaked;
mod rotate;
mod target;

use clap::{Args, Subcommand};
use prost_types::Timestamp;

use super::{
    Failure, call,
    output::{Cell, Paint, Tone, instant, record, short},
};
use crate::pb::{Actor, Token as Record, TokenState};

/// Issue, rotate, list, look at and revoke personal access tokens
#[derive(Debug, Args)]
pub(super) struct Token {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Issue(issue::Issue),
    Rotate(rotate::Rotate),
    List(list::List),
    Get(get::Get),
    Revoke(revoke::Revoke),
    RevokeAll(revoke_all::RevokeAll),
    RevokeLeaked(revoke_leaked::RevokeLeaked),
    Inspect(inspect::Inspect),
}

impl Token {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Issue(issue) => call(issue.run()),
            Command::Rotate(rotate) => call(rotate.run()),
            Command::List(list) => call(list.run()),
            Command::Get(get) => call(get.run()),
            Command::Revoke(revoke) => call(revoke.run()),
            Command::RevokeAll(revoke) => call(revoke.run()),
            Command::RevokeLeaked(revoke) => call(revoke.run()),
            Command::Inspect(inspect) => inspect.run(),
        }
    }
}

/// The member for whom the call is made.
#[derive(Debug, Args)]
struct ActingFor {
    /// The member for whom this is done, where the service key acts for members
    #[arg(long, value_name = "WORKSPACE/MEMBER", value_parser = parse_actor)]
    actor: Option<Actor>,
}

/// What makes it safe to try again.
#[derive(Debug, Args)]
struct Retry {
    /// A name of your own for this request: sent again under it within 24 hours, it is not carried out again
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
}

pub(super) fn parse_actor(text: &str) -> Result<Actor, String> {
    match text.split_once('/') {
        Some((workspace, member)) if !workspace.is_empty() && !member.is_empty() => Ok(Actor {
            workspace_id: workspace.to_owned(),
            member_id: member.to_owned(),
        }),
        _ => Err(
            "must be the ids of workspace and member with `/` between, such as `demo/max`"
                .to_owned(),
        ),
    }
}

/// An instant on the command line.
pub(super) fn parse_instant(text: &str) -> Result<Timestamp, String> {
    // A date alone, which the parser would take, says neither which end of the day nor in which place of the earth.
    let has_time = text.len() > "2027-01-31".len();
    text.parse().ok().filter(|_| has_time).ok_or_else(|| {
        "must be a date, a time and an offset (RFC 3339), such as `2027-01-31T00:00:00Z`".to_owned()
    })
}

fn actor_told(actor: &Actor) -> String {
    format!("{}/{}", actor.workspace_id, actor.member_id)
}

fn state(token: &Record) -> Cell {
    let state = token.state();
    let tone = match state {
        TokenState::Active => Tone::Good,
        TokenState::Expired => Tone::Doubtful,
        TokenState::Revoked => Tone::Bad,
        TokenState::Unspecified => Tone::Plain,
    };
    Cell::new(short(state.as_str_name(), "TOKEN_STATE_"), tone)
}

/// The first of a list that may be long, and how many more there are.
fn at_a_glance(items: &[String], none: &str) -> String {
    match items {
        [] => none.to_owned(),
        [only] => only.clone(),
        [first, more @ ..] => format!("{first} +{}", more.len()),
    }
}

/// What is known of a token, one thing a line.
fn told(token: &Record, paint: Paint) -> String {
    let mut fields: Vec<(&str, Cell)> = vec![
        ("token", token.token_id.as_str().into()),
        ("workspace", token.workspace_id.as_str().into()),
        ("member", token.member_id.as_str().into()),
        ("name", token.name.as_str().into()),
        ("hint", format!("…{}", token.hint).into()),
        ("state", state(token)),
        ("created", instant(token.created_at.as_ref(), "-").into()),
        (
            "expires",
            instant(token.expires_at.as_ref(), "never").into(),
        ),
        (
            "last used",
            instant(token.last_used_at.as_ref(), "never").into(),
        ),
    ];
    if !token.scopes.is_empty() {
        fields.push(("scopes", token.scopes.join(" ").into()));
    }
    if !token.allowed_cidrs.is_empty() {
        fields.push(("networks", token.allowed_cidrs.join(" ").into()));
    }
    if !token.predecessor_id.is_empty() {
        fields.push(("predecessor", token.predecessor_id.as_str().into()));
    }
    if token.revoked_at.is_some() {
        fields.push(("revoked", instant(token.revoked_at.as_ref(), "-").into()));
    }
    if let Some(by) = &token.revoked_by {
        let actor = by.actor.as_ref().map(actor_told);
        let actor = actor.map_or_else(String::new, |actor| format!(" for {actor}"));
        fields.push(("revoked by", format!("{}{actor}", by.caller).into()));
    }
    if !token.revoke_reason.is_empty() {
        fields.push(("reason", token.revoke_reason.as_str().into()));
    }
    record(fields, paint)
}
