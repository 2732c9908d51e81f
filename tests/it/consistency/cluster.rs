//! Three replicas in processes of their own, each before one PostgreSQL through a proxy of its own, and the calls that are
//! made to them, which are all recorded.

use std::{net::SocketAddr, sync::Mutex, time::Duration};

use countersign::{
    domain::database_url::DatabaseUrl,
    pb::{
        BatchAuthorizeRequest, BatchMode, Check, Context, Decision as PbDecision, Outcome,
        Resource, resource::Owner,
    },
    store,
};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio::time::{sleep, timeout};
use tonic::{Code, Response, Status};

use super::{
    changes::{Target, send},
    idlers,
    record::{Answer, Ask, Decision, Intent, Journal, Mutation},
};
use crate::support::{
    client::{Client, authorize_request},
    database::TestDatabase,
    postgres::Server,
    process::Process,
    proxy::{Mode, Proxy},
    random::Random,
    server::{PLATFORM, key_of},
};

pub(super) const REPLICAS: usize = 3;
/// How long a call for a decision is waited for, and a mutation.
const DECISION_PATIENCE: Duration = Duration::from_secs(1);
const MUTATION_PATIENCE: Duration = Duration::from_secs(4);
/// How often a mutation is tried that many others wait for, and how long after the last time.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(50);
/// Where all of them come from.
const CLIENT_IP: &str = "192.0.2.1";
/// Tokens are asked about from among so many of the newest.
const RECENT: usize = 60;

/// A token that was issued.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) target: Target,
    pub(super) secret: String,
}

struct Replica {
    database: TestDatabase,
    proxy: Proxy,
    process: Mutex<Process>,
    client: Mutex<Client>,
}

/// All of it.
pub(super) struct Cluster {
    replicas: Vec<Replica>,
    pub(super) database: TestDatabase,
    /// Past the proxies.
    pub(super) admin: DatabaseConnection,
    pub(super) journal: Journal,
    tokens: Mutex<Vec<Known>>,
    revisions: Mutex<Vec<String>>,
}

impl Replica {
    async fn start(database: &TestDatabase, upstream: SocketAddr) -> Self {
        let proxy = Proxy::start(upstream, Mode::Pass).await;
        let database = database.through(proxy.address());
        let process = tokio::task::block_in_place(|| Process::serve(&database, ""));
        let client = process.client_with_key(Some(&key_of(PLATFORM)));
        Self {
            database,
            proxy,
            process: Mutex::new(process),
            client: Mutex::new(client),
        }
    }
}

impl Cluster {
    pub(super) async fn start(server: &Server) -> Self {
        let database = TestDatabase::create_on(server).await;
        let url = DatabaseUrl::parse(database.url()).expect("an address");
        store::migrate(&url)
            .await
            .expect("the database is migrated");
        let upstream = SocketAddr::from(([127, 0, 0, 1], server.port));
        let mut replicas = Vec::new();
        for _ in 0..REPLICAS {
            replicas.push(Replica::start(&database, upstream).await);
        }
        let admin = database.connect().await;
        Self {
            replicas,
            database,
            admin,
            journal: Journal::new(),
            tokens: Mutex::default(),
            revisions: Mutex::default(),
        }
    }

    /// The platform, at this replica.
    pub(super) fn client(&self, replica: usize) -> Client {
        self.replicas[replica]
            .client
            .lock()
            .expect("a client")
            .clone()
    }

    /// Before this replica.
    pub(super) fn proxy(&self, replica: usize) -> &Proxy {
        &self.replicas[replica].proxy
    }

    /// Sends this replica a signal.
    pub(super) fn send(&self, replica: usize, signal: &str) {
        let process = self.replicas[replica].process.lock().expect("a process");
        process.send(signal);
    }

    /// Kills this replica and starts another in its place.
    pub(super) fn restart(&self, replica: usize) {
        let replica = &self.replicas[replica];
        let mut process = replica.process.lock().expect("a process");
        tokio::task::block_in_place(|| {
            process.signal("KILL");
            *process = Process::serve(&replica.database, "");
        });
        let client = process.client_with_key(Some(&key_of(PLATFORM)));
        *replica.client.lock().expect("a client") = client;
    }

    /// Runs SQL past the replicas. False: it failed.
    pub(super) async fn sql(&self, sql: &str) -> bool {
        self.admin.execute_unprepared(sql).await.is_ok()
    }

    /// One of the newest tokens.
    pub(super) fn pick_token(&self, random: &mut Random) -> Option<Known> {
        let tokens = self.tokens.lock().expect("the tokens");
        let recent = &tokens[tokens.len().saturating_sub(RECENT)..];
        (!recent.is_empty()).then(|| random.pick(recent).clone())
    }

    /// Every token that was issued.
    pub(super) fn tokens(&self) -> Vec<Known> {
        self.tokens.lock().expect("the tokens").clone()
    }

    /// The newest revision that an answer carried.
    pub(super) fn newest_revision(&self) -> Option<String> {
        self.revisions
            .lock()
            .expect("the revisions")
            .last()
            .cloned()
    }

    /// Any revision that an answer carried, be it the oldest.
    pub(super) fn any_revision(&self, random: &mut Random) -> Option<String> {
        let revisions = self.revisions.lock().expect("the revisions");
        (!revisions.is_empty()).then(|| random.pick(&revisions).clone())
    }

    /// Whether the next revocation is to wait for the replicas: every third.
    fn is_to_wait(&self) -> bool {
        let made = self.revisions.lock().expect("the revisions").len();
        super::WAIT_FOR_REPLICAS && made.is_multiple_of(3)
    }

