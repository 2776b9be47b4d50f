//! Row memo: row digest -> output rows, per recipe.
//!
//! A shard has one row per input row: its digest, and the list of its output rows as structs. Programs that read
//! Parquet can look into it.

mod claim;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    path::PathBuf,
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, ListArray, RecordBatch, StructArray, UInt32Array},
    buffer::OffsetBuffer,
    compute::{concat_batches, interleave_record_batch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};

pub use self::claim::RowClaim;
use super::{
    claims::Claims,
    shard::{Pace, ShardDir},
};
use crate::{
    disk::conform,
    error::StoreError,
    hash::{Digest, schema_digest},
    store::Store,
};

const ACTION: &str = "keep rows in the memo";
/// Opening a memo of more shards than this merges them.
const MERGE_FROM: usize = 64;
/// Merged shards hold about so many bytes of rows.
const MERGE_BYTES: usize = 64 << 20;

/// Output rows by the digest of the input row. Several memos of one recipe may be open at once, in any processes. Memos
/// of different schemas know nothing of each other: stages with equal parameters whose output takes columns of the
/// input along share a recipe, and nothing else.
pub struct RowMemo {
    schema: SchemaRef,
    /// What the names of this schema's shards begin with.
    prefix: String,
    shards: ShardDir,
    known: HashMap<Digest, Place>,
    files: Vec<PathBuf>,
    pending: Vec<Pending>,
    pace: Pace,
    claims: Claims,
}

/// Where the output of an input row is.
#[derive(Clone, Copy)]
enum Place {
    /// At that position of a shard.
    Shard { file: usize, at: usize },
    /// Among the rows of [`RowMemo::pending`]`[batch]`, from `start` on.
    Pending { batch: usize, start: usize, count: u32 },
}

struct Pending {
    digests: Vec<Digest>,
    counts: Vec<u32>,
    outputs: RecordBatch,
}

super::shared_memo!(RowMemo, "rows");

impl Store {
    /// Opens the row memo of a recipe whose output rows have that schema.
    pub fn row_memo(&self, recipe: &Digest, schema: SchemaRef) -> Result<RowMemo, StoreError> {
        let shards = ShardDir::open(self, recipe)?;
        let schema_digest = schema_digest(&schema)?;
        let prefix = format!("{}-", &schema_digest.to_string()[..8]);
        let mut memo = RowMemo {
            schema,
            prefix,
            shards,
            known: HashMap::new(),
            files: Vec::new(),
            pending: Vec::new(),
            pace: Pace::default(),
            claims: Claims::new(self, recipe, &schema_digest),
        };
        memo.load()?;
        if memo.files.len() > MERGE_FROM || ShardDir::has_unbound(&memo.files) {
            memo.merge()?;
        }
        Ok(memo)
    }
}

/// One row of a shard per input row: digest, list of output rows.
fn shard_schema(schema: &Schema) -> SchemaRef {
    let item = Field::new("item", DataType::Struct(schema.fields().clone()), false);
    Arc::new(Schema::new(vec![
        Field::new("row", DataType::FixedSizeBinary(32), false),
        Field::new("outputs", DataType::List(Arc::new(item)), false),
    ]))
}

impl RowMemo {
    /// How many input rows are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no row is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether the output of that input row is known.
    pub fn contains(&self, row: &Digest) -> bool {
        self.known.contains_key(row)
    }

    /// Takes in what others have written to the memo since it was opened or last refreshed; returns how many rows are
    /// known now that were not before. Costs a listing of the memo's directory, and reading what is new.
    pub fn refresh(&mut self) -> Result<usize, StoreError> {
        let before = self.known.len();
        let mut new = self.shards.list(&self.prefix)?;
        let seen: HashSet<&PathBuf> = self.files.iter().collect();
        new.retain(|path| !seen.contains(path));
        new.into_iter().try_for_each(|path| self.take_in(path))?;
        Ok(self.known.len() - before)
    }

    /// Reads what the shards hold; rows that are pending stay.
    fn load(&mut self) -> Result<(), StoreError> {
        self.known.retain(|_, place| matches!(place, Place::Pending { .. }));
        self.files.clear();
        self.shards.list(&self.prefix)?.into_iter().try_for_each(|path| self.take_in(path))
    }

