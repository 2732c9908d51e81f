//! One cell of every row of the table through the front door, on both databases.
//!
//! A first server, whose policy knows the role `ghost`, brings every cell about by the calls that bring it about in
//! life. A second one on the same database, with the default policy, decides.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use countersign::{
    domain::{
        policy::Policy,
        secret::{Secret, TokenFormat},
    },
    pb::{
        AuthorizeResponse, Context, Decision, DenyReason, IssueTokenRequest, MemberState, Outcome,
        Principal, Reach, WorkspaceState, resource::Owner,
    },
};

use super::{
    Row, TABLE,
    cells::{self, Cell, DIMENSIONS, MEMBER, OTHER_MEMBER},
    rows,
};
use crate::support::{
    client::{Client, authorize_request, issue_request},
    database::{TestDatabase, on_both},
    server::{BOOKINGS, PLATFORM, Setup},
};

/// The roles by name only: what they may do is the second server's business.
const POLICY_WITH_GHOST: &str = r#"
[resources.bookings]
verbs = ["list", "read", "create", "update", "delete"]
[resources.appointments]
verbs = ["list"]
[resources.availability]
verbs = ["list"]
[resources.meeting-types]
verbs = ["list"]
[resources.users]
verbs = ["list", "read"]
[roles.member]
own = ["bookings.read"]
[roles.admin]
own = ["bookings.read"]
[roles.ghost]
own = ["bookings.read"]
"#;
/// The workspace that resources are in when they are not in the bearer's.
const ELSEWHERE: &str = "elsewhere";
const TTL: Duration = Duration::from_secs(3600);
/// What the token's own state is told by, whose text must not tell them apart.
const UNIFORM: [&str; 6] = [
    "MALFORMED_TOKEN",
    "UNKNOWN_TOKEN",
    "WORKSPACE_DELETED",
    "MEMBER_REMOVED",
    "REVOKED_TOKEN",
    "EXPIRED_TOKEN",
];

/// A cell brought about.
struct Prepared<'a> {
    row: &'a Row,
    cell: Cell,
    workspace_id: String,
    token_id: String,
    presented: String,
}

