//! Requests that a caller may send again: what one asks for as a digest, by which a retry is told from another request
//! under the same id.

use std::{collections::BTreeSet, time::Duration};

use zeroize::Zeroizing;

use super::{
    ids::MemberKey, pepper::PepperRing, secret::Secret, time::millis, token_policy::Expiry,
};

/// How long a request is remembered by its id.
pub const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// More than any request with a secret in it takes: growing would leave copies behind that nothing wipes.
const CAPACITY: usize = 4096;

/// What is remembered of a request's content. Keyed, so that it tells nothing of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest(pub [u8; 32]);

/// What a request asks for, in one form whatever its bytes on the wire were. Two are the same only if everything in them
/// is: each part says how long it is.
pub struct Content(Zeroizing<Vec<u8>>);

impl Content {
    /// The content of a call of this RPC, with nothing in it yet.
    pub fn of(rpc: &str) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(CAPACITY))).text(rpc)
    }

    /// The same with a text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// The same with a number.
    #[must_use]
    pub fn number(self, number: i64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// The same with a secret.
    #[must_use]
    pub fn secret(self, secret: &Secret) -> Self {
        self.bytes(secret.expose())
    }

    /// The same with a set of texts, whose order and repetitions say nothing.
    #[must_use]
    pub fn texts(self, texts: impl Iterator<Item = String>) -> Self {
        let texts: BTreeSet<String> = texts.collect();
        let number = i64::try_from(texts.len()).unwrap_or(i64::MAX);
        texts
            .iter()
            .fold(self.number(number), |content, text| content.text(text))
    }

    /// The same with an expiry as it was asked for.
    #[must_use]
    pub fn expiry(self, expiry: Expiry) -> Self {
        match expiry {
            Expiry::At(at) => self.text("at").number(at.0),
            Expiry::After(ttl) => self.text("after").number(millis(ttl)),
            Expiry::Never => self.text("never"),
            Expiry::Default => self.text("default"),
        }
    }

    /// The same with a member, or none.
    #[must_use]
    pub fn member(self, member: Option<&MemberKey>) -> Self {
        match member {
            // No id is empty.
            None => self.text(""),
            Some(key) => self
                .text(key.workspace_id.as_str())
                .text(key.member_id.as_str()),
        }
    }

    /// What may be remembered of it: under each pepper, the active one's first, so that a rotation of peppers makes no
    /// retry another request.
    pub fn digests(&self, ring: &PepperRing) -> Vec<ContentDigest> {
        let digest = |key: super::pepper::ContentKey| {
            ContentDigest(*blake3::keyed_hash(&key.0, &self.0).as_bytes())
        };
        ring.content_keys().map(digest).collect()
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const PEPPERS: [&str; 2] = [
        "a:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "b:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=",
    ];

    fn digests(content: &Content, peppers: &[&str]) -> Vec<ContentDigest> {
        content.digests(&PepperRing::parse(&peppers.join(",")).unwrap())
    }

    #[test]
    fn parts_are_told_apart() {
        let contents = [
            Content::of("A").text("bc").text(""),
            Content::of("A").text("b").text("c"),
            Content::of("A").text("").text("bc"),
            Content::of("Ab").text("c").text(""),
            Content::of("A").text("bc"),
            Content::of("A").number(1).member(None),
            Content::of("A").number(2).member(None),
        ];
        let all: Vec<_> = contents
            .iter()
            .map(|content| digests(content, &PEPPERS)[0])
            .collect();
        for (i, one) in all.iter().enumerate() {
            assert!(!all[..i].contains(one), "{i}");
        }
    }

    #[test]
    fn a_rotation_of_peppers_keeps_a_content_what_it_is() {
        let content = Content::of("RevokeToken").text("a secret");
        let before = digests(&content, &PEPPERS[..1])[0];
        let [one, other] = PEPPERS;
        for ring in [[one, other], [other, one]] {
            assert!(digests(&content, &ring).contains(&before));
        }
        assert!(!digests(&content, &[other]).contains(&before));
    }
}
