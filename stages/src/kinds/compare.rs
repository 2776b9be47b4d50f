//! `compare`: which arms are better, and how surely.

mod outputs;
#[cfg(test)]
mod tests;

use pipe_engine::{
    context::StageContext,
    kind::{ParamProblem, Ports, StageError, StageKind},
};

use crate::comparison::{self, Arms, CONNECT};
pub use crate::comparison::{CompareBootstrap, CompareParams, IntervalEnds};

/// The kind.
pub struct Compare;

impl StageKind for Compare {
    type Params = CompareParams;
    const NAME: &'static str = comparison::KIND;
    // 1: the first. 2: of bits per byte and perplexities less is better without a word.
    const VERSION: u32 = 2;
    const GATHERS_WHAT_THERE_IS: bool = true;

    fn ports(&self, _: &CompareParams) -> Ports {
        Ports { inputs: Vec::new(), open_inputs: true, outputs: outputs::outputs() }
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
        for (i, name) in params.metrics.iter().enumerate().filter(|(i, name)| params.metrics[..*i].contains(name)) {
            problem(format!("/metrics/{i}"), format!("`{name}` stands here twice"), "name it once");
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
        let arms = Arms::read(params, comparison::connected(cx)?)?;
        if arms.all.len() < 2 {
            return Err(StageError::user_help("there is one arm to compare", CONNECT));
        }
        cx.check_cancelled()?;
        let answers = comparison::answers(params, &arms, &|| cx.check_cancelled())?;
        for warning in &answers.warnings {
            cx.warn(warning);
        }
        for (port, table) in [
            ("effects", &answers.effects),
            ("means", &answers.means),
            ("flips", &comparison::flips(params, &arms)?),
            ("variance", &answers.variance),
            ("trends", &answers.trends),
            ("contrasts", &answers.contrasts),
            ("left_out", &answers.left_out),
        ] {
            cx.write_batches(port, table.schema_ref(), [table])?;
        }
        Ok(())
    }
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { a: evaluate, b: evaluate.predictions }",
    version: 2,
    outputs: &[
        ("contrasts", "8cb2fdd75ab63ce4ae6dde5767e9e68643129c843186075341a31442de53b842"),
        ("effects", "ff59f1c6f1f0dcca9fbb0959148fcacaabff61dd839075f5e6c17d27a66ee22a"),
        ("flips", "79234da990c243bd037dc07a08749cfdfb5e5888b8298b06ed97d8b1b7c29008"),
        ("left_out", "6be053fc4c6854df348675b31dc9838f3c7bd8090fbc943bc145bf13fa0c3950"),
        ("means", "1a9cf5cdd9b91e99eefdcee5cccf5b91de6b418d21617f1eb4f6917e03002ea4"),
        ("trends", "e4bb17985a52bebf2e5c977bafc0c9155867d454d92a4fae0d8338dc370f7f9d"),
        ("variance", "5f8e9eab97a87f5c632287a50a89691ef17d2293524aa1102f9a496a0a4986b0"),
    ],
};
