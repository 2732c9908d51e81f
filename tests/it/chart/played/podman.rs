//! podman and buildah with a storage of their own, which goes with the test.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(super) const IMAGE: &str = "localhost/countersign:test";
const BASE: &str = "localhost/base:test";

/// Limits are those of this process's: podman would raise them, which not everybody may. Its locks are files, beside the rest,
/// and not memory that all podmans of the machine share.
const SETTINGS: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
"#;

pub(super) struct Podman {
    folder: TempDir,
}

impl Podman {
    /// With the image, built from the Dockerfile around the binary of these tests, on a base that has the libraries it needs.
    pub(super) fn with_image() -> Self {
        let podman = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        let settings = format!("{SETTINGS}tmp_dir = {:?}\n", podman.path("tmp"));
        fs::write(podman.path("containers.conf"), settings).expect("it is written");
        let context = podman.path("context");
        let dist = Path::new(&context).join("dist");
        fs::create_dir_all(&dist).expect("it is made");
        let binary = env!("CARGO_BIN_EXE_countersign");
        copy_libraries(binary, &Path::new(&context).join("base"));
        let stripped = dist.join("countersign");
        succeeded(
            Command::new("strip")
                .arg("-o")
                .args([&stripped, Path::new(binary)]),
        );
        fs::write(dist.join("ca-certificates.crt"), "").expect("it is written");
        let base = "FROM scratch\nCOPY base/ /\n";
        fs::write(Path::new(&context).join("Dockerfile.base"), base).expect("it is written");
        podman.build(&["--file", "Dockerfile.base", "--tag", BASE]);
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile");
        let base = format!("BASE={BASE}");
        podman.build(&[
            "--file",
            file,
            "--target",
            "prebuilt",
            "--build-arg",
            &base,
            "--tag",
            IMAGE,
        ]);
        podman
    }

    fn path(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        path.to_str().expect("a path of text").to_owned()
    }

    fn build(&self, arguments: &[&str]) {
        let context = self.path("context");
        let mut command = self.command("buildah");
        command.args(["bud", "--quiet"]).args(arguments).arg(".");
        succeeded(
            command
                .current_dir(context)
                .env("BUILDAH_ISOLATION", "chroot"),
        );
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .args(["--storage-driver", "vfs"])
            .args(["--root", &self.path("root"), "--runroot", &self.path("run")]);
        command
    }

    fn podman(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("podman");
        command.args(arguments);
        command
    }

