//! Runs a child process in its own process group, and ends the whole group when the stage is to stop.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Command, ExitStatus},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use pipe_engine::cancel::CancelToken;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How soon a cancelled stage notices. An ending child is noticed at once.
const CANCEL_LATENCY: Duration = Duration::from_millis(50);
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// Runs `command` to its end. When `cancel` fires, the group gets SIGTERM, and SIGKILL after a grace
/// period, or at once when the run is abandoned. Processes of the group
/// that outlive their leader are killed, so that nothing writes to outputs that have been checked.
pub fn run(command: &mut Command, cancel: &CancelToken) -> io::Result<ExitStatus> {
    let mut child = command.process_group(0).spawn()?;
    let pid = Pid::from_child(&child);
    let (ended, wait) = mpsc::channel();
    // NOWAIT leaves the child a zombie, so that its process group's number stays taken until it is reaped below.
    std::thread::spawn(move || {
        ended.send(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).map(|_| ()))
    });
    let mut terminated: Option<Instant> = None;
    loop {
        match wait.recv_timeout(CANCEL_LATENCY) {
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(())) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => match terminated {
                None if cancel.is_cancelled() => {
                    signal(pid, Signal::TERM);
                    terminated = Some(Instant::now());
                }
                Some(at) if at.elapsed() > GRACE || cancel.is_abandoned() => signal(pid, Signal::KILL),
                _ => {}
            },
        }
    }
    signal(pid, Signal::KILL);
    child.wait()
}

/// The group may be gone already, which is what is wanted.
fn signal(group: Pid, signal: Signal) {
    let _ = kill_process_group(group, signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_exit_code_comes_back() {
        assert_eq!(run(&mut sh("exit 7"), &CancelToken::new()).unwrap().code(), Some(7));
    }

    #[test]
    fn cancelling_ends_children_of_children() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let cancel = CancelToken::new();
        let canceller = cancel.clone();
        let seen = file.clone();
        let waiter = std::thread::spawn(move || {
            while !std::fs::read_to_string(&seen).is_ok_and(|pid| pid.ends_with('\n')) {
                std::thread::sleep(Duration::from_millis(5));
            }
            canceller.cancel();
        });
        let status = run(&mut sh(&format!("sleep 100 & echo $! > {}; wait", file.display())), &cancel).unwrap();
        waiter.join().unwrap();
        assert!(!status.success());
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        // The signal is sent when `run` returns; the orphan takes a moment to die, and is a zombie until init reaps it.
        let alive = || {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z")
        };
        let sent = Instant::now();
        while alive() {
            assert!(sent.elapsed() < Duration::from_secs(10), "process {pid} outlived its group");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
