//! The alerts, by the real promtool: well formed, firing when they should and quiet when they should not; and their runbook.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::{
    Helm,
    alerts_cases::{CASES, Case, Of, Series},
    chart_file, items,
};
use crate::support::tools;

/// What Prometheus adds to the series of this release, and of another one.
const OURS: &str = r#"namespace="prod",service="rel-countersign-metrics",pod="rel-countersign-0""#;
const ANOTHER: &str = r#"namespace="other",service="countersign-metrics",pod="countersign-0""#;

/// The rule of each alert, as it is rendered.
fn rules(helm: &Helm, more: &str) -> Vec<Value> {
    let values = format!("monitoring: {{prometheusRule: {{enabled: true, {more}}}}}");
    let objects = helm.objects("minimal", &values);
    let rule = objects.get("PrometheusRule", "");
    let groups = items(&rule["spec"]["groups"]);
    groups
        .flat_map(|group| items(&group["rules"]).cloned())
        .collect()
}

fn names(rules: &[Value]) -> BTreeSet<&str> {
    let names = rules.iter().map(|rule| rule["alert"].as_str());
    names.map(|name| name.expect("a name")).collect()
}

fn promtool(promtool: &Path, arguments: &[&str], folder: &Path) -> Result<String, String> {
    let mut command = Command::new(promtool);
    let output = command.args(arguments).current_dir(folder).output();
    let output = output.expect("promtool runs");
    let said = [&output.stdout, &output.stderr];
    let said = said.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    match output.status.success() {
        true => Ok(said.concat()),
        false => Err(said.concat()),
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_the_rules() {
    let (Some(helm), Some(tool)) = (Helm::newest(), tools::require_tool("promtool")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let groups = json!({"groups": [{"name": "countersign", "rules": rules(&helm, "")}]});
    fs::write(folder.path().join("rules.json"), groups.to_string()).expect("it is written");
    let arguments = ["check", "rules", "--lint-fatal", "rules.json"];
    let said = promtool(&tool, &arguments, folder.path());
    said.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let (Some(helm), Some(tool)) = (Helm::newest(), tools::require_tool("promtool")) else {
        return;
    };
    let mut rules = rules(&helm, "");
    let cased: BTreeSet<&str> = CASES.iter().map(|case| case.alert).collect();
    assert_eq!(names(&rules), cased, "each has its case");
    let severities: Vec<(String, Value)> = rules
        .iter()
        .map(|rule| {
            (
                rule["alert"].to_string(),
                rule["labels"]["severity"].clone(),
            )
        })
        .collect();
    // promtool compares the texts as well, which are not what this is about.
    for rule in &mut rules {
        rule["annotations"] = json!({});
    }
    let tests: Vec<Value> = CASES
        .iter()
        .flat_map(|case| {
            let name = json!(case.alert).to_string();
            let mut severity = severities.iter().filter(|(alert, _)| *alert == name);
            let (_, severity) = severity.next().expect("a severity");
            [
                test(
                    case,
                    case.firing,
                    &[],
                    &json!([{"exp_labels": labels(case, severity)}]),
                ),
                // Another release has the trouble, of which these rules tell nothing.
                test(case, case.quiet, case.firing, &json!([])),
            ]
        })
        .collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, value: Value| {
        fs::write(folder.path().join(name), value.to_string()).expect("it is written");
    };
    write(
        "rules.json",
        json!({"groups": [{"name": "countersign", "rules": rules}]}),
    );
    let file = json!({
        "rule_files": ["rules.json"], "evaluation_interval": "1m", "tests": tests,
    });
    write("tests.json", file);
    let said = promtool(&tool, &["test", "rules", "tests.json"], folder.path());
    said.unwrap_or_else(|error| panic!("{error}"));
}

/// What promtool is to try: these series of the release, those of another one, and the alerts that there should be.
fn test(case: &Case, series: Series, of_another: Series, expected: &Value) -> Value {
    let input = |series: Series, release: &str| -> Vec<Value> {
        let series = series.iter().map(|(metric, labels, values)| {
            let labels = [release, labels].join(",");
            let labels = labels.trim_end_matches(',');
            json!({"series": format!("{metric}{{{labels}}}"), "values": values})
        });
        series.collect()
    };
    let all = [input(series, OURS), input(of_another, ANOTHER)].concat();
    json!({
        "name": format!("{} {expected}", case.alert),
        "interval": "1m",
        "input_series": all,
        "alert_rule_test": [{
            "eval_time": format!("{}m", case.at),
            "alertname": case.alert,
            "exp_alerts": expected,
        }],
    })
}

/// The labels of the alert when it fires.
fn labels(case: &Case, severity: &Value) -> Value {
    let mut labels = json!({"severity": severity});
    if case.of != Of::Everything {
        labels["namespace"] = json!("prod");
        labels["service"] = json!("rel-countersign-metrics");
    }
    if case.of == Of::Pod {
        labels["pod"] = json!("rel-countersign-0");
    }
    for (name, value) in case.labels {
        labels[*name] = json!(value);
    }
    labels
}

#[test]
fn each_alert_has_its_entry_in_the_runbook() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let runbook = fs::read_to_string(chart_file("RUNBOOK.md")).expect("the runbook");
    let entries: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|title| title.starts_with("Countersign"))
        .collect();
    let rules = rules(&helm, "runbookUrl: https://runbooks.example/c");
    assert_eq!(names(&rules), entries);
    for rule in &rules {
        // As headings are linked to in Markdown.
        let anchor = rule["alert"].as_str().expect("a name").to_lowercase();
        let url = format!("https://runbooks.example/c#{anchor}");
        assert_eq!(rule["annotations"]["runbook_url"], url);
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].is_string(), "{rule}");
        }
        let severity = &rule["labels"]["severity"];
        assert!(severity == "critical" || severity == "warning", "{rule}");
    }
}

