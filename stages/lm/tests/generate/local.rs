use std::ops::ControlFlow;

use candle_core::{DType, Device, Tensor};
use pipe_lm::{
    generate::{Backend, Completion, FinishReason, Request, SamplingParams, Sink, Usage},
    model::{Adapter, Decoder, LoraWeights, PackedBatch},
    weights::Weights,
};

use crate::common::{characters, decoder, generator, one, run, tokens};

const PROMPT: &str = "Name a gas";

fn params(change: impl FnOnce(&mut SamplingParams)) -> SamplingParams {
    let mut params = SamplingParams { max_new_tokens: 24, ..SamplingParams::default() };
    change(&mut params);
    params
}

/// What the model says after [`PROMPT`] when nothing stops it.
fn unstopped() -> Completion {
    one(&generator(&decoder("qwen3", DType::F32), &[]), Request::text("r", PROMPT), &params(|_| {}))
}

#[test]
fn a_row_ends_at_its_length() {
    let completion = unstopped();
    assert_eq!((completion.finish, completion.tokens.len()), (FinishReason::Length, 24));
    assert_eq!(completion.text, characters().decode(&completion.tokens, true).unwrap());
    assert_eq!(completion.usage, Usage { prompt_tokens: 10, completion_tokens: 24 });
}

#[test]
fn the_end_of_text_is_not_part_of_a_row() {
    let free = unstopped();
    let token = free.tokens[9];
    let first = free.tokens.iter().position(|&t| t == token).unwrap();
    let decoder = decoder("qwen3", DType::F32);
    let completion = one(&generator(&decoder, &[token]), Request::text("r", PROMPT), &params(|_| {}));
    assert_eq!(completion.finish, FinishReason::Eos);
    assert_eq!(completion.tokens, free.tokens[..first]);
    assert_eq!(completion.usage.completion_tokens, first as u64 + 1);
    let ignoring = params(|p| p.ignore_eos = true);
    assert_eq!(one(&generator(&decoder, &[token]), Request::text("r", PROMPT), &ignoring), free);
}

#[test]
fn stop_strings_end_a_row_across_tokens() {
    let free = unstopped();
    let start = free.text.char_indices().map(|(i, _)| i).find(|&i| i >= 6).unwrap();
    let stop = free.text[start..start + 3].to_owned();
    let first = free.text.find(&stop).unwrap();
    let stops = vec!["never to be seen".to_owned(), stop];
    let backend = generator(&decoder("qwen3", DType::F32), &[]);
    let completion = one(&backend, Request::text("r", PROMPT), &params(|p| p.stop = stops));
    assert_eq!((completion.finish, completion.text.as_str()), (FinishReason::Stop, &free.text[..first]));
    // One token per character: those of the stop string are still among the tokens.
    assert_eq!(completion.tokens, free.tokens[..first + 3]);
}

#[test]
fn a_full_context_ends_a_row() {
    // The model has 128 positions.
    let completion = one(
        &generator(&decoder("qwen3", DType::F32), &[]),
        tokens("r", &[5; 120]),
        &params(|p| p.max_new_tokens = 100),
    );
    assert_eq!((completion.finish, completion.tokens.len()), (FinishReason::Context, 8));
}

#[test]
fn prompts_that_cannot_be_used_name_their_row() {
    let backend = generator(&decoder("qwen3", DType::F32), &[]);
    // One row that cannot be completed has an outcome of its own, and the other is completed.
    for (row, prompt, finish, says) in [
        ("row-17", vec![5; 128], FinishReason::TooLong, "its prompt has 128 tokens, the model's context is 128"),
        ("void", vec![], FinishReason::Refused, "its prompt is empty"),
    ] {
        let done = run(&backend, vec![tokens("fine", &[7]), tokens(row, &prompt)], &params(|_| {})).unwrap();
        assert_eq!((done[row].finish, done[row].text.as_str()), (finish, says));
        assert_eq!(done["fine"].finish, FinishReason::Length);
    }
    let fail = |request| run(&backend, vec![tokens("fine", &[7]), request], &params(|_| {})).unwrap_err().to_string();
    assert_eq!(
        fail(tokens("foreign", &[96])),
        "run the model: token id 96 is outside the vocabulary of 96 (is the tokenizer another model's?)"
    );
    let bad = params(|p| p.top_p = 0.0);
    let error = run(&backend, vec![], &bad).unwrap_err().to_string();
    assert_eq!(error, "use the sampling parameters: top_p is 0, it must be above 0 and at most 1");
}

