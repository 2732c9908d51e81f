//! The names of things: ids that the platform chooses, and ids that this service makes.

use std::{fmt, sync::Arc};

use super::{base62, error::Problem, error::ProblemReason, short_text::ShortText};

/// The longest id, in characters.
pub const MAX_ID_LENGTH: usize = 64;

fn parse_id(text: &str) -> Result<&str, Problem> {
    if text.is_empty() {
        return Err(Problem::required());
    }
    if !text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
    {
        return Err(Problem::new(
            ProblemReason::Malformed,
            "must consist of `A-Z a-z 0-9 . _ : -`",
        ));
    }
    if text.len() > MAX_ID_LENGTH {
        return Err(Problem::too_long(MAX_ID_LENGTH, "characters"));
    }
    Ok(text)
}

/// Shared where many records have the same one.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident($text:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name($text);

        impl $name {
            /// Takes 1 to 64 characters of `A-Z a-z 0-9 . _ : -`.
            pub fn parse(text: &str) -> Result<Self, Problem> {
                parse_id(text).map(|id| Self(id.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Its bytes, which are ASCII.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// The platform's id of a workspace.
    WorkspaceId(Arc<str>)
}
id! {
    /// The platform's id of a member, unique within its workspace.
    MemberId(ShortText)
}
id! {
    /// This service's id of a token. It identifies and does not authenticate.
    TokenId(ShortText)
}
id! {
    /// The name of a role in the policy.
    RoleName(Arc<str>)
}
id! {
    /// The configured name of an internal service that calls this one.
    CallerName(Box<str>)
}

id! {
    /// A caller's own id of a request, by which a retry of it is known.
    RequestId(Box<str>)
}

impl CallerName {
    /// The service itself, of what it does unasked. No caller can be called so.
    pub fn service_itself() -> Self {
        Self("".into())
    }
}

impl TokenId {
    /// A new random id of 128 bits.
    pub fn random() -> Result<Self, getrandom::Error> {
        let id = format!("tok_{}", base62::encode16(random_bytes()?));
        Ok(Self(id.into()))
    }
}

/// A member, in full: a member id alone says nothing across workspaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberKey {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The member in it.
    pub member_id: MemberId,
}

/// The random id of an event, by which a feed is told from another that reached the same revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// A new random id.
    pub fn random() -> Result<Self, getrandom::Error> {
        random_bytes().map(Self)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How much of an event's id a revision shows.
const REVISION_ID_BYTES: usize = 8;

/// A position in the feed. Shown as `<number>-<start of the event's id>`, which callers must treat as opaque: after a
/// restored backup the same number may belong to another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// The number: one more than that of the change before.
    pub number: i64,
    /// The event at that position.
    pub event_id: EventId,
}

/// A position as a caller names it: with the start of the event's id only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RevisionName {
    /// The number.
    pub number: i64,
    start: [u8; REVISION_ID_BYTES],
}

impl RevisionName {
    /// Reads what a [`Revision`] displays as.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let parsed = text.split_once('-').and_then(|(number, start)| {
            let number = number.parse::<i64>().ok().filter(|number| *number >= 0)?;
            let is_hex = start.len() == 2 * REVISION_ID_BYTES
                && start
                    .bytes()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
            let start = u64::from_str_radix(start, 16).ok().filter(|_| is_hex)?;
            Some(Self {
                number,
                start: start.to_be_bytes(),
            })
        });
        parsed.ok_or_else(|| {
            Problem::new(
                ProblemReason::Malformed,
                "must be a revision as an answer carried it",
            )
        })
    }

    /// The name of a position.
    pub fn of(revision: &Revision) -> Self {
        let mut start = [0; REVISION_ID_BYTES];
        start.copy_from_slice(&revision.event_id.0[..REVISION_ID_BYTES]);
        Self {
            number: revision.number,
            start,
        }
    }

    /// The start of the event's id.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// Whether it names this position.
    pub fn names(&self, revision: &Revision) -> bool {
        self.number == revision.number && revision.event_id.0.starts_with(&self.start)
    }
}

/// What a position is shown as. Every answer carries one: written digit by digit it takes a tenth of what the formatting
/// machinery takes.
fn revision_text(number: i64, start: &[u8]) -> String {
    let mut text = number.to_string();
    text.reserve_exact(1 + 2 * start.len());
    text.push('-');
    for byte in start {
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

impl fmt::Display for RevisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&revision_text(self.number, &self.start))
    }
}

impl Revision {
    /// What it is shown as.
    pub fn text(&self) -> String {
        revision_text(self.number, &self.event_id.0[..REVISION_ID_BYTES])
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Bytes from the operating system's generator.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
