//! Which characters of a rendered conversation the assistant says, so that a model is trained on all of its turns.
//!
//! A template with `{% generation %}` blocks says so itself, as `transformers` reads it
//! (`return_assistant_tokens_mask`, which TRL's `assistant_only_loss` asks for). Of any other template, a turn is what
//! follows the prompt that the model would have been given there, up to the prompt of the next turn, as TRL splits a
//! prompt from its completion.

use std::{borrow::Cow, ops::Range};

use super::{ChatError, ChatOptions, ChatTemplate, Message};

/// Stand around what a `{% generation %}` block writes. Private-use characters, which no text holds by accident; where
/// one does, it is left out.
const BEGIN: char = '\u{f8f1}';
const END: char = '\u{f8f2}';

/// What the assistant says in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turns {
    /// The whole conversation.
    pub text: String,
    /// The bytes of it that the assistant says, in order.
    pub spans: Vec<Range<usize>>,
}

/// `{% generation %}` blocks become conditions that always hold, which trim white space in the same way; with
/// `marked`, what they write stands between two marks.
pub(super) fn generation_blocks(source: &str, marked: bool) -> Cow<'_, str> {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    let mut found = false;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start + 2..].find("%}") else { break };
        let tag = &rest[start + 2..start + 2 + length];
        let name = tag.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        plain.push_str(&rest[..start + 2]);
        let blocks = [("generation", "if true", "\u{f8f1}"), ("endgeneration", "endif", "\u{f8f2}")];
        match blocks.into_iter().find(|(of, ..)| *of == name) {
            None => plain.push_str(tag),
            Some((name, becomes, _)) if !marked => plain.push_str(&tag.replace(name, becomes)),
            Some((name, becomes, mark)) => {
                // What the tag trims on either side is outside of the mark.
                let (before, behind) = tag.split_once(name).unwrap_or((tag, ""));
                for part in [before, becomes, " %}{{ '", mark, "' }}{% ", becomes, behind] {
                    plain.push_str(part);
                }
            }
        }
        found |= blocks.iter().any(|(of, ..)| *of == name);
        plain.push_str("%}");
        rest = &rest[start + 2 + length + 2..];
    }
    plain.push_str(rest);
    if found { Cow::Owned(plain) } else { Cow::Borrowed(source) }
}

/// A text without the marks in it, and what stood between them.
fn unmarked(text: &str) -> Turns {
    let mut turns = Turns { text: String::with_capacity(text.len()), spans: Vec::new() };
    let mut begun = None;
    for piece in text.split_inclusive([BEGIN, END]) {
        let bare = piece.trim_end_matches([BEGIN, END]);
        turns.text.push_str(bare);
        match piece[bare.len()..].chars().next() {
            Some(BEGIN) => begun = Some(turns.text.len()),
            Some(_) => turns.spans.extend(begun.take().map(|start| start..turns.text.len())),
            None => {}
        }
    }
    turns.spans.retain(|span| !span.is_empty());
    turns
}

/// How many bytes two texts have in common at their beginnings.
fn in_common(a: &str, b: &str) -> usize {
    let same = a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y);
    same.map_or(a.len().min(b.len()), |((at, _), _)| at)
}

