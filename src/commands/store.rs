//! `pipe store check`.

use pipe_cache::{Outcome, Store};
use serde_json::json;

use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, Table, color_on_stdout, paint, style},
    project,
};

pub(crate) fn check(global: &cli::Global, args: &cli::StoreCheck) -> Result<Exit, CliError> {
    let path = project::store_to_check(global)?;
    let store = Store::open(path, project::writing())?;
    let mut checks = store.check_place()?;
    if let Some(wait) = args.together {
        output::say("waiting for another machine: `pipe store check --together`");
        checks.extend(store.check_together(wait)?);
    }
    let word = |outcome| match outcome {
        Outcome::Sound => ("ok", style::GOOD),
        Outcome::Otherwise => ("otherwise", style::WARNING),
        Outcome::Missing => ("missing", style::ERROR),
    };
    if args.format == Format::Json {
        let told = |check: &pipe_cache::Check| {
            let (outcome, _) = word(check.outcome);
            json!({ "what": check.what, "outcome": outcome, "found": check.found })
        };
        output::json(&checks.iter().map(told).collect::<Vec<_>>())?;
    } else {
        let mut table = Table::new(&["=", "what", "found"]);
        for check in &checks {
            let (word, color) = word(check.outcome);
            table.row([paint(word, color, color_on_stdout()), check.what.to_owned(), check.found.clone()]);
        }
        output::fitted(table)?;
    }
    let is_missing = checks.iter().any(|check| check.outcome == Outcome::Missing);
    Ok(if is_missing { Exit::Io } else { Exit::Success })
}
