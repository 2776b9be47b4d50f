//! `evaluate`: a model's answers to an exam, and what they are worth.

mod answered;
mod fewshot;
mod params;
mod scores;

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, ListBuilder, RecordBatch, StringArray, StringBuilder},
    compute::concat_batches,
    datatypes::{Schema, SchemaRef},
};
use pipe_engine::{
    context::{PendingRows, RowSink, StageContext},
    kind::{
        Column, Highlight, Increment, InputPort, OutputPort, ParamProblem, PortType, Ports, Preview, Role, Source,
        SourceHost, StageError, StageKind,
    },
};
use pipe_lm::generate::SamplingParams;

pub use self::params::{EvaluateParams, FewshotSelection};
use self::{answered::Answered, fewshot::Fewshot, scores::Scored};
use crate::rows::examples::{Row, check_passages, read_rows};
use crate::rows::{ports, scores as summed};
use crate::{
    model::{
        self, Asked, ModelRef, adapter_port, completions, generator_options, model_port, resolve,
        sampling::SamplingDefaults,
    },
    prompts::{PromptContext, PromptTemplate, Purpose},
    rows::{
        columns::{lasting_ids, with_reasoning},
        completed::{self, Completed, Finished, NO_INSTRUCTION, NO_REFERENCE},
    },
};

/// The kind.
#[derive(Debug, Clone)]
pub struct Evaluate;

impl SamplingDefaults for Evaluate {
    const TEMPERATURE: f64 = 0.0;
    const TOP_P: f64 = 1.0;
    const MAX_NEW_TOKENS: usize = 64;
}

/// The column of the answers.
const PREDICTION: &str = "prediction";

