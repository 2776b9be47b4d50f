//! What became of rows: a bar of every stage and arm, all that was attempted.

use super::some;
use super::training::by_stage;
use crate::page::{Figure, Page};
use crate::svg::{Bar, Part, bars};
use crate::tables::Data;
use crate::text::{count, share, short};
use crate::{Error, Funnel, caps};

pub(super) fn write(page: &mut Page, funnels: &[Funnel]) -> Result<(), Error> {
    if funnels.is_empty() {
        return Ok(());
    }
    page.section("yields", "What became of rows");
    let mut data = Data::new(&["stage", "arm", "outcome", "rows"]);
    for funnel in funnels {
        for (outcome, rows) in &funnel.outcomes {
            data.row([funnel.stage.clone().into(), funnel.arm.clone().into(), outcome.clone().into(), (*rows).into()]);
        }
    }
    let data = page.data("yields", data);
    let stages = by_stage(funnels.iter().map(|funnel| funnel.stage.as_str()));
    let mut figures = Vec::new();
    for (place, stage) in stages.iter().take(caps::STAGES).enumerate() {
        let funnels: Vec<&Funnel> = funnels.iter().filter(|funnel| funnel.stage == *stage).collect();
        if funnels.len() > caps::LINES {
            page.note(&format!("{stage}: {} of {} arms are drawn.", caps::LINES, funnels.len()));
        }
        figures.push(figure(stage, place, &funnels[..funnels.len().min(caps::LINES)], data.clone()));
    }
    page.figures(&figures)?;
    if stages.len() > caps::STAGES {
        page.note(&format!("The first {} of {} stages are drawn.", caps::STAGES, stages.len()));
    }
    Ok(())
}

fn figure(stage: &str, place: usize, funnels: &[&Funnel], data: Option<String>) -> Figure {
    // What is kept comes first, as the dark part; then why others are not, in the order of the stage.
    let kept = funnels.iter().find_map(|funnel| funnel.outcomes.last()).map_or("kept", |(name, _)| name.as_str());
    let mut names: Vec<&str> = vec![kept];
    for (name, rows) in funnels.iter().flat_map(|funnel| funnel.outcomes.iter().skip(1)) {
        if *rows > 0 && !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let rows: Vec<Bar> = funnels.iter().map(|funnel| bar(funnel, kept, &names)).collect();
    let said: Vec<String> = rows.iter().map(|bar| format!("{}: {}", bar.name, bar.words)).collect();
    let label = format!("Rows of {stage}: {}.", some(said.iter().map(String::as_str), 8));
    let shown: Vec<String> = names.iter().map(|name| short(&name.replace('_', " "), 40)).collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    Figure {
        id: format!("yield-{place}"),
        title: short(stage, 60),
        caption: format!(
            "A bar is all that was attempted; at its right what is {}.",
            short(&kept.replace('_', " "), 40)
        ),
        svg: bars(&rows, &shown, &label),
        data,
    }
}

fn bar(funnel: &Funnel, kept: &str, names: &[&str]) -> Bar {
    let rows =
        |name: &str| funnel.outcomes.iter().skip(1).filter(|(n, _)| n == name).map(|(_, rows)| *rows).sum::<u64>();
    let known: u64 = funnel.outcomes.iter().skip(1).map(|(_, rows)| *rows).sum();
    let attempted = funnel.outcomes.first().map_or(0, |(_, rows)| *rows).max(known);
    let part = |(place, name): (usize, &&str)| {
        let n = rows(name);
        let of = if attempted > 0 { n as f64 / attempted as f64 } else { 0.0 };
        Part { place, share: of, title: format!("{name}: {} ({})", count(n), share(Some(of))) }
    };
    let of = if attempted > 0 { share(Some(rows(kept) as f64 / attempted as f64)) } else { "–".to_owned() };
    Bar {
        name: if funnel.arm.is_empty() { "all".to_owned() } else { funnel.arm.clone() },
        parts: names.iter().enumerate().map(part).collect(),
        words: format!("{} of {} ({of})", count(rows(kept)), count(attempted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_nothing_attempted_are_empty_and_outcomes_that_exceed_it_fit() {
        let funnel = |outcomes: &[(&str, u64)]| Funnel {
            outcomes: outcomes.iter().map(|&(name, rows)| (name.to_owned(), rows)).collect(),
            ..Funnel::default()
        };
        assert_eq!(bar(&funnel(&[("attempted", 0), ("kept", 0)]), "kept", &["kept"]).words, "0 of 0 (–)");
        assert_eq!(bar(&funnel(&[]), "kept", &["kept"]).words, "0 of 0 (–)");
        let bar =
            bar(&funnel(&[("attempted", 1), ("duplicate", 1000), ("kept", 1000)]), "kept", &["kept", "duplicate"]);
        assert_eq!(bar.words, "1,000 of 2,000 (50 %)");
        assert!((bar.parts.iter().map(|part| part.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
