//! Arms beside a baseline: who they are, how they differ, and where.

use super::{differing, effects, factor_names, factors, heading, items, level, mean_of, plural, rows, samples, spread};
use crate::page::Page;
use crate::table::{Cell, Table};
use crate::tables::Data;
use crate::text::count;
use crate::{Arm, Comparison, Error, Report, caps};

pub(super) fn write(page: &mut Page, report: &Report, about: &Comparison, place: usize) -> Result<(), Error> {
    let id = format!("comparison-{place}");
    let title = match about.name.as_str() {
        "" | "scores" => "Scores".to_owned(),
        name => format!("Scores: {name}"),
    };
    page.section(&id, &title);
    let others = about.arms.len().saturating_sub(1);
    let draws = if about.draws.is_empty() { 1 } else { about.draws.len() };
    let baseline = if about.baseline == "baseline" { String::new() } else { format!(" {}", about.baseline) };
    let draws = plural(draws, "draw");
    page.paragraph(&if others == 0 {
        format!("One arm, {draws}: there is nothing to compare it with.")
    } else {
        format!("{} beside the baseline{baseline}, {draws}.", plural(others, "arm"))
    });
    let confounds = about.differing.iter().filter(|differs| differs.factor.is_none()).count();
    if confounds > 0 {
        page.warning(&format!(
            "Arms differ by more than what is studied: by {} besides. A difference below may come from there; see \
             “What differs besides”.",
            plural(confounds, "parameter")
        ));
    }
    arms(page, about, place, rows(report))?;
    effects::write(page, about, place, rows(report))?;
    factors::write(page, about, place)?;
    items::write(page, about, place)?;
    spread::write(page, about, place, rows(report))?;
    differing::write(page, about, place, rows(report))?;
    samples::write(page, report, about, place)
}

/// Every arm with its means over draws.
fn arms(page: &mut Page, about: &Comparison, place: usize, most: usize) -> Result<(), Error> {
    if about.arms.is_empty() {
        return Ok(());
    }
    page.part(&format!("arms-{place}"), "Arms");
    let factors = factor_names(about);
    let mut table = Table::new(format!("arms-table-{place}"), "Means of arms over their draws").words("Arm");
    for factor in &factors {
        table = table.words(factor);
    }
    table = table.numbers("Draws", "Draws with a score").numbers("Items", "Items with a score, in the draw with most");
    for metric in &about.metrics {
        let less = if metric.lower_is_better { " (less is better)" } else { "" };
        table = table.numbers(&format!("{}{less}", heading(&metric.heading, &metric.name)), "Mean of the draws' means");
    }
    for arm in about.arms.iter().take(most) {
        let name = Cell::text(&arm.name).more(if arm.name == about.baseline && arm.name != "baseline" {
            "baseline"
        } else {
            ""
        });
        let mut cells = vec![name];
        cells.extend(factors.iter().map(|factor| level_cell(arm, factor)));
        let of_arm = || about.means.iter().filter(|mean| mean.arm == arm.name && mean.task == "all");
        let first = about.metrics.first().map_or("", |metric| metric.name.as_str());
        let scored = of_arm().filter(|mean| mean.metric == first && mean.mean.is_some_and(f64::is_finite));
        cells.push(Cell::count(scored.clone().count()));
        cells.push(Cell::count(scored.map(|mean| mean.items).max().unwrap_or(0)));
        for metric in &about.metrics {
            let means = of_arm().filter(|mean| mean.metric == metric.name).filter_map(|mean| mean.mean);
            cells.push(Cell::number(mean_of(means)));
        }
        table.row(cells);
    }
    if about.arms.len() > most {
        table
            .notes
            .push(format!("The first {most} of {} arms; the download has more.", count(about.arms.len() as u64)));
    }
    let mut means: Vec<_> = about.means.iter().collect();
    means.sort_by_key(|mean| mean.task != "all");
    table.data = page.data(&format!("means-{place}"), Data::of(means));
    page.table(&table)?;
    for metric in about.metrics.iter().filter(|metric| metric.signature.is_some()).take(caps::LINES) {
        let signature = metric.signature.as_deref().unwrap_or_default();
        page.note(&format!("{} is {signature}", heading(&metric.heading, &metric.name)));
    }
    Ok(())
}

fn level_cell(arm: &Arm, factor: &str) -> Cell {
    let level = level(arm, factor).unwrap_or("–");
    match factors::number(level) {
        Some(number) => Cell::text(level).class("number").sort(number),
        None => Cell::text(level),
    }
}
