//! What the variables are in one variant, where their values are written, and how much may be made of them.

use std::cell::Cell;

use indexmap::IndexMap;
use serde_json::Value;

use crate::{
    diag::{Diagnostic, Span},
    spec::VarDef,
    yaml::{Data, Tree},
};

/// Most that one value may hold, as [`size`] counts.
const MAX_VALUE: usize = 200_000;
/// Most that all values of a pipeline may hold together.
const MAX_VALUES: usize = 50_000_000;

/// Variables form no cycles here, but a chain of them may be as long as a file, and is followed for every text.
const MAX_HOLES: usize = 1_000;

/// The variables of one variant.
pub(crate) struct Scope<'a, 'v> {
    /// Their definitions, `--set` applied.
    pub defs: &'v IndexMap<String, VarDef>,
    /// The value of each.
    pub value: &'a dyn Fn(usize) -> &'v Value,
    /// What it is written as: in `vars`, or in the level that sets it.
    pub node: &'a dyn Fn(usize) -> &'v Tree,
    /// How much more may be made.
    pub room: &'a Room,
}

/// A value as it is written.
#[derive(Clone, Copy)]
pub(crate) struct Written<'v> {
    /// Where and how.
    pub node: &'v Tree,
    /// The variable that holds it, if one does.
    pub var: Option<&'v str>,
}

/// The variable that a text consists of, if it is one `${...}` and nothing else: its name and path.
pub(crate) fn lone_hole(text: &str) -> Option<(&str, impl Iterator<Item = &str>)> {
    let inner = text.strip_prefix("${")?.strip_suffix('}')?;
    if inner.contains(['{', '}']) {
        return None;
    }
    let mut parts = inner.trim().split('.');
    Some((parts.next()?, parts))
}

impl<'v> Scope<'_, 'v> {
    /// The name of a variable.
    pub(crate) fn name(&self, var: usize) -> &'v str {
        self.defs.get_index(var).map_or("", |(name, _)| name)
    }

    /// Follows `steps` into a value, and every `${}` that is a whole text on the way, to what was written in the end.
    pub(crate) fn written<'n>(&'n self, node: &'n Tree, steps: &[String]) -> Written<'n> {
        let mut at = Written { node, var: None };
        let mut steps = steps.to_vec();
        steps.reverse();
        for _ in 0..MAX_HOLES {
            loop {
                if let Some((hole, fields)) = at.node.as_str().and_then(lone_hole) {
                    let Some((var, name, _)) = self.defs.get_full(hole) else { return at };
                    let fields: Vec<String> = fields.map(str::to_owned).collect();
                    steps.extend(fields.into_iter().rev());
                    at = Written { node: (self.node)(var), var: Some(name) };
                    break;
                }
                match steps.pop().and_then(|step| child(at.node, &step)) {
                    Some((_, value)) => at.node = value,
                    None => return at,
                }
            }
        }
        at
    }

    /// The text that a path begins in: of `"${base}/nano"` the one that `base` holds.
    pub(crate) fn beginning(&self, node: &Tree, steps: &[String]) -> Span {
        let mut at = self.written(node, steps).node;
        for _ in 0..MAX_HOLES {
            let hole = at.as_str().and_then(|text| text.strip_prefix("${")).and_then(|rest| rest.split_once('}'));
            let Some((inner, _)) = hole else { break };
            let mut parts = inner.trim().split('.').map(str::to_owned);
            let Some(var) = parts.next().and_then(|name| self.defs.get_index_of(&name)) else { break };
            at = self.written((self.node)(var), &parts.collect::<Vec<_>>()).node;
        }
        at.span
    }

    /// How a number is written that a variable holds: `3.10`, where its value is 3.1.
    pub(crate) fn numeral(&self, var: usize, path: &[String]) -> Option<&str> {
        self.written((self.node)(var), path).node.numeral()
    }
}

/// The entry of a mapping, or the item of a list, with the place of its name.
pub(crate) fn child<'n>(node: &'n Tree, step: &str) -> Option<(Span, &'n Tree)> {
    match &node.data {
        Data::Map(_) => node.entry(step).map(|e| (e.key_span, &e.value)),
        Data::List(items) => items.get(step.parse::<usize>().ok()?).map(|n| (n.span, n)),
        _ => None,
    }
}

/// How much more may be made: variables can stand for variables, each twice the one before.
pub(crate) struct Room {
    value: Cell<usize>,
    all: Cell<usize>,
    said: Cell<bool>,
}

impl Default for Room {
    fn default() -> Self {
        Self { value: Cell::new(MAX_VALUE), all: Cell::new(MAX_VALUES), said: Cell::new(false) }
    }
}

impl Room {
    /// Another value begins.
    pub(crate) fn begin(&self) {
        self.value.set(MAX_VALUE);
        self.said.set(false);
    }

    /// Takes so much room. If there is too little, that is reported once of each value, with the place that wants it.
    pub(crate) fn take(&self, size: usize, span: Span, problems: &mut Vec<Diagnostic>) -> bool {
        let (value, all) = (self.value.get().checked_sub(size), self.all.get().checked_sub(size));
        if let (Some(value), Some(all)) = (value, all) {
            self.value.set(value);
            self.all.set(all);
            return true;
        }
        if !self.said.replace(true) {
            let what = if value.is_none() { "a value" } else { "all values together" };
            let limit = if value.is_none() { MAX_VALUE } else { MAX_VALUES };
            problems.push(
                Diagnostic::error(
                    "vars::size",
                    format!("variables make {what} larger than {limit}, texts by the byte"),
                )
                .at(span, "this goes beyond the limit")
                .help("put large texts and lists into a file, and read that with a `table`"),
            );
        }
        false
    }
}

/// How large a value is: 1 for each value in it, and for each byte of text.
pub(crate) fn size(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.iter().map(|(name, value)| name.len() + size(value)).sum(),
        _ => 0,
    }
}
