//! Bad requests to AuthorizationService: what the calling service controls. What the bearer controls is never an error.

use countersign::pb::{
    AuthorizeRequest, BatchAuthorizeRequest, BatchMode, Check, Context, ListPermissionsRequest,
    Resource, resource::Owner,
};
use tonic::Code;

use super::{
    Case, MALFORMED, REQUIRED, TOO_LONG, bad_ids, briefly, invalid, refused, world::World,
};

/// The largest message, in bytes.
pub(super) const MESSAGE: usize = 1 << 20;

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = actions(world);
    cases.extend(resource_ids(world));
    cases.extend(resources(world));
    cases.extend(several(world));
    for odd in [
        " ",
        "192.0.2.1:443",
        "192.0.2.0/24",
        "192.0.2.256",
        "[2001:db8::1]",
        "fe80::1%eth0",
        "192.0.2.1, 192.0.2.2",
        "unknown",
    ] {
        let mut request = world.ask(|_| {});
        request.context.get_or_insert_default().client_ip = odd.to_owned();
        // Also where nothing is looked up.
        let mut malformed = request.clone();
        malformed.token = "x".to_owned();
        for request in [request, malformed] {
            cases.push(invalid(
                format!("client_ip `{odd}`"),
                request,
                MALFORMED,
                &["context.client_ip"],
            ));
        }
    }
    for odd in [
        "1",
        "1-",
        "-1-0123456789abcdef",
        "1-0123456789ABCDEF",
        "1-0123456789abcde",
        "latest",
    ] {
        let mut request = world.ask(|_| {});
        request.context.get_or_insert_default().min_revision = odd.to_owned();
        cases.push(invalid(
            format!("min_revision `{odd}`"),
            request,
            MALFORMED,
            &["context.min_revision"],
        ));
    }
    let mut request = world.ask(|_| {});
    request.context.get_or_insert_default().min_revision = "9999-0123456789abcdef".to_owned();
    cases.push(refused(
        "min_revision of another feed",
        request,
        Code::FailedPrecondition,
        "REVISION_UNKNOWN",
    ));
    cases.extend(batches(world));
    let context = || {
        Some(Context {
            client_ip: "192.0.2.1/32".to_owned(),
            ..Default::default()
        })
    };
    let listed = ListPermissionsRequest {
        context: context(),
        ..Default::default()
    };
    cases.push(invalid(
        "client_ip",
        listed,
        MALFORMED,
        &["context.client_ip"],
    ));
    cases.push(refused(
        "message of 1 MiB and a byte",
        sized(world, MESSAGE + 1),
        Code::ResourceExhausted,
        "MESSAGE_TOO_LARGE",
    ));
    cases
}

/// A good request but for a token that makes the message this large.
pub(super) fn sized(world: &World, size: usize) -> AuthorizeRequest {
    use prost::Message;

    let mut request = world.ask(|request| request.token = "t".repeat(size - 1000));
    let missing = size - request.encoded_len();
    request.token.push_str(&"t".repeat(missing));
    assert_eq!(request.encoded_len(), size);
    request
}

fn actions(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let long = format!("bookings.{}", "r".repeat(120));
    for (action, reason) in [
        ("", REQUIRED),
        (long.as_str(), TOO_LONG),
        ("bookings", MALFORMED),
        ("bookings.", MALFORMED),
        (".read", MALFORMED),
        (".", MALFORMED),
        ("bookings.read.all", MALFORMED),
        ("Bookings.read", MALFORMED),
        ("bookings.READ", MALFORMED),
        ("bookings.read ", MALFORMED),
        ("bookings .read", MALFORMED),
        ("book_ings.read", MALFORMED),
        ("-bookings.read", MALFORMED),
        ("bookings-.read", MALFORMED),
        ("book--ings.read", MALFORMED),
        ("9bookings.read", MALFORMED),
        ("bookings.*", MALFORMED),
        ("bookings/read", MALFORMED),
        ("böokings.read", MALFORMED),
        ("bookings.read\0", MALFORMED),
    ] {
        let request = world.ask(|request| request.action = action.to_owned());
        cases.push(invalid(
            format!("action {action:?}"),
            request,
            reason,
            &["action"],
        ));
    }
    cases
}

/// A good request but for its resource.
fn with(world: &World, spoil: impl FnOnce(&mut Resource)) -> AuthorizeRequest {
    world.ask(|request| spoil(request.resource.get_or_insert_default()))
}

fn resource_ids(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, id, reason) in briefly(bad_ids()) {
        let workspace = with(world, |resource| resource.workspace_id.clone_from(&id));
        let owner = with(world, |resource| {
            resource.owner = Some(Owner::OwnerId(id.clone()))
        });
        let fields = [&["resource.workspace_id"], &["resource.owner_id"]];
        cases.push(invalid(
            format!("workspace_id {what}"),
            workspace,
            reason,
            fields[0],
        ));
        cases.push(invalid(
            format!("owner_id {what}"),
            owner,
            reason,
            fields[1],
        ));
        // Optional with these two forms, and checked all the same.
        if !id.is_empty() {
            let listed = with(world, |resource| {
                resource.workspace_id.clone_from(&id);
                resource.owner = Some(Owner::Collection(true));
            });
            let name = format!("workspace_id of a collection {what}");
            cases.push(invalid(name, listed, reason, fields[0]));
        }
    }
    cases
}

