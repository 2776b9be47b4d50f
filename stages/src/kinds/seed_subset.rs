//! `seed_subset`: nested subsets of the seed instructions, of declared quality.

mod corrupt;
mod order;

use arrow::array::RecordBatch;
use pipe_engine::{
    context::StageContext,
    kind::{Column, InputPort, OutputPort, ParamProblem, PortType, Ports, Role, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tabular::TabularError;

/// Draws the first `count` rows of a fixed random order, so that 20 ⊂ 40 ⊂ 80 ⊂ 160 for the same `seed`, and the
/// smaller subset is the beginning of the larger one.
///
/// `quality` says what the seeds are worth: as they are (`expert`), with words dropped, doubled, moved and misspelt
/// (`noisy`), with the answers of other rows (`shuffled`), or from another domain (`off_domain`). Corruption is nested
/// as well: a row is corrupted in the same way whatever `count` is, and of the first n rows `fraction` · n are
/// corrupted, to the nearest whole. The output `corruptions` lists what was done to which row.
///
/// The order is that of blake3(seed, row): a row's place does not depend on where it stands in the input. With
/// `stratify_by` every task is represented in every subset according to `allocation`; which rows are corrupted is
/// decided by their places alone, so that a task's own share may differ.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeedSubsetParams {
    /// How many rows.
    #[schemars(range(min = 1))]
    pub count: usize,
    /// Which of the many orders.
    #[serde(default)]
    pub seed: u64,
    /// What the seeds are worth.
    #[serde(default)]
    pub quality: Quality,
    /// The share of rows that are not `expert`.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fraction: f64,
    /// The columns that `noisy` and `shuffled` corrupt.
    #[serde(default = "output")]
    pub columns: Vec<String>,
    /// For `noisy`: the share of words that are changed; at least one in every corrupted text.
    #[serde(default = "third")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub noise_rate: f64,
    /// The column that names a row's task.
    #[serde(default)]
    pub stratify_by: Option<String>,
    /// How many rows each task gets.
    #[serde(default)]
    pub allocation: Allocation,
    /// The column that identifies rows in `corruptions`; `id` where there is one.
    #[serde(default)]
    pub id_column: Option<String>,
}

fn one() -> f64 {
    1.0
}

fn third() -> f64 {
    0.3
}

fn output() -> Vec<String> {
    vec!["output".into()]
}

/// What the seeds are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// As they are.
    #[default]
    Expert,
    /// Words of `columns` are dropped, doubled, moved and misspelt.
    Noisy,
    /// `columns` are those of another row of the pool.
    Shuffled,
    /// Rows of the input `off_domain` in their place.
    OffDomain,
}

/// How many rows each task gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Allocation {
    /// As many as its share of the pool.
    #[default]
    Proportional,
    /// The same number, as long as there are that many.
    Balanced,
}

/// The kind.
pub struct SeedSubset;

impl StageKind for SeedSubset {
    type Params = SeedSubsetParams;
    const NAME: &'static str = "seed_subset";
    // 1: the first.
    // 2: corruption goes by a row's place in the order, so that with strata, too, every prefix has its share.
    // 3: in scripts without spaces between words every character is a word of noise.
    const VERSION: u32 = 3;
    const RECIPE_VERSION: u32 = 2;

    fn ports(&self, params: &SeedSubsetParams) -> Ports {
        let foreign = params.quality == Quality::OffDomain;
        let task = params.stratify_by.iter().map(|name| Column::text(name.clone(), "The strata."));
        let corrupts = matches!(params.quality, Quality::Noisy | Quality::Shuffled);
        let corrupted = params.columns.iter().filter(|_| corrupts);
        let corrupted = corrupted.map(|name| Column::text(name.clone(), "What is corrupted."));
        Ports {
            inputs: vec![
                InputPort::new("pool", PortType::Table, true)
                    .role(Role::Seeds)
                    .about("The rows that are drawn from, with any columns.")
                    .needs(task.chain(corrupted)),
                InputPort::new("off_domain", PortType::Table, foreign)
                    .about(
                        "For `quality: off_domain`: the rows that take the place of the pool's, with the same columns.",
                    )
                    .with_help(
                        "`quality: off_domain` takes its rows: connect a table of another domain, \
                         `inputs: { pool: ..., off_domain: ... }`",
                    ),
            ],
            open_inputs: false,
            outputs: vec![
                OutputPort::table("rows").about("The subset, in the order of the draw.").passes("pool"),
                OutputPort::table("corruptions").about("What was done to which row.").gives([
                    Column::number("position", "The row's place in the subset, from 0."),
                    Column::text("id", "What the row is known by, where it has an id."),
                    Column::text("corruption", "What was done."),
                    Column::text("column", "To which column."),
                    Column::text("before", "The value in the pool."),
                    Column::text("after", "The value in the subset."),
                    Column::text("source_id", "The row that the value is from, where it is another's."),
                ]),
            ],
        }
    }

