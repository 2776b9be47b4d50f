//! Row and stream memos: what is kept, merged, shared, and survives damage.

mod common;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use common::{key, open, rows, schema};
use pipe_cache::{Digest, RowMemo, VerifyOptions};

fn shards(root: &Path, recipe: &Digest) -> Vec<PathBuf> {
    let dir = root.join("v1/memo").join(recipe.to_string());
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some());
    paths.sort();
    paths
}

fn flip(path: &Path) {
    common::flip(path, std::fs::metadata(path).unwrap().len() as usize / 2, 0);
}

/// Input row `i` has `i % 3` output rows: numbers from `10 i` on.
fn outputs(i: u64) -> RecordBatch {
    rows(10 * i as i64, 10 * i as i64 + (i % 3) as i64)
}

fn insert(memo: &mut RowMemo, inputs: std::ops::Range<u64>) {
    for i in inputs {
        let batch = outputs(i);
        memo.insert(&[key(i)], &[batch.num_rows() as u32], &batch).unwrap();
    }
}

fn check(memo: &mut RowMemo, inputs: &[u64]) {
    let digests: Vec<_> = inputs.iter().map(|i| key(*i)).collect();
    let (found, counts) = memo.get(&digests).unwrap().unwrap();
    assert_eq!(counts, inputs.iter().map(|i| (i % 3) as u32).collect::<Vec<_>>());
    let expected: Vec<_> = inputs.iter().map(|i| outputs(*i)).collect();
    assert_eq!(found, arrow::compute::concat_batches(&schema(), &expected).unwrap());
}

#[test]
fn rows_are_found_before_and_after_the_flush_and_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut memo = store.row_memo(&key(0), schema()).unwrap();
    assert!(memo.is_empty());
    insert(&mut memo, 0..5);
    memo.flush().unwrap();
    insert(&mut memo, 5..9);
    check(&mut memo, &[8, 0, 3, 5, 4, 8]);
    assert_eq!(memo.get(&[key(1), key(99)]).unwrap(), None);
    drop(memo);
    let mut memo = open(dir.path()).row_memo(&key(0), schema()).unwrap();
    assert_eq!(memo.len(), 9);
    check(&mut memo, &[8, 0, 3, 5, 4, 8]);
    check(&mut memo, &[0, 3]);
    assert!(!store.row_memo(&key(1), schema()).unwrap().contains(&key(8)), "another recipe");
}

#[test]
fn counts_must_fit() {
    let dir = tempfile::tempdir().unwrap();
    let mut memo = open(dir.path()).row_memo(&key(0), schema()).unwrap();
    let error = memo.insert(&[key(1)], &[2], &rows(0, 3)).unwrap_err().to_string();
    let expected =
        "failed to keep rows in the memo: 1 input rows with 1 counts that add up to 2 cannot have 3 output rows";
    assert_eq!(error, expected);
}

#[test]
fn many_small_shards_are_merged_under_the_feet_of_another_reader() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut memo = store.row_memo(&key(0), schema()).unwrap();
    for i in 0..80 {
        insert(&mut memo, i..i + 2);
        memo.flush().unwrap();
    }
    assert_eq!(shards(dir.path(), &key(0)).len(), 80);
    let mut merged = open(dir.path()).row_memo(&key(0), schema()).unwrap();
    assert_eq!(shards(dir.path(), &key(0)).len(), 1);
    let all: Vec<u64> = (0..81).rev().collect();
    check(&mut merged, &all);
    check(&mut memo, &all);
}

#[test]
fn several_writers_share_a_memo() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let root = dir.path();
            scope.spawn(move || {
                let mut memo = open(root).row_memo(&key(0), schema()).unwrap();
                for i in 0..20 {
                    insert(&mut memo, 3 * writer + i..3 * writer + i + 1);
                    memo.flush().unwrap();
                }
            });
        }
    });
    check(&mut open(dir.path()).row_memo(&key(0), schema()).unwrap(), &(0..29).collect::<Vec<_>>());
}

