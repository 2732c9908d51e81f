//! A program of a test's own. A shell watches over it and ends it when this process has ended, however it ended.

use std::{
    ffi::OsStr,
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Takes the program and what goes to it.
const WATCH: &str = r#"
"$@" &
server=$!
read -r _
kill -TERM $server 2>/dev/null
wait $server
"#;

/// A running one, ended when dropped.
pub(crate) struct Watched {
    /// Holds the pipe.
    shell: Child,
}

impl Watched {
    /// With what it says on standard error in this file, as this user or as the one that this process is.
    pub(crate) fn start(
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: &Path,
        user: Option<(u32, u32)>,
    ) -> Self {
        let output = fs::File::create(log).expect("a file is made");
        let mut command = Command::new("sh");
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        let shell = command
            .args(["-c", WATCH, "sh"])
            .arg(program)
            .args(arguments)
            // A group of its own: what ends the tests' group must leave somebody to clean up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("sh runs");
        Self { shell }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().ok();
    }
}