    fn check(&self, params: &SeedSubsetParams) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: &str, message: &str, help: &str| {
            problems.push(ParamProblem { pointer: pointer.into(), message: message.into(), help: Some(help.into()) });
        };
        if params.columns.is_empty() && matches!(params.quality, Quality::Noisy | Quality::Shuffled) {
            problem("/columns", "there is nothing to corrupt", "name the columns of the answers");
        }
        problems
    }

    fn run(&self, params: &SeedSubsetParams, cx: &mut StageContext) -> Result<(), StageError> {
        let pool = cx.table("pool")?.read()?;
        let off_domain = match params.quality {
            Quality::OffDomain => Some(cx.table("off_domain")?.read()?),
            _ => None,
        };
        if off_domain.as_ref() == Some(&pool) {
            return Err(StageError::user_help(
                "the inputs `pool` and `off_domain` are the same rows",
                "connect a table of another domain to `off_domain`",
            ));
        }
        if params.allocation == Allocation::Balanced && params.stratify_by.is_none() {
            // No mistake of the file: `stratify_by` may be what is ablated.
            cx.warn(
                "`allocation: balanced` changes nothing without `stratify_by`, which names the column of the tasks",
            );
        }
        cx.check_cancelled()?;
        let subset = draw(params, &pool, off_domain.as_ref())?;
        cx.write_batches("rows", subset.rows.schema_ref(), [&subset.rows])?;
        cx.write_batches("corruptions", subset.corruptions.schema_ref(), [&subset.corruptions])?;
        cx.counter("rows_corrupted", subset.corrupted);
        Ok(())
    }
}

/// A subset and what was done to it.
struct Subset {
    rows: RecordBatch,
    corruptions: RecordBatch,
    corrupted: u64,
}

fn draw(params: &SeedSubsetParams, pool: &RecordBatch, off_domain: Option<&RecordBatch>) -> Result<Subset, StageError> {
    if params.count > pool.num_rows() {
        return Err(StageError::user_help(
            format!("{} rows are asked for, and the input `pool` has {}", params.count, pool.num_rows()),
            "ask for fewer, or add rows to the pool",
        ));
    }
    let strata = params.stratify_by.as_ref().map(|name| column(pool, "pool", name)).transpose()?;
    let mut drawn = order::order(pool, params.seed, strata, params.allocation, params.fraction)?;
    drawn.truncate(params.count);
    corrupt::apply(params, pool, off_domain, &drawn)
}

/// The index of a column, or an error that names those there are.
fn column(table: &RecordBatch, port: &str, name: &str) -> Result<usize, StageError> {
    table.schema_ref().index_of(name).map_err(|_| {
        let known: Vec<String> = table.schema_ref().fields().iter().map(|f| f.name().clone()).collect();
        TabularError::MissingColumn { path: format!("the input `{port}`").into(), column: name.to_owned(), known }
            .into()
    })
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { pool: embedded_world.seeds }, params: { count: 6, quality: noisy, fraction: 0.5 }",
    version: 3,
    outputs: &[
        ("corruptions", "60671d2aab07b336323fbd3535ebff7ccad53017c5797032f817b372c0323f5c"),
        ("rows", "ec11a653fc03463ed8cf33073d6e39a1b35b9e7cf489ee0581a8609a10960bb7"),
    ],
};

#[cfg(test)]
mod tests;
