//! What is left of a program where there is no `/proc`: its process group.

use std::{
    io,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, test_kill_process_group};

use super::{Named, signal};

/// Starts a program.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    command.spawn()
}

/// Collects the status of a program that has ended.
pub fn reap(child: &mut Child) -> io::Result<ExitStatus> {
    child.wait()
}

/// Orphans go to the system here.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// Groups are ended by their stages.
pub fn end_all() {}

/// What is to be waited for.
pub enum Need {
    /// All is done.
    Nothing,
    /// Nothing while it is idle; that cannot be told here.
    Maybe(Named),
    /// Never found here.
    #[expect(dead_code, reason = "open files of other processes cannot be seen here")]
    Certainly(Named, String),
}

/// The processes of one program.
pub struct Leftovers {
    program: Pid,
    last_look: Option<Instant>,
}

impl Leftovers {
    /// Of a program, just started.
    pub fn of(program: Pid, _: &[PathBuf]) -> Self {
        Self { program, last_look: None }
    }

    /// Looks whether the group still has members.
    pub fn look(&mut self) -> Need {
        self.last_look = Some(Instant::now());
        match test_kill_process_group(self.program) {
            Ok(()) => Need::Maybe(Named(Vec::new())),
            Err(_) => Need::Nothing,
        }
    }

    /// Always just now: what a process does cannot be seen here.
    pub fn idle(&self) -> Duration {
        Duration::ZERO
    }

    /// The group has had it already.
    pub fn signal(&mut self, _: Signal) {}

    /// Ends the group: asks, and kills after `farewell`.
    pub fn end(&mut self, farewell: Duration) {
        if test_kill_process_group(self.program).is_ok() {
            signal(self.program, Signal::TERM);
            let asked = Instant::now();
            while asked.elapsed() < farewell && test_kill_process_group(self.program).is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        signal(self.program, Signal::KILL);
    }
}
