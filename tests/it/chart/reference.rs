//! The chart's README: its table of values is made from the comments of `values.yaml`.
//!
//! With `COUNTERSIGN_TEST_UPDATE_README` set, it is written into it instead.

use std::{collections::BTreeSet, env, fs};

use serde_json::Value;

use super::chart_file;

const BEGIN: &str = "<!-- values:begin -->\n";
const END: &str = "<!-- values:end -->";

/// A value, as `values.yaml` has it.
#[derive(Debug)]
struct Entry {
    path: String,
    default: String,
    /// The comment above it.
    meaning: String,
}

#[test]
fn the_readme_has_every_value_as_the_file_explains_it() {
    let path = chart_file("README.md");
    let readme = fs::read_to_string(&path).expect("the README is there");
    let (before, rest) = readme.split_once(BEGIN).expect("the table begins");
    let (written, after) = rest.split_once(END).expect("the table ends");
    let table = table(&entries());
    if env::var_os("COUNTERSIGN_TEST_UPDATE_README").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("it is written");
        return;
    }
    assert_eq!(written, table, "the README of the chart differs");
}

#[test]
fn every_value_is_explained() {
    let entries = entries();
    let text = fs::read_to_string(chart_file("values.yaml")).expect("the values");
    let values: Value = serde_saphyr::from_str(&text).expect("they are YAML");
    let mut leaves = BTreeSet::new();
    collect("", &values, &mut leaves);
    let explained: BTreeSet<String> = entries.iter().map(|it| it.path.clone()).collect();
    assert_eq!(explained, leaves);
    for entry in entries {
        assert!(entry.meaning.ends_with(['.', '`']), "{entry:?}");
        assert!(entry.meaning.len() > 8, "{entry:?}");
    }
}

#[test]
fn the_schema_knows_every_value_and_no_other() {
    let text = fs::read_to_string(chart_file("values.schema.json")).expect("the schema");
    let schema: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut known = BTreeSet::new();
    properties("", &schema, &mut known);
    let explained: BTreeSet<String> = entries().into_iter().map(|it| it.path).collect();
    // What helm hands to every chart, and parts of values that are whole in `values.yaml`.
    let beyond = ["global", "resources.limits.cpu", "ephemeral-storage"];
    known.retain(|path| !beyond.iter().any(|it| path.ends_with(it)));
    assert_eq!(explained, known);
}

/// The paths of properties that have no properties themselves. An object that others may grow in is refused.
fn properties(path: &str, schema: &Value, known: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        None => {
            known.insert(path.to_owned());
        }
        Some(inner) => {
            assert_eq!(schema["additionalProperties"], false, "{path}");
            for (name, schema) in inner {
                properties(&joined(path, name), schema, known);
            }
        }
    }
}

fn collect(path: &str, value: &Value, leaves: &mut BTreeSet<String>) {
    match value.as_object() {
        // Labels are one value.
        Some(inner) if !inner.is_empty() && !path.ends_with("labels") => {
            for (name, value) in inner {
                collect(&joined(path, name), value, leaves);
            }
        }
        _ => {
            leaves.insert(path.to_owned());
        }
    }
}

fn joined(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// The values with their comments, in the order of the file.
fn entries() -> Vec<Entry> {
    let text = fs::read_to_string(chart_file("values.yaml")).expect("the values");
    let mut entries = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut sections: Vec<&str> = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        if let Some(more) = content.strip_prefix("# ") {
            comment.push(more);
            continue;
        }
        if let Some((name, value)) = content.split_once(':') {
            sections.truncate((line.len() - content.len()) / 2);
            let path = sections.join(".");
            match value.trim() {
                "" => sections.push(name),
                default => entries.push(Entry {
                    path: joined(&path, name),
                    default: default.to_owned(),
                    meaning: comment.join(" "),
                }),
            }
        }
        comment.clear();
    }
    entries
}

fn table(entries: &[Entry]) -> String {
    let rows = entries.iter().map(|entry| {
        let default = match entry.default.as_str() {
            "\"\"" | "null" => "unset".to_owned(),
            default => format!("`{default}`"),
        };
        let meaning = entry.meaning.replace('|', "\\|");
        format!("| `{}` | {default} | {meaning} |\n", entry.path)
    });
    format!(
        "| value | default | meaning |\n|---|---|---|\n{}",
        rows.collect::<String>()
    )
}
