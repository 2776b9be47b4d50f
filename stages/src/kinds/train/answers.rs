//! Answers to held-out rows on the way: a loss that falls is not yet an exam that is passed.

use std::ops::ControlFlow;

use pipe_engine::{context::StageContext, kind::StageError};
use pipe_lm::generate::{Backend, Prompt, Request, SamplingParams};
use pipe_metrics::{Metric, Normalizer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::completions,
    prompts::{PromptContext, PromptTemplate},
    rows::{
        completed::{Finished, unanswered},
        examples::Row,
    },
};

/// How held-out rows are answered, and what the answers are worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvalAnswers {
    /// What an answer is worth, as in `evaluate`.
    #[serde(default = "default_metric")]
    pub metric: Metric,
    /// Longest answer in tokens.
    #[serde(default = "default_tokens")]
    #[schemars(range(min = 1))]
    pub max_new_tokens: usize,
    /// So many of the held-out rows are answered, the first ones; all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rows: Option<usize>,
    /// Rows in flight; changes no answer.
    #[serde(default = "default_slots")]
    #[schemars(range(min = 1), extend("x-operational" = true))]
    pub slots: usize,
}

impl EvalAnswers {
    /// All that a score depends on, besides the held-out rows.
    pub(super) fn identity(&self) -> String {
        let Self { metric, max_new_tokens, rows, slots: _ } = self;
        format!("{} {max_new_tokens} {rows:?}", metric.name())
    }
}

fn default_metric() -> Metric {
    Metric::named("token_f1").expect("it is listed")
}
fn default_tokens() -> usize {
    64
}
fn default_slots() -> usize {
    64
}

/// Held-out rows as a model is asked for them.
pub(super) struct Exam {
    prompts: Vec<Prompt>,
    references: Vec<Vec<String>>,
    metric: Metric,
    sampling: SamplingParams,
}

impl Exam {
    /// The prompts of `rows`, by the template that the model is trained with.
    ///
    /// # Errors
    /// The template fails on a row; the rows are conversations, which have no one answer.
    pub(super) fn new<'a>(
        answers: &EvalAnswers,
        rows: &'a [Row],
        template: &PromptTemplate,
        context: impl Fn(&'a Row) -> PromptContext<'a> + Sync,
    ) -> Result<Self, StageError> {
        let rows = &rows[..answers.rows.unwrap_or(usize::MAX).min(rows.len())];
        if rows.iter().any(|row| !row.messages.is_empty()) {
            return Err(StageError::user_help(
                "held-out rows are to be answered (`eval_answers`), and they are conversations",
                "leave `eval_answers` out, or connect rows with `instruction` and `output` as `evaluation`",
            ));
        }
        let prompts = rows.iter().map(|row| Ok(template.render(&context(row))?.into_prompt()));
        Ok(Self {
            prompts: prompts.collect::<Result<_, StageError>>()?,
            references: rows.iter().map(|row| row.references.clone()).collect(),
            metric: answers.metric,
            sampling: SamplingParams {
                temperature: 0.0,
                max_new_tokens: answers.max_new_tokens,
                stop: template.common_stop("evaluation", rows, &context)?,
                ..SamplingParams::default()
            },
        })
    }

    /// The mean score of what `model` answers, greedily. A row without an answer scores 0.
    ///
    /// # Errors
    /// The model fails; the run is being cancelled.
    pub(super) fn score(&self, cx: &StageContext, model: &dyn Backend) -> Result<f64, StageError> {
        let request = |(row, prompt): (usize, &Prompt)| Ok(Request { id: row.to_string(), prompt: prompt.clone() });
        // By row, and not as they end: a sum depends on its order.
        let mut scores = vec![0.0; self.prompts.len()];
        let what = |row: &str| format!("held-out row {row}");
        completions::complete(
            cx,
            model,
            &mut self.prompts.iter().enumerate().map(request),
            &self.sampling,
            &what,
            |done| {
                for completion in done {
                    let row: usize = completion.id.parse().map_err(|e| StageError::other("find an answer's row", e))?;
                    let finished = Finished::from(completion);
                    if unanswered(finished.finish).is_none() {
                        let references = &self.references[row];
                        scores[row] = self.metric.score(Normalizer::default(), finished.text.trim(), references);
                    }
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(scores.iter().sum::<f64>() / scores.len() as f64)
    }
}
