//! `init`: the demo token of alice@example.org, the PKI around it, and bob@example.org with keys in files.

use std::path::Path;

use crate::error::Error;
use crate::layout::{Layout, Progress};
use crate::pki::{self, Authority, Usage, key_id};
use crate::token::{Algorithm, LABEL, Token};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

/// Label on the token, file name, kind of key.
const KEYS: [(&str, Algorithm, Usage); 4] = [
    ("rsa-sign", Algorithm::Rsa2048, Usage::Sign),
    ("rsa-encrypt", Algorithm::Rsa2048, Usage::Encrypt),
    ("ec-sign", Algorithm::P256, Usage::Sign),
    ("ec-encrypt", Algorithm::P256, Usage::Encrypt),
];

pub fn init(layout: &Layout, module: &Path, pin: &str) -> Result<(), Error> {
    if !(4..=255).contains(&pin.len()) {
        return Err(Error::Usage("SoftHSM wants a PIN of 4 to 255 bytes".into()));
    }
    let _one_at_a_time = layout.lock()?;
    match layout.progress()? {
        Progress::Done => {
            println!(
                "token `{LABEL}` is already in {}: nothing changed",
                layout.dir().display()
            );
            return Ok(());
        }
        Progress::Unfinished => layout.sweep()?,
        Progress::Fresh => {}
    }
    layout.begin()?;
    write_softhsm_conf(layout)?;

    let root = Authority::root("CN=Privyseal Demo Root CA,O=Privyseal Demo")?;
    let ca = root.intermediate("CN=Privyseal Demo Intermediate CA,O=Privyseal Demo")?;
    for (authority, certificate, name) in [
        (&root, "anchor.pem", "root"),
        (&ca, "intermediate.pem", "intermediate"),
    ] {
        layout.write(certificate, pki::to_pem(&authority.certificate)?.as_bytes())?;
        layout.write(&format!("ca/{name}.key"), authority.key_pem()?.as_bytes())?;
        layout.write(
            &format!("crl/{name}.crl"),
            pki::to_pem(&authority.crl()?)?.as_bytes(),
        )?;
    }
    println!("demo PKI: root and intermediate, with CRLs in crl/");

    let token = Token::create(module, pin)?;
    for (label, algorithm, usage) in KEYS {
        let spki = token.generate(algorithm, usage, label)?;
        let id = key_id(&spki)?;
        let certificate = ca.issue("CN=Alice Example,O=Privyseal Demo", ALICE, usage, spki)?;
        token.write_certificate(&certificate, &id, label)?;
        layout.write(
            &format!("me-{label}.pem"),
            pki::to_pem(&certificate)?.as_bytes(),
        )?;
        println!("on the token: {label} of {ALICE} (me-{label}.pem)");
    }
    token.close()?;

    for (name, (key, spki)) in [("peer-rsa", pki::soft_rsa()?), ("peer-ec", pki::soft_ec()?)] {
        let certificate = ca.issue("CN=Bob Example,O=Privyseal Demo", BOB, Usage::Both, spki)?;
        layout.write(&format!("{name}.key"), key.as_bytes())?;
        layout.write(
            &format!("{name}.pem"),
            pki::to_pem(&certificate)?.as_bytes(),
        )?;
        println!("in files: {name}.key, {name}.pem of {BOB}");
    }

    layout.write("privyseal.toml", configuration(layout, module).as_bytes())?;
    layout.finish()?;
    println!("token `{LABEL}` is ready in {}", layout.dir().display());
    Ok(())
}

fn write_softhsm_conf(layout: &Layout) -> Result<(), Error> {
    let conf = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n\
         slots.mechanisms = ALL\nlibrary.reset_on_fork = false\n",
        layout.tokens().display()
    );
    layout.write("softhsm2.conf", conf.as_bytes()).map(drop)
}

/// The daemon's configuration: this token, this root, and nothing else.
fn configuration(layout: &Layout, module: &Path) -> String {
    let path = |name: &str| quoted(&layout.path(name));
    format!(
        "# made by privyseal-softhsm init: the demo token only\n\
         [modules]\n\
         p11-kit = false\n\
         \n\
         [trust]\n\
         anchors = [{anchor}]\n\
         crls = [{root_crl}, {ca_crl}]\n\
         \n\
         [pki]\n\
         intermediates = [{ca}]\n\
         \n\
         [[module]]\n\
         path = {module}\n\
         env = {{ SOFTHSM2_CONF = {conf} }}\n\
         read = [{conf}]\n\
         write = [{tokens}]\n",
        anchor = path("anchor.pem"),
        root_crl = path("crl/root.crl"),
        ca_crl = path("crl/intermediate.crl"),
        ca = path("intermediate.pem"),
        module = quoted(module),
        conf = path("softhsm2.conf"),
        tokens = path("tokens"),
    )
}

/// A TOML basic string; Layout lets no control characters in.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
