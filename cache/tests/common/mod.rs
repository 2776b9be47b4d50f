//! What the store's tests share.
#![allow(dead_code, reason = "every test binary uses another part")]

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::SchemaRef,
};
use pipe_cache::{
    ArtifactRef, Digest, Entry, Lease, LeaseAttempt, Lookup, Provenance, ReadOptions, Store, StoreError, StoreOptions,
};

pub(crate) fn open(root: &Path) -> Store {
    Store::open(root, StoreOptions::default()).unwrap()
}

pub(crate) fn open_read_only(root: &Path) -> Store {
    Store::open(root, StoreOptions::READ_ONLY).unwrap()
}

/// The key of that number.
pub(crate) fn key(n: u64) -> Digest {
    Digest::of_bytes(&n.to_le_bytes())
}

/// Rows `from..to`: a number and a text that depends on it.
pub(crate) fn rows(from: i64, to: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    let texts: ArrayRef =
        Arc::new((from..to).map(|i| (i % 7 != 0).then(|| format!("row {i}"))).collect::<StringArray>());
    RecordBatch::try_from_iter_with_nullable([("number", numbers, false), ("text", texts, true)]).unwrap()
}

pub(crate) fn schema() -> SchemaRef {
    rows(0, 0).schema()
}

pub(crate) fn provenance(run: &str) -> Provenance {
    Provenance { run_id: run.to_owned(), seconds: 1.5, software: "test 1".to_owned(), ..Provenance::default() }
}

/// Takes the lease of a key, waiting for whoever holds it.
pub(crate) fn wait_lease(store: &Store, key: &Digest) -> Result<Lease, StoreError> {
    loop {
        if let LeaseAttempt::Acquired(lease) = store.try_lease(key)? {
            return Ok(lease);
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Publishes one table on port `rows` under a key.
pub(crate) fn try_publish(store: &Store, key: &Digest, batch: &RecordBatch) -> Result<Arc<Entry>, StoreError> {
    let lease = wait_lease(store, key)?;
    let publication = store.begin(lease, &["rows"])?;
    let mut writer = publication.table_writer("rows", batch.schema())?;
    writer.write(batch)?;
    writer.finish()?;
    publication.commit(provenance("run"))
}

pub(crate) fn publish(store: &Store, key: &Digest, batch: &RecordBatch) -> ArtifactRef {
    try_publish(store, key, batch).unwrap().outputs[0].1
}

/// Publishes a directory of files on port `out`.
pub(crate) fn publish_files(store: &Store, key: &Digest, files: &[(&str, &str)]) -> ArtifactRef {
    let lease = wait_lease(store, key).unwrap();
    let publication = store.begin(lease, &["out"]).unwrap();
    let dir = publication.files_dir("out").unwrap();
    for (name, content) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    publication.commit(provenance("run")).unwrap().outputs[0].1
}

pub(crate) fn hit(store: &Store, key: &Digest) -> Arc<Entry> {
    match store.lookup(key).unwrap() {
        Lookup::Hit(entry) => entry,
        other => panic!("expected a hit, got {other:?}"),
    }
}

pub(crate) fn read(store: &Store, table: &ArtifactRef) -> Result<RecordBatch, StoreError> {
    store.open_table(table, &ReadOptions::default())?.read_all()
}

pub(crate) fn acquired(attempt: LeaseAttempt) -> Lease {
    match attempt {
        LeaseAttempt::Acquired(lease) => lease,
        LeaseAttempt::Held(owner) => panic!("held by {owner:?}"),
    }
}

/// The number of entries in a directory of the store's versioned part.
pub(crate) fn count(root: &Path, dir: &str) -> usize {
    std::fs::read_dir(root.join("v1").join(dir)).map_or(0, Iterator::count)
}

/// Lets a test change what the store keeps read-only, as somebody with the right to do so would.
pub(crate) fn unprotect(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(meta.permissions().mode() | 0o200)).unwrap();
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            unprotect(&entry.unwrap().path());
        }
    }
}

/// Overwrites a file of the store in place.
pub(crate) fn overwrite(path: &Path, bytes: impl AsRef<[u8]>) {
    if path.exists() {
        unprotect(path);
    }
    std::fs::write(path, bytes).unwrap();
}

/// Flips a bit of a file of the store.
pub(crate) fn flip(path: &Path, at: usize, bit: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1 << bit;
    overwrite(path, bytes);
}
