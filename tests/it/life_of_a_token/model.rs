//! What is expected, written by hand from the contract: workspaces, members, tokens and requests, and what becomes of them.
//! It shares no code with the service, and has no generations: what is ended is marked as ended, token by token.

use std::collections::BTreeMap;

use countersign::pb::{MemberState, TokenState, WorkspaceState};
use tonic::Code;

use super::{
    flaws::Flaw,
    steps::{
        Answer, By, Caller, DAY, End, Key, Made, Member, Millis, Policy, Secret, Step, Told,
        Workspace,
    },
};

/// How many live tokens a member may have where its workspace does not say.
const LIVE_TOKENS: usize = 50;

/// A token.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) member: Key,
    /// Without outer white space.
    pub(super) name: String,
    pub(super) created_at: Millis,
    pub(super) expires_at: Option<Millis>,
    pub(super) scopes: &'static [&'static str],
    pub(super) networks: &'static [&'static str],
    pub(super) predecessor: Option<usize>,
    pub(super) successor: Option<usize>,
    pub(super) end: Option<End>,
}

/// A request that was carried out.
struct Past {
    at: Millis,
    /// Without what may differ.
    content: Step,
    /// The token that it came to.
    token: Option<usize>,
}

/// How things stand.
#[derive(Default)]
pub(super) struct Model {
    pub(super) flaw: Option<Flaw>,
    pub(super) now: Millis,
    pub(super) workspaces: BTreeMap<usize, Workspace>,
    pub(super) members: BTreeMap<Key, Member>,
    pub(super) tokens: Vec<Token>,
    requests: BTreeMap<(Caller, usize), Past>,
    /// How many events of each kind there are.
    pub(super) events: BTreeMap<&'static str, usize>,
}

/// Why something is refused.
pub(super) type Refusal = (Code, &'static str);

pub(super) const MEMBER_NOT_FOUND: Refusal = (Code::NotFound, "MEMBER_NOT_FOUND");
pub(super) const WORKSPACE_NOT_FOUND: Refusal = (Code::NotFound, "WORKSPACE_NOT_FOUND");
pub(super) const TOKEN_NOT_FOUND: Refusal = (Code::NotFound, "TOKEN_NOT_FOUND");
pub(super) const NOT_PERMITTED: Refusal = (Code::PermissionDenied, "ACTOR_NOT_PERMITTED");
pub(super) const ACTOR_REQUIRED: Refusal = (Code::InvalidArgument, "ACTOR_REQUIRED");

/// What the service admits to on an actor's behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authority {
    /// Everything.
    All,
    /// What this member may, and whether that is to oversee its workspace.
    Of(Key, bool),
    /// Nothing is there for it.
    Nobody,
}

impl Model {
    /// One that has this flaw, or none.
    pub(super) fn new(now: Millis, flaw: Option<Flaw>) -> Self {
        Self {
            flaw,
            now,
            ..Self::default()
        }
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// What a step comes to.
    pub(super) fn take(&mut self, step: &Step) -> Answer {
        let taken = match step {
            Step::Time(at) => {
                self.now = *at;
                Ok(Answer::Done)
            }
            Step::Issue(by, issue, request) => self.issue(*by, issue, *request),
            Step::Rotate(by, rotate, request) => self.rotate(*by, rotate, *request),
            Step::Revoke(by, target, reason, request) => {
                self.revoke(*by, *target, reason, *request)
            }
            Step::RevokeAll(by, workspace, member, reason) => {
                self.revoke_all(*by, *workspace, *member, reason)
            }
            Step::RevokeLeaked(caller, secrets, source) => {
                Ok(self.revoke_leaked(*caller, secrets, source))
            }
            Step::PutMember(key, role) => self.put_member(*key, role),
            Step::SetRole(key, role) => self.set_role(*key, role),
            Step::SetState(key, state) => self.set_state(*key, *state),
            Step::Remove(key) => self.remove(*key),
            Step::CreateWorkspace(number, name) => self.create_workspace(*number, name),
            Step::UpdateWorkspace(update) => self.update_workspace(update),
            Step::DeleteWorkspace(number) => self.delete_workspace(*number),
            Step::Authorize(secret, ask, context) => Ok(self.authorize(*secret, *ask, *context)),
            Step::Batch(secret, asks, mode, context) => {
                Ok(self.batch(*secret, asks, *mode, *context))
            }
            Step::Permissions(secret, context) => Ok(self.permissions(*secret, *context)),
            Step::GetToken(by, target) => self.get_token(*by, *target),
            Step::ListTokens(by, list) => self.list_tokens(*by, list),
            Step::GetMember(key) => {
                let found = self.members.get(key).cloned();
                found.map(Answer::Member).ok_or(MEMBER_NOT_FOUND)
            }
            Step::GetWorkspace(number) => {
                let found = self.workspaces.get(number).cloned();
                found.map(Answer::Workspace).ok_or(WORKSPACE_NOT_FOUND)
            }
        };
        taken.unwrap_or_else(|(code, reason)| Answer::Refused(code, reason.to_owned()))
    }

    /// Notes that there are so many more events of a kind.
    pub(super) fn tell(&mut self, kind: &'static str) {
        *self.events.entry(kind).or_default() += 1;
    }

    // === What is true of tokens ===

    /// The policy of the token's workspace.
    pub(super) fn policy_of(&self, token: &Token) -> Policy {
        self.workspaces[&token.member.workspace].policy
    }

    /// From when on a token has ended by itself under this policy.
    pub(super) fn ends_at(&self, token: &Token, policy: &Policy) -> Option<Millis> {
        if self.has(Flaw::PolicyIsIgnored) {
            return token.expires_at;
        }
        if policy.require_expiry && token.expires_at.is_none() {
            return Some(token.created_at);
        }
        let longest = policy
            .max_lifetime
            .map(|lifetime| token.created_at + lifetime);
        [token.expires_at, longest].into_iter().flatten().min()
    }

    pub(super) fn has_ended(&self, token: &Token, policy: &Policy) -> bool {
        let late = i64::from(self.has(Flaw::ExpiryIsAMillisecondLate));
        self.ends_at(token, policy)
            .is_some_and(|at| at + late <= self.now)
    }

    pub(super) fn state(&self, token: &Token) -> TokenState {
        if token.end.is_some() {
            TokenState::Revoked
        } else if self.has_ended(token, &self.policy_of(token)) {
            TokenState::Expired
        } else {
            TokenState::Active
        }
    }

    /// The tokens that have a name and a place among the live ones of a member. What a policy has ended keeps both; what
    /// was rotated has left both to its successor.
    pub(super) fn placed(&self, member: Key) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(move |token| {
            let has_expired = match self.has(Flaw::PolicyFreesPlaces) {
                true => self.has_ended(token, &self.policy_of(token)),
                false => token.expires_at.is_some_and(|at| at <= self.now),
            };
            let has_left = token.successor.is_some() && !self.has(Flaw::RotatedTokensHavePlaces);
            token.member == member && token.end.is_none() && !has_expired && !has_left
        })
    }

