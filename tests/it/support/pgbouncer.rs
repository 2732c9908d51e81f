//! A PgBouncer of a test's own, before a database. As with PostgreSQL, a shell watches over it and ends it when this process
//! has ended, however it ended.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{database::TestDatabase, postgres, tools};

/// `$1` is the program, `$2` its configuration.
const WATCH: &str = r#"
"$1" "$2" &
server=$!
read -r _
kill -TERM $server 2>/dev/null
wait $server
"#;
const PATIENCE: Duration = Duration::from_secs(20);
const ATTEMPTS: usize = 5;

/// A running one, ended when dropped.
pub(crate) struct PgBouncer {
    address: SocketAddr,
    /// Holds the pipe.
    watch: Child,
    folder: TempDir,
}

impl PgBouncer {
    /// One in this mode, before the server of this database. None, which was said, where it is not installed and not
    /// required. `more` are lines of its configuration.
    pub(crate) fn start(database: &TestDatabase, mode: &str, more: &str) -> Option<Self> {
        let program = tools::require_pgbouncer()?;
        let started = (0..ATTEMPTS).find_map(|_| Self::attempt(&program, database, mode, more));
        Some(started.expect("pgbouncer starts"))
    }

    /// None where somebody took the port in the meantime.
    fn attempt(program: &Path, database: &TestDatabase, mode: &str, more: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        drop(listener);
        let upstream = database.address();
        let users = folder.path().join("users");
        let password = postgres::PASSWORD;
        fs::write(&users, format!("\"postgres\" \"{password}\"\n")).expect("a file is written");
        let configuration = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = any\nauth_file = {}\npool_mode = {mode}\ndefault_pool_size = 60\n\
             ignore_startup_parameters = extra_float_digits\n{more}\n",
            upstream.ip(),
            upstream.port(),
            address.port(),
            users.display(),
        )
        // Whoever connects is the user that there is.
        .replacen(" port=", " user=postgres port=", 1);
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, configuration).expect("a file is written");
        let output = fs::File::create(folder.path().join("log")).expect("a file is made");
        let mut command = Command::new("sh");
        if let Some((uid, gid)) = postgres::unprivileged_user(folder.path()) {
            for path in [folder.path(), &users, &file] {
                chown(path, Some(uid), Some(gid)).expect("it is given away");
            }
            command.uid(uid).gid(gid);
        }
        let watch = command
            .args(["-c", WATCH, "sh"])
            .args([program, &file])
            // A group of its own: what ends the tests' group must leave somebody to clean up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("sh runs");
        let started = Self {
            address,
            watch,
            folder,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = started.log();
            if log.contains("FATAL") {
                assert!(log.contains("in use"), "{log}");
                return None;
            }
            if log.contains("process up") && TcpStream::connect(address).is_ok() {
                return Some(started);
            }
            assert!(Instant::now() < deadline, "pgbouncer does not start: {log}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        self.watch.wait().ok();
    }
}
