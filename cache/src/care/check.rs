//! What a store asks of the file system that it lies on, tried out.

use std::{
    fs::{self, File},
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{
    disk::{paths, put_file},
    error::StoreError,
    share::{Mount, lock},
    store::Store,
};

/// How something came out that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Sound,
    /// It works otherwise: slower, or with less help.
    Otherwise,
    /// What a store cannot do without.
    Missing,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was asked.
    pub what: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, in words.
    pub found: String,
}

/// A clock that differs by more is worth a word.
const CLOCK: Duration = Duration::from_secs(5);

impl Store {
    /// Tries out, in a folder of its own, what the store asks of its file system.
    pub fn check_place(&self) -> Result<Vec<Check>, StoreError> {
        let session = self.session()?;
        let dir = session.temp();
        fs::create_dir(&dir).map_err(|e| StoreError::io("create", &dir, e))?;
        let mut checks = vec![self.place(), self.locking(&dir), self.folders(&dir)];
        checks.push(tried("replacing a file by renaming", "readers see the old or the new, whole", rename(&dir)));
        checks.push(tried("creating a file that is not there", "of several, one does", create_new(&dir)));
        checks.push(tried("publishing without replacing", "of several, one does", place(&dir)));
        checks.push(tried("making files durable", "what is published survives a power failure", sync(&dir)));
        checks.push(clock(&dir));
        paths::remove(&dir).map_err(|e| StoreError::io("remove", &dir, e))?;
        Ok(checks)
    }

    fn place(&self) -> Check {
        let what = "file system";
        let Some(mount) = Mount::of(self.layout().root()) else {
            return Check { what, outcome: Outcome::Otherwise, found: "it cannot be known here".to_owned() };
        };
        Check { what, outcome: Outcome::Sound, found: format!("{} at {}", mount.kind, mount.point) }
    }

    fn locking(&self, dir: &Path) -> Check {
        let what = "locks";
        let check = |outcome, found: &str| Check { what, outcome, found: found.to_owned() };
        if !self.layout().locks() {
            let found = "not believed in: leases are held by touching files, and one of a dead process on another \
                         machine is free after half a minute";
            return check(Outcome::Otherwise, found);
        }
        let path = dir.join("lock");
        let locked = lock::create(&path).and_then(|first| {
            let second = lock::create(&path)?;
            Ok((lock::try_exclusive(&first)?, lock::try_exclusive(&second)?))
        });
        match locked {
            Ok((true, false)) => check(Outcome::Sound, "they hold"),
            Ok(_) => check(Outcome::Missing, "two hold the same one: set PIPE_STORE_LOCKS=none, everywhere"),
            Err(e) if lock::unsupported(&e) => check(Outcome::Otherwise, "there are none: leases are held by touch"),
            Err(e) => check(Outcome::Missing, &e.to_string()),
        }
    }

    fn folders(&self, dir: &Path) -> Check {
        let what = "folders that others change";
        let (outcome, found) = match (self.layout().remembers(), self.layout().touch(dir)) {
            (false, _) => (Outcome::Sound, "they are seen as they are".to_owned()),
            (true, Ok(())) => {
                let found = "they may be remembered as they were: they are touched before it matters";
                (Outcome::Sound, found.to_owned())
            }
            (true, Err(e)) => {
                let found = format!("they cannot be touched ({e}): what other machines did may be done twice");
                (Outcome::Otherwise, found)
            }
        };
        Check { what, outcome, found }
    }
}

fn tried(what: &'static str, means: &str, result: io::Result<bool>) -> Check {
    let (outcome, found) = match result {
        Ok(true) => (Outcome::Sound, means.to_owned()),
        Ok(false) => (Outcome::Missing, "it does not do what it says".to_owned()),
        Err(e) => (Outcome::Missing, e.to_string()),
    };
    Check { what, outcome, found }
}

fn rename(dir: &Path) -> io::Result<bool> {
    let (old, new) = (dir.join("old"), dir.join("new"));
    fs::write(&old, "old")?;
    fs::write(&new, "new")?;
    fs::rename(&new, &old)?;
    Ok(fs::read(&old)? == b"new" && !new.exists())
}

fn create_new(dir: &Path) -> io::Result<bool> {
    let path = dir.join("once");
    File::create_new(&path)?;
    Ok(matches!(File::create_new(&path), Err(e) if e.kind() == io::ErrorKind::AlreadyExists))
}

fn place(dir: &Path) -> io::Result<bool> {
    let (first, second, to) = (dir.join("a"), dir.join("b"), dir.join("published"));
    fs::write(&first, "a")?;
    fs::write(&second, "b")?;
    Ok(paths::place(&first, &to)? && !paths::place(&second, &to)? && fs::read(&to)? == b"a")
}

fn sync(dir: &Path) -> io::Result<bool> {
    put_file(&dir.join("durable"), b"x")?;
    File::open(dir.join("durable"))?.sync_all()?;
    File::open(dir)?.sync_all().map(|()| true)
}

fn clock(dir: &Path) -> Check {
    let what = "clock";
    let path = dir.join("clock");
    let before = SystemTime::now();
    let written = fs::write(&path, "x").and_then(|()| fs::metadata(&path)).and_then(|meta| meta.modified());
    let apart = match written {
        Ok(time) => time.duration_since(before).unwrap_or_else(|e| e.duration()),
        Err(e) => return Check { what, outcome: Outcome::Otherwise, found: e.to_string() },
    };
    let found = format!("{:.0} s apart from that of the files; no result depends on it", apart.as_secs_f64());
    Check { what, outcome: if apart > CLOCK { Outcome::Otherwise } else { Outcome::Sound }, found }
}
