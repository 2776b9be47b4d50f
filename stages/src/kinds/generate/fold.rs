//! What becomes of attempts, one after the other: kept or dropped, counted, and how many more are wanted.

use pipe_engine::{
    context::{Attempt, Measure, Wanted},
    kind::StageError,
};

use super::{TEXT, Writer, filter::Filter, outcome, outcome::Kept};
use crate::rows::{completed::Completed, unanswered::Unanswered, yields::Yield};

/// Parses and filters attempts in their order.
pub(super) struct Fold<'a> {
    writer: &'a Writer<'a>,
    filter: Filter,
    pub(super) kept: Kept,
    pub(super) counts: Yield,
    pub(super) unanswered: Unanswered,
    /// Attempts since a row was last kept.
    fruitless: u64,
    pub(super) prompt_tokens: u64,
    pub(super) generated_tokens: u64,
}

impl<'a> Fold<'a> {
    pub(super) fn new(writer: &'a Writer<'a>, excluded: &[(String, String)]) -> Self {
        let filters = &writer.params.filters;
        let filter = Filter::new(filters, &writer.seeds, excluded);
        let counts = Yield::new(&filters.outcomes());
        Self {
            writer,
            filter,
            kept: Kept::new(writer.documents.is_some()),
            counts,
            unanswered: Unanswered::default(),
            fruitless: 0,
            prompt_tokens: 0,
            generated_tokens: 0,
        }
    }

    pub(super) fn see(&mut self, attempt: &Attempt<'_>) -> Result<Wanted, StageError> {
        let params = self.writer.params;
        let completed = Completed::of(attempt.batch, TEXT)?;
        let (prompt_tokens, generated_tokens) = completed.tokens(attempt.row);
        self.prompt_tokens += prompt_tokens;
        self.generated_tokens += generated_tokens;
        let finish = completed.finish_reason(attempt.row);
        let written = completed.text(attempt.row);
        self.unanswered.add(finish, written, || self.writer.what(attempt.index));
        self.unanswered.check_of_many(params.sampling.max_refused)?;
        let (_, text) = params.sampling.reasoning.split(written);
        let passages = self.writer.passages(attempt.index);
        let dropped = match self.filter.judge(text, finish, passages) {
            Ok((instruction, input)) => {
                let id = format!("{}-{:06}", &self.writer.cx.recipe().to_string()[..8], attempt.index);
                let demonstrations = self.writer.demonstrations(attempt.index);
                self.kept.push(&id, &instruction, &input, &demonstrations, finish, passages);
                self.counts.add(outcome::KEPT);
                self.fruitless = 0;
                None
            }
            Err(reason) => {
                self.counts.add_with(reason, || text.trim().to_owned());
                self.fruitless += 1;
                Some(reason)
            }
        };
        let (kept, attempts) = (self.kept.len(), attempt.index + 1);
        self.tell(attempts, dropped);
        self.writer.cx.progress(kept, Some(params.count), "rows");
        let wanted = self.wanted(attempts);
        if wanted.rows > 0 && wanted.attempts == 0 {
            let spent = params.max_attempts.is_some_and(|max| attempts >= max);
            if let Some(told) = self.unanswered.told().filter(|_| self.unanswered.exceeds(params.sampling.max_refused))
            {
                return Err(StageError::user(format!("{told}; {}", self.gave_up(attempts, spent))));
            }
            return Err(self.gave_up(attempts, spent));
        }
        Ok(wanted)
    }

    /// Tells people how many attempts there were, and why those were dropped that were.
    fn tell(&self, attempts: u64, dropped: Option<&str>) {
        let cx = self.writer.cx;
        cx.fact("attempts", Measure::Count, attempts as f64);
        cx.fact("dropped", Measure::Count, (attempts - self.kept.len()) as f64);
        if let Some(reason) = dropped {
            cx.add_to_fact(reason, Measure::Part, 1.0);
        }
    }

    /// What is still wanted after so many attempts.
    pub(super) fn wanted(&self, attempts: u64) -> Wanted {
        let params = self.writer.params;
        let left = params.max_attempts.map_or(u64::MAX, |max| max.max(1).saturating_sub(attempts));
        Wanted {
            rows: params.count.saturating_sub(self.kept.len()),
            attempts: left.min(params.patience.saturating_sub(self.fruitless)),
        }
    }

    fn gave_up(&self, attempts: u64, spent: bool) -> StageError {
        let params = self.writer.params;
        let why = if spent {
            format!("`max_attempts: {attempts}` is reached")
        } else {
            format!("the last {} of {attempts} attempts kept nothing", self.fruitless)
        };
        let help = if spent {
            "raise `max_attempts`, or loosen the filter that drops most"
        } else {
            "loosen the filter that drops most (`filters`), show other seeds, raise the temperature or \
             `max_new_tokens`, or ask for fewer rows; \
             `patience` says how long to try"
        };
        StageError::user_help(
            format!(
                "{} of {} instructions were kept, and {why} ({})",
                self.kept.len(),
                params.count,
                self.counts.told()
            ),
            help,
        )
    }
}
