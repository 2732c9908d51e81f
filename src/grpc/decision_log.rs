//! The log of decisions: every denial, and a share of the allows. No decision ever waits for it.
//!
//! What is to be told goes into a bounded queue, which a thread of its own writes: the log may have to wait for whoever reads
//! it. What the queue has no room for is counted, and left out.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc::{SyncSender, sync_channel},
};

use tokio::sync::oneshot;

use crate::domain::{
    caller::Caller,
    decide::{Ask, Bearer, Decision},
    ids::{EventId, Revision},
    share::Share,
};

/// How many decisions wait to be written at most.
const QUEUE: usize = 4096;

/// What is told of. Clones are the same.
#[derive(Clone)]
pub struct DecisionLog(Arc<Parts>);

struct Parts {
    share: Share,
    allows: AtomicU64,
    queue: SyncSender<Entry>,
    on_drop: Box<dyn Fn() + Send + Sync>,
}

/// A decision that is told of.
struct Entry {
    /// Of the call: those of a batch have the same.
    id: String,
    decision: Decision,
    action: String,
    caller: Arc<Caller>,
    /// Whose token it is, if there is such a token.
    bearer: Option<Bearer>,
    revision: Option<Revision>,
}

/// Resolves when all has been written, after nothing can be told any more.
pub type Written = oneshot::Receiver<()>;

impl DecisionLog {
    /// A log of all denials and this share of the allows. `on_drop` is called with each that is left out.
    pub fn start(
        share: Share,
        on_drop: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<(Self, Written)> {
        Self::start_with(share, on_drop, write)
    }

    fn start_with(
        share: Share,
        on_drop: impl Fn() + Send + Sync + 'static,
        write: impl Fn(Entry) + Send + 'static,
    ) -> std::io::Result<(Self, Written)> {
        let (queue, waiting) = sync_channel(QUEUE);
        let (written, has_written) = oneshot::channel();
        let thread = std::thread::Builder::new().name("decision-log".to_owned());
        thread.spawn(move || {
            waiting.into_iter().for_each(write);
            written.send(()).ok();
        })?;
        let parts = Parts {
            share,
            allows: AtomicU64::new(0),
            queue,
            on_drop: Box::new(on_drop),
        };
        Ok((Self(Arc::new(parts)), has_written))
    }

    /// Tells of those that are to be told of, and answers under which id; empty where of none.
    pub(super) fn tell<'a>(
        &self,
        decisions: impl Iterator<Item = (&'a Ask, Decision)>,
        (caller, bearer, revision): (&Arc<Caller>, Option<&Bearer>, Option<Revision>),
    ) -> String {
        let mut id = String::new();
        for (ask, decision) in decisions {
            if !self.is_told(decision) {
                continue;
            }
            if id.is_empty() {
                match EventId::random() {
                    Ok(random) => id = random.to_string(),
                    Err(_) => {
                        (self.0.on_drop)();
                        continue;
                    }
                }
            }
            let entry = Entry {
                id: id.clone(),
                decision,
                action: ask.action.as_str().to_owned(),
                caller: Arc::clone(caller),
                bearer: bearer.cloned(),
                revision,
            };
            if self.0.queue.try_send(entry).is_err() {
                (self.0.on_drop)();
            }
        }
        id
    }

    fn is_told(&self, decision: Decision) -> bool {
        match decision {
            Decision::Deny(_) => true,
            Decision::Allow(_) => {
                let number = self.0.allows.fetch_add(1, Ordering::Relaxed);
                self.0.share.includes(number)
            }
        }
    }
}

fn write(entry: Entry) {
    let token = entry.bearer.as_ref().map(|bearer| &bearer.token);
    let (outcome, reason, reach) = match entry.decision {
        Decision::Allow(reach) => ("ALLOW", None, Some(reach.as_str())),
        Decision::Deny(reason) => ("DENY", Some(reason.as_str()), None),
    };
    tracing::info!(
        target: "countersign::decision",
        decision_id = entry.id,
        outcome,
        reason,
        action = entry.action,
        reach,
        workspace_id = token.map(|token| token.member.workspace_id.as_str()),
        member_id = token.map(|token| token.member.member_id.as_str()),
        token_id = token.map(|token| token.token_id.as_str()),
        caller = entry.caller.name.as_str(),
        revision = entry.revision.map(|revision| revision.text()),
        "decided"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::domain::{
        action::Action,
        caller::ActsFor,
        decide::{Circumstances, DenyReason, Owner},
        ids::CallerName,
        policy::Reach,
    };

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn question() -> Result<(Ask, Arc<Caller>), Box<dyn std::error::Error>> {
        let ask = Ask {
            action: Action::parse("bookings.read").map_err(|problem| problem.description)?,
            workspace_id: None,
            owner: Owner::Bearer,
            circumstances: Circumstances::default(),
        };
        let caller = Caller {
            name: CallerName::parse("bookings").map_err(|problem| problem.description)?,
            grants: Vec::new(),
            acts_for: ActsFor::Members,
        };
        Ok((ask, Arc::new(caller)))
    }

    #[test]
    fn no_decision_waits_for_a_log_that_nobody_reads_and_what_is_left_out_is_counted() -> Outcome {
        let (ask, caller) = question()?;
        let share = Share::parse("0").ok_or("a share")?;
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        let on_drop = move || {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        // It has begun to write the first, and stands still until it is let go.
        let ((begun, has_begun), (go, may_go)) = (channel(), channel::<()>());
        let (wrote, written) = channel();
        let write = move |entry: Entry| {
            begun.send(()).ok();
            may_go.recv().ok();
            wrote.send(entry.id).ok();
        };
        let (log, _) = DecisionLog::start_with(share, on_drop, write)?;
        let deny = || {
            let decision = Decision::Deny(DenyReason::UnknownToken);
            log.tell([(&ask, decision)].into_iter(), (&caller, None, None))
        };
        let mut ids = vec![deny()];
        has_begun.recv()?;
        ids.extend((0..QUEUE).map(|_| deny()));
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
        for _ in 0..100 {
            assert!(!deny().is_empty(), "it has an id all the same");
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 100);
        // Whoever reads again finds all that there was room for, in order.
        drop(go);
        drop(log);
        assert_eq!(written.into_iter().collect::<Vec<_>>(), ids);
        Ok(())
    }

    #[test]
    fn every_denial_is_told_and_of_allows_the_share() -> Outcome {
        let (ask, caller) = question()?;
        for (share, expected) in [("0", 0), ("0.5", 500), ("1", 1000)] {
            let (wrote, written) = channel();
            let write = move |entry: Entry| {
                wrote.send(entry.decision).ok();
            };
            let share = Share::parse(share).ok_or("a share")?;
            let (log, _) = DecisionLog::start_with(share, || {}, write)?;
            let denial = Decision::Deny(DenyReason::NotOwner);
            for _ in 0..1000 {
                for decision in [Decision::Allow(Reach::Own), denial] {
                    log.tell([(&ask, decision)].into_iter(), (&caller, None, None));
                }
            }
            drop(log);
            let told: Vec<Decision> = written.into_iter().collect();
            let denials = told.iter().filter(|decision| **decision == denial).count();
            assert_eq!(denials, 1000);
            let allows = told.len() - denials;
            assert!(allows.abs_diff(expected) <= 2, "{allows}");
        }
        Ok(())
    }
}
