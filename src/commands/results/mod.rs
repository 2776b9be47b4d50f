//! `pipe results`.

mod formats;

use pipe_report::{Comparison, Effect};
use pipe_stages::results::{Gathered, Heard, Results, Study};

use crate::{
    cli::{self, ResultsFormat},
    error::CliError,
    exit::Exit,
    output, project, report,
};

pub(crate) fn results(global: &cli::Global, args: &cli::Results) -> Result<Exit, CliError> {
    let mut results = of(global, &args.pipeline)?;
    for study in &mut results.studies {
        narrow(study, args);
    }
    if let Some(error) = unknown(&results, args) {
        return Err(error);
    }
    results.studies.retain(|study| !study.comparison.metrics.is_empty());
    match args.format {
        ResultsFormat::Json => output::json(&results)?,
        ResultsFormat::Csv => formats::csv(&results)?,
        ResultsFormat::Markdown => formats::markdown(&results)?,
        ResultsFormat::Latex => formats::latex(&results)?,
        ResultsFormat::Text if args.task.is_some() => formats::by_task(&results)?,
        ResultsFormat::Text => report::print(&results, args.wide)?,
    }
    Ok(Exit::Success)
}

/// What the pipeline stands at, compared.
pub(super) fn of(global: &cli::Global, args: &cli::PipelineArgs) -> Result<Results, CliError> {
    let pipeline = super::load(args)?;
    let store = project::look_into_store(global, &pipeline.base_dir)?;
    let heard = Heard::default();
    let results = Gathered::new(&pipeline, &store, &project::environment(), &heard)?.results;
    if results.studies.iter().all(|study| study.arms.iter().all(|arm| arm.draws == 0)) {
        let scoring = if results.studies.is_empty() {
            ("no stage has scores", "`evaluate` gives scores, and `command` with `scores`")
        } else {
            ("no stage with scores has a result", "`pipe run` computes them; `pipe plan` says what is missing")
        };
        return Err(CliError::NotFound {
            message: format!("{}: {}", results.title, scoring.0),
            help: Some(scoring.1.to_owned()),
        });
    }
    Ok(results)
}

/// Whether a word is what a metric is called, for scripts or for people.
pub(super) fn is_called(metric: &pipe_report::Metric, word: &str) -> bool {
    metric.name == word || metric.heading.eq_ignore_ascii_case(word)
}

/// Whether a word is what an arm is called, with or without its stage.
pub(crate) fn is_arm(arm: &str, word: &str) -> bool {
    arm == word || arm.split_once('@').is_some_and(|(_, arm)| arm == word)
}

/// Leaves what was asked for.
fn narrow(study: &mut Study, args: &cli::Results) {
    let Comparison { metrics, effects, means, items, .. } = &mut study.comparison;
    if !args.metric.is_empty() {
        let kept: Vec<bool> =
            metrics.iter().map(|metric| args.metric.iter().any(|word| is_called(metric, word))).collect();
        for arm in &mut study.arms {
            let mut place = kept.iter();
            arm.scores.retain(|_| place.next().copied().unwrap_or(true));
        }
        let mut place = kept.iter();
        metrics.retain(|_| place.next().copied().unwrap_or(true));
        let names: Vec<&String> = metrics.iter().map(|metric| &metric.name).collect();
        effects.retain(|effect| names.contains(&&effect.metric));
        means.retain(|mean| names.contains(&&mean.metric));
        items.clear();
    }
    if let Some(task) = args.task.as_ref().filter(|task| *task != "each") {
        effects.retain(|effect| effect.task == *task);
        means.retain(|mean| mean.task == *task);
    }
}

/// What was asked for by a name that nothing has.
fn unknown(results: &Results, args: &cli::Results) -> Option<CliError> {
    let comparisons = || results.studies.iter().map(|study| &study.comparison);
    if !args.metric.is_empty() && comparisons().all(|comparison| comparison.metrics.is_empty()) {
        return Some(CliError::NotFound {
            message: format!("there is no metric `{}`", args.metric.join("`, `")),
            help: Some("leave --metric out to see which there are".to_owned()),
        });
    }
    let task = args.task.as_ref().filter(|task| *task != "each")?;
    let has = |comparison: &Comparison| !comparison.effects.is_empty() || !comparison.means.is_empty();
    (!comparisons().any(has)).then(|| CliError::NotFound {
        message: format!("there is no task `{task}`"),
        help: Some("`--task each` shows those that there are".to_owned()),
    })
}

/// Effects by task, or over all items: those that were asked over draws where they were.
pub(super) fn answers(study: &Study) -> Vec<&Effect> {
    let effects = &study.comparison.effects;
    let asked_over_draws = |of: &Effect| {
        effects.iter().any(|e| {
            e.question == "draws" && e.p.is_some() && (&e.metric, &e.arm, &e.task) == (&of.metric, &of.arm, &of.task)
        })
    };
    effects.iter().filter(|effect| (effect.question == "draws") == asked_over_draws(effect)).collect()
}
