//! An arm, and its draws.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use pipe_cache::Digest;

/// An arm: one input, at one combination of factors.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
    pub name: String,
    pub input: String,
    /// Factors that arms differ by, with their levels as text.
    pub factors: BTreeMap<String, String>,
    /// By replicate; one without a name where there are none.
    pub draws: BTreeMap<String, Arc<Draw>>,
    /// Draws that it should have, and has no result of.
    pub missing: BTreeSet<String>,
}

/// The scored items of one variant.
#[derive(Debug)]
pub(crate) struct Draw {
    /// Where each item stands.
    pub places: HashMap<Arc<str>, usize>,
    pub ids: Vec<Arc<str>>,
    pub tasks: Vec<Option<Arc<str>>>,
    /// Where the items of each task stand.
    pub of_task: HashMap<Arc<str>, Vec<usize>>,
    pub clusters: Vec<Option<Arc<str>>>,
    /// By metric, in the order of the metrics.
    pub scores: Vec<Vec<Option<f64>>>,
    /// Of the table, to tell results that several variants share.
    pub content: Digest,
    /// The variant, where the input is gathered.
    pub variant: Option<String>,
}

impl Draw {
    /// Where the items of a task stand, or all.
    pub(super) fn places_of(&self, task: Option<&str>) -> Box<dyn Iterator<Item = usize> + '_> {
        match task {
            None => Box::new(0..self.ids.len()),
            Some(task) => Box::new(self.of_task.get(task).into_iter().flatten().copied()),
        }
    }

    /// Numbers the clusters of items; one without a cluster is alone.
    pub(crate) fn numbered<'a>(&'a self, ids: impl Iterator<Item = &'a str>) -> Vec<usize> {
        let mut names: HashMap<(bool, &str), usize> = HashMap::new();
        let number = |id: &'a str| {
            let cluster = self.places.get(id).and_then(|&place| self.clusters[place].as_deref());
            let next = names.len();
            *names.entry((cluster.is_some(), cluster.unwrap_or(id))).or_insert(next)
        };
        ids.map(number).collect()
    }
}
