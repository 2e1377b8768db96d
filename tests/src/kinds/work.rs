//! One cell.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::kind::Load;
use super::place::{Place, folder};
use super::{Kind, Operation};
use crate::{Run, World, wait_until};

const MAIL: &str =
    "From: quentin@example.org\r\nContent-Type: text/plain\r\n\r\nfor a long time\r\n";

/// `Err`: the error's name, or what else was wrong.
type Result<T> = std::result::Result<T, String>;

/// A token of this kind behind the daemon, unlocked.
pub struct Work<'a> {
    pub world: &'a World,
    pub kind: &'a Kind,
    pub place: &'a Place,
}

impl Work<'_> {
    pub fn run(&self, operation: Operation) -> Result<()> {
        if self.kind.load == Load::Few {
            self.lock()?;
            told("rescan", self.world.privyseal(["token", "rescan"]))?;
            self.unlock(self.kind.pin)?;
        }
        use Operation::*;
        let key = operation.key().0;
        match operation {
            SignRsa | SignEcdsa => self.sign(key, &[]),
            SignPss => self.sign(key, &["--pss"]),
            SignEd25519 | SignMlDsa => {
                self.signed(key, &[], "")?;
                self.seen_by_us()
            }
            OpenRsa | OpenEcdh => self.open(key, ""),
            OpenOaepSha1 => self.open(key, OAEP),
            OpenOaepSha256 => self.open(key, &format!("{OAEP} -keyopt rsa_oaep_md:sha256")),
            OpenX25519 | OpenMlKem => {
                self.seal_ourselves(key)?;
                self.opened("")
            }
            AfterAnError => self.after_an_error(key),
            SignAlways => {
                self.wants_its_pin(self.signed(key, &[], ""))?;
                self.signed(key, &[], self.kind.pin)?;
                self.seen_by_openssl()
            }
            OpenRsaAlways | OpenEcdhAlways => {
                self.seal(key, "")?;
                self.wants_its_pin(self.opened(""))?;
                self.opened(self.kind.pin)
            }
            OpenMlKemAlways => {
                self.seal_ourselves(key)?;
                self.wants_its_pin(self.opened(""))?;
                self.opened(self.kind.pin)
            }
            NewKey => self.new_key(operation),
            Locked => self.locked(key),
            WrongPin => self.wrong_pin(key),
        }
    }

    fn certificate(&self, key: &str) -> String {
        let file = folder(self.world).join(format!("{key}.pem"));
        file.display().to_string()
    }

    /// The command line, with the PIN on its descriptor 0 if there is one; error names come out.
    fn privyseal(&self, args: &[&str], pin: &str) -> Result<()> {
        let mut args = [args, &["--json", "--batch"]].concat();
        if !pin.is_empty() {
            args.extend(["--pin-fd", "0"]);
        }
        let run = self.world.privyseal_in(args, pin.as_bytes());
        if run.code == 0 {
            return Ok(());
        }
        let said = run.json();
        let name = said["error"].as_str().unwrap_or_default();
        let name = name.trim_start_matches("org.privyseal1.Error.");
        Err(format!("{name}: {}", said["message"]))
    }

    fn openssl(&self, args: &str) -> Result<()> {
        told("openssl", self.world.openssl(args))
    }

    fn signed(&self, key: &str, more: &[&str], pin: &str) -> Result<()> {
        let signer = self.certificate(key);
        let sign = ["sign", "mail.txt", "-o", "signed.eml", "-s", &signer];
        self.world.write("mail.txt", MAIL);
        self.privyseal(&[&sign, more].concat(), pin)
    }

    fn seen_by_openssl(&self) -> Result<()> {
        let anchors = self.certificate("anchor");
        self.openssl(&format!(
            "cms -verify -in signed.eml -CAfile {anchors} -purpose any -out content"
        ))?;
        same(&self.world.read("content"))
    }

    /// What openssl 3.0 does not know.
    fn seen_by_us(&self) -> Result<()> {
        let anchors = self.certificate("anchor");
        let verify = ["verify", "--json", "signed.eml", "--trust-anchor", &anchors];
        let verify = verify.into_iter().chain(["-o", "content"]);
        told("verify", self.world.privyseal(verify))?;
        same(&self.world.read("content"))
    }

    fn sign(&self, key: &str, more: &[&str]) -> Result<()> {
        self.signed(key, more, "")?;
        self.seen_by_openssl()
    }

    fn seal(&self, key: &str, keyopt: &str) -> Result<()> {
        let recipient = self.certificate(key);
        self.world.write("mail.txt", MAIL);
        let recipient = match keyopt {
            "" => recipient,
            keyopt => format!("-recip {recipient} {keyopt}"),
        };
        self.openssl(&format!(
            "cms -encrypt -binary -aes-256-gcm -in mail.txt -outform DER -out sealed.p7m {recipient}"
        ))
    }

    fn seal_ourselves(&self, key: &str) -> Result<()> {
        let recipient = self.certificate(key);
        self.world.write("mail.txt", MAIL);
        let to = ["encrypt", "-r", &recipient, "--no-self", "--format", "der"];
        let args = to.into_iter().chain(["-o", "sealed.p7m", "mail.txt"]);
        told("encrypt", self.world.privyseal(args))
    }

    fn opened(&self, pin: &str) -> Result<()> {
        self.privyseal(&["decrypt", "sealed.p7m", "-o", "opened"], pin)?;
        same(&self.world.read("opened"))
    }

    fn open(&self, key: &str, keyopt: &str) -> Result<()> {
        self.seal(key, keyopt)?;
        self.opened("")
    }

    /// An operation that failed must not be left active in a session that is used again.
    fn after_an_error(&self, key: &str) -> Result<()> {
        self.seal(key, "")?;
        let sealed = self.world.read("sealed.p7m");
        // OCTET STRING of 256 bytes: the wrapped key
        let at = sealed.windows(4).position(|w| w == [4, 0x82, 1, 0]);
        let at = at.ok_or("no wrapped key of 256 bytes")?;
        for _ in 0..2 {
            let mut bad = sealed.clone();
            bad[at + 100] ^= 0x55;
            self.world.write("sealed.p7m", bad);
            expect("DecryptionFailed", self.opened(""))?;
        }
        self.world.write("sealed.p7m", sealed);
        for _ in 0..5 {
            self.opened("")?;
        }
        match self.kind.load {
            Load::All => self.sign(Operation::SignRsa.key().0, &[]),
            Load::Few => Ok(()),
        }
    }

    fn wants_its_pin(&self, without: Result<()>) -> Result<()> {
        expect("PinRequired", without)
    }

    fn new_key(&self, operation: Operation) -> Result<()> {
        let (name, kind) = operation.key();
        if self.kind.load == Load::Few {
            self.lock()?;
        }
        match &self.place.second_card {
            Some(card) => card.insert().map_err(|e| e.to_string())?,
            None => {
                let refused = self.place.make(self.world, self.kind, &[(name, kind)]);
                if let Some((_, why)) = refused.first() {
                    return Err(format!("not made: {why}"));
                }
            }
        }
        told("rescan", self.world.privyseal(["token", "rescan"]))?;
        let fingerprint = self.world.fingerprint(self.certificate(name));
        wait_until("the new key", || {
            let list = self.world.privyseal(["cert", "list", "--json"]);
            list.text().contains(&fingerprint)
        });
        self.unlock(self.kind.pin)?;
        self.sign(name, &[])
    }

    fn locked(&self, key: &str) -> Result<()> {
        for _ in 0..2 {
            self.lock()?;
            expect("PinRequired", self.signed(key, &[], ""))?;
            let states = self.states();
            if states.iter().any(|state| state != "locked") {
                return Err(format!("locked, it shows {states:?}"));
            }
            self.unlock(self.kind.pin)?;
            self.sign(key, &[])?;
        }
        Ok(())
    }

    /// One entry is one C_Login, and one try by the token's own counter.
    fn wrong_pin(&self, key: &str) -> Result<()> {
        self.lock()?;
        let (logins, failed) = (self.logins(), self.failed_tries());
        expect("BadPin", self.unlock("00000000"))?;
        let now = self.failed_tries();
        if now != failed.map(|failed| failed + 1) {
            return Err(format!("tries {failed:?} → {now:?}"));
        }
        self.unlock(self.kind.pin)?;
        self.sign(key, &[])?;
        let entries = 1 + self.tokens().len();
        // the log comes a little later
        wait_until("the last C_Login", || self.logins() >= logins + entries);
        match self.logins() - logins {
            calls if calls == entries => Ok(()),
            calls => Err(format!("{calls} C_Login calls for {entries} entries")),
        }
    }

    fn lock(&self) -> Result<()> {
        for id in self.tokens() {
            told("lock", self.world.privyseal(["token", "lock", &id]))?;
        }
        Ok(())
    }

    /// Ids of the tokens of this label.
    fn tokens(&self) -> Vec<String> {
        self.listed("id")
    }

    fn states(&self) -> Vec<String> {
        self.listed("state")
    }

    fn listed(&self, field: &str) -> Vec<String> {
        let list = self
            .world
            .privyseal(["token", "list", "--json"])
            .ok()
            .json();
        let all = list["tokens"].as_array().unwrap();
        let ours = all.iter().filter(|t| t["label"] == self.kind.label);
        ours.map(|token| token[field].as_str().unwrap().to_owned())
            .collect()
    }

    /// The first that does not take it decides.
    pub fn unlock(&self, pin: &str) -> Result<()> {
        for id in self.tokens() {
            let args = ["token", "unlock", &id, "--json", "--pin-fd", "0"];
            let run = self.world.privyseal_in(args, pin.as_bytes());
            if run.code != 0 {
                let said = run.json()["error"].to_string();
                return Err(said.replace("org.privyseal1.Error.", "").replace('"', ""));
            }
        }
        Ok(())
    }

    /// C_Login calls, by the worker's log.
    fn logins(&self) -> usize {
        let log = std::fs::read_to_string(self.world.log_file()).unwrap();
        log.lines().filter(|line| line.contains("C_Login")).count()
    }

    /// What the token's own counter has; `None`: it has none.
    fn failed_tries(&self) -> Option<u32> {
        if let Some(second) = &self.place.second_card {
            let left = [self.world.card(), second].map(|card| card.card().state().pin_left);
            return Some(6 - left.into_iter().map(u32::from).sum::<u32>());
        }
        let tpm = self.world.path("tpm");
        tpm.exists().then(|| lockout_counter(&tpm))
    }
}

