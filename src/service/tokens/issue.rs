//! Issuing a token.

use std::sync::Arc;

use super::{
    is_there, require_token,
    retry::{Earlier, Retry},
};
use crate::{
    domain::{
        access::Authority,
        address::Cidr,
        directory::{Member, MemberState, Workspace, WorkspaceState},
        error::{Error, Problem},
        event::{Details, NewEvent},
        ids::{MemberKey, RequestId, Revision, TokenId},
        name::Name,
        pepper::Digest,
        request::Content,
        scope::Scope,
        secret::{Hint, Secret, SecretText},
        shared::Mark,
        time::Timestamp,
        token::{Extras, LastUse, Limits, Origin, Token, TokenRecord, TokenState},
        token_policy::{Expiry, TokenPolicy},
    },
    service::{Rules, Service, member_not_found},
    store::{Abort, Change, Mutation, NewToken, Tx},
};

/// What token to issue.
pub struct IssueRequest {
    /// On whose behalf.
    pub origin: Origin,
    /// For whom.
    pub member: MemberKey,
    /// Under which name.
    pub name: Name,
    /// Until when.
    pub expiry: Expiry,
    /// What it is limited to: each scope as [`Service::parse_scope`] took it.
    pub limits: Limits,
    /// By what a retry is known, if it may come.
    pub request_id: Option<RequestId>,
}

/// A token that was issued.
pub struct Issued {
    /// Its record.
    pub record: TokenRecord,
    /// Its secret, for this once. None: an earlier request of the same id issued it, and its answer had the secret.
    pub secret: Option<SecretText>,
    /// Its position in the feed; the newest where it was issued before.
    pub revision: Revision,
}

/// A secret just made, with what is stored of it.
pub(super) struct Minted {
    pub(super) token_id: TokenId,
    pub(super) hint: Hint,
    pub(super) digest: Digest,
    pub(super) pepper_id: String,
}

impl Minted {
    /// A new one under these rules, and its text.
    pub(super) fn new(rules: &Rules) -> Result<(Self, SecretText), Error> {
        let random = || -> Result<(Secret, TokenId), getrandom::Error> {
            Ok((Secret::random()?, TokenId::random()?))
        };
        let (secret, token_id) = random().map_err(Abort::from)?;
        let pepper = rules.ring.active();
        let text = rules.format.print(&secret);
        let minted = Self {
            token_id,
            hint: text.hint(),
            digest: pepper.digest(&secret),
            pepper_id: pepper.id().to_owned(),
        };
        Ok((minted, text))
    }

    /// The row of this token, to which the secret belongs.
    pub(super) fn row<'a>(&'a self, token: &'a Token, name: &'a Name) -> NewToken<'a> {
        NewToken {
            token,
            name,
            digest: self.digest,
            pepper_id: &self.pepper_id,
        }
    }
}

/// When a token of this expiry ends that is issued now, if it may be.
pub(super) fn admit_expiry(
    policy: &TokenPolicy,
    expiry: Expiry,
    now: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    require_ahead(expiry, now)?;
    policy.admit(expiry, now)
}

/// Refuses an expiry that is not ahead, or by more than 100 years.
pub(super) fn require_ahead(expiry: Expiry, now: Timestamp) -> Result<(), Error> {
    let checked = expiry.check(now);
    checked.map_err(|problem| Error::field(expiry.field(), problem))
}

impl Service {
    /// Takes a scope that the running policy knows.
    pub fn parse_scope(&self, text: &str) -> Result<Scope, Problem> {
        Scope::parse_under(&self.rules().policy, text)
    }

    /// What time it is, for what is checked before the request is carried out.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Issues a token.
    pub async fn issue_token(&self, request: IssueRequest) -> Result<Issued, Error> {
        let rules = self.rules();
        let (minted, secret) = Minted::new(&rules)?;
        let retry = Retry::new(request.request_id.as_ref(), request.content(), &rules.ring);
        let is_named = retry.is_named();
        if !is_named {
            require_ahead(request.expiry, self.now())?;
        }
        let issue = Issue {
            rules,
            minted,
            request,
            retry,
        };
        let done = self.mutate_once(issue, is_named).await?;
        Ok(Issued {
            record: done.output,
            secret: done.is_changed.then_some(secret),
            revision: done.revision,
        })
    }
}

