//! What differs between arms besides what is studied, what follows from it, and what could not be compared.

use super::effects::named;
use super::some;
use crate::page::Page;
use crate::table::{Cell, Table};
use crate::tables::Data;
use crate::text::{count, short};
use crate::{Comparison, Differing, Error, caps};

pub(super) fn write(page: &mut Page, about: &Comparison, place: usize, most: usize) -> Result<(), Error> {
    if about.arms.len() > 1 && about.records_read {
        page.part(&format!("differing-{place}"), "What differs besides");
        parameters(page, about, place, most)?;
    }
    quantities(page, about, place, most)?;
    left_out(page, about, place, most)
}

fn parameters(page: &mut Page, about: &Comparison, place: usize, most: usize) -> Result<(), Error> {
    let besides: Vec<_> = about.differing.iter().filter(|differs| differs.factor.is_none()).collect();
    if besides.is_empty() {
        page.paragraph(
            "Parameters that differ besides the factor: none. So say the key records of all stages below the scores, \
             with their models, templates and files.",
        );
    } else {
        let names: Vec<String> = besides.iter().map(|d| format!("{}.{}", d.stage, d.parameter)).collect();
        page.warning(&format!(
            "Parameters that differ and are no factor: {}. A difference in scores may be theirs.",
            some(names.iter().map(String::as_str), 8)
        ));
    }
    if about.differing.is_empty() {
        return Ok(());
    }
    // That an arm has no such stage is one thing, and not one for each of the stage's parameters.
    let (absent, mut all): (Vec<&Differing>, Vec<&Differing>) =
        about.differing.iter().partition(|differs| differs.factor.is_some() && only_absent(&differs.values));
    if !absent.is_empty() {
        let mut stages: Vec<&str> = absent.iter().map(|differs| differs.stage.as_str()).collect();
        stages.dedup();
        stages.sort_unstable();
        stages.dedup();
        page.note(&format!("Stages that some arms do not have: {}.", some(stages.into_iter(), 12)));
    }
    let arms = about.arms.len().min(caps::ANSWERS);
    let mut table = Table::new(format!("differing-table-{place}"), "Parameters and sources that differ between arms")
        .words("Parameter")
        .choice("Stage")
        .choice("Follows");
    for arm in &about.arms[..arms] {
        table = table.words(&arm.name);
    }
    all.sort_by_key(|differs| differs.factor.is_some());
    for differs in all.iter().take(most) {
        let follows = match &differs.factor {
            Some(factor) => Cell::text(factor),
            None => Cell::text("nothing: a confound").class("worse"),
        };
        let mut cells = vec![Cell::text(&differs.parameter), Cell::text(&differs.stage), follows];
        let value = |arm: usize| differs.values.get(arm).map_or("-", String::as_str);
        cells.extend((0..arms).map(|arm| Cell::text(short(value(arm), caps::NAME))));
        table.row(cells);
    }
    if arms < about.arms.len() {
        table.notes.push(format!("The first {arms} of {} arms; the download has all.", about.arms.len()));
    }
    if all.len() > most {
        table.notes.push(format!("{most} of {} parameters; the download has more.", all.len()));
    }
    let names: Vec<&str> =
        ["stage", "parameter", "follows"].into_iter().chain(about.arms.iter().map(|arm| arm.name.as_str())).collect();
    let mut data = Data::new(&names);
    for differs in all.into_iter().chain(absent) {
        let first = [differs.stage.clone().into(), differs.parameter.clone().into(), differs.factor.clone().into()];
        data.row(first.into_iter().chain(differs.values.iter().map(|value| value.clone().into())));
    }
    table.data = page.data(&format!("differing-{place}"), data);
    page.table(&table)
}

