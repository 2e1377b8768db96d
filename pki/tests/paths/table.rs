//! Good and bad paths of every kind, cell by cell.

use privyseal_pki::{ChainState, Revocation, Usage};

use crate::cell::{Cell, cell};
use crate::made::{demo, openssl};

/// Cells of the table below; fewer is a failure.
const CELLS: usize = 100;

fn cells() -> Vec<Cell> {
    use Revocation::{Leaf, Off, Required, Soft};
    let encrypt = Usage::Encrypt;
    vec![
        // the leaf
        cell("good", "good", ""),
        cell("root comes along", "good", "").above(&["int", "root"]),
        cell("not yet valid", "good", "not-yet-valid").days(-2),
        cell("expired", "brief", "expired").days(20),
        cell("on its last day", "brief", "").days(9),
        cell("wrong EKU", "tls", "usage"),
        cell("wrong EKU, any purpose", "tls", "").any(),
        cell("no EKU", "noeku", ""),
        cell("any EKU", "anyeku", "").differs("openssl wants emailProtection itself"),
        cell("no key usage", "noku", ""),
        cell("nonRepudiation signs", "nonrep", ""),
        cell("key for encryption signs", "encrypt", "usage"),
        cell("key for encryption, any purpose", "encrypt", "").any(),
        cell("key for encryption", "encrypt", "").usage(encrypt),
        cell("key for signing encrypts", "good", "usage").usage(encrypt),
        cell("RSA key agrees", "agree", "usage").usage(encrypt),
        cell("EC key agrees", "ecagree", "")
            .usage(encrypt)
            .differs("openssl wants keyEncipherment of EC keys too"),
        cell("critical extension", "critical", "critical-extension"),
        cell("extension not critical", "unknown", ""),
        cell("forged", "forged", "signature"),
        // names
        cell("other domain", "eve", "name-constraints"),
        cell("subdomain", "subhost", ""),
        cell("one of two addresses", "both", "name-constraints"),
        cell("address in the subject", "spoof", "name-constraints"),
        cell("SmtpUTF8Mailbox", "utf8", "name-constraints"),
        cell("unconstrained twin", "eve", "").above(&["inttwin"]),
        cell("unconstrained twin beside", "eve", "")
            .above(&["int", "inttwin"])
            .differs("openssl looks at the first of two issuers only"),
        cell(
            "no subject, subjectAltName not critical",
            "nameless",
            "malformed",
        )
        .differs("openssl looks at that with -x509_strict only"),
        cell("no subject, subjectAltName critical", "namedsan", ""),
        cell("neither subject nor subjectAltName", "nobody", "malformed")
            .differs("openssl looks at that with -x509_strict only"),
        cell("issuer without a name", "undernameless", "malformed")
            .above(&["intnameless"])
            .differs("openssl looks at that with -x509_strict only"),
        cell("critical usages", "criticalku", ""),
        cell(
            "critical key usage of encryption",
            "criticalkuwrong",
            "usage",
        ),
        // version 1
        cell("version 1", "v1leaf", ""),
        cell("version 1 root", "underv1", "")
            .above(&[])
            .anchors(&["v1root"]),
        cell("version 1 intermediate", "underv1int", "basic-constraints").above(&["v1int"]),
        // algorithms
        cell("SHA-1", "sha1", "weak").differs("openssl verify accepts SHA-1 without an auth level"),
        cell("SHA-1, level 0", "sha1", "").level(0),
        cell("SHA-1, level 1", "sha1", "")
            .level(1)
            .differs("openssl 3 counts SHA-1 as 63 bits, before as 80"),
        cell("SHA-1, level 2", "sha1", "weak").level(2),
        cell("PSS", "pss", ""),
        cell("SHA-384", "sha384", ""),
        cell("SHA-512", "sha512", ""),
        cell("RSA-2048, level 2", "good", "").level(2),
        cell("RSA-2048, level 3", "good", "weak").level(3),
        cell("RSA-1024 leaf", "weakleaf", ""),
        cell("RSA-1024 leaf, level 2", "weakleaf", "weak").level(2),
        cell("RSA-1024 issuer", "underweak", "weak")
            .above(&["weakint"])
            .differs("openssl verify accepts RSA-1024 without an auth level"),
        cell("RSA-1024 issuer, level 1", "underweak", "")
            .above(&["weakint"])
            .level(1),
        cell("issuer's exponent too large", "underbig", "?limit")
            .above(&["bigint"])
            .differs("openssl computes with larger exponents"),
        cell("EC leaf of RSA", "ecgood", ""),
        cell("P-256", "ec", "")
            .above(&["ecint"])
            .anchors(&["ecroot"]),
        cell("P-256 with SHA-384", "ec384", "")
            .above(&["ecint"])
            .anchors(&["ecroot"]),
        cell("P-256, level 3", "ec", "")
            .above(&["ecint"])
            .anchors(&["ecroot"])
            .level(3),
        cell("P-256, level 4", "ec", "weak")
            .above(&["ecint"])
            .anchors(&["ecroot"])
            .level(4),
        cell("P-256, forged", "ecforged", "signature")
            .above(&["ecint"])
            .anchors(&["ecroot"]),
        // the way up
        cell("missing intermediate", "good", "?incomplete").above(&[]),
        cell("foreign root", "strange", "?untrusted").above(&["foreign"]),
        cell("no anchor", "good", "?untrusted")
            .above(&["int", "root"])
            .anchors(&["foreign"]),
        cell("forged intermediate", "good", "signature").above(&["intforged"]),
        cell("forged beside true", "good", "")
            .above(&["intforged", "int"])
            .differs("openssl looks at the first of two issuers only"),
        cell("expired intermediate", "good", "expired")
            .above(&["intbrief"])
            .days(20),
        cell("expired beside valid", "good", "")
            .above(&["intbrief", "int"])
            .days(20),
        cell("two of one name and key", "good", "").above(&["inttwin", "int"]),
        cell("intermediate without key usage", "good", "").above(&["intnoku"]),
        cell("intermediate may not sign", "good", "usage").above(&["intnosign"]),
        cell("intermediate without CA", "good", "basic-constraints").above(&["intnoca"]),
        cell("intermediate CA:false", "good", "basic-constraints").above(&["intfalse"]),
        cell("intermediate for TLS", "good", "usage").above(&["inttls"]),
        cell("issued by a leaf", "underleaf", "basic-constraints").above(&["good", "int"]),
        cell("path length", "deep", "path-length").above(&["sub", "intshort"]),
        cell("depth 2", "deep", "")
            .above(&["sub", "int"])
            .with(|o| o.max_depth = Some(2)),
        cell("depth 1", "deep", "path-length")
            .above(&["sub", "int"])
            .with(|o| o.max_depth = Some(1)),
        cell("policy", "policy", "")
            .above(&["intpolicy"])
            .policy("1.2.3.4"),
        cell("other policy", "policy", "policy")
            .above(&["intpolicy"])
            .policy("1.2.3.5"),
        cell("no policy on the way", "policy", "policy").policy("1.2.3.4"),
        // anchors
        cell("intermediate is the anchor", "good", "")
            .above(&[])
            .anchors(&["int"]),
        cell("whole chains only", "good", "?incomplete")
            .above(&[])
            .anchors(&["int"])
            .with(|o| o.partial_chain = false),
        cell("whole chain through an anchor", "good", "")
            .above(&[])
            .anchors(&["int", "root"])
            .with(|o| o.partial_chain = false),
        cell("leaf is the anchor", "good", "")
            .above(&[])
            .anchors(&["good"]),
        cell("leaf that is an anchor issues", "underleaf", "?incomplete")
            .above(&[])
            .anchors(&["good"]),
        cell("self-signed anchor", "lone", "")
            .above(&[])
            .anchors(&["lone"]),
        cell("self-signed stranger", "lone", "?untrusted"),
        // revocation
        cell("revoked, not asked", "revoked", "").crls(Off, &["int"], "not-checked"),
        cell("revoked", "revoked", "revoked").crls(Soft, &["int"], "revoked"),
        cell("not revoked", "good", "").crls(Soft, &["int", "root"], "good"),
        cell("soft without CRLs", "revoked", "").crls(Soft, &[], "unknown"),
        cell("leaf's CRL", "good", "").crls(Leaf, &["int"], "good"),
        cell("leaf's CRL is wanted", "good", "?revocation-unknown").crls(
            Leaf,
            &["root"],
            "unknown",
        ),
        cell("revoked by a CRL of version 1", "revoked", "revoked").crls(
            Soft,
            &["intv1"],
            "revoked",
        ),
        cell(
            "CRL of version 1, of another key",
            "good",
            "?revocation-unknown",
        )
        .crls(Leaf, &["forgedv1"], "unknown"),
        cell("CRLs of version 1", "good", "").crls(Required, &["intv1", "rootv1"], "good"),
        cell("all CRLs", "good", "").crls(Required, &["int", "root"], "good"),
        cell("one CRL of two", "good", "?revocation-unknown").crls(Required, &["int"], "unknown"),
        cell("stale CRL", "good", "?revocation-unknown").crls(Leaf, &["intstale"], "unknown"),
        cell("CRL of another", "good", "?revocation-unknown").crls(Leaf, &["foreign"], "unknown"),
        cell("issuer may not sign CRLs", "good", "?revocation-unknown")
            .above(&["intbrief"])
            .crls(Leaf, &["int"], "unknown"),
        cell("revoked intermediate", "good", "revoked").crls(
            Required,
            &["int", "rootbad"],
            "revoked",
        ),
        cell("older CRL first", "revoked", "revoked").crls(Soft, &["intold", "int"], "revoked"),
        cell("newer CRL first", "revoked", "revoked").crls(
            Required,
            &["int", "intold", "root"],
            "revoked",
        ),
    ]
}

