//! `evaluate`: a model's answers to an exam, and what they are worth.

mod answered;
mod asked;
mod confusion;
mod given;
mod params;
mod scores;

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, ListBuilder, RecordBatch, StringArray, StringBuilder},
    datatypes::{Schema, SchemaRef},
};
use pipe_engine::{
    context::StageContext,
    kind::{
        Arriving, Column, Highlight, Increment, OutputPort, ParamProblem, Ports, Preview, Question, Source, SourceHost,
        StageError, StageKind,
    },
};

pub use self::params::EvaluateParams;
use self::{answered::Answered, given::Given, scores::Scored};
pub use crate::rows::{
    fewshot::{FewshotParams, FewshotSelection},
    open_book::OpenBook,
};
use crate::{
    model::{self, Asked, ModelRef, sampling::SamplingDefaults},
    prompts::Purpose,
    rows::{
        blind,
        columns::with_reasoning,
        completed::{self, Completed},
        examples::{Row, read_rows},
        ports, scores as summed,
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

/// The column of what was taken out of them.
const EXTRACTED: &str = "extracted";

impl StageKind for Evaluate {
    type Params = EvaluateParams;
    const NAME: &'static str = "evaluate";
    // 1: the first.
    // 2: metrics and what they need left the recipe; rows without ids draw by what they are; labels may be articles.
    // 3: labels that coincide once normalised are compared as written; thoughts are taken apart from answers before
    //    they are scored; a row without an answer scores 0, one without a reference is not counted; the output `yield`.
    // 4: `scores` is over all items; what is over those of a task stands in the output `tasks`.
    // 5: labels are found beside scripts without spaces and between typographic quotes.
    const VERSION: u32 = 5;
    const RECIPE_VERSION: u32 = 2;
    const INCREMENT: Increment = Increment::RowWise { primary: "items" };
    const AFTERWARDS: &'static [&'static str] =
        &["metrics", "normalizer", "bootstrap", "reasoning", "max_refused", "extract", "extract_match", "confusion"];

    fn increment(&self, params: &EvaluateParams) -> Increment {
        if params.predictions.is_some() { Increment::Whole } else { Self::INCREMENT }
    }

    fn ports(&self, params: &EvaluateParams) -> Ports {
        let metrics = || params.metrics.iter().map(|metric| metric.name());
        let score = |name: &'static str| Column::number(name, "The item's score.");
        let [over_all, by_task] = summed::ports(metrics().chain([scores::ACCURACY]));
        let predictions = OutputPort::table("predictions")
            .about("One row per item: what was answered, and how it was scored.")
            .gives([
                ports::id(),
                ports::task(),
                ports::instruction(),
                ports::input(),
                Column::new("references", "list of texts", "The right answers."),
                Column::text("prediction", "The answer."),
            ]);
        let ended = [ports::finish_reason()].into_iter().chain(ports::tokens());
        let predictions = match &params.predictions {
            Some(_) => predictions.may_give(ended),
            None => predictions.gives(ended),
        };
        Ports {
            inputs: match &params.predictions {
                Some(column) => vec![given::port(column)],
                None => asked::ports(params),
            },
            open_inputs: false,
            outputs: [
                predictions.gives(metrics().map(score)).may_give([
                    ports::reasoning(),
                    Column::text(EXTRACTED, "What `extract` took out of the answer; null where it found nothing."),
                    Column::text("label", "The label that the answer was read as."),
                    Column::number(scores::ACCURACY, "1 where it is the right one."),
                ]),
                over_all,
                by_task,
                ports::yields(),
            ]
            .into_iter()
            .chain(params.confusion.then(confusion::ports).into_iter().flatten())
            .collect(),
        }
    }

    fn check(&self, params: &EvaluateParams) -> Vec<ParamProblem> {
        params.problems()
    }

    fn check_files(&self, params: &EvaluateParams, folder: &Path) -> Vec<ParamProblem> {
        if params.predictions.is_some() {
            return Vec::new();
        }
        params.template.problems(Purpose::Respond, folder)
    }

    fn sources(&self, params: &EvaluateParams) -> Result<Vec<Source>, StageError> {
        if params.predictions.is_some() {
            return Ok(Vec::new());
        }
        let mut sources = ModelRef::sources(params.model.as_ref());
        sources.push(params.template.source(Purpose::Respond));
        Ok(sources)
    }

    fn highlights(&self, params: &EvaluateParams) -> Vec<Highlight> {
        let metrics = params.metrics.iter().map(|metric| summed::highlight(metric.name(), metric.heading()));
        let averages = params.confusion.then(confusion::highlights).into_iter().flatten();
        metrics.chain([summed::highlight(scores::ACCURACY, "accuracy")]).chain(averages).collect()
    }

    fn shares(&self, params: &EvaluateParams) -> Option<String> {
        ModelRef::shared(params.model.as_ref())
    }

    fn follow(&self, params: &EvaluateParams, arriving: &Arriving) -> Result<Preview, StageError> {
        model::follow(params.model.as_ref(), arriving)
    }

    fn asks(&self, params: &EvaluateParams, host: &dyn SourceHost) -> Option<Question> {
        model::asks(params.model.as_ref(), host)
    }

    fn preview(&self, params: &EvaluateParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        if params.predictions.is_some() {
            return Ok(Preview::default());
        }
        let template = Some((&params.template, Purpose::Respond));
        let asked = Asked {
            weights: params.weights,
            chat_date: params.chat_date,
            template,
            work: Some(params.sampling.work()),
        };
        model::preview(params.model.as_ref(), &asked, host)
    }

    fn run(&self, params: &EvaluateParams, cx: &mut StageContext) -> Result<(), StageError> {
        let table = cx.table("items")?;
        let items = match params.predictions {
            Some(_) => given::with_instructions(table.read()?)?,
            None => table.read()?,
        };
        let rows = read_rows(&items, "items", params.passages.shown())?;
        if rows.is_empty() {
            return Err(StageError::user_help("the input `items` has no rows", "an exam needs one item or more"));
        }
        if rows.iter().all(|row| row.references.is_empty()) {
            return Err(StageError::user_help(
                "no row of the input `items` has an answer to compare with: `output` and `references` are empty",
                "look at the stage that makes them",
            ));
        }
        check_labels(params, cx, &rows)?;
        blind::warn(cx, &params.metrics, params.normalizer, rows.iter().map(|row| &*row.references));
        let Given { answers, shown } = match &params.predictions {
            Some(column) => Given::read(&items, column, &rows)?,
            None => Given::all(asked::answers(params, cx, &table, &items, &rows)?),
        };
        let answered = Answered::new(params, &rows, &answers)?;
        answered.report(cx, params)?;
        cx.check_cancelled()?;
        let scored = Scored::new(params, &rows, &answered.answers())
            .map_err(|e| StageError::other("score the predictions", e))?;
        let table = predictions_table(params, &rows, &shown, &answered, &scored)?;
        cx.write_batches("predictions", table.schema_ref(), [&table])?;
        scored.summary(params, &rows)?.write(cx)?;
        if params.confusion {
            confusion::write(params, &rows, &scored, cx)?;
        }
        let table = answered.counts.table()?;
        cx.write_batches("yield", table.schema_ref(), [&table])?;
        if params.predictions.is_none() {
            let (prompt_tokens, generated_tokens) = Completed::of(&answers, PREDICTION)?.all_tokens();
            cx.counter("tokens_evaluated", prompt_tokens + generated_tokens);
        }
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

/// One row per item: what was asked, what was answered, and the scores.
fn predictions_table(
    params: &EvaluateParams,
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
    if params.extract.is_some() {
        columns.push((EXTRACTED.into(), Arc::new(StringArray::from_iter(&answered.extracted))));
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
    version: 5,
    outputs: &[
        ("predictions", "678d333c169a60366dfbadcb3bb5e97080b7934889fe8aa691d30517322ae610"),
        ("scores", "0cbde60955cc75c4f4ba44cad3ca3ea5ff9ed1b46a030d44681fd9f821ffab19"),
        ("tasks", "0e9a430c774c3bcc2c4b2679664ec712d60cc1e4c4f449ea8dd326c6100f867d"),
        ("yield", "17dfc725ce0f31d51e110ccaf1b40bb59438e81bf7adc49994a8bc98214c0ee1"),
    ],
};
