//! Several worker processes on one store: what they take, share, leave, and what becomes of a killed one's work.

mod place;

use std::{
    fmt::Write as _,
    thread::sleep,
    time::{Duration, Instant},
};

use pipe_engine::events::Live;
use place::{Ended, Place};

/// Rows of the long stages.
const ROWS: u64 = 400;

/// A stream, and a row-wise stage behind it.
fn long() -> String {
    format!(
        "pipeline: p
stages:
  numbers: {{ kind: thirds, params: {{ tag: n, count: {ROWS} }} }}
  answer: {{ kind: answer, inputs: {{ rows: numbers }}, params: {{ tag: r }} }}
  mark: {{ kind: mark, inputs: {{ rows: answer }}, params: {{ tag: m }} }}
"
    )
}

/// What one process makes of it.
fn alone(yaml: &str) -> Place {
    let place = Place::new(yaml, 1);
    assert_eq!(place.start(&[]).wait(), Ended { outcome: "succeeded".to_owned(), ..place.ended(0) });
    place
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not come");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_worker_that_comes_later_takes_half_of_the_rows_that_are_left() {
    let expect = alone(&long());
    let place = Place::new(&long(), 30);
    let first = place.start(&["--worker"]);
    until("rows of the first worker", || place.done("row") > 30);
    let second = place.start(&["--worker"]);
    let (first, second) = (first.wait(), second.wait());
    assert_eq!((&*first.outcome, &*second.outcome), ("succeeded", "succeeded"));
    assert_eq!(place.repeated(), []);
    assert_eq!(place.done("row"), ROWS as usize);
    // Of the stage, the second one has done a good part, although the first had claimed all of it.
    assert!((ROWS / 4..ROWS * 3 / 4).contains(&second.rows), "{second:?} beside {first:?}");
    assert_eq!(place.results(), expect.results());
}

#[test]
fn attempts_of_a_stream_are_shared_and_the_result_is_that_of_one_process() {
    let expect = alone(&long());
    let place = Place::new(&long(), 15);
    let workers: Vec<_> = (0..3).map(|_| place.start(&["--worker", "--until=numbers"])).collect();
    let ended: Vec<Ended> = workers.into_iter().map(place::Worker::wait).collect();
    assert!(ended.iter().all(|ended| ended.outcome == "succeeded" && ended.rows > ROWS / 3), "{ended:?}");
    assert_eq!(place.repeated(), []);
    let attempts = place.done("attempt") as u64;
    assert!((3 * ROWS - 2..3 * ROWS + 200).contains(&attempts), "{attempts} attempts");
    assert_eq!(place.start(&[]).wait().outcome, "succeeded");
    assert_eq!(place.results(), expect.results());
}

#[test]
fn what_a_killed_worker_had_taken_is_done_by_the_others() {
    let expect = alone(&long());
    for (victim, moment) in [(0, 100), (1, 250)] {
        let place = Place::new(&long(), 20);
        let mut workers = vec![place.start(&["--worker"])];
        until("rows", || place.done("row") > 30);
        workers.push(place.start(&["--worker"]));
        until("more rows", || place.done("row") > moment);
        workers.remove(victim).kill();
        let ended = workers.remove(0).wait();
        assert_eq!(ended.outcome, "succeeded");
        assert_eq!(place.results(), expect.results());
        // Two batches at most were on the way, and what was not written down for a quarter of a second.
        let repeated = place.repeated();
        assert!(repeated.len() <= 5 * (250 / 20 + 2), "{} done again", repeated.len());
        assert!(repeated.iter().all(|(_, times)| *times == 2), "{repeated:?}");
    }
}

#[test]
fn a_worker_that_is_told_to_end_leaves_what_it_has_done() {
    let place = Place::new(&long(), 20);
    let worker = place.start(&["--worker", "--cancel-after-ms=1800"]);
    let ended = worker.wait();
    assert_eq!(ended.outcome, "cancelled");
    let done = place.done("row") + place.done("attempt");
    assert_eq!(place.start(&["--worker"]).wait().outcome, "succeeded");
    assert!(done > 50, "{done} rows");
    // Only the batch that was under way.
    assert!(place.repeated().len() <= 5, "{:?}", place.repeated());
}

