//! Identity tokens: what an issuer says of whoever shows one (JSON Web Tokens, RFC 7519, by the rules of RFC 8725).
//!
//! Not to be taken for the tokens that are issued here: an identity token names a caller, and is signed, not looked up.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{
    jwks::{Algorithm, KeySet},
    time::{Timestamp, millis},
};

/// The most bytes of a token.
const LONGEST: usize = 8192;
/// How far the clocks of issuers may be ahead of ours.
const LEEWAY: Duration = Duration::from_secs(30);
/// How much of what nobody has vouched for is told.
const TOLD: usize = 200;

/// Why a token names no caller. Displays as what the log says of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is over the limit.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// Also everything that is of another kind altogether, such as a personal access token.
    #[error("it is not a signed JSON Web Token")]
    Malformed,
    /// It wants to be understood by other rules.
    #[error("it has a header `crit`, of which nothing is known here")]
    Critical,
    /// `none`, one with a shared secret, or something unheard of.
    #[error("its algorithm is {0:?}, which is not accepted")]
    AlgorithmUnknown(String),
    /// It would be verified by other means than the key is for.
    #[error("its algorithm is {:?}, which does not fit the key that it names", .0.as_str())]
    AlgorithmUnfit(Algorithm),
    /// Nobody here trusts whom it says it is from.
    #[error("its issuer is {0:?}, which is not among `[[issuers]]`")]
    IssuerUnknown(String),
    /// It says by which key it is signed in no way.
    #[error("it does not say by which key it is signed")]
    NoKeyId,
    /// The issuer has published no such key.
    #[error("it says that it is signed by the key {0:?}, which its issuer does not publish")]
    KeyUnknown(String),
    /// The key's holder has not signed it as it is.
    #[error("its signature is not that of the key that it names")]
    SignatureInvalid,
    /// It would be good for ever.
    #[error("it does not say when it expires")]
    NoExpiry,
    /// Its time is over.
    #[error("it expired {} s ago", .0.as_secs())]
    Expired(Duration),
    /// Its time has not come.
    #[error("it is not valid for another {} s", .0.as_secs())]
    NotYetValid(Duration),
    /// It is for somebody else.
    #[error("its audience is {0:?}, not {1:?}")]
    AudienceWrong(Vec<String>, String),
    /// It is in order, and names nobody who may call.
    #[error("it names {subject:?} of {issuer:?}, which is no caller")]
    SubjectUnknown {
        /// Whose it is.
        issuer: String,
        /// Whom it names.
        subject: String,
    },
    /// Nothing can be said of it.
    #[error("the keys of its issuer, {0:?}, could not be fetched")]
    KeysMissing(String),
}

impl Refused {
    /// Every [`Self::as_str`].
    pub const ALL: [&str; 13] = [
        "TOO_LONG",
        "MALFORMED",
        "ALGORITHM_UNKNOWN",
        "ALGORITHM_UNFIT",
        "ISSUER_UNKNOWN",
        "KEY_UNKNOWN",
        "SIGNATURE_INVALID",
        "NO_EXPIRY",
        "EXPIRED",
        "NOT_YET_VALID",
        "AUDIENCE_WRONG",
        "SUBJECT_UNKNOWN",
        "KEYS_MISSING",
    ];

