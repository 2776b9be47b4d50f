//! The resolved pipeline: variants expanded, names resolved, parameters typed, identical stages of different variants
//! merged.

mod label;
mod select;
mod walk;

use std::{path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;
use petgraph::graph::{DiGraph, NodeIndex};
use pipe_cache::Digest;
use serde_json::Value;

pub use self::{
    label::{Label, NodeRef},
    select::{SelectError, Selected, Selection},
};
use crate::{
    context::GatheredFrom,
    kind::{AnyParams, DynKind, OutputPort},
};

/// Index of a node in [`Pipeline::graph`].
pub type NodeId = NodeIndex<u32>;

/// One arm of the ablation.
#[derive(Debug, Clone)]
pub struct Variant {
    /// `baseline`, or its factors: `n_synthetic=1000` or `n_synthetic=1000,seed=18`.
    pub name: String,
    /// The name without the `replicate` factors: variants with the same arm are replicates of each other.
    pub arm: String,
    /// All factors with their values, the same ones in every variant (the columns of a gathered table). A named level
    /// that is not among the factor's own, as the baseline's may be, is called `baseline`.
    pub factors: IndexMap<String, Value>,
    /// All variables after overrides.
    pub vars: IndexMap<String, Value>,
}

impl Variant {
    /// As what is gathered from it says where it is from.
    pub fn gathered(&self) -> GatheredFrom {
        GatheredFrom {
            variant: self.name.clone(),
            arm: self.arm.clone(),
            factors: self.factors.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }
}

/// Where one input of a node comes from.
#[derive(Debug, Clone)]
pub struct InputEdge {
    /// The producing node.
    pub node: NodeId,
    /// Index into the producer's outputs.
    pub output: usize,
    /// For a gathered input (`name[*]`): the variants that share this producer, as indices into [`Pipeline::variants`].
    pub variants: Vec<usize>,
}

/// One input port of a node and what is connected to it.
#[derive(Debug, Clone)]
pub struct NodeInput {
    /// The port's name.
    pub port: String,
    /// Whether the rows of all variants are gathered (`name[*]`), with the factors as columns.
    pub gather: bool,
    /// One edge, or for a gathered input one per distinct producer.
    pub edges: Vec<InputEdge>,
}

/// What a stage may use of the machine while it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    /// Slots of the pool that `--jobs` sizes; default 1.
    pub cpu: u32,
    /// GPU slots; default 0.
    pub gpu: u32,
    /// Bytes of memory; default 0 (not counted).
    pub memory: u64,
    /// How long it may take: workers that end sooner do not begin it.
    pub time: Option<Duration>,
    /// The class of machines that it wants, such as `a100`: workers that offer it take it.
    pub class: Option<Arc<str>>,
}

/// What happens when a stage fails in passing.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Further attempts after the first; default 0.
    pub retries: u32,
    /// The wait before the first retry; doubles each time, with jitter.
    pub backoff: Duration,
}

/// One distinct computation. Several (variant, stage) pairs can stand for it.
pub struct Node {
    /// The kind.
    pub kind: Arc<dyn DynKind>,
    /// Parameters in the kind's own type.
    pub params: AnyParams,
    /// All parameters as JSON, defaults filled in.
    pub params_json: Arc<Value>,
    /// The part of `params_json` that enters the key (operational parameters removed).
    pub semantic: Arc<Value>,
    /// Inputs in port order.
    pub inputs: Vec<NodeInput>,
    /// Output ports.
    pub outputs: Vec<OutputPort>,
    /// The folder that relative paths in `params` start from: that of the file in which the stage is written.
    pub folder: PathBuf,
    /// Every (variant, stage) that is this node, as indices into [`Pipeline::variants`] and [`Pipeline::stages`]; never
    /// empty.
    pub placements: Vec<(u32, u32)>,
    /// Slots it takes while it runs.
    pub resources: Resources,
    /// What to do when it fails in passing.
    pub retry: RetryPolicy,
    /// Longest time it may run.
    pub timeout: Option<Duration>,
}

/// One stage as named in the file.
#[derive(Debug, Clone)]
pub struct StageName {
    /// The name under `stages:`.
    pub name: String,
    /// The kind's name.
    pub kind: String,
}

/// A pipeline ready to be planned and run.
pub struct Pipeline {
    /// `pipeline:`.
    pub name: String,
    /// `about:`.
    pub about: Option<String>,
    /// The folder of the pipeline file.
    pub base_dir: PathBuf,
    /// Every file that was read: the pipeline and its includes.
    pub files: Vec<PathBuf>,
    /// The digest of what stands in those files.
    pub digest: Digest,
    /// What `--set` changed, each `name=value`.
    pub overrides: Vec<String>,
    /// What a run with overrides is called: its results stand beside those of the file as it is written.
    pub trial: Option<String>,
    /// The arms, in file order; the baseline first.
    pub variants: Vec<Variant>,
    /// The stages, in file order.
    pub stages: Vec<StageName>,
    /// Nodes; an edge points from producer to consumer, and from the lower to the higher index: producers come first.
    pub graph: DiGraph<Node, (), u32>,
    /// Variant by variant, in the order of the stages: see [`Pipeline::node`].
    pub(crate) node_of: Vec<Option<NodeId>>,
}
