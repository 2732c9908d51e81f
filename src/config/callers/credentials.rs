//! What a caller is known by: the digests of its service keys, the SPIFFE IDs in its certificates, and its names in the
//! tokens of issuers.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Named;
use crate::{
    config::file::Reader,
    domain::{caller::KeyDigest, issuer::service_account_subject, spiffe::SpiffeId},
};

/// The most bytes of a subject: twice what OpenID Connect lets one have.
const LONGEST_SUBJECT: usize = 512;

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

/// Reads `service_accounts`.
pub(super) fn service_accounts(file: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Vec<Named> {
    const KEY: &str = "callers.service_accounts";
    let parsed = parsed(file, KEY, value, service_account_subject);
    let named = parsed.into_iter().map(|(span, subject)| Named {
        key: KEY,
        origin: file.origin(&span),
        issuer: None,
        subject,
    });
    named.collect()
}

/// Reads `subjects`.
pub(super) fn subjects(file: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Vec<Named> {
    const KEY: &str = "callers.subjects";
    const FORM: &str =
        "must be tables such as `{issuer = \"https://example.org\", subject = \"bookings\"}`";
    let Some(items) = value.get_ref().as_array() else {
        file.fault(KEY, value.span(), FORM);
        return Vec::new();
    };
    let mut named = Vec::new();
    for item in items {
        let parts = item.get_ref().as_table().and_then(issuer_and_subject);
        let Some((issuer, subject)) = parts else {
            file.fault(KEY, item.span(), FORM);
            continue;
        };
        if subject.is_empty()
            || subject.len() > LONGEST_SUBJECT
            || subject.chars().any(char::is_control)
        {
            let message = format!(
                "must have a subject of 1 to {LONGEST_SUBJECT} bytes, none of them control characters"
            );
            file.fault(KEY, item.span(), message);
            continue;
        }
        named.push(Named {
            key: KEY,
            origin: file.origin(&item.span()),
            issuer: Some(issuer),
            subject,
        });
    }
    named
}

fn issuer_and_subject(table: &DeTable<'_>) -> Option<(String, String)> {
    let text = |key| Some(table.get(key)?.get_ref().as_str()?.to_owned());
    let both = (text("issuer")?, text("subject")?);
    (table.len() == 2).then_some(both)
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
