//! Prompts: minijinja templates, three named sets of them, and files that replace them.
//!
//! A template sees
//!
//! | variable | what |
//! |---|---|
//! | `demonstrations` | list of `{instruction, input, output}`, in prompt order |
//! | `passages` | list of `{id, text, score}`, best first (responses) |
//! | `instruction`, `input` | what is to be answered (responses); `input` may be empty |
//! | `output` | the answer; defined only where the finished text is wanted (training), undefined where the model is to write it |
//! | `domain` | the parameter `domain`, may be empty |
//! | `with_inputs` | whether any seed has an `input` (instructions; elsewhere false) |
//!
//! Its text ends where the model begins. A top-level `{% set stop = [...] %}` gives the strings that end the model's text, the same for all rows; the
//! parameter `stop` replaces them. `{{ turn("user") }}` (or `system`, `assistant`) begins a turn: a template that has turns makes a conversation, which
//! the model's own chat template, or the server, renders. Undefined variables are errors. A single line break at the end of a file is not part of the prompt.

mod template;

use std::{borrow::Cow, path::Path};

use pipe_engine::kind::{Source, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use template::{Demonstration, Passage, PromptContext, PromptTemplate, Rendered, TrainingText};

/// What a prompt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// New instructions like those shown.
    Generate,
    /// The answer to an instruction; training and evaluation use the same text.
    Respond,
}

/// Which prompt template: `plain`, `alpaca`, `chat` (needs a model with a chat template, or a server), or a minijinja file relative to the pipeline
/// file. Its text is part of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TemplateRef(pub String);

impl Default for TemplateRef {
    fn default() -> Self {
        Self("plain".to_owned())
    }
}

/// The sets that ship: name, text for generation, text for responses.
const BUILT_IN: [(&str, &str, &str); 3] = [
    ("plain", include_str!("plain/generate.jinja"), include_str!("plain/respond.jinja")),
    ("alpaca", include_str!("alpaca/generate.jinja"), include_str!("alpaca/respond.jinja")),
    ("chat", include_str!("chat/generate.jinja"), include_str!("chat/respond.jinja")),
];

impl TemplateRef {
    fn built_in(&self, purpose: Purpose) -> Option<&'static str> {
        let (_, generate, respond) = BUILT_IN.iter().find(|(name, ..)| *name == self.0)?;
        Some(match purpose {
            Purpose::Generate => generate,
            Purpose::Respond => respond,
        })
    }

    /// What of the template enters the key: its text, not its name. The parameter itself is operational.
    pub fn source(&self, purpose: Purpose) -> Source {
        let label = "template".to_owned();
        match self.built_in(purpose) {
            Some(text) => Source::Value { label, value: json!(blake3::hash(text.as_bytes()).to_hex().as_str()) },
            None => Source::Path { label, path: (&*self.0).into() },
        }
    }

    /// Reads and compiles the template.
    ///
    /// # Errors
    /// The file cannot be read, or is not a template.
    pub fn load(&self, purpose: Purpose, base_dir: &Path) -> Result<PromptTemplate, StageError> {
        let text: Cow<'static, str> = if let Some(text) = self.built_in(purpose) {
            text.into()
        } else {
            let path = base_dir.join(&self.0);
            let read = std::fs::read_to_string(&path).map_err(|e| {
                StageError::user_help(
                    format!("failed to read the template {}: {e}", path.display()),
                    "`template` is plain, alpaca, chat, or the path of a file relative to the pipeline file",
                )
            });
            read?.into()
        };
        PromptTemplate::new(&self.0, &text)
    }
}

#[cfg(test)]
mod tests;
