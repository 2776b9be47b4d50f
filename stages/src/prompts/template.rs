//! A compiled prompt template.

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, value::Serde};
use pipe_engine::{
    context::{CancelToken, causes},
    diag::one_of,
    kind::StageError,
};
use pipe_lm::{
    chat::{ChatOptions, ChatTemplate, Message},
    generate::Prompt,
    template as bounded,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{ChatDate, Purpose, tested::untested};

/// An instruction that the prompt shows, with its answer where there is one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Demonstration<'a> {
    /// The instruction.
    pub instruction: &'a str,
    /// What it is about; may be empty.
    pub input: &'a str,
    /// The answer; `None` where answers are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<&'a str>,
    /// What it is about, where documents are shown; else empty.
    pub passages: &'a [Passage],
}

/// A retrieved passage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// The document's id in the corpus.
    pub id: String,
    /// Its text.
    pub text: String,
    /// How well it fits; the scale depends on the method.
    pub score: f64,
}

/// What a template sees; see the module's documentation.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PromptContext<'a> {
    /// The parameter `domain`.
    pub domain: &'a str,
    /// In prompt order.
    pub demonstrations: Vec<Demonstration<'a>>,
    /// Best first.
    pub passages: &'a [Passage],
    /// What is to be answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<&'a str>,
    /// What the instruction is about; may be empty.
    pub input: &'a str,
    /// The answer, where the finished text is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<&'a str>,
    /// Whether any seed has an input.
    pub with_inputs: bool,
}

/// A rendered prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rendered {
    /// A text to continue.
    Text(String),
    /// A conversation.
    Chat(Vec<Message>),
}

impl Rendered {
    /// As the language-model crate takes it.
    pub fn into_prompt(self) -> Prompt {
        match self {
            Self::Text(text) => Prompt::Text(text),
            Self::Chat(messages) => Prompt::Chat(messages),
        }
    }
}

/// A prompt and its completion, as texts for training, to be tokenised together; loss falls on the completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingText {
    /// What the model is given.
    pub prompt: String,
    /// What it is to write.
    pub completion: String,
    /// Whether the tokenizer adds what it adds at the start of a document (a chat template writes that itself).
    pub add_special_tokens: bool,
}

/// Stands at the beginning of a turn, in front of its role, and between role and content. Private-use characters, which
/// no text holds by accident; where one does, it is left out.
const TURN: char = '\u{f8f0}';
const NAME: &str = "template";

/// A template that fails on so many rows in succession, and on no other, is wrong itself.
pub(crate) const FAILED_AT_MOST: usize = 32;

/// A compiled template.
#[derive(Debug)]
pub struct PromptTemplate {
    environment: Environment<'static>,
    name: String,
    pub(super) chat_date: ChatDate,
    cancel: CancelToken,
}

/// What a template sees that serves every purpose; what is not of its own is empty.
const SEEN: [&str; 4] = ["demonstrations", "passages", "input", "domain"];

fn turn(role: &str) -> Result<Value, Error> {
    match role {
        "system" | "user" | "assistant" => Ok(Value::from_safe_string(format!("{TURN}{role}{TURN}"))),
        other => {
            let problem = format!("turn(\"{other}\"): a turn is of `system`, `user` or `assistant`");
            Err(Error::new(ErrorKind::InvalidOperation, problem))
        }
    }
}

impl PromptTemplate {
    /// Compiles a template; `name` stands in messages.
    ///
    /// # Errors
    /// It is not a template.
    pub fn new(name: &str, text: &str) -> Result<Self, StageError> {
        let mut environment = bounded::environment().map_err(|e| StageError::other("set up templates", e))?;
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_function("turn", |role: String| turn(&role));
        // Values are written as they are; only the marks of turns, should a text hold them, are left out.
        environment.set_formatter(|out, state, value| match value.as_str() {
            Some(text) if !value.is_safe() && text.contains(TURN) => {
                minijinja::escape_formatter(out, state, &Value::from(text.replace(TURN, "")))
            }
            Some(_) => minijinja::escape_formatter(out, state, value),
            // A namespace can hold itself, and what is nested is written by recursion.
            None => {
                bounded::check_depth(state, value)?;
                minijinja::escape_formatter(out, state, value)
            }
        });
        let mut template =
            Self { environment, name: name.to_owned(), chat_date: ChatDate::default(), cancel: CancelToken::default() };
        let added = bounded::add(&mut template.environment, NAME, text.to_owned());
        added.map_err(|e| template.error("compile", &e))?;
        Ok(template)
    }

    /// With the date that a model's chat template may print.
    #[must_use]
    pub fn with_chat_date(mut self, date: Option<ChatDate>) -> Self {
        self.chat_date = date.unwrap_or_default();
        self
    }

