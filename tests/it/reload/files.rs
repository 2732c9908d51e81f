//! The files are looked at without being told to, by their content: the configuration, those that it names, and those
//! behind symbolic links. The log's level is one of the things that change.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use countersign::{domain::policy::Policy, pb::resource::Owner};
use serde_json::Value;

use super::running::{Reloads, Running, file, policies, until};
use crate::support::{
    process::Process,
    server::{NEXT_PEPPER, PEPPER},
};

const NONE: Reloads = Reloads {
    applied: 0,
    refused: 0,
};

/// A policy that lets members read what is of this type.
fn policy(resource_type: &str) -> String {
    format!(
        "[resources.{resource_type}]\nverbs = [\"read\"]\n[roles.member]\nown = [\"{resource_type}.read\"]\n"
    )
}

fn hash(policy: &str) -> String {
    Policy::parse(policy).expect("it is good").hash().to_owned()
}

#[test]
fn the_files_that_the_configuration_names_are_noticed_when_they_change() {
    let configuration = file("peppers_file = \"peppers\"\npolicy_file = \"policy.toml\"\n");
    let files = [("peppers", PEPPER), ("policy.toml", &policy("bookings"))];
    let server = Running::start(&configuration, &files);
    assert_eq!(policies(&server.scrape()), [hash(&policy("bookings"))]);
    server.write("policy.toml", &policy("boats"));
    let reloads = server.one_more(NONE, true);
    assert_eq!(policies(&server.scrape()), [hash(&policy("boats"))]);
    server.write("peppers", &format!("{NEXT_PEPPER}\n{PEPPER}\n"));
    server.one_more(reloads, true);
}

/// A folder of files as Kubernetes mounts one: each is a link through `..data`, which leads to those of one version.
fn mount(folder: &Path, version: &str, files: &[(&str, &str)]) {
    let versioned = folder.join(version);
    fs::create_dir(&versioned).expect("the folder is made");
    for (name, text) in files {
        fs::write(versioned.join(name), text).expect("the file is written");
        if !folder.join(name).is_symlink() {
            let target = Path::new("..data").join(name);
            symlink(target, folder.join(name)).expect("the link is made");
        }
    }
    let new = folder.join("..data_tmp");
    symlink(version, &new).expect("the link is made");
    fs::rename(&new, folder.join("..data")).expect("it takes the old one's place");
}

#[test]
fn a_mounted_config_map_is_noticed_when_its_link_is_swapped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mounted = folder.path().join("mounted");
    fs::create_dir(&mounted).expect("the folder is made");
    let configuration = file("policy_file = \"mounted/policy.toml\"\n");
    let (before, after) = (policy("bookings"), policy("boats"));
    let version = |policy| {
        [
            ("countersign.toml", &*configuration),
            ("policy.toml", policy),
        ]
    };
    mount(&mounted, "..2026_11_24", &version(&before));
    let arguments = ["--config", "mounted/countersign.toml"];
    let server = Running {
        process: Process::serve_in(folder, &arguments),
    };
    assert_eq!(policies(&server.scrape()), [hash(&before)]);

    mount(&mounted, "..2026_11_25", &version(&after));
    let reloads = server.one_more(NONE, true);
    assert_eq!(policies(&server.scrape()), [hash(&after)]);
    // The old version is removed after the swap, which is no change.
    fs::remove_dir_all(mounted.join("..2026_11_24")).expect("it is there");

    let configuration = file("log = \"warn\"\npolicy_file = \"mounted/policy.toml\"\n");
    let files = [
        ("countersign.toml", &*configuration),
        ("policy.toml", &after),
    ];
    mount(&mounted, "..2026_11_26", &files);
    server.one_more(reloads, true);
}

#[test]
fn a_touch_and_the_same_content_again_reload_nothing() {
    let configuration = file("");
    let server = Running::start(&configuration, &[("policy.toml", &policy("boats"))]);
    server.write("countersign.toml", &configuration);
    let path = server.path("countersign.toml");
    let touched = fs::File::open(&path).and_then(|file| {
        let times = fs::FileTimes::new();
        let old = SystemTime::UNIX_EPOCH;
        file.set_times(times.set_accessed(old).set_modified(SystemTime::now()))
    });
    touched.expect("the file is there");
    // Reading it moves the time of access, where the file system keeps that; else two looks have been taken by then.
    let deadline = Instant::now() + Duration::from_secs(5);
    until("the file is looked at", || {
        let accessed = fs::metadata(&path).and_then(|found| found.accessed());
        accessed.is_ok_and(|at| at != SystemTime::UNIX_EPOCH) || Instant::now() > deadline
    });
    // What that look brought about, if anything, has been counted when this change is in force.
    server.write("countersign.toml", &file("policy_file = \"policy.toml\"\n"));
    until("a real change is noticed", || {
        policies(&server.scrape()) == [hash(&policy("boats"))]
    });
    server.one_more(NONE, true);
}

fn log_is(level: &str) -> String {
    file(&format!("log = \"{level}\"\n"))
}

/// How many lines there are at this level.
fn count(server: &Running, level: &str) -> usize {
    let is_at_level = |line: &&Value| line["level"] == level;
    server.lines().iter().filter(is_at_level).count()
}

/// Makes a call, after which the frames that it came in have been told of, if they are.
async fn call(server: &Running) {
    let owner = Some(Owner::Bearer(true));
    server
        .client()
        .authorize("x", "bookings.read", "", owner)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_of_the_log_is_raised_and_lowered_while_it_runs() {
    let server = Running::start(&log_is("info"), &[]);
    call(&server).await;
    assert_eq!(count(&server, "DEBUG"), 0);

    server.write("countersign.toml", &log_is("debug"));
    let reloads = server.one_more(NONE, true);
    call(&server).await;
    until("it tells more", || count(&server, "DEBUG") > 0);

    // One target only, and below what the others are told at.
    server.write("countersign.toml", &log_is("off,countersign::server=info"));
    server.one_more(reloads, true);
    let told = "the configuration was reloaded";
    let is_told = |server: &Running| {
        let said = server.said("INFO");
        said.iter().filter(|(message, _)| message == told).count()
    };
    until("its own line comes", || is_told(&server) == 2);
    let before = server.lines().len();
    call(&server).await;

    server.write("countersign.toml", "log = 3\n");
    until("errors are told of", || !server.said("ERROR").is_empty());
    let lines = server.lines();
    let rest: Vec<&Value> = lines[before..].iter().map(|line| &line["level"]).collect();
    assert_eq!(rest, ["ERROR"], "{lines:?}");
}
