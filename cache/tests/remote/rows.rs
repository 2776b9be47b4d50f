//! Rows that stages keep one by one.

use std::fs;

use pipe_cache::{Digest, Store};

use crate::{
    Place,
    common::{self, key, rows, schema},
    files, remote,
};

/// One row in a memo.
fn insert_one(store: &Store, recipe: &Digest, n: u64) {
    let mut memo = store.row_memo(recipe, schema()).unwrap();
    memo.insert(&[key(n)], &[1], &rows(n as i64, n as i64 + 1)).unwrap();
    memo.flush().unwrap();
}

#[test]
fn rows_are_found_again_after_a_collection() {
    let place = Place::new();
    let recipe = Digest::of_bytes(b"recipe");
    let (a, b, c) = (place.store("a"), place.store("b"), place.store("c"));
    insert_one(&a, &recipe, 1);
    insert_one(&c, &recipe, 2);
    let push_rows = |store: &Store| {
        let remote = remote(&place.folder());
        remote.submit_memo(store, &recipe);
        remote.wait(&|| false);
    };
    push_rows(&a);
    remote(&place.folder()).pull_memo(&b, &recipe);
    // Collected, and begun anew by others, up to the same number.
    fs::remove_dir_all(place.folder().join("v1/memo")).unwrap();
    remote(&place.folder()).pull_memo(&b, &recipe);
    insert_one(&c, &recipe, 3);
    push_rows(&c);
    remote(&place.folder()).pull_memo(&b, &recipe);
    let memo = b.row_memo(&recipe, schema()).unwrap();
    assert!(memo.contains(&key(2)) && memo.contains(&key(3)));
    drop(memo);
    push_rows(&b);
    let d = place.store("d");
    remote(&place.folder()).pull_memo(&d, &recipe);
    assert_eq!(d.row_memo(&recipe, schema()).unwrap().len(), 3);
}

#[test]
fn rows_go_from_a_store_that_may_not_be_written_to() {
    let place = Place::new();
    let recipe = Digest::of_bytes(b"recipe");
    let (a, b) = (place.store("a"), place.store("b"));
    insert_one(&a, &recipe, 1);
    insert_one(&b, &recipe, 2);
    let first = remote(&place.folder());
    first.submit_memo(&a, &recipe);
    first.wait(&|| false);
    drop(b);
    let reading = common::open_read_only(&place.dir.path().join("b"));
    let second = remote(&place.folder());
    second.submit_memo(&reading, &recipe);
    second.wait(&|| false);
    assert_eq!((second.counts().segments_pushed, second.counts().unpushed), (1, 0), "{:?}", second.take_warnings());
    let c = place.store("c");
    remote(&place.folder()).pull_memo(&c, &recipe);
    assert_eq!(c.row_memo(&recipe, schema()).unwrap().len(), 2);
}

#[test]
fn rows_of_memos_travel_in_packs_and_nobody_sends_them_twice() {
    let place = Place::new();
    let (a, b) = (place.store("a"), place.store("b"));
    let recipe = Digest::of_bytes(b"recipe");
    let digests: Vec<Digest> = (0..100_000).map(key).collect();
    let insert = |store: &Store, from: usize, to: usize| {
        let mut memo = store.row_memo(&recipe, schema()).unwrap();
        for at in (from..to).step_by(1000) {
            let end = (at + 1000).min(to);
            memo.insert(&digests[at..end], &vec![1; end - at], &rows(at as i64, end as i64)).unwrap();
        }
        memo.flush().unwrap();
    };
    insert(&a, 0, 100_000);
    let remote_a = remote(&place.folder());
    remote_a.submit_memo(&a, &recipe);
    remote_a.wait(&|| false);
    // A look whether somebody was first, and the pack.
    assert_eq!((remote_a.counts().segments_pushed, remote_a.counts().requests), (1, 2));

    let remote_b = remote(&place.folder());
    remote_b.pull_memo(&b, &recipe);
    // Once more, in the next run.
    remote_b.pull_memo(&b, &recipe);
    assert!(remote_b.counts().requests <= 4, "{:?}", remote_b.counts());
    let mut memo = b.row_memo(&recipe, schema()).unwrap();
    assert_eq!(memo.len(), 100_000);
    let (found, counts) = memo.get(&digests[70..75]).unwrap().unwrap();
    assert_eq!((found, counts), (rows(70, 75), vec![1; 5]));
    drop(memo);

    // Nothing new: one look whether what was written is still there.
    remote_b.submit_memo(&b, &recipe);
    remote_b.wait(&|| false);
    assert_eq!(remote_b.counts().segments_pushed, 0);
    insert(&b, 0, 10);
    remote_b.submit_memo(&b, &recipe);
    remote_b.wait(&|| false);
    assert_eq!(remote_b.counts().segments_pushed, 1);
    remote_a.pull_memo(&a, &recipe);
    assert_eq!(files(&place.folder()).len(), 2);
}

