//! One private world a test.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use privyseal_virtual_card::card::Card as VirtualCard;
use privyseal_virtual_card::keys;
use privyseal_virtual_card::pcscd::Pcscd;
use privyseal_virtual_card::reader::Reader;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::kryoptic;
use crate::process::Process;

/// The token's PIN: a canary that must turn up nowhere.
pub const PIN: &str = "c4nary-97531";

/// How a world is made.
#[derive(Default)]
pub struct WorldOptions {
    /// RUST_LOG of the daemon
    pub log: Option<&'static str>,
    /// what the pinentry answers to GETPIN (`D …` and `OK` lines, or an `ERR` line); by default there is no pinentry
    pub pinentry: Option<&'static str>,
    /// appended to the configuration
    pub config: String,
    /// take binaries from the release folder (benchmarks)
    pub release: bool,
    /// (certificate, key) files that the token gets too; see [`World::not_imported`]
    pub keys: Vec<(PathBuf, PathBuf)>,
    /// kinds of keys on a second token, of kryoptic (`tests/src/bin/make-token.rs`); none: no such token
    pub kryoptic: &'static [&'static str],
    /// Keys of a PIV card in the first virtual reader (`9c=p256` …; PIN 123456, PUK 12345678), behind OpenSC and a pcscd of its
    /// own; none: no such card. Only in [`privyseal_virtual_card::pcscd::in_private_place`].
    pub card: &'static [&'static str],
    /// arguments of pkcs11-tool, each for one call that prepares the token
    pub pkcs11_tool: &'static [&'static str],
}

