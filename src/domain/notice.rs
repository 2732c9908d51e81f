//! Notices: that a token is about to expire, and that it has.
//!
//! A token has [`NOTICES`], one after the other, each at its time. What is stored of it is how many are behind it, told or
//! passed over: so each is told once, whoever tells it.

use std::time::Duration;

use super::{
    event::Details,
    time::{Timestamp, millis},
    token::{TokenRecord, TokenState},
};

/// How many days before its expiry each notice of a token is due. The last is that it has expired.
const DAYS_AHEAD: [u32; 4] = [30, 7, 1, 0];

/// How many notices a token with an expiry has.
pub const NOTICES: i32 = 4;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before the expiry each notice is due, in their order.
pub fn leads() -> impl Iterator<Item = Duration> {
    DAYS_AHEAD.into_iter().map(|days| DAY * days)
}

/// How many notices of a token with this expiry are due by then.
pub fn due_by(expires_at: Timestamp, at: Timestamp) -> i32 {
    let due = leads().filter(|&lead| due_at(expires_at, lead) <= at);
    due.map(|_| 1).sum()
}

fn due_at(expires_at: Timestamp, lead: Duration) -> Timestamp {
    Timestamp(expires_at.0.saturating_sub(millis(lead)))
}

/// Where a token is with its notices.
pub struct Progress {
    /// How many are behind it now.
    pub behind: i32,
    /// What is to be told of that: the last of them, if of any.
    pub told: Option<Details>,
}

/// How far a token has come by now, of whose notices so many were behind it before. None: no further.
///
/// Of several that have become due only the last is told. None is told that was due when the token was issued, nor of a
/// token that is dead; and of one that was rotated, which is meant to end, only that it has.
pub fn progress(record: &TokenRecord, before: i32, now: Timestamp) -> Option<Progress> {
    let token = &record.token;
    let expires_at = token.expires_at?;
    if record.state == TokenState::Revoked {
        let nothing = Progress {
            behind: NOTICES,
            told: None,
        };
        return (before < NOTICES).then_some(nothing);
    }
    let behind = due_by(expires_at, now);
    if behind <= before {
        return None;
    }
    let last = usize::try_from(behind - 1).ok()?;
    let name = token.name.to_string();
    let told = match *DAYS_AHEAD.get(last)? {
        0 => Some(Details::TokenExpired {
            name,
            expires_at: expires_at.0,
        }),
        days => {
            let is_ahead = behind > due_by(expires_at, token.created_at);
            let is_live = record.state == TokenState::Active && token.rotated().is_none();
            (is_ahead && is_live).then_some(Details::TokenExpiring {
                name,
                expires_at: expires_at.0,
                days,
            })
        }
    };
    Some(Progress { behind, told })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_notice_is_due_from_its_millisecond_on() {
        let day = millis(DAY);
        let expires_at = Timestamp(100 * day);
        let due = |at| due_by(expires_at, Timestamp(at));
        assert_eq!(due(0), 0);
        for (number, days) in (1..).zip([30, 7, 1, 0]) {
            let at = (100 - days) * day;
            assert_eq!((due(at - 1), due(at)), (number - 1, number), "{days}");
        }
        assert_eq!(due(i64::MAX), NOTICES);
        assert_eq!(due_by(Timestamp(i64::MIN), Timestamp(i64::MIN)), NOTICES);
    }
}
