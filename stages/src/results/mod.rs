//! What a pipeline came to: its arms compared, for the terminal, the report and other programs. Everything is read from
//! results that are there, and from what a run said; nothing enters a stage's output.

mod arms;
mod differing;
mod doctor;
mod heard;
mod lineage;
mod looked;
mod page;
mod read;
mod resembling;
mod samples;
mod studies;
mod study;
#[cfg(test)]
mod tests;
mod trace;
mod words;

use std::{collections::BTreeMap, io, sync::Arc};

use pipe_cache::{Store, StoreError};
use pipe_engine::{
    diag::redacted,
    kind::Highlight,
    pipeline::{Node, Pipeline},
};
use pipe_report::{Failure, Made, Report};
use serde::{Deserialize, Serialize};

use self::looked::Looked;
pub(crate) use self::page::page_of;
pub use self::{
    doctor::Sign,
    heard::Heard,
    study::{Score, Study, StudyArm},
    trace::{Influence, Trace, TracedAnswer, TracedRow},
};
use crate::comparison;
pub use crate::comparison::FOLDED;

/// What a pipeline came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The pipeline's name; with the name of a trial behind it.
    pub title: String,
    /// What it asks (`about`).
    pub question: Option<String>,
    /// One for every set of stages that are compared with each other.
    pub studies: Vec<Study>,
    /// Stages that have no result, and why.
    pub failures: Vec<Failure>,
}

/// A pipeline's nodes as they stand in a store, and what they came to.
pub struct Gathered<'a> {
    looked: Looked<'a>,
    /// What they came to.
    pub results: Results,
}

impl<'a> Gathered<'a> {
    /// Looks at all nodes of the pipeline, and compares what has scores. `heard` is what the run said that has just
    /// ended.
    ///
    /// # Errors
    /// The store breaks down. What cannot be compared is said in the study.
    pub fn new(
        pipeline: &'a Pipeline,
        store: &'a Store,
        env: &Arc<BTreeMap<String, String>>,
        heard: &'a Heard,
    ) -> Result<Self, StoreError> {
        let looked = Looked::at(pipeline, store, env, heard)?;
        let results = Results {
            title: title(pipeline),
            question: pipeline.about.clone(),
            studies: studies::studies(&looked)?,
            failures: heard.failures(pipeline).into_iter().chain(looked.unreadable.clone()).collect(),
        };
        Ok(Self { looked, results })
    }

    /// All that the report shows. `time` says a time in milliseconds since 1970 for people.
    ///
    /// # Errors
    /// The store breaks down.
    pub fn report(&self, made: Made, time: &dyn Fn(u64) -> String) -> Result<Report, StoreError> {
        page::report(&self.looked, &self.results, made, time)
    }
}

/// The page, without credentials: names, parameters and texts of all kinds may hold an address with a password, and
/// people pass the page on.
///
/// # Errors
/// It could not be made; a fault of ours.
pub fn html(report: &Report) -> io::Result<String> {
    let report: Report = serde_json::from_value(redacted(&serde_json::to_value(report)?))?;
    pipe_report::html(&report).map_err(io::Error::other)
}

/// Whether there are arms to show: a stage with scores, or one that compares some.
pub fn has_arms(pipeline: &Pipeline) -> bool {
    let is_score = |highlight: &Highlight| matches!(highlight, Highlight::Score { .. });
    let has =
        |node: &Node| node.kind.name() == comparison::KIND || node.kind.highlights(&node.params).iter().any(is_score);
    pipeline.graph.node_weights().any(has)
}

fn title(pipeline: &Pipeline) -> String {
    pipeline.trial.as_ref().map_or_else(|| pipeline.name.clone(), |trial| format!("{} +{trial}", pipeline.name))
}
