//! One case through the built programs, seen from outside: layer after layer, `verify` and `decrypt` as a person would call them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Case, Expect, Samples};
use crate::world::{Run, World};

/// Any command on any of these messages has to end by then.
const LIMIT: Duration = Duration::from_secs(20);
/// Layers that are looked into.
const LAYERS_MAX: usize = 10;

/// Runs cases in one world.
pub struct Runner<'a> {
    pub world: &'a World,
    pub samples: &'a Samples,
}

/// Errors of `mail open` that say that a message cannot be decrypted here, and nothing else.
const CLOSED: [&str; 3] = [
    "org.privyseal1.Error.DecryptionFailed",
    "org.privyseal1.Error.NoRecipientMatch",
    "org.privyseal1.Error.UnsupportedAlgorithm",
];

/// What the programs said of a message.
#[derive(Debug, Default)]
struct Found {
    decrypts: Option<bool>,
    plaintext_sha256: Option<String>,
    signature: Option<String>,
    chain: Option<String>,
    sender: Option<String>,
    overall: Option<String>,
    /// what is inside all layers, where there are any that could be opened
    innermost: Option<PathBuf>,
}

impl Runner<'_> {
    /// What is not as expected; empty: passed.
    pub fn run(&self, case: &Case) -> Vec<String> {
        let work = self.world.path(&format!("case-{}", case.id));
        fs::create_dir_all(&work).unwrap();
        let result = if case.is_robustness() {
            self.survives(case, &work)
        } else {
            self.walk(case, &work).and_then(|found| {
                let mut problems = differences(case, &found);
                if case.content.is_none() {
                    let opened = self.open(case, &work, &found)?;
                    let said = |problem| format!("mail open: {problem}");
                    problems.extend(differences(case, &opened).into_iter().map(said));
                }
                Ok(problems)
            })
        };
        fs::remove_dir_all(&work).unwrap();
        result.unwrap_or_else(|problem| vec![problem])
    }

    /// From the outermost layer inwards. The signature reported is that of the innermost signed layer, the plaintext that of the
    /// outermost encrypted one.
    fn walk(&self, case: &Case, work: &Path) -> Result<Found, String> {
        let mut found = Found::default();
        let mut message = self.samples.folder.join(&case.file);
        // inside an encrypted or signed layer there is no From any more
        let from = from(&fs::read(&message).unwrap());
        for layer in 0..LAYERS_MAX {
            let content = work.join(format!("content-{layer}"));
            let sender = from.as_deref().filter(|_| layer > 0);
            let shown = self.verify(case, &message, layer == 0, sender, Some(&content))?;
            if has_signatures(&shown) {
                found.see(&self.without_sender(case, &message, layer == 0, shown)?);
                if content.exists() {
                    found.innermost = Some(content.clone());
                    message = content;
                    continue;
                }
                break;
            }
            if case.decrypts() {
                let plain = work.join(format!("plain-{layer}"));
                let opened = self.decrypt(&message, &plain)?;
                if found.decrypts.is_none() {
                    found.decrypts = Some(opened);
                }
                if opened {
                    let bytes = fs::read(&plain).unwrap();
                    found
                        .plaintext_sha256
                        .get_or_insert_with(|| hex(&Sha256::digest(bytes)));
                    found.innermost = Some(plain.clone());
                    message = plain;
                    continue;
                }
            }
            if found.signature.is_none() {
                found.see(&shown);
            }
            break;
        }
        Ok(found)
    }

    /// Where the sender is not to be looked at, the verdict is asked for as if the signer had sent it.
    fn without_sender(
        &self,
        case: &Case,
        message: &Path,
        outermost: bool,
        shown: Value,
    ) -> Result<Value, String> {
        let mismatches = all(&shown, "sender").any(|sender| sender == "mismatch");
        let signer = shown["signatures"][0]["signer"]["emails"][0].as_str();
        match signer {
            Some(signer) if mismatches && case.policy.check_sender == Some(false) => {
                self.verify(case, message, outermost, Some(signer), None)
            }
            _ => Ok(shown),
        }
    }

    /// The whole message in one call. What it writes is the innermost content below header fields, and the publishers' digests are
    /// of the outermost plaintext: so what is written has to end as `walked`, whose digest was compared, found it layer by layer.
    fn open(&self, case: &Case, work: &Path, walked: &Found) -> Result<Found, String> {
        let message = self.samples.folder.join(&case.file);
        let inside = work.join("opened");
        let path = |file: &Path| file.display().to_string();
        let mut args = ["mail", "open", "--json", "--batch", "--even-if-bad", "-o"]
            .map(str::to_owned)
            .to_vec();
        args.extend([path(&inside), path(&message)]);
        args.extend(self.path_options(case));
        let run = self.end(args.clone())?;
        let mut shown = json(&run)?;
        if let Some(error) = shown["error"].as_str() {
            if !CLOSED.contains(&error) {
                return Err(format!("mail open ends with {error}"));
            }
            if inside.exists() {
                return Err("mail open fails and leaves an output file".into());
            }
            return Ok(Found::closed(case));
        }
        let mismatches = all(&shown, "sender").any(|sender| sender == "mismatch");
        if mismatches
            && case.policy.check_sender == Some(false)
            && let Some(signer) = shown["signatures"][0]["signer"]["emails"][0].as_str()
        {
            args.extend(["--sender".to_owned(), signer.to_owned()]);
            shown = json(&self.end(args)?)?;
        }
        let verdict = shown["verdict"].as_str().unwrap_or_default();
        let code = if matches!(verdict, "good" | "not-signed") {
            0
        } else {
            3
        };
        if run.code != code {
            return Err(format!(
                "mail open exits with {} for a message that is {verdict}",
                run.code
            ));
        }
        let mut found = Found::default();
        found.see(&shown);
        found.decrypts = decrypts(&shown);
        // ciphertext inside a signature is left closed by `walk` where nothing has to decrypt
        if walked.decrypts == Some(true)
            && let Some(innermost) = &walked.innermost
        {
            let (innermost, written) = (fs::read(innermost).unwrap(), fs::read(&inside).unwrap());
            if !written.ends_with(&innermost) {
                return Err("mail open writes other bytes than decrypt".into());
            }
            found.plaintext_sha256 = walked.plaintext_sha256.clone();
        }
        Ok(found)
    }

    fn verify(
        &self,
        case: &Case,
        message: &Path,
        outermost: bool,
        sender: Option<&str>,
        output: Option<&Path>,
    ) -> Result<Value, String> {
        let path = |file: &Path| file.display().to_string();
        let mut args = vec!["verify".to_owned(), "--json".into(), path(message)];
        if let Some(content) = case.content.as_ref().filter(|_| outermost) {
            args.extend(["--content".into(), path(&self.samples.folder.join(content))]);
        }
        if let Some(sender) = sender {
            args.extend(["--sender".into(), sender.to_owned()]);
        }
        if let Some(output) = output {
            args.extend(["-o".into(), path(output), "--even-if-bad".into()]);
        }
        args.extend(self.path_options(case));
        let run = self.end(args)?;
        let shown = json(&run)?;
        let verdict = shown["verdict"]
            .as_str()
            .ok_or_else(|| format!("verify gives no verdict: {shown}"))?;
        let code = if verdict == "good" { 0 } else { 3 };
        if run.code != code {
            return Err(format!(
                "verify exits with {} for a message that is {verdict}",
                run.code
            ));
        }
        Ok(shown)
    }

    /// How the case wants certificates to be judged.
    fn path_options(&self, case: &Case) -> Vec<String> {
        let path = |file: &Path| self.samples.folder.join(file).display().to_string();
        let mut args: Vec<String> = Vec::new();
        let mut option = |name: &str, value: String| args.extend([name.to_owned(), value]);
        for anchor in &case.trust_anchors {
            option("--trust-anchor", path(anchor));
        }
        for more in &case.intermediates {
            option("--untrusted", path(more));
        }
        if let Some(at) = &case.at {
            option("--at", at.clone());
        }
        let policy = &case.policy;
        if policy.purpose.as_deref() == Some("any") {
            option("--purpose", "any".into());
        }
        if let Some(depth) = policy.max_depth {
            option("--max-depth", depth.to_string());
        }
        if let Some(level) = policy.auth_level {
            option("--auth-level", level.to_string());
        }
        for oid in &policy.initial_policy_set {
            option("--policy", oid.clone());
        }
        for (name, wanted) in [
            ("--partial-chain", policy.partial_chain),
            ("--require-explicit-policy", policy.require_explicit_policy),
            ("--inhibit-policy-mapping", policy.inhibit_policy_mapping),
            ("--inhibit-any-policy", policy.inhibit_any_policy),
        ] {
            if wanted {
                args.push(name.into());
            }
        }
        args
    }

    /// Whether it could be opened; a failure leaves nothing behind.
    fn decrypt(&self, message: &Path, plain: &Path) -> Result<bool, String> {
        let args = [
            Path::new("decrypt"),
            Path::new("--batch"),
            message,
            Path::new("-o"),
            plain,
        ];
        let run = self.end(args.map(|arg| arg.display().to_string()).into())?;
        if run.code != 0 && plain.exists() {
            return Err("decrypt fails and leaves an output file".into());
        }
        Ok(run.code == 0)
    }

    /// A command that ends as the contract says, in time.
    fn end(&self, args: Vec<String>) -> Result<Run, String> {
        let what = args[0].clone();
        let Some(run) = self.world.privyseal_within(args, LIMIT) else {
            return Err(format!("{what} has not ended after {} s", LIMIT.as_secs()));
        };
        match run.code {
            0 | 1 | 3 | 4 | 5 | 7 | 8 => Ok(run),
            code if code < 0 => Err(format!("{what} was ended by signal {}", -code)),
            code => Err(format!("{what} exits with {code}: {}", run.stderr.trim())),
        }
    }

    /// `verify` and `decrypt` end as they should, for each member of an archive too.
    fn survives(&self, case: &Case, work: &Path) -> Result<Vec<String>, String> {
        let file = self.samples.folder.join(&case.file);
        let files = if case.archive {
            unpack(&file, work)
        } else {
            vec![file]
        };
        let mut problems = Vec::new();
        for file in &files {
            let name = file.file_name().unwrap().to_string_lossy();
            match self.verify(case, file, true, None, None) {
                Ok(shown) if !case.archive => {
                    let mut found = Found::default();
                    found.see(&shown);
                    problems.extend(differences(case, &found));
                }
                Ok(_) => {}
                Err(problem) => problems.push(format!("{name}: {problem}")),
            }
            if let Err(problem) = self.decrypt(file, &work.join("plain")) {
                problems.push(format!("{name}: {problem}"));
            }
            let _ = fs::remove_file(work.join("plain"));
        }
        Ok(problems)
    }
}

