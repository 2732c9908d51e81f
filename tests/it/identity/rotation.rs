//! Everything is rotated while callers call: the server's certificate, theirs, their authority and their names. Nobody
//! notices, and what was rotated out is out.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use countersign::pb::AuthorizeRequest;
use tokio::task::JoinSet;
use tonic::{Code, metadata::MetadataMap, transport::Channel};

use super::{BOOKINGS_ID, PATIENCE, PLATFORM_ID, World, caller, configuration, patiently};
use crate::{
    support::{
        certificates::{Authority, Certified},
        client::{Client, authorize_request},
    },
    tls::connect,
};

/// Who opens connections all the time, and who keeps the one it has.
const RESTLESS: usize = 3;
const STEADY: usize = 2;
const CALLS_PER_CONNECTION: usize = 5;
const ROUNDS: usize = 3;
const STEADY_ID: &str = "spiffe://example.org/steady";

/// What the callers share.
struct Load {
    world: World,
    request: AuthorizeRequest,
    /// What is shown in new connections.
    certified: Mutex<Certified>,
    /// How many turns each has taken.
    turns: Vec<AtomicUsize>,
    is_over: AtomicBool,
}

impl Load {
    async fn calls(&self, channel: &Channel) -> Result<(), String> {
        for _ in 0..CALLS_PER_CONNECTION {
            let mut client = Client::new(channel, None).authorization;
            let answer = client.authorize(self.request.clone()).await;
            let answer = answer.map_err(|status| format!("{status:?}"))?;
            let decision = answer.into_inner().decision.ok_or("no decision")?;
            if !decision.message.contains("allowed") {
                return Err(format!("{decision:?}"));
            }
        }
        Ok(())
    }

    async fn turn(&self) -> Result<(), String> {
        let certified = self.certified.lock().expect("the certificate").clone();
        let address = self.world.process.address();
        let channel = connect(address, &self.world.servers, Some(&certified)).await;
        self.calls(&channel.map_err(|error| crate::tls::told(&error))?)
            .await
    }

    /// Waits until each has begun another turn and ended it.
    async fn let_all_take_a_turn(&self) {
        let before: Vec<usize> = self.turns.iter().map(|turns| turns.load(SeqCst)).collect();
        let have = || {
            let mut all = self.turns.iter().zip(&before);
            all.all(|(turns, before)| turns.load(SeqCst) >= before + 2)
        };
        let waiting = async {
            while !have() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.expect("the callers go on");
    }

    fn show(&self, certified: Certified) {
        *self.certified.lock().expect("the certificate") = certified;
    }
}

/// The configuration under which callers have these names.
fn names(ids: &[&str]) -> String {
    let steady = configuration(&caller("steady", STEADY_ID, "authorize"));
    let ids: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    steady.replace(&format!("\"{BOOKINGS_ID}\""), &ids.join(", "))
}

async fn start() -> Arc<Load> {
    let world = World::start(&caller("steady", STEADY_ID, "authorize"));
    let platform = Client::new(&world.workload(PLATFORM_ID).await, None);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "admin").await;
    let issued = platform.issue("acme", "max", "laptop", None).await;
    Arc::new(Load {
        certified: Mutex::new(world.clients.workload(&[BOOKINGS_ID])),
        request: authorize_request(&issued.secret, "users.read", "acme", None),
        turns: (0..RESTLESS + STEADY)
            .map(|_| AtomicUsize::new(0))
            .collect(),
        is_over: AtomicBool::new(false),
        world,
    })
}

/// Sets the callers going. Each ends with how many turns it took, or at the first thing that went wrong.
async fn set_going(load: &Arc<Load>) -> JoinSet<Result<(), String>> {
    let mut callers = JoinSet::new();
    for number in 0..RESTLESS + STEADY {
        let kept = match number < RESTLESS {
            true => None,
            false => Some(load.world.workload(STEADY_ID).await),
        };
        let load = Arc::clone(load);
        callers.spawn(async move {
            while !load.is_over.load(SeqCst) {
                match &kept {
                    None => load.turn().await?,
                    Some(channel) => load.calls(channel).await?,
                }
                load.turns[number].fetch_add(1, SeqCst);
            }
            Ok(())
        });
    }
    callers
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_rotated_under_load_without_an_error() {
    let load = start().await;
    let world = &load.world;
    let mut callers = set_going(&load).await;
    let mut id = BOOKINGS_ID.to_owned();
    let mut authority = None;
    let mut former = Vec::new();
    load.let_all_take_a_turn().await;
    for round in 0..ROUNDS {
        let current = authority.as_ref().unwrap_or(&world.clients);
        let server = world.servers.server("next");
        world
            .reload(&[
                ("server.key", &server.key),
                ("server.pem", &server.certificate),
            ])
            .await;
        load.let_all_take_a_turn().await;

        let next = Authority::new("clients");
        let next_id = format!("{BOOKINGS_ID}-{round}");
        let both = current.certificate() + &next.certificate();
        let names_of_both = names(&[&id, &next_id]);
        world
            .reload(&[("clients.pem", &both), ("countersign.toml", &names_of_both)])
            .await;
        former.push(current.workload(&[&id]));
        load.show(next.workload(&[&next_id]));
        load.let_all_take_a_turn().await;

        let only = (next.certificate(), names(&[&next_id]));
        world
            .reload(&[("clients.pem", &only.0), ("countersign.toml", &only.1)])
            .await;
        load.let_all_take_a_turn().await;
        (id, authority) = (next_id, Some(next));
    }
    load.is_over.store(true, SeqCst);
    while let Some(ended) = callers.join_next().await {
        assert_eq!(ended.expect("a caller"), Ok(()));
    }

    // What was shown before is worth nothing, neither under its authority nor under that of now.
    for certified in &former {
        let connected = connect(world.process.address(), &world.servers, Some(certified)).await;
        if let Ok(channel) = connected {
            let refused = patiently(&channel, &MetadataMap::new()).await;
            refused.expect_err("its authority is out");
        }
    }
    let authority = authority.expect("there were rounds");
    let channel = world.channel(&authority.workload(&[BOOKINGS_ID])).await;
    let refused = patiently(&channel, &MetadataMap::new()).await;
    let refused = refused.expect_err("its name is out");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
}
