//! Which names a template cannot do without.

use minijinja::Environment;

/// The names that a template of that name and text uses, in order, but for those that it asks about first.
pub(crate) fn untested(environment: &Environment<'_>, template: &str, text: &str) -> Vec<String> {
    let used = environment.get_template(template).map(|template| template.undeclared_variables(false));
    let globals: Vec<&str> = environment.globals().map(|(name, _)| name).collect();
    let mut names: Vec<String> = used.into_iter().flatten().collect();
    names.retain(|name| !globals.contains(&name.as_str()) && !is_tested(text, name));
    names.sort();
    names
}

/// Whether a template asks somewhere if a name is defined, or says what to write if it is not.
fn is_tested(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let rest = text[at + name.len()..].trim_start();
        let tested = rest.strip_prefix("is ").map(|test| test.trim_start().trim_start_matches("not ").trim_start());
        let filtered = rest.strip_prefix('|').map(str::trim_start);
        tested.is_some_and(|test| test.starts_with("defined") || test.starts_with("undefined"))
            || filtered.is_some_and(|filter| filter.starts_with("default") || filter.starts_with("d("))
    })
}