    /// Adds the rows of a shard to those that are known.
    fn take_in(&mut self, path: PathBuf) -> Result<(), StoreError> {
        let Some((digests, _)) = self.read(&path)? else { return Ok(()) };
        let file = self.files.len();
        self.files.push(path);
        for at in 0..digests.len() {
            self.known.entry(digest_at(&digests, at)).or_insert(Place::Shard { file, at });
        }
        Ok(())
    }

    /// The digests and output lists of a shard; `None` when it is gone or damaged.
    fn read(&mut self, path: &std::path::Path) -> Result<Option<(FixedSizeBinaryArray, ListArray)>, StoreError> {
        let Some(rows) = self.shards.read(path)? else { return Ok(None) };
        if conform(&rows, &shard_schema(&self.schema)).is_err() {
            self.shards.reject(path, "its rows are of another schema than the recipe's")?;
            return Ok(None);
        }
        Ok(Some((rows.column(0).as_fixed_size_binary().clone(), rows.column(1).as_list::<i32>().clone())))
    }

    /// The output rows of the given input rows, in that order, and how many each has. `None` where one is not known, or
    /// was damaged (then [`RowMemo::contains`] no longer says that it is).
    pub fn get(&mut self, rows: &[Digest]) -> Result<Option<(RecordBatch, Vec<u32>)>, StoreError> {
        // A shard that another process merged away is looked for once more.
        for _ in 0..2 {
            let Some(places) = rows.iter().map(|row| self.known.get(row).copied()).collect::<Option<Vec<_>>>() else {
                return Ok(None);
            };
            if let Some(found) = self.gather(&places)? {
                return Ok(Some(found));
            }
            self.load()?;
        }
        Ok(None)
    }

    fn gather(&mut self, places: &[Place]) -> Result<Option<(RecordBatch, Vec<u32>)>, StoreError> {
        let mut sources: Vec<RecordBatch> = self.pending.iter().map(|p| p.outputs.clone()).collect();
        let mut opened: HashMap<usize, (usize, ListArray)> = HashMap::new();
        let mut counts = Vec::with_capacity(places.len());
        let mut picks = Vec::with_capacity(places.len());
        for place in places {
            let (source, start, count) = match *place {
                Place::Pending { batch, start, count } => (batch, start, count as usize),
                Place::Shard { file, at } => {
                    if let Entry::Vacant(vacant) = opened.entry(file) {
                        let Some((_, lists)) = self.read(&self.files[file].clone())? else { return Ok(None) };
                        vacant.insert((sources.len(), lists.clone()));
                        sources.push(unwrap(&lists, &self.schema)?);
                    }
                    let (source, lists) = &opened[&file];
                    (*source, lists.value_offsets()[at] as usize, lists.value_length(at) as usize)
                }
            };
            counts.push(count as u32);
            picks.extend((start..start + count).map(|row| (source, row)));
        }
        if picks.is_empty() {
            return Ok(Some((RecordBatch::new_empty(self.schema.clone()), counts)));
        }
        let sources: Vec<&RecordBatch> = sources.iter().collect();
        let rows = interleave_record_batch(&sources, &picks).map_err(|e| StoreError::rows(ACTION, e))?;
        Ok(Some((rows, counts)))
    }

    /// Adds outputs: input row `rows[i]` has the next `counts[i]` rows of `outputs`. They are on disk after the next
    /// flush, which happens by itself after some thousand rows.
    pub fn insert(&mut self, rows: &[Digest], counts: &[u32], outputs: &RecordBatch) -> Result<(), StoreError> {
        let total: usize = counts.iter().map(|c| *c as usize).sum();
        if rows.len() != counts.len() || total != outputs.num_rows() {
            let message = format!(
                "{} input rows with {} counts that add up to {total} cannot have {} output rows",
                rows.len(),
                counts.len(),
                outputs.num_rows()
            );
            return Err(StoreError::rows(ACTION, message));
        }
        let outputs = conform(outputs, &self.schema)?;
        let batch = self.pending.len();
        let mut start = 0;
        for (row, count) in rows.iter().zip(counts) {
            self.known.insert(*row, Place::Pending { batch, start, count: *count });
            start += *count as usize;
        }
        self.pending.push(Pending { digests: rows.to_vec(), counts: counts.to_vec(), outputs });
        if self.pace.due(rows.len()) { self.flush() } else { Ok(()) }
    }

