//! The steps that a stage of the kind can take.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes a table of another one, step by step: rows filtered, columns computed, tables joined.
///
/// `steps` is a list that is read from the top: every step takes the rows and columns that the one before it left.
/// Columns that no step changes keep their types and values; what is made depends on the rows alone. An unknown column
/// is told before the run, as far as the columns are known then.
///
/// Expressions are minijinja's, as in templates, over the columns of one row: `output|length > 20`, `task in ['qa',
/// 'summary']`, `instruction.lower().startswith('what')`, `input ~ ' ' ~ instruction`, `messages[0].content`,
/// `score is none`. Besides what minijinja has there are `row` (for names that are no identifiers: `row['my
/// column']`), `row_index` (from 0), and the filters `wordcount` and `matches('regular expression')`. A text in an
/// expression stands in quotes of its own. An expression that fails on a row, as `<` does between a text or null and a
/// number, ends the stage, and says on which.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectParams {
    /// What is done, in this order.
    #[schemars(length(min = 1))]
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Keep the rows for which an expression is true.
    Filter(String),
    /// Keep these columns, in this order.
    Keep(Vec<String>),
    /// Leave these columns out.
    Drop(Vec<String>),
    /// Give columns new names: `old: new`.
    Rename(BTreeMap<String, String>),
    /// Add columns, or replace them: `name: expression`, or a number, `true` or `false` for all rows. All expressions
    /// of one step see the row as it was before it. New columns stand behind the others, by name.
    Set(BTreeMap<String, Computed>),
    /// Leave out rows in which one of these columns is null, a blank text or an empty list.
    DropEmpty(Vec<String>),
    /// Leave out rows that agree with an earlier one in these columns.
    Distinct(Vec<String>),
    /// Draw rows, in random order: those of a smaller sample are the first of a larger one with the same seed.
    Sample(Sample),
    /// Sort by these columns, the first one first: `score`, or `{ score: desc }`. Rows that agree keep their order;
    /// nulls stand at the end; texts are compared by their characters' codes.
    Sort(Vec<SortBy>),
    /// Keep the first rows, this many at most.
    Limit(u64),
    /// Add the columns of the row in the input `other` that has the same key.
    Join(Join),
    /// Append the rows of the input `other`.
    Concatenate(Concatenate),
}

impl Step {
    /// As it is called in a pipeline file.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Filter(_) => "filter",
            Self::Keep(_) => "keep",
            Self::Drop(_) => "drop",
            Self::Rename(_) => "rename",
            Self::Set(_) => "set",
            Self::DropEmpty(_) => "drop_empty",
            Self::Distinct(_) => "distinct",
            Self::Sample(_) => "sample",
            Self::Sort(_) => "sort",
            Self::Limit(_) => "limit",
            Self::Join(_) => "join",
            Self::Concatenate(_) => "concatenate",
        }
    }

    /// Whether it reads the second table.
    pub(super) fn reads_other(&self) -> bool {
        matches!(self, Self::Join(_) | Self::Concatenate(_))
    }
}

/// What a column is set to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Computed {
    /// That for all rows.
    Flag(bool),
    /// That for all rows.
    Whole(i64),
    /// That for all rows.
    Number(f64),
    /// What an expression gives.
    Expression(String),
}

/// How many rows are drawn.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// So many. Or `fraction`.
    #[serde(default)]
    pub rows: Option<usize>,
    /// That share of them, to the nearest whole.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fraction: Option<f64>,
    /// Which of the many draws.
    #[serde(default)]
    pub seed: u64,
}

/// A column to sort by.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SortBy {
    /// From the smallest on.
    Column(String),
    /// With its direction; one column.
    Directed(BTreeMap<String, Direction>),
}

impl SortBy {
    /// The column and its direction; `None` where there is not one.
    pub(super) fn parts(&self) -> Option<(&str, Direction)> {
        match self {
            Self::Column(name) => Some((name, Direction::Asc)),
            Self::Directed(one) if one.len() == 1 => one.iter().next().map(|(name, direction)| (&**name, *direction)),
            Self::Directed(_) => None,
        }
    }
}

/// Which rows come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The smallest.
    Asc,
    /// The largest.
    Desc,
}

/// How two tables are joined.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The key: a column that both have, several, or `column here: column of other`. Null is no key.
    pub on: Keys,
    /// What becomes of rows.
    #[serde(default)]
    pub how: How,
    /// The columns of `other` that are added; all but its key when left out.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// Whether a key may stand in several rows of `other`: a row is then repeated for each. An error if not.
    #[serde(default)]
    pub many: bool,
}

/// The columns by which rows belong together.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Keys {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
    /// Called otherwise there.
    Pairs(BTreeMap<String, String>),
}

impl Keys {
    /// The columns here and there.
    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        match self {
            Self::One(name) => vec![(name, name)],
            Self::Many(names) => names.iter().map(|name| (&**name, &**name)).collect(),
            Self::Pairs(pairs) => pairs.iter().map(|(here, there)| (&**here, &**there)).collect(),
        }
    }
}

/// What becomes of rows in a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Only those with a partner are kept.
    #[default]
    Inner,
    /// All are kept; the columns of a missing partner are null.
    Left,
    /// Only those without a partner are kept, as they are: what `other` does not have.
    Anti,
}

/// What becomes of columns that one of two tables lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Concatenate {
    /// There must be none.
    Strict,
    /// They are null in the rows of that table.
    Fill,
}
