//! When each revision came to be, as far as the calls tell: not before its mutation was sent, and not after an answer that
//! names it or a later one.

use std::collections::BTreeMap;

use super::{
    BOUND,
    model::{Model, member_of, workspace_of},
    record::{At, Intent, Mutation},
};

/// By revision. Commits are in the order of revisions, so both are too.
pub(super) struct Timeline {
    /// It was not there earlier.
    earliest: Vec<At>,
    /// It was there by then. One whose mutation was to wait for the replicas was there a bound before it returned.
    latest: Vec<At>,
    /// By replica and subject, of what takes power away: when it was answered, and the revision.
    served: BTreeMap<(usize, String), Vec<(At, i64)>>,
    /// Of the mutations that were to wait for the replicas: when they returned, and the revision.
    waited: Vec<(At, i64)>,
}

impl Timeline {
    pub(super) fn of(mutations: &[Mutation], model: &Model) -> Self {
        let length = usize::try_from(model.head() + 1).expect("a length");
        let mut started: Vec<Option<At>> = vec![None; length];
        let mut latest = vec![At::MAX; length];
        let mut served: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut waited = Vec::new();
        let answered = mutations.iter().filter_map(|mutation| {
            let revision = mutation.answer.as_ref().ok()?;
            let number = model.number_of(revision)?;
            Some((mutation, number, usize::try_from(number).ok()?))
        });
        for (mutation, number, index) in answered {
            let known = match mutation.waits {
                true => mutation.end.saturating_sub(BOUND),
                false => mutation.end,
            };
            latest[index] = latest[index].min(known);
            if model.is_made_at(mutation.intent, &mutation.subject, number) {
                let start = started[index].unwrap_or(At::MAX);
                started[index] = Some(start.min(mutation.start));
            }
            if mutation.waits {
                waited.push((mutation.end, number));
            }
            if takes_power(mutation.intent) {
                let key = (mutation.replica, mutation.subject.clone());
                served.entry(key).or_default().push((mutation.end, number));
            }
        }
        unless_made_by_others(&mut started, mutations, model);
        let mut earliest: Vec<At> = Vec::with_capacity(length);
        for start in started {
            let before = earliest.last().copied().unwrap_or_default();
            earliest.push(start.map_or(before, |start| before.max(start)));
        }
        for index in (1..length).rev() {
            latest[index - 1] = latest[index - 1].min(latest[index]);
        }
        Self {
            earliest,
            latest,
            served,
            waited,
        }
    }

    /// The newest revision that was there before `at` for certain.
    pub(super) fn surely_before(&self, at: At) -> i64 {
        count(self.latest.partition_point(|latest| *latest < at)) - 1
    }

    /// The newest revision that can have been there before `at`.
    pub(super) fn possibly_before(&self, at: At) -> i64 {
        count(self.earliest.partition_point(|earliest| *earliest < at)) - 1
    }

    /// The newest revision for which somebody waited until before `at`: nobody is still answered from an older one then.
    pub(super) fn waited_before(&self, at: At) -> i64 {
        let waited = self.waited.iter().filter(|(end, _)| *end < at);
        waited.map(|(_, revision)| *revision).max().unwrap_or(0)
    }

    /// The newest revision that took power from a token and was answered by this replica before `at`.
    pub(super) fn served_before(&self, replica: usize, token: &str, at: At) -> Option<i64> {
        let subjects = [token.to_owned(), member_of(token), workspace_of(token)];
        let served = subjects.map(|subject| self.served.get(&(replica, subject)));
        let served = served.into_iter().flatten().flatten();
        let served = served.filter(|(end, _)| *end < at);
        served.map(|(_, revision)| *revision).max()
    }
}

/// What has no answer may be what made an event that another answer names: it found nothing left to change.
fn unless_made_by_others(started: &mut [Option<At>], mutations: &[Mutation], model: &Model) {
    for mutation in mutations.iter().filter(|mutation| mutation.answer.is_err()) {
        for (number, start) in (0..).zip(started.iter_mut()) {
            if let Some(start) = start
                && *start > mutation.start
                && model.is_made_at(mutation.intent, &mutation.subject, number)
            {
                *start = mutation.start;
            }
        }
    }
}

fn takes_power(intent: Intent) -> bool {
    match intent {
        Intent::Revoke | Intent::RevokeAll | Intent::Suspend | Intent::Remove => true,
        Intent::SetRole(role) => role != "admin",
        Intent::Rotate { overlaps, .. } => !overlaps,
        Intent::RequireExpiry(is_tighter) | Intent::LimitIdle(is_tighter) => is_tighter,
        Intent::Issue | Intent::Put(_) | Intent::Reactivate => false,
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).expect("not that many")
}