#[test]
fn version_1_is_what_it_says() {
    let pki = demo();
    for name in ["v1leaf", "v1root", "v1int"] {
        let version = pki.get(name).parsed().tbs_certificate().version();
        assert_eq!(version, x509_cert::Version::V1, "{name}");
    }
    for name in ["intv1", "rootv1", "int"] {
        let file = format!("{name}.crl");
        let text = openssl(pki.folder(), &["crl", "-in", &file, "-noout", "-text"]);
        let text = String::from_utf8(text.stdout).unwrap();
        assert_eq!(
            text.contains("Version 1 (0x0)"),
            name.ends_with("v1"),
            "{text}"
        );
    }
}

#[test]
fn every_cell_has_its_verdict_and_openssl_agrees_or_we_say_why() {
    let pki = demo();
    let mut wrong = Vec::new();
    let cells = cells();
    for cell in &cells {
        let outcome = cell.check(&pki);
        let error = outcome.error.clone().unwrap_or_default();
        let got = match outcome.chain {
            ChainState::Unknown => format!("?{error}"),
            _ => error,
        };
        let valid = outcome.chain == ChainState::Valid;
        if got != cell.error || outcome.revocation != cell.status || valid != got.is_empty() {
            wrong.push(format!(
                "{}: {got:?} {}, expected {:?} {}: {:?}",
                cell.name, outcome.revocation, cell.error, cell.status, outcome.steps
            ));
        }
        if valid {
            let (first, last) = (outcome.path.first(), outcome.path.last());
            assert_eq!(first, Some(&pki.get(cell.leaf)), "{}", cell.name);
            assert!(
                pki.all(cell.anchors).contains(last.unwrap()),
                "{}",
                cell.name
            );
        }
        let agrees = cell.openssl_accepts(&pki) == valid;
        if agrees != cell.differs.is_empty() {
            wrong.push(format!("{}: openssl agrees: {agrees}", cell.name));
        }
    }
    let differ = cells.iter().filter(|c| !c.differs.is_empty()).count();
    println!(
        "{} cells ran, {differ} in which openssl differs for a stated reason",
        cells.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cells.len() >= CELLS, "only {} cells", cells.len());
}
