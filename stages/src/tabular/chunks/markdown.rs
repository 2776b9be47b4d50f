//! Cuts Markdown at its headings (CommonMark's two forms, outside of fenced code).

/// The text between two headings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// The heading with those above it, `Loans > Fixed rates`; `None` in front of the first, if the file has no title.
    pub title: Option<String>,
    /// The line that the text begins on, from 1.
    pub line: u64,
    /// The text below the heading.
    pub text: String,
}

/// The level and the text of a heading in one line (`## Rates ##`).
fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches(' ');
    let level = text.bytes().take_while(|byte| *byte == b'#').count();
    if line.len() - text.len() > 3 || !(1..=6).contains(&level) {
        return None;
    }
    let rest = &text[level..];
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return None;
    }
    let rest = rest.trim();
    let closed = rest.trim_end_matches('#');
    let closing = closed.is_empty() || closed.ends_with([' ', '\t']);
    Some((level, if closing { closed.trim_end() } else { rest }))
}

/// The level that a line gives to the one above it (`=====`, `-----`).
fn underline(line: &str) -> Option<usize> {
    let text = line.trim_end();
    let marks = text.trim_start_matches(' ');
    let all = |mark: char| !marks.is_empty() && marks.chars().all(|c| c == mark);
    match () {
        () if text.len() - marks.len() > 3 => None,
        () if all('=') => Some(1),
        () if all('-') => Some(2),
        () => None,
    }
}

/// The marks that open or close fenced code.
fn fence(line: &str) -> Option<(char, usize, &str)> {
    let text = line.trim_start_matches(' ');
    let mark = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let marks = text.chars().take_while(|c| *c == mark).count();
    (marks >= 3 && line.len() - text.len() <= 3).then(|| (mark, marks, text[marks..].trim()))
}

/// Whether a line can be the text of a heading that is underlined: one of a paragraph.
fn is_paragraph(line: &str) -> bool {
    let text = line.trim_start();
    let listed = text.starts_with(['-', '*', '+', '>', '|', '#']) || line.len() - text.len() > 3;
    !text.is_empty() && !listed
}

/// What stands between `---` at the beginning of a file: its number of lines, and its `title`.
fn front_matter(lines: &[&str]) -> (usize, Option<String>) {
    if lines.first().map(|line| line.trim_end()) != Some("---") {
        return (0, None);
    }
    let Some(end) = lines[1..].iter().position(|line| matches!(line.trim_end(), "---" | "...")) else {
        return (0, None);
    };
    let title = lines[1..=end].iter().find_map(|line| line.strip_prefix("title:"));
    let title = title.map(|title| title.trim().trim_matches(['"', '\'']).to_owned());
    (end + 2, title.filter(|title| !title.is_empty()))
}

/// The sections that have a text, in order.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (skipped, file_title) = front_matter(&lines);
    let mut found = Sections { file_title, ..Sections::default() };
    let mut open: Option<(char, usize)> = None;
    found.line = skipped as u64 + 1;
    for (at, line) in lines.iter().enumerate().skip(skipped) {
        let bare = line.trim_end_matches(['\n', '\r']);
        if let Some((mark, marks, info)) = fence(bare) {
            match open {
                None if mark == '~' || !info.contains('`') => open = Some((mark, marks)),
                Some((opened, least)) if opened == mark && marks >= least && info.is_empty() => open = None,
                _ => {}
            }
        } else if open.is_none() {
            if let Some((level, title)) = heading(bare) {
                found.begin(level, title, at as u64 + 2);
                continue;
            }
            if let Some(level) = underline(bare)
                && let Some(title) = found.take_last_paragraph_line()
            {
                found.begin(level, &title, at as u64 + 2);
                continue;
            }
        }
        found.text.push_str(line);
    }
    found.end();
    found.done
}

#[derive(Default)]
struct Sections {
    file_title: Option<String>,
    /// The headings that the text stands under, outermost first.
    above: Vec<(usize, String)>,
    line: u64,
    text: String,
    done: Vec<Section>,
}

impl Sections {
    fn end(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return;
        }
        let above: Vec<&str> = self.above.iter().map(|(_, title)| title.as_str()).filter(|t| !t.is_empty()).collect();
        let title = if above.is_empty() { self.file_title.clone() } else { Some(above.join(" > ")) };
        self.done.push(Section { title, line: self.line, text });
    }

    fn begin(&mut self, level: usize, title: &str, line: u64) {
        self.end();
        self.above.retain(|(above, _)| *above < level);
        self.above.push((level, title.to_owned()));
        self.line = line;
    }

    /// The last line, if it is the only one of its paragraph: then it is the heading that is underlined.
    fn take_last_paragraph_line(&mut self) -> Option<String> {
        let text = self.text.strip_suffix('\n')?;
        let start = text.rfind('\n').map_or(0, |newline| newline + 1);
        let (before, last) = (&text[..start], &text[start..]);
        let alone = before.lines().next_back().is_none_or(|line| line.trim().is_empty());
        if !alone || !is_paragraph(last) {
            return None;
        }
        let title = last.trim().to_owned();
        self.text.truncate(start);
        Some(title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(&str, &str)]) {
        let found = sections(text);
        let lines: Vec<&str> = text.lines().collect();
        for section in &found {
            let first = section.text.lines().next().unwrap_or_default();
            assert_eq!(lines[section.line as usize - 1], first, "the line of {section:?}");
        }
        let found: Vec<(&str, &str)> =
            found.iter().map(|s| (s.title.as_deref().unwrap_or("-"), s.text.trim())).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn a_section_carries_the_headings_it_stands_under() {
        check(
            "before\n# Loans\nof money\n## Rates ##\nfixed\n### Fees\nnone\n## Terms\nlong\n# End\n",
            &[
                ("-", "before"),
                ("Loans", "of money"),
                ("Loans > Rates", "fixed"),
                ("Loans > Rates > Fees", "none"),
                ("Loans > Terms", "long"),
            ],
        );
        check("Loans\n=====\na\n\nRates\n---\nb\n", &[("Loans", "a"), ("Loans > Rates", "b")]);
        check("# C#\na\n#hashtag\n####### seven\n#\nb", &[("C#", "a\n#hashtag\n####### seven"), ("-", "b")]);
    }

    #[test]
    fn code_lists_and_rules_are_no_headings() {
        check("# A\n```sh\n# not a heading\n~~~\n```\nb\n", &[("A", "```sh\n# not a heading\n~~~\n```\nb")]);
        check("# A\n~~~~\n# x\n~~~\n~~~~\n# B\nc", &[("A", "~~~~\n# x\n~~~\n~~~~"), ("B", "c")]);
        check("# A\n- item\n---\nb\n\n---\nc\n", &[("A", "- item\n---\nb\n\n---\nc")]);
        check("# A\n    # code\n", &[("A", "# code")]);
        check("# A\ntwo lines\nof text\n---\nb", &[("A", "two lines\nof text\n---\nb")]);
    }

    #[test]
    fn front_matter_names_the_file() {
        check("---\ntitle: \"The guide\"\ndate: 2020\n---\nhello\n# A\nb\n", &[("The guide", "hello"), ("A", "b")]);
        check("---\nno end\n# A\nb\n", &[("-", "---\nno end"), ("A", "b")]);
        check("a\r\n# B\r\nc\r\n", &[("-", "a"), ("B", "c")]);
    }
}
