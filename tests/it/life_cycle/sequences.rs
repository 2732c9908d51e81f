//! Every event and every ordered pair of events that is possible, for either role to begin with, and tokens issued before,
//! between and after: what the next `Authorize` says of each of them.

use std::collections::HashSet;

use countersign::pb::{
    AuthorizeResponse, GetMemberRequest, GetWorkspaceRequest, ListTokensRequest, MemberState,
    TokenState, WorkspaceState,
};
use tokio::task::JoinSet;

use super::model::{ASKS, EVENTS, Event, Expected, Model, RE_ADDED_AS, limits};
use crate::support::{
    client::{Client, issue_request},
    database::{TestDatabase, on_both},
    server::{BOOKINGS, PLATFORM, TestServer},
    status::assert_status,
};

const MEMBER: &str = "max";
/// How many sequences run at once, each in its own workspace.
const AT_ONCE: usize = 8;

/// What happens, one after the other, to a member who starts with this role.
#[derive(Debug, Clone)]
struct Sequence {
    role: &'static str,
    events: Vec<Event>,
}

/// For each ordered pair and each role to begin with, the shortest sequence that ends with the pair.
fn sequences() -> Vec<Sequence> {
    let mut preparations = vec![vec![]];
    preparations.extend(EVENTS.map(|event| vec![event]));
    preparations.extend(pairs().map(|(one, two)| vec![one, two]));
    let mut sequences = Vec::new();
    for (first, second) in pairs() {
        for role in ["member", "admin"] {
            let shortest = preparations.iter().find_map(|preparation| {
                let events = [preparation.as_slice(), &[first, second]].concat();
                is_possible(role, &events).then_some(Sequence { role, events })
            });
            sequences.extend(shortest);
        }
    }
    sequences
}

fn pairs() -> impl Iterator<Item = (Event, Event)> {
    let pairs = |first| EVENTS.into_iter().map(move |second| (first, second));
    EVENTS.into_iter().flat_map(pairs)
}

fn is_possible(role: &'static str, events: &[Event]) -> bool {
    let mut model = Model::start(role);
    events.iter().all(|event| {
        let admitted = model.admits(*event);
        model.apply(*event);
        admitted
    })
}

/// A sequence under way.
struct Run {
    platform: Client,
    bookings: Client,
    workspace_id: String,
    model: Model,
    /// Secret and id of each token.
    tokens: Vec<(String, String)>,
    /// What was done so far, to be told when something is wrong.
    told: String,
}

impl Run {
    async fn start(server: &(Client, Client), number: usize, role: &'static str) -> Self {
        let (platform, bookings) = server.clone();
        let workspace_id = format!("w{number}");
        platform.create_workspace(&workspace_id).await;
        platform.put_member(&workspace_id, MEMBER, role).await;
        Self {
            platform,
            bookings,
            workspace_id,
            model: Model::start(role),
            tokens: Vec::new(),
            told: role.to_owned(),
        }
    }

    async fn issue(&mut self) {
        let number = self.tokens.len();
        let name = format!("t{number}");
        let mut request = issue_request(&self.workspace_id, MEMBER, &name, None);
        [request.scopes, request.allowed_cidrs] =
            limits(number).map(|texts| texts.iter().map(|&text| text.to_owned()).collect());
        let issued = self.platform.tokens.clone().issue_token(request).await;
        match (self.model.issue(), issued) {
            (Ok(()), Ok(issued)) => {
                let issued = issued.into_inner();
                let token = issued.token.expect("the answer carries it");
                self.tokens.push((issued.secret, token.token_id));
            }
            (Err((code, reason)), Err(status)) => assert_status(&status, code, reason, None),
            (expected, issued) => panic!(
                "{}: expected {expected:?} and got {:?}",
                self.told,
                issued.map(|_| "a token")
            ),
        }
    }

    async fn bring_about(&mut self, event: Event) {
        let (platform, workspace) = (&self.platform, self.workspace_id.as_str());
        let (suspended, active) = (MemberState::Suspended, MemberState::Active);
        match event {
            Event::Demote => platform.set_member_role(workspace, MEMBER, "member").await,
            Event::Promote => platform.set_member_role(workspace, MEMBER, "admin").await,
            Event::Suspend => {
                platform
                    .set_member_state(workspace, MEMBER, suspended)
                    .await
            }
            Event::Reactivate => platform.set_member_state(workspace, MEMBER, active).await,
            Event::Remove => platform.remove_member(workspace, MEMBER).await,
            Event::ReAdd => {
                platform.put_member(workspace, MEMBER, RE_ADDED_AS).await;
            }
            Event::SuspendWorkspace => {
                let state = WorkspaceState::Suspended;
                platform.set_workspace_state(workspace, state).await;
            }
            Event::ReactivateWorkspace => {
                let state = WorkspaceState::Active;
                platform.set_workspace_state(workspace, state).await;
            }
            Event::DeleteWorkspace => platform.delete_workspace(workspace).await,
            Event::Recreate => {
                platform.create_workspace(workspace).await;
            }
            Event::RecreateAndReAdd => {
                platform.create_workspace(workspace).await;
                platform.put_member(workspace, MEMBER, RE_ADDED_AS).await;
            }
        }
        self.model.apply(event);
        self.told.push_str(&format!(" {event:?}"));
    }

