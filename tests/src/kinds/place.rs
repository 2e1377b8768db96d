//! Where a kind of token is: its module, the programs that it needs, and its keys. All of it lies in the folder of one world.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use privyseal_virtual_card::card::Card;
use privyseal_virtual_card::keys;
use privyseal_virtual_card::reader::Reader;

use super::Kind;
use crate::{PIN, World, kryoptic, wait_until};

/// A running program; ended with this.
pub struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Env = Vec<(&'static str, String)>;

/// Who makes the keys.
enum Maker {
    /// `make-token`, through the module that the daemon uses
    Token,
    /// `certutil` in this folder: NSS wants to be initialised as Rust programs without unsafe code cannot
    Certutil(PathBuf),
}

/// A token's module and environment, and what serves it.
pub struct Place {
    pub module: PathBuf,
    env: Env,
    made_by: Maker,
    /// further lines of its entry in the configuration
    more: String,
    _served_by: Option<Program>,
    /// a card that is not yet in its reader
    pub second_card: Option<Reader>,
}

impl Place {
    fn new(module: impl Into<PathBuf>, env: Env) -> Self {
        Self {
            made_by: Maker::Token,
            module: module.into(),
            env,
            more: String::new(),
            _served_by: None,
            second_card: None,
        }
    }

    /// The demo token of the world.
    pub fn softhsm(world: &World) -> Self {
        let conf = world.token_file("softhsm2.conf").display().to_string();
        Self::new(SOFTHSM, vec![("SOFTHSM2_CONF", conf)])
    }

    /// The world's card, and one with EC keys for the second reader. Slot 9D of a card has one key: RSA of the first, EC of the
    /// second.
    pub fn card(world: &World) -> Self {
        let second = world.path("card2");
        let slots = ["9a=p256", "9d=p256"].map(str::to_owned);
        keys::make_missing(&second, &keys::parse(&slots).unwrap(), "card@example.org").unwrap();
        let mut anchors = String::new();
        for card in ["card", "card2"] {
            anchors += &std::fs::read_to_string(world.path(card).join("anchor.pem")).unwrap();
        }
        std::fs::write(folder(world).join("anchor.pem"), anchors).unwrap();
        for (name, file) in CARD_KEYS {
            std::fs::copy(world.path(file), folder(world).join(format!("{name}.pem"))).unwrap();
        }
        let card = Card::open(&second).unwrap();
        Self {
            second_card: Some(Reader::new(card, "127.0.0.1", 35964)),
            ..Self::new(OPENSC, Vec::new())
        }
    }

    pub fn kryoptic(world: &World) -> Self {
        let database = kryoptic::configuration(&folder(world).join("kryoptic.sql"));
        let conf = world.write("kryoptic.conf", database);
        Self::new(
            kryoptic::module(),
            vec![("KRYOPTIC_CONF", conf.display().to_string())],
        )
    }

    /// swtpm behind a socket in the world's folder.
    pub fn tpm(world: &World) -> Self {
        let at = |name: &str| world.path(name).display().to_string();
        let (state, store, socket) = (at("tpm-state"), at("tpm-store"), at("tpm"));
        for folder in [&state, &store] {
            std::fs::create_dir(folder).unwrap();
        }
        let swtpm = Command::new("swtpm")
            .args(["socket", "--tpm2", "--tpmstate", &format!("dir={state}")])
            .args(["--server", &format!("type=unixio,path={socket}")])
            // where the module looks for it
            .args(["--ctrl", &format!("type=unixio,path={socket}.ctrl")])
            .args(["--flags", "not-need-init,startup-clear"])
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(at("swtpm.log")).unwrap())
            .spawn()
            .unwrap_or_else(|e| panic!("swtpm ({e}): scripts/install-deps.sh"));
        wait_until("swtpm", || UnixStream::connect(&socket).is_ok());
        let env = vec![
            ("TPM2_PKCS11_TCTI", format!("swtpm:path={socket}")),
            ("TPM2_PKCS11_STORE", store),
            // its libraries complain on standard error otherwise
            ("TSS2_LOG", "all+NONE".to_owned()),
        ];
        Self {
            _served_by: Some(Program(swtpm)),
            ..Self::new(TPM2_PKCS11, env)
        }
    }

    /// A database of `certutil`.
    pub fn nss(world: &World) -> Self {
        let database = world.path("nss");
        std::fs::create_dir(&database).unwrap();
        world.write("nss.pin", PIN);
        world.write("nss.noise", "the keys of a test need none");
        let named = format!("sql:{}", database.display());
        world
            .run("certutil", ["-N", "-f", "nss.pin", "-d", &named])
            .ok();
        Self {
            more: format!(
                "init-args = \"configdir='{named}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=\"\n"
            ),
            made_by: Maker::Certutil(database),
            ..Self::new(SOFTOKN, Vec::new())
        }
    }

    /// Adds its entry to the daemon's configuration, where it is not there.
    pub fn configure(&self, world: &World) {
        let config = world.token_file("privyseal.toml");
        let mut text = std::fs::read_to_string(&config).unwrap();
        if !text.contains(&format!("path = \"{}\"", self.module.display())) {
            text += &self.entry();
        }
        std::fs::write(&config, text).unwrap();
    }

    /// For programs that load its module.
    pub fn env(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env.iter().map(|(name, value)| (*name, value.as_str()))
    }

    fn entry(&self) -> String {
        let env = self
            .env
            .iter()
            .map(|(name, value)| format!("{name} = '{value}'"));
        let env = env.collect::<Vec<_>>().join(", ");
        let path = self.module.display();
        format!(
            "\n[[module]]\npath = \"{path}\"\nenv = {{ {env} }}\n{}",
            self.more
        )
    }

    /// Makes key pairs, and the token where it is not there; gives what it did not make, with its reason.
    pub fn make(&self, world: &World, kind: &Kind, keys: &[(&str, &str)]) -> Vec<(String, String)> {
        if let Maker::Certutil(database) = &self.made_by {
            for (name, kind) in keys {
                certutil(world, database, name, kind);
            }
            return Vec::new();
        }
        let mut refused = Vec::new();
        // one process each: a TPM without a resource manager holds three keys, and lets go of them with their process
        for (name, key) in keys {
            let made = world
                .command(crate::binary("make-token", false))
                .envs(self.env())
                .arg(&self.module)
                .args([kind.label, kind.pin])
                .arg(folder(world))
                .arg(format!("{name}={key}"))
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
            let said = String::from_utf8(made.stdout).unwrap();
            if let Some((name, why)) = said.trim_end().split_once(": ") {
                refused.push((name.to_owned(), why.to_owned()));
            }
        }
        refused
    }
}

