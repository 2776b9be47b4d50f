//! What vLLM adds to OpenAI's interface by which texts can be scored: its tokenizer, and the log-probabilities of a
//! prompt's tokens.
//!
//! `prompt_logprobs` names tokens by their ids, so that it is certain that they are those that were sent. The older
//! `echo` with `logprobs` has them as texts, which several tokens share, and is taken by servers that do nothing with
//! it.

use std::collections::HashMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{EndpointConfig, protocol::Damage};
use crate::chat::Message;

/// What vLLM writes for a probability of 0: JSON has no infinity.
const IMPOSSIBLE: f64 = -9999.0;
/// How far rounding may take the logarithm of a probability of 1 above 0.
const ROUNDING: f64 = 1e-3;

/// The tokens of a text.
#[derive(Deserialize)]
pub(super) struct Tokenized {
    pub tokens: Vec<u32>,
    /// Positions of prompt and answer together.
    pub max_model_len: usize,
}

/// The text of tokens.
#[derive(Deserialize)]
pub(super) struct Detokenized {
    pub prompt: String,
}

/// Asks `/tokenize` for a text's tokens.
pub(super) fn tokenize(config: &EndpointConfig, text: &str, special: bool) -> Value {
    json!({ "model": config.model, "prompt": text, "add_special_tokens": special })
}

/// Asks `/tokenize` for those of a conversation, up to where the assistant begins.
pub(super) fn tokenize_chat(config: &EndpointConfig, messages: &[Message]) -> Value {
    let mut body = json!({ "model": config.model, "messages": messages, "add_generation_prompt": true });
    for key in ["chat_template", "chat_template_kwargs"] {
        if let Some(value) = config.extra.get(key) {
            body[key] = value.clone();
        }
    }
    body
}

/// Asks `/detokenize`.
pub(super) fn detokenize(config: &EndpointConfig, tokens: &[u32]) -> Value {
    json!({ "model": config.model, "tokens": tokens })
}

/// Asks `/v1/completions` for the log-probabilities of a prompt. One token must be written: without one, vLLM refuses
/// whatever is no `echo`.
pub(super) fn read_prompt(config: &EndpointConfig, tokens: &[u32]) -> Value {
    let mut body = json!({
        "model": config.model, "prompt": tokens, "prompt_logprobs": 1, "max_tokens": 1, "temperature": 0,
        "stream": false,
    });
    for (key, value) in config.extra.iter().filter(|(_, value)| !value.is_null()) {
        body[key] = value.clone();
    }
    body
}

