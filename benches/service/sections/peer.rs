//! Cerbos beside us: what a decision costs that was asked for in the same minute, under a policy that says the same.
//!
//! `CERBOS` names its binary, such as that of `npm install @cerbos/cerbos-linux-x64@0.55.0`.

use std::{cell::RefCell, env, fs, net::TcpListener, process::Command};

use prost::Message;

use super::warm::warm_up;
use crate::{
    Bench,
    database::Database,
    load::{Load, Method},
    measure::{CONNECTIONS, Side, alternate, latencies},
    process::{KEY, Process},
    report::Goal,
    requests::{self, AUTHORIZE},
};

const SECTION: &str = "peer";
const VARIABLE: &str = "CERBOS";
const TOKENS: u64 = 1_000;

/// Bookings, as our default policy has them.
const POLICY: &str = r#"apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: bookings
  version: default
  rules:
    - actions: ["list", "read", "update", "delete"]
      effect: EFFECT_ALLOW
      roles: [member]
      condition:
        match:
          expr: request.resource.attr.owner == request.principal.id
    - actions: ["list", "read", "update", "delete"]
      effect: EFFECT_ALLOW
      roles: [admin]
    - actions: ["create"]
      effect: EFFECT_ALLOW
      roles: [member, admin]
      condition:
        match:
          expr: request.resource.attr.owner == request.principal.id
"#;

/// `cerbos.request.v1.CheckResourcesRequest`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
struct CheckResources {
    #[prost(string, tag = "1")]
    request_id: String,
    #[prost(message, optional, tag = "3")]
    principal: Option<Principal>,
    #[prost(message, repeated, tag = "4")]
    resources: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Principal {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, repeated, tag = "3")]
    roles: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, repeated, tag = "1")]
    actions: Vec<String>,
    #[prost(message, optional, tag = "2")]
    resource: Option<Resource>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(map = "string, message", tag = "4")]
    attr: std::collections::HashMap<String, prost_types::Value>,
}

/// Where its answer has results, in each the actions, and of each the effect: 1 is `EFFECT_ALLOW`.
#[derive(Clone, PartialEq, Message)]
struct Checked {
    #[prost(message, repeated, tag = "2")]
    results: Vec<Checks>,
}

#[derive(Clone, PartialEq, Message)]
struct Checks {
    #[prost(map = "string, int32", tag = "2")]
    actions: std::collections::HashMap<String, i32>,
}

const CHECK: Method<'static> = Method {
    path: "/cerbos.svc.v1.CerbosService/CheckResources",
    is_good: &|answer| {
        let message = answer.get(5..).unwrap_or_default();
        Checked::decode(message).is_ok_and(|checked| {
            let effects: Vec<i32> = checked
                .results
                .iter()
                .flat_map(|result| result.actions.values().copied())
                .collect();
            effects == [1]
        })
    },
};

pub(crate) fn run(bench: &mut Bench) {
    let Some(program) = env::var_os(VARIABLE) else {
        let why = format!("{VARIABLE} names no Cerbos binary");
        return bench.report.skipped(SECTION, &why);
    };
    let cerbos = start(Command::new(program));
    let database = Database::sqlite(bench, TOKENS, 0);
    let process = Process::serve(&database.url);
    let mut own = Load::connect(process.address, Some(KEY), CONNECTIONS);
    warm_up(&mut own, (0, TOKENS));
    let other = Load::connect(cerbos.address, None, CONNECTIONS);
    let (own, other) = (RefCell::new(own), RefCell::new(other));
    let (check, body) = (check(), requests::authorize());
    let sides = [
        Side {
            process: &cerbos,
            load: &other,
            method: CHECK,
            source: &|_| requests::repeated(&check),
        },
        Side {
            process: &process,
            load: &own,
            method: AUTHORIZE,
            source: &|i| requests::by_chance(&body, TOKENS, i),
        },
    ];
    let [mut theirs, mut ours] = alternate(sides, bench.rounds(), bench.turn());
    let report = &mut bench.report;
    for (what, cost) in [
        ("Cerbos CheckResources", &mut theirs),
        ("Authorize, warm", &mut ours),
    ] {
        let note = format!("{:.0}/s, {}", cost.all.rate(), latencies(&mut cost.all));
        let name = format!("{what}, server CPU");
        report.figure(SECTION, &name, (cost.median(), "µs"), &note);
        report.cost(what, cost.median());
    }
    let ratio = (theirs.ratio_to(&ours), "");
    let what = "CPU, Cerbos CheckResources ÷ Authorize";
    report.goal(SECTION, what, Goal::AtLeast(10.0), ratio, "");
}

fn start(mut command: Command) -> Process {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policies = folder.path().join("policies");
    fs::create_dir(&policies).expect("a folder");
    fs::write(policies.join("bookings.yaml"), POLICY).expect("the policy is written");
    let [grpc, http] = [(); 2].map(|()| {
        let bound = TcpListener::bind(("127.0.0.1", 0));
        let address = bound.and_then(|listener| listener.local_addr());
        address.expect("a free port")
    });
    let configuration = format!(
        "server:\n  grpcListenAddr: \"{grpc}\"\n  httpListenAddr: \"{http}\"\n\
         storage:\n  driver: disk\n  disk:\n    directory: \"{}\"\n    watchForChanges: false\n\
         telemetry:\n  disabled: true\naudit:\n  enabled: false\n",
        policies.display()
    );
    let file = folder.path().join("cerbos.yaml");
    fs::write(&file, configuration).expect("the file is written");
    command
        .args(["server", "--log-level=info", "--config"])
        .arg(&file)
        .env("CERBOS_NO_TELEMETRY", "1");
    Process::spawn(command, folder, move |line| {
        line.contains("Starting gRPC server").then_some(grpc)
    })
}

/// The member's own booking, to be read.
fn check() -> Vec<u8> {
    let (_, member) = crate::tokens::owner(0);
    let owner = prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(member.clone())),
    };
    requests::framed(&CheckResources {
        request_id: "1".to_owned(),
        principal: Some(Principal {
            id: member,
            roles: vec!["member".to_owned()],
        }),
        resources: vec![Entry {
            actions: vec!["read".to_owned()],
            resource: Some(Resource {
                kind: "bookings".to_owned(),
                id: "b-1".to_owned(),
                attr: [("owner".to_owned(), owner)].into(),
            }),
        }],
    })
}
