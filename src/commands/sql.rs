//! `pipe sql`.

use std::io::{self, Write};

use pipe_engine::{diag::one_of, views::Views};

use crate::{
    cli,
    error::CliError,
    exit::Exit,
    output::{self, plural},
    project,
};

pub(crate) fn sql(global: &cli::Global, args: &cli::Sql) -> Result<Exit, CliError> {
    let store = project::existing_store(global, project::READ_ONLY)?;
    let all = store.pipelines()?;
    if let Some(name) = args.pipelines.iter().find(|name| !all.contains(name)) {
        let help = one_of(name, "the pipelines are", all.iter().map(String::as_str));
        return Err(CliError::NotFound { message: format!("there is no pipeline `{name}` in the store"), help });
    }
    let mut named = if args.pipelines.is_empty() { all } else { args.pipelines.clone() };
    named.sort();
    named.dedup();
    let views = Views::read(&store, &named)?;
    if views.is_empty() {
        return Err(CliError::NotFound {
            message: "there is no table to make a view of".to_owned(),
            help: Some("run a pipeline first".to_owned()),
        });
    }
    if !global.quiet {
        for (pipeline, variants) in views.unknown() {
            let many = plural(variants.len() as u64, "variant");
            output::warning(format_args!("arm and factors of {many} of `{pipeline}` are not known: run it again"));
        }
    }
    io::stdout().lock().write_all(views.sql().as_bytes())?;
    Ok(Exit::Success)
}
