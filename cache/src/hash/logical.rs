//! Logical types: what a column holds, apart from how Arrow lays it out.
//!
//! Small and large offsets, views, dictionaries and run-end encodings are layout; all else is part of the type. Names
//! of struct fields count, the conventional names inside lists and maps (`item`, `element`, `entries`) do not.

use arrow::{
    array::{Array, ArrayRef, AsArray, GenericByteArray, OffsetSizeTrait},
    buffer::{Buffer, OffsetBuffer},
    compute::cast,
    datatypes::{ByteArrayType, DataType, Field, Fields, Schema, TimeUnit},
};

use super::{Digest, Hasher};
use crate::error::StoreError;

const ACTION: &str = "compute the digest of a table";

fn unsupported(data_type: &DataType) -> StoreError {
    StoreError::rows(ACTION, format!("columns of type {data_type} cannot be stored"))
}

/// The digest of names, logical types and nullability. Metadata is not part of it.
pub(crate) fn schema_digest(schema: &Schema) -> Result<Digest, StoreError> {
    let mut hasher = Hasher::new("pipe.schema.v1");
    hash_fields(&mut hasher, schema.fields())?;
    Ok(hasher.finish())
}

fn hash_fields(hasher: &mut Hasher, fields: &Fields) -> Result<(), StoreError> {
    hasher.u64(fields.len() as u64);
    for field in fields {
        hasher.str(field.name());
        hash_field(hasher, field)?;
    }
    Ok(())
}

fn hash_field(hasher: &mut Hasher, field: &Field) -> Result<(), StoreError> {
    hasher.u64(u64::from(field.is_nullable()));
    hash_type(hasher, field.data_type())
}

fn unit(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

fn hash_type(hasher: &mut Hasher, data_type: &DataType) -> Result<(), StoreError> {
    let name = match data_type {
        DataType::Null => "null",
        DataType::Boolean => "bool",
        DataType::Int8 => "i8",
        DataType::Int16 => "i16",
        DataType::Int32 => "i32",
        DataType::Int64 => "i64",
        DataType::UInt8 => "u8",
        DataType::UInt16 => "u16",
        DataType::UInt32 => "u32",
        DataType::UInt64 => "u64",
        DataType::Float16 => "f16",
        DataType::Float32 => "f32",
        DataType::Float64 => "f64",
        DataType::Date32 => "date32",
        DataType::Date64 => "date64",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "utf8",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary",
        DataType::Timestamp(u, zone) => {
            hasher.str("timestamp").str(unit(*u)).str(zone.as_deref().unwrap_or(""));
            return Ok(());
        }
        DataType::Time32(u) | DataType::Time64(u) => {
            hasher.str("time").str(unit(*u));
            return Ok(());
        }
        DataType::Duration(u) => {
            hasher.str("duration").str(unit(*u));
            return Ok(());
        }
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            let bits = 8 * data_type.primitive_width().expect("decimals have a width") as u64;
            hasher.str("decimal").u64(bits).u64(u64::from(*p)).u64(*s as u64);
            return Ok(());
        }
        DataType::FixedSizeBinary(width) => {
            hasher.str("fixed_binary").u64(*width as u64);
            return Ok(());
        }
        DataType::List(item) | DataType::LargeList(item) => {
            hasher.str("list");
            return hash_field(hasher, item);
        }
        DataType::FixedSizeList(item, length) => {
            hasher.str("fixed_list").u64(*length as u64);
            return hash_field(hasher, item);
        }
        DataType::Map(entries, _) => {
            hasher.str("map");
            let DataType::Struct(pair) = entries.data_type() else { return Err(unsupported(data_type)) };
            return pair.iter().try_for_each(|field| hash_field(hasher, field));
        }
        DataType::Struct(fields) => {
            hasher.str("struct");
            return hash_fields(hasher, fields);
        }
        DataType::Dictionary(_, values) => return hash_type(hasher, values),
        DataType::RunEndEncoded(_, values) => return hash_type(hasher, values.data_type()),
        other => return Err(unsupported(other)),
    };
    hasher.str(name);
    Ok(())
}

