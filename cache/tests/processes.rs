//! Several processes on one store: leases, kills, and limits that only a process of its own can have.
//!
//! A test that needs another process starts this test binary again for one of its tests, with [`STORE`] set; that test
//! then plays its part on the given store instead of on one of its own.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use common::{acquired, count, hit, key, open, provenance, publish, read, rows, schema, try_publish, wait_lease};
use pipe_cache::{Finding, GcPolicy, LeaseAttempt, Lookup, Store, StoreError, VerifyOptions};

const STORE: &str = "PIPE_CACHE_TEST_STORE";

/// The store of a child process, if this is one.
fn as_child() -> Option<PathBuf> {
    std::env::var_os(STORE).map(PathBuf::from)
}

fn child(test: &str, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(STORE, store).stdout(Stdio::piped());
    command
}

/// The next line of a child's output that begins with `word`; the rest of that line.
fn next(lines: &mut impl Iterator<Item = std::io::Result<String>>, word: &str) -> Option<String> {
    lines.find_map(|line| line.ok()?.strip_prefix(word).map(|rest| rest.trim().to_owned()))
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

/// Publishes results `n`, for `n` from the first that is missing on, in the forms that stages use.
fn publish_one(store: &Store, n: u64) {
    let from = n as i64;
    let mut memo = store.row_memo(&key(1_000_000), schema()).unwrap();
    if !memo.contains(&key(n)) {
        memo.insert(&[key(n)], &[3], &rows(from, from + 3)).unwrap();
    }
    memo.flush().unwrap();
    let mut stream = store.stream_memo(&key(2_000_000), schema()).unwrap();
    let len = stream.len() as i64;
    stream.append(len as u64, &rows(len, len + 2)).unwrap();
    stream.flush().unwrap();
    let publication = store.begin(wait_lease(store, &key(n)).unwrap(), &["rows", "out"]).unwrap();
    let mut writer = publication.table_writer("rows", schema()).unwrap();
    writer.write(&rows(from, from + 100)).unwrap();
    writer.finish().unwrap();
    let dir = publication.files_dir("out").unwrap();
    fs::create_dir(dir.join("sub")).unwrap();
    fs::write(dir.join("sub/n"), n.to_string()).unwrap();
    fs::write(dir.join("same"), "same").unwrap();
    publication.commit(provenance("crash")).unwrap();
}

/// As a child: publishes until it is killed. By itself: twice the same few results.
#[test]
fn publisher() {
    let Some(root) = as_child() else {
        let dir = tempfile::tempdir().unwrap();
        for n in [0, 1, 2, 1, 0] {
            publish_one(&open(dir.path()), n);
        }
        assert_eq!(open(dir.path()).keys().unwrap().len(), 3);
        return;
    };
    let store = open(&root);
    for n in 0.. {
        if matches!(store.lookup(&key(n)).unwrap(), Lookup::Miss) {
            publish_one(&store, n);
            say(&format!("done {n}"));
        }
    }
}

#[test]
fn a_process_killed_at_any_moment_leaves_a_sound_store_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let seed = fsrand();
    let mut random = seed;
    let mut done = 0;
    for round in 0..40 {
        let mut process = child("publisher", dir.path()).spawn().unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros(15_000 + (random >> 33) % 60_000));
        process.kill().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        while let Some(n) = next(&mut lines, "done ") {
            assert_eq!(n, done.to_string(), "finished work is not done again (round {round}, seed {seed})");
            done += 1;
        }
        process.wait().unwrap();
        let store = open(dir.path());
        // One more may have been published and not been told.
        done += u64::from(matches!(store.lookup(&key(done)).unwrap(), Lookup::Hit(_)));
        let report = store.verify(&VerifyOptions::default()).unwrap();
        let harmless = |f: &Finding| matches!(f, Finding::Leftover { .. } | Finding::Orphan { .. });
        assert!(report.findings.iter().all(harmless), "round {round}, seed {seed}: {:?}", report.findings);
        assert_eq!(report.manifests as u64, done, "round {round}, seed {seed}");
    }
    assert!(done > 40, "only {done} results were published");
    let store = open(dir.path());
    for n in 0..done {
        let entry = hit(&store, &key(n));
        let from = n as i64;
        assert_eq!(read(&store, entry.output("rows").unwrap()).unwrap(), rows(from, from + 100));
        assert_eq!(
            fs::read(store.artifact_path(entry.output("out").unwrap()).unwrap().join("sub/n")).unwrap(),
            n.to_string().as_bytes()
        );
    }
    let mut memo = store.row_memo(&key(1_000_000), schema()).unwrap();
    let all: Vec<_> = (0..done).map(key).collect();
    assert_eq!(memo.get(&all).unwrap().unwrap().0.num_rows() as u64, 3 * done);
    let mut stream = store.stream_memo(&key(2_000_000), schema()).unwrap();
    let len = stream.len();
    assert!(len >= 2 * done);
    assert_eq!(stream.read(0..len).unwrap(), rows(0, len as i64));
    drop((memo, stream));
    store.gc(&GcPolicy::default()).unwrap();
    assert_eq!(store.verify(&VerifyOptions::default()).unwrap().findings, []);
    drop(store);
    // A closed store's own folder is removed in the background.
    let closed = std::time::Instant::now();
    while count(dir.path(), "tmp") > 0 && closed.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(5));
    }
    for part in ["tmp", "leases", "quarantine"] {
        assert_eq!(count(dir.path(), part), 0, "{part}");
    }
}

