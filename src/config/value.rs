//! Reading single values. Each sentence of a refusal says what would be accepted, and shows what was given.

use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

use tracing_subscriber::EnvFilter;

use crate::domain::share::Share;

/// An IP address and a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("must be an IP address and a port, such as `127.0.0.1:50051`, not `{text}`")
    })
}

/// `true` or `false`.
pub(super) fn truth(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| format!("must be `true` or `false`, not `{text}`"))
}

/// A whole number within bounds.
pub(super) fn number_within(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        format!("must be a whole number from {least} to {most}, not `{text}`")
    })
}

/// Elements separated by commas; none if there is nothing but white space.
pub(super) fn list(text: &str) -> Vec<String> {
    match text.trim() {
        "" => Vec::new(),
        text => text.split(',').map(|part| part.trim().to_owned()).collect(),
    }
}

/// A duration within bounds, which are told as they are written here.
pub(super) fn duration_within(text: &str, bounds: [&str; 2]) -> Result<Duration, String> {
    let duration = duration(text)?;
    let [least, most] = bounds.map(read_duration);
    let range: Option<RangeInclusive<Duration>> = least.zip(most).map(|(l, m)| l..=m);
    match range {
        Some(range) if range.contains(&duration) => Ok(duration),
        _ => Err(format!(
            "must be from {} to {}, not `{text}`",
            bounds[0], bounds[1]
        )),
    }
}

/// A duration as the configuration and the command line write it, such as `90d`, or a sentence what it should be.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    read_duration(text).ok_or_else(|| {
        format!(
            "must be a whole number and one of `ms s m h d`, such as `250ms` or `90d`, not `{text}`"
        )
    })
}

fn read_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// `forever`, or how long something is kept.
pub(super) fn retention(text: &str) -> Result<Option<Duration>, String> {
    if text == "forever" {
        return Ok(None);
    }
    let [least, most] = ["7d", "36500d"];
    let refusal =
        |_| format!("must be `forever`, or from {least} to {most}, such as `90d`, not `{text}`");
    duration_within(text, [least, most])
        .map(Some)
        .map_err(refusal)
}

/// `off`, or a share.
pub(super) fn share_or_off(text: &str) -> Result<Option<Share>, String> {
    if text == "off" {
        return Ok(None);
    }
    Share::parse(text).map(Some).ok_or_else(|| {
        format!(
            "must be `off`, or a number from 0 to 1 with up to nine decimals, such as `0.01`, not `{text}`"
        )
    })
}

/// Directives for what to log, as the logger takes them.
pub(super) fn log_directives(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let refusal = || {
        format!(
            "must be a level (`off`, `error`, `warn`, `info`, `debug`, `trace`) and levels per target, such as \
             `info,countersign=debug`, not `{text}`"
        )
    };
    // The logger would take a misspelt level for the name of a target and log nothing else: silence when it is least
    // wanted. Directives with span fields may hold commas, so they are left to the logger.
    let names_a_bare_word = !text.contains('[')
        && text
            .split(',')
            .any(|part| !part.contains('=') && !LEVELS.contains(&part.trim()));
    if names_a_bare_word {
        return Err(refusal());
    }
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(refusal()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        let read = |text| read_duration(text).map(|duration| duration.as_millis());
        assert_eq!(read("250ms"), Some(250));
        assert_eq!(read("1s"), Some(1_000));
        assert_eq!(read("2m"), Some(120_000));
        assert_eq!(read("3h"), Some(10_800_000));
        assert_eq!(read("90d"), Some(7_776_000_000));
        let refused = [
            "",
            "s",
            "1",
            "1.5s",
            "-1s",
            "+1s",
            "1 s",
            "1S",
            "1w",
            "1m30s",
            "99999999999999999d",
            "184467440737095516160ms",
        ];
        for text in refused {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn bounds_of_durations_include_their_edges() {
        let within = |text| duration_within(text, ["250ms", "30s"]).is_ok();
        assert!(within("250ms") && within("30s") && within("30000ms"));
        assert!(!within("249ms") && !within("30001ms"));
    }

    #[test]
    fn misspelt_log_levels_are_refused() {
        for good in [
            "info",
            "off",
            "warn,countersign=debug",
            "info,[decide]=trace",
        ] {
            assert!(log_directives(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "info,countersign", "countersign=inof", "info,"] {
            assert!(log_directives(bad).is_err(), "{bad}");
        }
    }
}
