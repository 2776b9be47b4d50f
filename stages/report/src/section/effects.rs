//! Differences to the baseline: the two questions apart, each as a plot and a table, and by task.

use super::{heading, some};
use crate::page::{Figure, Page};
use crate::svg::{Forest, Line, Mark, forest};
use crate::table::{Cell, Table};
use crate::tables::Data;
use crate::text::{count, short, signed};
use crate::{Comparison, Effect, Error, Metric, caps};

/// The questions, as data names them, with what the page says of them.
const QUESTIONS: [(&str, &str, &str); 2] = [
    (
        "draws",
        "Is the choice better?",
        "The sample is the draws: everything anew from other random numbers, paired by draw and item. An interval says \
         where the effect of the choice lies if it were made again.",
    ),
    (
        "items",
        "Are these trained models different?",
        "The sample is the items of the exam, within one draw. An interval says how these models would differ on other \
         items of this kind; whether the choice would win again with other draws, it does not say.",
    ),
];

pub(super) fn write(page: &mut Page, about: &Comparison, place: usize, most: usize) -> Result<(), Error> {
    if about.effects.is_empty() {
        return Ok(());
    }
    // Where there is no room for all, those over all tasks, and over draws, come first.
    let mut all: Vec<&Effect> = about.effects.iter().collect();
    all.sort_by_key(|effect| (effect.task != "all", effect.question != "draws"));
    let data = page.data(&format!("effects-{place}"), Data::of(all));
    for (question, title, says) in QUESTIONS {
        let effects = || about.effects.iter().filter(|effect| effect.question == question && effect.task == "all");
        if effects().next().is_none() {
            continue;
        }
        page.part(&format!("{question}-{place}"), title);
        page.paragraph(says);
        let asked = effects().any(|effect| finite(effect.low).is_some() && finite(effect.high).is_some());
        if !asked {
            let why = effects().map(|effect| effect.verdict.as_str()).find(|verdict| !verdict.is_empty());
            page.note(&format!("{}.", sentence(why.unwrap_or("not asked"))));
            // The differences stand below, where something can be said of them.
            let others = about.effects.iter().any(|effect| effect.question != question && effect.task == "all");
            if question == "draws" && others && effects().all(|effect| Mark::of(&effect.verdict) == Mark::NotAsked) {
                continue;
            }
        }
        let figures: Vec<Figure> = about
            .metrics
            .iter()
            .take(caps::METRICS)
            .filter_map(|metric| plot(about, metric, question, place, data.clone()))
            .collect();
        if asked && !figures.is_empty() {
            page.note(&format!(
                "▲ better, ▼ worse, ■ same within the margin, ○ not shown; bars are {} % intervals.",
                about.percent()
            ));
            // With a line for every draw, one metric fills the screen.
            let open = if question == "items" && !about.draws.is_empty() { 1 } else { figures.len() };
            page.figures(&figures[..open])?;
            if open < figures.len() {
                page.details("Plots of the other metrics", |page| page.figures(&figures[open..]))?;
            }
        }
        let caption = format!("{title} Differences to {}, all tasks", short(&about.baseline, caps::NAME));
        let mut table = table(about, format!("effects-{question}-{place}"), &caption, question == "items", false);
        table.data.clone_from(&data);
        fill(&mut table, about, effects().collect(), most, (question == "items", false), place);
        page.table(&table)?;
    }
    by_task(page, about, place, most, data)
}

