//! Results.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arrow::array::RecordBatch;
use pipe_cache::{Ability, CollectPolicy, Remote, RemoteMode};

use crate::{
    Place,
    common::{self, hit, key, publish, publish_files, read, rows},
    files, push, remote, remote_of,
};

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
fn what_is_damaged_here_is_not_the_remotes_failure() {
    let place = Place::new();
    let a = place.store("a");
    let artifact = publish(&a, &key(1), &rows(0, 500));
    common::flip(&a.layout().artifact(&artifact), 100, 3);
    let remote = remote(&place.folder());
    push(&remote, &place.store("a"), 1);
    let counts = remote.counts();
    assert_eq!((counts.pushed, counts.unpushed, counts.failures), (0, 1, 0));
    assert_eq!(remote.take_warnings().len(), 1);
}

#[test]
fn files_on_their_way_into_a_folder_do_not_meet_and_what_is_left_of_them_goes() {
    let place = Place::new();
    let a = place.store("a");
    for n in 0..60 {
        publish(&a, &key(n), &rows(0, 200 + n as i64));
    }
    // Each counts for itself, as the same program would on machines of the same name.
    let remotes: Vec<Remote> = (0..3).map(|_| remote(&place.folder())).collect();
    for n in 0..60 {
        remotes[n as usize % 3].submit(&a, &key(n), false);
    }
    for remote in &remotes {
        remote.wait(&|| false);
    }
    assert!(remotes.iter().all(|remote| (remote.counts().pushed, remote.counts().failures) == (20, 0)));
    let (b, reader) = (place.store("b"), remote(&place.folder()));
    assert!((0..60).all(|n| reader.pull(&b, &key(n)).is_some()), "{:?}", reader.take_warnings());

    let left = place.folder().join("v1/tmp");
    assert_eq!(files(&left), [] as [PathBuf; 0]);
    for (name, hours) in [("old", 25), ("young", 1)] {
        let file = fs::File::create(left.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(hours)).unwrap();
    }
    let policy = CollectPolicy { dry_run: true, ..CollectPolicy::default() };
    reader.collect(&policy).unwrap();
    assert_eq!(files(&left).len(), 2);
    reader.collect(&CollectPolicy { dry_run: false, ..policy }).unwrap();
    assert_eq!(files(&left), [left.join("young")]);
}

/// What is mounted may go in the middle of a run: what is found in its place is not the remote.
#[test]
fn a_folder_that_goes_away_is_a_failure_and_no_empty_remote() {
    let place = Place::new();
    let a = place.store("a");
    for n in 1..=3 {
        publish(&a, &key(n), &rows(0, 5));
    }
    let remote = remote(&place.folder());
    push(&remote, &a, 1);
    assert_eq!((remote.counts().pushed, remote.counts().failures), (1, 0));
    let elsewhere = place.folder().with_extension("elsewhere");
    fs::rename(place.folder(), &elsewhere).unwrap();
    assert!(remote.pull(&place.store("b"), &key(1)).is_none());
    push(&remote, &a, 2);
    assert_eq!((remote.counts().pushed, remote.counts().unpushed), (1, 1));
    let warnings = remote.take_warnings();
    assert!(warnings.iter().any(|warning| warning.contains("is gone")), "{warnings:?}");
    assert_eq!(files(&place.folder()), [] as [PathBuf; 0], "nothing is begun anew");
    fs::rename(&elsewhere, place.folder()).unwrap();
    push(&remote, &a, 3);
    assert_eq!(remote.counts().pushed, 2);
}

/// `pipe remote check` of who may only read tries that on what is there.
#[test]
fn a_folder_that_may_only_be_read_is_read_by_the_check() {
    let place = Place::new();
    let a = place.store("a");
    publish(&a, &key(1), &rows(0, 5));
    push(&remote(&place.folder()), &a, 1);
    // A file stands where those go that are on their way.
    fs::remove_dir(place.folder().join("v1/tmp")).unwrap();
    fs::write(place.folder().join("v1/tmp"), "").unwrap();
    let steps = remote_of(&place.folder(), RemoteMode::Pull).check();
    let told: Vec<_> = steps.iter().map(|step| (step.ability, step.tried && step.problem.is_none())).collect();
    assert_eq!(told[..3], [(Ability::Write, false), (Ability::Read, true), (Ability::ReadPart, true)], "{steps:?}");
    assert!(steps.iter().all(|step| !step.needed || step.problem.is_none()), "{steps:?}");
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

#[test]
fn a_dry_collection_writes_nothing_not_even_to_ask_the_time() {
    let place = Place::new();
    let a = place.store("a");
    publish(&a, &key(1), &rows(0, 3));
    let remote = remote(&place.folder());
    push(&remote, &a, 1);
    // Whoever writes something there makes this folder.
    let trace = place.folder().join("v1/check");
    let policy = CollectPolicy { max_age: Some(Duration::ZERO), dry_run: true, ..CollectPolicy::default() };
    std::thread::sleep(Duration::from_millis(20));
    let would = remote.collect(&policy).unwrap();
    assert!(would.marked > 0 && !trace.exists(), "{would:?}");
    remote.collect(&CollectPolicy { dry_run: false, ..policy }).unwrap();
    assert!(trace.exists());
}
