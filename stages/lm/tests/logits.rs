//! Logits and greedy continuations of every family against `transformers` (tests/golden/make_logits.py).

use std::{collections::HashMap, path::PathBuf};

use candle_core::{DType, Device, Tensor};
use pipe_lm::{
    config::DecoderConfig,
    model::{Decoder, PackedBatch},
    weights::Weights,
};

const VARIANTS: [&str; 16] = [
    "llama1",
    "llama2_gqa",
    "llama_bf16",
    "llama_bias_head_dim",
    "llama_mqa",
    "llama_rope_linear",
    "llama_rope_llama3",
    "llama_rope_yarn",
    "mistral_window",
    "mpt",
    "mpt_6_heads",
    "mpt_clip",
    "qwen2",
    "qwen2_window",
    "qwen3",
    "smollm3_nope",
];

struct Golden {
    folder: PathBuf,
    expected: HashMap<String, Tensor>,
}

impl Golden {
    fn open(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/logits").join(name);
        let expected = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
        Self { folder, expected }
    }

    fn decoder(&self, dtype: DType) -> Decoder {
        let config = DecoderConfig::from_dir(&self.folder).unwrap();
        let weights = Weights::from_dir(&self.folder, &config).unwrap();
        Decoder::load(&config, &weights, &Device::Cpu, dtype).unwrap()
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        let ids = self.expected[name].to_dtype(DType::U32).unwrap();
        ids.to_vec1().unwrap()
    }

    fn prompts(&self) -> [Vec<u32>; 2] {
        [self.ids("ids.0"), self.ids("ids.1")]
    }

    fn logits(&self, row: usize) -> Vec<Vec<f32>> {
        self.expected[&format!("logits.{row}")].to_vec2().unwrap()
    }
}

fn assert_close(what: &str, ours: &[Vec<f32>], theirs: &[Vec<f32>], tolerance: f32) {
    assert_eq!((ours.len(), ours[0].len()), (theirs.len(), theirs[0].len()), "{what}: shape");
    for (t, (a, b)) in ours.iter().zip(theirs).enumerate() {
        for (v, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() <= tolerance, "{what}: logit of token {v} at position {t} is {a}, not {b}");
        }
    }
}

fn assert_packed_logits(name: &str, dtype: DType) {
    let golden = Golden::open(name);
    let decoder = golden.decoder(dtype);
    let batch = PackedBatch::new(golden.prompts());
    let hidden = decoder.forward_train(&batch, None).unwrap();
    let logits: Vec<Vec<f32>> = decoder.logits(&hidden).unwrap().to_vec2().unwrap();
    for row in 0..batch.rows() {
        assert_close(name, &logits[batch.range(row)], &golden.logits(row), 1e-4);
    }
}

/// The training forward over both prompts, packed.
#[test]
fn packed_forward_equals_transformers() {
    for name in VARIANTS {
        assert_packed_logits(name, DType::F32);
    }
}

/// Weights kept in 16 bits give the same logits, since these checkpoints are stored so.
#[test]
fn sixteen_bit_weights_lose_nothing() {
    assert_packed_logits("llama2_gqa", DType::F16);
    assert_packed_logits("llama_bf16", DType::BF16);
    assert_packed_logits("mpt", DType::F16);
}
