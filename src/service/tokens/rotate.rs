//! Rotating a token: another of the same name takes its place, and it lives on for as long as its bearer needs to change
//! over.

use std::{sync::Arc, time::Duration};

use super::{
    issue::{Minted, admit_expiry, issued, require_active, require_ahead},
    require_token,
    retry::{Earlier, Retry},
    token_not_found,
};
use crate::{
    domain::{
        error::Error,
        event::{Details, NewEvent},
        ids::{RequestId, Revision, TokenId},
        name::Name,
        request::Content,
        secret::SecretText,
        shared::Mark,
        time::{Timestamp, millis},
        token::{self, Extras, LastUse, Origin, Token, TokenRecord, TokenState},
        token_policy::Expiry,
    },
    service::{Rules, Service, member_not_found},
    store::{Abort, Change, Mutation, Tx},
};

/// Which token to rotate.
pub struct RotateRequest {
    /// On whose behalf.
    pub origin: Origin,
    /// Which.
    pub token_id: TokenId,
    /// Until when its successor lives.
    pub expiry: Expiry,
    /// For how long it lives on itself.
    pub overlap: Duration,
    /// By what a retry is known, if it may come.
    pub request_id: Option<RequestId>,
}

/// A token that was rotated.
pub struct Rotated {
    /// The record of the token that took its place.
    pub successor: TokenRecord,
    /// The secret of that, for this once. None: an earlier request of the same id made it, and its answer had the secret.
    pub secret: Option<SecretText>,
    /// The record of the token that was rotated.
    pub predecessor: TokenRecord,
    /// Its position in the feed; the newest where it was rotated before.
    pub revision: Revision,
}

impl Service {
    /// Rotates a token.
    pub async fn rotate_token(&self, request: RotateRequest) -> Result<Rotated, Error> {
        let rules = self.rules();
        let (minted, secret) = Minted::new(&rules)?;
        let retry = Retry::new(request.request_id.as_ref(), request.content(), &rules.ring);
        let is_named = retry.is_named();
        if !is_named {
            require_ahead(request.expiry, self.now())?;
        }
        let rotate = Rotate {
            rules,
            minted,
            request,
            retry,
        };
        let done = self.mutate_once(rotate, is_named).await?;
        let (successor, predecessor) = done.output;
        Ok(Rotated {
            successor,
            secret: done.is_changed.then_some(secret),
            predecessor,
            revision: done.revision,
        })
    }
}

impl RotateRequest {
    /// Every field is named, so that none is forgotten that is added.
    fn content(&self) -> Content {
        let Self {
            origin,
            token_id,
            expiry,
            overlap,
            request_id: _,
        } = self;
        Content::of("RotateToken")
            .text(token_id.as_str())
            .expiry(*expiry)
            .number(millis(*overlap))
            .member(origin.actor.as_ref())
    }
}

struct Rotate {
    rules: Arc<Rules>,
    minted: Minted,
    request: RotateRequest,
    retry: Retry,
}

impl Mutation for Rotate {
    /// The successor and the predecessor.
    type Output = (TokenRecord, TokenRecord);

    fn origin(&self) -> &Origin {
        &self.request.origin
    }

    async fn run(&self, tx: &Tx) -> Result<Change<Self::Output>, Abort> {
        let RotateRequest {
            origin,
            token_id: id,
            expiry,
            ..
        } = &self.request;
        let authority = self.rules.authority(tx, origin).await?;
        let key = require_token(tx, id, tx.now()).await?.token.member;
        authority
            .may_issue(&key)
            .map_err(|refused| refused.or_not_found(token_not_found(id)))?;
        let not_found = || member_not_found(&key);
        let workspace = tx.share_workspace(&key.workspace_id).await?;
        let workspace = workspace.ok_or_else(not_found)?;
        let member = tx.lock_member(&key).await?.ok_or_else(not_found)?;
        tx.lock_token(id).await?;
        if let Earlier::Token(successor_id) = self.retry.earlier(tx, origin).await? {
            let successor = require_token(tx, &successor_id, tx.now()).await?;
            return Ok(Change::none((
                successor,
                require_token(tx, id, tx.now()).await?,
            )));
        }
        // Once more, now that nothing can change it any longer.
        let mut predecessor = require_token(tx, id, tx.now()).await?;
        require_rotatable(&predecessor)?;
        require_active(&workspace, &member)?;
        let expires_at = admit_expiry(&workspace.token_policy, *expiry, tx.now())?;
        let ends = self.rotate(tx, &mut predecessor).await?;
        let successor = self.succeed(tx, &predecessor.token, expires_at).await?;
        self.retry
            .remember(tx, origin, Some(&successor.token.token_id))
            .await?;
        let rotated = Details::TokenRotated {
            successor_id: successor.token.token_id.to_string(),
            expires_at: ends.0,
        };
        let events = vec![
            issued(&successor.token),
            NewEvent::of_token(&predecessor.token, rotated),
        ];
        Ok(Change::made_all((successor, predecessor), events))
    }
}

/// Refuses a token that is dead, and one whose place was taken: whoever asks twice must not end what the first answer gave.
fn require_rotatable(record: &TokenRecord) -> Result<(), Error> {
    let token_id = record.token.token_id.to_string();
    if let Some(rotated) = record.token.rotated() {
        return Err(Error::TokenRotated {
            token_id,
            successor_id: rotated.successor_id.to_string(),
        });
    }
    match record.state {
        TokenState::Active => Ok(()),
        state => Err(Error::TokenNotLive { token_id, state }),
    }
}

impl Rotate {
    /// Has the token make room, and answers when it ends.
    async fn rotate(&self, tx: &Tx, record: &mut TokenRecord) -> Result<Timestamp, Abort> {
        let successor_id = &self.minted.token_id;
        let now = tx.now();
        let overlapped = now.plus(self.request.overlap);
        let own = record.token.expires_at;
        let ends = own.map_or(overlapped, |own| own.min(overlapped));
        tx.rotate_token(&self.request.token_id, successor_id, ends)
            .await?;
        record.token.expires_at = Some(ends);
        let extras = record.token.extras.get_or_insert_default();
        extras.rotated = Some(token::Rotated {
            successor_id: successor_id.clone(),
            is_reuse_recorded: false,
        });
        if ends <= now {
            record.state = TokenState::Expired;
        }
        Ok(ends)
    }

    /// Makes the successor: the same in all that was asked for when the token was issued, but for the expiry.
    async fn succeed(
        &self,
        tx: &Tx,
        predecessor: &Token,
        expires_at: Option<Timestamp>,
    ) -> Result<TokenRecord, Abort> {
        let name = Name::parse(&predecessor.name)
            .map_err(|problem| Abort::Corrupt(format!("token name {}", problem.description)))?;
        let extras = Extras {
            limits: predecessor.limits().cloned().unwrap_or_default(),
            predecessor_id: Some(predecessor.token_id.clone()),
            rotated: None,
        };
        let token = Token {
            token_id: self.minted.token_id.clone(),
            hint: self.minted.hint,
            created_at: tx.now(),
            expires_at,
            last_use: LastUse::issued(tx.now()),
            extras: extras.boxed(),
            revoked: None,
            awaits_record: Mark::default(),
            ..predecessor.clone()
        };
        tx.insert_token(self.minted.row(&token, &name)).await?;
        Ok(TokenRecord {
            token,
            state: TokenState::Active,
            revocation: None,
            last_used_at: None,
        })
    }
}
