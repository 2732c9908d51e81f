//! Bad requests to DirectoryService, and to EventService but for its pages.

use countersign::pb::{
    CreateWorkspaceRequest, DeleteWorkspaceRequest, GetMemberRequest, GetWorkspaceRequest,
    ListEventsRequest, ListMembersRequest, PutMemberRequest, RemoveMemberRequest,
    SetMemberRoleRequest, SetMemberStateRequest, UpdateWorkspaceRequest,
};
use prost_types::FieldMask;
use tonic::Code;

use super::{
    Call, Case, MALFORMED, REQUIRED, TOO_LONG, bad_ids, bad_names, briefly, invalid, refused,
    world::World,
};

pub(super) fn cases(_: &World) -> Vec<Case> {
    let mut cases = ids();
    for (what, name, reason) in briefly(bad_names()) {
        let create = create("fresh", &name);
        cases.push(invalid(format!("name {what}"), create, reason, &["name"]));
        let mut update = update(&["name"]);
        update.name = name;
        cases.push(invalid(format!("name {what}"), update, reason, &["name"]));
    }
    cases.extend(masks());
    cases.extend(roles_and_states());
    cases.extend(etags());
    cases.extend(targets());
    cases
}

fn create(workspace_id: &str, name: &str) -> CreateWorkspaceRequest {
    CreateWorkspaceRequest {
        workspace_id: workspace_id.to_owned(),
        name: name.to_owned(),
    }
}

fn update(paths: &[&str]) -> UpdateWorkspaceRequest {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    UpdateWorkspaceRequest {
        workspace_id: "acme".to_owned(),
        name: "changed".to_owned(),
        state: 2,
        update_mask: Some(FieldMask { paths }),
        ..Default::default()
    }
}

/// The five requests that name a member.
fn about_member(workspace_id: &str, member_id: &str, etag: &str) -> Vec<Call> {
    let (workspace_id, member_id) = (workspace_id.to_owned(), member_id.to_owned());
    let etag = etag.to_owned();
    let put = PutMemberRequest {
        workspace_id: workspace_id.clone(),
        member_id: member_id.clone(),
        role: "admin".to_owned(),
        etag: etag.clone(),
    };
    let role = SetMemberRoleRequest {
        workspace_id: workspace_id.clone(),
        member_id: member_id.clone(),
        role: "admin".to_owned(),
        etag: etag.clone(),
    };
    let state = SetMemberStateRequest {
        workspace_id: workspace_id.clone(),
        member_id: member_id.clone(),
        state: 2,
        etag: etag.clone(),
    };
    let remove = RemoveMemberRequest {
        workspace_id: workspace_id.clone(),
        member_id: member_id.clone(),
        etag,
    };
    let get = GetMemberRequest {
        workspace_id,
        member_id,
    };
    vec![
        put.into(),
        role.into(),
        state.into(),
        remove.into(),
        get.into(),
    ]
}

fn ids() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, id, reason) in briefly(bad_ids()) {
        let name = format!("workspace_id {what}");
        let get = GetWorkspaceRequest {
            workspace_id: id.clone(),
        };
        let delete = DeleteWorkspaceRequest {
            workspace_id: id.clone(),
            ..Default::default()
        };
        let list = ListMembersRequest {
            workspace_id: id.clone(),
            ..Default::default()
        };
        let mut update = update(&["name"]);
        update.workspace_id.clone_from(&id);
        let mut calls: Vec<Call> = vec![get.into(), delete.into(), list.into(), update.into()];
        calls.push(create(&id, "fresh").into());
        calls.extend(about_member(&id, "max", ""));
        if !id.is_empty() {
            let events = ListEventsRequest {
                workspace_id: id.clone(),
                ..Default::default()
            };
            calls.push(events.into());
        }
        for call in calls {
            cases.push(invalid(name.clone(), call, reason, &["workspace_id"]));
        }
        for call in about_member("acme", &id, "") {
            cases.push(invalid(
                format!("member_id {what}"),
                call,
                reason,
                &["member_id"],
            ));
        }
    }
    let both: &[&str] = &["workspace_id", "member_id"];
    for call in about_member("a b", "", "") {
        cases.push(invalid("both ids wrong", call, MALFORMED, both));
    }
    let nothing = CreateWorkspaceRequest::default();
    cases.push(invalid(
        "nothing at all",
        nothing,
        REQUIRED,
        &["workspace_id", "name"],
    ));
    let put = PutMemberRequest::default();
    let all: &[&str] = &["workspace_id", "member_id", "role"];
    cases.push(invalid("nothing at all", put, REQUIRED, all));
    cases
}

fn masks() -> Vec<Case> {
    let unmasked = UpdateWorkspaceRequest {
        update_mask: None,
        ..update(&[])
    };
    let spoilt = UpdateWorkspaceRequest {
        workspace_id: String::new(),
        name: String::new(),
        state: 0,
        ..update(&["name", "state", "created_at"])
    };
    let unknown = |path: &'static str| {
        let name = format!("update_mask {path:?}");
        invalid(name, update(&["name", path]), MALFORMED, &["update_mask"])
    };
    vec![
        invalid("no update_mask", unmasked, REQUIRED, &["update_mask"]),
        invalid("empty update_mask", update(&[]), REQUIRED, &["update_mask"]),
        unknown(""),
        unknown("*"),
        unknown("Name"),
        unknown("name "),
        unknown("name.first"),
        unknown("workspace_id"),
        unknown("etag"),
        unknown("created_at"),
        unknown("token_policies"),
        unknown("token_policy."),
        unknown("token_policy.lifetime"),
        unknown("token_policy.max_lifetime.seconds"),
        invalid(
            "everything wrong",
            spoilt,
            REQUIRED,
            &["workspace_id", "name", "state", "update_mask"],
        ),
    ]
}

