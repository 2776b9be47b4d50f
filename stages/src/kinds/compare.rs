//! `compare`: which arms are better, and how surely.

mod arms;
mod asked;
mod details;
mod effects;
mod factorial;
mod left_out;
mod outputs;
mod pairing;
mod params;
mod scored;
mod signatures;
mod table;
#[cfg(test)]
mod tests;

use pipe_engine::{
    context::StageContext,
    kind::{ParamProblem, Ports, StageError, StageKind},
};

use self::arms::Arms;
pub use self::params::{CompareBootstrap, CompareParams, IntervalEnds};

/// The kind.
pub struct Compare;

impl StageKind for Compare {
    type Params = CompareParams;
    const NAME: &'static str = "compare";
    // 1: the first.
    const VERSION: u32 = 1;

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
        let arms = Arms::read(params, cx)?;
        cx.check_cancelled()?;
        let found = effects::effects(params, &arms, cx)?;
        effects::table(params, &arms, &found).write(cx, "effects")?;
        details::means(&arms).write(cx, "means")?;
        details::flips(params, &arms)?.write(cx, "flips")?;
        details::spread(&arms)?.write(cx, "variance")?;
        details::trends(params, &arms)?.write(cx, "trends")?;
        factorial::table(params, &arms, cx)?.write(cx, "contrasts")?;
        left_out::table(&arms, cx).write(cx, "left_out")
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
