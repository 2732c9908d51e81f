//! An issuer of identity tokens on loopback: it publishes keys over HTTP or HTTPS, as well or badly as a test wants.

mod keys;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

pub(crate) use self::keys::{SigningKey, now, unsigned};
use super::certificates::Certified;

/// Where it publishes its keys.
const KEYS: &str = "/keys";
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// How it answers.
pub(crate) struct Manner {
    /// The keys that it publishes.
    pub(crate) keys: Vec<Value>,
    /// Connections are cut before anything is said.
    pub(crate) is_away: bool,
    /// Nothing is ever answered.
    pub(crate) is_stuck: bool,
    /// What the discovery document says instead, by key.
    pub(crate) discovery: Value,
    /// The answer to every request, instead: its status line and headers, and its body.
    pub(crate) instead: Option<(String, String)>,
    /// The value of `authorization` without which nothing is answered.
    pub(crate) wants: Option<String>,
    /// The path and the `authorization` of each request.
    pub(crate) asked: Vec<(String, Option<String>)>,
}

/// The issuer, until it is dropped.
pub(crate) struct TestIssuer {
    address: SocketAddr,
    scheme: &'static str,
    manner: Arc<Mutex<Manner>>,
    task: JoinHandle<()>,
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestIssuer {
    /// One that publishes these keys, in plain HTTP or under this certificate.
    pub(crate) async fn start(keys: &[&SigningKey], certified: Option<&Certified>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let manner = Arc::new(Mutex::new(Manner {
            keys: keys.iter().map(|key| key.public()).collect(),
            is_away: false,
            is_stuck: false,
            discovery: json!({}),
            instead: None,
            wants: None,
            asked: Vec::new(),
        }));
        let tls = certified.map(acceptor);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{address}");
        let shared = Arc::clone(&manner);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (manner, tls, base) = (Arc::clone(&shared), tls.clone(), base.clone());
                tokio::spawn(serve(stream, tls, manner, base));
            }
        });
        Self {
            address,
            scheme,
            manner,
            task,
        }
    }

    /// Its name, which is its address.
    pub(crate) fn name(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where it publishes its keys.
    pub(crate) fn jwks_uri(&self) -> String {
        format!("{}{KEYS}", self.name())
    }

    /// How it answers from now on.
    pub(crate) fn manner(&self) -> MutexGuard<'_, Manner> {
        self.manner.lock().expect("its manner")
    }

    /// Publishes these keys and no others.
    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        self.manner().keys = keys.iter().map(|key| key.public()).collect();
    }

    /// How often its keys were asked for.
    pub(crate) fn times_asked(&self) -> usize {
        let manner = self.manner();
        let keys = manner.asked.iter().filter(|(path, _)| path == KEYS);
        keys.count()
    }

    /// What a token of its says that is good for an hour.
    pub(crate) fn claims(&self, audience: &str, subject: &str) -> Value {
        let now = now();
        json!({
            "iss": self.name(), "aud": [audience], "sub": subject, "iat": now, "nbf": now, "exp": now + 3600,
        })
    }
}

fn acceptor(certified: &Certified) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_slice(certified.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![chain.expect("a certificate")], key.expect("a key"));
    TlsAcceptor::from(Arc::new(config.expect("they fit")))
}

async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    manner: Arc<Mutex<Manner>>,
    base: String,
) {
    if manner.lock().expect("its manner").is_away {
        return;
    }
    match tls {
        None => answer(stream, &manner, &base).await,
        Some(tls) => {
            // Whoever does not trust it is gone.
            if let Ok(stream) = tls.accept(stream).await {
                answer(stream, &manner, &base).await;
            }
        }
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    manner: &Mutex<Manner>,
    base: &str,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).expect("a request is ASCII");
    if manner.lock().expect("its manner").is_stuck {
        sleep(Duration::from_secs(3600)).await;
    }
    let (head, body) = manner.lock().expect("its manner").answer(&request, base);
    let length = body.len();
    let text = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}");
    // Who does not want all of it goes away.
    stream.write_all(text.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

impl Manner {
    fn answer(&mut self, request: &str, base: &str) -> (String, String) {
        let path = request.split(' ').nth(1).expect("a path").to_owned();
        let shown = request.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("authorization")
                .then(|| value.to_owned())
        });
        let is_welcome = self.wants.is_none() || self.wants == shown;
        self.asked.push((path.clone(), shown));
        if let Some(instead) = &self.instead {
            return instead.clone();
        }
        let document = match path.as_str() {
            _ if !is_welcome => return ("401 Unauthorized".to_owned(), String::new()),
            KEYS => json!({"keys": self.keys}),
            DISCOVERY => {
                let mut document = json!({"issuer": base, "jwks_uri": format!("{base}{KEYS}")});
                let changed = self.discovery.as_object().expect("a document").clone();
                document.as_object_mut().expect("one").extend(changed);
                document
            }
            _ => return ("404 Not Found".to_owned(), String::new()),
        };
        ("200 OK".to_owned(), document.to_string())
    }
}
