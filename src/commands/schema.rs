//! `pipe schema`.

use crate::{error::CliError, exit::Exit, output};

pub(crate) fn schema() -> Result<Exit, CliError> {
    output::json(&pipe_engine::spec::pipeline_schema(&pipe_stages::registry()))?;
    Ok(Exit::Success)
}
