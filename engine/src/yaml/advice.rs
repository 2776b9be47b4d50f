//! What to do about a text that is no YAML.

/// Help for a complaint of the parser's about the text at `at`.
pub(super) fn help(text: &str, at: usize, complaint: &str) -> Option<&'static str> {
    let line_start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let indent = text[line_start..].split(|c: char| c != ' ' && c != '\t').next().unwrap_or("");
    let rest = &text[at..];
    if indent.contains('\t') {
        Some("indent with spaces; YAML allows no tabs there")
    } else if rest.starts_with('{') && text[..at].ends_with('$') {
        Some("quote it: \"${...}\"; between `{` and `}` a plain text cannot hold a `{`")
    } else if rest.starts_with(['@', '`', '%']) {
        Some("a text that begins with `@`, `` ` `` or `%` must be quoted")
    } else {
        hint(complaint)
    }
}

/// What to do about the parser's commoner complaints.
fn hint(complaint: &str) -> Option<&'static str> {
    const HINTS: [(&str, &str); 5] = [
        (
            "mapping values are not allowed",
            "a text that contains `: ` must be quoted; otherwise look at the indentation",
        ),
        ("in flow construct", "look for a `{` or `[` before this that is not closed"),
        ("flow", "look for a `{`, `[` or quote that is not closed, or for a missing comma"),
        ("expected key", "the keys of a mapping begin in the same column; look at the indentation"),
        ("unknown anchor", "an alias `*name` stands for an `&name` before it; quote a text that begins with `*`"),
    ];
    HINTS.iter().find(|(part, _)| complaint.contains(part)).map(|&(_, hint)| hint)
}
