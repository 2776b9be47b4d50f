//! The JSON Schema of pipeline files.

use pipe_engine::spec::pipeline_schema;
use pipe_testing::shapes::registry;
use serde_json::{Value, json};

use crate::json_schema::is_valid;

#[test]
fn accepts_pipelines_and_refuses_mistakes() {
    let schema = pipeline_schema(&registry());
    let stage = |stage: Value| json!({"pipeline": "p", "stages": {"s": stage}});
    let check = |file: Value, expect: bool| {
        assert_eq!(is_valid(&schema, &file), expect, "{file}");
    };
    check(json!({"pipeline": "p", "stages": {}}), true);
    check(json!({"include": ["a.yaml"], "stages": null}), true);
    check(json!({"pipeline": "my pipeline"}), false);
    check(json!({"pipelin": "p"}), false);
    check(json!({"ablate": {"n": [1, 2]}, "matrix": {"b": {"low": {"n": 1}}}}), true);
    check(json!({"ablate": {"n": 1}}), false);
    check(json!({"replicate": {"n": []}}), false);
    check(stage(json!({"kind": "table", "params": {"path": "a"}})), true);
    check(stage(json!({"kind": "table"})), false);
    check(stage(json!({"kind": "compare"})), true);
    check(stage(json!({"kind": "tabel", "params": {"path": "a"}})), false);
    check(stage(json!({"kind": "table", "params": {"path": "a"}, "param": {}})), false);
    check(stage(json!({"kind": "table", "params": {"path": "a", "format": "csv"}})), true);
    check(stage(json!({"kind": "table", "params": {"path": "a", "format": "csw"}})), false);
    check(stage(json!({"kind": "table", "params": {"path": "a", "format": "${f}"}})), true);
    check(stage(json!({"kind": "sample", "params": {"count": "${n}"}})), true);
    check(stage(json!({"kind": "sample", "params": {"count": "n"}})), false);
    check(stage(json!({"kind": "sample", "params": {"count": "a${n}"}})), false);
    check(stage(json!({"kind": "sample", "params": {"count": 0}})), false);
    check(stage(json!({"kind": "sample", "params": {"count": 1, "seeed": 3}})), false);
    let train = |lora: Value, budget: Value| {
        stage(json!({"kind": "train", "params": {"model": "m", "lora": lora, "budget": budget}}))
    };
    check(train(json!({"r": "${r}"}), json!({"unit": "epochs", "count": "${n}"})), true);
    check(train(json!("${lora}"), json!("${budget}")), true);
    check(train(json!({"rank": 8}), json!("${budget}")), false);
    check(train(json!({"target_modules": ["a", 3]}), json!("${budget}")), false);
    check(
        stage(json!({"kind": "compare", "inputs": {"scores": "s[*]", "x": null}, "timeout": "1h30m", "backoff": "5s",
        "resources": {"cpu": 2, "memory": "4GB"}, "retries": 1, "override": true, "about": "x"})),
        true,
    );
    check(stage(json!({"kind": "compare", "timeout": 30})), false);
    check(stage(json!({"kind": "compare", "resources": {"memory": "lots"}})), false);
}

#[test]
fn carries_the_documentation() {
    let schema = pipeline_schema(&registry());
    let kinds = schema.pointer("/definitions/stage/properties/kind/oneOf").expect("kinds are listed");
    assert_eq!(kinds[0], json!({"const": "table", "description": "Rows from a file."}));
    let r = schema.pointer("/definitions/train.Lora/properties/r").expect("nested parameters are there");
    assert_eq!(r["description"], "The rank.");
}

#[test]
fn is_the_same_every_time() {
    let text = || serde_json::to_string(&pipeline_schema(&registry())).expect("it serialises");
    assert_eq!(text(), text());
}
