//! What gc removes and keeps, and what verify finds and repairs.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use common::{
    acquired, count, flip, hit, key, open, overwrite, provenance, publish, publish_files, read, rows, schema,
};
use pipe_cache::{ArtifactRef, Digest, Finding, GcPolicy, Lookup, Provenance, RefEntry, Store, VerifyOptions};

fn refer(store: &Store, stage: &str, n: u64) {
    store.set_refs("p", &[RefEntry { variant: "v".to_owned(), stage: stage.to_owned(), key: key(n) }]).unwrap();
}

/// Makes results look as if they had been published and last used that many days ago, in the order given.
fn age(root: &Path, keys: &[(u64, u64)]) {
    for (n, days) in keys {
        let path = open(root).layout().manifest(&key(*n));
        let then = SystemTime::now() - Duration::from_secs(days * 86_400);
        fs::File::open(path).unwrap().set_modified(then).unwrap();
    }
    fs::remove_file(root.join("v1/index")).unwrap();
    drop(open(root));
}

fn present(store: &Store, keys: std::ops::Range<u64>) -> Vec<u64> {
    keys.filter(|n| matches!(store.lookup(&key(*n)).unwrap(), Lookup::Hit(_))).collect()
}

fn clean(store: &Store) {
    assert_eq!(store.verify(&VerifyOptions::default()).unwrap().findings, []);
}

#[test]
fn the_default_keeps_all_results() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    publish(&store, &key(1), &rows(0, 9));
    publish_files(&store, &key(2), &[("f", "x")]);
    let report = store.gc(&GcPolicy::default()).unwrap();
    assert_eq!((report.manifests, report.objects, report.freed_bytes), (0, 0, 0));
    assert!(report.kept_bytes > 0);
    assert_eq!(present(&store, 0..4), [1, 2]);
    clean(&store);
}

#[test]
fn unreachable_results_go_but_not_the_objects_they_share() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 1..4 {
        publish(&store, &key(n), &rows(0, if n == 3 { 30 } else { 9 }));
    }
    refer(&store, "a", 1);
    let policy = GcPolicy { unreachable: true, dry_run: true, ..GcPolicy::default() };
    let planned = store.gc(&policy).unwrap();
    assert_eq!(present(&store, 0..5), [1, 2, 3], "a dry run");
    let done = store.gc(&GcPolicy { dry_run: false, ..policy }).unwrap();
    assert_eq!(planned, done);
    assert_eq!((done.manifests, done.objects), (2, 1));
    for store in [store, open(dir.path())] {
        assert_eq!(present(&store, 0..5), [1]);
        assert_eq!(read(&store, &hit(&store, &key(1)).outputs[0].1).unwrap(), rows(0, 9));
        clean(&store);
    }
}

#[test]
fn old_results_go_unless_referenced_or_used() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 1..5 {
        publish(&store, &key(n), &rows(0, n as i64));
    }
    refer(&store, "a", 1);
    drop(store);
    age(dir.path(), &[(1, 30), (2, 30), (3, 30), (4, 2)]);
    hit(&open(dir.path()), &key(3));
    let store = open(dir.path());
    let max_age = Some(Duration::from_hours(240));
    store.gc(&GcPolicy { max_age, ..GcPolicy::default() }).unwrap();
    assert_eq!(present(&store, 0..6), [1, 3, 4]);
    drop(store);
    age(dir.path(), &[(1, 30)]);
    let store = open(dir.path());
    hit(&store, &key(3));
    store.gc(&GcPolicy { max_age, even_reachable: true, ..GcPolicy::default() }).unwrap();
    assert_eq!(present(&store, 0..6), [3, 4]);
}

