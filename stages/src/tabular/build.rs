//! Builds Arrow columns from JSON rows whose types are known.

use std::fmt;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use indexmap::IndexMap;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::value::RawValue;

use super::{
    data::{Data, Object},
    numbers::{EXACT, float_cell, int_cell},
    types::{ColumnType, arrow_schema},
};

/// How the message begins about a field that is none of the columns.
pub(super) const UNDECLARED: &str = "undeclared field";

/// Builds one record batch of rows.
pub(crate) struct RowBuilder {
    row: Object,
    schema: SchemaRef,
    /// Whether a field without a column is skipped (columns were selected) or an error (they were inferred).
    skip_unknown: bool,
    /// Which columns' types were declared.
    declared: Vec<bool>,
    /// The field being read, for error messages.
    current: Option<usize>,
}

/// A number that may lose digits, for it was declared to be a `float`; one that is too large for any is none.
fn declared_float(cell: &str) -> Option<f64> {
    let value: f64 = cell.parse().ok()?;
    (value.is_finite() || !cell.bytes().any(|b| b.is_ascii_digit())).then_some(value)
}

impl RowBuilder {
    /// For rows of these types; `declared` columns named `string` take any value.
    pub(crate) fn new(
        types: &IndexMap<String, ColumnType>,
        declared: &dyn Fn(&str) -> bool,
        skip_unknown: bool,
    ) -> Self {
        let row = Object::new(types, declared);
        let declared = types.keys().map(|name| declared(name)).collect();
        Self { row, schema: arrow_schema(types), skip_unknown, declared, current: None }
    }

    /// Reads one row. After an error the builder is of no further use.
    pub(crate) fn push<'de, D: Deserializer<'de>>(&mut self, row: D) -> Result<(), D::Error> {
        row.deserialize_any(RowVisitor(self))
    }

    /// Appends a row of delimited cells, one per column; an empty cell is null.
    pub(crate) fn push_cells<'c>(&mut self, cells: impl Iterator<Item = &'c str>) -> Result<(), String> {
        for (index, cell) in cells.enumerate() {
            self.current = Some(index);
            let (data, declared) = (&mut self.row.fields[index], self.declared[index]);
            if cell.is_empty() {
                data.push_null();
                continue;
            }
            let expected = |what: &str| format!("found `{cell}`, expected {what}");
            match data {
                Data::Text(b) | Data::Coerced(b) => b.append_value(cell),
                Data::Int(b) => {
                    let value = if declared { cell.parse().ok() } else { int_cell(cell) };
                    b.append_value(value.ok_or_else(|| expected("int"))?);
                }
                Data::Float(b, _) => {
                    let value = if declared { declared_float(cell) } else { float_cell(cell) };
                    b.append_value(value.ok_or_else(|| expected("float"))?);
                }
                Data::Bool(b) => b.append_value(cell.to_ascii_lowercase().parse().map_err(|_| expected("bool"))?),
                Data::Null(_) => return Err(expected("null")),
                nested => ValueSeed(nested)
                    .deserialize(&mut serde_json::Deserializer::from_str(cell))
                    .map_err(|error| format!("found `{cell}`, expected JSON: {error}"))?,
            }
        }
        self.row.end(true);
        Ok(())
    }

    /// Sets a text column of the row about to be pushed (the key of an object of rows).
    pub(crate) fn set_text(&mut self, column: &str, text: &str) {
        if let Some(&index) = self.row.index.get(column)
            && let Data::Text(b) | Data::Coerced(b) = &mut self.row.fields[index]
        {
            b.append_value(text);
        }
    }

    /// The column in which the last error was.
    pub(crate) fn current_column(&self) -> Option<&str> {
        self.current.map(|index| self.row.names[index].as_str())
    }

    /// All rows.
    pub(crate) fn finish(self) -> RecordBatch {
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.row.len));
        let arrays = self.row.fields.into_iter().map(Data::finish).collect();
        RecordBatch::try_new_with_options(self.schema, arrays, &options).expect("columns were built for this schema")
    }
}

/// Which field a key names.
enum Slot {
    Field(usize),
    Unknown(String),
}

