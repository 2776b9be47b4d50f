//! Runs with a remote: what another machine has computed is fetched, in every order that nodes become known.

use std::path::Path;

use pipe_cache::{Digest, LeaseAttempt, Provenance, Remote, RemoteOptions, Store};
use pipe_engine::{
    events::{EventKind, RunEnd, SkipReason},
    inspect::{Action, plan},
    pipeline::Selection,
};
use pipe_testing::Lab;

const NONE: [&str; 0] = [];

const ARMS: &str = "
pipeline: p
vars: { mark: '.' }
ablate: { mark: [a, b, c] }
stages:
  pool: { kind: lines, params: { lines: [x, y, z] } }
  each: { kind: map, inputs: { in: pool }, params: { mark: '${mark}' } }
  last: { kind: upper, inputs: { in: each } }
";

fn remote(folder: &Path) -> Remote {
    let options = RemoteOptions::new(format!("file://{}", folder.display()));
    Remote::open(&options).unwrap()
}

/// A machine of its own, with that remote.
fn machine(folder: &Path) -> Lab {
    let mut lab = Lab::new();
    lab.options.remote = Some(remote(folder));
    lab
}

#[test]
fn a_second_machine_computes_nothing_of_four_arms() {
    let folder = tempfile::tempdir().unwrap();
    let first = machine(folder.path());
    let ran = first.run(ARMS);
    assert_eq!((ran.summary.ran, ran.summary.hits), (9, 0));
    let counts = ran.summary.remote.unwrap();
    assert_eq!((counts.pushed, counts.unpushed, counts.failures), (9, 0, 0), "{:?}", ran.warnings());

    let second = machine(folder.path());
    let planned = plan(&second.pipeline(ARMS), &second.store, &second.options).unwrap();
    assert!(planned.nodes.iter().all(|node| matches!(node.action, Action::Hit { remote: true, .. })));
    assert_eq!(second.store.keys().unwrap(), [], "a plan fetches nothing");
    let ran = second.run(ARMS);
    assert_eq!(ran.stages, NONE);
    assert_eq!((ran.summary.outcome, ran.summary.ran, ran.summary.hits), (RunEnd::Succeeded, 0, 9));
    assert_eq!(ran.summary.remote.unwrap().pulled, 9);
    for variant in ["baseline", "mark=a", "mark=b", "mark=c"] {
        for stage in ["pool", "each", "last"] {
            let key = first.key(variant, stage);
            assert_eq!(second.key(variant, stage), key);
            assert_eq!(first.store.manifest(&key).unwrap(), second.store.manifest(&key).unwrap());
        }
    }
    // Local first: nothing is asked once it is here.
    let ran = second.run(ARMS);
    assert_eq!((ran.summary.hits, ran.summary.remote.unwrap().pulled), (9, 9));
}

#[test]
fn rows_of_another_machine_are_not_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let study = |lines: &str| {
        format!(
            "
pipeline: p
stages:
  pool: {{ kind: lines, params: {{ lines: [{lines}] }} }}
  each: {{ kind: map, inputs: {{ in: pool }}, params: {{ mark: '.' }} }}
"
        )
    };
    let first = machine(folder.path());
    first.run(&study("a, b, c"));
    assert_eq!(first.probe.take_rows(), ["a", "b", "c"]);
    let second = machine(folder.path());
    second.run(&study("d, c, a, e"));
    assert_eq!(second.probe.take_rows(), ["d", "e"]);
    assert_eq!(second.texts("each"), ["d./0", "c./0", "a./0", "e./0"]);
}

#[test]
fn what_is_forced_is_computed_and_replaces_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    machine(folder.path()).run(ARMS);
    let mut second = machine(folder.path());
    second.options.selection = Selection { force: vec!["last".to_owned()], ..Selection::default() };
    let ran = second.run(ARMS);
    assert_eq!((ran.summary.ran, ran.summary.hits), (4, 5));
    assert_eq!(ran.summary.remote.unwrap().pushed, 4, "{:?}", ran.warnings());
}

