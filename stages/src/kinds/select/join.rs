//! Joins two tables by a key.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array},
    compute::{take, take_record_batch},
    datatypes::{Field, Schema},
    util::display::{ArrayFormatter, FormatOptions},
};

use super::{
    columns::{added, names},
    params::{How, Join},
    types::{as_type, common_type, keys},
    wrong::{Wrong, failed},
};

/// Columns of keys, called as they are here.
fn key_columns<'n>(
    rows: &RecordBatch,
    other: &RecordBatch,
    pairs: &[(&'n str, &'n str)],
) -> Result<(RecordBatch, RecordBatch), Wrong> {
    let (mut here, mut there) = (Vec::new(), Vec::new());
    let mut fields = Vec::new();
    for (name, of_other) in pairs {
        let (Some(a), Some(b)) = (rows.column_by_name(name), other.column_by_name(of_other)) else { continue };
        let data_type = common_type(Some(a), Some(b)).ok_or_else(|| {
            let message = format!(
                "the key `{name}` is {} and `{of_other}` of the input `other` {}, and no two values are the same",
                a.data_type(),
                b.data_type()
            );
            Wrong::new(message, "`set` makes one of them of the other's type before: `{ id: id|string }`")
        })?;
        here.push(as_type(a, &data_type)?);
        there.push(as_type(b, &data_type)?);
        fields.push(Field::new(*name, data_type, true));
    }
    let schema = Arc::new(Schema::new(fields));
    Ok((
        RecordBatch::try_new(schema.clone(), here).map_err(failed)?,
        RecordBatch::try_new(schema, there).map_err(failed)?,
    ))
}

fn has_null(keys: &RecordBatch, row: usize) -> bool {
    keys.columns().iter().any(|column| column.is_null(row))
}

/// A key in words.
fn shown(keys: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default();
    let text = |column: &ArrayRef| {
        ArrayFormatter::try_new(column.as_ref(), &options).map_or_else(|_| String::new(), |f| f.value(row).to_string())
    };
    keys.columns().iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Joins; the rows stand in the order of `rows`, those with the same key in the order of `other`.
pub(super) fn join(join: &Join, rows: &RecordBatch, other: &RecordBatch) -> Result<RecordBatch, Wrong> {
    let pairs = join.on.pairs();
    let (here, there) = key_columns(rows, other, &pairs)?;
    let (here_keys, there_keys) = (keys(&here)?, keys(&there)?);
    let mut partners: HashMap<&[u8], Vec<u32>> = HashMap::with_capacity(there.num_rows());
    let there_bytes: Vec<arrow::row::Row<'_>> = there_keys.iter().collect();
    for (row, key) in there_bytes.iter().enumerate() {
        if has_null(&there, row) {
            continue;
        }
        let found = partners.entry(key.as_ref()).or_default();
        found.push(row as u32);
        if found.len() == 2 && !join.many && join.how != How::Anti {
            let message = format!(
                "the key `{}` stands in rows {} and {} of the input `other`",
                shown(&there, row),
                found[0] + 1,
                row + 1
            );
            return Err(Wrong::new(
                message,
                "with `many: true` a row is repeated for each; or make it `distinct` before",
            ));
        }
    }
    let (mut of_rows, mut of_other): (Vec<u32>, Vec<Option<u32>>) = (Vec::new(), Vec::new());
    for (row, key) in here_keys.iter().enumerate() {
        let found = if has_null(&here, row) { None } else { partners.get(key.as_ref()) };
        match (join.how, found) {
            (How::Anti, Some(_)) | (How::Inner, None) => {}
            (How::Anti | How::Left, None) => {
                of_rows.push(row as u32);
                of_other.push(None);
            }
            (How::Inner | How::Left, Some(found)) => {
                of_rows.extend(found.iter().map(|_| row as u32));
                of_other.extend(found.iter().map(|partner| Some(*partner)));
            }
        }
    }
    let left = take_record_batch(rows, &UInt32Array::from(of_rows)).map_err(failed)?;
    let of_other = UInt32Array::from(of_other);
    let mut fields: Vec<Arc<Field>> = left.schema_ref().fields().iter().cloned().collect();
    let mut columns = left.columns().to_vec();
    for name in added(join, &names(other)) {
        let Some(column) = other.column_by_name(&name) else { continue };
        columns.push(take(column, &of_other, None).map_err(failed)?);
        fields.push(Arc::new(Field::new(&name, column.data_type().clone(), true)));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(failed)
}
