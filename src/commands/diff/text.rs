//! A comparison for people: parameters, sizes, metrics, rows; no more than fits on a screen.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use pipe_engine::inspect::{CellDiff, Diff, Metric, OutputDiff, Piece, RowsDiff, StageDiff, marked, shortened, words};

use crate::output::{self, Screen, Table, clip, color_on_stdout, count, paint, plural, style, wide};

/// Rows that differ are told so many to a table.
const EXAMPLES: usize = 3;
/// A value is cut after so many lines.
const CELL_LINES: usize = 3;

/// Lines under a heading.
struct Section {
    heading: &'static str,
    /// With how many lines of the screen each takes.
    lines: Vec<(String, usize)>,
}

pub(super) fn write(diff: &Diff, all: bool, out: &mut impl Write) -> io::Result<()> {
    let color = color_on_stdout();
    let screen = Screen::of_stdout();
    let mut sections = sections(diff, all, screen.columns, color);
    if !all {
        // The title, the last line and the prompt.
        fit(&mut sections, screen.lines.saturating_sub(3));
    }
    writeln!(out, "{}", paint(format!("{} → {}", diff.left, diff.right), style::BOLD, color))?;
    for section in sections.iter().filter(|section| !section.lines.is_empty()) {
        writeln!(out, "{}", paint(section.heading, style::NEW, color))?;
        for (line, _) in &section.lines {
            writeln!(out, "{line}")?;
        }
    }
    let (different, same) = (plural(diff.stages.len() as u64, "result"), count(diff.same as u64));
    writeln!(out, "{different} different, {same} the same")
}

fn sections(diff: &Diff, all: bool, columns: usize, color: bool) -> Vec<Section> {
    let section = |heading, lines: Vec<String>| {
        let lines = lines.into_iter().map(|line| {
            let takes = output::visible_width(&line).div_ceil(columns).max(1);
            (line, takes)
        });
        Section { heading, lines: lines.collect() }
    };
    vec![
        section("parameters", parameters(diff, all, columns)),
        section("sizes", sizes(diff)),
        section("metrics", metrics(diff, all, columns, color)),
        section("rows", rows(diff, all, columns, color)),
    ]
}

/// Cuts sections until they fit; each keeps its fair share, and what one leaves another may have.
fn fit(sections: &mut [Section], room: usize) {
    let takes = |section: &Section| match section.lines.iter().map(|(_, takes)| takes).sum::<usize>() {
        0 => 0,
        lines => lines + 1,
    };
    let mut left = room;
    let mut order: Vec<usize> = (0..sections.len()).collect();
    order.sort_by_key(|&i| takes(&sections[i]));
    for (done, i) in order.into_iter().enumerate() {
        let share = left / (sections.len() - done);
        let section = &mut sections[i];
        if takes(section) > share {
            // The heading, and the line that says how many are left out.
            let mut room = share.saturating_sub(2);
            let fitting = section.lines.iter().take_while(|(_, takes)| {
                let fits = *takes <= room;
                room = room.saturating_sub(*takes);
                fits
            });
            let fitting = fitting.count();
            let more = section.lines.len() - fitting;
            section.lines.truncate(fitting);
            section.lines.push((format!("  and {} (--all)", plural(more as u64, "more line")), 1));
        }
        left = left.saturating_sub(takes(section));
    }
}

/// The stage with the number of variants that share the difference.
fn name(stage: &StageDiff) -> String {
    match stage.also.len() {
        0 => stage.stage.clone(),
        more => format!("{} (and {more} more)", stage.stage),
    }
}

/// `stage`, or `stage.port` where it is not the stage's first output.
fn output_name(stage: &StageDiff, port: &OutputDiff) -> String {
    let (label, variant) = stage.stage.split_once('@').unwrap_or((&stage.stage, ""));
    let variant = if variant.is_empty() { String::new() } else { format!("@{variant}") };
    format!("{label}.{}{variant}", port.port)
}

/// Names at the left, and what is said of each.
fn aligned(lines: &[(String, String)]) -> Vec<String> {
    let width = lines.iter().map(|(name, _)| output::visible_width(name)).max().unwrap_or(0);
    let pad = |name: &str| " ".repeat(width - output::visible_width(name));
    lines.iter().map(|(name, text)| format!("  {name}{}  {text}", pad(name))).collect()
}

/// What was changed by hand. That an input has other rows follows from it.
fn parameters(diff: &Diff, all: bool, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for stage in &diff.stages {
        for change in &stage.changes {
            let follows =
                change.starts_with("input `") && !change.ends_with("connected") && !change.contains("variant `");
            if all || !follows {
                lines.push((name(stage), clip(change, columns * CELL_LINES)));
            }
        }
    }
    aligned(&lines)
}

