//! A private bus and the real daemon on it, in a folder of their own; nothing of the user's is read or left behind.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod tokens;
pub mod xml;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::Duration;

use privyseal_proto::proxy::{CmsProxy, JobProxy, ManagerProxy};
use privyseal_proto::{ErrorName, OBJECTS_PATH};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use zbus::export::ordered_stream::OrderedStreamExt;
use zbus::fdo::{ManagedObjects, ObjectManagerProxy};
use zbus::{Connection, OwnedObjectPath};

/// Everything that is waited for comes within this time, or the test fails.
pub const DEADLINE: Duration = Duration::from_secs(30);
pub const PIN: &str = "24-canary-42";

/// Ends its process when it goes.
pub struct Process(Option<Child>);

pub struct World {
    pub daemon: Process,
    _bus: Process,
    pub address: String,
    notify: UnixDatagram,
    folder: TempDir,
    token: bool,
    descriptors: Option<u32>,
}

impl Process {
    pub fn of(child: Child) -> Self {
        Process(Some(child))
    }

    pub fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end, and gives how it ended and what it wrote to stderr.
    pub fn wait(&mut self) -> (ExitStatus, String) {
        let child = self.0.take().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        let (done, end) = mpsc::channel();
        thread::spawn(move || done.send(child.wait_with_output()));
        match end.recv_timeout(DEADLINE) {
            Ok(output) => {
                let output = output.unwrap();
                (
                    output.status,
                    String::from_utf8_lossy(&output.stderr).into_owned(),
                )
            }
            Err(_) => {
                rustix::process::kill_process(pid, Signal::KILL).unwrap();
                panic!("a process did not end within {DEADLINE:?}");
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl World {
    /// A daemon without any module.
    pub fn start() -> Self {
        Self::new(None, None)
    }

    /// A daemon with a SoftHSM token.
    pub fn with_token() -> Self {
        Self::new(Some(&|config| config), None)
    }

    /// Likewise, and this is how it asks for PINs.
    pub fn with_token_and_pinentry(program: &Path) -> Self {
        let pinentry = format!(
            "\n[pinentry]\nprogram = {:?}\n",
            program.display().to_string()
        );
        Self::with_token_and(&pinentry)
    }

    /// Likewise, with more in its configuration.
    pub fn with_token_and(more: &str) -> Self {
        Self::new(Some(&|config| config + more), None)
    }

    /// A daemon whose SoftHSM token is in a reader with a keypad, on which somebody types the PIN (`tests/faulty-module`).
    pub fn with_keypad() -> Self {
        let with_keypad = |config: String| {
            let path = config.lines().find(|l| l.starts_with("path = ")).unwrap();
            let target = path.trim_start_matches("path = ");
            let module = beside("libprivyseal_faulty_module.so");
            let env = format!(
                "env = {{ PRIVYSEAL_FAULTY_TARGET = {target}, PRIVYSEAL_FAULTY_KEYPAD = {PIN:?}, "
            );
            config
                .replace(path, &format!("path = {:?}", module.display().to_string()))
                .replace("env = { ", &env)
        };
        Self::new(Some(&with_keypad), None)
    }

    /// A daemon with a SoftHSM token on which the key of peer-rsa.pem wants the PIN at every use.
    pub fn with_key_for_each_use() -> Self {
        let with_key = |config: String| {
            let value = |key: &str| config.split(key).nth(1).unwrap().split('"').nth(1).unwrap();
            let softhsm = Path::new(value("SOFTHSM2_CONF = "));
            let write = |file: &str, kind: &[&str]| {
                let run = Command::new("pkcs11-tool")
                    .env("SOFTHSM2_CONF", softhsm)
                    .args(["--module", value("path = "), "--login", "--pin", PIN])
                    .args(["--token-label", "privyseal-demo", "--id", "c1"])
                    .arg("--write-object")
                    .arg(softhsm.with_file_name(file))
                    .arg("--type")
                    .args(kind)
                    .output()
                    .unwrap();
                assert!(run.status.success(), "{run:?}");
            };
            write(
                "peer-rsa.key",
                &["privkey", "--always-auth", "--usage-decrypt"],
            );
            write("peer-rsa.pem", &["cert"]);
            config
        };
        Self::new(Some(&with_key), None)
    }

    /// A daemon without any module that can have so many descriptors open.
    pub fn with_descriptors(most: u32) -> Self {
        Self::new(None, Some(most))
    }

    /// With a token: what becomes of its configuration.
    fn new(token: Option<&dyn Fn(String) -> String>, descriptors: Option<u32>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("privyseald-test.")
            .tempdir()
            .unwrap();
        let root = folder.path();
        if let Some(edited) = token {
            companions();
            let init = Command::new(beside("privyseal-softhsm"))
                .args(["init", "--pin", PIN, "--dir"])
                .arg(root.join("token"))
                .env_remove("SOFTHSM2_CONF")
                .output()
                .unwrap();
            assert!(init.status.success(), "{init:?}");
            let config = root.join("token/privyseal.toml");
            let text = fs::read_to_string(&config).unwrap();
            fs::write(&config, edited(text)).unwrap();
        } else {
            fs::write(root.join("privyseal.toml"), "[modules]\np11-kit = false\n").unwrap();
        }
        let (bus, address) = bus(root);
        let notify = UnixDatagram::bind(root.join("notify")).unwrap();
        notify.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut world = World {
            daemon: Process(None),
            _bus: bus,
            address,
            notify,
            folder,
            token: token.is_some(),
            descriptors,
        };
        world.daemon = world.start_daemon();
        let told = world.told();
        assert!(told.starts_with("READY=1"), "{told}");
        world
    }

    /// What the daemon tells the service manager next.
    pub fn told(&self) -> String {
        let mut told = [0; 4096];
        let n = self.notify.recv(&mut told).unwrap_or_else(|e| {
            panic!("the daemon says nothing ({e}): {}", self.log());
        });
        String::from_utf8_lossy(&told[..n]).into_owned()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The daemon, not yet started; its stderr is a pipe.
    pub fn command(&self) -> Command {
        let root = self.folder();
        let config = if self.token {
            root.join("token/privyseal.toml")
        } else {
            root.join("privyseal.toml")
        };
        let daemon = env!("CARGO_BIN_EXE_privyseald");
        let mut command = match self.descriptors {
            Some(most) => {
                let mut prlimit = Command::new("prlimit");
                prlimit.arg(format!("--nofile={most}")).arg(daemon);
                prlimit
            }
            None => Command::new(daemon),
        };
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", root)
            .env("XDG_DATA_HOME", root.join("data"))
            .env("XDG_CACHE_HOME", root.join("cache"))
            .env("XDG_CONFIG_HOME", root.join("config"))
            .env("PRIVYSEAL_CONFIG", config)
            .env("CREDENTIALS_DIRECTORY", root.join("credentials"))
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("RUST_LOG", "trace,zbus=warn")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// What a daemon says that ends at once.
    pub fn refused(&self, command: &mut Command) -> Output {
        let mut process = Process(Some(command.spawn().unwrap()));
        let (status, stderr) = process.wait();
        Output {
            status,
            stdout: Vec::new(),
            stderr: stderr.into_bytes(),
        }
    }

    fn start_daemon(&self) -> Process {
        let log = fs::File::create(self.folder().join("log")).unwrap();
        let child = self
            .command()
            .env("NOTIFY_SOCKET", self.folder().join("notify"))
            .stderr(log)
            .spawn()
            .unwrap();
        Process(Some(child))
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Descriptors that the daemon has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.daemon.id()))
            .unwrap()
            .count()
    }

    /// A client of its own.
    pub async fn connect(&self) -> Connection {
        zbus::connection::Builder::address(self.address.as_str())
            .build()
            .await
            .unwrap()
    }

    /// Waits until the objects are as wanted.
    pub async fn objects(
        &self,
        client: &Connection,
        wanted: impl Fn(&ManagedObjects) -> bool,
    ) -> ManagedObjects {
        let manager = ObjectManagerProxy::builder(client)
            .destination("org.privyseal1")
            .path(OBJECTS_PATH)
            .build()
            .await
            .unwrap();
        let mut added = manager.receive_interfaces_added().await.unwrap();
        let waiting = async {
            loop {
                let objects = manager.get_managed_objects().await.unwrap();
                if wanted(&objects) {
                    return objects;
                }
                added.next().await.unwrap();
            }
        };
        match tokio::time::timeout(DEADLINE, waiting).await {
            Ok(objects) => objects,
            Err(_) => panic!("the objects did not come: {}", self.log()),
        }
    }
}

/// dbus-daemon on a socket in `root`, and its address.
fn bus(root: &Path) -> (Process, String) {
    let config = root.join("bus.conf");
    let socket = root.join("bus");
    fs::write(
        &config,
        format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={}</listen>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
"#,
            socket.display()
        ),
    )
    .unwrap();
    let mut child = Command::new("dbus-daemon")
        .arg(format!("--config-file={}", config.display()))
        .args(["--nofork", "--nopidfile", "--print-address=1"])
        .stdout(Stdio::piped())
        // it says there that it may not raise its limits
        .stderr(fs::File::create(root.join("bus.log")).unwrap())
        .spawn()
        .expect("dbus-daemon is needed for this test");
    // it writes its address once it listens
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    (Process(Some(child)), address.trim().to_owned())
}

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_privyseald")).with_file_name(name)
}

/// Builds the other binaries: cargo builds only this package's own for its tests. Of the whole workspace, as `make test` does: of some
/// packages it would build what they depend on once more, with other features.
fn companions() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "--quiet", "--workspace"]);
        if beside("").ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
    });
}

