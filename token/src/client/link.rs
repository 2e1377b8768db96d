//! The connection to one living worker.
//!
//! Only as many requests are sent as the worker has threads; the others wait here, first come first served. So a request that
//! has been sent has been started, and its deadline means the module and not the queue.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::shared::{Shared, lock};
use crate::error::{Error, Result};
use crate::frame::{self, Frame};
use crate::protocol::{Answer, Call, Reply, Request};

/// Time in the queue, in deadlines.
const PATIENCE: u32 = 4;

pub(super) struct Link {
    pid: u32,
    generation: u64,
    child: Mutex<Child>,
    writer: Mutex<UnixStream>,
    flow: Mutex<Flow>,
}

struct Flow {
    next_id: u64,
    window: usize,
    in_flight: HashMap<u64, Flight>,
    queue: VecDeque<(u64, Frame, Flight)>,
    /// it exits on purpose
    rests: bool,
    /// callers that have it, and when the last of them had
    users: usize,
    used: Instant,
    dead: Option<String>,
}

/// A caller's hold on a worker: it is not ended as idle meanwhile.
pub(super) struct InUse(Arc<Link>);

impl InUse {
    pub fn new(link: &Arc<Link>) -> Self {
        let mut flow = lock(&link.flow);
        flow.users = flow.users.saturating_add(1);
        drop(flow);
        Self(Arc::clone(link))
    }
}

impl Deref for InUse {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut flow = lock(&self.0.flow);
        flow.users = flow.users.saturating_sub(1);
        flow.used = Instant::now();
    }
}

struct Flight {
    op: &'static str,
    sent: Instant,
    limit: Duration,
    answer: Option<SyncSender<Result<Answer>>>,
}

impl Flight {
    fn finish(self, result: Result<Answer>) {
        if let Some(answer) = self.answer {
            // the caller may have given up
            let _ = answer.try_send(result);
        }
    }
}

