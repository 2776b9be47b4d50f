//! Processes of two machines (by their names) on one store without locks. One is stopped while it holds a lease, while
//! the times of files are a day off; the other one takes it over and publishes, and the first goes on. It must publish
//! nothing over its successor.
//!
//! The suite does some dozens; the acceptance run, 1,000:
//! `cargo test -p pipe-cache --test takeovers -- --ignored --nocapture`

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use common::{hit, key, open, provenance, rows, schema};
use pipe_cache::{GcPolicy, LeaseAttempt, Lookup, RefEntry, Store, StoreOptions, VerifyOptions};

const STORE: &str = "PIPE_CACHE_TAKEOVER_STORE";
const NETWORK_STORE: &str = "PIPE_CACHE_NETWORK_STORE";
const SUBJECT: &str = "PIPE_CACHE_TAKEOVER_SUBJECT";

/// `flock` of a network file system, which locks a range of the file instead: not without the right to write, or to
/// read.
const NETWORK: &str = "#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>
int flock(int file, int how) {
    int may = fcntl(file, F_GETFL) & O_ACCMODE;
    if (((how & LOCK_EX) && may == O_RDONLY) || ((how & LOCK_SH) && may == O_WRONLY)) { errno = EBADF; return -1; }
    return syscall(SYS_flock, file, how);
}
";

/// A library that puts another `flock` in the place of the system's, for whoever is started with it.
fn with_flock(dir: &Path, code: &str) -> PathBuf {
    let (source, library) = (dir.join("flock.c"), dir.join("flock.so"));
    fs::write(&source, code).unwrap();
    let cc = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(cc.expect("a C compiler, as the dependencies need one").success());
    library
}

fn open_without_locks(root: &Path) -> Store {
    let lease_timeout = Some(Duration::from_millis(TIMEOUT_MS));
    Store::open(root, StoreOptions { no_locks: true, lease_timeout, ..StoreOptions::default() }).unwrap()
}

/// As a child: works through the keys, publishing each with content of its own, and says what came of it.
#[test]
fn subject() {
    let Some(root) = std::env::var_os(STORE) else { return };
    let subject: i64 = std::env::var(SUBJECT).unwrap().parse().unwrap();
    let store = open_without_locks(Path::new(&root));
    let mut log = fs::File::create(Path::new(&root).join(format!("log.{subject}"))).unwrap();
    for n in 0.. {
        let key = key(n);
        let lease = loop {
            if matches!(store.lookup(&key).unwrap(), Lookup::Hit(_)) {
                break None;
            }
            match store.try_lease(&key).unwrap() {
                // The last holder may have published it.
                LeaseAttempt::Acquired(_) if matches!(store.lookup(&key).unwrap(), Lookup::Hit(_)) => break None,
                LeaseAttempt::Acquired(lease) => break Some(lease),
                LeaseAttempt::Held(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let Some(lease) = lease else { continue };
        // As whoever held the lease before may have published meanwhile.
        if matches!(store.lookup(&key).unwrap(), Lookup::Hit(_)) {
            continue;
        }
        let token = lease.token();
        let publication = store.begin(lease, &["rows"]).unwrap();
        let mut writer = publication.table_writer("rows", schema()).unwrap();
        writer.write(&rows(1000 * subject, 1000 * subject + 3)).unwrap();
        writer.finish().unwrap();
        // A successor may have cleared the directory since.
        let _ = fs::write(publication.work_dir().unwrap().join("checkpoint"), "x");
        std::thread::sleep(Duration::from_millis(n % 4));
        let entry = publication.commit(provenance(&subject.to_string())).unwrap();
        writeln!(log, "{n} {token} {}", entry.outputs[0].1.object).unwrap();
    }
}

/// A process that does not outlive the test.
struct Subject(Child);

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One that does not see that the process of the other lives: both call themselves by names of their own, where this
/// process may give them some.
fn start(dir: &Path, root: &Path, subject: usize) -> Subject {
    let host = dir.join(format!("host.{subject}"));
    fs::write(&host, format!("machine-{subject}\n")).unwrap();
    let script = "mount --bind $0 /proc/sys/kernel/hostname 2>/dev/null; exec \"$@\"";
    let namespaces = Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    let mut command = Command::new(if namespaces { "unshare" } else { "sh" });
    if namespaces {
        command.args(["-m", "sh"]);
    }
    let child = command
        .args(["-c", script])
        .arg(&host)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "subject", "--nocapture"])
        .env(STORE, root)
        .env(SUBJECT, subject.to_string())
        .stdout(Stdio::null())
        .spawn();
    Subject(child.unwrap())
}

fn signal(Subject(process): &Subject, name: &str) {
    assert!(Command::new("kill").args([name, &process.id().to_string()]).status().unwrap().success());
}

/// The lease that a process holds, and the number of its key.
fn lease_of(root: &Path, Subject(process): &Subject, numbers: &BTreeMap<String, u64>) -> Option<(PathBuf, u64)> {
    for entry in fs::read_dir(root.join("v1/leases")).ok()?.flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if text.contains(&format!("\"pid\":{},", process.id())) {
            let name = entry.file_name().into_string().ok()?;
            return Some((entry.path(), *numbers.get(name.split('.').next()?)?));
        }
    }
    None
}

/// Of each process, the keys it committed: number, token, object that stood then.
type Said = Vec<(u64, u64, String)>;

