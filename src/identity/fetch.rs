//! Asking the server of an issuer for its keys: by HTTPS, verified, or plainly on this machine. Bounded in time and size, and
//! no answer leads anywhere else than where it may.

use std::{path::Path, sync::Arc, time::Duration};

use http::{
    Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue, USER_AGENT},
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    body::Bytes,
    client::conn::http1,
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpStream, task::spawn_blocking, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName},
        version::{TLS12, TLS13},
    },
};

use crate::domain::{
    issuer::{Issuer, KeysAt, Url},
    jwks::KeySet,
};

/// How long all of it may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// The most bytes of a document.
const LARGEST: usize = 256 << 10;
const AGENT: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));

/// Where keys come from. What goes wrong is a sentence for the log, in which nothing is secret.
pub(super) struct Source {
    issuer: Issuer,
    tls: Arc<ClientConfig>,
}

/// As much of a discovery document as is needed.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    pub(super) fn new(issuer: &Issuer) -> Result<Self, String> {
        let roots = match &issuer.authorities {
            Some(authorities) => given_roots(authorities),
            None => system_roots(),
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| error.to_string())?;
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            issuer: issuer.clone(),
            tls: Arc::new(tls),
        })
    }

    /// The keys as they are published now.
    pub(super) async fn fetch(&self) -> Result<KeySet, String> {
        let fetched = timeout(DEADLINE, self.keys()).await;
        fetched.unwrap_or_else(|_| Err(format!("there was no answer within {DEADLINE:?}")))
    }

    async fn keys(&self) -> Result<KeySet, String> {
        let bearer = self.bearer().await?;
        let (url, bearer) = match &self.issuer.keys_at {
            KeysAt::Known(url) => (url.clone(), bearer),
            KeysAt::Discovered(discovery) => {
                let url = self.discover(discovery, bearer.clone()).await?;
                // It was given for one server, and is shown to no other that this one names.
                let bearer = bearer.filter(|_| url.is_of_the_origin_of(discovery));
                (url, bearer)
            }
        };
        let document = self.get(&url, bearer).await?;
        KeySet::parse(&document).map_err(|problem| format!("`{url}`: {problem}"))
    }

    async fn discover(&self, url: &Url, bearer: Option<HeaderValue>) -> Result<Url, String> {
        let document = self.get(url, bearer).await?;
        let discovery: Discovery = serde_json::from_slice(&document)
            .map_err(|_| format!("`{url}`: it is not a discovery document"))?;
        if discovery.issuer != self.issuer.name {
            let named = discovery.issuer;
            return Err(format!("`{url}`: it is of another issuer, {named:?}"));
        }
        let keys = Url::parse(&discovery.jwks_uri);
        keys.map_err(|problem| format!("`{url}`: its `jwks_uri` {problem}"))
    }

    /// Read each time, since whoever wrote it replaces it.
    async fn bearer(&self) -> Result<Option<HeaderValue>, String> {
        let Some(path) = self.issuer.bearer_token_file.clone() else {
            return Ok(None);
        };
        let read = spawn_blocking(move || read_bearer(&path)).await;
        read.map_err(|error| error.to_string())?.map(Some)
    }

    async fn get(&self, url: &Url, bearer: Option<HeaderValue>) -> Result<Bytes, String> {
        let failed = |error: &dyn std::fmt::Display| format!("`{url}`: {error}");
        let stream = TcpStream::connect((url.host(), url.port()))
            .await
            .map_err(|error| failed(&error))?;
        if !url.is_tls() {
            return ask(stream, url, bearer).await.map_err(|e| failed(&e));
        }
        let name = ServerName::try_from(url.host().to_owned()).map_err(|error| failed(&error))?;
        let connected = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
        let stream = connected.await.map_err(|error| failed(&error))?;
        ask(stream, url, bearer).await.map_err(|e| failed(&e))
    }
}

async fn ask<S>(stream: S, url: &Url, bearer: Option<HeaderValue>) -> Result<Bytes, String>
where
    TokioIo<S>: Read + Write + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let mut request = Request::get(url.path())
        .header(HOST, authority(url))
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, AGENT);
    if let Some(bearer) = bearer {
        request = request.header(AUTHORIZATION, bearer);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answered = async move {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status() {
            StatusCode::OK => {}
            // Redirects too: an issuer says in the configuration where it is.
            status => return Err(format!("the answer was {status}")),
        }
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        body.map(|body| body.to_bytes())
            .map_err(|error| error.to_string())
    };
    // Both in this task: with it, the connection ends.
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        ended = connection => match ended {
            // What has arrived is still to be read.
            Ok(()) => answered.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

fn authority(url: &Url) -> String {
    let host = match url.host().contains(':') {
        true => format!("[{}]", url.host()),
        false => url.host().to_owned(),
    };
    match (url.is_tls(), url.port()) {
        (true, 443) | (false, 80) => host,
        (_, port) => format!("{host}:{port}"),
    }
}

fn read_bearer(path: &Path) -> Result<HeaderValue, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read `{shown}`: {e}"))?;
    let value = HeaderValue::try_from(format!("Bearer {}", text.trim()));
    let mut value = value.map_err(|_| format!("`{shown}` holds no token"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// They were looked at when the configuration was read.
fn given_roots(authorities: &[Vec<u8>]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let authorities = authorities.iter().cloned().map(CertificateDer::from);
    roots.add_parsable_certificates(authorities);
    roots
}

/// Where there are none, as in an image without any, no server is trusted, and the log says so.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    roots
}
