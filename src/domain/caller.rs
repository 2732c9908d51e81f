//! Callers: the internal services that may use this one, the grants each has, and the credentials they show.

use std::{collections::HashMap, fmt, sync::Arc};

use zeroize::Zeroizing;

use super::{
    base62,
    error::Error,
    ids::{CallerName, random_bytes},
    spiffe::SpiffeId,
};

/// A permission of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grant {
    /// Ask for decisions.
    Authorize,
    /// Issue tokens.
    TokensIssue,
    /// Revoke tokens.
    TokensRevoke,
    /// Read tokens.
    TokensRead,
    /// Read workspaces and members.
    DirectoryRead,
    /// Change workspaces and members.
    DirectoryWrite,
    /// Read the audit trail.
    EventsRead,
}

impl Grant {
    /// Every grant.
    pub const ALL: [Self; 7] = [
        Self::Authorize,
        Self::TokensIssue,
        Self::TokensRevoke,
        Self::TokensRead,
        Self::DirectoryRead,
        Self::DirectoryWrite,
        Self::EventsRead,
    ];

    /// The name in the configuration and in errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::TokensIssue => "tokens.issue",
            Self::TokensRevoke => "tokens.revoke",
            Self::TokensRead => "tokens.read",
            Self::DirectoryRead => "directory.read",
            Self::DirectoryWrite => "directory.write",
            Self::EventsRead => "events.read",
        }
    }

    /// The grant of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == name)
    }
}

/// Whom a caller acts for in TokenService.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActsFor {
    /// For members only: each request must name one.
    Members,
    /// For the platform itself, or for a member it names.
    Platform,
}

/// An internal service, authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its name, as events tell it.
    pub name: CallerName,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// For whom.
    pub acts_for: ActsFor,
}

impl Caller {
    /// Whether it has the grant.
    pub fn has(&self, grant: Grant) -> bool {
        self.grants.contains(&grant)
    }

    /// Passes if it has at least one of these grants.
    pub fn require_any(&self, grants: &[Grant]) -> Result<(), Error> {
        if grants.iter().any(|&grant| self.has(grant)) {
            return Ok(());
        }
        Err(Error::GrantMissing {
            caller: self.name.to_string(),
            grant: grants.first().map_or("", |grant| grant.as_str()).to_owned(),
        })
    }
}

/// The plain BLAKE3 hash of a service key, which is all the configuration holds of it. A key has 256 random bits, so
/// nothing slower or salted is called for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest(blake3::Hash);

impl KeyDigest {
    const SCHEME: &str = "blake3:";

    /// The digest of a key, which is taken whole, with its prefix.
    pub fn of(key: &str) -> Self {
        Self(blake3::hash(key.as_bytes()))
    }

    /// Reads `blake3:` and 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(Self::SCHEME)?;
        blake3::Hash::from_hex(hex).ok().map(Self)
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::SCHEME, self.0.to_hex())
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A new service key, `csn_key_` and 43 base-62 digits.
pub fn random_key() -> Result<Zeroizing<String>, getrandom::Error> {
    let bytes = Zeroizing::new(random_bytes::<32>()?);
    let mut key = Zeroizing::new(String::with_capacity(8 + base62::DIGITS_256));
    key.push_str("csn_key_");
    key.extend(base62::encode32(&bytes).map(char::from));
    Ok(key)
}

/// Who may call.
#[derive(Debug, Clone)]
pub enum Callers {
    /// Anyone, as the platform: for development on loopback only.
    Open(Arc<Caller>),
    /// These.
    Known(KnownCallers),
}

/// The callers, by what each may show.
#[derive(Debug, Clone, Default)]
pub struct KnownCallers {
    /// By the digests of their keys.
    pub keys: Vec<(KeyDigest, Arc<Caller>)>,
    /// By the names of the workloads that their certificates are for.
    pub workloads: HashMap<SpiffeId, Arc<Caller>>,
    /// By whom identity tokens name, for each issuer.
    pub subjects: HashMap<String, HashMap<String, Arc<Caller>>>,
}

impl Callers {
    /// Anyone, under this name, with every grant.
    pub fn open(name: CallerName) -> Self {
        Self::Open(Arc::new(Caller {
            name,
            grants: Grant::ALL.to_vec(),
            acts_for: ActsFor::Platform,
        }))
    }

    /// Those who hold one of these keys.
    pub fn keyed(keys: Vec<(KeyDigest, Arc<Caller>)>) -> Self {
        Self::Known(KnownCallers {
            keys,
            ..KnownCallers::default()
        })
    }
}

impl KnownCallers {
    /// The caller that holds this key. Every digest is compared, each in constant time, so that the time tells nothing.
    pub fn find_by_key(&self, key: &str) -> Option<Arc<Caller>> {
        let presented = KeyDigest::of(key);
        self.keys.iter().fold(None, |found, (digest, caller)| {
            // `blake3::Hash` compares in constant time.
            if *digest == presented {
                Some(Arc::clone(caller))
            } else {
                found
            }
        })
    }

    /// The caller that this workload is.
    pub fn find_by_workload(&self, id: &SpiffeId) -> Option<&Arc<Caller>> {
        self.workloads.get(id)
    }

    /// The caller whom tokens of this issuer name so.
    pub fn find_by_subject(&self, issuer: &str, subject: &str) -> Option<&Arc<Caller>> {
        self.subjects.get(issuer)?.get(subject)
    }
}
