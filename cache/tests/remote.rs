//! A remote that is a folder: what two stores exchange through it, and what is made of damage there.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::array::RecordBatch;
use common::{hit, key, open, publish, publish_files, read, rows, schema};
use pipe_cache::{Digest, Lookup, Remote, RemoteMode, RemoteOptions, Store};

fn remote(folder: &Path) -> Remote {
    remote_of(folder, RemoteMode::Both)
}

fn remote_of(folder: &Path, mode: RemoteMode) -> Remote {
    Remote::open(&RemoteOptions { mode, ..RemoteOptions::new(format!("file://{}", folder.display())) }).unwrap()
}

fn push(remote: &Remote, store: &Store, n: u64) {
    remote.submit(store, &key(n), false);
    remote.wait(&|| false);
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { all.push(path) }
        }
    }
    all.sort();
    all
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn store(&self, name: &str) -> Store {
        open(&self.dir.path().join(name))
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("remote")
    }
}

#[test]
fn a_table_and_files_come_to_another_store_as_they_were() {
    let place = Place::new();
    let (a, b) = (place.store("a"), place.store("b"));
    let table = publish(&a, &key(1), &rows(0, 5_000));
    let artifact = publish_files(&a, &key(2), &[("x/one", "1"), ("two", "2"), ("empty", "")]);
    let remote = remote(&place.folder());
    push(&remote, &a, 1);
    push(&remote, &a, 2);
    let counts = remote.counts();
    assert_eq!((counts.pushed, counts.unpushed, counts.failures), (2, 0, 0));

    let entry = remote.pull(&b, &key(1)).unwrap();
    assert_eq!(entry, hit(&b, &key(1)));
    assert_eq!(read(&b, &table).unwrap(), rows(0, 5_000));
    assert_eq!(remote.pull(&b, &key(2)).unwrap().outputs[0].1, artifact);
    let folder = b.artifact_path(&artifact).unwrap();
    assert_eq!(fs::read_to_string(folder.join("x/one")).unwrap(), "1");
    // Manifests are those of who computed it.
    assert_eq!(a.manifest(&key(1)).unwrap(), b.manifest(&key(1)).unwrap());
    assert!(remote.pull(&b, &key(3)).is_none());
    assert_eq!(remote.take_warnings(), Vec::<String>::new());
    assert!(b.verify(&pipe_cache::VerifyOptions::default()).unwrap().is_sound());
}

#[test]
fn the_mode_says_which_way_things_go() {
    let place = Place::new();
    let (a, b) = (place.store("a"), place.store("b"));
    publish(&a, &key(1), &rows(0, 5));
    push(&remote_of(&place.folder(), RemoteMode::Pull), &a, 1);
    assert!(files(&place.folder()).is_empty());
    push(&remote_of(&place.folder(), RemoteMode::Push), &a, 1);
    assert!(remote_of(&place.folder(), RemoteMode::Push).pull(&b, &key(1)).is_none());
    assert!(remote_of(&place.folder(), RemoteMode::Pull).pull(&b, &key(1)).is_some());
}

#[test]
fn two_machines_that_publish_a_key_at_once_leave_one_record_and_no_error() {
    for round in 0..20 {
        let place = Place::new();
        let stores = [place.store("a"), place.store("b"), place.store("c")];
        for store in &stores {
            publish(store, &key(round), &rows(0, 50));
        }
        let remotes: Vec<Remote> = stores.iter().map(|_| remote(&place.folder())).collect();
        for (store, remote) in stores.iter().zip(&remotes) {
            remote.submit(store, &key(round), false);
        }
        for remote in &remotes {
            remote.wait(&|| false);
        }
        let counts: Vec<_> = remotes.iter().map(Remote::counts).collect();
        assert_eq!(counts.iter().map(|c| c.pushed).sum::<u64>(), 1, "{counts:?}");
        assert_eq!(counts.iter().map(|c| c.there).sum::<u64>(), 2, "{counts:?}");
        assert!(counts.iter().all(|c| c.failures == 0 && c.unpushed == 0), "{counts:?}");
        assert!(remotes.iter().all(|remote| remote.take_warnings().is_empty()));
        assert_eq!(files(&place.folder().join("v1/ac")).len(), 1);
    }
}

