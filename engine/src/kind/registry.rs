//! The kinds by name.

use std::sync::Arc;

use super::{DynKind, StageKind};

/// The kinds a pipeline may use, by name, in the order in which `pipe kinds` lists them.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: indexmap::IndexMap<&'static str, Arc<dyn DynKind>>,
    synonyms: &'static [Synonym],
}

/// What parameters are called elsewhere.
#[derive(Debug)]
pub struct Synonym {
    /// Names in other programs.
    pub theirs: &'static [&'static str],
    /// What to write here, the best first: a parameter's name, or the name with a value (`lora: { r: 16 }`).
    pub ours: &'static [&'static str],
}

impl Synonym {
    /// What is to be written in place of `name`, where `is_known` says which parameters there are: `(parameter,
    /// value)`, the value empty where only the name differs.
    pub fn find(
        synonyms: &[Self],
        name: &str,
        is_known: impl Fn(&str) -> bool,
    ) -> Option<(&'static str, &'static str)> {
        let plain = name.to_lowercase().replace('-', "_");
        let ours = synonyms.iter().filter(|s| s.theirs.contains(&plain.as_str())).flat_map(|s| s.ours);
        let mut ours = ours.map(|ours| ours.split_once(": ").unwrap_or((ours, "")));
        ours.find(|(parameter, _)| *parameter != name && is_known(parameter))
    }
}

impl Registry {
    /// Adds a kind.
    #[must_use]
    pub fn with(mut self, kind: impl StageKind) -> Self {
        self.kinds.insert(DynKind::name(&kind), Arc::new(kind));
        self
    }

    /// Adds what parameters of these kinds are called elsewhere.
    #[must_use]
    pub fn knowing(self, synonyms: &'static [Synonym]) -> Self {
        Self { synonyms, ..self }
    }

    /// What parameters are called elsewhere.
    pub fn synonyms(&self) -> &'static [Synonym] {
        self.synonyms
    }

    /// The kind of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn DynKind>> {
        self.kinds.get(name)
    }

    /// All kinds.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn DynKind>> {
        self.kinds.values()
    }
}
