//! Chat templates: the Jinja program in a checkpoint that turns messages into one prompt.
//!
//! Rendering follows `transformers`' `apply_chat_template`: `trim_blocks` and `lstrip_blocks`, Python's string methods,
//! a `tojson` that spells JSON as Python does, `raise_exception`, and `{% generation %}` blocks, whose content is kept.
//! Only the date is different: `strftime_now` tells a date that is a parameter, never the clock's, so that a prompt
//! does not change overnight by itself.

mod date;
mod json;
mod python;
mod turns;

use std::borrow::Cow;

use minijinja::{Environment, ErrorKind, Value, value::Serde};
use serde::{Deserialize, Serialize};

pub use date::Date;
pub(crate) use python::method as python_method;
pub use turns::Turns;
use turns::generation_blocks;

use crate::{
    folder::Folder,
    template,
    tokenizer::{SpecialTokens, Tokenizer, TokenizerConfig, TokenizerError},
};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or whatever the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// How a conversation is rendered.
#[derive(Debug, Clone, Default)]
pub struct ChatOptions {
    /// Whether to end with the header of the assistant's turn, so that the model answers.
    pub add_generation_prompt: bool,
    /// What `strftime_now` reports.
    pub date: Date,
    /// Further variables of the template, such as `tools` or `enable_thinking`.
    pub variables: serde_json::Map<String, serde_json::Value>,
}

/// A compiled chat template with the special tokens that it refers to.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    special: SpecialTokens,
}

const NAME: &str = "chat_template";
/// With marks around what the assistant says.
const MARKED: &str = "chat_template with marks";

