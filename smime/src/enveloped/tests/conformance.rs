//! Encrypted messages of other implementations (`PRIVYSEAL_CONFORMANCE`, or `shared/conformance` beside the checkout), with keys
//! from files. The whole of them goes through daemon and token in the tests crate.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{SoftKey, SoftKeys, open};
use crate::algorithm::DigestAlgorithm;
use crate::cert::{Certificate, hex};

/// No key for them is published: openssl does not open them either.
const WITHOUT_KEY: [&str; 2] = ["bc-java-mail-test128", "bc-java-mail-test256"];

fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let folder = std::env::var_os("PRIVYSEAL_CONFORMANCE").map_or(beside, PathBuf::from);
    folder.join("cases.jsonl").is_file().then_some(folder)
}

fn keys(folder: &Path, case: &Value) -> SoftKeys {
    let keys = case["keys"].as_array().unwrap();
    let keys = keys.iter().map(|key| {
        let read = |name: &str| std::fs::read(folder.join(key[name].as_str().unwrap())).unwrap();
        let certificates = Certificate::all_from_pem_or_der(&read("cert")).unwrap();
        SoftKey {
            certificate: certificates[0].clone(),
            der: der::pem::decode_vec(&read("key")).unwrap().1,
            file: folder.join(key["key"].as_str().unwrap()),
        }
    });
    SoftKeys::new(keys.collect())
}

#[test]
fn encrypted_messages_of_others() {
    let Some(folder) = folder() else {
        // not captured: it is to be seen that nothing was tested
        drop(writeln!(
            std::io::stderr(),
            "no conformance samples: set PRIVYSEAL_CONFORMANCE to their folder"
        ));
        return;
    };
    let cases = std::fs::read_to_string(folder.join("cases.jsonl")).unwrap();
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (id, expect) = (case["id"].as_str().unwrap(), &case["expect"]);
        let outermost = case["layers"][0].as_str().unwrap_or("enveloped");
        if !case["op"].as_str().unwrap().starts_with("decrypt")
            || outermost != "enveloped"
            || case["keys"].as_array().is_none_or(Vec::is_empty)
        {
            continue;
        }
        let message = std::fs::read(folder.join(case["file"].as_str().unwrap())).unwrap();
        let opens = expect["decrypts"] == true && !WITHOUT_KEY.contains(&id);
        let outcome = match open(&message, &keys(&folder, &case)) {
            Ok((plain, outcome)) => {
                let weak = case["weak"].as_array().unwrap();
                let weak = ["3des", "rc2", "3des-wrap"]
                    .iter()
                    .any(|w| weak.iter().any(|known| known == w));
                if weak && !outcome.weak {
                    wrong.push(format!("{id}: not called weak"));
                }
                let digest = hex(&DigestAlgorithm::Sha256.digest(&plain));
                (opens && expect["plaintext_sha256"] == digest)
                    .then_some(())
                    .ok_or(format!("opened, {} bytes", plain.len()))
            }
            Err((error, written)) => (!opens && written.is_empty())
                .then_some(())
                .ok_or(error.to_string()),
        };
        match outcome {
            Ok(()) => right.push(id.to_owned()),
            Err(what) => wrong.push(format!("{id}: {what}")),
        }
    }
    println!("{} as expected: {}", right.len(), right.join(" "));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
