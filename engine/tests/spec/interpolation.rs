//! `${}`.

use serde_json::{Value, json};

use crate::support::{nodes, problems, problems_of, resolve_files, resolved};

const VARS: &str = "\
vars:
  n: 3
  x: 0.5
  yes: true
  name: nano
  dir: \"models/${name}\"
  copy: \"${n}\"
  deep: { list: [a, { b: 7 }], of: \"${dir}\" }
  stops: [\"###\", \"${name}\"]
";

/// The `title` of a report stage, or the `stop` of a generate stage.
fn param(kind: &str, params: &str, name: &str) -> Value {
    let text = format!(
        "pipeline: p\n{VARS}stages:\n  t: {{ kind: table, params: {{ path: x }} }}\n  s: {{ kind: {kind}, inputs: {{ \
         seeds: t }}, params: {params} }}\n"
    );
    nodes(&resolved(&text), "s")[0].params_json[name].clone()
}

#[test]
fn texts() {
    let check = |text: &str, expect: &str| {
        assert_eq!(param("report", &format!("{{ title: '{text}' }}"), "title"), expect, "{text}");
    };
    check("${name}", "nano");
    check("${ name }", "nano");
    check("a ${n} b ${x} c ${yes}", "a 3 b 0.5 c true");
    check("${dir}", "models/nano");
    check("${deep.of}/${deep.list.0}", "models/nano/a");
    check("$${name}", "${name}");
    check("$$${name}", "$${name}");
    check("cost: 5$ ${n}$", "cost: 5$ 3$");
    check("$name {n} $", "$name {n} $");
    check("${name}${name}", "nanonano");
}

#[test]
fn a_lone_variable_keeps_its_type() {
    let check = |params: &str, name: &str, expect: Value| {
        let params = format!("{{ model: m, count: 1, {params} }}");
        assert_eq!(param("generate", &params, name), expect, "{params}");
    };
    check("temperature: '${x}'", "temperature", json!(0.5));
    check("batch_size: '${copy}'", "batch_size", json!(3));
    check("batch_size: '${deep.list.1.b}'", "batch_size", json!(7));
    check("stop: '${stops}'", "stop", json!(["###", "nano"]));
    check("stop: [x, '${name}']", "stop", json!(["x", "nano"]));
}

#[test]
fn types_are_checked_after_the_variable() {
    let text = format!("pipeline: p\n{VARS}stages:\n  t: {{ kind: table, params: {{ path: '${{n}}' }} }}\n");
    assert!(problems(&text).contains("`path` must be a text, not the number `3`"));
}

#[test]
fn variables_choose_inputs() {
    let pipeline = resolved(
        "pipeline: p\nvars: { from: a, passages: p }\nablate: { from: [b], passages: [null] }\nstages:\n  \
         a: { kind: table, params: { path: a } }\n  b: { kind: table, params: { path: b } }\n  p: { kind: table, \
         params: { path: p } }\n  \
         g: { kind: generate, inputs: { seeds: '${from}', passages: '${passages}' }, params: { model: m, count: 1 } \
         }\n",
    );
    let ports: Vec<Vec<(&str, u32)>> = nodes(&pipeline, "g")
        .iter()
        .map(|n| n.inputs.iter().map(|i| (i.port.as_str(), i.edges[0].node.index() as u32)).collect())
        .collect();
    assert_eq!(ports, [vec![("seeds", 0), ("passages", 2)], vec![("seeds", 1), ("passages", 2)], vec![("seeds", 0)]]);
}

#[test]
fn set_values_are_yaml() {
    let check = |set: &str, expect: Value| {
        let text = "pipeline: p\nvars: { v: 1, w: 2 }\nstages: { t: { kind: report, params: { title: 'x${w}' } } }\n";
        let resolved = resolve_files(&[("p.yaml", text)], &[set]).unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(resolved.pipeline.variants[0].vars["v"], expect, "{set}");
    };
    check("v=40", json!(40));
    check("v= 40 ", json!(40));
    check("v=1e-3", json!(0.001));
    check("v=models/x", json!("models/x"));
    check("v='5'", json!("5"));
    check("v=[1, 2]", json!([1, 2]));
    check("v={a: 1}", json!({"a": 1}));
    check("v=", Value::Null);
    check("v=a=b", json!("a=b"));
    check("v=x${w}", json!("x2"));
}

#[test]
fn bad_sets() {
    let text = "pipeline: p\nvars: { n_seeds: 1 }\nstages: { t: { kind: table, params: { path: '${n_seeds}x' } } }\n";
    let check = |set: &str, expect: &str| assert_eq!(problems_of(&[("p.yaml", text)], &[set]), expect);
    check("n_seds=3", "--set:1:1: there is no variable `n_seds` to set");
    check("n_seeds", "--set:1:1: `--set` takes `name=value`");
    check("n_seeds=[1", "--set:1:11: the file is not valid YAML: while parsing a flow sequence, expected ',' or ']'");
    check("n_seeds=.nan", "--set:1:9: `.nan` is not a finite number");
    check("n_seeds=${n_seeds}", "--set:1:9: the variable `n_seeds` refers to itself");
}

#[test]
fn problems_point_at_set() {
    let text = "pipeline: p\nvars: { n: 1 }\nstages:\n  t: { kind: table, params: { path: a } }\n  \
                s: { kind: sample, inputs: { pool: t }, params: { count: \"${n}\" } }\n";
    let Err(problems) = resolve_files(&[("p.yaml", text)], &["n=none"]) else { panic!("it resolves") };
    let labels = &problems.items[0].places;
    assert_eq!(labels.len(), 2);
    assert_eq!(problems.texts.get(labels[1].span.text).name, "--set");
    assert_eq!(labels[1].text, "`n` is set here");
}
