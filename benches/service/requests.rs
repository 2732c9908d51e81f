//! The calls that are made, encoded once, and what their answers must be.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use countersign::pb::{
    AuthorizeRequest, BatchAuthorizeRequest, BatchAuthorizeResponse, BatchMode, Check,
    IssueTokenRequest, Outcome, Resource, RevokeTokensRequest, resource::Owner,
};
use prost::Message;

use super::{
    load::{Method, Source},
    tokens::{self, Random},
};

/// The empty RPC.
pub(crate) const HEALTH: Method<'static> = Method {
    path: "/grpc.health.v1.Health/Check",
    is_good: &|answer| answer == [0, 0, 0, 0, 2, 0x08, 1],
};

/// A decision that must be an allow.
pub(crate) const AUTHORIZE: Method<'static> = Method {
    path: "/countersign.v1.AuthorizationService/Authorize",
    // A message whose first field is a decision whose first field is the outcome ALLOW.
    is_good: &|answer| matches!(answer, [0, _, _, _, _, 0x0a, _, 0x08, 1, ..]),
};

/// The same, where any decision will do.
pub(crate) const AUTHORIZE_ANYHOW: Method<'static> = Method {
    path: AUTHORIZE.path,
    is_good: &|answer| matches!(answer, [0, _, _, _, _, 0x0a, _, 0x08, 1 | 2, ..]),
};

/// A batch, of which everything must be allowed.
pub(crate) const BATCH: Method<'static> = Method {
    path: "/countersign.v1.AuthorizationService/BatchAuthorize",
    is_good: &|answer| {
        let message = answer.get(5..).unwrap_or_default();
        BatchAuthorizeResponse::decode(message).is_ok_and(|answer| {
            let allow = Outcome::Allow as i32;
            let decisions = &answer.decisions;
            !decisions.is_empty() && decisions.iter().all(|decision| decision.outcome == allow)
        })
    },
};

/// The issue of a token.
pub(crate) const ISSUE: Method<'static> = Method {
    path: "/countersign.v1.TokenService/IssueToken",
    is_good: &|answer| answer.len() > 5,
};

/// The revocation of all tokens of a workspace.
pub(crate) const REVOKE_ALL: Method<'static> = Method {
    path: "/countersign.v1.TokenService/RevokeTokens",
    is_good: &|answer| answer.len() > 5,
};

/// Where the token begins in a framed request: it is the first field.
const TOKEN_AT: usize = 7;

/// A message as a gRPC body has it.
pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let length = u32::try_from(message.encoded_len()).expect("a short message");
    let mut body = vec![0];
    body.extend_from_slice(&length.to_be_bytes());
    message.encode(&mut body).expect("a vector grows");
    body
}

fn any_token() -> String {
    String::from_utf8(tokens::text(0).to_vec()).expect("it is ASCII")
}

fn own() -> Option<Resource> {
    Some(Resource {
        owner: Some(Owner::Bearer(true)),
        ..Resource::default()
    })
}

/// Whether a token may read its member's own bookings.
pub(crate) fn authorize() -> Vec<u8> {
    framed(&AuthorizeRequest {
        token: any_token(),
        action: "bookings.read".to_owned(),
        resource: own(),
        ..AuthorizeRequest::default()
    })
}

/// Whether it may do so many things.
pub(crate) fn batch(checks: usize) -> Vec<u8> {
    let action = |i: usize| ["bookings.read", "availability.update"][i % 2].to_owned();
    let check = |i| Check {
        action: action(i),
        resource: own(),
    };
    framed(&BatchAuthorizeRequest {
        token: any_token(),
        checks: (0..checks).map(check).collect(),
        mode: BatchMode::All.into(),
        ..BatchAuthorizeRequest::default()
    })
}

/// The same body again and again.
pub(crate) fn repeated(body: &[u8]) -> Source {
    so_often(body, u64::MAX)
}

/// The same body so often.
pub(crate) fn so_often(body: &[u8], calls: u64) -> Source {
    let (body, mut left) = (body.to_vec(), calls);
    Box::new(move |out| {
        if left == 0 {
            return false;
        }
        left -= 1;
        out.extend_from_slice(&body);
        true
    })
}

/// All tokens of the workspace of the first one.
pub(crate) fn revoke_all() -> Vec<u8> {
    let (workspace_id, _) = tokens::owner(0);
    framed(&RevokeTokensRequest {
        workspace_id,
        ..RevokeTokensRequest::default()
    })
}

/// This call for the token with this number.
pub(crate) fn of_token(body: &[u8], number: u64) -> Source {
    let mut body = body.to_vec();
    body[TOKEN_AT..TOKEN_AT + tokens::LENGTH].copy_from_slice(&tokens::text(number));
    repeated(&body)
}

/// This call for tokens with numbers below this one, by chance.
pub(crate) fn by_chance(body: &[u8], tokens: u64, seed: usize) -> Source {
    let mut random = Random(u64::try_from(seed).expect("a small number"));
    of_each(body, move || Some(random.below(tokens)))
}

/// This call once for each token of a range, of which this is one connection's share.
pub(crate) fn each_once(body: &[u8], (from, to): (u64, u64), share: (usize, usize)) -> Source {
    let (which, of) = share;
    let step = u64::try_from(of).expect("a small number");
    let mut next = from + u64::try_from(which).expect("a small number");
    of_each(body, move || {
        let number = next;
        next += step;
        (number < to).then_some(number)
    })
}

/// This call once for each token up to the last but this one, from the next on that no other source has taken.
pub(crate) fn each_next(body: &[u8], next: &Arc<AtomicU64>, to: u64) -> Source {
    let next = Arc::clone(next);
    of_each(body, move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        (number < to).then_some(number)
    })
}

fn of_each(body: &[u8], mut number: impl FnMut() -> Option<u64> + Send + 'static) -> Source {
    let body = body.to_vec();
    Box::new(move |out| {
        let Some(number) = number() else {
            return false;
        };
        let start = out.len() + TOKEN_AT;
        out.extend_from_slice(&body);
        out[start..start + tokens::LENGTH].copy_from_slice(&tokens::text(number));
        true
    })
}

/// Issues under names that were not used before, to members of this many tokens by turns. The count goes on from one
/// source to the next.
pub(crate) fn issues(issued: &Arc<AtomicU64>, tokens: u64) -> Source {
    let issued = Arc::clone(issued);
    Box::new(move |out| {
        let number = issued.fetch_add(1, Ordering::Relaxed);
        let (workspace_id, member_id) = tokens::owner(number * tokens::PER_MEMBER % tokens);
        out.extend_from_slice(&framed(&IssueTokenRequest {
            workspace_id,
            member_id,
            name: format!("issue-{number}"),
            ..IssueTokenRequest::default()
        }));
        true
    })
}
