//! Values that do not fit together, and the sentence that each is refused with: which example they are laid over, what is laid
//! over it, and how the sentence begins, to where it is the table's own.

pub(super) const CONTRADICTIONS: &[(&str, &str, &str)] = &[
    (
        "minimal",
        "image: {repository: \"\"}",
        "`image.repository` is empty: build the image from the Dockerfile, push it, and say where it is.",
    ),
    (
        "minimal",
        "peppers: {existingSecret: \"\"}",
        "`peppers.existingSecret` is empty: make one with `countersign pepper new > peppers && kubectl create secret \
         generic countersign-peppers --from-file=peppers`, and name it.",
    ),
    (
        "embedded",
        "database: {existingSecret: address}",
        "`database.existingSecret` holds the address of a Postgres, but `database.type` is `sqlite`: leave one of them out.",
    ),
    (
        "embedded",
        "replicas: 2",
        "`replicas` is 2, but SQLite serves one process: set `replicas: 1`, or `database.type: postgres`.",
    ),
    (
        "embedded",
        "autoscaling: {enabled: true}",
        "`autoscaling.enabled` is set, but SQLite serves one process: leave it out, or set `database.type: postgres`.",
    ),
    (
        "embedded",
        "persistence: {ephemeral: true, existingClaim: mine, storageClass: \"\"}",
        "`persistence.ephemeral` keeps nothing, but `persistence.existingClaim` names a volume: leave one of them out.",
    ),
    (
        "embedded",
        "persistence: {existingClaim: mine}",
        "`persistence.storageClass` is for a claim that is made, but `persistence.existingClaim` names one: leave one of \
         them out.",
    ),
    (
        "embedded",
        "database: {caSecret: postgres-ca}",
        "`database.directUrlKey` and `database.caSecret` are for Postgres, but `database.type` is `sqlite`: leave them out.",
    ),
    (
        "minimal",
        "database: {existingSecret: \"\", urlKey: address}",
        "`database.existingSecret` is empty: name the secret that holds the address `postgres://…` under `address`, or set \
         `database.type: sqlite`.",
    ),
    (
        "minimal",
        "database: {directUrlKey: url}",
        "`database.directUrlKey` is `database.urlKey`: it is for an address without the pooler; without a pooler leave it out.",
    ),
    (
        "minimal",
        "persistence: {existingClaim: mine}",
        "`persistence` is for SQLite, but `database.type` is `postgres`, which keeps everything: leave `existingClaim` and \
         `ephemeral` out.",
    ),
    (
        "minimal",
        "callers: []",
        "`callers` is empty, so nobody could call: give one at least, with `name`, `keyDigests` (as `countersign key new` \
         prints them) and `grants`.",
    ),
    (
        "minimal",
        "callers: [{name: a, keyDigests: [D1], grants: [authorize]}, {name: a, keyDigests: [D2], grants: [authorize]}]",
        "`callers` has two named `a`: give both keys to one of them, or another name to the other.",
    ),
    (
        "minimal",
        "callers: [{name: a, keyDigests: [D1], grants: [authorize]}, {name: b, keyDigests: [D2, D1], grants: [authorize]}]",
        "`callers` has the same digest twice, the second time under `b`: make a key for each with `countersign key new`.",
    ),
    (
        "minimal",
        "policy: {toml: \"[roles.member]\", existingConfigMap: mine}",
        "`policy.toml` and `policy.existingConfigMap` are both given: leave one of them out.",
    ),
    (
        "minimal",
        "config: {stalenessBound: 31s}",
        "`config.stalenessBound` is 31s: it must be from 250ms to 30s.",
    ),
    (
        "minimal",
        "config: {drainDelay: 301s}",
        "`config.drainDelay` is 301s: it must be 5m at most.",
    ),
    (
        "minimal",
        "config: {eventRetention: 167h}",
        "`config.eventRetention` is 167h: it must be `forever`, or from 7d to 36500d.",
    ),
    (
        "minimal",
        "config: {retiredTokenPrefixes: [old_pat, csn_pat]}",
        "`config.retiredTokenPrefixes` has `csn_pat`, which is the one in use: take it out.",
    ),
    (
        "minimal",
        "config: {viewCapacity: 4000000}",
        "`resources.limits.memory` is 1Gi, but 4000000 tokens in memory take 2053Mi: raise it, or lower `config.viewCapacity`.",
    ),
    (
        "minimal",
        "pod: {extraEnv: [{name: COUNTERSIGN_LOG, value: trace}]}",
        "`pod.extraEnv` has `COUNTERSIGN_LOG`, which would override the configuration unseen: set it under `config`.",
    ),
    (
        "everything",
        "pod: {extraEnv: [{name: OTEL_TRACES_SAMPLER, value: always_on}]}",
        "`pod.extraEnv` has `OTEL_TRACES_SAMPLER`, which `tracing.endpoint` sets too: leave one of them out.",
    ),
    (
        "minimal",
        "commonLabels: {app.kubernetes.io/name: mine}",
        "`commonLabels` or `pod.labels` has `app.kubernetes.io/name`, which the chart gives itself: take it out; names are \
         `nameOverride` and `fullnameOverride`.",
    ),
    (
        "minimal",
        "serviceAccount: {create: false}",
        "`serviceAccount.create` is off and `serviceAccount.name` is empty: name yours, which may be `default`.",
    ),
    (
        "minimal",
        "tls: {certManager: {enabled: true, issuerRef: {name: internal}}}",
        "`tls.existingSecret` and `tls.certManager.enabled` are both given: leave one of them out.",
    ),
    (
        "minimal",
        "tls: {existingSecret: \"\"}",
        "`tls.enabled` is set without a certificate: name `tls.existingSecret`, set `tls.certManager.enabled`, or say by \
         `tls.enabled: false` that the network is trusted.",
    ),
    (
        "minimal",
        "tls: {clientCa: {existingSecret: callers-ca}}",
        "`tls.clientCa` wants a certificate of every caller, so `helm test` needs one too: name `tests.clientSecret`, or set \
         `tests.enabled: false`.",
    ),
    (
        "minimal",
        "tls: {enabled: false}",
        "`tls.enabled` is off, but `tls.existingSecret`, `tls.clientCa` or `tls.certManager` is given: turn it on, or leave \
         them out.",
    ),
    (
        "embedded",
        "service: {type: LoadBalancer}",
        "`service.type` is LoadBalancer, which leads out of the cluster, but `tls.enabled` is off: turn it on, or set \
         `service.type: ClusterIP`.",
    ),
    (
        "minimal",
        "tests: {clientSecret: client}",
        "`tests.clientSecret` is given, but no certificate is asked of callers: name `tls.clientCa.existingSecret`, or leave \
         it out.",
    ),
    (
        "postgres-ha",
        "tls: {certManager: {issuerRef: {name: \"\"}}}",
        "`tls.certManager.issuerRef.name` is empty: name the issuer.",
    ),
    (
        "postgres-ha",
        "tls: {certManager: {duration: 24h, renewBefore: 24h}}",
        "`tls.certManager.renewBefore` is 24h, but a certificate is valid for 24h only: make it shorter.",
    ),
    (
        "postgres-ha",
        "autoscaling: {minReplicas: 13}",
        "`autoscaling.minReplicas` is 13, above `autoscaling.maxReplicas`, which is 12: swap them.",
    ),
    (
        "postgres-ha",
        "autoscaling: {targetCPU: 0}",
        "`autoscaling.enabled` is set with nothing to go by: give `autoscaling.targetCPU` or `autoscaling.metrics`.",
    ),
    (
        "postgres-ha",
        "resources: {requests: {cpu: null}}",
        "`autoscaling.targetCPU` is a share of `resources.requests.cpu`, which is not given: give it.",
    ),
    (
        "postgres-ha",
        "replicas: 4",
        "`replicas` is given, but `autoscaling.enabled` decides how many there are: leave one of them out.",
    ),
    (
        "postgres-ha",
        "podDisruptionBudget: {maxUnavailable: 1}",
        "`podDisruptionBudget.minAvailable` and `podDisruptionBudget.maxUnavailable` are both given: leave one of them out.",
    ),
    (
        "minimal",
        "podDisruptionBudget: {minAvailable: 3}",
        "`podDisruptionBudget.minAvailable` is 3 of 3, so no node could be drained: make it smaller.",
    ),
    (
        "minimal",
        "podDisruptionBudget: {maxUnavailable: 0}",
        "`podDisruptionBudget.maxUnavailable` is 0, so no node could be drained: make it 1 or more.",
    ),
    (
        "minimal",
        "rollout: {maxSurge: 0}",
        "`rollout.maxSurge` and `rollout.maxUnavailable` are both 0, so no rollout could begin: make one of them 1 or more.",
    ),
    (
        "minimal",
        "monitoring: {serviceMonitor: {enabled: true}}",
        "`monitoring.serviceMonitor.enabled` is set, but `networkPolicy.scrapers` lets nobody scrape: name Prometheus's pods \
         there.",
    ),
    (
        "minimal",
        "tracing: {endpoint: \"http://collector:4317\"}",
        "`tracing.endpoint` is given, but `networkPolicy` lets nothing out to it: add a rule to `networkPolicy.extraEgress`.",
    ),
    (
        "postgres-ha",
        "networkPolicy: {enabled: false}",
        "`networkPolicy.enabled` is off, but there are rules under it: turn it on, or leave them out.",
    ),
    (
        "minimal",
        "monitoring: {prometheusRule: {disabled: [CountersignViewStal]}}",
        "`monitoring.prometheusRule.disabled` has `CountersignViewStal`, and there is no such alert: RUNBOOK.md has their names.",
    ),
];