/// By task: over draws, and where nothing was asked over draws, over items.
fn by_task(page: &mut Page, about: &Comparison, place: usize, most: usize, data: Option<String>) -> Result<(), Error> {
    let of = |question: &str| -> Vec<&Effect> {
        about.effects.iter().filter(|effect| effect.question == question && effect.task != "all").collect()
    };
    let (over_draws, over_items) = (of("draws"), of("items"));
    let asked = over_draws.iter().any(|effect| finite(effect.low).is_some());
    let (effects, others) =
        if asked || over_items.is_empty() { (over_draws, over_items) } else { (over_items, vec![]) };
    if effects.is_empty() {
        return Ok(());
    }
    page.part(&format!("tasks-{place}"), "By task");
    let sample = if asked { "the sample is the draws" } else { "the sample is the items" };
    page.paragraph(&format!(
        "The same differences within each task; {sample}. Many are looked at, so that p is corrected for all of them \
         (Holm)."
    ));
    let mut table = table(about, format!("tasks-table-{place}"), "Differences to the baseline by task", !asked, true);
    table.data = data;
    fill(&mut table, about, effects, most, (!asked, true), place);
    page.table(&table)?;
    if !others.is_empty() {
        page.note("How trained models differ by task, draw for draw, stands in the download.");
    }
    Ok(())
}

fn table(about: &Comparison, id: String, caption: &str, draws: bool, tasks: bool) -> Table {
    let mut table = Table::new(id, caption).choice("Arm");
    if tasks {
        table = table.choice("Task");
    }
    if about.metrics.len() > 1 {
        table = table.choice("Metric");
    }
    if draws && !about.draws.is_empty() {
        table = table.choice("Draw");
    }
    table
        .numbers("Difference", "The arm’s mean less the baseline’s")
        .numbers(&format!("{} % interval", about.percent()), "Of the difference")
        .choice("Verdict")
        .numbers("p (Holm)", "After Holm’s correction within metric and factor; uncorrected in the download")
        .numbers("Baseline", "Mean of the baseline over what is paired")
        .numbers("Arm’s mean", "Mean of the arm over what is paired")
        .numbers("Draws", "Draws that both arms have")
        .numbers("Items", "Items that both arms have; those without a partner in brackets")
        .numbers("Smallest", "The smallest difference that would have been seen in four of five such studies")
        .numbers("Needed", "Draws (or items) that would show the difference seen")
        .words("Better / worse items")
        .words("Test")
}

fn fill(
    table: &mut Table,
    about: &Comparison,
    mut effects: Vec<&Effect>,
    most: usize,
    (draws, tasks): (bool, bool),
    place: usize,
) {
    let all = effects.len();
    if all > most {
        // All arms by the most important metric, rather than the first arms by all metrics.
        effects.sort_by_key(|effect| about.metrics.iter().position(|metric| metric.name == effect.metric));
    }
    for effect in effects.into_iter().take(most) {
        let mut cells = vec![Cell::text(&effect.arm).more(about_factor(effect))];
        if tasks {
            cells.push(Cell::text(&effect.task));
        }
        if about.metrics.len() > 1 {
            cells.push(Cell::text(named(about, &effect.metric)));
        }
        if draws && !about.draws.is_empty() {
            cells.push(Cell::text(effect.draw.as_deref().unwrap_or("all")));
        }
        let unpaired = if effect.unpaired > 0 { format!("({} unpaired)", effect.unpaired) } else { String::new() };
        // Never p without the effect.
        let seen = finite(effect.difference).is_some();
        cells.extend([
            Cell::signed(effect.difference),
            Cell::interval(effect.low, effect.high),
            Cell::verdict(&effect.verdict, effect.weak),
            Cell::p(effect.p_holm.filter(|_| seen)),
            Cell::number(effect.baseline_mean),
            Cell::number(effect.mean),
            Cell::count(effect.draws),
            Cell::count(effect.items).more(unpaired),
            Cell::number(effect.smallest),
            Cell::count_of(effect.needed),
            flips(about, effect, place),
            Cell::text(effect.computed.as_deref().unwrap_or("–")),
        ]);
        table.row(cells);
    }
    if all > most {
        table
            .notes
            .push(format!("{most} of {} rows; the download has more, `pipe results` has all.", count(all as u64)));
    }
}