pub async fn manager(client: &Connection) -> ManagerProxy<'_> {
    ManagerProxy::new(client).await.unwrap()
}

pub async fn cms(client: &Connection) -> CmsProxy<'_> {
    CmsProxy::new(client).await.unwrap()
}

pub async fn job(client: &Connection, path: OwnedObjectPath) -> JobProxy<'_> {
    JobProxy::builder(client).path(path).build().await.unwrap()
}

/// The daemon's error name, or the standard one.
pub fn error_name<T>(result: zbus::Result<T>) -> String {
    match result.err().expect("an error was expected") {
        zbus::Error::MethodError(name, _, _) => match ErrorName::parse(name.as_str()) {
            Some(ours) => ours.short().to_owned(),
            None => name.to_string(),
        },
        zbus::Error::FDO(error) => zbus::DBusError::name(&*error).to_string(),
        other => other.to_string(),
    }
}

/// (read end, write end)
pub fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}

pub fn null() -> OwnedFd {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .unwrap()
        .into()
}

/// Reads to the end, which must come within the deadline.
pub async fn read_to_end(fd: OwnedFd) -> Vec<u8> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        fs::File::from(fd).read_to_end(&mut all).unwrap();
        all
    });
    tokio::time::timeout(DEADLINE, reading)
        .await
        .expect("the other end stays open")
        .unwrap()
}