#[test]
fn alerts_can_be_left_out_and_labelled() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let all = rules(&helm, "");
    assert!(all[0]["annotations"]["runbook_url"].is_null());
    let more = "disabled: [CountersignSlow], alertLabels: {team: identity}";
    let fewer = rules(&helm, more);
    assert_eq!(fewer.len(), all.len() - 1);
    assert!(!names(&fewer).contains("CountersignSlow"));
    for rule in &fewer {
        assert_eq!(rule["labels"]["team"], "identity");
        assert!(rule["labels"]["severity"].is_string());
    }
}

#[test]
fn the_bound_in_the_alerts_is_the_configured_one() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    for (bound, seconds) in [("250ms", "0.25"), ("1s", "1"), ("30s", "30")] {
        let values = format!(
            "config: {{stalenessBound: {bound}}}\nmonitoring: {{prometheusRule: {{enabled: true}}}}"
        );
        let objects = helm.objects("minimal", &values);
        let rules = &objects.get("PrometheusRule", "")["spec"]["groups"][0]["rules"];
        let mut rules = items(rules);
        let stale = rules.find(|rule| rule["alert"] == "CountersignViewStale");
        let expression = stale.expect("the rule")["expr"].as_str().expect("text");
        let ending = format!("> {seconds}");
        assert!(expression.trim().ends_with(&ending), "{expression}");
    }
}

#[test]
fn what_a_certificate_must_have_left_follows_from_when_it_is_replaced() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let by_cert_manager =
        "tls: {existingSecret: \"\", certManager: {enabled: true, issuerRef: {name: i}";
    for (values, seconds) in [
        (String::new(), 604_800),
        (format!("{by_cert_manager}}}}}"), 604_800),
        (format!("{by_cert_manager}, renewBefore: 8h}}}}"), 14_400),
    ] {
        let values = format!("monitoring: {{prometheusRule: {{enabled: true}}}}\n{values}");
        let objects = helm.objects("minimal", &values);
        let rules = &objects.get("PrometheusRule", "")["spec"]["groups"][0]["rules"];
        let mut rules = items(rules);
        let rule = rules.find(|rule| rule["alert"] == "CountersignCertificateExpiry");
        let expression = rule.expect("the rule")["expr"].as_str().expect("text");
        assert!(
            expression.ends_with(&format!("< {seconds}")),
            "{expression}"
        );
    }
}
