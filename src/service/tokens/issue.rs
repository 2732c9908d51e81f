//! Issuing a token.

use std::sync::Arc;

use super::{is_there, member_not_found};
use crate::{
    domain::{
        address::Cidr,
        directory::{Member, MemberState, Workspace, WorkspaceState},
        error::{Error, Problem, ProblemReason},
        event::{Details, NewEvent},
        ids::{MemberKey, Revision, TokenId},
        name::Name,
        pepper::Digest,
        scope::Scope,
        secret::{Secret, SecretText},
        time::Timestamp,
        token::{Limits, MAX_LIFETIME, Origin, Token, TokenRecord, TokenState},
        token_policy::Expiry,
    },
    service::{Rules, Service},
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
    /// Until when, as [`Service::check_expiry`] took it.
    pub expiry: Expiry,
    /// What it is limited to: each scope as [`Service::parse_scope`] took it.
    pub limits: Limits,
}

/// A token just issued.
pub struct Issued {
    /// Its record.
    pub record: TokenRecord,
    /// Its secret, for this once.
    pub secret: SecretText,
    /// Its position in the feed.
    pub revision: Revision,
}

impl Service {
    /// Takes an expiry that is ahead, and not by more than 100 years.
    pub fn check_expiry(&self, expiry: Expiry) -> Result<Expiry, Problem> {
        let now = self.0.clock.now();
        let at = match expiry {
            Expiry::Never | Expiry::Default => return Ok(expiry),
            Expiry::At(at) => at,
            Expiry::After(ttl) => now.plus(ttl),
        };
        if at <= now {
            return Err(Problem::new(
                ProblemReason::OutOfRange,
                "must be in the future",
            ));
        }
        if at > now.plus(MAX_LIFETIME) {
            let limit = "36500 days";
            let problem = Problem::new(
                ProblemReason::OutOfRange,
                format!("must be at most {limit} ahead"),
            );
            return Err(problem.with("limit", limit));
        }
        Ok(expiry)
    }

    /// Takes a scope that the running policy knows.
    pub fn parse_scope(&self, text: &str) -> Result<Scope, Problem> {
        Scope::parse_under(&self.rules().policy, text)
    }

    /// Issues a token.
    pub async fn issue_token(&self, request: IssueRequest) -> Result<Issued, Error> {
        let random = || -> Result<(Secret, TokenId), getrandom::Error> {
            Ok((Secret::random()?, TokenId::random()?))
        };
        let (secret, token_id) = random().map_err(Abort::from)?;
        let rules = self.rules();
        let pepper = rules.ring.active();
        let text = rules.format.print(&secret);
        let done = self
            .mutate(Issue {
                token_id,
                hint: text.hint().to_owned(),
                digest: pepper.digest(&secret),
                pepper_id: pepper.id().to_owned(),
                rules,
                request,
            })
            .await?;
        Ok(Issued {
            record: done.output,
            secret: text,
            revision: done.revision,
        })
    }
}

struct Issue {
    rules: Arc<Rules>,
    token_id: TokenId,
    hint: String,
    digest: Digest,
    pepper_id: String,
    request: IssueRequest,
}

impl Mutation for Issue {
    type Output = TokenRecord;

    fn origin(&self) -> &Origin {
        &self.request.origin
    }

    async fn run(&self, tx: &Tx) -> Result<Change<TokenRecord>, Abort> {
        let (workspace, member) = self.target(tx).await?;
        let policy = &workspace.token_policy;
        let expires_at = policy.admit(self.request.expiry, tx.now())?;
        let name = &self.request.name;
        if !tx.release_name(&workspace, &member, name).await? {
            return Err(Error::TokenNameTaken {
                name: name.as_str().to_owned(),
            }
            .into());
        }
        let limit = workspace.token_policy.live_tokens();
        if tx.count_live_tokens(&workspace, &member).await? >= limit {
            return Err(Error::TokenLimitReached { limit }.into());
        }
        let token = self.token(&workspace, &member, tx.now(), expires_at);
        tx.insert_token(NewToken {
            token: &token,
            name,
            digest: self.digest,
            pepper_id: &self.pepper_id,
        })
        .await?;
        let event = NewEvent {
            workspace_id: token.member.workspace_id.to_string(),
            member_id: Some(token.member.member_id.to_string()),
            token_id: Some(token.token_id.to_string()),
            details: Details::TokenIssued {
                name: token.name.clone(),
                expires_at: token.expires_at.map(|at| at.0),
                scopes: token.scopes().iter().map(Scope::to_string).collect(),
                allowed_cidrs: token.allowed_cidrs().iter().map(Cidr::to_string).collect(),
            },
        };
        let record = TokenRecord {
            token,
            state: TokenState::Active,
            revocation: None,
        };
        Ok(Change::made(record, event))
    }
}

impl Issue {
    /// The member to issue for with its workspace, locked, if the origin may.
    async fn target(&self, tx: &Tx) -> Result<(Workspace, Member), Abort> {
        let key = &self.request.member;
        let not_found = || member_not_found(key);
        let authority = self.rules.authority(tx, &self.request.origin).await?;
        authority
            .may_oversee(key)
            .map_err(|refused| refused.or_not_found(not_found()))?;
        let workspace = tx
            .share_workspace(&key.workspace_id)
            .await?
            .filter(|workspace| is_there(workspace.state))
            .ok_or_else(not_found)?;
        let member = tx
            .lock_member(key)
            .await?
            .filter(|member| member.state != MemberState::Removed)
            .ok_or_else(not_found)?;
        authority
            .may_issue(key)
            .map_err(|refused| refused.or_not_found(not_found()))?;
        if workspace.state == WorkspaceState::Suspended {
            return Err(Error::WorkspaceSuspended {
                workspace_id: key.workspace_id.to_string(),
            }
            .into());
        }
        if member.state == MemberState::Suspended {
            return Err(Error::MemberSuspended {
                member_id: key.member_id.to_string(),
            }
            .into());
        }
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
            token_id: self.token_id.clone(),
            member: self.request.member.clone(),
            workspace_generation: workspace.generation,
            member_generation: member.generation,
            name: self.request.name.as_str().to_owned(),
            hint: self.hint.clone(),
            created_at: now,
            expires_at,
            limits: self.request.limits.clone().boxed(),
            revoked: None,
        }
    }
}
