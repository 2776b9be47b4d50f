//! Failures, retries, cancellation, damage, concurrency: whatever happens, the outcome is clear and nothing wrong is
//! served.

use std::{
    fs,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use pipe_engine::{
    events::{EventKind, Journal, RunEnd, SkipReason},
    execute::{RunOptions, run},
    pipeline::Selection,
};
use pipe_testing::{Lab, damage};

const NONE: [&str; 0] = [];

/// Two independent branches: `bad` (with a stage below it) and `good`.
fn branches(how: &str) -> String {
    format!(
        "
pipeline: p
stages:
  bad:   {{ kind: trouble, params: {{ how: {how} }} }}
  below: {{ kind: upper, inputs: {{ in: bad }} }}
  last:  {{ kind: upper, inputs: {{ in: below }} }}
  good:  {{ kind: lines, params: {{ lines: [a] }} }}
  fine:  {{ kind: upper, inputs: {{ in: good }} }}
"
    )
}

fn skipped(ran: &pipe_testing::Ran) -> Vec<(String, SkipReason)> {
    ran.pick(|e| match e {
        EventKind::Skipped { node, reason } => Some((node.label.to_string(), reason.clone())),
        _ => None,
    })
}

#[test]
fn a_failure_stops_the_run() {
    let mut lab = Lab::new();
    lab.options.jobs = 1;
    let ran = lab.run(&branches("fail"));
    assert_eq!(ran.summary.outcome, RunEnd::Failed);
    assert_eq!(ran.failures(), ["bad: row 3 has no `text`"]);
    assert_eq!(ran.stages, ["bad"]);
    assert_eq!((ran.summary.failed, ran.summary.skipped, ran.summary.ran), (1, 4, 0));
    assert!(skipped(&ran).contains(&("good".into(), SkipReason::RunFailed)));
}

#[test]
fn keep_going_finishes_what_does_not_need_the_failed_stage() {
    let mut lab = Lab::new();
    lab.options.keep_going = true;
    let ran = lab.run(&branches("fail"));
    assert_eq!(ran.summary.outcome, RunEnd::Failed);
    assert_eq!(ran.stages, ["bad", "fine", "good"]);
    let upstream = || SkipReason::UpstreamFailed { upstream: pipe_engine::pipeline::Label("bad".into()) };
    assert_eq!(skipped(&ran), [("below".into(), upstream()), ("last".into(), upstream())]);
    assert_eq!(lab.run(&branches("fail")).stages, ["bad"], "what was done is not done again");
}

#[test]
fn a_panic_is_a_failed_stage() {
    let mut lab = Lab::new();
    lab.options.keep_going = true;
    let ran = lab.run(&branches("panic"));
    assert_eq!(ran.failures(), ["bad: the stage kind is at fault: it panicked: index out of bounds"]);
    assert_eq!(ran.stages, ["bad", "fine", "good"]);
}

#[test]
fn a_stage_that_leaves_no_output_has_failed() {
    let lab = Lab::new();
    let ran = lab.run(&branches("silent"));
    assert_eq!(ran.summary.failed, 1);
    assert!(ran.failures()[0].contains("`out`"), "{:?}", ran.failures());
}

#[test]
fn passing_faults_are_retried_as_often_as_asked() {
    let yaml = |retries: u32| {
        format!(
            "pipeline: p\nstages:\n  s: {{ kind: trouble, params: {{ how: flaky }}, retries: {retries}, backoff: 1ms \
             }}\n"
        )
    };
    let lab = Lab::new();
    lab.probe.failures.store(3, Ordering::SeqCst);
    let ran = lab.run(&yaml(2));
    assert_eq!(ran.failures(), ["s: endpoint is busy"]);
    assert_eq!(ran.stages, ["s x3"]);

    lab.probe.failures.store(2, Ordering::SeqCst);
    let ran = lab.run(&yaml(2));
    assert_eq!(ran.summary.outcome, RunEnd::Succeeded);
    let attempts = ran.pick(|e| match e {
        EventKind::Retry { attempt, .. } => Some(*attempt),
        _ => None,
    });
    assert_eq!(attempts, [1, 2]);
}

#[test]
fn a_timeout_fails_the_stage() {
    let lab = Lab::new();
    let ran = lab.run("pipeline: p\nstages:\n  s: { kind: trouble, params: { how: hang }, timeout: 20ms }\n");
    assert_eq!(ran.failures(), ["s: it ran longer than its timeout of 20ms"]);
    assert_eq!(ran.summary.outcome, RunEnd::Failed);
}

#[test]
fn cancelling_ends_the_run_and_keeps_what_is_done() {
    let mut lab = Lab::new();
    lab.options.jobs = 1;
    let yaml = "
pipeline: p
stages:
  a: { kind: lines, params: { lines: [x] } }
  b: { kind: trouble, inputs: { in: a }, params: { how: hang } }
  c: { kind: upper, inputs: { in: b } }
";
    let pipeline = lab.pipeline(yaml);
    let cancel = lab.options.cancel.clone();
    let mut events = Vec::new();
    let summary = run(&pipeline, &lab.store, &lab.options, &mut |event| {
        if matches!(&event.kind, EventKind::Started { node, .. } if &*node.label.0 == "b") {
            cancel.cancel();
        }
        events.push(event.kind.clone());
    })
    .unwrap();
    assert_eq!(summary.outcome, RunEnd::Cancelled);
    assert_eq!((summary.ran, summary.failed, summary.skipped), (1, 0, 2));
    let reasons: Vec<_> = events
        .iter()
        .filter_map(|e| match e {
            EventKind::Skipped { node, reason } => Some((node.label.to_string(), reason.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [("b".into(), SkipReason::Cancelled), ("c".into(), SkipReason::Cancelled)]);

    lab.options = RunOptions { jobs: 1, ..RunOptions::default() };
    let ran = lab.run(&yaml.replace("hang", "nothing"));
    assert_eq!(ran.stages, ["b", "c"], "`a` was kept");
}

#[test]
fn a_run_cancelled_before_it_begins_does_nothing() {
    let lab = Lab::new();
    lab.options.cancel.cancel();
    let ran = lab.run(&branches("nothing"));
    assert_eq!(ran.summary.outcome, RunEnd::Cancelled);
    assert_eq!(ran.stages, NONE);
}

const CHAIN: &str = "
pipeline: p
stages:
  a: { kind: lines, params: { lines: [x, y] } }
  b: { kind: upper, inputs: { in: a } }
  c: { kind: upper, inputs: { in: b }, params: { mark: '!' } }
";

#[test]
fn a_damaged_input_is_computed_again_with_what_reads_it() {
    let mut lab = Lab::new();
    lab.run(CHAIN);
    damage(&lab.object("a"));
    damage(&lab.object("b"));
    lab.reopen();
    let ran = lab.run(&CHAIN.replace("'!'", "'?'"));
    assert_eq!(ran.summary.outcome, RunEnd::Succeeded, "{:?}", ran.failures());
    assert_eq!(ran.stages, ["a", "b x2", "c x2"], "c finds b damaged, b finds a damaged; each then tries again");
    assert_eq!(lab.texts("c"), ["X?", "Y?"]);
    let damaged = ran.pick(|e| match e {
        EventKind::Damaged { node, .. } => Some(node.label.to_string()),
        _ => None,
    });
    assert!(damaged.contains(&"a".to_owned()) && damaged.contains(&"b".to_owned()), "{damaged:?}");
}

#[test]
fn a_deleted_object_is_computed_again() {
    let mut lab = Lab::new();
    lab.run(CHAIN);
    fs::remove_file(lab.object("b")).unwrap();
    lab.reopen();
    let ran = lab.run(CHAIN);
    assert_eq!(ran.stages, ["b"]);
    assert_eq!(lab.texts("b"), ["X", "Y"]);
}

#[test]
fn what_waits_for_its_next_attempt_is_over_when_what_it_needs_cannot_be_repaired() {
    let yaml = "
pipeline: p
stages:
  a: { kind: trouble, params: { how: flaky } }
  b: { kind: trouble, inputs: { in: a }, params: { how: flaky }, retries: 1, backoff: 300ms }
  c: { kind: upper, inputs: { in: a } }
";
    let mut lab = Lab::new();
    lab.options.selection = Selection { only: vec!["a".into()], ..Selection::default() };
    lab.run(yaml);
    damage(&lab.object("a"));
    lab.reopen();
    lab.options = RunOptions { jobs: 1, keep_going: true, ..RunOptions::default() };
    // `b` fails in passing; `c` finds `a` damaged, which fails, too.
    lab.probe.failures.store(2, Ordering::SeqCst);
    let ran = lab.run(yaml);
    assert_eq!(ran.summary.outcome, RunEnd::Failed);
    assert_eq!((ran.summary.failed, ran.summary.skipped), (1, 2), "{:?}", ran.failures());
    assert_eq!(ran.stages, ["a", "b", "c"]);
}

#[test]
fn damage_that_may_not_be_repaired_is_a_clear_failure() {
    let mut lab = Lab::new();
    lab.run(CHAIN);
    damage(&lab.object("b"));
    lab.reopen();
    lab.options.selection = Selection { only: vec!["c".into()], ..Selection::default() };
    let ran = lab.run(&CHAIN.replace("'!'", "'?'"));
    assert_eq!(ran.summary.outcome, RunEnd::Failed);
    assert!(ran.failures()[0].starts_with("c: failed to read damaged data"), "{:?}", ran.failures());
}

#[test]
fn a_missing_source_fails_clearly() {
    let lab = Lab::new();
    let ran = lab.run("pipeline: p\nstages:\n  s: { kind: file, params: { path: nowhere.txt } }\n");
    let failure = &ran.failures()[0];
    assert!(failure.starts_with("s: `path` names a file that does not exist: "), "{failure}");
    assert!(failure.ends_with("nowhere.txt"), "{failure}");
    assert_eq!(ran.stages, NONE);
}

#[cfg(unix)]
#[test]
fn a_source_that_cannot_be_hashed_runs_uncached() {
    let lab = Lab::new();
    std::os::unix::fs::symlink("/dev/null", lab.path("device")).unwrap();
    let yaml = "pipeline: p\nstages:\n  s: { kind: file, params: { path: device } }\n  u: { kind: upper, inputs: { in: \
                s } }\n";
    let ran = lab.run(yaml);
    assert_eq!(ran.summary.outcome, RunEnd::Succeeded, "{:?}", ran.failures());
    assert!(ran.warnings()[0].ends_with("its result is not cached"), "{:?}", ran.warnings());
    assert_eq!(lab.run(yaml).stages, ["s"], "it runs every time; what is below is cut off");
}

#[test]
fn a_source_that_changes_meanwhile_is_read_again() {
    let yaml = "pipeline: p\nstages:\n  s: { kind: trouble, params: { how: meddle } }\n";
    let lab = Lab::new();
    lab.write("moving", "still");
    lab.probe.failures.store(1, Ordering::SeqCst);
    let ran = lab.run(yaml);
    assert_eq!(ran.summary.outcome, RunEnd::Succeeded, "{:?}", ran.failures());
    assert_eq!(ran.stages, ["s x2"]);
    assert_eq!(lab.run(yaml).stages, NONE, "the key is that of the file as it was read");

    lab.write("moving", "again");
    lab.probe.failures.store(100, Ordering::SeqCst);
    let ran = lab.run(yaml);
    assert_eq!(ran.failures(), ["s: source `moving` changed during the run"]);
}

#[test]
fn selections() {
    let yaml = "
pipeline: p
vars: { m: x }
ablate: { m: [x, y] }
stages:
  a: { kind: lines, params: { lines: [l] } }
  b: { kind: upper, inputs: { in: a }, params: { mark: '${m}' } }
  c: { kind: upper, inputs: { in: b } }
  d: { kind: concat, inputs: { a: 'c[*]' } }
";
    let check = |selection: Selection, expect: &[&str], ready: &[&str]| {
        let mut lab = Lab::new();
        lab.options.selection.until = ready.iter().map(|s| (*s).to_owned()).collect();
        if !ready.is_empty() {
            lab.run(yaml);
        }
        lab.options.selection = selection.clone();
        let ran = lab.run(yaml);
        assert_eq!(ran.stages, expect, "{selection:?}");
        ran.summary.outcome
    };
    let names = |names: &[&str]| names.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let (ok, failed) = (RunEnd::Succeeded, RunEnd::Failed);
    let only = |n: &[&str]| Selection { only: names(n), ..Selection::default() };
    let until = |n: &[&str]| Selection { until: names(n), ..Selection::default() };
    let from = |n: &[&str]| Selection { from: names(n), ..Selection::default() };
    assert_eq!(check(until(&["b"]), &["a", "b@baseline", "b@m=y"], &[]), ok);
    assert_eq!(check(until(&["c@m=y"]), &["a", "b@m=y", "c@m=y"], &[]), ok);
    assert_eq!(check(only(&["b"]), &[], &[]), failed, "`a` is neither selected nor there");
    assert_eq!(check(only(&["b"]), &["b@baseline", "b@m=y"], &["a"]), ok);
    assert_eq!(check(from(&["c"]), &["c@baseline", "c@m=y", "d"], &["b"]), ok);
    let between = Selection { from: names(&["b"]), until: names(&["c@baseline"]), ..Selection::default() };
    assert_eq!(check(between, &["b@baseline", "c@baseline"], &["a"]), ok);
    let variant = Selection { variants: names(&["m=y"]), until: names(&["c"]), ..Selection::default() };
    assert_eq!(check(variant, &["a", "b@m=y", "c@m=y"], &[]), ok);
    let variant = Selection { variants: names(&["m=y"]), ..Selection::default() };
    assert_eq!(check(variant, &["a", "b@m=y", "c@m=y"], &[]), ok, "`d` gathers the baseline, too, and is left out");
    let both = Selection { variants: names(&["m=y", "baseline"]), ..Selection::default() };
    assert_eq!(check(both, &["a", "b@baseline", "b@m=y", "c@baseline", "c@m=y", "d"], &[]), ok);
    let force = Selection { force: names(&["b@baseline"]), ..Selection::default() };
    assert_eq!(check(force, &["b@baseline"], &["d"]), ok, "the same rows again: nothing below runs");
    let force_all = Selection { force_all: true, until: names(&["a"]), ..Selection::default() };
    assert_eq!(check(force_all, &["a"], &["d"]), ok);
}

#[test]
fn a_name_that_is_not_there_is_an_error_with_the_names_that_are() {
    let mut lab = Lab::new();
    lab.options.selection.only = vec!["loudd".into()];
    let pipeline = lab.pipeline(CHAIN);
    let error = run(&pipeline, &lab.store, &lab.options, &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "pipeline `p` has no stage `loudd`");
}

#[test]
fn results_are_linked_by_name() {
    let mut lab = Lab::new();
    lab.options.results = Some(lab.path("results"));
    lab.run(CHAIN);
    let link = lab.path("results/p/baseline/c.parquet");
    assert_eq!(fs::read(&link).unwrap(), fs::read(lab.object("c")).unwrap());
    fs::remove_file(&link).unwrap();
    lab.run(CHAIN);
    assert!(link.exists(), "a link that was deleted is made again");
    lab.run(&CHAIN.replace("'!'", "'?'"));
    assert_eq!(fs::read(&link).unwrap(), fs::read(lab.object("c")).unwrap());
}

#[test]
fn journals_tell_what_happened_even_when_cut_short() {
    let mut lab = Lab::new();
    lab.options.keep_going = true;
    lab.run(&branches("fail"));
    lab.run(&branches("nothing"));
    let journal = Journal::new(&lab.store);
    let runs = journal.runs().unwrap();
    assert_eq!(runs.len(), 2);
    let (last, first) = (journal.info(&runs[0]).unwrap().unwrap(), journal.info(&runs[1]).unwrap().unwrap());
    assert_eq!(first.summary.as_ref().unwrap().outcome, RunEnd::Failed);
    assert_eq!(last.summary.as_ref().unwrap().outcome, RunEnd::Succeeded);
    let state = journal.state(&last).unwrap().unwrap();
    assert_eq!(state["baseline"]["last"], lab.key("baseline", "last"));

    let path = lab.store.layout().runs().join(format!("{}.jsonl", runs[0]));
    let text = fs::read(&path).unwrap();
    for cut in (0..text.len()).step_by(13) {
        fs::write(&path, &text[..cut]).unwrap();
        if let Some(info) = journal.info(&runs[0]).unwrap() {
            assert_eq!(info.pipeline, "p");
            assert_eq!(journal.state(&info).unwrap().is_some(), info.summary.is_some());
        }
    }
}

#[test]
fn a_read_only_store_serves_hits_and_refuses_the_rest() {
    let mut lab = Lab::new();
    lab.run(CHAIN);
    let options = pipe_cache::StoreOptions::READ_ONLY;
    lab.store = pipe_cache::Store::open(lab.store.layout().root(), options).unwrap();
    assert_eq!(lab.run(CHAIN).summary.outcome, RunEnd::Succeeded);
    let ran = lab.run(&CHAIN.replace("'!'", "'?'"));
    assert_eq!(ran.failures(), ["c: its result is not in the store, and the store is read-only"]);
}

#[test]
fn stages_that_run_are_told_at_once() {
    let lab = Lab::new();
    let pipeline = lab.pipeline("pipeline: p\nstages:\n  g: { kind: gate }\n");
    let started = Instant::now();
    let probe = lab.probe.clone();
    let mut seen = false;
    run(&pipeline, &lab.store, &lab.options, &mut |event| {
        // The stage waits for the gate, which opens only when its line has arrived here.
        if matches!(&event.kind, EventKind::Log { line, .. } if line == "at the gate") {
            seen = true;
            probe.open_gate();
        }
    })
    .unwrap();
    assert!(seen && started.elapsed() < Duration::from_secs(5));
}
