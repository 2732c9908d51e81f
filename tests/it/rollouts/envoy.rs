//! An Envoy of a test's own, with the configuration that the chart has as an example.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use crate::support::{certificates::Authority, http, tools, watched::Watched};

const PATIENCE: Duration = Duration::from_secs(20);
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/helm/countersign/envoy.yaml");
/// The header in which it tells which server answered.
pub(super) const SERVER: &str = "x-answered-by";
const CLUSTER: &str = "countersign";
/// A quarter of the example's.
const INTERVAL: &str = "0.25s";

/// A running one, ended when dropped.
pub(super) struct Envoy {
    admin: SocketAddr,
    address: SocketAddr,
    _watched: Watched,
    folder: TempDir,
}

impl Envoy {
    /// Before these servers. None, which was said, where it is not installed and not required.
    pub(super) async fn start(servers: &[SocketAddr]) -> Option<Self> {
        let program = tools::require_tool("envoy")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let configuration = folder.path().join("envoy.json");
        write(&configuration, &configured(folder.path()));
        let told = endpoints(servers);
        write(&folder.path().join("endpoints.json"), &told);
        let admin = folder.path().join("admin");
        let arguments = [
            "--config-path".as_ref(),
            configuration.as_os_str(),
            "--admin-address-path".as_ref(),
            admin.as_os_str(),
            "--concurrency".as_ref(),
            "1".as_ref(),
            "--log-level".as_ref(),
            "warning".as_ref(),
            // It shares nothing with others on this machine.
            "--disable-hot-restart".as_ref(),
        ];
        let log_file = folder.path().join("log");
        let watched = Watched::start(&program, arguments, &log_file, None);
        let log = || fs::read_to_string(&log_file).unwrap_or_default();
        let admin = wait_for_address(&admin, &log);
        let address = listener(admin).await;
        let address = address.unwrap_or_else(|| panic!("it does not listen: {}", log()));
        let envoy = Self {
            admin,
            address,
            _watched: watched,
            folder,
        };
        for server in servers {
            envoy.wait_until_found(*server).await;
        }
        Some(envoy)
    }

    /// What calls go through.
    pub(super) fn channel(&self) -> Channel {
        let address = format!("http://{}", self.address);
        let endpoint = Endpoint::from_shared(address).expect("an address");
        endpoint.connect_lazy()
    }

    /// Tells it which servers there are.
    pub(super) fn tell(&self, servers: &[SocketAddr]) {
        // It looks for files that are moved there, which are whole.
        let new = self.folder.path().join("endpoints.new");
        write(&new, &endpoints(servers));
        fs::rename(&new, self.folder.path().join("endpoints.json")).expect("it is moved");
    }

    /// Waits until it sends calls to this server.
    pub(super) async fn wait_until_found(&self, server: SocketAddr) {
        let healthy = format!("{CLUSTER}::{server}::health_flags::healthy");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, clusters) = http::get(self.admin, "/clusters").await;
            if clusters.contains(&healthy) {
                return;
            }
            assert!(Instant::now() < deadline, "{server}: {clusters}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The example, but on ports that are free, told of servers by a file instead of a name, and faster.
fn configured(folder: &Path) -> Value {
    let text = fs::read_to_string(EXAMPLE).expect("the example");
    let mut example: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    let nowhere = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    example["admin"] = json!({"address": nowhere});
    let resources = &mut example["static_resources"];
    resources["listeners"][0]["address"] = nowhere;
    let manager = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0];
    manager["typed_config"]["route_config"]["response_headers_to_add"] =
        json!([{"header": {"key": SERVER, "value": "%UPSTREAM_HOST%"}}]);
    let cluster = &mut resources["clusters"][0];
    assert_eq!(cluster["name"], CLUSTER);
    assert_eq!(cluster["type"], "STRICT_DNS");
    cluster["type"] = json!("EDS");
    cluster["eds_cluster_config"] = json!({"eds_config": {"path_config_source": {
        "path": folder.join("endpoints.json"), "watched_directory": {"path": folder},
    }}});
    let health = &mut cluster["health_checks"][0];
    for key in ["interval", "no_traffic_interval"] {
        assert_eq!(health[key], "1s");
        health[key] = json!(INTERVAL);
    }
    let cluster = cluster.as_object_mut().expect("an object");
    cluster.remove("load_assignment").expect("a name");
    example["node"] = json!({"id": "test", "cluster": "test"});
    example
}

fn endpoints(servers: &[SocketAddr]) -> Value {
    let endpoint = |server: &SocketAddr| {
        let address = json!({"address": server.ip().to_string(), "port_value": server.port()});
        json!({"endpoint": {"address": {"socket_address": address}}})
    };
    let endpoints: Vec<Value> = servers.iter().map(endpoint).collect();
    json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": CLUSTER,
        "endpoints": [{"lb_endpoints": endpoints}],
    }]})
}

fn write(path: &Path, value: &Value) {
    fs::write(path, value.to_string()).expect("it is written");
}

fn wait_for_address(file: &Path, log: &impl Fn() -> String) -> SocketAddr {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Ok(address) = text.trim().parse() {
            return address;
        }
        assert!(Instant::now() < deadline, "envoy does not start: {}", log());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Where it takes calls, once it does.
async fn listener(admin: SocketAddr) -> Option<SocketAddr> {
    http::wait_for_status(admin, "/ready", 200).await;
    let (_, listeners) = http::get(admin, "/listeners").await;
    let mut lines = listeners.lines();
    lines.find_map(|line| line.strip_prefix("countersign::")?.parse().ok())
}

#[test]
fn envoy_takes_the_example_as_it_is_and_with_tls() {
    let Some(program) = tools::require_tool("envoy") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = folder.path().join("ca.crt");
    fs::write(&authority, Authority::new("authority").certificate()).expect("it is written");
    let plain = fs::read_to_string(EXAMPLE).expect("the example");
    // What is commented out at the end of the cluster.
    let (rest, commented) = plain
        .split_once("      # transport_socket:")
        .expect("the part for TLS");
    let part = commented.replace("\n      # ", "\n      ");
    let path = authority.to_str().expect("a path of text");
    let part = part.replace("/etc/countersign/ca.crt", path);
    let tls = format!("{rest}      transport_socket:{part}");
    for (name, text) in [("plain.yaml", &plain), ("tls.yaml", &tls)] {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("it is written");
        let mut command = Command::new(&program);
        command.args(["--mode", "validate", "--config-path"]);
        let output = command.arg(file).output().expect("envoy runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        assert!(!said.contains("eprecated"), "{name}: {said}");
    }
    assert!(tls.contains("\n      transport_socket:\n        name:"));
}
