//! SPIFFE IDs, which name workloads, and what of a certificate makes it one that names a workload.
//!
//! After the SPIFFE ID and X.509-SVID standards. There is one way to write an ID, so two IDs are the same where their texts
//! are: what would have to be normalised first (capitals in the trust domain, escapes, empty segments) is none.

use std::fmt;

use super::time::Timestamp;

const SCHEME: &str = "spiffe://";
/// The most bytes of an ID, and of the trust domain in it.
const LONGEST: usize = 2048;
const LONGEST_TRUST_DOMAIN: usize = 255;

/// The name of a workload: `spiffe://trust.domain/path`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId(Box<str>);

/// Why a text is no [`SpiffeId`]. Displays as what it has or lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is over the limit.
    #[error("is longer than {LONGEST} bytes")]
    TooLong,
    /// It is another kind of URI.
    #[error("does not begin with `{SCHEME}`, in lower case")]
    Scheme,
    /// There is nothing between the scheme and the path, or too much.
    #[error("has no trust domain of 1 to {LONGEST_TRUST_DOMAIN} bytes")]
    TrustDomain,
    /// A user, a port, a capital or the like.
    #[error("has something else than `a-z 0-9 . - _` in its trust domain")]
    TrustDomainCharacter,
    /// It names the trust domain itself.
    #[error("has no path, so it names no workload")]
    Path,
    /// Also where there is a slash at the end.
    #[error("has an empty segment in its path")]
    EmptySegment,
    /// `.` or `..`.
    #[error("has a segment `.` or `..` in its path")]
    DotSegment,
    /// A query, a fragment, an escape or the like.
    #[error("has something else than `A-Z a-z 0-9 . - _` in its path")]
    PathCharacter,
}

impl SpiffeId {
    /// Takes what names a workload.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > LONGEST {
            return Err(Malformed::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(Malformed::Scheme)?;
        let (trust_domain, path) = match rest.split_once('/') {
            Some((trust_domain, path)) => (trust_domain, Some(path)),
            None => (rest, None),
        };
        if trust_domain.is_empty() || trust_domain.len() > LONGEST_TRUST_DOMAIN {
            return Err(Malformed::TrustDomain);
        }
        let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_mark = |byte: u8| matches!(byte, b'.' | b'-' | b'_');
        if !trust_domain.bytes().all(|b| is_lower(b) || is_mark(b)) {
            return Err(Malformed::TrustDomainCharacter);
        }
        for segment in path.ok_or(Malformed::Path)?.split('/') {
            match segment {
                "" => return Err(Malformed::EmptySegment),
                "." | ".." => return Err(Malformed::DotSegment),
                _ if !segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || is_mark(b)) =>
                {
                    return Err(Malformed::PathCharacter);
                }
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A certificate that its holder has shown, verified by whoever made this: which workload it names, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The workload.
    pub id: Result<SpiffeId, Unnamed>,
    /// When it expires.
    pub not_after: Timestamp,
}

/// Why a certificate names no workload. Displays as a sentence about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// It is for transport only.
    #[error("it has no URI among its names")]
    NoUri,
    /// Which of them would it be?
    #[error("it has more than one URI among its names")]
    SeveralUris,
    /// The one it has is something else.
    #[error("its URI {0}")]
    Malformed(#[from] Malformed),
    /// It is an authority's, or may be used as one.
    #[error("it may sign other certificates or lists of revoked ones")]
    MaySign,
    /// There is something in it that is not as it should be.
    #[error("it cannot be read")]
    Unreadable,
}

impl Certificate {
    /// Whether it could not have been meant to name a workload.
    pub fn is_for_transport_only(&self) -> bool {
        self.id == Err(Unnamed::NoUri)
    }

    /// Whether it counts no more at `now`.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_names_a_workload_is_taken_as_it_stands() {
        let longest_domain = "d".repeat(LONGEST_TRUST_DOMAIN);
        let full = format!("spiffe://d/{}", "p".repeat(LONGEST - "spiffe://d/".len()));
        for text in [
            "spiffe://example.org/ns/shop/sa/bookings",
            "spiffe://1-a_b.c/X.y-Z_0/...",
            "spiffe://-/a",
            &format!("spiffe://{longest_domain}/p"),
            &full,
        ] {
            let parsed = SpiffeId::parse(text).map(|id| id.to_string());
            assert_eq!(parsed.as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_names_none_is_refused_for_its_reason() {
        let long_domain = format!("spiffe://{}/p", "d".repeat(LONGEST_TRUST_DOMAIN + 1));
        let long = format!("spiffe://d/{}", "p".repeat(LONGEST));
        for (text, problem) in [
            ("", Malformed::Scheme),
            ("https://example.org/a", Malformed::Scheme),
            ("SPIFFE://example.org/a", Malformed::Scheme),
            ("spiffe:/example.org/a", Malformed::Scheme),
            (" spiffe://example.org/a", Malformed::Scheme),
            ("spiffe:///a", Malformed::TrustDomain),
            ("spiffe://", Malformed::TrustDomain),
            (&long_domain, Malformed::TrustDomain),
            ("spiffe://Example.org/a", Malformed::TrustDomainCharacter),
            (
                "spiffe://example.org:8443/a",
                Malformed::TrustDomainCharacter,
            ),
            ("spiffe://me@example.org/a", Malformed::TrustDomainCharacter),
            ("spiffe://example.org?a=b", Malformed::TrustDomainCharacter),
            ("spiffe://ex%61mple.org/a", Malformed::TrustDomainCharacter),
            ("spiffe://bücher.example/a", Malformed::TrustDomainCharacter),
            ("spiffe://[::1]/a", Malformed::TrustDomainCharacter),
            ("spiffe://example.org", Malformed::Path),
            ("spiffe://example.org/", Malformed::EmptySegment),
            ("spiffe://example.org//a", Malformed::EmptySegment),
            ("spiffe://example.org/a/", Malformed::EmptySegment),
            ("spiffe://example.org/a/./b", Malformed::DotSegment),
            ("spiffe://example.org/..", Malformed::DotSegment),
            ("spiffe://example.org/a?b", Malformed::PathCharacter),
            ("spiffe://example.org/a#b", Malformed::PathCharacter),
            ("spiffe://example.org/a%2e", Malformed::PathCharacter),
            ("spiffe://example.org/a b", Malformed::PathCharacter),
            ("spiffe://example.org/a\0", Malformed::PathCharacter),
            ("spiffe://example.org/ä", Malformed::PathCharacter),
            (&long, Malformed::TooLong),
        ] {
            assert_eq!(SpiffeId::parse(text), Err(problem), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_else_than_the_form_is_taken(text in "(spiffe://)?[a-zA-Z0-9./_:@?#%-]{0,24}") {
            let form = |text: &str| {
                let Some((domain, path)) = text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
                    return false;
                };
                let marks = ".-_";
                !domain.is_empty()
                    && domain.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || marks.contains(c))
                    && path.split('/').all(|segment| {
                        !["", ".", ".."].contains(&segment)
                            && segment.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
                    })
            };
            prop_assert_eq!(SpiffeId::parse(&text).is_ok(), form(&text));
        }
    }

    #[test]
    fn a_certificate_counts_until_its_last_second() {
        let certificate = Certificate {
            id: Err(Unnamed::NoUri),
            not_after: Timestamp(1000),
        };
        assert!(!certificate.has_expired(Timestamp(1000)));
        assert!(certificate.has_expired(Timestamp(1001)));
    }
}
