//! `${name}` in texts: found once, filled in for every variant.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::scope::{Scope, size};
use crate::{
    diag::{Diagnostic, Span, advice, one_of},
    spec::VarDef,
    yaml::{Data, Tree, shorten},
};

/// A value with holes for variables.
#[derive(Debug)]
pub(crate) enum Template {
    /// No holes.
    Literal(Value),
    /// One hole and nothing else: the variable's value, with its type.
    Whole(Hole),
    /// Text with holes.
    Text(Vec<Piece>),
    /// A list, of which some item has holes.
    List(Vec<Template>),
    /// A mapping, of which some value has holes.
    Map(Vec<(String, Template)>),
}

/// `${var.path}`
#[derive(Debug)]
pub(crate) struct Hole {
    /// Index of the variable.
    pub var: usize,
    /// Fields and list positions.
    pub path: Vec<String>,
    /// The text it is in.
    pub span: Span,
}

/// A piece of a text.
#[derive(Debug)]
pub(crate) enum Piece {
    /// As it is.
    Text(String),
    /// A value.
    Hole(Hole),
}

/// A template with the variables it names.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// The template.
    pub template: Template,
    /// Indices of the variables it names itself, sorted, each once.
    pub deps: Vec<usize>,
    /// False when something was reported; the template must not be used.
    pub ok: bool,
}

/// Finds the holes of a value.
pub(crate) fn compile(node: &Tree, vars: &IndexMap<String, VarDef>, problems: &mut Vec<Diagnostic>) -> Compiled {
    let mut compiler = Compiler { vars, problems, deps: Vec::new(), ok: true };
    let template = compiler.node(node);
    let Compiler { mut deps, ok, .. } = compiler;
    deps.sort_unstable();
    deps.dedup();
    Compiled { template, deps, ok: ok && !node.has_invalid() }
}

struct Compiler<'a> {
    vars: &'a IndexMap<String, VarDef>,
    problems: &'a mut Vec<Diagnostic>,
    deps: Vec<usize>,
    ok: bool,
}

impl Compiler<'_> {
    fn node(&mut self, node: &Tree) -> Template {
        match &node.data {
            Data::String(text) if text.contains("${") => self.text(text, node.span),
            Data::List(items) => {
                let items: Vec<Template> = items.iter().map(|n| self.node(n)).collect();
                if items.iter().all(|t| matches!(t, Template::Literal(_))) {
                    return Template::Literal(node_literal(items));
                }
                Template::List(items)
            }
            Data::Map(entries) => {
                let entries: Vec<_> = entries.iter().map(|e| (e.key.clone(), self.node(&e.value))).collect();
                if entries.iter().all(|(_, t)| matches!(t, Template::Literal(_))) {
                    let entries = entries.into_iter().map(|(k, t)| (k, into_literal(t)));
                    return Template::Literal(Value::Object(entries.collect()));
                }
                Template::Map(entries)
            }
            _ => Template::Literal(node.to_json()),
        }
    }

    fn text(&mut self, text: &str, span: Span) -> Template {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                plain.push_str(&rest[..at - 1]);
                plain.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            plain.push_str(&rest[..at]);
            let Some(end) = rest[at..].find('}') else {
                self.refuse(
                    Diagnostic::error("vars::syntax", "a `${` is not closed")
                        .at(span, "no `}` follows")
                        .help("write `$${` for a literal `${`"),
                );
                return Template::Literal(Value::Null);
            };
            if let Some(hole) = self.hole(&rest[at + 2..at + end], span) {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Hole(hole));
            }
            rest = &rest[at + end + 1..];
        }
        plain.push_str(rest);
        if pieces.is_empty() {
            return Template::Literal(Value::String(plain));
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        match pieces.pop() {
            Some(Piece::Hole(hole)) if pieces.is_empty() => Template::Whole(hole),
            last => {
                pieces.extend(last);
                Template::Text(pieces)
            }
        }
    }

    fn hole(&mut self, inner: &str, span: Span) -> Option<Hole> {
        let inner = inner.trim();
        let mut parts = inner.split('.').map(str::to_owned);
        let name = parts.next().unwrap_or_default();
        if let Some(var) = self.vars.get_index_of(&name) {
            self.deps.push(var);
            return Some(Hole { var, path: parts.collect(), span });
        }
        let problem = if inner.starts_with("env:") {
            Diagnostic::error("vars::env", format!("`${{{}}}` reads the environment", shorten(inner)))
                .at(span, "not available in a pipeline file")
                .help("results would depend on something that no key shows; use a variable and `--set`")
        } else if inner.is_empty() {
            Diagnostic::error("vars::syntax", "`${}` names no variable").at(span, "")
        } else {
            Diagnostic::error("vars::unknown", format!("there is no variable `{}`", shorten(&name)))
                .at(span, "used here")
                .maybe_help(Some("define it under `vars:`; write `$${` for a literal `${`".to_owned()))
                .maybe_help(advice(self.problems, &name, "variables", self.vars.keys().map(String::as_str)))
        };
        self.refuse(problem);
        None
    }

    fn refuse(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
        self.ok = false;
    }
}

