//! How probable the items' texts are: asked of the model, and kept by row.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc, time::Instant};

use arrow::{
    array::{Array, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray},
    buffer::OffsetBuffer,
    compute::concat_batches,
    datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef},
};
use pipe_engine::{
    context::{FLUSH_EVERY, Measure, PendingRows, RowSink, StageContext, TableInput},
    kind::StageError,
};
use pipe_lm::generate::{Likelihood, Prompt, ScoreRequest, ScoreSink, ScoreText, Scored, Scorer};

use super::{
    items::{Item, Items},
    params::ScoreParams,
};
use crate::{
    model::{self, InFlight, ModelRef, completions, row_error},
    prompts::{PromptContext, PromptTemplate, Purpose},
    rows::{
        completed::{NO_INSTRUCTION, NO_REFERENCE, NOT_FINITE, REFUSED, TOO_LONG, UNRENDERED, finish_name},
        examples::check_passages,
        fewshot::Fewshot,
        unanswered::Unanswered,
        yields::Yield,
    },
};

pub(super) const SCORED: &str = "scored";
const OUTCOMES: [&str; 7] = [NO_REFERENCE, NO_INSTRUCTION, UNRENDERED, REFUSED, TOO_LONG, NOT_FINITE, SCORED];

/// What is known of one item's texts.
struct Found {
    likelihoods: Vec<Likelihood>,
    outcome: &'static str,
    /// Why there is no score.
    why: String,
}

impl Found {
    fn none(outcome: &'static str, why: impl Into<String>) -> Self {
        Self { likelihoods: Vec::new(), outcome, why: why.into() }
    }
}

/// Of all items, in their order.
pub(super) struct Likelihoods {
    kept: RecordBatch,
    /// How many items there are of each outcome.
    pub counts: Yield,
}

fn lists(of: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", of, false)))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("logprobs", lists(DataType::Float64), false),
        Field::new("text_tokens", lists(DataType::Int64), false),
        Field::new("greedy", lists(DataType::Boolean), false),
        Field::new("outcome", DataType::Utf8, false),
        Field::new("why", DataType::Utf8, false),
    ]))
}

fn batch(found: &[Found]) -> Result<RecordBatch, StageError> {
    let all = || found.iter().flat_map(|found| &found.likelihoods);
    let offsets = || OffsetBuffer::from_lengths(found.iter().map(|found| found.likelihoods.len()));
    let list = |values: Arc<dyn Array>| {
        let field = Arc::new(Field::new("item", values.data_type().clone(), false));
        Arc::new(ListArray::new(field, offsets(), values, None))
    };
    RecordBatch::try_new(
        schema(),
        vec![
            list(Arc::new(all().map(|l| l.logprob).collect::<Float64Array>())),
            list(Arc::new(all().map(|l| l.tokens as i64).collect::<Int64Array>())),
            list(Arc::new(all().map(|l| Some(l.greedy)).collect::<BooleanArray>())),
            Arc::new(found.iter().map(|found| Some(found.outcome)).collect::<StringArray>()),
            Arc::new(found.iter().map(|found| Some(found.why.as_str())).collect::<StringArray>()),
        ],
    )
    .map_err(|e| StageError::other("gather probabilities in a table", e))
}

impl Likelihoods {
    /// Of all items; the model is asked for those that are not kept yet.
    pub(super) fn of(params: &ScoreParams, cx: &StageContext, table: &TableInput) -> Result<Self, StageError> {
        let asker = Asker::new(params, cx)?;
        let found = cx.map_rows(table, &schema(), |pending, sink| asker.ask(pending, sink))?;
        let kept = concat_batches(&schema(), &found.batches).map_err(|e| StageError::other("join probabilities", e))?;
        let mut this = Self { kept, counts: Yield::new(&OUTCOMES) };
        for row in 0..this.kept.num_rows() {
            let outcome = this.outcome(row).to_owned();
            this.counts.add(&outcome);
        }
        Ok(this)
    }

    fn column(&self, name: &str) -> &Arc<dyn Array> {
        self.kept.column_by_name(name).unwrap_or_else(|| unreachable!("the schema has `{name}`"))
    }

    /// What became of an item.
    pub(super) fn outcome(&self, row: usize) -> &str {
        self.column("outcome").as_string::<i32>().value(row)
    }

