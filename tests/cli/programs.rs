//! What a run starts ends with it, whatever ended the run; and what is left behind is waited for.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::TestEnvironment;

/// A stage that notes its own number and that of what it started, and waits for long.
const SLEEPS: &str = "pipeline: p
stages:
  first:
    kind: command
    params: { shell: 'echo one > \"$PIPE_OUTPUT_rows/x\"', outputs: { rows: { format: files } } }
  slow:
    kind: command
    inputs: { first: first }
    params:
      shell: |
        sleep 300 & echo $! > pids
        setsid sleep 300 & echo $! >> pids
        echo $$ >> pids; echo x > \"$PIPE_OUTPUT_rows/x\"; wait
      outputs: { rows: { format: files } }
";

fn project() -> TestEnvironment {
    TestEnvironment::with(&[("p.yaml", SLEEPS)])
}

fn alive(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z")
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts the pipeline; returns when the stage's three processes run, with their numbers.
fn started(project: &TestEnvironment, command: &mut Command) -> (Child, Vec<String>) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pids = || std::fs::read_to_string(project.file("pids")).unwrap_or_default();
    wait_for("the stage begins", || pids().lines().count() == 3);
    (child, pids().lines().map(str::to_owned).collect())
}

fn all_gone(pids: &[String]) {
    wait_for("the programs end", || !pids.iter().any(|pid| alive(pid)));
}

#[test]
fn signals_that_end_a_run_end_its_programs_and_keep_its_work() {
    for signal in [Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::XCPU] {
        let project = project();
        let mut command = project.command(&["run", "p.yaml"]);
        // Tests that run under `nohup` ignore SIGHUP, and so would the run.
        // SAFETY: `signal` may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGHUP, libc::SIG_DFL);
                Ok(())
            });
        }
        let (mut child, pids) = started(&project, &mut command);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal:?}");
        assert!(pids.iter().all(|pid| !alive(pid)), "{signal:?}");
        let plan = project.ok(&["plan", "p.yaml"]).stdout;
        assert!(plan.contains("1 to run, 0 pending, 1 done"), "{signal:?}: {plan}");
    }
}

