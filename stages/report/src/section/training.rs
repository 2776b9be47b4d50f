//! Losses of trainings.

use super::some;
use crate::page::{Figure, Page};
use crate::svg::{Plot, Scale, Series, plot};
use crate::tables::{Data, cell};
use crate::text::{number, short};
use crate::{Curve, Error, caps};

pub(super) fn write(page: &mut Page, curves: &[Curve]) -> Result<(), Error> {
    if curves.is_empty() {
        return Ok(());
    }
    page.section("training", "Training");
    let stages = by_stage(curves.iter().map(|curve| curve.stage.as_str()));
    let mut figures = Vec::new();
    for (place, stage) in stages.iter().take(caps::STAGES).enumerate() {
        let curves: Vec<&Curve> = curves.iter().filter(|curve| curve.stage == *stage).collect();
        if curves.len() > caps::CURVES {
            page.note(&format!("{stage}: {} of {} trainings are drawn.", caps::CURVES, curves.len()));
        }
        let room = (caps::POINTS / (curves.len().min(caps::CURVES) * stages.len().min(3))).max(20);
        let drawn: Vec<Curve> = curves.into_iter().take(caps::CURVES).map(|curve| thinned(curve, room)).collect();
        figures.push(figure(page, stage, place, &drawn));
    }
    page.figures(&figures)?;
    if stages.len() > caps::STAGES {
        page.note(&format!("The first {} of {} training stages are drawn.", caps::STAGES, stages.len()));
    }
    Ok(())
}

/// Every stage once, in order.
pub(super) fn by_stage<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut stages: Vec<&str> = Vec::new();
    for name in names {
        if !stages.contains(&name) {
            stages.push(name);
        }
    }
    stages
}

fn figure(page: &mut Page, stage: &str, place: usize, curves: &[Curve]) -> Figure {
    let arms = by_stage(curves.iter().map(|curve| curve.arm.as_str()));
    let mut series = Vec::new();
    let mut data = Data::new(&["arm", "draw", "of rows", "step", "loss"]);
    let mut said = Vec::new();
    for curve in curves {
        let place = arms.iter().position(|arm| *arm == curve.arm).unwrap_or(0);
        let name = short(if curve.arm.is_empty() { "loss" } else { &curve.arm }, 48);
        let held_out = !curve.held_out.is_empty();
        for (rows, points) in [("trained", &curve.loss), ("held out", &curve.held_out)] {
            for &(step, loss) in points {
                let words = [curve.arm.clone().into(), curve.draw.clone().into(), rows.into()];
                // Six digits of a loss are what anybody reads; all would take half of the room that data has.
                let loss = format!("{loss:.5e}").parse().unwrap_or(loss);
                data.row(words.into_iter().chain([cell(Some(step)), cell(Some(loss))]));
            }
        }
        // Where rows are held out, their loss is what is looked at: it is thick, and the trained rows' thin.
        let (name_of, points) = (name.clone(), curve.loss.clone());
        series.push(Series { name: name_of, place, thin: held_out, marks: false, joined: true, dashed: false, points });
        if held_out {
            let points = curve.held_out.clone();
            let name = name.clone();
            series.push(Series { name, place, thin: false, marks: true, joined: true, dashed: true, points });
        }
        let last = curve.held_out.last().or(curve.loss.last());
        if let Some(&(step, loss)) = last {
            let draw = curve.draw.as_ref().map_or(String::new(), |draw| format!(", draw {draw}"));
            said.push(format!("{name}{draw} ends at {} after {step} steps", number(Some(loss))));
        }
    }
    let points = || series.iter().flat_map(|series| series.points.iter());
    let label = format!("Loss by step of {stage}: {}.", some(said.iter().map(String::as_str), 8));
    let held_out = curves.iter().any(|curve| !curve.held_out.is_empty());
    let caption =
        if held_out { "Dashed with marks: rows held out; thin: rows trained on." } else { "Rows trained on." };
    // The end is what is looked at, and the beginning would press it flat.
    let losses: Vec<f64> = points().map(|point| point.1).filter(|loss| loss.is_finite()).collect();
    let y = if losses.iter().all(|&loss| loss > 0.0) { Scale::of_levels(&losses) } else { Scale::around(losses) };
    let svg = plot(&Plot {
        x: Scale::around(points().map(|point| point.0).chain([0.0])),
        ticks: Vec::new(),
        x_name: "step".to_owned(),
        y_name: if matches!(y, Scale::Log { .. }) { "loss, logarithmic" } else { "loss" }.to_owned(),
        y,
        series,
        wide: true,
        label,
    });
    let name = format!("loss-{place}");
    let data = page.data(&name, data);
    let id = format!("curve-{place}");
    Figure { id, title: format!("Loss of {}", short(stage, 60)), caption: caption.to_owned(), svg, data }
}

/// A curve of at most so many points, the first and the last among them.
fn thinned(curve: &Curve, most: usize) -> Curve {
    let thin = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        let n = points.len();
        if n <= most {
            return points.to_vec();
        }
        (0..most).map(|i| points[i * (n - 1) / (most - 1)]).collect()
    };
    Curve { loss: thin(&curve.loss), held_out: thin(&curve.held_out), ..curve.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_curves_keep_their_ends() {
        let loss: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i), 1.0)).collect();
        let curve = Curve { loss, ..Curve::default() };
        let thin = thinned(&curve, 20);
        assert_eq!((thin.loss.len(), thin.loss[0].0, thin.loss[19].0), (20, 0.0, 999.0));
        assert_eq!(thinned(&thin, 20), thin);
    }
}
