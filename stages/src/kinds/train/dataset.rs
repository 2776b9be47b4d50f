//! From rows to tokens with loss weights.

use pipe_engine::{context::StageContext, kind::StageError};
use pipe_lm::{
    tokenizer::Tokenizer,
    train::{Dataset, Example, Segment, Stream},
};
use pipe_metrics::Normalizer;
use pipe_random::Random;
use rayon::prelude::*;

use super::{answers::Exam, params::TrainParams};
use crate::{
    model::{
        self, BaseModel, model_error,
        training::{check_context, left_over, training_error},
    },
    prompts::{FAILED_AT_MOST, PromptContext, PromptTemplate, Purpose},
    rows::{
        blind,
        conversations::{are_conversations, read_conversations},
        examples::{Row, check_passages, leave_out_unanswered, leave_out_unasked, read_rows},
    },
};

/// What is trained on, and what the loss is measured on.
pub(super) struct Examples {
    pub training: Dataset,
    pub held_out: Option<Dataset>,
    /// What is answered on the way, where anything is.
    pub exam: Option<Exam>,
}

impl Examples {
    /// Reads the inputs.
    ///
    /// # Errors
    /// An input is empty or lacks a column; all rows lack an instruction, an answer, or with `open_book` passages; the
    /// template fails on all; no row is short enough.
    pub(super) fn read(params: &TrainParams, cx: &StageContext, base: &BaseModel) -> Result<Self, StageError> {
        let mut rows = read(params, cx, "examples")?;
        if rows.is_empty() {
            return Err(StageError::user_help(
                "the input `examples` has no rows",
                "look at the outcome of the stages before it: `pipe show STAGE.yield` tells why rows were dropped",
            ));
        }
        let mut held_out = hold_out(&mut rows, params.eval_fraction, params.seed);
        if cx.optional_table("evaluation")?.is_some() {
            held_out.extend(read(params, cx, "evaluation")?);
        }
        if cx.optional_table("seeds")?.is_some() {
            rows.extend(read(params, cx, "seeds")?);
        }
        let template = model::template(cx, params.model.as_ref(), &params.template)?
            .load(Purpose::Respond, cx.base_dir())?
            .with_cancel(cx.cancel_token())
            .with_chat_date(params.chat_date);
        let encoder = Encoder { params, cx, base, template: &template };
        let training = encoder.dataset(&rows)?;
        let report = training.report();
        cx.counter("examples_truncated", report.truncated as u64);
        cx.counter("examples_dropped", report.dropped as u64);
        if report.dropped > 0 {
            cx.warn(format!("{} of {} rows are longer than max_seq_len and were left out", report.dropped, rows.len()));
        }
        let exam = match &params.eval_answers {
            Some(answers) if !held_out.is_empty() => {
                let references = held_out.iter().map(|row| &*row.references);
                blind::warn(cx, &[answers.metric], Normalizer::default(), references);
                Some(Exam::new(answers, &held_out, &template, |row| encoder.context(row))?)
            }
            _ => None,
        };
        let held_out = encoder.held_out(&held_out, cx)?;
        if params.needs_held_out() && held_out.is_none() {
            return Err(StageError::user_help(
                "held-out rows are to be answered, to decide when the training ends, or with which weights, and there \
                 are none",
                "connect a table with rows as the input `evaluation`, or set a share of two rows or more apart with \
                 `eval_fraction: 0.1`",
            ));
        }
        if params.eval_steps.is_some() && held_out.is_none() {
            cx.warn(
                "`eval_steps` measures nothing, for want of held-out rows: connect some as the input `evaluation`, or \
                 set some apart (`eval_fraction`)",
            );
        }
        Ok(Self { training, held_out, exam })
    }
}

fn read(params: &TrainParams, cx: &StageContext, port: &str) -> Result<Vec<Row>, StageError> {
    let table = cx.table(port)?.read()?;
    let conversations = are_conversations(&table);
    let mut rows = if conversations {
        read_conversations(&table, port)
    } else {
        read_rows(&table, port, params.passages.shown())
    }?;
    leave_out_unasked(cx, &mut rows, port)?;
    leave_out_unanswered(cx, &mut rows, port)?;
    // Seeds are written by people, who had no passages.
    if params.passages.open_book && port != "seeds" {
        if conversations {
            cx.warn(format!("`{port}` has conversations, which stand as they are: `open_book` shows them no passages"));
        } else {
            check_passages(cx, &rows, port)?;
        }
    }
    Ok(rows)
}

/// Takes a share of the rows out, drawn by `seed`; both parts keep their order.
fn hold_out(rows: &mut Vec<Row>, share: f64, seed: u64) -> Vec<Row> {
    if share == 0.0 {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    Stream::new(seed, "held-out rows", &[]).shuffle(&mut order);
    let count = ((share * rows.len() as f64).ceil() as usize).min(rows.len() - 1);
    let mut held = vec![false; rows.len()];
    for &row in &order[..count] {
        held[row] = true;
    }
    let (mut kept, mut out) = (Vec::new(), Vec::new());
    for (row, held) in std::mem::take(rows).into_iter().zip(held) {
        if held { out.push(row) } else { kept.push(row) }
    }
    *rows = kept;
    out
}

struct Encoder<'a> {
    params: &'a TrainParams,
    cx: &'a StageContext,
    base: &'a BaseModel,
    template: &'a PromptTemplate,
}

