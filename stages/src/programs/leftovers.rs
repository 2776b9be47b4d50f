//! What is left of a program, on Linux: every process that descends from it, by `/proc`.
//!
//! A process belongs to a program if it is of its group, was started by one that belongs to it, or has one of the
//! stage's output paths in its environment, which a process keeps that goes to another session. Since
//! [`adopt_orphans`] those whose parent died become children of this process; what cleared its environment, too, is
//! found by that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::{ffi::OsStrExt, fs::FileTypeExt},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use memchr::memmem;
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid},
};

use super::{Named, signal};

/// The processor time per second, in hundredths, from which on a process is at work; daemons look around now and then.
const BUSY_PERCENT: u64 = 5;
/// The kernel's clock ticks per second in `/proc/PID/stat` (`USER_HZ`, fixed on Linux).
const TICKS_PER_SECOND: u64 = 100;
/// The fewest ticks that say anything.
const FEW_TICKS: u64 = 3;
/// How often killing is tried: a process may start another one while it is looked for.
const ROUNDS: usize = 40;
const ROUND: Duration = Duration::from_millis(5);

/// The programs that stages wait for; their exit status is theirs alone to collect.
static PROGRAMS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn programs() -> MutexGuard<'static, BTreeSet<i32>> {
    PROGRAMS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Starts a program whose status is not collected by anybody else.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut programs = programs();
    let child = command.spawn()?;
    programs.insert(Pid::from_child(&child).as_raw_pid());
    Ok(child)
}

/// Collects the status of a program that has ended.
pub(crate) fn reap(child: &mut Child) -> io::Result<std::process::ExitStatus> {
    let mut programs = programs();
    let status = child.wait();
    programs.remove(&Pid::from_child(child).as_raw_pid());
    status
}

/// From now on processes whose parent died become children of this one, so that none is lost sight of.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(getpid()))?)
}

/// Kills all programs that this process, or one of those, has started.
pub fn end_all() {
    let this = getpid().as_raw_pid();
    for _ in 0..ROUNDS {
        let all: Vec<Process> = processes().collect();
        let mut found = BTreeSet::from([this]);
        close_over_children(&mut found, &all);
        let alive: Vec<&Process> =
            all.iter().filter(|p| p.pid != this && found.contains(&p.pid) && !p.is_zombie()).collect();
        if alive.is_empty() {
            return;
        }
        for process in alive {
            process.signal(Signal::KILL);
        }
        std::thread::sleep(ROUND);
    }
}

/// What is to be waited for.
pub(crate) enum Need {
    /// All is done.
    Nothing,
    /// Nothing while it is idle.
    Maybe(Named),
    /// It is not done: what it still has.
    Certainly(Named, String),
}

/// The processes of one program.
pub(crate) struct Leftovers {
    program: Pid,
    /// When it began; whatever began earlier is none of its.
    start: u64,
    outputs: Vec<PathBuf>,
    /// Processes that were seen to belong to it: by number and beginning, which together are never used again.
    known: BTreeSet<(i32, u64)>,
    active: Option<Activity>,
    gone: bool,
}

/// What the processes had done when they were last seen at work.
struct Activity {
    at: Instant,
    /// Processor time and bytes written, by process.
    done: BTreeMap<i32, (u64, u64)>,
}

impl Leftovers {
    /// Of a program that writes to `outputs`, just started.
    pub(crate) fn of(program: Pid, outputs: &[PathBuf]) -> Self {
        // Where they really lie: that is how open files are listed.
        let real = outputs.iter().map(|path| {
            let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
            parent.zip(path.file_name()).map_or_else(|| path.clone(), |(parent, name)| parent.join(name))
        });
        let mut outputs: Vec<PathBuf> = real.chain(outputs.iter().cloned()).collect();
        outputs.dedup();
        let start = Process::read(program.as_raw_pid()).map_or(0, |process| process.start);
        Self { program, start, outputs, known: BTreeSet::new(), active: None, gone: false }
    }

