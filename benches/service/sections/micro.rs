//! The parts of a decision by themselves, in this process: parse, digest, decide.

use std::{hint::black_box, sync::Arc, time::Instant};

use countersign::domain::{
    action::Action,
    decide::{Ask, Bearer, Decision, Owner, Presented, decide},
    directory::{Member, MemberState, Workspace, WorkspaceState},
    ids::{MemberId, MemberKey, RoleName, TokenId, WorkspaceId},
    pepper::PepperRing,
    policy::Policy,
    secret::TokenFormat,
    time::{Clock, Timestamp},
    token::Token,
};

use crate::{
    Bench,
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
    let presented = presented(clock.now());
    let ask = Ask {
        action: Action::parse("bookings.read").expect("an action"),
        workspace_id: None,
        owner: Owner::Bearer,
        on_behalf_of: Arc::from(""),
    };
    let parse = per_call(calls, |i| drop(black_box(format.parse(&texts[i]))));
    let digest = per_call(calls, |i| drop(black_box(ring.digests(&secrets[i]))));
    let decided = per_call(calls, |_| {
        let decision = decide(&policy, &presented, &ask, clock.now());
        assert!(matches!(decision, Decision::Allow(_)), "it is allowed");
    });
    for (what, nanoseconds) in [("parse", parse), ("digest", digest), ("decide", decided)] {
        bench.report.figure(SECTION, what, (nanoseconds, "ns"), "");
    }
    let mut all: Vec<f64> = (0..calls)
        .map(|i| {
            let text = &texts[i % texts.len()];
            let began = Instant::now();
            let secret = format.parse(black_box(text)).expect("a token");
            black_box(ring.digests(&secret));
            black_box(decide(&policy, &presented, &ask, clock.now()));
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    all.sort_by(f64::total_cmp);
    let p99 = all[(all.len() - 1) * 99 / 100];
    let what = "in-process decision, p99";
    let note = "parse, digest and decide; the lookup in memory is not in it yet";
    let goal = Goal::AtMost(5.0);
    bench.report.goal(SECTION, what, goal, (p99, "µs"), note);
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

/// A live token of an active member.
fn presented(now: Timestamp) -> Presented {
    let workspace_id = WorkspaceId::parse("w-0").expect("an id");
    let member_id = MemberId::parse("m-0").expect("an id");
    Presented::Known(Box::new(Bearer {
        token: Token {
            token_id: TokenId::parse("tok_0").expect("an id"),
            member: MemberKey {
                workspace_id: workspace_id.clone(),
                member_id: member_id.clone(),
            },
            workspace_generation: 1,
            member_generation: 1,
            name: "token".to_owned(),
            hint: "0000".to_owned(),
            created_at: now,
            expires_at: None,
            revoked: None,
        },
        member: Member {
            workspace_id: workspace_id.clone(),
            member_id,
            role: RoleName::parse("member").expect("a name"),
            state: MemberState::Active,
            generation: 1,
            version: 1,
            created_at: now,
            updated_at: now,
        },
        workspace: Workspace {
            workspace_id,
            name: "Workspace".to_owned(),
            state: WorkspaceState::Active,
            generation: 1,
            version: 1,
            created_at: now,
            updated_at: now,
        },
    }))
}
