//! What is expected of requests about tokens.

use countersign::pb::{MemberState, TokenState, WorkspaceState};
use tonic::Code;

use super::{
    flaws::Flaw,
    model::{
        Authority, MEMBER_NOT_FOUND, Model, NOT_PERMITTED, Refusal, TOKEN_NOT_FOUND, Token,
        WORKSPACE_NOT_FOUND,
    },
    steps::{Answer, By, Caller, Expiry, Issue, Key, List, Millis, Rotate, Secret, Step, Target},
};

/// The names that are not simply their own, as they are sent, with what they are compared by.
pub(super) const SAME_NAMES: [(&str, &str); 6] = [
    ("deploy", "deploy"),
    ("  DePloy ", "deploy"),
    ("ci", "ci"),
    ("ＣＩ", "ci"),
    ("straße", "strasse"),
    ("STRASSE", "strasse"),
];

/// What a name is compared by.
fn name_key(name: &str) -> String {
    let same = SAME_NAMES
        .iter()
        .find(|(sent, _)| sent.trim() == name.trim());
    same.map_or_else(|| name.trim().to_owned(), |(_, key)| (*key).to_owned())
}

impl Model {
    pub(super) fn issue(
        &mut self,
        by: By,
        issue: &Issue,
        request: Option<usize>,
    ) -> Result<Answer, Refusal> {
        self.require_well_formed(by, issue.expiry, request)?;
        let key = issue.member;
        let authority = self.authority(by);
        if !self.may_see(authority, key) {
            return Err(MEMBER_NOT_FOUND);
        }
        let name = issue.name.trim().to_owned();
        let content = Issue {
            name: name.clone(),
            ..issue.clone()
        };
        let content = Step::Issue(by, content, None);
        if let Some(Some(number)) = self.earlier(by.caller, request, &content)? {
            return Ok(Answer::Issued(self.made(number, true)));
        }
        self.require_member(key)?;
        self.require_own(authority, key)?;
        self.require_active(key)?;
        let expires_at = self.admit(key.workspace, issue.expiry)?;
        let same = name_key(&name);
        if self.placed(key).any(|token| name_key(&token.name) == same) {
            return Err((Code::AlreadyExists, "TOKEN_NAME_TAKEN"));
        }
        let over = usize::from(self.has(Flaw::OneMoreThanTheCap));
        if self.placed(key).count() >= self.cap(key.workspace) + over {
            return Err((Code::FailedPrecondition, "TOKEN_LIMIT_REACHED"));
        }
        let number = self.tokens.len();
        self.tokens.push(Token {
            member: key,
            name,
            created_at: self.now,
            expires_at,
            scopes: issue.scopes,
            networks: issue.networks,
            predecessor: None,
            successor: None,
            end: None,
        });
        self.tell("TOKEN_ISSUED");
        self.remember(by.caller, request, content, Some(number));
        Ok(Answer::Issued(self.made(number, false)))
    }

    pub(super) fn rotate(
        &mut self,
        by: By,
        rotate: &Rotate,
        request: Option<usize>,
    ) -> Result<Answer, Refusal> {
        self.require_well_formed(by, rotate.expiry, request)?;
        let authority = self.authority(by);
        let number = rotate.token.ok_or(TOKEN_NOT_FOUND)?;
        let key = self.tokens[number].member;
        if !self.may_see(authority, key) {
            return Err(TOKEN_NOT_FOUND);
        }
        self.require_own(authority, key)?;
        let content = Step::Rotate(by, rotate.clone(), None);
        if let Some(Some(successor)) = self.earlier(by.caller, request, &content)? {
            let told = self.told(number);
            return Ok(Answer::Rotated(self.made(successor, true), Box::new(told)));
        }
        let token = &self.tokens[number];
        let failed = |reason| Err((Code::FailedPrecondition, reason));
        if token.successor.is_some() && !self.has(Flaw::RotatedTokensRotateAgain) {
            return failed("TOKEN_ROTATED");
        }
        match self.state(token) {
            TokenState::Revoked => return failed("TOKEN_REVOKED"),
            TokenState::Expired => return failed("TOKEN_EXPIRED"),
            _ => {}
        }
        self.require_active(key)?;
        let expires_at = self.admit(key.workspace, rotate.expiry)?;
        let successor = Token {
            created_at: self.now,
            expires_at,
            predecessor: Some(number),
            successor: None,
            ..self.tokens[number].clone()
        };
        let successor = match self.has(Flaw::SuccessorsLoseTheirScopes) {
            true => Token {
                scopes: &[],
                ..successor
            },
            false => successor,
        };
        let over = self.now + rotate.overlap + i64::from(self.has(Flaw::OverlapIsLonger));
        let successor_number = self.tokens.len();
        let lasts = self.has(Flaw::OverlapOutlivesExpiry);
        let old = &mut self.tokens[number];
        old.successor = Some(successor_number);
        old.expires_at = Some(match old.expires_at {
            Some(own) if !lasts => own.min(over),
            _ => over,
        });
        self.tokens.push(successor);
        self.tell("TOKEN_ISSUED");
        self.tell("TOKEN_ROTATED");
        self.remember(by.caller, request, content, Some(successor_number));
        let told = self.told(number);
        Ok(Answer::Rotated(
            self.made(successor_number, false),
            Box::new(told),
        ))
    }

