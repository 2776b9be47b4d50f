//! Arms and their draws, read from tables of scored items.

use std::collections::{BTreeMap, HashMap};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
    util::display::{ArrayFormatter, FormatOptions},
};
use pipe_cache::{Digest, row_digests};
use pipe_engine::{context::StageContext, diag::one_of, kind::StageError};

use super::params::CompareParams;

/// An arm: one input, at one combination of factors.
#[derive(Debug, Clone)]
pub(super) struct Arm {
    pub name: String,
    pub input: String,
    /// Factors that arms differ by, with their levels as text.
    pub factors: BTreeMap<String, String>,
    /// By replicate; one without a name where there are none.
    pub draws: BTreeMap<String, Draw>,
}

/// The scored items of one variant.
#[derive(Debug, Clone)]
pub(super) struct Draw {
    /// Where each item stands.
    pub places: HashMap<String, usize>,
    pub ids: Vec<String>,
    pub tasks: Vec<Option<String>>,
    pub clusters: Vec<Option<String>>,
    /// By metric, in the order of the metrics.
    pub scores: Vec<Vec<Option<f64>>>,
    /// What the rows hold, to tell results that several variants share.
    content: Vec<Digest>,
}

/// All arms, the baseline first.
#[derive(Debug)]
pub(super) struct Arms {
    pub metrics: Vec<String>,
    pub arms: Vec<Arm>,
}

/// One input, with the columns that gathering added told from its own.
struct Table {
    input: String,
    own: RecordBatch,
    /// `variant`, `arm` and the factors.
    gathered: Option<RecordBatch>,
}

impl Arms {
    /// Reads all inputs.
    pub(super) fn read(params: &CompareParams, cx: &StageContext) -> Result<Self, StageError> {
        let inputs: Vec<String> = cx.inputs().map(|(name, _)| name.to_owned()).collect();
        let mut tables = Vec::with_capacity(inputs.len());
        for input in inputs {
            let rows = cx.table(&input)?.read()?;
            tables.push(Table::new(input, rows)?);
        }
        let metrics = metrics(params, &tables)?;
        let several = tables.len() > 1;
        let mut arms = Vec::new();
        for table in &tables {
            let found = table.arms(params, &metrics)?;
            arms.extend(found.into_iter().map(|arm| Arm {
                name: match (several, arm.name.as_str()) {
                    (false, _) => arm.name,
                    (true, "" | "baseline") => arm.input.clone(),
                    (true, name) => format!("{}@{name}", arm.input),
                },
                ..arm
            }));
        }
        let names: Vec<String> = arms.iter().map(|arm| arm.name.clone()).collect();
        let first = match &params.baseline {
            None => 0,
            Some(wanted) => names.iter().position(|name| name == wanted).ok_or_else(|| StageError::User {
                message: format!("there is no arm `{wanted}` to be the baseline"),
                help: one_of(wanted, "the arms are", names.iter().map(String::as_str)),
            })?,
        };
        if arms.len() < 2 {
            return Err(StageError::user_help(
                format!("there is {} to compare", if arms.is_empty() { "no arm" } else { "one arm" }),
                "gather a stage over its variants (`predictions: scores[*]`), or connect several stages",
            ));
        }
        let baseline = arms.remove(first);
        arms.insert(0, baseline);
        Ok(Self { metrics, arms })
    }
}