impl Found {
    /// Nothing is known of a message that stayed closed. Where it had to, that is as it should be.
    fn closed(case: &Case) -> Self {
        let expect = match case.expect.decrypts {
            Some(false) => case.expect.clone(),
            _ => Expect::default(),
        };
        Found {
            decrypts: Some(false),
            signature: expect.signature,
            chain: expect.chain,
            sender: expect.sender,
            overall: expect.overall,
            ..Found::default()
        }
    }

    /// Takes the verdict of a layer; with several signers each has to hold.
    fn see(&mut self, shown: &Value) {
        self.overall = shown["verdict"].as_str().map(str::to_owned);
        let signature = if has_signatures(shown) {
            worst(shown, "signature", &["invalid", "unsupported", "valid"])
        } else if shown["verdict"] == "bad" {
            // it cannot be parsed
            Some("invalid".to_owned())
        } else {
            Some("none".to_owned())
        };
        self.signature = signature;
        self.chain = worst(shown, "chain", &["invalid", "unknown", "valid"]);
        self.sender = worst(shown, "sender", &["mismatch", "not-checked", "match"]);
    }
}

/// The fields that have to hold and do not.
fn differences(case: &Case, found: &Found) -> Vec<String> {
    let expect = &case.expect;
    let mut problems = Vec::new();
    let mut field = |name: &str, expected: &Option<String>, found: &Option<String>| {
        if expected.is_some() && case.asserts(name) && expected != found {
            problems.push(format!(
                "{name} is {}, not {}",
                found.as_deref().unwrap_or("not known"),
                expected.as_deref().unwrap_or_default()
            ));
        }
    };
    let word = |value: Option<bool>| value.map(|value| value.to_string());
    field("decrypts", &word(expect.decrypts), &word(found.decrypts));
    field(
        "plaintext_sha256",
        &expect.plaintext_sha256,
        &found.plaintext_sha256,
    );
    field("signature", &expect.signature, &found.signature);
    field("chain", &expect.chain, &found.chain);
    field("sender", &expect.sender, &found.sender);
    if case.asserts("overall")
        && expect.overall.is_some()
        && let overall = found.overall.clone().unwrap_or_default()
        && Some(&overall) != expect.overall.as_ref()
        && !expect.overall_accept.contains(&overall)
    {
        problems.push(format!(
            "overall is {overall}, not {}",
            expect.overall_accept.join(" or ")
        ));
    }
    problems
}

