//! The keys under which the view finds things: hashes that only this process can compute, so that nobody can make two
//! that collide.

use std::hash::{BuildHasherDefault, Hasher};

use zeroize::Zeroizing;

use crate::domain::{
    ids::{MemberId, TokenId, WorkspaceId, random_bytes},
    secret::Secret,
};

/// 128 bits of a BLAKE3 keyed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(pub(super) [u8; 16]);

/// Makes keys, differently in each process.
pub(super) struct Keys(Zeroizing<[u8; 32]>);

/// What a key is of: equal texts of different kinds have different keys.
#[derive(Clone, Copy)]
enum Kind {
    Secret = 1,
    Token,
    Member,
    Workspace,
}

impl Keys {
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        Ok(Self(Zeroizing::new(random_bytes()?)))
    }

    pub(super) fn secret(&self, secret: &Secret) -> Key {
        // One block, of which nothing is left behind.
        let mut text = Zeroizing::new([0; 33]);
        text[0] = Kind::Secret as u8;
        text[1..].copy_from_slice(secret.expose());
        Key::of(&blake3::keyed_hash(&self.0, &*text))
    }

    pub(super) fn token(&self, id: &TokenId) -> Key {
        self.key(Kind::Token, id.as_str(), "")
    }

    pub(super) fn member(&self, workspace_id: &WorkspaceId, member_id: &MemberId) -> Key {
        self.key(Kind::Member, workspace_id.as_str(), member_id.as_str())
    }

    pub(super) fn workspace(&self, id: &WorkspaceId) -> Key {
        self.key(Kind::Workspace, id.as_str(), "")
    }

    fn key(&self, kind: Kind, first: &str, second: &str) -> Key {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // No id has a slash.
        for part in [&[kind as u8], first.as_bytes(), b"/", second.as_bytes()] {
            hasher.update(part);
        }
        Key::of(&hasher.finalize())
    }
}

impl Key {
    fn of(hash: &blake3::Hash) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&hash.as_bytes()[..16]);
        Self(key)
    }

    /// As good a hash as any: the key is one.
    pub(super) fn hash(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(bytes)
    }

    /// Which of `shards` it belongs to, by bits that [`Self::hash`] leaves out.
    pub(super) fn shard(&self, shards: usize) -> usize {
        usize::from(u16::from_le_bytes([self.0[14], self.0[15]])) % shards
    }
}

/// Hashes a [`Key`] to itself.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

pub(super) type BuildKeyHasher = BuildHasherDefault<KeyHasher>;

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for (place, byte) in bytes.iter().take(8).enumerate() {
            self.0 |= u64::from(*byte) << (8 * place);
        }
    }

    /// The length of the key, which is always the same.
    fn write_usize(&mut self, _: usize) {}
}
