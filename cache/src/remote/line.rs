//! Asking a remote: again where that may help, not at all once it has failed too often. What failed is counted, and
//! told once.

use std::{
    collections::HashSet,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    fault::{ENOUGH, Fault},
    stop::Stop,
    transport::Transport,
};

/// How often a request is made that may succeed when it is made again.
const ATTEMPTS: u32 = 3;
/// The pause before the second attempt; before the third it is four times as long.
const PAUSE: Duration = Duration::from_millis(50);
/// Warnings beyond this many are only counted.
const TOLD: usize = 5;

/// A transport, and how it fares.
pub(crate) struct Line {
    transport: Box<dyn Transport>,
    state: Mutex<State>,
    /// Of [`Way::Read`], of [`Way::Write`].
    left_alone: [AtomicBool; 2],
    /// Set when every request is to be refused, and those under way broken off.
    stop: Stop,
}

/// What is asked of a remote: one that may be read and not written is still of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Read,
    Write,
}

/// What requests are called that write.
const WRITE: &str = "write";

#[derive(Default)]
struct State {
    requests: u64,
    failures: u64,
    /// The weight of failures since something last went well, of reading and of writing.
    weight: [u32; 2],
    warnings: Vec<String>,
    told: HashSet<String>,
    /// Objects that turned out damaged: they are to be written anew.
    damaged: HashSet<String>,
}

impl Line {
    /// `stop` is what the transport looks at, too.
    pub(super) fn new(transport: Box<dyn Transport>, stop: Stop) -> Self {
        Self { transport, state: Mutex::default(), left_alone: Default::default(), stop }
    }

    /// Makes a request, up to three times. `what` and `name` complete "failed to ... ...". A failure of the remote is
    /// counted, and told of in a warning; one of this machine is for the caller to tell.
    pub(super) fn ask<T>(
        &self,
        what: &'static str,
        name: &str,
        mut request: impl FnMut(&dyn Transport) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let way = if what == WRITE { Way::Write } else { Way::Read };
        let mut attempt = 1;
        let fault = loop {
            if self.is_left_alone(way) {
                return Err(Fault::LeftAlone);
            }
            if self.stop.is_set() {
                return Err(Fault::Cancelled);
            }
            self.state.lock().requests += 1;
            match request(&*self.transport) {
                Ok(value) => {
                    self.state.lock().weight[way as usize] = 0;
                    return Ok(value);
                }
                // It was broken off: that is no failure of the remote.
                Err(_) if self.stop.is_set() => return Err(Fault::Cancelled),
                Err(fault) if fault.may_pass() && attempt < ATTEMPTS => {
                    tracing::debug!(what, name, attempt, %fault, "asking again");
                    std::thread::sleep(PAUSE * 4_u32.pow(attempt - 1));
                    attempt += 1;
                }
                Err(fault) if !fault.is_the_remotes() => return Err(fault),
                Err(fault) => break fault,
            }
        };
        let mut state = self.state.lock();
        state.failures += 1;
        state.weight[way as usize] += fault.weight();
        if matches!(fault, Fault::Damaged(_)) {
            state.damaged.insert(name.to_owned());
        }
        state.warn(format!("failed to {what} {name}: {fault}"), fault.to_string());
        if state.weight[way as usize] >= ENOUGH && !self.left_alone[way as usize].swap(true, Ordering::Relaxed) {
            state.warnings.push(format!(
                "the remote has failed too often, and is left alone: nothing more {}, and the run goes on \
                 (`pipe remote check` says what the remote can do)",
                if way == Way::Write { "goes there" } else { "comes from there" },
            ));
        }
        drop(state);
        Err(fault)
    }

    /// A whole object of at most `most` bytes; `None` where there is none.
    pub(super) fn small(&self, what: &'static str, name: &str, most: u64) -> Result<Option<Vec<u8>>, Fault> {
        self.ask(what, name, |transport| {
            let Some(answer) = transport.get(name, 0)? else { return Ok(None) };
            let mut bytes = Vec::new();
            answer.body.take(most + 1).read_to_end(&mut bytes).map_err(|e| Fault::broken(&e))?;
            if bytes.len() as u64 > most {
                return Err(Fault::Damaged(format!("it has more than {most} bytes")));
            }
            Ok(Some(bytes))
        })
    }

    /// Does something with what a remote sends. A panic is a failure of the remote, whose bytes somebody's reader did
    /// not expect; whoever waits for the outcome gets one. `what` completes "failed to ...".
    pub(super) fn guarded<T>(&self, what: &str, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why");
            let fault = Fault::Panicked(text.to_owned());
            self.failed(format!("failed to {what}: {fault}"), &fault);
            Err(fault)
        })
    }

    /// The transport itself, for who counts nothing.
    pub(super) fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// Counts a failure that is not one of a single request.
    pub(super) fn failed(&self, message: String, fault: &Fault) {
        let mut state = self.state.lock();
        state.failures += 1;
        state.warn(message, fault.to_string());
    }

    /// An object arrived, and is not what it should be: it is told of, and to be written anew, unless a newer version
    /// has written it. Gives the fault back.
    pub(super) fn unusable(&self, name: &str, fault: Fault) -> Fault {
        if matches!(fault, Fault::Damaged(_)) {
            self.note_damaged(name.to_owned());
        }
        self.failed(format!("failed to read {name}: {fault}"), &fault);
        fault
    }

    /// A warning that is told once for all of its kind.
    pub(super) fn warn(&self, message: String, kind: &str) {
        self.state.lock().warn(message, kind.to_owned());
    }

    /// Notes that an object must be written anew.
    pub(super) fn note_damaged(&self, name: String) {
        self.state.lock().damaged.insert(name);
    }

    /// Whether an object must be written anew, whatever the remote says of it.
    pub(super) fn is_damaged(&self, name: &str) -> bool {
        self.state.lock().damaged.contains(name)
    }

    pub(super) fn mended(&self, name: &str) {
        self.state.lock().damaged.remove(name);
    }

    pub(super) fn is_left_alone(&self, way: Way) -> bool {
        self.left_alone[way as usize].load(Ordering::Relaxed)
    }

    /// From here on, every request is refused; those under way end at their next buffer, or at once where they wait for
    /// the other side.
    pub(super) fn cancel(&self) {
        self.stop.set();
        self.transport.cancel();
    }

    /// Requests made, and failures.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.requests, state.failures)
    }

    pub(super) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().warnings)
    }
}

impl State {
    fn warn(&mut self, message: String, kind: String) {
        tracing::debug!(message, "remote");
        if self.told.len() < TOLD && self.told.insert(kind) {
            self.warnings.push(message);
        }
    }
}
