//! The variables: overrides applied, references followed, baseline values worked out.

use std::path::Path;

use indexmap::IndexMap;
use serde_json::Value;

use super::{
    Overrides, order,
    scope::{Room, Scope},
    template::{Compiled, compile},
};
use crate::{
    diag::{Diagnostic, SHOWN_OF_CIRCLE, Span, Texts, circle, one_of},
    kind::Synonym,
    spec::VarDef,
    yaml::{self, Data, Tree},
};

/// All variables, by index.
pub(crate) struct Vars {
    /// Definitions, `--set` applied.
    pub defs: IndexMap<String, VarDef>,
    /// Their templates.
    pub compiled: Vec<Compiled>,
    /// An order in which each comes after those it refers to.
    pub order: Vec<usize>,
    /// Values in the baseline; `null` where `broken`.
    pub baseline: Vec<Value>,
    /// Those that could not be worked out, which has been reported.
    pub broken: Vec<bool>,
    /// Those given with `--set`: index and where.
    pub set: Vec<(usize, Span)>,
}

impl Vars {
    /// Applies `set` (`name=value` each) to the definitions and works out the baseline.
    pub(crate) fn new(
        mut defs: IndexMap<String, VarDef>,
        set: &Overrides,
        room: &Room,
        synonyms: &[Synonym],
        texts: &mut Texts,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut changed = Vec::new();
        for text in &set.set {
            if let Some((name, def)) = override_of(text, &defs, &set.folder, synonyms, texts, problems) {
                let index = defs.get_index_of(&name).expect("it was looked up");
                changed.retain(|&(i, _)| i != index);
                changed.push((index, def.span));
                defs[index] = def;
            }
        }
        let compiled: Vec<Compiled> = defs.values().map(|def| compile(&def.value, &defs, problems)).collect();
        let edges: Vec<(u32, u32)> = compiled
            .iter()
            .enumerate()
            .flat_map(|(user, c)| c.deps.iter().map(move |&used| (used as u32, user as u32)))
            .collect();
        let sorted = order::sort(defs.len(), &edges);
        let mut broken: Vec<bool> = compiled.iter().map(|c| !c.ok).collect();
        for cycle in &sorted.cycles {
            let name = |i: usize| defs.get_index(i).map_or("", |(name, _)| name.as_str());
            // Producer to consumer is the wrong way round for reading: "a needs b".
            let path: Vec<&str> = cycle.iter().rev().map(|&i| name(i)).collect();
            let first = path[0];
            let message = if path.len() == 1 {
                format!("the variable `{first}` refers to itself")
            } else {
                "variables refer to each other in a circle".to_owned()
            };
            let mut problem = Diagnostic::error("vars::cycle", message).help(circle(&path));
            for &i in cycle.iter().rev().take(SHOWN_OF_CIRCLE) {
                problem = problem.at(defs[i].value.span, format!("`{}`", name(i)));
            }
            problems.push(problem);
        }
        broken.iter_mut().zip(&sorted.in_cycle).for_each(|(broken, cycle)| *broken |= cycle);
        let mut vars =
            Self { baseline: vec![Value::Null; defs.len()], defs, compiled, order: sorted.order, broken, set: changed };
        for i in vars.order.clone() {
            vars.broken[i] |= vars.compiled[i].deps.iter().any(|&d| vars.broken[d]);
            if !vars.broken[i] {
                let before = problems.len();
                vars.baseline[i] = vars.render(i, &|v| &vars.baseline[v], &|v| &vars.defs[v].value, room, problems);
                vars.broken[i] = problems.len() > before;
            }
        }
        vars
    }

    /// The value of a variable, given those it refers to, and how they are written.
    pub(crate) fn render<'v>(
        &'v self,
        var: usize,
        value: &dyn Fn(usize) -> &'v Value,
        node: &dyn Fn(usize) -> &'v Tree,
        room: &Room,
        problems: &mut Vec<Diagnostic>,
    ) -> Value {
        room.begin();
        self.compiled[var].template.render_owned(&Scope { defs: &self.defs, value, node, room }, problems)
    }

    /// The variables of the baseline.
    pub(crate) fn in_baseline<R>(&self, then: impl FnOnce(&Scope<'_, '_>) -> R) -> R {
        let (value, node) = (|v: usize| &self.baseline[v], |v: usize| &self.defs[v].value);
        then(&Scope { defs: &self.defs, value: &value, node: &node, room: &Room::default() })
    }

    /// The name of a variable.
    pub(crate) fn name(&self, var: usize) -> &str {
        self.defs.get_index(var).map_or("", |(name, _)| name)
    }

    /// Which variables are used, directly or through others, by a user of `direct`.
    pub(crate) fn used(&self, direct: impl IntoIterator<Item = usize>) -> Vec<bool> {
        let mut used = vec![false; self.defs.len()];
        let mut open: Vec<usize> = direct.into_iter().collect();
        while let Some(var) = open.pop() {
            if !std::mem::replace(&mut used[var], true) {
                open.extend(&self.compiled[var].deps);
            }
        }
        used
    }
}

fn value_of(set: &str) -> &str {
    set.split_once('=').map_or("", |(_, value)| value)
}

/// Reads one `--set`.
fn override_of(
    text: &str,
    defs: &IndexMap<String, VarDef>,
    folder: &Path,
    synonyms: &[Synonym],
    texts: &mut Texts,
    problems: &mut Vec<Diagnostic>,
) -> Option<(String, VarDef)> {
    let source = texts.add("--set", text, folder);
    let Some((name, value)) = text.split_once('=') else {
        problems.push(
            Diagnostic::error("set::syntax", "`--set` takes `name=value`")
                .at(Span::new(source, 0, text.len()), "no `=` here"),
        );
        return None;
    };
    let span = Span::new(source, 0, name.trim_end().len());
    let name = name.trim();
    if !defs.contains_key(name) {
        let help = if defs.is_empty() {
            Some("this pipeline has no `vars:`".to_owned())
        } else if let Some(meant) = Synonym::find(synonyms, name, Some(value_of(text)), |name| defs.contains_key(name))
        {
            let value = if meant.value.is_empty() { value_of(text) } else { &*meant.value };
            Some(format!("did you mean --set '{}={value}'?", meant.parameter))
        } else {
            one_of(name, "variables", defs.keys().map(String::as_str))
        };
        problems.push(
            Diagnostic::error("set::unknown", format!("there is no variable `{name}` to set"))
                .at(span, "unknown variable")
                .maybe_help(help),
        );
        return None;
    }
    let offset = text.len() - value.len();
    let node = yaml::parse_at(source, value, offset, problems)
        .unwrap_or(Tree { span: Span::new(source, offset, text.len()), data: Data::Invalid });
    Some((name.to_owned(), VarDef { span, value: node, is_shared: false }))
}
