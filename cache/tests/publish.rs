//! Publishing, looking up, and reading back.

mod common;

use std::sync::Arc;

use common::{acquired, count, hit, key, open, open_read_only, provenance, publish, publish_files, read, rows, schema};
use pipe_cache::{Lookup, ReadOptions, Store, StoreError, StoreOptions};

#[test]
fn a_published_table_is_a_hit_in_every_process_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.lookup(&key(1)).unwrap(), Lookup::Miss);
    let table = publish(&store, &key(1), &rows(0, 3000));
    assert_eq!(table.rows, 3000);
    assert_eq!(*hit(&store, &key(1)).output("rows").unwrap(), table);
    for store in [open(dir.path()), open_read_only(dir.path())] {
        assert_eq!(*hit(&store, &key(1)).output("rows").unwrap(), table);
        assert_eq!(read(&store, &table).unwrap(), rows(0, 3000));
    }
}

#[test]
fn manifests_keep_provenance_columns_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    publish(&store, &key(1), &rows(0, 3));
    publish_files(&store, &key(2), &[("b/two.txt", "2"), ("a.txt", "1")]);
    let manifest = store.manifest(&key(1)).unwrap().unwrap();
    assert_eq!(manifest.provenance.software, "test 1");
    let columns: Vec<_> = manifest.outputs[0].columns.iter().map(|c| (&*c.name, &*c.data_type, c.nullable)).collect();
    assert_eq!(columns, [("number", "Int64", false), ("text", "Utf8", true)]);
    let files = store.manifest(&key(2)).unwrap().unwrap().outputs.remove(0).files;
    assert_eq!(files.iter().map(|f| &*f.path).collect::<Vec<_>>(), ["a.txt", "b/two.txt"]);
    assert_eq!(store.manifest(&key(3)).unwrap(), None);
    let mut keys = [key(1), key(2)];
    keys.sort();
    assert_eq!(store.keys().unwrap(), keys);
}

#[test]
fn bytes_and_digest_depend_on_the_rows_alone_not_on_the_batches() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let whole = publish(&store, &key(1), &rows(0, 5000));
    let publication = store.begin(acquired(store.try_lease(&key(2)).unwrap()), &["rows"]).unwrap();
    let mut writer = publication.table_writer("rows", schema()).unwrap();
    for (from, to) in [(0, 1), (1, 1), (1, 1500), (1500, 1501), (1501, 5000)] {
        writer.write(&rows(from, to)).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), whole);
    publication.commit(provenance("run")).unwrap();
    assert_eq!(count(dir.path(), "objects"), 1);
}

#[test]
fn publishing_twice_is_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(publish(&store, &key(1), &rows(0, 9)), publish(&store, &key(1), &rows(0, 9)));
    let files = [("x", "1"), ("y", "2")];
    let artifact = publish_files(&store, &key(2), &files);
    assert_eq!(artifact, publish_files(&store, &key(2), &files));
    assert_eq!(std::fs::read_to_string(store.artifact_path(&artifact).unwrap().join("y")).unwrap(), "2");
}

/// Stages that make the same folder at the same moment: each has a key of its own, and one object serves them.
#[test]
fn the_same_files_are_published_by_several_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for round in 0..100_u64 {
        let text = round.to_string();
        let files = [("a", &*text), ("deep/b", "2")];
        let barrier = std::sync::Barrier::new(4);
        let publish = |writer: u64| {
            let number = 10 * round + writer;
            barrier.wait();
            publish_files(&store, &key(number), &files)
        };
        let published: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|writer| {
                    scope.spawn({
                        let publish = &publish;
                        move || publish(writer)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(published.iter().all(|artifact| *artifact == published[0]));
        let path = store.artifact_path(&published[0]).unwrap();
        assert_eq!(std::fs::read_to_string(path.join("a")).unwrap(), text);
    }
}

#[test]
fn a_publication_that_is_dropped_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let publication = store.begin(acquired(store.try_lease(&key(1)).unwrap()), &["rows", "out"]).unwrap();
    publication.table_writer("rows", schema()).unwrap().write(&rows(0, 10)).unwrap();
    std::fs::write(publication.files_dir("out").unwrap().join("f"), "x").unwrap();
    drop(publication);
    assert_eq!(store.lookup(&key(1)).unwrap(), Lookup::Miss);
    drop(store);
    for part in ["tmp", "leases", "objects", "manifests"] {
        assert_eq!(count(dir.path(), part), 0, "{part}");
    }
}

#[test]
fn projection_and_ranges() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = publish(&store, &key(1), &rows(0, 100));
    let options =
        ReadOptions { columns: Some(vec!["text".to_owned()]), offset: 10, limit: Some(5), batch_size: Some(2) };
    let batches: Vec<_> = store.open_table(&table, &options).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(arrow::array::RecordBatch::num_rows).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(batches[0].column(0), rows(10, 12).column(1));
    let options = ReadOptions { columns: Some(vec!["txt".to_owned()]), ..ReadOptions::default() };
    let error = store.open_table(&table, &options).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "failed to read a table: it has no column `txt`, only `number`, `text`");
}

#[test]
fn the_publishing_protocol_is_enforced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let begin = |ports: &[&str]| store.begin(acquired(store.try_lease(&key(1)).unwrap()), ports);
    let check = |result: Result<(), StoreError>, message: &str| assert_eq!(result.unwrap_err().to_string(), message);

    check(begin(&["a", "a"]).map(drop), "failed to publish output `a`: it is declared twice");
    let p = begin(&["a", "b"]).unwrap();
    check(p.files_dir("c").map(drop), "failed to publish output `c`: only `a`, `b` are declared");
    p.files_dir("a").unwrap();
    check(p.files_dir("a").map(drop), "failed to publish output `a`: it is being written already");
    let mut writer = p.table_writer("b", schema()).unwrap();
    check(
        writer.write(&rows(0, 1).project(&[0]).unwrap()),
        "failed to write rows: the rows have columns (number: Int64), declared were (number: Int64, text: Utf8)",
    );
    check(p.commit(provenance("")).map(drop), "failed to publish output `b`: its writer was not finished");
    check(
        begin(&["a"]).unwrap().commit(provenance("")).map(drop),
        "failed to publish output `a`: nothing was written to it",
    );
}

