//! Finds the types of JSON rows without keeping their values.

use std::fmt;

use indexmap::IndexMap;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    error::{Place, TabularError},
    exact::too_wide,
    numbers::int_type,
    options::{ReadOptions, Wanted},
    types::{ColumnType, MAX_NESTING},
};

/// The most fields an object inside a row may have before its keys are taken for data.
const MAX_FIELDS: usize = 2_000;

/// Two types without an upper bound, and where they met.
#[derive(Debug, Default)]
pub(crate) struct Clash {
    /// Field names, innermost first.
    pub path: Vec<String>,
    /// The new value's type and the type so far.
    pub types: Option<(ColumnType, ColumnType)>,
}

impl Clash {
    /// `meta.tags`, outermost first.
    pub(crate) fn column(&self) -> String {
        self.path.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

/// Widens the types of a table's columns until they hold one more row.
pub(crate) struct InferRow<'a> {
    /// The columns so far, in order of first appearance.
    pub columns: &'a mut IndexMap<String, ColumnType>,
    /// Which columns are wanted, and what for.
    pub options: &'a ReadOptions,
    /// Filled on a type error.
    pub clash: &'a mut Clash,
}

impl<'de> DeserializeSeed<'de> for InferRow<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for InferRow<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row: a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match self.options.wanted(&name) {
                Wanted::Infer => infer_field(self.columns, name, &mut map, 0, self.clash)?,
                // Its name is kept, for the message about another one that is missing.
                Wanted::Declared | Wanted::Skip => {
                    map.next_value::<IgnoredAny>()?;
                    self.columns.entry(name).or_default();
                }
            }
        }
        Ok(())
    }
}

fn infer_field<'de, A: MapAccess<'de>>(
    fields: &mut IndexMap<String, ColumnType>,
    name: String,
    map: &mut A,
    depth: usize,
    clash: &mut Clash,
) -> Result<(), A::Error> {
    if fields.len() == MAX_FIELDS && !fields.contains_key(&name) {
        return Err(A::Error::custom(format!("more than {MAX_FIELDS} different fields; declare the column as `json`")));
    }
    let entry = fields.entry(name);
    let index = entry.index();
    entry.or_default();
    let outcome = map.next_value_seed(InferValue { ty: &mut fields[index], depth, clash });
    if outcome.is_err() {
        clash.path.extend(fields.get_index(index).map(|(name, _)| name.clone()));
    }
    outcome
}

/// Widens a type until it holds one more value.
struct InferValue<'a> {
    ty: &'a mut ColumnType,
    /// Lists and objects around it.
    depth: usize,
    clash: &'a mut Clash,
}

impl InferValue<'_> {
    /// Bounds what is nested: whatever handles the types later goes down into them.
    fn inside<E: Error>(&self) -> Result<usize, E> {
        if self.depth == MAX_NESTING {
            return Err(E::custom(format!("nested more than {MAX_NESTING} deep; declare the column as `json`")));
        }
        Ok(self.depth + 1)
    }

    fn widen<E: Error>(self, found: ColumnType) -> Result<(), E> {
        let so_far = std::mem::take(self.ty);
        match so_far.join(found) {
            Ok(joined) => *self.ty = joined,
            Err(clash) => {
                let (so_far, found) = *clash;
                let error = E::custom(format!("{found} after {so_far}"));
                self.clash.types = Some((found, so_far));
                return Err(error);
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for InferValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for InferValue<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.widen(ColumnType::Bool)
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<(), E> {
        self.widen(int_type(n))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<(), E> {
        self.widen(int_type(i64::try_from(n).map_err(|_| E::custom(too_wide(n)))?))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.widen(ColumnType::Float)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.widen(ColumnType::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let depth = self.inside()?;
        if matches!(self.ty, ColumnType::Unknown) {
            *self.ty = ColumnType::List(Box::default());
        }
        let ColumnType::List(item) = self.ty else {
            return self.widen(ColumnType::List(Box::default()));
        };
        while seq.next_element_seed(InferValue { ty: item, depth, clash: self.clash })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let depth = self.inside()?;
        if matches!(self.ty, ColumnType::Unknown) {
            *self.ty = ColumnType::Struct(IndexMap::new());
        }
        let ColumnType::Struct(fields) = self.ty else {
            return self.widen(ColumnType::Struct(IndexMap::new()));
        };
        while let Some(name) = map.next_key::<String>()? {
            infer_field(fields, name, &mut map, depth, self.clash)?;
        }
        Ok(())
    }
}

/// The clash of one row as an error.
pub(crate) fn clash_error(clash: Clash, place: Place, message: String) -> TabularError {
    let column = clash.column();
    match clash.types {
        Some((found, expected)) => {
            let top = clash.path.last().cloned().unwrap_or_default();
            TabularError::Clash { place, column, top, found: found.into(), expected: expected.into() }
        }
        None if column.is_empty() => TabularError::Syntax { place, message },
        None => TabularError::Value { place, column, message },
    }
}
