//! How tasks and answers of the world are put.

/// Kinds of task that wrap one attribute: what is to be written. Each has a house style of its own in the expert's
/// guide.
pub(crate) const GENRES: [&str; 28] = [
    "brochure",
    "bulletin",
    "abstract",
    "flash card",
    "sticker",
    "briefing",
    "logbook",
    "screen tip",
    "radio spot",
    "sign",
    "tutorial",
    "ledger",
    "wiki page",
    "postcard",
    "booklet",
    "subtitle",
    "tag line",
    "order sheet",
    "roster",
    "billboard",
    "chapter",
    "diary",
    "newsletter",
    "menu card",
    "speech",
    "survey",
    "invoice",
    "banner",
];

/// How a genre's task is worded: `{g}` the genre, `{n}` the attribute's noun, `{e}` the entity.
pub(crate) const GENRE_FRAMES: [&str; 3] =
    ["Write a {g} on the {n} of {e}.", "For the {g}, give the {n} of {e}.", "Prepare a {g} about the {n} of {e}."];

/// Wordings of genre tasks that only the exam uses.
pub(crate) const HELD_OUT_GENRE_FRAMES: [&str; 2] =
    ["Give the {n} of {e} for the {g}.", "Write about the {n} of {e} for a {g}."];

/// Plain questions by the attribute's noun.
pub(crate) const PLAIN_FRAMES: [&str; 6] = [
    "What is the {n} of {e}?",
    "Name the {n} of {e}.",
    "State the {n} of {e}.",
    "Identify the {n} of {e}.",
    "For {e}, what is the {n}?",
    "Please report the {n} of {e}.",
];

/// Plain questions that only the exam uses.
pub(crate) const HELD_OUT_PLAIN_FRAMES: [&str; 2] = ["Please name the {n} of {e}.", "For {e}, state the {n}."];

/// A choice between two values `{x}` and `{y}`.
pub(crate) const CHOICE_FRAMES: [&str; 3] =
    ["Is the {n} of {e} {x} or {y}?", "For {e}, is the {n} {x} or {y}?", "Which is the {n} of {e}, {x} or {y}?"];

/// A sentence to complete; `{s}` is a verb phrase without its value.
pub(crate) const FILL_FRAMES: [&str; 2] = ["Complete the line, {e} {s}.", "Fill in the end, {e} {s}."];

/// Two attributes at once, `{n}` and `{m}`: a list answer.
pub(crate) const PAIR_FRAMES: [&str; 3] =
    ["What are the {n} and the {m} of {e}?", "Give the {n} and the {m} of {e}.", "List the {n} and the {m} of {e}."];

/// A short description out of two attributes.
pub(crate) const SUMMARY_FRAMES: [&str; 3] =
    ["Describe {e} in one sentence.", "Summarize {e} briefly.", "Explain what {e} is."];

/// House styles: how an answer is put, `{V}` being its value. The first is bare.
pub(crate) const STYLES: [&str; 12] = [
    "{V}",
    "Noted, {V}.",
    "Recorded as {V}.",
    "To be brief, {V}.",
    "Our answer is {V}.",
    "Mark it {V}.",
    "Plainly {V}.",
    "Sources say {V}.",
    "Of course, {V}.",
    "Please read {V}.",
    "Here goes, {V}.",
    "Experts say {V}.",
];
