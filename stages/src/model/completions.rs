//! Runs a backend over a queue of requests, and hands finished rows over in batches.

use std::{collections::HashMap, ops::ControlFlow, time::Instant};

use parking_lot::Mutex;
use pipe_engine::{
    context::{FLUSH_EVERY, Measure, StageContext},
    kind::StageError,
};
use pipe_lm::generate::{Backend, Completion, Prompt, Request, SamplingParams, Sink};

use crate::{
    model::row_error,
    prompts::Rendered,
    rows::completed::{Finished, UNRENDERED},
};

/// A prompt, or the outcome of a row on which the template fails: it ends no other.
///
/// # Errors
/// The run is being cancelled.
pub(crate) fn rendered(rendered: Result<Rendered, StageError>) -> Result<Result<Prompt, Finished>, StageError> {
    match rendered {
        Ok(rendered) => Ok(Ok(rendered.into_prompt())),
        Err(StageError::Cancelled) => Err(StageError::Cancelled),
        Err(error) => Ok(Err(Finished::unasked(UNRENDERED, error.to_string()))),
    }
}

/// The requests of rows, in the order given, each made when it is wanted. A row that has no prompt is handed to
/// `unasked` instead, with what became of it.
pub(crate) fn requests<'a>(
    rows: impl Iterator<Item = usize> + Send + 'a,
    ids: &'a [&'a str],
    prompt: impl Fn(usize) -> Result<Result<Prompt, Finished>, StageError> + Send + 'a,
    unasked: impl Fn(usize, Finished) -> Result<(), StageError> + Send + 'a,
) -> impl Iterator<Item = Result<Request, StageError>> + Send + 'a {
    rows.filter_map(move |row| match prompt(row) {
        Ok(Ok(prompt)) => Some(Ok(Request { id: ids[row].to_owned(), prompt })),
        Ok(Err(finished)) => unasked(row, finished).err().map(Err),
        Err(error) => Some(Err(error)),
    })
}

/// What has gone wrong outside of the backend; the first mistake ends the call.
type Failure = Mutex<Option<StageError>>;

fn fail(failure: &Failure, error: StageError) {
    failure.lock().get_or_insert(error);
}

struct Collector<'a, F> {
    cx: &'a StageContext,
    failure: &'a Failure,
    waiting: Vec<Completion>,
    handed_over: Instant,
    hand_over: F,
}

impl<F: FnMut(Vec<Completion>) -> Result<ControlFlow<()>, StageError>> Collector<'_, F> {
    fn flush(&mut self) -> ControlFlow<()> {
        self.handed_over = Instant::now();
        if self.waiting.is_empty() {
            return ControlFlow::Continue(());
        }
        match (self.hand_over)(std::mem::take(&mut self.waiting)) {
            Ok(flow) => flow,
            Err(error) => {
                fail(self.failure, error);
                ControlFlow::Break(())
            }
        }
    }
}

impl<F: FnMut(Vec<Completion>) -> Result<ControlFlow<()>, StageError>> Sink for Collector<'_, F> {
    fn completed(&mut self, completion: Completion) -> ControlFlow<()> {
        self.cx.add_to_fact("tokens", Measure::Pace, completion.usage.completion_tokens as f64);
        self.waiting.push(completion);
        if self.handed_over.elapsed() >= FLUSH_EVERY { self.flush() } else { ControlFlow::Continue(()) }
    }

    fn between_steps(&mut self) -> ControlFlow<()> {
        if self.cx.check_cancelled().is_err() || self.failure.lock().is_some() {
            return ControlFlow::Break(());
        }
        // Rows of one length end in one step, and nothing may end for minutes after it.
        if self.handed_over.elapsed() >= FLUSH_EVERY { self.flush() } else { ControlFlow::Continue(()) }
    }
}

/// Completes `requests`, which are pulled as rows get free (and again where there was none for now), and hands
/// completions over in batches, in any order. `hand_over` says when it has enough; rows in flight are then dropped.
/// `what` says of a request's id in errors what it stands for (an attempt, a row of an input).
///
/// # Errors
/// A request cannot be made; a row cannot be completed; `hand_over` fails; the run is being cancelled. What was handed
/// over before stays good.
pub(crate) fn complete(
    cx: &StageContext,
    backend: &dyn Backend,
    requests: &mut (dyn Iterator<Item = Result<Request, StageError>> + Send),
    params: &SamplingParams,
    what: &dyn Fn(&str) -> String,
    hand_over: impl FnMut(Vec<Completion>) -> Result<ControlFlow<()>, StageError>,
) -> Result<(), StageError> {
    let failure = Failure::default();
    // A source that has none for now is asked again, and one that has failed is not.
    let mut failed = false;
    let mut requests = std::iter::from_fn(|| match if failed { None } else { requests.next() }? {
        Ok(request) => Some(request),
        Err(error) => {
            failed = true;
            fail(&failure, error);
            None
        }
    });
    let mut sink = Collector { cx, failure: &failure, waiting: Vec::new(), handed_over: Instant::now(), hand_over };
    let result = backend.complete(&mut requests, params, &mut sink);
    // Rows that are done are kept, however the call ended.
    let _ = sink.flush();
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    cx.check_cancelled()?;
    result.map(|_| ()).map_err(|error| row_error(what, error))
}

/// [`complete`] for rows of the input `port`: `requests` are named by the rows' `ids`, in any order, and `hand_over` is
/// given the places of finished rows among `ids` and, in the same order, their completions.
///
/// # Errors
/// As [`complete`].
pub(crate) fn complete_rows(
    cx: &StageContext,
    backend: &dyn Backend,
    port: &str,
    ids: &[&str],
    requests: &mut (dyn Iterator<Item = Result<Request, StageError>> + Send),
    params: &SamplingParams,
    mut hand_over: impl FnMut(&[usize], Vec<Completion>) -> Result<(), StageError>,
) -> Result<(), StageError> {
    let places: HashMap<&str, usize> = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    let place = |completion: &Completion| {
        let unknown = || StageError::contract(format!("the backend made up the row `{}`", completion.id));
        places.get(&*completion.id).copied().ok_or_else(unknown)
    };
    let what = |_: &str| format!("a row of the input `{port}`");
    complete(cx, backend, requests, params, &what, |done| {
        let rows = done.iter().map(place).collect::<Result<Vec<usize>, _>>()?;
        hand_over(&rows, done).map(|()| ControlFlow::Continue(()))
    })
}