impl ChatTemplate {
    /// A conversation with what the assistant says in it. System text for which the template has no place goes in front
    /// of the first user turn, as in [`ChatTemplate::conversation`].
    ///
    /// # Errors
    /// As [`ChatTemplate::render`]; the template writes a turn in a way that cannot be found again when the
    /// conversation goes on.
    pub fn turns(&self, messages: &[Message], options: &ChatOptions) -> Result<Turns, ChatError> {
        let options = ChatOptions { add_generation_prompt: false, ..options.clone() };
        let clean = |message: &Message| Message::new(&*message.role, message.content.replace([BEGIN, END], ""));
        let messages: Vec<Message> = messages.iter().map(clean).collect();
        let (text, messages) = self.told(&messages, &options)?;
        if self.marks_turns() {
            let marked = unmarked(&self.render_marked(&messages, &options)?);
            // A template that trims what it has written may lose a mark; then it is as if it had none.
            if marked.text == text && !marked.spans.is_empty() {
                return Ok(marked);
            }
        }
        let mut spans: Vec<Range<usize>> = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            if message.role == "assistant" {
                let span = self.turn(&messages, at, &text, &options)?;
                let after_the_last = spans.last().is_none_or(|last| last.end <= span.start);
                if !after_the_last || span.is_empty() {
                    return Err(ChatError::Turn { number: at + 1 });
                }
                spans.push(span);
            }
        }
        Ok(Turns { text, spans })
    }

    /// Where one turn of the assistant stands in the conversation.
    fn turn(
        &self,
        messages: &[Message],
        at: usize,
        whole: &str,
        options: &ChatOptions,
    ) -> Result<Range<usize>, ChatError> {
        const ANSWER: &str = "answer";
        let asked = ChatOptions { add_generation_prompt: true, ..options.clone() };
        let (before, turn) = (&messages[..at], &messages[at]);
        let lost = || ChatError::Turn { number: at + 1 };
        // Some templates write nothing of a conversation that is empty, or refuse it.
        let start = if before.is_empty() {
            0
        } else {
            let bare = self.render(before, options)?;
            let start = in_common(&self.render(before, &asked)?, whole);
            // One that opens a thought where the model begins need not have one in front of a finished answer.
            if start < bare.len() {
                return Err(lost());
            }
            start
        };
        let after = self.render(&messages[..=at], options)?;
        if whole.starts_with(&*after) {
            return Ok(start..after.len());
        }
        // The last turn is written in another way than those before it (without its thoughts): it ends where what
        // stands behind an answer does.
        let answered: Vec<Message> = before.iter().cloned().chain([Message::new(&*turn.role, ANSWER)]).collect();
        let answered = self.render(&answered, options)?;
        let behind = answered.rsplit_once(ANSWER).map(|(_, behind)| behind).filter(|behind| !behind.is_empty());
        let found = behind.and_then(|behind| Some(start + whole[start..].find(behind)? + behind.len()));
        found.map(|end| start..end).ok_or_else(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::SpecialTokens;

    fn said(template: &str, messages: &[(&str, &str)]) -> Vec<String> {
        let template = ChatTemplate::new(template, SpecialTokens::default()).unwrap();
        let messages: Vec<Message> = messages.iter().map(|(role, content)| Message::new(*role, *content)).collect();
        let turns = template.turns(&messages, &ChatOptions::default()).unwrap();
        turns.spans.into_iter().map(|span| turns.text[span].to_owned()).collect()
    }

    const CHAT: [(&str, &str); 4] =
        [("user", "a"), ("assistant", "<think>t</think>b"), ("user", "c"), ("assistant", "<think>u</think>d")];

    #[test]
    fn thoughts_that_are_left_out_of_earlier_turns_lose_no_turn() {
        // As Qwen3 has it: the last answer with its thought, those before it without.
        let qwen = "{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' and not loop.last %}\
                    {{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}<|end|>\n{% endfor %}\
                    {% if add_generation_prompt %}<|assistant|>\n{% endif %}";
        assert_eq!(said(qwen, &CHAT), ["b<|end|>\n", "<think>u</think>d<|end|>\n"]);
    }

    #[test]
    fn marks_of_the_template_count_and_marks_in_texts_do_not() {
        let marked = "{% for m in messages %}{% if m.role == 'assistant' %}A:{% generation %}{{ m.content }};\
                      {% endgeneration %}\n{% else %}{{ m.content }}\n{% endif %}{% endfor %}";
        assert_eq!(said(marked, &CHAT), ["<think>t</think>b;", "<think>u</think>d;"]);
        let forged = format!("x{BEGIN}y{END}");
        assert_eq!(said(marked, &[("user", &forged), ("assistant", &forged)]), ["xy;"]);
    }

    #[test]
    fn a_template_that_cannot_be_followed_is_an_error() {
        let moody = "{% for m in messages %}{{ m.content|upper if messages|length > 2 else m.content }}{% endfor %}";
        let template = ChatTemplate::new(moody, SpecialTokens::default()).unwrap();
        let messages: Vec<Message> = CHAT.iter().map(|(role, content)| Message::new(*role, *content)).collect();
        let error = template.turns(&messages, &ChatOptions::default()).unwrap_err().to_string();
        assert!(error.contains("turn 2"), "{error}");
    }
}
