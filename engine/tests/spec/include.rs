//! `include:`.

use crate::support::{nodes, problems_of, resolve_files};

const BASE: &str = "\
pipeline: base
vars: { n: 3, path: base.jsonl }
stages:
  pool: { kind: table, params: { path: \"${path}\" } }
  s: { kind: sample, inputs: { pool: pool }, params: { count: \"${n}\" } }
";

fn ok(files: &[(&str, &str)]) -> pipe_engine::pipeline::Pipeline {
    resolve_files(files, &[]).unwrap_or_else(|p| panic!("{p}")).pipeline
}

#[test]
fn stages_and_variables_are_shared() {
    let main = "pipeline: p\ninclude: ../shared/base.yaml\nvars: { n: 9 }\nablate: { n: [1] }\nstages:\n  t: { kind: \
                sample, inputs: { pool: s }, params: { count: 1 } }\n";
    let pipeline = ok(&[("runs/p.yaml", main), ("runs/../shared/base.yaml", BASE)]);
    assert_eq!(pipeline.name, "p");
    assert_eq!(pipeline.stages.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["pool", "s", "t"]);
    let counts: Vec<u64> = nodes(&pipeline, "s").iter().map(|n| n.params_json["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [9, 1], "the including file's `vars` win");
    assert_eq!(pipeline.base_dir.to_str(), Some("runs"));
    assert_eq!(pipeline.files.len(), 2);
}

#[test]
fn an_included_stage_is_replaced_explicitly() {
    let main = "pipeline: p\ninclude: b.yaml\nstages:\n  s: { override: true, kind: sample, inputs: { pool: pool }, \
                params: { count: 77 } }\n";
    let base = BASE.replace("n: 3, ", "");
    let base = base.replace("count: \"${n}\"", "count: 3");
    let pipeline = ok(&[("p.yaml", main), ("b.yaml", &base)]);
    assert_eq!(nodes(&pipeline, "s")[0].params_json["count"], 77);
    assert_eq!(pipeline.stages[1].name, "s", "it keeps its place");
}

#[test]
fn a_file_reached_twice_is_read_once() {
    let main = "pipeline: p\ninclude: [a.yaml, b.yaml]\n";
    let via = "include: base.yaml\n";
    let pipeline = ok(&[("p.yaml", main), ("a.yaml", via), ("b.yaml", via), ("base.yaml", BASE)]);
    assert_eq!(pipeline.files.len(), 4);
    assert_eq!(pipeline.stages.len(), 2);
}

#[test]
fn the_including_file_settles_conflicts() {
    let a = "vars: { n: 1 }\nstages: { pool: { kind: table, params: { path: a } } }\n";
    let b = "vars: { n: 2 }\nstages: { pool: { kind: table, params: { path: b } } }\n";
    let main = "pipeline: p\ninclude: [a.yaml, b.yaml]\nstages: { s: { kind: sample, inputs: { pool: pool }, params: { \
                count: \"${n}\" } } }\n";
    let files = |main| [("p.yaml", main), ("a.yaml", a), ("b.yaml", b)];
    assert_eq!(
        problems_of(&files(main), &[]),
        "p.yaml:2:19: two included files define the variable `n`\np.yaml:2:19: two included files define the stage \
         `pool`"
    );
    let settled = main
        .replace("stages: {", "vars: { n: 5 }\nstages: { pool: { override: true, kind: table, params: { path: c } },");
    let settled: &'static str = settled.leak();
    assert_eq!(nodes(&ok(&files(settled)), "pool")[0].params_json["path"], "c");
}

#[test]
fn circles_and_repetitions() {
    let check = |files: &[(&str, &str)], expect: &str| assert_eq!(problems_of(files, &[]), expect);
    check(
        &[
            ("p.yaml", "pipeline: p\ninclude: a.yaml\n"),
            ("a.yaml", "include: [./b.yaml]\n"),
            ("b.yaml", "include: a.yaml\n"),
        ],
        "b.yaml:1:10: files include each other in a circle",
    );
    check(&[("p.yaml", "pipeline: p\ninclude: p.yaml\n")], "p.yaml:2:10: files include each other in a circle");
    check(
        &[("p.yaml", "pipeline: p\ninclude: [a.yaml, ./a.yaml]\n"), ("a.yaml", BASE)],
        "p.yaml:2:19: `./a.yaml` is included twice",
    );
    check(&[("p.yaml", "pipeline: p\ninclude: a.yaml\n")], "p.yaml:2:10: failed to read a.yaml: entity not found");
}

#[test]
fn very_many_includes_are_refused() {
    let names: Vec<String> = (0..100).map(|i| format!("f{i}.yaml")).collect();
    let texts: Vec<String> =
        (0..100).map(|i| format!("include: [f{}.yaml, f{}.yaml]\n", (i + 1).min(99), (i + 2).min(99))).collect();
    let mut files = vec![("p.yaml", "pipeline: p\ninclude: f0.yaml\n")];
    files.extend(names.iter().zip(&texts).map(|(n, t)| (n.as_str(), t.as_str())));
    assert!(problems_of(&files, &[]).contains("a pipeline is made of at most 64 files"));
}

#[test]
fn unused_variables_of_included_files_are_no_warning() {
    let main = "pipeline: p\ninclude: b.yaml\nvars: { mine: 1 }\n";
    let base = BASE.replace("vars: {", "vars: { spare: 1,");
    let resolved = resolve_files(&[("p.yaml", main), ("b.yaml", &base)], &[]).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(resolved.warnings.to_string(), "p.yaml:3:9: nothing uses the variable `mine`");
    let many: String = (0..20_000).map(|i| format!("  v{i}: {i}\n")).collect();
    let resolved = resolve_files(&[("p.yaml", &format!("pipeline: p\nvars:\n{many}stages: {{}}\n"))], &[]);
    let warnings = resolved.unwrap_or_else(|p| panic!("{p}")).warnings;
    assert_eq!(warnings.to_string(), "p.yaml:3:3: nothing uses 20000 of the variables");
    assert_eq!(warnings.items[0].places.len(), 10);
}

/// A misspelt variable of an included file leaves that one's default in place: that is said as a mistake. Near names
/// that a file gives its own variables are none.
#[test]
fn a_variable_that_is_misspelt_is_no_warning() {
    let shared = BASE.replace("n: 3", "n_synthetic: 3").replace("${n}", "${n_synthetic}");
    let check = |main: &str| resolve_files(&[("p.yaml", main), ("shared.yaml", &shared)], &[]);
    let wrong = check("pipeline: p\ninclude: shared.yaml\nvars: { n_synthetik: 100 }\nstages: {}\n");
    let problems = wrong.err().map(|problems| problems.to_string()).unwrap_or_default();
    assert!(problems.contains("nothing uses the variable `n_synthetik`; did you mean `n_synthetic`?"), "{problems}");
    let near = "pipeline: p\ninclude: shared.yaml\nvars: { n_synthetic: 3, n_synthetics: 100 }\nstages: {}\n";
    let warnings = check(near).unwrap_or_else(|p| panic!("{p}")).warnings;
    assert_eq!(warnings.to_string(), "p.yaml:3:25: nothing uses the variable `n_synthetics`");
    // What a replaced stage no longer uses is spelt rightly all the same.
    let replaced = "pipeline: p\ninclude: shared.yaml\nvars: { n_synthetic: 3 }\nstages:\n  s: { kind: sample, \
                    override: true, inputs: { pool: pool }, params: { count: 1 } }\n";
    let warnings = check(replaced).unwrap_or_else(|p| panic!("{p}")).warnings;
    assert_eq!(warnings.to_string(), "p.yaml:3:9: nothing uses the variable `n_synthetic`");
    // Nor is anything said of variables while a stage is wrong that may use them.
    let broken = "pipeline: p\ninclude: shared.yaml\nvars: { n_synthetic: 3 }\nstages:\n  s: { override: true }\n";
    assert!(!check(broken).err().map(|p| p.to_string()).unwrap_or_default().contains("nothing uses"));
}
