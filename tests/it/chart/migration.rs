//! The migration: a hook before an install and an upgrade, with what it needs, and none of a rollback. And the network.

use serde_json::{Value, json};

use super::{Helm, Objects, items};

const HOOK: &str = "helm.sh/hook";
const WEIGHT: &str = "helm.sh/hook-weight";

fn weight(object: &Value) -> i32 {
    let weight = object["metadata"]["annotations"][WEIGHT].as_str();
    weight.and_then(|it| it.parse().ok()).expect("a weight")
}

#[test]
fn it_runs_before_an_install_and_an_upgrade_and_not_at_a_rollback() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    for example in ["minimal", "mtls", "postgres-ha"] {
        let objects = helm.objects(example, "");
        let job = objects.get("Job", "-migrate");
        // A rollback runs none: the older servers accept newer migrations.
        assert_eq!(
            job["metadata"]["annotations"][HOOK],
            "pre-install,pre-upgrade"
        );
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never");
        assert_eq!(pod["containers"][0]["args"], json!(["migrate"]));
    }
    let none = helm.objects("minimal", "migration: {enabled: false}");
    assert!(none.of_kind("Job").is_empty());
    assert!(none.find("ServiceAccount", "-migrate").is_none());
}

#[test]
fn all_that_it_needs_is_there_before_it() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let objects = helm.objects("postgres-ha", "");
    let job = objects.get("Job", "-migrate");
    let pod = &job["spec"]["template"]["spec"];
    // Made by hooks that come first.
    let account = objects.get("ServiceAccount", "-migrate");
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
    let network = objects.get("NetworkPolicy", "-migrate");
    let selected = &network["spec"]["podSelector"]["matchLabels"];
    let labels = &job["spec"]["template"]["metadata"]["labels"];
    for (label, value) in selected.as_object().expect("labels") {
        assert_eq!(labels[label], *value);
    }
    for before in [account, network] {
        assert_eq!(
            before["metadata"]["annotations"][HOOK],
            job["metadata"]["annotations"][HOOK]
        );
        assert!(weight(before) < weight(job));
    }
    // And secrets, which are the operator's: nothing of the release, which comes later.
    for volume in items(&pod["volumes"]) {
        assert!(volume["secret"].is_object(), "{volume}");
    }
    let yours = helm.objects("minimal", "serviceAccount: {create: false, name: mine}");
    let pod = &yours.get("Job", "-migrate")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "mine");
    assert!(yours.of_kind("ServiceAccount").is_empty());
}

#[test]
fn it_and_the_servers_use_one_database_and_one_bound() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let objects = helm.objects("postgres-ha", "config: {stalenessBound: 3s}");
    let job = &objects.get("Job", "-migrate")["spec"]["template"]["spec"];
    let variable = |name: &str| {
        let mut variables = items(&job["containers"][0]["env"]);
        let found = variables.find(|it| it["name"] == name);
        found.expect("a variable")["value"].clone()
    };
    let configuration = objects.get("ConfigMap", "")["data"]["countersign.toml"]
        .as_str()
        .and_then(|text| text.parse::<toml::Table>().ok())
        .expect("the configuration");
    for (name, key) in [
        ("COUNTERSIGN_DATABASE_URL_FILE", "database_url_file"),
        (
            "COUNTERSIGN_DATABASE_DIRECT_URL_FILE",
            "database_direct_url_file",
        ),
        ("COUNTERSIGN_STALENESS_BOUND", "staleness_bound"),
    ] {
        assert_eq!(variable(name), configuration[key].as_str().expect("text"));
    }
    let volume = |pod: &Value, name: &str| {
        let found = items(&pod["volumes"])
            .find(|it| it["name"] == name)
            .cloned();
        found.expect("a volume")
    };
    for name in ["database", "database-ca"] {
        assert_eq!(volume(job, name), volume(objects.pod(), name));
    }
}

/// The rules of a network policy's direction for this port.
fn rules<'a>(policy: &'a Value, direction: &str, port: &Value) -> Vec<&'a Value> {
    items(&policy["spec"][direction])
        .filter(|rule| items(&rule["ports"]).any(|it| it["port"] == *port))
        .collect()
}

fn network(objects: &Objects) -> &Value {
    objects.get("NetworkPolicy", "")
}

#[test]
fn the_network_lets_in_and_out_what_is_told() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let own = helm.objects("minimal", "");
    let [callers] = rules(network(&own), "ingress", &json!("grpc"))[..] else {
        panic!("one rule for callers");
    };
    assert_eq!(callers["from"], json!([{"podSelector": {}}]));
    assert!(rules(network(&own), "ingress", &json!("metrics")).is_empty());
    let [database] = rules(network(&own), "egress", &json!(5432))[..] else {
        panic!("one rule for the database");
    };
    assert!(database["to"].is_null());

    let told = helm.objects("postgres-ha", "");
    let [callers] = rules(network(&told), "ingress", &json!("grpc"))[..] else {
        panic!("one rule for callers");
    };
    // Those that are named, and the pod of `helm test`.
    let from: Vec<&Value> = items(&callers["from"]).collect();
    assert_eq!(from.len(), 2);
    let test = &told.of_kind("Pod")[0]["metadata"]["labels"];
    let admitted = &from[1]["podSelector"]["matchLabels"];
    for (label, value) in admitted.as_object().expect("labels") {
        assert_eq!(test[label], *value);
    }
    for policy in [network(&told), told.get("NetworkPolicy", "-migrate")] {
        let [database] = rules(policy, "egress", &json!(6432))[..] else {
            panic!("one rule for the database");
        };
        assert!(database["to"].is_array());
        assert!(rules(policy, "egress", &json!(5432)).is_empty());
    }

    let embedded = helm.objects("embedded", "");
    assert_eq!(items(&network(&embedded)["spec"]["egress"]).count(), 1);
    let off = helm.objects("minimal", "networkPolicy: {enabled: false}");
    assert!(off.of_kind("NetworkPolicy").is_empty());
}
