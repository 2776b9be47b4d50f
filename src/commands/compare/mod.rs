//! `pipe compare --gate`.

mod gate;

use std::io::Write;

use pipe_engine::diag::one_of;
use pipe_stages::results::{Results, Study};
use serde::Serialize;

use self::gate::{Against, Gate};
use super::results::{answers, is_arm, is_called, of};
use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, Table, color_on_stdout, paint, style},
};

/// What became of a gate in an arm.
#[derive(Debug, Serialize)]
struct Verdict {
    gate: String,
    /// The stage that compares, or the stages that are compared.
    study: String,
    arm: String,
    metric: String,
    task: String,
    holds: bool,
    /// What was held against the limit; nothing, where there is no such number.
    value: Option<f64>,
    limit: f64,
    /// What `value` is.
    of: &'static str,
}

pub(crate) fn compare(global: &cli::Global, args: &cli::Compare) -> Result<Exit, CliError> {
    let gates = args.gate.iter().map(|text| Gate::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let results = of(global, &args.pipeline)?;
    known_arms(&results, &args.arm)?;
    let mut verdicts = Vec::new();
    for gate in &gates {
        if args.sure && matches!(gate.against, Against::Number(_)) {
            return Err(CliError::Usage {
                message: format!("`{}` is held against a number, and what is sure is a difference", gate.text),
                help: Some("hold it against the `baseline`, or leave --sure out".to_owned()),
            });
        }
        let before = verdicts.len();
        for study in &results.studies {
            asked(study, gate, args, &mut verdicts);
        }
        if verdicts.len() == before {
            return Err(nothing(&results, gate));
        }
    }
    match args.format {
        Format::Json => output::json(&verdicts)?,
        Format::Text => write(&verdicts)?,
    }
    Ok(if verdicts.iter().all(|verdict| verdict.holds) { Exit::Success } else { Exit::StageFailed })
}

fn known_arms(results: &Results, wanted: &[String]) -> Result<(), CliError> {
    let arms = || results.studies.iter().flat_map(|study| &study.comparison.arms).map(|arm| &*arm.name);
    match wanted.iter().find(|wanted| !arms().any(|arm| is_arm(arm, wanted))) {
        None => Ok(()),
        Some(wanted) => Err(CliError::NotFound {
            message: format!("there is no arm `{wanted}`"),
            help: one_of(wanted, "the arms are", arms()),
        }),
    }
}

/// What a gate finds nothing to hold against anything.
fn nothing(results: &Results, gate: &Gate) -> CliError {
    let metrics = || results.studies.iter().flat_map(|study| &study.comparison.metrics);
    if metrics().any(|metric| is_called(metric, &gate.metric)) {
        let tasks = results.studies.iter().flat_map(|study| &study.comparison.means).map(|mean| &*mean.task);
        let mut tasks: Vec<&str> = tasks.collect();
        tasks.sort_unstable();
        tasks.dedup();
        return CliError::NotFound {
            message: format!("`{}` finds no arm beside the baseline that has such a score", gate.text),
            help: one_of(&gate.task, "the tasks are", tasks),
        };
    }
    CliError::NotFound {
        message: format!("`{}`: there is no metric `{}`", gate.text, gate.metric),
        help: one_of(&gate.metric, "the metrics are", metrics().map(|metric| &*metric.name)),
    }
}

/// Asks the gate of the arms of a study: of those named, or of all but the baseline; if that is one of several arms of
/// its stage, of these.
fn asked(study: &Study, gate: &Gate, args: &cli::Compare, verdicts: &mut Vec<Verdict>) {
    let comparison = &study.comparison;
    let Some(place) = comparison.metrics.iter().position(|metric| is_called(metric, &gate.metric)) else { return };
    let metric = &comparison.metrics[place].name;
    let effects = answers(study);
    let stage = |at: usize| &study.arms[at].stage;
    let of_stage = (1..study.arms.len()).any(|at| stage(at) == stage(0));
    let wanted = |at: usize| match &*args.arm {
        [] => (at > 0 && (!of_stage || stage(at) == stage(0))) || study.arms.len() == 1,
        named => named.iter().any(|word| is_arm(&comparison.arms[at].name, word)),
    };
    for at in (0..study.arms.len()).filter(|&at| wanted(at)) {
        let (arm, told) = (&comparison.arms[at], &study.arms[at]);
        let of: Vec<_> =
            effects.iter().filter(|e| e.metric == *metric && e.arm == arm.name && e.task == gate.task).collect();
        let mut tell = |value: Option<f64>, of| {
            verdicts.push(Verdict {
                gate: gate.text.clone(),
                study: comparison.name.clone(),
                arm: arm.name.clone(),
                metric: metric.clone(),
                task: gate.task.clone(),
                holds: value.is_some_and(|value| gate.holds(value)),
                value,
                limit: gate.limit(),
                of,
            });
        };
        match gate.against {
            Against::Number(_) if gate.task == "all" => tell(told.scores[place].mean, "mean"),
            Against::Number(_) => {
                let means =
                    comparison.means.iter().filter(|m| m.metric == *metric && m.arm == arm.name && m.task == gate.task);
                let means: Vec<f64> = means.filter_map(|mean| mean.mean).collect();
                let mean = means.iter().sum::<f64>() / means.len() as f64;
                tell((!means.is_empty()).then_some(mean), "mean");
            }
            // An arm without an answer has failed: it does not pass for want of a number.
            Against::Baseline(_) if of.is_empty() => tell(None, "difference"),
            // Of several draws that are not asked together, each is.
            Against::Baseline(_) if args.sure => {
                for effect in of {
                    tell(if gate.wants_more() { effect.low } else { effect.high }, "end of the interval");
                }
            }
            Against::Baseline(_) => {
                for effect in of {
                    tell(effect.difference, "difference");
                }
            }
        }
    }
}

fn write(verdicts: &[Verdict]) -> Result<(), CliError> {
    let color = color_on_stdout();
    // Arms of several studies may be called the same.
    let several = verdicts.iter().any(|verdict| verdict.study != verdicts[0].study);
    let study = several.then_some("study");
    let headings = ["", "gate"].into_iter().chain(study).chain(["arm", ">limit", ">value", "which is the"]);
    let mut table = Table::new(&headings.collect::<Vec<_>>());
    for verdict in verdicts {
        let holds =
            if verdict.holds { paint("holds", style::GOOD, color) } else { paint("fails", style::ERROR, color) };
        let value = verdict.value.map_or_else(|| "no result".to_owned(), |value| format!("{value:.4}"));
        let study = several.then(|| verdict.study.clone());
        let cells = [verdict.arm.clone(), format!("{:.4}", verdict.limit), value, verdict.of.to_owned()];
        table.row([holds, verdict.gate.clone()].into_iter().chain(study).chain(cells));
    }
    output::fitted(table)?;
    let failed = verdicts.iter().filter(|verdict| !verdict.holds).count();
    if failed > 0 {
        writeln!(output::prose(), "{failed} of {} do not hold", verdicts.len())?;
    }
    Ok(())
}
