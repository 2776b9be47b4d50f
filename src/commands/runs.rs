//! Names of runs: an id, its beginning, `last`, or `last~2`.

use pipe_cache::Store;
use pipe_engine::{diag::one_of, journal::Journal};

use crate::error::CliError;

/// The id that is meant, or `None` if the text names no run.
pub fn find(store: &Store, text: &str) -> Result<Option<String>, CliError> {
    let mut runs = Journal::new(store).runs()?;
    if let Some(back) = text.strip_prefix("last") {
        let back = if back.is_empty() { Some(0) } else { back.strip_prefix('~').and_then(|n| n.parse::<usize>().ok()) };
        return Ok(back.and_then(|back| runs.into_iter().nth(back)));
    }
    runs.retain(|run| run.starts_with(text));
    Ok(if runs.len() == 1 { runs.pop() } else { runs.into_iter().find(|run| run == text) })
}

/// The id that is meant, or an error.
pub fn expect(store: &Store, text: &str) -> Result<String, CliError> {
    find(store, text)?.ok_or_else(|| {
        let known = Journal::new(store).runs().unwrap_or_default();
        CliError::NotFound {
            message: format!("there is no run `{text}`"),
            help: one_of(text, "the runs are", known.iter().map(String::as_str)),
        }
    })
}
