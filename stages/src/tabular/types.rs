//! Column types: what inference finds, what a pipeline can declare, and how the two map to Arrow.

use std::{fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use indexmap::IndexMap;
use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};

/// Types by column name, in column order.
pub(crate) type Columns = IndexMap<String, ColumnType>;

/// How deep lists and objects may be nested. Arrow, Parquet and all that reads them go down into types by recursion,
/// and what Arrow writes of a schema into a Parquet file cannot be read again beyond 60 levels.
pub(crate) const MAX_NESTING: usize = 48;

/// The type of a column or of a nested value.
///
/// Inference only ever moves up this lattice: `Unknown` below everything, `Int` below `Long` and `Float`. All other
/// pairs have no upper bound in JSON and are reported; in delimited text, where everything is text to begin with, the
/// bound is `Text`.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ColumnType {
    /// Only nulls were seen; stored as a text column of nulls.
    #[default]
    Unknown,
    /// `true` and `false`.
    Bool,
    /// 64-bit signed integers.
    Int,
    /// Integers of which some are beyond 2^53, so that they are no floats; never declared.
    Long,
    /// 64-bit floating point numbers.
    Float,
    /// Text. When declared, any other JSON value is kept as its JSON text.
    Text,
    /// Any JSON value, kept as its JSON text, strings with their quotes.
    Json,
    /// A list of values of one type.
    List(Box<ColumnType>),
    /// An object with known fields: in order of first appearance, or sorted when declared.
    Struct(IndexMap<String, ColumnType>),
}

impl ColumnType {
    /// The smallest type that holds values of both, or the clashing pair of types.
    pub fn join(self, other: Self) -> Result<Self, Box<(Self, Self)>> {
        use ColumnType::{Float, Int, List, Long, Struct, Unknown};
        match (self, other) {
            (a, b) if a == b => Ok(a),
            (Unknown, t) | (t, Unknown) => Ok(t),
            (Int, Long) | (Long, Int) => Ok(Long),
            (Int, Float) | (Float, Int) => Ok(Float),
            (List(a), List(b)) => Ok(List(Box::new(a.join(*b)?))),
            (Struct(mut a), Struct(b)) => {
                for (name, ty) in b {
                    let seen = a.entry(name).or_default();
                    *seen = std::mem::take(seen).join(ty)?;
                }
                Ok(Struct(a))
            }
            (a, b) => Err(Box::new((a, b))),
        }
    }

    /// How many lists and objects are one inside the other.
    pub fn depth(&self) -> usize {
        match self {
            Self::List(item) => 1 + item.depth(),
            Self::Struct(fields) => 1 + fields.values().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The Arrow type that stores it.
    pub fn to_arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int | Self::Long => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Unknown | Self::Text | Self::Json => DataType::Utf8,
            Self::List(item) => DataType::List(Arc::new(Field::new_list_field(item.to_arrow(), true))),
            // Parquet has no empty groups: an object that never has a field is kept as its text.
            Self::Struct(fields) if fields.is_empty() => DataType::Utf8,
            Self::Struct(fields) => DataType::Struct(arrow_fields(fields)),
        }
    }
}

fn arrow_fields(fields: &IndexMap<String, ColumnType>) -> Fields {
    fields.iter().map(|(name, ty)| Field::new(name, ty.to_arrow(), true)).collect()
}

/// The Arrow schema of a table with these columns; every column may hold nulls.
pub fn arrow_schema(columns: &IndexMap<String, ColumnType>) -> SchemaRef {
    Arc::new(Schema::new(arrow_fields(columns)))
}

/// Whether two columns hold the same: types, and in objects the same fields, in whatever order. Unlike arrow's
/// `equals_datatype`, which does not look at their names, so that a cast would give one's values the other's names.
pub fn same_type(a: &DataType, b: &DataType) -> bool {
    let of_items = |a: &Field, b: &Field| a.is_nullable() == b.is_nullable() && same_type(a.data_type(), b.data_type());
    match (a, b) {
        (DataType::List(a), DataType::List(b)) => of_items(a, b),
        (DataType::FixedSizeList(a, length), DataType::FixedSizeList(b, other)) => length == other && of_items(a, b),
        (DataType::Map(a, sorted), DataType::Map(b, other)) => {
            // What programs call the parts of an entry means nothing.
            let parts = |field: &Field| match field.data_type() {
                DataType::Struct(parts) => parts.clone(),
                _ => Fields::empty(),
            };
            let (a, b) = (parts(a), parts(b));
            sorted == other && a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| of_items(a, b))
        }
        (DataType::Struct(a), DataType::Struct(b)) => {
            let names = |fields: &Fields| {
                let mut names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
                names.sort_unstable();
                names
            };
            let same = |field: &Field| b.find(field.name()).is_some_and(|(_, other)| of_items(field, other));
            names(a) == names(b) && a.iter().all(|field| same(field))
        }
        (a, b) => a.equals_datatype(b),
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Long => f.write_str("int beyond 2^53"),
            Self::Float => f.write_str("float"),
            Self::Text => f.write_str("string"),
            Self::Json => f.write_str("json"),
            Self::List(item) => write!(f, "[{item}]"),
            Self::Struct(fields) => {
                f.write_str("{")?;
                for (i, (name, ty)) in fields.iter().enumerate() {
                    write!(f, "{}{name}: {ty}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Declared as `string`, `int`, `float`, `bool` or `json`; `[int]` is a list, `{a: int}` an object.
impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TypeVisitor;
        impl<'de> de::Visitor<'de> for TypeVisitor {
            type Value = ColumnType;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type: string, int, float, bool, json, [type] or {name: type}")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<ColumnType, E> {
                Ok(match name {
                    "string" => ColumnType::Text,
                    "int" => ColumnType::Int,
                    "float" => ColumnType::Float,
                    "bool" => ColumnType::Bool,
                    "json" => ColumnType::Json,
                    _ => return Err(E::unknown_variant(name, &["string", "int", "float", "bool", "json"])),
                })
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<ColumnType, A::Error> {
                let item = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &"one type: [type]"))?;
                if seq.next_element::<de::IgnoredAny>()?.is_some() {
                    return Err(de::Error::invalid_length(2, &"one type: [type]"));
                }
                Ok(ColumnType::List(Box::new(item)))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ColumnType, A::Error> {
                let mut fields = IndexMap::deserialize(de::value::MapAccessDeserializer::new(map))?;
                // The order of keys in a pipeline file means nothing.
                fields.sort_keys();
                if fields.is_empty() {
                    return Err(de::Error::invalid_length(0, &"at least one field"));
                }
                Ok(ColumnType::Struct(fields))
            }
        }
        deserializer.deserialize_any(TypeVisitor)
    }
}

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::List(item) => [item].serialize(serializer),
            Self::Struct(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, ty) in fields {
                    map.serialize_entry(name, ty)?;
                }
                map.end()
            }
            scalar => serializer.collect_str(scalar),
        }
    }
}

