//! What a run would do: for every node, hit, run (and why), or pending on an upstream that runs.

use std::sync::Arc;

use pipe_cache::{Digest, Store};
use serde::Serialize;

use super::{
    ahead::{Ahead, told},
    estimate::Estimator,
    memo::{Memos, Remembered},
    survey::survey_beyond,
    why::{History, Verdict, explain},
};
use crate::{
    events::{Journal, Timings},
    execute::{RunError, RunOptions},
    keys::{SourceHasher, Standing},
    pipeline::{Label, NodeId, NodeRef, Pipeline, StageName},
};

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: String,
    /// The selected nodes and what they need, producers before consumers.
    pub nodes: Vec<PlanNode>,
    /// How the stages of the variants collapse, in file order.
    pub sharing: Vec<StageSharing>,
    /// Sum of the estimates of what would run or may run, in seconds; nodes without history are left out.
    pub estimated_seconds: f64,
    /// How many nodes would run or may run whose time is unknown.
    pub unknown: usize,
    /// Of how many nodes that would run or may run the files were not looked into: there are too many of them.
    pub unlooked: usize,
}

/// One node of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanNode {
    /// The node.
    pub node: NodeRef,
    /// The stage's name (of the first placement).
    pub stage: String,
    /// The kind's name.
    pub kind: String,
    /// All variants that it stands for.
    pub variants: Vec<String>,
    /// What would happen.
    #[serde(flatten)]
    pub action: Action,
    /// Whether it is files that keep it from running, and a stage that runs before it may make them.
    #[serde(skip)]
    pub may_pass: bool,
    /// Estimated seconds if it runs; `None` where there is no history.
    pub estimate: Option<f64>,
    /// If it runs: how many rows it makes (streams) or is given, where that is known.
    pub rows: Option<u64>,
    /// If it runs: what of its rows is in the memo, and need not be computed.
    pub remembered: Option<Remembered>,
    /// If it runs: where its model does, `cpu` or the server; or the GPUs that it asks for.
    pub place: Option<String>,
    /// If it runs: bytes of memory that it takes at most, estimated, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// What would happen to a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Its result is in the store.
    Hit {
        /// Its key.
        key: Digest,
        /// Whether it is on the remote, and a run would fetch it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        remote: bool,
    },
    /// It would run.
    Run {
        /// Its key; `None` when it cannot be computed.
        key: Option<Digest>,
        /// Why, in one line per change.
        reasons: Vec<String>,
    },
    /// Whether it runs depends on what those upstreams yield.
    Pending {
        /// The upstreams that run or are pending themselves.
        on: Vec<Label>,
    },
    /// It cannot run: an upstream is neither selected nor in the store.
    Blocked {
        /// That upstream.
        on: Label,
    },
    /// It is not selected, and its result is not in the store or not known.
    NotSelected,
    /// Its sources cannot be read.
    Error {
        /// Why.
        message: String,
    },
}

/// How many (variant, stage) pairs of one stage collapse to how many computations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageSharing {
    /// The stage.
    pub stage: String,
    /// Variants that have it.
    pub placements: usize,
    /// Distinct computations among them.
    pub nodes: usize,
}

