//! Bad requests to TokenService: fields that are wrong in themselves.

use countersign::pb::{
    Actor, GetTokenRequest, IssueTokenRequest, ListTokensRequest, RevokeTokenRequest,
    get_token_request::Target as GetTarget, issue_token_request::Expiry,
    revoke_token_request::Target as RevokeTarget,
};
use prost_types::{Duration, Timestamp};

use super::{
    Case, MALFORMED, OUT_OF_RANGE, REQUIRED, TOO_LONG, bad_ids, bad_names, briefly, invalid,
    world::{HUNDRED_YEARS, World, instant},
};

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = ids(world);
    cases.extend(names(world));
    cases.extend(instants(world));
    cases.extend(lifetimes(world));
    cases.extend(reasons(world));
    cases.extend(combinations(world));
    cases.extend(limits(world));
    cases.extend(filters());
    cases
}

fn ids(world: &World) -> Vec<Case> {
    let mut cases: Vec<Case> = bad_ids()
        .into_iter()
        .map(|(what, id, reason)| {
            let request = world.issue(|request| request.member_id = id);
            invalid(format!("member_id {what}"), request, reason, &["member_id"])
        })
        .collect();
    for (what, id, reason) in briefly(bad_ids()) {
        let mut add = |field, call: super::Call| {
            cases.push(invalid(format!("{field} {what}"), call, reason, &[field]));
        };
        let issue = |spoil: fn(&mut IssueTokenRequest, String)| {
            world.issue(|request| spoil(request, id.clone()))
        };
        let workspace = issue(|request, id| request.workspace_id = id);
        add("workspace_id", workspace.into());
        let actor = |workspace_id: &str, member_id: &str| {
            Some(Actor {
                workspace_id: workspace_id.to_owned(),
                member_id: member_id.to_owned(),
            })
        };
        let of_workspace = world.issue(|request| request.actor = actor(&id, "max"));
        add("actor.workspace_id", of_workspace.into());
        let of_member = world.issue(|request| request.actor = actor("acme", &id));
        add("actor.member_id", of_member.into());
        let get = GetTokenRequest {
            target: Some(GetTarget::TokenId(id.clone())),
            actor: None,
        };
        add("token_id", get.into());
        add("token_id", revoke(RevokeTarget::TokenId(id.clone())).into());
        let list = ListTokensRequest {
            workspace_id: id.clone(),
            ..Default::default()
        };
        add("workspace_id", list.into());
        // Empty means everyone's.
        if !id.is_empty() {
            let list = ListTokensRequest {
                workspace_id: "acme".to_owned(),
                member_id: id.clone(),
                ..Default::default()
            };
            add("member_id", list.into());
        }
    }
    cases
}

fn names(world: &World) -> Vec<Case> {
    let case = |(what, name, reason): (String, String, &'static str)| {
        let request = world.issue(|request| request.name = name);
        invalid(format!("name {what}"), request, reason, &["name"])
    };
    bad_names().into_iter().map(case).collect()
}

fn instants(world: &World) -> Vec<Case> {
    let now = world.server.clock().now().0;
    let at = |name, at, reason| {
        let request = world.issue_until(Expiry::ExpiresAt(at));
        invalid(name, request, reason, &["expires_at"])
    };
    let raw = |seconds, nanos| Timestamp { seconds, nanos };
    let now_seconds = now / 1000;
    vec![
        at("now", instant(now), OUT_OF_RANGE),
        at(
            "now and less than a millisecond",
            raw(now_seconds, 999_999),
            OUT_OF_RANGE,
        ),
        at("a millisecond ago", instant(now - 1), OUT_OF_RANGE),
        at("the epoch", raw(0, 0), OUT_OF_RANGE),
        at("the year 1", raw(-62_135_596_800, 0), OUT_OF_RANGE),
        at(
            "100 years and a millisecond",
            instant(now + HUNDRED_YEARS * 1000 + 1),
            OUT_OF_RANGE,
        ),
        at(
            "the end of 9999",
            raw(253_402_300_799, 999_999_999),
            OUT_OF_RANGE,
        ),
        at("the year 10000", raw(253_402_300_800, 0), MALFORMED),
        at("before the year 1", raw(-62_135_596_801, 0), MALFORMED),
        at("the largest second", raw(i64::MAX, 0), MALFORMED),
        at("the smallest second", raw(i64::MIN, 0), MALFORMED),
        at(
            "a second of nanos",
            raw(now_seconds + 60, 1_000_000_000),
            MALFORMED,
        ),
        at("negative nanos", raw(now_seconds + 60, -1), MALFORMED),
    ]
}

