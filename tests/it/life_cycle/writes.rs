//! Writes to the directory: what they change and what not, who may make them by an etag, and reading what is gone.

use std::time::Duration;

use countersign::pb::{
    CreateWorkspaceRequest, DeleteWorkspaceRequest, DenyReason, GetMemberRequest,
    GetWorkspaceRequest, Member, MemberState, PutMemberRequest, RemoveMemberRequest,
    RevokeTokenRequest, SetMemberRoleRequest, SetMemberStateRequest, UpdateWorkspaceRequest,
    Workspace, WorkspaceState, revoke_token_request::Target,
};
use tonic::{Code, Status};

use super::{acme, ask_own};
use crate::support::{
    client::{Client, revoke_request},
    database::{TestDatabase, on_both},
    status::assert_status,
};

const ACTIVE: WorkspaceState = WorkspaceState::Active;

/// A write of the directory, whose etag is given beside it.
#[derive(Debug, Clone, Copy)]
enum Write {
    Name(&'static str),
    State(WorkspaceState),
    Delete,
    Put(&'static str),
    Role(&'static str),
    MemberState(MemberState),
    Remove,
}

/// The etag of what was written, and the revision.
type Written = Result<(String, String), Status>;

/// Makes a write to `acme` or its member `max`.
async fn write(client: &Client, write: Write, etag: &str) -> Written {
    let mut directory = client.directory.clone();
    let (workspace_id, member_id) = ("acme".to_owned(), "max".to_owned());
    let etag = etag.to_owned();
    let update = |path: &str, name: &str, state: WorkspaceState, etag| UpdateWorkspaceRequest {
        workspace_id: "acme".to_owned(),
        name: name.to_owned(),
        state: state.into(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec![path.to_owned()],
        }),
        etag,
        ..Default::default()
    };
    let of_workspace = |workspace: Option<Workspace>| workspace.expect("it is answered").etag;
    let of_member = |member: Option<Member>| member.expect("it is answered").etag;
    Ok(match write {
        Write::Name(name) => {
            let request = update("name", name, ACTIVE, etag);
            let done = directory.update_workspace(request).await?.into_inner();
            (of_workspace(done.workspace), done.revision)
        }
        Write::State(state) => {
            let request = update("state", "", state, etag);
            let done = directory.update_workspace(request).await?.into_inner();
            (of_workspace(done.workspace), done.revision)
        }
        Write::Delete => {
            let request = DeleteWorkspaceRequest { workspace_id, etag };
            let done = directory.delete_workspace(request).await?.into_inner();
            (of_workspace(done.workspace), done.revision)
        }
        Write::Put(role) => {
            let request = PutMemberRequest {
                workspace_id,
                member_id,
                role: role.to_owned(),
                etag,
            };
            let done = directory.put_member(request).await?.into_inner();
            (of_member(done.member), done.revision)
        }
        Write::Role(role) => {
            let request = SetMemberRoleRequest {
                workspace_id,
                member_id,
                role: role.to_owned(),
                etag,
            };
            let done = directory.set_member_role(request).await?.into_inner();
            (of_member(done.member), done.revision)
        }
        Write::MemberState(state) => {
            let request = SetMemberStateRequest {
                workspace_id,
                member_id,
                state: state.into(),
                etag,
            };
            let done = directory.set_member_state(request).await?.into_inner();
            (of_member(done.member), done.revision)
        }
        Write::Remove => {
            let request = RemoveMemberRequest {
                workspace_id,
                member_id,
                etag,
            };
            let done = directory.remove_member(request).await?.into_inner();
            (of_member(done.member), done.revision)
        }
    })
}

async fn workspace(client: &Client) -> Workspace {
    let request = GetWorkspaceRequest {
        workspace_id: "acme".to_owned(),
    };
    let answer = client.directory.clone().get_workspace(request).await;
    answer
        .expect("it is there")
        .into_inner()
        .workspace
        .expect("the answer carries it")
}

async fn member(client: &Client) -> Member {
    let request = GetMemberRequest {
        workspace_id: "acme".to_owned(),
        member_id: "max".to_owned(),
    };
    let answer = client.directory.clone().get_member(request).await;
    answer
        .expect("it is there")
        .into_inner()
        .member
        .expect("the answer carries it")
}

/// The etag that guards this write.
async fn etag_of(client: &Client, write: Write) -> String {
    match write {
        Write::Name(_) | Write::State(_) | Write::Delete => workspace(client).await.etag,
        Write::Put(_) | Write::Role(_) | Write::MemberState(_) | Write::Remove => {
            member(client).await.etag
        }
    }
}

/// A life in writes, each of which changes something.
const LIFE: [Write; 14] = [
    Write::Name("Acme Limited"),
    Write::State(WorkspaceState::Suspended),
    Write::Put("admin"),
    Write::State(ACTIVE),
    Write::Role("member"),
    Write::MemberState(MemberState::Suspended),
    Write::Put("admin"),
    Write::Role("member"),
    Write::MemberState(MemberState::Active),
    Write::Remove,
    Write::Put("member"),
    Write::MemberState(MemberState::Suspended),
    Write::Remove,
    Write::Delete,
];

async fn a_write_that_changes_nothing_writes_nothing(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    for change in LIFE {
        server.clock().advance(Duration::from_secs(1));
        let (etag, revision) = write(&platform, change, "").await.expect("it is written");
        let before = database.dump().await;
        server.clock().advance(Duration::from_secs(1));
        let right = etag_of(&platform, change).await;
        for guard in ["", &right] {
            let again = write(&platform, change, guard)
                .await
                .expect("it is as good");
            assert_eq!(again, (etag.clone(), revision.clone()), "{change:?}");
        }
        assert_eq!(database.dump().await, before, "{change:?}");
    }
    // What is dead stays as it is whichever of its ends is asked for once more.
    let (before, head) = (
        database.dump().await,
        write(&platform, Write::Delete, "").await,
    );
    let head = head.expect("it is as good").1;
    let again = write(&platform, Write::Remove, "")
        .await
        .expect("it is as good");
    assert_eq!(again.1, head);
    assert_eq!(database.dump().await, before);
}

async fn a_refused_write_writes_nothing(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let create = CreateWorkspaceRequest {
        workspace_id: "acme".to_owned(),
        name: "Another".to_owned(),
    };
    let before = database.dump().await;
    let refused = platform.directory.clone().create_workspace(create).await;
    let refused = refused.expect_err("it exists");
    assert_status(&refused, Code::AlreadyExists, "WORKSPACE_EXISTS", None);
    for secret in ["csn_pat_1", "", "Bearer"] {
        let request = RevokeTokenRequest {
            target: Some(Target::Secret(secret.to_owned())),
            ..Default::default()
        };
        let done = platform.tokens.clone().revoke_token(request).await;
        assert_eq!(done.expect("an answer").into_inner().token, None);
    }
    let missing = platform
        .tokens
        .clone()
        .revoke_token(revoke_request("tok_none"))
        .await;
    assert_eq!(missing.expect_err("there is none").code(), Code::NotFound);
    assert_eq!(database.dump().await, before);

    platform.remove_member("acme", "max").await;
    let before = database.dump().await;
    for change in [
        Write::Role("admin"),
        Write::MemberState(MemberState::Active),
    ] {
        let refused = write(&platform, change, "")
            .await
            .expect_err("it was removed");
        assert_status(&refused, Code::FailedPrecondition, "MEMBER_REMOVED", None);
    }
    assert_eq!(database.dump().await, before);
    platform.delete_workspace("acme").await;
    let before = database.dump().await;
    for change in LIFE {
        match (change, write(&platform, change, "").await) {
            (Write::Delete | Write::Remove, Ok(_)) => {}
            (_, Err(refused)) => {
                assert_status(
                    &refused,
                    Code::FailedPrecondition,
                    "WORKSPACE_DELETED",
                    None,
                );
            }
            (_, Ok(_)) => panic!("{change:?} of what was deleted"),
        }
    }
    assert_eq!(database.dump().await, before);
}

async fn the_right_etag_passes_a_wrong_one_is_refused_and_every_change_makes_another(
    database: TestDatabase,
) {
    let (_server, platform) = acme(&database).await;
    let (mut workspace_etags, mut member_etags) = (Vec::<String>::new(), Vec::<String>::new());
    for change in LIFE {
        let seen = (
            workspace(&platform).await.etag,
            member(&platform).await.etag,
        );
        let right = etag_of(&platform, change).await;
        let before = database.dump().await;
        let past = match right == seen.0 {
            true => workspace_etags.last().cloned(),
            false => member_etags.last().cloned(),
        };
        for wrong in ["v0", "v999", "x", &past.unwrap_or_default()] {
            if wrong.is_empty() || wrong == right {
                continue;
            }
            let refused = write(&platform, change, wrong)
                .await
                .expect_err("it is late");
            assert_status(&refused, Code::Aborted, "ETAG_MISMATCH", None);
        }
        assert_eq!(database.dump().await, before, "{change:?}");
        let (etag, _) = write(&platform, change, &right)
            .await
            .expect("it is in time");
        assert_ne!(etag, right, "{change:?}");
        assert_eq!(etag_of(&platform, change).await, etag);
        let now = (
            workspace(&platform).await.etag,
            member(&platform).await.etag,
        );
        if now.0 != seen.0 {
            workspace_etags.push(seen.0);
        }
        if now.1 != seen.1 {
            member_etags.push(seen.1);
        }
    }
    // The deletion changed the workspace; its members had been removed before.
    platform.create_workspace("acme").await;
    workspace_etags.push(workspace(&platform).await.etag);
    platform.put_member("acme", "max", "member").await;
    let seen = member(&platform).await.etag;
    member_etags.push(seen.clone());
    platform.delete_workspace("acme").await;
    assert_ne!(
        member(&platform).await.etag,
        seen,
        "a deletion removes members"
    );
    for mut etags in [workspace_etags, member_etags] {
        let all = etags.len();
        etags.sort_unstable();
        etags.dedup();
        assert_eq!(etags.len(), all, "no etag comes back");
    }
}

async fn an_etag_keeps_a_late_writer_from_making_a_member(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let request = PutMemberRequest {
        workspace_id: "acme".to_owned(),
        member_id: "new".to_owned(),
        role: "member".to_owned(),
        etag: "v1".to_owned(),
    };
    let refused = platform.directory.clone().put_member(request).await;
    let refused = refused.expect_err("there is no record of that etag");
    assert_status(&refused, Code::Aborted, "ETAG_MISMATCH", None);
}

async fn putting_a_member_who_is_there_replaces_the_role_only(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let secret = platform.issue("acme", "max", "deploy", None).await.secret;
    let created = member(&platform).await;
    platform
        .set_member_state("acme", "max", MemberState::Suspended)
        .await;
    for role in ["member", "admin", "admin", "member"] {
        let put = platform.put_member("acme", "max", role).await;
        assert_eq!(
            (put.state(), put.role.as_str()),
            (MemberState::Suspended, role)
        );
        assert_eq!(put.created_at, created.created_at);
        assert_eq!(put, member(&platform).await);
        assert_eq!(
            ask_own(&platform, &secret).await,
            Err(DenyReason::MemberSuspended)
        );
    }
    platform
        .set_member_state("acme", "max", MemberState::Active)
        .await;
    assert!(
        ask_own(&platform, &secret).await.is_ok(),
        "its tokens outlive the suspension"
    );
    platform.put_member("acme", "max", "admin").await;
    let answer = ask_own(&platform, &secret)
        .await
        .expect("they outlive a put as well");
    assert_eq!(answer.principal.expect("whose it is").role, "admin");
}

async fn what_is_gone_can_still_be_got(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let created = (workspace(&platform).await, member(&platform).await);
    server.clock().advance(Duration::from_secs(1));
    let now = super::instant(server.clock().now());
    platform.remove_member("acme", "max").await;
    let removed = member(&platform).await;
    assert_eq!(removed.state(), MemberState::Removed);
    assert_eq!(
        (removed.role.as_str(), removed.updated_at),
        ("member", Some(now))
    );
    assert_eq!(removed.created_at, created.1.created_at);
    platform.delete_workspace("acme").await;
    let deleted = workspace(&platform).await;
    assert_eq!(deleted.state(), WorkspaceState::Deleted);
    assert_eq!(
        (deleted.name.as_str(), deleted.updated_at),
        ("acme", Some(now))
    );
    assert_eq!(deleted.created_at, created.0.created_at);
    assert_eq!(
        member(&platform).await,
        removed,
        "it had been removed before"
    );
}

on_both![
    a_write_that_changes_nothing_writes_nothing,
    a_refused_write_writes_nothing,
    the_right_etag_passes_a_wrong_one_is_refused_and_every_change_makes_another,
    an_etag_keeps_a_late_writer_from_making_a_member,
    putting_a_member_who_is_there_replaces_the_role_only,
    what_is_gone_can_still_be_got,
];
