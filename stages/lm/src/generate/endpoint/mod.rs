//! OpenAI-compatible servers (vLLM, llama.cpp, Ollama) as a backend.
//!
//! Rows are sent one request each, a bounded number at a time; the server batches them. Passing failures (429, 5xx, cut
//! connections, time-outs, damaged answers) are tried again with growing, jittered pauses, `Retry-After` is honoured by
//! all rows. What a server refuses for its content is a completion ([`FinishReason::Refused`](super::FinishReason)):
//! the row is done. Anything else ends the call with the row's name. Texts that are given are scored by vLLM alone
//! (`score.rs`).

mod admin;
mod client;
mod config;
mod error;
mod likelihoods;
mod pool;
mod protocol;
mod score;

use std::sync::Arc;

pub use admin::ListedModel;
pub use config::{ApiKey, EndpointConfig, Server};
pub use error::EndpointError;

use super::{Backend, Completion, GenerateError, Request, SamplingParams, Sink, Usage};
use client::Client;

/// A server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    client: Arc<Client>,
}

impl Endpoint {
    /// A server at an address. Nothing is sent yet.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(config: EndpointConfig) -> Result<Self, EndpointError> {
        Ok(Self { client: Arc::new(Client::new(config)?) })
    }

    /// How it is reached.
    pub fn config(&self) -> &EndpointConfig {
        &self.client.config
    }
}

impl Backend for Endpoint {
    fn complete(
        &self,
        requests: &mut (dyn Iterator<Item = Request> + Send),
        params: &SamplingParams,
        sink: &mut dyn Sink,
    ) -> Result<Usage, GenerateError> {
        if let Some(problem) = params.problem() {
            return Err(GenerateError::Params(problem));
        }
        protocol::check(self.config(), params)?;
        let (client, params) = (self.client.clone(), params.clone());
        let mut usage = Usage::default();
        pool::drive(
            self.config().concurrency,
            requests,
            move |request, cancelled| client.complete(&request, &params, cancelled),
            &mut |completion: Option<Completion>| match completion {
                Some(completion) => {
                    usage += completion.usage;
                    sink.completed(completion)
                }
                None => sink.between_steps(),
            },
        )?;
        Ok(usage)
    }
}