fn roles_and_states() -> Vec<Case> {
    let mut cases = Vec::new();
    let long = "r".repeat(65);
    for (role, reason) in [
        ("", REQUIRED),
        (long.as_str(), TOO_LONG),
        ("ad min", MALFORMED),
        ("ädmin", MALFORMED),
        ("owner", "ROLE_UNKNOWN"),
        ("Admin", "ROLE_UNKNOWN"),
    ] {
        let set = SetMemberRoleRequest {
            workspace_id: "acme".to_owned(),
            member_id: "max".to_owned(),
            role: role.to_owned(),
            ..Default::default()
        };
        let put = PutMemberRequest {
            workspace_id: "acme".to_owned(),
            member_id: "fresh".to_owned(),
            role: role.to_owned(),
            ..Default::default()
        };
        let lost = PutMemberRequest {
            workspace_id: "a b".to_owned(),
            ..put.clone()
        };
        let name = format!("role {role:?}");
        cases.push(invalid(name.clone(), set, reason, &["role"]));
        cases.push(invalid(name.clone(), put, reason, &["role"]));
        let both: &[&str] = &["workspace_id", "role"];
        cases.push(invalid(
            format!("{name}, bad workspace_id"),
            lost,
            MALFORMED,
            both,
        ));
    }
    // UNSPECIFIED, the one that has an RPC of its own, and numbers that nobody gave a name.
    for state in [0, 3, 99, -1, i32::MAX] {
        let set = SetMemberStateRequest {
            workspace_id: "acme".to_owned(),
            member_id: "max".to_owned(),
            state,
            ..Default::default()
        };
        let update = UpdateWorkspaceRequest {
            state,
            ..update(&["name", "state"])
        };
        cases.push(invalid(
            format!("state {state}"),
            set,
            MALFORMED,
            &["state"],
        ));
        cases.push(invalid(
            format!("state {state}"),
            update,
            MALFORMED,
            &["state"],
        ));
    }
    cases
}

fn etags() -> Vec<Case> {
    let mut cases = Vec::new();
    for etag in ["0", "99", "x", "é", " "] {
        let update = UpdateWorkspaceRequest {
            etag: etag.to_owned(),
            ..update(&["name"])
        };
        let delete = DeleteWorkspaceRequest {
            workspace_id: "acme".to_owned(),
            etag: etag.to_owned(),
        };
        let mut calls: Vec<Call> = vec![update.into(), delete.into()];
        calls.extend(about_member("acme", "max", etag));
        calls.extend(about_member("acme", "fresh", etag).into_iter().take(1));
        for call in calls {
            // Reading takes none.
            if !matches!(call, Call::GetMember(_)) {
                let name = format!("etag {etag:?}");
                cases.push(refused(name, call, Code::Aborted, "ETAG_MISMATCH"));
            }
        }
    }
    cases
}

fn targets() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, call: Call, code, reason| {
        cases.push(refused(name, call, code, reason));
    };
    let no_workspace = (Code::NotFound, "WORKSPACE_NOT_FOUND");
    let nowhere = || "nowhere".to_owned();
    let get = GetWorkspaceRequest {
        workspace_id: nowhere(),
    };
    let delete = DeleteWorkspaceRequest {
        workspace_id: nowhere(),
        ..Default::default()
    };
    let list = ListMembersRequest {
        workspace_id: nowhere(),
        ..Default::default()
    };
    let mut unknown = update(&["name"]);
    unknown.workspace_id = nowhere();
    for call in [Call::from(get), delete.into(), list.into(), unknown.into()] {
        add(
            "of an unknown workspace",
            call,
            no_workspace.0,
            no_workspace.1,
        );
    }
    for call in about_member("nowhere", "max", "") {
        let reason = match call {
            Call::PutMember(_) => "WORKSPACE_NOT_FOUND",
            _ => "MEMBER_NOT_FOUND",
        };
        add("in an unknown workspace", call, Code::NotFound, reason);
    }
    for call in about_member("acme", "nobody", "") {
        if !matches!(call, Call::PutMember(_)) {
            add(
                "of an unknown member",
                call,
                Code::NotFound,
                "MEMBER_NOT_FOUND",
            );
        }
    }
    let not_now = Code::FailedPrecondition;
    for call in about_member("acme", "rem", "") {
        if matches!(call, Call::SetMemberRole(_) | Call::SetMemberState(_)) {
            add("of a removed member", call, not_now, "MEMBER_REMOVED");
        }
    }
    // Both answer for the dead: there is nothing left to remove, and reading is allowed.
    for call in about_member("gone", "gus", "") {
        if !matches!(call, Call::RemoveMember(_) | Call::GetMember(_)) {
            add("in a deleted workspace", call, not_now, "WORKSPACE_DELETED");
        }
    }
    let mut dead = update(&["state"]);
    dead.workspace_id = "gone".to_owned();
    add(
        "of a deleted workspace",
        dead.into(),
        not_now,
        "WORKSPACE_DELETED",
    );
    let exists = (Code::AlreadyExists, "WORKSPACE_EXISTS");
    for id in ["acme", "frozen"] {
        add(
            "of one that exists",
            create(id, "again").into(),
            exists.0,
            exists.1,
        );
    }
    cases
}
