//! The layout of GGUF version 3, written with one tensor in memory at a time.
//!
//! Magic, version, counts; the metadata; name, shape (fastest dimension first), type and offset of each tensor; then,
//! aligned to 32 bytes, the tensors, each aligned again.

use std::{
    io::{BufWriter, Write},
    path::Path,
};

use candle_core::quantized::{GgmlDType, gguf_file::Value};

use super::{GgufError, meta::Meta};
use crate::weights::temporary_beside;

const ALIGNMENT: usize = 32;

/// A tensor that is to be written.
pub(super) struct Planned<T> {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: GgmlDType,
    /// What it is made of.
    pub from: T,
}

/// Writes metadata and tensors, whose `bytes` are made one after the other. The file appears under its name only when
/// it is complete.
pub(super) fn write_file<T>(
    path: &Path,
    entries: &[(String, Meta)],
    tensors: &[Planned<T>],
    bytes: impl Fn(&Planned<T>) -> Result<Vec<u8>, GgufError>,
) -> Result<(), GgufError> {
    let io = |source| GgufError::Io { action: "write", path: path.to_owned(), source };
    let temporary = temporary_beside(path).map_err(io)?;
    let mut out = Counted { out: BufWriter::new(temporary.as_file()), written: 0 };
    out.header(entries, tensors).map_err(io)?;
    for tensor in tensors {
        let bytes = bytes(tensor)?;
        tracing::trace!(tensor.name, bytes = bytes.len(), "tensor written");
        out.bytes(&bytes).and_then(|()| out.pad()).map_err(io)?;
    }
    out.out.flush().map_err(io)?;
    drop(out);
    temporary.as_file().sync_all().map_err(io)?;
    temporary.persist(path).map_err(|e| io(e.error))?;
    Ok(())
}

/// llama.cpp's number of a type of tensors.
fn type_code(dtype: GgmlDType) -> u32 {
    match dtype {
        GgmlDType::F32 => 0,
        GgmlDType::F16 => 1,
        GgmlDType::Q4_0 => 2,
        GgmlDType::Q4_1 => 3,
        GgmlDType::Q5_0 => 6,
        GgmlDType::Q5_1 => 7,
        GgmlDType::Q8_0 => 8,
        GgmlDType::Q8_1 => 9,
        GgmlDType::Q2K => 10,
        GgmlDType::Q3K => 11,
        GgmlDType::Q4K => 12,
        GgmlDType::Q5K => 13,
        GgmlDType::Q6K => 14,
        GgmlDType::Q8K => 15,
        GgmlDType::BF16 => 30,
    }
}

/// A writer that knows its position, for alignment.
struct Counted<W> {
    out: W,
    written: usize,
}

impl<W: Write> Counted<W> {
    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.written += bytes.len();
        self.out.write_all(bytes)
    }

    fn u32(&mut self, n: u32) -> std::io::Result<()> {
        self.bytes(&n.to_le_bytes())
    }

    fn u64(&mut self, n: usize) -> std::io::Result<()> {
        self.bytes(&(n as u64).to_le_bytes())
    }

    fn text(&mut self, text: &str) -> std::io::Result<()> {
        self.u64(text.len())?;
        self.bytes(text.as_bytes())
    }

    fn pad(&mut self) -> std::io::Result<()> {
        self.bytes(&vec![0; self.written.next_multiple_of(ALIGNMENT) - self.written])
    }

    /// Metadata, and of each tensor its name, shape and type, in the order in which they follow.
    fn header<T>(&mut self, entries: &[(String, Meta)], tensors: &[Planned<T>]) -> std::io::Result<()> {
        self.bytes(b"GGUF")?;
        self.u32(3)?;
        self.u64(tensors.len())?;
        self.u64(entries.len())?;
        for (key, entry) in entries {
            self.text(key)?;
            self.entry(entry)?;
        }
        let mut offset: usize = 0;
        for Planned { name, shape, dtype, .. } in tensors {
            self.text(name)?;
            self.u32(shape.len() as u32)?;
            for size in shape.iter().rev() {
                self.u64(*size)?;
            }
            self.u32(type_code(*dtype))?;
            self.u64(offset)?;
            let count: usize = shape.iter().product();
            offset = (offset + count / dtype.block_size() * dtype.type_size()).next_multiple_of(ALIGNMENT);
        }
        self.pad()
    }

    fn entry(&mut self, entry: &Meta) -> std::io::Result<()> {
        const ARRAY: u32 = 9;
        match entry {
            Meta::Count(n) => {
                self.u32(4)?;
                self.u32(*n)
            }
            Meta::Number(x) => {
                self.u32(6)?;
                self.bytes(&x.to_le_bytes())
            }
            Meta::Flag(flag) => {
                self.u32(7)?;
                self.bytes(&[u8::from(*flag)])
            }
            Meta::Text(text) => {
                self.u32(8)?;
                self.text(text)
            }
            Meta::Texts(texts) => {
                self.u32(ARRAY)?;
                self.u32(8)?;
                self.u64(texts.len())?;
                texts.iter().try_for_each(|t| self.text(t))
            }
            Meta::Numbers(numbers) => {
                self.u32(ARRAY)?;
                self.u32(6)?;
                self.u64(numbers.len())?;
                numbers.iter().try_for_each(|x| self.bytes(&x.to_le_bytes()))
            }
            Meta::Kinds(kinds) => {
                self.u32(ARRAY)?;
                self.u32(5)?;
                self.u64(kinds.len())?;
                kinds.iter().try_for_each(|k| self.bytes(&k.to_le_bytes()))
            }
            Meta::Stored(value) => {
                self.u32(value_code(value))?;
                self.value(value)
            }
        }
    }

    fn value(&mut self, value: &Value) -> std::io::Result<()> {
        match value {
            Value::U8(n) => self.bytes(&[*n]),
            Value::I8(n) => self.bytes(&n.to_le_bytes()),
            Value::U16(n) => self.bytes(&n.to_le_bytes()),
            Value::I16(n) => self.bytes(&n.to_le_bytes()),
            Value::U32(n) => self.bytes(&n.to_le_bytes()),
            Value::I32(n) => self.bytes(&n.to_le_bytes()),
            Value::U64(n) => self.bytes(&n.to_le_bytes()),
            Value::I64(n) => self.bytes(&n.to_le_bytes()),
            Value::F32(x) => self.bytes(&x.to_le_bytes()),
            Value::F64(x) => self.bytes(&x.to_le_bytes()),
            Value::Bool(flag) => self.bytes(&[u8::from(*flag)]),
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                // An empty list has lost its type.
                self.u32(items.first().map_or(8, value_code))?;
                self.u64(items.len())?;
                items.iter().try_for_each(|item| self.value(item))
            }
        }
    }
}

/// GGUF's number of a type of values.
fn value_code(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}