#[test]
fn a_flipped_bit_anywhere_on_the_remote_is_never_served_and_is_mended_by_who_computes_again() {
    let place = Place::new();
    let a = place.store("a");
    publish(&a, &key(1), &rows(0, 500));
    publish_files(&a, &key(2), &[("one", "some text")]);
    let sound = remote(&place.folder());
    push(&sound, &a, 1);
    push(&sound, &a, 2);
    for (number, path) in files(&place.folder().join("v1")).into_iter().enumerate() {
        let whole = fs::read(&path).unwrap();
        for change in ["flip", "cut", "longer", "empty", "gone"] {
            let mut bytes = whole.clone();
            match change {
                "flip" => bytes[whole.len() / 2] ^= 1,
                "cut" => bytes.truncate(whole.len() - 1),
                "longer" => bytes.push(0),
                "empty" => bytes.clear(),
                _ => {}
            }
            if change == "gone" {
                fs::remove_file(&path).unwrap();
            } else {
                fs::write(&path, bytes).unwrap();
            }
            let b = place.store(&format!("b{number}{change}"));
            let remote = remote(&place.folder());
            for n in [1, 2] {
                if let Some(entry) = remote.pull(&b, &key(n)) {
                    assert_eq!(entry.outputs, hit(&a, &key(n)).outputs);
                    continue;
                }
                // What one does who finds nothing: compute it, publish it, and push it.
                assert_eq!(b.lookup(&key(n)).unwrap(), Lookup::Miss);
                if n == 1 {
                    publish(&b, &key(1), &rows(0, 500));
                } else {
                    publish_files(&b, &key(2), &[("one", "some text")]);
                }
                push(&remote, &b, n);
            }
            let record_is_gone = change == "gone" && path.to_string_lossy().contains("/ac/");
            assert_eq!(remote.take_warnings().is_empty(), record_is_gone, "{change} {}", path.display());
            assert!(b.verify(&pipe_cache::VerifyOptions::default()).unwrap().is_sound());
            // Whoever comes next finds it whole.
            let c = place.store(&format!("c{number}{change}"));
            let next = self::remote(&place.folder());
            assert!([1, 2].iter().all(|n| next.pull(&c, &key(*n)).is_some()), "{change} {}", path.display());
            assert_eq!(next.counts().failures, 0, "{change} {}", path.display());
        }
    }
}

#[test]
fn a_record_of_another_key_or_one_that_lies_about_rows_is_not_believed() {
    let place = Place::new();
    let (a, b) = (place.store("a"), place.store("b"));
    publish(&a, &key(1), &rows(0, 5));
    publish(&a, &key(2), &rows(5, 9));
    let remote = remote(&place.folder());
    push(&remote, &a, 1);
    push(&remote, &a, 2);
    let record = |n: u64| {
        let hex = key(n).to_string();
        place.folder().join(format!("v1/ac/{}/{hex}", &hex[..2]))
    };
    fs::copy(record(1), record(2)).unwrap();
    assert!(remote.pull(&b, &key(2)).is_none());
    assert!(remote.take_warnings()[0].contains("the record of key"));
}

#[test]
fn rows_of_memos_travel_in_packs_and_nobody_sends_them_twice() {
    let place = Place::new();
    let (a, b) = (place.store("a"), place.store("b"));
    let recipe = Digest::of_bytes(b"recipe");
    let digests: Vec<Digest> = (0..100_000).map(key).collect();
    let insert = |store: &Store, from: usize, to: usize| {
        let mut memo = store.row_memo(&recipe, schema()).unwrap();
        for at in (from..to).step_by(1000) {
            let end = (at + 1000).min(to);
            memo.insert(&digests[at..end], &vec![1; end - at], &rows(at as i64, end as i64)).unwrap();
        }
        memo.flush().unwrap();
    };
    insert(&a, 0, 100_000);
    let remote_a = remote(&place.folder());
    remote_a.submit_memo(&a, &recipe);
    remote_a.wait(&|| false);
    assert_eq!((remote_a.counts().segments_pushed, remote_a.counts().requests), (1, 1));

    let remote_b = remote(&place.folder());
    remote_b.pull_memo(&b, &recipe);
    // Once more, in the next run.
    remote_b.pull_memo(&b, &recipe);
    assert!(remote_b.counts().requests <= 3, "{:?}", remote_b.counts());
    let mut memo = b.row_memo(&recipe, schema()).unwrap();
    assert_eq!(memo.len(), 100_000);
    let (found, counts) = memo.get(&digests[70..75]).unwrap().unwrap();
    assert_eq!((found, counts), (rows(70, 75), vec![1; 5]));
    drop(memo);

    // Nothing new: one look whether what was written is still there.
    remote_b.submit_memo(&b, &recipe);
    remote_b.wait(&|| false);
    assert_eq!(remote_b.counts().segments_pushed, 0);
    insert(&b, 0, 10);
    remote_b.submit_memo(&b, &recipe);
    remote_b.wait(&|| false);
    assert_eq!(remote_b.counts().segments_pushed, 1);
    remote_a.pull_memo(&a, &recipe);
    assert_eq!(files(&place.folder()).len(), 2);
}

