//! Clients that are served over TLS: every one that people use.

use std::process::Command;

use super::{FAILED, OLDER, USUAL, World, connect, run, shake_hands};
use crate::support::{
    certificates::Authority,
    client::Client,
    server::{PLATFORM, key_of},
    tools,
    wire::Wire,
};

const LIST: &str = "countersign.v1.TokenService";

#[tokio::test(flavor = "multi_thread")]
async fn the_generated_client_is_served_by_address_and_by_name() {
    let world = World::create().await;
    let process = world.serve();
    let channel = connect(process.address(), &world.authority, None).await;
    let client = Client::new(&channel.expect("it connects"), Some(&key_of(PLATFORM)));
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    client.issue("acme", "max", "deploy", None).await;

    let server = format!("https://localhost:{}", process.address().port());
    let ca = world.path("ca.pem");
    let arguments = ["healthcheck", "--server", &server, "--ca-file", &ca];
    let (code, stdout, stderr) = world.run(&arguments);
    assert_eq!((code, stdout.as_str()), (Some(0), "SERVING\n"), "{stderr}");
    let arguments = [
        "token",
        "issue",
        "--server",
        &server,
        "--ca-file",
        &ca,
        "--workspace",
        "acme",
        "--member",
        "max",
        "--name",
        "laptop",
        "--ttl",
        "90d",
    ];
    let (code, stdout, stderr) = world.run(&arguments);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("csn_pat_1"), "{stdout}");
    assert!(!process.log().contains(FAILED), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_tls_are_spoken_and_http_2_is_agreed_on() {
    let world = World::create().await;
    let process = world.serve();
    for offer in [USUAL, OLDER] {
        let stream = shake_hands(process.address(), &world.authority, &offer).await;
        let stream = stream.expect("the handshake succeeds");
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(offer.version.version));
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        Wire::over(stream).await.must_be_healthy(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_certificate_of_the_right_authority_is_served() {
    let world = World::create().await;
    let clients = Authority::new("clients");
    let process = world.serve_to_clients_of(&clients);
    let certified = clients.client();
    certified.write(world.folder.path(), "client");
    let channel = connect(process.address(), &world.authority, Some(&certified)).await;
    let client = Client::new(&channel.expect("it connects"), Some(&key_of(PLATFORM)));
    client.create_workspace("acme").await;

    let server = format!("https://{}", process.address());
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| world.path(name));
    let connection = [
        "--server",
        &server,
        "--ca-file",
        &ca,
        "--client-cert",
        &cert,
    ];
    for command in [&["healthcheck"][..], &["events"]] {
        let arguments = [command, &connection, &["--client-key", &key]].concat();
        let (code, _, stderr) = world.run(&arguments);
        assert_eq!(code, Some(0), "{stderr}");
    }
    if tools::require_tool("grpcurl").is_some() {
        let address = process.address().to_string();
        let header = format!("x-countersign-key: {}", key_of(PLATFORM));
        let arguments = [
            "-cacert", &ca, "-cert", &cert, "-key", &key, "-H", &header, &address,
        ];
        let (code, stdout, stderr) = run(Command::new("grpcurl").args(arguments).arg("list"));
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.contains(LIST), "{stdout}");
    }
    assert!(!process.log().contains(FAILED), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_is_served_with_reflection() {
    if tools::require_tool("grpcurl").is_none() {
        return;
    }
    let world = World::create().await;
    let process = world.serve();
    let (ca, address) = (world.path("ca.pem"), process.address().to_string());
    let header = format!("x-countersign-key: {}", key_of(PLATFORM));
    let grpcurl = |more: &[&str]| {
        let mut command = Command::new("grpcurl");
        command.args(["-cacert", &ca, "-H", &header]).args(more);
        let (code, stdout, stderr) = run(&mut command);
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    assert!(grpcurl(&[&address, "list"]).contains(LIST));
    let body = "{\"workspace_id\": \"acme\", \"name\": \"Acme\"}";
    let method = "countersign.v1.DirectoryService/CreateWorkspace";
    let told = grpcurl(&["-d", body, &address, method]);
    assert!(told.contains("\"workspaceId\": \"acme\""), "{told}");
    let health = grpcurl(&[&address, "grpc.health.v1.Health/Check"]);
    assert!(health.contains("SERVING"), "{health}");
}