    /// Whether everything is as the model has it.
    async fn check(&self) {
        for (number, (secret, _)) in self.tokens.iter().enumerate() {
            let told = format!("{}, token {number}", self.told);
            for ask in ASKS {
                let (action, owner) = ask.request();
                let bookings = &self.bookings;
                let owner = Some(owner);
                let answer = bookings
                    .authorize(secret, action, &self.workspace_id, owner)
                    .await;
                let expected = self.model.decides(number, ask);
                assert_eq!(seen(&answer), expected, "{told}, {ask:?}");
            }
        }
        self.check_records().await;
        self.check_directory().await;
    }

    async fn check_records(&self) {
        let request = ListTokensRequest {
            workspace_id: self.workspace_id.clone(),
            ..Default::default()
        };
        let listed = self.platform.tokens.clone().list_tokens(request).await;
        let listed = listed.expect("a page").into_inner().tokens;
        assert_eq!(listed.len(), self.tokens.len());
        for ((_, token_id), ended) in self.tokens.iter().zip(&self.model.ended) {
            let record = listed.iter().find(|token| token.token_id == *token_id);
            let expected = match ended {
                true => TokenState::Revoked,
                false => TokenState::Active,
            };
            let state = record.expect("it is listed").state();
            assert_eq!(state, expected, "{}", self.told);
        }
    }

    async fn check_directory(&self) {
        let mut directory = self.platform.directory.clone();
        let request = GetWorkspaceRequest {
            workspace_id: self.workspace_id.clone(),
        };
        let answer = directory.get_workspace(request).await.expect("a workspace");
        let workspace = answer.into_inner().workspace.expect("it is there");
        assert_eq!(workspace.state(), self.model.workspace, "{}", self.told);
        let request = GetMemberRequest {
            workspace_id: self.workspace_id.clone(),
            member_id: MEMBER.to_owned(),
        };
        let answer = directory.get_member(request).await.expect("a member");
        let member = answer.into_inner().member.expect("it is there");
        let expected = (self.model.member, self.model.role);
        assert_eq!(
            (member.state(), member.role.as_str()),
            expected,
            "{}",
            self.told
        );
    }
}

fn seen(answer: &AuthorizeResponse) -> Expected {
    let decision = answer.decision.as_ref().expect("a decision");
    Expected {
        outcome: decision.outcome(),
        reason: decision.reason(),
        reach: decision.reach(),
        role: answer
            .principal
            .as_ref()
            .map(|principal| principal.role.clone()),
    }
}

async fn play(server: (Client, Client), number: usize, sequence: Sequence) {
    let mut run = Run::start(&server, number, sequence.role).await;
    // What leads up to the pair is the end of another sequence.
    let preparation = sequence.events.len() - 2;
    for (done, event) in sequence.events.into_iter().enumerate() {
        run.issue().await;
        run.bring_about(event).await;
        if done >= preparation {
            run.check().await;
        }
    }
    run.issue().await;
    run.check().await;
}

async fn after_every_sequence_of_events_the_next_decision_is_right(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let clients = (server.client(PLATFORM), server.client(BOOKINGS));
    let mut running = JoinSet::new();
    for (number, sequence) in sequences().into_iter().enumerate() {
        if running.len() == AT_ONCE {
            running
                .join_next()
                .await
                .expect("one runs")
                .expect("it is right");
        }
        running.spawn(play(clients.clone(), number, sequence));
    }
    while let Some(done) = running.join_next().await {
        done.expect("it is right");
    }
}

on_both![after_every_sequence_of_events_the_next_decision_is_right];

#[test]
fn the_sequences_hold_every_pair_of_events_that_is_possible() {
    let sequences = sequences();
    let ends: HashSet<(Event, Event)> = sequences
        .iter()
        .map(|sequence| match sequence.events[..] {
            [.., first, second] => (first, second),
            _ => panic!("{sequence:?} is no pair"),
        })
        .collect();
    // The other 57 would repeat what is so already, or befall what is gone, not gone, or just made anew.
    assert_eq!((ends.len(), sequences.len()), (64, 128));
    assert!(
        EVENTS
            .iter()
            .all(|event| ends.iter().any(|(first, _)| first == event))
    );
    assert!(
        EVENTS
            .iter()
            .all(|event| ends.iter().any(|(_, second)| second == event))
    );
}
