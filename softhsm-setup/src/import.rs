//! `import`: keys and certificates made elsewhere come to the token.
//!
//! The contract asks for no PIN here, and none is stored. SoftHSM keeps the token's data key twice, wrapped by the
//! user's PIN and by the SO's, in one file, `token.object`. So for a token of ours without `--pin` that file is set
//! aside, the SO gives the token a one-time PIN, the import is done with it, and the file is put back: the user's
//! PIN is what it was, and the new objects are encrypted by the same data key. While this runs no daemon may.

use std::fs;
use std::path::{Path, PathBuf};

use x509_cert::Certificate;

use crate::error::Error;
use crate::layout::{Layout, write_private};
use crate::pem::{PrivateKey, read_certificate};
use crate::pki::key_id;
use crate::token::Token;

const SET_ASIDE: &str = "token.object.privyseal";

/// One `--key --cert --label` triple.
pub struct Job {
    key: PathBuf,
    cert: PathBuf,
    label: String,
}

/// Puts the n-th key, certificate and label together.
pub fn pair_up(
    keys: Vec<PathBuf>,
    certs: Vec<PathBuf>,
    labels: Vec<String>,
) -> Result<Vec<Job>, Error> {
    if keys.len() != certs.len() || keys.len() != labels.len() {
        return Err(Error::Usage(format!(
            "--key, --cert and --label belong together, but there are {}, {} and {} of them",
            keys.len(),
            certs.len(),
            labels.len()
        )));
    }
    let triples = keys.into_iter().zip(certs).zip(labels);
    Ok(triples
        .map(|((key, cert), label)| Job { key, cert, label })
        .collect())
}

pub fn import(
    layout: &Layout,
    module: &Path,
    pin: Option<&str>,
    jobs: &[Job],
) -> Result<(), Error> {
    // read everything first: a wrong file changes nothing
    let mut ready: Vec<(PrivateKey, Certificate, Vec<u8>, &str)> = Vec::new();
    for job in jobs {
        let key = PrivateKey::read(&job.key)?;
        let certificate = read_certificate(&job.cert)?;
        let spki = certificate.tbs_certificate().subject_public_key_info();
        if !key.belongs_to(spki) {
            return Err(Error::input(
                &job.cert,
                format!("is not the certificate of {}", job.key.display()),
            ));
        }
        let id = key_id(spki)?;
        ready.push((key, certificate, id, &job.label));
    }

    let _one_at_a_time = layout.lock()?;
    put_back(layout)?;
    let token = match pin {
        Some(pin) => Token::open(module, pin)?,
        None => {
            set_aside(layout)?;
            let one_time = one_time_pin()?;
            match Token::open_with_new_pin(module, &one_time) {
                Ok(token) => token,
                Err(error) => {
                    put_back(layout)?;
                    return Err(error);
                }
            }
        }
    };
    let imported = write_all(&token, &ready);
    let closed = token.close();
    put_back(layout)?;
    imported.and(closed)
}

fn write_all(
    token: &Token,
    ready: &[(PrivateKey, Certificate, Vec<u8>, &str)],
) -> Result<(), Error> {
    for (key, certificate, id, label) in ready {
        let key_is_new = token.import_key(key, id, label)?;
        let certificate_is_new = token.write_certificate(certificate, id, label)?;
        match (key_is_new, certificate_is_new) {
            (true, _) => println!("imported {label}"),
            (false, true) => println!("imported the certificate of {label}; its key was there"),
            (false, false) => println!("{label} is already on the token: nothing changed"),
        }
    }
    Ok(())
}

fn one_time_pin() -> Result<String, Error> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(Error::pki)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn set_aside(layout: &Layout) -> Result<(), Error> {
    for folder in token_folders(layout)? {
        let object = folder.join("token.object");
        let content = fs::read(&object).map_err(|e| Error::file(&object, e))?;
        write_private(&folder.join(SET_ASIDE), &content)?;
    }
    Ok(())
}

/// Also mends what an import that was killed has left.
fn put_back(layout: &Layout) -> Result<(), Error> {
    for folder in token_folders(layout)? {
        let aside = folder.join(SET_ASIDE);
        if aside.exists() {
            let object = folder.join("token.object");
            fs::rename(&aside, &object).map_err(|e| Error::file(&object, e))?;
        }
    }
    Ok(())
}

fn token_folders(layout: &Layout) -> Result<Vec<PathBuf>, Error> {
    let tokens = layout.tokens();
    let mut folders = Vec::new();
    for entry in fs::read_dir(&tokens).map_err(|e| Error::file(&tokens, e))? {
        let path = entry.map_err(|e| Error::file(&tokens, e))?.path();
        if path.join("token.object").is_file() {
            folders.push(path);
        }
    }
    Ok(folders)
}
