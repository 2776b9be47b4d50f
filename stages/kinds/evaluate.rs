//! `evaluate`: a model's answers to an exam, and what they are worth.

mod fewshot;
mod params;
mod scores;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder},
    compute::concat_batches,
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use pipe_engine::{
    context::{PendingRows, RowSink, StageContext},
    highlights::Highlight,
    kind::{Increment, InputPort, OutputPort, ParamProblem, PortType, Ports, Source, StageError, StageKind},
};
use pipe_lm::generate::{Completion, Request, SamplingParams};

pub use self::params::{BootstrapParams, EvaluateParams, FewshotSelection, MetricName, NormalizerName};
use self::{fewshot::Fewshot, scores::Scored};
use super::examples::{Row, check_passages, read_rows};
use crate::{
    columns::lasting_ids,
    completions,
    model::{ModelRef, adapter_port, generator_options, model_port, resolve},
    prompts::{PromptContext, PromptTemplate, Purpose},
};

/// The kind.
pub struct Evaluate;

/// The row of `scores` that is about all items.
const ALL: &str = "all";

impl StageKind for Evaluate {
    type Params = EvaluateParams;
    const NAME: &'static str = "evaluate";
    const VERSION: u32 = 2;
    const INCREMENT: Increment = Increment::RowWise { primary: "items" };
    const AFTERWARDS: &'static [&'static str] = &["metrics", "normalizer", "bootstrap"];

    fn ports(&self, params: &EvaluateParams) -> Ports {
        let input = |name: &'static str, required| InputPort::new(name, PortType::Table, required);
        let output = |name: &'static str| OutputPort { name: name.into(), produces: PortType::Table };
        Ports {
            inputs: vec![
                input("items", true),
                input("seeds", params.num_fewshot > 0).with_help(
                    "`num_fewshot` shows rows of it: connect a table with `instruction` and `output`, or leave `num_fewshot` out",
                ),
                adapter_port(),
                model_port(params.model.as_ref()),
            ],
            open_inputs: false,
            outputs: vec![output("predictions"), output("scores")],
        }
    }

    fn check(&self, params: &EvaluateParams) -> Vec<ParamProblem> {
        params.problems()
    }

    fn sources(&self, params: &EvaluateParams) -> Result<Vec<Source>, StageError> {
        let mut sources = ModelRef::sources(params.model.as_ref());
        sources.push(params.template.source(Purpose::Respond));
        Ok(sources)
    }

    fn highlights(&self, params: &EvaluateParams) -> Vec<Highlight> {
        let score = |name: &'static str, heading: &'static str| Highlight::Score {
            name: name.into(),
            heading: heading.into(),
            port: "scores",
            row: ("task", ALL),
            value: name.into(),
            standard_error: Some(format!("{name}_stderr").into()),
        };
        let metrics = params.metrics.iter().map(|metric| score(metric.metric().name(), metric.heading()));
        metrics.chain([score(scores::ACCURACY, "accuracy")]).collect()
    }

    fn run(&self, params: &EvaluateParams, cx: &mut StageContext) -> Result<(), StageError> {
        let items = cx.table("items")?.read()?;
        let rows = read_rows(&items, "items", params.shown())?;
        if rows.is_empty() {
            return Err(StageError::user_help("the input `items` has no rows", "an exam needs one item or more"));
        }
        if params.open_book {
            check_passages(cx, &rows, "items")?;
        }
        let normalizer = params.normalizer.normalizer();
        let unlabelled = |row: &Row| !row.labels.is_empty() && scores::right_labels(row, normalizer).next().is_none();
        if let Some(at) = rows.iter().position(unlabelled) {
            let answer = &rows[at].references[0];
            return Err(StageError::user_help(
                format!("the answer `{answer}` of row {} of the input `items` is none of its `labels`", at + 1),
                "spell both in the same way, or leave the labels out",
            ));
        }
        if let Some(row) = rows.iter().position(|row| row.task.as_deref() == Some(ALL)) {
            return Err(StageError::user_help(
                format!("row {} of the input `items` is of the task `{ALL}`, which names the scores over all", row + 1),
                "rename the task",
            ));
        }
        let examiner = Examiner {
            params,
            cx,
            template: params.template.load(Purpose::Respond, cx.base_dir())?,
            fewshot: Fewshot::read(params, cx)?,
        };
        let sampling = examiner.sampling(&items)?;
        let answered = cx.map_rows(&answer_schema(), |pending, sink| examiner.answer(pending, &sampling, sink))?;
        let answers = concat_batches(&answer_schema(), &answered.batches)
            .map_err(|e| StageError::other("join the predictions", e))?;
        let predictions = answers.column(0).as_string::<i32>();
        let predictions: Vec<&str> = (0..rows.len()).map(|row| predictions.value(row)).collect();
        warn_of_unfinished_answers(cx, params, &answers);
        cx.check_cancelled()?;
        let scored = Scored::new(params, &rows, &predictions);
        let table = predictions_table(&rows, &answers, &scored)?;
        cx.write_batches("predictions", table.schema_ref(), [&table])?;
        let table = scored.table(params, &rows)?;
        cx.write_batches("scores", table.schema_ref(), [&table])?;
        let tokens: i64 = (2..4).flat_map(|c| answers.column(c).as_primitive::<Int64Type>().values()).sum();
        cx.counter("tokens_evaluated", tokens as u64);
        Ok(())
    }
}