#[test]
fn merged_shards_are_not_sent_again() {
    let place = Place::new();
    let a = place.store("a");
    let recipe = Digest::of_bytes(b"recipe");
    for n in 0..80 {
        let mut memo = a.row_memo(&recipe, schema()).unwrap();
        memo.insert(&[key(n)], &[1], &rows(n as i64, n as i64 + 1)).unwrap();
        memo.flush().unwrap();
        drop(memo);
        if n == 64 {
            let remote = remote(&place.folder());
            remote.submit_memo(&a, &recipe);
            remote.wait(&|| false);
        }
    }
    let remote = remote(&place.folder());
    remote.submit_memo(&a, &recipe);
    remote.wait(&|| false);
    let sizes: Vec<u64> = files(&place.folder()).iter().map(|path| fs::metadata(path).unwrap().len()).collect();
    assert_eq!(sizes.len(), 2);
    assert!(sizes[1] < sizes[0], "the second has the few new rows alone: {sizes:?}");
}

#[test]
fn a_damaged_pack_is_passed_over_and_what_is_whole_in_it_is_used() {
    let place = Place::new();
    let (a, b) = (place.store("a"), place.store("b"));
    let recipe = Digest::of_bytes(b"recipe");
    for n in 0..3 {
        let mut memo = a.row_memo(&recipe, schema()).unwrap();
        memo.insert(&[key(n)], &[1], &rows(n as i64, n as i64 + 1)).unwrap();
        memo.flush().unwrap();
    }
    let remote = remote(&place.folder());
    remote.submit_memo(&a, &recipe);
    remote.wait(&|| false);
    let path = &files(&place.folder())[0];
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
    remote.pull_memo(&b, &recipe);
    assert_eq!(b.row_memo(&recipe, schema()).unwrap().len(), 2);
    assert_eq!(remote.counts().failures, 1);
    assert!(remote.take_warnings()[0].contains("1 of its shards"));
}

#[test]
fn a_folder_that_cannot_be_written_costs_warnings_and_is_left_alone_at_last() {
    let place = Place::new();
    let a = place.store("a");
    // A file stands where the folder should be.
    fs::write(place.folder(), "").unwrap();
    let remote = remote(&place.folder());
    for n in 0..20 {
        publish(&a, &key(n), &rows(0, 3));
        remote.submit(&a, &key(n), false);
    }
    remote.wait(&|| false);
    let counts = remote.counts();
    assert_eq!((counts.pushed, counts.unpushed), (0, 20));
    assert!(counts.requests < 60, "{counts:?}");
    assert!(remote.pulls(), "it may still be read");
    assert!(remote.take_warnings().iter().any(|warning| warning.contains("left alone")));
}

#[test]
fn a_large_file_goes_in_parts_and_goes_on_where_it_was() {
    let place = Place::new();
    let (a, b) = (place.store("a"), place.store("b"));
    let text = "fifteen letters\n".repeat(4_500_000);
    let artifact = publish_files(&a, &key(1), &[("large", &text)]);
    let first = remote(&place.folder());
    push(&first, &a, 1);
    let blobs = files(&place.folder().join("v1/cas"));
    assert_eq!(blobs.len(), 3, "two parts and their list: {blobs:?}");
    // One part is lost, and the fetch ends there; what came before it is kept.
    let (lost, list) = blobs.iter().partition::<Vec<_>, _>(|path| path.extension().is_none());
    assert_eq!(list.len(), 1);
    let smallest = lost.iter().min_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let bytes = fs::read(smallest).unwrap();
    fs::remove_file(smallest).unwrap();
    let second = remote(&place.folder());
    assert!(second.pull(&b, &key(1)).is_none());
    fs::write(smallest, bytes).unwrap();
    let third = remote(&place.folder());
    assert_eq!(third.pull(&b, &key(1)).unwrap().outputs[0].1, artifact);
    // The record, the list, and the last part.
    assert_eq!(third.counts().requests, 3);
    assert_eq!(fs::read_to_string(b.artifact_path(&artifact).unwrap().join("large")).unwrap(), text);
}

#[test]
fn many_threads_pull_the_same_key_and_all_find_it() {
    let place = Place::new();
    let (a, b) = (place.store("a"), Arc::new(place.store("b")));
    let batch: RecordBatch = rows(0, 2_000);
    publish(&a, &key(1), &batch);
    let remote = remote(&place.folder());
    push(&remote, &a, 1);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| remote.pull(&b, &key(1)));
        }
    });
    assert_eq!(hit(&b, &key(1)).outputs, hit(&a, &key(1)).outputs);
    assert_eq!(remote.counts().failures, 0);
}
