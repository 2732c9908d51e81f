//! EventService on the wire.

mod watch;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Api, fields::Fields, page, render};
use crate::{
    domain::{
        caller::Grant,
        error::{Error, Problem},
        event::EventKind,
        ids::{CallerName, RevisionName, WorkspaceId},
    },
    pb::{
        ListEventsRequest, ListEventsResponse, WatchEventsRequest, WatchEventsResponse,
        event_service_server::EventService,
    },
    service::{EventFilter, PageRequest, Service},
};

/// How many kinds of events may be asked for at once.
const MAX_KINDS: usize = 32;

#[tonic::async_trait]
impl EventService for Api {
    type WatchEventsStream = ReceiverStream<Result<WatchEventsResponse, Status>>;

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let admission = self.gate.admit_to_stream(&request, Grant::EventsRead)?;
        let (workspace_id, after) = parse_watch(request.get_ref())?;
        let watch = self.service.watch_events(workspace_id, after).await?;
        Ok(Response::new(watch::stream(watch, admission)))
    }

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        self.gate.admit(&request, &[Grant::EventsRead])?;
        let (filter, asked) = parse(&self.service, request.into_inner())?;
        let found = self.service.list_events(filter, asked).await?;
        let (events, next_page_token) = page::render(
            &self.service,
            found,
            |event| event.revision.number.to_string(),
            render::event,
        );
        Ok(Response::new(ListEventsResponse {
            events,
            next_page_token,
        }))
    }
}

fn parse_watch(
    request: &WatchEventsRequest,
) -> Result<(Option<WorkspaceId>, Option<RevisionName>), Error> {
    let mut fields = Fields::default();
    let workspace_id = fields.optional_workspace(&request.workspace_id);
    let after = match request.after_revision.as_str() {
        "" => Some(None),
        text => fields
            .read("after_revision", RevisionName::parse(text))
            .map(Some),
    };
    workspace_id.zip(after).ok_or_else(|| fields.into_error())
}

fn parse(
    service: &Service,
    request: ListEventsRequest,
) -> Result<(EventFilter, PageRequest), Error> {
    let mut fields = Fields::default();
    let workspace_id = fields.optional_workspace(&request.workspace_id);
    if !request.member_id.is_empty() && request.workspace_id.is_empty() {
        fields.read::<()>("workspace_id", Err(Problem::required()));
    }
    let member_id = fields.optional_member(&request.member_id);
    let token_id = optional(&request.token_id, |id| service.token_id(id));
    let token_id = fields.read("token_id", token_id);
    let kinds = fields.list("kinds", &request.kinds, MAX_KINDS, EventKind::parse);
    let caller = fields.read("caller", optional(&request.caller, CallerName::parse));
    let actor = fields.actor(request.actor.as_ref());
    let since = fields.optional_instant("occurred_since", request.occurred_since);
    let before = fields.optional_instant("occurred_before", request.occurred_before);
    let page = fields.page(request.page_size, request.page_token);
    fields.finish()?;
    let filter = EventFilter {
        workspace_id: workspace_id.flatten(),
        member_id: member_id.flatten(),
        token_id: token_id.flatten(),
        kinds: kinds.unwrap_or_default(),
        caller: caller.flatten(),
        actor: actor.flatten(),
        since: since.flatten(),
        before: before.flatten(),
    };
    let page = page.ok_or_else(|| Error::field("page_size", Problem::required()))?;
    Ok((filter, page))
}

/// What may be left out, by being empty.
fn optional<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    match text {
        "" => Ok(None),
        text => parse(text).map(Some),
    }
}