impl StageKind for Evaluate {
    type Params = EvaluateParams;
    const NAME: &'static str = "evaluate";
    // 1: the first.
    // 2: metrics and what they need left the recipe; rows without ids draw by what they are; labels may be articles.
    // 3: labels that coincide once normalised are compared as written; thoughts are taken apart from answers before
    //    they are scored; a row without an answer scores 0, one without a reference is not counted; the output `yield`.
    // 4: `scores` is over all items; what is over those of a task stands in the output `tasks`.
    const VERSION: u32 = 4;
    const RECIPE_VERSION: u32 = 2;
    const INCREMENT: Increment = Increment::RowWise { primary: "items" };
    const AFTERWARDS: &'static [&'static str] = &["metrics", "normalizer", "bootstrap", "reasoning", "max_refused"];

    fn ports(&self, params: &EvaluateParams) -> Ports {
        let metrics = || params.metrics.iter().map(|metric| metric.name());
        let score = |name: &'static str| Column::number(name, "The item's score.");
        let [over_all, by_task] = summed::ports(metrics().chain([scores::ACCURACY]));
        Ports {
            inputs: vec![
                InputPort::new("items", PortType::Table, true)
                    .role(Role::Exam)
                    .about("The exam.")
                    .needs([
                        ports::instruction(),
                        Column::text("output", "The right answer; or a list of them, of which the best counts.")
                            .or("references"),
                    ])
                    .takes([
                        ports::id(),
                        ports::input(),
                        ports::task(),
                        ports::passages(),
                        Column::new("labels", "list of texts", "The answers that there are to choose from."),
                    ]),
                InputPort::new("seeds", PortType::Table, params.num_fewshot > 0)
                    .role(Role::Seeds)
                    .about("Answered instructions, to be shown as demonstrations.")
                    .needs([ports::instruction(), ports::output()])
                    .takes([ports::id(), ports::input()])
                    .with_help(
                        "`num_fewshot` shows rows of it: connect a table with `instruction` and `output`, or leave \
                         `num_fewshot` out",
                    ),
                adapter_port(),
                model_port(params.model.as_ref()),
            ],
            open_inputs: false,
            outputs: vec![
                OutputPort::table("predictions")
                    .about("One row per item: what was answered, and how it was scored.")
                    .gives([
                        ports::id(),
                        ports::task(),
                        ports::instruction(),
                        ports::input(),
                        Column::new("references", "list of texts", "The right answers."),
                        Column::text("prediction", "The answer."),
                        ports::finish_reason(),
                    ])
                    .gives(ports::tokens())
                    .gives(metrics().map(score))
                    .may_give([
                        ports::reasoning(),
                        Column::text("label", "The label that the answer was read as."),
                        Column::number(scores::ACCURACY, "1 where it is the right one."),
                    ]),
                over_all,
                by_task,
                ports::yields(),
            ],
        }
    }

    fn check(&self, params: &EvaluateParams) -> Vec<ParamProblem> {
        params.problems()
    }

    fn check_files(&self, params: &EvaluateParams, folder: &Path) -> Vec<ParamProblem> {
        params.template.problems(Purpose::Respond, folder)
    }

    fn sources(&self, params: &EvaluateParams) -> Result<Vec<Source>, StageError> {
        let mut sources = ModelRef::sources(params.model.as_ref());
        sources.push(params.template.source(Purpose::Respond));
        Ok(sources)
    }

    fn highlights(&self, params: &EvaluateParams) -> Vec<Highlight> {
        let metrics = params.metrics.iter().map(|metric| summed::highlight(metric.name(), metric.heading()));
        metrics.chain([summed::highlight(scores::ACCURACY, "accuracy")]).collect()
    }

    fn preview(&self, params: &EvaluateParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        let template = Some((&params.template, Purpose::Respond));
        let asked = Asked { quantization: params.quantization, chat_date: params.chat_date, template };
        model::preview(params.model.as_ref(), &asked, host)
    }

    fn run(&self, params: &EvaluateParams, cx: &mut StageContext) -> Result<(), StageError> {
        let table = cx.table("items")?;
        let items = table.read()?;
        let rows = read_rows(&items, "items", params.shown())?;
        if rows.is_empty() {
            return Err(StageError::user_help("the input `items` has no rows", "an exam needs one item or more"));
        }
        if rows.iter().all(|row| row.references.is_empty()) {
            return Err(StageError::user_help(
                "no row of the input `items` has an answer to compare with: `output` and `references` are empty",
                "look at the stage that makes them",
            ));
        }
        if params.open_book {
            check_passages(cx, &rows, "items")?;
        }
        check_labels(params, cx, &rows)?;
        let examiner = Examiner {
            params,
            cx,
            template: params.template.load(Purpose::Respond, cx.base_dir())?.with_cancel(cx.cancel_token()),
            fewshot: Fewshot::read(params, cx)?,
        };
        let sampling = examiner.sampling(&items)?;
        let answered =
            cx.map_rows(&table, &answer_schema(), |pending, sink| examiner.answer(pending, &sampling, sink))?;
        let answers = concat_batches(&answer_schema(), &answered.batches)
            .map_err(|e| StageError::other("join the predictions", e))?;
        let answered = Answered::new(params, &rows, &answers)?;
        answered.report(cx, params)?;
        cx.check_cancelled()?;
        let scored = Scored::new(params, &rows, &answered.answers())
            .map_err(|e| StageError::other("score the predictions", e))?;
        let table = predictions_table(&rows, &answers, &answered, &scored)?;
        cx.write_batches("predictions", table.schema_ref(), [&table])?;
        scored.summary(params, &rows)?.write(cx)?;
        let table = answered.counts.table()?;
        cx.write_batches("yield", table.schema_ref(), [&table])?;
        let (prompt_tokens, generated_tokens) = Completed::of(&answers, PREDICTION)?.all_tokens();
        cx.counter("tokens_evaluated", prompt_tokens + generated_tokens);
        Ok(())
    }
}

/// Looks at the labels of all rows. A row whose right answer is none of its labels has no accuracy; it is counted.
///
/// # Errors
/// Two labels of a row cannot be told apart; no right answer is one of the labels.
fn check_labels(params: &EvaluateParams, cx: &StageContext, rows: &[Row]) -> Result<(), StageError> {
    let (mut labelled, mut without, mut first) = (0, 0, None);
    for (at, row) in rows.iter().enumerate() {
        let is_labelled = scores::is_labelled(row, params.normalizer).map_err(|e| {
            StageError::user_help(
                format!("row {} of the input `items`: {e}", at + 1),
                "give every label once, and make them differ in more than white space",
            )
        })?;
        labelled += usize::from(is_labelled.is_some());
        if is_labelled == Some(false) {
            without += 1;
            first.get_or_insert_with(|| {
                format!(
                    "the answer `{}` of row {} of the input `items` is none of its `labels`",
                    row.references[0],
                    at + 1
                )
            });
        }
    }
    let Some(first) = first else { return Ok(()) };
    if without == labelled {
        return Err(StageError::user_help(first, "spell both in the same way, or leave the labels out"));
    }
    cx.counter("items_without_label", without as u64);
    cx.warn(format!("{without} of {labelled} items with `labels` have no accuracy: {first}"));
    Ok(())
}

