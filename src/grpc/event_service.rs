//! EventService on the wire.

mod watch;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Api, fields::Fields, page, render};
use crate::{
    domain::{
        caller::Grant,
        error::{Error, Problem},
        event::{EventKind, TrailStart},
        ids::{CallerName, RevisionName, WorkspaceId},
    },
    pb::{
        self, ListEventsRequest, ListEventsResponse, WatchEventsRequest, WatchEventsResponse,
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
        let (found, start) = self.service.list_events(filter, asked).await?;
        let (events, next_page_token) = page::render(
            &self.service,
            found,
            |event| event.revision.number.to_string(),
            render::event,
        );
        Ok(Response::new(ListEventsResponse {
            events,
            next_page_token,
            trail_start: trail_start(&start),
        }))
    }
}

/// None where nothing is missing.
fn trail_start(start: &TrailStart) -> Option<pb::TrailStart> {
    (!start.is_first()).then(|| pb::TrailStart {
        revision: start.revision.to_string(),
        occurred_at: Some(render::timestamp(start.at)),
    })
}

fn parse_watch(
    request: &WatchEventsRequest,
) -> Result<(Option<WorkspaceId>, Option<RevisionName>), Error> {
    let mut fields = Fields::default();
    let workspace_id = fields.optional_workspace(&request.workspace_id);
    let after = fields.optional(
        "after_revision",
        &request.after_revision,
        RevisionName::parse,
    );
    workspace_id.zip(after).ok_or_else(|| fields.into_error())
}

fn parse(
    service: &Service,
    request: ListEventsRequest,
) -> Result<(EventFilter, PageRequest), Error> {
    let mut fields = Fields::default();
    let workspace_id = fields.optional_workspace(&request.workspace_id);
    // Members of different workspaces may have the same id.
    let is_placed = match !request.member_id.is_empty() && request.workspace_id.is_empty() {
        true => fields.read("workspace_id", Err(Problem::required())),
        false => Some(()),
    };
    let member_id = fields.optional_member(&request.member_id);
    let token_id = fields.optional("token_id", &request.token_id, |id| service.token_id(id));
    let kinds = fields.list("kinds", &request.kinds, MAX_KINDS, EventKind::parse);
    let caller = fields.optional("caller", &request.caller, CallerName::parse);
    let actor = fields.actor(request.actor.as_ref());
    let since = fields.optional_instant("occurred_since", request.occurred_since);
    let before = fields.optional_instant("occurred_before", request.occurred_before);
    let page = fields.page(request.page_size, request.page_token);
    let about = workspace_id.zip(is_placed).zip(member_id).zip(token_id);
    let by = kinds.zip(caller).zip(actor);
    match (about, by, since.zip(before), page) {
        (
            Some((((workspace_id, ()), member_id), token_id)),
            Some(((kinds, caller), actor)),
            Some((since, before)),
            Some(page),
        ) => {
            let filter = EventFilter {
                workspace_id,
                member_id,
                token_id,
                kinds,
                caller,
                actor,
                since,
                before,
            };
            Ok((filter, page))
        }
        _ => Err(fields.into_error()),
    }
}
