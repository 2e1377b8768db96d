//! The PIV application (SP 800-73-4 part 2): PIN and PUK with their counters, certificates, private keys.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use der::Decode;
use der::Encode;
use x509_cert::Certificate;

use crate::apdu::{Command, Status, Transport};
use crate::faults::Faults;
use crate::keys::{Files, Key, SLOTS};
use crate::tlv::{tlv, value_of};
use crate::{Error, Result};

/// Application identifier of PIV, version 1.0 (SP 800-73-4 part 1 §2.2).
const AID: [u8; 11] = [
    0xa0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00,
];
/// The FASC-N of a card that belongs to no agency.
const FASC_N: [u8; 25] = [
    0xd4, 0xe7, 0x39, 0xda, 0x73, 0x9c, 0xed, 0x39, 0xce, 0x73, 0x9d, 0x83, 0x68, 0x58, 0x21, 0x08,
    0x42, 0x10, 0x84, 0x21, 0xc8, 0x42, 0x10, 0xc3, 0xeb,
];
/// Commands remembered.
const LOG: usize = 1000;
const TRIES: u8 = 3;

const SELECT: u8 = 0xa4;
const GET_DATA: u8 = 0xcb;
const GET_RESPONSE: u8 = 0xc0;
const VERIFY: u8 = 0x20;
const CHANGE_REFERENCE_DATA: u8 = 0x24;
const RESET_RETRY_COUNTER: u8 = 0x2c;
/// GENERAL AUTHENTICATE: a private key is used.
pub const AUTHENTICATE: u8 = 0x87;

/// A PIN or PUK and its counter.
struct Secret {
    value: Vec<u8>,
    left: u8,
}

impl Secret {
    fn new(value: &str) -> Self {
        Self {
            value: value.as_bytes().to_vec(),
            left: TRIES,
        }
    }

    /// The status if `given` is not it.
    fn check(&mut self, given: &[u8]) -> std::result::Result<(), Status> {
        if self.left == 0 {
            return Err(Status::BLOCKED);
        }
        if given == self.value {
            self.left = TRIES;
            return Ok(());
        }
        self.left = self.left.saturating_sub(1);
        Err(match self.left {
            0 => Status::BLOCKED,
            left => Status::tries_left(left),
        })
    }
}

/// What a card may be asked about itself, from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub pin_left: u8,
    pub puk_left: u8,
    /// the PIN was said since the last power-up
    pub verified: bool,
    /// commands so far
    pub commands: u64,
    /// VERIFY commands with a PIN in them
    pub verifies: u64,
    /// private-key operations that succeeded
    pub uses: u64,
}

/// A card. What it forgets without power is apart from what it keeps.
pub struct Card {
    dir: PathBuf,
    guid: Vec<u8>,
    keys: HashMap<u8, Key>,
    pin: Secret,
    puk: Secret,
    pub faults: Faults,
    log: VecDeque<String>,
    commands: u64,
    verifies: u64,
    uses: u64,
    // forgotten without power
    selected: bool,
    verified: bool,
    /// VERIFY came right before: what a key that wants its PIN at every use needs
    fresh: bool,
    transport: Transport,
}

/// What comes of a command.
pub enum Answer {
    Bytes(Vec<u8>),
    /// The card is pulled before it answers.
    Pulled,
}

