//! An ephemeral PostgreSQL for the whole run.
//!
//! A shell watches over it, whose standard input is a pipe that this process holds open: when this process ends, however
//! it ends, the shell stops the server and removes its files.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Makes and runs the server, and when standard input ends stops it. `$1` is the folder, `$2` that of the server programs,
/// `$3` the port. Commits do not wait for the disk, and nothing
/// tidies up on its own account, which would be counted: what is measured here is the service.
const WATCH: &str = r#"
folder=$1 programs=$2 port=$3
"$programs/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --no-locale --no-sync >"$folder/log" 2>&1 || echo FATAL >>"$folder/log"
"$programs/postgres" -D "$folder/data" -k "$folder" -p "$port" -c listen_addresses=127.0.0.1 \
    -c max_connections=300 -c fsync=off -c autovacuum=off -c shared_buffers=512MB -c max_wal_size=8GB >>"$folder/log" 2>&1 &
server=$!
cat >/dev/null
kill -INT $server 2>/dev/null
wait $server
rm -rf "$folder"
"#;
/// A folder with PostgreSQL's server programs, as the tests take it too.
const PROGRAMS: &str = "COUNTERSIGN_TEST_POSTGRES_BIN";
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Postgres {
    pub(crate) port: u16,
    /// Holds the pipe: dropped with the run, never before.
    _watch: Child,
}

impl Postgres {
    /// Starts one, or tells why there is none.
    pub(crate) fn start() -> Result<Self, String> {
        let programs = programs().ok_or("its server programs were not found")?;
        let folder = tempfile::Builder::new()
            .prefix("countersign-bench-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let mut watch = Command::new("sh");
        if let Some((uid, gid)) = unprivileged_user(folder.path()) {
            chown(folder.path(), Some(uid), Some(gid)).map_err(|error| error.to_string())?;
            watch.uid(uid).gid(gid);
        }
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| error.to_string())?
            .port();
        let watch = watch
            .current_dir(folder.path())
            .args(["-c", WATCH, "sh"])
            .args([folder.path(), &programs])
            .arg(port.to_string())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        // The shell removes it, when this process has ended.
        let folder = folder.keep();
        match is_ready(&folder) {
            true => Ok(Self {
                port,
                _watch: watch,
            }),
            false => Err(fs::read_to_string(folder.join("log")).unwrap_or_default()),
        }
    }
}

/// Whether the server in this folder says that it is ready.
fn is_ready(folder: &Path) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let status = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
        if status.lines().any(|line| line.trim() == "ready") {
            return true;
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        if log.contains("FATAL") {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

/// The newest that is installed, or the one that was named.
fn programs() -> Option<PathBuf> {
    if let Some(folder) = env::var_os(PROGRAMS) {
        return Some(PathBuf::from(folder)).filter(|folder| folder.join("postgres").is_file());
    }
    let number = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter_map(|folder| number(&folder).map(|version| (version, folder.join("bin"))))
        .filter(|(_, folder)| folder.join("postgres").is_file())
        .max()
        .map(|(_, folder)| folder)
}

/// Whom to run the server as, where this process, which owns the folder, is root: postgres refuses to be.
fn unprivileged_user(folder: &Path) -> Option<(u32, u32)> {
    if fs::metadata(folder).ok()?.uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields.as_slice() {
                [user, _, uid, gid, ..] if *user == name => {
                    Some((uid.parse().ok()?, gid.parse().ok()?))
                }
                _ => None,
            }
        })
    };
    find("postgres").or_else(|| find("nobody"))
}