fn quantities(page: &mut Page, about: &Comparison, place: usize, most: usize) -> Result<(), Error> {
    if about.quantities.is_empty() {
        return Ok(());
    }
    page.part(&format!("quantities-{place}"), "What follows from the arms");
    let mut table =
        Table::new(format!("quantities-table-{place}"), "Quantities that follow from the arms").words("Arm");
    for quantity in &about.quantities {
        table = table.numbers(quantity, "");
    }
    let cell = |arm: &crate::Arm, at: usize| arm.quantities.get(at).cloned().unwrap_or_else(|| "-".to_owned());
    for arm in about.arms.iter().take(most) {
        let mut cells = vec![Cell::text(&arm.name)];
        for at in 0..about.quantities.len() {
            let text = cell(arm, at);
            let sort = leading_number(&text).unwrap_or(f64::NAN);
            let text = text.parse().map_or(text, count);
            cells.push(Cell::text(text).class("number").sort(sort));
        }
        table.row(cells);
    }
    if about.arms.len() > most {
        table.notes.push(format!("The first {most} of {} arms; the download has all.", about.arms.len()));
    }
    let names: Vec<&str> = ["arm"].into_iter().chain(about.quantities.iter().map(String::as_str)).collect();
    let mut data = Data::new(&names);
    for arm in &about.arms {
        let cells = (0..about.quantities.len()).map(|at| cell(arm, at).into());
        data.row([arm.name.clone().into()].into_iter().chain(cells));
    }
    table.data = page.data(&format!("quantities-{place}"), data);
    page.table(&table)
}

/// Whether arms that have the stage agree.
fn only_absent(values: &[String]) -> bool {
    let mut there = values.iter().filter(|value| *value != "-");
    let first = there.next();
    there.all(|value| Some(value) == first)
}

/// The number that a cell begins with, for sorting: `1,000 (3 draws)`.
fn leading_number(text: &str) -> Option<f64> {
    let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || ".,-+".contains(*c)).collect();
    digits.replace(',', "").parse().ok()
}

fn left_out(page: &mut Page, about: &Comparison, place: usize, most: usize) -> Result<(), Error> {
    if about.left_out.is_empty() {
        return Ok(());
    }
    page.part(&format!("left-out-{place}"), "What could not be compared");
    let mut table =
        Table::new(format!("left-out-table-{place}"), "Items, draws and arms that are not in the comparison")
            .choice("Arm")
            .words("Draw")
            .words("Metric")
            .words("Why")
            .numbers("Items", "0 for a whole draw or arm")
            .words("The first of them");
    for entry in about.left_out.iter().take(most) {
        table.row(vec![
            Cell::text(&entry.arm),
            Cell::text(entry.draw.as_deref().unwrap_or("–")),
            Cell::text(entry.metric.as_deref().map_or("all", |metric| named(about, metric))),
            Cell::text(&entry.why),
            Cell::count(entry.items),
            Cell::text(some(entry.ids.iter().map(String::as_str), 5)),
        ]);
    }
    if about.left_out.len() > most {
        table.notes.push(format!("The first {most} of {} entries; the download has more.", about.left_out.len()));
    }
    let mut data = Data::new(&["metric", "arm", "draw", "why", "items", "ids"]);
    for entry in &about.left_out {
        data.row([
            entry.metric.clone().into(),
            entry.arm.clone().into(),
            entry.draw.clone().into(),
            entry.why.clone().into(),
            entry.items.into(),
            entry.ids.join(" ").into(),
        ]);
    }
    table.data = page.data(&format!("left-out-{place}"), data);
    page.table(&table)
}

#[cfg(test)]
mod tests {
    use super::{leading_number, only_absent};

    #[test]
    fn a_stage_that_an_arm_lacks_is_no_parameter_that_differs() {
        let absent = |values: &[&str]| only_absent(&values.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(absent(&["3.0", "3.0", "-"]) && absent(&["-", "-"]));
        assert!(!absent(&["3.0", "2.0", "-"]));
    }

    #[test]
    fn quantities_sort_by_the_number_they_begin_with() {
        let numbers = ["1,000", "3.5 h", "-", "n/a", "20000 (3 draws)"].map(leading_number);
        assert_eq!(numbers, [Some(1000.0), Some(3.5), None, None, Some(20000.0)]);
    }
}
