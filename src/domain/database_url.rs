//! Where the database is, without its password ever being printed.

use std::{fmt, net::IpAddr, path::PathBuf};

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The embedded database: a file, used by one server process.
    Sqlite,
    /// PostgreSQL, shared by any number of replicas.
    Postgres,
}

/// A database's address. Displays without password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    backend: Backend,
}

impl DatabaseUrl {
    /// Takes `sqlite://<path>`, `postgres://…` or `postgresql://…`. Off this machine Postgres is spoken to over TLS with a
    /// verified certificate, unless `sslmode=disable` says that the network is trusted: modes that encrypt without
    /// knowing for whom, or fall back to plain text, are refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        let backend = match text.split_once("://") {
            Some(("sqlite", path)) if path.starts_with(":memory:") => {
                return Err(
                    "an in-memory database would forget every token: name a file".to_owned(),
                );
            }
            Some(("sqlite", path)) if !path.is_empty() => Backend::Sqlite,
            Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => {
                return Ok(Self {
                    text: with_verified_tls(text, rest)?,
                    backend: Backend::Postgres,
                });
            }
            _ => return Err("must be `sqlite://<path>` or `postgres://…`".to_owned()),
        };
        Ok(Self {
            text: text.to_owned(),
            backend,
        })
    }

    /// The address to connect to, password and all.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The kind of database.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The file of an embedded database.
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        let path = self.text.strip_prefix("sqlite://")?;
        Some(path.split('?').next().unwrap_or(path).into())
    }
}

/// The address with `sslmode=verify-full` where it leaves this machine and says nothing of TLS.
fn with_verified_tls(text: &str, rest: &str) -> Result<String, String> {
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let parameter = |name: &str| {
        let mut pairs = parameters
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let authority = place.split('/').next().unwrap_or(place);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = parameter("host").unwrap_or(host);
    match parameter("sslmode").or_else(|| parameter("ssl-mode")) {
        _ if is_on_this_machine(host) => Ok(text.to_owned()),
        Some("disable" | "verify-ca" | "verify-full") => Ok(text.to_owned()),
        Some(mode) => Err(format!(
            "must not have `sslmode={mode}`, which does not verify the server: use `verify-full`, or `disable` to say \
             that the network is trusted"
        )),
        None => {
            let separator = if rest.contains('?') { '&' } else { '?' };
            Ok(format!("{text}{separator}sslmode=verify-full"))
        }
    }
}

/// Whether a host, with or without a port, is a socket or loopback.
fn is_on_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.split(':').next().unwrap_or(host),
    };
    name.is_empty()
        || name.starts_with('/')
        || name.to_ascii_lowercase().starts_with("%2f")
        || name == "localhost"
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.text.split_once("://").unwrap_or(("", ""));
        let rest = rest.split('?').next().unwrap_or(rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        write!(f, "{scheme}://{rest}")
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_this_machine_postgres_is_verified_or_said_to_be_trusted() {
        let verified = "?sslmode=verify-full";
        let cases = [
            ("postgres://db/name", Some(verified)),
            ("postgres://u:p@db.example:5432/name", Some(verified)),
            (
                "postgres://u:p@10.0.0.1/name?application_name=x",
                Some("&sslmode=verify-full"),
            ),
            ("postgres://db/name?sslmode=verify-full", Some("")),
            (
                "postgres://db/name?sslmode=verify-ca&sslrootcert=ca.pem",
                Some(""),
            ),
            ("postgres://db/name?sslmode=disable", Some("")),
            ("postgres://db/name?sslmode=prefer", None),
            ("postgres://db/name?sslmode=require", None),
            ("postgres://db/name?sslmode=allow", None),
            ("postgres://localhost/name", Some("")),
            ("postgres://u@127.0.0.1:5432/name?sslmode=prefer", Some("")),
            ("postgres://u@[::1]:5432/name", Some("")),
            ("postgres://u@%2Fvar%2Frun/name", Some("")),
            ("postgres://u@db/name?host=/var/run", Some("")),
            ("postgresql:///name", Some("")),
        ];
        for (text, added) in cases {
            let parsed = DatabaseUrl::parse(text).ok();
            let expected = added.map(|added| format!("{text}{added}"));
            assert_eq!(
                parsed.as_ref().map(DatabaseUrl::expose),
                expected.as_deref(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_password_is_never_displayed() {
        for text in [
            "postgres://u:hidden@db/name",
            "postgres://u@db/name?password=hidden",
        ] {
            let url = DatabaseUrl::parse(text).map(|url| format!("{url} {url:?}"));
            assert!(url.is_ok_and(|told| !told.contains("hidden") && told.contains("db/name")));
        }
    }
}
