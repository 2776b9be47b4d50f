//! OpenAI's completions and chat completions, with what the servers add: request bodies and answers.

use pipe_random::RowRandom;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{EndpointConfig, EndpointError, Server};
use crate::generate::{Completion, FinishReason, Prompt, Request, SamplingParams, Usage};

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
        }
        Server::LlamaCpp => {
            put("top_k", json!(params.top_k));
            put("min_p", json!(params.min_p));
            put("repeat_penalty", json!(params.repetition_penalty));
            if params.ignore_eos {
                put("ignore_eos", json!(true));
            }
            if let Some((id, scale)) = config.lora {
                put("lora", json!([{ "id": id, "scale": scale }]));
            }
        }
        Server::Ollama | Server::OpenAi => {}
    }
    for (key, value) in &config.extra {
        // Null takes a key away that a server does not want, such as `max_tokens` where it wants
        // `max_completion_tokens`.
        if value.is_null() {
            body.shift_remove(key);
        } else {
            body.insert(key.clone(), value.clone());
        }
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
    /// Null where nothing was said to the user: all tokens went into thoughts, a tool was called, a filter held the
    /// text back.
    content: Option<Content>,
    /// OpenAI: why the model will not answer, in place of the content.
    refusal: Option<String>,
    /// What the model thought: vLLM, SGLang, llama.cpp, DeepSeek and others.
    reasoning_content: Option<Value>,
    /// The same: OpenRouter, Ollama, Groq, vLLM since 0.12.
    reasoning: Option<Value>,
    /// The same: Ollama's own name for it.
    thinking: Option<Value>,
}

impl AnswerMessage {
    /// What the model thought in front of its answer, in a key of its own or as parts of the content.
    fn thoughts(&self) -> Option<String> {
        let told = [&self.reasoning_content, &self.reasoning, &self.thinking];
        let told = told.into_iter().flatten().find_map(|value| thought(value).filter(|text| !text.trim().is_empty()));
        let parts = || match &self.content {
            Some(Content::Parts(parts)) => {
                let thoughts: String = parts.iter().filter_map(thought_part).collect();
                (!thoughts.trim().is_empty()).then_some(thoughts)
            }
            _ => None,
        };
        told.or_else(parts)
    }
}

/// A text, a list of texts, or what holds one.
fn thought(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(thought).collect()),
        Value::Object(part) => {
            ["text", "content", "thinking", "summary"].iter().find_map(|key| thought(part.get(*key)?))
        }
        _ => None,
    }
}

/// The text of a part that is no answer: Mistral's `thinking`, which has parts itself, and others' `reasoning`.
fn thought_part(part: &Value) -> Option<String> {
    let name = part["type"].as_str()?;
    matches!(name, "thinking" | "reasoning" | "thought" | "reasoning_text")
        .then(|| ["thinking", "reasoning", "text", "content"].iter().find_map(|key| thought(part.get(*key)?)))?
}

/// A text, or a list of parts of which those of type `text` (and bare texts) are the answer; others are thoughts,
/// pictures, calls.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Value>),
}

impl Content {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.iter().filter_map(part).collect(),
        }
    }
}

fn part(part: &Value) -> Option<&str> {
    match part["type"].as_str() {
        Some("text" | "output_text") => part["text"].as_str(),
        Some(_) => None,
        None => part.as_str().or_else(|| part["text"].as_str()),
    }
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
    prompt_tokens: Count,
    #[serde(default)]
    completion_tokens: Count,
}

/// A number of tokens, however it is written: 3, 3.0 or "3"; what is null or none counts as 0.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Count(Value);

impl Count {
    fn get(&self) -> u64 {
        match &self.0 {
            Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|n| n as u64)).unwrap_or(0),
            Value::String(text) => text.trim().parse().unwrap_or(0),
            _ => 0,
        }
    }
}

/// Why a request was refused for what its row is. Others are as good as before.
pub(super) fn row_refused(status: u16, body: &str) -> Option<FinishReason> {
    let body: Value = serde_json::from_str(body).ok()?;
    let error = body.get("error").unwrap_or(&body);
    let says = |key: &str| error[key].as_str().unwrap_or_default().to_lowercase();
    let (code, kind, message) = (says("code"), says("type"), says("message"));
    if status == 400 && code == "content_filter" {
        return Some(FinishReason::Refused);
    }
    // OpenAI and vLLM, llama.cpp, others by what they say.
    let too_long = code == "context_length_exceeded"
        || kind == "exceed_context_size_error"
        || [
            "maximum context length",
            "maximum model length",
            "context length is only",
            "context length exceeded",
            "exceeds the available context size",
            "prompt is too long",
        ]
        .iter()
        .any(|words| message.contains(words));
    (matches!(status, 400 | 413 | 422) && too_long).then_some(FinishReason::TooLong)
}

