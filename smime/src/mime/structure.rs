//! Where S/MIME stands below the multiparts of an entity, found in one pass.
//!
//! Such a part is no layer around the message (RFC 9787 §6.2 calls it errant): what is signed or encrypted there says nothing
//! about the text beside it. It is found here so that it can be reported, and is never taken for the message.

use std::ops::Range;

use memchr::memmem::Finder;

use super::headers::Headers;
use super::open::{boundary, is_cms, is_smime};
use super::source::Source;
use crate::limits::{BOUNDARY, HEADERS, MULTIPARTS, PARTS};

/// An S/MIME part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// where the entity lies, headers and all, in what was looked at
    pub(crate) range: Range<u64>,
    /// `multipart/signed`, not a CMS object
    pub(crate) clear: bool,
    /// in a message that is attached (`message/rfc822`)
    pub(crate) attached: bool,
    /// its headers and the beginning of its body, [`START`] bytes of it at most
    pub(crate) start: Vec<u8>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) parts: Vec<Part>,
    /// There may be more: too many, nested too deep, or below headers that are too long.
    pub(crate) more: bool,
}

/// Bytes of a part's body that are kept.
const START: usize = 4096;
/// A line longer than that is no boundary, bytes: a boundary and white space behind it.
const LINE: usize = 4 * BOUNDARY + 1024;

/// The scanner: bytes go in, at the end the parts come out. Holds no more than a header section and the parts' beginnings.
pub(crate) struct Structure {
    frames: Vec<Frame>,
    state: State,
    /// where the next byte lies
    at: u64,
    /// the byte before it
    previous: u8,
    line: Vec<u8>,
    /// of the header section that is being read
    head: Vec<u8>,
    head_at: u64,
    root: bool,
    attached: bool,
    open: bool,
    found: Parts,
    finder: Finder<'static>,
}

struct Frame {
    boundary: Vec<u8>,
    attached: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// in a header section
    Head,
    /// at the start of a line of a body; bytes of the line end before it
    Line { line_end: u64 },
    /// in a line of a body that is no boundary
    Text,
    /// nothing that follows can matter
    Done,
}

impl Structure {
    /// For an entity with its headers.
    pub(crate) fn of_entity() -> Self {
        Structure {
            frames: Vec::new(),
            state: State::Head,
            at: 0,
            previous: 0,
            line: Vec::new(),
            head: Vec::new(),
            head_at: 0,
            root: true,
            attached: false,
            open: false,
            found: Parts::default(),
            finder: Finder::new(b"\n--"),
        }
    }

    /// For the body of an entity with these headers.
    pub(crate) fn of_body(headers: &Headers) -> Self {
        let mut structure = Self::of_entity();
        structure.entity(headers);
        structure
    }

