//! EventService on the wire.

mod watch;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Api, fields::Fields, page, render};
use crate::{
    domain::{
        caller::Grant,
        error::Error,
        ids::{RevisionName, WorkspaceId},
    },
    pb::{
        ListEventsRequest, ListEventsResponse, WatchEventsRequest, WatchEventsResponse,
        event_service_server::EventService,
    },
    service::PageRequest,
};

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
        let (workspace_id, asked) = parse(request.into_inner())?;
        let found = self.service.list_events(workspace_id, asked).await?;
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

fn parse(request: ListEventsRequest) -> Result<(Option<WorkspaceId>, PageRequest), Error> {
    let mut fields = Fields::default();
    let workspace_id = fields.optional_workspace(&request.workspace_id);
    let page = fields.page(request.page_size, request.page_token);
    workspace_id.zip(page).ok_or_else(|| fields.into_error())
}
