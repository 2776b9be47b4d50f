//! `export` with a trained adapter.

use crate::train_evaluate::{TRAIN, questions, with};

const EXPORTS: &str = "  merged: { kind: export, inputs: { adapter: train }, params: { model: base, dtype: float32 } }
  gguf: { kind: export, inputs: { adapter: train }, params: { model: base, format: gguf, dtype: float32 } }
  of_merged: { kind: evaluate, inputs: { items: exam, model: merged }, params: { max_new_tokens: 8 } }
  of_gguf: { kind: evaluate, inputs: { items: exam, model: gguf }, params: { max_new_tokens: 8 } }
";

#[test]
fn a_folded_adapter_answers_as_beside_its_base() {
    let lab = questions();
    let ran = lab.run_stages(&(with(TRAIN) + EXPORTS));
    assert_eq!(ran.failures(), [""; 0]);
    let answers = |stage: &str| -> Vec<String> {
        lab.rows(&format!("{stage}.predictions")).iter().map(|row| row["prediction"].to_string()).collect()
    };
    assert_ne!(answers("before"), answers("after"));
    assert_eq!(answers("of_merged"), answers("after"));
    assert_eq!(answers("of_gguf"), answers("after"));
}

#[test]
fn mistakes_are_named() {
    let lab = questions();
    let stage = |params: &str| format!("  out: {{ kind: export, params: {{ model: base, {params} }} }}\n");
    assert!(lab.problems(&stage("dtype: q8_0")).contains("safetensors have no q8_0"));
    assert!(lab.problems(&stage("format: gguf, dtype: bfloat16")).contains("not written in bfloat16"));
    let twice = stage("format: gguf") + "  again: { kind: export, inputs: { model: out }, params: {} }\n";
    assert!(lab.run_stages(&twice).failure().contains("is a GGUF file"));
}
