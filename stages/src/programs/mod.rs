//! Runs a program to the end of its work, and sees to it that nothing of it outlives the stage.
//!
//! The program's own end is not the end of its work: what it started may still write. [`leftovers`] knows what is left
//! of it, also of what went to another group or session; here is decided how long that is waited for.
//!
//! A program ends with this process, whatever ended this one: orderly by the stage's token, and by a signal at the
//! death of its parent on Linux.

pub(crate) mod calls;
mod found;
#[cfg_attr(not(target_os = "linux"), path = "leftovers_group.rs")]
mod leftovers;
pub(crate) mod service;

use std::{
    fmt, io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use pipe_engine::context::CancelToken;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

pub(crate) use found::{BASIC_ENV, find, tail};
use leftovers::{Leftovers, Need};
pub use leftovers::{adopt_orphans, end_all};

/// How soon a cancelled stage notices. An ending child is noticed at once.
const CANCEL_LATENCY: Duration = Duration::from_millis(50);
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// From SIGTERM to SIGKILL for what is left when the work is over.
const FAREWELL: Duration = Duration::from_millis(500);
/// The first and the longest pause between two looks at what is left.
const LOOKS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// How a program ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It, and all that it started, is done.
    Done(ExitStatus),
    /// It is done, but a process that it started was not, and did nothing any more.
    Unfinished(String),
}

/// How long a process is waited for that does nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// If it holds no output: it may be between two steps, or a daemon.
    pub idle: Duration,
    /// If it has an output open, or input left to read: it is not done.
    pub unfinished: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { idle: Duration::from_secs(2), unfinished: Duration::from_secs(10) }
    }
}

/// What a stage's processes are known by.
pub(crate) struct Scene<'a> {
    /// The files and folders that they write to. One of these paths at least stands in the program's environment.
    pub outputs: Vec<PathBuf>,
    /// How long they are waited for.
    pub patience: Patience,
    /// Told what people should know.
    pub warn: &'a dyn Fn(String),
    /// Told when the program has been started, to take its pipes.
    pub started: &'a dyn Fn(&mut Child),
    /// Whether nobody wants its work any more: then it is ended as if the stage was cancelled.
    pub given_up: &'a dyn Fn() -> bool,
}

impl Scene<'_> {
    fn is_over(&self, cancel: &CancelToken) -> bool {
        cancel.is_cancelled() || (self.given_up)()
    }
}

/// Runs `command` to the end of its work. When `cancel` fires, all its processes get SIGTERM, and SIGKILL after a grace
/// period, or at once when the run is abandoned. When this returns, none of them is left.
pub(crate) fn run(command: &mut Command, scene: &Scene, cancel: &CancelToken) -> io::Result<End> {
    let mut child = leftovers::spawn(die_with_parent(command.process_group(0)))?;
    let pid = Pid::from_child(&child);
    let mut left = Leftovers::of(pid, &scene.outputs);
    (scene.started)(&mut child);
    let waited = wait_for_leader(pid, &mut left, scene, cancel);
    let end = match &waited {
        Ok(true) if !scene.is_over(cancel) => wait_for_others(&mut left, scene, cancel),
        _ => None,
    };
    left.end(FAREWELL);
    // Reaped last: until then the group's number stays taken.
    let status = leftovers::reap(&mut child);
    waited?;
    Ok(end.map_or(End::Done(status?), End::Unfinished))
}

/// Waits for the program itself; whether it ended well.
fn wait_for_leader(pid: Pid, left: &mut Leftovers, scene: &Scene, cancel: &CancelToken) -> io::Result<bool> {
    let (ended, wait) = mpsc::channel();
    // NOWAIT leaves the child a zombie, so that its process group's number stays taken until it is reaped.
    std::thread::spawn(move || {
        let status = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        // Nobody listens any more when the wait was given up.
        let _ = ended.send(status);
    });
    let mut terminated: Option<Instant> = None;
    loop {
        match wait.recv_timeout(CANCEL_LATENCY) {
            Ok(status) => return Ok(status?.is_some_and(|status| status.exit_status() == Some(0))),
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
            Err(RecvTimeoutError::Timeout) => match terminated {
                None if scene.is_over(cancel) => {
                    signal(pid, Signal::TERM);
                    left.signal(Signal::TERM);
                    terminated = Some(Instant::now());
                }
                Some(at) if at.elapsed() > GRACE || cancel.is_abandoned() => {
                    signal(pid, Signal::KILL);
                    left.signal(Signal::KILL);
                }
                _ => {}
            },
        }
    }
}

