//! Whether a page shows what a command prints.

use std::sync::LazyLock;

use regex::Regex;

/// What differs from run to run, and what it is compared as, one after the other.
static DIFFER: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\b[0-9a-z]{10}-[0-9a-f]+\b", "RUN"),
        (r"\b\d+(\.\d+)?(ms|s|m|h|d)\b( \d+[smh]\b)?", "TIME"),
        (r"\b\d+(\.\d+)? (B|kB|MB|GB)\b", "SIZE"),
        (r"objects/[0-9a-f]{2}/", "objects/"),
        (r"\b[0-9a-f]{12,64}\b", "KEY"),
        (r"\b(now|TIME ago)\b", "THEN"),
        // Which stage was the last one, how far a model looked ahead, which of two arms computed a row that both want.
        (r"look at it: pipe show .*", "look at it"),
        (r"[\d,]+ attempts in the memo", "attempts in the memo"),
        (r" \([\d,]+ new\)", ""),
        // Not told where it is next to nothing.
        (r", TIME saved$", ""),
        (r"\s+", " "),
    ]
    .map(|(pattern, name)| (Regex::new(pattern).unwrap(), name))
    .into()
});

fn compared(line: &str) -> String {
    let mut line = line.trim().to_owned();
    for (pattern, name) in &*DIFFER {
        line = pattern.replace_all(&line, *name).into_owned();
    }
    line
}

/// Lines as they are compared: sentences that the terminal broke are whole again, and what is told in any order, or
/// only sometimes, is put into one order, or left out.
fn lines<'a>(text: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text {
        match lines.last_mut().filter(|last| line.starts_with("    ") && last.len() > BROKEN) {
            Some(last) => last.extend([" ", &compared(line)]),
            None => lines.push(compared(line)),
        }
    }
    // Who waits for whom, and who had computed what by then, is a matter of moments.
    let of_the_moment = |line: &str| {
        let counts = line.starts_with("rows: ") && line.contains(" computed");
        counts || ["…", "rows_computed: ", "rows_reused: ", "rows_waited: "].iter().any(|begin| line.starts_with(begin))
    };
    lines.retain(|line| !of_the_moment(line));
    // Stages that work at the same time; what was used last.
    let any_order = |line: &str| line.starts_with('✓') || line.contains(": step ") || line.starts_with("result ");
    for run in lines.chunk_by_mut(|a, b| any_order(a) && any_order(b)) {
        run.sort();
    }
    lines
}

/// A line that is shorter was not broken by the terminal.
const BROKEN: usize = 60;

/// Whether the lines are those that are shown, where `...` stands for any.
pub(super) fn same(shown: &[&str], printed: &[String]) -> bool {
    matches(&lines(shown.iter().copied()), &lines(printed.iter().map(String::as_str)))
}

fn matches(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "..." => (0..=printed.len()).any(|n| matches(rest, &printed[n..])),
        Some((first, rest)) => printed.split_first().is_some_and(|(next, more)| next == first && matches(rest, more)),
    }
}

#[test]
fn times_and_order_do_not_matter_and_words_do() {
    let printed = ["✓ b  2 rows, 3ms", "✓ a  1 row, 1m 2s", "done in 0.3s, 4.5 kB", "run 01m8ep5p81-3a75, now"];
    let printed = printed.map(String::from);
    let shown = ["✓ a  1 row, 0.2s", "✓ b  2 rows, 1.0s", "done in 12s,  7 B", "run 01m8ep5p82-3a76, 3m 2s ago"];
    assert!(same(&shown, &printed));
    assert!(same(&["...", "done in 12s, 7 B", "..."], &printed));
    assert!(!same(&["✓ a  1 row, 0.2s", "✓ b  3 rows, 1.0s", "..."], &printed));
    assert!(!same(&["✓ a  1 row, 0.2s"], &printed));
    assert!(!same(&["..", "done in 12s, 7 B", "..."], &printed));
    assert!(same(&["p done: 5 reused in 55ms, 0.3s saved"], &["p done: 5 reused in 22ms".to_owned()]));
    assert!(same(&["key 465167d525b7, 3 rows"], &["key 03def13b9ad2, 3 rows".to_owned()]));
    let wide = "would remove 6 results, 1 object, 0 memos, 0 leftovers, 0 damaged pieces: 21 kB freed, 64.1 kB";
    assert!(same(&[wide, "    kept"], &[format!("{wide} kept")]) && !same(&[wide], &[format!("{wide} kept")]));
    assert!(same(&[], &[]) && !same(&[], &printed));
}
