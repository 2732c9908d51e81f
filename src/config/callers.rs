//! `[[callers]]`: the internal services that may use this one. They stand in the file only.

use std::{collections::HashSet, ops::Range, path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    fault::{Fault, Origin, sort_by_line},
    file::Reader,
};
use crate::domain::{
    caller::{ActsFor, Caller, Grant, KeyDigest},
    ids::CallerName,
};

/// What the file says of callers.
#[derive(Default)]
pub(super) struct CallerTables {
    /// Where the first is, if there is one.
    pub(super) origin: Option<Origin>,
    pub(super) entries: Vec<(KeyDigest, Arc<Caller>)>,
    pub(super) faults: Vec<Fault>,
}

/// Reads the value of `callers`.
pub(super) fn read(path: &Path, text: &str, value: &Spanned<DeValue<'_>>) -> CallerTables {
    let mut reader = CallerReader {
        file: Reader {
            path,
            text,
            faults: Vec::new(),
        },
        names: HashSet::new(),
        entries: Vec::new(),
    };
    let origin = reader.file.origin(&value.span());
    let Some(items) = value.get_ref().as_array() else {
        let message = "must be tables that begin with `[[callers]]`";
        reader.file.fault("callers", value.span(), message);
        return CallerTables {
            origin: Some(origin),
            entries: Vec::new(),
            faults: reader.file.faults,
        };
    };
    for item in items {
        match item.get_ref().as_table() {
            Some(table) => reader.caller(table, item.span()),
            None => reader.file.fault(
                "callers",
                item.span(),
                "must be tables that begin with `[[callers]]`",
            ),
        }
    }
    sort_by_line(&mut reader.file.faults);
    CallerTables {
        origin: items
            .iter()
            .next()
            .map(|first| reader.file.origin(&first.span())),
        entries: reader.entries,
        faults: reader.file.faults,
    }
}

struct CallerReader<'a> {
    file: Reader<'a>,
    names: HashSet<CallerName>,
    entries: Vec<(KeyDigest, Arc<Caller>)>,
}

impl CallerReader<'_> {
    fn caller(&mut self, table: &DeTable<'_>, span: Range<usize>) {
        let mut name = None;
        let mut digests = None;
        let mut grants = None;
        let mut acts_for = Some(ActsFor::Members);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "name" => name = Some(self.name(value)),
                "key_digests" => digests = Some(self.digests(value)),
                "grants" => grants = Some(self.grants(value)),
                "acts_for" => acts_for = self.acts_for(value),
                kind @ ("spiffe_ids" | "service_accounts") => self.unsupported(kind, value),
                other => {
                    let full = format!("callers.{other}");
                    self.file.fault(&full, key.span(), "there is no such key");
                }
            }
        }
        let missing = [
            (name.is_none(), "name", "every caller needs a name"),
            (
                digests.is_none(),
                "key_digests",
                "every caller needs at least one digest, as printed by `countersign key new`",
            ),
            (
                grants.is_none(),
                "grants",
                "every caller needs at least one grant",
            ),
        ];
        for (_, key, message) in missing.iter().filter(|(is_missing, ..)| *is_missing) {
            self.file
                .fault(&format!("callers.{key}"), span.clone(), *message);
        }
        let digests = digests.unwrap_or_default();
        self.refuse_known_digests(&digests);
        let (Some(Some(name)), Some(grants), Some(acts_for)) = (name, grants, acts_for) else {
            return;
        };
        let caller = Arc::new(Caller {
            name,
            grants,
            acts_for,
        });
        let entries = digests
            .into_iter()
            .map(|(_, digest)| (digest, Arc::clone(&caller)));
        self.entries.extend(entries);
    }

    fn name(&mut self, value: &Spanned<DeValue<'_>>) -> Option<CallerName> {
        const KEY: &str = "callers.name";
        let Some(text) = value.get_ref().as_str() else {
            self.file
                .fault(KEY, value.span(), "must be a string, in quotes");
            return None;
        };
        match CallerName::parse(text) {
            Ok(name) if self.names.insert(name.clone()) => Some(name),
            Ok(name) => {
                let message = format!("there is another caller named `{name}`");
                self.file.fault(KEY, value.span(), message);
                None
            }
            Err(problem) => {
                self.file.fault(KEY, value.span(), problem.description);
                None
            }
        }
    }

    fn digests(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<(Range<usize>, KeyDigest)> {
        const KEY: &str = "callers.key_digests";
        let items = self.file.strings(KEY, value);
        if items.as_ref().is_some_and(Vec::is_empty) {
            let message = "must hold at least one digest, as printed by `countersign key new`";
            self.file.fault(KEY, value.span(), message);
        }
        let mut digests = Vec::new();
        for (span, text) in items.unwrap_or_default() {
            match KeyDigest::parse(&text) {
                Some(digest) => digests.push((span, digest)),
                // Not shown: whoever mistakes the one for the other has put the key itself here.
                None => self.file.fault(
                    KEY,
                    span,
                    "must be `blake3:` and 64 hexadecimal digits, as printed by `countersign key new`",
                ),
            }
        }
        digests
    }

    fn refuse_known_digests(&mut self, digests: &[(Range<usize>, KeyDigest)]) {
        for (i, (span, digest)) in digests.iter().enumerate() {
            let holder = self.entries.iter().find(|(other, _)| other == digest);
            let message = match holder {
                Some((_, caller)) => {
                    format!("caller `{}` has the same digest", caller.name)
                }
                None if digests[..i].iter().any(|(_, other)| other == digest) => {
                    "the digest is there twice".to_owned()
                }
                None => continue,
            };
            self.file
                .fault("callers.key_digests", span.clone(), message);
        }
    }

    fn grants(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<Grant> {
        const KEY: &str = "callers.grants";
        let known = || {
            Grant::ALL
                .map(|grant| format!("`{}`", grant.as_str()))
                .join(", ")
        };
        let items = self.file.strings(KEY, value);
        if items.as_ref().is_some_and(Vec::is_empty) {
            let message = format!("must hold at least one of {}", known());
            self.file.fault(KEY, value.span(), message);
        }
        let mut grants = Vec::new();
        for (span, text) in items.unwrap_or_default() {
            match Grant::parse(&text) {
                Some(grant) => grants.push(grant),
                None => {
                    let message = format!("must be among {}, not `{text}`", known());
                    self.file.fault(KEY, span, message);
                }
            }
        }
        grants
    }

    fn acts_for(&mut self, value: &Spanned<DeValue<'_>>) -> Option<ActsFor> {
        match value.get_ref().as_str() {
            Some("members") => Some(ActsFor::Members),
            Some("platform") => Some(ActsFor::Platform),
            _ => {
                let message = "must be `\"members\"` or `\"platform\"`";
                self.file.fault("callers.acts_for", value.span(), message);
                None
            }
        }
    }

    fn unsupported(&mut self, kind: &str, value: &Spanned<DeValue<'_>>) {
        let key = format!("callers.{kind}");
        let items = self.file.strings(&key, value);
        if items.is_some_and(|items| !items.is_empty()) {
            let message = "is not supported yet: authenticate the caller by `key_digests`";
            self.file.fault(&key, value.span(), message);
        }
    }
}
