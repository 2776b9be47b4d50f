//! Looks at every row that people put into a pipeline, before anything is computed, and says which do not fit.
//!
//! What a table's rows are for is told by the inputs that they reach: directly, and through stages that pass their
//! columns on. A kind says of its inputs which columns they need, and what their rows are to a study ([`Role`]).

mod columns;
mod fill;
mod flow;
mod overlaps;
mod rows;
mod started;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use pipe_engine::{
    context::causes,
    diag::Severity,
    kind::{OutputPort, PortType, Role, StageError, StageKind},
    pipeline::{InputEdge, NodeId, Pipeline},
};

use crate::kinds::table::{Table, TableParams};
use flow::Use;
use rows::Rows;
pub use started::Started;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The tables that were looked at.
    pub tables: Vec<Looked>,
    /// What does not fit.
    pub findings: Vec<Finding>,
    /// Stages whose rows are seeds, documents or exam, and that are made, or brought here, by a run.
    pub unlooked: Vec<(String, Role)>,
    /// What a run would start.
    pub started: Vec<Started>,
}

/// A table that was looked at.
#[derive(Debug)]
pub struct Looked {
    /// The stage that reads it.
    pub stage: String,
    /// What its rows are for.
    pub roles: Vec<Role>,
    /// How many there are.
    pub rows: usize,
    /// Where they are, as it is written.
    pub path: String,
}

/// Rows of a table that do not fit, for one reason.
#[derive(Debug)]
pub struct Finding {
    /// Whether the study would be wrong, or may be.
    pub severity: Severity,
    /// A stable name for scripts, for example `exam::in_seeds`.
    pub code: &'static str,
    /// The stage that reads the table.
    pub stage: String,
    /// What is wrong, as a sentence.
    pub message: String,
    /// Which rows; none where it is wrong with the table.
    pub rows: Vec<Found>,
    /// What to do about it.
    pub help: Option<String>,
}

/// A row.
#[derive(Debug)]
pub struct Found {
    /// Where it is.
    pub place: Place,
    /// What stands there.
    pub text: String,
    /// What it is like: where that is, what stands there, and how much they have in common.
    pub like: Option<(Place, String, f64)>,
}

/// Where a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line where it begins, from 1; `None` where files have no lines, or hold one row.
    pub line: Option<u64>,
    /// The row's number in the table, from 1.
    pub row: usize,
    /// Whether it is all of its file.
    pub alone: bool,
}

/// A table with what it is for.
struct Input {
    stage: String,
    path: String,
    uses: Vec<Use>,
    rows: Rows,
}

/// A table that is to be read, once for all stages that read the same files in the same way: those of several variants
/// may. Which columns are looked at is told by the uses of all of them.
struct Wanted<'a> {
    stage: String,
    folder: &'a Path,
    params: &'a TableParams,
    written: String,
    uses: Vec<Use>,
}

impl Input {
    fn is(&self, role: Role) -> bool {
        self.uses.iter().any(|of| of.role == Some(role))
    }

    fn finding(&self, severity: Severity, code: &'static str, message: String, rows: Vec<Found>) -> Finding {
        Finding { severity, code, stage: self.stage.clone(), message, rows, help: None }
    }
}

/// Looks at the tables of a pipeline.
pub fn check(pipeline: &Pipeline) -> Report {
    let mut report = Report { started: started::started(pipeline), ..Report::default() };
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for id in pipeline.graph.node_indices() {
        let node = &pipeline.graph[id];
        let stage = pipeline.stages[node.placements[0].1 as usize].name.clone();
        let Some(params) = table_of(pipeline, id) else {
            unlooked(pipeline, id, &stage, &mut report);
            continue;
        };
        let (folder, written, uses) = (&*node.folder, node.params_json.to_string(), flow::uses(pipeline, id, 0));
        match wanted.iter_mut().find(|known| known.folder == folder && known.written == written) {
            Some(known) => known.uses.extend(uses),
            None => wanted.push(Wanted { stage, folder, params, written, uses }),
        }
    }
    let mut inputs: Vec<Input> = Vec::new();
    for Wanted { stage, folder, params, uses, .. } in wanted {
        let mut rows = Rows::wanting(&uses);
        match params.read(folder, &mut rows) {
            Ok(_) => inputs.push(Input { stage, path: params.written_path(), uses, rows }),
            Err(error) => report.findings.push(unreadable(stage, &error)),
        }
    }
    for input in &inputs {
        report.findings.extend(columns::missing(input));
        report.findings.extend(fill::unfilled(input));
    }
    report.findings.extend(flow::too_few(pipeline, &inputs));
    report.findings.extend(overlaps::overlaps(&inputs));
    report.tables = inputs
        .into_iter()
        .map(|input| {
            let mut roles: Vec<Role> = input.uses.iter().filter_map(|of| of.role).collect();
            roles.sort_unstable();
            roles.dedup();
            Looked { stage: input.stage, roles, rows: input.rows.len(), path: input.path }
        })
        .collect();
    report
}

fn unreadable(stage: String, error: &StageError) -> Finding {
    let (message, help) = match error {
        StageError::User { message, help } => (message.clone(), help.clone()),
        other => (causes(other).join(": "), None),
    };
    Finding { severity: Severity::Error, code: "table::unreadable", stage, message, rows: Vec::new(), help }
}

fn table_of(pipeline: &Pipeline, id: NodeId) -> Option<&TableParams> {
    let node = &pipeline.graph[id];
    if node.kind.name() != Table::NAME {
        return None;
    }
    node.params.downcast_ref::<TableParams>().filter(|params| params.is_here())
}

/// Notes what those outputs of another stage are for whose rows are brought here by a run, or made of other rows in a
/// way that nobody knows of before it. A kind that says what rows are to it writes its own: people have none to mend.
fn unlooked(pipeline: &Pipeline, id: NodeId, stage: &str, report: &mut Report) {
    let node = &pipeline.graph[id];
    let is_table = |edge: &InputEdge| pipeline.graph[edge.node].outputs[edge.output].produces != PortType::Files;
    let reads = node.inputs.iter().flat_map(|input| &input.edges).any(is_table);
    let remakes = reads && node.kind.ports(&node.params).inputs.iter().all(|port| port.role.is_none());
    let lost = |output: &OutputPort| node.inputs.is_empty() || (remakes && output.passes.is_none());
    let outputs = (0..).zip(&node.outputs).filter(|(_, output)| lost(output)).map(|(at, _)| at);
    let roles = outputs.flat_map(|output| flow::uses(pipeline, id, output)).filter_map(|of| of.role);
    for role in roles {
        let entry = (stage.to_owned(), role);
        if !report.unlooked.contains(&entry) {
            report.unlooked.push(entry);
        }
    }
}
