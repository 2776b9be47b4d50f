//! The map of items and arms, items sorted by how hard they are.

use super::{heading, mean_of, some};
use crate::page::{Figure, Page};
use crate::svg::{CLASSES, Heat, heat};
use crate::tables::{Data, cell};
use crate::text::number;
use crate::{Comparison, Error, Item, caps};

pub(super) fn write(page: &mut Page, about: &Comparison, place: usize) -> Result<(), Error> {
    if about.items.is_empty() || about.arms.is_empty() || about.metrics.is_empty() {
        return Ok(());
    }
    let arms = about.arms.len().min(caps::LINES);
    let maps = about.metrics.len().min(caps::MAPS);
    let room = (caps::MAP_CELLS / (arms * maps)).max(1);
    let mut items: Vec<&Item> = about.items.iter().collect();
    let score = |item: &Item, metric: usize, arm: usize| -> Option<f64> {
        item.scores.get(metric)?.get(arm).copied().flatten().filter(|x| x.is_finite())
    };
    let toward = if about.metrics[0].lower_is_better { -1.0 } else { 1.0 };
    let ease = |item: &Item| mean_of((0..about.arms.len()).filter_map(|arm| score(item, 0, arm))).map(|x| x * toward);
    // The easiest first; what has no score, last.
    let by_ease = |a: &&Item, b: &&Item| {
        let (a, b) = (ease(a).unwrap_or(f64::NEG_INFINITY), ease(b).unwrap_or(f64::NEG_INFINITY));
        b.total_cmp(&a)
    };
    items.sort_by(by_ease);
    let all = items.len() + about.items_left_out;
    if items.len() > room {
        // Evenly from easy to hard.
        items = (0..room).map(|i| items[i * items.len() / room]).collect();
    }
    page.part(&format!("by-item-{place}"), "Item by item");
    let name = format!("items-{place}");
    let data = page.data(&name, data(about, &items, arms, score));
    let mut figures = Vec::new();
    for metric in 0..maps {
        let values = || items.iter().flat_map(|item| (0..arms).filter_map(|arm| score(item, metric, arm)));
        let ends = ends(values());
        let cells = (0..arms).map(|arm| items.iter().map(|item| score(item, metric, arm)).collect()).collect();
        let heading = heading(&about.metrics[metric].heading, &about.metrics[metric].name);
        let means = (0..arms).map(|arm| {
            let mean = mean_of(items.iter().filter_map(|item| score(item, metric, arm)));
            format!("{} {}", about.arms[arm].name, number(mean))
        });
        let means: Vec<String> = means.collect();
        let label = format!(
            "Map of {heading} on {} items, easiest first, by arm; means: {}.",
            items.len(),
            some(means.iter().map(String::as_str), 8)
        );
        let step = |class: usize| {
            let x = ends.0 + (ends.1 - ends.0) * class as f64 / CLASSES as f64;
            if ends == (0.0, 1.0) { format!("{x:.2}") } else { number(Some(x)) }
        };
        let svg = heat(&Heat {
            rows: about.arms.iter().take(arms).map(|arm| arm.name.as_str()).collect(),
            cells,
            ends,
            from: "← easiest",
            to: "hardest →",
            legend: (0..=CLASSES).map(step).collect(),
            metric,
            data: &name,
            label,
        });
        let by = if metric > 0 { format!(", sorted by {}", about.metrics[0].heading) } else { String::new() };
        figures.push(Figure {
            id: format!("map-{place}-{metric}"),
            title: format!("{heading} by item and arm{by}"),
            caption:
                "A column is an item, with its mean over draws. Point at one to read it, press to see its answers."
                    .to_owned(),
            svg,
            data: data.clone(),
        });
    }
    page.figures(&figures)?;
    if items.len() < all {
        page.note(&format!("{} of {all} items are drawn, evenly from easy to hard.", items.len()));
    }
    if arms < about.arms.len() {
        page.note(&format!("The first {arms} of {} arms are drawn.", about.arms.len()));
    }
    Ok(())
}

/// Zero to one for shares, otherwise what is there.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (min, max) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), x| (min.min(x), max.max(x)));
    if min > max || (min >= 0.0 && max <= 1.0) { (0.0, 1.0) } else { (min, max) }
}

/// Items in the order of the map: a column for every metric and arm.
fn data(about: &Comparison, items: &[&Item], arms: usize, score: impl Fn(&Item, usize, usize) -> Option<f64>) -> Data {
    let metrics = about.metrics.len().min(caps::MAPS);
    let mut columns = vec!["id".to_owned(), "task".to_owned()];
    for metric in &about.metrics[..metrics] {
        columns.extend(about.arms.iter().take(arms).map(|arm| format!("{}: {}", metric.name, arm.name)));
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut data = Data::new(&columns);
    for item in items {
        // Five digits tell scores of an item apart, and take a third of the room.
        let rounded = |x: f64| (x * 1e5).round() / 1e5;
        let scores = (0..metrics).flat_map(|metric| (0..arms).map(move |arm| (metric, arm)));
        let scores = scores.map(|(metric, arm)| cell(score(item, metric, arm).map(rounded)));
        data.row([item.id.clone().into(), item.task.clone().into()].into_iter().chain(scores));
    }
    data
}
