//! `model: { serve: ... }`: a server that is started for the run.

use std::fmt;

use pipe_engine::kind::{Finder, Source};
use pipe_lm::{generate::endpoint::Server, origin::ModelOrigin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::reference::{NO_PATHS, eight, five, identity, near, ten_minutes};

/// The ranks that vLLM can be started for.
const VLLM_RANKS: [usize; 9] = [1, 8, 16, 32, 64, 128, 256, 320, 512];

/// A server that is started on this machine for the run, and ended with it: on a free port of its own, shared by all
/// stages that describe it in the same way.
///
/// The model's files enter the key by content, as do the program, `args`, `chat`, `extra` and a pinned `version`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServeRef {
    /// The program that is started.
    pub serve: Program,
    /// The model: a Hugging Face directory or hf:org/name@revision for vLLM, a .gguf file or
    /// hf:org/name-GGUF:Q4_K_M for llama.cpp. Left out where the input `model` is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = NO_PATHS))]
    pub model: Option<String>,
    /// Arguments of the program that decide what it answers, such as --max-model-len or --ctx-size. Part of the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-words" = true))]
    pub args: Vec<String>,
    /// Arguments that say how this machine does it, such as --gpu-memory-utilization or --threads. No part of the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-words" = true))]
    pub local_args: Vec<String>,
    /// vLLM: adapters up to this rank are taken. Without it, none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lora_rank: Option<usize>,
    /// Where the program is, if not as `vllm` or `llama-server` on the PATH; with a `/` from the stage's folder on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Variables of the environment that the program gets beside the usual ones (PATH, HOME, those of CUDA, of the
    /// hub's cache, and the like).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
    /// The version that the server must say it is; it is part of the key then. Otherwise a version is kept with the
    /// result, and a change is warned of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Send text prompts as one user message.
    #[serde(default)]
    pub chat: bool,
    /// The environment variable that holds the key which the server is to ask for; without, it asks for none, and
    /// listens on this machine alone as ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Requests in flight at once.
    #[serde(default = "eight")]
    #[schemars(range(min = 1))]
    pub concurrency: usize,
    /// Time for one attempt, from connecting to the last byte.
    #[serde(default = "ten_minutes")]
    #[schemars(range(min = 1))]
    pub timeout_seconds: u64,
    /// Further attempts after a passing failure, with growing pauses.
    #[serde(default = "five")]
    pub max_retries: u32,
    /// Time until it is ready, loading of the model included.
    #[serde(default = "half_an_hour")]
    #[schemars(range(min = 1))]
    pub start_seconds: u64,
    /// Further keys of every request; null takes a key away.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

fn half_an_hour() -> u64 {
    1800
}

/// A program that serves models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// `vllm serve`.
    Vllm,
    /// llama.cpp's `llama-server`.
    LlamaCpp,
}

impl Program {
    /// What it understands.
    pub fn dialect(self) -> Server {
        match self {
            Self::Vllm => Server::Vllm,
            Self::LlamaCpp => Server::LlamaCpp,
        }
    }

    /// What it is called on the PATH.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::LlamaCpp => "llama-server",
        }
    }

    /// How to get it.
    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Vllm => "install vLLM (`pip install vllm`) and put it on the PATH, or say where it is with `program`",
            Self::LlamaCpp => {
                "install llama.cpp, whose `llama-server` belongs on the PATH, or say where it is with `program`"
            }
        }
    }

    /// Arguments that are this program's to give, and what to write instead.
    fn reserved(self) -> &'static [(&'static str, &'static str)] {
        const PLACE: &str = "a free port of this machine is chosen";
        const KEY: &str = "name the variable that holds it with `api_key_env`";
        const NAME: &str = "the server is asked under a name of its own";
        const MODEL: &str = "write it as `model`";
        const ADAPTERS: &str = "connect the input `adapter` of a stage";
        match self {
            Self::Vllm => &[
                ("--host", PLACE),
                ("--port", PLACE),
                ("--uds", PLACE),
                ("--root-path", PLACE),
                ("--api-key", KEY),
                ("--served-model-name", NAME),
                ("--model", MODEL),
                ("--enable-lora", "write `max_lora_rank`"),
                ("--max-lora-rank", "write `max_lora_rank`"),
                ("--lora-modules", ADAPTERS),
            ],
            Self::LlamaCpp => &[
                ("--host", PLACE),
                ("--port", PLACE),
                ("--api-prefix", PLACE),
                ("--api-key", KEY),
                ("--api-key-file", KEY),
                ("--alias", NAME),
                ("-a", NAME),
                ("--model", MODEL),
                ("-m", MODEL),
                ("--lora", ADAPTERS),
                ("--lora-scaled", ADAPTERS),
                ("--lora-init-without-apply", ADAPTERS),
            ],
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dialect().name())
    }
}

