//! What was done and what was answered, each with its times by one clock: what the checker has to go by.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tonic::Code;

/// An instant, from the start of the run on.
pub(super) type At = Duration;

/// Something that a bearer may be allowed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Anybody may, with their own.
    Own,
    /// Only an admin may, with another's.
    Others,
    /// Only an admin may.
    Users,
}

/// What a mutation is to bring about for its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// The token comes to be.
    Issue,
    /// Another token takes the place of the token.
    Rotate {
        /// Whether it lives on for days, or ends at once.
        overlaps: bool,
        /// Whether the other one has an expiry.
        expires: bool,
    },
    /// The token is dead.
    Revoke,
    /// Every token of the member, or of the workspace, is dead.
    RevokeAll,
    /// The member is there, with this role.
    Put(&'static str),
    /// The member has this role.
    SetRole(&'static str),
    /// The member may not use its tokens.
    Suspend,
    /// The member may.
    Reactivate,
    /// The member is gone.
    Remove,
    /// A token of the workspace must have an expiry to be of use, or need not.
    RequireExpiry(bool),
    /// A token of the workspace must have been used lately to be of use, or need not.
    LimitIdle(bool),
}

impl Intent {
    /// A rotation that ends the token at once.
    pub(super) const REPLACE: Self = Self::Rotate {
        overlaps: false,
        expires: false,
    };
}

/// A mutation.
#[derive(Debug, Clone)]
pub(super) struct Mutation {
    pub(super) replica: usize,
    /// As in [`crate::support::history`]. Of an issue that was not answered, it lacks the token.
    pub(super) subject: String,
    pub(super) intent: Intent,
    /// Whether it was to return only when every replica knows.
    pub(super) waits: bool,
    pub(super) start: At,
    pub(super) end: At,
    /// Its revision. An error tells nothing about what became of it.
    pub(super) answer: Result<String, Code>,
}

/// One call that asks for decisions.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    pub(super) replica: usize,
    /// The token's.
    pub(super) subject: String,
    pub(super) asks: Vec<Ask>,
    pub(super) min_revision: Option<String>,
    pub(super) start: At,
    pub(super) end: At,
    pub(super) answer: Answer,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Decisions, each an allow or not.
    Decided { revision: String, allows: Vec<bool> },
    /// None.
    Failed(Code),
    /// None was waited for.
    GivenUp,
}

/// A time in which something was made to fail.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) fault: String,
    /// Where. None: everywhere.
    pub(super) replica: Option<usize>,
    pub(super) start: At,
    pub(super) end: At,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub(super) mutations: Vec<Mutation>,
    pub(super) decisions: Vec<Decision>,
    pub(super) windows: Vec<Window>,
}

/// The record while it is made, with its clock.
pub(super) struct Journal {
    epoch: Instant,
    record: Mutex<Record>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            epoch: Instant::now(),
            record: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> At {
        self.epoch.elapsed()
    }

    pub(super) fn write<T>(&self, write: impl FnOnce(&mut Record) -> T) -> T {
        write(&mut self.record.lock().expect("the record"))
    }

    /// What was written since the last time.
    pub(super) fn take(&self) -> Record {
        self.write(std::mem::take)
    }
}