/// A row of which nothing was written because of what its prompt says, or how long it is.
pub(super) fn unanswered(id: &str, finish: FinishReason) -> Completion {
    Completion {
        id: id.to_owned(),
        text: String::new(),
        thoughts: None,
        tokens: Vec::new(),
        logprobs: None,
        finish,
        usage: Usage::default(),
    }
}

/// What is wrong with an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Damage {
    /// It is none.
    Answer(String),
    /// The server says that it failed on this row.
    Row(String),
    /// The server does not do what it is asked for.
    Server(String),
}

/// Reads an answer. What is wrong with it may be gone at the next attempt: what the same request will meet again, such
/// as an answer without content, is a completion.
pub(super) fn read(body: &str, id: &str, params: &SamplingParams) -> Result<Completion, Damage> {
    let damaged = |problem: &str| Damage::Answer(problem.to_owned());
    let answer: Answer =
        serde_json::from_str(body).map_err(|e| Damage::Answer(format!("it is not a completion ({e})")))?;
    let usage = answer.usage.map_or_else(Usage::default, |u| Usage {
        prompt_tokens: u.prompt_tokens.get(),
        completion_tokens: u.completion_tokens.get(),
    });
    let choice = answer.choices.into_iter().next().ok_or_else(|| damaged("it holds no choice"))?;
    let refusal = choice.message.as_ref().is_some_and(|m| m.content.is_none() && m.refusal.is_some());
    let thoughts = choice.message.as_ref().and_then(AnswerMessage::thoughts);
    let mut text = match choice.message {
        Some(message) => message.content.map(Content::text).or(message.refusal).unwrap_or_default(),
        None => choice.text.ok_or_else(|| damaged("its choice holds no text"))?,
    };
    let ended = match &choice.stop_reason {
        Some(Value::Null) => FinishReason::Eos,
        // Other servers do not tell a stop string from the end of text.
        None if params.stop.is_empty() => FinishReason::Eos,
        _ => FinishReason::Stop,
    };
    // OpenAI's names, and those of TGI, Mistral, Anthropic, Google, Cohere and others behind the same interface.
    let mut finish = match choice.finish_reason.as_deref().map(str::to_lowercase).as_deref() {
        Some("content_filter" | "safety" | "refusal" | "recitation" | "blocklist" | "prohibited_content") => {
            FinishReason::Refused
        }
        Some("length" | "model_length" | "max_tokens" | "max_length" | "max_output_tokens") => FinishReason::Length,
        Some("stop") if refusal => FinishReason::Refused,
        Some("stop") => ended,
        Some("eos_token" | "eos" | "end" | "end_turn" | "end_of_text" | "complete" | "finished") => FinishReason::Eos,
        Some("stop_sequence") => FinishReason::Stop,
        // The model ended by itself, with a call that nobody makes.
        Some("tool_calls" | "tool_call" | "tool_use" | "function_call") => FinishReason::Eos,
        // Not told: it ended by itself, unless it used up what it was given.
        None | Some("") if usage.completion_tokens >= params.max_new_tokens as u64 => FinishReason::Length,
        None | Some("") => ended,
        Some(other @ ("error" | "abort" | "cancelled" | "timeout")) => {
            return Err(Damage::Row(format!("its finish_reason is {other}")));
        }
        Some(other) => return Err(Damage::Answer(format!("its finish_reason is {other}"))),
    };
    // Some servers do not know `stop`, and some give the stop string along. A refusal is the server's own text.
    if finish != FinishReason::Refused
        && let Some(end) = params.stop.iter().filter_map(|stop| text.find(stop.as_str())).min()
    {
        text.truncate(end);
        finish = FinishReason::Stop;
    }
    let logprobs = if params.logprobs && finish != FinishReason::Refused {
        let missing = || damaged("log-probabilities were asked for and are missing");
        let logprobs = choice.logprobs.ok_or_else(missing)?;
        let of_chat = logprobs.content.map(|all| all.into_iter().map(|c| c.logprob).collect());
        let plain = logprobs.token_logprobs.map(|all| all.into_iter().flatten().collect());
        Some(of_chat.or(plain).ok_or_else(missing)?)
    } else {
        None
    };
    Ok(Completion { id: id.to_owned(), text, thoughts, tokens: Vec::new(), logprobs, finish, usage })
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
