//! `countersign events`: the audit trail, for people.

use clap::Args;
use serde_json::Value;

use super::{
    Failure, call,
    output::{Cell, Printing, Table, instant, to_value},
    remote::Caller,
};
use crate::pb::{
    Event, ListEventsRequest, ListEventsResponse, event_service_client::EventServiceClient,
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
                page_size: i32::try_from(wanted).unwrap_or_default(),
                page_token: list.next_page_token,
            };
            let page = session.answer(client.list_events(session.request(request)).await)?;
            list.events.extend(page.events);
            list.next_page_token = page.next_page_token;
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
                "" => "",
                _ => "\nThere are more: raise --limit\n",
            };
            table.text(paint) + more
        })
    }
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
