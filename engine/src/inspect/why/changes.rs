//! What is different between two key records, one line per change.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::Schema;
use pipe_cache::{ArtifactKind, ArtifactRef, Digest, ReadOptions, Store, StoreError, row_digests, type_name};
use serde_json::Value;

use super::super::words::{marked, shortened, words};
use crate::{
    context::{InputArtifact, InputRecord},
    keys::{KeyRecord, SourceContent},
};

/// Tables with more rows than this together are not compared row by row.
const MAX_ROWS: u64 = 5_000_000;
/// A value longer than this is cut short.
const MAX_VALUE: usize = 60;
/// Changed words, with those around them, are cut short after so many characters.
const MAX_WORDS: usize = 400;

/// Texts of sources, by label.
pub(crate) type Texts = BTreeMap<String, String>;

/// What is said of a source whose content is another.
fn content_changed(label: &str) -> String {
    format!("source `{label}`: content changed")
}

/// Says which words changed in the texts that are known of both sides.
pub(crate) fn say_words(lines: &mut [String], old: &Texts, new: &Texts) {
    for line in lines {
        let known = old.iter().filter_map(|(label, text)| Some((label, text, new.get(label)?)));
        if let Some((label, old, new)) = known.into_iter().find(|(label, ..)| *line == content_changed(label)) {
            *line = format!("source `{label}`: {}", changed_words(old, new));
        }
    }
}

/// `… the [-old-]{+new+} text …`, in one line.
fn changed_words(old: &str, new: &str) -> String {
    let text = marked(&shortened(words(old, new))).replace('\n', "⏎");
    if text.chars().count() <= MAX_WORDS {
        return text;
    }
    text.chars().take(MAX_WORDS).chain("...".chars()).collect()
}

/// Compares key records. Remembers which tables it has compared.
pub(crate) struct Changes<'a> {
    store: &'a Store,
    tables: HashMap<(Digest, Digest), String>,
}

impl<'a> Changes<'a> {
    /// Reads tables from `store`.
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store, tables: HashMap::new() }
    }

    /// What led from `old` to `new`. With `partial`, inputs that `new` lacks are not known yet rather than gone.
    pub(crate) fn between(&mut self, old: &KeyRecord, new: &KeyRecord, partial: bool) -> Vec<String> {
        let mut lines = Vec::new();
        if old.kind != new.kind {
            lines.push(format!("kind `{}` -> `{}`", old.kind, new.kind));
        } else if old.version != new.version {
            lines.push(format!("kind version {} -> {}", old.version, new.version));
        }
        if old.format != new.format {
            lines.push(format!("key format {} -> {}", old.format, new.format));
        }
        values("params", Some(&old.params), Some(&new.params), &mut lines);
        self.inputs(old, new, partial, &mut lines);
        sources(old, new, &mut lines);
        lines
    }

    fn inputs(&mut self, old: &KeyRecord, new: &KeyRecord, partial: bool, lines: &mut Vec<String>) {
        let find = |record: &'_ KeyRecord, port: &str| record.inputs.iter().position(|i| i.port == port);
        for input in &new.inputs {
            let port = &input.port;
            match find(old, port) {
                None => lines.push(format!("input `{port}`: connected")),
                Some(at) => lines.extend(self.input(&old.inputs[at], input)),
            }
        }
        if !partial {
            let gone = old.inputs.iter().filter(|i| find(new, &i.port).is_none());
            lines.extend(gone.map(|i| format!("input `{}`: no longer connected", i.port)));
        }
    }

    fn input(&mut self, old: &InputRecord, new: &InputRecord) -> Option<String> {
        let port = &new.port;
        if let ([InputArtifact { artifact: a, gathered: None }], [InputArtifact { artifact: b, gathered: None }]) =
            (&*old.artifacts, &*new.artifacts)
        {
            return (a.digest != b.digest).then(|| format!("input `{port}`: {}", self.artifact(a, b)));
        }
        let by_variant = |input: &InputRecord| -> BTreeMap<String, ArtifactRef> {
            let name = |a: &InputArtifact| a.gathered.as_ref().map(|g| g.variant.clone()).unwrap_or_default();
            input.artifacts.iter().map(|a| (name(a), a.artifact)).collect()
        };
        let (before, after) = (by_variant(old), by_variant(new));
        let mut parts = Vec::new();
        for (variant, b) in &after {
            match before.get(variant) {
                None => parts.push(format!("variant `{variant}` added")),
                Some(a) if a.digest != b.digest => parts.push(format!("variant `{variant}`: {}", self.artifact(a, b))),
                Some(_) => {}
            }
        }
        parts.extend(before.keys().filter(|v| !after.contains_key(*v)).map(|v| format!("variant `{v}` removed")));
        let strip = |input: &InputRecord| -> Vec<_> {
            input.artifacts.iter().map(|a| (a.gathered.clone(), a.artifact.digest)).collect()
        };
        if parts.is_empty() && strip(old) != strip(new) {
            parts.push("variants reordered, or their factors changed".to_owned());
        }
        (!parts.is_empty()).then(|| format!("input `{port}`: {}", parts.join(", ")))
    }

    fn artifact(&mut self, old: &ArtifactRef, new: &ArtifactRef) -> String {
        match (old.kind, new.kind) {
            (ArtifactKind::Table, ArtifactKind::Table) => {
                let pair = (old.digest, new.digest);
                if !self.tables.contains_key(&pair) {
                    let text = self.table(old, new).unwrap_or_else(|_| counts(old, new));
                    self.tables.insert(pair, text);
                }
                self.tables[&pair].clone()
            }
            (ArtifactKind::Files, ArtifactKind::Files) => "files changed".to_owned(),
            (ArtifactKind::Table, ArtifactKind::Files) => "a table became files".to_owned(),
            (ArtifactKind::Files, ArtifactKind::Table) => "files became a table".to_owned(),
        }
    }

    fn table(&self, old: &ArtifactRef, new: &ArtifactRef) -> Result<String, StoreError> {
        if old.rows + new.rows > MAX_ROWS {
            return Ok(counts(old, new));
        }
        let options = ReadOptions::default();
        let (before, after) = (self.store.open_table(old, &options)?, self.store.open_table(new, &options)?);
        if let Some(columns) = columns(before.schema(), after.schema()) {
            return Ok(columns);
        }
        let digests = |reader: pipe_cache::TableReader| -> Result<HashMap<Digest, i64>, StoreError> {
            let mut rows = HashMap::new();
            for batch in reader {
                for digest in row_digests(&batch?)? {
                    *rows.entry(digest).or_default() += 1;
                }
            }
            Ok(rows)
        };
        let (before, mut after) = (digests(before)?, digests(after)?);
        #[expect(clippy::iter_over_hash_type, reason = "a sum does not depend on the order")]
        for (digest, n) in before {
            *after.entry(digest).or_default() -= n;
        }
        let added: i64 = after.values().filter(|n| **n > 0).sum();
        let removed: i64 = -after.values().filter(|n| **n < 0).sum::<i64>();
        let rows = |n: i64| if n == 1 { "1 row".to_owned() } else { format!("{n} rows") };
        Ok(match (added, removed) {
            (0, 0) => "rows reordered".to_owned(),
            (added, 0) => format!("{} added", rows(added)),
            (0, removed) => format!("{} removed", rows(removed)),
            (added, removed) if added == removed => format!("{} changed", rows(added)),
            (added, removed) => format!("{} added, {} removed", rows(added), rows(removed)),
        })
    }
}

