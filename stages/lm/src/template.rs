//! What all templates have in common, whoever wrote them: a template is a program from elsewhere, so its work, its
//! output and its nesting are bounded.

use std::{panic, thread};

use minijinja::{Environment, Error, ErrorKind, State, Template, Value, syntax::SyntaxConfig, value::ValueKind};

/// Work of one rendering: instructions, and 64 bytes of data each. A prompt of a hundred turns and a megabyte takes a
/// tenth; all of it is used up in about a second, and makes 256 MB at most.
const FUEL: u64 = 4_000_000;
/// Longest template, in bytes; published chat templates have up to 20,000.
const MAX_LENGTH: usize = 1 << 20;
/// Most words in one tag, and most `elif` in a template. Expressions nest no deeper than they are long, and what is
/// nested is walked by recursion.
const MAX_WORDS: usize = 4000;
/// Deepest nesting of lists and maps.
const MAX_DEPTH: usize = 200;
/// Stack of the thread that compiles; memory that is not touched is not used.
const STACK: usize = 256 << 20;

/// An environment with `trim_blocks` and `lstrip_blocks`, as `transformers` has it, whose renderings are bounded.
///
/// # Errors
/// None that can happen: the syntax is fixed.
pub fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_fuel(Some(FUEL));
    Ok(environment)
}

/// Compiles a template into `environment` under `name`.
///
/// # Errors
/// It is no template, or too long or too deeply nested to be looked at.
pub fn add(environment: &mut Environment<'static>, name: &'static str, source: String) -> Result<(), Error> {
    check(&source)?;
    on_a_deep_stack(|| environment.add_template_owned(name, source))
}

/// Renders `template` by `work`, with room for deep recursion if it could nest values without end: only what a
/// namespace holds outlives a turn of a loop, and values are written and let go by recursion.
///
/// # Panics
/// As `work`, and if no thread can be had.
pub fn with_room<R: Send>(template: &Template<'_, '_>, work: impl FnOnce() -> R + Send) -> R {
    if template.source().contains("namespace") { on_a_deep_stack(work) } else { work() }
}

/// Runs `work` where there is room for deep recursion.
///
/// # Panics
/// As `work`, and if no thread can be had.
fn on_a_deep_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("template".to_owned()).stack_size(STACK).spawn_scoped(scope, work);
        match thread.expect("a thread can be started").join() {
            Ok(result) => result,
            Err(cause) => panic::resume_unwind(cause),
        }
    })
}

fn check(source: &str) -> Result<(), Error> {
    let refuse = |problem: String| Err(Error::new(ErrorKind::SyntaxError, problem));
    if source.len() > MAX_LENGTH {
        return refuse(format!("it has {} bytes, more than {MAX_LENGTH}", source.len()));
    }
    let mut rest = source;
    let (mut line, mut elifs) = (1, 0);
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        line += rest[..start].matches('\n').count();
        let close = if rest[start..].starts_with("{{") { "}}" } else { "%}" };
        let length = rest[start + 2..].find(close).map_or(rest.len() - start, |length| length + 4);
        let tag = &rest[start..start + length];
        elifs += usize::from(tag.trim_start_matches(['{', '%', '-', '+', ' ', '\n', '\t']).starts_with("elif"));
        if words(tag) > MAX_WORDS || elifs > MAX_WORDS {
            return refuse(format!("the tag in line {line} makes it too deeply nested"));
        }
        line += tag.matches('\n').count();
        rest = &rest[start + length..];
    }
    Ok(())
}

/// Words, numbers and signs; what stands between quotes counts as one.
fn words(tag: &str) -> usize {
    let (mut count, mut in_word, mut quote, mut escaped) = (0, false, None, false);
    for c in tag.chars() {
        if let Some(open) = quote {
            if c == open && !escaped {
                quote = None;
            }
            escaped = c == '\\' && !escaped;
            continue;
        }
        let word = c.is_alphanumeric() || c == '_';
        if c == '"' || c == '\'' {
            quote = Some(c);
            escaped = false;
        }
        count += usize::from(!(c.is_whitespace() || word && in_word));
        in_word = word;
    }
    count
}

/// Refuses values that are nested too deeply to be written out, and takes fuel for all that is in them.
///
/// # Errors
/// There is a list in a list in a list, and so on; there is not so much fuel left.
pub fn check_depth(state: &State, value: &Value) -> Result<(), Error> {
    walk(state, value, MAX_DEPTH)
}

fn walk(state: &State, value: &Value, left: usize) -> Result<(), Error> {
    state.consume_fuel(1)?;
    let is_map = value.kind() == ValueKind::Map;
    if !is_map && !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(());
    }
    if left == 0 {
        return Err(Error::new(ErrorKind::BadSerialization, format!("a value is nested deeper than {MAX_DEPTH}")));
    }
    for item in value.try_iter()? {
        let item = if is_map { value.get_item(&item)? } else { item };
        walk(state, &item, left - 1)?;
    }
    Ok(())
}

/// Takes fuel for a text of `bytes` that is about to be made.
///
/// # Errors
/// There is not so much left.
pub(crate) fn pay(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(bytes as u64 / 64)
}