/// The files of an artifact in which `link` says `target`.
fn with_link(store: &Store, key_number: u64, link: &str, target: &str) -> Result<Arc<pipe_cache::Entry>, StoreError> {
    let publication = store.begin(acquired(store.try_lease(&key(key_number)).unwrap()), &["files"]).unwrap();
    let dir = publication.files_dir("files").unwrap();
    std::fs::create_dir_all(dir.join("checkpoint-500/deep")).unwrap();
    std::fs::write(dir.join("checkpoint-500/weights"), "w").unwrap();
    std::os::unix::fs::symlink(target.replace("DIR", dir.to_str().unwrap()), dir.join(link)).unwrap();
    publication.commit(provenance("run"))
}

#[test]
fn links_that_stay_inside_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut digests = std::collections::BTreeSet::new();
    for (i, (link, target, kept)) in [
        ("latest", "checkpoint-500", "checkpoint-500"),
        ("latest", "checkpoint-500/weights", "checkpoint-500/weights"),
        ("checkpoint-500/deep/same", "../weights", "../weights"),
        // What its program named by the path that it had then.
        ("checkpoint-500/deep/up", "DIR/checkpoint-500/weights", "../../checkpoint-500/weights"),
    ]
    .into_iter()
    .enumerate()
    {
        let entry = with_link(&store, i as u64, link, target).unwrap();
        let artifact = &entry.outputs[0].1;
        let place = store.artifact_path(artifact).unwrap();
        assert_eq!(std::fs::read_link(place.join(link)).unwrap().to_str(), Some(kept), "{link} -> {target}");
        assert!(place.join(link).exists(), "{link} -> {target}");
        digests.insert(artifact.digest);
        let manifest = store.manifest(&key(i as u64)).unwrap().unwrap();
        let file = manifest.outputs[0].files.iter().find(|file| file.path == link).unwrap();
        assert_eq!(file.link.as_deref(), Some(kept));
        // A link that says something else is damage.
        std::fs::remove_file(place.join(link)).unwrap();
        std::os::unix::fs::symlink("checkpoint-500/./weights", place.join(link)).unwrap();
        let fresh = open(dir.path());
        assert!(matches!(fresh.artifact_path(artifact), Err(StoreError::Damaged(_))), "{link} -> {target}");
    }
    assert_eq!(digests.len(), 4, "what a link says is content");
}

#[test]
fn links_that_lead_elsewhere_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (i, (link, target, why)) in [
        ("out", "/etc/hosts", "`out` is a symbolic link to `/etc/hosts`, which lies outside"),
        ("checkpoint-500/out", "../../other", "which is not there"),
        ("out", "../../..", "which lies outside"),
        ("gone", "nothing", "`gone` is a symbolic link to `nothing`, which is not there"),
        ("loop", "loop", "which is not there"),
        ("checkpoint-500/deep/up", "..", "which is a directory that it is in"),
        ("self", "DIR", "which is a directory that it is in"),
    ]
    .into_iter()
    .enumerate()
    {
        let error = with_link(&store, i as u64, link, target).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(cause.contains(why), "{link} -> {target}: {error}: {cause}");
    }
}

#[test]
fn a_table_can_be_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let publication = store.begin(acquired(store.try_lease(&key(1)).unwrap()), &["rows"]).unwrap();
    let mut first = publication.table_writer("rows", schema()).unwrap();
    first.write(&rows(0, 10)).unwrap();
    let wider = rows(0, 5).project(&[0]).unwrap();
    let mut second = publication.table_writer("rows", wider.schema()).unwrap();
    second.write(&wider).unwrap();
    second.finish().unwrap();
    assert!(first.finish().is_err());
    let entry = publication.commit(provenance("run")).unwrap();
    assert_eq!(read(&store, &entry.outputs[0].1).unwrap(), wider);
}

#[test]
fn a_store_of_a_future_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    std::fs::create_dir(dir.path().join("v9")).unwrap();
    let error = Store::open(dir.path(), StoreOptions::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::FutureFormat { found: 9, supported: 1, .. }), "{error}");
}

#[test]
fn the_index_is_only_a_cache() {
    let dir = tempfile::tempdir().unwrap();
    let table = publish(&open(dir.path()), &key(1), &rows(0, 3));
    let index = dir.path().join("v1/index");
    let sound = std::fs::read(&index).unwrap();
    let mut flipped = sound.clone();
    flipped[40] ^= 4;
    for content in [None, Some(flipped), Some(sound[..sound.len() / 2].to_vec()), Some(b"garbage".to_vec())] {
        match &content {
            Some(bytes) => std::fs::write(&index, bytes).unwrap(),
            None => std::fs::remove_file(&index).unwrap(),
        }
        assert_eq!(hit(&open_read_only(dir.path()), &key(1)).outputs[0].1, table);
        assert_eq!(hit(&open(dir.path()), &key(1)).outputs[0].1, table);
        assert_eq!(std::fs::read(&index).unwrap(), sound, "rebuilt");
    }
}

#[test]
fn what_another_process_published_is_found_without_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (open(dir.path()), open(dir.path()));
    let table = publish(&theirs, &key(1), &rows(0, 3));
    assert_eq!(hit(&ours, &key(1)).outputs[0].1, table);
}
