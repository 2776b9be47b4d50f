//! From any text to a prompt: as a template of prompts, and as a model's chat template.
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz template`

#![no_main]

use libfuzzer_sys::fuzz_target;
use pipe_lm::{
    chat::{ChatOptions, ChatTemplate, Message},
    tokenizer::SpecialTokens,
};
use pipe_stages::prompts::{Demonstration, Passage, PromptContext, PromptTemplate};

// Panics that are caught where they are expected are no findings; others still end the process.
fuzz_target!(init: drop(std::panic::take_hook()), |text: &str| {
    let passages = [Passage { id: "1".to_owned(), text: "x y".to_owned(), score: 0.5 }];
    let context = PromptContext {
        demonstrations: vec![Demonstration { instruction: "a", input: "", output: Some("b") }; 3],
        passages: &passages,
        instruction: Some("{{ c }}"),
        input: "d",
        ..PromptContext::default()
    };
    if let Ok(template) = PromptTemplate::new("any", text) {
        let _ = template.render(&context);
        let _ = template.stop(&context);
        let _ = template.training_text(&context, "e", None);
        template.unknown_names(text).for_each(drop);
    }
    let turns = [Message::new("system", "S"), Message::new("user", "U"), Message::new("assistant", "A")];
    let _ = ChatTemplate::new(text, SpecialTokens::default())
        .and_then(|template| template.conversation(&turns, &ChatOptions::default()));
});
