//! The shape of the code: which part may name which, and how long a file may be.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::tools;

const LONGEST: usize = 400;

/// What each part may name beside itself. A part that is not here may name nothing.
const ARROWS: [(&str, &[&str]); 10] = [
    ("grpc", &["service", "identity", "domain", "pb"]),
    ("identity", &["domain"]),
    ("service", &["view", "store", "domain"]),
    ("view", &["store", "domain"]),
    ("store", &["domain"]),
    ("domain", &[]),
    ("config", &["domain"]),
    ("telemetry", &["domain"]),
    ("pb", &[]),
    // The crate's root only lists the parts.
    ("lib", &[]),
];
/// Where everything meets.
const MAY_NAME_ALL: [&str; 3] = ["server", "cli", "main"];
/// The transport and the database, which the domain knows nothing of.
const FOREIGN_TO_DOMAIN: [&str; 3] = ["tonic", "prost", "sea_orm"];

#[test]
fn every_source_file_keeps_to_the_shape_of_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(
        files.len() > 10,
        "there are sources under {}",
        root.display()
    );
    let faults: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let text = fs::read_to_string(file).expect("a source file");
            let path = file.strip_prefix(&root).expect("below the root");
            faults(path, &text)
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// What is wrong with a file of this path below `src`.
fn faults(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |sentence: String| faults.push(format!("{}: {sentence}", path.display()));
    let length = text.lines().count();
    if length > LONGEST {
        fault(format!("{length} lines, {LONGEST} at most"));
    }
    if !text.starts_with("//!") {
        fault("does not say in its first line, after `//!`, what it is for".to_owned());
    }
    let part = part(path);
    for named in parts_named(path, &code(text)) {
        if !may_name(&part, &named) {
            fault(format!("`{part}` must not name `{named}`"));
        }
    }
    if part == "domain" {
        for word in words(&code(text)) {
            if FOREIGN_TO_DOMAIN
                .iter()
                .any(|foreign| is_crate(word, foreign))
            {
                fault(format!("`domain` must not mention `{word}`"));
            }
        }
    }
    faults
}

/// The crate itself or one of its family, such as `tonic_types`.
fn is_crate(word: &str, name: &str) -> bool {
    word.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// The top-level module a file belongs to.
fn part(path: &Path) -> String {
    let first = path.iter().next().map(|name| name.to_string_lossy());
    let first = first.unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(&first).to_owned()
}

fn may_name(part: &str, named: &str) -> bool {
    let listed = ARROWS.iter().find(|(from, _)| *from == part);
    part == named
        || MAY_NAME_ALL.contains(&part)
        || listed.is_some_and(|(_, to)| to.contains(&named))
}

/// The text without comments. Text in quotes stays, which can only make the check stricter.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| match line.trim_start().starts_with("//") {
            true => "",
            false => line.split(" // ").next().unwrap_or(line),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The top-level modules that the code names through `crate`, or through so many `super` that they lead to the root.
fn parts_named(path: &Path, code: &str) -> Vec<String> {
    let squeezed: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let squeezed = squeezed.replace(" ::", "::").replace(":: ", "::");
    let mut named = Vec::new();
    for (start, root) in squeezed.match_indices("crate::") {
        let before = squeezed[..start].chars().next_back();
        if !before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            named.extend(first_segments(&squeezed[start + root.len()..]));
        }
    }
    // The tests inside the file take one `super` more to leave.
    let (plain, tests) = match squeezed.split_once("mod tests {") {
        Some((plain, tests)) => (plain, tests),
        None => (squeezed.as_str(), ""),
    };
    for (text, depth) in [(plain, depth(path)), (tests, depth(path) + 1)] {
        let out = "super::".repeat(depth);
        for (start, _) in text.match_indices(&out) {
            if !text[..start].ends_with("super::") {
                named.extend(first_segments(&text[start + out.len()..]));
            }
        }
    }
    named
}

/// How many `super` lead from a file's module to the root.
fn depth(path: &Path) -> usize {
    match part(path).as_str() {
        "lib" | "main" => 1,
        _ => path.iter().count(),
    }
}

