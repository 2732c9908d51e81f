//! Pages of lists: their size, and the opaque tokens that ask for the next one.
//!
//! A page token is a cursor (the sort key of the last item, never an offset) under a BLAKE3 keyed hash that also covers
//! the filter. It grants nothing: with another filter, or made elsewhere, it is refused.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{
    error::{Problem, ProblemReason},
    pepper::{PageKey, PepperRing},
};

const DEFAULT_SIZE: u64 = 50;
const MAX_SIZE: u64 = 500;
const TAG_LENGTH: usize = 16;

/// Reads a page size: 0 means 50, more than 500 means 500, negative is refused.
pub fn parse_size(size: i32) -> Result<u64, Problem> {
    match u64::try_from(size) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
        Err(_) => Err(Problem::new(
            ProblemReason::OutOfRange,
            "must not be negative",
        )),
    }
}

/// Seals a cursor into a page token for this filter.
pub fn seal(ring: &PepperRing, filter: &str, cursor: &str) -> String {
    let mut bytes = Vec::with_capacity(TAG_LENGTH + cursor.len());
    if let Some(key) = ring.page_keys().next() {
        bytes.extend_from_slice(&tag(&key, filter, cursor));
    }
    bytes.extend_from_slice(cursor.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Opens a page token that was sealed for this filter under any pepper of the ring.
pub fn open(ring: &PepperRing, filter: &str, token: &str) -> Result<String, Problem> {
    try_open(ring, filter, token).ok_or_else(|| {
        Problem::new(
            ProblemReason::PageTokenInvalid,
            "is not a page token of this list with this filter",
        )
    })
}

fn try_open(ring: &PepperRing, filter: &str, token: &str) -> Option<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (sealed_tag, cursor) = bytes.split_at_checked(TAG_LENGTH)?;
    let cursor = std::str::from_utf8(cursor).ok()?;
    ring.page_keys()
        .any(|key| constant_time_eq(&tag(&key, filter, cursor), sealed_tag))
        .then(|| cursor.to_owned())
}

fn tag(key: &PageKey, filter: &str, cursor: &str) -> [u8; TAG_LENGTH] {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    // The length keeps `filter` and `cursor` apart: no two pairs are hashed alike.
    hasher.update(&(filter.len() as u64).to_be_bytes());
    hasher.update(filter.as_bytes());
    hasher.update(cursor.as_bytes());
    let mut tag = [0; TAG_LENGTH];
    hasher.finalize_xof().fill(&mut tag);
    tag
}

fn constant_time_eq(a: &[u8; TAG_LENGTH], b: &[u8]) -> bool {
    a.iter()
        .zip(b)
        .fold(0, |difference, (a, b)| difference | (a ^ b))
        == 0
}
