//! From settings to the typed configuration. What each key means, and what must hold between keys, is here.

mod callers;

use std::{net::SocketAddr, path::Path, time::Duration};

use super::{
    Config, Mode, Sources,
    fault::{Fault, Faults, Origin},
    keys, peppers,
    settings::{Setting, Settings, read_file},
    tls::{self, Tls},
    value,
};
use crate::domain::{
    database_url::DatabaseUrl, pepper::PepperRing, policy::Policy, secret::TokenFormat,
};

/// Parses settings and gathers faults. INVARIANT: a method that returns none has noted a fault.
pub(super) struct Loader {
    mode: Mode,
    settings: Settings,
    faults: Vec<Fault>,
    /// Whether peppers that are missing may be made and kept.
    may_write: bool,
}

impl Loader {
    pub(super) fn new(mode: Mode, sources: &Sources) -> Self {
        let mut settings = Settings::collect(sources);
        Self {
            mode,
            faults: std::mem::take(&mut settings.faults),
            settings,
            may_write: true,
        }
    }

    /// The same, but makes no file.
    pub(super) fn without_writing(self) -> Self {
        Self {
            may_write: false,
            ..self
        }
    }

    /// What `make` makes, unless there is any fault.
    pub(super) fn finish<T>(
        mut self,
        make: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, Faults> {
        match make(&mut self) {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(Faults(self.faults)),
        }
    }

    pub(super) fn config(&mut self) -> Option<Config> {
        let listen_addr = self.parse("listen_addr", value::address);
        let metrics_addr = self.parse("metrics_addr", value::address);
        let urls = self.database_urls();
        let given_peppers = self.given_peppers();
        let policy = self.policy();
        let token_format = self.token_format();
        let staleness_bound = self.staleness_bound();
        let view_capacity = self.parse("view_capacity", |text| {
            value::number_within(text, 1..=100_000_000)
        });
        let reflection = self.parse("reflection", value::truth);
        let drain_delay = self.parse("drain_delay", |text| {
            value::duration_within(text, ["0s", "5m"])
        });
        let log = self.parse("log", value::log_directives);
        let decision_log = self.parse("decision_log", value::share_or_off);
        let event_retention = self.parse("event_retention", value::retention);
        let issuers = self.issuers();
        let callers = self.callers();
        let tls = self.tls();
        self.check_addresses(listen_addr, metrics_addr);
        let (database_url, database_direct_url) = urls?;
        // Last, because it may write a file, which nothing that fails to start should do.
        let peppers = match given_peppers {
            Some(peppers) => peppers,
            None => self.kept_peppers(&database_url)?,
        };
        Some(Config {
            listen_addr: listen_addr?,
            metrics_addr: metrics_addr?,
            database_url,
            database_direct_url,
            peppers,
            policy: policy?,
            token_format: token_format?,
            staleness_bound: staleness_bound?,
            view_capacity: view_capacity?,
            tls: tls?,
            reflection: reflection?,
            drain_delay: drain_delay?,
            log: log?,
            decision_log: decision_log?,
            event_retention: event_retention?,
            callers: callers?,
            issuers,
        })
    }

    pub(super) fn staleness_bound(&mut self) -> Option<Duration> {
        self.parse("staleness_bound", |text| {
            value::duration_within(text, ["250ms", "30s"])
        })
    }

    /// The database, and the same without a pooler between.
    pub(super) fn database_urls(&mut self) -> Option<(DatabaseUrl, DatabaseUrl)> {
        let url = self.parse("database_url", DatabaseUrl::parse);
        if !self.is_given("database_direct_url") {
            let url = url?;
            return Some((url.clone(), url));
        }
        let direct = self.parse("database_direct_url", DatabaseUrl::parse);
        let (url, direct) = (url?, direct?);
        if url.backend() != direct.backend() {
            let message =
                "must lead to the same database as `database_url`, so be of the same kind";
            self.fault("database_direct_url", message);
            return None;
        }
        Some((url, direct))
    }

    /// The configured policy, or the embedded one.
    pub(super) fn policy(&mut self) -> Option<Policy> {
        let path = self
            .given("policy_file")
            .map(|setting| setting.text.clone());
        let (file, compiled) = match &path {
            None => ("the embedded policy", Policy::embedded()),
            Some(path) => match read_file(Path::new(path)) {
                Ok(text) => (path.as_str(), Policy::parse(&text)),
                Err(message) => {
                    self.fault("policy_file", message);
                    return None;
                }
            },
        };
        match compiled {
            Ok(policy) => Some(policy),
            Err(faults) => {
                for fault in faults {
                    self.fault("policy_file", format!("`{file}`, {fault}"));
                }
                None
            }
        }
    }

    /// The peppers, where they were given. None also where they were not: then `dev` makes them.
    pub(super) fn given_peppers(&mut self) -> Option<PepperRing> {
        if self.is_given("peppers") {
            return self.parse("peppers", PepperRing::parse);
        }
        if self.mode == Mode::Serve && self.settings.is_missing("peppers") {
            let message = "`serve` needs at least one: `countersign pepper new` makes one";
            self.fault("peppers", message);
        }
        None
    }

    fn kept_peppers(&mut self, database_url: &DatabaseUrl) -> Option<PepperRing> {
        if !self.faults.is_empty() {
            return None;
        }
        let kept = match database_url.sqlite_path() {
            Some(path) => peppers::kept_beside(&path, self.may_write),
            None => Err(
                "must be given, because the database is no file beside which they could be kept"
                    .to_owned(),
            ),
        };
        match kept {
            Ok(peppers) => Some(peppers),
            Err(message) => {
                self.fault("peppers", message);
                None
            }
        }
    }

    fn token_format(&mut self) -> Option<TokenFormat> {
        // One at a time, so that each is told of; together only once each is known to be good.
        let prefix = self.parse("token_prefix", |prefix| {
            TokenFormat::new(prefix, &[]).map(|_| prefix.to_owned())
        });
        let retired = self.parse("retired_token_prefixes", |text| {
            let retired = value::list(text);
            TokenFormat::new(crate::domain::secret::DEFAULT_PREFIX, &retired).map(|_| retired)
        });
        TokenFormat::new(&prefix?, &retired?).ok()
    }

    /// TLS by its files, or none.
    fn tls(&mut self) -> Option<Option<Tls>> {
        if let Some(setting) = self.settings.values.get("tls") {
            if setting.text == "off" {
                return Some(None);
            }
            let message = "must be `off`, or a table with `cert_file` and `key_file`";
            self.fault("tls", message);
            return None;
        }
        let text = |key| {
            let setting: Option<&Setting> = self.settings.values.get(key);
            setting.map(|setting| setting.text.clone())
        };
        let [cert, key, client_ca] =
            ["tls.cert_file", "tls.key_file", "tls.client_ca_file"].map(text);
        let (cert_file, key_file) = match (&cert, &key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) if client_ca.is_none() => return Some(None),
            _ => {
                for (name, given) in [("tls.cert_file", &cert), ("tls.key_file", &key)] {
                    if given.is_none() {
                        self.fault(name, "must be given with the other files of TLS");
                    }
                }
                return None;
            }
        };
        if self.mode == Mode::Dev {
            self.fault("tls.cert_file", "`dev` is for loopback and speaks no TLS");
            return None;
        }
        let files = tls::Files {
            cert_file,
            key_file,
            client_ca_file: client_ca.as_deref(),
        };
        match tls::load(&files) {
            Ok(tls) => Some(Some(tls)),
            Err(refused) => {
                for (key, message) in refused {
                    self.fault(key, message);
                }
                None
            }
        }
    }

