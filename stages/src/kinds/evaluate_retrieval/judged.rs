//! Rankings and judgements, as they come in.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type},
};
use pipe_engine::{context::StageContext, kind::StageError};
use pipe_metrics::{Judged, trec_order};

use super::{EvaluateRetrievalParams, Ties};
use crate::{
    prompts::Passage,
    rows::columns::{self, Shown, TextColumn, missing, wrong_type},
};

/// What was found for one query.
pub(super) struct Ranking {
    pub query: String,
    pub task: Option<String>,
    /// Ids, the best first, each once.
    pub documents: Vec<String>,
}

/// What stands in front of a chunk's number.
fn document(id: &str, chunks_as_documents: bool) -> &str {
    if chunks_as_documents { id.rsplit_once('#').map_or(id, |(document, _)| document) } else { id }
}

impl Ranking {
    /// Reads rankings.
    ///
    /// # Errors
    /// A column is missing or of the wrong type; a query stands in two rows; a document stands in a ranking twice; what
    /// is to be ordered by scores has none.
    pub(super) fn read(params: &EvaluateRetrievalParams, table: &RecordBatch) -> Result<Vec<Self>, StageError> {
        const PORT: &str = "rankings";
        let ids = columns::ids(table, PORT)?;
        let tasks = TextColumn::optional(table, PORT, "task")?;
        let passages = columns::passages(table, PORT, Shown::default())?;
        let passages = passages.ok_or_else(|| missing(table, PORT, "passages"))?;
        // All scores would be equal, and the order that of ids.
        let orderless = columns::unscored(table).iter().position(|(without, all)| *without > 0 && *all > 1);
        if let Some(row) = orderless.filter(|_| params.ties == Ties::TrecEval) {
            return Err(StageError::user_help(
                format!(
                    "the passages of `{}` have no `score`, and `ties: trec_eval` orders documents by it alone",
                    ids[row]
                ),
                "say `ties: given` where they stand in the order in which they were found, or give all of them a score",
            ));
        }
        let rows = ids.into_iter().zip(passages).enumerate();
        rows.map(|(row, (query, mut found))| {
            if params.ties == Ties::TrecEval {
                trec_order(&mut found, |passage: &Passage| (passage.score, &passage.id));
            }
            let mut seen = HashSet::new();
            let mut documents = Vec::with_capacity(found.len());
            for passage in &found {
                let id = document(&passage.id, params.chunks_as_documents);
                if seen.insert(id) {
                    documents.push(id.to_owned());
                } else if !params.chunks_as_documents {
                    return Err(StageError::user_help(
                        format!("the document `{id}` stands twice in the ranking of `{query}`"),
                        "give every document an id of its own, or say `chunks_as_documents: true` of chunks",
                    ));
                }
            }
            let task = tasks.as_ref().and_then(|tasks| tasks.get(row)).map(str::to_owned);
            Ok(Self { query, task, documents })
        })
        .collect()
    }
}

/// By query: the relevance of documents.
pub(super) struct Judgements(BTreeMap<String, BTreeMap<String, i64>>);

