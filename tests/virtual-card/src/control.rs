//! The control socket: one command a line, one line of answer.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use crate::apdu::Status;
use crate::card::AUTHENTICATE;
use crate::faults::Faults;
use crate::reader::Reader;

/// What can be said to a card.
pub const HELP: &str = "\
insert | remove            into the reader, out of it
stat                       present=… pin=… puk=… verified=… commands=… verifies=… uses=…
reset-pin                  both counters full again
delay MS [INS]             each such command takes MS milliseconds more (0: no more)
sw HEX [INS [COUNT]]       the next COUNT such commands are answered by this status word
drop [INS [COUNT]]         the card is pulled in the middle of the next such command
corrupt [COUNT]            the last bit of what private keys make is flipped
truncate [COUNT]           the last byte is missing
clear                      no more faults
log                        the commands since the last `log`
INS: an instruction in hex, by default 87 (GENERAL AUTHENTICATE)";

/// Serves until the listener fails.
///
/// # Errors
/// The socket cannot be made.
pub fn serve(path: &Path, reader: &Reader) -> std::io::Result<()> {
    let _ = std::fs::remove_file(path);
    for client in UnixListener::bind(path)?.incoming() {
        let (client, reader) = (client?, reader.clone());
        std::thread::spawn(move || talk(&client, &reader));
    }
    Ok(())
}

fn talk(client: &UnixStream, reader: &Reader) {
    for line in BufReader::new(client).lines() {
        let Ok(line) = line else { return };
        let answer = obey(&line, reader).unwrap_or_else(|error| format!("err {error}"));
        let mut client = client;
        if writeln!(client, "{answer}").is_err() {
            return;
        }
    }
}

/// Does what one line says.
///
/// # Errors
/// Why it was not done, in words.
pub fn obey(line: &str, reader: &Reader) -> Result<String, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let instruction = |place: usize| match words.get(place) {
        None => Ok(AUTHENTICATE),
        Some(word) => u8::from_str_radix(word, 16).map_err(|e| format!("{word}: {e}")),
    };
    let count = |place: usize| match words.get(place) {
        None => Ok(1),
        Some(word) => word.parse::<u32>().map_err(|e| format!("{word}: {e}")),
    };
    let needed = |place: usize| words.get(place).ok_or_else(|| format!("{line}: too short"));
    match words.first().copied().unwrap_or_default() {
        "insert" => reader.insert().map_err(|e| e.to_string())?,
        "remove" => reader.remove(),
        "stat" => {
            let state = reader.card().state();
            return Ok(format!(
                "present={} pin={} puk={} verified={} commands={} verifies={} uses={}",
                reader.is_inserted(),
                state.pin_left,
                state.puk_left,
                state.verified,
                state.commands,
                state.verifies,
                state.uses
            ));
        }
        "reset-pin" => reader.card().restore_counters(),
        "delay" => {
            let ms: u64 = needed(1)?.parse().map_err(|e| format!("{line}: {e}"))?;
            let by = Duration::from_millis(ms);
            reader.card().faults.delay(instruction(2)?, by);
        }
        "sw" => {
            let status = u16::from_str_radix(needed(1)?, 16).map_err(|e| format!("{line}: {e}"))?;
            let (instruction, count) = (instruction(2)?, count(3)?);
            reader
                .card()
                .faults
                .answer(instruction, Status(status), count);
        }
        "drop" => {
            let (instruction, count) = (instruction(1)?, count(2)?);
            reader.card().faults.drop(instruction, count);
        }
        "corrupt" => reader.card().faults.corrupt = count(1)?,
        "truncate" => reader.card().faults.truncate = count(1)?,
        "clear" => reader.card().faults = Faults::default(),
        "log" => return Ok(reader.card().take_log().join(" | ")),
        _ => return Err(format!("{line:?} is no command")),
    }
    Ok("ok".into())
}
