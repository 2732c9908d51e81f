//! The configuration in effect, for people: each value with where it came from. Secrets are masked here, once.

use super::{
    Mode, Sources,
    callers::Entry,
    fault::Origin,
    issuers,
    keys::{self, Key},
    settings::Settings,
};
use crate::domain::{
    caller::ActsFor, database_url::DatabaseUrl, issuer::KeysAt, pepper::PepperRing,
};

/// What stands for a secret.
const MASK: &str = "***";

/// One value in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Its key.
    pub(crate) key: String,
    /// As it may be shown: without anything secret. None: there is none.
    pub(crate) value: Option<String>,
    /// Where it came from.
    pub(crate) origin: String,
}

/// Every key with the value in effect, right or wrong, then the callers and the issuers. A key that another one stands for (the
/// `database_url_file` for the `database_url`) is left out.
pub(crate) fn show(mode: Mode, sources: &Sources) -> Vec<Shown> {
    let settings = Settings::collect(sources);
    let mut shown = Vec::new();
    for key in keys::all() {
        let given = settings.values.get(key.name);
        let is_given_otherwise = settings
            .values
            .values()
            .any(|setting| setting.key.base() == key.base() && setting.key.name != key.name);
        let (value, origin) = match (given, key.default_told(mode)) {
            (Some(setting), _) => (Some(masked(key, &setting.text)), setting.origin.clone()),
            (None, _) if is_given_otherwise || key.base() != key.name => continue,
            (None, Some(default)) => (Some(default.to_owned()), Origin::Default),
            (None, None) => (None, Origin::Unset),
        };
        shown.push(Shown {
            key: key.name.to_owned(),
            value,
            origin: origin.to_string(),
        });
    }
    shown.extend(callers(&settings));
    shown.extend(settings.issuers.entries.iter().map(issuer));
    shown
}

fn masked(key: &Key, text: &str) -> String {
    if !key.is_secret {
        return text.to_owned();
    }
    match key.base() {
        "database_url" | "database_direct_url" => {
            DatabaseUrl::parse(text).map_or_else(|_| MASK.to_owned(), |url| url.to_string())
        }
        "peppers" => PepperRing::parse(text).map_or_else(
            |_| MASK.to_owned(),
            |ring| {
                let ids: Vec<_> = ring.ids().map(|id| format!("{id}:{MASK}")).collect();
                ids.join(",")
            },
        ),
        _ => MASK.to_owned(),
    }
}

fn callers(settings: &Settings) -> Vec<Shown> {
    let origin = match &settings.callers.origin {
        Some(Origin::File { path, .. }) => format!("the file {}", path.display()),
        Some(origin) => origin.to_string(),
        None => Origin::Unset.to_string(),
    };
    let entries = settings.callers.entries.iter();
    let mut shown: Vec<Shown> = entries
        .map(|entry| Shown {
            key: format!("callers.{}", entry.caller.name),
            value: Some(told(entry)),
            origin: origin.clone(),
        })
        .collect();
    if shown.is_empty() {
        shown.push(Shown {
            key: "callers".to_owned(),
            value: None,
            origin,
        });
    }
    shown
}

fn told(
    Entry {
        caller,
        digests,
        spiffe_ids,
        names,
    }: &Entry,
) -> String {
    let grants: Vec<_> = caller.grants.iter().map(|grant| grant.as_str()).collect();
    let acts_for = match caller.acts_for {
        ActsFor::Members => "members",
        ActsFor::Platform => "the platform",
    };
    let mut told = format!("{} for {acts_for}", grants.join(" "));
    let accounts = names.iter().filter(|name| name.issuer.is_none()).count();
    for (count, what) in [
        (digests.len(), "key"),
        (spiffe_ids.len(), "SPIFFE ID"),
        (accounts, "service account"),
        (names.len() - accounts, "subject"),
    ] {
        match count {
            0 => {}
            1 => told.push_str(&format!(", 1 {what}")),
            count => told.push_str(&format!(", {count} {what}s")),
        }
    }
    told
}

fn issuer(entry: &issuers::Entry) -> Shown {
    let issuer = &entry.issuer;
    let mut told = format!("for the audience `{}`", issuer.audience);
    if issuer.is_kubernetes {
        told.push_str(", Kubernetes");
    }
    match &issuer.keys_at {
        KeysAt::Discovered(_) => told.push_str(", keys by discovery"),
        KeysAt::Known(url) => told.push_str(&format!(", keys at {url}")),
    }
    let files = [
        ("authorities", entry.ca_file.clone()),
        (
            "token",
            issuer
                .bearer_token_file
                .as_ref()
                .map(|path| path.display().to_string()),
        ),
    ];
    for (what, path) in files {
        if let Some(path) = path {
            told.push_str(&format!(", {what} in {path}"));
        }
    }
    Shown {
        key: format!("issuers.{}", issuer.name),
        value: Some(told),
        origin: entry.origin.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_origins_told() {
        let sources = Sources::of_file(
            "c.toml",
            "peppers = \"p1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"\nlog = \"debug\"\n",
        )
        .with_variable("COUNTERSIGN_DATABASE_URL", "postgres://u:hunter2@db/n")
        .with_variable("COUNTERSIGN_DATABASE_DIRECT_URL", "hunter2");
        let shown = show(Mode::Serve, &sources);
        let find = |key: &str| {
            let row = shown.iter().find(|row| row.key == key);
            row.map(|row| (row.value.as_deref(), row.origin.as_str()))
        };
        assert_eq!(
            find("peppers"),
            Some((Some("p1:***"), "the file c.toml, line 1"))
        );
        assert_eq!(
            find("log"),
            Some((Some("debug"), "the file c.toml, line 2"))
        );
        assert_eq!(
            find("database_url"),
            Some((Some("postgres://db/n"), "COUNTERSIGN_DATABASE_URL"))
        );
        assert_eq!(
            find("database_direct_url"),
            Some((Some("***"), "COUNTERSIGN_DATABASE_DIRECT_URL"))
        );
        assert_eq!(find("drain_delay"), Some((Some("2s"), "the default")));
        assert_eq!(find("callers"), Some((None, "not set")));
        assert_eq!(find("peppers_file"), None);
    }
}