    /// The name in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TooLong => "TOO_LONG",
            Self::Malformed | Self::Critical => "MALFORMED",
            Self::AlgorithmUnknown(_) => "ALGORITHM_UNKNOWN",
            Self::AlgorithmUnfit(_) => "ALGORITHM_UNFIT",
            Self::IssuerUnknown(_) => "ISSUER_UNKNOWN",
            Self::NoKeyId | Self::KeyUnknown(_) => "KEY_UNKNOWN",
            Self::SignatureInvalid => "SIGNATURE_INVALID",
            Self::NoExpiry => "NO_EXPIRY",
            Self::Expired(_) => "EXPIRED",
            Self::NotYetValid(_) => "NOT_YET_VALID",
            Self::AudienceWrong(..) => "AUDIENCE_WRONG",
            Self::SubjectUnknown { .. } => "SUBJECT_UNKNOWN",
            Self::KeysMissing(_) => "KEYS_MISSING",
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

/// Instants are seconds since the epoch, and may have a fraction.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// A token that was taken apart. Nothing that it says is true yet.
pub struct Unverified<'a> {
    algorithm: Algorithm,
    key_id: String,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

/// What a token says, vouched for by its issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whom it names.
    pub subject: String,
    /// From when on it says nothing any more.
    pub expires_at: Timestamp,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    pub fn parse(token: &'a str) -> Result<Self, Refused> {
        if is_too_long(token) {
            return Err(Refused::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
        let header: Header = read(header)?;
        if header.crit.is_some() {
            return Err(Refused::Critical);
        }
        let algorithm = Algorithm::parse(&header.alg)
            .ok_or_else(|| Refused::AlgorithmUnknown(told(&header.alg)))?;
        Ok(Self {
            algorithm,
            key_id: header.kid.ok_or(Refused::NoKeyId)?,
            claims: read(claims)?,
            signed,
            signature: decode(signature)?,
        })
    }

    /// Whose it says it is.
    pub fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// That nobody here knows whose it says it is.
    pub fn issuer_unknown(&self) -> Refused {
        Refused::IssuerUnknown(told(&self.claims.iss))
    }

    /// Whether it says that it is signed by one of these keys.
    pub fn names_one_of(&self, keys: &KeySet) -> bool {
        keys.of_id(&self.key_id).next().is_some()
    }

    /// Verifies it: the signature before anything that it says.
    pub fn verify(
        self,
        keys: &KeySet,
        audience: &str,
        now: Timestamp,
    ) -> Result<Verified, Refused> {
        if !self.names_one_of(keys) {
            return Err(Refused::KeyUnknown(told(&self.key_id)));
        }
        let mut fitting = keys
            .of_id(&self.key_id)
            .filter(|key| key.fits(self.algorithm))
            .peekable();
        if fitting.peek().is_none() {
            return Err(Refused::AlgorithmUnfit(self.algorithm));
        }
        let message = self.signed.as_bytes();
        if !fitting.any(|key| key.has_signed(self.algorithm, message, &self.signature)) {
            return Err(Refused::SignatureInvalid);
        }
        let expires_at = self.times(now)?;
        let audiences = match self.claims.aud {
            None => Vec::new(),
            Some(Audience::One(one)) => vec![one],
            Some(Audience::Several(several)) => several,
        };
        if !audiences.iter().any(|one| one == audience) {
            return Err(Refused::AudienceWrong(audiences, audience.to_owned()));
        }
        Ok(Verified {
            subject: self.claims.sub,
            expires_at,
        })
    }

    /// When it expires, if it is good at `now`.
    fn times(&self, now: Timestamp) -> Result<Timestamp, Refused> {
        let expires_at = instant(self.claims.exp.ok_or(Refused::NoExpiry)?);
        let since = |from: Timestamp, to: Timestamp| {
            let millis = to.0.saturating_sub(from.0);
            Duration::from_millis(u64::try_from(millis).unwrap_or(0))
        };
        if now >= expires_at {
            return Err(Refused::Expired(since(expires_at, now)));
        }
        for from in [self.claims.nbf, self.claims.iat].into_iter().flatten() {
            let from = instant(from);
            if from.0.saturating_sub(now.0) > millis(LEEWAY) {
                return Err(Refused::NotYetValid(since(now, from)));
            }
        }
        Ok(expires_at)
    }
}

/// Whether a token is longer than any may be.
pub fn is_too_long(token: &str) -> bool {
    token.len() > LONGEST
}

/// Too late or early for a number is as late or early as there is.
fn instant(seconds: f64) -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it saturates, and parts of milliseconds do not matter"
    )]
    Timestamp((seconds * 1000.0) as i64)
}

fn decode(text: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::Malformed)
}

fn read<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, Refused> {
    serde_json::from_slice(&decode(part)?).map_err(|_| Refused::Malformed)
}

fn told(text: &str) -> String {
    match text.char_indices().nth(TOLD) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_shown_is_taken_apart_or_refused(
            text in r"\PC*",
            header in r#"\{"alg":"(ES256|none|RS512)"(,"kid":("a"|1|null))?(,"crit":(\[\]|null))?\}"#,
            claims in r#"\{("iss":"a",)?"sub":("a"|\[\])(,"aud":("a"|\["a"\]|1))?(,"(exp|nbf)":-?[0-9]{1,4}(e[0-9]{1,3})?)?\}"#,
        ) {
            prop_assert!(Unverified::parse(&text).is_err());
            let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
            let token = format!("{}.{}.{}", encode(&header), encode(&claims), encode(&text));
            if let Ok(parsed) = Unverified::parse(&token) {
                prop_assert_eq!(parsed.issuer(), "a");
                // Whatever it says, times are compared without overflow.
                let _ = parsed.times(Timestamp(i64::MIN));
                let _ = parsed.times(Timestamp(i64::MAX));
            }
        }
    }

    #[test]
    fn every_reason_has_a_label_of_the_closed_set() {
        let reasons = [
            Refused::TooLong,
            Refused::Malformed,
            Refused::Critical,
            Refused::AlgorithmUnknown(String::new()),
            Refused::AlgorithmUnfit(Algorithm::Es256),
            Refused::IssuerUnknown(String::new()),
            Refused::NoKeyId,
            Refused::KeyUnknown(String::new()),
            Refused::SignatureInvalid,
            Refused::NoExpiry,
            Refused::Expired(Duration::ZERO),
            Refused::NotYetValid(Duration::ZERO),
            Refused::AudienceWrong(Vec::new(), String::new()),
            Refused::SubjectUnknown {
                issuer: String::new(),
                subject: String::new(),
            },
            Refused::KeysMissing(String::new()),
        ];
        for label in Refused::ALL {
            assert!(
                reasons.iter().any(|reason| reason.as_str() == label),
                "{label}"
            );
        }
        for reason in reasons {
            assert!(Refused::ALL.contains(&reason.as_str()), "{reason}");
        }
    }
}