/// Says what [`crate::execute::run`] would do with the same options. Reads the store, runs nothing.
pub fn plan(pipeline: &Pipeline, store: &Store, options: &RunOptions) -> Result<Plan, RunError> {
    let selected = options.selection.resolve(pipeline)?;
    let relevant = pipeline.upstream(selected.nodes());
    let remote = options.remote.as_ref();
    let survey = survey_beyond(pipeline, store, remote, &options.env, &relevant, &selected.force)?;
    let estimator = Estimator::new(pipeline, &survey, Timings::read(&Journal::new(store))?);
    let hasher = SourceHasher::new(store.clone(), Arc::clone(&options.env));
    let mut ahead = Ahead::new(pipeline, store, &survey, hasher, options.memory);
    let mut memos = Memos::new(pipeline, &survey, store);
    let mut planner = Planner {
        pipeline,
        names: pipeline.node_refs(),
        history: History::new(pipeline, store)?,
        actions: vec![None; pipeline.graph.node_count()],
    };
    let mut plan = Plan {
        pipeline: pipeline.name.clone(),
        nodes: Vec::new(),
        sharing: sharing(pipeline),
        estimated_seconds: 0.0,
        unknown: 0,
        unlooked: 0,
    };
    for id in pipeline.graph.node_indices().filter(|id| relevant[id.index()]) {
        let standing = &survey.nodes[id.index()];
        let elsewhere = survey.elsewhere[id.index()];
        let mut action = planner.action(id, standing, selected.run[id.index()], elsewhere)?;
        let mut of_files = matches!(action, Action::Error { .. });
        if matches!(action, Action::Run { .. } | Action::Pending { .. })
            && let Some(problem) = ahead.problem(id)?
        {
            of_files = problem.of_files;
            action = Action::Error { message: problem.message };
        }
        let may_pass = of_files && planner.follows_work(id);
        planner.actions[id.index()] = Some(action.clone());
        let runs = matches!(action, Action::Run { .. } | Action::Pending { .. });
        let remembered = if runs { memos.of(id)? } else { None };
        let estimate = if runs { estimator.estimate(id, remembered) } else { None };
        match estimate {
            Some(seconds) => plan.estimated_seconds += seconds,
            None => plan.unknown += usize::from(runs),
        }
        let node = &pipeline.graph[id];
        plan.nodes.push(PlanNode {
            node: planner.names[id.index()].clone(),
            stage: pipeline.stages[node.placements[0].1 as usize].name.clone(),
            kind: node.kind.name().to_owned(),
            variants: node.placements.iter().map(|&(v, _)| pipeline.variants[v as usize].name.clone()).collect(),
            action,
            may_pass,
            estimate,
            rows: estimator.rows(id).filter(|_| runs),
            remembered,
            place: ahead.place(id).filter(|_| runs),
            memory: ahead.memory(id).filter(|_| runs),
        });
    }
    plan.unlooked = ahead.unlooked();
    Ok(plan)
}

struct Planner<'a> {
    pipeline: &'a Pipeline,
    names: Vec<NodeRef>,
    history: History<'a>,
    /// By node index, for those planned already.
    actions: Vec<Option<Action>>,
}

impl Planner<'_> {
    /// Whether anything that the node stands on would run before it.
    fn follows_work(&self, id: NodeId) -> bool {
        let upstream = self.pipeline.upstream([id]);
        let runs = |at: usize| matches!(self.actions[at], Some(Action::Run { .. } | Action::Pending { .. }));
        (0..id.index()).any(|at| upstream[at] && runs(at))
    }

    fn action(&mut self, id: NodeId, standing: &Standing, selected: bool, remote: bool) -> Result<Action, RunError> {
        Ok(match standing {
            Standing::Hit(entry) => Action::Hit { key: entry.key, remote },
            _ if !selected => Action::NotSelected,
            Standing::Unreadable(error) => Action::Error { message: told(error) },
            Standing::Pending { on, .. } => {
                let stuck = |p: &&NodeId| {
                    let action = self.actions[p.index()].as_ref();
                    !matches!(action, Some(Action::Run { .. } | Action::Pending { .. }))
                };
                match on.iter().find(stuck) {
                    Some(p) => Action::Blocked { on: self.names[p.index()].label.clone() },
                    None => Action::Pending { on: on.iter().map(|p| self.names[p.index()].label.clone()).collect() },
                }
            }
            Standing::Missing(missing) => {
                let why = explain(self.pipeline, &mut self.history, id, standing)?;
                let mut reasons: Vec<String> = missing.obstacle.iter().map(ToString::to_string).collect();
                match why.verdict {
                    Verdict::NeverRan => reasons.push("never ran".to_owned()),
                    Verdict::Deleted { .. } if reasons.is_empty() => reasons.push("its result was deleted".to_owned()),
                    _ => reasons.extend(why.changes),
                }
                Action::Run { key: missing.key, reasons }
            }
            Standing::Unseen => Action::NotSelected,
        })
    }
}

fn sharing(pipeline: &Pipeline) -> Vec<StageSharing> {
    let stage = |(stage, name): (usize, &StageName)| {
        let mut nodes: Vec<NodeId> = pipeline.stage_nodes(stage).collect();
        let placements = nodes.len();
        nodes.sort_unstable();
        nodes.dedup();
        StageSharing { stage: name.name.clone(), placements, nodes: nodes.len() }
    };
    pipeline.stages.iter().enumerate().map(stage).collect()
}
