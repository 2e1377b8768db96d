#![allow(
    clippy::arithmetic_side_effects,
    clippy::type_complexity,
    reason = "small numbers, and tables"
)]

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{Cursor, Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::{FileInput, Input, MemoryInput, NeverWaits, StreamInput};
use crate::error::{Error, Result};

mod overlap;

const MIB: usize = 1 << 20;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("privyseal-io-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn sample(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

fn all(input: &mut dyn Input) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    input.pass()?.read_to_end(&mut read)?;
    Ok(read)
}

fn some(input: &mut dyn Input, len: usize) -> Vec<u8> {
    let mut read = vec![0; len];
    input.pass().unwrap().read_exact(&mut read).unwrap();
    read
}

fn file_input(path: &PathBuf, start: u64) -> FileInput {
    FileInput::new(File::open(path).unwrap(), start, Box::new(|| Ok(())))
}

fn stream_input(data: &[u8], spool: PathBuf) -> StreamInput<Cursor<Vec<u8>>> {
    StreamInput::new(Cursor::new(data.to_vec()), spool, Arc::new(NeverWaits))
}

#[test]
fn every_pass_gives_the_same_bytes() {
    let folder = Folder::new("same");
    for len in [0, 1, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 3 * MIB + 5] {
        let data = sample(len);
        let path = folder.0.join("file");
        std::fs::write(&path, &data).unwrap();
        let mut inputs: [Box<dyn Input>; 3] = [
            Box::new(MemoryInput::new(data.clone())),
            Box::new(file_input(&path, 0)),
            Box::new(stream_input(&data, folder.0.join("spool/deep"))),
        ];
        for (kind, input) in inputs.iter_mut().enumerate() {
            for pass in 0..3 {
                assert!(
                    all(input.as_mut()).unwrap() == data,
                    "{kind} {len} pass {pass}"
                );
            }
        }
    }
}

#[test]
fn a_pass_may_be_left_in_the_middle() {
    let folder = Folder::new("left");
    let data = sample(3 * MIB + 5);
    let path = folder.0.join("file");
    std::fs::write(&path, &data).unwrap();
    let mut inputs: [Box<dyn Input>; 2] = [
        Box::new(file_input(&path, 0)),
        Box::new(stream_input(&data, folder.0.join("spool"))),
    ];
    for input in &mut inputs {
        for len in [0, 10, MIB + 1, 10] {
            assert!(some(input.as_mut(), len) == data[..len]);
        }
        assert!(all(input.as_mut()).unwrap() == data);
        assert!(some(input.as_mut(), 70_000) == data[..70_000]);
        assert!(all(input.as_mut()).unwrap() == data);
    }
}

#[test]
fn a_file_is_read_from_its_start_offset_and_its_own_offset_stays() {
    let folder = Folder::new("offset");
    let data = sample(2 * MIB);
    let path = folder.0.join("file");
    std::fs::write(&path, &data).unwrap();
    let mut file = File::open(&path).unwrap();
    file.seek(std::io::SeekFrom::Start(77)).unwrap();
    let mut input = FileInput::new(file.try_clone().unwrap(), 1000, Box::new(|| Ok(())));
    assert!(all(&mut input).unwrap() == data[1000..]);
    assert!(all(&mut input).unwrap() == data[1000..]);
    assert_eq!(file.stream_position().unwrap(), 77);
    let mut past = file_input(&path, 3 << 20);
    assert!(all(&mut past).unwrap().is_empty());
}

#[test]
fn no_byte_of_a_changed_block_is_handed_out() {
    let folder = Folder::new("changed");
    let data = sample(3 * MIB + 100);
    let path = folder.0.join("file");
    for at in [0, MIB - 1, MIB, 2 * MIB + 7, 3 * MIB + 99] {
        std::fs::write(&path, &data).unwrap();
        let mut input = file_input(&path, 0);
        assert!(all(&mut input).unwrap() == data);
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_at(&[data[at] ^ 1], at as u64).unwrap();
        let mut read = Vec::new();
        let error = Error::from(input.pass().unwrap().read_to_end(&mut read).unwrap_err());
        assert!(matches!(error, Error::InputChanged), "{error}");
        assert!(read == data[..at / MIB * MIB], "{at}");
        // and put back, all is well again
        writer.write_at(&[data[at]], at as u64).unwrap();
        assert!(all(&mut input).unwrap() == data);
    }
}

#[test]
fn a_file_that_changes_its_length_is_noticed() {
    let folder = Folder::new("length");
    let path = folder.0.join("file");
    for len in [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB] {
        for other in [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB] {
            std::fs::write(&path, sample(len)).unwrap();
            let mut input = file_input(&path, 0);
            all(&mut input).unwrap();
            std::fs::write(&path, sample(other)).unwrap();
            let result = all(&mut input);
            assert_eq!(result.is_ok(), len == other, "{len} {other}");
            assert!(matches!(result, Ok(_) | Err(Error::InputChanged)));
        }
    }
    // what an unfinished pass saw must still be there
    std::fs::write(&path, sample(3 * MIB)).unwrap();
    let mut input = file_input(&path, 0);
    some(&mut input, 2 * MIB + 1);
    std::fs::write(&path, sample(2 * MIB)).unwrap();
    assert!(matches!(all(&mut input), Err(Error::InputChanged)));
}

#[test]
fn the_check_ends_a_pass_between_blocks() {
    let folder = Folder::new("check");
    let path = folder.0.join("file");
    std::fs::write(&path, sample(3 * MIB)).unwrap();
    let calls = Cell::new(0);
    let check = move || {
        calls.set(calls.get() + 1);
        if calls.get() > 2 {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    };
    let mut input = FileInput::new(File::open(&path).unwrap(), 0, Box::new(check));
    let mut read = Vec::new();
    let error = Error::from(input.pass().unwrap().read_to_end(&mut read).unwrap_err());
    assert!(matches!(error, Error::Cancelled) && read.len() == 2 * MIB);
}

#[test]
fn a_stream_is_handed_out_as_it_comes() {
    // what was written must arrive although the writer still holds the pipe open
    let folder = Folder::new("comes");
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut input = StreamInput::new(reader, folder.0.clone(), Arc::new(NeverWaits));
    {
        let mut pass = input.pass().unwrap();
        let mut buffer = [0; 100];
        for text in ["one", "three"] {
            writer.write_all(text.as_bytes()).unwrap();
            let count = pass.read(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], text.as_bytes());
        }
    }
    writer.write_all(b"five").unwrap();
    drop(writer);
    assert_eq!(all(&mut input).unwrap(), b"onethreefive");
}

#[test]
fn the_spool_is_ciphertext_in_a_private_file_without_a_name() {
    let folder = Folder::new("cipher");
    let spool = folder.0.join("spool");
    let text = b"plain text that must not be on disk ".repeat(5000);
    let mut input = stream_input(&text, spool.clone());
    assert!(all(&mut input).unwrap() == text);
    assert_eq!(
        std::fs::metadata(&spool).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);
    // the open file, by the kernel's name for it
    let device = std::fs::metadata(&spool).unwrap().dev();
    let files: Vec<PathBuf> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| std::fs::read_link(path).is_ok_and(|target| target.starts_with(&spool)))
        .collect();
    assert_eq!(files.len(), 1);
    let metadata = std::fs::metadata(&files[0]).unwrap();
    assert_eq!(
        (metadata.mode() & 0o777, metadata.nlink(), metadata.dev()),
        (0o600, 0, device)
    );
    let on_disk = std::fs::read(&files[0]).unwrap();
    assert_eq!(on_disk.len(), text.len());
    assert!(memchr::memmem::find(&on_disk, b"plain text").is_none());
    assert!(all(&mut input).unwrap() == text);
}