/// The one object that a command with `--json` prints.
fn json(run: &Run) -> Result<Value, String> {
    serde_json::from_slice(&run.stdout)
        .map_err(|e| format!("no JSON is printed ({e}): {}", run.stderr.trim()))
}

/// Whether encrypted layers were opened; `None` where there is none.
fn decrypts(shown: &Value) -> Option<bool> {
    let layers = shown["layers"].as_array()?;
    let encrypted = |layer: &&Value| {
        layer["kind"]
            .as_str()
            .is_some_and(|k| k.ends_with("enveloped"))
    };
    let mut all = layers.iter().filter(encrypted).peekable();
    all.peek()?;
    Some(all.all(|layer| layer["key_management"].is_string()))
}

fn has_signatures(shown: &Value) -> bool {
    shown["signatures"]
        .as_array()
        .is_some_and(|signatures| !signatures.is_empty())
}

/// A field of every signature.
fn all<'v>(shown: &'v Value, field: &'v str) -> impl Iterator<Item = &'v str> {
    shown["signatures"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(move |signature| signature[field].as_str())
}

/// The first of these words, gravest first, that a signature has.
fn worst(shown: &Value, field: &str, words: &[&str]) -> Option<String> {
    words
        .iter()
        .find(|word| all(shown, field).any(|found| found == **word))
        .map(|word| (*word).to_owned())
}

/// The one address of the one From field, as a client takes it from the headers that it shows.
fn from(message: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(message).replace("\r\n", "\n");
    let headers = text
        .split("\n\n")
        .next()?
        .replace("\n ", " ")
        .replace("\n\t", " ");
    let mut fields = headers.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("from")
            .then(|| value.trim().to_owned())
    });
    let (Some(value), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let address = match value.rsplit_once('<') {
        Some((_, address)) => address.split('>').next()?,
        None => &value,
    };
    let one = address.matches('@').count() == 1 && !address.contains([' ', ',']);
    one.then(|| address.to_owned())
}

fn unpack(archive: &Path, work: &Path) -> Vec<PathBuf> {
    let folder = work.join("members");
    fs::create_dir(&folder).unwrap();
    let done = std::process::Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(&folder)
        .status()
        .unwrap();
    assert!(done.success(), "{}", archive.display());
    let (mut files, mut folders) = (Vec::new(), vec![folder]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "{} is empty", archive.display());
    files
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
