//! `compare`: which arms are better, and how surely.

mod arms;
mod details;
mod effects;
mod pairing;
mod params;
mod table;
#[cfg(test)]
mod tests;

use pipe_engine::{
    context::StageContext,
    kind::{Column, OutputPort, ParamProblem, Ports, StageError, StageKind},
};

pub use self::params::{CompareBootstrap, CompareParams, IntervalEnds};
use self::{arms::Arms, effects::effects};

/// The kind.
pub struct Compare;

impl StageKind for Compare {
    type Params = CompareParams;
    const NAME: &'static str = "compare";
    // 1: the first.
    const VERSION: u32 = 1;

    fn ports(&self, _: &CompareParams) -> Ports {
        let text = |name: &'static str, about: &'static str| Column::text(name, about);
        let number = |name: &'static str, about: &'static str| Column::number(name, about);
        let of = || {
            [
                text("metric", "What is measured."),
                text("arm", "Which arm."),
                text("draw", "Which draw; null where there is one without a name."),
            ]
        };
        Ports {
            inputs: Vec::new(),
            open_inputs: true,
            outputs: vec![
                OutputPort::table("effects")
                    .about(
                        "One row per answer: a metric, an arm, a task or all, over draws or over the items of a draw.",
                    )
                    .gives([
                        text("metric", "What is measured."),
                        text("question", "`draws`: is the choice better? `items`: are the models different?"),
                        text("task", "The task, or `all`."),
                        text("factor", "By what the arm differs from the baseline."),
                        text("level", "Its value there."),
                        text("arm", "The arm."),
                        text("baseline", "What it is held against."),
                        text("draw", "For `items`: the draw."),
                        number("draws", "Draws that have both."),
                        number("items", "Items that both have, the most of a draw."),
                        number("unpaired", "Draws (or items) that one of them lacks."),
                        number("baseline_mean", "The baseline's mean."),
                        number("mean", "The arm's mean."),
                        number("difference", "The arm's less the baseline's."),
                        number("low", "The lower end of its interval."),
                        number("high", "The upper end."),
                        number("p", "How often such a difference is seen where there is none."),
                        number("p_holm", "The same, corrected for all questions of the metric and factor."),
                        text("verdict", "In words."),
                        Column::new("weak", "true or false", "Whether it rests on fewer than five draws."),
                        number("smallest", "The smallest difference that would have been seen."),
                        number("needed", "Draws (or items) that would show the difference."),
                        number("improved", "For `items`: with a higher score than the baseline's."),
                        number("regressed", "For `items`: with a lower one."),
                        text("computed", "The test."),
                    ]),
                OutputPort::table("means")
                    .about("The mean of every arm in every draw, over all items and by task.")
                    .gives(of())
                    .gives([
                        text("task", "The task, or `all`."),
                        text("factor", "By what the arm differs from the baseline."),
                        text("level", "Its value there."),
                        number("items", "Items with a score."),
                        number("mean", "Their mean."),
                    ]),
                OutputPort::table("flips")
                    .about("Items whose score the arm changes, the largest changes first.")
                    .gives(of())
                    .gives([
                        text("baseline", "What the arm is held against."),
                        text("id", "The item."),
                        text("task", "Its task."),
                        number("baseline_score", "Its score before."),
                        number("score", "Its score in the arm."),
                        number("difference", "The one less the other."),
                        text("flip", "`higher` or `lower`."),
                    ]),
                OutputPort::table("variance")
                    .about("Where the spread of single scores is from: shares, and the components of variance.")
                    .gives([
                        text("metric", "What is measured."),
                        text("not_asked", "Why there is no answer, if there is none."),
                        number("draws", "Draws that all arms have."),
                        number("items", "Items that all draws have."),
                        number("draws_left_out", "Draws that an arm lacks."),
                        number("items_left_out", "Items that a draw lacks."),
                        number("share_draws", "What draws have of the variance."),
                        number("share_items", "What items have of it."),
                        number("share_sampling", "The rest, which differs from answer to answer."),
                        number("draw", "Of draws, in all arms alike."),
                        number("arm_draw", "Of draws in which one arm is better."),
                        number("item", "Of items, for all arms alike."),
                        number("arm_item", "Of items that one arm is better at."),
                        number("sampling", "Of single answers."),
                    ]),
                OutputPort::table("trends").about("How scores follow numeric factors: slopes of draws.").gives([
                    text("metric", "What is measured."),
                    text("factor", "The factor."),
                    text("per", "`doubling` of it, or `unit` where a level is 0 or below."),
                    number("levels", "How many there are."),
                    number("draws", "Draws that have all of them."),
                    number("draws_left_out", "Draws that lack one."),
                    number("slope", "The mean slope."),
                    number("low", "The lower end of its interval."),
                    number("high", "The upper end."),
                    number("p", "How often such a slope is seen where there is none."),
                    text("verdict", "`rises`, `falls`, `not shown`, or why it was not asked."),
                ]),
                OutputPort::table("left_out")
                    .about("What could not be paired, and why.")
                    .gives(of())
                    .gives([text("id", "The item; null where it is a draw."), text("why", "Why.")]),
            ],
        }
    }

