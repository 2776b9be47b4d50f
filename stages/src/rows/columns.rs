//! Columns of input tables as the kinds read them, with errors that name the input, the row and the column.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Float64Builder, LargeListArray, ListArray, ListBuilder, RecordBatch, StringArray,
        StringBuilder, StructArray, StructBuilder,
    },
    compute::cast,
    datatypes::{DataType, Field, Fields, Float64Type, Schema},
};
use pipe_cache::{Digest, row_digests};
use pipe_engine::{context::StageContext, kind::StageError};

use crate::{
    prompts::Passage,
    rows::words::first_words,
    tabular::{self, TabularError},
};

/// A column of texts.
#[derive(Debug, Clone)]
pub(crate) struct TextColumn {
    values: StringArray,
    port: String,
    name: String,
}

/// Says which of the columns that somebody named are not there, where others are read in their place; `parameter` names
/// them, and `usual` are those of its default, of which some may well be missing.
pub(crate) fn warn_of_absent(
    cx: &StageContext,
    schema: &Schema,
    (port, parameter): (&str, &str),
    names: &[String],
    usual: &[String],
) {
    let absent: Vec<String> = (names.iter())
        .filter(|name| names != usual && schema.column_with_name(name).is_none())
        .map(|name| format!("`{name}`"))
        .collect();
    if !absent.is_empty() {
        let there: Vec<String> = schema.fields().iter().map(|field| format!("`{}`", field.name())).collect();
        cx.warn(format!(
            "`{port}` has no column {}, which `{parameter}` names: texts are made without; there are {}",
            absent.join(" and "),
            there.join(", ")
        ));
    }
}

/// A column that is not there, with those that are.
pub(crate) fn missing(batch: &RecordBatch, port: &str, name: &str) -> StageError {
    let known: Vec<String> = batch.schema_ref().fields().iter().map(|f| f.name().clone()).collect();
    let hint = tabular::hint(known.iter().map(String::as_str));
    let missing =
        TabularError::MissingColumn { path: format!("the input `{port}`").into(), column: name.to_owned(), known };
    match hint {
        Some(hint) => StageError::user_help(missing.to_string(), hint),
        None => missing.into(),
    }
}

/// Whether values of this type are texts; nulls may be.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn is_scalar(data_type: &DataType) -> bool {
    is_text(data_type) || data_type.is_numeric() || *data_type == DataType::Boolean
}

pub(crate) fn wrong_type(port: &str, name: &str, found: &DataType, wanted: &str) -> StageError {
    StageError::user_help(
        format!("column `{name}` of the input `{port}` is {found} where {wanted} is wanted"),
        "declare the column's type where the table is read (`schema`), or connect another table",
    )
}

pub(super) fn text_array(
    array: &ArrayRef,
    port: &str,
    name: &str,
    accepts: fn(&DataType) -> bool,
) -> Result<StringArray, StageError> {
    if !accepts(array.data_type()) {
        return Err(wrong_type(port, name, array.data_type(), "text"));
    }
    let text = cast(array, &DataType::Utf8);
    Ok(text.map_err(|e| StageError::other(format!("read column `{name}` of `{port}` as text"), e))?.as_string().clone())
}

impl TextColumn {
    fn new(
        batch: &RecordBatch,
        port: &str,
        name: &str,
        accepts: fn(&DataType) -> bool,
    ) -> Result<Option<Self>, StageError> {
        let Some(array) = batch.column_by_name(name) else { return Ok(None) };
        let values = text_array(array, port, name, accepts)?;
        Ok(Some(Self { values, port: port.to_owned(), name: name.to_owned() }))
    }

    /// A column that must be there.
    ///
    /// # Errors
    /// It is not, or is not of texts.
    pub(crate) fn required(batch: &RecordBatch, port: &str, name: &str) -> Result<Self, StageError> {
        Self::optional(batch, port, name)?.ok_or_else(|| missing(batch, port, name))
    }

    /// A column that must be there, of texts or of numbers, which are read as texts.
    ///
    /// # Errors
    /// It is not, or is of something else.
    pub(crate) fn scalars(batch: &RecordBatch, port: &str, name: &str) -> Result<Self, StageError> {
        Self::new(batch, port, name, is_scalar)?.ok_or_else(|| missing(batch, port, name))
    }

    /// A column that may be missing.
    ///
    /// # Errors
    /// It is not of texts.
    pub(crate) fn optional(batch: &RecordBatch, port: &str, name: &str) -> Result<Option<Self>, StageError> {
        Self::new(batch, port, name, is_text)
    }

    /// The text of a row; `None` where it is null.
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        self.values.is_valid(row).then(|| self.values.value(row))
    }

    /// The text of a row; empty where it is null.
    pub(crate) fn or_empty(&self, row: usize) -> &str {
        self.get(row).unwrap_or_default()
    }

    /// The text of a row, which must hold more than white space.
    ///
    /// # Errors
    /// It is null or blank.
    pub(crate) fn filled(&self, row: usize) -> Result<&str, StageError> {
        self.filled_at(row, 0)
    }

    /// [`TextColumn::filled`] of a batch that begins with a row of its table.
    fn filled_at(&self, row: usize, begin: usize) -> Result<&str, StageError> {
        self.get(row).filter(|text| !text.trim().is_empty()).ok_or_else(|| {
            StageError::user_help(
                format!("row {} of the input `{}` has no `{}`", begin + row + 1, self.port, self.name),
                "fill it in, or leave the row out",
            )
        })
    }
}

