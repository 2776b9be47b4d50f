//! Sections of the page, one file each.

mod comparison;
mod differing;
mod effects;
mod factors;
mod items;
mod provenance;
mod samples;
mod sharing;
mod spread;
mod training;
mod yields;

use crate::page::Page;
use crate::{Arm, Comparison, Error, Report, caps};

/// All of them, in their order.
pub(crate) fn all(page: &mut Page, report: &Report) -> Result<(), Error> {
    let shown = &report.comparisons[..report.comparisons.len().min(caps::COMPARISONS)];
    for (place, comparison) in shown.iter().enumerate() {
        page.tables.make_room(0.75, shown.len() - place - 1);
        comparison::write(page, report, comparison, place)?;
    }
    if shown.len() < report.comparisons.len() {
        let (shown, all) = (shown.len(), report.comparisons.len());
        page.note(&format!("The first {shown} of {all} comparisons are shown."));
    }
    page.tables.make_room(1.0, 0);
    training::write(page, &report.curves)?;
    yields::write(page, &report.funnels)?;
    if let Some(sharing) = &report.sharing {
        sharing::write(page, sharing)?;
    }
    provenance::write(page, report)
}

/// How many rows the tables of one of so many comparisons have.
fn rows(report: &Report) -> usize {
    (caps::ALL_ROWS / (4 * report.comparisons.len().clamp(1, caps::COMPARISONS))).clamp(20, caps::ROWS)
}

/// Plain words for several things: `a, b and 3 more`.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>, most: usize) -> String {
    let all = names.len();
    let shown: Vec<&str> = names.take(most).collect();
    let shown = shown.join(", ");
    if all > most { format!("{shown} and {} more", all - most) } else { shown }
}

/// `one draw`, `3 draws`.
fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("one {what}") } else { format!("{} {what}s", crate::text::count(n as u64)) }
}

/// The level of a factor.
fn level<'a>(arm: &'a Arm, factor: &str) -> Option<&'a str> {
    arm.factors.iter().find(|(name, _)| name == factor).map(|(_, level)| level.as_str())
}

/// All factors, in the order in which arms name them.
fn factor_names(about: &Comparison) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in about.arms.iter().flat_map(|arm| &arm.factors) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// What people call a metric.
fn heading<'a>(heading: &'a str, name: &'a str) -> &'a str {
    if heading.is_empty() { name } else { heading }
}

/// The mean of what is a number.
fn mean_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.filter(|x| x.is_finite()).fold((0.0, 0), |(sum, n), x| (sum + x, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}
