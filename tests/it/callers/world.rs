//! A caller for each grant, with none and with all, for members and for the platform; and actors of every kind.

use std::time::Duration;

use countersign::{
    domain::caller::{ActsFor, Callers, Grant},
    pb::{Actor, MemberState},
};
use tonic::transport::Channel;

use crate::support::{
    call::grant,
    client::Client,
    database::TestDatabase,
    server::{PLATFORM, Setup, TestServer, caller},
};

/// The grants a caller has, by name: one, none or all.
pub(super) const GRANTS: [&str; 9] = [
    "authorize",
    "tokens.issue",
    "tokens.revoke",
    "tokens.read",
    "directory.read",
    "directory.write",
    "events.read",
    "none",
    "all",
];

/// For whom a caller acts, by name.
pub(super) const ACTS_FOR: [&str; 2] = ["members", "platform"];

/// The name of the caller that has these grants and acts for these.
pub(super) fn caller_name(grants: &str, acts_for: &str) -> String {
    format!("{grants}-{acts_for}")
}

fn callers() -> Callers {
    let mut callers = vec![caller(PLATFORM, &Grant::ALL, ActsFor::Platform)];
    for grants in GRANTS {
        let granted = match grants {
            "none" => Vec::new(),
            "all" => Grant::ALL.to_vec(),
            one => vec![grant(one)],
        };
        for (acts_for, name) in [ActsFor::Members, ActsFor::Platform]
            .into_iter()
            .zip(ACTS_FOR)
        {
            callers.push(caller(&caller_name(grants, name), &granted, acts_for));
        }
    }
    Callers::keyed(callers)
}

/// The kinds of actor.
pub(super) const ACTORS: [&str; 8] = [
    "none",
    "self",
    "overseer",
    "plain",
    "suspended",
    "removed",
    "unknown",
    "foreign",
];

/// The actor of a kind, in a request about the tokens of `max` in `acme`. Those that are refused would all oversee, if
/// they were what they are not.
pub(super) fn actor(kind: &str) -> Option<Actor> {
    let (workspace_id, member_id) = match kind {
        "none" => return None,
        "self" => ("acme", "max"),
        "overseer" => ("acme", "ada"),
        "plain" => ("acme", "pia"),
        "suspended" => ("acme", "sue"),
        "removed" => ("acme", "rem"),
        "unknown" => ("acme", "nobody"),
        "foreign" => ("other", "max"),
        _ => panic!("{kind} is no kind of actor"),
    };
    Some(Actor {
        workspace_id: workspace_id.to_owned(),
        member_id: member_id.to_owned(),
    })
}

/// Workspaces `acme` and `other`, a token of `max` in `acme`, and everyone that [`actor`] names.
pub(super) struct World {
    pub(super) server: TestServer,
    pub(super) channel: Channel,
    pub(super) platform: Client,
    /// A live token of `max`.
    pub(super) token_id: String,
    pub(super) secret: String,
}

impl World {
    pub(super) async fn create(database: &TestDatabase) -> Self {
        let setup = Setup {
            callers: callers(),
            ..Setup::default()
        };
        let server = setup.start(database).await;
        let platform = server.client(PLATFORM);
        for workspace_id in ["acme", "other"] {
            platform.create_workspace(workspace_id).await;
        }
        for (workspace_id, member_id, role) in [
            ("acme", "max", "member"),
            ("acme", "pia", "member"),
            ("acme", "ada", "admin"),
            ("acme", "sue", "admin"),
            ("acme", "rem", "admin"),
            ("other", "max", "admin"),
        ] {
            platform.put_member(workspace_id, member_id, role).await;
        }
        let issued = platform.issue("acme", "max", "standing", None).await;
        platform.issue("acme", "pia", "standing", None).await;
        let suspended = MemberState::Suspended;
        platform.set_member_state("acme", "sue", suspended).await;
        platform.remove_member("acme", "rem").await;
        Self {
            channel: server.channel(),
            platform,
            token_id: issued.token.expect("a token").token_id,
            secret: issued.secret,
            server,
        }
    }

    /// Lets every limit recover.
    pub(super) fn wait(&self) {
        self.server.clock().advance(Duration::from_secs(1));
    }
}
