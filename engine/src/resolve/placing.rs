//! What texts of parameters mean where they are written: relative paths start from the folder of the file that holds
//! them, and numbers on a command line are texts.
//!
//! A kind's schema marks such parameters; a mark holds for everything below it:
//!
//! | mark | meaning |
//! |---|---|
//! | `x-path: [...]` | a path, unless it is one of these texts or begins with one that ends in `:` |
//! | `x-path: true` | a path, pattern or address; what is written enters the key ([`written`](crate::kind::written)) |
//! | `x-path-of: name` | a path where the same text is among those of the parameter `name` |
//! | `x-words: true` | words of a command line |
//! | `x-folder: true` | the stage works in the folder of the file that holds this parameter, if it is given |

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{check::follow, operational::property, phrases::list, scope::Scope, template::Template, vars::Vars};
use crate::{
    diag::{TextId, Texts, plain},
    spec::{BUILTIN, StageSpec, is_builtin},
    yaml::{Data, Tree},
};

const PATH: &str = "x-path";
const PATH_OF: &str = "x-path-of";
const WORDS: &str = "x-words";
const FOLDER: &str = "x-folder";

/// Which marks a kind's schema has.
#[derive(Default)]
pub(crate) struct Marks {
    paths: bool,
    words: bool,
    /// The parameters that say where the stage works.
    folder: Vec<String>,
}

impl Marks {
    /// Looks through a schema.
    pub(crate) fn of(schema: &Value) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object);
        let folder = properties.into_iter().flatten().filter(|(_, s)| s.get(FOLDER) == Some(&Value::Bool(true)));
        Self {
            paths: has(schema, PATH),
            words: has(schema, WORDS),
            folder: folder.map(|(name, _)| name.clone()).collect(),
        }
    }
}

fn has(schema: &Value, mark: &str) -> bool {
    match schema {
        Value::Object(map) => map.contains_key(mark) || map.values().any(|v| has(v, mark)),
        Value::Array(items) => items.iter().any(|v| has(v, mark)),
        _ => false,
    }
}

/// Whether a text is no path: it is an address, one of the names of the mark, or begins with one that ends in `:`.
fn is_name(text: &str, names: &[Value]) -> bool {
    let text = text.trim();
    text.contains("://")
        || names
            .iter()
            .filter_map(Value::as_str)
            .any(|name| name == text || name.ends_with(':') && text.starts_with(name))
}

/// The variables that paths are made of: of these, equal texts in different folders are different values.
pub(crate) struct PathVars<'a> {
    /// For each variable the names that are no paths; `None` for one that no path is made of.
    names: Vec<Option<Vec<Value>>>,
    folders: &'a Folders<'a>,
}

impl<'a> PathVars<'a> {
    /// Of the stages' parameters, as `(schema, parameters)`.
    pub(crate) fn new<'s>(
        vars: &Vars,
        folders: &'a Folders<'a>,
        stages: impl Iterator<Item = (&'s Value, &'s Template)>,
    ) -> Self {
        let mut names: Vec<Option<Vec<Value>>> = vec![None; vars.defs.len()];
        for (schema, template) in stages.filter(|_| folders.several) {
            let Template::Map(params) = template else { continue };
            for (name, template) in params {
                let property = schema.get("properties").and_then(|p| p.get(name));
                let Some(marked) = property.and_then(|p| marked_names(schema, p, 0)) else { continue };
                template.holes(&mut |hole| names[hole.var].get_or_insert_default().extend(marked.iter().cloned()));
            }
        }
        for &var in vars.order.iter().rev() {
            let Some(own) = names[var].clone() else { continue };
            for &used in &vars.compiled[var].deps {
                names[used].get_or_insert_default().extend(own.iter().cloned());
            }
        }
        Self { names, folders }
    }

    /// Names the folder in which a path begins that `node` holds, the value of `var`; `None` where that makes no
    /// difference.
    pub(crate) fn place(&self, var: usize, node: &Tree, scope: &Scope<'_, '_>) -> Option<PathBuf> {
        let names = self.names[var].as_ref()?;
        let written = scope.written(node, &[]).node;
        let relative = |text: &str| !Path::new(text).is_absolute() && !is_name(text, names);
        holds(written, &relative).then(|| plain(&self.folders.of(scope.beginning(node, &[]).text)))
    }
}

