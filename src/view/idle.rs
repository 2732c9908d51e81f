//! Tokens that seem to have gone unused for too long. Uses are no part of the feed, and another replica may know of one: so
//! what seems idle is read once more before it is believed.

use std::time::Duration;

use crate::domain::{decide::Presented, time::Timestamp};

/// How long what was read is believed, so that whoever keeps presenting an idle token does not keep the database busy.
const BELIEVED: Duration = Duration::from_secs(5);

/// Whether what was read at `read_at` is enough to tell, at `now`, whether a token has gone unused for too long.
pub(super) fn is_settled(
    presented: &Presented,
    read_at: Timestamp,
    now: impl FnOnce() -> Timestamp,
) -> bool {
    let Presented::Known(bearer) = presented else {
        return true;
    };
    let Some(idle_at) = bearer.token.idle_at(&bearer.workspace) else {
        return true;
    };
    let now = now();
    now < idle_at || (read_at >= idle_at && now <= read_at.plus(BELIEVED))
}
