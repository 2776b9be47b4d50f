//! `evaluate_retrieval`: how good rankings of documents are, given judgements.

mod judged;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use pipe_engine::{
    context::StageContext,
    kind::{Column, Highlight, InputPort, OutputPort, ParamProblem, PortType, Ports, StageError, StageKind},
};
use pipe_metrics::RankMetric;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::judged::{Judgements, Ranking};
use crate::rows::{
    ports,
    scores::{self, BootstrapParams},
};

/// Scores what `retrieve` found against judgements of which documents are relevant (qrels): nDCG, MAP, MRR, recall,
/// precision and success.
///
/// The numbers are trec_eval's: gains are linear, a document without a judgement is not relevant, one is relevant from
/// 1 on, and of documents with equal scores (as numbers of 32 bits) the one with the greater id comes first (`ties`). A
/// query that is judged and finds nothing scores 0, where trec_eval leaves it out; one without a judgement is not
/// scored.
///
/// `queries` has a row per query, which `compare` takes; `scores` and `tasks` are as those of `evaluate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateRetrievalParams {
    /// What is measured: ndcg, map, mrr, recall, precision or success, of the first k places (`ndcg@10`) or of all.
    #[serde(default = "usual")]
    pub metrics: Vec<RankMetric>,
    /// The column of `judgements` with the ids of queries.
    #[serde(default = "query_id")]
    pub query_column: String,
    /// The column of `judgements` with the ids of documents.
    #[serde(default = "document_id")]
    pub document_column: String,
    /// The column of `judgements` with the relevance, a whole number: 1 or more is relevant. Without a column
    /// `relevance`, and where no other is named, all rows are relevant.
    #[serde(default = "relevance")]
    pub relevance_column: String,
    /// In which order documents with equal scores stand.
    #[serde(default)]
    pub ties: Ties,
    /// Whether a chunk (`rates.md#2`, as `table` cuts texts) counts as its document: judgements are then about what
    /// stands in front of the last `#`, and of several chunks of a document the first one counts.
    #[serde(default)]
    pub chunks_as_documents: bool,
    /// The intervals.
    #[serde(default)]
    pub bootstrap: BootstrapParams,
}

/// The order of documents with equal scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// As trec_eval has it: by score alone, whatever place the ranking says, and by id from the greatest down.
    #[default]
    TrecEval,
    /// As they are given: places count, scores do not.
    Given,
}

fn usual() -> Vec<RankMetric> {
    ["ndcg@10", "map", "recall@10", "mrr"].into_iter().filter_map(RankMetric::named).collect()
}

fn query_id() -> String {
    "query_id".to_owned()
}

fn document_id() -> String {
    "document_id".to_owned()
}

fn relevance() -> String {
    "relevance".to_owned()
}

/// The kind.
pub struct EvaluateRetrieval;

impl StageKind for EvaluateRetrieval {
    type Params = EvaluateRetrievalParams;
    const NAME: &'static str = "evaluate_retrieval";
    // 1: the first.
    // 2: rankings without scores and grades under another name are refused, and 0 is -0.
    const VERSION: u32 = 2;

    fn ports(&self, params: &EvaluateRetrievalParams) -> Ports {
        let columns: Vec<String> = params.metrics.iter().map(|metric| metric.column()).collect();
        let [over_all, by_task] = scores::ports(columns.iter().map(String::as_str));
        let score = |metric: &RankMetric| Column::number(metric.column(), "The query's score.");
        let grades = Column::number(params.relevance_column.clone(), "How relevant it is; 0 is not.");
        // Without grades all that is judged would be relevant, which nobody means who names their column.
        let (needed, taken) =
            if params.relevance_column == relevance() { (None, Some(grades)) } else { (Some(grades), None) };
        Ports {
            inputs: vec![
                InputPort::new("rankings", PortType::Table, true)
                    .about("What was found for each query, best first, as `retrieve` gives it.")
                    .needs([ports::passages()])
                    .takes([ports::id(), ports::task()]),
                InputPort::new("judgements", PortType::Table, true)
                    .about("Which documents are relevant to which queries: one row for each pair that was judged.")
                    .needs(
                        [
                            Column::new(params.query_column.clone(), "text or number", "The query's `id`."),
                            Column::new(params.document_column.clone(), "text or number", "The passage's `id`."),
                        ]
                        .into_iter()
                        .chain(needed),
                    )
                    .takes(taken),
            ],
            open_inputs: false,
            outputs: vec![
                OutputPort::table("queries")
                    .about("One row per query.")
                    .gives([
                        ports::id(),
                        ports::task(),
                        Column::number("retrieved", "Documents that were found."),
                        Column::number("relevant", "Documents that are relevant."),
                        Column::number("relevant_retrieved", "Relevant ones that were found."),
                    ])
                    .gives(params.metrics.iter().map(score)),
                over_all,
                by_task,
            ],
        }
    }