    fn check(&self, params: &CompareParams) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: String, message: String, help: &str| {
            problems.push(ParamProblem { pointer, message, help: Some(help.into()) });
        };
        if !(params.alpha > 0.0 && params.alpha < 1.0) {
            problem("/alpha".into(), "it must lie between 0 and 1".into(), "0.05 is usual");
        } else if !(params.power > params.alpha && params.power < 1.0) {
            problem("/power".into(), "it must lie between `alpha` and 1".into(), "0.8 is usual");
        }
        for (metric, margin) in &params.margins {
            if !(*margin > 0.0 && margin.is_finite()) {
                let help = "a margin is a difference that does not matter, such as 0.01";
                problem(format!("/margins/{metric}"), "it must be above 0".into(), help);
            }
        }
        if !params.metrics.is_empty() {
            let known = |name: &String| params.metrics.contains(name);
            for name in params.margins.keys().filter(|name| !known(name)) {
                problem(format!("/margins/{name}"), format!("`{name}` is none of the `metrics`"), "name one of them");
            }
            for (i, name) in params.lower_is_better.iter().enumerate().filter(|(_, name)| !known(name)) {
                let message = format!("`{name}` is none of the `metrics`");
                problem(format!("/lower_is_better/{i}"), message, "name one of them");
            }
        }
        problems
    }

    fn run(&self, params: &CompareParams, cx: &mut StageContext) -> Result<(), StageError> {
        let cx: &StageContext = cx;
        let arms = Arms::read(params, cx)?;
        cx.check_cancelled()?;
        let found = effects(params, &arms)?;
        effects::table(params, &arms, &found)?.write(cx, "effects")?;
        details::means(&arms).write(cx, "means")?;
        details::flips(&arms)?.write(cx, "flips")?;
        details::spread(&arms)?.write(cx, "variance")?;
        details::trends(params, &arms)?.write(cx, "trends")?;
        let left_out = details::left_out(&arms)?;
        if left_out.len() > 0 {
            cx.warn(format!("{} draws or items are not paired: see the output `left_out`", left_out.len()));
        }
        left_out.write(cx, "left_out")
    }
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { a: evaluate, b: evaluate.predictions }",
    version: 1,
    outputs: &[
        ("effects", "effd70b9ed5ba3c4a5146c227cb8926e61242c852ad45c514ed9d66ba43c73ba"),
        ("flips", "79234da990c243bd037dc07a08749cfdfb5e5888b8298b06ed97d8b1b7c29008"),
        ("left_out", "83c6fdeefa1d9cc4cc33d832b468dd4d9f54b5fcb9b62c0cc4671fc310aaec1f"),
        ("means", "b6a19682edd1816e1b22e0b3ed93cc020b8215457059b9ed04acc1bb21bc2723"),
        ("trends", "f20ee968c006e24370382c80a394417140a9b8e16730aa8a8b4bc34d71308d66"),
        ("variance", "5f8e9eab97a87f5c632287a50a89691ef17d2293524aa1102f9a496a0a4986b0"),
    ],
};
