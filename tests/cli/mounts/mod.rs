//! Machines that have one store over a network: mounts of their own, host names of their own, clocks of their own.

mod clocks;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use tempfile::TempDir;

use crate::{
    environment::TestEnvironment,
    slow::{self, answered, cheap, results, signal, until},
};

/// Hands the clock's days to a program: Debian's package `faketime`.
fn faketime() -> String {
    let path = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    assert!(Path::new(&path).exists(), "{path} (Debian: faketime)");
    path
}
const WORKER: [&str; 3] = ["run", "study.yaml", "--worker"];

/// A mount of a folder.
struct Mount {
    at: TempDir,
    server: Child,
}

impl Mount {
    /// Of a machine that remembers for so many seconds what it was told of folders, if any.
    fn of(folder: &Path, remembers: Option<u32>) -> Self {
        let at = tempfile::tempdir().unwrap();
        let python = std::env::var("PIPE_TEST_FUSE").expect("PIPE_TEST_FUSE: a Python with mfusepy");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/mounts/loop.py");
        let mut command = Command::new(python);
        command.arg(script).arg(folder).arg(at.path()).args(remembers.map(|seconds| seconds.to_string()));
        let server = command.stdin(Stdio::null()).spawn().unwrap();
        let mount = Self { at, server };
        until("the mount", || mount.at.path().join("study.yaml").exists());
        mount
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").arg("-uz").arg(self.at.path()).status();
        let _ = self.server.wait();
    }
}

/// A name and a clock of its own.
struct Machine {
    host: &'static str,
    /// How far its clock is from ours, in a file.
    clock: PathBuf,
    /// The folder of these files.
    _clocks: Arc<TempDir>,
}

impl Machine {
    /// Three of them.
    fn three() -> [Self; 3] {
        let clocks = Arc::new(tempfile::tempdir().unwrap());
        ["one", "two", "three"].map(|host| {
            let machine = Self { host, clock: clocks.path().join(host), _clocks: clocks.clone() };
            machine.set_clock(0);
            machine
        })
    }

    /// So many days from ours, at once.
    fn set_clock(&self, days: i32) {
        let new = self.clock.with_extension("new");
        fs::write(&new, format!("{days:+}d\n")).unwrap();
        fs::rename(new, &self.clock).unwrap();
    }

