//! Reading that goes on while the caller works on what came before.
//!
//! A thread of its own reads into blocks that go to and fro, so memory is fixed. Small messages never see it: the thread begins
//! when a first mebibyte has been read without it. It ends with its reader, whatever happens.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

use super::{ALONE, BLOCKS, Stop, ended, lock};

/// Reads `source` ahead of its caller.
///
/// Bytes and errors come in the order in which the source gave them. An error or the end stops the thread; what is read after
/// that is asked of the source again.
pub struct Ahead<R: Read + Send + 'static> {
    source: Arc<Mutex<R>>,
    stop: Arc<dyn Stop>,
    /// bytes of one block
    block: usize,
    /// bytes to read before a thread is worth it; `None`: never (again)
    alone: Option<usize>,
    reading: Option<Reading>,
}

/// A block, and what the source said when it was to fill it.
type Filled = (Box<[u8]>, io::Result<usize>);

struct Reading {
    full: Receiver<Filled>,
    empty: SyncSender<Box<[u8]>>,
    thread: JoinHandle<()>,
    /// `start..end` is still to be handed out
    block: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: Read + Send + 'static> Ahead<R> {
    /// Reads up to `block` bytes at a time. `stop` ends a read of the source that waits.
    pub fn new(source: R, block: usize, stop: Arc<dyn Stop>) -> Self {
        Ahead {
            source: Arc::new(Mutex::new(source)),
            stop,
            block,
            alone: Some(ALONE),
            reading: None,
        }
    }

    fn read_alone(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = lock(&self.source).read(buffer)?;
        self.alone = self.alone.map(|left| left.saturating_sub(count));
        Ok(count)
    }

    /// Starts the thread. Where there is none to be had, reading goes on without.
    fn start(&mut self) {
        self.alone = None;
        let (empty, to_fill) = sync_channel(BLOCKS);
        let (filled, full) = sync_channel(BLOCKS);
        let source = self.source.clone();
        let thread = Builder::new()
            .name("read-ahead".into())
            .spawn(move || fill(&source, &to_fill, &filled));
        let Ok(thread) = thread else { return };
        for _ in 0..BLOCKS {
            // there is room for all of them
            let _ = empty.send(vec![0; self.block].into_boxed_slice());
        }
        self.reading = Some(Reading {
            full,
            empty,
            thread,
            block: Box::default(),
            start: 0,
            end: 0,
        });
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(reading) = self.reading.take() else {
            return Ok(());
        };
        drop((reading.full, reading.empty));
        self.stop.stop();
        let joined = reading.thread.join();
        self.stop.resume();
        joined.map_err(|_| ended("reading"))
    }
}

/// The thread.
fn fill<R: Read>(source: &Mutex<R>, empty: &Receiver<Box<[u8]>>, full: &SyncSender<Filled>) {
    for mut block in empty {
        let read = loop {
            match lock(source).read(&mut block) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let last = !matches!(read, Ok(1..));
        if full.send((block, read)).is_err() || last {
            return;
        }
    }
}

impl<R: Read + Send + 'static> Read for Ahead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.alone == Some(0) {
            self.start();
        }
        let Some(reading) = &mut self.reading else {
            return self.read_alone(buffer);
        };
        if reading.start == reading.end {
            let block = std::mem::take(&mut reading.block);
            if !block.is_empty() {
                // a thread that has ended needs no more
                let _ = reading.empty.send(block);
            }
            let (block, read) = match reading.full.recv() {
                Ok(filled) => filled,
                Err(_) => {
                    self.end()?;
                    return Err(ended("reading"));
                }
            };
            match read {
                Ok(count @ 1..) => {
                    (reading.start, reading.end) = (0, count.min(block.len()));
                    reading.block = block;
                }
                last => {
                    self.end()?;
                    return last;
                }
            }
        }
        let ready = reading.block.get(reading.start..reading.end);
        let count = ready.unwrap_or(&[]).read(buffer)?;
        reading.start = reading.start.saturating_add(count);
        Ok(count)
    }
}

impl<R: Read + Send + 'static> Drop for Ahead<R> {
    fn drop(&mut self) {
        // nobody is there to be told
        let _ = self.end();
    }
}
