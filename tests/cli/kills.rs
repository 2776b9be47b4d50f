//! Kills everything that works on a store, at random moments, and sees that the artifacts are those of a run that
//! nobody disturbed.
//!
//! The suite kills a few rounds of two arms. The acceptance run, 60 rounds of four arms:
//! `cargo test --release --test cli kills -- --ignored --nocapture`

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;

use crate::TestEnvironment;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The method, small, with one arm for each number of synthetic rows.
fn project(arms: &[u32], rows: u32) -> TestEnvironment {
    let ablate: Vec<String> = arms.iter().map(u32::to_string).collect();
    let yaml = format!(
        "pipeline: p
include: {ROOT}/pipelines/embedded.yaml
vars:
  model: {ROOT}/pipelines/models/nano
  n_seeds: 20
  n_synthetic: {rows}
  budget: {{ steps: 8 }}
  batch_size: 4
  checkpoint_steps: 2
ablate: {{ n_synthetic: [{}] }}
stages:
  world: {{ override: true, kind: embedded_world, params: {{ draw: \"${{draw}}\", exam_items: 33 }} }}
",
        ablate.join(", ")
    );
    TestEnvironment::with(&[("p.yaml", &yaml)])
}

/// `stage@variant.port` -> object, of everything that the pipeline stands at.
fn artifacts(project: &TestEnvironment) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all = BTreeMap::new();
    for row in project.json(&["ls", "--format", "json"]).as_array().unwrap() {
        assert_eq!(row["present"], true, "{row:#}");
        for output in row["outputs"].as_array().unwrap() {
            let name = format!("{}@{}.{}", text(&row["stage"]), text(&row["variant"]), text(&output["port"]));
            let object = text(&output["path"]).rsplit('/').next().unwrap().to_owned();
            all.insert(name, format!("{} {object}", text(&output["digest"])));
        }
    }
    all
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn start(project: &TestEnvironment, arguments: &[&str]) -> Child {
    project.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

const RUN: &[&str] = &["run", "p.yaml", "-j", "3"];
const CARE: [&[&str]; 4] = [&["gc"], &["gc", "--unreachable"], &["gc", "--max-age", "1s"], &["verify", "--repair"]];

/// One round: runs and their neighbours are killed, the last run is not; then all is as it should be. `whole` is how
/// long an undisturbed run takes.
fn round(project: &TestEnvironment, random: &mut Random, whole: Duration) {
    for _ in 0..=random.below(3) {
        let mut victims = vec![start(project, RUN)];
        for _ in 0..random.below(3) {
            victims.push(start(project, CARE[random.below(4) as usize]));
        }
        if random.below(4) == 0 {
            victims.push(start(project, RUN));
        }
        while !victims.is_empty() {
            sleep(Duration::from_micros(random.below(whole.as_micros() as u64 / 3)));
            let mut victim = victims.swap_remove(random.below(victims.len() as u64) as usize);
            victim.kill().unwrap();
            victim.wait().unwrap();
        }
    }
    // Care while the run goes on, and after it.
    let mut run = start(project, RUN);
    let mut care = start(project, CARE[random.below(4) as usize]);
    assert!(run.wait().unwrap().success());
    assert!(care.wait().unwrap().success());
    let report = project.json(&["verify", "--format", "json"]);
    assert_eq!(report["sound"], true, "{report:#}");
}

fn kill_loop(arms: &[u32], rows: u32, rounds: u64) {
    let undisturbed = project(arms, rows);
    let begun = Instant::now();
    undisturbed.ok(RUN);
    let whole = begun.elapsed();
    let expected = artifacts(&undisturbed);
    assert!(expected.len() > 10, "{expected:#?}");

    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let mut random = Random(seed);
    let disturbed = project(arms, rows);
    for n in 0..rounds {
        round(&disturbed, &mut random, whole);
        assert_eq!(artifacts(&disturbed), expected, "round {n}, seed {seed}");
        // The next round computes some of it again: all, what one stage has, or what comes of other rows than were
        // kept.
        match random.below(3) {
            0 => fs::remove_dir_all(disturbed.file(".pipe")).unwrap(),
            1 => drop(disturbed.ok(&["gc", "--max-size", "0B", "--even-reachable"])),
            _ => {
                let manifests = disturbed.file(".pipe/v1/manifests");
                for fan in fs::read_dir(manifests).unwrap() {
                    if random.below(2) == 0 {
                        fs::remove_dir_all(fan.unwrap().path()).unwrap();
                    }
                }
            }
        }
    }
    #[expect(clippy::print_stdout, reason = "how it went, for whoever runs it by hand")]
    {
        println!("{rounds} rounds, seed {seed}, an undisturbed run takes {whole:?}");
    }
}

#[test]
fn whatever_is_killed_the_artifacts_are_the_same() {
    kill_loop(&[6], 4, 2);
}

#[test]
#[ignore = "takes minutes: the acceptance run of the kill loop"]
fn sixty_rounds_of_four_arms() {
    kill_loop(&[100, 200, 300], 400, 60);
}

/// A quick stage, and one that does not end.
const ENDLESS: &str = "pipeline: p
stages:
  first: { kind: command, params: { shell: 'echo x > \"$PIPE_OUTPUT_dir/f\"', outputs: { dir: { format: files } } } }
  second:
    kind: command
    inputs: { first: first.dir }
    params: { shell: 'sleep 600', outputs: { dir: { format: files } } }
";

#[test]
fn gc_leaves_what_a_live_run_and_an_interrupted_one_have_done() {
    let project = TestEnvironment::with(&[("p.yaml", ENDLESS)]);
    let mut run = start(&project, &["run", "p.yaml"]);
    let begun = Instant::now();
    while !project.file(".pipe/v1/refs/p.log").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was noted");
        sleep(Duration::from_millis(5));
    }
    let gc = ["gc", "--unreachable", "--max-age", "1ms"];
    let present = |project: &TestEnvironment| {
        let listed = project.json(&["ls", "--format", "json"]);
        listed.as_array().unwrap().iter().filter(|row| row["present"] == true).count()
    };
    project.ok(&gc);
    assert_eq!(present(&project), 1, "beside the run");
    run.kill().unwrap();
    run.wait().unwrap();
    project.ok(&gc);
    assert_eq!(present(&project), 1, "after it");
    let events = project.ok(&["run", "p.yaml", "--until", "first", "--format", "json"]).stdout;
    assert!(events.contains("\"event\":\"hit\"") && !events.contains("\"event\":\"finished\""), "{events}");
}

/// A run whose program writes into the directory that it was given.
#[test]
fn a_directory_that_is_written_to_while_a_stage_reads_it_is_computed_again() {
    let yaml = "pipeline: p
stages:
  model: { kind: command, params: { shell: 'echo 1 > \"$PIPE_OUTPUT_dir/f\"', outputs: { dir: { format: files } } } }
  spoils:
    kind: command
    inputs: { model: model }
    params:
      shell: |
        test -e spoiled || { touch spoiled; chmod u+w \"$PIPE_INPUT_model\" \"$PIPE_INPUT_model/f\"; echo 2 \
        > \"$PIPE_INPUT_model/f\"; }
        cp \"$PIPE_INPUT_model/f\" \"$PIPE_OUTPUT_dir/f\"
      outputs: { dir: { format: files } }
  reads:
    kind: command
    inputs: { model: model, spoils: spoils }
    params:
      shell: 'cat \"$PIPE_INPUT_model/f\" \"$PIPE_INPUT_spoils/f\" > \"$PIPE_OUTPUT_dir/both\"'
      outputs: { dir: { format: files } }
";
    let project = TestEnvironment::with(&[("p.yaml", yaml)]);
    let outcome = project.ok(&["run", "p.yaml"]);
    assert!(project.file("spoiled").exists());
    assert_eq!(project.read("results/p/baseline/reads/both"), "1\n1\n", "{}{}", outcome.stdout, outcome.stderr);
    assert!(project.ok(&["verify"]).stdout.contains("all sound"));
}