/// How many items got better and worse, with a way to them.
fn flips(about: &Comparison, effect: &Effect, place: usize) -> Cell {
    let (Some(improved), Some(regressed)) = (effect.improved, effect.regressed) else { return Cell::text("–") };
    let cell = Cell::text(format!("{improved} / {regressed}")).sort(regressed as f64);
    let arm = about.arms.iter().position(|arm| arm.name == effect.arm);
    let shown = about.samples_draw == effect.draw && !about.samples.is_empty();
    let first = about.metrics.first().is_some_and(|metric| metric.name == effect.metric);
    match arm.filter(|&arm| shown && first && arm < caps::ANSWERS) {
        Some(arm) => cell.href(Some(format!("#samples-{place}?flip=regressed&arm={arm}"))),
        None => cell,
    }
}

fn about_factor(effect: &Effect) -> String {
    let said = effect.factor.is_empty() || effect.arm == effect.level || effect.arm.contains(&effect.factor);
    if said { String::new() } else { format!("{}: {}", effect.factor, effect.level) }
}

fn plot(about: &Comparison, metric: &Metric, question: &str, place: usize, data: Option<String>) -> Option<Figure> {
    let mut effects: Vec<&Effect> = about
        .effects
        .iter()
        .filter(|effect| effect.question == question && effect.task == "all" && effect.metric == metric.name)
        .collect();
    let all = effects.len();
    if all > caps::LINES {
        // The largest, in the order of the arms.
        let size = |effect: &Effect| finite(effect.difference).map_or(0.0, f64::abs);
        let mut sizes: Vec<f64> = effects.iter().map(|effect| size(effect)).collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        let least = sizes[caps::LINES - 1];
        effects.retain(|effect| size(effect) >= least);
        effects.truncate(caps::LINES);
    }
    let name = heading(&metric.heading, &metric.name);
    let lines: Vec<Line> = effects.iter().map(|effect| line(effect)).collect();
    let words = |line: &Line| {
        let draw = line.draw.as_ref().map_or(String::new(), |draw| format!(", {draw}"));
        format!("{}{draw} {}", line.name, line.words)
    };
    let shown: Vec<String> = lines.iter().map(words).collect();
    let label = format!(
        "Forest plot of differences in {name} to {}: {}.",
        about.baseline,
        some(shown.iter().map(String::as_str), 8)
    );
    let less = if metric.lower_is_better { "; less is better" } else { "" };
    let axis = format!("difference in {name} to {}{less}", short(&about.baseline, 24));
    let svg = forest(&Forest { axis, lines, label })?;
    let caption = if all > caps::LINES {
        format!("The {} largest of {all} differences are drawn.", effects.len())
    } else {
        String::new()
    };
    let at = about.metrics.iter().position(|other| other.name == metric.name)?;
    Some(Figure { id: format!("forest-{question}-{place}-{at}"), title: name.to_owned(), caption, svg, data })
}

fn line(effect: &Effect) -> Line {
    let draw = effect.draw.as_ref().map_or(String::new(), |draw| format!(", draw {draw}"));
    let interval = match (finite(effect.low), finite(effect.high)) {
        (None, None) => String::new(),
        _ => format!(" ({} to {})", signed(effect.low), signed(effect.high)),
    };
    let weak = if effect.weak { ", weak" } else { "" };
    Line {
        name: effect.arm.clone(),
        draw: effect.draw.as_ref().map(|draw| format!("draw {draw}")),
        difference: effect.difference,
        low: effect.low,
        high: effect.high,
        mark: Mark::of(&effect.verdict),
        words: format!("{}{interval}", signed(effect.difference)),
        title: format!("{}{draw}: {}{interval}, {}{weak}", effect.arm, signed(effect.difference), effect.verdict),
    }
}

/// What people call the metric of this name.
pub(super) fn named<'a>(about: &'a Comparison, name: &'a str) -> &'a str {
    about.metrics.iter().find(|metric| metric.name == name).map_or(name, |m| heading(&m.heading, &m.name))
}

fn sentence(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

fn finite(x: Option<f64>) -> Option<f64> {
    x.filter(|x| x.is_finite())
}
