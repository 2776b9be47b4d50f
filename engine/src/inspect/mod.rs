//! Answers about pipelines and runs: nothing is computed here.

mod ahead;
mod dag;
mod diff;
mod estimate;
mod memo;
mod plan;
mod servers;
mod survey;
mod watched;
mod why;
mod words;

pub use self::{
    dag::{Dag, DagEdge, DagStage, dag},
    diff::{
        CellDiff, Diff, DiffError, EXAMPLES, Metric, OutputDiff, RowExample, RowsDiff, StageDiff, runs as diff_runs,
        variants as diff_variants,
    },
    memo::Remembered,
    plan::{Action, Plan, PlanNode, StageSharing, plan},
    servers::ask_servers,
    survey::{Survey, survey},
    watched::{Sight, Watched},
    why::{Earlier, Verdict, Why, why},
    words::{Piece, marked, shortened, words},
};
