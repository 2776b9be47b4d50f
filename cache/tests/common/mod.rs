//! What the store's tests share.
#![allow(dead_code, reason = "every test binary uses another part")]

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::SchemaRef,
};
use pipe_cache::{
    ArtifactRef, Digest, Entry, LeaseAttempt, Lookup, Provenance, ReadOptions, Store, StoreError, StoreOptions,
};

pub fn open(root: &Path) -> Store {
    Store::open(root, StoreOptions::default()).unwrap()
}

pub fn open_read_only(root: &Path) -> Store {
    Store::open(root, StoreOptions { read_only: true }).unwrap()
}

/// The key of that number.
pub fn key(n: u64) -> Digest {
    Digest::of_bytes(&n.to_le_bytes())
}

/// Rows `from..to`: a number and a text that depends on it.
pub fn rows(from: i64, to: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    let texts: ArrayRef =
        Arc::new((from..to).map(|i| (i % 7 != 0).then(|| format!("row {i}"))).collect::<StringArray>());
    RecordBatch::try_from_iter_with_nullable([("number", numbers, false), ("text", texts, true)]).unwrap()
}

pub fn schema() -> SchemaRef {
    rows(0, 0).schema()
}

pub fn provenance(run: &str) -> Provenance {
    Provenance { run_id: run.to_owned(), seconds: 1.5, software: "test 1".to_owned(), ..Provenance::default() }
}

/// Publishes one table on port `rows` under a key.
pub fn try_publish(store: &Store, key: &Digest, batch: &RecordBatch) -> Result<Arc<Entry>, StoreError> {
    let lease = store.wait_lease(key, &|| false)?;
    let publication = store.begin(lease, &["rows"])?;
    let mut writer = publication.table_writer("rows", batch.schema())?;
    writer.write(batch)?;
    writer.finish()?;
    publication.commit(provenance("run"))
}

pub fn publish(store: &Store, key: &Digest, batch: &RecordBatch) -> ArtifactRef {
    try_publish(store, key, batch).unwrap().outputs[0].1
}

/// Publishes a directory of files on port `out`.
pub fn publish_files(store: &Store, key: &Digest, files: &[(&str, &str)]) -> ArtifactRef {
    let lease = store.wait_lease(key, &|| false).unwrap();
    let publication = store.begin(lease, &["out"]).unwrap();
    let dir = publication.files_dir("out").unwrap();
    for (name, content) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    publication.commit(provenance("run")).unwrap().outputs[0].1
}

pub fn hit(store: &Store, key: &Digest) -> Arc<Entry> {
    match store.lookup(key).unwrap() {
        Lookup::Hit(entry) => entry,
        other => panic!("expected a hit, got {other:?}"),
    }
}

pub fn read(store: &Store, table: &ArtifactRef) -> Result<RecordBatch, StoreError> {
    store.open_table(table, &ReadOptions::default())?.read_all()
}

pub fn acquired(attempt: LeaseAttempt) -> pipe_cache::Lease {
    match attempt {
        LeaseAttempt::Acquired(lease) => lease,
        LeaseAttempt::Held(owner) => panic!("held by {owner:?}"),
    }
}

/// The number of entries in a directory of the store's versioned part.
pub fn count(root: &Path, dir: &str) -> usize {
    std::fs::read_dir(root.join("v1").join(dir)).map_or(0, Iterator::count)
}