/// The first segment of a path, or of each path in a group.
fn first_segments(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return Vec::from_iter(words(rest).next().map(str::to_owned));
    };
    let mut level = 0_usize;
    let mut segments = Vec::new();
    let mut expects_one = true;
    for (start, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => expects_one = true,
            ' ' => {}
            _ if expects_one => {
                segments.extend(words(&group[start..]).next().map(str::to_owned));
                expects_one = false;
            }
            _ => {}
        }
    }
    segments
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

#[test]
fn a_planted_fault_is_caught() {
    let caught = |path: &str, text: &str| faults(Path::new(path), text).join("; ");
    let assert_caught = |path: &str, text: &str, what: &str| {
        let said = caught(path, text);
        assert!(said.contains(what), "{path}: {text:?}: {said:?}");
    };
    let long = format!("//! x\n{}", "\n".repeat(LONGEST));
    assert_caught("store/row.rs", &long, "401 lines");
    assert_caught("store/row.rs", "use std::fmt;\n//! x", "first line");
    let arrow = |path: &str, code: &str, named: &str| {
        assert_caught(
            path,
            &format!("//! x\n{code}\n"),
            &format!("must not name `{named}`"),
        );
    };
    arrow("store/row.rs", "use crate::grpc::status;", "grpc");
    arrow(
        "store/row.rs",
        "use crate::{domain::ids, service::{tokens, domain}};",
        "service",
    );
    arrow(
        "store.rs",
        "use crate::{\n    domain::{\n        ids,\n    },\n    view,\n};",
        "view",
    );
    arrow(
        "service/tokens.rs",
        "fn f() { crate::pb::Token::default(); }",
        "pb",
    );
    arrow("grpc/tokens.rs", "use crate::store::Store;", "store");
    arrow("grpc.rs", "use crate :: store;", "store");
    arrow("config.rs", "use crate::store;", "store");
    arrow("domain/ids.rs", "use super::super::store;", "store");
    arrow("domain.rs", "use super::{store};", "store");
    arrow(
        "domain/policy/file.rs",
        "type T = super::super::super::store::T;",
        "store",
    );
    arrow(
        "domain/ids.rs",
        "mod tests { use super::super::super::store; }",
        "store",
    );
    arrow("newcomer.rs", "use crate::domain;", "domain");
    assert_caught(
        "domain/ids.rs",
        "//! x\nuse tonic_types::Code;",
        "`tonic_types`",
    );
    assert_caught(
        "domain/ids.rs",
        "//! x\nimpl From<sea_orm::DbErr> for E {}",
        "`sea_orm`",
    );
}

#[test]
fn a_good_file_is_left_alone() {
    let good = "//! Not tonic, whatever `crate::grpc` is.\n\
                use super::{ids, policy::file};\n\
                use crate::domain::{action::Action, store_of_names};\n\
                /// Not `sea_orm` either.\n\
                fn f() {} // crate::store\n\
                mod tests { use super::super::ids; }\n";
    assert_eq!(
        faults(Path::new("domain/ids.rs"), good),
        Vec::<String>::new()
    );
    let all = "//! x\nuse crate::{cli, config, grpc, store, pb};\n";
    assert_eq!(faults(Path::new("server.rs"), all), Vec::<String>::new());
    let several = "//! x\nuse crate::{domain::ids, service, pb};\nuse super::super::domain;\n";
    assert_eq!(
        faults(Path::new("grpc/tokens.rs"), several),
        Vec::<String>::new()
    );
}

/// The variants that `tests/variants/run` shows the consistency test to notice.
#[test]
fn every_broken_variant_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(git) = tools::require_tool("git") else {
        return;
    };
    if !root.join(".git").exists() {
        println!("skipped: this is no checkout");
        return;
    }
    let entries = fs::read_dir(root.join("tests/variants")).expect("the variants");
    let patches: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "patch")
        })
        .collect();
    assert!(!patches.is_empty(), "there are variants");
    for patch in patches {
        let output = Command::new(&git)
            .args(["apply", "--check"])
            .arg(&patch)
            .current_dir(root)
            .output()
            .expect("git runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", patch.display());
    }
}