impl Judgements {
    /// Reads judgements. Of several for one pair, as chunks of a document may have, the largest counts. Where no column
    /// has grades and another one may, that is said: files of judgements call it `score`, `rel`, `label`.
    ///
    /// # Errors
    /// A column is missing or of the wrong type; a relevance is no whole number; a pair is judged twice, and
    /// differently.
    pub(super) fn read(
        params: &EvaluateRetrievalParams,
        table: &RecordBatch,
        cx: &StageContext,
    ) -> Result<Self, StageError> {
        const PORT: &str = "judgements";
        let queries = TextColumn::scalars(table, PORT, &params.query_column)?;
        let documents = TextColumn::scalars(table, PORT, &params.document_column)?;
        let relevance = table.column_by_name(&params.relevance_column).map(|column| {
            let name = &params.relevance_column;
            if !column.data_type().is_numeric() && *column.data_type() != DataType::Boolean {
                return Err(wrong_type(PORT, name, column.data_type(), "a whole number"));
            }
            let as_type = |of| cast(column, of).map_err(|e| StageError::other("read judgements", e));
            let exact = as_type(&DataType::Float64)?;
            let broken = exact.as_primitive::<Float64Type>().iter().position(|n| n.is_some_and(|n| n.fract() != 0.0));
            if let Some(row) = broken {
                return Err(StageError::user_help(
                    format!("`{name}` of row {} of the input `{PORT}` is no whole number", row + 1),
                    "grades are whole numbers, 1 or more is relevant: round them in a `select`",
                ));
            }
            let numbers = as_type(&DataType::Int64)?;
            Ok(numbers.as_primitive::<Int64Type>().clone())
        });
        let relevance = relevance.transpose()?;
        if relevance.is_none() {
            if params.relevance_column != super::relevance() {
                return Err(missing(table, PORT, &params.relevance_column));
            }
            let schema = table.schema_ref();
            let others = schema.fields().iter().filter(|field| {
                let is_id = [&params.query_column, &params.document_column].contains(&field.name());
                !is_id && (field.data_type().is_numeric() || *field.data_type() == DataType::Boolean)
            });
            let others: Vec<String> = others.map(|field| format!("`{}`", field.name())).collect();
            if !others.is_empty() {
                cx.warn(format!(
                    "`{PORT}` has no column `{}`, and all its rows count as relevant: if {} says how relevant they \
                     are, name it (`relevance_column`)",
                    params.relevance_column,
                    others.join(" or ")
                ));
            }
        }
        let mut judged: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        for row in 0..table.num_rows() {
            let (query, id) = (queries.filled(row)?, documents.filled(row)?);
            let id = document(id, params.chunks_as_documents);
            let value = match &relevance {
                Some(relevance) if relevance.is_null(row) => continue,
                Some(relevance) => relevance.value(row),
                None => 1,
            };
            let known = judged.entry(query.to_owned()).or_default().entry(id.to_owned()).or_insert(value);
            if *known != value && !params.chunks_as_documents {
                return Err(StageError::user_help(
                    format!("`{id}` is judged {known} for `{query}`, and {value} in row {} of `{PORT}`", row + 1),
                    "judge every pair once",
                ));
            }
            *known = (*known).max(value);
        }
        Ok(Self(judged))
    }

    /// The rankings, judged; `None` where a query has no judgement.
    ///
    /// # Errors
    /// There is no query, or none that is judged.
    pub(super) fn report(&self, rankings: &[Ranking], cx: &StageContext) -> Result<Vec<Option<Judged>>, StageError> {
        let judged: Vec<Option<Judged>> = rankings
            .iter()
            .map(|ranking| {
                let of = self.0.get(&ranking.query)?;
                let of: HashMap<&str, i64> = of.iter().map(|(id, relevance)| (id.as_str(), *relevance)).collect();
                Some(Judged::new(ranking.documents.iter().map(String::as_str), &of))
            })
            .collect();
        let without = judged.iter().filter(|judged| judged.is_none()).count();
        if without == judged.len() {
            let first = rankings.first().map_or("there is none", |ranking| &ranking.query);
            let known = self.0.keys().next().map_or("there is none", String::as_str);
            return Err(StageError::user_help(
                format!("no query of `rankings` is judged: the first is `{first}`, the first judged one `{known}`"),
                "the ids of queries in both tables must be the same (`query_column`)",
            ));
        }
        if without > 0 {
            cx.counter("queries_without_judgement", without as u64);
            cx.warn(format!("{without} of {} queries have no judgement, and are not scored", judged.len()));
        }
        let asked: HashSet<&str> = rankings.iter().map(|ranking| ranking.query.as_str()).collect();
        let unasked = self.0.keys().filter(|query| !asked.contains(query.as_str())).count();
        if unasked > 0 {
            cx.counter("judged_queries_without_ranking", unasked as u64);
            cx.warn(format!("{unasked} judged queries have no row in `rankings`, and are not counted"));
        }
        let found = judged.iter().flatten().filter(|judged| judged.relevant() != (0, 0));
        if found.count() == 0 {
            cx.warn("no query has a relevant document: all scores are 0");
        }
        Ok(judged)
    }
}
