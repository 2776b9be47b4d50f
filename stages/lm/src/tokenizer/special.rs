//! `tokenizer_config.json`: the names of the special tokens and the chat template.

use serde::Deserialize;

use super::TokenizerError;
use crate::folder::Folder;

/// Special tokens by role, in their spelling.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpecialTokens {
    /// Begins a text.
    pub bos_token: Option<String>,
    /// Ends a text.
    pub eos_token: Option<String>,
    /// Fills up.
    pub pad_token: Option<String>,
    /// Stands for what the vocabulary lacks.
    pub unk_token: Option<String>,
}

impl SpecialTokens {
    /// The roles that have a token.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("bos_token", &self.bos_token),
            ("eos_token", &self.eos_token),
            ("unk_token", &self.unk_token),
            ("pad_token", &self.pad_token),
        ]
        .into_iter()
        .filter_map(|(role, token)| Some((role, token.as_deref()?)))
    }
}

/// What `tokenizer_config.json` says besides what `tokenizer.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenizerConfig {
    /// Special tokens by role.
    pub special: SpecialTokens,
    /// The default chat template, in Jinja.
    pub chat_template: Option<String>,
}

/// A token is its spelling, or an object that holds it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "neither a text nor an object with `content`")]
enum Token {
    Text(String),
    Object { content: String },
}

impl Token {
    fn text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { content: text } => text,
        }
    }
}

/// A template, or several by name of which `default` counts.
#[derive(Deserialize)]
#[serde(untagged, expecting = "neither a text nor a list of templates with names")]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

#[derive(Deserialize)]
struct Raw {
    bos_token: Option<Token>,
    eos_token: Option<Token>,
    pad_token: Option<Token>,
    unk_token: Option<Token>,
    chat_template: Option<Templates>,
}

impl TokenizerConfig {
    /// Reads `tokenizer_config.json` and, for special tokens it does not name, `special_tokens_map.json`; both may be
    /// missing. A `chat_template.jinja` beside them takes precedence over a template inside.
    ///
    /// # Errors
    /// A file exists but cannot be read or parsed.
    pub fn from_dir<'a>(dir: impl Into<Folder<'a>>) -> Result<Self, TokenizerError> {
        let dir = dir.into();
        let mut config = read(dir, "tokenizer_config.json")?.unwrap_or_default();
        if let Some(map) = read(dir, "special_tokens_map.json")? {
            let special = &mut config.special;
            special.bos_token = special.bos_token.take().or(map.special.bos_token);
            special.eos_token = special.eos_token.take().or(map.special.eos_token);
            special.pad_token = special.pad_token.take().or(map.special.pad_token);
            special.unk_token = special.unk_token.take().or(map.special.unk_token);
        }
        if let Some(template) = text(dir, "chat_template.jinja")? {
            config.chat_template = Some(template);
        }
        Ok(config)
    }
}

fn text(dir: Folder<'_>, name: &str) -> Result<Option<String>, TokenizerError> {
    match dir.text(name) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Read { path: dir.place(name), source }),
    }
}

fn read(dir: Folder<'_>, name: &str) -> Result<Option<TokenizerConfig>, TokenizerError> {
    let Some(text) = text(dir, name)? else { return Ok(None) };
    let raw: Raw =
        crate::json::parse(&text).map_err(|source| TokenizerError::Config { path: dir.place(name), source })?;
    let token = |t: Option<Token>| t.map(Token::text);
    Ok(Some(TokenizerConfig {
        special: SpecialTokens {
            bos_token: token(raw.bos_token),
            eos_token: token(raw.eos_token),
            pad_token: token(raw.pad_token),
            unk_token: token(raw.unk_token),
        },
        chat_template: raw.chat_template.and_then(|templates| match templates {
            Templates::One(template) => Some(template),
            Templates::Named(all) => all.into_iter().find(|t| t.name == "default").map(|t| t.template),
        }),
    }))
}
