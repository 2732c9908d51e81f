//! A thousand reloads during ten thousand decisions: each decision is right under exactly the policy that it names, and
//! that one was running during the call.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use countersign::{
    domain::policy::Policy,
    pb::{DenyReason, ListPermissionsRequest, Reach, resource::Owner},
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::support::{
    client::{Client, authorize_request},
    database::{TestDatabase, on_both},
    server::{PLATFORM, Setup, TestServer},
};

const RELOADS: usize = 1_000;
const WORKERS: usize = 20;
const DECISIONS_PER_WORKER: usize = 500;
/// So many decisions a reload.
const DECISIONS_PER_RELOAD: usize = WORKERS * DECISIONS_PER_WORKER / RELOADS;

/// Actions and roles come and go and change their places, and reaches change, so that a mix of any two would show: in the
/// first, the second has another action before those of the first, and another role before its roles.
const POLICIES: [&str; 5] = [
    r#"
[resources.bookings]
verbs = ["list", "read", "delete"]
collection = ["list"]
[roles.member]
own = ["bookings.*"]
[roles.admin]
workspace = ["bookings.*"]
"#,
    r#"
[resources.accounts]
verbs = ["read"]
[resources.bookings]
verbs = ["delete", "read", "list"]
collection = ["list"]
[roles.aaa]
own = ["accounts.read"]
[roles.admin]
own = ["bookings.*"]
workspace = ["accounts.read"]
[roles.member]
workspace = ["bookings.*"]
"#,
    r#"
[resources.bookings]
verbs = ["list", "read", "delete"]
collection = ["list"]
[roles.member]
own = ["bookings.read"]
"#,
    r#"
[resources.bookings]
verbs = ["read"]
[roles.admin]
workspace = ["bookings.read"]
[roles.zzz]
[roles.member]
"#,
    r#"
[resources.availability]
verbs = ["list", "read"]
[resources.bookings]
verbs = ["list", "delete"]
[roles.admin]
own = ["availability.*", "bookings.delete"]
workspace = ["bookings.list"]
"#,
];

/// A member's role, the action, whether it is a listing or else done to another's, and what each policy says.
type Question = (&'static str, &'static str, bool, [Expected; 5]);
type Expected = Result<Reach, DenyReason>;

const OWN: Expected = Ok(Reach::Own);
const ALL: Expected = Ok(Reach::Workspace);
const ANOTHERS: Expected = Err(DenyReason::NotOwner);
const NOT_THE_ROLE: Expected = Err(DenyReason::RoleNotPermitted);
const UNKNOWN: Expected = Err(DenyReason::UnknownAction);

const QUESTIONS: [Question; 6] = [
    (
        "member",
        "bookings.list",
        true,
        [OWN, ALL, NOT_THE_ROLE, UNKNOWN, NOT_THE_ROLE],
    ),
    (
        "member",
        "bookings.read",
        false,
        [ANOTHERS, ALL, ANOTHERS, NOT_THE_ROLE, UNKNOWN],
    ),
    (
        "member",
        "bookings.delete",
        false,
        [ANOTHERS, ALL, NOT_THE_ROLE, UNKNOWN, NOT_THE_ROLE],
    ),
    (
        "admin",
        "bookings.list",
        true,
        [ALL, OWN, NOT_THE_ROLE, UNKNOWN, ANOTHERS],
    ),
    (
        "admin",
        "bookings.read",
        false,
        [ALL, ANOTHERS, NOT_THE_ROLE, ALL, UNKNOWN],
    ),
    (
        "admin",
        "bookings.delete",
        false,
        [ALL, ANOTHERS, NOT_THE_ROLE, UNKNOWN, ANOTHERS],
    ),
];

/// Everything that a role may do under each policy.
const PERMISSIONS: [(&str, [&str; 5]); 2] = [
    (
        "member",
        [
            "bookings.delete OWN, bookings.list OWN, bookings.read OWN",
            "bookings.delete WORKSPACE, bookings.list WORKSPACE, bookings.read WORKSPACE",
            "bookings.read OWN",
            "",
            "",
        ],
    ),
    (
        "admin",
        [
            "bookings.delete WORKSPACE, bookings.list WORKSPACE, bookings.read WORKSPACE",
            "accounts.read WORKSPACE, bookings.delete OWN, bookings.list OWN, bookings.read OWN",
            "",
            "bookings.read WORKSPACE",
            "availability.list OWN, availability.read OWN, bookings.delete OWN, bookings.list WORKSPACE",
        ],
    ),
];

/// Which reloads have begun and which have ended. The first policy is the one that the server was started with.
#[derive(Default)]
struct Progress {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// What the workers share.
struct World {
    client: Client,
    /// A token of each member, who is named as its role.
    secrets: Vec<(&'static str, String)>,
    hashes: Vec<String>,
    progress: Progress,
}

impl World {
    fn secret(&self, role: &str) -> &str {
        let mut secrets = self.secrets.iter();
        let found = secrets.find(|(member, _)| *member == role);
        &found.expect("each role has a token").1
    }

