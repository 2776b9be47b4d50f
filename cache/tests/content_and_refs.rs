//! Digests of sources, references, and links to results.

mod common;

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, SystemTime},
};

use common::{key, open, publish, publish_files, rows};
use pipe_cache::{Digest, GcPolicy, RefEntry, RefsChange, ResultLink};

/// Long enough for the clock of any file system in use for tests to move on.
const TICK: Duration = Duration::from_millis(60);

#[test]
fn an_unchanged_file_is_read_once_and_a_changed_one_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = (open(&dir.path().join("store")), dir.path().join("f"));
    fs::write(&file, "one").unwrap();
    sleep(TICK);
    let first = store.content_digest(&file).unwrap();
    assert_eq!((first.digest, first.bytes, first.read), (Digest::of_bytes(b"one"), 3, 3));
    assert_eq!(store.content_digest(&file).unwrap().read, 0);
    assert_eq!(open(&dir.path().join("store")).content_digest(&file).unwrap().read, 0, "known to the next process");

    // The same size, and the modification time set back to what it was.
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "two").unwrap();
    fs::File::options().append(true).open(&file).unwrap().set_modified(modified).unwrap();
    assert_eq!(store.content_digest(&file).unwrap().digest, Digest::of_bytes(b"two"));
}

#[test]
fn a_file_changed_within_the_tick_of_its_hashing_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = (open(&dir.path().join("store")), dir.path().join("f"));
    for i in 0..200 {
        let content = format!("{i:03}");
        fs::write(&file, &content).unwrap();
        assert_eq!(store.content_digest(&file).unwrap().digest, Digest::of_bytes(content.as_bytes()), "change {i}");
    }
}

#[test]
fn a_large_fresh_file_is_not_read_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = (open(&dir.path().join("store")), dir.path().join("f"));
    let content = vec![7; 20 << 20];
    fs::write(&file, &content).unwrap();
    let first = store.content_digest(&file).unwrap();
    assert_eq!((first.digest, first.read), (Digest::of_bytes(&content), 20 << 20));
    assert_eq!(store.content_digest(&file).unwrap().read, 0);
}

#[test]
fn a_directory_is_its_names_and_contents() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store"));
    let tree = |name: &str, files: &[(&str, &str)]| {
        let root = dir.path().join(name);
        for (name, content) in files {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), content).unwrap();
        }
        store.content_digest(&root).unwrap().digest
    };
    let a = tree("a", &[("x", "1"), ("sub/y", "2")]);
    assert_eq!(a, tree("b", &[("sub/y", "2"), ("x", "1")]));
    assert_ne!(a, tree("c", &[("x", "1"), ("sub/z", "2")]));
    assert_ne!(a, tree("d", &[("x", "1"), ("sub/y", "3")]));
    assert_ne!(a, tree("e", &[("x", "1"), ("suby", "2")]));
    fs::File::open(dir.path().join("a/x")).unwrap().set_modified(SystemTime::now()).unwrap();
    assert_eq!(a, store.content_digest(&dir.path().join("a")).unwrap().digest, "touched");
    fs::create_dir(dir.path().join("linked")).unwrap();
    for name in ["x", "sub"] {
        std::os::unix::fs::symlink(dir.path().join("a").join(name), dir.path().join("linked").join(name)).unwrap();
    }
    assert_eq!(a, store.content_digest(&dir.path().join("linked")).unwrap().digest, "links are followed");
}

#[test]
fn a_missing_source_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(dir.path()).content_digest(Path::new("/no/such/file")).unwrap_err();
    assert_eq!(error.to_string(), "failed to hash /no/such/file");
}

#[test]
fn sources_without_an_end_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store"));
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    std::os::unix::fs::symlink(&tree, tree.join("sub/up")).unwrap();
    let error = store.content_digest(&tree).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.ends_with("sub/up is a symbolic link to a directory that it is in"), "{cause}");
    let error = store.content_digest(Path::new("/dev/null")).unwrap_err().to_string();
    assert_eq!(error, "failed to hash `/dev/null`: it is neither a file nor a directory");
}

fn entry(variant: &str, stage: &str, n: u64) -> RefEntry {
    RefEntry { variant: variant.to_owned(), stage: stage.to_owned(), key: key(n) }
}

#[test]
fn references_are_merged_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.set_refs("p", &[entry("baseline", "a", 1), entry("n=2", "a", 2)]).unwrap();
    store.set_refs("p", &[entry("baseline", "b", 3), entry("baseline", "a", 4)]).unwrap();
    let refs = open(dir.path()).refs("p").unwrap();
    assert_eq!(refs["baseline"], [("a".to_owned(), key(4)), ("b".to_owned(), key(3))].into());
    assert_eq!(refs["n=2"]["a"], key(2));
    let baseline = |variant: &str, _: &str| variant == "baseline";
    store.change_refs("p", &RefsChange { current: &[], superseded: &[], belongs: &baseline }).unwrap();
    assert_eq!(store.refs("p").unwrap().len(), 1);
    assert_eq!(store.pipelines().unwrap(), ["p"]);
    assert!(store.set_refs("../p", &[]).unwrap_err().to_string().contains("cannot be the name of a file"));
}