    pub(super) fn cap(&self, workspace: usize) -> usize {
        let set = self.workspaces[&workspace].policy.max_live_tokens;
        usize::try_from(set)
            .ok()
            .filter(|cap| *cap > 0)
            .unwrap_or(LIVE_TOKENS)
    }

    pub(super) fn told(&self, number: usize) -> Told {
        let token = &self.tokens[number];
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Told {
            number,
            member: token.member,
            name: token.name.clone(),
            state: self.state(token),
            created_at: token.created_at,
            expires_at: token.expires_at,
            end: token.end.clone(),
            scopes: texts(token.scopes),
            networks: texts(token.networks),
            predecessor: token.predecessor,
        }
    }

    pub(super) fn made(&self, number: usize, is_replayed: bool) -> Made {
        Made {
            token: self.told(number),
            has_secret: !is_replayed || self.has(Flaw::ReplaysTellTheSecret),
            is_replayed,
            warns_of_no_expiry: self.tokens[number].expires_at.is_none(),
        }
    }

    /// The token that a secret belongs to.
    pub(super) fn of_secret(secret: Secret) -> Option<usize> {
        match secret {
            Secret::Of(number) => Some(number),
            Secret::Unknown | Secret::Malformed => None,
        }
    }

    /// Ends every token that has not been revoked and of which this is true.
    pub(super) fn end_all(&mut self, by: By, reason: &str, is_meant: impl Fn(Key) -> bool) {
        for number in 0..self.tokens.len() {
            if is_meant(self.tokens[number].member) {
                self.end(number, by, reason);
            }
        }
    }

    /// Ends a token unless it was revoked before: the first time counts. Whether it did.
    pub(super) fn end(&mut self, number: usize, by: By, reason: &str) -> bool {
        let (now, token) = (self.now, &mut self.tokens[number]);
        let is_first = token.end.is_none();
        if is_first {
            token.end = Some(End {
                at: now,
                by,
                reason: reason.to_owned(),
            });
        }
        is_first
    }

    // === Who asks ===

    /// On whose authority something is asked.
    pub(super) fn authority(&self, by: By) -> Authority {
        let Some(key) = by.actor else {
            return Authority::All;
        };
        match self.members.get(&key) {
            Some(member) if member.state == MemberState::Active => {
                Authority::Of(key, member.role == "admin")
            }
            _ => Authority::Nobody,
        }
    }

    pub(super) fn require_actor(by: By) -> Result<(), Refusal> {
        match by {
            By {
                caller: Caller::Dashboard,
                actor: None,
            } => Err(ACTOR_REQUIRED),
            _ => Ok(()),
        }
    }

    /// Whether the tokens of this member are there for it at all.
    pub(super) fn may_see(&self, authority: Authority, member: Key) -> bool {
        match authority {
            Authority::All => true,
            Authority::Of(actor, _) if actor == member => true,
            Authority::Of(actor, oversees) => {
                let is_near = actor.workspace == member.workspace;
                oversees && (is_near || self.has(Flaw::OverseersSeeEverywhere))
            }
            Authority::Nobody => false,
        }
    }

    /// The workspace, unless it was deleted.
    pub(super) fn standing(&self, number: usize) -> Option<&Workspace> {
        let workspace = self.workspaces.get(&number);
        workspace.filter(|workspace| workspace.state != WorkspaceState::Deleted)
    }

    // === Requests that come again ===

    /// What the same request came to within the last day; an error if another had its id.
    pub(super) fn earlier(
        &self,
        caller: Caller,
        request: Option<usize>,
        content: &Step,
    ) -> Result<Option<Option<usize>>, Refusal> {
        let past = request.and_then(|id| self.requests.get(&(caller, id)));
        let days = match self.has(Flaw::RequestsAreRememberedForTwoDays) {
            true => 2,
            false => 1,
        };
        match past.filter(|past| self.now < past.at + days * DAY) {
            None => Ok(None),
            Some(past) if past.content == *content => Ok(Some(past.token)),
            Some(_) => Err((Code::AlreadyExists, "REQUEST_ID_REUSED")),
        }
    }

    pub(super) fn remember(
        &mut self,
        caller: Caller,
        request: Option<usize>,
        content: Step,
        token: Option<usize>,
    ) {
        if let Some(id) = request {
            let at = self.now;
            let past = Past { at, content, token };
            self.requests.insert((caller, id), past);
        }
    }
}
