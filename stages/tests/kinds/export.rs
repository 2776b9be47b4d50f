//! `export` with a trained adapter.

use crate::{
    tables::numbers,
    train_evaluate::{TRAIN, questions, with},
};

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

#[test]
fn an_adapter_is_trained_on_the_blocks_of_a_gguf_file() {
    let lab = questions();
    let train = |weights: &str| TRAIN.replace("model: base,", weights).replace("epochs: 30", "epochs: 2");
    let stages = with(TRAIN)
        + "  blocks: { kind: export, params: { model: base, format: gguf, dtype: q8_0 } }\n"
        + &format!("  own: {{ kind: train, inputs: {{ examples: rows, model: blocks }}, params: {} }}\n", train(""))
        + &format!(
            "  expanded: {{ kind: train, inputs: {{ examples: rows, model: blocks }}, params: {} }}\n",
            train("weights: dequantized,")
        )
        + "  adapted:
    { kind: evaluate, inputs: { items: exam, model: blocks, adapter: own }, params: { max_new_tokens: 8 } }\n";
    assert_eq!(lab.run_stages(&stages).failures(), [""; 0]);
    for (params, message) in [("method: full", "neither trained as a whole"), ("weights: nf4", "they cannot be nf4")] {
        let refused =
            format!("  no: {{ kind: train, inputs: {{ examples: rows, model: blocks }}, params: {{ {params} }} }}\n");
        let failure = lab.run_stages(&(stages.clone() + &refused)).failure();
        assert!(failure.contains(message), "{failure}");
    }
    let losses = |stage: &str| numbers(&lab.table(&format!("{stage}.log")), "loss");
    assert!(losses("own").iter().all(|loss| loss.is_finite()) && losses("own").len() == 4);
    // The values are the same; small plain weights are added to the adapter before they are multiplied with.
    assert!(losses("own").iter().zip(losses("expanded")).all(|(own, expanded)| (own - expanded).abs() < 1e-4));
    assert_ne!(losses("own"), losses("train")[..4]);
    assert_eq!(lab.rows("adapted.predictions").len(), 12);
}

#[test]
fn an_adapter_is_folded_into_a_gguf_file() {
    let lab = questions();
    let train = TRAIN.replace("model: base,", "");
    let stages = with(TRAIN)
        + "  blocks: { kind: export, params: { model: base, format: gguf, dtype: q8_0 } }\n"
        + &format!("  own: {{ kind: train, inputs: {{ examples: rows, model: blocks }}, params: {train} }}\n")
        + "  whole: { kind: export, inputs: { model: blocks, adapter: own }, params: { format: gguf, dtype: float32 } }
  beside: { kind: evaluate, inputs: { items: exam, model: blocks, adapter: own }, params: { max_new_tokens: 8 } }
  within: { kind: evaluate, inputs: { items: exam, model: whole }, params: { max_new_tokens: 8 } }
  without: { kind: evaluate, inputs: { items: exam, model: blocks }, params: { max_new_tokens: 8 } }
";
    assert_eq!(lab.run_stages(&stages).failures(), [""; 0]);
    let answers = |stage: &str| -> Vec<String> {
        lab.rows(&format!("{stage}.predictions")).iter().map(|row| row["prediction"].to_string()).collect()
    };
    assert_eq!(answers("within"), answers("beside"));
    assert_ne!(answers("within"), answers("without"));
    let no = |inputs: &str, params: &str| {
        let stage = format!("  no: {{ kind: export, inputs: {{ model: blocks{inputs} }}, params: {{ {params} }} }}\n");
        lab.run_stages(&(stages.clone() + &stage)).failure()
    };
    assert!(no("", "format: gguf").contains("is a GGUF file already"));
    assert!(no(", adapter: own", "").contains("nor written for Hugging Face"));
}

