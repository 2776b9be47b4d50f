//! Answers of a model: what it is asked, and how.

use arrow::{array::RecordBatch, compute::concat_batches};
use pipe_engine::{
    context::{PendingRows, RowSink, StageContext, TableInput},
    kind::{InputPort, PortType, Role, StageError},
};
use pipe_lm::generate::{Model, SamplingParams};

use super::{answer_schema, params::EvaluateParams};
use crate::{
    model::{self, InFlight, adapter_port, completions, model_port, resolve},
    prompts::{PromptContext, PromptTemplate, Purpose},
    rows::{
        columns::lasting_ids,
        completed::{self, Finished, NO_INSTRUCTION, NO_REFERENCE},
        examples::{Row, check_passages, read_rows},
        fewshot::{self, Fewshot},
        ports,
    },
};

/// What a model is asked about, and with what.
pub(super) fn ports(params: &EvaluateParams) -> Vec<InputPort> {
    vec![
        InputPort::new("items", PortType::Table, true)
            .role(Role::Exam)
            .about("The exam.")
            .needs([ports::instruction(), ports::right_answer()])
            .takes([ports::id(), ports::input(), ports::task(), ports::passages(), ports::labels()]),
        fewshot::port(params.fewshot.num_fewshot),
        adapter_port(),
        model_port(params.model.as_ref()),
    ]
}

/// The answers to all items; the model is asked for those that are not kept yet.
pub(super) fn answers(
    params: &EvaluateParams,
    cx: &StageContext,
    table: &TableInput,
    items: &RecordBatch,
    rows: &[Row],
) -> Result<RecordBatch, StageError> {
    if params.passages.open_book {
        check_passages(cx, rows, "items")?;
    }
    let template = model::template(cx, params.model.as_ref(), &params.template)?;
    let template = template.load(Purpose::Respond, cx.base_dir())?.with_cancel(cx.cancel_token());
    let fewshot = Fewshot::read(cx, &params.fewshot)?;
    let examiner = Examiner { params, cx, template, fewshot };
    let sampling = examiner.sampling(items)?;
    let mut backend = None;
    let answered =
        cx.map_rows(table, &answer_schema(), |pending, sink| examiner.answer(pending, &sampling, sink, &mut backend))?;
    concat_batches(&answer_schema(), &answered.batches).map_err(|e| StageError::other("join the predictions", e))
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
        let mut rows = read_rows(items, "items", self.params.passages.shown())?;
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

    fn backend(&self) -> Result<Box<dyn Model>, StageError> {
        let params = self.params;
        let adapter = self.cx.optional_files("adapter")?;
        let model = resolve(self.cx, params.model.as_ref())?;
        let options = InFlight::of(self.cx, params.sampling.slots);
        model.backend(self.cx, params.weights, adapter.as_deref(), options, params.chat_date)
    }

    fn answer(
        &self,
        pending: &PendingRows<'_>,
        sampling: &SamplingParams,
        sink: &RowSink<'_>,
        backend: &mut Option<Box<dyn Model>>,
    ) -> Result<(), StageError> {
        let rows = self.rows(&pending.all()?)?;
        let unasked = |row: &Row| match row {
            row if row.references.is_empty() => Some(NO_REFERENCE),
            row => row.instruction.trim().is_empty().then_some(NO_INSTRUCTION),
        };
        let (blank, order): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|&row| unasked(&rows[row]).is_some());
        if !blank.is_empty() {
            let outcomes = blank.iter().filter_map(|&row| unasked(&rows[row]));
            let finished: Vec<Finished> = outcomes.map(|outcome| Finished::unasked(outcome, "")).collect();
            sink.emit(&blank, &batch(&finished)?)?;
        }
        if order.is_empty() {
            return Ok(());
        }
        let backend = match backend {
            Some(backend) => backend,
            none => none.insert(self.backend()?),
        };
        let ids: Vec<&str> = rows.iter().map(|row| &*row.id).collect();
        let prompt = |row: usize| completions::rendered(self.template.render(&self.context(&rows[row])));
        let unasked = |row: usize, finished: Finished| sink.emit(&[row], &batch(&[finished])?);
        let mut requests =
            completions::requests(order.into_iter().filter(|&row| sink.begin(row)), &ids, prompt, unasked);
        completions::complete_rows(self.cx, &**backend, "items", &ids, &mut requests, sampling, |places, done| {
            let finished: Vec<Finished> = done.into_iter().map(Finished::from).collect();
            sink.emit(places, &batch(&finished)?)
        })
    }
}

fn batch(finished: &[Finished]) -> Result<RecordBatch, StageError> {
    let columns = completed::columns(finished.iter(), str::trim).to_vec();
    RecordBatch::try_new(answer_schema(), columns).map_err(|e| StageError::other("gather predictions in a table", e))
}
