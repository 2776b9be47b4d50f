//! What can be known before a run beyond keys: the columns that outputs have or will have, and what a stage would fail
//! on.

use std::collections::{BTreeMap, BTreeSet};

use pipe_cache::{Manifest, Store, StoreError};

use super::survey::Survey;
use crate::{
    context::{StageError, causes},
    keys::SourceHasher,
    kind::{Column, Memory, Preview},
    pipeline::{InputEdge, Node, NodeId, NodeInput, Pipeline},
};

/// The files of how many nodes are looked into. A plan stays quick however many stages there are, each with files of
/// its own; of the others it is known what their kinds declare.
const LOOKS: usize = 1_000;

/// The columns of a table as far as they are known.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Those that are there, or will be.
    certain: BTreeSet<String>,
    /// Those that may be there.
    possible: BTreeSet<String>,
    /// What to do where one is missing.
    hint: Option<String>,
}

/// An error in a line, with what to do about it.
pub(super) fn told(error: &StageError) -> String {
    match error {
        StageError::User { message, help: Some(help) } => format!("{message} ({help})"),
        _ => causes(error).join(": "),
    }
}

/// What is said of a stage for which there is too little memory.
fn too_large(memory: Memory, limit: u64) -> Option<String> {
    let size = |bytes: u64| match bytes as f64 {
        bytes if bytes < 1e9 => format!("{:.0} MB", bytes / 1e6),
        bytes => format!("{:.1} GB", bytes / 1e9),
    };
    (limit > 0 && memory.least > limit).then(|| {
        format!(
            "it takes at least about {} of memory, its model's weights {} of it, and `--memory` or pipe.toml allows {} \
             (keep the weights in another form with `weights`, such as q8_0, or allow more)",
            size(memory.least),
            size(memory.weights),
            size(limit)
        )
    })
}

/// What a node would fail on.
pub(super) struct Problem {
    pub message: String,
    /// Whether that is a file, or a program, outside the store.
    pub of_files: bool,
}

