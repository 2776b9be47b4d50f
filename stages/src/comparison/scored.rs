//! Tables of scored items, as they come in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Schema, SchemaRef},
    util::display::{ArrayFormatter, FormatOptions},
};
use pipe_cache::type_name;
use pipe_engine::{
    context::{Draws, level},
    diag::one_of,
    kind::StageError,
};

use super::{
    Content, Input, Piece,
    arm::{Arm, Draw},
    params::CompareParams,
};

/// Texts that many rows have, as the name of their task, are held once.
fn shared(texts: Vec<Option<Arc<str>>>) -> Vec<Option<Arc<str>>> {
    let mut known: HashSet<Arc<str>> = HashSet::new();
    let mut one = |text: Arc<str>| {
        if let Some(known) = known.get(&text) {
            return Arc::clone(known);
        }
        known.insert(Arc::clone(&text));
        text
    };
    texts.into_iter().map(|text| text.map(&mut one)).collect()
}

/// One input.
pub(super) struct Table {
    input: String,
    pub leads: bool,
    /// Without the columns that gathering added.
    schema: SchemaRef,
    /// In order. One that has no rows is there, too.
    variants: Vec<Piece>,
}

/// The columns of scores, in the order asked for, or that of the first input.
pub(super) fn metrics(params: &CompareParams, tables: &[Table]) -> Result<Vec<String>, StageError> {
    // What has no result has no columns either.
    let tables: Vec<&Table> = tables.iter().filter(|table| !table.schema.fields().is_empty()).collect();
    let of = |table: &Table, name: &str, is: fn(&DataType) -> bool| {
        table.schema.field_with_name(name).is_ok_and(|field| is(field.data_type()))
    };
    let is_number = |of: &DataType| of.is_numeric() || of == &DataType::Boolean;
    for name in &params.metrics {
        if let Some(table) = tables.iter().find(|table| !of(table, name, is_number)) {
            let fields = table.schema.fields().iter().filter(|field| is_number(field.data_type()));
            return Err(StageError::User {
                message: format!("the input `{}` has no column of numbers `{name}`", table.input),
                help: one_of(name, "columns of numbers are", fields.map(|field| field.name().as_str())),
            });
        }
    }
    if !params.metrics.is_empty() {
        return Ok(params.metrics.clone());
    }
    let Some(&first) = tables.first() else { return Ok(Vec::new()) };
    let all = first.schema.fields().iter().map(|field| field.name().clone());
    let found: Vec<String> =
        all.filter(|name| tables.iter().all(|table| of(table, name, DataType::is_floating))).collect();
    if found.is_empty() {
        let help = match passed_over(params, &tables) {
            Some(told) => told,
            None => "name columns under `metrics`; `evaluate` gives them in its output `predictions`".into(),
        };
        return Err(StageError::user_help("the inputs have no column of broken numbers in common", help));
    }
    for (parameter, names) in [
        ("margins", params.margins.keys().collect::<Vec<_>>()),
        ("lower_is_better", params.lower_is_better.iter().collect()),
    ] {
        if let Some(name) = names.into_iter().find(|name| !found.contains(name)) {
            return Err(StageError::User {
                message: format!("`{parameter}`: `{name}` is none of the metrics"),
                help: one_of(name, "the metrics are", found.iter().map(String::as_str)),
            });
        }
    }
    Ok(found)
}

/// Columns that are broken numbers in one input and something else in another, so that nobody takes them for scores
/// unless they are named. Nothing but nulls is nothing else.
pub(super) fn passed_over(params: &CompareParams, tables: &[&Table]) -> Option<String> {
    if !params.metrics.is_empty() {
        return None;
    }
    let tables = tables.iter().filter(|table| !table.schema.fields().is_empty());
    let told = |name: &String| {
        let types = tables.clone().filter_map(|table| {
            let field = table.schema.field_with_name(name).ok()?;
            (field.data_type() != &DataType::Null).then_some((&table.input, field.data_type()))
        });
        let (broken, other): (Vec<_>, Vec<_>) = types.partition(|(_, of)| of.is_floating());
        let ((one, _), (another, of)) = (broken.first()?, other.first()?);
        let numbers = of.is_numeric() || **of == DataType::Boolean;
        let what =
            if numbers { "name it under `metrics` to compare it" } else { "declare it as `float` where it is read" };
        let of = type_name(of);
        Some(format!("`{name}` has broken numbers in the input `{one}` and {of} in `{another}`: {what}"))
    };
    let mut names: Vec<&String> = tables.clone().flat_map(|table| table.schema.fields()).map(|f| f.name()).collect();
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(*name));
    let told: Vec<String> = names.into_iter().filter_map(told).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