/// Waits until what the program left behind is done; the reason if that does not come.
fn wait_for_others(left: &mut Leftovers, scene: &Scene, cancel: &CancelToken) -> Option<String> {
    let begun = Instant::now();
    let mut pause = LOOKS.0;
    let mut said = false;
    loop {
        let now = left.look();
        let idle = left.idle();
        match &now {
            Need::Nothing => return None,
            Need::Maybe(processes) if idle >= scene.patience.idle => {
                (scene.warn)(format!("the command left {processes} behind, idle: ended with the stage"));
                return None;
            }
            Need::Certainly(processes, what) if idle >= scene.patience.unfinished => {
                return Some(format!(
                    "the command ended, but {processes}, which it started, still {what}, and is idle"
                ));
            }
            _ if scene.is_over(cancel) => return None,
            Need::Maybe(processes) | Need::Certainly(processes, _)
                if !said && begun.elapsed() > scene.patience.unfinished =>
            {
                (scene.warn)(format!(
                    "the command has ended; waiting for {processes}, which it started and which works on"
                ));
                said = true;
            }
            _ => {}
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LOOKS.1);
    }
}

/// The group may be gone already, which is what is wanted.
fn signal(group: Pid, signal: Signal) {
    let _ = kill_process_group(group, signal);
}

/// Has the kernel kill the program when the thread that waits for it dies, which it does only with this process.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = rustix::process::getpid();
    let arm = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the signal was asked for.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec the closure makes two system calls; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(arm) }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(command: &mut Command) -> &mut Command {
    command
}

