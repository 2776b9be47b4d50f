//! Where to look next: commands that work when they are pasted.

use pipe_cache::Store;
use pipe_engine::pipeline::Pipeline;

use crate::{cli, output::say_whole, project, report::Summary};

/// Says what can be looked at.
pub(super) fn say_commands(global: &cli::Global, store: &Store, pipeline: &Pipeline, words: &Summary) {
    let mut options = Vec::new();
    if !project::is_found_here(store) {
        // As it was given, or from the root on.
        let path = global.store.clone().unwrap_or_else(|| store.layout().root().to_owned());
        options.push(format!(" --store {}", quoted(&path.display().to_string())));
    }
    if store.pipelines().is_ok_and(|pipelines| pipelines.len() > 1) {
        options.push(format!(" --pipeline {}", quoted(&pipeline.name)));
    }
    let options = options.concat();
    let (shown, other) = words.to_look_at(pipeline);
    if let Some(shown) = &shown {
        say_whole(format_args!("  look at it: pipe show {}{options}", quoted(shown)));
    }
    let baseline = pipeline.kept_as(0);
    // A selection may have left out either.
    let are_kept = |other: &String| {
        let kept = store.refs(&pipeline.name).unwrap_or_default();
        kept.contains_key(other) && kept.contains_key(&baseline)
    };
    if let Some(other) = other.filter(are_kept) {
        say_whole(format_args!("  compare:    pipe diff {} {}{options}", quoted(&baseline), quoted(&other)));
    }
}

/// The word as a shell reads it as one.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        assert_eq!(quoted("answers@n=5+lr=0.1"), "answers@n=5+lr=0.1");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("style=[1,2]"), "'style=[1,2]'");
        assert_eq!(quoted(""), "''");
    }
}