#[test]
fn a_damaged_shard_costs_its_rows_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut memo = store.row_memo(&key(0), schema()).unwrap();
    insert(&mut memo, 0..5);
    memo.flush().unwrap();
    let first = shards(dir.path(), &key(0)).remove(0);
    insert(&mut memo, 5..9);
    drop(memo);
    flip(&first);
    let mut memo = open(dir.path()).row_memo(&key(0), schema()).unwrap();
    assert!((0..5).all(|i| !memo.contains(&key(i))));
    check(&mut memo, &[5, 6, 7, 8]);
    assert_eq!(common::count(dir.path(), "quarantine"), 1);
    insert(&mut memo, 0..5);
    check(&mut memo, &[0, 8]);
}

#[test]
fn memos_of_two_schemas_leave_each_other_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    insert(&mut store.row_memo(&key(0), schema()).unwrap(), 0..5);
    let narrow = |i| rows(i, i + 1).project(&[0]).unwrap();
    let mut other = store.row_memo(&key(0), narrow(0).schema()).unwrap();
    assert!(other.is_empty());
    other.insert(&[key(0)], &[1], &narrow(7)).unwrap();
    drop(other);
    check(&mut store.row_memo(&key(0), schema()).unwrap(), &[0, 1, 2, 3, 4]);
    let mut other = store.row_memo(&key(0), narrow(0).schema()).unwrap();
    assert_eq!(other.get(&[key(0)]).unwrap().unwrap().0, narrow(7));
    other.clear().unwrap();
    assert_eq!(store.row_memo(&key(0), schema()).unwrap().len(), 5);
    assert_eq!(store.verify(&VerifyOptions::default()).unwrap().findings, []);
}

#[test]
fn attempts_go_on_where_they_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut memo = store.stream_memo(&key(0), schema()).unwrap();
    assert!(memo.is_empty());
    memo.append(0, &rows(0, 10)).unwrap();
    memo.flush().unwrap();
    memo.append(8, &rows(8, 15)).unwrap();
    assert_eq!(memo.len(), 15);
    assert_eq!(memo.read(3..12).unwrap(), rows(3, 12));
    memo.append(16, &rows(16, 17)).unwrap();
    assert_eq!(memo.len(), 15, "what lies behind a gap does not count yet");
    drop(memo);
    let mut memo = open(dir.path()).stream_memo(&key(0), schema()).unwrap();
    assert_eq!(memo.read(0..100).unwrap(), rows(0, 15));
    assert_eq!(memo.read(20..30).unwrap().num_rows(), 0);
    memo.append(0, &rows(0, 20)).unwrap();
    assert_eq!(memo.read(14..17).unwrap(), rows(14, 17));
}

#[test]
fn attempts_of_overlapping_writers_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let mut a = a.stream_memo(&key(0), schema()).unwrap();
    let mut b = b.stream_memo(&key(0), schema()).unwrap();
    for i in 0..50 {
        a.append(3 * i as u64, &rows(3 * i, 3 * i + 3)).unwrap();
        a.flush().unwrap();
        b.append(2 * i as u64, &rows(2 * i, 2 * i + 2)).unwrap();
        b.flush().unwrap();
    }
    assert_eq!((a.len(), b.len()), (150, 100));
    drop(a);
    a = open(dir.path()).stream_memo(&key(0), schema()).unwrap();
    assert_eq!(a.read(0..150).unwrap(), rows(0, 150));
    assert_eq!(b.read(0..100).unwrap(), rows(0, 100));
}

#[test]
fn many_small_shards_of_attempts_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut memo = store.stream_memo(&key(0), schema()).unwrap();
    for i in 0..70 {
        memo.append(i, &rows(i as i64, i as i64 + 1)).unwrap();
        memo.flush().unwrap();
    }
    let mut merged = store.stream_memo(&key(0), schema()).unwrap();
    assert_eq!(shards(dir.path(), &key(0)).len(), 1);
    assert_eq!(merged.read(0..70).unwrap(), rows(0, 70));
    assert_eq!(memo.read(0..70).unwrap(), rows(0, 70), "whose shards were merged away");
}

#[test]
fn a_damaged_shard_shortens_the_known_attempts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut memo = store.stream_memo(&key(0), schema()).unwrap();
    for start in [0, 10, 20] {
        memo.append(start, &rows(start as i64, start as i64 + 10)).unwrap();
        memo.flush().unwrap();
    }
    drop(memo);
    flip(&shards(dir.path(), &key(0))[1]);
    let mut memo = store.stream_memo(&key(0), schema()).unwrap();
    assert_eq!(memo.read(0..30).unwrap(), rows(0, 10));
    assert_eq!(memo.len(), 10);
    memo.append(10, &rows(10, 20)).unwrap();
    memo.flush().unwrap();
    drop(memo);
    assert_eq!(store.stream_memo(&key(0), schema()).unwrap().read(0..30).unwrap(), rows(0, 30));
}

