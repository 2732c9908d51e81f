//! A share of things that come one after the other, such as those of which something is told.

/// From none to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Of 2^64.
    parts: u128,
}

/// All.
const WHOLE: u128 = 1 << 64;

/// An odd number near the golden ratio of 2^64: its multiples are spread evenly, however few of them there are.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Share {
    /// Reads a number from 0 to 1 with up to nine decimals, such as `0.01`.
    pub fn parse(text: &str) -> Option<Self> {
        const BILLION: u128 = 1_000_000_000;
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !are_digits(whole) || !are_digits(decimals) || whole.len() > 1 || decimals.len() > 9 {
            return None;
        }
        let billionths = format!("{whole}{decimals:0<9}").parse::<u128>().ok()?;
        (billionths <= BILLION).then(|| Self {
            parts: WHOLE * billionths / BILLION,
        })
    }

    /// Whether the thing of this number is in it.
    pub fn includes(self, number: u64) -> bool {
        u128::from(number.wrapping_mul(STEP)) < self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_what_it_says_of_any_stretch() {
        let cases = [
            ("0", 0),
            ("0.0", 0),
            ("0.001", 10),
            ("0.25", 2_500),
            ("0.5", 5_000),
            ("0.999999999", 10_000),
            ("1", 10_000),
            ("1.000", 10_000),
        ];
        for (text, expected) in cases {
            let share = Share::parse(text);
            for start in [0, 12_345, u64::MAX - 20_000] {
                let numbers = start..start + 10_000;
                let included = |number: &u64| share.is_some_and(|share| share.includes(*number));
                let count = i64::try_from(numbers.filter(included).count()).unwrap_or(-1);
                assert!((count - expected).abs() <= 4, "{text}: {count}");
            }
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-0",
            "+1",
            "1.1",
            "2",
            "10",
            "1e-3",
            "0,5",
            "NaN",
            "0.0000000001",
            "0 ",
        ] {
            assert_eq!(Share::parse(text), None, "{text}");
        }
    }
}
