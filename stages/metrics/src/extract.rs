//! The part of an answer that is scored.

use std::borrow::Cow;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which of several matches counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExtractMatch {
    /// The first one.
    #[default]
    First,
    /// The last one: what a model comes to in the end.
    Last,
}

impl ExtractMatch {
    /// Whether it is the usual one.
    pub fn is_first(&self) -> bool {
        *self == Self::First
    }
}

/// Takes out of an answer what a regular expression finds, as lm-evaluation-harness's filter `regex` does.
#[derive(Debug, Clone)]
pub struct Extract {
    regex: Regex,
    which: ExtractMatch,
}

/// Text that is no regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no regular expression: {0}")]
pub struct BadExtract(String);

impl Extract {
    /// # Errors
    /// `regex` is no regular expression, or would need too much memory.
    pub fn new(regex: &str, which: ExtractMatch) -> Result<Self, BadExtract> {
        let regex = Regex::new(regex).map_err(|error| {
            // The parser draws a picture of several lines; its last one says what is wrong.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            BadExtract(last.trim_start_matches("error: ").to_owned())
        })?;
        Ok(Self { regex, which })
    }

    /// What is found: the text of the only group; of several groups that of the first one that holds something; of an
    /// expression without groups the whole match. `None` where nothing matches.
    pub fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        let mut all = self.regex.captures_iter(text);
        let found = match self.which {
            ExtractMatch::First => all.next(),
            ExtractMatch::Last => all.last(),
        }?;
        let group = |i: usize| found.get(i).map(|group| group.as_str());
        let text = match found.len() {
            1 => group(0),
            2 => group(1).or(Some("")),
            groups => (1..groups).filter_map(group).find(|text| !text.is_empty()),
        };
        text.map(str::trim)
    }

    /// What exactly is taken, for signatures.
    pub fn signature(&self) -> Cow<'static, str> {
        let which = if self.which.is_first() { "first" } else { "last" };
        // Signatures are told apart by `; ` and their parts by `|`.
        let regex = self.regex.as_str().replace("; ", ";\\x20").replace('|', "¦");
        format!("extract:{which} /{regex}/").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'t>(regex: &str, which: ExtractMatch, text: &'t str) -> Option<&'t str> {
        Extract::new(regex, which).unwrap().find(text)
    }

    #[test]
    fn groups_are_taken_as_the_harness_takes_them() {
        let (first, last) = (ExtractMatch::First, ExtractMatch::Last);
        let sum = r"#### (\-?[0-9\.\,]+)";
        assert_eq!(found(sum, first, "so #### 1,2 and #### 42"), Some("1,2"));
        assert_eq!(found(sum, last, "so #### 1,2 and #### 42"), Some("42"));
        assert_eq!(found(sum, first, "42"), None);
        assert_eq!(found("[a-z]+", last, "12 ab cd"), Some("cd"));
        assert_eq!(found("(x)|(y+)", first, "a yy"), Some("yy"));
        assert_eq!(found("(x*)(y*)", first, "a"), None, "groups that hold nothing");
        assert_eq!(found("a(x)?", first, "ab"), Some(""), "the only group holds nothing");
        assert_eq!(found("(?s)is(.*)", first, "it is\n so "), Some("so"));
    }

    #[test]
    fn what_is_no_expression_is_refused_in_one_line() {
        let error = Extract::new("(a", ExtractMatch::First).unwrap_err().to_string();
        assert_eq!(error, "it is no regular expression: unclosed group");
        let error = Extract::new("a(?=b)", ExtractMatch::First).unwrap_err().to_string();
        assert!(error.contains("look-around"), "{error}");
    }
}