    /// The log-probabilities of an item's texts.
    pub(super) fn logprobs(&self, row: usize) -> Vec<f64> {
        self.column("logprobs").as_list::<i32>().value(row).as_primitive::<Float64Type>().values().to_vec()
    }

    /// Whether each of them is what the model would write.
    pub(super) fn greedy(&self, row: usize) -> Vec<bool> {
        self.column("greedy").as_list::<i32>().value(row).as_boolean().iter().flatten().collect()
    }

    /// The columns that stand in the output.
    pub(super) fn shown(&self) -> [(&'static str, Arc<dyn Array>); 3] {
        ["logprobs", "text_tokens", "outcome"].map(|name| (name, Arc::clone(self.column(name))))
    }

    /// Says how many items have no score.
    ///
    /// # Errors
    /// There are more than `max_refused` allows.
    pub(super) fn report(&self, params: &ScoreParams, cx: &StageContext, items: &Items) -> Result<(), StageError> {
        let why = self.column("why").as_string::<i32>();
        let mut unanswered = Unanswered::default();
        for (row, item) in items.0.iter().enumerate().filter(|(_, item)| !item.texts.is_empty()) {
            unanswered.add(self.outcome(row), why.value(row), || format!("item `{}`", item.row.id));
        }
        let without = self.counts.number(NO_REFERENCE);
        if without > 0 {
            cx.warn(format!("{without} of {} items have no text to be scored, and are not scored", items.0.len()));
        }
        unanswered.report(cx, params.max_refused, "they are scored 0, or in bits per byte not at all")?;
        let tokens = self.column("text_tokens").as_list::<i32>().values().as_primitive::<Int64Type>().values().iter();
        cx.counter("tokens_scored", tokens.sum::<i64>().unsigned_abs());
        Ok(())
    }
}

/// Asks the model.
struct Asker<'a> {
    params: &'a ScoreParams,
    cx: &'a StageContext,
    /// Where there is a prompt.
    asked: Option<(PromptTemplate, Fewshot)>,
}

impl<'a> Asker<'a> {
    fn new(params: &'a ScoreParams, cx: &'a StageContext) -> Result<Self, StageError> {
        if !params.is_asked() {
            return Ok(Self { params, cx, asked: None });
        }
        let template = model::template(cx, params.model.as_ref(), &params.template)?;
        let template = template.load(Purpose::Respond, cx.base_dir())?.with_cancel(cx.cancel_token());
        let fewshot = Fewshot::read(cx, &params.fewshot)?;
        Ok(Self { params, cx, asked: Some((template, fewshot)) })
    }

    fn ask(&self, pending: &PendingRows<'_>, sink: &RowSink<'_>) -> Result<(), StageError> {
        let (params, cx) = (self.params, self.cx);
        let items = Items::pending(params, &pending.all()?)?;
        if params.passages.open_book {
            let rows: Vec<_> = items.0.iter().map(|item| item.row.clone()).collect();
            check_passages(cx, &rows, "items")?;
        }
        let (mut requests, mut places) = (Vec::with_capacity(items.0.len()), HashMap::new());
        for (place, item) in items.0.iter().enumerate() {
            match self.request(item)? {
                Ok(request) => {
                    places.insert(request.id.clone(), place);
                    requests.push(request);
                }
                Err(found) => sink.emit(&[place], &batch(&[found])?)?,
            }
        }
        if requests.is_empty() {
            return Ok(());
        }
        let adapter = cx.optional_files("adapter")?;
        let resolved = model::resolve(cx, params.model.as_ref())?;
        let in_flight = InFlight::of(cx, params.slots);
        let scorer = resolved.backend(cx, params.weights, adapter.as_deref(), in_flight, params.chat_date)?;
        // What is of like length is read together.
        requests.sort_by_key(|request| std::cmp::Reverse(length(request)));
        self.read(&*scorer, requests, &places, sink)
    }

    fn sends_chat(&self) -> bool {
        self.params.model.as_ref().is_some_and(ModelRef::sends_chat)
    }

