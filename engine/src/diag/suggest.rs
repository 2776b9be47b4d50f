//! "Did you mean ...": the nearest of the names that would have been right.

/// The candidate nearest to what was written, if any is near enough to have been meant.
pub fn did_you_mean<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace('-', "_");
    let wanted = plain(given);
    let length = wanted.chars().count();
    let limit = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|c| c.chars().count().abs_diff(length) <= limit)
        .map(|c| (strsim::osa_distance(&plain(c), &wanted), c))
        .filter(|&(distance, c)| distance <= limit && distance < c.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, c)| c)
}

/// "did you mean `x`?", or else all the names where they are few enough to be listed.
pub fn one_of<'a>(given: &str, what: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = candidates.into_iter().collect();
    if let Some(name) = did_you_mean(given, names.iter().copied()) {
        return Some(format!("did you mean `{name}`?"));
    }
    (!names.is_empty()).then(|| format!("{what}: {}", list_names(&names)))
}

/// [`one_of`] for the next of many problems: looking through thousands of names for each of thousands of misspelt ones
/// would take minutes.
pub fn advice<'a>(
    problems: &[super::Diagnostic],
    given: &str,
    what: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    const ADVISED: usize = 100;
    if problems.len() < ADVISED { one_of(given, what, candidates) } else { None }
}

/// The first of the names on the way round a circle, and the first of all again: `a -> b -> a`.
pub fn circle(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().copied().take(SHOWN_OF_CIRCLE).collect();
    let more = if names.len() > shown.len() { " -> ..." } else { "" };
    format!("{}{more} -> {}", shown.join(" -> "), names.first().unwrap_or(&""))
}

/// Places and names that are shown of a circle.
pub const SHOWN_OF_CIRCLE: usize = 10;

/// `a`, `b` and 7 more.
pub fn list_names(names: &[&str]) -> String {
    const SHOWN: usize = 20;
    let shown = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested() {
        let names = ["temperature", "top_k", "top_p", "count", "n"];
        let check = |given: &str, expect: Option<&str>| assert_eq!(did_you_mean(given, names), expect, "{given}");
        check("tempreature", Some("temperature"));
        check("Top-K", Some("top_k"));
        check("cuont", Some("count"));
        check("x", None);
        check("learning_rate", None);
        check("", None);
    }

    #[test]
    fn far_names_are_listed() {
        assert_eq!(one_of("zzz", "known", ["a", "b"]).as_deref(), Some("known: `a`, `b`"));
        assert_eq!(one_of("zzz", "known", []), None);
    }
}
