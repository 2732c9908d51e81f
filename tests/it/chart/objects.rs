//! What holds for the objects of every example: labels, selectors that meet, secrets by reference, pods that may do nothing.

use serde_json::{Value, json};

use super::{EXAMPLES, Helm, NAMESPACE, Objects, RELEASE, items};

/// Runs a check over the objects of each example.
fn each_example(check: impl Fn(&str, &Objects)) {
    let Some(helm) = Helm::newest() else {
        return;
    };
    for example in EXAMPLES {
        check(example, &helm.objects(example, ""));
    }
}

/// Whether every pair of `some` is in `all`.
fn is_within(some: &Value, all: &Value) -> bool {
    let pairs = some.as_object().expect("labels");
    !pairs.is_empty() && pairs.iter().all(|(key, value)| all[key] == *value)
}

#[test]
fn every_object_has_the_standard_labels_and_is_in_the_release_namespace() {
    each_example(|example, objects| {
        for object in objects.all() {
            let metadata = &object["metadata"];
            assert_eq!(metadata["namespace"], NAMESPACE, "{example}: {metadata}");
            let labels = &metadata["labels"];
            assert_eq!(labels["app.kubernetes.io/instance"], RELEASE);
            assert_eq!(labels["app.kubernetes.io/managed-by"], "Helm");
            assert_eq!(labels["app.kubernetes.io/part-of"], "countersign");
            for label in ["name", "component", "version"] {
                let label = format!("app.kubernetes.io/{label}");
                assert!(labels[&label].is_string(), "{example}: {metadata}");
            }
        }
    });
}

#[test]
fn the_chart_is_of_this_version() {
    let text = std::fs::read_to_string(super::chart_file("Chart.yaml")).expect("the chart");
    let chart: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    each_example(|example, objects| {
        let labels = &objects.workload()["metadata"]["labels"];
        let version = &labels["app.kubernetes.io/version"];
        assert_eq!(version, env!("CARGO_PKG_VERSION"), "{example}");
    });
}

#[test]
fn secrets_are_only_named() {
    each_example(|example, objects| {
        assert!(objects.of_kind("Secret").is_empty(), "{example}");
        for (metadata, pod) in objects.pods() {
            for container in items(&pod["containers"]) {
                for variable in items(&container["env"]) {
                    let from = &variable["valueFrom"]["secretKeyRef"];
                    assert!(from.is_null(), "{example}: {metadata}: {variable}");
                }
            }
        }
    });
}

#[test]
fn every_pod_keeps_to_the_restricted_standard() {
    each_example(|example, objects| {
        let pods = objects.pods();
        assert!(pods.len() >= 2, "{example}");
        for (metadata, pod) in pods {
            assert_eq!(pod["automountServiceAccountToken"], false, "{metadata}");
            assert_eq!(pod["enableServiceLinks"], false, "{metadata}");
            let security = &pod["securityContext"];
            assert_eq!(security["runAsNonRoot"], true);
            assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
            assert!(security["runAsUser"].as_u64() > Some(0));
            assert_eq!(security["fsGroup"], security["runAsGroup"]);
            for kind in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(pod[kind].is_null(), "{metadata}");
            }
            for container in items(&pod["containers"]) {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false, "{metadata}");
                assert_eq!(security["readOnlyRootFilesystem"], true);
                assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
                let resources = &container["resources"];
                for needed in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
                    assert!(resources.pointer(needed).is_some(), "{metadata}: {needed}");
                }
                // A throttled server answers late, and its view grows old.
                assert!(resources.pointer("/limits/cpu").is_none(), "{metadata}");
            }
        }
        for account in objects.of_kind("ServiceAccount") {
            assert_eq!(account["automountServiceAccountToken"], false);
        }
    });
}

#[test]
fn every_mount_has_its_volume_and_none_is_a_single_file() {
    each_example(|example, objects| {
        let claims = items(&objects.workload()["spec"]["volumeClaimTemplates"]);
        let claimed: Vec<&Value> = claims.map(|it| &it["metadata"]["name"]).collect();
        for (metadata, pod) in objects.pods() {
            let volumes: Vec<&Value> = items(&pod["volumes"]).map(|it| &it["name"]).collect();
            let mut used = Vec::new();
            for mount in items(&pod["containers"][0]["volumeMounts"]) {
                // Such a one is never replaced in a running pod.
                assert!(mount["subPath"].is_null(), "{example}: {mount}");
                let name = &mount["name"];
                let is_there = volumes.contains(&name) || claimed.contains(&name);
                assert!(is_there, "{example}: {metadata}: {mount}");
                used.push(name);
            }
            for volume in volumes {
                assert!(used.contains(&volume), "{example}: {volume} is not mounted");
            }
        }
    });
}

