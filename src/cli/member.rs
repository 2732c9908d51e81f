//! `countersign member`: the users in a workspace, for people.

use clap::{Args, Subcommand};

use super::{
    Failure, call,
    output::{Cell, Paint, Printing, Table, Tone, instant, record, short},
    paging::{Paging, more},
    remote::Caller,
};
use crate::pb::{
    GetMemberRequest, ListMembersRequest, ListMembersResponse, Member as Record, MemberState,
    PutMemberRequest, RemoveMemberRequest, SetMemberRoleRequest, SetMemberStateRequest,
    directory_service_client::DirectoryServiceClient,
};

/// Look at and change the members of a workspace
///
/// Reading needs a service key with the grant `directory.read`, changing one with `directory.write`.
#[derive(Debug, Args)]
pub(super) struct Member {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the members of a workspace by id
    List {
        /// The workspace
        #[arg(long, value_name = "WORKSPACE_ID")]
        workspace: String,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        caller: Caller,
        #[command(flatten)]
        printing: Printing,
    },
    /// Show a member, also a removed one
    Get {
        #[command(flatten)]
        who: Who,
    },
    /// Make a member exist with a role
    ///
    /// Creates it ACTIVE. Of one that exists it replaces the role and nothing else, so a suspension stays. A removed one
    /// comes back ACTIVE, and its earlier tokens stay dead.
    Put {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        role: Role,
        #[command(flatten)]
        guard: Guard,
    },
    /// Change a member's role: its tokens have the new role's power at once
    SetRole {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        role: Role,
        #[command(flatten)]
        guard: Guard,
    },
    /// Suspend a member: its tokens authorize nothing until it is reactivated
    Suspend {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        guard: Guard,
    },
    /// End a member's suspension: its tokens work again
    Reactivate {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        guard: Guard,
    },
    /// Remove a member: its tokens die, for good
    Remove {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        guard: Guard,
        /// Yes, end its tokens for good
        #[arg(long)]
        yes: bool,
    },
}

/// One member, and how to reach the service.
#[derive(Debug, Args)]
struct Who {
    /// The member
    #[arg(value_name = "MEMBER_ID")]
    member: String,
    /// Its workspace
    #[arg(long, value_name = "WORKSPACE_ID")]
    workspace: String,
    #[command(flatten)]
    caller: Caller,
    #[command(flatten)]
    printing: Printing,
}

#[derive(Debug, Args)]
struct Role {
    /// The name of a role in the service's policy, such as `member` or `admin`
    #[arg(long)]
    role: String,
}

#[derive(Debug, Args)]
struct Guard {
    /// Refuse unless this is still the member's etag, as `get` shows it
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

/// Calls a method on one member and prints the member that is answered.
macro_rules! on_member {
    ($who:expr, $method:ident, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let Who { member, workspace, caller, printing } = $who;
        let session = caller.connect().await?;
        let request = $request {
            workspace_id: workspace,
            member_id: member,
            $($field: $value,)*
        };
        let mut client = DirectoryServiceClient::new(session.channel());
        let answer = session.answer(client.$method(session.request(request)).await)?;
        printing.answer(&answer, |answer, paint| told(answer.member.as_ref(), paint))
    }};
}

impl Member {
    pub(super) fn run(self) -> Result<(), Failure> {
        call(self.command.run())
    }
}

impl Command {
    async fn run(self) -> Result<(), Failure> {
        match self {
            Self::List {
                workspace,
                paging,
                caller,
                printing,
            } => list(workspace, paging, caller, printing).await,
            Self::Get { who } => on_member!(who, get_member, GetMemberRequest {}),
            Self::Put { who, role, guard } => on_member!(
                who,
                put_member,
                PutMemberRequest {
                    role: role.role,
                    etag: guard.etag,
                }
            ),
            Self::SetRole { who, role, guard } => on_member!(
                who,
                set_member_role,
                SetMemberRoleRequest {
                    role: role.role,
                    etag: guard.etag,
                }
            ),
            Self::Suspend { who, guard } => set_state(who, guard, MemberState::Suspended).await,
            Self::Reactivate { who, guard } => set_state(who, guard, MemberState::Active).await,
            Self::Remove {
                who, yes: false, ..
            } => Err(Failure::Usage(format!(
                "this removes member `{}` of workspace `{}` and ends its tokens for good: add --yes to do it",
                who.member, who.workspace
            ))),
            Self::Remove { who, guard, .. } => {
                on_member!(who, remove_member, RemoveMemberRequest { etag: guard.etag })
            }
        }
    }
}

async fn set_state(who: Who, guard: Guard, state: MemberState) -> Result<(), Failure> {
    on_member!(
        who,
        set_member_state,
        SetMemberStateRequest {
            state: state.into(),
            etag: guard.etag,
        }
    )
}

async fn list(
    workspace: String,
    paging: Paging,
    caller: Caller,
    printing: Printing,
) -> Result<(), Failure> {
    let session = caller.connect().await?;
    let mut client = DirectoryServiceClient::new(session.channel());
    let ask = async |page_token| {
        let request = ListMembersRequest {
            workspace_id: workspace.clone(),
            page_size: paging.page_size(),
            page_token,
        };
        let page = session.answer(client.list_members(session.request(request)).await)?;
        Ok((page.members, page.next_page_token))
    };
    let (members, next_page_token) = paging.gather(ask).await?;
    let list = ListMembersResponse {
        members,
        next_page_token,
    };
    printing.answer(&list, |list, paint| {
        let mut table = Table::new(&["MEMBER", "ROLE", "STATE", "CREATED", "UPDATED"]);
        for member in &list.members {
            table.row([
                member.member_id.as_str().into(),
                member.role.as_str().into(),
                state(member),
                instant(member.created_at.as_ref(), "-").into(),
                instant(member.updated_at.as_ref(), "-").into(),
            ]);
        }
        table.text(paint) + &more(&list.next_page_token)
    })
}

fn state(member: &Record) -> Cell {
    let state = member.state();
    let tone = match state {
        MemberState::Active => Tone::Good,
        MemberState::Suspended => Tone::Doubtful,
        MemberState::Removed => Tone::Bad,
        MemberState::Unspecified => Tone::Plain,
    };
    Cell::new(short(state.as_str_name(), "MEMBER_STATE_"), tone)
}

fn told(member: Option<&Record>, paint: Paint) -> String {
    let Some(member) = member else {
        return String::new();
    };
    record(
        [
            ("member", member.member_id.as_str().into()),
            ("workspace", member.workspace_id.as_str().into()),
            ("role", member.role.as_str().into()),
            ("state", state(member)),
            ("created", instant(member.created_at.as_ref(), "-").into()),
            ("updated", instant(member.updated_at.as_ref(), "-").into()),
            ("etag", member.etag.as_str().into()),
        ],
        paint,
    )
}
