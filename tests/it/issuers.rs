//! Callers that show tokens of an issuer: Kubernetes service accounts, and whoever else is vouched for. Through the real
//! binary, with issuers on loopback.

mod accepted;
mod faults;
mod fetching;
mod flood;
mod outage;
mod refused;
mod reloads;
mod rotation;

use std::{
    fs,
    time::{Duration, Instant},
};

use countersign::domain::caller::KeyDigest;
use serde_json::Value;
use tonic::{
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

use crate::{
    identity::{again_while, call, patiently, retry_delay},
    reload::running::replace,
    support::{
        call::credentials,
        http::{Scrape, scrape_until},
        issuer::{SigningKey, TestIssuer},
        process::Process,
        server::{PEPPER, PLATFORM, key_of},
    },
};

const PATIENCE: Duration = Duration::from_secs(20);
const AUDIENCE: &str = "countersign.example";
/// The service account of a caller, and its name in tokens.
const ACCOUNT: &str = "shop/reader";
const SUBJECT: &str = "system:serviceaccount:shop:reader";
const INVALID: &str = "CREDENTIAL_INVALID";
const UNAVAILABLE: &str = "IDENTITY_UNAVAILABLE";

/// The service, and the cluster whose service accounts call it.
struct World {
    issuer: TestIssuer,
    key: SigningKey,
    process: Process,
    channel: Channel,
}

impl World {
    /// With `reader`, which is a service account of a cluster over plain HTTP, and these tables besides.
    async fn start(more: &str) -> Self {
        let key = SigningKey::p256("one");
        let issuer = TestIssuer::start(&[&key], None).await;
        let text = configuration(&issuer, "", more);
        Self::start_under(issuer, key, &text, &[])
    }

    /// The same, under this configuration and with these files.
    fn start_under(
        issuer: TestIssuer,
        key: SigningKey,
        text: &str,
        files: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files.iter().chain(&[("countersign.toml", text)]) {
            fs::write(folder.path().join(name), text).expect("a file is written");
        }
        let process = Process::serve_in(folder, &["--config", "countersign.toml"]);
        let endpoint = Endpoint::from_shared(format!("http://{}", process.address()));
        Self {
            issuer,
            key,
            channel: endpoint.expect("an address").connect_lazy(),
            process,
        }
    }

    /// A good token of this subject.
    fn token(&self, subject: &str) -> String {
        self.key.token(&self.issuer.claims(AUDIENCE, subject))
    }

    /// The metadata in which `reader` shows a good token.
    fn reader(&self) -> MetadataMap {
        bearer(&self.token(SUBJECT))
    }

    /// Replaces the configuration, or none of it, has it read, and waits until that has been done.
    async fn reload(&self, text: Option<&str>) {
        const APPLIED: &str = "countersign_reloads_total{outcome=\"APPLIED\"}";
        let before = self.get(APPLIED).await;
        if let Some(text) = text {
            replace(&self.process.folder().join("countersign.toml"), text);
        }
        self.process.send("HUP");
        self.until(|scrape| scrape.get(APPLIED) > Some(before))
            .await;
    }

    /// The value of a series.
    async fn get(&self, series: &str) -> f64 {
        let scrape = Scrape::of(self.process.metrics_address()).await;
        scrape.get(series).expect("it is there")
    }

    async fn until(&self, is_so: impl Fn(&Scrape) -> bool) {
        scrape_until(self.process.metrics_address(), is_so).await;
    }

    /// The lines of the log that say so, once there are as many.
    async fn lines(&self, saying: &str, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.process.log();
            let lines = log.lines().filter(|line| line.contains(saying));
            let lines: Vec<Value> = lines
                .map(|line| serde_json::from_str(line).expect("the log is JSON"))
                .collect();
            if lines.len() >= count {
                return lines;
            }
            assert!(Instant::now() < deadline, "{saying}: {log}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A configuration with the caller `platform`, by key, and `reader`, a service account of this issuer, about which more may
/// be said. `more` are tables.
fn configuration(issuer: &TestIssuer, of_issuer: &str, more: &str) -> String {
    let digest = KeyDigest::of(&key_of(PLATFORM));
    let all = "\"authorize\", \"tokens.issue\", \"tokens.revoke\", \"tokens.read\", \
               \"directory.read\", \"directory.write\", \"events.read\"";
    format!(
        "listen_addr = \"127.0.0.1:0\"\nmetrics_addr = \"127.0.0.1:0\"\ndrain_delay = \"0s\"\n\
         database_url = \"sqlite://countersign.db\"\npeppers = \"{PEPPER}\"\n\
         [[callers]]\nname = \"{PLATFORM}\"\nkey_digests = [\"{digest}\"]\n\
         grants = [{all}]\nacts_for = \"platform\"\n\
         {}{}{of_issuer}{more}",
        reader(ACCOUNT),
        issuer_table(&issuer.name(), AUDIENCE, "kubernetes = true\n"),
    )
}

/// The caller `reader`, by this service account.
fn reader(account: &str) -> String {
    caller("reader", &format!("service_accounts = [\"{account}\"]"))
}

/// A caller that reads and watches, known so.
fn caller(name: &str, known_by: &str) -> String {
    format!(
        "[[callers]]\nname = \"{name}\"\n{known_by}\ngrants = [\"directory.read\", \"events.read\", \"authorize\"]\n"
    )
}

fn issuer_table(name: &str, audience: &str, more: &str) -> String {
    format!("[[issuers]]\nissuer = \"{name}\"\naudience = \"{audience}\"\n{more}")
}

/// The metadata that show this token.
fn bearer(token: &str) -> MetadataMap {
    credentials(&[("authorization", &format!("Bearer {token}"))])
}
