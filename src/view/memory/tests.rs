//! What is gathered is what there is, whatever changed, was read late or had to make room in between.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{
    Admission, FeedRead, Key, Memory, Presentation, Presented, ReadAt, Revision,
    fixture::{self, EPOCH},
};
use crate::{
    domain::{decide::Bearer, directory::Member, event::Subject, ids::EventId},
    store::FeedEvent,
    view::age::BootTime,
};

const WORKSPACES: usize = 4;
/// Of each workspace, and tokens of each member.
const MEMBERS: usize = 2;
const TOKENS: usize = 2;

/// Which token it is about, or, where it is about something else, whose.
#[derive(Debug, Clone, Copy)]
enum Step {
    ChangeToken,
    ChangeMember,
    ChangeWorkspace,
    /// Which removes its members.
    DeleteWorkspace,
    /// What is read may be taken in much later, and more than once.
    Read,
    TakeIn,
    /// Both at once.
    Fill,
    Clear,
    Recall,
}

use Step::*;

/// Of which token, when, and what.
type Reading = (usize, ReadAt, Presentation);

/// A database, and a memory that has followed its feed to the head.
struct Scene {
    bearers: Vec<Bearer>,
    head: Revision,
    memory: Memory,
    reads: Vec<Reading>,
}

/// The token of this number.
fn bearer(number: usize) -> Bearer {
    let member = number / TOKENS;
    let workspace = member / MEMBERS;
    let [workspace, member, token] = [("w", workspace), ("m", member), ("t", number)]
        .map(|(kind, number)| format!("{kind}-{number}"));
    fixture::bearer(&workspace, &member, &token)
}

fn key(number: usize) -> Key {
    let hash = blake3::hash(&number.to_le_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hash.as_bytes()[..16]);
    Key(key)
}

impl Scene {
    fn new(capacity: usize) -> Self {
        let mut scene = Self {
            bearers: (0..WORKSPACES * MEMBERS * TOKENS).map(bearer).collect(),
            head: Revision {
                number: 1,
                event_id: EventId([1; 16]),
            },
            memory: Memory::new(capacity, Duration::from_hours(1)).expect("random bytes"),
            reads: Vec::new(),
        };
        scene.follow(None, &[]);
        scene
    }

    fn step(&mut self, step: Step, number: usize, is_own: bool) -> Result<(), TestCaseError> {
        let Bearer { token, member, .. } = &self.bearers[number];
        let mut subject = Subject {
            workspace_id: member.workspace_id.to_string(),
            member_id: Some(member.member_id.to_string()),
            token_id: Some(token.token_id.to_string()),
        };
        match step {
            ChangeToken => {
                let token = Arc::make_mut(&mut self.bearers[number].token);
                token.member_generation += 1;
                self.changed(subject, is_own);
            }
            ChangeMember => {
                subject.token_id = None;
                self.change_members(
                    |other| *other == subject.member_id,
                    |member| member.version += 1,
                );
                self.changed(subject, is_own);
            }
            ChangeWorkspace | DeleteWorkspace => {
                let is_deleted = matches!(step, DeleteWorkspace);
                (subject.member_id, subject.token_id) = (None, None);
                self.change_workspace(number / TOKENS / MEMBERS, is_deleted);
                self.changed(subject, is_own);
            }
            Read => {
                let read = self.read(number);
                self.reads.push(read);
            }
            TakeIn if self.reads.is_empty() => {}
            TakeIn => self.take_in(&self.reads[number % self.reads.len()])?,
            Fill => self.take_in(&self.read(number))?,
            Clear => self.memory.clear(),
            Recall => {}
        }
        // Of all others it is not asked, so that some are used and some make room.
        if let Some(gathered) = self.memory.gather(&key(number)) {
            self.check(number, &gathered.presented)?;
        }
        Ok(())
    }

    fn read(&self, number: usize) -> Reading {
        let mut bearer = self.bearers[number].clone();
        self.memory.share(&mut bearer);
        let read = ReadAt {
            epoch: self.memory.epoch(),
            sent: BootTime::now(),
            head: self.head,
        };
        let presentation = Presentation {
            presented: Presented::Known(bearer),
            revision: self.head,
            pepper_id: None,
        };
        (number, read, presentation)
    }

    fn take_in(&self, (number, read, presentation): &Reading) -> Result<(), TestCaseError> {
        let era = self.memory.era();
        let admitted = self.memory.admit(key(*number), era, read, presentation);
        match admitted {
            Admission::Gathered(gathered) => self.check(*number, &gathered.presented),
            Admission::Ahead | Admission::Stale => Ok(()),
        }
    }

    fn check(&self, number: usize, presented: &Presented) -> Result<(), TestCaseError> {
        let expected = Presented::Known(self.bearers[number].clone());
        prop_assert_eq!(presented, &expected);
        Ok(())
    }

    fn change_members(
        &mut self,
        are_meant: impl Fn(&Option<String>) -> bool,
        change: impl Fn(&mut Member),
    ) {
        for bearer in &mut self.bearers {
            if are_meant(&Some(bearer.member.member_id.to_string())) {
                change(Arc::make_mut(&mut bearer.member));
            }
        }
    }

    fn change_workspace(&mut self, number: usize, is_deleted: bool) {
        let of_each = MEMBERS * TOKENS;
        for bearer in &mut self.bearers[number * of_each..(number + 1) * of_each] {
            let workspace = Arc::make_mut(&mut bearer.workspace);
            workspace.version += 1;
            if is_deleted {
                workspace.generation += 1;
                Arc::make_mut(&mut bearer.member).version += 1;
            }
        }
    }

    /// Something was changed, by this server or another.
    fn changed(&mut self, subject: Subject, is_own: bool) {
        let before = self.head;
        self.head.number += 1;
        if is_own {
            self.memory.invalidate(&subject, Some(self.head));
        }
        self.follow(Some(before), &[subject]);
    }

    fn follow(&mut self, cursor: Option<Revision>, subjects: &[Subject]) {
        let event = |revision, subject| FeedEvent { revision, subject };
        let nothing = Subject {
            workspace_id: String::new(),
            member_id: None,
            token_id: None,
        };
        let first = event(cursor.unwrap_or(self.head), nothing);
        let next = subjects
            .iter()
            .map(|subject| event(self.head, subject.clone()));
        let read = FeedRead {
            head: self.head,
            bound: Duration::ZERO,
            database_now: EPOCH,
            events: std::iter::once(first).chain(next).collect(),
        };
        let applied = self.memory.apply(&read, cursor, BootTime::now());
        assert!(applied.is_ok(), "the feed goes on");
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(ChangeToken),
        6 => Just(ChangeMember),
        6 => Just(ChangeWorkspace),
        2 => Just(DeleteWorkspace),
        5 => Just(Read),
        5 => Just(TakeIn),
        30 => Just(Fill),
        1 => Just(Clear),
        20 => Just(Recall),
    ]
}

proptest! {
    #[test]
    fn what_is_gathered_is_what_there_is(
        steps in prop::collection::vec((step(), 0..WORKSPACES * MEMBERS * TOKENS, any::<bool>()), 0..300),
        capacity in 1..10_usize,
    ) {
        let mut scene = Scene::new(capacity);
        for (step, number, is_own) in steps {
            scene.step(step, number, is_own)?;
        }
    }
}
