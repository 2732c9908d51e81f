//! EventService on the wire.

use tonic::{Request, Response, Status};

use super::{Api, fields::Fields, page, render};
use crate::{
    domain::{caller::Grant, error::Error, ids::WorkspaceId},
    pb::{ListEventsRequest, ListEventsResponse, event_service_server::EventService},
    service::PageRequest,
};

#[tonic::async_trait]
impl EventService for Api {
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

fn parse(request: ListEventsRequest) -> Result<(Option<WorkspaceId>, PageRequest), Error> {
    let mut fields = Fields::default();
    let workspace_id = match request.workspace_id.is_empty() {
        true => Some(None),
        false => fields
            .read("workspace_id", WorkspaceId::parse(&request.workspace_id))
            .map(Some),
    };
    let page = fields.page(request.page_size, request.page_token);
    workspace_id.zip(page).ok_or_else(|| fields.into_error())
}
