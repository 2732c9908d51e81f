//! Callers and the issuers whose tokens name some of them: what must hold between the two, and between callers and TLS.

use std::collections::hash_map::Entry;

use super::{Fault, Loader, Mode, Origin};
use crate::{
    config::callers::{CallerTables, Named},
    domain::{
        caller::{Callers, KnownCallers},
        ids::CallerName,
        issuer::Issuer,
    },
};

impl Loader {
    /// Those whose tokens name callers.
    pub(super) fn issuers(&mut self) -> Vec<Issuer> {
        let faults = std::mem::take(&mut self.settings.issuers.faults);
        self.faults.extend(faults);
        let entries = &self.settings.issuers.entries;
        if let (Mode::Dev, Some(first)) = (self.mode, entries.first()) {
            self.faults.push(Fault {
                key: "issuers".to_owned(),
                origin: first.origin.clone(),
                message: "`dev` lets everyone call: give issuers to `serve` only".to_owned(),
            });
        }
        entries.iter().map(|entry| entry.issuer.clone()).collect()
    }

    pub(super) fn callers(&mut self) -> Option<Callers> {
        let is_missing = self.settings.is_missing("callers");
        let mut tables = std::mem::take(&mut self.settings.callers);
        self.faults.append(&mut tables.faults);
        match (self.mode, tables.origin.clone()) {
            (Mode::Serve, Some(_)) => {
                self.require_client_ca(&tables.spiffe_ids);
                Some(Callers::Known(self.known(tables)))
            }
            (Mode::Serve, None) => {
                if is_missing {
                    let message = "`serve` needs at least one `[[callers]]` in the file: nobody else \
                     could call it";
                    self.fault("callers", message);
                }
                None
            }
            (Mode::Dev, Some(origin)) => {
                self.faults.push(Fault {
                    key: "callers".to_owned(),
                    origin,
                    message: "`dev` lets everyone call: give callers to `serve` only".to_owned(),
                });
                None
            }
            (Mode::Dev, None) => match CallerName::parse("dev") {
                Ok(name) => Some(Callers::open(name)),
                Err(problem) => {
                    self.fault("callers", problem.description);
                    None
                }
            },
        }
    }

    /// A certificate names a caller only if it was asked for and verified.
    fn require_client_ca(&mut self, spiffe_ids: &[Origin]) {
        const KEY: &str = "tls.client_ca_file";
        let is_missing = self.settings.is_missing(KEY) && self.settings.is_missing("tls");
        if !self.settings.values.contains_key(KEY) && is_missing {
            self.faults.extend(spiffe_ids.iter().map(|origin| Fault {
                key: "callers.spiffe_ids".to_owned(),
                origin: origin.clone(),
                message: format!(
                    "needs `{KEY}`, by which the certificates of callers are verified"
                ),
            }));
        }
    }

    /// The callers, by what they show.
    fn known(&mut self, tables: CallerTables) -> KnownCallers {
        let mut known = KnownCallers::default();
        let mut named = Vec::new();
        for entry in tables.entries {
            named.extend(entry.add_to(&mut known));
        }
        for (name, caller) in named {
            let Some(issuer) = self.issuer_of(&name) else {
                continue;
            };
            let subjects = known.subjects.entry(issuer).or_default();
            match subjects.entry(name.subject) {
                Entry::Vacant(vacant) => {
                    vacant.insert(caller);
                }
                Entry::Occupied(other) => {
                    let message = match other.get().name == caller.name {
                        true => "the subject is there twice".to_owned(),
                        false => format!("caller `{}` has the same subject", other.get().name),
                    };
                    self.faults.push(Fault {
                        key: name.key.to_owned(),
                        origin: name.origin,
                        message,
                    });
                }
            }
        }
        known
    }

    /// Whose tokens name a caller so. None: nobody's, which is told unless something else about issuers was.
    fn issuer_of(&mut self, name: &Named) -> Option<String> {
        let issuers = &self.settings.issuers;
        let (found, message) = match &name.issuer {
            Some(issuer) => (
                issuers.find(issuer),
                format!("there is no `[[issuers]]` with `issuer = \"{issuer}\"`"),
            ),
            None => (
                issuers.kubernetes(),
                "needs the cluster among the `[[issuers]]`, with `kubernetes = true`".to_owned(),
            ),
        };
        if found.is_none() && !issuers.is_incomplete {
            self.faults.push(Fault {
                key: name.key.to_owned(),
                origin: name.origin.clone(),
                message,
            });
        }
        found.map(|issuer| issuer.name.clone())
    }
}