/// The columns of scores, in the order asked for, or that of the first input.
fn metrics(params: &CompareParams, tables: &[Table]) -> Result<Vec<String>, StageError> {
    let is_score = |table: &Table, name: &str| {
        table
            .own
            .column_by_name(name)
            .is_some_and(|column| column.data_type().is_numeric() || column.data_type() == &DataType::Boolean)
    };
    for name in &params.metrics {
        if let Some(table) = tables.iter().find(|table| !is_score(table, name)) {
            let schema = table.own.schema();
            let numbers = schema.fields().iter().filter(|f| is_score(table, f.name())).map(|f| f.name().as_str());
            return Err(StageError::User {
                message: format!("the input `{}` has no column of numbers `{name}`", table.input),
                help: one_of(name, "columns of numbers are", numbers),
            });
        }
    }
    if !params.metrics.is_empty() {
        return Ok(params.metrics.clone());
    }
    let Some(first) = tables.first() else { return Ok(Vec::new()) };
    let is_fraction = |table: &Table, name: &str| {
        table.own.column_by_name(name).is_some_and(|column| column.data_type().is_floating())
    };
    let schema = first.own.schema();
    let all = schema.fields().iter().map(|field| field.name().clone());
    let found: Vec<String> = all.filter(|name| tables.iter().all(|table| is_fraction(table, name))).collect();
    if found.is_empty() {
        let help = "name columns under `metrics`; `evaluate` gives them in its output `predictions`";
        return Err(StageError::user_help("the inputs have no column of broken numbers in common", help));
    }
    Ok(found)
}

impl Table {
    fn new(input: String, rows: RecordBatch) -> Result<Self, StageError> {
        let schema = rows.schema();
        let own = (0..schema.fields().len().saturating_sub(1))
            .find(|&i| schema.field(i).name() == "variant" && schema.field(i + 1).name() == "arm");
        let part =
            |columns: Vec<usize>| rows.project(&columns).map_err(|e| StageError::other("tell factors from columns", e));
        let end = schema.fields().len();
        Ok(Self {
            own: part((0..own.unwrap_or(end)).collect())?,
            gathered: own.map(|first| part((first..end).collect())).transpose()?,
            input,
        })
    }

    /// Variants in order of appearance: their names, arms, and first and last row.
    fn variants(&self) -> Result<Vec<Variant>, StageError> {
        let Some(gathered) = &self.gathered else {
            let factors = BTreeMap::new();
            return Ok(vec![Variant { arm: String::new(), factors, rows: (0..self.own.num_rows()).collect() }]);
        };
        let text = cells(gathered)?;
        let mut found: Vec<(String, Variant)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for row in 0..gathered.num_rows() {
            let name = &text[0].1[row];
            let place = *places.entry(name.clone()).or_insert_with(|| {
                let factors = text[2..].iter().map(|(factor, levels)| (factor.clone(), levels[row].clone())).collect();
                found.push((name.clone(), Variant { arm: text[1].1[row].clone(), factors, rows: Vec::new() }));
                found.len() - 1
            });
            found[place].1.rows.push(row);
        }
        Ok(found.into_iter().map(|(_, variant)| variant).collect())
    }

    fn arms(&self, params: &CompareParams, metrics: &[String]) -> Result<Vec<Arm>, StageError> {
        let variants = self.variants()?;
        // What varies within an arm tells its draws apart.
        let mut by_arm: BTreeMap<&str, &Variant> = BTreeMap::new();
        let mut replicates: Vec<&String> = Vec::new();
        for variant in &variants {
            let first = *by_arm.entry(&variant.arm).or_insert(variant);
            let other = |(name, level): &(&String, &String)| first.factors.get(*name) != Some(*level);
            replicates.extend(variant.factors.iter().filter(other).map(|(name, _)| name));
        }
        replicates.sort();
        replicates.dedup();
        let mut arms: Vec<Arm> = Vec::new();
        for variant in &variants {
            let draw = replicates.iter().filter_map(|name| Some(format!("{name}={}", variant.factors.get(*name)?)));
            let draw = draw.collect::<Vec<_>>().join("/");
            let read = self.draw(params, metrics, &variant.rows)?;
            let place = arms.iter().position(|arm| arm.name == variant.arm).unwrap_or_else(|| {
                let mut factors = variant.factors.clone();
                factors.retain(|name, _| !replicates.contains(&name));
                let (name, input) = (variant.arm.clone(), self.input.clone());
                arms.push(Arm { name, input, factors, draws: BTreeMap::new() });
                arms.len() - 1
            });
            arms[place].draws.insert(draw, read);
        }
        // A stage that does not depend on a factor has one result for all its levels: that is one arm.
        let mut distinct: Vec<Arm> = Vec::new();
        for arm in arms {
            let same = |other: &Arm| {
                other.draws.len() == arm.draws.len()
                    && other.draws.iter().zip(&arm.draws).all(|(a, b)| a.0 == b.0 && a.1.content == b.1.content)
            };
            if !distinct.iter().any(same) {
                distinct.push(arm);
            }
        }
        Ok(distinct)
    }

