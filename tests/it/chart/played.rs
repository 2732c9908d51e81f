//! The image, and the chart's own pods in it: built from the Dockerfile by buildah, played by podman under the strict security
//! context that they have, and asked as a cluster asks them.

mod podman;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use self::podman::{IMAGE, Podman};
use super::{Helm, Objects, items};
use crate::support::{
    certificates::Authority,
    database::{Backend, TestDatabase},
    http::wait_for_status,
    process::countersign,
    server::PEPPER,
    tools,
};

/// What every example is played with.
fn values(more: &str) -> String {
    format!(
        "image: {{repository: {}, tag: test}}\nnetworkPolicy: {{enabled: false}}\nconfig: {{drainDelay: 1s}}\n{more}",
        IMAGE.trim_end_matches(":test"),
    )
}

/// Two ports that nobody has.
fn free_addresses() -> [SocketAddr; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address"))
}

/// What is played of a Deployment, StatefulSet or Job, and its ConfigMap. Left as it is but for what this podman cannot: it
/// knows no StatefulSets and Jobs, ends without a word where a volume does not say whether it is optional, maps no ports in the
/// network of this machine, which pods here share, and asks probes by a shell that the image lacks.
fn playable(objects: &Objects, workload: &Value, addresses: [SocketAddr; 2]) -> Vec<Value> {
    let mut workload = workload.clone();
    let mut pod = workload["spec"]["template"]["spec"].take();
    for volume in pod["volumes"].as_array_mut().into_iter().flatten() {
        for kind in ["secret", "configMap"] {
            if volume[kind].is_object() {
                volume[kind]["optional"] = json!(false);
            }
        }
    }
    let container = pod["containers"][0].as_object_mut().expect("a container");
    for left_out in ["ports", "startupProbe", "readinessProbe", "livenessProbe"] {
        container.remove(left_out);
    }
    let played = match workload["kind"] == "Deployment" {
        true => {
            workload["spec"]["template"]["spec"] = pod;
            workload
        }
        false => json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": workload["metadata"]["name"]}, "spec": pod,
        }),
    };
    let mut configuration = objects.get("ConfigMap", "").clone();
    let text = configuration["data"]["countersign.toml"].as_str();
    let [grpc, metrics] = addresses.map(|address| address.to_string());
    let text = text
        .expect("the configuration")
        .replace("0.0.0.0:50051", &grpc)
        .replace("0.0.0.0:9464", &metrics);
    configuration["data"]["countersign.toml"] = json!(text);
    vec![configuration, played]
}

/// Asks a server that is being played as kubelet and `helm test` do, then ends it as kubelet does.
async fn ask_and_end(
    podman: &Podman,
    objects: &Objects,
    addresses: [SocketAddr; 2],
    health: &[&str],
) {
    let container = objects.container();
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = container[probe]["httpGet"]["path"]
            .as_str()
            .expect("a path");
        wait_for_status(addresses[1], path, 200).await;
    }
    let name = podman.running();
    podman.must_be_restricted(&name, objects.pod());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = countersign([&["healthcheck"], health].concat(), &folder).output();
    let output = output.expect("the binary runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(told.trim(), "SERVING", "{}", podman.log(&name));
    let patience = &objects.pod()["terminationGracePeriodSeconds"];
    let code = podman.stop(&name, patience.as_u64().expect("a grace period"));
    assert_eq!(code, 0, "{}", podman.log(&name));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_sqlite_a_pod_migrates_and_serves() {
    let (Some(helm), true) = (Helm::newest(), tools::require_podman()) else {
        return;
    };
    let podman = Podman::with_image();
    let objects = helm.objects("embedded", &values("persistence: {ephemeral: true}"));
    podman.secret("countersign-peppers", &[("peppers", PEPPER)]);
    let addresses = free_addresses();
    podman.play(&playable(&objects, objects.workload(), addresses));
    let server = format!("--server=http://{}", addresses[0]);
    ask_and_end(&podman, &objects, addresses, &[&server]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_postgres_the_migration_runs_and_the_deployment_serves_by_tls() {
    let (Some(helm), true) = (Helm::newest(), tools::require_podman()) else {
        return;
    };
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let podman = Podman::with_image();
    let objects = helm.objects("minimal", &values("replicas: 1"));
    let authority = Authority::new("authority");
    let server = authority.server("server");
    podman.secret("countersign-peppers", &[("peppers", PEPPER)]);
    podman.secret("countersign-database", &[("url", database.url())]);
    let tls = [
        ("tls.crt", server.certificate.as_str()),
        ("tls.key", &server.key),
    ];
    podman.secret("countersign-tls", &tls);
    let addresses = free_addresses();

    let job = objects.get("Job", "-migrate");
    podman.play(&playable(&objects, job, addresses));
    let migration = podman.only();
    assert_eq!(podman.wait(&migration), 0, "{}", podman.log(&migration));
    podman.clear();

    podman.play(&playable(&objects, objects.workload(), addresses));
    let folder: TempDir = tempfile::tempdir().expect("a temporary folder");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.certificate()).expect("it is written");
    let ca = format!("--ca-file={}", ca.display());
    let server = format!("--server=https://localhost:{}", addresses[0].port());
    ask_and_end(&podman, &objects, addresses, &[&server, &ca]).await;
}

#[test]
fn the_image_is_nobodys_and_has_one_program() {
    if !tools::require_podman() {
        return;
    }
    let podman = Podman::with_image();
    let image = podman.image();
    let config = &image["Config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!(["/countersign"]));
    assert_eq!(config["Cmd"], json!(["serve"]));
    let labels = &config["Labels"];
    let version = &labels["org.opencontainers.image.version"];
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    for label in ["title", "description", "licenses", "revision", "source"] {
        let label = format!("org.opencontainers.image.{label}");
        assert!(labels[&label].is_string(), "{labels}");
    }
    // The chart asks for the ports that the image tells of.
    let exposed = config["ExposedPorts"].as_object().expect("ports");
    let ports: Vec<&str> = exposed.keys().map(String::as_str).collect();
    assert_eq!(ports, ["50051/tcp", "9464/tcp"]);
    let variables: Vec<&Value> = items(&config["Env"]).collect();
    assert_eq!(variables.len(), 2, "a path besides: {variables:?}");
    assert!(variables.contains(&&json!("MIMALLOC_PURGE_DELAY=-1")));
}