    /// Makes the call, and tells which policies were running at any time of it.
    async fn during<T>(&self, call: impl Future<Output = T>) -> (T, BTreeSet<usize>) {
        let first = self.progress.ended.load(SeqCst);
        let answer = call.await;
        let last = self.progress.begun.load(SeqCst);
        let running = (first..=last).map(|reload| reload % POLICIES.len());
        (answer, running.collect())
    }

    /// Asks a question, and tells under which policy it was answered.
    async fn decide(&self, (role, action, is_list, expected): &Question) -> usize {
        let owner = match is_list {
            true => Owner::Collection(true),
            false => Owner::OwnerId("another".to_owned()),
        };
        let mut request = authorize_request(self.secret(role), action, "acme", Some(owner));
        request.explain = true;
        let mut client = self.client.authorization.clone();
        let (answer, running) = self.during(client.authorize(request)).await;
        let answer = answer.expect("there is a decision").into_inner();
        let hash = answer.explanation.expect("an explanation").policy_hash;
        let policy = self.hashes.iter().position(|known| *known == hash);
        let policy = policy.expect("a policy that was given to the server");
        let decision = answer.decision.expect("a decision");
        let decided = match decision.reason() {
            DenyReason::Unspecified => Ok(decision.reach()),
            reason => Err(reason),
        };
        assert_eq!(decided, expected[policy], "{role} {action} under {policy}");
        assert!(
            running.contains(&policy),
            "{policy} did not run, {running:?} did"
        );
        policy
    }

    /// Asks what a role may do: all of it must be what one policy says.
    async fn list_permissions(&self, (role, expected): &(&str, [&str; 5])) {
        let request = ListPermissionsRequest {
            token: self.secret(role).to_owned(),
            ..Default::default()
        };
        let mut client = self.client.authorization.clone();
        let (answer, running) = self.during(client.list_permissions(request)).await;
        let answer = answer.expect("there is an answer").into_inner();
        let permissions = answer.permissions.iter().map(|permission| {
            let reach = permission.reach().as_str_name();
            format!("{} {}", permission.action, &reach["REACH_".len()..])
        });
        let listed = permissions.collect::<Vec<_>>().join(", ");
        let said = running.iter().map(|policy| expected[*policy]);
        let said: Vec<&str> = said.collect();
        assert!(
            said.contains(&listed.as_str()),
            "{listed}: none of {said:?}"
        );
    }
}

/// The setup with the policy of this reload.
fn setup(policies: &[Policy], reload: usize) -> Setup {
    Setup {
        policy: policies[reload % policies.len()].clone(),
        ..Setup::default()
    }
}

async fn world(server: &TestServer, policies: &[Policy]) -> World {
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    let mut secrets = Vec::new();
    for role in ["member", "admin"] {
        client.put_member("acme", role, role).await;
        secrets.push((role, client.issue("acme", role, "token", None).await.secret));
    }
    World {
        client,
        secrets,
        hashes: policies
            .iter()
            .map(|policy| policy.hash().to_owned())
            .collect(),
        progress: Progress::default(),
    }
}

async fn every_decision_is_right_under_one_running_policy_while_policies_change(
    database: TestDatabase,
) {
    let policies: Vec<Policy> = POLICIES
        .iter()
        .map(|text| Policy::parse(text).expect("the policy is good"))
        .collect();
    let server = setup(&policies, 0).start(&database).await;
    let world = Arc::new(world(&server, &policies).await);
    let (due, mut reloads_due) = mpsc::unbounded_channel();
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (world, due) = (Arc::clone(&world), due.clone());
        workers.spawn(async move {
            let mut under = [0_usize; POLICIES.len()];
            for decision in 0..DECISIONS_PER_WORKER {
                let turn = worker + decision;
                under[world.decide(&QUESTIONS[turn % QUESTIONS.len()]).await] += 1;
                if decision % DECISIONS_PER_RELOAD == 0 {
                    due.send(()).expect("reloads go on");
                    let role = turn / DECISIONS_PER_RELOAD % PERMISSIONS.len();
                    world.list_permissions(&PERMISSIONS[role]).await;
                }
            }
            under
        });
    }
    drop(due);
    let mut reload = 0;
    while reloads_due.recv().await.is_some() {
        reload += 1;
        world.progress.begun.store(reload, SeqCst);
        assert!(server.reload(setup(&policies, reload)).await);
        world.progress.ended.store(reload, SeqCst);
    }
    assert_eq!(reload, RELOADS);
    let mut under = [0; POLICIES.len()];
    for counts in workers.join_all().await {
        for (sum, count) in under.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    assert_eq!(under.iter().sum::<usize>(), WORKERS * DECISIONS_PER_WORKER);
    // Else nothing was shown: each was in force for a fair share.
    assert!(under.iter().all(|count| *count > 500), "{under:?}");
}

on_both![every_decision_is_right_under_one_running_policy_while_policies_change];
