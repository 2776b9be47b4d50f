//! Logits and greedy continuations of every family against `transformers` (tests/golden/make_logits.py).

use std::{collections::HashMap, path::PathBuf};

use candle_core::{DType, Device, Tensor};
use pipe_lm::{
    config::DecoderConfig,
    model::{CachedBatch, Decoder, Inference, PackedBatch},
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

/// Prompts in two pieces, then greedy decoding, both rows in one batch.
fn assert_cached(name: &str, golden: &Golden, inference: &Inference) {
    let vocab = inference.config().vocab_size;
    let prompts = golden.prompts();
    let mut session = inference.session(2, 64).unwrap();
    let mut batch = CachedBatch::default();
    let mut logits: [Vec<Vec<f32>>; 2] = Default::default();
    for piece in [0..7, 7..usize::MAX] {
        batch.clear();
        let mut owners = Vec::new();
        for (slot, prompt) in prompts.iter().enumerate().rev() {
            let tokens = &prompt[piece.start..piece.end.min(prompt.len())];
            batch.push(slot, piece.start, tokens);
            owners.extend(vec![slot; tokens.len()]);
        }
        let all: Vec<usize> = (0..batch.tokens.len()).collect();
        let step = inference.step(&batch, &all, None, &mut session).unwrap();
        for (slot, row) in owners.into_iter().zip(step.chunks(vocab)) {
            logits[slot].push(row.to_vec());
        }
    }
    let mut last = [0; 2];
    for row in 0..2 {
        assert_close(name, &logits[row], &golden.logits(row), 1e-4);
        last[row] = argmax(logits[row].last().unwrap());
    }
    let expected = [golden.ids("greedy.0"), golden.ids("greedy.1")];
    for (i, (&first, &second)) in expected[0].iter().zip(&expected[1]).enumerate() {
        assert_eq!(last, [first, second], "{name}: greedy token {i}");
        batch.clear();
        for slot in 0..2 {
            batch.push(slot, prompts[slot].len() + i, &[last[slot]]);
        }
        let step = inference.step(&batch, &[0, 1], None, &mut session).unwrap();
        last = [argmax(&step[..vocab]), argmax(&step[vocab..])];
    }
}

fn argmax(logits: &[f32]) -> u32 {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32
}

#[test]
fn cached_forward_and_greedy_continuations_equal_transformers() {
    for name in VARIANTS {
        let golden = Golden::open(name);
        assert_cached(name, &golden, &Inference::new(&golden.decoder(DType::F32)).unwrap());
    }
}

#[test]
fn cached_forward_with_sixteen_bit_weights() {
    for (name, dtype) in [("llama2_gqa", DType::F16), ("llama_bf16", DType::BF16), ("mpt", DType::F16)] {
        let golden = Golden::open(name);
        assert_cached(name, &golden, &Inference::new(&golden.decoder(dtype)).unwrap());
    }
}

/// What runs on other devices, here on the CPU.
#[test]
fn composed_forward_and_greedy_continuations_equal_transformers() {
    for name in VARIANTS {
        let golden = Golden::open(name);
        assert_cached(name, &golden, &Inference::composed(&golden.decoder(DType::F32)));
    }
}