#[test]
fn the_least_recently_used_go_first_until_the_rest_fits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 1..5 {
        publish(&store, &key(n), &rows(0, n as i64));
    }
    refer(&store, "a", 1);
    drop(store);
    age(dir.path(), &[(1, 9), (2, 3), (3, 8), (4, 1)]);
    let store = open(dir.path());
    let all = store.gc(&GcPolicy::default()).unwrap().kept_bytes;
    let done = store.gc(&GcPolicy { max_bytes: Some(all - 1), ..GcPolicy::default() }).unwrap();
    assert_eq!(done.kept_bytes + done.freed_bytes, all);
    assert_eq!(present(&store, 0..6), [1, 2, 4]);
    store.gc(&GcPolicy { max_bytes: Some(0), ..GcPolicy::default() }).unwrap();
    assert_eq!(present(&store, 0..6), [1], "referenced");
    store.gc(&GcPolicy { max_bytes: Some(0), even_reachable: true, ..GcPolicy::default() }).unwrap();
    assert_eq!(present(&store, 0..6), [0; 0]);
    clean(&store);
}

/// A result under `n` that came through the memo of recipe `n`.
fn publish_through_memo(store: &Store, n: u64) -> ArtifactRef {
    let mut memo = store.row_memo(&key(n), schema()).unwrap();
    memo.insert(&[key(0)], &[1], &rows(0, 1)).unwrap();
    drop(memo);
    let publication = store.begin(acquired(store.try_lease(&key(n)).unwrap()), &["rows"]).unwrap();
    publication.table_writer("rows", schema()).unwrap().finish().unwrap();
    publication.commit(Provenance { recipe: Some(key(n)), ..provenance("r") }).unwrap().outputs[0].1
}

#[test]
fn memos_go_with_their_results_and_unfinished_work_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    publish_through_memo(&store, 1);
    publish_through_memo(&store, 2);
    publish_through_memo(&store, 3);
    refer(&store, "a", 1);
    let unfinished = store.row_memo(&key(9), schema()).unwrap();
    drop(unfinished);
    let open_now = store.row_memo(&key(3), schema()).unwrap();
    let has = |n: u64| dir.path().join("v1/memo").join(key(n).to_string()).exists();
    let policy = GcPolicy { unreachable: true, ..GcPolicy::default() };
    let report = store.gc(&policy).unwrap();
    assert_eq!((report.manifests, report.memos), (2, 1));
    assert_eq!([has(1), has(2), has(3), has(9)], [true, false, true, true]);
    assert!(open_now.contains(&key(0)));
    drop(open_now);
    store.gc(&GcPolicy { max_bytes: Some(0), ..GcPolicy::default() }).unwrap();
    assert_eq!([has(1), has(3), has(9)], [true, false, false]);
    assert_eq!(store.row_memo(&key(1), schema()).unwrap().len(), 1);
}

#[test]
fn work_directories_stay_until_the_key_is_published_or_they_are_old() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let begin = |n: u64| store.begin(acquired(store.try_lease(&key(n)).unwrap()), &["out"]).unwrap();
    for n in 1..4 {
        fs::write(begin(n).work_dir().unwrap().join("checkpoint"), "x").unwrap();
    }
    let left = || [1, 2, 3].map(|n| dir.path().join("v1/work").join(key(n).to_string()).exists());
    store.gc(&GcPolicy { unreachable: true, ..GcPolicy::default() }).unwrap();
    assert_eq!(left(), [true, true, true]);

    let publication = begin(1);
    publication.files_dir("out").unwrap();
    publication.commit(provenance("r")).unwrap();
    assert_eq!(left(), [false, true, true]);
    fs::create_dir(dir.path().join("v1/work").join(key(1).to_string())).unwrap();
    assert_eq!(store.gc(&GcPolicy::default()).unwrap().leftovers, 1);
    assert_eq!(left(), [false, true, true]);

    let working = begin(2);
    std::thread::sleep(Duration::from_millis(5));
    store.gc(&GcPolicy { max_age: Some(Duration::from_millis(1)), ..GcPolicy::default() }).unwrap();
    assert_eq!(left(), [false, true, false], "a live process is at work on the second");
    assert!(working.work_dir().unwrap().join("checkpoint").exists());
}

