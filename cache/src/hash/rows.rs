//! Digests of single rows: what the row memo is keyed by.
//!
//! A row's digest covers column names, logical types and values, as the digest of a table does
//! ([`crate::hash::table`]); it does not depend on the batch that the row is in. Each value is encoded so that it ends
//! where it ends: a null marker, a length where lengths vary, and the bytes. The schema's digest is the key of the
//! hash.

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    buffer::NullBuffer,
};

use super::{
    Digest,
    logical::{self, Parts},
};
use crate::error::StoreError;

/// One digest per row, over column names, logical types and values.
pub fn row_digests(batch: &RecordBatch) -> Result<Vec<Digest>, StoreError> {
    let schema = logical::schema_digest(&batch.schema())?;
    let columns = batch.columns().iter().map(Encoder::new).collect::<Result<Vec<_>, _>>()?;
    let mut buffer = Vec::new();
    let mut digests = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        buffer.clear();
        for column in &columns {
            column.encode(row, &mut buffer);
        }
        digests.push(Digest::from_bytes(*blake3::keyed_hash(schema.as_bytes(), &buffer).as_bytes()));
    }
    Ok(digests)
}

/// A column, ready to have its slots encoded in any order.
struct Encoder {
    nulls: Option<NullBuffer>,
    parts: Parts,
    /// List items or struct fields.
    children: Vec<Encoder>,
}

impl Encoder {
    fn new(array: &ArrayRef) -> Result<Self, StoreError> {
        let array = logical::plain(array)?;
        let parts = logical::parts(&array)?;
        let children = match &parts {
            Parts::List { items, .. } | Parts::FixedList { items, .. } => vec![Self::new(items)?],
            Parts::Struct(fields) => fields.iter().map(Self::new).collect::<Result<_, _>>()?,
            _ => Vec::new(),
        };
        Ok(Self { nulls: array.nulls().cloned(), parts, children })
    }

    fn encode(&self, slot: usize, out: &mut Vec<u8>) {
        let null = matches!(self.parts, Parts::Null) || self.nulls.as_ref().is_some_and(|n| n.is_null(slot));
        out.push(u8::from(!null));
        if null {
            return;
        }
        match &self.parts {
            Parts::Null => {}
            Parts::Bool(array) => out.push(u8::from(array.as_boolean().value(slot))),
            Parts::Fixed { data, width } => out.extend_from_slice(&data[slot * width..(slot + 1) * width]),
            Parts::Bytes { offsets, data } => {
                let bytes = &data[offsets.at(slot)..offsets.at(slot + 1)];
                out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Parts::List { offsets, .. } => {
                let (from, to) = (offsets.at(slot), offsets.at(slot + 1));
                out.extend_from_slice(&((to - from) as u64).to_le_bytes());
                (from..to).for_each(|item| self.children[0].encode(item, out));
            }
            Parts::FixedList { length, .. } => {
                (slot * length..(slot + 1) * length).for_each(|item| self.children[0].encode(item, out));
            }
            Parts::Struct(_) => self.children.iter().for_each(|child| child.encode(slot, out)),
        }
    }
}
