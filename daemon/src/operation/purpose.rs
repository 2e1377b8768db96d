//! What a key is needed for, in words for the person who is asked for its PIN: a first line that says what is done, then a line for
//! each thing that is known by then.
//!
//! What a message says of itself is its sender's word, and is shown as such.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use privyseal_smime::{DigestAlgorithm, Headers, Input};

/// Bytes of a message's beginning that are looked at.
pub const BEGINNING: usize = 16 << 10;
/// Addresses that are shown of many.
const ADDRESSES: usize = 4;

/// `beginning` is that of what is signed, `recipients` are those that it is encrypted to.
pub fn of_signing(beginning: &[u8], recipients: &[String]) -> String {
    let mut purpose = "sign a message".to_owned();
    let headers = Headers::of_beginning(beginning);
    add_text(&mut purpose, &headers, "Subject");
    if recipients.is_empty() {
        let to = ["To", "Cc"].map(|field| headers.addresses(field)).concat();
        add(&mut purpose, "To, as the message says", &few(&to));
    } else {
        add(&mut purpose, "Encrypted to", &few(recipients));
    }
    purpose
}

/// `beginning` is that of the message around what is encrypted.
pub fn of_opening(beginning: &[u8]) -> String {
    let mut purpose = "open an encrypted message".to_owned();
    let headers = Headers::of_beginning(beginning);
    let from = few(&headers.addresses("From"));
    add(&mut purpose, "From, as the message says", &from);
    add_text(&mut purpose, &headers, "Subject");
    purpose
}

/// Of one signature: what the token is given.
pub fn with_digest(purpose: &str, algorithm: DigestAlgorithm, digest: &[u8]) -> String {
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = algorithm.name();
    format!("{purpose}\nDigest that is signed ({name}): {hex}")
}

fn add_text(purpose: &mut String, headers: &Headers, field: &str) {
    let text = headers.text(field).unwrap_or_default();
    add(purpose, &format!("{field}, as the message says"), &text);
}

/// One line more, whatever the text brings.
fn add(purpose: &mut String, what: &str, text: &str) {
    let text = text.replace(['\r', '\n'], " ");
    if !text.trim().is_empty() {
        purpose.push_str(&format!("\n{what}: {}", text.trim()));
    }
}

fn few(addresses: &[String]) -> String {
    let shown: Vec<&str> = addresses
        .iter()
        .take(ADDRESSES)
        .map(String::as_str)
        .collect();
    match addresses.len().saturating_sub(ADDRESSES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The beginning of a message as far as its latest pass has come.
#[derive(Clone, Default)]
pub struct Beginning(Arc<Mutex<Vec<u8>>>);

impl Beginning {
    /// See [`of_opening`].
    pub fn purpose(&self) -> String {
        of_opening(&self.bytes())
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An input of which the beginning is noted while it is read: no pass more is made for a prompt.
pub struct Noted<'a> {
    input: &'a mut dyn Input,
    beginning: Beginning,
}

impl<'a> Noted<'a> {
    pub fn new(input: &'a mut dyn Input) -> Self {
        Noted {
            input,
            beginning: Beginning::default(),
        }
    }

    pub fn beginning(&self) -> Beginning {
        self.beginning.clone()
    }
}

impl Input for Noted<'_> {
    fn pass(&mut self) -> privyseal_smime::Result<Box<dyn Read + Send + '_>> {
        self.beginning.bytes().clear();
        Ok(Box::new(Noting {
            pass: self.input.pass()?,
            beginning: self.beginning.clone(),
            room: BEGINNING,
        }))
    }
}

struct Noting<'a> {
    pass: Box<dyn Read + Send + 'a>,
    beginning: Beginning,
    room: usize,
}

impl Read for Noting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.pass.read(buffer)?;
        if self.room > 0 {
            let noted = buffer.get(..count.min(self.room)).unwrap_or_default();
            self.room = self.room.saturating_sub(noted.len());
            self.beginning.bytes().extend_from_slice(noted);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_says_of_itself_is_one_line_each_and_called_so() {
        let message = b"To: Bob <bob@example.org>, b@x, c@x, d@x\r\nCc: e@x, f@x\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe=0AUnlock?=\r\n all\r\n\r\nSubject: no\r\n";
        assert_eq!(
            of_signing(message, &[]),
            "sign a message\nSubject, as the message says: Grüße Unlock all\nTo, as the message says: bob@example.org, b@x, c@x, \
             d@x and 2 more"
        );
        assert_eq!(
            of_signing(message, &["eve@example.org".into()])
                .lines()
                .last(),
            Some("Encrypted to: eve@example.org")
        );
        for nothing in [&b""[..], b"\x30\x80\x06", b"Hello\n\nSubject: x\n"] {
            assert_eq!(of_opening(nothing), "open an encrypted message");
        }
    }

    #[test]
    fn a_noted_beginning_is_bounded_and_of_the_latest_pass() {
        let mut message = privyseal_smime::io::MemoryInput::new(vec![b'x'; 3 * BEGINNING]);
        let mut noted = Noted::new(&mut message);
        let beginning = noted.beginning();
        for _ in 0..2 {
            let mut all = Vec::new();
            noted.pass().unwrap().read_to_end(&mut all).unwrap();
            assert_eq!(all.len(), 3 * BEGINNING);
            assert_eq!(beginning.bytes().len(), BEGINNING);
        }
    }
}
