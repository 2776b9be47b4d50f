//! OpenAI-compatible servers (vLLM, llama.cpp, Ollama) as a backend.
//!
//! Rows are sent one request each, a bounded number at a time; the server batches them. Passing failures (429, 5xx, cut
//! connections, time-outs, damaged answers) are tried again with growing, jittered pauses, `Retry-After` is honoured by
//! all rows. What a server refuses for its content is a completion ([`FinishReason::Refused`](super::FinishReason)):
//! the row is done. Anything else ends the call with the row's name.

mod admin;
mod client;
mod config;
mod error;
mod protocol;

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;

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

/// Ends the workers when the call ends, however it ends.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
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
        let cancel = CancelOnDrop(Arc::default());
        let (jobs, queue) = mpsc::channel::<Request>();
        let (done, completions) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let limit = self.config().concurrency.max(1);
        let (mut in_flight, mut workers) = (0, 0);
        let mut usage = Usage::default();
        let mut failure = None;
        loop {
            while failure.is_none()
                && in_flight < limit
                && let Some(request) = requests.next()
            {
                // Workers are threads of their own: where a call ends early, they finish their request unattended.
                if workers == in_flight {
                    let (client, queue, done) = (self.client.clone(), queue.clone(), done.clone());
                    let (params, cancelled) = (params.clone(), cancel.0.clone());
                    let work = move || work(&client, &queue, &done, &params, &cancelled);
                    let worker = thread::Builder::new().name("endpoint".to_owned()).spawn(work);
                    worker.map_err(EndpointError::Worker)?;
                    workers += 1;
                }
                in_flight += 1;
                jobs.send(request).map_err(|_| worker_died())?;
            }
            if in_flight == 0 {
                return failure.map_or(Ok(usage), |failure: EndpointError| Err(failure.into()));
            }
            match completions.recv_timeout(Duration::from_millis(50)) {
                Ok(completion) => {
                    in_flight -= 1;
                    let completion = match completion {
                        Ok(Some(completion)) => completion,
                        Ok(None) => continue,
                        // What is on its way has been paid for, so it is waited for.
                        Err(error) => {
                            failure.get_or_insert(error);
                            continue;
                        }
                    };
                    usage += completion.usage;
                    if let ControlFlow::Break(()) = sink.completed(completion) {
                        return Ok(usage);
                    }
                }
                Err(RecvTimeoutError::Timeout) if sink.between_steps().is_break() => return Ok(usage),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(worker_died().into()),
            }
        }
    }
}

fn worker_died() -> EndpointError {
    EndpointError::Worker(std::io::Error::other("a worker ended unexpectedly"))
}

/// Completes rows until there are no more or the call ended.
fn work(
    client: &Client,
    queue: &Mutex<mpsc::Receiver<Request>>,
    done: &mpsc::Sender<Result<Option<Completion>, EndpointError>>,
    params: &SamplingParams,
    cancelled: &AtomicBool,
) {
    loop {
        let next = queue.lock().recv();
        let Ok(request) = next else { return };
        if done.send(client.complete(&request, params, cancelled)).is_err() {
            return;
        }
    }
}
