//! The chart, by the real helm of both majors: what it renders for each of its example values, what it refuses, and what it
//! tells of itself.

mod alerts;
mod alerts_cases;
mod configuration;
mod identity;
mod metrics;
mod migration;
mod objects;
mod played;
mod reference;
mod refused;
mod refused_cases;
mod valid;
mod workload;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::tools;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/helm/countersign");
/// The example values, each a way to install.
const EXAMPLES: [&str; 5] = ["embedded", "everything", "minimal", "mtls", "postgres-ha"];
const RELEASE: &str = "rel";
const NAMESPACE: &str = "prod";

/// A helm.
struct Helm(PathBuf);

impl Helm {
    /// That of each major. None, which was said, where one is missing and not required.
    fn both() -> Option<[Self; 2]> {
        Some([Self::named("helm3")?, Self::named("helm4")?])
    }

    /// The newest only.
    fn newest() -> Option<Self> {
        Self::named("helm4")
    }

    fn named(name: &str) -> Option<Self> {
        tools::require_tool(name).map(Self)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.0);
        command.args(arguments).env_remove("KUBECONFIG");
        command.output().expect("helm runs")
    }

    /// The manifests for these files of values, or what is wrong with them.
    fn template(&self, files: &[PathBuf]) -> Result<String, String> {
        let mut arguments = vec!["template", RELEASE, CHART, "--namespace", NAMESPACE];
        for file in files {
            arguments.extend(["--values", file.to_str().expect("a path of text")]);
        }
        let output = self.run(&arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    /// The manifests for an example and `more` values over it.
    fn template_with(&self, example: &str, more: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let over = folder.path().join("over.yaml");
        fs::write(&over, more).expect("it is written");
        self.template(&[example_file(example), over])
    }

    /// The objects that an example makes, with `more` values over it.
    fn objects(&self, example: &str, more: &str) -> Objects {
        let text = self.template_with(example, more);
        Objects::read(&text.unwrap_or_else(|error| panic!("{example}: {error}")))
    }
}

fn example_file(name: &str) -> PathBuf {
    chart_file(&format!("ci/{name}.yaml"))
}

fn chart_file(name: &str) -> PathBuf {
    Path::new(CHART).join(name)
}

/// What `helm template` made.
struct Objects(Vec<Value>);

impl Objects {
    fn read(text: &str) -> Self {
        let documents: Vec<Value> = serde_saphyr::from_str_multiple(text)
            .unwrap_or_else(|error| panic!("no YAML: {error}\n{text}"));
        Self(documents.into_iter().filter(|it| !it.is_null()).collect())
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.all().filter(|it| it["kind"] == kind).collect()
    }

    /// The one of this kind whose name ends so, after the release's.
    fn find(&self, kind: &str, ending: &str) -> Option<&Value> {
        let name = format!("{RELEASE}-countersign{ending}");
        self.all()
            .find(|it| it["kind"] == kind && it["metadata"]["name"] == name.as_str())
    }

    fn get(&self, kind: &str, ending: &str) -> &Value {
        self.find(kind, ending)
            .unwrap_or_else(|| panic!("there is no {kind} `{ending}`"))
    }

    /// The Deployment or StatefulSet.
    fn workload(&self) -> &Value {
        let kinds = ["Deployment", "StatefulSet"];
        let mut found = self
            .all()
            .filter(|it| kinds.iter().any(|k| it["kind"] == *k));
        let workload = found.next().expect("servers");
        assert!(found.next().is_none(), "there are two kinds of servers");
        workload
    }

    /// The specification of the servers' pods.
    fn pod(&self) -> &Value {
        &self.workload()["spec"]["template"]["spec"]
    }

    /// The server's container.
    fn container(&self) -> &Value {
        &self.pod()["containers"][0]
    }

    /// Every pod's metadata and specification: those of servers, of the migration and of the test.
    fn pods(&self) -> Vec<(&Value, &Value)> {
        let template = |it: &Value| !it["spec"]["template"]["spec"].is_null();
        self.all()
            .filter_map(|it| match it["kind"].as_str() {
                Some("Pod") => Some((&it["metadata"], &it["spec"])),
                _ if template(it) => {
                    let template = &it["spec"]["template"];
                    Some((&template["metadata"], &template["spec"]))
                }
                _ => None,
            })
            .collect()
    }
}

/// An array, or nothing where there is none.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
