//! Any bytes in place of a file of the store: manifests, objects, rows and attempts that are kept, references, the
//! index. It is read, found damaged or left out, and mended. `cargo +nightly fuzz run --fuzz-dir tests/fuzz store`
//!
//! The first byte chooses the file.

#![no_main]

use std::{cell::LazyCell, collections::BTreeMap, fs, path::Path, sync::Arc};

use arrow::{
    array::{Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use libfuzzer_sys::fuzz_target;
use pipe_cache::{Digest, LeaseAttempt, Provenance, RefEntry, Store, StoreOptions, VerifyOptions};

fn key(n: u64) -> Digest {
    Digest::of_bytes(&n.to_le_bytes())
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]))
}

fn rows(count: i64) -> RecordBatch {
    RecordBatch::try_new(schema(), vec![Arc::new((0..count).collect::<Int64Array>())]).expect("rows")
}

fn publish(store: &Store) {
    let Ok(LeaseAttempt::Acquired(lease)) = store.try_lease(&key(1)) else { return };
    let Ok(publication) = store.begin(lease, &["rows"]) else { return };
    if let Ok(mut writer) = publication.table_writer("rows", schema()) {
        let _ = writer.write(&rows(30)).and_then(|()| writer.finish());
        let _ = publication.commit(Provenance::default());
    }
}

/// All files of a store with something of every sort.
fn sound() -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("a store");
    publish(&store);
    let kept = store.row_memo(&key(3), schema()).and_then(|mut memo| memo.insert(&[key(7)], &[3], &rows(3)));
    kept.expect("rows are kept");
    store.stream_memo(&key(4), schema()).and_then(|mut memo| memo.append(0, &rows(20))).expect("attempts are kept");
    let reference = RefEntry { variant: "v".to_owned(), stage: "s".to_owned(), key: key(1) };
    store.set_refs("p", &[reference]).expect("references");
    drop(store);
    let mut files = BTreeMap::new();
    collect(dir.path(), dir.path(), &mut files);
    files
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).expect("listed").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            files.insert(name, fs::read(&path).expect("read"));
        }
    }
}

thread_local! {
    static SOUND: LazyCell<BTreeMap<String, Vec<u8>>> = LazyCell::new(sound);
}

// Panics that are caught where they are expected are no findings; others still end the process.
fuzz_target!(init: drop(std::panic::take_hook()), |data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    SOUND.with(|files| {
        for (at, (name, whole)) in files.iter().enumerate() {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("inside")).expect("made");
            let content = if at == usize::from(choice) % files.len() { bytes } else { whole };
            fs::write(path, content).expect("written");
        }
    });
    // What says which format the store has may be from the future.
    let Ok(store) = Store::open(dir.path(), StoreOptions::default()) else { return };
    let _ = store.lookup(&key(1));
    let _ = store.refs("p");
    let _ = store.row_memo(&key(3), schema()).and_then(|mut memo| memo.get(&[key(7)]));
    let _ = store.stream_memo(&key(4), schema()).and_then(|mut memo| memo.read(0..100));
    if let Ok(report) = store.verify(&VerifyOptions { repair: true }) {
        assert!(report.is_sound());
    }
    publish(&store);
});