#[test]
fn an_adapter_is_written_as_llama_cpp_reads_it() {
    let lab = questions();
    let separate = "  apart: { kind: export, inputs: { adapter: train }, params: { model: base, format: gguf, adapter: \
                    separate } }\n";
    let ran = lab.run_stages(&(with(&TRAIN.replace("epochs: 30", "epochs: 1")) + separate));
    assert_eq!(ran.failures(), [""; 0]);
    let file = std::fs::read(lab.object("apart.model").join("adapter.gguf")).unwrap();
    let text = String::from_utf8_lossy(&file);
    assert!(file.starts_with(b"GGUF\x03\0\0\0") && text.contains("adapter.lora.alpha"));
    for name in ["blk.0.attn_q.weight.lora_a", "blk.1.ffn_down.weight.lora_b"] {
        assert!(text.contains(name), "{name}");
    }
    let alone = "  apart: { kind: export, params: { model: base, format: gguf, adapter: separate } }\n";
    assert!(lab.run_stages(alone).failure().contains("none is connected"));
    assert!(lab.problems(&separate.replace("format: gguf, ", "")).contains("is written as GGUF"));
    let rounded = separate.replace("format: gguf", "format: gguf, dtype: q8_0");
    assert!(lab.problems(&rounded).contains("an adapter by itself is written in float32"));
}

#[test]
fn a_gguf_file_in_eight_bits_answers_as_its_checkpoint_in_eight_bits() {
    let lab = questions();
    let evaluate = |name: &str, of: &str, form: &str| {
        let (input, param) = if of == "base" { ("", "model: base, ") } else { (", model: OF", "") };
        format!(
            "  {name}: {{ kind: evaluate, inputs: {{ items: exam{} }}, params: {{ {param}weights: {form}, \
             max_new_tokens: 8 }} }}\n",
            input.replace("OF", of)
        )
    };
    let stages = "  exam: { kind: table, params: { path: exam.jsonl } }
  blocks: { kind: export, params: { model: base, format: gguf, dtype: q8_0 } }
  whole: { kind: export, params: { model: base, format: gguf, dtype: float32 } }\n"
        .to_owned()
        + &evaluate("of_blocks", "blocks", "w8a8")
        + &evaluate("of_base", "base", "w8a8");
    assert_eq!(lab.run_stages(&stages).failures(), [""; 0]);
    let answers = |stage: &str| -> Vec<String> {
        lab.rows(&format!("{stage}.predictions")).iter().map(|row| row["prediction"].to_string()).collect()
    };
    assert_eq!(answers("of_blocks"), answers("of_base"));
    let refused = lab.run_stages(&(stages + &evaluate("no", "whole", "w8a8"))).failure();
    assert!(refused.contains("is a GGUF file without weights in Q8_0: they cannot be w8a8"), "{refused}");
}

#[test]
fn every_form_of_weights_is_run_and_trained_on() {
    let lab = questions();
    let of = |form: &str| {
        let with_form = TRAIN.replace("model: base,", &format!("model: base, weights: {form},"));
        let train = with_form.replace("epochs: 30", "epochs: 2");
        format!(
            "  train_{form}: {{ kind: train, inputs: {{ examples: rows }}, params: {train} }}
  eval_{form}:
    kind: evaluate
    inputs: {{ items: exam, adapter: train_{form} }}
    params: {{ model: base, weights: {form}, max_new_tokens: 8 }}\n"
        )
    };
    let stages = with(TRAIN) + &["f32", "bf16", "q8_0", "w8a8", "nf4"].map(of).concat();
    let ran = lab.run_stages(&stages);
    assert_eq!(ran.failures(), [""; 0]);
    let loss = |form: &str| numbers(&lab.table(&format!("train_{form}.log")), "loss")[0];
    let exact = loss("f32");
    // As close as their rounding: 8 bits of mantissa, 8 bits in blocks, 4 bits.
    for (form, bound) in [("bf16", 0.01), ("q8_0", 0.02), ("nf4", 0.3)] {
        let off = (loss(form) - exact).abs() / exact;
        assert!(off > 0.0 && off < bound, "{form}: {} against {exact}", loss(form));
    }
    // Training multiplies what is not rounded.
    assert_eq!(loss("w8a8"), loss("q8_0"));
    // The old name of the parameter is read, and its key is the same.
    let old = stages.replace("weights: nf4", "quantization: nf4").replace("weights: f32", "quantization: none");
    assert_eq!(lab.run_stages(&old).computed(), [""; 0]);
    let problems = lab.problems(&stages.replace("weights: nf4", "weights: int4"));
    assert!(problems.contains("cannot be the text `int4`"), "{problems}");
}