#[test]
fn what_is_superseded_is_kept_apart_until_it_is_computed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    publish(&store, &key(1), &rows(0, 3));
    store.set_refs("p", &[entry("v", "a", 1), entry("v", "b", 2)]).unwrap();
    let all = |_: &str, _: &str| true;
    let superseded = [("v".to_owned(), "a".to_owned()), ("w".to_owned(), "a".to_owned())];
    store.change_refs("p", &RefsChange { current: &[], superseded: &superseded, belongs: &all }).unwrap();
    assert_eq!(store.refs("p").unwrap()["v"], [("b".to_owned(), key(2))].into());
    assert_eq!(store.earlier_refs("p").unwrap()["v"], [("a".to_owned(), key(1))].into());
    let unreachable = GcPolicy { unreachable: true, ..GcPolicy::default() };
    assert_eq!(store.gc(&unreachable).unwrap().manifests, 0, "it is the last that there is");
    store.set_refs("p", &[entry("v", "a", 3)]).unwrap();
    assert!(store.earlier_refs("p").unwrap().is_empty());
    assert_eq!(store.gc(&unreachable).unwrap().manifests, 1);
}

#[test]
fn links_that_lead_into_the_store_are_swept_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store"));
    let artifact = publish(&store, &key(1), &rows(0, 3));
    let results = dir.path().join("results");
    let link = |name: &str| ResultLink { path: format!("p/v/{name}").into(), artifact };
    store.link_results(&results, &[link("a.parquet"), link("b.parquet")]).unwrap();
    fs::write(results.join("p/v/notes.txt"), "mine").unwrap();
    std::os::unix::fs::symlink("notes.txt", results.join("p/v/alias")).unwrap();
    let folder = results.join("p/v");
    assert_eq!(store.unlink_results(&folder, &|name| name == "a.parquet").unwrap(), 1);
    let names = || fs::read_dir(&folder).map(Iterator::count);
    assert_eq!(names().unwrap(), 3);
    fs::remove_file(folder.join("notes.txt")).unwrap();
    fs::remove_file(folder.join("alias")).unwrap();
    assert_eq!(store.unlink_results(&folder, &|_| false).unwrap(), 1);
    assert!(names().is_err(), "the empty folder went, too");
}

#[test]
fn unchanged_references_are_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let entries: Vec<_> = (0..100).map(|i| entry("v", &format!("s{i}"), i)).collect();
    open(dir.path()).set_refs("p", &entries).unwrap();
    let changed = || fs::metadata(dir.path().join("v1/refs/p.json")).unwrap().modified().unwrap();
    let before = changed();
    sleep(TICK);
    open(dir.path()).set_refs("p", &entries).unwrap();
    assert_eq!(changed(), before);
}

#[test]
fn concurrent_references_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for i in 0..8 {
            let root = dir.path();
            scope.spawn(move || open(root).set_refs("p", &[entry(&format!("v{i}"), "s", i)]).unwrap());
        }
    });
    assert_eq!(open(dir.path()).refs("p").unwrap().len(), 8);
}

#[test]
fn damaged_references_are_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.set_refs("p", &[entry("v", "s", 1)]).unwrap();
    let path = dir.path().join("v1/refs/p.json");
    let text = fs::read_to_string(&path).unwrap().replacen(&key(1).to_string(), &key(2).to_string(), 1);
    fs::write(&path, text).unwrap();
    assert!(store.refs("p").unwrap().is_empty());
    assert_eq!(common::count(dir.path(), "quarantine"), 1);
}

#[test]
fn results_are_links_to_current_objects() {
    let dir = tempfile::tempdir().unwrap();
    let (store, results) = (open(&dir.path().join("store")), dir.path().join("results"));
    let table = publish(&store, &key(1), &rows(0, 3));
    let files = publish_files(&store, &key(2), &[("f", "x")]);
    let link = |path: &str, artifact| ResultLink { path: path.into(), artifact };
    let links = [link("p/v/a.parquet", table), link("p/v/b", files)];
    assert_eq!(store.link_results(&results, &links).unwrap(), 2);
    assert_eq!(store.link_results(&results, &links).unwrap(), 0);
    assert_eq!(fs::read(results.join("p/v/b/f")).unwrap(), b"x");
    assert!(fs::read_link(results.join("p/v/a.parquet")).unwrap().is_relative());
    assert_eq!(fs::read(results.join("p/v/a.parquet")).unwrap().len() as u64, table.bytes);

    let newer = publish(&store, &key(3), &rows(0, 30));
    assert_eq!(store.link_results(&results, &[link("p/v/a.parquet", newer)]).unwrap(), 1);
    assert_eq!(fs::read(results.join("p/v/a.parquet")).unwrap().len() as u64, newer.bytes);

    assert!(store.link_results(&results, &[link("../x", table)]).is_err());
    fs::create_dir_all(results.join("mine")).unwrap();
    let error = store.link_results(&results, &[link("mine", files)]).unwrap_err().to_string();
    assert!(error.ends_with("a directory that was not made here is in its place; move it away"), "{error}");
    assert!(results.join("mine").exists());
}
