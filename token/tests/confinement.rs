//! A hostile module tries what it should not: to talk to the session bus, to read keys, to write, to start programs. And what a
//! module is allowed works.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{Demo, built, eventually, pin, worker};
use privyseal_token::{Hash, KeyRef, Module, ModuleConfig, ModuleStatus, SignScheme, TokenId};
use privyseal_virtual_card::not_run;

const PKCS1: SignScheme = SignScheme::RsaPkcs1(Hash::Sha256);
/// Set in the process that has no namespaces to make.
const INSIDE: &str = "PRIVYSEAL_NO_NAMESPACES";

/// Files that a module would make if it could; taken away in any case.
const MARKS: [&str; 3] = [
    "/etc/privyseal-was-here",
    "/usr/lib/privyseal-was-here",
    "/dev/shm/privyseal-was-here",
];

/// What there is on the machine beside the module's own.
struct Outside {
    temp: tempfile::TempDir,
    _bus: UnixListener,
    _log: UnixDatagram,
    _abstract: UnixListener,
    abstract_name: String,
    tcp: TcpListener,
    another: Demo,
}

impl Outside {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        fs::create_dir(at("ssh")).unwrap();
        fs::write(at("ssh/id_ed25519"), "secret").unwrap();
        fs::write(at("listed"), "for the module").unwrap();
        let abstract_name = format!("privyseal-test-{}-{}", std::process::id(), at("").display());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        Self {
            _bus: UnixListener::bind(at("bus")).unwrap(),
            _log: UnixDatagram::bind(at("log")).unwrap(),
            _abstract: UnixListener::bind_addr(&address).unwrap(),
            abstract_name,
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            another: Demo::new(),
            temp,
        }
    }

    fn path(&self, name: &str) -> String {
        self.temp.path().join(name).to_str().unwrap().to_owned()
    }

    /// What nobody needs who has keys.
    fn attempts(&self) -> Vec<String> {
        let store = self.another.dir().join("demo");
        let bus = self.path("bus");
        let me = std::process::id();
        vec![
            format!("connect {bus}"),
            format!("connect-abstract {}", self.abstract_name),
            format!("datagram {}", self.path("log")),
            format!("tcp {}", self.tcp.local_addr().unwrap()),
            format!("read {}", self.path("ssh/id_ed25519")),
            format!("read {}", self.path("ssh")),
            format!("read {}", store.display()),
            format!("read /proc/{me}/environ"),
            format!("write {}", self.path("new")),
            format!("write {}", self.path("listed")),
            format!("write {}", MARKS[0]),
            format!("write {}", MARKS[1]),
            format!("write {}", MARKS[2]),
            // its own, and no number: done or not, nothing changes
            "write /proc/self/oom_score_adj".into(),
            "exec /bin/true".into(),
            "spawn /bin/true".into(),
            "core".into(),
            "debug".into(),
            format!("signal {me}"),
            "namespace".into(),
        ]
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for mark in MARKS {
            let _ = fs::remove_file(mark);
        }
    }
}

/// The hostile module in front of a token.
struct Hostile {
    demo: Demo,
    module: Arc<Module>,
    token: TokenId,
    key: KeyRef,
}

impl Hostile {
    /// `path`: of the module, by which it may be known. `change`: its entry in the configuration.
    fn start(path: Option<PathBuf>, change: impl FnOnce(&mut ModuleConfig)) -> Self {
        let demo = Demo::new();
        demo.script("");
        let mut config = demo.faulty_config();
        config.path = path.unwrap_or(config.path);
        change(&mut config);
        let module = Module::start(config, worker(), Box::new(|_| ()));
        eventually("it is loaded", || module.status() == ModuleStatus::Ok);
        let token = demo.token(&module).id;
        module.login(&token, Some(pin()), false).unwrap();
        Self {
            token,
            key: demo.key(&module, "me-rsa-sign"),
            module,
            demo,
        }
    }

    /// What came of an attempt; it signs all the same.
    fn attempt(&self, what: &str) -> String {
        self.demo.script(&format!("C_Sign once {what}"));
        let signed = self.module.sign(&self.token, &self.key, PKCS1, &[7; 32]);
        signed.unwrap_or_else(|e| panic!("{what}: {e}"));
        let log = self.demo.spied();
        let line = log.lines().rfind(|l| l.starts_with("tried ")).unwrap();
        let outcome = line.strip_prefix(&format!("tried {what}"));
        outcome.unwrap().trim_start_matches([' ', ':']).to_owned()
    }

    #[track_caller]
    fn is_refused(&self, what: &str) {
        let outcome = self.attempt(what);
        let refused = [
            "os error 1)",
            "os error 13)",
            "os error 2)",
            "os error 111)",
        ];
        let unreachable = ["os error 101)", "os error 30)"];
        assert!(
            refused
                .iter()
                .chain(&unreachable)
                .any(|end| outcome.ends_with(end)),
            "{what}: {outcome}"
        );
    }

    #[track_caller]
    fn is_done(&self, what: &str) {
        assert_eq!(self.attempt(what), "done", "{what}");
    }

    /// A line of the worker's `/proc/PID/status`.
    fn status(&self, name: &str) -> String {
        let pid = self.module.worker_pid().unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix(name));
        line.unwrap().trim_start_matches(':').trim().to_owned()
    }
}