/// Rows, what became of them, and what was counted.
fn sizes(diff: &Diff) -> Vec<String> {
    let (mut lines, mut counted) = (Vec::new(), Vec::new());
    for stage in &diff.stages {
        for port in stage.outputs.iter().filter(|port| port.left_rows != port.right_rows) {
            let rows = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), count);
            lines
                .push((output_name(stage, port), format!("{} → {} rows", rows(port.left_rows), rows(port.right_rows))));
        }
        for port in stage.outputs.iter().filter(|port| tells_counts(port)) {
            // `outcome=kept` is told as `kept`.
            let what = |row: &str| row.rsplit_once('=').map_or(row, |(_, what)| what).to_owned();
            let told = port.metrics.iter().map(|metric| format!("{} {}", sides(metric), what(&metric.row)));
            counted.push((output_name(stage, port), told.collect::<Vec<_>>().join(", ")));
        }
        if !stage.counters.is_empty() {
            let told = stage.counters.iter().map(|counter| format!("{} {}", sides(counter), counter.name));
            counted.push((name(stage), told.collect::<Vec<_>>().join(", ")));
        }
    }
    lines.append(&mut counted);
    aligned(&lines)
}

/// Whether a table holds one count for each of several rows: a yield.
fn tells_counts(port: &OutputDiff) -> bool {
    let whole = |n: Option<f64>| n.is_none_or(|n| n.fract() == 0.0);
    let first = port.metrics.first();
    port.metrics.iter().all(|metric| {
        whole(metric.left)
            && whole(metric.right)
            && !metric.row.is_empty()
            && Some(&metric.column) == first.map(|m| &m.column)
    }) && first.is_some()
}

fn metrics(diff: &Diff, all: bool, columns: usize, color: bool) -> Vec<String> {
    let mut lines = Vec::new();
    // What comes out first: that is what the rest was for.
    for stage in diff.stages.iter().rev() {
        for port in stage.outputs.iter().filter(|port| !port.metrics.is_empty() && !tells_counts(port)) {
            lines.extend(metrics_table(stage, port, all, columns, color));
        }
    }
    lines
}

/// One line per row of the table, one column per metric, as many as there is room for.
fn metrics_table(stage: &StageDiff, port: &OutputDiff, all: bool, columns: usize, color: bool) -> Vec<String> {
    let names: BTreeSet<&str> = port.metrics.iter().map(|metric| metric.column.as_str()).collect();
    // The bounds of an interval, and other numbers that say how sure another one is.
    let is_detail = |name: &str| output::detail_of(name).is_some_and(|of| names.contains(of));
    let mut shown: Vec<&str> = Vec::new();
    let mut rows: Vec<&str> = Vec::new();
    for metric in &port.metrics {
        if !shown.contains(&metric.column.as_str()) && (all || !is_detail(&metric.column)) {
            shown.push(&metric.column);
        }
        if !rows.contains(&metric.row.as_str()) {
            rows.push(&metric.row);
        }
    }
    let cell = |row: &str, column: &str| {
        let found = port.metrics.iter().find(|metric| metric.row == row && metric.column == column);
        found.map_or_else(|| "same".to_owned(), metric_text)
    };
    let mut cells: Vec<Vec<String>> =
        rows.iter().map(|row| shown.iter().map(|column| cell(row, column)).collect()).collect();
    let first = output_name(stage, port);
    let label = |row: &str| if row.is_empty() { String::new() } else { clip(row, 40) };
    let mut room =
        columns.saturating_sub(2 + rows.iter().map(|row| wide(&label(row))).max().unwrap_or(0).max(wide(&first)));
    let mut fitting = 0;
    for column in 0..shown.len() {
        let wide = cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(shown[column].len()) + 2;
        if !all && fitting > 0 && wide > room {
            break;
        }
        room = room.saturating_sub(wide);
        fitting += 1;
    }
    let headings: Vec<String> =
        [first].into_iter().chain(shown[..fitting].iter().map(|name| format!(">{name}"))).collect();
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for (row, cells) in rows.iter().zip(&mut cells) {
        cells.truncate(fitting);
        table.row([label(row)].into_iter().chain(std::mem::take(cells)));
    }
    let mut lines: Vec<String> = table.lines(color).into_iter().map(|line| format!("  {line}")).collect();
    if fitting < shown.len() {
        lines.push(format!("  and {} (--all)", shown[fitting..].join(", ")));
    }
    lines
}

fn sides(metric: &Metric) -> String {
    let side = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), number);
    format!("{} → {}", side(metric.left), side(metric.right))
}

fn metric_text(metric: &Metric) -> String {
    let delta = metric.delta().map_or_else(String::new, |delta| {
        let sign = if delta < 0.0 { '-' } else { '+' };
        format!(" ({sign}{})", number(delta.abs()))
    });
    format!("{}{delta}", sides(metric))
}

fn number(n: f64) -> String {
    if n.fract() == 0.0 && (0.0..1e15).contains(&n) {
        return count(n as u64);
    }
    output::number(n)
}

