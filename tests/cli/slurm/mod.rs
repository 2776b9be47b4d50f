//! Workers on a real Slurm.

mod daemons;
mod server;

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    thread::sleep,
    time::{Duration, Instant},
};

use self::{daemons::Slurm, server::Server};
use crate::{
    environment::TestEnvironment,
    slow::{self, answered, cheap, results, signal, until},
};

fn status(test: &TestEnvironment) -> serde_json::Value {
    test.json(&["status", "study.yaml", "--format", "json"])
}

fn is_done(test: &TestEnvironment) -> bool {
    let status = status(test);
    status["done"] == status["stages"]
}

/// Numbers of jobs of the workers that are at work, with their processes.
fn at_work(test: &TestEnvironment) -> Vec<(String, u64)> {
    let status = status(test);
    let runs = status["runs"].as_array().unwrap().iter();
    let named =
        runs.filter_map(|run| Some((run["place"].as_str()?.strip_prefix("slurm ")?.to_owned(), run["pid"].as_u64()?)));
    named.collect()
}

fn submit(slurm: &Slurm, test: &TestEnvironment, workers: usize) {
    let workers = format!("cpu={workers}");
    let words = ["submit", "study.yaml", "--on", "slurm", "--workers", &workers, "--", "--comment=a study"];
    let submitted = slurm.with(&mut test.command(&words)).output().unwrap();
    let said = String::from_utf8(submitted.stderr).unwrap();
    assert!(submitted.status.success() && said.contains("workers of class cpu: job "), "{said}");
}

/// Asks one to go and come back, as a cluster does that wants its node for others.
fn requeue_one(slurm: &Slurm, test: &TestEnvironment) {
    until("a worker that goes and comes back", || {
        at_work(test).first().is_some_and(|(job, _)| slurm.asks("scontrol", &["requeue", job]).is_ok())
    });
}

/// The submission is over, and forgotten when it is asked for.
fn ends(slurm: &Slurm, test: &TestEnvironment) {
    let noted = || fs::read_dir(test.file(".pipe/v1/runs/submitted")).unwrap().count();
    assert_eq!(noted(), 2, "a note and a script");
    let cancelled = slurm.with(&mut test.command(&["cancel", "study.yaml"])).output().unwrap();
    assert!(cancelled.status.success(), "{}", String::from_utf8_lossy(&cancelled.stderr));
    assert_eq!(noted(), 0);
    until("an empty queue", || slurm.says("squeue", &["-h"]).is_empty());
    assert_eq!(test.pipe(&["cancel", "study.yaml"]).code, Some(6));
}

#[test]
#[ignore = "runs Slurm"]
fn an_array_of_workers_does_a_study_while_one_is_killed_and_one_requeued() {
    const ROWS: usize = 240;
    let slurm = Slurm::start(2);
    let further = cheap(20, ["rows", "said"]);
    let (alone, test) = (slow::study("study", ROWS, &further), slow::study("study", ROWS, &further));
    alone.ok(&["run", "study.yaml"]);
    submit(&slurm, &test, 4);
    until("rows", || answered(&test).len() > ROWS / 4);
    let mut killed = 0;
    until("a worker", || at_work(&test).first().is_some_and(|(_, process)| signal(*process, "-KILL")));
    killed += 1;
    requeue_one(&slurm, &test);
    until("the end of the study", || is_done(&test));
    until("the end of all workers that are at work", || slurm.says("squeue", &["-h", "-t", "R,CG"]).is_empty());
    // Each row once, but for what was under way where a worker was killed or sent away.
    let all = answered(&test).len();
    assert!((ROWS..=ROWS + (killed + 1) * 16).contains(&all), "{all} rows answered");
    test.ok(&["run", "study.yaml"]);
    assert_eq!(results(&test), results(&alone));
    assert_eq!(results(&test).len(), 23, "{:?}", results(&test).keys());
    let logs = test.ok(&["logs", "--worker"]).stdout;
    assert!(logs.contains("== worker ") && logs.contains("study done: "), "{logs}");
    ends(&slurm, &test);
}

/// Five thousand instructions and their answers, and cheap stages around them.
fn long(server: &Server) -> TestEnvironment {
    let model = format!("{{ endpoint: \"{}\", model: m, concurrency: 2 }}", server.url);
    let yaml = format!(
        "pipeline: study
stages:
  world: {{ kind: embedded_world, params: {{ seeds: 12, exam_items: 6 }} }}
  instructions:
    kind: generate
    inputs: {{ seeds: world.seeds }}
    params: {{ model: {model}, count: 5000, temperature: 0.9, filters: {{ rouge_l: null }} }}
  answers: {{ kind: respond, inputs: {{ instructions: instructions }}, params: {{ model: {model} }} }}
{}",
        cheap(197, ["instructions", "answers"])
    );
    TestEnvironment::with(&[("study.yaml", &yaml)])
}

/// By hand: `cargo test --workspace --test cli -- --ignored --nocapture hundreds_of_stages`.
#[test]
#[ignore = "takes minutes: the acceptance run on Slurm"]
fn hundreds_of_stages_and_thousands_of_rows_survive_a_kill_every_few_seconds() {
    const EVERY: Duration = Duration::from_secs(5);
    let (near, far) = (Server::start(Duration::ZERO), Server::start(Duration::from_millis(150)));
    let (alone, test) = (long(&near), long(&far));
    alone.ok(&["run", "study.yaml"]);
    let expected = near.asked();
    assert_eq!(expected.len(), 10_000);
    let slurm = Slurm::start(8);
    let start = Instant::now();
    submit(&slurm, &test, 60);
    let (mut killed, mut requeued) = (0, false);
    while !is_done(&test) {
        assert!(start.elapsed() < Duration::from_secs(600), "it does not end");
        sleep(EVERY.saturating_sub(Duration::from_millis(start.elapsed().as_millis() as u64 % 5_000)));
        let workers = at_work(&test);
        if workers.is_empty() {
            continue;
        }
        let (_, process) = &workers[RandomState::new().hash_one(killed) as usize % workers.len()];
        killed += usize::from(signal(*process, "-KILL"));
        if killed == 4 && !requeued {
            requeued = true;
            requeue_one(&slurm, &test);
        }
    }
    let done = start.elapsed().as_secs();
    // By itself: what is left of the array finds nothing to do, and what was sent away comes back and does, too.
    until("the end of all workers", || slurm.says("squeue", &["-h"]).is_empty());
    let ended = start.elapsed().as_secs();
    let asked = far.asked();
    let lost = expected.keys().filter(|row| !asked.contains_key(*row)).count();
    let twice: usize = asked.iter().map(|(row, times)| times - expected.get(row).copied().unwrap_or(0)).sum();
    #[expect(clippy::print_stdout, reason = "figures, for whoever runs it by hand")]
    {
        println!(
            "200 stages, 5000 instructions and answers, 60 workers, 8 at once: done after {done} s, all ended after \
             {ended} s; {killed} killed, {} sent away; {lost} rows lost, {twice} computed twice",
            usize::from(requeued)
        );
    }
    assert!(killed >= 5 && requeued, "{killed} killed");
    assert_eq!(lost, 0);
    // What each had in flight, and what it had not written down for a quarter of a second.
    assert!(twice <= (killed + 1) * 8, "{twice} rows asked twice");
    test.ok(&["run", "study.yaml"]);
    assert_eq!(results(&test), results(&alone));
    ends(&slurm, &test);
}
