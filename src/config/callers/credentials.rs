//! What a caller is known by: the digests of its service keys, and the SPIFFE IDs in its certificates.

use std::ops::Range;

use toml::{Spanned, de::DeValue};

use crate::{
    config::file::Reader,
    domain::{caller::KeyDigest, spiffe::SpiffeId},
};

/// Something in the file, and where.
pub(super) type Placed<T> = (Range<usize>, T);

/// Reads `key_digests`.
pub(super) fn digests(
    file: &mut Reader<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Vec<Placed<KeyDigest>> {
    const KEY: &str = "callers.key_digests";
    parsed(file, KEY, value, |text| {
        // Not shown: whoever mistakes the one for the other has put the key itself here.
        KeyDigest::parse(text).ok_or_else(|| {
            "must be `blake3:` and 64 hexadecimal digits, as printed by `countersign key new`"
                .to_owned()
        })
    })
}

/// Reads `spiffe_ids`.
pub(super) fn spiffe_ids(
    file: &mut Reader<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Vec<Placed<SpiffeId>> {
    const KEY: &str = "callers.spiffe_ids";
    parsed(file, KEY, value, |text| {
        SpiffeId::parse(text).map_err(|problem| {
            format!(
                "must be like `spiffe://example.org/ns/shop/sa/bookings`, but `{text}` {problem}"
            )
        })
    })
}

fn parsed<T>(
    file: &mut Reader<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<Placed<T>> {
    let mut good = Vec::new();
    for (span, text) in file.strings(key, value).unwrap_or_default() {
        match parse(&text) {
            Ok(item) => good.push((span, item)),
            Err(message) => file.fault(key, span, message),
        }
    }
    good
}
