//! DirectoryService on the wire.

mod token_policy;

use tonic::{Request, Response, Status};

use super::{Api, fields::Fields, page, render};
use crate::{
    domain::{
        caller::{Caller, Grant},
        directory::{MemberState, WorkspaceState},
        error::{Error, Problem, ProblemReason},
        ids::{MemberKey, WorkspaceId},
        name::Name,
        token::Origin,
        token_policy::TokenPolicyUpdate,
    },
    pb::{
        self, CreateWorkspaceRequest, CreateWorkspaceResponse, DeleteWorkspaceRequest,
        DeleteWorkspaceResponse, GetMemberRequest, GetMemberResponse, GetWorkspaceRequest,
        GetWorkspaceResponse, ListMembersRequest, ListMembersResponse, ListWorkspacesRequest,
        ListWorkspacesResponse, PutMemberRequest, PutMemberResponse, RemoveMemberRequest,
        RemoveMemberResponse, SetMemberRoleRequest, SetMemberRoleResponse, SetMemberStateRequest,
        SetMemberStateResponse, UpdateWorkspaceRequest, UpdateWorkspaceResponse,
        directory_service_server::DirectoryService,
    },
    service::{MemberChange, MemberCommand, WorkspaceChange, WorkspaceCommand, WorkspaceUpdate},
};

