//! Answers about pipelines and runs: nothing is computed here.

mod ahead;
mod dag;
mod diff;
mod estimate;
mod plan;
mod survey;
mod why;

pub use self::{
    dag::{Dag, DagEdge, DagStage, dag},
    diff::{Diff, DiffError, Metric, OutputDiff, StageDiff, runs as diff_runs, variants as diff_variants},
    plan::{Action, Plan, PlanNode, StageSharing, plan},
    survey::{Survey, survey},
    why::{Earlier, Verdict, Why, why},
};
