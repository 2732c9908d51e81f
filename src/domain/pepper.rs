//! Peppers: the keys under which secrets are hashed, and the ring of those in use.
//!
//! What is stored of a token is the BLAKE3 keyed hash of its secret under a named pepper. Whoever has only the database
//! has nothing to test guesses against; whoever has only a pepper has nothing to forge.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use super::{
    ids::{TokenId, random_bytes},
    secret::Secret,
};

/// What is stored of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

/// One key of the ring.
pub struct Pepper {
    id: String,
    key: Zeroizing<[u8; 32]>,
}

/// A token that is stored under one pepper and should be under another. Made where its secret was presented, as nothing else
/// tells what it would be stored as.
pub struct Rekey {
    /// The token.
    pub token_id: TokenId,
    /// The pepper that it is stored under.
    pub from: String,
    /// The one that was active.
    pub to: String,
    /// What is stored of its secret under that.
    pub digest: Digest,
}

/// The peppers in use: the active one, under which new tokens are stored, and others that still verify.
pub struct PepperRing(Vec<Pepper>);

/// The key under which page tokens are authenticated, of one pepper.
pub(crate) struct PageKey(pub(crate) Zeroizing<[u8; 32]>);

impl Pepper {
    /// A new random pepper with this id.
    pub fn random(id: &str) -> Result<Self, getrandom::Error> {
        Ok(Self {
            id: id.to_owned(),
            key: Zeroizing::new(random_bytes()?),
        })
    }

    /// The id stored beside each digest.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The form that the configuration takes: `id:` and the key in base 64.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}:{}", self.id, BASE64_STANDARD.encode(*self.key)))
    }

    /// What is stored of a secret under this pepper.
    pub fn digest(&self, secret: &Secret) -> Digest {
        Digest(*blake3::keyed_hash(&self.key, secret.expose()).as_bytes())
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (id, key) = text.split_once(':').ok_or("a pepper is `id:base64`")?;
        let id_is_good = (1..=32).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !id_is_good {
            return Err("a pepper's id is 1 to 32 characters of `A-Z a-z 0-9 . _ -`".to_owned());
        }
        let bytes = BASE64_STANDARD
            .decode(key)
            .map(Zeroizing::new)
            .map_err(|_| format!("pepper `{id}` is not standard base64"))?;
        let key = <[u8; 32]>::try_from(bytes.as_slice())
            .map_err(|_| format!("pepper `{id}` is not 32 bytes long"))?;
        Ok(Self {
            id: id.to_owned(),
            key: Zeroizing::new(key),
        })
    }
}

impl PepperRing {
    /// Reads `id:base64` entries separated by commas or white space, the active one first. The sentences of a refusal
    /// show ids only.
    pub fn parse(text: &str) -> Result<Self, String> {
        let peppers = text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|entry| !entry.is_empty())
            .map(Pepper::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if peppers.is_empty() {
            return Err("there is no pepper".to_owned());
        }
        for (i, pepper) in peppers.iter().enumerate() {
            if peppers[..i].iter().any(|other| other.id == pepper.id) {
                return Err(format!("pepper `{}` is there twice", pepper.id));
            }
        }
        Ok(Self(peppers))
    }

    /// The pepper of new tokens.
    pub fn active(&self) -> &Pepper {
        &self.0[0]
    }

    /// The ids of all, the active one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Pepper::id)
    }

    /// Whether it verifies all that the other does: it has every pepper of it, with the same key.
    pub fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|pepper| self.has(pepper))
    }

    /// The id of a pepper that has another key in the other ring.
    pub fn changed_in<'a>(&self, other: &'a Self) -> Option<&'a str> {
        let is_changed =
            |pepper: &&Pepper| self.ids().any(|id| id == pepper.id) && !self.has(pepper);
        other.0.iter().find(is_changed).map(Pepper::id)
    }

    fn has(&self, pepper: &Pepper) -> bool {
        self.0
            .iter()
            .any(|own| own.id == pepper.id && own.key == pepper.key)
    }

    /// What a secret may be stored as: its digest under each pepper.
    pub fn digests(&self, secret: &Secret) -> Vec<Digest> {
        self.0.iter().map(|pepper| pepper.digest(secret)).collect()
    }

    /// The keys of page tokens, the active pepper's first: every replica has them, and they outlive a rotation.
    pub(crate) fn page_keys(&self) -> impl Iterator<Item = PageKey> {
        self.0.iter().map(|pepper| {
            let key = blake3::derive_key("countersign 2026-11-24 page token v1", &*pepper.key);
            PageKey(Zeroizing::new(key))
        })
    }

    /// The keys of the contents of requests, the active pepper's first, for the same reasons.
    pub(crate) fn content_keys(&self) -> impl Iterator<Item = ContentKey> {
        self.0.iter().map(|pepper| {
            let key = blake3::derive_key("countersign 2026-11-24 request content v1", &*pepper.key);
            ContentKey(Zeroizing::new(key))
        })
    }
}

/// The key under which the contents of requests are hashed, of one pepper.
pub(crate) struct ContentKey(pub(crate) Zeroizing<[u8; 32]>);

impl fmt::Debug for PepperRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}
