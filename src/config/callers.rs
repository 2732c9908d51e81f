//! `[[callers]]`: the internal services that may use this one. They stand in the file only.

mod credentials;

use std::{collections::HashSet, ops::Range, path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use self::credentials::Placed;
use super::{
    fault::{Fault, Origin, sort_by_line},
    file::Reader,
};
use crate::domain::{
    caller::{ActsFor, Caller, Grant, KeyDigest, KnownCallers},
    ids::CallerName,
    spiffe::SpiffeId,
};

/// What the file says of callers.
#[derive(Default)]
pub(super) struct CallerTables {
    /// Where the first is, if there is one.
    pub(super) origin: Option<Origin>,
    pub(super) entries: Vec<Entry>,
    /// Where there are SPIFFE IDs.
    pub(super) spiffe_ids: Vec<Origin>,
    pub(super) faults: Vec<Fault>,
}

/// A caller, and what it may show.
pub(super) struct Entry {
    pub(super) caller: Arc<Caller>,
    pub(super) digests: Vec<KeyDigest>,
    pub(super) spiffe_ids: Vec<SpiffeId>,
    pub(super) names: Vec<Named>,
}

/// A name that a caller has in the tokens of an issuer.
pub(super) struct Named {
    /// Under which key it stands, and where.
    pub(super) key: &'static str,
    pub(super) origin: Origin,
    /// Whose tokens. None: those of the cluster.
    pub(super) issuer: Option<String>,
    pub(super) subject: String,
}

impl Entry {
    /// Adds the caller by what can be told of it without its issuers. The rest is returned.
    pub(super) fn add_to(
        self,
        known: &mut KnownCallers,
    ) -> impl Iterator<Item = (Named, Arc<Caller>)> {
        let caller = self.caller;
        let digests = self.digests.into_iter();
        known
            .keys
            .extend(digests.map(|digest| (digest, Arc::clone(&caller))));
        let ids = self.spiffe_ids.into_iter();
        known
            .workloads
            .extend(ids.map(|id| (id, Arc::clone(&caller))));
        let names = self.names.into_iter();
        names.map(move |name| (name, Arc::clone(&caller)))
    }
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
        spiffe_ids: Vec::new(),
    };
    let origin = reader.file.origin(&value.span());
    let Some(items) = value.get_ref().as_array() else {
        let message = "must be tables that begin with `[[callers]]`";
        reader.file.fault("callers", value.span(), message);
        return CallerTables {
            origin: Some(origin),
            faults: reader.file.faults,
            ..CallerTables::default()
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
        spiffe_ids: reader.spiffe_ids,
        faults: reader.file.faults,
    }
}

struct CallerReader<'a> {
    file: Reader<'a>,
    names: HashSet<CallerName>,
    entries: Vec<Entry>,
    spiffe_ids: Vec<Origin>,
}

impl CallerReader<'_> {
    fn caller(&mut self, table: &DeTable<'_>, span: Range<usize>) {
        let mut name = None;
        let mut digests = Vec::new();
        let mut spiffe_ids = Vec::new();
        let mut names = Vec::new();
        let mut grants = None;
        let mut acts_for = Some(ActsFor::Members);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "name" => name = Some(self.name(value)),
                "key_digests" => digests = credentials::digests(&mut self.file, value),
                "spiffe_ids" => {
                    spiffe_ids = credentials::spiffe_ids(&mut self.file, value);
                    if !spiffe_ids.is_empty() {
                        self.spiffe_ids.push(self.file.origin(&value.span()));
                    }
                }
                "grants" => grants = Some(self.grants(value)),
                "acts_for" => acts_for = self.acts_for(value),
                "service_accounts" => {
                    names.extend(credentials::service_accounts(&mut self.file, value));
                }
                "subjects" => names.extend(credentials::subjects(&mut self.file, value)),
                other => {
                    let full = format!("callers.{other}");
                    self.file.fault(&full, key.span(), "there is no such key");
                }
            }
        }
        let missing = [
            (name.is_none(), "name", "every caller needs a name"),
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
        self.require_credential(table, span);
        self.refuse_known("callers.key_digests", "digest", &digests, |entry| {
            &entry.digests
        });
        self.refuse_known("callers.spiffe_ids", "ID", &spiffe_ids, |entry| {
            &entry.spiffe_ids
        });
        let (Some(Some(name)), Some(grants), Some(acts_for)) = (name, grants, acts_for) else {
            return;
        };
        let caller = Caller {
            name,
            grants,
            acts_for,
        };
        self.entries.push(Entry {
            caller: Arc::new(caller),
            digests: digests.into_iter().map(|(_, digest)| digest).collect(),
            spiffe_ids: spiffe_ids.into_iter().map(|(_, id)| id).collect(),
            names,
        });
    }

    /// Whatever is in the lists that there are is judged elsewhere.
    fn require_credential(&mut self, table: &DeTable<'_>, span: Range<usize>) {
        const LISTS: [(&str, &str); 4] = [
            (
                "key_digests",
                "at least one digest, as printed by `countersign key new`,",
            ),
            ("spiffe_ids", "at least one SPIFFE ID"),
            ("service_accounts", "at least one service account"),
            ("subjects", "at least one subject"),
        ];
        let given = LISTS.map(|(key, _)| table.get(key));
        let is_empty = |value: &Spanned<DeValue<'_>>| {
            let items = value.get_ref().as_array();
            items.is_some_and(|items| items.is_empty())
        };
        if given.iter().flatten().any(|value| !is_empty(value)) {
            return;
        }
        let empty = LISTS
            .iter()
            .zip(given)
            .find_map(|(list, value)| Some((list, value?)));
        match empty {
            Some(((key, what), value)) => {
                let message =
                    format!("must hold {what} where the caller is known by nothing else");
                self.file
                    .fault(&format!("callers.{key}"), value.span(), message);
            }
            None => self.file.fault(
                "callers.key_digests",
                span,
                "every caller needs a digest, as printed by `countersign key new`, or `spiffe_ids`, `service_accounts` or `subjects`",
            ),
        }
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

    /// Two callers cannot show the same, and one need not twice.
    fn refuse_known<T: PartialEq>(
        &mut self,
        key: &str,
        what: &str,
        items: &[Placed<T>],
        of: impl Fn(&Entry) -> &Vec<T>,
    ) {
        for (i, (span, item)) in items.iter().enumerate() {
            let holder = self.entries.iter().find(|entry| of(entry).contains(item));
            let message = match holder {
                Some(entry) => format!("caller `{}` has the same {what}", entry.caller.name),
                None if items[..i].iter().any(|(_, other)| other == item) => {
                    format!("the {what} is there twice")
                }
                None => continue,
            };
            self.file.fault(key, span.clone(), message);
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
}
