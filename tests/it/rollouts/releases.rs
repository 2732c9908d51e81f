//! This release and the one before on one database: upgraded and rolled back while calls go on, each doing what the other's
//! changes say. The one before is built from the commit that `tests/former_release` names.

use countersign::pb::{
    Context, DenyReason, ListEventsRequest, MemberState, Outcome, RevokeTokensRequest, Token,
    resource::Owner,
};

use super::{
    DRAIN_DELAY,
    fleet::{Fleet, REPLICAS, migrate},
    load,
};
use crate::support::{
    client::{
        Client, again_for_now, authorize_request, get, list_events, revoke_request, rotate_request,
    },
    database::{Backend, TestDatabase},
    process::{Process, this_release},
    random::Random,
    server::{PLATFORM, key_of},
    tools,
};

const NOTHING: &str = "nothing to do\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_and_a_rollback_lose_no_call_and_no_write() {
    let (Some(former), Some(database)) = (
        tools::require_former(),
        TestDatabase::create(Backend::Postgres).await,
    ) else {
        return;
    };
    let mut random = Random::with_seed(0);
    let Some(mut fleet) = Fleet::start(&former, &database, DRAIN_DELAY).await else {
        return;
    };
    let load = load::start(fleet.client(), fleet.since, &mut random).await;
    let pending = pending_here(&database).await;
    if !pending.is_empty() {
        let (code, said) = tokio::task::block_in_place(|| Process::refused(&database));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("run `countersign migrate` first"), "{said}");
    }
    // As the chart does it: before any server of the new release, and while the former one is at work.
    let said = migrate(this_release(), &database);
    assert_eq!(said.lines().collect::<Vec<_>>().len(), pending.len().max(1));
    fleet.change_release(this_release());
    fleet.replace(0, &mut random).await;
    // One of each: the first to come is the first to go, so the newest is the last.
    let (old, new) = (fleet.client_of(0), fleet.client_of(REPLICAS - 1));
    must_follow(&old, &new, "upgraded").await;
    must_follow(&new, &old, "beside").await;
    for _ in 1..REPLICAS {
        fleet.replace(0, &mut random).await;
    }
    // Back: nothing is undone, and the former release has nothing to do.
    assert_eq!(migrate(&former, &database), NOTHING);
    fleet.change_release(&former);
    fleet.replace(0, &mut random).await;
    let (new, old) = (fleet.client_of(0), fleet.client_of(REPLICAS - 1));
    must_follow(&new, &old, "rolled-back").await;
    must_follow(&old, &new, "beside-again").await;
    for _ in 1..REPLICAS {
        fleet.replace(0, &mut random).await;
    }
    fleet.wait_for_the_ended().await;
    let (ledger, report) = load.stop().await;
    println!("pending: {pending:?}; {report}");
    assert!(report.errors.is_empty(), "{report}");
    assert!(report.is_mostly_in_time(), "{report}");
    ledger.assert_kept(&database, &fleet.client()).await;
    // And forward once more, from all that the former one wrote.
    assert_eq!(migrate(this_release(), &database), NOTHING);
    let process = tokio::task::block_in_place(|| Process::serve(&database, ""));
    let client = process.client_with_key(Some(&key_of(PLATFORM)));
    ledger.assert_kept(&database, &client).await;
}

async fn pending_here(database: &TestDatabase) -> Vec<String> {
    let url = countersign::domain::database_url::DatabaseUrl::parse(database.url());
    let pending = countersign::store::pending_migrations(&url.expect("an address")).await;
    pending.expect("it is told")
}

