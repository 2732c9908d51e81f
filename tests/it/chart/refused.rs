//! Bad values are refused when the chart is rendered, each with a sentence that says what to do.

use std::fs;

use super::{
    Helm, chart_file,
    refused_cases::{CONTRADICTIONS, NOT_IN_THE_SCHEMA},
};

/// With digests in the places of theirs.
fn values(text: &str) -> String {
    ["1", "2"].iter().fold(text.to_owned(), |text, digit| {
        let digest = format!("\"blake3:{}\"", digit.repeat(64));
        text.replace(&format!("D{digit}"), &digest)
    })
}

/// The sentences of a refusal.
fn sentences(error: &str) -> Vec<&str> {
    assert!(
        error.contains("these values do not fit together:"),
        "{error}"
    );
    error
        .lines()
        .filter_map(|line| line.strip_prefix("- "))
        .collect()
}

/// Each of these is refused with its sentence, laid over its example, and all sentences that this template has are tried.
pub(super) fn assert_contradictions(template: &str, cases: &[(&str, &str, &str)]) {
    let templates = fs::read_to_string(chart_file(template)).expect("the templates");
    let written = templates.lines().filter(|line| line.starts_with("- `"));
    assert_eq!(written.count(), cases.len());
    let mut told: Vec<&str> = cases.iter().map(|(_, _, told)| *told).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), cases.len());
    let Some(helms) = Helm::both() else {
        return;
    };
    for helm in &helms {
        for (example, over, sentence) in cases {
            let refused = helm.template_with(example, &values(over));
            let error = refused.expect_err(over);
            assert_eq!(sentences(&error), [*sentence], "{over}");
        }
    }
}

/// Each of these is refused by the schema, which names what it is about.
pub(super) fn assert_not_in_the_schema(cases: &[(&str, &str)]) {
    let Some(helms) = Helm::both() else {
        return;
    };
    for helm in &helms {
        for (over, named) in cases {
            let refused = helm.template_with("minimal", &values(over));
            let error = refused.expect_err(over);
            assert!(error.contains("schema"), "{over}: {error}");
            assert!(error.contains(named), "{over}: {error}");
        }
    }
}

#[test]
fn each_contradiction_is_refused_with_its_sentence() {
    assert_contradictions("templates/_validate.tpl", CONTRADICTIONS);
}

#[test]
fn what_a_value_may_not_be_is_refused_by_the_schema() {
    assert_not_in_the_schema(NOT_IN_THE_SCHEMA);
}

#[test]
fn all_contradictions_are_told_together() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let over = "{callers: [], replicas: 5, service: {type: NodePort}, rollout: {maxSurge: 0%}}";
    let error = helm.template_with("embedded", over).expect_err("a refusal");
    let told = sentences(&error);
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn the_values_as_they_come_say_what_is_missing() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let error = helm.template(&[]).expect_err("a refusal");
    let told = sentences(&error);
    let named: Vec<&str> = told.iter().filter_map(|it| it.split('`').nth(1)).collect();
    let expected = [
        "image.repository",
        "peppers.existingSecret",
        "database.existingSecret",
        "callers",
        "tls.enabled",
    ];
    assert_eq!(named, expected);
}
