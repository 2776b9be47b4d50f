//! Claims: of several workers on one recipe, in one process or several, each computes what nobody else does.

#![expect(clippy::single_range_in_vec_init, reason = "lists of ranges are what is tested")]

mod common;

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use common::{key, open, rows, schema};
use pipe_cache::{Digest, GcPolicy, RowMemo, Store, StoreError, StreamMemo};

const STORE: &str = "PIPE_CACHE_TEST_STORE";

fn recipe() -> Digest {
    key(7)
}

fn row_memo(store: &Store) -> RowMemo {
    store.row_memo(&recipe(), schema()).unwrap()
}

fn stream_memo(store: &Store) -> StreamMemo {
    store.stream_memo(&recipe(), schema()).unwrap()
}

fn keys(numbers: std::ops::Range<u64>) -> Vec<Digest> {
    numbers.map(key).collect()
}

/// The places claimed, how many are left, and how many others have.
fn claim(memo: &mut RowMemo, rows: &[Digest], most: usize) -> (Vec<usize>, usize, usize) {
    let claim = memo.claim(rows, most, &|| false).unwrap().unwrap();
    (claim.mine, claim.free, claim.others)
}

fn attempts(memo: &mut StreamMemo, range: std::ops::Range<u64>, most: u64) -> (Vec<std::ops::Range<u64>>, u64, u64) {
    let claim = memo.claim(range, most, &|| false).unwrap().unwrap();
    (claim.mine, claim.free, claim.others)
}

#[test]
fn rows_are_claimed_once_and_followed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (mut a, mut b) = (row_memo(&store), row_memo(&store));
    assert_eq!(claim(&mut a, &keys(0..4), 3), (vec![0, 1, 2], 1, 0));
    assert_eq!(claim(&mut b, &keys(1..6), 9), (vec![2, 3, 4], 0, 2), "3 was left, 4 and 5 are nobody's");
    a.insert(&keys(0..3), &[1; 3], &rows(0, 3)).unwrap();
    assert_eq!(claim(&mut b, &keys(1..3), 9), (vec![], 0, 2), "computed, and not written down yet");
    a.release().unwrap();
    assert_eq!(claim(&mut b, &keys(1..3), 9), (vec![], 0, 0));
    let (found, _) = b.get(&keys(0..3)).unwrap().unwrap();
    assert_eq!(found, rows(0, 3));
}

#[test]
fn what_is_given_up_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (mut a, mut b) = (row_memo(&store), row_memo(&store));
    claim(&mut a, &keys(0..4), 9);
    a.insert(&keys(0..1), &[1], &rows(0, 1)).unwrap();
    drop(a);
    assert_eq!(claim(&mut b, &keys(0..4), 9), (vec![1, 2, 3], 0, 0), "what was inserted was written down");
    assert_eq!(std::fs::read_dir(dir.path().join("v1/claims")).unwrap().count(), 1);
    drop(b);
    assert_eq!(std::fs::read_dir(dir.path().join("v1/claims")).unwrap().count(), 0);
}

#[test]
fn recipes_and_schemas_do_not_get_in_each_others_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut a = row_memo(&store);
    claim(&mut a, &keys(0..4), 9);
    let mut other = store.row_memo(&key(8), schema()).unwrap();
    assert_eq!(claim(&mut other, &keys(0..2), 9), (vec![0, 1], 0, 0));
    let narrow = rows(0, 0).project(&[0]).unwrap().schema();
    let mut other = store.row_memo(&recipe(), narrow).unwrap();
    assert_eq!(claim(&mut other, &keys(0..2), 9), (vec![0, 1], 0, 0));
}