/// Processes as people are told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named(Vec<String>);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(one),
            [one, rest @ ..] => write!(f, "{one} and {} more", rest.len()),
            [] => f.write_str("a process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        path::Path,
        sync::{Mutex, PoisonError},
    };

    /// Orphans can be told from each other by their environment only as long as they have one: one test at a time.
    static ONE: Mutex<()> = Mutex::new(());

    struct Trial {
        dir: tempfile::TempDir,
        warnings: Mutex<Vec<String>>,
        patience: Patience,
    }

    impl Trial {
        fn new() -> Self {
            adopt_orphans().unwrap();
            let patience = Patience { unfinished: Duration::from_millis(2500), ..Patience::default() };
            Self { dir: tempfile::tempdir().unwrap(), warnings: Mutex::default(), patience }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.path(name)).unwrap_or_default()
        }

        /// Runs a script for bash that writes to `$OUT`, and to the folder `$D`.
        fn run(&self, script: &str, cancel: &CancelToken) -> End {
            let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
            let mut command = Command::new("bash");
            command.args(["-c", script]).stdin(std::process::Stdio::null());
            command.stdout(std::fs::File::create(self.path("log")).unwrap());
            command.env("OUT", self.path("out")).env("D", self.path("files")).env("P", self.path("pid"));
            std::fs::create_dir_all(self.path("files")).unwrap();
            let outputs = vec![self.path("out"), self.path("files")];
            let warn = |message| self.warnings.lock().unwrap().push(message);
            let (patience, started, given_up) = (self.patience, &|_: &mut Child| (), &|| false);
            run(&mut command, &Scene { outputs, patience, warn: &warn, started, given_up }, cancel).unwrap()
        }

        fn said(&self, what: &str) -> bool {
            self.warnings.lock().unwrap().iter().any(|warning| warning.contains(what))
        }

        fn done(&self, script: &str) {
            match self.run(script, &CancelToken::new()) {
                End::Done(status) => assert!(status.success(), "{script}: {status}"),
                End::Unfinished(what) => panic!("{script}: {what}"),
            }
            assert_gone(&self.path("pid"));
        }
    }

    /// The process whose number stands in the file must not run any more.
    fn assert_gone(file: &Path) {
        let Ok(pid) = std::fs::read_to_string(file) else { return };
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z"), "left behind: {state}");
    }

    #[test]
    fn the_exit_code_comes_back() {
        let End::Done(status) = Trial::new().run("exit 7", &CancelToken::new()) else { panic!("it is done") };
        assert_eq!(status.code(), Some(7));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_still_writes_when_the_program_has_ended_is_waited_for() {
        let all = (1..=300).map(|i| format!("{i}\n")).collect::<Vec<_>>().concat();
        for script in [
            // A reader that opens its output for moments only.
            "for i in $(seq 1 300); do echo $i; done > >(while read l; do echo $l >> $OUT; sleep .002; done)",
            // The output stays open; in other groups and sessions; without an environment; as an orphan's orphan.
            "(for i in $(seq 1 300); do echo $i; sleep .002; done) > $OUT &",
            "setsid bash -c 'for i in $(seq 1 300); do echo $i; sleep .002; done' > $OUT &",
            "nohup setsid bash -c 'for i in $(seq 1 300); do echo $i; sleep .002; done > $OUT' > /dev/null 2>&1 &",
            "(setsid env -i OUT=$OUT bash -c '(for i in {1..300}; do echo $i; done; sleep .3) > $OUT' < /dev/null &) &",
            // A pipeline whose reader has yet to begin, with its input waiting.
            "seq 1 300 | (sleep .5; cat > $OUT) &",
            "(seq 1 300; sleep 1; echo end >&2) 2> /dev/null | while read l; do echo $l >> $OUT; done &",
            // Busy without any file, until the end.
            "(n=0; while ((n < 300000)); do ((n++)); done; seq 1 300 > $OUT) > /dev/null 2>&1 &",
        ] {
            let trial = Trial::new();
            trial.done(script);
            assert_eq!(trial.read("out"), all, "{script}");
            assert!(!trial.said("idle"), "{script}: {:?}", trial.warnings);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn compressors_behind_a_tee_end() {
        let trial = Trial::new();
        trial.done("seq 1 300000 | tee >(gzip -9 > $D/x.gz) > $D/plain.txt");
        let mut text = String::new();
        let file = std::fs::File::open(trial.path("files/x.gz")).unwrap();
        io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
        assert_eq!(text, trial.read("files/plain.txt"));
        assert_eq!(text.lines().count(), 300_000);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn idle_daemons_neither_hang_nor_fail_a_stage() {
        for script in [
            "echo done > $OUT; sleep 1000 & echo $! > $P",
            "echo done > $OUT; setsid nohup sleep 1000 < /dev/null > /dev/null 2>&1 & echo $! > $P",
            "echo done > $OUT; (setsid env -i sleep 1000 < /dev/null > /dev/null 2>&1 & echo $! > $P)",
            // One that looks around now and then, and one that ignores what asks it to end.
            "echo done > $OUT; (trap '' TERM; while :; do sleep 1; done) & echo $! > $P",
            "echo done > $OUT; tail -f $OUT > /dev/null & echo $! > $P",
        ] {
            let trial = Trial::new();
            let begun = Instant::now();
            trial.done(script);
            assert!(begun.elapsed() < Duration::from_secs(30), "{script}: {:?}", begun.elapsed());
            assert_eq!(trial.read("out"), "done\n", "{script}");
            assert!(trial.said("idle: ended with the stage"), "{script}: {:?}", trial.warnings);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_stuck_with_an_output_fails_the_stage() {
        for (script, reason) in [
            ("exec 3> $OUT; sleep 1000 & echo $! > $P", "has the output file `out` open"),
            ("setsid sleep 1000 > $D/log 2>&1 < /dev/null & echo $! > $P", "has the output file `log` open"),
            ("echo row | (sleep 1000; cat > $OUT) & echo $! > $P", "has input to read"),
        ] {
            let trial = Trial::new();
            match trial.run(script, &CancelToken::new()) {
                End::Unfinished(what) => assert!(what.contains(reason) && what.contains("sleep 1000"), "{what}"),
                End::Done(status) => panic!("{script}: {status}"),
            }
            assert_gone(&trial.path("pid"));
        }
    }

    #[test]
    fn cancelling_ends_children_of_children() {
        for script in ["sleep 100 & echo $! > $P; wait", "setsid sleep 100 & echo $! > $P; exec sleep 100"] {
            let trial = Trial::new();
            let (cancel, seen) = (CancelToken::new(), trial.path("pid"));
            let canceller = cancel.clone();
            let waiter = std::thread::spawn(move || {
                while !std::fs::read_to_string(&seen).is_ok_and(|pid| pid.ends_with('\n')) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                canceller.cancel();
            });
            let End::Done(status) = trial.run(script, &cancel) else { panic!("{script}") };
            waiter.join().unwrap();
            assert!(!status.success(), "{script}");
            assert_gone(&trial.path("pid"));
        }
    }
}
