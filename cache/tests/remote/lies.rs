//! What is damaged on a remote, or made to look right, by accident or by somebody who may write there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pipe_cache::{CollectPolicy, Digest, Lookup};
use serde_json::{Value, json};

use crate::{
    Place,
    common::{hit, key, publish, publish_files, rows},
    files, push, remote,
};

/// Where the record of a key lies.
fn record(place: &Place, n: u64) -> PathBuf {
    let hex = key(n).to_string();
    place.folder().join(format!("v1/ac/{}/{hex}", &hex[..2]))
}

/// Changes a file of checked JSON, and makes its check right again, as somebody would who may write to the remote.
fn falsify(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    value.as_object_mut().unwrap().remove("check");
    change(&mut value);
    let rest = &serde_json::to_string_pretty(&value).unwrap()[1..];
    let check = Digest::of_bytes(rest.as_bytes());
    fs::write(path, format!("{{\"check\":\"{check}\",{rest}\n")).unwrap();
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
            let next = crate::remote(&place.folder());
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
    fs::copy(record(&place, 1), record(&place, 2)).unwrap();
    assert!(remote.pull(&b, &key(2)).is_none());
    assert!(remote.take_warnings()[0].contains("the record of key"));
}

#[test]
fn a_record_makes_nothing_outside_of_the_store() {
    let outside = tempfile::tempdir().unwrap();
    let up = format!("{}{}", "../".repeat(40), &outside.path().to_str().unwrap()[1..]);
    let target = outside.path().to_str().unwrap();
    for (link, below) in [(target, None), (&*up, None), (target, Some("link/one")), ("two", Some("link/one"))] {
        let place = Place::new();
        let (a, b) = (place.store("a"), place.store("b"));
        publish_files(&a, &key(1), &[("two", "2"), ("x", "1")]);
        let remote = remote(&place.folder());
        push(&remote, &a, 1);
        falsify(&record(&place, 1), |value| {
            let files = value["manifest"]["outputs"][0]["files"].as_array_mut().unwrap();
            let entry = |path: &str, link: &str| {
                let digest = Digest::of_bytes(link.as_bytes());
                json!({ "path": path, "bytes": 0, "digest": digest, "link": link })
            };
            let new = [entry("link", link)].into_iter().chain(below.map(|below| entry(below, "../two")));
            files.splice(0..0, new);
        });
        let remote = crate::remote(&place.folder());
        assert!(remote.pull(&b, &key(1)).is_none());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{link} {below:?}");
        let warnings = remote.take_warnings();
        assert!(warnings[0].contains("`link"), "it is refused before anything is fetched: {warnings:?}");
        // It counts as damaged: who computes the key replaces it.
        publish_files(&b, &key(1), &[("two", "2"), ("x", "1")]);
        push(&remote, &b, 1);
        assert!(crate::remote(&place.folder()).pull(&place.store("c"), &key(1)).is_some());
    }
}

#[test]
fn a_record_that_lies_is_not_believed_where_the_bytes_are_here_already() {
    for (what, lie) in [
        ("/rows", json!(99)),
        ("/digest", json!(Digest::of_bytes(b"other"))),
        ("/columns/0/name", json!("other")),
        ("/columns/1/type", json!("Int64")),
    ] {
        for is_here in [true, false] {
            let place = Place::new();
            let (a, b) = (place.store("a"), place.store("b"));
            publish(&a, &key(1), &rows(0, 50));
            push(&remote(&place.folder()), &a, 1);
            falsify(&record(&place, 1), |value| {
                *value["manifest"]["outputs"][0].pointer_mut(what).unwrap() = lie.clone();
            });
            if is_here {
                publish(&b, &key(2), &rows(0, 50));
            }
            let remote = remote(&place.folder());
            assert!(remote.pull(&b, &key(1)).is_none(), "{what} {is_here}");
            assert_eq!(b.lookup(&key(1)).unwrap(), Lookup::Miss);
            assert_eq!(remote.counts().failures, 1);
        }
    }
    // And of files.
    let place = Place::new();
    let (a, b) = (place.store("a"), place.store("b"));
    publish_files(&a, &key(1), &[("one", "1")]);
    publish_files(&b, &key(2), &[("one", "1")]);
    push(&remote(&place.folder()), &a, 1);
    falsify(&record(&place, 1), |value| value["manifest"]["outputs"][0]["rows"] = json!(7));
    assert!(remote(&place.folder()).pull(&b, &key(1)).is_none());
}

#[test]
fn what_a_newer_version_wrote_is_left_as_it_is() {
    let place = Place::new();
    let (a, b) = (place.store("a"), place.store("b"));
    publish(&a, &key(1), &rows(0, 5));
    push(&remote(&place.folder()), &a, 1);
    falsify(&record(&place, 1), |value| value["format"] = json!(9));
    let newer = fs::read(record(&place, 1)).unwrap();
    let remote = remote(&place.folder());
    assert!(remote.pull(&b, &key(1)).is_none());
    let warnings = remote.take_warnings();
    assert!(warnings[0].contains("format 9") && warnings[0].contains("update"), "{warnings:?}");
    publish(&b, &key(1), &rows(0, 5));
    push(&remote, &b, 1);
    remote.submit(&b, &key(1), true);
    remote.wait(&|| false);
    assert_eq!(fs::read(record(&place, 1)).unwrap(), newer);
    assert_eq!((remote.counts().pushed, remote.counts().unpushed), (0, 0));
    // What it needs is not known: nothing is collected.
    assert!(remote.collect(&CollectPolicy::default()).is_err());
}
