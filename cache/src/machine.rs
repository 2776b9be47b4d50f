//! What this machine says of itself: its clock, its name, which of its processes live, and which of them holds a lease.

use std::{
    fmt, fs,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// The machine's name; `unknown` where it cannot be known.
pub fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".to_owned(), |s| s.trim().to_owned())
}

/// Changes whenever the machine is booted; empty where that cannot be known.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// How long ago it was booted, its sleep included; nobody can set that clock.
pub(crate) fn uptime() -> Option<Duration> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_secs_f64)
}

/// Which machine it is, whatever it is called and however often it was booted; empty where that cannot be known.
fn machine_id() -> String {
    fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned()
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOwner {
    /// `None` where what it wrote of itself cannot be read.
    pub(crate) process: Option<Box<Process>>,
    /// Milliseconds since 1970.
    pub since_ms: u64,
}

impl LeaseOwner {
    /// The number of its process, where that is known.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid)
    }

    /// Whether it is this process.
    pub fn is_this(&self) -> bool {
        self.process.as_deref() == Some(Process::this())
    }
}

/// As it stands in messages.
impl fmt::Display for LeaseOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(process) => write!(f, "process {} on {}", process.pid, process.host),
            None => f.write_str("another process"),
        }
    }
}

/// A process, so that another one can tell whether it still lives. What a system does not tell is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) host: String,
    #[serde(default)]
    pub(crate) boot: String,
    /// Ticks since the boot when it began: numbers of processes come round again.
    #[serde(default)]
    began: u64,
    /// The namespace that its number counts in; containers have their own.
    #[serde(default)]
    namespace: String,
    /// The machine's id. In containers it is that of an image, which many have.
    #[serde(default)]
    machine: String,
}

/// The namespace that the kernel itself begins with, on every machine; containers have others.
const OUTERMOST: &str = "pid:[4026531836]";

impl Process {
    /// This one.
    pub(crate) fn this() -> &'static Self {
        static THIS: LazyLock<Process> = LazyLock::new(|| {
            let pid = std::process::id();
            let (host, boot, began) = (host_name(), boot_id(), began(pid).unwrap_or_default());
            Process { pid, host, boot, began, namespace: namespace(), machine: machine_id() }
        });
        &THIS
    }

    /// Whether it lives; `None` where that cannot be known from here. Two machines may be called alike, as containers
    /// often are: the name says nothing without the boot, and after another boot nothing without the machine's id.
    pub(crate) fn lives(&self) -> Option<bool> {
        let this = Self::this();
        if self.host != this.host || self.boot.is_empty() {
            return None;
        }
        if self.boot != this.boot {
            let same = !self.machine.is_empty() && self.machine == this.machine;
            return (same && self.namespace == OUTERMOST && this.namespace == OUTERMOST).then_some(false);
        }
        (self.began > 0 && self.namespace == this.namespace).then(|| began(self.pid) == Some(self.began))
    }

    /// Whether its machine is called as this one is.
    pub(crate) fn is_namesake(&self) -> bool {
        self.host == Self::this().host
    }

    /// Whether it is, or was, a process of the kernel that runs here: its locks are seen here.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        !self.boot.is_empty() && self.boot == Self::this().boot
    }
}

/// Whether this machine has a process of that number just now.
pub(crate) fn has_process(pid: u32) -> bool {
    began(pid).is_some()
}

fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map_or_else(|_| String::new(), |link| link.display().to_string())
}

/// When a process began; `None` where there is none of that number, or it is over and not waited for.
fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may hold anything; the state follows it (field 3), `began` is field 22.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_lives_until_it_ends_and_its_number_alone_is_not_it() {
        let this = Process::this().clone();
        assert_eq!(this.lives(), Some(true));
        assert_eq!(Process { began: this.began + 1, ..this.clone() }.lives(), Some(false), "a later process");
        assert_eq!(Process { host: "another".to_owned(), ..this.clone() }.lives(), None);
        assert_eq!(Process { namespace: "another".to_owned(), ..this.clone() }.lives(), None);

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process { pid: child.id(), began: began(child.id()).unwrap(), ..this };
        assert_eq!(process.lives(), Some(true));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process.lives(), Some(false));
    }

    #[test]
    fn a_process_of_another_boot_is_dead_only_if_the_machine_is_known_to_be_this_one() {
        let this = Process::this().clone();
        let boot = || "another".to_owned();
        let namesake = Process { boot: boot(), machine: "another".to_owned(), ..this.clone() };
        assert_eq!(namesake.lives(), None, "another machine that is called alike");
        assert_eq!(Process { machine: String::new(), ..namesake.clone() }.lives(), None, "who knows");
        let container = Process { namespace: "pid:[1]".to_owned(), boot: boot(), ..this.clone() };
        assert_eq!(container.lives(), None, "its id is that of an image");
        let known = this.namespace == OUTERMOST && !this.machine.is_empty();
        assert_eq!(Process { boot: boot(), ..this }.lives(), known.then_some(false), "before the boot");
    }

    #[test]
    fn an_owner_is_told_by_all_that_is_known_of_a_process() {
        let owner = |process: Option<Process>| LeaseOwner { process: process.map(Box::new), since_ms: 0 };
        let this = Process::this().clone();
        assert!(owner(Some(this.clone())).is_this());
        let namesake = owner(Some(Process { boot: "another".to_owned(), pid: 7, host: "h".to_owned(), ..this }));
        assert!(!namesake.is_this() && !owner(None).is_this());
        assert_eq!(format!("{namesake}, {}", owner(None)), "process 7 on h, another process");
    }
}