/// Values that are nothing by themselves, and what helm's refusal by the schema names.
pub(super) const NOT_IN_THE_SCHEMA: &[(&str, &str)] = &[
    ("replica: 2", "replica"),
    ("tls: {enable: true}", "enable"),
    ("config: {stalenessBound: 1 s}", "stalenessBound"),
    ("config: {stalenessBound: 1}", "stalenessBound"),
    ("config: {drainDelay: soon}", "drainDelay"),
    ("config: {eventRetention: never}", "eventRetention"),
    ("config: {viewCapacity: 0}", "viewCapacity"),
    ("config: {tokenPrefix: X}", "tokenPrefix"),
    ("config: {decisionLog: \"2\"}", "decisionLog"),
    ("config: {decisionLog: \"0.0000000001\"}", "decisionLog"),
    ("database: {type: mysql}", "type"),
    ("replicas: 0", "replicas"),
    ("pod: {user: 0}", "user"),
    ("image: {digest: latest}", "digest"),
    (
        "callers: [{name: a, keyDigests: [\"csn_key_1\"], grants: [authorize]}]",
        "keyDigests",
    ),
    (
        "callers: [{name: a, keyDigests: [], grants: [authorize]}]",
        "keyDigests",
    ),
    (
        "callers: [{name: a, keyDigests: [D1], grants: [admin]}]",
        "grants",
    ),
    (
        "callers: [{name: a b, keyDigests: [D1], grants: [authorize]}]",
        "name",
    ),
    ("callers: [{keyDigests: [D1], grants: [authorize]}]", "name"),
    (
        "callers: [{name: a, keyDigests: [D1], grants: [authorize], actsFor: all}]",
        "actsFor",
    ),
    ("service: {port: 0}", "port"),
    ("spread: {zones: Never}", "zones"),
    (
        "podDisruptionBudget: {maxUnavailable: half}",
        "maxUnavailable",
    ),
    ("tls: {certManager: {duration: 90d}}", "duration"),
    ("resources: {limits: {gpu: 1}}", "gpu"),
    ("tracing: {endpoint: \"collector:4317\"}", "endpoint"),
    ("persistence: {accessMode: ReadWriteMany}", "accessMode"),
];