    /// The program there, in that folder.
    fn pipe(&self, folder: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        let script = "hostname $0; exec \"$@\"";
        command.args(["--uts", "bash", "-c", script, self.host, env!("CARGO_BIN_EXE_pipe")]).args(words);
        command.current_dir(folder).env("NO_COLOR", "1").stderr(Stdio::null());
        command.env("LD_PRELOAD", faketime()).env("FAKETIME_TIMESTAMP_FILE", &self.clock).env("FAKETIME_NO_CACHE", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command
    }

    /// Begins a worker there that is told of itself.
    fn begin(&self, test: &TestEnvironment, mut command: Command) -> Child {
        let child = command.spawn().unwrap();
        until("what it says of itself", || at_work(test).iter().any(|(named, _)| named == self.host));
        child
    }
}

/// The machines' names, with the processes there.
fn at_work(test: &TestEnvironment) -> Vec<(String, u64)> {
    let status = test.json(&["status", "study.yaml", "--format", "json"]);
    let runs = status["runs"].as_array().unwrap().iter();
    runs.filter_map(|run| Some((run["host"].as_str()?.to_owned(), run["pid"].as_u64()?))).collect()
}

/// The process of a worker on that machine.
fn process(test: &TestEnvironment, machine: &Machine) -> u64 {
    at_work(test).into_iter().find(|(named, _)| named == machine.host).unwrap().1
}

/// A study whose programs write down what they do beside the store, and not over a mount, where what several append to
/// is not kept.
fn study(rows: usize, further: &str) -> TestEnvironment {
    let test = slow::study("study", rows, further);
    let program = test.read("slow.py").replace("'log'", &format!("'{}'", test.file("log").display()));
    test.write("slow.py", &program);
    test
}

/// The study and some cheap stages, twice: as a run does it that is alone, and not begun.
fn done_and_to_be_done(rows: usize) -> (TestEnvironment, TestEnvironment) {
    let further = cheap(20, ["rows", "said"]);
    let (alone, test) = (study(rows, &further), study(rows, &further));
    alone.ok(&["run", "study.yaml"]);
    (alone, test)
}

/// That all is done, as a run that was alone has done it, and sound.
fn check(test: &TestEnvironment, alone: &TestEnvironment) {
    assert_eq!(results(test), results(alone));
    let verified = test.ok(&["verify"]);
    assert!([verified.stdout, verified.stderr].concat().contains("all sound"));
    assert!(test.ok(&["run", "study.yaml"]).stderr.contains("0 ran"));
}

/// The rows that were answered, and how often in all.
fn all_answered(test: &TestEnvironment) -> (Vec<usize>, usize) {
    let mut rows = answered(test);
    let all = rows.len();
    rows.dedup();
    (rows, all)
}

#[test]
#[ignore = "runs mounts, for two minutes"]
fn three_machines_share_a_store_over_mounts_without_common_locks() {
    const ROWS: usize = 240;
    let (alone, test) = done_and_to_be_done(ROWS);
    let machines = Machine::three();
    let mounts = [(); 3].map(|()| Mount::of(test.path(), None));
    let begin = |n: usize, days: i32| {
        machines[n].set_clock(days);
        machines[n].begin(&test, machines[n].pipe(mounts[n].at.path(), &WORKER))
    };
    let (mut killed, mut stopped, mut left) = (begin(0, 0), begin(1, 1), begin(2, -1));
    assert!(test.file(".pipe/v1/no-locks").exists(), "the mount is known for what it is");
    until("rows", || answered(&test).len() > ROWS / 5);
    let (first, second) = (process(&test, &machines[0]), process(&test, &machines[1]));
    assert!(signal(first, "-KILL") && signal(second, "-STOP"));
    assert!(!killed.wait().unwrap().success());
    assert!(left.wait().unwrap().success(), "it takes over what the others had");
    // What was stopped finds everything done by others.
    assert!(signal(second, "-CONT") && stopped.wait().unwrap().success());
    let (rows, all) = all_answered(&test);
    assert_eq!(rows, (0..ROWS).collect::<Vec<_>>());
    assert!(all <= 2 * ROWS, "{all} rows answered");
    check(&test, &alone);
}

/// A stage that is computed as a whole, and writes down in `whole` that it is.
const WHOLE: &str = "
  whole:
    kind: command
    inputs: { rows: rows }
    params:
      argv: [python3, whole.py, '{inputs.rows}', '{outputs.out}']
      sources: [whole.py]
      outputs: { out: { format: parquet } }
";

#[test]
#[ignore = "runs mounts"]
fn what_machines_remember_of_folders_has_nothing_computed_twice() {
    const ROWS: usize = 160;
    let further = [WHOLE, &cheap(20, ["whole", "said"])].concat();
    let begun = |test: &TestEnvironment| fs::read_to_string(test.file("whole")).unwrap_or_default().lines().count();
    let study = || {
        let test = study(ROWS, &further);
        let log = test.file("whole").display().to_string();
        let program = format!(
            "import shutil, sys, time\nwith open({log:?}, 'a') as log:\n    log.write('begun\\n')\ntime.sleep(4)\n\
             shutil.copyfile(sys.argv[1], sys.argv[2])\n"
        );
        test.write("whole.py", &program);
        test
    };
    let (alone, test) = (study(), study());
    alone.ok(&["run", "study.yaml"]);
    let machines = Machine::three();
    // Longer than the whole study takes.
    let mounts = [(); 3].map(|()| Mount::of(test.path(), Some(120)));
    let begin = |n: usize| machines[n].begin(&test, machines[n].pipe(mounts[n].at.path(), &WORKER));
    let workers = [begin(0), begin(1), begin(2)];
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    assert_eq!((all_answered(&test), begun(&test)), (((0..ROWS).collect(), ROWS), 1));
    check(&test, &alone);
}

#[test]
#[ignore = "runs mounts"]
fn two_machines_that_check_a_store_together_are_told_what_they_see_of_each_other() {
    let test = TestEnvironment::with(&[("study.yaml", "pipeline: study\n")]);
    let [one, two, _] = Machine::three();
    let mounts = [(); 2].map(|()| Mount::of(test.path(), Some(60)));
    let words = ["store", "check", "--together", "60s", "--format", "json"];
    let begin = |machine: &Machine, mount: &Mount| {
        machine.pipe(mount.at.path(), &words).stdout(Stdio::piped()).spawn().unwrap()
    };
    let both = [begin(&one, &mounts[0]), begin(&two, &mounts[1])];
    for (child, other) in both.into_iter().zip(["two", "one"]) {
        let output = child.wait_with_output().unwrap();
        let checks: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let found = |what: &str| checks.iter().find(|check| check["what"] == what).unwrap()["found"].as_str().unwrap();
        assert_eq!(found("another machine"), other);
        assert!(found("locks of the other").contains("not seen here"), "{checks:?}");
        assert!(found("folders that the other changes").contains("late, but at once"), "{checks:?}");
        assert!(checks.iter().all(|check| check["outcome"] != "missing") && output.status.success(), "{checks:?}");
    }
}