    fn check_addresses(&mut self, listen: Option<SocketAddr>, metrics: Option<SocketAddr>) {
        for (key, address) in [("listen_addr", listen), ("metrics_addr", metrics)] {
            let Some(address) = address.filter(|address| !address.ip().is_loopback()) else {
                continue;
            };
            match self.mode {
                Mode::Dev => {
                    let message = format!(
                        "`dev` lets everyone call, so it must listen on loopback, such as `127.0.0.1:{}`, \
                         not on `{address}`",
                        address.port()
                    );
                    self.fault(key, message);
                }
                Mode::Serve if key == "listen_addr" && !self.tls_is_given() => {
                    let message = format!(
                        "listening on `{address}`, which is not loopback, needs `tls.cert_file` and \
                         `tls.key_file`, or `tls = \"off\"` to say that the network is trusted"
                    );
                    self.fault("tls", message);
                }
                Mode::Serve => {}
            }
        }
        if listen.is_some_and(|address| address.port() != 0) && listen == metrics {
            self.fault("metrics_addr", "must differ from `listen_addr`");
        }
    }

    /// Whether anything is said of TLS. What is said is judged elsewhere.
    fn tls_is_given(&self) -> bool {
        self.settings
            .values
            .keys()
            .any(|name| name.starts_with("tls"))
            || !self.settings.is_missing("tls")
    }

    /// See [`super::fingerprint`].
    pub(super) fn fingerprint(&self, sources: &Sources) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: &str| {
            // The length keeps the texts apart.
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        };
        if let Some((_, text)) = &sources.file {
            add(text);
        }
        let values = self.settings.values.values();
        let named = values.filter(|setting| setting.key.name.ends_with("_file"));
        let named = named.map(|setting| &setting.text);
        // Not their tokens, which are read whenever they are shown.
        let issuers = self.settings.issuers.entries.iter();
        let authorities = issuers.filter_map(|entry| entry.ca_file.as_ref());
        for path in named.chain(authorities) {
            let content = read_file(Path::new(path));
            add(&content.unwrap_or_else(|message| message));
        }
        hasher.finalize().to_hex().to_string()
    }

    /// What was given for a key, be it in a file that is named instead.
    fn given(&self, name: &str) -> Option<&Setting> {
        let is_named = |setting: &&Setting| setting.key.base() == name;
        self.settings.values.values().find(is_named)
    }

    fn is_given(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// Notes a fault in what was given for a key.
    fn fault(&mut self, name: &str, message: impl Into<String>) {
        let has_default = keys::find(name).is_some_and(|key| key.default(self.mode).is_some());
        let (key, origin) = match self.settings.values.get(name).or_else(|| self.given(name)) {
            Some(setting) => (setting.key.name, setting.origin.clone()),
            None if has_default => (name, Origin::Default),
            None => (name, Origin::Unset),
        };
        self.faults.push(Fault {
            key: key.to_owned(),
            origin,
            message: message.into(),
        });
    }

    /// Parses a key's value: given, in a file that is named, or the default.
    fn parse<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = match self.given(name) {
            Some(setting) if setting.key.name == name => Ok(setting.text.clone()),
            Some(named) => read_file(Path::new(&named.text)).map(|text| text.trim().to_owned()),
            None => keys::find(name)
                .and_then(|key| key.default(self.mode))
                .map(str::to_owned)
                .ok_or_else(|| "must be given".to_owned()),
        };
        match text.and_then(|text| parse(&text)) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fault(name, message);
                None
            }
        }
    }
}
