//! `retrieve`: passages of a corpus for each row.

mod again;
mod index;
mod params;
mod query;

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use pipe_engine::{
    context::{PendingRows, RowSink, StageContext},
    kind::{
        Column, Increment, InputPort, OutputPort, ParamProblem, PortType, Ports, Preview, Role, Source, SourceHost,
        StageError, StageKind,
    },
};
use pipe_lm::origin::{check_embedder, check_ranker};

pub use self::{
    again::{Rerank, Weights},
    params::{Method, RetrieveParams},
};
use self::{
    index::{Corpus, Index},
    query::QueryText,
};
use crate::{
    model::{embedder::EmbedderRef, encoder, numeric_class},
    prompts::Passage,
    rows::{columns, ports, yields::Yield},
};

/// The kind.
pub struct Retrieve;

impl StageKind for Retrieve {
    type Params = RetrieveParams;
    const NAME: &'static str = "retrieve";
    // 1: the first.
    // 2: the output `yield`.
    const VERSION: u32 = 2;
    const INCREMENT: Increment = Increment::RowWise { primary: "queries" };

    fn ports(&self, params: &RetrieveParams) -> Ports {
        let embedder = params.is_dense() && params.embedder.is_none();
        let text = (params.method != Method::None).then(|| Column::text("text", "The passage."));
        let mut queries = InputPort::new("queries", PortType::Table, true).about(
            "The rows that passages are looked for, with any columns; the query is made of `query_columns` or \
                    `query_template`.",
        );
        if let ([name], None) = (&*params.query_columns, &params.query_template) {
            queries = queries.needs([Column::text(name.clone(), "The query.")]);
        }
        let used = params.query_template.iter().flat_map(|text| query::needed(text));
        queries = queries.needs(used.map(|name| Column::text(name, "Part of the query.")));
        Ports {
            inputs: vec![
                queries,
                InputPort::new("corpus", PortType::Table, params.method != Method::None)
                    .role(Role::Documents)
                    .about("The passages that are found.")
                    .needs(text)
                    .takes([ports::id(), Column::text("title", "Put in front of the text.")]),
                InputPort::new("index", PortType::Files, false)
                    .about("For `bm25` and `hybrid`: an index of `corpus`, from a stage `index`."),
                InputPort::new("vectors", PortType::Table, false)
                    .about(
                        "For `dense` and `hybrid`: the vectors of `corpus` by the same embedder, from a stage `embed`. \
                         Queries alone are embedded then.",
                    )
                    .takes([ports::id(), Column::new("vector", "list of numbers", "The passage's vector.")]),
                InputPort::new("embedder", PortType::Files, embedder)
                    .about("For dense retrieval: a model that makes vectors of texts, from another stage.")
                    .with_help(
                        "dense retrieval needs it: give the parameter `embedder` (lsa, a Hugging Face directory of \
                         BERT's family, \
                         or hf:org/name), or connect the input `embedder`",
                    ),
            ],
            open_inputs: false,
            outputs: vec![
                OutputPort::table("rows")
                    .about("The rows of `queries` with what was found.")
                    .gives([ports::passages()])
                    .passes("queries"),
                ports::found(),
            ],
        }
    }

    fn check(&self, params: &RetrieveParams) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: &str, message: &str, help: &str| {
            problems.push(ParamProblem { pointer: pointer.into(), message: message.into(), help: Some(help.into()) });
        };
        if params.query_columns.is_empty() && params.query_template.is_none() {
            problem("/query_columns", "there is no query", "name the columns that make it");
        }
        if let Some(Err(message)) = params.query_template.as_ref().map(|text| query::compile(text)) {
            problem("/query_template", &message, "for example \"{{ instruction }} {{ input }}\"");
        }
        if let Some(Err(message)) = params.embedder.as_ref().map(EmbedderRef::model) {
            problem("/embedder", &message, "`lsa`, a Hugging Face directory, or hf:org/name");
        }
        if params.method == Method::Hybrid && params.weights.bm25 == 0.0 && params.weights.dense == 0.0 {
            problem(
                "/weights",
                "neither ranking counts, so that nothing would be found",
                "give one of them more than 0",
            );
        }
        match params.rerank.as_ref().map(|rerank| rerank.model.model()) {
            Some(Err(message)) => problem("/rerank/model", &message, "a Hugging Face directory, or hf:org/name"),
            Some(Ok(None)) => problem("/rerank/model", "`lsa` reads no pairs", "name a cross-encoder"),
            _ => {}
        }
        problems
    }

    fn sources(&self, params: &RetrieveParams) -> Result<Vec<Source>, StageError> {
        // Only what the method uses: the name of an embedder does not make another result of BM25.
        let mut sources = if params.is_dense() { EmbedderRef::sources(params.embedder.as_ref())? } else { Vec::new() };
        if let Some(rerank) = params.rerank.as_ref().filter(|_| params.method != Method::None) {
            let model = rerank.model.model().map_err(StageError::user)?;
            sources.extend(model.map(|model| model.reranker()));
            if !params.is_dense() {
                sources.extend([encoder()].into_iter().chain(numeric_class()));
            }
        }
        Ok(sources)
    }

    fn preview(&self, params: &RetrieveParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        if let Some(embedder) = params.embedder.as_ref().filter(|_| params.is_dense()) {
            embedder.look(host, check_embedder)?;
        }
        if let Some(rerank) = params.rerank.as_ref().filter(|_| params.method != Method::None) {
            rerank.model.look(host, check_ranker)?;
        }
        Ok(Preview::default())
    }

    fn run(&self, params: &RetrieveParams, cx: &mut StageContext) -> Result<(), StageError> {
        let table = cx.table("queries")?;
        let schema = with_passages(table.schema())?;
        let text = QueryText::new(params)?;
        if params.query_template.is_none() {
            let named = ("queries", "query_columns");
            columns::warn_of_absent(cx, table.schema(), named, &params.query_columns, &params::query_columns());
        }
        // Mistakes in rows are found before anything is indexed, and named by their place in the whole table.
        let mut queries = Vec::new();
        for batch in table.rows()? {
            queries.extend(text.of(batch, queries.len())?.into_iter().map(|query| query.map(|text| is_blank(&text))));
        }
        let before = queries.len();
        let failed: Vec<&StageError> = queries.iter().filter_map(|query| query.as_ref().err()).collect();
        if let Some(first) = failed.first() {
            cx.counter("queries_failed", failed.len() as u64);
            cx.warn(format!("{} of {before} rows of `queries` have no query and find nothing: {first}", failed.len()));
        }
        let blank = queries.iter().filter(|query| matches!(query, Ok(true))).count();
        cx.counter("queries_empty", blank as u64);
        if blank > 0 {
            cx.warn(format!("{blank} of {before} rows of `queries` have an empty query and find nothing"));
        }
        let mut searched = None;
        let mapped = cx.map_rows(&table, &schema, |pending, sink| {
            let (corpus, index) = match &mut searched {
                Some(searched) => searched,
                none => none.insert(corpus_and_index(params, cx)?),
            };
            search(params, cx, (corpus, index), &text, &schema, pending, sink)
        })?;
        let mut counts = Yield::new(&OUTCOMES);
        let found =
            mapped.batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| has_passages(batch, row)));
        for (query, found) in queries.iter().zip(found) {
            counts.add(match query {
                Err(_) => QUERY_FAILED,
                Ok(true) => EMPTY_QUERY,
                Ok(false) if found => FOUND,
                Ok(false) => NOTHING_FOUND,
            });
        }
        cx.write_batches("rows", &schema, &mapped.batches)?;
        let yields = counts.table()?;
        cx.write_batches("yield", yields.schema_ref(), [&yields])?;
        Ok(())
    }
}

