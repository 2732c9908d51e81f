//! The address of a service as people write it.

use std::fmt;

/// Where a service is: a scheme, a host and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server(String);

impl Server {
    /// Takes `host:port`, which means plain text, or `http://…` or `https://…`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let address = text.trim();
        let url = match address.contains("://") {
            true => address.to_owned(),
            false => format!("http://{address}"),
        };
        let url = url.strip_suffix('/').unwrap_or(&url).to_owned();
        let is_good = url.parse::<tonic::transport::Uri>().is_ok_and(|uri| {
            let host = uri.host().unwrap_or_default();
            let place = match uri.port_u16() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            };
            matches!(uri.scheme_str(), Some("http" | "https"))
                && !host.is_empty()
                // Neither a user nor a port that is no number.
                && uri.authority().is_some_and(|authority| authority.as_str() == place)
                && matches!(uri.path(), "" | "/")
                && uri.query().is_none()
        });
        match is_good {
            true => Ok(Self(url)),
            false => Err(
                "must be `host:port`, `http://host:port` or `https://host:port`, such as \
                 `127.0.0.1:50051`"
                    .to_owned(),
            ),
        }
    }

    /// Whether TLS is spoken there.
    pub(super) fn is_tls(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_scheme_is_plain_text() {
        let read = |text| Server::parse(text).map(|server| server.to_string());
        let plain = Ok("http://localhost:1".to_owned());
        assert_eq!(read("localhost:1"), plain);
        assert_eq!(read("http://localhost:1"), plain);
        assert_eq!(read("http://localhost:1/"), plain);
        assert_eq!(read("https://db.example"), Ok("https://db.example".into()));
        assert_eq!(read("[::1]:1"), Ok("http://[::1]:1".into()));
        for text in [
            "",
            "ftp://x",
            "http://",
            "a b",
            "http://x/y",
            "localhost:port",
            "user@localhost:1",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
