//! Lint, both majors of helm alike, and the schemas of Kubernetes from 1.28 to 1.37.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use super::{CHART, EXAMPLES, Helm, NAMESPACE, Objects, RELEASE, chart_file, example_file};
use crate::support::tools;

/// Kinds of which Kubernetes itself has no schema: they come with an operator.
const OF_OPERATORS: [&str; 3] = ["Certificate", "PrometheusRule", "ServiceMonitor"];
const VERSIONS: std::ops::RangeInclusive<u32> = 28..=37;

#[test]
fn every_example_is_tried() {
    let mut files: Vec<String> = fs::read_dir(chart_file("ci"))
        .expect("the examples")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into())
        .collect();
    files.sort();
    assert_eq!(files, EXAMPLES);
}

#[test]
fn lint_has_nothing_to_say() {
    let Some(helms) = Helm::both() else {
        return;
    };
    for helm in &helms {
        for example in EXAMPLES {
            let file = example_file(example);
            let file = file.to_str().expect("a path of text");
            let output = helm.run(&["lint", "--strict", CHART, "--values", file]);
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{example}: {said}");
            for fault in ["[WARNING]", "[ERROR]"] {
                assert!(!said.contains(fault), "{example}: {said}");
            }
        }
    }
}

#[test]
fn both_majors_of_helm_render_alike() {
    let Some([three, four]) = Helm::both() else {
        return;
    };
    for example in EXAMPLES {
        let rendered = [&three, &four].map(|helm| helm.template_with(example, ""));
        let [three, four] = rendered.map(|text| text.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(three, four, "{example}");
        assert!(!Objects::read(&four).0.is_empty(), "{example}");
    }
}

#[test]
fn kubernetes_accepts_every_manifest() {
    let (Some(helm), Some(validate)) = (Helm::newest(), tools::require_tool("kubernetes-validate"))
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut files = Vec::new();
    for example in EXAMPLES {
        for (number, object) in helm.objects(example, "").all().enumerate() {
            let kind = object["kind"].as_str().expect("a kind");
            if !OF_OPERATORS.contains(&kind) {
                let file = folder
                    .path()
                    .join(format!("{example}-{number}-{kind}.json"));
                fs::write(&file, object.to_string()).expect("it is written");
                files.push(file);
            }
        }
    }
    assert!(files.len() > 40, "there are {} manifests", files.len());
    // A version at a time on each of two threads: every process reads the schemas of its version anew.
    let versions: Vec<u32> = VERSIONS.collect();
    thread::scope(|scope| {
        for share in versions.chunks(versions.len() / 2) {
            let (files, validate) = (&files, &validate);
            scope.spawn(move || {
                for version in share {
                    let output = validated(validate, *version, files);
                    let said = told(&output);
                    assert!(output.status.success(), "1.{version}: {said}");
                    assert!(!said.contains("WARN"), "1.{version}: {said}");
                }
            });
        }
    });
}

#[test]
fn a_manifest_with_a_field_that_is_not_is_refused() {
    let (Some(helm), Some(validate)) = (Helm::newest(), tools::require_tool("kubernetes-validate"))
    else {
        return;
    };
    let objects = helm.objects("minimal", "");
    let mut deployment = objects.get("Deployment", "").clone();
    deployment["spec"]["template"]["spec"]["automountServiceAccountTokens"] = false.into();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("deployment.json");
    fs::write(&file, deployment.to_string()).expect("it is written");
    let output = validated(&validate, *VERSIONS.end(), &[file]);
    assert!(!output.status.success());
    let said = told(&output);
    assert!(said.contains("automountServiceAccountTokens"), "{said}");
}

fn validated(validate: &Path, version: u32, files: &[PathBuf]) -> Output {
    Command::new(validate)
        .args(["--strict", "--quiet", "-k", &format!("1.{version}")])
        .args(files)
        .output()
        .expect("kubernetes-validate runs")
}

fn told(output: &Output) -> String {
    let told = [&output.stdout, &output.stderr];
    told.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}

#[test]
fn the_notes_of_an_install_say_how_to_reach_it() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    for (example, expected) in [
        (
            "embedded",
            "rel-countersign.prod.svc:50051 in plain text: the network is trusted",
        ),
        (
            "everything",
            "rel-sentry.prod.svc:443 by TLS, whose certificate must have that name",
        ),
    ] {
        let file = example_file(example);
        let file = file.to_str().expect("a path of text");
        let place = ["install", RELEASE, CHART, "--namespace", NAMESPACE];
        let arguments = [&place[..], &["--dry-run=client", "--values", file]].concat();
        let output = helm.run(&arguments);
        let said = told(&output);
        assert!(output.status.success(), "{said}");
        let (_, notes) = said.split_once("NOTES:").expect("notes");
        assert!(notes.contains(expected), "{notes}");
        assert!(notes.contains("bookings (authorize)"), "{notes}");
    }
}
