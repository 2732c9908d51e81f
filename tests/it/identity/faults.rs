//! What is wrong with SPIFFE IDs in the configuration: all of it is told at once.

use std::fs;

use super::{BOOKINGS_ID, PLATFORM_ID, caller, configuration};
use crate::support::{certificates::Authority, process::countersign};

#[test]
fn every_fault_of_spiffe_ids_is_told_with_its_line_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new("authority");
    authority.server("one").write(folder.path(), "server");
    let ca = folder.path().join("clients.pem");
    fs::write(ca, authority.certificate()).expect("a file is written");
    let ids = |ids: &str| {
        format!(
            "[[callers]]\nname = \"other\"\nspiffe_ids = [\n{ids}\n]\ngrants = [\"authorize\"]\n"
        )
    };
    let more = ids(
        "\"spiffe://example.org/other\",\n\"spiffe://example.org/other\",\n\"spiffe://example.org/a/\",\n\
         \"spiffe://example.org/ns/shop/sa/bookings\",\n\"spiffe://example.org/a?b\"",
    ) + &caller("late", PLATFORM_ID, "authorize");
    let text = configuration(&more);
    let line = |what: &str, nth: usize| {
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.contains(what));
        lines
            .map(|(number, _)| number + 1)
            .nth(nth)
            .expect("it is there")
    };
    let form = "must be like `spiffe://example.org/ns/shop/sa/bookings`, but";
    let expected = [
        (line("org/other\"", 1), "the ID is there twice".to_owned()),
        (
            line("org/a/", 0),
            format!("{form} `spiffe://example.org/a/` has an empty segment in its path"),
        ),
        (
            line(BOOKINGS_ID, 1),
            "caller `bookings` has the same ID".to_owned(),
        ),
        (
            line("org/a?b", 0),
            format!(
                "{form} `spiffe://example.org/a?b` has something else than `A-Z a-z 0-9 . - _` in its path"
            ),
        ),
        (
            line(PLATFORM_ID, 1),
            "caller `platform` has the same ID".to_owned(),
        ),
    ];
    let config = folder.path().join("countersign.toml");
    fs::write(&config, &text).expect("a file is written");
    let check = ["config", "check", "--config", "countersign.toml"];
    let output = countersign(check, &folder).output().expect("it runs");
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8(told).expect("text");
    let faults: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("callers."))
        .collect();
    let expected = expected.map(|(line, message)| {
        format!("callers.spiffe_ids (the file countersign.toml, line {line}): {message}")
    });
    assert_eq!(faults.len(), expected.len(), "{told}");
    for (fault, expected) in faults.iter().zip(&expected) {
        assert!(fault.ends_with(expected.as_str()), "{expected}\n{fault}");
    }

    // Without the authority that they need, each caller that has some is told.
    let without = configuration("").replace("client_ca_file = \"clients.pem\"\n", "");
    fs::write(&config, &without).expect("a file is written");
    let output = countersign(check, &folder).output().expect("it runs");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8(told).expect("text");
    assert_eq!(
        told.matches("needs `tls.client_ca_file`").count(),
        2,
        "{told}"
    );
    assert_eq!(
        told.matches("callers.spiffe_ids (the file").count(),
        2,
        "{told}"
    );

    // And what is right is shown by what each caller shows.
    fs::write(&config, configuration("")).expect("a file is written");
    let show = ["config", "show", "--config", "countersign.toml"];
    let output = countersign(show, &folder).output().expect("it runs");
    let told = String::from_utf8(output.stdout).expect("text");
    assert!(
        told.contains("for the platform, 1 key, 1 SPIFFE ID"),
        "{told}"
    );
    assert!(
        told.contains("authorize for members, 1 SPIFFE ID"),
        "{told}"
    );
}