/// A finished program.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Run {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The one JSON object on standard output.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.code,
            0,
            "{}\n{}",
            self.stderr,
            String::from_utf8_lossy(&self.stdout)
        );
        self
    }

    #[track_caller]
    pub fn fails_with(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            code,
            "{}\n{}",
            self.stderr,
            String::from_utf8_lossy(&self.stdout)
        );
        self
    }

    pub fn of(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = output
            .status
            .code()
            .unwrap_or_else(|| -output.status.signal().unwrap_or(0));
        Run {
            code,
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A daemon that is told to end has ended within this.
const END: Duration = Duration::from_secs(10);
const OPENSC: &str = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so";

/// A card in a reader.
struct Card {
    reader: Reader,
    _pcscd: Pcscd,
}

impl Card {
    fn new(dir: &Path, algorithms: &[&str]) -> Self {
        let algorithms: Vec<String> = algorithms.iter().map(|&text| text.to_owned()).collect();
        let algorithms = keys::parse(&algorithms).unwrap();
        keys::make_missing(dir, &algorithms, "card@example.org").unwrap();
        let pcscd = Pcscd::start();
        let reader = Reader::new(VirtualCard::open(dir).unwrap(), "127.0.0.1", 35963);
        reader.insert().unwrap();
        Card {
            reader,
            _pcscd: pcscd,
        }
    }
}

/// Bus, token and daemon.
pub struct World {
    temp: TempDir,
    env: BTreeMap<String, String>,
    bus: Option<Child>,
    daemon: Option<Child>,
    card: Option<Card>,
    release: bool,
    log: &'static str,
    /// PINs that were said to the daemon, but for those of the pinentry
    entries: AtomicUsize,
    batches: bool,
    not_imported: Vec<(PathBuf, String)>,
}

impl World {
    pub fn new() -> Self {
        Self::with(WorldOptions::default())
    }

    /// Token made, daemon running, token present and locked.
    pub fn with(options: WorldOptions) -> Self {
        let temp = TempDir::with_prefix("privyseal-test-").unwrap();
        let token = temp.path().join("token");
        let made = Command::new(binary("privyseal-softhsm", options.release))
            .args(["init", "--pin", PIN, "--dir"])
            .arg(&token)
            .env_remove("SOFTHSM2_CONF")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut world = World {
            temp,
            env: BTreeMap::new(),
            bus: None,
            daemon: None,
            card: None,
            release: options.release,
            log: options.log.unwrap_or("info"),
            entries: AtomicUsize::new(0),
            batches: options.config.contains("batch-"),
            not_imported: Vec::new(),
        };
        world.read_env();
        world.not_imported = world.import(&options.keys);
        for arguments in options.pkcs11_tool {
            world.pkcs11_tool(arguments);
        }
        let config = world.path("token/privyseal.toml");
        let mut text = fs::read_to_string(&config).unwrap();
        let pinentry = match options.pinentry {
            None => PathBuf::from("/bin/false"),
            Some(answer) => world.fake_pinentry(answer),
        };
        text.push_str(&format!(
            "\n[pinentry]\nprogram = \"{}\"\n",
            pinentry.display()
        ));
        text.push_str(&options.config);
        if !options.release {
            text = world.with_spy(&text);
        }
        if !options.kryoptic.is_empty() {
            text = world.with_kryoptic(&text, options.kryoptic);
        }
        if !options.card.is_empty() {
            let card = Card::new(&world.path("card"), options.card);
            text.push_str(&format!("\n[[module]]\npath = \"{OPENSC}\"\n"));
            let anchors = format!(
                "anchors = [\"{}\", ",
                world.path("card/anchor.pem").display()
            );
            text = text.replacen("anchors = [", &anchors, 1);
            world.card = Some(card);
        }
        fs::write(&config, text).unwrap();
        world.start_bus();
        world.start_daemon();
        world
    }

    /// pkcs11-tool on the demo token, logged in.
    fn pkcs11_tool(&self, arguments: &str) {
        let config = fs::read_to_string(self.path("token/privyseal.toml")).unwrap();
        let line = config.lines().find(|l| l.starts_with("path = ")).unwrap();
        let module = line.trim_start_matches("path = ").trim_matches('"');
        let run = self.run(
            "pkcs11-tool",
            ["--module", module, "--token-label", "privyseal-demo"]
                .into_iter()
                .chain(["--login", "--pin", PIN])
                .chain(arguments.split(' ')),
        );
        assert_eq!(run.code, 0, "{run:?}");
    }

    /// The card of [`WorldOptions::card`].
    pub fn card(&self) -> &Reader {
        &self.card.as_ref().unwrap().reader
    }

    /// The same, unlocked.
    pub fn unlocked() -> Self {
        let world = Self::new();
        world.unlock();
        world
    }

    fn read_env(&mut self) {
        let lines = Command::new(binary("privyseal-softhsm", self.release))
            .args(["env", "--dir"])
            .arg(self.path("token"))
            .env_remove("XDG_RUNTIME_DIR")
            .output()
            .unwrap();
        for line in String::from_utf8(lines.stdout).unwrap().lines() {
            let (name, value) = line
                .strip_prefix("export ")
                .unwrap()
                .split_once('=')
                .unwrap();
            self.env
                .insert(name.to_owned(), value.trim_matches('\'').to_owned());
        }
        self.env
            .insert("HOME".into(), self.path("home").display().to_string());
        self.env
            .insert("PATH".into(), std::env::var("PATH").unwrap());
        self.env.insert("LC_ALL".into(), "C.UTF-8".into());
        // a test that wants stored PINs makes it
        let credentials = self.path("credentials").display().to_string();
        self.env.insert("CREDENTIALS_DIRECTORY".into(), credentials);
        fs::create_dir_all(self.path("home")).unwrap();
    }

    /// A pinentry that writes what it is told to the file `pinentry.log`.
    fn fake_pinentry(&self, answer: &str) -> PathBuf {
        let path = self.path("pinentry");
        let script = format!(
            "#!/bin/sh\necho OK\nwhile read -r line; do\n  echo \"$line\" >>'{}'\n  case $line in\n    \
             GETPIN) echo >>'{}'; printf '{answer}\\n';;\n    BYE) echo OK; exit;;\n    *) echo OK;;\n  esac\ndone\n",
            self.path("pinentry.log").display(),
            self.path("pinentry.entries").display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        path
    }

    /// One call a key: some kinds of keys the token cannot hold. Gives those, with what was said of them.
    fn import(&self, keys: &[(PathBuf, PathBuf)]) -> Vec<(PathBuf, String)> {
        let mut refused = Vec::new();
        for (number, (certificate, key)) in keys.iter().enumerate() {
            let mut command = self.command(binary("privyseal-softhsm", self.release));
            let run = command.arg("import").arg("--dir").arg(self.path("token"));
            let run = run.arg("--cert").arg(certificate).arg("--key").arg(key);
            let run = run.args(["--label", &format!("imported {number}")]);
            let run = Run::of(run.env_remove("SOFTHSM2_CONF").output().unwrap());
            if run.code != 0 {
                refused.push((key.clone(), run.stderr.trim().replace('\n', "; ")));
            }
        }
        refused
    }

    /// The key files of [`WorldOptions::keys`] that the token did not take, and why.
    pub fn not_imported(&self) -> &[(PathBuf, String)] {
        &self.not_imported
    }

    /// Puts the module that spies (`spy/log`) and fails (as `spy/script` says) between worker and SoftHSM.
    fn with_spy(&self, config: &str) -> String {
        let spy = binary("libprivyseal_faulty_module.so", self.release);
        let line = config.lines().find(|l| l.starts_with("path = ")).unwrap();
        let target = line.trim_start_matches("path = ").trim_matches('"');
        let folder = self.path("spy");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("log"), "").unwrap();
        let folder = folder.display();
        let env = format!(
            "env = {{ PRIVYSEAL_FAULTY_TARGET = \"{target}\", PRIVYSEAL_FAULTY_LOG = \"{folder}/log\", \
             PRIVYSEAL_FAULTY_SCRIPT = \"{folder}/script\", "
        );
        let write = format!("write = [\"{folder}\", ");
        config
            .replace(line, &format!("path = \"{}\"", spy.display()))
            .replace("write = [", &write)
            .replace("env = { ", &env)
    }

    /// Makes kryoptic's token, and lets the daemon use it and trust its authority.
    fn with_kryoptic(&self, config: &str, kinds: &[&str]) -> String {
        let conf = self.write(
            "kryoptic.conf",
            kryoptic::configuration(&self.path("kryoptic.sql")),
        );
        let made = self
            .command(binary("make-token", self.release))
            .env("KRYOPTIC_CONF", &conf)
            .arg(kryoptic::module())
            .args([kryoptic::LABEL, PIN])
            .arg(self.dir())
            .args(kinds.iter().map(|kind| format!("{kind}={kind}")))
            .output()
            .unwrap();
        assert!(made.status.success() && made.stdout.is_empty(), "{made:?}");
        let anchors = format!("anchors = [\"{}\", ", self.path("anchor.pem").display());
        format!(
            "{}\n[[module]]\npath = \"{}\"\nenv = {{ KRYOPTIC_CONF = \"{}\" }}\n",
            config.replacen("anchors = [", &anchors, 1),
            kryoptic::module().display(),
            conf.display()
        )
    }

    fn start_bus(&mut self) {
        let socket = self.path("bus");
        let config = self.path("bus.conf");
        fs::write(
            &config,
            format!(
                "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
                 \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><type>session</type>\
                 <listen>unix:path={}</listen><servicedir>{}</servicedir><policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
                 <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy>\
                 <limit name=\"max_connections_per_user\">512</limit></busconfig>\n",
                socket.display(),
                self.path("services").display()
            ),
        )
        .unwrap();
        // a daemon that the bus starts gets this world's environment
        let bus = self
            .command("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile"])
            .stderr(fs::File::create(self.path("bus.log")).unwrap())
            .spawn()
            .expect("dbus-daemon is needed: scripts/install-deps.sh");
        self.bus = Some(bus);
        wait_until("the bus", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        // one bus is both: nothing of this machine's is heard or told
        for bus in ["DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS"] {
            self.env
                .insert(bus.into(), format!("unix:path={}", socket.display()));
        }
    }

    /// Starts the daemon and waits for the token to be there.
    pub fn start_daemon(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())
            .unwrap();
        let daemon = self
            .command(binary("privyseald", self.release))
            .env("RUST_LOG", self.log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        wait_until("the token", || {
            let list = self.privyseal(["token", "list", "--json"]);
            let text = list.text();
            list.code == 0
                && text.contains("privyseal-demo")
                && (self.card.is_none() || text.contains("Virtual Card"))
        });
    }

    /// SIGTERM; returns the exit code.
    pub fn stop_daemon(&mut self) -> i32 {
        let Some(mut daemon) = self.daemon.take() else {
            return 0;
        };
        if daemon.try_wait().unwrap().is_none() {
            Process::of(daemon.id()).signal(Signal::TERM);
        }
        let deadline = Instant::now() + END;
        loop {
            if let Some(status) = daemon.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            if Instant::now() > deadline {
                let _ = daemon.kill();
                let _ = daemon.wait();
                return -9;
            }
            std::thread::yield_now();
        }
    }

    /// Ends the daemon by a signal, whatever it does about it.
    pub fn kill_daemon(&mut self, by: Signal) -> std::process::ExitStatus {
        let mut daemon = self.daemon.take().unwrap();
        Process::of(daemon.id()).signal(by);
        daemon.wait().unwrap()
    }

    /// Ends the daemon and lets the bus start one by this service file when it is called.
    pub fn activate(&mut self, service: &str) {
        assert_eq!(self.stop_daemon(), 0);
        fs::create_dir_all(self.path("services")).unwrap();
        fs::write(self.path("services/org.privyseal1.service"), service).unwrap();
        let reloaded = self
            .command("dbus-send")
            .arg(format!("--bus={}", self.bus_address()))
            .args([
                "--print-reply",
                "--dest=org.freedesktop.DBus",
                "/org/freedesktop/DBus",
            ])
            .arg("org.freedesktop.DBus.ReloadConfig")
            .output()
            .unwrap();
        assert!(reloaded.status.success(), "{reloaded:?}");
    }

    /// Ends a daemon that the bus has started, and waits until it has let go of its lock.
    pub fn end_activated(&self) {
        let pid = fs::read_to_string(self.token_file("data/privyseal/privyseald.lock")).unwrap();
        let daemon = Process::of(pid.trim().parse().unwrap());
        daemon.signal(Signal::TERM);
        assert!(daemon.ends_within(END), "the daemon does not end");
    }

    /// A variable of the environment of whatever is started from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.into(), value.into());
    }

    pub fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    pub fn bus_address(&self) -> &str {
        &self.env["DBUS_SESSION_BUS_ADDRESS"]
    }

    pub fn dir(&self) -> &Path {
        self.temp.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// A file of the demo PKI.
    pub fn token_file(&self, name: &str) -> PathBuf {
        self.path("token").join(name)
    }

    pub fn log_file(&self) -> PathBuf {
        self.path("privyseald.log")
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// A program in this world's environment and folder.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(&self.env)
            .current_dir(self.dir())
            .process_group(0);
        command
    }

    pub fn privyseal<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Run {
        let mut command = self.command(binary("privyseal", self.release));
        Run::of(command.args(args).stdin(Stdio::null()).output().unwrap())
    }

    /// `None` when it has not ended in time: it is killed then.
    pub fn privyseal_within<I: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = I>,
        limit: Duration,
    ) -> Option<Run> {
        let child = self
            .command(binary("privyseal", self.release))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let process = Process::of(child.id());
        std::thread::scope(|scope| {
            let output = scope.spawn(move || child.wait_with_output().unwrap());
            let in_time = process.ends_within(limit);
            if !in_time {
                process.signal(Signal::KILL);
            }
            let output = output.join().unwrap();
            in_time.then(|| Run::of(output))
        })
    }

    /// Whether the daemon that was started still runs.
    pub fn daemon_lives(&mut self) -> bool {
        self.daemon
            .as_mut()
            .is_some_and(|daemon| daemon.try_wait().unwrap().is_none())
    }

    /// With standard input.
    pub fn privyseal_in<I: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = I>,
        input: &[u8],
    ) -> Run {
        let mut command = self.command(binary("privyseal", self.release));
        command.args(args);
        if command.get_args().any(|arg| arg == "--pin-fd") {
            self.says_pin();
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // the program may end without reading all of it
            scope.spawn(move || stdin.write_all(input).ok());
            Run::of(child.wait_with_output().unwrap())
        })
    }

    /// A test says a PIN to the daemon, in another way than by [`Self::privyseal_in`] or the pinentry.
    pub fn says_pin(&self) {
        self.entries.fetch_add(1, Ordering::Relaxed);
    }

    /// A PIN that was said is at most one C_Login, of the demo token or of the card (design rule 3), but where one entry serves a batch,
    /// or PINs are stored: tests of that count for themselves. Benchmarks log in beside the daemon.
    fn check_logins(&self) {
        if self.release || self.batches || self.path("credentials").exists() {
            return;
        }
        let lines = |name| fs::read_to_string(self.path(name)).unwrap_or_default();
        let of_tokens = lines("spy/log")
            .lines()
            .filter(|line| line.split(' ').next() == Some("C_Login"))
            .count();
        let of_card = self.card.as_ref().map_or(0, |card| {
            usize::try_from(card.reader.card().state().verifies).unwrap()
        });
        let prompts = lines("pinentry.entries").lines().count();
        let said = self.entries.load(Ordering::Relaxed) + prompts;
        assert!(
            of_tokens + of_card <= said,
            "{of_tokens} C_Logins and {of_card} VERIFYs for {said} PINs"
        );
    }

    /// SHA-256 of a certificate in a file, by openssl: hexadecimal digits.
    pub fn fingerprint(&self, certificate: impl AsRef<Path>) -> String {
        let file = certificate.as_ref().display();
        let shown = self.openssl(&format!("x509 -noout -fingerprint -sha256 -in {file}"));
        let text = shown.ok().text();
        let (_, hex) = text.trim().split_once('=').unwrap();
        hex.replace(':', "").to_lowercase()
    }

    pub fn unlock(&self) {
        self.unlock_token("privyseal-demo");
    }

    /// A token with the PIN [`PIN`], by its label.
    pub fn unlock_token(&self, label: &str) {
        self.privyseal_in(["token", "unlock", label, "--pin-fd", "0"], PIN.as_bytes())
            .ok();
    }

    /// Another program, in this world's environment and folder.
    pub fn run<I: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = I>) -> Run {
        let mut command = self.command(program);
        let output = command.args(args).stdin(Stdio::null()).output();
        Run::of(output.unwrap_or_else(|e| panic!("{program} ({e}): scripts/install-deps.sh")))
    }

    /// `openssl` in this world's folder.
    pub fn openssl(&self, args: &str) -> Run {
        openssl(self.dir(), args)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let code = self.stop_daemon();
        if let Some(mut bus) = self.bus.take() {
            let _ = bus.kill();
            let _ = bus.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log_file()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- the end of privyseald.log\n{}",
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
        } else {
            assert_eq!(code, 0, "privyseald did not end cleanly");
            self.check_logins();
        }
    }
}

/// A built program of ours: beside the test's own folder, or in the release folder.
pub fn binary(name: &str, release: bool) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let mut folder = exe.parent().unwrap();
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap();
    }
    let folder = if release && !folder.ends_with("release") {
        folder.parent().unwrap().join("release")
    } else {
        folder.into()
    };
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is not built: cargo build --workspace (make test does)",
        path.display()
    );
    path
}

/// Runs openssl; arguments are split at spaces, so paths must have none.
pub fn openssl(dir: &Path, args: &str) -> Run {
    let output = Command::new("openssl")
        .args(args.split(' '))
        .current_dir(dir)
        .stdin(Stdio::null())
        .output();
    Run::of(output.expect("openssl is needed: scripts/install-deps.sh"))
}

/// Asks again until it holds; fails the test after half a minute.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::yield_now();
    }
}
