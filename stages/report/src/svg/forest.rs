//! Differences with their intervals, one line each, around the line of no difference.

use super::axis::{self, Frame};
use super::canvas::{Anchor, Canvas, fitting, room_for};
use super::legend::shape;
use super::scale::{Scale, ends};

/// What is said of a difference; each has a shape of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Better,
    Worse,
    Same,
    NotShown,
    NotAsked,
}

impl Mark {
    /// From the words of a verdict.
    pub(crate) fn of(verdict: &str) -> Self {
        match verdict.split([' ', ':']).next().unwrap_or_default() {
            "better" | "rises" => Mark::Better,
            "worse" | "falls" => Mark::Worse,
            "same" => Mark::Same,
            _ if verdict.starts_with("not shown") => Mark::NotShown,
            _ => Mark::NotAsked,
        }
    }

    /// The class that colours it, in plots and tables.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Mark::Better => "better",
            Mark::Worse => "worse",
            Mark::Same => "same",
            Mark::NotShown => "unshown",
            Mark::NotAsked => "unasked",
        }
    }

    /// The sign in tables.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Mark::Better => "▲",
            Mark::Worse => "▼",
            Mark::Same => "■",
            Mark::NotShown => "○",
            Mark::NotAsked => "·",
        }
    }

    fn drawn(self, place: (f64, f64)) -> String {
        match self {
            Mark::Better => shape(2, place, 5.0),
            Mark::Worse => shape(3, place, 5.0),
            Mark::Same => shape(1, place, 4.0),
            Mark::NotShown => shape(0, place, 4.0),
            Mark::NotAsked => shape(0, place, 2.5),
        }
    }
}

/// One difference.
pub(crate) struct Line {
    /// The arm; it stands once beside neighbours of the same.
    pub(crate) name: String,
    /// What tells lines of one arm apart.
    pub(crate) draw: Option<String>,
    pub(crate) difference: Option<f64>,
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
    pub(crate) mark: Mark,
    /// What stands at the right.
    pub(crate) words: String,
    /// What the pointer on it shows.
    pub(crate) title: String,
}

/// The plot.
pub(crate) struct Forest {
    /// What the axis counts.
    pub(crate) axis: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) label: String,
}

const WIDTH: f64 = 312.0;
/// The most that names, and numbers, may take.
const LEFT: f64 = 190.0;
const RIGHT: f64 = 200.0;
const DRAW: f64 = 54.0;
/// How high a line is; lines of one arm stand closer.
const ROW: f64 = 26.0;
const CLOSE: f64 = 17.0;

/// The picture; `None` where there is no difference to show.
pub(crate) fn forest(forest: &Forest) -> Option<String> {
    let scale = scale(&forest.lines)?;
    let first = |row: usize| row == 0 || forest.lines[row - 1].name != forest.lines[row].name;
    let heights = (0..forest.lines.len()).map(|row| if first(row) { ROW } else { CLOSE });
    let height = heights.clone().sum::<f64>() + 8.0;
    let draws = if forest.lines.iter().any(|line| line.draw.is_some()) { DRAW } else { 0.0 };
    let left = room_for(forest.lines.iter().map(|line| line.name.as_str()), LEFT - draws) + draws;
    let right = room_for(forest.lines.iter().map(|line| line.words.as_str()), RIGHT);
    let frame = Frame { left, top: 6.0, width: WIDTH, height };
    let mut canvas = Canvas::new(left + WIDTH + right, frame.bottom() + 42.0);
    axis::below(&mut canvas, frame, &scale, None, &forest.axis);
    let zero = frame.x(&scale, 0.0);
    canvas.line((zero, frame.top), (zero, frame.bottom()), "zero");
    let mut y = frame.top + 4.0 + ROW / 2.0;
    for (row, (line, height)) in forest.lines.iter().zip(heights).enumerate() {
        y += if row > 0 { height } else { 0.0 };
        canvas.titled(&line.title, |canvas| draw(canvas, frame, &scale, y, line, first(row)));
    }
    Some(canvas.finish("forest", &forest.label, ""))
}