fn resources(world: &World) -> Vec<Case> {
    let of_type = |resource_type: &str| {
        with(world, |resource| {
            resource_type.clone_into(&mut resource.r#type)
        })
    };
    let nowhere = |owner: Option<Owner>| {
        with(world, |resource| {
            resource.workspace_id = String::new();
            resource.owner.clone_from(&owner);
        })
    };
    let owned = |owner: Owner| with(world, |resource| resource.owner = Some(owner.clone()));
    let workspace: &[&str] = &["resource.workspace_id"];
    let of_resource: &[&str] = &["resource.type"];
    let conflict = "FIELD_CONFLICT";
    let someones = Some(Owner::OwnerId("max".to_owned()));
    vec![
        invalid(
            "type of another action",
            of_type("users"),
            conflict,
            of_resource,
        ),
        invalid(
            "type in capitals",
            of_type("Bookings"),
            conflict,
            of_resource,
        ),
        invalid(
            "type with the verb",
            of_type("bookings.read"),
            conflict,
            of_resource,
        ),
        invalid(
            "owner_id and no workspace",
            nowhere(someones),
            REQUIRED,
            workspace,
        ),
        invalid(
            "no owner and no workspace",
            nowhere(None),
            REQUIRED,
            workspace,
        ),
        invalid(
            "no resource",
            world.ask(|request| request.resource = None),
            REQUIRED,
            workspace,
        ),
        invalid(
            "bearer is false",
            owned(Owner::Bearer(false)),
            MALFORMED,
            &["resource.bearer"],
        ),
        invalid(
            "collection is false",
            owned(Owner::Collection(false)),
            MALFORMED,
            &["resource.collection"],
        ),
        invalid(
            "id of 257 bytes",
            with(world, |resource| resource.id = "r".repeat(257)),
            TOO_LONG,
            &["resource.id"],
        ),
        invalid(
            "id of 258 bytes in 129 characters",
            with(world, |resource| resource.id = "é".repeat(129)),
            TOO_LONG,
            &["resource.id"],
        ),
    ]
}

fn several(world: &World) -> Vec<Case> {
    let spoilt = world.ask(|request| {
        request.action = "bookings".to_owned();
        let resource = request.resource.get_or_insert_default();
        resource.workspace_id = "a b".to_owned();
        resource.id = "r".repeat(257);
        resource.owner = Some(Owner::OwnerId(String::new()));
    });
    let typed = with(world, |resource| {
        resource.r#type = "users".to_owned();
        resource.id = "é".repeat(129);
        resource.owner = Some(Owner::Bearer(false));
    });
    vec![
        invalid(
            "everything wrong",
            spoilt,
            MALFORMED,
            &[
                "action",
                "resource.id",
                "resource.owner_id",
                "resource.workspace_id",
            ],
        ),
        invalid(
            "type, id and owner wrong",
            typed,
            TOO_LONG,
            &["resource.id", "resource.type", "resource.bearer"],
        ),
        invalid(
            "nothing at all",
            AuthorizeRequest::default(),
            REQUIRED,
            &["action", "resource.workspace_id"],
        ),
    ]
}

fn batches(world: &World) -> Vec<Case> {
    let batch = |spoil: fn(&mut BatchAuthorizeRequest)| {
        let ask = world.ask(|_| {});
        let mut request = BatchAuthorizeRequest {
            token: ask.token,
            checks: vec![Check {
                action: ask.action,
                resource: ask.resource,
            }],
            context: None,
            mode: BatchMode::All.into(),
        };
        spoil(&mut request);
        request
    };
    let many = |request: &mut BatchAuthorizeRequest, number| {
        request.checks = vec![request.checks[0].clone(); number];
    };
    vec![
        invalid(
            "no check",
            batch(|r| r.checks.clear()),
            REQUIRED,
            &["checks"],
        ),
        invalid(
            "1,001 checks",
            {
                let mut request = batch(|_| {});
                many(&mut request, 1001);
                request
            },
            TOO_LONG,
            &["checks"],
        ),
        invalid(
            "client_ip",
            batch(|r| r.context.get_or_insert_default().client_ip = "192.0.2".to_owned()),
            MALFORMED,
            &["context.client_ip"],
        ),
        invalid("no mode", batch(|r| r.mode = 0), MALFORMED, &["mode"]),
        invalid("a mode of 99", batch(|r| r.mode = 99), MALFORMED, &["mode"]),
        invalid(
            "the second check is bad in two ways",
            batch(|r| {
                let mut check = r.checks[0].clone();
                check.action = "Odd".to_owned();
                check.resource = Some(Resource::default());
                r.checks.push(check);
            }),
            MALFORMED,
            &["checks[1].action", "checks[1].resource.workspace_id"],
        ),
    ]
}
