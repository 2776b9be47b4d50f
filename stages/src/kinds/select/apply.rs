//! Takes steps: a table in, a table out.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array},
    compute::{SortOptions, concat, filter_record_batch, take_record_batch},
    datatypes::{DataType, Field, Schema},
    row::{RowConverter, SortField},
};
use pipe_cache::{Digest, row_digests};
use pipe_engine::{context::CancelToken, kind::StageError};
use pipe_random::RowRandom;

use super::{
    columns::{after_step, names},
    computed, expression, join,
    params::{Computed, Direction, Sample, SelectParams, SortBy, Step},
    types::{as_type, common_type, keys},
    wrong::{Wrong, failed},
};

/// All steps, one after the other; `left` is told how many rows each leaves.
pub(super) fn apply(
    params: &SelectParams,
    mut rows: RecordBatch,
    other: Option<&RecordBatch>,
    cancel: &CancelToken,
    left: &mut dyn FnMut(usize, u64),
) -> Result<RecordBatch, StageError> {
    let others = other.map(names);
    for (number, step) in (1..).zip(&params.steps) {
        if cancel.reason().is_some() {
            return Err(StageError::Cancelled);
        }
        let done =
            after_step(step, names(&rows), others.as_deref()).and_then(|_| take_step(step, &rows, other, cancel));
        rows = match done {
            Ok(rows) => rows,
            Err(_) if cancel.reason().is_some() => return Err(StageError::Cancelled),
            Err(wrong) => return Err(wrong.at(number, step)),
        };
        left(number, rows.num_rows() as u64);
    }
    Ok(rows)
}

fn take_step(
    step: &Step,
    rows: &RecordBatch,
    other: Option<&RecordBatch>,
    cancel: &CancelToken,
) -> Result<RecordBatch, Wrong> {
    let other = || other.ok_or_else(|| Wrong::new("the input `other` is not connected", "connect a table to it"));
    match step {
        Step::Filter(expression) => {
            let kept = expression::values(expression, rows, cancel)?;
            filter(rows, |row| kept[row].is_true())
        }
        Step::Keep(names) => project(rows, names),
        Step::Drop(dropped) => {
            let kept: Vec<String> = names(rows).into_iter().filter(|name| !dropped.contains(name)).collect();
            project(rows, &kept)
        }
        Step::Rename(new) => {
            let fields = rows.schema_ref().fields().iter().map(|field| {
                let field = field.as_ref().clone();
                new.get(field.name()).map_or(field.clone(), |name| field.with_name(name))
            });
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            RecordBatch::try_new(schema, rows.columns().to_vec()).map_err(failed)
        }
        Step::Set(made) => {
            let made = made.iter().map(|(name, value)| Ok((name.clone(), computed(value, rows, cancel)?)));
            with_columns(rows, made.collect::<Result<_, Wrong>>()?)
        }
        Step::DropEmpty(names) => {
            let columns: Vec<&ArrayRef> = names.iter().filter_map(|name| rows.column_by_name(name)).collect();
            filter(rows, |row| !columns.iter().any(|column| is_empty(column, row)))
        }
        Step::Distinct(names) => {
            let keys = keys(&project(rows, names)?)?;
            let mut seen = std::collections::HashSet::with_capacity(rows.num_rows());
            let first: Vec<bool> = keys.iter().map(|key| seen.insert(key)).collect();
            filter(rows, |row| first[row])
        }
        Step::Sample(sample) => draw(sample, rows),
        Step::Sort(by) => sort(by, rows),
        Step::Limit(most) => Ok(rows.slice(0, rows.num_rows().min(usize::try_from(*most).unwrap_or(usize::MAX)))),
        Step::Join(how) => join::join(how, rows, other()?),
        Step::Concatenate(_) => append(rows, other()?),
    }
}

fn filter(rows: &RecordBatch, keeps: impl Fn(usize) -> bool) -> Result<RecordBatch, Wrong> {
    let mask: BooleanArray = (0..rows.num_rows()).map(|row| Some(keeps(row))).collect();
    filter_record_batch(rows, &mask).map_err(failed)
}

pub(super) fn project(rows: &RecordBatch, names: &[String]) -> Result<RecordBatch, Wrong> {
    let at = names.iter().map(|name| rows.schema_ref().index_of(name)).collect::<Result<Vec<_>, _>>();
    rows.project(&at.map_err(failed)?).map_err(failed)
}

