//! What all templates have in common, whoever wrote them: a template is a program from elsewhere, so its work, its
//! output and its nesting are bounded.
//!
//! minijinja walks values by recursion wherever it writes (`~`, `|string`), compares or lets them go. What a variable
//! holds is therefore looked at when it is set ([`tags`] adds the filters): it is never nested deeper than
//! [`MAX_DEPTH`], and a namespace, the one thing that can be changed, holds no namespace, so that nothing holds itself.

mod compared;
mod expression;
mod tags;

use std::{panic, thread};

use minijinja::{Environment, Error, ErrorKind, State, Template, Value, syntax::SyntaxConfig, value::ValueKind};

pub use expression::{expression, expressions, names};
use tags::{HELD, KEPT};

/// Work of one rendering: instructions, and 64 bytes of data each. A prompt of a hundred turns and a megabyte takes a
/// tenth; all of it is used up in about a second, and makes 256 MB at most.
const FUEL: u64 = 4_000_000;
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
    environment.add_filter(HELD, held);
    environment.add_filter(KEPT, kept);
    Ok(environment)
}

/// Compiles a template into `environment` under `name`.
///
/// # Errors
/// It is no template, or too long or too deeply nested to be looked at.
pub fn add(environment: &mut Environment<'static>, name: &'static str, source: String) -> Result<(), Error> {
    tags::check(&source)?;
    let guarded = tags::guarded(&source);
    on_a_deep_stack(|| environment.add_template_owned(name, guarded))
}

/// Renders `template` by `work`, with room for deep recursion where a macro could nest what it hands to itself.
///
/// # Panics
/// As `work`, and if no thread can be had.
pub fn with_room<R: Send>(template: &Template<'_, '_>, work: impl FnOnce() -> R + Send) -> R {
    if template.source().contains("macro") { on_a_deep_stack(work) } else { work() }
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
        return Err(too_deep());
    }
    for item in value.try_iter()? {
        let item = if is_map { value.get_item(&item)? } else { item };
        walk(state, &item, left - 1)?;
    }
    Ok(())
}

/// What a variable is given: nothing that is nested too deeply.
fn held(state: &State, value: &Value) -> Result<Value, Error> {
    check_depth(state, value)?;
    Ok(value.clone())
}

/// What an attribute of a namespace is given: as [`held`], without a namespace in it, and without what only looks at
/// one when it is asked (`ns|items`, `loop`), which becomes what it is now.
fn kept(state: &State, value: &Value) -> Result<Value, Error> {
    Ok(snapshot(state, value, MAX_DEPTH)?.unwrap_or_else(|| value.clone()))
}

/// The value with all that is in it made plain; `None` where it is already.
fn snapshot(state: &State, value: &Value, left: usize) -> Result<Option<Value>, Error> {
    state.consume_fuel(1)?;
    let Some(object) = value.as_object() else { return Ok(None) };
    let kind = value.kind();
    if !matches!(kind, ValueKind::Map | ValueKind::Seq | ValueKind::Iterable) {
        return Ok(None);
    }
    if object.type_name().ends_with("::Namespace") {
        let problem = "a namespace cannot hold a namespace: what is written could hold itself";
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    if left == 0 {
        return Err(too_deep());
    }
    let mut plain = match kind {
        ValueKind::Map => object.type_name().contains("IndexMap<") || object.type_name().contains("BTreeMap<"),
        other => other == ValueKind::Seq,
    };
    let mut items = Vec::new();
    for item in value.try_iter()? {
        let inner = if kind == ValueKind::Map { value.get_item(&item)? } else { item.clone() };
        let made = snapshot(state, &inner, left - 1)?;
        plain &= made.is_none();
        items.push((item, made.unwrap_or(inner)));
    }
    Ok(match kind {
        _ if plain => None,
        ValueKind::Map => Some(Value::from_pairs(items)),
        _ => Some(items.into_iter().map(|(_, item)| item).collect()),
    })
}

fn too_deep() -> Error {
    Error::new(ErrorKind::BadSerialization, format!("a value is nested deeper than {MAX_DEPTH}"))
}

/// Takes fuel for a text of `bytes` that is about to be made.
///
/// # Errors
/// There is not so much left.
pub(crate) fn pay(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(bytes as u64 / 64)
}