/// Looks ahead, in the order of the graph.
pub(super) struct Ahead<'a> {
    pipeline: &'a Pipeline,
    store: &'a Store,
    survey: &'a Survey,
    hasher: SourceHasher,
    manifests: BTreeMap<NodeId, Option<Manifest>>,
    /// By node: the columns of the outputs of those that would run.
    promised: BTreeMap<NodeId, Vec<Option<Known>>>,
    /// Where the models of those that would run do.
    places: BTreeMap<NodeId, String>,
    /// What they take of memory.
    memory: BTreeMap<NodeId, Memory>,
    /// Bytes of memory that there are; 0 where it is not counted.
    limit: u64,
    /// How many nodes were asked for.
    asked: usize,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(
        pipeline: &'a Pipeline,
        store: &'a Store,
        survey: &'a Survey,
        hasher: SourceHasher,
        limit: u64,
    ) -> Self {
        Self {
            pipeline,
            store,
            survey,
            hasher,
            manifests: BTreeMap::new(),
            promised: BTreeMap::new(),
            places: BTreeMap::new(),
            memory: BTreeMap::new(),
            limit,
            asked: 0,
        }
    }

    /// Of how many nodes the files were not looked into.
    pub(super) fn unlooked(&self) -> usize {
        self.asked.saturating_sub(LOOKS)
    }

    /// Where the model of a node that was asked for runs, in words.
    pub(super) fn place(&self, id: NodeId) -> Option<String> {
        self.places.get(&id).cloned()
    }

    /// What a node that was asked for takes of memory, in bytes, as its parameters ask for.
    pub(super) fn memory(&self, id: NodeId) -> Option<u64> {
        self.memory.get(&id).map(|memory| memory.most)
    }

    /// What a node that would run would fail on, as far as that can be told. To be asked of producers before their
    /// consumers.
    pub(super) fn problem(&mut self, id: NodeId) -> Result<Option<Problem>, StoreError> {
        let node = &self.pipeline.graph[id];
        self.asked += 1;
        let previewed = if self.asked > LOOKS {
            Ok(Preview::default())
        } else {
            node.kind.preview(&node.params, &self.hasher.host(node))
        };
        let (mut preview, mut problem) = match previewed {
            Ok(preview) => (preview, None),
            Err(error) => (Preview::default(), Some(told(&error))),
        };
        let of_files = problem.is_some();
        let gpus = Some(node.resources.gpu).filter(|gpus| *gpus > 0).map(|gpus| format!("{gpus} gpu"));
        // What runs here on GPUs is not said to run on a CPU.
        let elsewhere = preview.place.clone().filter(|place| gpus.is_none() || !place.starts_with("cpu"));
        let place: Vec<String> = gpus.into_iter().chain(elsewhere).collect();
        if !place.is_empty() {
            self.places.insert(id, place.join(", "));
        }
        if let Some(memory) = preview.memory {
            self.memory.insert(id, memory);
            problem = problem.or_else(|| too_large(memory, self.limit));
        }
        let mut inputs: BTreeMap<&str, Option<Known>> = BTreeMap::new();
        for input in &node.inputs {
            let known = self.arriving(input)?;
            if problem.is_none()
                && let Some(known) = &known
            {
                problem = self.missing(node, input, known);
            }
            inputs.insert(&input.port, known);
        }
        if problem.is_none() {
            let all = |known: &Known| known.certain.union(&known.possible).cloned().collect();
            let arriving = inputs.iter().filter_map(|(port, known)| Some(((*port).to_owned(), all(known.as_ref()?))));
            match node.kind.follow(&node.params, &arriving.collect()) {
                Ok(followed) => preview.columns.extend(followed.columns),
                Err(error) => problem = Some(told(&error)),
            }
        }
        let outputs = node.outputs.iter().map(|output| {
            if let Some(columns) = preview.columns.get(&*output.name) {
                return Some(Known {
                    certain: columns.iter().cloned().collect(),
                    possible: BTreeSet::new(),
                    hint: preview.hints.get(&*output.name).cloned(),
                });
            }
            let names = |always: bool| output.columns.iter().filter(move |c| c.always == always);
            let mut known = Known {
                certain: names(true).map(|c| c.name.to_string()).collect(),
                possible: names(false).map(|c| c.name.to_string()).collect(),
                hint: None,
            };
            if let Some(input) = output.passes {
                let passed = inputs.get(input).cloned().flatten()?;
                known.certain.extend(passed.certain);
                known.possible.extend(passed.possible);
                known.hint = passed.hint;
            }
            (!known.certain.is_empty()).then_some(known)
        });
        self.promised.insert(id, outputs.collect());
        Ok(problem.map(|message| Problem { message, of_files }))
    }

    /// The first column that an input needs and cannot have.
    fn missing(&self, node: &Node, input: &NodeInput, known: &Known) -> Option<String> {
        let port = node.kind.ports(&node.params).inputs.into_iter().find(|port| port.name == input.port)?;
        let there = |name: &str| known.certain.contains(name) || known.possible.contains(name);
        let lacks = |c: &&Column| c.always && !there(&c.name) && !c.alternatives.iter().any(|other| there(other));
        let column = port.columns.iter().find(lacks)?;
        let or = column.or_others("`");
        let have: Vec<String> = known.certain.iter().map(|name| format!("`{name}`")).collect();
        let from = &self.pipeline.graph[input.edges.first()?.node].placements[0];
        let from = &self.pipeline.stages[from.1 as usize].name;
        let hint = known.hint.as_deref().unwrap_or("rename one where the table is read, or connect another stage");
        Some(format!(
            "the input `{}` needs a column `{}`{or}, and the columns of `{from}` are {} ({hint})",
            input.port,
            column.name,
            have.join(", ")
        ))
    }

    /// The columns that arrive at an input; `None` where they are not known.
    fn arriving(&mut self, input: &NodeInput) -> Result<Option<Known>, StoreError> {
        let mut all: Option<Known> = None;
        for edge in &input.edges {
            let Some(known) = self.delivered(edge)? else { return Ok(None) };
            all = Some(match all {
                None => known,
                // What is gathered must agree; a column that one variant lacks is found when it runs.
                Some(all) => Known {
                    certain: all.certain.union(&known.certain).cloned().collect(),
                    possible: all.possible.union(&known.possible).cloned().collect(),
                    hint: all.hint.or(known.hint),
                },
            });
        }
        if input.gather
            && let Some(known) = &mut all
        {
            let factors = self.pipeline.variants.first().into_iter().flat_map(|v| v.factors.keys().cloned());
            known.certain.extend(["variant".to_owned(), "arm".to_owned()].into_iter().chain(factors));
        }
        Ok(all)
    }

    fn delivered(&mut self, edge: &InputEdge) -> Result<Option<Known>, StoreError> {
        if let Some(entry) = self.survey.entry(edge.node) {
            let manifest = match self.manifests.entry(edge.node) {
                std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => free.insert(self.store.manifest(&entry.key)?),
            };
            let columns = manifest.as_ref().and_then(|m| m.outputs.get(edge.output)).map(|output| &output.columns);
            return Ok(columns.filter(|columns| !columns.is_empty()).map(|columns| Known {
                certain: columns.iter().map(|column| column.name.clone()).collect(),
                possible: BTreeSet::new(),
                hint: None,
            }));
        }
        Ok(self.promised.get(&edge.node).and_then(|outputs| outputs.get(edge.output).cloned().flatten()))
    }
}
