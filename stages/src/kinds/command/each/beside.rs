//! What a program says of rows, beside the rows.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::{concat_batches, take},
    datatypes::{FieldRef, Schema, SchemaRef},
};
use pipe_engine::kind::StageError;

/// A table in batches.
pub(super) struct Joined {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

/// Row `i` of `rows` stands `counts[i]` times, with the next rows of `added` beside it. A column of both has the added
/// values, in the row's place.
pub(super) fn beside(
    schema: &SchemaRef,
    rows: &[RecordBatch],
    added: Option<&[RecordBatch]>,
    counts: &[u32],
) -> Result<Joined, StageError> {
    let failed = |e| StageError::other("put what the program says beside the rows", e);
    let added = match added {
        Some(batches @ [first, ..]) => Some(concat_batches(first.schema_ref(), batches).map_err(failed)?),
        _ => None,
    };
    let fields = |batch: &RecordBatch| batch.schema().fields().iter().cloned().collect::<Vec<FieldRef>>();
    let own: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    let new: Vec<FieldRef> = added.as_ref().map(fields).unwrap_or_default();
    let replaced = |field: &FieldRef| new.iter().position(|other| other.name() == field.name());
    let extra: Vec<usize> =
        (0..new.len()).filter(|&i| !own.iter().any(|field| field.name() == new[i].name())).collect();
    let all = own.iter().map(|field| replaced(field).map_or_else(|| Arc::clone(field), |i| Arc::clone(&new[i])));
    let all: Vec<FieldRef> = all.chain(extra.iter().map(|&i| Arc::clone(&new[i]))).collect();
    let schema = SchemaRef::new(Schema::new(all));
    let (mut batches, mut row, mut done) = (Vec::with_capacity(rows.len()), 0, 0);
    for batch in rows {
        let counts = &counts[row..row + batch.num_rows()];
        row += batch.num_rows();
        let repeated = (0..).zip(counts).flat_map(|(i, &n)| std::iter::repeat_n(i, n as usize));
        let repeated: UInt32Array = repeated.collect::<Vec<u32>>().into();
        let length = repeated.len();
        let said = added.as_ref().map(|added| added.slice(done, length));
        done += length;
        let of_program = |i: usize| said.as_ref().map(|said| Arc::clone(said.column(i)));
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (i, field) in own.iter().enumerate() {
            match replaced(field).and_then(of_program) {
                Some(column) => columns.push(column),
                None => columns.push(take(batch.column(i), &repeated, None).map_err(failed)?),
            }
        }
        columns.extend(extra.iter().copied().filter_map(of_program));
        let options = RecordBatchOptions::new().with_row_count(Some(length));
        batches.push(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options).map_err(failed)?);
    }
    Ok(Joined { schema, batches })
}
