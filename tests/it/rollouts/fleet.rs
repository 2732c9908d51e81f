//! Three replicas in processes of their own behind an Envoy, and how one takes the place of another.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinHandle, block_in_place, spawn_blocking},
    time::sleep,
};

use super::envoy::Envoy;
use crate::support::{
    client::Client,
    database::TestDatabase,
    http::wait_for_status,
    process::{Process, command_of},
    random::Random,
    server::{PLATFORM, key_of},
};

pub(super) const REPLICAS: usize = 3;
/// How late the balancer may be told that a server is gone, in milliseconds: also after it is.
const LATENESS: usize = 4000;
/// How long it may be until the next thing, in milliseconds.
const PAUSE: usize = 400;

pub(super) struct Fleet {
    /// Since when it is told when something happened.
    pub(super) since: Instant,
    /// Of those that are started.
    program: PathBuf,
    database: TestDatabase,
    drain_delay: Duration,
    envoy: Envoy,
    replicas: Vec<Process>,
    /// Of those that were told to end, until the balancer is told that they are gone.
    leaving: Vec<SocketAddr>,
    ended: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Of this release, which migrates the database. None, which was said, where there is no Envoy and none is required.
    pub(super) async fn start(
        program: &Path,
        database: &TestDatabase,
        drain_delay: Duration,
    ) -> Option<Self> {
        migrate(program, database);
        let database = TestDatabase::at(database.url().to_owned());
        let mut replicas = Vec::new();
        for _ in 0..REPLICAS {
            replicas.push(start_one(program, &database, drain_delay).await);
        }
        let addresses: Vec<SocketAddr> = replicas.iter().map(Process::address).collect();
        let envoy = Envoy::start(&addresses).await?;
        Some(Self {
            since: Instant::now(),
            program: program.to_owned(),
            database,
            drain_delay,
            envoy,
            replicas,
            leaving: Vec::new(),
            ended: Vec::new(),
        })
    }

    /// The platform, through the balancer.
    pub(super) fn client(&self) -> Client {
        Client::new(&self.envoy.channel(), Some(&key_of(PLATFORM)))
    }

    /// The platform, at one replica.
    pub(super) fn client_of(&self, number: usize) -> Client {
        self.replicas[number].client_with_key(Some(&key_of(PLATFORM)))
    }

    /// Those that are started from now on are of this release.
    pub(super) fn change_release(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Puts a new replica in the place of this one: before or after that is told to end; and tells the balancer of the end at
    /// once, or later, or only when it has ended, for which the next replacement may or may not wait.
    pub(super) async fn replace(&mut self, number: usize, random: &mut Random) {
        let is_first = random.below(3) > 0;
        if is_first {
            self.add().await;
        }
        pause(random).await;
        let mut old = self.replicas.remove(number.min(REPLICAS - 1));
        let address = old.address();
        self.leaving.push(address);
        self.tell_when(address, "is told to end");
        old.send("TERM");
        let (is_told_first, lateness) = (random.below(3) > 0, millis(random, LATENESS));
        let ended = spawn_blocking(move || {
            let status = old.wait();
            let log = old.log();
            let is_grave = |line: &&str| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
            let grave: Vec<&str> = log.lines().filter(is_grave).collect();
            assert_eq!(status.code(), Some(0), "{log}");
            println!("{address} has ended {}", grave.join("\n"));
        });
        if is_told_first {
            sleep(lateness).await;
            self.tell_of_the_end(address);
            self.ended.push(ended);
        } else {
            ended.await.expect("it ends");
            sleep(lateness / 10).await;
            self.tell_of_the_end(address);
        }
        if !is_first {
            self.add().await;
        }
        pause(random).await;
    }

    /// Fails unless all that were told to end have, and with success.
    pub(super) async fn wait_for_the_ended(&mut self) {
        for ended in self.ended.drain(..) {
            ended.await.expect("it ends");
        }
    }

    /// Starts one more and waits, as a rollout does, until it is ready and the balancer may be thought to have found it.
    async fn add(&mut self) {
        let new = start_one(&self.program, &self.database, self.drain_delay).await;
        let address = new.address();
        self.tell_when(address, "is ready");
        // Those that came first are replaced first.
        self.replicas.push(new);
        self.tell();
        self.envoy.wait_until_found(address).await;
    }

    fn tell_when(&self, server: SocketAddr, what: &str) {
        println!("{} ms {server} {what}", self.since.elapsed().as_millis());
    }

    fn tell_of_the_end(&mut self, address: SocketAddr) {
        self.leaving.retain(|it| *it != address);
        self.tell();
    }

    fn tell(&self) {
        let staying = self.replicas.iter().map(Process::address);
        let servers: Vec<SocketAddr> = staying.chain(self.leaving.iter().copied()).collect();
        self.envoy.tell(&servers);
    }
}

/// Has this release migrate the database. What it said.
pub(super) fn migrate(program: &Path, database: &TestDatabase) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let arguments = ["migrate", "--database-url", database.url()];
    let output = command_of(program, arguments, &folder).output();
    let output = output.expect("the binary runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout).expect("it is text")
}

async fn start_one(program: &Path, database: &TestDatabase, drain_delay: Duration) -> Process {
    let more = format!("drain_delay = \"{}ms\"", drain_delay.as_millis());
    let process = block_in_place(|| Process::serve_by(program, database, &more));
    wait_for_status(process.metrics_address(), "/readyz", 200).await;
    process
}

fn millis(random: &mut Random, most: usize) -> Duration {
    let millis = random.below(most + 1);
    Duration::from_millis(millis.try_into().expect("a small number"))
}

async fn pause(random: &mut Random) {
    sleep(millis(random, PAUSE)).await;
}
