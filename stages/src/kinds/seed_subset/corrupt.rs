//! Corrupts rows, and says what was done.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, new_null_array},
    compute::{cast, interleave, take},
    datatypes::{DataType, Field, Schema},
    util::display::{ArrayFormatter, FormatOptions},
};
use pipe_cache::{Digest, Hasher};
use pipe_engine::kind::StageError;
use pipe_random::{Random, Stream};

use super::{Allocation, Quality, SeedSubsetParams, Subset, column, order, order::Drawn};
use crate::tabular::same_type;

/// Builds the subset out of the drawn rows.
pub(crate) fn apply(
    params: &SeedSubsetParams,
    pool: &RecordBatch,
    off_domain: Option<&RecordBatch>,
    drawn: &[Drawn],
) -> Result<Subset, StageError> {
    let mut log = Log::new(params, pool)?;
    let indices = drawn.iter().map(|d| d.row as u64).collect::<arrow::array::UInt64Array>();
    let mut columns: Vec<ArrayRef> =
        pool.columns().iter().map(|c| take(c, &indices, None)).collect::<Result<_, _>>().map_err(arrow_error)?;
    let corrupt: Vec<usize> = (0..drawn.len()).filter(|&i| drawn[i].corrupt).collect();
    match params.quality {
        Quality::Expert => {}
        Quality::Noisy => {
            for name in &params.columns {
                let at = column(pool, "pool", name)?;
                let changed = noisy_column(&columns[at], name, drawn, params.noise_rate)?;
                for &i in &corrupt {
                    log.add(i, drawn[i].row, name, (&columns[at], i), (&changed, i), None)?;
                }
                columns[at] = changed;
            }
        }
        Quality::Shuffled => {
            let touched: Vec<usize> =
                params.columns.iter().map(|name| column(pool, "pool", name)).collect::<Result<_, _>>()?;
            let partners = partners(params, pool, &touched, drawn)?;
            let indices = partners.iter().map(|&row| row as u64).collect::<arrow::array::UInt64Array>();
            for (&at, name) in touched.iter().zip(&params.columns) {
                let changed = take(pool.column(at), &indices, None).map_err(arrow_error)?;
                for &i in &corrupt {
                    log.add(i, drawn[i].row, name, (&columns[at], i), (&changed, i), Some((pool, partners[i])))?;
                }
                columns[at] = changed;
            }
        }
        Quality::OffDomain => {
            let other = off_domain.ok_or_else(|| StageError::contract("the input `off_domain` was not read"))?;
            let foreign = order::order(other, params.seed, None, Allocation::Proportional, 0.0)?;
            if corrupt.len() > foreign.len() {
                return Err(StageError::user_help(
                    format!(
                        "{} rows of the input `off_domain` are needed, and it has {}",
                        corrupt.len(),
                        foreign.len()
                    ),
                    "ask for a smaller `fraction` or `count`, or add rows",
                ));
            }
            let mut from: Vec<(usize, usize)> = (0..drawn.len()).map(|i| (0, i)).collect();
            for (&i, foreign) in corrupt.iter().zip(&foreign) {
                from[i] = (1, foreign.row);
            }
            for (at, field) in pool.schema_ref().fields().iter().enumerate() {
                let theirs = foreign_column(other, field)?;
                let changed = interleave(&[&columns[at], &theirs], &from).map_err(arrow_error)?;
                for &i in &corrupt {
                    log.add(i, drawn[i].row, field.name(), (&columns[at], i), (&changed, i), Some((other, from[i].1)))?;
                }
                columns[at] = changed;
            }
        }
    }
    let rows = RecordBatch::try_new(pool.schema(), columns).map_err(arrow_error)?;
    let corrupted = if params.quality == Quality::Expert { 0 } else { corrupt.len() as u64 };
    Ok(Subset { rows, corruptions: log.finish()?, corrupted })
}

