//! The files of the trail: `audit.jsonl` is appended to; when it is full it becomes `audit.1.jsonl`, that one `audit.2.jsonl` …, and
//! the last of them goes. `audit.head` says which record was the last, and its hash: it tells at the next start whether the end was
//! cut off meanwhile.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::entry::Entry;
use crate::operation::rfc3339;

/// Files that are kept, with the one that is written.
pub(super) const FILES: u64 = 4;

/// The next file, until the others have moved on.
const NEXT: &str = "audit.new";

/// One line.
#[derive(Serialize)]
struct Record<'a> {
    seq: u64,
    /// SHA-256 of the line before, hex; of nothing: zeros
    prev: &'a str,
    time: String,
    #[serde(flatten)]
    entry: &'a Entry,
}

/// What a line says of its place.
#[derive(Deserialize)]
pub(super) struct Place {
    pub seq: u64,
    pub prev: String,
    pub kind: String,
    pub result: String,
}

/// Where the chain ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// 0: there is no record
    pub last: u64,
    /// SHA-256 of the last line, hex
    pub hash: String,
}

impl Default for End {
    fn default() -> Self {
        End {
            last: 0,
            hash: "0".repeat(64),
        }
    }
}

pub(super) struct Files {
    folder: PathBuf,
    current: File,
    head: File,
    /// of the current file, bytes
    len: u64,
    /// bytes of all files together
    pub max: u64,
    end: End,
    /// to be written before anything else
    pending: VecDeque<Entry>,
}

impl Files {
    pub fn open(folder: &Path) -> io::Result<Self> {
        let current = own_file(folder, "audit.jsonl", |o| o.append(true))?;
        let head = own_file(folder, "audit.head", |o| o.write(true))?;
        let mut files = Files {
            folder: folder.into(),
            len: current.metadata()?.len(),
            current,
            head,
            max: u64::MAX,
            end: End::default(),
            pending: VecDeque::new(),
        };
        let torn = files.drop_torn_line()?;
        if torn > 0 {
            tracing::warn!(torn, "the last record of the audit trail was torn");
            let what = format!("{torn} bytes of a record");
            files.pending.push_back(Entry::trail("torn", what));
        }
        let left = files.read_head()?;
        files.end = files.find_end(&left)?;
        if let Some(why) = differs(&left, &files.end) {
            tracing::error!(why, "the audit trail is not as it was left");
            files.pending.push_back(Entry::trail("broken", why));
        }
        let begun = Entry::trail("begun", "privyseald has started".into());
        files.pending.push_back(begun);
        Ok(files)
    }

    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        while let Some(first) = self.pending.front().cloned() {
            self.write(&first)?;
            self.pending.pop_front();
        }
        self.write(entry)
    }

    /// Oldest first.
    pub fn present(&self) -> io::Result<Vec<PathBuf>> {
        let mut all = names(&self.folder);
        let mut result = Ok(());
        all.retain(|path| match path.try_exists() {
            Ok(there) => there,
            Err(error) => {
                result = Err(error);
                false
            }
        });
        result.map(|()| all)
    }

    /// Not written yet: what was found at the start.
    pub fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.pending.iter()
    }

    pub fn end(&self) -> &End {
        &self.end
    }

    pub fn to_sync(&self) -> io::Result<File> {
        self.current.try_clone()
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let record = Record {
            seq: self.end.last.saturating_add(1),
            prev: &self.end.hash,
            time: rfc3339(now.unwrap_or_default().as_secs()),
            entry,
        };
        let mut line = serde_json::to_vec(&record)?;
        let end = End {
            last: record.seq,
            hash: hash(&line),
        };
        line.push(b'\n');
        let size = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.len > 0 && self.len.saturating_add(size) > self.max / FILES {
            self.rotate()?;
        }
        if let Err(error) = self.current.write_all(&line) {
            // a part may be there: nobody shall take it for a record
            self.current.set_len(self.len)?;
            return Err(error);
        }
        self.len = self.len.saturating_add(size);
        self.end = end;
        // in place, and never longer: there is room for it on a full disk
        let head = format!("{:020} {}\n", self.end.last, self.end.hash);
        self.head.write_all_at(head.as_bytes(), 0)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.current.sync_data()?;
        // first what may fail: a file that cannot be made must not cost one that is there
        let next = own_file(&self.folder, NEXT, |o| o.append(true))?;
        next.set_len(0)?;
        for pair in names(&self.folder).windows(2) {
            if let [older, newer] = pair {
                match fs::rename(newer, older) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
            }
        }
        fs::rename(self.folder.join(NEXT), self.folder.join("audit.jsonl"))?;
        self.current = next;
        self.len = 0;
        Ok(())
    }

    /// A line without its end: the daemon, or the machine, died while it was written. Gives its length.
    fn drop_torn_line(&mut self) -> io::Result<u64> {
        let mut whole = 0u64;
        for line in lines(&self.folder.join("audit.jsonl"))? {
            let len = u64::try_from(line?.len()).unwrap_or(u64::MAX);
            whole = whole.saturating_add(len).saturating_add(1);
        }
        let torn = self.len.saturating_sub(whole);
        if torn > 0 {
            self.current.set_len(whole)?;
            self.len = whole;
        }
        Ok(torn)
    }

    /// What was written last, as the head tells; `None`: it is new or damaged.
    fn read_head(&self) -> io::Result<Option<End>> {
        let mut text = [0; 86];
        match self.head.read_exact_at(&mut text, 0) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e),
        }
        let text = String::from_utf8_lossy(&text);
        let parsed = text.trim_end().split_once(' ').and_then(|(last, hash)| {
            Some(End {
                last: last.parse().ok()?,
                hash: hash.to_owned(),
            })
        });
        Ok(parsed)
    }

    /// The last line that is there. Where it is none of ours, it counts as the one that was written last.
    fn find_end(&self, left: &Option<End>) -> io::Result<End> {
        for path in self.present()?.iter().rev() {
            let Some(line) = lines(path)?.last().transpose()? else {
                continue;
            };
            let last = match serde_json::from_slice::<Place>(&line) {
                Ok(place) => place.seq,
                Err(_) => left.as_ref().map_or(0, |left| left.last),
            };
            let hash = hash(&line);
            return Ok(End { last, hash });
        }
        Ok(End::default())
    }
}