    pub(super) fn revoke(
        &mut self,
        by: By,
        target: Target,
        reason: &'static str,
        request: Option<usize>,
    ) -> Result<Answer, Refusal> {
        let found = self.find(by, target)?;
        let content = Step::Revoke(by, target, reason, None);
        if let Some(token) = self.earlier(by.caller, request, &content)? {
            return Ok(Answer::Revoked(token.map(|number| self.told(number)), true));
        }
        let is_expired = |number: usize| self.state(&self.tokens[number]) == TokenState::Expired;
        let is_spared = self.has(Flaw::ExpiredTokensAreNotRevoked) && found.is_some_and(is_expired);
        if let Some(number) = found
            && !is_spared
            && self.end(number, by, reason)
        {
            self.tell("TOKEN_REVOKED");
        }
        self.remember(by.caller, request, content, found);
        Ok(Answer::Revoked(
            found.map(|number| self.told(number)),
            false,
        ))
    }

    pub(super) fn revoke_all(
        &mut self,
        by: By,
        workspace: usize,
        member: Option<usize>,
        reason: &str,
    ) -> Result<Answer, Refusal> {
        Self::require_actor(by)?;
        let authority = self.authority(by);
        let Some(member) = member else {
            return self.revoke_workspace(by, authority, workspace, reason);
        };
        let key = Key { workspace, member };
        if !self.may_see(authority, key) {
            return Err(MEMBER_NOT_FOUND);
        }
        let now = self.now;
        let found = self.members.get_mut(&key).ok_or(MEMBER_NOT_FOUND)?;
        if found.state != MemberState::Removed {
            found.updated_at = now;
            self.end_all(by, reason, |of| of == key);
            self.tell("TOKENS_REVOKED");
        }
        Ok(Answer::Done)
    }

    fn revoke_workspace(
        &mut self,
        by: By,
        authority: Authority,
        workspace: usize,
        reason: &str,
    ) -> Result<Answer, Refusal> {
        match authority {
            Authority::All => {}
            Authority::Of(actor, oversees) if actor.workspace == workspace => {
                if !oversees {
                    return Err(NOT_PERMITTED);
                }
            }
            Authority::Of(..) | Authority::Nobody => return Err(WORKSPACE_NOT_FOUND),
        }
        let now = self.now;
        let found = self.workspaces.get_mut(&workspace);
        let found = found.ok_or(WORKSPACE_NOT_FOUND)?;
        if found.state != WorkspaceState::Deleted {
            found.updated_at = now;
            self.end_all(by, reason, |of| of.workspace == workspace);
            self.tell("TOKENS_REVOKED");
        }
        Ok(Answer::Done)
    }

    pub(super) fn revoke_leaked(
        &mut self,
        caller: Caller,
        secrets: &[Secret],
        source: &str,
    ) -> Answer {
        let by = By {
            caller,
            actor: None,
        };
        let reason = match source {
            "" => "leaked".to_owned(),
            source => format!("leaked: {source}"),
        };
        for number in secrets.iter().copied().filter_map(Self::of_secret) {
            if self.end(number, by, &reason) {
                self.tell("TOKEN_REVOKED");
            }
        }
        Answer::Done
    }

    pub(super) fn get_token(&self, by: By, target: Target) -> Result<Answer, Refusal> {
        let found = self.find(by, target)?;
        Ok(Answer::Token(found.map(|number| self.told(number))))
    }

