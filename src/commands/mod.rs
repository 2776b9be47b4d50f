//! One file or folder per command. A command returns its exit code, or an error for [`crate::error`] to report.

mod check;
mod compare;
mod completions;
mod dag;
mod diff;
mod docs;
mod doctor;
mod export_samples;
mod files;
mod gc;
mod init;
mod kinds;
mod logs;
mod ls;
mod plan;
pub(crate) mod remote;
mod results;
mod run;
mod runs;
mod schema;
mod show;
mod show_builtin;
mod sql;
mod status;
mod store;
mod submit;
mod target;
mod trace;
mod values;
mod verify;
mod why;

use std::path::Path;

use pipe_engine::{
    pipeline::Pipeline,
    resolve::{Overrides, resolve},
};

use crate::{
    cli::{Command, Global, PIPELINE, PipelineArgs, StoreCommand},
    diagnostics,
    error::CliError,
    exit::Exit,
    project,
};

/// Carries out a command.
pub(crate) fn dispatch(global: &Global, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => run::run(global, args),
        Command::Check(args) => check::check(args),
        Command::Plan(args) => plan::plan(global, args),
        Command::Why(args) => why::why(global, &args),
        Command::Results(args) => results::results(global, &args),
        Command::Compare(args) => compare::compare(global, &args),
        Command::Doctor(args) => doctor::doctor(global, &args),
        Command::Trace(args) => trace::trace(global, &args),
        Command::Ls(args) => ls::ls(global, &args),
        Command::Store(StoreCommand::Check(args)) => store::check(global, &args),
        Command::Submit(args) => submit::submit(global, args),
        Command::Cancel(args) => submit::cancel(global, &args),
        Command::Status(args) => status::status(global, args),
        Command::Show(args) => show::show(global, &args),
        Command::Diff(args) => diff::diff(global, &args),
        Command::Sql(args) => sql::sql(global, &args),
        Command::ExportSamples(args) => export_samples::export(global, &args),
        Command::Dag(args) => dag::dag(&args),
        Command::Logs(args) => logs::logs(global, &args),
        Command::Push(args) => remote::push(global, &args),
        Command::Pull(args) => remote::pull(global, args),
        Command::Remote(args) => remote::remote(&args),
        Command::Gc(args) => gc::gc(global, &args),
        Command::Verify(args) => verify::verify(global, &args),
        Command::Schema => schema::schema(),
        Command::Kinds(args) => kinds::kinds(global, &args),
        Command::Docs(args) => docs::docs(global, &args),
        Command::Init(args) => init::init(global, &args),
        Command::ShowBuiltin(args) => show_builtin::show(global, &args),
        Command::Completions(args) => completions::completions(&args),
    }
}

/// Reads and resolves a pipeline file; warnings go to stderr.
fn load(args: &PipelineArgs) -> Result<Pipeline, CliError> {
    let _span = tracing::info_span!("load", file = %args.pipeline.display()).entered();
    if args.pipeline == Path::new(PIPELINE) && !args.pipeline.exists() {
        return Err(CliError::Usage {
            message: format!("there is no {PIPELINE} here"),
            help: Some("name a pipeline file".to_owned()),
        });
    }
    let spec = project::spec(&args.pipeline);
    let folder = project::absolute(Path::new("."));
    let overrides = Overrides { set: args.set.clone(), name: args.name.clone(), folder };
    let resolved = resolve(&spec, &pipe_stages::registry(), &overrides).map_err(CliError::Pipeline)?;
    if !resolved.warnings.items.is_empty() {
        diagnostics::print(&resolved.warnings);
    }
    Ok(resolved.pipeline)
}
