//! Names of columns.

/// What people and other data sets call our columns.
const NAMES: [(&str, &[&str]); 4] = [
    ("instruction", &["question", "prompt", "query", "task_description", "human", "ask", "q"]),
    ("output", &["answer", "response", "completion", "target", "label", "gold", "solution", "assistant", "a"]),
    ("input", &["context", "passage", "background"]),
    ("text", &["content", "body", "document", "contents", "passage", "article", "page_content", "answer"]),
];

/// What the column of that name is called elsewhere, the likeliest first.
pub(crate) fn called_elsewhere(column: &str) -> &'static [&'static str] {
    NAMES.iter().find(|(name, _)| *name == column).map_or(&[], |(_, others)| others)
}