/// What is kept of an answer.
fn answer_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("prediction", DataType::Utf8, false),
        Field::new("finish_reason", DataType::Utf8, false),
        Field::new("prompt_tokens", DataType::Int64, false),
        Field::new("generated_tokens", DataType::Int64, false),
    ]))
}

fn warn_of_unfinished_answers(cx: &StageContext, params: &EvaluateParams, answers: &RecordBatch) {
    let reasons = answers.column(1).as_string::<i32>();
    let cut = reasons.iter().flatten().filter(|reason| completions::is_cut(reason)).count();
    cx.counter("predictions_cut", cut as u64);
    if 10 * cut > reasons.len() {
        cx.warn(format!(
            "{cut} of {} answers did not end by themselves within max_new_tokens ({})",
            reasons.len(),
            params.max_new_tokens
        ));
    }
    let refused = reasons.iter().flatten().filter(|reason| *reason == completions::REFUSED).count();
    if refused > 0 {
        cx.warn(format!(
            "{refused} of {} answers were refused, and are scored by what there is of them",
            reasons.len()
        ));
    }
}

/// Asks the model.
struct Examiner<'a> {
    params: &'a EvaluateParams,
    cx: &'a StageContext,
    template: PromptTemplate,
    fewshot: Fewshot,
}

impl Examiner<'_> {
    fn context<'a>(&'a self, row: &'a Row) -> PromptContext<'a> {
        PromptContext {
            domain: &self.params.domain,
            demonstrations: self.fewshot.demonstrations(row),
            passages: &row.passages,
            instruction: Some(&row.instruction),
            input: &row.input,
            ..PromptContext::default()
        }
    }

    /// Items with ids of their own: the number of a row among those that are left says nothing of it.
    fn rows(&self, items: &RecordBatch) -> Result<Vec<Row>, StageError> {
        let mut rows = read_rows(items, "items", self.params.shown())?;
        for (row, id) in rows.iter_mut().zip(lasting_ids(items, "items")?) {
            row.id = id;
        }
        Ok(rows)
    }

    fn sampling(&self, items: &RecordBatch) -> Result<SamplingParams, StageError> {
        let stop = match &self.params.stop {
            Some(stop) => stop.clone(),
            None => self.template.common_stop("items", &self.rows(items)?, |row| self.context(row))?,
        };
        Ok(self.params.sampling(stop, *self.cx.recipe().as_bytes()))
    }

    fn answer(
        &self,
        pending: &PendingRows<'_>,
        sampling: &SamplingParams,
        sink: &RowSink<'_>,
    ) -> Result<(), StageError> {
        let params = self.params;
        let rows = self.rows(&pending.all()?)?;
        let adapter = self.cx.optional_files("adapter")?;
        let model = resolve(self.cx, params.model.as_ref())?;
        let backend = model.backend(params.quantization, adapter.as_deref(), generator_options(params.slots))?;
        let ids: Vec<&str> = rows.iter().map(|row| &*row.id).collect();
        let mut requests = rows.iter().map(|row| {
            let prompt = self.template.render(&self.context(row))?.into_prompt();
            Ok(Request { id: row.id.clone(), prompt })
        });
        completions::complete_rows(self.cx, &*backend, "items", &ids, &mut requests, sampling, |rows, done| {
            sink.emit(rows, &answers(&done)?)
        })
    }
}

/// Completions as rows of [`answer_schema`].
fn answers(done: &[Completion]) -> Result<RecordBatch, StageError> {
    let tokens = |of: fn(&Completion) -> u64| done.iter().map(|c| of(c) as i64).collect::<Int64Array>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(done.iter().map(|c| Some(c.text.trim())).collect::<StringArray>()),
        Arc::new(done.iter().map(|c| Some(completions::finish_name(c.finish))).collect::<StringArray>()),
        Arc::new(tokens(|c| c.usage.prompt_tokens)),
        Arc::new(tokens(|c| c.usage.completion_tokens)),
    ];
    RecordBatch::try_new(answer_schema(), columns).map_err(|e| StageError::other("gather predictions in a table", e))
}

/// One row per item: what was asked, what was answered, and the scores.
fn predictions_table(rows: &[Row], answers: &RecordBatch, scored: &Scored) -> Result<RecordBatch, StageError> {
    let text = |value: fn(&Row) -> &str| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(value(row))).collect::<StringArray>())
    };
    let mut references = ListBuilder::new(StringBuilder::new());
    for row in rows {
        references.append_value(row.references.iter().map(Some));
    }
    let tasks: ArrayRef = Arc::new(rows.iter().map(|row| row.task.as_deref()).collect::<StringArray>());
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("id".into(), text(|row| &row.id)),
        ("task".into(), tasks),
        ("instruction".into(), text(|row| &row.instruction)),
        ("input".into(), text(|row| &row.input)),
        ("references".into(), Arc::new(references.finish())),
    ];
    for (field, column) in answers.schema().fields().iter().zip(answers.columns()) {
        columns.push((field.name().clone(), Arc::clone(column)));
    }
    for (metric, values) in &scored.metrics {
        columns.push((metric.name().into(), Arc::new(Float64Array::from_iter_values(values.iter().copied()))));
    }
    if let Some((labels, correct)) = &scored.labels {
        columns.push(("label".into(), Arc::new(StringArray::from_iter(labels))));
        columns.push((scores::ACCURACY.into(), Arc::new(Float64Array::from(correct.clone()))));
    }
    RecordBatch::try_from_iter(columns).map_err(|e| StageError::other("gather predictions in a table", e))
}
