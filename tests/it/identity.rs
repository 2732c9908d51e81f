//! Callers that show no key: workloads, which are named by their certificates. Through the real binary.

mod expiry;
mod faults;
mod refused;
mod reloads;
mod rotation;
mod tokens;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use countersign::{domain::caller::KeyDigest, pb::ListWorkspacesRequest};
use tonic::{Code, Status, metadata::MetadataMap, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    reload::running::replace,
    support::{
        call::Call,
        certificates::{Authority, Certified},
        client::Client,
        http::{Scrape, scrape_until},
        process::Process,
        server::{PEPPER, PLATFORM, key_of},
    },
    tls::connect,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// What workloads are called in these tests.
const PLATFORM_ID: &str = "spiffe://example.org/ns/shop/sa/platform";
const BOOKINGS_ID: &str = "spiffe://example.org/ns/shop/sa/bookings";
const OTHER_ID: &str = "spiffe://example.org/ns/shop/sa/other";
const READER_ID: &str = "spiffe://example.org/ns/shop/sa/reader";

/// The service, to clients of one authority, from files that tests replace.
struct World {
    servers: Authority,
    clients: Authority,
    process: Process,
}

impl World {
    /// With the usual callers, and these besides.
    fn start(more: &str) -> Self {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        servers.server("one").write(folder.path(), "server");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("a file is written");
        };
        write("ca.pem", &servers.certificate());
        write("clients.pem", &clients.certificate());
        write("countersign.toml", &configuration(more));
        let process = Process::serve_in(folder, &["--config", "countersign.toml"]);
        Self {
            servers,
            clients,
            process,
        }
    }

    fn folder(&self) -> &Path {
        self.process.folder()
    }

    fn path(&self, name: &str) -> String {
        self.folder().join(name).display().to_string()
    }

    /// A new connection, under this certificate.
    async fn channel(&self, certified: &Certified) -> Channel {
        let channel = connect(self.process.address(), &self.servers, Some(certified)).await;
        channel.expect("it connects")
    }

    /// A new connection of the workload of this name.
    async fn workload(&self, id: &str) -> Channel {
        self.channel(&self.clients.workload(&[id])).await
    }

    /// Replaces files, has them read, and waits until that has been done.
    async fn reload(&self, files: &[(&str, &str)]) {
        const APPLIED: &str = "countersign_reloads_total{outcome=\"APPLIED\"}";
        let metrics = self.process.metrics_address();
        let before = Scrape::of(metrics).await.get(APPLIED);
        for (name, text) in files {
            replace(&self.folder().join(name), text);
        }
        self.process.send("HUP");
        scrape_until(metrics, |scrape| scrape.get(APPLIED) > before).await;
    }
}

/// A configuration with the callers `platform`, by key and as a workload, and `bookings`, as a workload only, and with
/// what is given besides.
fn configuration(more: &str) -> String {
    let digest = KeyDigest::of(&key_of(PLATFORM));
    let all = "\"authorize\", \"tokens.issue\", \"tokens.revoke\", \"tokens.read\", \
               \"directory.read\", \"directory.write\", \"events.read\"";
    format!(
        "listen_addr = \"127.0.0.1:0\"\nmetrics_addr = \"127.0.0.1:0\"\ndrain_delay = \"0s\"\n\
         database_url = \"sqlite://countersign.db\"\npeppers = \"{PEPPER}\"\n\
         [tls]\ncert_file = \"server.pem\"\nkey_file = \"server.key\"\nclient_ca_file = \"clients.pem\"\n\
         [[callers]]\nname = \"{PLATFORM}\"\nkey_digests = [\"{digest}\"]\nspiffe_ids = [\"{PLATFORM_ID}\"]\n\
         grants = [{all}]\nacts_for = \"platform\"\n\
         {}{more}",
        caller("bookings", BOOKINGS_ID, "authorize")
    )
}

/// A caller that is this workload.
fn caller(name: &str, id: &str, grant: &str) -> String {
    format!("[[callers]]\nname = \"{name}\"\nspiffe_ids = [\"{id}\"]\ngrants = [\"{grant}\"]\n")
}

/// A call that every grant on the directory admits.
pub(crate) async fn call(channel: &Channel, metadata: &MetadataMap) -> Result<(), Status> {
    let call = Call::from(ListWorkspacesRequest::default());
    call.send(channel, metadata).await.map(drop)
}

/// The same, not counting the limit on failures: tests make more of them than a peer may.
pub(crate) async fn patiently(channel: &Channel, metadata: &MetadataMap) -> Result<(), Status> {
    again_while(channel, metadata, Code::ResourceExhausted).await
}

/// The same, for as long as it is answered so, as often as the answers allow.
pub(crate) async fn again_while(
    channel: &Channel,
    metadata: &MetadataMap,
    code: Code,
) -> Result<(), Status> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call(channel, metadata).await {
            Err(status) if status.code() == code => {
                assert!(Instant::now() < deadline, "{status:?}");
                tokio::time::sleep(retry_delay(&status)).await;
            }
            answer => return answer,
        }
    }
}

/// When an answer says to try again.
pub(crate) fn retry_delay(status: &Status) -> Duration {
    let details = status.get_error_details();
    let retry = details.retry_info().and_then(|retry| retry.retry_delay);
    retry.expect("when to try again")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_calls_without_a_key_and_within_its_grants() {
    let world = World::start("");
    let platform = Client::new(&world.workload(PLATFORM_ID).await, None);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    let issued = platform.issue("acme", "max", "laptop", None).await;
    let events = crate::support::client::events(&platform).await;
    assert!(
        events[..3].iter().all(|event| event.caller == PLATFORM),
        "{events:?}"
    );

    let bookings = world.workload(BOOKINGS_ID).await;
    let asking = Client::new(&bookings, None);
    let answer = asking
        .authorize(&issued.secret, "bookings.read", "acme", None)
        .await;
    assert!(answer.decision.is_some(), "{answer:?}");
    let refused = call(&bookings, &MetadataMap::new()).await;
    let refused = refused.expect_err("it may not read the directory");
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("`bookings`"), "{refused:?}");

    // So does the command line.
    world
        .clients
        .workload(&[PLATFORM_ID])
        .write(world.folder(), "client");
    let server = format!("https://{}", world.process.address());
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| world.path(name));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["events", "--server", &server, "--ca-file", &ca])
        .args(["--client-cert", &cert, "--client-key", &key])
        .env_clear()
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains(PLATFORM),
        "{output:?}"
    );
}