async fn one_cell_per_row_through_the_server(database: TestDatabase) {
    let rows = rows(TABLE);
    let setup = Setup {
        policy: Policy::parse(POLICY_WITH_GHOST).expect("the policy is good"),
        ..Setup::default()
    };
    let clock = setup.clock.clone();
    let server = setup.start(&database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace(ELSEWHERE).await;
    let mut prepared = Vec::new();
    for (row, cell) in rows.iter().zip(picks(&rows)) {
        let cell = cell.unwrap_or_else(|| panic!("line {}: no cell can be reached", row.line));
        prepared.push(prepare(&platform, row, cell).await);
    }
    server.stop().await.expect("the server stops");

    clock.advance(TTL);
    let setup = Setup {
        clock,
        ..Setup::default()
    };
    let server = setup.start(&database).await;
    let bookings = server.client(BOOKINGS);
    let mut messages: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for prepared in &prepared {
        let response = ask(&bookings, prepared).await;
        let message = check(prepared, response);
        let (_, reason) = split(prepared.row);
        messages.entry(reason).or_default().insert(message);
    }
    check_messages(&messages);
    server.stop().await.expect("the server stops");
}

on_both![one_cell_per_row_through_the_server];

/// For each row a cell that it decides and that can be brought about. Where the order of reasons is at stake, the one with
/// most in its way; elsewhere they take turns, so that every form of question is asked.
fn picks(rows: &[Row]) -> Vec<Option<Cell>> {
    let mut reachable = vec![Vec::new(); rows.len()];
    for cell in cells::all() {
        let row = rows.iter().position(|row| row.matches(&cell));
        if let Some(row) = row.filter(|_| is_reachable(&cell)) {
            reachable[row].push(cell);
        }
    }
    let pick = |(row, cells): (&Row, &Vec<Cell>)| {
        let take_turns = matches!(split(row), ("ALLOW", _) | (_, "NOT_OWNER"));
        match take_turns {
            true if !cells.is_empty() => Some(cells[row.line * 7 % cells.len()]),
            _ => cells.iter().max_by_key(|cell| obstacles(cell)).copied(),
        }
    };
    rows.iter().zip(&reachable).map(pick).collect()
}

fn obstacles(cell: &Cell) -> usize {
    cell.indexes
        .iter()
        .zip(&DIMENSIONS)
        .filter(|(index, dimension)| usize::from(**index) + 1 == dimension.values.len())
        .count()
}

/// No policy declares `tokens`, so no scope can be issued that covers an action on them with a verb that it has alone.
/// Removing a member and deleting a workspace, which removes its members, end their tokens: no token is live, expired
/// or revoked by itself alone after that.
fn is_reachable(cell: &Cell) -> bool {
    let is_deleted = cell.value("workspace_state") == "deleted";
    let is_removed = cell.value("member_state") == "removed";
    if (cell.value("scopes"), cell.value("action")) == ("covering", "tokens.issue") {
        return false;
    }
    match cell.value("token") {
        "malformed" | "unknown" | "revoked-by-workspace-generation" => !is_deleted || is_removed,
        "revoked-by-member-generation" => !is_deleted,
        _ => !is_deleted && !is_removed,
    }
}

async fn prepare<'a>(platform: &Client, row: &'a Row, cell: Cell) -> Prepared<'a> {
    let workspace_id = format!("row-{}", row.line);
    let workspace = workspace_id.as_str();
    let (token, role) = (cell.value("token"), cell.value("role"));
    let is_deleted = cell.value("workspace_state") == "deleted";
    let is_removed = cell.value("member_state") == "removed";
    platform.create_workspace(workspace).await;
    platform.put_member(workspace, MEMBER, role).await;
    platform.put_member(workspace, OTHER_MEMBER, role).await;
    let ttl = (token == "expired").then_some(TTL);
    let request = IssueTokenRequest {
        scopes: cell.scopes(),
        allowed_cidrs: cell.allowed_cidrs(),
        ..issue_request(workspace, MEMBER, "laptop", ttl)
    };
    let issued = platform.tokens.clone().issue_token(request).await;
    let issued = issued.unwrap_or_else(|status| panic!("{cell}: {status}"));
    let issued = issued.into_inner();
    let token_id = issued.token.expect("the answer carries it").token_id;
    match token {
        "revoked" => drop(platform.revoke(&token_id).await),
        "revoked-by-member-generation" => {
            platform.remove_member(workspace, MEMBER).await;
            if !is_removed {
                platform.put_member(workspace, MEMBER, role).await;
            }
        }
        "revoked-by-workspace-generation" => {
            platform.delete_workspace(workspace).await;
            if !is_deleted {
                platform.create_workspace(workspace).await;
            }
            if !is_removed {
                platform.put_member(workspace, MEMBER, role).await;
            }
        }
        _ if is_deleted => platform.delete_workspace(workspace).await,
        _ if is_removed => platform.remove_member(workspace, MEMBER).await,
        _ => {}
    }
    if cell.value("member_state") == "suspended" {
        let state = MemberState::Suspended;
        platform.set_member_state(workspace, MEMBER, state).await;
    }
    if cell.value("workspace_state") == "suspended" {
        let state = WorkspaceState::Suspended;
        platform.set_workspace_state(workspace, state).await;
    }
    let presented = match token {
        "malformed" => with_another_last_character(&issued.secret),
        "unknown" => {
            let secret = Secret::random().expect("random bytes");
            TokenFormat::default().print(&secret).expose().to_owned()
        }
        _ => issued.secret.clone(),
    };
    Prepared {
        row,
        cell,
        workspace_id,
        token_id,
        presented,
    }
}

fn with_another_last_character(secret: &str) -> String {
    let (body, last) = secret.split_at(secret.len() - 1);
    format!("{body}{}", if last == "0" { "1" } else { "0" })
}

