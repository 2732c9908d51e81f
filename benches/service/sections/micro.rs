//! The parts of a decision by themselves, in this process: parse, look up, decide.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use countersign::{
    domain::{
        action::Action,
        address::{Cidr, ClientIp, MAX_CIDRS},
        database_url::DatabaseUrl,
        decide::{Ask, Circumstances, Decision, Owner, Presented, decide},
        ids::CallerName,
        pepper::PepperRing,
        policy::Policy,
        scope::{MAX_SCOPES, Scope},
        secret::{Secret, TokenFormat},
        time::Clock,
        token::{Extras, Limits},
    },
    store::Store,
    view::{Following, Lookup, Settings, View},
};
use tokio::runtime::Runtime;

use crate::{
    Bench,
    database::Database,
    measure::median,
    report::Goal,
    tokens::{self, PEPPER},
};

const SECTION: &str = "micro";
/// So many different tokens by turns.
const TOKENS: u64 = 1024;

pub(crate) fn run(bench: &mut Bench) {
    let calls = bench.pick(20_000, 500_000);
    let format = TokenFormat::default();
    let ring = PepperRing::parse(PEPPER).expect("a pepper");
    let policy = Policy::embedded().expect("the default policy");
    let clock = Clock::system();
    let texts: Vec<String> = (0..TOKENS)
        .map(|i| String::from_utf8(tokens::text(i).to_vec()).expect("it is ASCII"))
        .collect();
    let secrets: Vec<_> = texts.iter().filter_map(|text| format.parse(text)).collect();
    let memory = Memory::open(bench, &ring, &clock, (TOKENS, 1_000_000));
    let presented = memory.look_up(&secrets[0], &ring);
    let ask = Ask {
        action: Action::parse("bookings.read").expect("an action"),
        workspace_id: None,
        owner: Owner::Bearer,
        circumstances: Circumstances::default(),
    };
    let parse = per_call(calls, |i| drop(black_box(format.parse(&texts[i]))));
    let digest = per_call(calls, |i| drop(black_box(ring.digests(&secrets[i]))));
    let decided = per_call(calls, |_| {
        let decision = decide(&policy, &presented, &ask, clock.now());
        assert!(matches!(decision, Decision::Allow(_)), "it is allowed");
    });
    let limited = with_limits(&presented);
    let from_afar = Ask {
        circumstances: Circumstances {
            client_ip: Some(ClientIp::parse("2001:db8::1").expect("an address")),
            ..Circumstances::default()
        },
        ..ask.clone()
    };
    let narrowed = per_call(calls, |_| {
        let decision = decide(&policy, &limited, &from_afar, clock.now());
        assert!(matches!(decision, Decision::Allow(_)), "it is allowed");
    });
    for secret in &secrets {
        memory.look_up(secret, &ring);
    }
    let looked_up = per_call(calls, |i| {
        drop(black_box(memory.look_up(&secrets[i], &ring)))
    });
    for (what, nanoseconds) in [
        ("parse", parse),
        ("digest, for what is not in memory", digest),
        ("look up in memory", looked_up),
        ("decide", decided),
        ("decide, 50 scopes and 20 networks", narrowed),
    ] {
        bench.report.figure(SECTION, what, (nanoseconds, "ns"), "");
    }
    let mut all: Vec<f64> = (0..calls)
        .map(|i| {
            let text = &texts[i % texts.len()];
            let began = Instant::now();
            let secret = format.parse(black_box(text)).expect("a token");
            let presented = memory.look_up(&secret, &ring);
            black_box(decide(&policy, &presented, &ask, clock.now()));
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    all.sort_by(f64::total_cmp);
    let p99 = all[(all.len() - 1) * 99 / 100];
    let what = "in-process decision, p99";
    let note = "parse, key, lookup and decide";
    let goal = Goal::AtMost(5.0);
    bench.report.goal(SECTION, what, goal, (p99, "µs"), note);
}

/// The same token with as many limits as there may be, of which the last ones let it pass.
fn with_limits(presented: &Presented) -> Presented {
    let Presented::Known(bearer) = presented else {
        panic!("it is known");
    };
    let mut scopes = vec![Scope::parse("bookings.reading").expect("a scope"); MAX_SCOPES - 1];
    scopes.push(Scope::parse("bookings.read").expect("a scope"));
    let mut allowed_cidrs = vec![Cidr::parse("2001:db8::2").expect("a network"); MAX_CIDRS - 1];
    allowed_cidrs.push(Cidr::parse("2001:db8::/32").expect("a network"));
    let limits = Limits {
        scopes,
        allowed_cidrs,
    };
    let mut bearer = bearer.clone();
    Arc::make_mut(&mut bearer.token).extras = Extras::from(limits).boxed();
    Presented::Known(bearer)
}

/// The median over runs of a hundred, in nanoseconds.
fn per_call(calls: usize, mut call: impl FnMut(usize)) -> f64 {
    const RUN: usize = 100;
    let tokens = usize::try_from(TOKENS).expect("a small number");
    let runs = (0..calls / RUN).map(|run| {
        let began = Instant::now();
        (0..RUN).for_each(|i| call((run * RUN + i) % tokens));
        began.elapsed().as_secs_f64() * 1e9 / RUN as f64
    });
    median(runs.collect())
}

/// A view in this process that follows a database of its own.
pub(crate) struct Memory {
    runtime: Runtime,
    view: View,
    caller: CallerName,
    _following: Following,
    _database: Database,
}

impl Memory {
    /// With so many tokens stored, and room for so many.
    pub(crate) fn open(
        bench: &Bench,
        ring: &PepperRing,
        clock: &Clock,
        (tokens, capacity): (u64, usize),
    ) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let database = Database::sqlite(bench, tokens, 0);
        let url = DatabaseUrl::parse(&database.url).expect("an address");
        let settings = Settings {
            url: url.clone(),
            direct_url: url.clone(),
            // No pause of this machine is to look like a slow lookup.
            staleness_bound: Duration::from_secs(30),
            capacity,
            patience: Duration::from_secs(10),
        };
        let (view, following) = runtime.block_on(async {
            let store = Store::open(&url, ring, clock.clone()).await;
            let store = store.expect("the database opens");
            let bound = store.set_staleness_bound(settings.staleness_bound).await;
            bound.expect("the bound is written");
            let view = View::new(&store, &settings, clock).expect("a view");
            let following = view.follow(&store, &settings, clock).await;
            (view, following.expect("the feed is read"))
        });
        Self {
            runtime,
            view,
            caller: CallerName::parse("bench").expect("a name"),
            _following: following,
            _database: database,
        }
    }

    /// What is known of a token, read where it is missing.
    pub(crate) fn look_up(&self, secret: &Secret, ring: &PepperRing) -> Presented {
        let recalled = self.recall(secret, ring);
        recalled.unwrap_or_else(|| {
            let lookup = self.lookup(secret, ring);
            let looked_up = self.runtime.block_on(self.view.look_up(&lookup));
            looked_up.expect("it is known").presented
        })
    }

    /// What memory has of it.
    pub(crate) fn recall(&self, secret: &Secret, ring: &PepperRing) -> Option<Presented> {
        let seen = self.view.recall(&self.lookup(secret, ring));
        seen.map(|seen| seen.presented)
    }

    fn lookup<'a>(&'a self, secret: &'a Secret, ring: &'a PepperRing) -> Lookup<'a> {
        Lookup {
            secret,
            ring,
            caller: &self.caller,
            min_revision: None,
            began: tokio::time::Instant::now(),
            era: self.view.era(),
        }
    }
}
