//! AuthorizationService on the wire.

use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{
    Api,
    fields::{Fields, only_true, unsupported},
    render,
};
use crate::{
    domain::{
        action::Action,
        caller::Grant,
        decide::{Ask, Owner},
        error::{Error, Problem, ProblemReason},
        ids::{MemberId, WorkspaceId},
    },
    pb::{
        self, AuthorizeRequest, AuthorizeResponse, ListPermissionsRequest, ListPermissionsResponse,
        authorization_service_server::AuthorizationService,
    },
};

/// The longest resource id, in bytes.
const MAX_RESOURCE_ID: usize = 256;

#[tonic::async_trait]
impl AuthorizationService for Api {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        self.gate.admit(&request, &[Grant::Authorize])?;
        let explain = request.get_ref().explain;
        let (token, ask) = parse(request.into_inner())?;
        let verdict = self.service.authorize(&token, &ask, explain).await?;
        let decision = verdict.decision;
        let mut response = Response::new(render::verdict(verdict));
        // For whoever counts decisions.
        response.extensions_mut().insert(decision);
        Ok(response)
    }

    async fn list_permissions(
        &self,
        request: Request<ListPermissionsRequest>,
    ) -> Result<Response<ListPermissionsResponse>, Status> {
        self.gate.admit(&request, &[Grant::Authorize])?;
        let request = request.into_inner();
        let token = Zeroizing::new(request.token);
        let on_behalf_of = parse_context(request.context)?;
        let found = self.service.list_permissions(&token, &on_behalf_of).await?;
        Ok(Response::new(render::permissions(found)))
    }
}

/// For whom the bearer asks to act. Unchecked: the bearer may be the one who says it.
fn parse_context(context: Option<pb::Context>) -> Result<String, Error> {
    let context = context.unwrap_or_default();
    unsupported("context.client_ip", !context.client_ip.is_empty())?;
    unsupported("context.min_revision", !context.min_revision.is_empty())?;
    Ok(context.on_behalf_of)
}

/// The token as it was presented, unchecked since it is the bearer's, and what is asked.
fn parse(request: AuthorizeRequest) -> Result<(Zeroizing<String>, Ask), Error> {
    let token = Zeroizing::new(request.token);
    let on_behalf_of = parse_context(request.context)?;
    let mut fields = Fields::default();
    let action = fields.read("action", Action::parse(&request.action));
    let resource = request.resource.unwrap_or_default();
    let id = within(&resource.id, MAX_RESOURCE_ID);
    fields.read("resource.id", id);
    if let Some(action) = &action {
        let matches = matches_action(&resource.r#type, action);
        fields.read("resource.type", matches);
    }
    let owner = owner(&mut fields, resource.owner.as_ref());
    let workspace_id = workspace(&mut fields, &resource.workspace_id, owner.as_ref());
    let (Some(action), Some(owner), Some(workspace_id)) = (action, owner, workspace_id) else {
        return Err(fields.into_error());
    };
    fields.finish()?;
    let ask = Ask {
        action,
        workspace_id,
        owner,
        on_behalf_of,
    };
    Ok((token, ask))
}

fn within(id: &str, limit: usize) -> Result<(), Problem> {
    match id.len() > limit {
        true => Err(Problem::too_long(limit, "bytes")),
        false => Ok(()),
    }
}

fn matches_action(resource_type: &str, action: &Action) -> Result<(), Problem> {
    if resource_type.is_empty() || resource_type == action.resource_type() {
        return Ok(());
    }
    let expected = action.resource_type();
    let description = format!("must be the action's, `{expected}`, or left out");
    Err(Problem::new(ProblemReason::Conflict, description).with("expected", expected))
}

fn owner(fields: &mut Fields, owner: Option<&pb::resource::Owner>) -> Option<Owner> {
    use pb::resource::Owner as Form;

    match owner {
        None => Some(Owner::Nobody),
        Some(Form::OwnerId(id)) => fields
            .read("resource.owner_id", MemberId::parse(id))
            .map(Owner::Member),
        Some(Form::Bearer(flag)) => fields
            .read("resource.bearer", only_true(*flag))
            .map(|()| Owner::Bearer),
        Some(Form::Collection(flag)) => fields
            .read("resource.collection", only_true(*flag))
            .map(|()| Owner::Collection),
    }
}

/// The workspace, which may be left out (`Some(None)`) only where the token's own is meant.
fn workspace(fields: &mut Fields, id: &str, owner: Option<&Owner>) -> Option<Option<WorkspaceId>> {
    let may_be_empty = matches!(owner, Some(Owner::Bearer | Owner::Collection));
    if id.is_empty() && may_be_empty {
        return Some(None);
    }
    fields
        .read("resource.workspace_id", WorkspaceId::parse(id))
        .map(Some)
}
