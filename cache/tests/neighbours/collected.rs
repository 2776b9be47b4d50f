//! What gc may take, and what it must leave: interrupted and live runs, their rows, sessions of other machines.

use std::{fs, path::Path, time::Duration};

use pipe_cache::{GcPolicy, Lookup, Provenance, Store, StoreOptions, VerifyOptions};

use crate::{
    begun,
    common::{self, acquired, hit, key, open, provenance, publish, publish_files, rows, schema},
    entry,
};

/// As gc is killed after any number of its removals: some manifests are gone, the index names them still, some objects
/// are gone or half gone.
#[test]
fn whatever_gc_has_removed_when_it_is_killed_the_store_runs_right_and_heals() {
    for killed_after in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut steps = Vec::new();
        for n in 0..2 {
            publish(&store, &key(n), &rows(0, n as i64 + 1));
            steps.push(store.layout().manifest(&key(n)));
        }
        for n in 2..4 {
            let files = publish_files(&store, &key(n), &[("a", &n.to_string()), ("b", "x")]);
            steps.insert(n as usize, store.layout().manifest(&key(n)));
            let root = store.layout().artifact(&files);
            steps.extend([root.join("a"), root.join("b")]);
        }
        drop(store);
        for step in &steps[..killed_after] {
            common::unprotect(step.parent().unwrap());
            fs::remove_file(step).unwrap();
        }
        for round in 0..2 {
            let store = open(dir.path());
            for n in 0..4 {
                let found = matches!(store.lookup(&key(n)).unwrap(), Lookup::Hit(_));
                assert_eq!(found, round == 1 || n as usize >= killed_after, "killed after {killed_after}: {n}");
                if !found && n < 2 {
                    publish(&store, &key(n), &rows(0, n as i64 + 1));
                } else if !found {
                    publish_files(&store, &key(n), &[("a", &n.to_string()), ("b", "x")]);
                }
            }
            store.gc(&GcPolicy::default()).unwrap();
            assert_eq!(store.verify(&VerifyOptions::default()).unwrap().findings, [], "killed after {killed_after}");
        }
    }
}

#[test]
fn what_a_run_has_done_is_held_although_it_is_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let run = open(dir.path());
    for n in 0..3 {
        publish(&run, &key(n), &rows(0, n as i64 + 1));
    }
    run.ref_log("p").unwrap().set([entry("a", 0), entry("b", 1)]).unwrap();
    drop(run);
    let policy = GcPolicy { unreachable: true, max_age: Some(Duration::ZERO), ..GcPolicy::default() };
    open(dir.path()).gc(&policy).unwrap();
    let store = open(dir.path());
    assert_eq!(store.pipelines().unwrap(), ["p"]);
    assert_eq!(store.refs("p").unwrap()["v"].len(), 2);
    assert!([0, 1].iter().all(|n| matches!(store.lookup(&key(*n)).unwrap(), Lookup::Hit(_))));
    assert_eq!(store.lookup(&key(2)).unwrap(), Lookup::Miss, "nobody stands at it");

    // The next run goes on, and ends: what it supersedes is let go.
    let mut log = store.ref_log("p").unwrap();
    log.set([entry("a", 0)]).unwrap();
    publish(&store, &key(3), &rows(0, 9));
    log.set([entry("b", 3)]).unwrap();
    store.set_refs("p", &[entry("a", 0), entry("b", 3)]).unwrap();
    assert!(!dir.path().join("v1/refs/p.log").exists());
    assert_eq!(store.refs("p").unwrap()["v"]["b"], key(3));
    drop((log, store));
    open(dir.path()).gc(&policy).unwrap();
    assert_eq!(open(dir.path()).lookup(&key(1)).unwrap(), Lookup::Miss);
}

#[test]
fn what_a_live_run_publishes_is_held_before_it_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    publish(&open(dir.path()), &key(1), &rows(0, 2));
    let old = fs::File::open(open(dir.path()).layout().manifest(&key(1))).unwrap();
    old.set_modified(std::time::SystemTime::now() - Duration::from_mins(1)).unwrap();
    let run = open(dir.path());
    publish(&run, &key(2), &rows(0, 3));
    open(dir.path()).gc(&GcPolicy { unreachable: true, ..GcPolicy::default() }).unwrap();
    hit(&run, &key(2));
    assert_eq!(run.lookup(&key(1)).unwrap(), Lookup::Miss);
}

#[test]
fn the_rows_of_an_interrupted_run_stay_also_where_a_result_is_let_go_that_shared_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fill = |n: u64| store.row_memo(&key(9), schema()).unwrap().insert(&[key(n)], &[1], &rows(0, 1)).unwrap();
    fill(0);
    let publication = store.begin(acquired(store.try_lease(&key(1)).unwrap()), &["rows"]).unwrap();
    publication.table_writer("rows", schema()).unwrap().finish().unwrap();
    publication.commit(Provenance { recipe: Some(key(9)), ..provenance("r") }).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    fill(1);
    let report = store.gc(&GcPolicy { unreachable: true, ..GcPolicy::default() }).unwrap();
    assert_eq!((report.manifests, report.memos), (1, 0));
    assert_eq!(store.row_memo(&key(9), schema()).unwrap().len(), 2);
}