fn lifetimes(world: &World) -> Vec<Case> {
    let ttl = |name, seconds, nanos, reason| {
        let request = world.issue_until(Expiry::Ttl(Duration { seconds, nanos }));
        invalid(name, request, reason, &["ttl"])
    };
    vec![
        ttl("a ttl of nothing", 0, 0, OUT_OF_RANGE),
        ttl("a ttl below a millisecond", 0, 999_999, OUT_OF_RANGE),
        ttl(
            "a ttl of 100 years and a millisecond",
            HUNDRED_YEARS,
            1_000_000,
            OUT_OF_RANGE,
        ),
        ttl("the longest ttl there is", 315_576_000_000, 0, OUT_OF_RANGE),
        ttl("a ttl of minus a second", -1, 0, OUT_OF_RANGE),
        ttl("a ttl of minus a nanosecond", 0, -1, OUT_OF_RANGE),
        ttl(
            "a ttl beyond all durations",
            i64::MAX,
            999_999_999,
            MALFORMED,
        ),
        ttl("a ttl below all durations", i64::MIN, 0, MALFORMED),
        ttl("a ttl with a second of nanos", 1, 1_000_000_000, MALFORMED),
        ttl("a ttl of two signs", 1, -1, MALFORMED),
        invalid(
            "never is false",
            world.issue_until(Expiry::Never(false)),
            MALFORMED,
            &["never"],
        ),
    ]
}

fn reasons(world: &World) -> Vec<Case> {
    let mut cases = vec![
        reason(world, "of 501 letters", "r".repeat(501), TOO_LONG),
        reason(world, "of 501 emoji", "😀".repeat(501), TOO_LONG),
    ];
    for control in ['\0', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9f}'] {
        let what = format!("with U+{:04X}", u32::from(control));
        cases.push(reason(world, &what, format!("a{control}b"), MALFORMED));
    }
    cases
}

fn reason(world: &World, what: &str, text: String, reason: &'static str) -> Case {
    let request = RevokeTokenRequest {
        reason: text,
        ..revoke(RevokeTarget::TokenId(world.token_id.clone()))
    };
    invalid(format!("reason {what}"), request, reason, &["reason"])
}

fn combinations(world: &World) -> Vec<Case> {
    let states = |states: &[i32]| ListTokensRequest {
        workspace_id: "acme".to_owned(),
        states: states.to_vec(),
        ..Default::default()
    };
    let spoilt = world.issue(|request| {
        request.workspace_id = String::new();
        request.member_id = "m m".to_owned();
        request.name = "n".repeat(101);
        request.expiry = Some(Expiry::Never(false));
        request.actor = Some(Actor::default());
    });
    let past = world.issue(|request| {
        request.name = String::new();
        request.expiry = Some(Expiry::ExpiresAt(instant(0)));
    });
    let by_secret = RevokeTokenRequest {
        reason: "\0".to_owned(),
        actor: Some(Actor::default()),
        ..revoke(RevokeTarget::Secret(world.secret.clone()))
    };
    let list = ListTokensRequest {
        member_id: "m m".to_owned(),
        states: vec![99],
        actor: Some(Actor::default()),
        page_size: -1,
        ..Default::default()
    };
    let of_actor = ["actor.workspace_id", "actor.member_id"];
    vec![
        invalid(
            "no target",
            RevokeTokenRequest::default(),
            REQUIRED,
            &["target"],
        ),
        invalid(
            "no target",
            GetTokenRequest::default(),
            REQUIRED,
            &["target"],
        ),
        invalid("state UNSPECIFIED", states(&[0]), MALFORMED, &["states"]),
        invalid("state 99", states(&[1, 99]), MALFORMED, &["states"]),
        invalid("state -1", states(&[-1]), MALFORMED, &["states"]),
        invalid(
            "nothing at all",
            IssueTokenRequest::default(),
            REQUIRED,
            &["workspace_id", "member_id", "name"],
        ),
        invalid(
            "everything wrong",
            spoilt,
            REQUIRED,
            &[
                "workspace_id",
                "member_id",
                "name",
                "never",
                of_actor[0],
                of_actor[1],
            ],
        ),
        invalid(
            "no name and an expiry past",
            past,
            REQUIRED,
            &["name", "expires_at"],
        ),
        invalid(
            "reason and actor wrong",
            by_secret,
            MALFORMED,
            &["reason", of_actor[0], of_actor[1]],
        ),
        invalid(
            "everything wrong",
            list,
            REQUIRED,
            &[
                "workspace_id",
                "member_id",
                "states",
                of_actor[0],
                of_actor[1],
                "page_size",
            ],
        ),
    ]
}