/// Reads the answer of one of vLLM's own addresses.
pub(super) fn answer<T: DeserializeOwned>(text: &str) -> Result<T, Damage> {
    serde_json::from_str(text).map_err(|e| Damage::Server(format!("its answer is not vLLM's ({e})")))
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

/// By the ids of tokens.
type Entries = HashMap<String, Entry>;

#[derive(Deserialize)]
struct Choice {
    /// For each token of the prompt those that were most probable there, and itself, by id; nothing for the first.
    prompt_logprobs: Option<Vec<Option<Entries>>>,
}

#[derive(Deserialize)]
struct Entry {
    /// None of what is not a number.
    logprob: Option<f64>,
}

impl Entry {
    fn finite(&self) -> Option<f64> {
        self.logprob.filter(|logprob| logprob.is_finite() && *logprob > IMPOSSIBLE)
    }
}

/// The log-probability of each token but the first behind those in front of it, and whether it is the most probable
/// one (as lm-evaluation-harness has it: none is more probable). `None` of one for which the model computes no number.
pub(super) fn read(text: &str, tokens: &[u32]) -> Result<Vec<Option<(f64, bool)>>, Damage> {
    let answer: Answer =
        serde_json::from_str(text).map_err(|e| Damage::Answer(format!("it is not a completion ({e})")))?;
    let choice = answer.choices.into_iter().next();
    let found = choice.and_then(|choice| choice.prompt_logprobs).ok_or_else(|| {
        Damage::Server("it has no `prompt_logprobs`: the server tells of what it writes alone".to_owned())
    })?;
    if found.len() != tokens.len() {
        let (found, sent) = (found.len(), tokens.len());
        return Err(Damage::Server(format!("it has `prompt_logprobs` of {found} tokens, and {sent} were sent")));
    }
    let one = |(position, (token, entries)): (usize, (&u32, &Option<Entries>))| {
        let own = entries.as_ref().and_then(|entries| Some((entries, entries.get(&token.to_string())?)));
        let (entries, own) = own.ok_or_else(|| {
            Damage::Server(format!("its `prompt_logprobs` say nothing of the token {token} at position {position}"))
        })?;
        let Some(logprob) = own.finite() else { return Ok(None) };
        if logprob > ROUNDING {
            let what = format!("the token {token} at position {position} has the log-probability {logprob}, above 0");
            return Err(Damage::Server(what));
        }
        let is_best = entries.values().filter_map(Entry::finite).all(|other| other <= logprob);
        Ok(Some((logprob.min(0.0), is_best)))
    };
    tokens.iter().zip(&found).enumerate().skip(1).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_of(prompt_logprobs: &Value) -> String {
        json!({ "choices": [{ "index": 0, "text": "x", "prompt_logprobs": prompt_logprobs }] }).to_string()
    }

    fn entry(logprob: impl Into<Value>, rank: u32) -> Value {
        json!({ "logprob": logprob.into(), "rank": rank, "decoded_token": "a" })
    }

    #[test]
    fn a_token_is_known_by_its_id_and_the_best_by_its_probability() {
        let given = json!([null, { "7": entry(-0.5, 1) }, { "9": entry(-3.0, 4), "2": entry(-0.25, 1) }]);
        assert_eq!(read(&answer_of(&given), &[1, 7, 9]).unwrap(), [Some((-0.5, true)), Some((-3.0, false))]);
        // Rounding, equals, and what is no number.
        let given =
            json!([{ "1": entry(-1, 1) }, { "7": entry(1e-7, 1), "8": entry(1e-7, 2) }, { "9": entry(-9999.0, 1) }]);
        assert_eq!(read(&answer_of(&given), &[1, 7, 9]).unwrap(), [Some((0.0, true)), None]);
        let given = json!([null, { "7": entry(Value::Null, 1) }]);
        assert_eq!(read(&answer_of(&given), &[1, 7]).unwrap(), [None]);
    }

    #[test]
    fn what_is_not_about_the_tokens_that_were_sent_is_no_number() {
        let right = json!([null, { "7": entry(-0.5, 1) }]);
        for (given, words) in [
            (Value::Null, "no `prompt_logprobs`"),
            (json!([null]), "of 1 tokens, and 2 were sent"),
            (json!([null, { "7": entry(-0.5, 1) }, { "8": entry(-0.5, 1) }]), "of 3 tokens, and 2 were sent"),
            (json!([null, { "8": entry(-0.5, 1) }]), "nothing of the token 7 at position 1"),
            (json!([null, null]), "nothing of the token 7 at position 1"),
            (json!([null, { "7": entry(0.5, 1) }]), "log-probability 0.5, above 0"),
        ] {
            let Err(Damage::Server(problem)) = read(&answer_of(&given), &[1, 7]) else { panic!("{given}") };
            assert!(problem.contains(words), "{problem}");
        }
        assert!(read(&answer_of(&right), &[1, 7]).is_ok());
        let without = json!({ "choices": [{ "index": 0, "text": "x", "logprobs": null }] }).to_string();
        assert!(matches!(read(&without, &[1, 7]), Err(Damage::Server(_))));
        assert!(matches!(read("<html>", &[1, 7]), Err(Damage::Answer(_))), "which may be gone at the next attempt");
    }
}
