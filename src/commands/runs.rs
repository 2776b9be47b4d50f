//! Names of runs: an id, its beginning, `last`, or `last~2`.

use pipe_cache::Store;
use pipe_engine::{
    diag::{list_names, one_of},
    events::Journal,
};

use crate::error::CliError;

/// The id that is meant, or `None` if the text names no run.
pub(crate) fn find(store: &Store, text: &str) -> Result<Option<String>, CliError> {
    let mut runs = Journal::new(store).runs()?;
    if let Some(back) = text.strip_prefix("last") {
        let back = if back.is_empty() { Some(0) } else { back.strip_prefix('~').and_then(|n| n.parse::<usize>().ok()) };
        return Ok(back.and_then(|back| runs.into_iter().nth(back)));
    }
    runs.retain(|run| run.starts_with(text));
    Ok(if runs.len() == 1 { runs.pop() } else { runs.into_iter().find(|run| run == text) })
}

/// The id that is meant, or an error.
pub(crate) fn expect(store: &Store, text: &str) -> Result<String, CliError> {
    let Some(run) = find(store, text)? else { return Err(missing(text, &Journal::new(store).runs()?)) };
    Ok(run)
}

/// Whether a text is meant to name a run by its age, whether or not there is such a run.
pub(crate) fn is_age(text: &str) -> bool {
    text == "last" || text.starts_with("last~")
}

fn missing(text: &str, runs: &[String]) -> CliError {
    let alike: Vec<&str> = runs.iter().map(String::as_str).filter(|run| run.starts_with(text)).collect();
    if alike.len() > 1 {
        return CliError::NotFound {
            message: format!("{} runs begin with `{text}`", alike.len()),
            help: Some(format!("they are {}", list_names(&alike))),
        };
    }
    let help = match runs.len() {
        0 => Some("nothing has been run with this store".to_owned()),
        1 if is_age(text) => Some("there is one run, `last`".to_owned()),
        n if is_age(text) => Some(format!("there are {n} runs, from `last` back to `last~{}`", n - 1)),
        _ => one_of(text, "the runs are", runs.iter().map(String::as_str)),
    };
    CliError::NotFound { message: format!("there is no run `{text}`"), help }
}
