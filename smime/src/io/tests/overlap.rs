//! Reading ahead and writing behind: the same bytes and errors as without, and no thread that stays.

use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::{Folder, MIB, all, sample};
use crate::error::Error;
use crate::io::{ALONE, Ahead, Behind, Input, NeverWaits, Stop, StreamInput};

/// Everything here is over long before.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes in short reads of odd lengths, and who asked for them.
struct Short {
    data: Cursor<Vec<u8>>,
    step: usize,
    threads: Arc<Mutex<Vec<ThreadId>>>,
    /// after so many bytes
    fails_at: Option<u64>,
}

impl Short {
    fn new(data: &[u8]) -> Self {
        Short {
            data: Cursor::new(data.to_vec()),
            step: 0,
            threads: Arc::default(),
            fails_at: None,
        }
    }
}

impl Read for Short {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.threads.lock().unwrap().push(thread::current().id());
        self.step += 1;
        if self.step.is_multiple_of(7) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut most = self.step * 7919 % 90_000 + 1;
        if let Some(end) = self.fails_at {
            let left = (end - self.data.position()) as usize;
            if left == 0 {
                return Err(Error::Timeout.into());
            }
            most = most.min(left);
        }
        let most = most.min(buffer.len());
        self.data.read(&mut buffer[..most])
    }
}

fn ahead<R: Read + Send + 'static>(source: R) -> Ahead<R> {
    Ahead::new(source, 64 << 10, Arc::new(NeverWaits))
}

#[test]
fn short_reads_arrive_in_order() {
    for len in [0, 1, ALONE - 1, ALONE, ALONE + 1, 5 * MIB + 3] {
        let data = sample(len);
        for step in [1000, 65_536, 300_000] {
            let mut reader = ahead(Short::new(&data));
            let (mut read, mut buffer) = (Vec::new(), vec![0; step]);
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => read.extend_from_slice(&buffer[..count]),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => panic!("{e}"),
                }
            }
            assert!(read == data, "{len} {step}");
            assert_eq!(reader.read(&mut buffer).unwrap_or(0), 0);
        }
    }
}

#[test]
fn a_small_message_has_no_thread_and_a_large_one_has_one() {
    for (len, expected) in [(ALONE - 1, 1), (3 * ALONE, 2)] {
        let source = Short::new(&sample(len));
        let threads = source.threads.clone();
        ahead(source).read_to_end(&mut Vec::new()).unwrap();
        let mut threads = threads.lock().unwrap().clone();
        threads.dedup();
        // the end is asked for once more where the thread was
        assert_eq!(threads.len(), expected, "{len}");
    }
}

#[test]
fn an_error_comes_behind_the_bytes_before_it() {
    let data = sample(4 * MIB);
    for fails_at in [10, ALONE as u64, 3 * MIB as u64 + 17] {
        let mut source = Short::new(&data);
        source.fails_at = Some(fails_at);
        let mut reader = ahead(source);
        let mut read = Vec::new();
        for _ in 0..2 {
            let error = Error::from(reader.read_to_end(&mut read).unwrap_err());
            assert!(matches!(error, Error::Timeout), "{error}");
        }
        assert!(read == data[..fails_at as usize], "{fails_at}");
    }
}

/// Gives some bytes and then waits, until it is stopped; resumed, it gives the rest.
struct Gate {
    data: Cursor<Vec<u8>>,
    waits_at: u64,
    state: Arc<GateState>,
}

#[derive(Default)]
struct GateState {
    /// stops and resumptions so far
    turns: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl GateState {
    /// Waits for a stop.
    fn wait(&self) -> io::Error {
        let turns = self.turns.lock().unwrap();
        let stopped = self
            .changed
            .wait_timeout_while(turns, PATIENCE, |turns| turns.0 == 0);
        assert!(!stopped.unwrap().1.timed_out(), "nobody stopped it");
        Error::Cancelled.into()
    }

    fn was_resumed(&self) -> bool {
        self.turns.lock().unwrap().1 > 0
    }
}

impl Stop for GateState {
    fn stop(&self) {
        self.turns.lock().unwrap().0 += 1;
        self.changed.notify_all();
    }

    fn resume(&self) {
        self.turns.lock().unwrap().1 += 1;
    }
}

impl Gate {
    fn new(data: &[u8], waits_at: u64) -> Self {
        Gate {
            data: Cursor::new(data.to_vec()),
            waits_at,
            state: Arc::default(),
        }
    }
}

impl Read for Gate {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.waits_at.saturating_sub(self.data.position()) as usize;
        if self.state.was_resumed() {
            return self.data.read(buffer);
        }
        if left == 0 {
            return Err(self.state.wait());
        }
        let most = left.min(buffer.len());
        self.data.read(&mut buffer[..most])
    }
}

/// Little at a time, as all users do: one large read would need no thread.
fn read_part(mut reader: impl Read, len: usize) -> Vec<u8> {
    let mut part = vec![0; len];
    for piece in part.chunks_mut(50_000) {
        reader.read_exact(piece).unwrap();
    }
    part
}

