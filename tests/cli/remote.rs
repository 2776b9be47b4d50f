//! Two machines and a remote between them: what one has computed the other fetches.

use std::{
    path::PathBuf,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{TestEnvironment, by_row, moto::Moto, reruns};

/// A machine: a folder with the study, and a store of its own.
fn machine(settings: &str) -> TestEnvironment {
    let machine = reruns::study("1, 2, 3");
    machine.write("pipe.toml", settings);
    machine
}

fn shared(folder: &tempfile::TempDir) -> String {
    format!("remote = \"file://{}\"\n", folder.path().display())
}

/// The bytes of all results that are linked, by name.
fn results(machine: &TestEnvironment) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for variant in ["baseline", "n=1", "n=2", "n=3"] {
        for stage in ["pool", "seeds", "upper"] {
            let name = PathBuf::from(format!("results/p/{variant}/{stage}.parquet"));
            all.push((name.clone(), std::fs::read(machine.file(name.to_str().unwrap())).unwrap()));
        }
    }
    all
}

#[test]
fn a_second_machine_computes_nothing_of_a_study_of_four_arms() {
    let remote = tempfile::tempdir().unwrap();
    let (first, second) = (machine(&shared(&remote)), machine(&shared(&remote)));
    let outcome = first.ok(&["run", "p.yaml"]);
    assert!(outcome.stderr.contains("remote: 9 pushed"), "{}", outcome.stderr);

    let plan = second.ok(&["plan", "p.yaml"]);
    assert!(plan.stdout.contains("0 to run, 0 pending, 9 done (9 on the remote)"), "{}", plan.stdout);
    let outcome = second.ok(&["run", "p.yaml"]);
    assert!(outcome.stderr.contains("0 ran, 9 reused"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("remote: 9 pulled"), "{}", outcome.stderr);
    assert_eq!(results(&first), results(&second));
    assert!(second.ok(&["verify"]).stdout.contains("all sound"));

    // Once more, the remote is not needed: nothing came from it, and nothing went.
    let outcome = second.ok(&["run", "p.yaml"]);
    assert!(!outcome.stderr.contains("remote:"), "{}", outcome.stderr);
}

#[test]
fn workers_fetch_and_send_as_runs_do() {
    let remote = tempfile::tempdir().unwrap();
    let (first, second, third) = (machine(&shared(&remote)), machine(&shared(&remote)), machine(&shared(&remote)));
    let outcome = first.ok(&["run", "p.yaml", "--worker", "--until", "seeds"]);
    assert!(outcome.stderr.contains("remote: 5 pushed"), "{}", outcome.stderr);
    // It has nothing to do but to wait for the remote, and does not leave meanwhile.
    let outcome = second.ok(&["run", "p.yaml", "--worker"]);
    assert!(outcome.stderr.contains("4 ran, 5 reused"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("4 pushed") && outcome.stderr.contains("5 pulled"), "{}", outcome.stderr);
    // What is left is not for it; what it did goes to the remote all the same.
    third.write(
        "p.yaml",
        &third.read("p.yaml").replace("    kind: command", "    resources: { gpu: 1 }\n    kind: command"),
    );
    third.write("upper.sh", "sed 's/answer/Answer/' \"$1\" > \"$2\"\n");
    third.write("data/b.jsonl", "{\"id\": 9, \"output\": \"answer 9\"}\n");
    let outcome = third.ok(&["run", "p.yaml", "--worker"]);
    assert!(outcome.stderr.contains("left to others: 5 ran"), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("remote: 5 pushed") && !outcome.stderr.contains("not pushed"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn the_remote_is_part_of_no_key_and_may_be_turned_off() {
    let remote = tempfile::tempdir().unwrap();
    let machine = machine("");
    machine.ok(&["run", "p.yaml"]);
    machine.write("pipe.toml", &shared(&remote));
    assert!(machine.ok(&["run", "p.yaml"]).stderr.contains("0 ran, 9 reused"));
    assert_eq!(std::fs::read_dir(remote.path()).unwrap().count(), 0, "what was here is pushed when asked for");
    let pushed = machine.ok(&["push"]);
    assert!(pushed.stdout.contains("9 results pushed"), "{}", pushed.stdout);
    let pushed = machine.ok(&["push", "upper", "seeds@n=2"]);
    assert!(pushed.stdout.contains("0 results pushed") && pushed.stdout.contains("5 there already"));
    assert_eq!(machine.pipe(&["push", "nothing"]).code, Some(6));

    // A store that lies elsewhere does not bring the remote of whatever project it lies in.
    let (elsewhere, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(elsewhere.path().join("pipe.toml"), shared(&theirs)).unwrap();
    let store = format!("store = \"{}\"\n{}", elsewhere.path().join("kept").display(), shared(&remote));
    machine.write("pipe.toml", &store);
    machine.ok(&["run", "p.yaml"]);
    let pushed = machine.ok(&["push"]);
    assert!(pushed.stdout.contains("9 there already"), "{}", pushed.stdout);
    assert_eq!(std::fs::read_dir(theirs.path()).unwrap().count(), 0);

    let off = crate::remote::machine(&shared(&remote));
    let outcome = off.outcome(off.command(&["run", "p.yaml"]).env("PIPE_REMOTE", "off").output().unwrap());
    assert!(outcome.stderr.contains("9 ran, 0 reused"), "{}", outcome.stderr);
}

#[test]
fn pull_fetches_and_computes_nothing() {
    let remote = tempfile::tempdir().unwrap();
    let (first, second) = (machine(&shared(&remote)), machine(&shared(&remote)));
    first.ok(&["run", "p.yaml", "--variant", "n=2"]);
    let outcome = second.pipe(&["pull", "p.yaml"]);
    assert!(outcome.stderr.contains("0 ran, 3 reused"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("6 not on the remote"), "{}", outcome.stderr);
    assert!(second.ok(&["pull", "p.yaml", "--variant", "n=2"]).stderr.contains("0 ran, 3 reused"));
    assert!(second.ok(&["pull", "p.yaml", "n=2"]).stderr.contains("0 ran, 3 reused"));
    assert!(second.ok(&["pull", "p.yaml", "upper@n=2"]).stderr.contains("0 ran, 3 reused"));
    second.write("pipeline.yaml", &second.read("p.yaml"));
    assert!(second.ok(&["pull", "n=2"]).stderr.contains("0 ran, 3 reused"));
    let unknown = second.pipe(&["pull", "upped"]);
    assert!(unknown.code == Some(6) && unknown.stderr.contains("no stage `upped`"), "{}", unknown.stderr);
    assert!(second.ok(&["show", "upper@n=2"]).stdout.contains("ANSWER"));
}

#[test]
fn the_remote_is_that_of_the_project_and_its_mode_is_kept_to() {
    let remote = tempfile::tempdir().unwrap();
    let machine = machine(&shared(&remote));
    let elsewhere = tempfile::tempdir().unwrap();
    let store = elsewhere.path().join("store");
    let store = store.to_str().unwrap();
    let run = machine
        .outcome(machine.command(&["run", "p.yaml", "--store", store]).env("PIPE_REMOTE", "off").output().unwrap());
    assert!(run.stderr.contains("9 ran"), "{}", run.stderr);
    let pushed = machine.ok(&["push", "--store", store]);
    assert!(pushed.stdout.contains("9 results pushed"), "{}", pushed.stdout);
    assert!(machine.ok(&["gc", "--remote", "--store", store]).stdout.contains("marked 0"));
    for command in [&["push", "--store", store][..], &["gc", "--remote", "--store", store]] {
        let refused = machine.outcome(machine.command(command).env("PIPE_REMOTE_MODE", "pull").output().unwrap());
        assert!(refused.stderr.contains("only pulled from") && refused.code == Some(2), "{}", refused.stderr);
    }
    // What is fetched is never computed, in any case.
    let forced = machine.pipe(&["pull", "p.yaml", "--force"]);
    assert!(forced.stderr.contains("unexpected argument '--force'"), "{}", forced.stderr);
}

#[test]
fn rows_are_pushed_beside_those_that_somebody_else_has_pushed() {
    let remote = tempfile::tempdir().unwrap();
    let [first, second, third] = [(); 3].map(|()| by_row::project());
    let write = |project: &TestEnvironment, ids: &[&str]| {
        let row = |id: &&str| format!("{{\"id\": \"{id}\", \"text\": \"of {id}\"}}\n");
        project.write("rows.jsonl", &ids.iter().map(row).collect::<String>());
    };
    write(&first, &["a", "b"]);
    first.ok(&["run", "p.yaml"]);
    write(&second, &["c"]);
    second.write("pipe.toml", &shared(&remote));
    second.ok(&["run", "p.yaml"]);
    first.write("pipe.toml", &shared(&remote));
    let pushed = first.ok(&["push"]);
    assert!(pushed.stdout.contains("1 pack of rows"), "{}", pushed.stdout);
    assert!(!pushed.stdout.contains("NOT PUSHED"), "{}", pushed.stdout);
    // It is noted: nothing goes twice.
    assert!(!first.ok(&["push"]).stdout.contains("rows"));
    write(&third, &["a", "b", "c", "d"]);
    third.write("pipe.toml", &shared(&remote));
    third.ok(&["run", "p.yaml"]);
    assert_eq!(by_row::asked(&third), ["d"]);
}

#[test]
#[ignore = "runs PIPE_TEST_TOOLS"]
fn a_second_machine_computes_nothing_where_the_remote_is_a_bucket() {
    let moto = Moto::start();
    let settings = format!("[remote]\nurl = \"s3://studies/lab\"\nendpoint = \"http://{}\"\n", moto.address);
    let (first, second) = (machine(&settings), machine(&settings));
    let pipe = |machine: &TestEnvironment, arguments: &[&str]| {
        let mut command = machine.command(arguments);
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "never-shown");
        let outcome = machine.outcome(command.output().unwrap());
        assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
        assert!(!format!("{}{}", outcome.stdout, outcome.stderr).contains("never-shown"));
        outcome
    };
    assert_eq!(pipe(&first, &["remote", "check"]).stdout.matches('✓').count(), 7);
    let run = pipe(&first, &["run", "p.yaml"]);
    assert!(run.stderr.contains("remote: 9 pushed"), "{}", run.stderr);
    assert!(pipe(&second, &["plan", "p.yaml"]).stdout.contains("9 done (9 on the remote)"));
    let run = pipe(&second, &["run", "p.yaml", "-vv"]);
    assert!(run.stderr.contains("0 ran, 9 reused"), "{}", run.stderr);
    assert!(run.stderr.contains("remote: 9 pulled"), "{}", run.stderr);
    assert_eq!(results(&first), results(&second));
    assert!(pipe(&second, &["verify"]).stdout.contains("all sound"));
    assert!(pipe(&second, &["push"]).stdout.contains("0 results pushed (0 B), 9 there already"));
    let collected = pipe(&first, &["gc", "--remote", "--max-age", "1s", "--grace", "1s"]);
    assert!(collected.stdout.contains("marked 0"), "{}", collected.stdout);
    // The secret stands in nothing that is kept.
    for machine in [&first, &second] {
        let kept =
            std::process::Command::new("grep").args(["-rl", "never-shown"]).arg(machine.path()).output().unwrap();
        assert!(kept.stdout.is_empty(), "{}", String::from_utf8_lossy(&kept.stdout));
    }
}

#[test]
fn a_remote_that_fails_costs_a_warning_and_not_the_run() {
    let remote = tempfile::tempdir().unwrap();
    // A file stands where the remote's folder should be.
    let place = remote.path().join("file");
    std::fs::write(&place, "").unwrap();
    let machine = machine(&format!("[remote]\nurl = \"file://{}\"\nmode = \"both\"\n", place.display()));
    let outcome = machine.ok(&["run", "p.yaml"]);
    assert!(outcome.stderr.contains("9 ran, 0 reused"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("9 not pushed"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("failed to write v1/cas/"), "{}", outcome.stderr);
    let check = machine.pipe(&["remote", "check"]);
    assert!(check.stdout.contains("✗ write:"), "{}", check.stdout);
    assert_eq!(check.code, Some(4), "{}", check.stderr);
}

#[test]
fn a_remote_is_checked_and_collected() {
    let remote = tempfile::tempdir().unwrap();
    let machine = machine(&shared(&remote));
    let check = machine.ok(&["remote", "check"]);
    assert_eq!(check.stdout.matches('✓').count(), 7, "{}", check.stdout);
    machine.ok(&["run", "p.yaml"]);
    let collected = machine.ok(&["gc", "--remote", "--max-age", "1s", "--grace", "1s"]);
    assert!(collected.stdout.contains("marked 0"), "what pipelines stand at here stays: {}", collected.stdout);
    assert!(machine.pipe(&["gc", "--remote", "--unreachable"]).stderr.contains("--max-age"));
}

#[test]
fn mistakes_in_settings_are_told_where_they_are() {
    for (settings, said) in [
        ("remote = 3\n", "an address, or a table"),
        ("\nremote = [\n", "line"),
        ("remotes = \"x\"\n", "there is no setting `remotes`"),
        ("stores = \"x\"\n", "did you mean `store`?"),
        ("store = 3\n", "`store` is a path, in quotes"),
        ("memory = 16\n", "`memory` is a size with a unit"),
        ("cluster = \"\"\n", "`cluster` is a path, in quotes"),
        ("[remote]\nurl = \"file:///x\"\nmod = \"pull\"\n", "a remote has no `mod`"),
        ("[remote]\nurl = \"file:///x\"\nmode = \"down\"\n", "mode is not `down`"),
        ("[remote]\nmode = \"pull\"\n", "`remote` has no `url`"),
        ("remote = \"gopher://x\"\n", "no known kind"),
        ("remote = \"https://me:secret@host/x\"\n", "a user or a password"),
    ] {
        let outcome = machine(settings).pipe(&["run", "p.yaml"]);
        assert!(outcome.stderr.contains(said), "{settings}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("me:secret"), "{}", outcome.stderr);
        assert_ne!(outcome.code, Some(0));
    }
}

/// Ctrl-C while the remote has been asked and says nothing.
#[test]
fn a_run_that_is_interrupted_does_not_wait_for_a_silent_remote() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let machine = machine(&format!("remote = \"http://{}\"\n", silent.local_addr().unwrap()));
    let mut child = machine.command(&["run", "p.yaml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let held = silent.accept().unwrap();
    sleep(Duration::from_millis(300));
    let begun = Instant::now();
    // SAFETY: it takes numbers; the process is ours, and has not been waited for.
    assert_eq!(unsafe { libc::kill(libc::pid_t::try_from(child.id()).unwrap(), libc::SIGINT) }, 0);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    drop(held);
    assert!(machine.ok(&["verify"]).stdout.contains("all sound"));
}
