//! Wrong PINs in a row, of each token: for those that show no count of their own (design rule 3). They outlive a worker, and, where
//! there is a folder for them, the daemon.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::TokenId;

/// Whose PIN it is; each has a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    User,
    /// SO PIN, or PUK
    Officer,
}

pub(super) struct WrongPins {
    folder: Option<PathBuf>,
    known: HashMap<(TokenId, Whose), u32>,
}

impl WrongPins {
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            known: HashMap::new(),
        }
    }

    pub fn of(&mut self, token: &TokenId, whose: Whose) -> u32 {
        let key = (token.clone(), whose);
        if let Some(count) = self.known.get(&key) {
            return *count;
        }
        let count = self.read(token, whose);
        self.known.insert(key, count);
        count
    }

    pub fn set(&mut self, token: &TokenId, whose: Whose, count: u32) {
        if self.of(token, whose) == count {
            return;
        }
        self.known.insert((token.clone(), whose), count);
        if let Err(error) = self.write(token, whose, count) {
            tracing::warn!(token = %token.0, %error, "wrong PINs are counted until the daemon ends only");
        }
    }

    fn path(&self, token: &TokenId, whose: Whose) -> Option<PathBuf> {
        let whose = match whose {
            Whose::User => "user",
            Whose::Officer => "so",
        };
        // the id is hexadecimal digits
        Some(
            self.folder
                .as_ref()?
                .join(format!("wrong-pins-{whose}-{}", token.0)),
        )
    }

    fn read(&self, token: &TokenId, whose: Whose) -> u32 {
        let Some(path) = self.path(token, whose) else {
            return 0;
        };
        match fs::read_to_string(path) {
            // in doubt the next one is the last
            Ok(text) => text.trim().parse().unwrap_or(u32::MAX),
            Err(_) => 0,
        }
    }

    fn write(&self, token: &TokenId, whose: Whose, count: u32) -> io::Result<()> {
        let Some(path) = self.path(token, whose) else {
            return Ok(());
        };
        if count == 0 {
            return fs::remove_file(path);
        }
        let new = path.with_extension("new");
        fs::write(&new, format!("{count}\n"))?;
        fs::rename(new, path)
    }
}
