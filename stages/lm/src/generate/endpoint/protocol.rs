//! OpenAI's completions and chat completions, with what the servers add: request bodies and answers.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{EndpointConfig, EndpointError, Server};
use crate::generate::{Completion, FinishReason, Prompt, Request, RowRandom, SamplingParams, Usage};

/// A request as it goes out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    /// `completions` or `chat/completions`.
    pub path: &'static str,
    pub body: Value,
}

/// Parameters that the server has no key for.
pub(super) fn check(config: &EndpointConfig, params: &SamplingParams) -> Result<(), EndpointError> {
    let server = config.server;
    let full = matches!(server, Server::Vllm | Server::LlamaCpp);
    let used = [
        ("top_k", params.top_k > 0 && !full),
        ("min_p", params.min_p > 0.0 && !full),
        ("repetition_penalty", params.penalises() && !full),
        ("ignore_eos", params.ignore_eos && !full),
        ("stop_tokens", !params.stop_tokens.is_empty() && server != Server::Vllm),
    ];
    match used.iter().find(|(_, unsupported)| *unsupported) {
        Some(&(parameter, _)) => Err(EndpointError::Unsupported { server: server.name(), parameter }),
        None => Ok(()),
    }
}

/// The call for a row. Servers' defaults differ, so every parameter they know is sent, those that are off too.
pub(super) fn call(config: &EndpointConfig, request: &Request, params: &SamplingParams) -> Call {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("model", json!(config.model));
    let chat = match &request.prompt {
        Prompt::Chat(messages) => {
            put("messages", json!(messages));
            true
        }
        Prompt::Text(text) if config.text_as_chat => {
            put("messages", json!([{ "role": "user", "content": text }]));
            true
        }
        Prompt::Text(text) => {
            put("prompt", json!(text));
            false
        }
        Prompt::Tokens(tokens) => {
            put("prompt", json!(tokens));
            false
        }
    };
    put("max_tokens", json!(params.max_new_tokens));
    put("temperature", json!(params.temperature));
    put("top_p", json!(params.top_p));
    put("stream", json!(false));
    if !params.stop.is_empty() {
        put("stop", json!(params.stop));
    }
    if params.temperature > 0.0 {
        put("seed", json!(RowRandom::new(&params.seed, &request.id).server_seed()));
    }
    if params.logprobs {
        put("logprobs", if chat { json!(true) } else { json!(1) });
    }
    match config.server {
        Server::Vllm => {
            put("top_k", if params.top_k == 0 { json!(-1) } else { json!(params.top_k) });
            put("min_p", json!(params.min_p));
            put("repetition_penalty", json!(params.repetition_penalty));
            put("ignore_eos", json!(params.ignore_eos));
            put("stop_token_ids", json!(params.stop_tokens));
        }
        Server::LlamaCpp => {
            put("top_k", json!(params.top_k));
            put("min_p", json!(params.min_p));
            put("repeat_penalty", json!(params.repetition_penalty));
            if params.ignore_eos {
                put("ignore_eos", json!(true));
            }
        }
        Server::Ollama | Server::OpenAi => {}
    }
    for (key, value) in &config.extra {
        body.insert(key.clone(), value.clone());
    }
    Call { path: if chat { "chat/completions" } else { "completions" }, body: Value::Object(body) }
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
    usage: Option<TokenUsage>,
}

#[derive(Deserialize)]
struct Choice {
    /// Of completions.
    text: Option<String>,
    /// Of chat completions.
    message: Option<AnswerMessage>,
    finish_reason: Option<String>,
    /// vLLM: the stop string or token id; absent or null at the model's own end of text.
    #[serde(default, deserialize_with = "present")]
    stop_reason: Option<Value>,
    logprobs: Option<Logprobs>,
}

/// Tells `null` (`Some(Null)`) from a key that is not there (`None`).
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct AnswerMessage {
    /// Null where nothing was said to the user: all tokens went into thoughts, a tool was called, a filter held the text back.
    content: Option<String>,
    /// OpenAI: why the model will not answer, in place of the content.
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    /// Of completions.
    token_logprobs: Option<Vec<Option<f32>>>,
    /// Of chat completions.
    content: Option<Vec<ContentLogprob>>,
}

#[derive(Deserialize)]
struct ContentLogprob {
    logprob: f32,
}

#[derive(Deserialize)]
struct TokenUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// Whether a refused request (status 400) was refused for what its prompt says, as OpenAI and Azure put it.
pub(super) fn prompt_refused(body: &str) -> bool {
    serde_json::from_str::<Value>(body).is_ok_and(|body| body["error"]["code"] == "content_filter")
}

/// A row of which nothing was written because of what its prompt says.
pub(super) fn refused(id: &str) -> Completion {
    Completion {
        id: id.to_owned(),
        text: String::new(),
        tokens: Vec::new(),
        logprobs: None,
        finish: FinishReason::Refused,
        usage: Usage::default(),
    }
}

/// Reads an answer. The error says what is wrong with it, and may be gone at the next attempt: what the same request will meet again,
/// such as an answer without content, is a completion.
pub(super) fn read(body: &str, id: &str, params: &SamplingParams) -> Result<Completion, String> {
    let answer: Answer = serde_json::from_str(body).map_err(|e| format!("it is not a completion ({e})"))?;
    let choice = answer.choices.into_iter().next().ok_or("it holds no choice")?;
    let refusal = choice.message.as_ref().is_some_and(|m| m.content.is_none() && m.refusal.is_some());
    let text = match choice.message {
        Some(message) => message.content.or(message.refusal).unwrap_or_default(),
        None => choice.text.ok_or("its choice holds no text")?,
    };
    let finish = match (choice.finish_reason.as_deref(), &choice.stop_reason) {
        (Some("content_filter"), _) => FinishReason::Refused,
        (Some("length"), _) => FinishReason::Length,
        (Some("stop"), _) if refusal => FinishReason::Refused,
        // The model ended by itself, with a call that nobody makes.
        (Some("tool_calls" | "function_call"), _) => FinishReason::Eos,
        (Some("stop"), Some(Value::Null)) => FinishReason::Eos,
        // Other servers do not tell a stop string from the end of text.
        (Some("stop"), None) if params.stop.is_empty() => FinishReason::Eos,
        (Some("stop"), _) => FinishReason::Stop,
        (other, _) => return Err(format!("its finish_reason is {}", other.unwrap_or("missing"))),
    };
    let logprobs = if params.logprobs && finish != FinishReason::Refused {
        let logprobs = choice.logprobs.ok_or("log-probabilities were asked for and are missing")?;
        let of_chat = logprobs.content.map(|all| all.into_iter().map(|c| c.logprob).collect());
        let plain = logprobs.token_logprobs.map(|all| all.into_iter().flatten().collect());
        Some(of_chat.or(plain).ok_or("log-probabilities were asked for and are missing")?)
    } else {
        None
    };
    let usage = answer.usage.map_or_else(Usage::default, |u| Usage {
        prompt_tokens: u.prompt_tokens,
        completion_tokens: u.completion_tokens,
    });
    Ok(Completion { id: id.to_owned(), text, tokens: Vec::new(), logprobs, finish, usage })
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
