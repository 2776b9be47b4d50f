//! Arrow columns while they grow.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        ArrayBuilder, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListArray, NullBufferBuilder,
        StringBuilder, StructArray,
    },
    buffer::OffsetBuffer,
    datatypes::Field,
};
use indexmap::IndexMap;

use super::types::ColumnType;

/// One growing column, or one level of a nested one.
pub(super) enum Data {
    /// No value was ever seen.
    Null(StringBuilder),
    Bool(BooleanBuilder),
    Int(Int64Builder),
    /// Whether the type is declared: then whole numbers that no double holds become the nearest one.
    Float(Float64Builder, bool),
    /// Text only.
    Text(StringBuilder),
    /// Declared `string`: text as it is, anything else as its JSON.
    Coerced(StringBuilder),
    Json(StringBuilder),
    List {
        item: Box<Data>,
        offsets: Vec<i32>,
        valid: NullBufferBuilder,
    },
    Struct(Object),
}

pub(super) struct Object {
    pub(super) names: Vec<String>,
    pub(super) fields: Vec<Data>,
    /// Looked up when a field is not where it was in the row before.
    pub(super) index: HashMap<String, usize>,
    pub(super) valid: NullBufferBuilder,
    pub(super) len: usize,
}

impl Object {
    pub(super) fn new(types: &IndexMap<String, ColumnType>, declared: &dyn Fn(&str) -> bool) -> Self {
        Self {
            names: types.keys().cloned().collect(),
            fields: types.iter().map(|(name, ty)| Data::new(ty, declared(name))).collect(),
            index: types.keys().cloned().zip(0..).collect(),
            valid: NullBufferBuilder::new(0),
            len: 0,
        }
    }

    /// Ends a row: fields it did not have are null.
    pub(super) fn end(&mut self, valid: bool) {
        self.len += 1;
        self.valid.append(valid);
        for field in &mut self.fields {
            if field.len() < self.len {
                field.push_null();
            }
        }
    }
}

impl Data {
    pub(super) fn new(ty: &ColumnType, declared: bool) -> Self {
        match ty {
            ColumnType::Unknown => Self::Null(StringBuilder::new()),
            ColumnType::Bool => Self::Bool(BooleanBuilder::new()),
            ColumnType::Int | ColumnType::Long => Self::Int(Int64Builder::new()),
            ColumnType::Float => Self::Float(Float64Builder::new(), declared),
            ColumnType::Text if declared => Self::Coerced(StringBuilder::new()),
            ColumnType::Text => Self::Text(StringBuilder::new()),
            ColumnType::Json => Self::Json(StringBuilder::new()),
            ColumnType::Struct(fields) if fields.is_empty() => Self::Json(StringBuilder::new()),
            ColumnType::List(item) => Self::List {
                item: Box::new(Self::new(item, declared)),
                offsets: vec![0],
                valid: NullBufferBuilder::new(0),
            },
            ColumnType::Struct(fields) => Self::Struct(Object::new(fields, &|_| declared)),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Null(b) | Self::Text(b) | Self::Coerced(b) | Self::Json(b) => b.len(),
            Self::Bool(b) => b.len(),
            Self::Int(b) => b.len(),
            Self::Float(b, _) => b.len(),
            Self::List { offsets, .. } => offsets.len() - 1,
            Self::Struct(object) => object.len,
        }
    }

    pub(super) fn push_null(&mut self) {
        match self {
            Self::Null(b) | Self::Text(b) | Self::Coerced(b) | Self::Json(b) => b.append_null(),
            Self::Bool(b) => b.append_null(),
            Self::Int(b) => b.append_null(),
            Self::Float(b, _) => b.append_null(),
            Self::List { item, offsets, valid } => {
                offsets.push(item.len() as i32);
                valid.append(false);
            }
            Self::Struct(object) => object.end(false),
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        match self {
            Self::Null(mut b) | Self::Text(mut b) | Self::Coerced(mut b) | Self::Json(mut b) => Arc::new(b.finish()),
            Self::Bool(mut b) => Arc::new(b.finish()),
            Self::Int(mut b) => Arc::new(b.finish()),
            Self::Float(mut b, _) => Arc::new(b.finish()),
            Self::List { item, offsets, mut valid } => {
                let item = item.finish();
                let field = Arc::new(Field::new_list_field(item.data_type().clone(), true));
                Arc::new(ListArray::new(field, OffsetBuffer::new(offsets.into()), item, valid.finish()))
            }
            Self::Struct(mut object) => {
                let valid = object.valid.finish();
                let arrays: Vec<ArrayRef> = object.fields.into_iter().map(Data::finish).collect();
                let fields =
                    object.names.iter().zip(&arrays).map(|(n, a)| Field::new(n, a.data_type().clone(), true)).collect();
                Arc::new(StructArray::new(fields, arrays, valid))
            }
        }
    }
}