    /// Looks what is left.
    pub(crate) fn look(&mut self) -> Need {
        let left = self.members();
        if left.is_empty() {
            self.gone = true;
            return Need::Nothing;
        }
        self.note_activity(&left);
        let writer = |process: &Process| {
            let file = self.outputs.iter().find_map(|output| process.writes_to(output))?;
            let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
            Some(format!("has the output file `{name}` open"))
        };
        let reader = |process: &Process| process.has_unread_input().then(|| "has input to read".to_owned());
        for process in &left {
            if let Some(what) = writer(process).or_else(|| reader(process)) {
                return Need::Certainly(Named(vec![process.name()]), what);
            }
        }
        Need::Maybe(Named(left.iter().map(Process::name).collect()))
    }

    /// For how long they have done nothing, as far as [`Self::look`] saw.
    pub(crate) fn idle(&self) -> Duration {
        self.active.as_ref().map_or(Duration::ZERO, |active| active.at.elapsed())
    }

    fn note_activity(&mut self, left: &[Process]) {
        let done: BTreeMap<i32, (u64, u64)> = left.iter().map(|p| (p.pid, (p.ticks, p.written()))).collect();
        let active = self.active.as_ref().is_none_or(|last| {
            let mut ticks = 0;
            let mut wrote = false;
            for (pid, (now, written)) in &done {
                let (then, before) = last.done.get(pid).copied().unwrap_or_default();
                ticks += now.saturating_sub(then);
                wrote |= *written != before;
            }
            let elapsed = last.at.elapsed().as_millis() as u64 * TICKS_PER_SECOND / 1000;
            wrote || ticks >= FEW_TICKS.max(elapsed * BUSY_PERCENT / 100)
        });
        if active {
            self.active = Some(Activity { at: Instant::now(), done });
        }
    }

