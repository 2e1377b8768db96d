//! The place of the matrix: an authority, Alice's and Bob's keys of every kind, a token with Alice's, and the contents.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Format, Key, Work};
use crate::{PIN, Run, World, WorldOptions, openssl};

/// A MIME entity in canonical form. The encoding is named because some writers add the field where it lacks.
const MAIL: &str = "Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
                    Hello Bob,\r\n\r\nthe contract is signed.\r\n\r\nAlice\r\n";
/// Past what Privyseal holds back to write definite lengths.
const LONG: usize = 300_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// keys on the token
    Alice,
    /// keys in files, and wherever the peers keep theirs
    Bob,
}

impl Who {
    pub fn address(self) -> &'static str {
        match self {
            Who::Alice => "alice@example.org",
            Who::Bob => "bob@example.org",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Who::Alice => "alice",
            Who::Bob => "bob",
        }
    }
}

pub struct Bench {
    dir: TempDir,
    pub world: World,
}

impl Bench {
    /// Keys, certificates, token and daemon; the token is unlocked.
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("privyseal-interop-").unwrap();
        let long: String = MAIL
            .chars()
            .chain(
                "A line of some length, so that a long mail comes together.\r\n"
                    .chars()
                    .cycle(),
            )
            .take(LONG / 62 * 62 + MAIL.len())
            .collect();
        fs::write(dir.path().join("mail.txt"), MAIL).unwrap();
        fs::write(dir.path().join("long.txt"), long).unwrap();
        authority(dir.path());
        for who in [Who::Alice, Who::Bob] {
            for key in Key::ALL {
                issue(dir.path(), who, key);
            }
        }
        let keys = [Key::Rsa, Key::P256, Key::P384, Key::P521]
            .map(|key| files(dir.path(), Who::Alice, key));
        let mut world = World::with(WorldOptions {
            keys: keys.map(|(key, certificate)| (certificate, key)).into(),
            ..WorldOptions::default()
        });
        assert!(
            world.not_imported().is_empty(),
            "{:?}",
            world.not_imported()
        );
        assert_eq!(world.stop_daemon(), 0);
        let (key, certificate) = files(dir.path(), Who::Alice, Key::Ed25519);
        import_ed25519(&world, &key, &certificate);
        world.start_daemon();
        world.unlock();
        Bench { dir, world }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// As arguments want it: no path here has a space.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn key(&self, who: Who, key: Key) -> String {
        files(self.dir(), who, key).0.display().to_string()
    }

    pub fn certificate(&self, who: Who, key: Key) -> String {
        files(self.dir(), who, key).1.display().to_string()
    }

    /// What is signed, encrypted or compressed.
    pub fn content(&self, work: &Work) -> PathBuf {
        self.path(if work.format() == Format::Ber {
            "long.txt"
        } else {
            "mail.txt"
        })
    }

    /// A program in the folder of this bench.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.world.command(program);
        command.current_dir(self.dir());
        command
    }

    /// Runs it.
    pub fn run<I: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = I>) -> Run {
        finished(self.command(program).args(args), program)
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a program to its end, with nothing on standard input.
pub fn finished(command: &mut Command, program: &str) -> Run {
    let output = command.stdin(std::process::Stdio::null()).output();
    Run::of(output.unwrap_or_else(|e| panic!("{program} ({e}): scripts/install-deps.sh")))
}

/// `Err` with what the program said, if it failed.
pub fn outcome(run: &Run) -> Result<(), String> {
    if run.code == 0 {
        Ok(())
    } else {
        Err(format!("exit {}: {} {}", run.code, run.stderr, run.text()))
    }
}

/// Key and certificate.
fn files(dir: &Path, who: Who, key: Key) -> (PathBuf, PathBuf) {
    let name = format!("{}-{}", who.name(), key.name());
    (
        dir.join(format!("{name}.key")),
        dir.join(format!("{name}.pem")),
    )
}

/// RSA, which every peer can verify.
fn authority(dir: &Path) {
    openssl(
        dir,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /O=Interop/CN=Authority -days 30 -out ca.pem \
         -addext keyUsage=critical,keyCertSign,cRLSign",
    )
    .ok();
    for who in [Who::Alice, Who::Bob] {
        let extensions = format!(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment,keyAgreement\n\
             extendedKeyUsage=emailProtection\nsubjectAltName=email:{}\nsubjectKeyIdentifier=hash\n\
             authorityKeyIdentifier=keyid\n",
            who.address()
        );
        fs::write(dir.join(format!("{}.ext", who.name())), extensions).unwrap();
    }
}

fn issue(dir: &Path, who: Who, key: Key) {
    let curve = |name: &str| format!("-algorithm EC -pkeyopt ec_paramgen_curve:{name}");
    let kind = match key {
        Key::Rsa => "-algorithm RSA -pkeyopt rsa_keygen_bits:2048".to_owned(),
        Key::P256 => curve("P-256"),
        Key::P384 => curve("P-384"),
        Key::P521 => curve("P-521"),
        Key::Ed25519 => "-algorithm ed25519".to_owned(),
        Key::X25519 => "-algorithm x25519".to_owned(),
    };
    let (who, name) = (who.name(), format!("{}-{}", who.name(), key.name()));
    openssl(dir, &format!("genpkey {kind} -out {name}.key")).ok();
    openssl(dir, &format!("pkey -in {name}.key -pubout -out {name}.pub")).ok();
    // a key that cannot sign cannot sign its own request
    openssl(
        dir,
        &format!("req -new -key ca.key -subj /O=Interop/CN={name} -out {name}.csr"),
    )
    .ok();
    openssl(
        dir,
        &format!(
            "x509 -req -in {name}.csr -force_pubkey {name}.pub -CA ca.pem -CAkey ca.key -days 20 -extfile {who}.ext -out {name}.pem"
        ),
    )
    .ok();
}

/// By the token's own tools, while nobody else has it open.
fn import_ed25519(world: &World, key: &Path, certificate: &Path) {
    let der = world.path("ed25519.der");
    world
        .openssl(&format!(
            "x509 -in {} -outform DER -out {}",
            certificate.display(),
            der.display()
        ))
        .ok();
    let tool = |program: &str, args: &[&str]| {
        let mut command = world.command(program);
        command.env("SOFTHSM2_CONF", world.token_file("softhsm2.conf"));
        command.args(args).args(["--id", "ed01", "--label", "ed"]);
        finished(&mut command, program).ok();
    };
    let (key, der) = (key.display().to_string(), der.display().to_string());
    let token = "privyseal-demo";
    tool(
        "softhsm2-util",
        &["--import", &key, "--token", token, "--pin", PIN],
    );
    tool(
        "pkcs11-tool",
        &[
            "--module",
            "/usr/lib/softhsm/libsofthsm2.so",
            "--token-label",
            token,
            "--login",
            "--pin",
            PIN,
            "--write-object",
            &der,
            "--type",
            "cert",
        ],
    );
}
