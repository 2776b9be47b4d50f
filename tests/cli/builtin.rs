//! Files that the binary carries: the same as those of the repository, wherever it is run.

use serde_json::Value;

use crate::TestEnvironment;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The method on the embedded model and world, small; `include` and `model` say where they are from.
fn pipeline(include: &str, model: &str) -> String {
    format!(
        "pipeline: p\ninclude: {include}\nvars: {{ n_seeds: 20, n_synthetic: 8, budget: {{ steps: 2 }}, batch_size: 4, \
         model: '{model}' }}\nstages:\n  world: {{ override: true, kind: embedded_world, params: {{ draw: \
         \"${{draw}}\", exam_items: 33 }} }}\n  whole: {{ kind: export, inputs: {{ adapter: adapter }}, \
         params: {{ model: \"${{model}}\" }} }}\n"
    )
}

/// What nodes are done, and under which keys.
fn plan(project: &TestEnvironment) -> Vec<(String, String, Value)> {
    let plan = project.json(&["plan", "p.yaml", "--all", "--format", "json"]);
    let nodes = plan["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&node["node"]["label"]), text(&node["action"]), node["key"].clone())
        })
        .collect()
}

#[test]
fn what_is_built_in_has_the_keys_of_the_files() {
    let files = pipeline(&format!("{ROOT}/pipelines/embedded.yaml"), &format!("{ROOT}/pipelines/models/nano"));
    let project = TestEnvironment::with(&[("p.yaml", &files)]);
    project.ok(&["run", "p.yaml"]);
    let of_files = plan(&project);
    assert!(of_files.len() > 8 && of_files.iter().all(|(_, action, _)| action == "hit"), "{of_files:?}");
    for (include, model) in [
        ("builtin:embedded.yaml", "builtin:nano"),
        ("builtin:embedded.yaml@1", "builtin:models/nano@1"),
        ("builtin:embedded.yaml", "${standing}"),
    ] {
        // Without a word of one's own the model is the method's, relative to its file.
        let text = pipeline(include, model).replace(", model: '${standing}'", "");
        project.write("p.yaml", &text);
        assert_eq!(plan(&project), of_files, "{include} {model}");
    }
    // And computed with what is built in, results are the same.
    let own = TestEnvironment::with(&[("p.yaml", &pipeline("builtin:embedded.yaml", "builtin:nano"))]);
    own.ok(&["run", "p.yaml"]);
    assert_eq!(plan(&own), of_files);
    let digests = |project: &TestEnvironment| {
        let rows = project.json(&["ls", "--format", "json"]);
        let of =
            |row: &Value| row["outputs"].as_array().unwrap().iter().map(|o| o["digest"].clone()).collect::<Vec<_>>();
        rows.as_array().unwrap().iter().map(|row| (row["stage"].clone(), of(row))).collect::<Vec<_>>()
    };
    assert_eq!(digests(&own), digests(&project));
}

#[test]
fn a_built_in_pipeline_is_planned_in_any_folder() {
    let project = TestEnvironment::new();
    let plan = project.ok(&["plan", "builtin:quickstart.yaml"]);
    assert!(plan.stdout.contains("to run") && plan.stdout.contains("instructions"), "{}", plan.stdout);
    project.ok(&["run", "builtin:quickstart.yaml", "--only", "world"]);
    assert!(project.file(".pipe").is_dir() && project.file("results/quickstart").is_dir());
    project.ok(&["show", "world"]);
}

#[test]
fn every_study_is_sound_as_it_is_carried() {
    let project = TestEnvironment::new();
    let all = project.json(&["show-builtin", "--format", "json"]);
    let studies: Vec<&str> = (all.as_array().unwrap().iter())
        .map(|builtin| builtin["name"].as_str().unwrap())
        .filter(|name| name.contains(".yaml") && !["method.yaml", "embedded.yaml"].contains(name))
        .collect();
    assert!(studies.len() >= 12, "{studies:?}");
    for study in studies {
        project.ok(&["dag", &format!("builtin:{study}")]);
    }
}

#[test]
fn built_in_files_are_listed_printed_and_written() {
    let project = TestEnvironment::new();
    let list = project.ok(&["show-builtin"]).stdout;
    assert!(list.contains("method.yaml@1") && list.contains("models/nano@1"), "{list}");
    let method = std::fs::read_to_string(format!("{ROOT}/pipelines/method.yaml")).unwrap();
    assert_eq!(project.ok(&["show-builtin", "method.yaml"]).stdout, method);
    assert!(project.ok(&["show-builtin", "nano"]).stdout.contains("models/nano/model.safetensors"));
    project.ok(&["show-builtin", "--to", "mine"]);
    assert_eq!(project.read("mine/method.yaml"), method);
    // What was written runs from there, with the model beside it.
    project.ok(&["plan", "mine/quickstart.yaml"]);
    let again = project.pipe(&["show-builtin", "method.yaml", "--to", "mine"]);
    assert!(again.code == Some(2) && again.stderr.contains("is there already"), "{}", again.stderr);
    let unknown = project.pipe(&["show-builtin", "methd.yaml"]);
    assert!(unknown.code == Some(6) && unknown.stderr.contains("did you mean `method.yaml`?"), "{}", unknown.stderr);
}

/// What is said of a pipeline.
fn problem(text: &str) -> String {
    let outcome = TestEnvironment::with(&[("p.yaml", text)]).pipe(&["plan", "p.yaml"]);
    assert_eq!(outcome.code, Some(3), "{}{}", outcome.stdout, outcome.stderr);
    outcome.stderr
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let other = problem("pipeline: p\ninclude: builtin:method.yaml@9\nstages: {}\n");
    assert!(other.contains("this program carries `method.yaml@1`, not `method.yaml@9`"), "{other}");
    assert!(other.contains("p.yaml:2:10") && other.contains("included here"), "{other}");
    let unknown = problem("pipeline: p\ninclude: builtin:method.yml\nstages: {}\n");
    assert!(unknown.contains("there is no built-in file `method.yml`"), "{unknown}");
    assert!(unknown.contains("did you mean `method.yaml`?"), "{unknown}");
    let model = problem(
        "pipeline: p\nstages:\n  t: { kind: table, params: { path: a.csv } }\n  e: { kind: evaluate, \
         inputs: { items: t }, params: { model: builtin:nani } }\n",
    );
    assert!(model.contains("did you mean `nano`?") && model.contains("p.yaml:4:"), "{model}");
    // Inside the built-in file, with its lines.
    let inside = problem("pipeline: p\ninclude: builtin:method.yaml\nstages: {}\n");
    assert!(inside.contains("builtin:method.yaml:"), "{inside}");
    assert!(inside.contains("inputs: { pool: \"${pool}\""), "{inside}");
}
