//! The way to a running service, for every command that talks to one: where it is, who calls, and for how long to wait.

mod refusal;
mod server;

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use server::Server;
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{Failure, secret_input::SecretInput};
use crate::config::{self, client};

/// The metadata that carries the service key.
const KEY_METADATA: &str = "x-countersign-key";

/// How a certificate begins in a file.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Where the service is and how to connect.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Remote {
    /// Where the service is: `host:port` or `http://host:port` in plain text, `https://host:port` by TLS
    #[arg(
        long,
        value_name = "ADDRESS",
        env = client::SERVER,
        hide_env_values = true,
        default_value = "http://127.0.0.1:50051",
        value_parser = Server::parse
    )]
    server: Server,

    /// How long to wait for the connection, and then for each answer: such as `500ms` or `1m`
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = config::duration)]
    timeout: Duration,

    /// For https: the certificates (PEM) that the server's is verified against [default: those that this machine trusts]
    #[arg(long, value_name = "FILE", env = client::CA_FILE, hide_env_values = true)]
    ca_file: Option<PathBuf>,

    /// For https: a certificate (PEM) by which to authenticate instead of a service key
    #[arg(
        long,
        value_name = "FILE",
        env = client::CLIENT_CERT,
        hide_env_values = true,
        requires = "client_key"
    )]
    client_cert: Option<PathBuf>,

    /// For https: the private key (PEM) of that certificate
    #[arg(
        long,
        value_name = "FILE",
        env = client::CLIENT_KEY,
        hide_env_values = true,
        requires = "client_cert"
    )]
    client_key: Option<PathBuf>,
}

/// Where the service is, and the key that says who calls.
#[derive(Debug, Args)]
pub(super) struct Caller {
    #[command(flatten)]
    remote: Remote,

    /// A file that holds the service key, as `countersign key new` prints it. The key itself can be given as
    /// COUNTERSIGN_KEY. `countersign dev` needs none [env: COUNTERSIGN_KEY_FILE]
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    key_file: Option<PathBuf>,
}

/// A connection to the service.
pub(super) struct Session {
    channel: Channel,
    key: Option<MetadataValue<Ascii>>,
    timeout: Duration,
    server: Server,
}

impl Caller {
    /// Connects, to call under the key.
    pub(super) async fn connect(&self) -> Result<Session, Failure> {
        let key = self.key()?;
        let session = self.remote.connect().await?;
        Ok(Session { key, ..session })
    }

    /// The flag's, else the environment's.
    fn key(&self) -> Result<Option<MetadataValue<Ascii>>, Failure> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let (given, named) = (variable(client::KEY), variable(client::KEY_FILE));
        match (&self.key_file, named, given) {
            (Some(path), ..) => key_in_file(path.clone()).map(Some),
            (None, Some(_), Some(_)) => Err(Failure::Usage(format!(
                "{} and {} are both set: set one of them",
                client::KEY,
                client::KEY_FILE
            ))),
            (None, Some(path), None) => key_in_file(path.into()).map(Some),
            (None, None, Some(key)) => {
                let key = zeroize::Zeroizing::new(key.into_string().unwrap_or_default());
                parse_key(&key, client::KEY).map(Some)
            }
            (None, None, None) => Ok(None),
        }
    }
}

fn key_in_file(path: PathBuf) -> Result<MetadataValue<Ascii>, Failure> {
    let text = SecretInput::read(Some(&path))?;
    parse_key(text.expose(), &format!("`{}`", path.display()))
}

/// Takes the key alone, or the whole of what `key new` prints.
fn parse_key(text: &str, place: &str) -> Result<MetadataValue<Ascii>, Failure> {
    let lines = || text.lines().map(str::trim);
    let labelled = lines().find_map(|line| line.strip_prefix("key:"));
    let key = labelled.unwrap_or(text).trim();
    let is_one_word = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    match key.parse::<MetadataValue<Ascii>>() {
        Ok(mut value) if is_one_word => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => Err(Failure::Failed(format!(
            "{place} holds no service key: it should be one word, `csn_key_` and 43 characters"
        ))),
    }
}

impl Remote {
    /// Connects, without a key.
    pub(super) async fn connect(&self) -> Result<Session, Failure> {
        let endpoint = self.endpoint()?;
        let connecting = tokio::time::timeout(self.timeout, endpoint.connect());
        let channel = match connecting.await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(refusal::unreachable(&self.server, &error)),
            Err(_) => return Err(refusal::no_connection_in_time(&self.server, self.timeout)),
        };
        Ok(Session {
            channel,
            key: None,
            timeout: self.timeout,
            server: self.server.clone(),
        })
    }

    fn endpoint(&self) -> Result<Endpoint, Failure> {
        let wrong = |error| refusal::unreachable(&self.server, &error);
        let endpoint = Endpoint::from_shared(self.server.to_string())
            .and_then(|endpoint| {
                endpoint.user_agent(concat!("countersign-cli/", env!("CARGO_PKG_VERSION")))
            })
            .map_err(wrong)?;
        if self.server.is_tls() {
            return endpoint
                .tls_config(self.tls()?)
                .map_err(|error| refusal::unusable_files(&error));
        }
        if self.ca_file.is_some() || self.client_cert.is_some() {
            return Err(Failure::Usage(format!(
                "files for TLS are given, but `{}` is plain text: write `https://…`",
                self.server
            )));
        }
        Ok(endpoint)
    }

    fn tls(&self) -> Result<ClientTlsConfig, Failure> {
        let read = |path: &PathBuf| {
            fs::read(path)
                .map_err(|error| Failure::new(&format!("cannot read `{}`", path.display()), error))
        };
        let certificates = |path: &PathBuf| match read(path)? {
            pem if pem.windows(PEM.len()).any(|window| window == PEM) => Ok(pem),
            _ => Err(Failure::Failed(format!(
                "`{}` holds no certificate (PEM)",
                path.display()
            ))),
        };
        let mut tls = match &self.ca_file {
            Some(path) => {
                let pem = certificates(path)?;
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
            }
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            let key = zeroize::Zeroizing::new(read(key)?);
            tls = tls.identity(Identity::from_pem(certificates(certificate)?, &*key));
        }
        Ok(tls)
    }
}

impl Session {
    /// The connection, for a generated client.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A request under the key and with the deadline.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        if let Some(key) = &self.key {
            request.metadata_mut().insert(KEY_METADATA, key.clone());
        }
        request
    }

    /// The answer, or what is wrong in words for people.
    pub(super) fn answer<T>(&self, result: Result<Response<T>, Status>) -> Result<T, Failure> {
        match result {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(refusal::told(self, &status)),
        }
    }
}
