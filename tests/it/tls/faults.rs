//! Files that are not what they should be: each is told with its key, and nothing is started.

use super::{World, run};
use crate::support::{certificates::Authority, process::countersign};

const JUNK: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/// A file, what is wrong with it, the key that names it, and what is told of it after its path.
const CASES: &[(&str, &str, &str, &str)] = &[
    (
        "server.pem",
        "half",
        "tls.cert_file",
        "cannot read certificates from `server.pem`: ",
    ),
    (
        "server.pem",
        "folder",
        "tls.cert_file",
        "cannot read certificates from `server.pem`: ",
    ),
    (
        "server.pem",
        "empty",
        "tls.cert_file",
        "there is no certificate in `server.pem`",
    ),
    (
        "server.pem",
        "key",
        "tls.cert_file",
        "there is no certificate in `server.pem`",
    ),
    (
        "server.pem",
        "junk",
        "tls.key_file",
        "does not go with the certificate `server.pem`: ",
    ),
    (
        "server.key",
        "half",
        "tls.key_file",
        "cannot read a private key from `server.key`: ",
    ),
    (
        "server.key",
        "folder",
        "tls.key_file",
        "cannot read a private key from `server.key`: ",
    ),
    (
        "server.key",
        "empty",
        "tls.key_file",
        "cannot read a private key from `server.key`: ",
    ),
    (
        "server.key",
        "certificate",
        "tls.key_file",
        "cannot read a private key from `server.key`: ",
    ),
    (
        "server.key",
        "other",
        "tls.key_file",
        "does not go with the certificate `server.pem`: ",
    ),
    (
        "clients.pem",
        "half",
        "tls.client_ca_file",
        "cannot read certificates from `clients.pem`: ",
    ),
    (
        "clients.pem",
        "folder",
        "tls.client_ca_file",
        "cannot read certificates from `clients.pem`: ",
    ),
    (
        "clients.pem",
        "empty",
        "tls.client_ca_file",
        "there is no certificate in `clients.pem`",
    ),
    (
        "clients.pem",
        "junk",
        "tls.client_ca_file",
        "`clients.pem` holds no usable authority: ",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_file_is_told_with_its_key_and_nothing_is_started() {
    let authority = Authority::new("authority");
    let good = authority.server("one");
    let certificate = authority.certificate();
    for (file, fault, key, message) in CASES {
        let world = World::create().await;
        good.write(world.folder.path(), "server");
        world.write("clients.pem", &certificate);
        let text = match *file {
            "server.pem" => &good.certificate,
            "server.key" => &good.key,
            _ => &certificate,
        };
        let path = world.folder.path().join(file);
        match *fault {
            "half" => world.write(file, &text[..text.len() / 2]),
            "folder" => {
                std::fs::remove_file(&path).expect("the file was there");
                std::fs::create_dir(&path).expect("a folder is made");
            }
            "key" => world.write(file, &good.key),
            "certificate" => world.write(file, &good.certificate),
            "junk" => world.write(file, JUNK),
            "other" => world.write(file, &authority.server("two").key),
            _ => world.write(file, ""),
        }
        let arguments = [
            "config",
            "check",
            "--tls-cert-file",
            "server.pem",
            "--tls-key-file",
            "server.key",
            "--tls-client-ca-file",
            "clients.pem",
        ];
        let serve = [&["serve"], &arguments[2..]].concat();
        for arguments in [&arguments[..], &serve] {
            let (code, stdout, stderr) = run(&mut countersign(arguments, &world.folder));
            let case = format!("{file}, {fault}: {stdout}{stderr}");
            assert_eq!(code, Some(64), "{case}");
            let flag = format!("--{}", key.replace(['.', '_'], "-"));
            let expected = format!("{key} ({flag}): {message}");
            let told = format!("{stdout}{stderr}");
            assert!(told.contains(&expected), "{expected}: {case}");
            assert_eq!(told.matches("tls.").count(), 1, "{case}");
            assert!(!told.contains("PRIVATE KEY---"), "{case}");
        }
    }
}
