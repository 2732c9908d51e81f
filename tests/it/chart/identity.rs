//! Callers by the tokens of service accounts and of other issuers: what is mounted and let out for them, and what does not fit
//! together.

use super::{
    EXAMPLES, Helm, Objects, items,
    refused::{assert_contradictions, assert_not_in_the_schema},
};

const KUBERNETES: &str = "{identity: {kubernetes: {enabled: true}}, callers: [{name: a, serviceAccounts: [shop/a], grants: [authorize]}]}";

/// Which example each is laid over, what is laid over it, and the sentence that it is refused with.
const CONTRADICTIONS: &[(&str, &str, &str)] = &[
    (
        "minimal",
        "{identity: {issuers: [{issuer: \"https://a.example\", audience: a}, {issuer: \"https://a.example\", audience: b}]}}",
        "`identity` has the issuer `https://a.example` twice: leave one of them out.",
    ),
    (
        "minimal",
        "{identity: {issuers: [{issuer: cluster, audience: a}]}}",
        "`identity.issuers` has `cluster`, which is no `https` address that could be asked for its keys: give its `jwksUri`.",
    ),
    (
        "minimal",
        "callers: [{name: a, grants: [authorize]}]",
        "`callers` has `a`, which shows nothing: give it `keyDigests`, `spiffeIds`, `serviceAccounts` or `subjects`.",
    ),
    (
        "minimal",
        "callers: [{name: a, spiffeIds: [\"spiffe://example.org/a\"], grants: [authorize]}]",
        "`callers` has `spiffeIds` under `a`, but no certificate is asked of callers: name `tls.clientCa.existingSecret`.",
    ),
    (
        "minimal",
        "callers: [{name: a, serviceAccounts: [shop/a], grants: [authorize]}]",
        "`callers` has `serviceAccounts` under `a`, whose tokens nobody could verify: set `identity.kubernetes.enabled`.",
    ),
    (
        "mtls",
        "callers: [{name: a, spiffeIds: [\"spiffe://d/a\"], grants: [authorize]}, {name: b, spiffeIds: [\"spiffe://d/a\"], grants: [authorize]}]",
        "`callers` has the SPIFFE ID `spiffe://d/a` twice, the second time under `b`: leave one of them out.",
    ),
    (
        "minimal",
        "callers: [{name: a, subjects: [{issuer: \"https://a.example\", subject: a}], grants: [authorize]}]",
        "`callers` has a subject of `https://a.example` under `a`, which is no issuer: add it to `identity.issuers`.",
    ),
    (
        "minimal",
        "{identity: {kubernetes: {enabled: true}}, callers: [{name: a, serviceAccounts: [shop/a], subjects: [{issuer: \
         \"https://kubernetes.default.svc.cluster.local\", subject: \"system:serviceaccount:shop:a\"}], grants: [authorize]}]}",
        "`callers` has `system:serviceaccount:shop:a` of `https://kubernetes.default.svc.cluster.local` twice, the second \
         time under `a`: leave one of them out.",
    ),
];

const NOT_IN_THE_SCHEMA: &[(&str, &str)] = &[
    (
        "callers: [{name: a, serviceAccounts: [shop], grants: [authorize]}]",
        "serviceAccounts",
    ),
    (
        "callers: [{name: a, serviceAccounts: [\"shop/*\"], grants: [authorize]}]",
        "serviceAccounts",
    ),
    (
        "callers: [{name: a, spiffeIds: [\"https://d/a\"], grants: [authorize]}]",
        "spiffeIds",
    ),
    (
        "callers: [{name: a, subjects: [{subject: a}], grants: [authorize]}]",
        "issuer",
    ),
    (
        "identity: {kubernetes: {jwksUri: \"http://kubernetes/keys\"}}",
        "jwksUri",
    ),
    ("identity: {kubernetes: {audience: \"\"}}", "audience"),
    (
        "identity: {issuers: [{issuer: \"https://a.example\"}]}",
        "audience",
    ),
    ("identity: {egressPorts: []}", "egressPorts"),
];

/// The volumes of the servers that hold a token.
fn tokens(objects: &Objects) -> usize {
    let volumes = items(&objects.pod()["volumes"]);
    let sources = volumes.flat_map(|volume| items(&volume["projected"]["sources"]));
    sources
        .filter(|source| !source["serviceAccountToken"].is_null())
        .count()
}

/// Whether the servers are let out to these ports.
fn is_let_out(objects: &Objects, port: u64) -> bool {
    let mut policies = objects.of_kind("NetworkPolicy").into_iter();
    let policy = policies.find(|it| it["metadata"]["annotations"].is_null());
    let rules = items(&policy.expect("a network policy")["spec"]["egress"]);
    let mut ports = rules.flat_map(|rule| items(&rule["ports"]));
    ports.any(|it| it["port"] == port)
}

#[test]
fn a_token_is_mounted_and_the_api_server_let_out_to_only_where_it_is_asked() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    for example in EXAMPLES {
        let objects = helm.objects(example, "");
        let expected = usize::from(example == "everything");
        assert_eq!(tokens(&objects), expected, "{example}");
        assert_eq!(is_let_out(&objects, 6443), expected == 1, "{example}");
    }
    for example in ["minimal", "embedded"] {
        let objects = helm.objects(example, KUBERNETES);
        assert_eq!(tokens(&objects), 1, "{example}");
        assert!(
            is_let_out(&objects, 6443) && is_let_out(&objects, 443),
            "{example}"
        );
        // Not the pod's own, and in nobody else's pod.
        for (metadata, pod) in objects.pods() {
            assert_eq!(pod["automountServiceAccountToken"], false, "{metadata}");
        }
        let all = objects.pods().into_iter();
        let projected = all.flat_map(|(_, pod)| items(&pod["volumes"]));
        let projected = projected.filter(|it| !it["projected"].is_null());
        assert_eq!(projected.count(), 1, "{example}");
    }
}

#[test]
fn each_contradiction_about_identity_is_refused_with_its_sentence() {
    assert_contradictions("templates/_identity.tpl", CONTRADICTIONS);
    assert_not_in_the_schema(NOT_IN_THE_SCHEMA);
}
