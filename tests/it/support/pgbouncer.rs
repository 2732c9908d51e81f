//! A PgBouncer of a test's own, before a database.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::chown,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{database::TestDatabase, postgres, tools, watched::Watched};

const PATIENCE: Duration = Duration::from_secs(20);
const ATTEMPTS: usize = 5;

/// A running one, ended when dropped.
pub(crate) struct PgBouncer {
    address: SocketAddr,
    _watched: Watched,
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
        let user = postgres::unprivileged_user(folder.path());
        if let Some((uid, gid)) = user {
            for path in [folder.path(), &users, &file] {
                chown(path, Some(uid), Some(gid)).expect("it is given away");
            }
        }
        let watched = Watched::start(program, [&file], &folder.path().join("log"), user);
        let started = Self {
            address,
            _watched: watched,
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