struct KeySeed<'a> {
    object: &'a Object,
    /// Where the field is if this row has the order of the columns.
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Slot;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Slot, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Slot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Slot, E> {
        if self.object.names.get(self.guess).is_some_and(|n| n == name) {
            return Ok(Slot::Field(self.guess));
        }
        Ok(self.object.index.get(name).map_or_else(|| Slot::Unknown(name.to_owned()), |&i| Slot::Field(i)))
    }
}

/// Reads the fields of one object; `at` is told which field is being read.
fn read_fields<'de, A: MapAccess<'de>>(
    object: &mut Object,
    map: &mut A,
    skip_unknown: bool,
    mut at: impl FnMut(usize),
) -> Result<(), A::Error> {
    let mut guess = 0;
    while let Some(slot) = map.next_key_seed(KeySeed { object, guess })? {
        match slot {
            Slot::Field(index) => {
                at(index);
                if object.fields[index].len() > object.len {
                    return Err(A::Error::custom(format!("duplicate key `{}`", object.names[index])));
                }
                map.next_value_seed(ValueSeed(&mut object.fields[index]))?;
                guess = index + 1;
            }
            Slot::Unknown(_) if skip_unknown => {
                map.next_value::<IgnoredAny>()?;
            }
            Slot::Unknown(name) => return Err(A::Error::custom(format!("{UNDECLARED} `{name}`"))),
        }
    }
    object.end(true);
    Ok(())
}

struct RowVisitor<'a>(&'a mut RowBuilder);

impl<'de> Visitor<'de> for RowVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row: a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let RowBuilder { row, skip_unknown, current, .. } = self.0;
        *current = None;
        read_fields(row, &mut map, *skip_unknown, |index| *current = Some(index))
    }
}

struct ValueSeed<'a>(&'a mut Data);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Data::Json(builder) => match <&RawValue>::deserialize(deserializer)?.get() {
                "null" => builder.append_null(),
                raw => builder.append_value(raw),
            },
            Data::Coerced(builder) => match <&RawValue>::deserialize(deserializer)?.get() {
                "null" => builder.append_null(),
                raw if raw.starts_with('"') => {
                    let text: String = serde_json::from_str(raw).map_err(D::Error::custom)?;
                    builder.append_value(text);
                }
                raw => builder.append_value(raw),
            },
            _ => deserializer.deserialize_any(self)?,
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Data::Null(_) => "null",
            Data::Bool(_) => "bool",
            Data::Int(_) => "int",
            Data::Float(..) => "float",
            Data::Text(_) | Data::Coerced(_) => "string",
            Data::Json(_) => "json",
            Data::List { .. } => "a list",
            Data::Struct(_) => "an object",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push_null();
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.0 {
            Data::Bool(b) => b.append_value(value),
            _ => return Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match self.0 {
            Data::Int(b) => b.append_value(value),
            Data::Float(b, declared) if *declared || value.unsigned_abs() <= EXACT => b.append_value(value as f64),
            _ => return Err(E::invalid_type(Unexpected::Signed(value), &self)),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match (self.0, i64::try_from(value)) {
            (Data::Int(b), Ok(value)) => b.append_value(value),
            (Data::Float(b, declared), _) if *declared || value <= EXACT => b.append_value(value as f64),
            (data, _) => return Err(E::invalid_type(Unexpected::Unsigned(value), &ValueSeed(data))),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.0 {
            Data::Float(b, _) => b.append_value(value),
            _ => return Err(E::invalid_type(Unexpected::Float(value), &self)),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        match self.0 {
            Data::Text(b) => b.append_value(value),
            _ => return Err(E::invalid_type(Unexpected::Str(value), &self)),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Data::List { item, offsets, valid } = self.0 else {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        };
        while seq.next_element_seed(ValueSeed(item))?.is_some() {}
        let end = i32::try_from(item.len()).map_err(|_| A::Error::custom("too many list items"))?;
        offsets.push(end);
        valid.append(true);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Data::Struct(object) = self.0 else {
            return Err(A::Error::invalid_type(Unexpected::Map, &self));
        };
        read_fields(object, &mut map, false, |_| {})
    }
}
