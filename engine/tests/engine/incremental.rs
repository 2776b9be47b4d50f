//! Row-wise and stream stages, and checkpoints: only what is missing is computed, and the result never shows it (I11).

use std::sync::atomic::Ordering;

use pipe_engine::{
    events::{EventKind, NodeStats, RunEnd},
    pipeline::Selection,
};
use pipe_testing::{Lab, Ran, kinds::map_versioned};

const NONE: [&str; 0] = [];

fn map(lines: &str, extra: &str) -> String {
    format!(
        "
pipeline: p
stages:
  pool: {{ kind: lines, params: {{ lines: [{lines}] }} }}
  each: {{ kind: map, inputs: {{ in: pool }}, params: {{ mark: '.'{extra} }} }}
"
    )
}

fn stats(ran: &Ran, stage: &str) -> NodeStats {
    ran.pick(|e| match e {
        EventKind::Finished { node, stats, .. } if &*node.label.0 == stage => Some(stats.clone()),
        _ => None,
    })
    .remove(0)
}

#[test]
fn only_unknown_rows_are_computed() {
    let lab = Lab::new();
    lab.run(&map("a, b, c", ""));
    assert_eq!(lab.probe.take_rows(), ["a", "b", "c"]);
    let ran = lab.run(&map("d, c, a, e", ""));
    assert_eq!(lab.probe.take_rows(), ["d", "e"]);
    assert_eq!(lab.texts("each"), ["d./0", "c./0", "a./0", "e./0"], "in the order of the input");
    let stats = stats(&ran, "each");
    assert_eq!((stats.rows_computed, stats.rows_reused, stats.rows), (2, 2, 4));
    assert_eq!(stats.counters["rows_out"], 4);
    let ran = lab.run(&map("c, b", ""));
    assert_eq!(ran.stages, ["each", "pool"]);
    assert_eq!(lab.probe.take_rows(), NONE, "a subset is only put together");
    assert_eq!(lab.texts("each"), ["c./0", "b./0"]);
}

#[test]
fn a_new_version_keeps_the_rows_unless_the_recipe_has_one_too() {
    let mut lab = Lab::new();
    lab.run(&map("a, b", ""));
    assert_eq!(lab.probe.take_rows(), ["a", "b"]);
    lab.registry = map_versioned::<2, 1>(&lab.probe);
    let ran = lab.run(&map("a, b, c", ""));
    assert_eq!(ran.stages, ["each", "pool"], "its result is another one");
    assert_eq!(lab.probe.take_rows(), ["c"], "and made of the same rows");
    lab.registry = map_versioned::<3, 2>(&lab.probe);
    lab.run(&map("a, b, c", ""));
    assert_eq!(lab.probe.take_rows(), ["a", "b", "c"]);
}

#[test]
fn equal_rows_are_computed_once() {
    let lab = Lab::new();
    lab.run(&map("a, b, a, a", ", times: 2"));
    assert_eq!(lab.probe.take_rows(), ["a", "b"]);
    assert_eq!(lab.texts("each"), ["a./0", "a./0", "b./0", "b./0", "a./0", "a./0", "a./0", "a./0"]);
}

#[test]
fn rows_may_have_no_output_and_tables_no_rows() {
    let lab = Lab::new();
    lab.run(&map("a, b", ", times: 0"));
    assert_eq!(lab.texts("each"), NONE);
    let lab = Lab::new();
    assert_eq!(lab.run(&map("", "")).summary.outcome, RunEnd::Succeeded);
    assert_eq!(lab.texts("each"), NONE);
}

