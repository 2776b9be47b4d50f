//! The logical digest of a table (I6): of its schema and its ordered rows.
//!
//! It does not depend on how rows are cut into batches or row groups, nor on offsets' width, views, dictionaries or
//! run-end encoding. Every column is hashed as streams of typed values that run through all batches:
//!
//! - the positions of its nulls (so a null differs from an empty value, and what a null slot happens to hold does not
//!   count),
//! - for fixed-width types the values' little-endian bytes; for texts and lists their lengths, and the contents,
//! - for structs the streams of the fields, at the slots where the struct is not null.
//!
//! Floats count by their bits: `-0.0` differs from `0.0`, and every NaN from a NaN with another payload.

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::Schema,
};

use super::{
    Digest, Hasher,
    logical::{self, Offsets, Parts},
};
use crate::error::StoreError;

/// A stream of bytes, gathered into pieces that blake3 hashes with all of its SIMD lanes.
struct Stream {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Stream {
    const PIECE: usize = 64 << 10;

    fn new() -> Self {
        Self { hasher: blake3::Hasher::new(), buffer: Vec::new() }
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > Self::PIECE {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
            if bytes.len() >= Self::PIECE {
                self.hasher.update(bytes);
                return;
            }
        }
        self.buffer.extend_from_slice(bytes);
    }

    fn finish(&mut self) -> Digest {
        self.hasher.update(&self.buffer);
        Digest::from_bytes(*self.hasher.finalize().as_bytes())
    }
}

/// One column or nested field.
struct Column {
    /// Slots so far.
    slots: u64,
    /// Positions of nulls.
    nulls: Stream,
    /// Lengths of texts and lists.
    lengths: Stream,
    /// Bytes of values.
    values: Stream,
    /// List items or struct fields.
    children: Vec<Column>,
}

impl Column {
    fn new() -> Self {
        let [nulls, lengths, values] = [Stream::new(), Stream::new(), Stream::new()];
        Self { slots: 0, nulls, lengths, values, children: Vec::new() }
    }

    fn child(&mut self, i: usize) -> &mut Self {
        while self.children.len() <= i {
            self.children.push(Self::new());
        }
        &mut self.children[i]
    }

    fn update(&mut self, array: &ArrayRef) -> Result<(), StoreError> {
        let array = logical::plain(array)?;
        let first = self.slots;
        self.slots += array.len() as u64;
        let parts = logical::parts(&array)?;
        let Some(nulls) = array.nulls().filter(|n| n.null_count() > 0) else {
            return self.update_valid(&parts, 0, array.len());
        };
        for position in (!nulls.inner()).set_indices() {
            self.nulls.push(&(first + position as u64).to_le_bytes());
        }
        for (start, end) in nulls.valid_slices() {
            self.update_valid(&parts, start, end)?;
        }
        Ok(())
    }

    /// Adds slots `start..end`, none of which is null.
    fn update_valid(&mut self, parts: &Parts, start: usize, end: usize) -> Result<(), StoreError> {
        match parts {
            Parts::Null => {}
            Parts::Bool(array) => {
                let bits = array.as_boolean().values();
                for i in start..end {
                    self.values.push(&[u8::from(bits.value(i))]);
                }
            }
            Parts::Fixed { data, width } => self.values.push(&data[start * width..end * width]),
            Parts::Bytes { offsets, data } => {
                self.push_lengths(offsets, start, end);
                self.values.push(&data[offsets.at(start)..offsets.at(end)]);
            }
            Parts::List { offsets, items } => {
                self.push_lengths(offsets, start, end);
                let (from, to) = (offsets.at(start), offsets.at(end));
                self.child(0).update(&items.slice(from, to - from))?;
            }
            Parts::FixedList { length, items } => {
                self.child(0).update(&items.slice(start * length, (end - start) * length))?;
            }
            Parts::Struct(fields) => {
                for (i, field) in fields.iter().enumerate() {
                    self.child(i).update(&field.slice(start, end - start))?;
                }
            }
        }
        Ok(())
    }

    fn push_lengths(&mut self, offsets: &Offsets, start: usize, end: usize) {
        for i in start..end {
            self.lengths.push(&((offsets.at(i + 1) - offsets.at(i)) as u64).to_le_bytes());
        }
    }

    fn finish(&mut self, hasher: &mut Hasher) {
        hasher.u64(self.slots);
        for stream in [&mut self.nulls, &mut self.lengths, &mut self.values] {
            hasher.digest(&stream.finish());
        }
        // A child that never had a slot is no different from one that was never made.
        let used = self.children.iter().rposition(|c| c.slots > 0).map_or(0, |last| last + 1);
        hasher.u64(used as u64);
        for child in &mut self.children[..used] {
            child.finish(hasher);
        }
    }
}

/// Computes the logical digest of a table as its batches go by.
pub struct TableDigest {
    schema: Digest,
    rows: u64,
    columns: Vec<Column>,
}

impl TableDigest {
    /// Begins a table. Fails for column types that have no logical digest (unions, list views).
    pub fn new(schema: &Schema) -> Result<Self, StoreError> {
        let columns = schema.fields().iter().map(|_| Column::new()).collect();
        Ok(Self { schema: logical::schema_digest(schema)?, rows: 0, columns })
    }

    /// Adds rows, which must be of the schema.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        self.rows += batch.num_rows() as u64;
        self.columns.iter_mut().zip(batch.columns()).try_for_each(|(column, array)| column.update(array))
    }

    /// The digest of schema and rows.
    pub fn finish(mut self) -> Digest {
        let mut hasher = Hasher::new("pipe.table.v1");
        hasher.digest(&self.schema).u64(self.rows);
        for column in &mut self.columns {
            column.finish(&mut hasher);
        }
        hasher.finish()
    }
}
