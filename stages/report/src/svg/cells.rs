//! The sharing picture: variants and stages, where one computation is one block however many variants it serves.

use super::canvas::{Anchor, Canvas, fitting, room_for, width_of};

/// A computation, or a place where there is none.
pub(crate) struct Block {
    pub(crate) column: usize,
    /// The first row, and how many it reaches over.
    pub(crate) row: usize,
    pub(crate) rows: usize,
    /// Its colour within its column, by key.
    pub(crate) place: usize,
    /// `computed`, `reused`, `failed`, `skipped`, `absent`: a class and a sign.
    pub(crate) state: &'static str,
    /// What stands in it: a letter for its key.
    pub(crate) letter: String,
    pub(crate) title: String,
}

/// The picture's parts.
pub(crate) struct Grid<'a> {
    pub(crate) columns: Vec<&'a str>,
    pub(crate) rows: Vec<&'a str>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) label: String,
}

/// The most that names may take.
const LEFT: f64 = 220.0;
const COLUMN: f64 = 44.0;
const ROW: f64 = 24.0;
/// States, and what the legend calls them.
pub(crate) const STATES: [(&str, &str); 5] = [
    ("computed", "computed in this run"),
    ("reused", "reused from an earlier run"),
    ("failed", "failed"),
    ("skipped", "not run"),
    ("absent", "no result"),
];

/// The picture.
pub(crate) fn grid(grid: &Grid) -> String {
    let left = room_for(grid.rows.iter().copied(), LEFT);
    let longest = grid.columns.iter().map(|name| width_of(name)).fold(0.0, f64::max).min(150.0);
    let top = 16.0 + longest * 0.72;
    let width = (left + COLUMN * grid.columns.len() as f64 + longest * 0.72 + 8.0).max(520.0);
    let bottom = top + ROW * grid.rows.len() as f64;
    let mut canvas = Canvas::new(width, bottom + 34.0);
    for (column, name) in grid.columns.iter().enumerate() {
        let x = left + COLUMN * (column as f64 + 0.5);
        canvas.slanted((x, top - 6.0), "tick", &fitting(name, 150.0));
    }
    for (row, name) in grid.rows.iter().enumerate() {
        let y = top + ROW * (row as f64 + 0.5) + 4.0;
        canvas.text((left - 10.0, y), Anchor::End, "", &fitting(name, left - 14.0));
    }
    for block in &grid.blocks {
        canvas.titled(&block.title, |canvas| draw(canvas, (left, top), block));
    }
    let mut x = 10.0;
    for (state, words) in STATES {
        if grid.blocks.iter().any(|block| block.state == state) {
            canvas.rect((x, bottom + 14.0), (18.0, 14.0), &format!("block k0 {state}"));
            canvas.text((x + 9.0, bottom + 25.0), Anchor::Middle, &format!("sign {state}"), sign(state));
            canvas.text((x + 24.0, bottom + 25.0), Anchor::Start, "tick", words);
            x += width_of(words) + 40.0;
        }
    }
    canvas.finish("sharing", &grid.label, "")
}

fn draw(canvas: &mut Canvas, (left, top): (f64, f64), block: &Block) {
    let (x, y) = (left + COLUMN * block.column as f64, top + ROW * block.row as f64);
    let height = ROW * block.rows as f64;
    let class = format!("block k{} {}", block.place % 8, block.state);
    canvas.rect((x + 2.0, y + 2.0), (COLUMN - 4.0, height - 4.0), &class);
    let words = format!("{}{}", block.letter, sign(block.state));
    let middle = (x + COLUMN / 2.0, y + height / 2.0 + 4.0);
    canvas.text(middle, Anchor::Middle, &format!("sign {}", block.state), &words);
}

/// What says the state without colour, behind the letter of the key.
fn sign(state: &str) -> &'static str {
    match state {
        "computed" => "●",
        "reused" => "↺",
        "failed" => "✕",
        "skipped" => "–",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_said_without_colour() {
        let states = STATES.map(|(state, _)| state);
        let block = |(row, state)| Block {
            column: 0,
            row,
            rows: 1,
            place: 0,
            state,
            letter: "A".to_owned(),
            title: "t".to_owned(),
        };
        let blocks = states.into_iter().enumerate().map(block).collect();
        let rows = states.to_vec();
        let svg = grid(&Grid { columns: vec!["train"], rows, blocks, label: "Sharing".to_owned() });
        for words in ["A●", "A↺", "A✕", "A–", "computed in this run", "no result"] {
            assert!(svg.contains(words), "{words}");
        }
        grid(&Grid { columns: Vec::new(), rows: Vec::new(), blocks: Vec::new(), label: String::new() });
    }
}