#[test]
fn workers_take_what_fits_them_and_leave_the_rest() {
    let yaml = "pipeline: p
stages:
  a: { kind: thirds, params: { tag: a, count: 3 } }
  b: { kind: mark, inputs: { rows: a }, params: { tag: b }, resources: { gpu: 1, class: a100, time: 2h } }
  c: { kind: mark, inputs: { rows: b }, params: { tag: c } }
  d: { kind: mark, inputs: { rows: a }, params: { tag: d } }
  e: { kind: mark, inputs: { rows: a }, params: { tag: e }, resources: { memory: 40G } }
";
    let place = Place::new(yaml, 1);
    let ran = |arguments: &[&str]| {
        let ended = place.start(arguments).wait();
        (ended.outcome, ended.ran.join(" "))
    };
    let told = |outcome: &str, ran: &str| (outcome.to_owned(), ran.to_owned());
    assert_eq!(ran(&["--worker", "--memory=8000000000"]), told("left", "a d"));
    assert_eq!(ran(&["--worker", "--gpus=1", "--memory=8000000000"]), told("left", ""), "it is not that class");
    assert_eq!(ran(&["--worker", "--memory=41000000000"]), told("left", "e"));
    let gpu = ["--worker", "--gpus=1", "--class=a100"];
    assert_eq!(ran(&[&gpu[..], &["--max-time-ms=60000"]].concat()), told("left", ""), "there is too little time");
    assert_eq!(ran(&gpu), told("succeeded", "b c"));
    assert_eq!(ran(&["--worker"]), told("succeeded", ""));
}

#[test]
fn a_worker_that_lacks_nothing_but_time_says_that_there_is_more_to_do_if_it_has_done_something() {
    let yaml = "pipeline: p
stages:
  a: { kind: thirds, params: { tag: a, count: 3 } }
  b: { kind: mark, inputs: { rows: a }, params: { tag: b }, resources: { time: 2h } }
  c: { kind: mark, inputs: { rows: a }, params: { tag: c }, resources: { gpu: 1 } }
";
    let place = Place::new(yaml, 1);
    // It does not wait for others, either.
    let short = ["--worker", "--max-time-ms=3600000", "--idle-ms=3600000"];
    let ended = place.start(&short).wait();
    assert_eq!((&*ended.outcome, ended.ran.join(" ")), ("cancelled", "a".to_owned()));
    let again = place.start(&["--worker", "--max-time-ms=3600000", "--idle-ms=100"]).wait();
    assert_eq!((&*again.outcome, again.ran.len()), ("left", 0), "it would go on for ever");
    let long = place.start(&["--worker", "--max-time-ms=7300000"]).wait();
    assert_eq!((&*long.outcome, long.ran.join(" ")), ("left", "b".to_owned()), "`c` is not for it");
}

#[test]
fn a_worker_that_is_told_to_end_while_nothing_is_for_it_has_no_more_to_do() {
    let yaml = "pipeline: p
stages:
  a: { kind: thirds, params: { tag: a, count: 3 } }
  b: { kind: mark, inputs: { rows: a }, params: { tag: b }, resources: { gpu: 1 } }
";
    let place = Place::new(yaml, 1);
    let ended = place.start(&["--worker", "--idle-ms=3600000", "--cancel-after-ms=1500"]).wait();
    assert_eq!((&*ended.outcome, ended.ran.join(" ")), ("left", "a".to_owned()));
}

#[test]
fn where_memory_is_counted_what_kinds_estimate_keeps_stages_from_workers() {
    let yaml = "pipeline: p
stages:
  a: { kind: thirds, params: { tag: a, count: 3 } }
  b: { kind: mark, inputs: { rows: a }, params: { tag: b, takes: 9000000000 } }
";
    let place = Place::new(yaml, 1);
    let ran = |arguments: &[&str]| place.start(arguments).wait().ran.join(" ");
    assert_eq!(ran(&["--worker", "--memory=8000000000"]), "a");
    assert_eq!(ran(&["--worker", "--memory=9000000000"]), "b");
}

