//! `countersign workspace`: the tenants, for people.

mod token_policy;

use clap::{Args, Subcommand, ValueEnum};
use prost_types::FieldMask;

use self::token_policy::PolicyChange;
use super::{
    Failure, call,
    output::{Cell, Paint, Printing, Table, Tone, instant, record, short},
    paging::{Paging, more},
    remote::Caller,
};
use crate::pb::{
    CreateWorkspaceRequest, DeleteWorkspaceRequest, GetWorkspaceRequest, ListWorkspacesRequest,
    ListWorkspacesResponse, UpdateWorkspaceRequest, Workspace as Record, WorkspaceState,
    directory_service_client::DirectoryServiceClient,
};

/// Look at and change workspaces
///
/// Reading needs a service key with the grant `directory.read`, changing one with `directory.write`.
#[derive(Debug, Args)]
pub(super) struct Workspace {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a workspace, or start a deleted one anew
    ///
    /// Of a deleted one the old tokens stay dead and the members removed.
    Create {
        #[command(flatten)]
        which: Which,
        /// A name for people
        #[arg(long)]
        name: String,
    },
    /// Show a workspace, also a deleted one
    Get {
        #[command(flatten)]
        which: Which,
    },
    /// List workspaces by id
    List {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        caller: Caller,
        #[command(flatten)]
        printing: Printing,
    },
    /// Change a workspace's name, its state, or what it asks of its tokens
    Update {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        guard: Guard,
        /// Change nothing; tell what the workspace would be, and how many live tokens the change would end
        #[arg(long)]
        validate_only: bool,
    },
    /// Delete a workspace: its members are removed and its tokens die, for good
    Delete {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        guard: Guard,
        /// Yes, remove all of its members and end all of its tokens for good
        #[arg(long)]
        yes: bool,
    },
}

/// One workspace, and how to reach the service.
#[derive(Debug, Args)]
struct Which {
    /// The workspace
    #[arg(value_name = "WORKSPACE_ID")]
    workspace: String,
    #[command(flatten)]
    caller: Caller,
    #[command(flatten)]
    printing: Printing,
}

#[derive(Debug, Args)]
struct Change {
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// A new state; while it is suspended, its tokens authorize nothing
    #[arg(long, value_enum)]
    state: Option<State>,
    #[command(flatten)]
    token_policy: PolicyChange,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Active,
    Suspended,
}

#[derive(Debug, Args)]
struct Guard {
    /// Refuse unless this is still the workspace's etag, as `get` shows it
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

/// Calls a method on one workspace and prints the workspace that is answered.
macro_rules! on_workspace {
    ($which:expr, $method:ident, $request:expr) => {{
        let Which {
            workspace,
            caller,
            printing,
        } = $which;
        let session = caller.connect().await?;
        let request = $request(workspace);
        let mut client = DirectoryServiceClient::new(session.channel());
        let answer = session.answer(client.$method(session.request(request)).await)?;
        printing.answer(&answer, |answer, paint| {
            told(answer.workspace.as_ref(), paint)
        })
    }};
}

impl Workspace {
    pub(super) fn run(self) -> Result<(), Failure> {
        call(self.command.run())
    }
}

impl Command {
    async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { which, name } => {
                let request = |workspace_id| CreateWorkspaceRequest { workspace_id, name };
                on_workspace!(which, create_workspace, request)
            }
            Self::Get { which } => {
                let request = |workspace_id| GetWorkspaceRequest { workspace_id };
                on_workspace!(which, get_workspace, request)
            }
            Self::List {
                paging,
                caller,
                printing,
            } => list(paging, caller, printing).await,
            Self::Update {
                which,
                change,
                guard,
                validate_only,
            } => update(which, change.request(guard, validate_only)).await,
            Self::Delete {
                which, yes: false, ..
            } => Err(Failure::Usage(format!(
                "this deletes workspace `{}`, removes all of its members and ends all of its tokens for good: add \
                 --yes to do it",
                which.workspace
            ))),
            Self::Delete { which, guard, .. } => {
                let request = |workspace_id| DeleteWorkspaceRequest {
                    workspace_id,
                    etag: guard.etag,
                };
                on_workspace!(which, delete_workspace, request)
            }
        }
    }
}

