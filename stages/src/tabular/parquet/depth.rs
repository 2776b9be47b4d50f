//! How deep a Parquet file's schema is nested, found without recursion: whatever reads the schema afterwards goes down
//! into it by recursion, and a file of a few kilobytes could end the process.
//!
//! The footer is a Thrift structure in the compact protocol; the schema is its second field, the tree written flat,
//! every element with its number of children. Sources: `parquet.thrift` of apache/parquet-format, and Thrift's
//! `doc/specs/thrift-compact-protocol.md`.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

/// Thrift structures inside a schema element; the format has three.
const MAX_STRUCTS: usize = 16;
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
/// Fields by number.
const SCHEMA: i64 = 2;
const NUM_CHILDREN: i64 = 5;

/// Groups one inside the other at the deepest place; `None` if the footer is not what it should be, which its reader
/// then says.
pub(crate) fn depth(file: &mut File) -> io::Result<Option<usize>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut tail = [0; 8];
    if length < tail.len() as u64 {
        return Ok(None);
    }
    file.seek(SeekFrom::End(-8))?;
    file.read_exact(&mut tail)?;
    let footer = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if footer + 8 > length {
        return Ok(None);
    }
    file.seek(SeekFrom::End(-8 - footer as i64))?;
    let mut bytes = Vec::new();
    file.take(footer).read_to_end(&mut bytes)?;
    Ok(Thrift(&bytes).schema_depth())
}

struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn pass(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Number and type of the next field; `STOP` at the end.
    fn field(&mut self, last: &mut i64) -> Option<(i64, u8)> {
        let header = self.byte()?;
        if header == STOP {
            return Some((0, STOP));
        }
        *last = match header >> 4 {
            0 => self.zigzag()?,
            delta => *last + i64::from(delta),
        };
        Some((*last, header & 0x0f))
    }

    /// Length and type of a list.
    fn list(&mut self) -> Option<(u64, u8)> {
        let header = self.byte()?;
        let length = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
        Some((length, header & 0x0f))
    }

    fn skip(&mut self, ty: u8, structs: usize) -> Option<()> {
        match ty {
            // In a structure the type is the value; items of lists are bytes.
            TRUE | FALSE => Some(()),
            BYTE => self.pass(1),
            I16..=I64 => self.varint().map(drop),
            DOUBLE => self.pass(8),
            BINARY => {
                let length = self.varint()?;
                self.pass(usize::try_from(length).ok()?)
            }
            LIST | SET if structs < MAX_STRUCTS => {
                let (length, item) = self.list()?;
                let item = if matches!(item, TRUE | FALSE) { BYTE } else { item };
                (0..length).try_for_each(|_| self.skip(item, structs + 1))
            }
            MAP if structs < MAX_STRUCTS => {
                let length = self.varint()?;
                if length == 0 {
                    return Some(());
                }
                let types = self.byte()?;
                (0..length).try_for_each(|_| {
                    self.skip(types >> 4, structs + 1)?;
                    self.skip(types & 0x0f, structs + 1)
                })
            }
            STRUCT if structs < MAX_STRUCTS => {
                let mut last = 0;
                loop {
                    match self.field(&mut last)? {
                        (_, STOP) => return Some(()),
                        (_, ty) => self.skip(ty, structs + 1)?,
                    }
                }
            }
            _ => None,
        }
    }

    fn schema_depth(&mut self) -> Option<usize> {
        let mut last = 0;
        loop {
            match self.field(&mut last)? {
                (_, STOP) => return None,
                (SCHEMA, LIST) => break,
                (_, ty) => self.skip(ty, 0)?,
            }
        }
        let (elements, STRUCT) = self.list()? else { return None };
        // Of every group around the next element: how many children are still to come.
        let mut open: Vec<i64> = Vec::new();
        let mut deepest = 0;
        for _ in 0..elements {
            while open.last() == Some(&0) {
                open.pop();
            }
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            let mut last = 0;
            let mut children = 0;
            loop {
                match self.field(&mut last)? {
                    (_, STOP) => break,
                    (NUM_CHILDREN, I16..=I64) => children = self.zigzag()?,
                    (_, ty) => self.skip(ty, 0)?,
                }
            }
            if children > 0 {
                open.push(children);
                deepest = deepest.max(open.len());
            }
        }
        Some(deepest)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int64Array, RecordBatch, StructArray},
        datatypes::{DataType, Field, Fields},
    };
    use parquet::arrow::ArrowWriter;

    use super::*;

    #[test]
    fn groups_are_counted() {
        for nested in [0, 1, 5, 40] {
            let mut column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
            for _ in 0..nested {
                let field = Field::new("x", column.data_type().clone(), true);
                column = Arc::new(StructArray::new(Fields::from(vec![field]), vec![column], None));
            }
            let list = Field::new("l", DataType::new_list(DataType::Int64, true), true);
            let empty = arrow::array::new_null_array(list.data_type(), 1);
            let batch = RecordBatch::try_from_iter([("a", empty.clone()), ("b", column), ("c", empty)]).unwrap();
            let mut file = tempfile::tempfile().unwrap();
            let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            // The root, and a list's two groups.
            assert_eq!(depth(&mut file).unwrap(), Some(1 + nested.max(2)));
        }
    }
}
