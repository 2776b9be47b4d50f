//! Deep nesting: an error at any depth, never the end of the process.

use std::{fs, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields},
};
use pipe_stages::tabular::{Format, ReadOptions, Unprintable, printable, read};

use super::{Files, Kept, error_of, json, options};

/// The stack of the smallest threads that stages run on.
const STACK: usize = 2 << 20;

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK).spawn(test).unwrap().join().unwrap();
}

/// `levels` objects, or lists, around a number.
fn nested(levels: usize, open: &str, close: &str) -> String {
    format!("{{\"x\": {}1{}}}\n", open.repeat(levels), close.repeat(levels))
}

#[test]
fn json_is_read_to_48_levels_and_refused_beyond() {
    on_a_small_stack(|| {
        for (open, close) in [("{\"a\":", "}"), ("[", "]"), ("{\"a\": [", "]}")] {
            let per_level = if open.contains('[') && open.contains('{') { 2 } else { 1 };
            let files = Files::new(&[("a.jsonl", nested(48 / per_level, open, close).as_bytes())]);
            let table = files.read(&ReadOptions::default()).unwrap().table();
            let printed = printable(&table, Unprintable::Refuse).unwrap();
            assert_eq!((printed.num_rows(), printed.num_columns()), (1, 1));
            for levels in [49, 114, 126, 127, 128, 129, 1_000, 1_000_000] {
                let error = error_of("a.jsonl", nested(levels, open, close).as_bytes(), json! {});
                assert!(error.starts_with("a.jsonl, line 1, column "), "{error}");
                assert!(error.contains("nested more than 48 deep") || error.contains("recursion limit"), "{error}");
                error_of("a.json", format!("[{}]", nested(levels, open, close)).as_bytes(), json! {});
            }
            let declared = json! { "schema": { "x": "json" } };
            let files = Files::new(&[("a.jsonl", nested(100, open, close).as_bytes())]);
            assert_eq!(files.read(&options(declared)).unwrap().table().num_rows(), 1);
        }
        // Long numbers are looked at a second time, level by level.
        let long = nested(40, "[", "]").replace('1', "123456789012345678");
        assert_eq!(
            Files::new(&[("a.jsonl", long.as_bytes())]).read(&ReadOptions::default()).unwrap().table().num_rows(),
            1
        );
    });
}

#[test]
fn declared_types_are_bounded_too() {
    on_a_small_stack(|| {
        let deep = (0..100).fold(serde_json::json!("int"), |inner, _| serde_json::json!([inner]));
        let error = error_of("a.csv", b"x\n\n", json! { "schema": { "x": deep } });
        assert!(error.contains("the type of `x` is nested more than 48 deep; declare it as `json`"), "{error}");
    });
}

fn parquet(levels: usize) -> Vec<u8> {
    let mut column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    for _ in 0..levels {
        let fields = Fields::from(vec![Field::new("a", column.data_type().clone(), true)]);
        column = Arc::new(StructArray::new(fields, vec![column], None));
    }
    let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// A file with one row of an object in a list, whose fields are called that.
fn turns(names: [&str; 2]) -> Vec<u8> {
    let fields: Fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let values: Vec<ArrayRef> = names.iter().map(|name| Arc::new(StringArray::from(vec![*name])) as ArrayRef).collect();
    let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), true));
    let object = Arc::new(StructArray::new(fields, values, None));
    let list = ListArray::new(item, OffsetBuffer::from_lengths([1]), object, None);
    let batch = RecordBatch::try_from_iter([("turns", Arc::new(list) as ArrayRef)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn objects_of_two_parquet_files_have_the_same_fields() {
    let read = |other: [&str; 2]| {
        Files::new(&[("a.parquet", &turns(["role", "content"])), ("b.parquet", &turns(other))])
            .read(&ReadOptions::default())
            .map(|kept| kept.text().lines().last().unwrap().to_owned())
            .map_err(|e| e.to_string())
    };
    assert_eq!(read(["role", "content"]).unwrap(), r#"{"turns":[{"role":"role","content":"content"}]}"#);
    assert_eq!(read(["content", "role"]).unwrap(), r#"{"turns":[{"role":"role","content":"content"}]}"#);
    for other in [["from", "value"], ["role", "value"], ["content", "text"]] {
        let error = read(other).unwrap_err();
        assert!(error.contains("b.parquet: column `turns` is List(") && error.contains("a.parquet"), "{error}");
    }
}

#[test]
fn parquet_is_read_to_48_levels_and_refused_beyond() {
    // Writing such files takes the stack that reading them must not.
    let files: Vec<(usize, Vec<u8>)> = std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(|| [10, 48, 49, 65, 130, 400].map(|levels| (levels, parquet(levels))).into())
        .unwrap()
        .join()
        .unwrap();
    on_a_small_stack(move || {
        let dir = tempfile::tempdir().unwrap();
        for (levels, bytes) in files {
            let path = dir.path().join("a.parquet");
            fs::write(&path, bytes).unwrap();
            let mut kept = Kept::default();
            match read(&[path], Format::Parquet, &ReadOptions::default(), &mut kept) {
                Ok(rows) => assert!(levels <= 48 && rows == 1, "{levels}"),
                Err(error) => {
                    // Beyond 64 levels Arrow cannot read back the schema that it wrote.
                    let told = error.to_string();
                    let said = told.contains("deep") || told.contains("DepthLimitReached");
                    assert!(levels > 48 && said, "{levels}: {told}");
                }
            }
        }
    });
}