    /// Writes down what was inserted. Dropping the memo does it, too, without telling of errors.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.pending.iter().all(|p| p.digests.is_empty()) {
            return Ok(());
        }
        let schema = shard_schema(&self.schema);
        let digests = self.pending.iter().flat_map(|p| &p.digests).map(Digest::as_bytes);
        let digests = FixedSizeBinaryArray::try_from_iter(digests).map_err(|e| StoreError::rows(ACTION, e))?;
        let offsets = OffsetBuffer::from_lengths(self.pending.iter().flat_map(|p| &p.counts).map(|c| *c as usize));
        let outputs = concat_batches(&self.schema, self.pending.iter().map(|p| &p.outputs));
        let outputs = outputs.map_err(|e| StoreError::rows(ACTION, e))?;
        let DataType::List(item) = schema.field(1).data_type() else { unreachable!("the schema above") };
        let items: ArrayRef = Arc::new(StructArray::from(outputs));
        let lists = ListArray::try_new(item.clone(), offsets, items, None).map_err(|e| StoreError::rows(ACTION, e))?;
        let rows = RecordBatch::try_new(schema, vec![Arc::new(digests), Arc::new(lists)])
            .map_err(|e| StoreError::rows(ACTION, e))?;

        let path = self.shards.write(&self.prefix, &rows)?;
        let file = self.files.len();
        self.files.push(path);
        for (at, digest) in self.pending.iter().flat_map(|p| &p.digests).enumerate() {
            self.known.insert(*digest, Place::Shard { file, at });
        }
        self.pending.clear();
        self.pace = Pace::default();
        self.claims.written();
        Ok(())
    }

    /// Forgets everything, on disk too.
    pub fn clear(&mut self) -> Result<(), StoreError> {
        self.shards.remove(&self.shards.list(&self.prefix)?)?;
        self.known.clear();
        self.files.clear();
        self.pending.clear();
        Ok(())
    }

    /// Writes few large shards, of which each says whose it is, instead of many small ones. Each row goes along once.
    fn merge(&mut self) -> Result<(), StoreError> {
        let old = self.files.clone();
        let schema = shard_schema(&self.schema);
        let mut written = Vec::new();
        let mut pieces: Vec<RecordBatch> = Vec::new();
        let mut bytes = 0;
        for (file, path) in old.iter().enumerate() {
            let Some(rows) = self.shards.read(path)? else { continue };
            let digests = rows.column(0).as_fixed_size_binary();
            let ours = |at: &u32| {
                let place = self.known.get(&digest_at(digests, *at as usize));
                matches!(place, Some(Place::Shard { file: f, at: a }) if *f == file && *a == *at as usize)
            };
            let keep = UInt32Array::from_iter_values((0..rows.num_rows() as u32).filter(ours));
            let rows = arrow::compute::take_record_batch(&rows, &keep).map_err(|e| StoreError::rows(ACTION, e))?;
            bytes += rows.get_array_memory_size();
            pieces.push(conform(&rows, &schema)?);
            if bytes >= MERGE_BYTES {
                written.push(self.write_merged(&schema, &mut pieces)?);
                bytes = 0;
            }
        }
        if !pieces.is_empty() {
            written.push(self.write_merged(&schema, &mut pieces)?);
        }
        let gone: Vec<_> = old.into_iter().filter(|path| !written.contains(path)).collect();
        self.shards.merged(&gone, &written)?;
        self.load()
    }

    fn write_merged(&mut self, schema: &SchemaRef, pieces: &mut Vec<RecordBatch>) -> Result<PathBuf, StoreError> {
        let merged = concat_batches(schema, &*pieces).map_err(|e| StoreError::rows(ACTION, e))?;
        pieces.clear();
        self.shards.write(&self.prefix, &merged)
    }
}

fn digest_at(digests: &FixedSizeBinaryArray, at: usize) -> Digest {
    Digest::from_bytes(digests.value(at).try_into().expect("32 bytes wide"))
}

/// The items of output lists, as rows.
fn unwrap(lists: &ListArray, schema: &SchemaRef) -> Result<RecordBatch, StoreError> {
    let items = lists.values().as_struct();
    RecordBatch::try_new(schema.clone(), items.columns().to_vec()).map_err(|e| StoreError::rows(ACTION, e))
}