/// Everything that one server changes is what the other decides by, from the revision on that the first one returned.
async fn must_follow(first: &Client, second: &Client, workspace_id: &str) {
    first.create_workspace(workspace_id).await;
    for member_id in ["ada", "max", "eva"] {
        first.put_member(workspace_id, member_id, "admin").await;
    }
    let issue = async |member_id: &str, name: &str| {
        let issued = first.issue(workspace_id, member_id, name, None).await;
        (issued.token.expect("a token"), issued.secret)
    };
    let (deploy, of_deploy) = issue("ada", "deploy").await;
    let (_, of_max) = issue("max", "script").await;
    let (rotated, of_rotated) = issue("eva", "rotated").await;
    // It is asked about before anything changes, so that the second server has it in memory.
    for secret in [&of_deploy, &of_max, &of_rotated] {
        assert_eq!(refusal_at(second, secret, newest(first).await).await, None);
    }
    first.set_member_role(workspace_id, "max", "member").await;
    let users = "users.list";
    let seen = newest(first).await;
    let denied = refusal_of(second, &of_max, users, workspace_id, seen).await;
    assert_eq!(denied, Some(DenyReason::RoleNotPermitted));
    first
        .set_member_state(workspace_id, "max", MemberState::Suspended)
        .await;
    let denied = refusal_at(second, &of_max, newest(first).await).await;
    assert_eq!(denied, Some(DenyReason::MemberSuspended));
    let request = revoke_request(&deploy.token_id);
    let revoked = first.tokens.clone().revoke_token(request).await;
    let revision = revoked.expect("it is revoked").into_inner().revision;
    let denied = refusal_at(second, &of_deploy, revision).await;
    assert_eq!(denied, Some(DenyReason::RevokedToken));
    let request = rotate_request(&rotated.token_id);
    let answer = first.tokens.clone().rotate_token(request).await;
    let answer = answer.expect("it is rotated").into_inner();
    let denied = refusal_at(second, &of_rotated, answer.revision.clone()).await;
    // Without an overlap it ends there and then.
    assert_eq!(denied, Some(DenyReason::ExpiredToken));
    assert_eq!(
        refusal_at(second, &answer.secret, answer.revision).await,
        None
    );
    let request = RevokeTokensRequest {
        workspace_id: workspace_id.to_owned(),
        reason: "all of them".to_owned(),
        ..Default::default()
    };
    let ended = first.tokens.clone().revoke_tokens(request).await;
    let revision = ended.expect("they are revoked").into_inner().revision;
    let denied = refusal_at(second, &answer.secret, revision).await;
    assert_eq!(denied, Some(DenyReason::RevokedToken));
    // Both tell the same of it.
    let [here, there]: [Token; 2] = [
        get(first, &deploy.token_id).await,
        get(second, &deploy.token_id).await,
    ];
    assert_eq!(here, there);
    let events = ListEventsRequest {
        workspace_id: workspace_id.to_owned(),
        page_size: 500,
        ..Default::default()
    };
    let here = list_events(first, events.clone()).await;
    assert_eq!(here, list_events(second, events).await);
    assert!(here.len() >= 10, "{here:?}");
}

/// The revision of the last change in this server's feed.
async fn newest(client: &Client) -> String {
    let request = ListEventsRequest {
        page_size: 1,
        ..Default::default()
    };
    let page = client.events.clone().list_events(request).await;
    let events = page.expect("a page").into_inner().events;
    events[0].revision.clone()
}

/// Why a token may not do what any good one may, as a server decides that knows this revision; None if it may.
async fn refusal_at(client: &Client, secret: &str, revision: String) -> Option<DenyReason> {
    refusal_of(client, secret, "bookings.read", "", revision).await
}

async fn refusal_of(
    client: &Client,
    secret: &str,
    action: &str,
    workspace_id: &str,
    revision: String,
) -> Option<DenyReason> {
    let owner = match workspace_id {
        "" => Owner::Bearer(true),
        _ => Owner::Collection(true),
    };
    let mut request = authorize_request(secret, action, workspace_id, Some(owner));
    request.context = Some(Context {
        min_revision: revision,
        ..Default::default()
    });
    let ask = || {
        let (mut client, request) = (client.authorization.clone(), request.clone());
        async move { client.authorize(request).await }
    };
    let answer = again_for_now(ask).await.expect("a decision");
    let decision = answer.decision.expect("a decision");
    (decision.outcome() == Outcome::Deny).then(|| decision.reason())
}
