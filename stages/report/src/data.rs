//! What the page is made of: plain data, as the one who gathers it found it. Nothing here is computed again by the
//! page, and nothing is left out by it without saying so.

use serde::{Deserialize, Serialize};

use crate::stages::{Curve, Funnel, Sharing, Stage};

/// All that a page shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The pipeline's name; with the name of a trial behind it.
    pub title: String,
    /// What the pipeline asks (`about`).
    pub question: Option<String>,
    /// What came out, in sentences.
    pub answer: Vec<String>,
    /// Where, when and by what it was made; `None` where a stage makes the page, whose output depends on its inputs
    /// alone.
    pub made: Option<Made>,
    /// What failed, and what could not run because of it.
    pub failures: Vec<Failure>,
    /// One for every stage with scores, or set of them that is compared.
    pub comparisons: Vec<Comparison>,
    /// Losses of trainings.
    pub curves: Vec<Curve>,
    /// What became of rows.
    pub funnels: Vec<Funnel>,
    /// What variants share.
    pub sharing: Option<Sharing>,
    /// Every computation, once.
    pub stages: Vec<Stage>,
    /// Rows that samples refer to by their place here: training rows, then what they come from.
    pub rows: Vec<Row>,
}

/// Where a page comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Made {
    /// When, as RFC 3339 in UTC.
    pub time: String,
    /// The run's id.
    pub run: Option<String>,
    /// `succeeded`, `failed`, `cancelled`.
    pub outcome: Option<String>,
    /// Name, version and commit.
    pub software: String,
    /// What to type to get the same: one line of a shell.
    pub command: String,
    /// The machine, in words: system, architecture, cores.
    pub machine: String,
}

/// A stage that has no result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// The stage.
    pub stage: String,
    /// In these variants.
    pub variants: Vec<String>,
    /// `failed` or `skipped`.
    pub state: String,
    /// What was wrong, and what to do.
    pub message: String,
}

/// Arms beside a baseline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// The stage (or stages, joined by commas) that is compared.
    pub name: String,
    /// The name of the arm that others are held against.
    pub baseline: String,
    /// What is measured, the most important first.
    pub metrics: Vec<Metric>,
    /// The baseline first.
    pub arms: Vec<Arm>,
    /// Draws by name; empty where there is one without a name.
    pub draws: Vec<String>,
    /// What intervals cover: 0.95.
    pub confidence: f64,
    /// How many samples the items are, the most of a draw, where several belong together.
    pub clusters: Option<usize>,
    /// Answers to the two questions.
    pub effects: Vec<Effect>,
    /// Means of arms in draws.
    pub means: Vec<Mean>,
    /// Where the spread of single scores is from.
    pub variance: Vec<Variance>,
    /// How scores follow numeric factors.
    pub trends: Vec<Trend>,
    /// Main effects and interactions (`matrix`).
    pub contrasts: Vec<Contrast>,
    /// Scores by item, for the map of items and arms.
    pub items: Vec<Item>,
    /// Items that `items` leaves out, since the page has no room for them.
    pub items_left_out: usize,
    /// Items with their answers.
    pub samples: Vec<Sample>,
    /// The draw that the samples are from.
    pub samples_draw: Option<String>,
    /// Whether the key records of all stages below were looked at: without them nothing is said of what differs.
    pub records_read: bool,
    /// Parameters that differ between arms, from the key records of all stages below.
    pub differing: Vec<Differing>,
    /// What follows from the arms and is no parameter: `rows kept`, `tokens trained`, `seconds`; a row per arm, one
    /// cell per entry of `quantities`.
    pub quantities: Vec<String>,
    /// What could not be compared, and why; one entry for all items with the same reason.
    pub left_out: Vec<LeftOut>,
}

/// What is measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metric {
    /// The name for scripts: `token_f1`.
    pub name: String,
    /// The name for people: `F1`.
    pub heading: String,
    /// What exactly it is.
    pub signature: Option<String>,
    /// Whether less is better.
    pub lower_is_better: bool,
}

/// An arm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Factors and levels, as text.
    pub factors: Vec<(String, String)>,
    /// Cells under [`Comparison::quantities`]; `-` where there is none.
    pub quantities: Vec<String>,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Effect {
    /// The metric's name.
    pub metric: String,
    /// `draws` (is the choice better?) or `items` (are these models different?).
    pub question: String,
    /// `all`, or a task.
    pub task: String,
    /// By what the arm differs.
    pub factor: String,
    /// Its level.
    pub level: String,
    /// The arm.
    pub arm: String,
    /// For `items`: the draw.
    pub draw: Option<String>,
    /// Draws that both have.
    pub draws: usize,
    /// Items that both have.
    pub items: usize,
    /// Draws, or items, that have no partner.
    pub unpaired: usize,
    /// Means of what is paired.
    pub baseline_mean: Option<f64>,
    /// The arm's.
    pub mean: Option<f64>,
    /// The arm's less the baseline's.
    pub difference: Option<f64>,
    /// Ends of the interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// Not corrected.
    pub p: Option<f64>,
    /// After Holm.
    pub p_holm: Option<f64>,
    /// In words: `better`, `worse`, `same within ±0.01`, `not shown`, `not asked: one draw`.
    pub verdict: String,
    /// Whether it rests on fewer than five draws.
    pub weak: bool,
    /// The smallest difference that would have been seen.
    pub smallest: Option<f64>,
    /// Draws, or items, that would show the difference seen.
    pub needed: Option<usize>,
    /// The test.
    pub computed: Option<String>,
    /// For `items`: how many items got better.
    pub improved: Option<usize>,
    /// And worse.
    pub regressed: Option<usize>,
}