#[test]
fn attempts_are_handed_out_in_parts_and_gaps_close() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (mut a, mut b) = (stream_memo(&store), stream_memo(&store));
    assert_eq!(attempts(&mut a, 0..10, 4), (vec![0..4], 6, 0));
    assert_eq!(attempts(&mut b, 0..10, 4), (vec![4..8], 2, 4));
    b.append(4, &rows(4, 8)).unwrap();
    b.flush().unwrap();
    a.refresh().unwrap();
    assert_eq!(a.len(), 0, "nothing counts before the gap is closed");
    assert_eq!(attempts(&mut a, 0..10, 9), (vec![8..10], 0, 0), "0..4 are its own already");
    a.append(8, &rows(8, 10)).unwrap();
    a.append(0, &rows(0, 4)).unwrap();
    assert_eq!(a.len(), 10);
    assert_eq!(a.read(0..10).unwrap(), rows(0, 10));
    a.release().unwrap();
    assert_eq!(attempts(&mut b, 0..12, 9), (vec![10..12], 0, 0));
    assert_eq!(b.read(2..9).unwrap(), rows(2, 9));
    drop((a, b));
    assert_eq!(stream_memo(&open(dir.path())).read(0..10).unwrap(), rows(0, 10));
}

#[test]
fn one_stream_of_a_process_leads_and_wakes_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (mut a, b) = (stream_memo(&store), stream_memo(&open(dir.path())));
    let lead = a.lead().unwrap();
    assert!(b.lead().is_none());
    assert_eq!((a.want(5), b.want(9), a.want(6)), (5, 9, 9));
    let (changes, seen) = (b.changes(), b.changes().count());
    let follower = thread::spawn(move || {
        let start = Instant::now();
        changes.wait(seen, Duration::from_secs(20));
        start.elapsed()
    });
    a.append(0, &rows(0, 2)).unwrap();
    a.flush().unwrap();
    assert!(follower.join().unwrap() < Duration::from_secs(10), "it was woken");
    drop(lead);
    assert!(b.lead().is_some());
    drop(b);
    assert_eq!(a.want(7), 7);
}

#[test]
fn builds_that_differ_do_not_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (mut a, mut b) = (row_memo(&store), row_memo(&store));
    a.sign("generate 2".into());
    b.sign("generate 3".into());
    claim(&mut a, &keys(0..4), 9);
    let error = b.claim(&keys(2..6), 9, &|| false).unwrap_err();
    assert!(matches!(error, StoreError::Builds { .. }), "{error}");
    assert!(error.to_string().contains("with generate 2, and this is generate 3"), "{error}");
    drop(a);
    assert_eq!(claim(&mut b, &keys(2..6), 9), (vec![0, 1, 2, 3], 0, 0));
}

/// Claims rows and attempts, writes some down, and is killed.
#[test]
#[ignore = "started by another test"]
fn subject() {
    let store = open(&PathBuf::from(std::env::var_os(STORE).expect("a store to work on")));
    let mut memo = row_memo(&store);
    claim(&mut memo, &keys(0..4), 9);
    memo.insert(&keys(0..1), &[1], &rows(0, 1)).unwrap();
    memo.flush().unwrap();
    let mut stream = store.stream_memo(&key(8), schema()).unwrap();
    attempts(&mut stream, 0..6, 4);
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nclaimed").unwrap();
    out.flush().unwrap();
    thread::sleep(Duration::from_mins(1));
}

#[test]
fn what_a_killed_process_had_claimed_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let spawn = || -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "subject", "--nocapture"]).env(STORE, dir.path()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == "claimed"));
        child
    };
    let mut child = spawn();
    let (mut memo, mut stream) = (row_memo(&store), store.stream_memo(&key(8), schema()).unwrap());
    let found = memo.claim(&keys(0..5), 9, &|| false).unwrap().unwrap();
    assert_eq!((found.mine, found.others), (vec![4], 3));
    assert_eq!(found.owner.unwrap().pid(), Some(child.id()));
    assert_eq!(attempts(&mut stream, 0..6, 9), (vec![4..6], 0, 4));
    memo.release().unwrap();
    stream.release().unwrap();

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(claim(&mut memo, &keys(0..5), 9), (vec![1, 2, 3, 4], 0, 0));
    assert_eq!(attempts(&mut stream, 0..6, 9), (vec![0..6], 0, 0));
    drop((memo, stream));

    let mut child = spawn();
    child.kill().unwrap();
    child.wait().unwrap();
    store.gc(&GcPolicy::default()).unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("v1/claims")).unwrap().count(), 0);
}
