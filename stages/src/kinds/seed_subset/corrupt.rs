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
use pipe_text::{is_unspaced, written_words};

use super::{Allocation, Quality, SeedSubsetParams, Subset, column, order, order::Drawn};
use crate::tabular::same_type;

/// Builds the subset out of the drawn rows.
pub(crate) fn apply(
    params: &SeedSubsetParams,
    pool: &RecordBatch,
    off_domain: Option<&RecordBatch>,
    drawn: &[Drawn],
) -> Result<Subset, StageError> {
    let mut changes = Vec::new();
    let mut sources = None;
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
                changes.push(Change::of(name, &mut columns[at], changed));
            }
        }
        Quality::Shuffled => {
            let touched: Vec<usize> =
                params.columns.iter().map(|name| column(pool, "pool", name)).collect::<Result<_, _>>()?;
            let partners = partners(params, pool, &touched, drawn)?;
            let indices = partners.iter().map(|&row| row as u64).collect::<arrow::array::UInt64Array>();
            for (&at, name) in touched.iter().zip(&params.columns) {
                let changed = take(pool.column(at), &indices, None).map_err(arrow_error)?;
                changes.push(Change::of(name, &mut columns[at], changed));
            }
            sources = Some((pool, partners));
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
                changes.push(Change::of(field.name(), &mut columns[at], changed));
            }
            sources = Some((other, from.into_iter().map(|(_, row)| row).collect()));
        }
    }
    let corruptions = Log { params, pool, drawn, corrupt: &corrupt, changes: &changes, sources }.table()?;
    let rows = RecordBatch::try_new(pool.schema(), columns).map_err(arrow_error)?;
    let corrupted = if params.quality == Quality::Expert { 0 } else { corrupt.len() as u64 };
    Ok(Subset { rows, corruptions, corrupted })
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
    // For each place of the circle the first one behind it that holds another answer. Twice around, so that what lies
    // behind the last place is known; else rows that nearly all hold the same would each look through all others.
    let answer = |place: usize| answers[circle[place].row];
    let mut other = vec![None; circle.len()];
    for place in (0..2 * circle.len()).rev() {
        let (place, next) = (place % circle.len(), (place + 1) % circle.len());
        other[place] = if answer(place) == answer(next) { other[next] } else { Some(next) };
    }
    drawn
        .iter()
        .map(|d| {
            if !d.corrupt {
                return Ok(d.row);
            }
            let start = random(&d.digest, "partner").below(circle.len());
            let found = if answer(start) == answers[d.row] { other[start] } else { Some(start) };
            found.map(|place| circle[place].row).ok_or_else(|| {
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

/// Drops, doubles, moves and misspells words: each with probability `rate`, and one word at least. In scripts without
/// spaces between words every character is one.
fn noisy(text: &str, rate: f64, random: &mut Stream) -> String {
    let mut words: Vec<String> = written_words(text).map(str::to_owned).collect();
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
    let joined = spaced(&words);
    // Moving equal words about may change nothing.
    if joined == text { misspelt(&joined, random) } else { joined }
}

/// Words one after the other, with spaces between those that are written so.
fn spaced(words: &[String]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() && !text.ends_with(is_unspaced) && !word.starts_with(is_unspaced) {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
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

/// A column that was changed, before and after.
struct Change {
    name: String,
    before: ArrayRef,
    after: ArrayRef,
}

impl Change {
    /// Puts `after` in the column's place.
    fn of(name: &str, column: &mut ArrayRef, after: ArrayRef) -> Self {
        Self { name: name.to_owned(), before: std::mem::replace(column, after.clone()), after }
    }
}

/// What the table `corruptions` is made of.
struct Log<'a> {
    params: &'a SeedSubsetParams,
    pool: &'a RecordBatch,
    drawn: &'a [Drawn],
    /// The places in the subset whose rows were changed.
    corrupt: &'a [usize],
    changes: &'a [Change],
    /// Where the new values are from: a table, and its row for each place in the subset.
    sources: Option<(&'a RecordBatch, Vec<usize>)>,
}

impl Log<'_> {
    /// A row for each value that was replaced, row by row of the subset, so that the log of a smaller subset begins
    /// that of a larger one.
    fn table(&self) -> Result<RecordBatch, StageError> {
        let id_column = match &self.params.id_column {
            Some(name) => column(self.pool, "pool", name).map(|_| Some(name.as_str()))?,
            None => self.pool.schema_ref().index_of("id").ok().map(|_| "id"),
        };
        let corruption = match self.params.quality {
            Quality::Expert => "none",
            Quality::Noisy => "noisy",
            Quality::Shuffled => "shuffled",
            Quality::OffDomain => "off_domain",
        };
        let ids = |table: &RecordBatch| {
            let found = id_column.and_then(|name| table.column_by_name(name).cloned());
            found.unwrap_or_else(|| new_null_array(&DataType::Utf8, table.num_rows()))
        };
        let own = ids(self.pool);
        let theirs = self.sources.as_ref().map(|(table, rows)| (ids(table), rows));
        let own = Shown::of(&own)?;
        let theirs = match &theirs {
            Some((ids, rows)) => Some((Shown::of(ids)?, rows)),
            None => None,
        };
        let shown = |of: fn(&Change) -> &ArrayRef| self.changes.iter().map(|change| Shown::of(of(change))).collect();
        let (before, after): (Result<Vec<_>, _>, Result<Vec<_>, _>) = (shown(|c| &c.before), shown(|c| &c.after));
        let (before, after) = (before?, after?);

        let positions = self.corrupt.iter().flat_map(|&i| std::iter::repeat_n(i as i64, self.changes.len()));
        let texts = |text: &dyn Fn(usize, usize) -> Option<String>| -> ArrayRef {
            let rows = self.corrupt.iter().flat_map(|&i| (0..self.changes.len()).map(move |change| (i, change)));
            Arc::new(rows.map(|(i, change)| text(i, change)).collect::<StringArray>())
        };
        let columns: [(&str, ArrayRef); 6] = [
            ("id", texts(&|i, _| own.text(self.drawn[i].row))),
            ("corruption", texts(&|_, _| Some(corruption.to_owned()))),
            ("column", texts(&|_, change| Some(self.changes[change].name.clone()))),
            ("before", texts(&|i, change| before[change].text(i))),
            ("after", texts(&|i, change| after[change].text(i))),
            ("source_id", texts(&|i, _| theirs.as_ref().and_then(|(ids, rows)| ids.text(rows[i])))),
        ];
        let mut fields = vec![Field::new("position", DataType::Int64, false)];
        fields.extend(columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)));
        let positions: ArrayRef = Arc::new(Int64Array::from_iter_values(positions));
        let columns = std::iter::once(positions).chain(columns.map(|(_, texts)| texts)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(arrow_error)
    }
}

/// The values of a column as texts.
struct Shown<'a> {
    array: &'a ArrayRef,
    format: ArrayFormatter<'a>,
}

impl<'a> Shown<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self, StageError> {
        let format = ArrayFormatter::try_new(array, &FormatOptions::new()).map_err(arrow_error)?;
        Ok(Self { array, format })
    }

    /// `None` for null.
    fn text(&self, row: usize) -> Option<String> {
        self.array.is_valid(row).then(|| self.format.value(row).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_without_spaces_are_words_of_noise() {
        let noisy = |text, seed: &str| noisy(text, 0.5, &mut random(&Hasher::new("test").str(seed).finish(), "x"));
        let text = "肝脏在夜里产生什么东西，GDP是什么，请用一句话来回答这个问题";
        let same = |other: &str| text.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
        let firsts: Vec<usize> = ["a", "b", "c", "d"].map(|seed| same(&noisy(text, seed))).into();
        assert!(firsts.iter().sum::<usize>() < 16, "half of the words are touched: {firsts:?}");
        for seed in ["a", "b", "c"] {
            assert!(!noisy(text, seed).contains(' '));
            assert_eq!(noisy("one two three", seed).split(' ').filter(|word| word.is_empty()).count(), 0);
        }
        assert_eq!(spaced(&["B12", "は", "水", "ok", "then"].map(str::to_owned)), "B12は水ok then");
    }
}
