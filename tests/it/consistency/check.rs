//! The checker: holds every answer against the states that it can have been given from.

mod planted;

use std::{collections::BTreeMap, fmt};

use tonic::Code;

use super::{
    BOUND, DELIVERY, GRACE,
    model::Model,
    record::{Answer, Decision, Intent, Record, Window},
    timeline::Timeline,
};

/// How many answers may be on their way out of a process when it is stopped.
const LATE_PER_STOP: usize = 3;
/// How many faults of a kind are told.
const TOLD: usize = 5;

/// What a decision can be wrong in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// An allow that was not right at any revision it can be of, or not at the one that it names.
    StaleAllow,
    /// An allow that was told long after somebody had waited until nothing is allowed any more.
    LateAllow,
    /// The same of a denial.
    WrongDenial,
    /// An answer to no question of a sound client, such as that a revision is unknown.
    WrongError,
    /// An acknowledged mutation that is not in the feed, or without effect.
    LostWrite,
    /// A feed with gaps, or rows that do not go with it.
    UnsoundStore,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// By what came of them, and the faults that struck them.
    pub(super) calls: BTreeMap<String, usize>,
    pub(super) faults: BTreeMap<Fault, Vec<String>>,
    /// Of the calls for decisions outside of fault windows: how many, and how many were decided.
    pub(super) outside: usize,
    pub(super) decided_outside: usize,
    /// Those that were not.
    pub(super) undecided_outside: Vec<String>,
}

impl Report {
    pub(super) fn fault(&mut self, fault: Fault, sentence: String) {
        self.faults.entry(fault).or_default().push(sentence);
    }

    pub(super) fn count(&self, fault: Fault) -> usize {
        self.faults.get(&fault).map_or(0, Vec::len)
    }

    pub(super) fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stale allows: {}", self.count(Fault::StaleAllow))?;
        for (fault, sentences) in &self.faults {
            writeln!(f, "{fault:?}: {}", sentences.len())?;
            for sentence in sentences.iter().take(TOLD) {
                writeln!(f, "    {sentence}")?;
            }
        }
        let (decided, outside) = (self.decided_outside, self.outside);
        writeln!(
            f,
            "decided outside of fault windows: {decided} of {outside}"
        )?;
        for call in self.undecided_outside.iter().take(TOLD) {
            writeln!(f, "    {call}")?;
        }
        for (what, count) in &self.calls {
            writeln!(f, "{count:>6} {what}")?;
        }
        Ok(())
    }
}

/// Checks all that was recorded against the feed that there is in the end.
pub(super) fn check(record: &Record, model: &Model) -> Report {
    let mut report = Report::default();
    check_mutations(record, model, &mut report);
    for window in &record.windows {
        let what = format!("fault {}", window.fault);
        *report.calls.entry(what).or_default() += 1;
    }
    let timeline = Timeline::of(&record.mutations, model);
    for decision in &record.decisions {
        count(decision, &record.windows, &mut report);
        if let Answer::Decided { revision, allows } = &decision.answer {
            let faults = faults(decision, revision, allows, model, &timeline);
            for (fault, sentence) in faults {
                let windows = windows_of(decision, &record.windows);
                let sentence = format!("{sentence}: {decision:?} in {windows:?}");
                report.fault(fault, sentence);
            }
        }
    }
    settle_late(record, &mut report);
    report
}

/// A process that is stopped between its last look at the clock and its answer tells it when it goes on, and there is nothing
/// that it could do about it. A few such answers are put down to that, and more to a clock that is not looked at last.
fn settle_late(record: &Record, report: &mut Report) {
    let stops = record.windows.iter();
    let stops = stops.filter(|window| window.fault == "StopInCalls");
    let late = report.faults.remove(&Fault::LateAllow).unwrap_or_default();
    if late.len() > stops.count() * LATE_PER_STOP {
        report
            .faults
            .entry(Fault::StaleAllow)
            .or_default()
            .extend(late);
    }
}

