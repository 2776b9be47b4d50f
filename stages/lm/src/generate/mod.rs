//! Generation: rows in, completions out, from a model in this process or from a server.
//!
//! [`Backend`] is what the stages see. [`Generator`] runs a [`Decoder`](crate::model::Decoder) with continuous
//! batching; [`Endpoint`](endpoint::Endpoint) talks to an OpenAI-compatible server. Rows are pulled from an iterator as
//! capacity frees up and come back as they finish, in any order.

pub mod endpoint;
mod ends;
mod error;
mod generator;
mod request;
mod rows;
mod sampling;
mod score;
mod sequences;
mod stop;

use std::ops::ControlFlow;

pub use ends::Ends;
pub use error::GenerateError;
pub use generator::{Generator, GeneratorOptions};
pub use request::{
    BadSampling, Completion, FinishReason, Likelihood, Prompt, Request, SamplingParams, ScoreRequest, ScoreText,
    Scored, Usage,
};
pub use score::{ScoreSink, Scorer};

/// Takes completions. Closures `FnMut(Completion) -> ControlFlow<()>` are sinks.
pub trait Sink {
    /// A row is done. `Break` ends the call: rows in flight are dropped.
    fn completed(&mut self, completion: Completion) -> ControlFlow<()>;

    /// Called between steps, and many times a second while a server is waited for. `Break` ends the call now.
    fn between_steps(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(Completion) -> ControlFlow<()>> Sink for F {
    fn completed(&mut self, completion: Completion) -> ControlFlow<()> {
        self(completion)
    }
}

/// Completes rows.
pub trait Backend: Send + Sync {
    /// Completes every request, handing each completion to `sink` (on the calling thread, in any order) as it is done,
    /// and returns the usage of those handed over. `requests` may have none for now and more when others are completed:
    /// the call ends when nothing is in flight and there is none.
    ///
    /// With the local backend a row's completion depends on the model, its own prompt and id, and `params` alone: not
    /// on the rows around it, the number of slots, or threads. Servers promise less.
    ///
    /// A row that cannot be completed, because its prompt is too long or the model will not have it, ends with a
    /// completion that says so ([`FinishReason`]).
    ///
    /// # Errors
    /// What concerns all rows: the model, the server, the parameters. What reached `sink` before stays good.
    fn complete(
        &self,
        requests: &mut (dyn Iterator<Item = Request> + Send),
        params: &SamplingParams,
        sink: &mut dyn Sink,
    ) -> Result<Usage, GenerateError>;
}

/// Does both.
pub trait Model: Backend + Scorer {}

impl<M: Backend + Scorer> Model for M {}