/// All that is outside; gives how many cells ran.
fn refuses_everything(hostile: &Hostile, outside: &Outside) -> usize {
    let attempts = outside.attempts();
    for attempt in &attempts {
        hostile.is_refused(attempt);
    }
    attempts.len()
}

/// A copy of the hostile module under the name of another.
fn under_the_name(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    let own = built("privyseal-faulty-module", "libprivyseal_faulty_module.so");
    fs::copy(own, &path).unwrap();
    path
}

#[test]
fn a_hostile_module_gets_at_nothing_that_its_entry_does_not_list() {
    let outside = Outside::new();
    let folder = tempfile::tempdir().unwrap();
    let mut cells = 0;
    for name in [
        "libunknown.so",
        "libsofthsm2-hostile.so",
        "libkryoptic_pkcs11.so",
    ] {
        let path = under_the_name(folder.path(), name);
        let hostile = Hostile::start(Some(path), |_| ());
        assert!(
            hostile.module.unconfined().is_empty(),
            "{:?}",
            hostile.module.unconfined()
        );
        cells += refuses_everything(&hostile, &outside);
    }
    println!("hostile: {cells} cells ran");
    assert_eq!(cells, 60);
}

#[test]
fn what_is_listed_can_be_used() {
    let outside = Outside::new();
    fs::create_dir(outside.path("folder")).unwrap();
    let _second = UnixListener::bind(outside.path("other")).unwrap();
    let hostile = Hostile::start(None, |config| {
        config.read.push(outside.path("listed").into());
        config.write.push(outside.path("folder").into());
        config.write.push(outside.path("bus").into());
        config.devices.push("/dev/tty".into());
    });
    let mut cells = 0;
    for what in [
        format!("read {}", outside.path("listed")),
        format!("write {}", outside.path("folder/new")),
        format!("read {}", outside.path("folder")),
        format!("connect {}", outside.path("bus")),
        "read /etc/passwd".into(),
        "read /usr/lib/softhsm".into(),
        "read /proc/self/status".into(),
        "read /dev/null".into(),
        "write /dev/null".into(),
    ] {
        hostile.is_done(&what);
        cells += 1;
    }
    for what in [
        format!("connect {}", outside.path("other")),
        format!("write {}", outside.path("listed")),
        format!("read {}", outside.path("ssh/id_ed25519")),
        format!("tcp {}", outside.tcp.local_addr().unwrap()),
    ] {
        hostile.is_refused(&what);
        cells += 1;
    }
    assert_eq!(fs::read(outside.path("folder/new")).unwrap(), b"x");
    println!("listed: {cells} cells ran");
    assert_eq!(cells, 13);
}

#[test]
fn a_network_is_had_by_who_lists_it() {
    let outside = Outside::new();
    let hostile = Hostile::start(None, |config| config.network = true);
    hostile.is_done(&format!("tcp {}", outside.tcp.local_addr().unwrap()));
    for what in [
        format!("connect {}", outside.path("bus")),
        format!("connect-abstract {}", outside.abstract_name),
        format!("read {}", outside.path("ssh/id_ed25519")),
    ] {
        hostile.is_refused(&what);
    }
}

#[test]
fn a_worker_has_no_privileges_no_core_file_and_its_pin_in_locked_memory() {
    let hostile = Hostile::start(None, |_| ());
    assert_eq!(hostile.status("NoNewPrivs"), "1");
    assert_eq!(hostile.status("Seccomp"), "2");
    for set in ["CapInh", "CapPrm", "CapEff"] {
        assert_eq!(hostile.status(set), "0000000000000000", "{set}");
    }
    let locked: u64 = hostile
        .status("VmLck")
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert!(locked > 0);
    let pid = hostile.module.worker_pid().unwrap();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|l| l.starts_with("Max core file size"));
    let core: Vec<_> = core.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(core, ["0", "0"]);
}

/// Where the kernel allows no namespaces, the other layers hold what they can, and the user is told.
#[test]
fn without_namespaces_a_module_that_nobody_knows_gets_no_socket() {
    let test = "without_namespaces_a_module_that_nobody_knows_gets_no_socket";
    if std::env::var_os(INSIDE).is_none() {
        return without_namespaces(test);
    }
    let outside = Outside::new();
    let folder = tempfile::tempdir().unwrap();
    let mut cells = 0;
    for name in ["libunknown.so", "libsofthsm2-hostile.so"] {
        let path = under_the_name(folder.path(), name);
        let hostile = Hostile::start(Some(path), |_| ());
        let lacks = hostile.module.unconfined().join("; ");
        assert!(
            lacks.contains("no file system of its own: user namespaces"),
            "{lacks}"
        );
        cells += refuses_everything(&hostile, &outside);
    }
    println!("without namespaces: {cells} cells ran");
    assert_eq!(cells, 40);
}

/// Runs a test of this program where no namespace can be made.
fn without_namespaces(test: &str) {
    let limit = "echo 0 >/proc/sys/user/max_user_namespaces";
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
        command
    };
    let allowed = unshare(limit).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        not_run(test, "namespaces are not allowed here anyway");
        return;
    }
    let output = unshare(&format!("{limit} && exec \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{errors}"
    );
}
