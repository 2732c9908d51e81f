//! How many calls may run at once.

use std::time::{Duration, Instant};

use countersign::{grpc::CallLimits, pb::GetWorkspaceRequest, server::Limits};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

use super::{GET, HEALTH, ISSUE, PATIENCE, ended, serve};
use crate::support::{
    server::{PLATFORM, TestServer},
    status::assert_status,
    wire::Wire,
};

async fn call(server: &TestServer) -> Result<(), Status> {
    let request = GetWorkspaceRequest {
        workspace_id: "acme".to_owned(),
    };
    let mut directory = server.client(PLATFORM).directory;
    directory.get_workspace(request).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_calls_as_may_run_do_and_one_more_is_refused_at_once() {
    let limits = Limits {
        calls: CallLimits {
            decisions_at_once: 3,
            others_at_once: 3,
            other_deadline: Duration::from_secs(60),
            ..CallLimits::default()
        },
        ..Limits::default()
    };
    let (server, _database) = serve(limits).await;
    server.client(PLATFORM).create_workspace("acme").await;
    let mut wire = Wire::connect(server.address()).await;
    for stream in [1, 3] {
        wire.call(stream, ISSUE, &[]).await;
    }
    // Answered in order, so the calls before it have begun.
    wire.must_be_healthy(5).await;
    for _ in 0..20 {
        call(&server).await.expect("there is one more place");
    }
    wire.call(7, ISSUE, &[]).await;
    wire.must_be_healthy(9).await;
    let began = Instant::now();
    let status = call(&server).await.expect_err("there is no place");
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_status(&status, Code::ResourceExhausted, "OVERLOADED", None);
    let details = status.get_error_details();
    assert_eq!(
        details.error_info().expect("details").metadata["limit"],
        "3"
    );
    let retry = details.retry_info().expect("it tells when to try again");
    assert_eq!(retry.retry_delay, Some(Duration::from_millis(250)));
    let counted = ended(server.metrics_address(), GET, "RESOURCE_EXHAUSTED").await;
    assert_eq!(counted, 1);
    let mut health = HealthClient::new(server.channel());
    let answer = health.check(HealthCheckRequest::default()).await;
    answer.expect("health answers all the while");

    wire.reset(1).await;
    let deadline = Instant::now() + PATIENCE;
    while let Err(status) = call(&server).await {
        assert_status(&status, Code::ResourceExhausted, "OVERLOADED", None);
        assert!(Instant::now() < deadline, "there is never a place again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_of_health_are_counted_apart() {
    let limits = Limits {
        calls: CallLimits {
            health_checks_at_once: 1,
            ..CallLimits::default()
        },
        ..Limits::default()
    };
    let (server, _database) = serve(limits).await;
    server.client(PLATFORM).create_workspace("acme").await;
    let mut wire = Wire::connect(server.address()).await;
    // Answered, so the place of the check before it is free again.
    wire.must_be_healthy(1).await;
    wire.must_be_healthy(3).await;
    wire.call(5, HEALTH, &[]).await;
    wire.call(7, HEALTH, &[]).await;
    while !wire.frame().await.expect("an answer").ends(7) {}
    let refused = ended(server.metrics_address(), HEALTH, "RESOURCE_EXHAUSTED").await;
    assert_eq!(refused, 1);
    call(&server).await.expect("calls have places of their own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_takes_no_place_and_need_not_send_a_message_to_be_told_so() {
    let limits = Limits {
        calls: CallLimits {
            decisions_at_once: 1,
            others_at_once: 1,
            other_deadline: Duration::from_secs(60),
            ..CallLimits::default()
        },
        ..Limits::default()
    };
    let (server, _database) = serve(limits).await;
    server.client(PLATFORM).create_workspace("acme").await;
    let mut wire = Wire::connect(server.address()).await;
    for stream in [1, 3, 5] {
        // Two credentials are none. The message is never sent.
        let second = [("authorization", "Bearer of nothing")];
        wire.call(stream, ISSUE, &second).await;
        while !wire.frame().await.expect("an answer").ends(stream) {}
        call(&server).await.expect("the only place is free");
    }
    let counted = ended(server.metrics_address(), ISSUE, "UNAUTHENTICATED").await;
    assert_eq!(counted, 3);
}