fn draw(canvas: &mut Canvas, frame: Frame, scale: &Scale, y: f64, line: &Line, named: bool) {
    let class = line.mark.class();
    let draw = fitting(line.draw.as_deref().unwrap_or_default(), 50.0);
    let end = frame.left - 10.0 - if draw.is_empty() { 0.0 } else { DRAW };
    if named {
        canvas.text((end, y + 4.0), Anchor::End, "", &fitting(&line.name, end - 4.0));
    }
    canvas.text((frame.left - 10.0, y + 4.0), Anchor::End, "tick", &draw);
    canvas.text((frame.right() + 12.0, y + 4.0), Anchor::Start, "number", &fitting(&line.words, RIGHT));
    if let (Some(low), Some(high)) = (finite(line.low), finite(line.high)) {
        let (from, to) = (frame.x(scale, low), frame.x(scale, high));
        let (start, end) = (from.max(frame.left), to.min(frame.right()));
        if start <= end {
            canvas.line((start, y), (end, y), &format!("interval {class}"));
        }
        // What goes on beyond the plot ends in an arrow.
        for (cut, x, back) in [(from < frame.left, start, 5.0), (to > frame.right(), end, -5.0)] {
            if cut {
                let d = format!("M{:.1} {:.1}L{x:.1} {y:.1}L{:.1} {:.1}", x + back, y - 4.0, x + back, y + 4.0);
                canvas.path(&d, &format!("interval {class}"));
            }
        }
    }
    if let Some(difference) = finite(line.difference) {
        canvas.path(&line.mark.drawn((frame.x(scale, difference), y)), &format!("verdict {class}"));
    }
}

/// Zero, all differences, and intervals as far as they do not make all others small: one that is more than three times
/// as long as the middle one is cut.
fn scale(lines: &[Line]) -> Option<Scale> {
    let points = || lines.iter().filter_map(|line| finite(line.difference));
    let (min, max) = ends(points())?;
    let interval = |line: &Line| Some((finite(line.low)?, finite(line.high)?));
    let mut lengths: Vec<f64> = lines.iter().filter_map(interval).map(|(low, high)| high - low).collect();
    lengths.sort_by(f64::total_cmp);
    let most = 1.5 * lengths.get(lengths.len() / 2).copied().unwrap_or(0.0);
    let limits = (min - most, max + most);
    let cut = lines.iter().filter_map(interval).flat_map(|(low, high)| [low.max(limits.0), high.min(limits.1)]);
    Some(Scale::around(points().chain(cut).chain([0.0])))
}

fn finite(x: Option<f64>) -> Option<f64> {
    x.filter(|x| x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(difference: Option<f64>, low: Option<f64>, high: Option<f64>) -> Line {
        let words = "+0.1".to_owned();
        let (name, title) = ("arm".to_owned(), "arm".to_owned());
        Line { name, draw: None, difference, low, high, mark: Mark::NotShown, words, title }
    }

    fn drawn(lines: Vec<Line>) -> Option<String> {
        forest(&Forest { axis: "difference".to_owned(), lines, label: "Differences".to_owned() })
    }

    #[test]
    fn a_plot_without_differences_is_none() {
        assert_eq!(drawn(Vec::new()), None);
        assert_eq!(drawn(vec![line(None, None, None), line(Some(f64::NAN), Some(0.0), Some(1.0))]), None);
        assert!(drawn(vec![line(Some(0.0), None, None)]).is_some());
    }

    #[test]
    fn one_endless_interval_does_not_make_all_others_dots() {
        let small = || line(Some(0.1), Some(0.08), Some(0.12));
        let Some(Scale::Linear { min, max }) = scale(&[small(), small(), line(Some(0.1), Some(-9.0), Some(9.0))])
        else {
            panic!("linear");
        };
        assert!(min > -0.2 && max < 0.3, "{min} {max}");
        let svg = drawn(vec![small(), small(), line(Some(0.1), Some(f64::NEG_INFINITY), Some(9.0))]).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn verdicts_have_marks() {
        let marks = ["better", "worse", "same within ±0.01", "not shown", "not asked: one draw", "", "rises"];
        let classes = ["better", "worse", "same", "unshown", "unasked", "unasked", "better"];
        assert_eq!(marks.map(|words| Mark::of(words).class()), classes);
    }
}