#[test]
fn merged_shards_are_not_sent_again() {
    let place = Place::new();
    let a = place.store("a");
    let recipe = Digest::of_bytes(b"recipe");
    for n in 0..80 {
        let mut memo = a.row_memo(&recipe, schema()).unwrap();
        memo.insert(&[key(n)], &[1], &rows(n as i64, n as i64 + 1)).unwrap();
        memo.flush().unwrap();
        drop(memo);
        if n == 64 {
            let remote = remote(&place.folder());
            remote.submit_memo(&a, &recipe);
            remote.wait(&|| false);
        }
    }
    let remote = remote(&place.folder());
    remote.submit_memo(&a, &recipe);
    remote.wait(&|| false);
    let sizes: Vec<u64> = files(&place.folder()).iter().map(|path| fs::metadata(path).unwrap().len()).collect();
    assert_eq!(sizes.len(), 2);
    assert!(sizes[1] < sizes[0], "the second has the few new rows alone: {sizes:?}");
}

#[test]
fn a_damaged_pack_is_passed_over_and_what_is_whole_in_it_is_used() {
    let place = Place::new();
    let (a, b) = (place.store("a"), place.store("b"));
    let recipe = Digest::of_bytes(b"recipe");
    for n in 0..3 {
        let mut memo = a.row_memo(&recipe, schema()).unwrap();
        memo.insert(&[key(n)], &[1], &rows(n as i64, n as i64 + 1)).unwrap();
        memo.flush().unwrap();
    }
    let first = remote(&place.folder());
    first.submit_memo(&a, &recipe);
    first.wait(&|| false);
    let path = &files(&place.folder())[0];
    let sound = fs::read(path).unwrap();
    let mut bytes = sound.clone();
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    fs::write(path, &bytes).unwrap();
    first.pull_memo(&b, &recipe);
    assert_eq!(b.row_memo(&recipe, schema()).unwrap().len(), 2);
    assert_eq!(first.counts().failures, 1);
    assert!(first.take_warnings()[0].contains("1 of its shards"));

    // As if it had been damaged on its way: the next run fetches it again.
    fs::write(path, sound).unwrap();
    let next = remote(&place.folder());
    next.pull_memo(&b, &recipe);
    assert_eq!(b.row_memo(&recipe, schema()).unwrap().len(), 3);
    assert_eq!((next.counts().failures, next.counts().segments_pulled), (0, 1));
    let last = remote(&place.folder());
    last.pull_memo(&b, &recipe);
    assert_eq!(last.counts().segments_pulled, 0);
}

#[test]
fn a_pack_that_lies_there_damaged_is_fetched_twice_and_not_by_every_run() {
    let place = Place::new();
    let (a, b) = (place.store("a"), place.store("b"));
    let recipe = Digest::of_bytes(b"recipe");
    for n in 0..2 {
        insert_one(&a, &recipe, n);
    }
    let first = remote(&place.folder());
    first.submit_memo(&a, &recipe);
    first.wait(&|| false);
    let path = &files(&place.folder())[0];
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
    let pulled = || {
        let remote = remote(&place.folder());
        remote.pull_memo(&b, &recipe);
        remote.counts().segments_pulled
    };
    assert_eq!([pulled(), pulled(), pulled(), pulled()], [1, 1, 0, 0]);
    assert_eq!(b.row_memo(&recipe, schema()).unwrap().len(), 1);
}
