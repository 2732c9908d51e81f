//! By secret: whoever holds one may have it revoked, and learns nothing else by it. And who is told in the event.

use countersign::pb::{
    Actor, Event, GetTokenRequest, ListEventsRequest, RevokeTokenRequest, RevokeTokenResponse,
    event::Details, get_token_request::Target as GetTarget,
    revoke_token_request::Target as RevokeTarget,
};

use super::world::{World, actor, caller_name};
use crate::support::{
    call::{Answer, Call, as_caller, unknown_secret},
    client::{issue_request, revoke_request},
    database::{TestDatabase, on_both},
};

/// Secrets of tokens alive, dead in each way, unknown, and of none.
struct Secrets {
    live: String,
    dead: Vec<(&'static str, String)>,
    nobodys: Vec<(&'static str, String)>,
}

async fn secrets(world: &World) -> Secrets {
    let platform = &world.platform;
    let revoked = platform.issue("acme", "max", "revoked", None).await;
    platform
        .revoke(&revoked.token.expect("a token").token_id)
        .await;
    platform.put_member("acme", "leaver", "member").await;
    let removed = platform.issue("acme", "leaver", "left", None).await;
    platform.remove_member("acme", "leaver").await;
    platform.create_workspace("past").await;
    platform.put_member("past", "max", "member").await;
    let deleted = platform.issue("past", "max", "past", None).await;
    platform.delete_workspace("past").await;
    world.wait();
    Secrets {
        live: world.secret.clone(),
        dead: vec![
            ("revoked", revoked.secret),
            ("of a removed member", removed.secret),
            ("of a deleted workspace", deleted.secret),
        ],
        nobodys: vec![
            ("unknown", unknown_secret()),
            ("malformed", "nonsense".to_owned()),
            ("empty", String::new()),
        ],
    }
}

async fn get(world: &World, grants: &str, secret: &str) -> Option<String> {
    let request = GetTokenRequest {
        target: Some(GetTarget::Secret(secret.to_owned())),
        actor: None,
    };
    let caller = as_caller(&caller_name(grants, "members"));
    match Call::from(request).send(&world.channel, &caller).await {
        Ok(Answer::GetToken(answer)) => answer.token.map(|token| token.token_id),
        Ok(_) => panic!("{grants}: another answer"),
        Err(status) => panic!("{grants}: {status}"),
    }
}

async fn revoke(world: &World, grants: &str, secret: &str) -> RevokeTokenResponse {
    let request = RevokeTokenRequest {
        target: Some(RevokeTarget::Secret(secret.to_owned())),
        ..Default::default()
    };
    let caller = as_caller(&caller_name(grants, "members"));
    match Call::from(request).send(&world.channel, &caller).await {
        Ok(Answer::RevokeToken(answer)) => answer,
        Ok(_) => panic!("{grants}: another answer"),
        Err(status) => panic!("{grants}: {status}"),
    }
}

async fn events(world: &World) -> Vec<Event> {
    let mut client = world.platform.events.clone();
    let list = client.list_events(ListEventsRequest::default());
    list.await.expect("the events").into_inner().events
}

async fn reading_by_secret_tells_a_reader_and_nobody_else(database: TestDatabase) {
    let world = World::create(&database).await;
    let secrets = secrets(&world).await;
    let before = database.dump().await;
    let mut known = secrets.dead.clone();
    known.push(("live", secrets.live));
    for (name, secret) in &known {
        assert!(get(&world, "tokens.read", secret).await.is_some(), "{name}");
        assert!(get(&world, "all", secret).await.is_some(), "{name}");
        assert_eq!(get(&world, "tokens.revoke", secret).await, None, "{name}");
        world.wait();
    }
    for (name, secret) in &secrets.nobodys {
        for grants in ["tokens.read", "all", "tokens.revoke"] {
            assert_eq!(get(&world, grants, secret).await, None, "{name}");
        }
        world.wait();
    }
    assert_eq!(database.dump().await, before);
}

async fn revoking_by_secret_is_answered_alike_and_told_only_when_it_was(database: TestDatabase) {
    let world = World::create(&database).await;
    let secrets = secrets(&world).await;
    let before = database.dump().await;
    for (name, secret) in secrets.dead.iter().chain(&secrets.nobodys) {
        let head = events(&world).await[0].revision.clone();
        for grants in [
            "authorize",
            "tokens.issue",
            "tokens.revoke",
            "tokens.read",
            "all",
        ] {
            let answer = revoke(&world, grants, secret).await;
            let is_known = secrets.dead.iter().any(|(_, dead)| dead == secret);
            let is_told = is_known && matches!(grants, "tokens.read" | "all");
            assert_eq!(answer.token.is_some(), is_told, "{name} with {grants}");
            assert_eq!(answer.revision, head, "{name} with {grants}");
        }
        world.wait();
    }
    assert_eq!(database.dump().await, before, "none of them was told");

    // A live one: answered as the others are, and told.
    let answer = revoke(&world, "authorize", &secrets.live).await;
    assert_eq!(answer.token, None);
    let told = events(&world).await.remove(0);
    assert_eq!(answer.revision, told.revision);
    assert_eq!(told.caller, caller_name("authorize", "members"));
    assert_eq!((told.actor, told.token_id), (None, world.token_id.clone()));
    match told.details {
        Some(Details::TokenRevoked(details)) => assert!(details.by_secret),
        other => panic!("{other:?}"),
    }
    let before = database.dump().await;
    let again = revoke(&world, "authorize", &secrets.live).await;
    assert_eq!(again, answer, "and again, as before");
    assert_eq!(database.dump().await, before);
}

async fn a_bearer_header_revokes_its_token(database: TestDatabase) {
    let world = World::create(&database).await;
    let header = format!("bEARER  {}", world.secret);
    let answer = revoke(&world, "all", &header).await;
    let token = answer.token.expect("it is told");
    assert_eq!(token.token_id, world.token_id);
}

async fn the_event_names_the_caller_and_the_actor(database: TestDatabase) {
    let world = World::create(&database).await;
    let dashboard = caller_name("all", "members");
    let platform = caller_name("all", "platform");
    let acting = |kind: &str, caller: &str| (actor(kind), caller.to_owned());
    for (kind, caller, is_issue) in [
        ("self", &dashboard, true),
        ("self", &platform, true),
        ("none", &platform, true),
        ("overseer", &dashboard, false),
        ("self", &platform, false),
    ] {
        let name = format!("{caller} for {kind}, issue {is_issue}");
        let token_name = if is_issue {
            name.clone()
        } else {
            format!("of {name}")
        };
        let call: Call = match is_issue {
            true => {
                let mut request = issue_request("acme", "max", &token_name, None);
                request.actor = actor(kind);
                request.into()
            }
            false => {
                let issued = world.platform.issue("acme", "max", &token_name, None).await;
                let mut request = revoke_request(&issued.token.expect("a token").token_id);
                request.actor = actor(kind);
                request.into()
            }
        };
        let answer = call.send(&world.channel, &as_caller(caller)).await;
        if let Err(status) = answer {
            panic!("{name}: {status}");
        }
        let told = events(&world).await.remove(0);
        assert_eq!((told.actor, told.caller), acting(kind, caller), "{name}");
        assert_eq!(
            (told.workspace_id.as_str(), told.member_id.as_str()),
            ("acme", "max"),
            "{name}"
        );
        let is_issued = matches!(told.details, Some(Details::TokenIssued(_)));
        assert_eq!(is_issued, is_issue, "{name}: {:?}", told.details);
    }
}

async fn an_actor_beside_a_secret_is_told_and_not_judged(database: TestDatabase) {
    let world = World::create(&database).await;
    let actor = Actor {
        workspace_id: "nowhere".to_owned(),
        member_id: "nobody".to_owned(),
    };
    let request = RevokeTokenRequest {
        target: Some(RevokeTarget::Secret(world.secret.clone())),
        actor: Some(actor.clone()),
        ..Default::default()
    };
    let caller = as_caller(&caller_name("authorize", "members"));
    let answer = Call::from(request).send(&world.channel, &caller).await;
    assert!(answer.is_ok(), "{:?}", answer.err());
    assert_eq!(events(&world).await.remove(0).actor, Some(actor));
}

on_both![
    reading_by_secret_tells_a_reader_and_nobody_else,
    revoking_by_secret_is_answered_alike_and_told_only_when_it_was,
    a_bearer_header_revokes_its_token,
    the_event_names_the_caller_and_the_actor,
    an_actor_beside_a_secret_is_told_and_not_judged,
];
