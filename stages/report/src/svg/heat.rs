//! A map of scores: a row for every arm, a narrow column for every item.

use super::canvas::{Anchor, Canvas, at, fitting, room_for};

/// Steps of lightness.
pub(crate) const CLASSES: usize = 6;

/// A map.
pub(crate) struct Heat<'a> {
    /// Names of rows.
    pub(crate) rows: Vec<&'a str>,
    /// By row, then column.
    pub(crate) cells: Vec<Vec<Option<f64>>>,
    /// What is lightest and darkest.
    pub(crate) ends: (f64, f64),
    /// The words at both ends of the axis.
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    /// The numbers at the ends of the steps.
    pub(crate) legend: Vec<String>,
    /// The place of the metric in that table.
    pub(crate) metric: usize,
    /// The table with its numbers.
    pub(crate) data: &'a str,
    pub(crate) label: String,
}

const WIDTH: f64 = 560.0;
const LEFT: f64 = 190.0;
const ROW: f64 = 20.0;
/// How wide a step of the legend is.
const STEP: f64 = 44.0;

/// The step of a score; `None` where there is none.
pub(crate) fn class_of(score: Option<f64>, (min, max): (f64, f64)) -> Option<usize> {
    let share = (score.filter(|x| x.is_finite())? - min) / (max - min);
    Some(if share.is_nan() { 0 } else { ((share * CLASSES as f64) as usize).min(CLASSES - 1) })
}

/// The picture.
pub(crate) fn heat(map: &Heat) -> String {
    let columns = map.cells.iter().map(Vec::len).max().unwrap_or(0);
    let (left, width) = (room_for(map.rows.iter().copied(), LEFT), WIDTH);
    let (top, height) = (4.0, ROW * map.rows.len() as f64);
    let mut canvas = Canvas::new(left + WIDTH + 20.0, top + height + 60.0);
    canvas.rect((left, top), (width, height), "q-none");
    for (row, (name, cells)) in map.rows.iter().zip(&map.cells).enumerate() {
        let y = top + ROW * (row as f64 + 0.5);
        canvas.text((left - 10.0, y + 4.0), Anchor::End, "", &fitting(name, left - 14.0));
        for class in 0..CLASSES {
            let d = runs(cells, class, map.ends, |column| at(left + width * column as f64 / columns.max(1) as f64), y);
            if !d.is_empty() {
                canvas.path(&d, &format!("q q{class}"));
            }
        }
    }
    let y = top + height + 16.0;
    canvas.text((left, y), Anchor::Start, "tick", map.from);
    canvas.text((left + width, y), Anchor::End, "tick", map.to);
    let start = left + 8.0;
    for class in 0..CLASSES {
        canvas.rect((start + STEP * class as f64, y + 12.0), (STEP, 12.0), &format!("swatch s{class}"));
    }
    for (step, words) in map.legend.iter().enumerate() {
        canvas.text((start + STEP * step as f64, y + 38.0), Anchor::Middle, "tick", words);
    }
    let x = start + STEP * CLASSES as f64 + 48.0;
    canvas.rect((x, y + 12.0), (STEP, 12.0), "q-none");
    canvas.text((x + STEP / 2.0, y + 38.0), Anchor::Middle, "tick", "no score");
    let here = format!(
        " data-map=\"{}\" data-metric=\"{}\" data-left=\"{left}\" data-top=\"{top}\" data-width=\"{width}\" \
         data-row=\"{ROW}\" data-columns=\"{columns}\" data-rows=\"{}\"",
        map.data,
        map.metric,
        map.rows.len()
    );
    canvas.finish("heat", &map.label, &here)
}

/// Strokes as wide as the row is high, one for every run of columns of this step.
fn runs(cells: &[Option<f64>], class: usize, ends: (f64, f64), x: impl Fn(usize) -> String, y: f64) -> String {
    let mut d = String::new();
    let mut column = 0;
    for run in cells.chunk_by(|a, b| class_of(*a, ends) == class_of(*b, ends)) {
        if class_of(run[0], ends) == Some(class) {
            put!(d, "M{} {}H{}", x(column), at(y), x(column + run.len()));
        }
        column += run.len();
    }
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_have_steps_and_what_is_none_has_no_step() {
        let classes = [0.0, 0.16, 0.17, 0.5, 0.99, 1.0, 7.0, -1.0].map(|x| class_of(Some(x), (0.0, 1.0)));
        assert_eq!(classes, [0, 0, 1, 3, 5, 5, 5, 0].map(Some));
        assert_eq!([class_of(None, (0.0, 1.0)), class_of(Some(f64::NAN), (0.0, 1.0))], [None; 2]);
        assert_eq!(class_of(Some(0.5), (0.5, 0.5)), Some(0));
    }

    #[test]
    fn neighbours_of_one_step_are_one_stroke() {
        let cells = [Some(1.0), Some(1.0), None, Some(0.0), Some(1.0)];
        assert_eq!(runs(&cells, 5, (0.0, 1.0), |x| x.to_string(), 10.0), "M0 10H2M4 10H5");
        assert_eq!(runs(&[], 5, (0.0, 1.0), |x| x.to_string(), 10.0), "");
    }
}
