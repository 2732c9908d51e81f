//! The servers: a Deployment on Postgres, one pod with a volume on SQLite; probes, the end of a pod, and what restarts it.

use serde_json::{Value, json};

use super::{EXAMPLES, Helm, Objects, items};

#[test]
fn on_sqlite_there_is_one_pod_with_a_volume() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let objects = helm.objects("embedded", "");
    let workload = objects.workload();
    assert_eq!(workload["kind"], "StatefulSet");
    assert_eq!(workload["spec"]["replicas"], 1);
    let claim = &workload["spec"]["volumeClaimTemplates"][0]["spec"];
    assert_eq!(claim["accessModes"], json!(["ReadWriteOncePod"]));
    assert_eq!(claim["storageClassName"], "fast-ssd");
    assert_eq!(claim["resources"]["requests"]["storage"], "5Gi");
    let kept = &workload["spec"]["persistentVolumeClaimRetentionPolicy"];
    assert_eq!(kept["whenDeleted"], "Retain");
    // It migrates itself, and a budget for one would only block.
    for kind in ["Job", "HorizontalPodAutoscaler", "PodDisruptionBudget"] {
        assert!(objects.of_kind(kind).is_empty(), "{kind}");
    }
    let headless = &workload["spec"]["serviceName"];
    assert_eq!(
        *headless,
        objects.get("Service", "-headless")["metadata"]["name"]
    );
}

#[test]
fn the_volume_may_be_yours_or_none() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let data = |more: &str| {
        let objects = helm.objects("embedded", more);
        let volume = items(&objects.pod()["volumes"]).find(|it| it["name"] == "data");
        let templates = &objects.workload()["spec"]["volumeClaimTemplates"];
        assert!(templates.is_null(), "{templates}");
        volume.expect("a volume").clone()
    };
    let yours = data("persistence: {existingClaim: mine, storageClass: \"\"}");
    assert_eq!(yours["persistentVolumeClaim"]["claimName"], "mine");
    assert_eq!(
        data("persistence: {ephemeral: true}")["emptyDir"],
        json!({})
    );
}

#[test]
fn on_postgres_there_are_three_or_as_many_as_are_asked_for() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let replicas =
        |more: &str| helm.objects("minimal", more).workload()["spec"]["replicas"].clone();
    assert_eq!(replicas(""), 3);
    assert_eq!(replicas("replicas: 7"), 7);
    let objects = helm.objects("minimal", "");
    assert_eq!(objects.workload()["kind"], "Deployment");
    let rollout = &objects.workload()["spec"]["strategy"]["rollingUpdate"];
    assert_eq!(*rollout, json!({"maxSurge": 1, "maxUnavailable": 0}));
}

#[test]
fn an_autoscaler_decides_alone_how_many_there_are() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let objects = helm.objects("postgres-ha", "");
    let workload = objects.workload();
    assert!(workload["spec"]["replicas"].is_null());
    let scaler = &objects.get("HorizontalPodAutoscaler", "")["spec"];
    assert_eq!(
        scaler["scaleTargetRef"]["name"],
        workload["metadata"]["name"]
    );
    assert_eq!(
        (&scaler["minReplicas"], &scaler["maxReplicas"]),
        (&json!(3), &json!(12))
    );
    let target = &scaler["metrics"][0]["resource"]["target"];
    assert_eq!(target["averageUtilization"], 60);
    assert_eq!(
        objects.get("PodDisruptionBudget", "")["spec"]["minAvailable"],
        2
    );
}

#[test]
fn a_budget_is_there_where_there_is_more_than_one_server() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let budget = |more: &str| {
        let objects = helm.objects("minimal", more);
        let budget = objects.find("PodDisruptionBudget", "");
        budget.map(|it| it["spec"]["maxUnavailable"].clone())
    };
    assert_eq!(budget(""), Some(json!(1)));
    assert_eq!(
        budget("podDisruptionBudget: {maxUnavailable: 50%}"),
        Some(json!("50%"))
    );
    assert_eq!(budget("replicas: 1"), None);
    assert_eq!(budget("podDisruptionBudget: {enabled: false}"), None);
}

#[test]
fn only_readiness_asks_whether_calls_are_welcome() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    for example in EXAMPLES {
        let objects = helm.objects(example, "");
        let container = objects.container();
        for (probe, path) in [
            // A server that waits for its database is alive: to restart it would help nobody.
            ("startupProbe", "/livez"),
            ("readinessProbe", "/readyz"),
            ("livenessProbe", "/livez"),
        ] {
            let asked = json!({"path": path, "port": "metrics"});
            assert_eq!(container[probe]["httpGet"], asked, "{example}: {probe}");
        }
    }
}