    fn request(&self, item: &Item) -> Result<Result<ScoreRequest, Found>, StageError> {
        let id = item.row.id.clone();
        if item.texts.is_empty() {
            return Ok(Err(Found::none(NO_REFERENCE, "")));
        }
        let Some((template, fewshot)) = &self.asked else {
            let text = ScoreText::Whole(item.texts[0].clone());
            return Ok(Ok(ScoreRequest { id, text }));
        };
        if item.row.instruction.trim().is_empty() {
            return Ok(Err(Found::none(NO_INSTRUCTION, "")));
        }
        let context = PromptContext {
            domain: &self.params.domain,
            demonstrations: fewshot.demonstrations(&item.row),
            passages: &item.row.passages,
            instruction: Some(&item.row.instruction),
            input: &item.row.input,
            ..PromptContext::default()
        };
        let context = match completions::rendered(template.render(&context))? {
            Ok(prompt) => prompt,
            Err(finished) => return Ok(Err(Found::none(finished.finish, finished.text))),
        };
        let usual = match &context {
            Prompt::Text(text) if !text.ends_with(char::is_whitespace) && !self.sends_chat() => " ",
            _ => "",
        };
        let delimiter = self.params.target_delimiter.as_deref().unwrap_or(usual);
        let continuations = item.texts.iter().map(|text| format!("{delimiter}{text}")).collect();
        Ok(Ok(ScoreRequest { id, text: ScoreText::Continuations { context, continuations } }))
    }

    fn read(
        &self,
        scorer: &dyn Scorer,
        requests: Vec<ScoreRequest>,
        places: &HashMap<String, usize>,
        sink: &RowSink<'_>,
    ) -> Result<(), StageError> {
        let mut collector =
            Collector { cx: self.cx, places, sink, waiting: Vec::new(), handed_over: Instant::now(), failure: None };
        let mut requests = requests.into_iter().filter(|request| sink.begin(places[&request.id]));
        let result = scorer.score(&mut requests, &mut collector);
        // Rows that are done are kept, however the call ended.
        let _ = collector.flush();
        if let Some(error) = collector.failure {
            return Err(error);
        }
        self.cx.check_cancelled()?;
        result.map_err(|error| row_error(&|_| "a row of the input `items`".to_owned(), error))
    }
}

/// Bytes of a request's texts.
fn length(request: &ScoreRequest) -> usize {
    match &request.text {
        ScoreText::Whole(text) => text.len(),
        ScoreText::Continuations { context, continuations } => {
            let context = match context {
                Prompt::Text(text) => text.len(),
                Prompt::Tokens(tokens) => tokens.len(),
                Prompt::Chat(messages) => messages.iter().map(|message| message.content.len()).sum(),
            };
            context + continuations.iter().map(String::len).max().unwrap_or(0)
        }
    }
}

/// Hands scored rows over in batches.
struct Collector<'a, 's> {
    cx: &'a StageContext,
    places: &'a HashMap<String, usize>,
    sink: &'a RowSink<'s>,
    waiting: Vec<(usize, Found)>,
    handed_over: Instant,
    failure: Option<StageError>,
}

impl Collector<'_, '_> {
    fn flush(&mut self) -> ControlFlow<()> {
        self.handed_over = Instant::now();
        if self.waiting.is_empty() {
            return ControlFlow::Continue(());
        }
        let (places, found): (Vec<usize>, Vec<Found>) = self.waiting.drain(..).unzip();
        match batch(&found).and_then(|batch| self.sink.emit(&places, &batch)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failure.get_or_insert(error);
                ControlFlow::Break(())
            }
        }
    }

    fn flush_at_times(&mut self) -> ControlFlow<()> {
        if self.handed_over.elapsed() >= FLUSH_EVERY { self.flush() } else { ControlFlow::Continue(()) }
    }
}

impl ScoreSink for Collector<'_, '_> {
    fn scored(&mut self, scored: Scored) -> ControlFlow<()> {
        let Some(&place) = self.places.get(&scored.id) else {
            self.failure.get_or_insert(StageError::contract(format!("the model made up the row `{}`", scored.id)));
            return ControlFlow::Break(());
        };
        let found = match scored.found {
            Ok(likelihoods) => {
                let tokens: usize = likelihoods.iter().map(|l| l.tokens).sum();
                self.cx.add_to_fact("tokens", Measure::Pace, tokens as f64);
                Found { likelihoods, outcome: SCORED, why: String::new() }
            }
            Err((finish, why)) => Found::none(finish_name(finish), why),
        };
        self.waiting.push((place, found));
        self.flush_at_times()
    }

    fn between_steps(&mut self) -> ControlFlow<()> {
        if self.cx.check_cancelled().is_err() || self.failure.is_some() {
            return ControlFlow::Break(());
        }
        self.flush_at_times()
    }
}