#[test]
fn logprobs_are_those_of_the_packed_forward() {
    let decoder = decoder("llama2_gqa", DType::F32);
    let sampled = params(|p| {
        p.temperature = 0.8;
        p.logprobs = true;
        p.repetition_penalty = 1.3;
    });
    let prompt = [9, 20, 31];
    let completion = one(&generator(&decoder, &[]), tokens("r", &prompt), &sampled);
    let row = [&prompt[..], &completion.tokens].concat();
    let hidden = decoder.forward_train(&PackedBatch::new([&row]), None).unwrap();
    let logits: Vec<Vec<f32>> = decoder.logits(&hidden).unwrap().to_vec2().unwrap();
    for (i, (&token, logprob)) in completion.tokens.iter().zip(completion.logprobs.unwrap()).enumerate() {
        let logits = &logits[prompt.len() - 1 + i];
        let normaliser = logits.iter().map(|&l| f64::from(l).exp()).sum::<f64>().ln();
        let expected = f64::from(logits[token as usize]) - normaliser;
        assert!((f64::from(logprob) - expected).abs() < 1e-4, "token {i}: {logprob}, not {expected}");
    }
}

#[test]
fn a_sink_ends_the_call_and_rows_are_pulled_as_slots_free_up() {
    let backend = generator(&decoder("llama2_gqa", DType::F32), &[]);
    let backend = backend.with_options(pipe_lm::generate::GeneratorOptions { slots: 4, ..Default::default() });
    let mut pulled = 0;
    let mut endless = (0..).map(|i: u32| {
        pulled += 1;
        tokens(&i.to_string(), &[3 + i % 90])
    });
    let mut done = Vec::new();
    let usage = backend
        .complete(&mut endless, &params(|_| {}), &mut |completion: Completion| {
            done.push(completion.id);
            if done.len() == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!((done.len(), usage.completion_tokens), (7, 7 * 24));
    assert!(pulled <= 7 + 4 + 1, "{pulled} rows were pulled for 7");
}

#[test]
fn a_cancelled_call_ends_before_the_next_step() {
    struct Cancelled;
    impl Sink for Cancelled {
        fn completed(&mut self, _: Completion) -> ControlFlow<()> {
            panic!("nothing can be complete");
        }
        fn between_steps(&mut self) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    let backend = generator(&decoder("llama2_gqa", DType::F32), &[]);
    let usage = backend.complete(&mut [tokens("r", &[5])].into_iter(), &params(|_| {}), &mut Cancelled).unwrap();
    assert_eq!(usage, Usage::default());
}

/// An adapter on every layer of the model, too strong to go unnoticed.
pub(crate) fn adapter(decoder: &Decoder, seed: u32) -> Adapter {
    let noise = |rows: usize, columns: usize, scale: f32| {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add((rows * columns) as u32);
        let values = (0..rows * columns).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
        });
        Tensor::from_vec(values.collect::<Vec<_>>(), (rows, columns), &Device::Cpu).unwrap()
    };
    let modules = decoder.linears().map(|linear| {
        let (a, b) = (noise(4, linear.in_features(), 0.4), noise(linear.out_features(), 4, 0.4));
        (linear.path().to_owned(), LoraWeights { a, b, scale: 0.5, dropout: 0.1 })
    });
    Adapter { modules: modules.collect() }
}

#[test]
fn adapters_are_chosen_per_call_and_merged() {
    let mut decoder = decoder("mpt", DType::F32);
    let (first, second) = (adapter(&decoder, 1), adapter(&decoder, 2));
    decoder.add_adapter("first", &first).unwrap();
    decoder.add_adapter("second", &second).unwrap();
    let backend = generator(&decoder, &[]);
    let logprobs = params(|p| p.logprobs = true);
    let tokens_of = |backend: &dyn Backend| one(backend, tokens("r", &[9, 20, 31]), &logprobs);
    let plain = tokens_of(&backend);
    let with = |name| tokens_of(&backend.clone().with_adapter(Some(name)).unwrap());
    let (by_first, by_second) = (with("first"), with("second"));
    assert_ne!(plain.tokens, by_first.tokens);
    assert_ne!(by_first.tokens, by_second.tokens);
    assert_eq!(plain, tokens_of(&backend), "a call with an adapter leaves nothing behind");
    // The training forward with the same adapter.
    decoder.set_adapter(Some("first")).unwrap();
    let row = [&[9, 20, 31], by_first.tokens.as_slice()].concat();
    let hidden = decoder.forward_train(&PackedBatch::new([&row]), None).unwrap();
    let best: Vec<u32> = decoder.logits(&hidden).unwrap().argmax(1).unwrap().to_vec1().unwrap();
    assert_eq!(best[2..row.len() - 1], by_first.tokens);
    let error = backend.with_adapter(Some("third")).unwrap_err().to_string();
    assert_eq!(error, "select adapter `third`: loaded are [first, second]");
}

#[test]
fn adapters_that_do_not_fit_are_refused() {
    let mut llama = decoder("llama2_gqa", DType::F32);
    let error = llama.add_adapter("a", &adapter(&decoder("mpt", DType::F32), 1)).unwrap_err().to_string();
    assert!(error.starts_with("load adapter `a`: module transformer.blocks.0.attn.Wqkv"), "{error}");
    let error = llama.add_adapter("a", &adapter(&decoder("llama_mqa", DType::F32), 1)).unwrap_err().to_string();
    assert_eq!(
        error,
        "load adapter `a`: module model.layers.0.self_attn.k_proj: A is [4, 32] and B is [8, 4], the layer needs [r, \
         32] \
         and [16, r]"
    );
}

/// A model whose embedding of token 9 is not a number: a row that meets it cannot be completed, and the others are what
/// they are without it.
#[test]
fn a_row_whose_logits_are_not_finite_ends_no_other() {
    let sound = decoder("llama1", DType::F32);
    let mut tensors = sound.dense_tensors();
    let (_, embedding) = tensors.iter_mut().find(|(name, _)| name.contains("embed_tokens")).unwrap();
    let (_, width) = embedding.dims2().unwrap();
    let nan = Tensor::full(f32::NAN, (1, width), &Device::Cpu).unwrap();
    *embedding = embedding.slice_assign(&[9..10, 0..width], &nan).unwrap();
    let weights = Weights::from_tensors(tensors.into_iter().collect(), sound.config()).unwrap();
    let damaged = Decoder::load(sound.config(), &weights, &Device::Cpu, DType::F32).unwrap();
    let few = params(|p| p.max_new_tokens = 3);
    let rows = || vec![tokens("a", &[5, 6]), tokens("b", &[5, 9, 6]), tokens("c", &[7; 20]), tokens("d", &[9])];
    let found = run(&generator(&damaged, &[]), rows(), &few).unwrap();
    for (row, position) in [("b", 2), ("d", 0)] {
        assert_eq!((found[row].finish, found[row].tokens.len()), (FinishReason::NotFinite, 0));
        assert_eq!(found[row].text, format!("the model's logits at position {position} are not finite"));
    }
    let alone = run(&generator(&sound, &[]), rows(), &few).unwrap();
    assert_eq!((&found["a"], &found["c"]), (&alone["a"], &alone["c"]));

    // An adapter of NaN: no row can be completed.
    let mut damaged = sound;
    let path = "model.layers.1.mlp.down_proj".to_owned();
    let nan = |rows, columns| Tensor::full(f32::NAN, (rows, columns), &Device::Cpu).unwrap();
    let weights = LoraWeights { a: nan(1, 48), b: nan(32, 1), scale: 1.0, dropout: 0.0 };
    damaged.add_adapter("nan", &Adapter { modules: [(path, weights)].into() }).unwrap();
    let backend = generator(&damaged, &[]).with_adapter(Some("nan")).unwrap();
    let found = run(&backend, rows(), &few).unwrap();
    assert!(found.values().all(|completion| completion.finish == FinishReason::NotFinite), "{found:?}");
}
