//! Factors and their levels.

use serde_json::Value;

use super::{Factor, Level, Role, Setting, read::Reader};
use crate::{
    diag::Diagnostic,
    yaml::{Data, Entry, Tree},
};

impl Reader<'_> {
    /// Reads the factors of one role.
    pub(super) fn factors(&mut self, role: Role, entry: &Entry, factors: &mut Vec<Factor>) {
        for factor in self.entries(&format!("`{}`", entry.key), &entry.value) {
            if !self.check_name("factor", &factor.key, factor.key_span) {
                continue;
            }
            let bundle = matches!(factor.value.data, Data::Map(_));
            let levels = match &factor.value.data {
                Data::List(items) => items.iter().map(|item| self.plain_level(&factor.key, item)).collect(),
                Data::Map(levels) => levels.iter().map(|level| self.named_level(level)).collect(),
                _ => {
                    self.wrong_type(
                        &format!("the factor `{}`", factor.key),
                        "a list of values or named levels",
                        &factor.value,
                    );
                    continue;
                }
            };
            let levels: Vec<Level> = levels;
            if levels.is_empty() {
                self.report(
                    Diagnostic::error("factors::empty", format!("the factor `{}` has no levels", factor.key))
                        .at(factor.value.span, "nothing to vary")
                        .help("give at least one value, or remove the factor"),
                );
                continue;
            }
            factors.push(Factor { name: factor.key.clone(), span: factor.key_span, role, bundle, levels });
        }
    }

    fn plain_level(&mut self, var: &str, node: &Tree) -> Level {
        self.literal(node);
        let settings = vec![Setting { var: var.to_owned(), span: node.span, value: node.clone() }];
        Level { value: node.to_json(), span: node.span, settings }
    }

    fn named_level(&mut self, level: &Entry) -> Level {
        let entries = self.entries(&format!("the level `{}`", level.key), &level.value);
        if entries.is_empty() && level.value.as_map().is_some() {
            self.report(
                Diagnostic::error("factors::empty", format!("the level `{}` sets no variable", level.key))
                    .at(level.value.span, "empty")
                    .help("a named level is a mapping from variables to values; for plain values write a list"),
            );
        }
        let settings = entries.iter().map(|e| {
            self.literal(&e.value);
            Setting { var: e.key.clone(), span: e.key_span, value: e.value.clone() }
        });
        let settings = settings.collect();
        Level { value: Value::String(level.key.clone()), span: level.key_span, settings }
    }

    /// Levels are compared with the baseline and become names, so they hold no `${}`.
    fn literal(&mut self, node: &Tree) {
        match &node.data {
            Data::String(text) if text.contains("${") => self.report(
                Diagnostic::error("factors::literal", "a factor's levels are literal values")
                    .at(node.span, "`${...}` is not available here")
                    .help("vary the variable that this one is made from, or write the value out"),
            ),
            Data::List(items) => items.iter().for_each(|n| self.literal(n)),
            Data::Map(entries) => entries.iter().for_each(|e| self.literal(&e.value)),
            _ => {}
        }
    }
}
