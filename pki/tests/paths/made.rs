//! A PKI made by openssl in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use privyseal_smime::Certificate;
use tempfile::TempDir;

const CA: &str = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n";
const IDS: &str = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";

pub const MAIL: &str = "extendedKeyUsage=emailProtection\n";
pub const SIGN: &str = "keyUsage=digitalSignature\n";
pub const ALICE: &str = "subjectAltName=email:alice@example.org\n";
/// No extensions at all: a certificate of version 1.
pub const V1: &str = "";
const CRL_FROM: &str = "200101000000Z";
const CRL_TO: &str = "400101000000Z";

pub struct Pki {
    folder: TempDir,
    serial: u32,
    certificates: BTreeMap<String, Certificate>,
}

pub fn openssl(folder: &Path, args: &[&str]) -> Output {
    Command::new("openssl")
        .current_dir(folder)
        .args(args)
        .output()
        .unwrap()
}

impl Pki {
    pub fn new() -> Pki {
        Pki {
            folder: TempDir::new().unwrap(),
            serial: 0x1000,
            certificates: BTreeMap::new(),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.pem"))
    }

    pub fn get(&self, name: &str) -> Certificate {
        let found = self.certificates.get(name);
        found.unwrap_or_else(|| panic!("no {name}")).clone()
    }

    pub fn all(&self, names: &[&str]) -> Vec<Certificate> {
        names.iter().map(|name| self.get(name)).collect()
    }

    fn run(&self, args: &[&str]) {
        let output = openssl(self.folder(), args);
        assert!(output.status.success(), "openssl {args:?}: {output:?}");
    }

    /// `kind`: `rsa:2048`, `rsa:2048` and a public exponent behind another colon, `P-256` …
    pub fn key(&self, name: &str, kind: &str) {
        let (key, public) = (format!("{name}.key"), format!("{name}.pub"));
        let mut options = Vec::new();
        match kind.strip_prefix("rsa:").map(|rsa| rsa.split(':')) {
            Some(mut rsa) => {
                options.extend(rsa.next().map(|bits| format!("rsa_keygen_bits:{bits}")));
                options.extend(rsa.next().map(|e| format!("rsa_keygen_pubexp:{e}")));
            }
            None => options.push(format!("ec_paramgen_curve:{kind}")),
        }
        let algorithm = if kind.starts_with("rsa") { "RSA" } else { "EC" };
        let mut args = vec!["genpkey", "-algorithm", algorithm, "-out", &key];
        for option in &options {
            args.extend(["-pkeyopt", option]);
        }
        self.run(&args);
        self.run(&["pkey", "-in", &key, "-pubout", "-out", &public]);
    }

    /// A certificate `name` for the key of the same name, if there is one, else for `leaf`'s. An empty issuer means
    /// self-signed. `extra` are options of `openssl x509`.
    pub fn issue(
        &mut self,
        name: &str,
        subject: &str,
        issuer: &str,
        extensions: &str,
        extra: &[&str],
    ) {
        let own = self.folder().join(format!("{name}.key")).exists();
        let key = if own { name } else { "leaf" };
        self.issue_for(key, name, subject, issuer, extensions, extra);
    }

    pub fn issue_for(
        &mut self,
        key: &str,
        name: &str,
        subject: &str,
        issuer: &str,
        extensions: &str,
        extra: &[&str],
    ) {
        self.serial += 1;
        let (serial, out) = (self.serial.to_string(), format!("{name}.pem"));
        let (key_file, public) = (format!("{key}.key"), format!("{key}.pub"));
        let ids = match extensions {
            V1 => "",
            // an issuer of version 1 has no key identifier to name
            _ if issuer.starts_with("v1") => "subjectKeyIdentifier=hash\n",
            _ => IDS,
        };
        fs::write(self.folder().join("ext"), format!("{ids}{extensions}\n")).unwrap();
        let (ca, ca_key) = (format!("{issuer}.pem"), format!("{issuer}.key"));
        let mut args = vec!["x509", "-new", "-subj", subject, "-set_serial", &serial];
        args.extend(["-out", &out]);
        if extensions != V1 {
            args.extend(["-extfile", "ext"]);
        }
        if issuer.is_empty() {
            args.extend(["-signkey", &key_file]);
        } else {
            let other = self.folder().join(&ca_key).exists();
            let ca_key = match issuer {
                _ if other => ca_key.as_str(),
                "v1int" | "intnameless" => "int.key",
                _ => "leaf.key",
            };
            args.extend(["-force_pubkey", &public, "-CA", &ca, "-CAkey", ca_key]);
            args.extend(extra);
            if !extra.contains(&"-days") {
                args.extend(["-days", "1000"]);
            }
            self.run(&args);
            return self.read(name);
        }
        args.extend(extra);
        args.extend(["-days", "3000"]);
        self.run(&args);
        self.read(name);
    }

    pub fn authority(&mut self, name: &str, subject: &str, issuer: &str, extensions: &str) {
        self.issue(name, subject, issuer, &format!("{CA}{extensions}"), &[]);
    }

    /// A copy with the last bit of the signature flipped.
    pub fn forge(&mut self, name: &str, of: &str) {
        let mut der = self.get(of).der().to_vec();
        *der.last_mut().unwrap() ^= 1;
        self.add(name, &der);
    }

    pub fn add(&mut self, name: &str, der: &[u8]) {
        let certificate = Certificate::from_der(der).unwrap();
        fs::write(self.file(name), certificate.to_pem()).unwrap();
        self.certificates.insert(name.to_owned(), certificate);
    }

    fn read(&mut self, name: &str) {
        let bytes = fs::read(self.file(name)).unwrap();
        let certificate = Certificate::all_from_pem_or_der(&bytes).unwrap().remove(0);
        self.certificates.insert(name.to_owned(), certificate);
    }

    /// A CRL of `issuer` in `name`.crl, of version 1 if the name ends so, valid from `from` to `to` (UTCTime), with these certificates revoked.
    pub fn crl(&self, name: &str, issuer: &str, revoked: &[&str], from: &str, to: &str) {
        let index: String = revoked
            .iter()
            .map(|r| {
                format!(
                    "R\t400101000000Z\t{from}\t{}\tunknown\t/CN=x\n",
                    self.get(r).serial_hex()
                )
            })
            .collect();
        fs::write(self.folder().join("index"), index).unwrap();
        let extensions = if name.ends_with("v1") {
            ""
        } else {
            "crl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n"
        };
        let config =
            format!("[ca]\ndefault_ca=a\n[a]\ndatabase=index\ndefault_md=sha256\n{extensions}");
        fs::write(self.folder().join("ca.cnf"), config).unwrap();
        let (key, cert) = (format!("{issuer}.key"), format!("{issuer}.pem"));
        let mut args = vec!["ca", "-gencrl", "-config", "ca.cnf", "-keyfile", &key];
        let out = format!("{name}.crl");
        args.extend(["-cert", &cert, "-out", &out]);
        args.extend(["-crl_lastupdate", from, "-crl_nextupdate", to]);
        self.run(&args);
    }

    pub fn crls(&self, names: &[&str]) -> Vec<Vec<u8>> {
        let file = |name: &&str| fs::read(self.folder().join(format!("{name}.crl"))).unwrap();
        names.iter().map(file).collect()
    }
}

/// The PKI of the table.
pub fn demo() -> Pki {
    let mut pki = Pki::new();
    for name in ["root", "int", "leaf", "foreign", "sub"] {
        pki.key(name, "rsa:2048");
    }
    pki.key("weakint", "rsa:1024");
    pki.key("v1root", "rsa:2048");
    // 2^33 + 17
    pki.key("bigint", "rsa:2048:8589934609");
    pki.key("ecroot", "P-384");
    pki.key("ecint", "P-256");
    pki.key("ecleaf", "P-256");
    pki.authority("root", "/CN=Root", "", "");
    pki.authority("foreign", "/CN=Foreign Root", "", "");
    let only =
        "nameConstraints=critical,permitted;email:example.org,permitted;email:.example.org\n";
    pki.authority("int", "/CN=Intermediate", "root", only);

    let leaf = format!("{ALICE}{MAIL}{SIGN}");
    let subject = "/CN=Alice";
    for (name, extensions) in [
        ("good", leaf.as_str()),
        ("revoked", &leaf),
        (
            "tls",
            &format!("{ALICE}{SIGN}extendedKeyUsage=serverAuth\n"),
        ),
        ("noeku", &format!("{ALICE}{SIGN}")),
        (
            "anyeku",
            &format!("{ALICE}{SIGN}extendedKeyUsage=anyExtendedKeyUsage\n"),
        ),
        ("nonrep", &format!("{ALICE}{MAIL}keyUsage=nonRepudiation\n")),
        (
            "encrypt",
            &format!("{ALICE}{MAIL}keyUsage=keyEncipherment\n"),
        ),
        ("agree", &format!("{ALICE}{MAIL}keyUsage=keyAgreement\n")),
        ("noku", &format!("{ALICE}{MAIL}")),
        (
            "eve",
            &format!("{MAIL}{SIGN}subjectAltName=email:eve@evil.example\n"),
        ),
        (
            "subhost",
            &format!("{MAIL}{SIGN}subjectAltName=email:a@mail.example.org\n"),
        ),
        (
            "both",
            &format!("{MAIL}{SIGN}subjectAltName=email:a@example.org,email:a@evil.example\n"),
        ),
        (
            "utf8",
            &format!(
                "{MAIL}{SIGN}subjectAltName=email:a@example.org,otherName:1.3.6.1.5.5.7.8.9;UTF8:ä@evil.example\n"
            ),
        ),
        ("critical", &format!("{leaf}1.2.3.4.5=critical,DER:0500\n")),
        ("unknown", &format!("{leaf}1.2.3.4.5=DER:0500\n")),
        ("policy", &format!("{leaf}certificatePolicies=1.2.3.4\n")),
    ] {
        pki.issue(name, subject, "int", extensions, &[]);
    }
    for (name, extensions) in [
        ("nameless", leaf.clone()),
        (
            "namedsan",
            format!("{MAIL}{SIGN}subjectAltName=critical,email:alice@example.org\n"),
        ),
        ("nobody", format!("{MAIL}{SIGN}")),
    ] {
        pki.issue(name, "/", "int", &extensions, &[]);
    }
    pki.issue(
        "criticalku",
        subject,
        "int",
        &format!(
            "{ALICE}extendedKeyUsage=critical,emailProtection\nkeyUsage=critical,digitalSignature\n"
        ),
        &[],
    );
    pki.issue(
        "criticalkuwrong",
        subject,
        "int",
        &format!("{ALICE}{MAIL}keyUsage=critical,keyEncipherment\n"),
        &[],
    );
    pki.issue("v1leaf", subject, "int", V1, &[]);
    let spoof = "/CN=Alice/emailAddress=ceo@bank.example";
    pki.issue("spoof", spoof, "int", &leaf, &[]);
    pki.issue("sha1", subject, "int", &leaf, &["-sha1"]);
    let pss = [
        "-sha256",
        "-sigopt",
        "rsa_padding_mode:pss",
        "-sigopt",
        "rsa_pss_saltlen:32",
    ];
    pki.issue("pss", subject, "int", &leaf, &pss);
    pki.issue("sha384", subject, "int", &leaf, &["-sha384"]);
    pki.issue("sha512", subject, "int", &leaf, &["-sha512"]);
    pki.issue("brief", subject, "int", &leaf, &["-days", "10"]);
    pki.issue_for("ecleaf", "ecgood", subject, "int", &leaf, &[]);
    pki.issue_for(
        "ecleaf",
        "ecagree",
        subject,
        "int",
        &format!("{ALICE}{MAIL}keyUsage=keyAgreement\n"),
        &[],
    );
    pki.issue_for("weakint", "weakleaf", subject, "int", &leaf, &[]);
    pki.forge("forged", "good");

    // elliptic curves
    pki.authority("ecroot", "/CN=EC Root", "", "");
    pki.authority("ecint", "/CN=EC Intermediate", "ecroot", "");
    pki.issue_for("ecleaf", "ec", subject, "ecint", &leaf, &["-sha256"]);
    pki.issue_for("ecleaf", "ec384", subject, "ecint", &leaf, &["-sha384"]);
    pki.forge("ecforged", "ec");

    // intermediates that are wrong, or many
    pki.issue_for(
        "int",
        "intbrief",
        "/CN=Intermediate",
        "root",
        "basicConstraints=critical,CA:true\nkeyUsage=keyCertSign\n",
        &["-days", "10"],
    );
    pki.issue_for(
        "int",
        "inttwin",
        "/CN=Intermediate",
        "root",
        "basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign\n",
        &[],
    );
    pki.issue_for(
        "int",
        "intnoku",
        "/CN=Intermediate",
        "root",
        "basicConstraints=critical,CA:true\n",
        &[],
    );
    pki.issue_for(
        "int",
        "intnosign",
        "/CN=Intermediate",
        "root",
        "basicConstraints=critical,CA:true\nkeyUsage=cRLSign\n",
        &[],
    );
    pki.issue_for(
        "int",
        "intnoca",
        "/CN=Intermediate",
        "root",
        "keyUsage=keyCertSign\n",
        &[],
    );
    pki.issue_for(
        "int",
        "intfalse",
        "/CN=Intermediate",
        "root",
        "basicConstraints=critical,CA:false\nkeyUsage=keyCertSign\n",
        &[],
    );
    pki.issue_for(
        "int",
        "inttls",
        "/CN=Intermediate",
        "root",
        "basicConstraints=critical,CA:true\nextendedKeyUsage=serverAuth\n",
        &[],
    );
    pki.issue_for(
        "int",
        "intpolicy",
        "/CN=Intermediate",
        "root",
        "basicConstraints=critical,CA:true\ncertificatePolicies=1.2.3.4\n",
        &[],
    );
    pki.forge("intforged", "int");
    pki.issue_for(
        "int",
        "intshort",
        "/CN=Intermediate",
        "root",
        "basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=keyCertSign\n",
        &[],
    );
    pki.authority("sub", "/CN=Sub", "int", "");
    pki.issue("deep", subject, "sub", &leaf, &[]);
    pki.authority("weakint", "/CN=Weak", "root", "");
    pki.issue("underweak", subject, "weakint", &leaf, &[]);
    pki.issue("underleaf", "/CN=Mallory", "good", &leaf, &[]);
    pki.issue("strange", subject, "foreign", &leaf, &[]);
    pki.issue("lone", "/CN=Lone", "", &leaf, &[]);
    pki.issue("v1root", "/CN=Old Root", "", V1, &[]);
    pki.issue("underv1", subject, "v1root", &leaf, &[]);
    pki.issue_for("int", "v1int", "/CN=Old Intermediate", "root", V1, &[]);
    pki.issue("underv1int", subject, "v1int", &leaf, &[]);
    pki.issue_for("int", "intnameless", "/", "root", CA, &[]);
    pki.issue("undernameless", subject, "intnameless", &leaf, &[]);
    pki.authority("bigint", "/CN=Big", "root", "");
    pki.issue("underbig", subject, "bigint", &leaf, &[]);

    // another's key under the intermediate's name
    pki.issue_for("sub", "intforeign", "/CN=Intermediate", "root", CA, &[]);
    fs::copy(
        pki.folder().join("sub.key"),
        pki.folder().join("intforeign.key"),
    )
    .unwrap();
    for (name, issuer, revoked, from, to) in [
        ("forgedv1", "intforeign", &[][..], CRL_FROM, CRL_TO),
        ("int", "int", &["revoked"][..], "250101000000Z", CRL_TO),
        ("intold", "int", &[], CRL_FROM, CRL_TO),
        ("intv1", "int", &["revoked"], CRL_FROM, CRL_TO),
        ("rootv1", "root", &[], CRL_FROM, CRL_TO),
        ("intstale", "int", &["revoked"], CRL_FROM, "210101000000Z"),
        ("root", "root", &[], CRL_FROM, CRL_TO),
        ("rootbad", "root", &["int"], CRL_FROM, CRL_TO),
        ("foreign", "foreign", &[], CRL_FROM, CRL_TO),
    ] {
        pki.crl(name, issuer, revoked, from, to);
    }
    pki
}
