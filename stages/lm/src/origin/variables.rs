//! What variables say to all that downloads. Values come from the caller, since this crate reads no environment.

use std::path::PathBuf;

/// A variable that is set to something.
pub(super) fn given(variable: &impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    variable(name).filter(|value| !value.is_empty())
}

/// The folder of all caches: `XDG_CACHE_HOME`, else `.cache` in `HOME`.
pub(super) fn caches(variable: &impl Fn(&str) -> Option<String>) -> PathBuf {
    let home = || PathBuf::from(given(variable, "HOME").unwrap_or_default()).join(".cache");
    given(variable, "XDG_CACHE_HOME").map_or_else(home, PathBuf::from)
}

/// Whether the network is not to be used.
pub(super) fn offline(variable: &impl Fn(&str) -> Option<String>) -> bool {
    let yes = |value: String| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str());
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().any(|name| variable(name).is_some_and(yes))
}
