//! The model behind the fake of vLLM: its tokenizer, and the probabilities of a prompt's tokens.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use candle_core::{DType, Device};
use pipe_lm::{
    adapter::load_adapter,
    chat::{ChatOptions, ChatTemplate, Message},
    config::DecoderConfig,
    model::{CachedBatch, Decoder, Inference},
    tokenizer::Tokenizer,
    weights::Weights,
};
use serde_json::{Value, json};

pub(super) struct Model {
    folder: PathBuf,
    config: DecoderConfig,
    tokenizer: Tokenizer,
    chat: Option<ChatTemplate>,
    /// With each adapter, and with none.
    ready: Mutex<BTreeMap<Option<PathBuf>, Arc<Inference>>>,
}

impl Model {
    pub(super) fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            config: DecoderConfig::from_dir(folder).unwrap(),
            tokenizer: Tokenizer::from_dir(folder).unwrap(),
            chat: ChatTemplate::from_dir(folder).unwrap(),
            ready: Mutex::default(),
        }
    }

    /// The answer of `/tokenize`'s two forms; as vLLM, it reads what is not there as its default.
    pub(super) fn tokenize(&self, body: &Value) -> Result<Vec<u32>, String> {
        let is_special = |usual: bool| body.get("add_special_tokens").map_or(usual, |value| value.as_bool().unwrap());
        let Some(messages) = body.get("messages") else {
            let text = body["prompt"].as_str().ok_or("Field required: prompt")?;
            return Ok(self.tokenizer.encode(text, is_special(true)).unwrap());
        };
        let chat = self.chat.as_ref().ok_or("default chat template is no longer allowed")?;
        let turn = |turn: &Value| Message::new(turn["role"].as_str().unwrap(), turn["content"].as_str().unwrap());
        let messages: Vec<Message> = messages.as_array().unwrap().iter().map(turn).collect();
        let add_generation_prompt = body["add_generation_prompt"].as_bool().unwrap_or(true);
        let text = chat.render(&messages, &ChatOptions { add_generation_prompt, ..ChatOptions::default() }).unwrap();
        Ok(self.tokenizer.encode(&text, is_special(false)).unwrap())
    }

    pub(super) fn detokenize(&self, body: &Value) -> String {
        self.tokenizer.decode(&tokens(&body["tokens"]), false).unwrap()
    }

    /// What `/tokenizer_info` says, as far as it is looked at.
    pub(super) fn info(&self) -> Value {
        let special = self.tokenizer.special();
        json!({ "tokenizer_class": "X", "bos_token": special.bos_token, "eos_token": special.eos_token })
    }

    fn ready(&self, adapter: Option<&Path>) -> Arc<Inference> {
        let mut ready = self.ready.lock().unwrap();
        let load = || {
            let weights = Weights::from_dir(&*self.folder, &self.config).unwrap();
            let mut decoder = Decoder::load(&self.config, &weights, &Device::Cpu, DType::F32).unwrap();
            if let Some(folder) = adapter {
                decoder.add_adapter("it", &load_adapter(folder, &self.config).unwrap().1).unwrap();
            }
            Arc::new(Inference::new(&decoder).unwrap())
        };
        Arc::clone(ready.entry(adapter.map(Path::to_owned)).or_insert_with(load))
    }

    /// Of each token but the first: its own log-probability, and that of the most probable one.
    pub(super) fn prompt_logprobs(&self, prompt: &Value, adapter: Option<&Path>) -> Value {
        let tokens = tokens(prompt);
        let (model, read) = (self.ready(adapter), tokens.len() - 1);
        let mut session = model.session(1, read.max(1)).unwrap();
        let mut batch = CachedBatch::default();
        batch.push(0, 0, &tokens[..read]);
        let wanted: Vec<usize> = (0..read).collect();
        let adapter = adapter.map(|_| model.adapter("it").unwrap());
        let logits = model.step(&batch, &wanted, adapter, &mut session).unwrap();
        let mut told = vec![Value::Null];
        for (logits, &token) in logits.chunks_exact(self.config.vocab_size).zip(&tokens[1..]) {
            let most = logits.iter().copied().fold(f32::MIN, f32::max);
            let sum: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
            let best = logits.iter().position(|logit| *logit == most).unwrap();
            let entry = |token: usize| {
                let rank = 1 + logits.iter().filter(|logit| **logit > logits[token]).count();
                let logprob = (f64::from(logits[token] - most) - sum.ln()) as f32;
                let text = self.tokenizer.decode(&[token as u32], false).unwrap();
                (token.to_string(), json!({ "logprob": logprob, "rank": rank, "decoded_token": text }))
            };
            told.push(Value::Object([entry(token as usize), entry(best)].into_iter().collect()));
        }
        Value::Array(told)
    }
}

pub(in crate::served) fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect()
}
