//! `countersign pepper`: makes the keys under which secrets are hashed.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{Failure, print};
use crate::domain::pepper::{self, PepperRing};

/// Make peppers, the keys under which tokens are stored
#[derive(Debug, Args)]
pub(super) struct Pepper {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new pepper, as the configuration key `peppers` takes it: `id:` and 32 bytes in base64
    ///
    /// Keep it in a secret store: without it, no token stored under it works. To rotate, add the new one to every
    /// replica after the old one, then put it first, then remove the old one once no live token hangs on it.
    New {
        /// Its id: 1 to 32 characters of `A-Z a-z 0-9 . _ -`, different from those in use [default: `p` and the date]
        #[arg(long, value_parser = pepper_id)]
        id: Option<String>,
    },
}

impl Pepper {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Command::New { id } = self.command;
        let id = id.unwrap_or_else(|| format!("p{}", today()));
        let pepper = pepper::Pepper::random(&id)
            .map_err(|error| Failure::new("cannot make a pepper", error))?;
        print(&Zeroizing::new(format!("{}\n", *pepper.expose())))
    }
}

/// Takes an id if the configuration would: one that it refuses must not get into a secret store.
fn pepper_id(text: &str) -> Result<String, String> {
    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    match PepperRing::parse(&format!("{text}:{KEY}")) {
        Ok(ring) if ring.active().id() == text => Ok(text.to_owned()),
        _ => Err("must be 1 to 32 characters of `A-Z a-z 0-9 . _ -`".to_owned()),
    }
}

/// Today in UTC, as `20261124`.
fn today() -> String {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (year, month, day) = date(since_epoch.as_secs() / 86_400);
    format!("{year}{month:02}{day:02}")
}

/// The Gregorian date of a day since 1970-01-01, counted in years that begin in March, so that the leap day comes last
/// (after Howard Hinnant's `civil_from_days`).
fn date(days_since_epoch: u64) -> (u64, u64, u64) {
    let days = days_since_epoch + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_become_gregorian_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(11_017), (2000, 3, 1));
        assert_eq!(date(20_453), (2025, 12, 31));
        assert_eq!(date(20_454), (2026, 1, 1));
    }
}
