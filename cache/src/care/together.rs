//! What two machines see of each other's work on a store, tried by both at the same time.
//!
//! They find each other in the folder `meeting/`, and take turns: one looks at what is there, the other changes it, and
//! the first says what it sees. That they are so far they say by files whose names end in a number.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::check::{Check, Outcome};
use crate::{
    disk::{Layout, paths},
    error::{IoContext, StoreError},
    hash::{Digest, Hasher},
    machine,
    share::lock,
    store::Store,
};

/// How long the other one may take for its next step: as long as any file system remembers, and some more.
const PATIENCE: Duration = Duration::from_mins(3);
/// Of both turns.
const STEPS: u32 = 8;
const POLL: Duration = Duration::from_millis(20);

impl Store {
    /// Tries the store out together with another machine that does the same, and comes within that time. Each of them
    /// is told what it has seen of the other.
    pub fn check_together(&self, wait: Duration) -> Result<Vec<Check>, StoreError> {
        let what = "another machine";
        let missing = |found: String| vec![Check { what, outcome: Outcome::Missing, found }];
        let Some(mut pair) = Pair::find(self.layout(), wait)? else {
            let found = format!("none came within {} s: start the same there meanwhile", wait.as_secs());
            return Ok(missing(found));
        };
        let mut checks = vec![Check { what, outcome: Outcome::Sound, found: pair.host.clone() }];
        let turns = if pair.is_first() { [Turn::Writes, Turn::Looks] } else { [Turn::Looks, Turn::Writes] };
        for turn in turns {
            match turn {
                Turn::Writes if pair.write()? => {}
                Turn::Looks if pair.look(&mut checks)? => {}
                _ => return Ok(missing(format!("{} came, and is gone", pair.host))),
            }
        }
        Ok(checks)
    }
}

#[derive(Clone, Copy)]
enum Turn {
    Writes,
    Looks,
}

/// This machine, and another.
struct Pair<'a> {
    layout: &'a Layout,
    folder: PathBuf,
    us: Digest,
    them: Digest,
    /// What the other is called.
    host: String,
    /// How many steps were taken.
    steps: u32,
}

/// What is written by one of them, and seen by the other.
struct Things {
    folder: PathBuf,
}

impl Things {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether `late` is seen, by its name and in the folder.
    fn are_seen(&self) -> Result<bool, StoreError> {
        let path = self.at("late");
        Ok(path.exists() && paths::list(&self.folder)?.contains(&path))
    }
}

impl<'a> Pair<'a> {
    fn find(layout: &'a Layout, wait: Duration) -> Result<Option<Self>, StoreError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let folder = layout.join("meeting");
        fs::create_dir_all(&folder).at("create", &folder)?;
        let mut h = Hasher::new("pipe.meeting.v1");
        h.str(&machine::host_name()).u64(u64::from(std::process::id())).u64(machine::now_ms());
        let us = h.u64(NUMBER.fetch_add(1, Ordering::Relaxed)).finish();
        let mut pair = Self { layout, folder, us, them: us, host: String::new(), steps: 0 };
        let name = pair.folder.join(us.to_string());
        paths::put_file(&name, machine::host_name().as_bytes()).at("write", &name)?;
        let start = Instant::now();
        while start.elapsed() < wait {
            // One that was killed has left its name, and greets nobody.
            for path in pair.list()? {
                let Some(other) = paths::digest_name(&path).filter(|other| *other != us) else { continue };
                let greeting = pair.greeting(&us, &other);
                if !greeting.exists() {
                    fs::write(&greeting, b"").at("write", &greeting)?;
                }
                if pair.greeting(&other, &us).exists() {
                    (pair.them, pair.host) = (other, fs::read_to_string(&path).at("read", &path)?);
                    return Ok(Some(pair));
                }
            }
            std::thread::sleep(POLL);
        }
        Ok(None)
    }

    /// The names of all that are, or were, here.
    fn list(&self) -> Result<Vec<PathBuf>, StoreError> {
        let _ = self.layout.touch(&self.folder);
        let mut found = paths::list(&self.folder)?;
        found.retain(|path| path.extension().is_none() && path.is_file());
        Ok(found)
    }

    fn greeting(&self, from: &Digest, to: &Digest) -> PathBuf {
        self.folder.join(format!("{from}.{to}"))
    }

    fn is_first(&self) -> bool {
        self.us < self.them
    }