/// A number that differs from run to run.
fn fsrand() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// As a child: takes the lease of key 1 and holds it until it is killed. By itself: sees that a lease is exclusive.
#[test]
fn lease_holder() {
    if let Some(root) = as_child() {
        let _lease = acquired(open(&root).try_lease(&key(1)).unwrap());
        say("held");
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let lease = acquired(store.try_lease(&key(1)).unwrap());
    let LeaseAttempt::Held(Some(owner)) = open(dir.path()).try_lease(&key(1)).unwrap() else { panic!("not held") };
    assert_eq!(owner.pid(), Some(std::process::id()));
    acquired(store.try_lease(&key(2)).unwrap());
    drop(lease);
    acquired(store.try_lease(&key(1)).unwrap());
}

#[test]
fn a_lease_is_free_when_its_owner_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut holder: Child = child("lease_holder", dir.path()).spawn().unwrap();
    next(&mut BufReader::new(holder.stdout.take().unwrap()).lines(), "held").unwrap();
    let LeaseAttempt::Held(owner) = store.try_lease(&key(1)).unwrap() else { panic!("not held") };
    assert_eq!(owner.unwrap().pid(), Some(holder.id()));
    store.gc(&GcPolicy::default()).unwrap();
    assert_eq!(count(dir.path(), "leases"), 1, "gc leaves leases that are held");
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_lease(&store, &key(1)).unwrap();
}

#[test]
fn of_many_threads_one_computes_a_key_and_the_others_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (computing, computed) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = open(dir.path());
                for n in 0..5 {
                    let lease = wait_lease(&store, &key(n)).unwrap();
                    if store.lookup(&key(n)).unwrap() != Lookup::Miss {
                        continue;
                    }
                    if n == 0 {
                        assert!(!computing.swap(true, Ordering::SeqCst));
                        std::thread::sleep(Duration::from_millis(20));
                        computing.store(false, Ordering::SeqCst);
                    }
                    computed.fetch_add(1, Ordering::SeqCst);
                    let publication = store.begin(lease, &["rows"]).unwrap();
                    publication.table_writer("rows", schema()).unwrap().finish().unwrap();
                    publication.commit(provenance("r")).unwrap();
                }
            });
        }
    });
    assert_eq!(computed.into_inner(), 5);
}

/// Rows that do not compress.
fn noise(rows: u64) -> RecordBatch {
    let number = |i: u64| i64::from_le_bytes(key(i).as_bytes()[..8].try_into().unwrap());
    let column: ArrayRef = std::sync::Arc::new(Int64Array::from_iter_values((0..rows).map(number)));
    RecordBatch::try_from_iter([("noise", column)]).unwrap()
}

/// As a child, with files limited to 64 KiB: cannot publish what is larger, says so, and goes on. By itself: can.
#[test]
fn large_publisher() {
    let Some(root) = as_child() else {
        let dir = tempfile::tempdir().unwrap();
        publish(&open(dir.path()), &key(1), &noise(100_000));
        return;
    };
    let store = open(&root);
    let error = try_publish(&store, &key(1), &noise(100_000)).unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
    assert!(error.to_string().ends_with("no space is left there; free some (`gc`) and run again"), "{error}");
    assert_eq!(store.lookup(&key(1)).unwrap(), Lookup::Miss);
    publish(&store, &key(2), &rows(0, 10));
    say("as expected");
}

#[test]
fn a_full_disk_is_a_clear_error_and_leaves_nothing_half_written() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let child = child("large_publisher", dir.path());
    // The shell ignores the signal that would kill the process at the limit; so it gets an error, as from a full disk.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\""]).arg(child.get_program());
    let output = limited.args(child.get_args()).env(STORE, dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("as expected"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let store = open(dir.path());
    hit(&store, &key(2));
    assert_eq!(store.verify(&VerifyOptions::default()).unwrap().findings, []);
    assert_eq!(count(dir.path(), "tmp"), 0);
}

/// As a child, on a store of a read-only file system that holds key 1 (a mount that tests have no right to make: set
/// [`STORE`] by hand): serves hits and refuses to publish. By itself: the same of a store that is opened read-only.
#[test]
fn reader() {
    let dir = tempfile::tempdir().unwrap();
    let store = if let Some(root) = as_child() {
        open(&root)
    } else {
        publish(&open(dir.path()), &key(1), &rows(0, 10));
        common::open_read_only(dir.path())
    };
    let table = *hit(&store, &key(1)).output("rows").unwrap();
    assert_eq!(read(&store, &table).unwrap().num_rows() as u64, table.rows);
    let error = try_publish(&store, &key(2), &rows(0, 10)).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    say("as expected");
}