/// The mean of an arm in a draw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mean {
    /// The metric's name.
    pub metric: String,
    /// The arm.
    pub arm: String,
    /// The draw.
    pub draw: Option<String>,
    /// `all`, or a task.
    pub task: String,
    /// Items with a score.
    pub items: usize,
    /// Their mean.
    pub mean: Option<f64>,
}

/// Shares of the spread, which sum to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Variance {
    /// The metric's name.
    pub metric: String,
    /// Why there are no shares.
    pub not_asked: Option<String>,
    /// Of draws.
    pub draws: Option<f64>,
    /// Of items.
    pub items: Option<f64>,
    /// What is left: it differs from answer to answer.
    pub sampling: Option<f64>,
}

/// A slope.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trend {
    /// The metric's name.
    pub metric: String,
    /// The factor.
    pub factor: String,
    /// `doubling` or `unit`.
    pub per: String,
    /// Draws.
    pub draws: usize,
    /// The mean slope.
    pub slope: Option<f64>,
    /// Ends of the interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// Not corrected.
    pub p: Option<f64>,
    /// `rises`, `falls`, `not shown`, or why it was not asked.
    pub verdict: String,
}

/// A main effect or an interaction; fields as those of [`Effect`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contrast {
    /// The metric's name.
    pub metric: String,
    /// `draws` or `items`.
    pub question: String,
    /// `main effect` or `interaction`.
    pub contrast: String,
    /// The factor, or both.
    pub factor: String,
    /// The level, or both.
    pub level: String,
    /// What it is held against.
    pub baseline_level: String,
    /// For `items`: the draw.
    pub draw: Option<String>,
    /// Draws.
    pub draws: usize,
    /// Items.
    pub items: usize,
    /// What is seen.
    pub difference: Option<f64>,
    /// Ends of the interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// After Holm.
    pub p_holm: Option<f64>,
    /// In words.
    pub verdict: String,
}

/// An item's scores.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its task.
    pub task: Option<String>,
    /// By metric, then arm, in the order of [`Comparison::metrics`] and [`Comparison::arms`]: the mean over draws.
    pub scores: Vec<Vec<Option<f64>>>,
}

/// An item with what the arms answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Its id.
    pub id: String,
    /// Its task.
    pub task: Option<String>,
    /// The question.
    pub instruction: String,
    /// What it is about, where it is given apart.
    pub input: String,
    /// Right answers.
    pub references: Vec<String>,
    /// Passages that the models were shown with the question.
    pub passages: Vec<Passage>,
    /// One per arm that has the item.
    pub answers: Vec<Answer>,
}

/// What an arm answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// The arm's place in [`Comparison::arms`].
    pub arm: usize,
    /// What it said.
    pub prediction: String,
    /// Why it stopped: `stop`, `length`, `refused`.
    pub finish_reason: Option<String>,
    /// By metric.
    pub scores: Vec<Option<f64>>,
    /// `improved`, `regressed`, or nothing: against the baseline, by the first metric.
    pub flip: Option<String>,
    /// Rows that the arm was trained on and that resemble the question, by BM25 over instructions, best first: places
    /// in [`Report::rows`].
    pub resembling: Vec<usize>,
}

/// A passage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Passage {
    /// Its id.
    pub id: String,
    /// Its text, shortened.
    pub text: String,
}

/// A row that something else comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// `training row`, `seed`, `passage`, ...
    pub what: String,
    /// The stage that made it.
    pub stage: String,
    /// Its columns, texts shortened.
    pub fields: Vec<(String, String)>,
    /// What it comes from: how (`demonstration of the instruction`, `demonstration of the answer`, `passage`), and the
    /// place in [`Report::rows`].
    pub from: Vec<(String, usize)>,
}

/// A parameter that differs between arms.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Differing {
    /// The stage.
    pub stage: String,
    /// The parameter, or the source (a model, a template, a file).
    pub parameter: String,
    /// By arm, in the order of [`Comparison::arms`]; `-` where the arm has no such stage.
    pub values: Vec<String>,
    /// The factor that it follows; `None` where it differs without one: a confound.
    pub factor: Option<String>,
}

/// What could not be compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftOut {
    /// The metric; all of them, where there is none.
    pub metric: Option<String>,
    /// The arm.
    pub arm: String,
    /// The draw.
    pub draw: Option<String>,
    /// Why.
    pub why: String,
    /// How many items; 0 for a whole draw or arm.
    pub items: usize,
    /// The first of them.
    pub ids: Vec<String>,
}