/// With further columns, in place of those of their names.
pub(super) fn with_columns(rows: &RecordBatch, made: Vec<(String, ArrayRef)>) -> Result<RecordBatch, Wrong> {
    let mut fields: Vec<Arc<Field>> = rows.schema_ref().fields().iter().cloned().collect();
    let mut columns = rows.columns().to_vec();
    for (name, column) in made {
        let field = Arc::new(Field::new(&name, column.data_type().clone(), true));
        if let Some(at) = fields.iter().position(|field| *field.name() == name) {
            (fields[at], columns[at]) = (field, column);
        } else {
            fields.push(field);
            columns.push(column);
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(failed)
}

fn computed(value: &Computed, rows: &RecordBatch, cancel: &CancelToken) -> Result<ArrayRef, Wrong> {
    let Computed::Expression(source) = value else {
        return computed::constant(value, rows.num_rows())
            .ok_or_else(|| Wrong::new("no constant", "give an expression"));
    };
    // A column by itself keeps its type, whatever that is.
    if let Some(column) = rows.column_by_name(source.trim()) {
        return Ok(column.clone());
    }
    computed::column(source, &expression::values(source, rows, cancel)?)
}

/// Whether there is nothing: null, blank, an empty list.
fn is_empty(column: &ArrayRef, row: usize) -> bool {
    match column.data_type() {
        _ if column.is_null(row) => true,
        DataType::Utf8 => column.as_string::<i32>().value(row).trim().is_empty(),
        DataType::List(_) => column.as_list::<i32>().value_length(row) == 0,
        _ => false,
    }
}

fn sort(by: &[SortBy], rows: &RecordBatch) -> Result<RecordBatch, Wrong> {
    let parts: Vec<(&str, Direction)> = by.iter().filter_map(SortBy::parts).collect();
    let columns: Vec<ArrayRef> = parts.iter().filter_map(|(name, _)| rows.column_by_name(name)).cloned().collect();
    let fields = parts.iter().zip(&columns).map(|((_, direction), column)| {
        let options = SortOptions { descending: *direction == Direction::Desc, nulls_first: false };
        SortField::new_with_options(column.data_type().clone(), options)
    });
    let converter = RowConverter::new(fields.collect()).map_err(failed)?;
    let keys = converter.convert_columns(&columns).map_err(failed)?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
    take_record_batch(rows, &UInt32Array::from(order)).map_err(failed)
}

/// The rows in the order of what `seed` draws for them, which depends on their content alone: equal rows are told
/// apart by how many came before.
fn draw(sample: &Sample, rows: &RecordBatch) -> Result<RecordBatch, Wrong> {
    let all = rows.num_rows();
    let wanted = match (sample.rows, sample.fraction) {
        (Some(wanted), _) => wanted,
        (None, fraction) => (fraction.unwrap_or(1.0) * all as f64).round() as usize,
    };
    if wanted > all {
        let message = format!("{wanted} rows are asked for, and there are {all}");
        return Err(Wrong::new(message, "ask for fewer, or use `limit`, which takes what there is"));
    }
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&sample.seed.to_le_bytes());
    let digests = row_digests(rows).map_err(|e| Wrong { message: e.to_string(), help: None })?;
    let mut seen: HashMap<Digest, u64> = HashMap::new();
    let mut order: Vec<(u64, Digest, u64, u32)> = (0..)
        .zip(digests)
        .map(|(row, digest)| {
            let before = seen.entry(digest).or_default();
            *before += 1;
            let drawn = RowRandom::new(&seed, &format!("{digest}/{before}")).uniform(0);
            // Numbers in [0, 1) are in the order of their bits.
            (drawn.to_bits(), digest, *before, row)
        })
        .collect();
    order.sort_unstable();
    order.truncate(wanted);
    let order: UInt32Array = order.into_iter().map(|(.., row)| Some(row)).collect();
    take_record_batch(rows, &order).map_err(failed)
}

/// Appends rows; a column that one table lacks is null there, and types meet where they can.
fn append(rows: &RecordBatch, other: &RecordBatch) -> Result<RecordBatch, Wrong> {
    let mut all = names(rows);
    all.extend(names(other).into_iter().filter(|name| rows.column_by_name(name).is_none()));
    let (mut fields, mut columns) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
    for name in all {
        let (here, there) = (rows.column_by_name(&name), other.column_by_name(&name));
        let data_type = common_type(here, there).ok_or_else(|| {
            let shown = |column: Option<&ArrayRef>| column.map_or_else(String::new, |c| c.data_type().to_string());
            let message = format!("column `{name}` is {} here and {} in `other`", shown(here), shown(there));
            Wrong::new(message, "`set` makes one of them of the other's type: `{ x: x|string }`")
        })?;
        let of = |column: Option<&ArrayRef>, rows: usize| {
            column.map_or_else(|| Ok(new_null_array(&data_type, rows)), |column| as_type(column, &data_type))
        };
        let (here, there) = (of(here, rows.num_rows()), of(there, other.num_rows()));
        let (here, there) = (here?, there?);
        columns.push(concat(&[here.as_ref(), there.as_ref()]).map_err(failed)?);
        fields.push(Field::new(&name, data_type, true));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(failed)
}
