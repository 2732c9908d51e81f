//! TLS for the gRPC port: certificate, key and, if callers must show certificates, their authority, read from PEM files.

use std::{fmt, path::Path, sync::Arc};

use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::domain::time::Timestamp;

/// How the gRPC port speaks TLS. Prints nothing of itself: it holds the key.
#[derive(Clone)]
pub struct Tls {
    /// With certificate and key.
    pub config: Arc<ServerConfig>,
    /// When the first of the certificates ends that clients are shown, if they can be read.
    pub not_after: Option<Timestamp>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// The files, by the key that names each.
pub(super) struct Files<'a> {
    pub(super) cert_file: &'a str,
    pub(super) key_file: &'a str,
    pub(super) client_ca_file: Option<&'a str>,
}

/// What is wrong, and with the file of which key.
pub(super) type Refused = (&'static str, String);

/// Reads the files and puts them together. Whatever is wrong with any of them is told.
pub(super) fn load(files: &Files<'_>) -> Result<Tls, Vec<Refused>> {
    let chain = certificates(files.cert_file).map_err(|message| ("tls.cert_file", message));
    let key = PrivateKeyDer::from_pem_file(Path::new(files.key_file)).map_err(|error| {
        let message = format!(
            "cannot read a private key from `{}`: {error}",
            files.key_file
        );
        ("tls.key_file", message)
    });
    let verifier = match files.client_ca_file.map(client_verifier) {
        None => Ok(WebPkiClientVerifier::no_client_auth()),
        Some(verifier) => verifier.map_err(|message| ("tls.client_ca_file", message)),
    };
    match (chain, key, verifier) {
        (Ok(chain), Ok(key), Ok(verifier)) => {
            put_together(files, chain, key, verifier).map_err(|refused| vec![refused])
        }
        (chain, key, verifier) => Err([chain.err(), key.err(), verifier.err()]
            .into_iter()
            .flatten()
            .collect()),
    }
}

fn put_together(
    files: &Files<'_>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<Tls, Refused> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| ("tls.cert_file", error.to_string()))?
        .with_client_cert_verifier(verifier);
    let not_after = chain.iter().filter_map(end).min();
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let message = format!(
            "does not go with the certificate `{}`: {error}",
            files.cert_file
        );
        ("tls.key_file", message)
    })?;
    if files.client_ca_file.is_some() {
        // What a client has shown is verified for every connection, and never taken from an earlier one: since then it may
        // have expired. Connections are long, so few are made.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    // gRPC is HTTP/2 and nothing else.
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Tls {
        config: Arc::new(config),
        not_after,
    })
}

/// When a certificate ends.
fn end(der: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    Some(Timestamp(seconds.saturating_mul(1000)))
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error| format!("cannot read certificates from `{path}`: {error}");
    let chain = CertificateDer::pem_file_iter(Path::new(path))
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    match chain.is_empty() {
        true => Err(format!("there is no certificate in `{path}`")),
        false => Ok(chain),
    }
}

fn client_verifier(path: &str) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider)
        .build()
        .map_err(|error| format!("`{path}` holds no usable authority: {error}"))
}

/// The authorities in a file, each known to be one.
pub(super) fn authorities(path: &str) -> Result<Vec<Vec<u8>>, String> {
    roots(path)?;
    let certificates = certificates(path)?.into_iter();
    Ok(certificates
        .map(|certificate| certificate.to_vec())
        .collect())
}

fn roots(path: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| format!("`{path}` holds no usable authority: {error}"))?;
    }
    Ok(roots)
}