impl JsonSchema for ColumnType {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ColumnType".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> schemars::Schema {
        let inner = generator.subschema_for::<Self>();
        json_schema!({
            "description": "A column's type: a name, [type] for a list, {name: type} for an object.",
            "anyOf": [
                { "enum": ["string", "int", "float", "bool", "json"] },
                { "type": "array", "items": inner, "minItems": 1, "maxItems": 1 },
                { "type": "object", "additionalProperties": inner, "minProperties": 1 },
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ty(value: serde_json::Value) -> ColumnType {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn declared_types_round_trip() {
        for value in [json!("int"), json!(["string"]), json!({"a": "int", "b": [{"c": "json"}]})] {
            assert_eq!(serde_json::to_value(ty(value.clone())).unwrap(), value);
        }
        for (bad, message) in
            [(json!("text"), "unknown variant `text`"), (json!([]), "invalid length 0"), (json!(3), "a type")]
        {
            let error = serde_json::from_value::<ColumnType>(bad).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn join_is_the_least_upper_bound() {
        let check = |a, b, expect: &str| {
            let joined = ColumnType::join(ty(a), ty(b))
                .map_or_else(|clash| format!("{} | {}", clash.0, clash.1), |t| t.to_string());
            assert_eq!(joined, expect);
        };
        check(json!("int"), json!("float"), "float");
        check(json!("int"), json!("string"), "int | string");
        check(json!(["int"]), json!(["float"]), "[float]");
        check(json!({"a": "int"}), json!({"b": "bool", "a": "float"}), "{a: float, b: bool}");
        check(json!({"a": "int"}), json!(["int"]), "{a: int} | [int]");
    }

    #[test]
    fn objects_are_the_same_if_their_fields_are_in_whatever_order() {
        let fields = |names: &[(&str, DataType)]| -> Fields {
            names.iter().map(|(name, ty)| Field::new(*name, ty.clone(), true)).collect()
        };
        let (text, int) = (DataType::Utf8, DataType::Int64);
        let object = |names: &[(&str, DataType)]| DataType::Struct(fields(names));
        let list = |name: &str, item: DataType| DataType::List(Arc::new(Field::new(name, item, true)));
        let map = |names: [&str; 2], value: DataType| {
            let parts = [Field::new(names[0], DataType::Utf8, false), Field::new(names[1], value, true)];
            let entries = DataType::Struct(parts.into_iter().collect());
            DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
        };
        let turn = |a: &str, b: &str| object(&[(a, text.clone()), (b, text.clone())]);
        let check = |a: DataType, b: DataType, expect: bool| {
            assert_eq!((same_type(&a, &b), same_type(&b, &a)), (expect, expect), "{a} {b}");
        };
        check(turn("role", "content"), turn("role", "content"), true);
        check(turn("role", "content"), turn("content", "role"), true);
        check(turn("role", "content"), turn("from", "value"), false);
        check(turn("role", "content"), object(&[("role", text.clone())]), false);
        check(turn("role", "content"), object(&[("role", text.clone()), ("content", int.clone())]), false);
        check(list("item", turn("role", "content")), list("element", turn("content", "role")), true);
        check(list("item", turn("role", "content")), list("item", turn("from", "value")), false);
        check(object(&[("a", turn("x", "y"))]), object(&[("a", turn("x", "z"))]), false);
        check(map(["key", "value"], int.clone()), map(["keys", "values"], int.clone()), true);
        check(map(["key", "value"], turn("a", "b")), map(["key", "value"], turn("a", "c")), false);
        check(text.clone(), int, false);
        check(text.clone(), text.clone(), true);
    }
}