#[test]
fn a_run_that_only_pulls_computes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = machine(folder.path());
    first.options.selection = Selection { variants: vec!["mark=a".to_owned()], ..Selection::default() };
    first.run(ARMS);
    let mut second = machine(folder.path());
    second.options.pull_only = true;
    second.options.keep_going = true;
    let ran = second.run(ARMS);
    assert_eq!(ran.stages, NONE);
    assert_eq!((ran.summary.ran, ran.summary.hits, ran.summary.skipped), (0, 3, 6));
    let reasons = ran.pick(|e| if let EventKind::Skipped { reason, .. } = e { Some(reason.clone()) } else { None });
    assert!(reasons.iter().all(|reason| *reason == SkipReason::NotOnRemote));
}

#[test]
fn a_damaged_result_here_is_mended_from_the_remote() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = machine(folder.path());
    lab.run(ARMS);
    pipe_testing::damage(&lab.object("each"));
    lab.reopen();
    lab.options.remote = Some(remote(folder.path()));
    lab.options.selection = Selection {
        force: vec!["last@baseline".to_owned()],
        variants: vec!["baseline".to_owned()],
        ..Selection::default()
    };
    let ran = lab.run(ARMS);
    assert_eq!((ran.summary.outcome, ran.failures().len()), (RunEnd::Succeeded, 0));
    assert_eq!(ran.stages, ["last@baseline x2"], "it found its input damaged, which then came from the remote");
}

#[test]
fn a_remote_that_fails_costs_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let ran = machine(&file).run(ARMS);
    assert_eq!((ran.summary.outcome, ran.summary.ran), (RunEnd::Succeeded, 9));
    let counts = ran.summary.remote.unwrap();
    assert_eq!(counts.pushed, 0);
    assert!(counts.unpushed >= 9 && counts.failures > 0, "{counts:?}");
    assert!(ran.warnings().iter().any(|warning| warning.contains("did not reach the remote")));
}

/// Publishes something under a key that no stage of it leaves.
fn publish_other(store: &Store, key: &Digest) {
    let LeaseAttempt::Acquired(lease) = store.try_lease(key).unwrap() else { panic!("nobody has it") };
    let publication = store.begin(lease, &["other"]).unwrap();
    std::fs::write(publication.files_dir("other").unwrap().join("file"), "text").unwrap();
    publication.commit(Provenance::default()).unwrap();
}

#[test]
fn a_result_with_other_outputs_than_the_stage_has_is_computed() {
    let first = Lab::new();
    first.run(ARMS);
    let key = first.key("baseline", "pool");

    let folder = tempfile::tempdir().unwrap();
    let stranger = Lab::new();
    publish_other(&stranger.store, &key);
    let there = remote(folder.path());
    there.submit(&stranger.store, &key, false);
    there.wait(&|| false);
    assert_eq!(there.counts().pushed, 1);
    let second = machine(folder.path());
    let planned = plan(&second.pipeline(ARMS), &second.store, &second.options).unwrap();
    assert!(!planned.nodes.iter().any(|node| matches!(node.action, Action::Hit { .. })));
    let ran = second.run(ARMS);
    assert_eq!((ran.summary.ran, ran.failures().len()), (9, 0));
    assert!(ran.warnings().iter().any(|warning| warning.contains("its outputs are `other`")), "{:?}", ran.warnings());
    // It was damaged, and is no more.
    assert_eq!(machine(folder.path()).run(ARMS).summary.hits, 9);

    let lab = Lab::new();
    publish_other(&lab.store, &key);
    let ran = lab.run(ARMS);
    assert_eq!((ran.summary.ran, ran.failures().len()), (9, 0));
    let damaged = ran.pick(|e| if let EventKind::Damaged { message, .. } = e { Some(message.clone()) } else { None });
    assert!(damaged[0].contains("its outputs are `other`"), "{damaged:?}");
    assert_eq!(lab.run(ARMS).summary.hits, 9);
}