    /// Makes a mutation. The new token, where it made one; None: it was not acknowledged. `give_up`: then the client leaves.
    pub(super) async fn change(
        &self,
        replica: usize,
        target: &Target,
        intent: Intent,
        give_up: Option<Duration>,
    ) -> Option<Known> {
        let waits = matches!(intent, Intent::Revoke | Intent::RevokeAll) && self.is_to_wait();
        self.change_and_wait(replica, target, intent, give_up, waits)
            .await
    }

    /// The same. `waits`: for the replicas.
    pub(super) async fn change_and_wait(
        &self,
        replica: usize,
        target: &Target,
        intent: Intent,
        give_up: Option<Duration>,
        waits: bool,
    ) -> Option<Known> {
        let client = self.client(replica);
        let start = self.journal.now();
        let call = send(&client, target, intent, waits);
        let answer = timeout(give_up.unwrap_or(MUTATION_PATIENCE), call).await;
        let end = self.journal.now();
        let answer = answer.unwrap_or_else(|_| Err(Status::cancelled("the client left")));
        let answer = answer.map_err(|status| status.code());
        let known = answer.as_ref().ok().map(|(_, known)| known.clone());
        let subject = match (&known, intent) {
            (Some(known), Intent::Issue) => known.target.subject(),
            _ => target.subject(),
        };
        let answer = answer.map(|(revision, _)| revision);
        if let Ok(revision) = &answer {
            let mut revisions = self.revisions.lock().expect("the revisions");
            revisions.push(revision.clone());
        }
        self.journal.write(|record| {
            record.mutations.push(Mutation {
                replica,
                subject,
                intent,
                waits,
                start,
                end,
                answer,
            });
        });
        let is_for_all = target.workspace != idlers::WORKSPACE;
        if matches!(intent, Intent::Issue | Intent::Rotate { .. }) && is_for_all {
            let mut tokens = self.tokens.lock().expect("the tokens");
            tokens.extend(known.clone());
        }
        known
    }

    /// Loosens the policy of a workspace, unless that fails again and again.
    pub(super) async fn loosen(&self, workspace: &Target, intent: Intent, random: &mut Random) {
        for _ in 0..TRIES {
            let any = random.below(REPLICAS);
            if self.change(any, workspace, intent, None).await.is_some() {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks for decisions: for several, in one batch.
    pub(super) async fn ask(
        &self,
        replica: usize,
        token: &Known,
        asks: &[Ask],
        min_revision: Option<String>,
        give_up: Option<Duration>,
    ) -> Answer {
        let client = self.client(replica);
        let start = self.journal.now();
        let call = decide(&client, token, asks, min_revision.clone());
        let answer = timeout(give_up.unwrap_or(DECISION_PATIENCE), call).await;
        let end = self.journal.now();
        let answer = match (answer, give_up) {
            (Ok(Ok((revision, allows))), _) => Answer::Decided { revision, allows },
            (Ok(Err(status)), _) => Answer::Failed(status.code()),
            (Err(_), Some(_)) => Answer::GivenUp,
            (Err(_), None) => Answer::Failed(Code::DeadlineExceeded),
        };
        self.journal.write(|record| {
            record.decisions.push(Decision {
                replica,
                subject: token.target.subject(),
                asks: asks.to_vec(),
                min_revision,
                start,
                end,
                answer: answer.clone(),
            });
        });
        answer
    }
}

/// The revision in the answer, and for each ask whether it is allowed.
async fn decide(
    client: &Client,
    token: &Known,
    asks: &[Ask],
    min_revision: Option<String>,
) -> Result<(String, Vec<bool>), Status> {
    let context = Some(Context {
        min_revision: min_revision.unwrap_or_default(),
        client_ip: CLIENT_IP.to_owned(),
        ..Default::default()
    });
    let mut authorization = client.authorization.clone();
    if let [ask] = asks {
        let (action, owner) = wording(*ask);
        let mut request = authorize_request(&token.secret, action, "", Some(owner));
        request.resource = Some(resource(*ask, token));
        request.context = context;
        let answer = authorization.authorize(request).await?.into_inner();
        let allows = answer.decision.iter().map(is_allow).collect();
        return Ok((answer.revision, allows));
    }
    let checks = asks.iter().map(|ask| Check {
        action: wording(*ask).0.to_owned(),
        resource: Some(resource(*ask, token)),
    });
    let request = BatchAuthorizeRequest {
        token: token.secret.clone(),
        checks: checks.collect(),
        context,
        mode: BatchMode::All.into(),
    };
    let answer = authorization.batch_authorize(request).await;
    let answer = answer.map(Response::into_inner)?;
    let allows = answer.decisions.iter().map(is_allow).collect();
    Ok((answer.revision, allows))
}

fn is_allow(decision: &PbDecision) -> bool {
    decision.outcome() == Outcome::Allow
}

fn wording(ask: Ask) -> (&'static str, Owner) {
    match ask {
        Ask::Own => ("bookings.read", Owner::Bearer(true)),
        Ask::Others => ("bookings.read", Owner::OwnerId("somebody-else".to_owned())),
        Ask::Users => ("users.list", Owner::Collection(true)),
    }
}

fn resource(ask: Ask, token: &Known) -> Resource {
    Resource {
        workspace_id: token.target.workspace.clone(),
        owner: Some(wording(ask).1),
        ..Default::default()
    }
}