fn node_literal(items: Vec<Template>) -> Value {
    Value::Array(items.into_iter().map(into_literal).collect())
}

fn into_literal(template: Template) -> Value {
    if let Template::Literal(value) = template { value } else { Value::Null }
}

impl Template {
    /// Calls `found` for every hole.
    pub(crate) fn holes(&self, found: &mut dyn FnMut(&Hole)) {
        match self {
            Self::Literal(_) => {}
            Self::Whole(hole) => found(hole),
            Self::Text(pieces) => pieces.iter().for_each(|piece| {
                if let Piece::Hole(hole) = piece {
                    found(hole);
                }
            }),
            Self::List(items) => items.iter().for_each(|t| t.holes(found)),
            Self::Map(entries) => entries.iter().for_each(|(_, t)| t.holes(found)),
        }
    }

    /// Fills the holes in. Problems are reported, with `null` in their place.
    pub(crate) fn render<'v>(&'v self, scope: &Scope<'_, 'v>, problems: &mut Vec<Diagnostic>) -> Cow<'v, Value> {
        Cow::Owned(match self {
            Self::Literal(value) => return Cow::Borrowed(value),
            Self::Whole(hole) => match hole.find(scope, problems) {
                Some(value) => return Cow::Borrowed(value),
                None => Value::Null,
            },
            Self::List(items) => Value::Array(items.iter().map(|t| t.render_owned(scope, problems)).collect()),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(k, t)| (k.clone(), t.render_owned(scope, problems)));
                Value::Object(entries.collect::<Map<_, _>>())
            }
            Self::Text(pieces) => return Cow::Owned(text(pieces, scope, problems).map_or(Value::Null, Value::String)),
        })
    }

    /// The same as a value of its own, where there is room for it.
    pub(crate) fn render_owned<'v>(&'v self, scope: &Scope<'_, 'v>, problems: &mut Vec<Diagnostic>) -> Value {
        let value = match self.render(scope, problems) {
            Cow::Owned(value) => return value,
            Cow::Borrowed(value) => value,
        };
        let span = if let Self::Whole(hole) = self { hole.span } else { Span::default() };
        if scope.room.take(size(value), span, problems) { value.clone() } else { Value::Null }
    }
}

fn text(pieces: &[Piece], scope: &Scope<'_, '_>, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let mut text = String::new();
    let mut push = |part: &str, span: Span, problems: &mut Vec<Diagnostic>| {
        scope.room.take(part.len(), span, problems).then(|| text.push_str(part))
    };
    for piece in pieces {
        match piece {
            Piece::Text(plain) => push(plain, Span::default(), problems)?,
            Piece::Hole(hole) => match hole.find(scope, problems)? {
                Value::String(s) => push(s, hole.span, problems)?,
                Value::Number(n) => match scope.numeral(hole.var, &hole.path) {
                    Some(written) => push(written, hole.span, problems)?,
                    None => push(&n.to_string(), hole.span, problems)?,
                },
                Value::Bool(b) => push(if *b { "true" } else { "false" }, hole.span, problems)?,
                value => {
                    problems.push(hole.not_text(scope.name(hole.var), value));
                    return None;
                }
            },
        }
    }
    Some(text)
}

impl Hole {
    fn find<'v>(&self, scope: &Scope<'_, 'v>, problems: &mut Vec<Diagnostic>) -> Option<&'v Value> {
        let mut value = (scope.value)(self.var);
        for (i, field) in self.path.iter().enumerate() {
            let next = match value {
                Value::Object(map) => map.get(field),
                Value::Array(items) => field.parse::<usize>().ok().and_then(|i| items.get(i)),
                _ => None,
            };
            let Some(next) = next else {
                let parent = std::iter::once(scope.name(self.var)).chain(self.path[..i].iter().map(String::as_str));
                let parent = parent.collect::<Vec<_>>().join(".");
                let help = match value {
                    Value::Object(map) => one_of(field, "fields", map.keys().map(String::as_str)),
                    Value::Array(items) => Some(format!("it is a list of {}; positions count from 0", items.len())),
                    _ => Some(format!("`{parent}` is neither a mapping nor a list")),
                };
                problems.push(
                    Diagnostic::error("vars::field", format!("`{parent}` has no field `{}`", shorten(field)))
                        .at(self.span, "used here")
                        .maybe_help(help),
                );
                return None;
            };
            value = next;
        }
        Some(value)
    }

    fn not_text(&self, name: &str, value: &Value) -> Diagnostic {
        let what = match value {
            Value::Null => "null",
            Value::Array(_) => "a list",
            _ => "a mapping",
        };
        Diagnostic::error("vars::text", format!("`{name}` is {what}, which cannot be put into a text"))
            .at(self.span, "used inside a text")
            .help(format!("`\"${{{name}}}\"` alone keeps the type"))
    }
}
