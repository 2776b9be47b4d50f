//! `like:`.

use serde_json::json;

use crate::support::{nodes, problems, problems_of, resolve_files, resolved};

const BASE: &str = "\
pipeline: p
vars: { r: 4 }
stages:
  pool: { kind: table, params: { path: a } }
  more: { kind: table, params: { path: b } }
  base:
    kind: train
    about: the first
    inputs: { examples: pool }
    params: { model: m, lora: { r: \"${r}\", alpha: 2 }, budget: { unit: epochs, count: 3 }, learning_rate: 0.5 }
    resources: { cpu: 2, gpu: 1 }
    retries: 3
    timeout: 5m
  made: { kind: generate, inputs: { seeds: pool, passages: more }, params: { model: m, count: 1, top_p: null } }
";

/// A stage that is like another is the one that is written out.
fn same(like: &str, written_out: &str) {
    let (like, whole) = (resolved(&format!("{BASE}  s: {like}\n")), resolved(&format!("{BASE}  s: {written_out}\n")));
    let (a, b) = (nodes(&like, "s")[0], nodes(&whole, "s")[0]);
    assert_eq!(a.params_json, b.params_json);
    assert_eq!(a.semantic, b.semantic);
    let inputs = |node: &pipe_engine::pipeline::Node| -> Vec<_> {
        node.inputs.iter().map(|i| (i.port.clone(), i.edges[0].node, i.edges[0].output)).collect()
    };
    assert_eq!(inputs(a), inputs(b));
    assert_eq!((&a.resources, &a.retry, a.timeout), (&b.resources, &b.retry, b.timeout));
    assert_eq!(a.folder, b.folder);
}

#[test]
fn what_a_stage_says_itself_wins() {
    let running = "resources: { cpu: 2, gpu: 1 }, retries: 3, timeout: 5m";
    same(
        "{ like: base }",
        &format!(
            "{{ kind: train, inputs: {{ examples: pool }}, params: {{ model: m, lora: {{ r: 4, alpha: 2 }}, budget: {{ \
             unit: epochs, count: 3 }}, learning_rate: 0.5 }}, {running} }}"
        ),
    );
    same(
        "{ like: base, inputs: { examples: more }, params: { model: n, budget: { unit: steps, count: 30 } }, \
         resources: { memory: 1GB }, retries: 0 }",
        "{ kind: train, inputs: { examples: more }, params: { model: n, lora: { r: 4, alpha: 2 }, budget: { unit: \
         steps, count: 30 }, learning_rate: 0.5 }, resources: { cpu: 2, gpu: 1, memory: 1GB }, retries: 0, timeout: 5m \
         }",
    );
}

#[test]
fn a_parameter_that_is_a_map_is_replaced_whole() {
    let pipeline = resolved(&format!("{BASE}  s: {{ like: base, params: {{ lora: {{ r: 2 }} }} }}\n"));
    let lora = &nodes(&pipeline, "s")[0].params_json["lora"];
    assert_eq!((&lora["r"], &lora["alpha"]), (&json!(2), &json!(16.0)), "alpha is the kind's default again");
}

#[test]
fn null_takes_inputs_and_parameters_away() {
    let pipeline = resolved(&format!(
        "{BASE}  s: {{ like: made, inputs: {{ passages: null }}, params: {{ top_p: null, temperature: null }} }}\n  t: \
         {{ like: base, params: {{ learning_rate: null }} }}\n  u: {{ like: made, params: {{ stop: [x] }} }}\n"
    ));
    let made = nodes(&pipeline, "s")[0];
    assert_eq!(made.inputs.iter().map(|i| i.port.as_str()).collect::<Vec<_>>(), ["seeds"]);
    assert_eq!(nodes(&pipeline, "t")[0].params_json["learning_rate"], 1e-4, "the kind's default");
    assert_eq!(nodes(&pipeline, "u")[0].inputs.len(), 2, "a null of the other stage's own stays what it is there");
    let check = |stage: &str, expect: &str| {
        assert_eq!(problems(&format!("{BASE}  s: {stage}\n")), expect);
    };
    check("{ like: made, params: { model: null } }", "p.yaml:15:20: the parameter `model` is missing");
    check("{ like: made, inputs: { passage: null } }", "p.yaml:15:30: `generate` has no input `passage`");
    check("{ like: made, params: { topp: null } }", "p.yaml:15:30: there is no parameter `topp`");
}

#[test]
fn likes_of_likes_and_of_stages_further_down() {
    same(
        "{ like: u, params: { lora: { r: 9 } } }\n  u: { like: base, params: { learning_rate: 0.1, lora: null } }",
        "{ kind: train, inputs: { examples: pool }, params: { model: m, lora: { r: 9 }, budget: { unit: epochs, count: \
         3 }, learning_rate: 0.1 }, resources: { cpu: 2, gpu: 1 }, retries: 3, timeout: 5m }",
    );
}

#[test]
fn an_included_stage_and_one_that_replaces_it() {
    let base = BASE.replace("pipeline: p\n", "") + "  s: { like: base }\n";
    let of = |main: &str| {
        let files = [("p.yaml", main), ("b.yaml", base.as_str())];
        resolve_files(&files, &[]).unwrap_or_else(|p| panic!("{p}")).pipeline
    };
    let open = of("pipeline: p\ninclude: b.yaml\nstages: { t: { like: made, params: { count: 7 } } }\n");
    assert_eq!(nodes(&open, "t")[0].params_json["count"], 7);
    let replaced = of(
        "pipeline: p\ninclude: b.yaml\nstages: { base: { override: true, kind: sample, inputs: { pool: pool }, params: \
         { count: 2 } } }\n",
    );
    assert_eq!(nodes(&replaced, "s")[0].kind.name(), "sample", "a stage is named, not a text");
}

#[test]
fn like_varies_with_what_it_takes() {
    let text = BASE.replace("stages:", "ablate: { r: [8, 16] }\nstages:")
        + "  s: { like: base, inputs: { examples: more } }\n";
    let ranks: Vec<_> = nodes(&resolved(&text), "s").iter().map(|n| n.params_json["lora"]["r"].clone()).collect();
    assert_eq!(ranks, [4, 8, 16]);
}

#[test]
fn mistakes_are_located() {
    let check = |stages: &str, expect: &str| assert_eq!(problems(&format!("{BASE}{stages}")), expect);
    check("  s: { like: bsae }\n", "p.yaml:15:14: there is no stage `bsae`");
    check("  s: { like: s }\n", "p.yaml:15:14: the stage `s` is like itself");
    check(
        "  s: { like: t }\n  t: { like: u }\n  u: { like: t }\n",
        "p.yaml:16:14: stages are like each other in a circle",
    );
    check("  s: { like: base, kind: train }\n", "p.yaml:15:20: the stage `s` has both `kind` and `like`");
    check("  s: { like: [base] }\n", "p.yaml:15:14: `like` must be a text, not a list");
    check("  s: { like: base, params: { lorra: {} } }\n", "p.yaml:15:30: there is no parameter `lorra`");
    // What is wrong with the other stage is said once.
    check(
        "  s: { kind: sample, inputs: { pool: pool }, params: { count: 0 } }\n  t: { like: s }\n",
        "p.yaml:15:63: `count` must be a whole number, 1 or more, not `0`",
    );
    let files = [
        ("p.yaml", "pipeline: p\ninclude: b.yaml\nstages: { made: { override: true, like: base } }\n"),
        ("b.yaml", BASE),
    ];
    assert_eq!(problems_of(&files, &[]), "p.yaml:3:35: the stage `made` has both `like` and `override`");
}

#[test]
fn long_chains_are_bounded() {
    let chain: String = (0..5_000)
        .map(|i| {
            format!(
                "  s{}: {{ like: {}, params: {{ x{i}: 1 }} }}\n",
                i + 1,
                if i == 0 { "base".to_owned() } else { format!("s{i}") }
            )
        })
        .collect();
    assert_eq!(
        problems(&format!("{BASE}{chain}")),
        "p.yaml:1419:18: stages take more than 1000000 values from each other"
    );
    let circle: String = (0..20_000).map(|i| format!("  s{i}: {{ like: s{} }}\n", (i + 1) % 20_000)).collect();
    assert_eq!(problems(&format!("{BASE}{circle}")), "p.yaml:15:15: stages are like each other in a circle");
}