fn arrow_error(error: arrow::error::ArrowError) -> StageError {
    StageError::other("assemble the subset", error)
}

/// The column of the other domain's table; null where it has none of that name.
fn foreign_column(other: &RecordBatch, field: &Field) -> Result<ArrayRef, StageError> {
    let Ok(at) = other.schema_ref().index_of(field.name()) else {
        return Ok(new_null_array(field.data_type(), other.num_rows()));
    };
    let found = other.column(at);
    if !same_type(found.data_type(), field.data_type()) {
        let message = format!(
            "column `{}` is {} in the input `off_domain` and {} in `pool`",
            field.name(),
            found.data_type(),
            field.data_type()
        );
        return Err(StageError::user_help(
            message,
            "declare the same type for both with `schema:` of the `table` stages",
        ));
    }
    cast(found, field.data_type()).map_err(arrow_error)
}

/// For every drawn row the row whose answer it gets: itself, or for corrupted ones the next row of the pool, from a
/// place of the seed on, whose answer is another one. It depends on seed, row and pool, and not on the subset's size.
fn partners(
    params: &SeedSubsetParams,
    pool: &RecordBatch,
    touched: &[usize],
    drawn: &[Drawn],
) -> Result<Vec<usize>, StageError> {
    let answers = pipe_cache::row_digests(&pool.project(touched).map_err(arrow_error)?)?;
    // The circle is ordered by seed and content, so that the pool's own order does not matter.
    let circle = order::order(pool, params.seed, None, Allocation::Proportional, 0.0)?;
    drawn
        .iter()
        .map(|d| {
            if !d.corrupt {
                return Ok(d.row);
            }
            let start = random(&d.digest, "partner").below(circle.len());
            let mut around = circle[start..].iter().chain(&circle[..start]);
            around.find(|other| answers[other.row] != answers[d.row]).map(|other| other.row).ok_or_else(|| {
                StageError::user_help(
                    format!(
                        "all rows of `pool` hold the same in {}, so there is nothing to exchange",
                        params.columns.join(", ")
                    ),
                    "name other `columns`",
                )
            })
        })
        .collect()
}

/// The column with the corrupted rows' texts made noisy.
fn noisy_column(array: &ArrayRef, name: &str, drawn: &[Drawn], rate: f64) -> Result<ArrayRef, StageError> {
    let Some(texts) = array.as_string_opt::<i32>() else {
        return Err(StageError::user(format!(
            "column `{name}` is {} and not text, so it cannot be made noisy",
            array.data_type()
        )));
    };
    let noisy = texts.iter().zip(drawn).map(|(text, d)| {
        text.map(|text| if d.corrupt { noisy(text, rate, &mut random(&d.digest, name)) } else { text.to_owned() })
    });
    Ok(Arc::new(noisy.collect::<StringArray>()))
}

/// Drops, doubles, moves and misspells words: each with probability `rate`, and one word at least.
fn noisy(text: &str, rate: f64, random: &mut Stream) -> String {
    let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if words.is_empty() {
        return text.to_owned();
    }
    let chosen_anyway = random.below(words.len());
    let mut at = 0;
    for i in 0..words.len() {
        if random.unit() >= rate && i != chosen_anyway {
            at += 1;
            continue;
        }
        // A text of one word can only be misspelt: the other changes would empty it or leave its meaning.
        match if words.len() == 1 { 3 } else { random.below(4) } {
            0 => drop(words.remove(at)),
            1 => {
                words.insert(at, words[at].clone());
                at += 2;
            }
            2 => {
                let other = random.below(words.len());
                words.swap(at, other);
                at += 1;
            }
            _ => {
                words[at] = misspelt(&words[at], random);
                at += 1;
            }
        }
    }
    let joined = words.join(" ");
    // Moving equal words about may change nothing.
    if joined == text { misspelt(&joined, random) } else { joined }
}