/// Why the files do not end as they were left. They may end later: the head is written after the record.
fn differs(left: &Option<End>, found: &End) -> Option<String> {
    match left {
        None if found.last == 0 => None,
        None => Some("audit.head is missing or damaged".into()),
        Some(left) if left.last > found.last => Some(format!(
            "record {} was the last, and now {} is",
            left.last, found.last
        )),
        Some(left) if left.last == found.last && left.hash != found.hash => {
            Some(format!("the last record, {}, was changed", found.last))
        }
        Some(_) => None,
    }
}

/// Oldest first; the last is the one that is written.
fn names(folder: &Path) -> Vec<PathBuf> {
    let old = (1..FILES).rev().map(|n| format!("audit.{n}.jsonl"));
    let all = old.chain(["audit.jsonl".to_owned()]);
    all.map(|name| folder.join(name)).collect()
}

fn own_file(
    folder: &Path,
    name: &str,
    how: impl Fn(&mut OpenOptions) -> &mut OpenOptions,
) -> io::Result<File> {
    let mut options = OpenOptions::new();
    how(&mut options)
        .read(true)
        .create(true)
        .mode(0o600)
        .open(folder.join(name))
}

pub(super) fn hash(line: &[u8]) -> String {
    let digest = Sha256::digest(line);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines of a file that have an end, without it.
pub(super) fn lines(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
    let mut file = BufReader::new(File::open(path)?);
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        match file.read_until(b'\n', &mut line) {
            Ok(_) if line.pop() == Some(b'\n') => Some(Ok(line)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }))
}