#[test]
fn batch_size_and_order_of_emission_change_nothing() {
    let lines = (0..50).map(|i| format!("l{}", i % 37)).collect::<Vec<_>>().join(", ");
    let keys: Vec<_> = ["", ", batch: 7", ", batch: 100", ", batch: 3, backwards: true"]
        .iter()
        .map(|extra| {
            let lab = Lab::new();
            lab.run(&map(&lines, extra));
            let manifest = lab.store.manifest(&lab.key("baseline", "each")).unwrap().unwrap();
            (manifest.key, manifest.outputs[0].artifact.object)
        })
        .collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn parameters_and_side_inputs_make_another_recipe() {
    let lab = Lab::new();
    let yaml = |side: &str, mark: &str| {
        format!(
            "
pipeline: p
stages:
  pool: {{ kind: lines, params: {{ lines: [a, b] }} }}
  side: {{ kind: lines, params: {{ lines: [{side}] }} }}
  each: {{ kind: map, inputs: {{ in: pool, side: side }}, params: {{ mark: '{mark}' }} }}
"
        )
    };
    let check = |yaml: &str, rows: &[&str]| {
        lab.run(yaml);
        assert_eq!(lab.probe.take_rows(), rows, "{yaml}");
    };
    check(&yaml("x", "."), &["a", "b"]);
    check(&yaml("x, y", "."), &["a", "b"]);
    check(&yaml("x", "!"), &["a", "b"]);
    check(&yaml("x", "."), &[]);
}

#[test]
fn a_failed_stage_keeps_the_rows_it_had() {
    let lab = Lab::new();
    lab.probe.budget.store(4, Ordering::SeqCst);
    let ran = lab.run(&map("a, b, c, d, e", ""));
    assert_eq!(ran.failures(), ["each: out of budget"]);
    assert_eq!(lab.probe.take_rows(), ["a", "b", "c"]);
    lab.probe.budget.store(0, Ordering::SeqCst);
    lab.run(&map("a, b, c, d, e", ""));
    assert_eq!(lab.probe.take_rows(), ["d", "e"]);
    assert_eq!(lab.texts("each").len(), 5);
}

#[test]
fn force_forgets_the_rows() {
    let mut lab = Lab::new();
    lab.run(&map("a, b", ""));
    lab.probe.take_rows();
    lab.options.selection = Selection { force: vec!["each".into()], ..Selection::default() };
    assert_eq!(lab.run(&map("a, b", "")).stages, ["each"]);
    assert_eq!(lab.probe.take_rows(), ["a", "b"]);
}

#[test]
fn damaged_memo_rows_are_computed_again() {
    let mut lab = Lab::new();
    lab.run(&map("a, b", ""));
    lab.probe.take_rows();
    let memo = lab.store.layout().root().join("v1/memo");
    let mut damaged = 0;
    for dir in std::fs::read_dir(memo).unwrap() {
        for shard in std::fs::read_dir(dir.unwrap().path()).unwrap() {
            let path = shard.unwrap().path();
            if path.extension().is_some_and(|e| e == "parquet") {
                pipe_testing::damage(&path);
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0);
    lab.reopen();
    let ran = lab.run(&map("a, b, c", ""));
    assert_eq!(ran.summary.outcome, RunEnd::Succeeded, "{:?}", ran.failures());
    assert_eq!(lab.probe.take_rows(), ["a", "b", "c"]);
    assert_eq!(lab.texts("each"), ["a./0", "b./0", "c./0"]);
}

fn numbers(count: usize, extra: &str) -> String {
    format!("pipeline: p\nstages:\n  n: {{ kind: numbers, params: {{ count: {count}{extra} }} }}\n")
}

#[test]
fn a_larger_extent_only_adds() {
    let lab = Lab::new();
    lab.run(&numbers(20, ""));
    let (first, attempts) = (lab.texts("n"), lab.probe.take_rows());
    assert_eq!(first.len(), 20);
    let ran = lab.run(&numbers(60, ""));
    let (second, added) = (lab.texts("n"), lab.probe.take_rows());
    assert_eq!(second[..20], first[..], "a prefix, byte for byte");
    assert_eq!(added[0], format!("{:04}", attempts.len()), "it goes on where it was");
    let stats = stats(&ran, "n");
    assert_eq!((stats.rows_reused, stats.rows_computed), (attempts.len() as u64, added.len() as u64));

    assert_eq!(lab.run(&numbers(40, "")).stages, ["n"]);
    assert_eq!(lab.probe.take_rows(), NONE, "a smaller extent computes nothing");
    assert_eq!(lab.texts("n"), second[..40]);
}

#[test]
fn streams_do_not_depend_on_batches_order_or_interruptions() {
    let whole = Lab::new();
    whole.run(&numbers(50, ""));
    let expect = whole.texts("n");
    for extra in [", batch: 9", ", batch: 9, backwards: true", ", batch: 1000"] {
        let lab = Lab::new();
        lab.run(&numbers(50, extra));
        assert_eq!(lab.texts("n"), expect, "{extra}");
    }
    let lab = Lab::new();
    for budget in [2, 8, 5, 30, 0] {
        lab.probe.budget.store(budget, Ordering::SeqCst);
        lab.run(&numbers(50, ""));
    }
    assert_eq!(lab.texts("n"), expect);
    let attempts = lab.probe.take_rows();
    let mut distinct = attempts.clone();
    distinct.dedup();
    assert_eq!(attempts, distinct, "no attempt was made twice");
}

#[test]
fn it_looks_ahead_no_further_than_the_yield_says_and_a_larger_extent_uses_what_was_too_much() {
    let lab = Lab::new();
    let ran = lab.run(&numbers(20, ", batch: 500"));
    let first = lab.probe.take_rows();
    let seen: usize = lab.texts("n").last().unwrap().split_once(':').unwrap().0.parse::<usize>().unwrap() + 1;
    assert_eq!(stats(&ran, "n").rows_computed, first.len() as u64);
    assert!((seen..seen + 10).contains(&first.len()), "{} attempts, of which {seen} were needed", first.len());
    lab.run(&numbers(50, ", batch: 500"));
    let added = lab.probe.take_rows();
    assert_eq!(added[0], format!("{:04}", first.len()));
    assert_eq!(lab.texts("n").len(), 50);
}

#[test]
fn another_seed_is_another_stream() {
    let lab = Lab::new();
    lab.run(&numbers(30, ""));
    let first = lab.texts("n");
    lab.run(&numbers(30, ", seed: 1"));
    assert_ne!(lab.texts("n"), first);
}

#[test]
fn checkpoints_survive_failure_and_go_when_the_result_is_there() {
    let lab = Lab::new();
    let yaml = "pipeline: p\nstages:\n  t: { kind: trainer, params: { steps: 5 } }\n";
    lab.probe.budget.store(4, Ordering::SeqCst);
    assert_eq!(lab.run(yaml).failures(), ["t: out of budget"]);
    assert_eq!(lab.probe.take_rows(), ["step 0", "step 1", "step 2"]);
    lab.probe.budget.store(0, Ordering::SeqCst);
    assert_eq!(lab.run(yaml).summary.outcome, RunEnd::Succeeded);
    assert_eq!(lab.probe.take_rows(), ["step 3", "step 4"]);
    assert_eq!(std::fs::read_to_string(lab.object("t").join("weights")).unwrap(), "after 5 steps");

    let mut lab = lab;
    lab.options.selection.force_all = true;
    lab.run(yaml);
    assert_eq!(lab.probe.take_rows().len(), 5, "nothing is left of the checkpoints");
}

#[test]
fn rows_made_of_a_changed_file_never_serve_the_old_one() {
    let yaml = "
pipeline: p
stages:
  s: { kind: trouble, params: { how: meddle } }
  each: { kind: map, inputs: { in: s }, params: { file: moving } }
";
    let lab = Lab::new();
    lab.write("moving", "old");
    // `s` changes the file while it runs, after the keys of both stages were made of the old text.
    lab.probe.failures.store(1, Ordering::SeqCst);
    let ran = lab.run(yaml);
    assert_eq!(ran.summary.outcome, RunEnd::Succeeded, "{:?}", ran.failures());
    let new = std::fs::read_to_string(lab.path("moving")).unwrap();
    assert_ne!(new, "old");
    assert_eq!(lab.texts("each"), [format!("ok{new}/0")]);
    lab.write("moving", "old");
    lab.run(yaml);
    assert_eq!(lab.texts("each"), ["okold/0"]);
}