impl Change {
    fn request(self, guard: Guard, validate_only: bool) -> UpdateWorkspaceRequest {
        let mut request = UpdateWorkspaceRequest {
            etag: guard.etag,
            validate_only,
            ..Default::default()
        };
        let mut mask = FieldMask::default();
        if let Some(name) = self.name {
            request.name = name;
            mask.paths.push("name".to_owned());
        }
        if let Some(state) = self.state {
            request.set_state(match state {
                State::Active => WorkspaceState::Active,
                State::Suspended => WorkspaceState::Suspended,
            });
            mask.paths.push("state".to_owned());
        }
        let policy = self.token_policy.message(&mut mask.paths);
        request.token_policy = Some(policy);
        request.update_mask = Some(mask);
        request
    }
}

async fn update(which: Which, mut request: UpdateWorkspaceRequest) -> Result<(), Failure> {
    if request
        .update_mask
        .as_ref()
        .is_none_or(|mask| mask.paths.is_empty())
    {
        let usage = "say what to change: a name, a state, or what is asked of tokens (`--help`)";
        return Err(Failure::Usage(usage.to_owned()));
    }
    let session = which.caller.connect().await?;
    request.workspace_id = which.workspace;
    let validates = request.validate_only;
    let mut client = DirectoryServiceClient::new(session.channel());
    let answer = session.answer(client.update_workspace(session.request(request)).await)?;
    which.printing.answer(&answer, |answer, paint| {
        let text = told(answer.workspace.as_ref(), paint);
        match validates {
            true => {
                let ended = answer.live_tokens_ended;
                format!("{text}\nnothing was changed; the change would end {ended} live tokens\n")
            }
            false => text,
        }
    })
}

async fn list(paging: Paging, caller: Caller, printing: Printing) -> Result<(), Failure> {
    let session = caller.connect().await?;
    let mut client = DirectoryServiceClient::new(session.channel());
    let ask = async |page_token| {
        let request = ListWorkspacesRequest {
            page_size: paging.page_size(),
            page_token,
        };
        let page = session.answer(client.list_workspaces(session.request(request)).await)?;
        Ok((page.workspaces, page.next_page_token))
    };
    let (workspaces, next_page_token) = paging.gather(ask).await?;
    let list = ListWorkspacesResponse {
        workspaces,
        next_page_token,
    };
    printing.answer(&list, |list, paint| {
        let mut table = Table::new(&["WORKSPACE", "NAME", "STATE", "CREATED", "UPDATED"]);
        for workspace in &list.workspaces {
            table.row([
                workspace.workspace_id.as_str().into(),
                workspace.name.as_str().into(),
                state(workspace),
                instant(workspace.created_at.as_ref(), "-").into(),
                instant(workspace.updated_at.as_ref(), "-").into(),
            ]);
        }
        table.text(paint) + &more(&list.next_page_token)
    })
}

fn state(workspace: &Record) -> Cell {
    let state = workspace.state();
    let tone = match state {
        WorkspaceState::Active => Tone::Good,
        WorkspaceState::Suspended => Tone::Doubtful,
        WorkspaceState::Deleted => Tone::Bad,
        WorkspaceState::Unspecified => Tone::Plain,
    };
    Cell::new(short(state.as_str_name(), "WORKSPACE_STATE_"), tone)
}

fn told(workspace: Option<&Record>, paint: Paint) -> String {
    let Some(workspace) = workspace else {
        return String::new();
    };
    let (created, updated) = (&workspace.created_at, &workspace.updated_at);
    record(
        [
            ("workspace", workspace.workspace_id.as_str().into()),
            ("name", workspace.name.as_str().into()),
            ("state", state(workspace)),
            ("created", instant(created.as_ref(), "-").into()),
            ("updated", instant(updated.as_ref(), "-").into()),
            (
                "tokens",
                token_policy::told(workspace.token_policy.as_ref()).into(),
            ),
            ("etag", workspace.etag.as_str().into()),
        ],
        paint,
    )
}