fn check_mutations(record: &Record, model: &Model, report: &mut Report) {
    for mutation in &record.mutations {
        let revision = match &mutation.answer {
            Ok(revision) => revision,
            Err(code) => {
                *report
                    .calls
                    .entry(format!("mutation {code:?}"))
                    .or_default() += 1;
                continue;
            }
        };
        let what = match mutation.intent {
            Intent::Rotate { .. } => "rotation made",
            Intent::RequireExpiry(true) => "requirement of an expiry made",
            Intent::LimitIdle(true) => "idle limit made",
            _ => "mutation made",
        };
        *report.calls.entry(what.to_owned()).or_default() += 1;
        let is_done = model
            .number_of(revision)
            .is_some_and(|number| model.is_done_at(mutation.intent, &mutation.subject, number));
        if !is_done {
            report.fault(Fault::LostWrite, format!("{mutation:?}"));
        }
    }
}

/// Counts what came of a call, and whether it had to come to a decision.
fn count(decision: &Decision, windows: &[Window], report: &mut Report) {
    let is_decided = matches!(decision.answer, Answer::Decided { .. });
    let what = match &decision.answer {
        Answer::Decided { allows, .. } if allows.contains(&true) => "decision with an allow".into(),
        Answer::Decided { .. } => "decision without an allow".into(),
        Answer::GivenUp => "decision given up".into(),
        Answer::Failed(code) => format!("decision {code:?}"),
    };
    *report.calls.entry(what).or_default() += 1;
    if let Answer::Failed(code) = &decision.answer
        && !may_fail_with(*code)
    {
        report.fault(Fault::WrongError, format!("{decision:?}"));
    }
    if decision.answer != Answer::GivenUp && windows_of(decision, windows).is_empty() {
        report.outside += 1;
        report.decided_outside += usize::from(is_decided);
        if !is_decided {
            report.undecided_outside.push(format!("{decision:?}"));
        }
    }
}

/// What the service answers when it cannot decide now, and what a lost connection looks like.
fn may_fail_with(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
    )
}

/// The faults in whose windows it was, with the grace after them.
fn windows_of<'a>(decision: &Decision, windows: &'a [Window]) -> Vec<&'a str> {
    let windows = windows.iter().filter(|window| {
        window
            .replica
            .is_none_or(|replica| replica == decision.replica)
            && decision.start <= window.end + GRACE
            && decision.end >= window.start
    });
    windows.map(|window| window.fault.as_str()).collect()
}

/// What is wrong with the decisions of one call.
fn faults(
    decision: &Decision,
    revision: &str,
    allows: &[bool],
    model: &Model,
    timeline: &Timeline,
) -> Vec<(Fault, String)> {
    let Decision {
        replica,
        subject,
        start,
        end,
        ..
    } = decision;
    let min_revision = decision.min_revision.as_deref();
    let min_revision = min_revision.map_or(0, |min| model.number_of(min).unwrap_or(i64::MAX));
    let bound = start.saturating_sub(BOUND);
    let newest = timeline.possibly_before(*end);
    let mut faults = Vec::new();
    for (ask, allow) in decision.asks.iter().zip(allows) {
        let (fault, served) = match allow {
            true => {
                let served = timeline.served_before(*replica, subject, *start);
                (Fault::StaleAllow, served.unwrap_or_default())
            }
            false => (Fault::WrongDenial, 0),
        };
        let oldest = timeline.surely_before(bound).max(served);
        let range = oldest..=newest;
        let mut fault = |what: &str| {
            let (from, to) = (range.start(), range.end());
            faults.push((fault, format!("{ask:?} {what} ({from} to {to})")));
        };
        if !model.ever_answers(subject, *ask, range.clone(), *allow) {
            fault("was not right at any revision that it can be of");
            continue;
        }
        let waited = timeline.waited_before(end.saturating_sub(DELIVERY));
        let in_time = oldest.max(waited)..=newest;
        if *allow && !model.ever_answers(subject, *ask, in_time, *allow) {
            faults.push((Fault::LateAllow, format!("{ask:?} was told too late")));
            continue;
        }
        match model.number_of(revision) {
            None => fault("names a revision that is none"),
            Some(named) if !range.contains(&named) => fault("names a revision out of range"),
            Some(named) if named < min_revision => fault("is below the least revision"),
            Some(named) if model.allows(subject, *ask, named) != *allow => {
                fault("was not right at the revision that it names");
            }
            Some(_) => {}
        }
    }
    if allows.len() != decision.asks.len() {
        let sentence = format!("{} answers", allows.len());
        faults.push((Fault::WrongError, sentence));
    }
    faults
}