fn said(root: &Path, subject: usize) -> Said {
    let log = fs::read_to_string(root.join(format!("log.{subject}"))).unwrap();
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let (n, token) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((n, token, words.next()?.to_owned()))
    };
    log.lines().filter_map(parse).collect()
}

/// How long a lease is held without a touch, in milliseconds.
const TIMEOUT_MS: u64 = 60;

fn take_over(times: usize) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    drop(open_without_locks(&root));
    let numbers: BTreeMap<String, u64> = (0..200_000).map(|n| (key(n).to_string(), n)).collect();
    let subjects = [0, 1].map(|subject| start(dir.path(), &root, subject));
    let mut taken = BTreeSet::new();
    for turn in 0.. {
        if taken.len() >= times {
            break;
        }
        let stopped = &subjects[turn % 2];
        std::thread::sleep(Duration::from_micros(500 + 731 * (turn as u64 % 17)));
        signal(stopped, "-STOP");
        let manifest = |n: u64| {
            let key = key(n).to_string();
            root.join("v1/manifests").join(&key[..2]).join(format!("{key}.json"))
        };
        // Stopped between the two, it has published and only not let go yet. On a machine with other work, the signal
        // may reach it only when it has let go.
        let held = lease_of(&root, stopped, &numbers).filter(|(_, n)| !manifest(*n).exists());
        if let Some((lease, n)) = held
            && let Ok(file) = fs::File::options().write(true).open(lease)
        {
            // What the times of files say, a day before or after, is nobody's business.
            let day = Duration::from_hours(24);
            let now = SystemTime::now();
            file.set_modified(if turn % 4 < 2 { now - day } else { now + day }).unwrap();
            let since = Instant::now();
            while !manifest(n).exists() {
                assert!(since.elapsed() < Duration::from_secs(60), "nobody took over key {n}, turn {turn}");
                std::thread::sleep(Duration::from_micros(300));
            }
            taken.insert(n);
        }
        signal(stopped, "-CONT");
    }
    drop(subjects);
    let store = open_without_locks(&root);
    let by_subject = [0, 1].map(|subject| said(&root, subject));
    let mut late = 0;
    let mut seen: BTreeMap<u64, (u64, String)> = BTreeMap::new();
    for (n, token, object) in by_subject.into_iter().flatten() {
        let stands = hit(&store, &key(n)).outputs[0].1.object.to_string();
        assert_eq!(object, stands, "key {n}: what a commit returned is what stands");
        if let Some((other, first)) = seen.insert(n, (token, object.clone())) {
            assert_eq!(first, object, "key {n}: both had the same in their hands");
            assert_ne!(token, other, "key {n}: tokens grow");
            late += 1;
        }
    }
    #[expect(clippy::print_stdout, reason = "how it went, for whoever runs it by hand")]
    {
        println!("{} takeovers, {late} late commits that took the winner's result", taken.len());
    }
    assert!(late * 2 >= times, "only {late} of {times} late processes got so far as to commit");
    assert!(store.verify(&VerifyOptions::default()).unwrap().is_sound());
}

#[test]
fn late_processes_publish_nothing_over_their_successors() {
    take_over(40);
}

#[test]
#[ignore = "takes minutes: the acceptance run of lease takeovers"]
fn a_thousand_takeovers() {
    take_over(1000);
}

/// As a child, on something like a network file system: everything that locks. By itself: the same on this one.
#[test]
fn locks_are_taken_as_network_file_systems_want_it() {
    let Some(root) = std::env::var_os(NETWORK_STORE) else {
        let dir = tempfile::tempdir().unwrap();
        let library = with_flock(dir.path(), NETWORK);
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "locks_are_taken_as_network_file_systems_want_it", "--nocapture"])
            .env("LD_PRELOAD", library)
            .env(NETWORK_STORE, dir.path().join("store"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    };
    let (ours, theirs) = (open(Path::new(&root)), open(Path::new(&root)));
    let lease = common::acquired(ours.try_lease(&key(1)).unwrap());
    assert!(matches!(theirs.try_lease(&key(1)).unwrap(), LeaseAttempt::Held(Some(_))));
    let publication = ours.begin(lease, &["out"]).unwrap();
    fs::write(publication.files_dir("out").unwrap().join("f"), "x").unwrap();
    let mut memo = ours.row_memo(&key(2), schema()).unwrap();
    memo.insert(&[key(0)], &[1], &rows(0, 1)).unwrap();
    memo.flush().unwrap();
    // Its marker and folder look two days old, but its lock is held.
    let session = fs::read_dir(Path::new(&root).join("v1/tmp")).unwrap().next().unwrap().unwrap().path();
    for path in [session.join("session"), session.clone()] {
        fs::File::open(path).unwrap().set_modified(SystemTime::now() - Duration::from_hours(48)).unwrap();
    }
    let everything = GcPolicy { max_bytes: Some(0), even_reachable: true, unreachable: true, ..GcPolicy::default() };
    theirs.gc(&everything).unwrap();
    assert_eq!(ours.row_memo(&key(2), schema()).unwrap().len(), 1, "an open memo stays");
    publication.commit(provenance("r")).unwrap();
    ours.set_refs("p", &[RefEntry { variant: "v".to_owned(), stage: "s".to_owned(), key: key(1) }]).unwrap();
    hit(&theirs, &key(1));
    drop(memo);
    theirs.gc(&everything).unwrap();
    assert!(ours.row_memo(&key(2), schema()).unwrap().is_empty(), "a closed one goes");
    assert_eq!(theirs.verify(&VerifyOptions::default()).unwrap().findings, []);
}