fn counts(old: &ArtifactRef, new: &ArtifactRef) -> String {
    format!("content changed ({} -> {} rows)", old.rows, new.rows)
}

fn columns(old: &Schema, new: &Schema) -> Option<String> {
    let types = |schema: &Schema| -> Vec<(String, String)> {
        schema.fields().iter().map(|f| (f.name().clone(), type_name(f.data_type()))).collect()
    };
    let (old, new) = (types(old), types(new));
    if old == new {
        return None;
    }
    let mut parts = Vec::new();
    for (name, of) in &new {
        match old.iter().find(|(n, _)| n == name) {
            None => parts.push(format!("column `{name}` added")),
            Some((_, was)) if was != of => parts.push(format!("column `{name}` {was} -> {of}")),
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|(name, _)| !new.iter().any(|(n, _)| n == name));
    parts.extend(gone.map(|(name, _)| format!("column `{name}` removed")));
    Some(if parts.is_empty() { "columns reordered".to_owned() } else { parts.join(", ") })
}

/// Descends into objects, so that a line names the innermost parameter that changed.
pub(crate) fn values(path: &str, old: Option<&Value>, new: Option<&Value>, lines: &mut Vec<String>) {
    match (old, new) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                values(&format!("{path}.{name}"), a.get(name), b.get(name), lines);
            }
        }
        (Some(Value::String(a)), Some(Value::String(b))) if a != b && is_digest(a) && is_digest(b) => {
            lines.push(format!("{path}: content changed"));
        }
        (Some(Value::String(a)), Some(Value::String(b)))
            if a != b && a.chars().count().max(b.chars().count()) > MAX_VALUE =>
        {
            lines.push(format!("{path}: {}", changed_words(a, b)));
        }
        (old, new) if old != new => lines.push(format!("{path} {} -> {}", show(old), show(new))),
        _ => {}
    }
}

/// Whether a text stands for the content of a file.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn show(value: Option<&Value>) -> String {
    let text = match value {
        None => return "(unset)".to_owned(),
        Some(Value::String(text)) => format!("\"{text}\""),
        Some(other) => other.to_string(),
    };
    if text.chars().count() <= MAX_VALUE {
        return text;
    }
    text.chars().take(MAX_VALUE).chain("...".chars()).collect()
}

fn sources(old: &KeyRecord, new: &KeyRecord, lines: &mut Vec<String>) {
    // Several sources may have the same label; they are told apart by their order.
    let numbered = |record: &KeyRecord| -> BTreeMap<(String, usize), SourceContent> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut number = |label: &str| {
            let n = seen.entry(label.to_owned()).or_default();
            *n += 1;
            (label.to_owned(), *n)
        };
        record.sources.iter().map(|s| (number(&s.label), s.content.clone())).collect()
    };
    let (before, after) = (numbered(old), numbered(new));
    for (name, content) in &after {
        let label = &name.0;
        match before.get(name) {
            None => lines.push(format!("source `{label}`: added")),
            Some(old) if old == content => {}
            Some(SourceContent::Value(old)) if let SourceContent::Value(new) = content => {
                values(&format!("source `{label}`"), Some(old), Some(new), lines);
            }
            Some(old) => lines.push(match (old, content) {
                (SourceContent::Env(a), SourceContent::Env(b)) => {
                    let text = |v: &Option<String>| show(v.clone().map(Value::String).as_ref());
                    format!("environment variable `{label}` {} -> {}", text(a), text(b))
                }
                (SourceContent::Files(a), SourceContent::Files(b)) if a.len() != b.len() => {
                    format!("source `{label}`: {} -> {} files", a.len(), b.len())
                }
                _ => content_changed(label),
            }),
        }
    }
    lines.extend(before.keys().filter(|n| !after.contains_key(*n)).map(|n| format!("source `{}`: removed", n.0)));
}