    /// Both have come so far. `false` when the other does not.
    fn step(&mut self) -> Result<bool, StoreError> {
        self.steps += 1;
        let ours = self.folder.join(format!("{}.{}", self.us, self.steps));
        let theirs = self.folder.join(format!("{}.{}", self.them, self.steps));
        fs::write(&ours, b"").at("write", &ours)?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let _ = self.layout.touch(&self.folder);
            if theirs.exists() {
                return Ok(true);
            }
            std::thread::sleep(POLL);
        }
        Ok(false)
    }

    fn things(&self, of: &Digest) -> Things {
        Things { folder: self.folder.join(format!("{of}.d")) }
    }

    /// This one's turn to change things.
    fn write(&mut self) -> Result<bool, StoreError> {
        let things = self.things(&self.us);
        let path = &things.folder;
        let write = |name: &str, text: &str| fs::write(things.at(name), text).at("write", path);
        fs::create_dir(path).at("create", path)?;
        write("lock", "")?;
        write("text", "old")?;
        if !self.step()? || !self.step()? {
            return Ok(false);
        }
        let locked = lock::open(&things.at("lock")).at("open", path)?;
        let _ = lock::try_exclusive(&locked);
        for name in ["late", "once", "published"] {
            write(name, name)?;
        }
        write("text", "new")?;
        let looked = self.step()? && self.step()?;
        drop(locked);
        paths::remove(path).at("remove", path)?;
        Ok(looked)
    }

    /// This one's turn to look.
    fn look(&mut self, checks: &mut Vec<Check>) -> Result<bool, StoreError> {
        if !self.step()? {
            return Ok(false);
        }
        let things = self.things(&self.them);
        // What is remembered from now on.
        let text = || fs::read(things.at("text"));
        let there = ["late", "once", "published"].map(|name| things.at(name).exists());
        let before = text().at("read", &things.folder)?;
        if there.contains(&true) || things.are_seen()? || before != b"old" || !self.step()? || !self.step()? {
            return Ok(false);
        }
        let mut tell = |what, outcome, found: &str| checks.push(Check { what, outcome, found: found.to_owned() });
        let (outcome, found) = locks(self.layout, &things.at("lock"));
        tell("locks of the other", outcome, found);
        let or_missing = |is_so| if is_so { Outcome::Sound } else { Outcome::Missing };
        let (outcome, found) = folder(self.layout, &things)?;
        tell("folders that the other changes", outcome, &found);
        let new = text().is_ok_and(|text| text == b"new");
        tell("files that the other changes", or_missing(new), "who opens one has it as it was closed last");
        let twice = File::create_new(things.at("once"));
        let once = matches!(twice, Err(e) if e.kind() == io::ErrorKind::AlreadyExists);
        tell("creating a file that the other has created", or_missing(once), "of several, one does");
        let ours = self.folder.join(format!("{}.ours", self.us));
        fs::write(&ours, b"ours").at("write", &ours)?;
        let placed = paths::place(&ours, &things.at("published")).at("publish", &ours)?;
        paths::remove(&ours).at("remove", &ours)?;
        tell("publishing what the other has published", or_missing(!placed), "of several, one does");
        self.step()
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        // The other may still wait for this one's last step, and removes it then.
        let last = format!("{}.{}", self.us, self.steps);
        let is_over = self.steps == STEPS;
        for path in paths::list(&self.folder).unwrap_or_default() {
            let of = paths::digest_name(&path);
            let ours = of == Some(self.us) && !path.ends_with(&last);
            if ours || is_over && of == Some(self.them) {
                let _ = paths::remove(&path);
            }
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

/// What becomes of a lock that the other holds.
fn locks(layout: &Layout, path: &Path) -> (Outcome, &'static str) {
    let held = lock::open(path).and_then(|file| lock::try_exclusive(&file));
    match (held, layout.locks()) {
        (Ok(false), true) => (Outcome::Sound, "they hold here"),
        (Ok(false), false) => (Outcome::Sound, "they hold here, and are not believed in"),
        (_, false) => (Outcome::Sound, "they are not seen here, and not believed in"),
        (_, true) => (Outcome::Missing, "they are not seen here: set PIPE_STORE_LOCKS=none, everywhere"),
    }
}

/// When it is seen what the other has put into a folder.
fn folder(layout: &Layout, things: &Things) -> Result<(Outcome, String), StoreError> {
    if things.are_seen()? {
        return Ok((Outcome::Sound, "they are seen at once".to_owned()));
    }
    let touched = layout.touch(&things.folder);
    let start = Instant::now();
    if things.are_seen()? {
        let said = "they are seen late, but at once in a folder that was touched";
        return Ok(if layout.remembers() {
            (Outcome::Sound, format!("{said}, as is done where it matters"))
        } else {
            (Outcome::Missing, format!("{said}: set PIPE_STORE_LOCKS=none, everywhere, for that to be done"))
        });
    }
    while !things.are_seen()? && start.elapsed() < PATIENCE {
        std::thread::sleep(POLL);
    }
    let why = touched.err().map_or_else(String::new, |e| format!(" ({e})"));
    let seconds = start.elapsed().as_secs_f64();
    let found = format!(
        "they are seen {seconds:.1} s late, although the folder was touched{why}: until then work is done twice; have \
         it mounted so that less is remembered"
    );
    Ok((Outcome::Missing, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    #[test]
    fn two_that_meet_are_told_what_they_see_of_each_other() {
        let dir = tempfile::tempdir().unwrap();
        for no_locks in [false, true] {
            let root = dir.path().join(no_locks.to_string());
            let store = || Store::open(&root, StoreOptions { no_locks, ..StoreOptions::default() }).unwrap();
            let alone = store().check_together(Duration::from_millis(100)).unwrap();
            assert_eq!((alone.len(), alone[0].outcome), (1, Outcome::Missing), "{alone:?}");
            // One that was killed.
            let killed = store().layout().join("meeting").join(Digest::of_bytes(b"killed").to_string());
            paths::put_file(&killed, b"killed").unwrap();
            let both = std::thread::scope(|scope| {
                let both = [(); 2].map(|()| scope.spawn(|| store().check_together(Duration::from_secs(30)).unwrap()));
                both.map(|thread| thread.join().unwrap())
            });
            for checks in both {
                assert_eq!(checks.len(), 6, "{checks:?}");
                assert!(checks.iter().all(|check| check.outcome == Outcome::Sound), "{checks:?}");
                assert_eq!(checks[1].found.contains("not believed in"), no_locks);
            }
            assert_eq!(paths::list(killed.parent().unwrap()).unwrap(), [killed], "nothing else is left");
        }
    }
}