/// The parts of an array that carry its values, in one layout per logical type.
pub(crate) enum Parts {
    /// All slots are null.
    Null,
    /// One bit per slot.
    Bool(ArrayRef),
    /// `width` little-endian bytes per slot, from the beginning of the buffer.
    Fixed { data: Buffer, width: usize },
    /// Slot `i` is `data[offsets[i]..offsets[i + 1]]`.
    Bytes { offsets: Offsets, data: Buffer },
    /// Slot `i` is `items[offsets[i]..offsets[i + 1]]`.
    List { offsets: Offsets, items: ArrayRef },
    /// Slot `i` is `items[i * length..(i + 1) * length]`.
    FixedList { length: usize, items: ArrayRef },
    /// Slot `i` is slot `i` of all fields.
    Struct(Vec<ArrayRef>),
}

/// Offsets of either width.
pub(crate) enum Offsets {
    Small(OffsetBuffer<i32>),
    Large(OffsetBuffer<i64>),
}

impl Offsets {
    fn of<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> Self {
        let buffer = offsets.clone().into_inner().into_inner();
        let length = offsets.len();
        if O::IS_LARGE {
            Self::Large(OffsetBuffer::new(arrow::buffer::ScalarBuffer::new(buffer, 0, length)))
        } else {
            Self::Small(OffsetBuffer::new(arrow::buffer::ScalarBuffer::new(buffer, 0, length)))
        }
    }

    #[inline]
    pub(crate) fn at(&self, i: usize) -> usize {
        match self {
            Self::Small(offsets) => offsets[i] as usize,
            Self::Large(offsets) => offsets[i] as usize,
        }
    }
}

fn bytes<T: ByteArrayType>(array: &GenericByteArray<T>) -> Parts {
    Parts::Bytes { offsets: Offsets::of(array.offsets()), data: array.values().clone() }
}

/// Undoes dictionaries, run-end encodings and views.
pub(crate) fn plain(array: &ArrayRef) -> Result<ArrayRef, StoreError> {
    let target = match array.data_type() {
        DataType::Dictionary(_, values) => (**values).clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        DataType::Utf8View => DataType::LargeUtf8,
        DataType::BinaryView => DataType::LargeBinary,
        _ => return Ok(array.clone()),
    };
    plain(&cast(array, &target).map_err(|e| StoreError::rows(ACTION, e))?)
}

/// Takes a [`plain`] array apart.
pub(crate) fn parts(array: &ArrayRef) -> Result<Parts, StoreError> {
    Ok(match array.data_type() {
        DataType::Null => Parts::Null,
        DataType::Boolean => Parts::Bool(array.clone()),
        DataType::Utf8 => bytes(array.as_string::<i32>()),
        DataType::LargeUtf8 => bytes(array.as_string::<i64>()),
        DataType::Binary => bytes(array.as_binary::<i32>()),
        DataType::LargeBinary => bytes(array.as_binary::<i64>()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            Parts::List { offsets: Offsets::of(list.offsets()), items: list.values().clone() }
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            Parts::List { offsets: Offsets::of(list.offsets()), items: list.values().clone() }
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            Parts::List { offsets: Offsets::of(map.offsets()), items: entries }
        }
        DataType::FixedSizeList(_, length) => {
            Parts::FixedList { length: *length as usize, items: array.as_fixed_size_list().values().clone() }
        }
        DataType::Struct(_) => Parts::Struct(array.as_struct().columns().to_vec()),
        other => {
            let width = match other {
                DataType::FixedSizeBinary(width) => *width as usize,
                _ => other.primitive_width().ok_or_else(|| unsupported(other))?,
            };
            let data = array.to_data();
            let bytes = data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width);
            Parts::Fixed { data: bytes, width }
        }
    })
}
