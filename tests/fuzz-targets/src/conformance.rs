//! Seeds from the conformance sets, where they are on the machine. They are other people's: never stored.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Files above this are left out, bytes.
const LARGEST: u64 = 256 << 10;

/// `PRIVYSEAL_CONFORMANCE`, or `shared/conformance` beside the checkout.
pub fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let folder = std::env::var_os("PRIVYSEAL_CONFORMANCE").map_or(beside, PathBuf::from);
    folder
        .canonicalize()
        .ok()
        .filter(|f| f.join("cases.jsonl").exists())
}

/// For a target.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let Some(folder) = folder() else {
        return Vec::new();
    };
    let lines = fs::read_to_string(folder.join("cases.jsonl")).unwrap();
    let mut files: Vec<PathBuf> = lines
        .lines()
        .filter(|line| !line.trim().is_empty())
        .flat_map(|line| files(target, &serde_json::from_str(line).unwrap()))
        .map(|file| folder.join(file))
        .collect();
    files.sort();
    files.dedup();
    let small =
        |file: &PathBuf| fs::metadata(file).is_ok_and(|m| m.is_file() && m.len() <= LARGEST);
    files.retain(small);
    files
        .iter()
        .map(|file| {
            let bytes = fs::read(file).unwrap();
            if target == "header_verdict" {
                header_section(&bytes)
            } else {
                bytes
            }
        })
        .collect()
}

fn files(target: &str, case: &Value) -> Vec<String> {
    let text = |field: &str| case[field].as_str().unwrap_or_default().to_owned();
    let list = |field: &str| -> Vec<String> {
        let entries = case[field].as_array().into_iter().flatten();
        entries
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect()
    };
    let (op, layer, file) = (text("op"), text("layer"), text("file"));
    let message = layer != "cert-path" && case["archive"] != true;
    let wanted = match target {
        "certificate" => {
            let own = if layer == "cert-path" {
                vec![file]
            } else {
                vec![]
            };
            return [list("trust_anchors"), list("intermediates"), own].concat();
        }
        "crl" => return list("crls"),
        "signed" => message && (op.contains("verify") || op == "parse"),
        "enveloped" | "auth_enveloped" => message && (op.contains("decrypt") || op == "parse"),
        "compressed" => message && op != "verify",
        "ber" => message && layer == "cms-der",
        "mime" => message && layer != "cms-der",
        "header_verdict" => message && layer == "eml",
        other => panic!("no target {other}"),
    };
    if wanted { vec![file] } else { Vec::new() }
}

/// Without the fields that say what the body is: a signed one follows.
fn header_section(message: &[u8]) -> Vec<u8> {
    let mut section = Vec::new();
    let mut keep = true;
    for line in message.split_inclusive(|b| *b == b'\n') {
        if line.trim_ascii().is_empty() {
            break;
        }
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.to_ascii_lowercase();
            keep = !name.starts_with(b"content-") && !name.starts_with(b"mime-version");
        }
        if keep {
            section.extend_from_slice(line);
        }
    }
    section
}

/// Every piece of the seeds of a target, to tell what was made from them.
pub struct Pieces(HashSet<Vec<u8>>);

/// Bytes of a piece: names, object identifiers and field names are shorter.
const PIECE: usize = 40;

/// The pieces of one input; of a short one, itself.
fn pieces(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    input.windows(PIECE.min(input.len().max(1)))
}

impl Pieces {
    /// Those that our own seeds do not have.
    pub fn of(target: &str) -> Self {
        let all = |seeds: Vec<Vec<u8>>| -> HashSet<Vec<u8>> {
            let owned = |seed: &Vec<u8>| pieces(seed).map(<[u8]>::to_vec).collect::<Vec<_>>();
            seeds.iter().flat_map(owned).collect()
        };
        let own = all(crate::seeds::of(target));
        let mut others = all(seeds(target));
        others.retain(|piece| !own.contains(piece));
        Pieces(others)
    }

    pub fn has_one_of(&self, input: &[u8]) -> bool {
        pieces(input).any(|piece| self.0.contains(piece))
    }
}
