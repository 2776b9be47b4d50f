//! What is asked of a server besides completions: whether it is ready, what it is, and which adapters it has.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use super::{Endpoint, EndpointError, Server, client::Client};

/// A server that is not there, or not ready, is asked again: it need not be waited for.
pub(super) const SHORT: Duration = Duration::from_secs(5);

/// A model that a server lists.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct ListedModel {
    /// What it is asked for as.
    pub id: String,
    /// Of an adapter: its base.
    #[serde(default)]
    pub parent: Option<String>,
}

impl Endpoint {
    /// The models that it lists (`/v1/models`).
    ///
    /// # Errors
    /// It cannot be reached, or answers something else.
    pub fn models(&self) -> Result<Vec<ListedModel>, EndpointError> {
        #[derive(serde::Deserialize)]
        struct List {
            data: Vec<ListedModel>,
        }
        let what = "ask for its models";
        let url = format!("{}/models", self.config().base_url);
        let answer = self.client.admin(what, &url, None, Some(SHORT))?;
        let list: List = serde_json::from_str(&answer).map_err(|e| EndpointError::Admin {
            what,
            url,
            status: None,
            problem: e.to_string(),
        })?;
        Ok(list.data)
    }

    /// Whether it says that it is ready (`/health`).
    pub fn is_healthy(&self) -> bool {
        self.client.admin("ask for its health", &self.client.beside("health"), None, Some(SHORT)).is_ok()
    }

    /// What it calls itself, where its kind tells: vLLM's version, llama.cpp's build.
    ///
    /// # Errors
    /// It answers something else.
    pub fn version(&self) -> Result<Option<String>, EndpointError> {
        let (path, key) = match self.config().server {
            Server::Vllm => ("version", "version"),
            Server::LlamaCpp => ("props", "build_info"),
            Server::Ollama => ("api/version", "version"),
            Server::OpenAi => return Ok(None),
        };
        let answer = self.client.admin("ask for its version", &self.client.beside(path), None, Some(SHORT))?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        Ok(answer[key].as_str().map(str::to_owned))
    }

    /// Has vLLM read the adapter in a folder (PEFT's layout), and answer as it to requests for the model `name`.
    ///
    /// # Errors
    /// It cannot be reached, will not load adapters while it runs, or not this one.
    pub fn load_adapter(&self, name: &str, folder: &Path) -> Result<(), EndpointError> {
        let body = json!({ "lora_name": name, "lora_path": folder.to_string_lossy() });
        let url = format!("{}/load_lora_adapter", self.config().base_url);
        self.client.admin("load the adapter", &url, Some(&body), None).map(drop)
    }

    /// Has vLLM forget it.
    ///
    /// # Errors
    /// It cannot be reached, or has none of that name.
    pub fn unload_adapter(&self, name: &str) -> Result<(), EndpointError> {
        let url = format!("{}/unload_lora_adapter", self.config().base_url);
        self.client.admin("unload the adapter", &url, Some(&json!({ "lora_name": name })), Some(SHORT)).map(drop)
    }

    /// Whether vLLM loads adapters while it runs: it says of one that it does not have that it has none of that name.
    /// `None` where it gives no answer.
    pub fn takes_adapters(&self) -> Option<bool> {
        match self.unload_adapter("pipe: is there a way to unload adapters?") {
            Err(EndpointError::Admin { status: Some(404 | 405), problem, .. }) => {
                let problem = problem.to_lowercase();
                Some(problem.contains("lora") || problem.contains("adapter"))
            }
            Err(_) => None,
            Ok(()) => Some(true),
        }
    }
}

impl Client {
    /// Sends one request, once: `POST` with a body, else `GET`; the text of the answer.
    pub(super) fn admin(
        &self,
        what: &'static str,
        url: &str,
        body: Option<&Value>,
        timeout: Option<Duration>,
    ) -> Result<String, EndpointError> {
        let failed = |status, problem| EndpointError::Admin { what, url: url.to_owned(), status, problem };
        let (status, text) = self.once(url, body, timeout).map_err(|e| failed(None, e.to_string()))?;
        if (200..300).contains(&status) {
            return Ok(text);
        }
        Err(failed(Some(status), format!("the server answered {status}: {}", self.excerpt(&text))))
    }
}
