//! What stages of a run keep for each other beyond their own end. It is ended by being dropped.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// Something that is kept; dropping it may take its time.
pub(crate) type Kept = Box<dyn Any + Send>;

/// What is kept, by the name under which it is shared.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<BTreeMap<String, Kept>>>);

impl Shared {
    /// Keeps something in place of what was kept under that name, which is gone when this returns.
    pub(crate) fn keep(&self, name: &str, thing: Kept) {
        let before = self.0.lock().insert(name.to_owned(), thing);
        drop(before);
    }

    /// The names of what is kept.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }

    /// What is kept under a name, to be dropped by whoever takes it.
    pub(crate) fn take(&self, name: &str) -> Option<Kept> {
        self.0.lock().remove(name)
    }
}
