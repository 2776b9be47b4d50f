//! Bars of parts: what became of rows, where a spread is from.

use super::canvas::{Anchor, Canvas, fitting, room_for};
use super::legend::{self, Entry};

/// A part of a bar.
pub(crate) struct Part {
    /// Its place in the legend, which is its look.
    pub(crate) place: usize,
    /// Its share of the bar.
    pub(crate) share: f64,
    pub(crate) title: String,
}

/// A bar.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) parts: Vec<Part>,
    /// What stands at its right.
    pub(crate) words: String,
}

const WIDTH: f64 = 376.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 200.0;
const ROW: f64 = 26.0;

/// The picture; `names` is its legend.
pub(crate) fn bars(bars: &[Bar], names: &[&str], label: &str) -> String {
    let entries: Vec<Entry> = names.iter().enumerate().map(|(place, name)| area(place, name)).collect();
    let left = room_for(bars.iter().map(|bar| bar.name.as_str()), LEFT);
    let right = room_for(bars.iter().map(|bar| bar.words.as_str()), RIGHT);
    let (width, all) = (WIDTH, left + WIDTH + right);
    let bottom = 4.0 + ROW * bars.len() as f64;
    let mut canvas = Canvas::new(all, bottom + 8.0 + legend::height(&entries, all - left));
    for (row, bar) in bars.iter().enumerate() {
        let y = 4.0 + ROW * row as f64;
        canvas.text((left - 10.0, y + 17.0), Anchor::End, "", &fitting(&bar.name, left - 14.0));
        canvas.rect((left, y + 4.0), (width, ROW - 8.0), "rest");
        let mut x = left;
        for part in &bar.parts {
            let share = if part.share.is_finite() { part.share.clamp(0.0, 1.0) } else { 0.0 };
            let wide = (width * share).min(left + width - x);
            if wide > 0.0 {
                canvas.titled(&part.title, |canvas| canvas.rect((x, y + 4.0), (wide, ROW - 8.0), &look(part.place)));
            }
            x += wide.max(0.0);
        }
        canvas.text((left + width + 12.0, y + 17.0), Anchor::Start, "number", &fitting(&bar.words, RIGHT));
    }
    legend::draw(&mut canvas, &entries, (left, bottom + 6.0), all - left);
    canvas.finish("bars", label, "")
}

fn area(place: usize, name: &str) -> Entry<'_> {
    Entry { name, place, area: Some(look(place)) }
}

/// The look of a part: its colour, and a pattern beside it.
fn look(place: usize) -> String {
    format!("part p{}", place % 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_leave_their_bar() {
        let part = |share| Part { place: 0, share, title: String::new() };
        let parts = vec![part(0.7), part(f64::NAN), part(0.7), part(-1.0)];
        let svg = bars(&[Bar { name: "a".into(), parts, words: "w".into() }], &["kept"], "Yield");
        let widths: Vec<&str> = svg.split("width=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(widths.contains(&"263.2") && widths.contains(&"112.8"), "{widths:?}");
        assert!(!bars(&[], &[], "Yield").contains("NaN"));
    }
}
