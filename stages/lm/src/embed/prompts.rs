//! What a model of sentence-transformers wants in front of texts: the `prompts` of its
//! `config_sentence_transformers.json`.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{EmbedError, read_if_there};
use crate::origin::files::PROMPTS;

/// The prompts that a model names.
#[derive(Debug, Default, Deserialize)]
pub struct Prompts {
    #[serde(default)]
    prompts: BTreeMap<String, String>,
    #[serde(default)]
    default_prompt_name: Option<String>,
}

/// What a text is to a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is searched for.
    Query,
    /// It is found.
    Document,
}

impl Prompts {
    /// Those in a model's folder; none where it has no such file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(dir: &Path) -> Result<Self, EmbedError> {
        Ok(read_if_there(dir.join(PROMPTS))?.unwrap_or_default())
    }

    /// What stands in front of a text, as `encode_query` and `encode_document` of sentence-transformers choose it.
    pub fn of(&self, role: Role) -> &str {
        let names: &[&str] = match role {
            Role::Query => &["query"],
            Role::Document => &["document", "passage", "corpus"],
        };
        let mut named = names.iter().copied().chain(self.default_prompt_name.as_deref());
        named.find_map(|name| self.prompts.get(name)).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_those_of_their_role() {
        let of = |json: &str| -> Prompts { serde_json::from_str(json).unwrap() };
        let e5 = of(r#"{"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": null}"#);
        assert_eq!((e5.of(Role::Query), e5.of(Role::Document)), ("query: ", "passage: "));
        let other = of(r#"{"prompts": {"s": "embed: "}, "default_prompt_name": "s", "__version__": {}}"#);
        assert_eq!((other.of(Role::Query), other.of(Role::Document)), ("embed: ", "embed: "));
        assert_eq!(of("{}").of(Role::Query), "");
    }
}