    pub(crate) fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let count = match self.state {
                State::Done => return,
                State::Head | State::Line { .. } => self.line(data),
                State::Text => self.text(data),
            };
            let (taken, rest) = data.split_at_checked(count).unwrap_or((data, &[]));
            self.previous = taken.last().copied().unwrap_or(self.previous);
            data = rest;
        }
    }

    pub(crate) fn finish(mut self) -> Parts {
        if self.state == State::Head && !(self.head.is_empty() && self.line.is_empty()) {
            self.head.append(&mut self.line);
            self.head_ends();
        }
        if let State::Line { line_end } = self.state
            && let Some((frame, close)) = self.boundary()
        {
            self.part_ends(line_end, frame, close);
        }
        self.close(self.at);
        self.found
    }

    /// Takes bytes of a line, at most up to its end.
    fn line(&mut self, data: &[u8]) -> usize {
        let count = memchr::memchr(b'\n', data).map_or(data.len(), |end| end.saturating_add(1));
        let bytes = data.get(..count).unwrap_or(data);
        let ended = bytes.last() == Some(&b'\n');
        let line_end = match self.state {
            State::Line { line_end } => line_end,
            _ => return self.head_line(bytes, ended),
        };
        let start = self.line.len();
        self.line.extend_from_slice(bytes);
        let first = self.line.get(..2).unwrap_or(&self.line);
        if !b"--".starts_with(first) || self.line.len() > LINE {
            // no boundary; a part's beginning is kept from the text
            self.line.truncate(start);
            let held = std::mem::take(&mut self.line);
            self.keep(&held);
            self.state = State::Text;
            return 0;
        }
        self.at = self.at.saturating_add(count as u64);
        if ended {
            match self.boundary() {
                Some((frame, close)) => self.part_ends(line_end, frame, close),
                None => {
                    let held = std::mem::take(&mut self.line);
                    self.keep(&held);
                    self.state = State::Line {
                        line_end: 1u64.saturating_add(u64::from(held.ends_with(b"\r\n"))),
                    };
                }
            }
        }
        count
    }

    fn head_line(&mut self, bytes: &[u8], ended: bool) -> usize {
        self.at = self.at.saturating_add(bytes.len() as u64);
        self.line.extend_from_slice(bytes);
        if self.line.len().saturating_add(self.head.len()) > HEADERS {
            // what a file may begin with; as an entity it is refused elsewhere (`open`)
            let root = std::mem::take(&mut self.root) && !self.attached;
            self.found.more |= !root;
            self.line.clear();
            self.head.clear();
            self.state = if root { State::Done } else { State::Text };
        } else if ended {
            let line_end = 1u64.saturating_add(u64::from(self.head.ends_with(b"\r\n")));
            if let Some((frame, close)) = self.boundary() {
                self.head_ends();
                self.part_ends(line_end, frame, close);
                return bytes.len();
            }
            let line = std::mem::take(&mut self.line);
            self.head.extend_from_slice(&line);
            if matches!(line.as_slice(), b"\n" | b"\r\n") {
                self.head_ends();
            }
        }
        bytes.len()
    }

    /// Takes text up to the next line that may be a boundary.
    fn text(&mut self, data: &[u8]) -> usize {
        let (count, line_starts) = match self.finder.find(data) {
            Some(found) => (found.saturating_add(1), true),
            None if data.ends_with(b"\n-") => (data.len().saturating_sub(1), true),
            None => (data.len(), data.ends_with(b"\n")),
        };
        let text = data.get(..count).unwrap_or(data);
        self.keep(text);
        self.at = self.at.saturating_add(count as u64);
        if line_starts {
            let before = match text {
                [.., before, _] => *before,
                _ => self.previous,
            };
            self.state = State::Line {
                line_end: 1u64.saturating_add(u64::from(before == b'\r')),
            };
        }
        count
    }

    /// Of the open part's body.
    fn keep(&mut self, text: &[u8]) {
        if self.open
            && let Some(part) = self.found.parts.last_mut()
        {
            let most = HEADERS.saturating_add(START);
            let room = most.saturating_sub(part.start.len()).min(text.len());
            part.start
                .extend_from_slice(text.get(..room).unwrap_or(&[]));
        }
    }

    /// Which multipart the line in hand is a boundary of, and whether it is the last one.
    fn boundary(&self) -> Option<(usize, bool)> {
        let line = self.line.trim_ascii_end().strip_prefix(b"--")?;
        self.frames.iter().enumerate().find_map(|(place, frame)| {
            match line.strip_prefix(frame.boundary.as_slice())? {
                b"" => Some((place, false)),
                b"--" => Some((place, true)),
                _ => None,
            }
        })
    }

    /// The line in hand ends a part of this multipart, and with it all that is open inside.
    fn part_ends(&mut self, line_end: u64, frame: usize, close: bool) {
        let line = std::mem::take(&mut self.line);
        let before = (line.len() as u64).saturating_add(line_end);
        self.close(self.at.saturating_sub(before));
        self.frames
            .truncate(frame.saturating_add(usize::from(!close)));
        self.attached = self.frames.last().is_some_and(|frame| frame.attached);
        if close {
            self.state = if self.frames.is_empty() {
                State::Done
            } else {
                State::Text
            };
        } else {
            self.state = State::Head;
            self.head_at = self.at;
        }
    }

    fn close(&mut self, at: u64) {
        if std::mem::take(&mut self.open)
            && let Some(part) = self.found.parts.last_mut()
        {
            part.range.end = at.max(part.range.start);
            // the line end before the boundary belongs to it
            let len = part.range.end.saturating_sub(part.range.start);
            part.start
                .truncate(usize::try_from(len).unwrap_or(usize::MAX));
        }
    }

    /// The header section is complete.
    fn head_ends(&mut self) {
        let section = Headers::look(&mut Source::new(Box::new(self.head.as_slice())), 0);
        let headers = section.ok().flatten().map(|(headers, _)| headers);
        self.entity(&headers.unwrap_or_default());
        self.head.clear();
        if self.state == State::Head {
            self.head_at = self.at;
        }
    }

    /// What an entity is, by its headers; its body comes next.
    fn entity(&mut self, headers: &Headers) {
        self.state = State::Line { line_end: 0 };
        let root = std::mem::take(&mut self.root);
        let content_type = headers.content_type();
        let media_type = content_type.as_ref().map_or("", |t| t.media_type.as_str());
        let multipart = content_type
            .as_ref()
            .filter(|_| media_type.starts_with("multipart/"));
        let clear = media_type == "multipart/signed" && multipart.is_some_and(is_smime);
        if clear || is_cms(headers) {
            if !root {
                self.record(clear);
            }
        } else if let Some(content_type) = multipart {
            match boundary(content_type) {
                Ok(boundary) if self.frames.len() < MULTIPARTS => self.frames.push(Frame {
                    boundary: boundary.into_bytes(),
                    attached: self.attached,
                }),
                Ok(_) => self.found.more = true,
                Err(_) => {}
            }
        } else if matches!(media_type, "message/rfc822" | "message/global") {
            self.attached = true;
            self.state = State::Head;
        }
        if self.frames.is_empty() && self.state != State::Head && !self.open {
            self.state = State::Done;
        }
    }

    fn record(&mut self, clear: bool) {
        if self.found.parts.len() >= PARTS {
            self.found.more = true;
            return;
        }
        self.found.parts.push(Part {
            range: self.head_at..self.at,
            clear,
            attached: self.attached,
            start: self.head.clone(),
        });
        self.open = true;
    }
}
