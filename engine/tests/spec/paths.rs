//! Paths start from the file that holds them, and numbers stay as they are written.

use std::path::Path;

use pipe_engine::{
    kind::written,
    pipeline::Pipeline,
    resolve::{Overrides, resolve},
    spec::{Builtin, Builtins, Content, join, load_among, load_with},
};
use pipe_testing::shapes::registry;
use serde_json::json;

use crate::support::{nodes, problems, resolved};

/// Resolves in the working folder `/work`.
fn at_work(files: &[(&str, &str)], set: &[&str]) -> Pipeline {
    let read = |path: &Path| {
        let file = files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
    };
    let overrides = Overrides { set: set.iter().map(|&s| s.to_owned()).collect(), folder: "/work".into(), name: None };
    match resolve(&load_with(Path::new(files[0].0), &read), &registry(), &overrides) {
        Ok(resolved) => resolved.pipeline,
        Err(problems) => panic!("{problems}"),
    }
}

/// The path that the stage `t` reads, from the root on.
fn read_by(pipeline: &Pipeline, stage: &str, param: &str) -> String {
    let node = nodes(pipeline, stage)[0];
    let path = node.folder.join(node.params_json[param].as_str().expect("a path is a text"));
    pipe_engine::diag::plain(&path).display().to_string()
}