impl ChatTemplate {
    /// Reads the template of a checkpoint directory; `None` where it has none (a base model).
    ///
    /// # Errors
    /// A file cannot be read, or the template is not valid Jinja.
    pub fn from_dir<'a>(dir: impl Into<Folder<'a>>) -> Result<Option<Self>, ChatError> {
        let config = TokenizerConfig::from_dir(dir)?;
        config.chat_template.map(|source| Self::new(&source, config.special)).transpose()
    }

    /// Compiles a template.
    ///
    /// # Errors
    /// It is not valid Jinja.
    pub fn new(source: &str, special: SpecialTokens) -> Result<Self, ChatError> {
        let mut environment = template::environment().map_err(ChatError::Template)?;
        environment.set_unknown_method_callback(python::method);
        environment.set_formatter(python::format);
        environment.add_filter("tojson", json::tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, RAISED).with_source(Raised(message)))
        });
        if let Cow::Owned(marked) = generation_blocks(source, true) {
            template::add(&mut environment, MARKED, marked).map_err(ChatError::Template)?;
        }
        let plain = generation_blocks(source, false).into_owned();
        template::add(&mut environment, NAME, plain).map_err(ChatError::Template)?;
        Ok(Self { environment, special })
    }

    /// [`ChatTemplate::render`] of messages whose system text goes in front of the first user turn where the template
    /// has no turn for it: where it refuses the conversation with one, or leaves its text out.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn conversation(&self, messages: &[Message], options: &ChatOptions) -> Result<String, ChatError> {
        self.told(messages, options).map(|(text, _)| text)
    }

    /// [`ChatTemplate::conversation`], with the messages as they were rendered.
    fn told<'m>(
        &self,
        messages: &'m [Message],
        options: &ChatOptions,
    ) -> Result<(String, Cow<'m, [Message]>), ChatError> {
        let rendered = self.render(messages, options);
        let as_given = |rendered: Result<String, ChatError>| rendered.map(|text| (text, Cow::Borrowed(messages)));
        let [system, user, rest @ ..] = messages else { return as_given(rendered) };
        if system.role != "system" || user.role != "user" {
            return as_given(rendered);
        }
        match &rendered {
            Ok(text) if text.contains(system.content.trim()) => return as_given(rendered),
            Ok(_) | Err(ChatError::Refused { .. }) => {}
            Err(_) => return as_given(rendered),
        }
        let content = format!("{}\n\n{}", system.content.trim_end(), user.content);
        let folded: Vec<Message> = std::iter::once(Message::new("user", content)).chain(rest.iter().cloned()).collect();
        // What is wrong with more than the system text is told of the conversation as it was given.
        self.render(&folded, options).map(|text| (text, Cow::Owned(folded))).or_else(|_| as_given(rendered))
    }

    /// Why nothing can be asked with it: it fails on a question alone as on one behind a system text. What it refuses
    /// is no failure.
    pub fn failure(&self) -> Option<ChatError> {
        let question = [Message::new("system", "text"), Message::new("user", "question")];
        let options = ChatOptions { add_generation_prompt: true, ..ChatOptions::default() };
        let failed = |messages: &[Message]| match self.render(messages, &options) {
            Err(error @ ChatError::Render(_)) => Some(error),
            _ => None,
        };
        failed(&question).and_then(|_| failed(&question[1..]))
    }

    /// Whether it says itself what the assistant says.
    fn marks_turns(&self) -> bool {
        self.environment.get_template(MARKED).is_ok()
    }

    /// The id of the token with which the template ends the assistant's turn, if it is a special one: a model that was
    /// trained on conversations stops there, whatever its files name as the end of a text.
    pub fn turn_end(&self, tokenizer: &Tokenizer) -> Option<u32> {
        const ANSWER: &str = "answer";
        let turns = [Message::new("user", "question"), Message::new("assistant", ANSWER)];
        let text = self.render(&turns, &ChatOptions::default()).ok()?;
        let (_, behind) = text.rsplit_once(ANSWER)?;
        let first = *tokenizer.encode(behind, false).ok()?.first()?;
        tokenizer.is_special(first).then_some(first)
    }

    /// The prompt of a conversation. Messages may be [`Message`]s or anything that serialises to what the template
    /// reads.
    ///
    /// # Errors
    /// The template refuses the conversation (such as two user turns in a row) or fails.
    pub fn render<M: Serialize>(&self, messages: &[M], options: &ChatOptions) -> Result<String, ChatError> {
        self.render_by(NAME, messages, options)
    }

    /// [`ChatTemplate::render`] with marks around what the assistant says.
    fn render_marked(&self, messages: &[Message], options: &ChatOptions) -> Result<String, ChatError> {
        self.render_by(MARKED, messages, options)
    }

    fn render_by<M: Serialize>(&self, name: &str, messages: &[M], options: &ChatOptions) -> Result<String, ChatError> {
        let mut variables = std::collections::BTreeMap::from([
            ("messages", Value::from(Serde(messages))),
            ("add_generation_prompt", Value::from(options.add_generation_prompt)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ]);
        variables.extend(self.special.named().map(|(role, token)| (role, Value::from(token))));
        let date = options.date;
        variables.insert("strftime_now", Value::from_function(move |format: String| date.strftime(&format)));
        for (name, value) in &options.variables {
            variables.insert(name, Value::from(Serde(value)));
        }
        let template = self.environment.get_template(name).map_err(ChatError::Template)?;
        let variables = Value::from_pairs(variables);
        template::with_room(&template, || template.render(variables))
            .map_err(|error| refusal(&error).unwrap_or(ChatError::Render(error)))
    }
}

const RAISED: &str = "the template raised an exception";

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

/// The message of a `raise_exception`, if that is what happened.
fn refusal(error: &minijinja::Error) -> Option<ChatError> {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(Raised(message)) = cause.downcast_ref() {
            return Some(ChatError::Refused { message: message.clone() });
        }
        next = cause.source();
    }
    None
}

/// Why a conversation could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The files around the template.
    #[error(transparent)]
    Files(#[from] TokenizerError),
    /// The template is not valid Jinja.
    #[error("compile the chat template")]
    Template(#[source] minijinja::Error),
    /// The template called `raise_exception`.
    #[error("render the conversation: the chat template refuses it: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
    /// A turn of the assistant is written in another way when the conversation goes on, and cannot be found.
    #[error(
        "tell what the assistant says in turn {number}: the chat template writes it otherwise when the conversation \
             goes on"
    )]
    Turn {
        /// Which turn, from 1.
        number: usize,
    },
    /// The template failed.
    #[error("render the conversation with the model's chat template")]
    Render(#[source] minijinja::Error),
}
