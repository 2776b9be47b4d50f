//! A row of a table as expressions see it.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
        StructArray, UInt64Array,
    },
    compute::cast,
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};
use minijinja::{
    Value,
    value::{Enumerator, Object},
};

/// The whole row, under that name.
pub(super) const ROW: &str = "row";
/// The row's number, from 0.
pub(super) const ROW_INDEX: &str = "row_index";

/// A column whose values can be read one by one.
#[derive(Debug)]
enum Column {
    Text(StringArray),
    Bool(BooleanArray),
    Int(Int64Array),
    Unsigned(UInt64Array),
    Float(Float64Array),
    List(ListArray, Box<Self>),
    Struct(StructArray, Vec<(String, Self)>),
    /// Dates and other types that expressions have not: as they are shown.
    Other(ArrayRef),
}

impl Column {
    fn new(array: &ArrayRef) -> Self {
        let to = |data_type: &DataType| cast(array, data_type).unwrap_or_else(|_| array.clone());
        match array.data_type() {
            DataType::Utf8 => Self::Text(array.as_string().clone()),
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::UInt64 => Self::Unsigned(array.as_primitive().clone()),
            data_type if data_type.is_integer() => Self::Int(to(&DataType::Int64).as_primitive().clone()),
            data_type if data_type.is_floating() => Self::Float(to(&DataType::Float64).as_primitive().clone()),
            DataType::List(_) => {
                let list: &ListArray = array.as_list();
                Self::List(list.clone(), Box::new(Self::new(list.values())))
            }
            DataType::Struct(fields) => {
                let object = array.as_struct();
                let inner = fields.iter().zip(object.columns());
                let inner = inner.map(|(field, column)| (field.name().clone(), Self::new(column))).collect();
                Self::Struct(object.clone(), inner)
            }
            _ => Self::Other(array.clone()),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(a) => a.is_null(row),
            Self::Bool(a) => a.is_null(row),
            Self::Int(a) => a.is_null(row),
            Self::Unsigned(a) => a.is_null(row),
            Self::Float(a) => a.is_null(row),
            Self::List(a, _) => a.is_null(row),
            Self::Struct(a, _) => a.is_null(row),
            Self::Other(a) => a.is_null(row),
        }
    }

    fn value(&self, row: usize) -> Value {
        if self.is_null(row) {
            return Value::from(());
        }
        match self {
            Self::Text(a) => Value::from(a.value(row)),
            Self::Bool(a) => Value::from(a.value(row)),
            Self::Int(a) => Value::from(a.value(row)),
            Self::Unsigned(a) => Value::from(a.value(row)),
            Self::Float(a) => Value::from(a.value(row)),
            Self::List(a, items) => {
                let offsets = a.value_offsets();
                (offsets[row] as usize..offsets[row + 1] as usize).map(|at| items.value(at)).collect()
            }
            Self::Struct(_, fields) => {
                Value::from_pairs(fields.iter().map(|(name, column)| (name.clone(), column.value(row))))
            }
            Self::Other(a) => {
                let options = FormatOptions::default();
                let formatter = ArrayFormatter::try_new(a.as_ref(), &options);
                formatter.map_or_else(|_| Value::from(()), |f| Value::from(f.value(row).to_string()))
            }
        }
    }
}

/// The columns of a table.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(String, Column)>,
}

impl Table {
    pub(super) fn new(rows: &RecordBatch) -> Self {
        let fields = rows.schema_ref().fields().iter().zip(rows.columns());
        Self { columns: fields.map(|(field, column)| (field.name().clone(), Column::new(column))).collect() }
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(known, _)| known == name).map(|(_, column)| column)
    }

    /// What the row is known by, for messages.
    pub(super) fn id(&self, row: usize) -> String {
        let id = self.column("id").map(|column| column.value(row)).filter(|id| !id.is_none());
        id.map_or_else(String::new, |id| format!(" (id `{id}`)"))
    }
}

/// One row: its columns by their names.
#[derive(Debug, Clone)]
pub(super) struct Row {
    table: Arc<Table>,
    at: usize,
}

impl Row {
    pub(super) fn new(table: &Arc<Table>, at: usize) -> Self {
        Self { table: table.clone(), at }
    }
}

impl Object for Row {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        if let Some(column) = self.table.column(name) {
            return Some(column.value(self.at));
        }
        match name {
            ROW => Some(Value::from_dyn_object(self.clone())),
            ROW_INDEX => Some(Value::from(self.at)),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.table.columns.iter().map(|(name, _)| Value::from(name.as_str())).collect())
    }
}
