//! Results for other programs, READMEs and papers.

use std::io::{self, Write};

use pipe_report::{Comparison, Effect};
use pipe_stages::results::{Results, Study};

use super::answers;
use crate::{
    output::{self, Table},
    report::study::{difference, shown},
};

/// One row per answer, whether over draws or over items.
pub(super) fn csv(results: &Results) -> io::Result<()> {
    let mut out = output::stdout();
    let columns = [
        "study",
        "metric",
        "question",
        "task",
        "factor",
        "level",
        "arm",
        "baseline",
        "draw",
        "draws",
        "items",
        "unpaired",
        "baseline_mean",
        "mean",
        "difference",
        "low",
        "high",
        "p",
        "p_holm",
        "verdict",
        "weak",
        "smallest",
        "needed",
        "computed",
        "improved",
        "regressed",
    ];
    writeln!(out, "{}", columns.join(","))?;
    for study in &results.studies {
        let Comparison { name, baseline, effects, .. } = &study.comparison;
        for effect in effects {
            let cells = [
                text(name),
                text(&effect.metric),
                text(&effect.question),
                text(&effect.task),
                text(&effect.factor),
                text(&effect.level),
                text(&effect.arm),
                text(baseline),
                text(effect.draw.as_deref().unwrap_or_default()),
                effect.draws.to_string(),
                effect.items.to_string(),
                effect.unpaired.to_string(),
                number(effect.baseline_mean),
                number(effect.mean),
                number(effect.difference),
                number(effect.low),
                number(effect.high),
                number(effect.p),
                number(effect.p_holm),
                text(&effect.verdict),
                effect.weak.to_string(),
                number(effect.smallest),
                whole(effect.needed),
                text(effect.computed.as_deref().unwrap_or_default()),
                whole(effect.improved),
                whole(effect.regressed),
            ];
            writeln!(out, "{}", cells.join(","))?;
        }
    }
    Ok(())
}

/// As RFC 4180 quotes.
fn text(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// All its digits.
fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn whole(value: Option<usize>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Headings and rows of a table for READMEs and papers: an arm in a row, a metric with its difference in two columns.
fn grid(study: &Study) -> (Vec<String>, Vec<Vec<String>>) {
    let comparison = &study.comparison;
    let has_effects = !comparison.effects.is_empty();
    let mut headings = vec![comparison.arms.first().and_then(|arm| arm.factors.first()).map_or_else(
        || "arm".to_owned(),
        |_| {
            let mut names: Vec<&str> = Vec::new();
            for (name, _) in comparison.arms.iter().flat_map(|arm| &arm.factors) {
                if !names.contains(&&**name) {
                    names.push(name);
                }
            }
            names.join(", ")
        },
    )];
    for metric in &comparison.metrics {
        headings.push(metric.heading.clone());
        if has_effects {
            headings.push(format!("difference [{} %]", comparison.percent()));
            headings.push("verdict".to_owned());
        }
    }
    headings.push("draws".to_owned());
    let row = |(arm, told): (&pipe_report::Arm, &pipe_stages::results::StudyArm)| {
        let levels: Vec<&str> = arm.factors.iter().map(|(_, level)| &**level).collect();
        let mut cells = vec![if levels.is_empty() { arm.name.clone() } else { levels.join(", ") }];
        for (metric, score) in comparison.metrics.iter().zip(&told.scores) {
            cells.push(shown(score));
            if has_effects {
                let effect = crate::report::study::answer(comparison, &metric.name, &arm.name);
                cells.push(effect.map_or_else(String::new, difference));
                cells.push(match effect {
                    None if arm.name == comparison.baseline => "baseline".to_owned(),
                    None => String::new(),
                    Some(effect) => verdict(effect),
                });
            }
        }
        cells.push(told.draws.to_string());
        cells
    };
    (headings, comparison.arms.iter().zip(&study.arms).map(row).collect())
}

/// `better (5 draws)`, `not shown (one draw, 660 items)`.
fn verdict(effect: &Effect) -> String {
    let weak = if effect.weak { ", weak" } else { "" };
    match &*effect.question {
        "draws" => format!("{} ({} draws{weak})", effect.verdict, effect.draws),
        _ => format!("{} ({} items)", effect.verdict, effect.items),
    }
}

/// Tables as GitHub's Markdown has them.
pub(super) fn markdown(results: &Results) -> io::Result<()> {
    let mut out = output::stdout();
    for (place, study) in results.studies.iter().enumerate() {
        let (headings, rows) = grid(study);
        let cell = |text: &String| text.replace('|', "\\|").replace('\n', " ");
        let line = |cells: &[String]| format!("| {} |", cells.iter().map(cell).collect::<Vec<_>>().join(" | "));
        if place > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", line(&headings))?;
        writeln!(out, "|{}", "---|".repeat(headings.len()))?;
        for row in &rows {
            writeln!(out, "{}", line(row))?;
        }
    }
    Ok(())
}

/// Tables for LaTeX with booktabs.
pub(super) fn latex(results: &Results) -> io::Result<()> {
    let mut out = output::stdout();
    for study in &results.studies {
        let (headings, rows) = grid(study);
        let line = |cells: &[String]| cells.iter().map(|cell| escaped(cell)).collect::<Vec<_>>().join(" & ") + r" \\";
        writeln!(out, "% {}", study.comparison.name.replace('\n', " "))?;
        writeln!(out, r"\begin{{tabular}}{{l{}}}", "r".repeat(headings.len() - 1))?;
        writeln!(out, r"\toprule")?;
        writeln!(out, "{}", line(&headings))?;
        writeln!(out, r"\midrule")?;
        for row in &rows {
            writeln!(out, "{}", line(row))?;
        }
        writeln!(out, r"\bottomrule")?;
        writeln!(out, r"\end{{tabular}}")?;
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out += r"\textbackslash{}",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '~' => out += r"\textasciitilde{}",
            '^' => out += r"\textasciicircum{}",
            '±' => out += r"$\pm$",
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Effects, one line each.
pub(super) fn by_task(results: &Results) -> io::Result<()> {
    for study in &results.studies {
        let comparison = &study.comparison;
        let percent = comparison.percent();
        let mut table = Table::new(&[
            "metric",
            "task",
            "arm",
            ">baseline",
            ">mean",
            &format!(">difference [{percent} %]"),
            ">p (Holm)",
            "verdict",
        ]);
        let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        for effect in answers(study) {
            table.row([
                effect.metric.clone(),
                effect.task.clone(),
                effect.arm.clone(),
                cell(effect.baseline_mean),
                cell(effect.mean),
                difference(effect),
                effect.p_holm.map_or_else(|| "-".to_owned(), |p| format!("{p:.4}")),
                verdict(effect),
            ]);
        }
        output::fitted(table)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_a_reader_would_take_them_apart() {
        assert_eq!(text("n=1,draw=a"), "\"n=1,draw=a\"");
        assert_eq!(text("say \"so\""), "\"say \"\"so\"\"\"");
        assert_eq!(text("plain"), "plain");
        assert_eq!(escaped("n_seeds=40 & 95 % ±0.1\\x"), r"n\_seeds=40 \& 95 \% $\pm$0.1\textbackslash{}x");
    }
}