#[test]
fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let living = store.begin(acquired(store.try_lease(&key(1)).unwrap()), &["out"]).unwrap();
    let files = living.files_dir("out").unwrap();
    fs::write(files.join("f"), "x").unwrap();
    let dead = dir.path().join("v1/tmp/dead");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("session"), "{}").unwrap();
    // Killed before it had its marker.
    let unborn = dir.path().join("v1/tmp/unborn");
    fs::create_dir(&unborn).unwrap();
    fs::write(dir.path().join("v1/leases").join(key(7).to_string()), "{}").unwrap();
    let orphan = dir.path().join("v1/objects/00");
    fs::create_dir_all(&orphan).unwrap();
    let orphan = orphan.join(format!("{}.parquet", Digest::from_bytes([0; 32])));
    fs::write(&orphan, "rows").unwrap();

    let findings = store.verify(&VerifyOptions::default()).unwrap().findings;
    let left = |path: &PathBuf| Finding::Leftover { path: path.clone() };
    assert_eq!(findings, [Finding::Orphan { path: orphan.clone() }, left(&dead), left(&unborn)]);
    let report = store.gc(&GcPolicy::default()).unwrap();
    assert_eq!((report.leftovers, report.objects), (3, 1));
    assert!(!dead.exists() && !unborn.exists() && !orphan.exists() && files.join("f").exists());
    clean(&store);
    living.commit(provenance("r")).unwrap();
    hit(&store, &key(1));
}

#[test]
fn after_the_machine_went_down_torn_results_are_dropped_when_the_store_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let torn = publish(&store, &key(1), &rows(0, 9));
    publish(&store, &key(2), &rows(0, 30));
    let torn = store.layout().artifact(&torn);
    drop(store);
    // As a power failure leaves it: the name is there and the size, the bytes are not; and the session's marker.
    overwrite(&torn, vec![0; fs::metadata(&torn).unwrap().len() as usize]);
    let session = dir.path().join("v1/tmp/s1");
    fs::create_dir(&session).unwrap();
    let host = pipe_cache::host_name();
    let marker = format!(r#"{{"pid": 1, "host": "{host}", "boot": "an earlier one", "started_ms": 0}}"#);
    fs::write(session.join("session"), marker).unwrap();

    let store = open(dir.path());
    assert_eq!(store.recovered().len(), 1);
    assert_eq!(present(&store, 0..3), [2]);
    assert!(!session.exists());
    assert!(open(dir.path()).recovered().is_empty());
}

#[test]
fn verify_finds_every_damage_and_repairs_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = publish(&store, &key(1), &rows(0, 9));
    publish(&store, &key(2), &rows(0, 9));
    let missing = publish(&store, &key(3), &rows(0, 30));
    publish(&store, &key(4), &rows(0, 40));
    publish_through_memo(&store, 5);
    refer(&store, "a", 1);
    let sound = store.verify(&VerifyOptions::default()).unwrap();
    assert_eq!((sound.manifests, sound.objects, sound.shards, sound.findings.len()), (5, 4, 1, 0));

    let flip = |path: &Path| {
        flip(path, fs::metadata(path).unwrap().len() as usize / 2, 0);
        path.to_owned()
    };
    let memo = dir.path().join("v1/memo").join(key(5).to_string());
    let shard = fs::read_dir(memo).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some()).unwrap();
    let mut damaged = vec![
        flip(&store.layout().artifact(&table)),
        flip(&store.layout().manifest(&key(4))),
        flip(&shard),
        flip(&dir.path().join("v1/refs/p.json")),
        store.layout().artifact(&missing),
    ];
    fs::remove_file(&damaged[4]).unwrap();
    damaged.sort();
    let report = store.verify(&VerifyOptions { repair: true }).unwrap();
    let mut found = Vec::new();
    for finding in report.repaired.iter().chain(&report.findings) {
        match finding {
            Finding::Damaged { path, keys, .. } => {
                found.push(path.clone());
                if *path == store.layout().artifact(&table) {
                    let mut both = [key(1), key(2)];
                    both.sort();
                    assert_eq!(keys, &both);
                }
            }
            // What the damaged manifest names.
            Finding::Orphan { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(found, damaged);
    assert!(report.is_sound());

    let store = open(dir.path());
    assert_eq!(present(&store, 0..6), [5]);
    assert!(store.verify(&VerifyOptions::default()).unwrap().is_sound());
    store.gc(&GcPolicy::default()).unwrap();
    clean(&store);
    for part in ["quarantine", "leases"] {
        assert_eq!(count(dir.path(), part), 0, "{part}");
    }
}
