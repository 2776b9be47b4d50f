//! What a stage needs to know about the rest of the file, and the values of its templates in a variant.

use std::{borrow::Cow, collections::HashMap};

use serde_json::Value;

use super::{
    placing::Folders,
    scope::{Room, Scope},
    template::Compiled,
    variants::Variants,
    vars::Vars,
};
use crate::diag::Diagnostic;

/// What a stage needs to know about the rest.
pub(crate) struct Around<'a> {
    /// The variables.
    pub vars: &'a Vars,
    /// Their values in every variant.
    pub variants: &'a Variants<'a>,
    /// The names of the stages, in file order.
    pub names: &'a [&'a str],
    /// Index of each stage.
    pub stages: &'a HashMap<&'a str, usize>,
    /// Where the files lie.
    pub folders: &'a Folders<'a>,
    /// How much more may be made of variables.
    pub room: &'a Room,
}

impl Around<'_> {
    /// Whether nothing that it names is broken.
    pub(super) fn usable(&self, compiled: &Compiled) -> bool {
        compiled.ok && !compiled.deps.iter().any(|&d| self.vars.broken[d])
    }

    /// Looks at the variables of a variant.
    pub(super) fn in_scope<'v, R>(&'v self, variant: usize, then: impl FnOnce(Scope<'_, 'v>) -> R) -> R {
        let at = |var: usize| &self.variants.values[var][self.variants.number(var, variant) as usize];
        let value = |var: usize| &at(var).value;
        let node = |var: usize| at(var).node.unwrap_or(&self.vars.defs[var].value);
        then(Scope { defs: &self.vars.defs, value: &value, node: &node, room: self.room })
    }

    /// Its value in a variant; `None` when something was wrong, which has been reported.
    pub(super) fn render<'v>(
        &'v self,
        compiled: &'v Compiled,
        variant: usize,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Cow<'v, Value>> {
        let before = problems.len();
        self.room.begin();
        let value = self.in_scope(variant, |scope| compiled.template.render(&scope, problems));
        (problems.len() == before).then_some(value)
    }
}
