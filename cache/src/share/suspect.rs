//! Sessions of other machines that look dead by the times of files, which clocks decide that may be wrong by a day:
//! such a one is only suspected, and is dead when it is looked at again, on the same machine since the same boot, after
//! two touches were due by the time since that boot, and nobody has touched it.

use std::{fs, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::sync::TOUCH;
use crate::{disk::stat::Stat, machine};

/// The note of a suspicion, in the session's directory.
const NOTE: &str = "suspect";

#[derive(Serialize, Deserialize)]
struct Suspicion {
    host: String,
    boot: String,
    /// Seconds since the boot.
    at: u64,
    /// What `stat` said of the marker.
    modified_ns: i128,
}

/// Whether nobody has touched `marker` for long, as far as that was seen. Takes note of what is to be seen now.
pub(super) fn is_quiet(dir: &Path, marker: &Path) -> bool {
    let (Ok(Some(stat)), Some(uptime)) = (Stat::at(marker), machine::uptime()) else { return false };
    let note = dir.join(NOTE);
    let now = Suspicion {
        host: machine::host_name(),
        boot: machine::boot_id(),
        at: uptime.as_secs(),
        modified_ns: stat.modified_ns,
    };
    let known = fs::read(&note).ok().and_then(|text| serde_json::from_slice::<Suspicion>(&text).ok());
    let same = |then: &Suspicion| then.boot == now.boot && then.host == now.host && then.modified_ns == now.modified_ns;
    if let Some(then) = known.filter(same) {
        return Duration::from_secs(now.at.saturating_sub(then.at)) >= 2 * TOUCH;
    }
    if let Ok(text) = serde_json::to_vec(&now) {
        // Where it cannot be written, the session is left alone.
        let _ = fs::write(&note, text);
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_looks_old_is_dead_only_when_it_was_seen_untouched_for_long() {
        let dir = tempfile::tempdir().unwrap();
        let marker = dir.path().join("session");
        fs::write(&marker, "").unwrap();
        let touch = |age| fs::File::open(&marker).unwrap().set_modified(SystemTime::now() - age).unwrap();
        touch(Duration::from_hours(48));
        let quiet = || is_quiet(dir.path(), &marker);
        assert!(!quiet() && !quiet(), "clocks may have jumped");
        let note = dir.path().join(NOTE);
        let mut noted: Suspicion = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
        let uptime = machine::uptime().unwrap().as_secs();
        noted.at = uptime.saturating_sub(2 * TOUCH.as_secs());
        fs::write(&note, serde_json::to_vec(&noted).unwrap()).unwrap();
        assert_eq!(quiet(), uptime >= 2 * TOUCH.as_secs());
        touch(Duration::from_hours(47));
        assert!(!quiet(), "it was touched since");
        noted.boot = "another".to_owned();
        fs::write(&note, serde_json::to_vec(&noted).unwrap()).unwrap();
        assert!(!quiet(), "the time since another boot says nothing");
    }
}
