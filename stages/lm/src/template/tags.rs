//! The tags of a template, as its lexer finds them: what is too long to be parsed by recursion is refused, and what is
//! set goes through a filter that looks at it.

use std::ops::Range;

use minijinja::{Error, ErrorKind};

/// The filter that what a variable is given goes through.
pub(super) const HELD: &str = "held_by_a_variable";
/// The filter that what an attribute of a namespace is given goes through.
pub(super) const KEPT: &str = "kept_by_a_namespace";

/// Longest template, in bytes; published chat templates have up to 20,000.
const MAX_LENGTH: usize = 1 << 20;
/// Most words in one tag, and most `elif` in a template. Expressions nest no deeper than they are long, and what is
/// nested is walked by recursion.
const MAX_WORDS: usize = 4000;

/// Refuses what cannot be looked at: too long, or too deeply nested.
///
/// # Errors
/// It is.
pub(super) fn check(source: &str) -> Result<(), Error> {
    let refuse = |problem: String| Err(Error::new(ErrorKind::SyntaxError, problem));
    if source.len() > MAX_LENGTH {
        return refuse(format!("it has {} bytes, more than {MAX_LENGTH}", source.len()));
    }
    let mut elifs = 0;
    for inner in tags(source) {
        elifs += usize::from(statement(&source[inner.clone()]).is_some_and(|(name, _)| name == "elif"));
        if words(&source[inner.clone()]) > MAX_WORDS || elifs > MAX_WORDS {
            let line = source[..inner.start].matches('\n').count() + 1;
            return refuse(format!("the tag in line {line} makes it too deeply nested"));
        }
    }
    Ok(())
}

/// The template in which `{% set a = x %}` and `{% set ns.a = x %}` send `x` through [`HELD`] and [`KEPT`]. Its lines
/// are those of `source`.
pub(super) fn guarded(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 256);
    let mut done = 0;
    for inner in tags(source) {
        let text = &source[inner.clone()];
        let Some(value) = statement(text).filter(|(name, _)| *name == "set").and_then(|(_, rest)| assigned(text, rest))
        else {
            continue;
        };
        let filter = if text[..value.start].contains('.') { KEPT } else { HELD };
        out.push_str(&source[done..inner.start + value.start]);
        out.push('(');
        out.push_str(&text[value.clone()]);
        out.push_str(")|");
        out.push_str(filter);
        out.push(' ');
        done = inner.start + value.end;
    }
    out.push_str(&source[done..]);
    out
}

/// The first word of a `{% ... %}`, and where what follows it begins.
fn statement(inner: &str) -> Option<(&str, usize)> {
    let start = inner.len() - inner.trim_start_matches(['-', '+']).trim_start().len();
    let name = inner[start..].split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (!name.is_empty()).then_some((name, start + name.len()))
}

/// The value in `set a = value`, of which what follows `set` begins at `from`; `None` where there is no value.
fn assigned(inner: &str, from: usize) -> Option<Range<usize>> {
    let mut open = 0_i64;
    let (equals, _) = outside_of_texts(&inner[from..]).find(|&(_, c)| {
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open -= 1,
            _ => {}
        }
        c == '=' && open == 0
    })?;
    let start = from + equals + 1;
    // A sign at the end belongs to the tag.
    let end = inner.len() - usize::from(inner.ends_with(['-', '+']));
    (start < end && !inner[start..end].trim().is_empty()).then_some(start..end)
}

/// The characters of a tag that stand in no text, with their places.
pub(super) fn outside_of_texts(inner: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quote, mut escaped) = (None, false);
    inner.char_indices().filter(move |&(_, c)| {
        let outside = quote.is_none();
        match quote {
            Some(open) if c == open && !escaped => quote = None,
            Some(_) => escaped = c == '\\' && !escaped,
            None if matches!(c, '"' | '\'') => (quote, escaped) = (Some(c), false),
            None => {}
        }
        outside
    })
}

