//! Damage is noticed, put aside and healed by publishing again; what is sound stays served.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{
    count, flip, hit, key, open, open_read_only, overwrite, publish, publish_files, read, rows, try_publish, unprotect,
};
use pipe_cache::{ArtifactRef, Digest, Finding, Lookup, Store, StoreError, VerifyOptions};

fn object(store: &Store, artifact: &ArtifactRef) -> PathBuf {
    store.layout().artifact(artifact)
}

fn assert_damaged(result: Result<impl Sized, StoreError>, reason: &str) {
    match result.map(|_| ()) {
        Err(StoreError::Damaged(damage)) => assert!(damage.reason.contains(reason), "{damage}"),
        other => panic!("expected damage, got {other:?}"),
    }
}

fn damaged_reason(store: &Store, key: &Digest) -> String {
    match store.lookup(key).unwrap() {
        Lookup::Damaged(damage) => damage.reason,
        other => panic!("expected damage, got {other:?}"),
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_table_is_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let table = publish(&open(dir.path()), &key(1), &rows(0, 20));
    for at in (0..table.bytes as usize).step_by(37) {
        let store = open(dir.path());
        flip(&object(&store, &table), at, (at % 8) as u8);
        hit(&store, &key(1));
        assert_damaged(read(&store, &table), "its bytes hash to");
        assert_eq!(damaged_reason(&store, &key(1)), "it is missing", "quarantined");
        assert_eq!(publish(&store, &key(1), &rows(0, 20)), table);
        assert_eq!(read(&store, &table).unwrap(), rows(0, 20));
    }
}

#[test]
fn truncated_and_deleted_objects_are_noticed_by_the_lookup() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = publish(&store, &key(1), &rows(0, 20));
    let path = object(&store, &table);
    overwrite(&path, &fs::read(&path).unwrap()[..100]);
    assert_eq!(damaged_reason(&store, &key(1)), format!("it has 100 bytes instead of {}", table.bytes));
    assert_damaged(read(&store, &table), "it has 100 bytes");
    publish(&store, &key(1), &rows(0, 20));
    fs::remove_file(&path).unwrap();
    assert_eq!(damaged_reason(&store, &key(1)), "it is missing");
    assert_damaged(read(&store, &table), "it is missing");
    publish(&store, &key(1), &rows(0, 20));
    hit(&open(dir.path()), &key(1));
}

#[test]
fn files_artifacts_are_verified_file_by_file() {
    let dir = tempfile::tempdir().unwrap();
    let files = [("a", "1"), ("sub/b", "2")];
    let artifact = publish_files(&open(dir.path()), &key(1), &files);
    let changes: [fn(&Path); 4] = [
        |root| fs::write(root.join("sub/b"), "3").unwrap(),
        |root| fs::remove_file(root.join("a")).unwrap(),
        |root| fs::write(root.join("c"), "").unwrap(),
        |root| fs::remove_dir_all(root).unwrap(),
    ];
    for change in changes {
        let store = open(dir.path());
        unprotect(&object(&store, &artifact));
        change(&object(&store, &artifact));
        assert_damaged(store.artifact_path(&artifact), "");
        assert_eq!(publish_files(&store, &key(1), &files), artifact);
        assert!(store.artifact_path(&artifact).is_ok());
    }
}

#[test]
fn publishing_replaces_a_damaged_object_that_nobody_has_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = publish(&store, &key(1), &rows(0, 20));
    let files = publish_files(&store, &key(2), &[("a", "1")]);
    flip(&object(&store, &table), 50, 0);
    overwrite(&object(&store, &files).join("a"), "2");
    let other = open(dir.path());
    publish(&other, &key(3), &rows(0, 20));
    publish_files(&other, &key(4), &[("a", "1")]);
    assert_eq!(read(&open(dir.path()), &table).unwrap(), rows(0, 20));
    assert_eq!(fs::read(open(dir.path()).artifact_path(&files).unwrap().join("a")).unwrap(), b"1");
}

#[test]
fn broken_manifests_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = publish(&store, &key(1), &rows(0, 20));
    publish(&store, &key(2), &rows(0, 20));
    let path = store.layout().manifest(&key(1));
    let sound = fs::read(&path).unwrap();
    let check = |content: &[u8], reason: &str| {
        overwrite(&path, content);
        fs::remove_file(dir.path().join("v1/index")).unwrap();
        let store = open(dir.path());
        assert!(damaged_reason(&store, &key(1)).contains(reason), "{}", damaged_reason(&store, &key(1)));
        assert_eq!(store.manifest(&key(1)).unwrap(), None);
        publish(&store, &key(1), &rows(0, 20));
        assert_eq!(hit(&open(dir.path()), &key(1)).outputs[0].1, table);
    };
    check(b"", "it is empty");
    check(b"garbage", "do not match the check");
    check(&sound[..sound.len() / 2], "do not match the check");
    let text = String::from_utf8(sound.clone()).unwrap();
    check(text.replace("\"rows\": 20", "\"rows\": 21").as_bytes(), "do not match the check");
    check(&fs::read(store.layout().manifest(&key(2))).unwrap(), "it is the manifest of key");
}

#[test]
fn a_manifest_from_the_future_is_reported_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let future = br#"{"check": "by other means", "format": 7, "novelty": true}"#;
    let path = store.layout().manifest(&key(1));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, future).unwrap();
    assert_eq!(store.lookup(&key(1)).unwrap(), Lookup::Future { format: 7 });
    let findings = store.verify(&VerifyOptions::default()).unwrap().findings;
    assert_eq!(findings, [Finding::Future { path: path.clone(), format: 7 }]);
    store.gc(&pipe_cache::GcPolicy { unreachable: true, ..pipe_cache::GcPolicy::default() }).unwrap();
    assert_eq!(fs::read(&path).unwrap(), future, "gc leaves it");

    publish(&store, &key(1), &rows(0, 3));
    hit(&store, &key(1));
    let kept = fs::read_dir(dir.path().join("v1/quarantine")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read(kept).unwrap(), future);
}

#[test]
fn a_read_only_store_serves_hits_and_refuses_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let table = publish(&open(dir.path()), &key(1), &rows(0, 20));
    let before = fs::metadata(dir.path().join("v1/index")).unwrap().modified().unwrap();
    let store = open_read_only(dir.path());
    hit(&store, &key(1));
    assert_eq!(read(&store, &table).unwrap(), rows(0, 20));
    let error = try_publish(&store, &key(2), &rows(0, 1)).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    assert!(error.to_string().ends_with("the store is read-only"), "{error}");
    assert!(matches!(store.gc(&pipe_cache::GcPolicy::default()), Err(StoreError::ReadOnly { .. })));
    assert!(store.verify(&VerifyOptions::default()).unwrap().findings.is_empty());
    flip(&object(&store, &table), 50, 0);
    assert_damaged(read(&open_read_only(dir.path()), &table), "its bytes hash to");
    assert!(object(&store, &table).exists(), "nothing is moved");
    drop(store);
    assert_eq!(fs::metadata(dir.path().join("v1/index")).unwrap().modified().unwrap(), before);
    assert_eq!(count(dir.path(), "tmp"), 0);
}

#[test]
fn a_missing_store_is_empty_when_it_is_only_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_read_only(&dir.path().join("none"));
    assert_eq!(store.lookup(&key(1)).unwrap(), Lookup::Miss);
    assert!(store.pipelines().unwrap().is_empty() && store.keys().unwrap().is_empty());
    drop(store);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