    fn draw(&self, params: &CompareParams, metrics: &[String], rows: &[usize]) -> Result<Draw, StageError> {
        let failed = |e| StageError::other(format!("read the input `{}`", self.input), e);
        let picked: arrow::array::UInt32Array = rows.iter().map(|&row| row as u32).collect::<Vec<_>>().into();
        let own = arrow::compute::take_record_batch(&self.own, &picked).map_err(failed)?;
        let text = |name: &str| -> Result<Vec<Option<String>>, StageError> {
            let column = own.column_by_name(name).ok_or_else(|| {
                let schema = own.schema();
                StageError::User {
                    message: format!("the input `{}` has no column `{name}`", self.input),
                    help: one_of(name, "the columns are", schema.fields().iter().map(|f| f.name().as_str())),
                }
            })?;
            let options = FormatOptions::default();
            let shown = ArrayFormatter::try_new(column, &options).map_err(failed)?;
            Ok((0..column.len()).map(|row| column.is_valid(row).then(|| shown.value(row).to_string())).collect())
        };
        let mut ids = Vec::with_capacity(rows.len());
        let mut places = HashMap::with_capacity(rows.len());
        for (place, id) in text(&params.item)?.into_iter().enumerate() {
            let id = id.ok_or_else(|| {
                let message = format!("row {} of the input `{}` has no `{}`", rows[place] + 1, self.input, params.item);
                StageError::user_help(message, "items are paired by it: give every row one")
            })?;
            if let Some(first) = places.insert(id.clone(), place) {
                let message = format!(
                    "rows {} and {} of the input `{}` have the same `{}`, `{id}`",
                    rows[first] + 1,
                    rows[place] + 1,
                    self.input,
                    params.item
                );
                return Err(StageError::user_help(message, "items are paired by it: it must tell them apart"));
            }
            ids.push(id);
        }
        let tasks = if own.column_by_name("task").is_some() { text("task")? } else { vec![None; rows.len()] };
        let clusters = params.cluster.as_ref().map_or_else(|| Ok(vec![None; rows.len()]), |name| text(name))?;
        let mut scores = Vec::with_capacity(metrics.len());
        for name in metrics {
            let column = own.column_by_name(name).ok_or_else(|| StageError::contract("a metric without its column"))?;
            let numbers = cast(column, &DataType::Float64).map_err(failed)?;
            scores.push(numbers.as_primitive::<Float64Type>().iter().collect());
        }
        Ok(Draw { places, ids, tasks, clusters, scores, content: row_digests(&own)? })
    }
}

/// A variant of a gathered table, and its rows.
struct Variant {
    arm: String,
    factors: BTreeMap<String, String>,
    rows: Vec<usize>,
}

/// Names and texts of all columns; what is missing is empty.
fn cells(batch: &RecordBatch) -> Result<Vec<(String, Vec<String>)>, StageError> {
    let options = FormatOptions::default();
    let schema = batch.schema();
    (schema.fields().iter().zip(batch.columns()))
        .map(|(field, column)| {
            let shown = ArrayFormatter::try_new(column, &options).map_err(|e| StageError::other("read factors", e))?;
            Ok((field.name().clone(), (0..column.len()).map(|row| shown.value(row).to_string()).collect()))
        })
        .collect()
}
