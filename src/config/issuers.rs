//! `[[issuers]]`: those whose tokens name callers. They stand in the file only.

use std::{ops::Range, path::PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    fault::{Fault, Origin, sort_by_line},
    file::Reader,
    tls,
};
use crate::domain::issuer::{Issuer, KeysAt, Url};

/// The most bytes of the names of issuers and audiences.
const LONGEST: usize = 512;
const NOT_TABLES: &str = "must be tables that begin with `[[issuers]]`";

/// What the file says of issuers.
#[derive(Default)]
pub(super) struct IssuerTables {
    pub(super) entries: Vec<Entry>,
    /// Whether one of them may have been left out because something about it is wrong.
    pub(super) is_incomplete: bool,
    pub(super) faults: Vec<Fault>,
}

/// An issuer, and where it is.
pub(super) struct Entry {
    pub(super) issuer: Issuer,
    pub(super) ca_file: Option<String>,
    pub(super) origin: Origin,
}

impl IssuerTables {
    /// The issuer of this name.
    pub(super) fn find(&self, name: &str) -> Option<&Issuer> {
        let found = self.entries.iter().find(|entry| entry.issuer.name == name);
        found.map(|entry| &entry.issuer)
    }

    /// The cluster.
    pub(super) fn kubernetes(&self) -> Option<&Issuer> {
        let found = self.entries.iter().find(|entry| entry.issuer.is_kubernetes);
        found.map(|entry| &entry.issuer)
    }
}

/// Reads the value of `issuers`.
pub(super) fn read(file: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> IssuerTables {
    let mut reader = IssuerReader {
        file: Reader {
            path: file.path,
            text: file.text,
            faults: Vec::new(),
        },
        entries: Vec::new(),
    };
    match value.get_ref().as_array() {
        None => reader.file.fault("issuers", value.span(), NOT_TABLES),
        Some(items) => {
            for item in items {
                match item.get_ref().as_table() {
                    Some(table) => reader.issuer(table, item.span()),
                    None => reader.file.fault("issuers", item.span(), NOT_TABLES),
                }
            }
        }
    }
    sort_by_line(&mut reader.file.faults);
    IssuerTables {
        is_incomplete: !reader.file.faults.is_empty(),
        entries: reader.entries,
        faults: reader.file.faults,
    }
}

struct IssuerReader<'a> {
    file: Reader<'a>,
    entries: Vec<Entry>,
}

/// A value, and where it is.
type Placed<T> = (Range<usize>, T);

/// The values of one table.
#[derive(Default)]
struct Given {
    issuer: Option<Placed<String>>,
    audience: Option<Placed<String>>,
    is_kubernetes: bool,
    jwks_uri: Option<Placed<String>>,
    ca_file: Option<Placed<String>>,
    bearer_token_file: Option<Placed<String>>,
}

impl IssuerReader<'_> {
    fn issuer(&mut self, table: &DeTable<'_>, span: Range<usize>) {
        let given = self.given(table);
        let before = self.file.faults.len();
        for (key, what) in [
            (
                "issuer",
                "every issuer needs the name that its tokens have in `iss`",
            ),
            (
                "audience",
                "every issuer needs the audience that its tokens must be for",
            ),
        ] {
            if table.get(key).is_none() {
                self.file
                    .fault(&format!("issuers.{key}"), span.clone(), what);
            }
        }
        let name = given.issuer.and_then(|placed| self.name("issuer", placed));
        let audience = given
            .audience
            .and_then(|placed| self.name("audience", placed));
        if let Some((place, name)) = &name {
            self.refuse_known(place, name, given.is_kubernetes);
        }
        let keys_at = match (given.jwks_uri, &name) {
            (Some((place, text)), _) => self
                .parsed("jwks_uri", place, Url::parse(&text))
                .map(KeysAt::Known),
            (None, Some((place, name))) => {
                let discovered = KeysAt::discovered(name).map_err(|problem| {
                    format!("{problem}; where it is no address, `jwks_uri` says where its keys are")
                });
                self.parsed("issuer", place.clone(), discovered)
            }
            (None, None) => None,
        };
        let authorities = given
            .ca_file
            .as_ref()
            .map(|(place, path)| self.parsed("ca_file", place.clone(), tls::authorities(path)));
        let (Some((_, name)), Some((_, audience)), Some(keys_at)) = (name, audience, keys_at)
        else {
            return;
        };
        if self.file.faults.len() > before {
            return;
        }
        let issuer = Issuer {
            name,
            audience,
            is_kubernetes: given.is_kubernetes,
            keys_at,
            authorities: authorities.flatten(),
            bearer_token_file: given.bearer_token_file.map(|(_, path)| PathBuf::from(path)),
        };
        self.entries.push(Entry {
            issuer,
            ca_file: given.ca_file.map(|(_, path)| path),
            origin: self.file.origin(&span),
        });
    }

    fn given(&mut self, table: &DeTable<'_>) -> Given {
        let mut given = Given::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let place = match name {
                "issuer" => &mut given.issuer,
                "audience" => &mut given.audience,
                "jwks_uri" => &mut given.jwks_uri,
                "ca_file" => &mut given.ca_file,
                "bearer_token_file" => &mut given.bearer_token_file,
                "kubernetes" => {
                    match value.get_ref().as_bool() {
                        Some(truth) => given.is_kubernetes = truth,
                        None => self.file.fault(
                            "issuers.kubernetes",
                            value.span(),
                            "must be `true` or `false`, without quotes",
                        ),
                    }
                    continue;
                }
                other => {
                    let full = format!("issuers.{other}");
                    self.file.fault(&full, key.span(), "there is no such key");
                    continue;
                }
            };
            match value.get_ref().as_str() {
                Some(text) => *place = Some((value.span(), text.to_owned())),
                None => self.file.fault(
                    &format!("issuers.{name}"),
                    value.span(),
                    "must be a string, in quotes",
                ),
            }
        }
        given
    }

    fn name(&mut self, key: &str, (place, text): Placed<String>) -> Option<Placed<String>> {
        if (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control) {
            return Some((place, text));
        }
        let message = format!("must have 1 to {LONGEST} bytes, none of them control characters");
        self.file.fault(&format!("issuers.{key}"), place, message);
        None
    }

    fn refuse_known(&mut self, place: &Range<usize>, name: &str, is_kubernetes: bool) {
        let mut others = self.entries.iter().map(|entry| &entry.issuer);
        if others.clone().any(|other| other.name == name) {
            let message = format!("there is another issuer `{name}`");
            self.file.fault("issuers.issuer", place.clone(), message);
        } else if is_kubernetes && let Some(other) = others.find(|other| other.is_kubernetes) {
            let message = format!(
                "`{}` is the cluster of `service_accounts` already: name those of another one in `subjects`, as \
                 `system:serviceaccount:namespace:name`",
                other.name
            );
            self.file
                .fault("issuers.kubernetes", place.clone(), message);
        }
    }

    fn parsed<T>(
        &mut self,
        key: &str,
        place: Range<usize>,
        parsed: Result<T, String>,
    ) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(message) => {
                self.file.fault(&format!("issuers.{key}"), place, message);
                None
            }
        }
    }
}
