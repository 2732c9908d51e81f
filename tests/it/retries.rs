//! Requests that are sent again under their id: carried out once, answered as often as they come, and never with the secret
//! twice.

use std::time::Duration;

use countersign::pb::{
    Actor, IssueTokenRequest, IssueTokenResponse, MemberState, RevokeTokenRequest,
    RevokeTokenResponse, RotateTokenRequest, TokenState, issue_token_request::Expiry,
    revoke_token_request::Target,
};
use prost_types::Timestamp;
use sea_orm::{ConnectionTrait, Statement};
use tonic::{Code, Status};

use crate::support::{
    call::unknown_secret,
    client::{Client, issue_request, revoke_request, rotate_request},
    database::{TestDatabase, on_both},
    history::History,
    server::{DASHBOARD, PLATFORM, TestServer},
    status::assert_status,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);

async fn acme(database: &TestDatabase) -> (TestServer, Client) {
    let server = TestServer::start(database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    for member_id in ["max", "pia"] {
        platform.put_member("acme", member_id, "member").await;
    }
    (server, platform)
}

fn named(request_id: &str, name: &str) -> IssueTokenRequest {
    IssueTokenRequest {
        request_id: request_id.to_owned(),
        ..issue_request("acme", "max", name, None)
    }
}

async fn issue(client: &Client, request: IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
    let answer = client.tokens.clone().issue_token(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn revoke(
    client: &Client,
    request: RevokeTokenRequest,
) -> Result<RevokeTokenResponse, Status> {
    let answer = client.tokens.clone().revoke_token(request).await;
    answer.map(tonic::Response::into_inner)
}

#[track_caller]
fn assert_reused<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let refused = answer.expect_err("it is another request");
    assert_status(&refused, Code::AlreadyExists, "REQUEST_ID_REUSED", None);
}

/// How many requests are remembered.
async fn remembered(database: &TestDatabase) -> i64 {
    let connection = database.connect().await;
    let sql = "SELECT count(*) AS n FROM request";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await;
    let row = row.expect("the query runs").expect("a row");
    connection.close().await.expect("the connection closes");
    row.try_get("", "n").expect("a number")
}

async fn an_issue_that_is_sent_again_is_told_and_not_made(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let soon = server.clock().now().plus(Duration::from_secs(60));
    let request = IssueTokenRequest {
        expiry: Some(Expiry::ExpiresAt(Timestamp {
            seconds: soon.0 / 1000,
            nanos: 0,
        })),
        ..named("first", "deploy")
    };
    let first = issue(&platform, request.clone()).await.expect("an answer");
    assert!(!first.replayed);
    assert!(!first.secret.is_empty());
    let before = database.dump().await;

    let again = issue(&platform, request.clone()).await.expect("an answer");
    assert!(again.replayed);
    assert_eq!(again.secret, "");
    assert_eq!(
        (&again.token, &again.warnings),
        (&first.token, &first.warnings)
    );
    assert_eq!(again.revision, first.revision, "nothing happened since");

    // What could not be issued any more was issued: its expiry is past, its member suspended. It is told as it is now.
    server.clock().advance(Duration::from_secs(3600));
    let late = issue(&platform, request.clone()).await.expect("an answer");
    assert!(late.replayed);
    assert_eq!(late.token.expect("a token").state(), TokenState::Expired);
    assert_eq!(database.dump().await, before);
    let suspended = MemberState::Suspended;
    platform.set_member_state("acme", "max", suspended).await;
    assert!(issue(&platform, request).await.expect("an answer").replayed);
    History::read(&database).await.assert_sound(&[]);
}

async fn another_request_under_an_id_is_refused(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let first = issue(&platform, named("one", "deploy")).await;
    let token_id = first
        .expect("it is issued")
        .token
        .expect("a token")
        .token_id;
    let before = database.dump().await;
    let spoils: [fn(&mut IssueTokenRequest); 7] = [
        |request| request.name = "another".to_owned(),
        |request| request.member_id = "pia".to_owned(),
        |request| request.scopes = vec!["bookings.read".to_owned()],
        |request| request.allowed_cidrs = vec!["192.0.2.0/24".to_owned()],
        |request| request.member_id = "nobody".to_owned(),
        |request| {
            request.expiry = Some(Expiry::Ttl(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }));
        },
        |request| {
            request.actor = Some(Actor {
                workspace_id: "acme".to_owned(),
                member_id: "max".to_owned(),
            });
        },
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let mut request = named("one", "deploy");
        spoil(&mut request);
        let refused = issue(&platform, request).await.expect_err("another");
        println!("{number}");
        assert_status(&refused, Code::AlreadyExists, "REQUEST_ID_REUSED", None);
    }
    let of_another_kind = RevokeTokenRequest {
        request_id: "one".to_owned(),
        ..revoke_request(&token_id)
    };
    assert_reused(revoke(&platform, of_another_kind).await);
    let rotation = RotateTokenRequest {
        request_id: "one".to_owned(),
        ..rotate_request(&token_id)
    };
    assert_reused(platform.tokens.clone().rotate_token(rotation).await);
    assert_eq!(database.dump().await, before);

    // The same in other words is the same: outer white space is no part of a name.
    let same = named("one", "  deploy ");
    assert!(issue(&platform, same).await.expect("an answer").replayed);
}

async fn an_id_is_its_callers_own(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let dashboard = server.client(DASHBOARD);
    issue(&platform, named("one", "deploy"))
        .await
        .expect("an answer");
    let of_dashboard = IssueTokenRequest {
        actor: Some(Actor {
            workspace_id: "acme".to_owned(),
            member_id: "max".to_owned(),
        }),
        ..named("one", "another")
    };
    let answer = issue(&dashboard, of_dashboard).await.expect("an answer");
    assert!(!answer.replayed);
    assert!(!answer.secret.is_empty());
}

async fn what_was_refused_is_not_remembered(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let holder = platform.issue("acme", "max", "deploy", None).await;
    let refused = issue(&platform, named("one", "deploy")).await;
    let refused = refused.expect_err("the name is taken");
    assert_status(&refused, Code::AlreadyExists, "TOKEN_NAME_TAKEN", None);
    assert_eq!(remembered(&database).await, 0);
    platform
        .revoke(&holder.token.expect("a token").token_id)
        .await;
    let answer = issue(&platform, named("one", "deploy")).await;
    assert!(!answer.expect("it is issued").replayed);
}

async fn a_request_is_remembered_for_a_day_and_then_forgotten(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    issue(&platform, named("one", "deploy"))
        .await
        .expect("an answer");
    server.clock().advance(DAY - MILLISECOND);
    let again = issue(&platform, named("one", "deploy")).await;
    assert!(again.expect("an answer").replayed);
    server.clock().advance(MILLISECOND);
    let refused = issue(&platform, named("one", "deploy")).await;
    let refused = refused.expect_err("it is a new request, for a name that is taken");
    assert_status(&refused, Code::AlreadyExists, "TOKEN_NAME_TAKEN", None);
    let anew = issue(&platform, named("one", "other")).await;
    assert!(!anew.expect("it is issued").replayed);
    assert_eq!(remembered(&database).await, 1);

    // Old ones go, a few at once, when others come.
    for number in 0..20 {
        let request_id = format!("old-{number}");
        let request = RevokeTokenRequest {
            request_id,
            target: Some(Target::Secret("nonsense".to_owned())),
            ..Default::default()
        };
        revoke(&platform, request).await.expect("an answer");
    }
    server.clock().advance(DAY);
    issue(&platform, named("last", "last"))
        .await
        .expect("an answer");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while remembered(&database).await > 1 {
        assert!(tokio::time::Instant::now() < deadline, "they are kept");
        tokio::task::yield_now().await;
    }
    let again = issue(&platform, named("last", "last")).await;
    assert!(again.expect("an answer").replayed);
}

async fn a_revocation_that_is_sent_again_is_told(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let issued = platform.issue("acme", "max", "deploy", None).await;
    let token_id = issued.token.expect("a token").token_id;
    let request = RevokeTokenRequest {
        request_id: "one".to_owned(),
        ..revoke_request(&token_id)
    };
    let first = revoke(&platform, request.clone()).await.expect("an answer");
    assert!(!first.replayed);
    let again = revoke(&platform, request.clone()).await.expect("an answer");
    assert!(again.replayed);
    assert_eq!(
        (&again.token, &again.revision),
        (&first.token, &first.revision)
    );
    let waiting = RevokeTokenRequest {
        wait_for_replicas: true,
        ..request.clone()
    };
    let waited = revoke(&platform, waiting).await.expect("an answer");
    assert!(
        waited.replayed,
        "how long to wait is no part of what is asked"
    );
    let other = RevokeTokenRequest {
        reason: "another".to_owned(),
        ..request
    };
    assert_reused(revoke(&platform, other).await);

    // One that is dead already: nothing changes, and the id is used.
    let second = RevokeTokenRequest {
        request_id: "two".to_owned(),
        ..revoke_request(&token_id)
    };
    let head = first.revision;
    for is_replayed in [false, true] {
        let answer = revoke(&platform, second.clone()).await.expect("an answer");
        assert_eq!((answer.replayed, &answer.revision), (is_replayed, &head));
    }
    assert_reused(issue(&platform, named("two", "deploy")).await);
    History::read(&database).await.assert_sound(&[]);
}

async fn by_secret_a_retry_tells_nothing_of_the_token(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let live = platform.issue("acme", "max", "deploy", None).await.secret;
    let bearer = format!("Bearer {live}");
    let unknown = unknown_secret();
    let by_secret = |request_id: &str, secret: &str| RevokeTokenRequest {
        request_id: request_id.to_owned(),
        target: Some(Target::Secret(secret.to_owned())),
        ..Default::default()
    };
    for (number, (secret, same)) in [(&live, &bearer), (&unknown, &unknown)]
        .into_iter()
        .enumerate()
    {
        server.clock().advance(Duration::from_secs(1));
        let id = format!("one-{number}");
        let first = revoke(&platform, by_secret(&id, secret)).await;
        assert!(!first.expect("an answer").replayed);
        let again = revoke(&platform, by_secret(&id, same)).await;
        assert!(again.expect("an answer").replayed);
        assert_reused(revoke(&platform, by_secret(&id, &unknown_secret())).await);
        assert_reused(revoke(&platform, by_secret(&id, "nonsense")).await);
    }
    for is_replayed in [false, true] {
        let answer = revoke(&platform, by_secret("nobodys", "nonsense")).await;
        assert_eq!(answer.expect("an answer").replayed, is_replayed);
    }
    assert_reused(revoke(&platform, by_secret("nobodys", &unknown)).await);
}

async fn of_many_at_once_under_one_id_one_is_made(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let calls = (0..50).map(|_| {
        let platform = platform.clone();
        tokio::spawn(async move { issue(&platform, named("one", "deploy")).await })
    });
    let running: Vec<_> = calls.collect();
    let mut secrets = Vec::new();
    let mut ids = Vec::new();
    for call in running {
        let answer = call.await.expect("it does not panic").expect("an answer");
        assert_eq!(answer.replayed, answer.secret.is_empty());
        secrets.extend(Some(answer.secret).filter(|secret| !secret.is_empty()));
        ids.push(answer.token.expect("a token").token_id);
    }
    assert_eq!(secrets.len(), 1);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    // And of many that are different, under one id.
    let calls = (0..50).map(|number| {
        let platform = platform.clone();
        let member_id = ["max", "pia"][number % 2].to_owned();
        let request = IssueTokenRequest {
            member_id,
            ..named("two", &format!("number {number}"))
        };
        tokio::spawn(async move { issue(&platform, request).await })
    });
    let running: Vec<_> = calls.collect();
    let mut made = 0;
    for call in running {
        match call.await.expect("it does not panic") {
            Ok(answer) => made += usize::from(!answer.replayed),
            answer => assert_reused(answer),
        }
    }
    assert_eq!(made, 1);
    History::read(&database).await.assert_sound(&[]);
}

on_both![
    an_issue_that_is_sent_again_is_told_and_not_made,
    another_request_under_an_id_is_refused,
    an_id_is_its_callers_own,
    what_was_refused_is_not_remembered,
    a_request_is_remembered_for_a_day_and_then_forgotten,
    a_revocation_that_is_sent_again_is_told,
    by_secret_a_retry_tells_nothing_of_the_token,
    of_many_at_once_under_one_id_one_is_made,
];