const QUERY_FAILED: &str = "query_failed";
const EMPTY_QUERY: &str = "empty_query";
const NOTHING_FOUND: &str = "nothing_found";
const FOUND: &str = "found";
const OUTCOMES: [&str; 4] = [QUERY_FAILED, EMPTY_QUERY, NOTHING_FOUND, FOUND];

fn is_blank(query: &str) -> bool {
    query.trim().is_empty()
}

/// Whether anything was found for a row; its passages are the last column.
fn has_passages(batch: &RecordBatch, row: usize) -> bool {
    batch.columns().last().and_then(|lists| columns::items(lists, row)).is_some_and(|items| !items.is_empty())
}

/// Rows that are searched and kept at a time.
const BLOCK: usize = 1024;

fn corpus_and_index(params: &RetrieveParams, cx: &StageContext) -> Result<(Corpus, Index), StageError> {
    let corpus = match params.method {
        Method::None => Corpus::default(),
        _ => Corpus::read(&cx.table("corpus")?)?,
    };
    if corpus.empty > 0 {
        cx.counter("passages_empty", corpus.empty as u64);
        cx.warn(format!("{} rows of `corpus` have no text and were left out", corpus.empty));
    }
    let index = Index::build(params, cx, &corpus)?;
    Ok((corpus, index))
}

fn search(
    params: &RetrieveParams,
    cx: &StageContext,
    (corpus, index): (&Corpus, &Index),
    text: &QueryText,
    schema: &SchemaRef,
    pending: &PendingRows<'_>,
    sink: &RowSink<'_>,
) -> Result<(), StageError> {
    for first in (0..pending.len()).step_by(BLOCK) {
        cx.check_cancelled()?;
        let range = sink.begin_range(first..pending.len().min(first + BLOCK));
        if range.is_empty() {
            break;
        }
        let batch = pending.slice(range.clone())?;
        // What is wrong with a row of the table was told already.
        let queries: Vec<String> = text.of(&batch, 1)?.into_iter().map(Result::unwrap_or_default).collect();
        let mut found = index.search(cx, corpus, &queries, params.top_k)?;
        for (hits, _) in found.iter_mut().zip(&queries).filter(|(_, query)| is_blank(query)) {
            hits.clear();
        }
        let passages: Vec<Vec<Passage>> =
            found.into_iter().map(|hits| hits.into_iter().map(|hit| corpus.passage(&hit)).collect()).collect();
        let columns = batch.columns().iter().cloned().chain([columns::passage_lists(&passages, true)]).collect();
        let rows = RecordBatch::try_new(SchemaRef::clone(schema), columns);
        let rows = rows.map_err(|e| StageError::other("add passages to rows", e))?;
        sink.emit(&range.collect::<Vec<_>>(), &rows)?;
    }
    Ok(())
}

/// The columns of the queries, and `passages`.
fn with_passages(schema: &SchemaRef) -> Result<SchemaRef, StageError> {
    if schema.field_with_name("passages").is_ok() {
        return Err(StageError::user_help(
            "the input `queries` already has a column `passages`",
            "rename it where the table is read, or connect the rows from before the first `retrieve`",
        ));
    }
    let added = Arc::new(columns::passages_field(true));
    Ok(Arc::new(Schema::new(schema.fields().iter().cloned().chain([added]).collect::<Vec<_>>())))
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { queries: generate, corpus: embedded_world.cards }, params: { method: hybrid, embedder: lsa, \
        dimensions: 8, top_k: 2 }",
    version: 2,
    outputs: &[
        ("rows", "df465c82da49d993908d180a42c8fd1e2e32ce0e2ef1c814072a6cc545b40bf6"),
        ("yield", "99ab858af26ba4918848e7e64bedecbfae840d66bcbf11760a41bab3afa200b4"),
    ],
};