fn rows(diff: &Diff, all: bool, columns: usize, color: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for stage in diff.stages.iter().rev() {
        for port in &stage.outputs {
            match &port.joined {
                Some(joined) => lines.extend(joined_rows(&output_name(stage, port), joined, all, columns, color)),
                None if port.metrics.is_empty() && port.left_rows == port.right_rows => {
                    lines.push(format!("  {}: other content, {}", output_name(stage, port), sized(port)));
                }
                None => {}
            }
        }
    }
    lines
}

fn sized(port: &OutputDiff) -> String {
    port.right_rows.map_or_else(String::new, |n| format!("{} as before", count(n)))
}

fn joined_rows(name: &str, joined: &RowsDiff, all: bool, columns: usize, color: bool) -> Vec<String> {
    let both = joined.same + joined.changed;
    let mut parts = Vec::new();
    if joined.changed > 0 {
        let columns: Vec<String> = joined.columns.iter().map(|(name, n)| format!("{name} in {}", count(*n))).collect();
        parts.push(format!("{} of {} differ ({})", count(joined.changed), plural(both, "row"), columns.join(", ")));
    } else if both > 0 {
        parts.push(format!("{} the same", plural(both, "row")));
    }
    for (n, side) in [(joined.only_left, "only before"), (joined.only_right, "only after")] {
        parts.extend((n > 0).then(|| format!("{} {side}", count(n))));
    }
    let mut lines = vec![format!("  {name}: {}", parts.join(", "))];
    let shown = if all { joined.examples.len() } else { EXAMPLES };
    for example in joined.examples.iter().take(shown) {
        lines.push(format!("    {}", paint(clip(&example.id, columns.saturating_sub(6)), style::DIM, color)));
        lines.extend(example.cells.iter().map(|cell| cell_text(cell, all, columns, color)));
    }
    lines
}

fn cell_text(cell: &CellDiff, all: bool, columns: usize, color: bool) -> String {
    let text = match (&cell.left, &cell.right) {
        (Some(left), Some(right)) if cell.text => {
            let room = if all { usize::MAX } else { (columns * CELL_LINES).saturating_sub(cell.column.len() + 8) };
            changed_words(left, right, room, color)
        }
        (left, right) => {
            let side = |side: &Option<String>| match side.as_ref().map(|text| (text, text.parse::<f64>())) {
                None => "null".to_owned(),
                Some((_, Ok(n))) if !cell.text => number(n),
                Some((text, _)) => clip(text, 60),
            };
            format!("{} → {}", side(left), side(right))
        }
    };
    format!("      {}: {text}", cell.column)
}

/// The words that differ, with a few around them: in colours, or in brackets where there are none.
fn changed_words(left: &str, right: &str, room: usize, color: bool) -> String {
    let mut pieces = shortened(words(left, right));
    cut(&mut pieces, room);
    if !color {
        return marked(&pieces);
    }
    let piece = |piece: &Piece| match piece {
        Piece::Same(text) => text.clone(),
        Piece::Removed(text) => paint(text, style::REMOVED, true),
        Piece::Added(text) => paint(text, style::GOOD, true),
        Piece::Gap => paint("… ", style::DIM, true),
    };
    pieces.iter().map(piece).collect()
}

/// Makes one line of at most so many characters. Of a change that is too long for it, both sides keep their beginning.
fn cut(pieces: &mut Vec<Piece>, room: usize) {
    let mut left = room;
    let mut kept = 0;
    for i in 0..pieces.len() {
        if left == 0 {
            break;
        }
        let side = left / 2 + left % 2;
        let next_is_added = matches!(pieces.get(i + 1), Some(Piece::Added(_)));
        match &mut pieces[i] {
            Piece::Same(text) | Piece::Added(text) => {
                *text = clip(&text.replace('\n', "⏎"), left);
                left -= text.chars().count().min(left);
            }
            Piece::Removed(text) => {
                *text = clip(&text.replace('\n', "⏎"), if next_is_added { side } else { left });
                left -= text.chars().count().min(left);
            }
            Piece::Gap => left = left.saturating_sub(2),
        }
        kept = i + 1;
    }
    pieces.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_changes_keep_both_sides() {
        let (old, new) = ("a".repeat(100), "b".repeat(100));
        assert_eq!(changed_words(&old, &new, 20, false), "[-aaaaaaaaa…-]{+bbbbbbbbb…+}");
        assert_eq!(changed_words("one\ntwo", "one\nthree", 40, false), "one⏎[-two-]{+three+}");
    }

    #[test]
    fn sections_share_the_screen() {
        let section = |n: usize| Section { heading: "x", lines: (0..n).map(|i| (format!("line {i}"), 1)).collect() };
        let mut sections = [section(2), section(0), section(30), section(30)];
        fit(&mut sections, 21);
        let lens: Vec<usize> = sections.iter().map(|section| section.lines.len()).collect();
        assert_eq!(lens, [2, 0, 8, 8], "2 + 1 and twice 8 + 1");
        assert_eq!(sections[2].lines.last().unwrap().0, "  and 23 more lines (--all)");
    }
}