impl ServeRef {
    /// What is wrong with it, as a sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        for argument in self.args.iter().chain(&self.local_args) {
            let flag = argument.split_once('=').map_or(&**argument, |(flag, _)| flag);
            // vLLM takes `_` for `-`.
            let spelt = flag.replace('_', "-");
            if let Some((reserved, instead)) = self.serve.reserved().iter().find(|(name, _)| *name == spelt) {
                return Some(format!("`{reserved}` is given by pipe itself: {instead}"));
            }
        }
        match (self.serve, self.max_lora_rank) {
            (Program::LlamaCpp, Some(_)) => {
                return Some("`max_lora_rank` is vLLM's; llama.cpp takes adapters of any rank".to_owned());
            }
            (Program::Vllm, Some(rank)) if !VLLM_RANKS.contains(&rank) => {
                let ranks: Vec<String> = VLLM_RANKS.iter().map(usize::to_string).collect();
                return Some(format!("`max_lora_rank` is {rank}, and vLLM knows {}", ranks.join(", ")));
            }
            _ => {}
        }
        match self.origin().transpose() {
            Err(problem) => Some(problem),
            Ok(Some(ModelOrigin::Endpoint { url })) => Some(format!("{url} is a server already: write it as `model`")),
            Ok(Some(_)) if self.serve == Program::Vllm && self.is_gguf() => {
                Some("vLLM is started with a Hugging Face directory or hf:org/name, not with a GGUF file".to_owned())
            }
            Ok(Some(_)) if self.serve == Program::LlamaCpp && !self.is_gguf() => Some(
                "llama.cpp reads GGUF files: give one, hf:org/name-GGUF:Q4_K_M, or the output of a stage `export` \
                 with `format: gguf` as the input `model`"
                    .to_owned(),
            ),
            Ok(_) => None,
        }
    }

    fn is_gguf(&self) -> bool {
        matches!(self.origin(), Some(Ok(ModelOrigin::Gguf(_) | ModelOrigin::Hub { gguf: Some(_), .. })))
    }

    /// Where the model is from, unless another stage makes it.
    pub(crate) fn origin(&self) -> Option<Result<ModelOrigin, String>> {
        self.model.as_deref().map(|text| ModelOrigin::parse(text).map_err(|e| format!("failed to {e}")))
    }

    /// What enters the key.
    pub(crate) fn source(&self, label: String) -> Source {
        let mut value = json!({ "serve": self.serve, "args": self.args, "chat": self.chat });
        if !self.extra.is_empty() {
            value["extra"] = Value::Object(self.extra.clone());
        }
        if let Some(version) = &self.version {
            value["version"] = json!(version);
        }
        let Some(Ok(origin)) = self.origin() else { return Source::Value { label, value } };
        let find = {
            let origin = origin.clone();
            Finder::new(move |host| {
                let mut value = value.clone();
                value["model"] = identity(&origin, host, true)?;
                // How this program reads files is none of a server's affair.
                if let Some(files) = value["model"].as_object_mut() {
                    files.remove("reading");
                }
                Ok(value)
            })
        };
        Source::Found { label, near: near(&origin), find }
    }
}

impl fmt::Display for ServeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, model {}", self.serve, self.model.as_deref().unwrap_or("of another stage"))
    }
}
