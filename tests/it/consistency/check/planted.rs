//! The checker itself under test: everything else here rests on its finding what is wrong.

use std::time::Duration;

use tonic::Code;

use super::{Fault, Report, check};
use crate::{
    consistency::{
        BOUND, DELIVERY,
        model::Model,
        record::{Answer, Ask, At, Decision, Intent, Mutation, Record, Window},
    },
    support::history::Recorded,
};

const TOKEN: &str = "acme/max/t1";
const MEMBER: &str = "acme/max/";
/// Is rotated.
const PREDECESSOR: &str = "acme/max/t2";
/// Has no expiry, and takes the place of that.
const SUCCESSOR: &str = "acme/max/t3";
/// Has an expiry.
const LASTING: &str = "acme/max/t4";
/// Has gone unused for long.
const IDLE: &str = "acme/max/t5";

fn at(millis: u64) -> At {
    Duration::from_millis(millis)
}

/// Max has a token from revision 2 on; it is revoked at 3; Max becomes an admin at 4, and has two more tokens from 5 and 6
/// on; another takes the place of the first of them at 7 and 8; from 9 to 10 every token must have an expiry. From 11 on there is
/// one more, and from 12 to 13 every token must have been used lately.
fn feed() -> Vec<Recorded> {
    let events = [
        ("FEED_STARTED", "//", "{}"),
        ("MEMBER_ADDED", MEMBER, r#"{"role":"member"}"#),
        ("TOKEN_ISSUED", TOKEN, "{}"),
        ("TOKEN_REVOKED", TOKEN, "{}"),
        ("MEMBER_ROLE_CHANGED", MEMBER, r#"{"to_role":"admin"}"#),
        ("TOKEN_ISSUED", PREDECESSOR, "{}"),
        ("TOKEN_ISSUED", LASTING, r#"{"expires_at":100}"#),
        ("TOKEN_ISSUED", SUCCESSOR, "{}"),
        ("TOKEN_ROTATED", PREDECESSOR, r#"{"expires_at":8}"#),
        (
            "WORKSPACE_UPDATED",
            "acme//",
            r#"{"token_policy":{"require_expiry":true}}"#,
        ),
        (
            "WORKSPACE_UPDATED",
            "acme//",
            r#"{"token_policy":{"require_expiry":false}}"#,
        ),
        ("TOKEN_ISSUED", IDLE, r#"{"name":"idle 0"}"#),
        (
            "WORKSPACE_UPDATED",
            "acme//",
            r#"{"token_policy":{"require_expiry":false,"idle_limit":86400000}}"#,
        ),
        (
            "WORKSPACE_UPDATED",
            "acme//",
            r#"{"token_policy":{"require_expiry":false,"idle_limit":null}}"#,
        ),
    ];
    (0..)
        .zip(events)
        .map(|(number, (kind, subject, details))| Recorded {
            number,
            event_id: format!("{number:032x}"),
            at: number,
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            details: details.to_owned(),
        })
        .collect()
}

fn revision(number: usize) -> String {
    feed()[number].revision()
}

fn mutation(number: usize, intent: Intent, start: u64, end: u64) -> Mutation {
    Mutation {
        replica: 0,
        subject: feed()[number].subject.clone(),
        intent,
        waits: false,
        start: at(start),
        end: at(end),
        answer: Ok(revision(number)),
    }
}

fn decision(replica: usize, start: u64, named: usize, allow: bool) -> Decision {
    decision_on(TOKEN, replica, start, named, allow)
}

fn decision_on(subject: &str, replica: usize, start: u64, named: usize, allow: bool) -> Decision {
    Decision {
        replica,
        subject: subject.to_owned(),
        asks: vec![Ask::Own],
        min_revision: None,
        start: at(start),
        end: at(start + 10),
        answer: Answer::Decided {
            revision: revision(named),
            allows: vec![allow],
        },
    }
}

/// Issued by 2 s, revoked between 3.0 and 3.1 s, promoted between 3.2 and 3.3 s; the bound ends at 4.1 s. Rotated between
/// 6.0 and 6.1 s; an expiry is required from between 8.0 and 8.1 to between 10.0 and 10.1 s, and lately to have been used from
/// between 13.0 and 13.1 to between 15.0 and 15.1 s.
fn sound() -> Record {
    Record {
        mutations: vec![
            mutation(2, Intent::Issue, 1900, 2000),
            mutation(3, Intent::Revoke, 3000, 3100),
            mutation(4, Intent::SetRole("admin"), 3200, 3300),
            mutation(5, Intent::Issue, 5000, 5050),
            mutation(6, Intent::Issue, 5060, 5100),
            mutation(8, Intent::REPLACE, 6000, 6100),
            mutation(9, Intent::RequireExpiry(true), 8000, 8100),
            mutation(10, Intent::RequireExpiry(false), 10_000, 10_100),
            mutation(11, Intent::Issue, 12_000, 12_100),
            mutation(12, Intent::LimitIdle(true), 13_000, 13_100),
            mutation(13, Intent::LimitIdle(false), 15_000, 15_100),
        ],
        decisions: vec![
            decision(0, 2500, 2, true),
            // While it is revoked, either is right.
            decision(0, 3050, 2, true),
            decision(0, 3050, 3, false),
            // Elsewhere it may be so for the bound.
            decision(1, 4099, 2, true),
            decision(0, 3101, 3, false),
            decision(1, 4500, 4, false),
            decision_on(PREDECESSOR, 0, 6050, 6, true),
            decision_on(PREDECESSOR, 0, 6101, 8, false),
            decision_on(PREDECESSOR, 1, 7099, 6, true),
            decision_on(SUCCESSOR, 0, 6101, 8, true),
            decision_on(SUCCESSOR, 0, 8101, 9, false),
            decision_on(SUCCESSOR, 1, 9099, 8, true),
            decision_on(SUCCESSOR, 1, 10_500, 10, true),
            decision_on(LASTING, 0, 9500, 9, true),
            decision_on(IDLE, 0, 12_500, 11, true),
            decision_on(IDLE, 0, 13_101, 12, false),
            decision_on(IDLE, 1, 14_099, 11, true),
            decision_on(LASTING, 1, 14_500, 12, true),
            decision_on(IDLE, 1, 15_500, 13, true),
        ],
        windows: vec![Window {
            fault: "none".to_owned(),
            replica: Some(2),
            start: at(0),
            end: at(9000),
        }],
    }
}

fn found(record: &Record) -> Report {
    check(record, &Model::of(&feed()))
}

#[test]
fn in_a_sound_history_nothing_is_found() {
    let report = found(&sound());
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.outside, report.decided_outside), (19, 19));
}

type Break = fn(&mut Record);

const STALE: [(&str, Break); 18] = [
    ("an allow past the bound", |record| {
        record.decisions.push(decision(1, 4101, 2, true));
    }),
    ("an allow by who revoked it", |record| {
        record.decisions.push(decision(0, 3101, 2, true));
    }),
    ("an allow after the wait", |record| {
        let waiting = &mut record.mutations[1];
        (waiting.waits, waiting.end) = (true, waiting.end + BOUND);
        record.mutations[2].answer = Err(Code::Unavailable);
        record.decisions[3] = decision(1, 4101, 2, true);
    }),
    ("an allow that is told long after the wait", |record| {
        record.mutations[1].waits = true;
        record.decisions[3] = decision(1, 3090, 2, true);
        record.decisions[3].end = at(3100) + DELIVERY + at(1);
    }),
    ("an allow before it was issued", |record| {
        record.decisions.push(decision(1, 1000, 1, true));
    }),
    ("a token and a member of two states", |record| {
        let mut torn = decision(1, 3295, 4, true);
        torn.asks = vec![Ask::Others];
        record.decisions.push(torn);
    }),
    ("an allow of another revision's state", |record| {
        record.decisions.push(decision(1, 3500, 3, true));
    }),
    ("an allow of no revision", |record| {
        let mut odd = decision(1, 3500, 2, true);
        odd.answer = Answer::Decided {
            revision: "2-ffffffffffffffff".to_owned(),
            allows: vec![true],
        };
        record.decisions.push(odd);
    }),
    ("an allow of a revision to come", |record| {
        record.decisions[0] = decision(0, 2500, 4, true);
    }),
    ("an allow below the least revision", |record| {
        let mut below = decision(1, 3500, 2, true);
        below.min_revision = Some(revision(3));
        record.decisions.push(below);
    }),
    ("the second of a batch", |record| {
        let mut batch = decision(1, 2500, 2, true);
        batch.asks.push(Ask::Users);
        batch.answer = Answer::Decided {
            revision: revision(2),
            allows: vec![true, true],
        };
        record.decisions.push(batch);
    }),
    ("an allow of what was rotated past the bound", |record| {
        let stale = decision_on(PREDECESSOR, 1, 7101, 6, true);
        record.decisions.push(stale);
    }),
    ("an allow of what was rotated by who did", |record| {
        let stale = decision_on(PREDECESSOR, 0, 6101, 6, true);
        record.decisions.push(stale);
    }),
    ("an allow of what has no expiry past the bound", |record| {
        let stale = decision_on(SUCCESSOR, 1, 9101, 8, true);
        record.decisions.push(stale);
    }),
    (
        "an allow of what has no expiry by who requires one",
        |record| {
            let stale = decision_on(SUCCESSOR, 0, 8101, 8, true);
            record.decisions.push(stale);
        },
    ),
    (
        "an allow of what has no expiry at no other revision",
        |record| {
            let stale = decision_on(SUCCESSOR, 1, 9099, 9, true);
            record.decisions.push(stale);
        },
    ),
    ("an allow of what is idle past the bound", |record| {
        let stale = decision_on(IDLE, 1, 14_101, 11, true);
        record.decisions.push(stale);
    }),
    ("an allow of what is idle by who limits that", |record| {
        let stale = decision_on(IDLE, 0, 13_101, 11, true);
        record.decisions.push(stale);
    }),
];

const OTHERS: [(&str, Fault, Break); 10] = [
    ("a denial of what is live", Fault::WrongDenial, |record| {
        record.decisions.push(decision(1, 2500, 2, false));
    }),
    ("a revision said unknown", Fault::WrongError, |record| {
        record.decisions[0].answer = Answer::Failed(Code::FailedPrecondition);
    }),
    ("a mutation of no feed", Fault::LostWrite, |record| {
        record.mutations[0].answer = Ok("2-ffffffffffffffff".to_owned());
    }),
    ("a mutation without effect", Fault::LostWrite, |record| {
        let mut lost = mutation(2, Intent::Revoke, 2100, 2200);
        lost.replica = 2;
        record.mutations.push(lost);
    }),
    (
        "a denial of what has an expiry",
        Fault::WrongDenial,
        |record| {
            let wrong = decision_on(LASTING, 0, 9500, 9, false);
            record.decisions.push(wrong);
        },
    ),
    (
        "a denial when none is required",
        Fault::WrongDenial,
        |record| {
            let wrong = decision_on(SUCCESSOR, 1, 11_101, 9, false);
            record.decisions.push(wrong);
        },
    ),
    ("a rotation that ends nothing", Fault::LostWrite, |record| {
        record.mutations[5].intent = Intent::Rotate {
            overlaps: true,
            expires: false,
        };
    }),
    ("a policy that is not set", Fault::LostWrite, |record| {
        record.mutations[6].intent = Intent::RequireExpiry(false);
    }),
    ("a limit that is not set", Fault::LostWrite, |record| {
        record.mutations[9].intent = Intent::LimitIdle(false);
    }),
    (
        "a denial of what is idle before the limit",
        Fault::WrongDenial,
        |record| {
            let wrong = decision_on(IDLE, 0, 12_500, 11, false);
            record.decisions.push(wrong);
        },
    ),
];

#[test]
fn every_planted_fault_is_found() {
    let stale = STALE.map(|(what, break_it)| (what, Fault::StaleAllow, break_it));
    for (what, fault, break_it) in stale.into_iter().chain(OTHERS) {
        let mut record = sound();
        break_it(&mut record);
        let report = found(&record);
        assert_eq!(report.count(fault), 1, "{what}: {report}");
        assert_eq!(report.faults.len(), 1, "{what}: {report}");
    }
}

#[test]
fn an_issue_that_the_workspace_must_refuse_is_found() {
    let mut feed = feed();
    // As if the member's role had been the requirement, before the first of the tokens without an expiry.
    feed[4] = Recorded {
        number: 4,
        ..feed[9].clone()
    };
    let record = Record {
        mutations: vec![
            mutation(5, Intent::Issue, 5000, 5050),
            mutation(6, Intent::Issue, 5060, 5100),
        ],
        ..Record::default()
    };
    let report = check(&record, &Model::of(&feed));
    assert_eq!(report.count(Fault::LostWrite), 1, "{report}");
    assert_eq!(report.faults.len(), 1, "{report}");
}

#[test]
fn a_mutation_without_an_answer_may_have_been_made_at_any_time_since() {
    let mut record = sound();
    record.mutations[1].answer = Err(Code::DeadlineExceeded);
    // This one found it revoked already, long after.
    record.mutations[2] = mutation(3, Intent::Revoke, 3150, 3160);
    let report = found(&record);
    assert!(report.is_sound(), "{report}");
}

#[test]
fn a_call_that_is_not_decided_counts_only_outside_of_fault_windows() {
    let mut record = sound();
    let mut failed = decision(1, 2500, 2, true);
    failed.answer = Answer::Failed(Code::Unavailable);
    record.decisions.push(failed.clone());
    let report = found(&record);
    assert_eq!((report.outside, report.decided_outside), (20, 19));
    failed.replica = 2;
    record.decisions.push(failed.clone());
    failed.answer = Answer::GivenUp;
    failed.replica = 1;
    record.decisions.push(failed);
    let report = found(&record);
    assert_eq!((report.outside, report.decided_outside), (20, 19));
}
