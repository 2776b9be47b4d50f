//! A run that is watched: on a terminal, without one, and from another shell.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    TestEnvironment,
    terminal::{Terminal, lines},
};

/// Two arms of three stages each, some of which take a while, and one that reads a table.
const PIPELINE: &str = r#"
pipeline: watched
vars: { pause: 0.4 }
ablate: { pause: [0.7] }
stages:
  rows: { kind: table, params: { path: rows.jsonl } }
  first:
    kind: command
    inputs: { rows: rows }
    params: { shell: "sleep ${pause}; echo '{\"a\": 1}' > $PIPE_OUTPUT_out", outputs: { out: { format: jsonl } } }
  second_with_a_name_that_is_rather_long_for_a_terminal:
    kind: command
    inputs: { rows: first }
    params:
      shell: "sleep 0.6; echo ${pause} >&2; echo '{\"a\": ${pause}}' > $PIPE_OUTPUT_out"
      outputs: { out: { format: jsonl } }
"#;

fn project() -> TestEnvironment {
    let rows: Vec<String> = (0..200).map(|n| json!({ "n": n }).to_string()).collect();
    TestEnvironment::with(&[("p.yaml", PIPELINE), ("rows.jsonl", &(rows.join("\n") + "\n"))])
}

fn is_spinning(c: char) -> bool {
    ('⠀'..='⣿').contains(&c)
}

/// Nothing stands on the screen twice, and the region stands once, at the end.
fn check(screen: &vt100::Screen) {
    let lines = lines(screen);
    let all = lines.join("\n");
    let of_the_run: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].starts_with("watched  ")).collect();
    assert!(of_the_run.len() <= 1, "the line of the run is there {} times:\n{all}", of_the_run.len());
    assert!(of_the_run.first().is_none_or(|&i| i + 1 == lines.len()), "something is below the region:\n{all}");
    let spinning = lines.iter().filter(|line| line.starts_with(is_spinning));
    let mut labels: Vec<&str> = spinning.filter_map(|line| line.split_whitespace().nth(1)).collect();
    labels.sort_unstable();
    let shown = labels.len();
    labels.dedup();
    assert_eq!(labels.len(), shown, "a stage has two lines:\n{all}");
    for done in lines.iter().filter(|line| line.starts_with('✓')) {
        let label = done.split_whitespace().nth(1).unwrap();
        assert!(!labels.contains(&label), "`{label}` is done, and has a line:\n{all}");
    }
    let width = usize::from(screen.size().1.get());
    let mut drawn = lines.iter().filter(|line| line.starts_with("watched  ") || line.starts_with(is_spinning));
    assert!(drawn.all(|line| line.chars().count() < width), "a line is wider than the terminal:\n{all}");
}

