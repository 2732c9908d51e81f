//! Keys of issuers are rotated while callers call: nobody notices, and what was rotated out is out.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};

use super::{AUDIENCE, INVALID, PATIENCE, SUBJECT, World, bearer, call, patiently};
use crate::support::{issuer::SigningKey, status::assert_status};

const CALLERS: usize = 4;
const ROUNDS: usize = 3;

/// What the callers share.
struct Load {
    world: World,
    /// What signs their tokens.
    key: Mutex<SigningKey>,
    turns: Vec<AtomicUsize>,
    is_over: AtomicBool,
}

impl Load {
    fn token(&self) -> String {
        let claims = self.world.issuer.claims(AUDIENCE, SUBJECT);
        self.key.lock().expect("the key").token(&claims)
    }

    /// A new token, and calls with it.
    async fn turn(&self, channel: &Channel) -> Result<(), String> {
        let shown = bearer(&self.token());
        for _ in 0..5 {
            call(channel, &shown)
                .await
                .map_err(|status| format!("{status:?}"))?;
        }
        Ok(())
    }

    async fn let_all_take_a_turn(&self) {
        let before: Vec<usize> = self.turns.iter().map(|turns| turns.load(SeqCst)).collect();
        let have = || {
            let mut all = self.turns.iter().zip(&before);
            all.all(|(turns, before)| turns.load(SeqCst) >= before + 2 || self.is_over.load(SeqCst))
        };
        let waiting = async {
            while !have() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.expect("the callers go on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_under_load_without_an_error() {
    let world = World::start("").await;
    let load = Arc::new(Load {
        key: Mutex::new(SigningKey::p256("unused")),
        turns: (0..CALLERS).map(|_| AtomicUsize::new(0)).collect(),
        is_over: AtomicBool::new(false),
        world,
    });
    let world = &load.world;
    let mut current = SigningKey::p256("round-0");
    world.issuer.publish(&[&current]);
    let mut former = vec![load.world.token(SUBJECT)];
    std::mem::swap(&mut *load.key.lock().expect("the key"), &mut current);
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let (load, channel) = (Arc::clone(&load), world.channel.clone());
        callers.spawn(async move {
            while !load.is_over.load(SeqCst) {
                if let Err(problem) = load.turn(&channel).await {
                    load.is_over.store(true, SeqCst);
                    return Err(problem);
                }
                load.turns[number].fetch_add(1, SeqCst);
            }
            Ok(())
        });
    }
    load.let_all_take_a_turn().await;
    for round in 1..=ROUNDS {
        former.push(load.token());
        // Every other one is of another kind.
        let id = format!("round-{round}");
        let mut next = match round % 2 {
            0 => SigningKey::p256(&id),
            _ => SigningKey::rsa(&id),
        };
        {
            let mut key = load.key.lock().expect("the key");
            // Tokens are signed with it at once.
            world.issuer.publish(&[&*key, &next]);
            std::mem::swap(&mut *key, &mut next);
        }
        load.let_all_take_a_turn().await;
        world.issuer.manner().keys.remove(0);
        load.let_all_take_a_turn().await;
    }
    load.is_over.store(true, SeqCst);
    while let Some(ended) = callers.join_next().await {
        assert_eq!(ended.expect("a caller"), Ok(()));
    }
    // Those that were taken out count until the next look, which a reload has made at once.
    let unchanged = "countersign_issuer_key_fetches_total{outcome=\"CHANGED\"}";
    let before = world.get(unchanged).await;
    world.reload(None).await;
    world
        .until(|scrape| scrape.get(unchanged) > Some(before))
        .await;
    for token in &former {
        let refused = patiently(&world.channel, &bearer(token)).await;
        let refused = refused.expect_err("its key is out");
        assert_status(&refused, Code::Unauthenticated, INVALID, None);
    }
    patiently(&world.channel, &bearer(&load.token()))
        .await
        .expect("the last one counts");
}
