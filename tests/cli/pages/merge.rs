//! Putting a fragment of a pipeline into a file, as a reader would do by hand.

/// The entries of a map in a block: their keys, and the lines that they take.
fn entries(lines: &[&str], indent: usize) -> Vec<(String, std::ops::Range<usize>)> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut found: Vec<(String, std::ops::Range<usize>)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let is_blank = text.is_empty();
        if depth(line) == indent && !is_blank && !text.starts_with('#') {
            let key = text.split(':').next().unwrap().to_owned();
            found.push((key, at..at + 1));
        } else if let Some((_, range)) = found.last_mut()
            && !is_blank
            && depth(line) > indent
        {
            range.end = at + 1;
        }
    }
    found
}

/// Whether the entry's first line holds its key alone: what it has stands below.
fn is_block(line: &str) -> bool {
    line.split(" #").next().unwrap().trim_end().ends_with(':')
}

/// The file with the entries of the fragment: a stage or variable of the same name is replaced, a new one stands behind
/// the others.
pub(super) fn merge(file: &str, fragment: &str) -> String {
    let lines: Vec<&str> = file.lines().collect();
    let new: Vec<&str> = fragment.lines().collect();
    let mut out: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    // From the end, so that places above stay what they are.
    let mut old = entries(&lines, 0);
    for (key, range) in entries(&new, 0) {
        match old.iter().position(|(name, _)| *name == key).map(|at| old.swap_remove(at).1) {
            Some(place) if is_block(lines[place.start]) && is_block(new[range.start]) => {
                let inner = merge_entries(&lines[place.start + 1..place.end], &new[range.start + 1..range.end]);
                splice(&mut out, &lines, place.start + 1..place.end, inner);
            }
            Some(place) => splice(&mut out, &lines, place, new[range].iter().map(|&l| l.to_owned()).collect()),
            None => {
                out.push(String::new());
                out.extend(new[range].iter().map(|&line| line.to_owned()));
            }
        }
    }
    out.join("\n") + "\n"
}

/// Replaces lines of the original: the first of them takes the new text, the others are emptied, so that places stay.
fn splice(out: &mut [String], lines: &[&str], place: std::ops::Range<usize>, text: Vec<String>) {
    assert!(place.end <= lines.len() && !place.is_empty());
    for at in place.clone() {
        out[at].clear();
    }
    out[place.start] = text.join("\n");
}

fn merge_entries(lines: &[&str], new: &[&str]) -> Vec<String> {
    let indent = |lines: &[&str]| {
        let first = lines.iter().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        first.map_or(2, |line| line.len() - line.trim_start().len())
    };
    let old = entries(lines, indent(lines));
    let mut out: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    for (key, range) in entries(new, indent(new)) {
        let text = new[range].iter().map(|&line| line.to_owned()).collect();
        match old.iter().find(|(name, _)| *name == key) {
            Some((_, place)) => splice(&mut out, lines, place.clone(), text),
            None => out.extend(text),
        }
    }
    out
}

#[test]
fn a_fragment_replaces_what_has_its_name_and_adds_what_has_not() {
    let file = [
        "pipeline: p",
        "vars:",
        "  # One.",
        "  a: 1 # <- change",
        "  b: { c: 1,",
        "    d: 2 }",
        "",
        "stages:",
        "  s:",
        "    kind: x",
        "",
        "  # Two.",
        "  t: { kind: y }",
    ];
    let file = file.join("\n");
    let fragment = "vars:\n  b: 3\nstages:\n  s:\n    kind: z\n  u: { kind: w }\nablate: { a: [2] }\n";
    let merged = merge(&file, fragment);
    let kept: Vec<&str> = merged.lines().filter(|line| !line.is_empty()).collect();
    let wanted = [
        "pipeline: p",
        "vars:",
        "  # One.",
        "  a: 1 # <- change",
        "  b: 3",
        "stages:",
        "  s:",
        "    kind: z",
        "  # Two.",
        "  t: { kind: y }",
        "  u: { kind: w }",
        "ablate: { a: [2] }",
    ];
    assert_eq!(kept, wanted);
    assert!(merge("stages: {}\n", "stages:\n  a: 1\n").ends_with("stages:\n  a: 1\n"));
}