impl Table {
    pub(super) fn new(input: Input) -> Self {
        let schema = input.schema().unwrap_or_else(|| Arc::new(Schema::empty()));
        Self { input: input.name, leads: input.leads, schema, variants: input.pieces }
    }

    /// The arms of this input, by the names that they have beside those of other inputs.
    pub(super) fn arms(
        &self,
        params: &CompareParams,
        metrics: &[String],
        several: bool,
    ) -> Result<Vec<Arm>, StageError> {
        let mut arms: Vec<Arm> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let draws = Draws::of(self.variants.iter().filter_map(|variant| variant.from.as_ref()));
        for variant in &self.variants {
            let draw = variant.from.as_ref().and_then(|from| draws.name(from)).unwrap_or_default();
            let read = variant.table.as_ref().map(|table| self.draw(params, metrics, variant, table)).transpose()?;
            let place = *places.entry(variant.arm()).or_insert_with(|| {
                let of = variant.from.iter().flat_map(|from| &from.factors);
                let of = of.filter(|(name, value)| !value.is_null() && !draws.are_by(name));
                let factors = of.map(|(name, value)| (name.clone(), level(value))).collect();
                let (name, input) = (self.name(variant.arm(), several), self.input.clone());
                arms.push(Arm { name, input, factors, draws: BTreeMap::new(), missing: BTreeSet::new() });
                arms.len() - 1
            });
            match read {
                None => {
                    arms[place].missing.insert(draw);
                }
                // A draw without an item is none: it is listed as missing.
                Some(read) if read.ids.is_empty() => {}
                Some(read) => {
                    arms[place].draws.insert(draw, Arc::new(read));
                }
            }
        }
        Ok(arms)
    }

    fn name(&self, arm: &str, several: bool) -> String {
        match (several && !self.leads, arm) {
            (false, "") | (true, "" | "baseline") => self.input.clone(),
            (false, arm) => arm.to_owned(),
            (true, arm) => format!("{}@{arm}", self.input),
        }
    }

    fn draw(
        &self,
        params: &CompareParams,
        metrics: &[String],
        variant: &Piece,
        table: &Content,
    ) -> Result<Draw, StageError> {
        let failed = |e| StageError::other(format!("read the input `{}`", self.input), e);
        let rows = &table.rows;
        let name = variant.from.as_ref().map(|from| &from.variant);
        let whose = match name {
            Some(name) => format!("the input `{}` in the variant `{name}`", self.input),
            None => format!("the input `{}`", self.input),
        };
        let text = |name: &str| -> Result<Vec<Option<Arc<str>>>, StageError> {
            let column = rows.column_by_name(name).ok_or_else(|| StageError::User {
                message: format!("the input `{}` has no column `{name}`", self.input),
                help: one_of(name, "the columns are", self.schema.fields().iter().map(|f| f.name().as_str())),
            })?;
            let options = FormatOptions::default();
            let shown = ArrayFormatter::try_new(column, &options).map_err(failed)?;
            Ok((0..column.len()).map(|row| column.is_valid(row).then(|| shown.value(row).to_string().into())).collect())
        };
        let (count, item) = (rows.num_rows(), &params.item);
        let (mut ids, mut places) = (Vec::with_capacity(count), HashMap::with_capacity(count));
        for (place, id) in text(item)?.into_iter().enumerate() {
            let id = id.ok_or_else(|| {
                let message = format!("row {} of {whose} has no `{item}`", place + 1);
                StageError::user_help(message, "items are paired by it: give every row one")
            })?;
            if let Some(first) = places.insert(id.clone(), place) {
                let message = format!("rows {} and {} of {whose} have the same `{item}`, `{id}`", first + 1, place + 1);
                return Err(StageError::user_help(message, "items are paired by it: it must tell them apart"));
            }
            ids.push(id);
        }
        let tasks = if self.schema.field_with_name("task").is_ok() { shared(text("task")?) } else { vec![None; count] };
        let mut of_task: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (place, task) in tasks.iter().enumerate() {
            if let Some(task) = task {
                of_task.entry(Arc::clone(task)).or_default().push(place);
            }
        }
        let clusters = params.cluster.as_ref().map_or_else(|| Ok(vec![None; count]), |name| text(name).map(shared))?;
        let mut scores = Vec::with_capacity(metrics.len());
        for name in metrics {
            let column =
                rows.column_by_name(name).ok_or_else(|| StageError::contract("a metric without its column"))?;
            let numbers = cast(column, &DataType::Float64).map_err(failed)?;
            scores.push(numbers.as_primitive::<Float64Type>().iter().collect());
        }
        Ok(Draw { places, ids, tasks, of_task, clusters, scores, content: table.digest, variant: name.cloned() })
    }
}