/// What stands between `{{` or `{%` and its end, in order; comments and raw blocks hold no tags.
fn tags(source: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at
                + source[at..]
                    .match_indices('{')
                    .map(|(found, _)| found)
                    .find(|found| matches!(source.as_bytes().get(at + found + 1), Some(b'{' | b'%' | b'#')))?;
            let inside = start + 2;
            if source.as_bytes()[start + 1] == b'#' {
                at = source[inside..].find("#}").map_or(source.len(), |end| inside + end + 2);
                continue;
            }
            let is_statement = source.as_bytes()[start + 1] == b'%';
            let end = end(&source[inside..], if is_statement { "%}" } else { "}}" });
            let inner = inside..inside + end;
            at = (inner.end + 2).min(source.len());
            while !source.is_char_boundary(at) {
                at += 1;
            }
            if is_statement && statement(&source[inner.clone()]).is_some_and(|(name, _)| name == "raw") {
                at = end_of_raw(source, at);
            }
            return Some(inner);
        }
    })
}

/// Where a tag ends: at `close` outside of texts and brackets.
fn end(inside: &str, close: &str) -> usize {
    let mut open = 0_i64;
    for (at, c) in outside_of_texts(inside) {
        if open == 0 && inside[at..].starts_with(close) {
            return at;
        }
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open -= 1,
            _ => {}
        }
    }
    inside.len()
}

fn end_of_raw(source: &str, from: usize) -> usize {
    source[from..]
        .match_indices("{%")
        .find(|(found, _)| {
            let rest = source[from + found + 2..].trim_start_matches(['-', '+']).trim_start();
            rest.starts_with("endraw")
        })
        .map_or(source.len(), |(found, _)| from + found)
}

/// Words, numbers and signs; what stands between quotes counts as one.
fn words(tag: &str) -> usize {
    let (mut count, mut in_word) = (0, false);
    for (_, c) in outside_of_texts(tag) {
        let word = c.is_alphanumeric() || c == '_';
        count += usize::from(!(c.is_whitespace() || word && in_word));
        in_word = word;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_goes_through_a_filter() {
        for (source, expect) in [
            ("a {{ b }} c", "a {{ b }} c"),
            ("{% set a = 1 %}", "{% set a =( 1 )|H %}"),
            ("{%- set ns.a = x, 'y%}=' -%}\n", "{%- set ns.a =( x, 'y%}=' )|K -%}\n"),
            ("{%set a=b==c%}", "{%set a=(b==c)|H %}"),
            ("{% set a, ns.b = {'x': [1]} %}", "{% set a, ns.b =( {'x': [1]} )|K %}"),
            ("{% set a %}x = y{% endset %}", "{% set a %}x = y{% endset %}"),
            ("{% set a | replace('=', '') %}x{% endset %}", "{% set a | replace('=', '') %}x{% endset %}"),
            ("{# {% set a = 1 %} #}{% set b = 2 %}", "{# {% set a = 1 %} #}{% set b =( 2 )|H %}"),
            ("{% set a | replace(x='', y=1) %}x{% endset %}", "{% set a | replace(x='', y=1) %}x{% endset %}"),
            (
                "{% raw %}{% set a = 1 %}{% endraw %}{% set b = 2 %}",
                "{% raw %}{% set a = 1 %}{% endraw %}{% set b =( 2 )|H %}",
            ),
            ("{{ '{% set a = 1 %}' }}", "{{ '{% set a = 1 %}' }}"),
            ("{{ {'a': {'b': 1}} }}{% set é = 1 %}", "{{ {'a': {'b': 1}} }}{% set é =( 1 )|H %}"),
            ("{% set a = ", "{% set a = "),
            ("{% set a = 'é", "{% set a =( 'é)|H "),
        ] {
            assert_eq!(guarded(source).replace(HELD, "H").replace(KEPT, "K"), expect, "{source}");
        }
    }
}