const SHARED: &str = "\
vars: { path: data/a, base: models, model: \"${base}/nano\" }
stages:
  t: { kind: table, params: { path: \"${path}\" } }
  own: { kind: table, params: { path: b } }
  e: { kind: evaluate, inputs: { items: t }, params: { model: \"${model}\" } }
";

#[test]
fn paths_start_from_the_file_that_holds_them() {
    let main = |vars: &str| {
        format!(
            "pipeline: p\ninclude: ../shared/base.yaml\n{vars}stages:\n  mine: {{ kind: table, params: {{ path: c }} \
             }}\n"
        )
    };
    let check = |vars: &str, set: &[&str], expect: [&str; 4]| {
        let main = main(vars);
        let pipeline = at_work(&[("runs/p.yaml", &main), ("runs/../shared/base.yaml", SHARED)], set);
        let read = [("t", "path"), ("own", "path"), ("e", "model"), ("mine", "path")];
        assert_eq!(read.map(|(stage, param)| read_by(&pipeline, stage, param)), expect, "{vars} {set:?}");
    };
    check("", &[], ["/work/shared/data/a", "/work/shared/b", "/work/shared/models/nano", "/work/runs/c"]);
    check("vars: { path: x }\n", &[], ["/work/runs/x", "/work/shared/b", "/work/shared/models/nano", "/work/runs/c"]);
    // A path begins where its first text stands.
    check("vars: { base: m }\n", &[], ["/work/shared/data/a", "/work/shared/b", "/work/runs/m/nano", "/work/runs/c"]);
    check("", &["path=x", "base=m"], ["/work/x", "/work/shared/b", "/work/m/nano", "/work/runs/c"]);
    check("", &["path=/x"], ["/x", "/work/shared/b", "/work/shared/models/nano", "/work/runs/c"]);
}

#[test]
fn names_that_are_no_paths_stay() {
    let main = "pipeline: p\ninclude: ../shared/base.yaml\n";
    for name in ["tiny", "hf:org/name"] {
        let set = format!("model={name}");
        let pipeline = at_work(&[("runs/p.yaml", main), ("runs/../shared/base.yaml", SHARED)], &[&set]);
        assert_eq!(nodes(&pipeline, "e")[0].params_json["model"], name);
    }
}

#[test]
fn a_program_runs_beside_the_text_of_its_command() {
    let shared = "vars: { tool: own.py }\nstages:\n  s: { kind: script, params: { argv: [python, \"${tool}\", lib.py], \
                  sources: [\"${tool}\", lib.py] } }\n";
    let alone = at_work(&[("shared/base.yaml", &format!("pipeline: p\n{shared}"))], &[]);
    let of = |main: &str| at_work(&[("runs/p.yaml", main), ("runs/../shared/base.yaml", shared)], &[]);
    let check = |pipeline: &Pipeline, folder: &str, argv: [&str; 2]| {
        let node = nodes(pipeline, "s")[0];
        assert_eq!(pipe_engine::diag::plain(&node.folder).to_str(), Some(folder));
        let place = |v: &serde_json::Value| {
            pipe_engine::diag::plain(&node.folder.join(v.as_str().unwrap())).display().to_string()
        };
        let list = |name: &str| node.params_json[name].as_array().unwrap().iter().map(place).collect::<Vec<_>>();
        assert_eq!(list("argv")[1..], argv);
        assert_eq!(list("sources"), argv);
    };
    check(&alone, "/work/shared", ["/work/shared/own.py", "/work/shared/lib.py"]);
    let included = of("pipeline: p\ninclude: ../shared/base.yaml\n");
    check(&included, "/work/shared", ["/work/shared/own.py", "/work/shared/lib.py"]);
    assert_eq!(
        nodes(&alone, "s")[0].semantic,
        nodes(&included, "s")[0].semantic,
        "the key is the same from any folder"
    );
    let other = of("pipeline: p\ninclude: ../shared/base.yaml\nvars: { tool: mine.py }\n");
    check(&other, "/work/shared", ["/work/runs/mine.py", "/work/shared/lib.py"]);
    let like = of(
        "pipeline: p\ninclude: ../shared/base.yaml\nstages: { like: { like: s, params: { argv: [python, own.py] } } \
         }\n",
    );
    let node = nodes(&like, "like")[0];
    assert_eq!(node.folder.to_str(), Some("/work/runs"), "`argv` is written in the study");
    assert!(Path::new(node.params_json["sources"][1].as_str().unwrap()).starts_with("/work/runs/../shared"));
    // What enters the key is what is written, wherever it is.
    assert_eq!(nodes(&other, "s")[0].semantic["sources"], json!(["mine.py", "lib.py"]));
    assert_eq!(
        nodes(&other, "s")[0].params_json["sources"].as_array().map(|s| written(s[0].as_str().unwrap())),
        Some("mine.py")
    );
}

#[test]
fn equal_texts_of_two_files_are_two_paths() {
    let main = "pipeline: p\ninclude: ../shared/base.yaml\nablate: { path: [data/a], model: [tiny] }\n";
    let shared = SHARED.replace("model: \"${base}/nano\"", "model: tiny");
    let pipeline = at_work(&[("runs/p.yaml", main), ("runs/../shared/base.yaml", &shared)], &[]);
    let names: Vec<&str> = pipeline.variants.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["baseline", "path=data-a"], "`tiny` is no path, and the baseline's");
    let read: Vec<String> = nodes(&pipeline, "t")
        .iter()
        .map(|n| {
            pipe_engine::diag::plain(&n.folder.join(n.params_json["path"].as_str().unwrap())).display().to_string()
        })
        .collect();
    assert_eq!(read, ["/work/shared/data/a", "/work/runs/data/a"]);
}

#[test]
fn numbers_on_a_command_line_are_texts_as_written() {
    let argv = |vars: &str, argv: &str| {
        let text =
            format!("pipeline: p\nvars: {{ {vars} }}\nstages:\n  s: {{ kind: script, params: {{ argv: {argv} }} }}\n");
        nodes(&resolved(&text), "s")[0].semantic["argv"].clone()
    };
    assert_eq!(argv("lr: 3e-4", "[train, --lr, \"${lr}\"]"), json!(["train", "--lr", "3e-4"]));
    assert_eq!(
        argv("x: 1", "[3.10, 1e999x, 0o17, 007, -0, \"${x}\", true]"),
        json!(["3.10", "1e999x", "0o17", "007", "-0", "1", "true"])
    );
    assert_eq!(argv("v: { minor: [3.10] }, w: \"${v.minor.0}\"", "[\"${w}\", \"py${w}\"]"), json!(["3.10", "py3.10"]));
    assert_eq!(argv("all: [a, 1.50]", "\"${all}\""), json!(["a", "1.50"]));
    let varied = "pipeline: p\nvars: { lr: 1.0 }\nablate: { lr: [0.10, 2e-5] }\nstages:\n  s: { kind: script, params: \
                  { argv: [x, \"${lr}\", \"--lr=${lr}\"] } }\n";
    let varied: Vec<_> = nodes(&resolved(varied), "s").iter().map(|n| n.semantic["argv"].clone()).collect();
    assert_eq!(
        varied,
        [json!(["x", "1.0", "--lr=1.0"]), json!(["x", "0.10", "--lr=0.10"]), json!(["x", "2e-5", "--lr=2e-5"])]
    );
    let check =
        |argv: &str| problems(&format!("pipeline: p\nstages:\n  s: {{ kind: script, params: {{ argv: {argv} }} }}\n"));
    assert_eq!(check("[a, null]"), "p.yaml:3:42: `argv.1` must be a text, not nothing");
    assert_eq!(check("[a, [1]]"), "p.yaml:3:42: `argv.1` must be a text, not a list");
}

#[test]
fn paths_in_built_in_files_stay_inside() {
    const FILES: Builtins = Builtins(&[
        Builtin { name: "base.yaml", revision: 2, about: "", content: Content::File(SHARED.as_bytes()) },
        Builtin { name: "sub/more.yaml", revision: 1, about: "", content: Content::File(b"include: ../base.yaml\n") },
    ]);
    let project = tempfile::tempdir().unwrap();
    let file = project.path().join("p.yaml");
    let check = |include: &str, vars: &str, set: &[&str], expect: [&str; 3]| {
        std::fs::write(&file, format!("pipeline: p\ninclude: {include}\n{vars}")).unwrap();
        let set = set.iter().map(|&s| s.to_owned()).collect();
        let overrides = Overrides { set, folder: "/work".into(), name: None };
        let pipeline = match resolve(&load_among(&file, FILES), &registry(), &overrides) {
            Ok(resolved) => resolved.pipeline,
            Err(problems) => panic!("{problems}"),
        };
        let read = [("t", "path"), ("own", "path"), ("e", "model")].map(|(stage, param)| {
            let node = nodes(&pipeline, stage)[0];
            let path = join(&node.folder, Path::new(node.params_json[param].as_str().unwrap()));
            let path = pipe_engine::diag::plain(&path).display().to_string();
            path.replace(&project.path().display().to_string(), "PROJECT")
        });
        assert_eq!(read, expect, "{include} {vars} {set:?}", set = overrides.set);
    };
    let inside = ["builtin:data/a", "builtin:b", "builtin:models/nano"];
    check("builtin:base.yaml", "", &[], inside);
    check("builtin:base.yaml@2", "", &[], inside);
    check("builtin:sub/more.yaml", "", &[], inside);
    check("[builtin:sub/more.yaml, builtin:base.yaml]", "", &[], inside);
    check("builtin:base.yaml", "vars: { path: x, base: m }\n", &[], ["PROJECT/x", "builtin:b", "PROJECT/m/nano"]);
    check("builtin:base.yaml", "", &["path=x"], ["/work/x", "builtin:b", "builtin:models/nano"]);

    let problems = |include: &str| {
        std::fs::write(&file, format!("pipeline: p\ninclude: {include}\n")).unwrap();
        let resolved = resolve(&load_among(&file, FILES), &registry(), &Overrides::default());
        resolved.map(|_| ()).unwrap_err().to_string().replace(&project.path().display().to_string(), "PROJECT")
    };
    assert_eq!(
        problems("builtin:base.yaml@1"),
        "PROJECT/p.yaml:2:10: this program carries `base.yaml@2`, not `base.yaml@1`"
    );
    assert_eq!(problems("builtin:bse.yaml"), "PROJECT/p.yaml:2:10: there is no built-in file `bse.yaml`");
    assert_eq!(
        problems("[builtin:base.yaml, builtin:base.yaml@2]"),
        "PROJECT/p.yaml:2:30: `builtin:base.yaml@2` is included twice"
    );
    std::fs::write(&file, "pipeline: p\ninclude: builtin:base.yaml\nvars: { path: 3 }\n").unwrap();
    let wrong = resolve(&load_among(&file, FILES), &registry(), &Overrides::default()).map(|_| ()).unwrap_err();
    // Where the parameter stands, and then where its variable got the value.
    assert!(wrong.to_string().contains("builtin:base.yaml:3:37: `path` must be a text"), "{wrong}");
    assert_eq!(wrong.items[0].places.len(), 2);
    let main = resolve(&load_among(Path::new("builtin:base.yaml"), FILES), &registry(), &Overrides::default());
    assert_eq!(main.map(|_| ()).unwrap_err().to_string(), "builtin:base.yaml:1:1: the pipeline has no name");
}
