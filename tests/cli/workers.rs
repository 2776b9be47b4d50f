//! Workers: how they end, what they share, what is said of them, and what is handed to batch systems.

use std::{
    fs,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::environment::TestEnvironment;

/// Rows that a program takes its time over, in portions, and that are written down in `log`.
const SLOW: &str = "
pipeline: slow
stages:
  rows: { kind: table, params: { path: rows.jsonl } }
  said:
    kind: command
    inputs: { rows: rows }
    params:
      rows: each
      batch: 4
      argv: [python3, slow.py]
      sources: [slow.py]
      outputs: { out: { format: jsonl, columns: { said: string } } }
";

const PROGRAM: &str = "
import json, sys, time
for line in sys.stdin:
    row = json.loads(line)
    time.sleep(0.03)
    with open('log', 'a') as log:
        log.write(str(row['n']) + '\\n')
    print(json.dumps({'said': 'n' + str(row['n'])}), flush=True)
";

const ROWS: usize = 240;

fn slow() -> TestEnvironment {
    let rows = (0..ROWS).map(|n| format!("{{\"n\": {n}}}\n")).collect::<Vec<_>>().concat();
    TestEnvironment::with(&[("slow.yaml", SLOW), ("slow.py", PROGRAM), ("rows.jsonl", &rows)])
}

fn spawn(test: &TestEnvironment, arguments: &[&str]) -> Child {
    let mut command = test.command(&[&["run", "slow.yaml"], arguments].concat());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// The rows that were answered, as often as they were.
fn answered(test: &TestEnvironment) -> Vec<usize> {
    let log = fs::read_to_string(test.file("log")).unwrap_or_default();
    let mut rows: Vec<usize> = log.lines().map(|line| line.parse().unwrap()).collect();
    rows.sort_unstable();
    rows
}

fn until_answered(test: &TestEnvironment, rows: usize) {
    let start = Instant::now();
    while answered(test).len() < rows {
        assert!(start.elapsed() < Duration::from_secs(60), "no rows are answered");
        thread::sleep(Duration::from_millis(10));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_worker_helps_a_run_and_the_run_says_so() {
    let test = slow();
    let run = spawn(&test, &[]);
    until_answered(&test, 12);
    let worker = spawn(&test, &["--worker"]);
    let shown = loop {
        let shown = test.json(&["status", "slow.yaml", "--format", "json"]);
        if shown["runs"].as_array().is_some_and(|runs| runs.iter().any(|run| run["worker"] == true)) {
            break shown;
        }
        assert!(answered(&test).len() < ROWS, "{shown}");
    };
    assert_eq!((&shown["stages"], &shown["done"]), (&2.into(), &1.into()));
    let text = test.ok(&["status", "slow.yaml"]).stdout;
    assert!(text.starts_with("slow: 1 of 2 stages done\n") && text.contains(&format!("process {}", worker.id())));
    let (code, said) = ended(run);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("said: process {} on ", worker.id())), "{said}");
    assert_eq!(ended(worker).0, Some(0));
    assert_eq!(answered(&test), (0..ROWS).collect::<Vec<_>>(), "each row once");
    let shown = test.json(&["show", "said", "-n", "500", "--format", "json"]);
    let rows = shown["head"].as_array().unwrap();
    assert!(rows.iter().enumerate().all(|(n, row)| row["n"] == n && row["said"] == format!("n{n}")));
    assert_eq!(test.ok(&["status", "slow.yaml"]).stdout, "slow: 2 of 2 stages done\n");
}

#[test]
fn a_worker_that_is_told_to_end_says_that_there_is_more_to_do() {
    let test = slow();
    let mut least = 4;
    for how in ["-USR1", "-TERM"] {
        let worker = spawn(&test, &["--worker"]);
        until_answered(&test, answered(&test).len() + least);
        signal(&worker, how);
        // As batch systems do: a warning, and the end of the time.
        signal(&worker, "-TERM");
        let (code, said) = ended(worker);
        assert_eq!(code, Some(75), "{how}: {said}");
        assert!(said.contains("there is more to do"), "{said}");
        least += 4;
    }
    let (code, said) = ended(spawn(&test, &["--worker", "--max-time", "2s"]));
    assert_eq!(code, Some(75), "{said}");
    assert_eq!(ended(spawn(&test, &["--worker"])).0, Some(0));
    // What was under way when each ended is asked again: a portion.
    assert!((ROWS..=ROWS + 3 * 4).contains(&answered(&test).len()));
}

#[test]
fn a_killed_worker_costs_what_it_had_under_way() {
    let test = slow();
    let mut victim = spawn(&test, &["--worker"]);
    until_answered(&test, 20);
    let worker = spawn(&test, &["--worker"]);
    until_answered(&test, 100);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let (code, said) = ended(worker);
    assert_eq!(code, Some(0), "{said}");
    let all = answered(&test);
    let mut rows = all.clone();
    rows.dedup();
    assert_eq!(rows, (0..ROWS).collect::<Vec<_>>());
    // A portion, and what had not been written down for a quarter of a second.
    assert!(all.len() <= ROWS + 4 + 12, "{} rows", all.len());
}

#[test]
fn two_stores_say_where_they_lie() {
    let test = slow();
    let checks = test.json(&["store", "check", "--format", "json"]);
    let of = |what: &str| checks.as_array().unwrap().iter().find(|check| check["what"] == what).unwrap().clone();
    assert_eq!(of("publishing without replacing")["outcome"], "ok", "{checks}");
    let mut command = test.command(&["store", "check", "--format", "json", "--store", "apart"]);
    let output = command.env("PIPE_STORE_LOCKS", "none").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("not believed in"), "{said}");
    let again = test.json(&["store", "check", "--format", "json", "--store", "apart"]).to_string();
    assert!(again.contains("not believed in"), "it is remembered: {again}");
}

#[test]
fn without_locks_workers_share_a_stage_as_well() {
    let test = slow();
    let start = |arguments: &[&str]| {
        let mut command = test.command(&[&["run", "slow.yaml", "--worker"], arguments].concat());
        command.env("PIPE_STORE_LOCKS", "none").spawn().unwrap()
    };
    let mut first = start(&[]);
    until_answered(&test, 12);
    let mut second = start(&[]);
    assert!(first.wait().unwrap().success() && second.wait().unwrap().success());
    assert_eq!(answered(&test), (0..ROWS).collect::<Vec<_>>(), "each row once");
}

const CLASSES: &str = "
pipeline: my-study
stages:
  rows: { kind: table, params: { path: rows.jsonl } }
  big:
    kind: select
    inputs: { rows: rows }
    params: { steps: [{ filter: \"n > 1\" }] }
    resources: { gpu: 1, cpu: 4, memory: 40GB, time: 2h, class: a100 }
  small:
    kind: select
    inputs: { rows: big }
    params: { steps: [{ filter: \"n > 2\" }] }
";

const CLUSTER: &str = "
cluster:
  sbatch: [--account=lab]
  setup: |
    module load cuda
  workers:
    cpu: { count: 8, cpus: 2, time: 30m }
";

fn scripts(arguments: &[&str]) -> String {
    let test =
        TestEnvironment::with(&[("my study.yaml", CLASSES), ("cluster.yaml", CLUSTER), ("rows.jsonl", "{\"n\": 1}\n")]);
    let words = [&["submit", "my study.yaml", "--print"], arguments].concat();
    let text = test.ok(&words).stdout;
    let folder = test.path().canonicalize().unwrap().display().to_string();
    text.replace(&folder, "/project").replace(env!("CARGO_BIN_EXE_pipe"), "/bin/pipe")
}

#[test]
fn slurm_gets_one_array_for_each_class() {
    let text = scripts(&["--on", "slurm", "--workers", "a100=4,cpu=8", "--", "--qos=long"]);
    let expect = r#"#!/bin/bash
#SBATCH --job-name=pipe-my-study-a100
#SBATCH --array=0-3
#SBATCH --cpus-per-task=4
#SBATCH --gres=gpu:1
#SBATCH --mem=38147M
#SBATCH --time=120
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=.pipe/v1/logs/workers/slurm-%A_%a.log
#SBATCH --account=lab
#SBATCH --qos=long

cd /project || exit 4
module load cuda
# Slurm warns this shell, and it the worker, which ends in good order; what is left goes on when it is requeued.
COMMAND &
worker=$!
stopped=
trap 'kill -USR1 $worker 2>/dev/null' USR1
trap 'stopped=1; kill -TERM $worker 2>/dev/null' TERM
while wait $worker; code=$?; kill -0 $worker 2>/dev/null; do :; done
if [ $code = 75 ] && [ -z "$stopped" ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit $code
"#;
    let (first, second) = text.split_at(text.rfind("#!/bin/bash").unwrap());
    let command = "/bin/pipe run 'my study.yaml' --store .pipe --worker --jobs=4 --gpus=1 \
                   --memory=40000000000 --class=a100 --max-time=7200s --idle=10m";
    assert_eq!(first, expect.replace("COMMAND", command));
    assert!(second.contains("#SBATCH --array=0-7\n#SBATCH --cpus-per-task=2\n#SBATCH --time=30\n"), "{second}");
    assert!(second.contains("--worker --jobs=2 --max-time=1800s --idle=10m &"), "{second}");
}

#[test]
fn kubernetes_and_skypilot_get_the_same_worker() {
    let test = TestEnvironment::with(&[("my study.yaml", CLASSES), ("rows.jsonl", "{\"n\": 1}\n")]);
    let refused = test.pipe(&["submit", "my study.yaml", "--on", "kubernetes", "--print"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("`image:`"), "{}", refused.stderr);
    test.write("cluster.yaml", "cluster: { image: lab/pipe, claim: shared }\n");
    let yaml = test.ok(&["submit", "my study.yaml", "--on", "kubernetes", "--print"]).stdout;
    for part in ["completionMode: Indexed", "nvidia.com/gpu: 1", "image: \"lab/pipe\"", "claimName: \"shared\""] {
        assert!(yaml.contains(part), "{part}: {yaml}");
    }
    assert!(yaml.contains("exec pipe run 'my study.yaml' --store ") && yaml.contains("--class=a100"), "{yaml}");
    let sky = test.ok(&["submit", "my study.yaml", "--on", "skypilot", "--print"]).stdout;
    assert!(sky.contains("accelerators: \"A100:1\"") && sky.contains("  pipe run 'my study.yaml'"), "{sky}");
    let wrong = test.pipe(&["submit", "my study.yaml", "--on", "slurm", "--print", "--workers", "h100=1"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("the stages want a100, cpu"), "{}", wrong.stderr);
    test.write("cluster.yaml", "cluster: { accounts_of: lab }\n");
    let wrong = test.pipe(&["submit", "my study.yaml", "--on", "slurm", "--print"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("accounts_of"), "{}", wrong.stderr);
}
