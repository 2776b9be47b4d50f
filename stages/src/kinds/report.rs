//! `report`: one HTML page.

use std::fs;

use pipe_engine::{
    context::StageContext,
    kind::{OutputPort, ParamProblem, PortType, Ports, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compare::Compare;
use crate::{
    comparison::{self, CompareParams},
    results,
};

/// Writes one HTML page that holds arms against each other: effects, plots, items, answers side by side.
///
/// Inputs are those of `compare`: tables of scored items, gathered or by themselves, and tables that say what the
/// metrics are. Every run leaves such a page beside its results, of all stages with scores and with everything that
/// stands behind them; this kind is for pages of something else: of some arms, of tables from elsewhere, in another
/// comparison. As a stage's output depends on its inputs alone, the page has no times, keys or machines.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportParams {
    /// What stands above it.
    pub title: String,
    /// What it asks, in a sentence.
    pub about: Option<String>,
    /// How arms are compared: the parameters of `compare`.
    pub compare: CompareParams,
}

/// The kind.
pub struct Report;

impl StageKind for Report {
    type Params = ReportParams;
    const NAME: &'static str = "report";
    // 1: the first.
    // 2: the page says which confidence intervals have.
    const VERSION: u32 = 2;
    const GATHERS_WHAT_THERE_IS: bool = true;

    fn ports(&self, _: &ReportParams) -> Ports {
        let page = OutputPort::new("page", PortType::Files)
            .about("`report.html`: one file, which needs no other and no network.");
        Ports { inputs: Vec::new(), open_inputs: true, outputs: vec![page] }
    }

    fn check(&self, params: &ReportParams) -> Vec<ParamProblem> {
        let mut problems = Compare.check(&params.compare);
        for problem in &mut problems {
            problem.pointer = format!("/compare{}", problem.pointer);
        }
        problems
    }

    fn run(&self, params: &ReportParams, cx: &mut StageContext) -> Result<(), StageError> {
        let cx: &StageContext = cx;
        let (title, about) = (params.title.clone(), params.about.clone());
        let go_on = || cx.check_cancelled();
        let page = results::page_of(title, about, &params.compare, comparison::connected(cx)?, &go_on)?;
        let html = results::html(&page).map_err(|e| StageError::other("make the page", e))?;
        let path = cx.output_dir("page")?.join("report.html");
        fs::write(&path, html).map_err(|e| StageError::other(format!("write {}", path.display()), e))
    }
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { a: evaluate, b: evaluate.predictions }",
    version: 2,
    outputs: &[("page", "5d5960847ecfd8c0f8179a6ddd673d613c05fb848d00c9a8512e643c2e31eee8")],
};
