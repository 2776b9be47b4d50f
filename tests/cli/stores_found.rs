//! One store, found the same way by every command.

use std::fs;

use tempfile::TempDir;

use crate::environment::{Outcome, TestEnvironment};

const PIPELINE: &str = "pipeline: p\nstages:\n  words: { kind: table, params: { path: rows.jsonl } }\n";

/// A folder in no project, with one pipeline in `demo/`. What encloses the system's folder for temporary files is
/// whatever it is; the tests that need no project at all say so.
struct Loose(TempDir);

impl Loose {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let enclosing = dir.path().ancestors().find(|dir| dir.join(".git").exists() || dir.join(".pipe").exists());
        assert_eq!(enclosing, None, "the folder for temporary files lies in a project");
        let this = Self(dir);
        this.add("demo");
        fs::create_dir(this.0.path().join("sibling")).unwrap();
        this
    }

    fn add(&self, folder: &str) {
        let folder = self.0.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("p.yaml"), PIPELINE).unwrap();
        fs::write(folder.join("rows.jsonl"), "{\"a\": 1}\n").unwrap();
    }

    fn pipe(&self, folder: &str, arguments: &[&str], store: Option<&str>) -> Outcome {
        let project = TestEnvironment::new();
        let mut command = project.command(arguments);
        command.current_dir(self.0.path().join(folder));
        if let Some(store) = store {
            command.env("PIPE_STORE", store);
        }
        project.outcome(command.output().unwrap())
    }

    fn ok(&self, folder: &str, arguments: &[&str]) -> Outcome {
        let outcome = self.pipe(folder, arguments, None);
        assert_eq!(outcome.code, Some(0), "{folder}: pipe {}\n{}", arguments.join(" "), outcome.stderr);
        outcome
    }

    fn has(&self, path: &str) -> bool {
        self.0.path().join(path).exists()
    }
}