#[test]
fn a_memo_takes_in_what_others_write_while_it_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (open(dir.path()), open(dir.path()));
    let mut a = ours.row_memo(&key(0), schema()).unwrap();
    let mut b = theirs.row_memo(&key(0), schema()).unwrap();
    insert(&mut a, 0..3);
    assert_eq!(b.refresh().unwrap(), 0, "not flushed");
    a.flush().unwrap();
    insert(&mut b, 2..4);
    assert_eq!(b.refresh().unwrap(), 2, "two of the three, one is pending here");
    check(&mut b, &[0, 1, 2, 3]);
    assert_eq!(b.refresh().unwrap(), 0);

    let mut a = ours.stream_memo(&key(1), schema()).unwrap();
    let mut b = theirs.stream_memo(&key(1), schema()).unwrap();
    b.append(0, &rows(0, 2)).unwrap();
    a.append(0, &rows(0, 10)).unwrap();
    a.flush().unwrap();
    assert_eq!(b.refresh().unwrap(), 8);
    b.append(10, &rows(10, 12)).unwrap();
    b.flush().unwrap();
    assert_eq!(a.refresh().unwrap(), 2);
    assert_eq!(a.read(0..12).unwrap(), rows(0, 12));
}

/// Rows and attempts of two recipes; returns the directories of their memos.
fn two_recipes(root: &Path) -> [std::path::PathBuf; 2] {
    let store = open(root);
    for n in [0, 1] {
        let mut memo = store.row_memo(&key(n), schema()).unwrap();
        memo.insert(&[key(7)], &[1], &rows(n as i64, n as i64 + 1)).unwrap();
        let mut memo = store.stream_memo(&key(n), schema()).unwrap();
        memo.append(0, &rows(10 * n as i64, 10 * n as i64 + 5)).unwrap();
        memo.flush().unwrap();
        memo.append(5, &rows(10 * n as i64 + 5, 10 * n as i64 + 10)).unwrap();
    }
    [0, 1].map(|n| root.join("v1/memo").join(key(n).to_string()))
}

#[test]
fn a_shard_in_the_memo_of_another_recipe_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = two_recipes(dir.path());
    // The two memos, swapped by name.
    let aside = dir.path().join("aside");
    std::fs::rename(&first, &aside).unwrap();
    std::fs::rename(&second, &first).unwrap();
    std::fs::rename(&aside, &second).unwrap();
    let store = open(dir.path());
    let report = store.verify(&VerifyOptions::default()).unwrap();
    assert_eq!(report.findings.len(), 6, "{:?}", report.findings);
    for n in [0, 1] {
        assert!(!store.row_memo(&key(n), schema()).unwrap().contains(&key(7)));
        let mut memo = store.stream_memo(&key(n), schema()).unwrap();
        assert_eq!(memo.read(0..10).unwrap().num_rows(), 0);
    }
}

#[test]
fn one_shard_that_is_copied_or_renamed_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = two_recipes(dir.path());
    // A single shard, copied into the other memo; and one under the name of other attempts of its own.
    let of = |memo: &Path, part: &str| {
        let name = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_owned();
        let mut all: Vec<_> = std::fs::read_dir(memo).unwrap().map(|e| e.unwrap().path()).collect();
        all.retain(|path| name(path).contains(part));
        (name(&all[0]), all.remove(0))
    };
    let (name, path) = of(&first, "000000000000-000000000005");
    std::fs::remove_file(of(&second, "000000000000-000000000005").1).unwrap();
    std::fs::copy(&path, second.join(name)).unwrap();
    let (name, path) = of(&first, "000000000005-000000000010");
    std::fs::rename(&path, first.join(name.replace("000000000005-000000000010", "000000000005-000000000011"))).unwrap();
    let store = open(dir.path());
    let findings = store.verify(&VerifyOptions::default()).unwrap().findings;
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert_eq!(store.stream_memo(&key(0), schema()).unwrap().read(0..20).unwrap(), rows(0, 5));
    assert_eq!(store.stream_memo(&key(1), schema()).unwrap().read(0..20).unwrap().num_rows(), 0);
}
