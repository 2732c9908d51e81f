//! Programs that some tests need: found, or skipped, or, where they are required, missed loudly.

use std::{
    env,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A comma list of the tools without which a run has failed, such as `postgres,grpcurl`.
const REQUIRE: &str = "COUNTERSIGN_TEST_REQUIRE";
/// A folder with PostgreSQL's server programs.
const POSTGRES_FOLDER: &str = "COUNTERSIGN_TEST_POSTGRES_BIN";

/// The binary of the release before, which `.ci/run` builds from the commit that `tests/former_release` names.
const FORMER: &str = "COUNTERSIGN_TEST_FORMER";

/// A program on the path. None, which was said, where it is missing and not required.
pub(crate) fn require_tool(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    found.or_else(|| {
        skip(name, &format!("{name} not found"));
        None
    })
}

/// The folder of PostgreSQL's server programs, the newest. None, which was said, where there is none and it is not
/// required.
pub(crate) fn require_postgres() -> Option<PathBuf> {
    let found = match env::var_os(POSTGRES_FOLDER) {
        Some(folder) => Some(PathBuf::from(folder)),
        None => newest_postgres(Path::new("/usr/lib/postgresql")),
    };
    let found = found.filter(|folder| folder.join("postgres").is_file());
    found.or_else(|| {
        skip("postgres", "postgres server binaries not found");
        None
    })
}

/// PgBouncer, which is installed where only root looks. None, which was said, where it is missing and not required.
pub(crate) fn require_pgbouncer() -> Option<PathBuf> {
    let installed = Path::new("/usr/sbin/pgbouncer");
    match installed.is_file() {
        true => Some(installed.to_owned()),
        false => require_tool("pgbouncer"),
    }
}

/// Whether pods can be played here, by podman from an image of buildah's. Said, where they cannot and need not.
pub(crate) fn require_podman() -> bool {
    if require_tool("buildah").is_none() || require_tool("podman").is_none() {
        return false;
    }
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if !is_root {
        skip("podman", "podman is tried by root only");
    }
    is_root
}

/// The binary of the release before. None, which was said, where it is missing and not required.
pub(crate) fn require_former() -> Option<PathBuf> {
    let found = env::var_os(FORMER).map(PathBuf::from);
    let found = found.filter(|program| program.is_file());
    found.or_else(|| {
        skip(
            "former",
            &format!("{FORMER} names no binary of the release before"),
        );
        None
    })
}

fn newest_postgres(versions: &Path) -> Option<PathBuf> {
    let number = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    std::fs::read_dir(versions)
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter_map(|folder| number(&folder).map(|version| (version, folder.join("bin"))))
        .filter(|(_, folder)| folder.join("postgres").is_file())
        .max()
        .map(|(_, folder)| folder)
}

fn skip(tool: &str, sentence: &str) {
    let required = env::var(REQUIRE).unwrap_or_default();
    assert!(
        !required.split(',').any(|name| name.trim() == tool),
        "{sentence}, and {REQUIRE} names it"
    );
    println!("skipped: {sentence}");
}