impl Link {
    pub fn new(child: Child, socket: UnixStream, generation: u64) -> Self {
        Self {
            pid: child.id(),
            generation,
            child: Mutex::new(child),
            writer: Mutex::new(socket),
            flow: Mutex::new(Flow {
                next_id: 0,
                window: 1,
                in_flight: HashMap::new(),
                queue: VecDeque::new(),
                rests: false,
                users: 0,
                used: Instant::now(),
                dead: None,
            }),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How many requests the worker takes at a time.
    pub fn open_window(&self, parallel: u32) {
        lock(&self.flow).window = usize::try_from(parallel).unwrap_or(1).clamp(1, 64);
    }

    pub fn is_dead(&self) -> bool {
        lock(&self.flow).dead.is_some()
    }

    /// It has answered for the last time, to let go of the card.
    pub fn rests(&self) -> bool {
        lock(&self.flow).rests
    }

    /// Has a worker exit that nobody has used for so long; false: somebody has. The supervisor holds the state meanwhile, so that
    /// nobody gets hold of it.
    pub fn retire(&self, idle: Duration) -> bool {
        let mut flow = lock(&self.flow);
        let busy = flow.users > 0 || !flow.in_flight.is_empty() || !flow.queue.is_empty();
        if busy || flow.dead.is_some() || flow.used.elapsed() < idle {
            return false;
        }
        let id = flow.next_id;
        let Ok(frame) = encode(id, Call::Shutdown) else {
            return false;
        };
        flow.rests = true;
        flow.window = 0;
        drop(flow);
        self.transmit(&frame);
        true
    }

    /// Kills the worker: whoever waits for an answer gets this error.
    pub fn abandon(&self, error: &Error) {
        self.end_with(&error.to_string(), error);
        self.die(None);
    }

    /// Why the worker is dead, if it is.
    pub fn death(&self) -> Option<String> {
        lock(&self.flow).dead.clone()
    }

    /// Sends a call and waits for its answer.
    pub fn call(&self, op: &'static str, call: Call, limit: Duration) -> Result<Answer> {
        let (answer, answered) = sync_channel(1);
        let id = self.submit(op, call, limit, Some(answer))?;
        match answered.recv_timeout(limit.saturating_mul(PATIENCE)) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                lock(&self.flow).queue.retain(|(queued, ..)| *queued != id);
                Err(Error::Timeout)
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::WorkerDied(self.death().unwrap_or_default()))
            }
        }
    }

    /// [`Link::call`] for the supervisor's own thread, while it enforces no deadlines: kills the worker itself.
    pub fn call_alone(&self, op: &'static str, call: Call, limit: Duration) -> Result<Answer> {
        let (answer, answered) = sync_channel(1);
        self.submit(op, call, limit, Some(answer))?;
        answered.recv_timeout(limit).unwrap_or_else(|_| {
            self.die(Some(&format!("no answer to {op} within {limit:?}; killed")));
            Err(Error::Timeout)
        })
    }

    /// Sends a call whose answer nobody waits for.
    pub fn send(&self, op: &'static str, call: Call, limit: Duration) -> Result<()> {
        self.submit(op, call, limit, None).map(|_| ())
    }

    /// True while this operation is under way or queued.
    pub fn has(&self, op: &'static str) -> bool {
        let flow = lock(&self.flow);
        flow.in_flight.values().any(|f| f.op == op) || flow.queue.iter().any(|(.., f)| f.op == op)
    }

    fn submit(
        &self,
        op: &'static str,
        call: Call,
        limit: Duration,
        answer: Option<SyncSender<Result<Answer>>>,
    ) -> Result<u64> {
        let mut flow = lock(&self.flow);
        if let Some(why) = &flow.dead {
            return Err(Error::WorkerDied(why.clone()));
        }
        let id = flow.next_id;
        let frame = encode(id, call)?;
        flow.next_id = id.wrapping_add(1);
        let sent = Instant::now();
        let flight = Flight {
            op,
            sent,
            limit,
            answer,
        };
        if flow.in_flight.len() < flow.window && flow.queue.is_empty() {
            flow.in_flight.insert(id, flight);
            drop(flow);
            self.transmit(&frame);
        } else {
            flow.queue.push_back((id, frame, flight));
        }
        Ok(id)
    }

    fn transmit(&self, frame: &Frame) {
        let written = frame::write(&mut *lock(&self.writer), frame);
        match written {
            Ok(()) => {}
            // it has ended: the reader thread will come to that, after the answers that it sent before (a `Resting` among them)
            Err(e) if matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(e) => self.die(Some(&format!("it does not take requests: {e}"))),
        }
    }

    /// The reader thread: hands answers out until the worker ends.
    pub fn read_answers(&self, mut socket: UnixStream, shared: &Shared) {
        loop {
            let reply = match frame::read(&mut socket, frame::MAX_REPLY) {
                Ok(Some(body)) => frame::decode::<Reply>(&body),
                Ok(None) => break self.die(None),
                Err(e) => Err(e),
            };
            let ready = match reply {
                Ok(reply) => self.take(reply, shared),
                Err(e) if e.kind() == ErrorKind::InvalidData => {
                    break self.die(Some(&format!("it sent garbage: {e}")));
                }
                Err(_) => break self.die(None),
            };
            match ready {
                Ok(next) => {
                    for frame in &next {
                        self.transmit(frame);
                    }
                }
                Err(why) => break self.die(Some(why)),
            }
        }
        shared.changed.notify_all();
    }

    /// Delivers one reply; gives the requests that may be sent now.
    fn take(&self, reply: Reply, shared: &Shared) -> Result<Vec<Frame>, &'static str> {
        // before the answer: who was told Ok sees the token unlocked
        if let Some(listing) = reply.listing {
            shared.apply(self.generation, listing);
        }
        let mut flow = lock(&self.flow);
        let flight = flow
            .in_flight
            .remove(&reply.id)
            .ok_or("it answered what nobody asked")?;
        let reply_rests = matches!(reply.result, Ok(Answer::Resting | Answer::RestingAfter(_)));
        if reply_rests {
            flow.rests = true;
            flow.window = 0;
        }
        let mut ready = Vec::new();
        while flow.in_flight.len() < flow.window {
            let Some((id, frame, mut next)) = flow.queue.pop_front() else {
                break;
            };
            next.sent = Instant::now();
            flow.in_flight.insert(id, next);
            ready.push(frame);
        }
        drop(flow);
        flight.finish(reply.result);
        if reply_rests {
            shared.changed.notify_all();
        }
        Ok(ready)
    }

    /// Kills the worker if one of its calls has had its time.
    pub fn enforce_deadlines(&self) {
        let mut flow = lock(&self.flow);
        let is_late = |flight: &Flight| flight.sent.elapsed() > flight.limit;
        let late: Vec<u64> = flow
            .in_flight
            .iter()
            .filter(|(_, f)| is_late(f))
            .map(|(id, _)| *id)
            .collect();
        let late: Vec<Flight> = late
            .iter()
            .filter_map(|id| flow.in_flight.remove(id))
            .collect();
        drop(flow);
        let Some(first) = late.first() else { return };
        let why = format!("no answer to {} within {:?}; killed", first.op, first.limit);
        // dead for everyone before anyone is told
        self.give_up(&why);
        for flight in late {
            flight.finish(Err(Error::Timeout));
        }
        self.die(Some(&why));
    }

    /// Ends the worker and tells everyone who waits. `None`: it has ended by itself.
    pub fn die(&self, why: Option<&str>) {
        if let Some(why) = why {
            self.give_up(why);
        }
        let mut child = lock(&self.child);
        // harmless for one that is gone: it is not reaped yet
        let _ = child.kill();
        let status = child.wait();
        drop(child);
        match status {
            Ok(status) => self.give_up(&status.to_string()),
            Err(e) => self.give_up(&e.to_string()),
        }
    }

    fn give_up(&self, why: &str) {
        self.end_with(why, &Error::WorkerDied(why.to_owned()));
    }

    fn end_with(&self, why: &str, error: &Error) {
        let mut flow = lock(&self.flow);
        if flow.dead.is_some() {
            return;
        }
        flow.dead = Some(why.to_owned());
        let mut waiting: Vec<Flight> = flow.in_flight.drain().map(|(_, f)| f).collect();
        waiting.extend(flow.queue.drain(..).map(|(.., f)| f));
        drop(flow);
        for flight in waiting {
            flight.finish(Err(error.clone()));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.die(Some("not needed any more"));
    }
}

fn encode(id: u64, call: Call) -> Result<Frame> {
    frame::encode(&Request { id, call }, frame::MAX_REQUEST)
        .map_err(|e| Error::TokenError(format!("the request is too long to send: {e}")))
}