    fn check(&self, params: &EvaluateRetrievalParams) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: &str, message: &str, help: &str| {
            problems.push(ParamProblem { pointer: pointer.into(), message: message.into(), help: Some(help.into()) });
        };
        if params.metrics.is_empty() {
            problem("/metrics", "nothing is measured", "leave it out for ndcg@10, map, recall@10 and mrr");
        }
        if (1..params.metrics.len()).any(|i| params.metrics[..i].contains(&params.metrics[i])) {
            problem("/metrics", "a measure is named twice", "name each once");
        }
        if !(params.bootstrap.confidence > 0.0 && params.bootstrap.confidence < 1.0) {
            problem("/bootstrap/confidence", "a confidence lies between 0 and 1", "0.95 is usual");
        }
        problems
    }

    fn highlights(&self, params: &EvaluateRetrievalParams) -> Vec<Highlight> {
        params.metrics.iter().map(|metric| scores::highlight(metric.column(), metric.heading())).collect()
    }

    fn run(&self, params: &EvaluateRetrievalParams, cx: &mut StageContext) -> Result<(), StageError> {
        let rankings = Ranking::read(params, &cx.table("rankings")?.read()?)?;
        let judgements = Judgements::read(params, &cx.table("judgements")?.read()?, cx)?;
        cx.check_cancelled()?;
        let judged = judgements.report(&rankings, cx)?;
        let values: Vec<Vec<Option<f64>>> = (params.metrics.iter())
            .map(|metric| judged.iter().map(|judged| judged.as_ref().map(|judged| metric.score(judged))).collect())
            .collect();

        let count = |of: &dyn Fn(usize) -> Option<usize>| -> ArrayRef {
            Arc::new((0..rankings.len()).map(|row| of(row).map(|n| n as i64)).collect::<Int64Array>())
        };
        let relevant = |row: usize| judged[row].as_ref().map(pipe_metrics::Judged::relevant);
        let ids = rankings.iter().map(|ranking| Some(ranking.query.as_str())).collect::<StringArray>();
        let tasks = rankings.iter().map(|ranking| ranking.task.as_deref()).collect::<StringArray>();
        let mut columns: Vec<(String, ArrayRef, bool)> = vec![
            ("id".into(), Arc::new(ids), false),
            ("task".into(), Arc::new(tasks), true),
            ("retrieved".into(), count(&|row| Some(rankings[row].documents.len())), false),
            ("relevant".into(), count(&|row| relevant(row).map(|(all, _)| all)), true),
            ("relevant_retrieved".into(), count(&|row| relevant(row).map(|(_, found)| found)), true),
        ];
        for (metric, values) in params.metrics.iter().zip(&values) {
            columns.push((metric.column(), Arc::new(values.iter().copied().collect::<Float64Array>()), true));
        }
        let table = RecordBatch::try_from_iter_with_nullable(columns)
            .map_err(|e| StageError::other("gather the queries' scores in a table", e))?;
        cx.write_batches("queries", table.schema_ref(), [&table])?;

        let scored = rankings.iter().enumerate().filter(|(row, _)| judged[*row].is_some());
        let items: Vec<(usize, Option<&str>)> = scored.map(|(row, of)| (row, of.task.as_deref())).collect();
        let names: Vec<String> = params.metrics.iter().map(|metric| metric.column()).collect();
        let metric = |(name, values): (&'_ String, &'_ Vec<Option<f64>>)| (name.clone(), values.clone());
        let owned: Vec<(String, Vec<Option<f64>>)> = names.iter().zip(&values).map(metric).collect();
        let metrics: Vec<scores::Metric<'_>> =
            owned.iter().map(|(name, values)| scores::Metric { name, values, may_lack: false, ratio: None }).collect();
        let ties = match params.ties {
            Ties::TrecEval => "ties:id descending",
            Ties::Given => "ties:as given",
        };
        let parts = params.metrics.iter().map(|metric| format!("{}|{ties}", metric.signature()));
        let signature: Vec<String> = parts.chain([params.bootstrap.signature()]).collect();
        scores::summary(&items, &metrics, &params.bootstrap, &signature.join("; "))?.write(cx)
    }
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { rankings: retrieve, judgements: retrieve }, params: { query_column: id, \
        document_column: instruction, bootstrap: { resamples: 50 } }",
    version: 2,
    outputs: &[
        ("queries", "a7cedd4209382856c2144ac8b6bcc4d485d1b07838eae394f6849c42ee9d0d59"),
        ("scores", "8ac027f1c879a76ee017339e6d8fed9f33c68d169a34c8bfa28991779e0a35fb"),
        ("tasks", "08184c288031fda8ba30f2eab315846e4fb7d84943782ed870224aacb9c72fef"),
    ],
};

#[cfg(test)]
mod tests;
