//! Issues that meet a removal. Whatever the order, no token that was issued before it outlives it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign::pb::{DeleteWorkspaceRequest, Outcome, RemoveMemberRequest, resource::Owner};
use tonic::Code;

use super::{at_once, platforms, servers};
use crate::support::{
    client::{Client, issue_request},
    clock::TestClock,
    database::{TestDatabase, on_both},
    history::History,
    random::Random,
    status::assert_status,
};

/// For each way to end a member's tokens.
const ROUNDS: usize = 15;
/// Issues of a round.
const ISSUES: usize = 6;

#[derive(Debug, Clone, Copy)]
enum Removal {
    Member,
    Workspace,
}

/// A token that a round issued, and the number of its revision.
struct Issued {
    secret: String,
    number: u64,
}

enum Answer {
    Issued(Option<Issued>),
    /// The number of the removal's revision.
    Removed(u64),
}

async fn no_token_outlives_the_removal_that_it_raced(database: TestDatabase) {
    let servers = servers(&database, &TestClock::default()).await;
    let clients = platforms(&servers);
    let mut random = Random::seeded();
    let mut dead = 0;
    for round in 0..ROUNDS {
        for removal in [Removal::Member, Removal::Workspace] {
            for is_added_anew in [false, true] {
                let workspace_id = format!("w{round}-{removal:?}-{is_added_anew}");
                let position = random.below(ISSUES + 1);
                let scene = Scene {
                    workspace_id,
                    removal,
                    is_added_anew,
                };
                dead += scene.play(&clients, position).await;
            }
        }
    }
    assert_ne!(dead, 0, "no issue was ever before a removal");
    History::read(&database).await.assert_sound(&[]);
}

/// Issues share the workspace's row, which a deletion wants for itself: they must not keep it away by taking turns.
async fn a_deletion_gets_through_a_crowd_that_issues_without_end(database: TestDatabase) {
    const CROWD: usize = 16;
    let servers = servers(&database, &TestClock::default()).await;
    let clients = platforms(&servers);
    clients[0].create_workspace("acme").await;
    let mut crowd = Vec::new();
    for (number, client) in (0..CROWD).zip(clients.iter().cycle()) {
        let member_id = format!("m{number}");
        client.put_member("acme", &member_id, "member").await;
        crowd.push((client.clone(), member_id));
    }
    let issued = Arc::new(AtomicUsize::new(0));
    let crowd = crowd.into_iter().map(|(client, member_id)| {
        let issued = Arc::clone(&issued);
        async move {
            for number in 0.. {
                let name = format!("token {number}");
                let request = issue_request("acme", &member_id, &name, None);
                match client.tokens.clone().issue_token(request).await {
                    Ok(_) => issued.fetch_add(1, Ordering::Relaxed),
                    // The limit is found under the same locks.
                    Err(status) if status.code() == Code::FailedPrecondition => 0,
                    Err(status) => {
                        assert_status(&status, Code::NotFound, "MEMBER_NOT_FOUND", None);
                        return;
                    }
                };
            }
        }
    });
    let crowd = tokio::spawn(at_once(crowd.collect::<Vec<_>>()));
    while issued.load(Ordering::Relaxed) < 2 * CROWD {
        assert!(!crowd.is_finished());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    clients[0].delete_workspace("acme").await;
    crowd.await.expect("the crowd does not panic");
    History::read(&database).await.assert_sound(&[]);
}

#[derive(Clone)]
struct Scene {
    workspace_id: String,
    removal: Removal,
    is_added_anew: bool,
}

impl Scene {
    /// Issues and removes at once, the removal at this position among the issues. How many tokens it ended.
    async fn play(&self, clients: &[Client], position: usize) -> usize {
        clients[0].create_workspace(&self.workspace_id).await;
        self.add(&clients[0]).await;
        let calls = (0..=ISSUES).zip(clients.iter().cycle());
        let calls = calls.map(|(number, client)| {
            let (scene, client) = (self.clone(), client.clone());
            async move {
                match number == position {
                    true => Answer::Removed(scene.remove(&client).await),
                    false => Answer::Issued(scene.issue(&client, number).await),
                }
            }
        });
        let mut issued = Vec::new();
        let mut removed = 0;
        for answer in at_once(calls).await {
            match answer {
                Answer::Issued(token) => issued.extend(token),
                Answer::Removed(number) => removed = number,
            }
        }
        let mut dead = 0;
        for token in issued {
            let allowed = self.is_allowed(&clients[0], &token.secret).await;
            let is_newer = token.number > removed;
            assert_eq!(
                allowed, is_newer,
                "{}: issued at {}, removed at {removed}",
                self.workspace_id, token.number
            );
            assert!(self.is_added_anew || !is_newer, "{}", self.workspace_id);
            dead += usize::from(!is_newer);
        }
        dead
    }

    async fn add(&self, client: &Client) {
        client.put_member(&self.workspace_id, "max", "member").await;
    }

    /// None: the member was not there, the only reason not to.
    async fn issue(&self, client: &Client, number: usize) -> Option<Issued> {
        let name = format!("token {number}");
        let request = issue_request(&self.workspace_id, "max", &name, None);
        match client.tokens.clone().issue_token(request).await {
            Ok(response) => {
                let response = response.into_inner();
                Some(Issued {
                    secret: response.secret,
                    number: number_of(&response.revision),
                })
            }
            Err(status) => {
                assert_status(&status, Code::NotFound, "MEMBER_NOT_FOUND", None);
                None
            }
        }
    }

    /// Removes, and where the scene wants it adds anew. The number of the removal.
    async fn remove(&self, client: &Client) -> u64 {
        let mut directory = client.directory.clone();
        let workspace_id = self.workspace_id.clone();
        let revision = match self.removal {
            Removal::Member => {
                let request = RemoveMemberRequest {
                    workspace_id,
                    member_id: "max".to_owned(),
                    ..Default::default()
                };
                let answer = directory.remove_member(request).await;
                answer.expect("the member is removed").into_inner().revision
            }
            Removal::Workspace => {
                let request = DeleteWorkspaceRequest {
                    workspace_id,
                    ..Default::default()
                };
                let answer = directory.delete_workspace(request).await;
                answer.expect("it is deleted").into_inner().revision
            }
        };
        if self.is_added_anew {
            if let Removal::Workspace = self.removal {
                client.create_workspace(&self.workspace_id).await;
            }
            self.add(client).await;
        }
        number_of(&revision)
    }

    async fn is_allowed(&self, client: &Client, secret: &str) -> bool {
        let owner = Some(Owner::Bearer(true));
        let answer = client.authorize(secret, "bookings.read", "", owner).await;
        let decision = answer.decision.expect("a decision");
        decision.outcome() == Outcome::Allow
    }
}

/// Opaque to callers; but the order of changes is what is under test.
fn number_of(revision: &str) -> u64 {
    let (number, _) = revision.split_once('-').expect("a revision");
    number.parse().expect("a number")
}

on_both![
    no_token_outlives_the_removal_that_it_raced,
    a_deletion_gets_through_a_crowd_that_issues_without_end,
];
