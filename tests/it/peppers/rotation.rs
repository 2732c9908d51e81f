//! Two replicas over one PostgreSQL, which take each step one after the other: every token works on both all the way, and
//! so do page tokens.

use std::time::Duration;

use countersign::pb::{DenyReason, ListTokensRequest, ListTokensResponse, resource::Owner};
use tonic::{Code, Status};

use crate::support::{
    client::Client,
    clock::TestClock,
    database::{Backend, TestDatabase},
    server::{NEXT_PEPPER, PEPPER, PLATFORM, Setup, TestServer},
    status::assert_status,
};

/// The rings of each step: before, add, activate, retire.
const STEPS: [&[&str]; 4] = [
    &[PEPPER],
    &[PEPPER, NEXT_PEPPER],
    &[NEXT_PEPPER, PEPPER],
    &[NEXT_PEPPER],
];

fn setup(step: usize, clock: &TestClock) -> Setup {
    Setup {
        peppers: STEPS[step].join(","),
        clock: clock.clone(),
        ..Setup::default()
    }
}

/// Two replicas before the rotation.
struct World {
    clock: TestClock,
    servers: [TestServer; 2],
    clients: [Client; 2],
    /// The tokens issued so far that are live, with their ids.
    live: Vec<(String, String)>,
}

impl World {
    /// None, which was said, where PostgreSQL is missing.
    async fn create() -> Option<Self> {
        let database = TestDatabase::create(Backend::Postgres).await?;
        let clock = TestClock::default();
        let one = setup(0, &clock).start(&database).await;
        let other = setup(0, &clock).start(&database).await;
        let clients = [one.client(PLATFORM), other.client(PLATFORM)];
        clients[0].create_workspace("acme").await;
        clients[0].put_member("acme", "max", "member").await;
        Some(Self {
            clock,
            servers: [one, other],
            clients,
            live: Vec::new(),
        })
    }

    /// Takes a server to a step. Whether it went.
    async fn reload(&self, server: usize, step: usize) -> bool {
        let setup = setup(step, &self.clock);
        self.servers[server].reload(setup).await
    }

    /// Has each server issue a token, and each server verify every token that is live.
    async fn assert_all_is_well(&mut self, when: &str) {
        for (number, client) in self.clients.iter().enumerate() {
            let name = format!("{when}, by server {number}");
            let issued = client.issue("acme", "max", &name, None).await;
            let token_id = issued.token.expect("a token").token_id;
            self.live.push((issued.secret, token_id));
        }
        for (number, client) in self.clients.iter().enumerate() {
            for (place, (secret, _)) in self.live.iter().enumerate() {
                let reason = reason(client, secret).await;
                let said = format!("{when}: token {place} at server {number}");
                assert_eq!(reason, DenyReason::Unspecified, "{said}");
            }
        }
    }
}

/// Why a token is refused. Unspecified: it is not.
async fn reason(client: &Client, secret: &str) -> DenyReason {
    let owner = Some(Owner::Bearer(true));
    let answer = client.authorize(secret, "bookings.read", "", owner).await;
    answer.decision.expect("a decision").reason()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_works_on_both_servers_at_every_step_of_a_rotation() {
    let Some(mut world) = World::create().await else {
        return;
    };
    world.assert_all_is_well("before").await;
    for (server, step, when) in [
        (0, 1, "one has added"),
        (1, 1, "both have added"),
        (0, 2, "one has activated"),
        // A step back is a step too, and so is doing one again.
        (0, 1, "one has gone back"),
        (0, 2, "one has activated again"),
        (1, 2, "both have activated"),
        (1, 2, "nothing has changed"),
    ] {
        assert!(world.reload(server, step).await, "{when}");
        world.assert_all_is_well(when).await;
    }

    for server in [0, 1] {
        assert!(!world.reload(server, 3).await, "the old one is in use");
    }
    world
        .assert_all_is_well("retiring too early was refused")
        .await;

    // The tokens of the old one end: by revocation, all but one that expires. The last four are of the new one.
    let hour = Some(Duration::from_secs(3600));
    assert!(world.reload(0, 1).await, "back, to issue under the old one");
    let expiring = world.clients[0]
        .issue("acme", "max", "expiring", hour)
        .await;
    assert!(world.reload(0, 2).await);
    let of_the_new = world.live.split_off(world.live.len() - 4);
    let of_the_old = std::mem::replace(&mut world.live, of_the_new);
    for (_, token_id) in &of_the_old {
        world.clients[0].revoke(token_id).await;
    }
    assert!(!world.reload(1, 3).await, "one is live still");
    for client in &world.clients {
        let secret = &expiring.secret;
        assert_eq!(reason(client, secret).await, DenyReason::Unspecified);
    }
    world.clock.advance(Duration::from_secs(3600));
    assert!(world.reload(1, 3).await, "none is live");
    world.assert_all_is_well("one has retired").await;
    assert!(world.reload(0, 3).await);
    world.assert_all_is_well("both have retired").await;
    for client in &world.clients {
        for secret in [&of_the_old[0].0, &expiring.secret] {
            assert_eq!(reason(client, secret).await, DenyReason::UnknownToken);
        }
    }
}

async fn list(client: &Client, page_token: &str) -> Result<ListTokensResponse, Status> {
    let request = ListTokensRequest {
        workspace_id: "acme".to_owned(),
        page_size: 1,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let answer = client.tokens.clone().list_tokens(request).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn page_tokens_open_on_both_servers_until_their_pepper_is_retired() {
    let Some(world) = World::create().await else {
        return;
    };
    let [one, other] = &world.clients;
    let mut old = Vec::new();
    for name in ["first", "second"] {
        let issued = one.issue("acme", "max", name, None).await;
        old.push(issued.token.expect("a token").token_id);
        world.clock.advance(Duration::from_millis(1));
    }
    let first_page = list(one, "").await.expect("a page");
    let of_the_old = first_page.next_page_token;
    assert_eq!(first_page.tokens[0].token_id, old[1]);
    let assert_opens = async |client: &Client, page_token: &str| {
        let page = list(client, page_token).await.expect("the next page");
        assert_eq!(page.tokens[0].token_id, old[0]);
    };
    assert_opens(other, &of_the_old).await;
    for server in [0, 1] {
        assert!(world.reload(server, 1).await);
    }
    assert!(world.reload(0, 2).await);
    let of_the_new = list(one, "").await.expect("a page").next_page_token;
    assert_ne!(of_the_new, of_the_old, "sealed under the active one");
    for client in [one, other] {
        assert_opens(client, &of_the_old).await;
        assert_opens(client, &of_the_new).await;
    }
    assert!(world.reload(1, 2).await);
    for client in [one, other] {
        assert_opens(client, &of_the_old).await;
        assert_opens(client, &of_the_new).await;
    }

    for token_id in &old {
        one.revoke(token_id).await;
    }
    assert!(world.reload(0, 3).await);
    assert_opens(one, &of_the_new).await;
    assert_opens(other, &of_the_old).await;
    let refused = list(one, &of_the_old).await.expect_err("it is retired");
    let (code, field) = (Code::InvalidArgument, Some("page_token"));
    assert_status(&refused, code, "PAGE_TOKEN_INVALID", field);
}