/// TPM2_GetCapability of TPM_PT_LOCKOUT_COUNTER (TPM 2.0 part 3 §30.2, part 2 §6.13).
fn lockout_counter(socket: &std::path::Path) -> u32 {
    let mut tpm = UnixStream::connect(socket).unwrap();
    let command: [&[u8]; 6] = [
        &[0x80, 0x01],
        &22_u32.to_be_bytes(),
        &0x17a_u32.to_be_bytes(),
        &6_u32.to_be_bytes(),
        &0x20e_u32.to_be_bytes(),
        &1_u32.to_be_bytes(),
    ];
    tpm.write_all(&command.concat()).unwrap();
    let mut answer = [0; 27];
    tpm.read_exact(&mut answer).unwrap();
    u32::from_be_bytes(answer[23..].try_into().unwrap())
}

const OAEP: &str = "-keyopt rsa_padding_mode:oaep";

fn told(what: &str, run: Run) -> Result<()> {
    match run.code {
        0 => Ok(()),
        _ => Err(format!(
            "{what}: {} {}",
            run.stderr.trim(),
            run.text().trim()
        )),
    }
}

fn expect(name: &str, result: Result<()>) -> Result<()> {
    match result {
        Ok(()) => Err(format!("worked, where {name} was meant")),
        Err(said) if said.split(':').next() == Some(name) => Ok(()),
        Err(said) => Err(format!("{name} was meant: {said}")),
    }
}

fn same(seen: &[u8]) -> Result<()> {
    if seen == MAIL.as_bytes() {
        return Ok(());
    }
    Err(format!("other content: {}", String::from_utf8_lossy(seen)))
}