    /// With the token that ends the stage: a rendering takes a second at most, and there may be many.
    #[must_use]
    pub fn with_cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = token.clone();
        self
    }

    /// Whether the template uses a variable of that name.
    pub(crate) fn uses(&self, name: &str) -> bool {
        let template = self.environment.get_template(NAME);
        template.is_ok_and(|template| template.undeclared_variables(false).contains(name))
    }

    /// The names that the template uses and that a template of this purpose does not see, or sees at times only, unless
    /// it asks whether they are defined: what is wrong, and what to do.
    pub fn unknown_names(&self, purpose: Purpose, text: &str) -> impl Iterator<Item = (String, String)> {
        let mut names = untested(&self.environment, NAME, text);
        let seen = |name: &str| {
            let own = purpose.variables().iter().any(|variable| variable.name == name && !variable.tested);
            own || SEEN.contains(&name) || name == "with_inputs"
        };
        names.retain(|name| !seen(name));
        names.into_iter().map(move |name| {
            let variables = purpose.variables().iter();
            let other = match purpose {
                Purpose::Generate => Purpose::Respond,
                Purpose::Respond => Purpose::Generate,
            };
            if variables.clone().any(|variable| variable.tested && variable.name == name) {
                let message = format!(
                    "the template `{}` uses `{name}`, which is not there when the model is to write",
                    self.name
                );
                let help = format!("ask for it first: {{% if {name} is defined %}}{{{{ {name} }}}}{{% endif %}}");
                return (message, help);
            }
            let message = if other.variables().iter().any(|variable| variable.name == name) {
                let wanted = match purpose {
                    Purpose::Generate => "instructions are",
                    Purpose::Respond => "an answer is",
                };
                format!("the template `{}` uses `{name}`, which there is none of where {wanted} wanted", self.name)
            } else {
                format!("the template `{}` uses `{name}`, which no template sees", self.name)
            };
            let help = one_of(&name, "a template sees", variables.map(|variable| variable.name)).unwrap_or_default();
            (message, help)
        })
    }

    /// Whether it makes a conversation of the least that there can be.
    pub(crate) fn converses(&self) -> bool {
        let context = PromptContext { instruction: Some("x"), ..PromptContext::default() };
        matches!(self.render(&context), Ok(Rendered::Chat(_)))
    }

    fn error(&self, action: &str, error: &Error) -> StageError {
        let line = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
        let detail = error.detail().map(|d| format!(": {d}")).unwrap_or_default();
        StageError::user_help(
            format!("failed to {action} the template `{}`{line}: {}{detail}", self.name, error.kind()),
            "`pipe kinds KIND` lists what its templates see",
        )
    }

    fn run(&self, context: &PromptContext<'_>) -> Result<(String, Option<Value>), StageError> {
        if self.cancel.reason().is_some() {
            return Err(StageError::Cancelled);
        }
        let template = self.environment.get_template(NAME).map_err(|e| self.error("find", &e))?;
        let render = || {
            let captured = template.render_captured(Value::from(Serde(context)))?;
            let stop = captured.state().lookup("stop");
            stop.iter().try_for_each(|stop| bounded::check_depth(captured.state(), stop))?;
            Ok((captured.into_output(), stop))
        };
        bounded::with_room(&template, render).map_err(|e| self.error("render", &e))
    }

    /// The prompt.
    ///
    /// # Errors
    /// The template fails (an undefined variable), or its text has something in front of the first turn.
    pub fn render(&self, context: &PromptContext<'_>) -> Result<Rendered, StageError> {
        let (text, _) = self.run(context)?;
        let Some((before, turns)) = text.split_once(TURN) else { return Ok(Rendered::Text(text)) };
        if !before.trim().is_empty() {
            return Err(StageError::user_help(
                format!("the template `{}` has text in front of its first turn: {:?}", self.name, before.trim()),
                "begin with {{ turn(\"user\") }} or {{ turn(\"system\") }}",
            ));
        }
        let mut messages = Vec::new();
        let mut parts = turns.split(TURN);
        while let (Some(role), Some(content)) = (parts.next(), parts.next()) {
            messages.push(Message::new(role, content.trim()));
        }
        // An empty turn of the assistant at the end is where the model begins.
        if messages.last().is_some_and(|last| last.role == "assistant" && last.content.is_empty()) {
            messages.pop();
        }
        Ok(Rendered::Chat(messages))
    }

    /// The strings that end the model's text, as the template sets them.
    ///
    /// # Errors
    /// The template fails, or its `stop` is not a list of texts.
    pub fn stop(&self, context: &PromptContext<'_>) -> Result<Vec<String>, StageError> {
        let (_, stop) = self.run(context)?;
        let Some(stop) = stop.filter(|stop| !stop.is_undefined() && !stop.is_none()) else { return Ok(Vec::new()) };
        Vec::<String>::deserialize(stop).map_err(|e| {
            StageError::user_help(
                format!("`stop` in the template `{}` is not a list of texts: {e}", self.name),
                "write {% set stop = [\"\\n\"] %}",
            )
        })
    }

    /// [`Self::stop`] of all `rows` of the input `port`. They are answered in one queue, with one set of strings: if
    /// that were some row's own, an answer would depend on which rows are still to do.
    ///
    /// # Errors
    /// As [`Self::stop`]; the strings of two rows differ.
    pub fn common_stop<'a, T: Sync>(
        &self,
        port: &str,
        rows: &'a [T],
        context: impl Fn(&'a T) -> PromptContext<'a> + Sync,
    ) -> Result<Vec<String>, StageError> {
        let Some((first, common)) = self.first_stop(rows, &context)? else { return Ok(Vec::new()) };
        let differs = |(row, asked): (usize, &'a T)| match self.stop(&context(asked)) {
            Ok(stop) if stop == common => None,
            Ok(stop) => Some(StageError::user_help(
                format!(
                    "the template `{}` sets `stop` to {stop:?} for row {} of the input `{port}`, and to {common:?} for \
                     row {}",
                    self.name,
                    row + 1,
                    first + 1
                ),
                "set the same strings for every row, or give the parameter `stop`, which replaces them",
            )),
            Err(StageError::Cancelled) => Some(StageError::Cancelled),
            // That is the row's own affair.
            Err(_) => None,
        };
        rows.par_iter().enumerate().find_map_first(differs).map_or(Ok(common), Err)
    }

    /// The first row that the template can be rendered for, and its [`Self::stop`]; `None` where there are no rows.
    ///
    /// # Errors
    /// It fails on all rows, or on the first [`FAILED_AT_MOST`]: then it is wrong, and not the rows.
    pub(crate) fn first_stop<'a, T>(
        &self,
        rows: &'a [T],
        context: impl Fn(&'a T) -> PromptContext<'a>,
    ) -> Result<Option<(usize, Vec<String>)>, StageError> {
        let mut failure = None;
        for (row, asked) in rows.iter().enumerate().take(FAILED_AT_MOST) {
            match self.stop(&context(asked)) {
                Ok(stop) => return Ok(Some((row, stop))),
                Err(StageError::Cancelled) => return Err(StageError::Cancelled),
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// The prompt for `context` and the completion with which the model is to answer it. Conversations are rendered by
    /// the model's `chat` template.
    ///
    /// # Errors
    /// The template fails; the finished text does not begin with the prompt; a conversation without a chat template.
    pub fn training_text(
        &self,
        context: &PromptContext<'_>,
        output: &str,
        chat: Option<&ChatTemplate>,
    ) -> Result<TrainingText, StageError> {
        let prompt = self.render(&PromptContext { output: None, ..context.clone() })?;
        let whole = self.render(&PromptContext { output: Some(output), ..context.clone() })?;
        let (prompt, whole, add_special_tokens) = match (prompt, whole) {
            (Rendered::Text(prompt), Rendered::Text(whole)) => (prompt, whole, true),
            (Rendered::Chat(prompt), Rendered::Chat(whole)) => {
                let chat = chat.ok_or_else(|| self.without_chat())?;
                let render = |messages: &[Message], add_generation_prompt| {
                    let date = self.chat_date.0;
                    let options = ChatOptions { add_generation_prompt, date, ..ChatOptions::default() };
                    let failed =
                        |e| StageError::user(format!("failed to {}", causes(&pipe_lm::Error::from(e)).join(": ")));
                    chat.conversation(messages, &options).map_err(failed)
                };
                let bare = render(&prompt, false)?;
                let (prompt, whole) = (render(&prompt, true)?, render(&whole, false)?);
                let shared = beginning_in_common(&prompt, &whole);
                // R1's template opens a thought where the model is to begin, and has none in front of a finished
                // answer: what both have in common is then the prompt, as in TRL, as long as that is all of the
                // conversation before the answer.
                let prompt = if shared.len() >= bare.len() { shared.to_owned() } else { prompt };
                (prompt, whole, false)
            }
            _ => return Err(self.not_a_prefix()),
        };
        match whole.strip_prefix(&*prompt) {
            Some(completion) => Ok(TrainingText { completion: completion.to_owned(), prompt, add_special_tokens }),
            None => Err(self.not_a_prefix()),
        }
    }

    /// A conversation is asked of a model that has no chat template.
    pub(crate) fn without_chat(&self) -> StageError {
        StageError::user_help(
            format!("the template `{}` makes a conversation, and the model has no chat template", self.name),
            "use `template: plain` or `alpaca`, or a model that brings a chat template",
        )
    }

    fn not_a_prefix(&self) -> StageError {
        StageError::user_help(
            format!("the template `{}` changes its prompt when `output` is given", self.name),
            "with `output` defined it must render the same prompt, followed by the answer",
        )
    }
}

/// The longest text with which both begin.
fn beginning_in_common<'a>(a: &'a str, b: &str) -> &'a str {
    let same = a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y);
    &a[..same.map_or(a.len().min(b.len()), |((at, _), _)| at)]
}
