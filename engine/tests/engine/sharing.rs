//! Rows and attempts that several stages want at the same time are computed by one of them.

use std::time::{Duration, Instant};

use pipe_engine::{
    events::{EventKind, RunEnd},
    pipeline::Selection,
};
use pipe_testing::{Lab, Ran};

fn lab(jobs: u32) -> Lab {
    let mut lab = Lab::new();
    lab.options.jobs = jobs;
    lab
}

/// Streams of one recipe.
fn numbers(stages: &[(&str, &str)]) -> String {
    let stage = |(name, params): &(&str, &str)| format!("  {name}: {{ kind: numbers, params: {{ {params} }} }}\n");
    format!("pipeline: p\nstages:\n{}", stages.iter().map(stage).collect::<String>())
}

/// Row-wise stages of one recipe over different rows.
fn maps(stages: &[(&str, std::ops::Range<u32>, &str)]) -> String {
    let stage = |(name, rows, params): &(&str, std::ops::Range<u32>, &str)| {
        let lines: Vec<String> = rows.clone().map(|row| format!("r{row:03}")).collect();
        format!(
            "  {name}_rows: {{ kind: lines, params: {{ lines: [{}] }} }}
  {name}: {{ kind: map, inputs: {{ in: {name}_rows }}, params: {{ {params} }} }}\n",
            lines.join(", ")
        )
    };
    format!("pipeline: p\nstages:\n{}", stages.iter().map(stage).collect::<String>())
}

/// What was computed; nothing of it twice.
fn computed_once(lab: &Lab) -> Vec<String> {
    let rows = lab.probe.take_rows();
    let mut distinct = rows.clone();
    distinct.dedup();
    assert_eq!(rows, distinct, "something was computed twice");
    rows
}

fn counts(ran: &Ran) -> (u64, u64, u64) {
    (ran.summary.rows_computed, ran.summary.rows_reused, ran.summary.rows_waited)
}

#[test]
fn streams_of_one_recipe_share_attempts_and_each_takes_up_the_rest() {
    let pace = "pace: { row: 3 }";
    let stages: Vec<(String, String)> =
        [40, 10, 30, 20].iter().map(|n| (format!("n{n}"), format!("count: {n}, {pace}"))).collect();
    let stages: Vec<(&str, &str)> = stages.iter().map(|(name, params)| (&**name, &**params)).collect();
    let (one, four) = (lab(1), lab(4));
    assert_eq!(one.run(&numbers(&stages)).summary.outcome, RunEnd::Succeeded);
    let alone = computed_once(&one);
    let ran = four.run(&numbers(&stages));
    assert_eq!(ran.summary.outcome, RunEnd::Succeeded, "{:?}", ran.failures());
    let together = computed_once(&four);
    assert!(together.len() <= alone.len() + 5, "{} attempts, {} one after the other", together.len(), alone.len());
    for (name, _) in &stages {
        assert_eq!(four.texts(name), one.texts(name), "{name}");
    }
    let (computed, reused, waited) = counts(&ran);
    assert_eq!(computed, together.len() as u64);
    assert!(waited > 0 && reused + waited > 60, "{computed} computed, {reused} reused, {waited} waited for");
}

#[test]
fn what_is_applied_afterwards_may_differ() {
    let lab = lab(3);
    let pace = "pace: { row: 3 }";
    let params: Vec<String> =
        ["", ", without: '1'", ", without: '2'"].iter().map(|without| format!("count: 20{without}, {pace}")).collect();
    let ran = lab.run(&numbers(&[("all", &params[0]), ("a", &params[1]), ("b", &params[2])]));
    assert_eq!(ran.summary.outcome, RunEnd::Succeeded, "{:?}", ran.failures());
    computed_once(&lab);
    for stage in ["all", "a", "b"] {
        assert_eq!(lab.texts(stage).len(), 20);
    }
    assert!(
        lab.texts("a").iter().all(|row| !row.ends_with('1')) && lab.texts("b").iter().all(|row| !row.ends_with('2'))
    );
}

#[test]
fn row_wise_stages_share_the_rows_that_they_have_in_common() {
    let lab = lab(4);
    let pace = "pace: { row: 3 }";
    let yaml = maps(&[("a", 0..40, pace), ("b", 20..60, pace), ("c", 10..15, pace), ("d", 100..120, pace)]);
    let ran = lab.run(&yaml);
    assert_eq!(ran.summary.outcome, RunEnd::Succeeded, "{:?}", ran.failures());
    assert_eq!(computed_once(&lab).len(), 80);
    assert_eq!(lab.texts("b"), (20..60).map(|row| format!("r{row:03}/0")).collect::<Vec<_>>());
    let (computed, reused, waited) = counts(&ran);
    assert_eq!((computed, reused + waited), (80, 25));
    assert!(waited > 0);
}