    fn told(&self, arguments: &[&str]) -> String {
        let output = succeeded(&mut self.podman(arguments));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(super) fn image(&self) -> Value {
        let told = self.told(&["image", "inspect", IMAGE]);
        let images: Value = serde_json::from_str(&told).expect("JSON");
        images[0].clone()
    }

    /// A secret as this podman stores those of Kubernetes, whose values it writes into files as they are.
    pub(super) fn secret(&self, name: &str, files: &[(&str, &str)]) {
        let data: Value = files
            .iter()
            .map(|(name, text)| (*name, json!(text)))
            .collect();
        self.fed(
            &["secret", "create", name, "-"],
            &json!({"data": data}).to_string(),
        );
    }

    pub(super) fn play(&self, documents: &[Value]) {
        let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
        let arguments = ["kube", "play", "--network", "host", "-"];
        self.fed(&arguments, &texts.join("\n---\n"));
    }

    fn fed(&self, arguments: &[&str], input: &str) {
        let mut command = self.podman(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("podman runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("podman reads");
        drop(stdin);
        let output = child.wait_with_output().expect("podman ends");
        must_have_succeeded(&output, &format!("{arguments:?}"));
    }

    /// The container that runs beside the one that holds the pod.
    pub(super) fn running(&self) -> String {
        self.named(&["ps", "--format", "{{.Names}}"])
    }

    /// The same, running or not.
    pub(super) fn only(&self) -> String {
        self.named(&["ps", "--all", "--format", "{{.Names}}"])
    }

    fn named(&self, arguments: &[&str]) -> String {
        let told = self.told(arguments);
        let mut names = told.lines().filter(|name| !name.ends_with("-infra"));
        let name = names.next().unwrap_or_else(|| panic!("none runs: {told}"));
        assert_eq!(names.next(), None, "{told}");
        name.to_owned()
    }

    pub(super) fn log(&self, name: &str) -> String {
        let output = self.podman(&["logs", name]).output().expect("podman runs");
        let parts = [output.stdout, output.stderr];
        parts
            .map(|it| String::from_utf8_lossy(&it).into_owned())
            .concat()
    }

    /// Waits for the end of a container and tells its exit code.
    pub(super) fn wait(&self, name: &str) -> i32 {
        self.told(&["wait", name]).parse().expect("a code")
    }

    /// Ends a container as kubelet does, and tells its exit code: 137 if it had to be killed.
    pub(super) fn stop(&self, name: &str, patience: u64) -> i32 {
        self.told(&["stop", "--time", &patience.to_string(), name]);
        let told = self.told(&["inspect", "--format", "{{.State.ExitCode}}", name]);
        told.parse().expect("a code")
    }

    /// What the kernel says of the process: nobody's, without a capability, in a file system that it cannot write.
    pub(super) fn must_be_restricted(&self, name: &str, pod: &Value) {
        let process = self.told(&["inspect", "--format", "{{.State.Pid}}", name]);
        let read = |file: &str| {
            let text = fs::read_to_string(format!("/proc/{process}/{file}"));
            text.expect("the process is there")
        };
        let status = read("status");
        let field = |name: &str| {
            let mut lines = status.lines();
            let line = lines.find_map(|it| it.strip_prefix(name)?.strip_prefix(":\t"));
            line.expect("a field").to_owned()
        };
        let user = pod["securityContext"]["runAsUser"].to_string();
        assert_eq!(field("Uid"), [user.as_str(); 4].join("\t"));
        for capabilities in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(field(capabilities), "0".repeat(16));
        }
        assert_eq!(field("NoNewPrivs"), "1");
        // Filtered.
        assert_eq!(field("Seccomp"), "2");
        let mounts = read("mountinfo");
        let mut roots = mounts.lines().filter_map(|it| it.split(" / / ").nth(1));
        let root = roots.next().or_else(|| {
            // The folder of a storage without layers.
            let mut lines = mounts.lines().map(|line| line.split(' ').skip(4));
            lines.find_map(|mut it| (it.next()? == "/").then(|| it.next())?)
        });
        let root = root.unwrap_or_else(|| panic!("{mounts}"));
        assert!(root.starts_with("ro"), "{root}");
    }

    /// Removes every pod, and leaves secrets and images.
    pub(super) fn clear(&self) {
        self.told(&["pod", "rm", "--force", "--all", "--time", "1"]);
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Also after a failure, whose message is what counts then.
        for arguments in [
            ["pod", "rm", "--force", "--all", "--time", "1"].as_slice(),
            &["volume", "rm", "--force", "--all"],
        ] {
            self.podman(arguments).output().ok();
        }
    }
}

/// The libraries of a binary that is not static, as its loader finds them.
fn copy_libraries(binary: &str, to: &Path) {
    fs::create_dir_all(to).expect("it is made");
    let output = succeeded(Command::new("ldd").arg(binary));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = told.split_whitespace().filter(|word| word.starts_with('/'));
    for path in paths {
        let copy = to.join(path.trim_start_matches('/'));
        fs::create_dir_all(copy.parent().expect("a folder")).expect("it is made");
        fs::copy(path, copy).expect("it is copied");
    }
}

fn succeeded(command: &mut Command) -> Output {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    must_have_succeeded(&output, &format!("{command:?}"));
    output
}

fn must_have_succeeded(output: &Output, what: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {told}");
}
