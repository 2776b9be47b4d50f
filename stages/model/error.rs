//! Errors of the language-model crate as errors of a stage.

use std::{error::Error as _, fmt::Write as _};

use pipe_engine::kind::StageError;
use pipe_lm::{
    Error,
    generate::{GenerateError, endpoint::EndpointError},
};

/// The message of an error of the language-model crate with its causes.
fn told(error: &Error) -> String {
    let mut text = format!("failed to {error}");
    let mut next = error.source();
    let mut last = error.to_string();
    while let Some(cause) = next {
        let message = cause.to_string();
        // Transparent wrappers repeat what they wrap.
        if message != last {
            let _ = write!(text, ": {message}");
        }
        last = message;
        next = cause.source();
    }
    text
}

/// A model that cannot be found, opened or run. Busy and broken servers are passing faults; the rest is the user's to mend.
pub fn model_error(error: impl Into<Error>) -> StageError {
    let error = error.into();
    let message = told(&error);
    match &error {
        Error::Generate(GenerateError::Endpoint(endpoint)) => endpoint_error(endpoint, message),
        Error::Generate(GenerateError::NoChatTemplate { .. }) => {
            StageError::user_help(message, "use `template: plain` or `alpaca`, or a model that brings a chat template")
        }
        Error::Generate(GenerateError::PromptTooLong { .. }) => {
            StageError::user_help(message, "lower the number of demonstrations or passages, or give a shorter template")
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
        EndpointError::Status { status: 429 | 500.., .. }
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
