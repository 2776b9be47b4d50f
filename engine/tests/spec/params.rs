//! Our walk over a kind's schema agrees with a plain evaluator.

use pipe_testing::shapes::registry;
use serde_json::{Value, json};

use crate::{
    json_schema::is_valid,
    support::{problems, resolve_files},
};

/// Whether a stage of that kind with these parameters resolves, as far as its parameters go.
fn accepted(kind: &str, params: &Value) -> bool {
    let text = format!("pipeline: p\nstages:\n  s: {{ kind: {kind}, params: {params} }}\n");
    match resolve_files(&[("p.yaml", &text)], &[]) {
        Ok(_) => true,
        Err(problems) => !problems.items.iter().any(|p| p.code.starts_with("params::")),
    }
}

#[test]
fn agrees_with_a_validator() {
    let mut cases: Vec<(&str, Value)> = vec![
        ("table", json!({"path": "a"})),
        ("table", json!({"path": "a", "format": null})),
        ("table", json!({"path": "a", "format": "csv"})),
        ("table", json!({"path": "a", "format": "CSV"})),
        ("table", json!({})),
        ("sample", json!({"count": 1, "quality": "noisy"})),
        ("sample", json!({"count": 0})),
        ("sample", json!({"count": -1})),
        ("sample", json!({"count": 5_000_000_000_u64})),
        ("sample", json!({"count": 1, "ordered": "yes"})),
        ("generate", json!({"model": "m", "count": 1, "temperature": 2})),
        ("generate", json!({"model": "m", "count": 1, "temperature": 2.5})),
        ("generate", json!({"model": "m", "count": 1, "stop": ["a", 1]})),
        ("generate", json!({"model": "m", "count": 1, "top_p": null})),
        ("generate", json!({"model": "m", "count": 1, "top_p": 1.5})),
    ];
    let budgets = [
        json!({"unit": "epochs", "count": 1}),
        json!({"unit": "epochs", "count": 1, "every": 2}),
        json!({"unit": "steps", "count": 1, "every": 2}),
        json!({"unit": "steps", "count": 1, "every": null}),
        json!({"unit": "hours", "count": 1}),
        json!({"count": 1}),
        json!("epochs"),
        json!(null),
    ];
    let loras = [
        json!({}),
        json!({"r": 8}),
        json!({"r": 0}),
        json!({"rank": 8}),
        json!({"alpha": 1, "target_modules": []}),
        json!(null),
    ];
    for budget in &budgets {
        for lora in &loras {
            cases.push(("train", json!({"model": "m", "budget": budget, "lora": lora})));
        }
    }
    for (kind, params) in cases {
        let schema = registry().get(kind).expect("the kind exists").schema().to_value();
        // The validator does not know that `uint32` is a range; serde does.
        let expect =
            is_valid(&schema, &params) && registry().get(kind).expect("the kind exists").parse(&params).is_ok();
        assert_eq!(accepted(kind, &params), expect, "{kind} {params}");
    }
}

#[test]
fn every_problem_of_a_stage_is_told() {
    let text = "pipeline: p\nstages:\n  s: { kind: sample, params: { extra: 1, seed: x, quality: bad, ordered: 1 } }\n";
    assert_eq!(
        problems(text),
        "p.yaml:3:22: the parameter `count` is missing\n\
         p.yaml:3:32: there is no parameter `extra`\n\
         p.yaml:3:48: `seed` must be a whole number, 0 or more, not the text `x`\n\
         p.yaml:3:60: `quality` cannot be the text `bad`\n\
         p.yaml:3:74: `ordered` must be `true` or `false`, not the number `1`"
    );
}

#[test]
fn a_problem_of_all_variants_is_told_once() {
    let levels = (1..200).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    let text = format!(
        "pipeline: p\nvars: {{ n: 5 }}\nablate: {{ n: [{levels}] }}\nstages:\n  t: {{ kind: table, params: {{ path: a \
         }} }}\n  \
         s: {{ kind: sample, inputs: {{ pool: t }}, params: {{ count: \"${{n}}\", seed: x }} }}\n"
    );
    assert_eq!(problems(&text).lines().count(), 1);
}