/// What a scope and a network may look like is tested where they are read.
fn limits(world: &World) -> Vec<Case> {
    let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(|&t| t.to_owned()).collect() };
    let scopes = |scopes: &[&str]| world.issue(|request| request.scopes = texts(scopes));
    let cidrs = |cidrs: &[&str]| world.issue(|request| request.allowed_cidrs = texts(cidrs));
    let (read, network) = ("bookings.read", "192.0.2.0/24");
    let long = format!("bookings.{}", "r".repeat(120));
    let mut cases = Vec::new();
    for (scope, reason) in [
        ("", REQUIRED),
        (&long, TOO_LONG),
        ("*", MALFORMED),
        ("*.*", MALFORMED),
        ("bookings", MALFORMED),
        ("Bookings.read", MALFORMED),
        (world.secret.as_str(), MALFORMED),
        ("bookings.approve", "SCOPE_UNKNOWN"),
        ("invoices.*", "SCOPE_UNKNOWN"),
        ("*.approve", "SCOPE_UNKNOWN"),
        ("users.delete", "SCOPE_ABOVE_TOKEN_CEILING"),
        ("users.invite", "SCOPE_ABOVE_TOKEN_CEILING"),
        ("members.*", "SCOPE_ABOVE_TOKEN_CEILING"),
        ("tokens.issue", "SCOPE_ABOVE_TOKEN_CEILING"),
    ] {
        let name = format!("scope {scope:?}");
        cases.push(invalid(
            name,
            scopes(&[read, scope]),
            reason,
            &["scopes[1]"],
        ));
    }
    for (cidr, reason) in [
        ("", REQUIRED),
        ("192.0.2.0/33", OUT_OF_RANGE),
        ("192.0.2.1/24", MALFORMED),
        ("::ffff:192.0.2.0/24", MALFORMED),
        ("2001:db8::/32/", MALFORMED),
        ("fe80::1%eth0", MALFORMED),
        ("localhost", MALFORMED),
    ] {
        let name = format!("network {cidr:?}");
        let request = cidrs(&[network, cidr]);
        cases.push(invalid(name, request, reason, &["allowed_cidrs[1]"]));
    }
    let of = |field, call: IssueTokenRequest, fields| invalid(field, call, TOO_LONG, fields);
    cases.push(of("51 scopes", scopes(&[read; 51]), &["scopes"]));
    cases.push(of("21 networks", cidrs(&[network; 21]), &["allowed_cidrs"]));
    let all = world.issue(|request| {
        request.name.clear();
        request.scopes = texts(&["x", read, "bookings.approve"]);
        request.allowed_cidrs = texts(&["x"]);
    });
    let fields = &["name", "scopes[0]", "scopes[2]", "allowed_cidrs[0]"];
    cases.push(invalid("all of them", all, REQUIRED, fields));
    cases
}

fn filters() -> Vec<Case> {
    let list = |spoil: fn(&mut ListTokensRequest)| {
        let mut request = ListTokensRequest {
            workspace_id: "acme".to_owned(),
            ..Default::default()
        };
        spoil(&mut request);
        request
    };
    let year_0 = Timestamp {
        seconds: -62_135_596_801,
        nanos: 0,
    };
    let mut cases = Vec::new();
    let before = list(|list| list.expires_before = Some(instant(1)));
    let since = list(|list| list.unused_since = Some(instant(1)));
    for (field, request) in [("expires_before", before), ("unused_since", since)] {
        for bad in [
            year_0,
            Timestamp {
                seconds: 0,
                nanos: -1,
            },
        ] {
            let mut request = request.clone();
            let instant = match field {
                "expires_before" => &mut request.expires_before,
                _ => &mut request.unused_since,
            };
            *instant = Some(bad);
            let what = format!("{field} {bad:?}");
            cases.push(invalid(what, request, MALFORMED, &[field]));
        }
    }
    cases
}

fn revoke(target: RevokeTarget) -> RevokeTokenRequest {
    RevokeTokenRequest {
        target: Some(target),
        ..Default::default()
    }
}
