//! What a token is limited to, its successor is limited to as well.

use countersign::pb::{
    DenyReason, IssueTokenRequest, ListEventsRequest, Outcome, event::Details, resource::Owner,
};

use super::{acme, get, rotate_request, rotated};
use crate::support::{
    client::issue_request,
    database::{TestDatabase, on_both},
};

async fn a_successor_is_limited_as_its_predecessor_was(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let request = IssueTokenRequest {
        scopes: vec!["bookings.*".to_owned(), "*.list".to_owned()],
        allowed_cidrs: vec!["192.0.2.0/24".to_owned()],
        ..issue_request("acme", "max", "deploy", None)
    };
    let issued = platform.tokens.clone().issue_token(request.clone()).await;
    let old = issued.expect("it is issued").into_inner().token;
    let old = old.expect("a token");
    let answer = rotated(&platform, rotate_request(&old.token_id)).await;
    let successor = answer.token.expect("a token");
    assert_eq!(successor.scopes, request.scopes);
    assert_eq!(successor.allowed_cidrs, request.allowed_cidrs);
    assert_eq!(get(&platform, &successor.token_id).await, successor);
    assert_eq!(get(&platform, &old.token_id).await.scopes, request.scopes);

    // Nobody told from where, so it is not from where it may.
    let owner = Some(Owner::Bearer(true));
    let decided = platform
        .authorize(&answer.secret, "bookings.read", "", owner)
        .await;
    let decision = decided.decision.expect("a decision");
    assert_eq!(decision.outcome(), Outcome::Deny);
    assert_eq!(decision.reason(), DenyReason::AddressNotAllowed);
    let list = ListEventsRequest {
        page_size: 2,
        ..Default::default()
    };
    let events = platform.events.clone().list_events(list).await;
    let event = events.expect("events").into_inner().events.remove(1);
    let Some(Details::TokenIssued(details)) = event.details else {
        panic!("{event:?}");
    };
    assert_eq!(details.predecessor_id, old.token_id);
    assert_eq!(details.scopes, request.scopes);
    assert_eq!(details.allowed_cidrs, request.allowed_cidrs);
}

on_both![a_successor_is_limited_as_its_predecessor_was];
