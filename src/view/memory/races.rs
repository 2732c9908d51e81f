//! A revocation races fills, lookups and everything else that goes on in a replica, in thousands of orders that Shuttle
//! chooses. That the same tests find what they look for is shown by replicas that are broken on purpose.
//!
//! Run by `cargo test --lib --features shuttle races`. What fails tells its seed; `SHUTTLE_RANDOM_SEED` sets another one for
//! all. Shuttle takes every atomic access for sequentially consistent: weaker orders are not tried out.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod database;
mod replica;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use shuttle::{
    Config, Runner,
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
    sync::Barrier,
    thread::{JoinHandle, spawn},
};

use self::{
    database::Change,
    replica::{Fault, Replica},
};

const SEED: u64 = 20_261_124;
const SCHEDULES: usize = 4000;
/// A schedule by priorities changes them so often, less one.
const DEPTH: usize = 5;
const FILLERS: usize = 3;
/// Of each of them.
const FILLS: usize = 6;
const READERS: usize = 2;
const RECALLS: usize = 12;

/// Tries out orders of what it does, by chance alone and by priorities that change.
fn explore(schedules: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    let random = RandomScheduler::new_from_seed(SEED, schedules);
    run(random, Arc::clone(&scenario));
    let by_priority = PctScheduler::new_from_seed(SEED, DEPTH, schedules);
    run(by_priority, scenario);
}

fn run(scheduler: impl Scheduler + 'static, scenario: Arc<impl Fn() + Send + Sync + 'static>) {
    let mut config = Config::new();
    config.stack_size = 0x2_0000;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || scenario());
}

/// A replica and the threads that share it. All that differs from schedule to schedule is Shuttle's to choose.
struct Scene {
    replica: Arc<Replica>,
    threads: Vec<JoinHandle<()>>,
}

impl Scene {
    fn new(changing: usize, fault: Option<Fault>) -> Self {
        // Of one entry, so that one token makes way for the other; or of enough.
        let capacity = [1, 64][thread_rng().gen_range(0..2)];
        Self {
            replica: Arc::new(Replica::new(capacity, changing, fault)),
            threads: Vec::new(),
        }
    }

    fn spawn(&mut self, body: impl FnOnce(&Replica) + Send + 'static) {
        let replica = Arc::clone(&self.replica);
        self.threads.push(spawn(move || body(&replica)));
    }

    /// From a start that is over before anything else begins.
    fn follow(&mut self) {
        let (cursor, _) = self.replica.step(None);
        self.spawn(move |replica| replica.follow(cursor));
    }

    /// Present the first token, or now and then the second; read what is missing, several at once; and use what they read
    /// twice, the second time for somebody who joined later. `racing` is how often a revocation came between.
    fn fill(&mut self, fillers: usize, racing: &'static AtomicUsize) {
        for _ in 0..fillers {
            self.spawn(|replica| {
                let fetch = |_| {
                    let which = usize::from(thread_rng().gen_ratio(1, 4));
                    (replica.call(which), replica.fetch(which))
                };
                let fills: Vec<_> = (0..FILLS).map(fetch).collect();
                for (first, fill) in &fills {
                    recall(replica, thread_rng().gen_range(0..3));
                    let mut is_racing = replica.use_fill(first, fill);
                    is_racing |= replica.use_fill(&replica.call(fill.which), fill);
                    racing.fetch_add(usize::from(is_racing), Ordering::Relaxed);
                }
            });
        }
    }

    fn recall(&mut self, readers: usize) {
        for _ in 0..readers {
            self.spawn(|replica| recall(replica, RECALLS));
        }
    }

    fn end(self) {
        for thread in self.threads {
            thread.join().expect("it ends");
        }
        for which in 0..2 {
            self.replica.recall(&self.replica.call(which));
        }
    }
}

fn recall(replica: &Replica, times: usize) {
    for _ in 0..times {
        let call = replica.call(thread_rng().gen_range(0..2));
        replica.recall(&call);
    }
}

/// Changes here and elsewhere, one of which revokes.
fn revocation_among_other_changes(racing: &'static AtomicUsize) {
    let mut scene = Scene::new(2, None);
    scene.follow();
    let any = |changes: &[Change]| changes[thread_rng().gen_range(0..changes.len())];
    let revocation = any(&[
        Change::RevokeToken,
        Change::RevokeTokens,
        Change::DeleteWorkspace,
    ]);
    let mut own = vec![revocation, Change::Elsewhere, Change::Elsewhere];
    let mut others = vec![Change::Suspend, Change::Elsewhere, Change::Reactivate];
    if thread_rng().gen_bool(0.3) {
        std::mem::swap(&mut own, &mut others);
    }
    // At any time, such as when most fills are under way.
    scene.spawn(move |replica| {
        recall(replica, thread_rng().gen_range(0..RECALLS));
        replica.change_elsewhere(&others);
    });
    scene.spawn(move |replica| {
        recall(replica, thread_rng().gen_range(0..RECALLS));
        replica.change(&own, thread_rng().gen_bool(0.7));
    });
    scene.fill(FILLERS, racing);
    scene.recall(READERS);
    match thread_rng().gen_range(0..8) {
        0 => scene.spawn(Replica::clear),
        1 => scene.spawn(Replica::reset),
        _ => {}
    }
    scene.end();
}

