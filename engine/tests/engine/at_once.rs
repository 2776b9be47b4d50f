//! What runs at once: as much as there are slots for, and no key twice.

use std::{sync::atomic::Ordering, thread};

use pipe_engine::{
    events::RunEnd,
    execute::{Offer, RunOptions, run},
};
use pipe_testing::Lab;

#[test]
fn slots_bound_what_runs_at_once() {
    let stages = |extra: &str| -> String {
        let stage = |i| format!("  g{i}: {{ kind: gate, params: {{ id: {i}, millis: 15 }}{extra} }}\n");
        format!("pipeline: p\nstages:\n{}", (0..6).map(stage).collect::<String>())
    };
    let check = |extra: &str, options: RunOptions, most: usize| {
        let mut lab = Lab::new();
        lab.options = options;
        assert_eq!(lab.run(&stages(extra)).summary.ran, 6);
        assert_eq!(lab.probe.most_running.load(Ordering::SeqCst), most, "{extra}");
    };
    let options = |jobs| RunOptions { jobs, gpus: 1, memory: 3 << 30, ..RunOptions::default() };
    check("", options(1), 1);
    check("", options(3), 3);
    check(", resources: { cpu: 2 }", options(4), 2);
    check(", resources: { gpu: 1 }", options(4), 1);
    check(", resources: { memory: 2GiB }", options(4), 1);
    check(", resources: { cpu: 64 }", options(4), 1);
}

#[test]
fn equal_keys_are_computed_once() {
    let lab = Lab::new();
    // `x` and `y` are different stages that yield the same rows; what stands on them has equal keys.
    let ran = lab.run(
        "
pipeline: p
stages:
  x: { kind: lines, params: { lines: [a] } }
  y: { kind: lines, params: { lines: [''], suffix: a } }
  u: { kind: upper, inputs: { in: x } }
  v: { kind: upper, inputs: { in: y } }
",
    );
    assert_eq!(ran.summary.outcome, RunEnd::Succeeded);
    assert_eq!(ran.stages.len(), 3, "{:?}", ran.stages);
    assert_eq!((ran.summary.ran, ran.summary.hits), (3, 1));
    assert_eq!(lab.key("baseline", "u"), lab.key("baseline", "v"));
}

#[test]
fn variants_share_what_they_have_in_common() {
    let lab = Lab::new();
    let ran = lab.run(
        "
pipeline: p
vars: { mark: a }
ablate: { mark: [a, b, c] }
stages:
  pool: { kind: lines, params: { lines: [x, y] } }
  loud: { kind: upper, inputs: { in: pool }, params: { mark: '${mark}' } }
  all:  { kind: concat, inputs: { a: 'loud[*]' } }
",
    );
    assert_eq!(ran.summary.ran, 5, "{:?}", ran.stages);
    let rows = lab.texts("all");
    assert_eq!(rows.len(), 6);
    assert!(rows.iter().any(|row| *row == "Xb|mark=b|mark=b|b"), "{rows:?}");
}

#[test]
fn two_runs_at_once_compute_each_key_once() {
    let lab = Lab::new();
    let stage = |i| {
        format!(
            "  g{i}: {{ kind: gate, params: {{ id: {i}, millis: 5 }} }}\n  u{i}: {{ kind: upper, inputs: {{ in: g{i} \
             }} }}\n"
        )
    };
    let yaml = format!("pipeline: p\nstages:\n{}", (0..8).map(stage).collect::<String>());
    let pipeline = lab.pipeline(&yaml);
    let summaries: Vec<_> = thread::scope(|scope| {
        let start = || {
            // A store of its own, as another process would have.
            let store =
                pipe_cache::Store::open(lab.store.layout().root(), pipe_cache::StoreOptions::default()).unwrap();
            run(&pipeline, &store, &lab.options, &mut |_| {}).unwrap()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(summaries.iter().all(|s| s.outcome == RunEnd::Succeeded), "{summaries:?}");
    assert_eq!(summaries.iter().map(|s| s.ran).sum::<usize>(), 16);
    assert!(lab.probe.take().iter().all(|stage| !stage.contains(" x")), "nothing ran twice");
}

#[cfg(unix)]
#[test]
fn a_worker_leaves_what_does_not_fit_it_also_if_that_has_no_key() {
    let mut lab = Lab::new();
    std::os::unix::fs::symlink("/dev/null", lab.path("device")).unwrap();
    let yaml = "pipeline: p\nstages:\n  s: { kind: file, params: { path: device }, resources: { gpu: 1 } }\n";
    lab.options.worker = Some(Offer::default());
    let ran = lab.run(yaml);
    assert_eq!((ran.summary.outcome, ran.stages.len()), (RunEnd::Left, 0));
    lab.options = RunOptions { gpus: 1, worker: Some(Offer::default()), ..RunOptions::default() };
    assert_eq!(lab.run(yaml).stages, ["s"]);
}
