//! Errors of the language-model crate as errors of a stage.

use pipe_engine::{context::causes, kind::StageError};
use pipe_lm::{
    Error,
    generate::{GenerateError, endpoint::EndpointError},
};

/// A model that cannot be found, opened or run. Busy and broken servers are passing faults; the rest is the user's to
/// mend.
pub fn model_error(error: impl Into<Error>) -> StageError {
    let error = error.into();
    let message = format!("failed to {}", causes(&error).join(": "));
    match &error {
        Error::Generate(GenerateError::Endpoint(endpoint)) => endpoint_error(endpoint, message),
        Error::Generate(GenerateError::NoChatTemplate { .. }) => {
            StageError::user_help(message, "use `template: plain` or `alpaca`, or a model that brings a chat template")
        }
        _ => StageError::User { message, help: None },
    }
}

fn endpoint_error(error: &EndpointError, message: String) -> StageError {
    let help = |help: &str| StageError::user_help(message.clone(), help);
    match error {
        EndpointError::Status { status: 401 | 403, .. } => {
            help("the server wants a key: put it into an environment variable and name that with `api_key_env`")
        }
        EndpointError::Status { status: 404, .. } => {
            help("check the URL (it ends in front of `/completions`, mostly in `/v1`) and the model's name")
        }
        EndpointError::Admin { status: Some(401 | 403), .. } => {
            help("the server wants a key: put it into an environment variable and name that with `api_key_env`")
        }
        EndpointError::Admin { status: Some(400..=499), .. } => StageError::user(message),
        EndpointError::Unable { .. } => help(
            "vLLM tells it, where its `/tokenize` is as open as its `/v1/completions`; of models behind other servers, \
             score the files (a directory, hf:org/name@revision or a .gguf file)",
        ),
        EndpointError::NoFirstToken { .. } => help(
            "start vLLM with --enable-tokenizer-info-endpoint, or have it started for the run (`model: { serve: vllm, \
             model: ... }`)",
        ),
        EndpointError::Status { status: 429 | 500.., .. }
        | EndpointError::Admin { .. }
        | EndpointError::Died(_)
        | EndpointError::Transport { .. }
        | EndpointError::Answer { .. }
        | EndpointError::Wait { .. }
        | EndpointError::Worker(_) => StageError::transient(message),
        EndpointError::Status { .. } | EndpointError::Url { .. } | EndpointError::Unsupported { .. } => {
            StageError::user(message)
        }
    }
}

/// [`model_error`] for a failure of generation; `of` says what a row's id names (an attempt, a row of an input).
pub fn row_error(of: &dyn Fn(&str) -> String, error: GenerateError) -> StageError {
    let Some(of) = error.row().map(of) else { return model_error(error) };
    match model_error(error) {
        StageError::User { message, help } => StageError::User { message: format!("{message} ({of})"), help },
        StageError::Transient { message } => StageError::Transient { message: format!("{message} ({of})") },
        other => other,
    }
}