#[test]
fn a_worker_waits_for_what_another_one_computes_as_long_as_it_lives() {
    let yaml = "pipeline: p
stages:
  a: { kind: thirds, params: { tag: a, count: 120 }, resources: { gpu: 1 } }
  b: { kind: mark, inputs: { rows: a }, params: { tag: b } }
";
    let place = Place::new(yaml, 40);
    let first = place.start(&["--worker", "--gpus=1"]);
    until("attempts", || place.done("attempt") > 10);
    let mut second = place.start(&["--worker"]);
    let impatient = place.start(&["--worker", "--idle-ms=100"]);
    assert_eq!(impatient.wait().outcome, "left");
    let tells = |run: &Live| run.worker && run.stages.iter().any(|stage| stage.label == "a");
    until("what the first one tells of itself", || place.live().iter().any(tells));
    assert!(second.lives(), "it may have something to do yet");
    first.kill();
    assert_eq!(second.wait().outcome, "left", "nobody computes `a` any more");
    assert_eq!(place.live(), []);
    assert_eq!(place.start(&["--worker", "--gpus=1"]).wait().ran.join(" "), "a b");
}

#[test]
fn a_worker_whose_slots_are_taken_sees_what_others_have_done_and_goes_on_behind_it() {
    let yaml = "pipeline: p
stages:
  long: { kind: thirds, params: { tag: long, count: 400 }, resources: { gpu: 1, class: x } }
  a: { kind: thirds, params: { tag: a, count: 3 }, resources: { class: y } }
  b: { kind: mark, inputs: { rows: a }, params: { tag: b }, resources: { gpu: 1 } }
  c: { kind: mark, inputs: { rows: b }, params: { tag: c }, resources: { class: x } }
";
    let place = Place::new(yaml, 40);
    let busy = place.start(&["--worker", "--gpus=1", "--class=x"]);
    until("attempts", || place.done("attempt long") > 10);
    let other = place.start(&["--worker", "--gpus=1", "--class=y"]);
    until("what stands behind the other's work", || place.done("stage c") > 0);
    assert!(!place.has_ended(0), "its GPU is in use, and `b`, which wants one, is done");
    busy.kill();
    drop(other);
}

/// Trivial stages, many workers: what coordination costs. By hand, in release mode or not:
/// `cargo test -p pipe-engine --test workers -- --ignored --nocapture trivial`
#[test]
#[ignore = "measures; run by hand"]
fn trivial_nodes_cost_little_coordination() {
    let number = |name: &str, or: usize| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let (nodes, workers) = (number("PIPE_TEST_NODES", 10_000), number("PIPE_TEST_WORKERS", 16));
    let mut yaml = "pipeline: p\nstages:\n  a: { kind: thirds, params: { tag: a, count: 1 } }\n".to_owned();
    for n in 1..nodes {
        let from = if n < 100 { "a".to_owned() } else { format!("m{}", n - 99) };
        writeln!(yaml, "  m{n}: {{ kind: mark, inputs: {{ rows: {from} }}, params: {{ tag: m{n} }} }}").unwrap();
    }
    let place = Place::new(&yaml, 0);
    let start = Instant::now();
    let running: Vec<_> = (0..workers).map(|_| place.start(&["--worker", "--jobs=1"])).collect();
    let ended: Vec<Ended> = running.into_iter().map(place::Worker::wait).collect();
    let wall = start.elapsed().as_secs_f64();
    let cpu: f64 = ended.iter().map(|ended| ended.cpu_seconds).sum();
    assert!(ended.iter().all(|ended| ended.outcome == "succeeded"), "{ended:?}");
    assert_eq!(place.repeated(), []);
    let per_node = |seconds: f64| 1000.0 * seconds / nodes as f64;
    #[expect(clippy::print_stdout, reason = "figures, for whoever runs it by hand")]
    {
        println!(
            "{nodes} nodes, {workers} workers: {wall:.1} s, {:.2} ms of wall and {:.2} ms of CPU per node, all workers \
             together; each took {:?}",
            per_node(wall),
            per_node(cpu),
            ended.iter().map(|ended| ended.ran.len()).collect::<Vec<_>>(),
        );
    }
}