fn holds(node: &Tree, wanted: &dyn Fn(&str) -> bool) -> bool {
    match &node.data {
        Data::String(text) => wanted(text),
        Data::List(items) => items.iter().any(|n| holds(n, wanted)),
        Data::Map(entries) => entries.iter().any(|e| holds(&e.value, wanted)),
        _ => false,
    }
}

/// The names beside the marks of paths in a schema and its parts; `None` where it has no such mark.
fn marked_names(root: &Value, schema: &Value, depth: usize) -> Option<Vec<Value>> {
    /// Schemas may refer to themselves.
    const MAX_DEPTH: usize = 20;
    if depth > MAX_DEPTH {
        return None;
    }
    let own = schema.get(PATH).or(schema.get(PATH_OF)).map(|mark| list(Some(mark)).to_vec());
    let target = follow(root, schema);
    let below = match schema {
        Value::Object(map) => map.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    let parts = target.into_iter().chain(below).filter_map(|s| marked_names(root, s, depth + 1)).flatten();
    let parts: Vec<Value> = parts.collect();
    own.map(|own| [own, parts.clone()].concat()).or_else(|| (!parts.is_empty()).then_some(parts))
}

/// Where the files of a pipeline lie.
pub(crate) struct Folders<'a> {
    /// The texts.
    pub texts: &'a Texts,
    /// The working folder.
    pub working: &'a Path,
    /// Whether they lie in different folders.
    pub several: bool,
}

impl<'a> Folders<'a> {
    /// The folders of these texts.
    pub(crate) fn new(texts: &'a Texts, working: &'a Path) -> Self {
        let mut folders = texts.iter().map(|file| plain(&file.folder));
        let first = folders.next();
        let several = folders.any(|folder| Some(folder) != first);
        Self { texts, working, several }
    }

    /// The folder of a text, as far as the working folder is known from the root on.
    pub(crate) fn of(&self, text_id: TextId) -> PathBuf {
        absolute(self.working, &self.texts.get(text_id).folder)
    }

    fn same(&self, a: TextId, b: TextId) -> bool {
        a == b || plain(&self.of(a)) == plain(&self.of(b))
    }
}

/// `folder`, which is relative to `working`.
pub(crate) fn absolute(working: &Path, folder: &Path) -> PathBuf {
    if is_builtin(folder) {
        return folder.to_owned();
    }
    working.join(folder).components().collect()
}

/// The parameters of a stage in one variant.
pub(crate) struct Params<'a, 'v> {
    /// Their schema, and what is marked in it.
    pub schema: &'a Value,
    /// What is marked in it.
    pub marks: &'a Marks,
    /// As they are written; `None` where there are none.
    pub node: Option<&'a Tree>,
    /// The variables.
    pub scope: Scope<'a, 'v>,
}

impl Params<'_, '_> {
    /// The parameters with numbers on command lines as texts; `None` where there are none.
    pub(crate) fn with_words(&self, value: &Value) -> Option<Value> {
        if !self.marks.words {
            return None;
        }
        self.rewrite(WORDS, value, &mut |_, path, value| match value {
            Value::Number(n) => {
                let numeral = self.node.and_then(|node| self.scope.written(node, path).node.numeral());
                Some(Value::String(numeral.map_or_else(|| n.to_string(), str::to_owned)))
            }
            Value::Bool(b) => Some(Value::String(b.to_string())),
            _ => None,
        })
    }

    /// The text whose folder the stage works in.
    pub(crate) fn home(&self, value: &Value, stage: &StageSpec) -> TextId {
        let given = |name: &&String| {
            value.get(name).is_some_and(|v| !v.is_null() && v.as_array().is_none_or(|a| !a.is_empty()))
        };
        let holder = self.marks.folder.iter().find(given).and_then(|name| {
            let node = self.node?;
            Some(self.scope.written(node, std::slice::from_ref(name)).node.span.text)
        });
        holder.unwrap_or_else(|| stage.kind.as_ref().map_or(stage.span, |(_, span)| *span).text)
    }

