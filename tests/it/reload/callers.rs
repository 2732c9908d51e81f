//! Callers come, go and change with a reload, at once.

use std::{sync::Arc, time::Duration};

use countersign::{
    domain::caller::{ActsFor, Caller, Callers, Grant, KeyDigest},
    pb::{
        Actor, GetWorkspaceRequest, IssueTokenRequest, WatchEventsRequest, WatchEventsResponse,
        watch_events_response::Item,
    },
};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::support::{
    client::{Client, issue_request},
    database::{Backend, TestDatabase},
    server::{PLATFORM, Setup, TestServer, caller, key_of},
    status::assert_status,
};

fn setup(callers: Vec<(KeyDigest, Arc<Caller>)>) -> Setup {
    Setup {
        callers: Callers::keyed(callers),
        ..Setup::default()
    }
}

fn platform() -> (KeyDigest, Arc<Caller>) {
    caller(PLATFORM, &Grant::ALL, ActsFor::Platform)
}

/// A server with these callers besides the platform.
async fn start(callers: Vec<(KeyDigest, Arc<Caller>)>) -> (TestDatabase, TestServer) {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let database = database.expect("the embedded one is always there");
    let callers = [vec![platform()], callers].concat();
    let server = setup(callers).start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    (database, server)
}

/// A call that needs `directory.read`.
async fn read(client: &Client) -> Result<(), Status> {
    let request = GetWorkspaceRequest {
        workspace_id: "acme".to_owned(),
    };
    let mut directory = client.directory.clone();
    directory.get_workspace(request).await.map(drop)
}

async fn issue(client: &Client, request: IssueTokenRequest) -> Result<(), Status> {
    client.tokens.clone().issue_token(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_caller_is_admitted_after_a_reload_and_a_removed_one_is_not() {
    let reader = |name| caller(name, &[Grant::DirectoryRead], ActsFor::Members);
    let (_database, server) = start(vec![reader("old")]).await;
    let [old, new] = ["old", "new"].map(|name| server.client(name));
    read(&old).await.expect("the old one is admitted");
    let refused = read(&new).await.expect_err("the new one is not");
    assert_status(&refused, Code::Unauthenticated, "CREDENTIAL_INVALID", None);

    assert!(server.reload(setup(vec![reader("new")])).await);
    read(&new).await.expect("the new one is admitted");
    let refused = read(&old).await.expect_err("the old one is not");
    assert_status(&refused, Code::Unauthenticated, "CREDENTIAL_INVALID", None);
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_and_for_whom_a_caller_acts_change_at_once() {
    let dashboard = |grants: &[Grant], acts_for| caller("dashboard", grants, acts_for);
    let read_only = dashboard(&[Grant::DirectoryRead], ActsFor::Members);
    let (_database, server) = start(vec![read_only]).await;
    let client = server.client("dashboard");
    let without_actor = |name| issue_request("acme", "max", name, None);
    let refused = issue(&client, without_actor("one")).await;
    let refused = refused.expect_err("it may only read");
    assert_status(&refused, Code::PermissionDenied, "GRANT_MISSING", None);

    let issuing = [Grant::TokensIssue];
    let for_platform = dashboard(&issuing, ActsFor::Platform);
    assert!(server.reload(setup(vec![for_platform])).await);
    let issued = issue(&client, without_actor("one")).await;
    issued.expect("it may issue for the platform");
    let refused = read(&client).await.expect_err("it reads no more");
    assert_status(&refused, Code::PermissionDenied, "GRANT_MISSING", None);

    let for_members = dashboard(&issuing, ActsFor::Members);
    assert!(server.reload(setup(vec![for_members])).await);
    let refused = issue(&client, without_actor("two")).await;
    let refused = refused.expect_err("it must name an actor");
    let field = Some("actor");
    assert_status(&refused, Code::InvalidArgument, "ACTOR_REQUIRED", field);
    let with_actor = IssueTokenRequest {
        actor: Some(Actor {
            workspace_id: "acme".to_owned(),
            member_id: "max".to_owned(),
        }),
        ..without_actor("two")
    };
    issue(&client, with_actor).await.expect("it names one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_without_a_moment_in_which_neither_works() {
    let (_, bookings) = caller("bookings", &[Grant::DirectoryRead], ActsFor::Members);
    let with_keys = |names: &[&str]| {
        let entry = |name: &&str| (KeyDigest::of(&key_of(name)), Arc::clone(&bookings));
        names.iter().map(entry).collect::<Vec<_>>()
    };
    let (_database, server) = start(with_keys(&["first"])).await;
    let [first, second] = ["first", "second"].map(|name| server.client(name));
    read(&first).await.expect("the first works alone");

    assert!(server.reload(setup(with_keys(&["first", "second"]))).await);
    read(&first).await.expect("the first works still");
    read(&second).await.expect("the second works already");

    assert!(server.reload(setup(with_keys(&["second"]))).await);
    read(&second).await.expect("the second works alone");
    let refused = read(&first).await.expect_err("the first is out");
    assert_status(&refused, Code::Unauthenticated, "CREDENTIAL_INVALID", None);
}

async fn watch(client: &Client) -> Streaming<WatchEventsResponse> {
    let request = WatchEventsRequest::default();
    let answer = client.events.clone().watch_events(request).await;
    answer.expect("a stream").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_key_or_the_grant_that_it_was_opened_with() {
    let reader = |name| caller(name, &[Grant::EventsRead], ActsFor::Members);
    let names = ["kept", "removed", "demoted"];
    let (_database, server) = start(names.map(reader).to_vec()).await;
    let client = server.client(PLATFORM);
    let [mut kept, mut removed, mut demoted] = [
        watch(&server.client("kept")).await,
        watch(&server.client("removed")).await,
        watch(&server.client("demoted")).await,
    ];
    let demotion = caller("demoted", &[Grant::DirectoryRead], ActsFor::Members);
    assert!(
        server
            .reload(setup(vec![platform(), reader("kept"), demotion]))
            .await
    );
    client.put_member("acme", "eve", "member").await;

    let end = async |watch: &mut Streaming<WatchEventsResponse>| loop {
        let item = timeout(Duration::from_secs(5), watch.message()).await;
        if let Err(status) = item.expect("an end in time") {
            return status;
        }
    };
    let ended = end(&mut removed).await;
    assert_status(&ended, Code::Unauthenticated, "CREDENTIAL_INVALID", None);
    let ended = end(&mut demoted).await;
    assert_status(&ended, Code::PermissionDenied, "GRANT_MISSING", None);
    let heard = async {
        loop {
            let message = kept.message().await.expect("the stream goes on");
            let message = message.expect("the stream goes on");
            if let Some(Item::Event(event)) = message.item {
                return event;
            }
        }
    };
    let heard = timeout(Duration::from_secs(5), heard).await;
    assert_eq!(heard.expect("an event in time").member_id, "eve");
}
