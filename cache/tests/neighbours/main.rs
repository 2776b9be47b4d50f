//! Hostile neighbours: processes that come back late, that write where they must not, that are collected or killed
//! beside us.

mod collected;
#[path = "../common/mod.rs"]
mod common;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use common::{
    acquired, count, flip, hit, key, open, overwrite, provenance, publish, publish_files, read, rows, schema,
};
use pipe_cache::{
    Digest, Finding, GcPolicy, Lookup, Publication, RefEntry, ResultLink, Store, StoreError, VerifyOptions,
};

/// A publication of `rows` under a key, ready to be committed.
fn begun(store: &Store, key: &Digest, from: i64) -> Publication {
    let publication = store.begin(acquired(store.try_lease(key).unwrap()), &["rows"]).unwrap();
    let mut writer = publication.table_writer("rows", schema()).unwrap();
    writer.write(&rows(from, from + 10)).unwrap();
    writer.finish().unwrap();
    publication
}

/// The lease's file goes, as when a successor takes it over from a process that was stopped for long.
fn taken_over(root: &Path, key: &Digest) {
    fs::remove_file(root.join("v1/leases").join(key.to_string())).unwrap();
}

fn entry(stage: &str, n: u64) -> RefEntry {
    RefEntry { variant: "v".to_owned(), stage: stage.to_owned(), key: key(n) }
}

#[test]
fn a_late_process_does_not_publish_over_its_successor_and_leaves_it_its_work() {
    let dir = tempfile::tempdir().unwrap();
    let (late, successor) = (open(dir.path()), open(dir.path()));
    let mut slow = begun(&late, &key(1), 0);
    taken_over(dir.path(), &key(1));
    let quick = begun(&successor, &key(1), 50);
    assert!(quick.lease().token() >= slow.lease().token() && !slow.lease().is_current());
    let won = quick.commit(provenance("successor")).unwrap();
    assert_eq!(*slow.commit(provenance("late")).unwrap(), *won, "the loser takes the winner's");
    for store in [&late, &successor, &open(dir.path())] {
        assert_eq!(*hit(store, &key(1)), *won);
        assert_eq!(read(store, &won.outputs[0].1).unwrap(), rows(50, 60));
        assert_eq!(store.manifest(&key(1)).unwrap().unwrap().provenance.run_id, "successor");
    }
    assert_eq!(successor.verify(&VerifyOptions::default()).unwrap().findings, [], "not even an orphan");

    // The late one first: then the successor is the loser, and goes on to have its work directory until it ends.
    slow = begun(&late, &key(2), 0);
    taken_over(dir.path(), &key(2));
    let quick = begun(&successor, &key(2), 50);
    fs::write(quick.work_dir().unwrap().join("checkpoint"), "x").unwrap();
    let won = slow.commit(provenance("late")).unwrap();
    assert!(quick.work_dir().unwrap().join("checkpoint").exists());
    assert!(matches!(successor.try_lease(&key(2)).unwrap(), pipe_cache::LeaseAttempt::Held(_)), "it holds its lease");
    assert_eq!(*quick.commit(provenance("successor")).unwrap(), *won);
}

#[test]
fn a_process_that_is_stopped_before_it_begins_replaces_nothing_either() {
    let dir = tempfile::tempdir().unwrap();
    let (late, successor) = (open(dir.path()), open(dir.path()));
    let lease = acquired(late.try_lease(&key(1)).unwrap());
    taken_over(dir.path(), &key(1));
    let won = begun(&successor, &key(1), 50).commit(provenance("successor")).unwrap();
    let publication = late.begin(lease, &["rows"]).unwrap();
    let mut writer = publication.table_writer("rows", schema()).unwrap();
    writer.write(&rows(0, 10)).unwrap();
    writer.finish().unwrap();
    assert_eq!(*publication.commit(provenance("late")).unwrap(), *won);
    assert_eq!(*hit(&open(dir.path()), &key(1)), *won);
}

#[test]
fn what_is_computed_again_on_purpose_replaces_what_was_there_and_nothing_newer() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (open(dir.path()), open(dir.path()));
    publish(&ours, &key(1), &rows(0, 5));
    let again = begun(&ours, &key(1), 7).commit(provenance("again")).unwrap();
    assert_eq!(*hit(&theirs, &key(1)), *again);

    let slow = begun(&ours, &key(1), 0);
    taken_over(dir.path(), &key(1));
    let newer = begun(&theirs, &key(1), 20).commit(provenance("newer")).unwrap();
    assert_eq!(*slow.commit(provenance("slow")).unwrap(), *newer);
}