    pub(super) fn list_tokens(&self, by: By, list: &List) -> Result<Answer, Refusal> {
        Self::require_actor(by)?;
        let not_found = match list.member {
            Some(_) => MEMBER_NOT_FOUND,
            None => WORKSPACE_NOT_FOUND,
        };
        let member = match self.authority(by) {
            Authority::All => list.member,
            Authority::Of(actor, _) if actor.workspace != list.workspace => return Err(not_found),
            Authority::Of(_, true) => list.member,
            Authority::Of(actor, false) => match list.member {
                Some(other) if other != actor.member => return Err(not_found),
                _ => Some(actor.member),
            },
            Authority::Nobody => return Err(not_found),
        };
        let is_there = match member {
            None => self.workspaces.contains_key(&list.workspace),
            Some(member) => self.members.contains_key(&Key {
                workspace: list.workspace,
                member,
            }),
        };
        if !is_there {
            return Err(not_found);
        }
        let is_listed = |token: &Token| {
            let ends = || self.ends_at(token, &self.policy_of(token));
            token.member.workspace == list.workspace
                && member.is_none_or(|member| token.member.member == member)
                && (list.states.is_empty() || list.states.contains(&self.state(token)))
                && list
                    .expires_before
                    .is_none_or(|before| ends().is_some_and(|at| at < before))
        };
        let numbers = (0..self.tokens.len()).filter(|number| is_listed(&self.tokens[*number]));
        Ok(Answer::Tokens(
            numbers.map(|number| self.told(number)).collect(),
        ))
    }

    /// The token that is meant, if it is there for whoever asks. By secret there may be none, and anybody may ask.
    fn find(&self, by: By, target: Target) -> Result<Option<usize>, Refusal> {
        let number = match target {
            Target::Secret(secret) => return Ok(Self::of_secret(secret)),
            Target::Id(number) => Some(number),
            Target::UnknownId => None,
        };
        Self::require_actor(by)?;
        let authority = self.authority(by);
        let is_there = |number: &usize| self.may_see(authority, self.tokens[*number].member);
        match number.filter(is_there) {
            Some(number) => Ok(Some(number)),
            None => Err(TOKEN_NOT_FOUND),
        }
    }

    // === What is asked of a new token ===

    fn require_member(&self, key: Key) -> Result<(), Refusal> {
        let member = self.members.get(&key);
        let is_there = member.is_some_and(|member| member.state != MemberState::Removed);
        match is_there && self.standing(key.workspace).is_some() {
            true => Ok(()),
            false => Err(MEMBER_NOT_FOUND),
        }
    }

    fn require_own(&self, authority: Authority, key: Key) -> Result<(), Refusal> {
        match authority {
            Authority::Of(actor, _) if actor != key => Err(NOT_PERMITTED),
            _ => Ok(()),
        }
    }

    fn require_active(&self, key: Key) -> Result<(), Refusal> {
        if self.workspaces[&key.workspace].state == WorkspaceState::Suspended {
            return Err((Code::FailedPrecondition, "WORKSPACE_SUSPENDED"));
        }
        if self.members[&key].state == MemberState::Suspended {
            return Err((Code::FailedPrecondition, "MEMBER_SUSPENDED"));
        }
        Ok(())
    }

    /// What comes under an id may have been carried out when its expiry was ahead; beside another fault that is one too.
    fn require_well_formed(
        &self,
        by: By,
        expiry: Expiry,
        request: Option<usize>,
    ) -> Result<(), Refusal> {
        let required = Self::require_actor(by);
        if request.is_none() || required.is_err() {
            self.require_ahead(expiry)?;
        }
        required
    }

    fn require_ahead(&self, expiry: Expiry) -> Result<(), Refusal> {
        match expiry {
            Expiry::At(at) if at <= self.now => Err((Code::InvalidArgument, "FIELD_OUT_OF_RANGE")),
            _ => Ok(()),
        }
    }

    /// When a token ends that is issued now, if the workspace admits it.
    fn admit(&self, workspace: usize, expiry: Expiry) -> Result<Option<Millis>, Refusal> {
        self.require_ahead(expiry)?;
        let policy = self.workspaces[&workspace].policy;
        let expires_at = match expiry {
            Expiry::At(at) => Some(at),
            Expiry::Ttl(ttl) => Some(self.now + ttl),
            Expiry::Never => None,
            Expiry::Unset if self.has(Flaw::DefaultLifetimeIsIgnored) => None,
            Expiry::Unset => policy.default_lifetime.map(|lifetime| self.now + lifetime),
        };
        if policy.require_expiry && expires_at.is_none() {
            return Err((Code::FailedPrecondition, "EXPIRY_REQUIRED"));
        }
        if let Some(longest) = policy.max_lifetime
            && expires_at.is_none_or(|at| at > self.now + longest)
        {
            return Err((Code::FailedPrecondition, "LIFETIME_TOO_LONG"));
        }
        Ok(expires_at)
    }
}
