//! What else is on the port: health, which is open to all, and reflection, which is open to any caller.

use tonic::{
    Code, Extensions, Request, Status, codegen::tokio_stream, metadata::MetadataMap,
    transport::Channel,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    credentials::bad_credentials,
    world::{World, caller_name},
};
use crate::support::{
    call::as_caller,
    database::{TestDatabase, on_both},
    server::Setup,
    status::assert_status,
};

/// The services that a version of reflection lists.
macro_rules! list_services {
    ($name:ident, $version:ident) => {
        async fn $name(channel: &Channel, metadata: &MetadataMap) -> Result<Vec<String>, Status> {
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };

            let ask = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let asked = tokio_stream::once(ask);
            let request = Request::from_parts(metadata.clone(), Extensions::default(), asked);
            let mut client = ServerReflectionClient::new(channel.clone());
            let mut answers = client.server_reflection_info(request).await?.into_inner();
            let answer = answers.message().await?.expect("an answer");
            match answer.message_response {
                Some(MessageResponse::ListServicesResponse(list)) => Ok(list
                    .service
                    .into_iter()
                    .map(|service| service.name)
                    .collect()),
                other => panic!("{other:?} is no list"),
            }
        }
    };
}

list_services!(list_services_v1, v1);
list_services!(list_services_v1alpha, v1alpha);

async fn reflection_needs_a_caller_and_no_grant(database: TestDatabase) {
    let world = World::create(&database).await;
    for grants in ["none", "authorize", "all"] {
        let caller = as_caller(&caller_name(grants, "members"));
        for listed in [
            list_services_v1(&world.channel, &caller).await,
            list_services_v1alpha(&world.channel, &caller).await,
        ] {
            let listed = listed.unwrap_or_else(|status| panic!("{grants}: {status}"));
            for service in [
                "countersign.v1.AuthorizationService",
                "countersign.v1.DirectoryService",
                "countersign.v1.EventService",
                "countersign.v1.TokenService",
                "grpc.health.v1.Health",
            ] {
                assert!(
                    listed.iter().any(|name| name == service),
                    "{service}: {listed:?}"
                );
            }
        }
    }
    for (name, metadata, reason) in bad_credentials(&world.secret) {
        for listed in [
            list_services_v1(&world.channel, &metadata).await,
            list_services_v1alpha(&world.channel, &metadata).await,
        ] {
            let status = listed.err().unwrap_or_else(|| panic!("{name} passed"));
            println!("{name}");
            assert_status(&status, Code::Unauthenticated, reason, None);
        }
        world.wait();
    }
}

async fn reflection_can_be_left_out(database: TestDatabase) {
    let setup = Setup {
        reflection: false,
        ..Setup::open()
    };
    let server = setup.start(&database).await;
    let nothing = MetadataMap::new();
    for listed in [
        list_services_v1(&server.channel(), &nothing).await,
        list_services_v1alpha(&server.channel(), &nothing).await,
    ] {
        assert_eq!(
            listed.expect_err("it is not there").code(),
            Code::Unimplemented
        );
    }
}

async fn an_open_server_reflects_to_anyone(database: TestDatabase) {
    let server = Setup::open().start(&database).await;
    let nothing = MetadataMap::new();
    assert!(list_services_v1(&server.channel(), &nothing).await.is_ok());
    assert!(
        list_services_v1alpha(&server.channel(), &nothing)
            .await
            .is_ok()
    );
}

async fn health_is_open_to_anyone(database: TestDatabase) {
    let world = World::create(&database).await;
    for (name, metadata, _) in bad_credentials(&world.secret) {
        let ask = HealthCheckRequest::default();
        let request = Request::from_parts(metadata, Extensions::default(), ask);
        let answer = HealthClient::new(world.channel.clone())
            .check(request)
            .await;
        let answer = answer.unwrap_or_else(|status| panic!("{name}: {status}"));
        assert_eq!(
            answer.into_inner().status(),
            ServingStatus::Serving,
            "{name}"
        );
    }
}

on_both![
    reflection_needs_a_caller_and_no_grant,
    reflection_can_be_left_out,
    an_open_server_reflects_to_anyone,
    health_is_open_to_anyone,
];
