//! A database as a replica sees it: two tokens of a member, and the feed, in one instant each time it is looked at.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::super::{
    super::{
        age::BootTime,
        sync::{Mutex, MutexGuard},
    },
    fixture::{self, EPOCH},
};
use crate::{
    domain::{
        decide::{Bearer, Presented},
        directory::{Member, MemberState, Workspace, WorkspaceState},
        event::Subject,
        ids::{CallerName, EventId, Revision},
        token::{Origin, Revocation, Token, TokenState},
    },
    store::{FeedEvent, FeedRead, Presentation},
};

/// How many changes are read at once, next to the cursor's own.
const PAGE: usize = 2;

/// What happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// Something to another token.
    Elsewhere,
    Suspend,
    Reactivate,
    /// Of the first token, for good.
    RevokeToken,
    /// Of both tokens, for good.
    RevokeTokens,
    /// Which revokes both tokens, for good.
    DeleteWorkspace,
}

/// A change that was made, and the rows after it.
#[derive(Clone)]
pub(super) struct Committed {
    pub(super) revision: Revision,
    /// When it was to be seen.
    pub(super) at: BootTime,
    pub(super) subject: Subject,
    tokens: [Arc<Token>; 2],
    member: Arc<Member>,
    workspace: Arc<Workspace>,
}

/// Each position of the feed, by its number.
pub(super) struct Database(Mutex<Vec<Committed>>);

impl Database {
    pub(super) fn new() -> Self {
        Self(Mutex::new(vec![Committed::first()]))
    }

    pub(super) fn history(&self) -> MutexGuard<'_, Vec<Committed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn commit(&self, change: Change) -> Committed {
        let mut history = self.history();
        let next = history[history.len() - 1].followed_by(change);
        history.push(next.clone());
        next
    }

    /// What one of the secrets comes to.
    pub(super) fn find_presented(&self, which: usize) -> Presentation {
        let history = self.history();
        let last = &history[history.len() - 1];
        Presentation {
            presented: last.presented(which),
            revision: last.revision,
            pepper_id: None,
        }
    }

    pub(super) fn read_feed_after(&self, cursor: Option<Revision>) -> FeedRead {
        let history = self.history();
        let head = history[history.len() - 1].revision;
        let from = number(cursor.unwrap_or(head));
        let events = history[from..].iter().take(1 + PAGE);
        FeedRead {
            head,
            bound: Duration::ZERO,
            database_now: EPOCH,
            events: events
                .map(|committed| FeedEvent {
                    revision: committed.revision,
                    subject: committed.subject.clone(),
                })
                .collect(),
        }
    }
}

impl Committed {
    fn first() -> Self {
        let [first, second] =
            ["first", "second"].map(|token| fixture::bearer("acme", "max", token));
        Self {
            revision: revision(0),
            at: BootTime::now(),
            subject: Subject {
                workspace_id: String::new(),
                member_id: None,
                token_id: None,
            },
            tokens: [first.token, second.token],
            workspace: first.workspace,
            member: first.member,
        }
    }

    fn followed_by(&self, change: Change) -> Self {
        let mut next = self.clone();
        let member = Arc::make_mut(&mut next.member);
        let (mut of_member, mut of_token) = (Some(member.member_id.to_string()), None);
        match change {
            Change::Elsewhere => of_token = Some("third".to_owned()),
            Change::Suspend => member.state = MemberState::Suspended,
            Change::Reactivate => member.state = MemberState::Active,
            Change::RevokeToken => {
                let token = Arc::make_mut(&mut next.tokens[0]);
                token.revoked = Some(Box::new(revocation()));
                of_token = Some(token.token_id.to_string());
            }
            Change::RevokeTokens => member.generation += 1,
            Change::DeleteWorkspace => {
                let workspace = Arc::make_mut(&mut next.workspace);
                workspace.state = WorkspaceState::Deleted;
                workspace.generation += 1;
                member.state = MemberState::Removed;
                of_member = None;
            }
        }
        next.revision = revision(self.revision.number + 1);
        next.at = BootTime::now();
        next.subject = Subject {
            workspace_id: self.workspace.workspace_id.to_string(),
            member_id: of_member,
            token_id: of_token,
        };
        next
    }

    /// What one of the secrets came to.
    pub(super) fn presented(&self, which: usize) -> Presented {
        Presented::Known(Bearer {
            token: Arc::clone(&self.tokens[which]),
            member: Arc::clone(&self.member),
            workspace: Arc::clone(&self.workspace),
        })
    }

    /// Whether one of the tokens has been revoked, for good.
    pub(super) fn is_revoked(&self, which: usize) -> bool {
        is_revoked(&self.presented(which))
    }
}

/// Whether it is a token that has been revoked, for good.
pub(super) fn is_revoked(presented: &Presented) -> bool {
    let Presented::Known(bearer) = presented else {
        return false;
    };
    let state = bearer.token.state(&bearer.workspace, &bearer.member, EPOCH);
    state == TokenState::Revoked
}

/// Where in the history a position is.
pub(super) fn number(revision: Revision) -> usize {
    usize::try_from(revision.number).expect("a position")
}

fn revision(number: i64) -> Revision {
    Revision {
        number,
        event_id: EventId([number.to_le_bytes()[0]; 16]),
    }
}

fn revocation() -> Revocation {
    Revocation {
        at: EPOCH,
        by: Origin {
            caller: CallerName::parse("platform").expect("a name"),
            actor: None,
        },
        reason: String::new(),
    }
}
