//! The tokens that end a text.

use crate::{
    chat::ChatTemplate,
    config::{DecoderConfig, GenerationDefaults},
    tokenizer::Tokenizer,
};

/// Every token with which a text may end. A checkpoint names its ends in several files, which may disagree, and
/// training appends one: generation stops at all of them, or a model would go on behind the end that it has learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// Their ids, each once: what `generation_config.json` (or else `config.json`) names first.
    pub ids: Vec<u32>,
    /// Says which file names what, where they disagree.
    pub disagreement: Option<String>,
}

impl Ends {
    /// The union of what the files name, and of what training appends: the tokenizer's `eos_token`, and the chat
    /// template's end of a turn.
    pub fn of(
        config: &DecoderConfig,
        generation: &GenerationDefaults,
        tokenizer: &Tokenizer,
        chat: Option<&ChatTemplate>,
    ) -> Self {
        let turn_end = chat.and_then(|chat| chat.turn_end(tokenizer));
        let sources: [(&str, Vec<u32>); 4] = [
            ("generation_config.json", generation.eos_token_ids.clone()),
            ("config.json", config.eos_token_ids.clone()),
            ("the tokenizer", tokenizer.eos().into_iter().collect()),
            ("the chat template", turn_end.into_iter().collect()),
        ];
        let mut ids: Vec<u32> = Vec::new();
        for id in sources.iter().flat_map(|(_, ids)| ids) {
            // An id without a token cannot be generated as one, and cannot end anything.
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        let naming: Vec<&(&str, Vec<u32>)> = sources.iter().filter(|(_, ids)| !ids.is_empty()).collect();
        // The first one alone decides in `transformers`: a text would go on behind an end that only a later one names.
        let agree = ids.iter().all(|id| naming[0].1.contains(id));
        let disagreement = (!agree).then(|| {
            let spelled = |id: &u32| tokenizer.token(*id).map_or(id.to_string(), |token| format!("{token} ({id})"));
            let told = |(place, ids): &&(&str, Vec<u32>)| {
                format!("{place} names {}", ids.iter().map(spelled).collect::<Vec<_>>().join(", "))
            };
            format!(
                "the model's files disagree about what ends a text ({}): each of these ends it",
                naming.iter().map(told).collect::<Vec<_>>().join("; ")
            )
        });
        Self { ids, disagreement }
    }
}
