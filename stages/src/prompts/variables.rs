//! What a template sees, by purpose: for its documentation, and for the check of the names that it uses.

use serde_json::{Value, json};

use super::Purpose;

/// A variable of templates.
pub(super) struct Variable {
    pub name: &'static str,
    /// What it is, for `pipe kinds` and the schema.
    about: &'static str,
    /// Whether it is undefined where the model is to write, so that a template has to ask.
    pub tested: bool,
}

const fn variable(name: &'static str, about: &'static str) -> Variable {
    Variable { name, about, tested: false }
}

const DOMAIN: Variable = variable("domain", "The parameter `domain`; may be empty.");

/// Where instructions are wanted.
const GENERATE: &[Variable] = &[
    variable(
        "demonstrations",
        "The seeds that are shown, in this order: a list of {instruction, input, passages}; `passages` is empty but \
         where `documents` are shown and the seeds have some.",
    ),
    variable("passages", "The document that is shown: a list of {id, text, score}; empty without `documents`."),
    DOMAIN,
    variable("with_inputs", "Whether any seed has an input."),
];

/// Where an answer is wanted.
const RESPOND: &[Variable] = &[
    variable("instruction", "What is to be answered."),
    variable("input", "What the instruction is about; may be empty."),
    variable(
        "demonstrations",
        "Answered instructions that are shown, in order: a list of {instruction, input, output}; empty in `train`.",
    ),
    variable("passages", "The passages that are shown, best first: a list of {id, text, score}; may be empty."),
    DOMAIN,
    Variable {
        name: "output",
        about: "The answer, where the finished text is wanted (`train`); else undefined: test it with `is defined`.",
        tested: true,
    },
];

impl Purpose {
    /// What a template for this sees.
    pub(super) const fn variables(self) -> &'static [Variable] {
        match self {
            Self::Generate => GENERATE,
            Self::Respond => RESPOND,
        }
    }
}

/// The variables as a parameter's schema lists them (`x-variables`).
pub(crate) fn template_variables(purpose: Purpose) -> Value {
    let one = |variable: &Variable| json!({ "name": variable.name, "about": variable.about });
    let turn = json!({
        "name": "turn(role)",
        "about": "Begins a turn of a conversation, of `system`, `user` or `assistant`: a function, for models with a \
            chat template, and servers.",
    });
    let stop = json!({
        "name": "stop",
        "about": "To be set by the template: the strings that end the model's text, `{% set stop = [\"\\n\"] %}`.",
    });
    purpose.variables().iter().map(one).chain([turn, stop]).collect()
}