/// A key pair and its own certificate.
fn certutil(world: &World, database: &Path, name: &str, kind: &str) {
    let database = format!("sql:{}", database.display());
    let usage = match kind {
        "rsa-open" => "keyEncipherment",
        "ec-open" => "keyAgreement",
        _ => "digitalSignature",
    };
    let key = if kind.starts_with("rsa") {
        ["-k", "rsa", "-g", "2048"]
    } else {
        ["-k", "ec", "-q", "nistp256"]
    };
    let subject = format!("CN={name}");
    let common = ["-d", &database, "-f", "nss.pin", "-n", name];
    let make = ["-S", "-s", &subject, "-x", "-t", ",,", "-z", "nss.noise"];
    let extensions = ["-7", "quentin@example.org", "--keyUsage", usage];
    let args = [&make[..], &key, &extensions, &common].concat();
    world.run("certutil", args).ok();
    let shown = world.run("certutil", [&["-L", "-a"][..], &common].concat());
    let pem = shown.ok().text();
    std::fs::write(folder(world).join(format!("{name}.pem")), &pem).unwrap();
    let anchors = folder(world).join("anchor.pem");
    let all = std::fs::read_to_string(&anchors).unwrap_or_default();
    std::fs::write(anchors, all + &pem).unwrap();
}

/// The folder of certificates.
pub fn folder(world: &World) -> PathBuf {
    let folder = world.path("kind");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

const CARD_KEYS: [(&str, &str); 6] = [
    ("rsa-sign", "card/9a.crt.pem"),
    ("always-sign", "card/9c.crt.pem"),
    ("rsa-open", "card/9d.crt.pem"),
    ("ec-sign", "card/9e.crt.pem"),
    ("new", "card2/9a.crt.pem"),
    ("ec-open", "card2/9d.crt.pem"),
];
const OPENSC: &str = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so";
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
const SOFTOKN: &str = "/usr/lib/x86_64-linux-gnu/libsoftokn3.so";
const TPM2_PKCS11: &str = "/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so";