/// The ids of a table's rows: its column `id`, or the rows' numbers from 0 where it has none.
///
/// # Errors
/// An id is missing or occurs twice.
pub(crate) fn ids(batch: &RecordBatch, port: &str) -> Result<Vec<String>, StageError> {
    Ids::default().of(batch, port)
}

/// The ids of a table that is read batch by batch.
#[derive(Default)]
pub(crate) struct Ids {
    first: HashMap<String, usize>,
    rows: usize,
}

impl Ids {
    /// Those of the next batch, as [`ids`].
    ///
    /// # Errors
    /// As [`ids`].
    pub(crate) fn of(&mut self, batch: &RecordBatch, port: &str) -> Result<Vec<String>, StageError> {
        let begin = self.rows;
        self.rows += batch.num_rows();
        let Some(column) = TextColumn::new(batch, port, "id", is_scalar)? else {
            return Ok((begin..self.rows).map(|row| row.to_string()).collect());
        };
        let mut ids = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let id = column.filled_at(row, begin)?;
            if let Some(before) = self.first.insert(id.to_owned(), begin + row) {
                return Err(StageError::user_help(
                    format!(
                        "rows {} and {} of the input `{port}` have the same id `{id}`",
                        before + 1,
                        begin + row + 1
                    ),
                    "ids name rows in results and must differ; make them unique, or leave the column `id` out",
                ));
            }
            ids.push(id.to_owned());
        }
        Ok(ids)
    }
}

/// Ids that are a row's own, whatever other rows there are: its column `id`, or the digest of the row where there is
/// none. What is drawn for a row is drawn by these.
///
/// # Errors
/// As [`ids`].
pub(crate) fn lasting_ids(batch: &RecordBatch, port: &str) -> Result<Vec<String>, StageError> {
    if batch.column_by_name("id").is_some() {
        return ids(batch, port);
    }
    Ok(row_digests(batch)?.iter().map(Digest::short).collect())
}

/// The items of one row of a list column, as an array; empty where the list is null. `None` where the column has no
/// lists.
pub(crate) fn items(array: &ArrayRef, row: usize) -> Option<ArrayRef> {
    if let Some(list) = array.as_any().downcast_ref::<ListArray>() {
        return Some(if list.is_valid(row) { list.value(row) } else { list.values().slice(0, 0) });
    }
    let list = array.as_any().downcast_ref::<LargeListArray>()?;
    Some(if list.is_valid(row) { list.value(row) } else { list.values().slice(0, 0) })
}

/// A column of lists of texts, row by row; `None` where there is no such column.
///
/// # Errors
/// It is not of lists of texts.
pub(crate) fn text_lists(batch: &RecordBatch, port: &str, name: &str) -> Result<Option<Vec<Vec<String>>>, StageError> {
    let Some(array) = batch.column_by_name(name) else { return Ok(None) };
    let rows = (0..batch.num_rows()).map(|row| {
        let items = items(array, row).ok_or_else(|| wrong_type(port, name, array.data_type(), "a list of texts"))?;
        let texts = text_array(&items, port, name, is_text)?;
        Ok(texts.iter().flatten().map(str::to_owned).collect())
    });
    rows.collect::<Result<_, _>>().map(Some)
}

/// Of a column of lists, row by row: whether a null stands in front of a value, so that values are not at the places
/// that they have in [`text_lists`].
pub(crate) fn gaps(batch: &RecordBatch, name: &str) -> Vec<bool> {
    let list = |row: usize| items(batch.column_by_name(name)?, row);
    let has_gap = |items: ArrayRef| {
        let values = items.len() - items.logical_null_count();
        (0..values).any(|at| items.is_null(at))
    };
    (0..batch.num_rows()).map(|row| list(row).is_some_and(has_gap)).collect()
}

const PASSAGES: &str = "passages";

/// How much of a row's passages a prompt shows; all where nothing is said.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown {
    /// So many passages, the best ones.
    pub passages: Option<usize>,
    /// So many words of each, from its beginning.
    pub words: Option<usize>,
}

impl Shown {
    fn of(self, text: &str) -> &str {
        self.words.map_or(text, |most| first_words(text, most))
    }
}

