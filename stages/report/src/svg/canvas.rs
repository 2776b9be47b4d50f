//! The picture that plots draw on.

use crate::caps;
use crate::text::{clean, short};

/// An SVG in the making. Coordinates are rounded to a tenth; what is no number becomes 0, so that no picture is broken.
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

/// Where a text is anchored.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str) {
        let (x, y, w, h) = (at(x), at(y), at(width.max(0.0)), at(height.max(0.0)));
        put!(self.body, "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"{}/>", class_of(class));
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let path = if x1 == x2 {
            format!("M{} {}V{}", at(x1), at(y1), at(y2))
        } else {
            format!("M{} {}L{} {}", at(x1), at(y1), at(x2), at(y2))
        };
        self.path(&path, class);
    }

    /// `d` as [`path_through`] and marks make it.
    pub(super) fn path(&mut self, d: &str, class: &str) {
        put!(self.body, "<path d=\"{d}\"{}/>", class_of(class));
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, words: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (x, y) = (at(x), at(y));
        put!(self.body, "<text x=\"{x}\" y=\"{y}\"{anchor}{}>{}</text>", class_of(class), escape(words));
    }

    /// A text that is turned up by 45 degrees around its beginning.
    pub(super) fn slanted(&mut self, (x, y): (f64, f64), class: &str, words: &str) {
        let (x, y) = (at(x), at(y));
        let turn = format!("transform=\"translate({x} {y}) rotate(-45)\"");
        put!(self.body, "<text {turn}{}>{}</text>", class_of(class), escape(words));
    }

    /// Shapes that show `words` when the pointer rests on them.
    pub(super) fn titled(&mut self, words: &str, shapes: impl FnOnce(&mut Self)) {
        put!(self.body, "<g><title>{}</title>", escape(&short(words, caps::TITLE)));
        shapes(self);
        self.body.push_str("</g>");
    }

    /// The picture. `kind` is a class for the page's style and logic, `label` what is said of it in words.
    pub(super) fn finish(self, kind: &str, label: &str, attributes: &str) -> String {
        let (width, height) = (at(self.width), at(self.height));
        format!(
            "<svg class=\"{kind}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             style=\"min-width:{}px\" role=\"img\" aria-label=\"{}\"{attributes}>{}</svg>",
            // On a phone it shrinks as far as its words can be read; then it scrolls.
            at((self.width * 0.72).round()),
            escape(&short(label, caps::LABEL)),
            self.body
        )
    }
}

fn class_of(class: &str) -> String {
    if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") }
}

/// A coordinate as it is written.
pub(super) fn at(x: f64) -> String {
    let x = if x.is_finite() { (x * 10.0).round() / 10.0 } else { 0.0 };
    // Minus zero is zero.
    format!("{}", if x == 0.0 { 0.0 } else { x })
}

/// A text between tags or in quotes.
pub(super) fn escape(words: &str) -> String {
    let words = clean(words);
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A path through points; gaps where a point is no number, and a short stroke for one that stands alone.
pub(super) fn path_through(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let (mut d, mut down, mut alone) = (String::new(), false, false);
    for (x, y) in points {
        if !(x.is_finite() && y.is_finite()) {
            d.push_str(if alone { "h.1" } else { "" });
            (down, alone) = (false, false);
            continue;
        }
        d.push_str(if down { "L" } else { "M" });
        put!(d, "{} {}", at(x), at(y));
        (down, alone) = (true, !down);
    }
    d.push_str(if alone { "h.1" } else { "" });
    d
}

/// How wide a text of the plots is, about: in units of the picture, at 12 of them a line. Fonts differ; this is for the
/// wider ones, so that names are not cut.
pub(super) fn width_of(words: &str) -> f64 {
    words.chars().map(|c| if (c as u32) < 0x1100 { 7.3 } else { 12.0 }).sum()
}

/// Room for the longest of these names at the left of a plot, as far as there is any.
pub(super) fn room_for<'a>(names: impl IntoIterator<Item = &'a str>, most: f64) -> f64 {
    names.into_iter().map(width_of).fold(40.0, f64::max).min(most) + 14.0
}

/// A text that is no wider than that.
pub(super) fn fitting(words: &str, width: f64) -> String {
    if width_of(words) <= width {
        return words.to_owned();
    }
    let mut room = width - 12.0;
    let fits = words.chars().take_while(|c| {
        room -= width_of(c.encode_utf8(&mut [0; 4]));
        room >= 0.0
    });
    fits.collect::<String>().trim_end().to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_breaks_no_picture() {
        assert_eq!([at(f64::NAN), at(f64::INFINITY), at(-0.01), at(1.25)], ["0", "0", "0", "1.3"]);
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 2.0), (3.0, 3.0)];
        assert_eq!(path_through(points), "M0 1h.1M2 2L3 3");
        assert_eq!(path_through([]), "");
    }

    #[test]
    fn texts_are_escaped() {
        let mut canvas = Canvas::new(10.0, 10.0);
        canvas.titled("a<b", |c| c.text((0.0, 0.0), Anchor::End, "quiet", "</text><script>\u{0}"));
        let svg = canvas.finish("x", "\"><img onerror='1'>", "");
        assert!(!svg.contains("<script") && !svg.contains("<img") && !svg.contains('\u{0}'), "{svg}");
        assert!(svg.contains("aria-label=\"&quot;&gt;&lt;img onerror=&#39;1&#39;&gt;\""), "{svg}");
    }

    #[test]
    fn long_names_end_in_an_ellipsis() {
        assert_eq!(fitting("baseline", 62.0), "baseline");
        assert_eq!(fitting("n_synthetic=20000", 60.0), "n_synt…");
        assert!(width_of(&fitting("漢字漢字漢字漢字", 50.0)) <= 50.0);
    }
}
