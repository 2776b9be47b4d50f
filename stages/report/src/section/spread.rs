//! Where the spread is from, how scores follow numeric factors, and what factors do together.

use super::effects::named;
use crate::page::{Figure, Page};
use crate::svg::{Bar, Part, bars};
use crate::table::{Cell, Table};
use crate::tables::Data;
use crate::text::share;
use crate::{Comparison, Error, caps};

pub(super) fn write(page: &mut Page, about: &Comparison, place: usize, most: usize) -> Result<(), Error> {
    variance(page, about, place)?;
    trends(page, about, place, most)?;
    contrasts(page, about, place, most)
}

fn variance(page: &mut Page, about: &Comparison, place: usize) -> Result<(), Error> {
    if about.variance.is_empty() {
        return Ok(());
    }
    page.part(&format!("variance-{place}"), "Where the spread is from");
    let shown =
        |variance: &&crate::Variance| [variance.draws, variance.items, variance.sampling].iter().any(Option::is_some);
    let names = ["draws", "items", "the rest: single answers"];
    let rows: Vec<Bar> = about
        .variance
        .iter()
        .filter(shown)
        .take(caps::LINES)
        .map(|variance| {
            let shares = [variance.draws, variance.items, variance.sampling];
            let part = |(place, of): (usize, Option<f64>)| Part {
                place,
                share: of.unwrap_or(0.0),
                title: format!("{}: {}", names[place], share(of)),
            };
            Bar {
                name: named(about, &variance.metric).to_owned(),
                parts: shares.into_iter().enumerate().map(part).collect(),
                words: shares.map(share).join(", "),
            }
        })
        .collect();
    let data = page.data(&format!("variance-{place}"), Data::of(&about.variance));
    if !rows.is_empty() {
        let said: Vec<String> = rows.iter().map(|bar| format!("{}: {}", bar.name, bar.words)).collect();
        let label = format!("Shares of the spread from draws, items and the rest. {}.", said.join("; "));
        page.figures(&[Figure {
            id: format!("variance-figure-{place}"),
            title: "Shares of the variance of single scores".to_owned(),
            caption: "More draws shrink what draws bring; more items, the other two.".to_owned(),
            svg: bars(&rows, &names, &label),
            data,
        }])?;
    }
    let why: Vec<(&str, &str)> =
        about.variance.iter().filter_map(|v| Some((named(about, &v.metric), v.not_asked.as_deref()?))).collect();
    match why.first() {
        Some((_, first)) if why.len() == about.variance.len() && why.iter().all(|(_, other)| other == first) => {
            page.note(&format!("Not asked: {}.", first.trim_start_matches("not asked: ")));
        }
        _ => why.iter().for_each(|(metric, why)| page.note(&format!("{metric}: {why}."))),
    }
    Ok(())
}

fn trends(page: &mut Page, about: &Comparison, place: usize, most: usize) -> Result<(), Error> {
    if about.trends.is_empty() {
        return Ok(());
    }
    page.part(&format!("trends-{place}"), "Trends");
    let mut table = Table::new(format!("trends-table-{place}"), "How scores follow numeric factors, over draws")
        .words("Factor")
        .choice("Metric")
        .words("Per")
        .numbers("Draws", "")
        .numbers("Slope", "Change of the score per step of the factor; the mean of the draws’ slopes")
        .numbers(&format!("{} % interval", about.percent()), "Of the slope, over draws")
        .numbers("p", "Uncorrected")
        .words("Verdict");
    for trend in about.trends.iter().take(most) {
        table.row(vec![
            Cell::text(&trend.factor),
            Cell::text(named(about, &trend.metric)),
            Cell::text(&trend.per),
            Cell::count(trend.draws),
            Cell::signed(trend.slope),
            Cell::interval(trend.low, trend.high),
            Cell::p(trend.p.filter(|_| trend.slope.is_some_and(f64::is_finite))),
            Cell::verdict(&trend.verdict, false),
        ]);
    }
    more(&mut table, about.trends.len(), most);
    table.data = page.data(&format!("trends-{place}"), Data::of(&about.trends));
    page.table(&table)
}

fn contrasts(page: &mut Page, about: &Comparison, place: usize, most: usize) -> Result<(), Error> {
    if about.contrasts.is_empty() {
        return Ok(());
    }
    page.part(&format!("contrasts-{place}"), "Main effects and interactions");
    page.paragraph(
        "A main effect is the mean difference over all levels of the other factors; an interaction is how much a \
         factor’s effect changes with another one.",
    );
    let mut table = Table::new(format!("contrasts-table-{place}"), "Main effects and interactions")
        .words("Factor")
        .words("Level")
        .words("Against")
        .choice("Contrast")
        .choice("Metric")
        .choice("Question")
        .numbers("Draws", "")
        .numbers("Items", "")
        .numbers("Difference", "")
        .numbers(&format!("{} % interval", about.percent()), "")
        .numbers("p (Holm)", "After Holm’s correction")
        .words("Verdict");
    for contrast in about.contrasts.iter().take(most) {
        let question = if contrast.question == "draws" { "choice" } else { "models" };
        table.row(vec![
            Cell::text(&contrast.factor),
            Cell::text(&contrast.level),
            Cell::text(&contrast.baseline_level),
            Cell::text(&contrast.contrast),
            Cell::text(named(about, &contrast.metric)),
            Cell::text(question).more(contrast.draw.as_deref().map_or(String::new(), |draw| format!("draw {draw}"))),
            Cell::count(contrast.draws),
            Cell::count(contrast.items),
            Cell::signed(contrast.difference),
            Cell::interval(contrast.low, contrast.high),
            Cell::p(contrast.p_holm.filter(|_| contrast.difference.is_some_and(f64::is_finite))),
            Cell::verdict(&contrast.verdict, false),
        ]);
    }
    more(&mut table, about.contrasts.len(), most);
    table.data = page.data(&format!("contrasts-{place}"), Data::of(&about.contrasts));
    page.table(&table)
}

fn more(table: &mut Table, all: usize, most: usize) {
    if all > most {
        table.notes.push(format!("The first {most} of {all} rows; the download has more."));
    }
}
