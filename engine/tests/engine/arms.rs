//! What a run says of its arms at the end.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use pipe_engine::{
    context::StageContext,
    events::{Arm, ArmYield, EventKind},
    kind::{Highlight, InputPort, OutputPort, PortType, Ports, StageError, StageKind},
};
use pipe_testing::{Lab, damage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Size {
    /// How many.
    n: i64,
}

/// Keeps half of the rows it attempts, and spends ten tokens on each.
struct Make;

impl StageKind for Make {
    type Params = Size;
    const NAME: &'static str = "make";
    const VERSION: u32 = 1;

    fn ports(&self, _: &Size) -> Ports {
        let output = |name: &'static str| OutputPort::new(name, PortType::Table);
        Ports { outputs: vec![output("yield"), output("rows")], ..Ports::default() }
    }

    fn highlights(&self, _: &Size) -> Vec<Highlight> {
        vec![Highlight::Yield { port: "yield" }, Highlight::Count { counter: "tokens", heading: "tokens" }]
    }

    fn run(&self, params: &Size, cx: &mut StageContext) -> Result<(), StageError> {
        let outcomes: ArrayRef = Arc::new(StringArray::from(vec!["attempted", "unparsed", "kept"]));
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![2 * params.n, params.n, params.n]));
        let yields = RecordBatch::try_from_iter([("outcome", outcomes), ("count", counts)]).unwrap();
        cx.write_batches("yield", yields.schema_ref(), [&yields])?;
        let n: ArrayRef = Arc::new(Int64Array::from(vec![params.n]));
        let rows = RecordBatch::try_from_iter([("n", n)]).unwrap();
        cx.counter("tokens", 10 * params.n as u64);
        cx.write_batches("rows", rows.schema_ref(), [&rows]).map(drop)
    }
}

/// Nothing.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Scores by size.
struct Judge;

impl StageKind for Judge {
    type Params = Nothing;
    const NAME: &'static str = "judge";
    const VERSION: u32 = 1;

    fn ports(&self, _: &Nothing) -> Ports {
        let output = |name: &'static str| OutputPort::new(name, PortType::Table);
        Ports {
            inputs: vec![InputPort::new("rows", PortType::Table, false)],
            open_inputs: false,
            outputs: vec![output("scores")],
        }
    }

    fn highlights(&self, _: &Nothing) -> Vec<Highlight> {
        let score = |name: &'static str, error: Option<&'static str>| Highlight::Score {
            name: name.into(),
            heading: name.into(),
            port: "scores",
            row: ("task", "all"),
            value: name.into(),
            standard_error: error.map(Into::into),
        };
        vec![score("f1", Some("f1_stderr")), score("absent", None)]
    }

    fn run(&self, _: &Nothing, cx: &mut StageContext) -> Result<(), StageError> {
        let n = match cx.optional_table("rows")? {
            Some(rows) => rows.read()?.column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0) as f64,
            None => 0.0,
        };
        let columns: [(&str, ArrayRef); 3] = [
            ("task", Arc::new(StringArray::from(vec!["easy", "all"]))),
            ("f1", Arc::new(Float64Array::from(vec![9.0, n / 8.0]))),
            ("f1_stderr", Arc::new(Float64Array::from(vec![9.0, 0.5]))),
        ];
        let scores = RecordBatch::try_from_iter(columns).unwrap();
        cx.write_batches("scores", scores.schema_ref(), [&scores]).map(drop)
    }
}

const PIPELINE: &str = "
pipeline: p
vars: { n: 1 }
ablate: { n: [2] }
stages:
  base: { kind: judge }
  make: { kind: make, params: { n: \"${n}\" } }
  more: { kind: make, params: { n: \"${n}\" } }
  score: { kind: judge, inputs: { rows: make.rows } }
";

fn lab() -> Lab {
    let mut lab = Lab::new();
    lab.registry = lab.registry.clone().with(Make).with(Judge);
    lab
}

fn arms(ran: &pipe_testing::Ran) -> Vec<Arm> {
    let found = ran.pick(|e| if let EventKind::Arms { arms } = e { Some(arms.clone()) } else { None });
    assert_eq!(found.len(), 1, "one table per run");
    found.into_iter().next().unwrap()
}

#[test]
fn arms_are_told_whether_computed_or_found() {
    let lab = lab();
    let first = arms(&lab.run(PIPELINE));
    let shape: Vec<_> = first.iter().map(|a| (a.stage.as_str(), a.variants.join("+"), a.stages, a.reused)).collect();
    assert_eq!(
        shape,
        [
            ("base", "baseline+n=2".to_owned(), 1, 0),
            ("score", "baseline".to_owned(), 2, 0),
            ("score", "n=2".to_owned(), 2, 0)
        ]
    );
    assert!(first[0].factors.is_empty(), "the arms that share it differ in n");
    assert_eq!((first[0].kept, first[0].counts.len()), (None, 0));
    let last = &first[2];
    assert_eq!(last.factors["n"], 2);
    assert_eq!((last.scores[0].value, last.scores[0].standard_error), (Some(0.25), Some(0.5)));
    assert_eq!((last.scores[1].value, last.scores[1].standard_error), (None, None), "a column that is not there");
    assert_eq!(last.kept, Some(ArmYield { attempted: 4, kept: 2 }));
    assert_eq!((last.counts[0].name.as_str(), last.counts[0].count), ("tokens", 20), "`more` is not on its way");

    let second = lab.run(PIPELINE);
    assert_eq!(second.summary.ran, 0);
    let again = arms(&second);
    assert_eq!(again.iter().map(|a| a.reused).collect::<Vec<_>>(), [1, 2, 2]);
    let same = |a: &Arm| (a.variants.clone(), a.scores.clone(), a.kept, a.counts.clone(), a.seconds);
    assert_eq!(again.iter().map(same).collect::<Vec<_>>(), first.iter().map(same).collect::<Vec<_>>());
    let json = serde_json::to_value(&again[2]).unwrap();
    assert_eq!(json["yield"]["attempted"], 4);
    assert_eq!(serde_json::from_value::<Arm>(json).unwrap(), again[2]);
}

#[test]
fn pipelines_without_scores_say_nothing_of_arms() {
    let ran = lab().run("pipeline: p\nstages: { make: { kind: make, params: { n: 1 } } }");
    assert!(ran.pick(|e| matches!(e, EventKind::Arms { .. }).then_some(())).is_empty());
}

#[test]
fn damaged_scores_are_warned_of_and_do_not_fail_the_run() {
    let mut lab = lab();
    lab.run(PIPELINE);
    damage(&lab.object("score"));
    lab.reopen();
    let ran = lab.run(PIPELINE);
    let shown = arms(&ran);
    let warned = ran.warnings().iter().any(|w| w.contains("left out of the table of arms"));
    let repaired = shown.iter().any(|a| a.stage == "score" && a.variants == ["baseline"]);
    assert!(warned != repaired, "either computed again, or said to be missing: {:?}", ran.warnings());
}
