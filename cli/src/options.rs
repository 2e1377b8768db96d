//! The `a{sv}` of a call: only what the user gave.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use zbus::{Fd, Variant};

use crate::error::{CommandError, Result};
use crate::pkcs11_uri::Pkcs11Uri;

/// What one message can carry: the kernel's SCM_MAX_FD is 253, and the message itself has three.
const FILES_MAX: usize = 250;

/// Options being collected.
#[derive(Debug, Default)]
pub struct Options {
    values: HashMap<&'static str, Variant<'static>>,
    certificates: Vec<Fd<'static>>,
    files: usize,
}

impl Options {
    pub fn set<T: Into<Variant<'static>>>(&mut self, name: &'static str, value: Option<T>) {
        if let Some(value) = value {
            self.values.insert(name, value.into());
        }
    }

    /// Sent only when true.
    pub fn flag(&mut self, name: &'static str, given: bool) {
        self.set(name, given.then_some(true));
    }

    /// Opens the files and passes their descriptors.
    pub fn files<P: AsRef<Path>>(&mut self, name: &'static str, paths: &[P]) -> Result<()> {
        let mut descriptors = Vec::with_capacity(paths.len());
        for path in paths {
            descriptors.push(self.open(path.as_ref())?);
        }
        if !descriptors.is_empty() {
            self.values.insert(name, descriptors.into());
        }
        Ok(())
    }

    /// The PIN of a key that wants it at every use.
    pub fn pin(&mut self, pin: Option<OwnedFd>) {
        self.set("pin-fd", pin.map(Fd::from));
    }

    /// A SIGNER or RECIPIENT: an existing file becomes `fd:N`, the rest goes as it is.
    pub fn certificate(&mut self, selector: &str) -> Result<String> {
        if selector.starts_with(Pkcs11Uri::SCHEME) {
            // before it travels: it may carry a PIN
            Pkcs11Uri::parse(selector)?;
            return Ok(selector.to_owned());
        }
        let path = Path::new(selector);
        let file_name = [".pem", ".crt", ".cer", ".der"]
            .iter()
            .any(|end| selector.ends_with(end));
        if selector.starts_with("sha256:")
            || !(path.is_file() || selector.contains('/') || file_name)
        {
            return Ok(selector.to_owned());
        }
        let descriptor = self.open(path)?;
        let place = self.certificates.len();
        self.certificates.push(descriptor);
        Ok(format!("fd:{place}"))
    }

    pub fn finish(mut self) -> HashMap<&'static str, Variant<'static>> {
        if !self.certificates.is_empty() {
            self.values.insert("certificates", self.certificates.into());
        }
        self.values
    }

    fn open(&mut self, path: &Path) -> Result<Fd<'static>> {
        self.files = self.files.saturating_add(1);
        if self.files > FILES_MAX {
            return Err(
                CommandError::usage(format!("more than {FILES_MAX} files in one call"))
                    .hint("put several certificates or CRLs into one PEM file"),
            );
        }
        File::open(path)
            .map(|file| OwnedFd::from(file).into())
            .map_err(|e| CommandError::local(format!("cannot open {}", path.display()), &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_numbered_descriptors_and_the_rest_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bob.pem");
        std::fs::write(&file, "x").unwrap();
        let file = file.to_str().unwrap();
        let mut options = Options::default();
        assert_eq!(options.certificate(file).unwrap(), "fd:0");
        assert_eq!(
            options.certificate("bob@example.org").unwrap(),
            "bob@example.org"
        );
        assert_eq!(options.certificate(file).unwrap(), "fd:1");
        assert_eq!(
            options.certificate("sha256:00112233").unwrap(),
            "sha256:00112233"
        );
        options.flag("pss", false);
        options.flag("oaep", true);
        options.set("digest", None::<String>);
        let values = options.finish();
        let mut names: Vec<_> = values.keys().copied().collect();
        names.sort_unstable();
        assert_eq!(names, ["certificates", "oaep"]);
        let Some(Variant::Array(array)) = values.get("certificates") else {
            panic!()
        };
        assert_eq!(
            (array.len(), array.signature().to_string()),
            (2, "ah".to_owned())
        );
    }

    #[test]
    fn a_missing_certificate_file_is_said_here_not_by_the_daemon() {
        let mut options = Options::default();
        for missing in ["./nobody", "nobody.pem"] {
            assert_eq!(
                options.certificate(missing).unwrap_err().exit(),
                1,
                "{missing}"
            );
        }
        assert_eq!(
            options
                .certificate("pkcs11:token=x?pin-value=1")
                .unwrap_err()
                .exit(),
            2
        );
    }
}