    /// The parameters with paths as seen from the folder of `home`; `None` where they stay as they are.
    pub(crate) fn placed(&self, value: &Value, home: TextId, folders: &Folders<'_>) -> Option<Value> {
        if !self.marks.paths || !folders.several {
            return None;
        }
        let place = |path: &[String], text: &str, separator: &str| {
            let text_id = self.scope.beginning(self.node?, path).text;
            let elsewhere = !text.is_empty() && !Path::new(text).is_absolute() && !folders.same(text_id, home);
            let folder = folders.of(text_id);
            // `builtin:` alone is the root of what is built in, and needs no separator.
            let separator = if separator == "/" && folder.as_os_str() == BUILTIN { "" } else { separator };
            elsewhere.then(|| Value::String(format!("{}{separator}{text}", folder.display())))
        };
        let placed = self.rewrite(PATH, value, &mut |mark, path, value| {
            let text = value.as_str()?;
            let separator = if mark.is_array() { "/" } else { crate::kind::WRITTEN };
            if is_name(text, list(Some(mark))) { None } else { place(path, text, separator) }
        });
        let again = self.rewrite(PATH_OF, value, &mut |mark, path, text| {
            let texts = value.get(mark.as_str()?)?.as_array()?;
            if texts.contains(text) { place(path, text.as_str()?, "/") } else { None }
        });
        match (placed, again) {
            (Some(Value::Object(mut placed)), Some(Value::Object(again))) => {
                placed.extend(again.into_iter().filter(|(name, new)| value.get(name) != Some(new)));
                Some(Value::Object(placed))
            }
            (placed, again) => placed.or(again),
        }
    }

    fn rewrite(&self, key: &'static str, value: &Value, change: &mut Change<'_>) -> Option<Value> {
        let mut walk = Walk { root: self.schema, key, path: Vec::new(), change };
        walk.value(Some(self.schema), None, value)
    }
}

/// Given the mark, the path and the value: another value, or `None`.
type Change<'c> = dyn FnMut(&Value, &[String], &Value) -> Option<Value> + 'c;

struct Walk<'s, 'c, 'd> {
    root: &'s Value,
    key: &'static str,
    path: Vec<String>,
    change: &'c mut Change<'d>,
}

impl<'s> Walk<'s, '_, '_> {
    fn value(&mut self, schema: Option<&'s Value>, above: Option<&'s Value>, value: &Value) -> Option<Value> {
        let mark = schema.and_then(|s| mark(self.root, s, value, self.key)).or(above);
        match value {
            Value::Object(object) => {
                let mut new = None;
                for (name, field) in object {
                    let schema = schema.and_then(|s| property(self.root, s, name, value));
                    if let Some(changed) = self.step(name.clone(), schema, mark, field) {
                        new.get_or_insert_with(|| object.clone()).insert(name.clone(), changed);
                    }
                }
                new.map(Value::Object)
            }
            Value::Array(items) => {
                let schema = schema.and_then(|s| super::operational::items(self.root, s, value));
                let mut new = None;
                for (i, item) in items.iter().enumerate() {
                    if let Some(changed) = self.step(i.to_string(), schema, mark, item) {
                        new.get_or_insert_with(|| items.clone())[i] = changed;
                    }
                }
                new.map(Value::Array)
            }
            scalar => (self.change)(mark?, &self.path, scalar),
        }
    }

    fn step(&mut self, name: String, schema: Option<&'s Value>, mark: Option<&'s Value>, v: &Value) -> Option<Value> {
        self.path.push(name);
        let changed = self.value(schema, mark, v);
        self.path.pop();
        changed
    }
}

/// The mark of a schema, of its parts, and of those branches of its unions that fit the value.
fn mark<'s>(root: &'s Value, schema: &'s Value, value: &Value, key: &str) -> Option<&'s Value> {
    if let Some(found) = schema.get(key) {
        return Some(found);
    }
    let target = follow(root, schema).and_then(|target| mark(root, target, value, key));
    target.or_else(|| list(schema.get("allOf")).iter().find_map(|s| mark(root, s, value, key))).or_else(|| {
        let branches = ["oneOf", "anyOf"].into_iter().flat_map(|k| list(schema.get(k)));
        branches.filter(|s| super::check::fits(root, s, value)).find_map(|s| mark(root, s, value, key))
    })
}
