//! Whatever a rule or a panel names is in a live scrape: the metric, and each of its labels.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use super::chart_file;
use crate::support::{
    database::{Backend, TestDatabase},
    http::{Scrape, wait_for_status},
    server::TestServer,
};

/// What Prometheus adds to every series.
const OF_PROMETHEUS: [&str; 3] = ["namespace", "service", "pod"];

/// A metric that is asked for, with the labels in its braces.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    metric: String,
    labels: Vec<String>,
}

/// The metrics in an expression: what stands before braces.
fn asked(expression: &str) -> Vec<Asked> {
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut parts = expression.split('{');
    let mut before = parts.next().unwrap_or_default();
    let mut found = Vec::new();
    for part in parts {
        let start = before.rfind(|c| !is_of_a_name(c)).map_or(0, |at| at + 1);
        let inside = part.split('}').next().unwrap_or_default();
        let labels = inside.split(',').filter_map(|it| {
            let (name, _) = it.split_once(['=', '!'])?;
            Some(name.to_owned())
        });
        found.push(Asked {
            metric: before[start..].to_owned(),
            labels: labels.collect(),
        });
        before = part;
    }
    found
}

#[test]
fn an_expression_is_taken_apart() {
    let found = asked(r#"sum by (a) (rate(x_total{s="1",r!="2"}[5m])) > on () y{c=~"3|4"}"#);
    let told: Vec<(&str, Vec<&str>)> = found
        .iter()
        .map(|it| {
            (
                it.metric.as_str(),
                it.labels.iter().map(String::as_str).collect(),
            )
        })
        .collect();
    assert_eq!(told, [("x_total", vec!["s", "r"]), ("y", vec!["c"])]);
}

/// The expressions of the alerts, and of the dashboard's panels.
fn expressions() -> Vec<String> {
    let text = |name: &str| fs::read_to_string(chart_file(name)).expect("a file of the chart");
    let alerts: Value = serde_saphyr::from_str(&text("files/alerts.yaml")).expect("YAML");
    let dashboard: Value = serde_json::from_str(&text("files/dashboard.json")).expect("JSON");
    let of_alerts = super::items(&alerts["groups"])
        .flat_map(|group| super::items(&group["rules"]))
        .map(|rule| (&rule["expr"], "$SELECTOR"));
    let of_panels = super::items(&dashboard["panels"])
        .flat_map(|panel| super::items(&panel["targets"]))
        .map(|target| {
            (
                &target["expr"],
                r#"namespace="$namespace",service="$service""#,
            )
        });
    let all = of_alerts.chain(of_panels);
    all.map(|(expression, selector)| {
        let expression = expression.as_str().expect("an expression");
        let written = expression.matches(selector).count();
        // Otherwise it would tell of other releases, too.
        assert_eq!(written, expression.matches('{').count(), "{expression}");
        expression.replace(selector, "")
    })
    .collect()
}

#[tokio::test]
async fn what_rules_and_panels_name_is_in_a_live_scrape() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let database = database.expect("an embedded database");
    let server = TestServer::start(&database).await;
    wait_for_status(server.metrics_address(), "/readyz", 200).await;
    let scrape = Scrape::of(server.metrics_address()).await;
    let mut named = BTreeSet::new();
    for expression in expressions() {
        for Asked { metric, labels } in asked(&expression) {
            let series: Vec<&str> = scrape
                .text
                .lines()
                .filter(|line| line.split(['{', ' ']).next() == Some(&metric))
                .collect();
            assert!(
                !series.is_empty(),
                "`{metric}` of `{expression}` is not scraped"
            );
            for label in labels.iter().filter(|it| !it.is_empty()) {
                let is_there = series.iter().any(|it| it.contains(&format!("{label}=\"")));
                assert!(is_there, "`{label}` of `{expression}` is not scraped");
                assert!(!OF_PROMETHEUS.contains(&label.as_str()));
            }
            named.insert(metric);
        }
    }
    assert!(named.len() >= 20, "{named:?}");
}

#[test]
fn the_panels_of_the_dashboard_do_not_overlap() {
    let text = fs::read_to_string(chart_file("files/dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut places = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in super::items(&dashboard["panels"]) {
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
        assert!(at("x") + at("w") <= 24, "{panel}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(places.insert((x, y)), "{panel} overlaps");
            }
        }
        assert!(ids.insert(panel["id"].as_u64()), "{panel} has another's id");
        assert!(panel["title"].is_string());
    }
    assert!(ids.len() > 20, "there are {} panels", ids.len());
}