/// Doubles, drops or exchanges one character; the result differs from the word.
fn misspelt(word: &str, random: &mut Stream) -> String {
    let mut chars: Vec<char> = word.chars().collect();
    let at = random.below(chars.len());
    match random.below(3) {
        0 if chars.len() > 1 => drop(chars.remove(at)),
        1 if at + 1 < chars.len() && chars[at] != chars[at + 1] => chars.swap(at, at + 1),
        _ => chars.insert(at, chars[at]),
    }
    chars.into_iter().collect()
}

/// Random numbers of one row for one purpose.
fn random(row: &Digest, purpose: &str) -> Stream {
    let key = Hasher::new("pipe.seed_subset.random.v1").digest(row).str(purpose).finish();
    Stream::new(&blake3::Hasher::new_keyed(key.as_bytes()))
}

/// The table `corruptions`.
struct Log<'a> {
    quality: Quality,
    pool: &'a RecordBatch,
    id_column: Option<String>,
    /// Position in the subset, and the values of [`LOG_COLUMNS`].
    entries: Vec<(i64, [Option<String>; 6])>,
}

const LOG_COLUMNS: [&str; 6] = ["id", "corruption", "column", "before", "after", "source_id"];

impl<'a> Log<'a> {
    fn new(params: &SeedSubsetParams, pool: &'a RecordBatch) -> Result<Self, StageError> {
        let id_column = match &params.id_column {
            Some(name) => column(pool, "pool", name).map(|_| Some(name.clone()))?,
            None => pool.schema_ref().index_of("id").ok().map(|_| "id".to_owned()),
        };
        Ok(Self { quality: params.quality, pool, id_column, entries: Vec::new() })
    }

    /// One value of one row was replaced.
    fn add(
        &mut self,
        position: usize,
        pool_row: usize,
        column: &str,
        before: (&ArrayRef, usize),
        after: (&ArrayRef, usize),
        source: Option<(&RecordBatch, usize)>,
    ) -> Result<(), StageError> {
        let corruption = match self.quality {
            Quality::Expert => "none",
            Quality::Noisy => "noisy",
            Quality::Shuffled => "shuffled",
            Quality::OffDomain => "off_domain",
        };
        let id = |table: &RecordBatch, row: usize| {
            let name = self.id_column.as_ref()?;
            Some((table.column_by_name(name)?.clone(), row))
        };
        let id_text = id(self.pool, pool_row).map(|(array, row)| show(&array, row)).transpose()?.flatten();
        let source_text =
            source.and_then(|(table, row)| id(table, row)).map(|(array, row)| show(&array, row)).transpose()?.flatten();
        let values = [
            id_text,
            Some(corruption.to_owned()),
            Some(column.to_owned()),
            show(before.0, before.1)?,
            show(after.0, after.1)?,
            source_text,
        ];
        self.entries.push((position as i64, values));
        Ok(())
    }

    /// Row by row, so that the log of a smaller subset begins that of a larger one.
    fn finish(mut self) -> Result<RecordBatch, StageError> {
        self.entries.sort_by_key(|(position, _)| *position);
        let mut fields = vec![Field::new("position", DataType::Int64, false)];
        fields.extend(LOG_COLUMNS.map(|name| Field::new(name, DataType::Utf8, true)));
        let positions = self.entries.iter().map(|(position, _)| *position);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(positions))];
        for column in 0..LOG_COLUMNS.len() {
            let texts = self.entries.iter().map(|(_, values)| values[column].as_deref());
            columns.push(Arc::new(texts.collect::<StringArray>()));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(arrow_error)
    }
}

/// A value as text; `None` for null.
fn show(array: &ArrayRef, row: usize) -> Result<Option<String>, StageError> {
    if array.is_null(row) {
        return Ok(None);
    }
    let options = FormatOptions::new();
    let format = ArrayFormatter::try_new(array, &options).map_err(arrow_error)?;
    Ok(Some(format.value(row).to_string()))
}