#[test]
fn stored_files_are_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = publish(&store, &key(1), &rows(0, 5));
    let files = publish_files(&store, &key(2), &[("sub/a", "1"), ("b", "2")]);
    let root = store.layout().artifact(&files);
    let memo = dir.path().join("v1/memo").join(key(3).to_string());
    store.row_memo(&key(3), schema()).unwrap().insert(&[key(0)], &[1], &rows(0, 1)).unwrap();
    let shard = fs::read_dir(memo).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some()).unwrap();
    for path in [
        store.layout().artifact(&table),
        store.layout().manifest(&key(1)),
        root.join("sub/a"),
        root.join("sub"),
        root.clone(),
        shard,
    ] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o222, 0, "{} {mode:o}", path.display());
    }
    // What is read-only can be removed by gc.
    store.gc(&GcPolicy { unreachable: true, ..GcPolicy::default() }).unwrap();
    assert!(!root.exists());
}

#[test]
fn a_change_of_stored_files_is_noticed_in_the_same_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let files = [("a", "1"), ("sub/b", "2")];
    let changes: [fn(&Path); 4] = [
        |root| overwrite(&root.join("sub/b"), "3"),
        |root| fs::write(root.join("sub/c"), "more").unwrap(),
        |root| fs::remove_file(root.join("a")).unwrap(),
        |root| fs::rename(root.join("a"), root.join("z")).unwrap(),
    ];
    for change in changes {
        let artifact = publish_files(&store, &key(1), &files);
        let root = store.artifact_path(&artifact).unwrap();
        // Long after: the times of the files say nothing of when they were verified.
        std::thread::sleep(Duration::from_millis(60));
        store.artifact_path(&artifact).unwrap();
        common::unprotect(&root);
        change(&root);
        let error = store.artifact_path(&artifact).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        assert!(matches!(store.lookup(&key(1)).unwrap(), Lookup::Damaged(_)));
    }
}

#[test]
fn a_table_that_is_changed_in_place_is_noticed_in_the_same_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = publish(&store, &key(1), &rows(0, 50));
    read(&store, &table).unwrap();
    std::thread::sleep(Duration::from_millis(60));
    flip(&store.layout().artifact(&table), 60, 1);
    assert!(matches!(read(&store, &table), Err(StoreError::Damaged(_))));
}

#[test]
fn a_file_that_has_another_name_outside_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store"));
    let outside = dir.path().join("mine");
    fs::write(&outside, "one").unwrap();
    let publication = store.begin(acquired(store.try_lease(&key(1)).unwrap()), &["out"]).unwrap();
    fs::hard_link(&outside, publication.files_dir("out").unwrap().join("theirs")).unwrap();
    let artifact = publication.commit(provenance("r")).unwrap().outputs[0].1;
    fs::write(&outside, "two").unwrap();
    assert_eq!(fs::read(store.artifact_path(&artifact).unwrap().join("theirs")).unwrap(), b"one");
}

#[test]
fn a_file_that_is_still_written_to_when_its_stage_has_ended_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let publication = store.begin(acquired(store.try_lease(&key(1)).unwrap()), &["out"]).unwrap();
    let path = publication.files_dir("out").unwrap().join("log");
    let stop = std::sync::atomic::AtomicBool::new(false);
    // Long to read, so that the writer has its turn meanwhile however busy the machine is.
    let mut file = fs::File::create(&path).unwrap();
    file.set_len(128 << 20).unwrap();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::io::Write::write_all(&mut file, &[1]).unwrap();
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let result = publication.commit(provenance("r"));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        result
    });
    let error = std::error::Error::source(&result.unwrap_err()).unwrap().to_string();
    assert!(error.contains("still being written"), "{error}");
    assert_eq!(store.lookup(&key(1)).unwrap(), Lookup::Miss);
}

#[test]
fn the_index_is_not_trusted_without_its_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = publish(&store, &key(1), &rows(0, 5));
    let path = store.layout().manifest(&key(1));
    let sound = fs::read(&path).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    fs::remove_file(&path).unwrap();
    for store in [&store, &open(dir.path()), &common::open_read_only(dir.path())] {
        assert_eq!(store.lookup(&key(1)).unwrap(), Lookup::Miss);
    }
    fs::write(&path, &sound).unwrap();
    assert_eq!(hit(&open(dir.path()), &key(1)).outputs[0].1, table);
    std::thread::sleep(Duration::from_millis(10));
    flip(&path, sound.len() / 2, 0);
    for store in [&store, &open(dir.path()), &common::open_read_only(dir.path())] {
        assert!(matches!(store.lookup(&key(1)).unwrap(), Lookup::Damaged(_)));
    }
    publish(&store, &key(1), &rows(0, 5));
    assert_eq!(hit(&open(dir.path()), &key(1)).outputs[0].1, table);
}

