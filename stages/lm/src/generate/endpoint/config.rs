//! How a server is reached.

use std::{fmt, time::Duration};

/// Which program is behind the address. They differ in what they add to OpenAI's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// vLLM.
    Vllm,
    /// llama.cpp's `llama-server`, or llama-cpp-python.
    LlamaCpp,
    /// Ollama.
    Ollama,
    /// Anything else: only OpenAI's own parameters are sent.
    OpenAi,
}

impl Server {
    /// Name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vLLM",
            Self::LlamaCpp => "llama.cpp",
            Self::Ollama => "Ollama",
            Self::OpenAi => "an OpenAI server",
        }
    }
}

/// A key that is sent and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Wraps the key's value, without surrounding white space.
    pub fn new(value: &str) -> Self {
        Self(value.trim().to_owned())
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// The key itself, for the environment of a server that is to want it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` without the key, should a server repeat it.
    pub fn redact(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, "[key]") }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// How to reach a server, and how patiently.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointConfig {
    /// Up to and including the version: `http://localhost:8000/v1`.
    pub base_url: String,
    /// The model's name on the server.
    pub model: String,
    /// The program behind the address.
    pub server: Server,
    /// Send text prompts as one user message of a conversation, for servers that have no plain completions.
    pub text_as_chat: bool,
    /// The key, if the server wants one.
    pub api_key: Option<ApiKey>,
    /// Requests in flight at once.
    pub concurrency: usize,
    /// Time for connecting.
    pub connect_timeout: Duration,
    /// Time for one attempt from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// Attempts after the first one that fails for a passing reason.
    pub max_retries: u32,
    /// Pause before the first retry; it doubles with every further one, and is shortened by a random part of up to
    /// half.
    pub backoff: Duration,
    /// Longest pause between attempts, those that the server asks for included.
    pub max_wait: Duration,
    /// Address of an HTTP proxy.
    pub proxy: Option<String>,
    /// llama.cpp: the number of the adapter that the server was started with, and its scale: 0 where the base is to
    /// answer, since some builds apply an adapter to whatever request does not name it.
    pub lora: Option<(u32, f64)>,
    /// The token that stands in front of a text by itself, where the model's files tell it: no server needs to be asked
    /// for it then.
    pub first_token: Option<u32>,
    /// Further keys of every request, such as `chat_template_kwargs`; one that is null takes a key away.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl EndpointConfig {
    /// Eight requests at once, ten minutes each, five retries from half a second on.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>, server: Server) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            server,
            text_as_chat: false,
            api_key: None,
            concurrency: 8,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_mins(10),
            max_retries: 5,
            backoff: Duration::from_millis(500),
            max_wait: Duration::from_mins(2),
            proxy: None,
            lora: None,
            first_token: None,
            extra: serde_json::Map::new(),
        }
    }
}
