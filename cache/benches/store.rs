//! What the engine's speed stands on: looking up many keys, publishing many small results, digests of tables, reading
//! and writing them. `cargo bench -p pipe-cache`

use std::{path::Path, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use divan::{Bencher, counter::BytesCount};
use pipe_cache::{
    ArtifactRef, Digest, LeaseAttempt, Lookup, Provenance, ReadOptions, RefEntry, ResultLink, Store, StoreOptions,
    TableDigest, row_digests,
};

fn main() {
    divan::main();
}

fn open(root: &Path) -> Store {
    Store::open(root, StoreOptions::default()).unwrap()
}

fn key(n: u64) -> Digest {
    Digest::of_bytes(&n.to_le_bytes())
}

/// Texts of about 200 bytes, numbers, and floats.
fn rows(n: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n));
    let floats: ArrayRef = Arc::new(Float64Array::from_iter_values((0..n).map(|i| i as f64 / 7.0)));
    let text = |i: i64| format!("{} {}", key(i as u64), "instruction following with retrieved passages ".repeat(3));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..n).map(text)));
    RecordBatch::try_from_iter([("number", numbers), ("float", floats), ("text", texts)]).unwrap()
}

fn publish(store: &Store, key: &Digest, batch: &RecordBatch) -> ArtifactRef {
    let LeaseAttempt::Acquired(lease) = store.try_lease(key).unwrap() else { panic!("leased by another") };
    let publication = store.begin(lease, &["rows"]).unwrap();
    let mut writer = publication.table_writer("rows", batch.schema()).unwrap();
    writer.write(batch).unwrap();
    let artifact = writer.finish().unwrap();
    publication.commit(Provenance::default()).unwrap();
    artifact
}

/// Opening a store and looking up all of its keys, each with its own object: what a run in which nothing changed does.
#[divan::bench(args = [1_000, 10_000, 100_000], sample_count = 5, sample_size = 1)]
fn open_and_look_up(bencher: Bencher, keys: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..keys {
        publish(&store, &key(n), &rows(1 + (n % 3) as i64));
    }
    drop(store);
    bencher.bench_local(|| {
        let store = open(dir.path());
        for n in 0..keys {
            assert!(matches!(store.lookup(&key(n)).unwrap(), Lookup::Hit(_)));
        }
    });
}

/// References that are all as they were.
#[divan::bench(args = [10_000], sample_count = 5, sample_size = 1)]
fn unchanged_refs(bencher: Bencher, count: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let refs = refs(count);
    store.set_refs("p", &refs).unwrap();
    bencher.bench_local(|| store.set_refs("p", &refs).unwrap());
}

fn refs(count: u64) -> Vec<RefEntry> {
    let name = |n: u64| (format!("variant{}", n / 10), format!("stage{}", n % 10));
    let named = (0..count).map(|n| (name(n), key(n)));
    named.map(|((variant, stage), key)| RefEntry { variant, stage, key }).collect()
}

/// Links that are all as they were.
#[divan::bench(args = [10_000], sample_count = 5, sample_size = 1)]
fn unchanged_links(bencher: Bencher, count: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let artifact = publish(&store, &key(0), &rows(1));
    let link = |r: &RefEntry| ResultLink { path: format!("p/{}/{}.parquet", r.variant, r.stage).into(), artifact };
    let links: Vec<_> = refs(count).iter().map(link).collect();
    let results = dir.path().join("results");
    assert_eq!(store.link_results(&results, &links).unwrap() as u64, count);
    bencher.bench_local(|| assert_eq!(store.link_results(&results, &links).unwrap(), 0));
}

/// 300 results of a few rows, durable at the end.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn publish_300_small(bencher: Bencher) {
    bencher.with_inputs(|| tempfile::tempdir().unwrap()).bench_local_refs(|dir| {
        let store = open(dir.path());
        for n in 0..300 {
            publish(&store, &key(n), &rows(1 + n as i64 % 10));
        }
        store.flush().unwrap();
    });
}

const MANY: i64 = 200_000;

fn size(batch: &RecordBatch) -> BytesCount {
    BytesCount::new(batch.get_array_memory_size())
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn table_digest(bencher: Bencher) {
    let batch = rows(MANY);
    bencher.counter(size(&batch)).bench_local(|| {
        let mut digest = TableDigest::new(&batch.schema()).unwrap();
        for start in (0..batch.num_rows()).step_by(8192) {
            digest.update(&batch.slice(start, 8192.min(batch.num_rows() - start))).unwrap();
        }
        digest.finish()
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn digest_of_every_row(bencher: Bencher) {
    let batch = rows(MANY);
    bencher.counter(size(&batch)).bench_local(|| row_digests(&batch).unwrap());
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn write_table(bencher: Bencher) {
    let batch = rows(MANY);
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut n = 0;
    bencher.counter(size(&batch)).bench_local(|| {
        n += 1;
        publish(&store, &key(n), &batch)
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn verify_and_read_table(bencher: Bencher) {
    let batch = rows(MANY);
    let dir = tempfile::tempdir().unwrap();
    let artifact = publish(&open(dir.path()), &key(0), &batch);
    bencher.counter(size(&batch)).bench_local(|| {
        let store = open(dir.path());
        let reader = store.open_table(&artifact, &ReadOptions::default()).unwrap();
        reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>()
    });
}
