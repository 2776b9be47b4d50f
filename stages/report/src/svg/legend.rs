//! Signs: every series has a colour, a shape and a dash of its own, so that none depends on colour alone.

use super::canvas::{Anchor, Canvas, at, width_of};

/// Colours that the page's style has.
const COLOURS: usize = 8;
const SHAPES: usize = 5;

/// How the series at this place looks: its colour, and whether its line is broken.
pub(super) fn classes(place: usize) -> String {
    format!("c{} d{}", place % COLOURS, place / COLOURS % 3)
}

/// Its mark.
pub(super) fn shape(place: usize, (x, y): (f64, f64), size: f64) -> String {
    let (x0, y0, s) = (at(x), at(y), at(size));
    let (left, top, twice) = (at(x - size), at(y - size), at(2.0 * size));
    match place % SHAPES {
        0 => format!("M{left} {y0}a{s} {s} 0 1 0 {twice} 0a{s} {s} 0 1 0 -{twice} 0z"),
        1 => format!("M{left} {top}h{twice}v{twice}h-{twice}z"),
        2 => format!("M{x0} {top}l{s} {twice}h-{twice}z"),
        3 => format!("M{x0} {}l{s} -{twice}h-{twice}z", at(y + size)),
        _ => format!("M{x0} {}l{r} {r}l-{r} {r}l-{r} -{r}z", at(y - size * 1.3), r = at(size * 1.3)),
    }
}

/// One entry: its name, and the place whose look it explains. `None` explains an area, by its class.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) place: usize,
    /// A swatch of this class instead of a line with a mark.
    pub(super) area: Option<String>,
}

/// How high a legend of this width is.
pub(super) fn height(entries: &[Entry], width: f64) -> f64 {
    layout(entries, width).last().map_or(0.0, |&(_, y)| y + 20.0)
}

/// Draws it with its upper left corner there.
pub(super) fn draw(canvas: &mut Canvas, entries: &[Entry], (left, top): (f64, f64), width: f64) {
    for (entry, (x, y)) in entries.iter().zip(layout(entries, width)) {
        let (x, y) = (left + x, top + y + 10.0);
        if let Some(class) = &entry.area {
            canvas.rect((x, y - 6.0), (20.0, 12.0), class);
        } else {
            canvas.line((x, y), (x + 20.0, y), &format!("series {}", classes(entry.place)));
            canvas.path(&shape(entry.place, (x + 10.0, y), 3.5), &format!("mark {}", classes(entry.place)));
        }
        canvas.text((x + 26.0, y + 4.0), Anchor::Start, "", entry.name);
    }
}

fn layout(entries: &[Entry], width: f64) -> Vec<(f64, f64)> {
    let (mut x, mut y) = (0.0, 0.0);
    let place = |entry: &Entry| {
        let needs = 26.0 + width_of(entry.name) + 18.0;
        if x > 0.0 && x + needs > width {
            (x, y) = (0.0, y + 20.0);
        }
        let here = (x, y);
        x += needs;
        here
    };
    entries.iter().map(place).collect()
}
