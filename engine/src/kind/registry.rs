//! The kinds by name.

use std::{collections::BTreeMap, sync::Arc};

use super::{DynKind, Example, StageKind, Synonym};

/// The kinds a pipeline may use, by name, in the order in which `pipe kinds` lists them.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: indexmap::IndexMap<&'static str, Arc<dyn DynKind>>,
    examples: BTreeMap<&'static str, Example>,
    synonyms: &'static [Synonym],
}

impl Registry {
    /// Adds a kind.
    #[must_use]
    pub fn with(mut self, kind: impl StageKind) -> Self {
        self.kinds.insert(DynKind::name(&kind), Arc::new(kind));
        self
    }

    /// Adds an example of the kind that was added last.
    #[must_use]
    pub fn showing(mut self, example: &'static str) -> Self {
        if let Some((name, _)) = self.kinds.last() {
            self.examples.insert(name, Example(example));
        }
        self
    }

    /// The example of a kind.
    pub fn example(&self, name: &str) -> Option<Example> {
        self.examples.get(name).copied()
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
