//! Machines that have one store over a network: mounts of their own, host names of their own, clocks days apart.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    environment::TestEnvironment,
    slow::{self, answered, cheap, results, signal, until},
};

/// Hands the clock's days to a program: Debian's package `faketime`.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// A mount of a folder.
struct Mount {
    at: tempfile::TempDir,
    server: Child,
}

impl Mount {
    fn of(folder: &Path) -> Self {
        let at = tempfile::tempdir().unwrap();
        let python = std::env::var("PIPE_TEST_FUSE").expect("PIPE_TEST_FUSE: a Python with mfusepy");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/mounts/loop.py");
        let mut command = Command::new(python);
        let server = command.arg(script).arg(folder).arg(at.path()).stdin(Stdio::null()).spawn().unwrap();
        let mount = Self { at, server };
        until("the mount", || mount.at.path().join("study.yaml").exists());
        mount
    }

    /// The program on a machine of that name, whose clock is so far from ours.
    fn pipe(&self, host: &str, clock: &str, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        let script = "hostname $0; exec \"$@\"";
        command.args(["--uts", "bash", "-c", script, host, env!("CARGO_BIN_EXE_pipe")]).args(words);
        command.current_dir(self.at.path()).env("NO_COLOR", "1");
        command.env("LD_PRELOAD", FAKETIME).env("FAKETIME", clock).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").arg("-uz").arg(self.at.path()).status();
        let _ = self.server.wait();
    }
}

/// By hand, as root, with a Python that has mfusepy:
/// `PIPE_TEST_FUSE=/opt/venv/bin/python cargo test --workspace --test cli -- --ignored three_machines`
#[test]
#[ignore = "mounts file systems: PIPE_TEST_FUSE, libfuse, faketime"]
fn three_machines_share_a_store_over_mounts_without_common_locks() {
    const ROWS: usize = 300;
    const WORKER: [&str; 3] = ["run", "study.yaml", "--worker"];
    assert!(Path::new(FAKETIME).exists(), "{FAKETIME} (Debian: faketime)");
    let further = cheap(20, ["rows", "said"]);
    let (alone, test) = (slow::study("study", ROWS, &further), slow::study("study", ROWS, &further));
    alone.ok(&["run", "study.yaml"]);
    let mounts = [Mount::of(test.path()), Mount::of(test.path()), Mount::of(test.path())];
    let begin = |n: usize, host: &str, clock: &str| {
        let child = mounts[n].pipe(host, clock, &WORKER).stderr(Stdio::null()).spawn().unwrap();
        until("what it says of itself", || at_work(&test).iter().any(|(named, _)| named == host));
        child
    };
    let mut killed = begin(0, "one", "+0d");
    let mut stopped = begin(1, "two", "+1d");
    let mut left = begin(2, "three", "-1d");
    assert!(test.file(".pipe/v1/no-locks").exists(), "the mount is known for what it is");
    until("rows", || answered(&test).len() > ROWS / 5);
    let process = |host: &str| at_work(&test).into_iter().find(|(named, _)| named == host).unwrap().1;
    let (first, second) = (process("one"), process("two"));
    assert!(signal(first, "-KILL") && signal(second, "-STOP"));
    assert!(!killed.wait().unwrap().success());
    assert!(left.wait().unwrap().success(), "it takes over what the others had");
    // What was stopped finds everything done by others.
    assert!(signal(second, "-CONT") && stopped.wait().unwrap().success());
    let all = answered(&test);
    let mut rows = all.clone();
    rows.dedup();
    assert_eq!(rows, (0..ROWS).collect::<Vec<_>>());
    assert!(all.len() <= 2 * ROWS, "{} rows answered", all.len());
    assert_eq!(results(&test), results(&alone));
    let verified = test.ok(&["verify"]);
    assert!([verified.stdout, verified.stderr].concat().contains("all sound"));
    assert!(test.ok(&["run", "study.yaml"]).stderr.contains("0 ran"));
}

/// The machines' names, with the processes there.
fn at_work(test: &TestEnvironment) -> Vec<(String, u64)> {
    let status = test.json(&["status", "study.yaml", "--format", "json"]);
    let runs = status["runs"].as_array().unwrap().iter();
    runs.filter_map(|run| Some((run["host"].as_str()?.to_owned(), run["pid"].as_u64()?))).collect()
}
