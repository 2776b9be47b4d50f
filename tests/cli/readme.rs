//! What the README shows runs as it is printed.

use std::{fs, path::Path};

use crate::TestEnvironment;

/// The fenced YAML blocks of a text.
fn blocks(text: &str) -> Vec<String> {
    let parts = text.split("```yaml\n").skip(1);
    parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

/// Lines that are shown as typed into a shell and begin with `pipe`, without their comments.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("    pipe "));
    lines.map(|line| line.split('#').next().unwrap().split_whitespace().collect()).collect()
}

#[test]
fn pipelines_in_the_readme_run_with_the_commands_below_them() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let pipelines = blocks(&readme);
    assert_eq!(pipelines.len(), 1);
    let project = TestEnvironment::new();
    let name = pipelines[0].lines().next().unwrap().strip_prefix("pipeline: ").unwrap();
    project.write(&format!("{name}.yaml"), &pipelines[0]);
    let of_the_study: Vec<_> = commands(&readme).into_iter().take_while(|words| words[0] != "init").collect();
    assert!(of_the_study.iter().any(|words| words[0] == "run"));
    for words in of_the_study {
        project.ok(&words);
    }
    let again = project.ok(&["run", &format!("{name}.yaml")]);
    assert!(again.stderr.contains("0 ran"), "{}", again.stderr);
}