    /// The program's processes without itself; reaps those that have ended.
    fn members(&mut self) -> Vec<Process> {
        let this = getpid().as_raw_pid();
        let program = self.program.as_raw_pid();
        // Held until the last look: what another stage starts meanwhile would pass for an orphan, and be reaped.
        let programs = programs();
        let is_orphan = |p: &Process| p.parent == this && !programs.contains(&p.pid);
        let mut all: Vec<Process> = processes().filter(|p| p.pid != this && p.pid != program).collect();
        all.retain(|process| {
            if process.is_zombie() && is_orphan(process) {
                // Nobody else asks for it.
                let _ = waitid(WaitId::Pid(process.id()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
            }
            process.start >= self.start && !process.is_zombie()
        });
        let mut found: BTreeSet<i32> = all
            .iter()
            .filter(|process| {
                process.group == program
                    || self.known.contains(&(process.pid, process.start))
                    || (is_orphan(process) && programs.len() == 1)
                    || process.environment_names(&self.outputs)
            })
            .map(|process| process.pid)
            .collect();
        found.insert(program);
        close_over_children(&mut found, &all);
        all.retain(|process| found.contains(&process.pid));
        self.known.extend(all.iter().map(|process| (process.pid, process.start)));
        all
    }

    /// Sends a signal to all of them.
    pub(crate) fn signal(&mut self, signal: Signal) {
        for process in self.members() {
            process.signal(signal);
        }
    }

    /// Ends them: asks, and kills after `farewell`.
    pub(crate) fn end(&mut self, farewell: Duration) {
        if self.gone {
            return;
        }
        self.signal(Signal::TERM);
        let asked = Instant::now();
        let mut killed = 0;
        while killed < ROUNDS {
            let left = self.members();
            if left.is_empty() {
                break;
            }
            if asked.elapsed() >= farewell {
                for process in &left {
                    process.signal(Signal::KILL);
                }
                killed += 1;
            }
            std::thread::sleep(ROUND);
        }
        self.gone = true;
        // The program itself is gone, too, unless it could not be waited for.
        signal(self.program, Signal::KILL);
    }
}

/// Adds all that descend from those in `found`.
fn close_over_children(found: &mut BTreeSet<i32>, all: &[Process]) {
    loop {
        let before = found.len();
        for process in all {
            if found.contains(&process.parent) {
                found.insert(process.pid);
            }
        }
        if found.len() == before {
            return;
        }
    }
}

/// A process as `/proc/PID/stat` has it.
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    state: u8,
    /// Processor time in ticks, with that of children that have ended.
    ticks: u64,
    /// Ticks from the machine's start to the process's.
    start: u64,
}

fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?))
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, also blanks and brackets; after its last bracket there are only numbers.
        let rest = std::str::from_utf8(&stat[memchr::memrchr(b')', &stat)? + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |i: usize| fields.get(i)?.parse::<i64>().ok();
        Some(Self {
            pid,
            state: *fields.first()?.as_bytes().first()?,
            parent: number(1)? as i32,
            group: number(2)? as i32,
            ticks: (11..=14).map(number).sum::<Option<i64>>()? as u64,
            start: number(19)? as u64,
        })
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.pid).unwrap_or(Pid::INIT)
    }

    fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// The number may have passed to another process since: then nothing is sent.
    fn signal(&self, signal: Signal) {
        if Self::read(self.pid).is_some_and(|now| now.start == self.start) {
            let _ = kill_process(self.id(), signal);
        }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(format!("/proc/{}/{name}", self.pid)).unwrap_or_default()
    }

    fn environment_names(&self, paths: &[PathBuf]) -> bool {
        let environment = self.file("environ");
        let names = |path: &PathBuf| memmem::find(&environment, path.as_os_str().as_bytes()).is_some();
        !environment.is_empty() && paths.iter().any(names)
    }

    /// Number and command line.
    fn name(&self) -> String {
        let line = self.file("cmdline");
        let words: Vec<_> = line.split(|b| *b == 0).filter(|w| !w.is_empty()).map(String::from_utf8_lossy).collect();
        let line: String = words.join(" ").chars().take(60).collect();
        format!("process {} (`{line}`)", self.pid)
    }

    /// Bytes handed to `write`, with those of children that have ended.
    fn written(&self) -> u64 {
        let io = self.file("io");
        let io = String::from_utf8_lossy(&io);
        io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok()).unwrap_or(0)
    }

    /// A file at or below `path` that it has open for writing, or mapped so that writing changes the file.
    fn writes_to(&self, path: &Path) -> Option<PathBuf> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid)).into_iter().flatten().filter_map(Result::ok);
        let mut by_descriptor = open.filter_map(|fd| {
            let file = fs::read_link(fd.path()).ok().filter(|file| file.starts_with(path))?;
            let info = self.file(&format!("fdinfo/{}", fd.file_name().to_string_lossy()));
            let info = String::from_utf8_lossy(&info);
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
            // The lowest two bits: read, write, both.
            (u32::from_str_radix(flags.trim(), 8).ok()? & 3 != 0).then_some(file)
        });
        by_descriptor.next().or_else(|| self.maps(path))
    }

    fn maps(&self, path: &Path) -> Option<PathBuf> {
        let maps = self.file("maps");
        let maps = String::from_utf8_lossy(&maps);
        maps.lines().find_map(|line| {
            let permissions = line.split(' ').nth(1)?;
            let file = Path::new(&line[line.find('/')?..]);
            (permissions.starts_with("rw") && permissions.ends_with('s') && file.starts_with(path))
                .then(|| file.to_owned())
        })
    }

    /// Whether its standard input is a pipe in which something waits. Other pipes may hold tokens that nobody means to
    /// read.
    fn has_unread_input(&self) -> bool {
        let path = format!("/proc/{}/fd/0", self.pid);
        if !fs::metadata(&path).is_ok_and(|meta| meta.file_type().is_fifo()) {
            return false;
        }
        let pipe = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
        pipe.and_then(rustix::io::ioctl_fionread).is_ok_and(|unread| unread > 0)
    }
}
