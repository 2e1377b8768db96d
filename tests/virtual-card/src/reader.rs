//! A slot of vsmartcard's vpcd: the card is in the reader while the TCP connection stands.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;

use crate::card::{Answer, Card};

/// Answer to reset: T=0 and T=1, command chaining and extended lengths; the last byte is the checksum.
const ATR: [u8; 11] = [
    0x3b, 0x86, 0x80, 0x01, 0x80, 0x73, 0x00, 0x21, 0xc0, 0x50, 0x45,
];
const POWER_OFF: u8 = 0;
const POWER_ON: u8 = 1;
const RESET: u8 = 2;
const GET_ATR: u8 = 4;

/// A card and the reader it may be in.
#[derive(Clone)]
pub struct Reader(Arc<Inner>);

struct Inner {
    card: Mutex<Card>,
    address: (String, u16),
    connection: Mutex<Option<TcpStream>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reader {
    /// Outside the reader at first. vpcd listens on 35963 and 35964, one port for each of its readers.
    pub fn new(card: Card, host: &str, port: u16) -> Self {
        Self(Arc::new(Inner {
            card: Mutex::new(card),
            address: (host.to_owned(), port),
            connection: Mutex::new(None),
        }))
    }

    pub fn card(&self) -> MutexGuard<'_, Card> {
        lock(&self.0.card)
    }

    pub fn is_inserted(&self) -> bool {
        lock(&self.0.connection).is_some()
    }

    /// # Errors
    /// vpcd does not listen.
    pub fn insert(&self) -> io::Result<()> {
        let mut connection = lock(&self.0.connection);
        if connection.is_some() {
            return Ok(());
        }
        let (host, port) = &self.0.address;
        let stream = TcpStream::connect((host.as_str(), *port))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        self.card().power_cycle();
        *connection = Some(stream.try_clone()?);
        drop(connection);
        let reader = self.clone();
        std::thread::spawn(move || {
            // the reader's side has gone, or the card was pulled: both are an end
            let _ = reader.serve(&stream);
            let mut connection = lock(&reader.0.connection);
            let same = connection
                .as_ref()
                .is_some_and(|now| now.local_addr().ok() == stream.local_addr().ok());
            if same {
                *connection = None;
            }
        });
        Ok(())
    }

    pub fn remove(&self) {
        if let Some(stream) = lock(&self.0.connection).take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.card().power_cycle();
    }

    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        loop {
            let mut len = [0; 2];
            read(stream, &mut len)?;
            let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
            read(stream, &mut message)?;
            let answer = match message.as_slice() {
                [POWER_OFF | POWER_ON | RESET] => {
                    self.card().power_cycle();
                    continue;
                }
                [GET_ATR] => ATR.to_vec(),
                [_] | [] => continue,
                apdu => match self.card().transmit(apdu) {
                    Answer::Bytes(bytes) => bytes,
                    Answer::Pulled => {
                        stream.shutdown(Shutdown::Both)?;
                        return Ok(());
                    }
                },
            };
            let len = u16::try_from(answer.len()).unwrap_or(u16::MAX);
            stream.write_all(&[&len.to_be_bytes()[..], &answer].concat())?;
        }
    }
}

/// vpcd sends length and body apart: acknowledged at once, or each command takes 40 ms (Nagle's algorithm).
fn read(mut stream: &TcpStream, bytes: &mut [u8]) -> io::Result<()> {
    sockopt::set_tcp_quickack(stream, true)?;
    stream.read_exact(bytes)
}
