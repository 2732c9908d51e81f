//! Personal access tokens: issuing, reading, listing, revoking.

mod issue;
mod leak;
mod notices;
mod retry;
mod reuse;
mod revoke;
mod revoke_all;
mod rotate;

pub use issue::{IssueRequest, Issued};
pub use leak::LeakReport;
pub(super) use reuse::Reuses;
pub use revoke::{RevokeRequest, Revoked};
pub use revoke_all::RevokeAllRequest;
pub use rotate::{RotateRequest, Rotated};

use super::{Page, PageRequest, Rules, Service, member_not_found};
use crate::{
    domain::{
        directory::WorkspaceState,
        error::{Error, Problem, ProblemReason},
        ids::{MemberId, MemberKey, RequestId, TokenId, WorkspaceId},
        secret::Secret,
        time::Timestamp,
        token::{Origin, TokenRecord, TokenState},
    },
    store::{Abort, Connection, Session, TokenFilter},
};

/// Which token is meant.
pub enum TokenTarget {
    /// The one with this id.
    Id(TokenId),
    /// The one with this secret. None: what was presented is malformed, so it is nobody's.
    Secret(Option<Secret>),
}

/// Which tokens to list.
pub struct ListRequest {
    /// On whose behalf.
    pub origin: Origin,
    /// Of this workspace.
    pub workspace_id: WorkspaceId,
    /// Of this member only.
    pub member_id: Option<MemberId>,
    /// In these states only; empty for all.
    pub states: Vec<TokenState>,
    /// Only those that end by themselves before this instant.
    pub expires_before: Option<Timestamp>,
    /// Only those that were not used at this instant or after, and if never, were issued before.
    pub unused_since: Option<Timestamp>,
    /// Which page.
    pub page: PageRequest,
}

impl Service {
    /// Reads what a bearer presented as a target. Malformed is a target too, that of no token.
    pub fn target_by_secret(&self, presented: &str) -> TokenTarget {
        TokenTarget::Secret(self.read_secret(presented))
    }

    /// Reads the id of a target. A secret sent in its place is refused, so that no answer can repeat it.
    pub fn target_by_id(&self, id: &str) -> Result<TokenTarget, Problem> {
        let told = "is a secret, not an id: send it as `secret`";
        self.read_id(id, told).map(TokenTarget::Id)
    }

    /// The same for what can be named by its id only.
    pub fn token_id(&self, id: &str) -> Result<TokenId, Problem> {
        self.read_id(id, "is a secret, not an id")
    }

    /// Reads the id of a request; an empty one is none. A secret is refused, so that none is remembered.
    pub fn request_id(&self, id: &str) -> Result<Option<RequestId>, Problem> {
        match id {
            "" => Ok(None),
            id if self.rules().format.resembles(id) => Err(Problem::new(
                ProblemReason::Malformed,
                "is a secret: make up a name for the request",
            )),
            id => RequestId::parse(id).map(Some),
        }
    }

    fn read_id(&self, id: &str, told: &str) -> Result<TokenId, Problem> {
        match self.rules().format.resembles(id) {
            true => Err(Problem::new(ProblemReason::Malformed, told)),
            false => TokenId::parse(id),
        }
    }

    /// The token, dead or alive. By secret it may be None, and the actor does not matter.
    pub async fn get_token(
        &self,
        origin: &Origin,
        target: &TokenTarget,
    ) -> Result<Option<TokenRecord>, Error> {
        let (rules, session) = (self.rules(), self.0.store.read());
        let found = rules.find_target(&session, origin, target, self.0.clock.now());
        self.reading(async { Ok(found.await?) }).await
    }

    /// A page of tokens, newest first.
    pub async fn list_tokens(&self, request: ListRequest) -> Result<Page<TokenRecord>, Error> {
        self.reading(self.find_tokens(request)).await
    }

    async fn find_tokens(&self, request: ListRequest) -> Result<Page<TokenRecord>, Error> {
        let session = self.0.store.read();
        let not_found = || match &request.member_id {
            Some(member_id) => member_not_found(&MemberKey {
                workspace_id: request.workspace_id.clone(),
                member_id: member_id.clone(),
            }),
            None => Error::WorkspaceNotFound {
                workspace_id: request.workspace_id.to_string(),
            },
        };
        let authority = self.rules().authority(&session, &request.origin).await?;
        let member_id = authority
            .listing(&request.workspace_id, request.member_id.as_ref())
            .map_err(|refused| refused.or_not_found(not_found()))?;
        let exists = match &member_id {
            Some(member_id) => {
                let key = MemberKey {
                    workspace_id: request.workspace_id.clone(),
                    member_id: member_id.clone(),
                };
                session.find_member(&key).await?.is_some()
            }
            None => session
                .find_workspace(&request.workspace_id)
                .await?
                .is_some(),
        };
        if !exists {
            return Err(not_found());
        }
        let key = format!(
            "tokens {} {} {:?} {:?} {:?}",
            request.workspace_id,
            member_id.as_ref().map_or("", MemberId::as_str),
            request.states,
            request.expires_before,
            request.unused_since
        );
        let cursor = self.cursor(&key, &request.page)?;
        let filter = TokenFilter {
            workspace_id: request.workspace_id,
            member_id,
            states: request.states,
            expires_before: request.expires_before,
            unused_since: request.unused_since,
            after: cursor.as_deref().and_then(parse_cursor),
        };
        let now = self.0.clock.now();
        let size = request.page.size;
        let found = session.list_tokens(&filter, size + 1, now).await?;
        Ok(Page::cut(found, size, key))
    }
}

impl Rules {
    /// The token, dead or alive, if the origin may see it. By secret there may be none, and the actor does not matter.
    async fn find_target<C: Connection>(
        &self,
        session: &Session<C>,
        origin: &Origin,
        target: &TokenTarget,
        now: Timestamp,
    ) -> Result<Option<TokenRecord>, Abort> {
        let id = match target {
            TokenTarget::Secret(None) => return Ok(None),
            TokenTarget::Secret(Some(secret)) => {
                let digests = self.ring.digests(secret);
                return session.find_token_by_digest(&digests, now).await;
            }
            TokenTarget::Id(id) => id,
        };
        let authority = self.authority(session, origin).await?;
        let record = require_token(session, id, now).await?;
        authority
            .may_oversee(&record.token.member)
            .map_err(|refused| refused.or_not_found(token_not_found(id)))?;
        Ok(Some(record))
    }
}

/// The token with this id, dead or alive.
async fn require_token<C: Connection>(
    session: &Session<C>,
    id: &TokenId,
    now: Timestamp,
) -> Result<TokenRecord, Abort> {
    let found = session.find_token(id, now).await?;
    Ok(found.ok_or_else(|| token_not_found(id))?)
}

/// Where a listing goes on after this token.
pub fn cursor_after(record: &TokenRecord) -> String {
    format!("{} {}", record.token.created_at.0, record.token.token_id)
}

fn parse_cursor(cursor: &str) -> Option<(Timestamp, String)> {
    let (at, id) = cursor.split_once(' ')?;
    Some((Timestamp(at.parse().ok()?), id.to_owned()))
}

fn token_not_found(id: &TokenId) -> Error {
    Error::TokenNotFound {
        token_id: id.to_string(),
    }
}

/// Whether a workspace in this state has members to speak of.
fn is_there(state: WorkspaceState) -> bool {
    state != WorkspaceState::Deleted
}