#[test]
fn a_reader_that_is_dropped_early_ends_its_thread() {
    let data = sample(4 * MIB);
    for waits_at in [5 * MIB as u64 / 4, 3 * MIB as u64] {
        let gate = Gate::new(&data, waits_at);
        let state = gate.state.clone();
        let mut reader = Ahead::new(gate, 64 << 10, state.clone());
        let part = read_part(&mut reader, MIB + 100_000);
        assert!(part == data[..MIB + 100_000]);
        drop(reader);
        // the thread would hold the source, and the source this
        assert_eq!(Arc::strong_count(&state), 1);
        assert_eq!(*state.turns.lock().unwrap(), (1, 1));
    }
}

#[test]
fn a_pass_left_while_its_stream_waits_is_taken_up_by_the_next() {
    let folder = Folder::new("taken-up");
    let data = sample(5 * MIB + 11);
    let gate = Gate::new(&data, 5 * MIB as u64 / 2);
    let stop = gate.state.clone();
    let mut input = StreamInput::new(gate, folder.0.join("spool"), stop);
    let part = read_part(input.pass().unwrap(), 2 * MIB);
    assert!(part == data[..2 * MIB]);
    for _ in 0..2 {
        assert!(all(&mut input).unwrap() == data);
    }
}

#[test]
fn a_source_that_panics_is_an_error() {
    struct Panics(usize);
    impl Read for Panics {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += buffer.len();
            assert!(self.0 < 2 * MIB, "a test's panic");
            Ok(buffer.len())
        }
    }
    let mut read = Vec::new();
    ahead(Panics(0)).read_to_end(&mut read).unwrap_err();
    assert!(read.len() >= MIB && read.len() < 2 * MIB);
}

/// Takes bytes in short writes, and fails after so many.
struct Takes {
    data: Arc<Mutex<Vec<u8>>>,
    threads: Vec<ThreadId>,
    fails_at: usize,
    flushed: Weak<Mutex<usize>>,
}

impl Write for Takes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.threads.push(thread::current().id());
        self.threads.dedup();
        let mut data = self.data.lock().unwrap();
        let left = self.fails_at - data.len();
        if left == 0 {
            return Err(Error::NoSpace.into());
        }
        let most = bytes.len().min(left).min(100_003);
        data.extend_from_slice(&bytes[..most]);
        Ok(most)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(flushed) = self.flushed.upgrade() {
            *flushed.lock().unwrap() = self.threads.len();
        }
        Ok(())
    }
}

fn takes(fails_at: usize) -> (Takes, Arc<Mutex<Vec<u8>>>, Arc<Mutex<usize>>) {
    let (data, flushed) = (Arc::default(), Arc::default());
    let sink = Takes {
        data: Arc::clone(&data),
        threads: Vec::new(),
        fails_at,
        flushed: Arc::downgrade(&flushed),
    };
    (sink, data, flushed)
}

#[test]
fn a_flush_says_that_all_is_written_in_order() {
    for (len, threads) in [(0, 0), (1, 1), (ALONE, 1), (5 * MIB + 3, 2)] {
        let data = sample(len);
        for step in [1000, 65_536, 300_000] {
            let (sink, came, flushed) = takes(usize::MAX);
            let mut writer = Behind::new(sink, Arc::new(NeverWaits));
            let (first, second) = data.split_at(len / 3 * 2);
            for part in [first, second] {
                for piece in part.chunks(step) {
                    writer.write_all(piece).unwrap();
                }
                writer.flush().unwrap();
            }
            assert!(*came.lock().unwrap() == data, "{len} {step}");
            assert_eq!(*flushed.lock().unwrap(), threads, "{len}");
        }
    }
}

#[test]
fn an_error_of_the_sink_ends_the_writing() {
    let data = sample(6 * MIB);
    for fails_at in [10, ALONE, 3 * MIB + 17, 6 * MIB - 1] {
        let (sink, came, _flushed) = takes(fails_at);
        let mut writer = Behind::new(sink, Arc::new(NeverWaits));
        let written = writer.write_all(&data).and_then(|()| writer.flush());
        let error = Error::from(written.unwrap_err());
        assert!(matches!(error, Error::NoSpace), "{fails_at}: {error}");
        assert!(*came.lock().unwrap() == data[..fails_at], "{fails_at}");
        assert!(writer.write(b"x").is_err());
        assert!(writer.flush().is_err());
        drop(writer);
        assert_eq!(Arc::strong_count(&came), 1, "{fails_at}");
    }
}

#[test]
fn a_writer_that_is_dropped_ends_its_thread() {
    /// Takes a mebibyte, then waits.
    struct Full(usize, Arc<GateState>);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            if self.0 <= ALONE {
                return Ok(bytes.len());
            }
            Err(self.1.wait())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let state = Arc::new(GateState::default());
    let mut writer = Behind::new(Full(0, state.clone()), state.clone());
    writer.write_all(&vec![1; ALONE]).unwrap();
    writer.write_all(&vec![2; 600 << 10]).unwrap();
    drop(writer);
    assert_eq!(Arc::strong_count(&state), 1);
    assert_eq!(state.turns.lock().unwrap().0, 1);
}