/// What is shown of the column `passages` that `retrieve` adds and `respond` keeps, row by row; `None` where there is
/// none.
///
/// # Errors
/// It is not a list of objects with `id` and `text`.
pub(crate) fn passages(batch: &RecordBatch, port: &str, shown: Shown) -> Result<Option<Vec<Vec<Passage>>>, StageError> {
    let Some(array) = batch.column_by_name(PASSAGES) else { return Ok(None) };
    let wrong = || wrong_type(port, PASSAGES, array.data_type(), "a list of {id, text, score}");
    let rows = (0..batch.num_rows()).map(|row| {
        let items = items(array, row).ok_or_else(wrong)?;
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let items = items.as_any().downcast_ref::<StructArray>().ok_or_else(wrong)?;
        let field = |name: &str| items.column_by_name(name).ok_or_else(wrong);
        let id = text_array(field("id")?, port, PASSAGES, is_scalar)?;
        let text = text_array(field("text")?, port, PASSAGES, is_text)?;
        let scores = match items.column_by_name("score") {
            Some(column) => Some(cast(column, &DataType::Float64).map_err(|_| wrong())?),
            None => None,
        };
        // What is in the place of a null is nobody's score.
        let score = |i: usize| {
            scores.as_ref().filter(|s| s.is_valid(i)).map_or(0.0, |s| s.as_primitive::<Float64Type>().value(i))
        };
        Ok((0..items.len().min(shown.passages.unwrap_or(usize::MAX)))
            .map(|i| Passage { id: id.value(i).to_owned(), text: shown.of(text.value(i)).to_owned(), score: score(i) })
            .collect())
    });
    rows.collect::<Result<_, _>>().map(Some)
}

/// Of the column `passages`, row by row: of how many passages there is no score, and how many there are.
pub(crate) fn unscored(batch: &RecordBatch) -> Vec<(usize, usize)> {
    let Some(array) = batch.column_by_name(PASSAGES) else { return Vec::new() };
    let of = |row: usize| {
        let Some(items) = items(array, row) else { return (0, 0) };
        let scores = items.as_struct_opt().and_then(|items| items.column_by_name("score"));
        (scores.map_or(items.len(), Array::logical_null_count), items.len())
    };
    (0..batch.num_rows()).map(of).collect()
}

/// The fields of a passage; `scored` says whether the score is one of them.
fn passage_fields(scored: bool) -> Fields {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let score = scored.then(|| Field::new("score", DataType::Float64, false));
    [text("id"), text("text")].into_iter().chain(score).collect()
}

fn passage_item(scored: bool) -> Field {
    Field::new("item", DataType::Struct(passage_fields(scored)), false)
}

/// The column `passages` of output tables: a list of `{id, text, score}`, best first; of `{id, text}` where it is not
/// `scored`.
pub(crate) fn passages_field(scored: bool) -> Field {
    Field::new(PASSAGES, DataType::List(Arc::new(passage_item(scored))), false)
}

/// The values of [`passages_field`], row by row.
pub(crate) fn passage_lists<T: AsRef<[Passage]>>(rows: &[T], scored: bool) -> ArrayRef {
    let builder = StructBuilder::from_fields(passage_fields(scored), 0);
    let mut lists = ListBuilder::new(builder).with_field(passage_item(scored));
    for row in rows {
        let passages = lists.values();
        for passage in row.as_ref() {
            let of = "the builder was made for these fields";
            passages.field_builder::<StringBuilder>(0).expect(of).append_value(&passage.id);
            passages.field_builder::<StringBuilder>(1).expect(of).append_value(&passage.text);
            if scored {
                passages.field_builder::<Float64Builder>(2).expect(of).append_value(passage.score);
            }
            passages.append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// A table whose column `name` holds `answers`, and that has a column `reasoning` where any row has thoughts.
pub(crate) fn with_reasoning(
    table: &RecordBatch,
    name: &str,
    answers: &[&str],
    thoughts: &[Option<&str>],
) -> Result<RecordBatch, StageError> {
    let joined = |e| StageError::other("take thoughts apart from answers", e);
    let at = table.schema_ref().index_of(name).map_err(joined)?;
    let mut columns = table.columns().to_vec();
    columns[at] = Arc::new(answers.iter().copied().map(Some).collect::<StringArray>());
    if thoughts.iter().all(Option::is_none) {
        return RecordBatch::try_new(table.schema(), columns).map_err(joined);
    }
    columns.push(Arc::new(thoughts.iter().copied().collect::<StringArray>()));
    let added = Arc::new(Field::new("reasoning", DataType::Utf8, true));
    let fields: Fields = table.schema_ref().fields().iter().cloned().chain([added]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(joined)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, a)| a).collect()).unwrap()
    }

    pub(crate) fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(values.iter().copied().collect::<StringArray>())
    }

    #[test]
    fn lists_of_texts_are_read_with_nulls_as_empty() {
        let mut list = ListBuilder::new(StringBuilder::new());
        list.append_value([Some("a"), Some("b")]);
        list.append_null();
        let table = batch(vec![("demonstrations", Arc::new(list.finish())), ("other", texts(&[None, None]))]);
        assert_eq!(text_lists(&table, "p", "demonstrations").unwrap().unwrap(), [vec!["a", "b"], vec![]]);
        assert!(text_lists(&table, "p", "absent").unwrap().is_none());
        assert!(text_lists(&table, "p", "other").unwrap_err().to_string().contains("list of texts"));
    }
}
