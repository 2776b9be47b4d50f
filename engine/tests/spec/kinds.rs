//! Stage kinds like the real ones, for tests, the benchmark and the fuzz target. They compute nothing.

use pipe_engine::{
    context::StageContext,
    kind::{Increment, InputPort, OutputPort, ParamProblem, PortType, Ports, Registry, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

fn output(name: &'static str, produces: PortType) -> OutputPort {
    OutputPort::new(name, produces)
}

macro_rules! kind {
    ($kind:ident, $name:literal, $params:ty, $ports:expr $(, check = $check:expr)?) => {
        pub(crate) struct $kind;

        impl StageKind for $kind {
            type Params = $params;
            const NAME: &'static str = $name;
            const VERSION: u32 = 1;
            const INCREMENT: Increment = Increment::Whole;

            fn ports(&self, params: &Self::Params) -> Ports {
                let ports: fn(&$params) -> Ports = $ports;
                ports(params)
            }
            $(fn check(&self, params: &Self::Params) -> Vec<ParamProblem> {
                let check: fn(&$params) -> Vec<ParamProblem> = $check;
                check(params)
            })?
            fn run(&self, _: &Self::Params, _: &mut StageContext) -> Result<(), StageError> {
                Err(StageError::user("this kind is for tests of the front half"))
            }
        }
    };
}

/// Rows from a file.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableParams {
    /// The file to read.
    #[schemars(extend("x-operational" = true, "x-path" = true))]
    pub path: String,
    /// How to read it; guessed from the name by default.
    #[serde(default)]
    pub format: Option<Format>,
}

/// File formats.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated.
    Csv,
    /// Columns.
    Parquet,
}

kind!(Table, "table", TableParams, |_| Ports { outputs: vec![output("rows", PortType::Table)], ..Ports::default() });

/// A subset of a pool.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleParams {
    /// How many rows to keep.
    #[schemars(range(min = 1))]
    pub count: u32,
    /// The seed.
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub quality: Quality,
    /// Keep the order of the pool.
    #[serde(default)]
    pub ordered: bool,
}

/// How good the rows are.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Quality {
    #[default]
    Expert,
    Noisy,
    Shuffled,
}

kind!(Sample, "sample", SampleParams, |_| Ports {
    inputs: vec![InputPort::new("pool", PortType::Table, true)],
    outputs: vec![output("rows", PortType::Table)],
    ..Ports::default()
});

/// New rows from a language model.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerateParams {
    /// The model's folder.
    pub model: String,
    /// How many rows to make.
    #[schemars(range(min = 1))]
    pub count: u64,
    /// Sampling temperature; 0 is greedy.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: f64,
    /// Nucleus sampling.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f64>,
    /// Stop at any of these.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Rows at once.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub batch_size: Option<u32>,
}

kind!(
    Generate,
    "generate",
    GenerateParams,
    |_| Ports {
        inputs: vec![
            InputPort::new("seeds", PortType::Table, true),
            InputPort::new("passages", PortType::Table, false)
        ],
        outputs: vec![output("rows", PortType::Table), output("yield", PortType::Table)],
        ..Ports::default()
    },
    check = |p| {
        let pointless = p.top_p.is_some() && p.temperature == 0.0;
        pointless
            .then(|| ParamProblem {
                pointer: "/top_p".to_owned(),
                message: "`top_p` does nothing without a `temperature`".to_owned(),
                help: Some("set `temperature`, or remove `top_p`".to_owned()),
            })
            .into_iter()
            .collect()
    }
);

/// An adapter from examples.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainParams {
    /// The model's folder.
    pub model: String,
    /// The adapter.
    #[serde(default)]
    pub lora: Lora,
    /// How long to train.
    pub budget: Budget,
    /// The step size.
    #[serde(default = "learning_rate")]
    #[schemars(range(min = 0.0))]
    pub learning_rate: f64,
}

fn learning_rate() -> f64 {
    1e-4
}

/// Low-rank adapters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Lora {
    /// The rank.
    #[schemars(range(min = 1, max = 1024))]
    pub r: u32,
    /// The scale.
    pub alpha: f64,
    /// Which layers.
    pub target_modules: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self { r: 8, alpha: 16.0, target_modules: vec!["q_proj".to_owned(), "v_proj".to_owned()] }
    }
}

/// When training ends.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "unit", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Budget {
    /// After so many passes.
    Epochs {
        /// How many.
        count: u32,
    },
    /// After so many steps.
    Steps {
        /// How many.
        count: u32,
        /// How often to evaluate.
        #[serde(default)]
        every: Option<u32>,
    },
}

kind!(Train, "train", TrainParams, |_| Ports {
    inputs: vec![InputPort::new("examples", PortType::Table, true)],
    outputs: vec![output("adapter", PortType::Files), output("log", PortType::Table)],
    ..Ports::default()
});

/// Scores.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvaluateParams {
    /// The model's folder, `tiny`, or one of the hub.
    #[schemars(extend("x-path" = ["tiny", "hf:"]))]
    pub model: String,
    /// Demonstrations.
    #[serde(default)]
    pub num_fewshot: u32,
}

kind!(Evaluate, "evaluate", EvaluateParams, |_| Ports {
    inputs: vec![InputPort::new("items", PortType::Table, true), InputPort::new("adapter", PortType::Files, false)],
    outputs: vec![output("scores", PortType::Table)],
    ..Ports::default()
});

/// Variants against the baseline.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompareParams {
    /// What to compare.
    #[serde(default)]
    pub metrics: Vec<String>,
}

kind!(Compare, "compare", CompareParams, |_| Ports {
    inputs: vec![InputPort::new("scores", PortType::Table, true)],
    outputs: vec![output("comparison", PortType::Table)],
    ..Ports::default()
});

/// A page about anything.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportParams {
    /// The title.
    #[serde(default)]
    pub title: String,
}

kind!(Report, "report", ReportParams, |_| Ports {
    open_inputs: true,
    outputs: vec![output("page", PortType::Files)],
    ..Ports::default()
});

/// Any program.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptParams {
    /// The program and its arguments.
    #[schemars(extend("x-words" = true, "x-folder" = true, "x-path-of" = "sources"))]
    pub argv: Vec<String>,
    /// What it reads.
    #[serde(default)]
    #[schemars(extend("x-path" = true))]
    pub sources: Vec<String>,
    /// Changes with the program.
    #[serde(default)]
    pub version: String,
}

kind!(Script, "script", ScriptParams, |_| Ports {
    open_inputs: true,
    outputs: vec![output("rows", PortType::Table)],
    ..Ports::default()
});

/// All of them.
pub(crate) fn registry() -> Registry {
    Registry::default()
        .with(Table)
        .with(Sample)
        .with(Generate)
        .with(Train)
        .with(Evaluate)
        .with(Compare)
        .with(Report)
        .with(Script)
}