const READ: [Grant; 1] = [Grant::DirectoryRead];
const WRITE: [Grant; 1] = [Grant::DirectoryWrite];

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl DirectoryService for Api {
    async fn create_workspace(
        &self,
        request: Request<CreateWorkspaceRequest>,
    ) -> Answer<CreateWorkspaceResponse> {
        let caller = self.gate.admit(&request, &WRITE)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let workspace_id = fields.read("workspace_id", WorkspaceId::parse(&request.workspace_id));
        let name = fields.read("name", Name::parse(&request.name));
        let (Some(workspace_id), Some(name)) = (workspace_id, name) else {
            return Err(fields.into_error().into());
        };
        let change = WorkspaceChange::Create { name };
        let (workspace, revision) = self.workspace(&caller, workspace_id, change).await?;
        Ok(Response::new(CreateWorkspaceResponse {
            workspace: Some(workspace),
            revision,
        }))
    }

    async fn get_workspace(
        &self,
        request: Request<GetWorkspaceRequest>,
    ) -> Answer<GetWorkspaceResponse> {
        self.gate.admit(&request, &READ)?;
        let workspace_id = parse_workspace(&request.get_ref().workspace_id)?;
        let workspace = self.service.get_workspace(&workspace_id).await?;
        Ok(Response::new(GetWorkspaceResponse {
            workspace: Some(render::workspace(&workspace)),
        }))
    }

    async fn update_workspace(
        &self,
        request: Request<UpdateWorkspaceRequest>,
    ) -> Answer<UpdateWorkspaceResponse> {
        let caller = self.gate.admit(&request, &WRITE)?;
        let validate_only = request.get_ref().validate_only;
        let (workspace_id, update) = parse_update(request.into_inner())?;
        if validate_only {
            let validated = self
                .service
                .validate_workspace_update(&workspace_id, &update);
            return Ok(Response::new(render::validated(validated.await?)));
        }
        let change = WorkspaceChange::Update(update);
        let (workspace, revision) = self.workspace(&caller, workspace_id, change).await?;
        Ok(Response::new(UpdateWorkspaceResponse {
            workspace: Some(workspace),
            revision,
            live_tokens_ended: 0,
        }))
    }

    async fn list_workspaces(
        &self,
        request: Request<ListWorkspacesRequest>,
    ) -> Answer<ListWorkspacesResponse> {
        self.gate.admit(&request, &READ)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let asked = fields
            .page(request.page_size, request.page_token)
            .ok_or_else(|| fields.into_error())?;
        let found = self.service.list_workspaces(asked).await?;
        let (workspaces, next_page_token) = page::render(
            &self.service,
            found,
            |workspace| workspace.workspace_id.to_string(),
            render::workspace,
        );
        Ok(Response::new(ListWorkspacesResponse {
            workspaces,
            next_page_token,
        }))
    }

    async fn delete_workspace(
        &self,
        request: Request<DeleteWorkspaceRequest>,
    ) -> Answer<DeleteWorkspaceResponse> {
        let caller = self.gate.admit(&request, &WRITE)?;
        let request = request.into_inner();
        let workspace_id = parse_workspace(&request.workspace_id)?;
        let change = WorkspaceChange::Delete { etag: request.etag };
        let (workspace, revision) = self.workspace(&caller, workspace_id, change).await?;
        Ok(Response::new(DeleteWorkspaceResponse {
            workspace: Some(workspace),
            revision,
        }))
    }

    async fn put_member(&self, request: Request<PutMemberRequest>) -> Answer<PutMemberResponse> {
        let caller = self.gate.admit(&request, &WRITE)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let key = fields.member(&request.workspace_id, &request.member_id);
        let change = fields
            .read("role", self.service.parse_role(&request.role))
            .map(MemberChange::Put);
        let (member, revision) = self
            .member(&caller, fields, key, change, request.etag)
            .await?;
        Ok(Response::new(PutMemberResponse {
            member: Some(member),
            revision,
        }))
    }

    async fn get_member(&self, request: Request<GetMemberRequest>) -> Answer<GetMemberResponse> {
        self.gate.admit(&request, &READ)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let key = fields
            .member(&request.workspace_id, &request.member_id)
            .ok_or_else(|| fields.into_error())?;
        let member = self.service.get_member(&key).await?;
        Ok(Response::new(GetMemberResponse {
            member: Some(render::member(&member)),
        }))
    }

    async fn set_member_role(
        &self,
        request: Request<SetMemberRoleRequest>,
    ) -> Answer<SetMemberRoleResponse> {
        let caller = self.gate.admit(&request, &WRITE)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let key = fields.member(&request.workspace_id, &request.member_id);
        let change = fields
            .read("role", self.service.parse_role(&request.role))
            .map(MemberChange::SetRole);
        let (member, revision) = self
            .member(&caller, fields, key, change, request.etag)
            .await?;
        Ok(Response::new(SetMemberRoleResponse {
            member: Some(member),
            revision,
        }))
    }

    async fn set_member_state(
        &self,
        request: Request<SetMemberStateRequest>,
    ) -> Answer<SetMemberStateResponse> {
        let caller = self.gate.admit(&request, &WRITE)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let key = fields.member(&request.workspace_id, &request.member_id);
        let change = fields
            .read("state", member_state(request.state))
            .map(MemberChange::SetState);
        let (member, revision) = self
            .member(&caller, fields, key, change, request.etag)
            .await?;
        Ok(Response::new(SetMemberStateResponse {
            member: Some(member),
            revision,
        }))
    }

    async fn remove_member(
        &self,
        request: Request<RemoveMemberRequest>,
    ) -> Answer<RemoveMemberResponse> {
        let caller = self.gate.admit(&request, &WRITE)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let key = fields.member(&request.workspace_id, &request.member_id);
        let change = Some(MemberChange::Remove);
        let (member, revision) = self
            .member(&caller, fields, key, change, request.etag)
            .await?;
        Ok(Response::new(RemoveMemberResponse {
            member: Some(member),
            revision,
        }))
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Answer<ListMembersResponse> {
        self.gate.admit(&request, &READ)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let workspace_id = fields.read("workspace_id", WorkspaceId::parse(&request.workspace_id));
        let asked = fields.page(request.page_size, request.page_token);
        let (Some(workspace_id), Some(asked)) = (workspace_id, asked) else {
            return Err(fields.into_error().into());
        };
        let found = self.service.list_members(&workspace_id, asked).await?;
        let (members, next_page_token) = page::render(
            &self.service,
            found,
            |member| member.member_id.to_string(),
            render::member,
        );
        Ok(Response::new(ListMembersResponse {
            members,
            next_page_token,
        }))
    }
}

impl Api {
    async fn workspace(
        &self,
        caller: &Caller,
        workspace_id: WorkspaceId,
        change: WorkspaceChange,
    ) -> Result<(pb::Workspace, String), Error> {
        let command = WorkspaceCommand {
            origin: origin(caller),
            workspace_id,
            change,
        };
        let (workspace, revision) = self.service.change_workspace(command).await?;
        Ok((render::workspace(&workspace), revision.to_string()))
    }

    async fn member(
        &self,
        caller: &Caller,
        fields: Fields,
        key: Option<MemberKey>,
        change: Option<MemberChange>,
        etag: String,
    ) -> Result<(pb::Member, String), Error> {
        let (Some(member), Some(change)) = (key, change) else {
            return Err(fields.into_error());
        };
        let command = MemberCommand {
            origin: origin(caller),
            member,
            change,
            etag,
        };
        let (member, revision) = self.service.change_member(command).await?;
        Ok((render::member(&member), revision.to_string()))
    }
}

/// The platform's own doing: no request of this service names an actor.
fn origin(caller: &Caller) -> Origin {
    Origin {
        caller: caller.name.clone(),
        actor: None,
    }
}

fn parse_workspace(id: &str) -> Result<WorkspaceId, Error> {
    WorkspaceId::parse(id).map_err(|problem| Error::field("workspace_id", problem))
}

fn parse_update(request: UpdateWorkspaceRequest) -> Result<(WorkspaceId, WorkspaceUpdate), Error> {
    let paths = request.update_mask.map_or_else(Vec::new, |mask| mask.paths);
    let policy = request.token_policy.unwrap_or_default();
    let mut fields = Fields::default();
    let workspace_id = fields.read("workspace_id", WorkspaceId::parse(&request.workspace_id));
    let mut update = WorkspaceUpdate {
        name: None,
        state: None,
        token_policy: TokenPolicyUpdate::default(),
        etag: request.etag,
    };
    if paths.is_empty() {
        fields.read::<()>("update_mask", Err(Problem::required()));
    }
    for path in &paths {
        match path.as_str() {
            "name" => update.name = fields.read("name", Name::parse(&request.name)),
            "state" => update.state = fields.read("state", workspace_state(request.state)),
            _ if token_policy::parse(&mut fields, path, &policy, &mut update.token_policy) => {}
            _ => {
                let problem = Problem::new(
                    ProblemReason::Malformed,
                    "must be of `name`, `state`, `token_policy` and the fields of that",
                );
                fields.read::<()>("update_mask", Err(problem));
            }
        }
    }
    let Some(workspace_id) = workspace_id else {
        return Err(fields.into_error());
    };
    fields.finish()?;
    Ok((workspace_id, update))
}

fn workspace_state(state: i32) -> Result<WorkspaceState, Problem> {
    match pb::WorkspaceState::try_from(state) {
        Ok(pb::WorkspaceState::Active) => Ok(WorkspaceState::Active),
        Ok(pb::WorkspaceState::Suspended) => Ok(WorkspaceState::Suspended),
        _ => Err(not_settable()),
    }
}

fn member_state(state: i32) -> Result<MemberState, Problem> {
    match pb::MemberState::try_from(state) {
        Ok(pb::MemberState::Active) => Ok(MemberState::Active),
        Ok(pb::MemberState::Suspended) => Ok(MemberState::Suspended),
        _ => Err(not_settable()),
    }
}

/// DELETED and REMOVED have RPCs of their own.
fn not_settable() -> Problem {
    Problem::new(ProblemReason::Malformed, "must be ACTIVE or SUSPENDED")
}
