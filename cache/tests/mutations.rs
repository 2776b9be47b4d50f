//! Files of the store in any state: whatever their bytes, they are read, found damaged or left out, and nothing panics,
//! hangs, or is served wrong. The mutations are drawn from a seed, so that a failure can be repeated.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{hit, key, open, open_read_only, overwrite, publish, publish_files, read, rows, schema};
use pipe_cache::{Hasher, Lookup, RefEntry, Store, VerifyOptions};

const ROUNDS: u64 = 60;

/// Numbers below `bound` that depend on the round and on how many were drawn.
struct Draws {
    round: u64,
    drawn: u64,
}

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.drawn += 1;
        let digest = Hasher::new("mutation").u64(self.round).u64(self.drawn).finish();
        u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap()) as usize % bound.max(1)
    }

    /// The bytes with a few bits flipped, or cut, repeated, spliced or replaced.
    fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(out.len());
            match self.below(6) {
                0 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                1 => out.truncate(at),
                2 => out.extend_from_slice(&bytes[at.min(bytes.len())..]),
                3 => drop(out.drain(at..(at + self.below(40)).min(out.len()))),
                // Lengths and counts of every size.
                4 if out.len() >= at + 4 => {
                    let extreme = [0, 1, u32::MAX, u32::MAX / 2, 1 << 24][self.below(5)];
                    out[at..at + 4].copy_from_slice(&extreme.to_le_bytes());
                }
                _ => out.splice(at..at, (0..self.below(20)).map(|_| 0xff)).for_each(drop),
            }
        }
        out
    }
}

fn entry(stage: &str, n: u64) -> RefEntry {
    RefEntry { variant: "v".to_owned(), stage: stage.to_owned(), key: key(n) }
}

/// A store with something of every sort.
fn filled(root: &Path) -> Store {
    let store = open(root);
    publish(&store, &key(1), &rows(0, 30));
    publish_files(&store, &key(2), &[("a", "1"), ("sub/b", "2")]);
    store.row_memo(&key(3), schema()).unwrap().insert(&[key(7), key(8)], &[2, 1], &rows(0, 3)).unwrap();
    store.stream_memo(&key(4), schema()).unwrap().append(0, &rows(0, 20)).unwrap();
    store.set_refs("p", &[entry("a", 1), entry("b", 2)]).unwrap();
    store.ref_log("p").unwrap().set([entry("c", 1)]).unwrap();
    fs::write(root.join("source"), "x").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    store.content_digest(&root.join("source")).unwrap();
    store
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files_below(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// Whatever the store serves is what was published.
fn check(store: &Store) {
    if let Lookup::Hit(entry) = store.lookup(&key(1)).unwrap()
        && let Ok(found) = read(store, &entry.outputs[0].1)
    {
        assert_eq!(found, rows(0, 30));
    }
    if let Lookup::Hit(entry) = store.lookup(&key(2)).unwrap()
        && let Ok(path) = store.artifact_path(&entry.outputs[0].1)
    {
        assert_eq!(fs::read(path.join("sub/b")).unwrap(), b"2");
    }
    for (stage, at) in store.refs("p").unwrap().remove("v").unwrap_or_default() {
        assert_eq!(at, key(if stage == "b" { 2 } else { 1 }), "{stage}");
    }
    if !store.read_only() {
        let mut memo = store.row_memo(&key(3), schema()).unwrap();
        for (row, from, count) in [(7, 0, 2), (8, 2, 1)] {
            if let Some((found, counts)) = memo.get(&[key(row)]).unwrap() {
                assert_eq!((found, counts), (rows(from, from + i64::from(count)), vec![count]));
            }
        }
        let mut memo = store.stream_memo(&key(4), schema()).unwrap();
        let found = memo.read(0..100).unwrap();
        assert_eq!(found, rows(0, found.num_rows() as i64));
    }
}

#[test]
fn files_in_any_state_are_never_served_wrong_and_always_mended() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let v1 = dir.path().join("v1");
    let pristine: Vec<(PathBuf, Vec<u8>)> = (files_below(&v1).into_iter())
        .map(|path| (path.strip_prefix(&v1).unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    let dirs = ["manifests/", "objects/", "memo/", "refs/", "index", "sources"];
    let hit_by: Vec<_> = pristine
        .iter()
        .filter(|(name, bytes)| !bytes.is_empty() && dirs.iter().any(|dir| name.to_string_lossy().starts_with(dir)))
        .collect();
    assert!(hit_by.len() >= 9, "{hit_by:?}");
    for round in 0..ROUNDS {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("v1");
        for (name, bytes) in &pristine {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), bytes).unwrap();
        }
        let mut draws = Draws { round, drawn: 0 };
        for _ in 0..=draws.below(2) {
            let (name, bytes) = hit_by[draws.below(hit_by.len())];
            overwrite(&root.join(name), draws.mutate(bytes));
        }
        let reading = open_read_only(dir.path());
        check(&reading);
        reading.verify(&VerifyOptions::default()).unwrap();
        let store = open(dir.path());
        check(&store);
        store.content_digest(&dir.path().join("v1/index")).unwrap();
        assert!(store.verify(&VerifyOptions { repair: true }).unwrap().is_sound(), "round {round}");
        assert!(store.verify(&VerifyOptions::default()).unwrap().is_sound(), "round {round}");
        publish(&store, &key(1), &rows(0, 30));
        publish_files(&store, &key(2), &[("a", "1"), ("sub/b", "2")]);
        check(&store);
        hit(&open(dir.path()), &key(1));
    }
}
