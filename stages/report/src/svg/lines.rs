//! Lines: a score against a factor, a loss against steps.

use super::axis::{self, Frame};
use super::canvas::{Canvas, path_through};
use super::legend::{self, Entry, classes, shape};
use super::scale::{Scale, tick};

/// One line.
pub(crate) struct Series {
    /// What the legend, or the pointer on a thin line, says.
    pub(crate) name: String,
    /// Series of one place look the same.
    pub(crate) place: usize,
    /// A line that only shows how far others spread: no mark, no place in the legend.
    pub(crate) thin: bool,
    /// Whether every point has a mark.
    pub(crate) marks: bool,
    /// Whether a line goes through the points.
    pub(crate) joined: bool,
    pub(crate) dashed: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A plot of lines.
pub(crate) struct Plot {
    pub(crate) x: Scale,
    /// Where the axis has numbers; where they are round, if empty.
    pub(crate) ticks: Vec<f64>,
    pub(crate) x_name: String,
    pub(crate) y: Scale,
    pub(crate) y_name: String,
    pub(crate) series: Vec<Series>,
    pub(crate) wide: bool,
    /// What it shows, in words.
    pub(crate) label: String,
}

/// Two of them fit side by side.
const WIDTH: f64 = 464.0;
const HEIGHT: f64 = 220.0;
/// One of them takes all the room.
const WIDE: f64 = 720.0;
const HIGH: f64 = 300.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 28.0;

/// The picture.
pub(crate) fn plot(plot: &Plot) -> String {
    let (width, height) = if plot.wide { (WIDE, HIGH) } else { (WIDTH, HEIGHT) };
    let frame = Frame { left: LEFT, top: TOP, width: width - LEFT - 20.0, height };
    let mut entries: Vec<Entry> = Vec::new();
    for series in plot.series.iter().filter(|series| !series.thin) {
        if !entries.iter().any(|entry| entry.place == series.place) {
            entries.push(Entry { name: &series.name, place: series.place, area: None });
        }
    }
    if entries.len() < 2 {
        entries.clear();
    }
    let below = frame.bottom() + 48.0;
    let mut canvas = Canvas::new(width, below + legend::height(&entries, width - 20.0));
    axis::left(&mut canvas, frame, &plot.y, &plot.y_name);
    let ticks = plot.ticks.iter().map(|&x| (x, tick(x, 0))).collect::<Vec<_>>();
    axis::below(&mut canvas, frame, &plot.x, if ticks.is_empty() { None } else { Some(ticks) }, &plot.x_name);
    let (thin, thick): (Vec<&Series>, Vec<&Series>) = plot.series.iter().partition(|series| series.thin);
    for series in thin.into_iter().chain(thick) {
        draw(&mut canvas, frame, plot, series);
    }
    legend::draw(&mut canvas, &entries, (10.0, below), width - 20.0);
    canvas.finish("lines", &plot.label, "")
}

fn draw(canvas: &mut Canvas, frame: Frame, plot: &Plot, series: &Series) {
    let places: Vec<(f64, f64)> = series
        .points
        .iter()
        .map(|&(x, y)| {
            let (x, y) = (frame.x(&plot.x, x), frame.y(&plot.y, y));
            if x.is_finite() && y.is_finite() { (x, y) } else { (f64::NAN, f64::NAN) }
        })
        .collect();
    let thin = if series.thin { " thin" } else { "" };
    let dashed = if series.dashed { " dashed" } else { "" };
    let look = classes(series.place);
    canvas.titled(&series.name, |canvas| {
        if series.joined {
            canvas.path(&path_through(places.iter().copied()), &format!("series {look}{thin}{dashed}"));
        }
        if series.marks {
            let marks = places.iter().filter(|(x, _)| x.is_finite());
            let size = if series.thin {
                1.8
            } else if plot.series.len() > 12 {
                2.6
            } else {
                4.0
            };
            let marks: String = marks.map(|&place| shape(series.place, place, size)).collect();
            canvas.path(&marks, &format!("mark {look}{thin}"));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(f64, f64)]) -> Series {
        let name = "<a>".to_owned();
        Series { name, place: 0, thin: false, marks: true, joined: true, dashed: false, points: points.to_vec() }
    }

    #[test]
    fn plots_of_nothing_and_of_one_point_are_pictures() {
        for points in [&[][..], &[(1.0, 0.5)], &[(f64::NAN, f64::NAN), (2.0, f64::INFINITY)]] {
            let (x, y) = (points.iter().map(|p| p.0).collect::<Vec<_>>(), points.iter().map(|p| p.1));
            let made = plot(&Plot {
                x: Scale::of_levels(&x),
                ticks: Vec::new(),
                x_name: "steps".to_owned(),
                y: Scale::around(y),
                y_name: "loss".to_owned(),
                series: vec![series(points)],
                wide: true,
                label: "Loss & steps".to_owned(),
            });
            assert!(made.contains("aria-label=\"Loss &amp; steps\"") && made.contains("&lt;a&gt;"), "{made}");
            assert!(!made.contains("NaN") && !made.contains("inf"), "{made}");
        }
    }
}