async fn ask(client: &Client, prepared: &Prepared<'_>) -> AuthorizeResponse {
    let cell = &prepared.cell;
    let workspace_id = match cell.value("workspace") {
        "own" => &prepared.workspace_id,
        "other" => ELSEWHERE,
        _ => "",
    };
    let owner = match cell.value("owner") {
        "own" => Some(Owner::OwnerId(MEMBER.to_owned())),
        "other" => Some(Owner::OwnerId(OTHER_MEMBER.to_owned())),
        "bearer" => Some(Owner::Bearer(true)),
        "collection" => Some(Owner::Collection(true)),
        _ => None,
    };
    let on_behalf_of = match cell.value("on_behalf_of") {
        "self" => MEMBER,
        "other" => OTHER_MEMBER,
        _ => "",
    };
    let mut request = authorize_request(
        &prepared.presented,
        cell.value("action"),
        workspace_id,
        owner,
    );
    request.context = Some(Context {
        on_behalf_of: on_behalf_of.to_owned(),
        client_ip: cell.client_ip().to_owned(),
        ..Default::default()
    });
    let response = client.authorization.clone().authorize(request).await;
    response
        .unwrap_or_else(|status| panic!("{cell}: {status}"))
        .into_inner()
}

/// The outcome and the reach or the reason that a row expects.
fn split(row: &Row) -> (&str, &str) {
    row.expected.split_once(' ').expect("two words")
}

/// Compares all but the message, which it returns.
fn check(prepared: &Prepared<'_>, response: AuthorizeResponse) -> String {
    let Prepared { row, cell, .. } = prepared;
    let decision = response.decision.expect("there is a decision");
    let (outcome, detail) = split(row);
    let is_allowed = outcome == "ALLOW";
    let reason = (!is_allowed).then(|| format!("DENY_REASON_{detail}"));
    let reason = reason.map(|name| DenyReason::from_str_name(&name).expect("a reason"));
    let reach = is_allowed.then(|| format!("REACH_{detail}"));
    let reach = reach.map(|name| Reach::from_str_name(&name).expect("a reach"));
    let expected = Decision {
        outcome: if is_allowed {
            Outcome::Allow
        } else {
            Outcome::Deny
        }
        .into(),
        reason: reason.unwrap_or(DenyReason::Unspecified).into(),
        message: decision.message.clone(),
        reach: reach.unwrap_or(Reach::Unspecified).into(),
    };
    assert_eq!(decision, expected, "line {}: {cell}", row.line);
    let principal = (!UNIFORM.contains(&detail)).then(|| Principal {
        workspace_id: prepared.workspace_id.clone(),
        member_id: MEMBER.to_owned(),
        role: cell.value("role").to_owned(),
        token_id: prepared.token_id.clone(),
        token_name: "laptop".to_owned(),
        expires_at: None,
        scopes: cell.scopes(),
    });
    assert_eq!(
        response.principal.as_deref(),
        principal.as_ref(),
        "line {}: {cell}",
        row.line
    );
    let shows_revision = cell.value("token") != "malformed";
    assert_eq!(!response.revision.is_empty(), shows_revision, "{cell}");
    decision.message
}

/// One text for all that the token's own state is told by, and another for each other reason.
fn check_messages(messages: &BTreeMap<&str, BTreeSet<String>>) {
    let of = |reason: &str| messages.get(reason).cloned().unwrap_or_default();
    let uniform: BTreeSet<String> = UNIFORM.iter().flat_map(|reason| of(reason)).collect();
    assert_eq!(uniform.len(), 1, "{uniform:?}");
    assert!(UNIFORM.iter().all(|reason| messages.contains_key(reason)));
    let others = messages.iter().filter(|(reason, _)| {
        !UNIFORM.contains(reason) && !matches!(**reason, "OWN" | "WORKSPACE")
    });
    let mut seen = uniform;
    seen.insert(String::new());
    for (reason, texts) in others {
        assert_eq!(texts.len(), 1, "{reason}: {texts:?}");
        for text in texts {
            assert!(seen.insert(text.clone()), "{reason}: `{text}`");
        }
    }
}
