//! What variants share: one computation is one block, however many variants it serves.

use super::some;
use crate::page::{Figure, Page};
use crate::svg::{Block, Grid, grid};
use crate::tables::{Data, cell};
use crate::text::{count, duration, seconds, short};
use crate::{Cell, Error, Sharing, caps};

pub(super) fn write(page: &mut Page, sharing: &Sharing) -> Result<(), Error> {
    if sharing.variants.is_empty() || sharing.stages.is_empty() {
        return Ok(());
    }
    page.section("sharing", "What variants share");
    let saved = (sharing.unshared_seconds - sharing.seconds).max(0.0);
    let now = if sharing.run_seconds < 0.05 {
        "This run computed nothing: all of it was there.".to_owned()
    } else {
        format!("This run computed {} of it; the rest was there.", duration(sharing.run_seconds))
    };
    page.paragraph(&format!(
        "Every variant on its own would take {}; each computation once takes {}. Sharing saves {}. {now}",
        duration(sharing.unshared_seconds),
        duration(sharing.seconds),
        duration(saved),
    ));
    let (rows, columns) = (sharing.variants.len().min(caps::VARIANTS), sharing.stages.len().min(caps::COLUMNS));
    let mut data = Data::new(&["variant", "stage", "key", "state", "seconds"]);
    for (variant, cells) in sharing.variants.iter().zip(&sharing.cells).take(4 * caps::VARIANTS) {
        for (stage, of) in sharing.stages.iter().zip(cells) {
            if let Some(of) = of {
                let words = [variant, stage, &of.key, &of.state].map(|word| word.clone().into());
                data.row(words.into_iter().chain([cell(Some(of.seconds))]));
            }
        }
    }
    let blocks: Vec<Block> = (0..columns).flat_map(|column| blocks(sharing, column, rows)).collect();
    let all = sharing.cells.iter().take(rows).flat_map(|cells| cells.iter().take(columns)).flatten().count();
    let state = |state: &str| format!("{} {state}", blocks.iter().filter(|block| block.state == state).count());
    let label = format!(
        "Variants and stages: {} results of {rows} variants come from {} computations: {}.",
        count(all as u64),
        count(blocks.len() as u64),
        ["computed", "reused", "failed", "skipped"].map(state).join(", ")
    );
    let data = page.data("sharing", data);
    let svg = grid(&Grid {
        columns: sharing.stages.iter().take(columns).map(String::as_str).collect(),
        rows: sharing.variants.iter().take(rows).map(String::as_str).collect(),
        blocks,
        label,
    });
    let caption = "A block is one computation; within a stage, equal letters are one key.".to_owned();
    let id = "sharing-figure".to_owned();
    page.figures(&[Figure { id, title: "Variants and stages".to_owned(), caption, svg, data }])?;
    let variants = sharing.variants.len() + sharing.left_out;
    if rows < variants {
        page.note(&format!("The first {rows} of {} variants are drawn.", count(variants as u64)));
    }
    if columns < sharing.stages.len() {
        page.note(&format!("The first {columns} of {} stages are drawn.", sharing.stages.len()));
    }
    Ok(())
}

/// The blocks of a stage: neighbours with one key and state are one.
fn blocks(sharing: &Sharing, column: usize, rows: usize) -> Vec<Block> {
    let of = |row: usize| -> Option<&Cell> { sharing.cells.get(row)?.get(column)?.as_ref() };
    let same = |a: usize, b: usize| match (of(a), of(b)) {
        (Some(a), Some(b)) => a.key == b.key && a.state == b.state,
        (a, b) => a.is_none() && b.is_none(),
    };
    let mut keys: Vec<&str> = Vec::new();
    let mut blocks = Vec::new();
    let all: Vec<usize> = (0..rows).collect();
    for run in all.chunk_by(|&a, &b| same(a, b)) {
        let Some(cell) = of(run[0]) else { continue };
        let place = keys.iter().position(|key| *key == cell.key).unwrap_or_else(|| {
            keys.push(&cell.key);
            keys.len() - 1
        });
        let variants = some(run.iter().map(|&row| sharing.variants[row].as_str()), 6);
        let (stage, state) = (&sharing.stages[column], state(&cell.state));
        blocks.push(Block {
            column,
            row: run[0],
            rows: run.len(),
            place,
            state,
            letter: letters(place),
            title: format!("{stage}, {state}, {}, key {}: {variants}", seconds(cell.seconds), short(&cell.key, 16)),
        });
    }
    blocks
}

fn state(state: &str) -> &'static str {
    match state {
        "computed" => "computed",
        "reused" => "reused",
        "failed" => "failed",
        "skipped" => "skipped",
        _ => "absent",
    }
}

/// A, B, …, Z, AA.
fn letters(mut place: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push((b'A' + (place % 26) as u8) as char);
        if place < 26 {
            break;
        }
        place = place / 26 - 1;
    }
    letters.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_computation_is_one_block() {
        let cell = |key: &str, state: &str| Some(Cell { key: key.into(), state: state.into(), seconds: 1.0 });
        let sharing = Sharing {
            stages: vec!["seeds".into()],
            variants: ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec(),
            cells: vec![
                vec![cell("x", "reused")],
                vec![cell("x", "reused")],
                vec![cell("y", "computed")],
                vec![None],
                vec![cell("x", "reused")],
                vec![],
            ],
            ..Sharing::default()
        };
        let made = blocks(&sharing, 0, 6).into_iter().map(|b| (b.letter, b.row, b.rows, b.state)).collect::<Vec<_>>();
        let block = |letter: &str, row, rows, state| (letter.to_owned(), row, rows, state);
        assert_eq!(made, [block("A", 0, 2, "reused"), block("B", 2, 1, "computed"), block("A", 4, 1, "reused")]);
        assert_eq!([0, 25, 26, 701, 702].map(letters), ["A", "Z", "AA", "ZZ", "AAA"]);
    }
}
