//! The mutation matrix: which edit makes which stages run again (I4 to I7).

use std::fs;

use pipe_testing::{Lab, kinds::versioned};

const BASE: &str = "
pipeline: p
stages:
  pool:  { kind: file, params: { path: pool.txt, greet: GREET } }
  clean: { kind: dedup, inputs: { in: pool } }
  loud:  { kind: upper, inputs: { in: clean }, params: { mark: '!' } }
  each:  { kind: map, inputs: { in: clean }, params: { mark: '.', times: 2 } }
  both:  { kind: concat, inputs: { a: loud, b: each } }
";

const ALL: &[&str] = &["both", "clean", "each", "loud", "pool"];

fn lab() -> Lab {
    let mut lab = Lab::new();
    lab.env("GREET", "hi ");
    lab.write("pool.txt", "b\na\nc\n");
    assert_eq!(lab.run(BASE).stages, ALL);
    lab
}

fn replace(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "the base has no {from}");
    BASE.replace(from, to)
}

/// Edits only the file: which stages run then.
#[track_caller]
fn check(yaml: &str, expect: &[&str]) {
    let lab = lab();
    let ran = lab.run(yaml);
    assert_eq!(ran.stages, expect);
    assert_eq!(lab.run(yaml).stages, [""; 0], "a second run finds everything");
}

/// Edits the world: which stages run then.
#[track_caller]
fn check_world(edit: impl FnOnce(&mut Lab), expect: &[&str]) {
    let mut lab = lab();
    edit(&mut lab);
    assert_eq!(lab.run(BASE).stages, expect);
}

#[test]
fn nothing() {
    check(BASE, &[]);
}

#[test]
fn comment_and_white_space() {
    check(&format!("# a comment\n{}\n\n# the end", replace("{ kind: dedup,", "{   kind:   dedup,  ")), &[]);
}

#[test]
fn block_style() {
    let block = "clean:\n    kind: dedup\n    inputs:\n      in: pool";
    check(&replace("clean: { kind: dedup, inputs: { in: pool } }", block), &[]);
}

#[test]
fn key_order() {
    check(&replace("{ mark: '.', times: 2 }", "{ times: 2, mark: '.' }"), &[]);
    check(&replace("{ a: loud, b: each }", "{ b: each, a: loud }"), &[]);
    check(&replace("{ kind: dedup, inputs: { in: pool } }", "{ inputs: { in: pool }, kind: dedup }"), &[]);
}

#[test]
fn stage_order() {
    let last = BASE.lines().last().unwrap();
    check(&BASE.replace(last, "").replace("stages:", &format!("stages:\n{last}")), &[]);
}

#[test]
fn quotes() {
    check(&replace("mark: '!'", "mark: \"!\""), &[]);
}

#[test]
fn default_spelled_out() {
    check(&replace("inputs: { in: pool } }", "inputs: { in: pool }, params: { mark: '' } }"), &[]);
}

#[test]
fn value_through_a_variable() {
    check(&replace("stages:", "vars: { m: '!' }\nstages:").replace("mark: '!'", "mark: '${m}'"), &[]);
}

#[test]
fn operational_parameter() {
    check(&replace("times: 2", "times: 2, batch: 3"), &[]);
}

#[test]
fn resources_retries_and_timeout() {
    check(&replace("{ kind: dedup,", "{ kind: dedup, retries: 3, timeout: 5m, resources: { cpu: 2 },"), &[]);
}

#[test]
fn parameter_changed() {
    check(&replace("mark: '!'", "mark: '?'"), &["both", "loud"]);
    check(&replace("mark: '.'", "mark: ','"), &["both", "each"]);
}

#[test]
fn stage_renamed() {
    check(&BASE.replace("clean", "tidy"), &[]);
}

#[test]
fn pipeline_renamed() {
    check(&replace("pipeline: p", "pipeline: q"), &[]);
}

#[test]
fn stage_added() {
    check(&format!("{BASE}  more:  {{ kind: upper, inputs: {{ in: each }} }}\n"), &["more"]);
}

#[test]
fn stage_removed() {
    check(&replace("  both:  { kind: concat, inputs: { a: loud, b: each } }\n", ""), &[]);
}

#[test]
fn input_disconnected_and_swapped() {
    check(&replace("{ a: loud, b: each }", "{ a: loud }"), &["both"]);
    check(&replace("{ a: loud, b: each }", "{ a: each, b: loud }"), &["both"]);
}

#[test]
fn kind_version() {
    // It yields the same rows here, so nothing below it runs.
    check_world(|lab| lab.registry = versioned::<2>(&lab.probe), &["loud"]);
}

#[test]
fn input_row_added() {
    check_world(|lab| lab.write("pool.txt", "b\na\nc\nd\n"), ALL);
}

#[test]
fn input_row_removed() {
    check_world(|lab| lab.write("pool.txt", "b\na\n"), ALL);
}

#[test]
fn input_rows_reordered_above_a_stage_that_sorts() {
    check_world(|lab| lab.write("pool.txt", "c\nb\na\n"), &["clean", "pool"]);
}

#[test]
fn upstream_that_reruns_to_the_same_rows() {
    // The file's bytes differ, the rows read from it do not.
    check_world(|lab| lab.write("pool.txt", "b\na\nc"), &["pool"]);
}

#[test]
fn file_touched_or_rewritten_but_equal() {
    check_world(
        |lab| {
            let file = fs::File::options().write(true).open(lab.path("pool.txt")).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        },
        &[],
    );
    check_world(|lab| lab.write("pool.txt", "b\na\nc\n"), &[]);
}

#[test]
fn file_moved() {
    let lab = lab();
    fs::rename(lab.path("pool.txt"), lab.path("elsewhere.txt")).unwrap();
    assert_eq!(lab.run(&replace("pool.txt", "elsewhere.txt")).stages, [""; 0]);
}

#[test]
fn environment_variable() {
    check_world(|lab| lab.env("GREET", "hello "), ALL);
    check_world(|lab| lab.env("OTHER", "x"), &[]);
}

#[test]
fn thread_count() {
    check_world(|lab| lab.options.jobs = 7, &[]);
}

#[test]
fn store_moved() {
    check_world(
        |lab| {
            let (from, to) = (lab.store.layout().root().to_owned(), lab.path("moved"));
            lab.reopen_at(&lab.path("other"));
            fs::rename(from, &to).unwrap();
            lab.reopen_at(&to);
        },
        &[],
    );
}

#[test]
fn store_opened_anew() {
    check_world(Lab::reopen, &[]);
}
