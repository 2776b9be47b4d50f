//! `pipe schema`.

use crate::{error::CliError, exit::Exit, output};

pub fn schema() -> Result<Exit, CliError> {
    output::json(&pipe_engine::schema::pipeline_schema(&pipe_stages::registry()))?;
    Ok(Exit::Success)
}
