//! The configuration that the chart writes is one that the binary takes.

use std::{fs, path::Path};

use serde_json::Value;

use super::{EXAMPLES, Helm, Objects};
use crate::support::{certificates::Authority, process::countersign, server::PEPPER};

/// Where the pods have their files.
const FOLDER: &str = "/etc/countersign";

#[test]
fn the_binary_takes_the_configuration_of_every_example() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    for example in EXAMPLES {
        assert_eq!(check(&helm.objects(example, "")), Ok(()), "{example}");
    }
}

#[test]
fn what_toml_would_read_otherwise_is_quoted() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let log = r#"config: {log: "info,\"a\\b\"=debug"}"#;
    let objects = helm.objects("minimal", log);
    let text = file(&objects, "countersign.toml");
    let table: toml::Table = text.parse().expect("it is TOML");
    assert_eq!(table["log"].as_str(), Some(r#"info,"a\b"=debug"#));
}

#[test]
fn a_policy_that_the_binary_refuses_is_found_by_the_same_check() {
    let Some(helm) = Helm::newest() else {
        return;
    };
    let policy = "policy: {toml: \"[roles.admin]\\nown = [\\\"tokens.issue\\\"]\\n\"}";
    let refused = check(&helm.objects("minimal", policy)).expect_err("it is refused");
    assert!(refused.contains("policy_file"), "{refused}");
}

/// What `config check` says of the ConfigMap, with the files that secrets would bring beside it.
fn check(objects: &Objects) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().to_str().expect("a path of text").to_owned();
    for (name, text) in files(objects) {
        let text = text.replace(FOLDER, &root);
        write(folder.path(), &format!("config/{name}"), &text);
    }
    let authority = Authority::new("authority");
    let server = authority.server("server");
    for (name, text) in [
        (
            "database/url",
            "postgres://user:password@db/name?sslmode=disable",
        ),
        (
            "database/direct-url",
            "postgres://user:password@direct/name",
        ),
        ("peppers/peppers", PEPPER),
        ("tls/tls.crt", &server.certificate),
        ("tls/tls.key", &server.key),
        ("client-ca/ca.crt", &authority.certificate()),
        ("api-server/ca.crt", &authority.certificate()),
        ("issuer-0/ca.crt", &authority.certificate()),
    ] {
        // Only where the chart mounts it, so that a mount that is missing is found.
        let mounted = format!("{FOLDER}/{}", name.split('/').next().unwrap_or_default());
        let mut mounts = super::items(&objects.container()["volumeMounts"]);
        if mounts.any(|mount| mount["mountPath"] == mounted.as_str()) {
            write(folder.path(), name, text);
        }
    }
    let arguments = ["config", "check", "--config", "config/countersign.toml"];
    let output = countersign(arguments, &folder).output().expect("it runs");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
    fs::write(path, text).expect("it is written");
}

fn files(objects: &Objects) -> Vec<(String, String)> {
    let mounted = super::items(&objects.pod()["volumes"]).find(|it| it["name"] == "config");
    let name = &mounted.expect("a volume")["configMap"]["name"];
    let maps = objects.of_kind("ConfigMap");
    let map = maps.into_iter().find(|it| it["metadata"]["name"] == *name);
    let data: &Value = &map.expect("the ConfigMap")["data"];
    let entries = data.as_object().expect("files").iter();
    entries
        .map(|(name, text)| (name.clone(), text.as_str().expect("text").to_owned()))
        .collect()
}

fn file(objects: &Objects, name: &str) -> String {
    let found = files(objects).into_iter().find(|(it, _)| it == name);
    found.expect("the file").1
}
