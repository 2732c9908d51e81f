//! Bad requests to rotate a token, under an id that is none, and bad reports of leaked secrets.

use countersign::pb::{
    Actor, RevokeLeakedTokensRequest, RevokeTokenRequest, RotateTokenRequest,
    rotate_token_request::Expiry,
};
use prost_types::Duration;
use tonic::Code;

use super::{
    Case, MALFORMED, OUT_OF_RANGE, REQUIRED, TOO_LONG, bad_ids, briefly, invalid, refused,
    world::{HUNDRED_YEARS, World, instant},
};
use crate::support::{
    call::unknown_secret,
    client::{revoke_request, rotate_request},
};

const UNKNOWN_TOKEN: &str = "tok_0000000000000000000000";

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = rotations(world);
    cases.extend(overlaps(world));
    cases.extend(request_ids(world));
    cases.extend(reports());
    cases
}

fn rotate(world: &World, spoil: impl FnOnce(&mut RotateTokenRequest)) -> RotateTokenRequest {
    let mut request = rotate_request(&world.token_id);
    spoil(&mut request);
    request
}

fn rotations(world: &World) -> Vec<Case> {
    let now = world.server.clock().now().0;
    let until = |name, expiry, reason, field| {
        let request = rotate(world, |request| request.expiry = Some(expiry));
        invalid(name, request, reason, &[field])
    };
    let ttl = |seconds, nanos| Expiry::Ttl(Duration { seconds, nanos });
    let mut cases = vec![
        until(
            "until now",
            Expiry::ExpiresAt(instant(now)),
            OUT_OF_RANGE,
            "expires_at",
        ),
        until(
            "for 100 years and a millisecond",
            Expiry::ExpiresAt(instant(now + HUNDRED_YEARS * 1000 + 1)),
            OUT_OF_RANGE,
            "expires_at",
        ),
        until("for no time", ttl(0, 0), OUT_OF_RANGE, "ttl"),
        until("for two signs", ttl(1, -1), MALFORMED, "ttl"),
        until("never, or not", Expiry::Never(false), MALFORMED, "never"),
        refused(
            "of an unknown token",
            rotate_request(UNKNOWN_TOKEN),
            Code::NotFound,
            "TOKEN_NOT_FOUND",
        ),
        invalid(
            "a secret as an id",
            rotate_request(&world.secret),
            MALFORMED,
            &["token_id"],
        ),
        invalid(
            "everything wrong",
            RotateTokenRequest {
                expiry: Some(Expiry::ExpiresAt(instant(0))),
                overlap: Some(Duration {
                    seconds: -1,
                    nanos: 0,
                }),
                actor: Some(Actor::default()),
                request_id: "r r".to_owned(),
                ..Default::default()
            },
            REQUIRED,
            &[
                "token_id",
                "expires_at",
                "overlap",
                "actor.workspace_id",
                "actor.member_id",
                "request_id",
            ],
        ),
    ];
    for (what, id, reason) in briefly(bad_ids()) {
        let request = rotate_request(&id);
        cases.push(invalid(
            format!("token_id {what}"),
            request,
            reason,
            &["token_id"],
        ));
    }
    cases
}

fn overlaps(world: &World) -> Vec<Case> {
    let overlap = |name, seconds, nanos, reason| {
        let overlap = Some(Duration { seconds, nanos });
        let request = rotate(world, |request| request.overlap = overlap);
        invalid(name, request, reason, &["overlap"])
    };
    let week = 7 * 24 * 60 * 60;
    vec![
        overlap(
            "an overlap of a week and a millisecond",
            week,
            1_000_000,
            OUT_OF_RANGE,
        ),
        overlap(
            "the longest overlap there is",
            315_576_000_000,
            0,
            OUT_OF_RANGE,
        ),
        overlap("an overlap of minus a second", -1, 0, OUT_OF_RANGE),
        overlap("an overlap of minus a nanosecond", 0, -1, OUT_OF_RANGE),
        overlap("an overlap of two signs", 1, -1, MALFORMED),
        overlap("an overlap beyond all durations", i64::MAX, 0, MALFORMED),
    ]
}

fn request_ids(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut bad: Vec<_> = briefly(bad_ids())
        .filter(|(_, id, _)| !id.is_empty())
        .collect();
    bad.push((
        "that is a secret".to_owned(),
        world.secret.clone(),
        MALFORMED,
    ));
    for (what, id, reason) in bad {
        let mut add = |call: super::Call| {
            cases.push(invalid(
                format!("request_id {what}"),
                call,
                reason,
                &["request_id"],
            ));
        };
        add(world
            .issue(|request| request.request_id = id.clone())
            .into());
        add(rotate(world, |request| request.request_id = id.clone()).into());
        let revoke = RevokeTokenRequest {
            request_id: id.clone(),
            ..revoke_request(&world.token_id)
        };
        add(revoke.into());
    }
    cases
}

fn reports() -> Vec<Case> {
    let report = |count: usize, source: &str| {
        let mut secrets = Vec::new();
        secrets.resize_with(count, unknown_secret);
        RevokeLeakedTokensRequest {
            secrets,
            source: source.to_owned(),
        }
    };
    vec![
        invalid("of nothing", report(0, ""), REQUIRED, &["secrets"]),
        invalid("of 1,001", report(1001, ""), TOO_LONG, &["secrets"]),
        invalid(
            "from 101 letters",
            report(1, &"s".repeat(101)),
            TOO_LONG,
            &["source"],
        ),
        invalid("from a bell", report(1, "\u{7}"), MALFORMED, &["source"]),
        invalid(
            "everything wrong",
            report(0, "\0"),
            REQUIRED,
            &["secrets", "source"],
        ),
    ]
}