impl Card {
    /// Opens the card whose files lie in `dir`; PIN 123456, PUK 12345678.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut keys = HashMap::new();
        for (slot, ..) in SLOTS {
            let files = Files::of(dir, slot);
            if files.key.exists() {
                keys.insert(slot, Key::read(&files.key)?);
            }
        }
        Ok(Self {
            guid: guid(dir)?,
            dir: dir.to_owned(),
            keys,
            pin: Secret::new("123456"),
            puk: Secret::new("12345678"),
            faults: Faults::default(),
            log: VecDeque::new(),
            commands: 0,
            verifies: 0,
            uses: 0,
            selected: false,
            verified: false,
            fresh: false,
            transport: Transport::default(),
        })
    }

    /// Power is gone, or comes.
    pub fn power_cycle(&mut self) {
        (self.selected, self.verified, self.fresh) = (false, false, false);
        self.transport.reset();
    }

    pub fn state(&self) -> State {
        State {
            pin_left: self.pin.left,
            puk_left: self.puk.left,
            verified: self.verified,
            commands: self.commands,
            verifies: self.verifies,
            uses: self.uses,
        }
    }

    /// Both counters are full again.
    pub fn restore_counters(&mut self) {
        (self.pin.left, self.puk.left) = (TRIES, TRIES);
    }

    /// The last commands, oldest first: header, status, length of the answer. Data is left out: there may be a PIN in it.
    pub fn take_log(&mut self) -> Vec<String> {
        self.log.drain(..).collect()
    }

    pub fn transmit(&mut self, bytes: &[u8]) -> Answer {
        self.commands = self.commands.saturating_add(1);
        let Some(command) = Command::parse(bytes) else {
            return self.noted(bytes, Status::WRONG_LENGTH.0.to_be_bytes().to_vec());
        };
        let instruction = command.instruction;
        if let Some(delay) = self.faults.delay_of(instruction) {
            std::thread::sleep(delay);
        }
        if !command.is_chained() {
            if self.faults.takes_drop(instruction) {
                return Answer::Pulled;
            }
            if let Some(status) = self.faults.takes_status(instruction) {
                self.transport.reset();
                return self.noted(bytes, status.0.to_be_bytes().to_vec());
            }
        }
        let expected = command.expected;
        let Some(command) = self.transport.gather(command) else {
            return self.noted(bytes, Status::OK.0.to_be_bytes().to_vec());
        };
        let answer = if instruction == GET_RESPONSE {
            self.transport.more(expected)
        } else {
            let (data, status) = match self.run(&command) {
                Ok(data) => (data, Status::OK),
                Err(status) => (Vec::new(), status),
            };
            self.transport.answer(expected, data, status)
        };
        self.noted(bytes, answer)
    }

    fn noted(&mut self, bytes: &[u8], answer: Vec<u8>) -> Answer {
        let header: String = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
        let data = answer.len().saturating_sub(2);
        let status: String = answer
            .iter()
            .skip(data)
            .map(|b| format!("{b:02x}"))
            .collect();
        if self.log.len() >= LOG {
            self.log.pop_front();
        }
        self.log
            .push_back(format!("{header} -> {status} ({data} bytes)"));
        Answer::Bytes(answer)
    }

    fn run(&mut self, command: &Command) -> std::result::Result<Vec<u8>, Status> {
        if !matches!(command.instruction, AUTHENTICATE | VERIFY) {
            self.fresh = false;
        }
        match command.instruction {
            SELECT => self.select(command),
            _ if !self.selected => Err(Status::CONDITIONS_NOT_SATISFIED),
            GET_DATA => self.get_data(&command.data),
            VERIFY => self.verify(command).map(|()| Vec::new()),
            CHANGE_REFERENCE_DATA => self.change(command, false).map(|()| Vec::new()),
            RESET_RETRY_COUNTER => self.change(command, true).map(|()| Vec::new()),
            AUTHENTICATE => self.authenticate(command),
            _ => Err(Status::UNKNOWN_INSTRUCTION),
        }
    }

    fn select(&mut self, command: &Command) -> std::result::Result<Vec<u8>, Status> {
        let named = AID.starts_with(&command.data) || command.data.starts_with(&AID);
        if command.p1 != 4 || command.data.len() < 5 || !named {
            return Err(Status::NOT_FOUND);
        }
        if !self.selected {
            (self.verified, self.fresh) = (false, false);
        }
        self.selected = true;
        let (rid, pix) = AID.split_at(5);
        let template = [
            tlv(0x4f, pix),
            tlv(0x79, &tlv(0x4f, rid)),
            tlv(0x50, b"Virtual PIV card"),
        ];
        Ok(tlv(0x61, &template.concat()))
    }

    fn get_data(&self, data: &[u8]) -> std::result::Result<Vec<u8>, Status> {
        let tag = value_of(data, 0x5c).ok_or(Status::WRONG_DATA)?;
        let tag = tag
            .iter()
            .fold(0u32, |tag, byte| tag << 8 | u32::from(*byte));
        match tag {
            // discovery object: the card's own PIN
            0x7e => Ok(tlv(
                0x7e,
                &[tlv(0x4f, &AID), tlv(0x5f2f, &[0x40, 0x00])].concat(),
            )),
            // card capability container
            0x5f_c107 => {
                let id = [
                    &[0xa0, 0, 0, 1, 0x16, 0xff, 2][..],
                    self.guid.get(..14).unwrap_or(&[]),
                ];
                let mut object = tlv(0xf0, &id.concat());
                object.extend([
                    0xf1, 1, 0x21, 0xf2, 1, 0x21, 0xf3, 0, 0xf4, 1, 0, 0xf5, 1, 0x10,
                ]);
                object.extend([
                    0xf6, 0, 0xf7, 0, 0xfa, 0, 0xfb, 0, 0xfc, 0, 0xfd, 0, 0xfe, 0,
                ]);
                Ok(tlv(0x53, &object))
            }
            // card holder unique identifier
            0x5f_c102 => {
                let mut object = tlv(0x30, &FASC_N);
                object.extend(tlv(0x34, &self.guid));
                object.extend(tlv(0x35, b"20491231"));
                object.extend([0x3e, 0, 0xfe, 0]);
                Ok(tlv(0x53, &object))
            }
            tag => {
                let slot = SLOTS.iter().find(|(_, object, _)| *object == tag);
                let (slot, ..) = slot.ok_or(Status::NOT_FOUND)?;
                let der = self.certificate(*slot).ok_or(Status::NOT_FOUND)?;
                let mut object = tlv(0x70, &der);
                object.extend([0x71, 1, 0, 0xfe, 0]);
                Ok(tlv(0x53, &object))
            }
        }
    }

    /// Read anew each time: it may be exchanged while the card is out.
    fn certificate(&self, slot: u8) -> Option<Vec<u8>> {
        let pem = fs::read(Files::of(&self.dir, slot).certificate).ok()?;
        let (_, der) = der::pem::decode_vec(&pem).ok()?;
        Certificate::from_der(&der).ok()?.to_der().ok()
    }

    fn verify(&mut self, command: &Command) -> std::result::Result<(), Status> {
        if command.p2 != 0x80 {
            return Err(Status::REFERENCE_NOT_FOUND);
        }
        if command.p1 == 0xff {
            (self.verified, self.fresh) = (false, false);
            return Ok(());
        }
        if command.data.is_empty() {
            return match self.pin.left {
                0 => Err(Status::BLOCKED),
                _ if self.verified => Ok(()),
                left => Err(Status::tries_left(left)),
            };
        }
        if command.data.len() != 8 {
            return Err(Status::WRONG_DATA);
        }
        self.verifies = self.verifies.saturating_add(1);
        (self.verified, self.fresh) = (false, false);
        self.pin.check(unpadded(&command.data))?;
        (self.verified, self.fresh) = (true, true);
        Ok(())
    }

    /// CHANGE REFERENCE DATA of PIN (80) or PUK (81); RESET RETRY COUNTER: a new PIN by the PUK.
    fn change(&mut self, command: &Command, unblock: bool) -> std::result::Result<(), Status> {
        let puk = match command.p2 {
            0x80 => false,
            0x81 if !unblock => true,
            _ => return Err(Status::REFERENCE_NOT_FOUND),
        };
        let both = command.data.split_at_checked(8);
        let (old, new) = both
            .filter(|(_, new)| new.len() == 8)
            .ok_or(Status::WRONG_DATA)?;
        let (old, new) = (unpadded(old), unpadded(new).to_vec());
        let asked = if puk || unblock {
            &mut self.puk
        } else {
            self.verified = false;
            &mut self.pin
        };
        asked.check(old)?;
        if new.len() < 6 {
            return Err(Status::WRONG_DATA);
        }
        if puk {
            self.puk.value = new;
        } else {
            self.pin = Secret {
                value: new,
                left: TRIES,
            };
        }
        Ok(())
    }

    fn authenticate(&mut self, command: &Command) -> std::result::Result<Vec<u8>, Status> {
        let fresh = std::mem::take(&mut self.fresh);
        let slot = command.p2;
        let key = self.keys.get(&slot).ok_or(Status::REFERENCE_NOT_FOUND)?;
        let allowed = match slot {
            0x9e => true,
            // PIN always (SP 800-73-4 part 1 §3.1.2)
            0x9c => fresh,
            _ => self.verified,
        };
        if !allowed {
            return Err(Status::SECURITY_NOT_SATISFIED);
        }
        let template = value_of(&command.data, 0x7c).ok_or(Status::WRONG_DATA)?;
        if value_of(template, 0x82).is_none() || !key.answers_to(command.p1) {
            return Err(Status::WRONG_DATA);
        }
        let made = match (value_of(template, 0x81), value_of(template, 0x85)) {
            (Some(block), None) => key.rsa(block).or_else(|| key.ecdsa(block)),
            (None, Some(point)) => key.ecdh(point),
            _ => None,
        };
        let mut made = made.ok_or(Status::WRONG_DATA)?;
        self.faults.spoil(&mut made);
        self.uses = self.uses.saturating_add(1);
        Ok(tlv(0x7c, &tlv(0x82, &made)))
    }
}

/// PINs and PUKs are filled up with FF to eight bytes (SP 800-73-4 part 2 §2.4.3).
fn unpadded(field: &[u8]) -> &[u8] {
    let len = field.iter().rposition(|b| *b != 0xff);
    len.and_then(|last| field.get(..=last)).unwrap_or(&[])
}

/// What tells this card from others, made once.
fn guid(dir: &Path) -> Result<Vec<u8>> {
    let path = dir.join("guid");
    if let Ok(guid) = fs::read(&path)
        && guid.len() == 16
    {
        return Ok(guid);
    }
    let mut guid = vec![0; 16];
    getrandom::fill(&mut guid).map_err(|e| Error::Key(e.to_string()))?;
    fs::write(&path, &guid)?;
    Ok(guid)
}

#[cfg(test)]
mod tests;
