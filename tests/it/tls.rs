//! TLS, through the real binary: what is accepted, what is refused and how that is told, certificates that are replaced
//! while it runs, and TLS to the database.

mod accepted;
mod database;
mod faults;
mod refused;
mod rotation;
mod silent;

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        version::{TLS12, TLS13},
    },
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

use crate::support::{
    certificates::{Authority, Certified},
    database::{Backend, TestDatabase},
    process::{Process, countersign},
};

const PATIENCE: Duration = Duration::from_secs(20);
const FAILED: &str = "a TLS handshake failed";

/// An authority, and a folder with what it signed.
struct World {
    database: TestDatabase,
    folder: TempDir,
    authority: Authority,
}

impl World {
    /// With `ca.pem`, `server.pem` and `server.key`.
    async fn create() -> Self {
        let authority = Authority::new("authority");
        let world = Self {
            database: TestDatabase::create(Backend::Sqlite)
                .await
                .expect("an embedded database"),
            folder: tempfile::tempdir().expect("a temporary folder"),
            authority,
        };
        world.write("ca.pem", &world.authority.certificate());
        world
            .authority
            .server("one")
            .write(world.folder.path(), "server");
        world
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("a file is written");
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Serves with what is in `server.pem` and `server.key`.
    fn serve(&self) -> Process {
        self.serve_with("")
    }

    /// Serves to clients with a certificate of this authority.
    fn serve_to_clients_of(&self, authority: &Authority) -> Process {
        self.write("clients.pem", &authority.certificate());
        self.serve_with(&format!(
            ", client_ca_file = \"{}\"",
            self.path("clients.pem")
        ))
    }

    fn serve_with(&self, more: &str) -> Process {
        let (cert, key) = (self.path("server.pem"), self.path("server.key"));
        let tls = format!("tls = {{ cert_file = \"{cert}\", key_file = \"{key}\"{more} }}");
        Process::serve(&self.database, &tls)
    }

    /// The command, run to its end: its exit code, what it printed, and what it told.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = countersign(arguments, &self.folder);
        command.env(
            "COUNTERSIGN_KEY",
            crate::support::server::key_of("platform"),
        );
        run(&mut command)
    }
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A channel of tonic's, connected or not.
pub(crate) async fn connect(
    address: SocketAddr,
    ca: &Authority,
    identity: Option<&Certified>,
) -> Result<Channel, Error> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca.certificate()));
    if let Some(Certified { certificate, key }) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{address}"))?;
    endpoint.tls_config(tls)?.connect().await
}

/// What a client offers in its handshake.
struct Offer<'a> {
    version: &'static SupportedProtocolVersion,
    protocol: &'static [u8],
    identity: Option<&'a Certified>,
}

const USUAL: Offer<'_> = Offer {
    version: &TLS13,
    protocol: b"h2",
    identity: None,
};
const OLDER: Offer<'_> = Offer {
    version: &TLS12,
    ..USUAL
};

/// A handshake, without tonic.
async fn shake_hands(
    address: SocketAddr,
    ca: &Authority,
    offer: &Offer<'_>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    shake_hands_over(stream, ca, offer).await
}

async fn shake_hands_over(
    stream: TcpStream,
    ca: &Authority,
    offer: &Offer<'_>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(der(&ca.certificate())).expect("an authority");
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[offer.version])
        .expect("a version")
        .with_root_certificates(roots);
    let mut config = match offer.identity {
        None => builder.with_no_client_auth(),
        Some(Certified { certificate, key }) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            let chain = vec![der(certificate)];
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![offer.protocol.to_vec()];
    let name = ServerName::from(stream.peer_addr()?.ip());
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// Everything that an error says, and what caused it.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

/// The lines of its log about this, once there are as many, or as many as there are in the end.
async fn lines(process: &Process, message: &str, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = process.log();
        let lines: Vec<Value> = log
            .lines()
            .filter(|line| line.contains(message))
            .map(|line| serde_json::from_str(line).expect("the log is JSON"))
            .collect();
        if lines.len() >= count || Instant::now() > deadline {
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// There is one failed handshake in the log that came from there, and it says this.
async fn must_have_failed(process: &Process, peer: SocketAddr, error: &str) {
    let lines = lines(process, &format!("\"{peer}\""), 1).await;
    assert_eq!(lines.len(), 1, "{error}: {lines:#?}");
    assert_eq!(lines[0]["message"], FAILED);
    assert_eq!(lines[0]["level"], "WARN");
    let told = lines[0]["error"].to_string();
    assert!(told.contains(error), "{error}: {told}");
}
