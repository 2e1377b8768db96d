//! gpgsm with the peer's key in software, in a GnuPG home of its own: for bulk, where its speed has nothing to do with the token.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use privyseal_tests::World;

pub struct Gpgsm<'a> {
    world: &'a World,
    home: PathBuf,
    /// SHA-1 fingerprint of the peer's certificate
    pub peer: String,
}

impl<'a> Gpgsm<'a> {
    /// `None`: not installed, or it does not take the key.
    pub fn new(world: &'a World) -> Option<Self> {
        let home = world.path("gnupg-soft");
        fs::create_dir(&home).ok()?;
        rustix::fs::chmod(&home, rustix::fs::Mode::RWXU).ok()?;
        let pinentry = world.path("pinentry-soft.sh");
        fs::write(
            &pinentry,
            "#!/bin/sh\necho OK\nwhile read l; do case $l in GETPIN*) echo 'D x'; echo OK;; BYE*) echo OK; exit;; *) echo OK;; esac; done\n",
        )
        .ok()?;
        rustix::fs::chmod(&pinentry, rustix::fs::Mode::RWXU).ok()?;
        // the fewest rounds there are: the key's protection is not what is measured
        let agent = format!("s2k-count 1024\npinentry-program {}\n", pinentry.display());
        fs::write(home.join("gpg-agent.conf"), agent).ok()?;
        fs::write(
            home.join("gpgsm.conf"),
            "disable-crl-checks\ndisable-dirmngr\n",
        )
        .ok()?;
        let file = |name: &str| world.token_file(name).display().to_string();
        let root = fingerprint(world, &file("anchor.pem"))?;
        fs::write(home.join("trustlist.txt"), format!("{root} S relax\n")).ok()?;
        let peer = fingerprint(world, &file("peer-rsa.pem"))?.replace(':', "");
        let this = Gpgsm { world, home, peer };
        // gpgsm 2.2 reads no other protection
        world
            .openssl(&format!(
                "pkcs12 -export -legacy -in {} -inkey {} -out peer.p12 -passout pass:x",
                file("peer-rsa.pem"),
                file("peer-rsa.key")
            ))
            .ok();
        for name in [
            file("anchor.pem"),
            file("intermediate.pem"),
            "peer.p12".into(),
        ] {
            this.run(&["--import", &name]);
        }
        let has_key = this
            .command()
            .args(["--list-secret-keys", &this.peer])
            .status();
        has_key.is_ok_and(|s| s.success()).then_some(this)
    }

    /// Whether it worked. `words` are split at spaces.
    pub fn run(&self, args: &[&str]) -> bool {
        self.command()
            .args(args)
            .status()
            .is_ok_and(|s| s.success())
    }

    fn command(&self) -> Command {
        let mut command = self.world.command("gpgsm");
        command
            .env("GNUPGHOME", &self.home)
            .args(["--batch", "--yes"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

fn fingerprint(world: &World, certificate: &str) -> Option<String> {
    let text = world
        .openssl(&format!("x509 -noout -fingerprint -sha1 -in {certificate}"))
        .text();
    Some(text.trim().rsplit('=').next()?.to_owned())
}

impl Drop for Gpgsm<'_> {
    fn drop(&mut self) {
        let mut kill = self.world.command("gpgconf");
        let _ = kill
            .env("GNUPGHOME", &self.home)
            .args(["--kill", "all"])
            .status();
    }
}
