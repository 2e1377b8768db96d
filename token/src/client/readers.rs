//! Watches which PC/SC readers there are, through a worker that does nothing else, and has [`Lanes`] follow.
//!
//! That worker is told by pcscd; nothing is polled here. What hangs or dies in it costs no token its login.

use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::lanes::{Lanes, join};
use super::shared::lock;
use super::spawn::spawn;
use crate::error::Error;
use crate::frame;
use crate::protocol::{Answer, Call, Reply, Request};
use crate::readers::Scope;

/// Pause after the watching worker's first end; it doubles up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(32));

pub(super) struct Watch {
    control: Arc<Control>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// start the next worker now
    wanted: bool,
    stopping: bool,
}

impl Watch {
    pub fn start(lanes: &Arc<Lanes>) -> Self {
        let control = Arc::new(Control {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let thread = thread::Builder::new().name("token-readers".into()).spawn({
            let (control, lanes) = (Arc::clone(&control), Arc::clone(lanes));
            move || run(&control, &lanes)
        });
        let thread = thread
            .map_err(|e| lanes.not_watched(format!("no thread for its readers: {e}")))
            .ok();
        Self {
            control,
            thread: Mutex::new(thread),
        }
    }

    /// Has the list made anew.
    pub fn refresh(&self) {
        self.control.end_child(|state| state.wanted = true);
    }

    /// Ends it; no list is followed after that.
    pub fn stop(&self) {
        self.control.end_child(|state| state.stopping = true);
        join(&self.thread);
    }
}

impl Control {
    fn end_child(&self, set: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        set(&mut state);
        if let Some(child) = &mut state.child {
            // its thread reaps it
            let _ = child.kill();
        }
        drop(state);
        self.changed.notify_all();
    }
}

fn run(control: &Control, lanes: &Lanes) {
    let mut pause = BACK_OFF.0;
    let mut said = String::new();
    loop {
        let begun = Instant::now();
        let why = watch(control, lanes);
        let mut state = lock(&control.state);
        if state.stopping {
            return;
        }
        if std::mem::take(&mut state.wanted) {
            continue;
        }
        drop(state);
        if why != said {
            tracing::warn!(module = %lanes.setup.config.path.display(), why, "readers are not watched");
            said.clone_from(&why);
        }
        lanes.not_watched(why);
        if begun.elapsed() > BACK_OFF.1 {
            pause = BACK_OFF.0;
        }
        let state = lock(&control.state);
        let waited = control
            .changed
            .wait_timeout_while(state, pause, |s| !s.stopping && !s.wanted);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.wanted = false;
        pause = pause.saturating_mul(2).min(BACK_OFF.1);
    }
}

/// One watching worker, from its start to its end: why it ended.
fn watch(control: &Control, lanes: &Lanes) -> String {
    let (mut child, socket) = match spawn(&lanes.setup, &Scope::All) {
        Ok(started) => started,
        Err(why) => return why,
    };
    let mut state = lock(&control.state);
    if state.stopping {
        let _ = child.kill();
    }
    state.child = Some(child);
    drop(state);
    let why = listen(socket, lanes);
    let child = lock(&control.state).child.take();
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
    why
}

fn listen(mut socket: UnixStream, lanes: &Lanes) -> String {
    let request = Request {
        id: 0,
        call: Call::WatchReaders {
            client: std::process::id(),
        },
    };
    // the first list comes at once, the next ones when something changes
    let begun = socket
        .set_read_timeout(Some(lanes.setup.deadline))
        .and_then(|()| frame::encode(&request, frame::MAX_REQUEST))
        .and_then(|request| frame::write(&mut socket, &request));
    if let Err(e) = begun {
        return e.to_string();
    }
    loop {
        let reply = match frame::read(&mut socket, frame::MAX_REPLY) {
            Ok(Some(body)) => frame::decode::<Reply>(&body),
            Ok(None) => return "the worker that watches them has ended".into(),
            Err(e) => Err(e),
        };
        match reply.map(|reply| reply.result) {
            Ok(Ok(Answer::Readers(readers))) => lanes.follow(&readers),
            Ok(Ok(_)) => return "the worker that watches them answered another question".into(),
            Ok(Err(Error::Module(why))) => return why,
            Ok(Err(e)) => return e.to_string(),
            Err(e) => return e.to_string(),
        }
        if let Err(e) = socket.set_read_timeout(None) {
            return e.to_string();
        }
    }
}
