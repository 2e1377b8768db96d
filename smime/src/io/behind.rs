//! Writing that goes on while the caller makes what comes next: the mirror image of [`super::Ahead`].

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

use super::{ALONE, BLOCKS, Stop, ended, lock};

/// Bytes of one block.
const BLOCK: usize = 256 << 10;

/// Writes to `sink` behind its caller's back, from the second mebibyte on; what is shorter goes straight through.
///
/// Only [`Write::flush`] says that everything was written. An error comes with the next write or flush; then nothing is written
/// any more. Dropped before it was flushed, the end may be missing, as after an error.
pub struct Behind<W: Write + Send + 'static> {
    sink: Arc<Mutex<W>>,
    stop: Arc<dyn Stop>,
    /// bytes to write before a thread is worth it; `None`: never
    alone: Option<usize>,
    writing: Option<Writing>,
    failed: bool,
}

struct Writing {
    full: SyncSender<Vec<u8>>,
    /// a block that was written, or why not
    empty: Receiver<io::Result<Vec<u8>>>,
    thread: JoinHandle<()>,
    block: Vec<u8>,
    /// blocks on their way
    away: usize,
}

impl<W: Write + Send + 'static> Behind<W> {
    /// `stop` ends a write to the sink that waits.
    pub fn new(sink: W, stop: Arc<dyn Stop>) -> Self {
        Behind {
            sink: Arc::new(Mutex::new(sink)),
            stop,
            alone: Some(ALONE),
            writing: None,
            failed: false,
        }
    }

    fn write_alone(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = lock(&self.sink).write(data);
        match &written {
            Ok(count) => self.alone = self.alone.map(|left| left.saturating_sub(*count)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.failed = true,
        }
        written
    }

    /// Starts the thread. Where there is none to be had, writing goes on without.
    fn start(&mut self) {
        self.alone = None;
        let (full, to_write) = sync_channel(BLOCKS);
        let (written, empty) = sync_channel(BLOCKS);
        let sink = self.sink.clone();
        let thread = Builder::new()
            .name("write-behind".into())
            .spawn(move || write_blocks(&sink, &to_write, &written));
        let Ok(thread) = thread else { return };
        self.writing = Some(Writing {
            full,
            empty,
            thread,
            block: Vec::with_capacity(BLOCK),
            away: 0,
        });
    }

    fn end(&mut self) {
        let Some(writing) = self.writing.take() else {
            return;
        };
        drop((writing.full, writing.empty));
        self.stop.stop();
        // what it had to say was asked for before, or nobody is there to be told
        let _ = writing.thread.join();
        self.stop.resume();
    }

    /// Passes on what the thread said; it has ended after an error.
    fn or_end<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.failed = true;
            self.end();
        }
        result
    }
}

impl Writing {
    fn put(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = BLOCK.saturating_sub(self.block.len());
        let now = data.get(..room).unwrap_or(data);
        self.block.extend_from_slice(now);
        if self.block.len() >= BLOCK {
            self.send()?;
        }
        Ok(now.len())
    }

    /// Sends the block off, and gets another one.
    fn send(&mut self) -> io::Result<()> {
        let next = self.next()?;
        let block = std::mem::replace(&mut self.block, next);
        if self.full.send(block).is_err() {
            return Err(self.why());
        }
        self.away = self.away.saturating_add(1);
        Ok(())
    }

    /// The thread has ended: what it said last.
    fn why(&self) -> io::Error {
        let mut said = self.empty.iter();
        said.find_map(Result::err)
            .unwrap_or_else(|| ended("writing"))
    }

    fn next(&mut self) -> io::Result<Vec<u8>> {
        match self.empty.try_recv() {
            Ok(returned) => self.returned(returned),
            Err(TryRecvError::Empty) if self.away.saturating_add(1) < BLOCKS => {
                Ok(Vec::with_capacity(BLOCK))
            }
            Err(TryRecvError::Empty) => self.wait(),
            Err(TryRecvError::Disconnected) => Err(ended("writing")),
        }
    }

    fn wait(&mut self) -> io::Result<Vec<u8>> {
        let returned = self.empty.recv().map_err(|_| ended("writing"))?;
        self.returned(returned)
    }

    fn returned(&mut self, block: io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        self.away = self.away.saturating_sub(1);
        let mut block = block?;
        block.clear();
        Ok(block)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            self.send()?;
        }
        while self.away > 0 {
            self.wait()?;
        }
        Ok(())
    }
}

/// The thread.
fn write_blocks<W: Write>(
    sink: &Mutex<W>,
    full: &Receiver<Vec<u8>>,
    empty: &SyncSender<io::Result<Vec<u8>>>,
) {
    for block in full {
        let written = lock(sink).write_all(&block);
        let failed = written.is_err();
        if empty.send(written.map(|()| block)).is_err() || failed {
            return;
        }
    }
}

impl<W: Write + Send + 'static> Write for Behind<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Err(ended("writing"));
        }
        if self.alone == Some(0) {
            self.start();
        }
        match &mut self.writing {
            None => self.write_alone(data),
            Some(writing) => {
                let put = writing.put(data);
                self.or_end(put)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(ended("writing"));
        }
        if let Some(writing) = &mut self.writing {
            let flushed = writing.flush();
            self.or_end(flushed)?;
        }
        lock(&self.sink).flush()
    }
}

impl<W: Write + Send + 'static> Drop for Behind<W> {
    fn drop(&mut self) {
        self.end();
    }
}