impl Encoder<'_> {
    fn dataset(&self, rows: &[Row]) -> Result<Dataset, StageError> {
        let context = self.base.config().max_position_embeddings;
        let longest = self.params.max_seq_len.unwrap_or(context);
        check_context(longest, context)?;
        let vocabulary = self.base.config().vocab_size;
        // A template that is wrong fails on the first rows; one that is slow at that, for a second each.
        let (first, rest) = rows.split_at(rows.len().min(FAILED_AT_MOST));
        let of = |rows: &[Row]| -> Vec<Result<Example, StageError>> {
            let example = |row: &Row| {
                let example = self.example(row)?;
                example.check(0, vocabulary).map_err(training_error)?;
                Ok(example)
            };
            rows.par_iter().map(example).collect()
        };
        let mut made = of(first);
        if made.iter().any(Result::is_ok) {
            made.extend(of(rest));
        }
        let examples = left_over(self.cx, rows.iter().map(|row| &*row.id), made)?;
        Dataset::new(examples, longest, self.params.too_long, vocabulary).map_err(training_error)
    }

    /// What the loss is measured on; `None` where nothing is held out.
    fn held_out(&self, rows: &[Row], cx: &StageContext) -> Result<Option<Dataset>, StageError> {
        if rows.is_empty() {
            return Ok(None);
        }
        let data = self.dataset(rows).map_err(|error| match error {
            StageError::User { message, help } => StageError::User {
                message: format!("the rows to measure the loss on (`evaluation`, `eval_fraction`): {message}"),
                help,
            },
            other => other,
        })?;
        let dropped = data.report().dropped;
        if dropped > 0 {
            cx.warn(format!(
                "{dropped} of {} rows of `evaluation` are longer than max_seq_len and were left out",
                rows.len()
            ));
        }
        Ok(Some(data))
    }

    fn context<'a>(&'a self, row: &'a Row) -> PromptContext<'a> {
        PromptContext {
            domain: &self.params.domain,
            passages: &row.passages,
            instruction: Some(&row.instruction),
            input: &row.input,
            ..PromptContext::default()
        }
    }

    fn example(&self, row: &Row) -> Result<Example, StageError> {
        if !row.messages.is_empty() {
            return self.conversation(row);
        }
        let context = self.context(row);
        let chat = self.base.chat().map(|chat| &**chat);
        let text = self.template.training_text(&context, &row.references[0], chat)?;
        let tokenizer: &Tokenizer = self.base.tokenizer();
        let joint = tokenizer.encode_joint(&text.prompt, &text.completion, text.add_special_tokens);
        let mut joint = joint.map_err(model_error)?;
        if text.add_special_tokens {
            // A model that never sees the end never learns to stop. Chat templates write their own, and some
            // tokenizers.
            let end = tokenizer.eos().or_else(|| self.base.stop_tokens().first().copied());
            joint.tokens.extend(end.filter(|end| joint.tokens.last() != Some(end)));
        }
        let weight = if self.params.train_on_prompt { 1.0 } else { 0.0 };
        let (prompt, completion) = joint.tokens.split_at(joint.prompt);
        Ok(Example::from_segments(
            &row.id,
            &[Segment { tokens: prompt.to_vec(), weight }, Segment { tokens: completion.to_vec(), weight: 1.0 }],
        ))
    }
}

impl Encoder<'_> {
    /// A conversation in the model's own chat template; the loss falls on every turn of the assistant.
    fn conversation(&self, row: &Row) -> Result<Example, StageError> {
        let chat = self.base.chat().ok_or_else(|| {
            StageError::user_help(
                "the rows are conversations (`messages`), and the model has no chat template",
                "use a model that brings one; `turns: first` where the table is read makes `instruction` and `output` \
                 of the first exchange",
            )
        })?;
        let turns = self.template.turns(&row.messages, chat)?;
        let (tokens, said) = self.base.tokenizer().encode_turns(&turns).map_err(model_error)?;
        let weight = |said: bool| if said || self.params.train_on_prompt { 1.0 } else { 0.0 };
        Ok(Example { id: row.id.clone(), weights: said.into_iter().map(weight).collect(), tokens })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_rows_are_a_fixed_share() {
        let rows: Vec<Row> = (0..10).map(|i: u32| Row { id: i.to_string(), ..Row::default() }).collect();
        let split = |share, seed| {
            let mut kept = rows.clone();
            let out = hold_out(&mut kept, share, seed);
            let ids = |rows: &[Row]| rows.iter().map(|row| row.id.parse::<u32>().unwrap()).collect::<Vec<_>>();
            (ids(&kept), ids(&out))
        };
        let (kept, out) = split(0.25, 1);
        assert_eq!((kept.len(), out.len()), (7, 3));
        assert!(kept.is_sorted() && out.is_sorted() && out.iter().all(|id| !kept.contains(id)));
        assert_eq!(split(0.25, 1), (kept, out.clone()));
        assert_ne!(split(0.25, 2).1, out);
        assert_eq!(split(0.999, 1).0.len(), 1, "one is left to train on");
        assert!(split(0.0, 1).1.is_empty());
    }
}