#[test]
fn under_nohup_a_closing_terminal_is_nothing_to_stop_for() {
    let project = project();
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_pipe")).args(["run", "p.yaml"]).current_dir(project.path()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap());
    let (mut child, pids) = started(&project, &mut command);
    let pipe = Pid::from_child(&child);
    kill_process(pipe, Signal::HUP).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it goes on");
    kill_process(pipe, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    all_gone(&pids);
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    let project = TestEnvironment::with(&[(
        "p.yaml",
        &SLEEPS.replacen("sleep 300 & echo", "(trap '' TERM; sleep 300) & echo", 1),
    )]);
    let (mut child, pids) = started(&project, &mut project.command(&["run", "p.yaml"]));
    let pipe = Pid::from_child(&child);
    kill_process(pipe, Signal::INT).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    kill_process(pipe, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    all_gone(&pids);
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_run_takes_its_program_with_it() {
    let script = "        echo $$ > pids; echo 1 >> pids; echo 1 >> pids; exec sleep 300\n";
    let begin = SLEEPS.find("        sleep 300 &").unwrap();
    let end = SLEEPS.find("      outputs: { rows: { format: files } }\n").unwrap();
    let project = TestEnvironment::with(&[("p.yaml", &format!("{}{script}{}", &SLEEPS[..begin], &SLEEPS[end..]))]);
    let (mut child, pids) = started(&project, &mut project.command(&["run", "p.yaml"]));
    child.kill().unwrap();
    child.wait().unwrap();
    all_gone(&pids[..1]);
}

fn stage(shell: &str, format: &str) -> String {
    format!(
        "pipeline: p\nstages:\n  s:\n    kind: command\n    params:\n      argv: [bash, -c, {}]\n      outputs: {{ \
         rows: {{ format: {format} }} }}\n",
        serde_json::to_string(shell).unwrap()
    )
}

#[test]
#[cfg(target_os = "linux")]
fn a_stage_ends_with_its_work_and_leaves_nobody_behind() {
    let rows = "for i in $(seq 1 100); do echo \"{\\\"i\\\": $i}\"; done > >(while read l; do echo $l >> \
                $PIPE_OUTPUT_rows; sleep .01; done)";
    let project = TestEnvironment::with(&[("p.yaml", &stage(rows, "jsonl"))]);
    project.ok(&["run", "p.yaml"]);
    assert!(project.ok(&["show", "s"]).stdout.contains("100 rows"));

    // Without group, session, environment and open files, it still does not outlive the run.
    let daemon = "echo '{\"i\": 1}' > $PIPE_OUTPUT_rows; \
                  (setsid env -i bash -c 'sleep 300 & echo $! > pid' < /dev/null > /dev/null 2>&1 &); sleep .3";
    let project = TestEnvironment::with(&[("p.yaml", &stage(daemon, "jsonl"))]);
    let begun = Instant::now();
    let said = project.ok(&["run", "p.yaml"]).stderr;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(said.contains("left process") && said.contains("sleep 300"), "{said}");
    assert!(!alive(project.read("pid").trim()));

    let stuck = "echo '{\"i\": 1}' > $PIPE_OUTPUT_rows; sleep 300 >> $PIPE_OUTPUT_rows &";
    let project = TestEnvironment::with(&[("p.yaml", &stage(stuck, "jsonl"))]);
    let outcome = project.pipe(&["run", "p.yaml"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("still has the output file `rows.jsonl` open"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("let the command wait"), "{}", outcome.stderr);
}

#[test]
fn what_a_failed_program_printed_is_shown_without_its_script() {
    let script = "pipeline: p\nstages:\n  s:\n    kind: command\n    params:\n      shell: |\n        echo first line \
                  of the script >&2\n        # a comment\n        echo oops >&2\n        exit 3\n      outputs: { \
                  rows: { format: jsonl } }\n";
    let outcome = TestEnvironment::with(&[("p.yaml", script)]).pipe(&["run", "p.yaml"]);
    assert!(outcome.stderr.contains("it printed:\n    first line of the script\n    oops\n"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("# a comment"), "{}", outcome.stderr);
}

#[test]
fn files_on_the_command_line_are_looked_for_among_the_sources() {
    let said = |argv: &str, sources: &str| {
        let text = format!(
            "pipeline: p\nstages:\n  s:\n    kind: command\n    params:\n      argv: {argv}\n      sources: \
             {sources}\n      outputs: {{ rows: {{ format: jsonl }} }}\n"
        );
        let script = "echo '{}' | sed 's/{}/{\"a\": 1}/' > $PIPE_OUTPUT_rows";
        let project = TestEnvironment::with(&[("p.yaml", &text), ("s.sh", script), ("lib/s.sh", script)]);
        project.ok(&["run", "p.yaml"]).stderr
    };
    for (argv, sources) in [
        ("[sh, ./s.sh]", "[s.sh]"),
        ("[sh, s.sh]", "[./s.sh]"),
        ("[sh, lib/s.sh]", "[lib]"),
        ("[sh, lib/../s.sh]", "['*.sh']"),
        ("[sh, lib/s.sh]", "['lib/**']"),
    ] {
        let said = said(argv, sources);
        assert!(!said.contains("not among its `sources`"), "{argv} {sources}: {said}");
    }
    assert!(said("[sh, s.sh]", "[lib]").contains("`s.sh`, which is not among its `sources`"));
}

#[test]
fn a_format_for_an_input_that_is_not_there_is_told() {
    let said = |format: &str| {
        let text = format!(
            "pipeline: p\nstages:\n  t: {{ kind: table, params: {{ path: t.jsonl }} }}\n  s:\n    kind: command\n    \
             inputs: {{ rows: t }}\n    params:\n      argv: [cp, '{{inputs.rows}}', '{{outputs.o}}']\n      \
             input_format: {format}\n      outputs: {{ o: {{ format: parquet }} }}\n"
        );
        let project = TestEnvironment::with(&[("p.yaml", &text), ("t.jsonl", "{\"a\": 1}\n")]);
        project.ok(&["run", "p.yaml"]).stderr
    };
    let told = said("{ row: csv }");
    assert!(told.contains("`input_format` names `row`, which is no input: these are `rows`"), "{told}");
    assert!(!said("{ rows: parquet }").contains("input_format"));
}

/// Run by a shell of its own group, so that a signal to the group reaches both, as Ctrl-C on a terminal does.
#[test]
fn a_signal_to_the_whole_group_is_one_signal() {
    let project = project();
    let (mut child, pids) = started(&project, project.command(&["run", "p.yaml"]).process_group(0));
    rustix::process::kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    all_gone(&pids);
    assert!(Path::new(&project.file("pids")).exists());
}
