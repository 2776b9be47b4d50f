//! The kinds that a pipeline uses, each with its schema.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use super::{check::Plain, operational::Semantics, placing::Marks};
use crate::kind::{DynKind, Registry, Synonym};

/// A kind with its schema, made once.
pub(crate) struct KindInfo {
    /// The kind.
    pub kind: Arc<dyn DynKind>,
    /// The schema of its parameters.
    pub schema: Value,
    /// What of the parameters enters the key.
    pub semantics: Semantics,
    /// Parameters in which plainly nothing is wrong.
    pub plain: Plain,
    /// What the schema says of paths.
    pub marks: Marks,
    /// What its parameters are called elsewhere.
    pub synonyms: &'static [Synonym],
}

impl KindInfo {
    fn new(kind: &Arc<dyn DynKind>, synonyms: &'static [Synonym]) -> Self {
        let schema = kind.schema().to_value();
        Self {
            synonyms,
            kind: kind.clone(),
            semantics: Semantics::of(&schema),
            plain: Plain::of(&schema),
            marks: Marks::of(&schema),
            schema,
        }
    }
}

/// The kinds that are used, by name.
#[derive(Default)]
pub(crate) struct Kinds {
    known: HashMap<String, Arc<KindInfo>>,
}

impl Kinds {
    /// A kind, if there is one of that name.
    pub(super) fn get(&mut self, name: &str, registry: &Registry) -> Option<Arc<KindInfo>> {
        if let Some(info) = self.known.get(name) {
            return Some(info.clone());
        }
        let info = Arc::new(KindInfo::new(registry.get(name)?, registry.synonyms()));
        self.known.insert(name.to_owned(), info.clone());
        Some(info)
    }
}
