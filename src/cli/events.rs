//! `countersign events`: the audit trail, for people.

use clap::Args;
use prost_types::Timestamp;
use serde_json::Value;

use super::{
    Failure, call,
    output::{Cell, Printing, Table, instant, to_value},
    remote::Caller,
    token::{parse_actor, parse_instant},
};
use crate::pb::{
    Actor, Event, ListEventsRequest, ListEventsResponse, TrailStart,
    event_service_client::EventServiceClient,
};

/// What every event has. Whatever else is set is its kind.
const COMMON: [&str; 8] = [
    "revision",
    "event_id",
    "occurred_at",
    "caller",
    "actor",
    "workspace_id",
    "member_id",
    "token_id",
];
/// The most that a page holds.
const LARGEST_PAGE: usize = 500;

/// Show the audit trail: who changed what, newest first
///
/// Needs a service key with the grant `events.read`.
#[derive(Debug, Args)]
pub(super) struct Events {
    /// Only events of this workspace
    #[arg(
        long,
        value_name = "WORKSPACE_ID",
        default_value = "",
        hide_default_value = true
    )]
    workspace: String,

    /// Only events about this member of the workspace, or about its tokens
    #[arg(long, value_name = "MEMBER_ID", requires = "workspace")]
    member: Option<String>,

    /// Only events about this token
    #[arg(long, value_name = "TOKEN_ID")]
    token_id: Option<String>,

    /// Only events of this kind, such as `token_issued`; may be given more than once, or with commas between
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<String>,

    /// Only events that this caller brought about
    #[arg(long, value_name = "CALLER")]
    by: Option<String>,

    /// Only events that were brought about on behalf of this member
    #[arg(long = "for", value_name = "WORKSPACE_ID/MEMBER_ID", value_parser = parse_actor)]
    on_behalf_of: Option<Actor>,

    /// Only events at this time (RFC 3339) or after, such as `2027-01-31T00:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    since: Option<Timestamp>,

    /// Only events before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    before: Option<Timestamp>,

    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    #[command(flatten)]
    caller: Caller,

    #[command(flatten)]
    printing: Printing,
}

impl Events {
    pub(super) fn run(self) -> Result<(), Failure> {
        call(self.list())
    }

    async fn list(self) -> Result<(), Failure> {
        let session = self.caller.connect().await?;
        let mut client = EventServiceClient::new(session.channel());
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut list = ListEventsResponse::default();
        loop {
            let wanted = (limit - list.events.len()).min(LARGEST_PAGE);
            let request = ListEventsRequest {
                workspace_id: self.workspace.clone(),
                member_id: self.member.clone().unwrap_or_default(),
                token_id: self.token_id.clone().unwrap_or_default(),
                kinds: self.kind.clone(),
                caller: self.by.clone().unwrap_or_default(),
                actor: self.on_behalf_of.clone(),
                occurred_since: self.since,
                occurred_before: self.before,
                page_size: i32::try_from(wanted).unwrap_or_default(),
                page_token: list.next_page_token,
            };
            let page = session.answer(client.list_events(session.request(request)).await)?;
            list.events.extend(page.events);
            list.next_page_token = page.next_page_token;
            list.trail_start = page.trail_start;
            if list.next_page_token.is_empty() || list.events.len() >= limit {
                break;
            }
        }
        let rows: Vec<_> = list.events.iter().map(row).collect::<Result<_, _>>()?;
        self.printing.answer(&list, |list, paint| {
            let mut table = Table::new(&[
                "AT",
                "EVENT",
                "WORKSPACE",
                "MEMBER",
                "TOKEN",
                "BY",
                "DETAILS",
            ]);
            for cells in rows {
                table.row(cells);
            }
            let more = match list.next_page_token.as_str() {
                "" => missing(list.trail_start.as_ref(), self.since.as_ref()),
                _ => "\nThere are more: raise --limit\n".to_owned(),
            };
            table.text(paint) + &more
        })
    }
}

/// That there may have been more, if older events were dropped than were asked for.
fn missing(start: Option<&TrailStart>, since: Option<&Timestamp>) -> String {
    let Some(began) = start.and_then(|start| start.occurred_at) else {
        return String::new();
    };
    let place = |at: &Timestamp| (at.seconds, at.nanos);
    if since.is_some_and(|since| place(since) > place(&began)) {
        return String::new();
    }
    let began = instant(Some(&began), "-");
    format!("\nThe trail begins at {began}: older events were dropped\n")
}

fn row(event: &Event) -> Result<[Cell; 7], Failure> {
    let value = to_value(event)?;
    let (kind, details) = value
        .as_object()
        .and_then(|fields| {
            fields
                .iter()
                .find(|(name, _)| !COMMON.contains(&name.as_str()))
        })
        .map_or((String::new(), String::new()), |(kind, details)| {
            (kind.replace('_', " "), told(details))
        });
    let or_none = |text: &str| match text {
        "" => Cell::from("-"),
        text => Cell::from(text),
    };
    let actor = event.actor.as_ref();
    let by = match actor {
        Some(actor) => format!(
            "{} for {}/{}",
            event.caller, actor.workspace_id, actor.member_id
        ),
        None => event.caller.clone(),
    };
    Ok([
        instant(event.occurred_at.as_ref(), "-").into(),
        or_none(&kind),
        or_none(&event.workspace_id),
        or_none(&event.member_id),
        or_none(&event.token_id),
        or_none(&by),
        details.into(),
    ])
}

/// What is set of an event's own fields.
fn told(details: &Value) -> String {
    let Some(fields) = details.as_object() else {
        return String::new();
    };
    let set = fields.iter().filter_map(|(name, value)| {
        let text = match value {
            Value::Null | Value::Bool(false) => return None,
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) => text.clone(),
            Value::Array(items) if items.is_empty() => return None,
            other => other.to_string(),
        };
        Some(format!("{name}={text}"))
    });
    set.collect::<Vec<_>>().join(" ")
}
