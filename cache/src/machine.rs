//! What this machine says of itself: its clock, its name, which of its processes live, and which of them holds a lease.

use std::{
    fs,
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

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOwner {
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// Milliseconds since 1970.
    pub since_ms: u64,
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
}

impl Process {
    /// This one.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        let (host, boot, began) = (host_name(), boot_id(), began(pid).unwrap_or_default());
        Self { pid, host, boot, began, namespace: namespace() }
    }

    /// Whether it lives; `None` where that cannot be known from here.
    pub(crate) fn lives(&self) -> Option<bool> {
        if self.host != host_name() || self.boot.is_empty() {
            return None;
        }
        if self.boot != boot_id() {
            return Some(false);
        }
        (self.began > 0 && self.namespace == namespace()).then(|| began(self.pid) == Some(self.began))
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
        let this = Process::this();
        assert_eq!(this.lives(), Some(true));
        assert_eq!(Process { began: this.began + 1, ..this.clone() }.lives(), Some(false), "a later process");
        assert_eq!(Process { boot: "another".to_owned(), ..this.clone() }.lives(), Some(false), "before the boot");
        assert_eq!(Process { host: "another".to_owned(), ..this.clone() }.lives(), None);
        assert_eq!(Process { namespace: "another".to_owned(), ..this.clone() }.lives(), None);

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process { pid: child.id(), began: began(child.id()).unwrap(), ..this };
        assert_eq!(process.lives(), Some(true));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process.lives(), Some(false));
    }
}