#[test]
fn who_leads_may_fail() {
    let mut lab = lab(2);
    lab.options.keep_going = true;
    let ran = lab.run(&numbers(&[
        ("leader", "count: 30, pace: { row: 5, fail_after: 10 }"),
        ("other", "count: 20, pace: { row: 1, wait: 20 }"),
    ]));
    assert_eq!(ran.failures(), ["leader: had enough"]);
    assert_eq!(lab.texts("other").len(), 20);
    computed_once(&lab);

    let ran = lab.run(&maps(&[
        ("leader", 0..40, "pace: { row: 5, fail_after: 10 }"),
        ("other", 0..50, "pace: { row: 1, wait: 20 }"),
    ]));
    assert_eq!(ran.failures(), ["leader: had enough"]);
    assert_eq!(lab.texts("other").len(), 50);
    assert_eq!(computed_once(&lab).len(), 50);
}

#[test]
fn who_leads_may_run_out_of_time() {
    let mut lab = lab(2);
    lab.options.keep_going = true;
    let timed = |yaml: String| yaml.replace("  leader: { ", "  leader: { timeout: 150ms, ");
    let ran = lab.run(&timed(numbers(&[
        ("leader", "count: 60, pace: { row: 10 }"),
        ("other", "count: 30, pace: { row: 1, wait: 20 }"),
    ])));
    assert_eq!(ran.failures().len(), 1);
    assert!(ran.failures()[0].contains("timeout"), "{:?}", ran.failures());
    assert_eq!(lab.texts("other").len(), 30);
    computed_once(&lab);
    let ran = lab.run(&timed(maps(&[("leader", 0..60, "pace: { row: 10 }"), ("other", 1..60, "pace: { wait: 20 }")])));
    assert!(ran.failures()[0].contains("timeout"), "{:?}", ran.failures());
    assert_eq!(lab.texts("other").len(), 59);
    computed_once(&lab);
}

#[test]
fn a_forced_run_forgets_once_and_shares_what_it_computes() {
    let mut lab = lab(2);
    let pace = "pace: { row: 2 }";
    let yaml = maps(&[("a", 0..20, pace), ("b", 10..30, pace)]);
    lab.run(&yaml);
    assert_eq!(computed_once(&lab).len(), 30);
    lab.options.selection = Selection { force: vec!["a".into(), "b".into()], ..Selection::default() };
    assert_eq!(lab.run(&yaml).summary.outcome, RunEnd::Succeeded);
    assert_eq!(computed_once(&lab).len(), 30);
}

#[test]
fn who_follows_leaves_its_slots_to_others() {
    let lab = lab(2);
    lab.probe.open_gate();
    let yaml = numbers(&[("long", "count: 60, pace: { row: 10 }"), ("short", "count: 50, pace: { wait: 150 }")])
        + "  z: { kind: gate, params: { id: 1 } }\n";
    let ran = lab.run(&yaml);
    assert_eq!(ran.summary.outcome, RunEnd::Succeeded, "{:?}", ran.failures());
    computed_once(&lab);
    let ended = ran.pick(|e| match e {
        EventKind::Finished { node, .. } => Some(node.label.to_string()),
        _ => None,
    });
    assert_eq!(ended[0], "z", "two streams run on two slots, and one of them waits: {ended:?}");
    let waiting = ran.pick(|e| match e {
        EventKind::Waiting { on, .. } => Some(on.clone()),
        _ => None,
    });
    assert_eq!(waiting, ["a stage of this run that computes the same rows"]);
}

#[test]
fn who_follows_can_be_cancelled_and_has_its_own_timeout() {
    let lab = lab(2);
    let cancel = lab.options.cancel.clone();
    let asked = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        cancel.cancel();
        Instant::now()
    });
    let ran = lab.run(&maps(&[("leader", 0..100, "pace: { row: 20 }"), ("other", 1..100, "pace: { wait: 50 }")]));
    assert!(asked.join().unwrap().elapsed() < Duration::from_secs(1));
    assert_eq!(ran.summary.outcome, RunEnd::Cancelled);

    let mut lab = self::lab(2);
    lab.options.keep_going = true;
    let yaml = maps(&[("leader", 0..100, "pace: { row: 10 }"), ("other", 1..100, "pace: { wait: 50 }")]);
    let ran = lab.run(&yaml.replace("  other: { ", "  other: { timeout: 300ms, "));
    assert_eq!(ran.failures().len(), 1, "{:?}", ran.failures());
    assert!(ran.failures()[0].starts_with("other: it ran longer than its timeout"), "{:?}", ran.failures());
    assert_eq!(lab.texts("leader").len(), 100);
}
