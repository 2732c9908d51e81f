//! An ephemeral PostgreSQL, one for the whole test process, started by the first test that asks. A test that stops or pauses
//! it has one of its own.
//!
//! A shell watches over it, whose standard input is a pipe that this process holds open: when this process ends, however
//! it ends, the shell stops the server and removes its files.

mod control;

pub(crate) use self::control::Stop;

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, Database};

use super::certificates::Certified;

/// Makes and runs the server, at each line of standard input runs it again, and when standard input ends stops it. `$1` is
/// the folder, `$2` that of the server programs, `$3` the port; what
/// follows goes to the server. Until the server handles signals, a shell's background process ignores QUIT and ends at TERM;
/// from then on TERM waits for clients and QUIT does not, not even for those that are paused. It keeps nothing that an end of
/// the machine could lose, so it need not wait for the disk.
const WATCH: &str = r#"
folder=$1 programs=$2 port=$3
shift 3
"$programs/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --no-locale --no-sync >"$folder/log" 2>&1 || echo FATAL >>"$folder/log"
serve() {
    "$programs/postgres" -D "$folder/data" -k "$folder" -p "$port" \
        -c listen_addresses=127.0.0.1 -c max_connections=300 -c fsync=off "$@" >>"$folder/log" 2>&1 &
    server=$!
}
serve "$@"
while read -r _; do
    wait $server
    serve "$@"
done
kill -TERM $server 2>/dev/null
kill -QUIT $server 2>/dev/null
kill -CONT $server 2>/dev/null
wait $server
rm -rf "$folder"
"#;
const PATIENCE: Duration = Duration::from_secs(30);
const ATTEMPTS: usize = 5;

/// The server asks for none and takes any: every test's address carries one, so that whatever prints an address shows it.
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// A running server.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: PathBuf,
    /// Holds the pipe: dropped with the server, never before.
    watch: Child,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A new, empty database on the server, which is started if it does not run yet.
pub(crate) async fn create_database(programs: PathBuf) -> String {
    let port =
        tokio::task::spawn_blocking(move || SERVER.get_or_init(|| start(&programs, None)).port)
            .await
            .expect("postgres starts");
    create_database_at(port).await
}

async fn create_database_at(port: u16) -> String {
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let server = format!("postgres://postgres:{PASSWORD}@127.0.0.1:{port}");
    // A connection of its own: a pool would be bound to the runtime of the first test.
    let admin = Database::connect(format!("{server}/postgres"))
        .await
        .expect("postgres admits the tests");
    admin
        .execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .expect("a database is created");
    admin.close().await.expect("the connection closes");
    format!("{server}/{name}")
}

/// A server of the test's own.
pub(crate) async fn start_own(programs: PathBuf) -> Server {
    tokio::task::spawn_blocking(move || start(&programs, None))
        .await
        .expect("postgres starts")
}

/// A server of the test's own, which speaks TLS too, with this certificate.
pub(crate) async fn start_with_tls(programs: PathBuf, certified: Certified) -> Server {
    tokio::task::spawn_blocking(move || start(&programs, Some(&certified)))
        .await
        .expect("postgres starts")
}

fn start(programs: &Path, tls: Option<&Certified>) -> Server {
    let mut faults = String::new();
    for _ in 0..ATTEMPTS {
        match attempt(programs, tls) {
            Ok(server) => return server,
            Err(log) => faults.push_str(&log),
        }
    }
    panic!("postgres did not start in {ATTEMPTS} attempts: {faults}");
}

/// Starts a server in a folder of its own. Fails, with its log, where somebody took the port in the meantime: postgres
/// cannot be asked to choose one.
fn attempt(programs: &Path, tls: Option<&Certified>) -> Result<Server, String> {
    let folder = tempfile::Builder::new()
        .prefix("countersign-postgres-")
        .tempdir()
        .expect("a temporary folder");
    let user = unprivileged_user(folder.path());
    if let Some((uid, gid)) = user {
        chown(folder.path(), Some(uid), Some(gid)).expect("the folder is given away");
    }
    let mut more = Vec::new();
    if let Some(certified) = tls {
        certified.write(folder.path(), "server");
        let key = folder.path().join("server.key");
        // The server wants nobody else to read it.
        fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("the key is closed");
        if let Some((uid, gid)) = user {
            chown(&key, Some(uid), Some(gid)).expect("the key is given away");
        }
        more.extend(["-c".to_owned(), "ssl=on".to_owned()]);
        for (setting, name) in [
            ("ssl_cert_file", "server.pem"),
            ("ssl_key_file", "server.key"),
        ] {
            let path = folder.path().join(name);
            more.extend(["-c".to_owned(), format!("{setting}={}", path.display())]);
        }
    }
    let port = free_port();
    let mut watch = Command::new("sh");
    if let Some((uid, gid)) = user {
        watch.uid(uid).gid(gid);
    }
    let mut watch = watch
        .current_dir(folder.path())
        .args(["-c", WATCH, "sh"])
        .args([folder.path(), programs])
        .arg(port.to_string())
        .args(more)
        // A group of its own: what ends the tests' group must leave somebody to clean up.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs");
    // The shell removes it, when this process has ended.
    let folder = folder.keep();
    if wait_until_ready(&folder) {
        return Ok(Server {
            port,
            folder,
            watch,
        });
    }
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    drop(watch.stdin.take());
    watch.wait().expect("the shell ends");
    Err(log)
}

/// Whether the server in this folder, and no other that may have the port, says that it is ready.
fn wait_until_ready(folder: &Path) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if is_ready(folder) {
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

fn is_ready(folder: &Path) -> bool {
    let status = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
    status.lines().any(|line| line.trim() == "ready")
}

/// Whom to run the server as, where this process, which owns the folder, is root: postgres refuses to be.
pub(crate) fn unprivileged_user(folder: &Path) -> Option<(u32, u32)> {
    if fs::metadata(folder).expect("the folder is there").uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("there are users");
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
    Some(
        find("postgres")
            .or_else(|| find("nobody"))
            .expect("a user other than root"),
    )
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
