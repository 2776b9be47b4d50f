//! Prompts: minijinja templates, four named sets of them, and files that replace them.
//!
//! What a template sees stands in `variables.rs`, by purpose.
//!
//! Its text ends where the model begins. A top-level `{% set stop = [...] %}` gives the strings that end the model's
//! text, the same for all rows; the parameter `stop` replaces them. `{{ turn("user") }}` (or `system`, `assistant`)
//! begins a turn: a template that has turns makes a conversation, which the model's own chat template, or the server,
//! renders. Undefined variables are errors. A single line break at the end of a file is not part of the prompt.

mod template;
mod tested;
mod turns;
mod variables;

use std::{borrow::Cow, path::Path};

use pipe_engine::kind::{ParamProblem, Source, StageError};
use pipe_lm::chat::Date;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) use template::FAILED_AT_MOST;
pub use template::{Demonstration, Passage, PromptContext, PromptTemplate, Rendered, TrainingText};
pub(crate) use tested::untested;
pub(crate) use variables::template_variables;

/// What a prompt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// New instructions like those shown.
    Generate,
    /// The answer to an instruction; training and evaluation use the same text.
    Respond,
}

/// Which prompt template: `plain`, `alpaca`, `chat` (needs a model with a chat template, or a server), `qa` (questions
/// and answers to continue, for small models), `auto` (`chat` for a server and for a model that brings a chat template,
/// `plain` for any other), or a minijinja file relative to the file that names it. Its text is part of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-path" = NO_PATHS))]
pub struct TemplateRef(pub String);

/// The date that a model's chat template may print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChatDate(pub Date);

impl TryFrom<String> for ChatDate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl From<ChatDate> for String {
    fn from(ChatDate(date): ChatDate) -> Self {
        date.to_string()
    }
}

impl JsonSchema for ChatDate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ChatDate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl Default for TemplateRef {
    fn default() -> Self {
        Self("plain".to_owned())
    }
}

/// The sets that ship: name, text for generation, text for responses.
const BUILT_IN: [(&str, &str, &str); 4] = [
    ("plain", include_str!("plain/generate.jinja"), include_str!("plain/respond.jinja")),
    ("alpaca", include_str!("alpaca/generate.jinja"), include_str!("alpaca/respond.jinja")),
    ("chat", include_str!("chat/generate.jinja"), include_str!("chat/respond.jinja")),
    ("qa", include_str!("qa/generate.jinja"), include_str!("qa/respond.jinja")),
];

/// Chosen by what the model brings.
const AUTO: &str = "auto";

/// What is no path.
const NO_PATHS: [&str; 5] = ["plain", "alpaca", "chat", "qa", AUTO];

/// What the same sets have for generation that shows documents. Which of the two texts is meant is known from the
/// inputs alone, which keys are made of, too; so these are not part of a stage's sources, and a test holds them to
/// `generate`'s versions.
const WITH_DOCUMENTS: [(&str, &str); 4] = [
    ("plain", include_str!("plain/documents.jinja")),
    ("alpaca", include_str!("alpaca/documents.jinja")),
    ("chat", include_str!("chat/documents.jinja")),
    ("qa", include_str!("qa/documents.jinja")),
];

impl TemplateRef {
    /// Whether it is to be chosen by what the model brings.
    pub(crate) fn is_auto(&self) -> bool {
        self.0 == AUTO
    }

    /// Itself, or what is chosen for a model that has a chat template (`talks`), or has none.
    pub(crate) fn chosen(&self, talks: bool) -> Self {
        match (self.is_auto(), talks) {
            (false, _) => self.clone(),
            (true, true) => Self("chat".to_owned()),
            (true, false) => Self::default(),
        }
    }

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
        if self.is_auto() {
            // Which of the two it is depends on the model, which is a part of the key, too.
            let both = [self.chosen(false), self.chosen(true)];
            let texts = both.iter().filter_map(|template| template.built_in(purpose));
            let digests: Vec<_> = texts.map(|text| blake3::hash(text.as_bytes()).to_hex().to_string()).collect();
            return Source::Value { label, value: json!(digests) };
        }
        match self.built_in(purpose) {
            Some(text) => Source::Value { label, value: json!(blake3::hash(text.as_bytes()).to_hex().as_str()) },
            None => Source::Text { label, path: (&*self.0).into() },
        }
    }

    /// What is wrong with a template that is a file, as far as it can be told without a row. A file that cannot be read
    /// is told when keys are made.
    pub fn problems(&self, purpose: Purpose, folder: &Path) -> Vec<ParamProblem> {
        if NO_PATHS.contains(&&*self.0) {
            return Vec::new();
        }
        let Some(text) = read_small(&folder.join(&self.0)) else { return Vec::new() };
        let problem =
            |message: String, help: Option<String>| ParamProblem { pointer: "/template".into(), message, help };
        match PromptTemplate::new(&self.0, &text) {
            Ok(template) => {
                let names = template.unknown_names(purpose, &text);
                names.map(|(message, help)| problem(message, Some(help))).collect()
            }
            Err(StageError::User { message, help }) => vec![problem(message, help)],
            Err(error) => vec![problem(error.to_string(), None)],
        }
    }

    /// Reads and compiles the template for generation that shows documents.
    ///
    /// # Errors
    /// As [`TemplateRef::load`]; the file shows no `passages`.
    pub(crate) fn load_with_documents(&self, base_dir: &Path) -> Result<PromptTemplate, StageError> {
        if let Some((name, text)) = WITH_DOCUMENTS.iter().find(|(name, _)| *name == self.0) {
            return PromptTemplate::new(name, text);
        }
        let template = self.load(Purpose::Generate, base_dir)?;
        if template.uses("passages") {
            return Ok(template);
        }
        Err(StageError::user_help(
            format!("`documents` are connected, and the template `{}` does not show them", self.0),
            "show the document that an attempt is about: {% for p in passages %}Passage: {{ p.text }}{% endfor %}",
        ))
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
                    "`template` is auto, plain, alpaca, chat, qa, or the path of a file relative to the one that \
                     names it",
                )
            });
            read?.into()
        };
        PromptTemplate::new(&self.0, &text)
    }
}

/// The text of a regular file of at most a mebibyte.
fn read_small(path: &Path) -> Option<String> {
    const MOST: u64 = 1 << 20;
    let small = std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= MOST);
    small.then(|| std::fs::read_to_string(path).ok())?
}

#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod tests;