#[test]
fn what_selects_pods_finds_the_servers() {
    each_example(|example, objects| {
        let workload = objects.workload();
        let labels = &workload["spec"]["template"]["metadata"]["labels"];
        let selector = &workload["spec"]["selector"]["matchLabels"];
        assert!(is_within(selector, labels), "{example}");
        // Another version of either is no other set of pods.
        let text = selector.to_string();
        assert!(
            !text.contains("version") && !text.contains("chart"),
            "{text}"
        );
        for service in objects.of_kind("Service") {
            let selector = &service["spec"]["selector"];
            assert!(is_within(selector, labels), "{example}: {service}");
            for port in items(&service["spec"]["ports"]) {
                let mut ports = items(&objects.container()["ports"]);
                let is_there = ports.any(|it| it["name"] == port["targetPort"]);
                assert!(is_there, "{example}: {port}");
            }
        }
        for budget in objects.of_kind("PodDisruptionBudget") {
            assert!(is_within(
                &budget["spec"]["selector"]["matchLabels"],
                labels
            ));
        }
        for constraint in items(&objects.pod()["topologySpreadConstraints"]) {
            assert!(is_within(
                &constraint["labelSelector"]["matchLabels"],
                labels
            ));
        }
        let policy = objects
            .all()
            .find(|it| it["kind"] == "NetworkPolicy" && it["metadata"]["annotations"].is_null());
        let policy = policy.expect("a network policy");
        assert!(is_within(
            &policy["spec"]["podSelector"]["matchLabels"],
            labels
        ));
    });
}

#[test]
fn no_server_is_selected_with_a_migration_or_a_test() {
    each_example(|example, objects| {
        let selector = &objects.workload()["spec"]["selector"]["matchLabels"];
        for (metadata, _) in objects.pods() {
            let component = &metadata["labels"]["app.kubernetes.io/component"];
            let is_selected = is_within(selector, &metadata["labels"]);
            assert_eq!(is_selected, component == "server", "{example}: {metadata}");
        }
    });
}

#[test]
fn a_test_asks_the_service_by_a_name_that_its_certificate_has() {
    each_example(|example, objects| {
        let test = objects.of_kind("Pod");
        let [test] = test.as_slice() else {
            panic!("{example}: no test");
        };
        assert_eq!(test["metadata"]["annotations"]["helm.sh/hook"], "test");
        let arguments = &test["spec"]["containers"][0]["args"];
        let server = items(arguments)
            .filter_map(|it| it.as_str()?.strip_prefix("--server="))
            .next()
            .expect("a server");
        let service = objects
            .of_kind("Service")
            .into_iter()
            .find(|it| it["spec"]["clusterIP"].is_null())
            .expect("the service");
        let name = service["metadata"]["name"].as_str().expect("a name");
        let port = &service["spec"]["ports"][0]["port"];
        let host = format!("{name}.{NAMESPACE}.svc");
        let scheme = match example {
            "embedded" => "http",
            _ => "https",
        };
        assert_eq!(server, format!("{scheme}://{host}:{port}"), "{example}");
        for certificate in objects.of_kind("Certificate") {
            let names = &certificate["spec"]["dnsNames"];
            assert!(items(names).any(|it| *it == host.as_str()), "{names}");
            let secret = &certificate["spec"]["secretName"];
            let mut volumes = items(&objects.pod()["volumes"]);
            let mounted = volumes.find(|it| it["name"] == "tls").expect("a volume");
            assert_eq!(mounted["secret"]["secretName"], *secret);
        }
    });
}

#[test]
fn what_is_scraped_is_the_one_service_of_metrics() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let objects = helm.objects("everything", "");
    let monitors = objects.of_kind("ServiceMonitor");
    let [monitor] = monitors.as_slice() else {
        panic!("there are {} monitors", monitors.len());
    };
    let selector = &monitor["spec"]["selector"]["matchLabels"];
    let selected: Vec<&Value> = objects
        .of_kind("Service")
        .into_iter()
        .filter(|it| is_within(selector, &it["metadata"]["labels"]))
        .collect();
    let [service] = selected.as_slice() else {
        panic!("there are {} services of metrics", selected.len());
    };
    // A server that is not ready is scraped, too: what it says then matters most.
    assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!(endpoint["port"], service["spec"]["ports"][0]["name"]);
    // The rules pick what comes from there, and nothing else.
    let rules = objects.of_kind("PrometheusRule")[0]["spec"].to_string();
    let name = service["metadata"]["name"].as_str().expect("a name");
    let picked = format!("namespace=\\\"{NAMESPACE}\\\",service=\\\"{name}\\\"");
    assert!(rules.contains(&picked), "{picked}");
    for left in rules.split('$').skip(1) {
        let is_of_a_text = left.starts_with("labels.") || left.starts_with("value ");
        assert!(is_of_a_text, "`${left}` was not replaced");
    }
}
