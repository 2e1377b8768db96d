//! Path validation over the third-party cases of a conformance folder (`cases.jsonl`), where there is one.
//!
//! Runs what is gated and needs neither OCSP nor delta CRLs. A case that ought to be invalid passes when the path is
//! not valid: most publishers do not tell "wrong" from "no trusted anchor".

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use privyseal_pki::{
    Anchors, ChainState, ObjectIdentifier, PathOptions, PathOutcome, PathQuery, Purpose,
    Revocation, Usage,
};
use privyseal_smime::Certificate;
use serde_json::Value;

/// Cases of a set that passed when last looked at; fewer is a failure.
const THRESHOLDS: [(&str, usize); 4] = [
    ("limbo", 54),
    ("path-botan", 215),
    ("path-openssl", 40),
    ("rfc9216", 16),
];

#[derive(Default)]
struct Count {
    ran: usize,
    passed: usize,
    failed: Vec<String>,
}

#[test]
fn third_party_paths_get_their_publishers_verdict() {
    let Some(folder) = folder() else {
        // not captured: it is to be seen that nothing was tested
        drop(writeln!(
            std::io::stderr(),
            "no conformance samples: set PRIVYSEAL_CONFORMANCE to their folder"
        ));
        return;
    };
    let mut sets: BTreeMap<String, Count> = BTreeMap::new();
    for line in fs::read_to_string(folder.join("cases.jsonl"))
        .unwrap()
        .lines()
    {
        let case: Value = serde_json::from_str(line).unwrap();
        let Some(expected) = case["expect"]["chain"].as_str() else {
            continue;
        };
        if case["layer"] != "cert-path" || case["op"] != "path" || case["gate"] != true {
            continue;
        }
        if !files(&folder, &case["ocsp"]).is_empty() || case["policy"]["delta_crls"] == true {
            continue;
        }
        let outcome = run(&folder, &case);
        let valid = outcome
            .as_ref()
            .is_some_and(|o| o.chain == ChainState::Valid);
        let count = sets
            .entry(case["set"].as_str().unwrap().to_owned())
            .or_default();
        count.ran += 1;
        if valid == (expected == "valid") {
            count.passed += 1;
        } else {
            let got = outcome.map_or("unparsable".to_owned(), |o| {
                format!(
                    "{:?} {} ({})",
                    o.chain,
                    o.error.unwrap_or_default(),
                    o.steps.join("; ")
                )
            });
            let id = case["id"].as_str().unwrap();
            count
                .failed
                .push(format!("{id}: expected {expected}, got {got}"));
        }
    }
    println!("{:<14}{:>6}{:>8}{:>8}", "set", "ran", "passed", "failed");
    for (set, count) in &sets {
        println!(
            "{set:<14}{:>6}{:>8}{:>8}",
            count.ran,
            count.passed,
            count.failed.len()
        );
        for failed in &count.failed {
            println!("    {failed}");
        }
    }
    for (set, least) in THRESHOLDS {
        let passed = sets.get(set).map_or(0, |count| count.passed);
        assert!(
            passed >= least,
            "{set}: {passed} passed, {least} are known to"
        );
    }
}

fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("PRIVYSEAL_CONFORMANCE") {
        Some(named) => PathBuf::from(named),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"),
    };
    folder.join("cases.jsonl").is_file().then_some(folder)
}

/// None: the leaf is no certificate.
fn run(folder: &Path, case: &Value) -> Option<PathOutcome> {
    let mut chain = certificates(&folder.join(case["file"].as_str()?));
    if chain.is_empty() {
        return None;
    }
    let leaf = chain.remove(0);
    for file in files(folder, &case["intermediates"]) {
        chain.extend(certificates(&file));
    }
    let anchors = files(folder, &case["trust_anchors"])
        .iter()
        .flat_map(|file| certificates(file))
        .collect();
    let crls: Vec<Vec<u8>> = files(folder, &case["crls"])
        .iter()
        .map(|file| fs::read(file).unwrap())
        .collect();
    let policy = &case["policy"];
    let number = |name: &str| policy[name].as_u64();
    let policies = policy["initial_policy_set"]
        .as_array()
        .into_iter()
        .flatten();
    let options = PathOptions {
        partial_chain: policy["partial_chain"] == true,
        max_depth: number("max_depth").map(|n| usize::try_from(n).unwrap()),
        auth_level: number("auth_level").map(|n| u8::try_from(n).unwrap()),
        policies: policies
            .map(|oid| ObjectIdentifier::new(oid.as_str().unwrap()).unwrap())
            .collect(),
        require_explicit_policy: policy["require_explicit_policy"] == true,
        inhibit_policy_mapping: policy["inhibit_policy_mapping"] == true,
        inhibit_any_policy: policy["inhibit_any_policy"] == true,
    };
    let revocation = match policy["revocation"].as_str() {
        Some("required") => Revocation::Required,
        Some("leaf") => Revocation::Leaf,
        Some(other) => panic!("revocation mode {other}"),
        None if crls.is_empty() => Revocation::Off,
        None => Revocation::Soft,
    };
    let purpose = match policy["purpose"].as_str() {
        Some("any") => Purpose::Any,
        None | Some("smime") => Purpose::Email,
        Some(other) => panic!("purpose {other}"),
    };
    let outcome = Anchors::from_certs(anchors).unwrap().check(&PathQuery {
        at: case["at"].as_str().map_or_else(now, seconds),
        leaf: &leaf,
        intermediates: &chain,
        crls: &crls,
        purpose,
        usage: Usage::Sign,
        revocation,
        options: &options,
    });
    Some(outcome)
}

fn files(folder: &Path, list: &Value) -> Vec<PathBuf> {
    let names = list.as_array().into_iter().flatten();
    names
        .map(|name| folder.join(name.as_str().unwrap()))
        .collect()
}

/// Those that can be parsed: a publisher's broken certificate is as good as none.
fn certificates(file: &Path) -> Vec<Certificate> {
    let bytes = fs::read(file).unwrap();
    if bytes.first() == Some(&0x30) {
        return Certificate::from_der(&bytes).into_iter().collect();
    }
    let labels = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
    privyseal_smime::mime::pem::blocks(&bytes, &labels)
        .unwrap()
        .iter()
        .filter_map(|der| Certificate::from_der(der).ok())
        .collect()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// RFC 3339 in UTC, by way of der, which has a calendar.
fn seconds(time: &str) -> u64 {
    let time: der::DateTime = time.parse().unwrap();
    time.unix_duration().as_secs()
}