#[test]
fn little_needs_no_file() {
    let folder = Folder::new("little");
    for (len, file) in [(64 << 10, false), ((64 << 10) + 1, true)] {
        let (data, spool) = (sample(len), folder.0.join(len.to_string()));
        let mut input = stream_input(&data, spool.clone());
        assert!(all(&mut input).unwrap() == data && all(&mut input).unwrap() == data);
        assert_eq!(spool.exists(), file, "{len}");
    }
}

#[test]
fn a_full_disk_has_its_own_error() {
    let full = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut spool = super::spool::Spool::in_file(full).unwrap();
    let result = spool.append(&[0; 10]);
    assert!(matches!(result, Err(Error::NoSpace)), "{result:?}");
}

#[test]
fn errors_of_the_stream_come_through() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(std::io::ErrorKind::Interrupted.into()),
                2 => {
                    buffer[0] = 7;
                    Ok(1)
                }
                _ => Err(Error::Timeout.into()),
            }
        }
    }
    let folder = Folder::new("broken");
    let mut input = StreamInput::new(Broken(0), folder.0.clone(), Arc::new(NeverWaits));
    assert!(matches!(all(&mut input), Err(Error::Timeout)));
    assert!(matches!(input.pass().map(drop), Err(Error::Timeout)));
}
