//! Command and response APDUs (ISO 7816-4 §5.1): short and extended, chained, long answers in pieces.

/// A status word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    pub const OK: Self = Self(0x9000);
    pub const WRONG_LENGTH: Self = Self(0x6700);
    pub const SECURITY_NOT_SATISFIED: Self = Self(0x6982);
    pub const BLOCKED: Self = Self(0x6983);
    pub const CONDITIONS_NOT_SATISFIED: Self = Self(0x6985);
    pub const WRONG_DATA: Self = Self(0x6a80);
    pub const NOT_FOUND: Self = Self(0x6a82);
    pub const REFERENCE_NOT_FOUND: Self = Self(0x6a88);
    pub const UNKNOWN_INSTRUCTION: Self = Self(0x6d00);

    /// 63Cx: so many tries are left.
    pub fn tries_left(count: u8) -> Self {
        Self(0x63c0 | u16::from(count.min(15)))
    }
}

/// A command, with all that was chained before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub class: u8,
    pub instruction: u8,
    pub p1: u8,
    pub p2: u8,
    pub data: Vec<u8>,
    /// the longest answer that is wanted, bytes
    pub expected: usize,
}

impl Command {
    /// More of it is to come (ISO 7816-4 §5.1.1.1).
    pub fn is_chained(&self) -> bool {
        self.class & 0x10 != 0
    }

    /// `None`: not an APDU.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [class, instruction, p1, p2, body @ ..] = bytes else {
            return None;
        };
        let (data, expected): (&[u8], usize) = match body {
            [] => (&[], 256),
            [le] => (&[], short(*le)),
            [0, high, low] => (&[], extended(*high, *low)),
            [0, high, low, rest @ ..] => {
                let (data, le) =
                    rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
                let expected = match le {
                    [high, low] => extended(*high, *low),
                    _ => 0,
                };
                (data, expected)
            }
            [lc, rest @ ..] => {
                let (data, le) = rest.split_at_checked(usize::from(*lc))?;
                (data, le.first().map_or(0, |le| short(*le)))
            }
        };
        Some(Self {
            class: *class,
            instruction: *instruction,
            p1: *p1,
            p2: *p2,
            data: data.to_vec(),
            expected,
        })
    }
}

fn short(le: u8) -> usize {
    if le == 0 { 256 } else { usize::from(le) }
}

fn extended(high: u8, low: u8) -> usize {
    match u16::from_be_bytes([high, low]) {
        0 => 65536,
        le => usize::from(le),
    }
}

/// Gathers chained commands, and gives long answers in pieces (GET RESPONSE).
#[derive(Default)]
pub struct Transport {
    chained: Vec<u8>,
    rest: Vec<u8>,
}

/// Commands gathered, bytes.
const CHAINED: usize = 64 << 10;

impl Transport {
    /// The whole command; `None`: it goes on.
    pub fn gather(&mut self, mut command: Command) -> Option<Command> {
        if self.chained.len().saturating_add(command.data.len()) > CHAINED {
            self.chained.clear();
        }
        self.chained.extend(&command.data);
        if command.is_chained() {
            return None;
        }
        command.data = std::mem::take(&mut self.chained);
        Some(command)
    }

    /// The first piece of an answer.
    pub fn answer(&mut self, expected: usize, mut data: Vec<u8>, status: Status) -> Vec<u8> {
        let most = if expected == 0 { 256 } else { expected };
        let mut status = status;
        self.rest.clear();
        if status == Status::OK && data.len() > most {
            self.rest = data.split_off(most);
            status = Status(0x6100 | u16::from(u8::try_from(self.rest.len()).unwrap_or(0)));
        }
        data.extend(status.0.to_be_bytes());
        data
    }

    /// GET RESPONSE.
    pub fn more(&mut self, expected: usize) -> Vec<u8> {
        let rest = std::mem::take(&mut self.rest);
        self.answer(expected, rest, Status::OK)
    }

    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short_or_extended() {
        let parse = |body: &[u8]| Command::parse(&[&[0, 0xcb, 0x3f, 0xff], body].concat());
        let seen = |body: &[u8]| parse(body).map(|c| (c.data, c.expected));
        assert_eq!(seen(&[]), Some((vec![], 256)));
        assert_eq!(seen(&[0]), Some((vec![], 256)));
        assert_eq!(seen(&[8]), Some((vec![], 8)));
        assert_eq!(seen(&[2, 1, 2]), Some((vec![1, 2], 0)));
        assert_eq!(seen(&[2, 1, 2, 0]), Some((vec![1, 2], 256)));
        assert_eq!(seen(&[0, 0, 0]), Some((vec![], 65536)));
        assert_eq!(seen(&[0, 0, 2, 1, 2, 1, 0]), Some((vec![1, 2], 256)));
        assert_eq!(seen(&[3, 1, 2]), None);
        assert_eq!(Command::parse(&[0, 1, 2]), None);
    }

    #[test]
    fn chains_are_joined_and_long_answers_come_in_pieces() {
        let mut transport = Transport::default();
        let part = |class, data: &[u8]| Command {
            class,
            instruction: 0x87,
            p1: 0,
            p2: 0,
            data: data.to_vec(),
            expected: 256,
        };
        assert_eq!(transport.gather(part(0x10, b"ab")), None);
        let whole = transport.gather(part(0, b"c")).map(|c| c.data);
        assert_eq!(whole.as_deref(), Some(&b"abc"[..]));
        let first = transport.answer(256, vec![7; 300], Status::OK);
        assert_eq!(
            (first.len(), first.get(256..)),
            (258, Some(&[0x61, 44][..]))
        );
        let second = transport.more(256);
        assert_eq!((second.len(), second.get(44..)), (46, Some(&[0x90, 0][..])));
    }
}
