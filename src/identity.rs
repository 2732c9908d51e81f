//! Whom identity tokens name: by the keys of their issuers, which are fetched, kept and rotated beside the calls.
//!
//! A token that has been verified is remembered, so that the next call that shows it costs a hash and a look-up. None is
//! remembered past its expiry, nor under keys or callers that have been replaced.

mod cache;
mod demand;
mod fetch;
mod keys;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use self::{cache::Cache, demand::Denied, keys::Keys};
pub use self::{
    demand::{Progress, Waiting},
    keys::Observer,
};
use crate::domain::{
    caller::{Caller, KnownCallers},
    identity_token::{Refused, Unverified, is_too_long},
    issuer::Issuer,
    time::{Clock, Timestamp},
};

/// The issuers whose tokens count, and what was found out about tokens. Made anew whenever callers or issuers change.
pub struct Identities {
    issuers: Vec<Arc<Keys>>,
    cache: Cache,
    clock: Clock,
    observer: Observer,
}

/// Somebody who has shown a good token.
#[derive(Debug)]
pub struct Identified {
    /// Who calls.
    pub caller: Arc<Caller>,
    /// From when on the token is none any more.
    pub expires_at: Timestamp,
}

/// Why nobody was identified.
pub enum Unidentified {
    /// The token is no good.
    Refused(Refused),
    /// What is held of its issuer's keys is not enough, and other keys may be published.
    KeyMissing(KeyMissing),
}

/// What would have to be fetched.
pub struct KeyMissing {
    keys: Arc<Keys>,
    refused: Refused,
}

/// How the issuers are, for whoever asks.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Vitals {
    /// Of how many the keys are held.
    pub held: usize,
    /// Of how many there are none, or too old ones.
    pub missing: usize,
    /// How long ago the keys were fetched that are held longest. None: some never were.
    pub age: Option<Duration>,
}

impl Identities {
    /// Has the keys of these issuers fetched from now on, and calls back with what becomes of it.
    pub fn new(issuers: &[Issuer], clock: &Clock, observer: Observer) -> Self {
        let keep = |issuer: &Issuer| Keys::keep(issuer.clone(), clock.clone(), observer.clone());
        Self {
            issuers: issuers.iter().map(keep).collect(),
            cache: Cache::default(),
            clock: clock.clone(),
            observer,
        }
    }

    /// The same for other issuers. What is held of those that stay as they are is held on, and fetched again now.
    #[must_use]
    pub fn replaced(&self, issuers: &[Issuer]) -> Self {
        let kept = |issuer: &Issuer| {
            let same = self.issuers.iter().find(|keys| keys.issuer() == issuer);
            same.inspect(|keys| keys.refresh()).cloned()
        };
        let keep = |issuer: &Issuer| {
            let new = || Keys::keep(issuer.clone(), self.clock.clone(), self.observer.clone());
            kept(issuer).unwrap_or_else(new)
        };
        Self {
            issuers: issuers.iter().map(keep).collect(),
            cache: Cache::default(),
            clock: self.clock.clone(),
            observer: self.observer.clone(),
        }
    }

    /// Whether there is any issuer.
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Waits until the keys of each issuer have been fetched, or not for so long.
    pub async fn warm_up(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        for keys in &self.issuers {
            keys.first_attempt(deadline).await;
        }
    }

    /// Who among these callers shows this token.
    pub fn identify(&self, token: &str, known: &KnownCallers) -> Result<Identified, Unidentified> {
        if is_too_long(token) {
            return Err(Refused::TooLong.into());
        }
        let now = self.clock.now();
        let digest = blake3::hash(token.as_bytes());
        if let Some(identified) = self.cache.find(&digest, now) {
            return Ok(identified);
        }
        let token = Unverified::parse(token)?;
        let issuer = self
            .issuers
            .iter()
            .find(|keys| keys.issuer().name == token.issuer());
        let keys = issuer.ok_or_else(|| token.issuer_unknown())?;
        let issuer = keys.issuer();
        let Some(held) = keys.held(now) else {
            return Err(keys.missing(Refused::KeysMissing(issuer.name.clone())));
        };
        let is_key_known = token.names_one_of(&held.set);
        let verified = match token.verify(&held.set, &issuer.audience, now) {
            Err(refused) if !is_key_known => return Err(keys.missing(refused)),
            verified => verified?,
        };
        let Some(caller) = known.find_by_subject(&issuer.name, &verified.subject) else {
            let refused = Refused::SubjectUnknown {
                issuer: issuer.name.clone(),
                subject: verified.subject,
            };
            return Err(refused.into());
        };
        let (caller, expires_at) = (Arc::clone(caller), verified.expires_at);
        self.cache
            .remember(digest, (&caller, expires_at), (keys, held.generation), now);
        Ok(Identified { caller, expires_at })
    }

    /// How the issuers are.
    pub fn vitals(&self) -> Vitals {
        let now = self.clock.now();
        let held = self.issuers.iter().filter(|keys| keys.held(now).is_some());
        let held = held.count();
        let mut ages = self.issuers.iter().map(|keys| keys.age(now));
        let oldest = ages.try_fold(Duration::ZERO, |oldest, age| Some(oldest.max(age?)));
        Vitals {
            held,
            missing: self.issuers.len() - held,
            age: oldest,
        }
    }
}

impl From<Refused> for Unidentified {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl KeyMissing {
    /// What is to be said of the token if nothing more can be found out.
    pub fn refused(&self) -> Refused {
        match self.keys.is_out_of_reach() {
            // A refusal would be a guess.
            true => self.unknown_yet(),
            false => self.refused.clone(),
        }
    }

    /// What is to be said of it while that is being found out.
    pub fn unknown_yet(&self) -> Refused {
        Refused::KeysMissing(self.keys.issuer().name.clone())
    }

    /// Has the keys fetched. If that was done too often already, or cannot be waited for, tells what is to be said.
    pub fn fetch(&self) -> Result<Waiting, Refused> {
        let is_any_enough = matches!(self.refused, Refused::KeysMissing(_));
        let asked = self.keys.ask(is_any_enough);
        asked.map_err(|denied| match denied {
            Denied::Crowded => self.unknown_yet(),
            Denied::Spent => self.refused(),
        })
    }

    /// The same once more, where what was waited for had begun before.
    pub fn fetch_again(&self, waiting: &mut Waiting) -> bool {
        self.keys.ask_again(waiting)
    }
}
