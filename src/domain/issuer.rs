//! Issuers of identity tokens: who they are, what their tokens must say, and where their keys are published.

use std::{fmt, net::IpAddr, path::PathBuf};

/// What the path of a discovery document ends with (OpenID Connect Discovery 1.0).
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// How the API server of Kubernetes calls a service account.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// The most characters of the names of namespaces and of service accounts.
const LONGEST_NAMESPACE: usize = 63;
const LONGEST_SERVICE_ACCOUNT: usize = 253;

/// Somebody whose tokens name callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// What its tokens have in `iss`, to the letter.
    pub name: String,
    /// What must be among what its tokens have in `aud`.
    pub audience: String,
    /// Whether it is the cluster, whose subjects are service accounts.
    pub is_kubernetes: bool,
    /// Where its keys are.
    pub keys_at: KeysAt,
    /// The certificates (DER) of the authorities that its server is verified by. None: the system's.
    pub authorities: Option<Vec<Vec<u8>>>,
    /// A file with a token that its server wants to see.
    pub bearer_token_file: Option<PathBuf>,
}

/// Where the keys of an issuer are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysAt {
    /// Where the document at this address says.
    Discovered(Url),
    /// At this address.
    Known(Url),
}

impl KeysAt {
    /// Where the issuer of this name says it.
    pub fn discovered(issuer: &str) -> Result<Self, String> {
        // Its own address must be one that can be asked, before anything is added.
        Url::parse(issuer)?;
        let base = issuer.trim_end_matches('/');
        Url::parse(&format!("{base}{DISCOVERY}")).map(Self::Discovered)
    }
}

/// What became of an attempt to fetch keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchOutcome {
    /// They are others than before.
    Changed,
    /// They are those that are held.
    Unchanged,
    /// There are none to be had.
    Failed,
}

impl FetchOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Changed, Self::Unchanged, Self::Failed];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "CHANGED",
            Self::Unchanged => "UNCHANGED",
            Self::Failed => "FAILED",
        }
    }
}

/// An address that can be asked without anyone between being able to answer: of `https`, or on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    is_tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Url {
    /// Takes an address, or tells what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refusal = || format!("must be an address such as `https://example.org`, not `{text}`");
        let uri: http::Uri = text.parse().map_err(|_| refusal())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(refusal());
        };
        if authority.as_str().contains('@') || text.contains('#') {
            return Err(refusal());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let is_here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let is_tls = match scheme {
            "https" => true,
            "http" if is_here => false,
            "http" => {
                return Err(format!(
                    "must be of `https` off loopback, where anyone could answer, not `{text}`"
                ));
            }
            _ => return Err(refusal()),
        };
        let has_port = authority.as_str().len() > authority.host().len();
        let port = match (authority.port_u16(), has_port) {
            (Some(port), _) => port,
            (None, true) => return Err(refusal()),
            (None, false) if is_tls => 443,
            (None, false) => 80,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            text: text.to_owned(),
            is_tls,
            host,
            port,
            path: path.to_owned(),
        })
    }

    /// Whether it is asked by TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The name or address of its host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path, with the query if there is one.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether whoever answers there answers at the other one too.
    pub fn is_of_the_origin_of(&self, other: &Self) -> bool {
        (self.is_tls, &self.host, self.port) == (other.is_tls, &other.host, other.port)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The subject of the tokens of a service account, which is written `namespace/name`.
pub fn service_account_subject(text: &str) -> Result<String, String> {
    let refusal =
        || format!("must be a namespace and a name, such as `shop/bookings`, not `{text}`");
    let (namespace, name) = text.split_once('/').ok_or_else(refusal)?;
    let is_label = |label: &str| {
        let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty()
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_good = is_label(namespace)
        && namespace.len() <= LONGEST_NAMESPACE
        && name.split('.').all(is_label)
        && name.len() <= LONGEST_SERVICE_ACCOUNT;
    match is_good {
        true => Ok(format!("{SERVICE_ACCOUNT}{namespace}:{name}")),
        false => Err(refusal()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_https_or_on_this_machine() {
        for (text, tls, host, port, path) in [
            ("https://example.org", true, "example.org", 443, "/"),
            (
                "https://example.org:8443/a/b?c=d",
                true,
                "example.org",
                8443,
                "/a/b?c=d",
            ),
            ("https://[2001:db8::1]/", true, "2001:db8::1", 443, "/"),
            ("https://10.0.0.1:6443", true, "10.0.0.1", 6443, "/"),
            (
                "http://127.0.0.1:8080/jwks",
                false,
                "127.0.0.1",
                8080,
                "/jwks",
            ),
            ("http://[::1]:81", false, "::1", 81, "/"),
            ("http://localhost", false, "localhost", 80, "/"),
        ] {
            let url = Url::parse(text);
            let parts = url
                .as_ref()
                .map(|url| (url.is_tls(), url.host(), url.port(), url.path()));
            assert_eq!(parts, Ok((tls, host, port, path)), "{text}");
        }
        for text in [
            "",
            "example.org",
            "/jwks",
            "ftp://example.org",
            "http://example.org",
            "http://localhost.example.org",
            "http://10.0.0.1",
            "https://",
            "https://user@example.org",
            "https://example.org:99999",
            "https://example.org:",
            "https://example.org/#a",
            "https://exa mple.org",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn discovery_documents_are_below_the_name_of_the_issuer() {
        for issuer in ["https://example.org/tenant", "https://example.org/tenant/"] {
            let expected = "https://example.org/tenant/.well-known/openid-configuration";
            let expected = Url::parse(expected).map(KeysAt::Discovered);
            assert_eq!(KeysAt::discovered(issuer), expected);
        }
        assert!(KeysAt::discovered("kubernetes/serviceaccount").is_err());
    }

    #[test]
    fn service_accounts_are_those_that_kubernetes_has() {
        assert_eq!(
            service_account_subject("shop/bookings.v-2"),
            Ok("system:serviceaccount:shop:bookings.v-2".to_owned())
        );
        let long_namespace = format!("{}/a", "n".repeat(LONGEST_NAMESPACE + 1));
        let long_name = format!("shop/{}", "n".repeat(LONGEST_SERVICE_ACCOUNT + 1));
        for text in [
            "",
            "shop",
            "shop/",
            "/bookings",
            "shop/a/b",
            "Shop/a",
            "shop/A",
            "sh.op/a",
            "shop/*",
            "*/a",
            "shop/a:b",
            "shop:x/a",
            "shop/-a",
            "shop/a-",
            "shop/a..b",
            "shop/ a",
            "shöp/a",
            &long_namespace,
            &long_name,
        ] {
            assert!(service_account_subject(text).is_err(), "{text}");
        }
    }
}
