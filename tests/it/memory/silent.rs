//! Connections to the database whose other end has gone silent, as behind a firewall that forgot them.

use std::time::Duration;

use countersign::pb::{GetWorkspaceRequest, ListMembersRequest};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::{WORKSPACE, start_behind_proxy, until};
use crate::support::{client::Client, server::PLATFORM, status::assert_status};

/// More than there are connections to read with.
const READERS: usize = 20;

async fn read(client: &Client, number: usize) -> Result<(), Status> {
    let mut directory = client.directory.clone();
    let workspace_id = WORKSPACE.to_owned();
    match number % 2 {
        0 => {
            let request = GetWorkspaceRequest { workspace_id };
            directory.get_workspace(request).await.map(drop)
        }
        _ => {
            let request = ListMembersRequest {
                workspace_id,
                ..Default::default()
            };
            directory.list_members(request).await.map(drop)
        }
    }
}

/// Many at once.
async fn read_all(client: &Client) -> Vec<Result<(), Status>> {
    let mut calls = JoinSet::new();
    for number in 0..READERS {
        let client = client.clone();
        calls.spawn(async move { read(&client, number).await });
    }
    calls.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_over_silent_connections_end_in_time_and_later_ones_have_others() {
    // Those that are served with.
    let Some((_database, proxy, server)) = start_behind_proxy(Duration::from_millis(250)).await
    else {
        return;
    };
    let client = server.client(PLATFORM);
    client.create_workspace(WORKSPACE).await;
    for answer in read_all(&client).await {
        answer.expect("the database is there");
    }
    proxy.silence();
    for answer in read_all(&client).await {
        // Those that were just asked whether they still work are replaced before anybody has to do with them.
        if let Err(status) = answer {
            assert_status(&status, Code::Unavailable, "UNAVAILABLE", None);
        }
    }
    assert!(proxy.unheard() > 0, "none was used while it was silent");
    until("all connections are others", || async {
        read_all(&client).await.iter().all(Result::is_ok)
    })
    .await;
    // Changes have theirs too.
    until("changes are made", || async {
        let id = "other".to_owned();
        let request = countersign::pb::CreateWorkspaceRequest {
            workspace_id: id.clone(),
            name: id,
        };
        let answer = client.directory.clone().create_workspace(request).await;
        answer.map_or_else(|status| status.code() == Code::AlreadyExists, |_| true)
    })
    .await;
}