#[test]
fn references_under_the_name_of_another_pipeline_are_damage_and_a_torn_log_keeps_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.set_refs("p", &[entry("a", 0)]).unwrap();
    let refs = dir.path().join("v1/refs");
    fs::rename(refs.join("p.json"), refs.join("q.json")).unwrap();
    assert!(!store.verify(&VerifyOptions::default()).unwrap().is_sound());
    assert!(store.refs("q").unwrap().is_empty());

    let mut log = store.ref_log("p").unwrap();
    log.set([entry("a", 0)]).unwrap();
    log.set([entry("b", 1)]).unwrap();
    let bytes = fs::read(refs.join("p.log")).unwrap();
    fs::write(refs.join("p.log"), &bytes[..bytes.len() - 5]).unwrap();
    assert_eq!(store.refs("p").unwrap()["v"].len(), 1);
    assert!(!store.verify(&VerifyOptions::default()).unwrap().is_sound());
    store.ref_log("p").unwrap().set([entry("c", 2)]).unwrap();
    let stages: Vec<String> = store.refs("p").unwrap().remove("v").unwrap().into_keys().collect();
    assert_eq!(stages, ["a", "c"]);
    fs::write(refs.join("p.log"), b"garbage").unwrap();
    assert!(store.verify(&VerifyOptions { repair: true }).unwrap().is_sound());
    assert!(store.verify(&VerifyOptions::default()).unwrap().is_sound());
}

/// Leaves the marker of a session; returns its directory.
fn session(root: &Path, name: &str, marker: &str, days: u64) -> std::path::PathBuf {
    let dir = root.join("v1/tmp").join(name);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("session"), marker).unwrap();
    let then = std::time::SystemTime::now() - Duration::from_hours(24 * days);
    for path in [dir.join("session"), dir.clone()] {
        fs::File::open(path).unwrap().set_modified(then).unwrap();
    }
    dir
}

#[test]
fn a_session_of_another_machine_lives_as_long_as_it_touches_its_marker() {
    let dir = tempfile::tempdir().unwrap();
    publish(&open(dir.path()), &key(1), &rows(0, 5));
    let foreign = r#"{"pid": 1, "host": "another", "boot": "b", "started_ms": 0}"#;
    let live = session(dir.path(), "live", foreign, 0);
    let gone = session(dir.path(), "gone", foreign, 2);
    drop(common::open_read_only(dir.path()));
    assert!(live.exists() && gone.exists(), "who only reads removes nothing");
    open(dir.path()).gc(&GcPolicy::default()).unwrap();
    assert!(live.exists() && gone.exists(), "its clock may be another");
    // Seen untouched by the time since the boot, which nobody sets: as if that had begun with it.
    let note = gone.join("suspect");
    let mut seen: serde_json::Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    let uptime = seen["at"].as_u64().unwrap();
    seen["at"] = 0.into();
    fs::write(&note, seen.to_string()).unwrap();
    open(dir.path()).gc(&GcPolicy::default()).unwrap();
    assert!(live.exists());
    // A machine that was booted just now has seen nothing for long.
    let booted_long_ago = uptime > 3 * 3600;
    assert!(!booted_long_ago || !gone.exists(), "nobody touched it in {uptime} s");
}

#[test]
fn a_session_of_a_machine_that_is_called_alike_lives_where_its_locks_are_not_seen() {
    let dir = tempfile::tempdir().unwrap();
    let options = || StoreOptions { no_locks: true, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options()).unwrap();
    publish(&store, &key(1), &rows(0, 5));
    let host = pipe_cache::host_name();
    let namesake =
        format!(r#"{{"pid": 1, "host": "{host}", "boot": "its own", "machine": "another", "started_ms": 0}}"#);
    let session = session(dir.path(), "namesake", &namesake, 0);
    drop(Store::open(dir.path(), options()).unwrap());
    assert!(session.exists(), "nothing says that its machine went down");
}

#[test]
fn a_session_of_a_living_process_lives_however_old_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let publication = begun(&store, &key(1), 0);
    let session = fs::read_dir(dir.path().join("v1/tmp")).unwrap().next().unwrap().unwrap().path();
    let then = std::time::SystemTime::now() - Duration::from_hours(72);
    for path in [session.join("session"), session.clone()] {
        fs::File::open(path).unwrap().set_modified(then).unwrap();
    }
    open(dir.path()).gc(&GcPolicy::default()).unwrap();
    publication.commit(provenance("r")).unwrap();
    hit(&store, &key(1));
}