#[test]
fn what_was_run_from_the_parent_is_shown_from_the_parent() {
    let loose = Loose::new();
    let run = loose.ok("", &["run", "demo/p.yaml"]);
    assert!(run.stderr.contains("the store is demo/.pipe"), "{}", run.stderr);
    assert!(loose.has("demo/.pipe") && !loose.has(".pipe"));
    for command in [&["show", "words"][..], &["ls"], &["logs"], &["verify"], &["gc", "--dry-run"], &["ls", "--runs"]] {
        let outcome = loose.ok("", command);
        assert!(outcome.stderr.contains("the store is demo/.pipe"), "{command:?}: {}", outcome.stderr);
    }
    let plan = loose.ok("", &["plan", "demo/p.yaml"]);
    assert!(plan.stdout.contains("0 to run, 0 pending, 1 done"), "{}", plan.stdout);
    let quiet = loose.ok("", &["show", "words", "--quiet"]);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn inside_nothing_is_said() {
    let loose = Loose::new();
    assert!(!loose.ok("demo", &["run", "p.yaml"]).stderr.contains("the store is"));
    assert!(!loose.ok("demo", &["show", "words"]).stderr.contains("the store is"));
    // Nor is it from further inside, where the project is the same.
    loose.add("demo/deep");
    assert!(!loose.ok("demo/deep", &["run", "p.yaml"]).stderr.contains("the store is"));
    assert!(loose.has("demo/.pipe") && !loose.has("demo/deep/.pipe"));
}

#[test]
fn from_a_sibling_a_pipeline_finds_its_own_store() {
    let loose = Loose::new();
    let run = loose.ok("sibling", &["run", "../demo/p.yaml"]);
    assert!(run.stderr.contains("the store is ") && run.stderr.contains("demo/.pipe"), "{}", run.stderr);
    assert!(loose.has("demo/.pipe") && !loose.has("sibling/.pipe"));
    let shown = loose.pipe("sibling", &["show", "words"], None);
    assert_eq!(shown.code, Some(6), "nothing here names the pipeline");
    assert!(shown.stderr.contains("there is no store") && shown.stderr.contains("--store"), "{}", shown.stderr);
    loose.ok("sibling", &["show", "words", "--store", "../demo/.pipe"]);
}

#[test]
fn of_several_stores_below_none_is_guessed() {
    let loose = Loose::new();
    loose.add("more/other");
    loose.ok("demo", &["run", "p.yaml"]);
    loose.ok("more/other", &["run", "p.yaml"]);
    let shown = loose.pipe("", &["show", "words"], None);
    assert_eq!(shown.code, Some(2), "{}", shown.stderr);
    assert!(shown.stderr.contains("`demo/.pipe`, `more/other/.pipe`"), "{}", shown.stderr);
    loose.ok("", &["show", "words", "--store", "more/other/.pipe"]);
}

#[test]
fn a_store_that_is_named_is_the_one() {
    let loose = Loose::new();
    let flag = loose.ok("", &["run", "demo/p.yaml", "--store", "sibling/kept"]);
    assert!(!flag.stderr.contains("the store is"), "{}", flag.stderr);
    assert!(loose.has("sibling/kept") && !loose.has("demo/.pipe"));
    let variable = |arguments: &[&str]| loose.pipe("demo", arguments, Some("../sibling/kept"));
    assert_eq!(variable(&["show", "words"]).code, Some(0));
    let plan = variable(&["plan", "p.yaml"]);
    assert!(plan.stdout.contains("0 to run, 0 pending, 1 done"), "{}{}", plan.stdout, plan.stderr);
    // The flag wins.
    assert_eq!(variable(&["show", "words", "--store", "../sibling/none"]).code, Some(6));
}

#[test]
fn in_a_project_the_root_has_the_store() {
    let project = TestEnvironment::with(&[("demo/p.yaml", PIPELINE), ("demo/rows.jsonl", "{\"a\": 1}\n")]);
    let run = project.ok(&["run", "demo/p.yaml"]);
    assert!(!run.stderr.contains("the store is"), "{}", run.stderr);
    assert!(project.file(".pipe").exists() && !project.file("demo/.pipe").exists());
    project.ok(&["show", "words"]);
    let mut inside = project.command(&["show", "words"]);
    assert!(inside.current_dir(project.file("demo")).status().unwrap().success());
}

#[test]
fn settings_say_where_the_store_lies_and_what_there_is() {
    let loose = Loose::new();
    let write = |path: &str, text: &str| fs::write(loose.0.path().join(path), text).unwrap();
    write("pipe.toml", "store = \"kept/here\"\nmemory = \"1KB\"\ncluster = \"lab/big.yaml\"\n");
    loose.ok("demo", &["run", "p.yaml"]);
    assert!(loose.has("kept/here/v1") && loose.has("kept/results") && !loose.has(".pipe") && !loose.has("demo/.pipe"));
    for folder in ["", "demo", "sibling"] {
        let shown = loose.ok(folder, &["show", "words"]);
        assert!(!shown.stderr.contains("the store is"), "{}", shown.stderr);
    }
    // What is said to a command goes before.
    assert!(loose.pipe("demo", &["run", "p.yaml"], Some("other")).stderr.contains("1 ran") && loose.has("demo/other"));

    let examined = "  world: { kind: embedded_world, params: { seeds: 4, exam_items: 4 } }
  scores: { kind: evaluate, inputs: { items: world.exam }, params: { model: 'builtin:nano', max_new_tokens: 4 } }
";
    write("demo/p.yaml", &(PIPELINE.to_owned() + examined));
    for command in [&["plan", "p.yaml"][..], &["run", "p.yaml"]] {
        let refused = loose.pipe("demo", command, None);
        let said = refused.stdout + &refused.stderr;
        assert!(said.contains("✗ scores") && said.contains("at least about"), "{command:?}: {said}");
        assert_ne!(refused.code, Some(0));
    }
    loose.ok("demo", &["run", "p.yaml", "--memory", "2GB"]);

    fs::create_dir(loose.0.path().join("lab")).unwrap();
    write("lab/big.yaml", "cluster: { sbatch: [--account=lab] }\n");
    write("demo/cluster.yaml", "cluster: { sbatch: [--account=other] }\n");
    let script = loose.ok("demo", &["submit", "p.yaml", "--on", "slurm", "--print"]);
    assert!(script.stdout.contains("#SBATCH --account=lab\n"), "{}", script.stdout);
}
