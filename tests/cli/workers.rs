//! Workers: how they end, what they share, what is said of them, and what is handed to batch systems.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::{
    environment::TestEnvironment,
    slow::{answered, signal, study, until},
};

const ROWS: usize = 240;

fn slow() -> TestEnvironment {
    study("slow", ROWS, "")
}

fn spawn(test: &TestEnvironment, arguments: &[&str]) -> Child {
    let mut command = test.command(&[&["run", "slow.yaml"], arguments].concat());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

fn until_answered(test: &TestEnvironment, rows: usize) {
    until("rows", || answered(test).len() >= rows);
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
        assert!(signal(worker.id().into(), how));
        // As batch systems do: a warning, and the end of the time.
        assert!(signal(worker.id().into(), "-TERM"));
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
fn a_worker_says_what_it_leaves_and_why() {
    let test = TestEnvironment::with(&[("p.yaml", CLASSES), ("rows.jsonl", "{\"n\": 1}\n")]);
    let left = |arguments: &[&str]| test.ok(&[&["run", "p.yaml", "--worker"], arguments].concat()).stderr;
    let said = left(&[]);
    assert!(
        said.contains("left to others: 1 ran") && said.contains("  left: `big` wants 1 GPU, and there are 0"),
        "{said}"
    );
    let said = left(&["--gpus", "1"]);
    assert!(said.contains("  left: `big` wants the class a100\n"), "{said}");
    let said = left(&["--gpus", "1", "--class", "a100", "--memory", "1GB"]);
    assert!(said.contains("  left: `big` wants 40.0 GB of memory, and there are 1.0 GB\n"), "{said}");
    let said = left(&["--until", "rows"]);
    assert!(!said.contains("left"), "{said}");
    assert!(!left(&["--gpus", "1", "--class", "a100"]).contains("left"));
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
#SBATCH --time=135
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
# A signal ends `wait`, too: how the worker ended is what it says once there is none.
while wait $worker; kill -0 $worker 2>/dev/null; do :; done
wait $worker; code=$?
if [ $code = 75 ] && [ -z "$stopped" ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit $code
"#;
    let (first, second) = text.split_at(text.rfind("#!/bin/bash").unwrap());
    let command = "/bin/pipe run 'my study.yaml' --store .pipe --worker --jobs=4 --gpus=1 \
                   --memory=40000000000 --class=a100 --max-time=7980s --idle=600s";
    assert_eq!(first, expect.replace("COMMAND", command));
    assert!(second.contains("#SBATCH --array=0-7\n#SBATCH --cpus-per-task=2\n#SBATCH --time=30\n"), "{second}");
    assert!(second.contains("--worker --jobs=2 --class=cpu --max-time=1680s --idle=600s &"), "{second}");
}

#[test]
fn kubernetes_and_skypilot_get_the_same_worker() {
    let test = TestEnvironment::with(&[("my study.yaml", CLASSES), ("rows.jsonl", "{\"n\": 1}\n")]);
    let refused = test.pipe(&["submit", "my study.yaml", "--on", "kubernetes", "--print"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("`image:`"), "{}", refused.stderr);
    test.write("cluster.yaml", "cluster: { image: lab/pipe, claim: shared }\n");
    let yaml = test.ok(&["submit", "my study.yaml", "--on", "kubernetes", "--print"]).stdout;
    // The Job's schema wants both of a condition, though servers fill in one.
    assert!(yaml.contains("[{ type: DisruptionTarget, status: \"True\" }]"), "{yaml}");
    for part in ["completionMode: Indexed", "nvidia.com/gpu: 1", "image: \"lab/pipe\"", "claimName: \"shared\""] {
        assert!(yaml.contains(part), "{part}: {yaml}");
    }
    assert!(yaml.contains("exec pipe run 'my study.yaml' --store ") && yaml.contains("--class=a100"), "{yaml}");
    let sky = test.ok(&["submit", "my study.yaml", "--on", "skypilot", "--print"]).stdout;
    assert!(sky.contains("accelerators: \"A100:1\"") && sky.contains("    pipe run 'my study.yaml'"), "{sky}");
    let wrong = test.pipe(&["submit", "my study.yaml", "--on", "slurm", "--print", "--workers", "h100=1"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("the stages want a100, cpu"), "{}", wrong.stderr);
    for (text, says) in [
        ("cluster: { accounts_of: lab }\n", "cluster.yaml:1: there is no `accounts_of`"),
        ("cluster:\n  workers:\n    cpu: { count: 0 }\n", "cluster.yaml:3: `count` is the number `0`"),
    ] {
        test.write("cluster.yaml", text);
        let wrong = test.pipe(&["submit", "my study.yaml", "--on", "slurm", "--print"]);
        assert!(wrong.code == Some(2) && wrong.stderr.contains(says), "{}", wrong.stderr);
    }
}

/// Shells, YAML and Kubernetes each have characters of their own.
#[test]
fn what_is_set_reaches_workers_as_it_was_said() {
    let pipeline =
        CLASSES.replace("stages:", "vars: { word: x }\nstages:").replace("n > 1", "n > 1 or '${word}' == ''");
    let test = TestEnvironment::with(&[("p.yaml", &pipeline), ("rows.jsonl", "{\"n\": 1}\n")]);
    test.write(
        "cluster.yaml",
        "cluster: { image: i, claim: c, setup: \"\\n  module load $(uname -m)\\nexport A=$$\" }\n",
    );
    let printed = |on: &str, word: &str| {
        test.ok(&["submit", "p.yaml", "--print", "--on", on, "--set", &format!("word={word}")]).stdout
    };
    let kubernetes = printed("kubernetes", r#""$$5 $(HOME)""#);
    assert!(kubernetes.contains(r#"--set 'word=\"$$$$5 $$(HOME)\"' "#), "{kubernetes}");
    assert!(kubernetes.contains(r"module load $$(uname -m)\nexport A=$$$$\nexec "), "{kubernetes}");
    let sky = printed("skypilot", r#""$$5 $(HOME)""#);
    assert!(sky.contains("|| exit 4\n\n    module load $(uname -m)\n  export A=$$\n"), "{sky}");
    assert!(sky.contains("\n      pipe run p.yaml --set 'word=\"$$5 $(HOME)\"' ") && sky.ends_with("\n  exit $code\n"));
    // Such lines would end where YAML sees the end of one.
    for (special, escaped) in [("\u{2028}", "\\u2028"), ("\u{85}", "\\u0085"), ("\u{202e}", "\\u202e")] {
        let word = format!("a{special}b");
        assert!(printed("slurm", &word).contains(&format!(" --set 'word={word}' ")));
        for on in ["kubernetes", "skypilot"] {
            let text = printed(on, &word);
            assert!(text.contains(&format!("word=a{escaped}b")) && !text.contains(special), "{text}");
        }
    }
}

#[test]
fn jobs_are_long_enough_and_stages_that_no_worker_begins_are_told() {
    let test = TestEnvironment::with(&[("p.yaml", CLASSES), ("rows.jsonl", "{\"n\": 1}\n")]);
    test.write("cluster.yaml", "cluster: { time: 1m, workers: { a100: { gpus: 0, time: 2h } } }\n");
    let submitted = test.ok(&["submit", "p.yaml", "--on", "slurm", "--print"]);
    assert!(submitted.stdout.contains("#SBATCH --time=10\n"), "{}", submitted.stdout);
    assert!(
        submitted.stderr.contains("no worker of class a100 ever begins `big`: it wants 1 GPU, and there are 0"),
        "{}",
        submitted.stderr
    );
    test.write("cluster.yaml", "cluster: { workers: { a100: { time: 2h } } }\n");
    let submitted = test.ok(&["submit", "p.yaml", "--on", "slurm", "--print"]);
    let says = "no worker of class a100 ever begins `big`: it wants 120 minutes, and jobs last 120, with";
    assert!(submitted.stderr.contains(says), "{}", submitted.stderr);
    test.write("cluster.yaml", "cluster: { workers: { a100: { time: 2h10m } } }\n");
    let submitted = test.ok(&["submit", "p.yaml", "--on", "slurm", "--print"]);
    assert!(!submitted.stderr.contains("warning"), "{}", submitted.stderr);
    let only = test.ok(&["submit", "p.yaml", "--on", "slurm", "--print", "--until", "rows"]).stdout;
    assert_eq!(only.matches("#!/bin/bash").count(), 1, "no GPU for stages that are not to run: {only}");
}

/// The program in a folder with a blank in its name.
fn with_blanks() -> (tempfile::TempDir, std::path::PathBuf) {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_pipe"));
    let folder = tempfile::Builder::new().prefix("my programs").tempdir_in(program.parent().unwrap()).unwrap();
    let path = folder.path().join("pipe");
    fs::hard_link(program, &path).unwrap();
    (folder, path)
}

#[test]
fn what_has_blanks_in_its_name_is_quoted_in_scripts() {
    let test = TestEnvironment::with(&[("study.yaml", CLASSES), ("rows.jsonl", "{\"n\": 1}\n")]);
    test.write("cluster.yaml", "cluster: { image: lab/pipe, claim: shared, idle: 90s, setup: 'module load x' }\n");
    let (_folder, program) = with_blanks();
    let printed = |on: &str, store: &str, further: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["submit", "study.yaml", "--print", "--on", on, "--store", store]).args(further);
        test.outcome(command.current_dir(test.path()).env("HOME", test.path()).output().unwrap())
    };
    let text = printed("slurm", "my 5% store", &["--", "--comment=a b", "--qos", "long one"]).stdout;
    assert!(
        text.contains(&format!("\n'{}' run study.yaml --store 'my 5% store' --worker", program.display())),
        "{text}"
    );
    assert!(text.contains("#SBATCH '--output=my 5%% store/v1/logs/workers/slurm-%A_%a.log'\n"), "{text}");
    assert!(text.contains("#SBATCH '--comment=a b'\n#SBATCH --qos 'long one'\n"), "{text}");
    let yaml = printed("kubernetes", "my 5% store", &[]).stdout;
    assert!(yaml.contains("module load x\\nexec pipe run study.yaml --store 'my 5% store' --worker"), "{yaml}");
    let sky = printed("skypilot", "my 5% store", &[]).stdout;
    assert!(sky.contains("\n      pipe run study.yaml --store 'my 5% store' --worker"), "{sky}");
    assert!([&text, &yaml, &sky].iter().all(|text| text.contains("--idle=90s")));
}

#[test]
fn pods_mount_the_folder_above_all_that_workers_use() {
    let lab = tempfile::tempdir().unwrap();
    let lab = lab.path().canonicalize().unwrap();
    let test = TestEnvironment::with(&[("study.yaml", CLASSES), ("rows.jsonl", "{\"n\": 1}\n")]);
    test.write("cluster.yaml", "cluster: { image: lab/pipe, claim: shared }\n");
    let here = test.path().canonicalize().unwrap();
    let above = here.parent().unwrap();
    let printed = |store: &str| test.pipe(&["submit", "study.yaml", "--print", "--on", "kubernetes", "--store", store]);
    let mounted = |at: &std::path::Path| format!("mountPath: {:?}", at.display().to_string());
    let inside = printed("results/store").stdout;
    assert!(inside.contains(&mounted(&here)), "{inside}");
    let beside = printed(&format!("../{}/store", lab.file_name().unwrap().to_str().unwrap())).stdout;
    assert!(beside.contains(&mounted(above)), "{beside}");
    let apart = tempfile::tempdir_in("/dev/shm").unwrap();
    let refused = printed(apart.path().join("store").to_str().unwrap());
    assert!(refused.code == Some(2) && refused.stderr.contains("no common folder"), "{}", refused.stderr);
}

/// What Slurm runs, with something else for a worker, and with pauses where signals cross.
#[test]
fn a_job_ends_as_its_worker_does_however_signals_cross() {
    let script = scripts(&["--on", "slurm", "--workers", "cpu=1"]);
    let at = script.find("/bin/pipe run").unwrap();
    let end = at + script[at..].find(" &\n").unwrap();
    let worker = "bash -c 'trap \"exit 75\" USR1; while :; do sleep 0.05; done'";
    let script =
        [&script[..at], worker, &script[end..]].concat().replace("/project", "/tmp").replace("module load", ":");
    // The worker is gone before `wait` is back.
    let slow = "kill() { builtin kill \"$@\"; local code=$?; sleep 0.3; return $code; }\nscontrol() { :; }\n";
    let mut job = Command::new("bash").args(["-c", &format!("{slow}{script}")]).spawn().unwrap();
    sleep(Duration::from_millis(500));
    assert!(signal(job.id().into(), "-USR1"));
    assert_eq!(job.wait().unwrap().code(), Some(75), "it is to be queued again");
}