/// What is kept of an answer.
fn answer_schema() -> SchemaRef {
    Arc::new(Schema::new(completed::fields(PREDICTION).to_vec()))
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
        let stop = match &self.params.sampling.stop {
            Some(stop) => stop.clone(),
            None => self.template.common_stop("items", &self.rows(items)?, |row| self.context(row))?,
        };
        Ok(self.params.sampling.params(stop, *self.cx.recipe().as_bytes()))
    }

    fn answer(
        &self,
        pending: &PendingRows<'_>,
        sampling: &SamplingParams,
        sink: &RowSink<'_>,
    ) -> Result<(), StageError> {
        let params = self.params;
        let rows = self.rows(&pending.all()?)?;
        let unasked = |row: &Row| match row {
            row if row.references.is_empty() => Some(NO_REFERENCE),
            row => row.instruction.trim().is_empty().then_some(NO_INSTRUCTION),
        };
        let (blank, order): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|&row| unasked(&rows[row]).is_some());
        if !blank.is_empty() {
            let outcomes = blank.iter().filter_map(|&row| unasked(&rows[row]));
            let finished: Vec<Finished> = outcomes.map(|outcome| Finished::unasked(outcome, "")).collect();
            sink.emit(&blank, &answers(&finished)?)?;
        }
        if order.is_empty() {
            return Ok(());
        }
        let adapter = self.cx.optional_files("adapter")?;
        let model = resolve(self.cx, params.model.as_ref())?;
        let backend = model.backend(
            params.quantization,
            adapter.as_deref(),
            generator_options(params.sampling.slots),
            params.chat_date,
        )?;
        let ids: Vec<&str> = rows.iter().map(|row| &*row.id).collect();
        let prompt = |row: usize| completions::rendered(self.template.render(&self.context(&rows[row])));
        let unasked = |row: usize, finished: Finished| sink.emit(&[row], &answers(&[finished])?);
        let mut requests = completions::requests(order.into_iter(), &ids, prompt, unasked);
        completions::complete_rows(self.cx, &*backend, "items", &ids, &mut requests, sampling, |places, done| {
            let finished: Vec<Finished> = done.into_iter().map(Finished::from).collect();
            sink.emit(places, &answers(&finished)?)
        })
    }
}

fn answers(finished: &[Finished]) -> Result<RecordBatch, StageError> {
    let columns = completed::columns(finished.iter(), str::trim).to_vec();
    RecordBatch::try_new(answer_schema(), columns).map_err(|e| StageError::other("gather predictions in a table", e))
}

/// One row per item: what was asked, what was answered, and the scores.
fn predictions_table(
    rows: &[Row],
    answers: &RecordBatch,
    answered: &Answered<'_>,
    scored: &Scored,
) -> Result<RecordBatch, StageError> {
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
        (PREDICTION.into(), Arc::new(StringArray::from(answered.texts.clone()))),
    ];
    for (field, column) in answers.schema().fields().iter().zip(answers.columns()).skip(1) {
        columns.push((field.name().clone(), Arc::clone(column)));
    }
    for (metric, values) in &scored.metrics {
        columns.push((metric.name().into(), Arc::new(Float64Array::from(values.clone()))));
    }
    if let Some((labels, correct)) = &scored.labels {
        columns.push(("label".into(), Arc::new(StringArray::from_iter(labels))));
        columns.push((scores::ACCURACY.into(), Arc::new(Float64Array::from(correct.clone()))));
    }
    let table = RecordBatch::try_from_iter(columns);
    let table = table.map_err(|e| StageError::other("gather predictions in a table", e))?;
    with_reasoning(&table, PREDICTION, &answered.texts, &answered.thoughts)
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { items: table, adapter: train }, params: { model: MODEL, max_new_tokens: 8, \
        bootstrap: { resamples: 50 } }",
    version: 4,
    outputs: &[
        ("predictions", "678d333c169a60366dfbadcb3bb5e97080b7934889fe8aa691d30517322ae610"),
        ("scores", "d94a57b267ce4296178fac1950fb0105625095155bad108306874c3c45ccbac8"),
        ("tasks", "799433a500a6dfe57a0441444abdd3f9d334fe604e2d00fff35dcc1a3bb2bed4"),
        ("yield", "17dfc725ce0f31d51e110ccaf1b40bb59438e81bf7adc49994a8bc98214c0ee1"),
    ],
};