#[test]
fn what_has_the_name_of_something_else_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = publish(&store, &key(1), &rows(0, 5));
    let files = publish_files(&store, &key(2), &[("a", "1")]);
    store.row_memo(&key(3), schema()).unwrap().insert(&[key(0)], &[1], &rows(0, 1)).unwrap();
    store.set_refs("p", &[entry("a", 1)]).unwrap();
    let v1 = dir.path().join("v1");
    let hex = key(4).to_string();
    let directories = [
        v1.join("index"),
        v1.join("sources"),
        v1.join("lock"),
        v1.join("births"),
        v1.join("refs/.lock"),
        v1.join("refs/p.json"),
        v1.join("leases").join(&hex),
        v1.join("manifests").join(&hex[..2]).join(format!("{hex}.json")),
        store.layout().artifact(&table),
        v1.join("memo").join(key(3).to_string()).join("lock"),
    ];
    let plain = [store.layout().artifact(&files), v1.join("memo").join(key(5).to_string()), v1.join("logs")];
    drop(store);
    for path in &directories {
        drop(fs::remove_file(path));
        fs::create_dir_all(path.join("inside")).unwrap();
    }
    for path in &plain {
        if path.exists() {
            common::unprotect(path);
            fs::remove_dir_all(path).unwrap();
        }
        fs::write(path, "x").unwrap();
    }
    let store = open(dir.path());
    assert!(!store.verify(&VerifyOptions::default()).unwrap().is_sound());
    assert_eq!(publish(&store, &key(1), &rows(0, 5)), table);
    assert_eq!(publish_files(&store, &key(2), &[("a", "1")]), files);
    publish(&store, &key(4), &rows(0, 6));
    assert_eq!(store.row_memo(&key(3), schema()).unwrap().len(), 1);
    store.row_memo(&key(5), schema()).unwrap();
    assert!(store.refs("p").unwrap().is_empty());
    store.set_refs("p", &[entry("a", 1)]).unwrap();
    store.content_digest(&dir.path().join("CACHEDIR.TAG")).unwrap();
    store.gc(&GcPolicy::default()).unwrap();
    assert_eq!(store.verify(&VerifyOptions::default()).unwrap().findings, []);
    hit(&open(dir.path()), &key(4));
}

#[test]
fn verify_reads_every_file_and_goes_on_after_what_it_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    publish(&store, &key(1), &rows(0, 5));
    let v1 = dir.path().join("v1");
    fs::create_dir_all(v1.join("runs/states")).unwrap();
    fs::create_dir_all(v1.join("work").join(key(7).to_string())).unwrap();
    let writes = [
        ("runs/a.jsonl", "{}\nnot json\n{}\n"),
        ("runs/b.jsonl", "{}\n{\"cut by a ki"),
        ("runs/states/c.json", "{"),
        ("sources", "garbage"),
    ];
    for (name, text) in writes {
        fs::write(v1.join(name), text).unwrap();
    }
    // Leads to itself: cannot be opened, not even by root.
    let loops = v1.join("work").join(key(7).to_string()).join("loop");
    std::os::unix::fs::symlink(&loops, &loops).unwrap();
    let early = v1.join("manifests").join("00");
    fs::create_dir_all(&early).unwrap();
    let unreadable = early.join(format!("{}.json", Digest::from_bytes([0; 32])));
    std::os::unix::fs::symlink(&unreadable, &unreadable).unwrap();
    flip(&store.layout().artifact(&hit(&store, &key(1)).outputs[0].1), 40, 1);
    let report = open(dir.path()).verify(&VerifyOptions::default()).unwrap();
    let found = |name: &str| {
        report.findings.iter().any(|finding| match finding {
            Finding::Damaged { path, .. } | Finding::Unreadable { path, .. } => path.to_string_lossy().contains(name),
            _ => false,
        })
    };
    for name in ["runs/a.jsonl", "states/c.json", "sources", "loop", "manifests/00", "objects/"] {
        assert!(found(name), "{name}: {:?}", report.findings);
    }
    assert!(!found("b.jsonl"), "a kill cut its last line");
    assert!(report.others >= 6);

    fs::remove_file(loops).unwrap();
    fs::remove_file(unreadable).unwrap();
    assert!(store.verify(&VerifyOptions { repair: true }).unwrap().is_sound());
    assert!(store.verify(&VerifyOptions::default()).unwrap().is_sound());
}

#[test]
fn what_a_killed_process_left_among_the_links_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store"));
    let table = publish(&store, &key(1), &rows(0, 5));
    let results = dir.path().join("results");
    let link = ResultLink { path: "p/v/stage.parquet".into(), artifact: table };
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    let pid = dead.id();
    dead.wait().unwrap();
    store.link_results(&results, std::slice::from_ref(&link)).unwrap();
    let strays = [".stage.parquet", ".other.parquet", ".model"].map(|name| results.join(format!("p/v/{name}.{pid}")));
    for (n, stray) in strays.iter().enumerate() {
        if n == 2 { fs::create_dir(stray).unwrap() } else { std::os::unix::fs::symlink("nowhere", stray).unwrap() }
    }
    let kept =
        [".hidden".to_owned(), ".notes.txt".to_owned(), format!(".being-made.{}", std::os::unix::process::parent_id())];
    for name in &kept {
        fs::write(results.join("p/v").join(name), "x").unwrap();
    }
    store.link_results(&results, &[link]).unwrap();
    assert!(strays.iter().all(|stray| stray.symlink_metadata().is_err()));
    assert!(kept.iter().all(|name| results.join("p/v").join(name).exists()));
    assert_eq!(count(&dir.path().join("store"), "tmp"), 1);
}