#[test]
fn no_order_of_events_resurrects_a_revoked_token() {
    static RACING: AtomicUsize = AtomicUsize::new(0);
    explore(SCHEDULES, || revocation_among_other_changes(&RACING));
    let racing = RACING.load(Ordering::Relaxed);
    println!("{racing} fills raced a revocation");
    assert!(racing >= 10_000, "{racing}");
}

/// A change is applied, rows from after it arrive, and somebody looks.
fn suspension(fault: Option<Fault>) {
    let mut scene = Scene::new(0, fault);
    let (cursor, _) = scene.replica.step(None);
    scene.replica.fill_at_once(0);
    scene.replica.database.commit(Change::Suspend);
    let after = scene.replica.fetch(0);
    scene.spawn(move |replica| replica.follow(cursor));
    scene.spawn(move |replica| {
        replica.use_fill(&replica.call(0), &after);
    });
    scene.spawn(|replica| recall(replica, 2));
    scene.end();
}

/// A change is made elsewhere while the feed is read, and somebody looks.
fn change_elsewhere(fault: Option<Fault>) {
    let mut scene = Scene::new(1, fault);
    let (cursor, _) = scene.replica.step(None);
    scene.replica.fill_at_once(0);
    scene.spawn(|replica| replica.change_elsewhere(&[Change::RevokeToken]));
    scene.spawn(move |replica| replica.follow(cursor));
    scene.spawn(|replica| recall(replica, 4));
    scene.end();
}

/// A fill takes longer than the guard remembers.
fn revocation_forgotten() {
    let mut scene = Scene::new(2, None);
    let (cursor, _) = scene.replica.step(None);
    let before = scene.replica.fetch(0);
    scene.spawn(move |replica| replica.follow(cursor));
    scene.spawn(|replica| {
        replica.change(&[Change::RevokeToken], true);
        recall(replica, RECALLS);
        replica.change(&[Change::Elsewhere], true);
    });
    scene.spawn(move |replica| {
        replica.use_fill(&replica.call(0), &before);
    });
    scene.end();
}

#[test]
fn no_fill_is_late_enough_to_resurrect_a_revoked_token() {
    explore(SCHEDULES, revocation_forgotten);
}

#[test]
fn the_view_is_as_fresh_as_it_says() {
    explore(SCHEDULES, || change_elsewhere(None));
}

#[test]
fn what_is_gathered_is_what_there_was_at_its_revision() {
    explore(SCHEDULES, || suspension(None));
}

/// The revocation of one token, while so many fills of it are under way.
fn revocation_among_fills(fills: usize, fault: Option<Fault>) -> usize {
    const TASKS: usize = 8;
    let racing = Arc::new(AtomicUsize::new(0));
    let mut scene = Scene::new(1, fault);
    scene.follow();
    let are_under_way = Arc::new(Barrier::new(TASKS + 1));
    for _ in 0..TASKS {
        let (are_under_way, racing) = (Arc::clone(&are_under_way), Arc::clone(&racing));
        scene.spawn(move |replica| {
            let fills = (0..fills / TASKS).map(|_| (replica.call(0), replica.fetch(0)));
            let fills: Vec<_> = fills.collect();
            are_under_way.wait();
            for (call, fill) in &fills {
                let is_racing = replica.use_fill(call, fill);
                racing.fetch_add(usize::from(is_racing), Ordering::Relaxed);
            }
        });
    }
    let is_own = thread_rng().gen_bool(0.5);
    scene.spawn(move |replica| {
        are_under_way.wait();
        match is_own {
            true => replica.change(&[Change::RevokeToken], true),
            false => replica.change_elsewhere(&[Change::RevokeToken]),
        }
    });
    scene.recall(READERS);
    scene.end();
    racing.load(Ordering::Relaxed)
}

#[test]
fn ten_thousand_fills_under_way_at_once_do_not_either() {
    static RACING: AtomicUsize = AtomicUsize::new(0);
    explore(5, || {
        let racing = revocation_among_fills(10_000, None);
        RACING.fetch_max(racing, Ordering::Relaxed);
    });
    let racing = RACING.load(Ordering::Relaxed);
    println!("{racing} fills of one schedule came after the revocation");
    assert!(racing >= 9_000, "{racing}");
}

#[test]
#[should_panic(expected = "resurrected after its revocation was applied")]
fn without_the_guard_fills_resurrect_a_revoked_token() {
    explore(SCHEDULES, || {
        revocation_among_fills(16, Some(Fault::NoGuard));
    });
}

#[test]
#[should_panic(expected = "resurrected where its revocation had returned")]
fn without_a_mark_so_do_they_where_it_was_revoked() {
    explore(SCHEDULES, || {
        revocation_among_fills(16, Some(Fault::NoMark));
    });
}

#[test]
#[should_panic(expected = "not what there was at its revision")]
fn without_the_sequence_entries_of_two_revisions_are_gathered() {
    explore(SCHEDULES, || suspension(Some(Fault::NoSequence)));
}

#[test]
#[should_panic(expected = "fresher than it is")]
fn by_a_late_clock_the_view_is_fresher_than_it_is() {
    explore(SCHEDULES, || change_elsewhere(Some(Fault::LateClock)));
}