impl IssueRequest {
    /// Every field is named, so that none is forgotten that is added.
    fn content(&self) -> Content {
        let Self {
            origin,
            member,
            name,
            expiry,
            limits,
            request_id: _,
        } = self;
        let content = Content::of("IssueToken")
            .member(Some(member))
            .text(name.as_str());
        content
            .expiry(*expiry)
            .texts(limits.scopes.iter().map(Scope::to_string))
            .texts(limits.allowed_cidrs.iter().map(Cidr::to_string))
            .member(origin.actor.as_ref())
    }
}

struct Issue {
    rules: Arc<Rules>,
    minted: Minted,
    request: IssueRequest,
    retry: Retry,
}

impl Mutation for Issue {
    type Output = TokenRecord;

    fn origin(&self) -> &Origin {
        &self.request.origin
    }

    async fn run(&self, tx: &Tx) -> Result<Change<TokenRecord>, Abort> {
        let IssueRequest {
            origin,
            member: key,
            name,
            expiry,
            ..
        } = &self.request;
        let authority = self.rules.authority(tx, origin).await?;
        authority
            .may_oversee(key)
            .map_err(|refused| refused.or_not_found(member_not_found(key)))?;
        let workspace = tx.share_workspace(&key.workspace_id).await?;
        let member = tx.lock_member(key).await?;
        if let Earlier::Token(id) = self.retry.earlier(tx, origin).await? {
            return Ok(Change::none(require_token(tx, &id, tx.now()).await?));
        }
        let (workspace, member) = self.admit(&authority, workspace, member)?;
        let policy = &workspace.token_policy;
        let expires_at = admit_expiry(policy, *expiry, tx.now())?;
        let room = tx.make_room(&workspace, &member, name).await?;
        if !room.is_name_free {
            return Err(Error::TokenNameTaken {
                name: name.as_str().to_owned(),
            }
            .into());
        }
        let limit = policy.live_tokens();
        if room.live_tokens >= limit {
            return Err(Error::TokenLimitReached { limit }.into());
        }
        let token = self.token(&workspace, &member, tx.now(), expires_at);
        tx.insert_token(self.minted.row(&token, name)).await?;
        self.retry
            .remember(tx, origin, Some(&token.token_id))
            .await?;
        let event = issued(&token);
        let record = TokenRecord {
            token,
            state: TokenState::Active,
            revocation: None,
            last_used_at: None,
        };
        Ok(Change::made(record, event))
    }
}

/// The event of a token that came to be.
pub(super) fn issued(token: &Token) -> NewEvent {
    let predecessor_id = token.predecessor_id();
    let details = Details::TokenIssued {
        name: token.name.to_string(),
        expires_at: token.expires_at.map(|at| at.0),
        predecessor_id: predecessor_id.map(ToString::to_string),
        scopes: token.scopes().iter().map(Scope::to_string).collect(),
        allowed_cidrs: token.allowed_cidrs().iter().map(Cidr::to_string).collect(),
    };
    NewEvent::of_token(token, details)
}

/// Refuses a workspace or a member that is suspended.
pub(super) fn require_active(workspace: &Workspace, member: &Member) -> Result<(), Error> {
    if workspace.state == WorkspaceState::Suspended {
        return Err(Error::WorkspaceSuspended {
            workspace_id: workspace.workspace_id.to_string(),
        });
    }
    if member.state == MemberState::Suspended {
        return Err(Error::MemberSuspended {
            member_id: member.member_id.to_string(),
        });
    }
    Ok(())
}

impl Issue {
    /// The member to issue for with its workspace, as they are once they are locked, if the origin may.
    fn admit(
        &self,
        authority: &Authority,
        workspace: Option<Workspace>,
        member: Option<Member>,
    ) -> Result<(Workspace, Member), Error> {
        let key = &self.request.member;
        let not_found = || member_not_found(key);
        let workspace = workspace
            .filter(|workspace| is_there(workspace.state))
            .ok_or_else(not_found)?;
        let member = member
            .filter(|member| member.state != MemberState::Removed)
            .ok_or_else(not_found)?;
        authority
            .may_issue(key)
            .map_err(|refused| refused.or_not_found(not_found()))?;
        require_active(&workspace, &member)?;
        Ok((workspace, member))
    }

    fn token(
        &self,
        workspace: &Workspace,
        member: &Member,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Token {
        Token {
            token_id: self.minted.token_id.clone(),
            member: self.request.member.clone(),
            workspace_generation: workspace.generation,
            member_generation: member.generation,
            name: self.request.name.as_str().into(),
            hint: self.minted.hint,
            created_at: now,
            expires_at,
            last_use: LastUse::issued(now),
            extras: Extras::from(self.request.limits.clone()).boxed(),
            revoked: None,
            awaits_record: Mark::default(),
        }
    }
}
