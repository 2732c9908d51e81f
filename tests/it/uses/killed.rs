//! A process that is killed takes with it no use but those of the last interval, and leaves none that never was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use countersign::{
    domain::time::Timestamp,
    pb::{Outcome, resource::Owner},
};
use tokio::{task::JoinSet, time::sleep};

use super::{issue, last_used};
use crate::support::{
    child::{self, USE_INTERVAL},
    client::{Client, authorize_request},
    clock::TestClock,
    database::{TestDatabase, on_both},
    random::Random,
    server::{PLATFORM, key_of},
};

const TOKENS: usize = 12;
const KILLS: usize = 3;
/// How long the writing itself may take on a busy machine.
const WRITING: Duration = Duration::from_secs(2);
/// Between two uses of a token, at most.
const PAUSE_MILLIS: usize = 20;

/// A token, and when it was used.
struct Used {
    token_id: String,
    secret: String,
    /// When each use was sent and answered.
    uses: Vec<(Timestamp, Timestamp)>,
    /// When the last try ended, answered or not.
    tried: Timestamp,
}

impl Used {
    /// Uses it again and again, until it is told to rest.
    async fn keep_using(
        mut self,
        client: Client,
        clock: TestClock,
        mut random: Random,
        rests: Arc<AtomicBool>,
    ) -> Self {
        // Some rest for longer than the interval before the kill: of them nothing at all may be lost.
        let until = (random.below(2) == 0).then(|| clock.now().plus(millis(random.below(2000))));
        let is_over =
            || rests.load(Ordering::Relaxed) || until.is_some_and(|until| clock.now() > until);
        while !is_over() {
            let owner = Some(Owner::Bearer(true));
            let request = authorize_request(&self.secret, "bookings.read", "acme", owner);
            let sent = clock.now();
            let answer = client.authorization.clone().authorize(request).await;
            self.tried = clock.now();
            // Else it cannot decide now, or is gone.
            if let Ok(answer) = answer {
                let decision = answer.into_inner().decision.expect("a decision");
                assert_eq!(decision.outcome(), Outcome::Allow, "{}", decision.message);
                self.uses.push((sent, self.tried));
            }
            sleep(millis(random.below(PAUSE_MILLIS))).await;
        }
        self
    }

    /// Fails unless what is on record can be, of a process that was killed then.
    fn check(&self, recorded: Option<Timestamp>, killed: Timestamp) {
        let late = USE_INTERVAL + WRITING;
        let kept = self.uses.iter().rev();
        let mut kept = kept.filter(|(_, answered)| answered.plus(late) < killed);
        if let Some((sent, _)) = kept.next() {
            assert!(
                recorded >= Some(*sent),
                "{} was used at {sent:?}, killed at {killed:?}, recorded is {recorded:?}",
                self.token_id
            );
        }
        assert!(
            recorded <= Some(self.tried),
            "{} was never used later than {:?}, recorded is {recorded:?}",
            self.token_id,
            self.tried
        );
    }
}

fn millis(millis: usize) -> Duration {
    Duration::from_millis(millis as u64)
}

async fn a_kill_loses_no_use_but_those_of_the_last_interval(database: TestDatabase) {
    let (clock, mut random) = (TestClock::system(), Random::seeded());
    let start = || tokio::task::block_in_place(|| child::start(&database));
    let mut process = start();
    let mut client = process.client_with_key(Some(&key_of(PLATFORM)));
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    let mut tokens = Vec::new();
    for number in 0..TOKENS {
        let issued = issue(&client, &number.to_string()).await;
        tokens.push(Used {
            token_id: issued.token_id,
            secret: issued.secret,
            uses: Vec::new(),
            tried: clock.now(),
        });
    }
    for _ in 0..KILLS {
        let rests = Arc::new(AtomicBool::new(false));
        let mut users = JoinSet::new();
        for token in tokens.drain(..) {
            let (client, clock) = (client.clone(), clock.clone());
            let using = token.keep_using(client, clock, random.fork(), Arc::clone(&rests));
            users.spawn(using);
        }
        sleep(USE_INTERVAL + WRITING + millis(500 + random.below(2000))).await;
        let killed = clock.now();
        tokio::task::block_in_place(|| process.signal("KILL"));
        rests.store(true, Ordering::Relaxed);
        tokens = users.join_all().await;
        process = start();
        client = process.client_with_key(Some(&key_of(PLATFORM)));
        for token in &tokens {
            token.check(last_used(&client, &token.token_id).await, killed);
        }
    }
    assert!(tokens.iter().all(|token| !token.uses.is_empty()));
}

on_both![a_kill_loses_no_use_but_those_of_the_last_interval];
