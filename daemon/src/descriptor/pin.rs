//! A PIN from a client's pipe or memfd. It is never copied, and wiped when it is dropped.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::Duration;

use privyseal_proto::{ErrorName, Failure, limits};
use privyseal_smime::Error;
use zeroize::Zeroizing;

use super::{Control, Deadline, Direction, Kind, look, source};

/// Reads byte by byte: what follows the LF belongs to somebody else, and a large buffer would be one more to wipe.
pub(super) fn read(fd: OwnedFd, within: Duration) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let what = "the PIN's descriptor";
    let invalid = |why: String| Failure::new(ErrorName::PinInvalid, why);
    if look(&fd, Direction::Read, what)? == Kind::Socket {
        return Err(Failure::invalid(format!(
            "{what} is a socket: pass a pipe or a memfd"
        )));
    }
    let control = Control::new()?;
    let (mut source, _) = source(fd, &control, Some(Deadline::after(within)), None, what)?;
    let mut pin = Zeroizing::new(Vec::with_capacity(limits::PIN_MAX));
    let mut byte = Zeroizing::new([0u8]);
    loop {
        let read = source.read(&mut *byte).map_err(|e| match e.into() {
            Error::Timeout => Failure::new(
                ErrorName::Timeout,
                format!("the PIN did not come within {} s", within.as_secs()),
            ),
            other => Failure::new(ErrorName::Failed, format!("{what} cannot be read: {other}")),
        })?;
        let [value] = *byte;
        match (read, value) {
            (0, _) | (_, b'\n') => break,
            (_, 0) => return Err(invalid("the PIN has a NUL byte".into())),
            _ if pin.len() == limits::PIN_MAX => {
                return Err(invalid(format!(
                    "the PIN is longer than {} bytes",
                    limits::PIN_MAX
                )));
            }
            _ => pin.push(value),
        }
    }
    if pin.is_empty() {
        return Err(invalid("the PIN is empty".into()));
    }
    Ok(pin)
}