#[test]
fn a_pod_has_time_to_end() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    for (drain, seconds) in [
        ("0s", 26),
        ("250ms", 27),
        ("5s", 31),
        ("90s", 116),
        ("5m", 326),
    ] {
        let objects = helm.objects("minimal", &format!("config: {{drainDelay: {drain}}}"));
        let given = &objects.pod()["terminationGracePeriodSeconds"];
        assert_eq!(*given, seconds, "{drain}");
    }
}

#[test]
fn a_change_restarts_the_pods_only_where_it_has_to() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let template =
        |more: &str| helm.objects("minimal", more).workload()["spec"]["template"].clone();
    let before = template("");
    for (more, restarts) in [
        ("config: {log: debug}", false),
        (
            "config: {tokenPrefix: acme_pat, retiredTokenPrefixes: [csn_pat]}",
            false,
        ),
        (
            "callers: [{name: other, keyDigests: [\"DIGEST\"], grants: [authorize]}]",
            false,
        ),
        ("config: {eventRetention: 90d}", false),
        ("networkPolicy: {databasePort: 6432}", false),
        ("config: {stalenessBound: 2s}", true),
        ("config: {viewCapacity: 10}", true),
        ("config: {reflection: false}", true),
        ("config: {decisionLog: \"0.5\"}", true),
        ("config: {drainDelay: 6s}", true),
        ("tls: {enabled: false, existingSecret: \"\"}", true),
        ("database: {existingSecret: another}", true),
    ] {
        let digest = format!("blake3:{}", "a".repeat(64));
        let after = template(&more.replace("DIGEST", &digest));
        assert_eq!(before != after, restarts, "{more}");
    }
}

#[test]
fn the_image_is_told_by_its_digest_where_there_is_one() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let image = |example: &str, more: &str| {
        let objects = helm.objects(example, more);
        let images = objects.pods().into_iter();
        let mut images: Vec<Value> = images
            .map(|(_, pod)| pod["containers"][0]["image"].clone())
            .collect();
        images.dedup();
        assert_eq!(images.len(), 1, "{images:?}");
        images.remove(0)
    };
    let repository = "registry.example/countersign";
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(image("minimal", ""), format!("{repository}:{version}"));
    assert_eq!(
        image("minimal", "image: {tag: x}"),
        format!("{repository}:x")
    );
    let by_digest = image("postgres-ha", "image: {tag: x}");
    let digest = format!("{repository}@sha256:{:064}", 7);
    assert_eq!(by_digest, digest);
}

#[test]
fn servers_are_spread_as_they_are_told() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let spread = |objects: &Objects| -> Vec<(String, String)> {
        let text = |it: &Value| it.as_str().expect("text").to_owned();
        items(&objects.pod()["topologySpreadConstraints"])
            .map(|it| (text(&it["topologyKey"]), text(&it["whenUnsatisfiable"])))
            .collect()
    };
    let zone = "topology.kubernetes.io/zone".to_owned();
    let node = "kubernetes.io/hostname".to_owned();
    let rather = "ScheduleAnyway".to_owned();
    let must = "DoNotSchedule".to_owned();
    let by_default = [(zone.clone(), rather), (node, must.clone())];
    let told = helm.objects("minimal", "spread: {nodes: DoNotSchedule}");
    assert_eq!(spread(&told), by_default);
    let zones_only = helm.objects("postgres-ha", "spread: {nodes: \"off\"}");
    assert_eq!(spread(&zones_only), [(zone, must)]);
    assert_eq!(spread(&helm.objects("embedded", "")), []);
}

#[test]
fn the_pods_are_what_the_values_say() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let objects = helm.objects("everything", "");
    let pod = objects.pod();
    assert_eq!(pod["securityContext"]["runAsUser"], 10001);
    assert_eq!(pod["priorityClassName"], "system-cluster-critical");
    assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
    assert_eq!(pod["tolerations"][0]["key"], "dedicated");
    assert!(pod["affinity"]["nodeAffinity"].is_object());
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
    assert_eq!(pod["serviceAccountName"], "sentry");
    let variables: Vec<(&str, &str)> = items(&objects.container()["env"])
        .filter_map(|it| Some((it["name"].as_str()?, it["value"].as_str()?)))
        .collect();
    for variable in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://collector.tracing:4317",
        ),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.05"),
        ("RUST_BACKTRACE", "1"),
    ] {
        assert!(variables.contains(&variable), "{variables:?}");
    }
}