#[test]
fn the_screen_has_one_line_for_what_runs_and_none_for_what_has_ended() {
    for size in [(24, 80), (24, 120), (14, 46)] {
        let project = project();
        let mut terminal = Terminal::start(project.command(&["run", "p.yaml", "-j", "2"]), size, None);
        terminal.until(|screen| {
            check(screen);
            screen.contents().contains("⠋ first") || screen.contents().contains(" first@pause=0.7")
        });
        let status = terminal.ended(check);
        let lines = lines(terminal.screen.screen());
        let all = lines.join("\n");
        assert!(status.success(), "{all}");
        let (done, rest) = lines.split_at(lines.len() - 3);
        let (stages, more): (Vec<&String>, _) = done.iter().partition(|line| line.starts_with('✓'));
        // What is too long for a line goes on below it.
        assert!(more.iter().all(|line| line.starts_with("    ")), "nothing of the region is left:\n{all}");
        assert_eq!(stages.len(), 5, "every stage has one line:\n{all}");
        assert!(rest[0].starts_with("watched done: 5 ran, 0 reused in "), "{all}");
        // What is said at the end works when it is pasted.
        for line in &rest[1..] {
            let command = line.split_once("pipe ").unwrap().1;
            project.ok(&command.split(' ').collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_terminal_may_change_its_size() {
    let project = project();
    let mut terminal = Terminal::start(project.command(&["run", "p.yaml", "-j", "2"]), (24, 80), None);
    terminal.until(|screen| screen.contents().contains("first@pause=0.7"));
    for (rows, columns) in [(24, 120), (30, 100), (12, 70)] {
        terminal.resize(rows, columns);
        let mut drawn = 0;
        terminal.until(|screen| {
            check(screen);
            drawn += 1;
            drawn > 3
        });
    }
    let status = terminal.ended(check);
    assert!(status.success());
    let lines = lines(terminal.screen.screen());
    let (before, last) = lines.split_at(lines.len() - 3);
    // A terminal that is made narrower may break lines that are there already, or not; nothing of them is left either
    // way.
    assert!(
        last[0].starts_with("watched done: ")
            && before.iter().all(|line| line.starts_with('✓') || line.starts_with("    ")),
        "{lines:#?}"
    );
}

#[test]
fn ctrl_c_leaves_a_clean_screen() {
    let project = project();
    let mut terminal = Terminal::start(project.command(&["run", "p.yaml", "-j", "2"]), (24, 80), None);
    terminal.until(|screen| screen.contents().contains("first@pause=0.7"));
    terminal.key(3);
    let status = terminal.ended(|_| {});
    let lines = lines(terminal.screen.screen());
    assert_eq!(status.code(), Some(130), "{lines:#?}");
    let first = lines.iter().find(|line| !line.starts_with('✓')).unwrap();
    assert!(first.starts_with("stopping in good order; what is done stays done"), "{lines:#?}");
    assert!(lines.last().unwrap().starts_with("watched cancelled: "), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("^C") || line.contains('━')), "{lines:#?}");
}

#[test]
fn colours_go_and_bars_stay_as_the_environment_says() {
    let run = |name: &str, value: &str| {
        let project = project();
        let mut command = project.command(&["run", "p.yaml"]);
        command.env(name, value);
        let mut terminal = Terminal::start(command, (24, 80), Some(Stdio::null()));
        assert!(terminal.ended(|_| {}).success());
        String::from_utf8(std::mem::take(&mut terminal.written)).unwrap()
    };
    let colored = |text: &str| text.contains("\x1b[36m") || text.contains("\x1b[2m");
    let plain = run("TERM", "xterm-256color");
    assert!(colored(&plain) && plain.contains('⠋'), "{plain}");
    let no_color = run("NO_COLOR", "1");
    assert!(!colored(&no_color) && !no_color.contains("\x1b[0m") && no_color.contains('⠋'), "{no_color:?}");
    let dumb = run("TERM", "dumb");
    assert!(!dumb.contains('\x1b') && dumb.contains("✓ first"), "{dumb:?}");
}

#[test]
fn what_is_done_can_be_looked_at_while_the_run_goes_on() {
    let project = TestEnvironment::with(&[(
        "p.yaml",
        "pipeline: p
stages:
  quick:
    kind: command
    params: { shell: 'echo \"{}\" | tr -d x > $PIPE_OUTPUT_out; echo \"{\\\"a\\\": 5}\" > $PIPE_OUTPUT_out',
              outputs: { out: { format: jsonl } } }
  slow:
    kind: command
    inputs: { rows: quick }
    params: { shell: 'while [ ! -e go ]; do sleep 0.05; done; cp $PIPE_INPUT_rows $PIPE_OUTPUT_out',
              input_format: jsonl, outputs: { out: { format: jsonl } } }
",
    )]);
    let mut child = project.command(&["run", "p.yaml"]).stderr(Stdio::null()).spawn().unwrap();
    let link = project.file("results/p/baseline/quick.parquet");
    for _ in 0..600 {
        if link.exists() {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    assert!(link.exists(), "a result has its link as soon as it is there");
    assert!(child.try_wait().unwrap().is_none(), "the run goes on");
    assert!(project.ok(&["ls"]).stdout.contains("quick"));
    assert_eq!(project.json(&["show", "quick", "--format", "json"])["head"][0]["a"], 5);
    let provenance = project.file("results/p/baseline/provenance.json");
    for _ in 0..600 {
        if provenance.exists() {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    let origins: Value = serde_json::from_str(&project.read("results/p/baseline/provenance.json")).unwrap();
    assert!(origins["quick"]["outputs"]["quick.parquet"].is_object() && origins["slow"].is_null(), "{origins}");
    assert!(project.ok(&["ls", "--runs"]).stdout.contains("running"));
    project.write("go", "");
    assert!(child.wait().unwrap().success());
    assert!(project.file("results/p/baseline/slow.parquet").exists());
    let origins: Value = serde_json::from_str(&project.read("results/p/baseline/provenance.json")).unwrap();
    assert!(origins["quick"].is_object() && origins["slow"].is_object(), "{origins}");
}

/// A stage that prints, waits for a file, and prints once more.
fn talking() -> TestEnvironment {
    TestEnvironment::with(&[(
        "p.yaml",
        "pipeline: p
stages:
  slow:
    kind: command
    params:
      shell: |
        printf 'one\\ntw' >&2
        while [ ! -e go ]; do sleep 0.05; done
        printf 'o\\nthree' >&2
        echo '{\"a\": 1}' > \"$PIPE_OUTPUT_out\"
      outputs: { out: { format: jsonl } }
",
    )])
}

#[test]
fn logs_are_followed_until_the_run_ends() {
    let project = talking();
    let mut run = project.command(&["run", "p.yaml"]).stderr(Stdio::null()).spawn().unwrap();
    let spawn = |words: &[&str]| project.command(words).stdout(Stdio::piped()).spawn().unwrap();
    let mut follower = loop {
        sleep(Duration::from_millis(100));
        // Before there is a run, there is nothing to follow.
        if project.pipe(&["ls", "--runs"]).stdout.contains("running") {
            break spawn(&["logs", "slow", "--follow"]);
        }
        assert!(run.try_wait().unwrap().is_none(), "the run has ended");
    };
    let mut said = BufReader::new(follower.stdout.take().unwrap());
    let mut lines = said.by_ref().lines().map(Result::unwrap);
    // Before that it says what is run.
    assert!(lines.any(|line| line == "one"), "it has ended");
    assert!(follower.try_wait().unwrap().is_none() && run.try_wait().unwrap().is_none());
    project.write("go", "");
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "two\nthree\n");
    assert!(follower.wait().unwrap().success() && run.wait().unwrap().success());
    let printed = project.ok(&["logs", "-f"]).stdout;
    assert!(printed.ends_with("\none\ntwo\nthree\n"), "nothing goes on, and it is printed: {printed}");
}

#[test]
fn a_watched_pipeline_runs_again_after_every_edit_until_ctrl_c() {
    let yaml = |n: u32| {
        format!(
            "pipeline: p
stages:
  rows: {{ kind: table, params: {{ path: rows.jsonl }} }}
  out:
    kind: command
    inputs: {{ rows: rows }}
    params: {{ shell: 'echo {n} >&2; cp $PIPE_INPUT_rows $PIPE_OUTPUT_out', input_format: jsonl,
              outputs: {{ out: {{ format: jsonl }} }} }}
"
        )
    };
    let project = TestEnvironment::with(&[("p.yaml", &yaml(1)), ("rows.jsonl", "{\"a\": 1}\n")]);
    let said = File::create(project.file("said")).unwrap();
    let mut child = project.command(&["run", "p.yaml", "--watch"]).stderr(said).spawn().unwrap();
    let mut wait = |texts: &[(&str, usize)]| {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let said = project.read("said");
            if texts.iter().all(|(text, times)| said.matches(text).count() == *times) {
                break;
            }
            assert!(Instant::now() < end && child.try_wait().unwrap().is_none(), "{texts:?}:\n{said}");
            sleep(Duration::from_millis(50));
        }
    };
    wait(&[("p done: 2 ran, 0 reused", 1), ("watching 2 files for changes", 1)]);
    project.write("p.yaml", &yaml(2));
    wait(&[("p.yaml changed", 1), ("p done: 1 ran, 1 reused", 1), ("watching 2 files", 2)]);
    // A source is as good as the file.
    project.write("rows.jsonl", "{\"a\": 1}\n{\"a\": 2}\n");
    wait(&[("rows.jsonl changed", 1), ("p done: 2 ran", 2), ("watching 2 files", 3)]);
    // A mistake is told, and waited for to be mended.
    project.write("p.yaml", &yaml(2).replace("kind: command", "kind: comand"));
    wait(&[("comand", 2), ("watching 2 files", 4)]);
    project.write("p.yaml", &yaml(3));
    wait(&[("p done: 1 ran, 1 reused", 2), ("watching 2 files", 5)]);
    let pid = libc::pid_t::try_from(child.id()).unwrap();
    // SAFETY: it takes numbers; the process is ours, and has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", project.read("said"));
}
